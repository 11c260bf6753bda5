"""Moments and spans of time as ticks of 100 ns: their parts, and their texts read and written.

A moment counts from the first of January of the year 1. Neither knows of time zones: `utc` says whether a text did.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t

cdef enum:
    TICKS_PER_SECOND = 10000000
    SPAN_TEXT_MAX = 40                 # bytes that span_format may write

cdef int64_t TICKS_MAX             # the last tick of year 9999

cdef enum DatePart:
    PART_YEAR = 1
    PART_MONTH = 2
    PART_DAY = 3
    PART_HOUR = 4
    PART_MINUTE = 5
    PART_SECOND = 6
    PART_MILLISECOND = 7
    PART_DAY_OF_WEEK = 8
    PART_DAY_OF_YEAR = 9

cdef int64_t date_part(int64_t ticks, int part) noexcept nogil
cdef int64_t date_ticks(int64_t year, int64_t month, int64_t day) noexcept nogil
cdef bint date_parse(const uint8_t* text, size_t size, int64_t* ticks, bint* utc) noexcept nogil
cdef bint span_parse(const uint8_t* text, size_t size, int64_t* ticks) noexcept nogil
# Its size; `text` has room for SPAN_TEXT_MAX bytes.
cdef int span_format(int64_t ticks, char* text) noexcept nogil

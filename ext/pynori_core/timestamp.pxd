"""Points in time as ticks, 100 ns each since 0001-01-01 UTC, and their text on the wire,
`2026-11-20T21:17:16.2673140Z`.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

cdef enum:
    TIMESTAMP_TEXT_SIZE = 28

cdef uint64_t timestamp_now() noexcept nogil                                   # the wall clock
cdef void timestamp_format(uint64_t ticks, char* text) noexcept nogil         # TIMESTAMP_TEXT_SIZE bytes, no terminator
cdef uint64_t monotonic_ns() noexcept nogil                                    # for waits; begins anywhere

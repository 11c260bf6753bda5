"""Make terms and intervals of Python values."""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

from pynori_core.index_search cimport Interval, interval_prefix, interval_range
from pynori_core.index_terms cimport (
    TERM_FALSE,
    TERM_ROOM,
    TERM_TEXT_MAX,
    TERM_TRUE,
    term_of_object,
    term_prefix,
)
from pynori_core.output cimport Output, output_init, output_release


cdef size_t bound_term(uint32_t flags, object value, uint8_t* term) except 0:
    cdef Output scratch
    output_init(&scratch, 0)
    try:
        return term_of_object(value, flags_lower(flags), term, &scratch)
    finally:
        output_release(&scratch)


cdef int bound_prefix(uint32_t flags, str text, Interval* interval) except -1:
    cdef uint8_t prefix[TERM_ROOM]
    cdef Output scratch
    cdef Py_ssize_t size
    cdef const char* data = PyUnicode_AsUTF8AndSize(text, &size)
    cdef size_t made
    output_init(&scratch, 0)
    made = term_prefix(<const uint8_t*>data, <size_t>size, flags_lower(flags), prefix, &scratch)
    output_release(&scratch)
    if made == 0:
        raise ValueError(f"the beginning of a term that is looked for has at most {TERM_TEXT_MAX} bytes")
    interval_prefix(interval, prefix, made)
    return 0


cdef int bound_range(uint32_t flags, object low, object high, bint include_low, bint include_high,
                     Interval* interval) except -1:
    cdef uint8_t low_term[TERM_ROOM]
    cdef uint8_t high_term[TERM_ROOM]
    cdef size_t low_size = 0
    cdef size_t high_size = 0
    if low is None and high is None:
        raise ValueError("a range needs a bound")
    if isinstance(low, bool) or isinstance(high, bool):
        low = False if low is None else low
        high = True if high is None else high
    if low is not None:
        low_size = bound_term(flags, low, low_term)
    if high is not None:
        high_size = bound_term(flags, high, high_term)
    if low_size and high_size and range_kind(low_term[0]) != range_kind(high_term[0]):
        raise ValueError("the bounds of a range are of one kind")
    interval_range(interval, low_term, low_size, include_low, high_term, high_size, include_high)
    return 0


cdef inline uint8_t range_kind(uint8_t kind) noexcept:
    return TERM_FALSE if kind == TERM_TRUE else kind

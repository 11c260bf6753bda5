"""What Python values mean as terms and as intervals of terms, in a field that is kept in some way.

`flags` are those of the field (index_trees.pxd). Errors are ValueErrors, with the interpreter's lock held.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

from pynori_core.index_search cimport Interval
from pynori_core.index_trees cimport FIELD_EXACT, FIELD_TEXT


# Whether strings of the field are lower-cased before they become terms.
cdef inline bint flags_lower(uint32_t flags) noexcept nogil:
    return not flags & (FIELD_EXACT | FIELD_TEXT)


# The size of the term, which has room for TERM_ROOM bytes.
cdef size_t bound_term(uint32_t flags, object value, uint8_t* term) except 0
# All strings that begin so.
cdef int bound_prefix(uint32_t flags, str text, Interval* interval) except -1
# Values between two of one kind; None: open, to the end of the other one's kind.
cdef int bound_range(uint32_t flags, object low, object high, bint include_low, bint include_high,
                     Interval* interval) except -1

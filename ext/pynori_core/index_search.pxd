"""Which entries have a term: walks over the terms of a field, or looks at entries, whichever costs less.

An Interval says which terms are meant, as bytes that compare with terms and with keys of the terms tree alike. A
TermTest adds what an interval cannot say: a list of terms, or a pattern for the text.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.cursor cimport Cursor
from pynori_core.index_entry cimport FieldView
from pynori_core.index_trees cimport IndexTrees
from pynori_core.matches cimport IdList

cdef enum:
    INTERVAL_ROOM = 1080               # TERM_ROOM and what says "behind all entries of this term"
    PATTERN_SIZE_MAX = 1024            # bytes of a wildcard pattern

cdef struct Interval:                  # terms t with low <= t < high
    uint8_t low[1080]
    size_t low_size
    uint8_t high[1080]
    size_t high_size

cdef enum TextTest:
    TEXT_ANY = 0
    TEXT_SUFFIX = 1
    TEXT_CONTAINS = 2
    TEXT_WILDCARD = 3                  # `*` any text, `?` one character

cdef struct TermTest:
    uint32_t field
    Interval interval
    const uint8_t* terms               # NULL, or a list: (u32 size, bytes)..., ascending, each once; then no interval
    const uint32_t* offsets            # of each of them
    size_t term_count
    int text_test                      # TextTest, of string terms within the interval
    const uint8_t* text
    size_t text_size

cdef void interval_equal(Interval* interval, const uint8_t* term, size_t size) noexcept nogil
# A beginning of terms, as term_prefix makes it.
cdef void interval_prefix(Interval* interval, const uint8_t* prefix, size_t size) noexcept nogil
# A size of 0: open, to the end of the other one's kind.
cdef void interval_range(Interval* interval, const uint8_t* low, size_t low_size, bint include_low,
                         const uint8_t* high, size_t high_size, bint include_high) noexcept nogil
cdef void interval_field(Interval* interval) noexcept nogil              # all terms

# All entries for which the test holds, ascending, into `out`; among `within` if that is given (NULL: of all).
cdef int search_test(IndexTrees* trees, const TermTest* test, const uint64_t* within, size_t within_count,
                     IdList* out) noexcept nogil
# All entries that have the field, FIELD_ALL: all entries.
cdef int search_presence(IndexTrees* trees, uint32_t field, IdList* out) noexcept nogil
# How many entries the interval's terms have together, counted until `limit` is reached.
cdef int search_count(IndexTrees* trees, const TermTest* test, uint64_t limit, uint64_t* count) noexcept nogil

cdef bint text_matches(const TermTest* test, const uint8_t* term, size_t size) noexcept nogil
cdef bint entry_passes(const TermTest* test, const FieldView* field) noexcept nogil

# To the first block at or behind the interval's beginning; E_NOT_FOUND when its terms end before.
cdef int walk_seek(IndexTrees* trees, Cursor* cursor, uint32_t field, const Interval* interval) noexcept nogil
# Whether the cursor still stands in the interval.
cdef bint walk_inside(const Cursor* cursor, uint32_t field, const Interval* interval) noexcept nogil
# To the last block before the interval's end, for walks backwards.
cdef int walk_seek_last(IndexTrees* trees, Cursor* cursor, uint32_t field, const Interval* interval) noexcept nogil

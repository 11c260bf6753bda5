"""What is computed from the values of many entries: numbers, sums, and how many entries have each term."""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

from pynori_core.index_trees cimport IndexTrees
from pynori_core.output cimport Output

cdef struct Aggregate:
    uint64_t count
    double sum
    double low                         # NaN of nothing, as is `high`
    double high

# The first number of each entry, NaN where there is none.
cdef int values_numbers(IndexTrees* trees, uint32_t field, const uint64_t* ids, size_t count,
                        double* out) noexcept nogil
cdef int values_aggregate(IndexTrees* trees, uint32_t field, const uint64_t* ids, size_t count,
                          Aggregate* out) noexcept nogil
# Terms that ascending `within` have, in their order: (u32 size, u64 entries, bytes)...
cdef int values_counts(IndexTrees* trees, uint32_t field, const uint64_t* within, size_t count,
                       Output* out) noexcept nogil

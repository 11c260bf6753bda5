"""Entries in the order of fields: by walking a field's terms until enough are found, or by looking at each entry."""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

from pynori_core.index_trees cimport IndexTrees
from pynori_core.matches cimport IdList

cdef enum:
    SORT_KEYS_MAX = 16

cdef struct SortKey:
    uint32_t field
    bint descending

# The first `limit` behind `skip` entries in order, into `out`, which is not ascending then. `within` NULL: all entries.
# An entry stands where its lowest term does (descending: its highest); without a term before all that have one
# (descending: behind them). Entries that are equal in all keys stand in the order given by `within`.
cdef int order_entries(IndexTrees* trees, const SortKey* keys, size_t key_count, const uint64_t* within,
                       size_t within_count, bint ascending_within, uint64_t skip, uint64_t limit,
                       IdList* out) noexcept nogil

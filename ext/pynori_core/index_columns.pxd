"""Columns of an index as arrays in memory: for fields that many queries sort or compare by between two commits.

A column in the tree is a walk to a block of 256 entries for each look; in an array it is one look. Reading a column
into an array costs about as much as looking at a part of its entries one by one, so one is read when the queries of one
commit have looked at so many. Arrays belong to one commit and are never changed. All stores of a process share one
bound.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from pynori_core.index_trees cimport IndexTrees


@cython.final
cdef class ColumnArray:
    cdef uint64_t* values          # by entry id; of memory_take
    cdef uint64_t count
    cdef object cache              # the ColumnCache that lists it
    cdef uint32_t field


@cython.final
cdef class ColumnCache:
    """The arrays of one store's last commit that was read."""
    cdef uint64_t txn_id
    cdef dict arrays               # field -> ColumnArray
    cdef dict looks                # field -> entries that were looked at without one
    cdef object __weakref__

    # The column of a field as of the commit of `trees`, when there is an array or it is time to make one; else None.
    # `looks`: how many entries the caller is about to look at. `trees` belong to the caller, and to one transaction.
    cdef ColumnArray array(self, IndexTrees* trees, uint32_t field, uint64_t looks)
    cdef void clear(self)

"""Merge a batch into the trees of an index: find what the documents had, write what changed, in the order of the keys.

A document keeps the ids of its entries. Its old records say which terms it has; only those that come or go, and in text
fields whose tokens changed, touch a posting. Changes are grouped by term and sorted, so that a flush walks the terms
once from left to right.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.index_batch cimport Batch
from pynori_core.index_trees cimport IndexTrees
from pynori_core.posting cimport PostingChange

cdef struct FlushCounts:               # added to
    uint64_t entries                   # that the documents of the batch have now
    uint64_t deleted                   # documents that had entries and have none now

# Empties the batch. Any code but OK is in txn.error, and the transaction can only be aborted.
cdef int batch_flush(Batch* batch, IndexTrees* trees, FlushCounts* counts) noexcept nogil

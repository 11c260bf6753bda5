"""The writer of one index: one write transaction, with a batch that is merged into the trees when it is large, and at
the end. It belongs to one thread at a time."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.env cimport WriteTxn
from pynori_core.index_batch cimport Batch
from pynori_core.index_flush cimport FlushCounts
from pynori_core.index_trees cimport IndexTrees
from pynori_core.items cimport Snapshot

cdef enum:
    FLUSH_BYTES = 67108864             # of a writer's batch, after which it goes to the trees


@cython.final
cdef class Fed:
    cdef readonly uint64_t last_etag
    cdef readonly uint64_t documents
    cdef readonly uint64_t entries
    cdef readonly uint64_t deleted
    cdef readonly bint more
    cdef readonly list errors
    cdef readonly uint64_t failed


@cython.final
cdef class IndexWriter:
    cdef WriteTxn txn
    cdef IndexTrees trees
    cdef Batch batch
    cdef FlushCounts counts
    cdef dict numbers                  # name -> number
    cdef dict analyzers                # number -> callable, or TextAnalyzer
    cdef bint ended

    cdef int live(self) except -1
    cdef int checked(self, int code) except -1
    cdef int flush(self) except -1
    cdef int finish(self) except -1
    cdef int begin_document(self, str document_id) except -1
    cdef int put_entry(self, object entry, object stored) except -1


# A writer over a transaction that has begun; the transaction is aborted when that fails.
cdef IndexWriter writer_open(WriteTxn txn)
# The set of items of a collection (None: of all) and kind; `found` says whether there is such a collection.
cdef int feed_set(Snapshot* view, str collection, uint8_t kind, uint64_t* set_id, bint* found) except? -1
cdef Fed fed_of(uint64_t last_etag, uint64_t documents, uint64_t entries, uint64_t deleted, bint more)

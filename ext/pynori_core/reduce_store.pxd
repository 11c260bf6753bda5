"""The state of a map-reduce index: rows by group, and partial results over chunks of rows.

Four trees beside those of the index, in the same environment and transaction. A group is known by the 128-bit hash of
its key. Rows of a group are numbered as they come; FORMAT.md of pynori/indexes describes keys and values.
"""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.btree cimport Tree
from pynori_core.document_snapshot cimport DocumentSnapshot
from pynori_core.index_feed cimport FieldPath
from pynori_core.index_writer cimport Fed, IndexWriter
from pynori_core.output cimport Output
from pynori_core.txn cimport Txn

cdef enum:
    GROUP_SIZE = 16                    # bytes of the hash that stands for a group
    CHUNK_SHIFT = 8                    # rows of a chunk, and chunks of a chunk of the next level: 256
    REDUCE_KEY_SIZE_MAX = 65535
    REDUCE_ROW_SIZE_MAX = 67108864
    REDUCE_ROWS_MAX = 65536            # of one document
    GROUP_PATHS_MAX = 32               # keys and sums of one GroupPaths each

cdef packed struct GroupRecord:        # tree "reduce_groups", key = group; the key follows
    uint64_t rows                      # that it has
    uint64_t next_row                  # numbers given so far
    uint8_t broken                     # 1: its partial results are not to be trusted

cdef packed struct RowReference:       # tree "reduce_documents", key = lower-cased id: one for each row, ascending
    uint8_t group[16]
    uint64_t row

cdef struct DirtyChunk:
    uint8_t group[16]
    uint64_t chunk

cdef struct MappedRow:                 # of the document that is being put; pointers, or offsets until it is
    uint8_t group[16]
    const uint8_t* key
    const uint8_t* row
    uint32_t key_size
    uint32_t row_size
    uint32_t order
    bint done

cdef struct ReduceTrees:
    Txn* txn
    Tree documents
    Tree rows
    Tree groups
    Tree partials

cdef struct ReduceState:
    ReduceTrees trees
    DirtyChunk* dirty                  # malloc'd
    size_t dirty_count
    size_t dirty_capacity
    MappedRow* mapped                  # malloc'd
    size_t mapped_count
    size_t mapped_capacity
    Output bytes                       # keys and rows that `mapped` leads into
    Output spare


@cython.final
cdef class ReducedGroup:
    cdef readonly str id
    cdef readonly bytes key
    cdef readonly bytes result
    cdef readonly str error


@cython.final
cdef class SumReduce:
    cdef readonly uint32_t fields


@cython.final
cdef class GroupPaths:
    cdef FieldPath keys[32]
    cdef FieldPath sums[32]
    cdef uint32_t key_count
    cdef uint32_t sum_count
    cdef list names                    # keeps the bytes of the steps alive
    cdef readonly SumReduce reduce


@cython.final
cdef class ReduceStore:
    cdef IndexWriter writer
    cdef ReduceState state

    cdef bint apply(self, str document_id) except *
    cdef Fed walk(self, DocumentSnapshot documents, str collection, uint64_t since_etag, GroupPaths program,
                  uint64_t documents_max)

"""The state of a map-reduce index: rows by group, and partial results over chunks of rows.

Four trees beside those of the index, in the same environment and transaction. A group is known by the 128-bit hash of
its key. Rows of a group are numbered as they come; FORMAT.md of pynori/indexes describes keys and values.
"""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.blittable cimport BlittableValue
from pynori_core.btree cimport Tree
from pynori_core.cursor cimport Cursor
from pynori_core.document_snapshot cimport DocumentSnapshot
from pynori_core.index_writer cimport Fed, IndexWriter
from pynori_core.items cimport Snapshot
from pynori_core.output cimport Output
from pynori_core.tables cimport Item
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

cdef struct GroupFeed

# Appends the rows that a document gives to feed.state.bytes, key and row by turns, each followed by mapped_push, and
# counts them in feed.rows. E_EXPRESSION: the document is to blame; it has no rows, and feeding goes on.
ctypedef int (*RowsFunction)(GroupFeed* feed, const Item* item) noexcept nogil

cdef struct GroupFeed:                 # one call of `feed`
    ReduceState* state
    Snapshot* snapshot
    RowsFunction map
    void* program                      # its RowProgram
    uint8_t kind                       # ItemKind
    uint64_t set_id
    uint64_t since
    uint64_t documents_max
    BlittableValue* values             # of GroupPaths: of all paths of one document, one path's after the other's
    size_t value_count
    size_t value_capacity
    size_t starts[65]                  # where those of each path begin: keys, then sums
    bint repeats[64]                   # the path goes through items
    uint64_t last_etag
    uint64_t documents
    uint64_t rows
    uint64_t deleted
    uint64_t failed
    bint more

# A row whose key and bytes were appended to state.bytes, in this order.
cdef int mapped_push(ReduceState* state, size_t key_size, size_t row_size) noexcept nogil
cdef int reduce_corrupt(ReduceState* state, const char* what) noexcept nogil
cdef int reduce_no_memory(ReduceState* state) noexcept nogil
# Make room for one item more; False: no memory.
cdef bint grow(void** memory, size_t* capacity, size_t item_size) noexcept nogil


cdef class RowProgram:
    """The map of a map-reduce index, without the interpreter."""
    cdef RowsFunction map              # set by who derives it; used by one feed at a time


cdef class Job:
    """Rows that become one row: of a tree, numbers `low` to below `high`, and where it goes."""
    cdef Group group
    cdef int source                    # 0: rows, 1, 2: partial results of that level
    cdef uint64_t low
    cdef uint64_t high
    cdef int target                    # level; 3: the group's result


cdef class Group:
    """A group that is being reduced."""
    cdef bytes hash
    cdef bytes key
    cdef list chunks
    cdef uint64_t rows
    cdef uint64_t next_row
    cdef bint broken
    cdef bytes result
    cdef str error


cdef class RowReduce:
    """A reduce without the interpreter."""
    # The row that those of a job become; None: it has no rows. A failure is put into job.group.error.
    cdef bytes reduce_job(self, ReduceStore store, Job job)

# Where the rows of a job begin, for a walk while `job_inside` holds. E_NOT_FOUND: there are none behind.
cdef int job_seek(ReduceStore store, Job job, Cursor* cursor) except? -1
cdef bint job_inside(Job job, const Cursor* cursor) noexcept


@cython.final
cdef class ReducedGroup:
    cdef readonly str id
    cdef readonly bytes key
    cdef readonly bytes result
    cdef readonly str error


@cython.final
cdef class ReduceStore:
    cdef IndexWriter writer
    cdef ReduceState state

    cdef bint apply(self, str document_id) except *
    cdef Fed walk(self, DocumentSnapshot documents, str collection, uint64_t since_etag, RowProgram program,
                  uint64_t documents_max)

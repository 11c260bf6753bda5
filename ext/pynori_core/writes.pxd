"""What a document write entails across the tables of a database, in order. No GIL, no exception, no Python object.

A Writer lives as long as one write transaction. What can be refused is refused before anything is changed, so a single
command that fails with an expected error leaves no trace; several commands need a savepoint around them. Counters of
collections and of the database are kept here and written to their trees by `writes_flush`, once per transaction.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.change_vector cimport VectorEntry
from pynori_core.command cimport Command, CommandFailure
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX
from pynori_core.output cimport Output
from pynori_core.tables cimport CollectionRecord, DatabaseState, DocumentTables
from pynori_core.txn cimport Txn

cdef enum:
    WRITER_COLLECTIONS = 32            # remembered during a transaction; the oldest makes room
    WRITER_NAME_SIZE_MAX = 64          # longer names are looked up each time

cdef struct WriterCollection:
    uint32_t number                    # 0: free
    bint dirty                         # record differs from the tree
    uint32_t key_size                  # 0: no key is remembered
    uint32_t name_size
    CollectionRecord record
    uint8_t key[64]
    uint8_t name[64]

cdef struct Writer:
    DocumentTables tables
    DatabaseState state
    uint64_t now                       # ticks, of the whole transaction
    uint64_t user_txn                  # number of the user transaction being executed
    WriterCollection collections[32]
    uint32_t next_collection           # where the next one is remembered
    VectorEntry vector[256]            # of the command being executed (VECTOR_ENTRIES_MAX)
    uint8_t id[512]                    # as it will be stored (ID_SIZE_MAX), when it is not the command's
    uint8_t key[768]                   # when it is not the command's (ID_KEY_SIZE_MAX)

cdef int writes_begin(Writer* writer, Txn* txn, const DocumentTables* known) noexcept nogil
# Execute a buffer of commands; results are appended. On failure `failure` says which and why: an expected code leaves
# the transaction usable, but with the commands before it applied; any other code is in txn.error too.
cdef int writes_execute(Writer* writer, const uint8_t* commands, size_t size, Output* results,
                        CommandFailure* failure) noexcept nogil
# Write counters and state to their trees; before a commit or a savepoint.
cdef int writes_flush(Writer* writer) noexcept nogil
# After a rollback to a savepoint that followed a flush: forget what was read since.
cdef int writes_reload(Writer* writer) noexcept nogil

"""The steps that all commands are made of, across the tables of a database. No GIL, no exception, no Python object.

A Writer lives as long as one write transaction. Counters of collections and of the database, and the vector of what
other instances are known to have given, are kept here and written to their trees by `writer_flush`, once per
transaction. A Subject is the item that one command is about: `subject_start` finds what is there, the command decides,
`row_append` puts the new row in its place.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.change_vector cimport VectorEntry
from pynori_core.command cimport Command
from pynori_core.output cimport Output
from pynori_core.table cimport IndexEntry
from pynori_core.tables cimport CollectionRecord, Cover, DatabaseState, DocumentTables, Item
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
    int known_count                    # entries of `known`
    bint known_dirty                   # it differs from the tree
    VectorEntry known[256]             # what other instances are known to have given here (VECTOR_ENTRIES_MAX)
    VectorEntry vector[256]            # of the command being executed
    uint8_t id[512]                    # as it will be stored (ID_SIZE_MAX), when it is not the command's
    uint8_t key[768]                   # when it is not the command's (ID_KEY_SIZE_MAX)
    Output kept                        # copies of rows that are to be written again

cdef struct Subject:                   # the item a command is about, and what is stored of it
    const uint8_t* id                  # as it will be stored
    size_t id_size
    const uint8_t* key
    size_t key_size
    uint64_t etag                      # that it will get
    bint found                         # there is a row: a document, a tombstone or a conflict
    bint exists                        # it is a document
    bint conflicted                    # it is a conflict
    IndexEntry entry                   # of the row that is there
    Cover cover
    Cover fresh                        # of the row that will be
    uint32_t flags                     # of the row that will be: ItemFlag
    uint64_t last_modified
    const uint8_t* body
    size_t body_size                   # 0: a deletion

cdef Writer* writer_create() noexcept nogil                            # NULL: no memory
cdef void writer_destroy(Writer* writer) noexcept nogil
cdef int writer_begin(Writer* writer, Txn* txn, const DocumentTables* known) noexcept nogil
# Write counters and state to their trees; before a commit or a savepoint.
cdef int writer_flush(Writer* writer) noexcept nogil
# After a rollback to a savepoint that followed a flush: forget what was read since.
cdef int writer_reload(Writer* writer) noexcept nogil
cdef Txn* writer_txn(Writer* writer) noexcept nogil
# E_CORRUPT, and says so: `what` of the tables cannot be.
cdef int broken(Writer* writer, const char* what) noexcept nogil

# The remembered collection of that number, valid until the next call; NULL and code on failure.
cdef WriterCollection* collection_slot(Writer* writer, uint32_t number, int* code) noexcept nogil
# The number of the collection that a command states; 0 when there is none of that name yet.
cdef int collection_resolve(Writer* writer, const Command* command, uint32_t* number) noexcept nogil
cdef int collection_add(Writer* writer, const Command* command, uint32_t* number) noexcept nogil

cdef int subject_start(Writer* writer, const Command* command, Subject* subject) noexcept nogil
cdef int subject_find(Writer* writer, Subject* subject) noexcept nogil
# The row that is there, taken apart; pointers live until the next change.
cdef int subject_row(Writer* writer, Subject* subject, Item* item) noexcept nogil
# The row of one version of a conflict, as subject_row.
cdef int version_row(Writer* writer, uint64_t etag, Item* item) noexcept nogil
# An update keeps the id as it was spelt first.
cdef int subject_keep_spelling(Writer* writer, Subject* subject) noexcept nogil
# What all rows that are there have seen, merged into `entries`, which has `count`; the new count, or negative: an
# ErrorCode.
cdef int subject_vector(Writer* writer, Subject* subject, VectorEntry* entries, int count) noexcept nogil

# Append the row with writer.vector (vector_count 0: its own entry alone), lead the index to it, take the old one's
# place in the sets and counts.
cdef int row_append(Writer* writer, Subject* subject, uint8_t kind, uint32_t collection,
                    int vector_count) noexcept nogil
# Only the row, as one of several versions: `subject.fresh` and `entry` are then those of it.
cdef int version_append(Writer* writer, Subject* subject, uint32_t collection, int vector_count,
                        IndexEntry* entry) noexcept nogil
# The row of one version of a conflict is alive no more.
cdef int version_retire(Writer* writer, uint64_t etag) noexcept nogil
# Who follows the collection of the row that was there hears of what has taken its place.
cdef int subject_depart(Writer* writer, Subject* subject) noexcept nogil
# The row that was there, which is no conflict, leaves its sets and counts.
cdef int row_retire(Writer* writer, Subject* subject) noexcept nogil

cdef int result_append(Writer* writer, const Command* command, Subject* subject, uint32_t collection, int vector_count,
                       Output* results) noexcept nogil
# There was nothing to delete, or nothing is changed.
cdef int result_nothing(const Command* command, Output* results) noexcept nogil

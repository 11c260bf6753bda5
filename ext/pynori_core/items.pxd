"""One database's environment as readers see it: snapshots, an item by its id, an item as JSON.

A DocumentStore owns the environment. Whoever touches it stands between `store_enter` and `store_leave`; `close`
refuses new ones and is itself refused (Busy) while somebody is inside. Short reads keep the GIL: giving it up could
cost an event loop a whole switch interval, far more than the read.
"""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.disk cimport DiskHandle
from pynori_core.env cimport Env
from pynori_core.errors cimport ErrorDetail
from pynori_core.forks cimport ForkMark
from pynori_core.hints cimport Hints
from pynori_core.output cimport Output
from pynori_core.table cimport IndexEntry
from pynori_core.tables cimport Cover, DocumentTables, Item
from pynori_core.txn cimport Txn

cdef enum ItemForm:
    FORM_FULL = 0
    FORM_METADATA = 1              # {"@metadata":{...}} alone
    FORM_NONE = 2                  # no JSON at all

cdef enum StoreClosing:
    STORE_CLOSING = 1
    STORE_FORKED = 2               # this is a child of the process that opened it: nothing may be done any more

cdef struct Snapshot:              # stays where it is from begin to end: the trees point at its txn
    Txn txn
    DocumentTables tables
    Hints* hints                   # of the database, or NULL: every read by id goes down the tree


@cython.final
cdef class DocumentStore:
    cdef Env* env                  # NULL: closed
    cdef DocumentTables tables     # bound to no transaction: a pattern for tables_bind
    cdef uint32_t users            # inside, atomic
    cdef uint32_t closing          # StoreClosing, atomic
    cdef ForkMark fork_mark
    cdef Hints hints
    cdef void* kept_output         # an Output that waits for the next read, or NULL; atomic
    cdef list collection_names     # by number; filled as they are met
    cdef DiskHandle disk           # given in place of a directory: kept alive as long as the environment is open

# The tables of a new or an opened environment, for who holds one without a DocumentStore.
cdef int store_make_tables(Env* env, const uint8_t* database_id, uint32_t tag, DocumentTables* tables,
                           ErrorDetail* error) noexcept nogil
cdef int store_read_tables(Env* env, uint32_t tag, DocumentTables* tables, ErrorDetail* error) noexcept nogil

cdef bint store_enter(DocumentStore store) noexcept      # False: closed or closing
cdef void store_leave(DocumentStore store) noexcept
cdef int store_enter_or_raise(DocumentStore store) except -1
cdef Output* store_take_output(DocumentStore store) except NULL
cdef void store_keep_output(DocumentStore store, Output* output) noexcept
cdef str store_collection_name(DocumentStore store, Snapshot* snapshot, uint32_t number)

cdef int snapshot_begin(DocumentStore store, Snapshot* snapshot) noexcept nogil
cdef void snapshot_end(Snapshot* snapshot) noexcept nogil
cdef object snapshot_exception(Snapshot* snapshot, int code)
# Of a find by this key; for a conflict it names the document, its versions and the etag of the newest.
cdef object snapshot_find_exception(Snapshot* snapshot, int code, const uint8_t* key, size_t key_size)
# (name as first spelt, documents, tombstones, etag of the last change) of each collection, oldest first, or an error.
cdef int snapshot_collections(Snapshot* snapshot, list found) except? -1

# The newest row under a key; E_NOT_FOUND, also when it is a tombstone; E_CONFLICT: it has several
# versions. `entry` may be given by who has it already.
cdef int snapshot_find(Snapshot* snapshot, const uint8_t* key, size_t key_size, Item* item) noexcept nogil
cdef int snapshot_row(Snapshot* snapshot, const IndexEntry* entry, Item* item) noexcept nogil

# Append an item's JSON. `vector_text`, if given, gets the change vector's text (VECTOR_TEXT_MAX) and its size.
cdef int item_write(const DocumentTables* tables, const Item* item, ItemForm form, Output* output, char* vector_text,
                    size_t* vector_size) noexcept nogil


@cython.final
@cython.freelist(16)
@cython.no_gc                      # what it refers to never refers back
cdef class StoredDocument:
    cdef DocumentStore store
    cdef bytes row                 # a copy of the row; with FORM_NONE without its body
    cdef Item item                 # pointers into `row`
    cdef ItemForm form
    cdef readonly str collection
    cdef bytes written             # `json`, once it was asked for


@cython.final
@cython.freelist(16)
cdef class StreamItem:
    cdef readonly str kind
    cdef readonly str id
    cdef readonly str change_vector
    cdef readonly str collection
    cdef readonly str last_modified
    cdef readonly uint64_t etag
    cdef readonly uint64_t transaction
    cdef uint32_t item_flags
    cdef readonly bytes json


cdef StoredDocument stored_document(DocumentStore store, Snapshot* snapshot, const Item* item, ItemForm form)
cdef StreamItem stream_item(DocumentStore store, Snapshot* snapshot, const Item* item, ItemForm form)

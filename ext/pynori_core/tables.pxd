"""The tables of one database: what its trees are called, what a row holds, and which sets and records keep the
counts.

One items table holds every kind of item of a database, a row per item version, in etag order; row id = etag. Beside
it stand the collections and the state of the database. pynori/documents/TABLES.md draws the same for readers.

A row: ItemHeader, vector_count VectorEntries, the id as spelt, the body (a blittable document; none for a tombstone).
Index 0 leads from an id's key to its newest row; what a write has to know of that row stands in the index entry
(Cover).
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pynori_core.btree cimport Tree, Value
from pynori_core.change_vector cimport VectorEntry
from pynori_core.errors cimport ErrorDetail
from pynori_core.table cimport IndexEntry, Table
from pynori_core.txn cimport Txn

cdef enum:
    # Format 3: bits of dead rows stay in the sets of their collections until the rows are cleaned. Older databases get
    # it with the first transaction.
    TABLES_FORMAT = 3
    TABLES_FORMAT_ALONE = 1            # nothing ever came from another instance: the state ends before `conflicts`
    INDEX_ID = 0                       # the unique index by key
    COLLECTION_NAME_SIZE_MAX = 512     # bytes

cdef enum ItemKind:                    # part of set ids and of the format
    ITEM_DOCUMENT = 1
    ITEM_TOMBSTONE = 2
    ITEM_CONFLICT = 3                  # one of several versions; without a body it is a deletion

cdef enum ItemFlag:                    # part of the format, of rows and of frames
    ITEM_FROM_CLUSTER = 1              # "FromClusterTransaction": wins over versions that are not
    ITEM_RESOLVED = 2                  # "Resolved": made of others by a rule, without an entry of its own in its vector
    ITEM_FLAGS_KNOWN = 3

cdef packed struct ItemHeader:         # 40 bytes
    uint8_t kind                       # ItemKind
    uint8_t reserved
    uint16_t id_size
    uint32_t flags                     # ItemFlag
    uint32_t collection
    uint32_t body_size
    uint64_t last_modified             # ticks
    uint64_t user_txn                  # number of the user transaction that wrote it
    uint32_t tag                       # of the node that wrote it, in the entry of this database
    uint16_t vector_count              # 0: the change vector is this database's own entry alone, its etag the row id
    uint16_t reserved2

cdef enum CoverFlag:
    COVER_SIMPLE_VECTOR = 1            # the row's vector_count is 0
    COVER_SPELLING = 2                 # `spelling` tells how the id is spelt
    COVER_LARGE = 4                    # the row has pages of its own

cdef enum:
    ENTRY_ALIGNMENT = 8                # Cover.place counts in it

cdef packed struct Cover:              # IndexEntry.cover
    uint64_t spelling                  # identifier_spelling
    uint32_t collection
    uint8_t kind                       # ItemKind
    uint8_t flags                      # CoverFlag
    uint16_t place                     # hint: where in its page the row was put, by ENTRY_ALIGNMENT; 0: unknown

cdef inline uint32_t cover_offset(const Cover* cover) noexcept nogil:
    return <uint32_t>cover.place * ENTRY_ALIGNMENT


cdef inline void cover_set_offset(Cover* cover, uint32_t offset) noexcept nogil:
    cover.place = <uint16_t>(offset // ENTRY_ALIGNMENT)


cdef packed struct CollectionRecord:   # tree "collections", key "i" + number (u32 BE); the name as first spelt follows
    uint64_t documents
    uint64_t tombstones
    uint64_t last_etag                 # of the last item written to it, or departure from it

cdef packed struct DatabaseState:      # tree "database", key "state"
    uint32_t format                    # TABLES_FORMAT; before the first write also an older one
    uint32_t collections               # numbers given so far; the next one is one higher
    uint8_t database_id[16]
    uint64_t last_etag
    uint64_t documents
    uint64_t tombstones
    uint64_t conflicts                 # ids in conflict; from here on not in format 1
    uint64_t versions                  # of them: rows of kind 3
    uint64_t purged_etag               # of the last tombstone that was dropped

cdef enum:
    STATE_SIZE_ALONE = 48              # bytes of DatabaseState before `conflicts`

cdef struct DocumentTables:            # bound to one transaction
    Table items
    Tree collections
    Tree database
    uint8_t database_id[16]
    uint32_t tag                       # of this node, for what is written now

cdef struct Item:                      # a row taken apart; pointers live as long as the row
    uint64_t etag
    const ItemHeader* header
    const VectorEntry* vector          # header.vector_count entries
    const uint8_t* id
    const uint8_t* body
    size_t body_size

cdef int tables_create(Txn* txn, const uint8_t* database_id, uint32_t tag, DocumentTables* tables) noexcept nogil
# E_CORRUPT when the environment holds no database, E_VERSION when it holds one of another format.
cdef int tables_open(Txn* txn, uint32_t tag, DocumentTables* tables) noexcept nogil

# Members of a collection (0: of all collections) of one kind. SET_ALL of table.pxd holds all live rows. Documents of
# all collections have no set of their own: they are all live rows but the tombstones and the conflicts. A row's home is
# the set of its collection and kind, that of a version in conflict the set of all of them: it leaves them by dying.
cdef inline uint64_t tables_set(uint32_t collection, uint8_t kind) noexcept nogil:
    return (<uint64_t>collection << 8) | kind


# The same tables in another transaction, which has them: trees are never dropped, so their numbers stay.
cdef inline void tables_bind(const DocumentTables* known, Txn* txn, DocumentTables* tables) noexcept nogil:
    memcpy(tables, known, sizeof(DocumentTables))
    tables.items.txn = txn
    tables.items.rows.txn = txn
    tables.items.sets.txn = txn
    tables.items.indexes[INDEX_ID].txn = txn
    tables.collections.txn = txn
    tables.database.txn = txn


# E_CORRUPT, with the place in txn.error, when the row does not hold what its header says.
cdef int item_decode(Txn* txn, uint64_t etag, const Value* row, Item* item) noexcept nogil
# The change vector of an item in full: entries written to `entries` (VECTOR_ENTRIES_MAX).
cdef int item_vector(const DocumentTables* tables, const Item* item, VectorEntry* entries) noexcept nogil

# Names of ItemFlags as on the wire, comma separated; the text is constant.
cdef const char* flags_words(uint32_t flags, size_t* size) noexcept nogil

# OK and its number, or E_NOT_FOUND; `key` is the lower-cased name.
cdef int collection_find(DocumentTables* tables, const uint8_t* key, size_t key_size, uint32_t* number) noexcept nogil
cdef int collection_create(DocumentTables* tables, const uint8_t* key, size_t key_size, const uint8_t* name,
                           size_t name_size, uint32_t number) noexcept nogil
cdef int collection_read(DocumentTables* tables, uint32_t number, CollectionRecord* record, const uint8_t** name,
                         size_t* name_size) noexcept nogil
cdef int collection_write(DocumentTables* tables, uint32_t number, const CollectionRecord* record) noexcept nogil
cdef int state_read(DocumentTables* tables, DatabaseState* state) noexcept nogil
cdef int state_write(DocumentTables* tables, const DatabaseState* state) noexcept nogil
# What other instances are known to have given here: tree "database", key "vector". Entries written to `entries`
# (VECTOR_ENTRIES_MAX), 0 when there are none; negative: an ErrorCode, also in txn.error.
cdef int known_read(DocumentTables* tables, VectorEntry* entries) noexcept nogil
cdef int known_write(DocumentTables* tables, const VectorEntry* entries, int count) noexcept nogil
# The change vector of the database: its own last etag, merged into what is known. As known_read.
cdef int tables_vector(DocumentTables* tables, VectorEntry* entries) noexcept nogil
# How far somebody outside has come, by name (a key of identifier_key): tree "database", "position/" and the key.
cdef int position_read(DocumentTables* tables, const uint8_t* key, size_t key_size, uint64_t* position) noexcept nogil
cdef int position_write(DocumentTables* tables, const uint8_t* key, size_t key_size,
                        const uint8_t* position) noexcept nogil

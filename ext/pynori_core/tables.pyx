"""Create and open a database's tables; read and write its rows' headers, collections and state."""

import os

from libc.string cimport memset, strlen

from pynori_core.bits cimport load32, load32_be, load64, store32_be, unlikely
from pynori_core.blittable cimport blittable_validate
from pynori_core.btree cimport PUT_INSERT, PUT_UPSERT, tree_create, tree_get, tree_open, tree_put, tree_update
from pynori_core.change_vector cimport DATABASE_ID_SIZE, VECTOR_ENTRIES_MAX, vector_merge, vector_valid
from pynori_core.errors cimport E_CORRUPT, E_NOT_FOUND, E_TOO_LARGE, E_VERSION, OK, error_set
from pynori_core.identifier cimport ID_KEY_SIZE_MAX
from pynori_core.table cimport SET_ALL, TableSchema, table_create, table_open

cdef const char* STATE_KEY = "state"
cdef const char* KNOWN_KEY = "vector"
cdef const char* POSITION_PREFIX = "position/"
cdef enum:
    STATE_KEY_SIZE = 5
    KNOWN_KEY_SIZE = 6
    POSITION_PREFIX_SIZE = 9


# Whether stored documents are checked at every reading. Else they are what was written, by the hash of their page.
cdef bint documents_verified = os.environ.get("PYNORI_VERIFY", "") == "all"


def verify_documents(bint on):
    """Check each stored document before it is read, in this process; what PYNORI_VERIFY=all sets from outside."""
    global documents_verified
    documents_verified = on


cdef uint64_t row_home(const Value* row) noexcept nogil:
    cdef const ItemHeader* header = <const ItemHeader*>row.data
    if unlikely(row.size < sizeof(ItemHeader)):
        return SET_ALL
    return tables_set(0 if header.kind == ITEM_CONFLICT else header.collection, header.kind)


cdef void schema_fill(TableSchema* schema) noexcept nogil:
    memset(schema, 0, sizeof(TableSchema))
    schema.home = row_home
    schema.rows = b"items"
    schema.sets = b"items.sets"
    schema.indexes[INDEX_ID] = b"items.id"
    schema.index_count = 1


cdef int tables_create(Txn* txn, const uint8_t* database_id, uint32_t tag, DocumentTables* tables) noexcept nogil:
    cdef TableSchema schema
    cdef DatabaseState state
    cdef int code
    memset(tables, 0, sizeof(DocumentTables))
    memset(&state, 0, sizeof(DatabaseState))
    schema_fill(&schema)
    code = table_create(txn, &schema, &tables.items)
    if code == OK:
        code = tree_create(txn, b"collections", 11, 0, &tables.collections)
    if code == OK:
        code = tree_create(txn, b"database", 8, 0, &tables.database)
    if code != OK:
        return code
    state.format = TABLES_FORMAT
    memcpy(state.database_id, database_id, DATABASE_ID_SIZE)
    memcpy(tables.database_id, database_id, DATABASE_ID_SIZE)
    tables.tag = tag
    return tree_put(&tables.database, STATE_KEY, STATE_KEY_SIZE, &state, sizeof(DatabaseState), PUT_INSERT)


cdef int tables_open(Txn* txn, uint32_t tag, DocumentTables* tables) noexcept nogil:
    cdef TableSchema schema
    cdef DatabaseState state
    cdef int code
    memset(tables, 0, sizeof(DocumentTables))
    schema_fill(&schema)
    code = table_open(txn, &schema, &tables.items)
    if code == OK:
        code = tree_open(txn, b"collections", 11, &tables.collections)
    if code == OK:
        code = tree_open(txn, b"database", 8, &tables.database)
    if code == OK:
        code = state_read(tables, &state)
    if code == E_NOT_FOUND:
        error_set(&txn.error, E_CORRUPT, b"the environment holds no document database")
        return E_CORRUPT
    if code != OK:
        return code
    if not TABLES_FORMAT_ALONE <= state.format <= TABLES_FORMAT:
        error_set(&txn.error, E_VERSION, b"the database's tables have format %u, this build knows 1 to %d",
                  state.format, <int>TABLES_FORMAT)
        return E_VERSION
    memcpy(tables.database_id, state.database_id, DATABASE_ID_SIZE)
    tables.tag = tag
    return OK


# ---- rows

cdef inline bint tags_sound(const ItemHeader* header, const VectorEntry* vector) noexcept nogil:
    """Tags are ASCII, so that change vectors can be written out."""
    cdef uint32_t all = header.tag
    cdef int i
    for i in range(header.vector_count):
        all |= vector[i].tag
    return all & 0x80808080U == 0


cdef int item_decode(Txn* txn, uint64_t etag, const Value* row, Item* item) noexcept nogil:
    cdef const ItemHeader* header = <const ItemHeader*>row.data
    cdef uint64_t fixed
    if row.size >= sizeof(ItemHeader):
        fixed = sizeof(ItemHeader) + <uint64_t>header.vector_count * sizeof(VectorEntry) + header.id_size
        if fixed + header.body_size == row.size and header.vector_count < VECTOR_ENTRIES_MAX and \
                tags_sound(header, <const VectorEntry*>(row.data + sizeof(ItemHeader))):
            item.etag = etag
            item.header = header
            item.vector = <const VectorEntry*>(row.data + sizeof(ItemHeader))
            item.id = row.data + fixed - header.id_size
            item.body = row.data + fixed
            item.body_size = header.body_size
            if unlikely(documents_verified) and header.kind == ITEM_DOCUMENT and header.body_size:
                return blittable_validate(item.body, item.body_size, &txn.error)
            return OK
    error_set(&txn.error, E_CORRUPT, b"row %llu of 'items', page %llu: %llu bytes do not hold what the header says",
              <unsigned long long>etag, <unsigned long long>row.page, <unsigned long long>row.size)
    return E_CORRUPT


cdef int item_vector(const DocumentTables* tables, const Item* item, VectorEntry* entries) noexcept nogil:
    if item.header.vector_count:
        memcpy(entries, item.vector, item.header.vector_count * sizeof(VectorEntry))
        return item.header.vector_count
    entries[0].etag = item.etag
    entries[0].tag = item.header.tag
    memcpy(entries[0].id, tables.database_id, DATABASE_ID_SIZE)
    return 1


cdef const char* flags_words(uint32_t flags, size_t* size) noexcept nogil:
    cdef const char* words = b""
    if flags & ITEM_FROM_CLUSTER:
        words = b"FromClusterTransaction, Resolved" if flags & ITEM_RESOLVED else b"FromClusterTransaction"
    elif flags & ITEM_RESOLVED:
        words = b"Resolved"
    size[0] = strlen(words)
    return words


# ---- collections

cdef inline size_t name_key(const uint8_t* key, size_t key_size, uint8_t* target) noexcept nogil:
    target[0] = c'n'
    memcpy(target + 1, key, key_size)
    return key_size + 1


cdef inline void number_key(uint32_t number, uint8_t* target) noexcept nogil:
    target[0] = c'i'
    store32_be(target + 1, number)


cdef int collection_find(DocumentTables* tables, const uint8_t* key, size_t key_size, uint32_t* number) noexcept nogil:
    cdef uint8_t full[ID_KEY_SIZE_MAX + 1]
    cdef Value value
    cdef int code = tree_get(&tables.collections, full, name_key(key, key_size, full), &value)
    if code == OK:
        number[0] = load32_be(value.data)
    return code


cdef int collection_create(DocumentTables* tables, const uint8_t* key, size_t key_size, const uint8_t* name,
                           size_t name_size, uint32_t number) noexcept nogil:
    cdef uint8_t full[ID_KEY_SIZE_MAX + 1]
    cdef uint8_t value[24 + COLLECTION_NAME_SIZE_MAX]  # sizeof(CollectionRecord)
    cdef size_t full_size = name_key(key, key_size, full)
    cdef int code
    store32_be(value, number)
    code = tree_put(&tables.collections, full, full_size, value, 4, PUT_INSERT)
    if code != OK:
        return code
    number_key(number, full)
    memset(value, 0, sizeof(CollectionRecord))
    memcpy(value + sizeof(CollectionRecord), name, name_size)
    return tree_put(&tables.collections, full, 5, value, sizeof(CollectionRecord) + name_size, PUT_INSERT)


cdef int collection_read(DocumentTables* tables, uint32_t number, CollectionRecord* record, const uint8_t** name,
                         size_t* name_size) noexcept nogil:
    cdef uint8_t key[5]
    cdef Value value
    cdef int code
    number_key(number, key)
    code = tree_get(&tables.collections, key, 5, &value)
    if code != OK:
        return code
    memcpy(record, value.data, sizeof(CollectionRecord))
    name[0] = value.data + sizeof(CollectionRecord)
    name_size[0] = value.size - sizeof(CollectionRecord)
    return OK


cdef int collection_write(DocumentTables* tables, uint32_t number, const CollectionRecord* record) noexcept nogil:
    cdef uint8_t key[5]
    cdef uint64_t size
    cdef uint8_t* target
    number_key(number, key)
    target = tree_update(&tables.collections, key, 5, &size)
    if target == NULL:
        error_set(&tables.collections.txn.error, E_CORRUPT, b"collection %u is not in tree 'collections'", number)
        return E_CORRUPT
    memcpy(target, record, sizeof(CollectionRecord))
    return OK


# ---- the state of the database

cdef inline uint64_t state_size(uint32_t format) noexcept nogil:
    return STATE_SIZE_ALONE if format == TABLES_FORMAT_ALONE else sizeof(DatabaseState)


cdef int state_read(DocumentTables* tables, DatabaseState* state) noexcept nogil:
    cdef Value value
    cdef int code = tree_get(&tables.database, STATE_KEY, STATE_KEY_SIZE, &value)
    if code != OK:
        return code
    # A later format's state may be longer; its number is what matters then.
    if value.size < STATE_SIZE_ALONE or (load32(value.data) <= TABLES_FORMAT
                                         and value.size != state_size(load32(value.data))):
        error_set(&tables.database.txn.error, E_CORRUPT, b"the state of the database has a wrong size")
        return E_CORRUPT
    memset(state, 0, sizeof(DatabaseState))
    memcpy(state, value.data, value.size if value.size < sizeof(DatabaseState) else sizeof(DatabaseState))
    return OK


cdef int state_write(DocumentTables* tables, const DatabaseState* state) noexcept nogil:
    cdef uint64_t size
    cdef uint64_t wanted = state_size(state.format)
    cdef uint8_t* target = tree_update(&tables.database, STATE_KEY, STATE_KEY_SIZE, &size)
    if unlikely(target == NULL):
        error_set(&tables.database.txn.error, E_CORRUPT, b"tree 'database' has lost its state")
        return E_CORRUPT
    if unlikely(size != wanted):
        return tree_put(&tables.database, STATE_KEY, STATE_KEY_SIZE, state, wanted, PUT_UPSERT)
    memcpy(target, state, wanted)
    return OK


cdef int known_read(DocumentTables* tables, VectorEntry* entries) noexcept nogil:
    cdef Value value
    cdef int count
    cdef int code = tree_get(&tables.database, KNOWN_KEY, KNOWN_KEY_SIZE, &value)
    if code != OK:
        return 0 if code == E_NOT_FOUND else -code
    count = <int>(value.size // sizeof(VectorEntry)) if value.size < VECTOR_ENTRIES_MAX * sizeof(VectorEntry) else -1
    if count >= 0 and count * sizeof(VectorEntry) == value.size:
        memcpy(entries, value.data, value.size)
        if vector_valid(entries, count):
            return count
    error_set(&tables.database.txn.error, E_CORRUPT, b"the vector in tree 'database' is none")
    return -E_CORRUPT


cdef int known_write(DocumentTables* tables, const VectorEntry* entries, int count) noexcept nogil:
    return tree_put(&tables.database, KNOWN_KEY, KNOWN_KEY_SIZE, entries, <uint64_t>count * sizeof(VectorEntry),
                    PUT_UPSERT)


cdef int tables_vector(DocumentTables* tables, VectorEntry* entries) noexcept nogil:
    cdef DatabaseState state
    cdef VectorEntry own
    cdef int count
    cdef int code = state_read(tables, &state)
    if code != OK:
        return -code
    count = known_read(tables, entries)
    if count < 0 or state.last_etag == 0:
        return count
    own.etag = state.last_etag
    own.tag = tables.tag
    memcpy(own.id, tables.database_id, DATABASE_ID_SIZE)
    count = vector_merge(entries, count, VECTOR_ENTRIES_MAX, &own, 1)
    return count if count >= 0 else -E_TOO_LARGE


# ---- positions

cdef inline size_t position_key(const uint8_t* key, size_t key_size, uint8_t* target) noexcept nogil:
    memcpy(target, POSITION_PREFIX, POSITION_PREFIX_SIZE)
    memcpy(target + POSITION_PREFIX_SIZE, key, key_size)
    return POSITION_PREFIX_SIZE + key_size


cdef int position_read(DocumentTables* tables, const uint8_t* key, size_t key_size, uint64_t* position) noexcept nogil:
    cdef uint8_t full[POSITION_PREFIX_SIZE + ID_KEY_SIZE_MAX]
    cdef Value value
    cdef int code = tree_get(&tables.database, full, position_key(key, key_size, full), &value)
    if code != OK:
        return code
    if value.size != sizeof(uint64_t):
        error_set(&tables.database.txn.error, E_CORRUPT, b"a position in tree 'database' has %llu bytes",
                  <unsigned long long>value.size)
        return E_CORRUPT
    position[0] = load64(value.data)
    return OK


cdef int position_write(DocumentTables* tables, const uint8_t* key, size_t key_size,
                        const uint8_t* position) noexcept nogil:
    cdef uint8_t full[POSITION_PREFIX_SIZE + ID_KEY_SIZE_MAX]
    return tree_put(&tables.database, full, position_key(key, key_size, full), position, sizeof(uint64_t), PUT_UPSERT)

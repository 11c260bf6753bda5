"""Read, write and walk the lists of versions."""

from libc.string cimport memcmp, memcpy

from pynori_core.btree cimport PUT_UPSERT, Value, tree_corrupt, tree_delete, tree_get, tree_put
from pynori_core.cursor cimport cursor_init, cursor_next, cursor_seek, cursor_value
from pynori_core.errors cimport E_NOT_FOUND, OK
from pynori_core.identifier cimport ID_KEY_SIZE_MAX

cdef const char* PREFIX = "conflict/"


cdef inline size_t full_key(uint8_t* target, const uint8_t* key, size_t key_size) noexcept nogil:
    memcpy(target, PREFIX, CONFLICT_PREFIX_SIZE)
    memcpy(target + CONFLICT_PREFIX_SIZE, key, key_size)
    return CONFLICT_PREFIX_SIZE + key_size


cdef int take_etags(DocumentTables* tables, const Value* value, uint64_t* etags, int* count) noexcept nogil:
    cdef int index
    count[0] = <int>(value.size // sizeof(uint64_t)) if value.size <= CONFLICT_VERSIONS_MAX * sizeof(uint64_t) else 0
    if count[0] < 2 or count[0] * sizeof(uint64_t) != value.size:
        return tree_corrupt(&tables.database, value.page, "a list of versions of the wrong size")
    memcpy(etags, value.data, value.size)
    for index in range(1, count[0]):
        if etags[index - 1] >= etags[index]:
            return tree_corrupt(&tables.database, value.page, "a list of versions that is not in order")
    return OK


cdef int conflict_read(DocumentTables* tables, const uint8_t* key, size_t key_size, uint64_t* etags,
                       int* count) noexcept nogil:
    cdef uint8_t full[CONFLICT_PREFIX_SIZE + ID_KEY_SIZE_MAX]
    cdef Value value
    cdef int code = tree_get(&tables.database, full, full_key(full, key, key_size), &value)
    return code if code != OK else take_etags(tables, &value, etags, count)


cdef int conflict_write(DocumentTables* tables, const uint8_t* key, size_t key_size, const uint64_t* etags,
                        int count) noexcept nogil:
    cdef uint8_t full[CONFLICT_PREFIX_SIZE + ID_KEY_SIZE_MAX]
    return tree_put(&tables.database, full, full_key(full, key, key_size), etags,
                    <uint64_t>count * sizeof(uint64_t), PUT_UPSERT)


cdef int conflict_delete(DocumentTables* tables, const uint8_t* key, size_t key_size) noexcept nogil:
    cdef uint8_t full[CONFLICT_PREFIX_SIZE + ID_KEY_SIZE_MAX]
    return tree_delete(&tables.database, full, full_key(full, key, key_size))


cdef inline int still_inside(const Cursor* cursor, int code) noexcept nogil:
    if code != OK:
        return code
    if cursor.key_size <= CONFLICT_PREFIX_SIZE or memcmp(cursor.key, PREFIX, CONFLICT_PREFIX_SIZE):
        return E_NOT_FOUND
    return OK


cdef int conflict_seek(Cursor* cursor, DocumentTables* tables, const uint8_t* key, size_t key_size) noexcept nogil:
    cdef uint8_t full[CONFLICT_PREFIX_SIZE + ID_KEY_SIZE_MAX + 1]
    cursor_init(cursor, &tables.database)
    return still_inside(cursor, cursor_seek(cursor, full, full_key(full, key, key_size)))


cdef int conflict_step(Cursor* cursor) noexcept nogil:
    return still_inside(cursor, cursor_next(cursor))


cdef int conflict_at(Cursor* cursor, DocumentTables* tables, uint64_t* etags, int* count) noexcept nogil:
    cdef Value value
    cdef int code = cursor_value(cursor, &value)
    return code if code != OK else take_etags(tables, &value, etags, count)

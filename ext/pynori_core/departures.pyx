"""Note, find and forget departures."""

from libc.string cimport memcpy

from pynori_core.bits cimport load32_be, load64_be, store32_be, store64_be
from pynori_core.btree cimport PUT_INSERT, PUT_UPSERT, Value, tree_corrupt, tree_delete, tree_get, tree_put
from pynori_core.cursor cimport Cursor, cursor_init, cursor_seek, cursor_value
from pynori_core.errors cimport E_INVALID, E_NOT_FOUND, OK
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key

cdef enum:
    BY_ETAG = 101                      # c'e'
    BY_KEY = 108                       # c'l'
    ETAG_KEY_SIZE = 13
    KEY_OFFSET = 5
    DEPARTURE_KEY_SIZE_MAX = 773       # KEY_OFFSET + ID_KEY_SIZE_MAX


cdef inline void etag_key(uint8_t* target, uint32_t collection, uint64_t etag) noexcept nogil:
    target[0] = BY_ETAG
    store32_be(target + 1, collection)
    store64_be(target + 5, etag)


cdef inline size_t id_key(uint8_t* target, uint32_t collection, const uint8_t* key, size_t key_size) noexcept nogil:
    target[0] = BY_KEY
    store32_be(target + 1, collection)
    memcpy(target + KEY_OFFSET, key, key_size)
    return KEY_OFFSET + key_size


cdef int departure_find(DocumentTables* tables, uint32_t collection, const uint8_t* key, size_t key_size,
                        uint64_t* etag) noexcept nogil:
    cdef uint8_t full[DEPARTURE_KEY_SIZE_MAX]
    cdef Value value
    cdef int code = tree_get(&tables.collections, full, id_key(full, collection, key, key_size), &value)
    if code != OK:
        return code
    if value.size != 8:
        return tree_corrupt(&tables.collections, value.page, "a departure of the wrong size")
    etag[0] = load64_be(value.data)
    return OK


cdef int departure_add(DocumentTables* tables, uint32_t collection, const uint8_t* key, size_t key_size,
                       const uint8_t* id, size_t id_size, uint64_t etag) noexcept nogil:
    cdef uint8_t full[DEPARTURE_KEY_SIZE_MAX]
    cdef uint8_t value[8]
    cdef uint64_t before
    cdef int code = departure_find(tables, collection, key, key_size, &before)
    if code == OK:
        etag_key(full, collection, before)
        code = tree_delete(&tables.collections, full, ETAG_KEY_SIZE)
    if code != OK and code != E_NOT_FOUND:
        return code
    store64_be(value, etag)
    code = tree_put(&tables.collections, full, id_key(full, collection, key, key_size), value, 8, PUT_UPSERT)
    if code != OK:
        return code
    etag_key(full, collection, etag)
    return tree_put(&tables.collections, full, ETAG_KEY_SIZE, id, id_size, PUT_INSERT)


cdef int departure_next(DocumentTables* tables, uint32_t collection, uint64_t etag, bint any_collection,
                        Departure* departure) noexcept nogil:
    cdef uint8_t full[ETAG_KEY_SIZE]
    cdef Cursor cursor
    cdef Value value
    cdef int code
    etag_key(full, collection, etag)
    cursor_init(&cursor, &tables.collections)
    code = cursor_seek(&cursor, full, ETAG_KEY_SIZE)
    if code != OK:
        return code
    if cursor.key[0] != BY_ETAG or cursor.key_size != ETAG_KEY_SIZE:
        return E_NOT_FOUND
    departure.collection = load32_be(cursor.key + 1)
    departure.etag = load64_be(cursor.key + 5)
    if departure.collection != collection and not any_collection:
        return E_NOT_FOUND
    code = cursor_value(&cursor, &value)
    if code != OK:
        return code
    if not 0 < value.size <= ID_SIZE_MAX:
        return tree_corrupt(&tables.collections, value.page, "a departure of the wrong size")
    departure.id = value.data
    departure.id_size = value.size
    return OK


cdef int departures_purge(DocumentTables* tables, uint64_t etag_max, uint64_t count_max,
                          uint32_t* count) noexcept nogil:
    cdef uint8_t full[DEPARTURE_KEY_SIZE_MAX]
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef Departure departure
    cdef uint32_t collection = 0
    cdef size_t size
    cdef int code = OK
    count[0] = 0
    while code == OK and count[0] < count_max:
        code = departure_next(tables, collection, 0, True, &departure)
        if code != OK:
            break
        collection = departure.collection
        if departure.etag > etag_max:
            collection += 1
            continue
        size = id_key(full, collection, key, identifier_key(departure.id, departure.id_size, key))
        code = tree_delete(&tables.collections, full, size)
        if code == OK:
            etag_key(full, collection, departure.etag)
            code = tree_delete(&tables.collections, full, ETAG_KEY_SIZE)
        count[0] += 1
        if code == E_NOT_FOUND:
            return E_INVALID
    return OK if code == E_NOT_FOUND else code

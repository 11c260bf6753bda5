"""Read conflicts, each call on its own snapshot."""

cimport cython
from libc.stdint cimport uint8_t

from pynori_core.btree cimport Value, tree_get64
from pynori_core.conflicts cimport (
    CONFLICT_VERSIONS_MAX,
    conflict_at,
    conflict_read,
    conflict_seek,
    conflict_step,
)
from pynori_core.cursor cimport Cursor
from pynori_core.errors cimport E_CORRUPT, E_NOT_FOUND, OK
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key
from pynori_core.items cimport (
    FORM_FULL,
    DocumentStore,
    Snapshot,
    StreamItem,
    snapshot_begin,
    snapshot_end,
    snapshot_exception,
    store_enter_or_raise,
    store_leave,
    stream_item,
)
from pynori_core.reads cimport Text, text_of
from pynori_core.tables cimport Item, item_decode


@cython.final
cdef class Version:
    """One of the versions of an id in conflict."""

    def __repr__(self):
        return f"Version({self.id!r} {self.change_vector})"


cdef int row_of(Snapshot* snapshot, uint64_t etag, Item* item) noexcept nogil:
    cdef Value row
    cdef int code = tree_get64(&snapshot.tables.items.rows, etag, &row)
    if code == OK:
        code = item_decode(&snapshot.txn, etag, &row, item)
    return E_CORRUPT if code == E_NOT_FOUND else code


cdef Version version_of(DocumentStore store, Snapshot* snapshot, const Item* item):
    cdef StreamItem read = stream_item(store, snapshot, item, FORM_FULL)
    cdef Version made = Version.__new__(Version)
    made.id = read.id
    made.change_vector = read.change_vector
    made.last_modified = read.last_modified
    made.collection = read.collection
    made.etag = read.etag
    made.flags = read.flags
    made.json = read.json if item.body_size else None
    return made


cdef int read_versions(DocumentStore store, Snapshot* snapshot, const uint8_t* key, size_t key_size,
                       list found) except? -1:
    cdef uint64_t etags[CONFLICT_VERSIONS_MAX]
    cdef Item item
    cdef int count = 0
    cdef int index
    cdef int code = conflict_read(&snapshot.tables, key, key_size, etags, &count)
    if code == E_NOT_FOUND:
        return OK
    for index in range(count):
        if code == OK:
            code = row_of(snapshot, etags[index], &item)
        if code == OK:
            found.append(version_of(store, snapshot, &item))
    return code


cdef int read_ids(Snapshot* snapshot, const uint8_t* after, size_t after_size, uint64_t count,
                  list found) except? -1:
    """The ids as their newest versions spell them; `after`: a key, of which only later ones are given."""
    cdef uint64_t etags[CONFLICT_VERSIONS_MAX]
    cdef uint8_t behind[ID_KEY_SIZE_MAX + 1]
    cdef Cursor cursor
    cdef Item item
    cdef int versions = 0
    cdef size_t index
    cdef int code
    for index in range(after_size):
        behind[index] = after[index]
    behind[after_size] = 0             # no key is between one and itself with a zero behind
    code = conflict_seek(&cursor, &snapshot.tables, behind, after_size + 1 if after_size else 0)
    while code == OK and <uint64_t>len(found) < count:
        code = conflict_at(&cursor, &snapshot.tables, etags, &versions)
        if code == OK:
            code = row_of(snapshot, etags[versions - 1], &item)
        if code == OK:
            found.append(item.id[:item.header.id_size].decode("utf-8", "replace"))
            code = conflict_step(&cursor)
    return OK if code == E_NOT_FOUND else code


cdef list read_conflicts(DocumentStore store, str text, bint of_one, uint64_t count):
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef Snapshot snapshot
    cdef Text id = text_of(text)
    cdef list found = []
    cdef size_t key_size
    cdef int code
    if id.size > ID_SIZE_MAX:
        return found
    key_size = identifier_key(id.data, id.size, key)
    store_enter_or_raise(store)
    code = snapshot_begin(store, &snapshot)
    try:
        if code == OK:
            code = (read_versions(store, &snapshot, key, key_size, found) if of_one
                    else read_ids(&snapshot, key, key_size, count, found))
        if code != OK:
            raise snapshot_exception(&snapshot, code)
    finally:
        snapshot_end(&snapshot)
        store_leave(store)
    return found


def conflict_versions(DocumentStore store not None, str id not None) -> list:
    """The versions of an id in conflict, oldest arrival first; none when it is in no conflict."""
    return read_conflicts(store, id, True, 0)


def conflicted_ids(DocumentStore store not None, str after not None, uint64_t count) -> list:
    """Up to `count` ids in conflict behind `after`, in the order of their lower-cased spelling."""
    return read_conflicts(store, after, False, count)

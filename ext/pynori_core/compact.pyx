"""Copy a snapshot of a database into new files, catch up with what was written since, exchange two directories."""

import os

cimport cython

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from pynori_core.bits cimport atomic_load32, atomic_store32, load64_be, store64_be
from pynori_core.btree cimport (
    INLINE_SIZE_MAX, PUT_APPEND, PUT_INSERT, PUT_UPSERT, Tree, Value, tree_get, tree_get64, tree_put,
)
from pynori_core.change_vector cimport tag_parse
from pynori_core.cursor cimport Cursor, cursor_first, cursor_init, cursor_next, cursor_value
from pynori_core.conflicts cimport CONFLICT_VERSIONS_MAX, conflict_delete, conflict_read
from pynori_core.departures cimport departures_purge
from pynori_core.env cimport (
    EnvOptions, env_abort, env_begin_write, env_close, env_commit, env_create, env_user_txn,
)
from pynori_core.errors cimport (
    E_CLOSED, E_CORRUPT, E_INVALID, E_NOT_FOUND, OK, ErrorDetail, error_clear, error_set, raise_error,
)
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, identifier_key
from pynori_core.items cimport Snapshot, snapshot_begin, snapshot_end, store_enter_or_raise, store_leave
from pynori_core.table cimport (
    SET_ALL, SET_BITMAP_SIZE, IndexEntry, RowScan, scan_next, scan_start, set_add, set_contains, set_members,
    set_remove, table_append, table_delete, table_find, table_index_put, table_row_offset,
)
from pynori_core.tables cimport (
    COVER_LARGE, INDEX_ID, ITEM_CONFLICT, ITEM_DOCUMENT, ITEM_TOMBSTONE, Cover, DatabaseState, Item, cover_set_offset,
    item_decode, state_read, tables_bind, tables_create, tables_set,
)
from pynori_core.txn cimport Txn

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <stdio.h>
    #ifdef __linux__
    #include <sys/syscall.h>
    #include <unistd.h>
    #endif
    /* Two names change places in one step; an errno. */
    static int pyn_exchange(const char *first, const char *second) {
    #if defined(__linux__) && defined(SYS_renameat2)
        return syscall(SYS_renameat2, AT_FDCWD, first, AT_FDCWD, second, 2u) ? errno : 0;  /* RENAME_EXCHANGE */
    #elif defined(RENAME_SWAP)
        return renamex_np(first, second, RENAME_SWAP) ? errno : 0;
    #else
        return ENOSYS;
    #endif
    }
    """
    int exchange_names "pyn_exchange"(const char* first, const char* second) noexcept nogil


cdef enum:
    COPY_STEP_ENTRIES = 4096           # departures that one transaction forgets at most
    BITMAP_WORDS = 8                   # of a bitmap of SET_BITMAP_SIZE

cdef struct Copier:
    Env* target
    const DocumentTables* known        # the target's tables
    const uint32_t* canceled
    Snapshot* source
    Txn txn                            # of the target
    DocumentTables tables              # bound to it
    uint64_t user_txn                  # number that the target's transactions carry
    uint64_t step_bytes                # since the last commit
    uint64_t rows
    uint64_t size_bytes
    ErrorDetail error


# ---- transactions of the target

cdef int copier_begin(Copier* copier) noexcept nogil:
    cdef int code = env_begin_write(copier.target, &copier.txn)
    if code != OK:
        copier.error = copier.txn.error
        return code
    tables_bind(copier.known, &copier.txn, &copier.tables)
    copier.txn.user_txn_first = copier.user_txn
    # Without a number there is nothing to say: first > last.
    copier.txn.user_txn_last = copier.user_txn if copier.user_txn else 0
    if copier.user_txn == 0:
        copier.txn.user_txn_first = 1
    copier.step_bytes = 0
    return OK


cdef int copier_wrote(Copier* copier, uint64_t size_bytes) noexcept nogil:
    """Count what was written; commit when it is enough for a transaction, and begin the next one."""
    cdef int code
    copier.step_bytes += size_bytes
    copier.size_bytes += size_bytes
    if copier.step_bytes < COPY_STEP_BYTES:
        return OK
    if atomic_load32(copier.canceled):
        error_set(&copier.txn.error, E_CLOSED, b"the compaction was ended on request")
        return E_CLOSED
    code = env_commit(&copier.txn, &copier.error)
    return code if code != OK else copier_begin(copier)


cdef int contradiction(Copier* copier, int code) noexcept nogil:
    """What a table answers to its caller is a contradiction here; so is what a cursor does not find."""
    if code == E_NOT_FOUND or code == E_INVALID:
        error_set(&copier.txn.error, E_CORRUPT, b"tables of the database contradict each other")
        return E_CORRUPT
    return code


# ---- the copy of one snapshot

cdef int copy_rows(Copier* copier) noexcept nogil:
    """Live rows, in etag order. Their sets come later, as they are."""
    cdef uint8_t key[8]
    cdef RowScan scan
    cdef int code = scan_start(&scan, &copier.source.tables.items, SET_ALL, 0, False)
    while code == OK:
        code = scan_next(&scan)
        if code == E_NOT_FOUND:
            return OK
        if code != OK:
            return code
        store64_be(key, scan.row_id)
        code = tree_put(&copier.tables.items.rows, key, sizeof(key), scan.row.data, scan.row.size,
                        PUT_INSERT | PUT_APPEND)
        copier.rows += 1
        if code == OK:
            code = copier_wrote(copier, scan.row.size)
    return code


cdef int copy_index_entry(Copier* copier, Cursor* cursor, Value* value) noexcept nogil:
    """An entry of the index by id, with the place of the row in the new files."""
    cdef uint8_t key[8]
    cdef IndexEntry entry
    cdef Value row
    cdef int code
    if value.size != sizeof(IndexEntry):
        return E_INVALID
    memcpy(&entry, value.data, sizeof(IndexEntry))
    store64_be(key, entry.row_id)
    code = tree_get(&copier.tables.items.rows, key, sizeof(key), &row)
    if code != OK:
        return code
    entry.page = row.page
    cover_set_offset(<Cover*>entry.cover, table_row_offset(&copier.tables.items, row.page, row.data))
    return tree_put(&copier.tables.items.indexes[INDEX_ID], cursor.key, cursor.key_size, &entry, sizeof(IndexEntry),
                    PUT_INSERT | PUT_APPEND)


cdef int copy_set_entry(Copier* copier, Cursor* cursor, Value* value) noexcept nogil:
    """The members among a bitmap's rows; in the set of all rows only live rows are stored from now on."""
    cdef uint64_t both[2 * BITMAP_WORDS]
    cdef uint64_t any = 0
    cdef int word, code
    if cursor.key_size != 16 or value.size < SET_BITMAP_SIZE or value.size > sizeof(both):
        return E_INVALID
    code = set_members(&copier.source.tables.items, load64_be(cursor.key), load64_be(cursor.key + 8), value.data, both)
    if code != OK:
        copier.error = copier.source.txn.error
        return code
    for word in range(BITMAP_WORDS):
        any |= both[word]
    if any == 0:
        return OK
    memcpy(both + BITMAP_WORDS, both, SET_BITMAP_SIZE)
    return tree_put(&copier.tables.items.sets, cursor.key, cursor.key_size, both, value.size, PUT_INSERT | PUT_APPEND)


ctypedef int (*CopyEntry)(Copier* copier, Cursor* cursor, Value* value) noexcept nogil


cdef int copy_tree(Copier* copier, Tree* source, CopyEntry copy_entry) noexcept nogil:
    cdef Cursor cursor
    cdef Value value
    cdef int code
    cursor_init(&cursor, source)
    code = cursor_first(&cursor)
    while code == OK:
        code = cursor_value(&cursor, &value)
        if code == OK:
            code = contradiction(copier, copy_entry(copier, &cursor, &value))
        if code == OK:
            code = copier_wrote(copier, cursor.key_size + value.size)
        if code == OK:
            code = cursor_next(&cursor)
    return OK if code == E_NOT_FOUND else code


cdef int copy_collection_entry(Copier* copier, Cursor* cursor, Value* value) noexcept nogil:
    return tree_put(&copier.tables.collections, cursor.key, cursor.key_size, value.data, value.size, PUT_UPSERT)


cdef int copy_database_entry(Copier* copier, Cursor* cursor, Value* value) noexcept nogil:
    return tree_put(&copier.tables.database, cursor.key, cursor.key_size, value.data, value.size, PUT_UPSERT)


cdef int copy_records(Copier* copier) noexcept nogil:
    """Names and counts of collections, the state of the database, and departures, of which the old ones go first."""
    cdef uint32_t gone = COPY_STEP_ENTRIES
    cdef int code = OK
    while code == OK and gone == COPY_STEP_ENTRIES:
        code = contradiction(copier, departures_purge(&copier.tables, <uint64_t>-1, COPY_STEP_ENTRIES, &gone))
        if code == OK:
            code = copier_wrote(copier, gone * sizeof(IndexEntry))
    if code == OK:
        code = copy_tree(copier, &copier.source.tables.collections, copy_collection_entry)
    return code if code != OK else copy_tree(copier, &copier.source.tables.database, copy_database_entry)


cdef int copy_all(Copier* copier) noexcept nogil:
    cdef int code = copy_rows(copier)
    if code == OK:
        code = copy_tree(copier, &copier.source.tables.items.indexes[INDEX_ID], copy_index_entry)
    if code == OK:
        code = copy_tree(copier, &copier.source.tables.items.sets, copy_set_entry)
    return code if code != OK else copy_records(copier)


# ---- what was written since

cdef int follow_versions(Copier* copier, const uint8_t* key, size_t key_size) noexcept nogil:
    """Of the versions that the target has under a key, those leave it that are no more; the list is copied again."""
    cdef uint64_t etags[CONFLICT_VERSIONS_MAX]
    cdef Value row
    cdef int count = 0
    cdef int index
    cdef int code = conflict_read(&copier.tables, key, key_size, etags, &count)
    if code == E_NOT_FOUND:
        return OK                  # they left with another row under this key
    for index in range(count):
        if code != OK:
            break
        if set_contains(&copier.source.tables.items, SET_ALL, etags[index]) \
                or not set_contains(&copier.tables.items, SET_ALL, etags[index]):
            continue
        code = tree_get64(&copier.tables.items.rows, etags[index], &row)
        if code == OK and row.size + 8 > INLINE_SIZE_MAX:
            code = table_delete(&copier.tables.items, etags[index])
        elif code == OK:
            code = set_remove(&copier.tables.items, SET_ALL, etags[index])
    return conflict_delete(&copier.tables, key, key_size) if code == OK else code


cdef int follow_retire(Copier* copier, const uint8_t* key, size_t key_size, const IndexEntry* entry) noexcept nogil:
    """The row that the target has under a key leaves it."""
    cdef const Cover* cover = <const Cover*>entry.cover
    cdef int code
    if cover.kind == ITEM_CONFLICT:
        return follow_versions(copier, key, key_size)
    if not set_contains(&copier.tables.items, SET_ALL, entry.row_id):
        return OK                  # it left with another version of a conflict
    if cover.kind == ITEM_TOMBSTONE:
        code = set_remove(&copier.tables.items, tables_set(0, ITEM_TOMBSTONE), entry.row_id)
        if code != OK:
            return code
    if cover.flags & COVER_LARGE:
        return table_delete(&copier.tables.items, entry.row_id)
    return set_remove(&copier.tables.items, SET_ALL, entry.row_id)


cdef int follow_row(Copier* copier, uint64_t etag, const Value* row) noexcept nogil:
    """Bring one live row over, in the place of what the target has under its key."""
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef IndexEntry entry, old
    cdef Item item
    cdef size_t key_size
    cdef uint64_t page = 0
    cdef uint32_t offset = 0
    cdef uint8_t* place
    cdef int code = item_decode(&copier.source.txn, etag, row, &item)
    if code != OK:
        copier.error = copier.source.txn.error
        return code
    key_size = identifier_key(item.id, item.header.id_size, key)
    code = table_find(&copier.source.tables.items, INDEX_ID, key, key_size, &entry)
    if code == OK and entry.row_id != etag and item.header.kind != ITEM_CONFLICT:
        return E_NOT_FOUND
    if code == OK:
        code = table_find(&copier.tables.items, INDEX_ID, key, key_size, &old)
        if code == OK:
            code = follow_retire(copier, key, key_size, &old)
        elif code == E_NOT_FOUND:
            code = OK
    if code != OK:
        return code
    place = table_append(&copier.tables.items, etag, row.size, &page, &offset)
    if place == NULL:
        return copier.txn.error.code if copier.txn.error.code != OK else E_INVALID
    memcpy(place, row.data, row.size)
    code = OK
    if entry.row_id == etag:       # else it is a version, and a newer one follows
        entry.page = page
        cover_set_offset(<Cover*>entry.cover, offset)
        code = table_index_put(&copier.tables.items, INDEX_ID, key, key_size, &entry)
    if code == OK and item.header.kind != ITEM_CONFLICT:
        code = set_add(&copier.tables.items, tables_set(item.header.collection, item.header.kind), etag)
    if code == OK and item.header.kind != ITEM_DOCUMENT:
        code = set_add(&copier.tables.items, tables_set(0, item.header.kind), etag)
    return code


cdef int follow(Copier* copier, uint64_t etag) noexcept nogil:
    """Bring over all live rows behind `etag`, then the records."""
    cdef RowScan scan
    cdef int code = scan_start(&scan, &copier.source.tables.items, SET_ALL, etag + 1, False)
    while code == OK:
        code = scan_next(&scan)
        if code == E_NOT_FOUND:
            return copy_records(copier)
        if code == OK:
            code = contradiction(copier, follow_row(copier, scan.row_id, &scan.row))
            copier.rows += 1
        if code == OK:
            code = copier_wrote(copier, scan.row.size)
    return code


cdef int copier_run(Copier* copier, bint first, uint64_t* last_etag) noexcept nogil:
    cdef DatabaseState state
    cdef int code = state_read(&copier.source.tables, &state)
    if code == OK:
        code = copier_begin(copier)
    if code == OK:
        code = copy_all(copier) if first else follow(copier, last_etag[0])
    if code == OK:
        code = env_commit(&copier.txn, &copier.error)
    if code != OK:
        if copier.error.code == OK and copier.txn.error.code != OK:
            copier.error = copier.txn.error
        if copier.error.code == OK:
            copier.error = copier.source.txn.error
        error_set(&copier.error, code, b"the compaction failed")
        env_abort(&copier.txn)
        return code
    last_etag[0] = state.last_etag
    return OK


# ---- for Python

@cython.final
cdef class Compaction:
    """New files for a database, in the making. Everything but `cancel` blocks, without the GIL, on one thread."""

    def __cinit__(self, DocumentStore store not None, str directory not None, str tag not None, *,
                  str allow_unsafe_filesystem=None):
        cdef bytes path = os.fsencode(directory)
        cdef bytes allowed = allow_unsafe_filesystem.encode() if allow_unsafe_filesystem else b""
        cdef bytes tag_bytes = tag.encode()
        cdef uint32_t tag_number = tag_parse(tag_bytes, <size_t>len(tag_bytes))
        cdef const char* path_text = path
        cdef EnvOptions options
        cdef ErrorDetail error
        cdef Txn txn
        cdef int code
        error_clear(&error)
        memset(&options, 0, sizeof(EnvOptions))
        options.allow_filesystem = <const char*>allowed if allowed else NULL
        store_enter_or_raise(store)
        self.store = store
        with nogil:
            code = env_create(path_text, &options, &self.target, &error)
            if code == OK:
                code = env_begin_write(self.target, &txn)
                if code == OK:
                    code = tables_create(&txn, store.tables.database_id, tag_number, &self.tables)
                if code == OK:
                    code = env_commit(&txn, &error)
                else:
                    error = txn.error
                    env_abort(&txn)
        if code != OK:
            self.close()
            error_set(&error, code, b"the new files cannot be made")
            raise_error(&error)

    def __dealloc__(self):
        self.close()

    def copy(self):
        """Bring over everything that one snapshot of now holds. Once, and first."""
        self.run(True)

    def catch_up(self):
        """Bring over what was written since; how many rows that were."""
        cdef uint64_t before = self.rows
        self.run(False)
        return self.rows - before

    cdef int run(self, bint first) except -1:
        cdef Copier copier
        cdef Snapshot snapshot
        cdef ErrorDetail error
        cdef uint64_t last_etag = self.last_etag
        cdef int code
        error_clear(&error)
        if self.target == NULL or self.store is None:
            error_set(&error, E_CLOSED, b"the compaction has ended")
            raise_error(&error)
        memset(&copier, 0, sizeof(Copier))
        copier.target = self.target
        copier.known = &self.tables
        copier.canceled = &self.canceled
        copier.source = &snapshot
        with nogil:
            code = snapshot_begin(self.store, &snapshot)
            if code == OK:
                # Asked for after the snapshot: it may be ahead of it, and never behind.
                copier.user_txn = env_user_txn(self.store.env)
                code = copier_run(&copier, first, &last_etag)
            else:
                copier.error = snapshot.txn.error
            snapshot_end(&snapshot)
        if code != OK:
            raise_error(&copier.error)
        self.last_etag = last_etag
        self.rows += copier.rows
        self.size_bytes += copier.size_bytes
        return 0

    def cancel(self):
        """Make a `copy` or `catch_up` that runs in another thread fail soon."""
        atomic_store32(&self.canceled, 1)

    def finish(self):
        """Close the new files: whole and durable when this returns."""
        cdef Env* target = self.target
        cdef ErrorDetail error
        cdef int code
        error_clear(&error)
        self.target = NULL
        if target == NULL:
            return
        with nogil:
            code = env_close(target, &error)
        if code != OK:
            error_set(&error, code, b"the new files cannot be closed")
            raise_error(&error)

    def close(self):
        """Let go of the database, and of new files that were not finished. Twice is allowed."""
        cdef ErrorDetail error
        error_clear(&error)
        if self.target != NULL:
            with nogil:
                env_close(self.target, &error)
            self.target = NULL
        if self.store is not None:
            store_leave(self.store)
            self.store = None


def exchange(str first not None, str second not None):
    """Two directories change their names in one step, durably. Raises: OSError."""
    cdef bytes first_path = os.fsencode(first)
    cdef bytes second_path = os.fsencode(second)
    cdef const char* first_text = first_path
    cdef const char* second_text = second_path
    cdef int result
    with nogil:
        result = exchange_names(first_text, second_text)
    if result != 0:
        raise OSError(result, os.strerror(result), first, None, second)
    for parent in {os.path.dirname(os.path.abspath(first)), os.path.dirname(os.path.abspath(second))}:
        handle = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

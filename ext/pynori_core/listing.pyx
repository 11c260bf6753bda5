"""Start and step walks over documents; match patterns."""

from libc.string cimport memcmp, memcpy

from pynori_core.btree cimport Value
from pynori_core.cursor cimport cursor_init, cursor_next, cursor_seek, cursor_value, cursor_value_ahead
from pynori_core.errors cimport E_NOT_FOUND, E_TOO_LARGE, OK
from pynori_core.identifier cimport ID_SIZE_MAX, identifier_key
from pynori_core.items cimport snapshot_row
from pynori_core.table cimport SET_ALL, IndexEntry, scan_next, scan_start, set_skip, table_row_ask
from pynori_core.tables cimport (
    INDEX_ID,
    ITEM_DOCUMENT,
    Cover,
    DatabaseState,
    collection_find,
    cover_offset,
    item_decode,
    state_read,
    tables_set,
)

cdef enum:
    STEPS_AHEAD = 6                # of a walk by ids: how far memory is asked ahead

# ---- patterns

cdef bint wildcard(const uint8_t* pattern, size_t size, const uint8_t* text, size_t text_size) noexcept nogil:
    """One pattern against the whole text. `*` any bytes, `?` one character. Linear but for the last star's retries."""
    cdef size_t p = 0
    cdef size_t t = 0
    cdef size_t star = size
    cdef size_t star_text = 0
    while t < text_size:
        if p < size and pattern[p] == c'*':
            star = p
            star_text = t
            p += 1
        elif p < size and pattern[p] == c'?':
            p += 1
            t += 1
            while t < text_size and (text[t] & 0xC0) == 0x80:
                t += 1
        elif p < size and pattern[p] == text[t]:
            p += 1
            t += 1
        elif star < size:
            star_text += 1
            t = star_text
            p = star + 1
        else:
            return False
    while p < size and pattern[p] == c'*':
        p += 1
    return p == size


cdef bint pattern_match(const uint8_t* patterns, size_t size, const uint8_t* text, size_t text_size) noexcept nogil:
    cdef size_t start = 0
    cdef size_t position
    for position in range(size + 1):
        if position == size or patterns[position] == c'|':
            if wildcard(patterns + start, position - start, text, text_size):
                return True
            start = position + 1
    return False


cdef int pattern_set(Pattern* pattern, const uint8_t* text, size_t size) noexcept nogil:
    if size > ID_SIZE_MAX:
        return E_TOO_LARGE
    pattern.size = identifier_key(text, size, pattern.text)
    return OK


# ---- starting

cdef void walk_init(Walk* walk, Snapshot* snapshot, uint64_t start, uint64_t count) noexcept nogil:
    walk.snapshot = snapshot
    walk.skip = start
    walk.left = count
    walk.is_prefix = False
    walk.documents_only = True
    walk.started = False
    walk.empty = False
    walk.beyond = False
    walk.matches.size = 0
    walk.exclude.size = 0


cdef int walk_prefix(Walk* walk, Snapshot* snapshot, const uint8_t* prefix, size_t prefix_size,
                     const uint8_t* start_after, size_t start_after_size, uint64_t start,
                     uint64_t count) noexcept nogil:
    walk_init(walk, snapshot, start, count)
    if prefix_size > ID_SIZE_MAX or start_after_size > ID_SIZE_MAX:
        return E_TOO_LARGE
    walk.is_prefix = True
    walk.prefix_size = identifier_key(prefix, prefix_size, walk.prefix)
    walk.key_size = identifier_key(start_after, start_after_size, walk.key)
    walk.beyond = walk.key_size > 0
    if not walk.beyond or key_order(walk.key, walk.key_size, walk.prefix, walk.prefix_size) < 0:
        memcpy(walk.key, walk.prefix, walk.prefix_size)
        walk.key_size = walk.prefix_size
        walk.beyond = False
    cursor_init(&walk.cursor, &snapshot.tables.items.indexes[INDEX_ID])
    return OK


cdef inline int key_order(const uint8_t* left, size_t left_size, const uint8_t* right,
                          size_t right_size) noexcept nogil:
    cdef int order = memcmp(left, right, left_size if left_size < right_size else right_size)
    return order if order else <int>(left_size > right_size) - <int>(left_size < right_size)


cdef int walk_set(Walk* walk, uint64_t set_id, uint64_t row_id, bint backwards) noexcept nogil:
    """Begin in etag order at a row id, with as much of the skipping as the set can do by counting."""
    cdef uint64_t found
    cdef int code = OK
    if walk.skip:
        code = set_skip(&walk.snapshot.tables.items, set_id, row_id, walk.skip, backwards, &found)
        walk.skip = 0
        row_id = found
    if code == OK:
        code = scan_start(&walk.scan, &walk.snapshot.tables.items, set_id, row_id, backwards)
    walk.empty = code == E_NOT_FOUND
    return OK if walk.empty else code


cdef int walk_recent(Walk* walk, Snapshot* snapshot, uint64_t start, uint64_t count) noexcept nogil:
    cdef DatabaseState state
    cdef uint64_t kept
    cdef int code
    walk_init(walk, snapshot, start, count)
    code = state_read(&snapshot.tables, &state)
    if code != OK:
        return code
    # Counting skips tombstones and versions too: with any alive, the walk itself has to pass over the documents.
    kept = walk.skip if state.tombstones or state.versions else 0
    walk.skip -= kept
    code = walk_set(walk, SET_ALL, state.last_etag, True)
    walk.skip = kept
    return code


cdef int walk_collection(Walk* walk, Snapshot* snapshot, const uint8_t* name, size_t name_size, uint64_t start,
                         uint64_t count, bint descending) noexcept nogil:
    cdef DatabaseState state
    cdef uint32_t number
    cdef int code
    walk_init(walk, snapshot, start, count)
    code = walk_find(walk, name, name_size, &number)
    if code == OK and not walk.empty:
        code = state_read(&snapshot.tables, &state)
    if code != OK or walk.empty:
        return code
    return walk_set(walk, tables_set(number, ITEM_DOCUMENT), state.last_etag if descending else 0, descending)


cdef int walk_collection_since(Walk* walk, Snapshot* snapshot, const uint8_t* name, size_t name_size, uint64_t etag,
                               uint64_t count) noexcept nogil:
    cdef uint32_t number
    cdef int code
    walk_init(walk, snapshot, 0, count)
    code = walk_find(walk, name, name_size, &number)
    if code != OK or walk.empty:
        return code
    return walk_set(walk, tables_set(number, ITEM_DOCUMENT), etag + 1, False)


cdef int walk_find(Walk* walk, const uint8_t* name, size_t name_size, uint32_t* number) noexcept nogil:
    """The number of a collection; of one that is not there the walk is empty."""
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef int code = E_NOT_FOUND
    number[0] = 0
    if name_size <= ID_SIZE_MAX:
        code = collection_find(&walk.snapshot.tables, key, identifier_key(name, name_size, key), number)
    walk.empty = code == E_NOT_FOUND
    return OK if walk.empty else code


cdef int walk_items(Walk* walk, Snapshot* snapshot, uint64_t etag, uint64_t count) noexcept nogil:
    walk_init(walk, snapshot, 0, count)
    walk.documents_only = False
    if etag == <uint64_t>-1:
        walk.empty = True
        return OK
    return walk_set(walk, SET_ALL, etag + 1, False)


# ---- stepping

cdef int walk_next(Walk* walk) noexcept nogil:
    cdef int code
    while True:
        if walk.left == 0 or walk.empty:
            return E_NOT_FOUND
        code = step_prefix(walk) if walk.is_prefix else step_set(walk)
        if code != OK:
            walk.empty = code == E_NOT_FOUND
            return code
        if walk.skip == 0:
            walk.left -= 1
            return OK
        walk.skip -= 1


cdef int step_set(Walk* walk) noexcept nogil:
    cdef int code
    while True:
        code = scan_next(&walk.scan)
        if code == OK:
            code = item_decode(&walk.snapshot.txn, walk.scan.row_id, &walk.scan.row, &walk.item)
        if code != OK or not walk.documents_only or walk.item.header.kind == ITEM_DOCUMENT:
            return code


cdef int step_prefix(Walk* walk) noexcept nogil:
    cdef IndexEntry entry
    cdef Value value
    cdef int code
    while True:
        if walk.started:
            code = cursor_next(&walk.cursor)
        else:
            code = step_prefix_first(walk)
        if code != OK:
            return code
        if walk.cursor.key_size < walk.prefix_size or memcmp(walk.cursor.key, walk.prefix, walk.prefix_size):
            return E_NOT_FOUND
        code = cursor_value(&walk.cursor, &value)
        if code != OK:
            return code
        memcpy(&entry, value.data, sizeof(IndexEntry))
        ask_ahead(walk)
        if (<Cover*>entry.cover).kind != ITEM_DOCUMENT or not prefix_wanted(walk):
            continue
        # A skipped one is not read.
        return OK if walk.skip else snapshot_row(walk.snapshot, &entry, &walk.item)


cdef inline void ask_ahead(Walk* walk) noexcept nogil:
    """Rows lie in the order of their changes: one that is asked for some steps ahead is there when its turn comes."""
    cdef Value value
    cdef const IndexEntry* entry
    if walk.skip == 0 and cursor_value_ahead(&walk.cursor, STEPS_AHEAD, &value) == OK:
        entry = <const IndexEntry*>value.data
        table_row_ask(&walk.snapshot.tables.items, entry.page, cover_offset(<const Cover*>entry.cover))


cdef int step_prefix_first(Walk* walk) noexcept nogil:
    cdef int code
    walk.started = True
    # The empty key is no key: one zero byte is the least.
    if walk.key_size == 0:
        walk.key[0] = 0
        walk.key_size = 1
    code = cursor_seek(&walk.cursor, walk.key, walk.key_size)
    if code == OK and walk.beyond and walk.cursor.key_size == walk.key_size and not memcmp(
            walk.cursor.key, walk.key, walk.key_size):
        code = cursor_next(&walk.cursor)
    return code


cdef bint prefix_wanted(Walk* walk) noexcept nogil:
    cdef const uint8_t* rest = walk.cursor.key + walk.prefix_size
    cdef size_t rest_size = walk.cursor.key_size - walk.prefix_size
    if walk.matches.size and not pattern_match(walk.matches.text, walk.matches.size, rest, rest_size):
        return False
    return not walk.exclude.size or not pattern_match(walk.exclude.text, walk.exclude.size, rest, rest_size)

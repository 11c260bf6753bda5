"""Cursors: the path from the root to an entry, and steps along it. Every page is checked when the path enters it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from pynori_core.bits cimport compare_bytes, load64_be, unlikely
from pynori_core.btree cimport tree_corrupt, tree_descend, tree_header, tree_page, tree_value
from pynori_core.errors cimport E_INVALID, E_NOT_FOUND, OK
from pynori_core.format cimport TREE_INTEGER, TreeHeader
from pynori_core.slotted cimport (
    INTEGER_KEY_SIZE, SEARCH_CORRUPT, LeafEntry, branch_child, branch_search, leaf_entry, leaf_key, leaf_search,
    page_count,
)


cdef void cursor_init(Cursor* cursor, Tree* tree) noexcept nogil:
    cursor.tree = tree
    cursor.path.depth = 0
    cursor.leaf = NULL
    cursor.key = NULL
    cursor.key_size = 0


cdef int cursor_load(Cursor* cursor) noexcept nogil:
    """Point at the key of the path's entry."""
    cdef int leaf_level = cursor.path.depth - 1
    cdef const LeafEntry* entry = leaf_entry(cursor.leaf, cursor.path.slots[leaf_level])
    if unlikely(entry == NULL):
        return tree_corrupt(cursor.tree, cursor.path.pages[leaf_level], "an entry lies outside the page")
    cursor.key = leaf_key(entry)
    cursor.key_size = entry.key_size
    cursor.tree.last_page = cursor.path.pages[leaf_level]
    return OK


cdef int cursor_end(Cursor* cursor) noexcept nogil:
    cursor.path.depth = 0
    return E_NOT_FOUND


cdef int cursor_edge(Cursor* cursor, uint64_t page, int level, bint last) noexcept nogil:
    """Complete the path from `page` at `level` down to its first or last entry."""
    cdef const uint8_t* data
    cdef uint32_t position
    while True:
        data = tree_page(cursor.tree, page, level)
        if unlikely(data == NULL):
            cursor.path.depth = 0
            return cursor.tree.txn.error.code
        position = page_count(data) if last else 0
        cursor.path.pages[cursor.path.depth] = page
        cursor.path.slots[cursor.path.depth] = <uint16_t>position
        cursor.path.depth += 1
        if level == 0:
            break
        page = branch_child(data, position)
        level -= 1
    cursor.leaf = data
    if page_count(data) == 0:
        return cursor_end(cursor)  # only the root of an empty tree is a leaf without entries
    if last:
        cursor.path.slots[cursor.path.depth - 1] = <uint16_t>(position - 1)
    return cursor_load(cursor)


cdef int cursor_root(Cursor* cursor, bint last) noexcept nogil:
    cdef const TreeHeader* header = tree_header(cursor.tree)
    if unlikely(header == NULL):
        return cursor.tree.txn.error.code
    if unlikely(header.depth < 1 or header.depth > TREE_DEPTH_MAX):
        return tree_corrupt(cursor.tree, cursor.tree.catalog, "depth out of bounds")
    cursor.path.depth = 0
    return cursor_edge(cursor, header.root, header.depth - 1, last)


cdef int cursor_first(Cursor* cursor) noexcept nogil:
    return cursor_root(cursor, False)


cdef int cursor_last(Cursor* cursor) noexcept nogil:
    return cursor_root(cursor, True)


cdef int cursor_leaf_step(Cursor* cursor, bint backwards) noexcept nogil:
    """Go to the first entry of the next leaf, or the last one of the leaf before."""
    cdef int depth = cursor.path.depth
    cdef int level = depth - 2
    cdef const uint8_t* page
    while level >= 0:
        page = tree_page(cursor.tree, cursor.path.pages[level], depth - 1 - level)
        if unlikely(page == NULL):
            return cursor.tree.txn.error.code
        if backwards and cursor.path.slots[level] > 0:
            cursor.path.slots[level] -= 1
            break
        if not backwards and cursor.path.slots[level] < page_count(page):
            cursor.path.slots[level] += 1
            break
        level -= 1
    if level < 0:
        return cursor_end(cursor)
    cursor.path.depth = level + 1
    return cursor_edge(cursor, branch_child(page, cursor.path.slots[level]), depth - 2 - level, backwards)


cdef int cursor_next(Cursor* cursor) noexcept nogil:
    cdef int leaf_level = cursor.path.depth - 1
    if leaf_level < 0:
        return E_NOT_FOUND
    if cursor.path.slots[leaf_level] + 1 < <int>page_count(cursor.leaf):
        cursor.path.slots[leaf_level] += 1
        return cursor_load(cursor)
    return cursor_leaf_step(cursor, False)


cdef int cursor_previous(Cursor* cursor) noexcept nogil:
    cdef int leaf_level = cursor.path.depth - 1
    if leaf_level < 0:
        return E_NOT_FOUND
    if cursor.path.slots[leaf_level] > 0:
        cursor.path.slots[leaf_level] -= 1
        return cursor_load(cursor)
    return cursor_leaf_step(cursor, True)


cdef int cursor_descend(Cursor* cursor, const void* key, size_t key_size, bint* found) noexcept nogil:
    cdef int code
    if unlikely(key_size > KEY_SIZE_MAX or (cursor.tree.flags & TREE_INTEGER and key_size != INTEGER_KEY_SIZE)):
        cursor.path.depth = 0
        return E_INVALID
    code = tree_descend(cursor.tree, key, key_size, &cursor.path, &cursor.leaf, found)
    if code != OK:
        cursor.path.depth = 0
    return code


cdef int cursor_seek(Cursor* cursor, const void* key, size_t key_size) noexcept nogil:
    cdef bint found = False
    cdef int code = cursor_descend(cursor, key, key_size, &found)
    if code != OK:
        return code
    if cursor.path.slots[cursor.path.depth - 1] < page_count(cursor.leaf):
        return cursor_load(cursor)
    return cursor_leaf_step(cursor, False)


cdef int cursor_seek_before(Cursor* cursor, const void* key, size_t key_size) noexcept nogil:
    cdef bint found = False
    cdef int code = cursor_descend(cursor, key, key_size, &found)
    if code != OK:
        return code
    if found:
        return cursor_load(cursor)
    return cursor_previous(cursor)


cdef int cursor_value(Cursor* cursor, Value* value) noexcept nogil:
    if unlikely(cursor.path.depth == 0):
        return E_NOT_FOUND
    return tree_value(cursor.tree, cursor.leaf, cursor.path.slots[cursor.path.depth - 1], value)


cdef int cursor_value_ahead(Cursor* cursor, int steps, Value* value) noexcept nogil:
    cdef int leaf_level = cursor.path.depth - 1
    if leaf_level < 0 or cursor.path.slots[leaf_level] + steps >= <int>page_count(cursor.leaf):
        return E_NOT_FOUND
    return tree_value(cursor.tree, cursor.leaf, cursor.path.slots[leaf_level] + steps, value)


cdef int near_child(Cursor* cursor, const void* key, size_t key_size) noexcept nogil:
    """Step to the leaf of the same parent that must hold the key; E_NOT_FOUND when the parent cannot tell."""
    cdef int level = cursor.path.depth - 2
    cdef const uint8_t* page
    cdef int position
    if level < 0:
        return E_NOT_FOUND
    page = tree_page(cursor.tree, cursor.path.pages[level], 1)
    if unlikely(page == NULL):
        return cursor.tree.txn.error.code
    position = branch_search(page, cursor.tree.flags & TREE_INTEGER, key, key_size)
    # Left of the first and right of the last separator the key may lie outside the parent altogether.
    if position <= 0 or position == <int>page_count(page):
        return E_NOT_FOUND
    cursor.path.slots[level] = <uint16_t>position
    cursor.path.pages[level + 1] = branch_child(page, position)
    cursor.leaf = tree_page(cursor.tree, cursor.path.pages[level + 1], 0)
    return OK if cursor.leaf != NULL else cursor.tree.txn.error.code


cdef bint leaf_spans(Cursor* cursor, const void* key, size_t key_size) noexcept nogil:
    """Whether the key lies between the first and the last of the current leaf."""
    cdef const LeafEntry* first = leaf_entry(cursor.leaf, 0)
    cdef const LeafEntry* last = leaf_entry(cursor.leaf, page_count(cursor.leaf) - 1)
    if first == NULL or last == NULL:
        return False
    return (compare_bytes(leaf_key(last), last.key_size, key, key_size) >= 0
            and compare_bytes(leaf_key(first), first.key_size, key, key_size) <= 0)


cdef inline int leaf_guess(const uint8_t* leaf, const void* key) noexcept nogil:
    """Where an integer key stands if the keys from the leaf's first one on have no gaps; -1: not there. One look in
    place of seven, each of which waits for memory in a leaf that was not touched before."""
    cdef const LeafEntry* entry = leaf_entry(leaf, 0)
    cdef uint64_t distance
    if unlikely(entry == NULL or entry.key_size != INTEGER_KEY_SIZE):
        return -1
    distance = load64_be(key) - load64_be(leaf_key(entry))
    if distance >= page_count(leaf):
        return -1
    entry = leaf_entry(leaf, <uint32_t>distance)
    if entry == NULL or entry.key_size != INTEGER_KEY_SIZE or load64_be(leaf_key(entry)) != load64_be(key):
        return -1
    return <int>distance


cdef int cursor_find_near(Cursor* cursor, const void* key, size_t key_size) noexcept nogil:
    cdef bint found = False
    cdef int code = OK
    cdef int position = 0
    if cursor.path.depth == 0:
        code = cursor_descend(cursor, key, key_size, &found)
        if code == OK:
            position = cursor.path.slots[cursor.path.depth - 1]
    else:
        if not leaf_spans(cursor, key, key_size):
            code = near_child(cursor, key, key_size)
            if code == E_NOT_FOUND:
                code = cursor_descend(cursor, key, key_size, &found)
        if code == OK:
            position = leaf_guess(cursor.leaf, key) if cursor.tree.flags & TREE_INTEGER else -1
            found = position >= 0
            if not found:
                position = leaf_search(cursor.leaf, cursor.tree.flags & TREE_INTEGER, key, key_size, &found)
    if code == OK and position == SEARCH_CORRUPT:
        code = tree_corrupt(cursor.tree, cursor.path.pages[cursor.path.depth - 1], "an entry lies outside the page")
    if code == OK and not found:
        code = E_NOT_FOUND
    if code != OK:
        cursor.path.depth = 0
        return code
    cursor.path.slots[cursor.path.depth - 1] = <uint16_t>position
    return cursor_load(cursor)

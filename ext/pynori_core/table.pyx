"""Tables: append rows, find them, keep the bitmaps of sets, walk them, reclaim what died.

The sets tree maps (set id, row id >> 9), both big endian, to a bitmap of 512 bits, bit i of which is row
(group << 9) + i. In SET_ALL a second bitmap follows the first: the rows that are stored, dead or alive. `stored and not
alive` is what the cleaner looks for, so it reads 128 bytes for 512 rows; and a group all of whose rows died is still
found. A bitmap of another set may name dead rows until they are cleaned; `alive` is what makes members of its bits.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset, strlen
from pynori_core.bits cimport (
    leading_zeros64, load64, load64_be, popcount64, store64, store64_be, trailing_zeros64, unlikely,
)
from pynori_core.btree cimport (
    PUT_APPEND, PUT_INSERT, PUT_UPSERT, tree_adopt, tree_ask, tree_corrupt, tree_create, tree_delete, tree_get,
    tree_get_hinted, tree_header, tree_open, tree_pack, tree_put, tree_reserve, tree_update,
)
from pynori_core.cursor cimport (
    cursor_find_near, cursor_init, cursor_next, cursor_previous, cursor_seek, cursor_seek_before, cursor_value,
)
from pynori_core.errors cimport E_INVALID, E_NOT_FOUND, OK
from pynori_core.format cimport PAGE_SIZE, TREE_INDEX, TREE_INTEGER, TREE_ROWS, TREE_SETS, TreeHeader
from pynori_core.slotted cimport LEAF_KEY_OFFSET
from pynori_core.txn cimport txn_page

cdef enum:
    SET_KEY_SIZE = 16
    BITMAP_WORDS = 8
    BITMAP_SIZE = SET_BITMAP_SIZE
    STORED_OFFSET = BITMAP_SIZE        # of the second bitmap in a value of SET_ALL
    GROUP_MASK = SET_GROUP_ROWS - 1
    # Groups that one step of the cleaner looks at, beside one for each row that it may delete, which costs as much.
    CLEAN_LOOKS_MIN = 64
    HOMES_MAX = 8                      # sets whose bits of a group are cleared together


# Tables

cdef int table_tree(Table* table, const char* name, uint16_t flags, Tree* tree, bint create) noexcept nogil:
    """Open one of the table's trees; a new one learns whose it is."""
    cdef int code
    cdef bint ours = flags & TREE_ROWS
    if create:
        code = tree_create(table.txn, name, strlen(name), flags, tree)
    else:
        code = tree_open(table.txn, name, strlen(name), tree)
    if code != OK or ours:
        return code
    if tree_header(tree) == NULL:
        return table.txn.error.code
    if tree_header(tree).rows == table.rows.id:
        return OK
    return tree_adopt(tree, table.rows.id) if create else E_INVALID


cdef int table_trees(Txn* txn, const TableSchema* schema, Table* table, bint create) noexcept nogil:
    cdef int code, index
    if schema.index_count < 0 or schema.index_count > TABLE_INDEXES_MAX:
        return E_INVALID
    memset(table, 0, sizeof(Table))
    table.txn = txn
    table.index_count = schema.index_count
    table.home = schema.home
    code = table_tree(table, schema.rows, TREE_INTEGER | TREE_ROWS, &table.rows, create)
    if code == OK:
        code = table_tree(table, schema.sets, TREE_SETS, &table.sets, create)
    for index in range(schema.index_count):
        if code == OK:
            code = table_tree(table, schema.indexes[index], TREE_INDEX, &table.indexes[index], create)
    return code


cdef int table_create(Txn* txn, const TableSchema* schema, Table* table) noexcept nogil:
    return table_trees(txn, schema, table, True)


cdef int table_open(Txn* txn, const TableSchema* schema, Table* table) noexcept nogil:
    return table_trees(txn, schema, table, False)


# Rows

cdef uint8_t* table_append(Table* table, uint64_t row_id, uint64_t size, uint64_t* page,
                           uint32_t* offset) noexcept nogil:
    cdef uint8_t key[8]
    cdef uint8_t* row
    store64_be(key, row_id)
    row = tree_reserve(&table.rows, key, sizeof(key), size, PUT_INSERT | PUT_APPEND)
    if unlikely(row == NULL):
        return NULL
    page[0] = table.rows.last_page
    offset[0] = table_row_offset(table, page[0], row)
    return row if set_add(table, SET_ALL, row_id) == OK else NULL


cdef uint32_t table_row_offset(Table* table, uint64_t page, const uint8_t* row) noexcept nogil:
    cdef const uint8_t* leaf = txn_page(table.txn, page)
    if leaf == NULL or row < leaf or row >= leaf + PAGE_SIZE:
        return 0
    return <uint32_t>(row - leaf) - LEAF_KEY_OFFSET - <uint32_t>sizeof(uint64_t)


cdef void table_row_ask(Table* table, uint64_t page_hint, uint32_t offset_hint) noexcept nogil:
    if offset_hint != 0:
        tree_ask(&table.rows, page_hint, offset_hint)


cdef int table_row(Table* table, uint64_t row_id, uint64_t page_hint, uint32_t offset_hint, Value* row) noexcept nogil:
    cdef uint8_t key[8]
    store64_be(key, row_id)
    return tree_get_hinted(&table.rows, page_hint, offset_hint, key, sizeof(key), row)


cdef int table_delete(Table* table, uint64_t row_id) noexcept nogil:
    cdef uint64_t members[BITMAP_WORDS]
    cdef uint64_t home = SET_ALL
    cdef uint8_t key[8]
    cdef Value row
    cdef int code = OK
    store64_be(key, row_id)
    if table.home != NULL:
        code = tree_get(&table.rows, key, sizeof(key), &row)
        if code == OK:
            home = table.home(&row)
    if code == OK:
        code = tree_delete(&table.rows, key, sizeof(key))
    if code == OK and home != SET_ALL:
        memset(members, 0, BITMAP_SIZE)
        members[(row_id & GROUP_MASK) >> 6] = <uint64_t>1 << (row_id & 63)
        code = set_clear(table, home, row_id >> SET_GROUP_SHIFT, members)
    return row_unstore(table, row_id) if code == OK else code


cdef int row_unstore(Table* table, uint64_t row_id) noexcept nogil:
    """Take a row out of both bitmaps of SET_ALL."""
    cdef uint8_t* bitmap = set_group(table, SET_ALL, row_id >> SET_GROUP_SHIFT, False)
    if unlikely(bitmap == NULL):
        return set_failure(table, row_id)
    bit_clear(bitmap, row_id)
    bit_clear(bitmap + STORED_OFFSET, row_id)
    return set_group_trim(table, SET_ALL, row_id >> SET_GROUP_SHIFT, bitmap)


# Indexes

cdef int table_find(Table* table, int index, const void* key, size_t key_size, IndexEntry* entry) noexcept nogil:
    cdef Value value
    cdef int code = tree_get(&table.indexes[index], key, key_size, &value)
    if code != OK:
        return code
    if unlikely(value.size != sizeof(IndexEntry)):
        return tree_corrupt(&table.indexes[index], value.page, "an index entry of the wrong size")
    memcpy(entry, value.data, sizeof(IndexEntry))
    return OK


cdef int table_index_put(Table* table, int index, const void* key, size_t key_size,
                         const IndexEntry* entry) noexcept nogil:
    return tree_put(&table.indexes[index], key, key_size, entry, sizeof(IndexEntry), PUT_UPSERT)


cdef int table_index_delete(Table* table, int index, const void* key, size_t key_size) noexcept nogil:
    return tree_delete(&table.indexes[index], key, key_size)


# Sets

cdef inline bint bit_test(const uint8_t* bitmap, uint64_t row_id) noexcept nogil:
    return (bitmap[(row_id & GROUP_MASK) >> 3] >> (row_id & 7)) & 1


cdef inline void bit_set(uint8_t* bitmap, uint64_t row_id) noexcept nogil:
    bitmap[(row_id & GROUP_MASK) >> 3] |= <uint8_t>(1 << (row_id & 7))


cdef inline void bit_clear(uint8_t* bitmap, uint64_t row_id) noexcept nogil:
    bitmap[(row_id & GROUP_MASK) >> 3] &= <uint8_t>~(1 << (row_id & 7))


cdef inline void set_key(uint8_t* key, uint64_t set_id, uint64_t group) noexcept nogil:
    store64_be(key, set_id)
    store64_be(key + 8, group)


cdef inline uint64_t bitmap_size(uint64_t set_id) noexcept nogil:
    return 2 * BITMAP_SIZE if set_id == SET_ALL else BITMAP_SIZE


cdef int set_failure(Table* table, uint64_t row_id) noexcept nogil:
    """The code to answer with after set_group answered NULL: a failure, or that the set holds nothing there."""
    return table.txn.error.code if table.txn.error.code != OK else E_NOT_FOUND


cdef uint8_t* set_group(Table* table, uint64_t set_id, uint64_t group, bint create) noexcept nogil:
    """The writable bitmap of a group; NULL with `txn.error` clear when there is none and `create` is off."""
    cdef uint8_t key[SET_KEY_SIZE]
    cdef uint64_t size = 0
    cdef uint8_t* bitmap
    set_key(key, set_id, group)
    bitmap = tree_update(&table.sets, key, SET_KEY_SIZE, &size)
    if bitmap == NULL and create and table.txn.error.code == OK:
        size = bitmap_size(set_id)
        bitmap = tree_reserve(&table.sets, key, SET_KEY_SIZE, size, PUT_UPSERT)
        if bitmap != NULL:
            memset(bitmap, 0, size)
    if unlikely(bitmap != NULL and size != bitmap_size(set_id)):
        tree_corrupt(&table.sets, table.sets.last_page, "a set bitmap of the wrong size")
        return NULL
    return bitmap


cdef int set_group_trim(Table* table, uint64_t set_id, uint64_t group, const uint8_t* bitmap) noexcept nogil:
    """Remove the entry of a group whose bitmaps have become empty."""
    cdef uint8_t key[SET_KEY_SIZE]
    cdef uint64_t offset
    for offset in range(0, bitmap_size(set_id), 8):
        if load64(bitmap + offset) != 0:
            return OK
    set_key(key, set_id, group)
    return tree_delete(&table.sets, key, SET_KEY_SIZE)


cdef int set_add(Table* table, uint64_t set_id, uint64_t row_id) noexcept nogil:
    cdef uint8_t* bitmap = set_group(table, set_id, row_id >> SET_GROUP_SHIFT, True)
    if unlikely(bitmap == NULL):
        return table.txn.error.code
    bit_set(bitmap, row_id)
    if set_id == SET_ALL:
        bit_set(bitmap + STORED_OFFSET, row_id)
    return OK


cdef int set_remove(Table* table, uint64_t set_id, uint64_t row_id) noexcept nogil:
    cdef uint8_t* bitmap = set_group(table, set_id, row_id >> SET_GROUP_SHIFT, False)
    if unlikely(bitmap == NULL):
        return set_failure(table, row_id)
    if unlikely(not bit_test(bitmap, row_id)):
        return E_NOT_FOUND
    bit_clear(bitmap, row_id)
    return set_group_trim(table, set_id, row_id >> SET_GROUP_SHIFT, bitmap)


cdef int set_clear(Table* table, uint64_t set_id, uint64_t group, const uint64_t* rows) noexcept nogil:
    """Take rows of a group out of a set that may have them."""
    cdef int word
    cdef uint8_t* bitmap = set_group(table, set_id, group, False)
    if bitmap == NULL:
        return table.txn.error.code
    for word in range(BITMAP_WORDS):
        store64(bitmap + 8 * word, load64(bitmap + 8 * word) & ~rows[word])
    return set_group_trim(table, set_id, group, bitmap)


cdef bint set_contains(Table* table, uint64_t set_id, uint64_t row_id) noexcept nogil:
    cdef uint8_t key[SET_KEY_SIZE]
    cdef Value value
    set_key(key, set_id, row_id >> SET_GROUP_SHIFT)
    if tree_get(&table.sets, key, SET_KEY_SIZE, &value) != OK or value.size != bitmap_size(set_id):
        return False
    return bit_test(value.data, row_id) and (set_id == SET_ALL or set_contains(table, SET_ALL, row_id))


cdef int set_members(Table* table, uint64_t set_id, uint64_t group, const uint8_t* bitmap,
                     uint64_t* members) noexcept nogil:
    cdef uint8_t key[SET_KEY_SIZE]
    cdef Value alive
    cdef int word, code
    memcpy(members, bitmap, BITMAP_SIZE)
    if set_id == SET_ALL:
        return OK
    set_key(key, SET_ALL, group)
    code = tree_get(&table.sets, key, SET_KEY_SIZE, &alive)
    if unlikely(code == E_NOT_FOUND or (code == OK and alive.size != bitmap_size(SET_ALL))):
        return tree_corrupt(&table.sets, table.sets.last_page, "a set names rows that are not stored")
    if code == OK:
        for word in range(BITMAP_WORDS):
            members[word] &= load64(alive.data + 8 * word)
    return code


# Walks over the bitmaps of a set

cdef struct GroupWalk:
    Table* table
    uint64_t set_id
    bint backwards
    Cursor cursor
    uint64_t group                 # current
    const uint8_t* bitmap          # its bitmap, two of them in SET_ALL
    uint64_t members[BITMAP_WORDS]  # of the set in the group, possibly none


cdef int walk_load(GroupWalk* walk, int code) noexcept nogil:
    """Take the entry that the cursor reached with `code`; E_NOT_FOUND when it belongs to another set."""
    cdef Value value
    if code != OK:
        return code
    if unlikely(walk.cursor.key_size != SET_KEY_SIZE):
        return tree_corrupt(walk.cursor.tree, walk.cursor.tree.last_page, "a set key of the wrong size")
    if load64_be(walk.cursor.key) != walk.set_id:
        return E_NOT_FOUND
    code = cursor_value(&walk.cursor, &value)
    if code != OK:
        return code
    if unlikely(value.size != bitmap_size(walk.set_id)):
        return tree_corrupt(walk.cursor.tree, walk.cursor.tree.last_page, "a set bitmap of the wrong size")
    walk.group = load64_be(walk.cursor.key + 8)
    walk.bitmap = value.data
    return set_members(walk.table, walk.set_id, walk.group, walk.bitmap, walk.members)


cdef int walk_start(GroupWalk* walk, Table* table, uint64_t set_id, uint64_t group, bint backwards) noexcept nogil:
    """To the first group at or after `group`, or the last one at or before."""
    cdef uint8_t key[SET_KEY_SIZE]
    walk.table = table
    walk.set_id = set_id
    walk.backwards = backwards
    set_key(key, set_id, group)
    cursor_init(&walk.cursor, &table.sets)
    if backwards:
        return walk_load(walk, cursor_seek_before(&walk.cursor, key, SET_KEY_SIZE))
    return walk_load(walk, cursor_seek(&walk.cursor, key, SET_KEY_SIZE))


cdef int walk_next(GroupWalk* walk) noexcept nogil:
    if walk.backwards:
        return walk_load(walk, cursor_previous(&walk.cursor))
    return walk_load(walk, cursor_next(&walk.cursor))


cdef void members_bound(uint64_t* members, uint64_t row_id, bint backwards) noexcept nogil:
    """Drop the members before row_id (backwards: after it) from its own group's."""
    cdef int here = <int>((row_id & GROUP_MASK) >> 6)
    cdef int shift = <int>(row_id & 63)
    cdef int word
    for word in range(BITMAP_WORDS):
        if word == here:
            if backwards:
                members[word] &= (<uint64_t>-1) >> (63 - shift)
            else:
                members[word] &= (<uint64_t>-1) << shift
        elif (word > here) == backwards:
            members[word] = 0


cdef uint64_t members_count(const uint64_t* members) noexcept nogil:
    cdef uint64_t count = 0
    cdef int word
    for word in range(BITMAP_WORDS):
        count += popcount64(members[word])
    return count


cdef int members_take(uint64_t* members, bint backwards) noexcept nogil:
    """Take the first (backwards: last) member out and return its position, or -1 when there is none."""
    cdef int step, word, bit
    for step in range(BITMAP_WORDS):
        word = BITMAP_WORDS - 1 - step if backwards else step
        if members[word] != 0:
            bit = 63 - leading_zeros64(members[word]) if backwards else trailing_zeros64(members[word])
            members[word] &= ~(<uint64_t>1 << bit)
            return word * 64 + bit
    return -1


cdef int set_skip(Table* table, uint64_t set_id, uint64_t row_id, uint64_t count, bint backwards,
                  uint64_t* found) noexcept nogil:
    cdef GroupWalk walk
    cdef uint64_t here, _step
    cdef int position = 0
    cdef int code = walk_start(&walk, table, set_id, row_id >> SET_GROUP_SHIFT, backwards)
    while code == OK:
        if walk.group == row_id >> SET_GROUP_SHIFT:
            members_bound(walk.members, row_id, backwards)
        here = members_count(walk.members)
        if count < here:
            for _step in range(count + 1):
                position = members_take(walk.members, backwards)
            found[0] = (walk.group << SET_GROUP_SHIFT) + <uint64_t>position
            return OK
        count -= here
        code = walk_next(&walk)
    return code


cdef int set_next(Table* table, uint64_t set_id, uint64_t row_id, uint64_t* found) noexcept nogil:
    return set_skip(table, set_id, row_id, 0, False, found)


cdef int set_previous(Table* table, uint64_t set_id, uint64_t row_id, uint64_t* found) noexcept nogil:
    return set_skip(table, set_id, row_id, 0, True, found)


cdef uint64_t set_count(Table* table, uint64_t set_id) noexcept nogil:
    cdef GroupWalk walk
    cdef uint64_t count = 0
    cdef int code = walk_start(&walk, table, set_id, 0, False)
    while code == OK:
        count += members_count(walk.members)
        code = walk_next(&walk)
    return count


# Scans

cdef int scan_group(RowScan* scan, uint64_t group) noexcept nogil:
    """Load the members of the first group at or after `group` (backwards: the last one at or before)."""
    cdef GroupWalk walk
    cdef int code = walk_start(&walk, scan.table, scan.set_id, group, scan.backwards)
    if code == OK:
        scan.group = walk.group
        memcpy(scan.members, walk.members, BITMAP_SIZE)
    return code


cdef int scan_start(RowScan* scan, Table* table, uint64_t set_id, uint64_t row_id, bint backwards) noexcept nogil:
    cdef uint64_t group = row_id >> SET_GROUP_SHIFT
    cdef int code
    scan.table = table
    scan.set_id = set_id
    scan.row_id = row_id
    scan.backwards = backwards
    scan.group = group
    memset(scan.members, 0, BITMAP_SIZE)
    cursor_init(&scan.cursor, &table.rows)
    code = scan_group(scan, group)
    if code == OK and scan.group == group:
        members_bound(scan.members, row_id, backwards)
    return OK if code == E_NOT_FOUND else code


cdef int scan_next(RowScan* scan) noexcept nogil:
    cdef uint8_t key[8]
    cdef int code
    cdef int position = members_take(scan.members, scan.backwards)
    while unlikely(position < 0):
        if scan.group == (0 if scan.backwards else (<uint64_t>-1) >> SET_GROUP_SHIFT):
            return E_NOT_FOUND
        code = scan_group(scan, scan.group - 1 if scan.backwards else scan.group + 1)
        if code != OK:
            return code
        position = members_take(scan.members, scan.backwards)
    scan.row_id = (scan.group << SET_GROUP_SHIFT) + <uint64_t>position
    store64_be(key, scan.row_id)
    code = cursor_find_near(&scan.cursor, key, sizeof(key))
    if unlikely(code == E_NOT_FOUND):
        return tree_corrupt(&scan.table.rows, scan.table.rows.last_page, "a member of a set is not there")
    return cursor_value(&scan.cursor, &scan.row) if code == OK else code


# Cleaning

cdef uint64_t rows_pages(Table* table) noexcept nogil:
    cdef const TreeHeader* header = tree_header(&table.rows)
    return header.branch_pages + header.leaf_pages + header.run_pages if header != NULL else 0


cdef struct Homes:                     # rows of one group, by their home
    uint64_t set_ids[HOMES_MAX]
    uint64_t rows[HOMES_MAX][BITMAP_WORDS]
    int count


cdef int homes_leave(Table* table, uint64_t group, Homes* homes) noexcept nogil:
    cdef int index
    cdef int code = OK
    for index in range(homes.count):
        if code == OK:
            code = set_clear(table, homes.set_ids[index], group, homes.rows[index])
    homes.count = 0
    return code


cdef int homes_add(Table* table, uint64_t row_id, const Value* row, Homes* homes) noexcept nogil:
    """A row will leave its home with the next homes_leave, or does so here, with others."""
    cdef uint64_t home = table.home(row)
    cdef int index = 0
    cdef int code = OK
    if home == SET_ALL:
        return OK
    while index < homes.count and homes.set_ids[index] != home:
        index += 1
    if index == HOMES_MAX:
        code = homes_leave(table, row_id >> SET_GROUP_SHIFT, homes)
        index = 0
    if index == homes.count:
        homes.set_ids[index] = home
        memset(homes.rows[index], 0, BITMAP_SIZE)
        homes.count += 1
    homes.rows[index][(row_id & GROUP_MASK) >> 6] |= <uint64_t>1 << (row_id & 63)
    return code


cdef int row_forget(Table* table, uint64_t row_id, Homes* homes) noexcept nogil:
    """Delete a dead row; `homes` learns where it is named still."""
    cdef uint8_t key[8]
    cdef Value row
    cdef int code = OK
    store64_be(key, row_id)
    if table.home != NULL:
        code = tree_get(&table.rows, key, sizeof(key), &row)
        if code == OK:
            code = homes_add(table, row_id, &row, homes)
    if code == OK:
        code = tree_delete(&table.rows, key, sizeof(key))
    if unlikely(code == E_NOT_FOUND):
        return tree_corrupt(&table.rows, table.rows.last_page, "a stored row is not there")
    return code


cdef int group_clean(Table* table, uint64_t group, uint64_t* dead) noexcept nogil:
    """Delete the dead rows of a group, pack the leaves that held them, and forget that they were stored."""
    cdef uint8_t first[8]
    cdef uint8_t last[8]
    cdef uint8_t* bitmap
    cdef uint64_t start = group << SET_GROUP_SHIFT
    cdef uint64_t deleted[BITMAP_WORDS]
    cdef Homes homes
    cdef int word, position, code
    homes.count = 0
    memcpy(deleted, dead, BITMAP_SIZE)
    position = members_take(deleted, False)
    while position >= 0:
        code = row_forget(table, start + <uint64_t>position, &homes)
        if code != OK:
            return code
        position = members_take(deleted, False)
    code = homes_leave(table, group, &homes)
    if code != OK:
        return code
    store64_be(first, start)
    store64_be(last, start + GROUP_MASK)
    code = tree_pack(&table.rows, first, sizeof(first), last, sizeof(last))
    if code != OK:
        return code
    bitmap = set_group(table, SET_ALL, group, False)
    if unlikely(bitmap == NULL):
        return set_failure(table, start)
    bitmap += STORED_OFFSET
    for word in range(BITMAP_WORDS):
        store64(bitmap + 8 * word, load64(bitmap + 8 * word) & ~dead[word])
    return set_group_trim(table, SET_ALL, group, bitmap - STORED_OFFSET)


cdef int table_clean(Table* table, uint64_t* position, uint64_t rows_max, int bar, uint64_t* freed) noexcept nogil:
    cdef GroupWalk walk
    cdef uint64_t dead[BITMAP_WORDS]
    cdef uint64_t before = rows_pages(table)
    cdef uint64_t looks = CLEAN_LOOKS_MIN + rows_max
    cdef uint64_t cleaned = 0
    cdef int word
    cdef int code = walk_start(&walk, table, SET_ALL, position[0], False)
    while code == OK and looks > 0 and cleaned < rows_max:
        looks -= 1
        position[0] = walk.group + 1
        memcpy(dead, walk.bitmap + STORED_OFFSET, BITMAP_SIZE)
        for word in range(BITMAP_WORDS):
            dead[word] &= ~walk.members[word]
        if members_count(dead) * bar > 2 * members_count(walk.members):
            cleaned += members_count(dead)
            code = group_clean(table, walk.group, dead)
            if code == OK:
                code = walk_start(&walk, table, SET_ALL, position[0], False)
        else:
            code = walk_next(&walk)
    if code == E_NOT_FOUND:
        position[0] = 0
    freed[0] = before - rows_pages(table)
    return code

"""Create, open and read the trees of an index."""

from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy, memset

from pynori_core.bits cimport load16, load64_be, store16, store64
from pynori_core.btree cimport PUT_UPSERT, tree_create, tree_get, tree_open, tree_put, tree_reserve, tree_update
from pynori_core.cursor cimport cursor_find_near, cursor_init, cursor_next, cursor_seek, cursor_value
from pynori_core.errors cimport E_CORRUPT, E_NO_MEMORY, E_NOT_FOUND, E_TOO_LARGE, E_VERSION, OK, error_set
from pynori_core.format cimport TREE_INTEGER
from pynori_core.index_entry cimport entry_open
from pynori_core.matches cimport ids_add
from pynori_core.posting cimport block_open, varint_read

cdef enum:
    LENGTHS_SIZE = 2048            # a block of lengths: u16 each
    LENGTH_MAX = 65535             # longer texts count as this long
    COLUMN_SIZE = 2048             # a block of a column: u64 each

cdef const char* META = b"meta"
cdef const char* DOCUMENTS = b"documents"
cdef const char* ENTRIES = b"entries"
cdef const char* TERMS = b"terms"
cdef const char* LENGTHS = b"lengths"
cdef const char* COLUMNS = b"columns"


cdef int trees_each(Txn* txn, IndexTrees* trees, bint create) noexcept nogil:
    cdef const char* names[6]
    cdef size_t sizes[6]
    cdef Tree* each[6]
    cdef int index, code
    names[0], names[1], names[2], names[3], names[4], names[5] = META, DOCUMENTS, ENTRIES, TERMS, LENGTHS, COLUMNS
    sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5] = 4, 9, 7, 5, 7, 7
    each[0], each[1] = &trees.meta, &trees.documents
    each[2], each[3] = &trees.entries, &trees.terms
    each[4], each[5] = &trees.lengths, &trees.columns
    memset(trees, 0, sizeof(IndexTrees))
    trees.txn = txn
    for index in range(6):
        if create:
            code = tree_create(txn, names[index], sizes[index], TREE_INTEGER if index == 2 else 0, each[index])
        else:
            code = tree_open(txn, names[index], sizes[index], each[index])
        if code == E_NOT_FOUND:
            error_set(&txn.error, E_CORRUPT, b"X1 violated: the environment holds no index: no tree '%s'",
                      names[index])
            return E_CORRUPT
        if code != OK:
            return code
    return OK


cdef int trees_create(Txn* txn, IndexTrees* trees) noexcept nogil:
    cdef int code = trees_each(txn, trees, True)
    if code != OK:
        return code
    trees.state.format = INDEX_FORMAT
    trees.state.next_entry = 1
    return trees_save(trees)


cdef int trees_open(Txn* txn, IndexTrees* trees) noexcept nogil:
    cdef Value value
    cdef int code = trees_each(txn, trees, False)
    if code != OK:
        return code
    code = tree_get(&trees.meta, b"s", 1, &value)
    if code == E_NOT_FOUND or (code == OK and value.size != sizeof(IndexState)):
        error_set(&txn.error, E_CORRUPT, b"X1 violated: the index has no state")
        return E_CORRUPT
    if code != OK:
        return code
    memcpy(&trees.state, value.data, sizeof(IndexState))
    if trees.state.format != INDEX_FORMAT:
        error_set(&txn.error, E_VERSION, b"the index has format %u, this build knows %d", trees.state.format,
                  <int>INDEX_FORMAT)
        return E_VERSION
    return fields_read(trees)


cdef int fields_read(IndexTrees* trees) noexcept nogil:
    cdef Cursor cursor
    cdef Value value
    cdef uint32_t number
    cdef int code
    if trees.state.fields >= FIELDS_MAX:
        return trees_corrupt(trees, b"X2 violated: too many fields", 0)
    if not table_reserve(&trees.fields, trees.state.fields + 1):
        error_set(&trees.txn.error, E_NO_MEMORY, b"no memory for the fields of an index")
        return E_NO_MEMORY
    cursor_init(&cursor, &trees.meta)
    code = cursor_seek(&cursor, b"f", 1)
    number = 0
    while code == OK and cursor.key_size == 3 and cursor.key[0] == c'f':
        number += 1
        code = cursor_value(&cursor, &value)
        if code != OK:
            return code
        if (number > trees.state.fields or value.size <= sizeof(FieldRecord)
                or ((<uint32_t>cursor.key[1] << 8) | cursor.key[2]) != number):
            return trees_corrupt(trees, b"X2 violated: the record of a field is wrong", 0)
        memcpy(&trees.fields.records[number], value.data, sizeof(FieldRecord))
        code = cursor_next(&cursor)
    if code != OK and code != E_NOT_FOUND:
        return code
    if number != trees.state.fields:
        return trees_corrupt(trees, b"X2 violated: a field has no record", 0)
    return OK


cdef bint table_reserve(FieldTable* table, uint32_t count) noexcept nogil:
    cdef FieldRecord* records
    if count <= table.count:
        return True
    records = <FieldRecord*>realloc(table.records, count * sizeof(FieldRecord))
    if records == NULL:
        return False
    memset(records + table.count, 0, (count - table.count) * sizeof(FieldRecord))
    table.records = records
    table.count = count
    return True


cdef void trees_release(IndexTrees* trees) noexcept nogil:
    free(trees.fields.records)
    trees.fields.records = NULL
    trees.fields.count = 0


cdef void trees_bind(const IndexTrees* known, Txn* txn, IndexTrees* trees) noexcept nogil:
    memcpy(trees, known, sizeof(IndexTrees))
    trees.txn = txn
    trees.meta.txn = txn
    trees.documents.txn = txn
    trees.entries.txn = txn
    trees.terms.txn = txn
    trees.lengths.txn = txn
    trees.columns.txn = txn


cdef inline void field_key(uint8_t* key, uint32_t number) noexcept nogil:
    key[0] = c'f'
    key[1] = <uint8_t>(number >> 8)
    key[2] = <uint8_t>number


cdef int trees_save(IndexTrees* trees) noexcept nogil:
    cdef uint8_t key[3]
    cdef uint8_t* record
    cdef uint64_t size = 0
    cdef uint32_t number
    cdef Value value
    cdef int code = tree_put(&trees.meta, b"s", 1, &trees.state, sizeof(IndexState), PUT_UPSERT)
    for number in range(1, trees.fields.count):
        if code != OK:
            return code
        field_key(key, number)
        code = tree_get(&trees.meta, key, 3, &value)
        if code != OK or same_record(value.data, &trees.fields.records[number]):
            continue
        record = tree_update(&trees.meta, key, 3, &size)
        if record == NULL:
            return trees_corrupt(trees, b"X2 violated: a field has no record", 0)
        memcpy(record, &trees.fields.records[number], sizeof(FieldRecord))
    return code


cdef inline bint same_record(const uint8_t* data, const FieldRecord* record) noexcept nogil:
    """Whether both are the same: most commits change the counts of few fields."""
    return memcmp(data, record, sizeof(FieldRecord)) == 0


cdef int trees_corrupt(IndexTrees* trees, const char* what, uint64_t entry) noexcept nogil:
    if entry:
        error_set(&trees.txn.error, E_CORRUPT, b"index: %s (entry %llu)", what, <unsigned long long>entry)
    else:
        error_set(&trees.txn.error, E_CORRUPT, b"index: %s", what)
    return E_CORRUPT


cdef int field_create(IndexTrees* trees, const uint8_t* name, size_t name_size, uint8_t flags,
                      uint32_t* number) noexcept nogil:
    cdef uint8_t key[3]
    cdef uint8_t* place
    if trees.state.fields + 1 >= FIELDS_MAX or name_size == 0 or name_size > FIELD_NAME_SIZE_MAX:
        return E_TOO_LARGE
    number[0] = trees.state.fields + 1
    if not table_reserve(&trees.fields, number[0] + 1):
        return E_NO_MEMORY
    memset(&trees.fields.records[number[0]], 0, sizeof(FieldRecord))
    trees.fields.records[number[0]].flags = flags
    field_key(key, number[0])
    place = tree_reserve(&trees.meta, key, 3, sizeof(FieldRecord) + name_size, PUT_UPSERT)
    if place == NULL:
        return trees.txn.error.code
    memcpy(place, &trees.fields.records[number[0]], sizeof(FieldRecord))
    memcpy(place + sizeof(FieldRecord), name, name_size)
    trees.state.fields = number[0]
    return OK


cdef int field_name(IndexTrees* trees, uint32_t number, const uint8_t** name, size_t* size) noexcept nogil:
    cdef uint8_t key[3]
    cdef Value value
    cdef int code
    field_key(key, number)
    code = tree_get(&trees.meta, key, 3, &value)
    if code == E_NOT_FOUND or (code == OK and value.size <= sizeof(FieldRecord)):
        return trees_corrupt(trees, b"X2 violated: a field has no record", 0)
    if code == OK:
        name[0] = value.data + sizeof(FieldRecord)
        size[0] = value.size - sizeof(FieldRecord)
    return code


cdef int entries_decode(const Value* value, IdList* ids) noexcept nogil:
    cdef const uint8_t* here = value.data
    cdef const uint8_t* end = here + value.size
    cdef uint64_t id = 0
    cdef uint64_t distance
    while here < end:
        if not varint_read(&here, end, &distance) or distance == 0:
            return E_CORRUPT
        id += distance
        ids_add(ids, id)
    return E_NO_MEMORY if ids.failed else OK


cdef int document_entries(IndexTrees* trees, const uint8_t* key, size_t key_size, IdList* ids) noexcept nogil:
    cdef Value value
    cdef int code = tree_get(&trees.documents, key, key_size, &value)
    if code != OK:
        return code
    code = entries_decode(&value, ids)
    if code == E_CORRUPT:
        return trees_corrupt(trees, b"X4 violated: the entries of a document are no list of ids", 0)
    return code


cdef int entry_read(IndexTrees* trees, Cursor* cursor, uint64_t id, EntryView* view) noexcept nogil:
    cdef uint8_t key[8]
    cdef Value value
    cdef int code
    store64_be(key, id)
    code = cursor_find_near(cursor, key, sizeof(key))
    if code == OK:
        code = cursor_value(cursor, &value)
    if code == OK and entry_open(value.data, value.size, view) != OK:
        return trees_corrupt(trees, b"X3 violated: the record of an entry is broken", id)
    return code


cdef int block_at(IndexTrees* trees, Cursor* cursor, Block* block) noexcept nogil:
    cdef uint64_t first = load64_be(cursor.key + cursor.key_size - 8)
    cdef Value value
    cdef int code = cursor_value(cursor, &value)
    if code == OK and block_open(first, value.data, value.size, block) != OK:
        return trees_corrupt(trees, b"X6 violated: a block of ids is broken, the first is", first)
    return code


# ---- lengths

cdef inline void lengths_key(uint8_t* key, uint32_t field, uint64_t group) noexcept nogil:
    key[0] = <uint8_t>(field >> 8)
    key[1] = <uint8_t>field
    store64_be(key + 2, group)


cdef uint32_t length_read(IndexTrees* trees, uint32_t field, uint64_t id, uint64_t* group,
                          const uint8_t** lengths) noexcept nogil:
    cdef uint8_t key[10]
    cdef Value value
    if id >> LENGTHS_SHIFT != group[0]:
        group[0] = id >> LENGTHS_SHIFT
        lengths_key(key, field, group[0])
        lengths[0] = NULL
        if tree_get(&trees.lengths, key, sizeof(key), &value) == OK and value.size == LENGTHS_SIZE:
            lengths[0] = value.data
    if lengths[0] == NULL:
        return 0
    return load16(lengths[0] + 2 * (id & ((1 << LENGTHS_SHIFT) - 1)))


cdef int length_write(IndexTrees* trees, uint32_t field, uint64_t id, uint64_t tokens) noexcept nogil:
    cdef uint8_t key[10]
    cdef uint64_t size = LENGTHS_SIZE
    cdef uint8_t* lengths
    if tokens > LENGTH_MAX:
        tokens = LENGTH_MAX
    lengths_key(key, field, id >> LENGTHS_SHIFT)
    lengths = tree_update(&trees.lengths, key, sizeof(key), &size)
    if lengths == NULL and trees.txn.error.code == OK:
        if tokens == 0:
            return OK
        lengths = tree_reserve(&trees.lengths, key, sizeof(key), LENGTHS_SIZE, PUT_UPSERT)
        if lengths != NULL:
            memset(lengths, 0, LENGTHS_SIZE)
    if lengths == NULL:
        return trees.txn.error.code
    if size != LENGTHS_SIZE:
        return trees_corrupt(trees, b"X8 violated: a block of lengths has another size", id)
    store16(lengths + 2 * (id & ((1 << LENGTHS_SHIFT) - 1)), <uint16_t>tokens)
    return OK


# ---- columns

cdef void column_open(Column* column, IndexTrees* trees, uint32_t field) noexcept nogil:
    column.trees = trees
    column.field = field
    column.group = <uint64_t>-1
    column.values = NULL
    column.array = trees.array if column_in_memory(trees, field) else NULL
    column.array_count = trees.array_count
    cursor_init(&column.cursor, &trees.columns)


cdef uint64_t column_slow(Column* column, uint64_t id) noexcept nogil:
    cdef uint8_t key[10]
    cdef Value value
    column.group = id >> COLUMN_SHIFT
    lengths_key(key, column.field, column.group)
    column.values = NULL
    if (cursor_find_near(&column.cursor, key, sizeof(key)) != OK or cursor_value(&column.cursor, &value) != OK
            or value.size != COLUMN_SIZE):
        return 0
    column.values = value.data
    return load64(column.values + 8 * (id & (COLUMN_ENTRIES - 1)))


cdef int column_load(IndexTrees* trees, uint32_t field, uint64_t* out, uint64_t count) noexcept nogil:
    cdef uint8_t key[10]
    cdef Cursor cursor
    cdef Value value
    cdef uint64_t first, size
    cdef int code
    cursor_init(&cursor, &trees.columns)
    lengths_key(key, field, 0)
    code = cursor_seek(&cursor, key, sizeof(key))
    while code == OK and cursor.key_size == sizeof(key) and memcmp(cursor.key, key, 2) == 0:
        code = cursor_value(&cursor, &value)
        if code != OK:
            return code
        first = load64_be(cursor.key + 2)
        if value.size != COLUMN_SIZE or first > count >> COLUMN_SHIFT:
            return trees_corrupt(trees, b"X14 violated: a block of a column has another size or place",
                                 first << COLUMN_SHIFT)
        first <<= COLUMN_SHIFT
        size = count - first if count - first < COLUMN_ENTRIES else <uint64_t>COLUMN_ENTRIES
        memcpy(out + first, value.data, size * 8)
        code = cursor_next(&cursor)
    return OK if code == E_NOT_FOUND else code


cdef int column_write(IndexTrees* trees, uint32_t field, ColumnBlock* block) noexcept nogil:
    cdef uint8_t key[10]
    cdef uint64_t size = COLUMN_SIZE
    cdef uint8_t* values
    cdef size_t index
    lengths_key(key, field, block.group)
    values = tree_update(&trees.columns, key, sizeof(key), &size)
    if values == NULL and trees.txn.error.code == OK:
        values = tree_reserve(&trees.columns, key, sizeof(key), COLUMN_SIZE, PUT_UPSERT)
        if values != NULL:
            memset(values, 0, COLUMN_SIZE)
    if values == NULL:
        return trees.txn.error.code
    if size != COLUMN_SIZE:
        return trees_corrupt(trees, b"X14 violated: a block of a column has another size", block.group << COLUMN_SHIFT)
    for index in range(COLUMN_ENTRIES):
        if (block.changed[index >> 6] >> (index & 63)) & 1:
            store64(values + 8 * index, block.values[index])
    memset(block.changed, 0, sizeof(block.changed))
    return OK

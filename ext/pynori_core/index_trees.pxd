"""The trees of one index, bound to a transaction: meta, documents, entries, terms, lengths, columns.

pynori/indexes/FORMAT.md describes their keys and values and numbers what must hold. Failures are in `txn.error`, as of
trees; damage of what lies in them is reported by `trees_corrupt`.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pynori_core.bits cimport load64, load64_be, store64_be
from pynori_core.btree cimport Tree, Value
from pynori_core.cursor cimport Cursor
from pynori_core.index_entry cimport EntryView
from pynori_core.index_terms cimport TERM_SIZE_MAX
from pynori_core.matches cimport IdList
from pynori_core.posting cimport Block
from pynori_core.txn cimport Txn

cdef enum:
    INDEX_FORMAT = 1
    FIELDS_MAX = 4096                  # of one index
    FIELD_NAME_SIZE_MAX = 512          # bytes of UTF-8
    FIELD_ALL = 0                      # in terms: the pseudo field whose presence lists all entries; fields begin at 1
    META_KEY_SIZE_MAX = 500
    META_VALUE_SIZE_MAX = 67108864
    TERM_KEY_MAX = 1072                # field, term, first id, and some room
    DOCUMENT_ENTRIES_MAX = 65536       # entries of one document
    LENGTHS_SHIFT = 10                 # entries that a block of lengths covers: 1,024
    COLUMN_SHIFT = 8                   # entries that a block of a column covers
    COLUMN_ENTRIES = 256

cdef enum FieldFlag:
    FIELD_EXACT = 1                    # strings are not lower-cased
    FIELD_TEXT = 2                     # tokens with frequencies and positions
    FIELD_SEVERAL = 4                  # some entry has had several terms: its column tells the lowest alone
    FIELD_OPTIONS = 3                  # those that are chosen when a field is made

cdef packed struct IndexState:         # meta "s"
    uint32_t format                    # INDEX_FORMAT
    uint32_t fields                    # numbers given so far; they begin at 1
    uint64_t next_entry                # ids of entries begin at 1 and are never given twice
    uint64_t entries
    uint64_t documents

cdef packed struct FieldRecord:        # meta "f" + number (u16 BE); the name follows
    uint8_t flags                      # FieldFlag
    uint8_t reserved[7]
    uint64_t entries                   # that have the field
    uint64_t tokens                    # of a text field, in all entries

cdef struct FieldTable:                # index by number; place 0 is not used
    FieldRecord* records               # malloc'd
    uint32_t count                     # highest number + 1

cdef struct IndexTrees:
    Txn* txn
    Tree meta
    Tree documents
    Tree entries
    Tree terms
    Tree lengths
    Tree columns
    IndexState state                   # as read; the writer writes it back
    FieldTable fields                  # as read; the writer writes it back
    const uint64_t* array              # NULL, or a whole column in memory, by entry id, while one call runs
    uint64_t array_count
    uint32_t array_field               # which field's it is

cdef int trees_create(Txn* txn, IndexTrees* trees) noexcept nogil
# E_CORRUPT when the environment holds no index, E_VERSION when it holds one of another format.
cdef int trees_open(Txn* txn, IndexTrees* trees) noexcept nogil
cdef void trees_release(IndexTrees* trees) noexcept nogil
# The same trees in a copy of the transaction. Shares the table of fields.
cdef void trees_bind(const IndexTrees* known, Txn* txn, IndexTrees* trees) noexcept nogil
# Write state and records of fields back.
cdef int trees_save(IndexTrees* trees) noexcept nogil
cdef int trees_corrupt(IndexTrees* trees, const char* what, uint64_t entry) noexcept nogil

# A new field; E_NO_MEMORY, E_TOO_LARGE. Its record is written at once.
cdef int field_create(IndexTrees* trees, const uint8_t* name, size_t name_size, uint8_t flags,
                      uint32_t* number) noexcept nogil
# Name of a field, good until the tree changes.
cdef int field_name(IndexTrees* trees, uint32_t number, const uint8_t** name, size_t* size) noexcept nogil

# Ids of a document's entries, appended to `ids`; E_NOT_FOUND. `key` is the lower-cased id.
cdef int document_entries(IndexTrees* trees, const uint8_t* key, size_t key_size, IdList* ids) noexcept nogil
cdef int entries_decode(const Value* value, IdList* ids) noexcept nogil      # E_CORRUPT, E_NO_MEMORY

# Opens the record of an entry with a cursor over `entries`, which makes ascending ids cheap. E_NOT_FOUND.
cdef int entry_read(IndexTrees* trees, Cursor* cursor, uint64_t id, EntryView* view) noexcept nogil

# Walks the blocks of one term (or several, by the caller's care) with a cursor over `terms`.
cdef inline size_t term_key(uint8_t* key, uint32_t field, const uint8_t* term, size_t size, uint64_t id) noexcept nogil:
    key[0] = <uint8_t>(field >> 8)
    key[1] = <uint8_t>field
    memcpy(key + 2, term, size)
    store64_be(key + 2 + size, id)
    return size + 10


cdef inline bint key_has_field(const uint8_t* key, size_t key_size, uint32_t field) noexcept nogil:
    return key_size > 10 and key[0] == <uint8_t>(field >> 8) and key[1] == <uint8_t>field


# The block at a cursor. E_CORRUPT is in txn.error.
cdef int block_at(IndexTrees* trees, Cursor* cursor, Block* block) noexcept nogil

# Tokens of an entry in a text field, 0 if none; `group` and `lengths` keep the last block (group begins as UINT64_MAX).
cdef uint32_t length_read(IndexTrees* trees, uint32_t field, uint64_t id, uint64_t* group,
                          const uint8_t** lengths) noexcept nogil
cdef int length_write(IndexTrees* trees, uint32_t field, uint64_t id, uint64_t tokens) noexcept nogil

# Columns: for each entry the first 8 bytes of its lowest term in a field that is no text, as a big-endian number, which
# compares as the terms do unless it is equal; 0: the entry does not have the field. They answer in one look at memory
# what a record answers in many.
cdef struct Column:
    IndexTrees* trees
    uint32_t field
    const uint64_t* array              # private: the whole column in memory, or NULL
    uint64_t array_count
    uint64_t group                     # private: the block that `values` is
    const uint8_t* values
    Cursor cursor                      # private: where that block was found

cdef struct ColumnBlock:               # changes of one block, gathered
    uint64_t group
    uint64_t changed[4]                # bits: which of `values` were set
    uint64_t values[256]               # COLUMN_ENTRIES

cdef void column_open(Column* column, IndexTrees* trees, uint32_t field) noexcept nogil
cdef uint64_t column_slow(Column* column, uint64_t id) noexcept nogil
cdef int column_write(IndexTrees* trees, uint32_t field, ColumnBlock* block) noexcept nogil    # and forget its changes


# The whole column into an array that is all zero.
cdef int column_load(IndexTrees* trees, uint32_t field, uint64_t* out, uint64_t count) noexcept nogil


cdef inline bint column_in_memory(const IndexTrees* trees, uint32_t field) noexcept nogil:
    return trees.array != NULL and trees.array_field == field


cdef inline uint64_t column_read(Column* column, uint64_t id) noexcept nogil:
    if column.array != NULL:
        return column.array[id] if id < column.array_count else 0
    if id >> COLUMN_SHIFT != column.group:
        return column_slow(column, id)
    return load64(column.values + 8 * (id & (COLUMN_ENTRIES - 1))) if column.values != NULL else 0


cdef inline uint64_t term_prefix64(const uint8_t* term, size_t size) noexcept nogil:
    """The first 8 bytes as a big-endian number, zeros behind a shorter term."""
    cdef uint64_t value = 0
    cdef size_t index
    if size >= 8:
        return load64_be(term)
    for index in range(size):
        value |= <uint64_t>term[index] << (56 - 8 * index)
    return value

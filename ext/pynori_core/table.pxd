"""Tables: rows written once in row-id order, unique indexes over them, and sets that say which rows are alive.

Row ids only grow (for documents they are the etags), so rows are appended at the right edge of one integer-keyed tree
and never changed in place: a new version of a document is a new row, and the old one dies by leaving set 0 (SET_ALL).
Its bytes go when the leaves around it are cleaned.

Set 0 takes a row at birth. A row is a member of another set while its bit is there and it is in set 0: a dead row's bit
means nothing. So a row need not be taken out of its home, the one other set that a row itself tells (TableSchema.home):
a death changes one page of bitmaps in place of two, and the bit goes with the row's bytes. From all further sets its
owner takes it by hand, before it dies. Codes are as in btree: E_NOT_FOUND and E_INVALID are answers and change nothing.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from pynori_core.btree cimport Tree, Value
from pynori_core.cursor cimport Cursor
from pynori_core.txn cimport Txn

cdef enum:
    TABLE_INDEXES_MAX = 4
    SET_GROUP_SHIFT = 9            # row ids a bitmap covers: 512
    SET_GROUP_ROWS = 512
    SET_ALL = 0                    # the set of all live rows
    SET_BITMAP_SIZE = 64           # bytes of a bitmap; a value of SET_ALL has two, alive and stored
    CLEAN_BAR_STRICT = 1           # of table_clean: groups are cleaned of which more than two thirds are dead
    CLEAN_BAR_ALL = 6              # ... more than a quarter

cdef packed struct IndexEntry:     # 32 bytes, value of a unique index
    uint64_t row_id
    uint64_t page                  # hint: leaf of the rows tree where the row was put
    uint8_t cover[16]              # what the owner wants to know without reading the row

# The set that a stored row is a member of until it dies, besides SET_ALL; SET_ALL: there is none.
ctypedef uint64_t (*RowHome)(const Value* row) noexcept nogil

cdef struct TableSchema:
    const char* rows               # tree names
    const char* sets
    const char* indexes[4]
    int index_count
    RowHome home                   # NULL: rows have none

cdef struct Table:
    Txn* txn
    Tree rows
    Tree sets
    Tree indexes[4]
    int index_count
    RowHome home

cdef int table_create(Txn* txn, const TableSchema* schema, Table* table) noexcept nogil        # or opens
cdef int table_open(Txn* txn, const TableSchema* schema, Table* table) noexcept nogil

# Append a row and make it a member of SET_ALL; row_id must be greater than every one before (else NULL, `txn.error`
# clear). The caller fills the returned bytes at once. `offset`: where its entry begins in the page; 0: in a run.
cdef uint8_t* table_append(Table* table, uint64_t row_id, uint64_t size, uint64_t* page,
                           uint32_t* offset) noexcept nogil
# Ask memory for a row that is likely there, ahead of table_row with the same hints.
cdef void table_row_ask(Table* table, uint64_t page_hint, uint32_t offset_hint) noexcept nogil
# Where the entry of a row in a page of the table begins in it; 0: the row is in a run.
cdef uint32_t table_row_offset(Table* table, uint64_t page, const uint8_t* row) noexcept nogil
# The hints say where the row was put; it may have moved since. 0: not known. E_NOT_FOUND.
cdef int table_row(Table* table, uint64_t row_id, uint64_t page_hint, uint32_t offset_hint, Value* row) noexcept nogil
# Take a dead or live row away at once, for large ones whose run should not wait for the cleaner. It leaves SET_ALL and
# its home.
cdef int table_delete(Table* table, uint64_t row_id) noexcept nogil                                # E_NOT_FOUND
cdef int table_find(Table* table, int index, const void* key, size_t key_size, IndexEntry* entry) noexcept nogil
cdef int table_index_put(Table* table, int index, const void* key, size_t key_size,
                         const IndexEntry* entry) noexcept nogil
cdef int table_index_delete(Table* table, int index, const void* key, size_t key_size) noexcept nogil

# Sets of row ids. Any set id but SET_ALL is the owner's to choose. Adding to SET_ALL brings a row back that left it.
cdef int set_add(Table* table, uint64_t set_id, uint64_t row_id) noexcept nogil
cdef int set_remove(Table* table, uint64_t set_id, uint64_t row_id) noexcept nogil                # E_NOT_FOUND
cdef bint set_contains(Table* table, uint64_t set_id, uint64_t row_id) noexcept nogil
# Row id of the first member >= (next) or last member <= (previous) row_id; E_NOT_FOUND at the end.
cdef int set_next(Table* table, uint64_t set_id, uint64_t row_id, uint64_t* found) noexcept nogil
cdef int set_previous(Table* table, uint64_t set_id, uint64_t row_id, uint64_t* found) noexcept nogil
# Move over `count` members by popcount, counted from the first one at or after row_id (backwards: at or before), which
# is the answer for count = 0; for paging with an offset.
cdef int set_skip(Table* table, uint64_t set_id, uint64_t row_id, uint64_t count, bint backwards,
                  uint64_t* found) noexcept nogil
cdef uint64_t set_count(Table* table, uint64_t set_id) noexcept nogil
# The members of a set among the rows of a group, 64 a word, from the bitmap that the set's tree has for the group.
cdef int set_members(Table* table, uint64_t set_id, uint64_t group, const uint8_t* bitmap,
                     uint64_t* members) noexcept nogil

# Walks rows of a set in row-id order, reading neighbours from the same leaf without a new descent. A write to the table
# makes it stale.
cdef struct RowScan:
    Table* table
    uint64_t set_id
    uint64_t row_id                # current
    Value row
    bint backwards
    uint64_t group                 # private: of `members`
    uint64_t members[8]            # private: the group's members that were not visited yet
    Cursor cursor                  # private: at the current row

# The first scan_next answers with the first member at or after row_id (backwards: at or before).
cdef int scan_start(RowScan* scan, Table* table, uint64_t set_id, uint64_t row_id, bint backwards) noexcept nogil
cdef int scan_next(RowScan* scan) noexcept nogil                   # OK, E_NOT_FOUND at the end

# One bounded step of reclaiming dead rows: groups of 512 row ids that the bar lets through are cleaned until `rows_max`
# rows, or up to a group more, are deleted. The bar is the most alive rows that may be moved for two dead ones.
# `position` is where to go on (0 at first); returns the number of pages freed through `freed`. E_NOT_FOUND: the end was
# reached, and `position` is 0 again. Row pointers and scans go stale; row ids, and what is in the indexes, stay good.
cdef int table_clean(Table* table, uint64_t* position, uint64_t rows_max, int bar, uint64_t* freed) noexcept nogil

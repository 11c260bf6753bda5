"""Tables: rows written once in row-id order, unique indexes over them, and sets that say which rows are alive.

Row ids only grow (for documents they are the etags), so rows are appended at the right edge of one integer-keyed tree
and never changed in place: a new version of a document is a new row, and the old one dies by leaving the sets. Its bytes
go when the leaves around it are cleaned.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from pynori_core.btree cimport Tree, Value
from pynori_core.txn cimport Txn

cdef enum:
    TABLE_INDEXES_MAX = 4
    SET_GROUP_SHIFT = 9            # row ids a bitmap covers: 512
    SET_ALL = 0                    # the set of all live rows

cdef packed struct IndexEntry:     # 32 bytes, value of a unique index
    uint64_t row_id
    uint64_t page                  # hint: leaf of the rows tree where the row was put
    uint8_t cover[16]              # what the owner wants to know without reading the row

cdef struct TableSchema:
    const char* rows               # tree names
    const char* sets
    const char* indexes[4]
    int index_count

cdef struct Table:
    Txn* txn
    Tree rows
    Tree sets
    Tree indexes[4]
    int index_count

cdef int table_create(Txn* txn, const TableSchema* schema, Table* table) noexcept nogil        # or opens
cdef int table_open(Txn* txn, const TableSchema* schema, Table* table) noexcept nogil

# Append a row; row_id must be greater than every one before. The caller fills the returned bytes at once.
cdef uint8_t* table_append(Table* table, uint64_t row_id, uint64_t size, uint64_t* page) noexcept nogil
cdef int table_row(Table* table, uint64_t row_id, uint64_t page_hint, Value* row) noexcept nogil   # E_NOT_FOUND
cdef int table_find(Table* table, int index, const void* key, size_t key_size, IndexEntry* entry) noexcept nogil
cdef int table_index_put(Table* table, int index, const void* key, size_t key_size,
                         const IndexEntry* entry) noexcept nogil
cdef int table_index_delete(Table* table, int index, const void* key, size_t key_size) noexcept nogil

# Sets of row ids.
cdef int set_add(Table* table, uint64_t set_id, uint64_t row_id) noexcept nogil
cdef int set_remove(Table* table, uint64_t set_id, uint64_t row_id) noexcept nogil                # E_NOT_FOUND
cdef bint set_contains(Table* table, uint64_t set_id, uint64_t row_id) noexcept nogil
# Row id of the first member >= (next) or last member <= (previous) row_id; E_NOT_FOUND at the end.
cdef int set_next(Table* table, uint64_t set_id, uint64_t row_id, uint64_t* found) noexcept nogil
cdef int set_previous(Table* table, uint64_t set_id, uint64_t row_id, uint64_t* found) noexcept nogil
# Move over `count` members by popcount: row id of the member at that distance; for paging with an offset.
cdef int set_skip(Table* table, uint64_t set_id, uint64_t row_id, uint64_t count, bint backwards,
                  uint64_t* found) noexcept nogil
cdef uint64_t set_count(Table* table, uint64_t set_id) noexcept nogil

# Walks live rows of a set in row-id order, reading neighbours from the same leaf without a new descent.
cdef struct RowScan:
    Table* table
    uint64_t set_id
    uint64_t row_id                # current
    Value row
    bint backwards
    uint8_t private[256]

cdef int scan_start(RowScan* scan, Table* table, uint64_t set_id, uint64_t row_id, bint backwards) noexcept nogil
cdef int scan_next(RowScan* scan) noexcept nogil                   # OK, E_NOT_FOUND at the end

# One bounded step of reclaiming dead rows: at most `groups_max` groups of 512 row ids with less than half alive.
# `position` is where to go on (0 at first); returns the number of pages freed through `freed`.
cdef int table_clean(Table* table, uint64_t* position, int groups_max, uint64_t* freed) noexcept nogil

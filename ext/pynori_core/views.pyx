"""Trees and tables as Python sees them: views of one transaction, for tools and tests. Values come out as copies."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from pynori_core.bits cimport load64_be, store64_be
from pynori_core.btree cimport (
    PUT_APPEND, PUT_INSERT, PUT_UPSERT, Value, tree_create, tree_delete, tree_drop, tree_get, tree_header, tree_open,
    tree_put,
)
from pynori_core.cursor cimport (
    Cursor, cursor_first, cursor_init, cursor_last, cursor_next, cursor_previous, cursor_seek, cursor_seek_before,
    cursor_value,
)
from pynori_core.errors cimport E_INVALID, E_NOT_FOUND, OK, ErrorDetail, error_clear, error_set, raise_error
from pynori_core.format cimport TREE_INTEGER, TreeHeader
from pynori_core.table cimport (
    CLEAN_BAR_ALL, TABLE_INDEXES_MAX, IndexEntry, RowScan, TableSchema, scan_next, scan_start, set_add, set_contains,
    set_count, set_next, set_previous, set_remove, set_skip, table_append, table_clean, table_create, table_delete,
    table_find, table_index_delete, table_index_put, table_open, table_row,
)


cdef int raise_code(Transaction owner, int code) except -1:
    """The exception of a code that is not OK: what the transaction keeps, or, for an answer, one without detail."""
    cdef ErrorDetail detail
    if owner.txn.error.code == code:
        raise_error(&owner.txn.error)
    error_clear(&detail)
    error_set(&detail, code, "tree: key, size or flags out of bounds, or the key is there already"
              if code == E_INVALID else "no such tree or key")
    return raise_error(&detail)


cdef int live(Transaction owner) except -1:
    if owner.txn.env == NULL:
        raise ValueError("the transaction has ended")
    return 0


cdef class TreeView:
    """A tree in a transaction. Keys are bytes, or ints from 0 to 2**64 - 1 where the tree is integer-keyed."""

    def __init__(self, Transaction txn, bytes name, bint create=False, bint integer=False):
        cdef int code
        live(txn)
        self.owner = txn
        self.name = name
        if create:
            code = tree_create(txn.txn, name, len(name), TREE_INTEGER if integer else 0, &self.tree)
        else:
            code = tree_open(txn.txn, name, len(name), &self.tree)
        if code != OK:
            raise_code(txn, code)

    cdef bytes key_bytes(self, object key):
        cdef uint8_t encoded[8]
        live(self.owner)
        if self.tree.flags & TREE_INTEGER:
            store64_be(encoded, key)
            return encoded[:8]
        return key

    cdef object key_object(self, const uint8_t* key, size_t key_size):
        if self.tree.flags & TREE_INTEGER:
            return load64_be(key)
        return (<const char*>key)[:key_size]

    def get(self, key, default=None):
        """The value as bytes, or `default`."""
        cdef bytes encoded = self.key_bytes(key)
        cdef Value value
        cdef int code = tree_get(&self.tree, <const char*>encoded, len(encoded), &value)
        if code == E_NOT_FOUND:
            return default
        if code != OK:
            raise_code(self.owner, code)
        return (<const char*>value.data)[:value.size]

    def put(self, key, bytes value not None, bint insert=False, bint append=False):
        """Set a value. insert: the key must be new; append: it must be greater than all others."""
        cdef bytes encoded = self.key_bytes(key)
        cdef int flags = (PUT_INSERT if insert else PUT_UPSERT) | (PUT_APPEND if append else 0)
        cdef int code = tree_put(&self.tree, <const char*>encoded, len(encoded), <const char*>value, len(value), flags)
        if code != OK:
            raise_code(self.owner, code)

    def delete(self, key):
        """Whether the key was there; it is not any more."""
        cdef bytes encoded = self.key_bytes(key)
        cdef int code = tree_delete(&self.tree, <const char*>encoded, len(encoded))
        if code != OK and code != E_NOT_FOUND:
            raise_code(self.owner, code)
        return code == OK

    def drop(self):
        """Free all pages of the tree and its name; the view is of no use afterwards."""
        cdef int code
        live(self.owner)
        code = tree_drop(&self.tree)
        if code != OK:
            raise_code(self.owner, code)

    def __len__(self):
        return self.header().entries

    def __contains__(self, key):
        return self.get(key) is not None

    def __iter__(self):
        return (key for key, _ in self.items())

    cdef const TreeHeader* header(self) except NULL:
        cdef const TreeHeader* header
        live(self.owner)
        header = tree_header(&self.tree)
        if header == NULL:
            raise_error(&self.owner.txn.error)
        return header

    @property
    def id(self):
        """Catalog index."""
        return self.tree.id

    @property
    def integer(self):
        return bool(self.tree.flags & TREE_INTEGER)

    def statistics(self):
        """Counters of the tree's header."""
        cdef const TreeHeader* header = self.header()
        return {
            "entries": header.entries, "depth": header.depth, "branch_pages": header.branch_pages,
            "leaf_pages": header.leaf_pages, "run_pages": header.run_pages, "root": header.root,
        }

    def items(self, start=None, end=None, bint reverse=False):
        """Iterate (key, value) with start <= key < end; in reverse, the same entries from the last to the first.

        The tree must not change before the iterator ends.
        """
        iterator = TreeIterator(self, reverse)
        iterator.bound(start, end)
        return iterator


cdef class TreeIterator:
    """Items of a TreeView in key order, or against it."""

    cdef TreeView view
    cdef Cursor cursor
    cdef bint reverse
    cdef bint started
    cdef object start
    cdef object end

    def __init__(self, TreeView view not None, bint reverse):
        self.view = view
        self.reverse = reverse
        cursor_init(&self.cursor, &view.tree)

    cdef int bound(self, object start, object end) except -1:
        self.start = start
        self.end = end
        return 0

    def __iter__(self):
        return self

    cdef int position(self) except -1:
        cdef bytes encoded
        cdef int code
        if self.reverse:
            if self.end is None:
                return cursor_last(&self.cursor)
            encoded = self.view.key_bytes(self.end)
            code = cursor_seek_before(&self.cursor, <const char*>encoded, len(encoded))
            if code == OK and self.view.key_object(self.cursor.key, self.cursor.key_size) == self.end:
                code = cursor_previous(&self.cursor)
            return code
        if self.start is None:
            return cursor_first(&self.cursor)
        encoded = self.view.key_bytes(self.start)
        return cursor_seek(&self.cursor, <const char*>encoded, len(encoded))

    def __next__(self):
        cdef Value value
        cdef int code
        live(self.view.owner)
        if not self.started:
            self.started = True
            code = self.position()
        elif self.reverse:
            code = cursor_previous(&self.cursor)
        else:
            code = cursor_next(&self.cursor)
        if code == OK:
            code = cursor_value(&self.cursor, &value)
        if code == E_NOT_FOUND:
            raise StopIteration
        if code != OK:
            raise_code(self.view.owner, code)
        key = self.view.key_object(self.cursor.key, self.cursor.key_size)
        if self.reverse and self.start is not None and key < self.start:
            raise StopIteration
        if not self.reverse and self.end is not None and key >= self.end:
            raise StopIteration
        return key, (<const char*>value.data)[:value.size]


cdef class TableView:
    """A table in a transaction: rows by id, unique indexes by number, sets by id."""

    def __init__(self, Transaction txn, bytes rows, bytes sets, list indexes=None, bint create=False):
        cdef TableSchema schema
        cdef int position, code
        cdef list names = indexes or []
        if len(names) > TABLE_INDEXES_MAX:
            raise ValueError(f"more than {TABLE_INDEXES_MAX} indexes")
        self.owner = txn
        memset(&schema, 0, sizeof(schema))
        schema.rows = rows
        schema.sets = sets
        schema.index_count = <int>len(names)
        for position in range(schema.index_count):
            schema.indexes[position] = <const char*><bytes>names[position]
        code = table_create(txn.txn, &schema, &self.table) if create else table_open(txn.txn, &schema, &self.table)
        if code != OK:
            raise_code(txn, code)

    cdef bint answered(self, int code) except -1:
        """Whether a call found what it was about; raises on a failure."""
        if code != OK and code != E_NOT_FOUND:
            raise_code(self.owner, code)
        return code == OK

    cdef int index_checked(self, int index) except -1:
        if index < 0 or index >= self.table.index_count:
            raise ValueError("no such index")
        return index

    def append(self, uint64_t row_id, bytes row not None):
        """Append a row; return the page it went to."""
        cdef uint64_t page
        cdef uint32_t offset
        cdef uint8_t* place = table_append(&self.table, row_id, len(row), &page, &offset)
        if place == NULL:
            raise_code(self.owner, self.owner.txn.error.code or E_INVALID)
        memcpy(place, <const char*>row, len(row))
        return page

    def row(self, uint64_t row_id, uint64_t hint=0, uint32_t offset=0):
        """The row's bytes, or None."""
        cdef Value value
        if not self.answered(table_row(&self.table, row_id, hint, offset, &value)):
            return None
        return (<const char*>value.data)[:value.size]

    def delete(self, uint64_t row_id):
        """Whether the row was stored; it is not any more."""
        return bool(self.answered(table_delete(&self.table, row_id)))

    def find(self, int index, bytes key not None):
        """(row id, page hint, 16 bytes of cover) under a key of an index, or None."""
        cdef IndexEntry entry
        if not self.answered(table_find(&self.table, self.index_checked(index), <const char*>key, len(key), &entry)):
            return None
        return entry.row_id, entry.page, (<const char*>entry.cover)[:16]

    def index_put(self, int index, bytes key not None, uint64_t row_id, uint64_t page=0, bytes cover=bytes(16)):
        """Let a key of an index lead to a row."""
        cdef IndexEntry entry
        cdef int code
        if len(cover) != 16:
            raise ValueError("cover is 16 bytes")
        entry.row_id = row_id
        entry.page = page
        memcpy(entry.cover, <const char*>cover, 16)
        code = table_index_put(&self.table, self.index_checked(index), <const char*>key, len(key), &entry)
        if code != OK:
            raise_code(self.owner, code)

    def index_delete(self, int index, bytes key not None):
        """Whether the key was in the index; it is not any more."""
        return bool(self.answered(
            table_index_delete(&self.table, self.index_checked(index), <const char*>key, len(key))))

    def set_add(self, uint64_t set_id, uint64_t row_id):
        """Make a row a member of a set."""
        self.answered(set_add(&self.table, set_id, row_id))

    def set_remove(self, uint64_t set_id, uint64_t row_id):
        """Whether the row was a member; it is not any more."""
        return bool(self.answered(set_remove(&self.table, set_id, row_id)))

    def set_contains(self, uint64_t set_id, uint64_t row_id):
        return bool(set_contains(&self.table, set_id, row_id))

    def set_count(self, uint64_t set_id):
        return set_count(&self.table, set_id)

    def set_next(self, uint64_t set_id, uint64_t row_id):
        """The first member at or after row_id, or None."""
        cdef uint64_t found
        return found if self.answered(set_next(&self.table, set_id, row_id, &found)) else None

    def set_previous(self, uint64_t set_id, uint64_t row_id):
        """The last member at or before row_id, or None."""
        cdef uint64_t found
        return found if self.answered(set_previous(&self.table, set_id, row_id, &found)) else None

    def set_skip(self, uint64_t set_id, uint64_t row_id, uint64_t count, bint backwards=False):
        """The member `count` members after the first one at or after row_id (backwards: before), or None."""
        cdef uint64_t found
        return found if self.answered(set_skip(&self.table, set_id, row_id, count, backwards, &found)) else None

    def scan(self, uint64_t set_id=0, row_id=None, bint backwards=False):
        """Iterate (row id, row) over the members of a set from row_id on. The table must not change meanwhile."""
        cdef TableScan scan = TableScan(self)
        cdef uint64_t start = row_id if row_id is not None else (2**64 - 1 if backwards else 0)
        cdef int code = scan_start(&scan.scan, &self.table, set_id, start, backwards)
        if code != OK:
            raise_code(self.owner, code)
        return scan

    def clean(self, uint64_t position=0, uint64_t rows_max=4096, int bar=CLEAN_BAR_ALL):
        """One step of reclaiming dead rows: (where to go on, pages freed, whether the end was reached)."""
        cdef uint64_t freed
        cdef bint more = self.answered(table_clean(&self.table, &position, rows_max, bar, &freed))
        return position, freed, not more


cdef class TableScan:
    """Rows of a set of a TableView, in row-id order or against it."""

    cdef TableView view
    cdef RowScan scan

    def __init__(self, TableView view not None):
        self.view = view

    def __iter__(self):
        return self

    def __next__(self):
        if not self.view.answered(scan_next(&self.scan)):
            raise StopIteration
        return self.scan.row_id, (<const char*>self.scan.row.data)[:self.scan.row.size]

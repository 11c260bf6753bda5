"""Trees as Python sees them: a view of one tree in one transaction, for tools and tests. Values come out as copies."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy
from pynori_core.bits cimport load64_be, store64_be
from pynori_core.btree cimport (
    KEY_SIZE_MAX, PUT_APPEND, PUT_INSERT, PUT_UPSERT, Value, tree_create, tree_delete, tree_drop, tree_get, tree_header,
    tree_open, tree_put,
)
from pynori_core.cursor cimport (
    Cursor, cursor_first, cursor_init, cursor_last, cursor_next, cursor_previous, cursor_seek, cursor_seek_before,
    cursor_value,
)
from pynori_core.errors cimport E_INVALID, E_NOT_FOUND, OK, ErrorDetail, error_clear, error_set, raise_error
from pynori_core.format cimport TREE_INTEGER, TreeHeader


cdef int raise_code(Transaction owner, int code) except -1:
    """The exception of a code that is not OK: what the transaction keeps, or, for an answer, one without detail."""
    cdef ErrorDetail detail
    if owner.txn.error.code == code:
        raise_error(&owner.txn.error)
    error_clear(&detail)
    error_set(&detail, code, "tree: key, size or flags out of bounds, or the key is there already"
              if code == E_INVALID else "no such tree or key")
    return raise_error(&detail)


cdef class TreeView:
    """A tree in a transaction. Keys are bytes, or ints from 0 to 2**64 - 1 where the tree is integer-keyed."""

    def __init__(self, Transaction txn, bytes name, bint create=False, bint integer=False):
        cdef int code
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
        cdef int code = tree_drop(&self.tree)
        if code != OK:
            raise_code(self.owner, code)

    def __len__(self):
        return self.header().entries

    def __contains__(self, key):
        return self.get(key) is not None

    def __iter__(self):
        return (key for key, _ in self.items())

    cdef const TreeHeader* header(self) except NULL:
        cdef const TreeHeader* header = tree_header(&self.tree)
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

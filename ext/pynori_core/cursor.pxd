"""Cursors: a position in a tree and steps from it, in both directions."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.stddef cimport size_t
from pynori_core.btree cimport KEY_SIZE_MAX, TREE_DEPTH_MAX, Path, Tree, Value

cdef struct Cursor:
    Tree* tree
    Path path                      # depth 0: not positioned
    const uint8_t* leaf            # the leaf's bytes
    const uint8_t* key             # of the current entry
    size_t key_size

cdef void cursor_init(Cursor* cursor, Tree* tree) noexcept nogil
# Each returns OK, E_NOT_FOUND at the end, or an error. A write to the tree makes a cursor stale: seek again.
cdef int cursor_first(Cursor* cursor) noexcept nogil
cdef int cursor_last(Cursor* cursor) noexcept nogil
cdef int cursor_seek(Cursor* cursor, const void* key, size_t key_size) noexcept nogil          # first entry >= key
cdef int cursor_seek_before(Cursor* cursor, const void* key, size_t key_size) noexcept nogil   # last entry <= key
cdef int cursor_next(Cursor* cursor) noexcept nogil
cdef int cursor_previous(Cursor* cursor) noexcept nogil
cdef int cursor_value(Cursor* cursor, Value* value) noexcept nogil
# The value of the entry that many steps ahead in the same leaf, without going there: to ask memory for what it leads
# to. E_NOT_FOUND: the leaf ends before it.
cdef int cursor_value_ahead(Cursor* cursor, int steps, Value* value) noexcept nogil
# To the entry of this very key, without a descent when it lies in the current leaf or one of the same parent.
# E_NOT_FOUND leaves the cursor without a position. For walks that visit some entries in order.
cdef int cursor_find_near(Cursor* cursor, const void* key, size_t key_size) noexcept nogil

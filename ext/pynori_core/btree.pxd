"""B+trees of byte-string keys over slotted pages, and the catalog that names them.

A Tree is a small value bound to one transaction. Keys are ordered by memcmp, 1 to KEY_SIZE_MAX bytes; integer-keyed
trees (TREE_INTEGER) take 8-byte big-endian keys. Value pointers are contiguous, whatever the size, and live until the
transaction ends or the tree is changed. In integer-keyed trees inline values begin at multiples of 8, those of runs always
do; elsewhere they lie as the key's size leaves them.

E_NOT_FOUND and E_INVALID are answers: nothing was changed, `txn.error` stays clear, the transaction goes on. Every other
code is also in `txn.error`. `key` and `value` arguments must not point into pages of the tree that is changed.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from pynori_core.txn cimport Txn
from pynori_core.format cimport TreeHeader

cdef enum:
    KEY_SIZE_MAX = 2048
    INLINE_SIZE_MAX = 4000         # key + value of an entry that stays in the leaf; larger values become runs
    TREE_DEPTH_MAX = 32
    VALUE_SIZE_MAX = 512000000     # a run of at most RUN_PAGES_MAX pages; it is one buffer in memory until the checkpoint

cdef enum PutFlag:
    PUT_UPSERT = 0
    PUT_INSERT = 1                 # E_INVALID when the key is there
    PUT_APPEND = 2                 # the caller knows that the key is greater than all others: split without moving

cdef struct Tree:
    Txn* txn
    uint16_t id                    # catalog index
    uint16_t flags                 # TreeFlag
    uint64_t catalog               # catalog page that holds its TreeHeader
    uint64_t last_page             # leaf that the last get, put or cursor step touched: the caller's page hint

cdef struct Path:                  # from the root down to a leaf
    uint64_t pages[32]             # TREE_DEPTH_MAX
    uint16_t slots[32]             # branch: position of the child, 0 .. count; leaf: position of the entry
    int depth                      # 0: nowhere

cdef struct Value:
    const uint8_t* data
    uint64_t size
    uint64_t page                  # leaf holding the entry

cdef int tree_open(Txn* txn, const char* name, size_t name_size, Tree* tree) noexcept nogil    # E_NOT_FOUND
cdef int tree_open_id(Txn* txn, uint16_t id, Tree* tree) noexcept nogil
cdef int tree_create(Txn* txn, const char* name, size_t name_size, uint16_t flags, Tree* tree) noexcept nogil  # or opens
# Note in the catalog that the tree belongs to the table whose rows are in tree `rows`.
cdef int tree_adopt(Tree* tree, uint16_t rows) noexcept nogil
cdef int tree_drop(Tree* tree) noexcept nogil                      # frees all its pages and runs
cdef const TreeHeader* tree_header(Tree* tree) noexcept nogil      # entries, pages, depth

cdef int tree_get(Tree* tree, const void* key, size_t key_size, Value* value) noexcept nogil   # E_NOT_FOUND
# Straight to `page` when that is a leaf of this tree that holds the key, else as tree_get. For trees whose values never
# change under a key: a page that has left the tree still answers.
cdef int tree_get_hinted(Tree* tree, uint64_t page, const void* key, size_t key_size, Value* value) noexcept nogil
cdef int tree_put(Tree* tree, const void* key, size_t key_size, const void* value, uint64_t value_size,
                  int flags) noexcept nogil
# As tree_put, but the caller fills the returned `value_size` bytes before its next call on this transaction. NULL with
# `txn.error` clear says E_INVALID.
cdef uint8_t* tree_reserve(Tree* tree, const void* key, size_t key_size, uint64_t value_size, int flags) noexcept nogil
# Writable pointer to the inline value of an existing key, same size: for counters, bitmaps, index entries. NULL if absent
# or a run; then `txn.error` is clear.
cdef uint8_t* tree_update(Tree* tree, const void* key, size_t key_size, uint64_t* value_size) noexcept nogil
cdef int tree_delete(Tree* tree, const void* key, size_t key_size) noexcept nogil              # E_NOT_FOUND

# Merge neighbouring leaves between two keys wherever two fit into one page, for trees that take no inserts there.
cdef int tree_pack(Tree* tree, const void* first, size_t first_size, const void* last, size_t last_size) noexcept nogil

# For cursors, tables and checks: the path to the first entry >= key, which may be one past the last of its leaf.
cdef int tree_descend(Tree* tree, const void* key, size_t key_size, Path* path, const uint8_t** leaf,
                      bint* found) noexcept nogil
# The page as one of this tree at this level, checked; NULL and `txn.error` set when it is not.
cdef const uint8_t* tree_page(Tree* tree, uint64_t page, int level) noexcept nogil
# The value of a leaf's entry, inline or run.
cdef int tree_value(Tree* tree, const uint8_t* leaf, uint32_t position, Value* value) noexcept nogil
# Sets `txn.error`, naming page and tree; returns E_CORRUPT.
cdef int tree_corrupt(Tree* tree, uint64_t page, const char* what) noexcept nogil

cdef inline int tree_get64(Tree* tree, uint64_t key, Value* value) noexcept nogil:
    cdef uint64_t swapped = byteswap64(key)
    return tree_get(tree, &swapped, 8, value)

cdef extern from *:
    uint64_t byteswap64 "__builtin_bswap64"(uint64_t v) noexcept nogil

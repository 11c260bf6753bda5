"""B+trees of byte-string keys over slotted pages.

A Tree is a small value bound to one transaction; the catalog opens it. Keys are ordered by memcmp, 1 to KEY_SIZE_MAX
bytes; integer-keyed trees (TREE_INTEGER) take 8-byte big-endian keys. Value pointers are contiguous, whatever the
size, and live until the transaction ends or the tree is changed. In integer-keyed trees inline values begin at
multiples of 8, those of runs always do; elsewhere they lie as the key's size leaves them.

E_NOT_FOUND and E_INVALID are answers: nothing was changed, `txn.error` stays clear, the transaction goes on. Every
other code is also in `txn.error`. `key` and `value` arguments must not point into pages of the tree that is changed.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from pynori_core.catalog cimport Tree, tree_adopt, tree_corrupt, tree_create, tree_header, tree_open, tree_open_id
from pynori_core.txn cimport Txn

cdef enum:
    KEY_SIZE_MAX = 2048
    INLINE_SIZE_MAX = 4000         # key + value of an entry that stays in the leaf; larger values become runs
    TREE_DEPTH_MAX = 32
    VALUE_SIZE_MAX = 512000000     # a run has at most RUN_PAGES_MAX pages and is one buffer until the checkpoint

cdef enum PutFlag:
    PUT_UPSERT = 0
    PUT_INSERT = 1                 # E_INVALID when the key is there
    PUT_APPEND = 2                 # the caller knows that the key is greater than all others: split without moving

cdef struct Path:                  # from the root down to a leaf
    uint64_t pages[32]             # TREE_DEPTH_MAX
    uint16_t slots[32]             # branch: position of the child, 0 .. count; leaf: position of the entry
    int depth                      # 0: nowhere

cdef struct Value:
    const uint8_t* data
    uint64_t size
    uint64_t page                  # leaf holding the entry


cdef int tree_get(Tree* tree, const void* key, size_t key_size, Value* value) noexcept nogil   # E_NOT_FOUND
# Straight to `page` when that is a leaf of this tree that holds the key, else as tree_get. `offset`: where in the page
# the entry is likely to begin, or 0; then all that is needed is asked of memory at once. For trees whose values never
# change under a key: a page that has left the tree still answers.
cdef int tree_get_hinted(Tree* tree, uint64_t page, uint32_t offset, const void* key, size_t key_size,
                         Value* value) noexcept nogil
# Ask memory, all at once, for what tree_get_hinted with the same hints will look at; in vain is harmless.
cdef void tree_ask(Tree* tree, uint64_t page, uint32_t offset) noexcept nogil
cdef int tree_put(Tree* tree, const void* key, size_t key_size, const void* value, uint64_t value_size,
                  int flags) noexcept nogil
# As tree_put, but the caller fills the returned `value_size` bytes before its next call on this transaction. NULL with
# `txn.error` clear says E_INVALID.
cdef uint8_t* tree_reserve(Tree* tree, const void* key, size_t key_size, uint64_t value_size, int flags) noexcept nogil
# Writable pointer to the inline value of an existing key, same size, for changes before the caller's next call: for
# counters, bitmaps, index entries. NULL if absent or a run; then `txn.error` is clear.
cdef uint8_t* tree_update(Tree* tree, const void* key, size_t key_size, uint64_t* value_size) noexcept nogil
cdef int tree_delete(Tree* tree, const void* key, size_t key_size) noexcept nogil              # E_NOT_FOUND

# Merge neighbouring leaves between two keys wherever two fit into one page, for trees that take no inserts there. In
# integer-keyed trees leaves are filled up from their next ones too, so that none but the last has room for an entry.
cdef int tree_pack(Tree* tree, const void* first, size_t first_size, const void* last, size_t last_size) noexcept nogil

# Free all pages and runs of the tree, and its place in the catalog.
cdef int tree_drop(Tree* tree) noexcept nogil

# For cursors, tables and checks: the path to the first entry >= key, which may be one past the last of its leaf.
cdef int tree_descend(Tree* tree, const void* key, size_t key_size, Path* path, const uint8_t** leaf,
                      bint* found) noexcept nogil
# The page as one of this tree at this level, checked; NULL and `txn.error` set when it is not.
cdef const uint8_t* tree_page(Tree* tree, uint64_t page, int level) noexcept nogil
# The page as this transaction sees it, if that is known to be a page with a header of its own; else NULL, no failure.
cdef const uint8_t* page_hinted(Txn* txn, uint64_t page) noexcept nogil
# The value of a leaf's entry, inline or run.
cdef int tree_value(Tree* tree, const uint8_t* leaf, uint32_t position, Value* value) noexcept nogil

cdef inline int tree_get64(Tree* tree, uint64_t key, Value* value) noexcept nogil:
    cdef uint64_t swapped = byteswap64(key)
    return tree_get(tree, &swapped, 8, value)

cdef extern from *:
    uint64_t byteswap64 "__builtin_bswap64"(uint64_t v) noexcept nogil

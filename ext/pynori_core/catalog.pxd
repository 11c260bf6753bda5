"""The catalog: which trees there are, by name and by index, and the header of each.

`btree` hands these names on, so that who works with trees needs one header.
"""

from libc.stdint cimport uint16_t, uint64_t
from libc.stddef cimport size_t
from pynori_core.format cimport TreeHeader
from pynori_core.txn cimport Txn

cdef struct Tree:
    Txn* txn
    uint16_t id                    # catalog index
    uint16_t flags                 # TreeFlag
    uint64_t catalog               # catalog page that holds its TreeHeader
    uint64_t last_page             # leaf that the last get, put or cursor step touched: the caller's page hint
    # Leaf in which tree_get found a key, and Txn.stamp then: while that stays, the leaf is in the tree.
    uint64_t found_page
    uint64_t found_stamp

# Codes as in btree: E_NOT_FOUND and E_INVALID (a name of 0 or more than TREE_NAME_MAX bytes, other flags) are answers.
cdef int tree_open(Txn* txn, const char* name, size_t name_size, Tree* tree) noexcept nogil         # E_NOT_FOUND
cdef int tree_open_id(Txn* txn, uint16_t id, Tree* tree) noexcept nogil
cdef int tree_create(Txn* txn, const char* name, size_t name_size, uint16_t flags,
                     Tree* tree) noexcept nogil                    # or opens
# Note in the catalog that the tree belongs to the table whose rows are in tree `rows`.
cdef int tree_adopt(Tree* tree, uint16_t rows) noexcept nogil
cdef const TreeHeader* tree_header(Tree* tree) noexcept nogil      # entries, pages, depth; NULL: `txn.error` is set
# Sets `txn.error`, naming page and tree; returns E_CORRUPT.
cdef int tree_corrupt(Tree* tree, uint64_t page, const char* what) noexcept nogil

# For btree.
cdef TreeHeader* header_modify(Tree* tree) noexcept nogil
cdef int header_remove(Tree* tree) noexcept nogil                  # the place in the catalog becomes free

# The code of the failure that a function of txn answered with NULL.
cdef inline int txn_failure(Txn* txn) noexcept nogil:
    return txn.error.code

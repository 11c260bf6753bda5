"""The steps of `ahead.pxd`: slot, version, page, entries."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from pynori_core.bits cimport atomic_load_pointer
from pynori_core.btree cimport TREE_DEPTH_MAX, page_hinted, tree_header
from pynori_core.format cimport PAGE_SHIFT, TREE_INTEGER, TreeHeader
from pynori_core.slotted cimport (
    SEARCH_CORRUPT, branch_child, branch_search, page_count, page_sound, prefetch, slot_offset,
)
from pynori_core.txn cimport SLOT_CHUNK_PAGES, SLOT_CHUNK_SHIFT, SLOT_VERIFIED

cdef enum:
    CACHE_LINE = 64
    LEAF_LINES = 6                 # header and slots of a leaf of short entries, about full
    ENTRIES_ASKED = 8              # where halving looks first: at the eighths


cdef void ahead_start(Ahead* ahead, Tree* tree) noexcept nogil:
    memset(ahead, 0, sizeof(Ahead))
    ahead.tree = tree


cdef void ahead_step(Ahead* ahead, const void* key, size_t key_size) noexcept nogil:
    ask_entries(ahead.tree, ahead.pages[3])
    ask_page(ahead.tree, ahead.pages[2])
    ask_version(ahead.tree, ahead.pages[1])
    ahead.pages[3] = ahead.pages[2]
    ahead.pages[2] = ahead.pages[1]
    ahead.pages[1] = ahead.pages[0]
    ahead.pages[0] = find_leaf(ahead.tree, key, key_size) if key != NULL else 0


cdef void** slot_of(Tree* tree, uint64_t page) noexcept nogil:
    cdef void** chunk = NULL
    if page < tree.txn.map_pages:
        chunk = <void**>atomic_load_pointer(<void**>&tree.txn.slots[page >> SLOT_CHUNK_SHIFT])
    return NULL if chunk == NULL else &chunk[page & (SLOT_CHUNK_PAGES - 1)]


cdef uint64_t find_leaf(Tree* tree, const void* key, size_t key_size) noexcept nogil:
    """The page in which the key belongs, its slot asked for; 0 when that is not to be had without a failure."""
    cdef const TreeHeader* header = tree_header(tree)
    cdef const uint8_t* data
    cdef uint64_t page
    cdef void** slot
    cdef int level, position
    if header == NULL or not 1 < header.depth <= TREE_DEPTH_MAX:
        return 0
    page = header.root
    for level in range(<int>header.depth - 1, 0, -1):
        data = page_hinted(tree.txn, page)
        if data == NULL or not page_sound(data, page, tree.id, level):
            return 0
        position = branch_search(data, tree.flags & TREE_INTEGER, key, key_size)
        if position == SEARCH_CORRUPT:
            return 0
        page = branch_child(data, <uint32_t>position)
    slot = slot_of(tree, page)
    if slot == NULL:
        return 0
    prefetch(slot)
    return page


cdef void ask_version(Tree* tree, uint64_t page) noexcept nogil:
    cdef void** slot = slot_of(tree, page)
    cdef void* head
    if page == 0 or slot == NULL:
        return
    head = atomic_load_pointer(slot)
    if <uint64_t>head > SLOT_VERIFIED:
        prefetch(head)
    else:
        prefetch(tree.txn.map_base + (page << PAGE_SHIFT))


cdef void ask_page(Tree* tree, uint64_t page) noexcept nogil:
    cdef const uint8_t* data = page_hinted(tree.txn, page)
    cdef int line
    if data != NULL:
        for line in range(LEAF_LINES):
            prefetch(data + line * CACHE_LINE)


cdef void ask_entries(Tree* tree, uint64_t page) noexcept nogil:
    cdef const uint8_t* data = page_hinted(tree.txn, page)
    cdef uint32_t count, eighth
    if data == NULL or not page_sound(data, page, tree.id, 0):
        return
    count = page_count(data)
    for eighth in range(1, ENTRIES_ASKED):
        prefetch(data + slot_offset(data, (count * eighth) >> 3))

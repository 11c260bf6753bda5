"""Slotted pages: search, insert, remove, compact. The layout and the rules stand in slotted.pxd."""

from libc.string cimport memcpy, memmove, memset


cdef int leaf_search(const uint8_t* page, bint integer, const void* key, size_t key_size, bint* found) noexcept nogil:
    if integer:
        return search_whole(page, LEAF_KEY_OFFSET, load64_be(key), found)
    return search_bytes(page, LEAF_KEY_OFFSET, <const uint8_t*>key, key_size, found)


cdef int branch_search(const uint8_t* page, bint integer, const void* key, size_t key_size) noexcept nogil:
    cdef bint found = False
    cdef int position
    if integer:
        position = search_whole(page, BRANCH_KEY_OFFSET, load64_be(key), &found)
    else:
        position = search_bytes(page, BRANCH_KEY_OFFSET, <const uint8_t*>key, key_size, &found)
    return position + found


cdef uint32_t entry_size(const uint8_t* page, uint32_t position) noexcept nogil:
    cdef const LeafEntry* leaf
    cdef const BranchEntry* branch
    if (<const PageHeader*>page).type == PAGE_TYPE_LEAF:
        leaf = leaf_entry(page, position)
        return leaf_entry_size(leaf.key_size, leaf.value_size) if leaf != NULL else 0
    branch = branch_entry(page, position)
    return branch_entry_size(branch.key_size) if branch != NULL else 0


cdef void page_clear(uint8_t* page) noexcept nogil:
    cdef PageHeader* header = <PageHeader*>page
    header.count = 0
    header.lower = SLOTS_START
    header.upper = PAGE_SIZE
    header.holes = 0
    memset(page + SLOTS_START, 0, PAGE_ROOM)


cdef bint page_compact(uint8_t* page) noexcept nogil:
    cdef uint8_t copy[PAGE_SIZE]
    memcpy(copy, page, PAGE_SIZE)
    page_clear(page)
    return page_append_range(page, copy, 0, page_count(copy))


cdef bint page_append_range(uint8_t* target, const uint8_t* source, uint32_t start, uint32_t end) noexcept nogil:
    cdef PageHeader* header = <PageHeader*>target
    cdef uint32_t lower = header.lower
    cdef uint32_t upper = header.upper
    cdef uint32_t size, position
    for position in range(start, end):
        size = entry_size(source, position)
        if unlikely(size == 0 or slot_offset(source, position) + size > PAGE_SIZE or lower + SLOT_SIZE + size > upper):
            return False
        upper -= size
        memcpy(target + upper, source + slot_offset(source, position), size)
        store16(target + lower, <uint16_t>upper)
        lower += SLOT_SIZE
    header.lower = <uint16_t>lower
    header.upper = <uint16_t>upper
    header.count = <uint16_t>(header.count + end - start)
    return True


cdef uint8_t* page_insert(uint8_t* page, uint32_t position, uint32_t size) noexcept nogil:
    cdef PageHeader* header = <PageHeader*>page
    cdef uint8_t* slot
    if page_gap(page) < size + SLOT_SIZE:
        if unlikely(not page_compact(page)) or unlikely(page_gap(page) < size + SLOT_SIZE):
            return NULL
    slot = page + SLOTS_START + SLOT_SIZE * position
    memmove(slot + SLOT_SIZE, slot, header.lower - SLOTS_START - SLOT_SIZE * position)
    header.upper = <uint16_t>(header.upper - size)
    header.lower = <uint16_t>(header.lower + SLOT_SIZE)
    header.count += 1
    store16(slot, header.upper)
    return page + header.upper


cdef bint page_remove(uint8_t* page, uint32_t position) noexcept nogil:
    cdef PageHeader* header = <PageHeader*>page
    cdef uint32_t size = entry_size(page, position)
    cdef uint32_t offset = slot_offset(page, position)
    cdef uint8_t* slot = page + SLOTS_START + SLOT_SIZE * position
    if unlikely(size == 0 or offset + size > PAGE_SIZE):
        return False
    memmove(slot, slot + SLOT_SIZE, header.lower - SLOTS_START - SLOT_SIZE * (position + 1))
    header.lower = <uint16_t>(header.lower - SLOT_SIZE)
    header.count -= 1
    if header.count == 0:
        header.upper = PAGE_SIZE
        header.holes = 0
    elif offset == header.upper:
        header.upper = <uint16_t>(header.upper + size)
    else:
        header.holes = <uint16_t>(header.holes + size)
    return True


cdef bint page_truncate(uint8_t* page, uint32_t keep) noexcept nogil:
    cdef PageHeader* header = <PageHeader*>page
    cdef uint32_t position, size
    cdef uint32_t dropped = 0
    for position in range(keep, header.count):
        size = entry_size(page, position)
        if unlikely(size == 0):
            return False
        dropped += size
    header.count = <uint16_t>keep
    header.lower = <uint16_t>(SLOTS_START + SLOT_SIZE * keep)
    header.holes = <uint16_t>(header.holes + dropped)
    if keep == 0:
        header.upper = PAGE_SIZE
        header.holes = 0
    return True

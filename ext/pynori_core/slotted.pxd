"""Slotted pages: the bytes of one leaf or branch, searched and changed without knowing trees or transactions.

A page is PageHeader, then an array of uint16 slots (offsets of entries, in key order) up to `lower`, a gap, and from
`upper` to the page's end the entries in any order, `holes` bytes of which belong to nobody. What is read from a page is
never trusted: an offset or size that points outside the page ends the search with SEARCH_CORRUPT.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stddef cimport size_t
from pynori_core.bits cimport load16, load32, load64, load64_be, store16, compare_bytes, likely, unlikely
from pynori_core.format cimport (
    PAGE_SIZE, PAGE_TYPE_BRANCH, PAGE_TYPE_LEAF, BranchEntry, LeafEntry, PageHeader,
)

cdef enum:
    SLOTS_START = 64               # sizeof(PageHeader)
    SLOT_SIZE = 2
    PAGE_ROOM = 8128               # PAGE_SIZE - SLOTS_START: for slots and entries
    LEAF_KEY_OFFSET = 8            # sizeof(LeafEntry)
    BRANCH_KEY_OFFSET = 10         # sizeof(BranchEntry)
    INTEGER_KEY_SIZE = 8
    SEARCH_CORRUPT = -1
    PREFETCH_ENTRIES_MAX = 16      # the entries of a page with at most so many are asked for all at once
    SPREAD_ENTRIES_MIN = 32        # of a page with more, those at each eighth are

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *p) noexcept nogil

# Bytes an entry takes, its slot not included.
cdef inline uint32_t leaf_entry_size(size_t key_size, size_t stored_size) noexcept nogil:
    return <uint32_t>((LEAF_KEY_OFFSET + key_size + stored_size + 7) & ~<size_t>7)


cdef inline uint32_t branch_entry_size(size_t key_size) noexcept nogil:
    return <uint32_t>((BRANCH_KEY_OFFSET + key_size + 1) & ~<size_t>1)


cdef inline bint page_sound(const uint8_t* page, uint64_t number, uint16_t tree, int level) noexcept nogil:
    """Whether the header is one of a page of this tree at this level, with bounds inside the page."""
    cdef const PageHeader* header = <const PageHeader*>page
    return (header.page == number and header.tree == tree and header.level == level
            and header.type == (PAGE_TYPE_LEAF if level == 0 else PAGE_TYPE_BRANCH)
            and header.lower == SLOTS_START + SLOT_SIZE * <uint32_t>header.count
            and header.lower <= header.upper and header.upper <= PAGE_SIZE)


cdef inline uint32_t page_count(const uint8_t* page) noexcept nogil:
    return (<const PageHeader*>page).count


cdef inline uint32_t slot_offset(const uint8_t* page, uint32_t position) noexcept nogil:
    return load16(page + SLOTS_START + SLOT_SIZE * position)


cdef inline uint32_t page_used(const uint8_t* page) noexcept nogil:
    """Bytes of slots and entries."""
    cdef const PageHeader* header = <const PageHeader*>page
    return <uint32_t>header.lower - SLOTS_START + PAGE_SIZE - header.upper - header.holes


cdef inline uint32_t page_gap(const uint8_t* page) noexcept nogil:
    return <uint32_t>(<const PageHeader*>page).upper - (<const PageHeader*>page).lower


# The entry at a position, or NULL when any byte of it would lie outside the entries' part of the page.
cdef inline const LeafEntry* leaf_entry(const uint8_t* page, uint32_t position) noexcept nogil:
    cdef uint32_t offset = slot_offset(page, position)
    cdef const LeafEntry* entry
    if unlikely(offset > PAGE_SIZE - LEAF_KEY_OFFSET or offset < (<const PageHeader*>page).upper):
        return NULL
    entry = <const LeafEntry*>(page + offset)
    if unlikely(<uint64_t>entry.key_size + entry.value_size > PAGE_SIZE - LEAF_KEY_OFFSET - offset):
        return NULL
    return entry


cdef inline const BranchEntry* branch_entry(const uint8_t* page, uint32_t position) noexcept nogil:
    cdef uint32_t offset = slot_offset(page, position)
    cdef const BranchEntry* entry
    if unlikely(offset > PAGE_SIZE - BRANCH_KEY_OFFSET or offset < (<const PageHeader*>page).upper):
        return NULL
    entry = <const BranchEntry*>(page + offset)
    if unlikely(<uint32_t>entry.key_size > PAGE_SIZE - BRANCH_KEY_OFFSET - offset):
        return NULL
    return entry


cdef inline const uint8_t* leaf_key(const LeafEntry* entry) noexcept nogil:
    return <const uint8_t*>entry + LEAF_KEY_OFFSET


cdef inline const uint8_t* leaf_value(const LeafEntry* entry) noexcept nogil:
    return <const uint8_t*>entry + LEAF_KEY_OFFSET + entry.key_size


cdef inline const uint8_t* branch_key(const BranchEntry* entry) noexcept nogil:
    return <const uint8_t*>entry + BRANCH_KEY_OFFSET


# Child at a position 0 .. count of a branch; 0, which is no page of any tree, when the entry is corrupt.
cdef inline uint64_t branch_child(const uint8_t* page, uint32_t position) noexcept nogil:
    cdef const BranchEntry* entry
    if position == 0:
        return (<const PageHeader*>page).link
    entry = branch_entry(page, position - 1)
    return entry.child if entry != NULL else 0


# Whether an entry of at least `size` bytes can begin at `offset`. One comparison: what lies before upper wraps around.
cdef inline bint entry_inside(uint32_t offset, uint32_t upper, uint32_t size) noexcept nogil:
    return upper + size <= PAGE_SIZE and offset - upper <= PAGE_SIZE - size - upper


# Position of the first entry >= key (count when there is none) and whether it is equal, or SEARCH_CORRUPT. The search
# starts at `guess` < count and moves away from it in growing steps until it has the key between two entries; a good
# guess costs one or two probes, a bad one a few more than halving from the start would. key_offset is LEAF_KEY_OFFSET
# or BRANCH_KEY_OFFSET.
cdef inline int search_integer(const uint8_t* page, uint32_t guess, uint32_t key_offset, uint64_t key,
                               bint* found) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = page_count(page)
    cdef uint32_t upper = (<const PageHeader*>page).upper
    cdef uint32_t step = 1
    cdef uint32_t offset
    cdef uint64_t probe
    while low < high:
        offset = slot_offset(page, guess)
        if unlikely(not entry_inside(offset, upper, key_offset + INTEGER_KEY_SIZE)):
            return SEARCH_CORRUPT
        probe = load64_be(page + offset + key_offset)
        if probe == key:
            found[0] = True
            return <int>guess
        if probe < key:
            low = guess + 1
            guess += step
        else:
            high = guess
            guess -= step if guess >= step else 0
        if guess < low or guess >= high:
            guess = (low + high) >> 1
        step <<= 2
    found[0] = False
    return <int>low


# Where a key would stand if the keys between `low` and `high` were evenly spread over `count` places; count >= 1.
cdef inline uint32_t even_guess(uint64_t key, uint64_t low, uint64_t high, uint32_t count) noexcept nogil:
    cdef uint64_t span = high - low
    cdef uint64_t here = key - low
    cdef int shift
    if unlikely(key <= low):
        return 0
    if unlikely(key >= high):
        return count - 1
    if unlikely(span >> 48):
        shift = 16  # keep here * count within 64 bits
        span >>= shift
        here >>= shift
    here = here * count // span
    return <uint32_t>here if here < count else count - 1


cdef inline int search_whole(const uint8_t* page, uint32_t key_offset, uint64_t key, bint* found) noexcept nogil:
    """Search an integer page, guessing from its first and last key."""
    cdef uint32_t count = page_count(page)
    cdef uint32_t first, last, position
    found[0] = False
    if count == 0:
        return 0
    if count <= PREFETCH_ENTRIES_MAX:
        for position in range(count):
            prefetch(page + slot_offset(page, position))
    first = slot_offset(page, 0)
    last = slot_offset(page, count - 1)
    if unlikely(first > PAGE_SIZE - INTEGER_KEY_SIZE - key_offset or last > PAGE_SIZE - INTEGER_KEY_SIZE - key_offset):
        return SEARCH_CORRUPT
    return search_integer(page, even_guess(key, load64_be(page + first + key_offset),
                                           load64_be(page + last + key_offset), count), key_offset, key, found)


# As compare_bytes, in place: keys are short, and often differ late.
cdef inline int compare_keys(const uint8_t* a, size_t a_size, const uint8_t* b, size_t b_size) noexcept nogil:
    cdef size_t shorter = a_size if a_size < b_size else b_size
    cdef size_t offset = 0
    cdef uint64_t a_word, b_word
    while offset + 8 <= shorter:
        a_word = load64_be(a + offset)
        b_word = load64_be(b + offset)
        if a_word != b_word:
            return -1 if a_word < b_word else 1
        offset += 8
    if shorter >= 8 and offset < shorter:
        a_word = load64_be(a + shorter - 8)
        b_word = load64_be(b + shorter - 8)
        if a_word != b_word:
            return -1 if a_word < b_word else 1
        offset = shorter
    while offset < shorter:
        if a[offset] != b[offset]:
            return -1 if a[offset] < b[offset] else 1
        offset += 1
    return (a_size > b_size) - (a_size < b_size)


cdef inline int search_bytes(const uint8_t* page, uint32_t key_offset, const uint8_t* key, size_t key_size,
                             bint* found) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = page_count(page)
    cdef uint32_t upper = (<const PageHeader*>page).upper
    cdef uint32_t middle, offset, probe_size
    cdef int order
    if high > SPREAD_ENTRIES_MIN:
        # Three steps of halving wait for memory once.
        for middle in range(1, 8):
            prefetch(page + slot_offset(page, (high * middle) >> 3))
    while low < high:
        middle = (low + high) >> 1
        offset = slot_offset(page, middle)
        if unlikely(not entry_inside(offset, upper, key_offset)):
            return SEARCH_CORRUPT
        # Both entries that may come next are on their way while this one is compared.
        prefetch(page + slot_offset(page, (low + middle) >> 1))
        prefetch(page + slot_offset(page, (middle + high) >> 1))
        probe_size = load16(page + offset + (0 if key_offset == LEAF_KEY_OFFSET else 8))
        if unlikely(probe_size > PAGE_SIZE - key_offset - offset):
            return SEARCH_CORRUPT
        order = compare_keys(page + offset + key_offset, probe_size, key, key_size)
        if order == 0:
            found[0] = True
            return <int>middle
        if order < 0:
            low = middle + 1
        else:
            high = middle
    found[0] = False
    return <int>low


# As above for the whole page, with the guess made from its first and last key.
cdef int leaf_search(const uint8_t* page, bint integer, const void* key, size_t key_size, bint* found) noexcept nogil

# Position of the child that covers the key: 0 .. count, or SEARCH_CORRUPT.
cdef int branch_search(const uint8_t* page, bint integer, const void* key, size_t key_size) noexcept nogil

# Changes. `page` is writable. Each returns NULL or False when the page contradicts itself; then it may be half changed.
# Makes one gap of all holes.
cdef bint page_compact(uint8_t* page) noexcept nogil
# Room for an entry of `size` bytes at a position; the caller has seen to it that gap + holes suffice for it and a slot.
cdef uint8_t* page_insert(uint8_t* page, uint32_t position, uint32_t size) noexcept nogil
cdef bint page_remove(uint8_t* page, uint32_t position) noexcept nogil
# Entries [start, end) of `source` go to the end of `target`, in order; the caller has seen to the room.
cdef bint page_append_range(uint8_t* target, const uint8_t* source, uint32_t start, uint32_t end) noexcept nogil
# Drops all entries from `keep` on; their bytes become holes.
cdef bint page_truncate(uint8_t* page, uint32_t keep) noexcept nogil
# No entries, and the gap zeroed.
cdef void page_clear(uint8_t* page) noexcept nogil
# Bytes of the entry at a position, slot not included; 0 when it is corrupt.
cdef uint32_t entry_size(const uint8_t* page, uint32_t position) noexcept nogil

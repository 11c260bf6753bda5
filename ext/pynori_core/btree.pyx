"""B+trees: lookup, put, delete, pack, drop. Pages are changed in place (in the transaction's private copies), so a
change touches the leaf, the catalog page with the tree's counters, and only on a split or merge the branches above.

A leaf that is full splits in the middle; at the new entry when that goes on a run of entries inserted in order; and
behind its last entry when the new one comes after all others of the tree. So keys that come in order leave full pages
behind. A page that falls below half merges with a neighbour when both fit into one page with room to spare; neighbours
that do not fit together are left alone, so two neighbours after a delete always hold more than one merged page would.
An emptied page leaves the tree at once.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset
from pynori_core.bits cimport atomic_load_pointer, compare_bytes, likely, load64_be, store64, unlikely
from pynori_core.catalog cimport header_modify, header_remove, tree_corrupt, tree_header, txn_failure
from pynori_core.errors cimport E_INVALID, E_NOT_FOUND, OK
from pynori_core.format cimport (
    LEAF_RUN, PAGE_SHIFT, PAGE_SIZE, PAGE_TYPE_BRANCH, PAGE_TYPE_LEAF, PAGE_TYPE_RUN, TREE_INTEGER, BranchEntry,
    LeafEntry, PageHeader, RunReference, TreeHeader,
)
from pynori_core.slotted cimport (
    BRANCH_KEY_OFFSET, INTEGER_KEY_SIZE, LEAF_KEY_OFFSET, PAGE_ROOM, SEARCH_CORRUPT, SLOT_SIZE, SLOTS_START,
    branch_child, branch_entry, branch_entry_size, branch_key, entry_size, even_guess, leaf_entry,
    leaf_entry_size, leaf_key, leaf_search, leaf_value, page_append_range, page_compact, page_count, page_gap,
    page_insert, page_remove, page_sound, page_truncate, page_used, prefetch, search_bytes, search_integer,
    search_whole, slot_offset,
)
from pynori_core.txn cimport (
    SLOT_CHUNK_PAGES, SLOT_CHUNK_SHIFT, SLOT_UNVERIFIED, SLOT_VERIFIED, PageVersion, Txn, txn_allocate, txn_free,
    txn_modify, txn_modify_range, txn_page,
)

cdef enum:
    # A page merges when it is used less than this, and with a neighbour when both together are used at most that: what
    # lies between lets a merged page take some inserts before it splits again.
    MERGE_BELOW = PAGE_ROOM // 2
    MERGE_TOGETHER = PAGE_ROOM - PAGE_ROOM // 8
    # So many inserts, each at the place behind the one before, or with one entry between, make a run: ids that count up
    # do that in the middle of a tree, where 'orders/1359' and 'orders/1360' have 'orders/136' between them.
    INSERT_RUN_MIN = 12
    INSERT_RUN_MAX = 65535
    CACHE_LINE = 64
    LINES_ASKED = 8                # of an entry: then the processor has seen that somebody goes through it
    SLOT_LINES = 6                 # of a leaf of an index of ids, about full
    ENTRIES_SCANNED_MAX = 64       # slots looked through for an entry whose place is known; more are searched by key


# Lookup

cdef const uint8_t* tree_page(Tree* tree, uint64_t page, int level) noexcept nogil:
    cdef const uint8_t* data = txn_page(tree.txn, page)
    if unlikely(data == NULL):
        return NULL
    if unlikely(not page_sound(data, page, tree.id, level)):
        tree_corrupt(tree, page, "header is not that of a page of this tree at this level")
        return NULL
    return data


cdef inline int depth_checked(Tree* tree, const TreeHeader* header) noexcept nogil:
    """Depth of the tree, 0 with the error set when it is out of bounds."""
    if unlikely(header == NULL):
        return 0
    if unlikely(header.depth < 1 or header.depth > TREE_DEPTH_MAX):
        tree_corrupt(tree, tree.catalog, "depth out of bounds")
        return 0
    return header.depth


cdef inline bint key_valid(Tree* tree, size_t key_size) noexcept nogil:
    return key_size == INTEGER_KEY_SIZE if tree.flags & TREE_INTEGER else 0 < key_size <= KEY_SIZE_MAX


cdef int run_value(Tree* tree, uint64_t leaf_page, const LeafEntry* entry, Value* value) noexcept nogil:
    cdef RunReference reference
    cdef const uint8_t* data
    cdef const PageHeader* header
    if unlikely(entry.value_size != sizeof(RunReference)):
        return tree_corrupt(tree, leaf_page, "a run reference of the wrong size")
    memcpy(&reference, leaf_value(entry), sizeof(RunReference))
    data = txn_page(tree.txn, reference.page)
    if unlikely(data == NULL):
        return txn_failure(tree.txn)
    header = <const PageHeader*>data
    if unlikely(header.page != reference.page or header.type != PAGE_TYPE_RUN or header.tree != tree.id
                or header.value_size != reference.size or header.run_pages != run_pages(reference.size)):
        return tree_corrupt(tree, reference.page, "header is not that of the run the leaf speaks of")
    value.data = data + sizeof(PageHeader)
    value.size = reference.size
    return OK


cdef inline uint64_t run_pages(uint64_t size) noexcept nogil:
    return (sizeof(PageHeader) + size + PAGE_SIZE - 1) >> PAGE_SHIFT


cdef inline int entry_value(Tree* tree, uint64_t page, const uint8_t* leaf, uint32_t position,
                            Value* value) noexcept nogil:
    cdef const LeafEntry* entry = leaf_entry(leaf, position)
    tree.last_page = page
    value.page = page
    if unlikely(entry == NULL):
        return tree_corrupt(tree, page, "an entry lies outside the page")
    if unlikely(entry.flags & LEAF_RUN):
        return run_value(tree, page, entry, value)
    value.data = leaf_value(entry)
    value.size = entry.value_size
    return OK


cdef int tree_value(Tree* tree, const uint8_t* leaf, uint32_t position, Value* value) noexcept nogil:
    return entry_value(tree, (<const PageHeader*>leaf).page, leaf, position, value)


cdef inline bint separators(const uint8_t* parent, int position, uint64_t* low, uint64_t* high) noexcept nogil:
    """The integer keys on both sides of a child; False where there are not two."""
    cdef const BranchEntry* left
    cdef const BranchEntry* right
    if parent == NULL or position == 0 or position == <int>page_count(parent):
        return False
    left = branch_entry(parent, <uint32_t>position - 1)
    right = branch_entry(parent, <uint32_t>position)
    if unlikely(left == NULL or right == NULL or left.key_size != INTEGER_KEY_SIZE
                or right.key_size != INTEGER_KEY_SIZE):
        return False
    low[0] = load64_be(branch_key(left))
    high[0] = load64_be(branch_key(right))
    return True


cdef inline uint64_t child_ask(Tree* tree, const uint8_t* branch, int position, int level,
                               const void* key) noexcept nogil:
    """The child at a position of a branch at `level`. Memory is asked for its lines before the first is waited for.

    Most pages are in the map; should this one be in a version, three lines were asked for in vain. The third lies
    where an entry would be if keys were dense and entries of one size and appended; right or wrong, it has the address
    of that half of the page translated.
    """
    cdef uint64_t page = branch_child(branch, position)
    cdef uint64_t offset = PAGE_SIZE // 2
    cdef uint64_t low, high, here
    cdef int line
    cdef const uint8_t* data
    if unlikely(page >= tree.txn.map_pages):
        return page  # damage; who looks the page up says so
    data = tree.txn.map_base + (page << PAGE_SHIFT)
    if level == 1 and not tree.flags & TREE_INTEGER:
        # Halving begins in the middle of the slots, and a page of short entries has some lines of them.
        for line in range(2, 1 + SLOT_LINES):
            prefetch(data + line * CACHE_LINE)
    elif level == 1 and separators(branch, position, &low, &high):
        here = load64_be(key) - low + 1
        high -= low
        if 0 < here <= high <= PAGE_ROOM:
            offset = PAGE_SIZE - here * PAGE_ROOM // high
    prefetch(data)
    prefetch(data + SLOTS_START)
    prefetch(data + offset)
    return page


cdef inline int child_search(Tree* tree, const uint8_t* parent, int position, const uint8_t* page, int level,
                             const void* key, size_t key_size, bint* found) noexcept nogil:
    """Position of the first entry >= key in the child at a position of `parent`; `found`: it is equal.

    Integer keys are looked for first where an even spread between the separators around the child would put them; when
    there are not two, the page's own first and last key have to serve.
    """
    cdef uint32_t key_offset = LEAF_KEY_OFFSET if level == 0 else BRANCH_KEY_OFFSET
    cdef uint32_t count = page_count(page)
    cdef uint64_t low, high
    if not tree.flags & TREE_INTEGER:
        return search_bytes(page, key_offset, <const uint8_t*>key, key_size, found)
    if unlikely(count == 0 or not separators(parent, position, &low, &high)):
        return search_whole(page, key_offset, load64_be(key), found)
    return search_integer(page, even_guess(load64_be(key), low, high, count), key_offset, load64_be(key), found)


cdef int tree_get(Tree* tree, const void* key, size_t key_size, Value* value) noexcept nogil:
    cdef const TreeHeader* header = tree_header(tree)
    cdef int level = depth_checked(tree, header)
    cdef bint found = False
    cdef const uint8_t* parent = NULL
    cdef const uint8_t* data
    cdef uint64_t page
    cdef int position = 0
    if unlikely(level == 0):
        return txn_failure(tree.txn)
    if unlikely(not key_valid(tree, key_size)):
        return E_INVALID
    page = header.root
    while True:
        level -= 1
        data = tree_page(tree, page, level)
        if unlikely(data == NULL):
            return txn_failure(tree.txn)
        position = child_search(tree, parent, position, data, level, key, key_size, &found)
        if unlikely(position == SEARCH_CORRUPT):
            return tree_corrupt(tree, page, "an entry lies outside the page")
        if level == 0:
            break
        position += found
        parent = data
        page = child_ask(tree, data, position, level, key)
    if not found:
        tree.last_page = page
        return E_NOT_FOUND
    tree.found_page = page
    tree.found_stamp = tree.txn.stamp
    return entry_value(tree, page, data, position, value)


cdef int tree_get_hinted(Tree* tree, uint64_t page, uint32_t offset, const void* key, size_t key_size,
                         Value* value) noexcept nogil:
    cdef const uint8_t* data
    cdef bint found = False
    cdef int position
    if offset != 0:
        tree_ask(tree, page, offset)
    data = page_hinted(tree.txn, page)
    if data != NULL and key_valid(tree, key_size) and page_sound(data, page, tree.id, 0):
        position = entry_at(data, offset, key, key_size)
        if likely(position >= 0):
            return entry_value(tree, page, data, position, value)
        position = leaf_search(data, tree.flags & TREE_INTEGER, key, key_size, &found)
        if position >= 0 and found:
            return entry_value(tree, page, data, position, value)
    return tree_get(tree, key, key_size, value)


cdef void tree_ask(Tree* tree, uint64_t page, uint32_t offset) noexcept nogil:
    """Ask memory for the page's head and the entry's first lines all at once; in vain when the page has a version."""
    cdef const uint8_t* data
    cdef uint32_t line
    if unlikely(page >= tree.txn.map_pages or offset >= PAGE_SIZE):
        return
    data = tree.txn.map_base + (page << PAGE_SHIFT)
    prefetch(data)
    prefetch(data + SLOTS_START)
    for line in range(LINES_ASKED):
        prefetch(data + offset + line * CACHE_LINE)


cdef inline int entry_at(const uint8_t* leaf, uint32_t offset, const void* key, size_t key_size) noexcept nogil:
    """Position of the entry that begins at `offset`, if there is one and its key is this; else -1."""
    cdef uint32_t count = page_count(leaf)
    cdef uint32_t position
    cdef const LeafEntry* entry
    if offset == 0 or count > ENTRIES_SCANNED_MAX:
        return -1
    for position in range(count):
        if slot_offset(leaf, position) == offset:
            entry = leaf_entry(leaf, position)
            if entry != NULL and entry.key_size == key_size and memcmp(leaf_key(entry), key, key_size) == 0:
                return <int>position
            break
    return -1


cdef const uint8_t* page_hinted(Txn* txn, uint64_t page) noexcept nogil:
    """The page as this transaction sees it, if that is known to be a page with a header of its own; else NULL.

    A hint may be out of date and name a page that is free, was never checked, or now lies inside a run, whose bytes are
    a document's and could look like anything. Only pages that were verified, or changed since, are answered for.
    """
    cdef void** chunk
    cdef void* slot
    cdef PageVersion* version
    if page == 0 or page >= txn.map_pages:
        return NULL
    chunk = <void**>atomic_load_pointer(<void**>&txn.slots[page >> SLOT_CHUNK_SHIFT])
    if chunk == NULL:
        return NULL
    slot = atomic_load_pointer(&chunk[page & (SLOT_CHUNK_PAGES - 1)])
    if likely(slot == <void*>SLOT_VERIFIED):
        return txn.map_base + (page << PAGE_SHIFT)
    if slot == <void*>SLOT_UNVERIFIED:
        return NULL
    version = <PageVersion*>slot
    while version != NULL and version.txn_id > txn.id:
        version = <PageVersion*>atomic_load_pointer(<void**>&version.older)
    return version.data if version != NULL and version.run == NULL else NULL


cdef int tree_descend(Tree* tree, const void* key, size_t key_size, Path* path, const uint8_t** leaf,
                      bint* found) noexcept nogil:
    cdef const TreeHeader* header = tree_header(tree)
    cdef int level = depth_checked(tree, header)
    cdef const uint8_t* parent = NULL
    cdef const uint8_t* data
    cdef uint64_t page
    cdef int position = 0
    if unlikely(level == 0):
        return txn_failure(tree.txn)
    path.depth = 0
    page = header.root
    while True:
        level -= 1
        data = tree_page(tree, page, level)
        if unlikely(data == NULL):
            return txn_failure(tree.txn)
        position = child_search(tree, parent, position, data, level, key, key_size, found)
        if unlikely(position == SEARCH_CORRUPT):
            return tree_corrupt(tree, page, "an entry lies outside the page")
        if level > 0:
            position += found[0]
        path.pages[path.depth] = page
        path.slots[path.depth] = <uint16_t>position
        path.depth += 1
        if level == 0:
            leaf[0] = data
            tree.last_page = page
            return OK
        parent = data
        page = child_ask(tree, data, position, level, key)


cdef int descend_last(Tree* tree, Path* path, const uint8_t** leaf) noexcept nogil:
    """The path to the end of the last leaf: position = count."""
    cdef const TreeHeader* header = tree_header(tree)
    cdef int level = depth_checked(tree, header)
    cdef const uint8_t* data
    cdef uint64_t page
    if unlikely(level == 0):
        return txn_failure(tree.txn)
    path.depth = 0
    page = header.root
    while True:
        level -= 1
        data = tree_page(tree, page, level)
        if unlikely(data == NULL):
            return txn_failure(tree.txn)
        path.pages[path.depth] = page
        path.slots[path.depth] = <uint16_t>page_count(data)
        path.depth += 1
        if level == 0:
            leaf[0] = data
            tree.last_page = page
            return OK
        page = branch_child(data, page_count(data))


# Put

cdef int run_free(Tree* tree, uint64_t leaf_page, const LeafEntry* entry) noexcept nogil:
    cdef Value value
    cdef RunReference reference
    cdef TreeHeader* header
    cdef int code = run_value(tree, leaf_page, entry, &value)
    if code != OK:
        return code
    memcpy(&reference, leaf_value(entry), sizeof(RunReference))
    code = txn_free(tree.txn, reference.page, <uint32_t>run_pages(reference.size))
    if code != OK:
        return code
    header = header_modify(tree)
    if unlikely(header == NULL):
        return txn_failure(tree.txn)
    header.run_pages -= run_pages(reference.size)
    return OK


cdef uint8_t* run_write(Tree* tree, uint64_t size, RunReference* reference) noexcept nogil:
    """Allocate a run for a value of `size` bytes; return where its bytes go. What follows the value is zeroed."""
    cdef uint64_t pages = run_pages(size)
    cdef uint64_t page
    cdef uint8_t* data
    cdef TreeHeader* header = header_modify(tree)
    if unlikely(header == NULL):
        return NULL
    data = txn_allocate(tree.txn, <uint32_t>pages, PAGE_TYPE_RUN, tree.id, &page)
    if unlikely(data == NULL):
        return NULL
    reference.page = page
    reference.size = size
    (<PageHeader*>data).value_size = size
    memset(data + sizeof(PageHeader) + size, 0, (pages << PAGE_SHIFT) - sizeof(PageHeader) - size)
    header.run_pages += pages
    return data + sizeof(PageHeader)


cdef void leaf_entry_fill(uint8_t* place, uint32_t size, const void* key, size_t key_size,
                          uint32_t stored_size) noexcept nogil:
    cdef LeafEntry* entry = <LeafEntry*>place
    store64(place + size - 8, 0)  # the padding, which would otherwise keep old bytes
    entry.key_size = <uint16_t>key_size
    entry.flags = 0
    entry.value_size = stored_size
    memcpy(place + LEAF_KEY_OFFSET, key, key_size)


cdef uint32_t split_position(const uint8_t* page, uint32_t position, uint32_t size) noexcept nogil:
    """How many entries, the new one counted, go left when `page`, with an entry of `size` bytes added at `position`,
    is split; 0: corrupt.

    Both sides fit: an entry is smaller than half a page.
    """
    cdef uint32_t total = page_used(page) + size + SLOT_SIZE
    cdef uint32_t left = 0
    cdef uint32_t best = 0
    cdef uint32_t best_larger = PAGE_ROOM + 1
    cdef uint32_t index, here, larger
    for index in range(page_count(page) + 1):
        if index == position:
            here = size
        else:
            here = entry_size(page, index if index < position else index - 1)
        left += here + SLOT_SIZE
        if unlikely(here == 0 or left > total):
            return 0
        larger = left if left > total - left else total - left
        if larger < best_larger:
            best_larger = larger
            best = index + 1
    return best


cdef inline bint run_goes_on(const uint8_t* leaf, uint32_t position) noexcept nogil:
    cdef const PageHeader* header = <const PageHeader*>leaf
    return header.insert_run > 0 and (position == header.insert_next or position == <uint32_t>header.insert_next + 1)


cdef inline void run_note(uint8_t* leaf, uint32_t position, uint32_t run) noexcept nogil:
    (<PageHeader*>leaf).insert_next = <uint16_t>(position + 1)
    (<PageHeader*>leaf).insert_run = <uint16_t>(run if run < INSERT_RUN_MAX else INSERT_RUN_MAX)


cdef uint32_t split_at_run(const uint8_t* leaf, uint32_t position, uint32_t size) noexcept nogil:
    """As split_position, for an entry that goes on a run: left are those before it, and itself if it fits."""
    cdef uint32_t left = 0
    cdef uint32_t index
    for index in range(position):
        left += entry_size(leaf, index) + SLOT_SIZE
    return position + 1 if left + size + SLOT_SIZE <= PAGE_ROOM else position


cdef uint8_t* leaf_split(Tree* tree, Path* path, uint32_t position, const void* key, size_t key_size, uint32_t size,
                         uint32_t stored_size, uint64_t* page) noexcept nogil:
    """Split the leaf at the path's end and make room for an entry at `position`; return the entry, with its key set."""
    cdef uint64_t left_page = path.pages[path.depth - 1]
    cdef uint64_t right_page
    cdef uint8_t* left = txn_modify(tree.txn, left_page)
    cdef uint8_t* right = txn_allocate(tree.txn, 1, PAGE_TYPE_LEAF, tree.id, &right_page)
    cdef uint8_t* place = NULL
    cdef uint32_t count, keep, run
    cdef TreeHeader* header = header_modify(tree)
    if unlikely(left == NULL or right == NULL or header == NULL):
        return NULL
    header.leaf_pages += 1
    count = page_count(left)
    run = (<PageHeader*>left).insert_run + 1 if run_goes_on(left, position) else 1
    if position == count and path_is_last(tree, path):
        keep = count
    elif run > INSERT_RUN_MIN and position > 0:
        keep = split_at_run(left, position, size)
    else:
        keep = split_position(left, position, size)
    if position < keep:
        if keep > 0 and page_append_range(right, left, keep - 1, count) and page_truncate(left, keep - 1):
            place = page_insert(left, position, size)
        page[0] = left_page
        run_note(left, position, run)
    else:
        if keep > 0 and page_append_range(right, left, keep, count) and page_truncate(left, keep):
            place = page_insert(right, position - keep, size)
        page[0] = right_page
        run_note(right, position - keep, run)
    if unlikely(place == NULL):
        tree_corrupt(tree, left_page, "entries overlap")
        return NULL
    leaf_entry_fill(place, size, key, key_size, stored_size)
    if leaf_separate(tree, path, left, right, right_page) != OK:
        return NULL
    return place


cdef int leaf_separate(Tree* tree, Path* path, const uint8_t* left, const uint8_t* right,
                       uint64_t right_page) noexcept nogil:
    """Tell the parent of a new right leaf, under the shortest key that lies between both."""
    cdef const LeafEntry* last = leaf_entry(left, page_count(left) - 1)
    cdef const LeafEntry* first = leaf_entry(right, 0)
    cdef size_t size
    if unlikely(last == NULL or first == NULL):
        return tree_corrupt(tree, right_page, "an entry lies outside the page")
    size = first.key_size
    if not tree.flags & TREE_INTEGER:
        size = 0
        while size < last.key_size and size < first.key_size and leaf_key(last)[size] == leaf_key(first)[size]:
            size += 1
        if unlikely(size >= first.key_size):
            return tree_corrupt(tree, right_page, "keys are not in order")
        size += 1
    return branch_put(tree, path, leaf_key(first), size, right_page)


cdef void branch_entry_fill(uint8_t* place, uint32_t size, const void* key, size_t key_size,
                            uint64_t child) noexcept nogil:
    cdef BranchEntry* entry = <BranchEntry*>place
    place[size - 1] = 0
    entry.child = child
    entry.key_size = <uint16_t>key_size
    memcpy(place + BRANCH_KEY_OFFSET, key, key_size)


cdef int branch_put(Tree* tree, Path* path, const uint8_t* key, size_t key_size, uint64_t child) noexcept nogil:
    """Enter `child`, whose keys are >= key, right of the child the path goes through; split upwards as needed."""
    cdef uint8_t keys[2][KEY_SIZE_MAX]   # of the level below and, while it splits, of this one
    cdef int level = path.depth - 2
    cdef uint8_t* page
    cdef uint8_t* place
    cdef uint32_t size
    cdef int turn = 0
    memcpy(keys[0], key, key_size)
    while level >= 0:
        page = txn_modify(tree.txn, path.pages[level])
        if unlikely(page == NULL):
            return txn_failure(tree.txn)
        size = branch_entry_size(key_size)
        if page_gap(page) + (<PageHeader*>page).holes >= size + SLOT_SIZE:
            place = page_insert(page, path.slots[level], size)
            if unlikely(place == NULL):
                return tree_corrupt(tree, path.pages[level], "entries overlap")
            branch_entry_fill(place, size, keys[turn], key_size, child)
            return OK
        if branch_split(tree, page, path.slots[level], keys[turn], keys[1 - turn], &key_size, &child) != OK:
            return txn_failure(tree.txn)
        turn = 1 - turn
        level -= 1
    return root_grow(tree, keys[turn], key_size, child)


cdef uint32_t branch_middle(const uint8_t* page) noexcept nogil:
    """The entry at which half of the branch's bytes are reached. Entries are small, so each side takes one more."""
    cdef uint32_t half = page_used(page) // 2
    cdef uint32_t passed = 0
    cdef uint32_t position = 0
    for position in range(page_count(page)):
        passed += entry_size(page, position) + SLOT_SIZE
        if passed >= half:
            break
    return position


cdef int branch_split(Tree* tree, uint8_t* left, uint32_t position, const uint8_t* key, uint8_t* key_up,
                      size_t* key_size, uint64_t* child) noexcept nogil:
    """Split a full branch and enter (key, child) at `position`.

    The middle entry moves up: its key goes to key_up and key_size, and `child` becomes the new right page.
    """
    cdef uint64_t left_page = (<PageHeader*>left).page
    cdef uint32_t count = page_count(left)
    cdef uint32_t size = branch_entry_size(key_size[0])
    cdef uint32_t middle = count - 1 if position == count else branch_middle(left)
    cdef uint64_t right_page
    cdef uint8_t* right = txn_allocate(tree.txn, 1, PAGE_TYPE_BRANCH, tree.id, &right_page)
    cdef TreeHeader* header = header_modify(tree)
    cdef const BranchEntry* moved
    cdef uint8_t* place
    cdef size_t moved_size
    if unlikely(right == NULL or header == NULL):
        return txn_failure(tree.txn)
    moved = branch_entry(left, middle) if count > 0 else NULL
    if unlikely(moved == NULL or moved.key_size > KEY_SIZE_MAX):
        return tree_corrupt(tree, left_page, "an entry lies outside the page")
    header.branch_pages += 1
    moved_size = moved.key_size
    memcpy(key_up, branch_key(moved), moved_size)
    (<PageHeader*>right).level = (<PageHeader*>left).level
    (<PageHeader*>right).link = moved.child
    if unlikely(not page_append_range(right, left, middle + 1, count) or not page_truncate(left, middle)):
        return tree_corrupt(tree, left_page, "entries overlap")
    place = page_insert(left, position, size) if position <= middle else page_insert(right, position - middle - 1, size)
    if unlikely(place == NULL):
        return tree_corrupt(tree, left_page, "entries overlap")
    branch_entry_fill(place, size, key, key_size[0], child[0])
    key_size[0] = moved_size
    child[0] = right_page
    return OK


cdef int root_grow(Tree* tree, const uint8_t* key, size_t key_size, uint64_t child) noexcept nogil:
    """Put a new root above the old one and its new right neighbour."""
    cdef TreeHeader* header = header_modify(tree)
    cdef uint64_t root
    cdef uint8_t* page
    cdef uint8_t* place
    cdef uint32_t size = branch_entry_size(key_size)
    if unlikely(header == NULL):
        return txn_failure(tree.txn)
    if unlikely(header.depth >= TREE_DEPTH_MAX):
        return tree_corrupt(tree, tree.catalog, "depth out of bounds")
    page = txn_allocate(tree.txn, 1, PAGE_TYPE_BRANCH, tree.id, &root)
    if unlikely(page == NULL):
        return txn_failure(tree.txn)
    (<PageHeader*>page).level = <uint8_t>header.depth
    (<PageHeader*>page).link = header.root
    place = page_insert(page, 0, size)
    branch_entry_fill(place, size, key, key_size, child)
    header.root = root
    header.depth += 1
    header.branch_pages += 1
    return OK


cdef bint path_is_last(Tree* tree, Path* path) noexcept nogil:
    """Whether the path goes through the last child of every branch."""
    cdef int level
    cdef const uint8_t* page
    for level in range(path.depth - 1):
        page = txn_page(tree.txn, path.pages[level])
        if page == NULL or path.slots[level] != page_count(page):
            return False
    return True


cdef uint8_t* leaf_put(Tree* tree, Path* path, const uint8_t* leaf, const void* key, size_t key_size,
                       uint32_t stored_size) noexcept nogil:
    """Enter a key that is not there at the path's position; return its entry. A split may make the path stale."""
    cdef uint32_t size = leaf_entry_size(key_size, stored_size)
    cdef uint32_t position = path.slots[path.depth - 1]
    cdef uint64_t page = path.pages[path.depth - 1]
    cdef uint8_t* place
    cdef uint8_t* writable
    if page_gap(leaf) + (<const PageHeader*>leaf).holes >= size + SLOT_SIZE:
        writable = txn_modify(tree.txn, page)
        if unlikely(writable == NULL):
            return NULL
        run_note(writable, position, (<PageHeader*>writable).insert_run + 1 if run_goes_on(writable, position) else 1)
        place = page_insert(writable, position, size)
        if unlikely(place == NULL):
            tree_corrupt(tree, page, "entries overlap")
            return NULL
        leaf_entry_fill(place, size, key, key_size, stored_size)
    else:
        place = leaf_split(tree, path, position, key, key_size, size, stored_size, &page)
    tree.last_page = page
    return place


cdef int append_position(Tree* tree, const void* key, size_t key_size, Path* path,
                         const uint8_t** leaf) noexcept nogil:
    """The path for PUT_APPEND; E_INVALID when the key is not greater than all others."""
    cdef int code = descend_last(tree, path, leaf)
    cdef uint32_t count
    cdef const LeafEntry* last
    if code != OK:
        return code
    count = page_count(leaf[0])
    if count == 0:
        return OK
    last = leaf_entry(leaf[0], count - 1)
    if unlikely(last == NULL):
        return tree_corrupt(tree, tree.last_page, "an entry lies outside the page")
    return OK if compare_bytes(leaf_key(last), last.key_size, key, key_size) < 0 else E_INVALID


cdef uint8_t* found_overwrite(Tree* tree, const void* key, size_t key_size, uint32_t stored_size) noexcept nogil:
    """Where the new value of a key goes that tree_get has just found with a value of the same size; else NULL."""
    cdef const uint8_t* leaf
    cdef const LeafEntry* old
    cdef uint8_t* writable
    cdef uint32_t start
    cdef bint found = False
    cdef int position
    if tree.found_stamp != tree.txn.stamp or tree.found_stamp == 0:
        return NULL
    leaf = tree_page(tree, tree.found_page, 0)
    if unlikely(leaf == NULL):
        return NULL
    position = leaf_search(leaf, tree.flags & TREE_INTEGER, key, key_size, &found)
    if position < 0 or not found:
        return NULL
    old = leaf_entry(leaf, <uint32_t>position)
    if old == NULL or old.flags & LEAF_RUN or old.value_size != stored_size:
        return NULL
    start = <uint32_t>(leaf_value(old) - leaf)
    writable = txn_modify_range(tree.txn, tree.found_page, start, start + stored_size)
    tree.last_page = tree.found_page
    return writable + start if writable != NULL else NULL


cdef int tree_place(Tree* tree, const void* key, size_t key_size, uint64_t value_size, int flags,
                    uint8_t** place) noexcept nogil:
    """Make the entry of a key, new or replaced; `place` is where its value goes."""
    cdef Path path
    cdef const uint8_t* leaf = NULL
    cdef const LeafEntry* old
    cdef uint8_t* writable
    cdef uint8_t* entry
    cdef uint8_t* run_place = NULL
    cdef RunReference reference
    cdef TreeHeader* header
    cdef bint found = False
    cdef bint run
    cdef uint32_t stored_size
    cdef int code
    if unlikely(not key_valid(tree, key_size) or value_size > VALUE_SIZE_MAX):
        return E_INVALID
    run = key_size + value_size > INLINE_SIZE_MAX
    stored_size = sizeof(RunReference) if run else <uint32_t>value_size
    if not run and flags == PUT_UPSERT:
        place[0] = found_overwrite(tree, key, key_size, stored_size)
        if place[0] != NULL:
            return OK
        if unlikely(tree.txn.error.code != OK):
            return txn_failure(tree.txn)
    if flags & PUT_APPEND:
        code = append_position(tree, key, key_size, &path, &leaf)
    else:
        code = tree_descend(tree, key, key_size, &path, &leaf, &found)
    if code != OK:
        return code
    if found and flags & PUT_INSERT:
        return E_INVALID
    if run:
        run_place = run_write(tree, value_size, &reference)
        if unlikely(run_place == NULL):
            return txn_failure(tree.txn)
    if found:
        old = leaf_entry(leaf, path.slots[path.depth - 1])
        if unlikely(old == NULL):
            return tree_corrupt(tree, tree.last_page, "an entry lies outside the page")
        if old.flags & LEAF_RUN:
            code = run_free(tree, tree.last_page, old)
            if code != OK:
                return code
        writable = txn_modify(tree.txn, tree.last_page)
        if unlikely(writable == NULL):
            return txn_failure(tree.txn)
        if old.value_size == stored_size:
            entry = <uint8_t*>leaf_entry(writable, path.slots[path.depth - 1])
            (<LeafEntry*>entry).flags = 0
        else:
            if unlikely(not page_remove(writable, path.slots[path.depth - 1])):
                return tree_corrupt(tree, tree.last_page, "entries overlap")
            entry = leaf_put(tree, &path, writable, key, key_size, stored_size)
    else:
        header = header_modify(tree)
        if unlikely(header == NULL):
            return txn_failure(tree.txn)
        header.entries += 1
        entry = leaf_put(tree, &path, leaf, key, key_size, stored_size)
    if unlikely(entry == NULL):
        return txn_failure(tree.txn)
    place[0] = <uint8_t*>leaf_value(<LeafEntry*>entry)
    if run:
        (<LeafEntry*>entry).flags = LEAF_RUN
        memcpy(place[0], &reference, sizeof(RunReference))
        place[0] = run_place
    return OK


cdef int tree_put(Tree* tree, const void* key, size_t key_size, const void* value, uint64_t value_size,
                  int flags) noexcept nogil:
    cdef uint8_t* place
    cdef int code = tree_place(tree, key, key_size, value_size, flags, &place)
    if code == OK and value_size > 0:
        memcpy(place, value, value_size)
    return code


cdef uint8_t* tree_reserve(Tree* tree, const void* key, size_t key_size, uint64_t value_size, int flags) noexcept nogil:
    cdef uint8_t* place
    return place if tree_place(tree, key, key_size, value_size, flags, &place) == OK else NULL


cdef uint8_t* tree_update(Tree* tree, const void* key, size_t key_size, uint64_t* value_size) noexcept nogil:
    cdef Path path
    cdef const uint8_t* leaf
    cdef const LeafEntry* entry
    cdef uint8_t* writable
    cdef uint32_t start
    cdef bint found = False
    if unlikely(not key_valid(tree, key_size)):
        return NULL
    if tree_descend(tree, key, key_size, &path, &leaf, &found) != OK or not found:
        return NULL
    entry = leaf_entry(leaf, path.slots[path.depth - 1])
    if unlikely(entry == NULL):
        tree_corrupt(tree, tree.last_page, "an entry lies outside the page")
        return NULL
    if unlikely(entry.flags & LEAF_RUN):
        return NULL
    start = <uint32_t>(leaf_value(entry) - leaf)
    value_size[0] = entry.value_size
    writable = txn_modify_range(tree.txn, tree.last_page, start, start + entry.value_size)
    return writable + start if writable != NULL else NULL


# Delete

cdef int tree_delete(Tree* tree, const void* key, size_t key_size) noexcept nogil:
    cdef Path path
    cdef const uint8_t* leaf
    cdef bint found = False
    cdef int code
    if unlikely(not key_valid(tree, key_size)):
        return E_INVALID
    code = tree_descend(tree, key, key_size, &path, &leaf, &found)
    if code != OK:
        return code
    if not found:
        return E_NOT_FOUND
    code = leaf_delete(tree, &path, leaf)
    return code if code != OK else pages_merge(tree, &path, path.depth - 1)


cdef int leaf_delete(Tree* tree, Path* path, const uint8_t* leaf) noexcept nogil:
    """Take the entry at the path's position out of its leaf, and free its run."""
    cdef const LeafEntry* entry = leaf_entry(leaf, path.slots[path.depth - 1])
    cdef uint8_t* writable
    cdef TreeHeader* header
    cdef int code
    if unlikely(entry == NULL):
        return tree_corrupt(tree, tree.last_page, "an entry lies outside the page")
    if entry.flags & LEAF_RUN:
        code = run_free(tree, tree.last_page, entry)
        if code != OK:
            return code
    writable = txn_modify(tree.txn, tree.last_page)
    header = header_modify(tree)
    if unlikely(writable == NULL or header == NULL):
        return txn_failure(tree.txn)
    if unlikely(not page_remove(writable, path.slots[path.depth - 1])):
        return tree_corrupt(tree, tree.last_page, "entries overlap")
    header.entries -= 1
    return OK


cdef int pages_merge(Tree* tree, Path* path, int level) noexcept nogil:
    """From a level of the path upwards: drop what is empty, merge what is less than half full. The path becomes
    stale."""
    cdef const uint8_t* page = txn_page(tree.txn, path.pages[level])
    cdef bint empty
    cdef int code
    if unlikely(page == NULL):
        return txn_failure(tree.txn)
    empty = level == path.depth - 1 and page_count(page) == 0
    while level > 0:
        if empty:
            code = child_drop(tree, path, level, &empty)
        else:
            page = txn_page(tree.txn, path.pages[level])
            if unlikely(page == NULL):
                return txn_failure(tree.txn)
            if page_used(page) >= MERGE_BELOW:
                return OK
            code = child_merge(tree, path, level)
            if code == E_NOT_FOUND:
                return OK  # no neighbour that it fits together with
        if code != OK:
            return code
        level -= 1
    return root_shrink(tree, empty and path.depth > 1)


cdef int page_drop(Tree* tree, uint64_t page, bint is_leaf) noexcept nogil:
    cdef TreeHeader* header = header_modify(tree)
    if unlikely(header == NULL):
        return txn_failure(tree.txn)
    if is_leaf:
        header.leaf_pages -= 1
    else:
        header.branch_pages -= 1
    return txn_free(tree.txn, page, 1)


cdef int child_drop(Tree* tree, Path* path, int level, bint* parent_empty) noexcept nogil:
    """Free the empty page at a level of the path and take it out of its parent."""
    cdef uint8_t* parent
    cdef uint32_t slot = path.slots[level - 1]
    cdef int code = page_drop(tree, path.pages[level], level == path.depth - 1)
    if code != OK:
        return code
    parent = txn_modify(tree.txn, path.pages[level - 1])
    if unlikely(parent == NULL):
        return txn_failure(tree.txn)
    parent_empty[0] = page_count(parent) == 0
    if parent_empty[0]:
        return OK
    if slot == 0:
        (<PageHeader*>parent).link = branch_child(parent, 1)
        slot = 1
    if unlikely(not page_remove(parent, slot - 1)):
        return tree_corrupt(tree, path.pages[level - 1], "entries overlap")
    return OK


cdef int child_merge(Tree* tree, Path* path, int level) noexcept nogil:
    """Merge the page at a level of the path with a neighbour below the same parent; E_NOT_FOUND when none fits."""
    cdef const uint8_t* parent = txn_page(tree.txn, path.pages[level - 1])
    cdef uint32_t slot = path.slots[level - 1]
    cdef int code = E_NOT_FOUND
    if unlikely(parent == NULL):
        return txn_failure(tree.txn)
    if slot > 0:
        code = merge_pair(tree, path, level, slot - 1, MERGE_TOGETHER)
    if code == E_NOT_FOUND and slot < page_count(parent):
        code = merge_pair(tree, path, level, slot, MERGE_TOGETHER)
    return code


cdef int merge_pair(Tree* tree, Path* path, int level, uint32_t slot, uint32_t together) noexcept nogil:
    """Merge the children at `slot` and `slot + 1` of the parent if both use at most `together`; else E_NOT_FOUND."""
    cdef uint64_t parent_page = path.pages[level - 1]
    cdef const uint8_t* old_parent = txn_page(tree.txn, parent_page)
    cdef const BranchEntry* separator = branch_entry(old_parent, slot)
    cdef int page_level = path.depth - 1 - level
    cdef uint64_t left_page = branch_child(old_parent, slot)
    cdef uint64_t right_page = branch_child(old_parent, slot + 1)
    cdef const uint8_t* right
    cdef const uint8_t* left_old = tree_page(tree, left_page, page_level)
    cdef uint8_t* left
    cdef uint8_t* parent
    cdef uint32_t size = 0
    cdef int code
    if unlikely(left_old == NULL or separator == NULL):
        return tree_corrupt(tree, parent_page, "an entry lies outside the page")
    right = tree_page(tree, right_page, page_level)
    if unlikely(right == NULL):
        return txn_failure(tree.txn)
    if page_level > 0:
        size = branch_entry_size(separator.key_size) + SLOT_SIZE
    if page_used(left_old) + page_used(right) + size > together:
        return E_NOT_FOUND
    left = txn_modify(tree.txn, left_page)
    parent = txn_modify(tree.txn, parent_page)
    if unlikely(left == NULL or parent == NULL):
        return txn_failure(tree.txn)
    separator = branch_entry(parent, slot)
    if not merge_into(left, right, separator if page_level > 0 else NULL) or not page_remove(parent, slot):
        return tree_corrupt(tree, left_page, "entries overlap")
    code = page_drop(tree, right_page, page_level == 0)
    tree.last_page = left_page
    return code


cdef bint merge_into(uint8_t* left, const uint8_t* right, const BranchEntry* separator) noexcept nogil:
    """All of `right` after all of `left`; between two branches comes their separator with right's first child."""
    cdef uint32_t size = 0
    cdef uint8_t* place
    if separator != NULL:
        size = branch_entry_size(separator.key_size)
    if page_gap(left) < page_used(right) + size + SLOT_SIZE and not page_compact(left):
        return False
    if separator != NULL:
        place = page_insert(left, page_count(left), size)
        if unlikely(place == NULL):
            return False
        branch_entry_fill(place, size, branch_key(separator), separator.key_size, (<const PageHeader*>right).link)
    return page_append_range(left, right, 0, page_count(right))


cdef int root_shrink(Tree* tree, bint childless) noexcept nogil:
    """Drop root branches with a single child; a root without any becomes an empty leaf."""
    cdef TreeHeader* header = header_modify(tree)
    cdef const uint8_t* root
    cdef uint64_t page
    cdef int code
    if unlikely(header == NULL):
        return txn_failure(tree.txn)
    if childless:
        code = page_drop(tree, header.root, False)
        if code != OK or txn_allocate(tree.txn, 1, PAGE_TYPE_LEAF, tree.id, &page) == NULL:
            return txn_failure(tree.txn)
        header.root = page
        header.leaf_pages += 1
        header.depth = 1
    while header.depth > 1:
        root = tree_page(tree, header.root, header.depth - 1)
        if unlikely(root == NULL):
            return txn_failure(tree.txn)
        if page_count(root) > 0:
            break
        page = header.root
        header.root = (<const PageHeader*>root).link
        header.depth -= 1
        code = page_drop(tree, page, False)
        if code != OK:
            return code
    return OK


cdef int tree_pack(Tree* tree, const void* first, size_t first_size, const void* last,
                   size_t last_size) noexcept nogil:
    cdef uint8_t next_key[KEY_SIZE_MAX]
    cdef size_t next_size = first_size
    cdef bint more = True
    cdef int code
    memcpy(next_key, first, first_size)
    while more:
        code = pack_siblings(tree, next_key, &next_size, last, last_size, &more)
        if code != OK:
            return code
    return OK


cdef int pack_siblings(Tree* tree, uint8_t* key, size_t* key_size, const void* last, size_t last_size,
                       bint* more) noexcept nogil:
    """Merge neighbouring leaves of one parent, from the one that covers `key` to the one that covers `last`.

    When `last` lies behind the parent's last leaf, `key` becomes the first key there and `more` stays true.
    """
    cdef Path path
    cdef const uint8_t* leaf
    cdef const uint8_t* parent
    cdef const BranchEntry* separator
    cdef bint found = False
    cdef int level
    cdef int code = tree_descend(tree, key, key_size[0], &path, &leaf, &found)
    more[0] = False
    if code != OK or path.depth == 1:
        return code
    level = path.depth - 1
    while True:
        parent = txn_page(tree.txn, path.pages[level - 1])
        if unlikely(parent == NULL):
            return txn_failure(tree.txn)
        if path.slots[level - 1] == page_count(parent):
            break
        separator = branch_entry(parent, path.slots[level - 1])
        if unlikely(separator == NULL):
            return tree_corrupt(tree, path.pages[level - 1], "an entry lies outside the page")
        if compare_bytes(branch_key(separator), separator.key_size, last, last_size) > 0:
            return pages_merge(tree, &path, level - 1)
        code = merge_pair(tree, &path, level, path.slots[level - 1], PAGE_ROOM)
        if code == E_NOT_FOUND and tree.flags & TREE_INTEGER:
            code = leaf_pull(tree, &path, path.slots[level - 1])
        if code == E_NOT_FOUND:
            path.slots[level - 1] += 1
        elif code != OK:
            return code
    separator = separator_behind(tree, &path)
    if tree.txn.error.code != OK:
        return txn_failure(tree.txn)
    if separator != NULL and compare_bytes(branch_key(separator), separator.key_size, last, last_size) <= 0:
        if unlikely(compare_bytes(branch_key(separator), separator.key_size, key, key_size[0]) <= 0):
            return tree_corrupt(tree, path.pages[level - 1], "keys are not in order")
        more[0] = True
        key_size[0] = separator.key_size
        memcpy(key, branch_key(separator), separator.key_size)
    return pages_merge(tree, &path, level - 1)


cdef int leaf_pull(Tree* tree, Path* path, uint32_t slot) noexcept nogil:
    """Fill the leaf at `slot` of the last branch with entries from the front of the next one, which keeps some.

    Always E_NOT_FOUND when nothing failed: the leaf is as full as it gets. In an integer-keyed tree the separator
    changes in place, since all are of one size.
    """
    cdef uint64_t parent_page = path.pages[path.depth - 2]
    cdef const uint8_t* parent_old = txn_page(tree.txn, parent_page)
    cdef const uint8_t* left_old = tree_page(tree, branch_child(parent_old, slot), 0)
    cdef const uint8_t* right_old = tree_page(tree, branch_child(parent_old, slot + 1), 0)
    cdef uint8_t* left
    cdef uint8_t* right
    cdef uint8_t* parent
    cdef const LeafEntry* first
    cdef const BranchEntry* separator
    cdef uint32_t size, room
    cdef uint32_t count = 0
    if unlikely(left_old == NULL or right_old == NULL):
        return txn_failure(tree.txn)
    room = PAGE_ROOM - page_used(left_old)
    while count + 1 < page_count(right_old):
        size = entry_size(right_old, count) + SLOT_SIZE
        if size == SLOT_SIZE or size > room:
            break
        room -= size
        count += 1
    if count == 0:
        return E_NOT_FOUND
    left = txn_modify(tree.txn, branch_child(parent_old, slot))
    right = txn_modify(tree.txn, branch_child(parent_old, slot + 1))
    parent = txn_modify(tree.txn, parent_page)
    if unlikely(left == NULL or right == NULL or parent == NULL):
        return txn_failure(tree.txn)
    if not page_compact(left) or not page_append_range(left, right, 0, count):
        return tree_corrupt(tree, (<PageHeader*>left).page, "entries overlap")
    while count > 0:
        if unlikely(not page_remove(right, 0)):
            return tree_corrupt(tree, (<PageHeader*>right).page, "entries overlap")
        count -= 1
    first = leaf_entry(right, 0)
    separator = branch_entry(parent, slot)
    if unlikely(first == NULL or separator == NULL or first.key_size != separator.key_size):
        return tree_corrupt(tree, parent_page, "a separator is not of its children")
    memcpy(<uint8_t*>separator + BRANCH_KEY_OFFSET, leaf_key(first), first.key_size)
    return E_NOT_FOUND


cdef const BranchEntry* separator_behind(Tree* tree, Path* path) noexcept nogil:
    """The first separator behind everything below the path's last branch; NULL at the end of the tree."""
    cdef int level = path.depth - 3
    cdef const uint8_t* page
    cdef const BranchEntry* separator
    while level >= 0:
        page = txn_page(tree.txn, path.pages[level])
        if unlikely(page == NULL):
            return NULL
        if path.slots[level] < page_count(page):
            separator = branch_entry(page, path.slots[level])
            if unlikely(separator == NULL or separator.key_size > KEY_SIZE_MAX):
                tree_corrupt(tree, path.pages[level], "an entry lies outside the page")
                return NULL
            return separator
        level -= 1
    return NULL


# Drop

cdef int drop_leaf(Tree* tree, uint64_t page, const uint8_t* leaf) noexcept nogil:
    """Free the runs of a leaf and the leaf."""
    cdef uint32_t position
    cdef const LeafEntry* entry
    cdef int code
    for position in range(page_count(leaf)):
        entry = leaf_entry(leaf, position)
        if unlikely(entry == NULL):
            return tree_corrupt(tree, page, "an entry lies outside the page")
        if entry.flags & LEAF_RUN:
            code = run_free(tree, page, entry)
            if code != OK:
                return code
    return txn_free(tree.txn, page, 1)


cdef int tree_drop(Tree* tree) noexcept nogil:
    cdef const TreeHeader* header = tree_header(tree)
    cdef Path path
    cdef const uint8_t* page
    cdef int code = OK
    cdef int level, depth
    cdef uint64_t child
    if unlikely(header == NULL):
        return txn_failure(tree.txn)
    depth = header.depth
    if unlikely(depth < 1 or depth > TREE_DEPTH_MAX):
        return tree_corrupt(tree, tree.catalog, "depth out of bounds")
    # Depth first: each branch is left, and freed, after its last child.
    path.pages[0] = header.root
    path.slots[0] = 0
    path.depth = 1
    while path.depth > 0:
        level = depth - path.depth
        page = tree_page(tree, path.pages[path.depth - 1], level)
        if unlikely(page == NULL):
            return txn_failure(tree.txn)
        if level > 0 and path.slots[path.depth - 1] <= page_count(page):
            child = branch_child(page, path.slots[path.depth - 1])
            path.slots[path.depth - 1] += 1
            path.pages[path.depth] = child
            path.slots[path.depth] = 0
            path.depth += 1
            continue
        path.depth -= 1
        if level == 0:
            code = drop_leaf(tree, path.pages[path.depth], page)
        else:
            code = txn_free(tree.txn, path.pages[path.depth], 1)
        if code != OK:
            return code
    return header_remove(tree)

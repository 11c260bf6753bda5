"""Choose between walking terms and sorting entries; do either."""

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcmp, memcpy, memset

from pynori_core.bits cimport compare_bytes
from pynori_core.cursor cimport (
    Cursor,
    cursor_init,
    cursor_next,
    cursor_previous,
    cursor_seek,
    cursor_seek_before,
)
from pynori_core.errors cimport E_CORRUPT, E_NO_MEMORY, E_NOT_FOUND, E_TOO_LARGE, OK, error_set
from pynori_core.index_entry cimport EntryView, FieldView, entry_find, field_term
from pynori_core.index_search cimport (
    Interval,
    interval_field,
    search_presence,
    walk_inside,
    walk_seek,
    walk_seek_last,
)
from pynori_core.index_terms cimport TERM_PRESENCE
from pynori_core.index_trees cimport (
    FIELD_ALL,
    FIELD_SEVERAL,
    FIELD_TEXT,
    TERM_KEY_MAX,
    Column,
    block_at,
    column_in_memory,
    column_open,
    column_read,
    entry_read,
    key_has_field,
    term_prefix64,
    trees_corrupt,
)
from pynori_core.matches cimport (
    IdBits,
    bits_add,
    bits_clear,
    bits_init,
    bits_release,
    ids_add,
    ids_init,
    ids_minus,
    ids_release,
    ids_reserve,
)
from pynori_core.posting cimport BLOCK_RUN_MAX, Block, block_decode

cdef enum:
    WALK_COST_NS = 30              # about what an id costs that is met on a walk,
    SORT_COST_NS = 250             # and an entry that is looked at and sorted
    COLUMN_COST_NS = 60            # and one whose place in a column is looked at,
    ARRAY_COST_NS = 3              # or in a column that is in memory
    WALK_FIRST_COST_NS = 3000      # setting a walk up
    LOOKS_AT_ONCE = 256            # that wait for memory together
    BOUND_KEPT_MAX = 1024          # for larger pages no bound is looked for first

cdef struct Sorted:                # an entry with the terms it is sorted by
    uint64_t prefix                # of the first key's term, so that most comparisons look no further
    uint64_t place                 # in `within`
    uint64_t id
    const uint8_t** terms          # one a key, NULL: none; in pages of the snapshot
    const SortKey* keys            # those that are compared
    uint32_t* sizes
    uint32_t key_count


cdef int order_entries(IndexTrees* trees, const SortKey* keys, size_t key_count, const uint64_t* within,
                       size_t within_count, bint ascending_within, uint64_t skip, uint64_t limit,
                       IdList* out) noexcept nogil:
    cdef uint64_t wanted = skip + limit if skip + limit >= skip else <uint64_t>-1
    cdef uint64_t entries = trees.state.entries
    cdef IdList all_ids
    cdef int code
    if within == NULL:
        within_count = entries
    if within_count == 0 or limit == 0:
        return OK
    if ascending_within and wanted < within_count and within_count > 64:
        # A walk meets `wanted` of `within` after about wanted * entries / within_count ids.
        if (WALK_FIRST_COST_NS + WALK_COST_NS * (<double>wanted * entries / within_count)
                < sort_cost(trees, keys, within_count, wanted)):
            code = order_walk(trees, keys, key_count, within, within_count, skip, wanted, out)
            if code != E_TOO_LARGE:
                return code
    if within != NULL:
        return order_sort(trees, keys, key_count, within, within_count, skip, wanted, out)
    ids_init(&all_ids)
    code = search_presence(trees, FIELD_ALL, &all_ids)
    if code == OK:
        code = order_sort(trees, keys, key_count, all_ids.ids, all_ids.count, skip, wanted, out)
    ids_release(&all_ids)
    return code


cdef double sort_cost(IndexTrees* trees, const SortKey* keys, size_t count, uint64_t wanted) noexcept nogil:
    cdef double look = ARRAY_COST_NS if column_in_memory(trees, keys[0].field) else COLUMN_COST_NS
    if not has_column(trees, &keys[0]):
        return <double>count * SORT_COST_NS
    return <double>count * look + <double>wanted * SORT_COST_NS


cdef int out_of_memory(IndexTrees* trees) noexcept nogil:
    error_set(&trees.txn.error, E_NO_MEMORY, b"no memory for a sort")
    return E_NO_MEMORY


# ---- by looking at entries

cdef inline int sorted_order(const Sorted* left, const Sorted* right) noexcept nogil:
    cdef uint32_t index
    cdef int order
    if left.prefix != right.prefix:
        order = -1 if left.prefix < right.prefix else 1
        return -order if left.keys[0].descending else order
    for index in range(left.key_count):
        if left.terms[index] == NULL or right.terms[index] == NULL:
            order = <int>(left.terms[index] != NULL) - <int>(right.terms[index] != NULL)
        else:
            order = compare_bytes(left.terms[index], left.sizes[index], right.terms[index], right.sizes[index])
        if order:
            return -order if left.keys[index].descending else order
    return <int>(left.place > right.place) - <int>(left.place < right.place)


cdef int sorted_compare(const void* left, const void* right) noexcept nogil:
    return sorted_order(<const Sorted*>left, <const Sorted*>right)


cdef int entry_keys(IndexTrees* trees, Cursor* cursor, Sorted* each) noexcept nogil:
    """Find the terms by which an entry is sorted."""
    cdef EntryView view
    cdef FieldView field
    cdef const uint8_t* here
    cdef const uint8_t* term = NULL
    cdef size_t size = 0
    cdef uint32_t index
    cdef int found
    cdef int code = entry_read(trees, cursor, each.id, &view)
    each.prefix = 0
    for index in range(each.key_count):
        each.terms[index] = NULL
        if code == E_NOT_FOUND:
            continue
        if code != OK:
            return code
        found = entry_find(&view, each.keys[index].field, &field)
        if found == E_CORRUPT:
            return trees_corrupt(trees, b"X3 violated: the record of an entry is broken", each.id)
        if found == E_NOT_FOUND:
            continue
        here = field.terms
        while field_term(&field, &here, &term, &size):
            each.terms[index] = term
            each.sizes[index] = <uint32_t>size
            if not each.keys[index].descending:
                break
    if each.terms[0] != NULL:
        each.prefix = term_prefix64(each.terms[0], each.sizes[0])
    return OK


cdef inline bint has_column(IndexTrees* trees, const SortKey* key) noexcept nogil:
    """Whether a column tells the beginning of the term that an entry is sorted by."""
    cdef uint8_t flags = trees.fields.records[key.field].flags
    return not flags & FIELD_TEXT and not (key.descending and flags & FIELD_SEVERAL)


cdef uint64_t column_bound(Column* column, bint descending, const uint64_t* within, size_t count,
                           size_t wanted) noexcept nogil:
    """The worst prefix among the best `wanted` (at most BOUND_KEPT_MAX) of a column in memory: entries with a worse one
    need not be looked at."""
    cdef uint64_t heap[BOUND_KEPT_MAX]         # the worst at the top; descending: prefixes turned round
    cdef uint64_t prefixes[LOOKS_AT_ONCE]
    cdef uint64_t turn = <uint64_t>-1 if descending else 0
    cdef size_t kept = 0
    cdef size_t start = 0
    cdef size_t index, part, place, parent
    while start < count:
        part = count - start if count - start < LOOKS_AT_ONCE else <size_t>LOOKS_AT_ONCE
        for index in range(part):
            prefixes[index] = column_read(column, within[start + index]) ^ turn
        for index in range(part):
            if kept < wanted:
                place = kept
                kept += 1
                while place > 0 and heap[(place - 1) // 2] < prefixes[index]:
                    parent = (place - 1) // 2
                    heap[place] = heap[parent]
                    place = parent
                heap[place] = prefixes[index]
            elif prefixes[index] < heap[0]:
                bound_replace(heap, kept, prefixes[index])
        start += part
    return heap[0] ^ turn


cdef void bound_replace(uint64_t* heap, size_t count, uint64_t value) noexcept nogil:
    """Put the value in the place of the greatest."""
    cdef size_t place = 0
    cdef size_t child = 1
    while child < count:
        if child + 1 < count and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= value:
            break
        heap[place] = heap[child]
        place = child
        child = place * 2 + 1
    heap[place] = value


cdef int order_sort(IndexTrees* trees, const SortKey* keys, size_t key_count, const uint64_t* within, size_t count,
                    uint64_t skip, uint64_t wanted, IdList* out) noexcept nogil:
    """Keeps the best `wanted` in a heap, the worst of them at its top; sorts them at the end."""
    cdef size_t kept_max = count if wanted > count else <size_t>wanted
    cdef size_t row = sizeof(Sorted) + key_count * (sizeof(void*) + 8)
    cdef uint8_t* memory = <uint8_t*>malloc((kept_max + 1) * row)
    cdef Sorted* heap = <Sorted*>memory
    cdef uint8_t* slots = memory + (kept_max + 1) * sizeof(Sorted)
    cdef Sorted* each
    cdef Cursor cursor
    cdef Column column
    cdef bint by_column = has_column(trees, &keys[0])
    cdef uint64_t prefix
    cdef uint64_t bound = 0 if keys[0].descending else <uint64_t>-1
    cdef size_t kept = 0
    cdef size_t index
    cdef int code = OK
    if memory == NULL:
        return out_of_memory(trees)
    column_open(&column, trees, keys[0].field)
    if by_column and column.array != NULL and 0 < kept_max <= BOUND_KEPT_MAX and kept_max < count:
        bound = column_bound(&column, keys[0].descending, within, count, kept_max)
    for index in range(kept_max + 1):
        heap[index].terms = <const uint8_t**>(slots + index * key_count * (sizeof(void*) + 8))
        heap[index].sizes = <uint32_t*>(heap[index].terms + key_count)
        heap[index].keys = keys
        heap[index].key_count = <uint32_t>key_count
    cursor_init(&cursor, &trees.entries)
    each = &heap[kept_max]
    for index in range(count):
        if by_column:
            prefix = column_read(&column, within[index])
            if prefix < bound if keys[0].descending else prefix > bound:
                continue           # worse than all that will be kept
            if kept == kept_max and (
                    prefix < heap[0].prefix if keys[0].descending else prefix > heap[0].prefix):
                continue           # worse than all that are kept
        each.id = within[index]
        each.place = index
        code = entry_keys(trees, &cursor, each)
        if code != OK:
            break
        if kept < kept_max:
            heap_swap(&heap[kept], each)
            kept += 1
            if kept == kept_max and kept < count:
                heap_make(heap, kept)
        elif kept and sorted_order(each, &heap[0]) < 0:
            heap_swap(&heap[0], each)
            heap_down(heap, kept, 0)
    if code == OK:
        qsort(heap, kept, sizeof(Sorted), sorted_compare)
        for index in range(skip if skip < kept else kept, kept):
            ids_add(out, heap[index].id)
    free(memory)
    return out_of_memory(trees) if code == OK and out.failed else code


cdef inline void heap_swap(Sorted* left, Sorted* right) noexcept nogil:
    cdef Sorted swapped = left[0]
    left[0] = right[0]
    right[0] = swapped


cdef void heap_down(Sorted* heap, size_t count, size_t place) noexcept nogil:
    cdef size_t child = place * 2 + 1
    while child < count:
        if child + 1 < count and sorted_order(&heap[child + 1], &heap[child]) > 0:
            child += 1
        if sorted_order(&heap[child], &heap[place]) <= 0:
            return
        heap_swap(&heap[child], &heap[place])
        place = child
        child = place * 2 + 1


cdef void heap_make(Sorted* heap, size_t count) noexcept nogil:
    cdef size_t place = count // 2
    while place > 0:
        place -= 1
        heap_down(heap, count, place)


# ---- by walking terms

cdef struct Walk:
    IndexTrees* trees
    const SortKey* keys
    size_t key_count
    IdBits left                    # entries that are wanted and were not met yet; without `within`: those met
    bint all_entries
    IdList group                   # entries of the current term
    uint64_t skip
    uint64_t wanted
    uint64_t met
    IdList* out


cdef int order_walk(IndexTrees* trees, const SortKey* keys, size_t key_count, const uint64_t* within, size_t count,
                    uint64_t skip, uint64_t wanted, IdList* out) noexcept nogil:
    """E_TOO_LARGE, and nothing in `out`, when ids are too far apart for a bitmap."""
    cdef Walk walk
    cdef int code
    walk.trees = trees
    walk.keys = keys
    walk.key_count = key_count
    walk.all_entries = within == NULL
    walk.skip = skip
    walk.wanted = wanted
    walk.met = 0
    walk.out = out
    if within == NULL:
        code = bits_init(&walk.left, 0, trees.state.next_entry)
    else:
        code = bits_init(&walk.left, within[0], within[count - 1])
        if code == OK:
            bits_add(&walk.left, within, count)
    if code != OK:
        return out_of_memory(trees) if code == E_NO_MEMORY else code
    ids_init(&walk.group)
    if not keys[0].descending:
        code = walk_missing(&walk, within, count)
    if code == OK and walk.met < wanted:
        code = walk_terms(&walk)
    if code == OK and walk.met < wanted and keys[0].descending:
        code = walk_missing(&walk, within, count)
    ids_release(&walk.group)
    bits_release(&walk.left)
    return out_of_memory(trees) if code == OK and out.failed else code


cdef inline bint walk_take(Walk* walk, uint64_t id) noexcept nogil:
    """Whether the entry is wanted and met for the first time."""
    cdef uint64_t position = id - walk.left.first
    cdef uint64_t mask = <uint64_t>1 << (position & 63)
    if not walk.all_entries:
        return bits_clear(&walk.left, id)
    if position >= walk.left.bits or walk.left.words[position >> 6] & mask:
        return False
    walk.left.words[position >> 6] |= mask
    return True


cdef int walk_missing(Walk* walk, const uint64_t* within, size_t count) noexcept nogil:
    """Entries that do not have the field."""
    cdef IndexTrees* trees = walk.trees
    cdef IdList having, everyone
    cdef size_t index
    cdef int code
    if trees.fields.records[walk.keys[0].field].entries == trees.state.entries:
        return OK
    ids_init(&having)
    ids_init(&everyone)
    code = search_presence(trees, walk.keys[0].field, &having)
    if code == OK and within == NULL:
        code = search_presence(trees, FIELD_ALL, &everyone)
        within = everyone.ids
        count = everyone.count
    if code == OK:
        if ids_reserve(&walk.group, count + 1):
            walk.group.count = ids_minus(within, count, having.ids, having.count, walk.group.ids)
            for index in range(walk.group.count):
                walk_take(walk, walk.group.ids[index])
            code = group_give(walk)
        else:
            code = out_of_memory(trees)
    ids_release(&having)
    ids_release(&everyone)
    return code


cdef int walk_terms(Walk* walk) noexcept nogil:
    cdef uint8_t key[TERM_KEY_MAX]
    cdef uint32_t field = walk.keys[0].field
    cdef Interval interval
    cdef Cursor cursor, first
    cdef Block block
    cdef const uint8_t* term
    cdef size_t size
    cdef int code
    interval_field(&interval)
    if walk.keys[0].descending:
        code = walk_seek_last(walk.trees, &cursor, field, &interval)
    else:
        code = walk_seek(walk.trees, &cursor, field, &interval)
    while code == OK and walk.met < walk.wanted:
        walk.group.count = 0
        term = cursor.key
        size = cursor.key_size
        if not walk.keys[0].descending:
            code = group_read(walk, &cursor)
            if code == OK and not walk_inside(&cursor, field, &interval):
                code = E_NOT_FOUND
        else:
            code = block_at(walk.trees, &cursor, &block)
            if code == OK:
                code = step_back(&cursor, field)
            if code == OK and same_term(&cursor, term, size):
                # Several blocks: from the first one on, so that equal entries stand in the order of their ids.
                memcpy(key, term, size - 8)
                memset(key + size - 8, 0, 8)
                cursor_init(&first, &walk.trees.terms)
                code = cursor_seek(&first, key, size)
                if code == OK:
                    code = group_read(walk, &first)
                if code == OK or code == E_NOT_FOUND:
                    code = cursor_seek_before(&cursor, key, size)
                if code == OK and not key_has_field(cursor.key, cursor.key_size, field):
                    code = E_NOT_FOUND
                if code == OK and cursor.key[2] == TERM_PRESENCE:
                    code = E_NOT_FOUND
            elif code == OK or code == E_NOT_FOUND:
                if block_take(walk, &block) != OK:
                    return walk.trees.txn.error.code
        if code != OK and code != E_NOT_FOUND:
            return code
        if walk.group.failed:
            return out_of_memory(walk.trees)
        if group_give(walk) != OK:
            return walk.trees.txn.error.code
    return OK if code == E_NOT_FOUND else code


cdef inline bint same_term(const Cursor* cursor, const uint8_t* key, size_t size) noexcept nogil:
    return cursor.key_size == size and memcmp(cursor.key, key, size - 8) == 0


cdef inline int step_back(Cursor* cursor, uint32_t field) noexcept nogil:
    cdef int code = cursor_previous(cursor)
    if code == OK and (not key_has_field(cursor.key, cursor.key_size, field) or cursor.key[2] == TERM_PRESENCE):
        return E_NOT_FOUND
    return code


cdef int group_read(Walk* walk, Cursor* cursor) noexcept nogil:
    """The wanted entries of the term at the cursor, which goes behind it; E_NOT_FOUND: behind all."""
    cdef const uint8_t* term = cursor.key
    cdef size_t size = cursor.key_size
    cdef Block block
    cdef int code = OK
    while code == OK and same_term(cursor, term, size):
        code = block_at(walk.trees, cursor, &block)
        if code == OK:
            code = block_take(walk, &block)
        if code == OK:
            code = cursor_next(cursor)
        # With one key the order within the term is that of the ids, and no more are needed.
        if walk.key_count == 1 and walk.met + walk.group.count >= walk.wanted:
            break
    return code


cdef int block_take(Walk* walk, const Block* block) noexcept nogil:
    cdef uint64_t ids[BLOCK_RUN_MAX]
    cdef uint32_t index
    if block_decode(block, ids) != OK:
        return trees_corrupt(walk.trees, b"X6 violated: a block of ids is broken, the first is", block.first)
    for index in range(block.count):
        if walk_take(walk, ids[index]):
            ids_add(&walk.group, ids[index])
    return OK


cdef int group_give(Walk* walk) noexcept nogil:
    """Give the entries of one term, in the order of the other keys."""
    cdef IdList sorted
    cdef size_t index
    cdef int code = OK
    ids_init(&sorted)
    if walk.key_count > 1 and walk.group.count > 1 and walk.met + walk.group.count > walk.skip:
        code = order_sort(walk.trees, walk.keys + 1, walk.key_count - 1, walk.group.ids, walk.group.count, 0,
                          walk.wanted - walk.met, &sorted)
    else:
        sorted = walk.group
    if code == OK:
        for index in range(sorted.count):
            if walk.met >= walk.wanted:
                break
            if walk.met >= walk.skip:
                ids_add(walk.out, sorted.ids[index])
            walk.met += 1
    if sorted.ids != walk.group.ids:
        ids_release(&sorted)
    return code

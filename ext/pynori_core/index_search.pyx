"""Make intervals, walk terms, look at entries."""

from libc.string cimport memcmp, memcpy, memset

from pynori_core.bits cimport compare_bytes, load32, unlikely
from pynori_core.cursor cimport (
    cursor_init,
    cursor_next,
    cursor_seek,
    cursor_seek_before,
    cursor_value,
)
from pynori_core.btree cimport Value
from pynori_core.errors cimport E_BUSY, E_CORRUPT, E_NO_MEMORY, E_NOT_FOUND, OK, error_set
from pynori_core.index_entry cimport EntryView, entry_find, field_term
from pynori_core.index_terms cimport TERM_END, TERM_NULL, TERM_PRESENCE, TERM_ROOM, TERM_STRING, term_text
from pynori_core.index_trees cimport (
    FIELD_SEVERAL,
    FIELD_TEXT,
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
from pynori_core.matches cimport ids_add, ids_finish, ids_init, ids_intersect, ids_release, ids_reserve
from pynori_core.posting cimport Block, block_count, block_ids

cdef enum:
    BEHIND_SIZE = 9                # so many FF behind a term lie behind all keys of it
    BLOCK_COST_NS = 25             # about what it takes to step to a block,
    ID_COST_NS = 2                 # to take an id from it,
    ENTRY_COST_NS = 100            # and to look at an entry
    TEXT_COST_NS = 60              # and at the text of a term
    COLUMN_COST_NS = 60            # and at its place in a column,
    ARRAY_COST_NS = 3              # and in a column that is in memory
    SCAN_COST_NS = 2               # and an entry in passing, when all of a column is looked at
    LOOKS_AT_ONCE = 256
    COUNT_STEPS_MAX = 256          # blocks that an estimate steps over
    TRY_SHARE = 3                  # terms are tried first for this part of what looking at all entries takes


# ---- intervals

cdef inline size_t behind(uint8_t* bytes, size_t size) noexcept nogil:
    memset(bytes + size, 0xFF, BEHIND_SIZE)
    return size + BEHIND_SIZE


cdef void interval_equal(Interval* interval, const uint8_t* term, size_t size) noexcept nogil:
    memcpy(interval.low, term, size)
    interval.low_size = size
    memcpy(interval.high, term, size)
    interval.high_size = behind(interval.high, size)


cdef void interval_prefix(Interval* interval, const uint8_t* prefix, size_t size) noexcept nogil:
    memcpy(interval.low, prefix, size)
    interval.low_size = size
    memcpy(interval.high, prefix, size)
    interval.high[size - 1] += 1               # text is UTF-8 and kinds are few: never FF
    interval.high_size = size


cdef void interval_range(Interval* interval, const uint8_t* low, size_t low_size, bint include_low,
                         const uint8_t* high, size_t high_size, bint include_high) noexcept nogil:
    if low_size:
        memcpy(interval.low, low, low_size)
        interval.low_size = low_size if include_low else behind(interval.low, low_size)
    else:
        interval.low[0] = high[0]
        interval.low_size = 1
    if high_size:
        memcpy(interval.high, high, high_size)
        interval.high_size = behind(interval.high, high_size) if include_high else high_size
    else:
        interval.high[0] = low[0] + 1
        interval.high_size = 1


cdef void interval_field(Interval* interval) noexcept nogil:
    interval.low[0] = TERM_NULL
    interval.low_size = 1
    interval.high[0] = TERM_END
    interval.high_size = 1


cdef inline size_t field_bytes(uint8_t* key, uint32_t field, const uint8_t* bytes, size_t size) noexcept nogil:
    key[0] = <uint8_t>(field >> 8)
    key[1] = <uint8_t>field
    memcpy(key + 2, bytes, size)
    return size + 2


cdef int walk_seek(IndexTrees* trees, Cursor* cursor, uint32_t field, const Interval* interval) noexcept nogil:
    cdef uint8_t key[INTERVAL_ROOM + 2]
    cdef int code
    cursor_init(cursor, &trees.terms)
    code = cursor_seek(cursor, key, field_bytes(key, field, interval.low, interval.low_size))
    if code == OK and not walk_inside(cursor, field, interval):
        return E_NOT_FOUND
    return code


cdef int walk_seek_last(IndexTrees* trees, Cursor* cursor, uint32_t field, const Interval* interval) noexcept nogil:
    cdef uint8_t key[INTERVAL_ROOM + 2]
    cdef int code
    cursor_init(cursor, &trees.terms)
    code = cursor_seek_before(cursor, key, field_bytes(key, field, interval.high, interval.high_size))
    if code == OK and (not key_has_field(cursor.key, cursor.key_size, field) or compare_bytes(
            cursor.key + 2, cursor.key_size - 2, interval.low, interval.low_size) < 0):
        return E_NOT_FOUND
    return code


cdef bint walk_inside(const Cursor* cursor, uint32_t field, const Interval* interval) noexcept nogil:
    return key_has_field(cursor.key, cursor.key_size, field) and compare_bytes(
        cursor.key + 2, cursor.key_size - 2, interval.high, interval.high_size) < 0


# ---- texts

cdef bint wildcard(const uint8_t* pattern, size_t size, const uint8_t* text, size_t text_size) noexcept nogil:
    """`*` any bytes, `?` one character. Linear but for the last star's retries."""
    cdef size_t p = 0
    cdef size_t t = 0
    cdef size_t star = size
    cdef size_t star_text = 0
    while t < text_size:
        if p < size and pattern[p] == c'*':
            star = p
            star_text = t
            p += 1
        elif p < size and pattern[p] == c'?':
            p += 1
            t += 1
            while t < text_size and (text[t] & 0xC0) == 0x80:
                t += 1
        elif p < size and pattern[p] == text[t]:
            p += 1
            t += 1
        elif star < size:
            star_text += 1
            t = star_text
            p = star + 1
        else:
            return False
    while p < size and pattern[p] == c'*':
        p += 1
    return p == size


cdef extern from "<string.h>":
    void* memmem(const void* text, size_t size, const void* wanted, size_t wanted_size) noexcept nogil


cdef bint text_matches(const TermTest* test, const uint8_t* term, size_t size) noexcept nogil:
    cdef uint8_t text[TERM_ROOM]
    cdef size_t text_size
    if test.text_test == TEXT_ANY:
        return True
    if term[0] != TERM_STRING:
        return False
    text_size = term_text(term, size, text)
    if test.text_test == TEXT_WILDCARD:
        return wildcard(test.text, test.text_size, text, text_size)
    if test.text_size > text_size:
        return False
    if test.text_test == TEXT_SUFFIX:
        return memcmp(text + text_size - test.text_size, test.text, test.text_size) == 0
    return test.text_size == 0 or memmem(text, text_size, test.text, test.text_size) != NULL


cdef bint entry_passes(const TermTest* test, const FieldView* field) noexcept nogil:
    """Whether one of the entry's terms passes."""
    cdef const uint8_t* here = field.terms
    cdef const uint8_t* term = NULL
    cdef size_t size = 0
    while field_term(field, &here, &term, &size):
        if test.terms != NULL:
            if listed(test, term, size):
                return True
        elif (compare_bytes(term, size, test.interval.low, test.interval.low_size) >= 0
              and compare_bytes(term, size, test.interval.high, test.interval.high_size) < 0
              and text_matches(test, term, size)):
            return True
    return False


cdef bint listed(const TermTest* test, const uint8_t* term, size_t size) noexcept nogil:
    cdef size_t low = 0
    cdef size_t count = test.term_count
    cdef size_t half
    cdef const uint8_t* each
    cdef int order
    while count > 0:
        half = count // 2
        each = test.terms + test.offsets[low + half]
        order = compare_bytes(each + 4, load32(each), term, size)
        if order == 0:
            return True
        if order < 0:
            low += half + 1
            count -= half + 1
        else:
            count = half
    return False


# ---- searching

cdef int search_test(IndexTrees* trees, const TermTest* test, const uint64_t* within, size_t within_count,
                     IdList* out) noexcept nogil:
    cdef uint64_t budget = <uint64_t>-1
    cdef Interval interval
    cdef const uint8_t* term
    cdef size_t index
    cdef int code = OK
    if within == NULL:
        if test.terms == NULL and column_in_memory(trees, test.field) and has_column(trees, test):
            budget = trees.array_count * SCAN_COST_NS // TRY_SHARE
    else:
        budget = within_count * look_cost(trees, test) // TRY_SHARE
        if within_count == 0:
            return OK
    if test.terms == NULL:
        code = terms_collect(trees, test, &test.interval, &budget, out)
    else:
        for index in range(test.term_count):
            term = test.terms + test.offsets[index]
            interval_equal(&interval, term + 4, load32(term))
            code = terms_collect(trees, test, &interval, &budget, out)
            if code != OK:
                break
    if code == E_BUSY:
        out.count = 0
        out.unsorted = False
        if within == NULL:
            return array_scan(trees, test, out)
        return entries_collect(trees, test, within, within_count, out)
    if code == OK and ids_finish(out) != OK:
        return out_of_memory(trees)
    if code == OK and within != NULL:
        return keep_within(trees, within, within_count, out)
    return code


cdef int keep_within(IndexTrees* trees, const uint64_t* within, size_t count, IdList* out) noexcept nogil:
    cdef IdList kept
    ids_init(&kept)
    if not ids_reserve(&kept, (out.count if out.count < count else count) + 1):
        return out_of_memory(trees)
    kept.count = ids_intersect(out.ids, out.count, within, count, kept.ids)
    ids_release(out)
    out[0] = kept
    return OK


cdef int out_of_memory(IndexTrees* trees) noexcept nogil:
    error_set(&trees.txn.error, E_NO_MEMORY, b"no memory for the entries of a term")
    return E_NO_MEMORY


cdef int terms_collect(IndexTrees* trees, const TermTest* test, const Interval* interval, uint64_t* budget,
                       IdList* out) noexcept nogil:
    """The ids of all blocks; E_BUSY when that has cost more than the budget, in nanoseconds."""
    cdef Cursor cursor
    cdef Block block
    cdef uint64_t cost
    cdef uint64_t left = budget[0]
    cdef const uint8_t* last = NULL
    cdef size_t last_size = 0
    cdef bint passes = True
    cdef int code = walk_seek(trees, &cursor, test.field, interval)
    while code == OK:
        cost = BLOCK_COST_NS
        if test.text_test != TEXT_ANY and not (
                last_size == cursor.key_size and memcmp(last, cursor.key, last_size - 8) == 0):
            passes = text_matches(test, cursor.key + 2, cursor.key_size - 10)
            last = cursor.key
            last_size = cursor.key_size
            cost += TEXT_COST_NS
        if passes:
            code = block_at(trees, &cursor, &block)
            if unlikely(code != OK):
                return code
            cost += <uint64_t>block.count * ID_COST_NS
            if cost > left:
                return E_BUSY
            code = block_ids(&block, out)
            if unlikely(code != OK):
                return out_of_memory(trees) if code == E_NO_MEMORY else trees_corrupt(
                    trees, b"X6 violated: a block of ids is broken, the first is", block.first)
        elif cost > left:
            return E_BUSY
        left -= cost
        code = cursor_next(&cursor)
        if code == OK and not walk_inside(&cursor, test.field, interval):
            break
    budget[0] = left
    return OK if code == E_NOT_FOUND else code


cdef inline uint64_t look_cost(IndexTrees* trees, const TermTest* test) noexcept nogil:
    if not has_column(trees, test):
        return ENTRY_COST_NS
    return ARRAY_COST_NS if column_in_memory(trees, test.field) else COLUMN_COST_NS


cdef inline bint has_column(IndexTrees* trees, const TermTest* test) noexcept nogil:
    """Whether a column says, for most entries, if they pass."""
    return (test.terms == NULL and test.text_test == TEXT_ANY
            and not trees.fields.records[test.field].flags & (FIELD_TEXT | FIELD_SEVERAL))


cdef int entries_collect(IndexTrees* trees, const TermTest* test, const uint64_t* within, size_t count,
                         IdList* out) noexcept nogil:
    """Those of `within` whose record passes, or whose place in the column says so."""
    cdef Cursor cursor
    cdef Column column
    cdef bint by_column = has_column(trees, test)
    cdef uint64_t low = term_prefix64(test.interval.low, test.interval.low_size) if by_column else 0
    cdef uint64_t high = term_prefix64(test.interval.high, test.interval.high_size) if by_column else 0
    cdef uint64_t prefix
    cdef size_t index
    cdef int code
    cursor_init(&cursor, &trees.entries)
    column_open(&column, trees, test.field)
    if by_column and column.array != NULL:
        return array_collect(trees, test, &column, within, count, out)
    for index in range(count):
        if by_column:
            prefix = column_read(&column, within[index])
            if low < prefix < high:
                ids_add(out, within[index])
                continue
            if prefix < low or prefix > high or prefix == 0:
                continue
        code = entry_collect(trees, test, &cursor, within[index], out)
        if code != OK:
            return code
    return out_of_memory(trees) if out.failed else OK


cdef int entry_collect(IndexTrees* trees, const TermTest* test, Cursor* cursor, uint64_t id,
                       IdList* out) noexcept nogil:
    """The entry, if its record passes."""
    cdef EntryView view
    cdef FieldView field
    cdef int code = entry_read(trees, cursor, id, &view)
    if code == E_NOT_FOUND:
        return OK
    if code != OK:
        return code
    code = entry_find(&view, test.field, &field)
    if code == E_CORRUPT:
        return trees_corrupt(trees, b"X3 violated: the record of an entry is broken", id)
    if code == OK and entry_passes(test, &field):
        ids_add(out, id)
    return OK


cdef int array_collect(IndexTrees* trees, const TermTest* test, Column* column, const uint64_t* within, size_t count,
                       IdList* out) noexcept nogil:
    """As entries_collect, from a column in memory. Looks go out many at a time, so that they wait for memory together;
    a branch that depends on each of them would make them wait one by one."""
    cdef uint64_t prefixes[LOOKS_AT_ONCE]
    cdef uint64_t low = term_prefix64(test.interval.low, test.interval.low_size)
    cdef uint64_t high = term_prefix64(test.interval.high, test.interval.high_size)
    cdef size_t start = 0
    cdef size_t index, part
    cdef Cursor cursor
    cdef int code
    cursor_init(&cursor, &trees.entries)
    if not ids_reserve(out, count + 1):
        return out_of_memory(trees)
    while start < count:
        part = count - start if count - start < LOOKS_AT_ONCE else <size_t>LOOKS_AT_ONCE
        for index in range(part):
            prefixes[index] = column_read(column, within[start + index])
        for index in range(part):
            if unlikely((prefixes[index] == low or prefixes[index] == high) and prefixes[index] != 0):
                code = entry_collect(trees, test, &cursor, within[start + index], out)
                if code != OK:
                    return code
                continue
            out.ids[out.count] = within[start + index]     # stays only when it passes
            out.count += low < prefixes[index] < high
        start += part
    return OK


cdef int array_scan(IndexTrees* trees, const TermTest* test, IdList* out) noexcept nogil:
    """All entries that pass, by a walk over the column in memory: for ranges of many terms."""
    cdef uint64_t low = term_prefix64(test.interval.low, test.interval.low_size)
    cdef uint64_t high = term_prefix64(test.interval.high, test.interval.high_size)
    cdef uint64_t prefix, id
    cdef Cursor cursor
    cdef int code
    cursor_init(&cursor, &trees.entries)
    for id in range(trees.array_count):
        if id % LOOKS_AT_ONCE == 0 and not ids_reserve(out, LOOKS_AT_ONCE + 1):
            return out_of_memory(trees)
        prefix = trees.array[id]
        if unlikely((prefix == low or prefix == high) and prefix != 0):
            code = entry_collect(trees, test, &cursor, id, out)
            if code != OK:
                return code
            continue
        out.ids[out.count] = id    # stays only when it passes
        out.count += low < prefix < high
    return OK


cdef int search_presence(IndexTrees* trees, uint32_t field, IdList* out) noexcept nogil:
    cdef TermTest test
    cdef uint64_t budget = <uint64_t>-1
    cdef uint8_t term[1]
    cdef int code
    term[0] = TERM_PRESENCE
    test.field = field
    test.terms = NULL
    test.text_test = TEXT_ANY
    interval_equal(&test.interval, term, 1)
    code = terms_collect(trees, &test, &test.interval, &budget, out)
    if code == OK and ids_finish(out) != OK:
        return out_of_memory(trees)
    return code


cdef int search_count(IndexTrees* trees, const TermTest* test, uint64_t limit, uint64_t* count) noexcept nogil:
    cdef Cursor cursor
    cdef Value value
    cdef uint64_t steps = 0
    cdef int code = walk_seek(trees, &cursor, test.field, &test.interval)
    while code == OK and count[0] < limit:
        code = cursor_value(&cursor, &value)
        if code == OK:
            count[0] += block_count(value.data, value.size)
            steps += 1
            if steps == COUNT_STEPS_MAX and limit != <uint64_t>-1:
                count[0] = limit if count[0] < limit else count[0]
                break
            code = cursor_next(&cursor)
        if code == OK and not walk_inside(&cursor, test.field, &test.interval):
            break
    return OK if code == E_NOT_FOUND else code

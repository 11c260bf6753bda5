"""A page of the entries that fulfil several conditions, in one call: count, match the rarest, test the others, order.

What `equal`, `range` and `sort` of a snapshot do one by one; together they make no object on the way.
"""

from libc.stddef cimport size_t
from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t

from pynori_core.errors cimport OK
from pynori_core.index_bounds cimport bound_range, bound_term
from pynori_core.index_columns cimport ColumnArray
from pynori_core.index_order cimport SORT_KEYS_MAX, SortKey, order_entries
from pynori_core.index_search cimport TEXT_ANY, TermTest, interval_equal, search_count, search_test
from pynori_core.index_snapshot cimport IndexSnapshot, View, bring_column, wide_looks
from pynori_core.index_terms cimport TERM_ROOM
from pynori_core.index_trees cimport IndexTrees
from pynori_core.matches cimport IdList, ids_add, ids_init, ids_release, ordered_take

cdef enum:
    ALL_MAX = 8                        # conditions of one page
    COUNTED_MAX = 4096                 # entries that are counted to compare two conditions; beyond that both are many
    SHORT_MATCHES = 512                # so few are looked at sooner than the interpreter's lock is had again

CONDITIONS_MAX = ALL_MAX


cdef struct Conditions:
    TermTest tests[8]                  # ALL_MAX
    bint ranges[8]                     # not one value
    uint64_t counts[8]                 # about how many entries fulfil each
    uint32_t order[8]                  # the rarest first
    size_t count


def page_of(IndexSnapshot snapshot not None, conditions not None, keys not None, uint64_t skip, uint64_t limit):
    """How many entries fulfil all conditions, and those of one page in the order of (field, descending) keys."""
    cdef Conditions asked
    cdef SortKey sorts[SORT_KEYS_MAX]
    cdef size_t key_count = 0
    cdef View view
    cdef IdList found, page
    cdef size_t total = 0
    cdef int code
    if not 1 <= len(conditions) <= ALL_MAX or len(keys) > SORT_KEYS_MAX:
        raise ValueError(f"1 to {ALL_MAX} conditions and at most {SORT_KEYS_MAX} keys")
    conditions_make(snapshot, conditions, &asked)
    for field, descending in keys:
        sorts[key_count].field = field
        sorts[key_count].descending = descending
        snapshot.field_flags(sorts[key_count].field)
        key_count += 1
    ids_init(&found)
    ids_init(&page)
    snapshot.enter(&view)
    try:
        code = conditions_count(&view.trees, &asked)
        if code == OK:
            code = conditions_match(snapshot, &view, &asked, &found)
        total = found.count
        if code == OK and total:
            code = page_take(snapshot, &view, sorts, key_count, &found, skip, limit, &page)
    except BaseException:
        ids_release(&page)
        raise
    finally:
        ids_release(&found)
    if code != OK:
        ids_release(&page)
    snapshot.leave(&view, code)
    return total, ordered_take(&page, NULL, -1)


cdef int conditions_make(IndexSnapshot snapshot, object conditions, Conditions* asked) except -1:
    cdef uint8_t term[TERM_ROOM]
    cdef TermTest* test
    cdef uint32_t field
    cdef uint32_t flags
    asked.count = 0
    for each in conditions:
        field = each[0]
        flags = <uint32_t>snapshot.field_flags(field)
        test = &asked.tests[asked.count]
        test.field = field
        test.terms = NULL
        test.text_test = TEXT_ANY
        asked.ranges[asked.count] = len(each) != 2
        if len(each) == 2:
            interval_equal(&test.interval, term, bound_term(flags, each[1], term))
        else:
            bound_range(flags, each[1], each[2], each[3], each[4], &test.interval)
        asked.count += 1
    return 0


cdef int conditions_count(IndexTrees* trees, Conditions* asked) noexcept nogil:
    """Put the rarest first. Single values tell their number at once; no range is counted beyond the least of those."""
    cdef uint64_t limit = COUNTED_MAX
    cdef size_t index, place
    cdef int code = OK
    for index in range(asked.count):
        asked.counts[index] = 0
        if not asked.ranges[index] and asked.count > 1 and code == OK:
            code = search_count(trees, &asked.tests[index], UINT64_MAX, &asked.counts[index])
            limit = limit if limit < asked.counts[index] else asked.counts[index]
    for index in range(asked.count):
        if asked.ranges[index] and asked.count > 1 and limit and code == OK:
            code = search_count(trees, &asked.tests[index], limit, &asked.counts[index])
            if asked.counts[index] < limit:
                limit = asked.counts[index]
            else:
                asked.counts[index] = UINT64_MAX       # how many there are is not known
    for index in range(asked.count):
        place = index
        while place > 0 and asked.counts[asked.order[place - 1]] > asked.counts[index]:
            asked.order[place] = asked.order[place - 1]
            place -= 1
        asked.order[place] = <uint32_t>index
    return code


cdef inline ColumnArray column_for(IndexSnapshot snapshot, View* view, uint32_t field, uint64_t looks):
    """As bring_column, in the place of the array of another field."""
    view.trees.array = NULL
    return bring_column(snapshot, view, field, looks)


cdef int conditions_match(IndexSnapshot snapshot, View* view, Conditions* asked, IdList* found) except? -1:
    """The entries that fulfil all. An exception has left the snapshot."""
    cdef ColumnArray _column           # keeps the memory while the call runs
    cdef IdList within
    cdef const TermTest* test = &asked.tests[asked.order[0]]
    cdef size_t index
    cdef int code
    if asked.ranges[asked.order[0]]:
        _column = column_for(snapshot, view, test.field, wide_looks(snapshot))
    with nogil:
        code = search_test(&view.trees, test, NULL, 0, found)
    for index in range(1, asked.count):
        if code != OK or found.count == 0:
            break
        within = found[0]
        ids_init(found)
        test = &asked.tests[asked.order[index]]
        try:
            _column = column_for(snapshot, view, test.field, within.count)
            if within.count <= SHORT_MATCHES:
                code = search_test(&view.trees, test, within.ids, within.count, found)
            else:
                with nogil:
                    code = search_test(&view.trees, test, within.ids, within.count, found)
        finally:
            ids_release(&within)
    return code


cdef int page_take(IndexSnapshot snapshot, View* view, const SortKey* keys, size_t key_count, const IdList* found,
                   uint64_t skip, uint64_t limit, IdList* page) except? -1:
    """The entries of the page in order. An exception has left the snapshot."""
    cdef ColumnArray _column           # keeps the memory while the call runs
    cdef size_t start = found.count if skip > found.count else <size_t>skip
    cdef size_t count = found.count - start if limit > found.count - start else <size_t>limit
    cdef size_t index
    cdef int code = OK
    if key_count == 0:
        for index in range(start, start + count):
            ids_add(page, found.ids[index])
        if page.failed:
            snapshot.exit()
            raise MemoryError()
        return OK
    _column = column_for(snapshot, view, keys[0].field, found.count)
    if found.count <= SHORT_MATCHES:
        code = order_entries(&view.trees, keys, key_count, found.ids, found.count, True, skip, limit, page)
    else:
        with nogil:
            code = order_entries(&view.trees, keys, key_count, found.ids, found.count, True, skip, limit, page)
    return code

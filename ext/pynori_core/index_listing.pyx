"""Walk terms, read records, make Python objects of both."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from pynori_core.bits cimport load32, load64
from pynori_core.btree cimport Value
from pynori_core.cursor cimport Cursor, cursor_init, cursor_next, cursor_value
from pynori_core.errors cimport E_NOT_FOUND, OK
from pynori_core.index_entry cimport EntryView, FieldView, entry_find, field_term
from pynori_core.index_search cimport Interval, interval_equal, walk_inside, walk_seek
from pynori_core.index_terms cimport term_object
from pynori_core.index_trees cimport IndexTrees, block_at, entry_read, trees_corrupt
from pynori_core.output cimport Output
from pynori_core.posting cimport (
    POSITIONS_MAX,
    Block,
    PostingList,
    block_count,
    block_list,
    list_init,
    list_release,
    payload_positions,
)


# ---- terms

cdef list trees_terms(IndexTrees* trees, uint32_t field, const Interval* interval, size_t limit, int* code):
    cdef list found = []
    cdef Cursor cursor
    cdef Value value
    cdef const uint8_t* term = NULL
    cdef size_t size = 0
    cdef uint64_t count = 0
    code[0] = walk_seek(trees, &cursor, field, interval) if limit else OK
    while code[0] == OK and limit:
        if cursor.key_size != size or memcmp(cursor.key, term, size - 8) != 0:
            if term != NULL:
                found.append((PyBytes_FromStringAndSize(<const char*>term + 2, <Py_ssize_t>size - 10), count))
                if <size_t>len(found) == limit:
                    term = NULL
                    break
            term = cursor.key
            size = cursor.key_size
            count = 0
        code[0] = cursor_value(&cursor, &value)
        if code[0] == OK:
            count += block_count(value.data, value.size)
            code[0] = cursor_next(&cursor)
        if code[0] == OK and not walk_inside(&cursor, field, interval):
            break
    if term != NULL:
        found.append((PyBytes_FromStringAndSize(<const char*>term + 2, <Py_ssize_t>size - 10), count))
    if code[0] == E_NOT_FOUND:
        code[0] = OK
    return found


cdef void next_interval(Interval* interval, bytes last) noexcept:
    """What is left of an interval behind a term."""
    cdef Interval behind
    interval_equal(&behind, <const uint8_t*>PyBytes_AS_STRING(last), <size_t>len(last))
    memcpy(interval.low, behind.high, behind.high_size)
    interval.low_size = behind.high_size


cdef list trees_postings(IndexTrees* trees, uint32_t field, const Interval* interval, int* code):
    cdef uint32_t positions[POSITIONS_MAX]
    cdef list found = []
    cdef PostingList postings
    cdef Cursor cursor
    cdef Block block
    cdef uint32_t count, place
    cdef size_t index
    list_init(&postings, True)
    try:
        code[0] = walk_seek(trees, &cursor, field, interval)
        while code[0] == OK and walk_inside(&cursor, field, interval):
            postings.count = 0
            code[0] = block_at(trees, &cursor, &block)
            if code[0] == OK and block_list(&block, &postings) != OK:
                code[0] = trees_corrupt(trees, b"X6 violated: a block of ids is broken, the first is", block.first)
            if code[0] != OK:
                break
            for index in range(postings.count):
                count = payload_positions(&postings.payloads[index], positions)
                found.append((postings.ids[index], [positions[place] for place in range(count)]))
            code[0] = cursor_next(&cursor)
    finally:
        list_release(&postings)
    if code[0] == E_NOT_FOUND:
        code[0] = OK
    return found


cdef list counts_list(const Output* out):
    cdef list found = []
    cdef const uint8_t* here = out.data
    cdef const uint8_t* end = out.data + out.size
    cdef uint32_t size
    while here != NULL and here < end:
        size = load32(here)
        found.append((term_object(here + 12, size), load64(here + 4)))
        here += 12 + size
    return found


# ---- entries

cdef object entry_document(const EntryView* view, uint32_t field):
    return PyUnicode_DecodeUTF8(<const char*>view.id, <Py_ssize_t>view.id_size, "replace")


cdef object entry_stored(const EntryView* view, uint32_t field):
    if view.stored == NULL:
        return None
    return PyBytes_FromStringAndSize(<const char*>view.stored, <Py_ssize_t>view.stored_size)


ctypedef object (*TermFunction)(const uint8_t* term, size_t size)


cdef object term_bytes(const uint8_t* term, size_t size):
    return PyBytes_FromStringAndSize(<const char*>term, <Py_ssize_t>size)


cdef list terms_as(const EntryView* view, uint32_t field, TermFunction function):
    """What the function makes of each term of the entry's field."""
    cdef list found = []
    cdef FieldView field_view
    cdef const uint8_t* here
    cdef const uint8_t* term = NULL
    cdef size_t size = 0
    if entry_find(view, field, &field_view) != OK:
        return found
    here = field_view.terms
    while field_term(&field_view, &here, &term, &size):
        found.append(function(term, size))
    return found


cdef object entry_terms(const EntryView* view, uint32_t field):
    return terms_as(view, field, term_bytes)


cdef object entry_values(const EntryView* view, uint32_t field):
    return terms_as(view, field, term_object)


cdef list trees_entries(IndexTrees* trees, const uint64_t* ids, size_t count, EntryFunction function, uint32_t field,
                        int* code):
    cdef size_t index
    cdef list found = []
    cdef Cursor cursor
    cdef EntryView entry
    cursor_init(&cursor, &trees.entries)
    code[0] = OK
    for index in range(count):
        code[0] = entry_read(trees, &cursor, ids[index], &entry)
        if code[0] == E_NOT_FOUND:
            raise IndexError(f"the index has no entry {ids[index]}")
        if code[0] != OK:
            break
        found.append(function(&entry, field))
    return found

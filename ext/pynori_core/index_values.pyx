"""Read numbers of entries; count terms."""

from libc.math cimport NAN, isnan
from libc.stdint cimport uint8_t
from libc.string cimport memcmp

from pynori_core.cursor cimport Cursor, cursor_init, cursor_next
from pynori_core.errors cimport E_CORRUPT, E_NO_MEMORY, E_NOT_FOUND, E_TOO_LARGE, OK, error_set
from pynori_core.index_entry cimport EntryView, FieldView, entry_find, field_term
from pynori_core.index_search cimport Interval, interval_field, walk_inside, walk_seek
from pynori_core.index_terms cimport TERM_NUMBER, term_double
from pynori_core.index_trees cimport block_at, entry_read, trees_corrupt
from pynori_core.matches cimport IdBits, bits_add, bits_has, bits_init, bits_release, ids_find
from pynori_core.output cimport output_append
from pynori_core.posting cimport BLOCK_RUN_MAX, Block, block_decode


cdef int field_read(IndexTrees* trees, Cursor* cursor, uint32_t field, uint64_t id, FieldView* view) noexcept nogil:
    """E_NOT_FOUND: there is no such entry, or it does not have the field."""
    cdef EntryView entry
    cdef int code = entry_read(trees, cursor, id, &entry)
    if code != OK:
        return code
    code = entry_find(&entry, field, view)
    if code == E_CORRUPT:
        return trees_corrupt(trees, b"X3 violated: the record of an entry is broken", id)
    return code


cdef int values_numbers(IndexTrees* trees, uint32_t field, const uint64_t* ids, size_t count,
                        double* out) noexcept nogil:
    cdef Cursor cursor
    cdef FieldView view
    cdef const uint8_t* here
    cdef const uint8_t* term = NULL
    cdef size_t size = 0
    cdef size_t index
    cdef int code
    cursor_init(&cursor, &trees.entries)
    for index in range(count):
        out[index] = NAN
        code = field_read(trees, &cursor, field, ids[index], &view)
        if code == E_NOT_FOUND:
            continue
        if code != OK:
            return code
        here = view.terms
        while field_term(&view, &here, &term, &size):
            if term[0] == TERM_NUMBER:
                out[index] = term_double(term)
                break
    return OK


cdef int values_aggregate(IndexTrees* trees, uint32_t field, const uint64_t* ids, size_t count,
                          Aggregate* out) noexcept nogil:
    cdef Cursor cursor
    cdef FieldView view
    cdef const uint8_t* here
    cdef const uint8_t* term = NULL
    cdef size_t size = 0
    cdef size_t index
    cdef double number
    cdef int code
    out.count = 0
    out.sum = 0
    out.low = out.high = NAN
    cursor_init(&cursor, &trees.entries)
    for index in range(count):
        code = field_read(trees, &cursor, field, ids[index], &view)
        if code == E_NOT_FOUND:
            continue
        if code != OK:
            return code
        here = view.terms
        while field_term(&view, &here, &term, &size):
            if term[0] != TERM_NUMBER:
                continue
            number = term_double(term)
            out.count += 1
            out.sum += number
            if isnan(out.low) or number < out.low:
                out.low = number
            if isnan(out.high) or number > out.high:
                out.high = number
    return OK


cdef int values_counts(IndexTrees* trees, uint32_t field, const uint64_t* within, size_t count,
                       Output* out) noexcept nogil:
    cdef Interval interval
    cdef IdBits bits
    cdef Cursor cursor
    cdef uint64_t common = 0
    cdef const uint8_t* term = NULL
    cdef size_t size = 0
    cdef bint spread = False
    cdef int code
    if count == 0:
        return OK
    code = bits_init(&bits, within[0], within[count - 1])
    if code == E_NO_MEMORY:
        error_set(&trees.txn.error, E_NO_MEMORY, b"no memory for counting terms")
        return code
    spread = code == E_TOO_LARGE
    bits_add(&bits, within, count)
    interval_field(&interval)
    code = walk_seek(trees, &cursor, field, &interval)
    while code == OK:
        if size != cursor.key_size or memcmp(term, cursor.key, size - 8) != 0:
            count_give(term, size, common, out)
            common = 0
            term = cursor.key
            size = cursor.key_size
        code = block_common(trees, &cursor, &bits, within, count, spread, &common)
        if code == OK:
            code = cursor_next(&cursor)
        if code == OK and not walk_inside(&cursor, field, &interval):
            code = E_NOT_FOUND
    count_give(term, size, common, out)
    bits_release(&bits)
    if code == E_NOT_FOUND and out.failure != OK:
        error_set(&trees.txn.error, E_NO_MEMORY, b"no memory for counting terms")
        return E_NO_MEMORY
    return OK if code == E_NOT_FOUND else code


cdef void count_give(const uint8_t* term, size_t size, uint64_t common, Output* out) noexcept nogil:
    cdef uint32_t term_bytes = <uint32_t>size - 10
    if common:
        output_append(out, &term_bytes, 4)
        output_append(out, &common, 8)
        output_append(out, term + 2, term_bytes)


cdef int block_common(IndexTrees* trees, Cursor* cursor, const IdBits* bits, const uint64_t* within, size_t count,
                      bint spread, uint64_t* common) noexcept nogil:
    """Add how many ids of the block are in `within`; `spread`: these lie too far apart for bits."""
    cdef uint64_t ids[BLOCK_RUN_MAX]
    cdef Block block
    cdef uint32_t index
    cdef size_t place
    cdef int code = block_at(trees, cursor, &block)
    if code != OK:
        return code
    if block_decode(&block, ids) != OK:
        return trees_corrupt(trees, b"X6 violated: a block of ids is broken, the first is", block.first)
    for index in range(block.count):
        if spread:
            place = ids_find(within, count, ids[index])
            common[0] += place < count and within[place] == ids[index]
        else:
            common[0] += bits_has(bits, ids[index])
    return OK

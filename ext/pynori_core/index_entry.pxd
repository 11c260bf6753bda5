"""The record of one entry: the document it belongs to, the terms of each field, what is stored.

    record := varint size of id, id, varint size of fields, field..., 0 | 1 stored...
    field  := varint number * 2 + text, [u64 hash of the tokens, varint tokens,] varint size of terms, term...
    term   := varint size, bytes

Fields ascend by number, terms within a field by their bytes, each once. So the record says which terms must go when the
entry changes, and its first term is what a sort looks at.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.bits cimport load64
from pynori_core.errors cimport E_CORRUPT, E_NOT_FOUND, OK
from pynori_core.posting cimport varint_read

cdef struct EntryView:                 # pointers into the record
    const uint8_t* id
    size_t id_size
    const uint8_t* fields
    const uint8_t* fields_end
    const uint8_t* stored              # NULL: nothing is stored
    size_t stored_size

cdef struct FieldView:
    uint32_t number
    bint text
    uint64_t hash                      # of tokens and positions, for text
    uint64_t tokens                    # how many, for text
    const uint8_t* terms
    const uint8_t* terms_end

# E_CORRUPT when the bytes are no record.
cdef int entry_open(const uint8_t* data, size_t size, EntryView* view) noexcept nogil


# The field at `here`, which moves behind it. E_NOT_FOUND at the end.
cdef inline int entry_field(const EntryView* view, const uint8_t** here, FieldView* field) noexcept nogil:
    cdef const uint8_t* end = view.fields_end
    cdef uint64_t head, size
    if here[0] == end:
        return E_NOT_FOUND
    if not varint_read(here, end, &head) or head >> 32:
        return E_CORRUPT
    field.number = <uint32_t>(head >> 1)
    field.text = head & 1
    field.hash = 0
    field.tokens = 0
    if field.text:
        if end - here[0] < 8:
            return E_CORRUPT
        field.hash = load64(here[0])
        here[0] += 8
        if not varint_read(here, end, &field.tokens):
            return E_CORRUPT
    if not varint_read(here, end, &size) or size > <uint64_t>(end - here[0]):
        return E_CORRUPT
    field.terms = here[0]
    field.terms_end = here[0] + size
    here[0] += size
    return OK


cdef inline int entry_find(const EntryView* view, uint32_t number, FieldView* field) noexcept nogil:
    """E_NOT_FOUND: the entry does not have the field."""
    cdef const uint8_t* here = view.fields
    cdef int code = entry_field(view, &here, field)
    while code == OK and field.number < number:
        code = entry_field(view, &here, field)
    if code == OK and field.number != number:
        return E_NOT_FOUND
    return code


# The term at `here`, which moves behind it; False at the end, and when the rest is no term.
cdef inline bint field_term(const FieldView* field, const uint8_t** here, const uint8_t** term,
                            size_t* size) noexcept nogil:
    cdef uint64_t length
    if not varint_read(here, field.terms_end, &length) or length > <uint64_t>(field.terms_end - here[0]) or length == 0:
        return False
    term[0] = here[0]
    size[0] = <size_t>length
    here[0] += length
    return True

"""Open the record of an entry."""


cdef int entry_open(const uint8_t* data, size_t size, EntryView* view) noexcept nogil:
    cdef const uint8_t* here = data
    cdef const uint8_t* end = data + size
    cdef uint64_t length
    if not varint_read(&here, end, &length) or length > <uint64_t>(end - here):
        return E_CORRUPT
    view.id = here
    view.id_size = <size_t>length
    here += length
    if not varint_read(&here, end, &length) or length > <uint64_t>(end - here):
        return E_CORRUPT
    view.fields = here
    view.fields_end = here + length
    here += length
    if here == end or here[0] > 1:
        return E_CORRUPT
    view.stored = here + 1 if here[0] else NULL
    view.stored_size = end - here - 1
    return OK

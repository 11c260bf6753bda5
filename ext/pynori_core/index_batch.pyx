"""Gather documents for an index; sort byte strings."""

from libc.stdlib cimport free, qsort, realloc
from libc.string cimport memcmp, memcpy, memset

from pynori_core.arena cimport arena_init, arena_release, arena_reset, arena_take
from pynori_core.bits cimport compare_bytes, load64_be, store64
from pynori_core.checksum cimport hash64
from pynori_core.errors cimport E_NO_MEMORY, E_TOO_LARGE, OK
from pynori_core.identifier cimport identifier_key
from pynori_core.output cimport output_append, output_clear, output_init, output_release, output_reserve
from pynori_core.posting cimport POSITIONS_MAX, varint_write

cdef enum:
    DOCUMENTS_FIRST = 256
    EACH_FIRST = 64
    FEW_TERMS = 24                 # sorted by insertion
    HEADS_SIZE_MAX = 32            # of one field in a record: number, hash, tokens, size
    SORT_FEW = 16


cdef void batch_init(Batch* batch) noexcept nogil:
    memset(batch, 0, sizeof(Batch))
    arena_init(&batch.arena, BATCH_BYTES_MAX)
    output_init(&batch.terms, BATCH_BYTES_MAX)
    output_init(&batch.scratch, BATCH_BYTES_MAX)


cdef void batch_release(Batch* batch) noexcept nogil:
    arena_release(&batch.arena)
    output_release(&batch.terms)
    output_release(&batch.scratch)
    free(batch.documents)
    free(batch.each)
    batch.documents = NULL
    batch.each = NULL
    batch.count = batch.capacity = batch.each_count = batch.each_capacity = 0


cdef void batch_clear(Batch* batch) noexcept nogil:
    arena_reset(&batch.arena)
    batch.count = 0
    batch.each_count = 0
    output_clear(&batch.terms)


cdef size_t batch_bytes(const Batch* batch) noexcept nogil:
    return batch.arena.taken_bytes + batch.count * sizeof(BatchDocument)


# ---- documents and entries

cdef int batch_document(Batch* batch, const uint8_t* id, size_t size) noexcept nogil:
    cdef BatchDocument* document
    cdef size_t wanted
    cdef void* memory
    cdef uint8_t* copy
    if batch.count == batch.capacity:
        wanted = batch.capacity * 2 if batch.capacity else <size_t>DOCUMENTS_FIRST
        if batch.count >= BATCH_DOCUMENTS_MAX:
            return E_TOO_LARGE
        memory = realloc(batch.documents, wanted * sizeof(BatchDocument))
        if memory == NULL:
            return E_NO_MEMORY
        batch.documents = <BatchDocument*>memory
        batch.capacity = wanted
    copy = <uint8_t*>arena_take(&batch.arena, size * 2 + size // 2 + 16, 1)
    if copy == NULL:
        return E_NO_MEMORY
    memcpy(copy, id, size)
    document = &batch.documents[batch.count]
    document.key = copy + size
    document.key_size = <uint32_t>identifier_key(id, size, copy + size)
    document.entry_count = 0
    document.entries = NULL
    document.old = NULL
    document.old_count = 0
    document.superseded = False
    batch.count += 1
    batch.id = copy
    batch.id_size = size
    batch.tail = &document.entries
    batch.each_count = 0
    output_clear(&batch.terms)
    return OK


cdef inline int each_push(Batch* batch, uint32_t field, const uint8_t* term, size_t size, uint32_t position,
                          bint token) noexcept nogil:
    cdef EntryTerm* each
    cdef size_t wanted
    cdef void* memory
    if batch.each_count == batch.each_capacity:
        if batch.each_count >= ENTRY_TERMS_MAX:
            return E_TOO_LARGE
        wanted = batch.each_capacity * 2 if batch.each_capacity else <size_t>EACH_FIRST
        memory = realloc(batch.each, wanted * sizeof(EntryTerm))
        if memory == NULL:
            return E_NO_MEMORY
        batch.each = <EntryTerm*>memory
        batch.each_capacity = wanted
    each = &batch.each[batch.each_count]
    each.data = <const uint8_t*>batch.terms.size
    each.size = <uint32_t>size
    each.field = field
    each.position = position
    each.token = token
    batch.each_count += 1
    output_append(&batch.terms, term, size)
    return batch.terms.failure


cdef int batch_term(Batch* batch, uint32_t field, const uint8_t* term, size_t size) noexcept nogil:
    return each_push(batch, field, term, size, 0, False)


cdef int batch_token(Batch* batch, uint32_t field, const uint8_t* term, size_t size, uint32_t position) noexcept nogil:
    return each_push(batch, field, term, size, position, True)


cdef inline int each_order(const EntryTerm* left, const EntryTerm* right) noexcept nogil:
    cdef int order
    if left.field != right.field:
        return -1 if left.field < right.field else 1
    order = compare_bytes(left.data, left.size, right.data, right.size)
    if order:
        return order
    return <int>(left.position > right.position) - <int>(left.position < right.position)


cdef int each_compare(const void* left, const void* right) noexcept nogil:
    return each_order(<const EntryTerm*>left, <const EntryTerm*>right)


cdef void each_sort(Batch* batch) noexcept nogil:
    cdef EntryTerm moved
    cdef size_t index, place, shifted
    for index in range(batch.each_count):
        batch.each[index].data = batch.terms.data + <size_t>batch.each[index].data
    if batch.each_count > FEW_TERMS:
        qsort(batch.each, batch.each_count, sizeof(EntryTerm), each_compare)
        return
    for index in range(1, batch.each_count):
        place = index
        while place > 0 and each_order(&batch.each[place - 1], &batch.each[index]) > 0:
            place -= 1
        if place != index:
            moved = batch.each[index]
            for shifted in range(index, place, -1):
                batch.each[shifted] = batch.each[shifted - 1]
            batch.each[place] = moved


cdef int batch_entry(Batch* batch, const uint8_t* stored, size_t stored_size) noexcept nogil:
    cdef BatchDocument* document = &batch.documents[batch.count - 1]
    cdef BatchEntry* entry
    cdef Payload* payloads = NULL
    cdef uint8_t* record
    cdef uint8_t* here
    cdef size_t room, fields
    cdef size_t index
    cdef bint text = False
    each_sort(batch)
    for index in range(batch.each_count):
        text = text or batch.each[index].token
    # Each term has at most 2 bytes of size before it, each field a head; positions lie elsewhere.
    room = batch.id_size + 32 + batch.terms.size + batch.each_count * (2 + HEADS_SIZE_MAX) + stored_size
    entry = <BatchEntry*>arena_take(&batch.arena, sizeof(BatchEntry), 8)
    if text:
        payloads = <Payload*>arena_take(&batch.arena, batch.each_count * sizeof(Payload), 8)
        if payloads == NULL:
            return E_TOO_LARGE
    output_clear(&batch.scratch)
    if entry == NULL or not output_reserve(&batch.scratch, room):
        return E_TOO_LARGE
    fields = fields_write(batch, payloads, batch.scratch.data)
    if fields == <size_t>-1:
        return E_TOO_LARGE
    record = <uint8_t*>arena_take(&batch.arena, batch.id_size + fields + stored_size + 21, 1)
    if record == NULL:
        return E_TOO_LARGE
    here = record + varint_write(record, batch.id_size)
    memcpy(here, batch.id, batch.id_size)
    here += batch.id_size
    here += varint_write(here, fields)
    memcpy(here, batch.scratch.data, fields)
    here += fields
    here[0] = stored != NULL
    here += 1
    if stored != NULL:
        memcpy(here, stored, stored_size)
        here += stored_size
    entry.next = NULL
    entry.record = record
    entry.size = here - record
    entry.payloads = payloads
    entry.id = 0
    batch.tail[0] = entry
    batch.tail = &entry.next
    document.entry_count += 1
    batch.each_count = 0
    output_clear(&batch.terms)
    return OK


cdef size_t fields_write(Batch* batch, Payload* payloads, uint8_t* out) noexcept nogil:
    """The fields of a record from the sorted terms; their size, or -1 without memory."""
    cdef uint8_t* here = out
    cdef size_t start = 0
    cdef size_t end, index, terms
    cdef uint64_t hash
    cdef bint text
    cdef EntryTerm* each = batch.each
    while start < batch.each_count:
        end = start
        terms = 0
        text = False
        while end < batch.each_count and each[end].field == each[start].field:
            text = text or each[end].token
            if end == start or not same_term(&each[end], &each[end - 1]):
                terms += each[end].size + (1 if each[end].size < 128 else 2)
            end += 1
        here += varint_write(here, <uint64_t>each[start].field * 2 + text)
        if text:
            if not text_payloads(batch, start, end, &payloads, &hash):
                return <size_t>-1
            store64(here, hash)
            here += 8
            here += varint_write(here, end - start)
        here += varint_write(here, terms)
        for index in range(start, end):
            if index == start or not same_term(&each[index], &each[index - 1]):
                here += varint_write(here, each[index].size)
                memcpy(here, each[index].data, each[index].size)
                here += each[index].size
        start = end
    return here - out


cdef inline bint same_term(const EntryTerm* left, const EntryTerm* right) noexcept nogil:
    return left.size == right.size and memcmp(left.data, right.data, left.size) == 0


cdef bint text_payloads(Batch* batch, size_t start, size_t end, Payload** payloads, uint64_t* hash) noexcept nogil:
    """Fill a payload for each distinct term of a text field; the hash of all tokens with their positions."""
    cdef EntryTerm* each = batch.each
    cdef size_t first = start
    cdef size_t last, index
    cdef uint32_t position
    cdef uint8_t* bytes
    cdef size_t size, kept
    hash[0] = 0
    while first < end:
        last = first + 1
        while last < end and same_term(&each[last], &each[first]):
            last += 1
        kept = last - first if last - first < POSITIONS_MAX else POSITIONS_MAX
        bytes = <uint8_t*>arena_take(&batch.arena, kept * 5, 1)
        if bytes == NULL:
            return False
        size = 0
        position = 0
        for index in range(first, first + kept):
            size += varint_write(bytes + size, each[index].position - position)
            position = each[index].position
        payloads[0].positions = bytes
        payloads[0].size = <uint32_t>size
        payloads[0].frequency = <uint32_t>(last - first)
        payloads[0] += 1
        hash[0] = hash64(each[first].data, each[first].size, hash[0])
        hash[0] = hash64(bytes, size, hash[0] + last - first)
        first = last
    return True


cdef void batch_document_end(Batch* batch) noexcept nogil:
    batch.tail = NULL
    batch.each_count = 0


cdef void batch_document_drop(Batch* batch) noexcept nogil:
    batch.documents[batch.count - 1].entries = NULL
    batch.documents[batch.count - 1].entry_count = 0
    batch_document_end(batch)


# ---- sorting

cdef uint64_t sort_cache(const uint8_t* data, uint32_t size, uint32_t depth) noexcept nogil:
    cdef uint64_t value = 0
    cdef uint32_t index
    if depth + 8 <= size:
        return load64_be(data + depth)
    for index in range(depth, size):
        value |= <uint64_t>data[index] << (56 - 8 * (index - depth))
    return value


cdef void sort_few(SortItem* items, size_t count, uint32_t depth) noexcept nogil:
    """By insertion; `depth` is where the bytes behind the caches begin."""
    cdef SortItem moved
    cdef size_t index, place
    for index in range(1, count):
        moved = items[index]
        place = index
        while place > 0 and item_less(&moved, &items[place - 1], depth):
            items[place] = items[place - 1]
            place -= 1
        items[place] = moved


cdef inline bint item_less(const SortItem* left, const SortItem* right, uint32_t depth) noexcept nogil:
    if left.cache != right.cache:
        return left.cache < right.cache
    if left.size <= depth or right.size <= depth:
        return left.size < right.size
    return compare_bytes(left.data + depth, left.size - depth, right.data + depth, right.size - depth) < 0


cdef inline uint64_t middle_of(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    if a > b:
        a, b = b, a
    return a if c < a else (c if c < b else b)


cdef void sort_bytes(SortItem* items, size_t count, uint32_t depth) noexcept nogil:
    cdef size_t index
    if depth == 0:
        for index in range(count):
            items[index].cache = sort_cache(items[index].data, items[index].size, 0)
        depth = 8
    sort_deep(items, count, depth)


cdef void sort_deep(SortItem* items, size_t count, uint32_t depth) noexcept nogil:
    """Quicksort by the caches; those that are equal get the next 8 bytes and are sorted by them."""
    cdef SortItem swapped
    cdef uint64_t pivot
    cdef size_t less, greater, index, equal
    while count > SORT_FEW:
        pivot = middle_of(items[0].cache, items[count // 2].cache, items[count - 1].cache)
        less = 0
        index = 0
        greater = count
        while index < greater:
            if items[index].cache < pivot:
                swapped = items[less]
                items[less] = items[index]
                items[index] = swapped
                less += 1
                index += 1
            elif items[index].cache > pivot:
                greater -= 1
                swapped = items[greater]
                items[greater] = items[index]
                items[index] = swapped
            else:
                index += 1
        equal = greater - less
        if equal > 1:
            equal_sort(items + less, equal, depth)
        # The larger side goes on in this loop, so that the stack stays small.
        if less < count - greater:
            sort_deep(items, less, depth)
            items += greater
            count -= greater
        else:
            sort_deep(items + greater, count - greater, depth)
            count = less
    sort_few(items, count, depth)


cdef void equal_sort(SortItem* items, size_t count, uint32_t depth) noexcept nogil:
    cdef size_t index
    cdef bint ended = True
    for index in range(count):
        ended = ended and items[index].size <= depth
        items[index].cache = sort_cache(items[index].data, items[index].size, depth)
    if not ended:
        sort_deep(items, count, depth + 8)

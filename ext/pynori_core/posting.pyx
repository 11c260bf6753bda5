"""Write, read and merge blocks of entry ids."""

from libc.stdlib cimport free, realloc
from libc.string cimport memset

from pynori_core.bits cimport load16, load64, popcount64, store16, trailing_zeros64, unlikely
from pynori_core.errors cimport E_CORRUPT, E_NO_MEMORY, OK
from pynori_core.matches cimport ids_reserve
from pynori_core.output cimport output_append, output_byte, output_reserve

cdef enum:
    LIST_FIRST = 64                # capacity of a list's first memory
    BITS_IDS_MIN = 1024            # ids within BLOCK_BITS_MAX from which bits are shorter than distances


# ---- lists

cdef void list_init(PostingList* list, bint with_payload) noexcept nogil:
    memset(list, 0, sizeof(PostingList))
    list.with_payload = with_payload


cdef void list_release(PostingList* list) noexcept nogil:
    free(list.ids)
    free(list.payloads)
    list_init(list, list.with_payload)


cdef bint list_reserve(PostingList* list, size_t extra) noexcept nogil:
    cdef size_t wanted = list.capacity * 2
    cdef void* memory
    if list.count + extra <= list.capacity and (list.payloads != NULL or not list.with_payload):
        return True
    if wanted < list.count + extra:
        wanted = list.count + extra
    if wanted < LIST_FIRST:
        wanted = LIST_FIRST
    memory = realloc(list.ids, wanted * 8)
    if memory == NULL:
        return False
    list.ids = <uint64_t*>memory
    if list.with_payload:
        memory = realloc(list.payloads, wanted * sizeof(Payload))
        if memory == NULL:
            return False
        list.payloads = <Payload*>memory
    list.capacity = wanted
    return True


cdef int list_merge(const PostingList* old, const PostingChange* changes, size_t count,
                    PostingList* merged) noexcept nogil:
    cdef size_t i = 0
    cdef size_t j = 0
    cdef bint from_old
    merged.count = 0
    if not list_reserve(merged, old.count + count):
        return E_NO_MEMORY
    while i < old.count or j < count:
        from_old = j == count or (i < old.count and old.ids[i] < changes[j].id)
        if from_old:
            merged.ids[merged.count] = old.ids[i]
            if merged.with_payload:
                merged.payloads[merged.count] = old.payloads[i]
            merged.count += 1
            i += 1
            continue
        if i < old.count and old.ids[i] == changes[j].id:
            i += 1
        if not changes[j].removed:
            merged.ids[merged.count] = changes[j].id
            if merged.with_payload:
                merged.payloads[merged.count] = changes[j].payload
            merged.count += 1
        j += 1
    return OK


# ---- reading

cdef uint32_t block_count(const uint8_t* value, uint64_t size) noexcept nogil:
    if size == 0 or (value[0] & 127) == BLOCK_ONE:
        return 1
    return load16(value + 1) if size >= 3 else 0


cdef int block_open(uint64_t first, const uint8_t* value, uint64_t size, Block* block) noexcept nogil:
    cdef const uint8_t* end = value + size
    cdef bint with_payload
    block.first = first
    block.count = 1
    block.encoding = BLOCK_ONE
    block.ids = value
    block.ids_size = 0
    block.payload = NULL
    block.payload_size = 0
    if size == 0:
        return OK
    block.encoding = value[0] & 127
    with_payload = value[0] & BLOCK_PAYLOAD
    value += 1
    if block.encoding == BLOCK_ONE:
        if not with_payload:
            return E_CORRUPT
        block.payload = value
        block.payload_size = end - value
        return OK
    if block.encoding > BLOCK_ONE or end - value < 2:
        return E_CORRUPT
    block.count = load16(value)
    value += 2
    if block.count == 0 or block.count > BLOCK_RUN_MAX:
        return E_CORRUPT
    block.ids_size = end - value
    if with_payload:
        if end - value < 2:
            return E_CORRUPT
        block.ids_size = load16(value)
        value += 2
        if block.ids_size > <size_t>(end - value):
            return E_CORRUPT
        block.payload = value + block.ids_size
        block.payload_size = end - block.payload
    block.ids = value
    if block.encoding == BLOCK_RUN:
        return OK if block.ids_size == 0 else E_CORRUPT
    if block.encoding == BLOCK_BITS:
        return bits_checked(block)
    return OK


cdef int bits_checked(const Block* block) noexcept nogil:
    cdef uint32_t count = 0
    cdef size_t place
    if block.ids_size % 8 or block.ids_size > BLOCK_BITS_MAX // 8:
        return E_CORRUPT
    for place in range(0, block.ids_size, 8):
        count += popcount64(load64(block.ids + place))
    return OK if count == block.count else E_CORRUPT


cdef int block_decode(const Block* block, uint64_t* out) noexcept nogil:
    cdef const uint8_t* here = block.ids
    cdef const uint8_t* end = here + block.ids_size
    cdef uint64_t id = block.first
    cdef uint64_t distance, word
    cdef uint32_t index
    cdef size_t place
    if block.encoding == BLOCK_BITS:
        index = 0
        for place in range(0, block.ids_size, 8):
            word = load64(block.ids + place)
            while word:
                out[index] = id + place * 8 + <uint64_t>trailing_zeros64(word)
                index += 1
                word &= word - 1
        return OK
    if block.encoding != BLOCK_DELTAS:
        for index in range(block.count):
            out[index] = id + index
        return OK
    out[0] = id
    for index in range(1, block.count):
        if here < end and here[0] < 0x80:
            distance = here[0]
            here += 1
        elif not varint_read(&here, end, &distance):
            return E_CORRUPT
        if unlikely(distance == 0):
            return E_CORRUPT
        id += distance
        out[index] = id
    return OK if here == end else E_CORRUPT


cdef int block_ids(const Block* block, IdList* list) noexcept nogil:
    cdef int code
    if list.capacity - list.count < block.count and not ids_reserve(list, block.count):
        return E_NO_MEMORY
    code = block_decode(block, list.ids + list.count)
    if code != OK:
        return code
    if list.count and list.ids[list.count - 1] >= block.first:
        list.unsorted = True
    list.count += block.count
    return OK


cdef int block_frequencies(const Block* block, uint32_t* out) noexcept nogil:
    cdef const uint8_t* here = block.payload
    cdef const uint8_t* end = here + block.payload_size
    cdef uint64_t frequency
    cdef uint32_t index
    if here == NULL:
        for index in range(block.count):
            out[index] = 1
        return OK
    for index in range(block.count):
        if here < end and here[0] < 0x80:
            out[index] = here[0]
            here += 1
            continue
        if not varint_read(&here, end, &frequency):
            return E_CORRUPT
        out[index] = <uint32_t>frequency
    return OK


cdef inline size_t varints_size(const uint8_t* here, const uint8_t* end, uint32_t count) noexcept nogil:
    """Bytes of so many varints, or more than there are when they do not end in time."""
    cdef const uint8_t* start = here
    while count and here < end:
        count -= here[0] < 0x80
        here += 1
    return here - start if count == 0 else (end - start) + 1


cdef int block_list(const Block* block, PostingList* list) noexcept nogil:
    cdef const uint8_t* here = block.payload
    cdef const uint8_t* positions
    cdef const uint8_t* end = here + block.payload_size
    cdef uint64_t frequency
    cdef uint32_t index
    cdef uint32_t kept
    cdef size_t size
    cdef Payload* payload
    cdef int code
    if not list_reserve(list, block.count):
        return E_NO_MEMORY
    code = block_decode(block, list.ids + list.count)
    if code != OK:
        return code
    if list.with_payload:
        if here == NULL:
            return E_CORRUPT
        positions = here + varints_size(here, end, block.count)
        for index in range(block.count):
            if positions > end or not varint_read(&here, end, &frequency):
                return E_CORRUPT
            kept = <uint32_t>(frequency if frequency < POSITIONS_MAX else POSITIONS_MAX)
            size = varints_size(positions, end, kept)
            if size > <size_t>(end - positions):
                return E_CORRUPT
            payload = &list.payloads[list.count + index]
            payload.positions = positions
            payload.size = <uint32_t>size
            payload.frequency = <uint32_t>frequency
            positions += size
    list.count += block.count
    return OK


cdef uint32_t payload_positions(const Payload* payload, uint32_t* out) noexcept nogil:
    cdef const uint8_t* here = payload.positions
    cdef const uint8_t* end = here + payload.size
    cdef uint64_t distance
    cdef uint32_t position = 0
    cdef uint32_t count = 0
    while count < POSITIONS_MAX and here < end and varint_read(&here, end, &distance):
        position += <uint32_t>distance
        out[count] = position
        count += 1
    return count


# ---- writing

cdef size_t run_length(const PostingList* list, size_t start, size_t limit) noexcept nogil:
    cdef size_t end = list.count if list.count - start < limit else start + limit
    cdef size_t index = start + 1
    while index < end and list.ids[index] == list.ids[index - 1] + 1:
        index += 1
    return index - start


cdef size_t block_write(const PostingList* list, size_t start, bint spread, Output* out) noexcept nogil:
    """`spread`: of what does not fit into one block of distances, take half: ids may come between them later."""
    cdef size_t count, left
    if list.with_payload:
        return payload_write(list, start, spread, out)
    count = run_length(list, start, BLOCK_RUN_MAX)
    if count >= BLOCK_RUN_MIN or (count > 1 and start + count == list.count):
        head_write(out, BLOCK_RUN, count)
        return count
    count = bits_length(list, start)
    if count >= BITS_IDS_MIN:
        bits_write(list, start, count, out)
        return count
    left = list.count - start
    if left == 1:
        return 1
    count = left if left < BLOCK_IDS_MAX else BLOCK_IDS_MAX
    if spread and left > BLOCK_IDS_MAX and left < 2 * BLOCK_IDS_MAX:
        count = left // 2
    count = before_run(list, start, count)
    if count == 1:
        return 1
    head_write(out, BLOCK_DELTAS, count)
    deltas_write(list, start, count, out)
    return count


cdef size_t before_run(const PostingList* list, size_t start, size_t count) noexcept nogil:
    """Shorten a block to what stands before a run that deserves its own."""
    cdef size_t index
    cdef size_t run = 1
    cdef size_t end = start + count + BLOCK_RUN_MIN
    if end > list.count:
        end = list.count
    for index in range(start + 1, end):
        run = run + 1 if list.ids[index] == list.ids[index - 1] + 1 else 1
        if run == BLOCK_RUN_MIN and index + 1 - run < start + count:
            return index + 1 - run - start
    return count


cdef void head_write(Output* out, int encoding, size_t count) noexcept nogil:
    if output_reserve(out, 3):
        out.data[out.size] = <uint8_t>encoding
        store16(out.data + out.size + 1, <uint16_t>count)
        out.size += 3


cdef void deltas_write(const PostingList* list, size_t start, size_t count, Output* out) noexcept nogil:
    cdef size_t index
    if not output_reserve(out, count * 10):
        return
    for index in range(start + 1, start + count):
        out.size += varint_write(out.data + out.size, list.ids[index] - list.ids[index - 1])


cdef size_t bits_length(const PostingList* list, size_t start) noexcept nogil:
    """How many ids lie within BLOCK_BITS_MAX of the first."""
    cdef size_t low = start
    cdef size_t count = list.count - start
    cdef size_t half
    cdef uint64_t end = list.ids[start] + BLOCK_BITS_MAX
    if count < BITS_IDS_MIN or list.ids[start + BITS_IDS_MIN - 1] >= end:
        return 0
    while count > 0:
        half = count // 2
        if list.ids[low + half] < end:
            low += half + 1
            count -= half + 1
        else:
            count = half
    return low - start


cdef void bits_write(const PostingList* list, size_t start, size_t count, Output* out) noexcept nogil:
    cdef uint64_t first = list.ids[start]
    cdef size_t size = <size_t>((list.ids[start + count - 1] - first) // 64 + 1) * 8
    cdef uint8_t* target
    cdef uint64_t place
    cdef size_t index
    head_write(out, BLOCK_BITS, count)
    if not output_reserve(out, size):
        return
    target = out.data + out.size
    memset(target, 0, size)
    for index in range(start, start + count):
        place = list.ids[index] - first
        target[place >> 3] |= <uint8_t>(1 << (place & 7))
    out.size += size


cdef size_t payload_write(const PostingList* list, size_t start, bint spread, Output* out) noexcept nogil:
    cdef size_t end = start
    cdef size_t bytes = 0
    cdef size_t index, head, ids
    while end < list.count and end - start < BLOCK_IDS_MAX:
        bytes += list.payloads[end].size + 3
        if bytes > BLOCK_BYTES_MAX and end > start:
            break
        end += 1
    if spread and end < list.count and end - start > 1:
        end = start + (end - start + 1) // 2
    if end - start == 1:
        output_byte(out, BLOCK_ONE | BLOCK_PAYLOAD)
    else:
        head_write(out, BLOCK_DELTAS | BLOCK_PAYLOAD, end - start)
        head = out.size
        if not output_reserve(out, 2):
            return end - start
        out.size += 2
        ids = out.size
        deltas_write(list, start, end - start, out)
        if out.failure == OK:
            store16(out.data + head, <uint16_t>(out.size - ids))
    if not output_reserve(out, (end - start) * 10):
        return end - start
    for index in range(start, end):
        out.size += varint_write(out.data + out.size, list.payloads[index].frequency)
    for index in range(start, end):
        output_append(out, list.payloads[index].positions, list.payloads[index].size)
    return end - start

"""Parse include paths, walk documents along them, and keep the set of what was found."""

from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

from pynori_core.blittable cimport (
    BLITTABLE_ARRAY,
    BLITTABLE_INTEGER,
    BLITTABLE_OBJECT,
    BLITTABLE_STRING,
    BlittableValue,
    blittable_at,
    blittable_count,
    blittable_get,
    blittable_root,
    blittable_string,
)
from pynori_core.checksum cimport hash64
from pynori_core.errors cimport E_INVALID, E_NO_MEMORY, E_TOO_LARGE, OK
from pynori_core.identifier cimport ID_KEY_SIZE_MAX, ID_SIZE_MAX, identifier_key
from pynori_core.output cimport output_append, output_init, output_release

cdef enum:
    TABLE_SIZE_FIRST = 64
    NUMBER_TEXT_MAX = 24


cdef int include_parse(const uint8_t* text, size_t size, IncludePath* path) noexcept nogil:
    cdef size_t start = 0
    cdef size_t position = 0
    cdef size_t end = size
    memset(path, 0, sizeof(IncludePath))
    if size and text[size - 1] == c')':
        while position < size and text[position] != c'(':
            position += 1
        if position == size:
            return E_INVALID
        path.prefix = text + position + 1
        path.prefix_size = size - position - 2
        end = position
    position = 0
    while position <= end:
        if position == end or text[position] == c'.':
            if include_segment(path, text + start, position - start) != OK:
                return E_INVALID
            start = position + 1
        position += 1
    return OK if path.count else E_INVALID


cdef int include_segment(IncludePath* path, const uint8_t* name, size_t size) noexcept nogil:
    while size >= 2 and name[size - 2] == c'[' and name[size - 1] == c']':
        size -= 2
    if size == 0 or path.count == INCLUDE_SEGMENTS_MAX:
        return E_INVALID
    path.names[path.count] = name
    path.name_sizes[path.count] = size
    path.count += 1
    return OK


cdef void include_set_init(IncludeSet* found) noexcept nogil:
    memset(found, 0, sizeof(IncludeSet))
    output_init(&found.keys, 0)


cdef void include_set_release(IncludeSet* found) noexcept nogil:
    free(found.entries)
    free(found.table)
    output_release(&found.keys)


cdef bint set_grow(IncludeSet* found) noexcept nogil:
    """Make room for one entry more."""
    cdef uint32_t size = 2 * (found.table_mask + 1) if found.table != NULL else TABLE_SIZE_FIRST
    cdef uint32_t* table
    cdef void* entries
    cdef uint32_t index
    cdef uint32_t place
    if found.table != NULL and 2 * (found.count + 1) <= found.table_mask + 1:
        return True
    entries = realloc(found.entries, (size // 2) * sizeof(IncludeEntry))
    if entries == NULL:
        return False
    found.entries = <IncludeEntry*>entries
    table = <uint32_t*>calloc(size, sizeof(uint32_t))
    if table == NULL:
        return False
    free(found.table)
    found.table = table
    found.table_mask = size - 1
    for index in range(found.count):
        place = <uint32_t>found.entries[index].hash & found.table_mask
        while table[place]:
            place = (place + 1) & found.table_mask
        table[place] = index + 1
    return True


cdef void include_add(IncludeSet* found, const uint8_t* id, size_t size, bint is_asked) noexcept nogil:
    cdef uint8_t key[ID_KEY_SIZE_MAX]
    cdef size_t key_size
    cdef uint64_t hash
    cdef uint32_t place
    cdef IncludeEntry* entry
    if found.failure != OK or size == 0 or size > ID_SIZE_MAX:
        return  # a longer text is no document's id
    if found.count >= INCLUDE_IDS_MAX or not set_grow(found):
        found.failure = E_TOO_LARGE if found.count >= INCLUDE_IDS_MAX else E_NO_MEMORY
        return
    key_size = identifier_key(id, size, key)
    hash = hash64(key, key_size, 0)
    place = <uint32_t>hash & found.table_mask
    while found.table[place]:
        entry = &found.entries[found.table[place] - 1]
        if entry.hash == hash and entry.key_size == key_size and not memcmp(
                found.keys.data + entry.key_offset, key, key_size):
            return
        place = (place + 1) & found.table_mask
    entry = &found.entries[found.count]
    entry.hash = hash
    entry.key_offset = found.keys.size
    entry.key_size = <uint32_t>key_size
    entry.is_asked = is_asked
    output_append(&found.keys, key, key_size)
    found.failure = found.keys.failure
    found.count += 1
    found.table[place] = found.count


cdef void include_collect(IncludeSet* found, const uint8_t* body, size_t size, const IncludePath* path) noexcept nogil:
    cdef BlittableValue root
    if blittable_root(body, size, &root) == OK:
        include_walk(found, &root, path, 0)


cdef void include_walk(IncludeSet* found, const BlittableValue* value, const IncludePath* path,
                       int segment) noexcept nogil:
    """Recursion is bounded by the depth of documents: each step goes one container down."""
    cdef BlittableValue child
    cdef uint32_t index
    if value.type == BLITTABLE_ARRAY:
        for index in range(blittable_count(value)):
            if blittable_at(value, index, &child) == OK:
                include_walk(found, &child, path, segment)
    elif segment == path.count:
        include_name(found, value, path)
    elif value.type == BLITTABLE_OBJECT:
        if blittable_get(value, <const char*>path.names[segment], path.name_sizes[segment], &child) == OK:
            include_walk(found, &child, path, segment + 1)


cdef void include_name(IncludeSet* found, const BlittableValue* value, const IncludePath* path) noexcept nogil:
    """Add the id that a string or a whole number stands for."""
    cdef uint8_t id[ID_SIZE_MAX]
    cdef char number[NUMBER_TEXT_MAX]
    cdef const uint8_t* text = <const uint8_t*>number
    cdef size_t size
    if value.type == BLITTABLE_STRING:
        blittable_string(value, &text, &size)
    elif value.type == BLITTABLE_INTEGER:
        size = <size_t>snprintf(number, NUMBER_TEXT_MAX, b"%lld", <long long>value.integer)
    else:
        return
    if path.prefix_size == 0:
        include_add(found, text, size, False)
    elif path.prefix_size <= ID_SIZE_MAX and size <= ID_SIZE_MAX - path.prefix_size:
        memcpy(id, path.prefix, path.prefix_size)
        memcpy(id + path.prefix_size, text, size)
        include_add(found, id, path.prefix_size + size, False)

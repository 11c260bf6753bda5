"""The slow half of the schema: a name or shape is new, the schema is cut off, or memory is needed."""

import os

from libc.stdint cimport uint16_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from pynori_core.bits cimport load16, load32, store16, store32
from pynori_core.blittable cimport (
    BLITTABLE_BYTES_MAX, BLITTABLE_NAME_BYTES_MAX, blittable_fingerprint, blittable_varint,
)
from pynori_core.errors cimport E_JSON, E_NO_MEMORY, E_TOO_LARGE, OK


cdef enum:
    DATA_BYTES_FIRST = 4096
    NAMES_FIRST = 64
    PREFIX_BYTES_MAX = 5

# Names are hashed with a secret of the process, so that nobody can choose names that collide; nothing of it is stored.
cdef uint64_t process_seed = int.from_bytes(os.urandom(8), "little") | 1


# ---- memory ----------------------------------------------------------------------------------------------------------

cdef bint fail(Schema* schema, int code, const char* text) noexcept nogil:
    if schema.failure == OK:
        schema.failure = code
        schema.failure_text = text
    return False


cdef bint no_memory(Schema* schema) noexcept nogil:
    return fail(schema, E_NO_MEMORY, "no memory for a document")


cdef bint reserve(Schema* schema, size_t extra) noexcept nogil:
    cdef size_t wanted = schema.capacity * 2 if schema.capacity else <size_t>DATA_BYTES_FIRST
    cdef void* grown
    if schema.capacity - schema.size >= extra:
        return True
    if extra > BLITTABLE_BYTES_MAX - schema.size:
        return fail(schema, E_TOO_LARGE, "the document is larger than 64 MB")
    if wanted < schema.size + extra:
        wanted = schema.size + extra
    grown = realloc(schema.data, wanted)
    if grown == NULL:
        return no_memory(schema)
    schema.data = <uint8_t*>grown
    schema.capacity = <uint32_t>wanted
    return True


cdef bint grow_names(Schema* schema) noexcept nogil:
    """Twice the names, and an index of four slots a name, so that it stays at most half full until the next growth."""
    cdef uint32_t wanted = schema.name_capacity * 2 if schema.name_capacity else NAMES_FIRST
    cdef void* grown = realloc(schema.names, wanted * sizeof(SchemaName))
    cdef uint32_t number
    if grown == NULL:
        return no_memory(schema)
    schema.names = <SchemaName*>grown
    grown = realloc(schema.name_index, 4 * wanted * sizeof(uint32_t))
    if grown == NULL:
        return no_memory(schema)
    schema.name_index = <uint32_t*>grown
    schema.name_capacity = wanted
    schema.name_mask = 4 * wanted - 1
    memset(schema.name_index, 0, 4 * wanted * sizeof(uint32_t))
    for number in range(schema.name_count):
        enter(schema.name_index, schema.name_mask, schema.names[number].hash, number)
    return True


cdef bint schema_init(Schema* schema) noexcept nogil:
    cdef int i
    memset(schema, 0, sizeof(Schema))
    schema.hash_seed = process_seed
    schema.epoch = 1
    schema.guess = &schema.guesses[0]
    for i in range(SCHEMA_GUESSES):
        schema.guesses[i].next = &schema.guesses[0]
    return schema_begin(schema)


cdef void schema_release(Schema* schema) noexcept nogil:
    free(schema.data)
    free(schema.names)
    free(schema.name_index)
    free(schema.shapes)
    free(schema.shape_index)
    memset(schema, 0, sizeof(Schema))


cdef void give_back(Schema* schema) noexcept nogil:
    """Free what one large document has left behind."""
    free(schema.data)
    free(schema.names)
    free(schema.name_index)
    schema.data = NULL
    schema.capacity = 0
    schema.names = NULL
    schema.name_index = NULL
    schema.name_capacity = 0


cdef bint schema_begin(Schema* schema) noexcept nogil:
    schema.failure = OK
    schema.failure_text = NULL
    schema.used = 0
    if schema.size > SCHEMA_KEEP_BYTES_MAX:
        cut(schema)
        give_back(schema)
    if schema.name_capacity == 0 and not grow_names(schema):
        return False
    if schema.shapes == NULL:
        schema.shapes = <SchemaShape*>calloc(SCHEMA_SHAPES_MAX, sizeof(SchemaShape))
    if schema.shape_index == NULL:
        schema.shape_index = <uint32_t*>calloc(2 * SCHEMA_SHAPES_MAX, sizeof(uint32_t))
    if schema.shapes == NULL or schema.shape_index == NULL:
        return no_memory(schema)
    return True


# ---- the two indexes -------------------------------------------------------------------------------------------------

cdef void enter(uint32_t* index, uint32_t mask, uint32_t hash, uint32_t number) noexcept nogil:
    cdef uint32_t position = hash & mask
    while index[position] != 0:
        position = (position + 1) & mask
    index[position] = number + 1


cdef void leave(uint32_t* index, uint32_t mask, uint32_t hash, uint32_t number) noexcept nogil:
    """Take out the entry that was entered last; so no probe sequence is broken."""
    cdef uint32_t position = hash & mask
    while index[position] != number + 1:
        position = (position + 1) & mask
    index[position] = 0


cdef void cut(Schema* schema) noexcept nogil:
    """Forget what lies beyond `used`."""
    cdef uint32_t number
    if schema.size == schema.used:
        return
    schema.size = schema.used
    while schema.name_count and schema.names[schema.name_count - 1].offset >= schema.used:
        schema.name_count -= 1
        number = schema.name_count
        leave(schema.name_index, schema.name_mask, schema.names[number].hash, number)
    while schema.shape_count and schema.shapes[schema.shape_count - 1].offset >= schema.used:
        schema.shape_count -= 1
        number = schema.shape_count
        leave(schema.shape_index, 2 * SCHEMA_SHAPES_MAX - 1, schema.shapes[number].hash, number)
    schema.epoch += 1


cdef void schema_rewind(Schema* schema, uint32_t used) noexcept nogil:
    if schema.used != used:
        schema.used = used
        cut(schema)


# ---- names -----------------------------------------------------------------------------------------------------------

cdef void put_varint(Schema* schema, uint64_t value) noexcept nogil:
    """Unsigned LEB128; room must be reserved."""
    while value >= 0x80:
        schema.data[schema.size] = <uint8_t>(value | 0x80)
        schema.size += 1
        value >>= 7
    schema.data[schema.size] = <uint8_t>value
    schema.size += 1


cdef int64_t schema_add_name(Schema* schema, const uint8_t* name, size_t size, uint32_t hash) noexcept nogil:
    cdef SchemaName* added
    cdef uint32_t number
    cut(schema)
    number = schema.name_count
    if size > BLITTABLE_NAME_BYTES_MAX:
        fail(schema, E_TOO_LARGE, "a property name is longer than 65,535 bytes")
        return -1
    if not reserve(schema, size + PREFIX_BYTES_MAX):
        return -1
    if number == schema.name_capacity and not grow_names(schema):
        return -1
    added = &schema.names[number]
    added.hash = hash
    added.offset = schema.size
    added.size = <uint32_t>size
    added.mark = 0
    added.mark_slot = 0
    added.fingerprint = blittable_fingerprint(name, size)
    put_varint(schema, size)
    memcpy(schema.data + schema.size, name, size)
    schema.size += <uint32_t>size
    added.end = schema.size
    schema.used = schema.size
    schema.name_count += 1
    enter(schema.name_index, schema.name_mask, hash, number)
    return number


# ---- shapes ----------------------------------------------------------------------------------------------------------

cdef bint is_shape(const Schema* schema, const SchemaShape* shape, const BuilderSlot* slots,
                   uint32_t count) noexcept nogil:
    """Whether these slots have exactly the names of that shape, in its order."""
    cdef const uint8_t* here = schema.data + shape.offset
    cdef uint64_t head = blittable_varint(&here)
    cdef uint32_t i
    here += count
    for i in range(count):
        if head & 1:
            if load32(here + 4 * i) != schema.names[slots[i].kind >> 4].offset:
                return False
        elif load16(here + 2 * i) != schema.names[slots[i].kind >> 4].offset:
            return False
    return True


cdef int64_t drop_duplicates(Schema* schema, BuilderSlot* slots, uint32_t count, bint unique) noexcept nogil:
    """Keep one slot for each name, the last value at the first place; how many are left, or -1 with failure set."""
    cdef SchemaName* name
    cdef uint32_t i
    cdef uint32_t kept = 0
    schema.object_serial += 1
    for i in range(count):
        name = &schema.names[slots[i].kind >> 4]
        if unlikely(name.mark == schema.object_serial):
            if unique:
                fail(schema, E_JSON, "a property name is given twice in the object that ends here")
                return -1
            slots[name.mark_slot] = slots[i]
            continue
        name.mark = schema.object_serial
        name.mark_slot = kept
        slots[kept] = slots[i]
        kept += 1
    return kept


cdef bint write_shape(Schema* schema, const BuilderSlot* slots, uint32_t count) noexcept nogil:
    """Write count, fingerprints and name offsets."""
    cdef uint32_t highest = 0
    cdef uint32_t i
    cdef uint8_t* here
    cdef const SchemaName* name
    if not reserve(schema, PREFIX_BYTES_MAX + 5 * <size_t>count):
        return False
    for i in range(count):
        name = &schema.names[slots[i].kind >> 4]
        if name.offset > highest:
            highest = name.offset
    put_varint(schema, <uint64_t>count * 2 + (highest > 0xFFFF))
    here = schema.data + schema.size
    for i in range(count):
        name = &schema.names[slots[i].kind >> 4]
        here[i] = <uint8_t>name.fingerprint
        if highest > 0xFFFF:
            store32(here + count + 4 * i, name.offset)
        else:
            store16(here + count + 2 * i, <uint16_t>name.offset)
    schema.size += count * (5 if highest > 0xFFFF else 3)
    schema.used = schema.size
    return True


cdef uint32_t new_shape(Schema* schema, uint32_t hash, BuilderSlot* slots, uint32_t* count,
                        bint unique) noexcept nogil:
    """A shape that the document does not have yet. One with duplicate names removed is not shared."""
    cdef uint32_t offset
    cdef SchemaShape* added
    cdef int64_t kept = drop_duplicates(schema, slots, count[0], unique)
    cut(schema)
    offset = schema.size
    if kept < 0 or not write_shape(schema, slots, <uint32_t>kept):
        return 0
    if kept == count[0] and schema.shape_count < SCHEMA_SHAPES_MAX:
        added = &schema.shapes[schema.shape_count]
        added.hash = hash
        added.offset = offset
        added.end = schema.size
        added.count = count[0]
        enter(schema.shape_index, 2 * SCHEMA_SHAPES_MAX - 1, hash, schema.shape_count)
        schema.shape_count += 1
    count[0] = <uint32_t>kept
    return offset


cdef uint32_t schema_shape(Schema* schema, uint32_t hash, BuilderSlot* slots, uint32_t* count,
                           bint unique) noexcept nogil:
    cdef uint32_t position = hash & (2 * SCHEMA_SHAPES_MAX - 1)
    cdef SchemaShape* known
    cdef uint32_t number
    while True:
        number = schema.shape_index[position]
        if number == 0:
            break
        known = &schema.shapes[number - 1]
        if known.hash == hash and known.count == count[0] and is_shape(schema, known, slots, count[0]):
            if known.offset > schema.used:
                break
            if known.offset == schema.used:
                schema.used = known.end
            return known.offset
        position = (position + 1) & (2 * SCHEMA_SHAPES_MAX - 1)
    return new_shape(schema, hash, slots, count, unique)

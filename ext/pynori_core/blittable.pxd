"""Read a document in place: find a property or an array slot without looking at anything beside the way to it.

The bytes are described in ext/FORMAT.md, "Blittable documents". Children lie before their container and are named by
their backward distance, so a document has no cycles. Bytes that were not built here
go through `blittable_validate` once; on validated bytes every function below stays inside the document, on others
nothing is promised. Readers never write and take no locks: any number of threads may read one document.

    cdef BlittableValue root, name
    blittable_root(data, size, &root)
    if blittable_get(&root, "Name", 4, &name) == OK and name.type == BLITTABLE_STRING:
        blittable_string(&name, &text, &text_size)      # points into the document
"""

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from pynori_core.bits cimport load16, load32, load64, trailing_zeros64
from pynori_core.errors cimport ErrorDetail, E_CORRUPT, E_INVALID, E_NOT_FOUND, OK

cdef extern from "pynori_scan.h":
    uint32_t match16 "pyn_match16"(const uint8_t* bytes, uint8_t wanted) noexcept nogil
    uint32_t match_tail "pyn_match_tail"(const uint8_t* bytes, size_t size, uint8_t wanted) noexcept nogil

cdef enum:
    BLITTABLE_VERSION = 0xB1              # first byte of every document: format 1
    BLITTABLE_DEPTH_MAX = 128             # nested containers; a scalar root has depth 0
    BLITTABLE_PROPERTIES_MAX = 100000     # of one object
    BLITTABLE_NAME_BYTES_MAX = 65535      # of one property name: names are shared, so long ones would multiply
    BLITTABLE_STRING_BYTES_MAX = 33554432
    BLITTABLE_BYTES_MAX = 67108864        # of one document; offsets fit 28 bits
    BLITTABLE_BYTES_MIN = 9               # version byte, offset of the schema, root slot

# Kinds of values; the numbers are those of the format. INLINE occurs in slots only: as a value it is an INTEGER.
cdef enum BlittableType:
    BLITTABLE_NULL = 1
    BLITTABLE_FALSE = 2
    BLITTABLE_TRUE = 3
    BLITTABLE_INLINE = 4
    BLITTABLE_INTEGER = 5
    BLITTABLE_DECIMAL = 6       # mantissa and scale: 1.0 is 10 and 1, and stays 1.0
    BLITTABLE_DOUBLE = 7        # computed by us; JSON text never becomes one
    BLITTABLE_NUMBER_TEXT = 8   # a number that none of the others keeps byte for byte: 1e400, -0, 40 digits
    BLITTABLE_STRING = 9
    BLITTABLE_OBJECT = 10
    BLITTABLE_ARRAY = 11

cdef enum:
    BLITTABLE_OBJECT_WIDE = 1        # flag of an object: slots of 4 bytes, else 2
    BLITTABLE_OBJECT_FAR_SHAPE = 2   # flag of an object: shape offset of 4 bytes, else 2

cdef struct BlittableValue:
    const uint8_t* base   # first byte of the document
    uint32_t size         # of the document in bytes
    uint32_t type         # BlittableType, never INLINE
    uint32_t offset       # of the value in the document; 0: null, boolean, inline integer, empty string or container
    int64_t integer       # the number itself when type is INTEGER, else 0

# Check bytes that come from outside; OK or E_CORRUPT with the offset of the first breach. Afterwards the document is
# safe to read, its strings are valid UTF-8, its depth and sizes are within the limits, and a walk over all of it is
# linear in size.
cdef int blittable_validate(const uint8_t* data, size_t size, ErrorDetail* error) noexcept nogil

# Equal as JSON values: objects by names in any order, numbers by what they say exactly: 1.0 equals 1 and 1.00.
# Both sides validated.
cdef bint blittable_equal(const BlittableValue* left, const BlittableValue* right) noexcept nogil

# The value as a double, correctly rounded; beyond double's range +-infinity. E_INVALID when it is no number.
cdef int blittable_double(const BlittableValue* value, double* out) noexcept nogil

# Python objects around the bytes: `owner` is kept alive; the bytes must be valid and must not move while it lives.
cdef object document_wrap(const uint8_t* data, size_t size, object owner)
cdef int document_view(object document, BlittableValue* out) except -1   # TypeError when it is no Document


# ---- the bytes, for builder and reader -------------------------------------------------------------------------------

cdef inline uint64_t blittable_varint(const uint8_t** position) noexcept nogil:
    """Read an unsigned LEB128 number of at most 10 bytes and move on."""
    cdef const uint8_t* here = position[0]
    cdef uint64_t value = here[0]
    cdef int shift = 7
    if value < 0x80:
        position[0] = here + 1
        return value
    value &= 0x7F
    while True:
        here += 1
        value |= <uint64_t>(here[0] & 0x7F) << shift
        shift += 7
        if here[0] < 0x80 or shift > 63:
            break
    position[0] = here + 1
    return value


cdef inline int64_t blittable_unzigzag(uint64_t value) noexcept nogil:
    return <int64_t>(value >> 1) ^ -<int64_t>(value & 1)


cdef inline uint8_t blittable_fingerprint(const uint8_t* name, size_t size) noexcept nogil:
    """One byte that stands for a name in an object's table; equal names have equal ones, on every machine."""
    cdef uint64_t first
    cdef uint64_t last
    if size >= 8:
        first = load64(name)
        last = load64(name + size - 8)
    elif size >= 4:
        first = load32(name)
        last = load32(name + size - 4)
    elif size > 0:
        first = name[0]
        last = (<uint64_t>name[size >> 1] << 8) | name[size - 1]
    else:
        return 0
    return <uint8_t>(((first ^ (last * <uint64_t>0x9E3779B97F4A7C15) ^ size) * <uint64_t>0xC2B2AE3D27D4EB4F) >> 56)


# An object or array opened up: where its slots and, for an object, its names are.
cdef struct BlittableTable:
    const uint8_t* slots          # 2 or 4 bytes each
    const uint8_t* fingerprints   # one byte a property; NULL for an array
    const uint8_t* names          # 2 or 4 bytes each: offset of the name in the schema
    const uint8_t* schema         # names and shapes of the document
    uint32_t count                # properties or items
    bint wide                     # slots of 4 bytes
    bint wide_names               # name offsets of 4 bytes


cdef inline void blittable_open(const BlittableValue* container, BlittableTable* table) noexcept nogil:
    """Open a container that is not empty (offset != 0)."""
    cdef const uint8_t* here = container.base + container.offset
    cdef const uint8_t* shape
    cdef uint64_t head
    cdef uint8_t flags
    if container.type == BLITTABLE_ARRAY:
        head = blittable_varint(&here)
        table.slots = here
        table.fingerprints = NULL
        table.names = NULL
        table.schema = NULL
        table.count = <uint32_t>(head >> 1)
        table.wide = head & 1
        table.wide_names = False
        return
    table.schema = container.base + load32(container.base + container.size - 8)
    flags = here[0]
    if flags & BLITTABLE_OBJECT_FAR_SHAPE:
        shape = table.schema + load32(here + 1)
        table.slots = here + 5
    else:
        shape = table.schema + load16(here + 1)
        table.slots = here + 3
    head = blittable_varint(&shape)
    table.count = <uint32_t>(head >> 1)
    table.wide = flags & BLITTABLE_OBJECT_WIDE
    table.wide_names = head & 1
    table.fingerprints = shape
    table.names = shape + table.count


cdef inline void blittable_decode(const BlittableValue* container, uint32_t slot, bint wide, uint32_t start,
                                  BlittableValue* out) noexcept nogil:
    """Turn a slot of the container that starts at `start` into a value."""
    cdef uint32_t kind = slot & 15
    cdef uint32_t distance = slot >> 4
    cdef const uint8_t* here
    out.base = container.base
    out.size = container.size
    out.type = kind
    out.integer = 0
    out.offset = 0
    if kind >= BLITTABLE_INTEGER:
        if distance:
            out.offset = start - distance
            if kind == BLITTABLE_INTEGER:
                here = container.base + out.offset
                out.integer = blittable_unzigzag(blittable_varint(&here))
    elif kind == BLITTABLE_INLINE:
        out.type = BLITTABLE_INTEGER
        out.integer = <int32_t>slot >> 4 if wide else <int32_t>(slot << 16) >> 20


cdef inline void blittable_slot(const BlittableValue* container, const BlittableTable* table, uint32_t index,
                                BlittableValue* out) noexcept nogil:
    """The value of one slot; index below table.count."""
    if table.wide:
        blittable_decode(container, load32(table.slots + 4 * <size_t>index), True, container.offset, out)
    else:
        blittable_decode(container, load16(table.slots + 2 * <size_t>index), False, container.offset, out)


cdef inline const uint8_t* blittable_name(const BlittableTable* table, uint32_t index, size_t* size) noexcept nogil:
    """The name of property `index`: UTF-8 inside the document, not terminated."""
    cdef const uint8_t* here = table.schema
    if table.wide_names:
        here += load32(table.names + 4 * <size_t>index)
    else:
        here += load16(table.names + 2 * <size_t>index)
    size[0] = <size_t>blittable_varint(&here)
    return here


cdef inline int64_t blittable_find(const BlittableValue* container, const BlittableTable* table, const uint8_t* name,
                                   size_t name_size) noexcept nogil:
    """Index of the property of that name, or -1."""
    cdef uint8_t wanted = blittable_fingerprint(name, name_size)
    cdef const uint8_t* last_block = container.base + container.size - 16
    cdef const uint8_t* found
    cdef size_t found_size = 0
    cdef uint32_t position = 0
    cdef uint32_t left
    cdef uint32_t index
    cdef uint64_t mask
    while position < table.count:
        left = table.count - position
        # Compare as integers: in a document of fewer than 16 bytes last_block lies before its first byte.
        if <size_t>last_block >= <size_t>(table.fingerprints + position):
            mask = match16(table.fingerprints + position, wanted)
            if left < 16:
                mask &= (<uint64_t>1 << left) - 1
        else:
            mask = match_tail(table.fingerprints + position, left if left < 16 else 16, wanted)
        while mask:
            index = position + trailing_zeros64(mask)
            found = blittable_name(table, index, &found_size)
            if found_size == name_size and memcmp(found, name, name_size) == 0:
                return index
            mask &= mask - 1
        position += 16
    return -1


# ---- reading ---------------------------------------------------------------------------------------------------------

# The root value of a document. E_CORRUPT when these bytes cannot be a document of this format at all.
cdef inline int blittable_root(const uint8_t* data, size_t size, BlittableValue* out) noexcept nogil:
    cdef BlittableValue document
    if size < BLITTABLE_BYTES_MIN or size > BLITTABLE_BYTES_MAX or data[0] != BLITTABLE_VERSION:
        return E_CORRUPT
    if load32(data + size - 8) > size - 8:
        return E_CORRUPT
    document.base = data
    document.size = <uint32_t>size
    blittable_decode(&document, load32(data + size - 4), True, load32(data + size - 8), out)
    return OK


# A property by name. E_NOT_FOUND when there is none or `object` is no object; out is then untouched.
cdef inline int blittable_get(const BlittableValue* object, const char* name, size_t name_size,
                              BlittableValue* out) noexcept nogil:
    cdef BlittableTable table
    cdef int64_t index
    if object.type != BLITTABLE_OBJECT or object.offset == 0:
        return E_NOT_FOUND
    blittable_open(object, &table)
    index = blittable_find(object, &table, <const uint8_t*>name, name_size)
    if index < 0:
        return E_NOT_FOUND
    blittable_slot(object, &table, <uint32_t>index, out)
    return OK


# Properties of an object or items of an array; 0 for everything else.
cdef inline uint32_t blittable_count(const BlittableValue* value) noexcept nogil:
    cdef BlittableTable table
    if value.offset == 0 or value.type < BLITTABLE_OBJECT:
        return 0
    blittable_open(value, &table)
    return table.count


# An array's item. E_NOT_FOUND when there is none or `array` is no array.
cdef inline int blittable_at(const BlittableValue* array, size_t index, BlittableValue* out) noexcept nogil:
    cdef BlittableTable table
    if array.type != BLITTABLE_ARRAY or array.offset == 0:
        return E_NOT_FOUND
    blittable_open(array, &table)
    if index >= table.count:
        return E_NOT_FOUND
    blittable_slot(array, &table, <uint32_t>index, out)
    return OK


# Property number `index` in the order of the text. For a whole walk open the table once and use _name and _slot.
cdef inline int blittable_property(const BlittableValue* object, size_t index, const uint8_t** name, size_t* name_size,
                                   BlittableValue* out) noexcept nogil:
    cdef BlittableTable table
    if object.type != BLITTABLE_OBJECT or object.offset == 0:
        return E_NOT_FOUND
    blittable_open(object, &table)
    if index >= table.count:
        return E_NOT_FOUND
    name[0] = blittable_name(&table, <uint32_t>index, name_size)
    blittable_slot(object, &table, <uint32_t>index, out)
    return OK


# The bytes of a STRING or NUMBER_TEXT, inside the document, not terminated. E_INVALID for other types.
cdef inline int blittable_string(const BlittableValue* value, const uint8_t** text, size_t* size) noexcept nogil:
    cdef const uint8_t* here
    if value.type != BLITTABLE_STRING and value.type != BLITTABLE_NUMBER_TEXT:
        return E_INVALID
    here = value.base + value.offset
    size[0] = <size_t>blittable_varint(&here) if value.offset else 0
    text[0] = here
    return OK


# Mantissa and scale (digits after the point, 1..18) of a DECIMAL. E_INVALID for other types.
cdef inline int blittable_decimal(const BlittableValue* value, int64_t* mantissa, int* scale) noexcept nogil:
    cdef const uint8_t* here
    if value.type != BLITTABLE_DECIMAL:
        return E_INVALID
    here = value.base + value.offset
    scale[0] = here[0]
    here += 1
    mantissa[0] = blittable_unzigzag(blittable_varint(&here))
    return OK


cdef inline bint blittable_is_number(const BlittableValue* value) noexcept nogil:
    return BLITTABLE_INTEGER <= value.type <= BLITTABLE_NUMBER_TEXT


cdef inline bint blittable_is_bool(const BlittableValue* value) noexcept nogil:
    return value.type == BLITTABLE_TRUE or value.type == BLITTABLE_FALSE

"""Building a blittable document: containers as they close, and the checked calls around them.

The idea: a value's bytes go into `data` at once, what its container needs to know of it waits in `slots`. When a
container closes, its slots are written behind its children, two bytes each when all of these lie within 4,095 bytes.
Names and shapes gather in the schema, which is put at the end of the document when that is finished.
"""

from libc.stdint cimport uint16_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from pynori_core.arena cimport arena_take
from pynori_core.bits cimport store16, store32, store64
from pynori_core.blittable cimport (
    BLITTABLE_ARRAY, BLITTABLE_BYTES_MAX, BLITTABLE_DECIMAL, BLITTABLE_DEPTH_MAX, BLITTABLE_DOUBLE, BLITTABLE_FALSE,
    BLITTABLE_NULL, BLITTABLE_NUMBER_TEXT, BLITTABLE_OBJECT, BLITTABLE_OBJECT_FAR_SHAPE, BLITTABLE_OBJECT_WIDE,
    BLITTABLE_PROPERTIES_MAX, BLITTABLE_STRING, BLITTABLE_STRING_BYTES_MAX, BLITTABLE_TRUE, BLITTABLE_VERSION,
    BlittableTable, blittable_decimal, blittable_get, blittable_name, blittable_open, blittable_root, blittable_slot,
    blittable_string,
)
from pynori_core.errors cimport E_INVALID, E_JSON, E_NO_MEMORY, E_TOO_LARGE, OK, error_set
from pynori_core.schema cimport name_equal, schema_begin, schema_init, schema_release, schema_rewind, schema_shape


cdef extern from "pynori_number.h":
    const int64_t DECIMAL_END "PYN_DECIMAL_END"

cdef extern from "math.h":
    bint isfinite(double value) noexcept nogil


cdef extern from *:
    """
    /* Names that the server owns in @metadata, lower case, without the @; they are dropped from what clients send. */
    static const char *const pyn_server_properties[] = {
        "id", "change-vector", "last-modified", "flags", "attachments", "counters", "timeseries", "index-score",
        "spatial", "etag", "projection"};
    enum { PYN_SERVER_PROPERTIES = sizeof pyn_server_properties / sizeof pyn_server_properties[0] };
    """
    const char* const* SERVER_PROPERTIES "pyn_server_properties"
    const int SERVER_PROPERTIES_COUNT "PYN_SERVER_PROPERTIES"


cdef enum:
    DATA_BYTES_FIRST = 4096
    SLOTS_FIRST = 256
    NARROW_DISTANCE_MAX = 4095
    FOOTER_BYTES = 8


# ---- memory ----------------------------------------------------------------------------------------------------------

cdef void builder_fail(Builder* builder, int code, const char* text) noexcept nogil:
    if builder.failure == OK:
        builder.failure = code
        builder.failure_text = text


cdef bint builder_grow(Builder* builder, size_t extra) noexcept nogil:
    cdef size_t wanted = builder.capacity * 2 if builder.capacity else <size_t>DATA_BYTES_FIRST
    cdef void* grown
    if extra > BLITTABLE_BYTES_MAX + BUILDER_SLACK_BYTES - builder.size:
        builder_fail(builder, E_TOO_LARGE, "the document is larger than 64 MB")
        return False
    if wanted < builder.size + extra:
        wanted = builder.size + extra
    if wanted > BLITTABLE_BYTES_MAX + BUILDER_SLACK_BYTES:
        wanted = BLITTABLE_BYTES_MAX + BUILDER_SLACK_BYTES
    grown = realloc(builder.data, wanted)
    if grown == NULL:
        builder_fail(builder, E_NO_MEMORY, "no memory for a document")
        return False
    builder.data = <uint8_t*>grown
    builder.capacity = wanted
    return True


cdef bint builder_grow_slots(Builder* builder) noexcept nogil:
    cdef uint32_t wanted = builder.slot_capacity * 2 if builder.slot_capacity else SLOTS_FIRST
    cdef void* grown
    # Every finished slot takes two bytes of the document at least.
    if wanted > BLITTABLE_BYTES_MAX:
        builder_fail(builder, E_TOO_LARGE, "the document is larger than 64 MB")
        return False
    grown = realloc(builder.slots, wanted * sizeof(BuilderSlot))
    if grown == NULL:
        builder_fail(builder, E_NO_MEMORY, "no memory for a document")
        return False
    builder.slots = <BuilderSlot*>grown
    builder.slot_capacity = wanted
    return True


cdef int builder_init(Builder* builder) noexcept nogil:
    memset(builder, 0, sizeof(Builder))
    if not schema_init(&builder.schema):
        return builder.schema.failure
    builder_begin(builder, 0)
    return builder.failure


cdef void builder_release(Builder* builder) noexcept nogil:
    free(builder.data)
    free(builder.slots)
    schema_release(&builder.schema)
    memset(builder, 0, sizeof(Builder))


cdef void drop_large(Builder* builder) noexcept nogil:
    """Give back what one large document has left behind."""
    if builder.capacity > BUILDER_KEEP_BYTES_MAX:
        free(builder.data)
        builder.data = NULL
        builder.capacity = 0
    if builder.slot_capacity > BUILDER_KEEP_BYTES_MAX // sizeof(BuilderSlot):
        free(builder.slots)
        builder.slots = NULL
        builder.slot_capacity = 0


cdef void builder_begin(Builder* builder, uint32_t flags) noexcept nogil:
    drop_large(builder)
    builder.failure = OK
    builder.failure_text = NULL
    builder.flags = flags
    builder.size = 0
    builder.slot_count = 0
    builder.depth = 0
    builder.name_given = False
    builder.collection = 0
    builder.collection_size = 0
    memset(&builder.frames[0], 0, sizeof(BuilderFrame))
    if not schema_begin(&builder.schema):
        builder_fail(builder, builder.schema.failure, builder.schema.failure_text)
        return
    if builder.slot_capacity == 0 and not builder_grow_slots(builder):
        return
    if not builder_reserve(builder, 64):
        return
    builder.slots[0].kind = 0
    builder.data[0] = BLITTABLE_VERSION
    builder.size = 1


cdef void builder_mark(const Builder* builder, BuilderMark* mark) noexcept nogil:
    mark.size = builder.size
    mark.schema_used = builder.schema.used
    mark.slot_count = builder.slot_count


cdef void builder_rewind(Builder* builder, const BuilderMark* mark) noexcept nogil:
    """Forget everything since the mark: bytes, names, shapes, slots. The same container must be innermost."""
    schema_rewind(&builder.schema, mark.schema_used)
    builder.size = mark.size
    builder.slot_count = mark.slot_count
    builder.slots[builder.slot_count].kind = 0


# ---- containers ------------------------------------------------------------------------------------------------------

cdef bint builder_open(Builder* builder, bint is_object) noexcept nogil:
    cdef BuilderFrame* frame
    if builder.depth >= BLITTABLE_DEPTH_MAX:
        builder_fail(builder, E_TOO_LARGE, "objects and arrays are nested deeper than 128 levels")
        return False
    builder.slot_count += 1
    if builder.slot_count >= builder.slot_capacity and not builder_grow_slots(builder):
        return False
    builder.slots[builder.slot_count].kind = 0
    builder.depth += 1
    frame = &builder.frames[builder.depth]
    frame.slot_start = builder.slot_count
    frame.data_start = <uint32_t>builder.size
    frame.shape_hash = 0
    frame.is_object = is_object
    frame.has_large = 0
    return True


cdef void write_large(Builder* builder, BuilderSlot* slots, uint32_t count) noexcept nogil:
    """Move integers that do not fit a narrow slot out of line. Room must be reserved."""
    cdef uint32_t i
    cdef int64_t value
    cdef uint32_t offset
    for i in range(count):
        value = slots[i].payload
        if (slots[i].kind & 15) == BLITTABLE_INLINE and <uint64_t>(value + 2048) >= 4096:
            offset = <uint32_t>builder.size
            builder_varint(builder, (<uint64_t>value << 1) ^ <uint64_t>(value >> 63))
            slots[i].kind = (slots[i].kind & ~<uint32_t>15) | BLITTABLE_INTEGER
            slots[i].payload = <int32_t>offset


cdef void write_slots(Builder* builder, const BuilderSlot* slots, uint32_t count, uint32_t start,
                      bint wide) noexcept nogil:
    """Write the slots of the container that starts at `start`. Room must be reserved."""
    cdef uint8_t* here = builder.data + builder.size
    cdef uint32_t i
    cdef uint32_t kind
    cdef uint32_t payload
    for i in range(count):
        kind = slots[i].kind & 15
        payload = <uint32_t>slots[i].payload
        if kind > BLITTABLE_INLINE and payload != 0:
            payload = start - payload
        if wide:
            store32(here + 4 * <size_t>i, kind | payload << 4)
        else:
            store16(here + 2 * <size_t>i, <uint16_t>(kind | payload << 4))
    builder.size += <size_t>count * (4 if wide else 2)


cdef uint32_t close_object(Builder* builder, BuilderFrame* frame, BuilderSlot* slots, uint32_t count) noexcept nogil:
    """Write an object of at least one property; its offset, or 0 with failure set."""
    cdef uint32_t shape
    cdef uint32_t start
    cdef bint wide
    cdef bint far_shape
    if count > BLITTABLE_PROPERTIES_MAX:
        builder_fail(builder, E_TOO_LARGE, "an object has more than 100,000 properties")
        return 0
    # Integers moved out of line take up to 5 bytes each, the head 5, slots 4 each.
    if not builder_reserve(builder, 16 + 9 * <size_t>count):
        return 0
    shape = schema_shape(&builder.schema, frame.shape_hash, slots, &count, builder.flags & BUILDER_UNIQUE_NAMES)
    if shape == 0:
        builder_fail(builder, builder.schema.failure, builder.schema.failure_text)
        return 0
    wide = builder.size - frame.data_start + 5 * <size_t>count * frame.has_large > NARROW_DISTANCE_MAX
    if frame.has_large and not wide:
        write_large(builder, slots, count)
    start = <uint32_t>builder.size
    far_shape = shape > 0xFFFF
    builder.data[start] = (BLITTABLE_OBJECT_WIDE if wide else 0) | (BLITTABLE_OBJECT_FAR_SHAPE if far_shape else 0)
    if far_shape:
        store32(builder.data + start + 1, shape)
        builder.size += 5
    else:
        store16(builder.data + start + 1, <uint16_t>shape)
        builder.size += 3
    write_slots(builder, slots, count, start, wide)
    return start


cdef uint32_t close_array(Builder* builder, BuilderFrame* frame, BuilderSlot* slots, uint32_t count) noexcept nogil:
    """Write an array of at least one item; its offset, or 0 with failure set."""
    cdef uint32_t start
    cdef bint wide = builder.size - frame.data_start + 5 * <size_t>count * frame.has_large > NARROW_DISTANCE_MAX
    if not builder_reserve(builder, 16 + (4 if wide else 7) * <size_t>count):
        return 0
    if frame.has_large and not wide:
        write_large(builder, slots, count)
    start = <uint32_t>builder.size
    builder_varint(builder, <uint64_t>count * 2 + wide)
    write_slots(builder, slots, count, start, wide)
    return start


cdef bint builder_close(Builder* builder) noexcept nogil:
    cdef BuilderFrame* frame = &builder.frames[builder.depth]
    cdef BuilderSlot* slots = builder.slots + frame.slot_start
    cdef uint32_t count = builder.slot_count - frame.slot_start
    cdef uint32_t start = 0
    if count:
        if frame.is_object:
            start = close_object(builder, frame, slots, count)
        else:
            start = close_array(builder, frame, slots, count)
        if start == 0:
            return False
    builder.slot_count = frame.slot_start - 1
    builder.depth -= 1
    return builder_place(builder, BLITTABLE_OBJECT if frame.is_object else BLITTABLE_ARRAY, <int32_t>start)


# ---- the checked calls -----------------------------------------------------------------------------------------------

cdef bint ready(Builder* builder) noexcept nogil:
    """Whether a value may be given here; it then takes the name that was given."""
    if builder.failure:
        return False
    if builder.depth == 0:
        if builder.slot_count == 0:
            return True
        builder_fail(builder, E_INVALID, "a document has one root value")
        return False
    if builder.frames[builder.depth].is_object != builder.name_given:
        builder_fail(builder, E_INVALID, "a value without a name in an object")
        return False
    builder.name_given = False
    return True


cdef void begin_container(Builder* builder, bint is_object) noexcept nogil:
    if ready(builder):
        builder_open(builder, is_object)


cdef void end_container(Builder* builder, bint is_object) noexcept nogil:
    if builder.failure:
        return
    if builder.depth == 0 or builder.frames[builder.depth].is_object != is_object or builder.name_given:
        builder_fail(builder, E_INVALID, "an object or array ends that is not open, or a name has no value")
        return
    builder_close(builder)


cdef void builder_object_begin(Builder* builder) noexcept nogil:
    begin_container(builder, True)


cdef void builder_object_end(Builder* builder) noexcept nogil:
    end_container(builder, True)


cdef void builder_array_begin(Builder* builder) noexcept nogil:
    begin_container(builder, False)


cdef void builder_array_end(Builder* builder) noexcept nogil:
    end_container(builder, False)


cdef void builder_name(Builder* builder, const char* name, size_t size) noexcept nogil:
    if builder.failure:
        return
    if builder.depth == 0 or not builder.frames[builder.depth].is_object or builder.name_given:
        builder_fail(builder, E_INVALID, "a name where none belongs")
        return
    if builder_place_name(builder, <const uint8_t*>name, size):
        builder.name_given = True


cdef void builder_null(Builder* builder) noexcept nogil:
    if ready(builder):
        builder_place(builder, BLITTABLE_NULL, 0)


cdef void builder_bool(Builder* builder, bint value) noexcept nogil:
    if ready(builder):
        builder_place(builder, BLITTABLE_TRUE if value else BLITTABLE_FALSE, 0)


cdef void builder_integer(Builder* builder, int64_t value) noexcept nogil:
    if ready(builder):
        builder_place_integer(builder, value)


cdef void builder_decimal(Builder* builder, int64_t mantissa, int scale) noexcept nogil:
    if not ready(builder):
        return
    if scale < 1 or scale > 18 or not -DECIMAL_END < mantissa < DECIMAL_END:
        builder_fail(builder, E_INVALID, "a decimal has 1 to 18 digits after the point and 18 in all")
        return
    builder_place_decimal(builder, mantissa, scale)


cdef void builder_double(Builder* builder, double value) noexcept nogil:
    cdef uint32_t offset = <uint32_t>builder.size
    cdef uint64_t bits
    if not ready(builder):
        return
    if not isfinite(value):
        builder_fail(builder, E_INVALID, "infinity and NaN are no JSON numbers")
        return
    if builder_reserve(builder, 8):
        memcpy(&bits, &value, 8)
        store64(builder.data + offset, bits)
        builder.size += 8
        builder_place(builder, BLITTABLE_DOUBLE, <int32_t>offset)


cdef void place_text(Builder* builder, uint32_t kind, const void* text, size_t size) noexcept nogil:
    cdef uint32_t offset = <uint32_t>builder.size
    if size > BLITTABLE_STRING_BYTES_MAX:
        builder_fail(builder, E_TOO_LARGE, "a string is longer than 32 MB")
        return
    if size == 0:
        builder_place(builder, kind, 0)
        return
    if builder_reserve(builder, size + 10):
        builder_varint(builder, size)
        memcpy(builder.data + builder.size, text, size)
        builder.size += size
        builder_place(builder, kind, <int32_t>offset)


cdef void builder_number_text(Builder* builder, const char* text, size_t size) noexcept nogil:
    if ready(builder):
        place_text(builder, BLITTABLE_NUMBER_TEXT, text, size)


cdef void builder_string(Builder* builder, const char* text, size_t size) noexcept nogil:
    if ready(builder):
        place_text(builder, BLITTABLE_STRING, text, size)


# ---- copies ----------------------------------------------------------------------------------------------------------

cdef bint builder_is_server_property(const uint8_t* name, size_t size) noexcept nogil:
    """Whether this property of @metadata belongs to the server; letter case does not count."""
    cdef int i
    cdef size_t j
    cdef const char* owned
    cdef uint8_t letter
    if size < 3 or size > 14 or name[0] != c'@':
        return False
    for i in range(SERVER_PROPERTIES_COUNT):
        owned = SERVER_PROPERTIES[i]
        j = 0
        while j < size - 1 and owned[j] != 0:
            letter = name[j + 1]
            if c'A' <= letter <= c'Z':
                letter += 32
            if letter != <uint8_t>owned[j]:
                break
            j += 1
        if j == size - 1 and owned[j] == 0:
            return True
    return False


cdef void copy_object(Builder* builder, const BlittableValue* value, int filter_level) noexcept nogil:
    """Copy an object. filter_level 2: it is a document; 1: it is a document's @metadata; 0: anything else."""
    cdef BlittableTable table
    cdef BlittableValue child
    cdef const uint8_t* name
    cdef size_t name_size = 0
    cdef uint32_t i
    builder_object_begin(builder)
    if value.offset:
        blittable_open(value, &table)
        for i in range(table.count):
            if builder.failure:
                return
            name = blittable_name(&table, i, &name_size)
            if filter_level == 1 and builder_is_server_property(name, name_size):
                continue
            blittable_slot(value, &table, i, &child)
            builder_name(builder, <const char*>name, name_size)
            if filter_level == 2 and name_size == 9 and name_equal(name, <const uint8_t*>"@metadata", 9):
                if child.type != BLITTABLE_OBJECT:
                    builder_fail(builder, E_JSON, "@metadata is no object")
                    return
                copy_object(builder, &child, 1)
            else:
                builder_value(builder, &child)
    builder_object_end(builder)


cdef void copy_array(Builder* builder, const BlittableValue* value) noexcept nogil:
    cdef BlittableTable table
    cdef BlittableValue child
    cdef uint32_t i
    builder_array_begin(builder)
    if value.offset:
        blittable_open(value, &table)
        for i in range(table.count):
            if builder.failure:
                return
            blittable_slot(value, &table, i, &child)
            builder_value(builder, &child)
    builder_array_end(builder)


cdef void builder_value(Builder* builder, const BlittableValue* value) noexcept nogil:
    cdef const uint8_t* text
    cdef size_t size
    cdef int64_t mantissa
    cdef int scale
    cdef double number
    if builder.failure:
        return
    if value.type == BLITTABLE_OBJECT:
        copy_object(builder, value, 0)
    elif value.type == BLITTABLE_ARRAY:
        copy_array(builder, value)
    elif value.type == BLITTABLE_STRING or value.type == BLITTABLE_NUMBER_TEXT:
        blittable_string(value, &text, &size)
        if ready(builder):
            place_text(builder, value.type, text, size)
    elif value.type == BLITTABLE_INTEGER:
        builder_integer(builder, value.integer)
    elif value.type == BLITTABLE_DECIMAL:
        blittable_decimal(value, &mantissa, &scale)
        builder_decimal(builder, mantissa, scale)
    elif value.type == BLITTABLE_DOUBLE:
        memcpy(&number, value.base + value.offset, 8)
        builder_double(builder, number)
    elif ready(builder):
        builder_place(builder, value.type, 0)


cdef int builder_copy(Builder* builder, const BlittableValue* value, uint32_t flags, ErrorDetail* error) noexcept nogil:
    builder_begin(builder, flags)
    if flags & BUILDER_DOCUMENT and value.type == BLITTABLE_OBJECT:
        copy_object(builder, value, 2)
    else:
        builder_value(builder, value)
    return builder_finish(builder, error)


# ---- the end ---------------------------------------------------------------------------------------------------------

cdef void find_collection(Builder* builder) noexcept nogil:
    """Remember where @metadata.@collection lies."""
    cdef BlittableValue root
    cdef BlittableValue metadata
    cdef BlittableValue collection
    cdef const uint8_t* text
    cdef size_t size
    blittable_root(builder.data, builder.size, &root)
    if blittable_get(&root, "@metadata", 9, &metadata) != OK:
        return
    if blittable_get(&metadata, "@collection", 11, &collection) != OK or collection.type != BLITTABLE_STRING:
        return
    blittable_string(&collection, &text, &size)
    if size:
        builder.collection = <uint32_t>(text - builder.data)
        builder.collection_size = <uint32_t>size


cdef void write_footer(Builder* builder) noexcept nogil:
    """Schema, its offset, root slot."""
    cdef Schema* schema = &builder.schema
    cdef uint32_t offset = <uint32_t>builder.size
    if builder.size + schema.used + FOOTER_BYTES > BLITTABLE_BYTES_MAX:
        builder_fail(builder, E_TOO_LARGE, "the document is larger than 64 MB")
    elif builder_reserve(builder, schema.used + FOOTER_BYTES):
        if schema.used:
            memcpy(builder.data + offset, schema.data, schema.used)
        builder.size += schema.used
        store32(builder.data + builder.size, offset)
        builder.size += 4
        write_slots(builder, builder.slots, 1, offset, True)


cdef int builder_finish(Builder* builder, ErrorDetail* error) noexcept nogil:
    if builder.failure == OK and (builder.depth != 0 or builder.slot_count != 1):
        builder_fail(builder, E_INVALID, "the document is not complete")
    if builder.failure == OK and builder.flags & BUILDER_DOCUMENT and (builder.slots.kind & 15) != BLITTABLE_OBJECT:
        builder_fail(builder, E_JSON, "a document must be an object")
    if builder.failure == OK:
        write_footer(builder)
    if builder.failure:
        error_set(error, builder.failure, "%s", builder.failure_text)
        return builder.failure
    if builder.flags & BUILDER_DOCUMENT:
        find_collection(builder)
    return OK


cdef const uint8_t* builder_take(Builder* builder, Arena* arena) noexcept nogil:
    cdef uint8_t* target = <uint8_t*>arena_take(arena, builder.size, 8)
    if target != NULL:
        memcpy(target, builder.data, builder.size)
    return target


cdef bint builder_collection(const Builder* builder, const uint8_t** name, size_t* size) noexcept nogil:
    if builder.collection == 0:
        return False
    name[0] = builder.data + builder.collection
    size[0] = builder.collection_size
    return True

"""Build a document: values go in as they are met, containers are written when they close, so one pass is enough.

A builder belongs to one thread at a time and keeps its memory from document to document. The finished bytes stay valid
until the next `builder_begin`; `builder_take` copies them to where they are to live.

    builder_begin(&builder, 0)
    builder_object_begin(&builder)
    builder_name(&builder, "Name", 4)
    builder_string(&builder, "Ada", 3)
    builder_object_end(&builder)
    if builder_finish(&builder, &error) != OK: ...
    builder.data, builder.size

The first failure (limit, memory, wrong order of calls) is kept in `failure`; later calls do nothing and
`builder_finish` reports it, so callers look once. A name given twice in one object: the last
value wins and keeps the first one's place.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from pynori_core.arena cimport Arena
from pynori_core.bits cimport likely, unlikely
from pynori_core.blittable cimport BLITTABLE_DECIMAL, BLITTABLE_INLINE, BLITTABLE_INTEGER, BlittableValue
from pynori_core.errors cimport ErrorDetail
from pynori_core.schema cimport BuilderSlot, Schema, hash_name, schema_name

cdef enum BuilderFlags:
    BUILDER_DOCUMENT = 2       # the root must be an object; builder_copy drops what the server owns from its @metadata
    BUILDER_UNIQUE_NAMES = 4   # a name given twice in one object is an error, not "last wins"

cdef enum:
    BUILDER_KEEP_BYTES_MAX = 4194304   # memory above this is given back when the next document begins

# One open container.
cdef struct BuilderFrame:
    uint32_t slot_start    # its first slot; the slot before it is its own, in its parent
    uint32_t data_start    # data size when it was opened: none of its children lies before
    uint32_t shape_hash    # over the name indexes so far, to find an equal shape
    uint8_t is_object
    uint8_t has_large      # an inline integer that does not fit 12 bits

cdef enum:
    BUILDER_SLACK_BYTES = 2097152   # data may grow beyond BLITTABLE_BYTES_MAX by this much while a container closes

cdef struct Builder:
    uint8_t* data            # the document; valid after builder_finish
    size_t size              # bytes of data written so far
    size_t capacity
    BuilderSlot* slots       # of all open containers, innermost last. Invariant: slot_count < slot_capacity
    uint32_t slot_count      # slots[slot_count] takes the next value
    uint32_t slot_capacity
    uint32_t depth           # open containers
    uint32_t flags           # BuilderFlags
    bint name_given          # a name waits for its value
    int failure              # ErrorCode of the first failure
    const char* failure_text  # what it was
    uint32_t collection      # offset in data of the text of @metadata.@collection, 0 when there is none
    uint32_t collection_size
    Schema schema            # names and shapes; holds addresses into itself, so a Builder must not be moved
    BuilderFrame frames[129]  # frames[1..depth] are open; [0] holds the root value

cdef int builder_init(Builder* builder) noexcept nogil              # OK or E_NO_MEMORY
cdef void builder_release(Builder* builder) noexcept nogil
cdef void builder_begin(Builder* builder, uint32_t flags) noexcept nogil

cdef void builder_object_begin(Builder* builder) noexcept nogil
cdef void builder_object_end(Builder* builder) noexcept nogil
cdef void builder_array_begin(Builder* builder) noexcept nogil
cdef void builder_array_end(Builder* builder) noexcept nogil
cdef void builder_name(Builder* builder, const char* name, size_t size) noexcept nogil     # UTF-8, before its value
cdef void builder_null(Builder* builder) noexcept nogil
cdef void builder_bool(Builder* builder, bint value) noexcept nogil
cdef void builder_integer(Builder* builder, int64_t value) noexcept nogil
cdef void builder_decimal(Builder* builder, int64_t mantissa, int scale) noexcept nogil  # |mantissa| < 1e18, 1..18
cdef void builder_double(Builder* builder, double value) noexcept nogil                    # finite; else E_INVALID
cdef void builder_number_text(Builder* builder, const char* text, size_t size) noexcept nogil   # a valid JSON number
cdef void builder_string(Builder* builder, const char* text, size_t size) noexcept nogil   # valid UTF-8
cdef void builder_value(Builder* builder, const BlittableValue* value) noexcept nogil      # a copy of any value, deep

# Write the root slot. OK, or the first failure with its reason in error.
cdef int builder_finish(Builder* builder, ErrorDetail* error) noexcept nogil

# begin + value + finish: a document of its own from a value inside another (its bytes must not be this builder's).
cdef int builder_copy(Builder* builder, const BlittableValue* value, uint32_t flags, ErrorDetail* error) noexcept nogil

# Copy the finished document into the arena: an address that stays until the arena's reset. NULL: arena limit.
cdef const uint8_t* builder_take(Builder* builder, Arena* arena) noexcept nogil

# The collection name that a finished BUILDER_DOCUMENT states in @metadata.@collection, pointing into builder.data;
# False when it states none.
cdef bint builder_collection(const Builder* builder, const uint8_t** name, size_t* size) noexcept nogil


# ---- for the JSON reader, which is the other half of building --------------------------------------------------------
# These check nothing about the order of calls.

cdef bint builder_grow(Builder* builder, size_t extra) noexcept nogil
cdef bint builder_grow_slots(Builder* builder) noexcept nogil
cdef void builder_fail(Builder* builder, int code, const char* text) noexcept nogil
cdef bint builder_open(Builder* builder, bint is_object) noexcept nogil      # False: too deep or no memory
cdef bint builder_close(Builder* builder) noexcept nogil                     # False: failure is set
cdef bint builder_is_server_property(const uint8_t* name, size_t size) noexcept nogil

# What a value dropped again must not leave behind.
cdef struct BuilderMark:
    size_t size
    uint32_t schema_used
    uint32_t slot_count

cdef void builder_mark(const Builder* builder, BuilderMark* mark) noexcept nogil
cdef void builder_rewind(Builder* builder, const BuilderMark* mark) noexcept nogil


# Room for `extra` bytes after size; False sets failure.
cdef inline bint builder_reserve(Builder* builder, size_t extra) noexcept nogil:
    if unlikely(builder.capacity - builder.size < extra):
        return builder_grow(builder, extra)
    return True


# The value of the open slot; False when the next slot cannot be had.
cdef inline bint builder_place(Builder* builder, uint32_t kind, int32_t payload) noexcept nogil:
    cdef BuilderSlot* slot = &builder.slots[builder.slot_count]
    slot.kind |= kind
    slot.payload = payload
    builder.slot_count += 1
    if unlikely(builder.slot_count >= builder.slot_capacity):
        if not builder_grow_slots(builder):
            return False
    builder.slots[builder.slot_count].kind = 0
    return True


# Unsigned LEB128; 10 bytes must be reserved.
cdef inline void builder_varint(Builder* builder, uint64_t value) noexcept nogil:
    cdef uint8_t* here = builder.data + builder.size
    while value >= 0x80:
        here[0] = <uint8_t>(value | 0x80)
        value >>= 7
        here += 1
    here[0] = <uint8_t>value
    builder.size = <size_t>(here + 1 - builder.data)


# An integer; small ones into the slot, others into data.
cdef inline bint builder_place_integer(Builder* builder, int64_t value) noexcept nogil:
    cdef uint32_t offset
    if likely(<uint64_t>(value + (1 << 27)) < (1 << 28)):
        if <uint64_t>(value + 2048) >= 4096:
            builder.frames[builder.depth].has_large = 1
        return builder_place(builder, BLITTABLE_INLINE, <int32_t>value)
    if not builder_reserve(builder, 10):
        return False
    offset = <uint32_t>builder.size
    builder_varint(builder, (<uint64_t>value << 1) ^ <uint64_t>(value >> 63))
    return builder_place(builder, BLITTABLE_INTEGER, <int32_t>offset)


# A decimal within its bounds: scale, then the mantissa.
cdef inline bint builder_place_decimal(Builder* builder, int64_t mantissa, int scale) noexcept nogil:
    cdef uint32_t offset
    if not builder_reserve(builder, 12):
        return False
    offset = <uint32_t>builder.size
    builder.data[offset] = <uint8_t>scale
    builder.size += 1
    builder_varint(builder, (<uint64_t>mantissa << 1) ^ <uint64_t>(mantissa >> 63))
    return builder_place(builder, BLITTABLE_DECIMAL, <int32_t>offset)


# Give the open slot of the innermost object a name by its number in the schema; False, with failure set, for -1.
cdef inline bint builder_set_name(Builder* builder, int64_t number) noexcept nogil:
    cdef BuilderFrame* frame = &builder.frames[builder.depth]
    if unlikely(number < 0):
        builder_fail(builder, builder.schema.failure, builder.schema.failure_text)
        return False
    builder.slots[builder.slot_count].kind = <uint32_t>number << 4
    frame.shape_hash = (frame.shape_hash ^ <uint32_t>number) * <uint32_t>0x9E3779B1 + <uint32_t>0x85EBCA77
    return True


cdef inline bint builder_place_name(Builder* builder, const uint8_t* name, size_t size) noexcept nogil:
    cdef uint32_t hash = hash_name(name, size, builder.schema.hash_seed)
    return builder_set_name(builder, schema_name(&builder.schema, name, size, hash))

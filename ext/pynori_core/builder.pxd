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
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pynori_core.arena cimport Arena
from pynori_core.blittable cimport BlittableValue, BLITTABLE_DEPTH_MAX
from pynori_core.errors cimport ErrorDetail

cdef enum BuilderFlags:
    BUILDER_DOCUMENT = 2       # the root is a document: must be an object; drop what the server owns from its @metadata
    BUILDER_UNIQUE_NAMES = 4   # a name given twice in one object is an error, not "last wins"

cdef enum:
    BUILDER_KEEP_BYTES_MAX = 4194304   # memory above this is given back when the next document begins

# One property name of the document being built.
cdef struct BuilderName:
    uint32_t hash          # seeded per process, for the index only
    uint32_t offset        # of the name's size prefix in data
    uint32_t size          # in bytes, without prefix
    uint32_t mark          # serial of the last object closed that has it: finds duplicates in one pass
    uint32_t mark_slot     # its position among that object's slots
    uint32_t fingerprint   # blittable_fingerprint

# One value whose container is still open.
cdef struct BuilderSlot:
    uint32_t kind          # BlittableType; 0 between a name and its value
    uint32_t name          # index in names; unused in arrays
    int64_t payload        # INTEGER: the number; out-of-line kinds: offset in data, 0 if empty; else 0

# One open container.
cdef struct BuilderFrame:
    uint32_t slot_start    # first slot of this container
    uint32_t data_start    # data size when it was opened: none of its children lies before
    uint32_t shape_hash    # over the name numbers so far, to find an equal shape
    bint is_object

# A shape that later objects may share.
cdef struct BuilderShape:
    uint32_t hash          # 0: empty
    uint32_t offset        # in data
    uint32_t count

cdef enum:
    BUILDER_SHAPES = 64    # remembered shapes; power of two, addressed by hash, newest wins

cdef struct Builder:
    uint8_t* data            # the document; valid after builder_finish
    size_t size              # bytes of data written so far
    size_t capacity
    BuilderSlot* slots       # of all open containers, innermost last
    uint32_t slot_count
    uint32_t slot_capacity
    BuilderName* names
    uint32_t name_count
    uint32_t name_capacity
    uint32_t* name_index     # open addressing: number in names + 1, 0 for free. Invariant: at most half full
    uint32_t name_mask       # its size - 1
    uint32_t object_serial   # number of objects closed, for BuilderName.mark
    uint32_t depth           # open containers
    uint32_t flags           # BuilderFlags
    uint32_t metadata_depth  # depth of the root's @metadata object while it is open, else 0
    uint32_t collection      # offset in data of the string value of @metadata.@collection, 0 when there is none
    int failure              # ErrorCode of the first failure
    int failure_reason       # index of its text
    uint64_t hash_seed
    BuilderShape shapes[64]
    BuilderFrame frames[129]  # frames[1..depth] are open; [0] is the root's pseudo container

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

"""JSON text to blittable and back, without Python objects and without the GIL.

The reader is strict RFC 8259 in UTF-8: no NaN, no Infinity, no comments, no byte order mark, no broken UTF-8, no
unpaired surrogate escapes, at most 128 levels. Numbers keep their text: 1.0, 0.10, 1e400 and forty digits come back as
they came.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

from pynori_core.blittable cimport BlittableValue
from pynori_core.builder cimport Builder
from pynori_core.errors cimport ErrorDetail
from pynori_core.output cimport Output

cdef enum JsonFlags:
    # Parse one value and stop after it; without it anything but white space after the value is an error.
    JSON_PREFIX = 1
    # The root must be an object; what the server owns in its @metadata is dropped: @id @change-vector @last-modified
    # @flags @attachments @counters @timeseries @index-score @spatial @etag @projection, in any letter case.
    # builder_collection then tells @metadata.@collection.
    JSON_DOCUMENT = 2
    # A property name given twice in one object is an error; without it the last value wins and keeps the first's place.
    JSON_UNIQUE_NAMES = 4

# Parse `text` into the builder (which is begun anew); the document is then builder.data, builder.size.
# consumed: bytes of text read, up to the end of the value (JSON_PREFIX) or of the text; may be NULL.
# Returns OK, E_JSON (error.offset is the byte position, error.text what was found and expected), E_TOO_LARGE or
# E_NO_MEMORY.
cdef int json_parse(Builder* builder, const uint8_t* text, size_t size, uint32_t flags, size_t* consumed,
                    ErrorDetail* error) noexcept nogil

# Append a value as JSON without white space; names in stored order. OK, or output.failure.
cdef int json_write(Output* output, const BlittableValue* value) noexcept nogil

# Append UTF-8 text as a JSON string with its quotes.
cdef void json_write_string(Output* output, const uint8_t* text, size_t size) noexcept nogil

# Append a double in the shortest form that reads back as the same; `null` for infinity and NaN, which JSON cannot say.
cdef void json_write_double(Output* output, double value) noexcept nogil

# What the server adds to a document's @metadata on the way out. Each is UTF-8 text; NULL leaves it out.
cdef struct MetadataOverlay:
    const uint8_t* id
    size_t id_size
    const uint8_t* change_vector
    size_t change_vector_size
    const uint8_t* flags             # comma separated, such as "HasRevisions, HasCounters"
    size_t flags_size
    const uint8_t* last_modified
    size_t last_modified_size
    const uint8_t* more              # JSON properties without braces, such as "@index-score":1.5,"@projection":true
    size_t more_size
    bint metadata_only               # write {"@metadata":{...}} and none of the document's own properties

# Append a document (validated bytes, root an object) with its properties in order and @metadata last: the stored
# metadata properties that the overlay does not set, then id, change vector, flags, last-modified, then `more`.
# A document without @metadata gets one. OK, E_INVALID (the root is no object) or output.failure.
cdef int json_write_document(Output* output, const uint8_t* data, size_t size,
                             const MetadataOverlay* overlay) noexcept nogil

"""A value that an expression over a document yields, and what takes such values: the seam between programs and indexes.

A program evaluates one document and calls its sink: `emit` for each value of a field, several times for an array's
items, then `end_entry` once an entry. A document may give no entry, one, or several.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t

from pynori_core.blittable cimport BlittableValue

cdef enum FieldKind:
    FIELD_MISSING = 0
    FIELD_NULL = 1
    FIELD_FALSE = 2
    FIELD_TRUE = 3
    FIELD_INTEGER = 4              # `integer`, and `number` is its nearest double
    FIELD_DOUBLE = 5               # `number`
    FIELD_STRING = 6               # `text`, `size`: UTF-8
    FIELD_OBJECT = 7               # `blittable`
    FIELD_ARRAY = 8                # `blittable`; sinks get items, never the array, but of arrays within arrays

cdef struct FieldValue:
    uint32_t kind                  # FieldKind
    int64_t integer
    double number
    const uint8_t* text            # inside the document or the evaluation's arena; good until the document is done
    size_t size
    BlittableValue blittable       # where the value came from, if from a document; else type 0

cdef struct FieldSink:
    void* context
    # Both return an ErrorCode; anything but OK ends the document's evaluation with that code.
    int (*emit)(void* context, uint32_t field, const FieldValue* value) noexcept nogil
    int (*end_entry)(void* context) noexcept nogil

"""Values while an expression is evaluated: what they are, arithmetic, comparison, dates, text.

A value is a FieldValue; beyond the kinds that an index sees there are some that live only inside an evaluation.
Integers are of 64 bits; what goes beyond becomes a double. Decimals are exact to 18 digits, then doubles. Missing and
null are one thing to every operation; missing is what a member of nothing gives, and the result of an operation on
nothing is missing too, unless a null took part. Everything an operation makes lies in the arena of its `Work`.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pynori_core.arena cimport Arena, arena_take
from pynori_core.blittable cimport (
    BLITTABLE_INTEGER,
    BLITTABLE_OBJECT,
    BLITTABLE_STRING,
    BlittableTable,
    BlittableValue,
    blittable_count,
    blittable_double,
    blittable_open,
    blittable_string,
)
from pynori_core.errors cimport ErrorDetail
from pynori_core.field_value cimport (
    FIELD_ARRAY,
    FIELD_DOUBLE,
    FIELD_FALSE,
    FIELD_INTEGER,
    FIELD_MISSING,
    FIELD_NULL,
    FIELD_OBJECT,
    FIELD_STRING,
    FIELD_TRUE,
    FieldValue,
)

cdef enum ValueKind:               # of FieldValue.kind, beyond FieldKind
    VALUE_DECIMAL = 16             # `integer` by ten to the power of -`size`; |integer| < 10**18, size 0..18
    VALUE_DATE = 17                # `integer`: ticks of 100 ns since 0001-01-01; `size` 1: known to be UTC
    VALUE_SPAN = 18                # `integer`: ticks of 100 ns between two points in time
    VALUE_LIST = 19                # `text`: `size` FieldValues
    VALUE_RECORD = 20              # as a list; `integer`: number of the RECORD node, which has the names
    VALUE_GROUP = 21               # `text`: two FieldValues, the key and the list
    VALUE_ENTRY = 22               # `text`: two FieldValues, name and value of an object's property
    VALUE_MARKED = 23              # `text`: a MarkedValue; only what emits may meet it

# A FIELD_OBJECT that is a whole document has its id in `text`, `size` and its ticks of last change in `integer`; its
# @metadata has them too, and 1 in `number`.

cdef enum MarkKind:
    MARK_BOOST = 1                 # `value` counts `number` times in rankings
    MARK_POINT = 2                 # a place: `value` is the latitude, `second` the longitude
    MARK_SHAPE = 3                 # `value` is WKT
    MARK_FIELD = 4                 # `value` belongs to the field whose name is `second`

cdef struct MarkedValue:
    uint32_t mark                  # MarkKind
    FieldValue value
    FieldValue second
    double number

cdef struct Work:                  # what operations on values take from
    Arena arena
    ErrorDetail error
    uint64_t steps_left            # an operation counts what it looks at
    uint32_t position              # of the node at work: line << 12 | column, both from 1

cdef enum:
    POSITION_COLUMN_BITS = 12

cdef enum CompareFlag:
    COMPARE_IGNORE_CASE = 1
    COMPARE_TERMS = 2              # as terms of an index: missing equals nothing, an array holds if one item does
cdef enum:
    INCOMPARABLE = 2               # an answer of value_order: neither equal nor in any order

cdef enum CastType:
    CAST_DOUBLE = 1
    CAST_DECIMAL = 2
    CAST_INTEGER = 3
    CAST_STRING = 4
    CAST_BOOL = 5
    CAST_DATE = 6
    CAST_SPAN = 7

cdef enum ArithmeticOperation:
    ARITHMETIC_ADD = 1
    ARITHMETIC_SUBTRACT = 2
    ARITHMETIC_MULTIPLY = 3
    ARITHMETIC_DIVIDE = 4
    ARITHMETIC_MODULO = 5

# ---- failures: E_EXPRESSION with the message, the place of work.position added; returns the code
cdef int work_fail(Work* work, const char* message) noexcept nogil
cdef int work_fail_kind(Work* work, const char* format, const FieldValue* value) noexcept nogil   # %s: the kind's name
cdef int work_no_memory(Work* work) noexcept nogil
cdef const char* kind_name(uint32_t kind) noexcept nogil

# ---- operations
cdef int value_arithmetic(Work* work, int operation, const FieldValue* left, const FieldValue* right,
                          FieldValue* out) noexcept nogil
cdef int value_negate(Work* work, const FieldValue* value, FieldValue* out) noexcept nogil
cdef int value_cast(Work* work, int type, const FieldValue* value, FieldValue* out) noexcept nogil
# -1, 0, 1 or INCOMPARABLE. Nothing (null, missing) equals nothing and is in no order with anything else.
cdef int value_order(Work* work, const FieldValue* left, const FieldValue* right, uint32_t flags) noexcept nogil
# For sorting: a total order, nothing first, then by kind.
cdef int value_sort_order(Work* work, const FieldValue* left, const FieldValue* right) noexcept nogil
cdef uint64_t value_hash(const FieldValue* value) noexcept nogil      # equal values of one kind have equal ones
# The text of a value as string functions see it; numbers from documents keep theirs.
cdef int value_text(Work* work, const FieldValue* value, const uint8_t** text, size_t* size) noexcept nogil
# A date out of a date or of an ISO string; False when it is none.
cdef bint value_date(const FieldValue* value, int64_t* ticks, bint* utc) noexcept nogil
cdef double value_number(const FieldValue* value) noexcept nogil      # of integers, doubles, decimals and spans
# The same value in one of the kinds of FieldKind: dates as text, spans as ticks, decimals as doubles.
cdef int value_plain(Work* work, const FieldValue* value, FieldValue* out) noexcept nogil
# Lower- or upper-cased UTF-8 in the arena.
cdef int text_case(Work* work, const uint8_t* text, size_t size, bint upper, FieldValue* out) noexcept nogil


# ---- making values

cdef inline void set_missing(FieldValue* out) noexcept nogil:
    out.kind = FIELD_MISSING
    out.blittable.type = 0


cdef inline void set_null(FieldValue* out) noexcept nogil:
    out.kind = FIELD_NULL
    out.blittable.type = 0


cdef inline void set_bool(FieldValue* out, bint value) noexcept nogil:
    out.kind = FIELD_TRUE if value else FIELD_FALSE
    out.blittable.type = 0


cdef inline void set_integer(FieldValue* out, int64_t value) noexcept nogil:
    out.kind = FIELD_INTEGER
    out.integer = value
    out.number = <double>value
    out.blittable.type = 0


cdef inline void set_double(FieldValue* out, double value) noexcept nogil:
    out.kind = FIELD_DOUBLE
    out.number = value
    out.blittable.type = 0


cdef inline void set_text(FieldValue* out, const uint8_t* text, size_t size) noexcept nogil:
    out.kind = FIELD_STRING
    out.text = text
    out.size = size
    out.blittable.type = 0


cdef inline void set_ticks(FieldValue* out, uint32_t kind, int64_t ticks, bint utc) noexcept nogil:
    out.kind = kind
    out.integer = ticks
    out.number = <double>ticks
    out.size = utc
    out.blittable.type = 0


cdef inline void set_list(FieldValue* out, uint32_t kind, FieldValue* items, size_t count) noexcept nogil:
    out.kind = kind
    out.text = <const uint8_t*>items
    out.size = count
    out.blittable.type = 0


cdef inline FieldValue* list_items(const FieldValue* value) noexcept nogil:
    return <FieldValue*>value.text


cdef inline FieldValue* take_values(Work* work, size_t count) noexcept nogil:
    return <FieldValue*>arena_take(&work.arena, count * sizeof(FieldValue), 8)


cdef inline bint is_nothing(const FieldValue* value) noexcept nogil:
    return value.kind <= FIELD_NULL


cdef inline bint is_number(const FieldValue* value) noexcept nogil:
    return value.kind == FIELD_INTEGER or value.kind == FIELD_DOUBLE or value.kind == VALUE_DECIMAL


# Kinds of FieldKind by BlittableType.
cdef extern from *:
    """
    static const unsigned char pyn_field_kinds[12] = {0, 1, 2, 3, 4, 4, 5, 5, 5, 6, 7, 8};
    """
    const uint8_t FIELD_KINDS "pyn_field_kinds"[12]


cdef inline void set_blittable(FieldValue* out, const BlittableValue* value) noexcept nogil:
    """A value where it lies in a document."""
    out.blittable = value[0]
    out.kind = FIELD_KINDS[value.type]
    if value.type == BLITTABLE_STRING:
        blittable_string(value, &out.text, &out.size)
    elif value.type == BLITTABLE_INTEGER:
        out.integer = value.integer
        out.number = <double>value.integer
    elif out.kind == FIELD_DOUBLE:
        blittable_double(value, &out.number)
    else:
        out.size = 0
        out.integer = 0
        out.number = 0


# ---- walking the items of a sequence: an array, a list, a group, or the properties of an object

cdef struct Walk:
    BlittableValue container
    BlittableTable table
    const FieldValue* items        # NULL: from the container
    size_t count
    bint entries                   # properties, as VALUE_ENTRY

# E_EXPRESSION when it is no sequence; nothing is an empty one.
cdef int walk_open(Work* work, const FieldValue* source, Walk* walk) noexcept nogil
cdef int walk_item(Work* work, const Walk* walk, size_t index, FieldValue* out) noexcept nogil

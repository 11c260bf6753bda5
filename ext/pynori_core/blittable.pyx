"""What reading needs beyond the inline functions: the check of foreign bytes, equality, doubles, the face for Python.

The check walks the document once from its root. Every value must lie wholly before its container, so there are no
cycles; the bytes of all values together may not exceed those there are, so sharing cannot multiply a reader's work.
Names and shapes are meant to be shared; they are remembered in a bit map and checked once each. Their bytes together
may not exceed the schema's either, and no two names say the same, so that a shape has each name once.
"""

import collections.abc
import decimal

from libc.math cimport isinf
from libc.stdlib cimport calloc, free, malloc, qsort
from libc.string cimport memcmp, memcpy

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8

from pynori_core.builder cimport (
    Builder, builder_array_begin, builder_array_end, builder_bool, builder_copy, builder_double, builder_finish,
    builder_init, builder_integer, builder_name, builder_null, builder_number_text, builder_object_begin,
    builder_object_end, builder_release, builder_string, builder_value,
)
from pynori_core.errors cimport E_NO_MEMORY, error_clear, error_set, raise_error
from pynori_core.json cimport json_parse, json_write
from pynori_core.output cimport Output, output_init, output_release


cdef extern from "pynori_scan.h":
    size_t utf8_valid "pyn_utf8_valid"(const uint8_t* text, size_t size) noexcept nogil

cdef extern from "pynori_number.h":
    size_t put_integer "pyn_put_integer"(int64_t value, uint8_t* target) noexcept nogil
    size_t put_decimal "pyn_put_decimal"(int64_t mantissa, int scale, uint8_t* target) noexcept nogil
    size_t put_double "pyn_put_double"(double value, uint8_t* target) noexcept nogil
    double decimal_double "pyn_decimal_double"(int64_t mantissa, int scale) noexcept nogil
    double text_double "pyn_text_double"(const uint8_t* text, size_t size, int* failed) noexcept nogil
    const int64_t DECIMAL_END "PYN_DECIMAL_END"

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


# ---- the check of foreign bytes --------------------------------------------------------------------------------------

cdef struct Check:
    const uint8_t* data
    uint32_t size
    uint32_t schema             # where names and shapes begin, and values end
    uint32_t schema_end
    uint32_t left               # bytes that values not yet seen may still take
    uint32_t schema_left        # likewise names and shapes
    uint32_t names              # how many there are
    uint8_t* names_seen         # a bit per offset in the schema: a name checked here
    uint8_t* shapes_seen        # likewise a shape
    uint8_t* names_here         # likewise a name of the shape that is being checked; empty between shapes
    ErrorDetail* error

cdef struct Name:
    const uint8_t* text
    size_t size


cdef bint breach(Check* check, uint64_t offset, const char* text) noexcept nogil:
    cdef bint first = check.error == NULL or check.error.code == OK
    error_set(check.error, E_CORRUPT, "blittable document, offset %llu: %s", <unsigned long long>offset, text)
    if check.error != NULL and first:
        check.error.offset = offset
    return False


cdef bint see(uint8_t* seen, uint32_t offset) noexcept nogil:
    """Whether this offset is seen for the first time."""
    cdef uint8_t bit = <uint8_t>(1 << (offset & 7))
    if seen[offset >> 3] & bit:
        return False
    seen[offset >> 3] |= bit
    return True


cdef bint check_varint(Check* check, uint32_t* offset, uint32_t limit, uint64_t* value) noexcept nogil:
    """An unsigned LEB128 number of at most 10 bytes that ends before limit."""
    cdef uint32_t here = offset[0]
    cdef int shift = 0
    value[0] = 0
    while here < limit and shift < 70:
        value[0] |= <uint64_t>(check.data[here] & 0x7F) << (shift if shift < 64 else 63)
        here += 1
        if check.data[here - 1] < 0x80:
            offset[0] = here
            return True
        shift += 7
    return breach(check, offset[0], "a number runs beyond its bounds")


cdef void forget(uint8_t* seen, uint32_t offset) noexcept nogil:
    seen[offset >> 3] &= <uint8_t>~(1 << (offset & 7))


cdef bint spend_schema(Check* check, uint32_t offset, uint64_t size) noexcept nogil:
    if size > check.schema_left:
        return breach(check, offset, "names and shapes lie upon each other")
    check.schema_left -= <uint32_t>size
    return True


cdef bint spend(Check* check, uint32_t offset, uint64_t size) noexcept nogil:
    """Count the bytes of one value; every byte may be counted once only."""
    if size > check.left:
        return breach(check, offset, "values lie upon each other")
    check.left -= <uint32_t>size
    return True


cdef bint check_text(Check* check, uint32_t offset, uint32_t limit, uint64_t size_max, bint is_number) noexcept nogil:
    """A size prefix and that many bytes, before limit."""
    cdef uint32_t here = offset
    cdef uint64_t size
    if not check_varint(check, &here, limit, &size):
        return False
    if size > size_max or size > limit - here:
        return breach(check, offset, "a text runs beyond its bounds")
    if is_number:
        return check_number(check, here, <uint32_t>size)
    if utf8_valid(check.data + here, size) != size:
        return breach(check, offset, "a text is not UTF-8")
    return True


cdef uint32_t skip_digits(Check* check, uint32_t here, uint32_t end) noexcept nogil:
    while here < end and c'0' <= check.data[here] <= c'9':
        here += 1
    return here


cdef bint check_number(Check* check, uint32_t start, uint32_t size) noexcept nogil:
    """JSON's grammar of numbers: what is written out as a number must be one."""
    cdef uint32_t end = start + size
    cdef uint32_t here = start
    cdef uint32_t digits
    if here < end and check.data[here] == c'-':
        here += 1
    digits = here
    here = skip_digits(check, here, end)
    if here == digits or (check.data[digits] == c'0' and here - digits > 1):
        return breach(check, start, "a number's text is no number")
    if here < end and check.data[here] == c'.':
        digits = here + 1
        here = skip_digits(check, digits, end)
        if here == digits:
            return breach(check, start, "a number's text is no number")
    if here < end and (check.data[here] | 0x20) == c'e':
        here += 1
        if here < end and (check.data[here] == c'+' or check.data[here] == c'-'):
            here += 1
        digits = here
        here = skip_digits(check, digits, end)
        if here == digits:
            return breach(check, start, "a number's text is no number")
    return True if here == end else breach(check, start, "a number's text is no number")


cdef bint check_decimal(Check* check, uint32_t offset, uint32_t limit) noexcept nogil:
    cdef uint32_t here = offset + 1
    cdef uint64_t number
    cdef int64_t mantissa
    if check.data[offset] < 1 or check.data[offset] > 18:
        return breach(check, offset, "a decimal's scale is not 1 to 18")
    if not check_varint(check, &here, limit, &number):
        return False
    mantissa = blittable_unzigzag(number)
    if not -DECIMAL_END < mantissa < DECIMAL_END:
        return breach(check, offset, "a decimal has more than 18 digits")
    return True


cdef bint check_double(Check* check, uint32_t offset, uint32_t limit) noexcept nogil:
    if limit - offset < 8:
        return breach(check, offset, "a double runs beyond its bounds")
    if (load64(check.data + offset) >> 52 & 0x7FF) == 0x7FF:
        return breach(check, offset, "a double is infinite or no number")
    return True


cdef bint check_scalar(Check* check, uint32_t kind, uint32_t offset, uint32_t limit) noexcept nogil:
    """A number or string out of line; its bytes lie in offset..limit."""
    cdef uint32_t here = offset
    cdef uint64_t number
    if kind == BLITTABLE_INTEGER:
        if not check_varint(check, &here, limit, &number):
            return False
    elif kind == BLITTABLE_DECIMAL:
        if not check_decimal(check, offset, limit):
            return False
    elif kind == BLITTABLE_DOUBLE:
        if not check_double(check, offset, limit):
            return False
    elif not check_text(check, offset, limit, BLITTABLE_STRING_BYTES_MAX, kind == BLITTABLE_NUMBER_TEXT):
        return False
    # The smallest of these take one byte; for texts the size is what counts.
    if kind == BLITTABLE_STRING or kind == BLITTABLE_NUMBER_TEXT:
        here = offset
        check_varint(check, &here, limit, &number)
        return spend(check, offset, number + 1)
    return spend(check, offset, 1)


cdef bint check_name(Check* check, uint32_t offset, uint32_t limit, uint8_t fingerprint) noexcept nogil:
    """A name in the schema, before the shape at limit that has it."""
    cdef uint32_t here = offset
    cdef uint64_t size
    if offset >= limit or offset < check.schema:
        return breach(check, limit, "a name lies outside the bytes before its shape")
    if not check_varint(check, &here, limit, &size):
        return False
    if size > limit - here:
        return breach(check, offset, "a name runs beyond its bounds")
    if not see(check.names_here, offset):
        return breach(check, offset, "a shape has a name twice")
    if see(check.names_seen, offset):
        check.names += 1
        if not check_text(check, offset, limit, BLITTABLE_NAME_BYTES_MAX, False) or \
                not spend_schema(check, offset, here - offset + size):
            return False
    if blittable_fingerprint(check.data + here, <size_t>size) != fingerprint:
        return breach(check, offset, "a fingerprint is not its name's")
    return True


cdef bint check_shape(Check* check, uint32_t offset, uint32_t* count) noexcept nogil:
    """Count, fingerprints and names of an object; offset lies in the schema."""
    cdef uint32_t here = offset
    cdef uint64_t head
    cdef uint32_t i
    cdef uint32_t name
    cdef uint32_t width
    if not check_varint(check, &here, check.schema_end, &head):
        return False
    width = 4 if head & 1 else 2
    if head >> 1 == 0 or head >> 1 > BLITTABLE_PROPERTIES_MAX or (head >> 1) * (width + 1) > check.schema_end - here:
        return breach(check, offset, "a shape runs beyond its bounds")
    count[0] = <uint32_t>(head >> 1)
    if not see(check.shapes_seen, offset):
        return True
    if not spend_schema(check, offset, here - offset + (head >> 1) * (width + 1)):
        return False
    for i in range(count[0]):
        name = shape_name(check, here, count[0], width, i)
        if name > check.size or not check_name(check, check.schema + name, offset, check.data[here + i]):
            return breach(check, offset, "a name lies outside the bytes before its shape")
    for i in range(count[0]):
        forget(check.names_here, check.schema + shape_name(check, here, count[0], width, i))
    return True


cdef inline uint32_t shape_name(Check* check, uint32_t fingerprints, uint32_t count, uint32_t width,
                                uint32_t i) noexcept nogil:
    """The offset in the schema of a shape's name."""
    cdef const uint8_t* offsets = check.data + fingerprints + count
    return load32(offsets + 4 * <size_t>i) if width == 4 else load16(offsets + 2 * <size_t>i)


cdef int compare_names(const void* left, const void* right) noexcept nogil:
    cdef const Name* one = <const Name*>left
    cdef const Name* two = <const Name*>right
    if one.size != two.size:
        return -1 if one.size < two.size else 1
    return memcmp(one.text, two.text, one.size)


cdef int check_names(Check* check) noexcept nogil:
    """No two names say the same: readers tell names apart by where they are."""
    cdef Name* names = <Name*>malloc(check.names * sizeof(Name))
    cdef const uint8_t* text
    cdef uint32_t found = 0
    cdef uint32_t offset = check.schema
    cdef int code = OK
    cdef uint32_t i
    if names == NULL:
        error_set(check.error, E_NO_MEMORY, "no memory to check a document")
        return E_NO_MEMORY
    while found < check.names:
        if check.names_seen[offset >> 3] >> (offset & 7) & 1:
            text = check.data + offset
            names[found].size = <size_t>blittable_varint(&text)
            names[found].text = text
            found += 1
        offset += 1
    qsort(names, found, sizeof(Name), compare_names)
    for i in range(1, found):
        if compare_names(&names[i - 1], &names[i]) == 0:
            breach(check, names[i].text - check.data, "a name is there twice")
            code = E_CORRUPT
            break
    free(names)
    return code


cdef bint check_object(Check* check, uint32_t offset, uint32_t limit, int depth) noexcept nogil:
    cdef uint8_t flags = check.data[offset]
    cdef uint32_t head_size = 5 if flags & BLITTABLE_OBJECT_FAR_SHAPE else 3
    cdef uint32_t shape
    cdef uint32_t count = 0
    if flags & ~(BLITTABLE_OBJECT_WIDE | BLITTABLE_OBJECT_FAR_SHAPE) or limit - offset < head_size:
        return breach(check, offset, "an object's head is broken")
    shape = load32(check.data + offset + 1) if head_size == 5 else load16(check.data + offset + 1)
    if shape >= check.schema_end - check.schema:
        return breach(check, offset, "an object's shape lies outside the schema")
    if not check_shape(check, check.schema + shape, &count):
        return False
    return check_slots(check, offset, head_size, limit, count, flags & BLITTABLE_OBJECT_WIDE, depth)


cdef bint check_array(Check* check, uint32_t offset, uint32_t limit, int depth) noexcept nogil:
    cdef uint32_t here = offset
    cdef uint64_t head
    if not check_varint(check, &here, limit, &head):
        return False
    if head >> 1 == 0 or head >> 1 > check.size:
        return breach(check, offset, "an array's count is broken")
    return check_slots(check, offset, here - offset, limit, <uint32_t>(head >> 1), head & 1, depth)


cdef bint check_slots(Check* check, uint32_t offset, uint32_t head_size, uint32_t limit, uint32_t count, bint wide,
                      int depth) noexcept nogil:
    cdef uint64_t size = <uint64_t>count * (4 if wide else 2)
    cdef const uint8_t* slots = check.data + offset + head_size
    cdef uint32_t i
    cdef uint32_t slot
    if size > limit - offset - head_size:
        return breach(check, offset, "a container runs beyond its bounds")
    if not spend(check, offset, size):
        return False
    for i in range(count):
        slot = load32(slots + 4 * <size_t>i) if wide else load16(slots + 2 * <size_t>i)
        if not check_slot(check, slot, offset, depth):
            return False
    return True


cdef bint check_slot(Check* check, uint32_t slot, uint32_t start, int depth) noexcept nogil:
    """A slot of the container that begins at start; the values of that container have this depth."""
    cdef uint32_t kind = slot & 15
    cdef uint32_t distance = slot >> 4
    cdef uint32_t offset
    if kind == BLITTABLE_INLINE:
        return True
    if kind < BLITTABLE_INLINE:
        return True if kind and not distance else breach(check, start, "a slot has no known type")
    if kind > BLITTABLE_ARRAY:
        return breach(check, start, "a slot has no known type")
    if distance == 0:
        return True if kind >= BLITTABLE_STRING else breach(check, start, "a number is empty")
    if distance >= start:
        return breach(check, start, "a value lies outside the bytes before its container")
    offset = start - distance
    if kind < BLITTABLE_OBJECT:
        return check_scalar(check, kind, offset, start)
    if depth >= BLITTABLE_DEPTH_MAX:
        return breach(check, offset, "containers are nested deeper than 128 levels")
    if kind == BLITTABLE_OBJECT:
        return check_object(check, offset, start, depth + 1)
    return check_array(check, offset, start, depth + 1)


cdef int blittable_validate(const uint8_t* data, size_t size, ErrorDetail* error) noexcept nogil:
    cdef Check check
    cdef int code
    check.data = data
    check.error = error
    check.size = 0
    if size < BLITTABLE_BYTES_MIN or size > BLITTABLE_BYTES_MAX or data[0] != BLITTABLE_VERSION:
        breach(&check, 0, "not a document of a known format, or of a size out of bounds")
        return E_CORRUPT
    check.size = <uint32_t>size
    check.schema = load32(data + size - 8)
    check.schema_end = <uint32_t>size - 8
    if check.schema < 1 or check.schema > check.schema_end:
        breach(&check, size - 8, "the schema lies outside the document")
        return E_CORRUPT
    check.left = check.schema
    check.schema_left = check.schema_end - check.schema
    check.names = 0
    check.names_seen = <uint8_t*>calloc(3, size // 8 + 1)
    if check.names_seen == NULL:
        error_set(error, E_NO_MEMORY, "no memory to check a document")
        return E_NO_MEMORY
    check.shapes_seen = check.names_seen + size // 8 + 1
    check.names_here = check.shapes_seen + size // 8 + 1
    code = OK if check_slot(&check, load32(data + size - 4), check.schema, 0) else E_CORRUPT
    if code == OK and check.names > 1:
        code = check_names(&check)
    free(check.names_seen)
    return code


# ---- numbers and equality --------------------------------------------------------------------------------------------

cdef int blittable_double(const BlittableValue* value, double* out) noexcept nogil:
    cdef const uint8_t* text
    cdef size_t size
    cdef int64_t mantissa
    cdef int scale
    cdef int failed = 0
    if value.type == BLITTABLE_INTEGER:
        out[0] = <double>value.integer
    elif value.type == BLITTABLE_DECIMAL:
        blittable_decimal(value, &mantissa, &scale)
        out[0] = decimal_double(mantissa, scale)
    elif value.type == BLITTABLE_DOUBLE:
        memcpy(out, value.base + value.offset, 8)
    elif value.type == BLITTABLE_NUMBER_TEXT:
        blittable_string(value, &text, &size)
        out[0] = text_double(text, size, &failed)
        return E_NO_MEMORY if failed else OK
    else:
        return E_INVALID
    return OK


# A number taken apart: its digits without leading and trailing zeros, times a power of ten.
cdef struct Digits:
    uint8_t small[40]           # text of a number that is not stored as text
    const uint8_t* first        # first digit that is not 0; NULL for zero
    const uint8_t* end          # behind the last digit that is not 0; a point may lie between
    int64_t exponent            # of ten, of the first digit
    bint negative


cdef int64_t read_exponent(const uint8_t* here, const uint8_t* end) noexcept nogil:
    """The exponent that begins behind an e; beyond 2^56 all are taken as equal."""
    cdef int64_t value = 0
    cdef bint negative = here[0] == c'-'
    if here[0] == c'-' or here[0] == c'+':
        here += 1
    while here < end:
        if value < <int64_t>1 << 56:
            value = value * 10 + (here[0] - c'0')
        here += 1
    return -value if negative else value


cdef void take_apart(const BlittableValue* number, Digits* digits) noexcept nogil:
    cdef const uint8_t* here = digits.small
    cdef const uint8_t* end
    cdef size_t size = 0
    cdef int64_t before_point = 0
    cdef bint after_point = False
    cdef int64_t mantissa = 0
    cdef int scale = 1
    cdef double value
    if number.type == BLITTABLE_NUMBER_TEXT:
        blittable_string(number, &here, &size)
    elif number.type == BLITTABLE_INTEGER:
        size = put_integer(number.integer, digits.small)
    elif number.type == BLITTABLE_DECIMAL:
        blittable_decimal(number, &mantissa, &scale)
        size = put_decimal(mantissa, scale, digits.small)
    else:
        memcpy(&value, number.base + number.offset, 8)
        size = put_double(value, digits.small)
    end = here + size
    digits.negative = here[0] == c'-'
    digits.first = NULL
    digits.end = NULL
    digits.exponent = 0
    here += digits.negative
    while here < end and (here[0] | 0x20) != c'e':
        if here[0] == c'.':
            after_point = True
        else:
            if not after_point:
                before_point += 1
            if here[0] != c'0':
                if digits.first == NULL:
                    digits.first = here
                digits.end = here + 1
            # The exponent counts digits between the first one that is not 0 and the point.
            if digits.first == NULL:
                if after_point:
                    digits.exponent -= 1
                else:
                    before_point -= 1
        here += 1
    digits.exponent += before_point
    if here < end:
        digits.exponent += read_exponent(here + 1, end)


cdef bint equal_numbers(const BlittableValue* left, const BlittableValue* right) noexcept nogil:
    cdef Digits one
    cdef Digits two
    cdef const uint8_t* here
    cdef const uint8_t* there
    if left.type == BLITTABLE_INTEGER and right.type == BLITTABLE_INTEGER:
        return left.integer == right.integer
    take_apart(left, &one)
    take_apart(right, &two)
    if one.first == NULL or two.first == NULL:
        return one.first == two.first
    if one.negative != two.negative or one.exponent != two.exponent:
        return False
    here = one.first
    there = two.first
    while here < one.end and there < two.end:
        here += here[0] == c'.'
        there += there[0] == c'.'
        if here[0] != there[0]:
            return False
        here += 1
        there += 1
    return here == one.end and there == two.end


cdef bint equal_objects(const BlittableValue* left, const BlittableValue* right) noexcept nogil:
    cdef BlittableTable table
    cdef BlittableTable other
    cdef BlittableValue one
    cdef BlittableValue two
    cdef const uint8_t* name
    cdef size_t size = 0
    cdef uint32_t i
    cdef int64_t found
    if left.offset == 0 or right.offset == 0:
        return left.offset == right.offset
    blittable_open(left, &table)
    blittable_open(right, &other)
    if table.count != other.count:
        return False
    for i in range(table.count):
        name = blittable_name(&table, i, &size)
        found = blittable_find(right, &other, name, size)
        if found < 0:
            return False
        blittable_slot(left, &table, i, &one)
        blittable_slot(right, &other, <uint32_t>found, &two)
        if not blittable_equal(&one, &two):
            return False
    return True


cdef bint equal_arrays(const BlittableValue* left, const BlittableValue* right) noexcept nogil:
    cdef BlittableTable table
    cdef BlittableTable other
    cdef BlittableValue one
    cdef BlittableValue two
    cdef uint32_t i
    if left.offset == 0 or right.offset == 0:
        return left.offset == right.offset
    blittable_open(left, &table)
    blittable_open(right, &other)
    if table.count != other.count:
        return False
    for i in range(table.count):
        blittable_slot(left, &table, i, &one)
        blittable_slot(right, &other, i, &two)
        if not blittable_equal(&one, &two):
            return False
    return True


cdef bint blittable_equal(const BlittableValue* left, const BlittableValue* right) noexcept nogil:
    cdef const uint8_t* text
    cdef const uint8_t* other
    cdef size_t size = 0
    cdef size_t other_size = 0
    if blittable_is_number(left) and blittable_is_number(right):
        return equal_numbers(left, right)
    if left.type != right.type:
        return False
    if left.type == BLITTABLE_OBJECT:
        return equal_objects(left, right)
    if left.type == BLITTABLE_ARRAY:
        return equal_arrays(left, right)
    if left.type == BLITTABLE_STRING:
        blittable_string(left, &text, &size)
        blittable_string(right, &other, &other_size)
        return size == other_size and memcmp(text, other, size) == 0
    return True


# ---- Python ----------------------------------------------------------------------------------------------------------

cdef enum:
    GIL_KEPT_BYTES = 65536          # smaller texts and documents are not worth giving the GIL away
    FLOAT_DIGITS_MAX = 17           # numbers of more digits become Decimal
    INTEGER_DIGITS_MAX = 4300       # integers of more digits become Decimal, as int() refuses them


cdef object number_object(const BlittableValue* value):
    """An int, a float, or a Decimal where a float would lose what is written."""
    cdef const uint8_t* text
    cdef size_t size
    cdef int64_t mantissa
    cdef int scale
    cdef double number
    cdef uint8_t small[40]
    if value.type == BLITTABLE_INTEGER:
        return value.integer
    if value.type == BLITTABLE_DECIMAL:
        blittable_decimal(value, &mantissa, &scale)
        if -DECIMAL_END // 10 < mantissa < DECIMAL_END // 10:
            return decimal_double(mantissa, scale)
        return number_text_object((<const char*>small)[:put_decimal(mantissa, scale, small)].decode("ascii"))
    if value.type == BLITTABLE_DOUBLE:
        memcpy(&number, value.base + value.offset, 8)
        return number
    blittable_string(value, &text, &size)
    return number_text_object((<const char*>text)[:size].decode("ascii"))


def number_text_object(text):
    """The value of a number that is kept as text.

    An integer becomes an int, one of more than 4,300 digits a Decimal. Anything else becomes a float if it has at most
    17 significant digits and a float holds its magnitude, else a Decimal; beyond a Decimal's range of exponents it
    becomes the float infinity or zero of its sign.
    """
    head = text.lower().partition("e")[0]
    if head == text and "." not in text and len(text) <= INTEGER_DIGITS_MAX:
        return int(text)
    digits = head.lstrip("-").replace(".", "").strip("0")
    value = float(text)
    if len(digits) <= FLOAT_DIGITS_MAX and not isinf(value) and (value != 0.0 or not digits):
        return value
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:
        return value


cdef object value_object(const BlittableValue* value, object owner):
    """A value for Python: containers stay what they are, in place, and keep the owner alive."""
    cdef const uint8_t* text
    cdef size_t size
    if value.type == BLITTABLE_STRING:
        blittable_string(value, &text, &size)
        return PyUnicode_DecodeUTF8(<const char*>text, <Py_ssize_t>size, NULL)
    if value.type == BLITTABLE_OBJECT:
        return make_document(value, owner)
    if value.type == BLITTABLE_ARRAY:
        return make_items(value, owner)
    if value.type == BLITTABLE_NULL:
        return None
    if value.type == BLITTABLE_TRUE:
        return True
    if value.type == BLITTABLE_FALSE:
        return False
    return number_object(value)


cdef object python_object(const BlittableValue* value):
    """The same with dicts and lists; recursion is bounded by BLITTABLE_DEPTH_MAX."""
    cdef BlittableTable table
    cdef BlittableValue child
    cdef const uint8_t* name
    cdef size_t size = 0
    cdef uint32_t i
    if value.type < BLITTABLE_OBJECT:
        return value_object(value, None)
    if value.type == BLITTABLE_OBJECT:
        properties = {}
        if value.offset:
            blittable_open(value, &table)
            for i in range(table.count):
                name = blittable_name(&table, i, &size)
                blittable_slot(value, &table, i, &child)
                properties[PyUnicode_DecodeUTF8(<const char*>name, <Py_ssize_t>size, NULL)] = python_object(&child)
        return properties
    items = []
    if value.offset:
        blittable_open(value, &table)
        for i in range(table.count):
            blittable_slot(value, &table, i, &child)
            items.append(python_object(&child))
    return items


cdef bytes json_bytes(const BlittableValue* value, bint ascii_only):
    cdef Output output
    cdef ErrorDetail error
    cdef int code
    output_init(&output, 0)
    output.ascii_only = ascii_only
    try:
        if value.size > GIL_KEPT_BYTES:
            with nogil:
                code = json_write(&output, value)
        else:
            code = json_write(&output, value)
        if code != OK:
            error_clear(&error)
            error_set(&error, code, "the JSON of a document is larger than 1 GiB, or there is no memory for it")
            raise_error(&error)
        return PyBytes_FromStringAndSize(<const char*>output.data, <Py_ssize_t>output.size)
    finally:
        output_release(&output)


cdef bytes copy_bytes(const BlittableValue* value, uint32_t flags):
    """A document of its own from a value."""
    cdef Builder builder
    cdef ErrorDetail error
    error_clear(&error)
    if builder_init(&builder) != OK:
        raise MemoryError
    try:
        if builder_copy(&builder, value, flags, &error) != OK:
            raise_error(&error)
        return PyBytes_FromStringAndSize(<const char*>builder.data, <Py_ssize_t>builder.size)
    finally:
        builder_release(&builder)


cdef bytes parse_bytes(object text, uint32_t flags):
    """Blittable bytes of JSON text, str or any buffer."""
    cdef Builder builder
    cdef ErrorDetail error
    cdef Py_buffer buffer
    cdef int code
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    PyObject_GetBuffer(text, &buffer, PyBUF_SIMPLE)
    try:
        if builder_init(&builder) != OK:
            raise MemoryError
        try:
            error_clear(&error)
            if buffer.len > GIL_KEPT_BYTES:
                with nogil:
                    code = json_parse(&builder, <const uint8_t*>buffer.buf, <size_t>buffer.len, flags, NULL, &error)
            else:
                code = json_parse(&builder, <const uint8_t*>buffer.buf, <size_t>buffer.len, flags, NULL, &error)
            if code != OK:
                raise_error(&error)
            return PyBytes_FromStringAndSize(<const char*>builder.data, <Py_ssize_t>builder.size)
        finally:
            builder_release(&builder)
    finally:
        PyBuffer_Release(&buffer)


cdef void build_number(Builder* builder, object number):
    """A number that is neither an int of 64 bits nor a float, as its text."""
    cdef bytes text = str(number).encode("ascii")
    builder_number_text(builder, text, <size_t>len(text))


cdef int build_text(Builder* builder, object text, bint is_name) except -1:
    cdef Py_ssize_t size
    cdef const char* start = PyUnicode_AsUTF8AndSize(text, &size)
    if is_name:
        builder_name(builder, start, <size_t>size)
    else:
        builder_string(builder, start, <size_t>size)
    return 0


cdef int build_value(Builder* builder, object value) except -1:
    """Give a Python value to the builder; what is inside a container goes in only while all went well so far."""
    if value is None:
        builder_null(builder)
    elif isinstance(value, str):
        build_text(builder, value, False)
    elif isinstance(value, bool):
        builder_bool(builder, value)
    elif isinstance(value, int):
        if -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
            builder_integer(builder, value)
        else:
            build_number(builder, value)
    elif isinstance(value, float):
        builder_double(builder, value)
    elif isinstance(value, decimal.Decimal) and value.is_finite():
        build_number(builder, value)
    elif isinstance(value, Value):
        builder_value(builder, &(<Value>value).value)
    elif isinstance(value, dict):
        builder_object_begin(builder)
        for name, child in value.items():
            if builder.failure:
                return 0
            build_text(builder, name, True)
            build_value(builder, child)
        builder_object_end(builder)
    elif isinstance(value, (list, tuple)):
        builder_array_begin(builder)
        for child in value:
            if builder.failure:
                return 0
            build_value(builder, child)
        builder_array_end(builder)
    else:
        raise TypeError(f"{type(value).__name__} has no JSON form")
    return 0


cdef bytes built_bytes(object value):
    cdef Builder builder
    cdef ErrorDetail error
    error_clear(&error)
    if builder_init(&builder) != OK:
        raise MemoryError
    try:
        build_value(&builder, value)
        if builder_finish(&builder, &error) != OK:
            raise_error(&error)
        return PyBytes_FromStringAndSize(<const char*>builder.data, <Py_ssize_t>builder.size)
    finally:
        builder_release(&builder)


cdef bytes checked_bytes(object data):
    """The bytes of a document that comes from outside, after the check."""
    cdef ErrorDetail error
    cdef bytes own = bytes(data)
    error_clear(&error)
    if blittable_validate(own, <size_t>len(own), &error) != OK:
        raise_error(&error)
    return own


cdef class Value:
    """What objects and arrays in place have in common. Several threads may read one: nothing is changed."""

    cdef BlittableValue value
    cdef object owner           # keeps the bytes alive

    def __init__(self):
        raise TypeError("use Document.from_json, Document.from_bytes or parse_json")

    def __len__(self):
        return blittable_count(&self.value)

    def to_json(self, *, bint ascii_only=False):
        """JSON text as UTF-8 bytes, without white space. ascii_only: write other characters as escapes."""
        return json_bytes(&self.value, ascii_only)

    def to_python(self):
        """dicts, lists, str, bool, None and numbers: int; float; Decimal for more than 17 digits or beyond a float."""
        return python_object(&self.value)

    def __bytes__(self):
        """Blittable bytes: those of the whole document for its root, a new document for a part of it."""
        cdef BlittableValue root
        blittable_root(self.value.base, self.value.size, &root)
        if root.offset == self.value.offset and root.type == self.value.type:
            return PyBytes_FromStringAndSize(<const char*>self.value.base, self.value.size)
        return copy_bytes(&self.value, 0)

    def __eq__(self, other):
        if isinstance(other, Value):
            return blittable_equal(&self.value, &(<Value>other).value)
        if isinstance(other, (dict, list, tuple)):
            return self.to_python() == (list(other) if isinstance(other, tuple) else other)
        return NotImplemented

    __hash__ = None

    def __repr__(self):
        return f"<{type(self).__name__} of {len(self)}>"


@cython.final
cdef class Document(Value):
    """An object in place: a mapping from names to values, in the order of the text, read when they are asked for."""

    @staticmethod
    def from_json(text, *, bint document=False, bint unique_names=False):
        """Parse JSON text (str or bytes) whose root is an object.

        document: drop what the server owns from @metadata. unique_names: refuse a name given twice in one object.
        Raises: JsonError (offset is the byte position), TooLarge.
        """
        made = wrap_root(parse_bytes(text, (2 if document else 0) | (4 if unique_names else 0)))
        if not isinstance(made, Document):
            raise TypeError("the root of this JSON text is no object; parse_json reads any value")
        return made

    @staticmethod
    def from_python(value):
        """Build a document from a dict of str, int, float, Decimal, bool, None, dict, list, tuple, Document and Items.

        Raises: TypeError for other types, InvalidArgument for NaN and infinity, TooLarge.
        """
        made = wrap_root(built_bytes(value))
        if not isinstance(made, Document):
            raise TypeError("a document is made from a dict")
        return made

    @staticmethod
    def from_bytes(data):
        """Take blittable bytes whose root is an object, after a check. Raises: CorruptError."""
        made = wrap_root(checked_bytes(data))
        if not isinstance(made, Document):
            raise TypeError("the root of this document is no object")
        return made

    def extract(self, *, bint document=False):
        """A document of its own with this object's content. document: as in from_json. Raises: JsonError, TooLarge."""
        return wrap_root(copy_bytes(&self.value, 2 if document else 0))

    cdef bint find(self, object name, BlittableValue* found) except -1:
        cdef Py_ssize_t size
        cdef const char* text
        if not isinstance(name, str):
            return False
        text = PyUnicode_AsUTF8AndSize(name, &size)
        return blittable_get(&self.value, text, <size_t>size, found) == OK

    def __getitem__(self, name):
        cdef BlittableValue found
        if not self.find(name, &found):
            raise KeyError(name)
        return value_object(&found, self.owner)

    def get(self, name, default=None):
        """The value of that name, or the default."""
        cdef BlittableValue found
        if not self.find(name, &found):
            return default
        return value_object(&found, self.owner)

    def __contains__(self, name):
        cdef BlittableValue found
        return self.find(name, &found)

    def items(self):
        """(name, value) pairs in the order of the text."""
        cdef BlittableTable table
        cdef BlittableValue child
        cdef const uint8_t* name
        cdef size_t size = 0
        cdef uint32_t i
        pairs = []
        if self.value.offset:
            blittable_open(&self.value, &table)
            for i in range(table.count):
                name = blittable_name(&table, i, &size)
                blittable_slot(&self.value, &table, i, &child)
                pairs.append((PyUnicode_DecodeUTF8(<const char*>name, <Py_ssize_t>size, NULL),
                              value_object(&child, self.owner)))
        return pairs

    def keys(self):
        """The names in the order of the text."""
        return [name for name, _ in self.items()]

    def values(self):
        """The values in the order of the text."""
        return [value for _, value in self.items()]

    def __iter__(self):
        return iter(self.keys())


@cython.final
cdef class Items(Value):
    """An array in place: a sequence whose items are read when they are asked for."""

    def __getitem__(self, index):
        cdef BlittableValue found
        cdef Py_ssize_t position
        cdef Py_ssize_t count = blittable_count(&self.value)
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(count))]
        position = index
        if position < 0:
            position += count
        if position < 0 or blittable_at(&self.value, <size_t>position, &found) != OK:
            raise IndexError(index)
        return value_object(&found, self.owner)

    def __iter__(self):
        cdef Py_ssize_t i
        for i in range(len(self)):
            yield self[i]

    def __contains__(self, item):
        return any(item == mine for mine in self)


collections.abc.Mapping.register(Document)
collections.abc.Sequence.register(Items)


cdef Document make_document(const BlittableValue* value, object owner):
    cdef Document made = Document.__new__(Document)
    made.value = value[0]
    made.owner = owner
    return made


cdef Items make_items(const BlittableValue* value, object owner):
    cdef Items made = Items.__new__(Items)
    made.value = value[0]
    made.owner = owner
    return made


cdef object wrap_root(bytes data):
    return document_wrap(data, <size_t>len(data), data)


cdef object document_wrap(const uint8_t* data, size_t size, object owner):
    cdef BlittableValue root
    if blittable_root(data, size, &root) != OK:
        raise ValueError("these bytes are no blittable document")
    return value_object(&root, owner)


cdef int document_view(object document, BlittableValue* out) except -1:
    if not isinstance(document, Value):
        raise TypeError("not a blittable object or array")
    out[0] = (<Value>document).value
    return 0


def parse_json(text, *, bint unique_names=False):
    """Parse JSON text whose root may be any value: a Document, Items, or a plain Python value."""
    return wrap_root(parse_bytes(text, 4 if unique_names else 0))


def blittable_bytes(text, *, bint document=False, bint unique_names=False):
    """The blittable bytes of JSON text; the flags are those of Document.from_json."""
    return parse_bytes(text, (2 if document else 0) | (4 if unique_names else 0))


def validate(data):
    """Check blittable bytes from outside. Raises: CorruptError with the offset of the first breach."""
    checked_bytes(data)


def double_of(text):
    """The nearest double of one JSON number, by the way every reader takes."""
    cdef bytes data = parse_bytes(text, 0)
    cdef BlittableValue root
    cdef double number
    blittable_root(data, <size_t>len(data), &root)
    if blittable_double(&root, &number) != OK:
        raise TypeError("not a number")
    return number

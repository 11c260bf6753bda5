"""Make terms of values, and values of terms."""

from cpython.bool cimport PyBool_Check
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_Check
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_Check, PyUnicode_DecodeUTF8
from libc.math cimport isnan
from libc.string cimport memcpy

from pynori_core.bits cimport load64, load64_be, store64_be
from pynori_core.checksum cimport hash128
from pynori_core.errors cimport OK
from pynori_core.field_value cimport (
    FIELD_DOUBLE,
    FIELD_FALSE,
    FIELD_INTEGER,
    FIELD_NULL,
    FIELD_OBJECT,
    FIELD_STRING,
    FIELD_TRUE,
)
from pynori_core.identifier cimport identifier_key
from pynori_core.json cimport json_write
from pynori_core.output cimport output_clear, output_reserve

cdef enum:
    ESCAPE = 1                     # 01 01 is 00, 01 02 is 01
    ESCAPED_ZERO = 1
    ESCAPED_ONE = 2
    ESCAPED_CUT = 3                # 01 03 and a hash: the text was longer
    CUT_HASH_SIZE = 16
    NUMBER_SIZE = 9
    NUMBER_EXACT_SIZE = 11
    DIRECT_TEXT_MAX = 512          # lower-cased right into the term: room for one and a half times as much

cdef extern from *:
    """
    #define PYN_EXACT_DOUBLES 9007199254740992.0
    static inline uint64_t pyn_double_bits(double d) { uint64_t v; memcpy(&v, &d, 8); return v; }
    static inline double pyn_bits_double(uint64_t v) { double d; memcpy(&d, &v, 8); return d; }
    static inline int64_t pyn_integer_distance(int64_t v, double d) { return (int64_t)((__int128)v - (__int128)d); }
    """
    const double EXACT_DOUBLES "PYN_EXACT_DOUBLES"      # all integers below this have a double of their own
    uint64_t double_bits "pyn_double_bits"(double d) noexcept nogil
    double bits_double "pyn_bits_double"(uint64_t v) noexcept nogil
    int64_t integer_distance "pyn_integer_distance"(int64_t v, double d) noexcept nogil


# ---- making

cdef size_t number_write(double number, int64_t distance, uint8_t* out) noexcept nogil:
    cdef uint64_t bits
    if number == 0:
        number = 0                 # of the two zeros one
    bits = double_bits(number)
    bits = ~bits if bits >> 63 else bits | (<uint64_t>1 << 63)
    out[0] = TERM_NUMBER
    store64_be(out + 1, bits)
    if -EXACT_DOUBLES < number < EXACT_DOUBLES:
        return NUMBER_SIZE
    distance += 0x8000
    out[9] = <uint8_t>(distance >> 8)
    out[10] = <uint8_t>distance
    return NUMBER_EXACT_SIZE


cdef size_t term_number(double number, uint8_t* out) noexcept nogil:
    if isnan(number):
        out[0] = TERM_NULL
        return 1
    return number_write(number, 0, out)


cdef size_t term_integer(int64_t integer, uint8_t* out) noexcept nogil:
    cdef double number = <double>integer
    return number_write(number, integer_distance(integer, number), out)


cdef inline bint has_escapes(const uint8_t* text, size_t size) noexcept nogil:
    """Whether some byte is 00 or 01."""
    cdef uint64_t ones = <uint64_t>0x0101010101010101
    cdef uint64_t word
    cdef size_t index = 0
    while index + 8 <= size:
        word = load64(text + index) & ~ones
        if (word - ones) & ~word & (ones << 7):
            return True
        index += 8
    while index < size:
        if text[index] < 2:
            return True
        index += 1
    return False


cdef size_t escaped_write(const uint8_t* text, size_t size, uint8_t* out) noexcept nogil:
    cdef size_t written = 0
    cdef size_t index
    for index in range(size):
        if text[index] < 2:
            out[written] = ESCAPE
            out[written + 1] = ESCAPED_ONE if text[index] else ESCAPED_ZERO
            written += 2
        else:
            out[written] = text[index]
            written += 1
    return written


cdef size_t term_string(const uint8_t* text, size_t size, bint lower, uint8_t* out, Output* scratch) noexcept nogil:
    cdef size_t written
    cdef uint64_t low = 0
    cdef uint64_t high = 0
    out[0] = TERM_STRING
    if size <= DIRECT_TEXT_MAX:
        if lower:
            written = identifier_key(text, size, out + 1)
        else:
            memcpy(out + 1, text, size)
            written = size
        if written <= TERM_TEXT_MAX and not has_escapes(out + 1, written):
            out[written + 1] = 0
            return written + 2
    if lower:
        output_clear(scratch)
        if not output_reserve(scratch, size + size // 2 + 16):
            return 0
        size = identifier_key(text, size, scratch.data)
        text = scratch.data
    if size <= TERM_TEXT_MAX:
        written = escaped_write(text, size, out + 1) + 1
        out[written] = 0
        return written + 1
    written = escaped_write(text, text_cut(text), out + 1) + 1
    out[written] = ESCAPE
    out[written + 1] = ESCAPED_CUT
    hash128(text, size, 0, &low, &high)
    memcpy(out + written + 2, &low, 8)
    memcpy(out + written + 10, &high, 8)
    out[written + 2 + CUT_HASH_SIZE] = 0
    return written + 3 + CUT_HASH_SIZE


cdef size_t text_cut(const uint8_t* text) noexcept nogil:
    """Where a text of more than TERM_TEXT_MAX bytes is cut: between two characters."""
    cdef size_t size = TERM_TEXT_MAX
    while size > TERM_TEXT_MAX - 4 and (text[size] & 0xC0) == 0x80:
        size -= 1
    return size


cdef size_t term_prefix(const uint8_t* text, size_t size, bint lower, uint8_t* out, Output* scratch) noexcept nogil:
    if size > TERM_TEXT_MAX:
        return 0
    output_clear(scratch)
    if not output_reserve(scratch, size + size // 2 + 16):
        return 0
    if lower:
        size = identifier_key(text, size, scratch.data)
        if size > TERM_TEXT_MAX:
            return 0
        text = scratch.data
    out[0] = TERM_STRING
    return escaped_write(text, size, out + 1) + 1


cdef size_t term_of_value(const FieldValue* value, bint lower, uint8_t* out, Output* scratch) noexcept nogil:
    cdef size_t size
    if value.kind == FIELD_STRING:
        return term_string(value.text, value.size, lower, out, scratch)
    if value.kind == FIELD_INTEGER:
        return term_integer(value.integer, out)
    if value.kind == FIELD_DOUBLE:
        return term_number(value.number, out)
    if value.kind == FIELD_NULL or value.kind == FIELD_FALSE or value.kind == FIELD_TRUE:
        out[0] = (TERM_NULL if value.kind == FIELD_NULL else
                  TERM_FALSE if value.kind == FIELD_FALSE else TERM_TRUE)
        return 1
    if value.kind == FIELD_OBJECT:
        output_clear(scratch)
        if json_write(scratch, &value.blittable) != OK:
            return 0
        size = scratch.size
        # The text lies in the scratch itself, behind which the lower-cased one may be put.
        return json_term(scratch, size, lower, out)
    return 0


cdef size_t json_term(Output* scratch, size_t size, bint lower, uint8_t* out) noexcept nogil:
    cdef size_t lowered = size
    cdef uint8_t* text
    if not output_reserve(scratch, size + size // 2 + 16):
        return 0
    text = scratch.data
    if lower:
        text = scratch.data + size
        lowered = identifier_key(scratch.data, size, text)
    return term_string(text, lowered, False, out, scratch)


# ---- reading

cdef size_t term_size(const uint8_t* data, size_t size) noexcept nogil:
    cdef size_t index = 1
    if size == 0:
        return 0
    if data[0] <= TERM_TRUE:
        return 1
    if data[0] == TERM_NUMBER:
        if size < NUMBER_SIZE:
            return 0
        if -EXACT_DOUBLES < term_double(data) < EXACT_DOUBLES:
            return NUMBER_SIZE
        return NUMBER_EXACT_SIZE if size >= NUMBER_EXACT_SIZE else 0
    if data[0] != TERM_STRING:
        return 0
    while index < size and index < TERM_SIZE_MAX:
        if data[index] == 0:
            return index + 1
        if data[index] == ESCAPE:
            index += 1
            if index < size and data[index] == ESCAPED_CUT:
                index += CUT_HASH_SIZE
        index += 1
    return 0


cdef double term_double(const uint8_t* term) noexcept nogil:
    cdef uint64_t bits = load64_be(term + 1)
    bits = bits & ~(<uint64_t>1 << 63) if bits >> 63 else ~bits
    return bits_double(bits)


cdef size_t term_text(const uint8_t* term, size_t size, uint8_t* out) noexcept nogil:
    cdef size_t written = 0
    cdef size_t index = 1
    while index < size and term[index]:
        if term[index] != ESCAPE:
            out[written] = term[index]
        else:
            index += 1
            if index >= size or term[index] == ESCAPED_CUT:
                break
            out[written] = 1 if term[index] == ESCAPED_ONE else 0
        written += 1
        index += 1
    return written


cdef object term_object(const uint8_t* term, size_t size):
    cdef uint8_t text[TERM_ROOM]
    cdef double number
    if term[0] == TERM_NULL:
        return None
    if term[0] == TERM_FALSE:
        return False
    if term[0] == TERM_TRUE:
        return True
    if term[0] == TERM_NUMBER:
        number = term_double(term)
        if size == NUMBER_EXACT_SIZE:
            if not -2 * 4611686018427387904.0 <= number <= 2 * 4611686018427387904.0:
                return number
            return int(number) + ((term[9] << 8) | term[10]) - 0x8000
        return int(number) if number == <double><int64_t>number else number
    size = term_text(term, size, text)
    return PyUnicode_DecodeUTF8(<const char*>text, <Py_ssize_t>size, "replace")


cdef size_t term_of_object(object value, bint lower, uint8_t* out, Output* scratch) except 0:
    cdef const char* text
    cdef Py_ssize_t size
    cdef size_t made
    cdef long long integer
    cdef int overflow = 0
    if value is None or PyBool_Check(value):
        out[0] = TERM_NULL if value is None else TERM_TRUE if value else TERM_FALSE
        return 1
    if PyLong_Check(value):
        integer = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow:
            return term_number(float_of(value), out)
        return term_integer(integer, out)
    if PyFloat_Check(value):
        return term_number(PyFloat_AS_DOUBLE(value), out)
    if not PyUnicode_Check(value):
        raise TypeError(f"a field takes None, bool, int, float or str, not {type(value).__name__}")
    text = PyUnicode_AsUTF8AndSize(value, &size)
    made = term_string(<const uint8_t*>text, <size_t>size, lower, out, scratch)
    if made == 0:
        raise MemoryError()
    return made


cdef double float_of(object value) except? -1:
    """An int beyond 64 bits as the nearest double, infinity beyond those."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")

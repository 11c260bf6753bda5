"""Arithmetic, comparison and text of expression values."""

from libc.math cimport fabs, fmod, isnan
from libc.stdint cimport INT64_MIN
from libc.stdio cimport snprintf
from libc.stdlib cimport strtod
from libc.string cimport memcmp, memcpy

from pynori_core.bits cimport compare_bytes
from pynori_core.blittable cimport (
    BLITTABLE_DECIMAL,
    BLITTABLE_NUMBER_TEXT,
    blittable_decimal,
    blittable_equal,
    blittable_name,
    blittable_slot,
)
from pynori_core.errors cimport E_EXPRESSION, OK, error_set
from pynori_core.expr_dates cimport TICKS_MAX, date_parse, span_format, span_parse
from pynori_core.json cimport json_write, json_write_double
from pynori_core.output cimport Output, output_init, output_release
from pynori_core.timestamp cimport TIMESTAMP_TEXT_SIZE, timestamp_format

cdef extern from "pynori_lower.h":
    unsigned int lower_beyond_ascii "pyn_lower"(unsigned int c) noexcept nogil

cdef extern from "Python.h":
    # Looks into a constant table; needs no interpreter lock.
    unsigned int upper_of_table "Py_UNICODE_TOUPPER"(unsigned int c) noexcept nogil

cdef extern from *:
    """
    #include <stdint.h>
    static inline int pyn_add(int64_t a, int64_t b, int64_t *r) { return __builtin_add_overflow(a, b, r); }
    static inline int pyn_subtract(int64_t a, int64_t b, int64_t *r) { return __builtin_sub_overflow(a, b, r); }
    static inline int pyn_multiply(int64_t a, int64_t b, int64_t *r) { return __builtin_mul_overflow(a, b, r); }

    #define PYN_DECIMAL_LIMIT 1000000000000000000LL      /* mantissas stay below */
    static const int64_t pyn_powers[19] = {
        1LL, 10LL, 100LL, 1000LL, 10000LL, 100000LL, 1000000LL, 10000000LL, 100000000LL, 1000000000LL, 10000000000LL,
        100000000000LL, 1000000000000LL, 10000000000000LL, 100000000000000LL, 1000000000000000LL, 10000000000000000LL,
        100000000000000000LL, 1000000000000000000LL};

    /* Bring a wide result into 18 digits, rounding the digits that go to even; 0 when its integer part is too long. */
    static int pyn_decimal_fit(__int128 wide, int scale, int64_t *mantissa, int *out_scale) {
        while (scale > 0 && wide % 10 == 0) { wide /= 10; scale--; }
        while (scale > 18 || wide >= PYN_DECIMAL_LIMIT || wide <= -PYN_DECIMAL_LIMIT) {
            int digit;
            if (scale == 0) return 0;
            digit = (int)(wide % 10);
            wide /= 10;
            scale--;
            if (digit > 5 || (digit == 5 && (wide & 1))) wide++;
            else if (digit < -5 || (digit == -5 && (wide & 1))) wide--;
        }
        *mantissa = (int64_t)wide;
        *out_scale = scale;
        return 1;
    }
    /* operation: 1 add, 2 subtract, 3 multiply, 4 divide, 5 remainder; 0 when 18 digits do not hold the result. */
    static int pyn_decimal(int operation, int64_t a, int a_scale, int64_t b, int b_scale, int64_t *mantissa,
                           int *scale) {
        __int128 x = a, y = b;
        int shift;
        if (operation == 3) return pyn_decimal_fit(x * y, a_scale + b_scale, mantissa, scale);
        if (operation == 4) {
            x *= pyn_powers[18];
            shift = a_scale + 18 - b_scale;
            x /= y;
            while (shift < 0) { x *= 10; shift++; }
            return pyn_decimal_fit(x, shift, mantissa, scale);
        }
        if (a_scale < b_scale) { x *= pyn_powers[b_scale - a_scale]; a_scale = b_scale; }
        else { y *= pyn_powers[a_scale - b_scale]; }
        x = operation == 1 ? x + y : operation == 2 ? x - y : x % y;
        return pyn_decimal_fit(x, a_scale, mantissa, scale);
    }
    static int pyn_decimal_order(int64_t a, int a_scale, int64_t b, int b_scale) {
        __int128 x = a, y = b;
        if (a_scale < b_scale) x *= pyn_powers[b_scale - a_scale];
        else y *= pyn_powers[a_scale - b_scale];
        return (x > y) - (x < y);
    }
    static inline double pyn_decimal_double(int64_t mantissa, int scale) {
        char text[32];
        if (mantissa < (1LL << 53) && mantissa > -(1LL << 53)) return (double)mantissa / (double)pyn_powers[scale];
        snprintf(text, sizeof text, "%llde-%d", (long long)mantissa, scale);
        return strtod(text, NULL);
    }
    """
    bint add_overflow "pyn_add"(int64_t a, int64_t b, int64_t* r) noexcept nogil
    bint subtract_overflow "pyn_subtract"(int64_t a, int64_t b, int64_t* r) noexcept nogil
    bint multiply_overflow "pyn_multiply"(int64_t a, int64_t b, int64_t* r) noexcept nogil
    bint decimal_compute "pyn_decimal"(int operation, int64_t a, int a_scale, int64_t b, int b_scale,
                                       int64_t* mantissa, int* scale) noexcept nogil
    int decimal_order "pyn_decimal_order"(int64_t a, int a_scale, int64_t b, int b_scale) noexcept nogil
    double decimal_double "pyn_decimal_double"(int64_t mantissa, int scale) noexcept nogil
    const int64_t DECIMAL_LIMIT "PYN_DECIMAL_LIMIT"

cdef enum:
    NUMBER_TEXT_MAX = 40               # of a number
    EXACT_DOUBLE_BITS = 53
    COLLECTION_DEPTH_MAX = 32          # values within values that are compared


# ---- failures

cdef int work_fail(Work* work, const char* message) noexcept nogil:
    error_set(&work.error, E_EXPRESSION, b"%s (line %u, column %u)", message, work.position >> POSITION_COLUMN_BITS,
              work.position & ((1 << POSITION_COLUMN_BITS) - 1))
    return E_EXPRESSION


cdef int work_fail_kind(Work* work, const char* format, const FieldValue* value) noexcept nogil:
    cdef char text[160]
    snprintf(text, sizeof(text), format, kind_name(value.kind))
    return work_fail(work, text)


cdef int work_no_memory(Work* work) noexcept nogil:
    return work_fail(work, b"the evaluation needs more memory than one document may take")


cdef const char* kind_name(uint32_t kind) noexcept nogil:
    if kind <= FIELD_NULL:
        return b"null"
    if kind <= FIELD_TRUE:
        return b"a boolean"
    if kind == FIELD_INTEGER or kind == FIELD_DOUBLE or kind == VALUE_DECIMAL:
        return b"a number"
    if kind == FIELD_STRING:
        return b"a string"
    if kind == FIELD_ARRAY or kind == VALUE_LIST:
        return b"an array"
    if kind == VALUE_DATE:
        return b"a date"
    if kind == VALUE_SPAN:
        return b"a time span"
    if kind == VALUE_GROUP:
        return b"a group"
    return b"an object"


# ---- numbers

cdef double value_number(const FieldValue* value) noexcept nogil:
    if value.kind == VALUE_DECIMAL:
        return decimal_double(value.integer, <int>value.size)
    if value.kind == FIELD_DOUBLE:
        return value.number
    return <double>value.integer


cdef bint as_decimal(const FieldValue* value, int64_t* mantissa, int* scale) noexcept nogil:
    """Mantissa and scale of what is exact: decimals, integers of 18 digits, numbers of documents that are decimals."""
    if value.kind == VALUE_DECIMAL:
        mantissa[0] = value.integer
        scale[0] = <int>value.size
        return True
    if value.kind == FIELD_INTEGER:
        mantissa[0] = value.integer
        scale[0] = 0
        return -DECIMAL_LIMIT < value.integer < DECIMAL_LIMIT
    if value.kind == FIELD_DOUBLE and value.blittable.type == BLITTABLE_DECIMAL:
        return blittable_decimal(&value.blittable, mantissa, scale) == OK
    return False


cdef bint to_decimal(const FieldValue* value, int64_t* mantissa, int* scale) noexcept nogil:
    """As as_decimal, and doubles by their 15 leading digits, as a cast takes them: beside a decimal they become one."""
    if as_decimal(value, mantissa, scale):
        return True
    return value.kind == FIELD_DOUBLE and double_as_decimal(value.number, mantissa, scale)


cdef void set_decimal(FieldValue* out, int64_t mantissa, int scale) noexcept nogil:
    out.kind = VALUE_DECIMAL
    out.integer = mantissa
    out.size = <size_t>scale
    out.blittable.type = 0


cdef int divide_by_zero(Work* work) noexcept nogil:
    return work_fail(work, b"Attempted to divide by zero")


cdef int integer_arithmetic(Work* work, int operation, int64_t left, int64_t right, FieldValue* out) noexcept nogil:
    cdef int64_t result = 0
    cdef bint overflow
    if operation >= ARITHMETIC_DIVIDE:
        if right == 0:
            return divide_by_zero(work)
        if right == -1:
            # The one quotient that does not fit is that of the smallest integer.
            if operation == ARITHMETIC_MODULO:
                set_integer(out, 0)
            elif left == INT64_MIN:
                set_double(out, -<double>left)
            else:
                set_integer(out, -left)
        else:
            set_integer(out, left // right if operation == ARITHMETIC_DIVIDE else left % right)
        return OK
    if operation == ARITHMETIC_ADD:
        overflow = add_overflow(left, right, &result)
    elif operation == ARITHMETIC_SUBTRACT:
        overflow = subtract_overflow(left, right, &result)
    else:
        overflow = multiply_overflow(left, right, &result)
    if overflow:
        return double_arithmetic(operation, <double>left, <double>right, out)
    set_integer(out, result)
    return OK


cdef int double_arithmetic(int operation, double left, double right, FieldValue* out) noexcept nogil:
    if operation == ARITHMETIC_ADD:
        set_double(out, left + right)
    elif operation == ARITHMETIC_SUBTRACT:
        set_double(out, left - right)
    elif operation == ARITHMETIC_MULTIPLY:
        set_double(out, left * right)
    elif operation == ARITHMETIC_DIVIDE:
        set_double(out, left / right)
    else:
        set_double(out, fmod(left, right))
    return OK


cdef int number_arithmetic(Work* work, int operation, const FieldValue* left, const FieldValue* right,
                           FieldValue* out) noexcept nogil:
    cdef int64_t left_mantissa = 0
    cdef int64_t right_mantissa = 0
    cdef int64_t mantissa = 0
    cdef int left_scale = 0
    cdef int right_scale = 0
    cdef int scale = 0
    if left.kind == FIELD_INTEGER and right.kind == FIELD_INTEGER:
        return integer_arithmetic(work, operation, left.integer, right.integer, out)
    if left.kind == VALUE_DECIMAL or right.kind == VALUE_DECIMAL:
        if operation >= ARITHMETIC_DIVIDE and value_number(right) == 0:
            return divide_by_zero(work)
        if to_decimal(left, &left_mantissa, &left_scale) and to_decimal(right, &right_mantissa, &right_scale):
            if decimal_compute(operation, left_mantissa, left_scale, right_mantissa, right_scale, &mantissa, &scale):
                set_decimal(out, mantissa, scale)
                return OK
    return double_arithmetic(operation, value_number(left), value_number(right), out)


cdef int time_arithmetic(Work* work, int operation, const FieldValue* left, const FieldValue* right,
                         FieldValue* out) noexcept nogil:
    """One side at least is a date or a span, or both are strings that should be dates."""
    cdef int64_t left_ticks = 0
    cdef int64_t right_ticks = 0
    cdef int64_t result = 0
    cdef bint left_utc = False
    cdef bint right_utc = False
    cdef bint left_date = value_date(left, &left_ticks, &left_utc)
    cdef bint right_date = value_date(right, &right_ticks, &right_utc)
    cdef double factor
    if left_date and right_date and operation == ARITHMETIC_SUBTRACT:
        set_ticks(out, VALUE_SPAN, left_ticks - right_ticks, False)
        return OK
    if left_date and right.kind == VALUE_SPAN and operation <= ARITHMETIC_SUBTRACT:
        right_ticks = right.integer if operation == ARITHMETIC_ADD else -right.integer
        if add_overflow(left_ticks, right_ticks, &result) or not 0 <= result <= TICKS_MAX:
            return work_fail(work, b"the date lies outside the years 1 to 9999")
        set_ticks(out, VALUE_DATE, result, left_utc)
        return OK
    if left.kind == VALUE_SPAN and right.kind == VALUE_SPAN:
        if operation == ARITHMETIC_DIVIDE:
            set_double(out, <double>left.integer / <double>right.integer)
            return OK
        if operation <= ARITHMETIC_SUBTRACT:
            integer_arithmetic(work, operation, left.integer, right.integer, out)
            if out.kind == FIELD_INTEGER:
                set_ticks(out, VALUE_SPAN, out.integer, False)
                return OK
    if left.kind == VALUE_SPAN and is_number(right) and ARITHMETIC_MULTIPLY <= operation <= ARITHMETIC_DIVIDE:
        double_arithmetic(operation, <double>left.integer, value_number(right), out)
        factor = out.number
        if fabs(factor) < 9.2e18:
            set_ticks(out, VALUE_SPAN, <int64_t>factor, False)
            return OK
        return work_fail(work, b"the time span is too long")
    return no_such_arithmetic(work, operation, left, right)


cdef int no_such_arithmetic(Work* work, int operation, const FieldValue* left, const FieldValue* right) noexcept nogil:
    cdef char text[160]
    cdef const char* symbols = b"?+-*/%"
    snprintf(text, sizeof(text), b"%s and %s cannot be combined by '%c'", kind_name(left.kind), kind_name(right.kind),
             <int>symbols[operation])
    return work_fail(work, text)


cdef int text_join(Work* work, const FieldValue* left, const FieldValue* right, FieldValue* out) noexcept nogil:
    cdef const uint8_t* left_text = NULL
    cdef const uint8_t* right_text = NULL
    cdef size_t left_size = 0
    cdef size_t right_size = 0
    cdef uint8_t* joined
    cdef int code = value_text(work, left, &left_text, &left_size)
    if code == OK:
        code = value_text(work, right, &right_text, &right_size)
    if code != OK:
        return code
    joined = <uint8_t*>arena_take(&work.arena, left_size + right_size, 1)
    if joined == NULL:
        return work_no_memory(work)
    if left_size:
        memcpy(joined, left_text, left_size)
    if right_size:
        memcpy(joined + left_size, right_text, right_size)
    set_text(out, joined, left_size + right_size)
    return OK


cdef int value_arithmetic(Work* work, int operation, const FieldValue* left, const FieldValue* right,
                          FieldValue* out) noexcept nogil:
    cdef bint times = (left.kind == VALUE_DATE or left.kind == VALUE_SPAN or right.kind == VALUE_DATE
                       or right.kind == VALUE_SPAN)
    if is_number(left) and is_number(right):
        return number_arithmetic(work, operation, left, right, out)
    if operation == ARITHMETIC_ADD and not times and (left.kind == FIELD_STRING or right.kind == FIELD_STRING):
        return text_join(work, left, right, out)
    if is_nothing(left) or is_nothing(right):
        if left.kind == FIELD_NULL or right.kind == FIELD_NULL:
            set_null(out)
        else:
            set_missing(out)
        return OK
    if times or (operation == ARITHMETIC_SUBTRACT and left.kind == FIELD_STRING and right.kind == FIELD_STRING):
        return time_arithmetic(work, operation, left, right, out)
    return no_such_arithmetic(work, operation, left, right)


cdef int value_negate(Work* work, const FieldValue* value, FieldValue* out) noexcept nogil:
    cdef FieldValue zero
    if is_nothing(value):
        out[0] = value[0]
        return OK
    if value.kind == VALUE_SPAN:
        set_ticks(out, VALUE_SPAN, -value.integer, False)
        return OK
    if value.kind == FIELD_DOUBLE:
        set_double(out, -value.number)
        return OK
    if not is_number(value):
        return work_fail_kind(work, b"%s has no negative", value)
    set_integer(&zero, 0)
    return number_arithmetic(work, ARITHMETIC_SUBTRACT, &zero, value, out)


# ---- casts

cdef bint number_of_text(const FieldValue* value, double* number) noexcept nogil:
    cdef char text[NUMBER_TEXT_MAX + 1]
    cdef char* end = NULL
    if value.size == 0 or value.size > NUMBER_TEXT_MAX:
        return False
    memcpy(text, value.text, value.size)
    text[value.size] = 0
    # strtod reads more than C# does: names of infinities, hexadecimal. All of those begin with a letter or have an x.
    for index in range(<int>value.size):
        if not (c'0' <= text[index] <= c'9' or text[index] in (c'+', c'-', c'.', c'e', c'E')):
            return False
    number[0] = strtod(text, &end)
    return end == &text[value.size]


cdef int cast_number(Work* work, int type, const FieldValue* value, FieldValue* out) noexcept nogil:
    cdef double number = 0
    cdef int64_t mantissa = 0
    cdef int scale = 0
    if value.kind == FIELD_STRING:
        if not number_of_text(value, &number):
            return work_fail(work, b"the string is not a number")
    elif is_number(value):
        number = value_number(value)
    else:
        return work_fail_kind(work, b"%s cannot be cast to a number", value)
    if type == CAST_DOUBLE:
        set_double(out, number)
        return OK
    if type == CAST_DECIMAL:
        if as_decimal(value, &mantissa, &scale):
            set_decimal(out, mantissa, scale)
        elif value.kind == FIELD_DOUBLE and double_as_decimal(number, &mantissa, &scale):
            set_decimal(out, mantissa, scale)
        else:
            set_double(out, number)
        return OK
    if value.kind == FIELD_INTEGER:
        set_integer(out, value.integer)
    elif isnan(number) or fabs(number) >= 9.2e18:
        return work_fail(work, b"the number does not fit an integer")
    else:
        set_integer(out, <int64_t>number)
    return OK


cdef bint double_as_decimal(double number, int64_t* mantissa, int* scale) noexcept nogil:
    """A double as the decimal of its 15 leading digits, which is what such a cast means."""
    cdef char text[NUMBER_TEXT_MAX]
    cdef int64_t digits = 0
    cdef int places = 0
    cdef int exponent = 0
    cdef int index = 0
    cdef bint negative = False
    if isnan(number) or fabs(number) >= 1e15 or (number != 0 and fabs(number) < 1e-9):
        return False
    snprintf(text, sizeof(text), b"%.14e", number)
    if text[0] == c'-':
        negative = True
        index = 1
    while text[index] != c'e' and text[index] != 0:
        if c'0' <= text[index] <= c'9':
            digits = digits * 10 + (text[index] - c'0')
            places += 1
        index += 1
    if text[index] == c'e':
        index += 1
        exponent = 10 * (text[index + 1] - c'0') + (text[index + 2] - c'0')
        if text[index] == c'-':
            exponent = -exponent
    places = places - 1 - exponent
    while digits and places > 0 and digits % 10 == 0:
        digits //= 10
        places -= 1
    if digits == 0:
        places = 0
    while places < 0:
        digits *= 10
        places += 1
    if places > 18:
        return False
    mantissa[0] = -digits if negative else digits
    scale[0] = places
    return True


cdef int cast_bool(Work* work, const FieldValue* value, FieldValue* out) noexcept nogil:
    if value.kind == FIELD_TRUE or value.kind == FIELD_FALSE:
        out[0] = value[0]
        return OK
    if value.kind == FIELD_STRING and value.size == 4 and memcmp(value.text, b"true", 4) == 0:
        set_bool(out, True)
        return OK
    if value.kind == FIELD_STRING and value.size == 5 and memcmp(value.text, b"false", 5) == 0:
        set_bool(out, False)
        return OK
    return work_fail_kind(work, b"%s cannot be cast to a boolean", value)


cdef int value_cast(Work* work, int type, const FieldValue* value, FieldValue* out) noexcept nogil:
    cdef const uint8_t* text = NULL
    cdef size_t size = 0
    cdef int64_t ticks = 0
    cdef bint utc = False
    cdef int code
    if is_nothing(value):
        out[0] = value[0]
        return OK
    if type <= CAST_INTEGER:
        return cast_number(work, type, value, out)
    if type == CAST_BOOL:
        return cast_bool(work, value, out)
    if type == CAST_STRING:
        if value.kind == FIELD_STRING:
            out[0] = value[0]
            return OK
        code = value_text(work, value, &text, &size)
        set_text(out, text, size)
        return code
    if type == CAST_DATE:
        if not value_date(value, &ticks, &utc):
            return work_fail_kind(work, b"%s is not a date", value)
        set_ticks(out, VALUE_DATE, ticks, utc)
        return OK
    if value.kind == VALUE_SPAN:
        out[0] = value[0]
        return OK
    if value.kind == FIELD_STRING and span_parse(value.text, value.size, &ticks):
        set_ticks(out, VALUE_SPAN, ticks, False)
        return OK
    return work_fail_kind(work, b"%s is not a time span", value)


# ---- dates

cdef bint value_date(const FieldValue* value, int64_t* ticks, bint* utc) noexcept nogil:
    if value.kind == VALUE_DATE:
        ticks[0] = value.integer
        utc[0] = value.size != 0
        return True
    return value.kind == FIELD_STRING and date_parse(value.text, value.size, ticks, utc)


# ---- comparison

cdef inline int order_of(bint less, bint more) noexcept nogil:
    return -1 if less else 1 if more else 0


cdef int number_order(const FieldValue* left, const FieldValue* right) noexcept nogil:
    cdef int64_t left_mantissa = 0
    cdef int64_t right_mantissa = 0
    cdef int left_scale = 0
    cdef int right_scale = 0
    cdef double left_number
    cdef double right_number
    if left.kind != FIELD_DOUBLE and right.kind != FIELD_DOUBLE and (
            left.kind != VALUE_DECIMAL and right.kind != VALUE_DECIMAL):
        return order_of(left.integer < right.integer, left.integer > right.integer)
    if left.kind == VALUE_DECIMAL or right.kind == VALUE_DECIMAL:
        if as_decimal(left, &left_mantissa, &left_scale) and as_decimal(right, &right_mantissa, &right_scale):
            return decimal_order(left_mantissa, left_scale, right_mantissa, right_scale)
    left_number = value_number(left)
    right_number = value_number(right)
    if isnan(left_number) or isnan(right_number):
        return INCOMPARABLE
    if left_number == right_number and left.kind != right.kind and fabs(left_number) < 9.2e18:
        # Beyond 2^53 several integers have the same nearest double; as integers they differ.
        if left.kind == FIELD_DOUBLE and right.kind != VALUE_DECIMAL:
            left_mantissa = <int64_t>left_number
            return order_of(left_mantissa < right.integer, left_mantissa > right.integer)
        if right.kind == FIELD_DOUBLE and left.kind != VALUE_DECIMAL:
            right_mantissa = <int64_t>right_number
            return order_of(left.integer < right_mantissa, left.integer > right_mantissa)
    return order_of(left_number < right_number, left_number > right_number)


cdef inline unsigned int next_character(const uint8_t* text, size_t size, size_t* at) noexcept nogil:
    """One character of valid UTF-8, moving on."""
    cdef unsigned int first = text[at[0]]
    cdef unsigned int c
    cdef size_t here = at[0]
    if first < 0x80:
        at[0] = here + 1
        return first
    if first < 0xE0 and here + 1 < size:
        at[0] = here + 2
        return ((first & 0x1F) << 6) | (text[here + 1] & 0x3F)
    if first < 0xF0 and here + 2 < size:
        at[0] = here + 3
        return ((first & 0x0F) << 12) | (<unsigned int>(text[here + 1] & 0x3F) << 6) | (text[here + 2] & 0x3F)
    if here + 3 < size:
        at[0] = here + 4
        c = ((first & 0x07) << 18) | (<unsigned int>(text[here + 1] & 0x3F) << 12)
        return c | (<unsigned int>(text[here + 2] & 0x3F) << 6) | (text[here + 3] & 0x3F)
    at[0] = here + 1
    return first


cdef inline unsigned int lower_character(unsigned int c) noexcept nogil:
    if c < 0x80:
        return c | 0x20 if c'A' <= c <= c'Z' else c
    return lower_beyond_ascii(c)


cdef inline unsigned int upper_character(unsigned int c) noexcept nogil:
    """The upper-case character that leads back to this one; where there is none, such as for sharp s, itself."""
    cdef unsigned int upper
    if c < 0x80:
        return c & ~<unsigned int>0x20 if c'a' <= c <= c'z' else c
    upper = upper_of_table(c)
    return upper if upper >= 0x80 and lower_beyond_ascii(upper) == c else c


cdef inline size_t put_character(unsigned int c, uint8_t* target) noexcept nogil:
    if c < 0x80:
        target[0] = <uint8_t>c
        return 1
    if c < 0x800:
        target[0] = <uint8_t>(0xC0 | (c >> 6))
        target[1] = <uint8_t>(0x80 | (c & 0x3F))
        return 2
    if c < 0x10000:
        target[0] = <uint8_t>(0xE0 | (c >> 12))
        target[1] = <uint8_t>(0x80 | ((c >> 6) & 0x3F))
        target[2] = <uint8_t>(0x80 | (c & 0x3F))
        return 3
    target[0] = <uint8_t>(0xF0 | (c >> 18))
    target[1] = <uint8_t>(0x80 | ((c >> 12) & 0x3F))
    target[2] = <uint8_t>(0x80 | ((c >> 6) & 0x3F))
    target[3] = <uint8_t>(0x80 | (c & 0x3F))
    return 4


cdef int text_case(Work* work, const uint8_t* text, size_t size, bint upper, FieldValue* out) noexcept nogil:
    # A character of two bytes may become one of three; nothing grows by more than half.
    cdef uint8_t* made = <uint8_t*>arena_take(&work.arena, size + size // 2 + 4, 1)
    cdef size_t at = 0
    cdef size_t written = 0
    cdef unsigned int c
    if made == NULL:
        return work_no_memory(work)
    while at < size:
        c = next_character(text, size, &at)
        written += put_character(upper_character(c) if upper else lower_character(c), made + written)
    set_text(out, made, written)
    return OK


cdef int folded_order(const FieldValue* left, const FieldValue* right) noexcept nogil:
    cdef size_t left_at = 0
    cdef size_t right_at = 0
    cdef unsigned int a
    cdef unsigned int b
    while left_at < left.size and right_at < right.size:
        a = lower_character(next_character(left.text, left.size, &left_at))
        b = lower_character(next_character(right.text, right.size, &right_at))
        if a != b:
            return order_of(a < b, a > b)
    return order_of(right_at < right.size, left_at < left.size)


cdef inline uint32_t order_class(const FieldValue* value) noexcept nogil:
    """Values of one class can be compared."""
    if value.kind <= FIELD_NULL:
        return 0
    if value.kind <= FIELD_TRUE:
        return 1
    if is_number(value) or value.kind == VALUE_SPAN:
        return 2
    if value.kind == VALUE_DATE:
        return 3
    if value.kind == FIELD_STRING:
        return 4
    if value.kind == FIELD_ARRAY or value.kind == VALUE_LIST:
        return 5
    return 6


cdef bint list_equal(Work* work, const FieldValue* left, const FieldValue* right, uint32_t flags,
                     int depth) noexcept nogil:
    """Arrays and lists item by item; records and groups by their values in order."""
    cdef Walk left_walk
    cdef Walk right_walk
    cdef FieldValue left_item
    cdef FieldValue right_item
    cdef size_t index
    if depth >= COLLECTION_DEPTH_MAX:
        return False
    if left.blittable.type >= BLITTABLE_OBJECT and right.blittable.type >= BLITTABLE_OBJECT:
        return blittable_equal(&left.blittable, &right.blittable)
    if order_class(left) == 5:
        if walk_open(work, left, &left_walk) != OK or walk_open(work, right, &right_walk) != OK:
            return False
        if left_walk.count != right_walk.count:
            return False
        for index in range(left_walk.count):
            if walk_item(work, &left_walk, index, &left_item) != OK or (
                    walk_item(work, &right_walk, index, &right_item) != OK):
                return False
            if not deep_equal(work, &left_item, &right_item, flags, depth + 1):
                return False
        return True
    if left.kind != right.kind or left.size != right.size or not (
            left.kind == VALUE_RECORD or left.kind == VALUE_ENTRY or left.kind == VALUE_GROUP):
        return False
    if left.kind == VALUE_RECORD and left.integer != right.integer:
        return False
    for index in range(left.size):
        if not deep_equal(work, &list_items(left)[index], &list_items(right)[index], flags, depth + 1):
            return False
    return True


cdef bint deep_equal(Work* work, const FieldValue* left, const FieldValue* right, uint32_t flags,
                     int depth) noexcept nogil:
    if order_class(left) >= 5 and order_class(left) == order_class(right):
        return list_equal(work, left, right, flags, depth)
    return value_order(work, left, right, flags) == 0


cdef int value_order(Work* work, const FieldValue* left, const FieldValue* right, uint32_t flags) noexcept nogil:
    cdef uint32_t left_class = order_class(left)
    cdef uint32_t right_class = order_class(right)
    cdef int64_t left_ticks = 0
    cdef int64_t right_ticks = 0
    cdef bint utc = False
    cdef int bytes_order
    if left_class != right_class:
        if (left_class == 3 and right_class == 4) or (left_class == 4 and right_class == 3):
            if value_date(left, &left_ticks, &utc) and value_date(right, &right_ticks, &utc):
                return order_of(left_ticks < right_ticks, left_ticks > right_ticks)
        return INCOMPARABLE
    if left_class == 0:
        if flags & COMPARE_TERMS and (left.kind == FIELD_MISSING or right.kind == FIELD_MISSING):
            return INCOMPARABLE
        return 0
    if left_class == 1:
        return <int>left.kind - <int>right.kind
    if left_class == 2:
        return number_order(left, right)
    if left_class == 3:
        return order_of(left.integer < right.integer, left.integer > right.integer)
    if left_class == 4:
        if flags & COMPARE_IGNORE_CASE:
            return folded_order(left, right)
        # memcmp may answer any number, INCOMPARABLE among them.
        bytes_order = compare_bytes(left.text, left.size, right.text, right.size)
        return order_of(bytes_order < 0, bytes_order > 0)
    return 0 if list_equal(work, left, right, flags, 0) else INCOMPARABLE


cdef int value_sort_order(Work* work, const FieldValue* left, const FieldValue* right) noexcept nogil:
    cdef int order = value_order(work, left, right, 0)
    cdef uint32_t left_class = order_class(left)
    cdef uint32_t right_class = order_class(right)
    if order != INCOMPARABLE:
        return order
    return order_of(left_class < right_class, left_class > right_class)


cdef inline uint64_t mix(uint64_t hash, uint64_t value) noexcept nogil:
    return (hash ^ value) * <uint64_t>0x9E3779B97F4A7C15


cdef uint64_t value_hash(const FieldValue* value) noexcept nogil:
    cdef uint64_t hash = mix(0, order_class(value))
    cdef double number
    cdef uint64_t bits
    cdef size_t index
    if value.kind == FIELD_STRING:
        for index in range(value.size):
            hash = (hash ^ value.text[index]) * <uint64_t>0x100000001B3
    elif is_number(value) or value.kind == VALUE_SPAN:
        number = value_number(value) + 0.0         # -0.0 equals 0.0
        memcpy(&bits, &number, 8)
        hash = mix(hash, bits)
    elif value.kind == VALUE_DATE:
        hash = mix(hash, <uint64_t>value.integer)
    elif value.kind == FIELD_TRUE:
        hash = mix(hash, 1)
    elif value.kind == VALUE_RECORD or value.kind == VALUE_ENTRY:
        # One level: what lies deeper is told apart by comparing.
        for index in range(value.size):
            if order_class(&list_items(value)[index]) < 5:
                hash = mix(hash, value_hash(&list_items(value)[index]))
    return hash ^ (hash >> 29)


# ---- text

cdef int take_text(Work* work, const void* source, size_t size, const uint8_t** text, size_t* text_size) noexcept nogil:
    cdef uint8_t* made = <uint8_t*>arena_take(&work.arena, size, 1)
    if made == NULL:
        return work_no_memory(work)
    memcpy(made, source, size)
    text[0] = made
    text_size[0] = size
    return OK


cdef int decimal_format(int64_t mantissa, int scale, char* text) noexcept nogil:
    cdef char digits[NUMBER_TEXT_MAX]
    cdef uint64_t rest = <uint64_t>mantissa if mantissa >= 0 else <uint64_t>0 - <uint64_t>mantissa
    cdef int count = snprintf(digits, sizeof(digits), b"%0*llu", scale + 1, <unsigned long long>rest)
    cdef int size = 0
    if mantissa < 0:
        text[0] = c'-'
        size = 1
    memcpy(text + size, digits, <size_t>(count - scale))
    size += count - scale
    if scale:
        text[size] = c'.'
        memcpy(text + size + 1, digits + count - scale, <size_t>scale)
        size += scale + 1
    return size


cdef int double_format(double number, char* text) noexcept nogil:
    """The shortest text that reads back as the same number; whole ones without a point, as C# writes them."""
    cdef Output output
    cdef int size = 0
    if isnan(number):
        return snprintf(text, NUMBER_TEXT_MAX, b"NaN")
    if fabs(number) > 1.7976931348623157e308:
        return snprintf(text, NUMBER_TEXT_MAX, b"%s", b"-Infinity" if number < 0 else b"Infinity")
    output_init(&output, 0)
    json_write_double(&output, number)
    if output.size and output.size < NUMBER_TEXT_MAX:
        size = <int>output.size
        memcpy(text, output.data, output.size)
    output_release(&output)
    if size > 2 and text[size - 1] == c'0' and text[size - 2] == c'.':
        size -= 2
    return size


cdef int json_text(Work* work, const BlittableValue* value, const uint8_t** text, size_t* size) noexcept nogil:
    cdef Output output
    cdef int code
    output_init(&output, work.arena.limit_bytes)
    code = json_write(&output, value)
    if code == OK:
        code = take_text(work, output.data, output.size, text, size)
    else:
        code = work_no_memory(work)
    output_release(&output)
    return code


cdef int value_text(Work* work, const FieldValue* value, const uint8_t** text, size_t* size) noexcept nogil:
    cdef char made[2 * NUMBER_TEXT_MAX]
    cdef int made_size
    text[0] = NULL
    size[0] = 0
    if value.kind <= FIELD_NULL:
        return OK
    if value.kind == FIELD_STRING:
        text[0] = value.text
        size[0] = value.size
        return OK
    if value.kind == FIELD_TRUE or value.kind == FIELD_FALSE:
        return take_text(work, b"True" if value.kind == FIELD_TRUE else b"False",
                         4 if value.kind == FIELD_TRUE else 5, text, size)
    if value.blittable.type == BLITTABLE_DECIMAL or value.blittable.type == BLITTABLE_NUMBER_TEXT or (
            value.blittable.type >= BLITTABLE_OBJECT):
        return json_text(work, &value.blittable, text, size)
    if value.kind == FIELD_INTEGER:
        made_size = snprintf(made, sizeof(made), b"%lld", <long long>value.integer)
    elif value.kind == FIELD_DOUBLE:
        made_size = double_format(value.number, made)
    elif value.kind == VALUE_DECIMAL:
        made_size = decimal_format(value.integer, <int>value.size, made)
    elif value.kind == VALUE_DATE:
        timestamp_format(<uint64_t>value.integer, made)
        made_size = TIMESTAMP_TEXT_SIZE if value.size else TIMESTAMP_TEXT_SIZE - 1
    elif value.kind == VALUE_SPAN:
        made_size = span_format(value.integer, made)
    else:
        return work_fail_kind(work, b"%s has no text", value)
    return take_text(work, made, <size_t>made_size, text, size)


cdef int value_plain(Work* work, const FieldValue* value, FieldValue* out) noexcept nogil:
    cdef const uint8_t* text = NULL
    cdef size_t size = 0
    cdef int code = OK
    if value.kind == VALUE_DATE:
        code = value_text(work, value, &text, &size)
        set_text(out, text, size)
    elif value.kind == VALUE_SPAN:
        set_integer(out, value.integer)
    elif value.kind == VALUE_DECIMAL:
        if value.size == 0:
            set_integer(out, value.integer)
        else:
            set_double(out, decimal_double(value.integer, <int>value.size))
    else:
        out[0] = value[0]
    return code


# ---- sequences

cdef int walk_open(Work* work, const FieldValue* source, Walk* walk) noexcept nogil:
    walk.items = NULL
    walk.count = 0
    walk.entries = False
    if source.kind == FIELD_ARRAY or source.kind == FIELD_OBJECT:
        walk.container = source.blittable
        if source.blittable.offset:
            blittable_open(&source.blittable, &walk.table)
            walk.count = walk.table.count
        walk.entries = source.kind == FIELD_OBJECT
        return OK
    if source.kind == VALUE_LIST:
        walk.items = list_items(source)
        walk.count = source.size
        return OK
    if source.kind == VALUE_GROUP:
        return walk_open(work, &list_items(source)[1], walk)
    if is_nothing(source):
        return OK
    return work_fail_kind(work, b"%s is no sequence", source)


cdef int walk_item(Work* work, const Walk* walk, size_t index, FieldValue* out) noexcept nogil:
    cdef BlittableValue item
    cdef FieldValue* pair
    cdef const uint8_t* name
    cdef size_t name_size = 0
    if walk.items != NULL:
        out[0] = walk.items[index]
        return OK
    blittable_slot(&walk.container, &walk.table, <uint32_t>index, &item)
    if not walk.entries:
        set_blittable(out, &item)
        return OK
    pair = take_values(work, 2)
    if pair == NULL:
        return work_no_memory(work)
    name = blittable_name(&walk.table, <uint32_t>index, &name_size)
    set_text(&pair[0], name, name_size)
    set_blittable(&pair[1], &item)
    set_list(out, VALUE_ENTRY, pair, 2)
    return OK

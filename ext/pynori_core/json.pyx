"""JSON text to builder in one pass, without recursion and objects; and documents back to text.

The idea of the reader: the loop of `parse_value` knows two places, before a value and after one. Strings and white
space are searched sixteen bytes at a time; a string's bytes are copied while they are searched. What ends the parse
writes down where and why in `Reader`. The idea of the writer: a string is copied while it is searched for what
needs an escape, every value is followed by a comma, and the last comma becomes the closing brace.
"""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove, memset

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8

from pynori_core.bits cimport likely, unlikely
from pynori_core.blittable cimport (
    BLITTABLE_DECIMAL, BLITTABLE_DOUBLE, BLITTABLE_FALSE, BLITTABLE_INTEGER, BLITTABLE_NULL,
    BLITTABLE_NUMBER_TEXT, BLITTABLE_OBJECT, BLITTABLE_STRING, BLITTABLE_STRING_BYTES_MAX, BLITTABLE_TRUE,
    BlittableTable, blittable_decimal, blittable_get, blittable_name, blittable_open, blittable_root, blittable_slot,
    blittable_string,
)
from pynori_core.builder cimport (
    BuilderMark, builder_begin, builder_close, builder_collection, builder_fail, builder_finish, builder_init,
    builder_is_server_property, builder_mark, builder_open, builder_place, builder_place_decimal,
    builder_place_integer, builder_place_name, builder_release, builder_reserve, builder_rewind, builder_set_name,
    builder_varint,
)
from pynori_core.errors cimport E_INVALID, E_JSON, E_TOO_LARGE, OK, error_clear, error_set, raise_error
from pynori_core.schema cimport SCHEMA_GUESS_BYTES, Schema, schema_guess, schema_guessed_name, schema_remember
from pynori_core.output cimport output_append, output_byte, output_clear, output_init, output_release, output_reserve


cdef extern from "pynori_scan.h":
    const int COPY_PLAIN_MAX "PYN_COPY_PLAIN_MAX"
    size_t scan_plain "pyn_scan_plain"(const uint8_t* text, const uint8_t* limit, uint32_t* high) noexcept nogil
    size_t copy_plain "pyn_copy_plain"(const uint8_t* text, const uint8_t* limit, uint8_t* target,
                                       uint32_t* high) noexcept nogil
    const uint8_t* skip_spaces "pyn_skip_space"(const uint8_t* text, const uint8_t* limit) noexcept nogil
    size_t utf8_valid "pyn_utf8_valid"(const uint8_t* text, size_t size) noexcept nogil
    int utf8_put "pyn_utf8_put"(uint32_t code, uint8_t* target) noexcept nogil
    int hex4 "pyn_hex4"(const uint8_t* text) noexcept nogil
    size_t put_string "pyn_put_string"(const uint8_t* text, size_t size, const uint8_t* limit, uint8_t* target,
                                       bint ascii_only) noexcept nogil

cdef extern from "pynori_number.h":
    const int INTEGER_TEXT_MAX "PYN_INTEGER_TEXT_MAX"
    const int DECIMAL_TEXT_MAX "PYN_DECIMAL_TEXT_MAX"
    const int DOUBLE_TEXT_MAX "PYN_DOUBLE_TEXT_MAX"
    size_t put_integer "pyn_put_integer"(int64_t value, uint8_t* target) noexcept nogil
    size_t put_decimal "pyn_put_decimal"(int64_t mantissa, int scale, uint8_t* target) noexcept nogil
    size_t put_double "pyn_put_double"(double value, uint8_t* target) noexcept nogil

cdef extern from "math.h":
    bint isfinite(double value) noexcept nogil


cdef enum:
    DIGITS_MAX = 18              # of an integer or decimal that needs no care
    NO_DROP = 0xFFFFFFFF
    STRING_STEP_BYTES = 4096     # a string is written in steps of at most this, so that room is made for no more

# What the parse works on, and why it ended. The position is handed from function to function and never stored: each
# takes where to begin and returns where it ended, or NULL when it has written down why not.
cdef struct Reader:
    const uint8_t* end
    Builder* builder
    const uint8_t* wrong         # position of the error
    const char* expected         # what should have stood there; NULL: `reason` says all
    const char* reason


cdef const uint8_t* refuse(Reader* reader, const uint8_t* position, const char* expected) noexcept nogil:
    """Something else stands at position than the grammar has there."""
    reader.wrong = position
    reader.expected = expected
    return NULL


cdef const uint8_t* reject(Reader* reader, const uint8_t* position, const char* reason) noexcept nogil:
    """What stands at position is not allowed, whatever was expected."""
    reader.wrong = position
    reader.reason = reason
    return NULL


cdef const uint8_t* give_up(Reader* reader, const uint8_t* position) noexcept nogil:
    """The builder has failed: a limit, or no memory."""
    return reject(reader, position, reader.builder.failure_text)


cdef const uint8_t* too_large(Reader* reader, const uint8_t* position, const char* reason) noexcept nogil:
    builder_fail(reader.builder, E_TOO_LARGE, reason)
    return give_up(reader, position)


# ---- strings ---------------------------------------------------------------------------------------------------------

cdef const uint8_t* refuse_in_string(Reader* reader, const uint8_t* position) noexcept nogil:
    """A search for the end of a string stopped at position, which is neither quote nor backslash."""
    if position >= reader.end:
        return refuse(reader, reader.end, "the end of the string")
    return reject(reader, position, "a control character in a string; it must be written as an escape")


cdef bint check_utf8(Reader* reader, const uint8_t* text, size_t size) noexcept nogil:
    cdef size_t good = utf8_valid(text, size)
    if unlikely(good != size):
        reject(reader, text + good, "bytes that are not UTF-8")
        return False
    return True


cdef const uint8_t* raw_string(Reader* reader, const uint8_t* start, bint* escaped) noexcept nogil:
    """The closing quote of the string whose inside begins at start, known to be UTF-8, and whether it has escapes."""
    cdef const uint8_t* here = start
    cdef uint32_t high = 0
    cdef uint32_t any_high = 0
    escaped[0] = False
    while True:
        here += scan_plain(here, reader.end, &high)
        any_high |= high
        if here >= reader.end or (here[0] != c'"' and here[0] != c'\\'):
            return refuse_in_string(reader, here)
        if here[0] == c'"':
            break
        if here + 1 >= reader.end:
            return refuse_in_string(reader, reader.end)
        escaped[0] = True
        here += 2
    if any_high and not check_utf8(reader, start, <size_t>(here - start)):
        return NULL
    return here


cdef int64_t unescape_unicode(Reader* reader, const uint8_t* here, uint32_t* code) noexcept nogil:
    """Decode the \\u escape at here; bytes read, or -1. Surrogates must come as a pair."""
    cdef int unit = hex4(here + 2) if reader.end - here >= 6 else -1
    cdef int second = -1
    if unit < 0:
        refuse(reader, here, "four hexadecimal digits after \\u")
        return -1
    if 0xDC00 <= unit <= 0xDFFF:
        reject(reader, here, "a low surrogate without the high one before it")
        return -1
    code[0] = <uint32_t>unit
    if unit < 0xD800 or unit > 0xDFFF:
        return 6
    if reader.end - here >= 12 and here[6] == c'\\' and here[7] == c'u':
        second = hex4(here + 8)
    if second < 0xDC00 or second > 0xDFFF:
        reject(reader, here, "a high surrogate without the low one behind it")
        return -1
    code[0] = 0x10000 + ((<uint32_t>unit - 0xD800) << 10) + (<uint32_t>second - 0xDC00)
    return 12


cdef int64_t unescape(Reader* reader, const uint8_t* here, const uint8_t* end, uint8_t* target) noexcept nogil:
    """Write the inside of a string without its escapes, never more bytes than it has; bytes written, or -1."""
    cdef uint8_t* out = target
    cdef uint8_t letter
    cdef uint32_t high
    cdef uint32_t code = 0
    cdef size_t plain
    cdef int64_t used
    while True:
        plain = scan_plain(here, end, &high)
        memcpy(out, here, plain)
        out += plain
        here += plain
        if here >= end:
            return out - target
        letter = here[1]
        used = 2
        if letter == c'n':
            code = 10
        elif letter == c't':
            code = 9
        elif letter == c'r':
            code = 13
        elif letter == c'b':
            code = 8
        elif letter == c'f':
            code = 12
        elif letter == c'"' or letter == c'\\' or letter == c'/':
            code = letter
        elif letter == c'u':
            used = unescape_unicode(reader, here, &code)
            if used < 0:
                return -1
        else:
            refuse(reader, here + 1, "one of \" \\ / b f n r t u after a backslash")
            return -1
        out += utf8_put(code, out)
        here += used


cdef const uint8_t* long_string(Reader* reader, const uint8_t* start) noexcept nogil:
    """A string value that is longer than one copy or has escapes; start is behind its opening quote."""
    cdef Builder* builder = reader.builder
    cdef bint escaped = False
    cdef const uint8_t* close = raw_string(reader, start, &escaped)
    cdef uint32_t offset = <uint32_t>builder.size
    cdef size_t text
    cdef int64_t size
    if close == NULL:
        return NULL
    size = close - start
    if size > BLITTABLE_STRING_BYTES_MAX:
        return too_large(reader, start, "a string is longer than 32 MB")
    if not builder_reserve(builder, <size_t>size + 16):
        return give_up(reader, start)
    if escaped:
        # Where the text ends up depends on its final size: unescape it a little further on, then move it into place.
        text = builder.size + 5
        size = unescape(reader, start, close, builder.data + text)
        if size < 0:
            return NULL
        if size > 0:
            builder_varint(builder, <uint64_t>size)
            memmove(builder.data + builder.size, builder.data + text, <size_t>size)
        else:
            offset = 0
    else:
        builder_varint(builder, <uint64_t>size)
        memcpy(builder.data + builder.size, start, <size_t>size)
    builder.size += <size_t>size
    if not builder_place(builder, BLITTABLE_STRING, <int32_t>offset):
        return give_up(reader, start)
    return close + 1


cdef inline const uint8_t* read_string(Reader* reader, const uint8_t* here) noexcept nogil:
    """A string value; here is behind its opening quote."""
    cdef Builder* builder = reader.builder
    cdef uint8_t* target
    cdef uint32_t high = 0
    cdef uint32_t offset
    cdef size_t size
    if unlikely(not builder_reserve(builder, COPY_PLAIN_MAX + 17)):
        return give_up(reader, here)
    target = builder.data + builder.size
    size = copy_plain(here, reader.end, target + 1, &high)
    if unlikely(size == COPY_PLAIN_MAX or here + size >= reader.end or here[size] != c'"'):
        return long_string(reader, here)
    if unlikely(high != 0):
        if not check_utf8(reader, here, size):
            return NULL
    target[0] = <uint8_t>size
    offset = <uint32_t>builder.size if size else 0
    builder.size += size + 1 if size else 0
    if unlikely(not builder_place(builder, BLITTABLE_STRING, <int32_t>offset)):
        return give_up(reader, here)
    return here + size + 1


# ---- names -----------------------------------------------------------------------------------------------------------

cdef const uint8_t* escaped_name(Reader* reader, const uint8_t* start, const uint8_t** name,
                                 size_t* size) noexcept nogil:
    """A name with escapes, put down behind the end of data, where it waits until it is in the schema."""
    cdef Builder* builder = reader.builder
    cdef bint escaped = False
    cdef const uint8_t* close = raw_string(reader, start, &escaped)
    cdef int64_t written
    if close == NULL:
        return NULL
    if close - start > BLITTABLE_STRING_BYTES_MAX:
        return too_large(reader, start, "a property name is longer than 65,535 bytes")
    if not builder_reserve(builder, <size_t>(close - start)):
        return give_up(reader, start)
    name[0] = builder.data + builder.size
    written = unescape(reader, start, close, builder.data + builder.size)
    if written < 0:
        return NULL
    size[0] = <size_t>written
    return close + 1


cdef inline const uint8_t* read_name(Reader* reader, const uint8_t* here, const uint8_t** name,
                                     size_t* size) noexcept nogil:
    """A property name; here is behind its opening quote."""
    cdef uint32_t high = 0
    cdef size_t plain = scan_plain(here, reader.end, &high)
    if unlikely(here + plain >= reader.end or here[plain] != c'"'):
        return escaped_name(reader, here, name, size)
    if unlikely(high != 0):
        if not check_utf8(reader, here, plain):
            return NULL
    name[0] = here
    size[0] = plain
    return here + plain + 1


# ---- numbers ---------------------------------------------------------------------------------------------------------

cdef inline bint is_digit(const uint8_t* here, const uint8_t* end) noexcept nogil:
    return here < end and <uint8_t>(here[0] - c'0') <= 9


cdef const uint8_t* number_text(Reader* reader, const uint8_t* start, const uint8_t* end) noexcept nogil:
    """Keep the number from start to end as it is written."""
    cdef Builder* builder = reader.builder
    cdef size_t size = <size_t>(end - start)
    cdef uint32_t offset = <uint32_t>builder.size
    if size > BLITTABLE_STRING_BYTES_MAX:
        return too_large(reader, start, "a number is longer than 32 MB")
    if not builder_reserve(builder, size + 10):
        return give_up(reader, start)
    builder_varint(builder, size)
    memcpy(builder.data + builder.size, start, size)
    builder.size += size
    if not builder_place(builder, BLITTABLE_NUMBER_TEXT, <int32_t>offset):
        return give_up(reader, start)
    return end


cdef const uint8_t* read_exponent(Reader* reader, const uint8_t* here) noexcept nogil:
    """An exponent; here is behind its e."""
    if here < reader.end and (here[0] == c'+' or here[0] == c'-'):
        here += 1
    if not is_digit(here, reader.end):
        return refuse(reader, here, "a digit of the exponent")
    while is_digit(here, reader.end):
        here += 1
    return here


cdef const uint8_t* read_fraction(Reader* reader, const uint8_t* start, const uint8_t* here, uint64_t number,
                                  int64_t digits, bint negative) noexcept nogil:
    """The rest of a number from its point or exponent at here on; `digits` have been read into `number`."""
    cdef const uint8_t* point = here
    cdef int64_t scale = 0
    if here[0] == c'.':
        here += 1
        while is_digit(here, reader.end):
            number = number * 10 + <uint64_t>(here[0] - c'0')
            here += 1
        scale = here - point - 1
        if scale == 0:
            return refuse(reader, here, "a digit after the decimal point")
    if here < reader.end and (here[0] | 0x20) == c'e':
        here = read_exponent(reader, here + 1)
        return NULL if here == NULL else number_text(reader, start, here)
    # -0.0 has no integer mantissa; it and everything long stays text.
    if digits + scale > DIGITS_MAX or (negative and number == 0):
        return number_text(reader, start, here)
    if not builder_place_decimal(reader.builder, -<int64_t>number if negative else <int64_t>number, <int>scale):
        return give_up(reader, start)
    return here


cdef inline const uint8_t* read_number(Reader* reader, const uint8_t* start) noexcept nogil:
    """A number; start is at its sign or first digit."""
    cdef bint negative = start[0] == c'-'
    cdef const uint8_t* first = start + negative
    cdef const uint8_t* here = first
    cdef uint64_t number = 0
    cdef int64_t digits
    while is_digit(here, reader.end):
        number = number * 10 + <uint64_t>(here[0] - c'0')
        here += 1
    digits = here - first
    if unlikely(digits == 0):
        return refuse(reader, here, "a digit after the minus sign")
    if unlikely(first[0] == c'0' and digits > 1):
        return reject(reader, first, "a number that begins with 0")
    if here < reader.end and (here[0] == c'.' or (here[0] | 0x20) == c'e'):
        return read_fraction(reader, start, here, number, digits, negative)
    # 19 digits fit 64 bits without a sign; whether they fit with one is asked here. -0 is no integer.
    if unlikely(digits > DIGITS_MAX):
        if digits > DIGITS_MAX + 1 or number > <uint64_t>0x7FFFFFFFFFFFFFFF + negative:
            return number_text(reader, start, here)
    if unlikely(negative and number == 0):
        return number_text(reader, start, here)
    if unlikely(not builder_place_integer(reader.builder, <int64_t>(0 - number if negative else number))):
        return give_up(reader, start)
    return here


# ---- the grammar -----------------------------------------------------------------------------------------------------

cdef inline const uint8_t* skip_space(const uint8_t* here, const uint8_t* end) noexcept nogil:
    if likely(here < end and here[0] > 0x20):
        return here
    # One blank is by far the most frequent.
    if here + 1 < end and here[0] == c' ' and here[1] > 0x20:
        return here + 1
    return skip_spaces(here, end)


cdef inline uint8_t peek(const uint8_t* here, const uint8_t* end) noexcept nogil:
    """The byte at here, or 0 at the end: nothing in the grammar begins with it."""
    return here[0] if likely(here < end) else 0


cdef const uint8_t* read_word(Reader* reader, const uint8_t* here, const char* word, size_t size,
                              uint32_t kind) noexcept nogil:
    cdef size_t i
    for i in range(size):
        if peek(here + i, reader.end) != <uint8_t>word[i]:
            return refuse(reader, here + i, "true, false or null")
    if not builder_place(reader.builder, kind, 0):
        return give_up(reader, here)
    return here + size


cdef const uint8_t* read_rare(Reader* reader, const uint8_t* here) noexcept nogil:
    """A word, or something that is no value."""
    cdef uint8_t first = peek(here, reader.end)
    if first == c't':
        return read_word(reader, here, "true", 4, BLITTABLE_TRUE)
    if first == c'f':
        return read_word(reader, here, "false", 5, BLITTABLE_FALSE)
    if first == c'n':
        return read_word(reader, here, "null", 4, BLITTABLE_NULL)
    return refuse(reader, here, "a value")


# A value of @metadata that is parsed and forgotten, and which object is @metadata.
cdef struct Filter:
    uint32_t drop_depth          # depth of the container whose value is being dropped, else NO_DROP
    bint in_metadata             # the object at depth 2 is the root's @metadata
    bint metadata_next           # its name has just been read
    BuilderMark mark


cdef bint filter_name(Reader* reader, Filter* filter, const uint8_t* name, size_t size) noexcept nogil:
    """Look at a name that begins with @ in a document; True when its value is to be dropped."""
    cdef Builder* builder = reader.builder
    if builder.depth == 1:
        filter.metadata_next = size == 9 and memcmp(name, "@metadata", 9) == 0
        return False
    if builder.depth == 2 and filter.in_metadata and builder_is_server_property(name, size):
        builder_mark(builder, &filter.mark)
        filter.drop_depth = 2
        return True
    return False


cdef inline const uint8_t* read_property(Reader* reader, const uint8_t* start, Filter* filter,
                                         bint is_document) noexcept nogil:
    """A name, its colon, and the white space up to the value; start is at the opening quote."""
    cdef Builder* builder = reader.builder
    cdef Schema* schema = &builder.schema
    cdef const uint8_t* name = start + 1
    cdef const uint8_t* here
    cdef size_t size = 0
    cdef bint remembered = True
    if unlikely(peek(start, reader.end) != c'"'):
        return refuse(reader, start, "a property name in quotes")
    if likely(reader.end - name >= SCHEMA_GUESS_BYTES) and likely(schema_guess(schema, name)):
        size = schema.guess.size
        here = name + size + 1
    else:
        here = read_name(reader, start + 1, &name, &size)
        if unlikely(here == NULL):
            return NULL
        remembered = size < SCHEMA_GUESS_BYTES and name == start + 1
        if remembered:
            schema_remember(schema, name, size)
    if is_document and size > 0 and name[0] == c'@' and filter.drop_depth == NO_DROP \
            and filter_name(reader, filter, name, size):
        builder.slots[builder.slot_count].kind = 0
    elif likely(remembered):
        if unlikely(not builder_set_name(builder, schema_guessed_name(schema))):
            return give_up(reader, start)
    elif not builder_place_name(builder, name, size):
        return give_up(reader, start)
    here = skip_space(here, reader.end)
    if unlikely(peek(here, reader.end) != c':'):
        return refuse(reader, here, "a colon")
    return skip_space(here + 1, reader.end)


cdef const uint8_t* filter_value(Reader* reader, const uint8_t* here, Filter* filter) noexcept nogil:
    """The value of the root's @metadata must be an object."""
    filter.metadata_next = False
    filter.in_metadata = True
    if peek(here, reader.end) != c'{':
        return refuse(reader, here, "an object as @metadata")
    return here


cdef inline const uint8_t* close_container(Reader* reader, const uint8_t* here) noexcept nogil:
    if unlikely(not builder_close(reader.builder)):
        return give_up(reader, here)
    return here + 1


cdef const uint8_t* parse_value(Reader* reader, const uint8_t* here, bint is_document) noexcept nogil:
    """One value with all that is in it."""
    cdef Builder* builder = reader.builder
    cdef const uint8_t* end = reader.end
    cdef Filter filter
    cdef uint8_t first
    cdef bint is_object = False
    filter.drop_depth = NO_DROP
    filter.in_metadata = False
    filter.metadata_next = False
    here = skip_space(here, end)
    while True:
        # Before a value, which in an object has a name.
        if is_object:
            here = read_property(reader, here, &filter, is_document)
            if unlikely(here == NULL):
                return NULL
            if unlikely(filter.metadata_next):
                here = filter_value(reader, here, &filter)
                if here == NULL:
                    return NULL
        first = peek(here, end)
        if first == c'"':
            here = read_string(reader, here + 1)
        elif first == c'{' or first == c'[':
            is_object = first == c'{'
            if unlikely(not builder_open(builder, is_object)):
                return give_up(reader, here)
            here = skip_space(here + 1, end)
            if likely(peek(here, end) != (c'}' if is_object else c']')):
                continue
            here = close_container(reader, here)
        elif first == c'-' or c'0' <= first <= c'9':
            here = read_number(reader, here)
        else:
            here = read_rare(reader, here)
        # After a value: what comes next belongs to the innermost open container.
        while True:
            if unlikely(here == NULL):
                return NULL
            if unlikely(builder.depth == filter.drop_depth):
                builder_rewind(builder, &filter.mark)
                filter.drop_depth = NO_DROP
            if unlikely(builder.depth <= 1):
                if builder.depth == 0:
                    return here
                filter.in_metadata = False
            here = skip_space(here, end)
            first = peek(here, end)
            is_object = builder.frames[builder.depth].is_object
            if likely(first == c','):
                here = skip_space(here + 1, end)
                break
            if unlikely(first != (c'}' if is_object else c']')):
                return refuse(reader, here, "a comma or }" if is_object else "a comma or ]")
            here = close_container(reader, here)


# ---- what the reader reports -----------------------------------------------------------------------------------------

cdef const char* describe(uint8_t byte) noexcept nogil:
    """A byte by its class: error texts carry no document content."""
    if byte >= 0x80:
        return "a character beyond ASCII"
    if c'0' <= byte <= c'9':
        return "a digit"
    if c'a' <= (byte | 0x20) <= c'z':
        return "a letter"
    if byte == c' ' or byte == c'\t' or byte == c'\n' or byte == c'\r':
        return "white space"
    if byte < 0x20 or byte == 0x7F:
        return "a control character"
    return NULL


cdef int report(Reader* reader, const uint8_t* text, int code, ErrorDetail* error) noexcept nogil:
    """Turn what the reader wrote down into an error; its code."""
    cdef const char* found
    cdef bint first = error == NULL or error.code == OK
    if reader.expected == NULL:
        error_set(error, code, "%s", reader.reason)
    elif reader.wrong >= reader.end:
        error_set(error, code, "the text ends where %s was expected", reader.expected)
    else:
        found = describe(reader.wrong[0])
        if found == NULL:
            error_set(error, code, "found '%c' where %s was expected", <int>reader.wrong[0], reader.expected)
        else:
            error_set(error, code, "found %s where %s was expected", found, reader.expected)
    if error != NULL and first:
        error.offset = <uint64_t>(reader.wrong - text)
    return code


cdef int json_parse(Builder* builder, const uint8_t* text, size_t size, uint32_t flags, size_t* consumed,
                    ErrorDetail* error) noexcept nogil:
    cdef Reader reader
    cdef const uint8_t* here
    reader.end = text + size
    reader.builder = builder
    reader.wrong = text
    reader.expected = NULL
    reader.reason = NULL
    builder_begin(builder, flags)
    if builder.failure:
        return builder_finish(builder, error)
    here = skip_space(text, reader.end)
    if flags & JSON_DOCUMENT and peek(here, reader.end) != c'{':
        here = refuse(&reader, here, "a document, which is an object,")
    else:
        here = parse_value(&reader, here, flags & JSON_DOCUMENT)
    if here != NULL and not flags & JSON_PREFIX:
        here = skip_space(here, reader.end)
        if here < reader.end:
            here = refuse(&reader, here, "the end of the text")
    if here == NULL:
        return report(&reader, text, builder.failure if builder.failure else E_JSON, error)
    if consumed != NULL:
        consumed[0] = <size_t>(here - text)
    return builder_finish(builder, error)


# ---- the writer ------------------------------------------------------------------------------------------------------

cdef void long_text(Output* output, const uint8_t* text, size_t size, const uint8_t* limit) noexcept nogil:
    """The inside of a string, in steps that end between characters."""
    cdef size_t step
    while size > 0:
        step = size
        if step > STRING_STEP_BYTES:
            step = STRING_STEP_BYTES
            while step > STRING_STEP_BYTES - 4 and (text[step] & 0xC0) == 0x80:
                step -= 1
        if not output_reserve(output, 6 * step + 16):
            return
        output.size += put_string(text, step, limit, output.data + output.size, output.ascii_only)
        text += step
        size -= step


cdef inline void write_text(Output* output, const uint8_t* text, size_t size, const uint8_t* limit,
                            uint8_t follow) noexcept nogil:
    """A string in quotes and the byte that follows it. limit: end of the bytes that may be looked at."""
    cdef uint8_t* here
    if unlikely(size > STRING_STEP_BYTES):
        output_byte(output, c'"')
        long_text(output, text, size, limit)
        output_byte(output, c'"')
        output_byte(output, follow)
        return
    if unlikely(not output_reserve(output, 6 * size + 20)):
        return
    here = output.data + output.size
    here[0] = c'"'
    here += 1
    here += put_string(text, size, limit, here, output.ascii_only)
    here[0] = c'"'
    here[1] = follow
    output.size = <size_t>(here + 2 - output.data)


cdef void write_double(Output* output, const BlittableValue* value) noexcept nogil:
    cdef double number
    memcpy(&number, value.base + value.offset, 8)
    json_write_double(output, number)
    output_byte(output, c',')


cdef void write_scalar(Output* output, const BlittableValue* value) noexcept nogil:
    """A number or word and the comma after it."""
    cdef uint8_t* here
    cdef const uint8_t* text
    cdef size_t size = 0
    cdef int64_t mantissa = 0
    cdef int scale = 1
    if value.type == BLITTABLE_NUMBER_TEXT:
        blittable_string(value, &text, &size)
        output_append(output, text, size)
        output_byte(output, c',')
        return
    if value.type == BLITTABLE_DOUBLE:
        write_double(output, value)
        return
    if not output_reserve(output, 32):
        return
    here = output.data + output.size
    if value.type == BLITTABLE_INTEGER:
        here += put_integer(value.integer, here)
    elif value.type == BLITTABLE_DECIMAL:
        blittable_decimal(value, &mantissa, &scale)
        here += put_decimal(mantissa, scale, here)
    elif value.type == BLITTABLE_TRUE:
        memcpy(here, "true", 4)
        here += 4
    elif value.type == BLITTABLE_FALSE:
        memcpy(here, "false", 5)
        here += 5
    else:
        memcpy(here, "null", 4)
        here += 4
    here[0] = c','
    output.size = <size_t>(here + 1 - output.data)


cdef inline void end_container(Output* output, uint8_t bracket) noexcept nogil:
    """Turn the comma after the last value into the bracket and put a comma behind it."""
    if unlikely(not output_reserve(output, 2)):
        return
    if output.data[output.size - 1] == c',':
        output.size -= 1
    output.data[output.size] = bracket
    output.data[output.size + 1] = c','
    output.size += 2


cdef inline void write_value(Output* output, const BlittableValue* value) noexcept nogil:
    """A value and a comma after it."""
    cdef const uint8_t* text
    cdef size_t size = 0
    if value.type == BLITTABLE_STRING:
        blittable_string(value, &text, &size)
        write_text(output, text, size, value.base + value.size, c',')
    elif value.type < BLITTABLE_OBJECT:
        write_scalar(output, value)
    else:
        write_container(output, value)


cdef void write_container(Output* output, const BlittableValue* value) noexcept nogil:
    """An object or array and a comma. Recursion is bounded by BLITTABLE_DEPTH_MAX, which check and builder keep."""
    cdef BlittableTable table
    cdef BlittableValue child
    cdef const uint8_t* limit = value.base + value.size
    cdef const uint8_t* name
    cdef size_t size = 0
    cdef uint32_t i
    output_byte(output, c'{' if value.type == BLITTABLE_OBJECT else c'[')
    if value.offset:
        blittable_open(value, &table)
        for i in range(table.count):
            if table.fingerprints != NULL:
                name = blittable_name(&table, i, &size)
                write_text(output, name, size, limit, c':')
            blittable_slot(value, &table, i, &child)
            write_value(output, &child)
            if unlikely(output.failure):
                return
    end_container(output, c'}' if value.type == BLITTABLE_OBJECT else c']')


cdef int json_write(Output* output, const BlittableValue* value) noexcept nogil:
    write_value(output, value)
    if output.failure == OK:
        output.size -= 1
    return output.failure


cdef void json_write_string(Output* output, const uint8_t* text, size_t size) noexcept nogil:
    write_text(output, text, size, text + size, c',')
    if output.failure == OK:
        output.size -= 1


cdef void json_write_double(Output* output, double value) noexcept nogil:
    if not isfinite(value):
        output_append(output, "null", 4)
    elif output_reserve(output, DOUBLE_TEXT_MAX):
        output.size += put_double(value, output.data + output.size)


# ---- documents with what the server adds -----------------------------------------------------------------------------

cdef inline bint named(const uint8_t* name, size_t size, const char* wanted, size_t wanted_size) noexcept nogil:
    return size == wanted_size and memcmp(name, wanted, size) == 0


cdef bint is_overlaid(const MetadataOverlay* overlay, const uint8_t* name, size_t size) noexcept nogil:
    """Whether the overlay sets this property of @metadata."""
    return size > 2 and name[0] == c'@' and (
        (overlay.id != NULL and named(name, size, "@id", 3))
        or (overlay.change_vector != NULL and named(name, size, "@change-vector", 14))
        or (overlay.flags != NULL and named(name, size, "@flags", 6))
        or (overlay.last_modified != NULL and named(name, size, "@last-modified", 14))
    )


cdef void write_properties(Output* output, const BlittableValue* object, const MetadataOverlay* overlay,
                           bint is_metadata) noexcept nogil:
    """Properties without braces: those of a document but for @metadata, or those of @metadata that stay."""
    cdef BlittableTable table
    cdef BlittableValue child
    cdef const uint8_t* name
    cdef size_t size = 0
    cdef uint32_t i
    if object.offset == 0:
        return
    blittable_open(object, &table)
    for i in range(table.count):
        name = blittable_name(&table, i, &size)
        if is_overlaid(overlay, name, size) if is_metadata else named(name, size, "@metadata", 9):
            continue
        write_text(output, name, size, object.base + object.size, c':')
        blittable_slot(object, &table, i, &child)
        write_value(output, &child)
        if output.failure:
            return


cdef void write_field(Output* output, const char* name, size_t name_size, const uint8_t* text,
                      size_t size) noexcept nogil:
    if text != NULL:
        output_append(output, name, name_size)
        write_text(output, text, size, text + size, c',')


cdef int json_write_document(Output* output, const uint8_t* data, size_t size,
                             const MetadataOverlay* overlay) noexcept nogil:
    cdef BlittableValue root
    cdef BlittableValue metadata
    if blittable_root(data, size, &root) != OK or root.type != BLITTABLE_OBJECT:
        return E_INVALID
    output_byte(output, c'{')
    if not overlay.metadata_only:
        write_properties(output, &root, overlay, False)
    output_append(output, b'"@metadata":{', 13)
    if blittable_get(&root, "@metadata", 9, &metadata) == OK and metadata.type == BLITTABLE_OBJECT:
        write_properties(output, &metadata, overlay, True)
    write_field(output, b'"@id":', 6, overlay.id, overlay.id_size)
    write_field(output, b'"@change-vector":', 17, overlay.change_vector, overlay.change_vector_size)
    write_field(output, b'"@flags":', 9, overlay.flags, overlay.flags_size)
    write_field(output, b'"@last-modified":', 17, overlay.last_modified, overlay.last_modified_size)
    if overlay.more != NULL and overlay.more_size:
        output_append(output, overlay.more, overlay.more_size)
        output_byte(output, c',')
    end_container(output, c'}')
    end_container(output, c'}')
    if output.failure == OK:
        output.size -= 1
    return output.failure


# ---- for Python ------------------------------------------------------------------------------------------------------

FLAGS = {"prefix": JSON_PREFIX, "document": JSON_DOCUMENT, "unique_names": JSON_UNIQUE_NAMES}


@cython.final
cdef class JsonCodec:
    """A builder and an output that stay: text to blittable and back without making Python objects of what is inside.

    Not for several threads at once. Raises: JsonError (offset is the byte position), TooLarge, OutOfMemory.
    """

    cdef Builder builder
    cdef Output output

    def __cinit__(self):
        output_init(&self.output, 0)
        if builder_init(&self.builder) != OK:
            raise MemoryError

    def __dealloc__(self):
        builder_release(&self.builder)
        output_release(&self.output)

    def parse(self, text, uint32_t flags=0):
        """Parse one text; (bytes read, size of the document). The document stays in the codec until the next."""
        cdef ErrorDetail error
        cdef Py_buffer buffer
        cdef size_t consumed = 0
        error_clear(&error)
        PyObject_GetBuffer(text, &buffer, PyBUF_SIMPLE)
        json_parse(&self.builder, <const uint8_t*>buffer.buf, <size_t>buffer.len, flags, &consumed, &error)
        PyBuffer_Release(&buffer)
        if error.code:
            raise_error(&error)
        return consumed, self.builder.size

    def parse_all(self, list texts, uint32_t flags=0):
        """Parse many bytes objects, as the engine would one after the other; the size of their documents in all."""
        cdef ErrorDetail error
        cdef bytes text
        cdef size_t total = 0
        error_clear(&error)
        for text in texts:
            if json_parse(&self.builder, text, <size_t>len(text), flags, NULL, &error) != OK:
                raise_error(&error)
            total += self.builder.size
        return total

    def document(self):
        """The bytes of the document parsed last."""
        return PyBytes_FromStringAndSize(<const char*>self.builder.data, <Py_ssize_t>self.builder.size)

    def collection(self):
        """What the document parsed last with the flag `document` states in @metadata.@collection, or None."""
        cdef const uint8_t* name
        cdef size_t size
        if not builder_collection(&self.builder, &name, &size):
            return None
        return PyUnicode_DecodeUTF8(<const char*>name, <Py_ssize_t>size, NULL)

    def write(self, bytes document not None, bint ascii_only=False):
        """The JSON of a valid document."""
        cdef BlittableValue root
        cdef int code = blittable_root(document, <size_t>len(document), &root)
        self.output.ascii_only = ascii_only
        output_clear(&self.output)
        if code == OK:
            code = json_write(&self.output, &root)
        return self.written(code)

    def write_all(self, list documents):
        """Write many valid documents one after the other; the size of their texts in all."""
        cdef BlittableValue root
        cdef bytes document
        cdef size_t total = 0
        cdef int code
        self.output.ascii_only = False
        for document in documents:
            output_clear(&self.output)
            code = blittable_root(document, <size_t>len(document), &root)
            if code == OK:
                code = json_write(&self.output, &root)
            if code != OK:
                self.written(code)
            total += self.output.size
        return total

    def write_document(self, bytes document not None, bytes id=None, bytes change_vector=None, bytes flags=None,
                       bytes last_modified=None, bytes more=None, bint metadata_only=False):
        """The JSON of a valid document with these fields in its @metadata."""
        cdef MetadataOverlay overlay
        memset(&overlay, 0, sizeof(overlay))
        if id is not None:
            overlay.id, overlay.id_size = id, len(id)
        if change_vector is not None:
            overlay.change_vector, overlay.change_vector_size = change_vector, len(change_vector)
        if flags is not None:
            overlay.flags, overlay.flags_size = flags, len(flags)
        if last_modified is not None:
            overlay.last_modified, overlay.last_modified_size = last_modified, len(last_modified)
        if more is not None:
            overlay.more, overlay.more_size = more, len(more)
        overlay.metadata_only = metadata_only
        self.output.ascii_only = False
        output_clear(&self.output)
        return self.written(json_write_document(&self.output, document, <size_t>len(document), &overlay))

    cdef bytes written(self, int code):
        cdef ErrorDetail error
        if code != OK:
            error_clear(&error)
            error_set(&error, code, "the document could not be written as JSON")
            raise_error(&error)
        return PyBytes_FromStringAndSize(<const char*>self.output.data, <Py_ssize_t>self.output.size)

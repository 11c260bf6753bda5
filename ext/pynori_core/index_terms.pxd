"""Terms: values as bytes whose order is the order of the values.

A term begins with its kind, so that null < false < true < numbers < strings. No term is the beginning of another one,
so something may follow it in a key. A number is its double, order-preserving; from 2^53 on two bytes follow that say
how far the exact integer is from it. A string is its text, 00 and 01 escaped, and a 00. A text of more than
TERM_TEXT_MAX bytes keeps its beginning and a hash of all of it.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pynori_core.field_value cimport FieldValue
from pynori_core.output cimport Output

cdef enum TermKind:                    # first byte of a term; part of the format
    TERM_PRESENCE = 0                  # not a value: all entries that have the field
    TERM_NULL = 1
    TERM_FALSE = 2
    TERM_TRUE = 3
    TERM_NUMBER = 4
    TERM_STRING = 5
    TERM_END = 6                       # above all kinds

cdef enum:
    TERM_TEXT_MAX = 512                # bytes of text (before escaping) that a term keeps
    TERM_SIZE_MAX = 1044               # kind, escaped text, mark, hash, end
    TERM_ROOM = 1056                   # what a buffer for a term must have

# Each writes a term to `out`, which has TERM_ROOM, and returns its size. `scratch` is for strings that need more than a
# glance; a failure of it gives 0.
cdef size_t term_number(double number, uint8_t* out) noexcept nogil
cdef size_t term_integer(int64_t integer, uint8_t* out) noexcept nogil
cdef size_t term_string(const uint8_t* text, size_t size, bint lower, uint8_t* out, Output* scratch) noexcept nogil
# 0 for a value that is missing or an array; an object becomes its JSON.
cdef size_t term_of_value(const FieldValue* value, bint lower, uint8_t* out, Output* scratch) noexcept nogil

# The beginning that all string terms share whose text begins with this text; 0 when text is longer than TERM_TEXT_MAX.
cdef size_t term_prefix(const uint8_t* text, size_t size, bint lower, uint8_t* out, Output* scratch) noexcept nogil
# The text of a string term into `out` (TERM_ROOM); its size. A text that was cut gives its beginning.
cdef size_t term_text(const uint8_t* term, size_t size, uint8_t* out) noexcept nogil
# The double of a number term.
cdef double term_double(const uint8_t* term) noexcept nogil
# Size of the term at the beginning of these bytes, which may go on behind it; 0: they begin with none.
cdef size_t term_size(const uint8_t* data, size_t size) noexcept nogil

cdef object term_object(const uint8_t* term, size_t size)
# TypeError or ValueError for what is no value.
cdef size_t term_of_object(object value, bint lower, uint8_t* out, Output* scratch) except 0

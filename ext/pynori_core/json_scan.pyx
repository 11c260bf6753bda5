"""Look over JSON text without parsing it: whether JavaScript would give its numbers back as they are.

JavaScript reads every number as a double and spells it in its own way. What it changes is told here by the text alone,
so that only such documents take the slower way through a script that keeps them. The text is taken for valid JSON; of
other text the answer means nothing, and reading stays within it.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.string cimport memchr

cdef enum:
    SAFE_DIGITS_MAX = 15               # every number of so many digits is spelt by its double
    SMALL_ZEROS = 6                    # behind the point; smaller numbers are spelt with an exponent


cdef inline bint in_number(uint8_t c) noexcept nogil:
    return c'0' <= c <= c'9' or c == c'.' or c == c'-' or c == c'+' or c == c'e' or c == c'E'


cdef size_t string_end(const uint8_t* text, size_t size, size_t position) noexcept nogil:
    """Behind the closing quote of a string whose content begins at `position`."""
    cdef const uint8_t* quote
    cdef size_t end
    cdef size_t before
    while position < size:
        quote = <const uint8_t*>memchr(text + position, c'"', size - position)
        if quote == NULL:
            return size
        end = <size_t>(quote - text)
        before = end
        while before > position and text[before - 1] == c'\\':
            before -= 1
        if not (end - before) & 1:
            return end + 1
        position = end + 1
    return size


cdef bint is_fragile(const uint8_t* number, size_t size) noexcept nogil:
    """Of one number: whether it is spelt otherwise than JavaScript spells its double, or might be."""
    cdef size_t position
    cdef size_t digits = 0
    cdef size_t point = size
    cdef bint is_zero = True
    for position in range(size):
        if number[position] == c'e' or number[position] == c'E':
            return True
        if number[position] == c'.':
            point = position
        elif number[position] != c'-':
            digits += 1
            if number[position] != c'0':
                is_zero = False
            elif point < size and is_zero and position - point >= SMALL_ZEROS:
                return True
    if digits > SAFE_DIGITS_MAX:
        return True
    return (point < size and number[size - 1] == c'0') or (is_zero and number[0] == c'-')


cdef bint has_fragile(const uint8_t* text, size_t size) noexcept nogil:
    cdef size_t position = 0
    cdef size_t start
    while position < size:
        if text[position] == c'"':
            position = string_end(text, size, position + 1)
        elif text[position] == c'-' or c'0' <= text[position] <= c'9':
            start = position
            while position < size and in_number(text[position]):
                position += 1
            if is_fragile(text + start, position - start):
                return True
        else:
            position += 1
    return False


def has_fragile_number(const uint8_t[::1] text not None) -> bool:
    """Whether a number in this JSON may come back from JavaScript with another text or another value."""
    cdef size_t size = <size_t>text.shape[0]
    return size > 0 and has_fragile(&text[0], size)

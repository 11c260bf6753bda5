"""How many edits turn one word into another, for one word against many, with a bound after which nobody counts on."""

from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int32_t, uint32_t

cdef enum:
    WORD_CHARACTERS_MAX = 255


cdef int edits_between(const uint32_t* one, int one_size, const uint32_t* other, int other_size, int most,
                       int32_t* row) noexcept nogil:
    """Insertions, deletions and replacements, or -1 when there are more than `most`. row: other_size + 1."""
    cdef int index, column, diagonal, above, least, cost
    if one_size - other_size > most or other_size - one_size > most:
        return -1
    for column in range(other_size + 1):
        row[column] = column
    for index in range(1, one_size + 1):
        diagonal = row[0]
        row[0] = index
        least = index
        for column in range(1, other_size + 1):
            above = row[column]
            cost = diagonal + (one[index - 1] != other[column - 1])
            if above + 1 < cost:
                cost = above + 1
            if row[column - 1] + 1 < cost:
                cost = row[column - 1] + 1
            row[column] = cost
            diagonal = above
            if cost < least:
                least = cost
        if least > most:
            return -1
    return row[other_size] if row[other_size] <= most else -1


cdef int copy_word(str word, uint32_t* out) except -2:
    """Its characters; their number, or -1 for a longer word than is looked at."""
    cdef Py_ssize_t size = len(word), index
    if size > WORD_CHARACTERS_MAX:
        return -1
    for index in range(size):
        out[index] = ord(word[index])
    return <int>size


def edits(str word not None, list others not None, int most):
    cdef Py_ssize_t index, count = PyList_GET_SIZE(others)
    cdef list found = []
    cdef int size, other_size
    # The word, the other one, and a row.
    cdef uint32_t* room = <uint32_t*>PyMem_Malloc((3 * WORD_CHARACTERS_MAX + 3) * sizeof(uint32_t))
    cdef uint32_t* other = room + WORD_CHARACTERS_MAX + 1
    cdef int32_t* row = <int32_t*>(other + WORD_CHARACTERS_MAX + 1)
    if room == NULL:
        raise MemoryError
    try:
        size = copy_word(word, room)
        for index in range(count):
            other_size = copy_word(<str?><object>PyList_GET_ITEM(others, index), other)
            if size < 0 or other_size < 0:
                found.append(-1)
            else:
                found.append(edits_between(room, size, other, other_size, most, row))
    finally:
        PyMem_Free(room)
    return found

"""Cut a JSON array that arrives piece by piece into runs of whole elements, without parsing them."""

cimport cython

from libc.stdint cimport uint8_t

from pynori_core.errors import JsonError


@cython.final
cdef class ArrayFramer:
    """Follows one array. Feed every piece in order; see `scan`."""

    def __cinit__(self):
        self.state = FRAMING_START
        self.depth = 0
        self.count = 0

    @property
    def begun(self) :
        """The opening bracket has been seen."""
        return self.state != FRAMING_START

    @property
    def ended(self) :
        """The closing bracket has been seen."""
        return self.state == FRAMING_END

    @property
    def between(self) :
        """No element is open."""
        return self.state != FRAMING_ELEMENT and self.state != FRAMING_STRING and self.state != FRAMING_ESCAPE

    def scan(self, bytes data not None) :
        """Read the next piece; the offset behind the last element that ends in it, or 0 when none does.

        What lies between elements (blanks and commas, at the very beginning the opening bracket) precedes the element
        that follows it. Nothing is read behind the closing bracket.
        Raises JsonError when something other than an object stands in the array; its offset is that in the piece.
        """
        cdef const uint8_t* text = <const uint8_t*>data
        cdef Py_ssize_t size = len(data)
        cdef Py_ssize_t cut = 0
        cdef Py_ssize_t failed
        with nogil:
            failed = scan_piece(self, text, size, &cut)
        if failed >= 0:
            raise JsonError("expected an array of objects", failed)
        return cut


cdef Py_ssize_t scan_piece(ArrayFramer framer, const uint8_t* text, Py_ssize_t size, Py_ssize_t* cut) noexcept nogil:
    """Offset of a byte that may not stand where it stands, or -1."""
    cdef FramingState state = framer.state
    cdef Py_ssize_t depth = framer.depth
    cdef Py_ssize_t count = framer.count
    cdef Py_ssize_t position = 0
    cdef Py_ssize_t failed = -1
    cdef uint8_t byte
    while position < size and state != FRAMING_END:
        byte = text[position]
        if state == FRAMING_STRING:
            if byte == c'"':
                state = FRAMING_ELEMENT
            elif byte == c'\\':
                state = FRAMING_ESCAPE
        elif state == FRAMING_ELEMENT:
            if byte == c'"':
                state = FRAMING_STRING
            elif byte == c'{' or byte == c'[':
                depth += 1
            elif byte == c'}' or byte == c']':
                depth -= 1
                if depth == 0:
                    state = FRAMING_BETWEEN
                    count += 1
                    cut[0] = position + 1
        elif state == FRAMING_ESCAPE:
            state = FRAMING_STRING
        elif byte == c' ' or byte == c'\n' or byte == c'\r' or byte == c'\t':
            pass
        elif state == FRAMING_BETWEEN and byte == c'{':
            state = FRAMING_ELEMENT
            depth = 1
        elif state == FRAMING_BETWEEN and byte == c']':
            state = FRAMING_END
        elif state == FRAMING_START and byte == c'[':
            state = FRAMING_BETWEEN
        elif state != FRAMING_BETWEEN or byte != c',':
            failed = position
            break
        position += 1
    framer.state = state
    framer.depth = depth
    framer.count = count
    return failed

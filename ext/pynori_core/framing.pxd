"""Cut a JSON array that arrives piece by piece into runs of whole elements, without parsing them.

Only strings and brackets are followed: enough to know where an element ends, which the parser then reads as a whole.
The elements must be objects.
"""

cimport cython

cdef enum FramingState:
    FRAMING_START = 0     # before the opening bracket
    FRAMING_BETWEEN = 1   # in the array, not in an element
    FRAMING_ELEMENT = 2   # in an element, not in a string
    FRAMING_STRING = 3    # in a string of an element
    FRAMING_ESCAPE = 4    # behind a backslash in a string
    FRAMING_END = 5       # behind the closing bracket


@cython.final
cdef class ArrayFramer:
    cdef FramingState state
    cdef Py_ssize_t depth            # open brackets and braces of the element
    cdef readonly Py_ssize_t count   # elements that are complete

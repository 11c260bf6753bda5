"""The slow half of the growing buffer: it doubles, up to its limit."""

from libc.stdlib cimport free, malloc, realloc

from pynori_core.errors cimport E_NO_MEMORY, E_TOO_LARGE


cdef void output_init(Output* output, size_t limit_bytes) noexcept nogil:
    output.data = NULL
    output.size = 0
    output.capacity = 0
    output.limit_bytes = limit_bytes if limit_bytes else OUTPUT_BYTES_MAX
    output.failure = 0
    output.ascii_only = False


cdef void output_release(Output* output) noexcept nogil:
    free(output.data)
    output.data = NULL
    output.size = 0
    output.capacity = 0


cdef void output_expect(Output* output, size_t size_bytes) noexcept nogil:
    if output.data == NULL and size_bytes <= output.limit_bytes:
        output.data = <uint8_t*>malloc(size_bytes)
        output.capacity = size_bytes if output.data != NULL else 0


cdef bint output_grow(Output* output, size_t extra) noexcept nogil:
    cdef size_t wanted
    cdef void* grown
    if output.failure:
        return False
    if extra > output.limit_bytes - output.size:
        output.failure = E_TOO_LARGE
        return False
    wanted = output.capacity * 2 if output.capacity else <size_t>OUTPUT_BYTES_FIRST
    if wanted < output.size + extra:
        wanted = output.size + extra
    if wanted > output.limit_bytes:
        wanted = output.limit_bytes
    grown = realloc(output.data, wanted)
    if grown == NULL:
        output.failure = E_NO_MEMORY
        return False
    output.data = <uint8_t*>grown
    output.capacity = wanted
    return True

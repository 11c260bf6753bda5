"""A growing byte buffer that is written by one thread and reused: where JSON text and frames are put together.

A failure (no memory, limit) sets a flag and turns the rest of the writing into nothing, so writers need to look once,
at the end. The memory is kept by `output_clear` and goes with `output_release`.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from pynori_core.bits cimport unlikely

cdef enum:
    OUTPUT_BYTES_MAX = 1073741824   # default limit of one output: no answer is larger than 1 GiB
    OUTPUT_BYTES_FIRST = 4096       # capacity of the first allocation

cdef struct Output:
    uint8_t* data        # malloc'd; NULL before the first byte
    size_t size          # bytes written
    size_t capacity      # bytes of data. Invariant: size <= capacity
    size_t limit_bytes   # capacity never exceeds it
    int failure          # OK, E_NO_MEMORY or E_TOO_LARGE; once set, nothing more is written
    bint ascii_only      # JSON strings: write characters beyond ASCII as \\uXXXX

cdef void output_init(Output* output, size_t limit_bytes) noexcept nogil     # 0: OUTPUT_BYTES_MAX
cdef void output_release(Output* output) noexcept nogil
cdef bint output_grow(Output* output, size_t extra) noexcept nogil           # slow path of output_reserve
# An output without memory gets this much, where it would get OUTPUT_BYTES_FIRST: for the many that stay small.
cdef void output_expect(Output* output, size_t size_bytes) noexcept nogil


cdef inline void output_clear(Output* output) noexcept nogil:
    output.size = 0
    output.failure = 0


# Make room for `extra` bytes after size; False when that fails, and then nothing may be written.
cdef inline bint output_reserve(Output* output, size_t extra) noexcept nogil:
    if unlikely(output.capacity - output.size < extra or output.failure != 0):
        return output_grow(output, extra)
    return True


cdef inline void output_append(Output* output, const void* source, size_t size) noexcept nogil:
    if output_reserve(output, size):
        if size:
            memcpy(output.data + output.size, source, size)
        output.size += size


cdef inline void output_byte(Output* output, uint8_t value) noexcept nogil:
    if output_reserve(output, 1):
        output.data[output.size] = value
        output.size += 1

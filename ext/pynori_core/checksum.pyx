"""XXH3: the C functions of checksum.pxd, and the same for Python over any buffer."""

from libc.stdint cimport uint8_t

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer


cdef extern from "pynori_xxh3.h":
    ctypedef struct hash_pair "pyn_hash128":
        uint64_t low
        uint64_t high
    enum:
        PATH_PLAIN "PYN_PATH_PLAIN"
        PATH_SSE2 "PYN_PATH_SSE2"
        PATH_AVX2 "PYN_PATH_AVX2"
    int long_best "pyn_long_best"() noexcept nogil
    uint64_t xxh3_64 "pyn_xxh3_64"(const uint8_t* data, size_t size, uint64_t seed, int path) noexcept nogil
    hash_pair xxh3_128 "pyn_xxh3_128"(const uint8_t* data, size_t size, uint64_t seed, int path) noexcept nogil


# Set once when the module is imported, read ever after.
cdef int best_path = long_best()

# Names of the loops for long inputs that this processor can run, for tests that hold them against each other.
PATHS = {"plain": PATH_PLAIN, "sse2": PATH_SSE2, "avx2": PATH_AVX2}
PATHS = {name: path for name, path in PATHS.items() if path <= best_path}


cdef uint64_t hash64(const void* data, size_t size, uint64_t seed) noexcept nogil:
    return xxh3_64(<const uint8_t*>data, size, seed, best_path)


cdef void hash128(const void* data, size_t size, uint64_t seed, uint64_t* low, uint64_t* high) noexcept nogil:
    cdef hash_pair pair = xxh3_128(<const uint8_t*>data, size, seed, best_path)
    low[0] = pair.low
    high[0] = pair.high


def xxh3_64_of(data, uint64_t seed=0, path=None):
    """XXH3-64 of a buffer as an int. path: a name from PATHS, else the fastest."""
    cdef Py_buffer buffer
    cdef int chosen = best_path if path is None else PATHS[path]
    cdef uint64_t value
    PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
    try:
        with nogil:
            value = xxh3_64(<const uint8_t*>buffer.buf, <size_t>buffer.len, seed, chosen)
    finally:
        PyBuffer_Release(&buffer)
    return value


def xxh3_128_of(data, uint64_t seed=0, path=None):
    """XXH3-128 of a buffer as an int: high half above low half. path: a name from PATHS, else the fastest."""
    cdef Py_buffer buffer
    cdef int chosen = best_path if path is None else PATHS[path]
    cdef hash_pair pair
    PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
    try:
        with nogil:
            pair = xxh3_128(<const uint8_t*>buffer.buf, <size_t>buffer.len, seed, chosen)
    finally:
        PyBuffer_Release(&buffer)
    return (<object>pair.high << 64) | pair.low

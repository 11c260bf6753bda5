"""XXH3 in 64 and 128 bits over one buffer: the checksum of pages, journal entries and content hashes.

Both values are those of the published algorithm with its default secret and the given seed, on every machine: they are
written to disk and sent between nodes. A seed ties a checksum to its place (page number, transaction id), so that bytes
read from the wrong place do not verify.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint64_t

# XXH3-64 of `size` bytes. `data` may be NULL when size is 0.
cdef uint64_t hash64(const void* data, size_t size, uint64_t seed) noexcept nogil

# XXH3-128; for seeds and inputs above 240 bytes its low half equals hash64.
cdef void hash128(const void* data, size_t size, uint64_t seed, uint64_t* low, uint64_t* high) noexcept nogil

"""Compression by function address: LZ4 as the `lz4` wheel's extension exports it, called without the GIL.

`pynori.runtime.codecs` finds the addresses once and hands them to `codec_install`; from then on every thread may
compress. Nothing here allocates: the caller gives the target, sized with `lz4_bound`.
"""

from libc.stdint cimport uint8_t

from pynori_core.errors cimport ErrorDetail

cdef enum:
    LZ4_SOURCE_BYTES_MAX = 0x7E000000   # what the block format takes as one source

ctypedef int (*CodecFunction)(const char* source, char* target, int source_size, int target_capacity) noexcept nogil
ctypedef int (*BoundFunction)(int source_size) noexcept nogil

cdef struct Codec:
    CodecFunction compress       # LZ4_compress_default
    CodecFunction decompress   # LZ4_decompress_safe: never writes beyond target_capacity, whatever the source says
    BoundFunction bound          # LZ4_compressBound

# OK, or E_INVALID with a text that names the missing codec. Ask once when an environment opens.
cdef int codec_check(ErrorDetail* error) noexcept nogil

# Worst size of a compressed source of `source_size` bytes; 0 when the size is out of range or nothing is installed.
cdef int lz4_bound(int source_size) noexcept nogil

# Bytes written to target, or 0: it does not fit target_capacity, or nothing is installed (codec_check tells which).
cdef int lz4_compress(const uint8_t* source, int source_size, uint8_t* target, int target_capacity) noexcept nogil

# OK when the source decompresses to exactly `target_size` bytes, else E_CORRUPT (or E_INVALID: nothing installed).
# Safe on any bytes; target then holds undefined bytes.
cdef int lz4_decompress(const uint8_t* source, int source_size, uint8_t* target, int target_size) noexcept nogil

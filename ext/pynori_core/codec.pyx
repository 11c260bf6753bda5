"""The installed codec: three addresses, set once before the first environment opens and never unset."""

from libc.stdint cimport uintptr_t

from cpython.bytearray cimport PyByteArray_AS_STRING

from pynori_core.errors cimport E_CORRUPT, E_INVALID, OK, error_clear, error_set, raise_error


cdef Codec lz4
lz4.compress = NULL
lz4.decompress = NULL
lz4.bound = NULL


def codec_install(uintptr_t compress_address, uintptr_t decompress_address, uintptr_t bound_address):
    """Take the addresses of LZ4_compress_default, LZ4_decompress_safe and LZ4_compressBound.

    The library they lie in must stay loaded as long as the process lives. Installing twice is allowed.
    Raises: ValueError when an address is 0.
    """
    if compress_address == 0 or decompress_address == 0 or bound_address == 0:
        raise ValueError("a codec needs three addresses that are not 0")
    lz4.compress = <CodecFunction><void*>compress_address
    lz4.decompress = <CodecFunction><void*>decompress_address
    lz4.bound = <BoundFunction><void*>bound_address


def codec_installed():
    """Whether codec_install has been called."""
    return lz4.bound != NULL


cdef int codec_check(ErrorDetail* error) noexcept nogil:
    if lz4.bound == NULL:
        error_set(error, E_INVALID, "no LZ4 codec is installed: import pynori.runtime.codecs before the engine opens")
        return E_INVALID
    return OK


cdef int lz4_bound(int source_size) noexcept nogil:
    if lz4.bound == NULL or source_size < 0 or source_size > LZ4_SOURCE_BYTES_MAX:
        return 0
    return lz4.bound(source_size)


cdef int lz4_compress(const uint8_t* source, int source_size, uint8_t* target, int target_capacity) noexcept nogil:
    cdef int written
    if lz4.compress == NULL or source_size < 0 or source_size > LZ4_SOURCE_BYTES_MAX or target_capacity <= 0:
        return 0
    written = lz4.compress(<const char*>source, <char*>target, source_size, target_capacity)
    return written if written > 0 else 0


cdef int lz4_decompress(const uint8_t* source, int source_size, uint8_t* target, int target_size) noexcept nogil:
    if lz4.decompress == NULL:
        return E_INVALID
    if source_size <= 0 or target_size < 0:
        return E_CORRUPT
    if lz4.decompress(<const char*>source, <char*>target, source_size, target_size) != target_size:
        return E_CORRUPT
    return OK


def compress(const uint8_t[::1] source not None):
    """LZ4 block of a buffer, without its length. Raises: EngineError when no codec is installed."""
    cdef ErrorDetail error
    cdef bytearray target
    cdef int capacity
    cdef int written
    error_clear(&error)
    if codec_check(&error) != OK:
        raise_error(&error)
    if source.shape[0] > LZ4_SOURCE_BYTES_MAX:
        raise ValueError("an LZ4 block holds at most 0x7E000000 bytes")
    capacity = lz4_bound(<int>source.shape[0])
    target = bytearray(capacity)
    written = lz4_compress(&source[0] if source.shape[0] else NULL, <int>source.shape[0],
                           <uint8_t*>PyByteArray_AS_STRING(target), capacity)
    return bytes(target[:written])


def decompress(const uint8_t[::1] source not None, int size):
    """The `size` bytes that an LZ4 block holds. Raises: CorruptError when it does not hold exactly that many."""
    cdef ErrorDetail error
    cdef bytearray target
    error_clear(&error)
    if codec_check(&error) != OK:
        raise_error(&error)
    if size < 0:
        raise ValueError("size is negative")
    if source.shape[0] > LZ4_SOURCE_BYTES_MAX:
        raise ValueError("an LZ4 block holds at most 0x7E000000 bytes")
    target = bytearray(size)
    if lz4_decompress(&source[0] if source.shape[0] else NULL, <int>source.shape[0],
                      <uint8_t*>PyByteArray_AS_STRING(target), size) != OK:
        error_set(&error, E_CORRUPT, "an LZ4 block of %d bytes does not hold exactly %d", <int>source.shape[0], size)
        raise_error(&error)
    return bytes(target)

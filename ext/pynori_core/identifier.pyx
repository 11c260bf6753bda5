"""Check ids, make their keys, tell their spelling."""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize

from pynori_core.bits cimport load64, store64
from pynori_core.errors cimport E_INVALID, E_TOO_LARGE, OK, error_set


cdef extern from "pynori_lower.h":
    unsigned int lower_character "pyn_lower"(unsigned int c) noexcept nogil

cdef extern from "<unistd.h>":
    """
    #ifdef __APPLE__
    #include <sys/random.h>
    #endif
    """
    int getentropy(void* buffer, size_t size) noexcept nogil


cdef int identifier_check(const uint8_t* id, size_t size, ErrorDetail* error) noexcept nogil:
    cdef size_t index
    if size == 0:
        error_set(error, E_INVALID, b"a document id must not be empty")
        return E_INVALID
    if size > ID_SIZE_MAX:
        error_set(error, E_TOO_LARGE, b"a document id has at most 512 bytes (ID_SIZE_BYTES_MAX), this one %zu", size)
        return E_TOO_LARGE
    for index in range(size):
        # C0 controls, DEL, and C1 controls, which are C2 80 to C2 9F.
        if id[index] < 0x20 or id[index] == 0x7F or (
                id[index] == 0xC2 and index + 1 < size and id[index + 1] < 0xA0):
            error_set(error, E_INVALID, b"a document id must not contain control characters (byte %zu)", index)
            return E_INVALID
    if id[size - 1] == c'|':
        error_set(error, E_INVALID, b"a document id that ends in | asks for an identity, which is resolved beforehand")
        return E_INVALID
    return OK


cdef inline uint64_t lower_eight(uint64_t word) noexcept nogil:
    """ASCII lower-casing of 8 bytes, all below 0x80, at once."""
    cdef uint64_t ones = <uint64_t>0x0101010101010101
    cdef uint64_t from_a = word + ones * (0x80 - 0x41)
    cdef uint64_t beyond_z = word + ones * (0x80 - 0x5B)
    return word | (((from_a & ~beyond_z) & (ones * 0x80)) >> 2)


cdef size_t identifier_key(const uint8_t* id, size_t size, uint8_t* key) noexcept nogil:
    cdef size_t index = 0
    cdef size_t written = 0
    cdef uint64_t word
    while index < size:
        if index + 8 <= size:
            word = load64(id + index)
            if not word & <uint64_t>0x8080808080808080:
                store64(key + written, lower_eight(word))
                index += 8
                written += 8
                continue
        if id[index] < 0x80:
            key[written] = id[index] | 0x20 if c'A' <= id[index] <= c'Z' else id[index]
            index += 1
            written += 1
        else:
            index += key_character(id + index, size - index, key, &written)
    return written


cdef size_t key_character(const uint8_t* text, size_t size, uint8_t* key, size_t* written) noexcept nogil:
    """Lower one character beyond ASCII; the bytes read. Broken UTF-8 is copied byte by byte."""
    cdef size_t length = 2 if text[0] < 0xE0 else 3 if text[0] < 0xF0 else 4
    cdef unsigned int c
    cdef uint8_t* target = key + written[0]
    if text[0] < 0xC2 or length > size:
        target[0] = text[0]
        written[0] += 1
        return 1
    if length == 2:
        c = (<unsigned int>(text[0] & 0x1F) << 6) | (text[1] & 0x3F)
    elif length == 3:
        c = (<unsigned int>(text[0] & 0x0F) << 12) | (<unsigned int>(text[1] & 0x3F) << 6) | (text[2] & 0x3F)
    else:
        c = ((<unsigned int>(text[0] & 0x07) << 18) | (<unsigned int>(text[1] & 0x3F) << 12)
             | (<unsigned int>(text[2] & 0x3F) << 6) | (text[3] & 0x3F))
    c = lower_character(c)
    if c < 0x80:
        target[0] = <uint8_t>c
        written[0] += 1
    elif c < 0x800:
        target[0] = <uint8_t>(0xC0 | (c >> 6))
        target[1] = <uint8_t>(0x80 | (c & 0x3F))
        written[0] += 2
    elif c < 0x10000:
        target[0] = <uint8_t>(0xE0 | (c >> 12))
        target[1] = <uint8_t>(0x80 | ((c >> 6) & 0x3F))
        target[2] = <uint8_t>(0x80 | (c & 0x3F))
        written[0] += 3
    else:
        target[0] = <uint8_t>(0xF0 | (c >> 18))
        target[1] = <uint8_t>(0x80 | ((c >> 12) & 0x3F))
        target[2] = <uint8_t>(0x80 | ((c >> 6) & 0x3F))
        target[3] = <uint8_t>(0x80 | (c & 0x3F))
        written[0] += 4
    return length


cdef bint identifier_spelling(const uint8_t* id, size_t size, const uint8_t* key, size_t key_size,
                              uint64_t* spelling) noexcept nogil:
    cdef uint64_t bits = 0
    cdef size_t index
    if size != key_size:
        return False
    for index in range(size):
        if id[index] != key[index]:
            if index >= 64 or not c'A' <= id[index] <= c'Z':
                return False
            bits |= <uint64_t>1 << index
    spelling[0] = bits
    return True


cdef bint identifier_random(uint8_t* bytes) noexcept nogil:
    return getentropy(bytes, 16) == 0


cdef bint identifier_guid(char* text) noexcept nogil:
    cdef uint8_t random[16]
    cdef const char* hexadecimal = b"0123456789abcdef"
    cdef int index
    cdef int size = 0
    if not identifier_random(random):
        return False
    random[6] = (random[6] & 0x0F) | 0x40
    random[8] = (random[8] & 0x3F) | 0x80
    for index in range(16):
        if index == 4 or index == 6 or index == 8 or index == 10:
            text[size] = c'-'
            size += 1
        text[size] = hexadecimal[random[index] >> 4]
        text[size + 1] = hexadecimal[random[index] & 15]
        size += 2
    return True


def key_of(str id not None) -> bytes:
    """The key under which an id of at most ID_SIZE_MAX bytes is found. Raises: ValueError."""
    cdef uint8_t key[ID_KEY_SIZE_MAX + 8]
    cdef Py_ssize_t size
    cdef const char* text = PyUnicode_AsUTF8AndSize(id, &size)
    if size > ID_SIZE_MAX:
        raise ValueError("the id is longer than ID_SIZE_MAX")
    return (<char*>key)[:identifier_key(<const uint8_t*>text, <size_t>size, key)]


def guid() -> str:
    """A random GUID as text, as documents get it that are put without an id."""
    cdef char text[GUID_TEXT_SIZE]
    if not identifier_guid(text):
        raise OSError("the system gives no randomness")
    return text[:GUID_TEXT_SIZE].decode("ascii")

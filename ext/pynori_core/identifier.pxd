"""Document ids: what they may be, and the lower-cased key under which they are found.

An id is kept as spelt and compared by its key: simple lower-casing of Unicode 14 (include/pynori_lower.h), character by
character, no normalisation. The key of an id that differs from it in ASCII capitals only can be turned back with one
bit per byte, its *spelling*: an update with the same spelling needs not read the old row to keep the first one.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

from pynori_core.errors cimport ErrorDetail

cdef enum:
    ID_SIZE_MAX = 512              # bytes of UTF-8
    ID_KEY_SIZE_MAX = 768          # lower-casing makes two characters longer, from 2 bytes to 3
    ID_NUMBER_DIGITS = 19          # of the number that replaces nothing after a final "/"
    GUID_TEXT_SIZE = 36

# OK, or E_INVALID/E_TOO_LARGE with a text: 1 to ID_SIZE_MAX bytes, no control characters, no final "|".
cdef int identifier_check(const uint8_t* id, size_t size, ErrorDetail* error) noexcept nogil
# Bytes written to key, which has room for ID_KEY_SIZE_MAX. Valid UTF-8 of at most ID_SIZE_MAX bytes goes in.
cdef size_t identifier_key(const uint8_t* id, size_t size, uint8_t* key) noexcept nogil
# True and the bit set of ASCII capitals when the key has the same size and differs in ASCII capitals only, all within
# the first 64 bytes.
cdef bint identifier_spelling(const uint8_t* id, size_t size, const uint8_t* key, size_t key_size,
                              uint64_t* spelling) noexcept nogil
# 16 random bytes; False when the system gives no randomness.
cdef bint identifier_random(uint8_t* bytes) noexcept nogil
# GUID_TEXT_SIZE bytes of random version 4; False as above.
cdef bint identifier_guid(char* text) noexcept nogil

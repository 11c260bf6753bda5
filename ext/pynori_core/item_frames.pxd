"""Frames: items of one database on their way to another instance of it, as bytes.

A frame is a FrameHeader and items behind each other, each a FrameItem, its change vector's entries, the name of its
collection, the id and the body, a blittable document as it is stored (a deletion has none). Integers are little endian.
A frame holds whole user transactions of the sender in etag order. It says nothing of who sends it or where it lies in
his stream: that belongs to the message around it.

Whoever takes a frame in trusts nothing of it: `frame_read` checks every size, text, vector and document.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from pynori_core.command cimport VersionParts
from pynori_core.errors cimport ErrorDetail

cdef enum:
    FRAME_VERSION = 1
    FRAME_ITEMS_MAX = 131072           # the largest user transaction, and what conflicts at each hop may add to it
    FRAME_BYTES_MAX = 402653184        # 384 MB: thrice the documents of the largest user transaction
    OUTGOING_ROWS_MAX = 65536          # looked at by one call, when it skips most of them

cdef packed struct FrameHeader:        # 16 bytes
    uint8_t magic[3]                   # "PIF"
    uint8_t version                    # FRAME_VERSION
    uint32_t items
    uint64_t size                      # bytes of the whole frame

cdef packed struct FrameItem:          # 32 bytes
    uint32_t size                      # bytes of the whole item
    uint8_t kind                       # ItemKind: a document or a tombstone
    uint8_t reserved                   # 0
    uint16_t id_size
    uint32_t flags                     # ItemFlag
    uint16_t vector_count
    uint16_t collection_size
    uint32_t body_size
    uint32_t reserved2                 # 0
    uint64_t last_modified             # ticks

# The header of a frame, checked; OK, or E_INVALID, E_VERSION with the place in `error`.
cdef int frame_open(const uint8_t* frame, size_t size, uint32_t* items, ErrorDetail* error) noexcept nogil
# The item at `position`, checked, which moves behind it. Its pointers point into the frame.
cdef int frame_read(const uint8_t* frame, size_t size, size_t* position, VersionParts* parts,
                    ErrorDetail* error) noexcept nogil

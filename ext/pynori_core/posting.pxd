"""Blocks of entry ids: how the entries of one term are written, a few hundred at a time, with what a text field notes.

A block's first id stands in its key; its value says the rest. pynori/indexes/FORMAT.md draws it. A PostingList is the
same in memory, for merging: ids ascending, and for text fields a payload each: how often the token occurs in the entry,
and at which positions (varint distances).
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from pynori_core.matches cimport IdList
from pynori_core.output cimport Output

cdef enum BlockEncoding:               # low bits of a value's first byte. A value of no bytes: one id, no payload
    BLOCK_DELTAS = 0                   # u16 count, varint distances
    BLOCK_RUN = 1                      # u16 count: so many ids in a row
    BLOCK_BITS = 2                     # u16 count, words of 64 bits: which ids from the first on
    BLOCK_ONE = 3                      # one id; only with payload
    BLOCK_PAYLOAD = 128                # flag: u16 size of the ids before them; frequencies and positions behind them

cdef enum:
    BLOCK_IDS_MAX = 512                # of distances
    BLOCK_RUN_MAX = 8192
    BLOCK_RUN_MIN = 64                 # a shorter run is not worth a block of its own
    BLOCK_BITS_MAX = 8192
    BLOCK_BYTES_MAX = 2000             # where a block with payload ends; one id alone may have more
    POSITIONS_MAX = 1000               # kept of one token in one entry; the frequency counts all

cdef struct Payload:
    const uint8_t* positions           # varint distances of min(frequency, POSITIONS_MAX) positions
    uint32_t size
    uint32_t frequency

cdef struct PostingList:
    uint64_t* ids                      # malloc'd
    Payload* payloads                  # malloc'd; unused without `with_payload`
    size_t count
    size_t capacity
    bint with_payload

cdef struct PostingChange:
    uint64_t id
    Payload payload                    # of an addition
    bint removed

cdef struct Block:                     # one that was opened
    uint64_t first
    uint32_t count
    uint32_t encoding                  # BlockEncoding without the flag
    const uint8_t* ids
    size_t ids_size
    const uint8_t* payload             # NULL: none
    size_t payload_size

cdef void list_init(PostingList* list, bint with_payload) noexcept nogil
cdef void list_release(PostingList* list) noexcept nogil
cdef bint list_reserve(PostingList* list, size_t extra) noexcept nogil     # False: no memory

# E_CORRUPT when the bytes are no block; a block that was opened can be read without further checks of its ids.
cdef int block_open(uint64_t first, const uint8_t* value, uint64_t size, Block* block) noexcept nogil
# As block_open for who needs the count alone; 0 when these are no block.
cdef uint32_t block_count(const uint8_t* value, uint64_t size) noexcept nogil
# Append its ids to a list; E_CORRUPT, E_NO_MEMORY.
cdef int block_ids(const Block* block, IdList* list) noexcept nogil
# Write its ids to `out`, which has room for block.count; E_CORRUPT.
cdef int block_decode(const Block* block, uint64_t* out) noexcept nogil
# Append ids and payloads, which point into the block.
cdef int block_list(const Block* block, PostingList* list) noexcept nogil
# The frequencies alone, into `out` of block.count.
cdef int block_frequencies(const Block* block, uint32_t* out) noexcept nogil

# `changes` ascend by id, each id once. An addition replaces the payload of an id that is there; what is removed and is
# not there stays away.
cdef int list_merge(const PostingList* old, const PostingChange* changes, size_t count,
                    PostingList* merged) noexcept nogil
# Write the block that begins with id number `start` behind what `out` has; returns how many ids it took. Failures are
# those of `out`.
cdef size_t block_write(const PostingList* list, size_t start, bint spread, Output* out) noexcept nogil

# The positions of a payload into `out` (POSITIONS_MAX); their number.
cdef uint32_t payload_positions(const Payload* payload, uint32_t* out) noexcept nogil


cdef inline size_t varint_write(uint8_t* target, uint64_t value) noexcept nogil:
    """At most 10 bytes."""
    cdef size_t size = 0
    while value >= 0x80:
        target[size] = <uint8_t>(value | 0x80)
        value >>= 7
        size += 1
    target[size] = <uint8_t>value
    return size + 1


cdef inline bint varint_read(const uint8_t** position, const uint8_t* end, uint64_t* value) noexcept nogil:
    """False when it does not end before `end` or within 10 bytes."""
    cdef const uint8_t* here = position[0]
    cdef uint64_t result
    cdef int shift = 7
    if here >= end:
        return False
    result = here[0]
    here += 1
    if result >= 0x80:
        result &= 0x7F
        while True:
            if here >= end or shift > 63:
                return False
            result |= <uint64_t>(here[0] & 0x7F) << shift
            shift += 7
            here += 1
            if (here - 1)[0] < 0x80:
                break
    position[0] = here
    value[0] = result
    return True

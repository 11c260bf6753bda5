"""A bump allocator: memory for one operation, taken piece by piece and given back as a whole.

The chunks survive `arena_reset`, because fresh memory has to be faulted in page by page and is the dearest kind.
An arena belongs to one thread at a time; nothing in it may be used after the reset or release that follows.

    cdef Arena arena
    arena_init(&arena, limit_bytes)
    piece = <Thing*>arena_take(&arena, sizeof(Thing), 8)   # NULL: limit reached or no memory
    arena_reset(&arena)                                    # all pieces gone, chunks kept
    arena_release(&arena)                                  # chunks gone as well
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t, uintptr_t

cdef enum:
    ARENA_CHUNK_BYTES = 65536           # size of the first chunk; each further one doubles
    ARENA_CHUNK_BYTES_MAX = 16777216    # largest chunk made for pieces smaller than it

cdef struct ArenaChunk:
    ArenaChunk* next                    # in order of making; NULL for the last
    size_t size                         # usable bytes after this header

cdef struct Arena:
    uint8_t* position                   # next free byte of the current chunk; NULL before the first piece
    uint8_t* end                        # end of the current chunk
    ArenaChunk* current                 # chunk that position points into
    ArenaChunk* first                   # head of the list of all chunks
    size_t chunk_bytes                  # bytes of all chunks, headers included. Invariant: <= limit_bytes
    size_t limit_bytes                  # arena_take answers NULL rather than go beyond it
    uint64_t taken_bytes                # handed out since the last reset, without padding

cdef void arena_init(Arena* arena, size_t limit_bytes) noexcept nogil
cdef void arena_reset(Arena* arena) noexcept nogil
cdef void arena_release(Arena* arena) noexcept nogil

# Slow path of arena_take: moves to the next chunk that fits, or makes one.
cdef void* arena_take_chunk(Arena* arena, size_t size, size_t align) noexcept nogil


# `size` bytes at an address that is a multiple of `align` (a power of two, at most 64); contents undefined.
# NULL when the limit would be exceeded or memory cannot be had. A piece of size 0 is a valid address.
cdef inline void* arena_take(Arena* arena, size_t size, size_t align) noexcept nogil:
    cdef size_t padding = <size_t>(-<uintptr_t>arena.position) & (align - 1)
    cdef size_t room = <size_t>(arena.end - arena.position)
    cdef uint8_t* piece
    if arena.position == NULL or padding > room or size > room - padding:
        return arena_take_chunk(arena, size, align)
    piece = arena.position + padding
    arena.position = piece + size
    arena.taken_bytes += size
    return piece

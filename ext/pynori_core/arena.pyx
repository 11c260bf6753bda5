"""The slow half of the bump allocator: chunks are made, revisited after a reset, and freed together."""

from libc.stdlib cimport free, malloc
from libc.string cimport memset

from pynori_core.handles cimport HANDLE_ARENA_CHUNK, HANDLES_COUNTED, handle_closed, handle_opened


cdef enum:
    ALIGN_MAX = 64
    POISON = 0xA5                  # what the debug build fills memory with that was given back


cdef void arena_init(Arena* arena, size_t limit_bytes) noexcept nogil:
    arena.position = NULL
    arena.end = NULL
    arena.current = NULL
    arena.first = NULL
    arena.chunk_bytes = 0
    arena.limit_bytes = limit_bytes
    arena.taken_bytes = 0


cdef inline void enter(Arena* arena, ArenaChunk* chunk) noexcept nogil:
    arena.current = chunk
    arena.position = <uint8_t*>chunk + sizeof(ArenaChunk)
    arena.end = arena.position + chunk.size


cdef void poison(Arena* arena) noexcept nogil:
    """All that was handed out, so that a piece used after its end is noticed."""
    cdef ArenaChunk* chunk = arena.first
    cdef size_t used
    while chunk != NULL and arena.taken_bytes > 0:
        used = chunk.size
        if chunk == arena.current:
            used = <size_t>(arena.position - <uint8_t*>chunk) - sizeof(ArenaChunk)
        memset(<uint8_t*>chunk + sizeof(ArenaChunk), POISON, used)
        chunk = NULL if chunk == arena.current else chunk.next


cdef void arena_reset(Arena* arena) noexcept nogil:
    if HANDLES_COUNTED:
        poison(arena)
    arena.taken_bytes = 0
    if arena.first != NULL:
        enter(arena, arena.first)


cdef void arena_release(Arena* arena) noexcept nogil:
    cdef ArenaChunk* chunk = arena.first
    cdef ArenaChunk* next_chunk
    while chunk != NULL:
        next_chunk = chunk.next
        handle_closed(HANDLE_ARENA_CHUNK)
        free(chunk)
        chunk = next_chunk
    arena_init(arena, arena.limit_bytes)


cdef ArenaChunk* make_chunk(Arena* arena, size_t needed) noexcept nogil:
    """A chunk for a piece of `needed` bytes with its padding, put behind the current one; NULL beyond the limit."""
    cdef size_t wanted = arena.chunk_bytes
    cdef size_t room = arena.limit_bytes - arena.chunk_bytes
    cdef ArenaChunk* chunk
    # Doubling: as much again as there is, within the bounds of one chunk and of what the limit leaves.
    if wanted < ARENA_CHUNK_BYTES:
        wanted = ARENA_CHUNK_BYTES
    if wanted > ARENA_CHUNK_BYTES_MAX:
        wanted = ARENA_CHUNK_BYTES_MAX
    if needed > room or sizeof(ArenaChunk) > room - needed:
        return NULL
    if wanted < needed + sizeof(ArenaChunk):
        wanted = needed + sizeof(ArenaChunk)
    if wanted > room:
        wanted = room
    chunk = <ArenaChunk*>malloc(wanted)
    if chunk == NULL:
        return NULL
    chunk.size = wanted - sizeof(ArenaChunk)
    handle_opened(HANDLE_ARENA_CHUNK)
    arena.chunk_bytes += wanted
    if arena.current == NULL:
        chunk.next = NULL
        arena.first = chunk
    else:
        chunk.next = arena.current.next
        arena.current.next = chunk
    return chunk


cdef void* arena_take_chunk(Arena* arena, size_t size, size_t align) noexcept nogil:
    cdef ArenaChunk* chunk
    cdef size_t needed = size + align
    if align == 0 or align > ALIGN_MAX or align & (align - 1) or needed < size:
        return NULL
    # What a reset left behind is used again; a kept chunk that is too small for this piece is passed over.
    while arena.current != NULL and arena.current.next != NULL:
        enter(arena, arena.current.next)
        if arena.current.size >= needed:
            return arena_take(arena, size, align)
    chunk = make_chunk(arena, needed)
    if chunk == NULL:
        return NULL
    enter(arena, chunk)
    return arena_take(arena, size, align)


cdef class ArenaOwner:
    """An arena that lives as long as a Python object; takes return addresses."""

    cdef Arena arena

    def __cinit__(self, size_t limit_bytes):
        arena_init(&self.arena, limit_bytes)

    def __dealloc__(self):
        arena_release(&self.arena)

    def take(self, size_t size, size_t align=8):
        """The address of a new piece, or None when the limit is reached."""
        cdef void* piece = arena_take(&self.arena, size, align)
        return None if piece == NULL else <uintptr_t>piece

    def reset(self):
        arena_reset(&self.arena)

    def release(self):
        arena_release(&self.arena)

    @property
    def chunk_bytes(self):
        return self.arena.chunk_bytes

    @property
    def taken_bytes(self):
        return self.arena.taken_bytes

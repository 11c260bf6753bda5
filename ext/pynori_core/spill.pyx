"""Chunks of equal pieces over files without names."""

from libc.stdlib cimport calloc, free

from pynori_core.bits cimport atomic_add64, max64
from pynori_core.guard cimport guard_add, guard_remove


cdef SpillChunk* chunk_make(Spill* spill, uint64_t piece_bytes) noexcept nogil:
    cdef uint64_t size_bytes = max64(SPILL_CHUNK_BYTES, piece_bytes)
    cdef uint32_t pieces = <uint32_t>(size_bytes // piece_bytes)
    cdef SpillChunk* chunk
    cdef uint32_t number
    if spill.disk == NULL or spill.reserved_bytes + size_bytes > spill.bytes_max:
        return NULL
    chunk = <SpillChunk*>calloc(1, sizeof(SpillChunk) + pieces * sizeof(uint32_t))
    if chunk == NULL:
        return NULL
    if spill.disk.spill(spill.disk, size_bytes, &chunk.base) != 0:
        free(chunk)
        return NULL
    guard_add(chunk.base, size_bytes, b"a file of spilled pages")
    chunk.size_bytes = size_bytes
    chunk.piece_bytes = piece_bytes
    chunk.pieces = pieces
    chunk.free_count = pieces
    chunk.free = <uint32_t*>(chunk + 1)
    for number in range(pieces):
        chunk.free[number] = pieces - 1 - number
    chunk.next = spill.chunks
    spill.chunks = chunk
    atomic_add64(&spill.reserved_bytes, size_bytes)
    return chunk


cdef void chunk_release(Spill* spill, SpillChunk* chunk) noexcept nogil:
    guard_remove(chunk.base)
    spill.disk.unspill(spill.disk, chunk.base, chunk.size_bytes)
    atomic_add64(&spill.reserved_bytes, -chunk.size_bytes)
    free(chunk)


cdef uint8_t* spill_take(Spill* spill, uint64_t piece_bytes) noexcept nogil:
    cdef SpillChunk* chunk = spill.chunks
    while chunk != NULL and (chunk.piece_bytes != piece_bytes or chunk.free_count == 0):
        chunk = chunk.next
    if chunk == NULL:
        chunk = chunk_make(spill, piece_bytes)
    if chunk == NULL:
        spill.full = True
        return NULL
    chunk.free_count -= 1
    atomic_add64(&spill.used_bytes, piece_bytes)
    return chunk.base + chunk.free[chunk.free_count] * piece_bytes


cdef bint spill_give(Spill* spill, const uint8_t* data) noexcept nogil:
    cdef SpillChunk** link = &spill.chunks
    cdef SpillChunk* chunk
    while link[0] != NULL and not link[0].base <= data < link[0].base + link[0].size_bytes:
        link = &link[0].next
    chunk = link[0]
    if chunk == NULL:
        return False
    chunk.free[chunk.free_count] = <uint32_t>(<uint64_t>(data - chunk.base) // chunk.piece_bytes)
    chunk.free_count += 1
    atomic_add64(&spill.used_bytes, -chunk.piece_bytes)
    spill.full = False
    if chunk.free_count == chunk.pieces:
        link[0] = chunk.next
        chunk_release(spill, chunk)
    return True


cdef void spill_close(Spill* spill) noexcept nogil:
    cdef SpillChunk* chunk
    while spill.chunks != NULL:
        chunk = spill.chunks
        spill.chunks = chunk.next
        chunk_release(spill, chunk)

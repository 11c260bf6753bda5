"""Page images on disk in place of memory, for a snapshot that stays open longer than memory lasts.

A piece is ordinary memory to whoever uses it: the map of a file without a name, whose blocks were allocated before, so
that a full disk is found here and not while somebody writes. The system moves its pages to the disk and back as it
sees fit. Each chunk is a file of its own, and the disk has it back when its last piece is given back.

All of it belongs to whoever holds the writer's lock.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from pynori_core.disk cimport Disk

cdef enum:
    SPILL_CHUNK_BYTES = 16777216

cdef struct SpillChunk:
    SpillChunk* next
    uint8_t* base
    uint64_t size_bytes
    uint64_t piece_bytes
    uint32_t pieces
    uint32_t free_count
    uint32_t* free                 # numbers of the pieces that nobody has; behind the struct

cdef struct Spill:
    Disk* disk
    uint64_t bytes_max             # of the disk
    uint64_t reserved_bytes        # taken from it
    uint64_t used_bytes            # in pieces that somebody has
    SpillChunk* chunks
    bint full                      # the last piece was refused, and none was given back since

# `piece_bytes` of memory that read as anything; NULL: the limit or the disk does not let it.
cdef uint8_t* spill_take(Spill* spill, uint64_t piece_bytes) noexcept nogil
# False: the memory did not come from here.
cdef bint spill_give(Spill* spill, const uint8_t* data) noexcept nogil
cdef void spill_close(Spill* spill) noexcept nogil

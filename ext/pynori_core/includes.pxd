"""Includes: which further documents the fields of a document name, each once.

A path is a property path, `a`, `a.b`, `lines[].product`, optionally with a prefix for what stands there,
`foo(customers/)`. Arrays on the way are walked item by item, whether or not the path says `[]`. A string names a
document by its id, a whole number too.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.output cimport Output

cdef enum:
    INCLUDE_PATHS_MAX = 1000           # of one load
    INCLUDE_SEGMENTS_MAX = 32          # of one path
    INCLUDE_IDS_MAX = 65536            # ids of one load, those asked for included

cdef struct IncludePath:
    const uint8_t* names[32]           # INCLUDE_SEGMENTS_MAX; they point into the path's text
    size_t name_sizes[32]
    int count
    const uint8_t* prefix
    size_t prefix_size

cdef struct IncludeEntry:
    uint64_t hash
    size_t key_offset                  # in IncludeSet.keys
    uint32_t key_size
    uint32_t is_asked                  # it is a result itself

cdef struct IncludeSet:                # in order of first mention; the table finds by hash
    IncludeEntry* entries
    uint32_t count
    uint32_t capacity
    uint32_t* table                    # entry number + 1; at most half full
    uint32_t table_mask
    Output keys                        # lower-cased ids
    int failure                        # ErrorCode; once set, nothing is added

cdef int include_parse(const uint8_t* text, size_t size, IncludePath* path) noexcept nogil      # E_INVALID
cdef void include_set_init(IncludeSet* found) noexcept nogil
cdef void include_set_release(IncludeSet* found) noexcept nogil
cdef void include_add(IncludeSet* found, const uint8_t* id, size_t size, bint is_asked) noexcept nogil
# Add what a document (blittable bytes) names under a path.
cdef void include_collect(IncludeSet* found, const uint8_t* body, size_t size, const IncludePath* path) noexcept nogil

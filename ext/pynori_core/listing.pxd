"""Walks over many documents: those whose id begins with a prefix, the newest, those of a collection, all items.

A walk is a plain struct over a snapshot: start it with one of the functions, then step. Prefix walks go in order of the
ids' keys, with `|`-separated patterns of `*` and `?` for what follows the prefix; the others in etag order.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.cursor cimport Cursor
from pynori_core.errors cimport ErrorDetail
from pynori_core.identifier cimport ID_KEY_SIZE_MAX
from pynori_core.items cimport Snapshot
from pynori_core.table cimport RowScan
from pynori_core.tables cimport Item

cdef struct Pattern:
    uint8_t text[776]                  # lower-cased (ID_KEY_SIZE_MAX + 8); empty: no pattern is given
    size_t size

cdef struct Walk:
    Snapshot* snapshot
    Item item                          # current, after walk_next answered OK
    uint64_t skip                      # documents to pass over before the first answer
    uint64_t left                      # answers still to be given
    bint is_prefix
    bint documents_only
    bint started
    # by prefix
    Cursor cursor
    uint8_t key[776]                   # where to start (ID_KEY_SIZE_MAX + 8)
    size_t key_size
    bint beyond                        # the start itself is not part of it
    size_t prefix_size                 # the first bytes of `prefix`
    uint8_t prefix[776]
    Pattern matches
    Pattern exclude
    # by etag
    RowScan scan
    bint empty

cdef bint pattern_match(const uint8_t* patterns, size_t size, const uint8_t* text, size_t text_size) noexcept nogil

cdef int walk_prefix(Walk* walk, Snapshot* snapshot, const uint8_t* prefix, size_t prefix_size,
                     const uint8_t* start_after, size_t start_after_size, uint64_t start, uint64_t count) noexcept nogil
# E_TOO_LARGE when text is longer than an id may be; so does walk_prefix.
cdef int pattern_set(Pattern* pattern, const uint8_t* text, size_t size) noexcept nogil
cdef int walk_recent(Walk* walk, Snapshot* snapshot, uint64_t start, uint64_t count) noexcept nogil
cdef int walk_collection(Walk* walk, Snapshot* snapshot, const uint8_t* name, size_t name_size, uint64_t start,
                         uint64_t count, bint descending) noexcept nogil
# Documents of a collection with a higher etag, in etag order.
cdef int walk_collection_since(Walk* walk, Snapshot* snapshot, const uint8_t* name, size_t name_size, uint64_t etag,
                               uint64_t count) noexcept nogil
# Documents, tombstones and versions in conflict with a higher etag.
cdef int walk_items(Walk* walk, Snapshot* snapshot, uint64_t etag, uint64_t count) noexcept nogil
cdef int walk_next(Walk* walk) noexcept nogil                      # E_NOT_FOUND: the end

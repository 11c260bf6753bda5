"""Documents that have left a collection for another one, so that whoever follows one collection hears of it.

A tombstone tells of a deletion as long as it is the newest row of its id. When the id is then used in another
collection, that row takes the tombstone's place, and the old collection would know nothing of it. So the etag of the
new row is kept for the old collection, once for each id that has left it, until a purge of tombstones comes by.

They lie in tree "collections": "e", number, etag -> the id as spelt; "l", number, key of the id -> etag (all u32 or
u64 BE). What an entry says is history: where the document is by now, its index entry tells.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.tables cimport DocumentTables

cdef struct Departure:
    uint32_t collection                # that was left
    uint64_t etag                      # of the row that is in another collection
    const uint8_t* id                  # until the next change
    size_t id_size

# That the row `etag` has taken the place of one of `collection`; an earlier departure of that id from it is forgotten.
cdef int departure_add(DocumentTables* tables, uint32_t collection, const uint8_t* key, size_t key_size,
                       const uint8_t* id, size_t id_size, uint64_t etag) noexcept nogil
# The first one from a collection at or behind an etag; E_NOT_FOUND at the end. Collections follow each other when
# `any_collection`.
cdef int departure_next(DocumentTables* tables, uint32_t collection, uint64_t etag, bint any_collection,
                        Departure* departure) noexcept nogil
# Etag of the departure of an id from a collection, or E_NOT_FOUND.
cdef int departure_find(DocumentTables* tables, uint32_t collection, const uint8_t* key, size_t key_size,
                        uint64_t* etag) noexcept nogil
# Forget those up to an etag, at most so many; says how many went.
cdef int departures_purge(DocumentTables* tables, uint64_t etag_max, uint64_t count_max,
                          uint32_t* count) noexcept nogil

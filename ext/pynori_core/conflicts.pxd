"""Which rows are the versions of an id in conflict.

The id's index entry leads to the newest of them (kind ITEM_CONFLICT in its Cover), and tree "database" lists them all:
"conflict/" and the key of the id -> their etags, u64 each, ascending, two at least. Each of the rows has a change
vector that none of the others has seen.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

from pynori_core.cursor cimport Cursor
from pynori_core.tables cimport DocumentTables

cdef enum:
    CONFLICT_VERSIONS_MAX = 256        # each has an entry of its own in the vector of whatever ends the conflict
    CONFLICT_PREFIX_SIZE = 9

# Etags of the versions, written to `etags` (CONFLICT_VERSIONS_MAX); E_NOT_FOUND when the id is in no conflict.
cdef int conflict_read(DocumentTables* tables, const uint8_t* key, size_t key_size, uint64_t* etags,
                       int* count) noexcept nogil
cdef int conflict_write(DocumentTables* tables, const uint8_t* key, size_t key_size, const uint64_t* etags,
                        int count) noexcept nogil
cdef int conflict_delete(DocumentTables* tables, const uint8_t* key, size_t key_size) noexcept nogil
# To the first conflict whose id has this key or a later one; then `conflict_step` to those behind. The key of the id is
# cursor.key from CONFLICT_PREFIX_SIZE on. E_NOT_FOUND: there are no more.
cdef int conflict_seek(Cursor* cursor, DocumentTables* tables, const uint8_t* key, size_t key_size) noexcept nogil
cdef int conflict_step(Cursor* cursor) noexcept nogil
# The etags at a cursor, as conflict_read.
cdef int conflict_at(Cursor* cursor, DocumentTables* tables, uint64_t* etags, int* count) noexcept nogil

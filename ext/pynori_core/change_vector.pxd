"""Change vectors: what a document version has seen, one entry per database that wrote it, `A:17-<22 base64
characters>`.

Binary form: packed entries, in canonical order (tag, then database id), at most one per identity. Text and binary
form are one to one. The identity of an entry is its database id; RAFT, TRXN, SINK and MOVE entries are counters of
their own beside the node's entry of the same id, so they survive parsing, merging and comparing. A node that changed
its tag keeps its identity: the entry with the higher etag wins, with its tag.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    VECTOR_ENTRIES_MAX = 256       # of one vector: databases that ever wrote one group; more is hostile
    VECTOR_ENTRY_TEXT_MAX = 50     # "ABCD:18446744073709551615-" and 22 characters, and ", " before the next
    VECTOR_TEXT_MAX = 12800        # VECTOR_ENTRIES_MAX * VECTOR_ENTRY_TEXT_MAX
    DATABASE_ID_SIZE = 16
    DATABASE_ID_TEXT_SIZE = 22     # base64 without padding

cdef extern from *:
    """
    #define PYN_ETAG_MAX 0x7fffffffffffffffULL
    """
    const uint64_t ETAG_MAX "PYN_ETAG_MAX"   # no entry that is taken from outside counts higher

cdef enum VectorOrder:
    VECTOR_EQUAL = 0
    VECTOR_NEWER = 1               # left has seen all that right has, and more
    VECTOR_OLDER = 2
    VECTOR_CONFLICT = 3            # each has seen what the other has not

cdef packed struct VectorEntry:    # 28 bytes, in memory and on disk
    uint64_t etag
    uint32_t tag                   # 1 to 4 ASCII letters or digits, first one in the highest byte, rest zero
    uint8_t id[16]                 # database id

# Entries in canonical order, or -1: not a change vector. The empty text has 0 entries. Blanks around commas are taken.
cdef int vector_parse(const char* text, size_t size, VectorEntry* entries, int capacity) noexcept nogil
# Bytes written, without a terminator; `text` has room for count * VECTOR_ENTRY_TEXT_MAX.
cdef size_t vector_format(const VectorEntry* entries, int count, char* text) noexcept nogil
cdef VectorOrder vector_compare(const VectorEntry* left, int left_count,
                                const VectorEntry* right, int right_count) noexcept nogil
# Raise `target` to what either has seen; its new count, or -1 when `capacity` would be exceeded (it is then partly
# merged).
cdef int vector_merge(VectorEntry* target, int count, int capacity,
                      const VectorEntry* source, int source_count) noexcept nogil
# What a database's own entry counts, by its id; 0 when there is none.
cdef uint64_t vector_etag(const VectorEntry* entries, int count, const uint8_t* id) noexcept nogil
# How many commands of cluster-wide transactions it has seen: the highest count under the tag RAFT; 0: none.
cdef uint64_t vector_raft(const VectorEntry* entries, int count) noexcept nogil
# Take out of `target` the entries of `source`'s identities that count as high or higher. Its new count.
cdef int vector_without(VectorEntry* target, int count, const VectorEntry* source, int source_count) noexcept nogil
# Whether entries that come from outside are in canonical order, with tags that are tags and
# etags from 1 to ETAG_MAX.
cdef bint vector_valid(const VectorEntry* entries, int count) noexcept nogil

# A tag of 1 to 4 letters or digits as a number, 0 when it is none; and back (bytes written).
cdef uint32_t tag_parse(const char* text, size_t size) noexcept nogil
cdef size_t tag_format(uint32_t tag, char* text) noexcept nogil

# 16 bytes to 22 characters and back (False: not 22 characters of canonical base64).
cdef void database_id_format(const uint8_t* id, char* text) noexcept nogil
cdef bint database_id_parse(const char* text, uint8_t* id) noexcept nogil

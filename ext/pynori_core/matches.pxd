"""Sets of entry ids: ascending u64 in one native buffer, with the arithmetic of sets.

An IdList grows while ids are collected in any order; `ids_finish` sorts it and drops what is there twice. Matches is
what Python holds of a finished one; slices share its memory. Nothing here changes a buffer that a Matches has.
"""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t

cdef enum:
    ID_SPAN_BITS_MAX = 1073741824  # ids further apart than this are not put into a bitmap (128 MB)

cdef struct IdList:
    uint64_t* ids                  # malloc'd
    size_t count
    size_t capacity
    bint unsorted                  # some id is not greater than the one before it
    bint failed                    # no memory; adding does nothing any more

cdef void ids_init(IdList* list) noexcept nogil
cdef void ids_release(IdList* list) noexcept nogil
cdef bint ids_reserve(IdList* list, size_t extra) noexcept nogil           # False: no memory
cdef int ids_finish(IdList* list) noexcept nogil                           # OK or E_NO_MEMORY
cdef void ids_sort(uint64_t* ids, size_t count) noexcept nogil
# Index of the first id >= wanted.
cdef size_t ids_find(const uint64_t* ids, size_t count, uint64_t wanted) noexcept nogil

cdef inline void ids_add(IdList* list, uint64_t id) noexcept nogil:
    if list.count == list.capacity and not ids_reserve(list, 1):
        return
    if list.count and list.ids[list.count - 1] >= id:
        list.unsorted = True
    list.ids[list.count] = id
    list.count += 1


# `out` has room for one id more than there can be (of the smaller set, of both, of the left one), and is neither of the
# two. Returns how many there are.
cdef size_t ids_intersect(const uint64_t* left, size_t left_count, const uint64_t* right, size_t right_count,
                          uint64_t* out) noexcept nogil                    # out may be NULL: counts only
cdef size_t ids_union(const uint64_t* left, size_t left_count, const uint64_t* right, size_t right_count,
                      uint64_t* out) noexcept nogil
cdef size_t ids_minus(const uint64_t* left, size_t left_count, const uint64_t* right, size_t right_count,
                      uint64_t* out) noexcept nogil


# Membership of ids as bits, for ids that are not too far apart.
cdef struct IdBits:
    uint64_t* words                # calloc'd
    uint64_t first                 # the id of bit 0, a multiple of 64
    uint64_t bits                  # ids from first + bits on are not in it

cdef int bits_init(IdBits* bits, uint64_t first, uint64_t last) noexcept nogil   # E_TOO_LARGE: too far apart
cdef void bits_release(IdBits* bits) noexcept nogil
cdef void bits_add(IdBits* bits, const uint64_t* ids, size_t count) noexcept nogil

cdef inline bint bits_has(const IdBits* bits, uint64_t id) noexcept nogil:
    cdef uint64_t position = id - bits.first
    return position < bits.bits and (bits.words[position >> 6] >> (position & 63)) & 1


cdef inline bint bits_set(IdBits* bits, uint64_t id) noexcept nogil:
    """True when it was not set before; ids outside are taken as set."""
    cdef uint64_t position = id - bits.first
    cdef uint64_t mask = <uint64_t>1 << (position & 63)
    if position >= bits.bits or bits.words[position >> 6] & mask:
        return False
    bits.words[position >> 6] |= mask
    return True


cdef inline bint bits_clear(IdBits* bits, uint64_t id) noexcept nogil:
    """True when it was set."""
    cdef uint64_t position = id - bits.first
    cdef uint64_t mask = <uint64_t>1 << (position & 63)
    if position >= bits.bits or not bits.words[position >> 6] & mask:
        return False
    bits.words[position >> 6] &= ~mask
    return True


@cython.final
cdef class IdBuffer:
    """Memory that Matches and their slices share."""
    cdef uint64_t* ids
    cdef double* scores            # NULL, or as many as ids


@cython.final
cdef class Matches:
    cdef IdBuffer owner
    cdef const uint64_t* ids       # inside owner
    cdef size_t count
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]


@cython.final
cdef class Ordered:
    cdef IdBuffer owner
    cdef const uint64_t* ids
    cdef const double* values      # scores, or NULL
    cdef size_t count
    cdef int64_t known_total       # -1: not counted
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]


# Takes the list's memory over; it must be finished.
cdef Matches matches_take(IdList* list)
# Takes both over; scores may be NULL. `total`: how many there were before skip and limit, or -1.
cdef Ordered ordered_take(IdList* list, double* scores, int64_t total)
# The ids of a Matches or Ordered; TypeError for anything else. Good as long as the object.
cdef int ids_of(object ids, const uint64_t** data, size_t* count) except -1

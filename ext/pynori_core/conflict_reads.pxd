"""What is in conflict: ids in order, and the versions of one."""

cimport cython
from libc.stdint cimport uint64_t


@cython.final
cdef class Version:
    cdef readonly str id
    cdef readonly str change_vector
    cdef readonly str last_modified
    cdef readonly str collection
    cdef readonly uint64_t etag
    cdef readonly str flags
    cdef readonly bytes json           # with the server's metadata; None: it was deleted

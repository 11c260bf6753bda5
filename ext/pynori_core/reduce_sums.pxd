"""The map and the reduce of an automatic map-reduce index: values at paths make groups and sums."""

cimport cython
from libc.stdint cimport uint32_t

from pynori_core.index_feed cimport FieldPath
from pynori_core.reduce_store cimport RowProgram, RowReduce


@cython.final
cdef class SumReduce(RowReduce):
    cdef readonly uint32_t fields


@cython.final
cdef class GroupPaths(RowProgram):
    cdef FieldPath keys[32]
    cdef FieldPath sums[32]
    cdef uint32_t key_count
    cdef uint32_t sum_count
    cdef list names                    # keeps the bytes of the steps alive
    cdef readonly SumReduce reduce

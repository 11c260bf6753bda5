"""The storage of one query index as Python holds it: the environment, which makes writers and snapshots."""

cimport cython

from pynori_core.env cimport Environment


@cython.final
cdef class IndexStore:
    cdef Environment env
    cdef object __weakref__

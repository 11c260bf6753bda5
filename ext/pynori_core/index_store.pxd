"""The storage of one query index as Python holds it: the environment, which makes writers and snapshots."""

cimport cython

from pynori_core.env cimport Environment
from pynori_core.index_columns cimport ColumnCache


@cython.final
cdef class IndexStore:
    cdef Environment env
    cdef ColumnCache columns
    cdef object __weakref__

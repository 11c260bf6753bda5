"""What the writer and the snapshots of an index share as Python sees them: fields, meta values, exceptions."""

cimport cython
from libc.stdint cimport uint32_t

from pynori_core.index_trees cimport IndexTrees
from pynori_core.txn cimport Txn


@cython.final
cdef class IndexField:
    cdef readonly uint32_t number
    cdef readonly str name
    cdef readonly bint exact
    cdef readonly bint text


cdef list fields_list(IndexTrees* trees)
cdef bytes meta_key(str key)
# None when it is not there; `code` is then OK.
cdef bytes meta_read(IndexTrees* trees, bytes key, int* code)
# Raise what the transaction keeps, or, when it keeps nothing, what the code says. Damage is told with the index's
# directory: a message that names `data.pynori` alone could be of any environment.
cdef int raise_txn(Txn* txn, int code, str directory) except -1
cdef int raise_plain(int code, const char* text) except -1

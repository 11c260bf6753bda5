"""Trees and tables as Python sees them: views of one transaction, for tools and tests."""

from libc.stdint cimport uint8_t
from pynori_core.btree cimport Tree
from pynori_core.format cimport TreeHeader
from pynori_core.table cimport Table
from pynori_core.txn cimport Transaction

cdef class TreeView:
    cdef Transaction owner         # keeps the transaction's memory alive
    cdef Tree tree
    cdef readonly bytes name

    cdef bytes key_bytes(self, object key)
    cdef object key_object(self, const uint8_t* key, size_t key_size)
    cdef const TreeHeader* header(self) except NULL

cdef class TableView:
    cdef Transaction owner
    cdef Table table

    cdef bint answered(self, int code) except -1
    cdef int index_checked(self, int index) except -1

"""Trees as Python sees them: a view of one tree in one transaction, for tools and tests."""

from libc.stdint cimport uint8_t
from pynori_core.btree cimport Tree
from pynori_core.format cimport TreeHeader
from pynori_core.txn cimport Transaction

cdef class TreeView:
    cdef Transaction owner         # keeps the transaction's memory alive
    cdef Tree tree
    cdef readonly bytes name

    cdef bytes key_bytes(self, object key)
    cdef object key_object(self, const uint8_t* key, size_t key_size)
    cdef const TreeHeader* header(self) except NULL

"""Compiled expressions as the maps and the reduce of an index: from documents to rows to reduced rows, natively.

Rows are blittable documents. The key of a row is the JSON of what the key's program gives; kinds of values whose text
only the interpreter's encoder knows (doubles, objects of documents, texts with control characters) are written by it.
"""

cimport cython
from libc.stddef cimport size_t

from pynori_core.expr cimport Program
from pynori_core.expr_eval cimport BuiltDocument, Evaluation
from pynori_core.field_value cimport FieldValue
from pynori_core.reduce_store cimport RowProgram, RowReduce


@cython.final
cdef class ProgramRows(RowProgram):
    """The maps of one collection and the key of their rows."""
    cdef list programs                 # keeps their code alive
    cdef Evaluation* maps              # malloc'd; one a program
    cdef size_t map_count
    cdef Program key
    cdef Evaluation key_evaluation
    cdef bint key_opened
    cdef object encode                 # a value as JSON
    cdef list errors
    cdef const BuiltDocument** built   # malloc'd; rows of one map in their order
    cdef size_t built_capacity


@cython.final
cdef class ProgramReduce(RowReduce):
    """A reduce: `partial` makes rows of parts of a group, `whole` the row of a group."""
    cdef Program partial
    cdef Program whole
    cdef Evaluation partial_evaluation
    cdef Evaluation whole_evaluation
    cdef bint opened
    cdef FieldValue* items             # malloc'd; rows of one job
    cdef size_t capacity

"""A compiled expression as what feeds an index: documents to entries without the interpreter.

Fields of the program have numbers of their own; `numbers` says which fields of the index they are. Documents that the
program asks for by LoadDocument are noted, with the document that asked, until they are taken.
"""

cimport cython
from libc.stdint cimport uint32_t

from pynori_core.expr cimport Program
from pynori_core.expr_eval cimport Evaluation
from pynori_core.field_value cimport FieldSink
from pynori_core.index_feed cimport FeedProgram
from pynori_core.output cimport Output


@cython.final
cdef class ExpressionFeed(FeedProgram):
    cdef readonly Program program
    cdef Evaluation evaluation
    cdef bint opened
    cdef uint32_t* numbers             # of the index, by field of the program
    cdef const FieldSink* inner        # the feed's sink, while a document is evaluated
    cdef bint has_values               # of the entry that is being given
    cdef Output references             # u16 size, id; then for each reference u16 size, id, u16 size, collection; 0

"""Python's side of the merger: batches go in as futures, one wake-up per commit brings their results back to the
loop.

A Dispatcher serves all databases of one event loop: its sink has one descriptor that the loop watches, so that
opening a database costs the loop nothing.
"""

cimport cython
from libc.stdint cimport uint32_t

from pynori_core.command cimport Batch
from pynori_core.items cimport DocumentStore
from pynori_core.merger cimport Merger, Sink, UserTxn


@cython.final
cdef class Dispatcher:
    cdef Sink sink
    cdef object loop_reference         # weak
    cdef object make_exception         # engine exception to what futures get
    cdef int users                     # databases
    cdef int finish(self, UserTxn* user) except -1


@cython.final
cdef class DocumentWriter:
    cdef Merger* merger                # NULL: closed
    cdef DocumentStore store           # entered as long as merger is there
    cdef uint32_t inside               # calls under way, atomic; the merger is destroyed when there are none
    cdef Merger* enter(self) except NULL
    cdef UserTxn* hand_over(self, Batch batch) except NULL

"""Python's side of the merger: batches go in as futures, one wake-up per commit brings their results back to the
loop.

A Dispatcher serves all databases of one event loop: its sink has one descriptor that the loop watches, so that
opening a database costs the loop nothing.
"""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t

from pynori_core.command cimport Batch
from pynori_core.completion cimport WriteStart, WriteWaiter
from pynori_core.items cimport DocumentStore
from pynori_core.merger cimport Merger, Sink, UserAnswer, UserTxn


@cython.final
cdef class Dispatcher:
    cdef Sink sink
    cdef object loop_reference         # weak
    cdef object make_exception         # engine exception to what futures get
    cdef int users                     # databases
    cdef tuple listeners               # called after each wake-up
    cdef int finish(self, UserTxn* user) except -1
    cdef int tell(self, WriteWaiter waiter, UserTxn* user) except -1


@cython.final
cdef class DocumentWriter:
    cdef Merger* merger                # NULL: closed
    cdef DocumentStore store           # entered as long as merger is there
    cdef public object growth_refused  # None, or why batches that carry documents are refused: no room on the disk
    cdef uint32_t inside               # calls under way, atomic; the merger is destroyed when there are none
    cdef Merger* enter(self) except NULL
    cdef UserTxn* hand_over(self, Batch batch) except NULL
    cdef object execute_for(self, Batch batch, UserAnswer answer)
    cdef int submit_for(self, Batch batch, object owner, Dispatcher dispatcher, UserAnswer answer) except -1


# Single puts of one database, whose waiters are told in the dispatcher's loop.
@cython.final
cdef class PutStart(WriteStart):
    cdef DocumentWriter writer
    cdef Dispatcher dispatcher

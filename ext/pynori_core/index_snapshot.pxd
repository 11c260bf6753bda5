"""One index as of one commit, for any number of threads.

Each call works on a view of its own: a copy of the transaction and the few words of the trees. Closing makes later
calls raise; who is inside at that moment finishes first, and the last one out ends the transaction.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from pynori_core.env cimport ReadTxn
from pynori_core.index_columns cimport ColumnArray, ColumnCache
from pynori_core.index_trees cimport IndexTrees
from pynori_core.txn cimport Txn

cdef enum SnapshotState:               # above the number of calls inside
    SNAPSHOT_CLOSED = 0x20000000       # nobody may enter
    SNAPSHOT_ENDED = 0x40000000        # the transaction was ended, by whoever set this

cdef struct View:                      # what one call works on
    Txn txn
    IndexTrees trees


@cython.final
cdef class IndexSnapshot:
    cdef ReadTxn txn
    cdef ColumnCache columns           # of the store
    cdef IndexTrees trees
    cdef public object on_damage       # called with a CorruptError before it is raised; may raise another. None: nobody
    cdef list known                    # IndexFields, or None: not read yet
    cdef uint64_t state                # SnapshotState and calls inside, atomic
    cdef object __weakref__

    cdef int enter(self, View* view) except -1
    # Raises what the code says, unless it is OK.
    cdef int leave(self, View* view, int code) except -1
    cdef void exit(self) noexcept
    # ValueError when there is no field of that number.
    cdef int field_flags(self, uint32_t field) except -1


# The transaction is closed when that fails.
cdef IndexSnapshot snapshot_open(ReadTxn txn, ColumnCache columns)

# Give the call the field's column as an array, if there is one for so many looks; what comes back keeps its memory.
# An exception has left the snapshot.
cdef ColumnArray bring_column(IndexSnapshot snapshot, View* view, uint32_t field, uint64_t looks)
# For how many looks a range of perhaps many terms counts.
cdef uint64_t wide_looks(IndexSnapshot snapshot) noexcept

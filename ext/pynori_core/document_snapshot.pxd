"""One moment of a database for many reads: documents by id, scans, counts, all of the same commit.

A snapshot may be used by several threads; each call and each scan reads through a view of its own, a copy of the few
words that a read transaction is. Closing it makes every later step of its scans raise; who is inside at that moment
finishes first, and the last one out ends the transaction. A scan belongs to one thread at a time.
"""

cimport cython
from libc.stdint cimport uint64_t

from pynori_core.items cimport DocumentStore, ItemForm, Snapshot, StoredDocument
from pynori_core.listing cimport Walk

# A copy with its own error and its own hints, good as long as the snapshot.
cdef void snapshot_view(const Snapshot* snapshot, Snapshot* view) noexcept nogil

cdef enum SnapshotState:               # above the number of calls inside
    SNAPSHOT_CLOSED = 0x20000000       # nobody may enter
    SNAPSHOT_ENDED = 0x40000000        # the transaction was ended, by whoever set this


@cython.final
cdef class DocumentSnapshot:
    cdef DocumentStore store           # entered until the end
    cdef Snapshot snapshot
    cdef uint64_t state                # SnapshotState and calls inside, atomic
    cdef object __weakref__
    cdef int enter(self) except -1
    cdef void leave(self) noexcept
    cdef StoredDocument read(self, str id, ItemForm form, bint raises)


@cython.final
cdef class SnapshotScan:
    cdef DocumentSnapshot owner
    cdef Snapshot view
    cdef Walk walk
    cdef uint64_t busy                 # somebody is stepping; atomic
    cdef bint gives_items              # StreamItems instead of StoredDocuments
    cdef bint ends_snapshot            # together with itself
    cdef bint ended

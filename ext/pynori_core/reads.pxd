"""Python's side of reading: a document by id, several with includes, listings and streams, each on its own snapshot.

What goes to the wire is assembled here as ready bytes. A read of one document or a few keeps the GIL (see items.pxd); a
listing gives it up, since it may be long and is then run off the event loop. A stream holds its snapshot until it ends
or is closed; it belongs to one thread at a time, and may be closed by any.
"""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t

from pynori_core.items cimport DocumentStore, ItemForm, Snapshot
from pynori_core.listing cimport Walk


cdef struct Text:                      # UTF-8 of a str that somebody keeps alive
    const uint8_t* data
    size_t size

cdef Text text_of(str text) except *
cdef int raise_invalid(int code, const char* text) except -1


# Whoever takes a stream to STREAM_CLOSED gives the snapshot back, and nobody else.
cdef enum StreamState:
    STREAM_CLOSED = 0                  # holds nothing
    STREAM_IDLE = 1                    # holds the snapshot, and the store entered
    STREAM_BUSY = 2                    # somebody is stepping
    STREAM_CLOSING = 3                 # somebody is stepping, and closes it afterwards


@cython.final
cdef class DocumentReader:
    cdef DocumentStore store
    cdef object translate              # what `get` gives errors to, or None


@cython.final
cdef class LoadedDocuments:
    cdef readonly bytes body           # {"Results":[...],"Includes":{...}}
    cdef readonly str etag             # the change vector for one document without includes, else a hash
    cdef readonly Py_ssize_t found     # how many of those asked for exist


@cython.final
cdef class DocumentStream:
    cdef DocumentStore store
    cdef Snapshot snapshot
    cdef Walk walk
    cdef uint64_t state                # StreamState, atomic
    cdef bint items                    # gives StreamItems instead of JSON
    cdef object __weakref__

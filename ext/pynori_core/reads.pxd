"""Python's side of reading: a document by id, several with includes, listings and streams, each on its own snapshot.

What goes to the wire is assembled here as ready bytes. A read of one document or a few keeps the GIL (see items.pxd); a
listing gives it up, since it may be long and is then run off the event loop. A stream holds its snapshot until it ends
or is closed; it belongs to one thread at a time.
"""

cimport cython
from libc.stdint cimport uint64_t

from pynori_core.items cimport DocumentStore, ItemForm, Snapshot
from pynori_core.listing cimport Walk


@cython.final
cdef class DocumentReader:
    cdef DocumentStore store


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
    cdef bint is_open                  # holds the snapshot, and the store entered
    cdef bint items                    # gives StreamItems instead of JSON
    cdef object __weakref__

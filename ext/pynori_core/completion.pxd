"""The seam between what begins a write and what carries it out, without a future: two classes to be subclassed.

Who asks knows documents by id and JSON text alone; who writes knows nothing of connections. Both live on one loop.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t


# Waits for one write at a time, and is told of its end exactly once, on the loop, after it is durable.
cdef class WriteWaiter:
    # `id` as stored and the text of the change vector, neither ended by a zero; both live as long as the call.
    cdef int written(self, const uint8_t* id, size_t id_size, const char* vector, size_t vector_size) except -1
    # What a future would have raised.
    cdef int refused(self, object error) except -1


# Takes a document of one database. What it raises was raised before anything was taken, and nobody is told later.
cdef class WriteStart:
    cdef int begin(self, WriteWaiter waiter, str id, const uint8_t* body, size_t body_size) except -1

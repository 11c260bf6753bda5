"""The seam between what begins a write and what carries it out: nothing of its own happens here."""


cdef class WriteWaiter:
    """Base of what waits for a write."""

    cdef int written(self, const uint8_t* id, size_t id_size, const char* vector, size_t vector_size) except -1:
        raise TypeError(f"{type(self).__name__} has is told of a write and does not wait for any")

    cdef int refused(self, object error) except -1:
        raise TypeError(f"{type(self).__name__} has is told of a write and does not wait for any")


cdef class WriteStart:
    """Base of what takes writes."""

    cdef int begin(self, WriteWaiter waiter, str id, const uint8_t* body, size_t body_size) except -1:
        raise TypeError(f"{type(self).__name__} is handed a document and takes none")

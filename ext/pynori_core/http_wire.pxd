"""The native half of an HTTP connection: what happens on every request, before and after the part in Python.

Heads are parsed by a parser that the Python half owns; its callbacks for target and fields land here. Beside that stand
two short cuts, both for a client that repeats itself, and both exact to the byte:

- The field block that the parser has accepted last is remembered. When the same bytes come again behind a plain request
  line, with a body as long as before, only the request line is read.
- When such a request reads or writes one document by its id, and the beginning of its request line is that of the last
  one too, it is run and answered from here.

Whatever differs by a byte goes the whole way.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t

from pynori_core.completion cimport WriteStart, WriteWaiter

cdef enum:
    WIRE_TARGET_BYTES_MAX = 8192     # of the request target, and of one field
    WIRE_HEAD_BYTES_MAX = 32768      # of target and fields together
    WIRE_FIELDS_MAX = 100
    WIRE_KNOWN_BYTES_MAX = 2048      # of a field block that is remembered
    WIRE_BUCKETS = 16                # of the duration histogram; WIRE_BOUNDS_US in the .pyx


# What all connections of a listener share; the listener renews it with every tick.
cdef class Moment:
    cdef public double now        # seconds, of the loop's clock
    cdef public bytes read_head   # status line and constant fields of a 200 with JSON
    cdef public bytes write_head  # the same of a 201
    cdef public bint draining     # no connection is kept after its answer


cpdef double now_us() noexcept nogil


# Durations in microseconds.
cdef struct WireDurations:
    long buckets[WIRE_BUCKETS]
    double sum


# The beginning of a request line up to a document's id, and what to do with the id.
cdef class Repeated:
    cdef bytes prefix       # empty: nothing is known
    cdef object act         # Database.answer
    cdef WriteStart start   # of writes
    cdef object state       # whose raft_index must still be `index`; None: that does not matter
    cdef object index


cdef class Wire(WriteWaiter):
    cdef public Moment moment
    cdef public object transport       # None when the connection is gone
    cdef public object current         # the request whose answer is due (True: a write begun here), or None
    cdef public object queue           # later requests
    cdef public bint last_request      # nothing more will be answered after what is under way
    cdef public bint closing           # nothing more is parsed
    cdef public double active_at       # when something last arrived or was answered, in seconds
    cdef public long requests          # taken in on this connection

    # The message that is being parsed.
    cdef public bint in_head           # its head has begun and is not complete
    cdef public bint in_body           # its head is complete, its body is not
    cdef public bytes target
    cdef public dict fields            # lower-case names
    cdef public Py_ssize_t head_size   # bytes of target and fields so far
    cdef int field_count

    # A repeated field block.
    cdef bytes known_fields            # from the line end before it to the empty line behind it
    cdef public Py_ssize_t known_size  # of known_fields and the body behind it; 0: nothing is known
    cdef public dict known             # its fields

    # Repeated reads and writes by id.
    cdef Repeated read
    cdef Repeated write
    cdef double write_began            # of the write under way
    cdef WireDurations reads           # of what was answered here
    cdef WireDurations writes

    cdef bint answer_read(self, const unsigned char* text, Py_ssize_t line_end)
    cdef bint begin_write(self, bytes data, Py_ssize_t line_end)
    cdef int write_ended(self) except -1
    cdef bint take_line(self, bytes data, Py_ssize_t line_end)

"""The native half of an HTTP connection: what happens on every request, before and after the part in Python."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeASCII, PyUnicode_DecodeUTF8
from libc.stdio cimport snprintf
from libc.string cimport memchr, memcmp, memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef double* WIRE_BOUNDS_US = [
    100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 1e7
]
# {"Id":"...","ChangeVector":"..."} around the two values
cdef const char* WRITTEN_MIDDLE = b'","ChangeVector":"'
cdef const char* WRITTEN_END = b'"}'
cdef enum:
    WRITTEN_FIXED_BYTES = 7 + 18 + 2
cdef bytes VERSION_END = b" HTTP/1.1"
cdef dict METHODS = {b"GET": "GET", b"PUT": "PUT", b"POST": "POST", b"DELETE": "DELETE", b"HEAD": "HEAD"}
# Fields that must not come twice: two readers of such a request could understand it differently.
cdef frozenset SINGLE_FIELDS = frozenset(
    (b"host", b"content-encoding", b"if-match", b"if-none-match", b"expect", b"origin")
)


cdef class Moment:
    """What all connections of a listener share."""

    def __cinit__(self):
        self.read_head = b""
        self.write_head = b""


cdef class Repeated:
    """A way that requests of one connection have taken before."""

    def __cinit__(self):
        self.prefix = b""


cdef class Wire:
    """Base of a connection. The Python half defines what is called here on self and not defined here."""

    def __init__(self, Moment moment not None):
        self.moment = moment
        self.active_at = moment.now
        self.target = b""
        self.fields = {}
        self.known_fields = b""
        self.known = {}
        self.read = Repeated()
        self.write = Repeated()
        memset(&self.reads, 0, sizeof(self.reads))
        memset(&self.writes, 0, sizeof(self.writes))

    # ---- bytes in

    def data_received(self, bytes data not None):
        """Called by the event loop with what has arrived."""
        cdef const unsigned char* text
        cdef const unsigned char* found
        cdef Py_ssize_t line_end
        self.active_at = self.moment.now
        if self.known_size and self.current is None and not (self.in_head or self.in_body or self.closing):
            text = <const unsigned char*>data
            found = <const unsigned char*>memchr(text, c"\r", len(data))
            if found != NULL:
                line_end = found - text
                if len(data) == line_end + self.known_size and memcmp(
                    found, <const char*>self.known_fields, len(self.known_fields)
                ) == 0:
                    if self.answer_read(text, line_end) or self.begin_write(data, line_end):
                        return
                    if self.take_line(data, line_end):
                        return
        self.parse(data)

    cdef bint answer_read(self, const unsigned char* text, Py_ssize_t line_end):
        """Answer the read of one document that is there; False leaves everything to the whole way."""
        cdef Py_ssize_t id_end = repeated_id(self.read, text, line_end)
        cdef Py_ssize_t begin
        cdef double began
        if id_end == 0:
            return False
        began = now_us()
        try:
            begin = len(self.read.prefix)
            message = self.read.act(
                self.moment.read_head, PyUnicode_DecodeASCII(<const char*>text + begin, id_end - begin, NULL))
            if message is None:
                return False
            self.transport.write(message)
        except Exception:
            return False  # the whole way meets the same error and answers it
        self.requests += 1
        count_duration(&self.reads, now_us() - began)
        return True

    cdef bint begin_write(self, bytes data, Py_ssize_t line_end):
        """Hand a document to its database; `written` answers. False leaves everything to the whole way."""
        cdef const unsigned char* text = <const unsigned char*>data
        cdef Py_ssize_t id_end = repeated_id(self.write, text, line_end)
        cdef Py_ssize_t begin, body_at
        if id_end == 0:
            return False
        begin = len(self.write.prefix)
        self.write_began = now_us()
        body_at = line_end + len(self.known_fields)
        try:
            self.write.start.begin(
                self, PyUnicode_DecodeASCII(<const char*>text + begin, id_end - begin, NULL), text + body_at,
                <size_t>(len(data) - body_at))
        except Exception:
            return False  # nothing was taken; the whole way meets the same error and answers it
        self.current = True
        self.requests += 1
        return True

    cdef int written(self, const uint8_t* id, size_t id_size, const char* vector, size_t vector_size) except -1:
        """Answer the write under way."""
        if self.transport is None:
            return 0  # nobody is left to be told
        if self.closing or self.moment.draining or not write_written(
            self.transport, self.moment.write_head, id, <Py_ssize_t>id_size, vector, <Py_ssize_t>vector_size
        ):
            self.answer_write(
                PyUnicode_DecodeUTF8(<const char*>id, <Py_ssize_t>id_size, NULL),
                PyUnicode_DecodeASCII(vector, <Py_ssize_t>vector_size, NULL))
        return self.write_ended()

    cdef int refused(self, object error) except -1:
        if self.transport is None:
            return 0
        self.answer_write_failure(error)
        return self.write_ended()

    cdef int write_ended(self) except -1:
        """Go on with what has come while the write was under way."""
        self.current = None
        self.active_at = self.moment.now
        count_duration(&self.writes, now_us() - self.write_began)
        if self.queue or self.last_request:
            self.advance()
        return 0

    cdef bint take_line(self, bytes data, Py_ssize_t line_end):
        """Read a plain request line and hand the request over; False when the line is not that plain."""
        cdef const unsigned char* text = <const unsigned char*>data
        cdef const unsigned char* space = <const unsigned char*>memchr(text, c" ", line_end)
        cdef Py_ssize_t begin
        cdef Py_ssize_t end = line_end - len(VERSION_END)
        cdef Py_ssize_t path_end
        cdef Py_ssize_t position
        cdef Py_ssize_t body_at
        if space == NULL or end > WIRE_TARGET_BYTES_MAX:
            return False
        begin = space - text + 1
        if begin >= end or text[begin] != c"/" or memcmp(text + end, <const char*>VERSION_END, len(VERSION_END)) != 0:
            return False
        method = METHODS.get(data[:begin - 1])
        if method is None:
            return False
        path_end = end
        for position in range(begin, end):
            if text[position] <= c" " or text[position] > c"~" or text[position] == c"#":
                return False
            if text[position] == c"?" and path_end == end:
                path_end = position
        path = PyUnicode_DecodeASCII(<const char*>text + begin, path_end - begin, NULL)
        query = ""
        if path_end + 1 < end:
            query = PyUnicode_DecodeASCII(<const char*>text + path_end + 1, end - path_end - 1, NULL)
        body_at = line_end + len(self.known_fields)
        return self.take(method, path, query, data[body_at:] if body_at < len(data) else b"")

    def remember(self, bytes data not None, Py_ssize_t body_size):
        """Keep the field block of a request that came alone and whole in `data`. The caller has found it plain."""
        cdef Py_ssize_t line_end = data.find(b"\r\n")
        cdef Py_ssize_t head_end = data.find(b"\r\n\r\n") + 4
        self.known_size = 0
        self.read.prefix = self.write.prefix = b""
        if line_end <= 0 or head_end - line_end > WIRE_KNOWN_BYTES_MAX or len(data) != head_end + body_size:
            return
        self.known_fields = data[line_end:head_end]
        self.known_size = head_end - line_end + body_size
        self.known = self.fields

    def remember_read(self, bytes prefix not None, answer, state, index):
        """Answer requests whose line is prefix, id, version by answer(head, id), while state.raft_index is `index`."""
        self.read.act = answer
        remember_repeated(self.read, prefix, state, index)

    def remember_write(self, bytes prefix not None, WriteStart start not None, state, index):
        """Begin requests whose line is prefix, id, version by `start`, while state.raft_index is `index`."""
        self.write.start = start
        remember_repeated(self.write, prefix, state, index)

    def take_durations(self):
        """Of reads and of writes: counts per bucket, the last for everything beyond, and sum in ms. Both begin anew."""
        return take_durations(&self.reads), take_durations(&self.writes)

    # ---- callbacks of the parser

    def on_message_begin(self):
        self.in_head = True
        self.target = b""
        self.fields = {}
        self.head_size = 0
        self.field_count = 0
        self.head_begun()

    def on_url(self, bytes part not None):
        self.target = self.target + part if self.target else part
        self.head_size += len(part)
        if len(self.target) > WIRE_TARGET_BYTES_MAX:
            self.refuse_head("REQUEST_LINE_SIZE_BYTES_MAX")

    def on_header(self, bytes name not None, bytes value not None):
        cdef Py_ssize_t size = len(name) + len(value) + 4
        name = name.lower()
        self.head_size += size
        self.field_count += 1
        if size > WIRE_TARGET_BYTES_MAX:
            self.refuse_head("REQUEST_LINE_SIZE_BYTES_MAX")
        if self.head_size > WIRE_HEAD_BYTES_MAX:
            self.refuse_head("REQUEST_HEAD_SIZE_BYTES_MAX")
        if self.field_count > WIRE_FIELDS_MAX:
            self.refuse_head("REQUEST_HEADERS_MAX")
        if name in self.fields and name in SINGLE_FIELDS:
            self.refuse_twice(name)
        self.fields[name] = value.rstrip(b" \t")


cdef inline bint is_plain(unsigned char byte) noexcept nogil:
    """Characters that mean themselves in a query value: letters, digits and - . _ ~ /"""
    return (
        (byte >= c"a" and byte <= c"z") or (byte >= c"A" and byte <= c"Z") or (byte >= c"-" and byte <= c"9")
        or byte == c"_" or byte == c"~"
    )


cpdef double now_us() noexcept nogil:
    """Microseconds since some fixed moment."""
    cdef timespec moment
    clock_gettime(CLOCK_MONOTONIC, &moment)
    return moment.tv_sec * 1e6 + moment.tv_nsec / 1e3


cdef inline void count_duration(WireDurations* durations, double duration) noexcept nogil:
    cdef int bucket = 0
    while bucket < WIRE_BUCKETS - 1 and duration > WIRE_BOUNDS_US[bucket]:
        bucket += 1
    durations.buckets[bucket] += 1
    durations.sum += duration


cdef tuple take_durations(WireDurations* durations):
    cdef list counts = [durations.buckets[bucket] for bucket in range(WIRE_BUCKETS)]
    cdef double sum_ms = durations.sum / 1000.0
    memset(durations, 0, sizeof(durations[0]))
    return counts, sum_ms


cdef void remember_repeated(Repeated repeated, bytes prefix, state, index):
    repeated.prefix = prefix
    repeated.state = state
    repeated.index = index


cdef Py_ssize_t repeated_id(Repeated repeated, const unsigned char* text, Py_ssize_t line_end) except -1:
    """Where the id behind a known prefix ends; 0 when the line is another, or its id is not plain."""
    cdef Py_ssize_t begin = len(repeated.prefix)
    cdef Py_ssize_t end = line_end - len(VERSION_END)
    cdef Py_ssize_t position
    if begin == 0 or end <= begin or memcmp(text, <const char*>repeated.prefix, begin) != 0:
        return 0
    if memcmp(text + end, <const char*>VERSION_END, len(VERSION_END)) != 0:
        return 0
    for position in range(begin, end):
        if not is_plain(text[position]):
            return 0
    if repeated.state is not None and repeated.state.raft_index != repeated.index:
        return 0
    return end


cdef bint write_written(object transport, bytes head, const uint8_t* id, Py_ssize_t id_size, const char* vector,
                        Py_ssize_t vector_size) except -1:
    """Write a 201 with the result of a write; False when the id needs more care than copying."""
    cdef Py_ssize_t body_size = id_size + vector_size + WRITTEN_FIXED_BYTES
    cdef char[64] length
    cdef int length_size
    cdef Py_ssize_t position
    cdef bytes out
    cdef char* here
    for position in range(id_size):
        if not is_plain(id[position]):
            return False
    length_size = snprintf(length, sizeof(length), "Content-Length: %zd\r\n\r\n{\"Id\":\"", body_size)
    out = PyBytes_FromStringAndSize(NULL, len(head) + length_size - 7 + body_size)
    here = PyBytes_AS_STRING(out)
    here = append(here, <const char*>head, len(head))
    here = append(here, length, length_size)
    here = append(here, <const char*>id, id_size)
    here = append(here, WRITTEN_MIDDLE, 18)
    here = append(here, vector, vector_size)
    append(here, WRITTEN_END, 2)
    transport.write(out)
    return True


cdef inline char* append(char* here, const char* text, Py_ssize_t size) noexcept nogil:
    memcpy(here, text, size)
    return here + size

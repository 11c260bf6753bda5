"""The native half of an HTTP connection: what happens on every request, before and after the part in Python."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdio cimport snprintf
from libc.string cimport memchr, memcmp, memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef double* WIRE_BOUNDS_US = [
    100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 1e7
]
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


cdef class Wire:
    """Base of a connection. The Python half defines `parse`, `take` and `refuse_head`."""

    def __init__(self, Moment moment not None):
        self.moment = moment
        self.active_at = moment.now
        self.target = b""
        self.fields = {}
        self.known_fields = b""
        self.known = {}
        self.read_prefix = b""
        memset(self.buckets, 0, sizeof(self.buckets))

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
                    if self.answer_read(text, line_end) or self.take_line(data, line_end):
                        return
        self.parse(data)

    cdef bint answer_read(self, const unsigned char* text, Py_ssize_t line_end):
        """Answer the read of one document that is there; False leaves everything to the whole way."""
        cdef Py_ssize_t begin = len(self.read_prefix)
        cdef Py_ssize_t end = line_end - len(VERSION_END)
        cdef Py_ssize_t position
        cdef double started
        if begin == 0 or end <= begin or memcmp(text, <const char*>self.read_prefix, begin) != 0:
            return False
        if memcmp(text + end, <const char*>VERSION_END, len(VERSION_END)) != 0:
            return False
        for position in range(begin, end):
            if not is_plain(text[position]):
                return False
        if self.read_state is not None and self.read_state.raft_index != self.read_index:
            return False
        started = now_us()
        try:
            loaded = self.read_load((PyUnicode_DecodeASCII(<const char*>text + begin, end - begin, NULL),))
            if not loaded.found:
                return False
            write_read(self.transport, self.moment.read_head, loaded.etag, loaded.body)
        except Exception:
            return False  # the whole way meets the same error and answers it
        self.requests += 1
        count_duration(self, now_us() - started)
        return True

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
        """Keep the field block of a request that came alone and whole in `data`. The caller has found it a plain one."""
        cdef Py_ssize_t line_end = data.find(b"\r\n")
        cdef Py_ssize_t head_end = data.find(b"\r\n\r\n") + 4
        self.known_size = 0
        self.read_prefix = b""
        if line_end <= 0 or head_end - line_end > WIRE_KNOWN_BYTES_MAX or len(data) != head_end + body_size:
            return
        self.known_fields = data[line_end:head_end]
        self.known_size = head_end - line_end + body_size
        self.known = self.fields

    def remember_read(self, bytes prefix not None, load, state, index):
        """Answer requests whose line is prefix, id, version by `load((id,))`, while state.raft_index is `index`."""
        self.read_prefix = prefix
        self.read_load = load
        self.read_state = state
        self.read_index = index

    def take_durations(self):
        """Counts per bucket (the last one is for everything beyond) and their sum in ms, set back to zero."""
        counts = [self.buckets[i] for i in range(WIRE_BUCKETS)]
        sum_ms = self.duration_sum / 1000.0
        memset(self.buckets, 0, sizeof(self.buckets))
        self.duration_sum = 0.0
        return counts, sum_ms

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


cdef inline double now_us() noexcept nogil:
    cdef timespec moment
    clock_gettime(CLOCK_MONOTONIC, &moment)
    return moment.tv_sec * 1e6 + moment.tv_nsec / 1e3


cdef inline void count_duration(Wire wire, double duration) noexcept:
    cdef int bucket = 0
    while bucket < WIRE_BUCKETS - 1 and duration > WIRE_BOUNDS_US[bucket]:
        bucket += 1
    wire.buckets[bucket] += 1
    wire.duration_sum += duration


cdef object write_read(object transport, bytes head, str etag, bytes body):
    """Write a 200 with this etag and body."""
    cdef char[64] length
    cdef int length_size = snprintf(length, sizeof(length), "Content-Length: %zd\r\nETag: \"", <Py_ssize_t>len(body))
    cdef bytes etag_bytes = etag.encode("ascii")
    cdef bint joined = len(body) <= WIRE_JOINED_BYTES_MAX
    cdef Py_ssize_t size = len(head) + length_size + len(etag_bytes) + 5 + (len(body) if joined else 0)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, size)
    cdef char* here = PyBytes_AS_STRING(out)
    memcpy(here, <const char*>head, len(head))
    here += len(head)
    memcpy(here, length, length_size)
    here += length_size
    memcpy(here, <const char*>etag_bytes, len(etag_bytes))
    here += len(etag_bytes)
    memcpy(here, b"\"\r\n\r\n", 5)
    if joined:
        memcpy(here + 5, <const char*>body, len(body))
        transport.write(out)
    else:
        transport.write(out)
        transport.write(body)
    return None

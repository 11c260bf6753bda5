"""Error codes of the engine. Below the Python classes nothing raises: functions return one of these, 0 for success.

A code says what kind of thing went wrong; where and what exactly goes into an `ErrorDetail`, plain bytes that can be
filled without the GIL. `errors.pyx` turns a pair of both into the exception of the same name.
"""

from libc.stdint cimport uint8_t, uint64_t

cdef enum ErrorCode:
    OK = 0
    # Expected: the caller asked for what cannot be.
    E_NOT_FOUND = 1
    E_CONCURRENCY = 2          # the expected change vector is not the current one
    E_COLLECTION_MISMATCH = 3  # a document may not change its collection
    E_CONFLICT = 4             # the document is in conflict
    E_INVALID = 5              # an argument is outside its documented bounds
    E_JSON = 6                 # not JSON, or beyond a limit; detail.offset is the byte position
    E_TOO_LARGE = 7            # a named limit was exceeded
    E_BUSY = 8                 # a bounded queue is full, or another opener holds the lock
    E_CLOSED = 9               # the environment is closing or closed
    E_EXPRESSION = 10          # a program failed on a document: division by zero, a date that is none, a limit
    # The world failed.
    E_IO = 20                  # a disk call failed; detail.errno_ says how
    E_DISK_FULL = 21
    E_NO_MEMORY = 22
    E_CORRUPT = 23             # bytes on disk break an invariant of FORMAT.md
    E_UNKNOWN_OUTCOME = 24     # a sync failed: the commit may or may not be durable (rule D7)
    E_POISONED = 25            # the environment takes no more writes after a failed sync
    E_VERSION = 26             # a format version or an incompatible feature that this build does not know
    E_UNSAFE_FILESYSTEM = 27
    # We are wrong: a CHECK failed. The environment stops and keeps its files as they are.
    E_ASSERTION = 40

cdef enum:
    ERROR_TEXT_MAX = 240

cdef struct ErrorDetail:
    int code             # ErrorCode
    int errno_           # of the failing call, else 0
    uint64_t offset      # bytes from the start of what `text` names, where that makes sense
    char text[240]       # UTF-8, zero-terminated: file, page, tree, key; never document content

cdef void error_set(ErrorDetail* detail, int code, const char* format, ...) noexcept nogil
cdef void error_clear(ErrorDetail* detail) noexcept nogil
cdef object error_exception(const ErrorDetail* detail)   # the exception to raise, with its message
cdef int raise_error(const ErrorDetail* detail) except -1

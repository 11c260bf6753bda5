"""The engine's exceptions, one per error code, and how a code with its detail becomes one.

EngineError
├── NotFound, ConcurrencyError, CollectionMismatch, ConflictError     expected
├── InvalidArgument, JsonError, TooLarge, Busy, Closed, ExpressionError  expected
├── DiskError ─ DiskFull, UnknownOutcome, Poisoned                    the world failed
├── CorruptError, VersionError, UnsafeFilesystem, OutOfMemory         the world failed
└── InvariantError                                                    we are wrong
"""

from libc.string cimport strlen, memset


cdef extern from *:
    """
    #include <stdarg.h>
    #include <stdio.h>
    #define PYN_VFORMAT(buffer, size, last)             \\
        do { va_list ap; va_start(ap, last);            \\
             vsnprintf(buffer, size, last, ap);         \\
             va_end(ap); } while (0)
    """
    void format_variadic "PYN_VFORMAT"(char* buffer, size_t size, const char* last) noexcept nogil


class EngineError(Exception):
    """Base of everything the engine raises. `code` is the ErrorCode, `offset` a byte position where one makes sense."""

    code = 0

    def __init__(self, message: str = "", offset: int = 0, errno: int = 0):
        super().__init__(message)
        self.offset = offset
        self.errno = errno


class NotFound(EngineError):
    """What was asked for is not there."""
    code = E_NOT_FOUND


class ConcurrencyError(EngineError):
    """The expected change vector is not the current one."""
    code = E_CONCURRENCY


class CollectionMismatch(EngineError):
    """A document may not change its collection by an update."""
    code = E_COLLECTION_MISMATCH


class ConflictError(EngineError):
    """The document is in conflict and must be resolved first. `offset` is the etag of its newest version."""
    code = E_CONFLICT
    document_id = ""


class InvalidArgument(EngineError):
    """An argument is outside its documented bounds."""
    code = E_INVALID


class JsonError(EngineError):
    """The text is not JSON, or beyond a limit; `offset` is the byte position."""
    code = E_JSON


class TooLarge(EngineError):
    """A named limit was exceeded."""
    code = E_TOO_LARGE


class Busy(EngineError):
    """A bounded queue is full, or another process holds the lock. Trying again later is right."""
    code = E_BUSY


class Closed(EngineError):
    """The environment is closing or closed."""
    code = E_CLOSED


class ExpressionError(EngineError):
    """A program failed on a document; the message says what and where in its text."""
    code = E_EXPRESSION


class DiskError(EngineError):
    """A disk call failed; `errno` says how."""
    code = E_IO


class DiskFull(DiskError):
    """No space is left. The environment stays readable."""
    code = E_DISK_FULL


class UnknownOutcome(DiskError):
    """A sync failed: the commit may or may not be durable."""
    code = E_UNKNOWN_OUTCOME


class Poisoned(DiskError):
    """The environment takes no more writes, because a sync failed earlier."""
    code = E_POISONED


class OutOfMemory(EngineError, MemoryError):
    """Memory could not be had."""
    code = E_NO_MEMORY


class CorruptError(EngineError):
    """Bytes on disk break an invariant of FORMAT.md; the message names file and page."""
    code = E_CORRUPT


class VersionError(EngineError):
    """The files need a format version or a feature that this build does not know."""
    code = E_VERSION


class UnsafeFilesystem(EngineError):
    """The folder lies on a file system that does not keep what it promises."""
    code = E_UNSAFE_FILESYSTEM


class InvariantError(EngineError):
    """An internal check failed: a defect of ours. The files are left as they are."""
    code = E_ASSERTION


cdef dict CLASSES = {
    kind.code: kind
    for kind in (
        NotFound, ConcurrencyError, CollectionMismatch, ConflictError, InvalidArgument, JsonError, TooLarge, Busy,
        Closed, ExpressionError, DiskError, DiskFull, UnknownOutcome, Poisoned, OutOfMemory, CorruptError, VersionError,
        UnsafeFilesystem, InvariantError,
    )
}


cdef void error_set(ErrorDetail* detail, int code, const char* format, ...) noexcept nogil:
    if detail == NULL or detail.code != OK:
        return  # the first failure is the cause; what follows from it must not hide it
    detail.code = code
    format_variadic(detail.text, ERROR_TEXT_MAX, format)


cdef void error_clear(ErrorDetail* detail) noexcept nogil:
    memset(detail, 0, sizeof(ErrorDetail))


cdef object error_exception(const ErrorDetail* detail):
    kind = CLASSES.get(detail.code, EngineError)
    text = detail.text[:strlen(detail.text)].decode("utf-8", "replace")
    return kind(text or kind.__doc__, detail.offset, detail.errno_)


cdef int raise_error(const ErrorDetail* detail) except -1:
    raise error_exception(detail)

"""Every error a user can meet: one class each, with its name on the wire and its HTTP status.

The wire name is the .NET type name that the clients look at (its last segment decides which exception they raise), and
`code` is our own stable name beside it. A class states both; raising needs nothing but a message. Errors of the engine
(`pynori_core.errors`) become one of these by `from_engine`, at the one place where they leave a database.

PynoriError
├── BadRequest ─ InvalidArgument, InvalidJson, InvalidQuery, InvalidName, RouteNotFound, LimitExceeded, ...
├── Conflict ─ ConcurrencyError, DocumentConflict, ClusterTransactionConcurrency, AlreadyExists
├── Unavailable ─ DatabaseDoesNotExist, DatabaseNotRelevant, DatabaseDisabled, WritesStopped, NoLeader, Overloaded, ...
├── RequestTimeout ─ TimeoutExpired                                    also a TimeoutError
├── Forbidden
├── OperationFailed ─ IndexDoesNotExist, SubscriptionDoesNotExist, JavaScriptError, CompilationError, ...
└── StorageFailed ─ DiskFull, UnknownOutcome, Corrupt, UnsafeFilesystem
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar, ParamSpec, TypeVar

from pynori_core import errors as engine

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
RAVEN = "Raven.Client.Exceptions."


class PynoriError(Exception):
    """Base of all errors of ours. `status` is the HTTP status, `wire_name` the .NET type name of the body's `Type`."""

    status: ClassVar[int] = 500
    wire_name: ClassVar[str] = RAVEN + "RavenException"
    code: ClassVar[str] = "error"

    @property
    def message(self) -> str:
        """The one sentence of cause; what the body's `Message` holds."""
        return str(self)

    def body_fields(self) -> dict[str, Any]:
        """Fields beside Url, Type, Message and Error that clients read from the body of this error."""
        return {}

    def headers(self) -> dict[str, str]:
        """Response headers that go with this error."""
        return {}


# ---------------------------------------------------------------- 400: what was asked for cannot be understood


class BadRequest(PynoriError):
    """The request is not one that this server understands."""

    status = 400
    wire_name = "System.ArgumentException"
    code = "bad_request"


class InvalidArgument(BadRequest):
    """An argument is outside its documented bounds."""

    code = "invalid_argument"


class InvalidJson(BadRequest):
    """The body is not JSON; the message says at which byte."""

    wire_name = "System.IO.InvalidDataException"
    code = "invalid_json"


class InvalidQuery(BadRequest):
    """The query does not parse, or asks for what its source cannot give.

    line, column: where in the query's text, from 1; 0 when the whole query is meant.
    """

    wire_name = RAVEN + "InvalidQueryException"
    code = "invalid_query"

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.line = line
        self.column = column

    @classmethod
    def at(cls, text: str, position: int, found: str, expected: str) -> InvalidQuery:
        """The error for what stands at an index of a query's text, with that line of the text and a caret below it."""
        line = text.count("\n", 0, position) + 1
        line_start = text.rfind("\n", 0, position) + 1
        column = position - line_start + 1
        # A long line is shown around the position, so that a message stays readable.
        shown_start = max(line_start, position - 80)
        shown = text[shown_start : shown_start + 120].split("\n", 1)[0].replace("\t", " ").rstrip()
        shown = shown.encode("utf-8", "replace").decode()  # what is no character must not break the answer
        caret = " " * (position - shown_start) + "^"
        return cls(
            f"line {line}, column {column}: found {found}, expected {expected}\n{shown}\n{caret}", line, column
        )


class InvalidName(BadRequest):
    """A database name that is not allowed."""

    code = "invalid_name"


class RouteNotFound(BadRequest):
    """No route has this path; never 404, which clients read as "null"."""

    wire_name = RAVEN + "Routing.RouteNotFoundException"
    code = "route_not_found"


class LimitExceeded(BadRequest):
    """A limit of `limits.py` was exceeded; the message names it."""

    code = "limit_exceeded"


class CompareExchangeKeyTooBig(LimitExceeded):
    """The key of a compare-exchange value is longer than allowed."""

    wire_name = RAVEN + "CompareExchange.CompareExchangeKeyTooBigException"
    code = "compare_exchange_key_too_big"


class PayloadTooLarge(LimitExceeded):
    """The body of the request is larger than its route allows."""

    status = 413
    code = "payload_too_large"


class Forbidden(PynoriError):
    """The caller is known and not allowed to do this."""

    status = 403
    wire_name = RAVEN + "Security.AuthorizationException"
    code = "forbidden"


class RequestTimeout(PynoriError, TimeoutError):
    """What was waited for did not happen in the time given."""

    status = 408
    wire_name = "System.TimeoutException"
    code = "timeout"


class TimeoutExpired(RequestTimeout):
    """A wait that the client asked for (replicas, indexes, non-stale results) ran out."""

    wire_name = RAVEN + "RavenTimeoutException"
    code = "wait_expired"


# ---------------------------------------------------------------- 409: somebody else was first


class Conflict(PynoriError):
    """The present state contradicts what the caller took for granted."""

    status = 409
    wire_name = RAVEN + "ConcurrencyException"
    code = "conflict"


class ConcurrencyError(Conflict):
    """The expected change vector is not the current one."""

    code = "concurrency"


class AlreadyExists(Conflict):
    """A database of that name exists."""

    code = "already_exists"


class RaftConcurrency(Conflict):
    """The cluster's state has moved since it was read; reading again and repeating is right."""

    wire_name = RAVEN + "Cluster.RachisConcurrencyException"
    code = "raft_concurrency"


class ClusterTransactionConcurrency(Conflict):
    """A guard of a cluster-wide transaction has moved. `violations` says which, in the shape that clients read."""

    wire_name = RAVEN + "ClusterTransactionConcurrencyException"
    code = "cluster_transaction_concurrency"

    def __init__(self, message: str, violations: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.violations = violations or []

    def body_fields(self) -> dict[str, Any]:
        return {"ConcurrencyViolations": self.violations}


class DocumentConflict(Conflict):
    """The document has several versions that nobody has resolved."""

    wire_name = RAVEN + "Documents.DocumentConflictException"
    code = "document_conflict"

    def __init__(self, message: str, document_id: str = "", largest_etag: int = 0) -> None:
        super().__init__(message)
        self.document_id = document_id
        self.largest_etag = largest_etag

    def body_fields(self) -> dict[str, Any]:
        return {"DocId": self.document_id, "LargestEtag": self.largest_etag}


# ---------------------------------------------------------------- 503: not here, or not now


class Unavailable(PynoriError):
    """This node cannot serve the request now; a client with several nodes tries the next one."""

    status = 503
    code = "unavailable"


class DatabaseDoesNotExist(Unavailable):
    """No database has this name. 503 with `Database-Missing`, for 404 means "null" to the clients."""

    wire_name = RAVEN + "Database.DatabaseDoesNotExistException"
    code = "database_does_not_exist"

    def __init__(self, name: str) -> None:
        super().__init__(f"Database '{name}' was not found")
        self.name = name

    def headers(self) -> dict[str, str]:
        # A header holds no line break and only Latin-1; a name from a request may hold anything.
        return {
            "Database-Missing": self.name.encode("ascii", "replace")
            .decode("ascii")
            .replace("\r", "?")
            .replace("\n", "?")
        }


class DatabaseNotRelevant(Unavailable):
    """The database has no instance on this node. Clients ask for its topology again, and go where it is."""

    status = 410
    wire_name = RAVEN + "Database.DatabaseNotRelevantException"
    code = "database_not_relevant"


class DatabaseDisabled(Unavailable):
    """The database was disabled by an administrator."""

    wire_name = RAVEN + "Database.DatabaseDisabledException"
    code = "database_disabled"


class DatabaseLoadFailure(Unavailable):
    """The database exists and could not be opened; the message says why."""

    wire_name = RAVEN + "Database.DatabaseLoadFailureException"
    code = "database_load_failure"


class DatabaseClosed(Unavailable):
    """The database is closing or closed, by a deletion or by the end of the server."""

    wire_name = RAVEN + "Database.DatabaseLoadFailureException"
    code = "database_closed"


class WritesStopped(Unavailable):
    """A sync failed earlier: nothing was written. The database is opened again, once; then writing goes on."""

    wire_name = RAVEN + "Database.DatabaseLoadFailureException"
    code = "writes_stopped"

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


class DatabaseInUse(Unavailable):
    """The files are open already, here or in another process; the message names the holder."""

    code = "database_in_use"


class NoLeader(Unavailable):
    """The cluster has no leader at present."""

    wire_name = RAVEN + "Cluster.NoLeaderException"
    code = "no_leader"


class NodeIsPassive(Unavailable):
    """This node belongs to no cluster yet."""

    wire_name = RAVEN + "Cluster.NodeIsPassiveException"
    code = "node_is_passive"


class Overloaded(Unavailable):
    """A bounded queue is full. Trying again after a moment is right."""

    code = "overloaded"

    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


# ---------------------------------------------------------------- 500: understood, tried, and failed


class OperationFailed(PynoriError):
    """What was asked for cannot be done in the present state."""

    wire_name = "System.InvalidOperationException"
    code = "operation_failed"


class NamedDatabaseDoesNotExist(OperationFailed):
    """A request to the server names a database that is not there. Without `Database-Missing`: no node has it."""

    wire_name = RAVEN + "Database.DatabaseDoesNotExistException"
    code = "named_database_does_not_exist"

    def __init__(self, name: str) -> None:
        super().__init__(f"Database '{name}' was not found")
        self.name = name


class OperationCanceled(OperationFailed):
    """A long operation was ended on request."""

    wire_name = "System.OperationCanceledException"
    code = "operation_canceled"


class DocumentDoesNotExist(OperationFailed):
    """The operation needs a document that is not there."""

    wire_name = RAVEN + "Documents.DocumentDoesNotExistException"
    code = "document_does_not_exist"


class IndexDoesNotExist(OperationFailed):
    """No index has this name; 500 by the protocol."""

    wire_name = RAVEN + "Documents.Indexes.IndexDoesNotExistException"
    code = "index_does_not_exist"


class CompilationError(OperationFailed):
    """An index definition does not compile. The fields point at the part that does not."""

    wire_name = RAVEN + "Documents.Compilation.IndexCompilationException"
    code = "index_compilation"

    def __init__(self, message: str, property_name: str = "", problematic_text: str = "") -> None:
        super().__init__(message)
        self.property_name = property_name
        self.problematic_text = problematic_text

    def body_fields(self) -> dict[str, Any]:
        return {"IndexDefinitionProperty": self.property_name, "ProblematicText": self.problematic_text}


class ExpressionFailed(OperationFailed):
    """A computed value cannot be had from a document: division by zero, a date that is none."""

    code = "expression_failed"


class SorterCompilationError(OperationFailed):
    """The code of a custom sorter cannot be used."""

    wire_name = RAVEN + "Documents.Compilation.SorterCompilationException"
    code = "sorter_compilation"


class AnalyzerCompilationError(OperationFailed):
    """The definition of an analyzer cannot be used."""

    wire_name = RAVEN + "Documents.Compilation.AnalyzerCompilationException"
    code = "analyzer_compilation"


class AnalyzerDoesNotExist(OperationFailed):
    """No analyzer was registered under this name."""

    wire_name = RAVEN + "Documents.Analyzers.AnalyzerDoesNotExistException"
    code = "analyzer_does_not_exist"


class SorterDoesNotExist(OperationFailed):
    """No custom sorter has this name."""

    wire_name = RAVEN + "Documents.Sorters.SorterDoesNotExistException"
    code = "sorter_does_not_exist"


class JavaScriptError(OperationFailed):
    """A script failed, or exceeded its limits. line, column: where in the script, from 1; 0: not known."""

    wire_name = RAVEN + "Documents.Patching.JavaScriptException"
    code = "javascript"

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"{message} (line {line}, column {column})" if line else message)
        self.line = line
        self.column = column


class SubscriptionDoesNotExist(OperationFailed):
    """No subscription has this name or id."""

    wire_name = RAVEN + "Documents.Subscriptions.SubscriptionDoesNotExistException"
    code = "subscription_does_not_exist"


class SubscriptionInUse(OperationFailed):
    """Another worker holds the subscription."""

    wire_name = RAVEN + "Documents.Subscriptions.SubscriptionInUseException"
    code = "subscription_in_use"


class SubscriptionClosed(OperationFailed):
    """The subscription was ended from the server's side."""

    wire_name = RAVEN + "Documents.Subscriptions.SubscriptionClosedException"
    code = "subscription_closed"


class BulkInsertAborted(OperationFailed):
    """A bulk insert ended before its last command; what was committed before stays."""

    wire_name = RAVEN + "Documents.BulkInsert.BulkInsertAbortedException"
    code = "bulk_insert_aborted"


class BulkInsertProtocolViolation(OperationFailed):
    """The body of a bulk insert is not an array of the known commands."""

    wire_name = RAVEN + "Documents.BulkInsert.BulkInsertProtocolViolationException"
    code = "bulk_insert_protocol_violation"


class StorageFailed(PynoriError):
    """The disk or the memory failed; the message carries where and what."""

    wire_name = "System.IO.IOException"
    code = "storage_failed"


class DiskFull(StorageFailed):
    """No space is left for writing. Reading and deleting go on, and writing too once there is room."""

    status = 507
    wire_name = RAVEN + "DiskFullException"
    code = "disk_full"


class UnknownOutcome(StorageFailed):
    """A sync failed: the write may or may not survive. Nothing more is written until the database is opened again.

    Not 503, at which clients repeat a request on their own: whether that is right here only the caller can know.
    """

    wire_name = "Pynori.UnknownOutcomeException"
    code = "unknown_outcome"


class Corrupt(StorageFailed):
    """Bytes on disk break an invariant of the format; the message names file and page."""

    wire_name = "System.IO.InvalidDataException"
    code = "corrupt"


class UnsafeFilesystem(StorageFailed):
    """The folder lies on a file system that does not keep what it promises, or in a format that is not known."""

    code = "unsafe_filesystem"


class InternalError(PynoriError):
    """A defect of ours: an invariant does not hold. Files are left as they are."""

    wire_name = "System.InvalidOperationException"
    code = "internal"


class BadSetting(PynoriError):
    """A setting is wrong. The message is one line: key, value, where it came from, what is allowed."""

    code = "bad_setting"


class CannotStart(PynoriError):
    """The server cannot start with these settings on this machine: an address or a folder is not to be had."""

    code = "cannot_start"


_FROM_ENGINE: dict[type[engine.EngineError], type[PynoriError]] = {
    engine.ConcurrencyError: ConcurrencyError,
    engine.CollectionMismatch: OperationFailed,
    engine.InvalidArgument: InvalidArgument,
    engine.JsonError: InvalidJson,
    engine.TooLarge: LimitExceeded,
    engine.Busy: Overloaded,
    engine.Closed: DatabaseClosed,
    engine.ExpressionError: ExpressionFailed,
    engine.DiskError: StorageFailed,
    engine.DiskFull: DiskFull,
    engine.UnknownOutcome: UnknownOutcome,
    engine.Poisoned: WritesStopped,
    engine.OutOfMemory: StorageFailed,
    engine.CorruptError: Corrupt,
    engine.VersionError: UnsafeFilesystem,
    engine.UnsafeFilesystem: UnsafeFilesystem,
    engine.InvariantError: InternalError,
    engine.NotFound: OperationFailed,
}


def from_engine(error: engine.EngineError) -> PynoriError:
    """The error of ours for one of the engine's, with the same message; the engine's stays attached as its cause."""
    if isinstance(error, engine.ConflictError):
        ours: PynoriError = DocumentConflict(str(error), error.document_id, error.offset)
    else:
        ours = _FROM_ENGINE.get(type(error), InternalError)(str(error))
    ours.__cause__ = error
    return ours


def with_our_errors(method: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The method, with the engine's exceptions turned into ours."""

    @functools.wraps(method)
    def wrapped(*args: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        try:
            return method(*args, **keywords)
        except engine.EngineError as error:
            raise from_engine(error) from error

    return wrapped

"""Bulk insert: one request streams any number of commands; they are committed in steps while they arrive.

The body is one JSON array. Runs of whole commands are cut from what has arrived (`pynori_core.framing`), read, and
gathered in a batch; one batch is on its way to the disk while the next is gathered. Some clients never end the body:
the closing bracket ends the insert. The operation keeps how it ended, for a client learns of a failure by asking.

The answer to a success has no body at all; clients take any body for a failure.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from pynori_core.framing import ArrayFramer

from pynori.errors import (
    BadRequest,
    BulkInsertAborted,
    BulkInsertProtocolViolation,
    DocumentConflict,
    LimitExceeded,
    OperationCanceled,
    PynoriError,
)
from pynori.http.body import BodyBroken, BodyStream
from pynori.http.handlers.batches import Command, add_command, ends_with_bar
from pynori.http.handlers.documents import resolve_identity
from pynori.http.request import Request
from pynori.http.response import Response
from pynori.http.shapes import as_pynori_error, error_response
from pynori.limits import (
    BULK_INSERT_COMMIT_COMMANDS,
    BULK_INSERT_COMMIT_SIZE_BYTES,
    BULK_INSERT_END_WAIT_MS,
    DOCUMENT_SIZE_BYTES_MAX,
)

if TYPE_CHECKING:
    from pynori.documents.database import CommandResult, Database
    from pynori.server.operations import Operation

COMMAND_OVERHEAD_BYTES = 4096  # of a command beside its document: id, type, change vector
SERVER_OWNED = ("@id", "@change-vector", "@last-modified", "@flags", "@attachments", "@counters", "@timeseries")
decode_commands = msgspec.json.Decoder(list[Command]).decode


async def post(request: Request) -> Response:
    """Any number of commands, committed in steps while they arrive."""
    opened = request.open_database()
    operations = opened.operations
    id = request.number("id", 0) or operations.next_id()
    operation = operations.start(id, "BulkInsert", "Bulk Insert")
    stream = request.stream
    assert stream is not None
    watch = asyncio.ensure_future(end_when_killed(operation, stream))
    try:
        insert = Insert(request, opened.database, operation)
        await insert.run(stream)
        operation.complete(insert.progress(insert.committed))
    except asyncio.CancelledError:
        operation.fail(BulkInsertAborted("the bulk insert was cut short: the connection was lost"))
        raise
    except Exception as error:
        failure = error
        if isinstance(error, BodyBroken):
            failure = BulkInsertAborted(f"the bulk insert was cut short: {error}")
        operation.fail(as_pynori_error(failure, request.url))
        return error_response(failure, request.url, close=True)
    finally:
        watch.cancel()
    return Response(201)


async def end_when_killed(operation: Operation, stream: BodyStream) -> None:
    await operation.killed.wait()
    stream.fail(OperationCanceled(f"Operation {operation.id} was ended on request"))


class Insert:
    """One bulk insert under way."""

    def __init__(self, request: Request, database: Database, operation: Operation) -> None:
        self.request = request
        self.database = database
        self.operation = operation
        self.skip_unchanged = request.flag("skipoverwriteifunchanged")
        self.framer = ArrayFramer()
        self.pieces: list[bytes] = []  # of the command that is not complete yet
        self.pieces_size = 0
        self.first = True  # no command has been read yet
        self.batch = database.batch()
        # Lower-case ids in `batch` and in what is on its way; kept when unchanged documents are skipped.
        self.batch_ids: set[str] = set()
        self.under_way_ids: set[str] = set()
        self.under_way: asyncio.Future[list[CommandResult]] | None = None
        self.under_way_count = 0
        self.committed = 0
        self.skipped = 0

    async def run(self, stream: BodyStream) -> None:
        while not self.framer.ended:
            data = await stream.read()
            self.operation.check_killed()
            if not data:
                raise BulkInsertProtocolViolation("the body ended before the closing bracket of its array")
            for command in self.cut(data):
                await self.add(command)
            # Whoever sends slowly does not wait for a full batch: what is there goes while the disk is free.
            if len(self.batch) and stream.buffered == 0 and (self.under_way is None or self.under_way.done()):
                await self.commit()
        await self.commit()
        await self.confirm()
        await self.end_of(stream)

    async def end_of(self, stream: BodyStream) -> None:
        """Give the rest of the body's framing a moment, so that the connection can be kept."""
        try:
            async with asyncio.timeout(BULK_INSERT_END_WAIT_MS / 1_000):
                while await stream.read():
                    pass
        except (TimeoutError, BodyBroken, PynoriError):
            return  # some clients wait for the answer first; the array was complete

    def cut(self, data: bytes) -> list[Command]:
        """The commands that are complete with this piece."""
        end = self.framer.scan(data)
        if not end:
            if not self.framer.between:
                self.pieces.append(data)
                self.pieces_size += len(data)
                if self.pieces_size > DOCUMENT_SIZE_BYTES_MAX + COMMAND_OVERHEAD_BYTES:
                    raise LimitExceeded(f"a command is larger than DOCUMENT_SIZE_BYTES_MAX ({DOCUMENT_SIZE_BYTES_MAX})")
            elif self.first:
                self.pieces.append(data)
            else:
                self.pieces = [data]
            return []
        self.pieces.append(data[:end])
        text = b"".join(self.pieces)
        self.pieces = [] if self.framer.ended else [data[end:]]
        self.pieces_size = 0
        text = text.lstrip(b" \t\r\n")
        expected, self.first = (b"[" if self.first else b","), False
        if not text.startswith(expected):
            raise BulkInsertProtocolViolation("commands must be separated by one comma")
        return read_commands(b"[" + text[1:] + b"]")

    async def add(self, command: Command) -> None:
        if command.Type == "HeartBeat":
            return
        if command.Type not in ("PUT", "DELETE"):
            raise BadRequest(f"the bulk insert command '{str(command.Type)[:40]}' is not known to this server")
        if command.Type == "PUT" and ends_with_bar(command.Id):
            command.Id = await resolve_identity(self.request, self.database, str(command.Id))
        if self.skip_unchanged and self.is_unchanged(command):
            self.skipped += 1
            return
        add_command(self.batch, command)
        if len(self.batch) >= BULK_INSERT_COMMIT_COMMANDS or self.batch.size_bytes >= BULK_INSERT_COMMIT_SIZE_BYTES:
            await self.commit()

    def is_unchanged(self, command: Command) -> bool:
        """Whether the stored document says the same, and nothing on its way will change it."""
        id = command.Id or ""
        if id.lower() in self.batch_ids or id.lower() in self.under_way_ids:
            return False
        try:
            stored = self.database.get(id)
        except DocumentConflict:
            stored = None  # what is written ends the conflict
        if stored is not None and same_content(bytes(command.Document), stored.json):
            return True
        self.batch_ids.add(id.lower())
        return False

    async def commit(self) -> None:
        """Send the batch on its way, after the one before has arrived."""
        await self.confirm()
        if len(self.batch):
            self.under_way_count = len(self.batch)
            self.under_way = self.database.submit(self.batch)
            self.under_way_ids = self.batch_ids
            self.batch = self.database.batch()
            self.batch_ids = set()

    async def confirm(self) -> None:
        if self.under_way is not None:
            await self.under_way
            self.under_way = None
            self.committed += self.under_way_count
            self.operation.progress = self.progress(self.committed)
            self.under_way_ids = set()

    def progress(self, documents: int) -> dict[str, Any]:
        return {
            "Total": documents + self.skipped,
            "DocumentsProcessed": documents + self.skipped,
            "AttachmentsProcessed": 0,
            "CountersProcessed": 0,
            "TimeSeriesProcessed": 0,
        }


def read_commands(text: bytes) -> list[Command]:
    try:
        return decode_commands(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if b'"AttachmentPUT"' in text:
            raise BadRequest("the bulk insert command 'AttachmentPUT' is not known to this server") from None
        raise BulkInsertProtocolViolation(f"the body is not an array of commands: {error}") from None


class Decimal(str):
    """A number with a fraction, as its text: 1.0 is not 1, and no digit is lost."""


decode_exactly = msgspec.json.Decoder(float_hook=Decimal).decode


def same_content(sent: bytes, stored: bytes) -> bool:
    """Equal as JSON values, whatever the server adds to @metadata aside."""
    try:
        return equal(without_server_owned(sent), without_server_owned(stored))
    except (msgspec.DecodeError, AttributeError, RecursionError):
        return False


def equal(left: Any, right: Any) -> bool:
    """Equal in type and value; order counts in arrays only."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(equal(one, other) for one, other in zip(left, right, strict=True))
    return bool(left == right)


def without_server_owned(text: bytes) -> dict[str, Any]:
    document: dict[str, Any] = decode_exactly(text)
    metadata = document.pop("@metadata", {})
    kept = {key: value for key, value in metadata.items() if key.lower() not in SERVER_OWNED}
    return {**document, "@metadata": kept}

"""Batches: commands of one user transaction, all or nothing.

The commands are read by msgspec and their documents by the engine's parser, to which they go as they came: no byte is
read by two parsers that could disagree.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from pynori.errors import BadRequest, InvalidArgument, InvalidJson, LimitExceeded, TimeoutExpired
from pynori.http.handlers.documents import IDENTITY_SUFFIX, resolve_identity
from pynori.http.request import Request
from pynori.http.response import Deferred, Reply, Response, encode_json
from pynori.http.shapes import command_result
from pynori.limits import BATCH_COMMANDS_MAX
from pynori.queries.timespan import timespan_ms

if TYPE_CHECKING:
    from pynori.documents.database import Batch, CommandResult, Database


class Command(msgspec.Struct):
    """One command as sent; what only other kinds of commands have is passed over."""

    Type: str | None = None
    Id: str | None = None
    ChangeVector: str | None = None
    IdPrefixed: bool | None = None
    Document: msgspec.Raw = msgspec.Raw()


class CommandList(msgspec.Struct):
    """The body of a batch."""

    Commands: list[Command]
    TransactionMode: str | None = None


WAIT_FOR_INDEXES = "waitforindexestimeout"
BYTES_LITERAL = re.compile(r"b(['\"])(.*)\1")
decode_batch = msgspec.json.Decoder(CommandList).decode


def post(request: Request) -> Reply:
    """Commands of one transaction, all or nothing."""
    database = request.open_database().database
    commands = parse(request.body)
    if any(command.Type == "PUT" and ends_with_bar(command.Id) for command in commands):
        return post_identities(request, database, commands)
    if WAIT_FOR_INDEXES in request.query:
        return post_waiting(request, build(database, commands))
    return Deferred(database.submit(build(database, commands)), batch_answer)


async def post_identities(request: Request, database: Database, commands: list[Command]) -> Response:
    """A batch that needs numbers from the cluster before it can be written."""
    for command in commands:
        if command.Type == "PUT" and ends_with_bar(command.Id):
            command.Id = await resolve_identity(request, database, str(command.Id))
    return await post_waiting(request, build(database, commands))


async def post_waiting(request: Request, batch: Batch) -> Response:
    """Write, then wait until the indexes that are concerned have seen it, if that was asked for."""
    opened = request.open_database()
    results = await opened.database.submit(batch)
    if WAIT_FOR_INDEXES in request.query:
        wait_s = timespan_ms(request.text(WAIT_FOR_INDEXES)) / 1_000
        names = [index_name(each) for each in request.texts("waitforspecificindex")]
        etag = max((result.etag for result in results), default=0)
        collections = {result.collection.lower() for result in results if result.collection}
        try:
            await opened.indexes.wait_for_save(etag, collections, names, wait_s)
        except TimeoutExpired:
            if request.flag("waitforindexthrow", True):
                raise
    return batch_answer(results)


def index_name(text: str) -> str:
    """A name as it was sent; one client sends the text of a bytes literal."""
    found = BYTES_LITERAL.fullmatch(text)
    return text if found is None else found.group(2)


def ends_with_bar(id: str | None) -> bool:
    return id is not None and id.endswith(IDENTITY_SUFFIX)


def parse(body: bytes) -> list[Command]:
    try:
        batch = decode_batch(body)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"the batch is not of the form {{\"Commands\": [...]}}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"the request body is not valid JSON: {error}") from None
    if len(batch.Commands) > BATCH_COMMANDS_MAX:
        raise LimitExceeded(f"more commands than BATCH_COMMANDS_MAX ({BATCH_COMMANDS_MAX}) in one batch")
    if batch.TransactionMode not in (None, "SingleNode"):
        raise BadRequest(f"transaction mode '{batch.TransactionMode[:40]}' is not known to this server")
    return batch.Commands


def build(database: Database, commands: list[Command]) -> Batch:
    batch = database.batch()
    for command in commands:
        add_command(batch, command)
    return batch


def add_command(batch: Batch, command: Command) -> None:
    kind = command.Type
    if kind == "PUT":
        document = bytes(command.Document)
        if not document:
            raise InvalidArgument(f"the PUT command for '{command.Id}' has no 'Document'")
        batch.put(command.Id or "", document, command.ChangeVector)
    elif kind == "DELETE":
        if not command.Id:
            raise InvalidArgument("a DELETE command has no 'Id'")
        if command.IdPrefixed:
            raise BadRequest("a DELETE command with 'IdPrefixed' is not known to this server")
        batch.delete(command.Id, command.ChangeVector)
    else:
        raise BadRequest(f"the command type '{str(kind)[:40]}' is not known to this server")


def batch_answer(results: list[CommandResult]) -> Response:
    shapes: list[Any] = [command_result(result) for result in results]
    return Response(201, encode_json({"Results": shapes}))

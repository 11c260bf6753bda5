"""Batches: commands of one user transaction, all or nothing.

The commands are read by msgspec and their documents by the engine's parser, to which they go as they came: no byte is
read by two parsers that could disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pynori.errors import BadRequest, InvalidArgument, InvalidJson, LimitExceeded
from pynori.http.handlers.documents import IDENTITY_SUFFIX, resolve_identity
from pynori.http.request import Request
from pynori.http.response import Deferred, Reply, Response, encode_json
from pynori.http.shapes import command_result
from pynori.limits import BATCH_COMMANDS_MAX

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


decode_batch = msgspec.json.Decoder(CommandList).decode


def post(request: Request) -> Reply:
    """Commands of one transaction, all or nothing."""
    database = request.open_database().database
    commands = parse(request.body)
    if any(command.Type == "PUT" and ends_with_bar(command.Id) for command in commands):
        return post_identities(request, database, commands)
    return Deferred(database.submit(build(database, commands)), batch_answer)


async def post_identities(request: Request, database: Database, commands: list[Command]) -> Response:
    """A batch that needs numbers from the cluster before it can be written."""
    for command in commands:
        if command.Type == "PUT" and ends_with_bar(command.Id):
            command.Id = await resolve_identity(request, database, str(command.Id))
    return batch_answer(await database.submit(build(database, commands)))


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

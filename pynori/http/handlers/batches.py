"""Batches: commands of one user transaction, all or nothing.

The commands are read by msgspec and their documents by the engine's parser, to which they go as they came: no byte is
read by two parsers that could disagree.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from pynori.documents.json_patch import JsonPatch
from pynori.documents.patch import DeleteCommand, PatchCommand, PatchResult, PatchScript, PutCommand
from pynori.errors import BadRequest, InvalidArgument, InvalidJson, LimitExceeded, TimeoutExpired
from pynori.http.handlers import cluster_batches
from pynori.http.handlers.documents import IDENTITY_SUFFIX, resolve_identity
from pynori.http.handlers.patches import ScriptBody, command_shape
from pynori.http.request import Request
from pynori.http.response import Deferred, Reply, Response, encode_json
from pynori.http.shapes import command_result
from pynori.limits import BATCH_COMMANDS_MAX
from pynori.queries.timespan import timespan_ms

if TYPE_CHECKING:
    from pynori.documents.database import Batch, CommandResult, Database
    from pynori.documents.prepare import Command as PreparedCommand
    from pynori.documents.prepare import Results

PATCH_KINDS = ("PATCH", "BatchPATCH", "JsonPatch")  # go through the database's preparer


class PatchedId(msgspec.Struct):
    """One document of a BatchPATCH."""

    Id: str
    ChangeVector: str | None = None


class Command(msgspec.Struct):
    """One command as sent; what only other kinds of commands have is passed over."""

    Type: str | None = None
    Id: str | None = None
    ChangeVector: str | None = None
    OriginalChangeVector: str | None = None
    Index: int | None = None
    IdPrefixed: bool | None = None
    Document: msgspec.Raw = msgspec.Raw()
    Ids: list[PatchedId] = []
    Patch: ScriptBody | None = None
    PatchIfMissing: ScriptBody | None = None
    CreateIfMissing: msgspec.Raw = msgspec.Raw()
    JsonPatch: msgspec.Raw = msgspec.Raw()
    ReturnDocument: bool | None = None


class CommandList(msgspec.Struct):
    """The body of a batch."""

    Commands: list[Command]
    TransactionMode: str | None = None


WAIT_FOR_INDEXES = "waitforindexestimeout"
WAIT_FOR_REPLICAS = "waitforreplicastimeout"
MAJORITY = "majority"
BYTES_LITERAL = re.compile(r"b(['\"])(.*)\1")
decode_batch = msgspec.json.Decoder(CommandList).decode


def post(request: Request) -> Reply:
    """Commands of one transaction, all or nothing."""
    database = request.open_database().database
    batch = parse(request.body)
    if batch.TransactionMode == "ClusterWide":
        return cluster_batches.post(request, batch.Commands)
    commands = batch.Commands
    if any(command.Type == "PUT" and ends_with_bar(command.Id) for command in commands):
        return post_identities(request, database, commands)
    deferred = execute(database, commands)
    waits = WAIT_FOR_INDEXES in request.query or WAIT_FOR_REPLICAS in request.query
    return post_waiting(request, deferred) if waits else deferred


async def post_identities(request: Request, database: Database, commands: list[Command]) -> Response:
    """A batch that needs numbers from the cluster before it can be written."""
    for command in commands:
        if command.Type == "PUT" and ends_with_bar(command.Id):
            command.Id = await resolve_identity(request, database, str(command.Id))
    return await post_waiting(request, execute(database, commands))


async def post_waiting(request: Request, deferred: Deferred) -> Response:
    """Write, then wait for other instances and for the indexes that are concerned, as far as that was asked for."""
    results = await deferred.future
    opened = request.open_database()
    etag = opened.database.last_etag
    if WAIT_FOR_REPLICAS in request.query:
        wanted = request.text("numberofreplicastowaitfor")
        count = None if wanted == MAJORITY else request.number("numberofreplicastowaitfor", 1, 1, 1_000)
        await opened.replication.wait_for_replicas(
            etag, count, timespan_ms(request.text(WAIT_FOR_REPLICAS)),
            throw=request.flag("throwontimeoutinwaitforreplicas", True),
        )  # fmt: skip
    if WAIT_FOR_INDEXES in request.query:
        wait_s = timespan_ms(request.text(WAIT_FOR_INDEXES)) / 1_000
        names = [index_name(each) for each in request.texts("waitforspecificindex")]
        # What a patch has written says no collection: then every index is concerned.
        known = {getattr(result, "collection", "").lower() for result in results}
        collections = None if "" in known else known
        try:
            await opened.indexes.wait_for_save(etag, collections, names, wait_s)
        except TimeoutExpired:
            if request.flag("waitforindexthrow", True):
                raise
    return deferred.render(results)


def index_name(text: str) -> str:
    """A name as it was sent; one client sends the text of a bytes literal."""
    found = BYTES_LITERAL.fullmatch(text)
    return text if found is None else found.group(2)


def execute(database: Database, commands: list[Command]) -> Deferred:
    """Write the commands; those with patches among them are prepared first."""
    if not any(command.Type in PATCH_KINDS for command in commands):
        return Deferred(database.submit(build(database, commands)), batch_answer)
    prepared: list[PreparedCommand] = []
    origins: list[Command] = []  # of each prepared command
    for command in commands:
        made = prepare_command(command)
        prepared += made
        origins += [command] * len(made)
    if len(prepared) > BATCH_COMMANDS_MAX:
        raise LimitExceeded(f"more commands than BATCH_COMMANDS_MAX ({BATCH_COMMANDS_MAX}) in one batch")
    return Deferred(database.prepare(prepared), lambda results: prepared_answer(origins, results))


def ends_with_bar(id: str | None) -> bool:
    return id is not None and id.endswith(IDENTITY_SUFFIX)


def parse(body: bytes) -> CommandList:
    try:
        batch = decode_batch(body)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"the batch is not of the form {{\"Commands\": [...]}}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"the request body is not valid JSON: {error}") from None
    if len(batch.Commands) > BATCH_COMMANDS_MAX:
        raise LimitExceeded(f"more commands than BATCH_COMMANDS_MAX ({BATCH_COMMANDS_MAX}) in one batch")
    if batch.TransactionMode not in (None, "SingleNode", "ClusterWide"):
        raise BadRequest(f"transaction mode '{batch.TransactionMode[:40]}' is not known to this server")
    return batch


def build(database: Database, commands: list[Command]) -> Batch:
    batch = database.batch()
    for command in commands:
        add_command(batch, command)
    return batch


def add_command(batch: Batch, command: Command) -> None:
    checked = checked_command(command)
    if isinstance(checked, PutCommand):
        batch.put(checked.id, checked.body, checked.expected_change_vector)
    else:
        batch.delete(checked.id, checked.expected_change_vector)


def prepare_command(command: Command) -> list[PreparedCommand]:
    """A command of a batch that has patches; several for a patch of several documents."""
    kind = command.Type
    if kind not in PATCH_KINDS:
        return [checked_command(command)]
    if kind == "BatchPATCH":
        script = needed_script(command)
        if_missing = None if command.PatchIfMissing is None else command.PatchIfMissing.as_script()
        return [
            PatchCommand(one.Id, script, if_missing, expected_change_vector=one.ChangeVector) for one in command.Ids
        ]
    if not command.Id:
        raise InvalidArgument(f"a {kind} command has no 'Id'")
    if kind == "JsonPatch":
        patch = JsonPatch.parse(bytes(command.JsonPatch))
        return [PatchCommand(command.Id, patch, expected_change_vector=command.ChangeVector)]
    create = bytes(command.CreateIfMissing)
    return [
        PatchCommand(
            command.Id,
            needed_script(command),
            None if command.PatchIfMissing is None else command.PatchIfMissing.as_script(),
            None if create in (b"", b"null") else create,
            command.ChangeVector,
        )
    ]


def needed_script(command: Command) -> PatchScript:
    if command.Patch is None:
        raise InvalidArgument(f"the {command.Type} command for '{command.Id}' has no 'Patch'")
    return command.Patch.as_script()


def checked_command(command: Command) -> PutCommand | DeleteCommand:
    """A PUT or DELETE. Raises BadRequest for anything else."""
    kind = command.Type
    if kind == "PUT":
        document = bytes(command.Document)
        if not document:
            raise InvalidArgument(f"the PUT command for '{command.Id}' has no 'Document'")
        return PutCommand(command.Id or "", document, command.ChangeVector)
    if kind == "DELETE":
        if not command.Id:
            raise InvalidArgument("a DELETE command has no 'Id'")
        if command.IdPrefixed:
            raise BadRequest("a DELETE command with 'IdPrefixed' is not known to this server")
        return DeleteCommand(command.Id, command.ChangeVector)
    raise BadRequest(f"the command type '{str(kind)[:40]}' is not known to this server")


def prepared_answer(origins: list[Command], results: Results) -> Response:
    shapes: list[Any] = [
        command_shape(result, str(origin.Type), bool(origin.ReturnDocument))
        if isinstance(result, PatchResult)
        else command_result(result)
        for origin, result in zip(origins, results, strict=True)
    ]
    return Response(201, encode_json({"Results": shapes}))


def batch_answer(results: list[CommandResult]) -> Response:
    shapes: list[Any] = [command_result(result) for result in results]
    return Response(201, encode_json({"Results": shapes}))

"""Batches on which the whole cluster agrees: documents and compare-exchange values, all or nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from pynori.cluster.compare_exchange import GUARD_PREFIX
from pynori.errors import BadRequest, InvalidArgument
from pynori.http.handlers.compare_exchange import value_of
from pynori.http.request import REQUEST_ID, Request
from pynori.http.response import Response, encode_json
from pynori.http.shapes import command_result
from pynori.runtime.rand import guid
from pynori.server.cluster_transactions import Seen

if TYPE_CHECKING:
    from pynori.documents.database import CommandResult
    from pynori.http.handlers.batches import Command

VALUE_KINDS = ("CompareExchangePUT", "CompareExchangeDELETE")
GUARD_INDEX = re.compile(r"TRXN:(\d+)-([A-Za-z0-9+/]+)")


async def post(request: Request, commands: list[Command]) -> Response:
    """Propose the batch, and answer when this node's instance of the database has applied it."""
    found = request.open_database()
    state = request.server.state
    record = found.record
    transactions_id = record["Topology"]["ClusterTransactionIdBase64"]
    changes: list[dict[str, Any]] = []
    documents: list[dict[str, Any]] = []
    check = found.database.batch()  # refuses what no instance could apply, before anybody has agreed to it
    for command in commands:
        if command.Type in VALUE_KINDS:
            changes.append(change_of(command))
            continue
        document = document_of(command, transactions_id)
        if document["document"] is None:
            check.delete(document["id"])
        else:
            document["id"] = document["id"] or guid(request.server.rand)
            check.put(document["id"], document["document"].encode())
        documents.append(document)
    guarded = not request.flag("disableatomicdocumentwrites")
    proposal = state.transact(request.database_name, changes, documents, guarded, request.text(REQUEST_ID))
    if documents:
        index, applied = await found.transactions.run(proposal)
        applied = applied or found.transactions.seen(documents)  # it is asked for again, and was applied before
    else:
        index, applied = await proposal, []
    results = [shape_of(result) for result in applied]
    results += [
        {"Type": command.Type, "Key": command.Id, "Index": index} for command in commands if command.Type in VALUE_KINDS
    ]
    return Response(201, encode_json({"Results": results, "TransactionIndex": index}))


def shape_of(result: CommandResult | Seen) -> dict[str, Any]:
    if not isinstance(result, Seen):
        return command_result(result)
    if result.is_delete:
        return {"Id": result.id, "Type": "DELETE", "Deleted": True, "ChangeVector": result.change_vector}
    return {"Type": "PUT", "@id": result.id, "@change-vector": result.change_vector}


def change_of(command: Command) -> dict[str, Any]:
    if not command.Id:
        raise InvalidArgument(f"a {command.Type} command has no 'Id'")
    if command.Id.lower().startswith(GUARD_PREFIX):
        raise InvalidArgument(f"You cannot manipulate the atomic guard '{command.Id}' via the cluster-wide session")
    if command.Type == "CompareExchangeDELETE":
        return {"key": command.Id, "index": command.Index or 0, "value": None}
    text, expires = value_of(bytes(command.Document))
    return {"key": command.Id, "index": command.Index or 0, "value": text.decode(), "expires": expires}


def document_of(command: Command, transactions_id: str) -> dict[str, Any]:
    if command.Type not in ("PUT", "DELETE"):
        raise BadRequest(f"The command type '{str(command.Type)[:40]}' is not supported in a cluster transaction")
    id = command.Id or ""
    if id.endswith(("/", "|")):
        raise BadRequest(f"Document id {id} cannot end with '|' or '/' as part of cluster transaction")
    text = bytes(command.Document).decode() if command.Type == "PUT" else None
    if text == "" or (text is None and not id):
        raise InvalidArgument(f"the {command.Type} command for '{id}' has no {'Id' if text is None else 'Document'}")
    return {"id": id, "document": text, "guard": guard_index(command, transactions_id)}


class Metadata(msgspec.Struct):
    change_vector: str | None = msgspec.field(default=None, name="@change-vector")


class Loaded(msgspec.Struct):
    """A document as far as it says where it comes from."""

    metadata: Metadata = msgspec.field(default_factory=Metadata, name="@metadata")


def loaded_vector(command: Command) -> str | None:
    if command.Type != "PUT":
        return None
    try:
        return msgspec.json.decode(command.Document, type=Loaded).metadata.change_vector
    except msgspec.ValidationError:
        return None  # it has no metadata that could say so


def guard_index(command: Command, transactions_id: str) -> int:
    """The index at which the client saw the guard of the document: its change vector has it. 0: it saw none.

    A client that sends no change vector beside a document that it has loaded sends it in the document's metadata.
    """
    for vector in (command.ChangeVector, command.OriginalChangeVector, loaded_vector(command)):
        for index, id in GUARD_INDEX.findall(vector or ""):
            if id == transactions_id:
                return int(index)
    return 0

"""Conflicts and the rules that resolve them, and the links of an instance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pynori import limits
from pynori.errors import InvalidArgument
from pynori.http.handlers.databases import named_record
from pynori.http.request import Request
from pynori.http.response import Response, StreamResponse, encode_json, json_response
from pynori.js.engine import Program, ScriptEngine
from pynori.replication.conflicts import ordered
from pynori.replication.incoming import IncomingLink
from pynori.replication.outgoing import EXTERNAL, INTERNAL, OutgoingLink
from pynori.runtime.clock import wire_time

if TYPE_CHECKING:
    from pynori.documents.database import Database, Version

CONFLICTS_PAGE_SIZE = 2**31 - 1  # of a list when none is asked for


def conflicts(request: Request) -> Response | StreamResponse:
    """The versions of one document, or a page of all that are in conflict."""
    database = request.open_database().database
    id = request.text("docid")
    if id:
        versions = ordered(database.conflicts(id))
        return json_response(
            {
                "Id": id,
                "Results": [
                    {
                        "Doc": None if version.json is None else msgspec.Raw(version.json),
                        "ChangeVector": version.change_vector,
                        "LastModified": version.last_modified,
                        "Collection": version.collection,
                        "Etag": version.etag,
                        "Flags": version.flags,
                    }
                    for version in versions
                ],
                "LargestEtag": max((version.etag for version in versions), default=0),
            }
        )
    return StreamResponse(listed(database, request.number("start", 0), request.number("pagesize", CONFLICTS_PAGE_SIZE)))


def listed(database: Database, skip: int, size: int) -> Iterator[bytes]:
    """A page of the conflicts, a bounded number at a time: there may be any number of them."""
    yield b'{"TotalResults":%d,"Results":[' % database.conflict_count
    separator, after = b"", ""
    while size > 0:
        ids = database.conflicted(after, min(limits.CONFLICTS_STEP, skip + size))
        if not ids:
            break
        shapes = [summary(id, database.conflicts(id)) for id in ids[skip:]]
        if shapes:
            yield separator + encode_json(shapes)[1:-1]
            separator = b","
        skip, size, after = max(0, skip - len(ids)), size - len(shapes), ids[-1]
    yield b"]}"


def summary(id: str, versions: Sequence[Version]) -> dict[str, Any]:
    """One conflict as lists show it."""
    latest = max((version.last_modified for version in versions), default=None)
    return {"Id": id, "ConflictsPerDocument": len(versions), "LastModified": latest}


def solver(request: Request) -> Response:
    """The rules of a database, and how its scripts failed last."""
    found = request.open_database()
    config = found.record["ConflictSolverConfig"]
    return json_response({**config, "Failures": found.replication.resolver.failures})


async def put_solver(request: Request) -> Response:
    """Set the rules of a database; conflicts that are there already are resolved by them as well."""
    name = request.required("name")
    given = named_record(request, name)["ConflictSolverConfig"]
    config = {**given, **checked_solver(request.json_object(), request.server.scripts.engine)}
    index = await request.server.state.update_record(name, lambda record: record.update(ConflictSolverConfig=config))
    return json_response({"RaftCommandIndex": index, "Key": name, "ConflictSolverConfig": config})


def checked_solver(given: dict[str, Any], engine: ScriptEngine) -> dict[str, Any]:
    """The rules that a client sends. Raises: InvalidArgument, JavaScriptError for a script that does not compile."""
    scripts = given.get("ResolveByCollection") or {}
    if not isinstance(scripts, dict):
        raise InvalidArgument("'ResolveByCollection' must be an object: a script by collection")
    kept = {}
    for collection, each in scripts.items():
        if not isinstance(each, dict) or not isinstance(each.get("Script"), str) or not each["Script"].strip():
            raise InvalidArgument(f"'ResolveByCollection' has no 'Script' for the collection '{collection[:60]}'")
        engine.define(Program("resolve", (each["Script"],)))
        kept[collection] = each
    node = given.get("AuthoritativeNode")
    if node is not None and not isinstance(node, str):
        raise InvalidArgument("'AuthoritativeNode' must be a node's tag")
    return {
        "ResolveByCollection": kept,
        "ResolveToLatest": bool(given.get("ResolveToLatest")),
        "AuthoritativeNode": node or None,
    }


def connections(request: Request) -> Response:
    """The links of this node's instance, in both directions."""
    replication = request.open_database().replication
    return json_response(
        {
            "IncomingConnections": [incoming_shape(link) for link in replication.incoming],
            "OutgoingConnections": [outgoing_shape(link) for link in replication.outgoing],
        }
    )


def incoming_shape(link: IncomingLink) -> dict[str, Any]:
    return {
        "SourceDatabaseId": link.source,
        "SourceDatabaseName": link.source_database,
        "SourceUrl": link.source_url,
        "SourceTag": link.source_node,
        "ConnectedAt": wire_time(link.opened_at),
        "LastAcceptedEtag": link.position,
        "Batches": link.batches,
        "ItemsStored": link.stored,
        "ItemsIgnored": link.ignored,
        "Conflicts": link.conflicts,
    }


def outgoing_shape(link: OutgoingLink) -> dict[str, Any]:
    return {
        "Destination": link.destination.name,
        "Type": INTERNAL if link.destination.is_internal else EXTERNAL,
        "Database": link.destination.database,
        "Urls": list(link.destination.urls),
        "TaskId": link.destination.task_id,
        "State": "Paused" if link.is_paused else "Connected" if link.is_connected else "Disconnected",
        "ConnectedAt": None if link.connected_at is None else wire_time(link.connected_at),
        "LastAcceptedEtag": link.accepted,
        "LastSentEtag": link.sent,
        "Batches": link.sent_batches,
        "Items": link.sent_items,
        "SizeInBytes": link.sent_bytes,
        "Error": link.failure or None,
    }

"""Conflicts and the rules that resolve them, and the links of an instance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from pynori import limits
from pynori.cluster.records import Record
from pynori.errors import DatabaseDoesNotExist, InvalidArgument
from pynori.http.handlers.databases import named_record
from pynori.http.request import Request
from pynori.http.response import Response, json_response
from pynori.js.engine import Program, ScriptEngine
from pynori.replication.conflicts import ordered
from pynori.replication.incoming import IncomingLink
from pynori.replication.outgoing import EXTERNAL, INTERNAL, OutgoingLink
from pynori.runtime.clock import wire_time

CONFLICTS_PAGE_SIZE = 2**31 - 1  # of a list when none is asked for


def conflicts(request: Request) -> Response:
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
    skip = request.number("start", 0)
    wanted = request.number("pagesize", CONFLICTS_PAGE_SIZE)
    shapes: list[dict[str, Any]] = []
    after = ""
    while len(shapes) < wanted:
        ids = database.conflicted(after, min(limits.CONFLICTS_STEP, skip + wanted - len(shapes)))
        for each in ids[skip:]:
            versions = database.conflicts(each)
            shapes.append(
                {
                    "Id": each,
                    "ConflictsPerDocument": len(versions),
                    "LastModified": max((version.last_modified for version in versions), default=None),
                }
            )
        skip = max(0, skip - len(ids))
        if not ids:
            break
        after = ids[-1]
    return json_response({"TotalResults": database.conflict_count, "Results": shapes[:wanted]})


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
        "State": "Connected" if link.is_connected else "Disconnected",
        "ConnectedAt": None if link.connected_at is None else wire_time(link.connected_at),
        "LastAcceptedEtag": link.accepted,
        "LastSentEtag": link.sent,
        "Batches": link.sent_batches,
        "Items": link.sent_items,
        "SizeInBytes": link.sent_bytes,
        "Error": link.failure or None,
    }


def record_of(request: Request) -> Record:
    """The record of the database in the path, also when it has no instance here."""
    found = request.server.state.record(request.database_name)
    if found is None:
        raise DatabaseDoesNotExist(request.database_name)
    return found


def with_task(list_name: str, task: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """A change of a record that puts a task into one of its lists, in the place of the one with its id."""

    def change(record: dict[str, Any]) -> None:
        record[list_name] = [each for each in record[list_name] if each["TaskId"] != task["TaskId"]] + [task]

    return change

"""Databases as a whole: create, delete, list, record, settings, switched on and off, locked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pynori.errors import DatabaseDoesNotExist, InvalidArgument, NamedDatabaseDoesNotExist, PynoriError
from pynori.http.request import Request
from pynori.http.response import Response, json_response

LOCK_MODES = ("Unlock", "PreventDeletesIgnore", "PreventDeletesError")


async def create(request: Request) -> Response:
    """Create a database from its record."""
    record = request.json_object()
    name = request.text("name") or record.get("DatabaseName")
    if not isinstance(name, str) or not name:
        raise InvalidArgument("the database's name is missing: neither 'name' nor 'DatabaseName' is given")
    record["DatabaseName"] = name
    created = await request.server.databases.create(record, request.number("replicationfactor", 1, 0, 1_000))
    return json_response(
        {
            "RaftCommandIndex": created.raft_index,
            "Name": created.name,
            "Topology": created.topology,
            "NodesAddedTo": [request.base_url()],
        },
        status=201,
    )


async def delete(request: Request) -> Response:
    """Delete databases, with or without their files."""
    body = request.json_object()
    names = name_list(body)
    raft_index = await request.server.databases.delete(names, bool(body.get("HardDelete")))
    return json_response({"RaftCommandIndex": raft_index, "PendingDeletes": []})


def name_list(body: dict[str, Any]) -> list[str]:
    names = body.get("DatabaseNames")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidArgument("the body must hold 'DatabaseNames', a list of strings")
    return names


def record(request: Request) -> Response:
    """The complete record of a database."""
    found = request.server.state.record(request.required("name"))
    return Response(404) if found is None else json_response(found)


def record_of_path(request: Request) -> Response:
    """The complete record of the database in the path."""
    found = request.server.state.record(request.database_name)
    if found is None:
        raise DatabaseDoesNotExist(request.database_name)
    return json_response(found)


def list_all(request: Request) -> Response:
    """All databases, or the one with the given name."""
    name = request.text("name")
    state = request.server.state
    if name:
        found = state.record(name)
        if found is None:
            missing = DatabaseDoesNotExist(name)
            fields = "".join(f"{key}: {value}\r\n" for key, value in missing.headers().items())
            return Response(404, fields=fields.encode("ascii"))
        return json_response(database_info(request, found["DatabaseName"]))
    start = request.number("start", 0)
    names = request.server.databases.names()[start:][: request.number("pagesize", 2**31 - 1)]
    if request.flag("namesonly"):
        return json_response({"Databases": names})
    return json_response({"Databases": [database_info(request, name) for name in names]})


def database_info(request: Request, name: str) -> dict[str, Any]:
    """What lists show of one database, open or not."""
    found = request.server.state.record(name)
    if found is None:
        raise DatabaseDoesNotExist(name)
    info: dict[str, Any] = {
        "Name": name,
        "Disabled": bool(found["Disabled"]),
        "IsEncrypted": bool(found["Encrypted"]),
        "LockMode": found["LockMode"],
        "NodesTopology": {"Members": found["Topology"]["Members"]},
    }
    try:
        statistics = request.server.databases.find(name).database.statistics()
    except PynoriError as error:
        info["LoadError"] = None if info["Disabled"] else error.message
        return info
    info["DocumentsCount"] = statistics.documents
    info["TotalSize"] = {"SizeInBytes": statistics.size_bytes}
    return info


async def enable(request: Request) -> Response:
    """Open databases that were disabled."""
    return await set_disabled(request, False)


async def disable(request: Request) -> Response:
    """Close databases and keep them closed."""
    return await set_disabled(request, True)


async def set_disabled(request: Request, disabled: bool) -> Response:
    results = []
    for name in name_list(request.json_object()):
        reason = None
        try:
            await request.server.databases.set_disabled(name, disabled)
        except PynoriError as error:
            reason = error.message
        results.append({"Name": name, "Success": reason is None, "Reason": reason, "Disabled": disabled})
    return json_response({"Status": results})


def compact(request: Request) -> Response:
    """Start to write the files of a database anew, without their free space, as an operation of the server."""
    body = request.json_object()
    name = body.get("DatabaseName")
    if not isinstance(name, str) or not name:
        raise InvalidArgument("the body must hold 'DatabaseName', a string")
    server = request.server
    operation = server.operations.start(
        server.operations.next_id(), "DatabaseCompact", f"Compacting database: {name}"
    )
    try:
        server.databases.start_compaction(name, operation)
    except PynoriError as error:
        operation.fail(error)
    return json_response({"OperationId": operation.id, "OperationNodeTag": server.node_tag})


async def set_lock(request: Request) -> Response:
    """Allow or forbid the deletion of databases."""
    body = request.json_object()
    mode = body.get("Mode")
    if mode not in LOCK_MODES:
        raise InvalidArgument(f"'Mode' must be one of {', '.join(LOCK_MODES)}")
    names = name_list(body)
    for name in names:
        named_record(request, name)
    for name in names:
        await request.server.state.update_record(name, setting(LockMode=mode))
    return Response(204)


def named_record(request: Request, name: str) -> dict[str, Any]:
    """The record of a database that a request to the server names. Raises: NamedDatabaseDoesNotExist."""
    found = request.server.state.record(name)
    if found is None:
        raise NamedDatabaseDoesNotExist(name)
    return found


async def reorder(request: Request) -> Response:
    """Put the members of a database's topology into another order: clients ask the first one first."""
    name = request.required("name")
    order = request.json_object().get("MembersOrder")
    members = named_record(request, name)["Topology"]["Members"]
    if not isinstance(order, list) or sorted(map(str, order)) != sorted(members):
        raise InvalidArgument(f"The reordered list doesn't correspond to the existing members: {', '.join(members)}")

    def change(found: dict[str, Any]) -> None:
        found["Topology"] = {**found["Topology"], "Members": [str(each) for each in order]}

    await request.server.state.update_record(name, change)
    return Response(200)


def promote(request: Request) -> Response:
    """Make a node a member of a database's topology. Here all nodes of it are members from the start."""
    name, node = request.required("name"), request.required("node")
    found = named_record(request, name)
    if node not in found["Topology"]["Members"]:
        raise InvalidArgument(f"Database {found['DatabaseName']} doesn't have a node '{node}' to promote")
    return json_response(
        {
            "RaftCommandIndex": request.server.state.raft_index,
            "Name": found["DatabaseName"],
            "Topology": found["Topology"],
            "NodesAddedTo": [],
        }
    )


async def put_settings(request: Request) -> Response:
    """Replace the database's settings."""
    settings = request.json_object()
    if not all(value is None or isinstance(value, str) for value in settings.values()):
        raise InvalidArgument("settings are an object of strings")
    await request.server.state.update_record(request.database_name, setting(Settings=settings))
    return Response(204)


def setting(**values: Any) -> Callable[[dict[str, Any]], None]:
    """A change of a record that sets these properties."""

    def change(found: dict[str, Any]) -> None:
        found.update(values)

    return change

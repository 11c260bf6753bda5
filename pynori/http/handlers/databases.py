"""Databases as a whole: create, delete, list, record, settings, switched on and off, locked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pynori import limits
from pynori.cluster import database_topology, topology
from pynori.cluster.database_topology import ROLES, instances, mentor
from pynori.errors import (
    DatabaseDoesNotExist,
    DatabaseNotRelevant,
    InvalidArgument,
    NamedDatabaseDoesNotExist,
    PynoriError,
)
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
            "NodesAddedTo": addresses(request, instances(created.topology)),
        },
        status=201,
    )


def addresses(request: Request, tags: list[str]) -> list[str]:
    """Where nodes are reached; this one as the client knows it."""
    urls = request.server.state.node_urls(request.base_url())
    return [urls[tag] for tag in tags if tag in urls]


async def delete(request: Request) -> Response:
    """Delete databases, or their instances on some nodes, with or without their files."""
    body = request.json_object()
    names = name_list(body)
    nodes = body.get("FromNodes") or None
    if nodes is not None and not (isinstance(nodes, list) and all(isinstance(tag, str) for tag in nodes)):
        raise InvalidArgument("'FromNodes' must be a list of node tags")
    databases = request.server.databases
    raft_index = await databases.delete(names, bool(body.get("HardDelete")), nodes)
    wait_s = seconds(body.get("TimeToWaitForConfirmation"), limits.DATABASE_DELETED_WAIT_MS / 1_000)
    return json_response(
        {"RaftCommandIndex": raft_index, "PendingDeletes": await databases.pending_deletes(names, wait_s)}
    )


def seconds(span: object, default: float) -> float:
    """A time span as clients write it, "00:00:15" or milliseconds; what is none, or longer, is the default."""
    if isinstance(span, int | float) and not isinstance(span, bool):
        return min(max(span / 1_000, 0.0), default)
    if not isinstance(span, str):
        return default
    try:
        hours, minutes, rest = span.split(":")
        return min(max(int(hours) * 3_600 + int(minutes) * 60 + float(rest), 0.0), default)
    except ValueError:
        return default


def name_list(body: dict[str, Any]) -> list[str]:
    names = body.get("DatabaseNames")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidArgument("the body must hold 'DatabaseNames', a list of strings")
    return names


def record(request: Request) -> Response:
    """The complete record of a database."""
    found = request.server.state.record(request.required("name"))
    return Response(404) if found is None else json_response(with_deployments(found))


def record_of_path(request: Request) -> Response:
    """The complete record of the database in the path."""
    return json_response(with_deployments(record_of(request)))


def with_deployments(record: dict[str, Any]) -> dict[str, Any]:
    """A record as clients read it: the last entry of an index's history tells how far its deployment is."""
    history = dict(record["IndexesHistory"])
    for name, rolling in record["RollingIndexes"].items():
        if history.get(name):
            latest = {**history[name][0], "RollingDeployment": rolling["ActiveDeployments"]}
            history[name] = [latest, *history[name][1:]]
    return {**record, "IndexesHistory": history}


def record_of(request: Request) -> dict[str, Any]:
    """The record of the database in the path, also when it has no instance here. Raises: DatabaseDoesNotExist."""
    found = request.server.state.record(request.database_name)
    if found is None:
        raise DatabaseDoesNotExist(request.database_name)
    return found


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
    """What lists show of one database, open or not, on this node or on others."""
    state = request.server.state
    found = state.record(name)
    if found is None:
        raise DatabaseDoesNotExist(name)
    info: dict[str, Any] = {
        "Name": name,
        "Disabled": bool(found["Disabled"]),
        "IsEncrypted": bool(found["Encrypted"]),
        "LockMode": found["LockMode"],
        "NodesTopology": nodes_topology(request, found["Topology"]),
        "DeletionInProgress": dict.fromkeys(state.deletions(name), "HardDelete"),
        "IsHere": state.is_here(name),
    }
    try:
        statistics = request.server.databases.find(name).database.statistics()
    except DatabaseNotRelevant:
        info["State"] = "offline (not on this node)"
        return info
    except PynoriError as error:
        info["State"] = "disabled" if info["Disabled"] else "failed"
        info["LoadError"] = None if info["Disabled"] else error.message
        return info
    info["State"] = "online"
    info["DocumentsCount"] = statistics.documents
    info["TotalSize"] = {"SizeInBytes": statistics.size_bytes}
    return info


def nodes_topology(request: Request, known: dict[str, Any]) -> dict[str, Any]:
    """The nodes of a database by their roles, in order, each with its address and who feeds it."""
    urls = request.server.state.node_urls(request.base_url())

    def nodes(field: str) -> list[dict[str, Any]]:
        return [
            {"NodeTag": tag, "NodeUrl": urls.get(tag), "ResponsibleNode": mentor(known, tag)}
            for tag in known[field]
        ]

    return {
        **{field: nodes(field) for field in ROLES},
        "Status": {
            tag: {
                "LastStatus": known["PromotablesStatus"].get(tag, "Ok"),
                "LastError": known["DemotionReasons"].get(tag),
            }
            for tag in instances(known)
        },
        "PriorityOrder": known["PriorityOrder"],
        "DynamicNodesDistribution": known["DynamicNodesDistribution"],
    }


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
    body = request.json_object()
    order = body.get("MembersOrder")
    named_record(request, name)
    if not isinstance(order, list):
        raise InvalidArgument("the body must hold 'MembersOrder', a list of node tags")
    tags, is_fixed = [str(tag) for tag in order], bool(body.get("Fixed"))
    await request.server.state.change_topology(name, lambda known: database_topology.reorder(known, tags, is_fixed))
    return Response(200)


async def add_node(request: Request) -> Response:
    """Give a database an instance on one more node: the one that is named, or the one that has the fewest."""
    name = request.required("name")
    named_record(request, name)
    wanted, mentor_tag = request.text("node") or None, request.text("mentor") or None
    added = await request.server.databases.add_instance(name, wanted, mentor_tag)
    return changed_topology(request, name, request.server.state.raft_index, [added], status=201)


async def promote(request: Request) -> Response:
    """Make a node a member of a database's topology at once, whether it has caught up or not."""
    name, node = request.required("name"), request.required("node")
    found = named_record(request, name)
    if node not in instances(found["Topology"]):
        raise InvalidArgument(f"Database {found['DatabaseName']} doesn't have a node '{node}' to promote")
    state = request.server.state
    raft_index = state.raft_index
    if node not in found["Topology"]["Members"]:
        raft_index = await state.change_topology(name, lambda known: database_topology.promote(known, node))
    return changed_topology(request, name, raft_index, [])


async def modify_topology(request: Request) -> Response:
    """Replace members, promotables, rehabs and order of a database's topology by hand."""
    name = request.required("name")
    asked = request.json_object()
    named_record(request, name)
    state = request.server.state
    nodes = topology.nodes(state.topology)
    raft_index = await state.change_topology(name, lambda known: database_topology.given(known, asked, nodes))
    return changed_topology(request, name, raft_index, [])


async def set_dynamic_distribution(request: Request) -> Response:
    """Say whether another node gets an instance when one of the database's nodes stays away."""
    name, enabled = request.required("name"), request.flag("enabled")
    named_record(request, name)
    raft_index = await request.server.state.change_topology(
        name, lambda known: {**known, "DynamicNodesDistribution": enabled}
    )
    return changed_topology(request, name, raft_index, [])


def changed_topology(
    request: Request, name: str, raft_index: int, added: list[str], status: int = 200
) -> Response:  # fmt: skip
    found = named_record(request, name)
    return json_response(
        {
            "RaftCommandIndex": raft_index,
            "Name": found["DatabaseName"],
            "Topology": found["Topology"],
            "NodesAddedTo": addresses(request, added),
        },
        status=status,
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

"""Ongoing tasks of a database and the connection strings they use, defined through the cluster."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from pynori.cluster.records import Record
from pynori.errors import InvalidArgument
from pynori.http.handlers.databases import record_of
from pynori.http.request import Request
from pynori.http.response import Response, json_response
from pynori.server.ongoing import external_replications, responsible_node

# By the type that a connection string states, the list of the record that keeps it.
STRING_LISTS = {
    "Raven": "RavenConnectionStrings",
    "Sql": "SqlConnectionStrings",
    "Olap": "OlapConnectionStrings",
    "ElasticSearch": "ElasticSearchConnectionStrings",
    "Queue": "QueueConnectionStrings",
    "Snowflake": "SnowflakeConnectionStrings",
    "Ai": "AiConnectionStrings",
}
TASK_LISTS = {"Replication": "ExternalReplications"}  # by task type, of those that run


# ---- connection strings


async def put_connection_string(request: Request) -> Response:
    """Define a connection string, or define it anew."""
    given = request.json_object()
    list_name = string_list(given.get("Type"))
    name = given.get("Name")
    if not isinstance(name, str) or not name:
        raise InvalidArgument("a connection string must have a 'Name'")
    if list_name == "RavenConnectionStrings":
        urls = given.get("TopologyDiscoveryUrls")
        if not given.get("Database") or not isinstance(urls, list) or not urls:
            raise InvalidArgument(f"connection string '{name}' must have 'Database' and 'TopologyDiscoveryUrls'")
        given["TopologyDiscoveryUrls"] = [str(url).rstrip("/") for url in urls]

    def change(record: dict[str, Any]) -> None:
        record[list_name] = {**record[list_name], name: given}

    return json_response({"RaftCommandIndex": await request.server.state.update_record(request.database_name, change)})


def get_connection_strings(request: Request) -> Response:
    """All connection strings by type, or the one that is named."""
    record = record_of(request)
    name = request.text("connectionstringname")
    if not name:
        return json_response({list_name: record[list_name] for list_name in STRING_LISTS.values()})
    wanted = string_list(request.text("type"))
    found = record[wanted].get(name)
    answer: dict[str, Any] = {list_name: {} for list_name in STRING_LISTS.values()}
    answer[wanted] = {} if found is None else {name: found}
    return json_response(answer)


async def delete_connection_string(request: Request) -> Response:
    """Remove a connection string that no task uses."""
    name = request.required("connectionstring")
    list_name = string_list(request.required("type"))
    for task in external_replications(record_of(request)):
        if list_name == "RavenConnectionStrings" and task.connection_string == name:
            raise InvalidArgument(f"connection string '{name}' is used by the task '{task.name}'")

    def change(record: dict[str, Any]) -> None:
        record[list_name] = {key: value for key, value in record[list_name].items() if key != name}

    return json_response({"RaftCommandIndex": await request.server.state.update_record(request.database_name, change)})


def string_list(type_name: object) -> str:
    found = STRING_LISTS.get(str(type_name))
    if found is None:
        raise InvalidArgument(f"'{str(type_name)[:40]}' is no type of connection strings: {', '.join(STRING_LISTS)}")
    return found


# ---- tasks


async def put_external_replication(request: Request) -> Response:
    """Define an external replication, or define it anew when its TaskId is given."""
    given = request.json_object().get("Watcher")
    if not isinstance(given, dict):
        raise InvalidArgument("the body must hold 'Watcher', the definition of an external replication")
    record = record_of(request)
    string = given.get("ConnectionStringName")
    if not isinstance(string, str) or string not in record["RavenConnectionStrings"]:
        raise InvalidArgument(f"there is no connection string '{string}' for external replication")
    mentor = given.get("MentorNode")
    if mentor and mentor not in record["Topology"]["Members"]:
        raise InvalidArgument(f"node '{mentor}' has no member of database '{record['DatabaseName']}'")
    if given.get("TaskId"):
        known(record, "ExternalReplications", given["TaskId"])
    name = given.get("Name") or f"External Replication to {string}"
    task = {**given, "TaskId": given.get("TaskId") or 0, "Name": name, "Disabled": bool(given.get("Disabled"))}
    state = request.server.state
    index = await state.update_record(
        request.database_name, with_task("ExternalReplications", task, lambda: state.raft_index + 1)
    )
    node = responsible_node(record_of(request), task["TaskId"])
    return json_response({"RaftCommandIndex": index, "TaskId": task["TaskId"], "ResponsibleNode": node})


def list_all(request: Request) -> Response:
    """All tasks of the database with the node that does each."""
    record = record_of(request)
    return json_response(
        {
            "OngoingTasks": [external_shape(request, record, task.task_id) for task in external_replications(record)],
            "SubscriptionsCount": 0,
        }
    )


def get(request: Request) -> Response:
    """One task, by its id or its name."""
    record = record_of(request)
    if request.required("type") != "Replication":
        return Response(404)
    name, key = request.text("taskname"), request.number("key", 0)
    for task in external_replications(record):
        if (name and task.name == name) or (not name and task.task_id == key):
            return json_response(external_shape(request, record, task.task_id))
    return Response(404)


async def delete(request: Request) -> Response:
    """End a task."""
    task_id = request.number("id", 0)
    list_name = task_list(request)

    def change(record: dict[str, Any]) -> None:
        record[list_name] = [each for each in record[list_name] if each["TaskId"] != task_id]

    known(record_of(request), list_name, task_id)
    index = await request.server.state.update_record(request.database_name, change)
    return json_response({"RaftCommandIndex": index, "TaskId": task_id, "ResponsibleNode": None})


async def set_state(request: Request) -> Response:
    """Switch a task on or off."""
    list_name = task_list(request)
    record = record_of(request)
    name = request.text("taskname")
    task_id = request.number("key", 0) if not name else next(
        (each["TaskId"] for each in record[list_name] if each["Name"] == name), 0
    )
    task = {**known(record, list_name, task_id), "Disabled": request.flag("disable", True)}
    index = await request.server.state.update_record(request.database_name, with_task(list_name, task))
    return json_response(
        {"RaftCommandIndex": index, "TaskId": task_id, "ResponsibleNode": responsible_node(record, task_id)}
    )


def with_task(
    list_name: str, task: dict[str, Any], first_id: Callable[[], int] = lambda: 1
) -> Callable[[dict[str, Any]], None]:
    """A change of a record that puts a task into one of its lists, in the place of the one with its id.

    A task without an id gets one that is free in the record which is changed, `first_id` or behind it: the change is
    made again when somebody else's came first.
    """
    is_new = not task["TaskId"]

    def change(record: dict[str, Any]) -> None:
        if is_new:
            taken = {each["TaskId"] for each in record[list_name]}
            task["TaskId"] = next(id for id in itertools.count(first_id()) if id not in taken)
        record[list_name] = [each for each in record[list_name] if each["TaskId"] != task["TaskId"]] + [task]

    return change


def task_list(request: Request) -> str:
    found = TASK_LISTS.get(request.required("type"))
    if found is None:
        raise InvalidArgument(f"tasks of type '{request.text('type')[:40]}' are not known: {', '.join(TASK_LISTS)}")
    return found


def known(record: Record, list_name: str, task_id: int) -> dict[str, Any]:
    """The definition of a task. Raises: InvalidArgument."""
    for each in record[list_name]:
        if each["TaskId"] == task_id:
            return dict(each)
    raise InvalidArgument(f"database '{record['DatabaseName']}' has no task with id {task_id}")


def external_shape(request: Request, record: Record, task_id: int) -> dict[str, Any]:
    task = next(each for each in external_replications(record) if each.task_id == task_id)
    node = responsible_node(record, task_id)
    url = request.server.state.node_urls(request.base_url()).get(node)
    link = None
    if node == request.server.node_tag and not task.disabled:
        links = request.server.databases.find(record["DatabaseName"]).replication.outgoing
        link = next((each for each in links if each.destination.task_id == task_id), None)
    status = "None" if task.disabled else "NotOnThisNode"
    if link is not None:
        status = "NotActive" if link.is_paused else "Active" if link.is_connected else "Reconnect"
    return {
        "TaskId": task_id,
        "TaskName": task.name,
        "TaskType": "Replication",
        "TaskState": "Disabled" if task.disabled else "Enabled",
        "TaskConnectionStatus": status,
        "ResponsibleNode": {"NodeTag": node or None, "NodeUrl": url, "ResponsibleNode": node or None},
        "MentorNode": task.mentor_node or None,
        "PinToMentorNode": False,
        "ConnectionStringName": task.connection_string,
        "DestinationDatabase": task.database,
        "DelayReplicationFor": "00:00:00",
        "DestinationUrl": task.urls[0] if task.urls else None,
        "TopologyDiscoveryUrls": list(task.urls),
        "Error": None if link is None else link.failure or None,
    }

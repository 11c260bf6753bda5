"""THE table of commands that change the cluster's state: name, version, how it is applied.

Every change of the state is one of these, under one raft index. An apply is a function of the view, its own fields and
the index: no clock, no randomness, no disk, so that all nodes that apply the same log hold the same state. What needs a
clock or chance is put into the fields by whoever proposes. An apply that raises leaves no trace; a change of what a
command means is a new version beside the old one, for logs outlive programs.

Tables: `cluster` (ids of the cluster; server-wide client configuration, analyzers, sorters), `records` (database
records by lower-case name), `identities` (by "database/name"), `creating` and `deleting` (databases whose files are
being made or removed, and on which nodes), `cluster_transactions` (how many document commands each database got by
them), `transactions_applied` (by group, up to where each node has told that it has applied them), `decisions` (the
supervisor's last ones), `compare_exchange_counts` (values by group), `purging` (groups whose large tables are still to
be emptied). The large ones, of bytes, stay on disk: `compare_exchange` (by the id of the database's group, "/" and the
lower-case key), `compare_exchange_expiry` (by time, "/" and the key of such a value), `transactions` (by that id, "/"
and the raft index: what the instances of the database have still to apply), and those of `requests.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pynori import limits
from pynori.cluster import (
    compare_exchange,
    database_topology,
    definition_commands,
    index_commands,
    requests,
    supervisor_commands,
    topology,
)
from pynori.cluster.records import instances
from pynori.errors import AlreadyExists, DatabaseDoesNotExist, InvalidArgument, LimitExceeded, RaftConcurrency

TABLES = (
    "cluster", "records", "identities", "creating", "deleting", "cluster_transactions", "compare_exchange_counts",
    "purging", "transactions_applied", "decisions",
)  # fmt: skip

Fields = Mapping[str, Any]


class LargeTables(Protocol):
    """Where the tables lie that are not in memory."""

    def get(self, table: str, key: str) -> bytes | None: ...
    def scan(
        self, table: str, prefix: str, skip: int = 0, limit: int | None = None, start: str = ""
    ) -> Iterator[tuple[str, bytes]]: ...


class View:
    """The state as one command sees it: the committed tables under the changes that are about to be committed.

    Values must not be changed in place: what is read may be shared with readers of the state; `put` a new one.
    """

    __slots__ = ("_large", "_pending", "_tables", "changes", "term")

    def __init__(
        self,
        tables: Mapping[str, Mapping[str, Any]],
        pending: Mapping[tuple[str, str], Any],
        large: LargeTables,
        term: int,
    ) -> None:
        self._tables = tables
        self._large = large
        self.term = term  # in which the command was agreed on
        self._pending = pending  # changes of commands before this one in the same transaction
        self.changes: dict[tuple[str, str], Any] = {}

    def get(self, table: str, key: str) -> Any:
        """The value, or None."""
        place = (table, key)
        if place in self.changes:
            return self.changes[place]
        if place in self._pending:
            return self._pending[place]
        small = self._tables.get(table)
        return self._large.get(table, key) if small is None else small.get(key)

    def put(self, table: str, key: str, value: Any) -> None:
        self.changes[(table, key)] = value

    def delete(self, table: str, key: str) -> None:
        if self.get(table, key) is not None:
            self.changes[(table, key)] = None

    def keys(self, table: str, prefix: str = "") -> list[str]:
        """All keys that begin with `prefix`, in no particular order."""
        found = {key for key in self._known(table, prefix) if key.startswith(prefix)}
        for changes in (self._pending, self.changes):
            for (changed_table, key), value in changes.items():
                if changed_table == table and key.startswith(prefix):
                    found.add(key) if value is not None else found.discard(key)
        return list(found)

    def first_keys(self, table: str, prefix: str, count: int) -> list[str]:
        """The first keys of a large table that begin with `prefix`, whichever of them are in a transaction already."""
        changed: dict[str, bool] = {}
        for changes in (self._pending, self.changes):
            for (changed_table, key), value in changes.items():
                if changed_table == table and key.startswith(prefix):
                    changed[key] = value is not None
        stored = self._large.scan(table, prefix, limit=count + len(changed))
        kept = [key for key, _ in stored if key not in changed]
        return sorted(kept + [key for key, is_there in changed.items() if is_there])[:count]

    def _known(self, table: str, prefix: str) -> Iterable[str]:
        small = self._tables.get(table)
        return (key for key, _ in self._large.scan(table, prefix)) if small is None else small


@dataclass(frozen=True, slots=True)
class Command:
    """One row of the table."""

    name: str
    version: int
    apply: Callable[[View, Fields, int], Any]  # (view, fields, raft index) -> result for the proposer


def _bootstrap(view: View, fields: Fields, index: int) -> None:
    """First command of a new cluster. fields: topology_id, topology."""
    if view.get("cluster", "identity") is not None:
        raise RaftConcurrency("The cluster exists already")
    view.put("cluster", "identity", {"topology_id": fields["topology_id"]})
    view.put("cluster", "topology", fields["topology"])


def _set_node(view: View, fields: Fields, index: int) -> None:
    """What the others know of a node of the cluster. fields: tag, node."""
    known = view.get("cluster", "topology")
    if fields["tag"] in known["nodes"]:
        nodes = {**known["nodes"], fields["tag"]: fields["node"]}
        view.put("cluster", "topology", {**known, "nodes": nodes, "etag": index})


def _create_database(view: View, fields: Fields, index: int) -> None:
    """A database of one instance. fields: record, complete but for the stamp of its topology."""
    record = _new_database(view, fields)
    _store_database(view, record, index)
    view.put("creating", record["DatabaseName"].lower(), True)
    # A deletion of an earlier database of this name has ended before this; its note must not meet the new one.
    view.delete("deleting", record["DatabaseName"].lower())


def _create_group(view: View, fields: Fields, index: int) -> None:
    """fields: record, its members those that the client has named; factor; candidates, away: see `place`."""
    record = _new_database(view, fields)
    asked = record["Topology"]
    _check_nodes(view, asked["Members"])
    others = (view.get("records", key)["Topology"] for key in view.keys("records"))
    candidates = [tag for tag in fields["candidates"] if tag not in _strangers(view, fields["candidates"])]
    members = database_topology.place(fields["factor"], asked["Members"], candidates, fields["away"], others)
    record["Topology"] = {**asked, "Members": members, "ReplicationFactor": len(members)}
    _store_database(view, record, index)
    view.put("creating", record["DatabaseName"].lower(), {"nodes": members})


def _strangers(view: View, tags: Iterable[str]) -> list[str]:
    """Those that are none of the cluster's nodes: one may have left since somebody looked."""
    known = view.get(*topology.KEY)
    return [] if known is None else [tag for tag in tags if tag not in topology.nodes(known)]


def _check_nodes(view: View, tags: Iterable[str]) -> None:
    """Raises: InvalidArgument. An instance on no node would be waited for in vain."""
    for tag in _strangers(view, tags):
        raise InvalidArgument(f"Node '{tag}' is not in the cluster, so it cannot hold the database")


def _new_database(view: View, fields: Fields) -> dict[str, Any]:
    record = dict(fields["record"])
    if view.get("records", record["DatabaseName"].lower()) is not None:
        raise AlreadyExists(f"Database '{record['DatabaseName']}' already exists!")
    if len(view.keys("records")) >= limits.DATABASES_MAX:
        raise LimitExceeded(f"DATABASES_MAX: there are {limits.DATABASES_MAX} databases")
    return record


def _store_database(view: View, record: dict[str, Any], index: int) -> None:
    record["Topology"] = _stamped(record["Topology"], index)
    record["Etag"] = index
    view.put("records", record["DatabaseName"].lower(), record)


def _database_created(view: View, fields: Fields, index: int) -> None:
    """The files of a new database with one instance are there. fields: name."""
    view.delete("creating", fields["name"].lower())


def _instance_created(view: View, fields: Fields, index: int) -> None:
    """The files of a new instance are there. fields: name, group, node."""
    key = fields["name"].lower()
    record = view.get("records", key)
    if record is not None and compare_exchange.group_id(record) == fields["group"]:
        _note_created(view, key, [fields["node"]], record)


def _note_created(view: View, key: str, nodes: list[str], record: Mapping[str, Any]) -> None:
    """These nodes have no files to make any more."""
    note = view.get("creating", key)
    if note is None:
        return
    unmade = instances(record) if note is True else note["nodes"]
    left = [tag for tag in unmade if tag not in nodes]
    if left:
        view.put("creating", key, {"nodes": left})
    else:
        view.delete("creating", key)


def _update_database(view: View, fields: Fields, index: int) -> None:
    """fields: name, record, expected_index: the record's Etag when it was read."""
    key = fields["name"].lower()
    current = view.get("records", key)
    if current is None:
        raise DatabaseDoesNotExist(fields["name"])
    if current["Etag"] != fields["expected_index"]:
        raise RaftConcurrency(
            f"The record of database '{fields['name']}' has index {current['Etag']}, "
            f"but the change was made from index {fields['expected_index']}"
        )
    record = dict(fields["record"])
    record["DatabaseName"] = current["DatabaseName"]
    if record["Topology"] != current["Topology"]:
        record["Topology"] = _stamped(record["Topology"], index)
    if record.get("Client") is not None and record["Client"] != current.get("Client"):
        record["Client"] = {**record["Client"], "Etag": index}
    record["Etag"] = index
    view.put("records", key, record)


def _change_topology(view: View, fields: Fields, index: int) -> None:
    """fields: name, topology, expected_index: the raft index in the stamp of the topology when it was read."""
    key = fields["name"].lower()
    record = view.get("records", key)
    if record is None:
        raise DatabaseDoesNotExist(fields["name"])
    if record["Topology"]["Stamp"]["Index"] != fields["expected_index"]:
        raise RaftConcurrency(
            f"The topology of database '{fields['name']}' has index {record['Topology']['Stamp']['Index']}, "
            f"but the change was made from index {fields['expected_index']}"
        )
    _store_topology(view, record, fields["topology"], index)


def _store_topology(view: View, record: Mapping[str, Any], changed: Mapping[str, Any], index: int) -> None:
    """Instances that are new have files to make; what those that are gone have, is no longer looked at."""
    key = record["DatabaseName"].lower()
    before, after = instances(record), database_topology.instances(changed)
    _check_nodes(view, (tag for tag in after if tag not in before))
    _note_created(view, key, [tag for tag in before if tag not in after], record)
    fresh = [tag for tag in after if tag not in before]
    if fresh:
        note = view.get("creating", key)
        unmade = before if note is True else [] if note is None else note["nodes"]
        view.put("creating", key, {"nodes": [*unmade, *fresh]})
    record = index_commands.release_nodes(record, changed["Members"], index)
    view.put("records", key, {**record, "Topology": _stamped(changed, index), "Etag": index})
    compare_exchange.drop_applied(view, view.get("records", key))


def _supervise(view: View, fields: Fields, index: int) -> None:
    """What the supervisor has decided for a group. fields: see `supervisor_commands.py`; topology; deleted: instances
    whose files go, each with the change vector that says what may go with them."""
    record = supervisor_commands.check(view, fields)
    key = record["DatabaseName"].lower()
    _store_topology(view, record, fields["topology"], index)
    if fields["deleted"]:
        known = view.get("deleting", key) or {"name": record["DatabaseName"], "nodes": {}}
        nodes = {**noted_deletions(known), **dict.fromkeys(fields["deleted"], index)}
        covered = {**known.get("covered", {}), **fields["deleted"]}
        view.put("deleting", key, {"name": known["name"], "nodes": nodes, "covered": covered})
    supervisor_commands.note(view, record, fields, index)


def _delete_database(view: View, fields: Fields, index: int) -> bool:
    """fields: name, hard: remove the files too. Returns whether there was one."""
    key = fields["name"].lower()
    record = view.get("records", key)
    if record is None:
        return False
    _forget_database(view, record)
    if fields["hard"]:
        view.put("deleting", key, {"name": record["DatabaseName"], "nodes": instances(record)})
    return True


def _delete_instances(view: View, fields: Fields, index: int) -> bool:
    """fields: name, nodes (null: all), hard: remove the files too, but on the nodes `spared`.

    A database whose last instance goes goes with it. Returns whether there was anything to delete.
    """
    key = fields["name"].lower()
    record = view.get("records", key)
    if record is None:
        return False
    there = instances(record)
    nodes = there if fields["nodes"] is None else [tag for tag in there if tag in fields["nodes"]]
    if not nodes:
        return False
    if len(nodes) == len(there):
        _forget_database(view, record)
    else:
        topology = record["Topology"]
        for tag in nodes:
            topology = database_topology.remove(topology, tag)
        _store_topology(view, record, topology, index)
    if fields["hard"]:
        note = view.get("deleting", key) or {"name": record["DatabaseName"], "nodes": {}}
        removed = dict.fromkeys((tag for tag in nodes if tag not in fields["spared"]), index)
        if removed:
            covered = {tag: vector for tag, vector in note.get("covered", {}).items() if tag not in removed}
            nodes_noted = {**noted_deletions(note), **removed}
            view.put("deleting", key, {"name": note["name"], "nodes": nodes_noted, "covered": covered})
    return True


def _forget_database(view: View, record: Mapping[str, Any]) -> None:
    key = record["DatabaseName"].lower()
    view.delete("records", key)
    view.delete("creating", key)
    for identity in view.keys("identities", f"{key}/"):
        view.delete("identities", identity)
    compare_exchange.forget_database(view, record)


def leave_groups(view: View, tag: str, index: int) -> None:
    """A node has left the cluster: its instances, and databases that were there alone, go. Its files are its own."""
    for key in view.keys("records"):
        record = view.get("records", key)
        if tag not in instances(record):
            continue
        if len(instances(record)) == 1:
            _forget_database(view, record)
        else:
            _store_topology(view, record, database_topology.remove(record["Topology"], tag), index)
    for key in view.keys("deleting"):
        note = view.get("deleting", key)
        left = {node: deletion for node, deletion in noted_deletions(note).items() if node != tag}
        if left:
            view.put("deleting", key, {**note, "nodes": left})
        else:
            view.delete("deleting", key)


def noted_deletions(note: Mapping[str, Any]) -> dict[str, int]:
    """The nodes that have still to remove files, and the raft index of the deletion; 0: of an earlier version."""
    nodes = note.get("nodes", {})
    return dict.fromkeys(nodes, 0) if isinstance(nodes, list) else dict(nodes)


def _database_deleted(view: View, fields: Fields, index: int) -> None:
    """The files of a deleted database with one instance are gone. fields: name."""
    view.delete("deleting", fields["name"].lower())


def _instance_deleted(view: View, fields: Fields, index: int) -> None:
    """The files of a deleted instance are gone. fields: name, node, deletion: the raft index in the note."""
    key = fields["name"].lower()
    note = view.get("deleting", key)
    if note is None:
        return
    nodes = noted_deletions(note)
    if nodes.get(fields["node"]) != fields["deletion"]:
        return
    del nodes[fields["node"]]
    if nodes:
        view.put("deleting", key, {**note, "nodes": nodes})
    else:
        view.delete("deleting", key)


def _next_identity(view: View, fields: Fields, index: int) -> int:
    """fields: database, name, count. Returns the first of `count` values in a row."""
    count = fields["count"]
    if not 1 <= count <= limits.IDENTITY_COUNT_MAX:
        raise LimitExceeded(f"IDENTITY_COUNT_MAX: {count} identities at once, at most {limits.IDENTITY_COUNT_MAX}")
    key = _identity_key(view, fields)
    last = view.get("identities", key) or 0
    view.put("identities", key, last + count)
    return int(last + 1)


def _seed_identity(view: View, fields: Fields, index: int) -> int:
    """fields: database, name, value, force: also downwards. Returns the value that holds now."""
    key = _identity_key(view, fields)
    current = view.get("identities", key)
    if current is not None and current >= fields["value"] and not fields["force"]:
        return int(current)
    view.put("identities", key, fields["value"])
    return int(fields["value"])


def _put_client_configuration(view: View, fields: Fields, index: int) -> None:
    """The server-wide client configuration. fields: configuration, None to remove."""
    # The etag stays when the configuration goes: clients that hold the old one must see that it has moved.
    configuration = fields["configuration"]
    value = None if configuration is None else {**configuration, "Etag": index}
    view.put("cluster", "client_configuration", {"Etag": index, "Configuration": value})


def _once(view: View, fields: Fields, index: int) -> tuple[int, Any]:
    """Apply a command, unless one was under the client's id: then its index and result are given again.

    fields: request, the id; name, version, fields: of the command. Returns the command's raft index and result.
    """
    known = requests.recall(view, fields["request"])
    if known is not None:
        return known
    result = COMMANDS[(fields["name"], fields["version"])].apply(view, fields["fields"], index)
    requests.remember(view, fields["request"], index, result)
    return index, result


def is_known(name: str, version: int, fields: Fields) -> bool:
    """Whether this version has the command, and the one that it wraps."""
    if (name, version) not in COMMANDS:
        return False
    return name != "once" or is_known(fields["name"], fields["version"], fields["fields"])


def _stamped(topology: Mapping[str, Any], index: int) -> dict[str, Any]:
    return {**topology, "Stamp": {"Index": index, "Term": 1, "LeadersTicks": -2}}


def _identity_key(view: View, fields: Fields) -> str:
    database = fields["database"].lower()
    if view.get("records", database) is None:
        raise DatabaseDoesNotExist(fields["database"])
    return f"{database}/{identity_name(fields['name'])}"


def identity_name(name: str) -> str:
    """The one spelling of an identity's name: lower case and a bar at its end; "users" and "Users|" are the same."""
    plain = name.removesuffix("|").lower()
    if not plain or len(plain.encode("utf-8")) > limits.IDENTITY_NAME_SIZE_BYTES_MAX:
        raise InvalidArgument(
            f"An identity's name has 1 to IDENTITY_NAME_SIZE_BYTES_MAX = {limits.IDENTITY_NAME_SIZE_BYTES_MAX} bytes"
        )
    return plain + "|"


COMMANDS: dict[tuple[str, int], Command] = {
    (command.name, command.version): command
    for command in (
        Command("cluster.bootstrap", 1, _bootstrap),
        Command("cluster.node", 1, _set_node),
        Command("client_configuration.put", 1, _put_client_configuration),
        Command("compare_exchange.put", 1, compare_exchange.put),
        Command("compare_exchange.put", 2, compare_exchange.put_until),
        Command("compare_exchange.delete", 1, compare_exchange.delete),
        Command("compare_exchange.transact", 1, compare_exchange.transact),
        Command("compare_exchange.transact", 2, compare_exchange.transact_at),
        Command("compare_exchange.applied", 1, compare_exchange.applied),
        Command("compare_exchange.applied", 2, compare_exchange.applied_on),
        Command("compare_exchange.expire", 1, compare_exchange.expire),
        Command("compare_exchange.purge", 1, compare_exchange.purge),
        Command("database.create", 1, _create_database),
        Command("database.create", 2, _create_group),
        Command("database.created", 1, _database_created),
        Command("database.created", 2, _instance_created),
        Command("database.update", 1, _update_database),
        Command("database.topology", 1, _change_topology),
        Command("database.delete", 1, _delete_database),
        Command("database.delete", 2, _delete_instances),
        Command("database.deleted", 1, _database_deleted),
        Command("database.deleted", 2, _instance_deleted),
        Command("definitions.put", 1, definition_commands.put_definitions),
        Command("definitions.delete", 1, definition_commands.delete_definition),
        Command("identity.next", 1, _next_identity),
        Command("identity.seed", 1, _seed_identity),
        Command("index.put", 1, index_commands.put_index),
        Command("index.put_auto", 1, index_commands.put_auto_index),
        Command("index.delete", 1, index_commands.delete_index),
        Command("index.rolled", 1, index_commands.index_rolled),
        Command("index.set", 1, index_commands.set_index),
        Command("once", 1, _once),
        Command("supervisor.change", 1, _supervise),
        Command("supervisor.suspend", 1, supervisor_commands.suspend),
    )
}

"""THE table of commands that change the cluster's state: name, version, how it is applied.

Every change of the state is one of these, under one raft index. An apply is a function of the view, its own fields and
the index: no clock, no randomness, no disk, so that all nodes that apply the same log hold the same state. What needs a
clock or chance is put into the fields by whoever proposes. An apply that raises leaves no trace; a change of what a
command means is a new version beside the old one, for logs outlive programs.

Tables: `cluster` (ids of the cluster; server-wide client configuration), `records` (database records by lower-case
name), `identities` (by "database/name"), `creating` and `deleting` (databases whose files are being made or removed),
`cluster_transactions` (how many document commands each database got by them), `compare_exchange_counts` (values by
group), `purging` (groups whose large tables are
still to be emptied). The large ones, of bytes, stay on disk:
`compare_exchange` (by the id of the database's group, "/" and the lower-case key) and `transactions` (by that id, "/"
and the raft index: what the instances of the database have still to apply).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pynori import limits
from pynori.cluster import compare_exchange, index_commands
from pynori.errors import AlreadyExists, DatabaseDoesNotExist, InvalidArgument, LimitExceeded, RaftConcurrency

TABLES = (
    "cluster", "records", "identities", "creating", "deleting", "cluster_transactions", "compare_exchange_counts",
    "purging",
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

    __slots__ = ("_large", "_pending", "_tables", "changes")

    def __init__(
        self,
        tables: Mapping[str, Mapping[str, Any]],
        pending: Mapping[tuple[str, str], Any],
        large: LargeTables,
    ) -> None:
        self._tables = tables
        self._large = large
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
        """The first keys of a large table that begin with `prefix`, as the last transaction left them."""
        return [key for key, _ in self._large.scan(table, prefix, limit=count)]

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
    """First command of a new cluster. fields: server_id, topology_id, node_tag."""
    if view.get("cluster", "identity") is not None:
        raise RaftConcurrency("The cluster exists already")
    view.put("cluster", "identity", dict(fields))


def _create_database(view: View, fields: Fields, index: int) -> None:
    """fields: record, complete but for the stamp of its topology."""
    record = dict(fields["record"])
    key = record["DatabaseName"].lower()
    if view.get("records", key) is not None:
        raise AlreadyExists(f"Database '{record['DatabaseName']}' already exists!")
    if len(view.keys("records")) >= limits.DATABASES_MAX:
        raise LimitExceeded(f"DATABASES_MAX: there are {limits.DATABASES_MAX} databases")
    record["Topology"] = _stamped(record["Topology"], index)
    record["Etag"] = index
    view.put("records", key, record)
    view.put("creating", key, True)
    # A deletion of an earlier database of this name has ended before this; its note must not meet the new one.
    view.delete("deleting", key)


def _database_created(view: View, fields: Fields, index: int) -> None:
    """The files of a new database are there. fields: name."""
    view.delete("creating", fields["name"].lower())


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


def _delete_database(view: View, fields: Fields, index: int) -> bool:
    """fields: name, hard: remove the files too. Returns whether there was one."""
    key = fields["name"].lower()
    record = view.get("records", key)
    if record is None:
        return False
    view.delete("records", key)
    view.delete("creating", key)
    for identity in view.keys("identities", f"{key}/"):
        view.delete("identities", identity)
    compare_exchange.forget_database(view, record)
    if fields["hard"]:
        view.put("deleting", key, {"name": record["DatabaseName"]})
    return True


def _database_deleted(view: View, fields: Fields, index: int) -> None:
    """The files of a deleted database are gone. fields: name."""
    view.delete("deleting", fields["name"].lower())


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
        Command("client_configuration.put", 1, _put_client_configuration),
        Command("compare_exchange.put", 1, compare_exchange.put),
        Command("compare_exchange.delete", 1, compare_exchange.delete),
        Command("compare_exchange.transact", 1, compare_exchange.transact),
        Command("compare_exchange.applied", 1, compare_exchange.applied),
        Command("compare_exchange.purge", 1, compare_exchange.purge),
        Command("database.create", 1, _create_database),
        Command("database.created", 1, _database_created),
        Command("database.update", 1, _update_database),
        Command("database.delete", 1, _delete_database),
        Command("database.deleted", 1, _database_deleted),
        Command("identity.next", 1, _next_identity),
        Command("identity.seed", 1, _seed_identity),
        Command("index.put", 1, index_commands.put_index),
        Command("index.put_auto", 1, index_commands.put_auto_index),
        Command("index.delete", 1, index_commands.delete_index),
        Command("index.set", 1, index_commands.set_index),
    )
}

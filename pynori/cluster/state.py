"""The cluster's state as the rest of the server sees it: records, identities, client configuration, topologies.

Reads are answered from memory. Every change is a command of `commands.py` that takes the next raft index and is durable
when the call returns. This node is a cluster of one: tag A, leader of term 1; everything else reads as it would in a
larger one.
"""

from __future__ import annotations

import asyncio
import copy
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from pynori import limits
from pynori.cluster import records
from pynori.cluster.commands import TABLES
from pynori.cluster.compare_exchange import (
    TABLE,
    Outcome,
    Stored,
    Transaction,
    check_key,
    group_id,
    place,
    read_stored,
    read_transaction,
    transaction_place,
)
from pynori.cluster.proposals import Proposals
from pynori.cluster.store import Store
from pynori.errors import DatabaseDoesNotExist, InvalidArgument, RaftConcurrency, RequestTimeout
from pynori.runtime.clock import Clock
from pynori.runtime.rand import Rand, base64_id, guid

NODE_TAG = "A"
TERM = 1


class ClusterState:
    """The state of the cluster on this node. Open with `open`; belongs to one event loop."""

    def __init__(
        self, store: Store, proposals: Proposals, tables: dict[str, dict[str, Any]], clock: Clock, rand: Rand
    ) -> None:
        self._store = store
        self._proposals = proposals
        self._tables = tables
        self._clock = clock
        self._rand = rand
        self._started_ms = clock.monotonic_ms()
        # Changes of one record take turns here, so that they do not have to be repeated; gone when nobody holds one.
        self._record_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @classmethod
    async def open(cls, directory: Path | None, clock: Clock, rand: Rand) -> ClusterState:
        """Open the state in `directory`, made when it is not there; None: in memory."""
        store = await asyncio.get_running_loop().run_in_executor(None, Store.open, directory)
        return await cls.over(store, clock, rand)

    @classmethod
    async def over(cls, store: Store, clock: Clock, rand: Rand) -> ClusterState:
        """The state that `store` holds, founding a cluster of one when there is none. The state closes the store."""
        loop = asyncio.get_running_loop()
        applied_index, tables = await loop.run_in_executor(None, store.load, TABLES)
        proposals = Proposals(store, applied_index, tables)
        state = cls(store, proposals, tables, clock, rand)
        if "identity" not in tables["cluster"]:
            await proposals.propose(
                "cluster.bootstrap", {"server_id": guid(rand), "topology_id": guid(rand), "node_tag": NODE_TAG}
            )
        await state.purge()
        return state

    async def close(self) -> None:
        await self._proposals.close()

    # ------------------------------------------------------------ identity of this node and of the cluster

    @property
    def node_tag(self) -> str:
        return str(self._tables["cluster"]["identity"]["node_tag"])

    @property
    def server_id(self) -> str:
        """GUID of this server, made when its state was created."""
        return str(self._tables["cluster"]["identity"]["server_id"])

    @property
    def topology_id(self) -> str:
        return str(self._tables["cluster"]["identity"]["topology_id"])

    @property
    def raft_index(self) -> int:
        """Index of the last change."""
        return self._proposals.applied_index

    @property
    def failure(self) -> BaseException | None:
        """Why the state takes no more changes, or None."""
        return self._proposals.failure

    async def wait_for_index(self, index: int, timeout: float = limits.RAFT_INDEX_WAIT_MS_MAX / 1_000) -> None:
        """Return when this node has applied raft index `index`; timeout in seconds. Raises: RequestTimeout."""
        try:
            await self._proposals.wait_for_index(index, timeout)
        except TimeoutError as error:
            raise RequestTimeout(
                f"Waited {timeout:g} s for raft index {index}, but this node has applied {self.raft_index}"
            ) from error

    # ------------------------------------------------------------ databases

    def database_names(self) -> list[str]:
        """Names of all databases as they were first spelt, in order."""
        return sorted((str(record["DatabaseName"]) for record in self._tables["records"].values()), key=str.lower)

    def record(self, name: str) -> records.Record | None:
        """The complete record, a copy that the caller may change; None when there is no such database."""
        record = self._tables["records"].get(name.lower())
        return None if record is None else records.complete(record)

    def is_disabled(self, name: str) -> bool:
        return bool(self._record(name)["Disabled"])

    async def create_database(self, given: dict[str, Any], replication_factor: int) -> tuple[int, records.Record]:
        """Add a database; its files are the caller's to make, and `database_created` to be called afterwards."""
        if replication_factor > 1:
            raise InvalidArgument(f"Replication factor {replication_factor} is larger than the cluster's 1 node")
        ids = (base64_id(self._rand), base64_id(self._rand))
        record = records.new_record(given, self.node_tag, max(1, replication_factor), ids)
        index, _ = await self._proposals.propose("database.create", {"record": record})
        return index, records.complete(self._record(record["DatabaseName"]))

    async def database_created(self, name: str) -> None:
        """Note that the files of a new database are there."""
        await self._proposals.propose("database.created", {"name": name})

    async def delete_database(self, name: str, hard: bool) -> tuple[int, bool]:
        """Take a database out of the state with its identities; returns the raft index and whether there was one.

        hard: its files go too; they are the caller's to remove, and `database_deleted` to be called afterwards.
        """
        index, found = await self._proposals.propose("database.delete", {"name": name, "hard": hard})
        await self.purge()
        return index, bool(found)

    async def purge(self) -> None:
        """Remove what deleted databases have left behind; a step at a time, so that others come in between."""
        for group in list(self._tables["purging"]):
            while not (await self._proposals.propose("compare_exchange.purge", {"group": group}))[1]:
                pass

    async def database_deleted(self, name: str) -> None:
        """Note that the files of a deleted database are gone."""
        await self._proposals.propose("database.deleted", {"name": name})

    def unfinished(self) -> tuple[list[str], list[str]]:
        """Databases whose files were being made, and those whose files were being removed, when the server ended."""
        creating = [str(self._record(key)["DatabaseName"]) for key in self._tables["creating"]]
        deleting = [str(note["name"]) for note in self._tables["deleting"].values()]
        return creating, deleting

    async def update_record(self, name: str, change: Callable[[records.Record], None]) -> int:
        """Run `change` on a copy of the complete record and store what it leaves; returns the raft index.

        `change` may be called again on a newer copy. What it raises is raised here, and nothing changes.
        """
        lock = self._record_locks.setdefault(name.lower(), asyncio.Lock())
        async with lock:
            for tries_left in reversed(range(limits.RECORD_UPDATE_TRIES_MAX)):
                record = records.complete(self._record(name))
                expected_index = record["Etag"]
                change(record)
                fields = {"name": name, "record": record, "expected_index": expected_index}
                try:
                    index, _ = await self._proposals.propose("database.update", fields)
                except RaftConcurrency:
                    if not tries_left:
                        raise
                else:
                    return index
        raise AssertionError("RECORD_UPDATE_TRIES_MAX is at least 1")

    def index_tables(self, name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """`Indexes` and `AutoIndexes` of a database's record, shared: not to be changed."""
        record = self._record(name)
        return record["Indexes"], record["AutoIndexes"]

    async def change_indexes(self, command: str, fields: Mapping[str, Any]) -> tuple[int, Any]:
        """Propose one of the commands of `index_commands.py`; returns the raft index and what the command returns."""
        return await self._proposals.propose(command, fields)

    def _record(self, name: str) -> records.Record:
        """The stored record, shared: not to be changed."""
        record = self._tables["records"].get(name.lower())
        if record is None:
            raise DatabaseDoesNotExist(name)
        return dict(record)

    # ------------------------------------------------------------ topologies

    def database_topology(self, name: str, url: str) -> dict[str, Any]:
        """What `/topology` answers for a database; url: this node's address as the client knows it."""
        return records.topology_nodes(self._record(name), {self.node_tag: url})

    def database_topology_etag(self, name: str) -> int:
        """The number to compare with a request's Topology-Etag."""
        return int(self._record(name)["Topology"]["Stamp"]["Index"])

    def cluster_topology(self, url: str) -> dict[str, Any]:
        """What `/cluster/topology` answers."""
        tag = self.node_tag
        return {
            "Leader": tag,
            "LeaderShipDuration": int(self._clock.monotonic_ms() - self._started_ms),
            "CurrentState": "Leader",
            "NodeTag": tag,
            "CurrentTerm": TERM,
            "NodeLicenseDetails": {},
            "LastStateChangeReason": "",
            "Etag": 1,
            "Topology": {
                "TopologyId": self.topology_id,
                "AllNodes": {tag: url},
                "Members": {tag: url},
                "Promotables": {},
                "Watchers": {},
                "LastNodeId": tag,
                "Etag": 1,
            },
            "Status": {},
        }

    def node_info(self) -> dict[str, Any]:
        """What `/cluster/node-info` answers. Needs no database and costs little: test drivers poll it."""
        return {
            "NodeTag": self.node_tag,
            "TopologyId": self.topology_id,
            "Certificate": None,
            "ClusterStatus": f"Leader, {TERM}",
            "NumberOfCores": os.cpu_count() or 1,
            "InstalledMemoryInGb": _INSTALLED_MEMORY_GB,
            "UsableMemoryInGb": _INSTALLED_MEMORY_GB,
            "BuildInfo": {"ProductVersion": "7.2", "BuildVersion": 72000, "CommitHash": "", "FullVersion": "7.2.0"},
            "OsInfo": {
                "Type": "MacOS" if sys.platform == "darwin" else "Linux",
                "FullName": platform.platform(),
                "Version": platform.release(),
                "BuildVersion": platform.release(),
                "Is64Bit": True,
            },
            "ServerId": self.server_id,
            "CurrentState": "Leader",
            "ServerRole": "Member",
            "HasFixedPort": True,
            "ServerSchemaVersion": 1,
        }

    # ------------------------------------------------------------ identities

    async def next_identity(self, db: str, name: str, count: int = 1) -> int:
        """Take `count` identities in a row; returns the first of them."""
        _, first = await self._proposals.propose("identity.next", {"database": db, "name": name, "count": count})
        return int(first)

    async def seed_identity(self, db: str, name: str, value: int, force: bool = False) -> int:
        """Set an identity so that the next one is `value` + 1, downwards only by force; returns what holds now."""
        fields = {"database": db, "name": name, "value": value, "force": force}
        _, now = await self._proposals.propose("identity.seed", fields)
        return int(now)

    def identities(self, db: str) -> dict[str, int]:
        """The last value of each identity of a database, by name with its bar: {"users|": 3}."""
        prefix = db.lower() + "/"
        return {
            key.removeprefix(prefix): int(value)
            for key, value in self._tables["identities"].items()
            if key.startswith(prefix)
        }

    # ------------------------------------------------------------ compare exchange

    def compare_exchange_value(self, db: str, key: str) -> Stored | None:
        """The value under a key of a database."""
        data = self._store.get(TABLE, place(self._record(db), check_key(key)))
        return None if data is None else read_stored(data)

    def compare_exchange_values(self, db: str, prefix: str, start: int, count: int) -> list[Stored]:
        """Values whose keys begin with `prefix`, by key: `count` of them behind the first `start`."""
        return [read_stored(data) for _, data in self._store.scan(TABLE, place(self._record(db), prefix), start, count)]

    def compare_exchange_count(self, db: str) -> int:
        """How many values a database has."""
        counted = self._tables["compare_exchange_counts"].get(group_id(self._record(db)))
        return 0 if counted is None else int(counted)

    async def put_compare_exchange(self, db: str, key: str, index: int, value: bytes) -> Outcome:
        """Write a value if its present index is `index`; 0: if there is none. value: JSON text."""
        fields = {"database": db, "key": check_key(key), "index": index, "value": value.decode()}
        _, outcome = await self._proposals.propose("compare_exchange.put", fields)
        assert isinstance(outcome, Outcome)
        return outcome

    async def delete_compare_exchange(self, db: str, key: str, index: int) -> Outcome:
        """Remove a value if its present index is `index`."""
        fields = {"database": db, "key": check_key(key), "index": index}
        _, outcome = await self._proposals.propose("compare_exchange.delete", fields)
        assert isinstance(outcome, Outcome)
        return outcome

    async def transact(
        self, db: str, changes: list[dict[str, Any]], documents: list[dict[str, Any]], guarded: bool
    ) -> int:
        """A cluster-wide transaction, in the form of `compare_exchange.transact`; returns its raft index.

        Its documents are there when the instances of the database have applied it. Raises:
        ClusterTransactionConcurrency.
        """
        for change in changes:
            check_key(change["key"])
        fields = {"database": db, "changes": changes, "documents": documents, "guarded": guarded}
        index, _ = await self._proposals.propose("compare_exchange.transact", fields)
        return index

    def transactions(self, db: str, count: int, above: int) -> list[Transaction]:
        """The oldest cluster-wide transactions of a database whose raft index is above a number."""
        record = self._record(db)
        after = transaction_place(record, above + 1)
        found = self._store.scan("transactions", place(record, ""), limit=count, start=after)
        return [read_transaction(data) for _, data in found]

    async def transactions_applied(self, db: str, until: int) -> None:
        """Note that all instances of a database have applied its transactions up to a raft index."""
        await self._proposals.propose("compare_exchange.applied", {"database": db, "until": until})

    # ------------------------------------------------------------ client configuration

    def client_configuration(self, db: str | None = None) -> tuple[int, dict[str, Any] | None]:
        """The etag and the configuration that hold for a database (its own, or the server's), or server-wide for None.

        The etag grows whenever the answer may change, also when a configuration goes.
        """
        stored = self._tables["cluster"].get("client_configuration")
        server_etag = int(stored["Etag"]) if stored else 0
        server = stored["Configuration"] if stored else None
        if db is None:
            return server_etag, copy.deepcopy(server)
        record = self._record(db)
        own = record["Client"]
        own_etag = int(own.get("Etag", 0)) if own else 0
        if own and not own.get("Disabled"):
            return max(own_etag, server_etag), copy.deepcopy(own)
        return max(own_etag, server_etag), copy.deepcopy(server)

    async def put_client_configuration(self, db: str | None, configuration: dict[str, Any] | None) -> int:
        """Set the client configuration of a database, or the server-wide one for None; returns the raft index."""
        if db is None:
            index, _ = await self._proposals.propose("client_configuration.put", {"configuration": configuration})
            return index
        # A configuration that goes leaves a disabled one behind, whose etag tells clients that something has changed.
        value = {"Disabled": True} if configuration is None else configuration
        return await self.update_record(db, lambda record: record.update(Client=dict(value)))


def _installed_memory_gb() -> float:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 2)
    except (OSError, ValueError):
        return 0.0


_INSTALLED_MEMORY_GB = _installed_memory_gb()

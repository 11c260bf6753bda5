"""The cluster's state as the rest of the server sees it: records, identities, client configuration, topologies.

Reads are answered from memory. Every change is a command of `commands.py` that the cluster agrees on under the next
raft index, and that is durable and applied here when the call returns. A new node is a cluster of one with tag A.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from pynori import limits
from pynori.cluster import records, requests, topology
from pynori.cluster.commands import TABLES, noted_deletions
from pynori.cluster.compare_exchange import (
    EXPIRY,
    TABLE,
    Outcome,
    Stored,
    Transaction,
    check_key,
    expiry_ticks,
    group_id,
    place,
    read_stored,
    read_transaction,
    transaction_place,
)
from pynori.cluster.database_topology import Topology
from pynori.cluster.driver import Changed, Driver
from pynori.cluster.gossip import Gossip
from pynori.cluster.raft.types import Membership
from pynori.cluster.store import Loaded, Store
from pynori.cluster.supervisor import Change
from pynori.cluster.supervisor_commands import SETTINGS
from pynori.errors import (
    DatabaseDoesNotExist,
    InvalidArgument,
    OperationFailed,
    RaftConcurrency,
    RequestTimeout,
)
from pynori.runtime import log
from pynori.runtime.channel import Channel
from pynori.runtime.clock import Clock, wire_ticks
from pynori.runtime.rand import Rand, base64_id, guid
from pynori.runtime.tasks import Tasks

FIRST_TAG = "A"
PASSIVE_TAG = "?"


class ClusterState:
    """The state of the cluster on this node. Open with `open`; belongs to one event loop."""

    def __init__(
        self, store: Store, driver: Driver, node: dict[str, Any], tables: dict[str, dict[str, Any]], clock: Clock,
        rand: Rand, election_ms: int, probe_ms: int,
    ) -> None:  # fmt: skip
        self.on_change: Callable[[Changed], None] = lambda changed: None
        self.on_report: Callable[[bytes], None] = lambda payload: None
        self.on_nodes: Callable[[], None] = lambda: None  # the nodes, their roles or the leader have changed
        self._tasks = Tasks()
        self.url = ""  # where this node is reached, once it listens
        self._store = store
        self._node = node
        self._is_changing = False
        self._tables = tables
        self._clock = clock
        self._rand = rand
        self._election_ms = election_ms
        self._leader_since_ms = clock.monotonic_ms()
        self._driver = driver
        self.gossip = Gossip(clock, rand, probe_ms)
        # Changes of one record take turns here, so that they do not have to be repeated; gone when nobody holds one.
        self._record_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @classmethod
    async def open(
        cls, directory: Path | None, clock: Clock, rand: Rand, election_ms: int = limits.RAFT_ELECTION_MS,
        probe_ms: int = limits.SWIM_PERIOD_MS,
    ) -> ClusterState:  # fmt: skip
        """Open the state in `directory`, made when it is not there; None: in memory."""
        store = await asyncio.get_running_loop().run_in_executor(None, Store.open, directory)
        return await cls.over(store, clock, rand, election_ms, probe_ms)

    @classmethod
    async def over(
        cls, store: Store, clock: Clock, rand: Rand, election_ms: int = limits.RAFT_ELECTION_MS,
        probe_ms: int = limits.SWIM_PERIOD_MS,
    ) -> ClusterState:  # fmt: skip
        """The state that `store` holds; a node that is new is passive. The state closes the store."""
        loop = asyncio.get_running_loop()
        loaded = await loop.run_in_executor(None, _opened, store, rand)
        assert loaded.node is not None
        driver = Driver(store, loaded, loaded.node["id"], rand, election_ms)
        state = cls(store, driver, loaded.node, loaded.tables, clock, rand, election_ms, probe_ms)
        state.take_part()
        if loaded.membership.members() == {loaded.node["id"]}:
            await state.purge()
        return state

    def take_part(self) -> None:
        """Begin to speak with the other nodes."""
        driver = self._driver
        driver.on_publish = self._published
        driver.on_leader = self._leader_changed
        driver.transport.on_removed = self._removed
        driver.transport.on_report = lambda payload: self.on_report(payload)
        driver.transport.introduce(self._hello)
        self.gossip.begin(driver.node_id, driver.transport)
        self._name_peers()
        driver.start()

    def _hello(self) -> dict[str, Any]:
        """What this node says of itself to the others."""
        topology_id = self.topology_id or self._node["topology_id"]
        return {"topology": topology_id, "node": self.node_tag, "id": self._driver.node_id, "url": self.url}

    @property
    def is_passive(self) -> bool:
        """Whether this node is in no cluster, not even in one of its own."""
        return "identity" not in self._tables["cluster"] and self._driver.membership.members() == {self._driver.node_id}

    async def found(self) -> None:
        """Make a passive node a cluster of one."""
        if self.is_passive:
            node_topology = topology.first(FIRST_TAG, self._driver.node_id, self.url)
            fields = {"topology_id": self._node["topology_id"], "topology": node_topology}
            # Somebody else may have asked for it at the same time.
            with contextlib.suppress(RaftConcurrency):
                await self._driver.propose("cluster.bootstrap", fields)

    async def close(self) -> None:
        await self._tasks.finish()
        self.gossip.end()
        await self._driver.close()

    # ------------------------------------------------------------ identity of this node and of the cluster

    @property
    def node_tag(self) -> str:
        """The tag of this node, "?" while it is passive."""
        return PASSIVE_TAG if self.is_passive else str(self._node["tag"])

    @property
    def server_id(self) -> str:
        """GUID of this server, made when its state was created."""
        return str(self._node["server_id"])

    @property
    def topology_id(self) -> str:
        identity = self._tables["cluster"].get("identity")
        return "" if identity is None else str(identity["topology_id"])

    @property
    def raft_index(self) -> int:
        """Index of the last change."""
        return self._driver.applied_index

    @property
    def failure(self) -> BaseException | None:
        """Why the state takes no more changes, or None."""
        return self._driver.failure

    async def wait_for_index(self, index: int, timeout: float = limits.RAFT_INDEX_WAIT_MS_MAX / 1_000) -> None:
        """Return when this node has applied raft index `index`; timeout in seconds. Raises: RequestTimeout."""
        try:
            await self._driver.wait_for_index(index, timeout)
        except TimeoutError as error:
            raise RequestTimeout(
                f"Waited {timeout:g} s for raft index {index}, but this node has applied {self.raft_index}"
            ) from error

    # ------------------------------------------------------------ databases

    async def read_barrier(self) -> None:
        """Wait until all that was agreed on so far is here: what is read next is no older than this call.

        Raises: NoLeader, RequestTimeout.
        """
        await self._driver.read_barrier()

    def database_names(self) -> list[str]:
        """Names of all databases as they were first spelt, in order."""
        return sorted((str(record["DatabaseName"]) for record in self._tables["records"].values()), key=str.lower)

    def record(self, name: str) -> records.Record | None:
        """The complete record, a copy that the caller may change; None when there is no such database."""
        record = self._tables["records"].get(name.lower())
        return None if record is None else records.complete(record)

    def has_database(self, name: str) -> bool:
        return name.lower() in self._tables["records"]

    def noted_here(self) -> list[str]:
        """Lower-case names of the databases for which this node has still to make or remove files, or to tell that."""
        deleting = [key for key in self._tables["deleting"] if self.deleted_here(key) is not None]
        return [key for key in self._tables["creating"] if self.is_unmade(key)] + deleting

    def is_disabled(self, name: str) -> bool:
        return bool(self._record(name)["Disabled"])

    async def create_database(self, given: dict[str, Any], replication_factor: int) -> tuple[int, records.Record]:
        """Add a database, on the nodes that are named or on as many as wanted; each makes its files on its own.

        Raises: AlreadyExists, InvalidArgument when there are not so many nodes.
        """
        await self.found()
        ids = (base64_id(self._rand), base64_id(self._rand))
        named = (given.get("Topology") or {}).get("Members") or []
        if not isinstance(named, list) or not all(isinstance(tag, str) for tag in named):
            raise InvalidArgument("'Members' of 'Topology' must be a list of node tags")
        nodes = topology.nodes(self.topology)
        # A node that is about to vote has enough to do; of equals this one comes first, whom the client knows.
        candidates = sorted(nodes, key=lambda tag: (nodes[tag]["role"] == topology.PROMOTABLE, tag != self.node_tag))
        record = records.new_record(given, named, ids)
        fields = {"record": record, "factor": replication_factor, "candidates": candidates, "away": self.away()}
        index, _ = await self._driver.propose("database.create", fields, 2)
        return index, records.complete(self._record(record["DatabaseName"]))

    def away(self) -> list[str]:
        """The other nodes of the cluster that cannot be reached from here."""
        nodes = topology.nodes(self.topology)
        return [tag for tag, node in nodes.items() if tag != self.node_tag and not self.is_connected(node["id"])]

    def is_connected(self, node_id: int) -> bool:
        """Whether there is a channel to the node with this raft id."""
        return self._driver.transport.connected().get(node_id, False)

    def is_here(self, name: str) -> bool:
        """Whether this node has an instance of the database. Raises: DatabaseDoesNotExist."""
        return self.node_tag in records.instances(self._record(name))

    def instances(self, name: str) -> list[str]:
        """The nodes that have an instance of the database. Raises: DatabaseDoesNotExist."""
        return records.instances(self._record(name))

    def group_id(self, name: str) -> str:
        """What tells a database from another one that has or had its name. Raises: DatabaseDoesNotExist."""
        return group_id(self._record(name))

    def unmade_on(self, name: str) -> list[str]:
        """The nodes that have not made the files of their new instance of a database yet."""
        note = self._tables["creating"].get(name.lower())
        if note is None:
            return []
        return records.instances(self._record(name)) if note is True else list(note["nodes"])

    def is_unmade(self, name: str) -> bool:
        """Whether the new instance on this node has no files yet."""
        return self.node_tag in self.unmade_on(name)

    def deletions(self, name: str) -> dict[str, int]:
        """The nodes that have still to remove files of a deleted instance, each with the raft index of the deletion."""
        note = self._tables["deleting"].get(name.lower())
        return {} if note is None else noted_deletions(note)

    def covered(self, name: str) -> str | None:
        """The change vector of what the others have of an instance here that is to be deleted; None: all of it goes."""
        note = self._tables["deleting"].get(name.lower()) or {}
        found: str | None = note.get("covered", {}).get(self.node_tag)
        return found

    def deleted_here(self, name: str) -> str | None:
        """The name of a database as it was spelt, if files of a deleted instance are still to be removed here."""
        return str(self._tables["deleting"][name.lower()]["name"]) if self.node_tag in self.deletions(name) else None

    async def instance_created(self, name: str) -> None:
        """Note that the files of the new instance on this node are there."""
        fields = {"name": name, "group": self.group_id(name), "node": self.node_tag}
        await self._driver.propose("database.created", fields, 2)

    async def delete_database(
        self, name: str, hard: bool, nodes: list[str] | None = None, spared: list[str] | None = None
    ) -> tuple[int, bool]:
        """Take a database, or its instances on some nodes, out of the state; returns the raft index and whether any.

        hard: the files go too, but on the nodes `spared`; each node removes its own and calls `instance_deleted`.
        """
        fields = {"name": name, "hard": hard, "nodes": nodes, "spared": spared or []}
        index, found = await self._driver.propose("database.delete", fields, 2)
        await self.purge()
        return index, bool(found)

    async def purge(self) -> None:
        """Remove what deleted databases have left behind; a step at a time, so that others come in between."""
        for group in list(self._tables["purging"]):
            while not (await self._driver.propose("compare_exchange.purge", {"group": group}))[1]:
                pass

    async def instance_deleted(self, name: str) -> None:
        """Note that the files of the deleted instance on this node are gone."""
        deletion = self.deletions(name).get(self.node_tag)
        if deletion is not None:
            fields = {"name": name, "node": self.node_tag, "deletion": deletion}
            await self._driver.propose("database.deleted", fields, 2)

    def unfinished(self) -> tuple[list[str], list[str]]:
        """Databases whose files are to be made on this node, and those whose files are to be removed here."""
        creating = [str(self._record(key)["DatabaseName"]) for key in self._tables["creating"] if self.is_unmade(key)]
        deleting = [name for key in self._tables["deleting"] if (name := self.deleted_here(key)) is not None]
        return creating, deleting

    async def change_topology(self, name: str, change: Callable[[Topology], Topology]) -> int:
        """Store what `change` makes of the topology of a database; returns the raft index.

        `change` may be called again on a newer one. What it raises is raised here, and nothing changes.
        """
        for tries_left in reversed(range(limits.RECORD_UPDATE_TRIES_MAX)):
            before = self._record(name)["Topology"]
            expected_index = before["Stamp"]["Index"]
            fields = {"name": name, "topology": change(before), "expected_index": expected_index}
            try:
                index, _ = await self._driver.propose("database.topology", fields)
            except RaftConcurrency:
                if not tries_left:
                    raise
            else:
                return index
        raise AssertionError("RECORD_UPDATE_TRIES_MAX is at least 1")

    # ------------------------------------------------------------ the supervisor

    def groups(self) -> dict[str, Topology]:
        """The topologies of all databases that are not disabled, by lower-case name; shared: not to be changed."""
        return {key: each["Topology"] for key, each in self._tables["records"].items() if not each["Disabled"]}

    async def supervise(self, change: Change, at: str, term: int) -> None:
        """Store what the supervisor has decided for a group. at: the time of day, for people.

        Raises: RaftConcurrency when the topology has changed since, or another one leads; OperationFailed.
        """
        fields = {
            "name": change.name, "expected_index": change.expected_index, "topology": change.topology,
            "deleted": change.deleted, "at": at, "term": term,
            "decisions": [
                {"kind": each.kind, "tag": each.tag, "reason": each.reason}
                for each in change.decisions
                if each.kind != "Status"
            ],
        }  # fmt: skip
        await self._driver.propose("supervisor.change", fields)

    def decisions(self) -> list[dict[str, Any]]:
        """The last decisions of the supervisor, the oldest first."""
        return [
            {**each, "index": int(key.partition("/")[0], 16)} for key, each in sorted(self._tables["decisions"].items())
        ]

    @property
    def is_suspended(self) -> bool:
        """Whether the supervisor decides nothing at present."""
        return bool((self._tables["cluster"].get(SETTINGS) or {}).get("suspended"))

    async def suspend(self, is_suspended: bool) -> None:
        """Have the supervisor decide nothing, or go on."""
        await self.found()
        await self._driver.propose("supervisor.suspend", {"suspended": is_suspended})

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
                    index, _ = await self._driver.propose("database.update", fields)
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
        return await self._driver.propose(command, fields)

    def settings(self, db: str) -> Mapping[str, str | None]:
        """The settings of a database's record, shared: not to be changed."""
        found: Mapping[str, str | None] = self._record(db)["Settings"] or {}
        return found

    def registered(self, kind: str, db: str | None) -> dict[str, str]:
        """The code of analyzers or sorters by name: those of a database over those of all, or the latter for None."""
        found: dict[str, Any] = dict(self._tables["cluster"].get(kind.lower()) or {})
        for name, each in (self._record(db).get(kind) or {}).items() if db is not None else ():
            shared = next((other for other in found if other.lower() == name.lower()), None)
            if shared is not None:
                del found[shared]
            found[name] = each
        return {name: str(each.get("Code", "")) for name, each in found.items() if isinstance(each, Mapping)}

    async def register(self, kind: str, db: str | None, definitions: list[dict[str, str]]) -> int:
        """Add or replace analyzers or sorters of a database, or of all for None; returns the raft index."""
        await self.found()
        fields = {"kind": kind, "database": db, "definitions": definitions}
        index, _ = await self._driver.propose("definitions.put", fields)
        return index

    async def unregister(self, kind: str, db: str | None, name: str) -> tuple[int, bool]:
        """Remove an analyzer or sorter; returns the raft index and whether there was one."""
        index, found = await self._driver.propose("definitions.delete", {"kind": kind, "database": db, "name": name})
        return index, bool(found)

    def _record(self, name: str) -> records.Record:
        """The stored record, shared: not to be changed."""
        record = self._tables["records"].get(name.lower())
        if record is None:
            raise DatabaseDoesNotExist(name)
        return dict(record)

    # ------------------------------------------------------------ topologies

    def database_topology(self, name: str, url: str) -> dict[str, Any]:
        """What `/topology` answers for a database; url: this node's address as the client knows it."""
        found = records.topology_nodes(self._record(name), self.node_urls(url))
        return {**found, "Etag": self.database_topology_etag(name)}

    def database_topology_etag(self, name: str) -> int:
        """The number to compare with a request's Topology-Etag: it grows also when a node gets another address."""
        return max(int(self._record(name)["Topology"]["Stamp"]["Index"]), int(self.topology["etag"]))

    @property
    def topology(self) -> dict[str, Any]:
        """The nodes of the cluster, see `topology.py`; shared: not to be changed."""
        found: dict[str, Any] | None = self._tables["cluster"].get("topology")
        return found if found is not None else topology.first(self.node_tag, self._driver.node_id, self.url)

    def node_urls(self, url: str) -> dict[str, str]:
        """Addresses of all nodes by tag; url: this node's, as whoever asks knows it."""
        return {**topology.urls(self.topology), self.node_tag: url}

    @property
    def leader_tag(self) -> str:
        """Tag of the leader, "" when none is known."""
        return topology.tag_of(self.topology, self._driver.leader_id)

    def cluster_topology(self, url: str) -> dict[str, Any]:
        """What `/cluster/topology` answers."""
        # Clients take the nodes from here, also of a server that is no cluster yet.
        known = topology.first(FIRST_TAG, self._driver.node_id, url) if self.is_passive else self.topology
        mine = {self.node_tag: url}

        def having(*roles: str) -> dict[str, str]:
            found = topology.urls(known, *roles)
            return {tag: mine.get(tag, found[tag]) for tag in found}

        return {
            "Leader": None if self.is_passive else self.leader_tag or None,
            "LeaderShipDuration": int(self._clock.monotonic_ms() - self._leader_since_ms),
            "CurrentState": self.role,
            "NodeTag": self.node_tag,
            "CurrentTerm": self._driver.term,
            "NodeLicenseDetails": {},
            "LastStateChangeReason": "",
            "Etag": known["etag"],
            "Topology": {
                "TopologyId": self.topology_id,
                "AllNodes": having(),
                "Members": having(topology.MEMBER),
                "Promotables": having(topology.PROMOTABLE),
                "Watchers": having(topology.WATCHER),
                "LastNodeId": known["last"],
                "Etag": known["etag"],
            },
            "Quorum": topology.quorum(len(having(topology.MEMBER))),
            "Status": self._status(),
        }

    @property
    def role(self) -> str:
        """`Leader`, `Follower`, `Candidate`, ... or `Passive`."""
        return "Passive" if self.is_passive else self._driver.role

    def _status(self) -> dict[str, Any]:
        """The channel to each other node, or how long there was none; on the leader also how far they are behind."""
        peers = self._driver.transport.peers()
        found: dict[str, Any] = {}
        for tag, node in topology.nodes(self.topology).items():
            if tag == self.node_tag:
                continue
            is_connected, since_s = peers.get(node["id"], (False, None))
            found[tag] = {
                "Name": tag,
                "Connected": is_connected,
                "SilentForMs": None if is_connected or since_s is None else int(since_s * 1_000),
                "EntriesBehind": self._driver.behind(node["id"]),
                "ErrorDetails": None if is_connected else f"node {tag} at {node['url']} cannot be reached",
                "Gossip": self._seen(node["id"]),
            }
        return found

    def _seen(self, node_id: int) -> dict[str, Any] | None:
        """What the nodes tell each other about one of them."""
        sight = self.gossip.sight(node_id)
        if sight is None:
            return None
        now_ms = self._clock.monotonic_ms()
        return {
            "State": sight.state.name.capitalize(),
            "SinceMs": int(now_ms - sight.since_ms),
            "Incarnation": sight.incarnation,
            "AnsweredMsAgo": None if sight.answered_ms is None else int(now_ms - sight.answered_ms),
            "ReachedBy": list(sight.reached_by),
            "MissedBy": list(sight.missed_by),
            "RoundTripMs": None if sight.round_trip_ms is None else round(sight.round_trip_ms, 3),
        }

    def node_info(self) -> dict[str, Any]:
        """What `/cluster/node-info` answers. Needs no database and costs little: test drivers poll it."""
        role = self.role
        return {
            "NodeTag": self.node_tag,
            "TopologyId": self.topology_id,
            "Certificate": None,
            "ClusterStatus": f"{role}, {self._driver.term}",
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
            "CurrentState": role,
            "ServerRole": (
                "None" if self.is_passive else topology.nodes(self.topology).get(self.node_tag, {}).get("role", "None")
            ),
            "HasFixedPort": True,
            "ServerSchemaVersion": 1,
        }

    # ------------------------------------------------------------ nodes

    @property
    def driver(self) -> Driver:
        """This node's part in the agreement."""
        return self._driver

    async def begin_anew(self, topology_id: str, tag: str) -> int:
        """Wait for the leader of another cluster; returns the new raft id.

        Who waits already and hears no leader may be invited again: an invitation may come to nothing, and who was
        removed before he knew the others never hears of it. Who has heard of nobody at all keeps his id for the same
        cluster: the first invitation may still come to something.
        Raises: OperationFailed when this node has a cluster of its own.
        """
        old = self._driver
        waits = not old.membership.members() and not old.hears_leader
        if not waits and old.membership.members() != {old.node_id}:
            raise OperationFailed("This node belongs to a cluster of several nodes, or is joining one, already")
        if self._tables["records"]:
            count = len(self._tables["records"])
            raise OperationFailed(f"This node has databases, {count} of them: it is a cluster of its own")
        if set(self._tables["cluster"]) - {"identity", "topology", SETTINGS}:
            raise OperationFailed("This node has server-wide settings: it is a cluster of its own")
        if self._is_changing or old.is_busy:
            raise OperationFailed("This node is being changed at the moment; try again")
        is_same = waits and old.term == 0 and self._node["topology_id"] == topology_id
        node_id = old.node_id if is_same else _new_id(self._rand)
        node = {**self._node, "tag": tag, "topology_id": topology_id, "id": node_id}
        await self._become(node, Membership(), 0)
        return int(node["id"])

    async def turn_passive(self) -> None:
        """This node was removed from its cluster: it forgets what that has agreed on. The files of databases stay."""
        if self._is_changing or self.is_passive:
            return
        log.warn("cluster", f"this node was removed from its cluster, where it was {self.node_tag}: it is passive now")
        node_id = _new_id(self._rand)
        node = {**self._node, "tag": FIRST_TAG, "topology_id": guid(self._rand), "id": node_id}
        await self._become(node, Membership(frozenset((node_id,))), 1)

    async def _become(self, node: dict[str, Any], membership: Membership, index: int) -> None:
        """Leave the cluster with everything that it had agreed on, and be another node."""
        self._is_changing = True
        try:
            await self._driver.leave()
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, self._store.begin, node, membership, index)
            loaded = await loop.run_in_executor(None, self._store.load, TABLES)
            before = {(name, key) for name, table in self._tables.items() for key in table}
            for name, table in self._tables.items():
                table.clear()
                table.update(loaded.tables[name])
            loaded.tables = self._tables
            self._node = node
            self._driver = Driver(self._store, loaded, node["id"], self._rand, self._election_ms)
            self.take_part()
        finally:
            self._is_changing = False
        self.on_change(before)

    def _published(self, changed: Changed) -> None:
        if topology.KEY in changed:
            self._name_peers()
            self._driver.transport.tell_removed(lambda node_id: topology.is_removed(self.topology, node_id))
            if topology.is_removed(self.topology, self._driver.node_id):
                self._removed()
            self.on_nodes()
        self.on_change(changed)

    def _removed(self) -> None:
        self._tasks.start("turning passive", self.turn_passive())

    def _name_peers(self) -> None:
        nodes = topology.nodes(self.topology)
        others = {
            tag: node for tag, node in nodes.items() if node["id"] != self._driver.node_id and node["url"]
        }  # fmt: skip
        self._driver.transport.set_peers({node["id"]: node["url"] for node in others.values()})
        self.gossip.set_nodes({node["id"]: tag for tag, node in others.items()})

    def announced(self, url: str) -> None:
        """This node listens at `url`: now others can be told where it is reached."""
        self.url = url
        self._driver.transport.open_all()

    def accept(self, hello: dict[str, Any]) -> Channel:
        """Another node opens a channel for Raft. Raises: Forbidden when it is not of this cluster."""
        return self._driver.transport.accept(hello, topology.is_removed(self.topology, hello.get("id")))

    def accept_state(self, hello: dict[str, Any]) -> Channel:
        """Another node is about to send its whole state. Raises: Forbidden, Unavailable."""
        return self._driver.accept_state(hello)

    def _leader_changed(self) -> None:
        self._leader_since_ms = self._clock.monotonic_ms()
        self.on_nodes()

    # ------------------------------------------------------------ identities

    async def next_identity(self, db: str, name: str, count: int = 1, request: str = "") -> int:
        """Take `count` identities in a row; returns the first of them. request: see `_propose_once`."""
        fields = {"database": db, "name": name, "count": count}
        _, first = await self._propose_once(request, "identity.next", fields)
        return int(first)

    async def seed_identity(self, db: str, name: str, value: int, force: bool = False, request: str = "") -> int:
        """Set an identity so that the next one is `value` + 1, downwards only by force; returns what holds now."""
        fields = {"database": db, "name": name, "value": value, "force": force}
        _, now = await self._propose_once(request, "identity.seed", fields)
        return int(now)

    async def _propose_once(
        self, request: str, name: str, fields: dict[str, Any], version: int = 1
    ) -> tuple[int, Any]:  # fmt: skip
        """Propose a command; returns its raft index and what it gave.

        request: an id of the client's, under which this is done once, however often it is asked for; "": none.
        """
        if not request:
            return await self._driver.propose(name, fields, version)
        wrapped = {"request": requests.check_id(request), "name": name, "version": version, "fields": fields}
        _, (index, result) = await self._driver.propose("once", wrapped)
        return index, result

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

    def compare_exchange_values(self, db: str, prefix: str, skip: int, count: int, after: str = "") -> list[Stored]:
        """Values whose keys begin with `prefix`, by key: `count` of them, behind the key `after` and `skip` more."""
        record = self._record(db)
        start = place(record, after) + "\0" if after else ""
        return [read_stored(data) for _, data in self._store.scan(TABLE, place(record, prefix), skip, count, start)]

    def compare_exchange_count(self, db: str) -> int:
        """How many values a database has."""
        counted = self._tables["compare_exchange_counts"].get(group_id(self._record(db)))
        return 0 if counted is None else int(counted)

    async def put_compare_exchange(
        self, db: str, key: str, index: int, value: bytes, expires: int = 0, request: str = ""
    ) -> Outcome:
        """Write a value if its present index is `index`; 0: if there is none.

        value: JSON text; expires: ticks; request: see `_propose_once`.
        """
        fields = {"database": db, "key": check_key(key), "index": index, "value": value.decode(), "expires": expires}
        _, outcome = await self._propose_once(request, "compare_exchange.put", fields, 2)
        assert isinstance(outcome, Outcome)
        return outcome

    async def delete_compare_exchange(self, db: str, key: str, index: int, request: str = "") -> Outcome:
        """Remove a value if its present index is `index`."""
        fields = {"database": db, "key": check_key(key), "index": index}
        _, outcome = await self._propose_once(request, "compare_exchange.delete", fields)
        assert isinstance(outcome, Outcome)
        return outcome

    async def expire_compare_exchange(self) -> int:
        """Have the values removed that have expired, a bounded number by each command; how many went."""
        until, removed = wire_ticks(self._clock.now()), 0
        # Nobody is asked when nothing is due, which is so nearly always.
        while any(expiry_ticks(key) <= until for key, _ in self._store.scan(EXPIRY, "", limit=1)):
            fields = {"until": until, "count_max": limits.COMPARE_EXCHANGE_EXPIRE_STEP}
            removed += (await self._driver.propose("compare_exchange.expire", fields))[1]
        return removed

    async def transact(
        self, db: str, changes: list[dict[str, Any]], documents: list[dict[str, Any]], guarded: bool,
        request: str = "",
    ) -> int:  # fmt: skip
        """A cluster-wide transaction, in the form of `compare_exchange.transact`; returns its raft index.

        Its documents are there when the instances of the database have applied it. Raises:
        ClusterTransactionConcurrency.
        """
        for change in changes:
            check_key(change["key"])
        ticks = wire_ticks(self._clock.now())
        fields = {"database": db, "changes": changes, "documents": documents, "guarded": guarded, "ticks": ticks}
        index, _ = await self._propose_once(request, "compare_exchange.transact", fields, 2)
        return index

    def transactions(self, db: str, count: int, above: int) -> list[Transaction]:
        """The oldest cluster-wide transactions of a database whose raft index is above a number."""
        record = self._record(db)
        after = transaction_place(record, above + 1)
        found = self._store.scan("transactions", place(record, ""), limit=count, start=after)
        return [read_transaction(data) for _, data in found]

    def transaction_commands(self, db: str) -> int:
        """How many document commands a database got by cluster-wide transactions."""
        return int(self._tables["cluster_transactions"].get(group_id(self._record(db))) or 0)

    async def transactions_applied(self, db: str, until: int) -> None:
        """Note that the instance on this node has applied the transactions of its database up to a raft index."""
        fields = {"database": db, "node": self.node_tag, "until": until}
        await self._driver.propose("compare_exchange.applied", fields, 2)

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
        if own and (not own.get("Disabled") or server is None or server.get("Disabled")):
            return max(own_etag, server_etag), copy.deepcopy(own)
        return max(own_etag, server_etag), copy.deepcopy(server)

    async def put_client_configuration(self, db: str | None, configuration: dict[str, Any] | None) -> int:
        """Set the client configuration of a database, or the server-wide one for None; returns the raft index."""
        if db is None:
            await self.found()
            index, _ = await self._driver.propose("client_configuration.put", {"configuration": configuration})
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


def _opened(store: Store, rand: Rand) -> Loaded:
    """Everything that the store holds, made first for a new node. Blocks."""
    loaded = store.load(TABLES)
    if loaded.node is not None:
        return loaded
    node_id = _new_id(rand)
    node = {"server_id": guid(rand), "topology_id": guid(rand), "tag": FIRST_TAG, "id": node_id}
    membership = Membership(frozenset((node_id,)))
    identity = loaded.tables["cluster"].get("identity")
    if identity is None:
        store.begin(node, membership, 1)
    else:
        # The state of a version that had no other nodes.
        store.adopt({**node, "server_id": identity["server_id"], "topology_id": identity["topology_id"]}, membership)
    return store.load(TABLES)


def _new_id(rand: Rand) -> int:
    """A raft id that no node ever had."""
    return int.from_bytes(rand.random_bytes(7), "big") | 1

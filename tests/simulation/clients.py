"""Clients of the simulated cluster: what they ask of nodes, through the operations that the HTTP handlers call.

Every write bears a number of its own, and a document holds the numbers of all writes that it has seen: a client reads,
adds its number, and writes back what it has read under its change vector. So each document says itself what it rests
on, and a version that takes the place of another one without having seen it is found out, whatever its vector claims.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pynori.documents.database import Database
from pynori.errors import DocumentConflict, PynoriError, RequestTimeout, StorageFailed, Unavailable
from tests.cluster.history import NEVER, Operation

if TYPE_CHECKING:
    from tests.simulation.loop import NodeLoop
    from tests.simulation.node import Node
    from tests.simulation.world import World

IDS = 5
KEYS = 2
REPLICAS_WAIT_MS = 3_000
TRANSACTED = "tx"  # key and document that change together


@dataclass(slots=True)
class Write:
    """A write of a document that was acknowledged."""

    number: int
    database: str  # its name, with the id of its group
    id: str
    instance: str  # that took it
    at: float
    is_replicated: bool = False  # another instance had it as well, before the client was told


@dataclass
class Work:
    """What clients have done and been told."""

    history: list[Operation] = field(default_factory=list)  # of compare-exchange values
    writes: list[Write] = field(default_factory=list)
    attempted: set[int] = field(default_factory=set)
    resolved_away: set[int] = field(default_factory=set)  # by a rule, or by who resolved a conflict
    deleted: set[int] = field(default_factory=set)  # by a client that had seen them
    transacted: dict[str, set[int]] = field(default_factory=dict)  # acknowledged, by database
    deleted_instances: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    numbers: Any = field(default_factory=lambda: itertools.count(1))


def seen_in(body: bytes | None) -> set[int]:
    """The numbers that a document holds."""
    return set() if body is None else set(json.loads(body or b"{}").get("n", ()))


def body_of(numbers: set[int]) -> bytes:
    return json.dumps({"n": sorted(numbers), "@metadata": {"@collection": "Docs"}}).encode()


def numbers_of(database: Database, id: str) -> set[int]:
    """The numbers of all versions of a document."""
    try:
        document = database.get(id)
    except DocumentConflict:
        return set().union(*(seen_in(version.json) for version in database.conflicts(id)))
    return seen_in(None if document is None else document.json)


class Clients:
    """All of them: each act goes to some node that is up, and lives and dies with its process."""

    def __init__(self, world: World, chance: random.Random, weights: dict[str, float]) -> None:
        self.work = Work()
        self._world = world
        self._tasks: list[tuple[NodeLoop, asyncio.Task[None]]] = []
        self._chance = chance
        self._known: dict[tuple[str, str], int] = {}  # indexes of values, as somebody saw them last
        self._acts: dict[str, Callable[[Node, str], Awaitable[None]]] = {
            "write": self.write, "delete": self.delete, "read value": self.read_value, "write value": self.write_value,
            "transact": self.transact, "create": self.create, "drop": self.drop, "add instance": self.add_instance,
            "delete instance": self.delete_instance, "add node": self.add_node, "remove node": self.remove_node,
        }  # fmt: skip
        self._names, self._weights = list(weights), list(weights.values())

    def act(self) -> None:
        """Somebody asks some node for something."""
        node = self._chance.choice(self._world.nodes)
        if not node.is_member:
            return
        assert node.server is not None
        (name,) = self._chance.choices(self._names, self._weights)
        databases = node.server.databases.names()
        db = self._chance.choice(databases) if databases and self._chance.random() < 0.3 else self._world.db
        self.start(node, name, db)

    def start(self, node: Node, name: str, db: str) -> asyncio.Task[None]:
        return self._run(node, name, db, lambda: self._acts[name](node, db))

    @property
    def pending(self) -> list[str]:
        """What has no answer yet, of nodes that live."""
        self._tasks = [(loop, task) for loop, task in self._tasks if not loop.is_dead and not task.done()]
        return [f"{task.get_name()} at {loop.name}" for loop, task in self._tasks]

    def _run(self, node: Node, name: str, db: str, act: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        task = node.run(f"client: {name}", self._perform(node, name, db, act))
        self._tasks.append((node.loop, task))
        return task

    def invite_again(self, node: Node, guest: Node) -> None:
        """An administrator adds a node that was invited, and of which nothing came."""
        self._run(node, "invite", guest.name, lambda: self._invite(node, guest))

    async def _perform(self, node: Node, name: str, db: str, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
            self.work.counts[name] += 1
            self._world.note(node.name, f"client: {name} {db}")
        except PynoriError as error:
            self.work.counts[f"{name} refused"] += 1
            self._world.note(node.name, f"client: {name} {db} refused: {error.message[:160]}")

    # ---- documents

    async def write(self, node: Node, db: str) -> None:
        assert node.server is not None
        found = node.server.databases.find(db)
        database, id = found.database, f"docs/{self._chance.randrange(IDS)}"
        number = next(self.work.numbers)
        group = f"{db}/{found.record['Topology']['DatabaseTopologyIdBase64']}"
        self.work.attempted.add(number)
        try:
            document = database.get(id)
        except DocumentConflict:
            # What ends a conflict counts nothing of its own: whoever sees the same must make the same of it.
            versions = database.conflicts(id)
            seen = set().union(*(seen_in(version.json) for version in versions))
            await database.resolve(id, body_of(seen), [version.change_vector for version in versions])
            document = database.get(id)
        seen = {number} | seen_in(None if document is None else document.json)
        result = await database.put(id, body_of(seen), "" if document is None else document.change_vector)
        write = Write(number, group, id, database.id, self._world.time.now)
        self.work.writes.append(write)
        self._world.note(node.name, f"write {number} of {id} in {db} as {result.change_vector}")
        if self._chance.random() < 0.2:
            confirmed = await found.replication.wait_for_replicas(
                database.last_etag, None, REPLICAS_WAIT_MS, throw=True
            )
            write.is_replicated = confirmed > 0
            self._check_replicated(node, db, write)

    def _check_replicated(self, node: Node, db: str, write: Write) -> None:
        """Who is told that another instance has it can find it there, unless that node is down by now."""
        others = [each for each in self._world.nodes if each is not node]
        found = [opened for each in others if (opened := each.find(db)) is not None]
        gone = self.work.deleted | self.work.resolved_away
        if write.number in gone or len(found) < len(others) or not write.is_replicated:
            return
        if not any(write.number in numbers_of(opened.database, write.id) for opened in found):
            self._world.watch.tell(f"{write} is told to be replicated, and no other instance has it")

    async def delete(self, node: Node, db: str) -> None:
        assert node.server is not None
        database = node.server.databases.find(db).database
        id = f"docs/{self._chance.randrange(IDS)}"
        document = database.get(id)
        if document is not None:
            self.work.deleted |= seen_in(document.json)
            deleted = await database.delete(id, document.change_vector)
            self._world.note(node.name, f"deleted {id} in {db} as {deleted.change_vector}")

    # ---- compare exchange

    def _key(self) -> str:
        return f"k{self._chance.randrange(KEYS)}"

    async def read_value(self, node: Node, db: str) -> None:
        assert node.server is not None
        group = self._group(node, db)
        key, begin, state = self._key(), self._world.time.now, node.server.state
        await state.read_barrier()
        stored = state.compare_exchange_value(db, key)
        index = 0 if stored is None else stored.index
        self._known[group, key] = index
        value = None if stored is None else stored.value.decode()
        self._note_value(node, Operation(0, "read", f"{group}/{key}", begin, self._world.time.now, value, index=index))

    async def write_value(self, node: Node, db: str) -> None:
        assert node.server is not None
        group = self._group(node, db)
        key, begin = self._key(), self._world.time.now
        expected = self._known.get((group, key), 0)
        value = json.dumps({"Object": next(self.work.numbers)})
        operation = Operation(0, "write", f"{group}/{key}", begin, NEVER, value, expected)
        self.work.history.append(operation)
        try:
            outcome = await node.server.state.put_compare_exchange(db, key, expected, value.encode())
        except (RequestTimeout, StorageFailed):
            self._known.pop((group, key), None)
            raise
        except Unavailable:
            self.work.history.remove(operation)  # nothing of it shows up later
            raise
        self.work.history.remove(operation)
        self._known[group, key] = outcome.index
        self._note_value(
            node,
            Operation(0, "write", f"{group}/{key}", begin, self._world.time.now, value, expected, outcome.index,
                      outcome.successful),
        )  # fmt: skip

    def _note_value(self, node: Node, operation: Operation) -> None:
        self.work.history.append(operation)
        self._world.note(node.name, f"{operation.kind} of {operation.key}: {operation.value} at {operation.index}")

    def _group(self, node: Node, db: str) -> str:
        assert node.server is not None
        return f"{db}/{node.server.state.group_id(db)}"

    async def transact(self, node: Node, db: str) -> None:
        """A list of numbers as a value and as a document, changed together."""
        assert node.server is not None
        found, state = node.server.databases.find(db), node.server.state
        await state.read_barrier()
        stored = state.compare_exchange_value(db, TRANSACTED)
        numbers = set() if stored is None else seen_in(stored.value)
        number = next(self.work.numbers)
        group = f"{db}/{state.group_id(db)}"  # of the state that was asked: its node may have stopped since
        numbers.add(number)
        body = body_of(numbers).decode()
        changes = [{"key": TRANSACTED, "index": 0 if stored is None else stored.index, "value": body}]
        documents = [{"id": "tx/1", "document": body, "guard": 0}]
        await found.transactions.run(state.transact(db, changes, documents, guarded=False))
        self.work.transacted.setdefault(group, set()).add(number)
        self._world.note(node.name, f"transacted {number} in {db}")

    # ---- databases and nodes

    async def create(self, node: Node, db: str) -> None:
        assert node.server is not None
        factor = self._chance.choice((1, 2, 2, 3))
        await node.server.databases.create(self._world.plan.record(f"extra{self._chance.randrange(3)}"), factor)

    async def drop(self, node: Node, db: str) -> None:
        assert node.server is not None
        if db != self._world.db:
            await node.server.databases.delete([db], hard=True)

    async def add_instance(self, node: Node, db: str) -> None:
        assert node.server is not None
        await node.server.databases.add_instance(db, None, None)

    async def delete_instance(self, node: Node, db: str) -> None:
        assert node.server is not None
        members = node.server.state.instances(db)
        if len(members) > 1:
            self.work.deleted_instances[db] += 1
            await node.server.databases.delete([db], hard=True, nodes=[self._chance.choice(members)])

    async def add_node(self, node: Node, db: str) -> None:
        assert node.server is not None
        spare = [each for each in self._world.nodes if each.server is not None and not each.is_member]
        if spare:
            await node.server.nodes.add(self._chance.choice(spare).url, is_watcher=self._chance.random() < 0.2)

    async def _invite(self, node: Node, guest: Node) -> None:
        assert node.server is not None
        await node.server.nodes.add(guest.url)

    async def remove_node(self, node: Node, db: str) -> None:
        assert node.server is not None
        tags = list(node.server.state.topology["nodes"])
        if len(tags) > self._world.plan.nodes_min:
            tag = self._chance.choice(tags)
            for name in node.server.databases.names():
                self.work.deleted_instances[name] += 1
            await node.server.nodes.remove(tag)

"""A cluster of whole nodes in virtual time: set up, worked with under faults, left in quiet, and judged.

A seed is a history: two runs of it are equal event for event, which `digest` shows.
"""

from __future__ import annotations

import hashlib
import logging
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from pynori import limits
from pynori.documents.database import Database
from tests.simulation import judge
from tests.simulation.clients import Clients, seen_in
from tests.simulation.faults import Faults
from tests.simulation.loop import Stuck, Time
from tests.simulation.network import Network
from tests.simulation.node import Node
from tests.simulation.plan import Plan
from tests.simulation.storage import simulated_engine
from tests.simulation.watch import Broken, Watch

DB = "db"
SETUP_S = 30.0  # within which a cluster without faults must be there
QUIET_S = 90.0  # within which all must be well after the last fault
LOOK_S = 0.25


@dataclass
class Result:
    """What a seed came to."""

    seed: int
    plan: Plan
    failure: str = ""
    digest: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    healed_s: float = 0.0  # from the last fault until all was well
    virtual_s: float = 0.0
    lines: list[str] = field(default_factory=list)  # of a traced run


class World:
    """One run."""

    def __init__(self, seed: int, directory: Path, plan: Plan | None = None, is_traced: bool = False) -> None:
        chance = random.Random(seed)
        self.plan = plan or Plan.draw(chance)
        self.db = DB
        self.time = Time(_child(chance))
        self.result = Result(seed, self.plan)
        self._is_traced = is_traced
        self._hash = hashlib.blake2b(digest_size=16)
        self._directory = directory
        self._chance = _child(chance)
        self.network = Network(self.time, _child(chance), lambda text: self.note("", text))
        self.watch = Watch(lambda: self.time.now)
        self.nodes = [
            Node(name, directory, self.time, self.network, _child(chance), self.note, self.watch.look)
            for name in "abcdefg"[: self.plan.machines]
        ]
        self.clients = Clients(self, _child(chance), self.plan.weights)
        self.faults = Faults(self, _child(chance))
        self.is_quiet = False

    def note(self, who: str, text: str) -> None:
        """Something has happened: it is part of the history."""
        line = f"{self.time.now:10.4f} {who:7} {text}"
        self._hash.update(line.encode())
        if self._is_traced:
            self.result.lines.append(line)

    # ---- the run

    def run(self) -> Result:
        result = self.result
        try:
            self._set_up()
            self._work()
            self._quieten()
            problems = judge.problems(self)
            if problems:
                raise Broken("; ".join(problems[:5]))
        except (Broken, Stuck) as error:
            result.failure = f"{type(error).__name__}: {error}"
        except Exception as error:
            result.failure = f"{type(error).__name__}: {error}"
            if self._is_traced:
                raise
        finally:
            for node in self.nodes:
                node.close()
        result.digest = self._hash.hexdigest()
        result.virtual_s = self.time.now
        result.counts = self.clients.work.counts + Counter(
            {f"fault: {kind}": count for kind, count in self.faults.counts.items()}
        )
        return result

    def _set_up(self) -> None:
        for node in self.nodes:
            node.start()
        self._until("the nodes are up", lambda: all(node.is_up for node in self.nodes), SETUP_S)
        task = self.nodes[0].run("set up", self._join_and_create())
        self._until("the cluster is made", task.done, SETUP_S)
        task.result()

    async def _join_and_create(self) -> None:
        first = self.nodes[0].server
        assert first is not None
        for node in self.nodes[1 : self.plan.nodes]:
            await first.nodes.add(node.url)
        await first.databases.create(self.plan.record(DB), self.plan.factor)

    def _work(self) -> None:
        self.note("", f"work begins: {self.plan}")
        end = self.time.now + self.plan.active_s
        self._again(self.plan.acts_per_s, end, self.clients.act)
        self._again(self.plan.faults_per_s, end, self.faults.strike)
        self._go_on(end)

    def _again(self, per_s: float, end: float, act: Callable[[], None]) -> None:
        def happen() -> None:
            if self.time.now < end:
                act()
                self.time.after(self._chance.expovariate(per_s), happen)

        self.time.after(self._chance.expovariate(per_s), happen)

    def _quieten(self) -> None:
        """No more faults: everything must come in order by itself, work, and be in order again."""
        self.note("", "quiet")
        self.is_quiet = True
        self.faults.mend_all()
        for node in self.nodes:
            node.storage.slow_factor = 1.0
            node.want_up()
        self.network.wake()
        self._again(0.5, float("inf"), self._invite_again)
        began = self.time.now
        self._until("all is well", lambda: not judge.not_well(self), QUIET_S, lambda: judge.not_well(self))
        self.result.healed_s = self.time.now - began
        self.note("", f"all is well after {self.result.healed_s:.2f} s")
        tasks = [
            (f"{name} at {node.name}", self.clients.start(node, name, DB))
            for node in self.nodes
            if node.find(DB) is not None
            for name in ("write value", "transact", "write")
        ]
        before = self.clients.work.counts.copy()
        self._until("the last work is done", lambda: all(task.done() for _, task in tasks), QUIET_S)
        refused = [name for name in ("write value", "write") if self.clients.work.counts[name] == before[name]]
        if tasks and refused:
            raise Broken(f"in quiet no node can do this: {refused}")
        self._until("all is well again", lambda: not judge.not_well(self), QUIET_S, lambda: judge.not_well(self))

    def _invite_again(self) -> None:
        guests = [node for node in self.nodes if node.waits]
        members = [node for node in self.nodes if node.is_member]
        if guests and members:
            self.clients.invite_again(members[0], guests[0])

    def _go_on(self, until: float) -> None:
        while self.time.now < until:
            self.time.run(min(until, self.time.now + LOOK_S))
            self._check()

    def _until(
        self, what: str, done: Callable[[], bool], within_s: float, why: Callable[[], Sequence[str]] = lambda: ()
    ) -> None:
        end = self.time.now + within_s
        while not done():
            if self.time.now >= end:
                raise Broken(f"not within {within_s:g} s: {what}; {'; '.join(why()[:6])}")
            self.time.run(self.time.now + LOOK_S)
            self._check()

    def _check(self) -> None:
        """What must hold at any moment."""
        found = list(self.watch.broken)
        for node in self.nodes:
            found += node.failures
            if node.is_started:
                found += node.loop.failures
                node.check_start()
        if found:
            raise Broken("; ".join(found[:4]))


def _child(chance: random.Random) -> random.Random:
    return random.Random(chance.randrange(2**60))


class _Lines(logging.Handler):
    """Log lines of all nodes: part of the history, and errors are findings unless they are known to be none."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.INFO if world._is_traced else logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.levelname.lower()} {getattr(record, 'source', '')}: {record.getMessage()}"
        if record.levelno >= logging.ERROR:
            error = getattr(record, "fields", {}).get("error")
            self._world.watch.heard(text, error)
        if self._world._is_traced:
            self._world.result.lines.append(f"{self._world.time.now:10.4f}         {text}")


def run(seed: int, plan: Plan | None = None, is_traced: bool = False) -> Result:
    """The history of a seed."""
    directory = Path(tempfile.mkdtemp(prefix="pynori-nodes-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    logger = logging.getLogger("pynori")
    level = logger.level
    with simulated_engine():
        world = World(seed, directory, plan, is_traced)
        lines = _Lines(world)
        logger.addHandler(lines)
        logger.setLevel(logging.INFO if is_traced else logging.ERROR)
        try:
            with (
                mock.patch.object(limits, "TOMBSTONE_PURGE_INTERVAL_MS", world.plan.purge_ms),
                mock.patch.object(limits, "RAFT_LOG_ENTRIES_KEPT", world.plan.log_kept),
                mock.patch.object(limits, "RAFT_REPEAT_WINDOW", world.plan.log_kept),
                mock.patch.object(Database, "resolve", _told_resolve(world)),
            ):
                return world.run()
        finally:
            logger.removeHandler(lines)
            logger.setLevel(level)
            shutil.rmtree(directory, ignore_errors=True)


def _told_resolve(world: World) -> Any:
    """`Database.resolve`, with a note of the writes that the end of a conflict leaves out."""
    plain = Database.resolve

    def resolve(self: Database, id: str, body: bytes | None, versions: Sequence[str]) -> Any:
        there = [version for version in self.conflicts(id) if version.change_vector in versions]
        lost = set().union(*(seen_in(version.json) for version in there)) - seen_in(body)
        world.clients.work.resolved_away |= lost
        world.note("", f"{id} of {self.options.node_tag}: {list(versions)} end as {sorted(seen_in(body))}")
        return plain(self, id, body, versions)

    return resolve

"""Bugs planted in production code, one at a time, that the simulation of whole nodes must find.

    python -m tests.simulation.mutants [--seeds N] [NAME...]     plant each in a process of its own, tell what found it

A mutant is an edit of a module's source that is made while it is imported; the files stay as they are.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SEEDS_MAX = 100
SECONDS_MAX = 400
FIRST_SEED = 5_000


class Mutant(NamedTuple):
    """A planted bug: in which module, what each edit replaces, and by what."""

    module: str
    edits: tuple[tuple[str, str], ...]


def _one(module: str, old: str, new: str) -> Mutant:
    return Mutant(module, ((old, new),))


MUTANTS = {
    "link tells its vector as of after the last etag": _one(
        "pynori.replication.outgoing",
        "step = sender.next_step(database.change_vector, database.last_etag, now)",
        "last_etag = database.last_etag\n"
        "            step = sender.next_step(database.change_vector, last_etag, now)",
    ),
    "acceptance leaves before the batch is durable": Mutant(
        "pynori.replication.incoming",
        (
            ("            applied = await database.apply_batch(made)\n            receiver.done()",
             "            self.position = batch.position\n            self._accept()\n"
             "            applied = await database.apply_batch(made)\n            receiver.done()"),
            ("            self._accept()\n            if applied.conflicts:", "            if applied.conflicts:"),
        ),
    ),
    "position is stored ahead of its items": _one(
        "pynori.replication.incoming",
        "            applied = await database.apply_batch(made)\n",
        "            await database.apply_batch(database.frame_batch(b'', self.source, batch.position, ''))\n"
        "            applied = await database.apply_batch(made)\n",
    ),
    "answers to other nodes leave before the round is durable": Mutant(
        "pynori.cluster.driver",
        (
            ("            await self._loop.run_in_executor(self._executor, self._store.write, work)\n",
             "            for order in (*appends, *applies):\n                for response in order.responses:\n"
             "                    if response.target != self.node_id:\n"
             "                        self.transport.send(response)\n"
             "            await self._loop.run_in_executor(self._executor, self._store.write, work)\n"),
        ),
    ),
    "entries are published before they are durable": Mutant(
        "pynori.cluster.driver",
        (
            ("            await self._loop.run_in_executor(self._executor, self._store.write, work)\n",
             "            if applied is not None:\n                self._publish(applied)\n"
             "            await self._loop.run_in_executor(self._executor, self._store.write, work)\n"),
            ("            self._publish(applied)\n        self._deliver", "        self._deliver"),
        ),
    ),
    "supervisor of a deposed leader acts": Mutant(
        "pynori.server.supervision",
        (("        term = driver.term if driver.is_leader else 0\n",
          "        term = driver.term if driver.is_leader or self._term else 0\n"),),
    ),
    "reads are not confirmed by the leader": _one(
        "pynori.cluster.driver",
        "        if self._is_alone():\n            return  # nothing is agreed on that is not applied here\n",
        "        return\n",
    ),
    "read does not wait until this node is as far as the leader": _one(
        "pynori.cluster.driver", "                await self.wait_for_index(index, limits.PROPOSAL_WAIT_MS / 1_000)\n",
        "",
    ),
    "change on its way when its node stops is called refused": _one(
        "pynori.cluster.driver",
        "            if proposal.sent_at:\n                message = f\"The server is stopping",
        "            if False:\n                message = f\"The server is stopping",
    ),
    "a transaction sets back what has seen it already": _one(
        "pynori.server.cluster_transactions",
        'if counted(vectors.get(each[1].id, ""), group) < each[0]]', "]",
    ),
    "place in the transactions is not kept with the documents": _one(
        "pynori.server.cluster_transactions",
        "        batch.set_position(POSITION, transaction.index)\n", "",
    ),
    "proposal is repeated as a new one": _one(
        "pynori.cluster.driver",
        "                command.since = command.since or max(1, self.applied_index)\n", "",
    ),
    "group may lose its last member": _one(
        "pynori.cluster.supervisor",
        "if reason is not None and any(self.is_fresh(other) for other in self.topology[\"Members\"] if other != tag):",
        "if reason is not None:",
    ),
    "new member need not have what its mentor has": _one(
        "pynori.cluster.supervisor", "if wanted is None or mine is None or not vectors.covers(mine, wanted):",
        "if False:",
    ),
    "tombstones wait for nobody": _one(
        "pynori.documents.tombstones", "        self._held[owner] = etag\n", "        self._held.pop(owner, None)\n"
    ),
    "link that broke is not opened again": _one(
        "pynori.replication.outgoing",
        "            await asyncio.sleep(pause_ms / 1_000)\n",
        "            await asyncio.sleep(pause_ms / 1_000 if not pause_ms > 400 else 1e9)\n",
    ),
    "the whole state comes beside what was there": _one(
        "pynori.cluster.driver", "            table.clear()\n            table.update(loaded",
        "            table.update(loaded",
    ),
    "silent connections are kept": _one(
        "pynori.runtime.channel", "if now - self._heard_at > silence_s:", "if False:"
    ),
}  # fmt: skip


class Planter(SourceFileLoader):
    """Loads a module with its bug."""

    def __init__(self, name: str, path: str, mutant: Mutant) -> None:
        super().__init__(name, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> object:
        source = Path(self.path).read_text()
        for old, new in self._mutant.edits:
            assert source.count(old) == 1, f"{old!r} is not in {self.path} once"
            source = source.replace(old, new)
        return compile(source, self.path, "exec")


class PlanterFinder:
    """Finds the module that has the bug before anybody else does."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if name != self._mutant.module:
            return None
        path = str(ROOT / f"{name.replace('.', '/')}.py")
        return spec_from_file_location(name, path, loader=Planter(name, path, self._mutant))


def hunt(name: str, seeds: int) -> str:
    """Plant a bug in this process; what found it, and after how many seeds."""
    sys.meta_path.insert(0, PlanterFinder(MUTANTS[name]))
    from tests.simulation.world import run

    for number in range(seeds):
        failure = run(FIRST_SEED + number).failure
        if failure:
            return f"{number + 1} | {failure[:140]}"
    return f"- | not found within {seeds} seeds"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", type=int, default=SEEDS_MAX)
    arguments.add_argument("--hunt", action="store_true", help="in this process, and only the outcome")
    arguments.add_argument("names", nargs="*")
    given = arguments.parse_args()
    if given.hunt:
        print(hunt(given.names[0], given.seeds))
        return 0
    survivors = 0
    print("| planted bug | seeds | found by |\n| --- | --- | --- |")
    for name in given.names or MUTANTS:
        command = [sys.executable, "-m", "tests.simulation.mutants", "--hunt", "--seeds", str(given.seeds), name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, cwd=ROOT, check=False)
            found = done.stdout.strip().split("\n")[-1] or done.stderr.strip().split("\n")[-1]
        except subprocess.TimeoutExpired:
            found = f"- | not found within {SECONDS_MAX} s"
        survivors += found.startswith("-")
        print(f"| {name} | {found} |", flush=True)
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())

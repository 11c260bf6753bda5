"""Real nodes under kills, freezes and cuts while clients work; `ci/soak cluster [MINUTES]`.

Each round starts five nodes with a group of three instances, lets clients write documents and change compare-exchange
values at random nodes, and lets a nemesis do its worst for a while. Then everything is healed and started, and when it
is quiet: the history of the values must be linearizable, all instances must hold equal versions, and every write of a
document that was acknowledged must be covered by a version that is there. One line for each run goes to a ledger.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pynori_core import change_vector

from tests.cluster.history import NEVER, Operation, violations
from tests.damage.soak import commit
from tests.walk.network import Network, why_not
from tests.walk.stage import Refused, Stage

LEDGER = Path(__file__).resolve().parents[1] / "ledger" / "cluster.md"
NODES = (1, 2, 3, 4, 5)
HOLDERS = (1, 2, 3)  # of the database
DB = "db"
CLIENTS = 6
KEYS = 4
IDS = 12
TIMEOUT_S = 2.0


@dataclass
class Round:
    """What the clients of one round have done."""

    history: list[Operation] = field(default_factory=list)
    writes: list[tuple[str, str]] = field(default_factory=list)  # (id, change vector) that were acknowledged
    counts: Counter[str] = field(default_factory=Counter)
    faulty: list[tuple[float, float]] = field(default_factory=list)  # begin and end of faults
    stop: threading.Event = field(default_factory=threading.Event)


class Client(threading.Thread):
    """Changes values and documents at nodes chosen by chance, one call after the other."""

    def __init__(self, number: int, seed: int, stage: Stage, work: Round) -> None:
        super().__init__(name=f"client {number}")
        self._number = number
        self._chance = random.Random(seed * 1_000 + number)
        self._stage = stage
        self._work = work
        self._known: dict[str, int] = {}  # index by key, as this client saw it last
        self._written = 0

    def run(self) -> None:
        while not self._work.stop.is_set():
            act = self._chance.choice((self._read, self._write, self._write, self._document))
            act()
            time.sleep(self._chance.random() * 0.01)

    def _ask(self, node: int, method: str, path: str, body: Any = None) -> Any:
        return self._stage.ask(node, method, path, body, timeout_s=TIMEOUT_S)

    def _read(self) -> None:
        key, node, begin = f"k{self._chance.randrange(KEYS)}", self._chance.choice(HOLDERS), time.monotonic()
        try:
            found = self._ask(node, "GET", f"/databases/{DB}/cmpxchg?key={key}")["Results"]
        except (Refused, OSError, ValueError):
            self._work.counts["read failed"] += 1
            return
        index = found[0]["Index"] if found and found[0] else 0
        value = found[0]["Value"]["Object"] if index else None
        self._known[key] = index
        self._note(Operation(self._number, "read", key, begin, time.monotonic(), value, index=index))

    def _write(self) -> None:
        key, node, begin = f"k{self._chance.randrange(KEYS)}", self._chance.choice(HOLDERS), time.monotonic()
        expected = self._known.get(key, 0)
        self._written += 1
        value = f"{self._number}/{self._written}"
        try:
            answer = self._ask(node, "PUT", f"/databases/{DB}/cmpxchg?key={key}&index={expected}", {"Object": value})
        except Refused as refused:
            if refused.status == 503:
                self._work.counts["write refused"] += 1
                return  # nothing of it shows up later
            answer = None
        except (OSError, ValueError):
            answer = None
        if answer is None:
            self._note(Operation(self._number, "write", key, begin, NEVER, value, expected))
            self._known.pop(key, None)
            return
        self._known[key] = answer["Index"]
        self._note(Operation(self._number, "write", key, begin, time.monotonic(), value, expected, answer["Index"],
                             answer["Successful"]))  # fmt: skip

    def _document(self) -> None:
        id, node = f"docs/{self._chance.randrange(IDS)}", self._chance.choice(HOLDERS)
        self._written += 1
        try:
            if self._chance.random() < 0.1:
                self._ask(node, "DELETE", f"/databases/{DB}/docs?id={id}")
                return
            stored = self._ask(node, "PUT", f"/databases/{DB}/docs?id={id}", {"n": f"{self._number}/{self._written}"})
        except (Refused, OSError, ValueError):
            self._work.counts["document failed"] += 1
            return
        self._work.writes.append((id, stored["ChangeVector"]))

    def _note(self, operation: Operation) -> None:
        self._work.history.append(operation)


def torment(stage: Stage, network: Network | None, chance: random.Random, seconds: float, work: Round) -> None:
    """Kill, freeze and cut, one thing after the other, and mend each."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        begin = time.monotonic()
        kind = chance.choice(("kill", "freeze", "split", "deafen") if network else ("kill", "freeze"))
        work.counts[kind] += 1
        victims = chance.sample(NODES, chance.choice((1, 1, 2)))
        pause = 0.5 + chance.random() * 2.5
        if kind == "kill":
            stage.kill(*victims)
            time.sleep(pause)
            stage.start(*victims)
        elif kind == "freeze":
            for node in victims:
                stage.freeze(node)
            time.sleep(pause)
            for node in victims:
                stage.thaw(node)
        else:
            assert network is not None
            others = [node for node in NODES if node not in victims]
            if kind == "split":
                network.split(victims, others)
            else:
                network.deafen(victims[0], *others)
            time.sleep(pause)
            network.heal()
        work.faulty.append((begin, time.monotonic()))
        time.sleep(chance.random())


def perform(seed: int, seconds: float) -> tuple[list[str], Round]:
    """One round; what is wrong, and what was done."""
    chance = random.Random(seed)
    network = None if why_not() else Network(len(NODES))
    stage = Stage(f"soak-{seed}", quiet=True, network=network)
    work = Round()
    try:
        stage.start(*NODES)
        stage.create(1, "First")
        stage.join(1, *NODES[1:])
        stage.create(1, DB, len(HOLDERS), ["A", "B", "C"])
        stage.wait("the group works", lambda: all(
            stage.ask(node, "GET", f"/databases/{DB}/stats") for node in HOLDERS))  # fmt: skip
        clients = [Client(number, seed, stage, work) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            torment(stage, network, chance, seconds, work)
        finally:
            work.stop.set()
            for client in clients:
                client.join()
        found = [*violations(work.history), *unlike(stage), *lost(stage, work)]
    finally:
        stage.end()
        if network is not None:
            network.close()
    return found + stage.failures, work


def state_of(stage: Stage, node: int) -> dict[str, list[tuple[str, Any]]]:
    """All versions of the documents that a node has: (vector, content) by id."""
    versions: dict[str, list[tuple[str, Any]]] = {}
    for number in range(IDS):
        id = f"docs/{number}"
        try:
            document = stage.get(node, DB, id)
        except Refused as refused:
            if refused.status != 409:
                raise
            found = stage.ask(node, "GET", f"/databases/{DB}/replication/conflicts?docId={id}")["Results"]
            versions[id] = sorted((each["ChangeVector"], (each["Doc"] or {}).get("n")) for each in found)
        else:
            versions[id] = [] if document is None else [(document["@metadata"]["@change-vector"], document["n"])]
    return versions


def unlike(stage: Stage) -> list[str]:
    """Instances must come to hold the same."""
    until = time.monotonic() + 30
    while True:
        try:
            states = [state_of(stage, node) for node in HOLDERS]
            if states[0] == states[1] == states[2]:
                return []
        except (Refused, OSError) as error:
            states = [repr(error)]  # type: ignore[list-item]
        if time.monotonic() > until:
            return [f"instances differ after 30 s of quiet: {states}"]
        time.sleep(0.2)


def lost(stage: Stage, work: Round) -> list[str]:
    """Every acknowledged write is covered by a version that is there, or by a deletion."""
    versions = state_of(stage, HOLDERS[0])
    found = []
    for id, vector in work.writes:
        covering = [each for each, _ in versions[id]]
        if not covering:
            continue  # deleted; a deletion that did not know of the write would have been a conflict
        if not any(change_vector.compare(each, vector) in ("newer", "equal") for each in covering):
            found.append(f"{id}: the acknowledged write {vector} is in none of {covering}")
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("minutes", type=float, nargs="?", default=10.0)
    arguments.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    arguments.add_argument("--round-seconds", type=float, default=20.0)
    arguments.add_argument("--ledger", type=Path, default=LEDGER)
    given = arguments.parse_args()
    reason = why_not()
    if reason:
        print(f"without cuts of the network, for {reason}")
    until, seed = time.monotonic() + given.minutes * 60, given.seed
    operations, overlapped, unknown, found = 0, 0, 0, []
    counts: Counter[str] = Counter()
    while time.monotonic() < until:
        wrong, work = perform(seed, given.round_seconds)
        operations += len(work.history) + len(work.writes)
        unknown += sum(each.end == NEVER for each in work.history)
        overlapped += sum(
            any(begin < each.end and each.begin < end for begin, end in work.faulty) for each in work.history
        )
        counts += work.counts
        found += [f"seed {seed}: {each}" for each in wrong]
        print(f"seed {seed}: {len(work.history)} operations, {len(work.writes)} documents, {dict(work.counts)}, "
              f"{len(wrong)} wrong", flush=True)  # fmt: skip
        for each in wrong[:5]:
            print(f"    {each[:600]}")
        seed += 1
    faults = ", ".join(f"{counts[kind]} {kind}" for kind in ("kill", "freeze", "split", "deafen"))
    line = (f"| {datetime.now(UTC):%Y-%m-%d} | {commit()} | {given.seed} to {seed - 1} | {operations} | {overlapped} | "
            f"{unknown} | {faults} | {len(found)} |")  # fmt: skip
    print(line)
    with given.ledger.open("a") as ledger:
        ledger.write(line + "\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

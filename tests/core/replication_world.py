"""Random histories of two to four instances of a database, and what must hold of them after quiet.

Each instance writes, deletes, resolves and restarts as it likes, and drops tombstones that all others have accepted.
Links carry frames from a stored position on; besides them frames that were sent once come again, at any time and to
anybody, as through detours and repetitions. Everything follows from the seed. At the end everybody hears of everything:
then all must have equal versions, and each acknowledged write must be current, overwritten by what has seen it, in a
conflict, or lost to a rule that has a name.
"""

import random
from dataclasses import dataclass

from pynori_core import change_vector as vectors
from pynori_core.command import Batch
from pynori_core.errors import CollectionMismatch

from tests.core.instance import Instance

IDS = ("users/1", "users/2", "Orders/1", "big/1", "x")
COLLECTIONS = ("Users", "Orders", "")
STRAYS_MAX = 60                    # frames that may come again
QUIET_ROUNDS_MAX = 40
KINDS = ("put", "delete", "send", "stray", "resolve", "restart", "purge", "cluster", "batch")
WEIGHTS = (30, 10, 40, 8, 5, 2, 4, 2, 6)


@dataclass(frozen=True, slots=True)
class Written:
    """An acknowledged write."""

    id: str
    vector: str
    deletion: bool


class ReplicationWorld:
    """The instances, the frames on their way, and the ledger of what was acknowledged."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(f"replication {seed}")
        self.instances = [Instance(tag) for tag in "ABCD"[: self.dice.randrange(2, 5)]]
        self.strays: list[bytes] = []
        self.ledger: list[Written] = []
        self.clustered: set[str] = set()  # ids that a cluster-wide transaction wrote
        self.transactions: list[tuple[int, str, int]] = []
        self.applied = {one.tag: 0 for one in self.instances}  # cluster-wide transactions
        self.conflicts_seen = 0

    def run(self, steps: int) -> None:
        for kind in self.dice.choices(KINDS, WEIGHTS, k=steps):
            getattr(self, f"step_{kind}")(self.dice.choice(self.instances))

    def close(self) -> None:
        for one in self.instances:
            one.close()

    # ---- steps

    def step_put(self, one: Instance) -> None:
        id = self.dice.choice(IDS)
        # Few values, so that equal content is written apart as well.
        size = self.dice.choice((1, 1, 1, 6000))
        properties = {"n": self.dice.randrange(3), "text": "x" * size}
        try:
            vector = one.put(id, self.dice.choice(COLLECTIONS), **properties)
        except CollectionMismatch:
            return
        self.ledger.append(Written(id, vector, False))

    def step_delete(self, one: Instance) -> None:
        id = self.dice.choice(IDS)
        vector = one.delete(id)
        if vector:
            self.ledger.append(Written(id, vector, True))

    def step_batch(self, one: Instance) -> None:
        """Several ids in one transaction, each made anew, so that nothing refuses it."""
        batch = Batch()
        ids = self.dice.sample(IDS, 3)
        for id in ids:
            batch.delete(id)
            batch.put(id, b'{"n":%d}' % self.dice.randrange(3))
        for id, result in zip(ids, one.writer.execute(batch)[1::2], strict=True):
            self.ledger.append(Written(id, result.change_vector, False))

    def step_send(self, one: Instance) -> None:
        others = [other for other in self.instances if other is not one]
        self.send(one, self.dice.choice(others), self.dice.choice((1, 2, 1000)))

    def send(self, sender: Instance, receiver: Instance, items_max: int = 1000) -> bool:
        """One batch over the link; whether there is nothing more to send."""
        since = receiver.store.position(f"replication/{sender.tag}")
        sent = sender.outgoing(since, receiver.vector, items_max)
        receiver.apply(sent.frame, sent.vector if sent.ended else "", sender.tag, sent.last_etag)
        self.conflicts_seen += receiver.store.conflict_counts()[0]
        if sent.items:
            self.strays = [*self.strays[-STRAYS_MAX:], sent.frame]
        return sent.ended

    def step_stray(self, one: Instance) -> None:
        """What was sent once comes once more, to whomever."""
        if self.strays:
            one.apply(self.dice.choice(self.strays))

    def step_resolve(self, one: Instance) -> None:
        for id in IDS:
            versions = one.versions(id)
            if versions:
                body = None if self.dice.random() < 0.3 else {"n": self.dice.randrange(2)}
                vector = one.resolve(id, body, [version.change_vector for version in versions])
                self.ledger.append(Written(id, vector, body is None))
                return

    def step_restart(self, one: Instance) -> None:
        one.reopen()

    def step_purge(self, one: Instance) -> None:
        """Tombstones go that all others have accepted."""
        accepted = [
            other.store.position(f"replication/{one.tag}") for other in self.instances if other is not one
        ]
        batch = Batch()
        batch.purge_tombstones(min(accepted), 1000)
        one.writer.execute(batch)

    def step_cluster(self, one: Instance) -> None:
        """A cluster-wide transaction is agreed on; or an instance comes to applying what was."""
        if self.dice.random() < 0.5:
            index = len(self.transactions) + 1
            self.transactions.append((index, "cluster/1", self.dice.randrange(100)))
            self.clustered.add("cluster/1")
        self.catch_up(one)
        if self.dice.random() < 0.3:
            self.ledger.append(Written("cluster/1", one.put("cluster/1", n=self.dice.randrange(3)), False))
            self.clustered.add("cluster/1")

    def catch_up(self, one: Instance) -> None:
        for index, id, value in self.transactions[self.applied[one.tag] :]:
            one.cluster_put(id, index, n=value)
            self.applied[one.tag] = index

    # ---- what must hold

    def quiet(self) -> None:
        """Everybody hears of everything."""
        for one in self.instances:
            self.catch_up(one)
        for _ in range(QUIET_ROUNDS_MAX):
            before = [one.store.last_etag for one in self.instances]
            for sender in self.instances:
                for receiver in self.instances:
                    while sender is not receiver and not self.send(sender, receiver):
                        pass
            if [one.store.last_etag for one in self.instances] == before:
                return
        raise AssertionError("the instances go on sending versions to each other")

    def check(self) -> None:
        """All have equal versions, and every acknowledged write is accounted for."""
        states = [self.state(one) for one in self.instances]
        for one, state in zip(self.instances[1:], states[1:], strict=True):
            differing = "\n".join(str(version[:6]) for version in state ^ states[0])
            assert not differing, f"{one.tag} differs from {self.instances[0].tag}:\n{differing}"
        left: dict[str, list[str]] = {}
        for id, _, vector, *_ in self.instances[0].items():
            left.setdefault(id.lower(), []).append(vector)
        deletions: dict[str, list[str]] = {}
        for written in self.ledger:
            if written.deletion:
                deletions.setdefault(written.id.lower(), []).append(written.vector)
        for written in self.ledger:
            id = written.id.lower()
            kept = left.get(id, []) + deletions.get(id, [])
            if not any(covers(vector, written.vector) for vector in kept):
                assert written.id in self.clustered, f"nobody accounts for {written}: {kept}"

    def state(self, one: Instance) -> set[tuple[object, ...]]:
        """Versions without tombstones, which each drops when it may."""
        return {
            (id, kind, vector, modified, flags, collection.lower(), json)
            for id, kind, vector, modified, collection, flags, json in one.items()
            if kind != "TOMBSTONE"
        }


def covers(left: str, right: str) -> bool:
    return vectors.compare(left, right) in ("newer", "equal")


def run_history(seed: int, steps: int) -> ReplicationWorld:
    """One history from start to end; raises AssertionError, which names the seed."""
    world = ReplicationWorld(seed)
    try:
        world.run(steps)
        world.quiet()
        world.check()
    except AssertionError as error:
        raise AssertionError(f"seed {seed}, {steps} steps: {error}") from error
    world.close()
    return world

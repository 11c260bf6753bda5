"""Histories for the crash tests: random work on a simulated disk, and a plain-dictionary model of every transaction.

A `World` is an open environment (or document store) on a `SimDisk`. Each step changes it and notes in the disk's record
which transaction is being tried and which is acknowledged. `states[t]` is what must be found after a crash that leaves
transaction t. Everything follows from the seed.
"""

import json
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pynori_core import change_vector as vectors
from pynori_core.check import check_environment
from pynori_core.check_documents import check_documents
from pynori_core.check_trees import check_transaction
from pynori_core.command import Batch
from pynori_core.conflict_reads import conflict_versions
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.env import Env, WriteTxn
from pynori_core.errors import Busy, ConcurrencyError, NotFound
from pynori_core.item_frames import add_frame, outgoing
from pynori_core.items import DocumentStore
from pynori_core.reads import DocumentStream
from pynori_core.sim_disk import SimDisk

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)

State = dict[Any, Any]
NEVER = 1 << 40  # a checkpoint comes when the history says so, not when the journal is long
TREES = (b"first", b"second")
USER = (b"", b"last user transaction")
JOURNAL_ROLL_TRIES_MAX = 40
PLACES, LEFT, VERSIONS, KNOWN = 0, 1, 2, 3  # in a state of documents, beside its ids
DEPARTURES_MAX = 10_000


class World:
    """What every profile has: the disk, the states, and the marks."""

    kinds: tuple[str, ...] = ()
    weights: tuple[int, ...] = ()
    first_kind = "put"  # before the steps of a sequence
    sequence_kinds: tuple[str, ...] = ()
    life_share = 24  # every so-manieth image lives on

    def __init__(self, disk: SimDisk, states: dict[int, State] | None = None, last: int = 0) -> None:
        self.disk = disk
        self.states: dict[int, State] = {0: {}} if states is None else states
        self.last = last
        self.state: State = dict(self.states.get(last, {}))
        self.serial = 0

    def step(self, kind: str, dice: random.Random) -> None:
        action: Callable[[random.Random], None] = getattr(self, f"step_{kind}")
        action(dice)

    def run(self, seed: object, steps: int) -> list[str]:
        """Random steps; returns their kinds."""
        dice = random.Random(f"history {seed}")
        done = dice.choices(self.kinds, self.weights, k=steps)
        for kind in done:
            self.step(kind, dice)
        return done

    def close(self) -> None:
        raise AssertionError

    @staticmethod
    def read(disk: SimDisk, deep: bool) -> tuple[int, State]:
        """Open, which recovers, and read everything: (last transaction, state). `deep`: every invariant is checked."""
        raise AssertionError


class TreeWorld(World):
    """Transactions over two trees: small values and runs of pages, keyed by bytes and by numbers."""

    kinds = (
        "put", "overwrite", "delete", "many", "big", "resize", "clear", "abort", "savepoint", "checkpoint",
        "overlap", "straddle", "busy", "sealed", "roll", "grow", "close",
    )  # fmt: skip
    weights = (6, 8, 6, 3, 4, 4, 1, 1, 2, 5, 4, 2, 1, 3, 1, 1, 2)
    sequence_kinds = ("put", "overwrite", "delete", "big", "checkpoint", "roll", "grow", "close")

    def __init__(self, disk: SimDisk, states: dict[int, State] | None = None, last: int = 0) -> None:
        super().__init__(disk, states, last)
        if states is None:
            self.env = Env.create(disk, checkpoint_bytes=NEVER)
        else:
            self.env = Env.open(disk, checkpoint_bytes=NEVER)

    # The parts of a step.

    def put(self, txn: WriteTxn, state: State, tree: bytes, key: Any, value: bytes) -> None:
        txn.tree(tree, create=True, integer=tree == TREES[1]).put(key, value)
        state[tree, key] = value

    def value(self, dice: random.Random, size: int) -> bytes:
        """Never the same twice, and of either kind: what LZ4 makes small, and what it does not."""
        self.serial += 1
        start = b"%d/%d:" % (self.last, self.serial)
        if dice.random() < 0.5:
            return (start * (size // len(start) + 1))[:size] if size > len(start) else start
        return start + dice.randbytes(max(0, size - len(start)))

    def key(self, dice: random.Random, tree: bytes) -> Any:
        number = dice.randrange(24)
        return number << dice.choice((0, 0, 8)) if tree == TREES[1] else b"key/%02d" % number * dice.choice((1, 1, 3))

    def change(self, txn: WriteTxn, state: State, dice: random.Random) -> None:
        """One random small change."""
        tree = dice.choice(TREES)
        kind = dice.random()
        keys = [key for name, key in state if name == tree]
        if kind < 0.3 and keys:
            self.remove(txn, state, tree, dice.choice(keys))
        elif kind < 0.6 and keys:
            self.put(txn, state, tree, dice.choice(keys), self.value(dice, dice.choice((5, 30, 200, 1500))))
        else:
            self.put(txn, state, tree, self.key(dice, tree), self.value(dice, dice.choice((5, 30, 200, 5000))))

    def remove(self, txn: WriteTxn, state: State, tree: bytes, key: Any) -> None:
        assert txn.tree(tree).delete(key)
        del state[tree, key]

    def begin(self) -> tuple[WriteTxn, State]:
        return self.env.write(), dict(self.state)

    def end(self, txn: WriteTxn, state: State) -> int:
        """Says what is tried; the state is there for whoever looks after a crash."""
        number = txn.id
        state[USER] = number * 3
        txn.set_user_txn(number * 3 - 2, number * 3)
        self.states[number] = state
        self.disk.mark_try(number)
        self.state = state
        self.last = number
        return number

    def commit(self, *changes: Callable[[WriteTxn, State], None]) -> None:
        txn, state = self.begin()
        try:
            for change in changes:
                change(txn, state)
        except BaseException:
            txn.abort()
            raise
        number = self.end(txn, state)
        txn.commit()
        self.disk.mark_ack(number)

    # Steps.

    def step_put(self, dice: random.Random) -> None:
        def change(txn: WriteTxn, state: State) -> None:
            tree = dice.choice(TREES)
            self.put(txn, state, tree, self.key(dice, tree), self.value(dice, dice.choice((5, 40, 300))))

        self.commit(*[change] * dice.randrange(1, 4))

    def step_overwrite(self, dice: random.Random) -> None:
        def change(txn: WriteTxn, state: State) -> None:
            keys = [key for key in state if key != USER]
            tree, key = dice.choice(keys) if keys else (TREES[0], b"only")
            self.put(txn, state, tree, key, self.value(dice, dice.choice((5, 40, 300, 2000))))

        self.commit(*[change] * dice.randrange(1, 4))

    def step_delete(self, dice: random.Random) -> None:
        def change(txn: WriteTxn, state: State) -> None:
            keys = [key for key in state if key != USER]
            for tree, key in dice.sample(keys, min(len(keys), dice.randrange(1, 6))):
                self.remove(txn, state, tree, key)

        self.commit(change)

    def step_many(self, dice: random.Random) -> None:
        """Enough for leaves to split."""

        def change(txn: WriteTxn, state: State) -> None:
            for number in range(dice.randrange(20, 60)):
                self.put(txn, state, TREES[0], b"many/%03d" % number, self.value(dice, 300))

        self.commit(change)

    def step_big(self, dice: random.Random) -> None:
        def change(txn: WriteTxn, state: State) -> None:
            tree = dice.choice(TREES)
            self.put(txn, state, tree, self.key(dice, tree), self.value(dice, dice.randrange(4000, 42000)))

        self.commit(change)

    def step_resize(self, dice: random.Random) -> None:
        """A value of a few pages grows, shrinks or becomes small, so that runs and single pages change places."""

        def change(txn: WriteTxn, state: State) -> None:
            for number in range(3):
                size = dice.choice((10, 8000, 16000, 33000))
                self.put(txn, state, TREES[0], b"run%d" % number, self.value(dice, size))

        self.commit(change)

    def step_clear(self, dice: random.Random) -> None:
        """A tree is dropped."""

        def change(txn: WriteTxn, state: State) -> None:
            tree = dice.choice(TREES)
            for name, key in [key for key in state if key != USER]:
                if name == tree:
                    del state[name, key]
            try:
                txn.tree(tree).drop()
            except NotFound:
                self.put(txn, state, tree, self.key(dice, tree), b"x")

        self.commit(change)

    def step_abort(self, dice: random.Random) -> None:
        txn, state = self.begin()
        for _ in range(4):
            self.change(txn, state, dice)
        txn.abort()

    def step_savepoint(self, dice: random.Random) -> None:
        def change(txn: WriteTxn, state: State) -> None:
            self.change(txn, state, dice)
            txn.savepoint()
            tried = dict(state)
            self.change(txn, tried, dice)
            self.change(txn, tried, dice)
            if dice.random() < 0.5:
                txn.rollback()
            else:
                txn.release()
                state.clear()
                state.update(tried)
            self.change(txn, state, dice)

        self.commit(change)

    def step_checkpoint(self, dice: random.Random) -> None:
        self.env.checkpoint()

    def step_overlap(self, dice: random.Random) -> None:
        """Transactions are committed between the disk calls of a checkpoint."""
        failures: list[BaseException] = []
        large = dice.random() < 0.3

        def commit_between(action: str) -> None:
            try:
                if not failures and dice.random() < 0.6:
                    if large:
                        self.step_fill(dice)
                    else:
                        self.commit(lambda txn, state: self.change(txn, state, dice))
            except BaseException as failure:
                failures.append(failure)

        self.step_put(dice)
        self.disk.hook(commit_between)
        self.env.checkpoint()
        self.disk.hook(None)
        if failures:
            raise failures[0]

    def step_straddle(self, dice: random.Random) -> None:
        """A checkpoint runs while a transaction is being executed, which is then committed or undone."""
        self.step_put(dice)
        txn, state = self.begin()
        for _ in range(3):
            self.change(txn, state, dice)
        self.env.checkpoint()
        self.change(txn, state, dice)
        if dice.random() < 0.5:
            txn.abort()
            return
        number = self.end(txn, state)
        txn.commit()
        self.disk.mark_ack(number)

    def step_busy(self, dice: random.Random) -> None:
        """A checkpoint that an old reader keeps from beginning, with transactions around it."""
        self.step_put(dice)
        reader = self.env.read()
        self.step_overwrite(dice)
        with suppress(Busy):
            self.env.checkpoint(0)
        self.step_overwrite(dice)
        reader.close()

    def step_sealed(self, dice: random.Random) -> None:
        """Two transactions on their way to the journal at once."""
        self.disk.hold()
        pending = []
        for _ in range(2):
            txn, state = self.begin()
            self.change(txn, state, dice)
            number = self.end(txn, state)
            pending.append(txn.seal())
        self.disk.let_go()
        for commit in pending:
            commit.wait()
        self.disk.mark_ack(number)

    def step_roll(self, dice: random.Random) -> None:
        """Until the journal in use is full and the next one is."""
        before = self.journal_in_use()
        for _ in range(JOURNAL_ROLL_TRIES_MAX):
            self.step_fill(dice)
            if self.journal_in_use() != before:
                break
        self.commit(lambda txn, state: self.put(txn, state, TREES[0], b"roll", b"done"))

    def step_fill(self, dice: random.Random) -> None:
        """What takes much room in the journal and little in the data file."""
        value = dice.randbytes(dice.randrange(60000, 90000))
        self.commit(lambda txn, state: self.put(txn, state, TREES[0], b"roll", value))

    def journal_in_use(self) -> str:
        """The file of the last durable or synced write to a journal."""
        for call in range(self.disk.calls - 1, -1, -1):
            if self.disk.kind(call) == "write":
                return self.disk.describe(call).split(" offset")[0]
        return ""

    def step_grow(self, dice: random.Random) -> None:
        """The data file gets longer."""

        def change(txn: WriteTxn, state: State) -> None:
            self.put(txn, state, TREES[0], b"grow", b"%d" % self.last * 1100000)

        if self.env.statistics()["file_pages"] < 1000:
            self.commit(change)
            self.commit(lambda txn, state: self.put(txn, state, TREES[0], b"grow", b"small again"))

    def step_close(self, dice: random.Random) -> None:
        self.env.close()
        self.env = Env.open(self.disk, checkpoint_bytes=NEVER)

    def close(self) -> None:
        self.env.close()

    @staticmethod
    def read(disk: SimDisk, deep: bool) -> tuple[int, State]:
        env = Env.open(disk, checkpoint_bytes=NEVER)
        state: State = {}
        with env.read() as txn:
            number = txn.id
            for name in TREES:
                try:
                    tree = txn.tree(name)
                except NotFound:
                    continue
                for key, value in tree.items():
                    state[name, key] = value
        if number:
            state[USER] = env.user_txn
        findings = check_environment(env) if deep else []
        env.close()
        assert not findings, "\n".join(findings)
        return number, state


class DocumentWorld(World):
    """Batches of puts and deletes through the merger, on a document store.

    The state holds documents by id; under PLACES the collection of every id, also of a deleted one; under LEFT which id
    has left which collection for another one or for a conflict; under VERSIONS change vector and body of each version
    of each id in conflict; under KNOWN what the database has heard of others.
    """

    kinds = (
        "put", "overwrite", "delete", "batch", "move", "refused", "big", "checkpoint", "overlap", "roll", "close",
        "apply", "resolve",
    )  # fmt: skip
    weights = (6, 8, 5, 6, 3, 2, 3, 4, 3, 1, 2, 5, 2)
    sequence_kinds = ("put", "overwrite", "delete", "move", "big", "apply", "checkpoint", "roll", "close")

    def __init__(self, disk: SimDisk, states: dict[int, State] | None = None, last: int = 0) -> None:
        super().__init__(disk, states, last)
        if states is None:
            self.store = DocumentStore.create(disk, bytes(range(16)), "A")
            self.last = self.store.environment()["published_txn"]
            self.states[self.last] = {}
            disk.mark_try(self.last)
            disk.mark_ack(self.last)
        else:
            self.store = DocumentStore.open(disk, "A")
        self.writer = DocumentWriter(self.store)

    def put(
        self, batch: Batch, state: State, id: str, size: int, dice: random.Random, collection: str | None = None
    ) -> None:
        self.serial += 1
        text = "x" * size if dice.random() < 0.5 else dice.randbytes(size // 2).hex()
        places = state.get(PLACES, {})
        before = places.get(id)
        drop_versions(state, id)
        collection = before if id in state else collection or id.split("/")[0]
        if before not in (None, collection):
            state[LEFT] = state.get(LEFT, frozenset()) | {(before, id)}
        state[PLACES] = {**places, id: collection}
        body = {"serial": self.serial, "last": self.last, "text": text, "@metadata": {"@collection": collection}}
        batch.put(id, json.dumps(body).encode())
        del body["@metadata"]
        state[id] = body

    def id(self, dice: random.Random) -> str:
        return f"{dice.choice(('users', 'orders'))}/{dice.randrange(14)}"

    def execute(self, batch: Batch, state: State, refused: bool = False) -> None:
        number = self.last + 1
        if not refused:
            self.states[number] = state
            self.disk.mark_try(number)
            self.state = state
            self.last = number
        try:
            self.writer.execute(batch)
        except ConcurrencyError:
            assert refused
            return
        assert not refused and self.store.environment()["published_txn"] == number
        self.disk.mark_ack(number)

    def puts(self, dice: random.Random, ids: list[str], size: int) -> None:
        batch, state = Batch(), dict(self.state)
        for id in ids:
            self.put(batch, state, id, size, dice)
        self.execute(batch, state)

    def some(self, dice: random.Random) -> str:
        ids = ids_of(self.state)
        return dice.choice(ids) if ids else self.id(dice)

    def step_put(self, dice: random.Random) -> None:
        self.puts(dice, [self.id(dice)], dice.choice((10, 100, 1500)))

    def step_overwrite(self, dice: random.Random) -> None:
        self.puts(dice, [self.some(dice)], dice.choice((10, 100, 1500)))

    def step_big(self, dice: random.Random) -> None:
        self.puts(dice, [self.id(dice)], dice.randrange(4000, 40000))

    def step_delete(self, dice: random.Random) -> None:
        if ids_of(self.state):
            batch, state = Batch(), dict(self.state)
            id = self.some(dice)
            batch.delete(id)
            del state[id]
            self.execute(batch, state)

    def step_move(self, dice: random.Random) -> None:
        """A document goes to another collection, in one batch or in two."""
        self.step_delete(dice)
        batch, state = Batch(), dict(self.state)
        gone = sorted(set(state.get(PLACES, ())) - set(ids_of(state)))
        for id in dice.sample(gone, min(len(gone), 3)):
            self.put(batch, state, id, 100, dice, dice.choice(("users", "orders", "moved")))
        id = self.some(dice)
        if id not in state.get(VERSIONS, {}):  # else the deletion goes to the collection of one of the versions
            batch.delete(id)
            state.pop(id, None)
        self.put(batch, state, id, 100, dice, dice.choice(("users", "orders", "moved")))
        self.execute(batch, state)

    def mixed(self, dice: random.Random) -> tuple[Batch, State]:
        batch, state = Batch(), dict(self.state)
        for _ in range(dice.randrange(2, 12)):
            if ids_of(state) and dice.random() < 0.3:
                id = dice.choice(ids_of(state))
                batch.delete(id)
                del state[id]
            else:
                self.put(batch, state, self.id(dice), dice.choice((10, 100, 1500)), dice)
        return batch, state

    def step_batch(self, dice: random.Random) -> None:
        self.execute(*self.mixed(dice))

    def step_apply(self, dice: random.Random) -> None:
        """Another instance, which knows nothing of this one, or everything, has written some of the ids."""
        other = DocumentStore.create(None, bytes(range(16, 32)), "B", in_memory=True)
        writer = DocumentWriter(other)
        batch = Batch()
        if dice.random() < 0.4:
            add_frame(batch, outgoing(self.store, 0, "", 1000, 1 << 24).frame)
            writer.execute(batch)
            batch = Batch()
        for id in {self.id(dice) for _ in range(dice.randrange(1, 4))}:
            batch.delete(id)
            if dice.random() < 0.8:
                self.put(batch, {}, id, dice.choice((10, 1500, 9000)), dice, dice.choice(("users", "orders")))
        writer.execute(batch)
        sent = outgoing(other, 0, "", 1000, 1 << 24)
        writer.close()
        other.close()
        batch = Batch()
        batch.set_position("replication/b", self.last)
        add_frame(batch, sent.frame, sent.vector)
        self.execute_and_see(batch)

    def step_resolve(self, dice: random.Random) -> None:
        """A conflict ends, by a resolution or by a write."""
        found = sorted(self.state.get(VERSIONS, {}))
        if not found:
            self.step_apply(dice)
            return
        id = dice.choice(found)
        batch = Batch()
        if dice.random() < 0.5:
            versions = [version.change_vector for version in conflict_versions(self.store, id)]
            body = None if dice.random() < 0.3 else b'{"resolved":1,"@metadata":{"@collection":"users"}}'
            batch.resolve(id, body, versions)
        elif dice.random() < 0.5:
            batch.delete(id)
        else:
            batch.put(id, b'{"resolved":2,"@metadata":{"@collection":"orders"}}')
        self.execute_and_see(batch)

    def execute_and_see(self, batch: Batch) -> None:
        """As execute, of what the versions here decide: the state is what can be read then (tests/core/test_versions.py
        and test_replication.py say that it is right)."""
        self.execute(batch, {})
        self.state = self.states[self.last] = read_state(self.store)

    def step_refused(self, dice: random.Random) -> None:
        """A batch whose last command is refused leaves nothing."""
        batch, state = self.mixed(dice)
        batch.put("users/none", b"{}", "A:999999-AAECAwQFBgcICQoLDA0ODw")
        self.execute(batch, state, refused=True)

    def step_checkpoint(self, dice: random.Random) -> None:
        self.store.checkpoint()

    def step_overlap(self, dice: random.Random) -> None:
        """Batches are executed between the disk calls of a checkpoint."""
        failures: list[BaseException] = []

        def execute_between(action: str) -> None:
            try:
                if not failures and dice.random() < 0.6:
                    self.step_overwrite(dice)
            except BaseException as failure:
                failures.append(failure)

        self.step_put(dice)
        self.disk.hook(execute_between)
        self.store.checkpoint()
        self.disk.hook(None)
        if failures:
            raise failures[0]

    def step_roll(self, dice: random.Random) -> None:
        for _ in range(5):
            self.puts(dice, ["users/roll"], 120000)

    def step_close(self, dice: random.Random) -> None:
        self.close()
        self.store = DocumentStore.open(self.disk, "A")
        self.writer = DocumentWriter(self.store)

    def close(self) -> None:
        self.writer.close()
        self.store.close()

    @staticmethod
    def read(disk: SimDisk, deep: bool) -> tuple[int, State]:
        store = DocumentStore.open(disk, "A")
        number = store.environment()["published_txn"]
        state = read_state(store)
        store.close()
        if deep:
            with Env.open(disk, read_only=True) as env, env.read() as txn:
                findings = check_transaction(txn, env.statistics()["file_pages"])[0] + check_documents(txn)
            assert not findings, "\n".join(findings)
        return number, state


def read_state(store: DocumentStore) -> State:
    """What a store of documents holds, as the states of a DocumentWorld say it."""
    state: State = {}
    places = {}
    versions: dict[str, frozenset[tuple[str, bytes]]] = {}
    for item in DocumentStream.items_since(store, 0):
        if item.kind == "CONFLICT":
            versions[item.id] = versions.get(item.id, frozenset()) | {(item.change_vector, item.json)}
            continue
        places[item.id] = item.collection
        if item.kind == "DOCUMENT":
            body = json.loads(item.json)
            body.pop("@metadata", None)
            state[item.id] = body
    counted = store.counts()[0]
    assert counted == len(state), f"{counted} documents are counted, {len(state)} are there"
    assert store.conflict_counts() == (len(versions), sum(map(len, versions.values())))
    known = frozenset(entry for entry in vectors.parse(store.change_vector) if entry[0] != "A")
    snapshot = DocumentSnapshot(store)
    left = frozenset(
        (name, id)
        for name, _, _, _ in snapshot.collections()
        for _, id, _ in snapshot.departed_since(name, 0, count=DEPARTURES_MAX)
    )
    snapshot.close()
    found = {PLACES: places, LEFT: left, VERSIONS: versions, KNOWN: known}
    return {**state, **{key: value for key, value in found.items() if value}}


def drop_versions(state: State, id: str) -> None:
    """The id is in conflict no more."""
    left = {key: versions for key, versions in state.get(VERSIONS, {}).items() if key != id}
    state.pop(VERSIONS, None)
    if left:
        state[VERSIONS] = left


def ids_of(state: State) -> list[str]:
    """Of the documents of a state."""
    return sorted(key for key in state if isinstance(key, str))

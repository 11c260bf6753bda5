"""The world of an index for the crash explorer: its environment on a simulated disk, fed from a database that no crash
touches, as a database that was synced is.

An index that loads documents has its references beside it. They are committed before it, in an environment of their
own, whose crashes are those of any index; so what matters is that the two may be met as of different commits: the
references as of the index's commit, or as of the one that came next for them and not for the index.

Steps change the database, run batches (whole ones and such that end in the middle), purge what the index has read,
write checkpoints and open the index again. After each batch that leaves nothing to do the index must equal what a loop
over the documents gives. The state of a transaction is all that the index says after it. A life goes on with the
database as it was at some moment between that transaction and the next one: the index is behind, and catches up.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pynori_core.check_index import check_index
from pynori_core.check_trees import check_transaction
from pynori_core.command import Batch
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.env import Env
from pynori_core.index_store import IndexSnapshot, IndexStore
from pynori_core.items import DocumentStore
from pynori_core.sim_disk import SimDisk

from pynori import limits
from pynori.indexes.auto import AutoField, AutoGroup, AutoIndexDefinition
from pynori.indexes.batch import run_batch, settled
from pynori.indexes.definition import IndexDefinition
from pynori.indexes.feeders import make_feeder
from pynori.indexes.progress import Progress, read_errors
from pynori.indexes.references import References
from pynori.indexes.settings import WorkSettings
from pynori.js.scripts import Scripts
from pynori.runtime.clock import ManualClock
from tests.core.crash_history import NEVER, State, World

KIND_KEY = "kind of definition"
NAMES = ("Ann", "Bob", "Cyd")
WORDS = ("alpha", "beta", "gamma", "delta")
COLLECTIONS = ("Users", "Dogs", "Cats")
IDS = 30
DOGS_FROM = 25
SMALL_BATCH = 3
# (id, collection, JSON): put; without a collection: delete; a number: purge tombstones up to that etag.
Operation = tuple[str, str, str] | int

TEXTS = [
    "from u in docs.Users select new { u.Name, u.Number, u.Text }",
    "from d in docs.Dogs select new { d.Name, d.Number, d.Text }",
]
LOADING = """from u in docs.Users let d = LoadDocument(u.Friend, "Dogs")
    select new { u.Name, u.Number, Friend = d.Name }"""
ROWS = "from u in docs.Users select new { u.Name, Total = u.Number, Count = 1 }"
REDUCE = (
    "from r in results group r by r.Name into g "
    "select new { Name = g.Key, Total = g.Sum(x => x.Total), Count = g.Sum(x => x.Count) }"
)


def definitions() -> dict[str, AutoIndexDefinition | IndexDefinition]:
    total = AutoField("Total", aggregation="Sum", path="Number")
    fields = [AutoField("Name"), AutoField("Number"), AutoField("Text", search=True)]
    return {
        "auto": AutoIndexDefinition.of("Users", fields),
        "all": AutoIndexDefinition.of(None, fields),
        "static": IndexDefinition.from_json({"Name": "S", "Maps": TEXTS, "Fields": {"Text": {"Indexing": "Search"}}}),
        "auto reduce": AutoIndexDefinition.of("Users", [AutoField("Name"), total], [AutoGroup("Name")]),
        "reduce": IndexDefinition.from_json({"Name": "R", "Maps": [ROWS], "Reduce": REDUCE}),
        "loading": IndexDefinition.from_json({"Name": "L", "Maps": [LOADING]}),
    }


READS = {
    "auto": ("Users",), "all": COLLECTIONS, "static": ("Users", "Dogs"), "auto reduce": ("Users",),
    "reduce": ("Users",), "loading": ("Users",),
}  # fmt: skip
LOADED = "dogs"  # by the kind "loading"


class IndexState(dict[Any, Any]):
    """What the index says after a transaction, and the part of the database's history at whose end it may be met."""

    def __init__(self, log: list[list[Operation]], first: int) -> None:
        super().__init__()
        self.log = log
        self.first = first
        self.end: int | None = None  # None: the whole log
        self.references: list[dict[str, list[str]]] = []  # what was noted in each of their commits, of all time
        self.references_first = 0  # how many of them there are at least,
        self.references_end = 0  # and at most


class Noted(References):
    """References that can be had again as of each of their commits."""

    def __init__(self, log: list[dict[str, list[str]]]) -> None:
        super().__init__(IndexStore.create(None))
        self.log: list[dict[str, list[str]]] = []
        for each in log:
            self._noted = dict(each)
            self.commit()

    def commit(self) -> None:
        if self._noted:
            self.log.append(self._noted)
        super().commit()


class Documents:
    """A database in memory, as feeding sees it; the same operations give the same etags."""

    def __init__(self, log: list[list[Operation]]) -> None:
        self.log: list[list[Operation]] = []
        self.scripts = Scripts()
        self.kept: dict[str, tuple[str, dict[str, Any]]] = {}
        self.store = DocumentStore.create("", bytes(range(16)), "A", in_memory=True)
        self.writer = DocumentWriter(self.store)
        for operations in log:
            self.execute(operations)

    def execute(self, operations: list[Operation]) -> None:
        batch = Batch()
        for each in operations:
            if isinstance(each, int):
                batch.purge_tombstones(each, 10_000)
                continue
            id, collection, body = each
            if collection:
                batch.put(id, body.encode())
                self.kept[id] = (collection, json.loads(body))
            else:
                batch.delete(id)
                self.kept.pop(id, None)
        self.writer.execute(batch)
        self.log.append(operations)

    def snapshot(self) -> DocumentSnapshot:
        return DocumentSnapshot(self.store)

    def close(self) -> None:
        self.writer.close()
        self.store.close()
        self.scripts.close()


class IndexWorld(World):
    """One index of a random kind."""

    life_share = 4
    kinds = ("write", "index", "part", "change", "purge", "checkpoint", "overlap", "reopen")
    weights = (6, 8, 4, 6, 2, 4, 3, 2)
    first_kind = "change"
    sequence_kinds = ("change", "part", "purge", "checkpoint", "overlap", "reopen")

    def __init__(self, disk: SimDisk, states: dict[int, State] | None = None, last: int = 0) -> None:
        super().__init__(disk, states, last)
        if states is None:
            self.documents = Documents([])
            self.references = Noted([])
            self.store = IndexStore.create(disk, checkpoint_bytes=NEVER)
            self.kind = ""
        else:
            state = states[last]
            assert isinstance(state, IndexState)
            end = len(state.log) if state.end is None else state.end
            dice = random.Random(f"behind {last} {end}")
            references = dice.randint(state.references_first, state.references_end)
            # Newer references come from a batch that has read the newest documents.
            at = end if references > state.references_first else dice.randint(state.first, end)
            self.documents = Documents(state.log[:at])
            self.references = Noted(state.references[:references])
            self.store = IndexStore.open(disk, checkpoint_bytes=NEVER)
            self.load()

    def run(self, seed: object, steps: int) -> list[str]:
        if not self.kind:
            self.begin(random.Random(f"kind {seed}").choice(sorted(READS)))
        return super().run(seed, steps)

    def step(self, kind: str, dice: random.Random) -> None:
        if not self.kind:
            self.begin(dice.choice(sorted(READS)))
        super().step(kind, dice)

    def begin(self, kind: str) -> None:
        self.try_next()
        with self.store.write() as writer:
            writer.set_meta(KIND_KEY, kind.encode())
        self.progress = Progress()
        self.done()
        self.load()

    def load(self) -> None:
        """What a server does when it opens an index."""
        with self.store.read() as snapshot:
            self.kind = (snapshot.meta(KIND_KEY) or b"").decode()
            self.progress = Progress.read(snapshot)
            self.errors = read_errors(snapshot)
        self.feeder = make_feeder(definitions()[self.kind], self.documents)  # type: ignore[arg-type]
        if self.feeder.loaded_collections:
            self.feeder.references = self.references

    # Transactions.

    def try_next(self) -> None:
        number = self.store.statistics()["published_txn"] + 1
        self.disk.mark_try(number)
        before = self.states.get(self.last)
        if isinstance(before, IndexState) and before.log is self.documents.log:
            before.end = len(self.documents.log)
        self.states[number] = IndexState(self.documents.log, len(self.documents.log))

    def done(self) -> None:
        number = self.store.statistics()["published_txn"]
        if number not in self.states:
            return
        with self.store.read() as snapshot:
            self.states[number].update(said(snapshot))
            assert Progress.read(snapshot) == self.progress, "the index does not know how far it has come"
        state, before = self.states[number], self.states.get(self.last)
        if isinstance(before, IndexState) and before is not state:
            before.references_end = len(self.references.log)
        if isinstance(state, IndexState):
            state.references = self.references.log
            state.references_first = state.references_end = len(self.references.log)
        self.last = number
        self.disk.mark_ack(number)

    def batch(self) -> bool:
        """One batch; whether there is more to do."""
        self.try_next()
        documents: Any = self.documents
        outcome = settled(run_batch(
            documents, self.store, self.feeder, self.feeder.references, self.progress, self.errors, ManualClock(),
            WorkSettings(),
        ))  # fmt: skip
        self.progress, self.errors = outcome.progress, outcome.errors
        assert not self.errors, self.errors
        if outcome.committed:
            self.done()
        if not outcome.more:
            self.compare()
        return outcome.more

    def compare(self) -> None:
        """The index equals a loop over the documents."""
        with self.store.read() as snapshot:
            found = content(snapshot)
        wanted = naive(self.kind, self.documents.kept)
        wrong = [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]
        told = [f"{key}: {found.get(key)} in place of {wanted.get(key)}" for key in wrong[:3]]
        assert not wrong, f"{self.kind}: {'; '.join(told)}"

    # Steps.

    def write(self, dice: random.Random, count: int, size: int) -> None:
        operations: list[Operation] = []
        kept = {id: place for id, (place, _) in self.documents.kept.items()}
        for _ in range(count):
            number = dice.randrange(IDS)
            id = f"x/{number}"
            if id in kept and dice.random() < 0.4:
                operations.append((id, "", ""))
                del kept[id]
                if dice.random() < 0.5:
                    continue
            # What is loaded is of the collection that the map names: changes of others it does not follow.
            collection = kept.setdefault(id, "Dogs" if number >= DOGS_FROM else dice.choice(COLLECTIONS))
            body = {
                "Name": dice.choice(NAMES), "Number": dice.randrange(50), "Text": " ".join(dice.choices(WORDS, k=size)),
                "Friend": f"x/{dice.randrange(DOGS_FROM, IDS)}", "@metadata": {"@collection": collection},
            }  # fmt: skip
            operations.append((id, collection, json.dumps(body)))
        self.documents.execute(operations)

    def step_write(self, dice: random.Random) -> None:
        self.write(dice, dice.randrange(1, 12), 3)

    def step_index(self, dice: random.Random) -> None:
        while self.batch():
            pass

    def step_part(self, dice: random.Random) -> None:
        """A batch that ends early."""
        self.step_write(dice)
        with small_batches():
            self.batch()

    def step_change(self, dice: random.Random) -> None:
        self.write(dice, dice.choice((1, 5, 30)), dice.choice((3, 200)))
        self.step_index(dice)

    def step_purge(self, dice: random.Random) -> None:
        """What the index has read may go."""
        snapshot = self.documents.snapshot()
        changed = {name.lower(): etag for name, _, _, etag in snapshot.collections()}
        last_etag = snapshot.counts()[2]
        snapshot.close()
        names = [each.lower() for each in READS[self.kind] if each.lower() in changed]
        reached = {each: self.progress.etag_of(each) for each in names}
        if self.kind == "loading" and LOADED in changed:
            reached[LOADED] = self.progress.references.get(LOADED, 0)
        behind = [etag for name, etag in reached.items() if changed[name] > etag]
        self.documents.execute([min(behind, default=last_etag)])

    def step_checkpoint(self, dice: random.Random) -> None:
        self.store.checkpoint()

    def step_overlap(self, dice: random.Random) -> None:
        """Batches are committed between the disk calls of a checkpoint."""
        failures: list[BaseException] = []

        def index_between(action: str) -> None:
            try:
                if not failures and dice.random() < 0.5:
                    self.step_change(dice)
            except BaseException as failure:
                failures.append(failure)

        self.step_change(dice)
        self.disk.hook(index_between)
        self.store.checkpoint()
        self.disk.hook(None)
        if failures:
            raise failures[0]

    def step_reopen(self, dice: random.Random) -> None:
        self.store.close()
        self.store = IndexStore.open(self.disk, checkpoint_bytes=NEVER)
        self.load()

    def close(self) -> None:
        """It catches up first."""
        self.step_index(random.Random(0))
        self.store.close()
        self.documents.close()

    @staticmethod
    def read(disk: SimDisk, deep: bool) -> tuple[int, State]:
        with IndexStore.open(disk, checkpoint_bytes=NEVER) as store:
            number = store.statistics()["published_txn"]
            with store.read() as snapshot:
                state = said(snapshot)
        if deep:
            with Env.open(disk, read_only=True) as env, env.read() as txn:
                findings = check_transaction(txn, env.statistics()["file_pages"])[0] + check_index(txn)
            assert not findings, "\n".join(findings)
        return number, state


@contextmanager
def small_batches() -> Iterator[None]:
    """Batches of a few documents, inside."""
    before = limits.INDEX_BATCH_DOCUMENTS_MAX
    limits.INDEX_BATCH_DOCUMENTS_MAX = SMALL_BATCH  # type: ignore[misc]
    try:
        yield
    finally:
        limits.INDEX_BATCH_DOCUMENTS_MAX = before  # type: ignore[misc]


def said(snapshot: IndexSnapshot) -> State:
    """All that an index says: its content, how often each term is there, and how far it has come."""
    state: State = {("content", key): value for key, value in content(snapshot).items()}
    for field in snapshot.fields():
        state["terms", field.name] = snapshot.terms(field.number)
    state["progress"] = snapshot.meta("progress")
    return state


def content(snapshot: IndexSnapshot) -> State:
    """Terms of each document by field; results of each group."""
    entries = snapshot.all()
    stored = snapshot.stored(entries)
    if any(stored):
        return {(each := json.loads(text or b"{}"))["Name"]: each for text in stored}
    ids = snapshot.documents(entries)
    found: State = {id: {} for id in ids}
    for field in snapshot.fields():
        for id, values in zip(ids, snapshot.values(entries, field.number), strict=True):
            found[id][field.name.removeprefix("search(").rstrip(")")] = values
    return found


def naive(kind: str, kept: dict[str, tuple[str, dict[str, Any]]]) -> State:
    """The same from a loop over the documents."""
    read = {id: body for id, (collection, body) in kept.items() if collection in READS[kind]}
    if kind == "loading":
        names = {id: body["Name"].lower() for id, (collection, body) in kept.items() if collection == "Dogs"}
        return {
            id: {
                "Name": [body["Name"].lower()], "Number": [body["Number"]],
                "Friend": [names[body["Friend"]]] if body["Friend"] in names else [],
            }
            for id, body in read.items()
        }
    if "reduce" not in kind:
        return {
            id: {"Name": [body["Name"].lower()], "Number": [body["Number"]], "Text": sorted(set(body["Text"].split()))}
            for id, body in read.items()
        }
    groups: State = {}
    for body in read.values():
        group = groups.setdefault(body["Name"], {"Name": body["Name"], "Total": 0, "Count": 0})
        group["Total"] += body["Number"]
        group["Count"] += 1
    return groups

"""One index of a database as the rest of the server sees it: what it is, how far it has come, reading and waiting.

An Index belongs to the event loop; `read` alone may be called from any thread. It may be replaced while somebody holds
it: reading and waiting then go on with its successor, so that nobody fails because a definition changed.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakSet

from pynori_core.errors import Closed, CorruptError
from pynori_core.index_store import IndexSnapshot, IndexStore

from pynori import limits
from pynori.errors import IndexDoesNotExist, OperationFailed, RequestTimeout
from pynori.indexes.auto import AutoIndexDefinition
from pynori.indexes.batch import Outcome
from pynori.indexes.definition import REPLACEMENT_PREFIX, IndexDefinition
from pynori.indexes.feeding import HILO, Feeder
from pynori.indexes.fields import FieldOptions
from pynori.indexes.progress import IndexingError, Progress, read_errors, write_errors
from pynori.indexes.references import References
from pynori.indexes.settings import WorkSettings
from pynori.indexes.tables import Definition
from pynori.runtime import log

if TYPE_CHECKING:
    from pynori.documents.database import Database
    from pynori.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch that was committed."""

    number: int
    started: str
    documents: int  # documents and tombstones that were looked at
    duration_ms: float
    more: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "Id": self.number,
            "Started": self.started,
            "InputCount": self.documents,
            "DurationInMs": round(self.duration_ms, 2),
            "BatchIsFull": self.more,
        }


class Index:
    """One index. `name` begins with `ReplacementOf/` while it is built beside the one that it will replace."""

    def __init__(
        self,
        definition: Definition,
        database: Database,
        clock: Clock,
        created: str,
        *,
        store: IndexStore | None = None,
        path: Path | None = None,
        feeder: Feeder | None = None,
        references: References | None = None,
        broken: str | None = None,
        replaces: bool = False,
    ) -> None:
        self.definition = definition
        self._named: Definition | None = None  # whose name `_name` is
        self._name = ""
        self.is_replacement = replaces
        self.created = created
        self.path = path  # of its environment; None: in memory, or it has none
        self.store = store  # None: Faulty
        self.feeder = feeder
        self.references = references
        self.settings = WorkSettings()
        self.broken = broken  # why it is Faulty: it does not compile, or its files cannot be opened
        self.is_damaged = False  # its files are what is broken
        self.is_paused = False
        self.was_current = False  # queries have seen it up to date since it was opened
        self.is_idle = False  # an automatic one that nobody has asked for a while
        self.successor: Index | None = None
        self.last_query: datetime | None = None
        self.queried_ms = clock.monotonic_ms()  # when it was last asked, or made
        self.mapped_per_second = 0.0
        self.batches: deque[BatchReport] = deque(maxlen=limits.INDEX_BATCHES_SHOWN)
        self.is_rolled = False  # the cluster was told that its rolling deployment is done here
        self.hurry = 0  # how many wait for it
        self.retry_at_ms = 0.0
        self.wake: Callable[[], None] = _nobody
        self.tell_broken: Callable[[], object] = _nobody  # from any thread
        self._database = database
        self._clock = clock
        self._moved = asyncio.Event()
        self._current_at = -1  # the database's last etag when it was last seen to be up to date,
        self._current_progress: Progress | None = None  # and how far it had come
        self._snapshots: WeakSet[IndexSnapshot] = WeakSet()  # handed out
        self._snapshots_lock = threading.Lock()  # of the set: any thread may add to it
        self.progress = Progress()
        self.errors: list[IndexingError] = []
        if store is not None:
            with store.read() as snapshot:
                self.progress = Progress.read(snapshot)
                self.errors = read_errors(snapshot)

    # ------------------------------------------------------------ what it is

    @property
    def name(self) -> str:
        # Every query asks; an automatic index makes its name from its fields.
        if self._named is not self.definition:
            self._named, self._name = self.definition, self.definition.name
        return REPLACEMENT_PREFIX + self._name if self.is_replacement else self._name

    @property
    def is_auto(self) -> bool:
        return isinstance(self.definition, AutoIndexDefinition)

    @property
    def is_map_reduce(self) -> bool:
        return self.definition.is_map_reduce

    @property
    def collections(self) -> tuple[str, ...] | None:
        """Collections that it reads; None: all."""
        return None if self.feeder is None else self.feeder.collections

    @property
    def type(self) -> str:
        return "Faulty" if self.store is None else self.definition.type

    @property
    def state(self) -> str:
        """Normal, Disabled, Idle or Error."""
        if self.broken is not None or self.progress.failure is not None:
            return "Error"
        return "Idle" if self.is_idle and self.definition.state == "Normal" else self.definition.state

    @property
    def status(self) -> str:
        """Running, Paused, Disabled or Pending: what the worker does."""
        if self.state in ("Disabled", "Error"):
            return "Disabled"
        return "Paused" if self.is_paused else "Running"

    @property
    def may_run(self) -> bool:
        return self.store is not None and self.state in ("Normal", "Idle") and not self.is_paused

    def options_of(self, field: str) -> FieldOptions:
        """How a field is kept. Of an automatic index the way is part of the field's name."""
        if isinstance(self.definition, IndexDefinition):
            return self.definition.options_of(field)
        if field.startswith("search("):
            return FieldOptions(indexing="Search")
        return FieldOptions(indexing="Exact") if field.startswith("exact(") else FieldOptions()

    @property
    def declared_fields(self) -> frozenset[str] | None:
        """The fields that its entries can have; None: any."""
        return None if self.feeder is None else self.feeder.declared_fields

    # ------------------------------------------------------------ reading

    def read(self) -> IndexSnapshot:
        """The index as of its last commit, to be closed soon. From any thread.

        Raises: OperationFailed for an index that has failed; IndexDoesNotExist when it was deleted meanwhile.
        """
        index: Index = self
        while index.successor is not None:
            index = index.successor
        index.check_usable()
        assert index.store is not None
        try:
            snapshot = index.store.read()
            snapshot.on_damage = index.isolate
            with index._snapshots_lock:
                index._snapshots.add(snapshot)
            return snapshot
        except CorruptError as error:
            index.isolate(error)
        except Closed:
            if index.successor is not None:
                return index.successor.read()
            raise IndexDoesNotExist(f"There is no index with '{index.name}' name.") from None

    def isolate(self, error: CorruptError) -> NoReturn:
        """A reader has met damage in its files: nobody reads or writes them from now on. From any thread.

        Raises: OperationFailed, as every query from now on.
        """
        if self.broken is None:
            self.broken, self.is_damaged = str(error), True
            log.error("indexes", f"index {self.name} is damaged: {error}", db=self._database.name)
            self.tell_broken()
        raise OperationFailed(self._why_faulty()) from error

    def _why_faulty(self) -> str:
        return f"Index '{self.name}' is faulty and cannot be queried: {self.broken}"

    def end_reading(self) -> None:
        """Close every snapshot that was handed out, since the database is closing."""
        with self._snapshots_lock:
            snapshots = list(self._snapshots)
        for each in snapshots:
            each.close()

    def check_usable(self) -> None:
        """Raises: OperationFailed when it cannot answer queries, with the reason."""
        if self.broken is not None:
            raise OperationFailed(self._why_faulty())
        if self.progress.failure is not None:
            why = self.progress.failure
            raise OperationFailed(f"Index '{self.name}' is in error state and cannot be queried: {why}")

    def note_query(self) -> None:
        """It was asked."""
        self.last_query = self._clock.now()
        self.queried_ms = self._clock.monotonic_ms()

    # ------------------------------------------------------------ how far it has come

    def is_stale(self, cutoff_etag: int | None = None) -> bool:
        """Whether documents up to an etag (None: all there are) may be missing."""
        if cutoff_etag is not None:
            return bool(self._behind(cutoff_etag, first_only=True))
        # Every query asks. What was up to date stays so until something is written.
        last_etag, progress = self._database.last_etag, self.progress
        if self._current_at == last_etag and self._current_progress is progress:
            return False
        stale = bool(self._behind(None, first_only=True))
        if not stale:
            self._current_at, self._current_progress = last_etag, progress
        return stale

    def staleness_reasons(self, cutoff_etag: int | None = None) -> list[str]:
        """Why it is stale, for people; nothing when it is not."""
        return self._behind(cutoff_etag, first_only=False)

    def _behind(self, cutoff_etag: int | None, *, first_only: bool) -> list[str]:
        reasons: list[str] = []
        if self.feeder is None:
            return ["the index is faulty"]
        changed = self._database.collection_etags()
        for name in self._names(changed):
            last = changed.get(name, 0)
            wanted = last if cutoff_etag is None else min(last, cutoff_etag)
            reached = self.progress.etag_of(name)
            if wanted > reached:
                reasons.append(
                    f"There are still some documents to process from collection '{name}'. "
                    f"The last document etag in that collection is '{last}', the index has come to '{reached}'."
                )
                if first_only:
                    return reasons
        loaded = self.feeder.loaded_collections
        names: Collection[str] = changed if None in loaded else [each for each in loaded if each is not None]
        for name in names:
            last = changed.get(name, 0)
            wanted = last if cutoff_etag is None else min(last, cutoff_etag)
            reached = self.progress.references.get(name, 0)
            if wanted > reached:
                reasons.append(
                    f"There are still some document references to process from collection '{name}'. "
                    f"The last document etag in that collection is '{last}', the index has come to '{reached}'."
                )
                if first_only:
                    return reasons
        return reasons

    def _names(self, changed: dict[str, int]) -> list[str]:
        if self.collections is None:
            return [name for name in changed if name != HILO]
        return [name.lower() for name in self.collections]

    def has_work(self) -> bool:
        return self.may_run and bool(self._behind(None, first_only=True))

    def concerns(self, collections: Collection[str] | None) -> bool:
        """Whether documents of one of these collections (lower case; None: of any) change it, also by being loaded."""
        loaded = frozenset() if self.feeder is None else self.feeder.loaded_collections
        if self.collections is None or collections is None or None in loaded:
            return True
        reads = {each.lower() for each in self.collections} | loaded
        return any(each in collections for each in reads)

    @property
    def tombstones_needed_from(self) -> int:
        """Tombstones with a higher etag are still to be read."""
        if not self.is_stale():
            return self._database.last_etag
        names = self._names(self._database.collection_etags())
        etags = [self.progress.etag_of(name) for name in names]
        etags += [self.progress.references.get(each, 0) for each in self.feeder.loaded_collections if each] if (
            self.feeder is not None
        ) else []
        return min(etags, default=0)

    # ------------------------------------------------------------ waiting

    async def wait_non_stale(self, cutoff_etag: int | None = None, timeout_s: float = 15.0) -> bool:
        """Wait until documents up to an etag (None: all there are now) are in the index.

        False when time ran out, or the index has failed meanwhile and will not come to them.
        """
        cutoff = self._database.last_etag if cutoff_etag is None else cutoff_etag
        index: Index = self
        try:
            async with asyncio.timeout(min(timeout_s, limits.INDEX_WAIT_MS_MAX / 1_000)):
                while True:
                    while index.successor is not None:
                        index = index.successor
                    if not index.is_stale(cutoff):
                        return True
                    if index.state == "Error":
                        return False
                    await index.wait_moved()
        except TimeoutError:
            return False

    async def wait_or_fail(self, cutoff_etag: int | None = None, timeout_s: float = 15.0) -> None:
        """As wait_non_stale. Raises: RequestTimeout when time ran out, OperationFailed when the index has failed."""
        if not await self.wait_non_stale(cutoff_etag, timeout_s):
            index: Index = self
            while index.successor is not None:
                index = index.successor
            index.check_usable()
            raise RequestTimeout(f"Waited {timeout_s:g} s for the index '{self.name}', but it is still stale")

    async def wait_moved(self) -> None:
        """Return after the next commit of the index, or when something else about it changes."""
        self.hurry += 1
        try:
            self.wake()
            await self._moved.wait()
        finally:
            self.hurry -= 1

    def move(self) -> None:
        """Tell those who wait that something has changed."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    # ------------------------------------------------------------ of the worker

    async def clear_errors(self) -> None:
        """Forget the errors of documents."""
        store = self.store
        self.errors = []
        if store is not None:
            await asyncio.get_running_loop().run_in_executor(None, _clear_errors, store)

    def take(self, outcome: Outcome) -> None:
        """What a batch did is what holds now."""
        self.progress = outcome.progress
        self.errors = outcome.errors
        if outcome.documents:
            number = self.batches[-1].number + 1 if self.batches else 1
            began = outcome.progress.last_indexing or ""
            self.batches.append(BatchReport(number, began, outcome.documents, outcome.duration_ms, outcome.more))
            self.mapped_per_second = outcome.documents * 1_000.0 / max(outcome.duration_ms, 0.001)
        self.move()

    def retire(self, successor: Index | None) -> None:
        """Whoever holds this index goes on with its successor; None: it was deleted."""
        self.successor = successor
        self.move()

    def to_json(self) -> dict[str, Any]:
        """Its definition, as clients read it."""
        if isinstance(self.definition, AutoIndexDefinition):
            return {**self.definition.shown(), "State": self.state}
        return {**self.definition.to_json(), "Name": self.name, "State": self.state}


def _clear_errors(store: IndexStore) -> None:
    with store.write() as writer:
        write_errors(writer, [])


def _nobody() -> None:
    """Of an index without a worker."""

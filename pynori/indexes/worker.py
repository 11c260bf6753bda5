"""Keeps one index up to date: sleeps until the database has something new, then runs batches until it has not.

Batches run in a small pool of threads that all databases share and that stands back behind those that serve. After a
commit that nobody waited for the next one keeps a little distance, so that a steady stream of writes costs the disk
some syncs of the index a second, not one for each write. What fails is tried again later, after opening the files anew
when the engine writes to them no more; an index that fails for too many of its documents, or whose files are damaged,
stops and says why.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pynori_core.errors import CorruptError, EngineError, InvariantError, Poisoned, UnknownOutcome

from pynori import limits
from pynori.documents.database import Database
from pynori.errors import DatabaseClosed, PynoriError
from pynori.indexes.batch import Outcome, run_batch, settled
from pynori.indexes.index import Index
from pynori.indexes.progress import IndexingError
from pynori.runtime import log
from pynori.runtime.clock import Clock, wire_time

RANKS = {"High": 0, "Normal": 1, "Low": 2}


class IndexThreads:
    """The threads that batches of all databases of a process run in.

    When all are taken, batches wait here: those of high priority go before normal ones, these before low ones, and
    equals in turn. Used from one event loop.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(limits.INDEX_THREADS, "pynori-index", initializer=_stand_back)
        self._free = limits.INDEX_THREADS
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    async def run(self, call: Callable[[], Outcome], priority: str) -> Outcome:
        if self._free:
            self._free -= 1
        else:
            turn = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (RANKS[priority], next(self._numbers), turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._release()
                raise
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)
        finally:
            self._release()

    def _release(self) -> None:
        """Give the thread to whoever is next."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def close(self) -> None:
        self._executor.shutdown(wait=False)


def _stand_back() -> None:
    """Of the thread that calls it; where the platform has no priorities of threads, all are equal."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), limits.INDEX_THREAD_NICE)
    except (AttributeError, OSError):
        return


class Worker:
    """Drives one index. Belongs to the event loop."""

    def __init__(
        self, index: Index, database: Database, threads: IndexThreads, clock: Clock, moved: Callable[[Index], None],
        reopen: Callable[[Index], None],
    ) -> None:  # fmt: skip
        self._index = index
        self._reopen = reopen  # called when nothing can be written any more; whoever hears it stops this worker
        self._database = database
        self._threads = threads
        self._clock = clock
        self._moved_on = moved  # called after each batch
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._last_commit_ms = -1e9
        self._sealed: Outcome | None = None  # of the batch before, on its way to the disk; nobody knows of it yet
        index.wake = self.wake
        index.tell_broken = functools.partial(asyncio.get_running_loop().call_soon_threadsafe, self._is_broken)

    def start(self) -> None:
        self.wake()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"index {self._index.name}")

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    @property
    def is_idle(self) -> bool:
        return not self._woken.is_set()

    async def stop(self) -> None:
        """Returns when no batch is running any more."""
        self._stopping = True
        self._woken.set()
        if self._task is not None:
            await asyncio.wait({self._task})
            self._task = None

    async def _run(self) -> None:
        while not self._stopping:
            await self._woken.wait()
            self._woken.clear()
            while not self._stopping and self._has_work():
                await self._keep_distance()
                if self._stopping or not await self._batch():
                    break
            await self._settle()

    def _has_work(self) -> bool:
        try:
            return self._index.has_work()
        except DatabaseClosed:
            return False  # whoever closes it ends this worker next

    async def _keep_distance(self) -> None:
        index = self._index
        while not self._stopping:
            # Whoever waits for the index waits for what its settings ask for, and for no more.
            interval_ms = index.settings.interval_ms if index.hurry else self._interval_ms()
            left_ms = self._last_commit_ms + interval_ms - self._clock.monotonic_ms()
            if left_ms <= 0:
                return
            try:
                async with asyncio.timeout(left_ms / 1_000):
                    await self._woken.wait()  # somebody may wait now
                    self._woken.clear()
                    if not index.hurry:
                        await asyncio.sleep(left_ms / 1_000)
            except TimeoutError:
                return

    def _interval_ms(self) -> int:
        """Between two commits that nobody waits for, by the index's priority."""
        usual = {"High": 0, "Normal": limits.INDEX_BATCH_INTERVAL_MS, "Low": limits.INDEX_BATCH_INTERVAL_LOW_MS}
        return max(self._index.settings.interval_ms, usual[self._index.definition.priority])

    async def _batch(self) -> bool:
        """Run one batch; False: stop."""
        index = self._index
        store, feeder = index.store, index.feeder
        if store is None or feeder is None:
            return False
        at: Outcome | Index = self._sealed or index
        before = None if self._sealed is None else self._sealed.sealed
        call = functools.partial(
            run_batch, self._database, store, feeder, index.references, at.progress, at.errors, self._clock,
            index.settings, before,
        )  # fmt: skip
        try:
            outcome = await self._threads.run(call, index.definition.priority)
        except (EngineError, PynoriError, OSError, MemoryError) as error:
            if index.references is not None:
                index.references.drop()
            return await self._failed(error)
        except Exception as error:
            # A defect of ours in one index must not end the others.
            log.error("indexes", f"index {index.name} failed: {error}", error=error, db=self._database.name)
            self._break(f"{type(error).__name__}: {error}")
            return False
        self._last_commit_ms = self._clock.monotonic_ms()
        if self._sealed is not None:
            self._take(self._sealed)
        self._sealed = outcome
        if outcome.sealed is None or outcome.progress.fails_too_often(outcome.more):
            return await self._settle()
        return True

    async def _settle(self) -> bool:
        """Wait until the last batch is durable, and take what it did; False: stop."""
        if self._sealed is None:
            return True
        try:
            outcome = self._sealed
            if outcome.sealed is not None:
                await self._threads.run(functools.partial(settled, outcome), self._index.definition.priority)
        except EngineError as error:
            return await self._failed(error)
        self._sealed = None
        self._take(outcome)
        return True

    def _take(self, outcome: Outcome) -> None:
        """What a batch did holds from now on."""
        index = self._index
        if outcome.committed and outcome.progress.fails_too_often(outcome.more):
            outcome.progress.failure = _too_many(outcome)
            log.error("indexes", f"index {index.name}: {outcome.progress.failure}", db=self._database.name)
        index.take(outcome)
        self._moved_on(index)

    async def _failed(self, error: Exception) -> bool:
        index = self._index
        # What was sealed may be lost. If it is not, its documents are fed again, which changes nothing.
        self._sealed = None
        if self._stopping:
            return False
        log.error("indexes", f"a batch of index {index.name} failed: {error}", db=self._database.name)
        now = wire_time(self._clock.now())
        kept = IndexingError(now, "", "Map", str(error)[: limits.INDEX_ERROR_SIZE_MAX])
        index.errors = [*index.errors, kept][-limits.INDEX_ERRORS_KEPT_MAX :]
        if isinstance(error, CorruptError | InvariantError):
            index.is_damaged = True
            self._break(str(error))
            return False
        if isinstance(error, UnknownOutcome | Poisoned):
            self._reopen(index)
            return False
        # A full disk, a database that is being closed: later it may go.
        try:
            async with asyncio.timeout(limits.INDEX_RETRY_MS / 1_000):
                while not self._stopping:
                    await self._woken.wait()
                    if not self._stopping:
                        self._woken.clear()
        except TimeoutError:
            pass
        return not self._stopping

    def _break(self, why: str) -> None:
        self._index.broken = why
        self._is_broken()

    def _is_broken(self) -> None:
        self._index.move()
        self._moved_on(self._index)


def _too_many(outcome: Outcome) -> str:
    progress = outcome.progress
    mapped = f"{progress.map_errors} of {progress.map_attempts} documents"
    if progress.reduce_errors:
        mapped += f" and {progress.reduce_errors} of {progress.reduce_attempts} groups"
    last = outcome.errors[-1].error if outcome.errors else "unknown"
    return f"{mapped} could not be indexed, more than {limits.INDEX_FAILED_PERCENT_MAX} %. The last error: {last}"

"""What a node keeps: its folders for their names, and in each the simulated disk of the engine's environment there.

Whatever production code hands to a thread, and every write of a database, happens at one moment that the seed chooses,
and is told at a later one; between them a crash finds it done, or done in part, and not told. A crash leaves of each
disk what was synced, and of the rest what the seed leaves. The names of folders, and of the few small files beside
them, are those of a real file system and lasting at once.

The engine's own threads are not here: the writer's work is done by its synchronous face. How its threads share one
commit, and every point at which a disk may stop, are explored by the engine's own tests.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from pynori_core.command import Batch
from pynori_core.document_writer import DocumentWriter
from pynori_core.env import Env
from pynori_core.errors import EngineError
from pynori_core.items import DocumentStore
from pynori_core.sim_disk import MODES, SimDisk
from pynori_core.timestamp import hold_clock

from pynori.documents.database import Database
from pynori.server.data_directory import DataDirectory
from tests.simulation.loop import NodeLoop

MARK = "disk"  # a file in a folder that says which simulated disk belongs there
CUTS = ("none", "all", "prefix", "random", "garbage", "omit", "reversed")
STIR_SHARE = 0.5  # of the moments in which a writer that has something to write may do so while the loop is at work
TORN_SHARE = 0.7  # of the crashes in which something was under way: how often it is cut in the middle

installed: dict[str, Storage] = {}  # of the running world, by the folder of each node


class Storage:
    """The disks of one node, over all its processes."""

    def __init__(self, directory: Path, chance: random.Random, note: Callable[[str], None]) -> None:
        self.directory = directory
        self.slow_factor = 1.0
        self.ticks: Callable[[], int] = lambda: 0  # the node's wall clock
        self.threads: Threads
        self.held: HeldDirectory | None = None
        self._disks: dict[str, SimDisk] = {}
        self._chance = chance
        self._note = note
        directory.mkdir(parents=True)
        installed[str(directory)] = self

    def delay(self) -> float:
        chance = self._chance
        return self.slow_factor * chance.random() * (0.002 if chance.random() < 0.95 else 0.03)

    def toss(self, share: float) -> bool:
        return self._chance.random() < share

    def disk(self, folder: Path, is_new: bool) -> SimDisk:
        """The disk of an environment in a folder."""
        if is_new:
            folder.mkdir(parents=True)
            number = str(len(self._disks))
            self._disks[number] = SimDisk(self._chance.randrange(1, 2**60))
            (folder / MARK).write_text(number)
        return self._disks[(folder / MARK).read_text()]

    def act(self, act: Callable[[], Any]) -> Any:
        """Run what writes, while the engine's clock is this node's."""
        hold_clock(self.ticks())
        try:
            return act()
        finally:
            hold_clock(0)

    def crash(self, under_way: Callable[[], object] | None, lost_power: bool) -> None:
        """From now on the disks are what a crash leaves of them. under_way: what may have begun.

        lost_power: what was not synced may be gone; else all is there that was written.
        """
        before = {number: disk.calls for number, disk in self._disks.items()}
        if under_way is not None and self._chance.random() < TORN_SHARE:
            under_way()
        for number, disk in self._disks.items():
            point = disk.calls
            began = before.get(number, point)
            if began < point and disk.at(began)[0]:
                point = self._chance.randrange(began, point + 1)
            self._disks[number] = self._image(disk, point, lost_power)

    def _image(self, disk: SimDisk, point: int, lost_power: bool) -> SimDisk:
        exists, _, _, units, _ = disk.at(point)
        if not exists:
            point = disk.calls
        if not lost_power:
            return disk.crash(point, MODES.index("all"))
        return disk.crash(
            point, MODES.index(self._chance.choice(CUTS)), self._chance.randrange(units + 1),
            names=self._chance.choice((-1, -2, 0)), sector_bytes=self._chance.choice((512, 4096)),
            seed=self._chance.randrange(1, 2**60),
        )  # fmt: skip


class Threads:
    """What one process of a node has handed to threads and not heard of yet."""

    def __init__(self, loop: NodeLoop, storage: Storage) -> None:
        self.loop = loop
        self.storage = storage
        self.waiting: list[_Order] = []
        self.writers: list[Writer] = []
        self.stores: list[DocumentStore] = []
        self.environments: list[Env] = []
        self._busy_until: dict[int, float] = {}  # of executors that have one thread
        loop.threads = self
        storage.threads = self

    def hand_over(self, executor: Any, act: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        delay = self.storage.delay()
        if executor is not None:
            # One after the other, in the order in which they came.
            now = self.loop.world.now
            at = max(now, self._busy_until.get(id(executor), 0.0)) + delay
            self._busy_until[id(executor)] = at
            delay = at - now
        order = _Order(self, act, future)
        self.waiting.append(order)
        self.loop.later(delay, order.happen)

    @property
    def is_busy(self) -> bool:
        return bool(self.waiting) or any(writer.waiting for writer in self.writers)

    def under_way(self) -> Callable[[], object] | None:
        """Something that has begun and may be done in part, or None."""
        found: list[Callable[[], object]] = [each.act for each in self.waiting]
        found += [writer.perform for writer in self.writers if writer.waiting]
        return self.storage._chance.choice(found) if found else None

    def close(self) -> None:
        """Give back what is held for a process that is gone."""
        if self.storage.held is not None:
            self.storage.held.release()
        for writer in self.writers:
            writer.real.close()
        for each in (*self.stores, *self.environments):
            try:
                each.close()
            except EngineError:
                continue  # a snapshot is open: it goes with the last reference


class _Order:
    """One call that was handed to a thread."""

    def __init__(self, threads: Threads, act: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self.act = act
        self._threads = threads
        self._future = future

    def happen(self) -> None:
        threads, future = self._threads, self._future
        threads.waiting.remove(self)
        if future.cancelled():
            return
        try:
            result = threads.storage.act(self.act)
        except Exception as error:
            told: Callable[[], None] = lambda error=error: future.set_exception(error)  # noqa: E731
        else:
            told = lambda: future.set_result(result)  # noqa: E731
        threads.loop.later(
            threads.storage.delay() * 0.2, lambda: threads.loop.arrive(lambda: None if future.done() else told())
        )


class Writer:
    """In place of the engine's DocumentWriter: hands over what waits at one moment, and tells of it at a later one."""

    def __init__(self, store: DocumentStore) -> None:
        self.real = DocumentWriter(store)
        self.waiting: list[tuple[Batch, asyncio.Future[Any], str]] = []
        self._dispatcher: Dispatcher | None = None
        loop = asyncio.get_running_loop()
        assert isinstance(loop, NodeLoop)
        self._threads: Threads = loop.threads
        self._threads.writers.append(self)
        self._is_due = False

    @property
    def growth_refused(self) -> str | None:
        return self.real.growth_refused

    @growth_refused.setter
    def growth_refused(self, reason: str | None) -> None:
        self.real.growth_refused = reason

    def submit(self, batch: Batch, future: asyncio.Future[Any], dispatcher: Dispatcher, single: bool = False) -> None:
        if len(batch) == 0:
            future.set_result([])
        else:
            self._take(batch, future, dispatcher, "single" if single else "list")

    def submit_frame(self, batch: Batch, future: asyncio.Future[Any], dispatcher: Dispatcher) -> None:
        self._take(batch, future, dispatcher, "frame")

    def _take(self, batch: Batch, future: asyncio.Future[Any], dispatcher: Dispatcher, answer: str) -> None:
        self.real.counters()  # raises when it is closed
        self._dispatcher = dispatcher
        self.waiting.append((batch, future, answer))
        if not self._is_due:
            self._is_due = True
            self._threads.loop.later(self._threads.storage.delay(), self._happen)

    def stir(self) -> None:
        """Commits come in the middle of whatever the loop does."""
        if self.waiting and self._threads.storage.toss(STIR_SHARE):
            self._write()

    def _happen(self) -> None:
        self._is_due = False
        self._write()

    def _write(self) -> None:
        told, threads = self.perform(), self._threads
        if told:
            threads.loop.later(threads.storage.delay() * 0.2, lambda: threads.loop.arrive(lambda: self._tell(told)))

    def _tell(self, told: list[Callable[[], None]]) -> None:
        assert self._dispatcher is not None
        self._dispatcher.ended += told
        self._dispatcher.drain()

    def perform(self) -> list[Callable[[], None]]:
        """Write everything that waits, each as a commit of its own; returns what tells those who wait."""
        waiting, self.waiting = self.waiting, []
        told = []
        for batch, future, answer in waiting:
            try:
                result = self._threads.storage.act(lambda batch=batch, answer=answer: self._execute(batch, answer))
            except EngineError as error:
                assert self._dispatcher is not None
                told.append(_failed(future, self._dispatcher.make_exception(error)))
            else:
                told.append(_succeeded(future, result))
        return told

    def _execute(self, batch: Batch, answer: str) -> Any:
        if answer == "frame":
            return self.real.execute_frame(batch)
        results = self.real.execute(batch)
        return results[0] if answer == "single" else results

    def execute(self, batch: Batch) -> Any:
        return self._threads.storage.act(lambda: self.real.execute(batch))

    def counters(self) -> dict[str, int]:
        return self.real.counters()

    def close(self) -> None:
        told = self.perform()
        if self._dispatcher is not None:
            self._dispatcher.ended += told
        self.real.close()


def _succeeded(future: asyncio.Future[Any], result: Any) -> Callable[[], None]:
    return lambda: None if future.done() else future.set_result(result)


def _failed(future: asyncio.Future[Any], error: BaseException) -> Callable[[], None]:
    return lambda: None if future.done() else future.set_exception(error)


class Dispatcher:
    """In place of the engine's Dispatcher: tells the loop of a node what was written."""

    def __init__(self, make_exception: Callable[[EngineError], BaseException]) -> None:
        self.make_exception = make_exception
        self.ended: list[Callable[[], None]] = []
        self._listeners: tuple[Callable[[], None], ...] = ()

    @staticmethod
    def acquire(loop: NodeLoop, make_exception: Callable[[EngineError], BaseException]) -> Dispatcher:
        found = getattr(loop, "dispatcher", None)
        if found is None:
            found = loop.dispatcher = Dispatcher(make_exception)
        assert isinstance(found, Dispatcher)
        return found

    def release(self) -> None:
        pass

    def listen(self, listener: Callable[[], None]) -> None:
        self._listeners = (*self._listeners, listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        self._listeners = tuple(each for each in self._listeners if each != listener)

    def drain(self) -> None:
        ended, self.ended = self.ended, []
        for each in ended:
            each()
        for listener in self._listeners:
            listener()

    def wake(self) -> None:
        asyncio.get_running_loop().call_soon(self.drain)


# ---- in place of what production code opens


def _place(text: str) -> tuple[Storage, Path]:
    folder = Path(text)
    for directory, storage in installed.items():
        if folder.is_relative_to(directory):
            return storage, folder
    raise AssertionError(f"{text} is no folder of this world")


class _Environments:
    """In place of the engine's Env."""

    @staticmethod
    def create(directory: str, **bounds: int) -> Env:
        storage, folder = _place(directory)
        return _Environments._kept(storage, Env.create(storage.disk(folder, is_new=True), **bounds))

    @staticmethod
    def open(directory: str, **bounds: int) -> Env:
        storage, folder = _place(directory)
        return _Environments._kept(storage, Env.open(storage.disk(folder, is_new=False), **bounds))

    @staticmethod
    def _kept(storage: Storage, env: Env) -> Env:
        storage.threads.environments.append(env)
        return env


class _Stores:
    """In place of the engine's DocumentStore."""

    @staticmethod
    def create(directory: str, database_id: bytes, tag: str, **options: Any) -> DocumentStore:
        storage, folder = _place(directory)
        return _Stores._kept(storage, DocumentStore.create(storage.disk(folder, is_new=True), database_id, tag))

    @staticmethod
    def open(directory: str, tag: str, **options: Any) -> DocumentStore:
        storage, folder = _place(directory)
        return _Stores._kept(storage, DocumentStore.open(storage.disk(folder, is_new=False), tag))

    @staticmethod
    def _kept(storage: Storage, store: DocumentStore) -> DocumentStore:
        storage.threads.stores.append(store)
        return store


class HeldDirectory(DataDirectory):
    """A data directory that is let go once, by the process that holds it or by its crash."""

    __slots__ = ("is_held",)

    def __init__(self, path: Path, lock: int) -> None:
        super().__init__(path, lock)
        self.is_held = True
        storage, _ = _place(str(path))
        storage.held = self

    def release(self) -> None:
        if self.is_held:
            self.is_held = False
            super().release()


class _NoShortCut:
    """In place of the engine's PutStart, which clients over HTTP use."""

    def __init__(self, writer: object, dispatcher: object) -> None:
        pass


def _stirred(plain: property) -> property:
    """A property of Database, before which its writer may have come further."""
    read = plain.fget
    assert read is not None

    def get(self: Database) -> Any:
        self._writer.stir()
        return read(self)

    return property(get)


@contextmanager
def simulated_engine() -> Iterator[None]:
    """As long as this lasts, servers keep their environments on the disks of the world's nodes."""
    usage = SimpleNamespace(total=1 << 40, used=1 << 39, free=1 << 39)
    with (
        mock.patch("pynori.cluster.store.Env", _Environments),
        mock.patch("pynori.documents.database.DocumentStore", _Stores),
        mock.patch("pynori.documents.database.DocumentWriter", Writer),
        mock.patch("pynori.documents.database.Dispatcher", Dispatcher),
        mock.patch("pynori.documents.database.PutStart", _NoShortCut),
        mock.patch("pynori.server.server.DataDirectory", HeldDirectory),
        mock.patch.object(Database, "last_etag", _stirred(Database.last_etag)),
        mock.patch.object(Database, "change_vector", _stirred(Database.change_vector)),
        mock.patch("pynori.server.disk_watch.shutil", SimpleNamespace(disk_usage=lambda path: usage)),
    ):
        try:
            yield
        finally:
            installed.clear()
            hold_clock(0)

"""One database as the server and embedding programs use it: synchronous reads, writes as futures.

A read runs where it is called, on its own snapshot, in microseconds when resident; it belongs on the event loop.
Listings and streams may be long and may be run in a thread. A write is handed to the merger and comes back as a
future that is resolved in one wake-up per commit, after the commit is durable. A database belongs to the event loop
it was opened on; writes and `close` are called there.

Errors of the engine leave as those of `pynori.errors`; only a Batch in the making raises the engine's own.
"""

from __future__ import annotations

import asyncio
import functools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

from pynori_core import change_vector as vectors
from pynori_core.command import Applied, Batch, CommandResult
from pynori_core.compact import Compaction
from pynori_core.completion import WriteStart
from pynori_core.conflict_reads import Version, conflict_versions, conflicted_ids
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import Dispatcher, DocumentWriter, PutStart
from pynori_core.errors import EngineError
from pynori_core.item_frames import EMPTY_FRAME, Outgoing, add_frame, outgoing
from pynori_core.items import DocumentStore, StoredDocument, StreamItem
from pynori_core.reads import DocumentReader, DocumentStream, LoadedDocuments
from pynori_core.scrub import scrub

from pynori import limits
from pynori.documents.hilo import HiloRange, HiloRanges
from pynori.documents.prepare import Command, Preparer, Results
from pynori.documents.space import SpaceReport
from pynori.documents.statistics import DatabaseStatistics, directory_size_bytes
from pynori.documents.tombstones import TombstoneCleaner
from pynori.errors import Overloaded, PynoriError, from_engine, with_our_errors
from pynori.js.scripts import Scripts
from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4, before anything is opened)
from pynori.runtime.clock import Clock, SystemClock
from pynori.runtime.rand import Rand, SystemRand

__all__ = [
    "Applied", "Batch", "CommandResult", "Database", "DatabaseOptions", "DatabaseStatistics", "DocumentStream",
    "HiloRange", "LoadedDocuments", "Outgoing", "StoredDocument", "StreamItem", "Version",
]  # fmt: skip

PAGE_SIZE_MAX = 2**31 - 1
REPLICATION_POSITION = "replication/"  # before the database id of a sender


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """How a database is opened."""

    in_memory: bool = False
    allow_unsafe_filesystem: str | None = None
    node_tag: str = "A"
    identity_parts_separator: str = "/"
    scripts: Scripts | None = None  # of several databases; None: one's own


class Database:
    """An open database; made by `create` or `open`, ended by `close`."""

    def __init__(self, store: DocumentStore, directory: Path | None, name: str, options: DatabaseOptions, clock: Clock):
        self.name = name
        self.options = options
        self.id = vectors.format_database_id(store.database_id)
        self._directory = directory
        self._store = store
        self._reader = DocumentReader(store)
        self._writer = DocumentWriter(store)
        self._loop = asyncio.get_running_loop()
        self._dispatcher = Dispatcher.acquire(self._loop, from_engine)
        self._puts = PutStart(self._writer, self._dispatcher)
        self._streams: WeakSet[DocumentStream] = WeakSet()
        self._snapshots: WeakSet[DocumentSnapshot] = WeakSet()
        self._hilo = HiloRanges(self, clock)
        self._scripts = options.scripts or Scripts()
        self.patches = Preparer(self, self._scripts, clock)
        self._closing: asyncio.Task[None] | None = None
        self.tombstones = TombstoneCleaner(name, self.submit)
        self.tombstones.start()

    # ---- opening and closing

    @classmethod
    async def create(
        cls, directory: Path | None, name: str, options: DatabaseOptions, *, clock: Clock | None = None,
        rand: Rand | None = None,
    ) -> Database:  # fmt: skip
        """Make a new database; None as directory, or options.in_memory: in memory. Durable when this returns."""
        database_id = (rand or SystemRand()).random_bytes(16)
        in_memory = directory is None or options.in_memory
        make = functools.partial(
            DocumentStore.create, str(directory or ""), database_id, options.node_tag, in_memory=in_memory,
            allow_unsafe_filesystem=options.allow_unsafe_filesystem,
        )  # fmt: skip
        store = await _in_thread(make)
        return cls(store, None if in_memory else directory, name, options, clock or SystemClock())

    @classmethod
    async def open(
        cls, directory: Path, name: str, options: DatabaseOptions, *, clock: Clock | None = None
    ) -> Database:
        """Open the database in a directory, recovering it first."""
        make = functools.partial(
            DocumentStore.open, str(directory), options.node_tag,
            allow_unsafe_filesystem=options.allow_unsafe_filesystem,
        )  # fmt: skip
        store = await _in_thread(make)
        return cls(store, directory, name, options, clock or SystemClock())

    async def close(self) -> None:
        """Finish what is on its way, end the streams, close the files. Closing again waits for the first."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(), name=f"close database {self.name}")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self.patches.close()
        if self.options.scripts is None:
            self._scripts.close()
        await self.tombstones.stop()
        await _in_thread(self._writer.close)
        self._dispatcher.drain()
        self._dispatcher.release()
        for stream in list(self._streams):
            stream.close()
        for snapshot in list(self._snapshots):
            snapshot.close()
        while True:
            try:
                await _in_thread(self._store.close)
                return
            except Overloaded:
                # A listing in a thread holds a snapshot; new reads are refused by now, so this ends.
                await asyncio.sleep(limits.CLOSE_LOOK_MS / 1_000)

    @property
    def scripts(self) -> Scripts:
        """What runs its JavaScript."""
        return self._scripts

    @property
    def directory(self) -> Path | None:
        """Where its files are; None: in memory."""
        return self._directory

    async def close_compacted(
        self, target: Path, before_switch: Callable[[], None], compacting: Callable[[Compaction], None]
    ) -> int:
        """Write the database anew into `target`, a directory that is not there yet, and close it; returns the rows.

        Reads and writes go on while its content is copied. `before_switch` is called when they are about to be
        refused, for the last few rows, and may raise to end it all. `compacting` gets the engine's side, for its
        counters and `cancel`. Fails before `before_switch` with the database open, after it with the database
        closed; its own files are good in both cases.
        """
        made = functools.partial(
            Compaction, self._store, str(target), self.options.node_tag,
            allow_unsafe_filesystem=self.options.allow_unsafe_filesystem,
        )  # fmt: skip
        # A tombstone that the copy has must not go behind its back, nor one that it has yet to see.
        self.tombstones.hold("compaction", 0)
        try:
            await self.tombstones.purge()  # drops nothing, and comes after a purge that is on its way
            compaction: Compaction = await _in_thread(made)
        except BaseException:
            self.tombstones.release("compaction")
            raise
        try:
            compacting(compaction)
            await _in_thread(compaction.copy)
            for _ in range(limits.COMPACTION_ROUNDS_MAX):
                if await _in_thread(compaction.catch_up) < limits.COMPACTION_LAST_ROWS:
                    break
            before_switch()
        except BaseException:
            compaction.cancel()
            await _in_thread(compaction.close)
            self.tombstones.release("compaction")
            raise
        try:
            await self.tombstones.stop()
            await _in_thread(self._writer.close)
            await _in_thread(compaction.catch_up)
            await _in_thread(compaction.finish)
        finally:
            await _in_thread(compaction.close)
            await self.close()
        return compaction.rows

    def delete_files(self) -> None:
        """Remove the files of a closed database. Blocks; nothing is there under the name once it has begun."""
        directory = self._directory
        if directory is None or not directory.exists():
            return
        tombstone = directory.with_name(f".deleted-{directory.name}-{self.id.replace('/', '_')}")
        directory.rename(tombstone)
        _sync_directory(directory.parent)
        shutil.rmtree(tombstone)

    # ---- reads

    @property
    def last_etag(self) -> int:
        """Etag of the newest item; 0 when nothing was ever written."""
        return with_our_errors(lambda: self._store.last_etag)()

    @with_our_errors
    def position(self, name: str) -> int:
        """What `Batch.set_position` noted last under a name: how far somebody outside has come; 0: not begun."""
        return self._store.position(name)

    @property
    def change_vector(self) -> str:
        """Of the database as a whole: everything that its entries count is here. "": nothing was ever written."""
        return with_our_errors(lambda: self._store.change_vector)()

    def get(self, id: str, *, metadata_only: bool = False) -> StoredDocument | None:
        """The document of that id with its JSON, or None."""
        try:
            return self._reader.get(id, metadata_only)
        except EngineError as error:
            raise from_engine(error) from error

    def head(self, id: str) -> StoredDocument | None:
        """As get, with b"" for the JSON."""
        try:
            return self._reader.head(id)
        except EngineError as error:
            raise from_engine(error) from error

    def load(
        self, ids: Sequence[str], *, includes: Sequence[str] = (), metadata_only: bool = False
    ) -> LoadedDocuments:
        """Several documents and what they include, as a ready body."""
        try:
            return self._reader.load(list(ids), list(includes), metadata_only)
        except EngineError as error:
            raise from_engine(error) from error

    @property
    def answer(self) -> Callable[[bytes, str], bytes | None]:
        """The native short cut of `load` for one id: (head, id) -> the HTTP message, None when it is not there."""
        return self._reader.answer

    @with_our_errors
    def list_by_prefix(
        self, prefix: str, *, matches: str = "", exclude: str = "", start_after: str = "", start: int = 0,
        page_size: int = PAGE_SIZE_MAX, metadata_only: bool = False,
    ) -> bytes:  # fmt: skip
        """Documents by id, in order of their lower-cased ids: {"Results":[...]}.

        matches, exclude: `|`-separated patterns of `*` and `?` for what follows the prefix.
        """
        return self._reader.list_by_prefix(
            prefix, matches=matches, exclude=exclude, start_after=start_after, start=start, page_size=page_size,
            metadata_only=metadata_only,
        )  # fmt: skip

    @with_our_errors
    def list_recent(self, *, start: int = 0, page_size: int = PAGE_SIZE_MAX, metadata_only: bool = False) -> bytes:
        """All documents, newest change first: {"Results":[...]}."""
        return self._reader.list_recent(start=start, page_size=page_size, metadata_only=metadata_only)

    @with_our_errors
    def list_collection(
        self, collection: str, *, start: int = 0, page_size: int = PAGE_SIZE_MAX, descending: bool = False
    ) -> bytes:
        """Documents of a collection in order of their last change: {"Results":[...]}."""
        return self._reader.list_collection(collection, start=start, page_size=page_size, descending=descending)

    @with_our_errors
    def stream(
        self, *, prefix: str | None = None, matches: str = "", exclude: str = "", start_after: str = "",
        start: int = 0, page_size: int = PAGE_SIZE_MAX, collection: str | None = None,
    ) -> DocumentStream:  # fmt: skip
        """JSON of each document, by prefix, of a collection, or all with the newest change first.

        Holds one snapshot until it is exhausted or closed.
        """
        if prefix is not None:
            made = DocumentStream.by_prefix(self._store, prefix, matches, exclude, start_after, start, page_size)
        elif collection is not None:
            made = DocumentStream.of_collection(self._store, collection, start, page_size)
        else:
            made = DocumentStream.recent(self._store, start, page_size)
        self._streams.add(made)
        return made

    @with_our_errors
    def items_since(self, etag: int, *, count: int = PAGE_SIZE_MAX) -> Iterator[StreamItem]:
        """The item stream: documents and tombstones with a higher etag, in etag order, on one snapshot."""
        made = DocumentStream.items_since(self._store, etag, count)
        self._streams.add(made)
        return made

    @with_our_errors
    def snapshot(self) -> DocumentSnapshot:
        """One moment of the database, for reads that belong together. Close it soon; closing the database does."""
        made = DocumentSnapshot(self._store)
        self._snapshots.add(made)
        return made

    @with_our_errors
    def collection_etags(self) -> dict[str, int]:
        """Etag of the last change of each collection, by its lower-case name."""
        return {name.lower(): last_etag for name, _, _, last_etag in self._store.collections()}

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener()` on the loop soon after each commit from now on: there may be more to read.

        It carries nothing: `last_etag` and `collection_etags` say what there is. It must be short, and may come more
        often than commits.
        """
        self._dispatcher.listen(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        self._dispatcher.unlisten(listener)

    @with_our_errors
    def collections(self) -> dict[str, int]:
        """Number of documents by collection, named as first spelt; empty ones are left out."""
        return {name: documents for name, documents, _, _ in self._store.collections() if documents}

    @property
    def failure(self) -> PynoriError | None:
        """Why nothing is written any more, since a sync failed; None while all is well, and once it is closed."""
        try:
            found = self._store.failure
        except EngineError:
            return None
        return None if found is None else from_engine(found)

    @with_our_errors
    def statistics(self) -> DatabaseStatistics:
        """Counts, sizes and counters of this moment."""
        documents, tombstones, last_etag, _ = self._store.counts()
        return DatabaseStatistics.of(
            documents, tombstones, self._store.conflict_counts(), last_etag, self._store.change_vector,
            len(self.collections()), self._size_bytes(), self._store.environment(), self._writer.counters(),
        )  # fmt: skip

    @with_our_errors
    def space(self, *, collections: bool = False) -> SpaceReport:
        """Where the bytes are; with `collections` every row is read, so call it in a thread then."""
        return SpaceReport.of(self._store, self._directory, collections=collections)

    @with_our_errors
    def scrub(self, page: int, pages_max: int) -> tuple[int, int, list[tuple[int, int, str]]]:
        """Read pages past the cache and verify them, from `page` on. Blocks.

        Returns where to go on (0: the end), how many were read, and (page, pages in a row, why) of damaged ones.
        """
        return scrub(self._store, page, pages_max)

    def _size_bytes(self) -> int:
        if self._directory is None:
            return self._store.environment()["file_bytes"]
        return directory_size_bytes(self._directory)

    # ---- writes

    @property
    def growth_refused(self) -> str | None:
        """Why documents are refused for want of room on the disk, or None. Deletes are not refused."""
        return self._writer.growth_refused

    @growth_refused.setter
    def growth_refused(self, reason: str | None) -> None:
        self._writer.growth_refused = reason

    @with_our_errors
    def checkpoint(self) -> None:
        """Write all that is committed to its place in the data file, so that journals can be used again. Blocks."""
        self._store.checkpoint()

    def batch(self) -> Batch:
        """A new, empty batch."""
        return Batch()

    def submit(self, batch: Batch) -> asyncio.Future[list[CommandResult]]:
        """Hand over a batch as one user transaction: all of it or nothing. The batch is used up."""
        future: asyncio.Future[list[CommandResult]] = self._loop.create_future()
        try:
            self._writer.submit(batch, future, self._dispatcher)
        except EngineError as error:
            raise from_engine(error) from error
        return future

    def put(
        self, id: str, body: bytes, expected_change_vector: str | None = None
    ) -> asyncio.Future[CommandResult]:
        """Store a document. expected_change_vector: None, do not care; "", must not exist."""
        batch = Batch()
        future: asyncio.Future[CommandResult] = self._loop.create_future()
        try:
            batch.put(id, body, expected_change_vector)
            self._writer.submit(batch, future, self._dispatcher, True)
        except EngineError as error:
            raise from_engine(error) from error
        return future

    @property
    def puts(self) -> WriteStart:
        """The native short cut of `put` for those who wait without a future."""
        return self._puts

    def delete(self, id: str, expected_change_vector: str | None = None) -> asyncio.Future[CommandResult]:
        """Delete a document; deleting a missing one succeeds unless a change vector is expected."""
        batch = Batch()
        future: asyncio.Future[CommandResult] = self._loop.create_future()
        try:
            batch.delete(id, expected_change_vector)
            self._writer.submit(batch, future, self._dispatcher, True)
        except EngineError as error:
            raise from_engine(error) from error
        return future

    def prepare(self, commands: Sequence[Command]) -> asyncio.Future[Results]:
        """As submit, of commands of which some are patches. They see what those before them change."""
        return self.patches.submit(commands)

    def execute(self, batch: Batch) -> list[CommandResult]:
        """As submit, blocking without the GIL: for threads and for programs without an event loop."""
        try:
            return self._writer.execute(batch)
        except EngineError as error:
            raise from_engine(error) from error
        finally:
            self._dispatcher.wake()  # also after a failure of which nobody knows what it left

    # ---- other instances

    @with_our_errors
    def outgoing(self, since: int, skip: str, items_max: int, bytes_max: int, own: str = "") -> Outgoing:
        """Items behind the etag `since` for an instance whose change vector is `skip`, of one snapshot. Blocks.

        Whole user transactions, at least one, up to the bounds. What the instance has already is skipped, and
        what it makes itself: `own` counts from which cluster-wide transaction on.
        """
        return outgoing(self._store, since, skip, items_max, bytes_max, own)

    def replicated_position(self, source: str) -> int:
        """Etag of the instance `source` up to which it was taken in here; 0: nothing yet."""
        return self.position(REPLICATION_POSITION + source)

    @with_our_errors
    def frame_batch(self, frame: bytes, source: str, position: int, vector: str) -> Batch:
        """What `apply_batch` writes: a frame, and that its sender was read up to `position`.

        Takes milliseconds a megabyte, and may be called in any thread.

        frame: b"" for none. source: database id of the sender; `replicated_position` says what was noted last.
        vector: what the sender had seen, when this is the end of one of its snapshots, else "".
        Raises what is wrong with the frame.
        """
        batch = Batch()
        batch.set_position(REPLICATION_POSITION + source, position)
        add_frame(batch, frame or EMPTY_FRAME, vector)
        return batch

    def apply(self, frame: bytes, source: str, position: int, vector: str) -> asyncio.Future[Applied]:
        """Take in a frame as one user transaction; see `frame_batch`."""
        return self.apply_batch(self.frame_batch(frame, source, position, vector))

    def apply_batch(self, batch: Batch) -> asyncio.Future[Applied]:
        """`apply` of what `frame_batch` made, in a thread where the frame is large."""
        future: asyncio.Future[Applied] = self._loop.create_future()
        try:
            self._writer.submit_frame(batch, future, self._dispatcher)
        except EngineError as error:
            raise from_engine(error) from error
        return future

    @property
    def conflict_count(self) -> int:
        """How many ids are in conflict."""
        return with_our_errors(self._store.conflict_counts)()[0]

    @with_our_errors
    def conflicted(self, after: str, count: int) -> list[str]:
        """Up to `count` ids in conflict behind `after`, in the order of their lower-cased spelling."""
        return conflicted_ids(self._store, after, count)

    @with_our_errors
    def conflicts(self, id: str) -> list[Version]:
        """The versions of an id in conflict; none when it is in no conflict."""
        return conflict_versions(self._store, id)

    def resolve(self, id: str, body: bytes | None, versions: Sequence[str]) -> asyncio.Future[CommandResult]:
        """End a conflict, if its versions are exactly those of these change vectors; else ConcurrencyError.

        body: JSON of the document that takes their place; None: it is deleted. What is written has seen what they have
        and nothing else, so that instances that resolve to the same make the same version.
        """
        batch = Batch()
        future: asyncio.Future[CommandResult] = self._loop.create_future()
        try:
            batch.resolve(id, body, versions)
            self._writer.submit(batch, future, self._dispatcher, True)
        except EngineError as error:
            raise from_engine(error) from error
        return future

    # ---- id ranges

    async def next_hilo(
        self, tag: str, last_batch_size: int, last_range_at: str | None, separator: str, last_max: int
    ) -> HiloRange:
        """A range of numbers from which a client makes ids on its own."""
        return await self._hilo.next(tag, last_batch_size, last_range_at, separator, last_max)

    async def return_hilo(self, tag: str, end: int, last: int) -> None:
        """Give back what a client did not use of its range, if no other range was given since."""
        await self._hilo.give_back(tag, end, last)


async def _in_thread(call: Callable[[], Any]) -> Any:
    try:
        return await asyncio.get_running_loop().run_in_executor(None, call)
    except EngineError as error:
        raise from_engine(error) from error


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

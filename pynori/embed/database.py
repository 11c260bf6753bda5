"""An embedded database: reads and writes from any thread of this process, the merger beneath making commits of them.

It stands on the same store, reader and writer of the engine as the server's `documents.Database` does; that one answers
an event loop by futures, this one its caller's thread. A write returns when it is durable, and gives the GIL away while
it waits, so writes of several threads share commits. Errors are those of `pynori.errors`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

from pynori_core import change_vector as vectors
from pynori_core.command import Batch, CommandResult
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.errors import Busy, EngineError
from pynori_core.items import DocumentStore, StoredDocument, StreamItem
from pynori_core.reads import DocumentReader

from pynori import limits
from pynori.documents.statistics import DatabaseStatistics, directory_size_bytes
from pynori.embed.document import Document, encode
from pynori.embed.snapshot import Scan, Snapshot, begin_changes, begin_scan
from pynori.errors import (
    ConcurrencyError,
    DatabaseDoesNotExist,
    DatabaseInUse,
    DocumentDoesNotExist,
    InvalidArgument,
    from_engine,
    with_our_errors,
)
from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4, before anything is opened)
from pynori.runtime.rand import SystemRand

NODE_TAG = "A"  # in change vectors, as a server that runs alone writes it
MEMORY = "mem://"


def open_database(path: str | os.PathLike[str], *, create: bool = True) -> EmbeddedDatabase:
    """What `pynori.open` does."""
    text = os.fspath(path)
    if text == MEMORY:
        return EmbeddedDatabase(make_store(None), None)
    if "://" in text:
        raise InvalidArgument(f"'{text}' is neither a folder nor {MEMORY}; a server's databases are used by a client")
    directory = Path(text)
    try:
        if (directory / "data.pynori").exists():
            return EmbeddedDatabase(DocumentStore.open(str(directory), NODE_TAG), directory)
        if (directory / "PYNORI").exists():
            raise InvalidArgument(f"'{text}' is a server's data directory; open a folder below {directory}/Databases")
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise InvalidArgument(f"'{text}' is not empty, and not a database")
        if not create:
            raise DatabaseDoesNotExist(text)
        return EmbeddedDatabase(make_store(directory), directory)
    except Busy as error:
        raise DatabaseInUse(str(error)) from error
    except EngineError as error:
        raise from_engine(error) from error


def make_store(directory: Path | None) -> DocumentStore:
    """A new database; None: in memory."""
    database_id = SystemRand().random_bytes(16)
    return DocumentStore.create(str(directory or ""), database_id, NODE_TAG, in_memory=directory is None)


class EmbeddedBatch:
    """Puts and deletes that become one transaction at the end of the `with` block: all of them, or none.

    An exception inside the block drops it. `results` holds one result for each command, in order, after the block.
    """

    __slots__ = ("_batch", "_writer", "results")

    def __init__(self, writer: DocumentWriter) -> None:
        self._writer = writer
        self._batch = Batch()
        self.results: list[CommandResult] = []

    def __len__(self) -> int:
        return len(self._batch)

    def put(
        self, id: str, value: Any, *, collection: str | None = None, expected_change_vector: str | None = None
    ) -> None:
        """As EmbeddedDatabase.put, when the batch commits."""
        try:
            self._batch.put(id, encode(value, collection), expected_change_vector)
        except EngineError as error:
            raise from_engine(error) from error

    @with_our_errors
    def delete(self, id: str, *, expected_change_vector: str | None = None) -> None:
        """As EmbeddedDatabase.delete, when the batch commits."""
        self._batch.delete(id, expected_change_vector)

    @with_our_errors
    def commit(self) -> list[CommandResult]:
        """Write it all, durably; done by the `with` block. A batch is committed once."""
        self.results = self._writer.execute(self._batch)
        return self.results

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()


class EmbeddedDatabase:
    """An open database; made by `pynori.open`, ended by `close` or by the end of a `with` block."""

    read: Callable[[str], StoredDocument | None]
    """The document as stored, or None; the fastest read, for it makes nothing that is not asked for.

    Its `body` is a lazy document: `read("orders/1").body["Freight"]` looks at that property alone. `json`, `id`,
    `change_vector`, `collection`, `etag` and `last_modified` are made when they are used. It is the engine's own
    method: a Python one around it would take as long as the read.
    """

    def __init__(self, store: DocumentStore, directory: Path | None) -> None:
        self.id = vectors.format_database_id(store.database_id)
        self.directory = directory
        self._store = store
        self._reader = DocumentReader(store, from_engine)
        self.read = self._reader.get
        self._writer = DocumentWriter(store)
        self._lock = threading.Lock()  # guards _snapshots and _closing
        self._snapshots: WeakSet[DocumentSnapshot] = WeakSet()
        self._closing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EmbeddedDatabase({str(self.directory or MEMORY)!r})"

    @with_our_errors
    def close(self) -> None:
        """Finish the writes that are under way, end snapshots and scans, let the files go. Closing twice is harmless.

        In a child of a fork it does nothing: the database is the parent's.
        """
        with self._lock:
            if self._closing:
                return
            self._closing = True
            snapshots = list(self._snapshots)
        self._writer.close()
        for snapshot in snapshots:
            snapshot.close()
        pause = threading.Event()
        while True:
            try:
                self._store.close()
                return
            except Busy:
                # A read in another thread; new ones are refused by now, so this ends.
                pause.wait(limits.CLOSE_LOOK_MS / 1_000)

    # ---- reads

    def get(self, id: str) -> Document | None:
        """The document of that id, or None; found whatever the case of the id."""
        found = self.read(id)
        return None if found is None else Document.of(found)

    def get_json(self, id: str) -> bytes | None:
        """The document's JSON text with its metadata, or None."""
        found = self.read(id)
        return None if found is None else found.json

    @with_our_errors
    def __contains__(self, id: str) -> bool:
        return self._reader.head(id) is not None

    @with_our_errors
    def __len__(self) -> int:
        return self._store.counts()[0]

    @with_our_errors
    def scan(
        self, *, prefix: str | None = None, collection: str | None = None, start_after: str = "", skip: int = 0,
        limit: int | None = None, newest_first: bool = False,
    ) -> Scan[Document]:  # fmt: skip
        """Iterate documents as they are now, whatever is written meanwhile.

        In order of ids, those with a prefix or all; of a collection, in order of their last change. newest_first: all,
        or of a collection, the last change first.
        """
        return begin_scan(
            self._begin_snapshot(), prefix=prefix, collection=collection, start_after=start_after, skip=skip,
            limit=limit, newest_first=newest_first, ends_snapshot=True,
        )  # fmt: skip

    @with_our_errors
    def changes(self, since: int = 0, *, limit: int | None = None) -> Scan[StreamItem]:
        """Documents and tombstones of deleted ones with a higher etag, in etag order: what has changed since.

        A StreamItem has kind (DOCUMENT or TOMBSTONE), id, etag, change_vector, collection, last_modified and json.
        """
        return begin_changes(self._begin_snapshot(), since, limit=limit, ends_snapshot=True)

    @with_our_errors
    def snapshot(self) -> Snapshot:
        """This moment, for reads that have to agree; close it, or use it in a `with` block."""
        return Snapshot(self._begin_snapshot())

    def _begin_snapshot(self) -> DocumentSnapshot:
        made = DocumentSnapshot(self._store)
        with self._lock:
            if not self._closing:
                self._snapshots.add(made)
                return made
        made.close()  # close has listed the snapshots already
        return made

    @property
    def last_etag(self) -> int:
        """Etag of the newest item; 0 when nothing was ever written."""
        return with_our_errors(lambda: self._store.last_etag)()

    @with_our_errors
    def collections(self) -> dict[str, int]:
        """Number of documents by collection, named as first spelt; empty ones are left out."""
        return {name: documents for name, documents, _, _ in self._store.collections() if documents}

    @with_our_errors
    def statistics(self) -> DatabaseStatistics:
        """Counts and sizes of this moment, counters since opening."""
        documents, tombstones, last_etag, _ = self._store.counts()
        environment = self._store.environment()
        size_bytes = directory_size_bytes(self.directory) if self.directory else environment["file_bytes"]
        return DatabaseStatistics.of(
            documents, tombstones, self._store.conflict_counts(), last_etag, self._store.change_vector,
            len(self.collections()), size_bytes, environment, self._writer.counters(),
        )  # fmt: skip

    # ---- writes

    def put(
        self, id: str, value: Any, *, collection: str | None = None, expected_change_vector: str | None = None
    ) -> CommandResult:
        """Store a document; durable when this returns.

        id: ending in "/", a number is put behind it; "", a GUID takes its place: the result has the id.
        value: a mapping, a Document that was read, a dataclass, a msgspec struct, or JSON text as bytes or str.
        collection: else what its metadata says; a document that is there cannot change it.
        expected_change_vector: None, do not care; "", must not exist.
        Raises: ConcurrencyError, InvalidArgument, InvalidJson, LimitExceeded, OperationFailed (another collection),
        Overloaded, StorageFailed.
        """
        batch = Batch()
        try:
            batch.put(id, encode(value, collection), expected_change_vector)
            return self._writer.execute(batch)[0]
        except EngineError as error:
            raise from_engine(error) from error

    def delete(self, id: str, *, expected_change_vector: str | None = None) -> CommandResult:
        """Delete a document; a missing one is no error, unless a change vector is expected. `deleted` tells."""
        batch = Batch()
        try:
            batch.delete(id, expected_change_vector)
            return self._writer.execute(batch)[0]
        except EngineError as error:
            raise from_engine(error) from error

    def update(self, id: str, change: Callable[[Document], Any]) -> CommandResult:
        """Read, change, write, and again if somebody else wrote in between; `change` gets the document to alter.

        What `change` returns is put in its place, unless that is None. It may be called several times.
        Raises: DocumentDoesNotExist, ConcurrencyError after UPDATE_TRIES_MAX tries, what put raises.
        """
        for tries_left in reversed(range(limits.UPDATE_TRIES_MAX)):
            document = self.get(id)
            if document is None:
                raise DocumentDoesNotExist(f"Document '{id}' does not exist")
            returned = change(document)
            value = document if returned is None else returned
            collection = None if isinstance(value, Document | bytes | str) else document.metadata.get("@collection")
            try:
                return self.put(id, value, collection=collection, expected_change_vector=document.change_vector)
            except ConcurrencyError:
                if not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")

    def batch(self) -> EmbeddedBatch:
        """Several writes as one transaction: `with database.batch() as batch: ...`."""
        return EmbeddedBatch(self._writer)

    @with_our_errors
    def checkpoint(self) -> None:
        """Write what is committed from the journal to its place in the data file now; it happens by itself too."""
        self._store.checkpoint()

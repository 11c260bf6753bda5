"""One moment of an embedded database, and scans: iterators that see that moment however long they take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from pynori_core.document_snapshot import DocumentSnapshot, SnapshotScan
from pynori_core.errors import EngineError
from pynori_core.items import StreamItem

from pynori.embed.document import Document
from pynori.errors import InvalidArgument, from_engine, with_our_errors

Found = TypeVar("Found")


class Scan(Iterator[Found], Generic[Found]):
    """Documents (or items) of one snapshot, in order. Exhaust it, close it, or drop it; one thread at a time."""

    __slots__ = ("_made_of", "_scan")

    def __init__(self, scan: SnapshotScan, made_of: Callable[[Any], Found]) -> None:
        self._scan = scan
        self._made_of = made_of  # what the engine's object becomes

    def __next__(self) -> Found:
        try:
            return self._made_of(next(self._scan))
        except EngineError as error:
            raise from_engine(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give nothing more, and let the snapshot go if it was this scan's own."""
        self._scan.close()


def begin_scan(
    snapshot: DocumentSnapshot, *, prefix: str | None, collection: str | None, start_after: str, skip: int,
    limit: int | None, newest_first: bool, ends_snapshot: bool,
) -> Scan[Document]:  # fmt: skip
    """The scan that the arguments of `EmbeddedDatabase.scan` ask for."""
    bounds: dict[str, Any] = {"start": skip, "ends_snapshot": ends_snapshot}
    if limit is not None:
        bounds["count"] = limit
    if skip < 0 or (limit is not None and limit < 0):
        raise InvalidArgument("skip and limit are not negative")
    if collection is not None:
        if prefix is not None or start_after:
            raise InvalidArgument("a scan goes by prefix, or through a collection")
        return Scan(snapshot.of_collection(collection, descending=newest_first, **bounds), Document.of)
    if newest_first:
        if prefix is not None or start_after:
            raise InvalidArgument("a scan by prefix goes in order of ids")
        return Scan(snapshot.recent(**bounds), Document.of)
    return Scan(snapshot.by_prefix(prefix or "", start_after=start_after, **bounds), Document.of)


def begin_changes(
    snapshot: DocumentSnapshot, since: int, *, limit: int | None, ends_snapshot: bool
) -> Scan[StreamItem]:
    """The scan that the arguments of `EmbeddedDatabase.changes` ask for."""
    if since < 0 or (limit is not None and limit < 0):
        raise InvalidArgument("an etag and a limit are not negative")
    count: dict[str, Any] = {} if limit is None else {"count": limit}
    return Scan(snapshot.items_since(since, ends_snapshot=ends_snapshot, **count), same)


def same(item: StreamItem) -> StreamItem:
    """An item of the item stream leaves as it is."""
    return item


class Snapshot:
    """All reads of it see the same commit. A context manager; may be used by several threads."""

    __slots__ = ("__weakref__", "_snapshot")

    def __init__(self, snapshot: DocumentSnapshot) -> None:
        self._snapshot = snapshot

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the snapshot back; its scans end with an error. An open one keeps old pages in memory."""
        self._snapshot.close()

    def get(self, id: str) -> Document | None:
        """The document of that id, or None."""
        try:
            found = self._snapshot.get(id, conflict_raises=True)
        except EngineError as error:
            raise from_engine(error) from error
        return None if found is None else Document.of(found)

    @with_our_errors
    def get_json(self, id: str) -> bytes | None:
        """The document's JSON text with its metadata, or None."""
        found = self._snapshot.get(id, conflict_raises=True)
        return None if found is None else found.json

    @with_our_errors
    def __contains__(self, id: str) -> bool:
        return self._snapshot.head(id, conflict_raises=True) is not None

    @with_our_errors
    def __len__(self) -> int:
        return self._snapshot.counts()[0]

    @property
    def last_etag(self) -> int:
        """Etag of the newest item; 0 when nothing was ever written."""
        return with_our_errors(self._snapshot.counts)()[2]

    @with_our_errors
    def collections(self) -> dict[str, int]:
        """Number of documents by collection, named as first spelt; empty ones are left out."""
        return {name: documents for name, documents, _, _ in self._snapshot.collections() if documents}

    @with_our_errors
    def scan(
        self, *, prefix: str | None = None, collection: str | None = None, start_after: str = "", skip: int = 0,
        limit: int | None = None, newest_first: bool = False,
    ) -> Scan[Document]:  # fmt: skip
        """As EmbeddedDatabase.scan."""
        return begin_scan(
            self._snapshot, prefix=prefix, collection=collection, start_after=start_after, skip=skip, limit=limit,
            newest_first=newest_first, ends_snapshot=False,
        )  # fmt: skip

    @with_our_errors
    def changes(self, since: int = 0, *, limit: int | None = None) -> Scan[StreamItem]:
        """As EmbeddedDatabase.changes."""
        return begin_changes(self._snapshot, since, limit=limit, ends_snapshot=False)

"""How far an index has come: etags by collection, counts, the errors of single documents. Lies in the index's own meta.

It is committed together with the entries that it speaks of, so an index that is opened again goes on where its last
commit was. A Progress is changed by the thread of a batch, on a copy; readers see the one of the last commit.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from pynori import limits

if TYPE_CHECKING:
    from pynori_core.index_store import IndexSnapshot, IndexWriter

PROGRESS_KEY = "progress"
ERRORS_KEY = "errors"


class CollectionProgress(msgspec.Struct):
    """Items of a collection up to these etags are in the index."""

    document_etag: int = 0
    tombstone_etag: int = 0
    reference_etag: int = 0  # documents that this collection's are referred to by: looked at up to here

    @property
    def etag(self) -> int:
        return min(self.document_etag, self.tombstone_etag)


class IndexingError(msgspec.Struct):
    """One document that could not be indexed. The document is "" when the error is about no single one."""

    timestamp: str
    document: str
    action: str  # Map, Reduce, Output
    error: str


class Progress(msgspec.Struct):
    """What an index has done since it was made."""

    collections: dict[str, CollectionProgress] = {}  # by lower-case name
    references: dict[str, int] = {}  # by lower-case name of a collection that is loaded from: looked at up to here
    map_attempts: int = 0
    map_errors: int = 0
    reference_attempts: int = 0
    reduce_attempts: int = 0
    reduce_errors: int = 0
    outputs_max: int = 0  # the most entries that one document gave
    last_indexing: str | None = None
    failure: str | None = None  # why it has stopped for good

    @classmethod
    def read(cls, snapshot: IndexSnapshot) -> Progress:
        stored = snapshot.meta(PROGRESS_KEY)
        return cls() if stored is None else _decode_progress(stored)

    def write(self, writer: IndexWriter) -> None:
        writer.set_meta(PROGRESS_KEY, msgspec.json.encode(self))

    def copied(self) -> Progress:
        return copy.deepcopy(self)

    def of(self, collection: str) -> CollectionProgress:
        """That of a collection, whatever its case; made when it is new."""
        return self.collections.setdefault(collection.lower(), CollectionProgress())

    def etag_of(self, collection: str) -> int:
        """Items of the collection up to this etag are in the index."""
        found = self.collections.get(collection.lower())
        return 0 if found is None else found.etag

    def fails_too_often(self, is_behind: bool) -> bool:
        """Whether the index should stop: too large a share of its documents cannot be indexed."""
        for attempts, errors in ((self.map_attempts, self.map_errors), (self.reduce_attempts, self.reduce_errors)):
            if is_behind and attempts < limits.INDEX_FAILED_ATTEMPTS_MIN:
                continue
            if errors * 100 > attempts * limits.INDEX_FAILED_PERCENT_MAX:
                return True
        return False


def read_errors(snapshot: IndexSnapshot) -> list[IndexingError]:
    """The errors that are kept, oldest first."""
    stored = snapshot.meta(ERRORS_KEY)
    return [] if stored is None else decode_errors(stored)


def write_errors(writer: IndexWriter, errors: list[IndexingError]) -> None:
    writer.set_meta(ERRORS_KEY, msgspec.json.encode(errors) if errors else None)


def with_errors(errors: list[IndexingError], new: Iterable[IndexingError]) -> list[IndexingError]:
    """The list with what is new; the oldest go when there are more than INDEX_ERRORS_KEPT_MAX."""
    return [*errors, *new][-limits.INDEX_ERRORS_KEPT_MAX :]


_decode_progress = msgspec.json.Decoder(Progress).decode
decode_errors = msgspec.json.Decoder(list[IndexingError]).decode

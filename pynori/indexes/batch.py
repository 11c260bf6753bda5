"""One batch of one index: read what is new on one snapshot of the database, feed it, commit it with how far it went.

Runs in a thread; nothing here knows the event loop. Deletions go first: on one snapshot an id is either a document or a
tombstone, so their order among each other does not matter, and a document that came back is put after it was taken out.
A tombstone whose id is used in another collection by now is none any more; the collection's departures tell of it.
What was looked at and gave nothing new is only remembered in memory: no commit, no sync.

While there is more to read, a batch is sealed and not waited for: it becomes durable while the next one is made. Until
then nobody is told that it was done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pynori import limits
from pynori.indexes.feeding import Feeder, FeedResult, collections_to_read
from pynori.indexes.progress import ERRORS_KEY, IndexingError, Progress, decode_errors, with_errors, write_errors
from pynori.indexes.references import References, feed_references
from pynori.indexes.settings import WorkSettings
from pynori.runtime.clock import Clock, wire_time

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.env import PendingCommit
    from pynori_core.index_store import IndexStore, IndexWriter

    from pynori.documents.database import Database


@dataclass(slots=True)
class Outcome:
    """What a batch did. more: a limit ended it. sealed: it is durable when this says so; None: it is now."""

    progress: Progress
    errors: list[IndexingError]
    documents: int = 0
    more: bool = False
    duration_ms: float = 0.0
    committed: bool = False
    sealed: PendingCommit | None = None


def settled(outcome: Outcome) -> Outcome:
    """The outcome, once it is durable."""
    if outcome.sealed is not None:
        outcome.sealed.wait()
    return outcome


def run_batch(
    database: Database,
    store: IndexStore,
    feeder: Feeder,
    references: References | None,
    progress: Progress,
    errors: list[IndexingError],
    clock: Clock,
    settings: WorkSettings,
    before: PendingCommit | None = None,
) -> Outcome:
    """Run one batch. Raises what the disk or the engine raises; the index is as it was then.

    before: a sealed batch that `progress` and `errors` come from; it is durable when this returns.
    """
    started_ms = clock.monotonic_ms()
    documents = database.snapshot()
    try:
        batch = _Batch(documents, store, feeder, references, progress.copied(), wire_time(clock.now()), settings)
        if settings.batch_time_ms is not None:
            end_ms = started_ms + settings.batch_time_ms
            batch.is_late = lambda: clock.monotonic_ms() >= end_ms
        sealed = batch.run()
    finally:
        documents.close()
    if before is not None:
        before.wait()
    outcome = Outcome(batch.progress, errors, batch.documents, batch.more)
    outcome.committed = batch.committed
    outcome.sealed = sealed
    if batch.errors:
        outcome.errors = batch.kept_errors(errors)
    outcome.duration_ms = clock.monotonic_ms() - started_ms
    return outcome


class _Batch:
    """One batch on its way."""

    def __init__(
        self,
        documents: DocumentSnapshot,
        store: IndexStore,
        feeder: Feeder,
        references: References | None,
        progress: Progress,
        now: str,
        settings: WorkSettings,
    ) -> None:
        self._snapshot = documents
        self._store = store
        self._feeder = feeder
        self._references = references
        self._now = now
        self._settings = settings
        self.is_late: Callable[[], bool] | None = None  # whether the batch has used up its time; None: it has no limit
        self.progress = progress
        self.documents = 0
        self.more = False
        self.committed = False
        self.errors: list[IndexingError] = []
        self._last_etag = documents.counts()[2]
        self._changed = {name.lower(): etag for name, _, _, etag in documents.collections()}
        self._reads = {name.lower() for name in collections_to_read(feeder, documents)}

    def run(self) -> PendingCommit | None:
        with self._store.write() as writer:
            self._feeder.start(writer)
            for collection in collections_to_read(self._feeder, self._snapshot):
                self._collection(writer, collection)
            if self._references is not None:
                self._referring(writer, self._references)
            if self.documents == 0:
                writer.abort()
                return None
            self._finish(writer)
            if self._references is not None:
                # First: a reference too many costs a look, one too few would leave an entry behind for good.
                self._references.commit()
            self.committed = True
            if self.more and self._references is None:
                return writer.seal()
            writer.commit()
            return None

    def _left(self) -> int:
        return max(1, self._settings.documents_max - self.documents)

    def _collection(self, writer: IndexWriter, collection: str) -> None:
        at = self.progress.of(collection)
        if self._changed.get(collection.lower(), 0) <= at.etag:
            at.document_etag = at.tombstone_etag = self._last_etag
            return
        is_late = self.is_late is not None and self.documents > 0 and self.is_late()
        if is_late or self.documents >= self._settings.documents_max:
            self.more = True
            return
        departed = self._departed(writer, collection, at.tombstone_etag)
        gone = self._feeder.forget(writer, self._snapshot, collection, at.tombstone_etag, self._left())
        at.tombstone_etag = min(
            gone.last_etag if gone.more else self._last_etag,
            departed.last_etag if departed.more else self._last_etag,
        )
        self._count(departed, False)
        self._count(gone, False)
        while True:
            # With a limit of time in steps, after each of which the clock is looked at.
            step = self._left() if self.is_late is None else min(self._left(), limits.INDEX_TIMED_STEP)
            fed = self._feeder.feed(writer, self._snapshot, collection, at.document_etag, step)
            at.document_etag = fed.last_etag if fed.more else self._last_etag
            ends = self.is_late is None or not fed.more or self.is_late()
            if not ends and self.documents + fed.documents < self._settings.documents_max:
                fed.more = False  # for the batch goes on
                self._count(fed, True)
                continue
            self._count(fed, True)
            return

    def _departed(self, writer: IndexWriter, collection: str, since_etag: int) -> FeedResult:
        """Take out what was deleted and then made again in a collection that this index does not read."""
        count = self._left()
        result = FeedResult(since_etag)
        for etag, id, now in self._snapshot.departed_since(collection, since_etag, count=count):
            result.last_etag = etag
            result.documents += 1
            if now is None or now.lower() not in self._reads:
                self._feeder.remove(writer, id)
        result.more = result.documents == count
        return result

    def _referring(self, writer: IndexWriter, references: References) -> None:
        """Put documents again whose loaded documents have changed."""
        result = feed_references(
            self._feeder, writer, self._snapshot, references, self.progress, self._changed, self._last_etag
        )
        self.progress.reference_attempts += result.documents
        self._count(result, True)

    def _count(self, result: FeedResult, is_map: bool) -> None:
        self.documents += result.documents
        self.more = self.more or result.more
        if is_map:
            self.progress.map_attempts += result.documents
            self.progress.map_errors += result.failed
        self.progress.outputs_max = max(self.progress.outputs_max, result.outputs_max)
        self._note(result)

    def _note(self, result: FeedResult) -> None:
        self.errors += [
            IndexingError(self._now, document, action, message) for document, action, message in result.errors
        ]

    def _finish(self, writer: IndexWriter) -> None:
        reduced = self._feeder.finish(writer, self._snapshot)
        self.progress.reduce_attempts += reduced.documents
        self.progress.reduce_errors += reduced.failed
        self._note(reduced)
        self.progress.last_indexing = self._now
        self.progress.write(writer)
        if self.errors:
            write_errors(writer, self.kept_errors(_stored_errors(writer)))

    def kept_errors(self, before: list[IndexingError]) -> list[IndexingError]:
        return with_errors(before, self.errors)


def _stored_errors(writer: IndexWriter) -> list[IndexingError]:
    stored = writer.meta(ERRORS_KEY)
    return [] if stored is None else decode_errors(stored)

"""Which documents of an index have loaded which others, so that they are put again when one of these changes.

References lie in an environment of their own beside the index: for each referring document one entry with the ids that
it loads, so that the store's postings lead from a loaded id to those who load it. They are committed before the index:
after a crash between the two, the referring documents are fed again and say the same once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pynori import limits
from pynori.indexes.feeding import Feeder, FeedResult, collections_to_read
from pynori.indexes.progress import Progress

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.index_store import IndexStore, IndexWriter

FIELD = "loaded"
IDS_STEP = 64  # changed documents whose referring ones are looked up together


class References:
    """The references of one index. Used by one thread at a time."""

    def __init__(self, store: IndexStore) -> None:
        self._store = store
        self._noted: dict[str, list[str]] = {}

    def note(self, document_id: str, loaded: Iterable[str]) -> None:
        """What a document loads now; nothing: it refers to none any more."""
        self._noted[document_id] = [each.lower() for each in dict.fromkeys(loaded)]

    def forget(self, document_ids: Iterable[str]) -> None:
        for each in document_ids:
            self._noted[each] = []

    def commit(self) -> None:
        """Make durable what was noted."""
        if not self._noted:
            return
        with self._store.write() as writer:
            field = writer.field(FIELD, exact=True)
            for document_id, loaded in self._noted.items():
                if loaded:
                    writer.put(document_id, [{field: loaded}])
                else:
                    writer.delete(document_id)
        self._noted = {}

    def drop(self) -> None:
        """Forget what was noted since the last commit."""
        self._noted = {}

    def referring(self, loaded: Sequence[str]) -> list[str]:
        """Documents that load one of these, each once."""
        with self._store.read() as snapshot:
            field = snapshot.field(FIELD)
            if field is None:
                return []
            return snapshot.documents(snapshot.in_(field.number, [each.lower() for each in loaded]))

    def close(self) -> None:
        self._store.close()


def feed_references(
    feeder: Feeder,
    writer: IndexWriter,
    documents: DocumentSnapshot,
    references: References,
    progress: Progress,
    changed: dict[str, int],
    last_etag: int,
) -> FeedResult:
    """Put the documents again that load what has changed since the last time.

    changed: etag of the last change of each collection, by lower-case name.
    """
    total = FeedResult(0)
    loaded = feeder.loaded_collections
    names = set(changed) if None in loaded else {each for each in loaded if each is not None}
    for name in sorted(names):
        since = progress.references.get(name, 0)
        if changed.get(name, 0) <= since:
            progress.references[name] = last_etag
            continue
        if total.documents >= limits.INDEX_BATCH_DOCUMENTS_MAX:
            total.more = True
            break
        items, until = _changed_items(documents, name, since)
        for start in range(0, len(items), IDS_STEP):
            step = items[start : start + IDS_STEP]
            referring = references.referring([id for id, _ in step])
            for collection in collections_to_read(feeder, documents) if referring else ():
                _add(total, feeder.feed_ids(writer, documents, collection, referring))
            if total.documents >= limits.INDEX_BATCH_DOCUMENTS_MAX and start + IDS_STEP < len(items):
                until = step[-1][1]
                break
        progress.references[name] = last_etag if until is None else until
        total.more = total.more or until is not None
    return total


def _changed_items(
    documents: DocumentSnapshot, collection: str, since: int
) -> tuple[list[tuple[str, int]], int | None]:
    """(id, etag) of what was written, deleted or left a collection after an etag; where to go on, None at the end."""
    count = limits.INDEX_BATCH_DOCUMENTS_MAX
    departed = [(id, etag) for etag, id, _ in documents.departed_since(collection, since, count=count)]
    until = departed[-1][1] if len(departed) == count else None
    found: list[tuple[str, int]] = []
    with documents.items_since(since) as items:
        for item in items:
            if len(found) == count or (until is not None and item.etag > until):
                until = found[-1][1] if len(found) == count else until
                break
            if item.collection.lower() == collection:
                found.append((item.id, item.etag))
    changed = sorted((*found, *departed), key=_etag_of)
    return [each for each in changed if until is None or each[1] <= until], until


def _etag_of(changed: tuple[str, int]) -> int:
    return changed[1]


def _add(total: FeedResult, part: FeedResult) -> None:
    total.documents += part.documents
    total.failed += part.failed
    total.outputs_max = max(total.outputs_max, part.outputs_max)
    total.errors += part.errors[: limits.INDEX_ERRORS_KEPT_MAX - len(total.errors)]

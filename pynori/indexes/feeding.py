"""What turns documents into entries of one index: the face that the worker drives, and the parts that all kinds share.

A feeder belongs to a definition. For each commit the worker calls `start` with the writer, then `feed` for each
collection. A feeder that needs no interpreter walks natively; one that does gets documents one by one from
`each_document`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pynori import limits

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.index_store import Fed, IndexWriter
    from pynori_core.items import StoredDocument

    from pynori.indexes.references import References

HILO = "@hilo"  # bookkeeping of clients; no part of "all documents"


@dataclass(slots=True)
class FeedResult:
    """What one call of `feed` did."""

    last_etag: int  # of the last item that was looked at
    documents: int = 0
    failed: int = 0
    more: bool = False  # a limit ended it, not the end of the collection
    outputs_max: int = 0  # the most entries that one document gave
    errors: list[tuple[str, str, str]] = field(default_factory=list)  # (document, action, message)

    @classmethod
    def of(cls, fed: Fed) -> FeedResult:
        errors = [(document, "Map", message) for document, message in fed.errors]
        outputs_max = -(-fed.entries // max(1, fed.documents - fed.failed))
        return cls(fed.last_etag, fed.documents, fed.failed, fed.more, outputs_max, errors)

    def refuse(self, document: str, action: str, message: str) -> None:
        """Note a document that could not be indexed."""
        self.failed += 1
        if len(self.errors) < limits.INDEX_ERRORS_KEPT_MAX:
            self.errors.append((document, action, message[: limits.INDEX_ERROR_SIZE_MAX]))


class Feeder(Protocol):
    """Feeds one index. Used by one thread at a time."""

    # Collections that it reads, as they are spelt in the definition; None: all.
    collections: tuple[str, ...] | None
    # Collections, in lower case, whose documents it loads while it reads others; None within: any.
    loaded_collections: frozenset[str | None]
    # Where it notes what documents load; given when it loads anything.
    references: References | None
    # Names of the fields that entries can have; None: any.
    declared_fields: frozenset[str] | None

    def start(self, writer: IndexWriter) -> None:
        """Make ready for one commit."""
        ...

    def feed(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, since_etag: int, documents_max: int
    ) -> FeedResult:
        """Put the documents of a collection with a higher etag."""
        ...

    def feed_ids(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, ids: Sequence[str]
    ) -> FeedResult:
        """Put these documents again, since something that they load has changed; ids that are gone are passed over."""
        ...

    def forget(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, since_etag: int, documents_max: int
    ) -> FeedResult:
        """Take out the documents that tombstones with a higher etag name."""
        ...

    def remove(self, writer: IndexWriter, id: str) -> None:
        """Take out one document, if it is there."""
        ...

    def finish(self, writer: IndexWriter, documents: DocumentSnapshot) -> FeedResult:
        """What remains to be done before the commit: groups whose members have changed."""
        ...


def each_document(
    documents: DocumentSnapshot, collection: str, since_etag: int, documents_max: int, result: FeedResult
) -> Iterator[StoredDocument]:
    """Documents of a collection after an etag, up to a number; `result` is told how far it went."""
    with documents.of_collection_since(collection, since_etag, count=documents_max + 1) as scan:
        for document in scan:
            if result.documents == documents_max:
                result.more = True
                return
            result.documents += 1
            yield document
            result.last_etag = document.etag


def documents_of(
    documents: DocumentSnapshot, collection: str, ids: Iterable[str], result: FeedResult
) -> Iterator[StoredDocument]:
    """Those of the ids that are there, in this collection."""
    lowered = collection.lower()
    for id in ids:
        document = documents.get(id)
        if document is not None and document.collection.lower() == lowered:
            result.documents += 1
            yield document


def collections_to_read(feeder: Feeder, documents: DocumentSnapshot) -> list[str]:
    """Names of the collections of this moment that the feeder reads, as it spells them."""
    if feeder.collections is not None:
        return list(feeder.collections)
    return [name for name, _, _, _ in documents.collections() if name.lower() != HILO]

"""Feeds a static index without a reduce: its maps over documents, natively where a map and all its fields allow it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from pynori_core.index_program import ExpressionFeed

from pynori.errors import PynoriError
from pynori.indexes.definition import IndexDefinition
from pynori.indexes.entries import EntryWriter, native_field
from pynori.indexes.feeding import FeedResult, documents_of, each_document
from pynori.indexes.maps import Maps, feeding_program
from pynori.limits import INDEX_BATCH_SIZE_BYTES_MAX, INDEX_SCRIPT_DOCUMENTS_MAX

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.index_store import IndexWriter
    from pynori_core.items import StoredDocument

    from pynori.indexes.references import References


class StaticMapFeeder:
    """Of a static index without a reduce."""

    references: References | None = None

    def __init__(self, definition: IndexDefinition, maps: Maps) -> None:
        self._definition = definition
        self._maps = maps
        self.collections = maps.collections
        self.loaded_collections = maps.loaded_collections
        self.declared_fields = maps.declared_fields
        self._entries: EntryWriter | None = None
        self._native: dict[str, ExpressionFeed | None] = {}

    def start(self, writer: IndexWriter) -> None:
        self._entries = EntryWriter(writer, self._definition.options_of)
        self._native = {}

    def feed(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, since_etag: int, documents_max: int
    ) -> FeedResult:
        native = self._native_of(writer, collection)
        if native is not None:
            fed = writer.feed(
                documents, collection, since_etag, native,
                documents_max=documents_max, bytes_max=INDEX_BATCH_SIZE_BYTES_MAX,
            )  # fmt: skip
            if self.references is not None:
                for document, loaded in native.take_references():
                    self.references.note(document, [id for id, _ in loaded])
            return FeedResult.of(fed)
        result = FeedResult(since_etag)
        count = min(documents_max, INDEX_SCRIPT_DOCUMENTS_MAX)
        found = each_document(documents, collection, since_etag, count, result)
        return self._put(writer, documents, collection, found, result)

    def feed_ids(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, ids: Sequence[str]
    ) -> FeedResult:
        result = FeedResult(0)
        return self._put(writer, documents, collection, documents_of(documents, collection, ids, result), result)

    def forget(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, since_etag: int, documents_max: int
    ) -> FeedResult:
        return FeedResult.of(writer.feed_tombstones(documents, collection, since_etag, documents_max=documents_max))

    def remove(self, writer: IndexWriter, id: str) -> None:
        writer.put(id, [])

    def finish(self, writer: IndexWriter, documents: DocumentSnapshot) -> FeedResult:
        return FeedResult(0)

    def _put(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, found: Iterable[StoredDocument],
        result: FeedResult,
    ) -> FeedResult:  # fmt: skip
        assert self._entries is not None, "start comes first"
        for part in in_parts(found, INDEX_SCRIPT_DOCUMENTS_MAX):
            outcomes = self._maps.run(part, collection, documents, as_rows=False)
            for document, outcome in zip(part, outcomes, strict=True):
                try:
                    if isinstance(outcome, PynoriError):
                        raise outcome
                    self._entries.put_fields(document.id, outcome.entries, keep_empty=self._definition.keeps_empty)
                except (PynoriError, ValueError) as error:
                    writer.delete(document.id)
                    result.refuse(document.id, "Map", str(error))
                    continue
                result.outputs_max = max(result.outputs_max, len(outcome.entries))
                if self.references is not None:
                    self.references.note(document.id, outcome.loaded)
        return result

    def _native_of(self, writer: IndexWriter, collection: str) -> ExpressionFeed | None:
        key = collection.lower()
        if key not in self._native:
            self._native[key] = self._make_native(writer, collection)
        return self._native[key]

    def _make_native(self, writer: IndexWriter, collection: str) -> ExpressionFeed | None:
        program = self._maps.native(collection)
        if program is None or self._definition.keeps_empty:
            return None
        numbers: dict[str, int] = {}
        for name in program.fields:
            options = self._definition.options_of(name)
            if not options.is_indexed or options.is_stored or options.spatial is not None:
                return None
            number = native_field(writer, name, options)
            if number is None:
                return None
            numbers[name] = number
        return feeding_program(program, numbers)


def in_parts(found: Iterable[StoredDocument], count: int) -> Iterator[list[StoredDocument]]:
    """Lists of up to `count`."""
    iterator = iter(found)
    while part := list(islice(iterator, count)):
        yield part

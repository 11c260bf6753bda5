"""Feeds an automatic index: what lies at paths of documents, natively where no field holds places.

Fields of places go through the interpreter, together with all others of their index: a document is put as a whole or
not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from pynori_core.index_feed import FieldPaths

from pynori.errors import PynoriError
from pynori.indexes.auto import ALL_DOCUMENTS, AutoField, AutoIndexDefinition
from pynori.indexes.entries import EntryWriter, native_field
from pynori.indexes.feeding import FeedResult, documents_of, each_document
from pynori.indexes.fields import DOCUMENT_ID_NAMES, FieldOptions, SpatialOptions
from pynori.limits import INDEX_BATCH_SIZE_BYTES_MAX

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.index_store import IndexWriter
    from pynori_core.items import StoredDocument

    from pynori.indexes.references import References

SEARCH = FieldOptions(indexing="Search")
EXACT = FieldOptions(indexing="Exact")
PLACE = FieldOptions(spatial=SpatialOptions())
PLAIN = FieldOptions()
PATH_STEPS_MAX = 16

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class AutoMapFeeder:
    """Of an automatic index without grouping."""

    loaded_collections: frozenset[str | None] = frozenset()
    references: References | None = None

    def __init__(self, definition: AutoIndexDefinition) -> None:
        everything = definition.collection.lower() == ALL_DOCUMENTS
        self.collections: tuple[str, ...] | None = None if everything else (definition.collection,)
        self._fields = [kept for each in definition.fields.values() for kept in kept_fields(each)]
        self._options = {name: options for name, _, options in self._fields}
        self._places = {each.name: each.spatial for each in definition.fields.values() if each.spatial}
        self._options.update(dict.fromkeys(self._places, PLACE))
        self._native = not self._places  # its words are cut by an analyzer that the engine has
        self.declared_fields: frozenset[str] | None = frozenset((*definition.fields, *self._options))
        self._paths: FieldPaths | None = None
        self._entries: EntryWriter | None = None

    def start(self, writer: IndexWriter) -> None:
        if self._native:
            numbers = [(native_field(writer, name, options), path) for name, path, options in self._fields]
            self._paths = FieldPaths([(number, path) for number, path in numbers if number is not None])
        else:
            self._entries = EntryWriter(writer, lambda name: self._options.get(name, PLAIN))

    def feed(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, since_etag: int, documents_max: int
    ) -> FeedResult:
        if self._paths is not None:
            fed = writer.feed(
                documents, collection, since_etag, self._paths,
                documents_max=documents_max, bytes_max=INDEX_BATCH_SIZE_BYTES_MAX,
            )  # fmt: skip
            return FeedResult.of(fed)
        result = FeedResult(since_etag)
        return self._put(writer, each_document(documents, collection, since_etag, documents_max, result), result)

    def feed_ids(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, ids: Sequence[str]
    ) -> FeedResult:
        result = FeedResult(0)
        return self._put(writer, documents_of(documents, collection, ids, result), result)

    def forget(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, since_etag: int, documents_max: int
    ) -> FeedResult:
        return FeedResult.of(writer.feed_tombstones(documents, collection, since_etag, documents_max=documents_max))

    def remove(self, writer: IndexWriter, id: str) -> None:
        writer.put(id, [])

    def finish(self, writer: IndexWriter, documents: DocumentSnapshot) -> FeedResult:
        return FeedResult(0)

    def _put(self, writer: IndexWriter, found: Iterable[StoredDocument], result: FeedResult) -> FeedResult:
        entries = self._entries or EntryWriter(writer, lambda name: self._options.get(name, PLAIN))
        for document in found:
            try:
                entries.put(document.id, [self._entry(document)])
                result.outputs_max = 1
            except (PynoriError, ValueError) as error:
                writer.delete(document.id)
                result.refuse(document.id, "Map", str(error))
        return result

    def _entry(self, document: StoredDocument) -> dict[str, Any]:
        content = _decode(document.json)
        entry: dict[str, Any] = {}
        for name, path, _ in self._fields:
            if path in DOCUMENT_ID_NAMES:
                entry[name] = document.id
                continue
            values = values_at(content, path)
            if values:
                entry[name] = values[0] if len(values) == 1 else values
        for name, paths in self._places.items():
            place = [(values_at(content, path) or [None])[0] for path in paths]
            entry[name] = place if len(place) > 1 else place[0]
        return entry


def kept_fields(each: AutoField) -> list[tuple[str, str, FieldOptions]]:
    """(name in the index, path in documents, options) of what is kept for a field."""
    if each.spatial:
        return []
    kept = []
    if each.plain or each.suggestions or not (each.search or each.exact or each.highlighting):
        kept.append((each.name, each.name, PLAIN))
    if each.exact:
        kept.append((f"exact({each.name})", each.name, EXACT))
    if each.search or each.highlighting:
        kept.append((f"search({each.name})", each.name, SEARCH))
    return kept


def values_at(value: Any, path: str) -> list[Any]:
    """What lies at a path; arrays on the way and at its end give their items, whether the path says so or not."""
    found = [value]
    for step in path.split(".")[:PATH_STEPS_MAX]:
        name = step
        while name.endswith("[]"):
            name = name[:-2]
        found = [each[name] for one in found for each in _items(one) if isinstance(each, dict) and name in each]
    return [each for one in found for each in _items(one)]


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return [each for one in value for each in _items(one)]

"""Feeds an index with a reduce: rows of documents go to groups, groups that changed are reduced, results are entries.

A group's entry has the group's id in place of a document's, and its result as what is stored. The rows and partial
results lie in the index's own environment and are committed with the entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from pynori_core.blittable import Document
from pynori_core.reduce_store import ReducedGroup, ReduceStore
from pynori_core.reduce_sums import GroupPaths

from pynori.errors import CompilationError, PynoriError
from pynori.indexes.auto import ALL_DOCUMENTS, COUNT_FIELD, AutoIndexDefinition
from pynori.indexes.auto_feeder import kept_fields
from pynori.indexes.definition import IndexDefinition
from pynori.indexes.entries import EntryWriter
from pynori.indexes.feeding import FeedResult, documents_of, each_document
from pynori.indexes.fields import FieldOptions
from pynori.indexes.maps import Maps
from pynori.indexes.output import OutputWriter
from pynori.indexes.progress import PROGRESS_KEY
from pynori.indexes.reducers import Reducer
from pynori.indexes.static_feeder import in_parts
from pynori.limits import INDEX_ERROR_SIZE_MAX, INDEX_SCRIPT_DOCUMENTS_MAX

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.index_store import IndexWriter
    from pynori_core.items import StoredDocument
    from pynori_core.reduce_program import ProgramRows

    from pynori.indexes.references import References

PLAIN = FieldOptions()


def key_of(group: ReducedGroup) -> bytes:
    return group.key


class StaticReduceFeeder:
    """Of a static index with a reduce."""

    references: References | None = None

    def __init__(
        self, definition: IndexDefinition, maps: Maps, reducer: Reducer, output: OutputWriter | None = None
    ) -> None:
        self._definition = definition
        self._maps = maps
        self._reducer = reducer
        self._output = output
        self.collections = maps.collections
        self.loaded_collections = maps.loaded_collections
        self.declared_fields = reducer.declared_fields
        self._is_new = False  # nothing was ever committed
        self._groups: ReduceStore | None = None
        self._entries: EntryWriter | None = None
        self._rows: dict[str, ProgramRows | None] = {}  # by lower-case collection
        self._plain: list[tuple[bytes, int]] | None = None  # fields of a row, when all are kept as they are

    def start(self, writer: IndexWriter) -> None:
        self._groups = ReduceStore(writer)
        self._entries = EntryWriter(writer, self._definition.options_of)
        self._plain = None
        self._is_new = writer.meta(PROGRESS_KEY) is None

    def feed(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, since_etag: int, documents_max: int
    ) -> FeedResult:
        assert self._groups is not None, "start comes first"
        rows = self._rows_of(collection)
        if rows is not None:
            fed = self._groups.feed(documents, collection, since_etag, rows, documents_max=documents_max)
            made = FeedResult.of(fed)
            made.errors = [(id, action, text[:INDEX_ERROR_SIZE_MAX]) for id, action, text in rows.take_errors()]
            return made
        result = FeedResult(since_etag)
        count = min(documents_max, INDEX_SCRIPT_DOCUMENTS_MAX)
        found = each_document(documents, collection, since_etag, count, result)
        return self._put(documents, collection, found, result)

    def _rows_of(self, collection: str) -> ProgramRows | None:
        """What gives the rows of a collection without the interpreter, if anything does."""
        key = collection.lower()
        if key not in self._rows:
            programs = self._maps.row_programs(collection)
            self._rows[key] = None if programs is None else self._reducer.rows(programs)
        return self._rows[key]

    def feed_ids(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, ids: Sequence[str]
    ) -> FeedResult:
        result = FeedResult(0)
        return self._put(documents, collection, documents_of(documents, collection, ids, result), result)

    def forget(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, since_etag: int, documents_max: int
    ) -> FeedResult:
        assert self._groups is not None, "start comes first"
        fed = self._groups.feed_tombstones(documents, collection, since_etag, documents_max=documents_max)
        return FeedResult.of(fed)

    def remove(self, writer: IndexWriter, id: str) -> None:
        assert self._groups is not None, "start comes first"
        self._groups.delete(id)

    def finish(self, writer: IndexWriter, documents: DocumentSnapshot) -> FeedResult:
        assert self._groups is not None and self._entries is not None, "start comes first"
        result = FeedResult(0)
        # In the order of their keys, so that entries of one batch do not come in that of hashes.
        for group in sorted(self._groups.reduce(self._reducer.native or self._reducer.reduce), key=key_of):
            result.documents += 1
            self._group(writer, group, result)
        if self._output is not None:
            if self._is_new:
                self._output.remove_left()
            self._output.write()
        return result

    def _group(self, writer: IndexWriter, group: ReducedGroup, result: FeedResult) -> None:
        assert self._entries is not None
        if group.error is not None:
            result.refuse("", "Reduce", f"{group.key.decode(errors='replace')[:100]}: {group.error}")
        made: bytes | None = None
        if group.result is not None:
            try:
                made = self._put_group(group.id, group.result)
            except (PynoriError, ValueError) as error:
                result.refuse("", "Reduce", str(error))
                made = None
        if made is None:
            writer.delete(group.id)
        if self._output is not None:
            self._output.put(group.id, made)

    def _put_group(self, id: str, row: bytes) -> bytes:
        """Put the entry of a group; its JSON."""
        assert self._entries is not None
        if self._reducer.native is not None:
            if self._plain is None:
                self._plain = self._plain_fields(self._entries)
            if self._plain:
                json = Document.from_bytes(row).to_json()
                if self._entries.put_reduced_row(id, row, self._plain, json):
                    return json
        entry, json = self._reducer.entry(row)
        self._entries.put_reduced(id, entry, json)
        return json

    def _plain_fields(self, entries: EntryWriter) -> list[tuple[bytes, int]]:
        """Name and number of each field of a row; nothing when one of them is kept in another way."""
        fields: list[tuple[bytes, int]] = []
        for name in self._reducer.row_fields:
            number = entries.plain_number(name)
            if number is None:
                return []
            fields.append((name.encode(), number))
        return fields

    def _put(
        self, documents: DocumentSnapshot, collection: str, found: Iterable[StoredDocument], result: FeedResult
    ) -> FeedResult:
        assert self._groups is not None, "start comes first"
        for part in in_parts(found, INDEX_SCRIPT_DOCUMENTS_MAX):
            outcomes = self._maps.run(part, collection, documents, as_rows=True)
            rows = [row for each in outcomes if not isinstance(each, PynoriError) for row in each.rows]
            keys = iter(self._reducer.keys(rows))
            for document, outcome in zip(part, outcomes, strict=True):
                if isinstance(outcome, PynoriError):
                    self._groups.delete(document.id)
                    result.refuse(document.id, "Map", str(outcome))
                    continue
                own = [(next(keys), row) for row in outcome.rows]
                failed = next((key for key, _ in own if isinstance(key, PynoriError)), None)
                if failed is not None:
                    self._groups.delete(document.id)
                    result.refuse(document.id, "Reduce", str(failed))
                    continue
                self._groups.put(document.id, [(key, row) for key, row in own if isinstance(key, bytes)])
                result.outputs_max = max(result.outputs_max, len(own))
                if self.references is not None:
                    self.references.note(document.id, outcome.loaded)
        return result


class AutoReduceFeeder:
    """Of an automatic index with a grouping: natively from the document to the sums."""

    loaded_collections: frozenset[str | None] = frozenset()
    references: References | None = None

    def __init__(self, definition: AutoIndexDefinition) -> None:
        everything = definition.collection.lower() == ALL_DOCUMENTS
        self.collections: tuple[str, ...] | None = None if everything else (definition.collection,)
        self._keys = [each.path for each in definition.group_by]
        self._sums = [each for each in definition.fields.values() if each.aggregation == "Sum"]
        unknown = [each for each in definition.fields.values() if each.aggregation not in ("None", "Sum", "Count")]
        if unknown:
            raise CompilationError(
                f"An automatic index sums and counts; '{unknown[0].aggregation}' of '{unknown[0].path}' takes an index "
                "of your own",
                "Fields",
            )
        wholes = [each.path for each in definition.group_by if each.as_whole]
        try:
            self._paths = GroupPaths(self._keys, [each.path or each.name for each in self._sums], as_array=wholes)
        except ValueError as error:
            raise CompilationError(str(error), "Fields") from None
        # A key that is also asked for in another way is kept in that way too.
        self._kept = [kept for each in definition.fields.values() if each.aggregation == "None"
                      for kept in kept_fields(each) if kept[1] in self._keys]  # fmt: skip
        self._options = {name: options for name, _, options in self._kept}
        self.declared_fields: frozenset[str] | None = frozenset(
            (*self._keys, *self._options, *(each.name for each in self._sums), COUNT_FIELD)
        )
        self._groups: ReduceStore | None = None
        self._entries: EntryWriter | None = None

    def start(self, writer: IndexWriter) -> None:
        self._groups = ReduceStore(writer)
        self._entries = EntryWriter(writer, lambda name: self._options.get(name, PLAIN))

    def feed(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, since_etag: int, documents_max: int
    ) -> FeedResult:
        assert self._groups is not None, "start comes first"
        return FeedResult.of(
            self._groups.feed(documents, collection, since_etag, self._paths, documents_max=documents_max)
        )

    def feed_ids(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, ids: Sequence[str]
    ) -> FeedResult:
        return FeedResult(0)  # it loads nothing

    def forget(
        self, writer: IndexWriter, documents: DocumentSnapshot, collection: str, since_etag: int, documents_max: int
    ) -> FeedResult:
        assert self._groups is not None, "start comes first"
        fed = self._groups.feed_tombstones(documents, collection, since_etag, documents_max=documents_max)
        return FeedResult.of(fed)

    def remove(self, writer: IndexWriter, id: str) -> None:
        assert self._groups is not None, "start comes first"
        self._groups.delete(id)

    def finish(self, writer: IndexWriter, documents: DocumentSnapshot) -> FeedResult:
        assert self._groups is not None and self._entries is not None, "start comes first"
        result = FeedResult(0)
        for group in sorted(self._groups.reduce(self._paths.reduce), key=key_of):
            result.documents += 1
            if group.result is None:
                writer.delete(group.id)
                continue
            document = self._document(group.key, group.result)
            entry = dict(document)
            entry.update((name, document[path]) for name, path, _ in self._kept)
            self._entries.put_reduced(group.id, entry, msgspec.json.encode(document))
        return result

    def _document(self, key: bytes, row: bytes) -> dict[str, Any]:
        count, sums = self._paths.reduce.unpack(row)
        document: dict[str, Any] = dict(zip(self._keys, msgspec.json.decode(key), strict=True))
        for each, total in zip(self._sums, sums, strict=True):
            document[each.name] = 0 if total is None else total
        document[COUNT_FIELD] = count
        return document

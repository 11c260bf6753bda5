"""An index in memory over words and places, filled by hand, and queries of it: for tests of both."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.index_store import IndexStore
from pynori_core.items import DocumentStore

from pynori.queries.indexed import IndexedQuery, IndexView
from pynori.queries.plan import plan
from pynori.queries.request import QueryRequest
from pynori.queries.rows import Row
from pynori.queries.values import Values
from pynori.rql.parser import parse
from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)
from pynori.spatial.options import SpatialOptions
from pynori.spatial.stored import SHAPE, X, Y, is_stored, stored_values
from pynori.text.analyzers import STANDARD, Analyzer


class Shelf:
    """Entries in memory. text: names of fields that are cut into words; spatial: options of fields with places."""

    def __init__(
        self,
        entries: dict[str, dict[str, Any]],
        *,
        text: Iterable[str] = ("text",),
        spatial: dict[str, SpatialOptions] | None = None,
        analyzer: Analyzer = STANDARD,
    ) -> None:
        self.spatial = spatial or {}
        self.analyzer = analyzer
        self.store = IndexStore.create(None)
        self.documents = DocumentStore.create("", bytes(16), "A", in_memory=True)
        words = frozenset(text)
        with self.store.write() as writer:
            numbers = {
                name: writer.field(name, text=True, analyzer=analyzer.terms) if name in words else writer.field(name)
                for name in sorted({name for entry in entries.values() for name in entry})
            }
            for name in self.spatial:
                for suffix, exact in ((X, False), (Y, False), (SHAPE, True)):
                    numbers[name + suffix] = writer.field(name + suffix, exact=exact)
            for id, entry in entries.items():
                kept: dict[int, Any] = {}
                for name, value in entry.items():
                    kept.update({numbers[key]: each for key, each in self.values(name, value).items()})
                writer.put(id, [kept])

    def values(self, name: str, value: Any) -> dict[str, Any]:
        if name not in self.spatial:
            return {name: value}
        shape = self.spatial[name].indexed_shape(value)
        if shape is None or not is_stored(shape):
            return {}
        return {name + suffix: each for suffix, each in stored_values(shape, self.spatial[name]).items()}

    def rows(self, condition: str, order: str = "", parameters: dict[str, Any] | None = None) -> list[Row]:
        request = QueryRequest(f"from index 'I' where {condition} {order}", parameters or {})
        values = Values(parameters or {}, datetime(2026, 1, 1, tzinfo=UTC))
        planned = plan(parse(request.text), request, values)
        snapshot = DocumentSnapshot(self.documents)
        try:
            with self.store.read() as index:
                view = IndexView(
                    "I", index, False, False, None, lambda name: self.analyzer,
                    spatial=lambda name: self.spatial.get(name, SpatialOptions()),
                )  # fmt: skip
                query = IndexedQuery(planned, view, snapshot, values, found_in, once=True)
                found, _ = query.found(planned.page)
                rows = list(found.rows)
                assert found.total == len(rows)
                return rows
        finally:
            snapshot.close()

    def ask(self, condition: str, order: str = "", **parameters: Any) -> list[str]:
        """Ids, in order."""
        return [row.id for row in self.rows(condition, order, parameters)]

    def scores(self, condition: str, **parameters: Any) -> dict[str, float]:
        rows = self.rows(condition, "", parameters)
        return {row.id: row.score for row in rows if row.score is not None}

    def close(self) -> None:
        self.store.close()
        self.documents.close()


def found_in(pattern: str, texts: Sequence[str]) -> list[bool]:
    return [re.search(pattern, text) is not None for text in texts]


def shelved(entries: dict[str, dict[str, Any]], test: Callable[[Shelf], None], **options: Any) -> None:
    """Run a test over a shelf that is closed afterwards."""
    shelf = Shelf(entries, **options)
    try:
        test(shelf)
    finally:
        shelf.close()

"""One query over one index: what is matched, ordered, scored, counted and highlighted, put together.

An `IndexView` is what the database's indexes hand out: a snapshot with what must be known about it. `IndexedQuery` reads
it for one query: `found` gives the rows, `facts` what the answer says beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from pynori_core.matches import Matches

from pynori.errors import InvalidQuery
from pynori.queries import facets, highlight, suggestions
from pynori.queries.access import Found
from pynori.queries.match import Matcher
from pynori.queries.names import IndexNames
from pynori.queries.order import Column, Ids, Orderer
from pynori.queries.patterns import Finder, RegularExpressions
from pynori.queries.plan import Page, Plan
from pynori.queries.rows import Row
from pynori.queries.text import encode
from pynori.queries.values import Values
from pynori.limits import QUERY_ROWS_BATCH

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.index_store import IndexField, IndexSnapshot

    from pynori.text.analyzers import Analyzer


@dataclass(frozen=True, slots=True)
class IndexView:
    """One index as of one commit.

    auto: made for queries, so its fields are named by their paths. reduced: its entries are groups.
    declared: the fields that it can have; None: any. analyzer: that of a text field.
    """

    name: str
    snapshot: IndexSnapshot
    auto: bool
    reduced: bool
    declared: frozenset[str] | None
    analyzer: Callable[[str], Analyzer]
    is_stale: bool = False


class IndexedQuery:
    """A query being read from an index. Blocks; belongs in a thread."""

    def __init__(
        self, plan: Plan, view: IndexView, documents: DocumentSnapshot, values: Values, find: Finder, *, once: bool
    ) -> None:
        query = plan.query
        self._plan = plan
        self._view = view
        self._documents = documents
        self._once = once
        self._values = values
        index = view.snapshot
        self.names = IndexNames(index, query.source.alias, auto=view.auto, declared=view.declared)
        self._words = Words(index, self.names, values, view.analyzer, documents, query.source.alias)
        self._places = Places(index, self.names, values, query.source.alias)
        self.matcher = Matcher(index, self.names, values, self._words, self._places, RegularExpressions(index, find))
        self.orderer = Orderer(index, self.names, values, self._words, self._places, values.now.isoformat)

    def found(self, page: Page) -> Found:
        """The rows of the page, and how many results there are."""
        query = self._plan.query
        if facets.has_facets(query):
            return self._made(self._facets(), page)
        if suggestions.has_suggestions(query):
            asked = suggestions.suggests_of(query, self._values)
            return self._made([suggestions.answer(each, self._view.snapshot, self.names.find) for each in asked], page)
        matches = self.matcher.where(query.where)
        index = self._view.snapshot
        if self._once and not self._view.reduced and index.entry_count != index.document_count:
            ordered = index.distinct_documents(self.orderer.page(matches, query.order_by, 0, len(matches)))
            return Found(len(ordered), self._rows(ordered[page.skip : page.skip + page.take]))
        return Found(len(matches), self._rows(self.orderer.page(matches, query.order_by, page.skip, page.take)))

    def _rows(self, ids: Ids) -> Iterator[Row]:
        """A row for each entry, in their order; ids are read a step at a time."""
        index, reduced = self._view.snapshot, self._view.reduced
        for start in range(0, len(ids), QUERY_ROWS_BATCH):
            part = ids[start : start + QUERY_ROWS_BATCH]
            scores = self._words.scores(part)
            if reduced:
                made = [Row(self._documents, "", json=json or b"{}") for json in index.stored(part)]
            else:
                made = [Row(self._documents, id) for id in index.documents(part)]
            for number, (row, entry) in enumerate(zip(made, part, strict=True)):
                row.entry = entry
                if scores is not None:
                    row.score = float(scores[number])
                yield row

    def _made(self, results: Sequence[Any], page: Page) -> Found:
        """Results that stand for no document: facets and suggestions."""
        chosen = results[page.skip : page.skip + page.take]
        return Found(len(results), (Row(self._documents, "", json=encode(each)) for each in chosen))

    def _facets(self) -> list[dict[str, Any]]:
        query = self._plan.query
        asked = facets.facets_of(query, self._values, self._load)
        matches = self.matcher.where(query.where)
        counter = facets.Facets(
            self._view.snapshot, self.names.find, lambda node, within: self.matcher.match(node, within, False)
        )
        return [counter.answer(facet, matches) for facet in asked]

    def _load(self, id: str) -> Mapping[str, Any] | None:
        found = self._documents.get(id)
        loaded: Mapping[str, Any] | None = None if found is None else msgspec.json.decode(found.json)
        return loaded

"""One query over one index: what is matched, ordered, scored, counted and highlighted, put together.

An `IndexView` is what the database's indexes hand out: a snapshot with what must be known about it. `IndexedQuery`
reads it for one query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from pynori_core.index_page import page_of
from pynori_core.matches import Ordered

from pynori.limits import QUERY_ROWS_BATCH
from pynori.queries.access import Found
from pynori.queries.by_terms import is_by_terms, loaded, through_terms
from pynori.queries.fulltext import FullText
from pynori.queries.highlight import Highlightings, Wanted, highlights_of
from pynori.queries.match import Matcher
from pynori.queries.more_like_this import Likeness, likeness_of
from pynori.queries.names import IndexNames, key_path
from pynori.queries.order import Column, Ids, Orderer, Sort, keys_of, no_sorters
from pynori.queries.patterns import Finder, RegularExpressions
from pynori.queries.plan import Page, Plan
from pynori.queries.project import Projector
from pynori.queries.rows import Row
from pynori.queries.simple import conditions_of
from pynori.queries.spatial import Places
from pynori.queries.text import encode
from pynori.queries.values import Values
from pynori.rql.ast import Call, Order
from pynori.spatial.options import SpatialOptions

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.index_store import IndexSnapshot

    from pynori.text.analyzers import Analyzer


@dataclass(frozen=True, slots=True)
class IndexView:
    """One index as of one commit.

    auto: made for queries, so its fields are named by their paths. reduced: its entries are groups.
    moments: texts that mean moments are compared as such.
    declared: the fields that it can have; None: any. analyzer: that of a text field. spatial: options of
    a spatial field.
    """

    name: str
    snapshot: IndexSnapshot
    auto: bool
    reduced: bool
    declared: frozenset[str] | None
    analyzer: Callable[[str], Analyzer]
    spatial: Callable[[str], SpatialOptions] = lambda name: SpatialOptions()
    is_stale: bool = False
    moments: bool = False


class IndexedQuery:
    """A query being read from an index. Blocks; belongs in a thread."""

    def __init__(
        self,
        plan: Plan,
        view: IndexView,
        documents: DocumentSnapshot,
        values: Values,
        find: Finder,
        *,
        once: bool,
        keeps: bool = False,
        sort: Sort = no_sorters,
    ) -> None:
        """once: of several entries of one document only the first counts. keeps: rows get what the index keeps."""
        query = plan.query
        self._plan = plan
        self._view = view
        self._documents = documents
        self._once = once
        self._values = values
        self._keeps = keeps
        self._find = find
        self._sort = sort
        self.names = IndexNames(
            view.snapshot, query, auto=view.auto, declared=view.declared, moments=view.moments
        )  # fmt: skip

    # What the long way works with; most queries need none of it.

    @cached_property
    def _patterns(self) -> RegularExpressions:
        return RegularExpressions(self._view.snapshot, self._find)

    @cached_property
    def _words(self) -> FullText:
        view, alias = self._view, self._plan.query.source.alias
        return FullText(view.snapshot, self.names, self._values, view.analyzer, alias, self._patterns, self._like)

    @cached_property
    def _places(self) -> Places:
        view, alias = self._view, self._plan.query.source.alias
        return Places(view.snapshot, self.names, self._values, view.spatial, alias)

    @cached_property
    def matcher(self) -> Matcher:
        index = self._view.snapshot
        return Matcher(index, self.names, self._values, self._words, self._places, self._patterns)

    @cached_property
    def orderer(self) -> Orderer:
        index, seed = self._view.snapshot, self._values.now.isoformat
        return Orderer(index, self.names, self._values, self._words, self._places, seed, self._sort)

    def found(self, page: Page) -> tuple[Found, Projector | None]:
        """The rows of the page with how many results there are, and what makes results of them if that is settled."""
        query = self._plan.query
        if is_by_terms(query):
            return through_terms(
                query, self._values, self._view.snapshot, self._documents, self.matcher, self.names
            )
        index = self._view.snapshot
        orders = query.order_by or self._order_of_groups()
        if query.where is None and not self._is_fanned_out:
            # Walking the field that orders them finds the page without a set of all entries.
            ids = self.orderer.page(None, orders, page.skip, page.take)
            return self._found(index.entry_count, ids), None
        found = self._found_at_once(orders, page)
        if found is not None:
            return found, None
        matches = self.matcher.where(query.where)
        if self._is_fanned_out:
            ordered = index.distinct_documents(self.orderer.page(matches, orders, 0, len(matches)))
            return self._found(len(ordered), ordered[page.skip : page.skip + page.take]), None
        ids = self.orderer.page(matches, orders, page.skip, page.take)
        return self._found(len(matches), ids), None

    def _found_at_once(self, orders: Sequence[Order], page: Page) -> Found | None:
        """As `found`, where one native call is enough."""
        if self._is_fanned_out:
            return None
        conditions = conditions_of(self._plan.query.where, self.names, self._values)
        keys = keys_of(orders, self.names) if conditions is not None else None
        if conditions is None or keys is None:
            return None
        total, ids = page_of(self._view.snapshot, conditions, keys, page.skip, page.take)
        entries = None if self._view.reduced else (self._view.snapshot, ids)
        return Found(total, self._rows(ids), entries)

    def _found(self, total: int, ids: Ids) -> Found:
        known = self._view.reduced or self._words.ranks or self._place_order is not None
        return Found(total, self._rows(ids), None if known else (self._view.snapshot, ids))

    @property
    def _is_fanned_out(self) -> bool:
        """Whether a document may have several entries of which only the first counts."""
        index = self._view.snapshot
        return self._once and not self._view.reduced and index.entry_count != index.document_count

    def _order_of_groups(self) -> tuple[Order, ...]:
        """Groups that nobody orders come by their keys: the order in which they were made says nothing."""
        query = self._plan.query
        return tuple(Order(key_path(query, number)) for number in range(len(query.group_by)))

    def highlightings(self) -> Highlightings | None:
        """What marks the words that were searched for, once matching is done; None where nobody asked for it."""
        asked = highlights_of(self._plan.query, self._values)
        if not asked:
            return None
        wanted = {name: Wanted(tokens) for name, tokens in self._words.searched.items()}
        return Highlightings(asked, wanted, lambda name: self._view.analyzer(name).tokens)

    def _distances(self, ids: Ids) -> Column | None:
        """How far entries are from the place that the query orders by; None when it does not."""
        order = self._place_order
        return None if order is None else self._places.distances(order, ids)

    @property
    def _place_order(self) -> Call | None:
        """What the query orders by places with."""
        for order in self._plan.query.order_by:
            if isinstance(order.expression, Call) and order.expression.name == "spatial.distance":
                return order.expression
        return None

    def _like(self, call: Call) -> Likeness:
        """The search of a moreLikeThis()."""
        return likeness_of(
            call,
            self._values,
            self._view.snapshot,
            lambda condition: self.matcher.match(condition, None, False),
            lambda id: loaded(self._documents, id),
            self._words.tokens,
        )

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
            if self._keeps and not reduced:
                for row, kept in zip(made, index.stored(part), strict=True):
                    row.kept = kept
            distances = self._distances(part)
            for number, (row, entry) in enumerate(zip(made, part, strict=True)):
                row.entry = entry
                if scores is not None:
                    row.score = float(scores[number])
                if distances is not None and np.isfinite(distances[number]):
                    row.distance = float(distances[number])
                yield row


class RawEntries:
    """A projector that gives what the index holds of each entry: every field with its terms."""

    def __init__(self, index: IndexSnapshot) -> None:
        self._index = index

    def render(self, rows: Sequence[Row]) -> list[bytes | None]:
        ids = Ordered.of([row.entry for row in rows])
        columns = [(field.name, self._index.values(ids, field.number)) for field in self._index.fields()]
        made: list[bytes | None] = []
        for number, row in enumerate(rows):
            entry: dict[str, Any] = {
                name: found[number][0] if len(found[number]) == 1 else found[number]
                for name, found in columns
                if found[number]
            }
            made.append(encode({**entry, "id()": row.id.lower()}))
        return made

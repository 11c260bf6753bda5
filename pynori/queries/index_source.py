"""The indexes of a database as queries use them: found or made, waited for, opened.

An automatic index that has never been up to date is waited for, so that the query that made it sees everything written
before it. Later queries take what is there, unless they ask to wait themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynori.indexes.auto import AutoIndexDefinition
from pynori.indexes.entries import analyzer_of
from pynori.limits import QUERY_WAIT_MS_DEFAULT
from pynori.queries.indexed import IndexView
from pynori.queries.plan import Access, Plan
from pynori.spatial.options import SpatialOptions, options_from
from pynori.text.analyzers import STANDARD, Analyzer

if TYPE_CHECKING:
    from pynori.indexes.index import Index
    from pynori.indexes.indexes import Indexes


class OpenIndex:
    """An index that a query may read now."""

    __slots__ = ("_index", "_is_stale", "etag")

    def __init__(self, index: Index) -> None:
        self._index = index
        self._is_stale = index.is_stale()
        with index.read() as snapshot:
            self.etag = f"{index.name} {index.created} {snapshot.txn_id} {self._is_stale}"

    def view(self) -> IndexView:
        """Open a snapshot of it. From any thread."""
        index = self._index
        return IndexView(
            index.name,
            index.read(),
            index.is_auto,
            index.is_map_reduce,
            _declared(index),
            self._analyzer,
            self._spatial,
            self._is_stale,
            not index.is_auto and not index.definition.type.startswith("JavaScript"),
        )

    def _analyzer(self, field: str) -> Analyzer:
        return analyzer_of(field, self._index.options_of(field)) or STANDARD

    def _spatial(self, field: str) -> SpatialOptions:
        options = self._index.options_of(field).spatial
        return options_from(None if options is None else options.to_json())


async def open_index(indexes: Indexes, plan: Plan, wait_ms: int | None) -> OpenIndex:
    """The index of a plan, made when it is to be made. wait_ms: until it is up to date, at most so long.

    Raises: IndexDoesNotExist; RequestTimeout when a wait that was asked for ran out.
    """
    index = await _find(indexes, plan)
    index.check_usable()
    index.note_query()
    if wait_ms is not None:
        await index.wait_or_fail(None, wait_ms / 1_000)
    elif index.is_auto and not index.was_current:
        index.was_current = await index.wait_non_stale(None, QUERY_WAIT_MS_DEFAULT / 1_000)
    return OpenIndex(index)


def _declared(index: Index) -> frozenset[str] | None:
    """The fields that may be asked for: those that its maps give, and those that have options."""
    declared = index.declared_fields
    if declared is None or isinstance(index.definition, AutoIndexDefinition):
        return declared
    return declared | frozenset(index.definition.fields)


async def _find(indexes: Indexes, plan: Plan) -> Index:
    if plan.access is Access.INDEX:
        return indexes.find(plan.index_name)
    assert plan.requirements is not None, "only a query for an automatic index comes here"
    return await indexes.for_need(plan.requirements)



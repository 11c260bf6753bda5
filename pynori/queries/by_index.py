"""Documents through an index: match, order, and turn the entries of the page into rows.

Entries of one document count once unless fields are projected out of them; entries of a reduce stand for themselves, and
what the reduce gave is their document. Ids are read from the index a step at a time, documents only when rows are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pynori.limits import QUERY_ROWS_BATCH
from pynori.queries.access import Found
from pynori.queries.match import Matcher
from pynori.queries.order import Ids, Orderer
from pynori.queries.plan import Page
from pynori.queries.rows import Row
from pynori.rql.ast import Query

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.index_store import IndexSnapshot


def through_index(
    query: Query,
    page: Page,
    index: IndexSnapshot,
    documents: DocumentSnapshot,
    matcher: Matcher,
    orderer: Orderer,
    *,
    reduced: bool,
    once: bool,
) -> Found:
    """What the query finds. once: of several entries of one document only the first counts."""
    matches = matcher.where(query.where)
    if once and not reduced and index.entry_count != index.document_count:
        ordered = index.distinct_documents(orderer.page(matches, query.order_by, 0, len(matches)))
        return Found(len(ordered), rows(index, documents, ordered[page.skip : page.skip + page.take], reduced))
    ids = orderer.page(matches, query.order_by, page.skip, page.take)
    return Found(len(matches), rows(index, documents, ids, reduced))


def rows(index: IndexSnapshot, documents: DocumentSnapshot, ids: Ids, reduced: bool) -> Iterator[Row]:
    """A row for each entry, in their order."""
    for start in range(0, len(ids), QUERY_ROWS_BATCH):
        part = ids[start : start + QUERY_ROWS_BATCH]
        names: Sequence[str] = [""] * len(part) if reduced else index.documents(part)
        groups = index.stored(part) if reduced else [None] * len(part)
        scores = getattr(part, "scores", None)
        for number, (entry, name, group) in enumerate(zip(part, names, groups, strict=True)):
            row = Row(documents, name, entry=entry)
            if group is not None:
                row = Row(documents, name, json=group, entry=entry)
            if scores is not None:
                row.score = scores[number]
            yield row

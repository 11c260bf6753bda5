"""Documents without an index: a collection or everything as stored, documents by id or by the prefix of their id.

Collections come in the order of their last change, ids in the order of their text. Documents of `@hilo` are bookkeeping
of clients and no part of "everything".
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from pynori.queries.plan import Access, Page, Plan
from pynori.queries.rows import Row

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot
    from pynori_core.index_store import IndexSnapshot
    from pynori_core.items import StoredDocument
    from pynori_core.matches import Matches, Ordered

    Entries = Matches | Ordered

HILO = "@hilo"


class Found:
    """What matching found: how many results there are in all, and the rows of the page.

    entries: of the rows, where an index has them and knows nothing of them but their documents.
    """

    __slots__ = ("entries", "rows", "total")

    def __init__(self, total: int, rows: Iterator[Row], entries: tuple[IndexSnapshot, Entries] | None = None) -> None:
        self.total = total
        self.rows = rows
        self.entries = entries


def without_index(plan: Plan, snapshot: DocumentSnapshot, page: Page) -> Found:
    """The documents of a plan that needs no index."""
    if plan.access is Access.IDS:
        return by_ids(plan, snapshot, page)
    if plan.access is Access.PREFIX:
        return by_prefix(plan, snapshot, page)
    if plan.collection is None:
        return everything(snapshot, page)
    lowered = plan.collection.lower()
    total = next((count for name, count, _, _ in snapshot.collections() if name.lower() == lowered), 0)
    if not total:
        return Found(0, iter(()))
    scan = snapshot.of_collection(plan.collection, start=page.skip, count=page.take)
    return Found(total, (Row(snapshot, each.id, stored=each) for each in scan))


def everything(snapshot: DocumentSnapshot, page: Page) -> Found:
    total = sum(count for name, count, _, _ in snapshot.collections() if name.lower() != HILO)
    documents = (
        Row(snapshot, item.id)
        for item in snapshot.items_since(0)
        if item.kind == "DOCUMENT" and item.collection.lower() != HILO
    )
    return Found(total, islice(documents, page.skip, page.skip + page.take))


def by_ids(plan: Plan, snapshot: DocumentSnapshot, page: Page) -> Found:
    ids = [id for id in plan.ids if _belongs(snapshot.head(id), plan.collection)]
    chosen = ids[page.skip : page.skip + page.take]
    return Found(len(ids), (Row(snapshot, id) for id in chosen))


def by_prefix(plan: Plan, snapshot: DocumentSnapshot, page: Page) -> Found:
    total = sum(1 for each in snapshot.by_prefix(plan.prefix) if _belongs(each, plan.collection))
    documents = (
        Row(snapshot, each.id, stored=each)
        for each in snapshot.by_prefix(plan.prefix)
        if _belongs(each, plan.collection)
    )
    return Found(total, islice(documents, page.skip, page.skip + page.take))


def _belongs(document: StoredDocument | None, collection: str | None) -> bool:
    if document is None:
        return False
    return collection is None or document.collection.lower() == collection.lower()

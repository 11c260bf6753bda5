"""How a query is answered: from its tree, its values and the indexes there are, to a plan. Pure: nothing is read.

Three ways lead to documents. A collection (or everything) is walked as it is stored when nothing is asked of fields;
documents are looked up when only their ids are asked for; everything else goes through an index, a named one or one
that the database makes for the query. `requirements` says what that one must hold.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum

from pynori.errors import InvalidQuery
from pynori.indexes.auto import AutoIndexDefinition
from pynori.limits import RQL_CACHED_QUERIES
from pynori.queries.request import PAGE_SIZE_MAX, QueryRequest
from pynori.queries.requirements import reasons_of, requirements_of
from pynori.queries.values import Values
from pynori.rql.ast import Call, Comparison, Expression, In, Literal, Query, SourceKind

ALL_DOCUMENTS = "@all_docs"


class Access(Enum):
    """The way to the documents."""

    COLLECTION = "collection"
    IDS = "ids"
    PREFIX = "prefix"
    INDEX = "index"
    AUTO_INDEX = "auto index"


@dataclass(frozen=True, slots=True)
class Page:
    """Which of the results are given: from `skip` on, at most `take`. limited: the text itself had a limit."""

    skip: int
    take: int
    limited: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What execution does.

    collection: as the query spells it; None for everything, and for named indexes. ids: lower-cased, in order.
    reasons: sentences that say why, for people.
    """

    query: Query
    access: Access
    page: Page
    collection: str | None = None
    ids: tuple[str, ...] = ()
    prefix: str = ""
    index_name: str = ""
    requirements: AutoIndexDefinition | None = None
    reasons: tuple[str, ...] = field(default=(), compare=False)

    @property
    def matched_page(self) -> Page:
        """What matching gives: the page itself, or everything where only made results tell what is on the page."""
        distinct = self.query.select is not None and self.query.select.distinct
        return Page(0, PAGE_SIZE_MAX) if distinct or self.query.filter is not None else self.page


def plan(query: Query, request: QueryRequest, values: Values) -> Plan:
    """The plan of a query. Raises InvalidQuery for what no plan can answer."""
    page = page_of(query, request, values)
    source = query.source
    if source.revisions:
        raise InvalidQuery("(Revisions = true) belongs to subscriptions, not to queries")
    if source.kind is SourceKind.INDEX:
        if query.group_by:
            raise InvalidQuery("group by belongs to queries of collections; an index groups by its reduce")
        return Plan(query, Access.INDEX, page, index_name=source.name, reasons=("the query names the index",))
    collection = None if source.kind is SourceKind.ALL_DOCUMENTS else source.name
    if needs_index(query):
        needs, reasons = _needs_of(query, collection)
        return Plan(query, Access.AUTO_INDEX, page, collection, requirements=needs, reasons=reasons)
    if query.where is None or is_true(query.where):
        return Plan(query, Access.COLLECTION, page, collection, reasons=("nothing is asked of any field",))
    prefix = id_prefix(query.where, values)
    if prefix is not None:
        return Plan(query, Access.PREFIX, page, collection, prefix=prefix, reasons=("ids are in order of their text",))
    ids = document_ids(query.where, values)
    assert ids is not None, "needs_index says that this is a condition on ids"
    return Plan(query, Access.IDS, page, collection, ids=ids, reasons=("documents are found by their ids",))


# By the identity of a query's tree, which the parser keeps for texts that come again.
_known_needs: OrderedDict[int, tuple[Query, AutoIndexDefinition, tuple[str, ...]]] = OrderedDict()


def _needs_of(query: Query, collection: str | None) -> tuple[AutoIndexDefinition, tuple[str, ...]]:
    """What the query needs of an index, and why; remembered."""
    known = _known_needs.get(id(query))
    if known is None or known[0] is not query:
        needs = requirements_of(query, collection)
        known = _known_needs[id(query)] = query, needs, reasons_of(needs)
        if len(_known_needs) > RQL_CACHED_QUERIES:
            _known_needs.popitem(last=False)
    return known[1], known[2]


def page_of(query: Query, request: QueryRequest, values: Values) -> Page:
    """The page: the later of the two starts, the smaller of the two sizes."""
    skip = values.count(query.skip, "the start of limit") if query.skip is not None else None
    take = values.count(query.take, "the size of limit") if query.take is not None else None
    limited = None if take is None or take >= PAGE_SIZE_MAX else take
    smaller = request.page_size if take is None else min(take, request.page_size)
    return Page(max(skip or 0, request.start), smaller, limited)


def needs_index(query: Query) -> bool:
    """Whether storage order and ids are not enough."""
    if query.group_by or query.order_by or selects_by_terms(query):
        return True
    return not (query.where is None or is_true(query.where) or is_about_ids(query.where))


def selects_by_terms(query: Query) -> bool:
    """Whether the result is made of an index's terms: facets and suggestions."""
    fields = query.select.fields if query.select is not None else ()
    return any(isinstance(each.expression, Call) and each.expression.name in ("facet", "suggest") for each in fields)


def is_true(expression: Expression) -> bool:
    return isinstance(expression, Literal) and expression.value is True


def is_id(expression: Expression) -> bool:
    """`id()`, or `id(alias)`."""
    return isinstance(expression, Call) and expression.name == "id"


def is_about_ids(where: Expression) -> bool:
    """A single condition that names documents by their ids."""
    if isinstance(where, Comparison):
        return where.operator == "=" and is_id(where.left)
    if isinstance(where, In):
        return not where.every and is_id(where.value)
    starts = isinstance(where, Call) and where.name == "startsWith" and len(where.arguments) == 2
    return starts and is_id(where.arguments[0])  # type: ignore[union-attr]


def id_prefix(where: Expression, values: Values) -> str | None:
    if isinstance(where, Call) and where.name == "startsWith":
        return values.text(where.arguments[1], "the prefix of an id")
    return None


def document_ids(where: Expression, values: Values) -> tuple[str, ...] | None:
    """The ids that a condition names, once each, in the order in which documents are kept by id."""
    if isinstance(where, Comparison):
        found = values.scalars((where.right,))
    elif isinstance(where, In):
        found = values.scalars(where.options)
    else:
        return None
    return tuple(sorted({each.lower() for each in found if isinstance(each, str)}))

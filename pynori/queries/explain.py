"""Why a query goes its way (`debug=explain`), and why a result stands where it stands (`include explanations()`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynori.errors import InvalidQuery
from pynori.queries.options import Options
from pynori.queries.plan import Access, Plan
from pynori.queries.values import Values
from pynori.rql.ast import Call, Query

if TYPE_CHECKING:
    from pynori.queries.rows import Row


def explanation(plan: Plan) -> list[dict[str, str]]:
    """One row for each reason, with the way that it speaks for: `[{Index, Reason}]`."""
    return [{"Index": way(plan), "Reason": reason} for reason in plan.reasons]


def way(plan: Plan) -> str:
    """The way of a plan by name: an index, a collection, or everything."""
    if plan.access is Access.INDEX:
        return plan.index_name
    if plan.access is Access.AUTO_INDEX:
        return "an index that the database makes"
    return "AllDocs" if plan.collection is None else f"collection/{plan.collection}"


class Explanations:
    """Gathers, result by result, what each one's place comes from: `{id or group key: [texts]}`."""

    __slots__ = ("_group_key", "found")

    def __init__(self, group_key: str | None) -> None:
        self._group_key = group_key
        self.found: dict[str, list[str]] = {}

    def add(self, row: Row) -> None:
        key = row.id
        if self._group_key is not None:
            values = row.values_at(self._group_key)
            key = str(values[0]) if values else key
        self.found.setdefault(key, []).append(_reason(row))


def _reason(row: Row) -> str:
    if row.score is not None:
        return f"{row.score:.6g} = score: how telling the words are that were searched for and found (BM25, summed up)"
    if row.distance is not None:
        return f"{row.distance:.6g} = distance to the point that the query orders by"
    return "1 = fulfils every condition; nothing in the query ranks the results"


def explanations_of(query: Query, values: Values) -> Explanations | None:
    """Explanations, if the query includes them. Raises InvalidQuery."""
    for each in query.includes:
        if isinstance(each, Call) and each.name == "explanations":
            if len(each.arguments) > 1:
                raise InvalidQuery("explanations() takes options and nothing else")
            options = Options(values.of(each.arguments[0]) if each.arguments else None, "explanations()")
            return Explanations(options.text("GroupKey"))
    return None

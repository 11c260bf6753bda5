"""Why a query goes the way it goes: the answer to `debug=explain`."""

from __future__ import annotations

from pynori.queries.plan import Access, Plan


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

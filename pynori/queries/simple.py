"""Conditions that one native call answers together with the order: values and ranges of plain fields, joined by `and`.

That is most of what applications ask. Everything else takes the long way: `match` for the conditions, `order` for the
order; both ways give the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pynori_core.index_page import CONDITIONS_MAX

from pynori.indexes.entries import BOOST
from pynori.queries.match import RANGES, kind_of
from pynori.queries.values import Values
from pynori.rql.ast import And, Between, Comparison, Expression, Path

if TYPE_CHECKING:
    from pynori_core.index_page import Condition

    from pynori.queries.names import IndexNames


def conditions_of(where: Expression | None, names: IndexNames, values: Values) -> list[Condition] | None:
    """The conditions of a `where`; None when one of them is of another kind, or tells how well entries fit."""
    nodes: Sequence[Expression] = where.operands if isinstance(where, And) else () if where is None else (where,)
    if not 1 <= len(nodes) <= CONDITIONS_MAX:
        return None
    found = []
    for node in nodes:
        each = _condition(node, names, values)
        if each is None:
            return None
        found.append(each)
    return found


def _condition(node: Expression, names: IndexNames, values: Values) -> Condition | None:
    if isinstance(node, Comparison):
        return _comparison(node, names, values)
    if not isinstance(node, Between) or not isinstance(node.value, Path):
        return None
    field = names.find_of(node.value)
    if field is None:
        return None
    low, high = values.scalar(node.low), values.scalar(node.high)
    if low is None or high is None or kind_of(low) != kind_of(high) or names.moment_in(field, low):
        return None
    return field.number, low, high, True, True


def _comparison(node: Comparison, names: IndexNames, values: Values) -> Condition | None:
    if not isinstance(node.left, Path):
        return None
    field = names.find_of(node.left)
    if field is None:
        return None
    value = values.scalar(node.right)
    if names.moment_in(field, value) is not None:
        return None
    if node.operator == "=":
        ranked = field.text or names.has(field.name + BOOST)
        return None if ranked else (field.number, value)
    if value is None or node.operator not in RANGES:
        return None
    if node.operator in (">", ">="):
        return field.number, value, None, node.operator == ">=", True
    return field.number, None, value, True, node.operator == "<="

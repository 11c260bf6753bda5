"""Make a tree smaller: compute what is constant, drop what cannot be reached.

Nothing that could fail is computed here: a division by a constant zero fails when a document is evaluated, as it would
without folding.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from pynori.expr import tree
from pynori.expr.tree import Literal, Node

INTEGER_LIMIT = 1 << 62
FOLD_DEPTH_MAX = 200  # a tree that is deeper stays as it is; `compile` refuses it


def fold(node: Node, depth: int = 0) -> Node:
    """The same tree or a smaller one with the same value for every document."""
    if depth > FOLD_DEPTH_MAX:
        return node
    changed: dict[str, Any] = {}
    for part in fields(node):
        before = getattr(node, part.name)
        after = _fold_part(before, depth)
        if after is not before:
            changed[part.name] = after
    return _fold_node(replace(node, **changed) if changed else node)


def _fold_part(value: Any, depth: int) -> Any:
    if isinstance(value, tree.NODES):
        return fold(value, depth + 1)
    if not isinstance(value, tuple):
        return value
    items = tuple(_fold_item(item, depth) for item in value)
    return value if all(new is old for new, old in zip(items, value, strict=True)) else items


def _fold_item(item: Any, depth: int) -> Any:
    if isinstance(item, tuple):
        child = fold(item[1], depth + 1)
        return item if child is item[1] else (item[0], child)
    return fold(item, depth + 1) if isinstance(item, tree.NODES) else item


def _fold_node(node: Node) -> Node:
    match node:
        case tree.Filter(condition=Literal(value=True)):
            return node.next
        case tree.Not(operand=Literal(value=value)):
            return Literal(value is not True, node.position)
        case tree.Negate(operand=Literal(value=int() | float() as value)) if not isinstance(value, bool):
            return Literal(-value, node.position) if abs(value) < INTEGER_LIMIT else node
        case tree.Conditional(test=Literal(value=value)):
            return node.yes if value is True else node.no
        case tree.Coalesce(left=Literal(value=value)):
            return node.right if value is None else node.left
        case tree.And(left=Literal(value=value)) if value is not True:
            return Literal(False, node.position)
        case tree.Or(left=Literal(value=True)):
            return Literal(True, node.position)
        case tree.Arithmetic(left=Literal(value=left), right=Literal(value=right)):
            value = _fold_arithmetic(node.operator, left, right)
            return node if value is None else Literal(value, node.position)
    return node


def _fold_arithmetic(operator: str, left: object, right: object) -> int | str | None:
    """Sums, differences and products of small integers, and joined strings; None for everything else."""
    if type(left) is int and type(right) is int:
        value = {"+": left + right, "-": left - right, "*": left * right}.get(operator)
        return value if value is not None and abs(value) < INTEGER_LIMIT else None
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        return left + right
    return None

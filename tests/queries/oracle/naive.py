"""The answer to a query by looking at every document: slow, short, and made of nothing that the product uses.

A question is a small tree of tuples, from which both the query's text and its answer are made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]


def values_at(document: Any, path: str) -> list[Any]:
    """Every scalar that a path names; arrays are entered, what is not there gives nothing."""
    found = [document]
    for part in path.split("."):
        name = part.removesuffix("[]")
        below = []
        for each in found:
            if isinstance(each, dict) and name in each:
                below += flat(each[name])
        found = below
    return [each for each in found if not isinstance(each, dict)]


def flat(value: Any) -> list[Any]:
    return [inner for each in value for inner in flat(each)] if isinstance(value, list) else [value]


def rank(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, bool):
        return 1
    return 2 if isinstance(value, int | float) else 3


def same(left: Any, right: Any, exact: bool) -> bool:
    if rank(left) != rank(right):
        return False
    return folded(left, exact) == folded(right, exact)


def folded(value: Any, exact: bool) -> Any:
    return value.lower() if isinstance(value, str) and not exact else value


def less(left: Any, right: Any, exact: bool, or_equal: bool) -> bool:
    if rank(left) != rank(right) or left is None:
        return False
    left, right = folded(left, exact), folded(right, exact)
    return bool(left < right or (or_equal and left == right))


def holds(node: Any, id: str, document: Document, exact: bool = False) -> bool:
    """Whether a condition holds for a document."""
    kind, *rest = node
    if kind == "and":
        return all(holds(each, id, document, exact) for each in rest)
    if kind == "or":
        return any(holds(each, id, document, exact) for each in rest)
    if kind == "not":
        return not holds(rest[0], id, document, exact)
    if kind == "exact":
        return holds(rest[0], id, document, True)
    if kind == "id":
        return id.lower() in [each.lower() for each in rest[0]]
    if kind == "id prefix":
        return id.lower().startswith(rest[0].lower())
    found = values_at(document, rest[0])
    return test(kind, found, rest[1:], exact)


def test(kind: str, found: list[Any], rest: list[Any], exact: bool) -> bool:
    if kind == "exists":
        return bool(found)
    if kind == "=":
        return any(same(each, rest[0], exact) for each in found)
    if kind == "!=":
        return bool(found) and not any(same(each, rest[0], exact) for each in found)
    if kind in ("<", "<="):
        return any(less(each, rest[0], exact, kind == "<=") for each in found)
    if kind in (">", ">="):
        return any(less(rest[0], each, exact, kind == ">=") for each in found)
    if kind == "between":
        return any(less(rest[0], each, exact, True) and less(each, rest[1], exact, True) for each in found)
    if kind == "in":
        return any(same(each, option, exact) for each in found for option in rest[0])
    if kind == "all in":
        return all(any(same(each, option, exact) for each in found) for option in rest[0])
    text = folded(rest[0], exact)
    texts = [folded(each, exact) for each in found if isinstance(each, str)]
    return any(each.startswith(text) if kind == "startsWith" else each.endswith(text) for each in texts)


# ---------------------------------------------------------------- text


def text_of(node: Any) -> str:
    """A condition as RQL."""
    kind, *rest = node
    if kind in ("and", "or"):
        return "(" + f" {kind} ".join(text_of(each) for each in rest) + ")"
    if kind == "not":
        return f"(true and not ({text_of(rest[0])}))"
    if kind == "exact":
        return f"exact({text_of(rest[0])})"
    if kind == "id":
        return f"id() in ({', '.join(map(literal, rest[0]))})"
    if kind == "id prefix":
        return f"startsWith(id(), {literal(rest[0])})"
    if kind == "exists":
        return f"exists({rest[0]})"
    if kind == "between":
        return f"{rest[0]} between {literal(rest[1])} and {literal(rest[2])}"
    if kind in ("in", "all in"):
        return f"{rest[0]} {kind} ({', '.join(map(literal, rest[1]))})"
    if kind in ("startsWith", "endsWith"):
        return f"{kind}({rest[0]}, {literal(rest[1])})"
    return f"{rest[0]} {kind} {literal(rest[1])}"


def literal(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return json.dumps(value)


# ---------------------------------------------------------------- whole questions


@dataclass(frozen=True)
class Question:
    """A query: condition, order as (path, descending), page, fields, group."""

    where: Any = None
    order: tuple[tuple[str, bool], ...] = ()
    skip: int = 0
    take: int | None = None
    fields: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    total: str = ""

    @property
    def text(self) -> str:
        pieces = ["from Things"]
        if self.group:
            pieces.append("group by " + ", ".join(self.group))
        if self.where is not None:
            pieces.append("where " + text_of(self.where))
        if self.order:
            pieces.append("order by " + ", ".join(f"{path}{' desc' if down else ''}" for path, down in self.order))
        if self.group:
            sums = [f"sum({self.total}) as Total"] if self.total else []
            pieces.append("select " + ", ".join([*self.group, "count() as Many", *sums]))
        elif self.fields:
            pieces.append("select " + ", ".join(self.fields))
        if self.take is not None:
            pieces.append(f"limit {self.skip}, {self.take}")
        return " ".join(pieces)


def sort_key(document: Document, path: str, descending: bool) -> tuple[Any, ...]:
    """Where a document stands in the order of a field: its first value, nothing before null before all others."""
    found = [(rank(each) + 1, folded(each, False)) for each in values_at(document, path)]
    keys = [(number, 0 if value is None else value) for number, value in found] or [(0, 0)]
    return max(keys) if descending else min(keys)


def answer(question: Question, documents: dict[str, Document]) -> list[str]:
    """Ids of everything that matches, in order; ties in any order."""
    found = [
        id for id, document in documents.items() if question.where is None or holds(question.where, id, document)
    ]
    for path, descending in reversed(question.order):
        found.sort(key=lambda id: sort_key(documents[id], path, descending), reverse=descending)
    return found


def groups(question: Question, documents: dict[str, Document]) -> dict[str, tuple[int, float]]:
    """(count, sum) by the text of the key."""
    found: dict[str, tuple[int, float]] = {}
    for document in documents.values():
        keys = [document.get(path) for path in question.group]
        many, total = found.get(json.dumps(keys), (0, 0.0))
        numbers = [each for each in values_at(document, question.total or "-") if rank(each) == 2]
        found[json.dumps(keys)] = (many + 1, total + sum(numbers))
    return found

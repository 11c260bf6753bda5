"""Random trees over random documents: the native evaluator and the naive one agree, value for value."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from pynori_core.blittable import Document
from pynori_core.errors import ExpressionError

from pynori.expr import tree
from pynori.expr.compile import compile
from pynori.expr.describe import describe
from pynori.expr.fold import fold
from tests.expr.naive import MISSING, Evaluator, Failed

NAMES = ("a", "b", "c", "list", "inner", "gone")
TEXTS = ("", "a", "Ab", "ab", "äß", "x😀y", " padded ", "12", "-")
NUMBERS = (0, 1, 2, -1, 7, 1 << 53, (1 << 53) + 1, (1 << 63) - 1, -(1 << 63), 0.5, -2.25, 1e300, 3.0)
CALLS = {
    "to_string": 1, "substring": 3, "index_of": 2, "contains": 2, "starts_with": 2, "to_upper": 1, "trim": 1,
    "distinct": 1, "reverse": 1, "take": 2, "skip": 2, "concat": 2,
}  # fmt: skip
SEQUENCES = ("select", "where", "any", "all", "count", "sum", "min", "max", "average", "first", "first_or_null")


class Drawer:
    """Draws documents and trees."""

    def __init__(self, rand: random.Random) -> None:
        self.rand = rand
        self.bound = [tree.INPUT]

    def scalar(self) -> Any:
        return self.rand.choice((None, True, False, self.rand.choice(NUMBERS), self.rand.choice(NUMBERS),
                                 self.rand.choice(TEXTS)))  # fmt: skip

    def document(self, depth: int = 2) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name in NAMES[:-1]:
            if self.rand.random() < 0.8:
                made[name] = self.scalar()
        if depth:
            if self.rand.random() < 0.8:
                made["list"] = [
                    self.document(depth - 1) if self.rand.random() < 0.3 else self.scalar()
                    for _ in range(self.rand.randrange(5))
                ]
            if self.rand.random() < 0.6:
                made["inner"] = self.document(depth - 1)
        return made

    def leaf(self) -> tree.Expression:
        if self.rand.random() < 0.3:
            return tree.Literal(self.scalar())
        node: tree.Expression = tree.Variable(self.rand.choice(self.bound))
        for _ in range(self.rand.randrange(1, 3)):
            node = tree.Member(node, self.rand.choice(NAMES))
        return node

    def tree(self, depth: int) -> tree.Expression:
        if depth == 0 or self.rand.random() < 0.15:
            return self.leaf()
        draw = self.rand.randrange(10)
        inner = [self.tree(depth - 1) for _ in range(3)]
        if draw == 0:
            return tree.Arithmetic(self.rand.choice("+-*/%"), inner[0], inner[1])
        if draw == 1:
            return tree.Compare(self.rand.choice(tuple(tree.COMPARISONS)), inner[0], inner[1])
        if draw == 2:
            return self.rand.choice((tree.And, tree.Or, tree.Coalesce))(inner[0], inner[1])
        if draw == 3:
            return tree.Conditional(*inner)
        if draw == 4:
            return tree.Not(inner[0])
        if draw == 5:
            return tree.Array(tuple(inner))
        if draw == 6:
            return tree.Record((("a", inner[0]), ("list", inner[1])))
        if draw == 7:
            function = self.rand.choice(tuple(CALLS))
            return tree.Call(function, tuple(inner[: CALLS[function]]))
        return self.sequence(depth)

    def sequence(self, depth: int) -> tree.Expression:
        function = self.rand.choice(SEQUENCES)
        source = tree.Member(tree.Variable(self.rand.choice(self.bound)), "list")
        name = f"x{len(self.bound)}"
        self.bound += [name, name + "i"]
        body = self.tree(depth - 1)
        del self.bound[-2:]
        return tree.Sequence(function, source, (name, name + "i", ""), body)


def plain(value: Any) -> Any:
    """As it comes back from a program: no missing, and JSON knows no infinity within objects and arrays."""
    if value is MISSING:
        return None
    if isinstance(value, dict):
        return {name: within(item) for name, item in value.items()}
    return [within(item) for item in value] if isinstance(value, list) else value


def within(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else plain(value)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[name], right[name]) for name in left)
    if isinstance(left, bool) or isinstance(right, bool) or not isinstance(left, int | float):
        return type(left) is type(right) and bool(left == right)
    # Whole doubles come back from objects as integers, since JSON has one kind of number.
    return isinstance(right, int | float) and (left == right or (left != left and right != right))


def evaluated(program_of: tree.Expression, document: dict[str, Any]) -> Any:
    try:
        return compile(program_of).value(Document.from_python(document))
    except ExpressionError:
        return Failed


def expected(node: tree.Expression, document: dict[str, Any]) -> Any:
    try:
        return plain(Evaluator(document).value(node))
    except Failed:
        return Failed


@pytest.mark.parametrize("seed", range(12))
def test_native_and_naive_agree(seed: int) -> None:
    """For each of many random trees and documents both evaluators give the same value, or both none."""
    drawer = Drawer(random.Random(seed))
    values = 0
    for _ in range(250):
        node, document = drawer.tree(4), drawer.document()
        wanted = expected(node, document)
        if uses_text_of_double(node, document):
            continue
        found = evaluated(node, document)
        assert (found is Failed) == (wanted is Failed), f"seed {seed}\n{describe(node)}\n{document}\n{found} {wanted}"
        if wanted is not Failed:
            values += 1
            assert same(found, wanted), f"seed {seed}\n{describe(node)}\n{document}\n{found!r} {wanted!r}"
    assert values > 80


def uses_text_of_double(node: tree.Expression, document: dict[str, Any]) -> bool:
    """Whether the naive evaluator would need the text of something that it has none for."""

    class Watching(Evaluator):
        """Notes every value."""

        unknown = False

        def value(self, node: tree.Expression) -> Any:
            value = super().value(node)
            if isinstance(value, float | list | dict):
                joins = isinstance(node, tree.Expression) and value is not document  # type: ignore[arg-type]
                self.unknown = self.unknown or bool(joins)
            return value

    texts = any(
        (isinstance(each, tree.Arithmetic) and each.operator == "+")
        or (isinstance(each, tree.Call) and each.function in ("to_string", "contains", "starts_with", "index_of"))
        for each in tree.walk(node)
    )
    if not texts:
        return False
    watching = Watching(document)
    try:
        watching.value(node)
    except Failed:
        return True
    return watching.unknown


@pytest.mark.parametrize("seed", range(4))
def test_folding_changes_no_value(seed: int) -> None:
    """A folded tree is not larger and has the same value for every document."""
    drawer = Drawer(random.Random(1000 + seed))
    for _ in range(150):
        node, document = drawer.tree(4), drawer.document()
        smaller = fold(node)
        assert sum(1 for _ in tree.walk(smaller)) <= sum(1 for _ in tree.walk(node))
        wanted = expected(node, document)
        found = expected(smaller, document)  # type: ignore[arg-type]
        assert (found is Failed) == (wanted is Failed) and (found is Failed or same(found, wanted)), describe(node)

"""The `filter` clause: a condition evaluated over each matching document, without an index.

It says of a document what `where` says of its index entry: an array holds if one of its items does, texts compare
without regard to case unless `exact()` is around, values of different kinds are neither equal nor ordered, and what is
missing has no value at all. Only the functions named here exist; full text needs an index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pynori.errors import InvalidQuery
from pynori.queries.paths import cut, decode
from pynori.queries.rows import Row
from pynori.queries.values import Scalar, Values
from pynori.rql.ast import (
    And,
    Between,
    Call,
    Comparison,
    Expression,
    In,
    Literal,
    Not,
    Or,
    Path,
    as_path,
)

Condition = Callable[[Row], bool]
Test = Callable[[Scalar], bool]


def kind_of(value: Scalar) -> int:
    """Kinds in their order; only values of one kind compare."""
    if value is None:
        return 0
    if isinstance(value, bool):
        return 1
    return 2 if isinstance(value, int | float) else 3


def comparable(value: Scalar, exact: bool) -> Scalar:
    return value.lower() if isinstance(value, str) and not exact else value


class Filter:
    """Makes a condition over rows of an expression."""

    def __init__(self, values: Values, alias: str | None) -> None:
        self._values = values
        self._alias = alias

    def condition(self, node: Expression, exact: bool = False) -> Condition:
        """Raises InvalidQuery for what a filter cannot say."""
        if isinstance(node, And):
            parts = [self.condition(each, exact) for each in node.operands]
            return lambda row: all(part(row) for part in parts)
        if isinstance(node, Or):
            parts = [self.condition(each, exact) for each in node.operands]
            return lambda row: any(part(row) for part in parts)
        if isinstance(node, Not):
            inner = self.condition(node.operand, exact)
            return lambda row: not inner(row)
        if isinstance(node, Literal) and isinstance(node.value, bool):
            constant = node.value
            return lambda row: constant
        if isinstance(node, Comparison):
            return self._comparison(node, exact)
        if isinstance(node, Between):
            low, high = self._values.scalar(node.low), self._values.scalar(node.high)
            return self._any(node.value, _within(comparable(low, exact), comparable(high, exact), exact))
        if isinstance(node, In):
            return self._membership(node, exact)
        if isinstance(node, Call):
            return self._call(node, exact)
        raise InvalidQuery("filter takes conditions")

    def _items(self, expression: Expression) -> Callable[[Row], list[Scalar]]:
        """What gives the values of a field: of an array its items."""
        if isinstance(expression, Call) and expression.name == "id":
            return lambda row: [row.id]
        path = as_path(expression)
        if path is None:
            raise InvalidQuery("filter compares fields with values")
        parts = path.without(self._alias).parts

        def items(row: Row) -> list[Scalar]:
            loaded = row.loaded.get(path.parts[0])
            text = cut(loaded, path.parts[1:]) if isinstance(loaded, dict) else cut(row.fields, parts)
            return [] if text is None else list(flattened(decode(text)))

        return items

    def _any(self, expression: Expression, test: Test) -> Condition:
        items = self._items(expression)
        return lambda row: any(test(value) for value in items(row))

    def _comparison(self, node: Comparison, exact: bool) -> Condition:
        if isinstance(node.right, Path) and not node.right.quoted:
            return self._between_fields(node, exact)
        value = comparable(self._values.scalar(node.right), exact)
        if node.operator == "!=":
            equal, items = _test("=", value, exact), self._items(node.left)
            return lambda row: bool(found := items(row)) and not any(equal(each) for each in found)
        return self._any(node.left, _test(node.operator, value, exact))

    def _between_fields(self, node: Comparison, exact: bool) -> Condition:
        """A field compared with another one of the same document."""
        left, right, operator = self._items(node.left), self._items(node.right), node.operator
        return lambda row: any(
            _test(operator, comparable(value, exact), exact)(each) for value in right(row) for each in left(row)
        )

    def _membership(self, node: In, exact: bool) -> Condition:
        values = [comparable(each, exact) for each in self._values.scalars(node.options)]
        tests = [_test("=", value, exact) for value in values]
        items = self._items(node.value)
        if node.every:
            return lambda row: all(any(test(each) for each in items(row)) for test in tests)
        return lambda row: any(test(each) for test in tests for each in items(row))

    def _call(self, call: Call, exact: bool) -> Condition:
        name, arguments = call.name, call.arguments
        if name == "exact" and len(arguments) == 1:
            return self.condition(arguments[0], True)
        if name == "boost" and arguments:
            return self.condition(arguments[0], exact)
        if name == "exists" and len(arguments) == 1:
            items = self._items(arguments[0])
            return lambda row: bool(items(row))
        if name in ("startsWith", "endsWith") and len(arguments) == 2:
            text = comparable(self._values.text(arguments[1], f"the text of {name}()"), exact)
            assert isinstance(text, str)
            matches = str.startswith if name == "startsWith" else str.endswith
            return self._any(
                arguments[0], lambda each: isinstance(each, str) and matches(str(comparable(each, exact)), text)
            )
        raise InvalidQuery(f"{name}() is not known in filter")


def flattened(value: object) -> Iterator[Scalar]:
    """The scalar values within arrays. Objects have none."""
    if isinstance(value, list):
        for each in value:
            yield from flattened(each)
    elif value is None or isinstance(value, bool | int | float | str):
        yield value


def _test(operator: str, value: Scalar, exact: bool) -> Test:
    """Whether a field's value stands so to the query's, which is comparable already."""
    kind = kind_of(value)

    def test(each: Scalar) -> bool:
        if kind_of(each) != kind:
            return False
        found = comparable(each, exact)
        if operator == "=":
            return found == value
        if operator == "!=":
            return found != value
        if kind == 0:
            return False
        if operator == "<":
            return found < value  # type: ignore[operator]
        if operator == "<=":
            return found <= value  # type: ignore[operator]
        return found > value if operator == ">" else found >= value  # type: ignore[operator]

    return test


def _within(low: Scalar, high: Scalar, exact: bool) -> Test:
    at_least, at_most = _test(">=", low, exact), _test("<=", high, exact)
    return lambda each: at_least(each) and at_most(each)

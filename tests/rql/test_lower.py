"""Conditions over documents: native programs agree with a plain reading of what `where` means."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from pynori_core.blittable import Document

from pynori.errors import InvalidQuery
from pynori.expr.compile import compile
from pynori.rql import ast
from pynori.rql.lower import Lowering
from pynori.rql.parser import parse

DOCUMENT: dict[str, Any] = {
    "name": "Ida", "age": 31, "tags": ["Red", "blue", ["deep"]], "address": {"city": "Köln", "zip": None},
    "lines": [{"product": "p/1", "n": 2}, {"product": "p/2", "n": 5}, {"n": 9}], "empty": [], "ok": True,
    "big": (1 << 53) + 1, "@metadata": {"@collection": "Users"},
}  # fmt: skip
PARAMETERS = {"p": "ida", "list": ["BLUE", "green"], "n": 31, "none": None, "many": [1, [31, 2]]}

CONDITIONS = [
    ("name = 'IDA'", True), ("exact(name = 'IDA')", False), ("exact(name = 'Ida')", True), ("name = $p", True),
    ("name != 'ida'", False), ("name != 'x'", True), ("gone != 'x'", False), ("gone = null", False),
    ("address.zip = null", True), ("address.zip != null", False), ("name != null", True), ("gone = $none", False),
    ("age > 30", True), ("age >= 31 and age <= 31", True), ("age < 31", False), ("age = 31.0", True),
    ("age = '31'", False), ("age > 'a'", False), ("name > 'ie'", False), ("name >= 'IDA'", True), ("ok = true", True),
    ("tags = 'red'", True), ("tags = 'deep'", True), ("tags != 'red'", False), ("tags != 'green'", True),
    ("tags in ('x', 'BLUE')", True), ("tags in ($list)", True), ("tags all in ($list)", False),
    ("tags all in ('red', 'blue')", True), ("age in (1, $many)", True), ("age in ($n, 7)", True),
    ("lines[].product = 'P/2'", True), ("lines.product = 'p/2'", True), ("lines[].n > 8", True),
    ("lines[].n > 9", False),
    ("lines[].n between 3 and 4", False), ("lines[].n between 5 and 6", True), ("age between 31 and $n", True),
    ("lines[0].n = 2", True), ("lines[7].n = 2", False), ("exists(name)", True), ("exists(gone)", False),
    ("exists(empty)", False), ("exists(address.zip)", True), ("exists(lines[].product)", True), ("empty = null", False),
    ("startsWith(name, 'ID')", True), ("endsWith(tags, 'UE')", True), ("startsWith(age, '3')", False),
    ("exact(startsWith(name, 'ID'))", False), ("not (name = 'x') and true", True), ("name = 'x' or age = 31", True),
    ("id() = 'USERS/1'", True), ("id() in ('users/1', 'users/2')", True), ("startsWith(id(), 'users/')", True),
    ("'@metadata.@collection' = 'users'", True), ("address.city = 'KÖLN'", True), ("big = 9007199254740993", True),
    ("big = 9007199254740992", False), ("true", True), ("boost(name = 'ida', 2)", True), ("name = name", True),
    ("age = big", False), ("lines[].n = age", False), ("gone = gone", False), ("address = null", False),
    ("address != 'x'", True), ("exists(address)", True),
]  # fmt: skip


def condition(text: str) -> ast.Expression:
    where = parse(f"from Users as u where {text}").where
    assert where is not None
    return where


def holds(node: ast.Expression, document: dict[str, Any]) -> bool:
    program = compile(Lowering("u").condition(node))
    return program.test(Document.from_python(document), id="users/1", parameters=Document.from_python(PARAMETERS))


@pytest.mark.parametrize(("text", "wanted"), CONDITIONS)
def test_conditions(text: str, wanted: bool) -> None:
    """Each form of a condition, with and without the alias of the source."""
    assert holds(condition(text), DOCUMENT) == wanted


def test_aliases_loads_and_calls() -> None:
    """An alias is the document; a loaded one is another document; calls have the value that is given for them."""
    assert holds(condition("u.name = 'ida' and id(u) = 'users/1'"), DOCUMENT)
    query = parse("from Users as u load u.boss as b where b.name = 'x' or u.since < now()")
    assert query.where is not None
    program = compile(Lowering("u", query.loads, lambda call: "2020").condition(query.where))
    references: list[tuple[str, str | None]] = []
    document = Document.from_python({"boss": "users/7", "since": "2019"})
    assert program.test(document, id="users/1", references=references)
    assert references == [("users/7", None)]


@pytest.mark.parametrize(
    "text",
    ["search(name, 'x')", "lucene(name, 'x')", "name = sum(age)", "spatial.within(a, spatial.wkt('x'))", "now()"],
)
def test_what_needs_an_index_is_refused(text: str) -> None:
    """Functions that need an index cannot be evaluated over a document."""
    with pytest.raises(InvalidQuery):
        Lowering("u").condition(condition(text))


def test_many_operands_do_not_make_a_deep_tree() -> None:
    """A thousand conditions joined by `or` compile; nesting has a bound."""
    text = " or ".join(f"age = {number}" for number in range(1000))
    assert holds(condition(text), DOCUMENT)
    node = condition("age = 31")
    for _ in range(200):
        node = ast.Not(node)
    with pytest.raises(InvalidQuery, match="deeper"):
        Lowering().condition(node)


# ---- random conditions


def values_at(value: Any, parts: tuple[str, ...]) -> Iterator[Any]:
    """What an index would have of a path: items of arrays, one by one; an object is a value that equals no scalar."""
    if isinstance(value, list):
        for item in value:
            yield from values_at(item, parts)
    elif not parts:
        yield value
    elif isinstance(value, dict) and parts[0] in value:
        yield from values_at(value[parts[0]], parts[1:])


def kind(value: Any) -> int:
    return 0 if value is None else 1 if isinstance(value, bool) else 2 if isinstance(value, int | float) else (
        3 if isinstance(value, str) else 4)


def related(operator: str, left: Any, right: Any) -> bool:
    if kind(left) != kind(right):
        return False
    a, b = (each.lower() if isinstance(each, str) else each for each in (left, right))
    if operator == "=" or left is None:
        return bool(a == b) and operator == "="
    return bool({"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[operator])


def naive(node: ast.Expression, document: dict[str, Any]) -> bool:
    match node:
        case ast.And():
            return all(naive(each, document) for each in node.operands)
        case ast.Or():
            return any(naive(each, document) for each in node.operands)
        case ast.Not():
            return not naive(node.operand, document)
        case ast.Comparison(left=ast.Path() as path, right=ast.Literal(value=wanted)):
            found = list(values_at(document, path.parts))
            if node.operator == "!=":
                return bool(found) and not any(related("=", each, wanted) for each in found)
            return any(related(node.operator, each, wanted) for each in found)
        case ast.In(value=ast.Path() as path):
            found = list(values_at(document, path.parts))
            options = [option.value for option in node.options if isinstance(option, ast.Literal)]
            return (all if node.every else any)(any(related("=", each, option) for each in found) for option in options)
        case ast.Between(value=ast.Path() as path, low=ast.Literal() as low, high=ast.Literal() as high):
            found = list(values_at(document, path.parts))
            return any(related(">=", each, low.value) and related("<=", each, high.value) for each in found)
    raise AssertionError(node)


class Drawer:
    """Draws documents and conditions."""

    def __init__(self, seed: int) -> None:
        self.rand = random.Random(seed)

    def scalar(self) -> Any:
        return self.rand.choice((None, True, False, 0, 1, 2, 1.0, 1.5, -3, "a", "A", "b", "Äx", "äX", ""))

    def document(self, depth: int = 2) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name in "abc":
            draw = self.rand.random()
            if draw < 0.4:
                made[name] = self.scalar()
            elif draw < 0.6:
                made[name] = [self.scalar() for _ in range(self.rand.randrange(3))]
            elif draw < 0.75 and depth:
                made[name] = self.document(depth - 1)
            elif draw < 0.9 and depth:
                made[name] = [self.document(depth - 1) for _ in range(self.rand.randrange(3))]
        return made

    def condition(self, depth: int) -> ast.Expression:
        draw = self.rand.randrange(7)
        if depth and draw < 3:
            operands = tuple(self.condition(depth - 1) for _ in range(self.rand.randrange(2, 4)))
            return (ast.And, ast.Or)[draw](operands) if draw < 2 else ast.Not(operands[0])
        path = ast.Path(tuple(self.rand.choice("abc") for _ in range(self.rand.randrange(1, 3))))
        literals = tuple(ast.Literal(self.scalar()) for _ in range(2))
        if draw == 3:
            return ast.In(path, literals, self.rand.random() < 0.5)
        if draw == 4:
            return ast.Between(path, *literals)
        return ast.Comparison(self.rand.choice(("=", "!=", "<", "<=", ">", ">=")), path, literals[0])


@pytest.mark.parametrize("seed", range(6))
def test_native_and_naive_agree(seed: int) -> None:
    """Random conditions hold for the same random documents."""
    drawer = Drawer(seed)
    held = 0
    for _ in range(400):
        node, document = drawer.condition(3), drawer.document()
        wanted = naive(node, document)
        held += wanted
        assert holds(node, document) == wanted, f"seed {seed}\n{node}\n{document}"
    assert 40 < held < 360

"""Projections: expressions over rows, with declared functions, parameters and loaded documents."""

from __future__ import annotations

import json

import pytest

from pynori.errors import JavaScriptError
from pynori.js.engine import ScriptEngine
from pynori.js.projection import Projection, ProjectionRow


def row(n: int, *loaded: bytes | None) -> ProjectionRow:
    return ProjectionRow(b'{"n":%d,"ref":"r/%d","@metadata":{"@id":"d/%d"}}' % (n, n, n), None, loaded)


def test_objects_scalars_and_what_they_see() -> None:
    """An expression gives an object or a value; it sees the document, what was loaded, functions and parameters."""
    engine = ScriptEngine()
    made = Projection(
        engine, "{ n: twice(d.n) + $plus, own: id(d), other: r && r.v, ref: load(d.ref).k, me: this === d }",
        ["function twice(x) { return x * factor() }", "const factor = () => $factor"], ["d", "r"],
        b'{"plus":1,"factor":2}',
    )  # fmt: skip
    rows = [row(1, b'{"v":"one"}'), row(2, None)]
    found = made.run(rows, lambda id: b'{"k":"%b"}' % id.encode())
    assert [json.loads(one) for one in found if isinstance(one, bytes)] == [
        {"n": 3, "own": "d/1", "other": "one", "ref": "r/1", "me": True},
        {"n": 5, "own": "d/2", "other": None, "ref": "r/2", "me": True},
    ]
    scalars = {"d.n + 1": b"2", "undefined": b"null", "[d.n, 'x']": b'[1,"x"]', "'a' + 1": b'"a1"'}
    for source, expected in scalars.items():
        assert Projection(engine, source, (), ["d"]).run([row(1)], lambda id: None) == [expected]


def test_a_row_that_fails() -> None:
    """A row whose expression throws has the error with its place in the text that threw."""
    function = "function f(d) {\n  if (d.n == 1) return d.x(); return 0 }"
    made = Projection(ScriptEngine(), "{\n  a: f(d) }", [function], ["d"])
    first, second = made.run([row(1), row(2)], lambda id: None)
    assert isinstance(first, JavaScriptError) and first.line == 2 and second == b'{"a":0}'
    with pytest.raises(JavaScriptError):
        Projection(ScriptEngine(), "{ a: }")
    for name in ("a){", "1a", "a b", "", "if"):
        with pytest.raises(JavaScriptError):
            Projection(ScriptEngine(), "1", (), [name])


def test_great_integers_pass() -> None:
    """An integer beyond 2^53 that is only handed on keeps its digits."""
    made = Projection(ScriptEngine(), "{ big: d.big, one: d.one }", (), ["d"])
    document = ProjectionRow(b'{"big":9223372036854775807,"one":1.0}', "a")
    assert made.run([document], lambda id: None) == [b'{"big":9223372036854775807,"one":1}']

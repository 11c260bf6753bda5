"""Definitions in each form of the subset compile to programs that give the right entries; all else is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pynori_core.blittable import Document
from pynori_core.errors import ExpressionError
from pynori_core.expr import Boosted, DynamicField, Point, Shape

from pynori.errors import CompilationError
from pynori.linq.lower import Aggregate, SourceKind, is_linq, parse_map, parse_reduce

BOAT: dict[str, Any] = {
    "name": "Störtebeker", "knots": 12, "length": 10.5, "built": "2001-05-17T08:30:00.0000000Z",
    "sold": "2001-05-19T08:30:00.0000000Z", "owner": {"name": "Ida", "port": None}, "crew": ["Ole", "Mia"],
    "trips": [{"to": "Kiel", "miles": 40, "paid": 12.5}, {"to": "Malmö", "miles": 90, "paid": 30.25},
              {"to": "Kiel", "miles": 41}],
    "tags": {"flag": "DK", "sail": "red"}, "position": {"lat": 54.3, "lng": 10.1}, "wkt": "POINT (10.1 54.3)",
    "@metadata": {"@collection": "Boats", "note": "x"},
}  # fmt: skip
ID = "boats/7-A"

# Definitions, a line of dashes, the entries for BOAT as JSON, one a line.
MAPS = [
    (text.strip(), entries.strip().splitlines())
    for text, _, entries in (
        block.partition("\n----")
        for block in (Path(__file__).parent / "testdata" / "maps.txt").read_text("utf-8").split("\n\n")
    )
]


def shown(value: Any) -> Any:
    """Marked values as text."""
    if isinstance(value, Point | Shape | Boosted | DynamicField):
        return f"{type(value).__name__}{tuple(value)!r}"
    return [shown(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("text", "entries"), MAPS, ids=range(len(MAPS)))
def test_a_map_gives_its_entries(text: str, entries: list[str]) -> None:
    """The definition compiles, and its program gives these entries for the document."""
    found = parse_map(text).program.run(Document.from_python(BOAT), id=ID)
    lines = [json.dumps({name: shown(value) for name, value in entry.items()}, ensure_ascii=False) for entry in found]
    assert lines == entries


def test_what_a_map_runs_over() -> None:
    """Collections, time series and counters with their names are told apart."""
    cases = {
        "from x in docs select new { x.a }": (SourceKind.DOCUMENTS, None, None),
        "from x in docs.contacts select new { x.a }": (SourceKind.DOCUMENTS, "contacts", None),
        'from x in docs["Two Words"] select new { x.a }': (SourceKind.DOCUMENTS, "Two Words", None),
        "from c in counters.Boats select new { c.Value }": (SourceKind.COUNTERS, "Boats", None),
        "counters.Boats.Likes.Select(c => new { c.Value })": (SourceKind.COUNTERS, "Boats", "Likes"),
        "from ts in timeSeries.Boats.Speed.Where(x => true) from entry in ts.Entries select new { entry.Value }":
            (SourceKind.TIME_SERIES, "Boats", "Speed"),
        "timeseries.Boats.Speed.SelectMany(ts => ts.Entries, (ts, entry) => new { entry.Value, ts.Name })":
            (SourceKind.TIME_SERIES, "Boats", "Speed"),
    }  # fmt: skip
    for text, wanted in cases.items():
        definition = parse_map(text)
        assert (definition.kind, definition.collection, definition.name) == wanted, text


def test_time_series_and_counters() -> None:
    """Programs over segments and counters read what those objects hold."""
    series = Document.from_python({
        "DocumentId": "boats/1", "Name": "Speed", "Entries": [
            {"Value": 3, "Values": [3, 4], "Timestamp": "2020-02-29T23:59:59.5000000Z", "Tag": "gps"}],
    })  # fmt: skip
    text = """from ts in timeSeries.Boats.Speed from entry in ts.Entries select new {
        beat = entry.Values[1], date = entry.Timestamp.Date, user = ts.DocumentId, entry.Tag, no = entry.Values[7] }"""
    entry = {"beat": 4, "date": "2020-02-29T00:00:00.0000000Z", "user": "boats/1", "Tag": "gps"}
    assert parse_map(text).program.run(series) == [entry]
    counter = Document.from_python({"DocumentId": "boats/1", "Name": "Likes", "Value": 5})
    text = "from c in counters.Boats.Likes select new { delta = c.Value, name = c.Name, user = c.DocumentId }"
    assert parse_map(text).program.run(counter) == [{"delta": 5, "name": "Likes", "user": "boats/1"}]


def reduced(text: str, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return parse_reduce(text).program.run([Document.from_python(result) for result in results])


def test_reduces() -> None:
    """Both forms group and aggregate; the key can have parts; what can be kept up to date is told."""
    rows = [{"name": "a", "count": 1, "price": 0.1}, {"name": "b", "count": 2, "price": 5},
            {"name": "a", "count": 3, "price": 0.2}]  # fmt: skip
    query = """from result in results group result by result.name into g
        select new { name = g.Key, count = g.Sum(x => x.count) }"""
    assert reduced(query, rows) == [{"name": "a", "count": 4}, {"name": "b", "count": 2}]
    definition = parse_reduce(query)
    assert definition.key_fields == ("name",)
    assert definition.aggregates == (Aggregate("name", "key"), Aggregate("count", "sum", "count"))
    assert definition.key_program.value(Document.from_python(rows[1])) == "b"
    chain = """results.GroupBy(r => new { N = r.name, Big = r.count > 2 }).Select(g => new {
        Name = g.Key.N, Big = g.Key.Big, Price = Enumerable.Sum(g, r => ((decimal) r.price)),
        Most = g.Max(r => r.count) })"""
    assert reduced(chain, [*rows, {"name": "a", "count": 1, "price": 0.2}]) == [
        {"Name": "a", "Big": False, "Price": 0.3, "Most": 1},
        {"Name": "b", "Big": False, "Price": 5, "Most": 2},
        {"Name": "a", "Big": True, "Price": 0.2, "Most": 3},
    ]
    definition = parse_reduce(chain)
    assert definition.key_fields == () and definition.aggregates[0] == Aggregate("Name", "key", "N")
    assert definition.key_program.value(Document.from_python(rows[2])) == {"N": "a", "Big": True}
    again = parse_reduce("""from r in results group r by new { r.a, r.b } into g let n = g.Sum(x => x.n)
        select new { g.Key.a, g.Key.b, n }""")  # fmt: skip
    rows = [{"a": 1, "b": "x", "n": 1}, {"a": 1, "b": "y", "n": 1}, {"a": 1.0, "b": "x", "n": 1}]
    entries = again.program.run([Document.from_python(row) for row in rows])
    assert entries == [{"a": 1, "b": "x", "n": 2}, {"a": 1, "b": "y", "n": 1}]
    assert again.key_fields == ("a", "b") and again.aggregates == ()


# (text, line, column, part of the message)
REFUSED = [
    ("docs.Users.OrderBy(u => u.Id).Select(u => new { u.Name })", 1, 11, "'OrderBy' cannot be used"),
    ("from u in docs.Users orderby u.name select new { u.name }", 1, 22, "'orderby' is not part of the subset"),
    ("from u in docs.Users select u.name", 1, 30, "end with 'new { }'"),
    ("from u in docs.Users select new { }", 1, 29, "'new { }' is empty"),
    ("from u in docs.Users select new { u.name, u.name }", 1, 43, "the member 'name' is there twice"),
    ("from u in docs.Users\nselect new {\n  x = y.name }", 3, 7, "the name 'y' does not exist"),
    ("from u in docs.Users select new { u.name + 1 }", 1, 35, "needs a name"),
    ("from u in docs.Users select new { a = u.Foo() }", 1, 40, "the method 'Foo' is not part"),
    ("from u in docs.Users select new { a = Foo(u) }", 1, 39, "the function 'Foo' is not part"),
    ("from u in docs.Users select new { Name = typeof(System.Xml.XmlNode).Name }", 1, 42, "no assembly"),
    ("from u in docs.Users select new { a = $\"x\" }", 1, 39, "interpolated strings"),
    ("from u in docs.Users select new { a = \"x }", 1, 39, "does not end"),
    ("from u in docs.Users select new { a = u is string }", 1, 41, "'is' is not part of the subset"),
    ("from u in docs.Users select new { a = u.list.Select(x => { return x; }) }", 1, 58, "lambdas with statements"),
    ("from u in docs.Users select new { a = 99999999999999999999 }", 1, 39, "64 bits"),
    ("from u in users select new { u.name }", 1, 11, "not with 'users'"),
    ("from u in docs.Users.More select new { u.name }", 1, 21, "one name too many"),
    ("from u in docs.Users", 1, 21, "a name is expected, not the end"),
    ("", 1, 1, "empty"),
    ("map('Users', u => ({ name: u.name }))", 1, 5, "does not end"),
    ("from u in docs.Users group u by u.name into g select new { g.Key }", 1, 22, "does not group"),
    ("from u in docs.Users select new { a = new User { Name = u.name } }", 1, 48, "'new User { }'"),
    ("from u in docs.Users select new { a = u.name.Substring(1, 2, 3) }", 1, 45, "with 3 arguments"),
    ("from u in docs.Users select new { a = LoadAttachment(u, \"x\") }", 1, 39, "'LoadAttachment'"),
    ("from u in docs.Users join x in docs.X on u.a equals x.b select new { u.a }", 1, 22, "'join' is not part"),
    ("docs.Users.Select(u => new { v = u }).Select(x => new { x.w })", 1, 58, "no member 'w'"),
    ("from u in docs.Users select new { a = \"\\q\" }", 1, 39, "no escape"),
    ("from u in docs.Users select new { a = (u.name }", 1, 47, "')' is expected"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "message"), REFUSED)
def test_what_lies_outside_is_refused(text: str, line: int, column: int, message: str) -> None:
    """The error has the wire's name, says where and what, and shows the line."""
    with pytest.raises(CompilationError) as raised:
        parse_map(text)
    assert f"(line {line}, column {column})" in str(raised.value), str(raised.value)
    assert message in str(raised.value)
    assert raised.value.property_name == "Maps"
    assert raised.value.problematic_text in text


def test_reduces_that_are_refused() -> None:
    """A reduce groups results and loads nothing."""
    for text, message in (
        ("from r in docs.X group r by r.a into g select new { g.Key }", "from result in results"),
        ("from r in results select new { r.a }", "a reduce groups"),
        ("results.Select(r => new { r.a })", "begins with results.GroupBy"),
        ("results.GroupBy(r => r.a)", "ends with Select"),
        ("from r in results group r by r.a into g select new { a = LoadDocument(g.Key, \"X\").n }", "cannot load"),
        ("from r in results group r by r.a", "needs 'into'"),
        ("from r in results group r by r.a into g where g.Key > 1 select new { g.Key }", "a condition on a group"),
        ("results.GroupBy(r => r.a).Where(g => g.Key > 1).Select(g => new { g.Key })", "a condition on a group"),
        ("results.GroupBy(r => r.a).Select(g => new { g.Key, n = g.Average(x => x.n) })", "'Average' over a group"),
        ("results.GroupBy(r => r.a).Select(g => new { g.Key, n = g.Count(x => x.n > 1) })", "'Count' over a group"),
        ("from r in results group r by r.a into g from x in g select new { x.n }", "one entry, not several"),
    ):
        with pytest.raises(CompilationError, match=message) as raised:
            parse_reduce(text)
        assert raised.value.property_name == "Reduce"


def test_assemblies_make_types_known() -> None:
    """A type's name can be used when an assembly of its name space is given."""
    text = "from c in docs.Companies select new { Name = typeof(System.Xml.XmlNode).Name }"
    definition = parse_map(text, assemblies=["System.Xml", "System.Private.Xml"])
    assert definition.program.run(Document.from_python({})) == [{"Name": "XmlNode"}]


def test_failures_when_it_runs() -> None:
    """A division by zero, a string that is no date and the like fail the document, and the message says where."""
    for text, message in (
        ("from u in docs let x = 0 select new { Total = 3/x };", "divide by zero (line 1, column 48)"),
        ("from u in docs.Users select new { a = 5 / u.zero }", "divide by zero (line 1, column 41)"),
        ("from u in docs.Users\nselect new { a = 5M / u.zero }", "divide by zero (line 2, column 21)"),
        ("from u in docs.Users select new { a = ((DateTime)u.name).Year }", "a string is not a date"),
        ("from u in docs.Users select new { a = u.name * 2 }", "a string and a number cannot be combined by '*'"),
        ("from u in docs.Users select new { a = u.name.Substring(9) }", "the start lies outside"),
        ("from u in docs.Users select new { a = u.list.First(x => x > 9) }", "no such element"),
        ("from u in docs.Users from x in u.name select new { x }", "a string is no sequence"),
        ("from u in docs.Users select new { a = (int)u.name }", "not a number"),
        ("from u in docs.Users select new { a = CreateSpatialField(u.name, 1) }", "have to be numbers"),
    ):
        with pytest.raises(ExpressionError) as raised:
            parse_map(text).program.run(Document.from_python({"name": "Ida", "zero": 0, "list": [1, 2]}))
        assert message in str(raised.value)


def test_languages_are_told_apart() -> None:
    """LINQ is known by how it begins."""
    for text in ("from x in docs select new { x.a }", " docs.Users.Select(x => new { x.a })",
                 "docs[\"A\"].Select(x => 1)", "from\nx in docs select new {x.a}", "counters.A.B.Select(x => 1)",
                 "results.GroupBy(x => x)"):  # fmt: skip
        assert is_linq(text), text
    for text in ("map('Users', u => ({}))", "counters.map('A', 'B', c => ({}))", "timeSeries.map('A', t => 1)",
                 "groupBy(x => x).aggregate(g => 1)", "// hm\nmap('x', y => 1)", "function f() {}"):  # fmt: skip
        assert not is_linq(text), text

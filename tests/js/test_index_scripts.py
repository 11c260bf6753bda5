"""Maps and reduces in JavaScript: what they map, what they give, what they refer to, how they fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pynori.errors import JavaScriptError
from pynori.js.engine import Runner, ScriptEngine, ScriptLimits
from pynori.js.index_scripts import EntryField, JavaScriptMap, JavaScriptReduce, MappedDocument, entry_fields
from pynori.js.worker import ScriptWorkers


@pytest.fixture(scope="module", params=["engine", "workers"])
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """The same in this process and in a child."""
    if request.param == "engine":
        yield ScriptEngine(ScriptLimits(time_ms=300))
        return
    workers = ScriptWorkers(ScriptLimits(time_ms=300))
    yield workers
    workers.close()


def document(id: str, collection: str, **values: Any) -> bytes:
    return json.dumps({**values, "@metadata": {"@id": id, "@collection": collection}}).encode()


def entries(mapped: MappedDocument | JavaScriptError) -> list[Any]:
    assert isinstance(mapped, MappedDocument), mapped
    return [json.loads(entry) for entry in mapped.entries]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("map('Users', u => ({ name: u.name }))", [{"name": "ada"}]),
        ("map('users', function (u) { return { id: id(u), c: getMetadata(u)['@collection'] }; });",
         [{"id": "users/1", "c": "Users"}]),
        ("// a comment\n/* another */ map(\"Users\", (u) => { const { tags } = u; return tags.map(t => ({ t })); })",
         [{"t": "a"}, {"t": "b"}]),
        ("map('Users', u => null)", []),
        ("map('Users', u => undefined)", []),
        ("map('Users', u => [null, { a: u.missing, b: null }, undefined, 5])", [{"b": None}]),
        ("map('Orders', o => ({}))", []),
        ("map(['Orders', 'Users'], o => ({ a: 1 }))", [{"a": 1}]),
        ("map(o => ({ all: true }))", [{"all": True}]),
        ("const f = 5; function g(x) { return x + f }\nmap('Users', u => ({ a: g(1) }))", [{"a": 6}]),
        ("map('Users', u => ({ d: new Date(u.at), year: new Date(u.at).getUTCFullYear() }))",
         [{"d": "2026-11-20T21:17:16.2670000Z", "year": 2026}]),
        ("map('Users', u => { switch (u.name) { case 'ada': return { n: `${u.name}!` }; default: return null } })",
         [{"n": "ada!"}]),
        ("map('Users', u => ({ a: u.name\n  b: mr(u.name),\n  'c': 1\n\n  d: 2 }))",
         [{"a": "ada", "b": "Mr. ada", "c": 1, "d": 2}]),
        ("map('Users', u => ({ n: attachmentsFor(u).length, c: counterNamesFor(u), t: timeSeriesNamesFor(u) }))",
         [{"n": 0, "c": [], "t": []}]),
    ],
)  # fmt: skip
def test_forms_of_maps(runner: Runner, text: str, expected: list[Any]) -> None:
    """Arrow functions and functions, objects, arrays and nothing; functions of additional sources; the lost comma."""
    made = JavaScriptMap(runner, [text], ["function mr(x) { return 'Mr. ' + x; }"])
    given = document("users/1", "Users", name="ada", tags=["a", "b"], at="2026-11-20T21:17:16.2673140Z")
    (mapped,) = made.map_batch([given])
    assert entries(mapped) == expected


def test_several_maps(runner: Runner) -> None:
    """Each document goes through the maps of its collection, and the index knows all collections."""
    texts = ["map('Users', u => ({ n: u.n }))", "map('Products', p => ({ n: -p.n }))", "map('users', u => ({ n: 0 }))"]
    made = JavaScriptMap(runner, texts)
    assert (made.source, made.collections) == ("Documents", ["Users", "Products"])
    batch = [document(f"{kind}/{n}", kind, n=n) for n in range(3) for kind in ("users", "Products", "Others")]
    found = [entries(mapped) for mapped in made.map_batch(batch)]
    assert found == [
        one for n in range(3) for one in ([{"n": n}, {"n": 0}], [{"n": -n}], [])
    ]  # fmt: skip
    assert JavaScriptMap(runner, ["map(d => d)"]).collections is None
    assert JavaScriptMap(runner, ["map('@all_docs', d => d)", texts[0]]).collections is None


def test_load(runner: Runner) -> None:
    """Documents that a map loads come through the callback, each once; every one is reported, missing ones too."""
    asked: list[str] = []
    stored = {"c/1": document("c/1", "Companies", name="ACME", owner="u/1"), "u/1": document("u/1", "Users", name="A")}

    def load(id: str) -> bytes | None:
        asked.append(id)
        return stored.get(id)

    text = """map('Orders', o => {
        const c = load(o.company, 'Companies');
        const all = load(o.more || [], 'Users').filter(x => x);
        return { company: c && c.name, owner: c && load(c.owner, 'Users').name, more: all.length,
                 unseen: noTracking.load('u/1') && 1, own: c && id(c) };
    })"""
    made = JavaScriptMap(runner, [text])
    batch = [document("o/1", "Orders", company="c/1", more=["u/1", "u/2"]), document("o/2", "Orders", company="c/9"),
             document("o/3", "Orders"), document("x", "Others")]  # fmt: skip
    mapped = made.map_batch(batch, load)
    first, second, third, fourth = (entries(one) for one in mapped)
    assert first == [{"company": "ACME", "owner": "A", "more": 1, "unseen": 1, "own": "c/1"}]
    assert second == [{"company": None, "owner": None, "more": 0, "unseen": 1, "own": None}]
    assert third[0]["company"] is None and fourth == []
    assert [one.references for one in mapped if isinstance(one, MappedDocument)] == [
        [("c/1", "Companies"), ("u/1", "Users"), ("u/2", "Users")],
        [("c/9", "Companies")],
        [],
        [],
    ]
    assert sorted(asked) == ["c/1", "c/9", "u/1", "u/2"]


def test_load_without_end(runner: Runner) -> None:
    """A map that loads one document after the other for ever is ended."""
    made = JavaScriptMap(runner, ["map('A', a => { let n = 0; while (n < 1000 && load('x/' + n)) n++; return { n } })"])
    (mapped,) = made.map_batch([document("a", "A")], lambda id: b"{}")
    assert isinstance(mapped, JavaScriptError) and "SCRIPT_LOAD_ROUNDS_MAX" in mapped.message


def test_errors_stay_with_their_document(runner: Runner) -> None:
    """A document whose map fails or does not end has the error, with its place; the others have their entries."""
    text = "map('A', a => {\n  if (a.n == 1) return a.b();\n  while (a.n == 2) {}\n  return { n: a.n } })"
    mapped = JavaScriptMap(runner, [text]).map_batch([document(f"a/{n}", "A", n=n) for n in range(4)])
    assert [entries(mapped[n]) for n in (0, 3)] == [[{"n": 0}], [{"n": 3}]]
    assert isinstance(mapped[1], JavaScriptError) and isinstance(mapped[2], JavaScriptError)
    assert mapped[1].line == 2 and "not a function" in mapped[1].message


@pytest.mark.parametrize(
    ("maps", "fragment"),
    [
        (["map('A', a => ({ b: 1 c: 2 }))"], "line 1, column 23"),
        (["5 + 5"], "must call map"),
        (["map('A')"], "must be a function"),
        (["map('A', a => a); map('B', b => b)"], "once"),
        (["groupBy(a => a).aggregate(g => g)"], "must call map"),
        (["map('A', a => a", "map('B', b => b)"], "SyntaxError"),
        (["map('A', a => a)", "counters.map('B', b => b)"], "one kind"),
        (["throw new Error('at once')"], "at once"),
    ],
)
def test_maps_that_do_not_compile(runner: Runner, maps: list[str], fragment: str) -> None:
    """What is no map is refused when the index is made, with the reason."""
    with pytest.raises(JavaScriptError) as refused:
        JavaScriptMap(runner, maps)
    assert fragment in refused.value.message


def test_counters_and_time_series(runner: Runner) -> None:
    """Counters and time series are mapped by collection and name; times are Dates."""
    counters = JavaScriptMap(runner, ["counters.map('Users', 'Likes', c => ({ v: c.Value, d: c.DocumentId }))"])
    assert (counters.source, counters.collections, counters.descriptions[0].name) == ("Counters", ["Users"], "Likes")
    given = b'{"Name":"likes","Value":7,"DocumentId":"users/1"}'
    (mapped,) = counters.map_batch([given], collection="users", name="likes")
    assert entries(mapped) == [{"v": 7, "d": "users/1"}]
    (mapped,) = counters.map_batch([given], collection="users", name="other")
    assert entries(mapped) == []
    text = "timeSeries.map('Users', ts => ts.Entries.map(e => ({ day: e.Timestamp.getUTCDate(), v: e.Values[0] })))"
    series = JavaScriptMap(runner, [text])
    given = b'{"Entries":[{"Timestamp":"2026-11-20T00:00:00.0000000Z","Values":[1.5],"Tag":null}]}'
    (mapped,) = series.map_batch([given], collection="Users", name="Heartrate")
    assert (series.source, entries(mapped)) == ("TimeSeries", [{"day": 20, "v": 1.5}])


def test_fields_of_an_entry(runner: Runner) -> None:
    """Dynamic fields, field options, boosts and places are told from plain values."""
    text = """map('A', a => ({
        plain: a.n, list: [1, 2], object: { x: 1 },
        boosted: { $value: 'b', $boost: 2.5 },
        where: createSpatialField(1, 2.5), wkt: createSpatialField('POINT (1 2)'), nowhere: createSpatialField(null, 1),
        named: createField('renamed', 'v'),
        _: [createField('d1', a.n, { indexing: 'Search', storage: true, termVector: 'Yes' }),
            { $name: 'd2', $value: null, $options: { indexing: 'Exact', storage: 'No' } },
            createField('d3', createSpatialField(3, 4)), { nothing: 1 }],
    }))"""
    (mapped,) = JavaScriptMap(runner, [text]).map_batch([document("a", "A", n=7)])
    assert isinstance(mapped, MappedDocument)
    assert entry_fields(mapped.entries[0]) == [
        EntryField("plain", 7),
        EntryField("list", [1, 2]),
        EntryField("object", {"x": 1}),
        EntryField("boosted", "b", boost=2.5),
        EntryField("where", None, spatial=(1.0, 2.5), is_spatial=True),
        EntryField("wkt", None, spatial="POINT (1 2)", is_spatial=True),
        EntryField("nowhere", None, is_spatial=True),
        EntryField("renamed", "v"),
        EntryField("d1", 7, "Search", True, "Yes"),
        EntryField("d2", None, "Exact", False),
        EntryField("d3", None, spatial=(3.0, 4.0), is_spatial=True),
    ]
    assert entry_fields(b'{"_":{"$value":"x","$name":"one","$options":{"indexing":"Search","storage":true}}}') == [
        EntryField("one", "x", "Search", True)
    ]


@pytest.mark.parametrize(
    ("text", "keys", "result"),
    [
        ("groupBy(x => x.city).aggregate(g => ({ city: g.key, n: g.values.reduce((t, v) => t + v.n, 0) }))",
         ['"Oslo"', '"Oslo"'], {"city": "Oslo", "n": 5}),
        ("groupBy(x => ({ c: x.city, b: 1 })).aggregate(g => ({ city: g.key.c\n  count: g.values.length }))",
         ['{"b":1,"c":"Oslo"}'] * 2, {"city": "Oslo", "count": 2}),
        ("groupBy(x => { return { c: x.city }; }).aggregate(function (g) { return { ...g.key, k: 1 }; });",
         ['{"c":"Oslo"}'] * 2, {"c": "Oslo", "k": 1}),
        ("groupBy(x => x.nothing).aggregate(g => ({ sum: sum(g.values.map(v => v.n)) }))",
         ["null", "null"], {"sum": 5}),
        ("groupBy(x => [x.city, new Date(0)]).aggregate(g => null)",
         ['["Oslo","1970-01-01T00:00:00.0000000Z"]'] * 2, None),
    ],
)  # fmt: skip
def test_forms_of_reduces(runner: Runner, text: str, keys: list[str], result: Any) -> None:
    """Keys that are values or objects, results of all forms, functions of additional sources."""
    made = JavaScriptReduce(runner, text, ["function sum(list) { return list.reduce((a, b) => a + b, 0) }"])
    given = [b'{"city":"Oslo","n":2}', b'{"n":3,"city":"Oslo"}']
    assert made.keys(given) == keys
    assert made.keys([]) == []
    (found,) = made.reduce_batch([given])
    assert (None if found is None else json.loads(found)) == result


def test_results_are_reduced_again(runner: Runner) -> None:
    """A result among the entries of a later reduce gives what all entries at once would have given."""
    text = "groupBy(x => x.k).aggregate(g => ({ k: g.key, n: g.values.reduce((t, v) => t + v.n, 0) }))"
    made = JavaScriptReduce(runner, text)
    given = [b'{"k":1,"n":%d}' % n for n in range(10)]
    (half,) = made.reduce_batch([given[:5]])
    assert isinstance(half, bytes)
    assert made.reduce_batch([[half, *given[5:]], given]) == [b'{"k":1,"n":45}'] * 2


def test_reduces_that_fail(runner: Runner) -> None:
    """An entry without a key and a group that throws have their errors; the others are not touched."""
    aggregate = "g => { if (g.key == 2) throw new Error('two'); return { k: g.key } }"
    text = f"groupBy(x => x.a.b ?? x.none()).aggregate({aggregate})"
    made = JavaScriptReduce(runner, text)
    good, bad, two = b'{"a":{"b":1}}', b"{}", b'{"a":{"b":2}}'
    keys = made.keys([good, bad, two])
    assert (keys[0], keys[2]) == ("1", "2") and isinstance(keys[1], JavaScriptError)
    results = made.reduce_batch([[good], [two], [bad], [good]])
    assert (results[0], results[3]) == (b'{"k":1}', b'{"k":1}')
    assert all(isinstance(one, JavaScriptError) for one in results[1:3])
    for wrong in ("map('A', a => a)", "groupBy(x => x)", "groupBy(5)", "groupBy(x => x).aggregate()"):
        with pytest.raises(JavaScriptError):
            JavaScriptReduce(runner, wrong)

"""What each form of the language becomes, and what is said of a text that is none."""

import pytest

from pynori.errors import InvalidQuery
from pynori.limits import RQL_DEPTH_MAX, RQL_IN_TERMS_MAX, RQL_SIZE_BYTES_MAX
from pynori.rql.ast import (
    And,
    Between,
    Call,
    Comparison,
    Duration,
    Expression,
    FunctionDeclaration,
    GroupKey,
    In,
    Literal,
    Load,
    Named,
    Not,
    Or,
    Order,
    OrderKind,
    Parameter,
    Path,
    Query,
    Script,
    Select,
    SelectField,
    Source,
    SourceKind,
    TimeSeriesDeclaration,
    TimeSeriesQuery,
    as_path,
    walk,
)
from pynori.rql.parser import _cached, parse, parse_text


def path(text: str, quoted: bool = False) -> Path:
    return Path(tuple(text.split(".")), quoted)


def param(name: str) -> Parameter:
    return Parameter(name)


def call(name: str, *arguments: Expression) -> Call:
    return Call(name, arguments)


def equal(field: str, value: Expression) -> Comparison:
    return Comparison("=", path(field), value)


def fields(*expressions: Expression | tuple[Expression, str]) -> Select:
    return Select(tuple(SelectField(*each) if isinstance(each, tuple) else SelectField(each) for each in expressions))


p0, p1, p2 = param("p0"), param("p1"), param("p2")

SOURCES = {
    "from Users": Source(SourceKind.COLLECTION, "Users"),
    "FROM 'Users' AS u": Source(SourceKind.COLLECTION, "Users", "u"),
    "from Users u": Source(SourceKind.COLLECTION, "Users", "u"),
    'from "Us\'ers"': Source(SourceKind.COLLECTION, "Us'ers"),
    "from 'Us''ers'": Source(SourceKind.COLLECTION, "Us'ers"),
    r"from 'Us\'ers'": Source(SourceKind.COLLECTION, "Us'ers"),
    "from Order": Source(SourceKind.COLLECTION, "Order"),
    "from index": Source(SourceKind.COLLECTION, "index"),
    "from index as i": Source(SourceKind.COLLECTION, "index", "i"),
    "from @all_docs": Source(SourceKind.ALL_DOCUMENTS, "@all_docs"),
    "from '@all_docs' as d": Source(SourceKind.ALL_DOCUMENTS, "@all_docs", "d"),
    "from @empty": Source(SourceKind.COLLECTION, "@empty"),
    "from index 'Orders/All' as o": Source(SourceKind.INDEX, "Orders/All", "o"),
    "From Index Auto/Orders/ByName": Source(SourceKind.INDEX, "Auto/Orders/ByName"),
    "from Dogs (Revisions = true) as d": Source(SourceKind.COLLECTION, "Dogs", "d", True),
    "from Dogs as d (revisions=TRUE)": Source(SourceKind.COLLECTION, "Dogs", "d", True),
    "from Dogs (Revisions = false)": Source(SourceKind.COLLECTION, "Dogs"),
    "// who?\nfrom /* all * of ** them */ Users // end": Source(SourceKind.COLLECTION, "Users"),
}

CONDITIONS: dict[str, Expression] = {
    "name = $p0": equal("name", p0),
    "z==123": equal("z", Literal(123)),
    "a != null": Comparison("!=", path("a"), Literal(None)),
    "a <> 'x'": Comparison("!=", path("a"), Literal("x")),
    "a < -1.5e3": Comparison("<", path("a"), Literal(-1500.0)),
    "a <= 1": Comparison("<=", path("a"), Literal(1)),
    "a > TRUE": Comparison(">", path("a"), Literal(True)),
    "a >= false": Comparison(">=", path("a"), Literal(False)),
    "'order' = 1": Comparison("=", path("order", True), Literal(1)),
    "order = 1": equal("order", Literal(1)),
    "limit in ($p0)": In(path("limit"), (p0,)),
    "not = 1": equal("not", Literal(1)),
    "a.b.c = 1": equal("a.b.c", Literal(1)),
    "a.'b c'.d = 1": Comparison("=", Path(("a", "b c", "d")), Literal(1)),
    "'a.b' = 1": Comparison("=", Path(("a", "b"), True), Literal(1)),
    "lines[].product = $p0": equal("lines[].product", p0),
    "with-dash = 1": equal("with-dash", Literal(1)),
    "@metadata.@last-modified > $p0": Comparison(">", path("@metadata.@last-modified"), p0),
    "größe = 'ß'": equal("größe", Literal("ß")),
    r"a = 'it\'s \\ \n \u0041 \d+'": equal("a", Literal("it's \\ \n A \\d+")),
    r"a = '\ud83d\ude00'": equal("a", Literal("😀")),
    'a = "say ""hi"" it\'s"': equal("a", Literal('say "hi" it\'s')),
    "a = ''": equal("a", Literal("")),
    "a = 9223372036854775807": equal("a", Literal(9223372036854775807)),
    "a = 9223372036854775808": equal("a", Literal(9223372036854775808.0)),
    "a = b.c": equal("a", path("b.c")),
    "age between $p0 and $p1": Between(path("age"), p0, p1),
    "age between 1 and 5 and b = 2": And((Between(path("age"), Literal(1), Literal(5)), equal("b", Literal(2)))),
    "age not between 1 and 5": Not(Between(path("age"), Literal(1), Literal(5))),
    "name in ('a', 'b')": In(path("name"), (Literal("a"), Literal("b"))),
    "name in $p0": In(path("name"), (p0,)),
    "name in ()": In(path("name"), ()),
    "name not in ($p0)": Not(In(path("name"), (p0,))),
    "not name in ($p0)": Not(In(path("name"), (p0,))),
    "tags all in ($p0)": In(path("tags"), (p0,), every=True),
    "id() = $p0": Comparison("=", call("id"), p0),
    "id() in ($p0)": In(call("id"), (p0,)),
    "ID(u) = 'x'": Comparison("=", call("id", path("u")), Literal("x")),
    "startswith(id(), 'users/')": call("startsWith", call("id"), Literal("users/")),
    "endsWith(f, $p0)": call("endsWith", path("f"), p0),
    "exists(x) and not exists(y)": And((call("exists", path("x")), Not(call("exists", path("y"))))),
    "true and not (a = 1)": And((Literal(True), Not(equal("a", Literal(1))))),
    "search(f, $p0)": call("search", path("f"), p0),
    "search(f, $p0, and)": call("search", path("f"), p0, path("and")),
    "search('my field', $p0, OR)": call("search", Literal("my field"), p0, path("or")),
    "lucene(f, $p0)": call("lucene", path("f"), p0),
    "regex(f, '^[a-z ]{2,4}$')": call("regex", path("f"), Literal("^[a-z ]{2,4}$")),
    "exact(f = 'X')": call("exact", equal("f", Literal("X"))),
    "exact(f in ($p0))": call("exact", In(path("f"), (p0,))),
    "boost(a = 1 or b = 2, 3.5)": call("boost", Or((equal("a", Literal(1)), equal("b", Literal(2)))), Literal(3.5)),
    "fuzzy(f = $p0, 0.5)": call("fuzzy", equal("f", p0), Literal(0.5)),
    "proximity(search(f, $p0), 5)": call("proximity", call("search", path("f"), p0), Literal(5)),
    "intersect(a = 1, b = 2)": call("intersect", equal("a", Literal(1)), equal("b", Literal(2))),
    "name = cmpxchg($p0)": equal("name", call("cmpxchg", p0)),
    "at < now()": Comparison("<", path("at"), call("now")),
    "moreLikeThis(id() = $p1, $p0)": call("moreLikeThis", Comparison("=", call("id"), p1), p0),
    "morelikethis('{\"a\": 1}', $p0)": call("moreLikeThis", Literal('{"a": 1}'), p0),
    "vector.search(f, $p0)": call("vector.search", path("f"), p0),
    "a = 1 or b = 2 and c = 3": Or((equal("a", Literal(1)), And((equal("b", Literal(2)), equal("c", Literal(3)))))),
    "a = 1 && (b = 2 || c = 3)": And((equal("a", Literal(1)), Or((equal("b", Literal(2)), equal("c", Literal(3)))))),
    "a = 1 and b = 2 and c = 3": And(tuple(equal(name, Literal(n)) for n, name in enumerate("abc", 1))),
    "spatial.within(spatial.point(lat, lng), spatial.circle($p0, $p1, $p2, 'Miles'))": call(
        "spatial.within",
        call("spatial.point", path("lat"), path("lng")),
        call("spatial.circle", p0, p1, p2, Literal("Miles")),
    ),
    "Spatial.Intersects(spatial.wkt(shape), spatial.wkt($p0), 0.025)": call(
        "spatial.intersects", call("spatial.wkt", path("shape")), call("spatial.wkt", p0), Literal(0.025)
    ),
    "spatial.disjoint(location, spatial.wkt('POINT(1 2)', 'Kilometers'))": call(
        "spatial.disjoint", path("location"), call("spatial.wkt", Literal("POINT(1 2)"), Literal("Kilometers"))
    ),
}

CLAUSES: dict[str, dict[str, object]] = {
    "group by name": {"group_by": (GroupKey(path("name")),)},
    "group by a, b.c as d": {"group_by": (GroupKey(path("a")), GroupKey(path("b.c"), "d"))},
    "group by Array(lines[].product)": {"group_by": (GroupKey(call("array", path("lines[].product"))),)},
    "group by name select key(), key() as 'x', sum(age), count() as count, count()": {
        "group_by": (GroupKey(path("name")),),
        "select": fields(
            call("key"), (call("key"), "x"), call("sum", path("age")), (call("count"), "count"), call("count")
        ),
    },
    "order by f, g desc, 'h' asc": {"order_by": (Order(path("f")), Order(path("g"), True), Order(path("h", True)))},
    "order by count as long desc": {"order_by": (Order(path("count"), True, OrderKind.LONG),)},
    "order by count() , order": {"order_by": (Order(call("count")), Order(path("order")))},
    "order by a as alphanumeric nulls last, b as string DESC nulls first": {
        "order_by": (
            Order(path("a"), False, OrderKind.ALPHANUMERIC, "last"),
            Order(path("b"), True, OrderKind.STRING, "first"),
        )
    },
    "order by random('seed'), score() desc": {
        "order_by": (Order(call("random", Literal("seed"))), Order(call("score"), True))
    },
    "order by custom(name, 'MySorter') desc": {
        "order_by": (Order(call("custom", path("name"), Literal("MySorter")), True),)
    },
    "order by spatial.distance(f, spatial.point($p0,$p1), $p2)": {
        "order_by": (Order(call("spatial.distance", path("f"), call("spatial.point", p0, p1), p2)),)
    },
    "order by spatial.distance('spatial.point(a.lat, a.lng)', spatial.wkt($p0))": {
        "order_by": (
            Order(
                call(
                    "spatial.distance",
                    call("spatial.point", path("a.lat"), path("a.lng")),
                    call("spatial.wkt", p0),
                )
            ),
        )
    },
    "load o.customer as c, o.lines[].product as p[]": {
        "loads": (Load(path("o.customer"), "c"), Load(path("o.lines[].product"), "p", True))
    },
    "select name, address.city as City, id() as Id, 'text', 5, null": {
        "select": fields(
            path("name"), (path("address.city"), "City"), (call("id"), "Id"), Literal("text"), Literal(5), Literal(None)
        )
    },
    "select distinct name": {"select": Select((SelectField(path("name")),), distinct=True)},
    "select distinct": {"select": fields(path("distinct"))},
    "select distinct, name": {"select": fields(path("distinct"), path("name"))},
    "select order, limit as group": {"select": fields(path("order"), (path("limit"), "group"))},
    "select @metadata.@nested-object-types as __PROJECTED_NESTED_OBJECT_TYPES__": {
        "select": fields((path("@metadata.@nested-object-types"), "__PROJECTED_NESTED_OBJECT_TYPES__"))
    },
    "select { a: u.b, c: `x${ {d: '}'} }`, r: /[}/]\"/.test('{') } limit 1": {
        "select": Select(script=Script("{ a: u.b, c: `x${ {d: '}'} }`, r: /[}/]\"/.test('{') }")),
        "take": Literal(1),
    },
    "select distinct {a:1}": {"select": Select(script=Script("{a:1}"), distinct=True)},
    "select f(u, $p0)": {"select": fields(call("f", path("u"), p0))},
    "select counter(u, 'likes') as likes, CounterRaw('x')": {
        "select": fields((call("counter", path("u"), Literal("likes")), "likes"), call("counterRaw", Literal("x")))
    },
    "select facet(product), facet(product, sum(total) as 'turnover', avg(quantity), $p0) as byProduct": {
        "select": fields(
            call("facet", path("product")),
            (
                call(
                    "facet",
                    path("product"),
                    Named(call("sum", path("total")), "turnover"),
                    call("avg", path("quantity")),
                    p0,
                ),
                "byProduct",
            ),
        )
    },
    "select facet(total < $p0, total >= $p0 and total < $p1, sum(total))": {
        "select": fields(
            call(
                "facet",
                Comparison("<", path("total"), p0),
                And((Comparison(">=", path("total"), p0), Comparison("<", path("total"), p1))),
                call("sum", path("total")),
            )
        )
    },
    "select facet(id('facets/CameraFacets'))": {
        "select": fields(call("facet", call("id", Literal("facets/CameraFacets"))))
    },
    "select suggest(name, $p0, $p1) as s": {"select": fields((call("suggest", path("name"), p0, p1), "s"))},
    "include a, b.c, 'lines[].product'": {"includes": (path("a"), path("b.c"), path("lines[].product", True))},
    "include counters('likes'),counters(employee, 'likes'),counters(),counters($p0)": {
        "includes": (
            call("counters", Literal("likes")),
            call("counters", path("employee"), Literal("likes")),
            call("counters"),
            call("counters", p0),
        )
    },
    "include timeseries('x', '2020', null), timeseries('x', last(32)), timeseries('x', 'from', 'to', )": {
        "includes": (
            call("timeseries", Literal("x"), Literal("2020"), Literal(None)),
            call("timeseries", Literal("x"), call("last", Literal(32))),
            call("timeseries", Literal("x"), Literal("from"), Literal("to")),
        )
    },
    "include timeseries(employee, '@all_timeseries', last(604800,'Second'))": {
        "includes": (
            call(
                "timeseries",
                path("employee"),
                Literal("@all_timeseries"),
                call("last", Literal(604800), Literal("Second")),
            ),
        )
    },
    "include cmpxchg('p'), revisions($p0), highlight(f,128,2,$p1), explanations($p2), timings()": {
        "includes": (
            call("cmpxchg", Literal("p")),
            call("revisions", p0),
            call("highlight", path("f"), Literal(128), Literal(2), p1),
            call("explanations", p2),
            call("timings"),
        )
    },
    "filter a > 1 filter_limit 10": {"filter": Comparison(">", path("a"), Literal(1)), "filter_limit": Literal(10)},
    "limit $p0, $p1": {"skip": p0, "take": p1},
    "limit 5": {"take": Literal(5)},
    "limit 5 offset 10": {"skip": Literal(10), "take": Literal(5)},
    "limit null, 3": {"skip": Literal(None), "take": Literal(3)},
    "offset 3": {"skip": Literal(3)},
    "update { put('x/', {'a': this.b}); } ": {"update": Script("{ put('x/', {'a': this.b}); }")},
    "Update {{this.patched=true}}": {"update": Script("{{this.patched=true}}")},
}

SERIES: dict[str, TimeSeriesQuery] = {
    "from HeartRate": TimeSeriesQuery(path("HeartRate")),
    "from u.HeartRate between $p0 and $p1": TimeSeriesQuery(path("u.HeartRate"), low=p0, high=p1),
    'from "gas m3 usage"': TimeSeriesQuery(path("gas m3 usage", True)),
    "from $p0 as s": TimeSeriesQuery(p0, "s"),
    "from X last 1h": TimeSeriesQuery(path("X"), edge="last", span=Duration(1, "hour")),
    "from X first 3 days": TimeSeriesQuery(path("X"), edge="first", span=Duration(3, "day")),
    "from X where Tag = 'a' or Values[0] > 3": TimeSeriesQuery(
        path("X"), where=Or((equal("Tag", Literal("a")), Comparison(">", path("Values[0]"), Literal(3))))
    ),
    "from X load Tag as t where t.kind = 'w'": TimeSeriesQuery(
        path("X"), load=Load(path("Tag"), "t"), where=equal("t.kind", Literal("w"))
    ),
    "from X group by '1 month' with interpolation(Linear) select min(), percentile(90) as p": TimeSeriesQuery(
        path("X"),
        group_by=(Duration(1, "month"),),
        interpolation="linear",
        select=(SelectField(call("min")), SelectField(call("percentile", Literal(90)), "p")),
    ),
    "from X group by 7 days, tag select first(), last() scale 0.5 offset '02:00'": TimeSeriesQuery(
        path("X"),
        group_by=(Duration(7, "day"), path("tag")),
        select=(SelectField(call("first")), SelectField(call("last"))),
        scale=Literal(0.5),
        offset=Literal("02:00"),
    ),
}

ERRORS = {
    "": "line 1, column 1: found the end of the query, expected 'from'",
    "select x": "line 1, column 1: found 'select', expected 'from'",
    "from": "line 1, column 5: found the end of the query, expected the name of a collection or an index",
    "from Users where": "line 1, column 17: found the end of the query, expected a value, a field or a function",
    "from Users where and a = 1": "line 1, column 18: found 'and', expected a field",
    "from Users where name": "line 1, column 22: found the end of the query, expected an operator",
    "from Users\nwhere name = 'x' y = 2": "line 2, column 18: found 'y', expected a clause",
    "from Users where (a = 1": "line 1, column 24: found the end of the query, expected ')'",
    "from Users where a = 1 or b": "line 1, column 28: found the end of the query, expected an operator",
    "from Users where 5 = a": "line 1, column 18: found a literal, expected a field before the operator",
    "from Users where a = 'x": "line 1, column 22: found a string without its end, expected a closing '",
    "from Users /* x": "line 1, column 12: found a comment without its end, expected */",
    "from Users where a = #": "line 1, column 22: found '#', expected a name, a value or an operator",
    "from Users where a in 5": "line 1, column 23: found '5', expected '('",
    "from Users where a in ('x' 'y')": "line 1, column 28: found \"'y'\", expected ','",
    "from Users where a between 1": "line 1, column 29: found the end of the query, expected 'and'",
    "from Users where a = 1 where b = 2": "line 1, column 24: found 'where', expected no second 'where'",
    "from Users order by a as number": "line 1, column 26: found 'number', expected 'long'",
    "from Users limit -1": "line 1, column 18: found '-1', expected a whole number or a parameter",
    "from Users limit 1.5": "line 1, column 18: found '1.5', expected a whole number or a parameter",
    "from Users select { a: 1": "line 1, column 19: found a script whose { is never closed, expected '}'",
    "from Users select { a: (1 }": "line 1, column 27: found '}', expected ')'",
    "from Users select { a: `x${1}": "line 1, column 24: found a template without its end, expected a closing `",
    "from Users update x": "line 1, column 19: found 'x', expected '{'",
    "from Users select a update { b }": "line 1, column 28: found an update, expected either 'select' or 'update'",
    "from Users where a = 1e999": "line 1, column 22: found '1e999', expected a number that fits 64 bits",
    "declare function f() {} declare function f() {} from x": "line 1, column 42: found 'f', expected a name that is",
    "from X select timeseries(from Y group by 1 fortnight)": "line 1, column 42: found '1', expected a duration",
    "from X group by sum(a)": "line 1, column 17: found a call, expected a field or array(field)",
    "from X (Revisions = 5)": "line 1, column 21: found '5', expected 'true' or 'false'",
    "match (a)": "line 1, column 1: found 'match', expected 'from'",
    "from X order by spatial.distance('spatial.point(a', spatial.wkt($p))": "line 1, column 34: found a function in",
}


@pytest.mark.parametrize("text", SOURCES)
def test_source(text: str) -> None:
    """Every form of `from` names what it means."""
    assert parse_text(text) == Query(SOURCES[text])


@pytest.mark.parametrize("text", CONDITIONS)
def test_condition(text: str) -> None:
    """Every condition becomes its tree, in `where` and in `filter` alike."""
    assert parse_text("from X where " + text).where == CONDITIONS[text]
    assert parse_text("from X filter " + text).filter == CONDITIONS[text]


@pytest.mark.parametrize("text", CLAUSES)
def test_clause(text: str) -> None:
    """Every clause becomes its values and leaves all others empty."""
    assert parse_text("from X as u " + text) == Query(Source(SourceKind.COLLECTION, "X", "u"), **CLAUSES[text])  # type: ignore[arg-type]


@pytest.mark.parametrize("text", SERIES)
def test_time_series(text: str) -> None:
    """A time-series query reads the same in `select`, and in a declaration."""
    selected = parse_text(f"from Users select timeseries({text}) as s").select
    assert selected == fields((SERIES[text], "s"))
    declared = parse_text(f"declare timeseries t(doc) {{ {text} }} from Users as u select t(u)")
    assert declared.declarations == (TimeSeriesDeclaration("t", ("doc",), SERIES[text]),)


@pytest.mark.parametrize("text", ERRORS)
def test_error(text: str) -> None:
    """What does not parse is refused with the place, what was found and what was expected, and a caret under it."""
    with pytest.raises(InvalidQuery) as caught:
        parse_text(text)
    first, shown, caret = caught.value.message.split("\n")
    assert first.startswith(ERRORS[text])
    assert (caught.value.line, caught.value.column) == tuple(int(word.strip(",:")) for word in first.split()[1:4:2])
    assert caret == " " * (caught.value.column - 1) + "^"
    assert shown == text.split("\n")[caught.value.line - 1].rstrip()


def test_declarations() -> None:
    """Functions keep their text; a declared name keeps its spelling and hides the built-in one."""
    query = parse_text(
        "declare function Count(a, $b) { /* } */ return a + '}' + `${b}`; // }\n}\n"
        "declare timeseries misnamed(c) { return c; }\n"
        "from Users as u select Count(u, $p0), misnamed(u), COUNT()"
    )
    assert query.declarations == (
        FunctionDeclaration("Count", ("a", "$b"), "{ /* } */ return a + '}' + `${b}`; // }\n}"),
        FunctionDeclaration("misnamed", ("c",), "{ return c; }"),
    )
    assert isinstance(query.declarations[0], FunctionDeclaration)
    assert query.declarations[0].script.startswith("function Count(a, $b) { /* } */")
    assert query.select == fields(call("Count", path("u"), p0), call("misnamed", path("u")), call("count"))


def test_script_division_is_no_regular_expression() -> None:
    """A slash behind a value divides, so that the quote after it opens a string."""
    text = "{ a: x / 2, b: (y) / '}'.length, c: z[0] / 3 / 4, d: typeof /'/ }"
    select = parse_text(f"from X as x select {text} limit 1").select
    assert select is not None and select.script == Script(text)


def test_clauses_in_any_order() -> None:
    """The order of clauses does not matter, only that each comes once."""
    one = parse_text("from X group by a where b = 1 order by c select d include e limit 1")
    assert parse_text("from X limit 1 include e select d order by c where b = 1 group by a") == one


def test_positions() -> None:
    """Every node knows where it stands in the text."""
    query = parse_text("from X where exact(name = 'x') and age in ($p0, 5)")
    assert query.where is not None
    places = {type(node).__name__ + query.text[node.position] for node in walk(query.where)}
    assert places == {"Ande", "Calle", "Comparison=", "Pathn", "Literal'", "Ini", "Patha", "Parameter$", "Literal5"}


def test_literals_differ_by_type() -> None:
    """One, one point nought and true are three values, although Python calls them equal."""
    assert len({Literal(1), Literal(1.0), Literal(True), Literal("1")}) == 4
    assert Literal(1) != Literal(True)


def test_paths() -> None:
    """A path drops the alias of its source; a quoted argument can be read as a path."""
    assert path("u.a.b").without("u") == path("a.b")
    assert path("u").without("u") == path("u")
    assert path("v.a").without("u") == path("v.a")
    assert as_path(Literal("a.b")) == path("a.b", True)
    assert as_path(p0) is None and as_path(Literal("")) is None


@pytest.mark.parametrize(
    "text",
    [
        "from X where " + "(" * (RQL_DEPTH_MAX + 1) + "a = 1" + ")" * (RQL_DEPTH_MAX + 1),
        "from X where " + "not " * (RQL_DEPTH_MAX + 1) + "a = 1",
        "from X where " + "boost(" * (RQL_DEPTH_MAX + 1) + "a = 1" + ", 2)" * (RQL_DEPTH_MAX + 1),
        "from X select " + "{" * (RQL_DEPTH_MAX + 1) + "}" * (RQL_DEPTH_MAX + 1),
    ],
)
def test_depth_is_bounded(text: str) -> None:
    """Nesting beyond the bound is refused by the bound's name, whichever bracket nests."""
    with pytest.raises(InvalidQuery, match="RQL_DEPTH_MAX"):
        parse_text(text)


def test_depth_at_the_bound() -> None:
    """As deep as allowed still parses."""
    depth = RQL_DEPTH_MAX
    parse_text("from X where " + "boost(" * depth + "a = 1" + ", 2)" * depth)
    parse_text("from X where " + "(" * depth + "a = 1" + ")" * depth)


def test_sizes_are_bounded() -> None:
    """Too long a text and too many written values are refused by the bound's name; long chains are not nesting."""
    with pytest.raises(InvalidQuery, match="RQL_SIZE_BYTES_MAX"):
        parse("from X where a = '" + "x" * RQL_SIZE_BYTES_MAX + "'")
    with pytest.raises(InvalidQuery, match="RQL_IN_TERMS_MAX"):
        parse("from X where a in (" + ", ".join("1" * (RQL_IN_TERMS_MAX + 1)) + ")")
    chain = parse("from X where " + " or ".join(["a = 1"] * 3000)).where
    assert isinstance(chain, Or) and len(chain.operands) == 3000


def test_parsed_queries_are_kept() -> None:
    """The same text gives the same tree object, if it is short."""
    _cached.cache_clear()
    assert parse("from X where a = $p0") is parse("from X where a = $p0")
    long = "from X where a = '" + "x" * 10_000 + "'"
    assert parse(long) is not parse(long)
    assert _cached.cache_info().currsize == 1

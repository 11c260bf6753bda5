"""Trees to text and back, and texts that nobody would write."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pynori.errors import InvalidQuery
from pynori.rql.format import format_query
from pynori.rql.parser import parse_text

from .test_parser import CLAUSES, CONDITIONS, SERIES, SOURCES

TEXTS = [
    *SOURCES,
    *("from X where " + text for text in CONDITIONS),
    *("from X as u " + text for text in CLAUSES),
    *(f"from X select timeseries({text})" for text in SERIES),
    "declare function f(a, $b) { return `}`; }\ndeclare timeseries t(x) { from x.Y } from X as a select f(a), t(a)",
]
# Pieces that stand beside one another in real queries, so that random sequences of them often parse.
SOUP = r"""
from index Users 'Orders/All' @all_docs as u where and or not ( ) ( ) , , = = != < >= 'x' "y" 5 -1.5 true null $p0
name order u.name 'a b' . in all between group by order desc long nulls first load select distinct {a:`${b}`} update
include limit offset filter filter_limit id() exists( boost( search( spatial.distance( 'spatial.point(a,b)' array(
timeseries( from X last 1h between declare function f(a) timeseries scale with interpolation(linear) 1 month // /* */
tag facet( sum(total) , and ) ' } { [ ] lines[].x [0] \\ # ` && || == <> .. é 0 99999999999999999999 key() declare
"""
PIECES = [*SOUP.split(), "\n", "\ud800"]


@pytest.mark.parametrize("text", TEXTS)
def test_canonical_text_means_the_same(text: str) -> None:
    """The canonical text of a tree parses to that tree, and is its own canonical text."""
    query = parse_text(text)
    canonical = format_query(query)
    assert parse_text(canonical) == query
    assert format_query(parse_text(canonical)) == canonical


def test_canonical_spelling() -> None:
    """Keywords become lower-case, clauses take their order, and quotes stay only where they are needed."""
    query = parse_text(
        "FROM 'Orders' AS o LIMIT 5 OFFSET 10 INCLUDE 'a.b' "
        "WHERE (o.'x' == \"it's\" && STARTSWITH(id(), $p)) || NOT b<>2 "
        "SELECT o.'a b' AS 'c d', TimeSeries(FROM o.HR LAST 1h GROUP BY '7 Days')"
    )
    assert format_query(query).split("\n") == [
        "from Orders as o",
        r"where o.x = 'it\'s' and startsWith(id(), $p) or not b != 2",
        "select o.'a b' as 'c d', timeseries(from o.HR last 1 hour group by 7 days)",
        "include 'a.b'",
        "limit 10, 5",
    ]


def check(text: str) -> bool:
    """Whether the text parses; if it does, its canonical text must mean the same."""
    try:
        query = parse_text(text)
    except InvalidQuery as error:
        assert error.line >= 1 or "RQL_SIZE" in error.message
        return False
    canonical = format_query(query)
    assert parse_text(canonical) == query, canonical
    return True


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["", "from X where ", "from X select ", "from X update { ", "declare "]))
def test_any_text(text: str, before: str) -> None:
    """Any text is a query or InvalidQuery."""
    check(before + text)


@settings(max_examples=1200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12), st.sampled_from(TEXTS), st.data())
def test_pieces(pieces: list[str], text: str, data: st.DataObject) -> None:
    """Pieces of queries put into a good query, or behind it, give a query or InvalidQuery."""
    words = text.split(" ")
    at = data.draw(st.integers(0, len(words)))
    cut = data.draw(st.integers(0, 2))
    check(" ".join(words[:at] + pieces + words[at + cut :]))


NAMES = st.sampled_from(
    ["a", "u.b", "'a b'", "order", "lines[].x", "'not'", "f.'ü x'", "and", "count", "@metadata.@id"]
)
VALUES = st.sampled_from(["1", "-2.5", "$p0", "'x'", '"it\'s"', "true", "null", "now()", "cmpxchg($p1)", "b.c"])
SIMPLE = st.one_of(
    st.tuples(NAMES, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), VALUES).map(" ".join),
    st.tuples(NAMES, VALUES, VALUES).map(lambda each: f"{each[0]} between {each[1]} and {each[2]}"),
    st.tuples(NAMES, st.sampled_from(["in", "all in", "not in"]), st.lists(VALUES, max_size=3)).map(
        lambda each: f"{each[0]} {each[1]} ({', '.join(each[2])})"
    ),
    NAMES.map(lambda name: f"exists({name})"),
)
TREES = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(" and ".join),
        st.lists(inner, min_size=2, max_size=3).map(" or ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"not {text}"),
        inner.map(lambda text: f"boost({text}, 2)"),
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(TREES)
def test_conditions(text: str) -> None:
    """Every condition that the grammar allows parses, and its canonical text means the same."""
    assert check("from X as u where " + text)

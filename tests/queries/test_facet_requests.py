"""What a query asks of facets: fields, ranges, aggregations, options and set-up documents."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from pynori.errors import InvalidQuery, LimitExceeded
from pynori.limits import QUERY_FACETS_MAX
from pynori.queries.facets import (
    Aggregates,
    Facet,
    FacetOptions,
    Range,
    TermSort,
    facets_of,
    has_facets,
    term_text,
)
from pynori.queries.values import Values
from pynori.rql.ast import Expression, Path
from pynori.rql.parser import parse

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETUP: dict[str, Any] = {
    "Facets": [
        {
            "FieldName": "manufacturer",
            "Options": {"Start": 2, "PageSize": 2, "TermSortMode": "CountDesc", "IncludeRemainingTerms": True},
            "Aggregations": {"Sum": "cost", "Max": ["cost", {"Name": "zoom", "DisplayName": "Z"}]},
        },
        {"FieldName": "model", "DisplayFieldName": "Model", "Options": None, "Aggregations": {}},
    ],
    "RangeFacets": [{"Ranges": ["cost <= 200", "cost between 200 and 400"], "Aggregations": {"Average": "cost"}}],
}


def facets(text: str, documents: Mapping[str, Any] | None = None, **parameters: object) -> list[Facet]:
    return facets_of(parse(text), Values(parameters, NOW), (documents or {}).get)


def path(text: str) -> Path:
    return Path(tuple(text.split(".")))


def where(text: str) -> Expression:
    condition = parse("from X where " + text).where
    assert condition is not None
    return condition


def test_field_with_aggregations() -> None:
    """A facet over a field takes aggregations, grouped by field and name, and its alias as its name."""
    found = facets(
        "from X as x where a = 1 select facet(x.product), "
        "facet('order', sum(x.total), avg(total) as T, sum(total) as T, max(q)) as byOrder"
    )
    assert found == [
        Facet("product", path("product")),
        Facet("byOrder", Path(("order",), True), (), (
            Aggregates(path("total"), "total", ("Sum",)),
            Aggregates(path("total"), "T", ("Average", "Sum")),
            Aggregates(path("q"), "q", ("Max",)),
        )),
    ]  # fmt: skip
    assert has_facets(parse("from X select facet(a)")) and not has_facets(parse("from X select a"))


def test_ranges() -> None:
    """Ranges are named by their text, with the values of parameters in their places."""
    (found,) = facets(
        "from X as x select facet(x.total < $a, total >= $a and total < $b, total between 5 and 6.0, min(total))",
        a=100, b=2.5,
    )  # fmt: skip
    assert found.name == "total" and found.path is None
    assert [each.text for each in found.ranges] == ["total < 100", "total >= 100 and total < 2.5",
                                                    "total between 5 and 6"]  # fmt: skip
    assert found.ranges[1].condition == where("total >= $a and total < $b")
    assert found.aggregates == (Aggregates(path("total"), "total", ("Min",)),)


def test_all_results() -> None:
    """A facet about no field is about all results."""
    assert facets("from X select facet(sum(total))") == [
        Facet("@AllResults", None, (), (Aggregates(path("total"), "total", ("Sum",)),))
    ]


@pytest.mark.parametrize("names", ["TermSortMode Start PageSize IncludeRemainingTerms",
                                   "termSortMode start pageSize includeRemainingTerms"])  # fmt: skip
def test_options(names: str) -> None:
    """Options come as a parameter in any spelling; nulls mean defaults."""
    options = dict(zip(names.split(), ["ValueDesc", 1, 3, True], strict=True))
    (found,) = facets("from X select facet(a, $o)", o=options)
    assert found.options == FacetOptions(TermSort.VALUE_DESCENDING, 1, 3, True)
    (found,) = facets("from X select facet(a, $o)", o=dict.fromkeys(options))
    assert found.options == FacetOptions()


def test_setup_documents() -> None:
    """A set-up document holds facets and range facets, in the spelling of any client."""
    first, second, ranges = facets("from X select facet(id('facets/1'))", {"facets/1": SETUP})
    assert first == Facet("manufacturer", path("manufacturer"), (), (
        Aggregates(path("cost"), "cost", ("Sum", "Max")), Aggregates(path("zoom"), "Z", ("Max",))
    ), FacetOptions(TermSort.COUNT_DESCENDING, 2, 2, True))  # fmt: skip
    assert second == Facet("Model", path("model"))
    assert ranges == Facet("cost", None, (
        Range(where("cost <= 200"), "cost <= 200"),
        Range(where("cost between 200 and 400"), "cost between 200 and 400"),
    ), (Aggregates(path("cost"), "cost", ("Average",)),))  # fmt: skip
    snake = {"facets": [{"field_name": "a", "display_field_name": None, "aggregations": {}}], "range_facets": []}
    assert facets("from X select facet(id($id))", {"facets/2": snake}, id="facets/2") == [Facet("a", path("a"))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from X select facet(a), b", "nothing else"),
        ("from X select facet(a, b)", "takes a field or ranges"),
        ("from X select facet(a, a < 1)", "either a field or ranges"),
        ("from X select facet(a < 1, b < 1)", "about one field, but were about a, b"),
        ("from X select facet(a < 1 and exists(a))", "made of comparisons"),
        ("from X select facet(a, sum())", "takes one field"),
        ("from X select facet(a, $missing)", "missing"),
        ("from X select facet(a, $five)", "must be an object"),
        ("from X select facet(id('facets/9'))", "does not exist"),
        ("from X select facet(id('facets/1'), b)", "nothing else"),
        ("from X select facet(id('facets/3'))", "none of Sum"),
        ("from X select facet(id('facets/4'))", "must hold arrays"),
        ("from X select facet(id('facets/5'))", "line 1"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    """What cannot be a facet is refused with a sentence that says why."""
    documents = {
        "facets/1": SETUP,
        "facets/3": {"Facets": [{"FieldName": "a", "Aggregations": {"Median": "b"}}]},
        "facets/4": {"Facets": 5},
        "facets/5": {"RangeFacets": [{"Ranges": ["cost <"]}]},
    }
    with pytest.raises(InvalidQuery, match=message):
        facets(text, documents, five=5)


def test_facets_are_bounded() -> None:
    """A query asks for a bounded number of facets."""
    with pytest.raises(LimitExceeded, match="QUERY_FACETS_MAX"):
        facets("from X select " + ", ".join(["facet(a)"] * (QUERY_FACETS_MAX + 1)))


def test_term_texts() -> None:
    """Terms are named as clients know them, null and the empty text by names of their own."""
    terms = [None, "", True, 1, 1.0, 1.5, "milk"]
    assert [term_text(each) for each in terms] == ["NULL_VALUE", "EMPTY_STRING", "true", "1", "1", "1.5", "milk"]

"""Facets: how many of the matching entries each term of a field has, or each of several ranges, with aggregations.

`facets_of` reads what is asked for from the query (and from the documents with set-ups that it names); `Facets` answers
it from one snapshot of an index and the entries that matched. Terms come from the index, so they are spelt as it keeps
them; numbers are aggregated where they lie. Nothing here reads documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from pynori.errors import InvalidQuery, LimitExceeded
from pynori.limits import QUERY_FACET_VALUES_MAX, QUERY_FACETS_MAX
from pynori.queries.options import Options
from pynori.queries.request import PAGE_SIZE_MAX
from pynori.queries.values import Scalar, Values
from pynori.rql.ast import And, Between, Call, Comparison, Expression, Literal, Named, Parameter, Path, Query, as_path
from pynori.rql.parser import parse

if TYPE_CHECKING:
    from pynori_core.index_store import IndexField, IndexSnapshot
    from pynori_core.matches import Matches

ALL_RESULTS = "@AllResults"  # name of the facet, and of its range, that is about no field
NULL_TERM = "NULL_VALUE"
EMPTY_TERM = "EMPTY_STRING"
AGGREGATES = {"sum": "Sum", "avg": "Average", "average": "Average", "min": "Min", "max": "Max"}

Load = Callable[[str], Mapping[str, Any] | None]  # a document by its id
Find = Callable[[Path], "IndexField | None"]
Match = Callable[[Expression, "Matches"], "Matches"]


class TermSort(Enum):
    """In which order the terms of a facet come. Equal counts come in the order of their terms."""

    VALUE_ASCENDING = "ValueAsc"
    VALUE_DESCENDING = "ValueDesc"
    COUNT_ASCENDING = "CountAsc"
    COUNT_DESCENDING = "CountDesc"


@dataclass(frozen=True, slots=True)
class FacetOptions:
    """Which terms are given. remaining: those behind the page are named too."""

    sort: TermSort = TermSort.VALUE_ASCENDING
    start: int = 0
    page_size: int = PAGE_SIZE_MAX
    remaining: bool = False


@dataclass(frozen=True, slots=True)
class Aggregates:
    """Numbers of one field under one name, for each value of the facet. kinds: some of Sum, Average, Min, Max."""

    path: Path
    name: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """One range: its condition, and its text with the values of parameters in their places."""

    condition: Expression
    text: str


@dataclass(frozen=True, slots=True)
class Facet:
    """One facet. path: whose terms are counted; None with ranges, and for all results."""

    name: str
    path: Path | None = None
    ranges: tuple[Range, ...] = ()
    aggregates: tuple[Aggregates, ...] = ()
    options: FacetOptions = field(default_factory=FacetOptions)


# ---------------------------------------------------------------- what is asked for


def has_facets(query: Query) -> bool:
    """Whether the query selects facets."""
    return query.select is not None and any(_is_facet(each.expression) for each in query.select.fields)


def _is_facet(expression: Expression) -> bool:
    return isinstance(expression, Call) and expression.name == "facet"


def facets_of(query: Query, values: Values, load: Load) -> list[Facet]:
    """The facets that a query selects. Raises InvalidQuery."""
    assert query.select is not None
    found: list[Facet] = []
    for selected in query.select.fields:
        call = selected.expression
        if not isinstance(call, Call) or call.name != "facet":
            raise InvalidQuery("a query that selects facets can select nothing else")
        first = call.arguments[0] if call.arguments else None
        if isinstance(first, Call) and first.name == "id":
            found += _of_setup(_setup_id(call, values), load)
        else:
            found.append(_of_call(call, selected.alias, query.source.alias, values))
    if len(found) > QUERY_FACETS_MAX:
        raise LimitExceeded(f"{len(found)} facets are more than QUERY_FACETS_MAX ({QUERY_FACETS_MAX})")
    return found


def _of_call(call: Call, name: str | None, alias: str | None, values: Values) -> Facet:
    """`facet(field, sum(a), $options)`, `facet(a < 1, a >= 1, sum(b))`, `facet(sum(a))`."""
    path: Path | None = None
    ranges: list[Range] = []
    asked: list[tuple[str, Path, str]] = []
    options = FacetOptions()
    for number, argument in enumerate(call.arguments):
        inner = argument.expression if isinstance(argument, Named) else argument
        if isinstance(inner, Call) and inner.name in AGGREGATES:
            field_path = _aggregated(inner).without(alias)
            display = argument.name if isinstance(argument, Named) else field_path.text
            asked.append((AGGREGATES[inner.name], field_path, display))
        elif isinstance(inner, Comparison | And | Between):
            ranges.append(Range(inner, range_text(inner, values, alias)))
        elif number == 0 and as_path(inner) is not None:
            path = _path_of(inner).without(alias)
        elif isinstance(inner, Parameter | Literal):
            options = read_options(values.of(inner))
        else:
            raise InvalidQuery("facet() takes a field or ranges, aggregations, and options")
    if path is not None and ranges:
        raise InvalidQuery("facet() takes either a field or ranges")
    return Facet(name or _own_name(path, ranges, alias), path, tuple(ranges), _joined(asked), options)


def _path_of(expression: Expression) -> Path:
    path = as_path(expression)
    if path is None:
        raise InvalidQuery("facet() is about fields")
    return path


def _aggregated(call: Call) -> Path:
    if len(call.arguments) != 1:
        raise InvalidQuery(f"{call.name}() within facet() takes one field")
    return _path_of(call.arguments[0])


def _joined(asked: Iterable[tuple[str, Path, str]]) -> tuple[Aggregates, ...]:
    """Aggregations of one field under one name belong together."""
    kinds: dict[tuple[Path, str], dict[str, None]] = {}
    for kind, path, name in asked:
        kinds.setdefault((path, name), {})[kind] = None
    return tuple(Aggregates(path, name, tuple(each)) for (path, name), each in kinds.items())


def _own_name(path: Path | None, ranges: Sequence[Range], alias: str | None) -> str:
    """The name of a facet that was given none: its field, also that of its ranges."""
    if path is not None:
        return path.text
    names = {each.without(alias).text for one in ranges for each in _fields(one.condition)}
    if len(names) > 1:
        raise InvalidQuery(
            f"the ranges of one facet must be about one field, but were about {', '.join(sorted(names))}"
        )
    return names.pop() if names else ALL_RESULTS


def _fields(condition: Expression) -> list[Path]:
    """The fields that a range compares."""
    if isinstance(condition, And):
        return [path for operand in condition.operands for path in _fields(operand)]
    if isinstance(condition, Comparison):
        return [_path_of(condition.left)]
    if isinstance(condition, Between):
        return [_path_of(condition.value)]
    raise InvalidQuery("a range is made of comparisons, joined by and")


def range_text(condition: Expression, values: Values, alias: str | None = None) -> str:
    """A range as its result names it: `total >= 100 and total < 500`, parameters replaced by their values."""
    if isinstance(condition, And):
        return " and ".join(range_text(each, values, alias) for each in condition.operands)
    if isinstance(condition, Comparison):
        name = _path_of(condition.left).without(alias).text
        return f"{name} {condition.operator} {_value_text(values.scalar(condition.right))}"
    if isinstance(condition, Between):
        name = _path_of(condition.value).without(alias).text
        low, high = _value_text(values.scalar(condition.low)), _value_text(values.scalar(condition.high))
        return f"{name} between {low} and {high}"
    raise InvalidQuery("a range is made of comparisons, joined by and")


def _value_text(value: Scalar) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def read_options(value: Any) -> FacetOptions:
    """FacetOptions from what a client sends."""
    options = Options(value, "facet()")
    return FacetOptions(
        options.choice("TermSortMode", TermSort, TermSort.VALUE_ASCENDING),
        options.count("Start", 0),
        min(options.count("PageSize", PAGE_SIZE_MAX), PAGE_SIZE_MAX),
        options.flag("IncludeRemainingTerms", False),
    )


# ---------------------------------------------------------------- set-ups in documents


def _setup_id(call: Call, values: Values) -> str:
    inner = call.arguments[0]
    if len(call.arguments) != 1 or not isinstance(inner, Call) or len(inner.arguments) != 1:
        raise InvalidQuery("facet(id('...')) takes the id of one document and nothing else")
    return values.text(inner.arguments[0], "the id of a facet set-up")


def _of_setup(id: str, load: Load) -> list[Facet]:
    """The facets of a set-up document: `{Facets: [...], RangeFacets: [...]}`."""
    document = load(id)
    if document is None:
        raise InvalidQuery(f"the facet set-up '{id}' does not exist")
    what = f"the facet set-up '{id}'"
    setup = Options(document, what)
    facets = []
    for each in _objects(setup.get("Facets"), what):
        part = Options(each, what)
        name = part.text("FieldName")
        path = Path(tuple(name.split("."))) if name else None
        own_name = part.text("DisplayFieldName") or name or ALL_RESULTS
        facets.append(Facet(own_name, path, (), _setup_aggregates(part), _setup_options(part)))
    for each in _objects(setup.get("RangeFacets"), what):
        part = Options(each, what)
        ranges = tuple(_setup_range(text) for text in part.texts("Ranges"))
        own_name = part.text("DisplayFieldName") or _own_name(None, ranges, None)
        facets.append(Facet(own_name, None, ranges, _setup_aggregates(part), _setup_options(part)))
    return facets


def _objects(value: Any, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidQuery(f"{what} must hold arrays of facets")
    return value


def _setup_options(part: Options) -> FacetOptions:
    value = part.get("Options")
    return FacetOptions() if value is None else read_options(value)


def _setup_range(text: str) -> Range:
    """A range as set-ups write it: a condition with its values in place."""
    condition = parse(f"from @all_docs where {text}").where
    assert condition is not None
    _fields(condition)
    return Range(condition, text)


def _setup_aggregates(part: Options) -> tuple[Aggregates, ...]:
    """`{Sum: "field"}`, `{Sum: ["field"]}`, `{Sum: [{Name, DisplayName}]}`."""
    value = part.get("Aggregations")
    asked: list[tuple[str, Path, str]] = []
    for kind, targets in value.items() if isinstance(value, Mapping) else ():
        kind_name = AGGREGATES.get(kind.lower())
        if kind_name is None:
            raise InvalidQuery(f"{part.what} has the aggregation '{kind}', which is none of Sum, Average, Min, Max")
        for target in targets if isinstance(targets, list) else [targets]:
            inner = Options({"Name": target} if isinstance(target, str) else target, part.what)
            name = inner.text("Name")
            if name:
                asked.append((kind_name, Path(tuple(name.split("."))), inner.text("DisplayName") or name))
    return _joined(asked)


# ---------------------------------------------------------------- the answer


class Facets:
    """Answers facets about the entries that matched.

    find: the field that a path means, None where no entry has it. match: a condition, within a set of entries.
    """

    def __init__(self, snapshot: IndexSnapshot, find: Find, match: Match) -> None:
        self._snapshot = snapshot
        self._find = find
        self._match = match

    def answer(self, facet: Facet, matches: Matches) -> dict[str, Any]:
        """One result: `{Name, Values, RemainingTerms, RemainingTermsCount, RemainingHits}`."""
        if facet.path is not None:
            return self._of_terms(facet, facet.path, matches)
        values: list[dict[str, Any]] = []
        for each in facet.ranges:
            within = self._match(each.condition, matches) if len(matches) else matches
            values += self._rows(facet, each.text, len(within), within)
        if not facet.ranges:
            values = self._rows(facet, ALL_RESULTS, len(matches), matches)
        return _result(facet.name, values, [], 0, 0)

    def _of_terms(self, facet: Facet, path: Path, matches: Matches) -> dict[str, Any]:
        found = self._find(path)
        counted = self._snapshot.term_counts(found.number, matches) if found is not None and len(matches) else []
        terms = _sorted([(term_text(term), count, term) for term, count in counted], facet.options.sort)
        options = facet.options
        end = options.start + options.page_size
        page, behind = terms[options.start : end], terms[end:]
        if len(page) > QUERY_FACET_VALUES_MAX:
            raise LimitExceeded(
                f"the facet '{facet.name}' has {len(page)} terms, more than QUERY_FACET_VALUES_MAX "
                f"({QUERY_FACET_VALUES_MAX}); give it a smaller PageSize"
            )
        values: list[dict[str, Any]] = []
        for text, count, term in page:
            within = None
            if facet.aggregates and found is not None:
                within = self._snapshot.equal(found.number, term, within=matches)
            values += self._rows(facet, text, count, within)
        names = [text for text, _, _ in behind[:QUERY_FACET_VALUES_MAX]] if options.remaining else []
        return _result(facet.name, values, names, len(behind), sum(count for _, count, _ in behind))

    def _rows(self, facet: Facet, range_name: str, count: int, within: Matches | None) -> list[dict[str, Any]]:
        """One value of the facet: a row for each aggregated field, or one without."""
        if not facet.aggregates or within is None:
            return [{"Name": None, "Range": range_name, "Count": count}]
        rows = []
        for each in facet.aggregates:
            found = self._find(each.path)
            numbers = (0, 0.0, 0.0, 0.0) if found is None else self._snapshot.aggregate(within, found.number)
            row: dict[str, Any] = {"Name": each.name, "Range": range_name, "Count": count}
            rows.append(row | _aggregated_numbers(each.kinds, *numbers))
        return rows


def _aggregated_numbers(kinds: Sequence[str], count: int, total: float, low: float, high: float) -> dict[str, Any]:
    """The numbers that were asked for; of nothing only a sum exists."""
    known = {"Sum": total, "Average": total / count, "Min": low, "Max": high} if count else {"Sum": 0.0}
    return {kind: known.get(kind) for kind in kinds}


def _result(
    name: str, values: list[dict[str, Any]], remaining: list[str], remaining_count: int, remaining_hits: int
) -> dict[str, Any]:
    return {
        "Name": name,
        "Values": values,
        "RemainingTerms": remaining,
        "RemainingTermsCount": remaining_count,
        "RemainingHits": remaining_hits,
    }


def term_text(term: Scalar) -> str:
    """A term as a facet's value names it."""
    if term is None:
        return NULL_TERM
    return EMPTY_TERM if term == "" else _value_text(term)


def _sorted(terms: list[tuple[str, int, Scalar]], sort: TermSort) -> list[tuple[str, int, Scalar]]:
    if sort is TermSort.COUNT_ASCENDING:
        return sorted(terms, key=lambda each: (each[1], each[0]))
    if sort is TermSort.COUNT_DESCENDING:
        return sorted(terms, key=lambda each: (-each[1], each[0]))
    # Values are compared as text, also numbers: "10" comes before "9".
    return sorted(terms, key=lambda each: each[0], reverse=sort is TermSort.VALUE_DESCENDING)

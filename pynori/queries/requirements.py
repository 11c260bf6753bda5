"""What an index must hold so that a query of a collection can be answered from it.

Every path that is compared, ordered by, grouped by or counted is a field; the function around it says how its texts
must be kept: as they are (`exact`), as words (`search`), as places (`spatial`), with what suggestions need.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pynori.errors import InvalidQuery
from pynori.queries.values import Values
from pynori.rql.ast import (
    And,
    Between,
    Call,
    Comparison,
    Expression,
    In,
    Literal,
    Named,
    Not,
    Or,
    Path,
    Query,
    as_path,
)

AGGREGATIONS = ("sum", "count", "min", "max", "avg")
SPATIAL = ("spatial.within", "spatial.contains", "spatial.disjoint", "spatial.intersects")


@dataclass(frozen=True, slots=True)
class FieldNeed:
    """One field of the index to be.

    name: the path in documents, or the text of a spatial call. spatial: the paths of a point (two) or of WKT (one).
    """

    name: str
    exact: bool = False
    search: bool = False
    suggestions: bool = False
    spatial: tuple[str, ...] = ()

    def merged(self, other: FieldNeed) -> FieldNeed:
        """A field that serves both."""
        return replace(
            self,
            exact=self.exact or other.exact,
            search=self.search or other.search,
            suggestions=self.suggestions or other.suggestions,
        )


@dataclass(frozen=True, slots=True)
class GroupNeed:
    """A key of the grouping. array: the whole array is one key, instead of each of its items."""

    path: str
    array: bool = False


@dataclass(frozen=True, slots=True)
class Aggregation:
    """A number per group: `sum(path)` or `count()`."""

    operation: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Requirements:
    """Fields by name; group keys and aggregations for a query with `group by`."""

    collection: str | None
    fields: dict[str, FieldNeed] = field(default_factory=dict)
    group_by: tuple[GroupNeed, ...] = ()
    aggregations: tuple[Aggregation, ...] = ()

    def reasons(self) -> tuple[str, ...]:
        """Why an index is needed, for people."""
        if self.group_by:
            return ("groups are kept by an index",)
        return tuple(f"the field '{name}' is asked for" for name in self.fields) or ("the order needs an index",)


def requirements_of(query: Query, collection: str | None, values: Values) -> Requirements:
    """What the query needs of an index of its collection. Raises InvalidQuery."""
    collector = _Collector(query.source.alias, query.group_by != ())
    if query.where is not None:
        collector.condition(query.where, exact=False)
    for order in query.order_by:
        collector.order(order.expression)
    for selected in query.select.fields if query.select is not None else ():
        if isinstance(selected.expression, Call):
            collector.selected(selected.expression)
    for include in query.includes:
        if isinstance(include, Call) and include.name == "highlight" and include.arguments:
            collector.field(include.arguments[0], search=True)
    if not query.group_by:
        return Requirements(collection, collector.fields)
    keys = tuple(_group_need(key.expression, query.source.alias) for key in query.group_by)
    names = {key.path for key in keys} | {key.alias for key in query.group_by if key.alias}
    filtered = {name: need for name, need in collector.fields.items() if name in names or need.search or need.exact}
    return Requirements(collection, filtered, keys, _aggregations(query, collector))


def _group_need(expression: Path | Call, alias: str | None) -> GroupNeed:
    if isinstance(expression, Path):
        return GroupNeed(expression.without(alias).text)
    path = as_path(expression.arguments[0]) if len(expression.arguments) == 1 else None
    if expression.name != "array" or path is None:
        raise InvalidQuery(f"group by takes fields and array(field), not {expression.name}()")
    return GroupNeed(path.without(alias).text, array=True)


def _aggregations(query: Query, collector: _Collector) -> tuple[Aggregation, ...]:
    """Each aggregation of select and order by, once."""
    found: dict[Aggregation, None] = {}
    calls = [each.expression for each in query.select.fields] if query.select is not None else []
    calls += [each.expression for each in query.order_by]
    for call in calls:
        if not isinstance(call, Call) or call.name not in AGGREGATIONS:
            continue
        if call.name == "count":
            found[Aggregation("count")] = None
            continue
        path = as_path(call.arguments[0]) if len(call.arguments) == 1 else None
        if path is None:
            raise InvalidQuery(f"{call.name}() takes one field")
        found[Aggregation(call.name, path.without(collector.alias).text)] = None
    return tuple(found)


class _Collector:
    """Gathers the fields of one query."""

    def __init__(self, alias: str | None, grouped: bool) -> None:
        self.alias = alias
        self.grouped = grouped
        self.fields: dict[str, FieldNeed] = {}

    def field(
        self, expression: Expression, *, exact: bool = False, search: bool = False, suggestions: bool = False
    ) -> None:
        """A path that a condition, an order or a function names; `id()` needs no field."""
        if isinstance(expression, Call):
            if expression.name in ("id", "score", "random", "key", "custom", *AGGREGATIONS):
                return
            raise InvalidQuery(f"{expression.name}() is not a field that can be compared")
        path = as_path(expression)
        if path is None:
            raise InvalidQuery(f"a field was expected at position {getattr(expression, 'position', 0)}")
        name = path.without(self.alias).text
        self.add(FieldNeed(name, exact, search, suggestions))

    def add(self, need: FieldNeed) -> None:
        known = self.fields.get(need.name)
        self.fields[need.name] = need if known is None else known.merged(need)

    def condition(self, node: Expression, *, exact: bool) -> None:
        if isinstance(node, And | Or):
            for operand in node.operands:
                self.condition(operand, exact=exact)
        elif isinstance(node, Not):
            self.condition(node.operand, exact=exact)
        elif isinstance(node, Comparison):
            self.field(node.left, exact=exact)
        elif isinstance(node, Between | In):
            self.field(node.value, exact=exact)
        elif isinstance(node, Call):
            self._condition_call(node, exact)
        elif not (isinstance(node, Literal) and isinstance(node.value, bool)):
            raise InvalidQuery(f"a condition was expected at position {getattr(node, 'position', 0)}")

    def _condition_call(self, call: Call, exact: bool) -> None:
        name, arguments = call.name, call.arguments
        if not arguments:
            raise InvalidQuery(f"{name}() needs arguments")
        if name == "exact":
            self.condition(arguments[0], exact=True)
        elif name in ("boost", "fuzzy", "proximity"):
            self.condition(arguments[0], exact=exact)
        elif name == "intersect":
            for each in arguments:
                self.condition(each, exact=exact)
        elif name == "search":
            self.field(arguments[0], search=True)
        elif name in ("exists", "startsWith", "endsWith", "regex", "lucene"):
            self.field(arguments[0], exact=exact)
        elif name in SPATIAL:
            self.spatial(arguments[0])
        elif name == "moreLikeThis":
            raise InvalidQuery("moreLikeThis() needs an index; name it by 'from index'")
        else:
            raise InvalidQuery(f"{name}() is not a condition")

    def spatial(self, expression: Expression) -> None:
        if not isinstance(expression, Call) or expression.name not in ("spatial.point", "spatial.wkt"):
            raise InvalidQuery("a query of a collection names a place by spatial.point() or spatial.wkt()")
        self.add(FieldNeed(spatial_name(expression, self.alias), spatial=spatial_paths(expression, self.alias)))

    def order(self, expression: Path | Call) -> None:
        if isinstance(expression, Call) and expression.name == "spatial.distance":
            if expression.arguments and isinstance(expression.arguments[0], Call):
                self.spatial(expression.arguments[0])
            return
        if isinstance(expression, Call) and expression.name == "custom" and expression.arguments:
            expression_path = as_path(expression.arguments[0])
            if expression_path is not None:
                self.field(expression_path)
            return
        self.field(expression)

    def selected(self, call: Call) -> None:
        """facet() and suggest() read terms."""
        if call.name == "suggest" and call.arguments:
            self.field(call.arguments[0], suggestions=True)
        elif call.name == "facet":
            for argument in call.arguments:
                self._facet_argument(argument)

    def _facet_argument(self, argument: Expression) -> None:
        if isinstance(argument, Named):
            self._facet_argument(argument.expression)
        elif isinstance(argument, Path):
            self.field(argument)
        elif isinstance(argument, Comparison | Between | And | Or):
            self.condition(argument, exact=False)
        elif isinstance(argument, Call) and argument.name in AGGREGATIONS:
            for inner in argument.arguments:
                self.field(inner)


def spatial_paths(call: Call, alias: str | None) -> tuple[str, ...]:
    """The paths within spatial.point(latitude, longitude) or spatial.wkt(field)."""
    paths = [as_path(argument) for argument in call.arguments]
    expected = 2 if call.name == "spatial.point" else 1
    if len(paths) != expected or None in paths:
        raise InvalidQuery(f"{call.name}() takes {expected} field{'s' if expected > 1 else ''}")
    return tuple(path.without(alias).text for path in paths if path is not None)


def spatial_name(call: Call, alias: str | None) -> str:
    """The name of the index field for a spatial call."""
    return f"{call.name}({'|'.join(spatial_paths(call, alias))})"

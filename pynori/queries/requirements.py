"""What an index must hold so that a query of a collection can be answered from it.

Every path that is compared, ordered by, grouped by or counted is a field; the function around it says how its texts
must be kept: as they are (`exact`), as words (`search`), as places (`spatial`), with what suggestions need.
"""

from __future__ import annotations

from pynori.errors import InvalidQuery
from pynori.indexes.auto import COUNT_FIELD, AutoField, AutoGroup, AutoIndexDefinition
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

AGGREGATIONS = {"sum": "Sum", "count": "Count", "min": "Min", "max": "Max", "avg": "Average"}
SPATIAL = ("spatial.within", "spatial.contains", "spatial.disjoint", "spatial.intersects")


def requirements_of(query: Query, collection: str | None) -> AutoIndexDefinition:
    """What the query needs of an index of its collection. Raises InvalidQuery."""
    collector = _Collector(query.source.alias)
    if query.where is not None:
        collector.condition(query.where, exact=False)
    for order in query.order_by:
        collector.order(order.expression)
    for selected in query.select.fields if query.select is not None else ():
        if isinstance(selected.expression, Call):
            collector.selected(selected.expression)
    for include in query.includes:
        if isinstance(include, Call) and include.name == "highlight" and include.arguments:
            collector.field(include.arguments[0], plain=False, search=True, highlighting=True)
    if not query.group_by:
        return AutoIndexDefinition.of(collection, collector.fields)
    keys = [_group_key(key.expression, query.source.alias) for key in query.group_by]
    aggregations = _aggregations(query)
    names = {key.path for key in keys} | {key.alias for key in query.group_by if key.alias}
    names |= {COUNT_FIELD, "count"} | {each.name for each in aggregations}
    for each in collector.fields:
        if each.name not in names:
            raise InvalidQuery(f"'{each.name}' is neither a key of the grouping nor an aggregation of it")
    kept = [each for each in collector.fields if each.search or each.exact]
    return AutoIndexDefinition.of(collection, [*kept, *aggregations], keys)


def reasons_of(definition: AutoIndexDefinition) -> tuple[str, ...]:
    """Why an index is needed, for people."""
    if definition.group_by:
        return ("groups are kept by an index",)
    return tuple(f"the field '{name}' is asked for" for name in definition.fields) or ("the order needs an index",)


def _group_key(expression: Path | Call, alias: str | None) -> AutoGroup:
    if isinstance(expression, Path):
        return AutoGroup(expression.without(alias).text)
    path = as_path(expression.arguments[0]) if len(expression.arguments) == 1 else None
    if expression.name != "array" or path is None:
        raise InvalidQuery(f"group by takes fields and array(field), not {expression.name}()")
    return AutoGroup(path.without(alias).text, as_whole=True)


def _aggregations(query: Query) -> list[AutoField]:
    """The results of each aggregation of select and order by."""
    calls = [each.expression for each in query.select.fields] if query.select is not None else []
    calls += [each.expression for each in query.order_by]
    return [
        aggregation_of(call, query.source.alias)
        for call in calls
        if isinstance(call, Call) and call.name in AGGREGATIONS
    ]


def aggregation_of(call: Call, alias: str | None) -> AutoField:
    """The field of a grouping's index that an aggregation is kept in."""
    if call.name == "count":
        return AutoField(COUNT_FIELD, aggregation="Count")
    path = as_path(call.arguments[0]) if len(call.arguments) == 1 else None
    if path is None:
        raise InvalidQuery(f"{call.name}() takes one field")
    text = path.without(alias).text
    # The sum of a field is kept under the field's own name, so that it can be asked for as the field.
    name = text if call.name == "sum" else f"{call.name}({text})"
    return AutoField(name, aggregation=AGGREGATIONS[call.name], path=text)


class _Collector:
    """Gathers the fields of one query."""

    def __init__(self, alias: str | None) -> None:
        self.alias = alias
        self.fields: list[AutoField] = []

    def field(
        self, expression: Expression, *, plain: bool = True, exact: bool = False, search: bool = False,
        suggestions: bool = False, highlighting: bool = False,
    ) -> None:  # fmt: skip
        """A path that a condition, an order or a function names; `id()` needs no field."""
        if isinstance(expression, Call):
            if expression.name in ("id", "score", "random", "key", "custom", *AGGREGATIONS):
                return
            raise InvalidQuery(f"{expression.name}() is not a field that can be compared")
        path = as_path(expression)
        if path is None:
            raise InvalidQuery(f"a field was expected at position {getattr(expression, 'position', 0)}")
        name = path.without(self.alias).text
        self.fields.append(AutoField(name, plain and not exact, search, exact, highlighting, suggestions))

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
            self.field(arguments[0], plain=False, search=True)
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
        paths = spatial_paths(expression, self.alias)
        self.fields.append(AutoField(spatial_name(expression, self.alias), plain=False, spatial=paths))

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

"""From what a definition says to what is evaluated: names looked up, clauses turned into the stages of `pynori.expr`.

A map is read from its source outwards. Each step of a method chain (or clause of a query) adds stages and leaves the
*current item*: an expression, or a *known object*, which is a `new { }` whose members are looked up while lowering. So
a chain of `Select`s through intermediate objects costs nothing when it runs: members that are computed become
variables, members that only pass something on are that thing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from pynori_core.expr import Program

from pynori.expr import tree
from pynori.expr.compile import compile
from pynori.expr.tree import Expression, Member, Stage, Variable
from pynori.linq import ast
from pynori.linq.parser import parse
from pynori.linq.values import COUNT_FIELD, Environment, Known, Value, ValueLowering

INPUT: Final = Variable(tree.INPUT)
GROUP_CONDITION: Final = (
    "a condition on a group is not part of the subset: a partial result may hold where the whole does not"
)

# How LINQ begins, behind comments: a query, or a root that is not followed by `.map(`.
_LINQ: Final = re.compile(
    r"(?:\s|//[^\n]*|/\*.*?\*/)*(?:from\s+@?\w+\s+in\b|(?:docs|results)\s*[.\[]|(?:counters|timeseries)\s*\.(?!\s*map\s*\())",
    re.DOTALL | re.IGNORECASE,
)


class SourceKind(Enum):
    """What a map runs over."""

    DOCUMENTS = "Documents"
    COUNTERS = "Counters"
    TIME_SERIES = "TimeSeries"


ROOTS: Final = {"docs": SourceKind.DOCUMENTS, "counters": SourceKind.COUNTERS, "timeseries": SourceKind.TIME_SERIES}


@dataclass(frozen=True, slots=True)
class MapDefinition:
    """One map.

    collection: as spelt, to be compared without case; None: all. name: of the counters or time series; None: all.
    fields: of an entry, in order. stages: for `pynori.expr.compile`; INPUT is the document, or for time series and
    counters an object with DocumentId, Name and the rest. program: the same, compiled. loaded_collections: named by
    LoadDocument.
    """

    kind: SourceKind
    collection: str | None
    name: str | None
    fields: tuple[str, ...]
    stages: Stage
    program: Program
    loaded_collections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One field of a reduce. kind: `key` (a part of the key, or all of it), `sum` of `source`, a field of the results,
    or `other`: what needs all results of the group."""

    name: str
    kind: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class ReduceDefinition:
    """A reduce: results with equal keys become one entry.

    key: of one result, which is INPUT here; a record when the key has several parts. key_fields: the fields of the
    results that it is made of, if it is made of nothing else. stages: INPUT is a list of results. aggregates: of each
    field, what it is computed from, for those who keep them up to date one result at a time. program, key_program: the
    stages and the key, compiled. A reduce takes its own results as rows again: `partial` is for that, and beside the
    fields it keeps COUNT_FIELD if the reduce counts.
    """

    key: Expression
    key_fields: tuple[str, ...]
    fields: tuple[str, ...]
    stages: Stage
    aggregates: tuple[Aggregate, ...]
    program: Program
    partial: Program
    key_program: Program


def parse_map(text: str, property_name: str = "Maps", *, assemblies: Collection[str] = ()) -> MapDefinition:
    """Read a map. Raises: CompilationError, with place and line, for what is not in the subset.

    assemblies: names of AdditionalAssemblies; the types of their name spaces can be named in `typeof`.
    """
    return _Lowering(text, property_name, assemblies).map_definition(parse(text, property_name))


def parse_reduce(text: str, property_name: str = "Reduce", *, assemblies: Collection[str] = ()) -> ReduceDefinition:
    """Read a reduce. Raises: CompilationError."""
    return _Lowering(text, property_name, assemblies).reduce_definition(parse(text, property_name))


def is_linq(text: str) -> bool:
    """Whether a map's text is LINQ and not JavaScript, by how it begins."""
    return _LINQ.match(text) is not None


class _Lowering(ValueLowering):
    """One definition: the stages so far, and where its items come from."""

    def __init__(self, text: str, property_name: str, assemblies: Collection[str]) -> None:
        super().__init__(text, property_name, assemblies)
        self.stages: list[Callable[[Stage], Stage]] = []
        self.source: tuple[SourceKind, str | None, str | None] | None = None

    # ---- names and stages

    def let(self, name: str, value: Value) -> Value:
        """A variable for a computed value; what is at hand already stays as it is."""
        if isinstance(value, Known):
            return Known({member: self.let(member, inner) for member, inner in value.members.items()}, value.place)
        if isinstance(value, Variable):
            return value
        made, position = self.fresh(name), value.position
        self.stages.append(lambda following: tree.Let(made, value, following, position))
        return Variable(made, position)

    def filter(self, condition: Expression, place: ast.Place) -> None:
        self.stages.append(lambda following: tree.Filter(condition, following, place.position))

    def each(self, name: str, source: Expression, place: ast.Place) -> Variable:
        made = self.fresh(name)
        self.stages.append(lambda following: tree.Each(made, source, following, "", place.position))
        return Variable(made, place.position)

    def finish(self, value: Value, place: ast.Place) -> tuple[tuple[str, ...], Stage]:
        """The names of the output and all stages."""
        if not isinstance(value, Known):
            self.fail("a map and a reduce end with 'new { }': the fields of the index", place)
        if not value.members:
            self.fail("an index without fields cannot be used: 'new { }' is empty", place)
        output = tuple((name, self.force(inner)) for name, inner in value.members.items())
        stage: Stage = tree.Output(output, place.position)
        for wrap in reversed(self.stages):
            stage = wrap(stage)
        return tuple(value.members), stage

    # ---- definitions

    def map_definition(self, node: ast.Expression) -> MapDefinition:
        value = self.map_source(node, last=True)
        if self.source is None:
            self.fail("a map begins with docs, counters or timeSeries", node.place)
        names, stages = self.finish(value, _end(node))
        kind, collection, name = self.source
        program = self.compile(stages, node.place)
        return MapDefinition(kind, collection, name, names, stages, program, tuple(self.loaded))

    def compile(self, stages: tree.Node, place: ast.Place) -> Program:
        try:
            return compile(stages)
        except ValueError as error:
            self.fail(str(error), place)

    def reduce_definition(self, node: ast.Expression) -> ReduceDefinition:
        grouping, value_of = self.reduce_parts(node)
        item = self.fresh(grouping.parameter)
        key = self.force(self.lower(grouping.key, {grouping.parameter: Variable(item)}))
        element = None
        if grouping.element is not None:
            element = self.force(self.lower(grouping.element, {grouping.parameter: Variable(item)}))
            if element == Variable(item):
                element = None
        groups = tree.Sequence("group", INPUT, (item, "", ""), key, element, grouping.place.position)
        self.group = self.each(grouping.group_name, groups, grouping.place)
        value = value_of(self.group)
        if self.loaded:
            self.fail("a reduce cannot load documents", node.place)
        names, stages = self.finish(value, _end(node))
        key = tree.substitute(key, item, INPUT)
        aggregates = () if element is not None else _aggregates(stages)
        return ReduceDefinition(
            key, _key_fields(key), names, stages, aggregates, self.compile(stages, node.place),
            self.compile(self.partial(stages), node.place), self.compile(key, node.place),
        )  # fmt: skip

    def partial(self, stages: Stage) -> Stage:
        """The stages with the number of mapped rows as one more field."""
        if self.count is None:
            return stages
        if isinstance(stages, tree.Output):
            return replace(stages, fields=(*stages.fields, (COUNT_FIELD, self.count)))
        return replace(stages, next=self.partial(stages.next))

    def reduce_parts(self, node: ast.Expression) -> tuple[_Grouping, Callable[[Variable], Value]]:
        """What groups, and what makes the entry of a group."""
        if isinstance(node, ast.Query):
            return self.reduce_query(node)
        steps: list[tuple[str, ast.Invocation]] = []
        here: ast.Expression = node
        while isinstance(here, ast.Invocation) and isinstance(here.function, ast.Access):
            steps.append((here.function.name, here))
            here = here.function.target
        if not (isinstance(here, ast.Name) and here.name == "results" and steps):
            self.fail("a reduce begins with results", here.place)
        name, call = steps.pop()
        if name != "GroupBy" or not 1 <= len(call.arguments) <= 2:
            self.fail("a reduce begins with results.GroupBy(r => ...)", call.place)
        key = self.lambda_of(call.arguments[0], 1)
        element = None
        if len(call.arguments) == 2:
            inner = self.lambda_of(call.arguments[1], 1)
            if inner.parameters != key.parameters:
                self.fail("both lambdas of GroupBy need the same parameter here", call.place)
            element = inner.body
        if not steps:
            self.fail("a reduce ends with Select(g => new { })", call.place)

        def value_of(group: Variable) -> Value:
            value: Value = group
            for number, (method, step) in enumerate(reversed(steps)):
                value = self.map_step(method, step, value, last=number == len(steps) - 1)
            return value

        return _Grouping(key.parameters[0], key.body, element, "g", call.place), value_of

    def reduce_query(self, node: ast.Query) -> tuple[_Grouping, Callable[[Variable], Value]]:
        clauses = node.clauses
        first, second = clauses[0], clauses[1] if len(clauses) > 1 else None
        if not (isinstance(first, ast.From) and isinstance(first.source, ast.Name) and first.source.name == "results"):
            self.fail("a reduce begins with 'from result in results'", node.place)
        if not isinstance(second, ast.GroupInto):
            self.fail("a reduce groups: 'from result in results group result by ... into g'", node.place)
        plain = isinstance(second.element, ast.Name) and second.element.name == first.name
        group = second

        def value_of(variable: Variable) -> Value:
            environment = self.clauses(clauses[2:], {group.name: variable})
            return self.lower_members(node.value, environment)

        grouping = _Grouping(first.name, second.key, None if plain else second.element, second.name, second.place)
        return grouping, value_of

    # ---- sources of maps

    def map_source(self, node: ast.Expression, *, last: bool) -> Value:
        """Stages for a source with its method chain; the current item."""
        if isinstance(node, ast.Query):
            first = node.clauses[0]
            if not isinstance(first, ast.From):
                self.fail("a map begins with 'from'", node.place)
            environment = self.clauses(node.clauses[1:], {first.name: self.map_source(first.source, last=False)})
            return self.lower_members(node.value, environment)
        if isinstance(node, ast.Invocation) and isinstance(node.function, ast.Access):
            if self.is_root(node.function):
                self.fail(f"'{node.function.name}' is no method that a map may begin with", node.place)
            current = self.map_source(node.function.target, last=False)
            return self.map_step(node.function.name, node, current, last=last)
        return self.root(node)

    def is_root(self, node: ast.Expression) -> bool:
        """Whether this is a call right on the name of the root, such as docs.Users(...): not a step of a chain."""
        return isinstance(node, ast.Access) and isinstance(node.target, ast.Name) and node.name not in STEPS

    def root(self, node: ast.Expression) -> Value:
        names: list[str] = []
        here = node
        while not isinstance(here, ast.Name):
            if isinstance(here, ast.Access):
                names.append(here.name)
                here = here.target
            elif isinstance(here, ast.Item) and isinstance(here.key, ast.Constant) and isinstance(here.key.value, str):
                names.append(here.key.value)
                here = here.target
            else:
                self.fail("a map begins with docs, counters or timeSeries", here.place)
        kind = ROOTS.get(here.name) or (ROOTS.get(here.name.lower()) if here.name.lower() != "docs" else None)
        if kind is None:
            self.fail(f"a map begins with docs, counters or timeSeries, not with '{here.name}'", here.place)
        names.reverse()
        if len(names) > (1 if kind is SourceKind.DOCUMENTS else 2):
            self.fail(f"'{names[-1]}' is one name too many", node.place)
        self.source = (kind, names[0] if names else None, names[1] if len(names) > 1 else None)
        return INPUT

    def map_step(self, method: str, node: ast.Invocation, current: Value, *, last: bool) -> Value:
        """One method of a chain over documents (or groups): the next current item."""
        arguments = node.arguments
        if method == "Where" and self.group is not None:
            self.fail(GROUP_CONDITION, node.place)
        if method == "Where" and len(arguments) == 1:
            lambda_ = self.lambda_of(arguments[0], 1)
            self.filter(self.force(self.lower(lambda_.body, {lambda_.parameters[0]: current})), node.place)
            return current
        if method == "Select" and len(arguments) == 1:
            lambda_ = self.lambda_of(arguments[0], 1)
            made = self.lower_members(lambda_.body, {lambda_.parameters[0]: current})
            return made if last else self.let(lambda_.parameters[0], made)
        if method == "SelectMany" and self.group is None and 1 <= len(arguments) <= 2:
            return self.select_many(arguments, node, current, last=last)
        if method == "Boost" and len(arguments) == 1 and isinstance(current, Known):
            return self.boosted(current, arguments[0], {}, node.place)
        if method in ("ToList", "AsEnumerable", "ToArray") and not arguments:
            return current
        raise self.error(f"'{method}' cannot be used on the documents of a map, or not like this", node.place)

    def select_many(
        self, arguments: tuple[ast.Expression, ...], node: ast.Invocation, current: Value, *, last: bool
    ) -> Value:
        outer = self.lambda_of(arguments[0], 1)
        source = self.force(self.lower(outer.body, {outer.parameters[0]: current}))
        if len(arguments) == 1:
            return self.each("item", source, node.place)
        result = self.lambda_of(arguments[1], 2)
        item = self.each(result.parameters[1], source, node.place)
        made = self.lower_members(result.body, {result.parameters[0]: current, result.parameters[1]: item})
        return made if last else self.let(result.parameters[1], made)

    def clauses(self, clauses: tuple[ast.Clause, ...], environment: Environment) -> Environment:
        """Stages of the clauses between the first and `select`; the names that are then known."""
        known = dict(environment)
        for clause in clauses:
            if isinstance(clause, ast.From):
                if self.group is not None:
                    self.fail("a group becomes one entry, not several", clause.place)
                known[clause.name] = self.each(clause.name, self.force(self.lower(clause.source, known)), clause.place)
            elif isinstance(clause, ast.LetClause):
                known[clause.name] = self.let(clause.name, self.lower_members(clause.value, known))
            elif isinstance(clause, ast.Where):
                if self.group is not None:
                    self.fail(GROUP_CONDITION, clause.place)
                self.filter(self.force(self.lower(clause.condition, known)), clause.place)
            else:
                self.fail("a map does not group; that is what a reduce is for", clause.place)
        return known

    # ---- expressions


STEPS: Final = frozenset(("Select", "SelectMany", "Where", "Boost"))


@dataclass(frozen=True, slots=True)
class _Grouping:
    """What a reduce groups by."""

    parameter: str
    key: ast.Expression
    element: ast.Expression | None
    group_name: str
    place: ast.Place


def _end(node: ast.Expression) -> ast.Place:
    """Where the expression is whose members are the fields."""
    if isinstance(node, ast.Query):
        return node.value.place
    last = node.arguments[-1] if isinstance(node, ast.Invocation) and node.arguments else None
    return last.body.place if isinstance(last, ast.Lambda) else node.place


def _key_fields(key: Expression) -> tuple[str, ...]:
    """The fields of a result that the key names; () when it is more than that."""
    parts = [value for _, value in key.fields] if isinstance(key, tree.Record) else [key]
    names = [part.name for part in parts if isinstance(part, Member) and part.source == INPUT]
    return tuple(names) if len(names) == len(parts) else ()


def _aggregates(stages: Stage) -> tuple[Aggregate, ...]:
    """What each field is computed from; nothing when there are stages between the groups and the output."""
    if not (isinstance(stages, tree.Each) and isinstance(stages.next, tree.Output)):
        return ()
    group = Variable(stages.name)
    return tuple(_aggregate(name, value, group) for name, value in stages.next.fields)


def _aggregate(name: str, value: Expression, group: Variable) -> Aggregate:
    key = Member(group, "Key")
    if value == key:
        return Aggregate(name, "key")
    if isinstance(value, Member) and value.source == key:
        return Aggregate(name, "key", value.name)
    if isinstance(value, tree.Sequence) and value.function == "sum" and value.source == group:
        body = value.body
        if isinstance(body, Member) and body.source == Variable(value.parameters[0]):
            return Aggregate(name, "sum", body.name)
    return Aggregate(name, "other")

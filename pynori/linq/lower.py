"""From what a definition says to what is evaluated: names looked up, clauses turned into the stages of `pynori.expr`.

A map is read from its source outwards. Each step of a method chain (or clause of a query) adds stages and leaves the
*current item*: an expression, or a *known object*, which is a `new { }` whose members are looked up while lowering. So
a chain of `Select`s through intermediate objects costs nothing when it runs: members that are computed become
variables, members that only pass something on are that thing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NoReturn, TypeAlias

from pynori_core.expr import Program

from pynori.errors import CompilationError
from pynori.expr import tree
from pynori.expr.compile import compile
from pynori.expr.tree import Expression, Literal, Member, Stage, Variable
from pynori.limits import EXPRESSION_DEPTH_MAX
from pynori.linq import ast, functions
from pynori.linq.parser import parse
from pynori.linq.tokens import failure

INPUT: Final = Variable(tree.INPUT)


COUNT_FIELD: Final = "@count"  # of a partial result: how many mapped rows it stands for
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


@dataclass(frozen=True, slots=True)
class Known:
    """A `new { }` whose members are known while lowering."""

    members: Mapping[str, Value]
    place: ast.Place


Value: TypeAlias = Expression | Known
Environment: TypeAlias = Mapping[str, Value]


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


class _Lowering:
    """One definition: its text for errors, the stages so far, the names given."""

    def __init__(self, text: str, property_name: str, assemblies: Collection[str]) -> None:
        self.text = text
        self.assemblies = assemblies
        self.property_name = property_name
        self.stages: list[Callable[[Stage], Stage]] = []
        self.names: set[str] = set()
        self.depth = 0
        self.loaded: dict[str, None] = {}
        self.group: Variable | None = None
        self.count: Expression | None = None
        self.source: tuple[SourceKind, str | None, str | None] | None = None

    def error(self, message: str, place: ast.Place) -> CompilationError:
        return failure(self.text, place.offset, message, self.property_name)

    def fail(self, message: str, place: ast.Place) -> NoReturn:
        raise self.error(message, place)

    # ---- names and stages

    def fresh(self, name: str) -> str:
        """A name that no other variable of this definition has."""
        made, number = name, 1
        while made in self.names:
            number += 1
            made = f"{name}#{number}"
        self.names.add(made)
        return made

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

    def count_of_group(self, position: int) -> Expression:
        """How many mapped rows a group stands for: partial results say it, a mapped row stands for itself."""
        assert self.group is not None
        name = self.fresh("row")
        rows = tree.Coalesce(Member(Variable(name), COUNT_FIELD), Literal(1))
        self.count = tree.Sequence("sum", self.group, (name, "", ""), rows, position=position)
        return self.count

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

    def lambda_of(self, node: ast.Expression, parameters: int) -> ast.Lambda:
        if not isinstance(node, ast.Lambda):
            self.fail("a lambda is expected: x => ...", node.place)
        if len(node.parameters) != parameters or len(set(node.parameters)) != parameters:
            self.fail(f"a lambda with {parameters} parameter{'s' * (parameters > 1)} is expected", node.place)
        return node

    def force(self, value: Value) -> Expression:
        """A known object as an expression."""
        if isinstance(value, Known):
            members = tuple((name, self.force(inner)) for name, inner in value.members.items())
            return tree.Record(members, value.place.position)
        return value

    def lower_members(self, node: ast.Expression, environment: Environment) -> Value:
        """An expression whose outermost `new { }`, also if it is boosted as a whole, stays known."""
        if isinstance(node, ast.NewObject):
            members: dict[str, Value] = {}
            for name, value in node.members:
                members[name] = self.lower_members(value, environment)
            return Known(members, node.place)
        if isinstance(node, ast.Invocation) and isinstance(node.function, ast.Access) and node.function.name == "Boost":
            target = self.lower_members(node.function.target, environment)
            if isinstance(target, Known) and len(node.arguments) == 1:
                return self.boosted(target, node.arguments[0], environment, node.place)
        return self.lower(node, environment)

    def boosted(self, target: Known, factor: ast.Expression, environment: Environment, place: ast.Place) -> Known:
        """An entry whose fields all count so many times."""
        times = self.force(self.lower(factor, environment))
        return Known(
            {name: tree.Mark("boost", self.force(value), times, place.position)
             for name, value in target.members.items()},
            place,
        )  # fmt: skip

    def lower(self, node: ast.Expression, environment: Environment) -> Value:
        self.depth += 1
        if self.depth > EXPRESSION_DEPTH_MAX:
            self.fail(f"the expression is nested deeper than {EXPRESSION_DEPTH_MAX} levels", node.place)
        made = _LOWER[type(node)](self, node, environment)
        self.depth -= 1
        return made

    def value(self, node: ast.Expression, environment: Environment) -> Expression:
        return self.force(self.lower(node, environment))

    def name(self, node: ast.Name, environment: Environment) -> Value:
        found = environment.get(node.name)
        if found is None:
            self.fail(f"the name '{node.name}' does not exist here", node.place)
        return Variable(found.name, node.place.position) if isinstance(found, Variable) else found

    def constant(self, node: ast.Constant, environment: Environment) -> Value:
        return Literal(node.value, node.place.position)

    def access(self, node: ast.Access, environment: Environment) -> Value:
        path = self.static_name(node, environment)
        if path is not None:
            constant = functions.CONSTANTS.get(path)
            if constant is None:
                self.fail(f"'{path}' is not part of the subset", node.place)
            return constant
        target = self.lower(node.target, environment)
        if isinstance(target, Known):
            if node.name not in target.members:
                self.fail(f"the object has no member '{node.name}'", node.place)
            return target.members[node.name]
        return Member(target, node.name, position=node.place.position)

    def static_name(self, node: ast.Access, environment: Environment) -> str | None:
        """`Class.Name` for a static member; variables hide classes."""
        target = node.target
        if isinstance(target, ast.Access) and isinstance(target.target, ast.Name) and target.target.name == "System":
            target = ast.Name(target.name, target.place)
        if isinstance(target, ast.Name) and target.name not in environment and target.name in functions.CLASSES:
            return f"{functions.CLASSES[target.name]}.{node.name}"
        return None

    def item(self, node: ast.Item, environment: Environment) -> Value:
        target = self.value(node.target, environment)
        key = self.value(node.key, environment)
        return tree.Index(target, key, node.place.position)

    def unary(self, node: ast.Unary, environment: Environment) -> Value:
        operand = self.value(node.operand, environment)
        if node.operator == "+":
            return operand
        return (tree.Not if node.operator == "!" else tree.Negate)(operand, node.place.position)

    def binary(self, node: ast.Binary, environment: Environment) -> Value:
        left = self.value(node.left, environment)
        right = self.value(node.right, environment)
        position = node.place.position
        if node.operator in tree.ARITHMETIC:
            if node.operator in ("/", "%") and isinstance(left, Literal) and type(left.value) is int:
                # A number divided by what a document does not have fails, as it does where C# makes an int of it.
                right = tree.Coalesce(right, Literal(0), position)
            return tree.Arithmetic(node.operator, left, right, position)
        if node.operator in tree.COMPARISONS:
            return tree.Compare(node.operator, left, right, position=position)
        joined: dict[str, type[tree.And] | type[tree.Or] | type[tree.Coalesce]]
        joined = {"&&": tree.And, "||": tree.Or, "??": tree.Coalesce}
        return joined[node.operator](left, right, position)

    def ternary(self, node: ast.Ternary, environment: Environment) -> Value:
        parts = [self.value(part, environment) for part in (node.test, node.yes, node.no)]
        return tree.Conditional(parts[0], parts[1], parts[2], node.place.position)

    def cast(self, node: ast.CastTo, environment: Environment) -> Value:
        type_ = functions.CASTS.get(node.type)
        if type_ is None:
            return self.lower(node.operand, environment)
        return tree.Cast(type_, self.value(node.operand, environment), node.place.position)

    def new_object(self, node: ast.NewObject, environment: Environment) -> Value:
        return Known({name: self.lower(value, environment) for name, value in node.members}, node.place)

    def new_array(self, node: ast.NewArray, environment: Environment) -> Value:
        return tree.Array(tuple(self.value(item, environment) for item in node.items), node.place.position)

    def new_instance(self, node: ast.NewInstance, environment: Environment) -> Value:
        arguments = tuple(self.value(argument, environment) for argument in node.arguments)
        if node.type.removeprefix("System.") == "DateTime" and len(arguments) in (3, 6):
            return tree.Call("date", arguments, position=node.place.position)
        raise self.error(f"'new {node.type}' with {len(arguments)} arguments is not part of the subset", node.place)

    def type_of(self, node: ast.TypeOf, environment: Environment) -> Value:
        space, _, name = node.type.rpartition(".")
        if not any(space == assembly or space.startswith(assembly + ".") for assembly in self.assemblies):
            self.fail(f"the type '{node.type}' is not known: no assembly of that name space is given", node.place)
        names = {"Name": Literal(name), "FullName": Literal(node.type)}
        return Known(dict(names), node.place)

    def lambda_alone(self, node: ast.Lambda, environment: Environment) -> Value:
        self.fail("a lambda is not expected here", node.place)

    def query(self, node: ast.Query, environment: Environment) -> Value:
        """A query within an expression, over a sequence, as the methods that it stands for."""
        first = node.clauses[0]
        if not isinstance(first, ast.From):
            self.fail("a query begins with 'from'", node.place)
        if any(not isinstance(clause, ast.Where) for clause in node.clauses[1:]):
            self.fail("a query within a map has 'from', 'where' and 'select' only", node.place)
        made = self.value(first.source, environment)
        name = self.fresh(first.name)
        inner = {**environment, first.name: Variable(name)}
        for clause in node.clauses[1:]:
            assert isinstance(clause, ast.Where)
            condition = self.value(clause.condition, inner)
            made = tree.Sequence("where", made, (name, "", ""), condition, position=clause.place.position)
        value = self.value(node.value, inner)
        return tree.Sequence("select", made, (name, "", ""), value, position=node.place.position)

    # ---- calls

    def invocation(self, node: ast.Invocation, environment: Environment) -> Value:
        function = node.function
        if isinstance(function, ast.Name):
            return self.document_function(function.name, node, environment)
        assert isinstance(function, ast.Access)
        if isinstance(function.target, ast.Name) and function.target.name == "this" and "this" not in environment:
            return self.document_function(function.name, node, environment)
        path = self.static_name(function, environment)
        if path is None:
            target = self.value(function.target, environment)
            return self.method(function.name, target, node.arguments, node, environment)
        if path.split(".")[0] in functions.EXTENSION_CLASSES:
            if not node.arguments:
                self.fail(f"'{path}' needs a sequence", node.place)
            target = self.value(node.arguments[0], environment)
            return self.method(function.name, target, node.arguments[1:], node, environment)
        arguments = tuple(self.value(argument, environment) for argument in node.arguments)
        made = functions.static_call(path, arguments, node.place.position)
        if isinstance(made, str):
            self.fail(made or f"'{path}' is not part of the subset", node.place)
        return made

    def method(
        self, name: str, target: Expression, arguments: tuple[ast.Expression, ...], node: ast.Invocation,
        environment: Environment,
    ) -> Value:  # fmt: skip
        """A method of a value."""
        if target == self.group and name in ("Count", "LongCount", "Average", "Any", "All"):
            if name in ("Count", "LongCount") and not arguments:
                return self.count_of_group(node.place.position)
            self.fail(
                f"'{name}' over a group cannot be kept up to date, since results are reduced again: "
                "map a value for it and use Sum", node.place,
            )  # fmt: skip
        found = functions.LAMBDAS.get(name)
        if found is not None and len(arguments) <= 1:
            return self.sequence(found, name, target, arguments, node, environment)
        if name in ("SelectMany", "GroupBy") and 1 <= len(arguments) <= 2:
            return self.two_lambdas(name, target, arguments, node, environment)
        if any(isinstance(argument, ast.Lambda) for argument in arguments):
            self.fail(f"'{name}' with a lambda is not part of the subset", node.place)
        values = tuple(self.value(argument, environment) for argument in arguments)
        made = functions.plain_call(name, target, values, node.place.position)
        if isinstance(made, str):
            self.fail(made or f"the method '{name}' is not part of the subset", node.place)
        return made

    def bound(self, names: tuple[str, ...], environment: Environment) -> tuple[tuple[str, ...], Environment]:
        """Fresh names for the parameters of a lambda, and what its body knows."""
        made = tuple(self.fresh(name) for name in names)
        return made, {**environment, **{name: Variable(new) for name, new in zip(names, made, strict=True)}}

    def sequence(
        self, found: tuple[str, bool], name: str, target: Expression, arguments: tuple[ast.Expression, ...],
        node: ast.Invocation, environment: Environment,
    ) -> Value:  # fmt: skip
        function, needed = found
        position = node.place.position
        if not arguments:
            if needed:
                self.fail(f"'{name}' needs a lambda", node.place)
            return tree.Sequence(function, target, position=position)
        lambda_ = arguments[0]
        if not isinstance(lambda_, ast.Lambda) or not 1 <= len(lambda_.parameters) <= 2:
            self.fail(f"'{name}' needs a lambda: x => ...", node.place)
        if len(set(lambda_.parameters)) != len(lambda_.parameters):
            self.fail("two parameters of a lambda have the same name", lambda_.place)
        names, inner = self.bound(lambda_.parameters, environment)
        body = self.value(lambda_.body, inner)
        return tree.Sequence(function, target, (names[0], names[1] if len(names) > 1 else "", ""), body,
                             position=position)  # fmt: skip

    def two_lambdas(
        self, name: str, target: Expression, arguments: tuple[ast.Expression, ...], node: ast.Invocation,
        environment: Environment,
    ) -> Value:  # fmt: skip
        """SelectMany and GroupBy of a value."""
        position = node.place.position
        first = self.lambda_of(arguments[0], 1)
        names, inner = self.bound(first.parameters, environment)
        body = self.value(first.body, inner)
        if name == "GroupBy":
            element = None
            if len(arguments) == 2:
                second = self.lambda_of(arguments[1], 1)
                element = self.value(second.body, {**environment, second.parameters[0]: Variable(names[0])})
            return tree.Sequence("group", target, (names[0], "", ""), body, element, position)
        if len(arguments) == 1:
            return tree.Sequence("select_many", target, (names[0], "", ""), body, position=position)
        second = self.lambda_of(arguments[1], 2)
        inner_name = self.fresh(second.parameters[1])
        known = {**environment, second.parameters[0]: Variable(names[0]), second.parameters[1]: Variable(inner_name)}
        result = self.value(second.body, known)
        return tree.Sequence("select_many", target, (names[0], "", inner_name), body, result, position)

    def document_function(self, name: str, node: ast.Invocation, environment: Environment) -> Value:
        """What an index's base class offers: Id, MetadataFor, LoadDocument, CreateSpatialField, CreateField."""
        arguments = tuple(self.value(argument, environment) for argument in node.arguments)
        position = node.place.position
        count = len(arguments)
        if name == "Id" and count == 1:
            return tree.DocumentId(arguments[0], position)
        if name == "MetadataFor" and count == 1:
            return tree.Metadata(arguments[0], position)
        if name == "AsDocument" and count == 1:
            return arguments[0]
        if name == "LoadDocument" and 1 <= count <= 2:
            if count == 2 and isinstance(arguments[1], Literal) and isinstance(arguments[1].value, str):
                self.loaded[arguments[1].value] = None
            return tree.Load(arguments[0], arguments[1] if count == 2 else None, position)
        if name in ("CreateSpatialField", "SpatialGenerate") and 1 <= count <= 2:
            if count == 2:
                return tree.Mark("point", arguments[0], arguments[1], position)
            return tree.Mark("shape", arguments[0], None, position)
        if name == "CreateField" and 2 <= count <= 4:
            if count > 2:
                self.fail("options of CreateField are not part of the subset; set them in the index's Fields",
                          node.place)  # fmt: skip
            return tree.Mark("field", arguments[1], arguments[0], position)
        raise self.error(f"the function '{name}' is not part of the subset, or not with {count} arguments", node.place)


STEPS: Final = frozenset(("Select", "SelectMany", "Where", "Boost"))

_LOWER: Final[dict[type, Callable[..., Value]]] = {
    ast.Name: _Lowering.name,
    ast.Constant: _Lowering.constant,
    ast.Access: _Lowering.access,
    ast.Item: _Lowering.item,
    ast.Invocation: _Lowering.invocation,
    ast.Lambda: _Lowering.lambda_alone,
    ast.NewObject: _Lowering.new_object,
    ast.NewArray: _Lowering.new_array,
    ast.NewInstance: _Lowering.new_instance,
    ast.Unary: _Lowering.unary,
    ast.Binary: _Lowering.binary,
    ast.Ternary: _Lowering.ternary,
    ast.CastTo: _Lowering.cast,
    ast.TypeOf: _Lowering.type_of,
    ast.Query: _Lowering.query,
}


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

"""Expressions of C# to expressions of `pynori.expr`: names looked up, operators and calls made what they mean.

A value is an expression, or a *known object*: a `new { }` whose members are looked up while lowering.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from pynori.errors import CompilationError
from pynori.expr import tree
from pynori.expr.tree import Expression, Literal, Member, Variable
from pynori.limits import EXPRESSION_DEPTH_MAX
from pynori.linq import ast, functions
from pynori.linq.tokens import failure

COUNT_FIELD: Final = "@count"  # of a partial result: how many mapped rows it stands for


@dataclass(frozen=True, slots=True)
class Known:
    """A `new { }` whose members are known while lowering."""

    members: Mapping[str, Value]
    place: ast.Place


Value: TypeAlias = Expression | Known
Environment: TypeAlias = Mapping[str, Value]


class ValueLowering:
    """The expressions of one definition: its text for errors, the names given, what was loaded."""

    def __init__(self, text: str, property_name: str, assemblies: Collection[str]) -> None:
        self.text = text
        self.assemblies = assemblies
        self.property_name = property_name
        self.names: set[str] = set()
        self.depth = 0
        self.loaded: dict[str, None] = {}
        self.group: Variable | None = None
        self.count: Expression | None = None

    def error(self, message: str, place: ast.Place) -> CompilationError:
        return failure(self.text, place.offset, message, self.property_name)

    def fail(self, message: str, place: ast.Place) -> NoReturn:
        raise self.error(message, place)

    def fresh(self, name: str) -> str:
        """A name that no other variable of this definition has."""
        made, number = name, 1
        while made in self.names:
            number += 1
            made = f"{name}#{number}"
        self.names.add(made)
        return made

    def count_of_group(self, position: int) -> Expression:
        """How many mapped rows a group stands for: partial results say it, a mapped row stands for itself."""
        assert self.group is not None
        name = self.fresh("row")
        rows = tree.Coalesce(Member(Variable(name), COUNT_FIELD), Literal(1))
        self.count = tree.Sequence("sum", self.group, (name, "", ""), rows, position=position)
        return self.count

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


_LOWER: Final[dict[type, Callable[..., Value]]] = {
    ast.Name: ValueLowering.name,
    ast.Constant: ValueLowering.constant,
    ast.Access: ValueLowering.access,
    ast.Item: ValueLowering.item,
    ast.Invocation: ValueLowering.invocation,
    ast.Lambda: ValueLowering.lambda_alone,
    ast.NewObject: ValueLowering.new_object,
    ast.NewArray: ValueLowering.new_array,
    ast.NewInstance: ValueLowering.new_instance,
    ast.Unary: ValueLowering.unary,
    ast.Binary: ValueLowering.binary,
    ast.Ternary: ValueLowering.ternary,
    ast.CastTo: ValueLowering.cast,
    ast.TypeOf: ValueLowering.type_of,
    ast.Query: ValueLowering.query,
}

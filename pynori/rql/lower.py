"""Conditions of a query as expression trees, so that `where` over a collection and `filter` are evaluated natively.

The meaning is that of `where` over an index: an array holds if one of its items does, texts compare without regard to
case unless `exact()` is around, values of different kinds are neither equal nor ordered, what is missing equals nothing
and is not unequal either. Parameters stay parameters (`tree.PARAMETERS`), so a program can be kept for a query's text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from pynori.errors import InvalidQuery
from pynori.expr import tree
from pynori.expr.tree import Expression as Node
from pynori.limits import RQL_DEPTH_MAX
from pynori.rql.ast import (
    And,
    Between,
    Call,
    Comparison,
    Expression,
    In,
    Literal,
    Load,
    Not,
    Or,
    Parameter,
    Path,
    as_path,
)

OPERATORS: Final = {"=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
# `name`, `name[]`, `name[0]`, `name[][]`: a property, and how its array is entered.
_PART: Final = re.compile(r"(?P<name>.*?)(?P<items>(?:\[\d*\])*)\Z", re.DOTALL)
Constant = None | bool | int | float | str


class Lowering:
    """Lowers the conditions of one query.

    alias: of the source. loads: in their order; later ones may start from earlier ones. constant: the value of a call
    such as now(), which the program then holds; None: such calls are refused.
    """

    def __init__(
        self, alias: str | None = None, loads: Sequence[Load] = (),
        constant: Callable[[Call], Constant] | None = None,
    ) -> None:  # fmt: skip
        self._alias = alias
        self._loads: dict[str, Node] = {}
        self._constant = constant
        self._depth = 0
        for load in loads:
            self._loads[load.alias] = self._loaded(load)

    def condition(self, node: Expression, exact: bool = False) -> Node:
        """A tree that is true where the condition holds. Raises: InvalidQuery for what cannot be said of a document."""
        self._depth += 1
        if self._depth > RQL_DEPTH_MAX:
            raise InvalidQuery(f"conditions are nested deeper than {RQL_DEPTH_MAX} levels")
        made = self._condition(node, exact)
        self._depth -= 1
        return made

    def _condition(self, node: Expression, exact: bool) -> Node:
        if isinstance(node, And | Or):
            return self._joined(tree.And if isinstance(node, And) else tree.Or, node.operands, exact)
        if isinstance(node, Not):
            return tree.Not(self.condition(node.operand, exact))
        if isinstance(node, Literal) and isinstance(node.value, bool):
            return tree.Literal(node.value)
        if isinstance(node, Comparison):
            return self._comparison(node, exact)
        if isinstance(node, Between):
            item = tree.Variable("item")
            at_least = tree.Compare(">=", item, self.value(node.low), not exact, True)
            at_most = tree.Compare("<=", item, self.value(node.high), not exact, True)
            return self._any(self.field(node.value), tree.And(at_least, at_most))
        if isinstance(node, In):
            options = tuple(self.value(option) for option in node.options)
            return tree.Call("all_in" if node.every else "in", (self.field(node.value), *options), not exact, True)
        if isinstance(node, Call):
            return self._call(node, exact)
        raise InvalidQuery(f"a condition was expected at position {getattr(node, 'position', 0)}")

    def _joined(self, kind: type[tree.And] | type[tree.Or], operands: tuple[Expression, ...], exact: bool) -> Node:
        """Halves joined with halves, so that many operands do not make a deep tree."""
        if len(operands) == 1:
            return self.condition(operands[0], exact)
        middle = len(operands) // 2
        return kind(self._joined(kind, operands[:middle], exact), self._joined(kind, operands[middle:], exact))

    def _comparison(self, node: Comparison, exact: bool) -> Node:
        operator = OPERATORS[node.operator]
        left = self.field(node.left)
        if isinstance(node.right, Path) and not node.right.quoted:
            compared = tree.Compare(operator, left, tree.Variable("item"), not exact, True)
            return self._any(self.field(node.right), compared)
        return tree.Compare(operator, left, self.value(node.right), not exact, True)

    def _any(self, field: Node, condition: Node) -> Node:
        """Whether the condition holds for one of the values of a field, which it knows as `item`."""
        return tree.Sequence("any", tree.Call("terms", (field,)), ("item", "", ""), condition)

    def _call(self, call: Call, exact: bool) -> Node:
        name, arguments = call.name, call.arguments
        if name == "exact" and len(arguments) == 1:
            return self.condition(arguments[0], True)
        if name == "boost" and arguments:
            return self.condition(arguments[0], exact)
        if name == "exists" and len(arguments) == 1:
            return tree.Call("exists", (self.field(arguments[0]),))
        if name in ("startsWith", "endsWith") and len(arguments) == 2:
            function = "starts_with" if name == "startsWith" else "ends_with"
            test = tree.Call(function, (tree.Variable("item"), self.value(arguments[1])), not exact, True)
            return self._any(self.field(arguments[0]), test)
        raise InvalidQuery(f"{name}() needs an index and cannot be used in a filter")

    # ---- fields and values

    def field(self, node: Expression) -> Node:
        """The values of a field: one, or an array of them; arrays on the way are entered whether the path says so or
        not."""
        if isinstance(node, Call) and node.name == "id" and len(node.arguments) <= 1:
            return tree.DocumentId(self._root(as_path(node.arguments[0]) if node.arguments else None))
        path = as_path(node)
        if path is None:
            raise InvalidQuery(f"a field was expected at position {getattr(node, 'position', 0)}")
        return self._at(path)

    def _at(self, path: Path) -> Node:
        """What stands at a path of the document, or of one that was loaded."""
        loaded = self._loads.get(path.parts[0])
        if loaded is not None:
            return self._members(loaded, path.parts[1:])
        return self._members(tree.Variable(tree.INPUT), path.without(self._alias).parts)

    def _loaded(self, load: Load) -> Node:
        """The document whose id stands at a path, or all of them."""
        ids = self._at(load.path)
        if not load.array:
            return tree.Load(ids)
        each = tree.Load(tree.Variable("item"))
        return tree.Sequence("select", tree.Call("terms", (ids,)), ("item", "", ""), each)

    def _root(self, path: Path | None) -> Node:
        """The document that an alias stands for."""
        if path is None or path.parts == (self._alias,):
            return tree.Variable(tree.INPUT)
        loaded = self._loads.get(path.parts[0])
        if loaded is None:
            raise InvalidQuery(f"'{path.text}' is not the alias of a document")
        return loaded

    def _members(self, source: Node, parts: tuple[str, ...]) -> Node:
        for part in parts:
            match = _PART.match(part)
            assert match is not None
            source = tree.Member(source, match["name"], True)
            for index in re.findall(r"\[(\d+)\]", match["items"]):
                source = tree.Index(source, tree.Literal(int(index)))
        return source

    def value(self, node: Expression) -> Node:
        """What a field is compared with: a literal, a parameter, the value of a call."""
        if isinstance(node, Literal):
            return tree.Literal(node.value)
        if isinstance(node, Parameter):
            return tree.Member(tree.Variable(tree.PARAMETERS), node.name)
        if isinstance(node, Path) and node.quoted:
            return tree.Literal(node.text)
        if isinstance(node, Call) and self._constant is not None:
            return tree.Literal(self._constant(node))
        raise InvalidQuery(f"a value was expected at position {getattr(node, 'position', 0)}")

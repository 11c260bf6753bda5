"""What a C# definition says, before names are looked up: expressions and the clauses of a query.

`offset` is the place of the node in the definition's text, `position` the same as line and column for programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node begins."""

    offset: int
    position: int


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, a function or a class."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal."""

    value: bool | int | float | Decimal | str | None
    place: Place


@dataclass(frozen=True, slots=True)
class Access:
    """`target.name`."""

    target: Expression
    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Item:
    """`target[key]`."""

    target: Expression
    key: Expression
    place: Place


@dataclass(frozen=True, slots=True)
class Invocation:
    """`function(arguments)`; function is a Name or an Access."""

    function: Expression
    arguments: tuple[Expression, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Lambda:
    """`x => body`."""

    parameters: tuple[str, ...]
    body: Expression
    place: Place


@dataclass(frozen=True, slots=True)
class NewObject:
    """`new { a = x, y.b }`: names and values."""

    members: tuple[tuple[str, Expression], ...]
    place: Place


@dataclass(frozen=True, slots=True)
class NewArray:
    """`new object[] { ... }`, `new[] { ... }`."""

    items: tuple[Expression, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class NewInstance:
    """`new Type(arguments)`."""

    type: str
    arguments: tuple[Expression, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Unary:
    """`!x`, `-x`, `+x`."""

    operator: str
    operand: Expression
    place: Place


@dataclass(frozen=True, slots=True)
class Binary:
    """Arithmetic, comparisons, `&&`, `||`, `??`."""

    operator: str
    left: Expression
    right: Expression
    place: Place


@dataclass(frozen=True, slots=True)
class Ternary:
    """`test ? yes : no`."""

    test: Expression
    yes: Expression
    no: Expression
    place: Place


@dataclass(frozen=True, slots=True)
class CastTo:
    """`(Type) operand`; type without `?`."""

    type: str
    operand: Expression
    place: Place


@dataclass(frozen=True, slots=True)
class TypeOf:
    """`typeof(Type)`."""

    type: str
    place: Place


@dataclass(frozen=True, slots=True)
class From:
    """`from name in source`."""

    name: str
    source: Expression
    place: Place


@dataclass(frozen=True, slots=True)
class LetClause:
    """`let name = value`."""

    name: str
    value: Expression
    place: Place


@dataclass(frozen=True, slots=True)
class Where:
    """`where condition`."""

    condition: Expression
    place: Place


@dataclass(frozen=True, slots=True)
class GroupInto:
    """`group element by key into name`."""

    element: Expression
    key: Expression
    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Query:
    """`from ... select value`; the first clause is a From."""

    clauses: tuple[Clause, ...]
    value: Expression
    place: Place


Clause: TypeAlias = From | LetClause | Where | GroupInto
Expression: TypeAlias = (
    Name | Constant | Access | Item | Invocation | Lambda | NewObject | NewArray | NewInstance | Unary | Binary
    | Ternary | CastTo | TypeOf | Query
)  # fmt: skip

"""THE table of node kinds: conditions, computed fields and index maps as frozen values.

LINQ and RQL are lowered to these nodes; `compile` turns them into the bytes that `pynori_core.expr` evaluates, `fold`
makes them smaller, `describe` shows them. A node's meaning is written in ext/pynori_core/expr_eval.pxd beside the
operation of the same name. There are *values* and *stages*: a map is a chain of stages that ends in an Output, a
condition is a value.

Variables have names; a name that is bound again hides the outer one. INPUT is what the program runs over (a document,
or the list of results that a reduce takes), PARAMETERS an object of query parameters. `position` says where the node
stood in its source and takes no part in comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any, Final, TypeAlias, cast

INPUT: Final = "$input"
PARAMETERS: Final = "$parameters"

LINE_SHIFT: Final = 12  # POSITION_COLUMN_BITS of expr_values.pxd
COLUMN_MAX: Final = (1 << LINE_SHIFT) - 1


def position_of(line: int, column: int) -> int:
    """Line and column, both from 1, as one number."""
    return (min(line, (1 << 20) - 1) << LINE_SHIFT) | min(column, COLUMN_MAX)


def line_column(position: int) -> tuple[int, int]:
    """The reverse of position_of."""
    return position >> LINE_SHIFT, position & COLUMN_MAX


# ---------------------------------------------------------------- values


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant. A Decimal computes exactly; an int is of 64 bits."""

    value: bool | int | float | Decimal | str | None
    position: int = field(default=0, compare=False)

    def __eq__(self, other: object) -> bool:
        # 1, 1.0 and true are three different constants.
        return isinstance(other, Literal) and type(self.value) is type(other.value) and self.value == other.value

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))


@dataclass(frozen=True, slots=True)
class Variable:
    """INPUT, PARAMETERS, or what a stage or a lambda around it binds."""

    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Member:
    """`source.name`; missing when there is none. every: of an array, the list of its items' members."""

    source: Expression
    name: str
    every: bool = False
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Index:
    """`source[key]`: an item by its position, a member by its name."""

    source: Expression
    key: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of a document."""

    document: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class DocumentId:
    """The id of a document, as it is spelt."""

    document: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """True for everything but true."""

    operand: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Negate:
    """Minus a number or a time span."""

    operand: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """Both are true; the right one is computed only if the left one is."""

    left: Expression
    right: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Or:
    """One is true; the right one is computed only if the left one is not."""

    left: Expression
    right: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Conditional:
    """`test ? yes : no`."""

    test: Expression
    yes: Expression
    no: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Coalesce:
    """The left value, unless it is null or missing."""

    left: Expression
    right: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """operator: one of ARITHMETIC."""

    operator: str
    left: Expression
    right: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """operator: one of COMPARISONS. terms: as an index compares its terms: an array on the left holds if one of its
    items does, what is missing equals nothing and is not unequal either."""

    operator: str
    left: Expression
    right: Expression
    ignore_case: bool = False
    terms: bool = False
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Cast:
    """type: one of CASTS. Null stays null."""

    type: str
    operand: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Record:
    """An object made of named values."""

    fields: tuple[tuple[str, Expression], ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Array:
    """A list of values."""

    items: tuple[Expression, ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """function: a name of `pynori_core.expr.FUNCTIONS`. terms: as of Compare, for functions that compare."""

    function: str
    arguments: tuple[Expression, ...]
    ignore_case: bool = False
    terms: bool = False
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A function with lambdas over a sequence; function: one of SEQUENCES.

    parameters: names of the item, of its position, and (select_many's result) of the inner item; "" for none. `second`
    is the result of select_many, the element of group.
    """

    function: str
    source: Expression
    parameters: tuple[str, str, str] = ("", "", "")
    body: Expression | None = None
    second: Expression | None = None
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Load:
    """Another document by its id, or several by a list of ids; the reference is reported."""

    id: Expression
    collection: Expression | None = None
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Mark:
    """A value that an index treats in its own way; kind: one of MARKS."""

    kind: str
    value: Expression
    second: Expression | None = None
    position: int = field(default=0, compare=False)


# ---------------------------------------------------------------- stages


@dataclass(frozen=True, slots=True)
class Let:
    """Bind a value, go on."""

    name: str
    value: Expression
    next: Stage
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Filter:
    """Go on only if the condition is true."""

    condition: Expression
    next: Stage
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Each:
    """Go on once for each item; index_name: of its position, "" for none."""

    name: str
    source: Expression
    next: Stage
    index_name: str = ""
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Output:
    """An entry with these fields."""

    fields: tuple[tuple[str, Expression], ...]
    position: int = field(default=0, compare=False)


Expression: TypeAlias = (
    Literal | Variable | Member | Index | Metadata | DocumentId | Not | Negate | And | Or | Conditional | Coalesce
    | Arithmetic | Compare | Cast | Record | Array | Call | Sequence | Load | Mark
)  # fmt: skip
Stage: TypeAlias = Let | Filter | Each | Output
Node: TypeAlias = Expression | Stage

# Words of the nodes and their numbers in a program; see the enums in expr_eval.pxd and expr_values.pxd.
ARITHMETIC: Final = {"+": 1, "-": 2, "*": 3, "/": 4, "%": 5}
COMPARISONS: Final = {"==": 1, "!=": 2, "<": 3, "<=": 4, ">": 5, ">=": 6}
CASTS: Final = {"double": 1, "decimal": 2, "integer": 3, "string": 4, "bool": 5, "date": 6, "span": 7}
MARKS: Final = {"boost": 1, "point": 2, "shape": 3, "field": 4}
SEQUENCES: Final = {
    name: number
    for number, name in enumerate(
        (
            "select", "select_many", "where", "any", "count", "sum", "min", "max", "average", "all", "first", "last",
            "first_or_null", "last_or_null", "order", "order_descending", "group",
        ),
        1,
    )
}  # fmt: skip


# ---------------------------------------------------------------- reading a tree


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below one, in the order in which they are computed."""
    for part in fields(node):
        value = getattr(node, part.name)
        if isinstance(value, NODES):
            yield value
        elif isinstance(value, tuple):
            for item in value:
                child = item[1] if isinstance(item, tuple) else item
                if isinstance(child, NODES):
                    yield child


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it, parents first."""
    waiting: list[Node] = [node]
    while waiting:
        here = waiting.pop()
        yield here
        waiting.extend(reversed(list(children(here))))


def substitute(node: Expression, name: str, replacement: Expression) -> Expression:
    """The expression with another one in place of a variable that nothing in it binds."""
    if isinstance(node, Variable):
        return replacement if node.name == name else node
    changed: dict[str, Any] = {}
    for part in fields(node):
        value = getattr(node, part.name)
        if isinstance(value, NODES):
            changed[part.name] = substitute(cast("Expression", value), name, replacement)
        elif part.name == "fields":
            changed[part.name] = tuple((key, substitute(child, name, replacement)) for key, child in value)
        elif part.name in ("items", "arguments"):
            changed[part.name] = tuple(substitute(child, name, replacement) for child in value)
    return replace(node, **changed) if changed else node


NODES: Final = (
    Literal, Variable, Member, Index, Metadata, DocumentId, Not, Negate, And, Or, Conditional, Coalesce, Arithmetic,
    Compare, Cast, Record, Array, Call, Sequence, Load, Mark, Let, Filter, Each, Output,
)  # fmt: skip
STAGES: Final = (Let, Filter, Each, Output)

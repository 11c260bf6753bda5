"""What a query says: one frozen value for every clause and every expression of RQL.

The parser builds these and nothing else; planning, execution and formatting read them. Two trees are equal when they
say the same, wherever it stood: `position` (index of the node's first character in the query's text) takes no part in
comparison. Names of built-in functions are spelt as in `FUNCTIONS` however the text spelt them, so `call.name` can be
compared directly; names that a query declares itself keep their spelling.

Invariants: a tuple of operands of And and Or holds at least two; a Path has at least one part; only Literal, Parameter
and Call without operands are values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

# Spelling of every function that the language itself knows, by lower-case name.
FUNCTIONS: Final[dict[str, str]] = {
    name.lower(): name
    for name in (
        # conditions
        "exists", "startsWith", "endsWith", "search", "lucene", "regex", "exact", "boost", "fuzzy", "proximity",
        "intersect", "moreLikeThis", "vector.search",
        "spatial.within", "spatial.contains", "spatial.disjoint", "spatial.intersects",
        # values
        "id", "cmpxchg", "now", "today", "spatial.point", "spatial.wkt", "spatial.circle", "spatial.distance",
        # grouping and order
        "array", "key", "sum", "count", "min", "max", "avg", "first", "last", "percentile", "slope", "stddev",
        "random", "score", "custom",
        # projections and includes
        "facet", "suggest", "timeseries", "counter", "counterRaw", "counters", "revisions", "highlight",
        "explanations", "timings",
    )
}  # fmt: skip


# ---------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Path:
    """A field: `name`, `address.city`, `lines[].product`, `Values[0]`, `'quoted name'`.

    parts: the names between the dots; an array is entered by a part that ends in `[]` or `[n]`.
    quoted: the whole path was one quoted text. (Where a value may stand too, as in `select` and in arguments, a quoted
    text is a Literal; `as_path` reads it as a field.)
    """

    parts: tuple[str, ...]
    quoted: bool = False
    position: int = field(default=0, compare=False)

    @property
    def text(self) -> str:
        """The parts with dots between them: the name of an index's field."""
        return ".".join(self.parts)

    def without(self, alias: str | None) -> Path:
        """This path without the alias of its source: `o.city` is `city` when `o` is the alias."""
        if alias is None or len(self.parts) < 2 or self.parts[0] != alias:
            return self
        return Path(self.parts[1:], self.quoted, self.position)


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written in the text: null, true, false, a number or a string (escapes resolved)."""

    value: bool | int | float | str | None
    position: int = field(default=0, compare=False)

    def __eq__(self, other: object) -> bool:
        # 1, 1.0 and true are three different literals.
        return isinstance(other, Literal) and type(self.value) is type(other.value) and self.value == other.value

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))


@dataclass(frozen=True, slots=True)
class Parameter:
    """`$name`: a value that comes with the query. The name is without the dollar sign."""

    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """`name(arguments)`. Names with dots (`spatial.within`) are one name. Arguments may be conditions."""

    name: str
    arguments: tuple[Expression, ...] = ()
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right`; operator is one of `= != < <= > >=` (`==` and `<>` are read as `=` and `!=`)."""

    operator: str
    left: Expression
    right: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Between:
    """`value between low and high`, both ends included."""

    value: Expression
    low: Expression
    high: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class In:
    """`value in (a, b, $list)`: equal to one of them; `all in`: the field's values hold each of them.

    A parameter that is an array stands for its elements.
    """

    value: Expression
    options: tuple[Expression, ...]
    every: bool = False
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """All operands hold. Operands of parentheses stay a tree of their own."""

    operands: tuple[Expression, ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Or:
    """At least one operand holds."""

    operands: tuple[Expression, ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """The operand does not hold."""

    operand: Expression
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Named:
    """An argument that carries a name: `facet(product, sum(total) as turnover)`."""

    expression: Expression
    name: str
    position: int = field(default=0, compare=False)


# ---------------------------------------------------------------- time series


@dataclass(frozen=True, slots=True)
class Duration:
    """`1h`, `7 days`, `'1 month'`. Unit is one of DURATION_UNITS."""

    count: int
    unit: str
    position: int = field(default=0, compare=False)


DURATION_UNITS: Final = ("millisecond", "second", "minute", "hour", "day", "week", "month", "quarter", "year")


@dataclass(frozen=True, slots=True)
class TimeSeriesQuery:
    """What stands inside `timeseries( )` and in the body of `declare timeseries`.

    source: the series, as a path whose first part may be an alias or a parameter of the declaration, or a parameter.
    low, high: bounds of `between`, both or neither. edge: `first` or `last` with `span`, or neither.
    group_by: a Duration, a path (`tag`) or a parameter, at most one Duration first. interpolation: `linear`, `nearest`.
    """

    source: Path | Parameter
    alias: str | None = None
    low: Expression | None = None
    high: Expression | None = None
    edge: str | None = None
    span: Duration | None = None
    load: Load | None = None
    where: Expression | None = None
    group_by: tuple[Expression, ...] = ()
    interpolation: str | None = None
    select: tuple[SelectField, ...] = ()
    scale: Expression | None = None
    offset: Expression | None = None
    position: int = field(default=0, compare=False)


Value: TypeAlias = Literal | Parameter
Expression: TypeAlias = (
    Path | Literal | Parameter | Call | Comparison | Between | In | And | Or | Not | Named | Duration | TimeSeriesQuery
)


# ---------------------------------------------------------------- clauses


@dataclass(frozen=True, slots=True)
class Script:
    """JavaScript kept as text, braces included; nothing but its extent was looked at."""

    text: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class FunctionDeclaration:
    """`declare function name(parameters) { body }`; body is the text with its braces."""

    name: str
    parameters: tuple[str, ...]
    body: str
    position: int = field(default=0, compare=False)

    @property
    def script(self) -> str:
        """The function as JavaScript."""
        return f"function {self.name}({', '.join(self.parameters)}) {self.body}"


@dataclass(frozen=True, slots=True)
class TimeSeriesDeclaration:
    """`declare timeseries name(parameters) { from ... }`."""

    name: str
    parameters: tuple[str, ...]
    query: TimeSeriesQuery
    position: int = field(default=0, compare=False)


class SourceKind(Enum):
    COLLECTION = "collection"
    INDEX = "index"
    ALL_DOCUMENTS = "all_docs"


@dataclass(frozen=True, slots=True)
class Source:
    """`from`: a collection, an index, or everything. revisions: `(Revisions = true)` of subscriptions."""

    kind: SourceKind
    name: str
    alias: str | None = None
    revisions: bool = False
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class GroupKey:
    """One key of `group by`: a path, or a call of `array` with a path (the whole array is the key)."""

    expression: Path | Call
    alias: str | None = None
    position: int = field(default=0, compare=False)


class OrderKind(Enum):
    """How the values of `order by` are compared; IMPLICIT lets the field's own order decide."""

    IMPLICIT = "implicit"
    STRING = "string"
    LONG = "long"
    DOUBLE = "double"
    ALPHANUMERIC = "alphaNumeric"


@dataclass(frozen=True, slots=True)
class Order:
    """One key of `order by`: a path, or a call of random, score, spatial.distance, custom, count, sum, key or id.

    nulls: `first`, `last`, or None where nothing was said.
    """

    expression: Path | Call
    descending: bool = False
    kind: OrderKind = OrderKind.IMPLICIT
    nulls: str | None = None
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Load:
    """`load o.customer as c`; array: `as c[]`, an array of documents."""

    path: Path
    alias: str
    array: bool = False
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class SelectField:
    """One expression of `select` with the name that it has in the result, if one was given."""

    expression: Expression
    alias: str | None = None
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Select:
    """`select`: either fields, or a script (an object literal in JavaScript), never both."""

    fields: tuple[SelectField, ...] = ()
    script: Script | None = None
    distinct: bool = False
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Query:
    """One whole query. Clauses that were not written are None or empty.

    includes: paths, and calls of counters, timeseries, cmpxchg, revisions, highlight, explanations, timings.
    skip, take: of `limit skip, take`, `limit take`, `limit take offset skip`.
    text: as it was parsed.
    """

    source: Source
    declarations: tuple[FunctionDeclaration | TimeSeriesDeclaration, ...] = ()
    group_by: tuple[GroupKey, ...] = ()
    where: Expression | None = None
    order_by: tuple[Order, ...] = ()
    loads: tuple[Load, ...] = ()
    filter: Expression | None = None
    select: Select | None = None
    update: Script | None = None
    includes: tuple[Path | Call, ...] = ()
    skip: Value | None = None
    take: Value | None = None
    filter_limit: Value | None = None
    text: str = field(default="", compare=False, repr=False)


# ---------------------------------------------------------------- reading a tree


def as_path(expression: Expression) -> Path | None:
    """The field that an argument names: a path, or a string that the text put in quotes; None for anything else."""
    if isinstance(expression, Path):
        return expression
    if isinstance(expression, Literal) and isinstance(expression.value, str) and expression.value:
        return Path(split_path(expression.value), True, expression.position)
    return None


def split_path(text: str) -> tuple[str, ...]:
    """The parts of a dotted name."""
    return tuple(text.split("."))


def children(expression: Expression) -> tuple[Expression, ...]:
    """The expressions directly below one."""
    if isinstance(expression, Call):
        return expression.arguments
    if isinstance(expression, Comparison):
        return (expression.left, expression.right)
    if isinstance(expression, And | Or):
        return expression.operands
    if isinstance(expression, Not):
        return (expression.operand,)
    if isinstance(expression, Named):
        return (expression.expression,)
    if isinstance(expression, Between):
        return (expression.value, expression.low, expression.high)
    if isinstance(expression, In):
        return (expression.value, *expression.options)
    return ()


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and everything below it, parents first, in the order of the text."""
    waiting = [expression]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(children(node)))

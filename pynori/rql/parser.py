"""Tokens to a tree: recursive descent with bounded depth, one method for each rule of GRAMMAR.md.

A keyword is a keyword only where one may stand: where a field or a name is awaited, `order` or `count` is a name,
unless what follows shows that something is missing. Clauses may come in any order after `from`, each once. Whatever
the text is, the outcome is a Query or InvalidQuery with the place, what was found there, and what was expected.

Queries repeat with other parameters, so trees of short texts are kept (`parse` is a cache over `parse_text`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from pynori.errors import InvalidQuery
from pynori.limits import (
    RQL_CACHED_QUERIES,
    RQL_CACHED_SIZE_MAX,
    RQL_DEPTH_MAX,
    RQL_IN_TERMS_MAX,
    RQL_SIZE_BYTES_MAX,
)
from pynori.rql import tokens
from pynori.rql.ast import (
    FUNCTIONS,
    And,
    Between,
    Call,
    Comparison,
    Expression,
    FunctionDeclaration,
    GroupKey,
    In,
    Literal,
    Load,
    Named,
    Not,
    Or,
    Order,
    OrderKind,
    Parameter,
    Path,
    Query,
    Script,
    Select,
    SelectField,
    Source,
    SourceKind,
    TimeSeriesDeclaration,
    Value,
    split_path,
)
from pynori.rql.series import TimeSeriesParser
from pynori.rql.tokens import END, NAME, NUMBER, OPERATOR, PARAMETER, PUNCTUATION, STRING

CLAUSES: Final = frozenset(
    ("where", "group", "order", "load", "filter", "filter_limit", "select", "update", "include", "limit", "offset")
)
# Words that end an expression where no alias or name is awaited.
RESERVED: Final = CLAUSES | frozenset(
    ("from", "as", "and", "or", "in", "all", "between", "not", "by", "asc", "ascending", "desc", "descending", "nulls")
)
_COMPARISONS: Final = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}
_ORDER_KINDS: Final = {
    "string": OrderKind.STRING,
    "long": OrderKind.LONG,
    "double": OrderKind.DOUBLE,
    "alphanumeric": OrderKind.ALPHANUMERIC,
}
_DIRECTIONS: Final = {"asc": False, "ascending": False, "desc": True, "descending": True}
_INTEGER_DIGITS_MAX: Final = 18  # what surely fits 64 bits; longer numbers are read as floating point where they do not


def parse(text: str) -> Query:
    """The tree of a query. Raises InvalidQuery, never anything else."""
    if len(text) <= RQL_CACHED_SIZE_MAX:
        return _cached(text)
    return parse_text(text)


def parse_text(text: str) -> Query:
    """The tree of a query, parsed anew."""
    if len(text) > RQL_SIZE_BYTES_MAX:
        raise InvalidQuery(f"a query of {len(text)} characters exceeds {RQL_SIZE_BYTES_MAX} (RQL_SIZE_BYTES_MAX)")
    return Parser(text).query()


_cached = functools.lru_cache(maxsize=RQL_CACHED_QUERIES)(parse_text)


class Parser:
    """Reads one text. `index` is the current token; the last token is END, or a `{` whose inside is not yet read."""

    __slots__ = ("clauses", "declared", "depth", "index", "text", "tokens")

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens.tokenize(text, 0)
        self.index = 0
        self.depth = 0
        self.declared: set[str] = set()
        self.clauses: dict[str, Any] = {}

    # ------------------------------------------------------------ tokens

    def failed(self, expected: str, index: int | None = None) -> InvalidQuery:
        """The error for the current token (or the one at `index`)."""
        kind, token_text, position = self.tokens[self.index if index is None else index]
        found = "the end of the query" if kind == END else repr(token_text)
        return InvalidQuery.at(self.text, position, found, expected)

    def failed_at(self, node: Expression, expected: str) -> InvalidQuery:
        """The error for an expression that may not stand where it stands."""
        found = type(node).__name__.lower()
        return InvalidQuery.at(self.text, node.position, "a " + found, expected)

    def word(self) -> str:
        """The current token as a keyword, lower-case; empty if it is none."""
        kind, token_text, _ = self.tokens[self.index]
        return token_text.lower() if kind == NAME else ""

    def next_is(self, *punctuation: str) -> bool:
        """Whether the token behind the current one is one of these."""
        if self.tokens[self.index][0] == END or self.index + 1 == len(self.tokens):
            return False
        kind, token_text, _ = self.tokens[self.index + 1]
        return kind == PUNCTUATION and token_text in punctuation

    def at(self, punctuation: str) -> bool:
        kind, token_text, _ = self.tokens[self.index]
        return kind == PUNCTUATION and token_text == punctuation

    def take(self, punctuation: str) -> bool:
        """Step over this punctuation if it is there. Not for `{`, which `script` and `open_block` read."""
        if self.at(punctuation):
            self.index += 1
            return True
        return False

    def expect(self, punctuation: str) -> None:
        if not self.take(punctuation):
            raise self.failed(f"'{punctuation}'")

    def take_word(self, keyword: str) -> bool:
        if self.word() == keyword:
            self.index += 1
            return True
        return False

    def expect_word(self, keyword: str) -> None:
        if not self.take_word(keyword):
            raise self.failed(f"'{keyword}'")

    def position(self) -> int:
        return self.tokens[self.index][2]

    def deeper(self) -> None:
        """Enter one level of nesting; the caller leaves it with `depth -= 1`."""
        self.depth += 1
        if self.depth > RQL_DEPTH_MAX:
            raise self.failed(f"at most {RQL_DEPTH_MAX} levels of nesting (RQL_DEPTH_MAX)")

    def script(self) -> Script:
        """`{ JavaScript }` as text; goes on with the tokens behind it."""
        if not self.at("{"):
            raise self.failed("'{'")
        start = self.position()
        end = tokens.script_end(self.text, start)
        self.tokens[self.index :] = tokens.tokenize(self.text, end)
        return Script(self.text[start:end], start)

    def open_block(self) -> None:
        """Step over a `{` whose inside is RQL, and read the tokens behind it."""
        if not self.at("{"):
            raise self.failed("'{'")
        self.tokens += tokens.tokenize(self.text, self.position() + 1)
        self.index += 1

    def name(self, what: str) -> str:
        """A bare or quoted name, dots included."""
        kind, token_text, _ = self.tokens[self.index]
        if kind == NAME:
            self.index += 1
            return token_text
        if kind == STRING and len(token_text) > 2:
            self.index += 1
            return tokens.unquote(token_text)
        raise self.failed(what)

    # ------------------------------------------------------------ the query

    def query(self) -> Query:
        """The whole text."""
        declarations = []
        while self.word() == "declare":
            declarations.append(self.declaration())
        source = self.source()
        while self.tokens[self.index][0] != END:
            keyword = self.word()
            rule = _RULES.get(keyword)
            if rule is None:
                raise self.failed("a clause (where, group by, order by, load, select, include, limit, ...) or the end")
            if keyword in self.clauses:
                raise self.failed(f"no second '{keyword}'")
            self.clauses[keyword] = None
            rule(self)
        found = self.clauses
        self._check_clauses()
        skip, take = found.get("limit") or (None, None)
        return Query(
            source,
            tuple(declarations),
            found.get("group", ()),
            found.get("where"),
            found.get("order", ()),
            found.get("load", ()),
            found.get("filter"),
            found.get("select"),
            found.get("update"),
            found.get("include", ()),
            skip,
            take,
            found.get("filter_limit"),
            self.text,
        )

    def _check_clauses(self) -> None:
        if "update" in self.clauses and "select" in self.clauses:
            script: Script = self.clauses["update"]
            raise InvalidQuery.at(self.text, script.position, "an update", "either 'select' or 'update'")
        if "offset" in self.clauses:
            skip, take = self.clauses.get("limit") or (None, None)
            if skip is not None:
                raise InvalidQuery.at(self.text, self.clauses["offset"].position, "a second offset", "one")
            self.clauses["limit"] = (self.clauses["offset"], take)

    def declaration(self) -> FunctionDeclaration | TimeSeriesDeclaration:
        """`declare function f(a, b) { script }`, `declare timeseries t(a) { from ... }`."""
        start = self.position()
        self.index += 1
        kind = self.word()
        if kind not in ("function", "timeseries"):
            raise self.failed("'function' or 'timeseries'")
        self.index += 1
        _, name, _ = self.tokens[self.index]
        if not self.word() or not name.isidentifier():
            raise self.failed("the name of the function")
        if name in self.declared:
            raise self.failed("a name that is not declared yet")
        self.declared.add(name)
        self.index += 1
        parameters = self._declared_parameters()
        if not self.at("{"):
            raise self.failed("'{'")
        # One builder writes `timeseries` where it means `function`: the body decides.
        if kind == "function" or not tokens.begins_with_word(self.text, self.position() + 1, "from"):
            return FunctionDeclaration(name, parameters, self.script().text, start)
        self.open_block()
        query = TimeSeriesParser(self).body()
        self.expect("}")
        return TimeSeriesDeclaration(name, parameters, query, start)

    def _declared_parameters(self) -> tuple[str, ...]:
        self.expect("(")
        names: list[str] = []
        while not self.at(")"):
            if names:
                self.expect(",")
            kind, token_text, _ = self.tokens[self.index]
            bare = token_text[1:] if kind == PARAMETER else token_text
            if kind not in (NAME, PARAMETER) or not bare.isidentifier():
                raise self.failed("the name of a parameter")
            names.append(token_text)
            self.index += 1
        self.index += 1
        return tuple(names)

    def source(self) -> Source:
        """`from Orders as o`, `from index 'Orders/All'`, `from @all_docs`, `from Dogs (Revisions = true)`."""
        self.expect_word("from")
        start = self.position()
        kind = SourceKind.COLLECTION
        if self.word() == "index" and self._name_follows():
            self.index += 1
            kind = SourceKind.INDEX
        name = self.name("the name of a collection or an index")
        while kind is SourceKind.INDEX and self.at("/"):
            self.index += 1
            name += "/" + self.name("the rest of the index's name")
        if kind is SourceKind.COLLECTION and name.lower() == "@all_docs":
            kind, name = SourceKind.ALL_DOCUMENTS, "@all_docs"
        revisions = self._revisions()
        alias = None
        if self.take_word("as") or (self.word() and self.word() not in RESERVED):
            alias = self.name("an alias")
        revisions = revisions or self._revisions()
        return Source(kind, name, alias, revisions, start)

    def _name_follows(self) -> bool:
        """Whether the token behind the current one can be a name."""
        kind, token_text, _ = self.tokens[self.index + 1]
        return kind == STRING or (kind == NAME and token_text.lower() not in RESERVED)

    def _revisions(self) -> bool:
        if not self.take("("):
            return False
        self.expect_word("revisions")
        kind, token_text, _ = self.tokens[self.index]
        if kind != OPERATOR or _COMPARISONS.get(token_text) != "=":
            raise self.failed("'='")
        self.index += 1
        wanted = self.word()
        if wanted not in ("true", "false"):
            raise self.failed("'true' or 'false'")
        self.index += 1
        self.expect(")")
        return wanted == "true"

    # ------------------------------------------------------------ clauses

    def where_clause(self) -> None:
        self.index += 1
        self.clauses["where"] = self.boolean(self.condition())

    def filter_clause(self) -> None:
        self.index += 1
        self.clauses["filter"] = self.boolean(self.condition())

    def filter_limit_clause(self) -> None:
        self.index += 1
        self.clauses["filter_limit"] = self.amount()

    def group_clause(self) -> None:
        """`group by a, lines[].product as p, array(tags)`."""
        self.index += 1
        self.expect_word("by")
        keys = []
        while True:
            start = self.position()
            expression = self.field_or_call()
            if isinstance(expression, Call) and expression.name != "array":
                raise self.failed_at(expression, "a field or array(field)")
            keys.append(GroupKey(expression, self.alias(), start))
            if not self.take(","):
                break
        self.clauses["group"] = tuple(keys)

    def order_clause(self) -> None:
        """`order by a desc, b as long, score(), nulls last`."""
        self.index += 1
        self.expect_word("by")
        keys = [self.order()]
        while self.take(","):
            keys.append(self.order())
        self.clauses["order"] = tuple(keys)

    def order(self) -> Order:
        start = self.position()
        expression = self.field_or_call()
        descending, kind, nulls = False, OrderKind.IMPLICIT, None
        if self.take_word("as"):
            spelt = _ORDER_KINDS.get(self.word())
            if spelt is None:
                raise self.failed("'long', 'double', 'string' or 'alphaNumeric'")
            kind = spelt
            self.index += 1
        direction = _DIRECTIONS.get(self.word())
        if direction is not None:
            descending = direction
            self.index += 1
        if self.take_word("nulls"):
            nulls = self.word()
            if nulls not in ("first", "last"):
                raise self.failed("'first' or 'last'")
            self.index += 1
        return Order(expression, descending, kind, nulls, start)

    def load_clause(self) -> None:
        self.index += 1
        loads = [self.load()]
        while self.take(","):
            loads.append(self.load())
        self.clauses["load"] = tuple(loads)

    def load(self) -> Load:
        """`o.customer as c`, `o.products as p[]`."""
        start = self.position()
        path = self.path()
        self.expect_word("as")
        alias = self.name("an alias")
        array = alias.endswith("[]")
        return Load(path, alias.removesuffix("[]"), array, start)

    def select_clause(self) -> None:
        start = self.position()
        self.index += 1
        distinct = False
        if self.word() == "distinct" and not self._ends_field(self.index + 1):
            distinct = True
            self.index += 1
        if self.at("{"):
            self.clauses["select"] = Select((), self.script(), distinct, start)
            return
        self.clauses["select"] = Select(self.select_fields(), None, distinct, start)

    def _ends_field(self, index: int) -> bool:
        """Whether the token at `index` shows that the one before it was a field."""
        kind, token_text, _ = self.tokens[index]
        if kind == PUNCTUATION:
            return token_text in ",."
        return kind == END or (kind == NAME and token_text.lower() in RESERVED)

    def select_fields(self) -> tuple[SelectField, ...]:
        fields = []
        while True:
            start = self.position()
            fields.append(SelectField(self.operand(), self.alias(), start))
            if not self.take(","):
                return tuple(fields)

    def update_clause(self) -> None:
        self.index += 1
        self.clauses["update"] = self.script()

    def include_clause(self) -> None:
        self.index += 1
        includes = [self.field_or_call()]
        while self.take(","):
            includes.append(self.field_or_call())
        self.clauses["include"] = tuple(includes)

    def limit_clause(self) -> None:
        """`limit take`, `limit skip, take`, `limit take offset skip`."""
        self.index += 1
        skip, take = None, self.amount()
        if self.take(","):
            skip, take = take, self.amount()
        elif self.word() == "offset":
            self.index += 1
            skip = self.amount()
        self.clauses["limit"] = (skip, take)

    def offset_clause(self) -> None:
        self.index += 1
        self.clauses["offset"] = self.amount()

    def amount(self) -> Value:
        """A number of results: a whole number from 0, null, or a parameter."""
        index = self.index
        if self.tokens[index][0] in (NUMBER, PARAMETER) or self.word() == "null":
            value = self.operand()
            if isinstance(value, Parameter):
                return value
            if isinstance(value, Literal) and (
                value.value is None or (isinstance(value.value, int) and value.value >= 0)
            ):
                return value
        raise self.failed("a whole number or a parameter", index)

    def alias(self) -> str | None:
        return self.name("an alias") if self.take_word("as") else None

    # ------------------------------------------------------------ conditions

    def boolean(self, node: Expression) -> Expression:
        """The node, if it can be true or false."""
        if isinstance(node, Comparison | And | Or | Not | Call | In | Between):
            return node
        if isinstance(node, Literal) and isinstance(node.value, bool):
            return node
        if isinstance(node, Path):
            raise self.failed("an operator (=, !=, <, <=, >, >=, in, all in, between)")
        raise self.failed_at(node, "a condition")

    def condition(self) -> Expression:
        """`conjunction or conjunction or ...`; also any operand that stands alone, for arguments."""
        start = self.position()
        first = self.conjunction()
        kind, token_text, _ = self.tokens[self.index]
        if not (token_text == "||" if kind == OPERATOR else kind == NAME and token_text.lower() == "or"):
            return first
        operands = [self.boolean(first)]
        while self.take_word("or") or self._take_operator("||"):
            operands.append(self.boolean(self.conjunction()))
        return Or(tuple(operands), start)

    def conjunction(self) -> Expression:
        """`negation and negation and ...`."""
        start = self.position()
        first = self.negation()
        kind, token_text, _ = self.tokens[self.index]
        if not (token_text == "&&" if kind == OPERATOR else kind == NAME and token_text.lower() == "and"):
            return first
        operands = [self.boolean(first)]
        while self.take_word("and") or self._take_operator("&&"):
            operands.append(self.boolean(self.negation()))
        return And(tuple(operands), start)

    def _take_operator(self, operator: str) -> bool:
        kind, token_text, _ = self.tokens[self.index]
        if kind == OPERATOR and token_text == operator:
            self.index += 1
            return True
        return False

    def negation(self) -> Expression:
        """`not condition`, `(condition)`, or a comparison."""
        kind, token_text, start = self.tokens[self.index]
        if kind == PUNCTUATION and token_text == "(":
            self.deeper()
            self.index += 1
            inner = self.boolean(self.condition())
            self.expect(")")
            self.depth -= 1
            return inner
        if kind == NAME and token_text.lower() == "not" and not self._reads_as_name():
            self.deeper()
            self.index += 1
            inner = self.boolean(self.negation())
            self.depth -= 1
            return Not(inner, start)
        return self.comparison()

    def comparison(self) -> Expression:
        """`operand`, `field = value`, `field in (values)`, `field all in (values)`, `field between low and high`."""
        left = self.operand()
        kind, token_text, start = self.tokens[self.index]
        if kind == OPERATOR:
            operator = _COMPARISONS.get(token_text)
            if operator is None:
                return left
            left = self._left_side(left)
            self.index += 1
            return Comparison(operator, left, self.operand(), start)
        if kind != NAME:
            return left
        keyword = token_text.lower()
        if keyword == "in":
            return self._in(left, every=False)
        if keyword == "between":
            return self._between(left)
        if keyword == "all":
            self.index += 1
            if self.word() != "in":
                raise self.failed("'in'")
            return self._in(left, every=True)
        if keyword == "not":
            self.index += 1
            if self.word() not in ("in", "between"):
                raise self.failed("'in' or 'between'")
            inner = self._in(left, every=False) if self.word() == "in" else self._between(left)
            return Not(inner, start)
        return left

    def _left_side(self, node: Expression) -> Expression:
        """What is compared: a field (also one in quotes) or a function, never a value."""
        if isinstance(node, Path | Call):
            return node
        if isinstance(node, Literal) and isinstance(node.value, str) and node.value:
            return Path(split_path(node.value), True, node.position)
        raise self.failed_at(node, "a field before the operator")

    def _in(self, left: Expression, every: bool) -> In:
        start = self.position()
        self.index += 1
        left = self._left_side(left)
        if self.tokens[self.index][0] == PARAMETER:
            return In(left, (self.operand(),), every, start)
        self.expect("(")
        options: list[Expression] = []
        while not self.at(")"):
            if options:
                self.expect(",")
                if self.at(")"):
                    break
            if len(options) >= RQL_IN_TERMS_MAX:
                raise self.failed(f"at most {RQL_IN_TERMS_MAX} values (RQL_IN_TERMS_MAX); a parameter may hold more")
            options.append(self.operand())
        self.index += 1
        return In(left, tuple(options), every, start)

    def _between(self, left: Expression) -> Between:
        start = self.position()
        self.index += 1
        left = self._left_side(left)
        low = self.operand()
        if not (self.take_word("and") or self._take_operator("&&")):
            raise self.failed("'and'")
        return Between(left, low, self.operand(), start)

    # ------------------------------------------------------------ operands

    def operand(self) -> Expression:
        """A value, a field or a call."""
        kind, token_text, start = self.tokens[self.index]
        if kind == NAME:
            if self.next_is("("):
                return self.call()
            lower = token_text.lower()
            if lower in _CONSTANTS and not self.next_is("."):
                self.index += 1
                return Literal(_CONSTANTS[lower], start)
            return self.path()
        if kind == PARAMETER:
            self.index += 1
            return Parameter(token_text[1:], start)
        if kind == STRING:
            if self.next_is("."):
                return self.path()
            self.index += 1
            return Literal(tokens.unquote(token_text), start)
        if kind == NUMBER:
            self.index += 1
            return Literal(self._number(token_text, start), start)
        raise self.failed("a value, a field or a function")

    def _number(self, token_text: str, position: int) -> int | float:
        if token_text.lstrip("-").isdecimal():
            if len(token_text) <= _INTEGER_DIGITS_MAX:
                return int(token_text)
            if len(token_text) <= 20 and -(2**63) <= int(token_text) < 2**63:
                return int(token_text)
        number = float(token_text)
        if number in (float("inf"), float("-inf")):
            raise InvalidQuery.at(self.text, position, repr(token_text), "a number that fits 64 bits")
        return number

    def path(self) -> Path:
        """`a.b`, `'quoted name'`, `a.'quoted'.b`; keywords too where they read as names."""
        kind, token_text, start = self.tokens[self.index]
        if kind == NAME:
            if token_text.lower() in RESERVED and not self._reads_as_name():
                raise self.failed("a field")
            parts = split_path(token_text)
        elif kind == STRING and len(token_text) > 2:
            parts = split_path(tokens.unquote(token_text))
            if not self.next_is("."):
                self.index += 1
                return Path(parts, True, start)
        else:
            raise self.failed("a field")
        self.index += 1
        while self.take("."):
            kind, token_text, _ = self.tokens[self.index]
            if kind not in (NAME, STRING) or (kind == STRING and len(token_text) <= 2):
                raise self.failed("a name")
            parts += split_path(tokens.unquote(token_text) if kind == STRING else token_text)
            self.index += 1
        if "" in parts:
            raise InvalidQuery.at(self.text, start, "a path with an empty name", "a name between the dots")
        return Path(parts, False, start)

    def _reads_as_name(self) -> bool:
        """Whether the current keyword, standing where a field is awaited, is one by what follows it."""
        if self.index + 1 == len(self.tokens):
            return False
        kind, token_text, _ = self.tokens[self.index + 1]
        if kind == OPERATOR:
            return token_text in _COMPARISONS
        if kind == PUNCTUATION:
            return token_text in ",.)"
        if kind != NAME:
            return kind == END
        following = token_text.lower()
        if self.word() == "not":
            # `not order = 1` negates; only `not in (..)` and its like begin with a field called `not`.
            return following in ("in", "between", "all")
        if following == "not":
            kind, token_text, _ = self.tokens[self.index + 2]
            return kind == NAME and token_text.lower() in ("in", "between")
        return following in RESERVED

    def field_or_call(self) -> Path | Call:
        if self.tokens[self.index][0] == NAME and self.next_is("("):
            expression = self.call()
            if isinstance(expression, Call):
                return expression
            raise self.failed_at(expression, "a field or a function")
        return self.path()

    def call(self) -> Expression:
        """`name(arguments)`, or `timeseries(from ...)`."""
        _, token_text, start = self.tokens[self.index]
        name = token_text
        if name not in self.declared:
            name = FUNCTIONS.get(name.lower(), name)
        self.deeper()
        self.index += 2
        if name == "timeseries" and self.word() == "from":
            series = replace(TimeSeriesParser(self).body(), position=start)
            self.expect(")")
            self.depth -= 1
            return series
        arguments: list[Expression] = []
        while not self.at(")"):
            if arguments:
                self.expect(",")
                if self.at(")"):
                    break  # one builder writes a comma behind the last argument
            arguments.append(self.argument())
        self.index += 1
        self.depth -= 1
        if name.startswith("spatial.") and arguments:
            arguments[0] = self._unquoted_call(arguments[0])
        return Call(name, tuple(arguments), start)

    def argument(self) -> Expression:
        """A condition, an operand, either with a name; or the words `and`, `or` alone (how `search` joins terms)."""
        kind, token_text, start = self.tokens[self.index]
        if kind == NAME and token_text.lower() in ("and", "or") and self.next_is(",", ")"):
            self.index += 1
            return Path((token_text.lower(),), False, start)
        expression = self.condition()
        alias = self.alias()
        return expression if alias is None else Named(expression, alias, start)

    def _unquoted_call(self, node: Expression) -> Expression:
        """`'spatial.point(a, b)'` as the call that it means: one builder puts it in quotes."""
        if not isinstance(node, Literal) or not isinstance(node.value, str):
            return node
        if not node.value.lower().startswith(("spatial.point(", "spatial.wkt(")):
            return node
        inner = Parser(node.value)
        inner.depth = self.depth
        try:
            call = inner.call()
            if inner.tokens[inner.index][0] != END:
                raise inner.failed("the end of the function")
        except InvalidQuery as error:
            found = f"a function in quotes that cannot be read ({error.message.splitlines()[0]})"
            raise InvalidQuery.at(self.text, node.position, found, "spatial.point or spatial.wkt") from None
        assert isinstance(call, Call)
        return call


_RULES: Final[dict[str, Callable[[Parser], None]]] = {
    "where": Parser.where_clause,
    "group": Parser.group_clause,
    "order": Parser.order_clause,
    "load": Parser.load_clause,
    "filter": Parser.filter_clause,
    "filter_limit": Parser.filter_limit_clause,
    "select": Parser.select_clause,
    "update": Parser.update_clause,
    "include": Parser.include_clause,
    "limit": Parser.limit_clause,
    "offset": Parser.offset_clause,
}

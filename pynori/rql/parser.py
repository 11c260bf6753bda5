"""Queries to a tree: recursive descent with bounded depth, one method for each clause of GRAMMAR.md.

A keyword is a keyword only where one may stand: where a field or a name is awaited, `order` or `count` is a name,
unless what follows shows that something is missing. Clauses may come in any order after `from`, each once. Whatever
the text is, the outcome is a Query or InvalidQuery with the place, what was found there, and what was expected.

Queries repeat with other parameters, so trees of short texts are kept (`parse` is a cache over `parse_text`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from pynori.errors import InvalidQuery
from pynori.limits import RQL_CACHED_QUERIES, RQL_CACHED_SIZE_MAX, RQL_SIZE_BYTES_MAX
from pynori.rql import tokens
from pynori.rql.ast import (
    Call,
    FunctionDeclaration,
    GroupKey,
    Literal,
    Order,
    OrderKind,
    Parameter,
    Query,
    Script,
    Select,
    Source,
    SourceKind,
    TimeSeriesDeclaration,
    Value,
)
from pynori.rql.conditions import COMPARISONS, ConditionParser
from pynori.rql.reader import RESERVED
from pynori.rql.series import TimeSeriesParser
from pynori.rql.tokens import END, NAME, NUMBER, OPERATOR, PARAMETER, STRING

_ORDER_KINDS: Final = {
    "string": OrderKind.STRING,
    "long": OrderKind.LONG,
    "double": OrderKind.DOUBLE,
    "alphanumeric": OrderKind.ALPHANUMERIC,
}
_DIRECTIONS: Final = {"asc": False, "ascending": False, "desc": True, "descending": True}


def parse(text: str) -> Query:
    """The tree of a query. Raises InvalidQuery, never anything else."""
    if len(text) <= RQL_CACHED_SIZE_MAX:
        return _cached(text)
    return parse_text(text)


def parse_text(text: str) -> Query:
    """The tree of a query, parsed anew."""
    try:
        size_bytes = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidQuery.at(text, error.start, "half a surrogate pair", "characters") from None
    if size_bytes > RQL_SIZE_BYTES_MAX:
        raise InvalidQuery(f"a query of {size_bytes} bytes exceeds {RQL_SIZE_BYTES_MAX} (RQL_SIZE_BYTES_MAX)")
    return Parser(text).query()


_cached = functools.lru_cache(maxsize=RQL_CACHED_QUERIES)(parse_text)


class Parser(ConditionParser):
    """Reads one query."""

    __slots__ = ("clauses",)

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.clauses: dict[str, Any] = {}

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
        if kind != OPERATOR or COMPARISONS.get(token_text) != "=":
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

"""The time-series part of RQL: what stands inside `timeseries( )` and in the body of `declare timeseries`.

Works on the tokens of the surrounding parser and leaves it behind the last clause, at the closing bracket.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pynori.rql import tokens
from pynori.rql.ast import Duration, Expression, Literal, Parameter, Path, TimeSeriesQuery
from pynori.rql.tokens import NAME, NUMBER, PARAMETER, STRING

if TYPE_CHECKING:
    from pynori.rql.conditions import ConditionParser

# Every spelling of a unit, plural aside.
_UNITS: Final = {
    "ms": "millisecond", "milli": "millisecond", "millisecond": "millisecond",
    "s": "second", "sec": "second", "second": "second",
    "m": "minute", "min": "minute", "minute": "minute",
    "h": "hour", "hr": "hour", "hour": "hour",
    "d": "day", "day": "day",
    "w": "week", "week": "week",
    "mo": "month", "mon": "month", "month": "month",
    "q": "quarter", "quarter": "quarter",
    "y": "year", "yr": "year", "year": "year",
}  # fmt: skip
_DURATION = re.compile(r"\s*(\d{1,9})\s*([^\W\d_]+)\s*")
_INTERPOLATIONS: Final = ("linear", "nearest", "last", "next")


def duration(text: str, position: int = 0) -> Duration | None:
    """The duration that a text like `1h`, `7 days`, `1 Month` means; None if it means none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    word = match[2].lower()
    unit = _UNITS.get(word) or _UNITS.get(word.removesuffix("s"))
    return None if unit is None or int(match[1]) == 0 else Duration(int(match[1]), unit, position)


class TimeSeriesParser:
    """Reads one time-series query from the tokens of `parser`."""

    __slots__ = ("found", "parser")

    def __init__(self, parser: ConditionParser) -> None:
        self.parser = parser
        self.found: dict[str, Any] = {}

    def body(self) -> TimeSeriesQuery:
        """`from series [between] [first, last] [load] [where] [group by] [select] [scale] [offset]` in any order."""
        parser = self.parser
        start = parser.position()
        parser.expect_word("from")
        self.found["source"] = self._source()
        if parser.take_word("as"):
            self.found["alias"] = parser.name("an alias")
        while not (parser.at(")") or parser.at("}")):
            keyword = parser.word()
            rule = getattr(self, f"_{keyword}", None) if keyword in _CLAUSES else None
            if rule is None or keyword in self.found:
                raise parser.failed("between, first, last, load, where, group by, select, scale, offset or the end")
            parser.index += 1
            rule()
        self.found.pop("between", None)
        self.found.pop("group", None)
        return TimeSeriesQuery(**self.found, position=start)

    def _source(self) -> Path | Parameter:
        parser = self.parser
        kind, token_text, start = parser.tokens[parser.index]
        if kind == PARAMETER:
            parser.index += 1
            return Parameter(token_text[1:], start)
        return parser.path()

    def _between(self) -> None:
        parser = self.parser
        self.found["low"] = parser.operand()
        parser.expect_word("and")
        self.found["high"] = parser.operand()
        self.found["between"] = True

    def _first(self) -> None:
        self._edge("first")

    def _last(self) -> None:
        self._edge("last")

    def _edge(self, edge: str) -> None:
        if "edge" in self.found:
            raise self.parser.failed("one of first and last")
        self.found["edge"] = edge
        self.found["span"] = self.duration()

    def _load(self) -> None:
        self.found["load"] = self.parser.load()

    def _where(self) -> None:
        self.found["where"] = self.parser.boolean(self.parser.condition())

    def _group(self) -> None:
        """`by 1h, tag`, `by '7 days' with interpolation(linear)`."""
        parser = self.parser
        parser.expect_word("by")
        keys: list[Expression] = [self._group_key(first=True)]
        while parser.take(","):
            keys.append(self._group_key(first=False))
        self.found["group_by"] = tuple(keys)
        self.found["group"] = True
        if parser.take_word("with"):
            parser.expect_word("interpolation")
            parser.expect("(")
            mode = parser.word()
            if mode not in _INTERPOLATIONS:
                raise parser.failed("'linear', 'nearest', 'last' or 'next'")
            parser.index += 1
            parser.expect(")")
            self.found["interpolation"] = mode

    def _group_key(self, first: bool) -> Expression:
        parser = self.parser
        kind, token_text, start = parser.tokens[parser.index]
        if kind == PARAMETER:
            parser.index += 1
            return Parameter(token_text[1:], start)
        if kind == NUMBER or (first and kind == STRING):
            if not first:
                raise parser.failed("a field or a parameter")
            return self.duration()
        return parser.path()

    def _select(self) -> None:
        self.found["select"] = self.parser.select_fields()

    def _scale(self) -> None:
        self.found["scale"] = self._value("a number")

    def _offset(self) -> None:
        self.found["offset"] = self._value("an offset like '02:00'")

    def _value(self, expected: str) -> Expression:
        parser = self.parser
        index = parser.index
        value = parser.operand()
        if isinstance(value, Literal | Parameter):
            return value
        raise parser.failed(expected, index)

    def duration(self) -> Duration:
        """`1h`, `1 h`, `7 days`, `'1 month'`."""
        parser = self.parser
        index = parser.index
        kind, token_text, start = parser.tokens[index]
        spelt = ""
        if kind == STRING:
            spelt = tokens.unquote(token_text)
        elif kind == NUMBER and parser.tokens[index + 1][0] == NAME:
            spelt = f"{token_text} {parser.tokens[index + 1][1]}"
        found = duration(spelt, start)
        if found is None:
            raise parser.failed("a duration like 1h, 7 days, '1 month'", index)
        parser.index += 1 if kind == STRING else 2
        return found


_CLAUSES: Final = frozenset(("between", "first", "last", "load", "where", "group", "select", "scale", "offset"))

"""The query syntax of Lucene: its text to a tree of what is to match.

Terms, "phrases", wildcards (* and ?), /regular expressions/, field:, ranges [a TO b] and {a TO b}, fuzzy~0.7,
"proximity"~3, boost^2, parentheses, AND OR NOT && || ! + -; `*:*` is everything. Without an operator clauses are joined
by OR. As in Lucene, AND makes the clauses on both of its sides required; it binds no closer than OR.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from pynori.errors import InvalidQuery
from pynori.limits import SEARCH_DEPTH_MAX, SEARCH_TERMS_MAX

FUZZY_DEFAULT: Final = 0.5


class Occur(Enum):
    """What a clause does to those beside it."""

    SHOULD = "should"
    MUST = "must"
    MUST_NOT = "must not"


@dataclass(frozen=True, slots=True)
class Term:
    """One word; the analyzer may make several tokens of it."""

    text: str


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that follow each other, at most `slop` places off."""

    text: str
    slop: int = 0


@dataclass(frozen=True, slots=True)
class Pattern:
    """A word with `*` for any text and `?` for any one character."""

    text: str


@dataclass(frozen=True, slots=True)
class Regex:
    """Terms that a regular expression fits."""

    text: str


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """Words that are nearly the one. similarity: from 0 to 1, or from 1 on how many edits there may be."""

    text: str
    similarity: float = FUZZY_DEFAULT


@dataclass(frozen=True, slots=True)
class Range:
    """Terms between two; None is open."""

    low: str | None
    high: str | None
    include_low: bool
    include_high: bool


@dataclass(frozen=True, slots=True)
class Everything:
    """All entries; within a field, all that have it."""


@dataclass(frozen=True, slots=True)
class InField:
    """A condition about another field."""

    field: str
    node: Node


@dataclass(frozen=True, slots=True)
class Boosted:
    """Counts so many times in the score."""

    node: Node
    factor: float


@dataclass(frozen=True, slots=True)
class Clauses:
    """What must be, what may be (one at least, where nothing must), what must not be."""

    clauses: tuple[tuple[Occur, Node], ...]


Node: TypeAlias = Term | Phrase | Pattern | Regex | Fuzzy | Range | Everything | InField | Boosted | Clauses

_SPACE: Final = re.compile(r"[\s\u3000]+")
_WORD: Final = re.compile(r"(?:\\.|[^\s\u3000+\-!(){}\[\]^\"~:\\/]|(?<=.)[+\-/!](?=\S))+", re.DOTALL)
_QUOTED: Final = re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL)
_SLASHED: Final = re.compile(r"/((?:\\.|[^/\\])*)/", re.DOTALL)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?|\.\d+")
_END_OF_RANGE: Final = re.compile(r'"((?:\\.|[^"\\])*)"|((?:\\.|[^\s\]}\\])+)', re.DOTALL)
_TO: Final = re.compile(r"\s+TO\s+", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


def parse(text: str) -> Node:
    """The tree of a query. Raises InvalidQuery with the place where it is wrong."""
    parser = _Parser(text)
    found = parser.clauses(0)
    if parser.here < len(text):
        raise parser.wrong("the end")
    return found


def unescape(text: str) -> str:
    """Without the backslashes that take from a character its meaning."""
    return _ESCAPE.sub(r"\1", text)


class _Parser:
    """One pass over the text, by recursive descent."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.here = 0
        self.terms = 0
        self.skip()

    def wrong(self, expected: str) -> InvalidQuery:
        found = self.text[self.here : self.here + 20] or "the end"
        return InvalidQuery(f"{expected} was expected at character {self.here} of the search '{self.text[:80]}', "
                            f"not '{found}'")  # fmt: skip

    def skip(self) -> None:
        space = _SPACE.match(self.text, self.here)
        if space is not None:
            self.here = space.end()

    def accept(self, *marks: str) -> str | None:
        """The first of these that stands here, passed over with the blanks behind it."""
        for mark in marks:
            if self.text.startswith(mark, self.here):
                self.here += len(mark)
                self.skip()
                return mark
        return None

    def operator(self, *words: str) -> str | None:
        """A word in capitals that stands alone."""
        for word in words:
            end = self.here + len(word)
            if self.text.startswith(word, self.here) and (end == len(self.text) or self.text[end] in " \t\r\n\u3000()"):
                self.here = end
                self.skip()
                return word
        return None

    def clauses(self, depth: int) -> Node:
        """Clauses up to a closing parenthesis or the end."""
        if depth > SEARCH_DEPTH_MAX:
            raise InvalidQuery(f"parentheses lie deeper than SEARCH_DEPTH_MAX ({SEARCH_DEPTH_MAX}) in each other")
        found: list[tuple[Occur, Node]] = []
        while self.here < len(self.text) and self.text[self.here] != ")":
            both = self.accept("&&") or self.operator("AND")
            if both is None:
                _ = self.accept("||") or self.operator("OR")
            elif found and found[-1][0] is Occur.SHOULD:
                found[-1] = (Occur.MUST, found[-1][1])
            occur = Occur.MUST if both is not None else Occur.SHOULD
            if self.operator("NOT") or self.accept("-", "!"):
                occur = Occur.MUST_NOT
            elif self.accept("+"):
                occur = Occur.MUST
            found.append((occur, self.clause(depth)))
        if not found:
            raise self.wrong("a term")
        if len(found) == 1 and found[0][0] is not Occur.MUST_NOT:
            return found[0][1]
        return Clauses(tuple(found))

    def clause(self, depth: int) -> Node:
        """One condition with the field before it and the boost behind it."""
        start = self.here
        if self.accept("*:*"):
            return self.boosted(Everything())
        word = _WORD.match(self.text, self.here)
        if word is not None and self.text.startswith(":", word.end()):
            self.here = word.end() + 1
            self.skip()
            return InField(unescape(word.group()), self.clause(depth + 1))
        if self.accept("("):
            inner = self.clauses(depth + 1)
            if not self.accept(")"):
                raise self.wrong("')'")
            return self.boosted(inner)
        self.terms += 1
        if self.terms > SEARCH_TERMS_MAX:
            raise InvalidQuery(f"a search has more than SEARCH_TERMS_MAX ({SEARCH_TERMS_MAX}) terms")
        node = self.simple()
        assert self.here > start, "a clause takes at least one character"
        return self.boosted(node)

    def simple(self) -> Node:
        mark = self.text[self.here : self.here + 1]
        return _BY_MARK.get(mark, _Parser.word)(self)

    def phrase(self) -> Node:
        quoted = _QUOTED.match(self.text, self.here)
        if quoted is None:
            raise self.wrong("a phrase with its closing quote")
        self.here = quoted.end()
        slop = int(self.tilde(0.0) or 0)
        return Phrase(unescape(quoted.group(1)), slop)

    def regex(self) -> Node:
        slashed = _SLASHED.match(self.text, self.here)
        if slashed is None:
            raise self.wrong("a regular expression with its closing slash")
        self.here = slashed.end()
        return Regex(slashed.group(1).replace("\\/", "/"))

    def range(self) -> Node:
        include_low = self.text[self.here] == "["
        self.here += 1
        self.skip()
        low = self.end_of_range()
        to = _TO.match(self.text, self.here)
        if to is None:
            raise self.wrong("TO")
        self.here = to.end()
        high = self.end_of_range()
        self.skip()
        if self.text[self.here : self.here + 1] not in ("]", "}"):
            raise self.wrong("']' or '}'")
        include_high = self.text[self.here] == "]"
        self.here += 1
        return Range(low, high, include_low, include_high)

    def end_of_range(self) -> str | None:
        match = _END_OF_RANGE.match(self.text, self.here)
        if match is None:
            raise self.wrong("an end of the range")
        self.here = match.end()
        quoted, plain = match.groups()
        if quoted is None and plain in ("*", "NULL"):
            return None
        return unescape(plain if quoted is None else quoted)

    def word(self) -> Node:
        word = _WORD.match(self.text, self.here)
        if word is None:
            raise self.wrong("a term")
        self.here = word.end()
        text = word.group()
        similarity = self.tilde(FUZZY_DEFAULT)
        if similarity is not None:
            return Fuzzy(unescape(text), similarity)
        if text == "*":
            return Everything()
        bare = _ESCAPE.sub("", text)
        return Pattern(text) if "*" in bare or "?" in bare else Term(unescape(text))

    def tilde(self, default: float) -> float | None:
        """The number behind a `~`; None where there is none."""
        if not self.text.startswith("~", self.here):
            return None
        self.here += 1
        number = _NUMBER.match(self.text, self.here)
        if number is None:
            return default
        self.here = number.end()
        return float(number.group())

    def boosted(self, node: Node) -> Node:
        if not self.text.startswith("^", self.here):
            self.skip()
            return node
        self.here += 1
        number = _NUMBER.match(self.text, self.here)
        if number is None:
            raise self.wrong("a boost")
        self.here = number.end()
        self.skip()
        return Boosted(node, float(number.group()))


_BY_MARK: Final[dict[str, Callable[[_Parser], Node]]] = {
    '"': _Parser.phrase,
    "/": _Parser.regex,
    "[": _Parser.range,
    "{": _Parser.range,
}

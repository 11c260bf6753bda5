"""A text of RQL as tokens in turn: what stands here, what is expected, how deep it is nested.

What reads a language with it derives from it (`conditions`, `parser`); errors say the place, what was found there, and
what was expected.
"""

from __future__ import annotations

from typing import Final

from pynori.errors import InvalidQuery
from pynori.limits import RQL_DEPTH_MAX
from pynori.rql import tokens
from pynori.rql.ast import Expression, Script
from pynori.rql.tokens import END, NAME, PUNCTUATION, STRING

CLAUSES: Final = frozenset(
    ("where", "group", "order", "load", "filter", "filter_limit", "select", "update", "include", "limit", "offset")
)
# Words that end an expression where no alias or name is awaited.
RESERVED: Final = CLAUSES | frozenset(
    ("from", "as", "and", "or", "in", "all", "between", "not", "by", "asc", "ascending", "desc", "descending", "nulls")
)


class TokenReader:
    """Reads one text. `index` is the current token; the last token is END, or a `{` whose inside is not yet read."""

    __slots__ = ("depth", "index", "text", "tokens")

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens.tokenize(text, 0)
        self.index = 0
        self.depth = 0

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

    def alias(self) -> str | None:
        return self.name("an alias") if self.take_word("as") else None

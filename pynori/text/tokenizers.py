"""The first step of an analyzer: a text becomes tokens, each with its position and where it stood.

The standard, letter and whitespace tokenizers are the engine's (`pynori_core.analyze`), so that an index that is fed
natively holds the same terms. Positions count from 0; a token that a filter drops leaves no gap, so that a phrase
matches with and without stop words; filters that turn one token into several give all of them its position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeAlias

from pynori_core import analyze


class Token(NamedTuple):
    """A term of a text. start, end: characters of the text, the end not included."""

    text: str
    position: int
    start: int
    end: int


Tokenizer: TypeAlias = Callable[[str], Iterable[Token]]


def standard(text: str) -> Iterable[Token]:
    """Words, addresses, host names, numbers: the grammar that `pynori_core.analyze` describes."""
    return map(Token._make, analyze.tokens(text, analyze.STANDARD))


def standard_clean(text: str) -> Iterable[Token]:
    """As `standard`, without a possessive `'s` and the dots of `U.S.A.`."""
    return map(Token._make, analyze.tokens(text, analyze.STANDARD | analyze.CLEAN))


def letters(text: str) -> Iterable[Token]:
    """Runs of letters; everything else separates."""
    return map(Token._make, analyze.tokens(text, analyze.LETTERS))


def whitespace(text: str) -> Iterable[Token]:
    """What stands between white space."""
    return map(Token._make, analyze.tokens(text, analyze.WHITESPACE))


def keyword(text: str) -> Iterable[Token]:
    """The whole text as one token."""
    return (Token(text, 0, 0, len(text)),)


# Tokenizers by the names that definitions use, in lower case.
TOKENIZERS: Final[dict[str, Tokenizer]] = {
    "standard": standard,
    "letter": letters,
    "whitespace": whitespace,
    "keyword": keyword,
}

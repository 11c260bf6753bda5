"""The later steps of an analyzer: each takes tokens and gives tokens.

A filter says whether it changes characters only (`by_character`): then it also applies to parts of words, as in a
pattern with wildcards. Stop words and stems say something of whole words and do not apply there.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pynori.errors import InvalidArgument
from pynori.limits import GRAM_SIZE_MAX
from pynori.text.stemmer import stemmer
from pynori.text.tokenizers import Token

# Letters that no decomposition takes apart, and what people type for them.
FOLDED: Final[dict[str, str]] = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D",
    "ð": "d", "Ð": "D", "þ": "th", "Þ": "TH", "ł": "l", "Ł": "L", "ħ": "h", "Ħ": "H", "\u0131": "i", "ŧ": "t", "Ŧ": "T",
    "\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filter:
    """One step. `apply` is called once a text."""

    name: str
    apply: Callable[[Iterable[Token]], Iterable[Token]]
    by_character: Callable[[str], str] | None = None


def lower(text: str) -> str:
    """Simple lower-casing, character by character, as the engine does it."""
    return text.lower() if text.isascii() else "".join(map(_lower_character, text))


def _lower_character(character: str) -> str:
    return "i" if character == "\u0130" else character.lower()


def fold(text: str) -> str:
    """Without accents, and with letters beyond a to z spelt by those: é is e, ß is ss, full-width letters are plain."""
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFKD", "".join(FOLDED.get(each, each) for each in text))
    return "".join(each for each in apart if not unicodedata.combining(each))


def by_character(name: str, change: Callable[[str], str]) -> Filter:
    """A filter that changes the text of each token on its own."""

    def apply(tokens: Iterable[Token]) -> Iterator[Token]:
        for token in tokens:
            text = change(token.text)
            if text:
                yield token if text == token.text else token._replace(text=text)

    return Filter(name, apply, change)


LOWER: Final = by_character("lowercase", lower)
FOLD: Final = by_character("asciifolding", fold)
TRIM: Final = by_character("trim", str.strip)


def stop(words: frozenset[str]) -> Filter:
    """Drops these words."""
    return keeping("stop", lambda text: text not in words)


def keeping(name: str, keep: Callable[[str], bool]) -> Filter:
    """A filter that drops tokens; those that stay move together."""

    def apply(tokens: Iterable[Token]) -> Iterator[Token]:
        position, before = -1, -1
        for token in tokens:
            if keep(token.text):
                position += token.position != before
                before = token.position
                yield token if token.position == position else token._replace(position=position)

    return Filter(name, apply)


def possessive() -> Filter:
    """Drops `'s` at the end."""

    def apply(tokens: Iterable[Token]) -> Iterator[Token]:
        for token in tokens:
            ends = len(token.text) > 2 and token.text[-1] in "sS" and token.text[-2] in "'\u2019"
            yield token._replace(text=token.text[:-2]) if ends else token

    return Filter("possessive", apply)


def stem(language: str) -> Filter:
    """Words to their stems. InvalidArgument for a language that has no stemmer."""
    stem_of = stemmer(language)
    return Filter("stem", lambda tokens: (token._replace(text=stem_of(token.text)) for token in tokens))


def length(least: int, most: int) -> Filter:
    """Keeps tokens of so many characters."""
    return keeping("length", lambda text: least <= len(text) <= most)


def grams(least: int, most: int, *, edge: bool = False) -> Filter:
    """Every part of a token of so many characters; `edge`: those at its beginning only."""
    if not 1 <= least <= most <= GRAM_SIZE_MAX:
        raise InvalidArgument(f"grams have 1 to GRAM_SIZE_MAX ({GRAM_SIZE_MAX}) characters, not {least} to {most}")

    def apply(tokens: Iterable[Token]) -> Iterator[Token]:
        for token in tokens:
            for size in range(least, min(most, len(token.text)) + 1):
                for begin in range(1 if edge else len(token.text) - size + 1):
                    end = min(token.start + begin + size, token.end)
                    yield Token(token.text[begin : begin + size], token.position, token.start + begin, end)

    return Filter("edgengram" if edge else "ngram", apply)

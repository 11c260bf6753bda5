"""Analyzers: a tokenizer and filters under a name, those that clients name and those composed by a definition.

Names come short (`StandardAnalyzer`), in full (`Lucene.Net.Analysis.Standard.StandardAnalyzer`) or with an assembly
behind them; case does not matter. An analyzer whose steps the engine has says so (`native`): such a field can be fed
without the interpreter, and gives the same terms. pynori/text/COMPOSED.md describes definitions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pynori_core import analyze
from pynori_core.index_feed import TextAnalyzer
from pynori_core.text_analyzer import NativeAnalyzer

from pynori.errors import CompilationError
from pynori.text import filters, tokenizers
from pynori.text.filters import Filter
from pynori.text.stemmer import LANGUAGES
from pynori.text.stopwords import ENGLISH
from pynori.text.tokenizers import Token, Tokenizer

GRAMS_LEAST: Final = 2
GRAMS_MOST: Final = 6


@dataclass(frozen=True, slots=True)
class Analyzer:
    """A tokenizer and its filters. native: the engine's number for the same, None when it has none."""

    name: str
    tokenizer: Tokenizer
    filters: tuple[Filter, ...] = ()
    native: int | None = field(default=None, compare=False)

    def tokens(self, text: str) -> list[Token]:
        """The terms of a text with where they stood, for highlighting."""
        if self.native is not None:
            return list(map(Token._make, analyze.tokens(text, self.native)))
        return list(self._steps(text))

    def terms(self, text: str) -> list[tuple[str, int]]:
        """(term, position) of a text, for an index."""
        if self.native is not None:
            return analyze.terms(text, self.native)
        return [(token.text, token.position) for token in self._steps(text)]

    def for_index(self) -> TextAnalyzer | Callable[[str], list[tuple[str, int]]]:
        """What an index takes to cut the texts of a field: natively where the engine can."""
        return self.terms if self.native is None else NativeAnalyzer(self.native)

    def part(self, text: str) -> str:
        """A part of a word, as it stands in a pattern: what the filters make of its characters."""
        for each in self.filters:
            if each.by_character is not None:
                text = each.by_character(text)
        return text

    def _steps(self, text: str) -> Iterable[Token]:
        tokens: Iterable[Token] = self.tokenizer(text)
        for each in self.filters:
            tokens = each.apply(tokens)
        return tokens


def short_name(name: str) -> str:
    """The class's name in lower case: without namespace, assembly and the word Analyzer at its end."""
    last = name.split(",", 1)[0].strip().rsplit(".", 1)[-1].lower()
    return last.removesuffix("analyzer") or last


def is_called(known: str, name: str) -> bool:
    """Whether a field that asks for `name` means the registered analyzer `known`."""
    return known.lower() == name.lower() or short_name(known) == short_name(name)


def find_analyzer(name: str, field_name: str, own: Mapping[str, Analyzer] | None = None) -> Analyzer:
    """The analyzer that a field asks for.

    own: those that were registered, by name; they go before the shipped ones.
    Raises: CompilationError when there is none.
    """
    for known, analyzer in (own or {}).items():
        if is_called(known, name):
            return analyzer
    found = shipped(short_name(name))
    if found is not None:
        return found
    reason = "; sorting by the rules of a culture is not there" if "collation" in name.lower() else ""
    raise CompilationError(f"Cannot find analyzer type '{name}' for field: {field_name}{reason}", "Fields", name)


@functools.cache
def shipped(short: str) -> Analyzer | None:
    """A shipped analyzer by its short name. Each language with a stemmer has one, such as `german`."""
    if short in _SHIPPED:
        return _SHIPPED[short]
    if short in LANGUAGES:
        return Analyzer(f"{short.capitalize()}Analyzer", tokenizers.standard_clean, language_filters(short))
    return None


def language_filters(language: str) -> tuple[Filter, ...]:
    """Lower case, stop words (of English alone), stems."""
    stops = (filters.stop(ENGLISH),) if language in ("english", "porter") else ()
    return (filters.LOWER, *stops, filters.stem(language))


def _native(name: str, tokenizer: Tokenizer, number: int) -> Analyzer:
    """An analyzer of the engine; its filters are named for what works on parts of words."""
    steps = [filters.LOWER] if number & analyze.LOWER else []
    steps += [filters.stop(ENGLISH)] if number & analyze.STOP else []
    return Analyzer(name, tokenizer, tuple(steps), number)


def _table() -> dict[str, Analyzer]:
    flags = analyze.LOWER | analyze.STOP
    standard = _native("StandardAnalyzer", tokenizers.standard_clean, analyze.STANDARD | analyze.CLEAN | flags)
    grams = filters.grams(GRAMS_LEAST, GRAMS_MOST)
    return {
        "standard": standard,
        "ravenstandard": standard,
        "simple": _native("SimpleAnalyzer", tokenizers.letters, analyze.LETTERS | analyze.LOWER),
        "stop": _native("StopAnalyzer", tokenizers.letters, analyze.LETTERS | flags),
        "whitespace": _native("WhitespaceAnalyzer", tokenizers.whitespace, analyze.WHITESPACE),
        "lowercasewhitespace": _native(
            "LowerCaseWhitespaceAnalyzer", tokenizers.whitespace, analyze.WHITESPACE | analyze.LOWER
        ),
        "keyword": Analyzer("KeywordAnalyzer", tokenizers.keyword),
        "lowercasekeyword": Analyzer("LowerCaseKeywordAnalyzer", tokenizers.keyword, (filters.LOWER,)),
        "ngram": Analyzer("NGramAnalyzer", tokenizers.standard_clean, (filters.LOWER, filters.stop(ENGLISH), grams)),
        "snowball": Analyzer("SnowballAnalyzer", tokenizers.standard_clean, language_filters("english")),
    }


_SHIPPED: Final[dict[str, Analyzer]] = _table()
STANDARD: Final = _SHIPPED["standard"]
KEYWORD: Final = _SHIPPED["keyword"]
LOWER_CASE_KEYWORD: Final = _SHIPPED["lowercasekeyword"]

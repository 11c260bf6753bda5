"""Suggestions: terms of a field that resemble a word, as for "did you mean".

A term is compared with the word when the two share a run of letters of a size that fits both (short words share single
letters and pairs, long ones three or four in a row); the measure decides then. So a long term is not suggested for a
short word however low the accuracy. Best first; among equals, those in more entries.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from pynori.errors import InvalidQuery, LimitExceeded
from pynori.limits import QUERY_SUGGEST_TERMS_MAX, QUERY_SUGGEST_WORD_SIZE_MAX, QUERY_SUGGEST_WORDS_MAX
from pynori.queries.options import Options
from pynori.queries.text_distance import jaro_winkler, levenshtein, ngram
from pynori.queries.values import Values
from pynori.rql.ast import Call, Expression, Path, Query, as_path

if TYPE_CHECKING:
    from pynori_core.index_store import IndexField, IndexSnapshot

TERMS_AT_ONCE = 4_096

Find = Callable[[Path], "IndexField | None"]


class Distance(Enum):
    """The measure of likeness."""

    DEFAULT = "Default"
    LEVENSHTEIN = "Levenshtein"
    JARO_WINKLER = "JaroWinkler"
    NGRAM = "NGram"
    NONE = "None"


class Sort(Enum):
    """popularity: only terms that are in at least as many entries as the word itself, if it is a term."""

    POPULARITY = "Popularity"
    NONE = "None"


_MEASURES: dict[Distance, Callable[[str, str], float]] = {
    Distance.DEFAULT: levenshtein,
    Distance.LEVENSHTEIN: levenshtein,
    Distance.NONE: levenshtein,
    Distance.JARO_WINKLER: jaro_winkler,
    Distance.NGRAM: ngram,
}


@dataclass(frozen=True, slots=True)
class SuggestOptions:
    """accuracy: the least likeness, from 0 to 1."""

    accuracy: float = 0.5
    page_size: int = 15
    distance: Distance = Distance.LEVENSHTEIN
    sort: Sort = Sort.POPULARITY


@dataclass(frozen=True, slots=True)
class Suggest:
    """One `suggest(field, words, options) as name`."""

    name: str
    path: Path
    words: tuple[str, ...]
    options: SuggestOptions


def has_suggestions(query: Query) -> bool:
    """Whether the query selects suggestions."""
    return query.select is not None and any(_is_suggest(each.expression) for each in query.select.fields)


def _is_suggest(expression: Expression) -> bool:
    return isinstance(expression, Call) and expression.name == "suggest"


def suggests_of(query: Query, values: Values) -> list[Suggest]:
    """What a query asks suggestions for. Raises InvalidQuery."""
    assert query.select is not None
    if query.where is not None:
        raise InvalidQuery("suggestions are made of all terms of a field; a query for them has no where")
    found = []
    for selected in query.select.fields:
        call = selected.expression
        if not isinstance(call, Call) or call.name != "suggest" or len(call.arguments) not in (2, 3):
            raise InvalidQuery(
                "a query that selects suggestions selects suggest(field, words, options) and nothing else"
            )
        path = as_path(call.arguments[0])
        if path is None:
            raise InvalidQuery("the first argument of suggest() is a field")
        path = path.without(query.source.alias)
        words = values.scalars((call.arguments[1],))
        if not words or not all(isinstance(each, str) and each for each in words):
            raise InvalidQuery("suggest() takes a word or an array of words")
        options = read_options(values.of(call.arguments[2]) if len(call.arguments) == 3 else None)
        found.append(Suggest(selected.alias or path.text, path, tuple(str(each) for each in words), options))
    if sum(len(each.words) for each in found) > QUERY_SUGGEST_WORDS_MAX:
        raise LimitExceeded(f"a query can ask for {QUERY_SUGGEST_WORDS_MAX} words (QUERY_SUGGEST_WORDS_MAX)")
    return found


def read_options(value: Any) -> SuggestOptions:
    """SuggestOptions from what a client sends."""
    options = Options(value, "suggest()")
    return SuggestOptions(
        options.number("Accuracy", 0.5, 0, 1),
        options.count("PageSize", 15),
        options.choice("Distance", Distance, Distance.LEVENSHTEIN),
        options.choice("SortMode", Sort, Sort.POPULARITY),
    )


def answer(suggest: Suggest, snapshot: IndexSnapshot, find: Find) -> dict[str, Any]:
    """One result: `{Name, Suggestions}`. The words' suggestions follow one another, each term once."""
    field = find(suggest.path)
    found: dict[str, None] = {}
    for word in suggest.words if field is not None else ():
        assert field is not None
        spelt = word if field.exact else word.lower()
        own_count = snapshot.count_of(field.number, spelt)
        if own_count and suggest.options.sort is Sort.NONE:
            found[spelt] = None  # it is a word already
            continue
        for term in similar(spelt, own_count, text_terms(snapshot, field), suggest.options):
            found[term] = None
    return {"Name": suggest.name, "Suggestions": list(found)[: suggest.options.page_size]}


def text_terms(snapshot: IndexSnapshot, field: IndexField) -> Iterator[tuple[str, int]]:
    """The texts among the terms of a field, with the number of their entries."""
    # Strings are the last kind, so the walk begins behind all numbers.
    page = snapshot.terms(field.number, limit=TERMS_AT_ONCE)
    seen = 0
    while page:
        for term, count in page:
            if isinstance(term, str):
                seen += 1
                yield term, count
        if len(page) < TERMS_AT_ONCE:
            return
        if seen > QUERY_SUGGEST_TERMS_MAX:
            raise LimitExceeded(
                f"the field '{field.name}' has more terms than suggestions look at "
                f"({QUERY_SUGGEST_TERMS_MAX}, QUERY_SUGGEST_TERMS_MAX)"
            )
        page = snapshot.terms(field.number, after=page[-1][0], limit=TERMS_AT_ONCE)


def similar(word: str, own_count: int, terms: Iterable[tuple[str, int]], options: SuggestOptions) -> list[str]:
    """The terms most like a word, best first, without the word itself."""
    if len(word) > QUERY_SUGGEST_WORD_SIZE_MAX:
        return []
    measure = _MEASURES[options.distance]
    least_count = own_count if options.sort is Sort.POPULARITY else 0
    runs = {size: _runs(word, size) for size in _run_sizes(word)}
    found: list[tuple[float, int, str]] = []
    for term, count in terms:
        if term == word or count < least_count or not 0 < len(term) <= QUERY_SUGGEST_WORD_SIZE_MAX:
            continue
        if not any(runs[size].search(term) for size in _run_sizes(term) if size in runs):
            continue
        likeness = measure(word, term)
        if likeness >= options.accuracy:
            found.append((-likeness, -count, term))
    return [term for _, _, term in heapq.nsmallest(options.page_size, found)]


def _run_sizes(word: str) -> range:
    """The sizes of runs of letters that are looked for in a word."""
    if len(word) > 5:
        return range(3, 5)
    return range(2, 4) if len(word) == 5 else range(1, 3)


def _runs(word: str, size: int) -> re.Pattern[str]:
    """A pattern that finds any run of `size` letters of the word; one that finds nothing where there is none."""
    runs = {word[start : start + size] for start in range(len(word) - size + 1)}
    return re.compile("|".join(map(re.escape, sorted(runs))) if runs else r"(?!)")

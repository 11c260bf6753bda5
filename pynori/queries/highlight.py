"""Highlighting: the pieces of a text in which the words of a search stand, with tags around them.

The field's own analyzer cuts the text and says where each token stood; those that were searched for are marked. So the
marks fall where the search found something, whatever the analyzer does.
Fragments begin a little before a mark, end at the end of a word, do not overlap, and come with the most marks first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pynori.errors import InvalidQuery
from pynori.limits import QUERY_HIGHLIGHT_FRAGMENTS_MAX, QUERY_HIGHLIGHT_SIZE_MAX
from pynori.queries.options import Options
from pynori.queries.values import Values
from pynori.rql.ast import Call, Path, Query, as_path
from pynori.text.tokenizers import Token

# One colour for each word of the search, in the order of the search; more words begin again.
COLOURS = (
    "yellow", "lawngreen", "aquamarine", "magenta", "palegreen", "coral", "wheat", "khaki", "lime", "deepskyblue",
    "deeppink", "salmon", "peachpuff", "violet", "mediumpurple", "palegoldenrod", "darkkhaki", "springgreen",
    "turquoise", "powderblue",
)  # fmt: skip
PRE_TAGS = tuple(f'<b style="background:{colour}">' for colour in COLOURS)
POST_TAGS = ("</b>",)
MARGIN = 6  # characters before the first mark of a fragment that belong to it, if they end a word
FRAGMENT_LENGTH_MIN = 18  # a mark with its margins

Analyze = Callable[[str], Iterable[Token]]


@dataclass(frozen=True, slots=True)
class Highlight:
    """One `highlight(field, length, count, $options)`.

    group_key: the field whose value names a result; None: its id does.
    """

    path: Path
    fragment_length: int
    fragment_count: int
    group_key: str | None = None
    pre_tags: tuple[str, ...] = PRE_TAGS
    post_tags: tuple[str, ...] = POST_TAGS


def highlights_of(query: Query, values: Values) -> list[Highlight]:
    """What a query wants highlighted. Raises InvalidQuery."""
    return [
        _of_call(each, query.source.alias, values)
        for each in query.includes
        if isinstance(each, Call) and each.name == "highlight"
    ]


def _of_call(call: Call, alias: str | None, values: Values) -> Highlight:
    arguments = call.arguments
    path = as_path(arguments[0]) if len(arguments) in (3, 4) else None
    if path is None:
        raise InvalidQuery("highlight() takes a field, the length of fragments, their number, and options")
    length = values.count(arguments[1], "the length of fragments")
    count = values.count(arguments[2], "the number of fragments")
    if (
        length is None
        or count is None
        or length < FRAGMENT_LENGTH_MIN
        or not 0 < count <= QUERY_HIGHLIGHT_FRAGMENTS_MAX
    ):
        raise InvalidQuery(
            f"highlight() gives 1 to {QUERY_HIGHLIGHT_FRAGMENTS_MAX} fragments (QUERY_HIGHLIGHT_FRAGMENTS_MAX) "
            f"of at least {FRAGMENT_LENGTH_MIN} characters"
        )
    options = Options(values.of(arguments[3]) if len(arguments) == 4 else None, "highlight()")
    pre_tags, post_tags = tuple(options.texts("PreTags")), tuple(options.texts("PostTags"))
    if bool(pre_tags) != bool(post_tags):
        raise InvalidQuery("highlight() needs both PreTags and PostTags, or neither")
    return Highlight(
        path.without(alias), length, count, options.text("GroupKey"), pre_tags or PRE_TAGS, post_tags or POST_TAGS
    )


class Wanted:
    """The tokens of a search on one field, in their order; `*` and `?` stand for any letters and any one letter."""

    __slots__ = ("_numbers", "_patterns")

    def __init__(self, tokens: Iterable[str]) -> None:
        self._numbers: dict[str, int] = {}
        self._patterns: list[tuple[re.Pattern[str], int]] = []
        for number, token in enumerate(dict.fromkeys(tokens)):
            if "*" in token or "?" in token:
                pattern = re.escape(token).replace(r"\*", ".*").replace(r"\?", ".")
                self._patterns.append((re.compile(pattern, re.DOTALL), number))
            else:
                self._numbers[token] = number

    def __bool__(self) -> bool:
        return bool(self._numbers or self._patterns)

    def number_of(self, token: str) -> int | None:
        """Which of the wanted tokens this is."""
        number = self._numbers.get(token)
        if number is None:
            return next((each for pattern, each in self._patterns if pattern.fullmatch(token)), None)
        return number


@dataclass(frozen=True, slots=True)
class Mark:
    """A word that was searched for: where it stands, and which of the wanted tokens it is."""

    start: int
    end: int
    number: int


def marks_of(text: str, wanted: Wanted, analyze: Analyze) -> list[Mark]:
    """The words of a text that were searched for; of tokens that overlap (synonyms, runs of letters) the first."""
    found: list[Mark] = []
    end_before = 0
    for token in analyze(text[:QUERY_HIGHLIGHT_SIZE_MAX]):
        number = wanted.number_of(token.text) if token.start >= end_before else None
        if number is not None:
            found.append(Mark(token.start, token.end, number))
            end_before = token.end
    return found


def fragments_of(text: str, highlight: Highlight, wanted: Wanted, analyze: Analyze) -> list[str]:
    """The best fragments of one text, tags included."""
    waiting = marks_of(text, wanted, analyze) if wanted else []
    found: list[tuple[int, int, str]] = []
    begun_at = 0
    while waiting:
        start = _fragment_start(text, begun_at, waiting[0].start)
        end = _fragment_end(text, start, max(start + highlight.fragment_length, waiting[0].end))
        inside = [mark for mark in waiting if mark.end <= end]
        waiting = waiting[len(inside) :]
        different = len({mark.number for mark in inside})
        found.append((-different, -len(inside), _tagged(text, start, end, inside, highlight)))
        begun_at = end
    found.sort(key=lambda each: each[:2])
    return [fragment for _, _, fragment in found[: highlight.fragment_count]]


def _fragment_start(text: str, begun_at: int, mark_start: int) -> int:
    """A word's beginning within the margin before a mark."""
    earliest = max(begun_at, mark_start - MARGIN)
    if earliest == 0:
        return 0
    for place in range(earliest, mark_start):
        if text[place - 1].isspace() and not text[place].isspace():
            return place
    return mark_start


def _fragment_end(text: str, start: int, furthest: int) -> int:
    """The end of the last word that fits, or `furthest` where one long word fills everything."""
    if furthest >= len(text):
        return len(text)
    place = furthest
    while place > start and not text[place].isspace():
        place -= 1
    return place if place > start + MARGIN + 1 else furthest


def _tagged(text: str, start: int, end: int, marks: Sequence[Mark], highlight: Highlight) -> str:
    pieces = []
    for mark in marks:
        pre = highlight.pre_tags[mark.number % len(highlight.pre_tags)]
        post = highlight.post_tags[mark.number % len(highlight.post_tags)]
        pieces += [text[start : mark.start], pre, text[mark.start : mark.end], post]
        start = mark.end
    pieces.append(text[start:end])
    return "".join(pieces).strip()


class Highlightings:
    """The highlights of one query, gathered result by result: `{field: {id or group key: [fragments]}}`."""

    def __init__(
        self, highlights: Sequence[Highlight], wanted: Mapping[str, Wanted], analyzer: Callable[[str], Analyze]
    ) -> None:
        """wanted: the tokens searched for by field. analyzer: that of a field."""
        self._highlights = highlights
        self._wanted = wanted
        self._analyzer = analyzer
        self.found: dict[str, dict[str, list[str]]] = {each.path.text: {} for each in highlights}

    def add(self, id: str, values_of: Callable[[str], Sequence[Any]]) -> None:
        """Look at one result. values_of: what it holds in a field."""
        for highlight in self._highlights:
            name = highlight.path.text
            wanted = self._wanted.get(name)
            if wanted is None:
                continue
            texts = [value for value in values_of(name) if isinstance(value, str)]
            fragments: list[str] = []
            for text in texts:
                fragments += fragments_of(text, highlight, wanted, self._analyzer(name))
            if fragments:
                key = self._key(highlight, id, values_of)
                self.found[name].setdefault(key, []).extend(fragments[: highlight.fragment_count])

    def _key(self, highlight: Highlight, id: str, values_of: Callable[[str], Sequence[Any]]) -> str:
        if highlight.group_key is None:
            return id
        values = values_of(highlight.group_key)
        return str(values[0]) if values else id

"""moreLikeThis: other entries that share the telling words of one document, or of one given as JSON.

A word tells much when it is frequent in the source and rare in the index. The best of them become a search that any one
word fulfils; entries with more and rarer ones come first. The source itself is never among the results.

`likeness_of` reads the call; `Source` holds the texts of a document or of JSON; `telling_words` picks the words;
`Likeness` matches and ranks. A property of the source counts for the field of its own name, or of its path's, whatever
the letters' case.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from pynori_core.matches import Matches, Ordered

from pynori.errors import InvalidQuery
from pynori.limits import JSON_DEPTH_MAX, QUERY_LIKE_POSTINGS_MAX, QUERY_LIKE_TERMS_MAX, QUERY_LIKE_TOKENS_MAX
from pynori.queries.options import Options, folded
from pynori.queries.values import Values
from pynori.rql.ast import Call, Expression, Literal, Parameter

if TYPE_CHECKING:
    from pynori_core.index_store import IndexField, IndexSnapshot

METADATA = "@metadata"

Tokens = Callable[["IndexField", str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class LikeOptions:
    """Which words count. word_length_max 0: any; document_share_max in percent, None: none. fields: all when empty."""

    term_frequency_min: int = 2
    terms_max: int = 25
    tokens_max: int = 5_000
    word_length_min: int = 0
    word_length_max: int = 0
    document_frequency_min: int = 5
    document_frequency_max: int = 2**31 - 1
    document_share_max: int | None = None
    boost: bool = False
    boost_factor: float = 1.0
    stop_words_id: str | None = None
    fields: tuple[str, ...] = ()


def read_options(value: Any) -> LikeOptions:
    """MoreLikeThisOptions from what a client sends."""
    options = Options(value, "moreLikeThis()")
    share = options.get("MaximumDocumentFrequencyPercentage")
    return LikeOptions(
        options.count("MinimumTermFrequency", 2),
        min(options.count("MaximumQueryTerms", 25), QUERY_LIKE_TERMS_MAX),
        min(options.count("MaximumNumberOfTokensParsed", 5_000), QUERY_LIKE_TOKENS_MAX),
        options.count("MinimumWordLength", 0),
        options.count("MaximumWordLength", 0),
        options.count("MinimumDocumentFrequency", 5),
        options.count("MaximumDocumentFrequency", 2**31 - 1),
        None if share is None else int(options.number("MaximumDocumentFrequencyPercentage", 100, 0, 100)),
        options.flag("Boost", False),
        options.number("BoostFactor", 1.0),
        options.text("StopWordsDocumentId"),
        tuple(options.texts("Fields")),
    )


def stop_words_of(document: Mapping[str, Any] | None, id: str) -> frozenset[str]:
    """The words of a document `{StopWords: [...]}`, without regard to case."""
    if document is None:
        raise InvalidQuery(f"the stop words document '{id}' does not exist")
    return frozenset(word.lower() for word in Options(document, f"the stop words '{id}'").texts("StopWords"))


# ---------------------------------------------------------------- the source


class Source:
    """What is to be resembled: texts by the folded name of their property, and by that of their path."""

    __slots__ = ("_texts", "entries")

    def __init__(self, document: Mapping[str, Any], entries: Matches) -> None:
        self.entries = entries  # of the source document in the index; none for JSON
        self._texts: dict[str, list[str]] = {}
        for path, text in _texts_of(document, (), 0):
            for name in {folded(path[-1]), folded(".".join(path))}:
                self._texts.setdefault(name, []).append(text)

    def texts(self, field_name: str) -> list[str]:
        """The texts that stand under a field's name."""
        return self._texts.get(folded(field_name), [])


def read_source(json: Any) -> Source:
    """A source given as a JSON object, or as the text of one."""
    document = json
    if isinstance(json, str):
        try:
            document = msgspec.json.decode(json)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidQuery(f"the document of moreLikeThis() is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidQuery("the document of moreLikeThis() must be a JSON object")
    return Source(document, Matches.of(()))


def _texts_of(value: Any, path: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text of a document with the names that lead to it; items of arrays stand under the array's name."""
    if depth > JSON_DEPTH_MAX:
        return
    if isinstance(value, str):
        if path:
            yield path, value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            if name != METADATA:
                yield from _texts_of(each, (*path, name), depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _texts_of(each, path, depth + 1)


# ---------------------------------------------------------------- the words


@dataclass(frozen=True, slots=True)
class Word:
    """One telling word of the source. weight: what an entry that has it gains."""

    field: IndexField
    token: str
    weight: float


def telling_words(
    snapshot: IndexSnapshot,
    fields: Sequence[IndexField],
    source: Source,
    options: LikeOptions,
    stop_words: frozenset[str],
    tokens: Tokens,
) -> list[Word]:
    """The words by which to look, the most telling first. tokens: how a field cuts a text."""
    wanted = {folded(name) for name in options.fields}
    documents = max(snapshot.document_count, 1)
    most = options.document_frequency_max
    if options.document_share_max is not None:
        most = min(most, documents * options.document_share_max // 100)
    found: list[tuple[float, IndexField, str]] = []
    for field in fields:
        if wanted and folded(field.name) not in wanted:
            continue
        for token, frequency in _frequencies(snapshot, field, source, options, tokens).items():
            if frequency < options.term_frequency_min or _is_noise(token, options, stop_words):
                continue
            spread = snapshot.count_of(field.number, token)
            if not max(options.document_frequency_min, 1) <= spread <= most:
                continue
            rarity = math.log(documents / (spread + 1)) + 1
            found.append((frequency * max(rarity, 0.01), field, token))
    found.sort(key=lambda each: (-each[0], each[2], each[1].number))
    best = found[0][0] if found else 1.0
    return [
        Word(field, token, options.boost_factor * score / best if options.boost else 1.0)
        for score, field, token in found[: options.terms_max]
    ]


def _is_noise(token: str, options: LikeOptions, stop_words: frozenset[str]) -> bool:
    if len(token) < options.word_length_min or token.lower() in stop_words:
        return True
    return options.word_length_max > 0 and len(token) > options.word_length_max


def _frequencies(
    snapshot: IndexSnapshot, field: IndexField, source: Source, options: LikeOptions, tokens: Tokens
) -> Counter[str]:
    """How often each token of a field stands in the source.

    A field that no property has the name of was computed: its terms are read from the index.
    """
    texts = source.texts(field.name)
    if not texts and len(source.entries):
        return _indexed_frequencies(snapshot, field, source.entries, options)
    counted: Counter[str] = Counter()
    remaining = options.tokens_max
    for text in texts:
        cut = list(islice(tokens(field, text), remaining))
        counted.update(cut)
        remaining -= len(cut)
    return counted


def _indexed_frequencies(
    snapshot: IndexSnapshot, field: IndexField, entries: Matches, options: LikeOptions
) -> Counter[str]:
    counted: Counter[str] = Counter()
    terms = (term for each in snapshot.values(entries, field.number) for term in each)
    for term in islice(terms, options.tokens_max):
        if not isinstance(term, str):
            continue
        if field.text and snapshot.count_of(field.number, term) <= QUERY_LIKE_POSTINGS_MAX:
            postings = snapshot.postings(field.number, term)
            counted[term] = sum(len(positions) for entry, positions in postings if entry in entries)
        else:
            counted[term] = 1
    return counted


# ---------------------------------------------------------------- the answer


class Likeness:
    """The search that the telling words make."""

    def __init__(self, snapshot: IndexSnapshot, words: Sequence[Word], source: Source) -> None:
        self._snapshot = snapshot
        self._source = source
        self._texts: dict[int, list[tuple[str, float]]] = {}
        self._others: list[Word] = []
        for word in words:
            if word.field.text:
                self._texts.setdefault(word.field.number, []).append((word.token, word.weight))
            else:
                self._others.append(word)
        self.words = words

    def matches(self, within: Matches | None) -> Matches:
        """Entries that have at least one of the words, without those of the source."""
        parts = [self._snapshot.equal(word.field.number, word.token, within=within) for word in self.words]
        return Matches.union_all(parts).minus(self._source.entries) if parts else Matches.of(())

    def scores(self, ids: Matches | Ordered) -> list[float]:
        """How much each entry is like the source."""
        scores = [0.0] * len(ids)
        # One average for all fields: a text of so many words counts the same, in whichever of them it stands.
        counts = [self._snapshot.text_statistics(field) for field in self._texts]
        average = sum(tokens for _, tokens in counts) / max(1, sum(entries for entries, _ in counts))
        for field, tokens in self._texts.items():
            for index, score in enumerate(self._snapshot.scores(field, tokens, ids, average=average)):
                scores[index] += score
        within = (ids if isinstance(ids, Matches) else ids.matches()) if self._others else None
        for word in self._others:
            having = set(self._snapshot.equal(word.field.number, word.token, within=within))
            for index, id in enumerate(ids):
                if id in having:
                    scores[index] += word.weight
        return scores


def likeness_of(
    call: Call,
    values: Values,
    snapshot: IndexSnapshot,
    match: Callable[[Expression], Matches],
    load: Callable[[str], Mapping[str, Any] | None],
    tokens: Tokens,
) -> Likeness:
    """`moreLikeThis(condition, $options)`, `moreLikeThis($json, $options)`. Raises InvalidQuery.

    match: the entries that fulfil a condition. load: a document by its id. tokens: how a field cuts a text.
    """
    if len(call.arguments) not in (1, 2):
        raise InvalidQuery("moreLikeThis() takes a condition or a document, and options")
    given = call.arguments[0]
    options = read_options(values.of(call.arguments[1]) if len(call.arguments) == 2 else None)
    if isinstance(given, Literal | Parameter) and not isinstance(getattr(given, "value", None), bool):
        source = read_source(values.of(given))
    else:
        source = _source_in_index(snapshot, match(given), load)
    stop_words: frozenset[str] = frozenset()
    if options.stop_words_id is not None:
        stop_words = stop_words_of(load(options.stop_words_id), options.stop_words_id)
    words = telling_words(snapshot, snapshot.fields(), source, options, stop_words, tokens)
    return Likeness(snapshot, words, source)


def _source_in_index(
    snapshot: IndexSnapshot, found: Matches, load: Callable[[str], Mapping[str, Any] | None]
) -> Source:
    """The first document that a condition finds, with all entries that it has in the index."""
    if not len(found):
        raise InvalidQuery("the condition of moreLikeThis() finds no document that others could be compared with")
    id = snapshot.documents(found[:1])[0]
    return Source(load(id) or {}, snapshot.documents_in([id]))

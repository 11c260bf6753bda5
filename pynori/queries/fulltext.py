"""Conditions in words over one snapshot of an index, and how well entries fulfil them.

`search` cuts its text at blanks; a piece goes through the field's analyzer: several tokens are a phrase, quotes make a
phrase of several pieces, `*` and `?` a pattern. `lucene` takes Lucene's syntax (lucene.py), `fuzzy` words that are
nearly the one, `proximity` the words of a search near each other.

Whatever is matched is remembered with its weight, so that entries can be scored afterwards: tokens of text fields by
BM25, everything else as a constant that is higher the fewer entries it fits. What a `not` refuses does not count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pynori_core.edits import edits
from pynori_core.matches import Matches

from pynori.errors import InvalidQuery, LimitExceeded
from pynori.indexes.entries import BOOST
from pynori.limits import SEARCH_TERMS_MAX, SEARCH_TERMS_STEP
from pynori.queries import lucene
from pynori.queries.match import NOTHING, Patterns
from pynori.queries.more_like_this import Likeness
from pynori.queries.names import IndexNames
from pynori.queries.order import Column, Ids
from pynori.queries.values import Scalar, Values
from pynori.rql.ast import Call, Comparison, Path, as_path

if TYPE_CHECKING:
    from pynori_core.index_store import IndexField, IndexSnapshot

    from pynori.text.analyzers import Analyzer

BOOSTS_BY_TERM_MAX: Final = 32  # different ones; more are read entry by entry
_PIECE: Final = re.compile(r'"((?:\\.|[^"\\])*)"|((?:\\.|[^\s"\\])+)|(["\\])', re.DOTALL)
_NUMBER: Final = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$")


class FullText:
    """The full-text side of one query."""

    def __init__(
        self,
        snapshot: IndexSnapshot,
        names: IndexNames,
        values: Values,
        analyzer: Callable[[str], Analyzer],
        alias: str | None,
        patterns: Patterns,
        like: Callable[[Call], Likeness],
    ) -> None:
        self._snapshot = snapshot
        self._names = names
        self._values = values
        self._analyzer = analyzer
        self._alias = alias
        self._patterns = patterns
        self._like = like
        self._factor = 1.0  # of the boosts around what is being matched; 0: it does not count
        self._tokens: dict[int, dict[str, float]] = {}  # weight of each token by field number
        self._constants: list[tuple[Matches, float, int]] = []  # with their weight, and whose boosts count (field)
        self._likenesses: list[Likeness] = []
        self.searched: dict[str, list[str]] = {}  # tokens and patterns by the path that the query names

    # ---- what else takes part in a score

    @contextmanager
    def boosted(self, factor: float) -> Iterator[None]:
        """What is matched within counts so many times."""
        before, self._factor = self._factor, self._factor * factor
        try:
            yield
        finally:
            self._factor = before

    def refused(self) -> AbstractContextManager[None]:
        """What is matched within does not count."""
        return self.boosted(0.0)

    def weigh(self, match: Callable[[], Matches], factor: float) -> Matches:
        """Match something whose entries count `factor` times, whether or not it is about words."""
        before = len(self._constants), {number: dict(tokens) for number, tokens in self._tokens.items()}
        with self.boosted(factor):
            found = match()
            if before == (len(self._constants), self._tokens):
                self._add_constant(found)
        return found

    # ---- conditions

    def match(self, call: Call, within: Matches | None, exact: bool) -> Matches:
        """Entries of `within` (None: of all) that fulfil search(), lucene(), fuzzy(), proximity(), moreLikeThis()."""
        if call.name == "moreLikeThis":
            likeness = self._like(call)
            self._likenesses.append(likeness)
            return likeness.matches(within)
        read = {"search": self._search, "lucene": self._lucene, "fuzzy": self._fuzzy, "proximity": self._proximity}
        if call.name not in read:
            raise InvalidQuery(f"{call.name}() is not a condition here")
        return read[call.name](call, within, exact)

    def equal_text(self, field: IndexField, text: str, within: Matches | None) -> Matches:
        """Entries that hold the text: its one token, or its tokens as a phrase."""
        return self._phrase(field, self._analyzer(field.name).terms(text), 0, within)

    def prefix_text(self, field: IndexField, text: str, within: Matches | None) -> Matches:
        found = self._snapshot.prefix(field.number, self._analyzer(field.name).part(text), within=within)
        return self._add_constant(found, field)

    def equal_value(self, field: IndexField, found: Matches) -> Matches:
        """It tells nothing about how well entries fit, unless they are boosted where they were made."""
        if self._factor == 0 or self._snapshot.field(field.name + BOOST) is None:
            return found
        return self._add_constant(found, field)

    # ---- search

    def _search(self, call: Call, within: Matches | None, exact: bool) -> Matches:
        field, texts, every = self._search_parts(call, exact)
        if field is None:
            return NOTHING
        found = []
        noted = self._note(call)
        for text in texts:
            for piece, quoted in pieces_of(text):
                matched = self._piece(field, piece, quoted, within, noted)
                if matched is None:
                    continue
                found.append(matched)
                if len(found) > SEARCH_TERMS_MAX:
                    raise LimitExceeded(f"a search has more than SEARCH_TERMS_MAX ({SEARCH_TERMS_MAX}) terms")
                if every:
                    within = matched
        if not found:
            return NOTHING
        return found[-1] if every else Matches.union_all(found)

    def _search_parts(self, call: Call, exact: bool) -> tuple[IndexField | None, list[str], bool]:
        """The field, the texts, and whether each piece must be there."""
        if len(call.arguments) not in (2, 3):
            raise InvalidQuery(f"{call.name}() takes a field, a text, and `and` or `or`")
        value = self._values.of(call.arguments[1])
        texts = [value_text(each) for each in (value if isinstance(value, list) else [value]) if each is not None]
        operator = as_path(call.arguments[2]) if len(call.arguments) == 3 else None
        if len(call.arguments) == 3 and (operator is None or operator.text.lower() not in ("and", "or")):
            raise InvalidQuery(f"the third argument of {call.name}() is `and` or `or`")
        field = self._names.find_of(call.arguments[0], search=True, exact=exact)
        return field, texts, operator is not None and operator.text.lower() == "and"

    def _note(self, call: Call) -> list[str]:
        """Where the words that are searched for in a field are noted, for highlighting."""
        path = as_path(call.arguments[0])
        if self._factor == 0 or path is None:
            return []
        return self.searched.setdefault(path.without(self._alias).text, [])

    def _piece(
        self, field: IndexField, piece: str, quoted: bool, within: Matches | None, noted: list[str]
    ) -> Matches | None:
        """Entries with one piece of a search; None for a piece that says nothing, as a stop word."""
        bare = re.sub(r"\\.", "", piece)
        if not quoted and ("*" in bare or "?" in bare):
            if not bare.strip("*"):
                return self._add_constant(self._snapshot.exists(field.number, within=within))
            noted.append(lucene.unescape(piece).lower())
            return self._pattern(field, piece, within)
        text = lucene.unescape(piece)
        if not field.text:
            noted.append(text.lower())
            return self._equal(field, text, within)
        terms = self._analyzer(field.name).terms(text)
        noted += [term for term, _ in terms]
        return self._phrase(field, terms, 0, within) if terms else None

    def _phrase(
        self, field: IndexField, terms: Sequence[tuple[str, int]], slop: int, within: Matches | None
    ) -> Matches:
        """One token, tokens of one position as alternatives, or a phrase."""
        if not terms:
            return NOTHING
        number = field.number
        self._add_tokens(number, {term: 1.0 for term, _ in terms})
        if len(terms) == 1:
            return self._snapshot.equal(number, terms[0][0], within=within)
        if len({position for _, position in terms}) == 1:
            return self._snapshot.in_(number, [term for term, _ in terms], within=within)
        found = self._snapshot.phrase(number, terms, slop=slop, within=within)
        if slop and self._factor:
            self._weigh_nearness(number, terms, slop, found)
        return found

    def _weigh_nearness(self, number: int, terms: Sequence[tuple[str, int]], slop: int, found: Matches) -> None:
        """Words that stand k places off add about 1 / (1 + k): each step of nearness adds to the steps before."""
        steps = [0, *(1 << power for power in range(slop.bit_length()) if 1 << power < slop), slop]
        below = 0.0
        for step in reversed(steps):
            found = self._snapshot.phrase(number, terms, slop=step, within=found)
            if not len(found):
                return
            self._constants.append((found, self._factor * (1 / (1 + step) - below), number))
            below = 1 / (1 + step)

    def _equal(self, field: IndexField, text: str, within: Matches | None) -> Matches:
        """A whole value of a field that is not cut into words; numbers as such, too."""
        values: list[Scalar] = [text]
        if _NUMBER.match(text):
            values.append(float(text) if any(each in text for each in ".eE") else int(text))
        return self._add_constant(self._snapshot.in_(field.number, values, within=within), field)

    def _pattern(self, field: IndexField, piece: str, within: Matches | None) -> Matches:
        pattern = self._analyzer(field.name).part(piece) if field.text else piece
        found = self._snapshot.wildcard(field.number, lucene.unescape(pattern), within=within)
        return self._add_constant(found, field)

    # ---- near words, words near each other

    def _fuzzy(self, call: Call, within: Matches | None, exact: bool) -> Matches:
        comparison = call.arguments[0]
        if len(call.arguments) != 2 or not isinstance(comparison, Comparison) or comparison.operator != "=":
            raise InvalidQuery("fuzzy() takes a comparison with = and a similarity from 0 to 1")
        similarity = self._values.number(call.arguments[1], "the similarity of fuzzy()")
        if not 0 <= similarity <= 1:
            raise InvalidQuery("the similarity of fuzzy() lies between 0 and 1")
        field = self._names.find_of(comparison.left, exact=exact)
        text = value_text(self._values.scalar(comparison.right))
        return NOTHING if field is None else self._near(field, text, similarity, within)

    def _near(self, field: IndexField, text: str, similarity: float, within: Matches | None) -> Matches:
        """Entries with terms that are like each token. similarity from 1 on: how many edits there may be."""
        tokens = self.tokens(field, text)
        if not tokens:
            return NOTHING
        for token in tokens:
            near = self._near_terms(field, token, similarity)
            if field.text:
                self._add_tokens(field.number, near)
            within = self._snapshot.in_(field.number, list(near), within=within)
            if not field.text:
                self._add_constant(within, field)
        assert within is not None
        return within

    def _near_terms(self, field: IndexField, token: str, similarity: float) -> dict[str, float]:
        """Terms of the field with how alike they are, the most alike where there are too many."""
        most = int(similarity) if similarity >= 1 else math.ceil((1 - similarity) * len(token))
        found: list[tuple[float, str]] = []
        terms = self._snapshot.terms(field.number, limit=SEARCH_TERMS_STEP)
        while terms:
            texts = [term for term, _ in terms if isinstance(term, str)]
            for text, distance in zip(texts, edits(token, texts, most), strict=True):
                if distance < 0:
                    continue
                alike = 1 - distance / max(min(len(text), len(token)), 1)
                if similarity >= 1 or distance == 0 or alike > similarity:
                    found.append((alike, text))
            if len(terms) < SEARCH_TERMS_STEP:
                break
            terms = self._snapshot.terms(field.number, after=terms[-1][0], limit=SEARCH_TERMS_STEP)
        found.sort(key=lambda each: (-each[0], each[1]))
        return {text: max(alike, 0.0) for alike, text in found[:SEARCH_TERMS_MAX]}

    def _proximity(self, call: Call, within: Matches | None, exact: bool) -> Matches:
        search = call.arguments[0]
        if len(call.arguments) != 2 or not isinstance(search, Call) or search.name != "search":
            raise InvalidQuery("proximity() takes a search() and how many places its words may be off")
        slop = self._values.count(call.arguments[1], "the distance of proximity()")
        field, texts, _ = self._search_parts(search, exact)
        if field is None:
            return NOTHING
        if not field.text:
            raise InvalidQuery(f"proximity() needs a field that is cut into words; '{field.name}' is not")
        terms = self._analyzer(field.name).terms(" ".join(texts).replace('"', " "))
        noted = self._note(search)
        noted += [term for term, _ in terms]
        return self._phrase(field, terms, slop or 0, within)

    # ---- Lucene's syntax

    def _lucene(self, call: Call, within: Matches | None, exact: bool) -> Matches:
        if len(call.arguments) != 2:
            raise InvalidQuery("lucene() takes a field and a query in Lucene's syntax")
        tree = lucene.parse(self._values.text(call.arguments[1], "the query of lucene()"))
        field = self._names.find_of(call.arguments[0], exact=exact)
        return self._node(tree, field, within, exact)

    def _node(self, node: lucene.Node, field: IndexField | None, within: Matches | None, exact: bool) -> Matches:
        if isinstance(node, lucene.Boosted):
            return self.weigh(lambda: self._node(node.node, field, within, exact), node.factor)
        if isinstance(node, lucene.Clauses):
            return self._clauses(node, field, within, exact)
        if isinstance(node, lucene.InField):
            inner = self._names.find(Path(tuple(node.field.split("."))), exact=exact)
            return self._node(node.node, inner, within, exact)
        if field is None:
            return NOTHING
        return self._leaf(node, field, within)

    def _leaf(self, node: lucene.Node, field: IndexField, within: Matches | None) -> Matches:
        if isinstance(node, lucene.Term):
            return self.equal_text(field, node.text, within) if field.text else self._equal(field, node.text, within)
        if isinstance(node, lucene.Phrase):
            if not field.text:
                return self._equal(field, node.text, within)
            return self._phrase(field, self._analyzer(field.name).terms(node.text), node.slop, within)
        if isinstance(node, lucene.Pattern):
            return self._pattern(field, node.text, within)
        if isinstance(node, lucene.Regex):
            return self._add_constant(self._patterns.matching(field, f"^(?:{node.text})$", within))
        if isinstance(node, lucene.Fuzzy):
            return self._near(field, node.text, node.similarity, within)
        if isinstance(node, lucene.Range):
            return self._range(node, field, within)
        return self._add_constant(self._snapshot.exists(field.number, within=within))

    def _clauses(
        self, node: lucene.Clauses, field: IndexField | None, within: Matches | None, exact: bool
    ) -> Matches:
        """Required clauses decide; without one, any of the others does. Only refusals match nothing."""
        should = []
        required = False
        for occur, each in node.clauses:
            if occur is lucene.Occur.MUST:
                within = self._node(each, field, within, exact)
                required = True
        for occur, each in node.clauses:
            if occur is lucene.Occur.SHOULD:
                should.append(self._node(each, field, within, exact))
        found = within if required else Matches.union_all(should)
        assert found is not None
        with self.refused():
            for occur, each in node.clauses:
                if occur is lucene.Occur.MUST_NOT:
                    found = found.minus(self._node(each, field, found, exact))
        return found

    def _range(self, node: lucene.Range, field: IndexField, within: Matches | None) -> Matches:
        ends = [each for each in (node.low, node.high) if each is not None]
        if not ends:
            return self._add_constant(self._snapshot.exists(field.number, within=within))
        low: Scalar = node.low
        high: Scalar = node.high
        if all(_NUMBER.match(each) for each in ends) and not field.text:
            low = None if node.low is None else float(node.low)
            high = None if node.high is None else float(node.high)
        elif field.text:
            analyzer = self._analyzer(field.name)
            low = None if node.low is None else analyzer.part(node.low)
            high = None if node.high is None else analyzer.part(node.high)
        found = self._snapshot.range(
            field.number, low, high, include_low=node.include_low, include_high=node.include_high, within=within
        )
        return self._add_constant(found)

    def tokens(self, field: IndexField, text: str) -> list[str]:
        """A text as the field keeps it."""
        if not field.text:
            return [text if field.exact else text.lower()]
        return [term for term, _ in self._analyzer(field.name).terms(text)]

    # ---- scores

    def _add_tokens(self, number: int, weights: dict[str, float]) -> None:
        if self._factor == 0:
            return
        known = self._tokens.setdefault(number, {})
        for token, weight in weights.items():
            known[token] = known.get(token, 0.0) + weight * self._factor

    def _add_constant(self, found: Matches, field: IndexField | None = None) -> Matches:
        """Entries that all fit as well as each other, but for the boosts that they have in a field."""
        if self._factor != 0 and len(found):
            rarity = math.log(1 + (self._snapshot.entry_count - len(found) + 0.5) / (len(found) + 0.5))
            number = -1 if field is None else field.number
            self._constants.append((found, self._factor * max(rarity, 0.01), number))
        return found

    @property
    def ranks(self) -> bool:
        """Whether something that was matched tells how well entries fit."""
        return bool(self._tokens or self._constants or self._likenesses)

    def scores(self, ids: Ids) -> Column | None:
        """How well each entry fits; None when nothing in the query tells."""
        if not self.ranks:
            return None
        total = np.zeros(len(ids))
        for number, tokens in self._tokens.items():
            total += np.asarray(self._snapshot.scores(number, list(tokens.items()), ids)) * self._boosts(number, ids)
        for likeness in self._likenesses:
            total += np.asarray(likeness.scores(ids))
        entries = np.frombuffer(memoryview(ids), dtype=np.uint64)
        for found, weight, number in self._constants:
            part = among(found, entries) * weight
            total += part if number < 0 else part * self._boosts(number, ids)
        return total

    def _boosts(self, number: int, ids: Ids) -> Column | float:
        """How many times each entry's value of a field counts, by what its map said."""
        name = next(each.name for each in self._snapshot.fields() if each.number == number)
        field = self._snapshot.field(name + BOOST)
        if field is None:
            return 1.0
        factors = self._snapshot.terms(field.number, limit=BOOSTS_BY_TERM_MAX + 1)
        if len(factors) > BOOSTS_BY_TERM_MAX:
            values = self._snapshot.values(ids, field.number)
            return np.array([each[0] if each else 1.0 for each in values], dtype=np.float64)
        boosts = np.ones(len(ids))
        entries = np.frombuffer(memoryview(ids), dtype=np.uint64)
        for factor, _ in factors:
            boosts[among(self._snapshot.equal(field.number, factor), entries)] = factor
        return boosts


def among(found: Matches, entries: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of the entries are in the set."""
    members = np.frombuffer(memoryview(found), dtype=np.uint64)
    if not len(members):
        return np.zeros(len(entries), dtype=np.bool_)
    places = np.minimum(np.searchsorted(members, entries), len(members) - 1)
    return np.asarray(members[places] == entries)


def pieces_of(text: str) -> Iterator[tuple[str, bool]]:
    """The pieces of a search: what stands between blanks, or between quotes (True)."""
    for match in _PIECE.finditer(text):
        quoted, plain, _ = match.groups()
        if quoted is not None and quoted.strip():
            yield quoted, True
        elif plain is not None:
            yield plain, False


def value_text(value: object) -> str:
    """A value of a query as the text that is searched for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)

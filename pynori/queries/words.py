"""Conditions in words over one snapshot: `search` and equality on analysed fields, and how well entries fulfil them.

The text of a search is cut at blanks; each piece goes through the field's analyzer. A piece that gives several tokens
is a phrase, one with `*` at its ends a pattern. Pieces are joined by `or` unless the query says `and`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from pynori_core.matches import Matches

from pynori.errors import InvalidQuery
from pynori.queries.match import NOTHING
from pynori.queries.more_like_this import Likeness
from pynori.queries.names import IndexNames
from pynori.queries.order import Column, Ids
from pynori.queries.values import Values
from pynori.rql.ast import Call, Path, as_path

if TYPE_CHECKING:
    from pynori_core.index_store import IndexField, IndexSnapshot

    from pynori.text.analyzers import Analyzer


class Words:
    """The full-text side of one query; it remembers what was searched for, to score and to highlight it."""

    def __init__(
        self,
        snapshot: IndexSnapshot,
        names: IndexNames,
        values: Values,
        analyzer: Callable[[str], Analyzer],
        alias: str | None,
        like: Callable[[Call], Likeness],
    ) -> None:
        self._alias = alias
        self._like = like
        self._snapshot = snapshot
        self._names = names
        self._values = values
        self._analyzer = analyzer
        self.wanted: dict[int, list[tuple[str, float]]] = {}  # tokens with boosts by field number
        self._likenesses: list[Likeness] = []
        self.searched: dict[str, list[str]] = {}  # tokens and patterns by the path that the query names

    def match(self, call: Call, within: Matches | None, exact: bool) -> Matches:
        if call.name == "moreLikeThis":
            likeness = self._like(call)
            self._likenesses.append(likeness)
            return likeness.matches(within)
        if call.name != "search":
            raise InvalidQuery(f"{call.name}() is not known to this server")
        if len(call.arguments) not in (2, 3):
            raise InvalidQuery("search() takes a field, a text, and and/or")
        field = self._names.find_of(call.arguments[0], search=True)
        path = as_path(call.arguments[0])
        text = self._values.of(call.arguments[1])
        texts = text if isinstance(text, list) else [text]
        pieces = [piece for each in texts if isinstance(each, str) for piece in each.split()]
        if field is None or path is None or not pieces:
            return NOTHING
        tokens = self.searched.setdefault(path.without(self._alias).text, [])
        for piece in pieces:
            tokens += [piece.lower()] if "*" in piece else self.tokens(field, piece)
        operator = call.arguments[2] if len(call.arguments) == 3 else None
        every = isinstance(operator, Path) and operator.text.lower() == "and"
        if every:
            for piece in pieces:
                within = self._piece(field, piece, within)
            assert within is not None
            return within
        return Matches.union_all([self._piece(field, piece, within) for piece in pieces])

    def tokens(self, field: IndexField, text: str) -> list[str]:
        """A text as the field keeps it."""
        if field.text:
            return [token for token, _ in self._analyzer(field.name).terms(text)]
        return [text if field.exact else text.lower()]

    def _piece(self, field: IndexField, piece: str, within: Matches | None) -> Matches:
        number = field.number
        if "*" in piece:
            pattern = self._analyzer(field.name).part(piece) if field.text else piece
            return self._snapshot.wildcard(number, pattern, within=within)
        if not field.text:
            return self._snapshot.equal(number, piece, within=within)
        return self.equal_text(field, piece, within)

    def equal_text(self, field: IndexField, text: str, within: Matches | None) -> Matches:
        """Entries that hold the text: its one token, or its tokens as a phrase."""
        terms = self._analyzer(field.name).terms(text)
        if not terms:
            return NOTHING
        self.wanted.setdefault(field.number, []).extend((token, 1.0) for token, _ in terms)
        if len(terms) == 1:
            return self._snapshot.equal(field.number, terms[0][0], within=within)
        return self._snapshot.phrase(field.number, terms, within=within)

    def prefix_text(self, field: IndexField, text: str, within: Matches | None) -> Matches:
        return self._snapshot.prefix(field.number, self._analyzer(field.name).part(text), within=within)

    def scores(self, ids: Ids) -> Column | None:
        """BM25 over everything that was searched for; None when nothing was."""
        if not self.wanted and not self._likenesses:
            return None
        total = np.zeros(len(ids))
        for number, tokens in self.wanted.items():
            total += np.asarray(self._snapshot.scores(number, tokens, ids))
        for likeness in self._likenesses:
            total += np.asarray(likeness.scores(ids))
        return total

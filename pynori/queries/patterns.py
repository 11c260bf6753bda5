"""Regular expressions over the terms of a field, in time that grows with the terms and never explodes.

A pattern comes from whoever asks, and Python's own engine can be kept busy for hours by a short one, with everything
else waiting for it. So the pattern runs in the JavaScript engine, whose time is bounded, over many terms in one call.
Its dialect is JavaScript's, which for what queries use is .NET's too; it is found anywhere within a term.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pynori_core.matches import Matches

from pynori.limits import QUERY_PATTERN_TERMS_STEP

if TYPE_CHECKING:
    from pynori_core.index_store import IndexField, IndexSnapshot

# Which of some texts a pattern is found in: True for each that it is.
Finder = Callable[[str, Sequence[str]], Sequence[bool]]


class RegularExpressions:
    """Matches entries by a pattern over their terms."""

    def __init__(self, snapshot: IndexSnapshot, find: Finder) -> None:
        self._snapshot = snapshot
        self._find = find

    def matching(self, field: IndexField, pattern: str, within: Matches | None) -> Matches:
        """Entries of `within` with a term that the pattern fits. Raises InvalidQuery for what is no pattern."""
        snapshot, number = self._snapshot, field.number
        parts = []
        terms = snapshot.terms(number, limit=QUERY_PATTERN_TERMS_STEP)
        while terms:
            texts = [term for term, _ in terms if isinstance(term, str)]
            found = [text for text, fits in zip(texts, self._find(pattern, texts), strict=True) if fits]
            if found:
                parts.append(snapshot.in_(number, found, within=within))
            if len(terms) < QUERY_PATTERN_TERMS_STEP:
                break
            terms = snapshot.terms(number, after=terms[-1][0], limit=QUERY_PATTERN_TERMS_STEP)
        return Matches.union_all(parts)

"""Moments as texts: with and without Z, with and without a fraction they are one moment, and are compared so.

That holds for indexes in C#, whose maps see such texts as moments. A text without Z counts as if it had one. Spellings
are those that clients write: seconds alone, or seven digits behind them. They stand in the index as they came; so a
condition on a moment becomes one on all of its spellings, and their order, which is nearly that of the moments, is put
right where it is not: `…:00Z` stands behind `…:00.5000000Z`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pynori_core.index_store import IndexSnapshot
    from pynori_core.matches import Matches

_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{7})?Z?")
_WHOLE: Final = ".0000000"


@dataclass(frozen=True, slots=True)
class Moment:
    """second: its text up to the seconds; fraction: a point and seven digits."""

    second: str
    fraction: str

    @property
    def spellings(self) -> list[str]:
        long = self.second + self.fraction
        return [long, long + "Z", *([self.second, self.second + "Z"] if self.fraction == _WHOLE else ())]

    def equal(self, index: IndexSnapshot, field: int, within: Matches | None) -> Matches:
        return index.in_(field, self.spellings, within=within)

    def after(self, index: IndexSnapshot, field: int, or_equal: bool, within: Matches | None) -> Matches:
        """Entries with a later moment."""
        is_whole = self.fraction == _WHOLE
        found = index.range(field, self.second if is_whole else self.second + self.fraction, None, within=within)
        # The whole second is before this moment, but its short text with Z is behind it.
        refused = [] if is_whole else [self.second + "Z"]
        if not or_equal:
            refused += self.spellings
        return found.minus(index.in_(field, refused, within=found)) if refused else found

    def before(self, index: IndexSnapshot, field: int, or_equal: bool, within: Matches | None) -> Matches:
        """Entries with an earlier moment."""
        is_whole = self.fraction == _WHOLE
        end = self.second if is_whole else self.second + self.fraction
        found = index.range(field, None, end, include_high=False, within=within)
        wanted = [] if is_whole else [self.second + "Z"]
        if or_equal:
            wanted += self.spellings
        return found.union(index.in_(field, wanted, within=within)) if wanted else found


def moment_of(value: object) -> Moment | None:
    """The moment that a text means, if it means one."""
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else Moment(found[1], found[2] or _WHOLE)

"""Which queries are so short that a thread costs more than they do.

A text that was answered quickly many times in a row is answered on the event loop; one slow answer sends it back to the
threads until it has been quick as often again. So what keeps the loop waiting is at most one answer of a kind.
"""

from __future__ import annotations

from collections import OrderedDict

from pynori.limits import QUERY_SHORT_MS, QUERY_SHORT_RUNS, QUERY_SHORT_TEXT_SIZE_MAX, QUERY_SHORT_TEXTS


class Pace:
    """How long texts of queries took. Belongs to the event loop."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: OrderedDict[str, int] = OrderedDict()  # quick answers in a row, those asked last at the end

    def is_short(self, text: str) -> bool:
        """Whether to answer it at once."""
        return self._runs.get(text, 0) >= QUERY_SHORT_RUNS

    def note(self, text: str, milliseconds: float) -> None:
        """It was answered."""
        if len(text) > QUERY_SHORT_TEXT_SIZE_MAX:
            return
        quick = milliseconds <= QUERY_SHORT_MS
        self._runs[text] = self._runs.pop(text, 0) + 1 if quick else 0
        if len(self._runs) > QUERY_SHORT_TEXTS:
            self._runs.popitem(last=False)

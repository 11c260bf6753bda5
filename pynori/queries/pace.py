"""Which queries are so short that a thread costs more than they do.

A text that was answered some times, and quickly in the mean of the last ones, is answered on the event loop. A very
slow answer sends it back to the threads until the mean is short again; one that was a little late, because the machine
had something else to do, does not. So what keeps the loop waiting is at most one long answer of a kind.
"""

from __future__ import annotations

from collections import OrderedDict

from pynori.limits import QUERY_SHORT_MS, QUERY_SHORT_RUNS, QUERY_SHORT_TEXT_SIZE_MAX, QUERY_SHORT_TEXTS


class Pace:
    """How long texts of queries took. Belongs to the event loop."""

    __slots__ = ("_means_ms", "_runs")

    def __init__(self) -> None:
        self._means_ms: OrderedDict[str, float] = OrderedDict()  # those asked last at the end
        self._runs: dict[str, int] = {}  # answers so far, up to QUERY_SHORT_RUNS

    def is_short(self, text: str) -> bool:
        """Whether to answer it at once."""
        return self._runs.get(text, 0) >= QUERY_SHORT_RUNS and self._means_ms[text] <= QUERY_SHORT_MS

    def note(self, text: str, milliseconds: float) -> None:
        """Its answer took so long to make."""
        if len(text) > QUERY_SHORT_TEXT_SIZE_MAX:
            return
        runs = self._runs[text] = min(self._runs.get(text, 0) + 1, QUERY_SHORT_RUNS)
        mean = self._means_ms.pop(text, 0.0)
        self._means_ms[text] = mean + (milliseconds - mean) / runs
        if len(self._means_ms) > QUERY_SHORT_TEXTS:
            forgotten, _ = self._means_ms.popitem(last=False)
            del self._runs[forgotten]

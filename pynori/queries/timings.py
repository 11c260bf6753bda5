"""Where the time of one query goes: named spans, one within the other, as `include timings()` gives them.

A query that did not ask for timings has none (`None`), and pays nothing for them but a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from pynori.rql.ast import Call, Query
from pynori.runtime.clock import Clock

SPAN_DEPTH_MAX = 16


class Timings:
    """A stopwatch with names. Spans of the same name in the same place add up."""

    __slots__ = ("_clock", "_path", "_root")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._root = _Span()
        self._path = [self._root]
        self._root.began_ms = clock.monotonic_ms()

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Measure what happens within, as a part of the span that is open."""
        assert len(self._path) < SPAN_DEPTH_MAX, "spans follow the structure of the code"
        span = self._path[-1].parts.setdefault(name, _Span())
        self._path.append(span)
        began_ms = self._clock.monotonic_ms()
        try:
            yield
        finally:
            span.total_ms += self._clock.monotonic_ms() - began_ms
            self._path.pop()

    def as_json(self) -> dict[str, Any]:
        """`{DurationInMs, Timings: {name: {DurationInMs, Timings}}}`; the whole counts up to now."""
        self._root.total_ms = self._clock.monotonic_ms() - self._root.began_ms
        return self._root.as_json()


def span(timings: Timings | None, name: str) -> AbstractContextManager[None]:
    """A span of timings, or nothing where none were asked for."""
    return _NOTHING if timings is None else timings.span(name)


_NOTHING = nullcontext()


class _Span:
    __slots__ = ("began_ms", "parts", "total_ms")

    def __init__(self) -> None:
        self.began_ms = 0.0
        self.total_ms = 0.0
        self.parts: dict[str, _Span] = {}

    def as_json(self) -> dict[str, Any]:
        parts = {name: span.as_json() for name, span in self.parts.items()}
        return {"DurationInMs": round(self.total_ms, 3), "Timings": parts or None}


def timings_of(query: Query, clock: Clock) -> Timings | None:
    """A running stopwatch, if the query includes timings()."""
    wanted = any(isinstance(each, Call) and each.name == "timings" for each in query.includes)
    return Timings(clock) if wanted else None

"""Time comes in through one object, so that a test can hold it or run it ahead."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_FIRST_DAY = datetime(1, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """What the rest of the program knows of time."""

    def monotonic_ms(self) -> float:
        """Milliseconds since some fixed moment; never goes back."""
        ...

    def now(self) -> datetime:
        """The time of day, in UTC."""
        ...


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    def monotonic_ms(self) -> float:
        return time.monotonic() * 1_000.0

    def now(self) -> datetime:
        return datetime.now(UTC)


class ManualClock:
    """A clock that stands still until `advance` is called."""

    __slots__ = ("_monotonic_ms", "_start")

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._monotonic_ms = 0.0

    def advance(self, milliseconds: float) -> None:
        if milliseconds < 0:
            raise ValueError("time does not go back")
        self._monotonic_ms += milliseconds

    def monotonic_ms(self) -> float:
        return self._monotonic_ms

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._start.timestamp() + self._monotonic_ms / 1_000.0, UTC)


def wire_time(moment: datetime) -> str:
    """A moment as the protocol writes it: seven fraction digits and Z, `2026-11-20T21:17:16.2673140Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "0Z"


def wire_ticks(moment: datetime) -> int:
    """A moment in units of 100 ns since the year 1, as documents keep it."""
    return (moment - _FIRST_DAY) // timedelta(microseconds=1) * 10

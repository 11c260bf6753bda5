"""Timestamps: ticks and their text agree with the calendar."""

import random
from datetime import UTC, datetime, timedelta

from pynori_core import timestamp

BEGINNING = datetime(1, 1, 1)


def test_text_is_the_calendars() -> None:
    """Random ticks over all four-digit years, and both ends, read as datetime reads them, with seven digits."""
    dice = random.Random(3)
    last = (datetime(9999, 12, 31, 23, 59, 59, 999999) - BEGINNING) // timedelta(microseconds=1) * 10 + 9
    for ticks in [0, last, *(dice.randrange(last) for _ in range(20_000))]:
        moment = BEGINNING + timedelta(microseconds=ticks // 10)
        assert timestamp.format_ticks(ticks) == f"{moment:%Y}".zfill(4) + f"{moment:-%m-%dT%H:%M:%S.%f}{ticks % 10}Z"


def test_now_is_now() -> None:
    """The clock is the wall clock, in UTC."""
    text = timestamp.format_ticks(timestamp.now_ticks())
    told = datetime.strptime(text[:26], "%Y-%m-%dT%H:%M:%S.%f").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - told) < timedelta(minutes=1)

"""Durations as clients write them: `d.hh:mm:ss.fffffff`, or plain milliseconds."""

from __future__ import annotations

import re
from typing import Any

from pynori.errors import InvalidArgument

_FORM = re.compile(r"(-)?(?:(\d{1,8})\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,7}))?)?")


def timespan_ms(value: Any) -> int:
    """Milliseconds of a TimeSpan text or a number. Raises InvalidArgument; negative ones count as 0."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return max(0, int(value))
    match = _FORM.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise InvalidArgument(f"'{str(value)[:40]}' is not a duration of the form hh:mm:ss")
    negative, days, hours, minutes, seconds, fraction = match.groups()
    if negative:
        return 0
    total_s = int(days or 0) * 86_400 + int(hours) * 3_600 + int(minutes) * 60 + int(seconds or 0)
    return total_s * 1_000 + int((fraction or "0").ljust(7, "0")) // 10_000

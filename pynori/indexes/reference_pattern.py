"""Patterns of ids, such as `sales/{Company}/{At:yyyy-MM}`: what names the reference document of a reduced result.

A brace names a field of the result, and may say after a colon how a date or a number is written, in the form of .NET:
`yyyy yy MMMM MMM MM M dd d HH H mm m ss s` of dates, `D4` or `0000` of whole numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pynori.errors import CompilationError

PROPERTY: Final = "PatternForOutputReduceToCollectionReferences"
_BRACE: Final = re.compile(r"\{([^{}:]+)(?::([^{}]+))?\}")
_DATE_PART: Final = re.compile(r"yyyy|yy|MMMM|MMM|MM|M|dd|d|HH|H|mm|m|ss|s")
_NUMBER: Final = re.compile(r"[Dd](\d{1,2})|(0+)")
_STRFTIME: Final = {
    "yyyy": "%Y", "yy": "%y", "MMMM": "%B", "MMM": "%b", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S",
}  # fmt: skip


class ReferencePattern:
    """One pattern, checked. Raises: CompilationError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts: list[str | tuple[str, str]] = []
        end = 0
        for found in _BRACE.finditer(text):
            self._parts += [text[end : found.start()], (found.group(1).strip(), (found.group(2) or "").strip())]
            end = found.end()
        self._parts.append(text[end:])
        if any("{" in part or "}" in part for part in self._parts if isinstance(part, str)):
            raise CompilationError(f"The pattern '{text}' has a brace without its other half", PROPERTY, text)
        if not any(isinstance(part, tuple) for part in self._parts):
            raise CompilationError(f"The pattern '{text}' names no field in braces", PROPERTY, text)
        for part in self._parts:
            form = part[1] if isinstance(part, tuple) else ""
            rest = _DATE_PART.sub("", form)
            if form and not _NUMBER.fullmatch(form) and (rest == form or re.search("[A-Za-z]", rest)):
                said = f"The pattern '{text}' has the format '{form}', which is not known"
                raise CompilationError(said, PROPERTY, text)

    def id_of(self, result: Mapping[str, Any]) -> str | None:
        """The id for a reduced result; None when one of the fields has no value, or none that the format can write."""
        made = ""
        for part in self._parts:
            if isinstance(part, str):
                made += part
                continue
            value: Any = result
            for name in part[0].split("."):
                value = value.get(name) if isinstance(value, Mapping) else None
            text = _written(value, part[1])
            if text is None:
                return None
            made += text
        return made


def _written(value: Any, form: str) -> str | None:
    """A value as a part of an id."""
    if isinstance(value, bool):
        return ("true" if value else "false") if not form else None
    number = _NUMBER.fullmatch(form)
    if number is not None:
        width = int(number.group(1) or 0) or len(number.group(2) or "")
        return f"{value:0{width}d}" if isinstance(value, int) else None
    if form:
        moment = _moment(value)
        return None if moment is None else _DATE_PART.sub(lambda found: _date_part(moment, found.group()), form)
    return str(value) if isinstance(value, str | int | float) and value != "" else None


def _date_part(moment: datetime, part: str) -> str:
    pattern = _STRFTIME.get(part)
    if pattern is not None:
        return moment.strftime(pattern) if part != "yyyy" else f"{moment.year:04d}"
    return str({"M": moment.month, "d": moment.day, "H": moment.hour, "m": moment.minute, "s": moment.second}[part])


def _moment(value: Any) -> datetime | None:
    try:
        # Seven digits of fractions are one more than a datetime has.
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value)) if isinstance(value, str) else None
    except ValueError:
        return None

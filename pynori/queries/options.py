"""Options that functions of a query take as an object: parameters, JSON written in the text, or parts of documents.

Builders spell the names of options in several ways (PageSize, pageSize, page_size): all are read alike. A null, or an
option that is not there, means the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

import msgspec

from pynori.errors import InvalidQuery

Choice = TypeVar("Choice", bound=Enum)


class Options:
    """The options of one function, read by their folded names. `what` names the function in errors."""

    __slots__ = ("_values", "what")

    def __init__(self, value: Any, what: str) -> None:
        self.what = what
        if isinstance(value, str):
            try:
                value = msgspec.json.decode(value)
            except (msgspec.DecodeError, RecursionError) as error:
                raise InvalidQuery(f"the options of {what} are not valid JSON: {error}") from None
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            raise InvalidQuery(f"the options of {what} must be an object, but were {value!r:.80}")
        self._values = {folded(name): each for name, each in value.items()}

    def get(self, name: str) -> Any:
        """The value of an option; None where there is none."""
        return self._values.get(folded(name))

    def number(self, name: str, default: float, low: float = 0, high: float = float("inf")) -> float:
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise InvalidQuery(f"{name} of {self.what} must be a number from {low} to {high}, but was {value!r:.80}")
        return value

    def count(self, name: str, default: int) -> int:
        return int(self.number(name, default))

    def flag(self, name: str, default: bool) -> bool:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InvalidQuery(f"{name} of {self.what} must be true or false, but was {value!r:.80}")
        return value

    def text(self, name: str) -> str | None:
        value = self.get(name)
        if value is not None and not isinstance(value, str):
            raise InvalidQuery(f"{name} of {self.what} must be a string, but was {value!r:.80}")
        return value or None

    def texts(self, name: str) -> list[str]:
        value = self.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise InvalidQuery(f"{name} of {self.what} must be an array of strings, but was {value!r:.80}")
        return list(value)

    def choice(self, name: str, choices: type[Choice], default: Choice) -> Choice:
        value = self.get(name)
        if value is None:
            return default
        for choice in choices:
            if isinstance(value, str) and folded(choice.value) == folded(value):
                return choice
        allowed = ", ".join(choice.value for choice in choices)
        raise InvalidQuery(f"{name} of {self.what} must be one of {allowed}, but was {value!r:.80}")


def folded(name: str) -> str:
    """A name without the differences of spelling."""
    return name.replace("_", "").lower()

"""A dictionary that answers what an index answers, slowly and plainly: the oracle of the model tests."""

import fnmatch
from collections.abc import Callable
from typing import Any

Scalar = None | bool | int | float | str
Entry = dict[int, list[Scalar]]


def order_key(value: Scalar) -> tuple[int, Any]:
    """null < false < true < numbers < strings, strings by their UTF-8."""
    if value is None:
        return (1, 0)
    if isinstance(value, bool):
        return (3 if value else 2, 0)
    if isinstance(value, int | float):
        return (4, value)
    return (5, value.encode())


def term_of(value: Scalar) -> tuple[int, Any]:
    """Equal for what the index takes as equal: 1 and 1.0, but not 1 and true."""
    return order_key(value)


class IndexModel:
    """Documents with their entries."""

    def __init__(self, exact: set[int]) -> None:
        self.exact = exact
        self.documents: dict[str, list[tuple[str, Entry, bytes | None]]] = {}
        self.entries: dict[int, tuple[str, Entry, bytes | None]] = {}

    def put(self, document_id: str, entries: list[Entry], stored: list[bytes | None]) -> None:
        key = document_id.lower()
        self.documents.pop(key, None)
        if entries:
            self.documents[key] = [
                (document_id, self.lowered(entry), data) for entry, data in zip(entries, stored, strict=True)
            ]

    def number(self, ids_of: Callable[[str], list[int]]) -> None:
        """Take the ids that the index gave."""
        self.entries = {
            entry_id: entry
            for key, entries in self.documents.items()
            for entry_id, entry in zip(ids_of(key), entries, strict=True)
        }

    def lowered(self, entry: Entry) -> Entry:
        found: Entry = {}
        for field, values in entry.items():
            if values:
                found[field] = [self.lower(field, value) for value in values]
        return found

    def lower(self, field: int, value: Scalar) -> Scalar:
        return value.lower() if isinstance(value, str) and field not in self.exact else value

    def terms(self, entry_id: int, field: int) -> set[tuple[int, Any]]:
        return {term_of(value) for value in self.entries[entry_id][1].get(field, [])}

    def where(self, field: int, test: Any) -> list[int]:
        return sorted(
            entry_id
            for entry_id, (_, entry, _) in self.entries.items()
            if any(test(value) for value in entry.get(field, []))
        )

    def equal(self, field: int, value: Scalar) -> list[int]:
        wanted = term_of(self.lower(field, value))
        return self.where(field, lambda each: term_of(each) == wanted)

    def range(self, field: int, low: Scalar, high: Scalar, include_low: bool, include_high: bool) -> list[int]:
        low_key = order_key(self.lower(field, low)) if low is not None else None
        high_key = order_key(self.lower(field, high)) if high is not None else None
        kind = low_key[0] if low_key is not None else high_key[0] if high_key is not None else 0

        def inside(value: Scalar) -> bool:
            key = order_key(value)
            if key[0] != kind:
                return False
            if low_key is not None and (key < low_key or (key == low_key and not include_low)):
                return False
            return high_key is None or key < high_key or (key == high_key and include_high)

        return self.where(field, inside)

    def text(self, field: int, kind: str, text: str) -> list[int]:
        text = str(self.lower(field, text))

        def passes(value: Scalar) -> bool:
            if not isinstance(value, str):
                return False
            if kind == "prefix":
                return value.startswith(text)
            if kind == "suffix":
                return value.endswith(text)
            if kind == "contains":
                return text in value
            return fnmatch.fnmatchcase(value, text.replace("[", "[[]"))

        return self.where(field, passes)

    def sort(self, within: list[int], keys: list[tuple[int, bool]]) -> list[int]:
        found = list(within)
        for field, descending in reversed(keys):
            pick = max if descending else min
            found.sort(key=lambda entry_id: pick(self.terms(entry_id, field), default=(0, 0)), reverse=descending)
        return found

    def term_counts(self, field: int) -> list[tuple[tuple[int, Any], int]]:
        counts: dict[tuple[int, Any], int] = {}
        for entry_id in self.entries:
            for term in self.terms(entry_id, field):
                counts[term] = counts.get(term, 0) + 1
        return sorted(counts.items())

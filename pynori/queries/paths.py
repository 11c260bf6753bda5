"""Fields of documents as JSON text: what a path names, cut out of the text without changing a digit of it.

A path enters an array by a part that ends in `[]`; what lies below is then the array of what each item has. A part
`[n]` takes one item. Everything that is not there is None; null is the text `null`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

RawObject = dict[str, msgspec.Raw]

_object = msgspec.json.Decoder(RawObject).decode
_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
decode: Any = msgspec.json.Decoder().decode

METADATA = "@metadata"


def fields_of(json: bytes) -> RawObject:
    """The properties of a JSON object, each as its text."""
    return _object(json)


def items_of(json: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    """The items of a JSON array, each as its text."""
    return _array(json)


def cut(fields: RawObject, parts: Sequence[str]) -> bytes | None:
    """The JSON text that a path names within an object whose properties are these."""
    name, entered = split_part(parts[0])
    found = fields.get(name)
    if found is None and parts[0] in fields:
        found, entered = fields[parts[0]], None
    return None if found is None else _cut_value(bytes(found), entered, parts[1:])


def _cut_value(text: bytes, entered: int | str | None, rest: Sequence[str]) -> bytes | None:
    """What the rest of a path names below one value; entered: how the value's array is entered."""
    if entered is None:
        if not rest:
            return text
        if text.startswith(b"{"):
            return cut(_object(text), rest)
        # An array on the way is entered although the path does not say so.
        return _cut_items(text, rest) if text.startswith(b"[") else None
    if not text.startswith(b"["):
        return None
    if isinstance(entered, int):
        items = _array(text)
        return _cut_value(bytes(items[entered]), None, rest) if entered < len(items) else None
    return _cut_items(text, rest) if rest else text


def _cut_items(text: bytes, rest: Sequence[str]) -> bytes:
    found = []
    for item in _array(text):
        value = _cut_value(bytes(item), None, rest)
        if value is not None:
            # Arrays of arrays come out flat, as the terms of an index over the same path do.
            found += [bytes(each) for each in _array(value)] if value.startswith(b"[") else [value]
    return b"[" + b",".join(found) + b"]"


def split_part(part: str) -> tuple[str, int | str | None]:
    """A part's name, and how the array of that name is entered: None, "[]" for all items, or the number of one."""
    if not part.endswith("]"):
        return part, None
    name, bracket, inner = part[:-1].rpartition("[")
    if not bracket:
        return part, None
    return (name, int(inner)) if inner.isdecimal() else (name, "[]")


def texts_at(fields: RawObject, parts: Sequence[str]) -> Iterator[str]:
    """Every string that a path names: ids of documents to include or to load. Others than strings are passed over."""
    found = cut(fields, parts)
    if found is None:
        return
    waiting = [decode(found)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            waiting.extend(reversed(value))

"""JSON Patch (RFC 6902) over one document: add, remove, replace, move, copy, test, in order, all or nothing."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pynori_core.blittable import Document, parse_json
from pynori_core.errors import EngineError

from pynori.errors import InvalidArgument, LimitExceeded, from_engine
from pynori.limits import JSON_PATCH_OPERATIONS_MAX


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; pointers are taken apart."""

    kind: str
    path: tuple[str, ...]
    source: tuple[str, ...] = ()  # of move and copy
    value: Any = None  # of add, replace and test


class JsonPatch:
    """The operations of one patch, checked."""

    __slots__ = ("operations",)

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations

    @classmethod
    def parse(cls, text: bytes) -> JsonPatch:
        """From `{"Operations": [...]}`. Raises InvalidArgument, InvalidJson."""
        try:
            body = parse_json(text)
        except EngineError as error:
            raise from_engine(error) from error
        listed = body.to_python().get("Operations") if isinstance(body, Document) else None
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise InvalidArgument("a JSON patch must hold 'Operations', a list of objects")
        if len(listed) > JSON_PATCH_OPERATIONS_MAX:
            raise LimitExceeded(f"more operations than JSON_PATCH_OPERATIONS_MAX ({JSON_PATCH_OPERATIONS_MAX})")
        return cls([parse_operation(one) for one in listed])

    def apply(self, document: bytes) -> bytes:
        """The document's JSON after the operations. Raises InvalidArgument when one of them does not fit."""
        try:
            value: Any = Document.from_json(document).to_python()
            for operation in self.operations:
                value = apply_operation(value, operation)
            if not isinstance(value, dict):
                raise InvalidArgument("a JSON patch must leave an object as the document")
            return Document.from_python(value).to_json()
        except EngineError as error:
            raise from_engine(error) from error


def parse_operation(given: dict[str, Any]) -> Operation:
    kind = given.get("op")
    if not isinstance(kind, str) or kind not in APPLY:
        raise InvalidArgument(f"the JSON patch operation '{str(kind)[:40]}' is not known")
    if kind in ("add", "replace", "test") and "value" not in given:
        raise InvalidArgument(f"the JSON patch operation '{kind}' has no 'value'")
    source = parse_pointer(given.get("from"), "from") if kind in ("move", "copy") else ()
    return Operation(kind, parse_pointer(given.get("path"), "path"), source, given.get("value"))


def parse_pointer(text: Any, name: str) -> tuple[str, ...]:
    """`/a/b~1c/0` as its parts; "" is the whole document."""
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise InvalidArgument(f"'{name}' of a JSON patch operation must be a JSON pointer, such as /a/0")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def apply_operation(document: Any, operation: Operation) -> Any:
    """The document after one operation; it may be changed in place."""
    return APPLY[operation.kind](document, operation)


def apply_add(document: Any, operation: Operation) -> Any:
    return add(document, operation.path, copy.deepcopy(operation.value))


def apply_remove(document: Any, operation: Operation) -> Any:
    holder, key = locate(document, operation.path)
    del holder[key]
    return document


def apply_replace(document: Any, operation: Operation) -> Any:
    if not operation.path:
        return copy.deepcopy(operation.value)
    holder, key = locate(document, operation.path)
    holder[key] = copy.deepcopy(operation.value)
    return document


def apply_move(document: Any, operation: Operation) -> Any:
    if operation.path[: len(operation.source)] == operation.source and operation.path != operation.source:
        raise InvalidArgument("a JSON patch cannot move a value into itself")
    holder, key = locate(document, operation.source)
    value = holder[key]
    del holder[key]
    return add(document, operation.path, value)


def apply_copy(document: Any, operation: Operation) -> Any:
    return add(document, operation.path, copy.deepcopy(resolve(document, operation.source)))


def apply_test(document: Any, operation: Operation) -> Any:
    there = resolve(document, operation.path)
    # True equals 1 in Python, not in JSON.
    if there != operation.value or isinstance(there, bool) != isinstance(operation.value, bool):
        raise InvalidArgument(f"the JSON patch test of '{spelt(operation.path)}' failed: another value is there")
    return document


APPLY = {
    "add": apply_add, "remove": apply_remove, "replace": apply_replace, "move": apply_move, "copy": apply_copy,
    "test": apply_test,
}  # fmt: skip


def add(document: Any, path: tuple[str, ...], value: Any) -> Any:
    """Put a value where the path leads: a new or another value of a property, or a new place in an array."""
    if not path:
        return value
    holder = resolve(document, path[:-1])
    if isinstance(holder, list):
        holder.insert(len(holder) if path[-1] == "-" else position(path, len(holder) + 1), value)
    elif isinstance(holder, dict):
        holder[path[-1]] = value
    else:
        raise missing(path)
    return document


def resolve(document: Any, path: tuple[str, ...]) -> Any:
    """The value at a path. Raises InvalidArgument when there is none."""
    if not path:
        return document
    holder, key = locate(document, path)
    return holder[key]


def locate(document: Any, path: tuple[str, ...]) -> tuple[Any, Any]:
    """What holds the value at a path, and its key or position there. Raises InvalidArgument when there is none."""
    if not path:
        raise InvalidArgument("this JSON patch operation cannot be applied to the whole document")
    holder = document
    for depth in range(len(path)):
        key: Any = path[depth]
        if isinstance(holder, list):
            key = position(path[: depth + 1], len(holder))
        elif not isinstance(holder, dict) or key not in holder:
            raise missing(path)
        if depth == len(path) - 1:
            return holder, key
        holder = holder[key]
    raise AssertionError("unreachable")


def position(path: tuple[str, ...], end: int) -> int:
    """The last part as a position before `end`."""
    text = path[-1]
    if text.isascii() and text.isdigit() and (text == "0" or text[0] != "0") and len(text) < 10 and int(text) < end:
        return int(text)
    raise InvalidArgument(f"the array has no position '{spelt(path)}' that a JSON patch names")


def missing(path: tuple[str, ...]) -> InvalidArgument:
    return InvalidArgument(f"the document has nothing at '{spelt(path)}' that a JSON patch names")


def spelt(path: tuple[str, ...]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)

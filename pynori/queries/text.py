"""Pieces of JSON text that answers are put together from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


def quoted(text: str) -> bytes:
    """A string as JSON."""
    return encode(text)


def with_metadata(json: bytes, more: bytes) -> bytes:
    """A stored document's JSON with further properties in its metadata, which the engine writes last.

    more: `"name":value` pairs, joined by commas.
    """
    assert json.endswith(b"}}"), "a stored document ends with its metadata"
    return json[:-2] + b"," + more + b"}}"

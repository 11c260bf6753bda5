"""Documents as a stream, one snapshot long: as lines of JSON or as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pynori.errors import InvalidArgument
from pynori.http.request import Request
from pynori.http.response import JSON_LINES, StreamResponse

if TYPE_CHECKING:
    from collections.abc import Generator

PAGE_SIZE_MAX = 2**31 - 1


def documents(request: Request) -> StreamResponse:
    """Documents as a stream, in the order of their ids."""
    form = request.text("format", "json").lower()
    if form not in ("json", "jsonl"):
        raise InvalidArgument(f"Query string value 'format' must be json or jsonl, but was '{form[:40]}'.")
    prefix = request.text("startswith") if "startswith" in request.query else None
    chunks = request.open_database().database.stream(
        prefix=prefix,
        matches=request.text("matches"),
        exclude=request.text("exclude"),
        start_after=request.text("startafter"),
        start=request.number("start", 0),
        page_size=request.number("pagesize", PAGE_SIZE_MAX),
    )
    if form == "jsonl":
        return StreamResponse(as_lines(chunks), JSON_LINES)
    return StreamResponse(as_object(chunks))


def as_lines(documents: Iterator[bytes]) -> Generator[bytes, None, None]:
    try:
        for document in documents:
            yield b'{"Item":%b}\n' % document
    finally:
        release(documents)


def as_object(documents: Iterator[bytes]) -> Generator[bytes, None, None]:
    separator = b'{"Results":['
    try:
        for document in documents:
            yield separator + document
            separator = b","
        yield b'{"Results":[]}' if separator != b"," else b"]}"
    finally:
        release(documents)


def release(documents: Iterator[bytes]) -> None:
    """Give up the snapshot at once, not when the collector comes round."""
    close = getattr(documents, "close", None)
    if close is not None:
        close()

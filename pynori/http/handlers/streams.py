"""Documents as a stream, one snapshot long: as lines of JSON or as one JSON object."""

from __future__ import annotations

from pynori.errors import InvalidArgument
from pynori.http.request import Request
from pynori.http.response import JSON_LINES, StreamResponse
from pynori.http.stream import as_lines, as_object, prefix_stream


def documents(request: Request) -> StreamResponse:
    """Documents as a stream, in the order of their ids."""
    form = request.text("format", "json").lower()
    if form not in ("json", "jsonl"):
        raise InvalidArgument(f"Query string value 'format' must be json or jsonl, but was '{form[:40]}'.")
    chunks = prefix_stream(request, request.open_database().database)
    if form == "jsonl":
        return StreamResponse(as_lines(chunks), JSON_LINES)
    return StreamResponse(as_object(chunks))

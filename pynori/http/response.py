"""What a handler returns: a finished Response, a Deferred one that waits for a future, or a coroutine for either.

A finished response costs no task: the protocol writes head and body with one call. `Deferred` carries a future and the
function that makes the response of its result; the protocol hangs a callback on it. Coroutines become tasks and are
for handlers that wait more than once. An Upgrade gives the connection away.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from http import HTTPStatus
from typing import Any

import msgspec

SERVER_VERSION = "7.2.0"
JSON = b"application/json; charset=utf-8"
TEXT = b"text/plain; charset=utf-8"
JSON_LINES = b"application/x-ndjson; charset=utf-8"

encode_json: Callable[[Any], bytes] = msgspec.json.Encoder().encode


class Response:
    """Status, body and further header fields (each a whole line with its line end)."""

    __slots__ = ("body", "close", "content_type", "fields", "status")

    def __init__(
        self, status: int = 200, body: bytes = b"", fields: bytes = b"", content_type: bytes = JSON, close: bool = False
    ) -> None:
        self.status = status
        self.body = body
        self.fields = fields
        self.content_type = content_type
        self.close = close  # close the connection after this answer, and say so


class StreamResponse:
    """A body that is made while it is sent; the iterator is closed when the client goes away."""

    __slots__ = ("chunks", "content_type", "fields", "status")

    def __init__(
        self,
        chunks: Iterator[bytes] | AsyncIterator[bytes],
        content_type: bytes = JSON,
        fields: bytes = b"",
        status: int = 200,
    ) -> None:
        self.chunks = chunks
        self.content_type = content_type
        self.fields = fields
        self.status = status


class Upgrade:
    """The connection leaves HTTP: after the answer 101 it belongs to `protocol`."""

    __slots__ = ("fields", "name", "protocol")

    def __init__(self, name: str, protocol: asyncio.Protocol, fields: bytes = b"") -> None:
        self.name = name  # of the protocol, for the Upgrade field
        self.protocol = protocol
        self.fields = fields


class Deferred:
    """A response that `render` makes of the future's result. A failed future becomes the error's response."""

    __slots__ = ("future", "render")

    def __init__(self, future: asyncio.Future[Any], render: Callable[[Any], Response]) -> None:
        self.future = future
        self.render = render


Answer = Response | StreamResponse | Upgrade
Reply = Answer | Deferred | Coroutine[Any, Any, Answer]


async def settle(reply: Reply) -> Answer:
    """Wait for whatever a handler returned."""
    if isinstance(reply, Response | StreamResponse | Upgrade):
        return reply
    if isinstance(reply, Deferred):
        return reply.render(await reply.future)
    return await reply


def json_response(value: Any, status: int = 200, fields: bytes = b"") -> Response:
    return Response(status, encode_json(value), fields)


def field(name: str, value: str) -> bytes:
    """One header line. Characters that could end the line or that no header may carry are percent-encoded."""
    clean = "".join(c if " " <= c <= "~" else "".join(f"%{b:02X}" for b in c.encode("utf-8")) for c in value)
    return f"{name}: {clean}\r\n".encode("ascii")


def etag_field(etag: str) -> bytes:
    """The ETag line: always in double quotes. Change vectors and hashes are ASCII without quotes."""
    return b'ETag: "%b"\r\n' % etag.encode("ascii")


def status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode("ascii")

"""Streamed answers: pieces go out as they are made, in chunks of a useful size, no faster than the client reads.

The producer is a plain iterator (documents of one snapshot) or an asynchronous one. It is closed when the answer is
complete, when the client goes away, and when it fails; a failure after the first byte can only end the connection, for
the status is long out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING

from pynori.http.response import StreamResponse
from pynori.limits import STREAM_CHUNK_SIZE_BYTES

if TYPE_CHECKING:
    from pynori.documents.database import Database
    from pynori.http.protocol import Connection
    from pynori.http.request import Request

PAGE_SIZE_MAX = 2**31 - 1  # what clients send when they want everything

log = logging.getLogger("pynori.http")


async def send_stream(connection: Connection, request: Request, response: StreamResponse) -> None:
    """Write head and chunks of a streamed answer on the connection whose turn it is."""
    transport = connection.transport
    if transport is None or connection.closing:
        await close_chunks(response.chunks)
        return
    chunked = request.keep_alive
    listener = connection.listener
    close = not chunked or connection.moment.draining or request.unread
    framing = b"Transfer-Encoding: chunked\r\n" if chunked else b""
    ending = b"Connection: close\r\n" if close else b""
    fields = response.fields + (listener.freshness(request) if request.state_fields else b"")
    transport.write(listener.head(response.status, response.content_type) + fields + framing + ending + b"\r\n")
    if request.method == "HEAD":
        await close_chunks(response.chunks)
    elif not await send_chunks(connection, response.chunks, chunked):
        return
    if connection.transport is not None:
        if chunked and request.method != "HEAD":
            connection.transport.write(b"0\r\n\r\n")
        connection.active_at = connection.moment.now
        if request.route.operation:
            listener.count(request, response.status)
        if close:
            connection.close(linger=True)


async def send_chunks(connection: Connection, chunks: Iterator[bytes] | AsyncIterator[bytes], chunked: bool) -> bool:
    """Write all pieces; False when the connection ended before they did."""
    try:
        async for piece in gather(chunks):
            transport = connection.transport
            if transport is None:
                return False
            transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if connection.write_paused:
                await connection.drain()
            else:
                await asyncio.sleep(0)  # other connections have their turn between two chunks
        return connection.transport is not None
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("a streamed answer failed after its first byte")
        connection.abort()
        return False
    finally:
        await close_chunks(chunks)


async def gather(chunks: Iterator[bytes] | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join small pieces into chunks of STREAM_CHUNK_SIZE_BYTES or a little more."""
    held: list[bytes] = []
    size = 0
    async for piece in as_async(chunks):
        held.append(piece)
        size += len(piece)
        if size >= STREAM_CHUNK_SIZE_BYTES:
            yield b"".join(held)
            held.clear()
            size = 0
    if size:
        yield b"".join(held)


async def as_async(chunks: Iterator[bytes] | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(chunks, AsyncIterator):
        async for piece in chunks:
            yield piece
    else:
        for piece in chunks:
            yield piece


async def close_chunks(chunks: Iterator[bytes] | AsyncIterator[bytes]) -> None:
    """Close the producer, which releases the snapshot that it holds."""
    if isinstance(chunks, AsyncIterator):
        end = getattr(chunks, "aclose", None)
        if end is not None:
            await end()
    else:
        end = getattr(chunks, "close", None)
        if end is not None:
            end()


# ---------------------------------------------------------------- documents as pieces


def prefix_stream(request: Request, database: Database) -> Iterator[bytes]:
    """The documents that the query string asks for, one after the other in the order of their ids."""
    return database.stream(
        prefix=request.text("startswith") if "startswith" in request.query else None,
        matches=request.text("matches"),
        exclude=request.text("exclude"),
        start_after=request.text("startafter"),
        start=request.number("start", 0),
        page_size=request.number("pagesize", PAGE_SIZE_MAX),
    )


def as_lines(documents: Iterator[bytes]) -> Generator[bytes, None, None]:
    """Bare documents: the Node client reads nothing else here. Only results of queries stand in an `Item`."""
    try:
        for document in documents:
            yield document + b"\n"
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

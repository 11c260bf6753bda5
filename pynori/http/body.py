"""Request bodies: gzip with a bounded ratio, and the stream that a handler reads while the body still arrives.

`GzipDecoder` never makes more than it is asked for at once, and refuses a body that grows more than
DECOMPRESSION_RATIO_MAX times (beyond a free first part). `BodyStream` holds what has arrived and nobody has read; when
that is too much, the connection stops reading from the socket until the handler has caught up.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Callable

from pynori.errors import BadRequest, LimitExceeded, PayloadTooLarge
from pynori.limits import DECOMPRESSION_FREE_SIZE_BYTES, DECOMPRESSION_RATIO_MAX, STREAM_BUFFER_SIZE_BYTES_MAX

GZIP_WINDOW_BITS = 31  # zlib's way of saying: a gzip frame
DECODE_SIZE_BYTES = 1024 * 1024  # made by one step, so that no step takes long


class BodyBroken(BadRequest):
    """The client went away, or broke the framing, before the body's end."""

    code = "body_broken"


class GzipDecoder:
    """Decompress one gzip member piece by piece."""

    __slots__ = ("_decoder", "_received", "produced")

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(GZIP_WINDOW_BITS)
        self._received = 0
        self.produced = 0  # bytes made so far

    def feed(self, data: bytes) -> bytes:
        """Decompress up to DECODE_SIZE_BYTES; `pending` holds what must be fed again."""
        self._received += len(data) - len(self.pending)
        try:
            made = self._decoder.decompress(data, DECODE_SIZE_BYTES)
        except zlib.error as error:
            raise BadRequest(f"the request body is not a gzip stream: {error}") from None
        self.produced += len(made)
        if self._decoder.unused_data:
            raise BadRequest("the request body goes on after the end of its gzip stream")
        if self.produced > DECOMPRESSION_FREE_SIZE_BYTES and self.produced > self._received * DECOMPRESSION_RATIO_MAX:
            raise LimitExceeded(
                f"the request body grows more than DECOMPRESSION_RATIO_MAX ({DECOMPRESSION_RATIO_MAX}) times when it "
                "is decompressed"
            )
        return made

    @property
    def pending(self) -> bytes:
        return self._decoder.unconsumed_tail

    @property
    def ended(self) -> bool:
        return self._decoder.eof


class BufferedBody:
    """Collects a whole body up to a limit."""

    __slots__ = ("_chunks", "_decoder", "_limit", "_size")

    def __init__(self, limit: int, gzip: bool) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._limit = limit
        self._decoder = GzipDecoder() if gzip else None

    def push(self, data: bytes) -> None:
        """Take a piece. Raises BadRequest or LimitExceeded; nothing may be pushed afterwards."""
        if self._decoder is None:
            self._append(data)
            return
        while True:
            made = self._decoder.feed(data)
            self._append(made)
            data = self._decoder.pending
            if not data and len(made) < DECODE_SIZE_BYTES:
                return

    def _append(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise body_too_large(self._limit)
        self._chunks.append(data)

    def take(self) -> bytes:
        """The whole body. Raises BadRequest when the gzip stream has no end."""
        if self._decoder is not None and not self._decoder.ended:
            raise BadRequest("the request body ends before its gzip stream does")
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)


class BodyStream:
    """A body that is read while it arrives."""

    __slots__ = ("_chunks", "_decoder", "_ended", "_failure", "_on_read", "_pending", "_waiter", "buffered")

    def __init__(self, gzip: bool, on_read: Callable[[], None]) -> None:
        self._chunks: deque[bytes] = deque()
        self._decoder = GzipDecoder() if gzip else None
        self._pending = b""  # compressed bytes that the decoder has not taken yet
        self._ended = False
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._on_read = on_read
        self.buffered = 0  # bytes that wait to be read

    # ---- the connection's side

    def push(self, data: bytes) -> None:
        self._chunks.append(data)
        self.buffered += len(data)
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()

    def fail(self, failure: Exception) -> None:
        if not self._ended:
            self._failure = failure
            self._wake()

    @property
    def full(self) -> bool:
        return self.buffered > STREAM_BUFFER_SIZE_BYTES_MAX

    @property
    def ended(self) -> bool:
        """The whole body has arrived, read or not."""
        return self._ended

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ---- the handler's side

    async def read(self) -> bytes:
        """The next bytes, decompressed; b"" at the end. Raises BodyBroken, BadRequest or LimitExceeded."""
        while True:
            data = await self._next()
            if self._decoder is None:
                return data
            if not data:
                if not self._decoder.ended:
                    raise BadRequest("the request body ends before its gzip stream does")
                return b""
            made = self._decoder.feed(data)
            self._pending = self._decoder.pending
            if made:
                return made

    async def _next(self) -> bytes:
        if self._pending:
            data, self._pending = self._pending, b""
            return data
        while not self._chunks:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data = self._chunks.popleft()
        was_full = self.full
        self.buffered -= len(data)
        if was_full and not self.full:
            self._on_read()
        return data


def body_too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"the request body is larger than this route takes: limit of {limit} bytes")

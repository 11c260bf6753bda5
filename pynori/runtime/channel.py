"""A channel: frames in both directions over one connection between two nodes, after its handshake.

The caller opens an HTTP connection to the other node's one address and asks for an upgrade, naming the operation and
what it brings; the answer is 101, and from there on both sides send frames, or it is an error in the shape of all
errors. So machines speak where clients do: one address, one certificate, one set of rules about who may enter.

    frame := size (u32, little endian; of what follows) | kind (u8) | flags (u8) | payload
    flags: 1 = the payload is an LZ4 block behind its plain size (u32)

Kind 0 says nothing and keeps the connection alive. A side that has heard nothing for CHANNEL_SILENCE_MS closes it.
Whoever sends looks at `is_full` or awaits `drain`: what a slow peer does not take is never heaped up without bound.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
import msgspec
from lz4 import block  # type: ignore[import-untyped]

from pynori import limits
from pynori.errors import PynoriError, Unavailable

UPGRADE = "pynori/1"  # the protocol's name and version, as both sides say it
PATH = "/cluster/channel"
KEEP_ALIVE = 0
COMPRESSED = 1
_HEAD_SIZE = 6
_COMPRESS_FROM = 1024  # bytes; less is not worth it

Receiver = Callable[[int, bytes], None]  # kind, payload


class ChannelClosed(Unavailable):
    """The connection to another node has ended."""

    code = "channel_closed"


class Channel(asyncio.Protocol):
    """One connection. `opened` is called when it can be sent on, `receive` for each frame, `lost` with why it ended."""

    def __init__(
        self, receive: Receiver, lost: Callable[[str], None], opened: Callable[[], None] | None = None
    ) -> None:
        self._receive = receive
        self._lost = lost
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._data = bytearray()
        self._reason = ""
        self._heard_at = self._sent_at = self._loop.time()
        self._drained: asyncio.Future[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self.is_full = False  # the peer does not take what was sent

    # ---- sending

    def send(self, kind: int, payload: bytes = b"", compress: bool = False) -> None:
        """Hand a frame to the connection. Nothing happens when it has ended."""
        flags, payload = packed(payload) if compress else (0, payload)
        self.send_packed(kind, flags, payload)

    def send_packed(self, kind: int, flags: int, payload: bytes) -> None:
        """`send` of what `packed` has made, in a thread where it is large."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if len(payload) > limits.CHANNEL_FRAME_SIZE_BYTES_MAX:
            raise AssertionError("a frame is larger than CHANNEL_FRAME_SIZE_BYTES_MAX")
        head = (len(payload) + 2).to_bytes(4, "little") + bytes((kind, flags))
        self._sent_at = self._loop.time()
        if len(payload) < 65536:
            transport.write(head + payload)
        else:
            transport.writelines((head, payload))

    async def drain(self) -> None:
        """Wait until the peer takes more. Raises: ChannelClosed."""
        if self._transport is None:
            raise ChannelClosed(self._reason or "the connection has ended")
        if self.is_full:
            if self._drained is None:
                self._drained = self._loop.create_future()
            await self._drained
            if self._transport is None:
                raise ChannelClosed(self._reason or "the connection has ended")

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def pause(self) -> None:
        """Read nothing more until `resume`: what the peer sends stays with it."""
        if self.is_open:
            assert self._transport is not None
            self._transport.pause_reading()

    def resume(self) -> None:
        if self.is_open:
            assert self._transport is not None
            self._heard_at = self._loop.time()
            self._transport.resume_reading()

    def close(self, reason: str = "closed on this side") -> None:
        """End the connection after what was sent."""
        self._reason = self._reason or reason
        if self._transport is not None:
            self._transport.close()

    # ---- the connection's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=limits.CHANNEL_BUFFER_SIZE_BYTES_MAX)
        self._look()
        if self._opened is not None:
            self._opened()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        held = self._data
        held += data
        position = 0
        end = len(held)
        while end - position >= _HEAD_SIZE:
            size = int.from_bytes(held[position : position + 4], "little")
            if not 2 <= size <= limits.CHANNEL_FRAME_SIZE_BYTES_MAX + 2:
                self.close(f"a frame of {size} bytes")
                return
            if end - position < 4 + size:
                break
            kind, flags = held[position + 4], held[position + 5]
            payload = bytes(held[position + _HEAD_SIZE : position + 4 + size])
            position += 4 + size
            if kind == KEEP_ALIVE:
                continue
            try:
                self._receive(kind, _unpacked(payload) if flags & COMPRESSED else payload)
            except (PynoriError, ValueError, msgspec.MsgspecError) as error:
                self.close(f"a frame of kind {kind} that cannot be taken: {error}")
                return
        del held[:position]

    def eof_received(self) -> bool:
        self._reason = self._reason or "closed by the other side"
        return False

    def connection_lost(self, failure: Exception | None) -> None:
        self._transport = None
        if self._watch is not None:
            self._watch.cancel()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._lost(self._reason or (str(failure) if failure else "closed by the other side"))

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    def _look(self) -> None:
        """Keep the connection alive, and see that the peer does."""
        now = self._loop.time()
        silence_s = limits.CHANNEL_SILENCE_MS / 1_000
        if now - self._heard_at > silence_s:
            self._reason = self._reason or f"nothing was heard for {silence_s:g} s"
            if self._transport is not None:
                self._transport.abort()
            return
        if now - self._sent_at >= silence_s / 4:
            self.send(KEEP_ALIVE)
        self._watch = self._loop.call_later(silence_s / 4, self._look)


def packed(payload: bytes) -> tuple[int, bytes]:
    """Flags and payload of a frame, compressed where that is worth it. Holds the GIL only for moments."""
    return (COMPRESSED, block.compress(payload)) if len(payload) >= _COMPRESS_FROM else (0, payload)


def _unpacked(payload: bytes) -> bytes:
    size = int.from_bytes(payload[:4], "little")
    if len(payload) < 4 or size > limits.CHANNEL_FRAME_SIZE_BYTES_MAX:
        raise ValueError(f"a compressed payload of {size} bytes")
    try:
        return bytes(block.decompress(payload))
    except block.LZ4BlockError as error:
        raise ValueError(str(error)) from None


# ---------------------------------------------------------------- the caller's handshake


class _Opening(asyncio.Protocol):
    """Reads the answer to the request for an upgrade, then leaves the connection to the channel."""

    def __init__(self, request: bytes, made: Callable[[], Channel]) -> None:
        self._request = request
        self._made = made
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._body = b""
        self.opened: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(f"an answer that is not HTTP: {error}")

    def on_body(self, data: bytes) -> None:
        self._body += data[: limits.CHANNEL_REFUSAL_SIZE_BYTES_MAX - len(self._body)]

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() == 101:
            return
        try:
            message = msgspec.json.decode(self._body).get("Message")
        except (msgspec.DecodeError, AttributeError):
            message = None
        self._refuse(str(message or f"status {self._parser.get_status_code()}"))

    def _switch(self, rest: bytes) -> None:
        transport, channel = self._transport, self._made()
        assert transport is not None
        transport.set_protocol(channel)
        channel.connection_made(transport)
        if not self.opened.done():
            self.opened.set_result(channel)
        if rest:
            channel.data_received(rest)

    def _refuse(self, reason: str) -> None:
        if not self.opened.done():
            self.opened.set_exception(ChannelClosed(reason))
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, failure: Exception | None) -> None:
        self._refuse(str(failure) if failure else "closed before an answer")


async def connect(
    url: str, operation: str, hello: dict[str, Any], receive: Receiver, lost: Callable[[str], None]
) -> Channel:
    """A channel to the node at `url` for an operation. hello: what the other side reads of it before it agrees.

    Raises: ChannelClosed, with why the other side refused or could not be reached.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        raise ChannelClosed(f"'{url}' is no address of a node")
    # json.dumps writes ASCII, which a header field may hold.
    request = (
        f"GET {PATH} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\nUpgrade: {UPGRADE}\r\n"
        f"Pynori-Operation: {operation}\r\nPynori-Hello: {json.dumps(hello)}\r\n\r\n"
    ).encode("ascii")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limits.CHANNEL_OPEN_MS / 1_000):
            transport, opening = await loop.create_connection(
                lambda: _Opening(request, lambda: Channel(receive, lost)), parts.hostname, parts.port or 80
            )
            try:
                return await opening.opened
            except BaseException:
                transport.abort()
                raise
    except TimeoutError:
        raise ChannelClosed(f"{url} did not answer within {limits.CHANNEL_OPEN_MS / 1_000:g} s") from None
    except OSError as error:
        raise ChannelClosed(f"{url} cannot be reached: {error}") from None

"""Channels over real sockets and a real listener: frames arrive whole and in order, refusals say why, ends are told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import uvloop

from pynori import limits
from pynori.errors import Forbidden
from pynori.http.listener import Listener, ListenerLimits
from pynori.http.router import Router
from pynori.http.routes import ROUTES
from pynori.runtime.channel import Channel, ChannelClosed, connect


class End:
    """One end of a channel: what it received, and how it ended."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.ended = asyncio.get_running_loop().create_future()
        self.channel: Channel | None = None

    def receive(self, kind: int, payload: bytes) -> None:
        self.frames.append((kind, payload))

    def lost(self, reason: str) -> None:
        self.ended.set_result(reason)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.frames) < count:
                await asyncio.sleep(0.002)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(main(), 30)

    uvloop.run(limited())


@asynccontextmanager
async def served(accept: Callable[[dict[str, Any]], Channel]) -> AsyncIterator[str]:
    """The address of a listener that takes channels for the operation "test"."""
    server = SimpleNamespace(channels={"test": accept}, state=SimpleNamespace(raft_index=0), url="")
    listener = Listener(server, Router(ROUTES), ListenerLimits())  # type: ignore[arg-type]
    await listener.start("127.0.0.1", 0)
    try:
        yield listener.url
    finally:
        listener.close()
        await asyncio.sleep(0)




@asynccontextmanager
async def connected() -> AsyncIterator[tuple[End, End]]:
    """Both ends of an open channel: the caller's and the server's."""
    theirs = End()

    def accept(hello: dict[str, Any]) -> Channel:
        theirs.channel = Channel(theirs.receive, theirs.lost)
        return theirs.channel

    async with served(accept) as url:
        ours = End()
        ours.channel = await connect(url, "test", {}, ours.receive, ours.lost)
        yield ours, theirs


def test_frames_arrive_whole_and_in_order() -> None:
    """Small, empty, large and compressed frames come out as they went in, both ways at once."""

    async def main() -> None:
        async with connected() as (ours, theirs):
            sent = [(1, b""), (2, b"x"), (255, os.urandom(3_000_000)), (3, b"text " * 400_000), (4, b"last")]
            for end in (ours, theirs):
                for kind, payload in sent:
                    assert end.channel is not None
                    end.channel.send(kind, payload, compress=kind == 3)
            await ours.until(5)
            await theirs.until(5)
            assert ours.frames == sent and theirs.frames == sent

    run(main)


def test_the_hello_reaches_the_other_side_as_it_was() -> None:
    """What the caller brings may be any JSON object, with characters of any script."""
    hello = {"node": "B", "name": "zß水🍀 \r\n\"", "list": [1, None]}

    async def main() -> None:
        seen = []

        def accept(given: dict[str, Any]) -> Channel:
            seen.append(given)
            end = End()
            return Channel(end.receive, end.lost)

        async with served(accept) as url:
            end = End()
            await connect(url, "test", hello, end.receive, end.lost)
            assert seen == [hello]

    run(main)


def test_refusals_say_why() -> None:
    """An operation that is not there, a caller who is refused, a wrong address and a closed port each have a reason."""

    async def main() -> None:
        def accept(hello: dict[str, Any]) -> Channel:
            raise Forbidden("node Z is not of this cluster")

        async with served(accept) as url:
            for target, operation, reason in (
                (url, "other", "no operation 'other'"),
                (url, "test", "node Z is not of this cluster"),
                ("ftp://127.0.0.1:1", "test", "no address of a node"),
                ("http://127.0.0.1:1", "test", "cannot be reached"),
            ):
                end = End()
                with pytest.raises(ChannelClosed, match=reason):
                    await connect(target, operation, {}, end.receive, end.lost)

    run(main)


def test_a_plain_request_is_told_to_upgrade() -> None:
    """Who asks for the path without an upgrade, or for another protocol, gets 426 and the connection is closed."""

    async def main() -> None:
        end = End()
        async with served(lambda hello: Channel(end.receive, end.lost)) as url:
            for field in ("", "Upgrade: websocket\r\nConnection: Upgrade\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
                head = "GET /cluster/channel HTTP/1.1\r\nHost: a\r\nPynori-Operation: test\r\n"
                writer.write(f"{head}{field}\r\n".encode())
                answer = await reader.read()
                assert answer.startswith(b"HTTP/1.1 426 ") and b"Upgrade: pynori/1" in answer
                writer.close()

    run(main)


def test_the_end_of_one_side_is_told_to_the_other() -> None:
    """Closing sends what was written first; then both learn of it, and a drain fails instead of waiting for ever."""

    async def main() -> None:
        async with connected() as (ours, theirs):
            assert ours.channel is not None and theirs.channel is not None
            ours.channel.send(7, b"z" * 2_000_000)
            ours.channel.close("done")
            await theirs.until(1)
            assert len(theirs.frames[0][1]) == 2_000_000
            assert await theirs.ended == "closed by the other side" and await ours.ended == "done"
            ours.channel.send(1, b"nobody")
            with pytest.raises(ChannelClosed, match="done"):
                await ours.channel.drain()

    run(main)


def test_a_slow_reader_holds_the_sender() -> None:
    """What a peer does not take stays bounded: the sender waits, and goes on when reading does."""

    async def main() -> None:
        async with connected() as (ours, theirs):
            assert ours.channel is not None and theirs.channel is not None
            theirs.channel.pause()
            sent = 0
            while not ours.channel.is_full:
                ours.channel.send(1, bytes(1_000_000))
                sent += 1
                await asyncio.sleep(0)
                assert sent < 100
            waiting = asyncio.ensure_future(ours.channel.drain())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            theirs.channel.resume()
            await asyncio.wait_for(waiting, 10)
            await theirs.until(sent)

    run(main)


def test_silence_ends_a_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ends that are alive stay connected without traffic; one that falls silent is given up."""
    monkeypatch.setattr(limits, "CHANNEL_SILENCE_MS", 200)

    async def main() -> None:
        async with connected() as (ours, theirs):
            assert ours.channel is not None and theirs.channel is not None
            await asyncio.sleep(0.6)
            assert ours.channel.is_open and theirs.channel.is_open
            monkeypatch.setattr(theirs.channel, "send", lambda *_: None)
            assert "nothing was heard" in await asyncio.wait_for(ours.ended, 5)

    run(main)


@pytest.mark.parametrize(
    "data",
    [
        b"\x01\x00\x00\x00\x01\x00",
        b"\xff\xff\xff\xff\x01\x00",
        b"\x06\x00\x00\x00\x01\x01\xff\xff\xff\x7f",
        b"\x08\x00\x00\x00\x01\x01\x08\x00\x00\x00zz",
    ],
)
def test_bytes_that_are_no_frames_end_the_channel(data: bytes) -> None:
    """A size that no frame has, and a payload that cannot be decompressed, close the connection with the reason."""

    async def main() -> None:
        async with connected() as (ours, theirs):
            assert ours.channel is not None and ours.channel._transport is not None
            ours.channel._transport.write(data)
            reason = await asyncio.wait_for(theirs.ended, 5)
            assert "a frame of" in reason and theirs.frames == []

    run(main)


@pytest.mark.parametrize("failure", [ValueError("no"), Forbidden("no"), msgspec.ValidationError("no")])
def test_a_frame_that_cannot_be_taken_ends_the_channel(failure: Exception) -> None:
    """Whatever a receiver says of a payload that is none of its own, the connection ends and the reason is told."""

    async def main() -> None:
        async with connected() as (caller, callee):
            assert caller.channel is not None and callee.channel is not None

            def refuse(kind: int, payload: bytes) -> None:
                raise failure

            callee.channel._receive = refuse
            caller.channel.send(7, b"nonsense")
            assert await callee.ended == "a frame of kind 7 that cannot be taken: no"
            await caller.ended

    run(main)

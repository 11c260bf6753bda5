"""The whole state on its way to a node that lacks entries which nobody keeps any more: in parts, over its own channel.

The leader's core wants a snapshot sent. Its node opens a channel to the other one, reads its state as of one
transaction and sends it in parts of bounded size, a few ahead of what is accepted; so neither end holds much in memory,
and words of the core are not held up. The receiver puts each part beside its own state, which stays valid, and accepts
it when it is on disk. When it has all it hands the core's message, which comes last, to its core; and when that wants
the snapshot stored, one small transaction puts the new state in the place of the old one.

A transfer that breaks is given up: the core is told, and begins another one, which removes what the first has left.

    Part (1)      items of the state, MessagePack
    End (2)       the core's message; the data of its snapshot counts the parts: [parts, bytes]
    Accepted (3)  parts that are on disk, u32; one more when the message is with the core
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import msgspec
from pynori_core.errors import EngineError

from pynori import limits
from pynori.cluster.raft.types import Message, MessageKind, Snapshot
from pynori.cluster.store import Dump, Store
from pynori.cluster.wire import decode_message, encode_message
from pynori.errors import InvalidArgument, PynoriError, Unavailable
from pynori.runtime import log
from pynori.runtime.channel import Channel, ChannelClosed, connect
from pynori.runtime.tasks import Tasks

OPERATION = "state"
_PART, _END, _ACCEPTED = 1, 2, 3

_encode_totals = msgspec.msgpack.Encoder().encode
_decode_totals = msgspec.msgpack.Decoder(tuple[int, int]).decode


class StateSender:
    """Sends the state of one node to others. Belongs to one event loop."""

    def __init__(
        self,
        store: Store,
        hello: Callable[[], dict[str, Any]],
        url: Callable[[int], str | None],
        ended: Callable[[int, bool], None],
    ) -> None:
        """url: where a node is reached, by raft id; ended: the transfer to a node has ended, and whether it arrived."""
        self._store = store
        self._hello = hello
        self._url = url
        self._ended = ended
        self._running: dict[int, int] = {}  # by raft id of the receiver: the index that is sent, 0 before it is known
        self._tasks = Tasks()

    @property
    def lowest_index(self) -> int | None:
        """The lowest index that is being sent: who gets it needs the entries behind it. None: there is no transfer."""
        return min((index for index in self._running.values() if index), default=None)

    def send(self, message: Message) -> None:
        """Send the state, as the core wants it by this message; nothing happens while it is being sent already."""
        if message.target not in self._running:
            self._running[message.target] = 0
            self._tasks.start(f"state for node {message.target}", self._run(message))

    async def close(self) -> None:
        await self._tasks.cancel()

    async def _run(self, message: Message) -> None:
        target, is_there = message.target, False
        try:
            await self._send(message)
            is_there = True
        except (PynoriError, EngineError, TimeoutError) as error:
            log.warn("cluster", f"the state did not reach node {target}: {error or 'it accepts nothing any more'}")
        finally:
            del self._running[target]
            self._ended(target, is_there)

    async def _send(self, message: Message) -> None:
        url = self._url(message.target)
        if url is None:
            raise ChannelClosed("its address is not known")
        loop = asyncio.get_running_loop()
        dump = await loop.run_in_executor(None, self._store.dump)
        try:
            self._running[message.target] = dump.index
            connection = _Sending()
            channel = await connect(url, OPERATION, self._hello(), connection.take, connection.end)
            try:
                await self._send_parts(message, dump, channel, connection)
            finally:
                channel.close()
        finally:
            await loop.run_in_executor(None, dump.close)

    async def _send_parts(self, message: Message, dump: Dump, channel: Channel, connection: _Sending) -> None:
        loop = asyncio.get_running_loop()
        count = size_bytes = 0
        while (part := await loop.run_in_executor(None, dump.next_part)) is not None:
            count, size_bytes = count + 1, size_bytes + len(part)
            await connection.wait(count - limits.STATE_PARTS_WINDOW)
            channel.send(_PART, part)
            await channel.drain()
        await connection.wait(count)
        totals = _encode_totals((count, size_bytes))
        last = replace(message, snapshot=Snapshot(dump.index, dump.term, dump.membership, totals))
        channel.send(_END, encode_message(last))
        await connection.wait(count + 1)
        told = f"node {message.target} has the state of index {dump.index}: {size_bytes} bytes in {count} parts"
        log.info("cluster", told)


class StateReceiver:
    """Takes the state of another node in, one transfer at a time. Belongs to one event loop."""

    def __init__(self, store: Store, executor: Executor, deliver: Callable[[Message], bool]) -> None:
        """deliver hands the message to the core, and says if the core wants its snapshot stored; then `installed` is
        called when that is done, and until then nothing else is taken in."""
        self._store = store
        self._executor = executor
        self._deliver = deliver
        self._incoming: _Incoming | None = None
        self._turn = asyncio.Lock()  # what lies beside the state is filled by one, or emptied
        self._is_installing = False
        self._tasks = Tasks()

    def clear_soon(self) -> None:
        """Remove what lies beside the state."""
        self._tasks.start("removal of a former state", self._clear_alone())

    def installed(self) -> None:
        self._is_installing = False
        self.clear_soon()

    def accept(self, sender: str) -> Channel:
        """A channel on which another node sends its state; it ends an earlier one. Raises: Unavailable."""
        if self._is_installing:
            raise Unavailable("a state is being put in the place of this node's")
        if self._incoming is not None:
            self._incoming.channel.close("another transfer has begun")
        self._incoming = incoming = _Incoming(sender)
        self._tasks.start(f"state from node {sender}", self._run(incoming))
        return incoming.channel

    async def close(self) -> None:
        if self._incoming is not None:
            self._incoming.channel.close("the server is stopping")
        await self._tasks.cancel()

    async def _run(self, incoming: _Incoming) -> None:
        try:
            async with self._turn:
                await self._clear()
                await self._take_in(incoming)
        except (PynoriError, EngineError, ValueError, msgspec.MsgspecError) as error:
            incoming.channel.close(str(error))
            log.warn("cluster", f"the state of node {incoming.sender} did not come whole: {error}")
        finally:
            if self._incoming is incoming:
                self._incoming = None

    async def _take_in(self, incoming: _Incoming) -> None:
        loop = asyncio.get_running_loop()
        count = size_bytes = 0
        while True:
            kind, payload = await incoming.next()
            if kind == _END:
                break
            await loop.run_in_executor(self._executor, self._store.stage, payload)
            count, size_bytes = count + 1, size_bytes + len(payload)
            incoming.accepted(count)
        message = decode_message(payload)
        if message.kind != MessageKind.SNAPSHOT or message.snapshot is None:
            raise ValueError(f"a state ends with {message.kind.name}")
        if _decode_totals(message.snapshot.data) != (count, size_bytes):
            raise ValueError(f"{count} parts of {size_bytes} bytes came, which are not all")
        self._is_installing = True
        self._is_installing = self._deliver(message)
        incoming.accepted(count + 1)
        if not self._is_installing:
            self.clear_soon()

    async def _clear_alone(self) -> None:
        async with self._turn:
            if not self._is_installing:
                await self._clear()

    async def _clear(self) -> None:
        loop = asyncio.get_running_loop()
        while not await loop.run_in_executor(self._executor, self._store.clear_next):
            pass


class _Sending:
    """What the receiver has accepted, as the sender knows it."""

    def __init__(self) -> None:
        self._accepted = 0
        self._lost = ""
        self._changed = asyncio.Event()

    def take(self, kind: int, payload: bytes) -> None:
        if kind != _ACCEPTED or len(payload) != 4:
            raise ValueError(f"a frame of kind {kind}")
        self._accepted = int.from_bytes(payload, "little")
        self._changed.set()

    def end(self, reason: str) -> None:
        self._lost = self._lost or reason
        self._changed.set()

    async def wait(self, count: int) -> None:
        """Until so many parts are accepted. Raises: ChannelClosed, TimeoutError."""
        async with asyncio.timeout(limits.STATE_PART_WAIT_MS / 1_000):
            while self._accepted < count:
                if self._lost:
                    raise ChannelClosed(self._lost)
                self._changed.clear()
                await self._changed.wait()


class _Incoming:
    """What has come on one channel and is not taken in yet."""

    def __init__(self, sender: str) -> None:
        self.sender = sender
        self.channel = Channel(self._take, self._end)
        self._frames: deque[tuple[int, bytes]] = deque()
        self._lost = ""
        self._changed = asyncio.Event()

    def accepted(self, count: int) -> None:
        self.channel.send(_ACCEPTED, count.to_bytes(4, "little"))

    async def next(self) -> tuple[int, bytes]:
        """The next frame. Raises: ChannelClosed."""
        while not self._frames:
            if self._lost:
                raise ChannelClosed(self._lost)
            self._changed.clear()
            await self._changed.wait()
        return self._frames.popleft()

    def _take(self, kind: int, payload: bytes) -> None:
        if kind not in (_PART, _END) or len(self._frames) > limits.STATE_PARTS_WINDOW:
            raise InvalidArgument(f"a frame of kind {kind} behind {len(self._frames)} others")
        self._frames.append((kind, payload))
        self._changed.set()

    def _end(self, reason: str) -> None:
        self._lost = reason or "closed"
        self._changed.set()

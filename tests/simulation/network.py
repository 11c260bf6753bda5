"""Connections between nodes in memory: they take their time, hang, break, and are cut in one direction or both.

What is sent on a connection arrives in order and whole or not at all, as with TCP. While the way is cut it waits; a
peer whose machine has lost its power says nothing until it is back, and then refuses what belongs to the connection
before. What does not arrive fills the sender's buffer, and the sender is told to wait.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from tests.simulation.loop import NodeLoop, Time

CONNECT_AGAIN_S = 1.0  # after a request for a connection that got no answer
RETRANSMIT_S = 0.3  # at most, until what waited is sent again after the way is free
_END, _RESET = "end", "reset"  # instead of bytes


class Network:
    """All connections of the world."""

    def __init__(self, time: Time, chance: random.Random, note: Callable[[str], None]) -> None:
        self.delay_s = 0.001  # of most messages, at most
        self.late_s = 0.05  # of some, at most
        self.late_share = 0.02
        self.cuts: set[tuple[str, str]] = set()  # ways from one host to another on which nothing passes
        self.dark: set[str] = set()  # hosts without power
        self.connections: list[Connection] = []
        self.time = time
        self._chance = chance
        self._note = note
        self._listeners: dict[str, tuple[NodeLoop, Callable[[], asyncio.Protocol]]] = {}

    def delay(self) -> float:
        chance = self._chance
        return chance.random() * (self.late_s if chance.random() < self.late_share else self.delay_s)

    def is_cut(self, source: str, target: str) -> bool:
        return (source, target) in self.cuts or source in self.dark or target in self.dark

    # ---- what loops ask for

    def listen(self, loop: NodeLoop, factory: Callable[[], asyncio.Protocol], host: str, port: int) -> Any:
        self._listeners[host] = (loop, factory)
        return SimpleNamespace(
            sockets=[SimpleNamespace(getsockname=lambda: (host, port))], close=lambda: self._deafen(host, loop)
        )

    def _deafen(self, host: str, loop: NodeLoop) -> None:
        if host in self._listeners and self._listeners[host][0] is loop:
            del self._listeners[host]

    async def connect(
        self, loop: NodeLoop, factory: Callable[[], asyncio.Protocol], host: str
    ) -> tuple[Connection, asyncio.Protocol]:
        while True:
            await asyncio.sleep(self.delay() + self.delay())
            if self.is_cut(loop.name, host) or self.is_cut(host, loop.name):
                await asyncio.sleep(CONNECT_AGAIN_S)
                continue
            listener = self._listeners.get(host)
            if listener is None:
                raise ConnectionRefusedError(f"nobody listens at {host}")
            return self._join(loop, factory, *listener)

    def _join(
        self, loop: NodeLoop, factory: Callable[[], asyncio.Protocol], peer: NodeLoop,
        accept: Callable[[], asyncio.Protocol],
    ) -> tuple[Connection, asyncio.Protocol]:  # fmt: skip
        near, far = Connection(self, loop, peer.name), Connection(self, peer, loop.name)
        near.peer, far.peer = far, near
        self.connections += (near, far)

        def accepted() -> None:
            far.protocol = accept()
            far.protocol.connection_made(far)

        peer.arrive(accepted)
        near.protocol = factory()
        near.protocol.connection_made(near)
        return near, near.protocol

    # ---- faults

    def lose(self, loop: NodeLoop, is_told: bool) -> None:
        """The process of this loop is gone; is_told: its machine still says so to the others."""
        if loop.name in self._listeners and self._listeners[loop.name][0] is loop:
            del self._listeners[loop.name]
        for each in [each for each in self.connections if each.loop is loop]:
            self.connections.remove(each)
            each.is_lost = True
            each.queue.clear()
            if is_told:
                each.send(_RESET)

    def wake(self) -> None:
        """Ways are free, or hosts are back: what waited is sent again."""
        for each in [*self.connections, *(each.peer for each in self.connections)]:
            if each.is_waiting and not self.is_cut(each.loop.name, each.host):
                each.is_waiting = False
                self.time.after(self._chance.random() * RETRANSMIT_S, each.pump)

    def break_one(self, hangs: bool) -> str:
        """A connection ends for both sides, or nothing passes on it any more and nobody is told."""
        found = [each for each in self.connections if not each.is_lost and not each.peer.is_lost]
        if not found:
            return "nothing"
        one = self._chance.choice(found)
        for each in (one, one.peer):
            each.is_hanging = True
            if not hangs:
                each.loop.arrive(lambda each=each: each.lose(ConnectionResetError("the connection was reset")))
        return f"{one.loop.name} to {one.host}"

    def note(self, text: str) -> None:
        self._note(text)


class Connection(asyncio.Transport):
    """One side of a connection."""

    peer: Connection
    protocol: asyncio.Protocol

    def __init__(self, network: Network, loop: NodeLoop, host: str) -> None:
        super().__init__()
        self.loop = loop
        self.host = host  # of the other side
        self.queue: deque[bytes | str] = deque()  # sent and not arrived
        self.is_lost = False  # this side's process knows it no more
        self.is_waiting = False  # for the way to be free
        self.is_hanging = False
        self._network = network
        self._closing = False
        self._ended = False
        self._pumping = False
        self._unread: deque[bytes | str] = deque()  # arrived while reading was paused
        self._reading = True
        self._waiting_bytes = 0
        self._high = 64 * 1024
        self._is_full = False

    # ---- asyncio.Transport

    def write(self, data: Any) -> None:
        if self._closing or self.is_lost or not data:
            return
        data = bytes(data)
        self._waiting_bytes += len(data)
        self.send(data)
        if self._waiting_bytes > self._high and not self._is_full:
            self._is_full = True
            self.protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._ended and not self.is_lost:
            self._ended = True
            self.send(_END)

    def is_closing(self) -> bool:
        return self._closing or self.is_lost

    def close(self) -> None:
        if not self.is_closing():
            self.write_eof()
            self._closing = True
            if not self.loop.is_dead:
                self.loop.call_soon(self.lose, None)

    def abort(self) -> None:
        if not self.is_lost:
            if not self._closing:
                self.queue.clear()
                self.send(_RESET)
            self._closing = True
            if not self.loop.is_dead:
                self.loop.call_soon(self.lose, None)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else 64 * 1024

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self.host, 0) if name == "peername" else default

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self.loop.call_soon(self._read)

    # ---- the way

    def send(self, what: bytes | str) -> None:
        self.queue.append(what)
        if not self._pumping and not self.is_waiting:
            self._pumping = True
            self._network.time.after(self._network.delay(), self.pump)

    def pump(self) -> None:
        """The first of what is on its way arrives."""
        self._pumping = False
        if not self.queue or self.is_hanging:
            return
        network = self._network
        if network.is_cut(self.loop.name, self.host):
            self.is_waiting = True
            return
        what, peer = self.queue.popleft(), self.peer
        network.note(f"{self.loop.name}>{self.host} {what if isinstance(what, str) else len(what)}")
        if isinstance(what, bytes):
            self._waiting_bytes -= len(what)
            if self._is_full and self._waiting_bytes <= self._high // 4:
                self._is_full = False
                self.loop.arrive(self._resume)
        if peer.is_lost:
            if what != _RESET and not self.is_lost:
                peer.send(_RESET)
        else:
            peer.loop.arrive(lambda: peer.take(what))
        if self.queue:
            self._pumping = True
            network.time.after(network.delay() * 0.1, self.pump)

    def take(self, what: bytes | str) -> None:
        if self.is_lost:
            if what != _RESET:
                self.send(_RESET)
        elif what == _RESET:
            self.lose(ConnectionResetError("the connection was reset by the other side"))
        else:
            self._unread.append(what)
            self._read()

    def _read(self) -> None:
        while self._unread and self._reading and not self.is_lost:
            what = self._unread.popleft()
            if isinstance(what, bytes):
                if not self._closing:
                    self.protocol.data_received(what)
            elif not self.protocol.eof_received():
                self.close()

    def _resume(self) -> None:
        if not self.is_lost:
            self.protocol.resume_writing()

    def lose(self, failure: Exception | None) -> None:
        """This side hears that the connection has ended."""
        if not self.is_lost:
            self.is_lost = True
            if self in self._network.connections:
                self._network.connections.remove(self)
            self.protocol.connection_lost(failure)

"""The HTTP address: accepts connections, keeps their number and their time in bounds, and drains them at the end.

    listener = await listen(server, "127.0.0.1", 8080)
    ...
    await listener.drain(grace_seconds=10)
    listener.close()

One tick for all connections looks at their deadlines; a connection has no timer of its own. The tick also renews the
Date line of the prepared answer heads.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from email.utils import format_datetime
from typing import TYPE_CHECKING
from weakref import WeakSet

from pynori_core.http_wire import Moment, now_us

from pynori.http.deadlines import check_time
from pynori.http.protocol import Connection
from pynori.http.request import Request
from pynori.http.response import JSON, SERVER_VERSION, Answer, Reply, settle, status_line
from pynori.http.router import Router
from pynori.http.routes import ROUTES
from pynori.limits import (
    CONNECTIONS_MAX,
    DATABASES_MAX,
    HEADER_TIMEOUT_MS,
    IDLE_TIMEOUT_MS,
    LINGER_MS,
    LISTEN_BACKLOG,
)
from pynori.runtime.clock import SystemClock

if TYPE_CHECKING:
    from pynori.server.server import Server

TICK_S = 1.0
OVERLOADED = (
    status_line(503) + b"Retry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n"
    b"Raven-Server-Version: %b\r\n\r\n" % SERVER_VERSION.encode("ascii")
)


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """The limits of the door; the defaults are those of limits.py, tests shorten them."""

    connections_max: int = CONNECTIONS_MAX
    header_timeout_ms: int = HEADER_TIMEOUT_MS
    idle_timeout_ms: int = IDLE_TIMEOUT_MS
    linger_ms: int = LINGER_MS
    tick_s: float = TICK_S


class _Deaf(asyncio.Protocol):
    """Takes the place of a connection that is to hear nothing more."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def connection_lost(self, failure: Exception | None) -> None:
        self._connection.connection_lost(failure)


class Listener:
    """All connections of one listening socket, and what they share."""

    def __init__(self, server: Server, router: Router, limits: ListenerLimits) -> None:
        self.server = server
        self.router = router
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.moment = Moment()  # as of the last tick: exact enough for deadlines
        self.connections: set[Connection] = set()
        self.refused = 0  # connections above the limit
        self._given_away = WeakSet[asyncio.Transport]()  # to protocols that are not HTTP
        self._requests_ended = 0  # requests of connections that are gone
        self._clock = SystemClock()
        self._heads: dict[tuple[int, bytes], bytes] = {}
        self._etags: dict[str, tuple[int, int, int]] = {}
        self._sockets: asyncio.Server | None = None
        self._host = ""
        self.port = 0  # the one that is really listened on
        self._empty: asyncio.Future[None] | None = None
        self._is_frozen = False
        self._tick()

    # ---------------------------------------------------------------- life

    async def start(self, host: str, port: int) -> None:
        """Listen at host:port; 0 takes any free port. Raises: OSError."""
        self._host = host
        self._sockets = await self.loop.create_server(lambda: Connection(self), host, port, backlog=LISTEN_BACKLOG)
        self.port = int(self._sockets.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """The address as a client on this machine writes it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    async def drain(self, grace_seconds: float) -> None:
        """Accept nothing more, close what is idle, let what runs finish within the grace time. Then `close`."""
        if self._sockets is not None:
            self._sockets.close()
        self.moment.draining = True
        for connection in list(self.connections):
            if connection.idle:
                connection.close(linger=False)
        if self.connections:
            self._empty = self.loop.create_future()
            await asyncio.wait([self._empty], timeout=grace_seconds)

    def freeze(self) -> None:
        """Hear no more requests: they hang, as with a server that is stuck. The present ones are still answered."""
        self._is_frozen = True
        for connection in self.connections:
            if connection.transport is not None:
                connection.transport.set_protocol(_Deaf(connection))

    def close(self) -> None:
        """Stop at once: what is still connected is cut."""
        if self._sockets is not None:
            self._sockets.close()
        for connection in list(self.connections):
            connection.abort()
        for transport in self._given_away:
            transport.abort()
        self._ticker.cancel()

    def opened(self, connection: Connection) -> None:
        transport = connection.transport
        assert transport is not None
        if self.moment.draining or len(self.connections) >= self.limits.connections_max:
            self.refused += 1
            transport.write(OVERLOADED)
            connection.closing = True
            transport.close()
            return
        self.connections.add(connection)
        if self._is_frozen:
            transport.set_protocol(_Deaf(connection))
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def gave_away(self, transport: asyncio.Transport) -> None:
        """A connection has left HTTP; its transport is still closed with the listener."""
        self._given_away.add(transport)

    def lost(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.discard(connection)
            self._count_native(connection)
            self._requests_ended += connection.requests
        if not self.connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def _tick(self) -> None:
        self.moment.now = now = self.loop.time()
        self._heads.clear()
        self.moment.read_head = self.head(200, JSON)
        self.moment.write_head = self.head(201, JSON)
        for connection in list(self.connections):
            check_time(connection, now)
        self._ticker = self.loop.call_later(self.limits.tick_s, self._tick)

    @property
    def requests(self) -> int:
        """Requests taken in since the start."""
        return self._requests_ended + sum(connection.requests for connection in self.connections)

    # ---------------------------------------------------------------- metrics

    def count(self, request: Request, status: int) -> None:
        """Count an answered request. A document that is not there is an answer, not a failure."""
        duration_ms = (now_us() - request.began_us) / 1_000
        self.server.metrics.requests(request.route.operation).observe(duration_ms, status >= 400 and status != 404)

    def count_all(self) -> None:
        """Bring the counters up to date with what the native halves of the connections have answered."""
        for connection in self.connections:
            self._count_native(connection)

    def _count_native(self, connection: Connection) -> None:
        for operation, (buckets, sum_ms) in zip(("get", "put"), connection.take_durations(), strict=True):
            if any(buckets):
                self.server.metrics.requests(operation).add(buckets, sum_ms)

    # ---------------------------------------------------------------- what every answer carries

    def head(self, status: int, content_type: bytes) -> bytes:
        """Status line and the fields that do not depend on the answer, without Content-Length and the empty line."""
        head = self._heads.get((status, content_type))
        if head is None:
            head = self.bare_head(status) + b"Content-Type: %b\r\n" % content_type
            self._heads[status, content_type] = head
        return head

    def bare_head(self, status: int) -> bytes:
        """The same for an answer that has no body by its nature (204, 304)."""
        head = self._heads.get((status, b""))
        if head is None:
            date = format_datetime(self._clock.now(), usegmt=True)
            head = status_line(status) + f"Date: {date}\r\nRaven-Server-Version: {SERVER_VERSION}\r\n".encode("ascii")
            self._heads[status, b""] = head
        return head

    def freshness(self, request: Request) -> bytes:
        """Header lines that tell a client that it knows an older topology or configuration than the present one."""
        if not request.database_name:
            return b""
        topology_etag, configuration_etag = self._etags_of(request.database_name)
        lines = b""
        if older(request.etag(b"topology-etag"), topology_etag):
            lines += b"Refresh-Topology: true\r\n"
        if older(request.etag(b"client-configuration-etag"), configuration_etag):
            lines += b"Refresh-Client-Configuration: true\r\n"
        return lines

    def _etags_of(self, database_name: str) -> tuple[int, int]:
        """Etags of the topology and of the client configuration, read again when the cluster's state has moved."""
        state = self.server.state
        known = self._etags.get(database_name)
        if known is None or known[0] != state.raft_index:
            if len(self._etags) >= DATABASES_MAX:
                self._etags.clear()
            if state.record(database_name) is None:
                known = (state.raft_index, -1, -1)
            else:
                configuration_etag, _ = state.client_configuration(database_name)
                known = (state.raft_index, state.database_topology_etag(database_name), configuration_etag)
            self._etags[database_name] = known
        return known[1], known[2]

    def wait_for_state(self, request: Request) -> Reply:
        """Run the request as soon as this node has applied the raft index that the client has seen elsewhere."""
        wanted = number(request.etag(b"known-raft-index"))
        if wanted is None or wanted <= self.server.state.raft_index:
            return request.route.handler(request)
        return self._run_after(request, wanted)

    async def _run_after(self, request: Request, raft_index: int) -> Answer:
        await self.server.state.wait_for_index(raft_index)
        return await settle(request.route.handler(request))


async def listen(server: Server, host: str, port: int, limits: ListenerLimits | None = None) -> Listener:
    """Serve the API of `server` at host:port; 0 takes any free port. Raises: OSError."""
    listener = Listener(server, Router(ROUTES), limits or ListenerLimits())
    await listener.start(host, port)
    return listener


def number(text: str | None) -> int | None:
    """The etags that clients send are often no numbers ("None", "undefined"); those say nothing."""
    try:
        return int(text) if text is not None and len(text) <= 20 else None
    except ValueError:
        return None


def older(known: str | None, present: int) -> bool:
    etag = number(known)
    return etag is not None and etag < present

"""Fixtures: a listener on loopback with routes of the test's choosing, and raw exchanges with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from pynori.config import Settings
from pynori.http.listener import Listener, ListenerLimits, listen
from pynori.http.router import Router
from pynori.http.routes import Route
from pynori.server.server import Server

EXCHANGE_S = 5.0  # nothing in these tests takes longer unless it hangs


@dataclass
class Answer:
    """One parsed answer."""

    status: int
    fields: dict[str, str]
    body: bytes


class Door:
    """A listener and ways to talk to it in bytes."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.listener.port)

    async def send(self, data: bytes, end: bool = True) -> bytes:
        """Send on a fresh connection, say that no more will come, read until the server closes."""
        reader, writer = await self.connect()
        writer.write(data)
        if end:
            writer.write_eof()
        received = await asyncio.wait_for(reader.read(), EXCHANGE_S)
        writer.close()
        return received

    def parse(self, data: bytes) -> list[Answer]:
        """Split what was received into answers. Fails when something is left over."""
        return parse_answers(data)

    def parse_whole(self, data: bytes) -> list[Answer]:
        """The same for what may not be complete yet: nothing then."""
        try:
            return parse_answers(data)
        except (AssertionError, IndexError, ValueError):
            return []

    async def ask(self, data: bytes) -> list[Answer]:
        """The answers to these bytes, in order."""
        return parse_answers(await self.send(data))


def parse_answers(data: bytes) -> list[Answer]:
    """Split what a server sent into answers. Fails when something is left over."""
    answers = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(first.split(" ")[1])
        if status == 100:
            answers.append(Answer(status, fields, b""))
            continue
        if fields.get("transfer-encoding") == "chunked":
            body, data = read_chunks(data)
        elif status in (204, 304):
            body = b""
        elif "content-length" in fields:
            size = int(fields["content-length"])
            body, data = data[:size], data[size:]
            assert len(body) == size, "the body is shorter than announced"
        else:
            body, data = data, b""
        answers.append(Answer(status, fields, body))
    return answers


def read_chunks(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size_text, _, data = data.partition(b"\r\n")
        size = int(size_text, 16)
        body += data[:size]
        assert data[size : size + 2] == b"\r\n", "a chunk does not end where it says"
        data = data[size + 2 :]
        if size == 0:
            return body, data


@asynccontextmanager
async def opened_door(
    routes: Sequence[Route], limits: ListenerLimits | None = None, server: Any = None
) -> AsyncIterator[Door]:
    """A listening door, closed hard at the end."""
    state = SimpleNamespace(raft_index=0)
    listener = Listener(server or SimpleNamespace(state=state, url=""), Router(routes), limits or ListenerLimits())
    await listener.start("127.0.0.1", 0)
    try:
        yield Door(listener)
    finally:
        listener.close()
        await asyncio.sleep(0)


@pytest.fixture
def open_door() -> Callable[..., Any]:
    """`async with open_door(routes, limits) as door`."""
    return opened_door


@pytest.fixture
def run() -> Callable[[Awaitable[None]], None]:
    """Run a test's coroutine on the event loop that the server uses."""

    def run_on_uvloop(main: Awaitable[None]) -> None:
        async def limited() -> None:
            await asyncio.wait_for(main, 20)

        uvloop.run(limited())

    return run_on_uvloop


class Api:
    """A real server, in memory, behind its real routes; one connection for each call."""

    def __init__(self, server: Server, listener: Listener) -> None:
        self.server = server
        self.door = Door(listener)

    async def call(self, method: str, target: str, body: Any = None, **fields: str) -> Answer:
        """One request. `body`: bytes as they are, anything else as JSON. Fields: if_match for If-Match."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        head = f"{method} {target} HTTP/1.1\r\nHost: node:8080\r\nContent-Length: {len(data)}\r\n{lines}\r\n"
        (answer,) = await self.door.ask(head.encode() + data)
        return answer

    async def json(self, method: str, target: str, body: Any = None, status: int = 200, **fields: str) -> Any:
        """One request whose answer must have this status; its body as JSON values."""
        answer = await self.call(method, target, body, **fields)
        assert answer.status == status, (method, target, answer)
        return json.loads(answer.body) if answer.body else None


@asynccontextmanager
async def opened_api(limits: ListenerLimits | None = None, **settings: Any) -> AsyncIterator[Api]:
    """A server with one database named `db`."""
    server = await Server.start(Settings(run_in_memory=True, **settings))
    listener = await listen(server, "127.0.0.1", 0, limits=limits)
    server.announce(listener.url, "tcp://127.0.0.1:4711")
    try:
        api = Api(server, listener)
        await api.json("PUT", "/admin/databases?name=db&replicationFactor=1", {"DatabaseName": "db"}, 201)
        yield api
    finally:
        listener.close()
        await server.stop()


@pytest.fixture
def open_api() -> Callable[..., Any]:
    """`async with open_api() as api`."""
    return opened_api

"""The peer of http_load.py: uvloop and httptools in the plainest way, a fixed answer to everything.

    python bench/macro/http_hello.py PORT SIZE

Answers every request with a body of SIZE bytes; a request's own body is read and dropped.
"""

import asyncio
import sys

import httptools
import uvloop

PORT, SIZE = int(sys.argv[1]), int(sys.argv[2])
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n\r\n" % SIZE
BODY = b"x" * SIZE


class Hello(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url = url
        self.fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body = body

    def on_message_complete(self) -> None:
        self.transport.write(HEAD + BODY)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Hello, "127.0.0.1", PORT, backlog=1024)
    print("ready", flush=True)
    await server.serve_forever()


uvloop.run(main())

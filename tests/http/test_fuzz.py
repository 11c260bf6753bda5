"""Random damage to real requests: whatever arrives, the connection answers or closes, and no defect shows."""

from __future__ import annotations

import random

import pytest

from pynori.http.request import Request
from pynori.http.response import Response
from pynori.http.routes import Body, Permission, Route

SEEDS = range(12)
MUTATIONS = 40  # exchanges of one seed
REQUESTS = (
    b"GET /databases/db/docs?id=users%2F1&include=a HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\"\r\n\r\n",
    b"POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n{\"a\":[1,2]}",
    b"POST /whole HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
    b"POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    b"Expect: 100-continue\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    b"POST /stream HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
)
LINES = (b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n")
PIECES = (b"\r\n", b"\n", b"\0", b"\xff", b" ", b":", b"\r\n\r\n", *LINES)


def whole(request: Request) -> Response:
    return Response(200, b"%d" % len(request.body))


async def stream(request: Request) -> Response:
    assert request.stream is not None
    while await request.stream.read():
        pass
    return Response(201)


ROUTES = (
    Route("GET", "/databases/{db}/docs", whole, Permission.NONE),
    Route("POST", "/whole", whole, Permission.NONE, Body.WHOLE, 1_000),
    Route("POST", "/stream", stream, Permission.NONE, Body.STREAM),
)


def mutate(rand: random.Random, data: bytes) -> bytes:
    for _ in range(rand.randrange(1, 4)):
        at = rand.randrange(len(data) + 1)
        kind = rand.randrange(4)
        if kind == 0:
            data = data[:at] + rand.choice(PIECES) + data[at:]
        elif kind == 1:
            data = data[:at] + data[at + rand.randrange(1, 8) :]
        elif kind == 2:
            data = data[:at] + bytes([rand.randrange(256)]) + data[at + 1 :]
        else:
            data += data[at:]
    return data


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_requests(run, open_door, seed: int) -> None:
    """Every exchange ends with whole answers of 2xx and 4xx; nothing is left open afterwards."""

    async def main() -> None:
        rand = random.Random(seed)
        async with open_door(ROUTES) as door:
            for _ in range(MUTATIONS):
                data = mutate(rand, rand.choice(REQUESTS) + rand.choice((b"", *REQUESTS)))
                for answer in door.parse(await door.send(data)):
                    assert answer.status < 500, f"seed {seed}: {data!r} -> {answer}"
            assert not [connection for connection in door.listener.connections if not connection.closing]

    run(main())

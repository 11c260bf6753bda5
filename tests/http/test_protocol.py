"""The protocol class on real sockets: order, framing, bodies, limits of time and size, back-pressure, the end."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import Iterator

import pytest

from pynori.errors import OperationFailed
from pynori.http.listener import ListenerLimits
from pynori.http.request import Request
from pynori.http.response import Deferred, Response, StreamResponse, json_response
from pynori.http.routes import Body, Permission, Route

KIB = 1024
HOST = b"Host: a\r\n"


def echo(request: Request) -> Response:
    return Response(200, request.body or request.text("text").encode())


def fields(request: Request) -> Response:
    return json_response({name.decode(): value.decode("latin-1") for name, value in request.fields.items()})


async def slow(request: Request) -> Response:
    await asyncio.sleep(request.number("ms", 20) / 1_000)
    return Response(200, b"slow")


def later(request: Request) -> Deferred:
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.01, future.set_result, b"later")
    return Deferred(future, lambda body: Response(200, body))


def failing_later(request: Request) -> Deferred:
    future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_exception, OperationFailed("it did not work"))
    return Deferred(future, lambda body: Response(200, body))


def broken(request: Request) -> Response:
    raise RuntimeError("a defect")


def empty(request: Request) -> Response:
    return Response(request.number("status", 204))


async def count(request: Request) -> Response:
    """Read the stream, slowly when asked to."""
    assert request.stream is not None
    size = 0
    while data := await request.stream.read():
        size += len(data)
        await asyncio.sleep(request.number("ms", 0) / 1_000)
    return Response(200, b"%d" % size)


async def first_piece(request: Request) -> Response:
    assert request.stream is not None
    return Response(201, await request.stream.read())


closed_streams: list[str] = []


def numbers(request: Request) -> StreamResponse:
    return StreamResponse(make_numbers(request.number("count", 3), request.number("size", 1), request.text("fail")))


def make_numbers(count: int, size: int, fail: str) -> Iterator[bytes]:
    try:
        for number in range(count):
            yield b"%d" % number * size + b"\n"
        if fail:
            raise RuntimeError("the stream broke")
    finally:
        closed_streams.append(f"{count}x{size}")


NONE = Permission.NONE
ROUTES = (
    Route("GET", "/echo", echo, NONE),
    Route("POST", "/echo", echo, NONE, Body.WHOLE, 256 * KIB),
    Route("GET", "/fields", fields, NONE),
    Route("GET", "/slow", slow, NONE),
    Route("GET", "/later", later, NONE),
    Route("GET", "/failing-later", failing_later, NONE),
    Route("GET", "/broken", broken, NONE),
    Route("GET", "/empty", empty, NONE),
    Route("POST", "/count", count, NONE, Body.STREAM),
    Route("POST", "/first", first_piece, NONE, Body.STREAM),
    Route("GET", "/numbers", numbers, NONE),
)


def get(target: str, more: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\n%b%b\r\n" % (target.encode(), HOST, more)


def post(target: str, body: bytes, more: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n%b\r\n%b" % (target.encode(), HOST, len(body), more, body)


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def chunked(target: str, *pieces: bytes, more: bytes = b"") -> bytes:
    head = b"POST %b HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n%b\r\n" % (target.encode(), HOST, more)
    return head + chunks(*pieces)


# ---------------------------------------------------------------- order and framing


def test_pipelined_requests_are_answered_in_order(run, open_door) -> None:
    """Answers come in the order of the requests, whatever each of them waits for."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            targets = ["/slow", "/echo?text=1", "/later", "/numbers", "/failing-later", "/echo?text=2", "/empty"]
            answers = await door.ask(b"".join(get(target) for target in targets))
            assert [answer.status for answer in answers] == [200, 200, 200, 200, 500, 200, 204]
            assert [answer.body for answer in answers[:4]] == [b"slow", b"1", b"later", b"0\n1\n2\n"]
            assert answers[5].body == b"2"

    run(main())


def test_thousands_of_pipelined_requests(run, open_door) -> None:
    """A burst larger than the queue of a connection is answered completely and in order, without recursion."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            targets = [f"/echo?text={number}" if number % 97 else "/later" for number in range(3_000)]
            answers = await door.ask(b"".join(get(target) for target in targets))
            expected = [str(number).encode() if number % 97 else b"later" for number in range(3_000)]
            assert [answer.body for answer in answers] == expected

    run(main())


@pytest.mark.parametrize("step", [1, 2, 7, 64])
def test_requests_in_small_pieces(run, open_door, step: int) -> None:
    """Where the bytes are cut does not matter."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            data = post("/echo", b"hello") + get("/echo?text=x") + chunked("/echo", b"a", b"bc") + get("/empty")
            reader, writer = await door.connect()
            for at in range(0, len(data), step):
                writer.write(data[at : at + step])
                await asyncio.sleep(0)
            writer.write_eof()
            answers = door.parse(await reader.read())
            assert [answer.body for answer in answers] == [b"hello", b"x", b"abc", b""]

    run(main())


def test_repeated_heads_are_not_confused(run, open_door) -> None:
    """A connection that repeats its field block gets the answer of the request line and body that it sends now."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            reader, writer = await door.connect()
            received = b""
            script = [
                (get("/echo?text=1"), b"1"),
                (get("/echo?text=2"), b"2"),
                (get("/ECHO?text=3"), b"3"),
                (get("/echo"), b""),
                (post("/echo", b"abc"), b"abc"),
                (post("/echo", b"xyz"), b"xyz"),
                (post("/echo", b"longer"), b"longer"),
                (get("/echo?text=4", b"X: 1\r\n"), b"4"),
                (get("/echo?text=5", b"X: 2\r\n"), b"5"),
                (get("/echo?text=5a") + get("/echo?text=5b"), b"5a5b"),
                (get("/echo?text=6"), b"6"),
                (post("/count", b"ab"), b"2"),
                (post("/count", b"cd"), b"2"),
            ]
            for request, expected in script:
                writer.write(request)
                received = b""
                while b"".join(answer.body for answer in door.parse_whole(received)) != expected or not received:
                    received += await asyncio.wait_for(reader.read(65536), 2)
                assert all(answer.status == 200 for answer in door.parse_whole(received))
            assert door.listener.requests == len(script) + 1
            writer.close()

    run(main())


def test_a_repeated_head_with_a_bad_line_is_refused(run, open_door) -> None:
    """The short cut for repeated fields takes no request line that the parser would not."""

    async def main() -> None:
        lines = (b"GET /echo?te xt=1 HTTP/1.1", b"GET echo HTTP/1.1", b"GET /echo HTTP/1.2", b"GET /e\x80 HTTP/1.1")
        for line in lines:
            async with open_door(ROUTES) as door:
                reader, writer = await door.connect()
                writer.write(get("/echo?text=1"))
                await reader.readuntil(b"\r\n\r\n1")
                writer.write(line + b"\r\n" + HOST + b"\r\n")
                answers = door.parse(await reader.read())
                assert [answer.status for answer in answers] == [400], line
                writer.close()

    run(main())


def test_answers_carry_the_fixed_fields(run, open_door) -> None:
    """Version and date are on every answer, errors included; HEAD has no body; 204 and 304 have no length."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            head = b"HEAD /echo?text=abc HTTP/1.1\r\n" + HOST + b"\r\n"
            received = await door.send(head)
            assert received.endswith(b"\r\n\r\n") and b"Content-Length: 3\r\n" in received
            for target, status in (("/echo", 200), ("/nothing", 400), ("/broken", 500), ("/empty", 204)):
                (answer,) = await door.ask(get(target))
                assert answer.status == status
                assert answer.fields["raven-server-version"] == "7.2.0"
                assert answer.fields["date"].endswith("GMT")
            (answer,) = await door.ask(get("/empty?status=304"))
            assert "content-length" not in answer.fields

    run(main())


def test_unknown_routes_and_defects_have_error_bodies(run, open_door) -> None:
    """An unknown path is a 400 that names method and path; an unforeseen failure is a 500 with its name."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            (answer,) = await door.ask(b"PATCH /some/thing HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
            body = json.loads(answer.body)
            assert answer.status == 400
            assert "PATCH /some/thing" in body["Message"] and body["Error"].startswith(body["Type"])
            (answer,) = await door.ask(get("/broken"))
            assert json.loads(answer.body)["Message"].endswith("RuntimeError: a defect")

    run(main())


# ---------------------------------------------------------------- bodies


def test_gzip_bodies(run, open_door) -> None:
    """A gzip body arrives decompressed, whole or streamed; a broken, cut or trailed one is refused."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            text = b"some text " * 1_000
            packed = gzip.compress(text)
            coding = b"Content-Encoding: gzip\r\n"
            (answer,) = await door.ask(post("/echo", packed, coding))
            assert answer.body == text
            (answer,) = await door.ask(chunked("/count", packed[:50], packed[50:], more=coding))
            assert answer.body == b"10000"
            for body in (packed[:-1], packed + b"x", b"no gzip", packed[:20] + b"\0" + packed[21:]):
                for target in ("/echo", "/count"):
                    (answer,) = await door.ask(post(target, body, coding))
                    assert answer.status == 400, (target, body[:30])
            (answer,) = await door.ask(post("/echo", packed, b"Content-Encoding: br\r\n"))
            assert answer.status == 400

    run(main())


def test_gzip_bombs(run, open_door) -> None:
    """What grows beyond the ratio or the route's limit is refused when it does, not when it is complete."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            bomb = gzip.compress(bytes(64 * KIB * KIB))
            for target, name in (("/echo", "larger than this route"), ("/count", "DECOMPRESSION_RATIO_MAX")):
                (answer,) = await door.ask(post(target, bomb, b"Content-Encoding: gzip\r\n"))
                assert answer.status in (400, 413)
                assert name in json.loads(answer.body)["Message"]

    run(main())


def test_bodies_beyond_the_limit(run, open_door) -> None:
    """A body that is announced or becomes too large is a 413, and the connection ends."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            large = b"x" * (256 * KIB + 1)
            for request in (post("/echo", large), chunked("/echo", large[: 128 * KIB], large[128 * KIB :])):
                (answer,) = await door.ask(request + get("/echo?text=never"))
                assert answer.status == 413
                assert answer.fields["connection"] == "close"
            (answer,) = await door.ask(post("/echo", large[1:]))
            assert answer.status == 200

    run(main())


def test_expect_continue(run, open_door) -> None:
    """100 Continue is sent before the body is read, and not when the body is refused by its length."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            head = b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
            reader, writer = await door.connect()
            writer.write(head % 3)
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            writer.write_eof()
            assert [answer.body for answer in door.parse(await reader.read())] == [b"abc"]
            writer.close()
            answers = await door.ask(head % 10_000_000)
            assert [answer.status for answer in answers] == [413]

    run(main())


def test_streamed_body_holds_the_sender_back(run, open_door) -> None:
    """While a handler reads slowly the server stops reading the socket instead of collecting the body."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            reader, writer = await door.connect()
            total = 24 * KIB * KIB
            writer.write(b"POST /count?ms=2 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % total)
            peak = 0

            async def watch() -> None:
                nonlocal peak
                while True:
                    for connection in door.listener.connections:
                        stream = connection.request.stream if connection.request else None
                        peak = max(peak, stream.buffered if stream else 0)
                    await asyncio.sleep(0.001)

            watcher = asyncio.ensure_future(watch())
            for _ in range(24):
                writer.write(bytes(KIB * KIB))
                await writer.drain()
            writer.write_eof()
            (answer,) = door.parse(await reader.read())
            watcher.cancel()
            assert answer.body == b"%d" % total
            assert 0 < peak <= 2 * KIB * KIB
            writer.close()

    run(main())


def test_answer_before_the_body_ends(run, open_door) -> None:
    """A handler may answer while the body still arrives: the answer reaches the client, then the connection ends."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            reader, writer = await door.connect()
            writer.write(b"POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            (answer,) = door.parse(await asyncio.wait_for(reader.read(), 2))
            assert (answer.status, answer.body, answer.fields["connection"]) == (201, b"abc", "close")
            writer.close()

    run(main())


def test_streamed_body_that_breaks(run, open_door) -> None:
    """A handler that reads a stream hears of broken framing and answers it; a lost connection ends it quietly."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            head = b"POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            (answer,) = await door.ask(head + b"3\r\nabc\r\nzz\r\n")
            assert answer.status == 400
            _, writer = await door.connect()
            writer.write(head + b"3\r\nabc\r\n")
            await asyncio.sleep(0.02)
            writer.transport.abort()
            while door.listener.connections:
                await asyncio.sleep(0.005)

    run(main())


# ---------------------------------------------------------------- answers as streams


def test_streamed_answers(run, open_door) -> None:
    """A stream is chunked, or ends with the connection for HTTP/1.0; its producer is closed afterwards."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            closed_streams.clear()
            answers = await door.ask(get("/numbers?count=20000") + get("/numbers?count=0") + get("/echo?text=x"))
            expected = b"".join(b"%d\n" % number for number in range(20_000))
            assert [answer.body for answer in answers] == [expected, b"", b"x"]
            assert answers[0].fields["transfer-encoding"] == "chunked"
            (answer,) = await door.ask(b"GET /numbers?count=3 HTTP/1.0\r\n\r\n")
            assert answer.body == b"0\n1\n2\n" and "transfer-encoding" not in answer.fields
            assert closed_streams == ["20000x1", "0x1", "3x1"]

    run(main())


def test_stream_that_nobody_reads(run, open_door) -> None:
    """A client that does not read holds the producer back; when it goes away the producer is closed."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            closed_streams.clear()
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * KIB)
            raw.connect(("127.0.0.1", door.listener.port))
            raw.sendall(get("/numbers?count=5000&size=100000"))
            await asyncio.sleep(0.2)
            (connection,) = door.listener.connections
            assert connection.write_paused
            assert connection.transport.get_write_buffer_size() < 4 * KIB * KIB
            assert closed_streams == []
            raw.close()
            while not closed_streams:
                await asyncio.sleep(0.01)

    run(main())


def test_stream_that_fails(run, open_door) -> None:
    """A failure in the middle ends the connection, so that the client cannot take a part for the whole."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            reader, writer = await door.connect()
            writer.write(get("/numbers?count=3&fail=yes"))
            try:
                received = await reader.read()
            except ConnectionResetError:
                received = b""
            assert not received.endswith(b"0\r\n\r\n")
            writer.close()

    run(main())


def test_pipelined_answers_that_nobody_reads(run, open_door) -> None:
    """A client that sends requests and reads nothing is not read from any more."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            _, writer = await door.connect()
            writer.transport.set_write_buffer_limits(1 * KIB)
            reader_limit = get("/echo?text=" + "x" * 4_000)
            sent = 0
            for _ in range(20_000):
                writer.write(reader_limit)
                sent += len(reader_limit)
                try:
                    await asyncio.wait_for(writer.drain(), 0.3)
                except TimeoutError:
                    break
            (connection,) = door.listener.connections
            assert sent < 80_000_000 - len(reader_limit), "everything was taken in"
            assert connection.transport.get_write_buffer_size() < 8 * KIB * KIB
            writer.transport.abort()

    run(main())


# ---------------------------------------------------------------- time


SHORT = ListenerLimits(header_timeout_ms=100, idle_timeout_ms=300, linger_ms=50, tick_s=0.02)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /echo HTT", 408),
        (b"GET /echo HTTP/1.1\r\nHost: a\r\nX: ", 408),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc", 408),
        (b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc", 408),
        (b"", None),
        (b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ],
)
def test_slow_and_silent_clients(run, open_door, sent: bytes, status: int | None) -> None:
    """A head, a body or a connection that does not go on ends with its limit; half requests are told why."""

    async def main() -> None:
        async with open_door(ROUTES, SHORT) as door:
            received = await door.send(sent, end=False)
            assert [answer.status for answer in door.parse(received)] == ([] if status is None else [status])

    run(main())


def test_one_byte_at_a_time(run, open_door) -> None:
    """A head that trickles in is cut off by its own limit, however busy the connection looks."""

    async def main() -> None:
        async with open_door(ROUTES, SHORT) as door:
            reader, writer = await door.connect()
            for byte in get("/echo", b"X: " + b"y" * 4_000 + b"\r\n"):
                writer.write(bytes([byte]))
                await asyncio.sleep(0.005)
                if any(connection.closing for connection in door.listener.connections):
                    break
            (answer,) = door.parse(await reader.read())
            assert answer.status == 408
            assert "HEADER_TIMEOUT_MS" in json.loads(answer.body)["Message"]
            writer.close()

    run(main())


def test_a_long_answer_is_not_silence(run, open_door) -> None:
    """A request that takes longer than the idle limit is answered."""

    async def main() -> None:
        async with open_door(ROUTES, SHORT) as door:
            (answer,) = await door.ask(get("/slow?ms=500"))
            assert answer.body == b"slow"

    run(main())


# ---------------------------------------------------------------- the end


def test_more_connections_than_allowed(run, open_door) -> None:
    """A connection above the limit gets 503 with Retry-After; the others stay."""

    async def main() -> None:
        async with open_door(ROUTES, ListenerLimits(connections_max=2)) as door:
            first, second = await door.connect(), await door.connect()
            await asyncio.sleep(0.02)
            (answer,) = door.parse(await door.send(b"", end=False))
            assert (answer.status, answer.fields["retry-after"]) == (503, "1")
            first[1].write(get("/echo?text=1"))
            await first[0].readuntil(b"\r\n\r\n1")
            first[1].close()
            second[1].close()

    run(main())


def test_draining(run, open_door) -> None:
    """Idle connections end at once, what runs is answered with Connection: close, nothing new is accepted."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            idle, busy = await door.connect(), await door.connect()
            busy[1].write(get("/slow?ms=100"))
            await asyncio.sleep(0.03)
            draining = asyncio.ensure_future(door.listener.drain(grace_seconds=2))
            assert await idle[0].read() == b""
            (answer,) = door.parse(await busy[0].read())
            busy[1].close()
            await draining
            assert (answer.body, answer.fields["connection"]) == (b"slow", "close")
            with pytest.raises(OSError):
                await door.connect()
            assert not door.listener.connections

    run(main())


def test_draining_has_an_end(run, open_door) -> None:
    """What is not finished within the grace time does not keep the server."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            reader, writer = await door.connect()
            writer.write(get("/slow?ms=10000"))
            await asyncio.sleep(0.02)
            await door.listener.drain(grace_seconds=0.05)
            door.listener.close()
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()

    run(main())


def test_closing_is_announced_and_kept(run, open_door) -> None:
    """Connection: close and HTTP/1.0 end the connection after the answer; what follows is not answered."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            answers = await door.ask(get("/echo?text=1", b"Connection: close\r\n") + get("/echo?text=2"))
            assert [answer.body for answer in answers] == [b"1"]
            assert answers[0].fields["connection"] == "close"
            answers = await door.ask(b"GET /echo?text=1 HTTP/1.0\r\n\r\n")
            assert answers[0].fields["connection"] == "close"

    run(main())

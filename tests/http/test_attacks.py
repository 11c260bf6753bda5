"""The corpus of hostile requests: each line of bytes gets exactly the answers that its case names."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from pynori.http.request import Request
from pynori.http.response import Response, field
from pynori.http.routes import Body, Permission, Route
from pynori.limits import REQUEST_HEAD_SIZE_BYTES_MAX, REQUEST_HEADERS_MAX, REQUEST_LINE_SIZE_BYTES_MAX

FOLDER = Path(__file__).parent / "testdata" / "attacks"


def echo(request: Request) -> Response:
    return Response(200, request.body, field("X-Text", request.text("text")))


ROUTES = (
    Route("GET", "/echo", echo, Permission.NONE, Body.WHOLE, 1_000),
    Route("POST", "/echo", echo, Permission.NONE, Body.WHOLE, 1_000),
)


def unescape(text: str) -> bytes:
    """The bytes that a line of the corpus stands for."""
    known = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}

    def replace(match: re.Match[bytes]) -> bytes:
        code = match.group(1)
        return bytes([int(code[1:], 16)]) if code[:1] == b"x" else known[code.decode()]

    return re.sub(rb"\\(x[0-9a-f]{2}|.)", replace, text.encode())


def cases() -> list[tuple[str, bytes, list[int]]]:
    found = []
    for path in sorted(FOLDER.glob("*.txt")):
        for text in path.read_text().split("\ncase ")[1:]:
            name, *lines = text.strip().split("\n")
            *data, expected = lines
            assert expected.startswith("----"), name
            statuses = [int(word) for word in expected[4:].split()]
            found.append((f"{path.stem}: {name}", unescape("".join(data)), statuses))
    return found


CASES = cases()


@pytest.mark.parametrize(("name", "data", "statuses"), CASES, ids=[name for name, _, _ in CASES])
def test_attack(run, open_door, name: str, data: bytes, statuses: list[int]) -> None:
    """One case of the corpus: in one piece and byte by byte the answers are the same, and then the connection ends."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            assert [answer.status for answer in await door.ask(data)] == statuses
            reader, writer = await door.connect()
            for byte in data:
                if writer.transport.is_closing():
                    break  # the server has closed already
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            else:
                writer.write_eof()
            assert [answer.status for answer in door.parse(await reader.read())] == statuses
            writer.close()

    run(main())


def test_the_corpus_is_there() -> None:
    """The files were found and read; names are unique."""
    names = [name for name, _, _ in CASES]
    assert len(names) > 60
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("limit", "head"),
    [
        (
            "REQUEST_LINE_SIZE_BYTES_MAX",
            b"GET /" + b"a" * REQUEST_LINE_SIZE_BYTES_MAX + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "REQUEST_LINE_SIZE_BYTES_MAX",
            b"GET /echo HTTP/1.1\r\nHost: a\r\nX: " + b"a" * REQUEST_LINE_SIZE_BYTES_MAX + b"\r\n\r\n",
        ),
        (
            "REQUEST_HEADERS_MAX",
            b"GET /echo HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * REQUEST_HEADERS_MAX + b"\r\n",
        ),
        (
            "REQUEST_HEAD_SIZE_BYTES_MAX",
            b"GET /echo HTTP/1.1\r\nHost: a\r\n"
            + b"X: %b\r\n" % (b"y" * 4_000) * (REQUEST_HEAD_SIZE_BYTES_MAX // 4_000 + 1)
            + b"\r\n",
        ),
        ("REQUEST_HEAD_SIZE_BYTES_MAX", b"GET /echo HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 1_000_000),
        ("REQUEST_LINE_SIZE_BYTES_MAX", b"GET /" + b"a" * 1_000_000),
    ],
)
def test_heads_beyond_the_limits(run, open_door, limit: str, head: bytes) -> None:
    """A head beyond a limit is refused with the limit's name, also when it never ends."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            reader, writer = await door.connect()
            for at in range(0, len(head), 10_000):
                writer.write(head[at : at + 10_000])
                await asyncio.sleep(0.001)
            (answer,) = door.parse(await reader.read())
            assert answer.status == 400
            assert limit in answer.body.decode()
            writer.close()

    run(main())


def test_answers_cannot_be_split(run, open_door) -> None:
    """Line ends in a value never reach a header line."""

    async def main() -> None:
        async with open_door(ROUTES) as door:
            (answer,) = await door.ask(b"GET /echo?text=a%0d%0aEvil:%20y HTTP/1.1\r\nHost: a\r\n\r\n")
            assert answer.fields["x-text"] == "a%0D%0AEvil: y"
            assert "evil" not in answer.fields

    run(main())

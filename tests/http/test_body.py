"""The gzip decoder and the stream on their own: pieces of every size, limits, failures."""

from __future__ import annotations

import asyncio
import gzip
import random
import zlib

import pytest

from pynori.errors import BadRequest, LimitExceeded, PayloadTooLarge
from pynori.http.body import BodyBroken, BodyStream, BufferedBody
from pynori.limits import STREAM_BUFFER_SIZE_BYTES_MAX

MIB = 1024 * 1024


@pytest.mark.parametrize("step", [1, 13, 1_000, 100_000])
def test_buffered_gzip_in_pieces(step: int) -> None:
    """The same body comes out wherever the compressed bytes were cut."""
    text = random.Random(7).randbytes(30_000) + b"a" * 300_000
    packed = gzip.compress(text)
    body = BufferedBody(MIB, gzip=True)
    for at in range(0, len(packed), step):
        body.push(packed[at : at + step])
    assert body.take() == text


def test_ratio_just_under_and_above_the_limit() -> None:
    """A body of much sameness passes below the free size, and is refused above it when the ratio is beyond 100."""
    small = BufferedBody(4 * MIB, gzip=True)
    small.push(gzip.compress(bytes(900_000)))
    assert len(small.take()) == 900_000
    mixed = BufferedBody(4 * MIB, gzip=True)
    noise = random.Random(1).randbytes(40_000)
    mixed.push(gzip.compress(noise + bytes(3 * MIB)))
    assert len(mixed.take()) == 40_000 + 3 * MIB
    with pytest.raises(LimitExceeded, match="DECOMPRESSION_RATIO_MAX"):
        BufferedBody(4 * MIB, gzip=True).push(gzip.compress(bytes(3 * MIB)))


def test_size_counts_what_was_made() -> None:
    """The route's limit holds for the decompressed size."""
    body = BufferedBody(1_000, gzip=True)
    with pytest.raises(PayloadTooLarge):
        body.push(gzip.compress(bytes(1_001)))


def test_stream_of_gzip_with_flushes() -> None:
    """What a client has flushed can be read before the stream ends."""
    async def main() -> None:
        packer = zlib.compressobj(wbits=31)
        stream = BodyStream(gzip=True, on_read=lambda: None)
        stream.push(packer.compress(b"first") + packer.flush(zlib.Z_SYNC_FLUSH))
        assert await stream.read() == b"first"
        stream.push(packer.compress(b"second") + packer.flush())
        stream.end()
        assert await stream.read() == b"second"
        assert await stream.read() == b""

    asyncio.run(main())


def test_stream_of_a_large_gzip_comes_in_steps() -> None:
    """One small compressed piece becomes many pieces of bounded size."""

    async def main() -> None:
        noise = random.Random(2).randbytes(200_000)
        stream = BodyStream(gzip=True, on_read=lambda: None)
        stream.push(gzip.compress(noise + bytes(5 * MIB)))
        stream.end()
        sizes = []
        while piece := await stream.read():
            sizes.append(len(piece))
        assert sum(sizes) == 200_000 + 5 * MIB
        assert max(sizes) <= MIB

    asyncio.run(main())


def test_stream_reports_room_once() -> None:
    """The connection hears of free room when the stream goes from full to not full."""

    async def main() -> None:
        heard = []
        stream = BodyStream(gzip=False, on_read=lambda: heard.append(stream.buffered))
        for _ in range(3):
            stream.push(bytes(STREAM_BUFFER_SIZE_BYTES_MAX // 2))
        assert stream.full
        await stream.read()
        assert not stream.full
        await stream.read()
        assert heard == [STREAM_BUFFER_SIZE_BYTES_MAX // 2 * 2]

    asyncio.run(main())


def test_stream_failures() -> None:
    """A failure is raised behind what has arrived; after the end there is none; a cut gzip stream is refused."""

    async def main() -> None:
        stream = BodyStream(gzip=False, on_read=lambda: None)
        stream.push(b"x")
        stream.fail(BodyBroken("gone"))
        assert await stream.read() == b"x"
        with pytest.raises(BodyBroken):
            await stream.read()
        whole = BodyStream(gzip=False, on_read=lambda: None)
        whole.end()
        whole.fail(BodyBroken("gone"))
        assert await whole.read() == b""
        cut = BodyStream(gzip=True, on_read=lambda: None)
        cut.push(gzip.compress(b"abc" * 100)[:-9])
        cut.end()
        with pytest.raises(BadRequest, match="ends before"):
            while await cut.read():
                pass

    asyncio.run(main())

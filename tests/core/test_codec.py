"""LZ4 through function addresses: round trips, exact sizes, refusals by name."""

import contextlib
import random
import subprocess
import sys
from pathlib import Path

import lz4.block
import pytest
from pynori_core import arena, codec
from pynori_core.errors import CorruptError

from pynori.runtime import codecs


def test_round_trip_and_the_wheel_reads_what_we_write() -> None:
    """Blocks are plain LZ4: the wheel's own Python face decompresses them and the other way round."""
    rand = random.Random(3)
    for size in [0, 1, 2, 100, 4096, 70_000]:
        source = bytes(rand.choice(b"abcdef") for _ in range(size))
        block = codec.compress(source)
        assert codec.decompress(block, size) == source
        if size:
            assert lz4.block.decompress(block, uncompressed_size=size) == source
            assert codec.decompress(lz4.block.compress(source, store_size=False), size) == source


def test_length_must_be_exact() -> None:
    """A block that holds more or fewer bytes than announced is corrupt."""
    block = codec.compress(b"x" * 1000)
    for size in (0, 1, 999, 1001, 100_000):
        with pytest.raises(CorruptError):
            codec.decompress(block, size)


def test_damaged_blocks_are_refused_or_give_the_announced_size() -> None:
    """Any bytes may be handed in: the answer is corrupt, or exactly as many bytes as asked for."""
    rand = random.Random(11)
    block = bytearray(codec.compress(bytes(range(256)) * 8))
    for _ in range(500):
        damaged = bytearray(block[: rand.randrange(1, len(block) + 1)])
        damaged[rand.randrange(len(damaged))] = rand.randrange(256)
        with contextlib.suppress(CorruptError):
            assert len(codec.decompress(damaged, 2048)) == 2048
    with pytest.raises(CorruptError):
        codec.decompress(b"", 0)


def test_build_without_the_functions_is_refused_by_name(tmp_path: Path) -> None:
    """A shared object that does not export LZ4 is named together with the missing function."""
    with pytest.raises(codecs.MissingCodec, match=r"arena.*does not export LZ4_compress_default"):
        codecs.find_addresses(arena.__file__)
    with pytest.raises(ValueError, match="not 0"):
        codec.codec_install(0, 1, 1)


def test_engine_without_codec_says_so() -> None:
    """Before anything is installed the engine answers with a text that names the module to import."""
    script = (
        "from pynori_core import arena, codec\n"
        "assert not codec.codec_installed()\n"
        "for call in (lambda: codec.compress(b'abc'), lambda: codec.decompress(b'abc', 3)):\n"
        "    try:\n"
        "        call()\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("InvalidArgument no LZ4 codec is installed") for line in lines)

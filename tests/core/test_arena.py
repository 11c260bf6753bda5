"""The bump allocator: alignment, limit, and that a reset keeps its chunks."""

import itertools
import random

from pynori_core.arena import ArenaOwner


def test_pieces_are_aligned_and_do_not_overlap() -> None:
    """Every piece starts at a multiple of its alignment and no two share a byte."""
    arena = ArenaOwner(64 << 20)
    rand = random.Random(5)
    pieces = []
    for _ in range(3000):
        size = rand.choice([0, 1, 7, 8, 100, 1000, 70_000])
        align = rand.choice([1, 2, 4, 8, 16, 64])
        address = arena.take(size, align)
        assert address is not None
        assert address % align == 0
        if size:
            pieces.append((address, size))
        if arena.taken_bytes > 20 << 20:
            break
    pieces.sort()
    for (address, size), (following, _) in itertools.pairwise(pieces):
        assert address + size <= following


def test_limit_is_kept_and_refusal_is_none() -> None:
    """Beyond the limit a take answers None and takes nothing, and smaller pieces may still fit."""
    arena = ArenaOwner(100_000)
    assert arena.take(200_000) is None
    assert arena.take(50_000) is not None
    assert arena.take(60_000) is None
    assert arena.take(10_000) is not None
    assert arena.chunk_bytes <= 100_000
    assert arena.take(2**64 - 1) is None
    assert arena.take(2**64 - 10, 64) is None


def test_reset_keeps_chunks_and_reuses_them() -> None:
    """The same work after a reset takes no new memory, also when it spans several chunks."""
    arena = ArenaOwner(64 << 20)
    for _ in range(5):
        for _ in range(500):
            assert arena.take(1000) is not None
        kept = arena.chunk_bytes
        arena.reset()
        assert arena.taken_bytes == 0
        assert arena.chunk_bytes == kept
    first = arena.take(10)
    arena.reset()
    assert arena.take(10) == first
    assert arena.chunk_bytes == kept


def test_large_piece_after_reset_passes_over_small_chunks() -> None:
    """A piece larger than the kept chunks gets one of its own, and release gives all of it back."""
    arena = ArenaOwner(8 << 20)
    assert arena.take(100) is not None
    arena.reset()
    assert arena.take(1 << 20) is not None
    assert arena.take(100) is not None
    arena.release()
    assert arena.chunk_bytes == 0
    assert arena.take(100) is not None


def test_alignment_beyond_its_bound_is_refused() -> None:
    """Only powers of two up to 64 are alignments."""
    arena = ArenaOwner(1 << 20)
    assert arena.take(8, 128) is None
    assert arena.take(8, 0) is None
    assert arena.take(8, 3) is None

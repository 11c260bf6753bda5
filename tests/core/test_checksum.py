"""XXH3 against the reference implementation, on every path that this processor can run."""

import random

import pytest
import xxhash
from pynori_core.checksum import PATHS, xxh3_64_of, xxh3_128_of

SEEDS = [0, 1, 0x9E3779B185EBCA87, 2**63, 2**64 - 1]
# Around the borders of blocks (1024) and stripes (64), and sizes of pages.
LARGE = [2047, 2048, 2049, 4095, 4096, 4160, 8191, 8192, 8193, 65536, 100_003, 1_048_577]


def noise(size: int) -> bytes:
    return random.Random(20).randbytes(size)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_size_up_to_1100_equals_the_reference(seed: int) -> None:
    """All size classes and their borders give the reference's values in both widths."""
    data = noise(1100)
    for size in range(1101):
        part = data[:size]
        assert xxh3_64_of(part, seed) == xxhash.xxh3_64_intdigest(part, seed), size
        assert xxh3_128_of(part, seed) == xxhash.xxh3_128_intdigest(part, seed), size


@pytest.mark.parametrize("path", sorted(PATHS))
def test_every_instruction_set_gives_the_reference_values(path: str) -> None:
    """The plain, SSE2 and AVX2 loops agree with the reference on inputs of many blocks."""
    data = noise(max(LARGE))
    for size in [*LARGE, *range(241, 1200, 37)]:
        for seed in SEEDS:
            part = data[:size]
            assert xxh3_64_of(part, seed, path) == xxhash.xxh3_64_intdigest(part, seed), size
            assert xxh3_128_of(part, seed, path) == xxhash.xxh3_128_intdigest(part, seed), size


def test_unaligned_input_is_the_same_input() -> None:
    """The value depends on the bytes, not on the address they lie at."""
    data = noise(3000)
    for start in range(16):
        shifted = memoryview(bytes(start) + data)[start:]
        assert xxh3_64_of(shifted, 7) == xxh3_64_of(data, 7)


def test_one_flipped_bit_changes_the_value() -> None:
    """Any single damaged bit of a page is seen."""
    page = bytearray(noise(4096))
    good = xxh3_64_of(page, 41)
    for bit in random.Random(21).sample(range(4096 * 8), 500):
        page[bit // 8] ^= 1 << bit % 8
        assert xxh3_64_of(page, 41) != good
        page[bit // 8] ^= 1 << bit % 8
    assert xxh3_64_of(page, 41) == good
    assert xxh3_64_of(page, 42) != good

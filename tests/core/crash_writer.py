"""The child of the kill tests: commits numbered transactions until it is killed, and says which ones were acknowledged.

What transaction n does to the pages follows from (seed, n) alone, so the parent can say what must be there.
"""

import random
import struct
import sys

from pynori_core.env import Env

PAGES = 24
LOWER_OFFSET = 34
PLAIN = 2
LEAF = 4


def pages_of(env_first: int = 3) -> list[int]:
    """Page numbers that the first transaction gets in a new environment: in order, around the second header."""
    return [number for number in range(env_first, env_first + PAGES + 1) if number != 8][:PAGES]


def patches(seed: int, number: int) -> list[tuple[int, int, bytes]]:
    """(page, offset, bytes) of transaction `number`; every transaction stamps its number into the first page."""
    dice = random.Random(f"{seed}/{number}")
    pages = pages_of()
    result = [(pages[0], 64, struct.pack("<Q", number))]
    for _ in range(dice.randrange(1, 10)):
        size = dice.choice((8, 40, 700, 5000))
        offset = dice.randrange(72, 8192 - size)
        result.append((dice.choice(pages), offset, dice.randbytes(size)))
    return result


def write(txn: object, seed: int, number: int) -> None:
    if number == 1:
        for page in pages_of():
            assert txn.allocate(type=PLAIN) == page
    for page, offset, data in patches(seed, number):
        txn.patch(page, offset, data)


def images(seed: int, number: int) -> dict[int, bytearray]:
    """Every page's bytes after its header as of transaction `number`."""
    result = {page: bytearray(8192) for page in pages_of()}
    for done in range(1, number + 1):
        for page, offset, data in patches(seed, done):
            result[page][offset : offset + len(data)] = data
    return result


def main() -> None:
    directory, seed, checkpoint_bytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    env = Env.open(directory, checkpoint_bytes=checkpoint_bytes)
    number = env.statistics()["published_txn"]
    while True:
        number += 1
        with env.write() as txn:
            write(txn, seed, number)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Recovery of a journal of 256 MB, the start of a small database, and creation and closing of empty ones.

Run: PYTHONPATH=ext:. python bench/bench_recovery.py [directory]. Goals: 2 s for 256 MB, 5 ms to create and close.
"""

import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from pynori_core.env import Env

import pynori.runtime.codecs  # installs LZ4

assert pynori.runtime.codecs

JOURNAL_BYTES = 256 << 20
PAGES = 12_000
PAGES_A_TXN = 64
ROUNDS = 20


def fill(directory: Path, copy: Path) -> int:
    """Commits of random page changes until the journals hold enough; the files of a crash go to `copy`."""
    dice = random.Random(1)
    pool = dice.randbytes(1 << 20)
    with Env.create(directory, checkpoint_bytes=1 << 40) as env:
        pages: list[int] = []
        while len(pages) < PAGES:
            with env.write() as txn:
                for _ in range(500):
                    pages.append(txn.allocate(type=2))
        while env.statistics()["journal_bytes"] < JOURNAL_BYTES:
            with env.write() as txn:
                for page in dice.sample(pages, PAGES_A_TXN):
                    start = dice.randrange(len(pool) - 8000)
                    txn.patch(page, dice.randrange(64, 4000), pool[start : start + dice.choice((100, 1000, 4000))])
        shutil.copytree(directory, copy)
        return int(env.statistics()["commits"])


def main() -> None:
    parent = sys.argv[1] if len(sys.argv) > 1 else "."
    with tempfile.TemporaryDirectory(dir=parent) as name:
        directory = Path(name)
        commits = fill(directory / "env", directory / "crash")
        start = time.perf_counter()
        env = Env.open(directory / "crash")
        elapsed = time.perf_counter() - start
        env.close()
        print(f"recovery of {JOURNAL_BYTES >> 20} MB, {commits} transactions: {elapsed:.2f} s")
        times: dict[str, list[float]] = {"create": [], "first commit": [], "close": [], "open": []}
        for index in range(ROUNDS):
            small = directory / f"small{index}"
            marks = [time.perf_counter()]
            env = Env.create(small)
            marks.append(time.perf_counter())
            with env.write() as txn:
                txn.allocate(type=2)
            marks.append(time.perf_counter())
            env.close()
            marks.append(time.perf_counter())
            env = Env.open(small)
            marks.append(time.perf_counter())
            env.close()
            for (_, values), before, after in zip(times.items(), marks, marks[1:], strict=False):
                values.append((after - before) * 1000)
        print(", ".join(f"{what} {statistics.median(values):.2f} ms" for what, values in times.items()))


if __name__ == "__main__":
    main()

"""Durable single commits against the disk's own limit: a preallocated 4 KB overwrite with fdatasync, in the same run.

Run: PYTHONPATH=ext:. python bench/bench_commit.py [directory]. Prints rates and their ratio; the goal is 0.9. The two
are measured in turns, because other load on the machine comes and goes; the medians are compared.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from pynori_core.env import Env

ROUNDS = 9
COMMITS = 1500
PAGES = 4


def overwrite_rate(path: Path) -> float:
    """4 KB overwrites a second, each with fdatasync, of a file that was written before."""
    block = os.urandom(4096)
    descriptor = os.open(path, os.O_RDWR)
    start = time.perf_counter()
    for index in range(COMMITS):
        os.pwrite(descriptor, block, (index % 4096) * 4096)
        os.fdatasync(descriptor)
    elapsed = time.perf_counter() - start
    os.close(descriptor)
    return COMMITS / elapsed


def commit_rate(env: Env, pages: list[int], start_value: int) -> float:
    """Commits a second that change a few bytes in each of the pages."""
    start = time.perf_counter()
    for index in range(COMMITS):
        value = (start_value + index).to_bytes(8, "little") * 4
        with env.write() as txn:
            for page in pages:
                txn.patch(page, 256 + (index * 32) % 4096, value)
    return COMMITS / (time.perf_counter() - start)


def main() -> None:
    parent = sys.argv[1] if len(sys.argv) > 1 else "."
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        plain = Path(directory) / "plain"
        with plain.open("wb") as file:
            file.write(b"\1" * (4096 * 4096))
            os.fsync(file.fileno())
        with Env.create(Path(directory) / "env") as env:
            with env.write() as txn:
                pages = [txn.allocate(type=2) for _ in range(PAGES)]
            overwrites, commits = [], []
            for round_number in range(ROUNDS):
                overwrites.append(overwrite_rate(plain))
                commits.append(commit_rate(env, pages, round_number * COMMITS))
            statistics_after = env.statistics()
    overwrite, commit = statistics.median(overwrites), statistics.median(commits)
    print(f"overwrite 4 KB + fdatasync: {overwrite:,.0f}/s")
    print(f"commit of {PAGES} changed pages: {commit:,.0f}/s, ratio {commit / overwrite:.2f}")
    print(f"journal bytes a commit: {statistics_after['journal_bytes'] / statistics_after['commits']:,.0f}")


if __name__ == "__main__":
    main()

"""Histories of whole nodes for as long as is asked: `ci/soak nodes [MINUTES]`, or `ci/soak nodes --seed N` for one.

Goes on with the seeds where the ledger stopped, in one process for each processor. Prints what was wrong with each seed
that fails, and appends one line to tests/ledger/nodes.md. `--seed N` prints the history of one seed line by line.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation.world import Result, run

ROOT = Path(__file__).resolve().parents[2]
LEDGER = ROOT / "tests" / "ledger" / "nodes.md"
FIRST_SEED = 100_000  # those below belong to the tests of every change
SEEDS_PER_JOB = 10
LINE = re.compile(r"^\| \d{4}-\d\d-\d\d \| \w+ \| (\d+) to (\d+) \|", re.MULTILINE)


def run_job(first: int) -> list[Result]:
    """Run a number of seeds."""
    return [run(seed) for seed in range(first, first + SEEDS_PER_JOB)]


def commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"


def soak(minutes: float, workers: int) -> int:
    """Run until the time is over; returns the number of seeds that failed."""
    start = time.monotonic()
    ledger = LEDGER.read_text()
    first = seed = max((int(match[2]) + 1 for match in LINE.finditer(ledger)), default=FIRST_SEED)
    counts: Counter[str] = Counter()
    failed: list[Result] = []
    virtual_s = slowest_s = 0.0
    with ProcessPoolExecutor(workers) as pool:
        while time.monotonic() - start < minutes * 60:
            jobs = [seed + number * SEEDS_PER_JOB for number in range(workers)]
            seed += workers * SEEDS_PER_JOB
            for result in (each for job in pool.map(run_job, jobs) for each in job):
                counts += result.counts
                virtual_s += result.virtual_s
                slowest_s = max(slowest_s, result.healed_s)
                if result.failure:
                    failed.append(result)
                    print(f"seed {result.seed}: {result.failure[:400]}", flush=True)
    acts = sum(count for name, count in counts.items() if not name.startswith("fault:") and "refused" not in name)
    faults = sum(count for name, count in counts.items() if name.startswith("fault:"))
    line = (
        f"| {time.strftime('%Y-%m-%d', time.gmtime())} | {commit()} | {first} to {seed - 1} | {virtual_s / 3_600:.1f} "
        f"| {acts} | {faults} | {slowest_s:.1f} | {len(failed)} | {(time.monotonic() - start) / 60:.1f} |\n"
    )
    LEDGER.write_text(ledger + line)
    print(line, end="")
    print(", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    return len(failed)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("minutes", nargs="?", type=float, default=10.0)
    arguments.add_argument("--seed", type=int)
    arguments.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = arguments.parse_args()
    if given.seed is None:
        return int(soak(given.minutes, given.workers) > 0)
    result = run(given.seed, is_traced=True)
    print("\n".join(result.lines))
    print(f"{result.plan}\n{dict(result.counts)}\nseed {given.seed}: {result.failure or 'nothing is wrong'}")
    return int(bool(result.failure))


if __name__ == "__main__":
    sys.exit(main())

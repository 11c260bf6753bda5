"""Crash images for as long as is asked: `python -m tests.core.crash_soak storage|indexes MINUTES`, through `ci/soak`.

Goes on with the seeds where the ledger stopped, and deals out the sequences of up to three steps in parts. Prints
totals after each round and appends one line to tests/ledger/storage.md or indexes.md.
"""

import re
import subprocess
import sys
import time

from tests.core.crash_explorer import Totals
from tests.core.crash_jobs import ROOT, run_jobs

LEDGERS = ROOT / "tests" / "ledger"
SEEDS_PER_JOB = 20
SEQUENCE_PARTS = 128
FIRST_SEED = 100000  # those below belong to the tests of every change
LINE = re.compile(r"^\| \d{4}-\d\d-\d\d \| \w+ \| \w+ \| (\d+) to (\d+) \|", re.MULTILINE)


def next_seed(ledger: str) -> int:
    return max((int(match[2]) + 1 for match in LINE.finditer(ledger)), default=FIRST_SEED)


def round_jobs(run: str, seed: int) -> list[list[str]]:
    """What one round does with the seeds from `seed` on."""
    number = (seed - FIRST_SEED) // (4 * SEEDS_PER_JOB)
    part = str(number % SEQUENCE_PARTS)
    if run == "indexes":
        firsts = range(seed, seed + 4 * SEEDS_PER_JOB, SEEDS_PER_JOB)
        jobs = [["seeds", "indexes", str(first), str(SEEDS_PER_JOB), "1000"] for first in firsts]
        return [*jobs, ["sequences", "indexes", "3", part, str(SEQUENCE_PARTS)]]
    return [
        ["seeds", "trees", str(seed), str(SEEDS_PER_JOB), "2000"],
        ["seeds", "documents", str(seed + SEEDS_PER_JOB), str(SEEDS_PER_JOB), "1000"],
        ["seeds", "trees", str(seed + 2 * SEEDS_PER_JOB), str(SEEDS_PER_JOB), "700"],
        ["seeds", "documents", str(seed + 3 * SEEDS_PER_JOB), str(SEEDS_PER_JOB), "500"],
        ["sequences", "trees" if number % 2 else "documents", "3", part, str(SEQUENCE_PARTS)],
    ]


def commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"


def main() -> int:
    run = sys.argv[1]
    start = time.monotonic()
    end = start + float(sys.argv[2]) * 60
    path = LEDGERS / f"{run}.md"
    ledger = path.read_text()
    first = seed = next_seed(ledger)
    totals = Totals()
    while time.monotonic() < end and not totals.findings:
        totals.add(run_jobs(round_jobs(run, seed)))
        seed += 4 * SEEDS_PER_JOB
        print(f"{time.monotonic() - start:.0f} s, seeds to {seed - 1}: {totals}", flush=True)
    minutes = (time.monotonic() - start) / 60
    line = (
        f"| {time.strftime('%Y-%m-%d', time.gmtime())} | {commit()} | {run} | {first} to {seed - 1} "
        f"| {totals.images} | {totals.inside_recovery} | {totals.lives} | {len(totals.findings)} | {minutes:.1f} |\n"
    )
    path.write_text(ledger + line)
    print(line, end="")
    print("\n".join(totals.findings))
    return int(bool(totals.findings))


if __name__ == "__main__":
    sys.exit(main())

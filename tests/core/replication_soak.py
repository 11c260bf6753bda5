"""Histories of instances for as long as is asked: `python -m tests.core.replication_soak MINUTES`, through `ci/soak`.

Goes on with the seeds where the ledger stopped, two processes at a time, and appends a line to
tests/ledger/replication.md. A failing seed is replayed with `run_history(SEED, STEPS)` of replication_world.py.
"""

import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.core.crash_jobs import ROOT
from tests.core.crash_soak import commit
from tests.core.replication_world import run_history

LEDGER = ROOT / "tests" / "ledger" / "replication.md"
FIRST_SEED = 100_000
SEEDS_PER_JOB = 50
JOBS_AT_ONCE = 2
LINE = re.compile(r"^\| \d{4}-\d\d-\d\d \| \w+ \| (\d+) to (\d+) \|", re.MULTILINE)


def steps_of(seed: int) -> int:
    """Short histories find what is simple, long ones what takes many steps to come about."""
    return (30, 60, 120, 200, 300)[seed % 5]


def run_seeds(first: int) -> tuple[int, int, list[str]]:
    """(acknowledged writes, conflicts seen, findings) of some histories."""
    writes = conflicts = 0
    findings = []
    for seed in range(first, first + SEEDS_PER_JOB):
        try:
            world = run_history(seed, steps_of(seed))
            writes += len(world.ledger)
            conflicts += world.conflicts_seen
        except Exception as error:
            findings.append(f"seed {seed}: {type(error).__name__}: {error}")
    return writes, conflicts, findings


def main() -> int:
    start = time.monotonic()
    end = start + float(sys.argv[1]) * 60
    ledger = LEDGER.read_text()
    first = seed = max((int(match[2]) + 1 for match in LINE.finditer(ledger)), default=FIRST_SEED)
    writes = conflicts = 0
    findings: list[str] = []
    with ProcessPoolExecutor(JOBS_AT_ONCE) as pool:
        while time.monotonic() < end and not findings:
            firsts = [seed + job * SEEDS_PER_JOB for job in range(2 * JOBS_AT_ONCE)]
            for result in pool.map(run_seeds, firsts):
                writes, conflicts, findings = writes + result[0], conflicts + result[1], findings + result[2]
            seed = firsts[-1] + SEEDS_PER_JOB
            print(f"{time.monotonic() - start:.0f} s, seeds to {seed - 1}: {writes} writes", flush=True)
    line = (
        f"| {time.strftime('%Y-%m-%d', time.gmtime())} | {commit()} | {first} to {seed - 1} | {writes} | {conflicts} "
        f"| {len(findings)} | {(time.monotonic() - start) / 60:.1f} |\n"
    )
    LEDGER.write_text(ledger + line)
    print(line, end="")
    print("\n".join(findings))
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())

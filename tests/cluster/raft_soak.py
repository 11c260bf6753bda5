"""Simulated clusters for as long as is asked: `python -m tests.cluster.raft_soak MINUTES`, through `ci/soak raft`.

Goes on with the seeds where the ledger stopped, in one process for each processor. Prints the end of the history of
each seed that fails, and appends one line to tests/ledger/raft.md.
"""

import os
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.cluster.simulation.world import TICK, report, run

ROOT = Path(__file__).resolve().parent.parent.parent
LEDGER = ROOT / "tests" / "ledger" / "raft.md"
FIRST_SEED = 100000  # those below belong to the tests of every change
SEEDS_PER_JOB = 50
LINE = re.compile(r"^\| \d{4}-\d\d-\d\d \| \w+ \| (\d+) to (\d+) \|", re.MULTILINE)
# Failing histories that are printed; the others are named by their seed.
REPORTS_MAX = 3


def run_job(first: int) -> tuple[Counter[str], list[int], int]:
    """Run a number of seeds; return what they counted, the seeds that failed, the longest time to a leader."""
    counts: Counter[str] = Counter()
    failed, slowest = [], 0
    for seed in range(first, first + SEEDS_PER_JOB):
        result = run(seed)
        counts += result.counts
        counts["events"] += result.events
        if result.plan.pre_vote:
            counts["heals with pre-vote"] += 1
            slowest = max(slowest, result.healed_time)
        if result.failure:
            failed.append(seed)
    return counts, failed, slowest


def commit() -> str:
    """Return the commit that runs."""
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"


def main() -> int:
    """Run until the time is over or a seed fails."""
    start = time.monotonic()
    end = start + float(sys.argv[1]) * 60
    ledger = LEDGER.read_text()
    first = seed = max((int(match[2]) + 1 for match in LINE.finditer(ledger)), default=FIRST_SEED)
    counts: Counter[str] = Counter()
    failed: list[int] = []
    slowest = 0
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers) as pool:
        while time.monotonic() < end and not failed:
            jobs = [seed + number * SEEDS_PER_JOB for number in range(workers)]
            seed += workers * SEEDS_PER_JOB
            for job_counts, job_failed, job_slowest in pool.map(run_job, jobs):
                counts += job_counts
                failed += job_failed
                slowest = max(slowest, job_slowest)
            print(f"{time.monotonic() - start:.0f} s, seeds to {seed - 1}, {counts['events']} events", flush=True)
    faults = sum(counts[kind] for kind in ("partition", "one-way", "pause", "crash", "transfer", "campaign", "forget"))
    line = (
        f"| {time.strftime('%Y-%m-%d', time.gmtime())} | {commit()} | {first} to {seed - 1} | {counts['events']} "
        f"| {counts['commits']} | {counts['reads answered']} | {faults} | {counts['changes']} "
        f"| {counts['heals with pre-vote']}, {slowest / TICK:.1f} ticks | {counts['starved without pre-vote']} "
        f"| {len(failed)} | {(time.monotonic() - start) / 60:.1f} |\n"
    )
    LEDGER.write_text(ledger + line)
    print(line, end="")
    for seed in failed[:REPORTS_MAX]:
        print(report(seed))
    print(f"failed: {failed}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

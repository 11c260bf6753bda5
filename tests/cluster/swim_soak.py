"""SWIM in simulation for as long as is asked: `python -m tests.cluster.swim_soak MINUTES`, through `ci/soak swim`.

Goes on with the seeds where the ledger stopped, in one process for each processor. Each seed is an hour of 50 nodes,
two dozen kills, and all other checks. Appends one line to tests/ledger/swim.md.
"""

from __future__ import annotations

import os
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import swim_checks
from tests.damage.soak import commit

LEDGER = Path(__file__).resolve().parents[1] / "ledger" / "swim.md"
FIRST_SEED = 1_000  # those below belong to the tests of every change
KILLS = 24
LINE = re.compile(r"^\| \d{4}-\d\d-\d\d \| \w+ \| (\d+) to (\d+) \|", re.MULTILINE)


@dataclass
class Found:
    """What one seed, or all, have shown."""

    known_s: list[float] = field(default_factory=list)  # until a kill was known to all
    rates: list[tuple[float, float]] = field(default_factory=list)  # bytes per node and second, of 10 and 50 nodes
    refuted: list[float] = field(default_factory=list)  # suspicions per node and hour
    failures: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            mine.extend(theirs)


def run_seed(seed: int) -> Found:
    """Everything with one seed."""
    found = Found()
    try:
        found.refuted.append(swim_checks.quiet(seed, seconds=3_600))
        found.rates.append(swim_checks.traffic(seed))
        for number in range(KILLS):
            found.known_s.append(swim_checks.killed(seed * KILLS + number))
        for check in swim_checks.CHECKS.values():
            check(seed)
    except AssertionError as error:
        found.failures.append(f"seed {seed}: {error}")
    return found


def main() -> int:
    """Run until the time is over or a seed fails."""
    start = time.monotonic()
    end = start + float(sys.argv[1]) * 60
    ledger = LEDGER.read_text()
    first = seed = max((int(match[2]) + 1 for match in LINE.finditer(ledger)), default=FIRST_SEED)
    found = Found()
    workers = os.cpu_count() or 1
    with ProcessPoolExecutor(workers) as pool:
        while time.monotonic() < end and not found.failures:
            for each in pool.map(run_seed, range(seed, seed + workers)):
                found.add(each)
            seed += workers
            print(f"{time.monotonic() - start:.0f} s, seeds to {seed - 1}, {len(found.failures)} failed", flush=True)
    known_s = sorted(found.known_s) or [0.0]
    late = sum(each > swim_checks.KNOWN_S for each in known_s)
    small, large = (sum(rates) / len(rates) for rates in zip(*(found.rates or [(0.0, 0.0)]), strict=True))
    columns = (
        time.strftime("%Y-%m-%d", time.gmtime()), commit(), f"{first} to {seed - 1}", len(found.refuted),
        f"{sum(found.refuted) / max(1, len(found.refuted)):.1f}", len(known_s),
        f"{known_s[len(known_s) // 2]:.1f} s, {known_s[-1]:.1f} s", late, f"{small:.0f}, {large:.0f}",
        len(found.failures), f"{(time.monotonic() - start) / 60:.1f}",
    )  # fmt: skip
    line = f"| {' | '.join(map(str, columns))} |\n"
    before, marker, after = ledger.partition("\n## Planted bugs")
    LEDGER.write_text(before + line + marker + after)
    print(line, end="")
    print("\n".join(found.failures))
    return int(bool(found.failures))


if __name__ == "__main__":
    sys.exit(main())

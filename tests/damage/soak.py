"""The long form of the damage tests: every bit flip, and structured damage from a seed, with a line in the ledger.

    python -m tests.damage.soak [--seconds N] [--first BIT] [--seed N] [--ledger FILE]

Bits are taken in a fixed shuffled order, so that runs that begin where the last one ended cover all of them.
"""

import argparse
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.damage.bit_flips import BitFlips
from tests.damage.judge import Verdict, judge
from tests.damage.runner import Tally, run, workplace
from tests.damage.sample import Sample, build
from tests.damage.structured import Structured

ROOT = Path(__file__).resolve().parents[2]
LEDGER = ROOT / "tests" / "ledger" / "damage.md"
STRIDE = 1_000_003  # prime, and so coprime to every count of bits: steps of it visit each bit once


class Judge:
    """`judge` with the truth of one sample."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample

    def __call__(self, directory: Path) -> Verdict:
        return judge(directory, self._sample.answers, self._sample.shorter, self._sample.ids)


def flip_bits(sample: Sample, first: int, count: int, deadline: float = 0.0) -> Tally:
    """Judge `count` bits of the shuffled order from the `first` one on."""
    flips = BitFlips(sample)
    return run(count, lambda index: flips.case((first + index) * STRIDE % flips.count), Judge(sample), deadline)


def damage_pages(sample: Sample, other: Sample, seed: int, count: int, deadline: float = 0.0) -> Tally:
    """Judge `count` cases of structured damage."""
    return run(count, Structured(sample, other, seed).case, Judge(sample), deadline)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=3600)
    arguments.add_argument("--first", type=int, default=0, help="where in the order of bits to begin")
    arguments.add_argument("--seed", type=int, default=1, help="of sample and structured damage")
    arguments.add_argument("--ledger", type=Path, default=LEDGER)
    given = arguments.parse_args()
    place = workplace()
    sample, other = build(place / "sample", given.seed), build(place / "sample", given.seed)
    place.rmdir()
    bits = BitFlips(sample).count
    start = time.monotonic()
    flips = flip_bits(sample, given.first, bits, start + given.seconds * 0.8)
    # The last line of the order is reached when the time lets it; structured damage gets what is left.
    cases = damage_pages(sample, other, given.seed, 1_000_000, start + given.seconds)
    tried = flips.words.total()
    line = (f"| {datetime.now(UTC):%Y-%m-%d} | {commit()} | damage | seed {given.seed}, bits {given.first} to "
            f"{given.first + tried} of {bits} | {flips} | structured {cases.words.total()}: {cases} |")
    print(line)
    for failure in (flips.failures + cases.failures)[:100]:
        print(failure)
    with given.ledger.open("a") as ledger:
        ledger.write(line + "\n")
    sys.exit(1 if flips.failures or cases.failures else 0)


def commit() -> str:
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True,
                          check=True).stdout.strip()  # fmt: skip


if __name__ == "__main__":
    main()

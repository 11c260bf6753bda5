"""Histories of whole nodes under faults: nothing is lost, nobody contradicts another, and all come in order again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.world import run

ROOT = Path(__file__).resolve().parents[2]
PARTS = 8
SEEDS_PER_PART = 12


@pytest.mark.parametrize("part", range(PARTS))
def test_histories_are_right(part: int) -> None:
    """Seeds with faults of all kinds: all that clients were told holds, and in quiet every node comes in order."""
    acts = 0
    for seed in range(part * SEEDS_PER_PART, (part + 1) * SEEDS_PER_PART):
        result = run(seed)
        assert not result.failure, f"seed {seed}: {result.failure}"
        acts += result.counts["write"] + result.counts["write value"] + result.counts["transact"]
    # A history in which nothing happens proves nothing.
    assert acts > 20 * SEEDS_PER_PART


@pytest.mark.parametrize("seed", (3, 11))
def test_a_seed_gives_the_same_history(seed: int) -> None:
    """Runs of a seed are equal event for event: traced or not, and in a process that orders its sets otherwise."""
    first, second = run(seed), run(seed, is_traced=True)
    assert first.digest == second.digest and len(second.lines) > 500
    script = f"from tests.simulation.world import run; print(run({seed}).digest)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=ROOT, check=True,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
    )  # fmt: skip
    assert done.stdout.strip() == first.digest


def test_a_planted_bug_is_found() -> None:
    """A simulation that could not fail would prove nothing: a state that is told before it is durable shows itself."""
    bug = "entries are published before they are durable"
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.mutants", "--seeds", "20", bug],
        capture_output=True, text=True, timeout=300, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "| - |" not in done.stdout, done.stdout

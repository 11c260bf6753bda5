"""Crash images of the engine: sequences in full, random histories, lives after crashes, crashes inside recovery.

A finding names the image; `python -m tests.core.crash_explorer replay PROFILE 'PATH'` builds it again.
"""

from collections.abc import Iterator

import pytest
from pynori_core.journal import limit_journals
from pynori_core.sim_disk import MODES

from tests.core.crash_explorer import Cut, Finding, Totals, explore_seed, root
from tests.core.crash_jobs import run_jobs

IMAGES_MIN = 200000
JOBS = [
    *(["sequences", "trees", "2", str(part), "4"] for part in range(4)),
    *(["sequences", "documents", "2", str(part), "4"] for part in range(4)),
    *(["seeds", "trees", str(first), "30", "700"] for first in (1000, 1030)),
    ["seeds", "documents", "2000", "20", "500"],
]


@pytest.fixture(autouse=True)
def _ordinary_journals_again() -> Iterator[None]:
    """A history may make journals small for its whole process, and the tests after these share it."""
    yield
    limit_journals()


def test_no_crash_loses_or_changes_anything() -> None:
    """Of more than 200,000 crash images each opens with exactly one of the transactions that may be there."""
    totals = run_jobs(JOBS)
    print(totals)
    assert not totals.findings, "\n".join(totals.findings)
    assert totals.images >= IMAGES_MIN
    assert set(totals.modes) == set(MODES), "a mode was never used"
    assert totals.lives > 2000 and totals.inside_recovery > 10000 and totals.checked > 10000


def test_a_wrong_model_is_a_finding() -> None:
    """When the model expects one value more than was written, the explorer says so and names the image."""
    node = root("trees", "blind")
    last = max(node.states)
    node.states[last] = {**node.states[last], (b"first", b"never written"): b"x"}
    with pytest.raises(Finding, match="never written"):
        node.crash(Cut(node.disk.calls, 1), Totals())


def test_a_seed_repeats_itself() -> None:
    """The same seed gives the same images: a finding can be built again."""
    totals = [Totals(), Totals()]
    for run in totals:
        explore_seed("trees", "same", 150, run)
    assert totals[0] == totals[1]

"""Instances that write apart and hear of each other in any order end with equal versions, and lose nothing."""

import pytest

from tests.core.replication_world import run_history


@pytest.mark.parametrize("seed", range(40))
def test_convergence(seed: int) -> None:
    """E1 and E2 over short histories; `ci/soak replication` runs long ones."""
    run_history(seed, 60)


def test_histories_are_replayable_and_have_conflicts() -> None:
    """The same seed makes the same history, and histories do come into conflict."""
    first, second = run_history(7, 120), run_history(7, 120)
    assert [written.id for written in first.ledger] == [written.id for written in second.ledger]
    assert first.conflicts_seen == second.conflicts_seen > 0

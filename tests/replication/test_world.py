"""Histories of instances that write, lose their links and find each other again: nobody loses anything."""

from __future__ import annotations

import pytest

from tests.replication.world import World, wrong_in

SEEDS = 240
SEEDS_PER_TEST = 60


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_PER_TEST))
def test_instances_converge_and_lose_nothing(first: int) -> None:
    """After quiet all instances have equal versions, and each acknowledged write is covered by one."""
    conflicts = 0
    for seed in range(first, first + SEEDS_PER_TEST):
        world = World(seed)
        world.run(12 + seed % 30)
        wrong = wrong_in(world)
        assert not wrong, f"seed {seed}: " + "; ".join(wrong)
        conflicts += sum(len(versions) > 1 for versions in world.instances[0].versions().values())
    assert conflicts > 10  # or nothing was tried

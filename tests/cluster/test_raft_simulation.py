"""A simulated cluster keeps what raft promises, whatever goes wrong, and works again once nothing does."""

import pytest

from tests.cluster.simulation.world import ELECTION_TICKS, LEADER_TIME_MAX, TICK, Result, World, report, run

SEEDS_PER_PART = 25


@pytest.mark.parametrize("part", range(8))
def test_histories_keep_what_raft_promises(part: int) -> None:
    """Seeds with faults of all kinds: no invariant breaks at any step, and after the heal everybody gets on."""
    committed = answered = 0
    for seed in range(part * SEEDS_PER_PART, (part + 1) * SEEDS_PER_PART):
        result = run(seed)
        assert not result.failure, report(seed)
        committed += result.counts["commits"]
        answered += result.counts["reads answered"]
    # A simulation in which nothing happens proves nothing.
    assert committed > 20 * SEEDS_PER_PART
    assert answered > 5 * SEEDS_PER_PART


def test_a_learner_of_a_higher_term_is_not_left_behind() -> None:
    """Without pre-vote and quorum check nobody else would ever hear of its term."""
    assert not run(102572).failure


def test_a_seed_gives_the_same_history() -> None:
    """Two runs of a seed are equal event for event, traced or not."""

    def essence(result: Result) -> tuple[object, ...]:
        return result.plan, result.events, result.healed_time, result.counts, result.failure

    for seed in (3, 11, 42):
        traced = World(seed, is_traced=True)
        first, second = traced.run(), World(seed).run()
        assert essence(first) == essence(second)
        assert report(seed, 10**6).count("\n") > len(traced.lines or []) > 100


@pytest.mark.parametrize("seed", range(1000, 1020))
def test_pre_vote_finds_a_leader_within_three_election_times(seed: int) -> None:
    """With pre-vote a healed cluster has a leader within three of the longest timeouts of its slowest clock."""
    assert LEADER_TIME_MAX == 3 * (2 * ELECTION_TICKS - 1) * TICK * 12 // 10
    world = World(seed)
    world.run()
    assert not world.result.failure, report(seed)

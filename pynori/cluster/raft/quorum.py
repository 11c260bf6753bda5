"""Majorities: what a set of voters, or two sets that must agree, have committed and elected.

An empty majority agrees with everything, so that a joint quorum with one empty half is the other half.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import IntEnum

from pynori.cluster.raft.types import NO_LIMIT

# The commit index of an empty majority: no bound at all.
UNBOUNDED_INDEX = NO_LIMIT


class VoteResult(IntEnum):
    """What an election has come to."""

    PENDING = 1
    LOST = 2
    WON = 3

    def __str__(self) -> str:
        return ("", "VotePending", "VoteLost", "VoteWon")[self]


def majority_committed(voters: Collection[int], acknowledged: Callable[[int], int]) -> int:
    """Return the largest index that more than half of the voters acknowledged.

    acknowledged: the index of a voter, 0 for one that has not answered.
    """
    count = len(voters)
    if not count:
        return UNBOUNDED_INDEX
    indexes = sorted(map(acknowledged, voters))
    # Of n indexes in ascending order, those from (n - 1) // 2 on are a majority.
    return indexes[(count - 1) // 2]


def joint_committed(voters: Collection[int], outgoing: Collection[int], acknowledged: Callable[[int], int]) -> int:
    """Return the largest index that both majorities have."""
    index = majority_committed(voters, acknowledged)
    return min(index, majority_committed(outgoing, acknowledged)) if outgoing else index


def majority_vote(voters: Collection[int], votes: Mapping[int, bool]) -> VoteResult:
    """Return what the votes decide: won by a majority of yes, lost when that cannot be reached any more."""
    if not voters:
        return VoteResult.WON
    needed = len(voters) // 2 + 1
    granted = sum([votes.get(voter, False) for voter in voters])
    missing = sum([voter not in votes for voter in voters])
    if granted >= needed:
        return VoteResult.WON
    return VoteResult.PENDING if granted + missing >= needed else VoteResult.LOST


def joint_vote(voters: Collection[int], outgoing: Collection[int], votes: Mapping[int, bool]) -> VoteResult:
    """Return what both majorities decide: won by both, lost by one, pending otherwise."""
    results = {majority_vote(voters, votes), majority_vote(outgoing, votes)}
    if VoteResult.LOST in results:
        return VoteResult.LOST
    return VoteResult.PENDING if VoteResult.PENDING in results else VoteResult.WON


def describe_ids(ids: Iterable[int]) -> str:
    """Return ids as `(1 2 3)`, ascending, in hex."""
    return "(" + " ".join([f"{node_id:x}" for node_id in sorted(ids)]) + ")"


def describe_progress(voters: Collection[int], acknowledged: Mapping[int, int]) -> str:
    """Draw how far each voter is: the longer the bar, the further; `?` for one that has not answered."""
    if not voters:
        return "<empty majority quorum>"
    count = len(voters)
    ranked = sorted((acknowledged.get(voter, 0), voter) for voter in voters)
    bars: dict[int, int] = {}
    for position, (index, voter) in enumerate(ranked):
        level = position > 0 and ranked[position - 1][0] == index
        bars[voter] = bars[ranked[position - 1][1]] if level else position
    lines = [" " * count + "    idx"]
    for voter in sorted(voters):
        bar = "x" * bars[voter] + ">" + " " * (count - bars[voter]) if voter in acknowledged else "?" + " " * count
        lines.append(f"{bar} {acknowledged.get(voter, 0):5d}    (id={voter:x})")
    return "\n".join(lines) + "\n"

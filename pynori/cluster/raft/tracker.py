"""The membership as a node works with it: the progress of each member, the votes of a running election."""

from collections.abc import Mapping

from pynori.cluster.raft.progress import Progress, Window
from pynori.cluster.raft.quorum import VoteResult, joint_committed, joint_vote
from pynori.cluster.raft.types import Membership


class Tracker:
    """Progress and votes of the members; node ids always in ascending order.

    Invariant: progress has exactly the members of the membership, and is_learner of each is what the membership says.
    """

    __slots__ = ("in_order", "membership", "progress", "votes", "window_count_max", "window_size_bytes_max")

    def __init__(self, window_count_max: int, window_size_bytes_max: int) -> None:
        self.window_count_max = window_count_max
        self.window_size_bytes_max = window_size_bytes_max
        self.membership = Membership()
        self.progress: dict[int, Progress] = {}
        # The progress of everybody by ascending id: broadcasts go in this order, so that runs repeat exactly.
        self.in_order: tuple[tuple[int, Progress], ...] = ()
        self.votes: dict[int, bool] = {}

    def switch(self, membership: Membership, last_index: int) -> None:
        """Take a membership over: who stays keeps its progress, who is new starts at the end of the log."""
        kept = self.progress
        self.progress = {}
        for node_id in sorted(membership.members()):
            progress = kept.get(node_id)
            if progress is None:
                # A new member counts as active, otherwise a leader that counts its quorum before the member could
                # speak would step down.
                progress = Progress(0, max(last_index, 1), self._window(), False, True)
            progress.is_learner = node_id in membership.learners
            self.progress[node_id] = progress
        self.membership = membership
        self.in_order = tuple(self.progress.items())

    def clear(self) -> None:
        """Forget everybody, before a snapshot's membership is taken over."""
        self.progress = {}
        self.in_order = ()

    def restart(self, own_id: int, last_index: int) -> None:
        """Forget what is known of everybody, as at the start of a term; votes too."""
        self.votes = {}
        for node_id, old in self.in_order:
            match = last_index if node_id == own_id else 0
            self.progress[node_id] = Progress(match, last_index + 1, self._window(), old.is_learner, False)
        self.in_order = tuple(self.progress.items())

    def _window(self) -> Window:
        return Window(self.window_count_max, self.window_size_bytes_max)

    def decides_alone(self, node_id: int) -> bool:
        """Say whether a node is the only voter. A leader that was removed is not, even if one voter is left."""
        return self.membership.voters == {node_id} and not self.membership.outgoing

    def committed(self) -> int:
        """Return the largest index that a quorum has acknowledged."""
        progress = self.progress
        return joint_committed(
            self.membership.voters, self.membership.outgoing, lambda node_id: progress[node_id].match
        )

    def is_quorum_active(self) -> bool:
        """Say whether a quorum answered since the last count."""
        return self.vote_result({i: p.recent_active for i, p in self.in_order if not p.is_learner}) == VoteResult.WON

    def vote_result(self, votes: Mapping[int, bool]) -> VoteResult:
        """Return what the votes decide under the present membership."""
        return joint_vote(self.membership.voters, self.membership.outgoing, votes)

    def record_vote(self, node_id: int, granted: bool) -> tuple[int, int, VoteResult]:
        """Count a vote, the first of each node only; return how many are for, against, and the result."""
        self.votes.setdefault(node_id, granted)
        counted = [self.votes[i] for i, p in self.in_order if not p.is_learner and i in self.votes]
        return counted.count(True), counted.count(False), self.vote_result(self.votes)

"""The settings of one node, checked before it starts."""

from collections.abc import Callable
from dataclasses import dataclass

from pynori.cluster.raft.describe import Listener
from pynori.cluster.raft.types import NO_LIMIT, NO_NODE, NODE_ID_MAX


@dataclass(slots=True)
class Options:
    """How a node behaves.

    node_id: its own id, positive and never used for another node.
    random_ticks: returns a number from 0 up to its argument (exclusive); spreads election timeouts. The only chance in
        the core, so that a seed repeats a run.
    election_ticks: without a word from a leader for this many ticks up to twice as many, a node stands for election.
        Also how long a leader keeps its lease, waits for a transfer, and goes between two counts of its quorum.
    heartbeat_ticks: a leader speaks this often.
    applied: the entry up to which the application has applied; those behind it are handed out again after a restart.
    asynchronous_storage: storage work is handed out as messages, see the package's text.
    message_bytes_max: entries in one append; 0 means one entry.
    applying_bytes_max: entries handed out for applying and not acknowledged; 0 means as message_bytes_max.
    uncommitted_bytes_max: data of proposals that wait for their quorum at the leader; more are dropped. 0: no bound.
    window_count_max, window_bytes_max: appends on the way to one follower. 0 bytes: no bound on bytes.
    pre_vote: ask before raising the term, so that a node that was cut off does not disturb a working leader.
    check_quorum: a leader that hears no quorum steps down, and nobody votes while the leader's lease lasts.
    lease_reads: reads trust the lease, while there is one, instead of asking a quorum. All nodes of a group alike.
    forward_proposals: a follower sends proposals on to the leader, otherwise it drops them.
    validate_changes: membership changes that cannot succeed are turned into empty entries when they are proposed.
    step_down_on_removal: a leader that was removed or made a learner becomes a follower.
    listener: hears what the node says.
    """

    node_id: int
    random_ticks: Callable[[int], int]
    election_ticks: int = 10
    heartbeat_ticks: int = 1
    applied: int = 0
    asynchronous_storage: bool = False
    message_bytes_max: int = 1 << 20
    applying_bytes_max: int = 0
    uncommitted_bytes_max: int = 0
    window_count_max: int = 256
    window_bytes_max: int = 0
    pre_vote: bool = False
    check_quorum: bool = False
    lease_reads: bool = False
    forward_proposals: bool = True
    validate_changes: bool = True
    step_down_on_removal: bool = False
    listener: Listener | None = None

    def check(self) -> None:
        """Raise ValueError for settings under which the node could not work."""
        if not NO_NODE < self.node_id <= NODE_ID_MAX:
            raise ValueError(f"node id {self.node_id} is not between 1 and {NODE_ID_MAX}")
        if self.heartbeat_ticks <= 0:
            raise ValueError("heartbeat tick must be greater than 0")
        if self.election_ticks <= self.heartbeat_ticks:
            raise ValueError("election tick must be greater than heartbeat tick")
        if self.window_count_max <= 0:
            raise ValueError("max inflight messages must be greater than 0")
        if 0 < self.window_bytes_max < self.message_bytes_max:
            raise ValueError("max inflight bytes must be >= max message size")
        if self.lease_reads and not self.check_quorum:
            raise ValueError("CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased")

    def applying_bytes(self) -> int:
        """Return the bound on what is being applied; with a bound of 1 entries are applied one at a time."""
        return self.applying_bytes_max or self.message_bytes_max or 1

    def uncommitted_bytes(self) -> int:
        """Return the bound on uncommitted data."""
        return self.uncommitted_bytes_max or NO_LIMIT

"""One follower as the leader sees it: how far its log agrees, what is on the way to it, how fast it may be fed.

    probe      one append at a time until the place is known where both logs agree
    replicate  appends are sent ahead of their acknowledgements, as many as the window allows
    snapshot   a snapshot is on its way, nothing else is sent

    probe --acknowledged--> replicate --refused or unreachable--> probe
    probe, replicate --entry no longer in the log--> snapshot --acknowledged or reported--> probe
"""

from collections import deque
from enum import IntEnum

from pynori.cluster.raft.types import NO_LIMIT, InvariantBroken


class ProgressState(IntEnum):
    """How a follower is fed."""

    PROBE = 0
    REPLICATE = 1
    SNAPSHOT = 2

    def __str__(self) -> str:
        return ("StateProbe", "StateReplicate", "StateSnapshot")[self]


class Window:
    """Appends on the way to one follower, bounded by their number and their bytes.

    The bound on bytes is soft: the append that reaches it still goes out.
    """

    __slots__ = ("_bytes", "_sent", "count_max", "size_bytes_max")

    def __init__(self, count_max: int, size_bytes_max: int = NO_LIMIT) -> None:
        """Bound the window; 0 bytes means no bound on bytes."""
        self.count_max = count_max
        self.size_bytes_max = size_bytes_max or NO_LIMIT
        # (index of the last entry, bytes) of each append, oldest first.
        self._sent: deque[tuple[int, int]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._sent)

    def is_full(self) -> bool:
        """Say whether nothing more may be sent."""
        return len(self._sent) >= self.count_max or self._bytes >= self.size_bytes_max

    def add(self, index: int, size_bytes: int) -> None:
        """Count an append whose last entry is `index`; indexes ascend."""
        if self.is_full():
            raise InvariantBroken(f"append up to {index} added to a full window of {len(self._sent)}")
        self._sent.append((index, size_bytes))
        self._bytes += size_bytes

    def free_up_to(self, index: int) -> None:
        """Forget the appends that an acknowledgement of `index` covers."""
        while self._sent and self._sent[0][0] <= index:
            self._bytes -= self._sent.popleft()[1]

    def clear(self) -> None:
        """Forget all appends."""
        self._sent.clear()
        self._bytes = 0


class Progress:
    """The fields of one follower; which ones count depends on the state.

    match: up to here its log is known to agree with the leader's.
    next: the first entry that was not sent yet. Invariant: match < next.
    sent_commit: the highest commit index on the way to it; falls back when messages were lost.
    pending_snapshot: index of the snapshot on its way, in state SNAPSHOT only; then next = pending_snapshot + 1.
    recent_active: it answered since the leader last counted its quorum.
    is_flow_paused: the one probe is out, or the window is full; an answer to a heartbeat lifts it.
    lease_tick: the leader's tick at which the newest heartbeat was sent that the follower has answered; 0: none.
    """

    __slots__ = (
        "is_flow_paused", "is_learner", "lease_tick", "match", "next", "pending_snapshot", "recent_active",
        "sent_commit", "state", "window",
    )  # fmt: skip

    def __init__(self, match: int, next_index: int, window: Window, is_learner: bool, recent_active: bool) -> None:
        self.match = match
        self.next = next_index
        self.window = window
        self.is_learner = is_learner
        self.recent_active = recent_active
        self.sent_commit = 0
        self.state = ProgressState.PROBE
        self.pending_snapshot = 0
        self.is_flow_paused = False
        self.lease_tick = 0

    def _enter(self, state: ProgressState) -> None:
        self.is_flow_paused = False
        self.pending_snapshot = 0
        self.state = state
        self.window.clear()

    def become_probe(self) -> None:
        """Look again for the place where the logs agree, behind a snapshot if one was on its way."""
        pending = self.pending_snapshot if self.state == ProgressState.SNAPSHOT else 0
        self._enter(ProgressState.PROBE)
        self.next = max(self.match, pending) + 1
        self.sent_commit = min(self.sent_commit, self.next - 1)

    def become_replicate(self) -> None:
        """Send ahead from the first entry that is not known to agree."""
        self._enter(ProgressState.REPLICATE)
        self.next = self.match + 1

    def become_snapshot(self, index: int) -> None:
        """Wait until the snapshot of `index` has arrived."""
        self._enter(ProgressState.SNAPSHOT)
        self.pending_snapshot = index
        self.next = index + 1
        self.sent_commit = index

    def sent_entries(self, count: int, size_bytes: int) -> None:
        """Note an append with `count` entries from `next` on."""
        if self.state == ProgressState.REPLICATE:
            if count:
                self.next += count
                self.window.add(self.next - 1, size_bytes)
            # With a full window this append serves as a probe: no more until something comes back.
            self.is_flow_paused = self.window.is_full()
        elif self.state == ProgressState.PROBE:
            if count:
                self.is_flow_paused = True
        else:
            raise InvariantBroken(f"append sent in state {self.state}")

    def can_raise_commit(self, commit: int) -> bool:
        """Say whether telling the commit index could move the follower's: not if all it has is committed to it."""
        return commit > self.sent_commit and self.sent_commit < self.next - 1

    def acknowledge(self, index: int) -> bool:
        """Take an acknowledgement; return False for one that says nothing new."""
        if index <= self.match:
            return False
        self.match = index
        self.next = max(self.next, index + 1)
        self.is_flow_paused = False
        return True

    def refuse(self, refused: int, hint: int) -> bool:
        """Take the refusal of an append after entry `refused`; return False if it is out of date.

        hint: the highest index at which the logs may agree.
        """
        if self.state == ProgressState.REPLICATE:
            if refused <= self.match:
                return False
            self.next = self.match + 1
        else:
            # A prober has one append out, the one after next - 1; any other refusal is an old one.
            if refused != self.next - 1:
                return False
            self.next = max(min(refused, hint + 1), self.match + 1)
            self.is_flow_paused = False
        self.sent_commit = min(self.sent_commit, self.next - 1)
        return True

    def is_paused(self) -> bool:
        """Say whether nothing may be sent at present."""
        return self.is_flow_paused or self.state == ProgressState.SNAPSHOT

    def __str__(self) -> str:
        parts = [f"{self.state} match={self.match} next={self.next}"]
        if self.is_learner:
            parts.append("learner")
        if self.is_paused():
            parts.append("paused")
        if self.pending_snapshot:
            parts.append(f"pendingSnap={self.pending_snapshot}")
        if not self.recent_active:
            parts.append("inactive")
        if len(self.window):
            parts.append(f"inflight={len(self.window)}" + ("[full]" if self.window.is_full() else ""))
        return " ".join(parts)

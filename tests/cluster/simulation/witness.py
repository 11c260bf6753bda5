"""What must be true of the cluster after every step; it sees all machines at once, and remembers.

The numbers are those of the package text of pynori.cluster.raft. Most checks look only at what a step has changed: log
matching follows from each (index, term) having one content and one predecessor everywhere.
"""

from dataclasses import dataclass, field

from pynori.cluster.raft import (
    ChangeRefused,
    Entry,
    EntryKind,
    Membership,
    Message,
    MessageKind,
    Snapshot,
    decode_change,
)
from pynori.cluster.raft.membership import apply_change
from pynori.cluster.raft.types import NO_LIMIT
from tests.cluster.simulation.disk import AppState
from tests.cluster.simulation.machine import Machine


class Violation(AssertionError):
    """Something happened that must never happen."""


@dataclass
class Read:
    """A read that was asked for: it must see at least `floor`."""

    machine_id: int
    floor: int


@dataclass
class Witness:
    """Everything that was ever seen."""

    leaders: dict[int, int] = field(default_factory=dict)
    votes: dict[tuple[int, int], int] = field(default_factory=dict)
    # (index, term) -> (kind, data, term of the entry before).
    contents: dict[tuple[int, int], tuple[EntryKind, bytes, int]] = field(default_factory=dict)
    # index -> term, of all that anybody knows to be committed, and the term at which it was first known.
    committed: dict[int, int] = field(default_factory=dict)
    committed_at: dict[int, int] = field(default_factory=dict)
    committed_max: int = 0
    applied: dict[int, AppState] = field(default_factory=dict)
    applied_max: int = 0
    reads: dict[bytes, Read] = field(default_factory=dict)
    reads_answered: int = 0
    known_commit: dict[int, int] = field(default_factory=dict)
    changes_applied: int = 0

    def require(self, is_true: bool, text: str) -> None:
        """Fail with the text unless it is true."""
        if not is_true:
            raise Violation(text)

    def bootstrapped(self, first: AppState) -> None:
        """Note the state in which the cluster begins."""
        self.applied[first.index] = first
        self.committed[first.index] = self.committed_at[first.index] = first.term
        self.committed_max = self.applied_max = first.index

    def stepped(self, machine: Machine, machines: dict[int, Machine]) -> None:
        """Check what a step of a machine may have changed: its role and its commit index."""
        node = machine.node
        raft = node._raft
        known = self.known_commit.get(machine.id, 0)
        committed = raft.log.committed
        self.require(committed >= known, f"R5: {machine.id} went back from commit {known} to {committed}")
        if committed > known:
            self.known_commit[machine.id] = committed
            self._committed(machine, known, committed, machines)
        if node.is_leader and self.leaders.get(raft.term) != machine.id:
            self._elected(machine)
        if node.is_leader and raft.log.unstable.write_offset <= raft.log.last_index():
            self._changes_one_by_one(machine)

    def _elected(self, machine: Machine) -> None:
        raft = machine.node._raft
        other = self.leaders.setdefault(raft.term, machine.id)
        self.require(other == machine.id, f"R1: {other} and {machine.id} both lead at term {raft.term}")
        for index in range(raft.log.first_index(), self.committed_max + 1):
            # A leader that hears late of its votes need not know what newer leaders have committed meanwhile.
            self.require(
                self.committed_at[index] >= raft.term or raft.log.term(index) == self.committed[index],
                f"R3: {machine.id} leads at term {raft.term} without entry {self.committed[index]}/{index}",
            )

    def _committed(self, machine: Machine, known: int, committed: int, machines: dict[int, Machine]) -> None:
        """Compare newly committed entries with what others committed; the first time, look for the quorum."""
        log = machine.node._raft.log
        for index in range(max(known + 1, log.first_index()), committed + 1):
            term = log.term(index)
            assert term is not None
            seen = self.committed.get(index)
            if seen is None:
                self._on_quorum(machine, index, term, machines)
                self.committed[index] = seen = term
                self.committed_at[index] = machine.node.term
            self.require(seen == term, f"R4: {machine.id} commits {term}/{index}, others committed {seen}/{index}")
        self.committed_max = max(self.committed_max, committed)

    def _on_quorum(self, machine: Machine, index: int, term: int, machines: dict[int, Machine]) -> None:
        """Demand that a majority of each half has the entry on disk, durably, when it is first called committed."""
        membership = machine.node.membership
        for half in (membership.voters, membership.outgoing):
            having = [i for i in half if i in machines and machines[i].has_durably(index, term)]
            self.require(
                not half or len(having) * 2 > len(half),
                f"R4: {machine.id} commits {term}/{index} which only {having} of {sorted(half)} have on disk",
            )

    def _changes_one_by_one(self, machine: Machine) -> None:
        """Demand that of membership changes at most one in a leader's log is not committed."""
        log = machine.node._raft.log
        low = max(self.committed_max + 1, log.first_index())
        tail = log.slice(low, log.last_index() + 1, NO_LIMIT) if low <= log.last_index() else []
        changes = [entry.index for entry in tail if entry.kind != EntryKind.NORMAL]
        self.require(len(changes) <= 1, f"R7: {machine.id} has uncommitted changes at {changes}")

    def stored(self, machine: Machine, entries: list[Entry]) -> None:
        """Compare entries that are about to be stored with all that were ever stored."""
        log = machine.node._raft.log
        for entry in entries:
            before = log.term(entry.index - 1)
            if before is None:
                continue
            content = (entry.kind, entry.data, before)
            seen = self.contents.setdefault((entry.index, entry.term), content)
            self.require(seen == content, f"R2: {machine.id} has {entry} behind term {before}, another has {seen}")

    def sent(self, message: Message) -> None:
        """Remember votes that go out, to find one that is given twice."""
        if message.kind == MessageKind.VOTE_RESPONSE and not message.reject:
            given = self.votes.setdefault((message.source, message.term), message.target)
            self.require(
                given == message.target,
                f"R5: {message.source} votes for {given} and {message.target} at term {message.term}",
            )

    def expected_membership(self, before: Membership, entry: Entry) -> Membership:
        """Return the membership after an entry, as the pure function says."""
        try:
            return apply_change(before, decode_change(entry.kind, entry.data))
        except ChangeRefused:
            return before

    def applied_entry(self, machine: Machine, entry: Entry, before: AppState, after: AppState) -> None:
        """Demand that entries come one by one and lead everybody to the same state."""
        self.require(
            entry.index == before.index + 1, f"R4: {machine.id} applies {entry.index} after {before.index}"
        )
        self.require(
            self.committed.get(entry.index) == entry.term, f"R4: {machine.id} applies {entry}, which is not committed"
        )
        if entry.kind != EntryKind.NORMAL:
            expected = self.expected_membership(before.membership, entry)
            self.require(after.membership == expected, f"R4: {machine.id} has {after.membership}, not {expected}")
            self.changes_applied += entry.index > self.applied_max
        seen = self.applied.setdefault(entry.index, after)
        self.require(seen == after, f"R4: {machine.id} is in state {after}, another was in {seen}")
        self.applied_max = max(self.applied_max, entry.index)

    def installed(self, machine: Machine, snapshot: Snapshot) -> None:
        """Demand that a snapshot is a state that somebody reached by applying."""
        seen = self.applied.get(snapshot.index)
        state = AppState.of(snapshot)
        self.require(seen == state, f"R4: {machine.id} installs {state}, others were in {seen}")

    def read_asked(self, machine: Machine, context: bytes) -> None:
        """Remember a read: it must see whatever anybody has applied by now."""
        self.reads[context] = Read(machine.id, self.applied_max)

    def read_answered(self, machine: Machine, context: bytes, index: int) -> None:
        """Demand that a read sees all that was applied before it began."""
        read = self.reads.get(context)
        if read is None or read.machine_id != machine.id:
            return
        self.require(index >= read.floor, f"R6: {machine.id} reads at {index}, {read.floor} was applied before")
        self.reads_answered += 1

    def crashed(self, machine: Machine) -> None:
        """A crash may lose the commit index, never what it stood for."""
        self.known_commit[machine.id] = 0

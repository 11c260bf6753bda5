"""The face of the raft core: propose, step and tick go in, Ready comes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pynori.cluster.raft.core import step, tick
from pynori.cluster.raft.describe import Sentence
from pynori.cluster.raft.membership import MembershipChange, encode_change
from pynori.cluster.raft.options import Options
from pynori.cluster.raft.progress import Progress
from pynori.cluster.raft.ready import (
    Ready,
    storage_append,
    storage_append_response,
    storage_apply,
    storage_apply_response,
)
from pynori.cluster.raft.reconfigure import apply_membership_change, switch_membership
from pynori.cluster.raft.state import RaftState
from pynori.cluster.raft.storage import Storage
from pynori.cluster.raft.types import (
    LOCAL_KINDS,
    NO_NODE,
    RESPONSE_KINDS,
    Entry,
    HardState,
    InvariantBroken,
    Membership,
    Message,
    MessageKind,
    MessageRefused,
    Role,
    Snapshot,
    SoftState,
    is_storage_thread,
)


@dataclass(slots=True, frozen=True)
class Status:
    """What a node knows about itself; progress of the members at the leader only (not a copy: read it at once)."""

    node_id: int
    hard_state: HardState
    soft_state: SoftState
    applied: int
    transferee: int
    membership: Membership
    progress: Mapping[int, Progress]


class RaftNode:
    """One member of one group. Not for use by several threads at once."""

    __slots__ = ("_after_advance", "_hard_state", "_is_ready_out", "_raft", "_soft_state")

    def __init__(self, options: Options, storage: Storage) -> None:
        """Start from what storage holds; a first membership comes as a snapshot that is put into the storage before.

        Raises: ValueError for options that cannot work, InvariantBroken for a stored state that contradicts the log.
        """
        raft = self._raft = RaftState(options, storage)
        log = raft.log
        stored, membership = storage.initial_state()
        switch_membership(raft, membership)
        if not stored.is_empty():
            if stored.commit > log.last_index():
                raise InvariantBroken(
                    f"{raft.node_id:x} state.commit {stored.commit} is out of range "
                    f"[{log.committed}, {log.last_index()}]"
                )
            # The commit index is stored without a sync, so snapshot and log may know better.
            raft.term, raft.vote, log.committed = stored.term, stored.vote, max(stored.commit, log.committed)
            raft.may_have_promised = True
        if options.applied:
            # The same holds for the application: what it applied was committed, and stored before.
            log.commit_to(options.applied)
            log.end_applying(options.applied, 0)
        raft.membership_index = log.applied
        raft.become_follower(raft.term, NO_NODE)
        last, last_term = log.last_id()
        peers = ",".join([f"{voter:x}" for voter in sorted(membership.all_voters())])
        raft.say(Sentence.STARTED, raft.node_id, peers, raft.term, log.committed, log.applied, last, last_term)
        self._soft_state = raft.soft_state()
        self._hard_state = raft.hard_state()
        # Messages to this node itself that count once the Ready that is out is dealt with.
        self._after_advance: list[Message] = []
        self._is_ready_out = False

    # What goes in.

    def tick(self) -> None:
        """Let one tick pass."""
        tick(self._raft)

    def campaign(self) -> None:
        """Stand for election now."""
        step(self._raft, Message(MessageKind.CAMPAIGN))

    def propose(self, data: bytes) -> None:
        """Propose a command; it is committed when it comes back in committed_entries, or is lost without a word.

        Raises: ProposalDropped if it was certainly not taken.
        """
        self.propose_many((data,))

    def propose_many(self, commands: Sequence[bytes]) -> None:
        """Propose commands that are to follow one another, at the cost of one message; all are taken or none.

        Raises: ProposalDropped if they were certainly not taken.
        """
        entries = [Entry(0, 0, data) for data in commands]
        step(self._raft, Message(MessageKind.PROPOSE, source=self._raft.node_id, entries=entries))

    def propose_change(self, change: MembershipChange) -> None:
        """Propose a change of the membership; one that cannot be taken now comes back as an empty entry.

        Raises: ProposalDropped as propose; ChangeRefused for a change that no entry can carry.
        """
        kind, data = encode_change(change)
        entry = Entry(kind=kind, data=data)
        step(self._raft, Message(MessageKind.PROPOSE, source=self._raft.node_id, entries=(entry,)))

    def apply_change(self, change: MembershipChange, index: int) -> Membership:
        """Take over a change whose entry `index` the application applies; return the membership, to be stored with it.

        Raises: ChangeRefused if it does not fit; the application then goes on without it, as all nodes do. Superseded
        if a snapshot came meanwhile that has this entry; the application then applies nothing more before it.
        """
        return apply_membership_change(self._raft, change, index)

    def step(self, message: Message) -> None:
        """Take a message from another node, or from local storage.

        Raises: MessageRefused for one that no node may send; ProposalDropped for a forwarded proposal.
        """
        kind, source = message.kind, message.source
        if kind in LOCAL_KINDS and not is_storage_thread(source):
            raise MessageRefused("raft: cannot step raft local message")
        if kind in RESPONSE_KINDS and source not in self._raft.tracker.progress and not is_storage_thread(source):
            raise MessageRefused("raft: cannot step as peer not found")
        step(self._raft, message)

    def read_index(self, context: bytes) -> None:
        """Ask for an index that a linearizable read must wait for; the answer has the context. It may get lost."""
        step(self._raft, Message(MessageKind.READ_INDEX, entries=(Entry(0, 0, context),)))

    def transfer_leader(self, node_id: int) -> None:
        """Hand the lead to another voter, if this happens within one election time."""
        step(self._raft, Message(MessageKind.TRANSFER_LEADER, source=node_id))

    def forget_leader(self) -> None:
        """Take the leader for gone, so that this node votes at once."""
        step(self._raft, Message(MessageKind.FORGET_LEADER))

    def report_unreachable(self, node_id: int) -> None:
        """Say that what was last sent to a node did not arrive."""
        step(self._raft, Message(MessageKind.UNREACHABLE, source=node_id))

    def report_snapshot(self, node_id: int, is_delivered: bool) -> None:
        """Say how the sending of a snapshot ended; without it a follower that lost its snapshot gets nothing more."""
        step(self._raft, Message(MessageKind.SNAPSHOT_STATUS, source=node_id, reject=not is_delivered))

    def set_election_timeout(self, ticks: int) -> None:
        """Replace the drawn election timeout until the next change of role; for tests and for a first election."""
        self._raft.election_timeout = ticks

    @property
    def election_ticks_left(self) -> int:
        """After how many ticks without a word from a leader this node, which does not lead, stands for election."""
        return self._raft.election_timeout - self._raft.election_elapsed

    # What comes out.

    def has_ready(self) -> bool:
        """Say whether ready() would hold anything."""
        raft = self._raft
        log = raft.log
        return bool(
            raft.outbox
            or raft.durable_outbox
            or raft.read_states
            or log.unstable.write_offset < log.unstable.offset + len(log.unstable.entries)
            or log.unstable.next_snapshot() is not None
            or log.has_committed(not raft.options.asynchronous_storage)
            or self._changed_hard_state() is not None
            or raft.leader != self._soft_state.leader
            or raft.role != self._soft_state.role
        )

    def ready(self) -> Ready:
        """Return the work that is due, and take it as accepted; end with advance(), unless storage is asynchronous."""
        if self._is_ready_out:
            raise InvariantBroken("two accepted Ready structs without call to Advance")
        raft = self._raft
        log = raft.log
        is_asynchronous = raft.options.asynchronous_storage
        soft_state = raft.soft_state()
        hard_state = self._changed_hard_state()
        entries = log.unstable.next_entries()
        committed = log.next_committed(not is_asynchronous)
        snapshot = log.unstable.next_snapshot()
        must_sync = bool(entries) or (raft.term, raft.vote) != (self._hard_state.term, self._hard_state.vote)
        if is_asynchronous:
            messages = self._asynchronous_messages(hard_state, entries, snapshot, committed)
        else:
            messages = self._synchronous_messages(snapshot, committed)
        ready = Ready(
            soft_state if soft_state != self._soft_state else None, hard_state, raft.read_states, entries, snapshot,
            committed, messages, must_sync,
        )  # fmt: skip
        self._soft_state = soft_state
        self._hard_state = hard_state or self._hard_state
        self._is_ready_out = not is_asynchronous
        raft.read_states, raft.outbox, raft.durable_outbox = [], [], []
        log.unstable.begin_write()
        if committed:
            log.begin_applying(committed, not is_asynchronous)
        return ready

    def advance(self) -> None:
        """Say that everything in the last Ready is done: stored durably, sent, applied."""
        if self._raft.options.asynchronous_storage:
            raise InvariantBroken("Advance must not be called when using AsyncStorageWrites")
        messages, self._after_advance = self._after_advance, []
        self._is_ready_out = False
        for message in messages:
            step(self._raft, message)

    def _changed_hard_state(self) -> HardState | None:
        raft, known = self._raft, self._hard_state
        if raft.log.committed == known.commit and raft.term == known.term and raft.vote == known.vote:
            return None
        return raft.hard_state()

    def _append_response(self, snapshot: Snapshot | None) -> Message | None:
        """Return what tells this node that its log is durable, None if nothing of it is unstable."""
        raft = self._raft
        is_unstable = bool(raft.log.unstable.entries)
        if not is_unstable and snapshot is None:
            return None
        end = raft.log.last_id() if is_unstable else None
        return storage_append_response(raft.node_id, raft.term, end, snapshot)

    def _synchronous_messages(self, snapshot: Snapshot | None, committed: Sequence[Entry]) -> list[Message]:
        """Return what to send after storing, and keep what this node hears from itself for advance()."""
        raft = self._raft
        own = [message for message in raft.durable_outbox if message.target == raft.node_id]
        answer = self._append_response(snapshot)
        if answer is not None:
            own.append(answer)
        if committed:
            own.append(storage_apply_response(raft.node_id, committed))
        self._after_advance = own
        return raft.outbox + [message for message in raft.durable_outbox if message.target != raft.node_id]

    def _asynchronous_messages(
        self,
        hard_state: HardState | None,
        entries: Sequence[Entry],
        snapshot: Snapshot | None,
        committed: Sequence[Entry],
    ) -> list[Message]:
        """Return what to send at once, and the orders to storage with what is to be delivered behind them."""
        raft = self._raft
        messages = raft.outbox
        if entries or hard_state is not None or snapshot is not None or raft.durable_outbox:
            responses = raft.durable_outbox
            answer = self._append_response(snapshot)
            if answer is not None:
                # Behind our own acknowledgements: they find their entries faster while these are unstable.
                responses = [*responses, answer]
            messages.append(storage_append(raft.node_id, hard_state, entries, snapshot, responses))
        if committed:
            messages.append(storage_apply(raft.node_id, committed))
        return messages

    # What can be seen.

    def status(self) -> Status:
        """Return what this node knows about itself."""
        raft = self._raft
        return Status(
            raft.node_id, raft.hard_state(), raft.soft_state(), raft.log.applied, raft.transferee,
            raft.tracker.membership, raft.tracker.progress if raft.role == Role.LEADER else {},
        )  # fmt: skip

    @property
    def leader(self) -> int:
        """Whom this node follows, NO_NODE if nobody is known."""
        return self._raft.leader

    @property
    def is_leader(self) -> bool:
        """Whether this node leads at its term."""
        return self._raft.role == Role.LEADER

    @property
    def term(self) -> int:
        """The term of this node."""
        return self._raft.term

    @property
    def applied(self) -> int:
        """The entry up to which the application has applied, as far as it said so."""
        return self._raft.log.applied

    @property
    def membership(self) -> Membership:
        """The membership as of the applied changes."""
        return self._raft.tracker.membership

"""The state of one node, and the few acts that all roles share: changing role, sending, speaking.

The acts of each role are functions over this state: `election`, `leader`, `replication`, `follower`, `reconfigure`.
`core` says which of them a message or a tick comes to.
"""

from collections.abc import Sequence

from pynori.cluster.raft.describe import Sentence
from pynori.cluster.raft.log import RaftLog
from pynori.cluster.raft.options import Options
from pynori.cluster.raft.read_only import ReadQueue
from pynori.cluster.raft.storage import Storage
from pynori.cluster.raft.tracker import Tracker
from pynori.cluster.raft.types import (
    NO_NODE,
    Entry,
    HardState,
    InvariantBroken,
    Message,
    MessageKind,
    ReadState,
    Role,
    SoftState,
)

_APPEND_RESPONSE, _VOTE_RESPONSE = MessageKind.APPEND_RESPONSE, MessageKind.VOTE_RESPONSE
_PRE_VOTE_RESPONSE = MessageKind.PRE_VOTE_RESPONSE
_VOTE_KINDS = frozenset({MessageKind.VOTE, _VOTE_RESPONSE, MessageKind.PRE_VOTE, _PRE_VOTE_RESPONSE})
_TERMLESS_KINDS = frozenset({MessageKind.PROPOSE, MessageKind.READ_INDEX})


class RaftState:
    """All that a node knows.

    term, vote: as far as they were decided; what of it is durable says the caller of Ready.
    leader: whom this node follows at this term, NO_NODE if nobody is known.
    outbox: messages that may go at once. durable_outbox: answers that promise something; they go, also those to this
        node itself, once all that was decided before them is durable: a vote that a crash forgets could be given twice.
    pending_change_index: at or behind the last membership change that may be unapplied; no other is taken before.
    membership_index: the tracker has the membership as of this entry, or of one before without a change between them.
    uncommitted_bytes: a leader's estimate of proposed data without a quorum; never too high.
    ticks: ticks since the start of the node, at least 1. is_lease_void: a transfer was ordered at this term; who got
        the order may be elected at any time, lease or not.
    may_have_promised: this node ran before its last start, and may have answered a leader that it no longer knows.
    waiting_reads: reads that came before this leader committed an entry of its own term.
    """

    __slots__ = (
        "durable_outbox", "election_elapsed", "election_timeout", "heartbeat_elapsed", "is_learner", "is_lease_void",
        "leader", "log", "may_have_promised", "membership_index", "node_id", "options", "outbox",
        "pending_change_index", "read_queue",
        "read_states", "role", "term", "ticks", "tracker", "transferee", "uncommitted_bytes", "vote", "waiting_reads",
    )  # fmt: skip

    def __init__(self, options: Options, storage: Storage) -> None:
        options.check()
        self.options = options
        self.node_id = options.node_id
        self.log = RaftLog(storage, options.applying_bytes(), options.listener)
        self.tracker = Tracker(options.window_count_max, options.window_bytes_max)
        self.term = 0
        self.vote = NO_NODE
        self.role = Role.FOLLOWER
        self.leader = NO_NODE
        self.transferee = NO_NODE
        self.is_learner = False
        self.outbox: list[Message] = []
        self.durable_outbox: list[Message] = []
        self.read_states: list[ReadState] = []
        self.read_queue = ReadQueue()
        self.waiting_reads: list[Message] = []
        self.pending_change_index = 0
        self.uncommitted_bytes = 0
        self.membership_index = 0
        self.may_have_promised = False
        self.ticks = 1
        self.is_lease_void = False
        # Ticks since the last word of a leader (follower), the start of the election, or the last count (leader).
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        # Drawn anew with each change of role, from election_ticks up to twice as many (exclusive).
        self.election_timeout = 0

    def say(self, sentence: Sentence, *values: object) -> None:
        """Tell the listener, if there is one."""
        if self.options.listener is not None:
            self.options.listener(sentence, values)

    def soft_state(self) -> SoftState:
        """Return leader and role."""
        return SoftState(self.leader, self.role)

    def hard_state(self) -> HardState:
        """Return what must survive a crash."""
        return HardState(self.term, self.vote, self.log.committed)

    def send(self, message: Message) -> None:
        """Put a message into the outbox that suits it, with this node's id and, where it has one, its term."""
        kind = message.kind
        if message.source == NO_NODE:
            message.source = self.node_id
        if kind in _VOTE_KINDS:
            # These carry the term that is being voted for, which may be ahead of ours.
            if not message.term:
                raise InvariantBroken(f"term should be set when sending {kind}")
        elif message.term:
            raise InvariantBroken(f"term should not be set when sending {kind} (was {message.term})")
        elif kind not in _TERMLESS_KINDS:
            message.term = self.term
        if kind is _APPEND_RESPONSE or kind is _VOTE_RESPONSE or kind is _PRE_VOTE_RESPONSE:
            self.durable_outbox.append(message)
        elif message.target == self.node_id:
            raise InvariantBroken(f"message should not be self-addressed when sending {kind}")
        else:
            self.outbox.append(message)

    def forward(self, message: Message) -> None:
        """Send a message on to the leader; its source stays who asked."""
        entries: Sequence[Entry] = message.entries
        self.send(Message(message.kind, self.leader, message.source, entries=entries))

    def become_follower(self, term: int, leader: int) -> None:
        """Follow a leader, or nobody yet, at a term that is not below ours."""
        self.restart(term)
        self.leader = leader
        self.role = Role.FOLLOWER
        self.say(Sentence.BECAME_FOLLOWER, self.node_id, self.term)

    def become_candidate(self) -> None:
        """Go to the next term and vote for ourselves."""
        if self.role == Role.LEADER:
            raise InvariantBroken("invalid transition [leader -> candidate]")
        self.restart(self.term + 1)
        self.vote = self.node_id
        self.role = Role.CANDIDATE
        self.say(Sentence.BECAME_CANDIDATE, self.node_id, self.term)

    def become_pre_candidate(self) -> None:
        """Ask whether an election could be won; term and vote stay as they are."""
        if self.role == Role.LEADER:
            raise InvariantBroken("invalid transition [leader -> pre-candidate]")
        self.tracker.votes = {}
        self.leader = NO_NODE
        self.role = Role.PRE_CANDIDATE
        self.say(Sentence.BECAME_PRE_CANDIDATE, self.node_id, self.term)

    def restart(self, term: int) -> None:
        """Forget everything that belonged to a role; a new term forgets the vote too."""
        if self.term != term:
            self.term = term
            self.vote = NO_NODE
        self.leader = NO_NODE
        self.transferee = NO_NODE
        self.is_lease_void = False
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        ticks = self.options.election_ticks
        self.election_timeout = ticks + self.options.random_ticks(ticks)
        self.tracker.restart(self.node_id, self.log.last_index())
        self.pending_change_index = 0
        self.uncommitted_bytes = 0
        self.read_queue = ReadQueue()
        self.waiting_reads = []

    def is_promotable(self) -> bool:
        """Say whether this node may stand for election: a voter, and not waiting for a snapshot to be written."""
        progress = self.tracker.progress.get(self.node_id)
        return progress is not None and not progress.is_learner and not self.log.is_snapshot_pending()

"""The core as text: the sentences that it says while it works, and messages, entries and states in one line each.

Operators, transcripts and simulations read these words, so each exists once, here. A sentence is only put together when
somebody listens at its level.
"""

from collections.abc import Callable, Iterable
from enum import Enum, IntEnum

from pynori.cluster.raft.membership import ChangeKind, MembershipChange, decode_change
from pynori.cluster.raft.quorum import describe_ids
from pynori.cluster.raft.ready import Ready
from pynori.cluster.raft.types import (
    APPEND_THREAD,
    APPLY_THREAD,
    NO_NODE,
    ChangeRefused,
    Entry,
    EntryKind,
    HardState,
    Membership,
    Message,
    Snapshot,
    SoftState,
)


class Level(IntEnum):
    """How much a sentence matters."""

    DEBUG = 0
    INFO = 1
    WARN = 2
    ERROR = 3


class Sentence(Enum):
    """What the core can say: level and words. `text` puts the values in."""

    # Roles.
    STARTED = (Level.INFO, "newRaft %x [peers: [%s], term: %d, commit: %d, applied: %d, lastindex: %d, lastterm: %d]")
    BECAME_FOLLOWER = (Level.INFO, "%x became follower at term %d")
    BECAME_CANDIDATE = (Level.INFO, "%x became candidate at term %d")
    BECAME_PRE_CANDIDATE = (Level.INFO, "%x became pre-candidate at term %d")
    BECAME_LEADER = (Level.INFO, "%x became leader at term %d")
    SWITCHED = (Level.INFO, "%x switched to configuration %s")
    # Messages of other terms.
    HIGHER_TERM = (Level.INFO, "%x [term: %d] received a %s message with higher term from %x [term: %d]")
    LOWER_TERM = (Level.INFO, "%x [term: %d] ignored a %s message with lower term from %x [term: %d]")
    LOWER_TERM_APPEND = (
        Level.INFO, "%x [term: %d] ignored entry appends from a %s message with lower term [term: %d]",
    )  # fmt: skip
    # Elections.
    ALREADY_LEADER = (Level.DEBUG, "%x ignoring MsgHup because already leader")
    CAMPAIGN_IN_LEASE = (Level.INFO, "%x ignoring MsgHup at term %d: a leader's lease is not expired")
    UNPROMOTABLE = (Level.WARN, "%x is unpromotable and can not campaign")
    CHANGE_UNAPPLIED = (
        Level.WARN, "%x cannot campaign at term %d since there are still pending configuration changes to apply",
    )  # fmt: skip
    ELECTION_STARTS = (Level.INFO, "%x is starting a new election at term %d")
    VOTE_REQUESTED = (Level.INFO, "%x [logterm: %d, index: %d] sent %s request to %x at term %d")
    VOTE_CAST = (
        Level.INFO, "%x [logterm: %d, index: %d, vote: %x] cast %s for %x [logterm: %d, index: %d] at term %d",
    )  # fmt: skip
    VOTE_REFUSED = (
        Level.INFO, "%x [logterm: %d, index: %d, vote: %x] rejected %s from %x [logterm: %d, index: %d] at term %d",
    )  # fmt: skip
    VOTE_IN_LEASE = (
        Level.INFO,
        "%x [logterm: %d, index: %d, vote: %x] ignored %s from %x [logterm: %d, index: %d] at term %d: "
        "lease is not expired (remaining ticks: %d)",
    )
    VOTE_RECEIVED = (Level.INFO, "%x received %s from %x at term %d")
    REFUSAL_RECEIVED = (Level.INFO, "%x received %s rejection from %x at term %d")
    VOTES_COUNTED = (Level.INFO, "%x has received %d %s votes and %d vote rejections")
    QUORUM_INACTIVE = (Level.WARN, "%x stepped down to follower since quorum is not active")
    LEADER_FORGOTTEN = (Level.INFO, "%x forgetting leader %x at term %d")
    LEADER_KEPT = (Level.ERROR, "ignoring MsgForgetLeader due to ReadOnlyLeaseBased")
    # Transfers.
    TRANSFER_ORDERED = (
        Level.INFO, "%x [term %d] received MsgTimeoutNow from %x and starts an election to get leadership.",
    )  # fmt: skip
    TRANSFER_ORDER_IGNORED = (Level.DEBUG, "%x [term %d state %s] ignored MsgTimeoutNow from %x")
    TRANSFER_TO_LEARNER = (Level.DEBUG, "%x is learner. Ignored transferring leadership")
    TRANSFER_TO_SELF = (Level.DEBUG, "%x is already leader. Ignored transferring leadership to self")
    TRANSFER_REPEATED = (
        Level.INFO, "%x [term %d] transfer leadership to %x is in progress, ignores request to same node %x",
    )  # fmt: skip
    TRANSFER_REPLACED = (Level.INFO, "%x [term %d] abort previous transferring leadership to %x")
    TRANSFER_STARTS = (Level.INFO, "%x [term %d] starts to transfer leadership to %x")
    TRANSFER_AT_ONCE = (Level.INFO, "%x sends MsgTimeoutNow to %x immediately as %x already has up-to-date log")
    TRANSFER_CAUGHT_UP = (Level.INFO, "%x sent MsgTimeoutNow to %x after received MsgAppResp")
    TRANSFER_WITHOUT_LEADER = (Level.INFO, "%x no leader at term %d; dropping leader transfer msg")
    # Proposals and reads.
    PROPOSAL_WITHOUT_LEADER = (Level.INFO, "%x no leader at term %d; dropping proposal")
    PROPOSAL_NOT_FORWARDED = (Level.INFO, "%x not forwarding to leader %x at term %d; dropping proposal")
    PROPOSAL_IN_TRANSFER = (
        Level.DEBUG, "%x [term %d] transfer leadership to %x is in progress; dropping proposal",
    )  # fmt: skip
    PROPOSAL_TOO_MUCH = (
        Level.WARN, "%x appending new entries to log would exceed uncommitted entry size limit; dropping proposal",
    )  # fmt: skip
    CHANGE_IGNORED = (Level.INFO, "%x ignoring conf change %s at config %s: %s")
    JOINT_LEAVES = (Level.INFO, "initiating automatic transition out of joint configuration %s")
    JOINT_STAYS = (Level.DEBUG, "not initiating automatic transition out of joint configuration %s: %s")
    READ_WITHOUT_LEADER = (Level.INFO, "%x no leader at term %d; dropping index reading msg")
    READ_TOO_MANY = (Level.WARN, "%x dropping index reading msg: too many are waiting")
    READ_ANSWER_BAD = (Level.ERROR, "%x invalid format of MsgReadIndexResp from %x, entries count: %d")
    # Replication.
    NO_PROGRESS = (Level.DEBUG, "%x no progress available for %x")
    APPEND_REFUSED = (
        Level.DEBUG, "%x [logterm: %d, index: %d] rejected MsgApp [logterm: %d, index: %d] from %x",
    )  # fmt: skip
    REFUSAL_OF_APPEND = (
        Level.DEBUG, "%x received MsgAppResp(rejected, hint: (index %d, term %d)) from %x for index %d",
    )  # fmt: skip
    PROGRESS_DECREASED = (Level.DEBUG, "%x decreased progress of %x to [%s]")
    UNREACHABLE = (Level.DEBUG, "%x failed to send message to %x because it is unreachable [%s]")
    # Snapshots.
    SNAPSHOT_TO_INACTIVE = (Level.DEBUG, "ignore sending snapshot to %x since it is not recently active")
    SNAPSHOT_NOT_READY = (
        Level.DEBUG, "%x failed to send snapshot to %x because snapshot is temporarily unavailable",
    )  # fmt: skip
    SNAPSHOT_SENT = (Level.DEBUG, "%x [firstindex: %d, commit: %d] sent snapshot[index: %d, term: %d] to %x [%s]")
    SNAPSHOT_PAUSES = (Level.DEBUG, "%x paused sending replication messages to %x [%s]")
    SNAPSHOT_RECOVERED = (
        Level.DEBUG, "%x recovered from needing snapshot, resumed sending replication messages to %x [%s]",
    )  # fmt: skip
    SNAPSHOT_SUCCEEDED = (Level.DEBUG, "%x snapshot succeeded, resumed sending replication messages to %x [%s]")
    SNAPSHOT_FAILED = (Level.DEBUG, "%x snapshot failed, resumed sending replication messages to %x [%s]")
    SNAPSHOT_RESTORED = (Level.INFO, "%x [commit: %d] restored snapshot [index: %d, term: %d]")
    SNAPSHOT_IGNORED = (Level.INFO, "%x [commit: %d] ignored snapshot [index: %d, term: %d]")
    SNAPSHOT_TAKEN = (
        Level.INFO, "%x [commit: %d, lastindex: %d, lastterm: %d] restored snapshot [index: %d, term: %d]",
    )  # fmt: skip
    SNAPSHOT_FORWARD = (
        Level.INFO,
        "%x [commit: %d, lastindex: %d, lastterm: %d] fast-forwarded commit to snapshot [index: %d, term: %d]",
    )
    SNAPSHOT_WITHOUT_US = (
        Level.WARN, "%x attempted to restore snapshot but it is not in the ConfState %s; should never happen",
    )  # fmt: skip
    # The log.
    LOG_RESTORES = (Level.INFO, "log [%s] starts to restore snapshot [index: %d, term: %d]")
    LOG_CONFLICT = (Level.INFO, "found conflict at index %d [existing term: %d, conflicting term: %d]")
    UNSTABLE_REPLACED = (Level.INFO, "replace the unstable entries from index %d")
    UNSTABLE_TRUNCATED = (Level.INFO, "truncate the unstable entries before index %d")
    UNSTABLE_MISSING = (Level.INFO, "entry at index %d missing from unstable log; ignoring")
    UNSTABLE_IS_SNAPSHOT = (Level.INFO, "entry at index %d matched unstable snapshot; ignoring")
    UNSTABLE_OTHER_TERM = (
        Level.INFO, "entry at (index,term)=(%d,%d) mismatched with entry at (%d,%d) in unstable log; ignoring",
    )  # fmt: skip

    def __init__(self, level: Level, words: str) -> None:
        self.level = level
        self.words = words

    def text(self, values: tuple[object, ...]) -> str:
        """Return the sentence with its values."""
        return self.words % values


# Hears each sentence with its values. It must take what it wants of the values at once: they change later.
Listener = Callable[[Sentence, tuple[object, ...]], None]


def quote(data: bytes) -> str:
    """Return bytes between double quotes, unreadable ones as \\xNN."""
    short = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return '"' + "".join([short.get(b, chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in data]) + '"'
    return '"' + "".join([short.get(ord(c), c if c.isprintable() else f"\\x{ord(c):02x}") for c in text]) + '"'


def describe_membership(membership: Membership) -> str:
    """Return a membership as `voters=(1 2)&&(1) learners=(3) learners_next=(4) autoleave`."""
    text = "voters=" + describe_ids(membership.voters)
    if membership.outgoing:
        text += "&&" + describe_ids(membership.outgoing)
    if membership.learners:
        text += " learners=" + describe_ids(membership.learners)
    if membership.learners_next:
        text += " learners_next=" + describe_ids(membership.learners_next)
    return text + (" autoleave" if membership.auto_leave else "")


def describe_hard_state(state: HardState) -> str:
    """Return term, vote (if there is one) and commit index."""
    vote = f" Vote:{state.vote}" if state.vote != NO_NODE else ""
    return f"Term:{state.term}{vote} Commit:{state.commit}"


def describe_soft_state(state: SoftState) -> str:
    """Return leader and role."""
    return f"Lead:{state.leader} State:{state.role}"


def _plain_ids(ids: Iterable[int]) -> str:
    return "[" + " ".join([str(node_id) for node_id in sorted(ids)]) + "]"


def describe_snapshot(snapshot: Snapshot) -> str:
    """Return place and membership of a snapshot, not its data."""
    members = snapshot.membership
    return (
        f"Index:{snapshot.index} Term:{snapshot.term} ConfState:Voters:{_plain_ids(members.voters)} "
        f"VotersOutgoing:{_plain_ids(members.outgoing)} Learners:{_plain_ids(members.learners)} "
        f"LearnersNext:{_plain_ids(members.learners_next)} AutoLeave:{'true' if members.auto_leave else 'false'}"
    )


_STEP_LETTERS = {ChangeKind.ADD_VOTER: "v", ChangeKind.ADD_LEARNER: "l", ChangeKind.REMOVE: "r", ChangeKind.UPDATE: "u"}


def describe_change(change: MembershipChange) -> str:
    """Return a change with its transition and steps."""
    steps = "".join([f" changes:{{type:{step.kind} node_id:{step.node_id}}}" for step in change.changes])
    context = f" context:{quote(change.context)}" if change.context else ""
    return f"transition:{change.transition}{steps}{context}"


def describe_entry(entry: Entry) -> str:
    """Return term/index, kind and data of an entry; changes in short form: `v1 l2 r3`."""
    if entry.kind == EntryKind.NORMAL:
        data = quote(entry.data)
    else:
        try:
            steps = decode_change(entry.kind, entry.data).changes
            data = " ".join([f"{_STEP_LETTERS[step.kind]}{step.node_id}" for step in steps])
        except ChangeRefused as error:
            data = str(error)
    return f"{entry.term}/{entry.index} {entry.kind}" + (f" {data}" if data else "")


def describe_entries(entries: Iterable[Entry]) -> str:
    """Return one line for each entry."""
    return "".join([describe_entry(entry) + "\n" for entry in entries])


def describe_target(node_id: int) -> str:
    """Return a node id in hex, or the name of the storage thread it stands for."""
    names = {NO_NODE: "None", APPEND_THREAD: "AppendThread", APPLY_THREAD: "ApplyThread"}
    return names.get(node_id) or f"{node_id:x}"


def describe_message(message: Message, indent: str = "") -> str:
    """Return a message in one line, with more lines for several entries, a snapshot and responses."""
    parts = [
        f"{indent}{describe_target(message.source)}->{describe_target(message.target)} {message.kind} "
        f"Term:{message.term} Log:{message.log_term}/{message.index}"
    ]
    if message.reject:
        parts.append(f" Rejected (Hint: {message.reject_hint})")
    if message.commit:
        parts.append(f" Commit:{message.commit}")
    if message.vote:
        parts.append(f" Vote:{message.vote}")
    if len(message.entries) == 1:
        parts.append(f" Entries:[{describe_entry(message.entries[0])}]")
    elif message.entries:
        lines = "".join([f"\n{indent}  {describe_entry(entry)}" for entry in message.entries])
        parts.append(f" Entries:[{lines}\n{indent}]")
    if message.snapshot is not None and not message.snapshot.is_empty():
        parts.append(f"\n{indent}  Snapshot: {describe_snapshot(message.snapshot)}")
    if message.responses:
        lines = "".join(["\n" + describe_message(response, indent + "  ") for response in message.responses])
        parts.append(f" Responses:[{lines}\n{indent}]")
    return "".join(parts)


def describe_ready(ready: Ready) -> str:
    """Return everything that a Ready asks for, in the order in which it is to be done."""
    text = ""
    if ready.soft_state is not None:
        text += describe_soft_state(ready.soft_state) + "\n"
    if ready.hard_state is not None:
        text += f"HardState {describe_hard_state(ready.hard_state)}\n"
    if ready.read_states:
        reads = " ".join([f"{read.index}:{quote(read.context)}" for read in ready.read_states])
        text += f"ReadStates [{reads}]\n"
    if ready.entries:
        text += "Entries:\n" + describe_entries(ready.entries)
    if ready.snapshot is not None:
        text += f"Snapshot {describe_snapshot(ready.snapshot)}\n"
    if ready.committed_entries:
        text += "CommittedEntries:\n" + describe_entries(ready.committed_entries)
    if ready.messages:
        text += "Messages:\n" + "".join([describe_message(message) + "\n" for message in ready.messages])
    if not text:
        return "<empty Ready>"
    return f"Ready MustSync={'true' if ready.must_sync else 'false'}:\n{text}"

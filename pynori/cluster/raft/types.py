"""The vocabulary of the raft core: entries, states, snapshots and messages, as plain values.

A value that was handed in or out belongs to everybody who holds it: nobody changes one after it was made, except that a
message may still be given its source and term while the core puts it into its outbox. Terms and indexes count from 1;
0 means "none yet". Node ids are positive; NO_NODE means "nobody".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

NO_NODE = 0
# Targets and sources of the messages between a node and its own storage, when storage writes are asynchronous.
APPEND_THREAD = 2**64 - 1
APPLY_THREAD = 2**64 - 2
NODE_ID_MAX = 2**64 - 3
NO_LIMIT = 2**64 - 1
# What an entry costs beside its data when sizes are bounded: about its term, index, kind and length in a message.
ENTRY_OVERHEAD_BYTES = 21


class RaftError(Exception):
    """Any refusal of the core."""


class ProposalDropped(RaftError):
    """The proposal was not taken: no leader, a transfer in progress, or too much uncommitted. It may be tried again."""

    def __init__(self) -> None:
        super().__init__("raft proposal dropped")


class MessageRefused(RaftError):
    """The message cannot come from the network, or comes from a node that is no member."""


class ChangeRefused(RaftError):
    """The membership change leads to no valid membership."""


class Superseded(RaftError):
    """The change is part of a snapshot that replaces the state machine; it must not be applied any more."""


class Compacted(RaftError):
    """The wanted entries are no longer in the log: they are part of a snapshot."""


class InvariantBroken(RaftError):
    """The log contradicts itself. The node must stop and keep its files as they are."""


class Role(IntEnum):
    """What a node is at its present term."""

    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2
    PRE_CANDIDATE = 3

    def __str__(self) -> str:
        return ("StateFollower", "StateCandidate", "StateLeader", "StatePreCandidate")[self]


class EntryKind(IntEnum):
    """What an entry's data is: a command of the state machine, or a change of the membership in one of two forms."""

    NORMAL = 0
    CHANGE = 1
    CHANGE_V2 = 2

    def __str__(self) -> str:
        return ("EntryNormal", "EntryConfChange", "EntryConfChangeV2")[self]


class MessageKind(IntEnum):
    """The kinds of messages. Those of LOCAL_KINDS never travel; the numbers are part of the wire format."""

    CAMPAIGN = 0
    BEAT = 1
    PROPOSE = 2
    APPEND = 3
    APPEND_RESPONSE = 4
    VOTE = 5
    VOTE_RESPONSE = 6
    SNAPSHOT = 7
    HEARTBEAT = 8
    HEARTBEAT_RESPONSE = 9
    UNREACHABLE = 10
    SNAPSHOT_STATUS = 11
    CHECK_QUORUM = 12
    TRANSFER_LEADER = 13
    TIMEOUT_NOW = 14
    READ_INDEX = 15
    READ_INDEX_RESPONSE = 16
    PRE_VOTE = 17
    PRE_VOTE_RESPONSE = 18
    STORAGE_APPEND = 19
    STORAGE_APPEND_RESPONSE = 20
    STORAGE_APPLY = 21
    STORAGE_APPLY_RESPONSE = 22
    FORGET_LEADER = 23

    def __str__(self) -> str:
        return MESSAGE_NAMES[self]


MESSAGE_NAMES = (
    "MsgHup", "MsgBeat", "MsgProp", "MsgApp", "MsgAppResp", "MsgVote", "MsgVoteResp", "MsgSnap", "MsgHeartbeat",
    "MsgHeartbeatResp", "MsgUnreachable", "MsgSnapStatus", "MsgCheckQuorum", "MsgTransferLeader", "MsgTimeoutNow",
    "MsgReadIndex", "MsgReadIndexResp", "MsgPreVote", "MsgPreVoteResp", "MsgStorageAppend", "MsgStorageAppendResp",
    "MsgStorageApply", "MsgStorageApplyResp", "MsgForgetLeader",
)  # fmt: skip

# Kinds that a node says to itself or hears from its own storage: from the network they are refused.
LOCAL_KINDS = frozenset({
    MessageKind.CAMPAIGN, MessageKind.BEAT, MessageKind.UNREACHABLE, MessageKind.SNAPSHOT_STATUS,
    MessageKind.CHECK_QUORUM, MessageKind.STORAGE_APPEND, MessageKind.STORAGE_APPEND_RESPONSE,
    MessageKind.STORAGE_APPLY, MessageKind.STORAGE_APPLY_RESPONSE,
})  # fmt: skip
# Answers: from a node that is no member they are refused.
RESPONSE_KINDS = frozenset({
    MessageKind.APPEND_RESPONSE, MessageKind.VOTE_RESPONSE, MessageKind.HEARTBEAT_RESPONSE, MessageKind.UNREACHABLE,
    MessageKind.READ_INDEX_RESPONSE, MessageKind.PRE_VOTE_RESPONSE, MessageKind.STORAGE_APPEND_RESPONSE,
    MessageKind.STORAGE_APPLY_RESPONSE,
})  # fmt: skip


@dataclass(slots=True)
class Entry:
    """One place of the log. An entry with term and index 0 is a proposal that has no place yet."""

    term: int = 0
    index: int = 0
    data: bytes = b""
    kind: EntryKind = EntryKind.NORMAL


@dataclass(slots=True, frozen=True)
class HardState:
    """What must survive a crash beside the log.

    term, vote: durable before any message that was sent because of them; otherwise a node votes twice in one term.
    commit: may be lost, it comes back with the next leader's messages.
    """

    term: int = 0
    vote: int = NO_NODE
    commit: int = 0

    def is_empty(self) -> bool:
        """Say whether nothing was ever stored."""
        return self.term == 0 and self.vote == NO_NODE and self.commit == 0


@dataclass(slots=True, frozen=True)
class SoftState:
    """What the application may want to know at once and nobody stores."""

    leader: int = NO_NODE
    role: Role = Role.FOLLOWER


@dataclass(slots=True, frozen=True)
class Membership:
    """Who votes, who only listens.

    voters: decide together.
    outgoing: the voters of the membership that is being left; not empty means joint: both majorities must agree.
    learners: get the log, do not vote. Invariant: no learner is a voter or outgoing.
    learners_next: outgoing voters that become learners when the joint membership is left. Invariant: part of outgoing.
    auto_leave: the leader leaves the joint membership by itself. Invariant: only when joint.
    """

    voters: frozenset[int] = frozenset()
    outgoing: frozenset[int] = frozenset()
    learners: frozenset[int] = frozenset()
    learners_next: frozenset[int] = frozenset()
    auto_leave: bool = False

    def is_joint(self) -> bool:
        """Say whether two majorities decide at present."""
        return bool(self.outgoing)

    def all_voters(self) -> frozenset[int]:
        """Return the voters of both halves."""
        return self.voters | self.outgoing if self.outgoing else self.voters

    def members(self) -> frozenset[int]:
        """Return everybody who gets the log."""
        return self.voters | self.outgoing | self.learners


@dataclass(slots=True, frozen=True)
class Snapshot:
    """The state machine as it stood after the entry `index` of `term`, with the membership at that point."""

    index: int = 0
    term: int = 0
    membership: Membership = Membership()
    data: bytes = b""

    def is_empty(self) -> bool:
        """Say whether this stands for "no snapshot"."""
        return self.index == 0


@dataclass(slots=True, frozen=True)
class ReadState:
    """A read asked for with `context` may be answered once everything up to `index` is applied."""

    index: int
    context: bytes


@dataclass(slots=True)
class Message:
    """Everything that nodes say to one another, to themselves and to their storage.

    index and log_term name the entry before `entries` in APPEND, the last entry of a candidate in VOTE, the
    acknowledged entry in responses. reject_hint: in a refused append the place where the logs may still agree.
    context: what a heartbeat confirms, TRANSFER_CONTEXT in a vote that the leader ordered, what is committed in a
    refused vote.
    responses: what a storage message wants delivered once its work is done.
    """

    kind: MessageKind
    target: int = NO_NODE
    source: int = NO_NODE
    term: int = 0
    log_term: int = 0
    index: int = 0
    entries: Sequence[Entry] = ()
    commit: int = 0
    vote: int = NO_NODE
    snapshot: Snapshot | None = None
    reject: bool = False
    reject_hint: int = 0
    context: bytes = b""
    responses: Sequence["Message"] = ()


# The context of a vote request that a leader ordered by a transfer: voters grant it although they hear a leader.
TRANSFER_CONTEXT = b"CampaignTransfer"


def is_storage_thread(node_id: int) -> bool:
    """Say whether the id stands for the local storage."""
    return node_id >= APPLY_THREAD


def payload_bytes(entries: Sequence[Entry]) -> int:
    """Return the bytes of data in the entries; empty entries count nothing."""
    return sum([len(entry.data) for entry in entries])


def size_bytes(entries: Sequence[Entry]) -> int:
    """Return the bytes that the entries cost where sizes are bounded."""
    return payload_bytes(entries) + ENTRY_OVERHEAD_BYTES * len(entries)


def limit_size(entries: list[Entry], size_bytes_max: int) -> list[Entry]:
    """Return the longest prefix within the size, at least one entry if there is one."""
    if size_bytes_max == NO_LIMIT or len(entries) <= 1:
        return entries
    total = 0
    for position, entry in enumerate(entries):
        total += len(entry.data) + ENTRY_OVERHEAD_BYTES
        if total > size_bytes_max and position > 0:
            return entries[:position]
    return entries

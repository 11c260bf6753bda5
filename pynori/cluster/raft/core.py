"""Where every message and every tick goes: first what its term means, then to the role of the node."""

from pynori.cluster.raft.describe import Sentence
from pynori.cluster.raft.election import (
    answer_vote_request,
    is_in_lease,
    is_lease_promised,
    learn_commit,
    refuse_vote,
    stand,
    step_candidate,
    take_transfer_order,
)
from pynori.cluster.raft.follower import LEADER_KINDS, step_follower
from pynori.cluster.raft.leader import leave_joint_when_applied, step_leader, tick_leader
from pynori.cluster.raft.state import RaftState
from pynori.cluster.raft.types import (
    NO_NODE,
    Message,
    MessageKind,
    Role,
    Snapshot,
    payload_bytes,
    size_bytes,
)

_VOTE_REQUESTS = frozenset({MessageKind.VOTE, MessageKind.PRE_VOTE})


def tick(raft: RaftState) -> None:
    """Let a tick pass: a leader speaks, anybody else waits for one and stands for election after its timeout."""
    raft.ticks += 1
    if raft.role == Role.LEADER:
        tick_leader(raft)
        return
    raft.election_elapsed += 1
    if raft.election_elapsed >= raft.election_timeout and raft.is_promotable():
        raft.election_elapsed = 0
        stand(raft, raft.options.pre_vote)


def step(raft: RaftState, message: Message) -> None:
    """Take a message.

    Raises: ProposalDropped for a proposal that is not taken.
    """
    if message.reject and message.context:
        learn_commit(raft, message)
    if message.term > raft.term:
        if not _enter_higher_term(raft, message):
            return
    elif message.term and message.term < raft.term:
        _step_lower_term(raft, message)
        return
    kind = message.kind
    if kind in _VOTE_REQUESTS:
        answer_vote_request(raft, message)
    elif kind == MessageKind.STORAGE_APPEND_RESPONSE:
        if message.index:
            raft.log.unstable.end_write(message.index, message.log_term)
        if message.snapshot is not None:
            _end_snapshot(raft, message.snapshot)
    elif kind == MessageKind.STORAGE_APPLY_RESPONSE:
        _end_apply(raft, message)
    elif kind == MessageKind.CAMPAIGN:
        if not is_lease_promised(raft):
            stand(raft, raft.options.pre_vote)
    elif raft.role == Role.LEADER:
        step_leader(raft, message)
    elif raft.role != Role.FOLLOWER:
        step_candidate(raft, message)
    elif kind == MessageKind.TIMEOUT_NOW:
        take_transfer_order(raft, message)
    else:
        step_follower(raft, message)


def _enter_higher_term(raft: RaftState, message: Message) -> bool:
    """Follow into the term of a message; return False if the message is to be ignored."""
    kind = message.kind
    if kind in _VOTE_REQUESTS and is_in_lease(raft, message):
        return False
    # A pre-vote speaks of a term that does not exist yet, and so does its grant. A refusal carries a real one.
    if kind == MessageKind.PRE_VOTE or (kind == MessageKind.PRE_VOTE_RESPONSE and not message.reject):
        return True
    raft.say(Sentence.HIGHER_TERM, raft.node_id, raft.term, kind, message.source, message.term)
    raft.become_follower(message.term, message.source if kind in LEADER_KINDS else NO_NODE)
    return True


def _step_lower_term(raft: RaftState, message: Message) -> None:
    """Take a message of a term that is over: mostly nothing, but nobody may be left stuck behind."""
    kind = message.kind
    # A learner must speak up in any case: it never stands for election, which would bring its term to the others.
    has_to_tell = raft.options.check_quorum or raft.options.pre_vote or raft.is_learner
    if kind in (MessageKind.HEARTBEAT, MessageKind.APPEND) and has_to_tell:
        # Our term may be ahead because we were cut off and stood for election. Voters in a lease ignore us, so only
        # the leader itself can be told: this answer has our term, and makes it step down for a new election.
        raft.send(Message(MessageKind.APPEND_RESPONSE, message.source))
    elif kind == MessageKind.PRE_VOTE:
        # Told of our term, a candidate that is behind can catch up with it.
        refuse_vote(raft, message)
    elif kind == MessageKind.STORAGE_APPEND_RESPONSE:
        if message.index:
            # The same places may be written again under the new term: ready.storage_append_response.
            raft.say(Sentence.LOWER_TERM_APPEND, raft.node_id, raft.term, kind, message.term)
        if message.snapshot is not None:
            # What a snapshot holds is committed, whatever the term.
            _end_snapshot(raft, message.snapshot)
    else:
        raft.say(Sentence.LOWER_TERM, raft.node_id, raft.term, kind, message.source, message.term)


def _end_snapshot(raft: RaftState, snapshot: Snapshot) -> None:
    raft.log.unstable.end_snapshot_write(snapshot.index)
    end_applied(raft, snapshot.index, 0)


def _end_apply(raft: RaftState, message: Message) -> None:
    if message.entries:
        end_applied(raft, message.entries[-1].index, size_bytes(message.entries))
        raft.uncommitted_bytes = max(0, raft.uncommitted_bytes - payload_bytes(message.entries))


def end_applied(raft: RaftState, index: int, applied_bytes: int) -> None:
    """Note how far the application is; it may be time to leave a joint membership."""
    applied = max(index, raft.log.applied)
    raft.log.end_applying(applied, applied_bytes)
    leave_joint_when_applied(raft, applied)

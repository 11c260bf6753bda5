"""What a follower does with the words of its leader, and with what others ask of it.

The `take_` functions serve candidates too, once a leader of their term has shown itself.
"""

from collections.abc import Callable

from pynori.cluster.raft.describe import Sentence, describe_membership
from pynori.cluster.raft.reconfigure import switch_membership
from pynori.cluster.raft.state import RaftState
from pynori.cluster.raft.types import (
    NO_NODE,
    Message,
    MessageKind,
    ProposalDropped,
    ReadState,
    Role,
    Snapshot,
)


def take_append(raft: RaftState, message: Message) -> None:
    """Append a leader's entries, or say where the logs may still agree."""
    log = raft.log
    answer = Message(MessageKind.APPEND_RESPONSE, message.source)
    if message.index < log.committed:
        # Out of date: what is committed agrees for certain.
        answer.index = log.committed
        raft.send(answer)
        return
    last = log.try_append(message.index, message.log_term, message.entries, message.commit)
    if last is not None:
        answer.index = last
        raft.send(answer)
        return
    own_term = log.term(message.index) or 0
    raft.say(
        Sentence.APPEND_REFUSED, raft.node_id, own_term, message.index, message.log_term, message.index, message.source
    )
    # The leader's log has no term above log_term up to there, so ours agrees at none of its entries of a later term.
    answer.index = message.index
    answer.reject = True
    answer.reject_hint, answer.log_term = log.highest_at_most(min(message.index, log.last_index()), message.log_term)
    raft.send(answer)


def take_heartbeat(raft: RaftState, message: Message) -> None:
    """Move the commit index to what the leader knows that we have, and answer."""
    raft.log.commit_to(message.commit)
    raft.send(Message(MessageKind.HEARTBEAT_RESPONSE, message.source, context=message.context))


def take_snapshot(raft: RaftState, message: Message) -> None:
    """Replace log and membership by a snapshot, unless it brings nothing, and say how far we are."""
    snapshot = message.snapshot or Snapshot()
    is_restored = _restore(raft, snapshot)
    sentence = Sentence.SNAPSHOT_RESTORED if is_restored else Sentence.SNAPSHOT_IGNORED
    raft.say(sentence, raft.node_id, raft.log.committed, snapshot.index, snapshot.term)
    index = raft.log.last_index() if is_restored else raft.log.committed
    raft.send(Message(MessageKind.APPEND_RESPONSE, message.source, index=index))


def _restore(raft: RaftState, snapshot: Snapshot) -> bool:
    """Take a snapshot over; return False if it is old, not for us, or only says what our log has."""
    log = raft.log
    if snapshot.index <= log.committed:
        return False
    if raft.node_id not in snapshot.membership.members():
        text = describe_membership(snapshot.membership)
        raft.say(Sentence.SNAPSHOT_WITHOUT_US, raft.node_id, text)
        return False
    if log.matches(snapshot.index, snapshot.term):
        last, last_term = log.last_id()
        raft.say(Sentence.SNAPSHOT_FORWARD, raft.node_id, log.committed, last, last_term, snapshot.index, snapshot.term)
        log.commit_to(snapshot.index)
        return False
    log.restore(snapshot)
    # Nothing that was known of the members is worth keeping: this log begins anew.
    raft.tracker.clear()
    raft.membership_index = snapshot.index
    switch_membership(raft, snapshot.membership)
    last, last_term = log.last_id()
    raft.say(Sentence.SNAPSHOT_TAKEN, raft.node_id, log.committed, last, last_term, snapshot.index, snapshot.term)
    return True


# What only the leader of a term says, and how it is taken.
LEADER_KINDS: dict[MessageKind, Callable[[RaftState, Message], None]] = {
    MessageKind.APPEND: take_append,
    MessageKind.HEARTBEAT: take_heartbeat,
    MessageKind.SNAPSHOT: take_snapshot,
}


def step_follower(raft: RaftState, message: Message) -> None:
    """Take a message of this term as a follower.

    Raises: ProposalDropped for a proposal that cannot be forwarded.
    """
    kind = message.kind
    take = LEADER_KINDS.get(kind)
    if take is not None:
        raft.election_elapsed = 0
        raft.leader = message.source
        take(raft, message)
    elif kind == MessageKind.PROPOSE:
        _forward_proposal(raft, message)
    elif kind == MessageKind.TRANSFER_LEADER:
        _forward_or_say(raft, message, Sentence.TRANSFER_WITHOUT_LEADER)
    elif kind == MessageKind.READ_INDEX:
        _forward_or_say(raft, message, Sentence.READ_WITHOUT_LEADER)
    elif kind == MessageKind.READ_INDEX_RESPONSE:
        if len(message.entries) != 1:
            raft.say(Sentence.READ_ANSWER_BAD, raft.node_id, message.source, len(message.entries))
        else:
            raft.read_states.append(ReadState(message.index, message.entries[0].data))
    elif kind == MessageKind.FORGET_LEADER:
        _forget_leader(raft)


def _forward_proposal(raft: RaftState, message: Message) -> None:
    if raft.leader == NO_NODE:
        raft.say(Sentence.PROPOSAL_WITHOUT_LEADER, raft.node_id, raft.term)
        raise ProposalDropped
    if not raft.options.forward_proposals:
        raft.say(Sentence.PROPOSAL_NOT_FORWARDED, raft.node_id, raft.leader, raft.term)
        raise ProposalDropped
    raft.forward(message)


def _forward_or_say(raft: RaftState, message: Message, sentence: Sentence) -> None:
    if raft.leader == NO_NODE:
        raft.say(sentence, raft.node_id, raft.term)
    else:
        raft.forward(message)


def _forget_leader(raft: RaftState) -> None:
    """Take the leader for gone, so that votes are given at once; its next word brings it back."""
    if raft.options.lease_reads:
        # The lease promises that nobody votes while it lasts.
        raft.say(Sentence.LEADER_KEPT)
    elif raft.role == Role.FOLLOWER and raft.leader != NO_NODE:
        raft.say(Sentence.LEADER_FORGOTTEN, raft.node_id, raft.leader, raft.term)
        raft.leader = NO_NODE

"""How a node comes to lead: standing for election, giving votes, counting them.

With pre-vote a node asks first whether it would be elected, without touching its term; only a majority of yes begins
the election. So a node that was cut off does not come back with a high term and depose a leader that works.
"""

import struct

from pynori.cluster.raft.describe import Sentence
from pynori.cluster.raft.follower import LEADER_KINDS
from pynori.cluster.raft.leader import become_leader
from pynori.cluster.raft.quorum import VoteResult
from pynori.cluster.raft.replication import broadcast_append
from pynori.cluster.raft.state import RaftState
from pynori.cluster.raft.types import (
    NO_NODE,
    TRANSFER_CONTEXT,
    Message,
    MessageKind,
    ProposalDropped,
    Role,
)

# The context of a refused vote: index and term of an entry that is committed.
_COMMIT = struct.Struct("<QQ")
RESPONSE_OF = {MessageKind.VOTE: MessageKind.VOTE_RESPONSE, MessageKind.PRE_VOTE: MessageKind.PRE_VOTE_RESPONSE}


def stand(raft: RaftState, is_pre_vote: bool, is_transfer: bool = False) -> None:
    """Stand for election if this node may.

    is_transfer: the leader ordered it; then no pre-vote is needed, and voters do not mind the leader's lease.
    """
    if raft.role == Role.LEADER:
        raft.say(Sentence.ALREADY_LEADER, raft.node_id)
    elif not raft.is_promotable():
        raft.say(Sentence.UNPROMOTABLE, raft.node_id)
    elif raft.log.has_unapplied_change():
        # Our membership is out of date: the majority that we would ask may not be the one that decides.
        raft.say(Sentence.CHANGE_UNAPPLIED, raft.node_id, raft.term)
    else:
        raft.say(Sentence.ELECTION_STARTS, raft.node_id, raft.term)
        _campaign(raft, MessageKind.PRE_VOTE if is_pre_vote else MessageKind.VOTE, is_transfer)


def _campaign(raft: RaftState, kind: MessageKind, is_transfer: bool) -> None:
    """Ask all voters, ourselves too: our own vote counts when it is durable, as everybody's."""
    if kind == MessageKind.PRE_VOTE:
        raft.become_pre_candidate()
        term = raft.term + 1
    else:
        raft.become_candidate()
        term = raft.term
    context = TRANSFER_CONTEXT if is_transfer else b""
    for voter in sorted(raft.tracker.membership.all_voters()):
        if voter == raft.node_id:
            raft.send(Message(RESPONSE_OF[kind], voter, term=term))
            continue
        last, last_term = raft.log.last_id()
        raft.say(Sentence.VOTE_REQUESTED, raft.node_id, last_term, last, kind, voter, raft.term)
        raft.send(Message(kind, voter, term=term, log_term=last_term, index=last, context=context))


def is_in_lease(raft: RaftState, message: Message) -> bool:
    """Say whether a vote request must be ignored because a leader was heard within the shortest election time.

    Without this a leader's lease would mean nothing: a majority could elect another while it still answers reads.
    """
    if message.context == TRANSFER_CONTEXT or not raft.options.check_quorum:
        return False
    remaining_ticks = _lease_ticks(raft)
    if remaining_ticks <= 0:
        return False
    _say_vote(raft, Sentence.VOTE_IN_LEASE, message, remaining_ticks)
    return True


def _lease_ticks(raft: RaftState) -> int:
    """Return for how many ticks a lease lasts that this node may have promised a leader."""
    ticks = raft.options.election_ticks
    if raft.leader != NO_NODE:
        return ticks - raft.election_elapsed
    # Before its restart this node may have answered a leader that it no longer knows.
    return ticks - raft.ticks if raft.options.lease_reads and raft.may_have_promised else 0


def is_lease_promised(raft: RaftState) -> bool:
    """Say whether this node may not stand for election of its own will, because a leader reads on its word."""
    if not raft.options.lease_reads or raft.role == Role.LEADER or _lease_ticks(raft) <= 0:
        return False
    raft.say(Sentence.CAMPAIGN_IN_LEASE, raft.node_id, raft.term)
    return True


def answer_vote_request(raft: RaftState, message: Message) -> None:
    """Give the vote if it is free and the candidate's log is not behind ours; refuse it otherwise.

    Learners vote too: one that was promoted may not know it yet, and a majority may depend on it.
    """
    is_pre_vote = message.kind == MessageKind.PRE_VOTE
    is_free = (
        raft.vote == message.source
        or (raft.vote == NO_NODE and raft.leader == NO_NODE)
        or (is_pre_vote and message.term > raft.term)
    )
    if not is_free or not raft.log.is_up_to_date(message.index, message.log_term):
        refuse_vote(raft, message)
        return
    _say_vote(raft, Sentence.VOTE_CAST, message)
    # The answer carries the term asked about: of a pre-vote it is ahead of ours, and ours could look out of date.
    raft.send(Message(RESPONSE_OF[message.kind], message.source, term=message.term))
    if not is_pre_vote:
        raft.election_elapsed = 0
        raft.vote = message.source


def refuse_vote(raft: RaftState, message: Message) -> None:
    """Refuse a vote, with our term and commit index, from which a candidate may learn that it is behind.

    The commit index breaks a knot: a leader that removed itself and stepped down is the only one to know so, while the
    others have that entry, do not know it to be committed, and still need the vote of the one whom it removes.
    """
    _say_vote(raft, Sentence.VOTE_REFUSED, message)
    index = min(raft.log.committed, message.index)
    context = _COMMIT.pack(index, raft.log.term(index) or 0)
    raft.send(Message(RESPONSE_OF[message.kind], message.source, term=raft.term, reject=True, context=context))


def learn_commit(raft: RaftState, message: Message) -> None:
    """Commit what a refusal says to be committed, where our log agrees with it; true at whatever term."""
    if len(message.context) == _COMMIT.size:
        index, term = _COMMIT.unpack(message.context)
        if term and raft.log.matches(index, term):
            raft.log.commit_to(index)


def _say_vote(raft: RaftState, sentence: Sentence, message: Message, *more: object) -> None:
    last, last_term = raft.log.last_id()
    raft.say(
        sentence, raft.node_id, last_term, last, raft.vote, message.kind, message.source, message.log_term,
        message.index, raft.term, *more,
    )  # fmt: skip


def step_candidate(raft: RaftState, message: Message) -> None:
    """Take a message of this term as a candidate or pre-candidate.

    Raises: ProposalDropped for proposals, as nobody leads.
    """
    kind = message.kind
    own_response = (
        MessageKind.PRE_VOTE_RESPONSE if raft.role == Role.PRE_CANDIDATE else MessageKind.VOTE_RESPONSE
    )
    take = LEADER_KINDS.get(kind)
    if take is not None:
        raft.become_follower(message.term, message.source)
        take(raft, message)
    elif kind == own_response:
        _count_vote(raft, message)
    elif kind == MessageKind.PROPOSE:
        raft.say(Sentence.PROPOSAL_WITHOUT_LEADER, raft.node_id, raft.term)
        raise ProposalDropped
    elif kind == MessageKind.TIMEOUT_NOW:
        raft.say(Sentence.TRANSFER_ORDER_IGNORED, raft.node_id, raft.term, raft.role, message.source)


def _count_vote(raft: RaftState, message: Message) -> None:
    """Count a vote; a majority ends the election either way."""
    sentence = Sentence.REFUSAL_RECEIVED if message.reject else Sentence.VOTE_RECEIVED
    raft.say(sentence, raft.node_id, message.kind, message.source, raft.term)
    granted, refused, result = raft.tracker.record_vote(message.source, not message.reject)
    raft.say(Sentence.VOTES_COUNTED, raft.node_id, granted, message.kind, refused)
    if result == VoteResult.LOST:
        raft.become_follower(raft.term, NO_NODE)
    elif result == VoteResult.WON and raft.role == Role.PRE_CANDIDATE:
        _campaign(raft, MessageKind.VOTE, is_transfer=False)
    elif result == VoteResult.WON:
        become_leader(raft)
        broadcast_append(raft)


def take_transfer_order(raft: RaftState, message: Message) -> None:
    """Stand for election at once, because the leader hands its place over."""
    raft.say(Sentence.TRANSFER_ORDERED, raft.node_id, raft.term, message.source)
    stand(raft, is_pre_vote=False, is_transfer=True)

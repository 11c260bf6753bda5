"""What a leader does with proposals, acknowledgements, reads and wishes of transfer."""

from collections.abc import Callable

from pynori.cluster.raft.describe import Sentence, describe_change, describe_membership
from pynori.cluster.raft.membership import decode_change
from pynori.cluster.raft.progress import Progress, ProgressState
from pynori.cluster.raft.quorum import joint_committed
from pynori.cluster.raft.read_only import WAITING_READS_MAX
from pynori.cluster.raft.replication import (
    advance_commit,
    append_own,
    broadcast_append,
    broadcast_heartbeat,
    send_append,
)
from pynori.cluster.raft.state import RaftState
from pynori.cluster.raft.types import (
    NO_NODE,
    Entry,
    EntryKind,
    InvariantBroken,
    Message,
    MessageKind,
    ProposalDropped,
    ReadState,
    Role,
)


def become_leader(raft: RaftState) -> None:
    """Take the lead after a won election, with an empty entry of the new term.

    That entry commits whatever older leaders left on a quorum, and shows where the log stands.
    """
    if raft.role == Role.FOLLOWER:
        raise InvariantBroken("invalid transition [follower -> leader]")
    raft.restart(raft.term)
    raft.leader = raft.node_id
    raft.role = Role.LEADER
    own = raft.tracker.progress[raft.node_id]
    own.become_replicate()
    own.recent_active = True
    # A change may stand in the uncommitted end of the log; rather than look, wait until all of it is applied.
    raft.pending_change_index = raft.log.last_index()
    append_own(raft, [Entry()])
    raft.say(Sentence.BECAME_LEADER, raft.node_id, raft.term)


def step_leader(raft: RaftState, message: Message) -> None:
    """Take a message of this term as its leader."""
    handler = _HANDLERS.get(message.kind)
    if handler is not None:
        handler(raft, message)
        return
    answer = _ANSWER_HANDLERS.get(message.kind)
    if answer is None:
        return
    progress = raft.tracker.progress.get(message.source)
    if progress is None:
        raft.say(Sentence.NO_PROGRESS, raft.node_id, message.source)
        return
    answer(raft, message, progress)


def tick_leader(raft: RaftState) -> None:
    """Let a tick pass: count the quorum and give up transfers each election time, send heartbeats."""
    raft.heartbeat_elapsed += 1
    raft.election_elapsed += 1
    if raft.election_elapsed >= raft.options.election_ticks:
        raft.election_elapsed = 0
        if raft.options.check_quorum:
            _check_quorum(raft)
        # Under another leader this is NO_NODE already.
        raft.transferee = NO_NODE
    if raft.role == Role.LEADER and raft.heartbeat_elapsed >= raft.options.heartbeat_ticks:
        raft.heartbeat_elapsed = 0
        broadcast_heartbeat(raft)


def _check_quorum(raft: RaftState) -> None:
    """Step down unless a quorum answered since the last count; then count anew."""
    if not raft.tracker.is_quorum_active():
        raft.say(Sentence.QUORUM_INACTIVE, raft.node_id)
        raft.become_follower(raft.term, NO_NODE)
    for node_id, progress in raft.tracker.in_order:
        if node_id != raft.node_id:
            progress.recent_active = False


def _on_propose(raft: RaftState, message: Message) -> None:
    """Append proposals and send them out.

    Raises: ProposalDropped if this node is no member any more, hands its lead over, or too much is uncommitted.
    """
    if not message.entries:
        raise InvariantBroken(f"{raft.node_id:x} stepped empty MsgProp")
    if raft.node_id not in raft.tracker.progress:
        raise ProposalDropped
    if raft.transferee != NO_NODE:
        raft.say(Sentence.PROPOSAL_IN_TRANSFER, raft.node_id, raft.term, raft.transferee)
        raise ProposalDropped
    entries = list(message.entries)
    for position, entry in enumerate(entries):
        if entry.kind != EntryKind.NORMAL:
            entries[position] = _admit_change(raft, entry, raft.log.last_index() + position + 1)
    if not append_own(raft, entries):
        raise ProposalDropped
    broadcast_append(raft)


def _admit_change(raft: RaftState, entry: Entry, index: int) -> Entry:
    """Return a membership change that may go into the log at `index`, or an empty entry in its place.

    One change at a time: two that overlap could lead to two majorities that share no node.
    """
    change = decode_change(entry.kind, entry.data)
    membership = raft.tracker.membership
    applied = raft.log.applied
    reason = ""
    if raft.pending_change_index > applied:
        reason = f"possible unapplied conf change at index {raft.pending_change_index} (applied to {applied})"
    elif membership.is_joint() and change.changes:
        reason = "must transition out of joint config first"
    elif not membership.is_joint() and not change.changes:
        reason = "not in joint state; refusing empty conf change"
    if reason and raft.options.validate_changes:
        text = describe_membership(membership)
        raft.say(Sentence.CHANGE_IGNORED, raft.node_id, describe_change(change), text, reason)
        return Entry()
    raft.pending_change_index = index
    return entry


def leave_joint_when_applied(raft: RaftState, applied: int) -> None:
    """Propose to leave a joint membership that wants it, once everything up to its entry is applied.

    A transfer in progress refuses the proposal; the next applied entry tries again, here or at the new leader.
    """
    membership = raft.tracker.membership
    if not membership.auto_leave or applied < raft.pending_change_index or raft.role != Role.LEADER:
        return
    entry = Entry(kind=EntryKind.CHANGE_V2)
    try:
        _on_propose(raft, Message(MessageKind.PROPOSE, source=raft.node_id, entries=(entry,)))
    except ProposalDropped as error:
        raft.say(Sentence.JOINT_STAYS, describe_membership(membership), error)
    else:
        raft.say(Sentence.JOINT_LEAVES, describe_membership(membership))


def _on_append_response(raft: RaftState, message: Message, progress: Progress) -> None:
    """Take what a follower, or this node's own storage, says about the log it has."""
    progress.recent_active = True
    if message.reject:
        _on_append_refused(raft, message, progress)
        return
    is_probe_answer = progress.state == ProgressState.PROBE and progress.match == message.index
    if not progress.acknowledge(message.index) and not is_probe_answer:
        return
    if progress.state == ProgressState.PROBE:
        progress.become_replicate()
    elif progress.state == ProgressState.REPLICATE:
        progress.window.free_up_to(message.index)
    elif progress.match + 1 >= raft.log.first_index():
        # Whatever snapshot it was that the follower has: from here on the log reaches.
        raft.say(Sentence.SNAPSHOT_RECOVERED, raft.node_id, message.source, progress)
        progress.become_probe()
        progress.become_replicate()
    is_own = message.source == raft.node_id
    if advance_commit(raft):
        _release_reads(raft)
        broadcast_append(raft)
    elif not is_own and progress.can_raise_commit(raft.log.committed):
        send_append(raft, message.source)
    if is_own:
        return
    # The acknowledgement may have opened the window for more than one append.
    while send_append(raft, message.source, may_be_empty=False):
        pass
    if message.source == raft.transferee and progress.match == raft.log.last_index():
        raft.say(Sentence.TRANSFER_CAUGHT_UP, raft.node_id, message.source)
        _order_election(raft, message.source)


def _order_election(raft: RaftState, node_id: int) -> None:
    raft.is_lease_void = True
    raft.send(Message(MessageKind.TIMEOUT_NOW, node_id))


def _on_append_refused(raft: RaftState, message: Message, progress: Progress) -> None:
    """Go back to where both logs may agree.

    The follower names its last entry that is not of a later term than the append's. Terms never fall along a log, so
    the logs cannot agree at any of our entries of a later term than that: skip them all. Each refusal so passes over a
    whole term, and not over one entry.
    """
    hint, hint_term = message.reject_hint, message.log_term
    raft.say(Sentence.REFUSAL_OF_APPEND, raft.node_id, hint, hint_term, message.source, message.index)
    if hint_term:
        hint, _ = raft.log.highest_at_most(hint, hint_term)
    if progress.refuse(message.index, hint):
        raft.say(Sentence.PROGRESS_DECREASED, raft.node_id, message.source, progress)
        if progress.state == ProgressState.REPLICATE:
            progress.become_probe()
        send_append(raft, message.source)


def _on_heartbeat_response(raft: RaftState, message: Message, progress: Progress) -> None:
    """Send a follower that is behind what it lacks, and confirm the reads that waited for this answer."""
    progress.recent_active = True
    progress.is_flow_paused = False
    if progress.match < raft.log.last_index() or progress.state == ProgressState.PROBE:
        send_append(raft, message.source)
    if not message.context:
        return
    # A tick that we have not come to cannot be ours.
    tick = min(raft.read_queue.acknowledge(message.source, message.context), raft.ticks)
    progress.lease_tick = max(progress.lease_tick, tick)
    for read in raft.read_queue.take_confirmed(raft.tracker.membership):
        _answer_read(raft, read.request, read.index)


def _on_read_index(raft: RaftState, message: Message) -> None:
    """Find the index up to which a read must see the state, once it is sure that nobody else leads."""
    if raft.tracker.decides_alone(raft.node_id):
        _answer_read(raft, message, raft.log.committed)
    elif raft.log.term(raft.log.committed) == raft.term:
        _confirm_read(raft, message)
    elif len(raft.waiting_reads) < WAITING_READS_MAX:
        # Before its first own commit a leader does not know how far its predecessors committed.
        raft.waiting_reads.append(message)
    else:
        raft.say(Sentence.READ_TOO_MANY, raft.node_id)


def _release_reads(raft: RaftState) -> None:
    """Go on with the reads that waited for the first commit of this term."""
    waiting, raft.waiting_reads = raft.waiting_reads, []
    for message in waiting:
        _confirm_read(raft, message)


def _confirm_read(raft: RaftState, message: Message) -> None:
    if raft.options.lease_reads and _has_lease(raft):
        _answer_read(raft, message, raft.log.committed)
    elif raft.read_queue.add(message, raft.log.committed):
        raft.read_queue.acknowledge(raft.node_id, raft.read_queue.context())
        broadcast_heartbeat(raft)
    else:
        raft.say(Sentence.READ_TOO_MANY, raft.node_id)


def _has_lease(raft: RaftState) -> bool:
    """Say whether a quorum has promised, within the last half election time, to elect nobody else yet."""
    if raft.is_lease_void:
        return False
    progress, membership = raft.tracker.progress, raft.tracker.membership

    def tick_of(node_id: int) -> int:
        return raft.ticks if node_id == raft.node_id else progress[node_id].lease_tick

    tick = joint_committed(membership.voters, membership.outgoing, tick_of)
    return tick > 0 and raft.ticks - tick < raft.options.election_ticks // 2


def _answer_read(raft: RaftState, request: Message, index: int) -> None:
    """Hand the index to our own application, or send it to the follower that asked."""
    if request.source in (NO_NODE, raft.node_id):
        raft.read_states.append(ReadState(index, request.entries[0].data))
    else:
        answer = Message(MessageKind.READ_INDEX_RESPONSE, request.source, index=index, entries=request.entries)
        raft.send(answer)


def _on_snapshot_status(raft: RaftState, message: Message, progress: Progress) -> None:
    """Take what the transport says about a snapshot: go on behind it, or from where the follower was."""
    if progress.state != ProgressState.SNAPSHOT:
        return
    if message.reject:
        progress.pending_snapshot = 0
    progress.become_probe()
    sentence = Sentence.SNAPSHOT_FAILED if message.reject else Sentence.SNAPSHOT_SUCCEEDED
    raft.say(sentence, raft.node_id, message.source, progress)
    # It arrived: wait for its answer. It failed: wait a heartbeat before the next try.
    progress.is_flow_paused = True


def _on_unreachable(raft: RaftState, message: Message, progress: Progress) -> None:
    """Take it that what was sent ahead is lost."""
    if progress.state == ProgressState.REPLICATE:
        progress.become_probe()
    raft.say(Sentence.UNREACHABLE, raft.node_id, message.source, progress)


def _on_transfer(raft: RaftState, message: Message, progress: Progress) -> None:
    """Hand the lead to the message's source: bring it up to date, then order it to stand for election at once."""
    target = message.source
    if progress.is_learner:
        raft.say(Sentence.TRANSFER_TO_LEARNER, raft.node_id)
        return
    if raft.transferee == target:
        raft.say(Sentence.TRANSFER_REPEATED, raft.node_id, raft.term, target, target)
        return
    if raft.transferee != NO_NODE:
        raft.say(Sentence.TRANSFER_REPLACED, raft.node_id, raft.term, raft.transferee)
        raft.transferee = NO_NODE
    if target == raft.node_id:
        raft.say(Sentence.TRANSFER_TO_SELF, raft.node_id)
        return
    raft.say(Sentence.TRANSFER_STARTS, raft.node_id, raft.term, target)
    # It has one election time from now.
    raft.election_elapsed = 0
    raft.transferee = target
    if progress.match == raft.log.last_index():
        _order_election(raft, target)
        raft.say(Sentence.TRANSFER_AT_ONCE, raft.node_id, target, target)
    else:
        send_append(raft, target)


def _on_beat(raft: RaftState, _: Message) -> None:
    broadcast_heartbeat(raft)


def _on_check_quorum(raft: RaftState, _: Message) -> None:
    _check_quorum(raft)


_HANDLERS: dict[MessageKind, Callable[[RaftState, Message], None]] = {
    MessageKind.PROPOSE: _on_propose,
    MessageKind.READ_INDEX: _on_read_index,
    MessageKind.BEAT: _on_beat,
    MessageKind.CHECK_QUORUM: _on_check_quorum,
}
_ANSWER_HANDLERS: dict[MessageKind, Callable[[RaftState, Message, Progress], None]] = {
    MessageKind.APPEND_RESPONSE: _on_append_response,
    MessageKind.HEARTBEAT_RESPONSE: _on_heartbeat_response,
    MessageKind.SNAPSHOT_STATUS: _on_snapshot_status,
    MessageKind.UNREACHABLE: _on_unreachable,
    MessageKind.TRANSFER_LEADER: _on_transfer,
}

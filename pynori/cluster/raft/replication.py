"""How a leader brings its log to everybody: appends, snapshots, heartbeats, and the commit index that follows."""

from pynori.cluster.raft.describe import Sentence
from pynori.cluster.raft.progress import Progress, ProgressState
from pynori.cluster.raft.state import RaftState
from pynori.cluster.raft.types import Entry, Message, MessageKind, payload_bytes


def append_own(raft: RaftState, proposals: list[Entry]) -> bool:
    """Give proposals their places at the end of the leader's log; return False if too much is uncommitted.

    The leader acknowledges them to itself like a follower, once they are durable.
    """
    size = payload_bytes(proposals)
    # Empty entries always pass, and so does any first proposal: otherwise a large one could never be made.
    if size and raft.uncommitted_bytes and raft.uncommitted_bytes + size > raft.options.uncommitted_bytes():
        raft.say(Sentence.PROPOSAL_TOO_MUCH, raft.node_id)
        return False
    raft.uncommitted_bytes += size
    first = raft.log.last_index() + 1
    term = raft.term
    entries = [Entry(term, index, entry.data, entry.kind) for index, entry in enumerate(proposals, first)]
    last = raft.log.append(entries)
    raft.send(Message(MessageKind.APPEND_RESPONSE, raft.node_id, index=last))
    return True


def send_append(raft: RaftState, node_id: int, may_be_empty: bool = True) -> bool:
    """Send a follower what comes next, or a snapshot where the log no longer reaches back; return whether it was sent.

    may_be_empty: an append without entries still tells the commit index, and finds out where a follower stands.
    """
    progress = raft.tracker.progress[node_id]
    if progress.is_paused():
        return False
    log = raft.log
    previous_term = log.term(progress.next - 1)
    if previous_term is None:
        return _send_snapshot(raft, node_id, progress)
    # A full window still lets an empty append through: if all that fills it was lost, its refusal clears the way.
    is_full = progress.state == ProgressState.REPLICATE and progress.window.is_full()
    entries = [] if is_full else log.entries(progress.next, raft.options.message_bytes_max)
    if not entries and not may_be_empty:
        return False
    raft.send(
        Message(
            MessageKind.APPEND, node_id, log_term=previous_term, index=progress.next - 1, entries=entries,
            commit=log.committed,
        )
    )  # fmt: skip
    progress.sent_entries(len(entries), payload_bytes(entries))
    progress.sent_commit = log.committed
    return True


def _send_snapshot(raft: RaftState, node_id: int, progress: Progress) -> bool:
    """Send a snapshot to a follower that is there to take it; return whether it was sent."""
    if not progress.recent_active:
        raft.say(Sentence.SNAPSHOT_TO_INACTIVE, node_id)
        return False
    snapshot = raft.log.snapshot()
    if snapshot is None or snapshot.is_empty():
        raft.say(Sentence.SNAPSHOT_NOT_READY, raft.node_id, node_id)
        return False
    raft.say(
        Sentence.SNAPSHOT_SENT, raft.node_id, raft.log.first_index(), raft.log.committed, snapshot.index,
        snapshot.term, node_id, progress,
    )  # fmt: skip
    progress.become_snapshot(snapshot.index)
    raft.say(Sentence.SNAPSHOT_PAUSES, raft.node_id, node_id, progress)
    raft.send(Message(MessageKind.SNAPSHOT, node_id, snapshot=snapshot))
    return True


def broadcast_append(raft: RaftState, may_be_empty: bool = True) -> None:
    """Send everybody what comes next."""
    for node_id, _ in raft.tracker.in_order:
        if node_id != raft.node_id:
            send_append(raft, node_id, may_be_empty)


def broadcast_heartbeat(raft: RaftState) -> None:
    """Tell everybody that the leader is there, the commit index as far as each can have it, and which reads wait."""
    context = raft.read_queue.context(raft.ticks if raft.options.lease_reads else 0)
    for node_id, progress in raft.tracker.in_order:
        if node_id != raft.node_id:
            # Never beyond what is known to agree: behind it the follower may hold entries of another leader.
            commit = min(progress.match, raft.log.committed)
            raft.send(Message(MessageKind.HEARTBEAT, node_id, commit=commit, context=context))
            progress.sent_commit = commit


def advance_commit(raft: RaftState) -> bool:
    """Commit what a quorum has; return whether the commit index moved."""
    return raft.log.try_commit(raft.tracker.committed(), raft.term)

"""How a node takes over a membership: from an applied change, a snapshot, or its storage at the start."""

from pynori.cluster.raft.describe import Sentence, describe_membership
from pynori.cluster.raft.membership import MembershipChange, apply_change, check_membership
from pynori.cluster.raft.replication import advance_commit, broadcast_append
from pynori.cluster.raft.state import RaftState
from pynori.cluster.raft.types import NO_NODE, Membership, Role, Superseded


def apply_membership_change(raft: RaftState, change: MembershipChange, index: int) -> Membership:
    """Take over the change of the entry `index`; return the membership it leads to.

    Raises: ChangeRefused if it does not fit the membership. Then every node refuses it in the same way. Superseded if
    the membership is already that of a snapshot with this entry.
    """
    if index <= raft.membership_index:
        raise Superseded(f"change {index} is part of the snapshot {raft.membership_index}")
    membership = apply_change(raft.tracker.membership, change)
    raft.membership_index = index
    switch_membership(raft, membership)
    return membership


def switch_membership(raft: RaftState, membership: Membership) -> None:
    """Take over a membership, and do what follows from it for the role of this node."""
    check_membership(membership)
    raft.tracker.switch(membership, raft.log.last_index())
    raft.say(Sentence.SWITCHED, raft.node_id, describe_membership(membership))
    own = raft.tracker.progress.get(raft.node_id)
    raft.is_learner = own is not None and own.is_learner
    if raft.role != Role.LEADER:
        return
    if own is None or raft.is_learner:
        # A leader that is out may still commit what it has begun, if it is not to step down at once.
        if raft.options.step_down_on_removal:
            raft.become_follower(raft.term, NO_NODE)
        return
    if not membership.voters:
        return
    # A smaller quorum may have more entries; otherwise at least nobody new has to wait for a heartbeat.
    is_more_committed = advance_commit(raft)
    broadcast_append(raft, may_be_empty=is_more_committed)
    if raft.transferee != NO_NODE and raft.transferee not in membership.all_voters():
        raft.transferee = NO_NODE

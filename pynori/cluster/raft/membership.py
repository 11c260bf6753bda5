"""Changes of the membership: how they are written into entries, and what they make of a membership.

A simple change moves at most one voter, so that the majorities before and after always share a node. Any other change
goes through a joint membership, in which the majority of the old voters and that of the new ones must both agree, and
which is left by a second entry. All functions take a membership and return another; nothing is changed in place.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

from pynori.cluster.raft.types import NO_NODE, ChangeRefused, EntryKind, Membership


class ChangeKind(IntEnum):
    """What happens to one node."""

    ADD_VOTER = 0
    REMOVE = 1
    UPDATE = 2
    ADD_LEARNER = 3

    def __str__(self) -> str:
        return ("ConfChangeAddNode", "ConfChangeRemoveNode", "ConfChangeUpdateNode", "ConfChangeAddLearnerNode")[self]


class Transition(IntEnum):
    """How a change is carried out.

    AUTO: simply where one change allows it, otherwise joint and left automatically. JOINT_IMPLICIT: joint, left
    automatically. JOINT_EXPLICIT: joint until an empty change is proposed.
    """

    AUTO = 0
    JOINT_IMPLICIT = 1
    JOINT_EXPLICIT = 2

    def __str__(self) -> str:
        names = ("ConfChangeTransitionAuto", "ConfChangeTransitionJointImplicit", "ConfChangeTransitionJointExplicit")
        return names[self]


@dataclass(slots=True, frozen=True)
class NodeChange:
    """One step of a change. Node 0 means: nothing; so an application annuls a step it does not want."""

    kind: ChangeKind
    node_id: int


@dataclass(slots=True, frozen=True)
class MembershipChange:
    """A change as it is proposed and written into an entry.

    is_single: the first, simple form: exactly one step, no transition.
    context: what the application wants to find again when it applies the entry.
    """

    changes: tuple[NodeChange, ...] = ()
    transition: Transition = Transition.AUTO
    context: bytes = b""
    is_single: bool = False

    def leaves_joint(self) -> bool:
        """Say whether this is the empty change, which leaves a joint membership."""
        return self.transition == Transition.AUTO and not self.changes

    def enters_joint(self) -> bool:
        """Say whether the change goes through a joint membership."""
        return self.transition != Transition.AUTO or len(self.changes) > 1


# Entry data: form and transition, number of steps, then for each step kind and node id, then the context.
_HEAD = struct.Struct("<BH")
_STEP = struct.Struct("<BQ")
CHANGES_MAX = 2**16 - 1


def encode_change(change: MembershipChange) -> tuple[EntryKind, bytes]:
    """Return kind and data of the entry that carries the change.

    The change that leaves a joint membership has no data, so that no bound on sizes can ever refuse it.
    """
    if len(change.changes) > CHANGES_MAX:
        raise ChangeRefused(f"{len(change.changes)} steps in one change, at most {CHANGES_MAX}")
    if change.is_single and (len(change.changes) != 1 or change.transition != Transition.AUTO):
        raise ChangeRefused("v1 conf change can only have one operation and no transition")
    kind = EntryKind.CHANGE if change.is_single else EntryKind.CHANGE_V2
    if change.leaves_joint() and not change.context:
        return kind, b""
    steps = b"".join([_STEP.pack(step.kind, step.node_id) for step in change.changes])
    return kind, _HEAD.pack(change.transition, len(change.changes)) + steps + change.context


def decode_change(kind: EntryKind, data: bytes) -> MembershipChange:
    """Return the change of an entry.

    Raises: ChangeRefused for bytes that no encode_change wrote.
    """
    if not data and kind == EntryKind.CHANGE_V2:
        return MembershipChange()
    try:
        transition, count = _HEAD.unpack_from(data)
        end = _HEAD.size + count * _STEP.size
        steps = [NodeChange(ChangeKind(step), node_id) for step, node_id in _STEP.iter_unpack(data[_HEAD.size : end])]
        change = MembershipChange(tuple(steps), Transition(transition), data[end:], kind == EntryKind.CHANGE)
    except (struct.error, ValueError) as error:
        raise ChangeRefused(f"entry of kind {kind} with data that is no change: {error}") from None
    if len(steps) != count or (change.is_single and count != 1):
        raise ChangeRefused(f"entry of kind {kind} with {count} steps announced, {len(steps)} there")
    return change


def apply_change(membership: Membership, change: MembershipChange) -> Membership:
    """Return the membership after the change, whichever way it goes.

    Raises: ChangeRefused where the change and the membership do not fit.
    """
    if change.leaves_joint():
        return leave_joint(membership)
    if change.enters_joint():
        return enter_joint(membership, change.changes, change.transition != Transition.JOINT_EXPLICIT)
    return simple(membership, change.changes)


def simple(membership: Membership, changes: Iterable[NodeChange]) -> Membership:
    """Return the membership after changes that move at most one voter."""
    check_membership(membership)
    if membership.is_joint():
        raise ChangeRefused("can't apply simple config change in joint config")
    changed = _after_steps(membership, changes)
    if len(membership.voters ^ changed.voters) > 1:
        raise ChangeRefused("more than one voter changed without entering joint config")
    return check_membership(changed)


def enter_joint(membership: Membership, changes: Iterable[NodeChange], auto_leave: bool) -> Membership:
    """Return the joint membership: today's voters as the outgoing ones, the changes made to the others."""
    check_membership(membership)
    if membership.is_joint():
        raise ChangeRefused("config is already joint")
    if not membership.voters:
        raise ChangeRefused("can't make a zero-voter config joint")
    changed = _after_steps(replace(membership, outgoing=membership.voters), changes)
    return check_membership(replace(changed, auto_leave=auto_leave))


def leave_joint(membership: Membership) -> Membership:
    """Return the membership in which the new voters decide alone, and learners that had to wait are learners."""
    check_membership(membership)
    if not membership.is_joint():
        raise ChangeRefused("can't leave a non-joint config")
    return check_membership(Membership(membership.voters, learners=membership.learners | membership.learners_next))


def check_membership(membership: Membership) -> Membership:
    """Return the membership itself if its parts fit together.

    Raises: ChangeRefused with the number that breaks a rule of Membership.
    """
    for node_id in sorted(membership.learners_next - membership.outgoing):
        raise ChangeRefused(f"{node_id} is in LearnersNext, but not Voters[1]")
    for node_id in sorted(membership.learners & membership.outgoing):
        raise ChangeRefused(f"{node_id} is in Learners and Voters[1]")
    for node_id in sorted(membership.learners & membership.voters):
        raise ChangeRefused(f"{node_id} is in Learners and Voters[0]")
    if membership.auto_leave and not membership.is_joint():
        raise ChangeRefused("AutoLeave must be false when not joint")
    if NO_NODE in membership.members():
        raise ChangeRefused("node 0 is a member")
    return membership


def _after_steps(membership: Membership, changes: Iterable[NodeChange]) -> Membership:
    """Apply the steps one by one. Voters are always changed in the incoming half."""
    voters, learners = set(membership.voters), set(membership.learners)
    waiting = set(membership.learners_next)
    for step in changes:
        node_id = step.node_id
        if node_id == NO_NODE or step.kind == ChangeKind.UPDATE:
            continue
        if step.kind == ChangeKind.ADD_LEARNER and node_id in learners:
            continue
        for part in (voters, learners, waiting):
            part.discard(node_id)
        if step.kind == ChangeKind.ADD_VOTER:
            voters.add(node_id)
        elif step.kind == ChangeKind.ADD_LEARNER:
            # A voter of the outgoing half cannot be a learner too: it waits until that half is gone.
            (waiting if node_id in membership.outgoing else learners).add(node_id)
    if not voters:
        raise ChangeRefused("removed all voters")
    return Membership(
        frozenset(voters), membership.outgoing, frozenset(learners), frozenset(waiting), membership.auto_leave
    )

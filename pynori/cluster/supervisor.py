"""What is to be done for the databases' groups: a pure function of what nodes have told, topologies and the time.

The leader calls `decide` again and again and proposes what comes out; a proposal that meets another topology than the
one that it was made from comes to nothing, and the next round decides anew. The rules, for one group at a time:

1. All Members are lost and an instance in rehabilitation answers: it becomes a Member again.
2. A Member that is lost becomes a Rehab, as long as another Member answers. Lost: its node was not heard of for the
   rehab period, or the instance itself says for the rotation period that it cannot serve. The other databases of its
   node are not touched.
3. The preferred Member was not heard of for the (shorter) rotation period: the others come before it.
4. A Promotable or Rehab that has what its mentor had, and indexes that have read it, becomes a Member, the last.
5. Where the group may move by itself (DynamicNodesDistribution): a node that was not heard of for the replacement
   period is replaced by another one, and once there are enough Members again, one too many goes. It goes in two steps:
   it is retired, which means that it only sends; and when all Members have what it had, its instance is deleted.

6. A node whose reports do not come but which was seen to live since, by an answer to another node or to the leader,
   and lately, is not silent for rules 1 to 3: it is the leader's link that is broken, and clients may well reach the
   node. So it is for as long as the replacement period (or the rehab period, if that is longer): its disk may fill
   meanwhile, and nobody learns of it. It is not so for an instance which had told that it cannot serve.

That nodes take another one to have failed is no reason to do anything before its period is over: the periods are how
long a restart may take. It is told with the reason of what is done then.

A group never loses its last Member. Who leads has heard itself, so that a leader without followers could decide; it
stops to lead before any period has passed, and what it may have proposed is bound to its term.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pynori import limits
from pynori.cluster import database_topology as groups
from pynori.cluster import vectors
from pynori.cluster.database_topology import Topology
from pynori.cluster.reports import FAILED, FULL, OPEN, Instance, NodeHealth
from pynori.cluster.swim_types import State
from pynori.errors import InvalidArgument

# What is shown of an instance that is not a Member yet.
NOT_SEEN, NOT_OPEN, NO_MENTOR = "NotResponding", "DatabaseNotLoaded", "WaitingForMentor"
BEHIND, INDEXING = "ChangeVectorNotMerged", "IndexNotUpToDate"
_SENTENCES = {
    NOT_SEEN: "its node is not heard of",
    NOT_OPEN: "the database is not open there",
    NO_MENTOR: "its mentor is not heard of",
    BEHIND: "it has not yet got everything that its mentor has",
    INDEXING: "it has the documents, and its indexes are still to read them",
}


@dataclass(frozen=True, slots=True)
class Periods:
    """How long the supervisor waits, in milliseconds."""

    rotate_ms: float
    rehab_ms: float
    replace_ms: float


@dataclass(frozen=True, slots=True)
class Decision:
    """One thing that is done, and why."""

    kind: str  # Promote, Demote, Rotate, Reorder, Status, Add, Retire, Recall, Delete
    tag: str
    reason: str


@dataclass(slots=True)
class Change:
    """Everything that is done for one group in one round."""

    name: str
    expected_index: int  # of the topology that it was made from
    topology: Topology
    decisions: list[Decision] = field(default_factory=list)
    # Instances whose files go, each with what all Members have: what the instance has beyond that keeps its files.
    deleted: dict[str, str] = field(default_factory=dict)


def decide(
    topologies: Mapping[str, Topology], nodes: Mapping[str, NodeHealth], now_ms: float, periods: Periods
) -> list[Change]:
    """What is to be done now. topologies: of the groups that are not disabled, by lower-case name; nodes: all."""
    changes = []
    for name, topology in topologies.items():
        group = _Group(name, topology, nodes, now_ms, periods, topologies)
        group.run()
        if group.change.decisions:
            changes.append(group.change)
    return changes


def lives_unheard(node: NodeHealth, now_ms: float, periods: Periods) -> bool:
    """Whether a node that the leader does not hear of is seen to live all the same, and may be left alone: rule 6."""
    sight = node.sight
    if sight is None or sight.state is not State.ALIVE or not sight.is_fresh or sight.answered_ms is None:
        return False
    # Two reports were due between the last one that came and its sign of life.
    outlived = sight.answered_ms - node.seen_ms > 2 * limits.REPORT_MS
    return outlived and now_ms - node.seen_ms <= max(periods.rehab_ms, periods.replace_ms)


def others_say(node: NodeHealth) -> str:
    """What other nodes know of a node, in words; "" when it is nothing."""
    sight = node.sight
    if sight is None:
        return ""
    if sight.state is State.ALIVE:
        names, verb = sight.reached_by, ("reaches it", "reach it")
    else:
        names, verb = sight.missed_by, ("cannot reach it either", "cannot reach it either")
    listed = " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
    return f"{listed} {verb[len(names) > 1]}" if names else ""


class _Group:
    """One round for one group; `topology` is what the rules before have made of it."""

    def __init__(
        self, name: str, topology: Topology, nodes: Mapping[str, NodeHealth], now_ms: float, periods: Periods,
        topologies: Mapping[str, Topology],
    ) -> None:  # fmt: skip
        self.name = name
        self.topology = topology
        self.nodes = nodes
        self.now_ms = now_ms
        self.periods = periods
        self.topologies = topologies
        self.change = Change(name, topology["Stamp"]["Index"], topology)

    def run(self) -> None:
        if self.is_settled():
            return
        self.call_back_a_rehab()
        self.demote_the_lost()
        self.rotate()
        self.promote_the_complete()
        self.restore_order()
        if self.topology["DynamicNodesDistribution"]:
            self.replace_the_lost()
            self.retire_a_surplus()
            self.delete_the_retired()
        self.change.topology = self.topology

    def is_settled(self) -> bool:
        """Whether it is clear at first sight that nothing is to be done: so it is with most groups nearly always."""
        topology = self.topology
        return (
            not topology["Promotables"] and not topology["Rehabs"] and not topology["PriorityOrder"]
            and len(topology["Members"]) <= topology["ReplicationFactor"]
            and (not topology["DynamicNodesDistribution"] or len(topology["Members"]) == topology["ReplicationFactor"])
            and all(self.is_fresh(tag) for tag in topology["Members"])
        )  # fmt: skip

    def done(self, topology: Topology, kind: str, tag: str, reason: str) -> None:
        self.topology = topology
        self.change.decisions.append(Decision(kind, tag, reason))

    # ---- what is known

    def instance(self, tag: str) -> Instance | None:
        node = self.nodes.get(tag)
        return None if node is None else node.instance(self.name, str(self.topology["DatabaseTopologyIdBase64"]))

    def silent_ms(self, tag: str) -> float:
        """How long the node was not heard of; for ever when it is none of the cluster's."""
        node = self.nodes.get(tag)
        return float("inf") if node is None else self.now_ms - node.seen_ms

    def is_fresh(self, tag: str) -> bool:
        """Whether the node is heard of, and its instance is open and takes documents."""
        found = self.instance(tag)
        return self.silent_ms(tag) <= limits.REPORT_FRESH_MS and found is not None and found.report.state == OPEN

    def loss(self, tag: str) -> str | None:
        """Why the instance is taken to be lost; None when it is not."""
        silent_ms = self.silent_ms(tag)
        if silent_ms > self.periods.rehab_ms:
            return None if self.is_spared(tag) else self.silence(tag)
        found = self.instance(tag)
        if silent_ms > limits.REPORT_FRESH_MS or found is None or found.report.state not in (FAILED, FULL):
            return None
        if self.now_ms - found.since_ms <= self.periods.rotate_ms:
            return None
        state = "it takes no documents" if found.report.state == FULL else "it cannot be served"
        return f"{state}: {found.report.reason}" if found.report.reason else state

    def is_spared(self, tag: str) -> bool:
        """Whether the node's silence does not count: see rule 6."""
        node, found = self.nodes.get(tag), self.instance(tag)
        has_failed = found is not None and found.report.state in (FAILED, FULL)
        return node is not None and not has_failed and lives_unheard(node, self.now_ms, self.periods)

    def silence(self, tag: str) -> str:
        """That the node is silent, for how long, and what others know of it."""
        node = self.nodes.get(tag)
        if node is None:
            return "its node is none of the cluster's"
        told = f"its node was not heard of for {self.silent_ms(tag) / 1_000:.1f} s"
        return "; ".join(filter(None, (told, others_say(node))))

    def fresh_members(self) -> list[str]:
        return [tag for tag in self.topology["Members"] if self.is_fresh(tag)]

    def lack(self, tag: str) -> str | None:
        """What keeps an instance that is no Member from being one; None: nothing."""
        if self.silent_ms(tag) > limits.REPORT_FRESH_MS:
            return NOT_SEEN
        found = self.instance(tag)
        if found is None or found.report.state != OPEN:
            return NOT_OPEN
        mentor = groups.mentor(self.topology, tag)
        theirs = None if mentor is None or not self.is_fresh(mentor) else self.instance(mentor)
        if mentor is None or theirs is None:
            return NO_MENTOR
        wanted, mine = _read(self.nodes[mentor].told(theirs, 2)), _read(self.nodes[tag].told(found, 1))
        if wanted is None or mine is None or not vectors.covers(mine, wanted):
            return BEHIND
        return INDEXING if found.report.stale_indexes else None

    # ---- the rules

    def call_back_a_rehab(self) -> None:
        if any(self.loss(tag) is None for tag in self.topology["Members"]):
            return
        waiting = [tag for tag in self.topology["Rehabs"] if self.is_fresh(tag)]
        if not waiting:
            return
        counts = {tag: self.counts(tag) or {} for tag in waiting}
        # Of several the one that has what most of the others have.
        best = max(waiting, key=lambda tag: (sum(vectors.covers(counts[tag], each) for each in counts.values()), tag))
        self.done(groups.promote(self.topology, best), "Promote", best, "all members are lost, and it answers")

    def demote_the_lost(self) -> None:
        for tag in list(self.topology["Members"]):
            reason = self.loss(tag)
            if reason is not None and any(self.is_fresh(other) for other in self.topology["Members"] if other != tag):
                self.done(groups.demote(self.topology, tag, reason), "Demote", tag, reason)

    def rotate(self) -> None:
        members = self.topology["Members"]
        if not members or self.silent_ms(members[0]) <= self.periods.rotate_ms or self.is_spared(members[0]):
            return
        fresh = self.fresh_members()
        if fresh:
            order = [*fresh, *(tag for tag in members if tag not in fresh)]
            reason = f"it is the preferred one, and {self.silence(members[0])}"
            self.done({**self.topology, "Members": order}, "Rotate", members[0], reason)

    def promote_the_complete(self) -> None:
        for tag in (*self.topology["Promotables"], *self.topology["Rehabs"]):
            if self.is_retired(tag):
                continue
            lack = self.lack(tag)
            if lack is None:
                self.done(groups.promote(self.topology, tag), "Promote", tag, "it has everything that its mentor has")
            elif self.topology["PromotablesStatus"].get(tag) != lack:
                shown = groups.set_status(self.topology, tag, lack, self.demotion(tag, lack))
                self.done(shown, "Status", tag, _SENTENCES[lack])

    def demotion(self, tag: str, lack: str) -> str:
        """What stays written on an instance: a Rehab keeps why it fell."""
        known = self.topology["DemotionReasons"].get(tag)
        return known if known and tag in self.topology["Rehabs"] else _SENTENCES[lack]

    def restore_order(self) -> None:
        """A fixed order is restored as far as its Members answer."""
        members, order = self.topology["Members"], self.topology["PriorityOrder"]
        wanted = groups.ordered(members, order)
        if order and wanted != members and all(self.is_fresh(tag) for tag in members):
            self.done({**self.topology, "Members": wanted}, "Reorder", wanted[0], "the order is fixed, and all answer")

    # ---- groups that may move

    def replace_the_lost(self) -> None:
        there = groups.instances(self.topology)
        present = [tag for tag in there if not self.is_gone(tag) and not self.is_retired(tag)]
        if len(present) >= self.topology["ReplicationFactor"] or not self.fresh_members():
            return
        retired = next((tag for tag in there if self.is_retired(tag) and self.is_fresh(tag)), None)
        if retired is not None:
            self.done(groups.recall(self.topology, retired), "Recall", retired, "it is needed again")
            return
        free = [
            tag for tag, node in self.nodes.items()
            if tag not in there and self.now_ms - node.seen_ms <= limits.REPORT_FRESH_MS
        ]  # fmt: skip
        if free:
            lost = ", ".join(tag for tag in there if tag not in present) or "nobody"
            chosen = groups.place(1, [], free, [], self.topologies.values())[0]
            added = groups.add(self.topology, chosen, grows=False)
            self.done(added, "Add", chosen, f"it takes the place of {lost}, not heard of for too long")

    def is_gone(self, tag: str) -> bool:
        """Whether nobody waits for the instance any more."""
        if self.silent_ms(tag) > self.periods.replace_ms:
            return True
        found = self.instance(tag)
        if found is None or found.report.state not in (FAILED, FULL):
            return False
        return self.now_ms - found.since_ms > self.periods.replace_ms

    def retire_a_surplus(self) -> None:
        factor = self.topology["ReplicationFactor"]
        fresh = self.fresh_members()
        if len(fresh) > factor:
            self.done(groups.retire(self.topology, fresh[-1]), "Retire", fresh[-1], "there are members enough")
        elif len(fresh) == factor and self.topology["Promotables"]:
            # It was to become what another one already is; it got its documents from a Member and has none alone.
            self.delete(self.topology["Promotables"][-1], "there are members enough")

    def delete_the_retired(self) -> None:
        """All of them must have known of the retirement when they told what they have: until then clients may come."""
        before = self.change.topology
        for tag in [tag for tag in before["Rehabs"] if groups.is_retired(before, tag) and self.is_retired(tag)]:
            members = self.topology["Members"]
            if len(self.fresh_members()) < self.topology["ReplicationFactor"] or not self.is_fresh(tag):
                continue
            told = [self.instance(each) for each in (tag, *members)]
            if any(each is None or each.report.stamp < self.change.expected_index for each in told):
                continue
            mine, theirs = self.counts(tag), self.members_have()
            if mine is not None and theirs is not None and vectors.covers(theirs, mine):
                self.delete(tag, "the members have all that it had")

    def delete(self, tag: str, reason: str) -> None:
        self.change.deleted[tag] = vectors.write(self.members_have() or {})
        self.done(groups.remove(self.topology, tag, shrinks=False), "Delete", tag, reason)

    def is_retired(self, tag: str) -> bool:
        return groups.is_retired(self.topology, tag)

    def members_have(self) -> vectors.Counts | None:
        """What all Members have told that they have; None while one of them is silent."""
        counts = [self.counts(tag) if self.is_fresh(tag) else None for tag in self.topology["Members"]]
        known = [each for each in counts if each is not None]
        return vectors.common(known) if len(known) == len(counts) else None

    def counts(self, tag: str) -> vectors.Counts | None:
        """What an instance has told that it has; None when it has told nothing that can be read."""
        found = self.instance(tag)
        return None if found is None else _read(found.report.change_vector)


def _read(vector: str | None) -> vectors.Counts | None:
    try:
        return None if vector is None else vectors.read(vector)
    except InvalidArgument:
        return None  # what one node tells must not keep the others from being looked after

"""The topology of a database group: which nodes have an instance, in which role and order. Pure values in and out.

It is the field `Topology` of a database's record. A *Member* has everything, serves clients, and sends what it has to
the others; their order is the order in which clients prefer them. A *Promotable* is new and has yet to get everything;
a *Rehab* is a Member that has fallen. Both are fed by one Member, their mentor, get no clients and no tasks, and become
Members at the end of the order (but for a *retired* Rehab, which is one too many: it only sends). They are told apart
by history: only a Rehab may be called back when all Members are gone. `Stamp.Index`, the raft index of the last change,
is the epoch: of two topologies of a group the one with the greater is the newer.

Every change returns a new topology; the given one stays as it was. A group always has at least one instance, and a
Member unless nobody could be made one.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from pynori.errors import InvalidArgument

Topology = dict[str, Any]

MEMBERS, PROMOTABLES, REHABS = "Members", "Promotables", "Rehabs"
ROLES = {MEMBERS: "Member", PROMOTABLES: "Promotable", REHABS: "Rehab"}
WAITING = "WaitingForFirstPromotion"  # what a Promotable is shown to do until the supervisor knows more
RETIRED = "Retired"  # of a Rehab that is one too many: it sends what it has, and goes then


def new(members: Sequence[str], ids: tuple[str, str], is_dynamic: bool) -> Topology:
    """The topology of a new group. ids: of the group and of its cluster-wide transactions, base64."""
    return {
        "Members": list(members),
        "Promotables": [],
        "Rehabs": [],
        "PredefinedMentors": {},
        "DemotionReasons": {},
        "PromotablesStatus": {},
        "Stamp": {"Index": 0, "Term": 0, "LeadersTicks": -2},
        "DynamicNodesDistribution": is_dynamic,
        "ReplicationFactor": len(members),
        "DatabaseTopologyIdBase64": ids[0],
        "ClusterTransactionIdBase64": ids[1],
        "PriorityOrder": [],
    }


# ---------------------------------------------------------------- reading


def instances(topology: Mapping[str, Any]) -> list[str]:
    """Tags of the nodes that have an instance, or are to have one."""
    return [*topology["Members"], *topology["Promotables"], *topology["Rehabs"]]


def role(topology: Mapping[str, Any], tag: str) -> str | None:
    """`Member`, `Promotable` or `Rehab`; None when the node has no instance."""
    return next((name for field, name in ROLES.items() if tag in topology[field]), None)


def mentor(topology: Mapping[str, Any], tag: str) -> str | None:
    """The Member that feeds the instance on `tag`; None for a Member, a retired one, and where there is no Member.

    The one that was asked for, else one that depends on the tags alone, so that it moves only when it is lost itself.
    """
    members: list[str] = topology["Members"]
    if tag in members or tag not in instances(topology) or not members or is_retired(topology, tag):
        return None
    asked = topology["PredefinedMentors"].get(tag)
    if asked in members:
        return str(asked)
    return max(members, key=lambda member: (zlib.crc32(f"{member}/{tag}".encode()), member))


def destinations(topology: Mapping[str, Any], tag: str) -> list[str]:
    """The siblings that the instance on `tag` sends to.

    A Member: all other Members, and those whose mentor it is. A retired one: the Members. Others: nobody.
    """
    if tag not in topology["Members"]:
        return list(topology["Members"]) if is_retired(topology, tag) else []
    fed = [each for each in (*topology["Promotables"], *topology["Rehabs"]) if mentor(topology, each) == tag]
    return [*(each for each in topology["Members"] if each != tag), *fed]


def is_retired(topology: Mapping[str, Any], tag: str) -> bool:
    """Whether the instance only hands over what it has, and goes then."""
    return tag in topology["Rehabs"] and topology["PromotablesStatus"].get(tag) == RETIRED


# ---------------------------------------------------------------- changes


def add(topology: Mapping[str, Any], tag: str, asked_mentor: str | None = None, grows: bool = True) -> Topology:
    """A new instance, to be fed; without any other it is a Member. grows: the replication factor follows."""
    if tag in instances(topology):
        raise InvalidArgument(f"Node '{tag}' has an instance of the database already")
    if asked_mentor and asked_mentor not in topology["Members"]:
        raise InvalidArgument(f"Node '{asked_mentor}' is no member of the database, so it cannot be the mentor")
    changed = dict(topology)
    if not instances(topology):
        changed["Members"] = [tag]
    else:
        changed["Promotables"] = [*topology["Promotables"], tag]
        changed["PromotablesStatus"] = {**topology["PromotablesStatus"], tag: WAITING}
        if asked_mentor:
            changed["PredefinedMentors"] = {**topology["PredefinedMentors"], tag: asked_mentor}
    if grows:
        changed["ReplicationFactor"] = max(topology["ReplicationFactor"], len(instances(changed)))
    return changed


def remove(topology: Mapping[str, Any], tag: str, shrinks: bool = True) -> Topology:
    """Without the instance on `tag`; a Rehab takes the place of the last Member. shrinks: the factor follows."""
    if tag not in instances(topology):
        raise InvalidArgument(f"Node '{tag}' has no instance of the database")
    changed = _without(topology, tag)
    left = instances(changed)
    if shrinks:
        changed["ReplicationFactor"] = max(1, min(topology["ReplicationFactor"] - 1, len(left)))
    if left and not changed["Members"]:
        # Somebody has to answer; of what there is, a former Member has the most.
        changed = promote(changed, left[0] if not changed["Rehabs"] else changed["Rehabs"][0])
    return changed


def promote(topology: Mapping[str, Any], tag: str) -> Topology:
    """Make an instance a Member, the last in order, or at its place where the order is fixed."""
    if tag in topology["Members"]:
        return dict(topology)
    if tag not in instances(topology):
        raise InvalidArgument(f"Node '{tag}' has no instance of the database")
    changed = _without(topology, tag)
    changed["Members"] = ordered([*topology["Members"], tag], topology["PriorityOrder"])
    return changed


def demote(topology: Mapping[str, Any], tag: str, reason: str) -> Topology:
    """Make a Member a Rehab; never the last one."""
    if tag not in topology["Members"]:
        raise InvalidArgument(f"Node '{tag}' is no member of the database")
    if len(topology["Members"]) == 1:
        raise InvalidArgument(f"Node '{tag}' is the last member of the database")
    changed = _without(topology, tag)
    changed["Rehabs"] = [*topology["Rehabs"], tag]
    changed["DemotionReasons"] = {**changed["DemotionReasons"], tag: reason}
    return changed


def retire(topology: Mapping[str, Any], tag: str) -> Topology:
    """A Member that is one too many: clients and siblings leave it, while it hands over what it has."""
    return set_status(demote(topology, tag, ""), tag, RETIRED, "there are members enough; it goes when it has sent all")


def recall(topology: Mapping[str, Any], tag: str) -> Topology:
    """A retired instance is needed again: it is fed as any Rehab."""
    return set_status(topology, tag, WAITING, "it is needed again")


def reorder(topology: Mapping[str, Any], order: Sequence[str], is_fixed: bool = False) -> Topology:
    """The Members in another order, which is kept over failures when it is fixed."""
    if sorted(order) != sorted(topology["Members"]):
        members = ", ".join(topology["Members"])
        raise InvalidArgument(f"The reordered list doesn't correspond to the existing members: {members}")
    return {**topology, "Members": list(order), "PriorityOrder": list(order) if is_fixed else []}


def set_status(topology: Mapping[str, Any], tag: str, status: str, reason: str) -> Topology:
    """What a Promotable or Rehab still lacks, for those who look."""
    return {
        **topology,
        "PromotablesStatus": {**topology["PromotablesStatus"], tag: status},
        "DemotionReasons": {**topology["DemotionReasons"], tag: reason},
    }


def given(topology: Mapping[str, Any], asked: Mapping[str, Any], nodes: Iterable[str]) -> Topology:
    """The topology with what a person has set by hand. Raises: InvalidArgument when it cannot stand."""
    changed = dict(topology)
    for field in (MEMBERS, PROMOTABLES, REHABS, "PriorityOrder"):
        if asked.get(field) is not None:
            changed[field] = _tags(asked, field)
    for field in ("PredefinedMentors", "DemotionReasons", "PromotablesStatus"):
        if isinstance(asked.get(field), dict):
            changed[field] = {str(tag): text for tag, text in asked[field].items()}
    tags = instances(changed)
    if len(set(tags)) != len(tags):
        raise InvalidArgument(f"A node is named more than once among {', '.join(tags)}")
    unknown = [tag for tag in tags if tag not in set(nodes)]
    if unknown:
        raise InvalidArgument(f"Node '{unknown[0]}' is not in the cluster, so it cannot hold the database")
    if not changed["Members"]:
        raise InvalidArgument("A database needs a member")
    for field in ("PredefinedMentors", "DemotionReasons", "PromotablesStatus"):
        changed[field] = {tag: text for tag, text in changed[field].items() if tag in tags}
    changed["DynamicNodesDistribution"] = bool(
        asked.get("DynamicNodesDistribution", topology["DynamicNodesDistribution"])
    )
    factor = asked.get("ReplicationFactor")
    changed["ReplicationFactor"] = max(len(tags), factor if isinstance(factor, int) else 0)
    return changed


def _tags(asked: Mapping[str, Any], field: str) -> list[str]:
    tags = asked[field]
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidArgument(f"'{field}' must be a list of node tags")
    return list(tags)


def _without(topology: Mapping[str, Any], tag: str) -> Topology:
    changed = dict(topology)
    for field in ROLES:
        changed[field] = [each for each in topology[field] if each != tag]
    for field in ("PredefinedMentors", "DemotionReasons", "PromotablesStatus"):
        changed[field] = {each: value for each, value in topology[field].items() if each != tag}
    return changed


def ordered(members: list[str], order: Sequence[str]) -> list[str]:
    """Those of a fixed order at their places, the others behind them as they come."""
    return [*(tag for tag in order if tag in members), *(tag for tag in members if tag not in order)]


# ---------------------------------------------------------------- where a new instance goes


def place(
    factor: int, named: Sequence[str], candidates: Sequence[str], away: Collection[str],
    others: Iterable[Mapping[str, Any]],
) -> list[str]:  # fmt: skip
    """The nodes of a new group, the preferred one first.

    named: by the client; they are part of it. candidates: all nodes, the ones to be taken first of equals first.
    away: those that cannot be reached now; they are taken last.
    others: topologies of the groups that there are: the nodes with the fewest instances are taken, and of those that
    are, the one that is the first of the fewest groups becomes the first. Raises: InvalidArgument.
    """
    for tag in named:
        if tag not in candidates:
            raise InvalidArgument(f"Node '{tag}' is not in the cluster, so it cannot hold the database")
    if len(set(named)) != len(named):
        raise InvalidArgument(f"A node is named more than once among {', '.join(named)}")
    wanted = max(factor, len(named), 1)
    if wanted > len(candidates):
        raise InvalidArgument(f"Replication factor {wanted} is larger than the cluster's {len(candidates)} nodes")
    if wanted == len(named) or len(candidates) == 1:
        return list(named or candidates)
    load = dict.fromkeys(candidates, 0)
    firsts = dict.fromkeys(candidates, 0)
    for topology in others:
        for tag in instances(topology):
            load[tag] = load.get(tag, 0) + 1
        for tag in topology["Members"][:1]:
            firsts[tag] = firsts.get(tag, 0) + 1
    free = [tag for tag in candidates if tag not in named]
    free.sort(key=lambda tag: (tag in away, load[tag]))
    chosen = free[: wanted - len(named)]
    chosen.sort(key=lambda tag: (firsts[tag], candidates.index(tag)))
    return [*named, *chosen]

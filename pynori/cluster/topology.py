"""The nodes of the cluster: tags, addresses, raft ids and roles, as one value of the replicated state.

    {"nodes": {"A": {"id": 77, "url": "http://...", "role": "Member"}}, "last": "A", "etag": 12,
     "removed": [{"tag": "B", "id": 78, "url": "http://..."}]}

Roles: a Member votes; a Promotable will, as soon as it has caught up; a Watcher never does. A node joins and leaves by
a change of Raft's membership, whose entry brings what this value needs to know, so that the two never disagree. Those
that were removed lately are kept: they are told so when they knock, and get their tag again when they come back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pynori import limits
from pynori.cluster.raft.membership import ChangeKind, MembershipChange, NodeChange
from pynori.errors import InvalidArgument, LimitExceeded

if TYPE_CHECKING:
    from pynori.cluster.commands import View

MEMBER, PROMOTABLE, WATCHER = "Member", "Promotable", "Watcher"
KEY = ("cluster", "topology")

Node = dict[str, Any]


class _Context(msgspec.Struct):
    """What the entry of a change brings for the topology."""

    tag: str
    node: Node | None  # None: it leaves
    leaves_groups: bool = False  # when it leaves: its instances go from the records. (An earlier version kept them.)


def first(tag: str, node_id: int, url: str) -> dict[str, Any]:
    """The topology of a cluster of one."""
    return {"nodes": {tag: {"id": node_id, "url": url, "role": MEMBER}}, "last": tag, "etag": 0}


def nodes(topology: Mapping[str, Any]) -> dict[str, Node]:
    """The nodes by tag, in the order in which they came."""
    found: dict[str, Node] = topology["nodes"]
    return found


def tag_of(topology: Mapping[str, Any], node_id: int) -> str:
    """The tag of a raft id; "" when it is none of the cluster's."""
    return next((tag for tag, node in nodes(topology).items() if node["id"] == node_id), "")


def urls(topology: Mapping[str, Any], *roles: str) -> dict[str, str]:
    """Addresses by tag, of all nodes or of those with one of the roles."""
    return {tag: node["url"] for tag, node in nodes(topology).items() if not roles or node["role"] in roles}


def next_tag(topology: Mapping[str, Any]) -> str:
    """A, B, ... Z, AA, AB, ...: one behind the last that was ever given."""
    letters = [ord(letter) - 65 for letter in topology["last"]]
    position = len(letters) - 1
    while position >= 0 and letters[position] == 25:
        letters[position] = 0
        position -= 1
    if position < 0:
        letters.insert(0, 0)
    else:
        letters[position] += 1
    return "".join(chr(65 + letter) for letter in letters)


def check_tag(tag: str) -> str:
    """The tag itself when a node may have it."""
    if not 1 <= len(tag) <= limits.NODE_TAG_SIZE_MAX or not (tag.isascii() and tag.isalpha() and tag.isupper()):
        raise InvalidArgument(f"Node tag '{tag[:40]}' must be 1 to {limits.NODE_TAG_SIZE_MAX} letters from A to Z")
    if tag in ("RAFT", "TRXN"):
        raise InvalidArgument(f"It is not allowed to use the tag '{tag}', it is reserved")
    return tag


def addition(tag: str, node_id: int, url: str, role: str) -> MembershipChange:
    """The change by which a node joins, or gets another role or address."""
    kind = ChangeKind.ADD_VOTER if role == MEMBER else ChangeKind.ADD_LEARNER
    context = _Context(tag, {"id": node_id, "url": url, "role": role})
    return MembershipChange((NodeChange(kind, node_id),), context=msgspec.json.encode(context))


def removal(tag: str, node_id: int) -> MembershipChange:
    """The change by which a node leaves, and with it its instances of databases."""
    context = _Context(tag, None, leaves_groups=True)
    return MembershipChange((NodeChange(ChangeKind.REMOVE, node_id),), context=msgspec.json.encode(context))


def apply_change(view: View, change: MembershipChange, index: int) -> str:
    """Bring the topology in line with a change of the membership that is applied.

    Returns the tag of the node whose instances go from the records, "" for none.
    """
    if not change.context:
        return ""
    context = msgspec.json.decode(change.context, type=_Context)
    topology = view.get(*KEY)
    known = dict(nodes(topology))
    gone = known.pop(context.tag, None) if context.node is None else None
    last = topology["last"]
    if context.node is not None:
        known[context.tag] = context.node
        last = max(last, context.tag, key=lambda tag: (len(tag), tag))
    out = removed(topology)
    if gone is not None:
        out = [*out, {"tag": context.tag, "id": gone["id"], "url": gone["url"]}][-limits.CLUSTER_REMOVED_KEPT :]
    view.put(*KEY, {"nodes": known, "last": last, "etag": index, "removed": out})
    return context.tag if context.leaves_groups and gone is not None else ""


def removed(topology: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The nodes that have left lately: tag, raft id and address of each, the last one last."""
    found: list[dict[str, Any]] = topology.get("removed", [])
    return found


def is_removed(topology: Mapping[str, Any], node_id: object) -> bool:
    """Whether a raft id is that of a node that has left."""
    return any(each["id"] == node_id for each in removed(topology))


def tag_for(topology: Mapping[str, Any], url: str) -> str:
    """The tag of a node that joins: the one that it had when it was here before, else the next one."""
    former = next((each["tag"] for each in reversed(removed(topology)) if each["url"] == url), None)
    return former if former is not None and former not in nodes(topology) else next_tag(topology)


def quorum(voters: int) -> int:
    """How many of so many voting members must agree."""
    return voters // 2 + 1


def check_room(topology: Mapping[str, Any]) -> None:
    if len(nodes(topology)) >= limits.CLUSTER_NODES_MAX:
        raise LimitExceeded(f"CLUSTER_NODES_MAX: a cluster has at most {limits.CLUSTER_NODES_MAX} nodes")

"""The nodes of the cluster: tags, addresses, raft ids and roles, as one value of the replicated state.

    {"nodes": {"A": {"id": 77, "url": "http://...", "role": "Member"}}, "last": "A", "etag": 12}

Roles: a Member votes; a Promotable will, as soon as it has caught up; a Watcher never does. A node joins and leaves by
a change of Raft's membership, whose entry brings what this value needs to know, so that the two never disagree.
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
    """The change by which a node leaves."""
    context = _Context(tag, None)
    return MembershipChange((NodeChange(ChangeKind.REMOVE, node_id),), context=msgspec.json.encode(context))


def apply_change(view: View, change: MembershipChange, index: int) -> None:
    """Bring the topology in line with a change of the membership that is applied."""
    if not change.context:
        return
    context = msgspec.json.decode(change.context, type=_Context)
    topology = view.get(*KEY)
    known = {tag: node for tag, node in nodes(topology).items() if tag != context.tag or context.node is not None}
    last = topology["last"]
    if context.node is not None:
        known[context.tag] = context.node
        last = max(last, context.tag, key=lambda tag: (len(tag), tag))
    view.put(*KEY, {"nodes": known, "last": last, "etag": index})


def check_room(topology: Mapping[str, Any]) -> None:
    if len(nodes(topology)) >= limits.CLUSTER_NODES_MAX:
        raise LimitExceeded(f"CLUSTER_NODES_MAX: a cluster has at most {limits.CLUSTER_NODES_MAX} nodes")

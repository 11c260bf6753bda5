"""What each node tells the leader of its instances, and what the leader remembers of it.

Every REPORT_MS a node sends one frame: free disk, and the instances whose state has changed since the last frame on
this connection, REPORT_INSTANCES_MAX at most; what does not fit goes with the next frames. The first frame on a
connection says so, and begins a new account. Nothing of this is stored: a new leader knows nothing, and counts the time
that it has not seen a node from when it began to lead.

What a newcomer had, its indexes read up to its next frame: so it is compared by what it told in the frame before its
last one, and with what its mentor told no later than that, two frames before its last one. A mentor that is written to
all the time can be caught up with in this way. See `NodeHealth.told`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from pynori.cluster.swim_types import Sight

_VECTORS_KEPT = 3  # of an instance: the last one and two before it, if it changes with each frame
OPEN, OPENING, FAILED, FULL = "open", "opening", "failed", "full"


class InstanceReport(msgspec.Struct, array_like=True, frozen=True):
    """One instance, as its node tells it."""

    group: str  # the id of its database's group: another database of the name has another one
    state: str  # OPEN, OPENING, FAILED: it cannot be opened or has stopped, FULL: it takes no documents
    reason: str  # why it is FAILED or FULL
    change_vector: str = ""  # of the whole database: everything that this counts is there
    last_etag: int = 0
    stamp: int = 0  # `Stamp.Index` of the topology that the node knew
    stale_indexes: int = 0  # that have not read what was there at the last report; of Members they are not counted


class NodeReport(msgspec.Struct, array_like=True):
    """One frame."""

    tag: str
    is_first: bool  # on this connection
    free_bytes: int
    total_bytes: int
    instances: dict[str, InstanceReport]  # those that have changed, by lower-case name of the database
    gone: list[str]  # names of instances that are not there any more


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(NodeReport).decode


@dataclass(slots=True)
class Instance:
    """What the leader knows of one instance."""

    report: InstanceReport
    since_ms: float  # when its state was told first
    vectors: list[tuple[int, str]]  # the last change vectors, each with the node's frame that told it


@dataclass(slots=True)
class NodeHealth:
    """What the leader knows of one node."""

    seen_ms: float  # when it was heard last; before it was, when the leader began to lead
    number: int = 0  # frames that have come
    free_bytes: int = 0
    total_bytes: int = 0
    instances: dict[str, Instance] = field(default_factory=dict)
    sight: Sight | None = None  # what the nodes tell each other about it

    def instance(self, name: str, group: str) -> Instance | None:
        """The instance of a group; None when the node has not told of it."""
        found = self.instances.get(name)
        return found if found is not None and found.report.group == group else None

    def told(self, instance: Instance, frames: int) -> str | None:
        """The change vector that the instance had so many frames before the node's last one; None: not known."""
        until = self.number - frames
        return next((vector for number, vector in reversed(instance.vectors) if number <= until), None)

    def take(self, report: NodeReport, now_ms: float) -> None:
        """A frame has come."""
        self.seen_ms = now_ms
        self.number += 1
        self.free_bytes, self.total_bytes = report.free_bytes, report.total_bytes
        if report.is_first:
            self.instances = {name: each for name, each in self.instances.items() if name in report.instances}
        for name in report.gone:
            self.instances.pop(name, None)
        for name, fresh in report.instances.items():
            known = self.instances.get(name)
            if known is None or known.report.group != fresh.group:
                self.instances[name] = Instance(fresh, now_ms, [(self.number, fresh.change_vector)])
                continue
            since_ms = known.since_ms if known.report.state == fresh.state else now_ms
            history = [*known.vectors, (self.number, fresh.change_vector)][-_VECTORS_KEPT:]
            self.instances[name] = Instance(fresh, since_ms, history)


class Sender:
    """Which instances the next frame on one connection has to tell of."""

    __slots__ = ("_is_first", "_told")

    def __init__(self) -> None:
        self._told: dict[str, InstanceReport] = {}
        self._is_first = True

    def frame(
        self, tag: str, disk: tuple[int, int], instances: Mapping[str, InstanceReport], count_max: int
    ) -> NodeReport:
        """The next frame. disk: free and total bytes."""
        told = self._told
        gone = [name for name in told if name not in instances]
        for name in gone:
            del told[name]
        # Those that were never told of come first, then those that were told of longest ago.
        waiting = [*(name for name in instances if name not in told), *told]
        changed = [name for name in waiting if told.get(name) != instances[name]][:count_max]
        for name in changed:
            told.pop(name, None)
            told[name] = instances[name]
        frame = NodeReport(tag, self._is_first, *disk, {name: instances[name] for name in changed}, gone)
        self._is_first = False
        return frame

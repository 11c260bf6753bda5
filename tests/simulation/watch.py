"""What must hold at every moment: looked at after each turn of a node's loop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tests.simulation.node import Node

# Errors that say what they are to say, in a world where nodes are cut off, crash and are removed.
EXPECTED = (
    "goes, with what others lack: its files stay",  # an instance that was deleted while it had more
    "cannot be applied: The cluster",  # a transaction, while there is no leader
)


class Broken(AssertionError):
    """Something that must never be."""


class Watch:
    """Of one run."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.broken: list[str] = []
        self._now = now
        self._leaders: dict[tuple[str, int], str] = {}  # by cluster and term: who led
        self._states: dict[tuple[str, int], tuple[str, str]] = {}  # by cluster and raft index: digest, and whose it is
        self._seen: dict[str, tuple[int, int, bool]] = {}  # of each node: start, index, leads

    def look(self, node: Node) -> None:
        """A turn of the node's loop is over."""
        server = node.server
        if server is None:
            return
        state = server.state
        driver = state.driver
        seen = (node.starts, driver.applied_index, driver.is_leader)
        if self._seen.get(node.name) == seen:
            return
        self._seen[node.name] = seen
        if state.is_passive or not state.topology_id:
            return
        cluster = state.topology_id
        if driver.is_leader:
            other = self._leaders.setdefault((cluster, driver.term), node.name)
            if other != node.name:
                self.tell(f"{other} and {node.name} both lead in term {driver.term}")
        self._compare(node, cluster, driver.applied_index, state._tables)

    def _compare(self, node: Node, cluster: str, index: int, tables: dict[str, dict[str, Any]]) -> None:
        data = msgspec.json.encode({name: sorted(table.items()) for name, table in tables.items()}, order="sorted")
        digest = hashlib.blake2b(data, digest_size=12).hexdigest()
        other, whose = self._states.setdefault((cluster, index), (digest, node.name))
        if other != digest:
            self.tell(f"the state of {node.name} and of {whose} differ at raft index {index}")
        for key, record in tables["records"].items():
            if not record["Topology"]["Members"]:
                self.tell(f"the group of {key} has no Member at raft index {index}")

    def heard(self, text: str, error: object) -> None:
        """A node has logged an error."""
        if not any(known in text for known in EXPECTED):
            self.tell(f"{text} ({error!r})" if error is not None else text)

    def tell(self, text: str) -> None:
        """Somebody has found something."""
        self.broken.append(f"at {self._now():.3f}: {text}")

"""SWIM in simulation: who is dead is known, who lives is not taken to be dead, and it costs the same in any cluster."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from pynori import limits
from pynori.cluster import gossip
from pynori.cluster.swim_types import Kind, Message, News, State
from tests.cluster import swim_checks


@pytest.mark.parametrize("check", swim_checks.CHECKS.values(), ids=list(swim_checks.CHECKS))
@pytest.mark.parametrize("seed", range(3))
def test_checks(check: Callable[[int], object], seed: int) -> None:
    """Each check of `swim_checks` holds; its own sentence says what it proves."""
    check(seed)


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_node_is_known_to_all(seed: int) -> None:
    """Of 50 nodes that lose a tenth of their messages one is killed: all others know within ten seconds."""
    assert swim_checks.killed(seed) <= swim_checks.KNOWN_S


def test_an_hour_without_a_false_failure() -> None:
    """In an hour of 50 nodes that lose a tenth of their messages, nobody who lives is taken to have failed."""
    swim_checks.quiet(0, seconds=3_600)


def test_frames() -> None:
    """A message comes out of its frame as it was; what a later version has added is passed over; others are refused."""
    message = Message(Kind.REQUEST, 5, 2**56 - 1, 7, 9, (News(9, State.SUSPECT, 3, 2),))
    payload = gossip.encode(message)
    assert gossip.decode(payload, 5) == message and len(payload) < 30
    fields = msgspec.msgpack.decode(payload)
    fields[4][0].append("later")
    assert gossip.decode(msgspec.msgpack.encode([*fields, "later"]), 5) == message
    for wrong in ([9, *fields[1:]], fields[:4], [*fields[:4], [[9, 3, 0, 0]]], [*fields[:4], [[9, 1, -1, 0]]], ["x"]):
        with pytest.raises(msgspec.MsgspecError):
            gossip.decode(msgspec.msgpack.encode(wrong), 5)
    many = [[9, 1, 0, 0]] * (limits.CLUSTER_NODES_MAX + 1)
    with pytest.raises(ValueError, match="pieces of news"):
        gossip.decode(msgspec.msgpack.encode([*fields[:4], many]), 5)

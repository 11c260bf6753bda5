"""Gossip between real nodes: a cut between the leader and one node alone sets nobody aside, a dead node is replaced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pynori import limits
from pynori.cluster import transport
from pynori.cluster.swim_types import State
from pynori.runtime.channel import Channel, ChannelClosed
from pynori.server import replication
from tests.cluster.cluster_of_nodes import Cluster, Node, run, until
from tests.walk.network import Network, why_not
from tests.walk.stage import Stage

PERIODS = {
    "rotate_after_seconds": 2, "rehab_after_seconds": 2, "replace_after_seconds": 5, "probe_period_ms": 100,
}  # fmt: skip


class Links:
    """The links between nodes of one process, which can be cut: channels end, and no new ones come about."""

    def __init__(self) -> None:
        self.cuts: set[tuple[int, str]] = set()  # raft id of the caller, address
        self.tries: list[tuple[float, str]] = []  # when somebody wanted to open a channel, and to whom

    async def connect(self, url: str, operation: str, hello: dict[str, Any], *rest: Any) -> Channel:
        self.tries.append((time.monotonic(), url))
        if (hello["id"], url) in self.cuts:
            raise ChannelClosed("cut")
        return await CONNECT(url, operation, hello, *rest)

    def cut(self, one: Node, other: Node) -> None:
        for node, peer in ((one, other), (other, one)):
            self.cuts.add((node.state.driver.node_id, peer.server.url))
            channel = node.state.driver.transport.channel(peer.state.driver.node_id)
            if channel is not None:
                channel.close("cut")

    def heal(self) -> None:
        self.cuts.clear()


CONNECT = transport.connect


@pytest.fixture(autouse=True)
def links(monkeypatch: pytest.MonkeyPatch) -> Iterator[Links]:
    """Reports come often, and no documents travel."""
    monkeypatch.setattr(limits, "REPORT_MS", 50)
    monkeypatch.setattr(limits, "REPORT_FRESH_MS", 300)
    monkeypatch.setattr(replication, "destinations", lambda topology, tag: [])
    made = Links()
    monkeypatch.setattr(transport, "connect", made.connect)
    yield made


def shape(node: Node) -> str:
    topology = node.topology()
    return "/".join("".join(topology[field]) for field in ("Members", "Promotables", "Rehabs"))


async def group_of(cluster: Cluster, count: int, members: str) -> list[Node]:
    nodes = await cluster.of(count)
    record = {"DatabaseName": "db", "Topology": {"Members": list(members)}}
    await nodes[0].server.databases.create(record, 1)
    await until(lambda: nodes[0].state.unmade_on("db") == [])
    return nodes


def seen(node: Node, tag: str) -> dict[str, Any]:
    found: dict[str, Any] = node.state.cluster_topology(node.server.url)["Status"][tag]
    return found


def test_a_cut_between_leader_and_one_node_sets_nobody_aside(tmp_path: Path, links: Links) -> None:
    """The leader hears nothing of the preferred node for longer than both periods, others do: all stays as it is.

    It is left alone for the replacement period and no longer; then it is set aside, and taken back after the heal.
    """

    async def steps(cluster: Cluster) -> None:
        nodes = await group_of(cluster, 4, "CBD")
        leader, victim = nodes[0], nodes[2]
        assert leader.state.driver.is_leader
        links.cut(leader, victim)
        await asyncio.sleep(4)
        assert [shape(node) for node in (leader, nodes[1])] == ["CBD//"] * 2 and leader.state.decisions() == []
        told = leader.server.supervision.health()["C"]
        assert told["Status"] == "NotSeen" and told["SilentForMs"] > 3_000 and "reach" in told["OthersSay"]
        status = seen(leader, "C")
        assert not status["Connected"] and status["Gossip"]["State"] == "Alive"
        assert status["Gossip"]["ReachedBy"] and seen(nodes[1], "C")["Connected"]
        await until(lambda: shape(leader) == "BD//C", 15)
        reason = leader.topology()["DemotionReasons"]["C"]
        assert reason.startswith("its node was not heard of for 5.") and reason.endswith(("reaches it", "reach it"))
        links.heal()
        await until(lambda: shape(leader) == "BDC//", 15)

    run(tmp_path, steps, **PERIODS)


def test_a_dead_node_is_set_aside_as_before(tmp_path: Path) -> None:
    """A node that nobody reaches is rotated and set aside when its periods are over, and all know that it failed."""

    async def steps(cluster: Cluster) -> None:
        nodes = await group_of(cluster, 4, "CBD")
        await nodes[2].stop()
        begun = time.monotonic()
        await until(lambda: shape(nodes[0]) == "BD//C", 15)
        assert time.monotonic() - begun < 2 + 1.5
        reason = nodes[0].topology()["DemotionReasons"]["C"]
        assert reason.endswith("cannot reach it either")
        others = (nodes[0], nodes[1], nodes[3])
        await until(lambda: all(seen(node, "C")["Gossip"]["State"] == "Failed" for node in others))
        assert 'pynori_swim_nodes{state="failed"} 1.0' in nodes[0].server.metrics.render().decode()
        await nodes[2].start()
        await until(lambda: all(seen(node, "C")["Gossip"]["State"] == "Alive" for node in others))
        await until(lambda: shape(nodes[0]) == "BDC//", 15)

    run(tmp_path, steps, **PERIODS)


def test_who_is_back_is_connected_to_at_once(
    tmp_path: Path, links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause between two tries is long, but a node that is heard of is connected to before it ends."""
    monkeypatch.setattr(limits, "PEER_RETRY_MS_MIN", 30_000)
    monkeypatch.setattr(limits, "PEER_RETRY_MS_MAX", 60_000)

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[2].stop()
        await until(lambda: all(seen(node, "C")["Gossip"]["State"] == "Failed" for node in nodes[:2]))
        assert not seen(nodes[0], "C")["Connected"]
        begun = time.monotonic()
        await nodes[2].start()
        await until(lambda: seen(nodes[0], "C")["Connected"] and seen(nodes[1], "C")["Connected"])
        assert time.monotonic() - begun < 10

    run(tmp_path, steps, **PERIODS)


def test_a_node_alone_is_silent(tmp_path: Path) -> None:
    """A cluster of one sends nothing and sets no timer; removed nodes are forgotten, and a tag that returns is new."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(2)
        await until(lambda: nodes[0].state.gossip.sights()["B"].round_trip_ms is not None)
        assert nodes[0].state.gossip.sights()["B"].state is State.ALIVE
        await nodes[0].server.nodes.remove("B")
        await until(lambda: nodes[1].state.is_passive)
        before = [node.state.gossip.sent for node in nodes]
        await asyncio.sleep(0.5)
        assert [node.state.gossip.sent for node in nodes] == before
        assert nodes[0].state.gossip.sights() == {} == nodes[1].state.gossip.sights()
        await nodes[0].server.nodes.add(nodes[1].server.url)
        await until(lambda: nodes[0].state.gossip.sights()["B"].round_trip_ms is not None)

    run(tmp_path, steps, **PERIODS)


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_processes_in_a_network_with_a_cut() -> None:
    """Server processes, packets dropped between the leader and one node, past its periods: the node stays."""
    network = Network(3)
    try:
        stage = Stage("gossip", quiet=True, network=network)
        try:
            _walk(stage, network)
        finally:
            stage.end()
    finally:
        network.close()
    assert not stage.failures


def _walk(stage: Stage, network: Network) -> None:
    stage.start(1, 2, 3)
    stage.create(1, "First")
    stage.join(1, 2, 3)
    stage.create(1, "Spade", 2, ["C", "B"])
    stage.wait("C answers probes", lambda: stage.cluster(1)["Status"]["C"]["Gossip"]["RoundTripMs"] is not None)
    stage.see("A leads", "A", stage.cluster(1)["Leader"])
    network.deafen(1, 3)
    network.deafen(3, 1)
    time.sleep(7)
    health = stage.ask(1, "GET", "/admin/cluster/maintenance-stats")["C"]
    stage.see("the leader does not hear of C", True, health["SilentForMs"] > 5_500)
    stage.see("B does", "B reaches it", health["OthersSay"])
    there = {"Member": ["C", "B"], "Rehab": [], "Promotable": []}
    stage.see("C stays where it was", [there] * 2, [stage.group(node, "Spade") for node in (1, 2)])
    network.heal()
    stage.wait("the leader hears of C again",
               lambda: stage.ask(1, "GET", "/admin/cluster/maintenance-stats")["C"]["Status"] == "OK")  # fmt: skip
    stage.see("C was never moved", (there, []),
              (stage.group(1, "Spade"), stage.ask(1, "GET", "/admin/cluster/observer/decisions")["ObserverLog"]))

"""Supervision over real nodes: newcomers are promoted, the silent demoted and taken back, and the log tells why."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pynori import limits
from pynori.cluster import database_topology as dt
from pynori.cluster.supervisor import Change, Decision
from pynori.documents.database import Database
from pynori.errors import InvalidArgument, RaftConcurrency
from pynori.server import replication
from pynori.server.disk_watch import DiskSpace
from tests.cluster.cluster_of_nodes import Cluster, Node, run, until

PERIODS = {
    "rotate_after_seconds": 1, "rehab_after_seconds": 2, "replace_after_seconds": 3, "probe_period_ms": 100,
}  # fmt: skip


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What the instances say that they have, by node tag: here no documents travel. Reports come often."""
    vectors: dict[str, str] = {}
    monkeypatch.setattr(limits, "REPORT_MS", 50)
    monkeypatch.setattr(limits, "REPORT_FRESH_MS", 300)
    monkeypatch.setattr(replication, "destinations", lambda topology, tag: [])
    monkeypatch.setattr(Database, "change_vector", property(lambda self: vectors.get(self.options.node_tag, "")))
    yield vectors


def shape(node: Node, name: str = "db") -> str:
    topology = node.topology(name)
    return "/".join("".join(topology[field]) for field in ("Members", "Promotables", "Rehabs"))


def leader(cluster: Cluster) -> Node:
    return next(node for node in cluster.nodes if node.state.driver.is_leader)


async def group_of(nodes: list[Node], members: str, **topology: object) -> None:
    record = {"DatabaseName": "db", "Topology": {"Members": list(members), **topology}}
    await nodes[0].server.databases.create(record, 1)


def story(node: Node) -> list[str]:
    return [f"{each['kind']} {each['tag']}" for each in node.state.decisions()]


def test_a_newcomer_is_a_member_when_it_has_all(tmp_path: Path, told: dict[str, str]) -> None:
    """It stays Promotable while it lacks documents, then while an index is paused, and then becomes the last Member."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        told.update(A="A:5-a", B="A:5-a")
        await group_of(nodes, "BA")
        opened = nodes[0].server.databases.find("db")
        await opened.indexes.put({"Name": "Names", "Maps": ["from u in docs.Users select new { u.Name }"]})
        await nodes[0].server.databases.add_instance("db", "C", None)
        await until(lambda: nodes[1].topology()["PromotablesStatus"].get("C") == "ChangeVectorNotMerged")
        newcomer = nodes[2].server.databases.find("db")
        await until(lambda: newcomer.indexes.get("Names") is not None)
        index = newcomer.indexes.find("Names")
        newcomer.indexes.pause(index)
        for number in range(3):
            await newcomer.database.put(f"users/{number}", b'{"Name":"x","@metadata":{"@collection":"Users"}}')
        told["C"] = "A:5-a, C:3-c"
        await until(lambda: nodes[0].topology()["PromotablesStatus"].get("C") == "IndexNotUpToDate")
        assert shape(nodes[0]) == "BA/C/"
        newcomer.indexes.resume(index)
        await until(lambda: shape(nodes[0]) == "BAC//")
        await until(lambda: story(nodes[2])[-1:] == ["Promote C"])

    run(tmp_path, steps, **PERIODS)


def test_a_silent_member_is_set_aside_and_taken_back(tmp_path: Path, told: dict[str, str]) -> None:
    """The preferred node goes, which also leads: others come first, it is a Rehab, and back it is the last Member."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        told.update(A="A:5-a", B="A:5-a", C="A:5-a")
        await group_of(nodes, "ABC")
        await nodes[0].stop()
        await until(lambda: shape(nodes[1]) == "BCA//")
        await until(lambda: shape(nodes[1]) == "BC//A" == shape(nodes[2]))
        reason = nodes[1].topology()["DemotionReasons"]["A"]
        assert re.fullmatch(r"its node was not heard of for \d+\.\d s; [BC] cannot reach it either", reason)
        told["A"] = ""
        await nodes[0].start()
        await until(lambda: nodes[1].topology()["PromotablesStatus"].get("A") == "ChangeVectorNotMerged")
        assert shape(nodes[1]) == "BC//A"
        told["A"] = "A:5-a"
        await until(lambda: shape(nodes[0]) == "BCA//")
        assert story(nodes[0]) == ["Rotate A", "Demote A", "Promote A"] == story(nodes[1])
        health = leader(cluster).server.supervision.health()
        assert {tag: each["Status"] for tag, each in health.items()} == dict.fromkeys("ABC", "OK")
        follower = next(node for node in nodes if not node.state.driver.is_leader)
        with pytest.raises(InvalidArgument, match="Only the leader knows this: node"):
            follower.server.supervision.health()

    run(tmp_path, steps, **PERIODS)


def test_a_suspended_supervisor_decides_nothing(tmp_path: Path) -> None:
    """While it is suspended nobody is demoted, whoever leads; resumed, it is made up for."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await group_of(nodes, "BC")
        await nodes[0].state.suspend(True)
        await nodes[2].stop()
        await asyncio.sleep(2.5)
        assert shape(nodes[0]) == "BC//" and nodes[0].state.is_suspended
        await nodes[1].state.suspend(False)
        await until(lambda: shape(nodes[0]) == "B//C")
        await nodes[2].start()

    run(tmp_path, steps, **PERIODS)


def test_a_leader_that_is_cut_off_decides_nothing(tmp_path: Path) -> None:
    """Two of three nodes are gone past all periods: nobody is set aside, then or when they are back."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await group_of(nodes, "BAC")
        assert nodes[0].state.driver.is_leader
        for node in nodes[1:]:
            await node.stop()
        await asyncio.sleep(3.5)
        assert shape(nodes[0]) == "BAC//" and not nodes[0].state.driver.is_leader
        for node in nodes[1:]:
            await node.start()
        await until(lambda: bool(nodes[0].state.leader_tag))
        await asyncio.sleep(0.5)
        assert [shape(node) for node in nodes] == ["BAC//"] * 3 and story(nodes[0]) == []

    run(tmp_path, steps, **PERIODS)


def test_one_instance_of_a_node_is_demoted(tmp_path: Path) -> None:
    """A database whose files are gone is set aside on that node alone; the node's other databases stay."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(2)
        await group_of(nodes, "AB")
        await nodes[0].server.databases.create({"DatabaseName": "well", "Topology": {"Members": ["B", "A"]}}, 2)
        await until(lambda: nodes[0].state.unmade_on("db") == [])
        await nodes[1].stop()
        (nodes[1].directory / "Databases" / "db").rename(nodes[1].directory / "elsewhere")
        await nodes[1].start()
        await until(lambda: shape(nodes[0]) == "A//B")
        assert "are missing" in nodes[0].topology()["DemotionReasons"]["B"]
        assert shape(nodes[0], "well") == "BA//"
        nodes[1].server.disk_watch.measure = lambda: DiskSpace(1, 100, 50, 50)
        await until(lambda: "Demote B" in story(nodes[0])[1:])
        assert shape(nodes[0], "well") == "A//B"

    run(tmp_path, steps, **PERIODS)


def test_a_node_that_stays_away_is_replaced(tmp_path: Path, told: dict[str, str]) -> None:
    """Another node gets a copy; the old one, back with a change of its own, goes when the others have that too."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        told.update(A="A:5-a, B:1-b", B="A:5-a, B:1-b", C="")
        await group_of(nodes, "AB", DynamicNodesDistribution=True)
        await until(lambda: nodes[0].state.unmade_on("db") == [])
        await nodes[1].stop()
        await until(lambda: shape(nodes[0]) == "A/C/B")
        told["C"] = "A:5-a, B:1-b"
        await until(lambda: shape(nodes[0]) == "AC//B")
        told["B"] = "A:5-a, B:2-b"
        await nodes[1].start()
        await until(lambda: nodes[0].topology()["PromotablesStatus"].get("B") == "Retired")
        await asyncio.sleep(0.3)
        assert shape(nodes[0]) == "AC//B" and (nodes[1].directory / "Databases" / "db").exists()
        told.update(A="A:9-a, B:2-b", C="A:7-a, B:2-b")
        await until(lambda: shape(nodes[0]) == "AC//")
        await until(lambda: not (nodes[1].directory / "Databases" / "db").exists())
        assert story(nodes[0])[-4:] == ["Promote C", "Promote B", "Retire B", "Delete B"]

    run(tmp_path, steps, **PERIODS)


def test_decisions_of_another_term_come_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was decided in an earlier term, or from an older topology, changes nothing; of others the last are kept."""
    monkeypatch.setattr(limits, "DECISIONS_KEPT", 5)

    async def steps(cluster: Cluster) -> None:
        node = await cluster.add()
        await group_of([node], "A")
        before = node.topology()

        async def decide(term: int, expected_index: int) -> None:
            changed = {**node.topology(), "DynamicNodesDistribution": True}
            change = Change("db", expected_index, changed, [Decision("Reorder", "A", f"term {term}")])
            await node.state.supervise(change, "now", term)

        term = node.state.driver.term
        for wrong_term, index in ((term - 1, before["Stamp"]["Index"]), (term, before["Stamp"]["Index"] - 1)):
            with pytest.raises(RaftConcurrency):
                await decide(wrong_term, index)
        assert node.topology() == before and node.state.decisions() == []
        for _ in range(8):
            await decide(term, node.topology()["Stamp"]["Index"])
        assert len(node.state.decisions()) == 5 and node.topology()["DynamicNodesDistribution"]
        assert node.state.decisions()[-1]["index"] == node.topology()["Stamp"]["Index"]

    run(tmp_path, steps)


def test_what_others_lack_keeps_its_files(tmp_path: Path, told: dict[str, str]) -> None:
    """A change comes to a retired instance after its last report: its files stay, and nothing is lost."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await group_of(nodes, "ABC", DynamicNodesDistribution=True)
        await until(lambda: nodes[0].state.unmade_on("db") == [])
        told.update(A="A:5-a", B="A:5-a", C="A:5-a")

        def one_less(topology: dict[str, object]) -> dict[str, object]:
            told["C"] = "A:5-a, C:1-c"
            return {**topology, "ReplicationFactor": 2}

        await nodes[0].state.change_topology("db", one_less)
        await until(lambda: nodes[0].topology()["PromotablesStatus"].get("C") == "Retired")
        told.update(A="A:5-a, C:1-c", B="A:5-a, C:1-c")
        covered = nodes[2].server.databases._has_more
        seen: list[bool] = []

        async def late(name: str, vector: str) -> bool:
            told["C"] = "A:5-a, C:2-c"
            seen.append(await covered(name, vector))
            return seen[-1]

        nodes[2].server.databases._has_more = late  # type: ignore[method-assign]
        await until(lambda: shape(nodes[0]) == "AB//" and seen == [True])
        await until(lambda: not nodes[0].state.deletions("db"))
        assert (nodes[2].directory / "Databases" / "db").exists()

    run(tmp_path, steps, **PERIODS)


@pytest.mark.parametrize(("covered", "stays"), [("C:1-c", False), ("A:7-a", True)])
def test_a_deletion_that_is_finished_at_the_next_start(
    tmp_path: Path, told: dict[str, str], covered: str, stays: bool
) -> None:
    """A node starts and finds that its instance was one too many: its files go if all that they hold is elsewhere."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await group_of(nodes, "AC")
        await until(lambda: nodes[0].state.unmade_on("db") == [])
        await nodes[2].stop()
        topology = dt.remove(nodes[0].topology(), "C")
        change = Change(
            "db", topology["Stamp"]["Index"], topology, [Decision("Delete", "C", "why")], {"C": covered}
        )  # fmt: skip
        await nodes[0].state.supervise(change, "now", nodes[0].state.driver.term)
        told["C"] = "C:1-c"
        await nodes[2].start()
        await until(lambda: not nodes[0].state.deletions("db"))
        assert (nodes[2].directory / "Databases" / "db").exists() == stays

    run(tmp_path, steps)

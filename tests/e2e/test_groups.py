"""Database groups over real processes that are killed, stopped in their tracks, started again, and asked by clients."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ravendb import DocumentStore

from tests.e2e.test_cluster import ROOT, Process, wait_for

PERIODS = ("--rotate-after", "2", "--rehab-after", "3", "--replace-after", "100")


class Member(Process):
    """A process with short periods of the supervisor."""

    options = PERIODS


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Process]]:
    """Three processes that know nothing of each other yet."""
    started: list[Process] = [Member(tmp_path / name).start() for name in ("a", "b", "c")]
    try:
        yield started
    finally:
        for each in started:
            each.process.send_signal(signal.SIGCONT)
            each.process.terminate()
        codes = [each.process.wait(20) for each in started]
    assert codes == [0, 0, 0]


def command(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "pynori", *words, "--url", url]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=30)


def group(node: Process, name: str) -> str:
    topology: dict[str, Any] = node.ask("GET", f"/admin/databases?name={name}")["Topology"]
    return "/".join("".join(topology[field]) for field in ("Members", "Promotables", "Rehabs"))


def test_from_one_node_to_a_group(nodes: list[Process]) -> None:
    """Passive nodes become a cluster, a database a group; a frozen member is set aside and comes back as the last."""
    first, second, third = nodes
    assert [each.ask("GET", "/cluster/topology")["NodeTag"] for each in nodes] == ["?", "?", "?"]
    assert first.ask("GET", "/health")["status"] == "passive"
    assert command(first.url, "database", "create", "Spade").returncode == 0
    assert first.ask("GET", "/cluster/topology")["NodeTag"] == "A" and group(first, "Spade") == "A//"
    for each in (second, third):
        assert command(first.url, "cluster", "add", each.url).returncode == 0
    wait_for(lambda: len(third.ask("GET", "/cluster/topology")["Topology"]["Members"]) == 3)
    assert "offline (not on this node)" in command(second.url, "database", "list").stdout
    assert "quorum 2 of 3 members: 1 of them may fail" in command(second.url, "cluster", "status").stdout
    for tag in ("B", "C"):
        assert command(second.url, "database", "add-node", "Spade", tag).returncode == 0
    wait_for(lambda: group(third, "Spade") in ("ABC//", "ACB//"))
    assert command(third.url, "database", "reorder", "Spade", "B", "A", "C").returncode == 0
    wait_for(lambda: group(first, "Spade") == "BAC//")
    with DocumentStore(third.url, "Spade") as store:
        store.initialize()
        with store.open_session() as session:
            session.store({"name": "ada"}, "users/1")
            session.save_changes()
        second.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: group(first, "Spade") == "AC//B", 20)
        with store.open_session() as session:
            session.store({"name": "bob"}, "users/2")
            session.save_changes()
    assert first.ask("GET", "/databases/Spade/docs?id=users/2")["Results"][0]["name"] == "bob"
    told = command(third.url, "cluster", "decisions").stdout
    assert "Rotate of node B" in told and "Demote of node B: its node was not heard of for" in told
    status = first.ask("GET", "/topology?name=Spade")["Nodes"]
    assert [(each["ClusterTag"], each["ServerRole"]) for each in status] == [
        ("A", "Member"), ("C", "Member"), ("B", "Rehab"),
    ]  # fmt: skip
    second.process.send_signal(signal.SIGCONT)
    wait_for(lambda: second.ask("GET", "/admin/databases?name=Spade")["Topology"]["Rehabs"] == ["B"])


def test_a_database_outlives_its_nodes(nodes: list[Process]) -> None:
    """The leader and preferred node is killed: its group is reordered; back on another port it is found again."""
    first, second, third = nodes
    for each in nodes[1:]:
        first.ask("PUT", f"/admin/cluster/node?url={each.url}")
    wait_for(lambda: len(third.ask("GET", "/cluster/topology")["Topology"]["Members"]) == 3)
    first.ask("PUT", "/admin/databases?name=db", {"DatabaseName": "db", "Topology": {"Members": ["A", "B", "C"]}})
    first.kill()
    wait_for(lambda: group(second, "db") == "BC//A", 20)
    shown = command(second.url, "cluster", "status").stdout
    assert "not reached for" in shown
    old = first.url
    first.url = "http://127.0.0.1:0"
    first.start()
    assert first.url != old
    wait_for(lambda: second.ask("GET", "/cluster/topology")["Topology"]["AllNodes"]["A"] == first.url)
    wait_for(lambda: group(first, "db") in ("BCA//", "BC//A"))
    assert command(third.url, "cluster", "remove", "A").returncode == 0
    wait_for(lambda: first.ask("GET", "/cluster/topology")["CurrentState"] == "Passive")
    assert first.ask("GET", "/databases?namesOnly=true")["Databases"] == [] and group(third, "db") == "BC//"
    assert (first.directory / "Databases" / "db").exists()

"""A cluster of three server processes: killed without warning while clients write; nothing that was told is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ravendb import DocumentStore
from ravendb.serverwide.database_record import DatabaseRecord
from ravendb.serverwide.operations.common import CreateDatabaseOperation

ROOT = Path(__file__).resolve().parent.parent.parent


class Process:
    """A `pynori serve` that can be killed and started again on its port and files."""

    options: tuple[str, ...] = ()

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = "http://127.0.0.1:0"
        self.process: subprocess.Popen[str]

    def start(self) -> Process:
        where = ["--url", self.url, "--data-dir", str(self.directory)]
        command = [sys.executable, "-m", "pynori", "serve", *where, *self.options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("Server available on:"):
                self.url = line.split(":", 1)[1].strip()
                return self
        raise AssertionError(f"the server ended with exit code {self.process.wait()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def ask(self, method: str, target: str, body: Any = None, timeout: float = 10) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + target, data, method=method)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = answer.read()
        return json.loads(text) if text else None


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Process]]:
    """Three processes, joined; whoever runs at the end must stop cleanly and have clean files."""
    started = [Process(tmp_path / name).start() for name in ("a", "b", "c")]
    try:
        for each in started[1:]:
            started[0].ask("PUT", f"/admin/cluster/node?url={each.url}")
        wait_for(lambda: len(started[2].ask("GET", "/cluster/topology")["Topology"]["Members"]) == 3)
        yield started
    finally:
        for each in started:
            each.process.terminate()
        codes = [each.process.wait(20) for each in started]
    assert codes == [0, 0, 0]
    for each in started:
        command = [sys.executable, "-m", "pynori", "check", str(each.directory)]
        checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def wait_for(holds: Any, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except (OSError, urllib.error.URLError):
            pass
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_leaders_are_killed_under_load(nodes: list[Process]) -> None:
    """Each leader in turn is killed with SIGKILL: every value that was confirmed is there afterwards."""
    nodes[0].ask("PUT", "/admin/databases?name=db&replicationFactor=1", {"DatabaseName": "db"})
    confirmed: set[str] = set()
    stop = threading.Event()

    def write(worker: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            key = f"{worker}/{number}"
            node = nodes[(worker + number) % 3]
            try:
                outcome = node.ask("PUT", f"/databases/db/cmpxchg?key={key}&index=0", {"Object": number})
            except OSError:
                continue  # nobody has promised anything
            if outcome["Successful"]:
                confirmed.add(key)

    # Only the node with the database answers for it; what the cluster agreed on is on all of them.
    writers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for writer in writers:
        writer.start()
    for _ in range(2):
        time.sleep(0.5)
        leader = nodes[0].ask("GET", "/cluster/topology")["Leader"]
        victim = nodes["ABC".index(leader)] if leader else nodes[1]
        victim.kill()
        time.sleep(0.5)
        victim.start()
        wait_for(lambda: nodes[0].ask("GET", "/cluster/topology")["Leader"])
    stop.set()
    for writer in writers:
        writer.join()
    assert len(confirmed) > 20
    wait_for(lambda: len({each.ask("GET", "/health")["shards"][0]["applied_index"] for each in nodes}) == 1)
    listed = nodes[0].ask("GET", "/databases/db/cmpxchg?startsWith=&pageSize=100000")["Results"]
    assert confirmed <= {each["Key"] for each in listed}


def test_nodes_by_the_command_line(nodes: list[Process]) -> None:
    """`pynori cluster` shows the nodes, takes one out, and says why something cannot be done."""

    def cluster(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pynori", "cluster", *arguments, "--url", nodes[1].url]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)

    shown = cluster("status").stdout
    assert shown.startswith("node B, Follower of term") and "leader A" in shown
    assert [line.split()[:2] for line in shown.splitlines()[2:]] == [[tag, "Member"] for tag in "ABC"]
    assert cluster("remove", "C").returncode == 0
    assert "no node 'C' in the cluster" in cluster("remove", "C").stderr
    assert "in the cluster already" in cluster("add", nodes[0].url).stderr
    assert len(cluster("status").stdout.splitlines()) == 4


def test_a_client_finds_the_node_of_its_database(nodes: list[Process]) -> None:
    """A store that knows one node only is led to the node that has the database."""
    nodes[0].ask(
        "PUT", "/admin/databases?name=far&replicationFactor=1",
        {"DatabaseName": "far", "Topology": {"Members": ["B"]}},
    )  # fmt: skip
    with DocumentStore(nodes[2].url, "far") as store:
        store.initialize()
        with store.open_session() as session:
            session.store({"name": "ada"}, "users/1")
            session.save_changes()
    assert nodes[1].ask("GET", "/databases/far/docs?id=users/1")["Results"][0]["name"] == "ada"
    with DocumentStore(nodes[1].url, "near") as store:
        store.initialize()
        store.maintenance.server.send(CreateDatabaseOperation(DatabaseRecord("near")))
    listed = nodes[0].ask("GET", "/databases?namesOnly=true")["Databases"]
    assert sorted(listed) == ["far", "near"]

"""Nodes over real sockets and files: they join, agree, lose leaders, catch up and part."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pynori import limits
from pynori.cluster import database_topology, records, topology
from pynori.cluster.commands import View
from pynori.cluster.store import Store
from pynori.errors import (
    DatabaseNotRelevant,
    InvalidArgument,
    NoLeader,
    OperationFailed,
    RequestTimeout,
    StorageFailed,
)
from tests.cluster.cluster_of_nodes import Cluster, Node, roles, run, until

VALUE = b'{"Object":1}'


async def put(node: Node, key: str, value: bytes = VALUE) -> Any:
    return await node.state.put_compare_exchange("db", key, 0, value)


def test_three_nodes_agree(tmp_path: Path) -> None:
    """Nodes get the tags B and C, become members, and have the same state whichever of them was asked to change it."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        assert [node.server.node_tag for node in nodes] == ["A", "B", "C"]
        assert len({node.state.topology_id for node in nodes}) == 1
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 1)
        for number in range(30):
            assert (await put(nodes[number % 3], f"k/{number}")).successful
        assert not (await put(nodes[2], "k/0")).successful
        index = max(node.state.raft_index for node in nodes)
        for node in nodes:
            await node.state.wait_for_index(index)
            assert len(node.state.compare_exchange_values("db", "k/", 0, 100)) == 30
            assert node.state.record("db") == nodes[0].state.record("db")
            assert node.state.leader_tag == "A"

    run(tmp_path, steps)


def test_the_cluster_outlives_its_leader(tmp_path: Path) -> None:
    """While the leader goes down, what was asked of the others is done; it comes back as a follower and catches up."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 1)
        done: list[str] = []

        async def write(node: Node, worker: int) -> None:
            for number in range(60):
                outcome = await put(node, f"{worker}/{number}")
                assert outcome.successful
                done.append(f"{worker}/{number}")

        writers = [asyncio.ensure_future(write(nodes[1 + worker % 2], worker)) for worker in range(8)]
        await asyncio.sleep(0.1)
        await nodes[0].stop()
        await asyncio.gather(*writers)
        assert len(done) == 480 and {node.state.leader_tag for node in nodes[1:]} <= {"B", "C"}
        await nodes[0].start()
        index = nodes[1].state.raft_index
        await nodes[0].state.wait_for_index(index, 10)
        assert len(nodes[0].state.compare_exchange_values("db", "", 0, 1000)) == 480

    run(tmp_path, steps)


def test_a_minority_refuses_with_the_reason(tmp_path: Path) -> None:
    """Two of three nodes are gone: changes are refused, soon at once; reads go on; with one back, changes do too."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 1)
        await put(nodes[0], "before")
        await nodes[1].stop()
        await nodes[2].stop()
        with pytest.raises((NoLeader, RequestTimeout), match="majority"):
            await put(nodes[0], "lost")
        started = asyncio.get_running_loop().time()
        with pytest.raises(NoLeader, match="majority of its 3 voting members"):
            await put(nodes[0], "refused")
        assert asyncio.get_running_loop().time() - started < 1
        assert nodes[0].state.compare_exchange_value("db", "before") is not None
        await nodes[1].start()
        await until(lambda: bool(nodes[0].state.leader_tag))
        assert (await put(nodes[0], "after")).successful
        assert nodes[0].state.compare_exchange_value("db", "refused") is None
        await nodes[2].start()

    run(tmp_path, steps)


def test_a_node_far_behind_gets_the_whole_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a node missed is no longer in anybody's log: it gets the state as a whole, and goes on from there."""
    monkeypatch.setattr(limits, "RAFT_LOG_ENTRIES_KEPT", 20)
    monkeypatch.setattr(limits, "RAFT_REPEAT_WINDOW", 20)

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 1)
        await nodes[2].stop()
        for number in range(150):
            await put(nodes[0], f"k/{number:03}")
        assert nodes[0].state.driver._log.first_index() > 60
        await nodes[2].start()
        await nodes[2].state.wait_for_index(nodes[0].state.raft_index, 10)
        assert len(nodes[2].state.compare_exchange_values("db", "k/", 0, 1000)) == 150
        assert nodes[2].state.record("db") == nodes[0].state.record("db")
        await nodes[2].stop()
        await nodes[2].start()
        await put(nodes[2], "after a restart")
        late = await cluster.add()
        await nodes[2].server.nodes.add(late.server.url)
        await until(lambda: late.state.raft_index >= nodes[2].state.raft_index)
        assert late.server.node_tag == "D" and late.state.compare_exchange_value("db", "after a restart") is not None

    run(tmp_path, steps)


def test_a_large_state_goes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state of many parts reaches a node, also when the transfer breaks in between; until then its own one holds."""
    monkeypatch.setattr(limits, "RAFT_LOG_ENTRIES_KEPT", 20)
    monkeypatch.setattr(limits, "RAFT_REPEAT_WINDOW", 20)
    monkeypatch.setattr(limits, "STATE_PART_SIZE_BYTES", 4_096)

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 1)
        await put(nodes[0], "k/000")
        await nodes[2].state.wait_for_index(nodes[0].state.raft_index, 10)
        await nodes[2].stop()
        for number in range(1, 120):
            await put(nodes[0], f"k/{number:03}", b'{"Object":"%s"}' % (b"x" * 1_000))
        staged = []
        stage = Store.stage

        def broken(store: Store, part: bytes) -> None:
            staged.append(len(part))
            if len(staged) == 10:
                raise StorageFailed("the disk is away for a moment")
            stage(store, part)

        monkeypatch.setattr(Store, "stage", broken)
        await nodes[2].start()
        known = nodes[2].state.compare_exchange_values("db", "k/", 0, 1000)
        assert len(known) == 1
        await nodes[2].state.wait_for_index(nodes[0].state.raft_index, 10)
        assert len(staged) > 35 and max(staged) < 6_000, "the first transfer, and another one from its begin"
        assert len(nodes[2].state.compare_exchange_values("db", "k/", 0, 1000)) == 120
        await put(nodes[2], "after")
        await nodes[2].stop()
        await nodes[2].start()
        assert len(nodes[2].state.compare_exchange_values("db", "", 0, 1000)) == 121

    run(tmp_path, steps)


def test_watchers_and_removed_nodes(tmp_path: Path) -> None:
    """A watcher follows without a vote, is promoted, demoted and removed; who is removed hears no more."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(2)
        watcher = await cluster.add()
        await nodes[1].server.nodes.add(watcher.server.url, is_watcher=True)
        await until(lambda: watcher.state.raft_index >= nodes[0].state.raft_index)
        assert roles(nodes[0], "Watchers").keys() == {"C"} and len(nodes[0].state.driver.membership.voters) == 2
        await watcher.server.nodes.set_role("C", "Promotable")
        await until(lambda: roles(watcher, "Members").keys() == {"A", "B", "C"})
        await nodes[0].server.nodes.set_role("C", "Watcher")
        await until(lambda: len(nodes[1].state.driver.membership.voters) == 2)
        await nodes[0].server.nodes.remove("C")
        assert roles(nodes[0], "AllNodes").keys() == {"A", "B"}
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 1)
        assert watcher.state.record("db") is None
        other = await cluster.add()
        assert await nodes[0].server.nodes.add(other.server.url) == "D"
        with pytest.raises(InvalidArgument, match="no node 'X'"):
            await nodes[0].server.nodes.remove("X")

    run(tmp_path, steps)


def test_who_cannot_join(tmp_path: Path) -> None:
    """A node with databases, one of another cluster, a tag that is taken and a silent address are refused."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(2)
        owner = await cluster.add()
        await owner.server.databases.create({"DatabaseName": "mine"}, 1)
        with pytest.raises(OperationFailed, match="has databases"):
            await nodes[0].server.nodes.add(owner.server.url)
        assert owner.state.record("mine") is not None and owner.server.node_tag == "A"
        with pytest.raises(OperationFailed, match="several nodes"):
            await owner.server.nodes.add(nodes[1].server.url)
        with pytest.raises(InvalidArgument, match="in the cluster already"):
            await nodes[0].server.nodes.add(nodes[1].server.url)
        for tag in ("B", "b", "TOOLONG", "RAFT"):
            with pytest.raises(InvalidArgument):
                await nodes[0].server.nodes.add("http://127.0.0.1:1", tag)
        with pytest.raises(Exception, match="cannot be reached"):
            await nodes[0].server.nodes.add("http://127.0.0.1:1")

    run(tmp_path, steps)


def test_a_plain_request_joins_nothing(tmp_path: Path) -> None:
    """A request for the channel that asks for no upgrade is refused before anything has begun."""

    async def steps(cluster: Cluster) -> None:
        node = await cluster.add()
        topology_id = node.state.topology_id
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        hello = '{"topology":"another","tag":"B"}'
        head = f"GET /cluster/channel HTTP/1.1\r\nHost: a\r\nPynori-Operation: join\r\nPynori-Hello: {hello}\r\n\r\n"
        writer.write(head.encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 426 ")
        writer.close()
        await asyncio.sleep(0.1)
        assert node.state.is_passive and node.state.topology_id == topology_id

    run(tmp_path, steps)


def test_databases_live_on_the_nodes_of_their_topology(tmp_path: Path) -> None:
    """A database that one node makes for another is there and nowhere else; its files go when it is deleted."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[0].server.databases.create({"DatabaseName": "far", "Topology": {"Members": ["C"]}}, 1)
        database = nodes[2].server.databases.find("far").database
        await database.put("users/1", b"{}")
        with pytest.raises(DatabaseNotRelevant, match="not on node A"):
            nodes[0].server.databases.find("far")
        topology = nodes[1].state.database_topology("far", nodes[1].server.url)
        assert [(each["ClusterTag"], each["Url"]) for each in topology["Nodes"]] == [("C", nodes[2].server.url)]
        with pytest.raises(InvalidArgument, match="Node 'X' is not in the cluster"):
            await nodes[0].server.databases.create({"DatabaseName": "x", "Topology": {"Members": ["X"]}}, 1)
        with pytest.raises(InvalidArgument, match="larger than the cluster's 3 nodes"):
            await nodes[0].server.databases.create({"DatabaseName": "x"}, 4)
        await nodes[2].stop()
        await nodes[2].start()
        assert nodes[2].server.databases.find("far").database.get("users/1") is not None
        folder = nodes[2].directory / "Databases" / "far"
        assert folder.exists()
        await nodes[1].server.databases.delete(["far"], hard=True)
        await until(lambda: not folder.exists())
        assert nodes[2].state.record("far") is None

    run(tmp_path, steps)


def test_all_nodes_restart(tmp_path: Path) -> None:
    """After all nodes were down the cluster finds a leader again and has everything that it had agreed on."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 1)
        await asyncio.gather(*(put(nodes[number % 3], str(number)) for number in range(200)))
        for node in nodes:
            await node.stop()
        for node in nodes:
            await node.start()
        await until(lambda: bool(nodes[1].state.leader_tag))
        assert (await put(nodes[1], "again")).successful
        for node in nodes:
            await node.state.wait_for_index(nodes[1].state.raft_index)
            assert len(node.state.compare_exchange_values("db", "", 0, 1000)) == 201

    run(tmp_path, steps)


def test_a_fresh_node_is_passive_until_its_first_act(tmp_path: Path) -> None:
    """It shows "?" and no leader, names itself to clients all the same, and is A when it makes a database."""

    async def steps(cluster: Cluster) -> None:
        node = await cluster.add()
        shown = node.state.cluster_topology(node.server.url)
        assert (shown["NodeTag"], shown["CurrentState"], shown["Leader"]) == ("?", "Passive", None)
        assert shown["Topology"]["Members"] == {"A": node.server.url} and shown["Topology"]["TopologyId"] == ""
        assert node.state.node_info()["ServerRole"] == "None"
        await node.stop()
        await node.start()
        assert node.server.node_tag == "?"
        made = [node.server.databases.create({"DatabaseName": name}, 1) for name in ("one", "two")]
        created = await asyncio.gather(*made)
        assert [each.topology["Members"] for each in created] == [["A"], ["A"]]
        shown = node.state.cluster_topology(node.server.url)
        assert (shown["NodeTag"], shown["CurrentState"], shown["Leader"]) == ("A", "Leader", "A")
        database = node.server.databases.find("one").database
        assert (await database.put("users/1", b"{}")).change_vector.startswith("A:1-")

    run(tmp_path, steps)


def test_a_removed_node_is_passive_and_can_come_back(tmp_path: Path) -> None:
    """It leaves all groups, stops to serve, and keeps its files; added again it has its tag again."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        for name, members in (("shared", ["C", "A", "B"]), ("alone", ["C"]), ("other", ["A"])):
            await nodes[0].server.databases.create({"DatabaseName": name, "Topology": {"Members": members}}, 1)
        await nodes[1].server.nodes.remove("C")
        assert nodes[0].topology("shared")["Members"] == ["A", "B"]
        assert nodes[0].topology("shared")["ReplicationFactor"] == 2
        await until(lambda: nodes[2].state.is_passive and not nodes[2].server.databases.open_databases())
        assert nodes[2].server.node_tag == "?" and nodes[2].server.databases.names() == []
        assert sorted(nodes[0].server.databases.names()) == ["other", "shared"]
        assert (nodes[2].directory / "Databases" / "shared").exists()
        assert (nodes[2].directory / "Databases" / "alone").exists()
        await nodes[2].stop()
        await nodes[2].start()
        assert nodes[2].state.is_passive
        assert await nodes[0].server.nodes.add(nodes[2].server.url) == "C"
        await until(lambda: set(roles(nodes[2], "Members")) == {"A", "B", "C"})
        assert nodes[2].server.node_tag == "C"
        assert nodes[2].state.record("other") == nodes[0].state.record("other")

    run(tmp_path, steps)


def test_a_node_removed_while_it_was_down(tmp_path: Path) -> None:
    """It learns it when it starts again, from whoever it knocks at."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 3)
        await nodes[2].stop()
        await nodes[0].server.nodes.remove("C")
        await nodes[2].start()
        await until(lambda: nodes[2].state.is_passive)
        await until(lambda: not nodes[2].server.databases.open_databases())

    run(tmp_path, steps)


def test_the_leader_removes_itself(tmp_path: Path) -> None:
    """The others elect another leader and go on; it is passive."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[1].server.databases.create({"DatabaseName": "db", "Topology": {"Members": ["B"]}}, 1)
        await nodes[0].server.nodes.remove("A")
        await until(lambda: nodes[0].state.is_passive)
        await until(lambda: nodes[1].state.leader_tag in ("B", "C"))
        assert (await put(nodes[1], "k")).successful and set(roles(nodes[2], "Members")) == {"B", "C"}

    run(tmp_path, steps)


def test_a_node_with_a_cluster_of_its_own_is_refused(tmp_path: Path) -> None:
    """Settings of a cluster are something that would be lost: both sides stay as they are."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(2)
        other = await cluster.add()
        await other.state.put_client_configuration(None, {"MaxNumberOfRequestsPerSession": 7})
        with pytest.raises(OperationFailed, match="is a cluster of its own"):
            await nodes[0].server.nodes.add(other.server.url)
        assert other.server.node_tag == "A" and set(roles(nodes[0], "AllNodes")) == {"A", "B"}

    run(tmp_path, steps)


def test_quorums() -> None:
    """Half of the voting members, rounded down, and one."""
    table = {1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 7: 4, 9: 5, 15: 8, 21: 11, 51: 26}
    assert {voters: topology.quorum(voters) for voters in table} == table


def test_watchers_hold_databases(tmp_path: Path) -> None:
    """A node without a vote holds databases like others, and counts in no quorum."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(2)
        watcher = await cluster.add()
        await nodes[0].server.nodes.add(watcher.server.url, is_watcher=True)
        await until(lambda: watcher.state.raft_index >= nodes[0].state.raft_index)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 3)
        await until(lambda: len(watcher.server.databases.open_databases()) == 1)
        assert nodes[0].state.cluster_topology("")["Quorum"] == 2

    run(tmp_path, steps)


def test_a_node_that_has_moved(tmp_path: Path) -> None:
    """Started again on another port, also the leader, a node tells the others, and clients learn it."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 3)
        witness = nodes[1]
        for moved in (nodes[2], nodes[0]):
            before, etag = moved.server.url, witness.state.database_topology_etag("db")
            await moved.stop()
            moved.port = 0
            await moved.start()
            assert moved.server.url != before
            await until(lambda moved=moved: moved.server.url in roles(witness, "AllNodes").values())
            assert before not in roles(witness, "AllNodes").values()
            assert witness.state.database_topology_etag("db") > etag
            urls = [each["Url"] for each in witness.state.database_topology("db", witness.server.url)["Nodes"]]
            assert moved.server.url in urls
            assert (await put(moved, f"k/{moved.port}")).successful
        await until(lambda: not any(node.state.away() for node in nodes))

    run(tmp_path, steps)


@pytest.mark.parametrize("is_same", [True, False], ids=["of the same cluster", "of another cluster"])
def test_a_node_whose_invitation_came_to_nothing_can_be_invited_again(tmp_path: Path, is_same: bool) -> None:
    """Its inviter ended before it proposed anything: the node waits, and the next invitation gets it in."""

    async def steps(cluster: Cluster) -> None:
        first, other = await cluster.add(), await cluster.add()
        await first.state.found()
        topology_id = first.state.topology_id if is_same else "00000000-0000-4000-8000-000000000000"
        invited = await other.state.begin_anew(topology_id, "X")
        assert not other.state.is_passive and other.state.topology_id == ""
        await first.server.nodes.add(other.server.url)
        await until(lambda: set(roles(other, "Members")) == {"A", "B"})
        assert (other.state.driver.node_id == invited) is is_same
        with pytest.raises(OperationFailed, match="several nodes"):
            await other.state.begin_anew(topology_id, "X")

    run(tmp_path, steps)


def test_a_change_that_is_on_its_way_when_the_node_stops_is_not_called_refused(tmp_path: Path) -> None:
    """Others may agree on it later: its caller is told that nobody knows, and not that nothing was changed."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 1)
        leader = next(node for node in nodes if node.state.driver.is_leader)
        leader.state.driver.transport._receive = lambda message: None  # what the others answer is not heard
        change = asyncio.ensure_future(put(leader, "k"))
        await asyncio.sleep(0.05)
        leader.state.driver.give_up()
        with pytest.raises(RequestTimeout, match="not known"):
            await change

    run(tmp_path, steps)


def test_a_node_that_is_removed_while_it_changes_the_nodes_does_not_go_on_with_that_alone(tmp_path: Path) -> None:
    """What it proposed to its cluster is nothing to the passive node that it is then, whose state goes on to work."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        other = topology.addition("Z", 12_345, "http://127.0.0.1:1", topology.WATCHER)
        change = asyncio.ensure_future(nodes[2].server.nodes._change(other, lambda: False))
        await nodes[0].server.nodes.remove("C")
        with pytest.raises(OperationFailed, match="has left the cluster"):
            await change
        assert nodes[2].state.is_passive and nodes[2].state.failure is None
        await nodes[2].state.found()
        assert nodes[2].state.node_tag == "A"

    run(tmp_path, steps)


def test_no_instance_is_put_on_a_node_that_has_left(tmp_path: Path) -> None:
    """Who asked may have looked at the cluster before: an instance on no node would be waited for in vain."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(2)
        state = nodes[0].state
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 1)
        with pytest.raises(InvalidArgument, match="'Z' is not in the cluster"):
            await state.change_topology("db", lambda known: database_topology.add(known, "Z"))
        record = records.new_record({"DatabaseName": "other"}, [], ("ids", "ids"))
        fields = {"record": record, "factor": 2, "candidates": ["Z", "B", "A"], "away": []}
        await state.driver.propose("database.create", fields, 2)
        assert sorted(state.instances("other")) == ["A", "B"]
        with pytest.raises(InvalidArgument, match="'Z' is not in the cluster"):
            given = records.new_record({"DatabaseName": "third"}, ["Z"], ("ids", "ids"))
            await state.driver.propose("database.create", {**fields, "record": given}, 2)

    run(tmp_path, steps)


def test_first_keys_are_the_same_wherever_a_transaction_ends() -> None:
    """Nodes put commands into transactions as they come: what one sees must not depend on where that was cut."""

    class Stored:
        def __init__(self, *keys: str) -> None:
            self.keys = sorted(keys)

        def get(self, table: str, key: str) -> bytes | None:
            return b"" if key in self.keys else None

        def scan(self, table: str, prefix: str, skip: int = 0, limit: int | None = None, start: str = "") -> Any:
            return iter([(key, b"") for key in self.keys if key.startswith(prefix)][:limit])

    values = {("compare_exchange", key): b"" for key in ("g/b", "g/d", "h/a")}
    gone: dict[tuple[str, str], Any] = {("compare_exchange", "g/a"): None}
    apart = View({}, {}, Stored("g/b", "g/c", "g/d", "h/a"), 1)
    together = View({}, {**values, **gone}, Stored("g/a", "g/c"), 1)
    for count in range(1, 5):
        found = apart.first_keys("compare_exchange", "g/", count)
        assert found == together.first_keys("compare_exchange", "g/", count) == ["g/b", "g/c", "g/d"][:count]

"""Groups over several nodes: each named node makes its files, and removes them; nodes join and leave a group."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pynori import limits
from pynori.documents.database import Database
from pynori.errors import DatabaseNotRelevant, InvalidArgument
from tests.cluster.cluster_of_nodes import Cluster, Node, run, until

DOCUMENT = b'{"Name":"Ada","@metadata":{"@collection":"Users"}}'


def has_files(node: Node, name: str = "db") -> bool:
    return (node.directory / "Databases" / name).exists()


def database(node: Node, name: str = "db") -> Database:
    return node.server.databases.find(name).database


def is_open(node: Node, name: str = "db") -> bool:
    return any(each.name == name for each in node.server.databases.open_databases())


def test_every_node_of_a_group_makes_its_files(tmp_path: Path) -> None:
    """A database of factor 3 on four nodes: three instances with ids of their own, there when the call returns."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(4)
        created = await nodes[3].server.databases.create({"DatabaseName": "db"}, 3)
        members = created.topology["Members"]
        holders = [node for node in nodes if node.server.node_tag in members]
        assert len(holders) == 3 and members[0] == "D", "of equals the node that was asked comes first"
        assert all(is_open(node) for node in holders)
        assert len({database(node).id for node in holders}) == 3
        other = next(node for node in nodes if node not in holders)
        with pytest.raises(DatabaseNotRelevant):
            other.server.databases.find("db")
        assert not has_files(other) and other.server.databases.names() == ["db"]
        await until(lambda: all(node.state.unmade_on("db") == [] for node in nodes))
        for node in nodes:
            topology = node.state.database_topology("db", node.server.url)
            assert [each["ClusterTag"] for each in topology["Nodes"]] == members
        with pytest.raises(InvalidArgument, match="Replication factor 5 is larger than the cluster's 4 nodes"):
            await nodes[0].server.databases.create({"DatabaseName": "x"}, 5)

    run(tmp_path, steps)


def test_forty_groups_are_spread(tmp_path: Path) -> None:
    """40 databases of factor 3 asked of any of five nodes: the nodes' numbers of instances differ by at most two."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(5)
        await until(lambda: not any(node.state.away() for node in nodes))
        for start in range(0, 40, 5):
            wanted = [
                nodes[number].server.databases.create({"DatabaseName": f"db{start + number}"}, 3) for number in range(5)
            ]
            await asyncio.gather(*wanted)
        counts = [len(node.server.databases.open_databases()) for node in nodes]
        assert sum(counts) == 120 and max(counts) - min(counts) <= 2

    run(tmp_path, steps, run_in_memory=True)


def test_a_node_that_was_away_makes_and_removes_its_files(tmp_path: Path) -> None:
    """A group is made, deleted and made again while one of its nodes is down: it ends with new files, not old ones."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        databases = nodes[0].server.databases
        await databases.create({"DatabaseName": "db"}, 3)
        for node in nodes:
            await database(node).put("users/1", DOCUMENT)
        first = database(nodes[2]).id
        await nodes[2].stop()
        await until(lambda: nodes[0].state.away() == ["C"])
        await databases.delete(["db"], hard=True)
        assert await databases.pending_deletes(["db"], 5) == ["C"]
        assert not has_files(nodes[0]) and not has_files(nodes[1])
        named = {"DatabaseName": "db", "Topology": {"Members": ["A", "C"]}}
        await databases.create(named, 2)
        await until(lambda: nodes[0].state.unmade_on("db") == ["C"])
        await nodes[2].start()
        await until(lambda: nodes[0].state.unmade_on("db") == [] and not nodes[0].state.deletions("db"))
        assert database(nodes[2]).get("users/1") is None and database(nodes[2]).id != first
        assert database(nodes[0]).get("users/1") is None and not has_files(nodes[1])

    run(tmp_path, steps)


def test_a_new_database_never_takes_the_files_of_a_deleted_one(tmp_path: Path) -> None:
    """Deleted and made again at once, and again: on every node the last one is empty."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        for _ in range(5):
            await nodes[0].server.databases.create({"DatabaseName": "db"}, 3)
            for node in nodes:
                await until(lambda node=node: is_open(node))
                assert database(node).get("users/1") is None
            for node in nodes:
                await database(node).put("users/1", DOCUMENT)
            await nodes[1].server.databases.delete(["db"], hard=True)
        await until(lambda: not any(has_files(node) for node in nodes))
        await until(lambda: not nodes[0].state.deletions("db"))

    run(tmp_path, steps)


def test_instances_come_and_go(tmp_path: Path) -> None:
    """A node is added as Promotable with a mentor, promoted by hand, and deleted from alone, with its files."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[0].server.databases.create({"DatabaseName": "db", "Topology": {"Members": ["A"]}}, 1)
        assert await nodes[1].server.databases.add_instance("db", "C", None) == "C"
        assert is_open(nodes[2]) and nodes[1].topology()["Promotables"] == ["C"]
        with pytest.raises(InvalidArgument, match="already"):
            await nodes[0].server.databases.add_instance("db", "C", None)
        assert await nodes[0].server.databases.add_instance("db", None, "A") == "B"
        with pytest.raises(InvalidArgument, match="already exists on all the nodes of the cluster"):
            await nodes[0].server.databases.add_instance("db", None, None)
        await nodes[0].server.databases.delete(["db"], hard=True, nodes=["C"])
        await until(lambda: not has_files(nodes[2]) and not is_open(nodes[2]))
        assert nodes[0].topology()["Promotables"] == ["B"] and nodes[0].topology()["ReplicationFactor"] == 2
        await nodes[0].server.databases.delete(["db"], hard=False, nodes=["A"])
        assert nodes[0].topology()["Members"] == ["B"] and has_files(nodes[0]) and not is_open(nodes[0])
        await nodes[0].server.databases.delete(["db"], hard=True, nodes=["B", "C"])
        assert nodes[0].state.record("db") is None, "the last instance takes the database along"
        await until(lambda: not has_files(nodes[1]))

    run(tmp_path, steps)


def test_a_restart_in_between(tmp_path: Path) -> None:
    """Nodes of a group restart: files that were made are opened again, never made anew; missing ones are reported."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(2)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 2)
        await database(nodes[1]).put("users/1", DOCUMENT)
        await until(lambda: nodes[1].state.unmade_on("db") == [])
        await nodes[1].stop()
        await nodes[1].start()
        assert database(nodes[1]).get("users/1") is not None
        await nodes[1].stop()
        (nodes[1].directory / "Databases" / "db").rename(nodes[1].directory / "elsewhere")
        await nodes[1].start()
        assert "are missing" in nodes[1].server.databases.failures()["db"]

    run(tmp_path, steps)


def test_cluster_transactions_on_all_instances(tmp_path: Path) -> None:
    """Each instance applies each transaction once; what one of them has still to apply stays, whatever others say."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 3)

        async def transact(number: int) -> None:
            node = nodes[number % 2]
            documents = [{"id": f"users/{number}", "document": "{}", "guard": 0}]
            await node.server.databases.find("db").transactions.run(node.state.transact("db", [], documents, True))

        await transact(0)
        await nodes[2].stop()
        for number in range(1, 150):
            await transact(number)
        assert len(nodes[0].state.transactions("db", 1_000, 0)) >= 140, "one instance has not applied them"
        await nodes[2].start()
        last = database(nodes[0]).get("users/149")
        await until(lambda: is_open(nodes[2]) and database(nodes[2]).get("users/149") is not None)
        mine = database(nodes[2]).get("users/149")
        assert last is not None and mine is not None and mine.change_vector == last.change_vector
        for number in range(150, 300):
            await transact(number)
        await until(lambda: len(nodes[0].state.transactions("db", 1_000, 0)) < 150)

    run(tmp_path, steps)


def test_a_transaction_makes_the_same_items_everywhere(tmp_path: Path) -> None:
    """Instances with the same versions make the same bytes, vectors and times of a transaction, and send none of it."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 3)
        links = [node.server.databases.find("db").replication for node in nodes]
        await until(lambda: all(link.is_connected for each in links for link in each.outgoing))
        await database(nodes[0]).put("users/1", DOCUMENT)
        await until(lambda: all(database(node).get("users/1") is not None for node in nodes))
        await until(lambda: len({database(node).change_vector for node in nodes}) == 1)
        await asyncio.sleep(3 * limits.REPLICATION_NEWS_MS / 1_000)  # until all have told each other what they have
        sent = [sum(link.sent_items for link in each.outgoing) for each in links]
        changed = [("users/1", '{"Name":"Bea"}'), ("users/2", "{}"), ("users/1", '{"Name":"Cid"}'), ("users/2", None)]
        for number, (id, body) in enumerate(changed):
            node = nodes[number % 3]
            transactions = node.server.databases.find("db").transactions
            documents = [{"id": id, "document": body}, {"id": f"new/{number}", "document": "{}"}]
            await transactions.run(node.state.transact("db", [], documents, False))
        await until(lambda: all(database(node).get("new/3") is not None for node in nodes))
        for id in ("users/1", "new/0", "new/1", "new/2", "new/3"):
            found = [database(node).get(id) for node in nodes]
            assert len({(each.json, each.change_vector, each.last_modified) for each in found if each}) == 1
        assert all(database(node).get("users/2") is None for node in nodes)
        await asyncio.sleep(0.4)
        assert [sum(link.sent_items for link in each.outgoing) for each in links] == sent
        assert not any(database(node).conflict_count for node in nodes)
        # What is written upon it travels as ever.
        await database(nodes[1]).put("users/1", b'{"Name":"Dan"}')
        await until(lambda: all(b"Dan" in database(node).get("users/1").json for node in nodes))

    run(tmp_path, steps)


def test_a_version_that_has_seen_a_transaction_stays(tmp_path: Path) -> None:
    """A sibling's later version comes before the transaction that it has seen: applying that does not set it back."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(2)
        await nodes[0].server.databases.create({"DatabaseName": "db"}, 2)
        group = nodes[0].state.group_id("db")
        batch = database(nodes[0]).batch()
        vector = f"B:7-{database(nodes[1]).id}, RAFT:1-{group}"
        batch.put("users/1", b'{"later":true}', source_change_vector=vector, exact=True)
        await database(nodes[0]).submit(batch)
        documents = [{"id": "users/1", "document": "{}", "guard": 0}, {"id": "users/2", "document": "{}", "guard": 0}]
        transactions = nodes[0].server.databases.find("db").transactions
        _, results = await transactions.run(nodes[0].state.transact("db", [], documents, True))
        assert [each.id for each in results] == ["users/1", "users/2"]
        kept, new = database(nodes[0]).get("users/1"), database(nodes[0]).get("users/2")
        assert kept is not None and b"later" in kept.json and new is not None and f"RAFT:2-{group}" in new.change_vector

    run(tmp_path, steps)

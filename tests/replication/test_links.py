"""Instances on several nodes of one process, over real sockets and files: links, what they carry, what they survive."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pynori import limits
from pynori.cluster import database_topology as groups
from pynori.documents.database import Database, DatabaseOptions
from pynori.errors import TimeoutExpired
from pynori.replication.conflicts import ConflictRules
from pynori.replication.outgoing import Destination, owner_of
from pynori.replication.replication import Replication
from pynori.runtime.clock import SystemClock
from pynori.server.server import Server
from tests.cluster.cluster_of_nodes import Cluster, Node, run, until


async def pair(cluster: Cluster, count: int = 2) -> list[Node]:
    """Nodes with an instance of "db" on each."""
    nodes = await cluster.of(count)
    await nodes[0].server.databases.create({"DatabaseName": "db"}, count)
    await until(lambda: all(is_linked(node, count - 1) for node in nodes))
    return nodes


def is_linked(node: Node, count: int) -> bool:
    opened = [each for each in node.server.databases.open_databases() if each.name == "db"]
    return bool(opened) and sum(link.is_connected for link in opened[0].replication.outgoing) == count


def database(node: Node) -> Any:
    return node.server.databases.find("db").database


def content(server: Server, id: str) -> Any:
    found = server.databases.find("db").database.get(id)
    return None if found is None else json.loads(found.json)


async def put(node: Node, id: str, **properties: Any) -> str:
    result = await database(node).put(id, json.dumps(properties).encode())
    return str(result.change_vector)


def has(node: Node, id: str, **properties: Any) -> bool:
    found = content(node.server, id)
    return found is not None and {key: found[key] for key in properties} == properties


def test_what_is_written_at_one_node_comes_to_the_others(tmp_path: Path) -> None:
    """Documents and deletions travel with their vectors, collections and times, in both directions."""

    async def steps(cluster: Cluster) -> None:
        nodes = await pair(cluster, 3)
        for number, node in enumerate(nodes):
            await put(node, f"users/{number}", n=number, **{"@metadata": {"@collection": "Users"}})
        await until(lambda: all(has(node, f"users/{n}", n=n) for node in nodes for n in range(3)))
        await database(nodes[1]).delete("users/0")
        await until(lambda: all(content(node.server, "users/0") is None for node in nodes))
        metadata = [content(node.server, "users/2")["@metadata"] for node in nodes]
        assert metadata[0] == metadata[1] == metadata[2]
        assert [database(node).collections() for node in nodes] == [{"Users": 2}] * 3

    run(tmp_path, steps)


def test_a_link_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What was written while the other node was away arrives once, as its last version."""

    async def steps(cluster: Cluster) -> None:
        nodes = await pair(cluster)
        for number in range(5):
            await put(nodes[0], f"before/{number}", n=number)
        await until(lambda: has(nodes[1], "before/4", n=4))
        await nodes[1].stop()
        for number in range(50):
            await put(nodes[0], "users/1", n=number)
        await database(nodes[0]).delete("before/0")
        await nodes[1].start()
        await until(lambda: has(nodes[1], "users/1", n=49) and content(nodes[1].server, "before/0") is None)
        (link,) = nodes[1].server.databases.find("db").replication.incoming
        assert (link.stored, link.ignored) == (2, 0)

    run(tmp_path, steps)


def test_both_sides_write_while_they_are_apart(tmp_path: Path) -> None:
    """An instance serves alone; what both have made apart is on both afterwards."""

    async def steps(cluster: Cluster) -> None:
        nodes = await pair(cluster)
        await nodes[1].stop()
        await put(nodes[0], "from/a", n=1)
        await nodes[0].stop()
        await nodes[1].start()
        await put(nodes[1], "from/b", n=2)
        await nodes[0].start()
        await until(lambda: all(has(node, "from/a", n=1) and has(node, "from/b", n=2) for node in nodes))

    run(tmp_path, steps)


def test_a_transaction_arrives_whole(tmp_path: Path) -> None:
    """A reader of the other node never sees part of what was written together."""

    async def steps(cluster: Cluster) -> None:
        nodes = await pair(cluster)
        seen: set[int] = set()
        writing = True

        async def watch() -> None:
            while writing or not seen:
                snapshot = database(nodes[1]).snapshot()
                try:
                    numbers = {json.loads(found.json)["n"] if found else -1
                               for found in (snapshot.get(f"part/{part}") for part in range(50))}  # fmt: skip
                finally:
                    snapshot.close()
                assert len(numbers) == 1, numbers
                seen.update(numbers)
                await asyncio.sleep(0)

        watcher = asyncio.create_task(watch())
        for number in range(30):
            batch = database(nodes[0]).batch()
            for part in range(50):
                batch.put(f"part/{part}", b'{"n":%d}' % number)
            await database(nodes[0]).submit(batch)
        await until(lambda: has(nodes[1], "part/49", n=29))
        writing = False
        await watcher
        assert len(seen) > 1

    run(tmp_path, steps)


def test_vectors_name_everybody_though_one_writes(tmp_path: Path) -> None:
    """Instances tell each other how far they are, so a fresh vector counts what came from others."""

    async def steps(cluster: Cluster) -> None:
        nodes = await pair(cluster)
        await put(nodes[0], "users/1", n=0)
        await until(lambda: "B:" in database(nodes[0]).change_vector)
        vector = await put(nodes[0], "users/1", n=1)
        assert "A:" in vector and "B:" in vector
        await until(lambda: has(nodes[1], "users/1", n=1))
        commits = [database(node).statistics().commits for node in nodes]
        await asyncio.sleep(1.2)
        assert [database(node).statistics().commits for node in nodes] == commits  # nothing goes on by itself

    run(tmp_path, steps)


def test_a_save_waits_for_replicas(tmp_path: Path) -> None:
    """It is confirmed when others have it on disk; when they do not, the caller is told and the change stays."""

    async def steps(cluster: Cluster) -> None:
        nodes = await pair(cluster)
        replication = nodes[0].server.databases.find("db").replication
        await put(nodes[0], "users/1", n=1)
        assert await replication.wait_for_replicas(database(nodes[0]).last_etag, 1, 5_000, throw=True) == 1
        assert has(nodes[1], "users/1", n=1)
        assert await replication.wait_for_replicas(database(nodes[0]).last_etag, None, 5_000, throw=True) == 1
        await put(nodes[0], "users/1", n=2)
        with pytest.raises(TimeoutExpired, match="which has 1 other instances was replicated to 2 servers"):
            await replication.wait_for_replicas(database(nodes[0]).last_etag, 2, 5_000, throw=True)
        await nodes[1].stop()
        await put(nodes[0], "users/1", n=3)
        with pytest.raises(TimeoutExpired, match=r"Could not verify that etag \d+ .* it was replicated to 0"):
            await replication.wait_for_replicas(database(nodes[0]).last_etag, 1, 300, throw=True)
        assert await replication.wait_for_replicas(database(nodes[0]).last_etag, 1, 100, throw=False) == 0
        assert has(nodes[0], "users/1", n=3)
        await nodes[1].start()
        await until(lambda: has(nodes[1], "users/1", n=3))

    run(tmp_path, steps)


def test_many_documents_come_in_batches(tmp_path: Path) -> None:
    """A receiver that is far behind is fed in bounded batches, each a few thousand items at most."""

    async def steps(cluster: Cluster) -> None:
        nodes = await pair(cluster)
        await nodes[1].stop()
        for first in range(0, 20_000, 1_000):
            batch = database(nodes[0]).batch()
            for number in range(first, first + 1_000):
                batch.put(f"many/{number}", b'{"n":%d}' % number)
            await database(nodes[0]).submit(batch)
        await nodes[1].start()
        await until(lambda: is_linked(nodes[0], 1) and database(nodes[1]).statistics().documents == 20_000, 20)
        (link,) = nodes[0].server.databases.find("db").replication.outgoing
        assert link.sent_items == 20_000 and link.sent_batches >= 5

    run(tmp_path, steps)


def test_a_write_between_two_looks_is_not_claimed_before_it_is_sent(tmp_path: Path, monkeypatch: Any) -> None:
    """Commits need no turn of the loop: one may come while a link looks at its database, and arrives all the same."""

    async def steps(cluster: Cluster) -> None:
        nodes = await pair(cluster)
        await put(nodes[0], "users/0", n=0)
        await until(lambda: has(nodes[1], "users/0", n=0))
        source, measured, late = database(nodes[0]), Database.change_vector, iter(range(40))

        def change_vector(self: Database) -> str:
            number = next(late, None) if self is source else None
            if number is not None:
                batch = self.batch()
                batch.put(f"late/{number}", b'{"n":1}')
                self.execute(batch)
            return measured.fget(self)

        monkeypatch.setattr(limits, "REPLICATION_NEWS_MS", 0)  # whatever moves is told at once
        monkeypatch.setattr(Database, "change_vector", property(change_vector))
        await put(nodes[1], "users/1", n=1)
        await until(lambda: all(has(nodes[1], f"late/{number}", n=1) for number in range(40)))

    run(tmp_path, steps)


def test_a_database_is_compacted_while_it_is_linked(tmp_path: Path) -> None:
    """Links end with the old files and open again on the new ones; nothing is sent twice or left out."""

    async def steps(cluster: Cluster) -> None:
        nodes = await pair(cluster)
        for number in range(20):
            await put(nodes[0], f"users/{number}", n=number)
        await until(lambda: has(nodes[1], "users/19", n=19))
        server = nodes[0].server
        operation = server.operations.start(server.operations.next_id(), "DatabaseCompact", "")
        await server.databases.compact("db", operation)
        assert operation.status == "Completed"
        await put(nodes[0], "users/20", n=20)
        await put(nodes[1], "users/21", n=21)
        await until(lambda: has(nodes[1], "users/20", n=20) and has(nodes[0], "users/21", n=21))
        assert [database(node).statistics().documents for node in nodes] == [22, 22]

    run(tmp_path, steps)


def test_external_replication_pauses_without_a_majority(tmp_path: Path) -> None:
    """Its node cannot know whether the task is still its own: it stands still, says why, and goes on by itself."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(3)
        target = await cluster.add()
        await target.server.databases.create({"DatabaseName": "copy"}, 1)
        group = {"Members": ["A", "B", "C"]}
        await nodes[0].server.databases.create({"DatabaseName": "db", "Topology": group}, 3)

        def change(record: dict[str, Any]) -> None:
            urls = [target.server.url]
            record["RavenConnectionStrings"] = {"there": {"Database": "copy", "TopologyDiscoveryUrls": urls}}
            task = {"TaskId": 1, "Name": "out", "ConnectionStringName": "there", "MentorNode": "A"}
            record["ExternalReplications"] = [task]

        await nodes[0].state.update_record("db", change)

        def link() -> Any:
            links = nodes[0].server.databases.find("db").replication.outgoing
            return next(each for each in links if not each.destination.is_internal)

        def arrived(id: str) -> bool:
            return target.server.databases.find("copy").database.get(id) is not None

        await put(nodes[0], "users/1", n=1)
        await until(lambda: arrived("users/1"))
        for node in nodes[1:]:
            await node.stop()
        await until(lambda: link().is_paused and not link().is_connected)
        assert "no majority" in link().failure
        await put(nodes[0], "users/2", n=2)
        await database(nodes[0]).delete("users/1")
        await asyncio.sleep(0.3)
        assert not arrived("users/2") and arrived("users/1")
        # A node that starts without a majority does not begin either.
        await nodes[0].stop()
        await nodes[0].start()
        await until(lambda: is_linked(nodes[0], 0) and link().is_paused)
        await asyncio.sleep(0.7)
        assert not arrived("users/2")
        await nodes[1].start()
        await until(lambda: arrived("users/2") and not arrived("users/1"))
        assert link().is_connected and not link().is_paused
        await nodes[2].start()

    run(tmp_path, steps)


def test_a_majority_counts_members_and_not_who_is_still_fed(tmp_path: Path) -> None:
    """A save that waits for a majority needs one of the whole group, lost members too, and none of a newcomer."""

    async def steps(cluster: Cluster) -> None:
        nodes = await cluster.of(5)
        await nodes[0].state.suspend(True)
        await nodes[0].server.databases.create({"DatabaseName": "db", "Topology": {"Members": ["A"]}}, 1)
        replication = nodes[0].server.databases.find("db").replication
        await nodes[0].server.databases.add_instance("db", "B", None)
        await until(lambda: is_linked(nodes[0], 1))
        await put(nodes[0], "users/1", n=1)
        etag = database(nodes[0]).last_etag
        assert await replication.wait_for_replicas(etag, None, 5_000, throw=True) == 0
        with pytest.raises(TimeoutExpired, match="which has 0 other instances"):
            await replication.wait_for_replicas(etag, 1, 5_000, throw=True)
        for tag in "CDE":
            await nodes[0].server.databases.add_instance("db", tag, None)
        for tag in "BCDE":
            await nodes[0].state.change_topology("db", lambda topology, tag=tag: groups.promote(topology, tag))
        await until(lambda: is_linked(nodes[0], 4))
        await put(nodes[0], "users/1", n=2)
        assert await replication.wait_for_replicas(database(nodes[0]).last_etag, None, 5_000, throw=True) >= 2
        for tag in "DE":
            await nodes[0].state.change_topology("db", lambda topology, tag=tag: groups.demote(topology, tag, "lost"))
        await nodes[3].stop()
        await nodes[4].stop()
        await put(nodes[0], "users/1", n=3)
        assert await replication.wait_for_replicas(database(nodes[0]).last_etag, None, 5_000, throw=True) == 2
        await nodes[2].stop()
        await put(nodes[0], "users/1", n=4)
        with pytest.raises(TimeoutExpired, match=r"replicated to 2 servers in 0\.3 s; it was replicated to 1"):
            await replication.wait_for_replicas(database(nodes[0]).last_etag, None, 300, throw=True)
        for node in nodes[2:]:
            await node.start()

    run(tmp_path, steps)


def test_deletions_wait_for_a_sibling_that_gets_nothing_at_present() -> None:
    """An instance that is taken to be lost has no links and comes back: what was deleted meanwhile is kept for it."""

    async def steps() -> None:
        opened = await Database.create(None, "db", DatabaseOptions())
        replication = Replication(opened, opened.scripts, SystemClock(), ConflictRules(), dict, str)
        near, far = (Destination(tag, "db", (f"http://127.0.0.1:1/{tag}",)) for tag in "BC")
        try:
            both = [owner_of("B"), owner_of("C")]
            replication.follow([near, far], ConflictRules(), both, [])
            opened.tombstones.hold(owner_of("B"), 7)
            replication.follow([near], ConflictRules(), both, [])
            await asyncio.sleep(0.01)
            assert opened.tombstones.etag_max == 0
            replication.follow([near], ConflictRules(), both[:1], [])
            assert opened.tombstones.etag_max == 7
            stranger = owner_of("D")  # was never sent anything from here
            replication.follow([near], ConflictRules(), [*both[:1], stranger], [])
            assert opened.tombstones.etag_max == 0
        finally:
            await replication.close()
            await opened.close()

    asyncio.run(steps())

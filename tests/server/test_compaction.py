"""Compaction of an open database: it serves meanwhile, its files are exchanged, and what fails leaves the old ones."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from pynori.errors import DatabaseClosed, DatabaseLoadFailure, OperationFailed
from pynori.server.compaction import IN_MEMORY
from pynori.server.operations import Operation
from pynori.server.server import Server

WithServer = Callable[..., None]


async def put(server: Server, ids: list[str]) -> None:
    database = server.databases.find("shop").database
    batch = database.batch()
    for id in ids:
        batch.put(id, b'{"text":"' + b"x" * 700 + b'","@metadata":{"@collection":"C"}}')
    await database.submit(batch)


def begin(server: Server) -> Operation:
    return server.operations.start(server.operations.next_id(), "DatabaseCompact", "shop")


def folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in (path / "data" / "Databases").iterdir())


def test_writes_go_on_and_none_is_lost(with_server: WithServer, tmp_path: Path) -> None:
    """Every write that was confirmed while the database was compacted is there; others were told to try again."""

    async def steps(server: Server) -> None:
        await server.databases.create({"DatabaseName": "shop"}, 1)
        for _ in range(4):
            await put(server, [f"c/{number}" for number in range(5_000)])
        confirmed: list[str] = []
        over = asyncio.Event()

        async def write() -> None:
            while not over.is_set():
                id = f"w/{len(confirmed)}"
                try:
                    await put(server, [id])
                    confirmed.append(id)
                except (DatabaseLoadFailure, DatabaseClosed):
                    await asyncio.sleep(0.001)

        writing = asyncio.create_task(write())
        before = server.databases.find("shop").database
        operation = begin(server)
        await server.databases.compact("shop", operation)
        assert operation.state()["Status"] == "Completed", operation.state()
        after = server.databases.find("shop").database
        assert after is not before and after.id == before.id
        await put(server, ["last/1"])
        over.set()
        await writing
        assert confirmed
        assert all(after.get(id) is not None for id in [*confirmed, "c/0", "c/4999", "last/1"])
        assert after.statistics().documents == 5_001 + len(confirmed)

    with_server(steps, False)
    assert folders(tmp_path) == ["shop"]


def test_what_cannot_be_compacted(with_server: WithServer) -> None:
    """In memory there are no files: the refusal is the one that clients know."""

    async def steps(server: Server) -> None:
        await server.databases.create({"DatabaseName": "shop"}, 1)
        with pytest.raises(OperationFailed, match="PureMemory"):
            server.databases.start_compaction("shop", begin(server))
        assert IN_MEMORY.startswith("Unable to cast object of type")

    with_server(steps, True)


def test_a_killed_compaction_leaves_the_database_open(with_server: WithServer, tmp_path: Path) -> None:
    """An operation that was killed ends as canceled, before the switch: the database never stopped serving."""

    async def steps(server: Server) -> None:
        await server.databases.create({"DatabaseName": "shop"}, 1)
        await put(server, [f"c/{number}" for number in range(5_000)])
        before = server.databases.find("shop").database
        operation = begin(server)
        operation.killed.set()
        await server.databases.compact("shop", operation)
        assert operation.state()["Status"] == "Canceled"
        assert server.databases.find("shop").database is before
        assert before.tombstones.etag_max > before.last_etag

    with_server(steps, False)
    assert folders(tmp_path) == ["shop"]


def test_tombstones_stay_while_somebody_needs_them(with_server: WithServer) -> None:
    """A purge goes up to the lowest etag that is held, and without one takes all but the newest."""

    async def steps(server: Server) -> None:
        await server.databases.create({"DatabaseName": "shop"}, 1)
        await put(server, [f"c/{number}" for number in range(10)])
        database = server.databases.find("shop").database
        for number in range(10):
            await database.delete(f"c/{number}")
        database.tombstones.hold("replication", 14)
        database.tombstones.hold("index", 17)
        assert await database.tombstones.purge() == 4
        database.tombstones.release("replication")
        assert await database.tombstones.purge() == 3
        database.tombstones.release("index")
        assert await database.tombstones.purge() == 2
        assert database.statistics().tombstones == 1

    with_server(steps, False)

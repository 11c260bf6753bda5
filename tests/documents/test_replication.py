"""A database among other instances, as the server sees it: batches out and in, conflicts, who has to do with them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pynori.documents.database import Database, DatabaseOptions
from pynori.documents.patch import PatchCommand, PatchScript
from pynori.errors import ConcurrencyError, DocumentConflict, InvalidArgument

Body = Callable[[Database, Database], Awaitable[None]]


def with_two(body: Body) -> None:
    """Two instances in memory, closed afterwards."""

    async def run() -> None:
        made = [
            await Database.create(None, "replicated", DatabaseOptions(in_memory=True, node_tag=tag)) for tag in "AB"
        ]
        try:
            await body(made[0], made[1])
        finally:
            for database in made:
                await database.close()

    asyncio.run(run())


async def pull(receiver: Database, sender: Database) -> Any:
    """What is new since the last time."""
    since = receiver.position(f"replication/{sender.id}")
    sent = sender.outgoing(since, receiver.change_vector, 1000, 1 << 20)
    return await receiver.apply(sent.frame, sender.id, sent.last_etag, sent.vector if sent.ended else "")


async def conflict(a: Database, b: Database) -> None:
    await a.put("users/1", b'{"Name":"John","@metadata":{"@collection":"Users"}}')
    await b.put("users/1", b'{"Name":"Doe","@metadata":{"@collection":"Users"}}')
    await pull(a, b)
    await pull(b, a)


def test_batches_and_positions() -> None:
    """What came is told, positions go on, what is known is skipped, and a wrong frame is refused whole."""

    async def body(a: Database, b: Database) -> None:
        await a.put("users/1", b'{"Name":"x","@metadata":{"@collection":"Users"}}')
        applied = await pull(b, a)
        assert (applied.stored, applied.ignored, applied.conflicts) == (1, 0, [])
        assert b.position(f"replication/{a.id}") == 1 and b.collections() == {"Users": 1}
        assert b.change_vector == f"A:1-{a.id}, B:1-{b.id}"
        assert a.outgoing(0, b.change_vector, 100, 1000).skipped == 1
        with pytest.raises(InvalidArgument):
            b.apply(b"nonsense", a.id, 5, "")
        with pytest.raises(InvalidArgument):
            b.apply(a.outgoing(0, "", 1, 1).frame, a.id, 5, "nonsense")
        with pytest.raises(InvalidArgument):
            a.outgoing(0, "nonsense", 1, 1)
        assert b.position(f"replication/{a.id}") == 1

    with_two(body)


def test_conflicts_are_named_counted_and_resolved() -> None:
    """W10: reads say that there is a conflict, with its id, etag and vectors; a resolution ends it on both."""

    async def body(a: Database, b: Database) -> None:
        await a.put("users/1", b'{"Name":"John","@metadata":{"@collection":"Users"}}')
        await b.put("users/1", b'{"Name":"Doe","@metadata":{"@collection":"Users"}}')
        assert (await pull(a, b)).conflicts == ["users/1"]
        await pull(b, a)
        for database in (a, b):
            assert database.conflict_count == 1 and database.conflicted("", 10) == ["users/1"]
            statistics = database.statistics()
            assert (statistics.documents, statistics.conflicts, statistics.versions) == (0, 1, 2)
            versions = database.conflicts("users/1")
            for read in (database.get, database.head, lambda id, of=database: of.load([id])):
                with pytest.raises(DocumentConflict) as caught:
                    read("users/1")
                assert caught.value.body_fields() == {
                    "DocId": "users/1", "LargestEtag": max(version.etag for version in versions)
                }  # fmt: skip
                assert caught.value.status == 409 and versions[0].change_vector in str(caught.value)
        merged = b'{"Name":"John Doe","@metadata":{"@collection":"Users"}}'
        with pytest.raises(ConcurrencyError):
            await a.resolve("users/1", merged, [versions[0].change_vector])
        result = await a.resolve("users/1", merged, [version.change_vector for version in versions])
        assert result.flags == "Resolved"
        await pull(b, a)
        for database in (a, b):
            found = database.get("users/1")
            assert found is not None and found.flags == "Resolved" and found.change_vector == result.change_vector
            assert json.loads(found.json)["Name"] == "John Doe" and database.conflict_count == 0

    with_two(body)


def test_patches_of_a_document_in_conflict_are_refused() -> None:
    """A script cannot see several versions; one that loads such a document finds nothing; HiLo goes on."""

    async def body(a: Database, b: Database) -> None:
        await conflict(a, b)
        script = PatchScript("this.Name = 'patched'")
        with pytest.raises(DocumentConflict):
            await a.prepare([PatchCommand("users/1", script)])
        await a.put("users/2", b"{}")
        loading = PatchScript("this.Found = load('users/1') === null")
        await a.prepare([PatchCommand("users/2", loading)])
        found = a.get("users/2")
        assert found is not None and json.loads(found.json)["Found"] is True
        with pytest.raises(DocumentConflict):
            await a.put("users/1", b"{}", "")
        assert (await a.next_hilo("users", 32, None, "/", 0)).high == 32
        assert (await b.next_hilo("users", 64, None, "/", 0)).high == 64
        await pull(a, b)
        assert (await a.next_hilo("users", 32, None, "/", 32)).low == 65

    with_two(body)


def test_the_space_report_tells_of_versions() -> None:
    """They are counted with the collection that each belongs to."""

    async def body(a: Database, b: Database) -> None:
        await conflict(a, b)
        (users,) = a.space(collections=True).collections
        assert (users["name"], users["documents"], users["versions"]) == ("Users", 0, 2)
        assert "2 versions in conflict" in "\n".join(a.space(collections=True).lines())

    with_two(body)

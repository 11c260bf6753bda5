"""Cluster-wide transactions reach their database: after a restart, once, in order, whatever stands in their way."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pynori import limits
from pynori.config import Settings
from pynori.errors import NoLeader
from pynori.server.cluster_transactions import POSITION
from pynori.server.server import Server


def document(id: str, collection: str, guard: int = 0, **fields: Any) -> dict[str, Any]:
    pairs = "".join(f'"{name}":{value},' for name, value in fields.items())
    return {"id": id, "guard": guard, "document": f'{{{pairs}"@metadata":{{"@collection":"{collection}"}}}}'}


async def started(directory: Path) -> Server:
    return await Server.start(Settings(data_dir=directory, server_url="http://127.0.0.1:0"))


def test_what_was_agreed_on_before_a_restart_is_applied_after_it(tmp_path: Path) -> None:
    """A transaction that the cluster took and no instance has applied is there after the next start, and only once."""

    async def main() -> None:
        server = await started(tmp_path)
        await server.databases.create({"DatabaseName": "db"}, 1)
        first = await server.state.transact("db", [], [document("users/1", "Users", n=1)], True)
        second = await server.state.transact("db", [], [document("users/1", "Users", first, n=2)], True)
        assert server.databases.find("db").database.get("users/1") is None
        await server.stop()
        etags = []
        for _ in range(2):
            server = await started(tmp_path)
            database = server.databases.find("db").database
            found = database.get("users/1")
            assert found is not None and b'"n":2' in found.json
            assert found.change_vector.startswith("RAFT:2-") and f"TRXN:{second}-" in found.change_vector
            assert database.position(POSITION) == second
            etags.append(database.last_etag)
            await server.stop()
        assert etags[0] == etags[1] == 2

    uvloop.run(main())


def test_a_document_of_another_collection_makes_room(tmp_path: Path) -> None:
    """What the cluster agreed on holds against a document that one node has put into another collection."""

    async def main() -> None:
        server = await started(tmp_path)
        await server.databases.create({"DatabaseName": "db"}, 1)
        found = server.databases.find("db")
        await found.database.put("users/1", b'{"@metadata":{"@collection":"Others"}}')
        wanted = [document("users/1", "Users"), document("u/2", "Users")]
        _, results = await found.transactions.run(server.state.transact("db", [], wanted, True))
        assert [(each.kind, each.id, each.collection) for each in results] == [
            ("PUT", "users/1", "Users"), ("PUT", "u/2", "Users"),
        ]  # fmt: skip
        assert found.database.collections() == {"Users": 2}
        await server.stop()

    uvloop.run(main())


def test_what_is_applied_leaves_the_state(tmp_path: Path) -> None:
    """The state keeps at most some of the transactions that were applied, and their results are not kept at all."""

    async def main() -> None:
        server = await started(tmp_path)
        await server.databases.create({"DatabaseName": "db"}, 1)
        found = server.databases.find("db")
        for number in range(150):
            proposal = server.state.transact("db", [], [document(f"users/{number}", "Users")], False)
            assert len((await found.transactions.run(proposal))[1]) == 1
        assert len(server.state.transactions("db", 1000, 0)) <= 66
        assert found.transactions._results == {} and found.database.collections() == {"Users": 150}
        await server.stop()

    uvloop.run(main())


def test_a_report_that_fails_does_not_fail_what_was_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a leader nobody can be told what is applied: it is applied all the same, and told with the next."""
    monkeypatch.setattr(limits, "CLUSTER_TRANSACTIONS_REPORTED", 1)

    async def main() -> None:
        server = await started(tmp_path)
        await server.databases.create({"DatabaseName": "db"}, 1)
        found, state = server.databases.find("db"), server.state
        told: list[int] = []

        async def refuse(db: str, until: int) -> None:
            told.append(until)
            if len(told) == 1:
                raise NoLeader("The cluster has no leader at present")

        monkeypatch.setattr(state, "transactions_applied", refuse)
        indexes = []
        for number in range(2):
            proposal = state.transact("db", [], [document(f"users/{number}", "Users")], False)
            index, results = await found.transactions.run(proposal)
            assert [each.id for each in results] == [f"users/{number}"]
            indexes.append(index)
            await asyncio.sleep(0.05)
        assert told == indexes
        await server.stop()

    uvloop.run(main())

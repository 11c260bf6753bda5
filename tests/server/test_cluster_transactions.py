"""Cluster-wide transactions reach their database: after a restart, once, in order, whatever stands in their way."""

from pathlib import Path
from typing import Any

import uvloop

from pynori.config import Settings
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

"""One database through its Python face: life cycle, reads, listings, streams, includes, errors, statistics."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pynori_core.blittable import Document
from pynori_core.errors import EngineError

from pynori import errors
from pynori.documents.database import Database, DatabaseOptions
from pynori.runtime.rand import SeededRand

OPTIONS = DatabaseOptions()
Body = Callable[[Database], Awaitable[None]]


def with_database(body: Body, directory: Path | None = None) -> None:
    """Run `body` on a new database and close it."""

    async def run() -> None:
        database = await Database.create(directory, "test", OPTIONS)
        try:
            await body(database)
        finally:
            await database.close()

    asyncio.run(run())


def document(collection: str = "", **fields: Any) -> bytes:
    if collection:
        fields["@metadata"] = {"@collection": collection}
    return json.dumps(fields).encode()


def ids(body: bytes) -> list[str]:
    return [each["@metadata"]["@id"] if each else None for each in json.loads(body)["Results"]]


def test_the_walk_of_a_document(tmp_path: Path) -> None:
    """Put, read, list, change, refuse another collection, delete, and read it all again after reopening."""

    async def run() -> None:
        database = await Database.create(tmp_path / "db", "test", OPTIONS)
        assert (database.change_vector, database.last_etag, database.collections()) == ("", 0, {})
        first = await database.put("users/1", document("Users", name="Ada"))
        assert first.change_vector == database.change_vector == f"A:1-{database.id}"
        vectors = {first.change_vector}
        for name in ("Bob", "Cy", "Di"):
            vectors.add((await database.put("users/1", document("users", name=name))).change_vector)
        assert len(vectors) == 4 and database.collections() == {"Users": 1}
        with pytest.raises(errors.OperationFailed, match="Changing 'users/1' from 'Users' collection to 'Dogs'"):
            await database.put("users/1", document("Dogs"))
        with pytest.raises(errors.ConcurrencyError, match="Document users/1 has change vector"):
            await database.put("users/1", document("Users"), first.change_vector)
        found = database.get("USERS/1")
        assert found is not None and json.loads(found.json)["name"] == "Di"
        await database.close()

        database = await Database.open(tmp_path / "db", "test", OPTIONS)
        again = database.get("users/1")
        assert again is not None and (again.json, again.etag) == (found.json, 4)
        assert (await database.delete("users/1")).deleted and database.get("users/1") is None
        assert not (await database.delete("users/1")).deleted
        assert database.collections() == {} and database.statistics().tombstones == 1
        await database.close()
        database.delete_files()
        assert not list(tmp_path.iterdir())

    asyncio.run(run())


def test_creation_takes_its_id_from_rand() -> None:
    """The database id is 16 bytes of the given randomness, and two databases differ."""

    async def run() -> None:
        first, second = [await Database.create(None, "m", OPTIONS, rand=SeededRand(5)) for _ in range(2)]
        third = await Database.create(None, "m", OPTIONS)
        assert first.id == second.id != third.id and re.fullmatch(r"[\w+/]{22}", third.id)
        for database in (first, second, third):
            await database.close()

    asyncio.run(run())


def test_get_and_head() -> None:
    """Metadata alone, nothing but the header's facts, and ids that nobody has."""

    async def body(database: Database) -> None:
        result = await database.put("Users/1", document("Users", name="Ada"))
        found = database.get("users/1", metadata_only=True)
        assert found is not None and list(json.loads(found.json)) == ["@metadata"]
        head = database.head("users/1")
        assert head is not None
        assert (head.json, head.id, head.change_vector, head.etag, head.collection, head.flags, head.last_modified) == (
            b"", "Users/1", result.change_vector, 1, "Users", "", result.last_modified,
        )  # fmt: skip
        for id in ("users/2", "", "x" * 513, "users/1/", "users"):
            assert database.get(id) is None and database.head(id) is None
        with pytest.raises(errors.InvalidArgument):
            database.get("\ud800")

    with_database(body)


def test_load_several() -> None:
    """Results in order with null for the missing; the etag is the vector of a single one, else changes with any."""

    async def body(database: Database) -> None:
        for name in "abc":
            await database.put(name, document(name=name))
        loaded = database.load(["B", "nope", "a"])
        assert ids(loaded.body) == ["b", None, "a"] and loaded.found == 2
        assert json.loads(loaded.body)["Includes"] == {}
        alone = database.load(["a"])
        assert alone.etag == f"A:1-{database.id}" and alone.found == 1
        assert (database.load(["nope"]).etag, database.load(["nope"]).found) == ("", 0)
        etags = {loaded.etag, database.load(["b", "a", "nope"]).etag, database.load(["b", "a"]).etag}
        await database.put("a", document())
        etags.add(database.load(["b", "nope", "a"]).etag)
        await database.put("nope", document())
        etags.add(database.load(["b", "nope", "a"]).etag)
        assert len(etags) == 5
        assert json.loads(database.load(["a"], metadata_only=True).body)["Results"][0].keys() == {"@metadata"}
        assert database.load([]).body == b'{"Results":[],"Includes":{}}'

    with_database(body)


def test_includes() -> None:
    """Fields, paths, arrays, prefixes and numbers name documents; each comes once, none that is a result itself."""

    async def body(database: Database) -> None:
        for id in ("users/1", "users/2", "users/3", "products/7", "Late-A"):
            await database.put(id, document(id=id))
        await database.put("orders/1", document(
            customer="USERS/1", ref={"by": "users/2"}, lines=[{"product": "products/7"}, {"product": "products/7"}, {}],
            numbers=[7, "8"], people=["users/1", "users/3", None, 5, {"x": 1}], me="orders/1", missing="users/99",
            long="x" * 600,
        ))  # fmt: skip

        def included(*paths: str) -> list[str]:
            return list(json.loads(database.load(["orders/1"], includes=paths).body)["Includes"])

        assert included("customer") == ["users/1"]
        assert included("ref.by", "customer", "customer") == ["users/2", "users/1"]
        assert included("lines[].product") == included("lines.product") == ["products/7"]
        assert included("numbers(products/)") == included("numbers[](products/)") == ["products/7"]
        assert included("people") == included("people[]") == ["users/1", "users/3"]
        assert included("me", "missing", "nothing.at.all", "customer.x", "ref", "long") == []
        plain, with_include = database.load(["orders/1"]).etag, database.load(["orders/1"], includes=["customer"]).etag
        await database.put("users/1", document(id="new"))
        assert database.load(["orders/1"]).etag == plain
        assert database.load(["orders/1"], includes=["customer"]).etag != with_include
        for wrong in ("", ".", "a..b", "(x)", "a)", "a." * 40 + "b"):
            with pytest.raises(errors.InvalidArgument):
                included(wrong)
        with pytest.raises(errors.LimitExceeded, match="INCLUDES_MAX"):
            included(*["a"] * 1001)

    with_database(body)


def test_many_includes() -> None:
    """Thousands of ids in one field come each once, in order of mention."""

    async def body(database: Database) -> None:
        batch = database.batch()
        for number in range(3000):
            batch.put(f"d/{number}", document())
        batch.put("all", document(refs=[f"d/{number}" for number in range(2999, -1, -1)] * 2))
        await database.submit(batch)
        found = json.loads(database.load(["all", "d/5"], includes=["refs"]).body)["Includes"]
        assert list(found) == [f"d/{number}" for number in range(2999, -1, -1) if number != 5]

    with_database(body)


def test_listing_by_prefix() -> None:
    """Order of lower-cased ids; patterns for the rest, exclusion, start after, paging; deleted ones are gone."""

    async def body(database: Database) -> None:
        for id in ("users/10", "Users/2", "users/1", "users/1/x", "user", "usersX", "zebra", "users/é", "users/gone"):
            await database.put(id, document())
        await database.delete("users/gone")
        all_users = ["users/1", "users/1/x", "users/10", "Users/2", "users/é"]
        assert ids(database.list_by_prefix("USERS/")) == all_users
        assert ids(database.list_by_prefix("")) == ["user", *all_users, "usersX", "zebra"]
        assert ids(database.list_by_prefix("users/", start=1, page_size=2)) == all_users[1:3]
        assert ids(database.list_by_prefix("users/", start_after="users/1/X")) == all_users[2:]
        assert ids(database.list_by_prefix("users/", start_after="users/11")) == all_users[3:]
        assert ids(database.list_by_prefix("users/", start_after="a")) == all_users
        assert ids(database.list_by_prefix("users/", start_after="zzz")) == []
        assert ids(database.list_by_prefix("users/", matches="1*")) == all_users[:3]
        assert ids(database.list_by_prefix("users/", matches="?")) == ["users/1", "Users/2", "users/é"]
        assert ids(database.list_by_prefix("users/", matches="1|2|*X")) == ["users/1", "users/1/x", "Users/2"]
        assert ids(database.list_by_prefix("users/", exclude="1*", matches="*")) == ["Users/2", "users/é"]
        assert ids(database.list_by_prefix("users/", exclude="1*", start=1)) == ["users/é"]
        assert ids(database.list_by_prefix("users/", matches="*/*|1?")) == ["users/1/x", "users/10"]
        assert ids(database.list_by_prefix("nothing")) == []
        assert json.loads(database.list_by_prefix("zebra", metadata_only=True))["Results"][0].keys() == {"@metadata"}
        with pytest.raises(errors.LimitExceeded):
            database.list_by_prefix("x" * 513)

    with_database(body)


def test_recent_and_collection_listings() -> None:
    """Newest first over everything, in order of change within a collection; paging skips documents, not tombstones."""

    async def body(database: Database) -> None:
        for number in range(1200):
            database.put(f"n/{number}", document("Ones" if number % 3 else "Thirds"))
        await database.put("n/0", document("Thirds"))
        order = [f"n/{number}" for number in range(1, 1200)] + ["n/0"]
        assert ids(database.list_recent()) == order[::-1]
        assert ids(database.list_recent(start=1100, page_size=5)) == order[::-1][1100:1105]
        thirds = [id for id in order if int(id[2:]) % 3 == 0]
        assert ids(database.list_collection("THIRDS")) == thirds
        assert ids(database.list_collection("Thirds", start=390)) == thirds[390:]
        assert ids(database.list_collection("Thirds", start=2, page_size=3, descending=True)) == thirds[::-1][2:5]
        assert ids(database.list_collection("Thirds", start=400)) == ids(database.list_collection("None")) == []
        await asyncio.gather(*(database.delete(id) for id in order[::2]))
        left = order[1::2]
        assert ids(database.list_recent(start=3, page_size=500)) == left[::-1][3:503]
        assert ids(database.list_collection("Thirds")) == [id for id in left if int(id[2:]) % 3 == 0]
        assert database.collections() == {
            "Thirds": len([id for id in left if int(id[2:]) % 3 == 0]),
            "Ones": len([id for id in left if int(id[2:]) % 3]),
        }

    with_database(body)


def test_streams_hold_their_snapshot() -> None:
    """A stream gives what was there when it began, whatever is written meanwhile; closing it ends it."""

    async def body(database: Database) -> None:
        for number in range(50):
            await database.put(f"n/{number:02}", document("Ns", n=number))
        by_prefix = database.stream(prefix="n/", start=1)
        recent = database.stream()
        of_collection = database.stream(collection="ns", page_size=7)
        items = database.items_since(40)
        for number in range(50):
            await database.put(f"n/{number:02}", document("Ns", n=-1))
            await database.put(f"m/{number:02}", document("Ns"))
        await database.delete("n/05")
        assert [json.loads(each)["n"] for each in by_prefix] == list(range(1, 50))
        assert [json.loads(each)["n"] for each in recent] == list(range(49, -1, -1))
        assert [json.loads(each)["n"] for each in of_collection] == list(range(7))
        assert [each.etag for each in items] == list(range(41, 51))
        closed = database.stream(prefix="n/")
        next(closed)
        closed.close()
        closed.close()
        assert list(closed) == []
        assert database.statistics().readers == 0

    with_database(body)


def test_a_stream_is_closed_from_elsewhere() -> None:
    """Closing a stream while a thread steps it ends the stepping and gives the snapshot back."""

    async def body(database: Database) -> None:
        await asyncio.gather(*(database.put(f"n/{number}", document(pad="x" * 500)) for number in range(2000)))
        for _ in range(5):
            stream = database.stream(prefix="n/")
            stepping = asyncio.get_running_loop().run_in_executor(None, lambda stream=stream: len(list(stream)))
            await asyncio.sleep(0.001)
            stream.close()
            assert await stepping <= 2000
            assert database.statistics().readers == 0

    with_database(body)


def test_a_part_of_a_parsed_body() -> None:
    """put_value stores an object inside a parsed body as the same document that its text would be."""

    async def body(database: Database) -> None:
        plain = b'{"a":1.50,"b":[{"c":"d"}],"@metadata":{"@collection":"Users","@id":"old"}}'
        text = b'{"Commands":[{"Document":%s}]}' % plain
        value = Document.from_json(text)["Commands"][0]["Document"]
        batch = database.batch()
        batch.put_value("users/1", value)
        batch.put("users/2", plain)
        results = await database.submit(batch)
        assert [each.collection for each in results] == ["Users", "Users"]
        first, second = database.get("users/1"), database.get("users/2")
        assert first is not None and second is not None
        assert first.json == second.json.replace(b"users/2", b"users/1").replace(b"A:2-", b"A:1-")
        with pytest.raises((TypeError, EngineError)):
            database.batch().put_value("a", Document.from_json(text)["Commands"])
        with pytest.raises(TypeError):
            database.batch().put_value("a", {"a": 1})

    with_database(body)


def test_the_item_stream() -> None:
    """Documents and tombstones in one order with the number of the user transaction that wrote them."""

    async def body(database: Database) -> None:
        await database.put("a", document("Users", n=1))
        batch = database.batch()
        batch.put("b", document("Dogs"))
        batch.delete("a")
        await database.submit(batch)
        items = list(database.items_since(0))
        assert [(i.kind, i.etag, i.id, i.collection, i.transaction) for i in items] == [
            ("DOCUMENT", 2, "b", "Dogs", 2), ("TOMBSTONE", 3, "a", "Users", 2),
        ]  # fmt: skip
        assert json.loads(items[0].json)["@metadata"]["@id"] == "b" and items[1].json == b""
        assert items[1].change_vector == f"A:3-{database.id}"
        assert [i.etag for i in database.items_since(2)] == [3] and list(database.items_since(3)) == []
        assert [i.etag for i in database.items_since(0, count=1)] == [2] and list(database.items_since(2**64 - 1)) == []

    with_database(body)


def test_errors_are_ours() -> None:
    """What the engine refuses reaches callers as errors of pynori.errors, directly or through the future."""

    async def body(database: Database) -> None:
        with pytest.raises(errors.InvalidJson):
            database.put("a", b"{")
        with pytest.raises(errors.InvalidArgument):
            database.put("a|", b"{}")
        with pytest.raises(errors.LimitExceeded, match="ID_SIZE_BYTES_MAX"):
            database.delete("x" * 513)
        with pytest.raises(errors.ConcurrencyError, match="but Put was called expecting new document"):
            await database.put("a", b"{}", "")
            await database.put("a", b"{}", "")

    with_database(body)


def test_close_waits_for_writes_and_ends_streams(tmp_path: Path) -> None:
    """Writes that were handed over are durable and answered; streams end; closing twice is one close."""

    async def run() -> None:
        database = await Database.create(tmp_path / "db", "test", OPTIONS)
        await database.put("a", document())
        stream = database.stream()
        futures = [database.put(f"n/{number}", document()) for number in range(200)]
        await asyncio.gather(database.close(), database.close())
        assert all(future.done() and future.result().etag for future in futures)
        assert list(stream) == []
        with pytest.raises(errors.DatabaseClosed):
            database.get("a")
        with pytest.raises(errors.DatabaseClosed):
            database.put("a", b"{}")
        with pytest.raises(errors.DatabaseClosed):
            database.statistics()
        database = await Database.open(tmp_path / "db", "test", OPTIONS)
        assert database.statistics().documents == 201
        await database.close()

    asyncio.run(run())


def test_the_same_directory_is_not_opened_twice(tmp_path: Path) -> None:
    """A second opener is refused, and the first is not harmed."""

    async def run() -> None:
        database = await Database.create(tmp_path / "db", "test", OPTIONS)
        with pytest.raises(errors.PynoriError):
            await Database.open(tmp_path / "db", "test", OPTIONS)
        with pytest.raises(errors.PynoriError):
            await Database.create(tmp_path / "db", "test", OPTIONS)
        assert (await database.put("a", b"{}")).etag == 1
        await database.close()

    asyncio.run(run())


def test_statistics() -> None:
    """Counts and counters say what was done."""

    async def body(database: Database) -> None:
        await asyncio.gather(*(database.put(f"n/{number}", document("Ns")) for number in range(20)))
        await database.delete("n/3")
        told = database.statistics()
        assert (told.documents, told.tombstones, told.collections, told.last_etag) == (19, 1, 1, 21)
        assert told.change_vector == f"A:21-{database.id}" and told.size_bytes > 0
        assert (told.transactions, told.commands, told.transactions_failed, told.queue_count) == (21, 21, 0, 0)
        assert 2 <= told.commits <= 21

    with_database(body)


def test_many_databases_come_and_go() -> None:
    """Two hundred in-memory databases on one loop leave no reader on it and no thread behind."""
    import threading

    before = threading.active_count()

    async def run() -> None:
        for round_number in range(10):
            opened = [await Database.create(None, f"{round_number}-{number}", OPTIONS) for number in range(20)]
            await asyncio.gather(*(each.put("a", b"{}") for each in opened))
            await asyncio.gather(*(each.close() for each in opened))

    asyncio.run(run())
    assert threading.active_count() <= before + 64


def test_listeners_hear_of_every_commit(tmp_path: Path) -> None:
    """Of those that a future waits for, and of those that a thread executes; of none when they have unlistened."""

    async def body(database: Database) -> None:
        heard = asyncio.Event()
        database.listen(heard.set)
        await database.put("users/1", document("Users"))
        await asyncio.wait_for(heard.wait(), 5)
        heard.clear()
        batch = database.batch()
        batch.put("users/2", document("Users"))
        await asyncio.to_thread(database.execute, batch)
        await asyncio.wait_for(heard.wait(), 5)
        database.unlisten(heard.set)
        heard.clear()
        await database.put("users/3", document("Users"))
        assert not heard.is_set()

    with_database(body, tmp_path / "db")

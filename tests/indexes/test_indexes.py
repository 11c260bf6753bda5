"""The indexes of a database: made for needs, kept up to date, found again after a restart, replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from pynori import limits
from pynori.errors import InvalidArgument
from pynori.indexes.auto import AutoField
from tests.indexes.shop import Shop

Run = Callable[..., None]
ADA = {"users/1": {"Name": "Ada", "Age": 36}, "users/2": {"Name": "Bob", "Age": 20}, "users/3": {"Name": "ada"}}


@pytest.mark.parametrize("in_memory", [False, True])
def test_automatic_index_follows_the_documents(run: Run, in_memory: bool) -> None:
    """Documents are found by a field without regard to case; changes and deletions follow."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", ADA)
        index = await shop.auto("Users", "Name")
        assert index.name == "Auto/Users/ByName"
        assert await shop.ids(index, "Name", "ADA") == ["users/1", "users/3"]
        await shop.put("users/3", "Users", Name="Eve")
        await shop.delete("users/1")
        assert await shop.ids(index, "Name", "ada") == []
        assert await shop.ids(index, "Name", "eve") == ["users/3"]
        assert index.staleness_reasons() == []

    run(steps, in_memory=in_memory)


def test_one_index_for_all_needs_of_a_collection(run: Run) -> None:
    """A second need is met by one index for both; the first one answers meanwhile and then goes."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", ADA)
        first = await shop.auto("Users", "Name")
        await shop.settle(first)
        second = await shop.auto("Users", "Age")
        assert second.name == "Auto/Users/ByAgeAndName"
        assert await shop.ids(second, "Age", 36) == ["users/1"]
        for _ in range(200):
            if first.successor is second:
                break
            await second.wait_non_stale()
            await asyncio.sleep(0.01)
        assert [each.name for each in shop.indexes.all()] == ["Auto/Users/ByAgeAndName"]
        assert await shop.ids(first, "Name", "ada") == ["users/1", "users/3"]
        assert await shop.auto("users", "Name") is second

    async def after_restart(shop: Shop) -> None:
        index = shop.indexes.find("auto/users/byageandname")
        assert index.progress.map_attempts == 3
        assert await shop.ids(index, "Name", "ada") == ["users/1", "users/3"]

    run(steps, after_restart)


def test_definitions_in_the_record_of_a_new_database(run: Run) -> None:
    """A database that is created with definitions has their indexes, and deploying them again changes nothing."""
    given = {"Name": "People", "Maps": ["from u in docs.Users select new { u.Name }"]}

    async def steps(shop: Shop) -> None:
        await shop.server.databases.create({"DatabaseName": "other", "Indexes": {"People": given}}, 1)
        indexes = shop.server.databases.find("other").indexes
        assert [each.name for each in indexes.all()] == ["People"] and not indexes.has_changed(given)
        with pytest.raises(InvalidArgument):
            await shop.server.databases.create({"DatabaseName": "third", "Indexes": {"X": 3}}, 1)

    run(steps)


def test_many_needs_at_once(run: Run) -> None:
    """Queries that come together end with indexes that serve them all, the larger in place of the smaller."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", ADA)
        names = ["Name", "Age", "City", "Name", "Age"]
        indexes = await asyncio.gather(*(shop.auto("Users", each) for each in names))
        for name, index in zip(names, indexes, strict=True):
            await shop.settle(index)
            with index.read() as snapshot:
                assert snapshot.field(name) is not None
        last = await shop.auto("Users", "Name", "Age", "City")
        await shop.settle(last)
        for _ in range(300):
            if len(shop.indexes.all()) == 1:
                break
            await asyncio.sleep(0.01)
        assert [each.name for each in shop.indexes.all()] == ["Auto/Users/ByAgeAndCityAndName"]

    run(steps)


def test_a_place_is_found_by_its_cells(run: Run) -> None:
    """A field of places keeps what spatial conditions read; a document without a place has no entry there."""

    async def steps(shop: Shop) -> None:
        await shop.put("shops/1", "Shops", Lat=48.1, Lng=11.5)
        await shop.put("shops/2", "Shops", Lat=None, Lng=3)
        field = AutoField("spatial.point(Lat|Lng)", plain=False, spatial=("Lat", "Lng"))
        index = await shop.auto("Shops", field)
        assert index.name == "Auto/Shops/BySpatial.point(Lat|Lng)"
        await shop.settle(index)
        with index.read() as snapshot:
            x = snapshot.field("spatial.point(Lat|Lng)#x")
            assert x is not None and list(snapshot.numbers(snapshot.exists(x.number), x.number)) == [11.5]

    run(steps)


def test_all_documents(run: Run) -> None:
    """An index of all documents has those of every collection, also of one that comes later, but no bookkeeping."""

    async def steps(shop: Shop) -> None:
        await shop.put("users/1", "Users", Name="Ada")
        await shop.put("Raven/Hilo/users", "@hilo", Name="Ada", Max=32)
        index = await shop.auto(None, "Name")
        assert index.name == "Auto/AllDocs/ByName"
        assert await shop.ids(index, "Name", "ada") == ["users/1"]
        await shop.put("dogs/1", "Dogs", Name="ADA")
        await shop.delete("users/1")
        assert await shop.ids(index, "Name", "ada") == ["dogs/1"]

    run(steps)


def test_idle_automatic_indexes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An automatic index that nobody asks becomes idle, is woken by a query, and goes in the end; others stay."""
    monkeypatch.setattr(limits, "INDEX_HOUSEKEEPING_MS", 5)
    monkeypatch.setattr(limits, "INDEX_IDLE_MS", 50)
    monkeypatch.setattr(limits, "INDEX_IDLE_KEPT_MS", 400)

    async def steps(shop: Shop) -> None:
        static = await shop.define("People", "from u in docs.Users select new { u.Name }")
        index = await shop.auto("Users", "Name")
        await asyncio.sleep(0.2)
        assert (index.state, static.state) == ("Idle", "Normal")
        index.note_query()
        await asyncio.sleep(0.02)
        assert index.state == "Normal"
        for _ in range(500):
            if shop.indexes.get(index.name) is None:
                break
            await asyncio.sleep(0.01)
        assert [each.name for each in shop.indexes.all()] == ["People"]

    run(steps)


def test_what_a_thread_writes_is_indexed_too(run: Run) -> None:
    """A write that no future of the loop waits for wakes the indexes, though nobody asks them."""

    async def steps(shop: Shop) -> None:
        await shop.put("users/1", "Users", Name="Ada")
        index = await shop.define("People", "from u in docs.Users select new { u.Name }")
        await shop.settle(index)

        def write() -> None:
            batch = shop.database.batch()
            batch.put("users/2", b'{"Name":"Bob","@metadata":{"@collection":"Users"}}')
            shop.database.execute(batch)

        await asyncio.to_thread(write)
        async with asyncio.timeout(10):
            while index.is_stale():
                await asyncio.sleep(0.01)
        assert await shop.ids(index, "Name", "bob") == ["users/2"]

    run(steps)

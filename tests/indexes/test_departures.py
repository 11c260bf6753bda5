"""Documents that are deleted and made again in another collection leave the indexes of the first one."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from pynori import limits
from tests.indexes.shop import Shop

Run = Callable[..., None]
COLLECTIONS = ("Users", "Dogs", "Cats")
BOTH = ["from u in docs.Users select new { u.Name }", "from d in docs.Dogs select new { d.Name }"]
COUNTED = {
    "Name": "Counted",
    "Maps": ["from u in docs.Users select new { u.Name, Count = 1 }"],
    "Reduce": "from r in results group r by r.Name into g select new { Name = g.Key, Count = g.Sum(x => x.Count) }",
}
SCRIPTED = "map('Users', u => ({ Name: u.Name }))"


async def move(shop: Shop, id: str, collection: str, **fields: object) -> None:
    await shop.delete(id)
    await shop.put(id, collection, **fields)


@pytest.mark.parametrize("paused", [False, True])
def test_every_kind_of_index_lets_go(run: Run, paused: bool) -> None:
    """Automatic, C#, JavaScript and map-reduce indexes, having seen the deletion or not, after a restart too."""

    async def fill(shop: Shop) -> None:
        await shop.put_all("Users", {f"x/{i}": {"Name": f"n{i % 3}"} for i in range(9)})
        made = [await shop.auto("Users", "Name"), await shop.define("CSharp", BOTH[0])]
        made.append(await shop.define("Js", SCRIPTED))
        await shop.indexes.put(COUNTED)
        for index in (*made, shop.indexes.find("Counted")):
            await shop.settle(index)
            if paused:
                shop.indexes.pause(index)
        for i in range(6):
            await move(shop, f"x/{i}", "Dogs", Name=f"n{i % 3}")
        await move(shop, "x/5", "Users", Name="n2")

    async def look(shop: Shop) -> None:
        for index in (await shop.auto("Users", "Name"), shop.indexes.find("CSharp"), shop.indexes.find("Js")):
            assert [await shop.ids(index, "Name", f"n{i}") for i in range(3)] == [["x/6"], ["x/7"], ["x/5", "x/8"]]
        stored = await shop.stored(shop.indexes.find("Counted"))
        assert [(each["Name"], each["Count"]) for each in stored] == [("n0", 1), ("n1", 1), ("n2", 2)]

    run(fill, look)


def test_what_an_index_reads_as_well_stays(run: Run) -> None:
    """An index of several collections, or of all, has a moved document once, with what it says now."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", {f"x/{i}": {"Name": "old"} for i in range(4)})
        both, everything = await shop.define("Both", *BOTH), await shop.auto(None, "Name")
        for index in (both, everything):
            await shop.settle(index)
        await move(shop, "x/0", "Dogs", Name="new")
        await move(shop, "x/1", "Cats", Name="new")
        await move(shop, "x/2", "@hilo", Name="new")
        for index, new in ((both, ["x/0"]), (everything, ["x/0", "x/1"])):
            assert await shop.ids(index, "Name", "new") == new
            assert await shop.ids(index, "Name", "old") == ["x/3"]

    run(steps)


def test_loaded_documents_that_leave(run: Run) -> None:
    """Who loads a document is put again when it is used in another collection."""

    async def steps(shop: Shop) -> None:
        await shop.put("x/1", "Dogs", Name="rex")
        await shop.put("u/1", "Users", Pet="x/1")
        index = await shop.define(
            "Pets", 'from u in docs.Users let p = LoadDocument(u.Pet, "Dogs") select new { Pet = p.Name }'
        )
        assert await shop.ids(index, "Pet", "rex") == ["u/1"]
        shop.indexes.pause(index)
        await move(shop, "x/1", "Cats", Name="tom")
        shop.indexes.resume(index)
        assert await shop.ids(index, "Pet", "rex") == []

    run(steps)


def test_tombstones_and_departures_wait_for_those_behind(run: Run) -> None:
    """A purge forgets no departure that an index has yet to read."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", {f"x/{i}": {"Name": "n"} for i in range(10)})
        index = await shop.define("People", BOTH[0])
        await shop.settle(index)
        shop.indexes.pause(index)
        for i in range(5):
            await move(shop, f"x/{i}", "Dogs")
        assert await shop.database.tombstones.purge() == 0
        shop.indexes.resume(index)
        assert await shop.ids(index, "Name", "n") == [f"x/{i}" for i in range(5, 10)]
        assert await shop.database.tombstones.purge() == 5

    run(steps)


@pytest.mark.parametrize("seed", range(3))
def test_random_moves_in_small_batches(run: Run, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever moves where, in batches that end in the middle of it, indexes hold what the collections hold."""
    monkeypatch.setattr(limits, "INDEX_BATCH_DOCUMENTS_MAX", 3)
    dice = random.Random(seed)
    kept: dict[str, tuple[str, str]] = {}

    async def steps(shop: Shop) -> None:
        await shop.indexes.put(COUNTED)
        made = {
            ("Users",): await shop.define("One", BOTH[0]), ("Dogs",): await shop.auto("Dogs", "Name"),
            ("Users", "Dogs"): await shop.define("Two", *BOTH), COLLECTIONS: await shop.auto(None, "Name"),
        }  # fmt: skip
        counted = shop.indexes.find("Counted")
        for _ in range(12):
            held = [each for each in (*made.values(), counted) if dice.random() < 0.4]
            for index in held:
                shop.indexes.pause(index)
            for _ in range(dice.randrange(1, 25)):
                id, name = f"x/{dice.randrange(12)}", f"n{dice.randrange(3)}"
                if id in kept and dice.random() < 0.6:
                    await shop.delete(id)
                    del kept[id]
                else:
                    collection = kept[id][0] if id in kept else dice.choice(COLLECTIONS)
                    await shop.put(id, collection, Name=name)
                    kept[id] = (collection, name)
            if dice.random() < 0.5:
                await shop.database.tombstones.purge()
            for index in held:
                shop.indexes.resume(index)
            for collections, index in made.items():
                for name in ("n0", "n1", "n2"):
                    expected = sorted(id for id, place in kept.items() if place[0] in collections and place[1] == name)
                    assert await shop.ids(index, "Name", name) == expected, (seed, index.name, name)
            found = {each["Name"]: each["Count"] for each in await shop.stored(counted)}
            users = [name for collection, name in kept.values() if collection == "Users"]
            assert found == {name: users.count(name) for name in set(users)}, seed

    run(steps)

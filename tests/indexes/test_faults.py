"""Indexes and what goes wrong: a server killed while indexing, damaged files, a database closed in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from pynori_core.errors import CorruptError

from pynori import limits
from pynori.cli import check
from pynori.errors import OperationFailed
from pynori.indexes.auto import AutoField, AutoIndexDefinition
from tests.faults.tools import served
from tests.indexes.shop import NAME, Shop

Run = Callable[..., None]
PEOPLE = {f"users/{i}": {"Name": f"name {i}", "Age": i % 7} for i in range(500)}
MAP = "from u in docs.Users select new { u.Name, u.Age }"
SUMS = {
    "Name": "Ages",
    "Maps": ["from u in docs.Users select new { u.Age, Count = 1 }"],
    "Reduce": "from r in results group r by r.Age into g select new { Age = g.Key, Count = g.Sum(x => x.Count) }",
}


def test_killed_while_indexing(tmp_path: Path) -> None:
    """After a kill in the middle of two indexes both go on from their last commits and are complete in the end."""
    batches, size = 40, 500
    with served(tmp_path) as server:
        assert server.call("PUT", f"/admin/databases?name={NAME}", {"DatabaseName": NAME})[0] == 201
        # Small batches, which are sealed while the next one is made.
        small = {"Configuration": {"Indexing.MapBatchSize": "700"}}
        definitions = [{"Name": "People", "Maps": [MAP], **small}, {**SUMS, **small}]
        assert server.call("PUT", f"/databases/{NAME}/admin/indexes", {"Indexes": definitions})[0] == 201
        for number in range(batches):
            commands = [
                {"Type": "PUT", "Id": f"users/{number}-{i}", "Document": {
                    "Name": f"n{i}", "Age": i % 7, "@metadata": {"@collection": "Users"}}}
                for i in range(size)
            ]  # fmt: skip
            assert server.call("POST", f"/databases/{NAME}/bulk_docs", {"Commands": commands})[0] == 201
        server.kill()
    with served(tmp_path) as server:
        def is_done() -> bool:
            _, stats, _ = server.call("GET", f"/databases/{NAME}/stats")
            return all(not each["IsStale"] for each in stats["Indexes"])

        server.until(is_done, 60.0)
        _, found, _ = server.call("GET", f"/databases/{NAME}/indexes/stats")
        people, ages = sorted(found["Results"], key=lambda each: -each["EntriesCount"])
        assert people["EntriesCount"] == batches * size and ages["EntriesCount"] == 7
        assert people["MapErrors"] == ages["MapErrors"] == 0
        server.kill()


@pytest.mark.parametrize("what", ["scribbled", "emptied", "cut"])
def test_damaged_index_is_isolated(run: Run, tmp_path: Path, what: str) -> None:
    """An index whose files are damaged says so; the database and the other index go on; a reset builds it anew."""

    async def fill(shop: Shop) -> None:
        await shop.put_all("Users", PEOPLE)
        for name in ("People", "Others"):
            await shop.settle(await shop.define(name, MAP))

    async def damaged(shop: Shop) -> None:
        index = shop.indexes.find("People")
        assert index.type == "Faulty" and index.state == "Error" and index.broken
        with pytest.raises(OperationFailed, match="faulty"):
            index.read()
        assert await shop.ids(shop.indexes.find("Others"), "Name", "name 7") == ["users/7"]
        await shop.put("users/x", "Users", Name="new")
        await shop.indexes.reset("People")
        assert await shop.ids(shop.indexes.find("People"), "Name", "new") == ["users/x"]

    async def later(shop: Shop) -> None:
        assert await shop.ids(shop.indexes.find("People"), "Name", "name 7") == ["users/7"]

    run(fill)
    (folder,) = [each for each in (tmp_path / "data" / "Indexes" / NAME).iterdir() if each.name.startswith("People")]
    for file in folder.iterdir():
        size = file.stat().st_size
        if what == "scribbled":
            with file.open("r+b") as opened:
                opened.write(b"\x55" * min(size, 65_536))
        elif what == "emptied":
            file.unlink()
        else:
            with file.open("r+b") as opened:
                opened.truncate(min(size, 100))
    run(damaged, later)


def test_closed_in_the_middle(run: Run, tmp_path: Path) -> None:
    """A server that stops while an index is behind ends at once; the next one completes it."""

    async def begin(shop: Shop) -> None:
        for part in range(20):
            await shop.put_all("Users", {f"users/{part}-{i}": {"Name": f"n{i}"} for i in range(500)})
        await shop.define("People", MAP)

    async def end(shop: Shop) -> None:
        assert len(await shop.ids(shop.indexes.find("People"), "Name", "n7")) == 20

    run(begin, end)


def test_deletions_are_kept_for_an_index_that_is_behind(run: Run) -> None:
    """Tombstones stay until every index has read them, and go then."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", PEOPLE)
        index = await shop.define("People", MAP)
        await shop.settle(index)
        shop.indexes.pause(index)
        for i in range(10):
            await shop.delete(f"users/{i}")
        await shop.put("dogs/1", "Dogs")
        assert await shop.database.tombstones.purge() == 0
        shop.indexes.resume(index)
        assert await shop.ids(index, "Name", "name 7") == []
        await asyncio.sleep(0.01)
        assert await shop.database.tombstones.purge() == 10

    run(steps)


def test_a_database_that_goes_takes_its_indexes_with_it(run: Run, tmp_path: Path) -> None:
    """Deleting a database removes the folder of its indexes; one of the same name begins with none."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", PEOPLE)
        await shop.settle(await shop.define("People", MAP))
        assert (tmp_path / "data" / "Indexes" / NAME).exists()
        await shop.server.databases.delete([NAME], hard=True)
        assert not (tmp_path / "data" / "Indexes" / NAME).exists()
        await shop.server.databases.create({"DatabaseName": NAME}, 1)
        assert shop.indexes.all() == []

    run(steps)


def test_what_lies_on_disk_checks_clean(run: Run, tmp_path: Path) -> None:
    """`pynori check` looks at every index of a data directory, those of a reduce and of references among them."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", PEOPLE)
        await shop.put("users/x", "Users", Boss="users/1")
        loading = 'from u in docs.Users let b = LoadDocument(u.Boss, "Users") select new { u.Name, Boss = b.Name }'
        await shop.indexes.put(SUMS)
        await shop.settle(await shop.define("Bosses", loading))
        await shop.settle(shop.indexes.find("Ages"))

    run(steps)
    outcome = CliRunner().invoke(check.command, [str(tmp_path / "data")])
    assert outcome.exit_code == 0, outcome.output
    for name in ("Bosses-", "Ages-", ".references"):
        assert name in outcome.output + outcome.stderr


def test_closing_ends_what_still_reads(run: Run, tmp_path: Path) -> None:
    """A snapshot that nobody closes keeps neither a replaced index nor the server from ending; nothing is left over."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", PEOPLE)
        index = await shop.define("People", MAP)
        await shop.settle(index)
        held = [index.read()]
        await shop.indexes.reset("People")
        fresh = shop.indexes.find("People")
        await shop.settle(fresh)
        held.append(fresh.read())
        await asyncio.wait_for(shop.server.databases.set_disabled(NAME, True), 10)
        await shop.server.databases.set_disabled(NAME, False)
        assert await shop.ids(shop.indexes.find("People"), "Name", "name 7") == ["users/7"]
        assert len(list((tmp_path / "data" / "Indexes" / NAME).iterdir())) == 1
        held.clear()

    run(steps)


def test_compaction_while_indexing(run: Run) -> None:
    """A compaction takes the database away from its indexes for a moment; they go on where they were."""

    async def steps(shop: Shop) -> None:
        for part in range(10):
            await shop.put_all("Users", {f"users/{part}-{i}": {"Name": f"n{i}"} for i in range(1_000)})
        await shop.settle(await shop.define("Other", MAP))
        await shop.define("People", MAP)
        operations = shop.server.operations
        operation = operations.start(operations.next_id(), "DatabaseCompact", "compaction")
        await shop.server.databases.compact(NAME, operation)
        await shop.put("users/x", "Users", Name="n7")
        for name in ("People", "Other"):
            index = shop.indexes.find(name)
            assert len(await shop.ids(index, "Name", "n7")) == 11
        assert shop.indexes.find("Other").progress.map_attempts == 10_001

    run(steps)


@pytest.mark.parametrize("when", ["closed", "open"])
def test_a_damaged_automatic_index_is_built_anew(run: Run, tmp_path: Path, when: str) -> None:
    """Nobody need notice: it is built again, says so among its errors, and the damaged files are put aside. After some
    times it is left alone."""
    need = AutoIndexDefinition.of("Users", [AutoField("Name")])

    def folder() -> Path:
        beside = (tmp_path / "data" / "Indexes" / NAME).iterdir()
        (found,) = [each for each in beside if each.name.startswith("Auto")]
        return found

    async def fill(shop: Shop) -> None:
        await shop.put_all("Users", PEOPLE)
        await shop.settle(await shop.indexes.for_need(need))

    def scribble() -> None:
        for file in folder().iterdir():
            with file.open("r+b") as opened:
                opened.write(b"\x55" * min(file.stat().st_size, 65_536))

    async def again(shop: Shop) -> None:
        for attempt in range(1 if when == "closed" else limits.INDEX_REBUILDS_MAX):
            if when == "open":
                (index,) = shop.indexes.automatic()
                with pytest.raises(OperationFailed):
                    index.isolate(CorruptError("a page is not what it should be"))
            told = f"({attempt + 1} of"
            while not any(told in error.error for error in shop.indexes.automatic()[0].errors):
                await asyncio.sleep(0.005)
            (index,) = shop.indexes.automatic()
            assert await shop.ids(await shop.indexes.for_need(need), "Name", "name 7") == ["users/7"]
            (error,) = index.errors
            assert error.action == "Rebuild" and "damaged" in error.error
        if when == "open":
            with pytest.raises(OperationFailed):
                shop.indexes.automatic()[0].isolate(CorruptError("and again"))
            await asyncio.sleep(0.05)
            assert shop.indexes.automatic()[0].state == "Error"

    run(fill)
    if when == "closed":
        scribble()
    run(again)
    aside = [each.name for each in (tmp_path / "data" / "Indexes" / NAME).iterdir() if "damaged" in each.name]
    assert aside, "the damaged files are gone"

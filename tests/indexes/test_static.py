"""Static indexes in both languages: maps, fan-out, loaded documents, options of fields, errors, replacement, locks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from pynori.errors import CompilationError, IndexDoesNotExist, InvalidArgument, OperationFailed
from tests.indexes.shop import Shop

Run = Callable[..., None]
PEOPLE = {"users/1": {"Name": "Ada", "Age": 36}, "users/2": {"Name": "Bob", "Age": 20}}
MAPS = [
    "from u in docs.Users where u.Age > 30 select new { u.Name, Twice = u.Age * 2 }",
    "map('Users', u => u.Age > 30 ? ({ Name: u.Name, Twice: u.Age * 2 }) : null)",
]


@pytest.mark.parametrize("text", MAPS)
def test_map_with_a_condition_and_a_computed_field(run: Run, text: str) -> None:
    """Entries have computed fields; a document that the condition leaves out has none, and loses the one it had."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", PEOPLE)
        index = await shop.define("Old", text)
        assert await shop.ids(index, "Twice", 72) == ["users/1"]
        assert await shop.ids(index, "Name", "bob") == []
        await shop.put("users/1", "Users", Name="Ada", Age=29)
        await shop.put("users/2", "Users", Name="Bob", Age=40)
        assert await shop.ids(index, "Twice", 72) == []
        assert await shop.ids(index, "Name", "BOB") == ["users/2"]

    run(steps)


@pytest.mark.parametrize(
    "maps",
    [
        ["from u in docs.Users select new { u.Name }", "docs.Companies.Select(c => new { Name = c.Title })"],
        ["map('Users', u => ({ Name: u.Name }))", "map('Companies', c => ({ Name: c.Title }))"],
    ],
)
def test_several_maps_fill_one_index(run: Run, maps: list[str]) -> None:
    """Documents of two collections are found by one field."""

    async def steps(shop: Shop) -> None:
        await shop.put("users/1", "Users", Name="Ada")
        await shop.put("companies/1", "Companies", Title="ADA")
        index = await shop.define("People/Search", *maps)
        assert await shop.ids(index, "Name", "ada") == ["companies/1", "users/1"]

    run(steps)


@pytest.mark.parametrize(
    "text",
    [
        "from o in docs.Orders from line in o.Lines select new { line.Product }",
        "map('Orders', o => o.Lines.map(line => ({ Product: line.Product })))",
    ],
)
def test_fan_out(run: Run, text: str) -> None:
    """A document gives an entry for each of its lines; a line that goes takes its entry with it."""

    async def steps(shop: Shop) -> None:
        await shop.put("orders/1", "Orders", Lines=[{"Product": "milk"}, {"Product": "bread"}])
        index = await shop.define("Lines", text)
        assert await shop.ids(index, "Product", "bread") == ["orders/1"]
        with index.read() as snapshot:
            assert snapshot.entry_count == 2
        await shop.put("orders/1", "Orders", Lines=[{"Product": "milk"}])
        assert await shop.ids(index, "Product", "bread") == []
        assert index.progress.outputs_max == 2

    run(steps)


@pytest.mark.parametrize(
    "text",
    [
        'from e in docs.Employees let m = LoadDocument(e.Manager, "Employees") select new { Boss = m.Name }',
        'from e in docs.Employees let m = LoadDocument(e.Manager, "Managers") where m.Name != "Nobody" '
        "select new { Boss = m.Name }",
        "map('Employees', e => { const m = load(e.Manager, 'Managers'); return { Boss: m ? m.Name : null }; })",
    ],
)
def test_loaded_documents_are_followed(run: Run, text: str) -> None:
    """When a loaded document changes, those who load it are indexed again, also one that had no entry before."""
    managers = "Employees" if '"Employees")' in text else "Managers"

    async def steps(shop: Shop) -> None:
        await shop.put("managers/1", managers, Name="Nobody")
        await shop.put("employees/1", "Employees", Name="Ada", Manager="Managers/1")
        index = await shop.define("ByBoss", text)
        await shop.settle(index)
        await shop.put("managers/1", managers, Name="Zeus")
        assert await shop.ids(index, "Boss", "zeus") == ["employees/1"]
        await shop.put("managers/1", managers, Name="Hera")
        assert await shop.ids(index, "Boss", "zeus") == []
        assert await shop.ids(index, "Boss", "hera") == ["employees/1"]
        await shop.delete("managers/1")
        assert await shop.ids(index, "Boss", "hera") == []

    async def after_restart(shop: Shop) -> None:
        await shop.put("managers/1", managers, Name="Odin")
        assert await shop.ids(shop.indexes.find("ByBoss"), "Boss", "odin") == ["employees/1"]

    run(steps, after_restart)


def test_options_of_fields(run: Run) -> None:
    """Exact fields keep their case, searched ones are cut into words, stored ones can be read back."""

    async def steps(shop: Shop) -> None:
        await shop.put("users/1", "Users", Name="Ada Lovelace", Code="aB", Age=36)
        index = await shop.define(
            "Options", "from u in docs.Users select new { u.Name, u.Code, u.Age }",
            Fields={"Name": {"Indexing": "Search"}, "Code": {"Indexing": "Exact"}, "Age": {"Storage": "Yes"}},
        )  # fmt: skip
        assert await shop.ids(index, "Name", "lovelace") == ["users/1"]
        assert await shop.ids(index, "Code", "aB") == ["users/1"]
        assert await shop.ids(index, "Code", "ab") == []
        assert await shop.stored(index) == [{"Age": 36}]

    run(steps)


def test_failing_documents_are_listed_and_too_many_stop_the_index(run: Run) -> None:
    """4 of 9 postal codes are no numbers: their errors are listed and the index stops with the reason."""

    async def steps(shop: Shop) -> None:
        codes = ["1", "2", "3", "4", "5", "A1", "B2", "C3", "D4"]
        await shop.put_all("Companies", {f"c/{i}": {"Code": code} for i, code in enumerate(codes)})
        index = await shop.define("Codes", "from c in docs.Companies select new { Code = int.Parse(c.Code) }")
        for _ in range(500):
            if index.state == "Error":
                break
            await asyncio.sleep(0.01)
        assert index.state == "Error" and "4 of 9" in (index.progress.failure or "")
        assert sorted(each.document for each in index.errors) == ["c/5", "c/6", "c/7", "c/8"]
        with pytest.raises(OperationFailed, match="error state"):
            index.read()

    run(steps)


def test_a_few_failures_do_not_stop_an_index(run: Run) -> None:
    """One document of many that divides by zero is listed; the others are found."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", {f"users/{i}": {"Age": i} for i in range(20)})
        index = await shop.define("Inverse", "from u in docs.Users select new { Part = 100 / u.Age }")
        assert await shop.ids(index, "Part", 50) == ["users/2"]
        assert [each.document for each in index.errors] == ["users/0"]
        assert index.state == "Normal"

    run(steps)


def test_changed_definition_is_built_beside(run: Run) -> None:
    """The old index answers until the new one has caught up; who holds the old one goes on with the new one."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", {f"users/{i}": {"Name": f"n{i}", "Age": i} for i in range(3_000)})
        old = await shop.define("People", "from u in docs.Users select new { u.Name }")
        await shop.settle(old)
        await shop.indexes.put({"Name": "People", "Maps": ["from u in docs.Users select new { u.Name, u.Age }"]})
        asked = 0
        while old.successor is None:
            with old.read() as snapshot:
                field = snapshot.field("Name")
                assert field is not None and len(snapshot.equal(field.number, "n7")) == 1
            asked += 1
            await asyncio.sleep(0)
        assert asked
        new = shop.indexes.find("people")
        assert new is not old and new.name == "People" and shop.indexes.get("ReplacementOf/People") is None
        assert await shop.ids(old, "Age", 7) == ["users/7"]

    async def after_restart(shop: Shop) -> None:
        index = shop.indexes.find("People")
        assert index.progress.map_attempts == 3_000
        assert await shop.ids(index, "Age", 7) == ["users/7"]

    run(steps, after_restart)


def test_the_same_definition_again_changes_nothing(run: Run) -> None:
    """Deploying what is there keeps the index; a change of its priority alone keeps its entries."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", PEOPLE)
        text = "from u in docs.Users select new { u.Name }"
        index = await shop.define("People", text)
        await shop.settle(index)
        assert not shop.indexes.has_changed({"Name": "People", "Maps": [text + "\r\n"]})
        assert await shop.define("people", text) is index
        assert await shop.define("People", text, Priority="High") is index
        assert index.definition.priority == "High"
        assert shop.indexes.has_changed({"Name": "People", "Maps": [text], "Priority": "Low"})

    run(steps)


def test_locked_definitions(run: Run) -> None:
    """A locked index ignores a deployment, or refuses it, as was set."""

    async def steps(shop: Shop) -> None:
        first, second = "from u in docs.Users select new { u.Name }", "from u in docs.Users select new { u.Age }"
        index = await shop.define("People", first)
        await shop.indexes.set_lock(["People"], "LockedIgnore")
        assert await shop.define("People", second) is index
        await shop.indexes.set_lock(["People"], "LockedError")
        with pytest.raises(OperationFailed, match="locked"):
            await shop.define("People", second)
        with pytest.raises(IndexDoesNotExist):
            await shop.indexes.set_lock(["Nobody"], "Unlock")
        with pytest.raises(InvalidArgument):
            await shop.indexes.set_lock(["People"], "Sideways")
        assert index.definition.maps == (first,)  # type: ignore[union-attr]

    run(steps)


def test_paused_disabled_reset_deleted(run: Run) -> None:
    """A paused or disabled index stays behind and catches up; a reset one is built anew; a deleted one is gone."""

    async def steps(shop: Shop) -> None:
        index = await shop.define("People", "from u in docs.Users select new { u.Name }")
        await shop.settle(index)
        shop.indexes.pause(index)
        await shop.put("users/1", "Users", Name="Ada")
        assert not await index.wait_non_stale(timeout_s=0.05)
        assert index.status == "Paused" and index.staleness_reasons()
        shop.indexes.resume(index)
        assert await shop.ids(index, "Name", "ada") == ["users/1"]
        await shop.indexes.set_disabled("people", True)
        await shop.put("users/2", "Users", Name="Eve")
        assert not await index.wait_non_stale(timeout_s=0.05)
        assert index.state == "Disabled"
        await shop.indexes.set_disabled("People", False)
        assert await shop.ids(index, "Name", "eve") == ["users/2"]
        await shop.indexes.reset("People")
        assert shop.indexes.find("People") is not index
        assert await shop.ids(index, "Name", "ada") == ["users/1"]
        assert await shop.indexes.delete("PEOPLE")
        assert not await shop.indexes.delete("PEOPLE")
        with pytest.raises(IndexDoesNotExist):
            shop.indexes.find("People")

    run(steps)


@pytest.mark.parametrize(
    "definition",
    [
        {"Name": "X", "Maps": ["docs.Users.OrderBy(u => u.Name).Select(u => new { u.Name })"]},
        {"Name": "X", "Maps": ["map('Users', u => { return { ; })"]},
        {"Name": "X", "Maps": ["from u in docs.Users select new { u.Name }"],
         "Reduce": "from r in results group r by r.Name into g select new { Name = g.Key, Count = 1 }"},
        {"Name": "X", "Maps": ["from u in docs.Users select new { u.Name }"],
         "Fields": {"Name": {"Indexing": "Search", "Analyzer": "NoSuchAnalyzer"}}},
    ],
)  # fmt: skip
def test_what_does_not_compile_is_refused(run: Run, definition: dict[str, object]) -> None:
    """A definition that cannot be used changes nothing and is refused as such."""

    async def steps(shop: Shop) -> None:
        with pytest.raises(CompilationError):
            await shop.indexes.put(definition)
        assert shop.indexes.all() == []

    run(steps, in_memory=True)

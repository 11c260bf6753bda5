"""Queries that need no index: collections, ids, prefixes, their pages, projections, loads, includes and streams."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[[Any], None]


async def fill(desk: Any) -> None:
    for number in range(5):
        await desk.put(
            f"users/{number}", "Users", Name=f"N{number}", Age=number, Address={"City": "Paris"},
            Friend=f"users/{(number + 1) % 5}", Lines=[{"Product": "a"}, {"Product": f"p{number}"}],
        )  # fmt: skip
    await desk.put("companies/1", "Companies", Name="C", Employees=["users/1", "users/3", "users/9"])
    await desk.put("Raven/Hilo/users", "@hilo", Max=32)


def test_a_collection_comes_in_order_of_change_with_its_total(desk: Run) -> None:
    """A query of a collection gives its documents as last changed, whatever the case of its name, and counts them."""

    async def test(desk: Any) -> None:
        await fill(desk)
        await desk.put("users/1", "Users", Name="changed")
        answer = await desk.ask("from users limit 2 offset 1")
        assert [each["@metadata"]["@id"] for each in answer["Results"]] == ["users/2", "users/3"]
        assert answer["TotalResults"] == 5 and answer["CappedMaxResults"] == 2 and not answer["IsStale"]
        assert answer["IndexName"] == "collection/users"
        assert (await desk.ids("from Users", Start=4)) == ["users/1"]
        assert (await desk.ask("from Nobody"))["TotalResults"] == 0
        assert (await desk.ask("from Users", PageSize=0))["Results"] == []

    desk(test)


def test_everything_is_all_documents_but_bookkeeping(desk: Run) -> None:
    """@all_docs leaves out what clients keep for their ids, in results and in the total."""

    async def test(desk: Any) -> None:
        await fill(desk)
        answer = await desk.ask("from @all_docs")
        assert answer["TotalResults"] == 6 == len(answer["Results"]) and answer["IndexName"] == "AllDocs"
        assert await desk.ids("from @all_docs limit 5, 10") == ["companies/1"]

    desk(test)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from Users where id() = 'USERS/2'", ["users/2"]),
        ("from Users where id() = 'companies/1'", []),
        ("from Users where id() in ('users/3', $p, 'users/3', 'users/77')", ["users/0", "users/3"]),
        ("from @all_docs where id() in ($list)", ["companies/1", "users/4"]),
        ("from Users where startsWith(id(), 'USERS/')", [f"users/{n}" for n in range(5)]),
        ("from @all_docs where startsWith(id(), 'c') limit 1", ["companies/1"]),
        ("from Users where startsWith(id(), 'users/') limit 3, 10", ["users/3", "users/4"]),
    ],
)  # fmt: skip
def test_documents_are_found_by_id(desk: Run, text: str, expected: list[str]) -> None:
    """Conditions on ids alone need no index, know the collection, and give each document once."""

    async def test(desk: Any) -> None:
        await fill(desk)
        parameters = {"p": "users/0", "list": [["users/4"], "companies/1"]}
        assert await desk.ids(text, p=parameters) == expected

    desk(test)


def test_projection_keeps_digits_and_says_that_it_is_one(desk: Run) -> None:
    """Selected fields have the digits of the document's text, missing ones are null, arrays come as arrays."""

    async def test(desk: Any) -> None:
        raw = (
            b'{"Price":1.10,"Big":12345678901234567890,"L":[{"P":1},{"P":[2,3]},4],'
            b'"@metadata":{"@collection":"Things"}}'
        )
        await desk.api.json("PUT", "/databases/db/docs?id=things/1", raw, 201)
        fields = "t.Price, Big, L[].P as Ps, L[2] as last, id(), 'x' as word, None, $p as q"
        body = {"Query": f"from Things as t select {fields}"}
        answer = await desk.api.call("POST", "/databases/db/queries", {**body, "QueryParameters": {"p": [1]}})
        start = b'{"Results":[{"Price":1.10,"Big":12345678901234567890,"Ps":[1,2,3],"last":4,"Id":"things/1",'
        assert answer.body.startswith(start + b'"word":"x","None":null,"q":[1],"@metadata":{'), answer.body
        (metadata,) = [each["@metadata"] for each in (await desk.ask(body["Query"], p={"p": 0}))["Results"]]
        assert metadata["@projection"] is True and metadata["@id"] == "things/1" and metadata["@change-vector"]

    desk(test)


def test_distinct_results_come_once_and_are_paged_afterwards(desk: Run) -> None:
    """Equal projections are one result; skip and take count distinct ones."""

    async def test(desk: Any) -> None:
        await fill(desk)
        answer = await desk.ask("from Users select distinct Address.City as City")
        assert [each["City"] for each in answer["Results"]] == ["Paris"]
        assert answer["TotalResults"] == 1 and answer["SkippedResults"] == 4
        assert await desk.results("from Users select distinct Name limit 3, 10") == [{"Name": "N3"}, {"Name": "N4"}]

    desk(test)


def test_loaded_documents_can_be_selected_and_included(desk: Run) -> None:
    """`load` reaches into other documents, arrays of them too; includes travel once and never repeat a result."""

    async def test(desk: Any) -> None:
        await fill(desk)
        loads = "load u.Friend as f, f.Friend as g select f.Name as A, g.Name as B"
        assert await desk.results(f"from Users as u where id() = 'users/1' {loads}") == [{"A": "N2", "B": "N3"}]
        text = "from Companies as c load c.Employees as e[] select e[].Name as Names, e.Age as Ages"
        assert (await desk.results(text))[0]["Ages"] == [1, 3]
        answer = await desk.ask("from Companies include Employees")
        assert sorted(answer["Includes"]) == ["users/1", "users/3"] and answer["IncludedPaths"] == ["Employees"]
        answer = await desk.ask("from Users as u where id() in ('users/0', 'users/1') include u.Friend")
        assert sorted(answer["Includes"]) == ["users/2"]

    desk(test)


def test_filter_looks_at_documents_and_says_how_many(desk: Run) -> None:
    """`filter` needs no index, counts what it looked at, and ends at its limit."""

    async def test(desk: Any) -> None:
        await fill(desk)
        answer = await desk.ask("from Users filter Age >= 2 and Name != 'n3'")
        assert [each["Age"] for each in answer["Results"]] == [2, 4]
        assert answer["ScannedResults"] == 5 and answer["TotalResults"] == 2
        answer = await desk.ask("from Users as u filter u.Lines[].Product in ('P1', 'p2') filter_limit 2")
        assert [each["Age"] for each in answer["Results"]] == [1] and answer["ScannedResults"] == 2
        assert await desk.ids("from Users filter Age > 0 limit 1, 1") == ["users/2"]
        # Over an index, whose documents are written natively when nobody looks at them.
        assert await desk.ids("from Users where Age >= 0 order by Age as long filter Age > 2") == ["users/3", "users/4"]
        assert await desk.ids("from Users order by Age as long filter Age > 2") == ["users/3", "users/4"]

    desk(test)


def test_filter_over_loaded_documents_groups_and_metadata(desk: Run) -> None:
    """`filter` looks at loaded documents, several and one behind the other, at groups and at metadata."""

    async def test(desk: Any) -> None:
        await fill(desk)
        await desk.put("teams/1", "Teams", Boss="users/1", Members=["users/2", "users/4"])
        await desk.put("teams/2", "Teams", Boss="users/3", Members=["users/9"])
        assert await desk.ids("from Teams as t load t.Boss as b filter b.Age = 1") == ["teams/1"]
        assert await desk.ids("from Teams as t load t.Boss as b, b.Friend as f filter f.Age > 3") == ["teams/2"]
        assert await desk.ids("from Teams as t load t.Members as m[] filter m.Age = 4") == ["teams/1"]
        assert await desk.ids("from Teams as t load t.Members as m[] filter exists(m.Age)") == ["teams/1"]
        assert await desk.ids("from Teams filter '@metadata.@collection' = 'teams' limit 1") == ["teams/1"]
        assert await desk.ids("from Teams filter id() = 'TEAMS/2'") == ["teams/2"]
        groups = "from Users group by Name filter Count >= 1 and Name in ($names) select Name, count()"
        names = {"names": ["N1", "n2"]}
        assert sorted(each["Name"] for each in await desk.results(groups, p=names)) == ["N1", "N2"]
        for text, parameters in (("Age = $x", {}), ("Age = $x", {"x": [1, 2]}), ("search(Name, 'x')", {})):
            await desk.ask(f"from Users filter {text}", 400, p=parameters)
        assert await desk.ids("from Users filter Age = $x", p={"x": [1]}) == ["users/1"]

    desk(test)


def test_an_unchanged_result_is_answered_by_304(desk: Run) -> None:
    """The etag stays while nothing was written, differs by parameters, and moves with any write."""

    async def test(desk: Any) -> None:
        await fill(desk)
        body = {"Query": "from Users where id() = $p", "QueryParameters": {"p": "users/1"}}
        first = await desk.api.call("POST", "/databases/db/queries", body)
        etag = first.fields["etag"]
        assert (await desk.api.call("POST", "/databases/db/queries", body, If_None_Match=etag)).status == 304
        other = {**body, "QueryParameters": {"p": "users/2"}}
        assert (await desk.api.call("POST", "/databases/db/queries", other, If_None_Match=etag)).status == 200
        await desk.put("users/1", "Users", Name="new")
        assert (await desk.api.call("POST", "/databases/db/queries", body, If_None_Match=etag)).status == 200

    desk(test)


def test_streams_tell_facts_first_and_then_items(desk: Run) -> None:
    """A stream of a query begins with its statistics in both forms, and holds every result."""

    async def test(desk: Any) -> None:
        await fill(desk)
        stats, *items = await desk.lines("from Users where startsWith(id(), $p) select Name", p="users/")
        assert stats["Stats"]["TotalResults"] == 5 and stats["Stats"]["IndexName"] == "collection/Users"
        assert [each["Item"]["Name"] for each in items] == [f"N{n}" for n in range(5)]
        found = await desk.api.json("GET", "/databases/db/streams/queries?query=from%20Users%20limit%202&format=json")
        assert len(found["Results"]) == 2 and found["TotalResults"] == 5 and found["Includes"] == {}

    desk(test)


def test_a_large_answer_streams_whole(desk: Run) -> None:
    """An answer larger than what is made at once arrives complete."""

    async def test(desk: Any) -> None:
        commands = [
            {"Type": "PUT", "Id": f"big/{n:04}", "Document": {"T": "x" * 2_000, "@metadata": {"@collection": "Big"}}}
            for n in range(500)
        ]
        await desk.api.json("POST", "/databases/db/bulk_docs", {"Commands": commands}, 201)
        assert await desk.ids("from Big") == [f"big/{n:04}" for n in range(500)]
        requests = [{"Url": "/databases/db/queries", "Query": "?query=from%20Big", "Method": "GET"}]
        answer = await desk.api.json("POST", "/databases/db/multi_get", {"Requests": requests})
        assert len(answer["Results"][0]["Result"]["Results"]) == 500

    desk(test)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("from", "InvalidQueryException"),
        ("from Users where id() = $missing", "InvalidQueryException"),
        ("from Users limit 'x'", "InvalidQueryException"),
        ("from Users (Revisions = true)", "InvalidQueryException"),
    ],
)
def test_what_cannot_be_answered_says_why(desk: Run, text: str, kind: str) -> None:
    """A query that does not parse, or lacks a parameter, is refused with the name that clients know."""

    async def test(desk: Any) -> None:
        error = await desk.ask(text, status=400)
        assert error["Type"].endswith(kind) and error["Message"]

    desk(test)


async def completed(desk: Any, started: Any) -> Any:
    """Wait for an operation and give its state."""
    while True:
        state = await desk.api.json("GET", f"/databases/db/operations/state?id={started['OperationId']}")
        if state["Status"] != "InProgress":
            return state
        await asyncio.sleep(0.01)


def test_what_a_query_finds_is_deleted(desk: Run) -> None:
    """Deleting by query removes what the query finds and nothing else, and tells what it did."""

    async def test(desk: Any) -> None:
        await fill(desk)
        body = {"Query": "from Users filter Age >= 2", "QueryParameters": None, "PageSizeSet": False, "Start": None}
        started = await desk.api.json("DELETE", "/databases/db/queries?allowStale=&details=true", body)
        state = await completed(desk, started)
        assert state["Status"] == "Completed" and state["Result"]["Total"] == 3, state
        assert [each["Status"] for each in state["Result"]["Details"]] == ["Deleted"] * 3
        assert await desk.ids("from @all_docs") == ["users/0", "users/1", "companies/1"]
        started = await desk.api.json("DELETE", "/databases/db/queries", {"Query": "from @all_docs limit 1"})
        result = (await completed(desk, started))["Result"]
        assert result == {"Total": 1, "Query": "from @all_docs limit 1", "Details": []}
        assert await desk.ids("from @all_docs") == ["users/1", "companies/1"]

    desk(test)


def test_scripts_shape_results(desk: Run) -> None:
    """Object literals and declared functions run over documents, loaded ones and parameters, and get metadata."""

    async def test(desk: Any) -> None:
        await fill(desk)
        text = (
            "declare function twice(x, times) { return x * times; } "
            "from Users as u where startsWith(id(), 'users/') load u.Friend as f "
            "select { Name: u.Name, Friend: f.Name, Far: load(f.Friend).Name, Age: twice(u.Age, $times), Me: id(u) } "
            "limit 1, 1"
        )
        expected = {"Name": "N1", "Friend": "N2", "Far": "N3", "Age": 3, "Me": "users/1"}
        assert await desk.results(text, p={"times": 3}) == [expected]
        (whole,) = (await desk.ask(text, p={"times": 3}))["Results"]
        assert whole["@metadata"]["@id"] == "users/1" and whole["@metadata"]["@projection"] is True
        text = "declare function f(u) { return {A: u.Age + 1}; } from Users as u select f(u) limit 2"
        assert await desk.results(text) == [{"A": 1}, {"A": 2}]
        text = "declare function f(u, v) { return u.Age + v; } from Users as u select f(u, 5) as B, u.Name limit 1"
        assert await desk.results(text) == [{"B": 5, "Name": "N0"}]
        error = await desk.ask("from Users as u select { A: u.Name.No() }", status=500)
        assert "JavaScriptException" in error["Type"], error

    desk(test)


def test_what_a_query_finds_is_patched(desk: Run) -> None:
    """A patch by query runs its script over each document with the query's parameters, and tells what it did."""

    async def test(desk: Any) -> None:
        await fill(desk)
        declared = "declare function twice(x) { return 2 * x; }"
        text = declared + " from Users as u filter u.Age > 2 update { u.Age = twice($by); }"
        body = {"Query": {"Query": text, "QueryParameters": {"by": 50}, "PageSize": None}}
        started = await desk.api.json("PATCH", "/databases/db/queries?allowStale=False&details=True", body)
        state = await completed(desk, started)
        assert state["Result"]["Total"] == 2, state
        assert [each["Status"] for each in state["Result"]["Details"]] == ["Patched", "Patched"]
        assert [each["Age"] for each in await desk.results("from Users select Age")] == [0, 1, 2, 100, 100]
        body = {"Query": {"Query": "from Users update { this.a.b.c = 1 }"}}
        state = await completed(desk, await desk.api.json("PATCH", "/databases/db/queries", body))
        assert state["Status"] == "Faulted" and "JavaScriptException" in state["Result"]["Type"], state
        await desk.api.json("PATCH", "/databases/db/queries", {"Query": {"Query": "from Users"}}, 400)

    desk(test)

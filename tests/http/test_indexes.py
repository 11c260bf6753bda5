"""Endpoints of indexes: deploy, list, compare, reset, lock, pause, statistics, errors, terms, waiting after saves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

Run = Callable[..., None]
DB = "/databases/db"
MAP = "from u in docs.Users select new { u.Name, Part = 100 / u.Age }"
PEOPLE = {"Name": "People", "Maps": [MAP]}


def put(id: str, **fields: object) -> dict[str, object]:
    return {"Type": "PUT", "Id": id, "Document": {**fields, "@metadata": {"@collection": "Users"}}}


async def save(api: Any, *commands: dict[str, object], wait: str = "", status: int = 201) -> Any:
    return await api.json("POST", f"{DB}/bulk_docs?{wait}", {"Commands": list(commands)}, status)


WAIT = "waitForIndexesTimeout=00:00:15&waitForIndexThrow=true"


def test_life_of_an_index(open_api: Callable[..., Any], run: Run) -> None:
    """A definition comes back complete; a save that waits is in the index; the index is reset and deleted."""

    async def steps() -> None:
        async with open_api() as api:
            made = await api.call("PUT", f"{DB}/admin/indexes", {"Indexes": [PEOPLE]})
            assert made.status == 201 and b"Error" not in made.body
            await save(api, *(put(f"users/{i}", Name=f"N{i}", Age=i) for i in range(20)), wait=WAIT)
            (shown,) = (await api.json("GET", f"{DB}/indexes?name=people"))["Results"]
            assert (shown["Name"], shown["Maps"], shown["Type"]) == ("People", [MAP], "Map")
            assert (await api.json("GET", f"{DB}/indexes?namesOnly=true&start=0&pageSize=5"))["Results"] == ["People"]
            assert (await api.call("GET", f"{DB}/indexes?name=none")).status == 404
            terms = await api.json("GET", f"{DB}/indexes/terms?name=People&field=name&fromValue=n17&pageSize=2")
            assert terms["Terms"] == ["n18", "n19"]
            (stats,) = (await api.json("GET", f"{DB}/indexes/stats?name=People"))["Results"]
            assert (stats["EntriesCount"], stats["MapErrors"], stats["IsStale"]) == (19, 1, False)
            assert stats["Collections"]["Users"]["DocumentLag"] == 0
            (failed,) = (await api.json("GET", f"{DB}/indexes/errors"))["Results"]
            assert [each["Document"] for each in failed["Errors"]] == ["users/0"]
            assert (await api.call("DELETE", f"{DB}/indexes/errors?name=People")).status == 204
            assert (await api.json("GET", f"{DB}/indexes/errors"))["Results"][0]["Errors"] == []
            database = await api.json("GET", f"{DB}/stats")
            assert database["CountOfIndexes"] == 1 and database["Indexes"][0]["Name"] == "People"
            assert (await api.json("GET", f"{DB}/indexes/staleness?name=People"))["StalenessReasons"] == []
            assert (await api.json("GET", f"{DB}/indexes/performance"))["Results"][0]["Performance"]
            assert (await api.json("RESET", f"{DB}/indexes?name=People"))["Index"] == "People"
            assert (await api.call("DELETE", f"{DB}/indexes?name=People")).status == 204
            assert (await api.call("DELETE", f"{DB}/indexes?name=People")).status == 204
            record = await api.json("GET", "/admin/databases?name=db")
            assert record["Indexes"] == {} and record["IndexesHistory"] == {}

    run(steps())


def test_changes_of_a_definition(open_api: Callable[..., Any], run: Run) -> None:
    """Changes are told from sameness, kept as history, refused by a lock; scripts need no administrator."""

    async def steps() -> None:
        async with open_api() as api:
            await api.json("PUT", f"{DB}/admin/indexes", {"Indexes": [PEOPLE]}, 201)
            assert await api.json("POST", f"{DB}/indexes/has-changed", PEOPLE) == {"Changed": False}
            changed = {**PEOPLE, "Maps": [MAP.replace("Part", "Share")]}
            assert await api.json("POST", f"{DB}/indexes/has-changed", changed) == {"Changed": True}
            await api.json("PUT", f"{DB}/admin/indexes", {"Indexes": [changed]}, 201)
            history = (await api.json("GET", f"{DB}/indexes/history?name=People"))["History"]
            assert [each["Definition"]["Maps"] for each in history] == [changed["Maps"], PEOPLE["Maps"]]
            body = {"IndexNames": ["People"], "Mode": "LockedError"}
            assert (await api.call("POST", f"{DB}/indexes/set-lock", body)).status == 204
            await api.json("PUT", f"{DB}/admin/indexes", {"Indexes": [PEOPLE]}, 500)
            body = {"IndexNames": ["People"], "Priority": "High"}
            assert (await api.call("POST", f"{DB}/indexes/set-priority", body)).status == 204
            (shown,) = (await api.json("GET", f"{DB}/indexes?name=People"))["Results"]
            assert (shown["LockMode"], shown["Priority"]) == ("LockedError", "High")
            script = {"Name": "Script", "Maps": ["map('Users', u => ({ Name: u.Name }))"]}
            await api.json("PUT", f"{DB}/indexes", {"Indexes": [script]}, 201)
            assert (await api.call("PUT", f"{DB}/indexes", {"Indexes": [{**PEOPLE, "Name": "Y"}]})).status == 400
            wrong = {"Name": "Wrong", "Maps": ["docs.Users.OrderBy(u => u.Name).Select(u => new { u.Name })"]}
            refused = await api.json("PUT", f"{DB}/admin/indexes", {"Indexes": [wrong]}, 500)
            assert refused["Type"].endswith("IndexCompilationException")
            assert refused["IndexDefinitionProperty"] == "Maps"

    run(steps())


def test_pause_and_disable(open_api: Callable[..., Any], run: Run) -> None:
    """Stopping one index is not stopping all; a save that waits for a stopped one fails, or not, as was asked."""

    async def steps() -> None:
        async with open_api() as api:
            await api.json("PUT", f"{DB}/admin/indexes", {"Indexes": [PEOPLE]}, 201)
            assert (await api.call("POST", f"{DB}/admin/indexes/stop?name=People")).status == 204
            status = await api.json("GET", f"{DB}/indexes/status")
            assert status == {"Status": "Running", "Indexes": [{"Name": "People", "Status": "Paused"}]}
            short = "waitForIndexesTimeout=00:00:00.05&waitForSpecificIndex=b'People'"
            throwing = short + "&waitForIndexThrow=true"
            failed = await save(api, put("users/1", Name="A", Age=1), wait=throwing, status=408)
            assert "People" in failed["Message"]
            await save(api, put("users/2", Name="B", Age=1), wait=short + "&waitForIndexThrow=false")
            assert (await api.json("GET", f"{DB}/indexes/staleness?name=People"))["IsStale"]
            for verb, word in (("start", "Running"), ("stop", "Paused"), ("start", "Running")):
                assert (await api.call("POST", f"{DB}/admin/indexes/{verb}")).status == 204
                assert (await api.json("GET", f"{DB}/indexes/status"))["Status"] == word
            assert (await api.call("POST", f"{DB}/admin/indexes/disable?name=People")).status == 204
            assert (await api.json("GET", f"{DB}/indexes/status"))["Indexes"][0]["Status"] == "Disabled"
            assert (await api.call("POST", f"{DB}/admin/indexes/enable?name=People")).status == 204
            await save(api, put("users/3", Name="C", Age=1), wait=WAIT)
            for path in ("indexes/terms?name=none&field=a", "indexes/stats?name=none"):
                answer = await api.json("GET", f"{DB}/{path}", status=500)
                assert answer["Type"].endswith("IndexDoesNotExistException")

    run(steps())


def test_reset_is_a_method(open_api: Callable[..., Any], run: Run) -> None:
    """RESET is taken at the beginning of a message, also on a connection that goes on; elsewhere it is refused."""

    async def steps() -> None:
        async with open_api() as api:
            await api.json("PUT", f"{DB}/admin/indexes", {"Indexes": [PEOPLE]}, 201)
            reader, writer = await api.door.connect()
            for _ in range(2):
                for method in (b"RESET", b"GET", b"PATCH"):
                    writer.write(method + b" /databases/db/indexes?name=People HTTP/1.1\r\nHost: x\r\n\r\n")
                    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
                    size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    body = await reader.readexactly(size)
                    assert head.startswith(b"HTTP/1.1 400" if method == b"PATCH" else b"HTTP/1.1 200"), (head, body)
            writer.close()

    run(steps())


def test_rolling_deployment(open_api: Callable[..., Any], run: Run) -> None:
    """On a single node a rolling deployment begins at once and is done when the index has caught up."""

    async def steps() -> None:
        async with open_api() as api:
            await save(api, *(put(f"users/{i}", Name=f"N{i}", Age=i + 1) for i in range(20)))
            rolling = {**PEOPLE, "DeploymentMode": "Rolling"}
            await api.json("PUT", f"{DB}/admin/indexes", {"Indexes": [rolling]}, 201)
            for _ in range(500):
                found = (await api.json("GET", f"{DB}/indexes/rolling?name=people"))["RollingIndexes"]["People"]
                if found["ActiveDeployments"]["A"]["State"] == "Done":
                    break
                await asyncio.sleep(0.01)
            assert found["ActiveDeployments"]["A"]["State"] == "Done" and found["RaftIndexChange"] > 0
            record = await api.json("GET", "/admin/databases?name=db")
            assert record["RollingIndexes"]["People"] == found
            (entry,) = record["IndexesHistory"]["People"]
            assert entry["RollingDeployment"] == found["ActiveDeployments"]
            assert (await api.json("GET", f"{DB}/indexes/rolling?name=none"))["RollingIndexes"] == {}
            await api.call("DELETE", f"{DB}/indexes?name=People")
            assert (await api.json("GET", f"{DB}/indexes/rolling"))["RollingIndexes"] == {}

    run(steps())


def test_terms_of_every_kind_page_by_page(open_api: Callable[..., Any], run: Run) -> None:
    """Pages of any size put together are all terms: numbers by value, texts that look like numbers behind them."""

    async def steps() -> None:
        async with open_api() as api:
            definition = {"Name": "Values", "Maps": ["from u in docs.Users select new { u.Value }"]}
            await api.json("PUT", f"{DB}/admin/indexes", {"Indexes": [definition]}, 201)
            values = [None, False, True, -2, 1.5, 10, 9007199254740993, "10", "a", "null"]
            await save(api, *(put(f"users/{i}", Value=value) for i, value in enumerate(values)), wait=WAIT)
            whole = (await api.json("GET", f"{DB}/indexes/terms?name=Values&field=Value"))["Terms"]
            assert whole == ["null", "false", "true", "-2", "1.5", "10", "9007199254740993", "10", "a", "null"]
            for size in (1, 2, 3):
                listed, last = [], ""
                while True:
                    path = f"{DB}/indexes/terms?name=Values&field=Value&fromValue={last}&pageSize={size}"
                    page = (await api.json("GET", path))["Terms"]
                    listed += page
                    if len(page) < size or len(listed) >= 7:
                        break
                    last = page[-1]
                assert listed[:7] == whole[:7], size
            path = f"{DB}/indexes/terms?name=Values&field=Value&fromValue=a&pageSize=5"
            assert (await api.json("GET", path))["Terms"] == ["null"]

    run(steps())


def test_more_terms_than_one_step_reads(open_api: Callable[..., Any], run: Run) -> None:
    """Without a page size all terms come."""

    async def steps() -> None:
        async with open_api() as api:
            definition = {"Name": "Words", "Maps": ["map('Users', u => u.Words.map(w => ({ Word: w })))"]}
            await api.json("PUT", f"{DB}/indexes", {"Indexes": [definition]}, 201)
            words = [f"w{number:05}" for number in range(2_500)]
            await save(api, put("users/1", Words=words), wait=WAIT)
            assert (await api.json("GET", f"{DB}/indexes/terms?name=Words&field=Word"))["Terms"] == words

    run(steps())

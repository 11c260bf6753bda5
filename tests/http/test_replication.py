"""Conflicts, rules, external replication and connection strings over HTTP, on one node with two databases."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from pynori import limits

CONFLICTS = "/databases/db/replication/conflicts"
SOLVER = "/admin/replication/conflicts/solver?name=db"
STRINGS = "/databases/db/admin/connection-strings"
TASK = "/databases/db/admin/tasks/external-replication"


async def done(api: Any, method: str, target: str, body: Any = None) -> Any:
    """A request that succeeds; its answer."""
    answer = await api.call(method, target, body)
    assert answer.status in (200, 201, 204), answer
    return json.loads(answer.body or b"null")


async def until(holds: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.02)


async def copy_of_db(api: Any, **watcher: Any) -> dict[str, Any]:
    """A second database, "copy", to which "db" replicates; what the definition answers."""
    await done(api, "PUT", "/admin/databases?name=copy&replicationFactor=1", {"DatabaseName": "copy"})
    return await replicate(api, **watcher)


async def replicate(api: Any, **watcher: Any) -> dict[str, Any]:
    """Let "db" replicate to "copy"."""
    string = {"Type": "Raven", "Name": "there", "Database": "copy", "TopologyDiscoveryUrls": [api.server.url + "/"]}
    await done(api, "PUT", STRINGS, string)
    found: dict[str, Any] = await done(api, "POST", TASK, {"Watcher": {"ConnectionStringName": "there", **watcher}})
    return found


def test_a_database_replicates_to_another(run, open_api) -> None:
    """What is there and what comes arrives, deletions too; the task shows its node and how it is."""

    async def main() -> None:
        async with open_api() as api:
            await done(api, "PUT", "/databases/db/docs?id=users/1", {"n": 1})
            made = await copy_of_db(api, Name="to the copy")
            task_id = made["TaskId"]
            assert made["ResponsibleNode"] == "A" and made["RaftCommandIndex"] > 0

            async def arrived() -> bool:
                return (await api.call("GET", "/databases/copy/docs?id=users/1")).status == 200

            await until(arrived)
            await done(api, "PUT", "/databases/db/docs?id=users/2", {"n": 2})
            await api.call("DELETE", "/databases/db/docs?id=users/1")

            async def moved() -> bool:
                gone = (await api.call("GET", "/databases/copy/docs?id=users/1")).status == 404
                return gone and (await api.call("GET", "/databases/copy/docs?id=users/2")).status == 200

            await until(moved)
            task = await done(api, "GET", f"/databases/db/task?key={task_id}&type=Replication")
            state = (task["TaskName"], task["TaskConnectionStatus"], task["TaskState"])
            assert state == ("to the copy", "Active", "Enabled")
            assert task["ResponsibleNode"]["NodeTag"] == "A" and task["DestinationDatabase"] == "copy"
            named = await done(api, "GET", "/databases/db/task?taskName=to%20the%20copy&type=Replication")
            assert named["TaskId"] == task_id
            listed = await done(api, "GET", "/databases/db/tasks")
            assert [each["TaskId"] for each in listed["OngoingTasks"]] == [task_id]
            links = (await done(api, "GET", "/databases/db/replication/active-connections"))["OutgoingConnections"]
            assert [(link["Type"], link["State"], link["Error"]) for link in links] == [("External", "Connected", None)]
            there = (await done(api, "GET", "/databases/copy/replication/active-connections"))["IncomingConnections"]
            assert [link["SourceDatabaseName"] for link in there] == ["db"]

    run(main())


def test_a_task_is_switched_off_and_ended(run, open_api) -> None:
    """While it is off nothing is sent; what came meanwhile follows, deletions too, which wait for it though others
    need them no more; when it is deleted the link goes, and they with it."""

    async def main() -> None:
        async with open_api() as api:
            await done(api, "PUT", "/databases/db/docs?id=users/0", {"n": 0})
            made = await copy_of_db(api)

            async def began() -> bool:
                return (await api.call("GET", "/databases/copy/docs?id=users/0")).status == 200

            await until(began)
            state = f"/databases/db/admin/tasks/state?key={made['TaskId']}&type=Replication"
            await done(api, "POST", f"{state}&disable=true")
            await done(api, "PUT", "/databases/db/docs?id=users/1", {"n": 1})
            await api.call("DELETE", "/databases/db/docs?id=users/0")
            await done(api, "PUT", "/databases/db/docs?id=users/2", {"n": 2})  # the last etag is no tombstone's
            await asyncio.sleep(0.3)
            assert (await api.call("GET", "/databases/copy/docs?id=users/1")).status == 404
            tombstones = api.server.databases.find("db").database.tombstones
            assert await tombstones.purge() == 0
            shown = await done(api, "GET", f"/databases/db/task?key={made['TaskId']}&type=Replication")
            assert shown["TaskState"] == "Disabled"
            await done(api, "POST", f"{state}&disable=false")

            async def arrived() -> bool:
                gone = (await api.call("GET", "/databases/copy/docs?id=users/0")).status == 404
                return gone and (await api.call("GET", "/databases/copy/docs?id=users/1")).status == 200

            await until(arrived)
            await done(api, "POST", f"{state}&disable=true")
            refused = await api.call("DELETE", f"{STRINGS}?connectionString=there&type=Raven")
            assert refused.status == 400 and b"is used by the task" in refused.body
            await done(api, "DELETE", f"/databases/db/admin/tasks?id={made['TaskId']}&type=Replication")
            await done(api, "DELETE", f"{STRINGS}?connectionString=there&type=Raven")
            links = await done(api, "GET", "/databases/db/replication/active-connections")
            assert links["OutgoingConnections"] == []
            assert await tombstones.purge() == 1
            assert (await api.call("GET", f"/databases/db/task?key={made['TaskId']}&type=Replication")).status == 404

    run(main())


def test_tasks_that_are_made_at_once_are_all_there(run, open_api) -> None:
    """Each gets an id of its own, whoever comes first."""

    async def main() -> None:
        async with open_api() as api:
            string = {"Type": "Raven", "Name": "far", "Database": "none", "TopologyDiscoveryUrls": [api.server.url]}
            await done(api, "PUT", STRINGS, string)
            body = {"Watcher": {"ConnectionStringName": "far"}}
            made = await asyncio.gather(*(done(api, "POST", TASK, body) for _ in range(6)))
            listed = await done(api, "GET", "/databases/db/tasks")
            ids = sorted(each["TaskId"] for each in listed["OngoingTasks"])
            assert len(set(ids)) == 6 and ids == sorted(each["TaskId"] for each in made)

    run(main())


def test_what_is_wrong_with_a_task_is_told(run, open_api) -> None:
    """Definitions are checked when they are made, and a target that is not there is shown as the task's error."""

    async def main() -> None:
        async with open_api() as api:
            for body, words in (
                ({"Watcher": {"ConnectionStringName": "nobody"}}, b"no connection string 'nobody'"),
                ({}, b"'Watcher'"),
            ):
                answer = await api.call("POST", TASK, body)
                assert answer.status == 400 and words in answer.body
            for body, words in (
                ({"Type": "Raven", "Name": "x"}, b"'Database' and 'TopologyDiscoveryUrls'"),
                ({"Type": "Carrier", "Name": "x"}, b"no type of connection strings"),
                ({"Type": "Raven"}, b"'Name'"),
            ):
                answer = await api.call("PUT", STRINGS, body)
                assert answer.status == 400 and words in answer.body
            string = {"Type": "Raven", "Name": "far", "Database": "none", "TopologyDiscoveryUrls": [api.server.url]}
            await done(api, "PUT", STRINGS, string)
            made = await done(api, "POST", TASK, {"Watcher": {"ConnectionStringName": "far"}})

            async def failed() -> bool:
                task = await done(api, "GET", f"/databases/db/task?key={made['TaskId']}&type=Replication")
                return task["TaskConnectionStatus"] == "Reconnect" and "'none'" in (task["Error"] or "")

            await until(failed)
            listed = await done(api, "GET", STRINGS)
            assert list(listed["RavenConnectionStrings"]) == ["far"] and listed["SqlConnectionStrings"] == {}
            one = await done(api, "GET", f"{STRINGS}?connectionStringName=far&type=Raven")
            assert one["RavenConnectionStrings"]["far"]["Database"] == "none"

    run(main())


async def conflict(api: Any, count: int = 1) -> None:
    """users/1 and so on in conflict in "copy": both databases make them, then one replicates to the other."""
    await done(api, "PUT", "/admin/databases?name=copy&replicationFactor=1", {"DatabaseName": "copy"})
    for number in range(1, count + 1):
        for db, name in (("db", "John"), ("copy", "Doe")):
            document = {"Name": name, "@metadata": {"@collection": "Users"}}
            await done(api, "PUT", f"/databases/{db}/docs?id=users/{number}", document)
    await replicate(api)

    async def met() -> bool:
        return int((await done(api, "GET", CONFLICTS.replace("/db/", "/copy/")))["TotalResults"]) == count

    await until(met)


def test_a_conflict_is_shown_and_ended_by_a_write(run, open_api) -> None:
    """Loading says so; the page of conflicts has both versions; whoever saves ends it."""

    async def main() -> None:
        async with open_api() as api:
            await conflict(api)
            answer = await api.call("GET", "/databases/copy/docs?id=users/1")
            assert answer.status == 409 and b"DocumentConflictException" in answer.body
            page = await done(api, "GET", f"{CONFLICTS.replace('/db/', '/copy/')}?docId=users/1")
            assert sorted(each["Doc"]["Name"] for each in page["Results"]) == ["Doe", "John"]
            assert page["LargestEtag"] == max(each["Etag"] for each in page["Results"])
            listed = await done(api, "GET", CONFLICTS.replace("/db/", "/copy/"))
            assert [(each["Id"], each["ConflictsPerDocument"]) for each in listed["Results"]] == [("users/1", 2)]
            stats = await done(api, "GET", "/databases/copy/stats")
            assert (stats["CountOfDocumentsConflicts"], stats["CountOfDocuments"]) == (1, 0)
            await done(api, "PUT", "/databases/copy/docs?id=users/1", {"Name": "Both"})
            found = await done(api, "GET", "/databases/copy/docs?id=users/1")
            assert found["Results"][0]["Name"] == "Both"
            assert (await done(api, "GET", CONFLICTS.replace("/db/", "/copy/")))["TotalResults"] == 0

    run(main())


def test_an_included_document_in_conflict_says_so(run, open_api) -> None:
    """A query that includes a document in conflict answers, with its id and that it is in conflict."""

    async def main() -> None:
        async with open_api() as api:
            await conflict(api)
            order = {"User": "users/1", "@metadata": {"@collection": "Orders"}}
            await done(api, "PUT", "/databases/copy/docs?id=orders/1", order)
            query = {"Query": "from Orders include User"}
            found = await done(api, "POST", "/databases/copy/queries", query)
            assert found["Includes"] == {"users/1": {"@metadata": {"@id": "users/1", "@conflict": True}}}

    run(main())


def test_conflicts_are_listed_a_page_at_a_time(run, open_api, monkeypatch) -> None:
    """Pages come in order of the ids, whatever number is read at once."""

    async def main() -> None:
        async with open_api() as api:
            await conflict(api, 7)
            monkeypatch.setattr(limits, "CONFLICTS_STEP", 3)
            for query, numbers in (("", range(1, 8)), ("?start=4", range(5, 8)), ("?start=2&pageSize=4", range(3, 7)),
                                   ("?pageSize=0", range(0)), ("?start=7", range(0))):  # fmt: skip
                listed = await done(api, "GET", CONFLICTS.replace("/db/", "/copy/") + query)
                assert [each["Id"] for each in listed["Results"]] == [f"users/{number}" for number in numbers], query
                assert listed["TotalResults"] == 7

    run(main())


def test_rules_end_conflicts_that_are_there_already(run, open_api) -> None:
    """A script is checked when it is set, then merges what waits for it."""

    async def main() -> None:
        async with open_api() as api:
            await conflict(api)
            solver = SOLVER.replace("=db", "=copy")
            bad = await api.call("POST", solver, {"ResolveByCollection": {"Users": {"Script": "return a b;"}}})
            assert b"JavaScriptException" in bad.body and b"line 1" in bad.body
            nothing = await api.call("POST", solver, {"ResolveByCollection": {"Users": {}}})
            assert nothing.status == 400 and b"'Script'" in nothing.body
            script = "docs[0].Name = docs.map(d => d.Name).sort().join(' and '); return docs[0];"
            await done(api, "POST", solver, {"ResolveByCollection": {"Users": {"Script": script}}})

            async def merged() -> bool:
                answer = await api.call("GET", "/databases/copy/docs?id=users/1")
                return answer.status == 200 and b"Doe and John" in answer.body

            await until(merged)
            shown = await done(api, "GET", "/databases/copy/replication/conflicts/solver")
            assert shown["ResolveByCollection"]["Users"]["Script"] == script and shown["Failures"] == {}
            found = await done(api, "GET", "/databases/copy/docs?id=users/1")
            assert found["Results"][0]["@metadata"]["@collection"] == "Users"

    run(main())


def test_the_latest_wins_where_the_record_says_so(run, open_api) -> None:
    """A database that is made with ResolveToLatest keeps no conflicts."""

    async def main() -> None:
        async with open_api() as api:
            record = {"DatabaseName": "copy", "ConflictSolverConfig": {"ResolveToLatest": True}}
            await done(api, "PUT", "/admin/databases?name=copy&replicationFactor=1", record)
            await done(api, "PUT", "/databases/copy/docs?id=users/1", {"Name": "Doe"})
            await asyncio.sleep(0.01)
            await done(api, "PUT", "/databases/db/docs?id=users/1", {"Name": "John"})
            await replicate(api)

            async def won() -> bool:
                answer = await api.call("GET", "/databases/copy/docs?id=users/1")
                return answer.status == 200 and b"John" in answer.body

            await until(won)
            assert (await done(api, "GET", CONFLICTS.replace("/db/", "/copy/")))["TotalResults"] == 0

    run(main())


def test_a_save_that_asks_for_more_replicas_than_there_are_is_kept(run, open_api) -> None:
    """The error says how many confirmed; the document is there; who does not want an error gets none."""

    async def main() -> None:
        async with open_api() as api:
            batch = {"Commands": [{"Type": "PUT", "Id": "users/1", "Document": {"n": 1}}]}
            target = "/databases/db/bulk_docs?waitForReplicasTimeout=00:00:01&numberOfReplicasToWaitFor="
            refused = await api.call("POST", f"{target}1", batch)
            assert refused.status == 408 and b"Could not verify that etag" in refused.body
            assert (await done(api, "GET", "/databases/db/docs?id=users/1"))["Results"][0]["n"] == 1
            kept = await api.call("POST", f"{target}1&throwOnTimeoutInWaitForReplicas=false", batch)
            assert kept.status == 201
            assert (await api.call("POST", f"{target}majority", batch)).status == 201

    run(main())

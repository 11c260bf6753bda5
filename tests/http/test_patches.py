"""Patches over HTTP: by id, in batches, by JSON Patch; their statuses, and what happens when many meet."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from pynori.js.engine import ScriptLimits

DOCS = "/databases/db/docs?id="
BATCH = "/databases/db/bulk_docs"


def patch(script: str, values: Any = None, if_missing: str | None = None) -> dict[str, Any]:
    missing = None if if_missing is None else {"Script": if_missing, "Values": values}
    return {"Patch": {"Script": script, "Values": values}, "PatchIfMissing": missing}


def command(id: str, script: str, **more: Any) -> dict[str, Any]:
    return {"Type": "PATCH", "Id": id, "ChangeVector": None, **patch(script), **more}


async def put(api: Any, id: str, document: Any) -> str:
    return (await api.json("PUT", DOCS + id, document, 201))["ChangeVector"]


async def get(api: Any, id: str) -> Any:
    return (await api.json("GET", DOCS + id))["Results"][0]


def test_statuses_of_one_patch(run, open_api) -> None:
    """Patched, NotModified, Created and the missing document, with the document as it is afterwards."""

    async def main() -> None:
        async with open_api() as api:
            before = await put(api, "users/1", {"n": 1, "@metadata": {"@collection": "Users"}})
            answer = await api.json("PATCH", DOCS + "users/1", patch("this.n += args.by + $by", {"by": 2}))
            assert answer["Status"] == "Patched" and answer["Collection"] == "Users"
            assert answer["ChangeVector"] != before and answer["LastModified"].endswith("Z")
            assert answer["ModifiedDocument"] == await get(api, "users/1")
            assert answer["ModifiedDocument"]["n"] == 5
            same = await api.json("PATCH", DOCS + "USERS/1", patch("this.n = 5.0"))
            assert (same["Status"], same["ChangeVector"]) == ("NotModified", answer["ChangeVector"])
            assert same["ModifiedDocument"] == answer["ModifiedDocument"]
            assert (await api.call("PATCH", DOCS + "users/2", patch("this.n = 1"))).status == 404
            made = await api.json(
                "PATCH", DOCS + "users/2",
                patch("throw 1", {"n": 7},
                      "this.n = args.n; this.own = id(this); getMetadata(this)['@collection'] = 'Q'"),
                201,
            )  # fmt: skip
            assert made["Status"] == "Created" and made["Collection"] == "Q"
            assert (await get(api, "users/2"))["n"] == 7 and made["ModifiedDocument"]["own"] == "users/2"

    run(main())


def test_test_and_debug(run, open_api) -> None:
    """`test` writes nothing and says all, `debug` writes and says all."""

    async def main() -> None:
        async with open_api() as api:
            await put(api, "a", {"n": 1})
            script = "output('n', this.n); put('b', {m: load('c')}); del('d'); this.n++"
            for form, n in (("test", 1), ("debug", 2)):
                answer = await api.json("PATCH", f"{DOCS}a&{form}=true", patch(script))
                assert (answer["OriginalDocument"]["n"], answer["ModifiedDocument"]["n"]) == (1, 2)
                assert answer["Debug"]["Info"] == ["n 1"]
                actions = answer["Debug"]["Actions"]
                assert actions["LoadDocument"] == ["c"] and actions["DeleteDocument"] == ["d"]
                assert actions["PutDocument"] == [{"Id": "b", "Data": {"m": None}}]
                assert (await get(api, "a"))["n"] == n
                assert (await api.call("GET", DOCS + "b")).status == (404 if form == "test" else 200)

    run(main())


def test_change_vectors(run, open_api) -> None:
    """An expected change vector that is not the current one refuses the patch, or skips it on request."""

    async def main() -> None:
        async with open_api() as api:
            old = await put(api, "a", {"n": 1})
            new = await put(api, "a", {"n": 2})
            refused = await api.call("PATCH", DOCS + "a", patch("this.n++"), if_match=f'"{old}"')
            assert refused.status == 409
            body = json.loads(refused.body)
            assert body["Type"].endswith("ConcurrencyException") and old in body["Message"] and new in body["Message"]
            skipped = f"{DOCS}a&skipPatchIfChangeVectorMismatch=true"
            assert (await api.call("PATCH", skipped, patch("this.n++"), if_match=f'"{old}"')).status == 304
            taken = await api.json("PATCH", skipped, patch("this.n++"), if_match=f'"{new}"')
            assert taken["ModifiedDocument"]["n"] == 3

    run(main())


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        (patch("this.x.y = 1"), 500, "JavaScriptException"),
        (patch("this.x ="), 500, "JavaScriptException"),
        (patch("throw 'why not'"), 500, "JavaScriptException"),
        (patch("this.f = () => 1; put(5, {})"), 500, "JavaScriptException"),
        (patch("put('a|', {})"), 400, "ArgumentException"),
        (patch("del('')"), 400, "ArgumentException"),
        (patch(" "), 400, "ArgumentException"),
        ({"Patch": None}, 400, "ArgumentException"),
        ({}, 400, "ArgumentException"),
        ({"Patch": {"Script": "1", "Values": [1]}}, 400, "ArgumentException"),
        (b'{"Patch": {"Script": "1", "Values": {"a": 01}}}', 400, "InvalidDataException"),
        (b'{"Patch":', 400, "InvalidDataException"),
    ],
)
def test_refusals(run, open_api, body: Any, status: int, name: str) -> None:
    """What cannot be done is said by name, and nothing is written."""

    async def main() -> None:
        async with open_api() as api:
            await put(api, "a", {"n": 1})
            answer = await api.call("PATCH", DOCS + "a", body)
            assert (answer.status, json.loads(answer.body)["Type"].rpartition(".")[2]) == (status, name), answer.body
            assert (await get(api, "a"))["n"] == 1

    run(main())


def test_batch(run, open_api) -> None:
    """Patches of a batch see what the commands before them change, and have their results in order."""

    async def main() -> None:
        async with open_api() as api:
            await put(api, "a", {"n": 1})
            commands = [
                {"Type": "PUT", "Id": "b", "Document": {"n": 10, "@metadata": {"@collection": "Bs"}}},
                command("b", "this.n += load('a').n"),
                command("a", "this.n = load('B').n * 2; put('c', {by: id(this)})", ReturnDocument=True),
                command("a", "this.n = this.n"),
                command("c", "this.n = 1"),
                {"Type": "DELETE", "Id": "b"},
                command("b", "this.n = 0"),
                command("new", "this.n++", PatchIfMissing={"Script": "this.n = 100"}),
                command("made", "this.n++", CreateIfMissing={"n": 7, "@metadata": {"@collection": "M"}}),
                command("made", "this.n++", CreateIfMissing={"n": 7}),
                {"Type": "BatchPATCH", "Ids": [{"Id": "a"}, {"Id": "zz"}], **patch("this.batch = true")},
            ]
            answer = await api.json("POST", BATCH, {"Commands": commands}, 201)
            results = answer["Results"]
            assert [result.get("PatchStatus") or result["Type"] for result in results] == [
                "PUT", "Patched", "Patched", "NotModified", "Patched", "DELETE", "DocumentDoesNotExist", "Created",
                "Created", "Patched", "Patched", "DocumentDoesNotExist",
            ]  # fmt: skip
            assert results[2]["ModifiedDocument"]["n"] == 22 and "ModifiedDocument" not in results[1]
            assert results[10]["Type"] == "BatchPATCH"
            a, c, made = await get(api, "a"), await get(api, "c"), await get(api, "made")
            assert (a["n"], a["batch"], c["n"], c["by"], made["n"]) == (22, True, 1, "a", 8)
            assert results[10]["ChangeVector"] == a["@metadata"]["@change-vector"]
            assert (await api.call("GET", DOCS + "b")).status == 404

    run(main())


def test_batch_is_all_or_nothing(run, open_api) -> None:
    """A script that fails, or a command that is refused, takes the whole batch with it."""

    async def main() -> None:
        async with open_api() as api:
            vector = await put(api, "a", {"n": 1})
            for bad, status in (
                (command("a", "throw 1"), 500),
                (command("a", "this.n = 2", ChangeVector=vector), 409),  # changed by the same batch
                ({"Type": "PUT", "Id": "b", "Document": {}, "ChangeVector": vector}, 409),
                ({"Type": "PUT", "Id": "b"}, 400),
                ({"Type": "PATCH", "Id": "a"}, 400),
                ({"Type": "PATCH", **patch("1")}, 400),
            ):
                commands = [command("a", "this.n++"), bad]
                assert (await api.call("POST", BATCH, {"Commands": commands})).status == status, bad
            assert (await get(api, "a"))["n"] == 1

    run(main())


def test_many_patches_of_one_document(run, open_api) -> None:
    """Patches that meet at one document all count, among puts of others and failures of some."""

    async def main() -> None:
        async with open_api() as api:
            await put(api, "a", {"n": 0, "by": {}})

            async def one(k: int) -> int:
                if k % 10 == 9:
                    return (await api.call("PATCH", DOCS + "a", patch("this.n++; throw 1"))).status
                if k % 10 == 8:
                    return (await api.call("PUT", f"{DOCS}other/{k}", {"k": k})).status
                script = "this.n++; this.by[args.k] = 1; put('seen/' + args.k, {n: this.n})"
                return (await api.call("PATCH", DOCS + "a", patch(script, {"k": k}))).status

            statuses = await asyncio.gather(*(one(k) for k in range(200)))
            assert [statuses.count(status) for status in (200, 201, 500)] == [160, 20, 20]
            document = await get(api, "a")
            assert document["n"] == 160 and len(document["by"]) == 160
            seen = [(await get(api, f"seen/{k}"))["n"] for k in range(200) if k % 10 < 8]
            assert sorted(seen) == list(range(1, 161))

    run(main())


def test_a_document_that_moves_while_it_is_patched(run, open_api) -> None:
    """Puts between the reading and the writing of a patch make it run again over what they left."""

    async def main() -> None:
        async with open_api() as api:
            database = api.server.databases.find("db").database
            await put(api, "a", {"n": 0})
            for k in range(50):
                patched = asyncio.ensure_future(api.json("PATCH", DOCS + "a", patch("this.n++; this.seen = this.put")))
                for _ in range(k % 5):
                    await asyncio.sleep(0)
                waiting = [database.put("a", b'{"n":%d,"put":%d}' % (k * 10, k)) for _ in range(3)]
                answer = await patched
                await asyncio.gather(*waiting)
                document = answer["ModifiedDocument"]
                assert document["n"] % 10 == 1 and document.get("seen") == document.get("put"), (k, document)
                stored = await get(api, "a")
                assert stored["n"] in (k * 10, k * 10 + 1)

    run(main())


def test_a_loaded_document_that_moves(run, open_api) -> None:
    """What a patch takes from another document is what that document held when the patch was written."""

    async def main() -> None:
        async with open_api() as api:
            database = api.server.databases.find("db").database
            puts = [await database.put("b", b'{"n":0}')]
            await put(api, "a", {})
            for k in range(60):
                script = "const b = load('b'); this.n = b.n; load('gone/' + args.k); load('odd/'); load('odd|')"
                patched = asyncio.ensure_future(api.json("PATCH", DOCS + "a", patch(script, {"k": k})))
                for _ in range(k % 6):
                    await asyncio.sleep(0)
                waiting = [database.put("b", b'{"n":%d}' % (10 * k + step)) for step in range(3)]
                answer = await patched
                results = await asyncio.gather(*waiting)
                etag = int(answer["ChangeVector"].partition("-")[0][2:])
                versions = [(one.etag, 10 * k + step) for step, one in enumerate(results)]
                puts = [(0, 10 * k - 8), *versions] if k else [(0, 0), *versions]
                assert answer["ModifiedDocument"]["n"] == max(one for one in puts if one[0] < etag)[1], k

    run(main())


def test_long_scripts_leave_the_server_alone(run, open_api) -> None:
    """A script that takes long runs in a child: others are answered meanwhile, and it gets its answer or its end."""

    async def main() -> None:
        async with open_api() as api:
            await put(api, "a", {"n": 0})
            api.server.scripts.workers.limits = ScriptLimits(time_ms=400)
            script = "const end = Date.now() + 200; while (Date.now() < end) {} this.n = load('b').n"
            await put(api, "b", {"n": 5})
            slow = asyncio.ensure_future(api.json("PATCH", DOCS + "a", patch(script)))
            endless = asyncio.ensure_future(api.call("PATCH", DOCS + "b", patch("while (true) {}")))
            await asyncio.sleep(0)
            reads = 0
            while not slow.done():
                await get(api, "b")
                reads += 1
            assert (await slow)["ModifiedDocument"]["n"] == 5 and reads > 20
            refused = await endless
            assert refused.status == 500 and "longer than it may" in json.loads(refused.body)["Message"]
            metrics = (await api.call("GET", "/metrics")).body.decode()
            assert 'pynori_patches_long_total{database="db"} 2.0' in metrics

    run(main())


def test_own_document_deleted_and_ids_made(run, open_api) -> None:
    """A script may delete its own document, and put others whose ids the server makes."""

    async def main() -> None:
        async with open_api() as api:
            await put(api, "a", {"n": 1})
            script = "this.n = 2; put('logs/', {was: this.n}); del(id(this))"
            answer = await api.json("PATCH", DOCS + "a", patch(script))
            assert answer["Status"] == "Patched" and answer["ModifiedDocument"] is None
            assert (await api.call("GET", DOCS + "a")).status == 404
            (log,) = (await api.json("GET", "/databases/db/docs?startsWith=logs/"))["Results"]
            assert log["was"] == 2 and log["@metadata"]["@id"].endswith("-A")

    run(main())


def test_json_patch(run, open_api) -> None:
    """Operations of RFC 6902 in order, all or nothing, alone and in a batch."""

    async def main() -> None:
        async with open_api() as api:
            await put(api, "a", {"list": [1, 2], "big": 9007199254740993, "o": {"x/y": 1}, "gone": 1})
            operations = [
                {"op": "add", "path": "/list/-", "value": 3},
                {"op": "add", "path": "/list/0", "value": 0},
                {"op": "replace", "path": "/list/1", "value": "one"},
                {"op": "remove", "path": "/gone"},
                {"op": "move", "from": "/o/x~1y", "path": "/o/z"},
                {"op": "copy", "from": "/o", "path": "/p"},
                {"op": "test", "path": "/p/z", "value": 1},
            ]
            answer = await api.json("PATCH", "/databases/db/json-patch?id=a", {"Operations": operations})
            assert answer["Status"] == "Patched"
            document = await get(api, "a")
            assert document.pop("@metadata")
            expected = {"list": [0, "one", 2, 3], "big": 9007199254740993, "o": {"z": 1}, "p": {"z": 1}}
            assert document == expected
            for bad in (
                {"op": "test", "path": "/p/z", "value": True},
                {"op": "replace", "path": "/nothing", "value": 1},
                {"op": "remove", "path": "/list/9"},
                {"op": "remove", "path": "/list/01"},
                {"op": "add", "path": "/a/b", "value": 1},
                {"op": "add", "path": "", "value": 1},
                {"op": "move", "from": "/o", "path": "/o/q"},
                {"op": "add", "path": "x", "value": 1},
                {"op": "add", "path": "/x"},
                {"op": "jump", "path": "/x"},
            ):
                body = {"Operations": [{"op": "add", "path": "/tried", "value": 1}, bad]}
                assert (await api.call("PATCH", "/databases/db/json-patch?id=a", body)).status == 400, bad
            assert "tried" not in await get(api, "a")
            commands = [
                {"Type": "JsonPatch", "Id": "a", "JsonPatch": {"Operations": operations[:1]}, "ReturnDocument": True},
                {"Type": "JsonPatch", "Id": "none", "JsonPatch": {"Operations": operations[:1]}},
            ]
            first, second = (await api.json("POST", BATCH, {"Commands": commands}, 201))["Results"]
            assert first["PatchStatus"] == "Patched" and first["ModifiedDocument"]["list"][-1] == 3
            assert (second["Type"], second["PatchStatus"]) == ("JsonPatch", "DocumentDoesNotExist")

    run(main())

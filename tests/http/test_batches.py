"""Batches and multi-gets: results in order, all or nothing, unknown commands named."""

from __future__ import annotations

import json


def put(id: str | None, name: str, change_vector: str | None = None) -> dict[str, object]:
    document = {"Name": name, "@metadata": {"@collection": "Users"}}
    return {"Id": id, "ChangeVector": change_vector, "Type": "PUT", "Document": document}


def test_results_in_order(run, open_api) -> None:
    """Each command has its result at its place, in the shape of its kind."""

    async def main() -> None:
        async with open_api() as api:
            await api.json("PUT", "/databases/db/docs?id=users/9", {"a": 1}, 201)
            commands = [
                put("users/1", "ada"),
                {"Id": "users/9", "ChangeVector": None, "Type": "DELETE"},
                put("users/", "bob"),
                put("users|", "cy"),
                put(None, "di"),
                {"Id": "users/8", "Type": "DELETE"},
            ]
            answer = await api.json("POST", "/databases/db/bulk_docs??&waitForIndexes=1", {"Commands": commands}, 201)
            results = answer["Results"]
            assert [result["Type"] for result in results] == ["PUT", "DELETE", "PUT", "PUT", "PUT", "DELETE"]
            assert results[0]["@id"] == "users/1" and results[0]["@collection"] == "Users"
            assert results[0]["@change-vector"] and results[0]["@last-modified"].endswith("Z")
            assert (results[1]["Id"], results[1]["Deleted"], results[5]["Deleted"]) == ("users/9", True, False)
            assert results[2]["@id"].endswith("-A") and results[3]["@id"] == "users/1"
            listed = await api.json("GET", "/databases/db/docs")
            assert len(listed["Results"]) == 3, "the identity's users/1 is the document that was put first"

    run(main())


def test_all_or_nothing(run, open_api) -> None:
    """One command that fails takes the whole batch with it."""

    async def main() -> None:
        async with open_api() as api:
            for bad in (
                put("users/2", "x", "A:99-nothing"),
                {"Type": "CompareExchangePUT", "Id": "users/1"},
                {"Type": None},
                {"Type": "PUT", "Id": "users/2"},
                {"Type": "DELETE"},
            ):
                answer = await api.call("POST", "/databases/db/bulk_docs", {"Commands": [put("users/1", "a"), bad]})
                assert answer.status in (400, 409), bad
                assert (await api.call("GET", "/databases/db/docs?id=users/1")).status == 404
            answer = await api.call("POST", "/databases/db/bulk_docs", {"Commands": [{"Type": "Leap", "Id": "a"}]})
            assert "'Leap'" in json.loads(answer.body)["Message"]

    run(main())


def test_bodies_that_are_no_batches(run, open_api) -> None:
    """What has not the form of a batch is refused with what is wrong."""

    async def main() -> None:
        async with open_api() as api:
            bodies = (b"", b"{", b"[]", b'{"Commands":1}', b'{"Commands":[1]}', b'{"Commands":[{"Type":"PUT","Id":5}]}')
            for body in (*bodies, b'{"Commands":' + b"[" * 100_000, b'{"Commands":[],"TransactionMode":"Everywhere"}'):
                assert (await api.call("POST", "/databases/db/bulk_docs", body)).status == 400, body[:50]
            assert await api.json("POST", "/databases/db/bulk_docs", {"Commands": []}, 201) == {"Results": []}

    run(main())


def test_multi_get(run, open_api) -> None:
    """Inner requests have their own status, headers and failures; the outer one is a success."""

    async def main() -> None:
        async with open_api() as api:
            written = await api.json("PUT", "/databases/db/docs?id=users/1", {"Name": "ada"}, 201)
            etag = f'"{written["ChangeVector"]}"'
            url = "/databases/db/docs"
            requests = [
                {"Url": url, "Query": "?&id=users%2F1", "Method": None, "Headers": {}},
                {"Url": url, "Query": "?&id=users/2", "Method": "GET"},
                {"Url": url, "Query": "?id=users/1", "Headers": {"If-None-Match": etag}},
                {"Url": url, "Method": "POST", "Content": {"Ids": ["users/1"]}},
                {"Url": url, "Method": "POST", "Content": '{"Ids":["users/1"]}'},
                {"Url": "/databases/db/nothing", "Method": "GET"},
                {"Url": "/databases/db/streams/docs"},
                {"Url": url, "Query": "startsWith=users/&pageSize=2147483647"},
                {"Url": "/databases/db/bulk_insert", "Method": "POST"},
                {"Url": "/databases/other/docs", "Query": "?id=1"},
                {"Url": "/databases/db/multi_get", "Method": "POST", "Content": {"Requests": []}},
                {"Url": None},
                {"Url": url, "Query": "?&id=users/2", "Headers": {"If-None-Match": '"404 Response"'}},
            ]
            answer = await api.json("POST", "/databases/db/multi_get", {"Requests": requests})
            results = answer["Results"]
            expected = [200, 404, 304, 200, 200, 400, 200, 200, 400, 400, 400, 400, 404]
            assert [r["StatusCode"] for r in results] == expected
            assert results[0]["Result"]["Results"][0]["Name"] == "ada"
            assert results[0]["Headers"]["ETag"] == etag
            assert results[1]["Result"] == {"Results": [None], "Includes": {}} and results[2]["Result"] is None
            assert results[12]["Result"] == results[1]["Result"]
            assert results[6]["Result"]["Results"] == results[7]["Result"]["Results"] == results[0]["Result"]["Results"]
            assert results[5]["Result"]["Type"].endswith("RouteNotFoundException")

    run(main())

"""Documents over HTTP: reads, writes, conditions, 304, listings, streams; the short cuts give the same answers."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

import pytest


def user(name: str) -> dict[str, object]:
    return {"Name": name, "@metadata": {"@collection": "Users"}}


def test_a_document_from_birth_to_death(run, open_api) -> None:
    """Put, get, head, update on condition, delete, and what the answers carry."""

    async def main() -> None:
        async with open_api() as api:
            docs = "/databases/db/docs?id="
            written = await api.json("PUT", docs + "users/1", user("ada"), 201)
            assert written["Id"] == "users/1" and written["ChangeVector"].startswith("A:1-")
            answer = await api.call("GET", docs + "USERS%2F1")
            (found,) = json.loads(answer.body)["Results"]
            assert answer.fields["etag"] == f'"{written["ChangeVector"]}"'
            assert found["Name"] == "ada"
            assert found["@metadata"]["@id"] == "users/1"
            assert found["@metadata"]["@change-vector"] == written["ChangeVector"]
            head = await api.call("GET", docs + "users/1", if_none_match=answer.fields["etag"])
            assert (head.status, head.body) == (304, b"")
            stale = await api.call("PUT", docs + "users/1", user("eve"), if_match='"A:77-x"')
            assert stale.status == 409
            assert json.loads(stale.body)["Type"].endswith("ConcurrencyException")
            assert "change vector A:77-x" in json.loads(stale.body)["Message"]
            await api.json("PUT", docs + "users/1", user("bob"), 201, if_match=f'"{written["ChangeVector"]}"')
            assert (await api.call("PUT", docs + "users/1", user("x"), if_match='""')).status == 409
            assert (await api.call("DELETE", docs + "users/1")).status == 204
            assert (await api.call("DELETE", docs + "users/1")).status == 204
            gone = await api.call("GET", docs + "users/1")
            assert (gone.status, gone.body) == (404, b"")

    run(main())


def test_missing_documents(run, open_api) -> None:
    """One missing id is 404, or 304 for a client that knows; among several it is null in its place."""

    async def main() -> None:
        async with open_api() as api:
            await api.json("PUT", "/databases/db/docs?id=users/1", user("ada"), 201)
            missing = await api.call("GET", "/databases/db/docs?id=users/2", if_none_match='"404 Response"')
            assert missing.status == 304
            both = await api.json("GET", "/databases/db/docs?&id=users/2&id=users/1")
            assert both["Results"][0] is None and both["Results"][1]["Name"] == "ada"
            assert both["Includes"] == {}
            posted = await api.json("POST", "/databases/db/docs?loadHash=1", {"Ids": ["users/1", "users/2"]})
            assert [entry and entry["Name"] for entry in posted["Results"]] == ["ada", None]

    run(main())


def test_ids_that_the_server_makes(run, open_api) -> None:
    """users/ gets a number and the node's tag, users| the next identity, no id a GUID."""

    async def main() -> None:
        async with open_api() as api:
            docs = "/databases/db/docs?id="
            numbered = (await api.json("PUT", docs + "users/", user("a"), 201))["Id"]
            assert numbered.startswith("users/0000000000") and numbered.endswith("-A")
            assert (await api.json("PUT", docs + "users|", user("b"), 201))["Id"] == "users/1"
            assert (await api.json("PUT", docs + "users|", user("c"), 201))["Id"] == "users/2"
            assert len((await api.json("PUT", docs, user("d"), 201))["Id"]) >= 16

    run(main())


def test_bad_documents(run, open_api) -> None:
    """A body that is no JSON object is refused, and nothing is written."""

    async def main() -> None:
        async with open_api() as api:
            for body in (b"", b"{", b"nope", b'{"a":1} x'):
                answer = await api.call("PUT", "/databases/db/docs?id=users/1", body)
                assert answer.status == 400, body
            assert (await api.call("PUT", "/databases/db/docs", user("x"))).status == 400
            assert (await api.call("GET", "/databases/db/docs?id=users/1")).status == 404

    run(main())


def test_unknown_databases(run, open_api) -> None:
    """503 with Database-Missing, for 404 would mean "null"; names match in any letter case."""

    async def main() -> None:
        async with open_api() as api:
            answer = await api.call("GET", "/databases/nowhere/docs?id=users/1")
            assert (answer.status, answer.fields["database-missing"]) == (503, "nowhere")
            assert json.loads(answer.body)["Type"].endswith("DatabaseDoesNotExistException")
            assert (await api.call("GET", "/databases/DB/docs?id=users/1")).status == 404

    run(main())


def test_listings_and_streams(run, open_api) -> None:
    """By prefix in the order of ids, the newest first, and as a stream in both forms."""

    async def main() -> None:
        async with open_api() as api:
            for number in (3, 1, 2):
                await api.json("PUT", f"/databases/db/docs?id=users/{number}", user(str(number)), 201)
            await api.json("PUT", "/databases/db/docs?id=zebras/1", user("z"), 201)
            listed = await api.json("GET", "/databases/db/docs?startsWith=users/&pageSize=2")
            assert [entry["Name"] for entry in listed["Results"]] == ["1", "2"]
            recent = await api.json("GET", "/databases/db/docs?start=0&pageSize=2")
            assert [entry["Name"] for entry in recent["Results"]] == ["z", "2"]
            lines = await api.call("GET", "/databases/db/streams/docs?format=jsonl&startsWith=users/")
            assert [json.loads(line)["Name"] for line in lines.body.splitlines()] == ["1", "2", "3"]
            whole = await api.json("GET", "/databases/db/streams/docs?startsWith=users/&start=1")
            assert [entry["Name"] for entry in whole["Results"]] == ["2", "3"]
            assert await api.json("GET", "/databases/db/streams/docs?startsWith=nobody") == {"Results": []}
            everything = await api.call("GET", "/databases/db/docs?startsWith=users/&pageSize=2147483647")
            assert everything.fields["transfer-encoding"] == "chunked" and everything.fields["etag"]
            assert [entry["Name"] for entry in json.loads(everything.body)["Results"]] == ["1", "2", "3"]

    run(main())


@pytest.mark.parametrize("more", ["", 'Topology-Etag: "2"\r\nClient-Configuration-Etag: "None"\r\n'])
def test_short_cuts_answer_as_the_whole_way_does(run, open_api, more: str) -> None:
    """The same requests, repeated on one connection or each on its own, get the same status, body and etag."""

    async def main() -> None:
        async with open_api() as api:
            ids = ["users/1", "users/2", "users/1", "missing", "ü", "a b", "users/1", "odd|id", "K", "k", "users/2"]
            for index, id in enumerate(["users/1", "users/2", "ü", "a b", "\u212a"]):
                body = user(f"n{index}")
                answer = await api.call("PUT", f"/databases/db/docs?id={quote(id)}", body)
                assert answer.status == 201
            reader, writer = await api.door.connect()
            for id in ids * 2:
                target = f"/databases/db/docs?id={quote(id, safe='/')}"
                writer.write(f"GET {target} HTTP/1.1\r\nHost: node:8080\r\n{more}\r\n".encode())
                received = b""
                while not api.door.parse_whole(received):
                    received += await asyncio.wait_for(reader.read(65536), 2)
                (repeated,) = api.door.parse_whole(received)
                alone = await api.call("GET", target)
                assert (repeated.status, repeated.body) == (alone.status, alone.body), id
                assert repeated.fields.get("etag") == alone.fields.get("etag")
            writer.close()

    run(main())


def test_repeated_writes(run, open_api) -> None:
    """Writes on one connection are each answered with their own id and change vector, failures included."""

    async def main() -> None:
        async with open_api() as api:
            reader, writer = await api.door.connect()

            async def put(target: str, body: bytes):
                head = f"PUT /databases/db/docs?id={target} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                received = b""
                while not api.door.parse_whole(received):
                    received += await asyncio.wait_for(reader.read(65536), 2)
                (answer,) = api.door.parse_whole(received)
                return answer.status, json.loads(answer.body)

            vectors = set()
            for number in range(20):
                status, result = await put(f"users/{number % 5}", b'{"n":%02d}' % (number + 10))
                assert (status, result["Id"]) == (201, f"users/{number % 5}")
                vectors.add(result["ChangeVector"])
            assert len(vectors) == 20
            status, result = await put("users/1", b'{"n":xx}')
            assert status == 400 and result["Url"] == "/databases/db/docs?id=users/1"
            status, result = await put("counted/", b'{"n":10}')
            assert status == 201 and result["Id"].startswith("counted/0")
            found = await api.json("GET", "/databases/db/docs?id=users/1")
            assert found["Results"][0]["n"] == 26
            writer.close()
            await asyncio.sleep(0.01)
            text = (await api.call("GET", "/metrics")).body.decode()
            counted = [line for line in text.splitlines() if line.startswith('kv_requests_total{operation="put"}')]
            assert float(counted[0].split(" ")[1]) == 22

    run(main())


def test_short_cuts_end_with_their_database(run, open_api) -> None:
    """A connection that keeps reading and writing meets the deletion of the database, and its successor."""

    async def main() -> None:
        async with open_api() as api:
            reader, writer = await api.door.connect()

            async def ask(method: str, body: bytes) -> int:
                head = f"{method} /databases/db/docs?id=a HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                received = b""
                while not api.door.parse_whole(received):
                    received += await asyncio.wait_for(reader.read(65536), 2)
                return api.door.parse_whole(received)[0].status

            for _ in range(3):
                assert await ask("PUT", b'{"n":1}') == 201
            for _ in range(3):
                assert await ask("GET", b"") == 200
            gone = {"DatabaseNames": ["db"], "HardDelete": True}
            await api.json("DELETE", "/admin/databases", gone)
            assert await ask("GET", b"") == 503
            assert await ask("PUT", b'{"n":1}') == 503
            await api.json("PUT", "/admin/databases?name=db", {"DatabaseName": "db"}, 201)
            assert await ask("GET", b"") == 404
            assert await ask("PUT", b'{"n":1}') == 201
            assert await ask("GET", b"") == 200
            writer.close()

    run(main())

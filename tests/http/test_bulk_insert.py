"""Bulk insert: bodies in any pieces, bodies without an end, steps, unchanged documents, failures that stay readable."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest


def command(id: str, value: object) -> bytes:
    document = {"Value": value, "@metadata": {"@collection": "Items"}}
    return json.dumps({"Id": id, "Type": "PUT", "Document": document}).encode()


def body_of(count: int) -> bytes:
    return b"[" + b",".join(command(f"items/{number}", number) for number in range(count)) + b"]"


def head(target: str, more: str = "") -> bytes:
    return f"POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n{more}\r\n".encode()


def chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


async def count_of(api) -> int:
    return (await api.json("GET", "/databases/db/stats"))["CountOfDocuments"]


@pytest.mark.parametrize("step", [1, 17, 4_000, 1_000_000])
def test_bodies_in_any_pieces(run, open_api, step: int) -> None:
    """All documents arrive wherever the body was cut; the answer has no body, the operation has the counts."""

    async def main() -> None:
        async with open_api() as api:
            id = (await api.json("GET", "/databases/db/operations/next-operation-id"))["Id"]
            body = body_of(300 if step > 1 else 20)
            pieces = [body[at : at + step] for at in range(0, len(body), step)]
            data = head(f"/databases/db/bulk_insert?id={id}") + b"".join(chunk(piece) for piece in (*pieces, b""))
            (answer,) = await api.door.ask(data)
            assert (answer.status, answer.body) == (201, b"")
            count = 300 if step > 1 else 20
            assert await count_of(api) == count
            state = await api.json("GET", f"/databases/db/operations/state?id={id}")
            assert state["Status"] == "Completed"
            assert state["Result"]["DocumentsProcessed"] == count

    run(main())


def test_a_body_that_never_ends(run, open_api) -> None:
    """The closing bracket ends the insert: some clients wait for the answer before they end the body."""

    async def main() -> None:
        async with open_api() as api:
            reader, writer = await api.door.connect()
            writer.write(head("/databases/db/bulk_insert") + chunk(body_of(10)))
            (answer,) = api.door.parse(await asyncio.wait_for(reader.read(), 3))
            assert (answer.status, answer.body, answer.fields["connection"]) == (201, b"", "close")
            assert await count_of(api) == 10
            writer.close()

    run(main())


def test_a_connection_that_is_kept(run, open_api) -> None:
    """A body that ends as it should leaves the connection for the next request."""

    async def main() -> None:
        async with open_api() as api:
            request = head("/databases/db/bulk_insert") + chunk(body_of(3)) + chunk(b"")
            answers = await api.door.ask(request + b"GET /build/version HTTP/1.1\r\nHost: a\r\n\r\n")
            assert [answer.status for answer in answers] == [201, 200]

    run(main())


def test_gzip_with_flushes(run, open_api) -> None:
    """One gzip member, flushed by the client as it goes, with the end missing or there."""

    async def main() -> None:
        async with open_api() as api:
            packer = zlib.compressobj(wbits=31)
            body = body_of(50)
            pieces = [packer.compress(body[:700]) + packer.flush(zlib.Z_SYNC_FLUSH), packer.compress(body[700:])]
            pieces.append(packer.flush(zlib.Z_SYNC_FLUSH))
            reader, writer = await api.door.connect()
            more = "Content-Encoding: gzip\r\n"
            writer.write(head("/databases/db/bulk_insert", more) + b"".join(chunk(piece) for piece in pieces if piece))
            (answer,) = api.door.parse(await asyncio.wait_for(reader.read(), 3))
            assert answer.status == 201
            writer.close()
            packed = gzip.compress(body_of(60))
            (answer,) = await api.door.ask(head("/databases/db/bulk_insert", more) + chunk(packed) + chunk(b""))
            assert answer.status == 201
            assert await count_of(api) == 60

    run(main())


def test_heartbeats_and_blanks(run, open_api) -> None:
    """Heartbeats and white space between commands are nothing; an empty array is a success."""

    async def main() -> None:
        async with open_api() as api:
            beat = b'{"Type":"HeartBeat"}'
            body = b" [ " + beat + b" , " + command("a", 1) + b"\n,\r\n" + beat + b" ] \n"
            for text in (body, b"[]", b"[" + beat + b"]"):
                (answer,) = await api.door.ask(head("/databases/db/bulk_insert") + chunk(text) + chunk(b""))
                assert answer.status == 201, text
            assert await count_of(api) == 1

    run(main())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"{}", "expected an array"),
        (b"[1]", "expected an array"),
        (b'[{"Type":"PUT","Id":"x"}]', "'Document'"),
        (b'[{"Type":"Counters","Id":"x"}]', "'Counters'"),
        (b'[{"Type":"AttachmentPUT","Id":"x","Name":"n","ContentLength":3}abc]', "array"),
        (b'[{"Type":"PUT","Id":"x","Document":{"a":1},}]', "not an array of commands"),
        (command("x", 1), "expected an array"),
        (b"[" + command("x", 1) + command("y", 1) + b"]", "comma"),
        (b"[," + command("x", 1) + b"]", "comma"),
        (b"[" + command("x", 1), "closing bracket"),
    ],
)
def test_bodies_that_are_no_bulk_inserts(run, open_api, text: bytes, named: str) -> None:
    """The insert fails with what is wrong, says so to the request, and keeps saying so to those who ask later."""

    async def main() -> None:
        async with open_api() as api:
            (answer,) = await api.door.ask(head("/databases/db/bulk_insert?id=7") + chunk(text) + chunk(b""))
            assert answer.status >= 400
            assert answer.fields["connection"] == "close"
            state = await api.json("GET", "/databases/db/operations/state?id=7")
            assert state["Status"] == "Faulted"
            assert named in state["Result"]["Message"]
            assert state["Result"]["Error"].startswith(state["Result"]["Type"])

    run(main())


def test_what_was_committed_stays(run, open_api) -> None:
    """A client that goes away half-way leaves a prefix and a faulted operation."""

    async def main() -> None:
        async with open_api() as api:
            body = body_of(20_000)
            _, writer = await api.door.connect()
            writer.write(head("/databases/db/bulk_insert?id=3") + chunk(body[: len(body) // 2]))
            await writer.drain()
            await asyncio.sleep(0.3)
            writer.transport.abort()
            for _ in range(300):
                state = await api.json("GET", "/databases/db/operations/state?id=3")
                if state["Status"] != "InProgress":
                    break
                await asyncio.sleep(0.01)
            assert state["Status"] == "Faulted"
            assert state["Result"]["Type"].endswith("BulkInsertAbortedException")
            count = await count_of(api)
            assert 0 < count < 20_000
            listed = await api.json("GET", "/databases/db/docs?id=items/0")
            assert listed["Results"][0]["Value"] == 0
            assert (await api.call("GET", f"/databases/db/docs?id=items/{count}")).status == 404

    run(main())


def test_killing(run, open_api) -> None:
    """An operation that is killed ends, also while its client says nothing."""

    async def main() -> None:
        async with open_api() as api:
            reader, writer = await api.door.connect()
            writer.write(head("/databases/db/bulk_insert?id=5") + chunk(b"[" + command("a", 1) + b","))
            await asyncio.sleep(0.05)
            assert (await api.call("POST", "/databases/db/operations/kill?id=5")).status == 204
            (answer,) = api.door.parse(await asyncio.wait_for(reader.read(), 3))
            assert answer.status >= 400
            state = await api.json("GET", "/databases/db/operations/state?id=5")
            assert state["Status"] == "Canceled"
            assert (await api.call("POST", "/databases/db/operations/kill?id=99")).status >= 400
            writer.close()

    run(main())


def test_unchanged_documents_are_passed_over(run, open_api) -> None:
    """With skipOverwriteIfUnchanged a document that says the same keeps its change vector; 1, 1.0 and true differ."""

    async def main() -> None:
        async with open_api() as api:

            async def insert(*commands: bytes) -> None:
                body = b"[" + b",".join(commands) + b"]"
                target = "/databases/db/bulk_insert?skipOverwriteIfUnchanged=true"
                (answer,) = await api.door.ask(head(target) + chunk(body) + chunk(b""))
                assert answer.status == 201

            async def vector(id: str) -> str:
                answer = await api.call("GET", f"/databases/db/docs?id={id}")
                return answer.fields["etag"]

            await insert(command("a", 1), command("b", 1))
            first = await vector("a"), await vector("b")
            await insert(command("a", 1), command("b", 2))
            assert await vector("a") == first[0]
            assert await vector("b") != first[1]
            for value in (1.0, True, "1", [1], None):
                before = await vector("a")
                await insert(command("a", value))
                assert await vector("a") != before, value
            await insert(command("a", 5))
            await insert(command("a", 6), command("a", 5))
            found = await api.json("GET", "/databases/db/docs?id=a")
            assert found["Results"][0]["Value"] == 5

    run(main())

"""Compare-exchange values and cluster-wide batches over HTTP: who wins, who is told what, and what a restart keeps."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from pynori import limits
from pynori.http.handlers import compare_exchange
from pynori.runtime.clock import wire_time

VALUES = "/databases/db/cmpxchg"
BATCH = "/databases/db/bulk_docs"


def put(id: str, change_vector: str | None = None, **fields: Any) -> dict[str, Any]:
    document = {"@metadata": {"@collection": "Users"}, **fields}
    return {"Type": "PUT", "Id": id, "ChangeVector": change_vector, "Document": document}


def claim(key: str, index: int, value: Any) -> dict[str, Any]:
    return {"Type": "CompareExchangePUT", "Id": key, "Index": index, "Document": {"Object": value}}


def cluster_wide(*commands: dict[str, Any]) -> dict[str, Any]:
    return {"Commands": list(commands), "TransactionMode": "ClusterWide"}


def test_a_value_changes_hands_by_its_index(run, open_api) -> None:
    """Only who names the present index changes a value; everybody else learns what is there. Keys have no case."""

    async def main() -> None:
        async with open_api() as api:
            made = await api.json("PUT", f"{VALUES}?key=names/Ada&index=0", {"Object": {"Owner": 1}})
            assert made["Successful"] and made["Value"] == {"Object": {"Owner": 1}} and made["Index"] > 0
            index = made["Index"]
            lost = await api.json("PUT", f"{VALUES}?key=NAMES/ada&index=0", {"Object": 2})
            assert lost == {"Index": index, "Value": {"Object": {"Owner": 1}}, "Successful": False}
            assert (await api.json("GET", f"{VALUES}?key=names/ada"))["Results"] == [
                {"Key": "names/Ada", "Index": index, "Value": {"Object": {"Owner": 1}}}
            ]
            changed = await api.json("PUT", f"{VALUES}?key=names/ada&index={index}", {"Object": "x", "@metadata": {}})
            assert changed["Successful"] and changed["Index"] > index
            refused = await api.json("DELETE", f"{VALUES}?key=names/ada&index={index}")
            assert not refused["Successful"] and refused["Index"] == changed["Index"]
            gone = await api.json("DELETE", f"{VALUES}?key=names/ada&index={changed['Index']}")
            assert gone["Successful"] and gone["Value"] == {"Object": "x", "@metadata": {}}
            assert (await api.call("GET", f"{VALUES}?key=names/ada")).status == 404
            nothing = await api.json("DELETE", f"{VALUES}?key=names/ada&index=7")
            assert nothing["Successful"] and nothing["Value"] is None

    run(main())


def test_of_many_claims_one_wins(run, open_api) -> None:
    """Fifty claims of one name at the same time: one success, 49 that name the winner."""

    async def main() -> None:
        async with open_api() as api:
            outcomes = await asyncio.gather(
                *(api.json("PUT", f"{VALUES}?key=names/john&index=0", {"Object": n}) for n in range(50))
            )
            (winner,) = [each for each in outcomes if each["Successful"]]
            assert all(each["Value"] == winner["Value"] for each in outcomes)

    run(main())


def test_values_are_listed_by_prefix_in_order(run, open_api, monkeypatch) -> None:
    """Values come by key, a page at a time, and are counted; another database has its own."""

    async def main() -> None:
        async with open_api() as api:
            for number in range(12):
                await api.json("PUT", f"{VALUES}?key=n/{number:02}&index=0", {"Object": number})
            await api.json("PUT", f"{VALUES}?key=other&index=0", {"Object": None})
            page = await api.json("GET", f"{VALUES}?startsWith=N/&start=3&pageSize=4")
            assert [each["Key"] for each in page["Results"]] == ["n/03", "n/04", "n/05", "n/06"]
            both = await api.json("GET", f"{VALUES}?key=n/01&key=none")
            assert [(each["Key"], each["Index"] > 0) for each in both["Results"]] == [("n/01", True), ("none", False)]
            counted = await api.json("GET", "/databases/db/stats/detailed")
            assert counted["CountOfCompareExchange"] == 13
            monkeypatch.setattr(compare_exchange, "LISTED_VALUES_STEP", 5)
            for target, keys in (("", 13), ("n/&start=1", 11), ("n/&pageSize=10", 10), ("n/&pageSize=7&start=4", 7)):
                found = [each["Key"] for each in (await api.json("GET", f"{VALUES}?startsWith={target}"))["Results"]]
                assert len(found) == keys and found == sorted(set(found)), target

    run(main())


def test_what_is_no_value_is_refused(run, open_api) -> None:
    """Keys that are empty or too long, and bodies that are no values, change nothing and say why."""

    async def main() -> None:
        async with open_api() as api:
            for target, body in (
                (f"{VALUES}?key=&index=0", {"Object": 1}),
                (f"{VALUES}?key={'k' * 513}&index=0", {"Object": 1}),
                (f"{VALUES}?key=a&index=-1", {"Object": 1}),
                (f"{VALUES}?key=a&index=0", [1]),
                (f"{VALUES}?key=a&index=0", b'{"Object":'),
            ):
                assert (await api.call("PUT", target, body)).status == 400, target
            answer = await api.call("PUT", f"{VALUES}?key={'k' * 513}&index=0", {"Object": 1})
            assert b"CompareExchangeKeyTooBigException" in answer.body
            assert (await api.json("GET", f"{VALUES}?startsWith="))["Results"] == []

    run(main())


def test_a_cluster_wide_batch_is_all_or_nothing(run, open_api) -> None:
    """Documents and values change together; one claim that fails keeps all of them out, and the answer says which."""

    async def main() -> None:
        async with open_api() as api:
            batch = cluster_wide(put("users/1", Name="ada"), claim("names/ada", 0, "users/1"))
            answer = await api.json("POST", BATCH, batch, 201)
            index = answer["TransactionIndex"]
            first, second = answer["Results"]
            assert (first["@id"], first["@collection"]) == ("users/1", "Users")
            assert first["@change-vector"].startswith("RAFT:1-") and f"TRXN:{index}-" in first["@change-vector"]
            assert second == {"Type": "CompareExchangePUT", "Key": "names/ada", "Index": index}
            rival = cluster_wide(put("users/2", Name="ada"), claim("names/ada", 0, "users/2"))
            failure = await api.json("POST", BATCH, rival, 409)
            assert failure["ConcurrencyViolations"] == [
                {"Id": "names/ada", "Type": "CompareExchange", "Expected": 0, "Actual": index}
            ]
            assert (await api.call("GET", "/databases/db/docs?id=users/2")).status == 404

    run(main())


def test_what_is_asked_for_twice_under_one_id_is_done_once(run, open_api) -> None:
    """A client that lost the answer asks again: it gets the same answer, also when the value has moved on since."""

    async def main() -> None:
        async with open_api() as api:
            first = f"{VALUES}?key=k&index=0&raft-request-id=one"
            stored = await api.json("PUT", first, {"Object": 1})
            other = await api.json("PUT", f"{VALUES}?key=k&index=0&raft-request-id=two", {"Object": 1})
            assert stored["Successful"] and not other["Successful"]
            moved = await api.json("PUT", f"{VALUES}?key=k&index={stored['Index']}&raft-request-id=3", {"Object": 2})
            assert await api.json("PUT", first, {"Object": 1}) == stored
            gone = f"{VALUES}?key=k&index={moved['Index']}&raft-request-id=four"
            deleted = await api.json("DELETE", gone)
            assert deleted["Successful"] and await api.json("DELETE", gone) == deleted
            next_one = "/databases/db/identity/next?name=users&raft-request-id="
            numbers = [await api.json("POST", next_one + id) for id in ("five", "five", "six")]
            assert [each["NewIdentityValue"] for each in numbers] == [1, 1, 2]
            batch = cluster_wide(put("users/1", Name="ada"), claim("names/ada", 0, "users/1"))
            made = await api.json("POST", f"{BATCH}?raft-request-id=seven", batch, 201)
            again = await api.json("POST", f"{BATCH}?raft-request-id=seven", batch, 201)
            assert again["TransactionIndex"] == made["TransactionIndex"] and again["Results"][1] == made["Results"][1]
            for key in ("@id", "@change-vector"):
                assert again["Results"][0][key] == made["Results"][0][key]
            failure = await api.json("POST", BATCH, batch, 409)
            assert failure["ConcurrencyViolations"]
            failure = await api.json("PUT", f"{VALUES}?key=l&index=0&raft-request-id={'x' * 129}", {"Object": 1}, 400)
            assert "REQUEST_ID_SIZE_BYTES_MAX" in failure["Message"]

    run(main())


def test_documents_are_guarded(run, open_api) -> None:
    """Who has not seen the last cluster-wide write of a document cannot replace it; who has, can; a delete ends it."""

    async def main() -> None:
        async with open_api() as api:
            first = (await api.json("POST", BATCH, cluster_wide(put("users/1", n=1)), 201))["Results"][0]
            blind = await api.json("POST", BATCH, cluster_wide(put("users/1", n=2)), 409)
            assert blind["ConcurrencyViolations"][0]["Type"] == "Document"
            await api.json("PUT", "/databases/db/docs?id=users/1", {"n": 3, "@metadata": {"@collection": "Users"}}, 201)
            (loaded,) = (await api.json("GET", "/databases/db/docs?id=users/1"))["Results"]
            seen = loaded["@metadata"]["@change-vector"]
            assert "TRXN:" in seen and seen != first["@change-vector"]
            await api.json("POST", BATCH, cluster_wide(put("users/1", seen, n=4)), 201)
            late = await api.call("POST", BATCH, cluster_wide(put("users/1", seen, n=5)))
            assert late.status == 409
            (loaded,) = (await api.json("GET", "/databases/db/docs?id=users/1"))["Results"]
            assert loaded["n"] == 4
            vector = loaded["@metadata"]["@change-vector"]
            removal = {"Type": "DELETE", "Id": "users/1", "ChangeVector": vector}
            (gone,) = (await api.json("POST", BATCH, cluster_wide(removal), 201))["Results"]
            assert gone["Deleted"]
            await api.json("POST", BATCH, cluster_wide(put("users/1", n=6)), 201)
            unguarded = cluster_wide(put("users/1", n=7))
            await api.json("POST", f"{BATCH}?disableAtomicDocumentWrites=true", unguarded, 201)

    run(main())


def test_what_a_cluster_wide_batch_cannot_hold(run, open_api) -> None:
    """Other commands, made ids, guards named by hand and broken documents are refused before anybody agrees to them."""

    async def main() -> None:
        async with open_api() as api:
            for command in (
                {"Type": "PATCH", "Id": "users/1", "Patch": {"Script": "this.a = 1"}},
                put("users/"),
                put("users|"),
                {"Type": "PUT", "Id": "users/1"},
                {"Type": "DELETE"},
                claim("rvn-atomic/users/1", 0, 1),
                claim("", 0, 1),
                {"Type": "PUT", "Id": "users/1", "Document": [1]},
            ):
                answer = await api.call("POST", BATCH, cluster_wide(put("users/9"), command))
                assert answer.status == 400, command
            assert (await api.call("GET", "/databases/db/docs?id=users/9")).status == 404

    run(main())


def test_a_guard_is_spelt_in_lower_case(run, open_api) -> None:
    """Whoever lists the values finds guards under keys that do not depend on how the ids are spelt."""

    async def main() -> None:
        async with open_api() as api:
            await api.json("POST", BATCH, cluster_wide(put("Users/1-A")), 201)
            (guard,) = (await api.json("GET", f"{VALUES}?startsWith=rvn-atomic"))["Results"]
            assert guard["Key"] == "rvn-atomic/users/1-a" and guard["Value"]["Object"] == {"Id": "Users/1-A"}

    run(main())


def test_values_travel_with_documents_and_queries(run, open_api) -> None:
    """A load and a query bring the values whose keys the documents name, and a query compares with one."""

    async def main() -> None:
        async with open_api() as api:
            await api.json("PUT", f"{VALUES}?key=flags/a&index=0", {"Object": "on"})
            for number, state in enumerate(("on", "off")):
                document = {"Flag": "flags/a", "State": state, "@metadata": {"@collection": "Lamps"}}
                await api.json("PUT", f"/databases/db/docs?id=lamps/{number}", document, 201)
            loaded = await api.json("GET", "/databases/db/docs?id=lamps/0&cmpxchg=Flag")
            assert loaded["CompareExchangeValueIncludes"]["flags/a"]["Value"] == {"Object": "on"}
            for text in (
                "from Lamps where State = cmpxchg('flags/a') include cmpxchg('Flag')",
                "from Lamps as l where l.State = cmpxchg('flags/a') include cmpxchg('l.Flag')",
            ):
                target = "/databases/db/queries"
                found = await api.json("POST", target, {"Query": text, "WaitForNonStaleResults": True})
                assert [each["State"] for each in found["Results"]] == ["on"]
                assert found["CompareExchangeValueIncludes"]["flags/a"]["Value"] == {"Object": "on"}

    run(main())


def test_a_deleted_database_takes_its_values_along(run, open_api) -> None:
    """A database of the same name made again starts without the values of the old one."""

    async def main() -> None:
        async with open_api() as api:
            for number in range(40):
                await api.json("PUT", f"{VALUES}?key=k{number}&index=0", {"Object": number})
            state = api.server.state
            await api.server.databases.delete(["db"], hard=True)
            await api.server.databases.create({"DatabaseName": "db"}, 1)
            assert (await api.json("GET", f"{VALUES}?startsWith="))["Results"] == []
            assert list(state._store.scan("compare_exchange", "")) == []

    run(main())


def test_json_of_a_value_is_kept(run, open_api) -> None:
    """Numbers, nesting and Unicode come back as they were given."""

    async def main() -> None:
        async with open_api() as api:
            text = '{"Object":{"big":9007199254740993,"text":"zß水🍀","list":[1,2.5,null,true]}}'
            await api.json("PUT", f"{VALUES}?key=k&index=0", text.encode())
            (found,) = (await api.json("GET", f"{VALUES}?key=k"))["Results"]
            assert found["Value"] == json.loads(text)

    run(main())


def moment(seconds: float) -> str:
    return wire_time(datetime.now(UTC) + timedelta(seconds=seconds))


def test_values_expire(run, open_api) -> None:
    """A value goes at its time, if it is still that value: one that was written again has the time it got then."""

    async def main() -> None:
        async with open_api() as api:
            state = api.server.state

            async def store(key: str, index: int, seconds: float | None) -> int:
                metadata = {} if seconds is None else {"@metadata": {"@expires": moment(seconds)}}
                answer = await api.json("PUT", f"{VALUES}?key={key}&index={index}", {"Object": key, **metadata})
                assert answer["Successful"]
                return int(answer["Index"])

            await store("past", 0, -5)
            await store("future", 0, 3_600)
            await store("kept", await store("kept", 0, -5), None)
            await store("longer", await store("longer", 0, -5), 3_600)
            await store("shorter", await store("shorter", 0, 3_600), -5)
            gone = await store("gone", 0, -5)
            await api.json("DELETE", f"{VALUES}?key=gone&index={gone}")
            claimed = {"Type": "CompareExchangePUT", "Id": "batch", "Index": 0, "Document": {
                "Object": 1, "@metadata": {"@expires": moment(-5)}}}  # fmt: skip
            await api.json("POST", BATCH, cluster_wide(claimed), 201)
            assert await state.expire_compare_exchange() == 3
            found = await api.json("GET", f"{VALUES}?startsWith=")
            assert [each["Key"] for each in found["Results"]] == ["future", "kept", "longer"]
            assert found["Results"][0]["Value"]["@metadata"]["@expires"] > moment(0)
            assert await state.expire_compare_exchange() == 0
            left = [key for key, _ in state._store.scan("compare_exchange_expiry", "")]
            assert len(left) == 2 and state.compare_exchange_count("db") == 3
            await api.server.databases.delete(["db"], hard=True)
            assert list(state._store.scan("compare_exchange_expiry", "")) == []

    run(main())


def test_many_values_expire_in_steps(run, open_api, monkeypatch) -> None:
    """More values than one command removes go by several, the server's own task by itself, as configured."""
    monkeypatch.setattr(limits, "COMPARE_EXCHANGE_EXPIRE_STEP", 4)

    async def main() -> None:
        async with open_api(compare_exchange_expiry_seconds=1) as api:
            metadata = {"@metadata": {"@expires": moment(-1)}}
            for number in range(10):
                await api.json("PUT", f"{VALUES}?key=k{number}&index=0", {"Object": number, **metadata})
            before = api.server.state.raft_index
            async with asyncio.timeout(10):
                while api.server.state.compare_exchange_count("db"):
                    await asyncio.sleep(0.05)
            assert api.server.state.raft_index - before == 3

    run(main())


def test_a_time_that_is_none_is_refused(run, open_api) -> None:
    """What stands in @expires is a moment, with a zone or in UTC; else the value is refused."""

    async def main() -> None:
        async with open_api() as api:
            for text in ('"soon"', "7", '"2026-13-01"', "{}"):
                body = {"Object": 1, "@metadata": {"@expires": json.loads(text)}}
                answer = await api.call("PUT", f"{VALUES}?key=k&index=0", body)
                assert answer.status == 400 and b"@expires" in answer.body, text
            for text in ("2999-01-01T00:00:00", "2999-01-01T00:00:00.1234567Z", "2999-01-01T00:00:00+02:00"):
                body = {"Object": 1, "@metadata": {"@expires": text}}
                await api.json("PUT", f"{VALUES}?key={len(text)}&index=0", body)
            known = [int(key[:16], 16) for key, _ in api.server.state._store.scan("compare_exchange_expiry", "")]
            assert known[1] - known[0] == 2 * 3_600 * 10**7 and known[2] - known[1] == 1_234_560

    run(main())

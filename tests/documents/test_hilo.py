"""HiLo: ranges never overlap, grow and shrink with demand, and live in an ordinary document."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pynori import errors
from pynori.documents.database import Database, DatabaseOptions
from pynori.documents.hilo import range_size
from pynori.runtime.clock import ManualClock, wire_time

START = datetime(2026, 5, 1, 12, tzinfo=UTC)


def with_database(body: Callable[[Database], Awaitable[None]]) -> None:
    async def run() -> None:
        database = await Database.create(None, "test", DatabaseOptions(node_tag="B"), clock=ManualClock(START))
        try:
            await body(database)
        finally:
            await database.close()

    asyncio.run(run())


def stored(database: Database, tag: str) -> Any:
    found = database.get(f"Raven/Hilo/{tag}")
    return json.loads(found.json) if found else None


def test_the_first_ranges() -> None:
    """32 numbers from 1 on, then the next ones; the document says what is given away."""

    async def body(database: Database) -> None:
        first = await database.next_hilo("users", 0, None, "/", 0)
        assert (first.prefix, first.low, first.high, first.last_size, first.server_tag) == ("users/", 1, 32, 32, "B")
        assert first.last_range_at == "2026-05-01T12:00:00.0000000Z"
        assert stored(database, "users")["Max"] == 32
        assert database.get("raven/hilo/USERS") is not None and database.collections() == {"@hilo": 1}
        second = await database.next_hilo("Users", 32, first.last_range_at, "-", 32)
        assert (second.prefix, second.low, second.high, second.last_size) == ("Users-", 33, 96, 64)

    with_database(body)


@pytest.mark.parametrize(
    ("last_size", "ago_s", "size"),
    [(0, None, 32), (32, 10, 64), (64, 29.9, 128), (64, 30, 64), (64, 60, 64), (64, 61, 32), (32, 1e6, 32),
     (2**20, 1, 2**20), (2**30, 1, 2**20), (-5, 1, 32), (128, None, 128), (5, 1, 64)],
)  # fmt: skip
def test_sizes(last_size: int, ago_s: float | None, size: int) -> None:
    """Twice as much below 30 s, half above 60 s, within 32 and 2^20."""
    moment = None if ago_s is None else wire_time(START - timedelta(seconds=ago_s))
    assert range_size(last_size, moment, START) == size


def test_times_as_clients_write_them() -> None:
    """With and without Z, the least date, `None` and nonsense are understood or passed over."""
    assert range_size(64, "2026-05-01T11:59:59.0000000", START) == 128
    assert range_size(64, "0001-01-01T00:00:00.0000000", START) == 32
    assert range_size(64, "None", START) == range_size(64, "", START) == 64


def test_last_max_and_returning() -> None:
    """A client that knows higher numbers starts beyond them; a returned rest is given again only if it was the last."""

    async def body(database: Database) -> None:
        first = await database.next_hilo("users", 0, None, "/", 1000)
        assert (first.low, first.high) == (1001, 1032)
        await database.return_hilo("users", 1032, 1010)
        assert stored(database, "users")["Max"] == 1010
        await database.return_hilo("users", 1032, 1005)
        await database.return_hilo("users", 1010, 1020)
        await database.return_hilo("users", 1010, -1)
        assert stored(database, "users")["Max"] == 1010
        assert (await database.next_hilo("users", 0, None, "/", 0)).low == 1011
        await database.return_hilo("nobody", 32, 1)
        assert stored(database, "nobody") is None

    with_database(body)


def test_a_document_that_users_wrote() -> None:
    """Max is taken from it, its other fields and its collection stay; a Max that is no number counts as 0."""

    async def body(database: Database) -> None:
        written = b'{"Max":64,"note":"mine","@metadata":{"@collection":"HiloDocs"}}'
        await database.put("Raven/Hilo/users", written)
        assert (await database.next_hilo("users", 0, None, "/", 0)).low == 65
        now = stored(database, "users")
        assert (now["Max"], now["note"], now["@metadata"]["@collection"]) == (96, "mine", "HiloDocs")
        await database.put("Raven/Hilo/dogs", b'{"Max":"x"}')
        assert (await database.next_hilo("dogs", 0, None, "/", 0)).low == 1

    with_database(body)


def test_concurrent_ranges_never_overlap() -> None:
    """200 requests at once, beside a writer that changes the same document, get 200 disjoint ranges."""

    async def body(database: Database) -> None:
        async def disturb() -> None:
            for _ in range(20):
                found = database.get("Raven/Hilo/users")
                if found:
                    with contextlib.suppress(errors.ConcurrencyError):
                        await database.put("Raven/Hilo/users", found.json, found.change_vector)
                await asyncio.sleep(0)

        requests = [database.next_hilo("Users" if n % 2 else "users", 0, None, "/", 0) for n in range(200)]
        granted = await asyncio.gather(disturb(), *requests)
        numbers = [number for each in granted[1:] for number in range(each.low, each.high + 1)]
        assert sorted(numbers) == list(range(1, 200 * 32 + 1))

    with_database(body)


def test_what_is_refused() -> None:
    """No tag, and numbers beyond what every client can count."""

    async def body(database: Database) -> None:
        with pytest.raises(errors.InvalidArgument):
            await database.next_hilo("", 0, None, "/", 0)
        with pytest.raises(errors.InvalidArgument, match="used up"):
            await database.next_hilo("users", 0, None, "/", 2**53)

    with_database(body)

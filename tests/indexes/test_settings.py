"""Settings and priority of indexes: what they change, what is refused, what is told as passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from pynori import limits
from pynori.errors import InvalidArgument
from pynori.indexes import statistics
from pynori.indexes.batch import Outcome
from pynori.indexes.progress import Progress
from pynori.indexes.settings import WorkSettings, check_configuration, passed_over, work_settings
from pynori.indexes.worker import IndexThreads
from tests.indexes.shop import Shop

Run = Callable[..., None]
NAMES = "from u in docs.Users select new { u.Name }"


def test_which_settings_win() -> None:
    """A definition's settings go before its database's; what the latter cannot mean changes nothing."""
    database = {"Indexing.MapBatchSize": "7", "Indexing.MapTimeoutInSec": "soon", "Databases.Other": "1"}
    assert work_settings({}, database) == WorkSettings(documents_max=7)
    own = {"indexing.mapbatchsize": "9", "Indexing.MapTimeoutInSec": "2", "Indexing.Throttling.TimeIntervalInMs": "40"}
    assert work_settings(own, database) == WorkSettings(9, 2_000, 40)
    idle = {"Indexing.TimeToWaitBeforeMarkingAutoIndexAsIdleInMin": "1"}
    assert work_settings({}, idle).idle_ms == 60_000


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("Indexing.MapBatchSize", "0", "from 1 to"), ("Indexing.MapTimeoutInSec", "x", "whole number"),
        ("Indexing.IndexMissingFieldsAsNull", "yes", "true or false"),
        ("Indexing.Analyzers.Exact.Default", "StandardAnalyzer", "KeywordAnalyzer"),
        ("Indexing.Static.SearchEngineType", "Other", "Corax or Lucene"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_obeyed(key: str, value: str, said: str) -> None:
    """A definition with such a value is refused, and the setting is named."""
    with pytest.raises(InvalidArgument, match=said) as error:
        check_configuration("X", {key: value})
    assert key in str(error.value)


def test_what_is_passed_over(run: Run) -> None:
    """A setting of RavenDB's engine is kept in the definition and told in the statistics."""
    assert passed_over({"Indexing.ScratchSpaceLimitInMb": "1", "Indexing.MapBatchSize": "1"}) == [
        "Indexing.ScratchSpaceLimitInMb"
    ]

    async def steps(shop: Shop) -> None:
        index = await shop.define("Names", NAMES, Configuration={"Indexing.ScratchSpaceLimitInMb": "1"})
        shown = statistics.full(index, shop.database)
        assert shown["IgnoredSettings"] == ["Indexing.ScratchSpaceLimitInMb"]

    run(steps)


def test_batches_of_a_size_and_a_time(run: Run) -> None:
    """A batch ends after so many documents, or when its time is up; in the end all are there."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", {f"users/{i}": {"Name": f"N{i}"} for i in range(50)})
        small = await shop.define("Small", NAMES, Configuration={"Indexing.MapBatchSize": "10"})
        assert await shop.ids(small, "Name", "n49") == ["users/49"]
        assert max(each.documents for each in small.batches) <= 10 and len(small.batches) >= 5
        timed = await shop.define("Timed", NAMES, Configuration={"Indexing.MapTimeoutInSec": "0"})
        assert await shop.ids(timed, "Name", "n49") == ["users/49"]

    run(steps)


def test_entries_without_fields(run: Run) -> None:
    """A document whose map gives no field has no entry, unless the definition asks for one."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", {"users/1": {"Name": "A"}, "users/2": {"Other": 1}})
        counts = []
        for name, configuration in (("Usual", {}), ("All", {"Indexing.IndexEmptyEntries": "true"})):
            index = await shop.define(name, NAMES, Configuration=configuration)
            await shop.ids(index, "Name", "a")
            with index.read() as snapshot:
                counts.append(snapshot.entry_count)
        assert counts == [1, 2]

    run(steps)


def test_default_analyzers(run: Run) -> None:
    """Fields that name no analyzer take the one of the configuration, searched ones their own."""

    async def steps(shop: Shop) -> None:
        await shop.put("users/1", "Users", Name="Ada Lovelace", Text="Running Fast")
        index = await shop.define(
            "Cut", "from u in docs.Users select new { u.Name, u.Text }",
            Fields={"Text": {"Indexing": "Search"}},
            Configuration={
                "Indexing.Analyzers.Default": "SimpleAnalyzer",
                "Indexing.Analyzers.Search.Default": "WhitespaceAnalyzer",
            },
        )  # fmt: skip
        assert await shop.ids(index, "Name", "lovelace") == ["users/1"]
        assert await shop.ids(index, "Text", "Running") == ["users/1"]
        assert await shop.ids(index, "Text", "running") == []

    run(steps)


def test_batches_wait_by_priority() -> None:
    """When all threads are taken, high priority goes first, low last, equals in their order."""

    async def main() -> None:
        threads, order = IndexThreads(), []
        gate = asyncio.Event()
        loop = asyncio.get_running_loop()

        def blocked() -> Outcome:
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10)
            return Outcome(Progress(), [])

        def noted(name: str) -> Callable[[], Outcome]:
            def call() -> Outcome:
                order.append(name)
                return Outcome(Progress(), [])

            return call

        running: list[Awaitable[Outcome]] = [
            asyncio.ensure_future(threads.run(blocked, "Low")) for _ in range(limits.INDEX_THREADS)
        ]
        await asyncio.sleep(0)
        for name, priority in (("a", "Low"), ("b", "Normal"), ("c", "High"), ("d", "Normal"), ("e", "High")):
            running.append(asyncio.ensure_future(threads.run(noted(name), priority)))
            await asyncio.sleep(0)
        gone = asyncio.ensure_future(threads.run(noted("gone"), "High"))
        await asyncio.sleep(0)
        gone.cancel()
        gate.set()
        await asyncio.gather(*running)
        assert sorted(order[:2]) == ["c", "e"] and sorted(order[2:4]) == ["b", "d"] and order[4] == "a"
        assert "gone" not in order
        threads.close()

    asyncio.run(main())

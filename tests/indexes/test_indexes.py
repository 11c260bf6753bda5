"""The indexes of a database: made for needs, kept up to date, found again after a restart, replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.indexes.shop import Shop

Run = Callable[..., None]
ADA = {"users/1": {"Name": "Ada", "Age": 36}, "users/2": {"Name": "Bob", "Age": 20}, "users/3": {"Name": "ada"}}


@pytest.mark.parametrize("in_memory", [False, True])
def test_automatic_index_follows_the_documents(run: Run, in_memory: bool) -> None:
    """Documents are found by a field without regard to case; changes and deletions follow."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", ADA)
        index = await shop.auto("Users", "Name")
        assert index.name == "Auto/Users/ByName"
        assert await shop.ids(index, "Name", "ADA") == ["users/1", "users/3"]
        await shop.put("users/3", "Users", Name="Eve")
        await shop.delete("users/1")
        assert await shop.ids(index, "Name", "ada") == []
        assert await shop.ids(index, "Name", "eve") == ["users/3"]
        assert index.staleness_reasons() == []

    run(steps, in_memory=in_memory)


def test_one_index_for_all_needs_of_a_collection(run: Run) -> None:
    """A second need is met by one index for both; the first one answers meanwhile and then goes."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Users", ADA)
        first = await shop.auto("Users", "Name")
        await shop.settle(first)
        second = await shop.auto("Users", "Age")
        assert second.name == "Auto/Users/ByAgeAndName"
        assert await shop.ids(second, "Age", 36) == ["users/1"]
        for _ in range(200):
            if first.successor is second:
                break
            await second.wait_non_stale()
            await asyncio.sleep(0.01)
        assert [each.name for each in shop.indexes.all()] == ["Auto/Users/ByAgeAndName"]
        assert await shop.ids(first, "Name", "ada") == ["users/1", "users/3"]
        assert await shop.auto("users", "Name") is second

    async def after_restart(shop: Shop) -> None:
        index = shop.indexes.find("auto/users/byageandname")
        assert index.progress.map_attempts == 3
        assert await shop.ids(index, "Name", "ada") == ["users/1", "users/3"]

    run(steps, after_restart)

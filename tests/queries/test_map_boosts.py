"""Boosts that maps give: values and whole entries that count more than others, in C# and JavaScript."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tests.queries.conftest import Desk

Run = Callable[[Callable[[Desk], Awaitable[None]]], None]

PEOPLE = {
    "users/1": ("Bob", "Smith", 1), "users/2": ("Ann", "Bob", 1), "users/3": ("Bob", "Bobson", 3),
    "users/4": ("Eve", "Jones", 9),
}  # fmt: skip
SEARCHED = {"First": {"Indexing": "Search"}, "Last": {"Indexing": "Search"}}


async def fill(desk: Desk) -> None:
    for id, (first, last, rank) in PEOPLE.items():
        await desk.put(id, "Users", first=first, last=last, rank=rank)


FIELDS = {
    "C#": "from u in docs.Users select new { First = u.first.Boost(10), Last = u.last }",
    "JavaScript": "map('Users', u => ({ First: boost(u.first, 10), Last: u.last }))",
    "JavaScript by hand": "map('Users', u => ({ First: { $value: u.first, $boost: 10 }, Last: u.last }))",
}


@pytest.mark.parametrize("words", [True, False], ids=["words", "whole texts"])
@pytest.mark.parametrize("map", FIELDS.values(), ids=FIELDS)
def test_a_boosted_field_counts_more(desk: Run, map: str, words: bool) -> None:
    """Who has the name as first name comes before who has it as last name; elsewhere nothing counts."""

    async def test(desk: Desk) -> None:
        await fill(desk)
        await desk.define("Names", map, Fields=SEARCHED if words else {})
        now = {"WaitForNonStaleResults": True}
        found = "search({}, 'bob')" if words else "{} = 'bob'"
        query = f"from index 'Names' where {found.format('Last')} or {found.format('First')}"
        assert (await desk.ids(query, **now))[-1] == "users/2"
        assert set(await desk.ids(query, **now)) == {"users/1", "users/2", "users/3"}
        refused = f"from index 'Names' where not ({found.format('First')})"
        assert await desk.ids(refused, **now) == ["users/2", "users/4"]

    desk(test)


ENTRIES = {
    "C#": "docs.Users.Select(u => new { First = u.first, Last = u.last }.Boost((float) u.rank))",
    "JavaScript": "map('Users', u => boost({ First: u.first, Last: u.last }, u.rank))",
}


@pytest.mark.parametrize("map", ENTRIES.values(), ids=ENTRIES)
def test_a_boosted_entry_counts_more(desk: Run, map: str) -> None:
    """Of two that match alike the one of higher rank comes first; a boost that changes changes the order."""

    async def test(desk: Desk) -> None:
        await fill(desk)
        await desk.define("Names", map)
        now = {"WaitForNonStaleResults": True}
        query = "from index 'Names' where First = 'Bob'"
        assert await desk.ids(query, **now) == ["users/3", "users/1"]
        answer = await desk.ask(query, **now)
        scores = [each["@metadata"]["@index-score"] for each in answer["Results"]]
        assert scores[0] == pytest.approx(3 * scores[1])
        await desk.put("users/1", "Users", first="Bob", last="Smith", rank=5)
        assert await desk.ids(query, **now) == ["users/1", "users/3"]
        await desk.put("users/3", "Users", first="Bob", last="Bobson", rank=1)
        await desk.put("users/1", "Users", first="Bob", last="Smith", rank=1)
        assert await desk.ids(query, **now) == ["users/1", "users/3"]

    desk(test)

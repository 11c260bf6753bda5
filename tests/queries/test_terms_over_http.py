"""Facets, suggestions, highlights and explanations of a collection, over HTTP: the indexes make themselves."""

from collections.abc import Callable
from typing import Any

Run = Callable[[Any], None]


async def fill(desk: Any) -> None:
    for number, (name, body) in enumerate(
        [
            ("Milk", "fresh milk of brown cows"),
            ("Milk", "old milk"),
            ("iPhone", "a phone, no milk at all"),
            ("Tea", "tea"),
        ]
    ):
        await desk.put(f"goods/{number}", "Goods", Name=name, Body=body, Price=number * 10, Old=None)


def test_facets(desk: Run) -> None:
    """A collection can be counted by fields and by ranges, with and without a condition."""

    async def test(desk: Any) -> None:
        await fill(desk)
        answer = await desk.ask(
            "from Goods as g where g.Price < $most select facet(g.Name, sum(g.Price)), facet(Price < 10, Price >= 10)",
            p={"most": 30},
        )
        assert answer["IndexName"].startswith("Auto/Goods/By") and answer["TotalResults"] == 2
        names, prices = answer["Results"]
        assert [(each["Range"], each["Count"], each["Sum"]) for each in names["Values"]] == [
            ("iphone", 1, 20), ("milk", 2, 10)
        ]  # fmt: skip
        assert [(each["Range"], each["Count"]) for each in prices["Values"]] == [("Price < 10", 1), ("Price >= 10", 2)]
        assert (await desk.results("from Goods select facet(Old)"))[0]["Values"] == [
            {"Name": None, "Range": "NULL_VALUE", "Count": 4}
        ]

    desk(test)


def test_suggestions(desk: Run) -> None:
    """A collection suggests values of a field."""

    async def test(desk: Any) -> None:
        await fill(desk)
        assert await desk.results("from Goods select suggest(Name, 'mlik')") == [
            {"Name": "Name", "Suggestions": ["milk"]}
        ]

    desk(test)


def test_highlights_and_explanations(desk: Run) -> None:
    """A search over a collection marks its words in each result, and says how each came to its place."""

    async def test(desk: Any) -> None:
        await fill(desk)
        answer = await desk.ask(
            "from Goods where search(Body, $p) include highlight(Body, 18, 1, $o), explanations()",
            p={"p": "milk cows", "o": {"PreTags": ["<"], "PostTags": [">"]}},
        )
        assert answer["Highlightings"] == {
            "Body": {"goods/0": ["fresh <milk> of"], "goods/1": ["old <milk>"], "goods/2": ["no <milk> at all"]}
        }
        assert answer["Results"][0]["@metadata"]["@id"] == "goods/0"
        assert set(answer["Explanations"]) == {"goods/0", "goods/1", "goods/2"}
        assert all("score" in text for texts in answer["Explanations"].values() for text in texts)

    desk(test)


def test_timings_of_an_index(desk: Run) -> None:
    """A query of an index has timings, and its way is explained by what it asks for."""

    async def test(desk: Any) -> None:
        await fill(desk)
        timed = (await desk.ask("from Goods where Price > 5 include timings()"))["Timings"]
        assert list(timed["Timings"]) == ["Plan", "Wait", "Match", "Retrieve"]
        assert timed["DurationInMs"] >= max(span["DurationInMs"] for span in timed["Timings"].values())
        explained = await desk.ask("from Goods where Price > 5", flags="debug=explain")
        assert "Price" in explained["Results"][0]["Reason"]

    desk(test)

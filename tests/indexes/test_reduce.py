"""Indexes with a reduce: groups follow their documents, results become documents, circles are refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from pynori.errors import CompilationError, OperationFailed
from pynori.indexes.auto import AutoField, AutoGroup, AutoIndexDefinition
from pynori.indexes.reference_pattern import ReferencePattern
from tests.indexes.shop import Shop

Run = Callable[..., None]
SALES = {
    "orders/1": {"Product": "milk", "Total": 3},
    "orders/2": {"Product": "milk", "Total": 4},
    "orders/3": {"Product": "bread", "Total": 2.5},
}
LINQ = {
    "Maps": ["from o in docs.Orders select new { o.Product, o.Total, Count = 1 }"],
    "Reduce": "from r in results group r by r.Product into g "
    "select new { Product = g.Key, Total = g.Sum(x => x.Total), Count = g.Sum(x => x.Count) }",
}
SCRIPT = {
    "Maps": ["map('Orders', o => ({ Product: o.Product, Total: o.Total, Count: 1 }))"],
    "Reduce": "groupBy(x => x.Product).aggregate(g => ({ Product: g.key, "
    "Total: g.values.reduce((a, x) => a + x.Total, 0), Count: g.values.reduce((a, x) => a + x.Count, 0) }))",
}


@pytest.mark.parametrize("texts", [LINQ, SCRIPT])
def test_groups_follow_their_documents(run: Run, texts: dict[str, object]) -> None:
    """Totals of groups are right after changes, moves between groups and deletions; a group without rows goes."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Orders", SALES)
        await shop.indexes.put({"Name": "Sales", **texts})
        index = shop.indexes.find("Sales")
        assert await shop.stored(index) == [
            {"Product": "bread", "Total": 2.5, "Count": 1}, {"Product": "milk", "Total": 7, "Count": 2},
        ]  # fmt: skip
        with index.read() as snapshot:
            field = snapshot.field("Total")
            assert field is not None and len(snapshot.range(field.number, 5, None)) == 1
        await shop.put("orders/3", "Orders", Product="milk", Total=1)
        await shop.delete("orders/1")
        assert await shop.stored(index) == [{"Product": "milk", "Total": 5, "Count": 2}]

    async def after_restart(shop: Shop) -> None:
        await shop.put("orders/9", "Orders", Product="milk", Total=10)
        assert await shop.stored(shop.indexes.find("Sales")) == [{"Product": "milk", "Total": 15, "Count": 3}]

    run(steps, after_restart)


def test_grouping_made_by_a_query(run: Run) -> None:
    """An automatic index with a grouping sums and counts, also by items of arrays."""

    async def steps(shop: Shop) -> None:
        await shop.put_all("Orders", SALES)
        need = AutoIndexDefinition.of(
            "Orders", [AutoField("Total", aggregation="Sum"), AutoField("Count", aggregation="Count")],
            [AutoGroup("Product")],
        )  # fmt: skip
        index = await shop.indexes.for_need(need)
        assert index.name == "Auto/Orders/ByCountAndTotalReducedByProduct"
        assert await shop.stored(index) == [
            {"Product": "bread", "Total": 2.5, "Count": 1}, {"Product": "milk", "Total": 7, "Count": 2},
        ]  # fmt: skip
        await shop.delete("orders/3")
        assert await shop.stored(index) == [{"Product": "milk", "Total": 7, "Count": 2}]
        assert index.is_map_reduce and index.type == "AutoMapReduce"

    async def after_restart(shop: Shop) -> None:
        await shop.put("orders/9", "Orders", Product="milk", Total=1)
        (index,) = shop.indexes.all()
        assert await shop.stored(index) == [{"Product": "milk", "Total": 8, "Count": 3}]

    run(steps, after_restart)


DAILY = {
    "Name": "Daily",
    "Maps": ["from o in docs.Orders select new { o.Day, o.Month, o.Total }"],
    "Reduce": "from r in results group r by new { r.Day, r.Month } into g "
    "select new { Day = g.Key.Day, Month = g.Key.Month, Total = g.Sum(x => x.Total) }",
    "OutputReduceToCollection": "DailySales",
}
MONTHLY = {
    "Name": "Monthly",
    "Maps": ["from d in docs.DailySales select new { d.Month, d.Total }"],
    "Reduce": "from r in results group r by r.Month into g select new { Month = g.Key, Total = g.Sum(x => x.Total) }",
    "OutputReduceToCollection": "MonthlySales",
}


def sales(shop: Shop, collection: str) -> list[dict[str, object]]:
    found = [json.loads(each) for each in shop.database.stream(collection=collection)]
    for each in found:
        each.pop("@metadata")
    return sorted(found, key=json.dumps)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to be")


def test_results_as_documents_and_results_of_these(run: Run) -> None:
    """A new order moves daily and monthly documents; a day without orders loses its document."""

    async def steps(shop: Shop) -> None:
        await shop.put("orders/1", "Orders", Day="d1", Month="m1", Total=3)
        await shop.put("orders/2", "Orders", Day="d2", Month="m1", Total=4)
        await shop.indexes.put(DAILY)
        await shop.indexes.put(MONTHLY)
        await until(lambda: sales(shop, "MonthlySales") == [{"Month": "m1", "Total": 7}])
        await shop.put("orders/3", "Orders", Day="d2", Month="m1", Total=10)
        await until(lambda: sales(shop, "MonthlySales") == [{"Month": "m1", "Total": 17}])
        await shop.delete("orders/1")
        await until(lambda: sales(shop, "MonthlySales") == [{"Month": "m1", "Total": 14}])
        assert sales(shop, "DailySales") == [{"Day": "d2", "Month": "m1", "Total": 14}]
        await shop.indexes.reset("Daily")
        await until(lambda: sales(shop, "DailySales") == [{"Day": "d2", "Month": "m1", "Total": 14}])

    run(steps)


def test_documents_that_list_results_by_a_pattern(run: Run) -> None:
    """Each month's days are listed in a document of their own, which follows them and goes with the last."""

    def listed(shop: Shop) -> dict[str, list[str]]:
        found = [json.loads(each) for each in shop.database.stream(collection="Months")]
        days = {}
        for each in found:
            outputs = [shop.database.get(id) for id in each["ReduceOutputs"]]
            days[each["@metadata"]["@id"]] = sorted(json.loads(one.json)["Day"] for one in outputs if one)
        return days

    async def steps(shop: Shop) -> None:
        more = {
            "PatternForOutputReduceToCollectionReferences": "sales/monthly/{Month:yyyy-MM}",
            "PatternReferencesCollectionName": "Months",
        }
        may, june = "2026-05-01T00:00:00.0000000", "2026-06-01T00:00:00.0000000"
        await shop.put("orders/1", "Orders", Day="d1", Month=may, Total=3)
        await shop.put("orders/2", "Orders", Day="d2", Month=may, Total=4)
        await shop.put("orders/3", "Orders", Day="d3", Month=june, Total=4)
        await shop.indexes.put({**DAILY, **more})
        await until(lambda: listed(shop) == {"sales/monthly/2026-05": ["d1", "d2"], "sales/monthly/2026-06": ["d3"]})
        await shop.put("orders/2", "Orders", Day="d2", Month=june, Total=4)
        await until(lambda: listed(shop) == {"sales/monthly/2026-05": ["d1"], "sales/monthly/2026-06": ["d2", "d3"]})
        await shop.delete("orders/1")
        await until(lambda: listed(shop) == {"sales/monthly/2026-06": ["d2", "d3"]})
        await shop.indexes.reset("Daily")
        await until(lambda: listed(shop) == {"sales/monthly/2026-06": ["d2", "d3"]})
        await shop.indexes.put({**DAILY, **more, "PatternForOutputReduceToCollectionReferences": "all/{Day}"})
        await until(lambda: listed(shop) == {"all/d2": ["d2"], "all/d3": ["d3"]})

    run(steps)


@pytest.mark.parametrize(
    ("pattern", "result", "id"),
    [
        ("a/{X}", {"X": "b"}, "a/b"), ("{X}/{Y.Z}", {"X": 1, "Y": {"Z": True}}, "1/true"), ("{X:D4}", {"X": 7}, "0007"),
        ("{X:000}!", {"X": 12}, "012!"), ("{X:dd.M.yy HH:mm}", {"X": "2026-05-04T03:02:01.1234567"}, "04.5.26 03:02"),
        ("{X:dd.M.yy HH}", {"X": "2026-05-04T03:02:01.1234567"}, "04.5.26 03"), ("a/{X}", {}, None),
        ("{X:yyyy}", {"X": "no date"}, None), ("{X:D2}", {"X": "text"}, None), ("a/{X}", {"X": ""}, None),
    ],
)  # fmt: skip
def test_patterns_of_ids(pattern: str, result: dict[str, object], id: str | None) -> None:
    """Fields stand in an id as they are or in a format; without a value that fits there is no id."""
    assert ReferencePattern(pattern).id_of(result) == id


@pytest.mark.parametrize("pattern", ["plain", "a/{", "a/{X}}", "{X:words}", "{:yyyy}"])
def test_what_is_no_pattern(pattern: str) -> None:
    """A pattern without a field, with half a brace, or with a format that is not known is refused."""
    with pytest.raises(CompilationError):
        ReferencePattern(pattern)


def test_circles_and_foreign_documents_are_refused(run: Run) -> None:
    """Results must not come back to the index, by itself or by others, and not be mixed with other documents."""

    async def steps(shop: Shop) -> None:
        await shop.put("users/1", "Users", Name="Ada")
        await shop.indexes.put(DAILY)
        with pytest.raises(OperationFailed, match="reads itself"):
            await shop.indexes.put({**MONTHLY, "OutputReduceToCollection": "dailysales"})
        with pytest.raises(OperationFailed, match="reads itself"):
            await shop.indexes.put({**MONTHLY, "OutputReduceToCollection": "Orders"})
        with pytest.raises(OperationFailed, match="no index has made"):
            await shop.indexes.put({**MONTHLY, "OutputReduceToCollection": "Users"})
        assert [each.name for each in shop.indexes.all()] == ["Daily"]

    run(steps)

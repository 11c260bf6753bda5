"""How fast a database's indexes take documents in, and what they cost writes.

    python bench/bench_indexes.py [documents]

Prints documents per second of each kind of index over a collection that is there already, and writes per second with no
index, with three and with ten.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from pynori.config import Settings
from pynori.indexes.auto import AutoField, AutoGroup, AutoIndexDefinition
from pynori.indexes.index import Index
from pynori.server.server import Server

NAME = "bench"
BATCH = 1_000
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "lazy", "dogs", "while", "others", "look", "on"]


def document(number: int) -> bytes:
    body = {
        "Company": f"companies/{number % 1_000}", "Freight": number % 500 / 4, "Shipped": number % 3 == 0,
        "OrderedAt": f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}T00:00:00.0000000Z",
        "Text": " ".join(WORDS[(number + i * 7) % len(WORDS)] for i in range(20)),
        "Lines": [{"Product": f"products/{(number + i) % 77}", "Total": i + 1} for i in range(3)],
        "@metadata": {"@collection": "Orders"},
    }  # fmt: skip
    return json.dumps(body).encode()


async def fill(database: Any, first: int, count: int) -> float:
    began = time.perf_counter()
    waiting = []
    for start in range(first, first + count, BATCH):
        batch = database.batch()
        for number in range(start, min(start + BATCH, first + count)):
            batch.put(f"orders/{number}", document(number))
        waiting.append(database.submit(batch))
        if len(waiting) > 4:
            await waiting.pop(0)
    await asyncio.gather(*waiting)
    return time.perf_counter() - began


async def timed(name: str, index: Index, count: int) -> None:
    began = time.perf_counter()
    assert await index.wait_non_stale(timeout_s=300)
    seconds = time.perf_counter() - began
    print(f"{name:34} {count / seconds:12,.0f} documents/s   {len(index.batches)} commits")


async def settle(indexes: Any) -> None:
    for index in indexes.all():
        await index.wait_non_stale(timeout_s=300)


def auto(*fields: AutoField, groups: tuple[AutoGroup, ...] = ()) -> AutoIndexDefinition:
    return AutoIndexDefinition.of("Orders", fields, groups)


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = await Server.start(Settings(data_dir=Path(folder)))
        await server.databases.create({"DatabaseName": NAME}, 1)
        opened = server.databases.find(NAME)
        database, indexes = opened.database, opened.indexes
        alone = count / await fill(database, 0, count)
        print(f"{'the first writes':34} {alone:12,.0f} documents/s")
        one = auto(AutoField("Company"), AutoField("Freight"), AutoField("OrderedAt"))
        await timed("auto, 3 fields", await indexes.for_need(one), count)
        grouped = auto(AutoField("Freight", aggregation="Sum"), groups=(AutoGroup("Company"),))
        await timed("auto, grouped by company", await indexes.for_need(grouped), count)
        static = {
            "map, C#": {"Maps": ["from o in docs.Orders select new { o.Company, Cost = o.Freight * 2 }"]},
            "map with fan-out, C#": {
                "Maps": ["from o in docs.Orders from l in o.Lines select new { l.Product, l.Total }"]
            },
            "search, C#": {
                "Maps": ["from o in docs.Orders select new { o.Text }"], "Fields": {"Text": {"Indexing": "Search"}}
            },
            "map and reduce, C#": {
                "Maps": ["from o in docs.Orders select new { o.Company, o.Freight }"],
                "Reduce": "from r in results group r by r.Company into g "
                "select new { Company = g.Key, Freight = g.Sum(x => x.Freight) }",
            },
            "map, JavaScript": {"Maps": ["map('Orders', o => ({ Company: o.Company, Cost: o.Freight * 2 }))"]},
        }  # fmt: skip
        for name, definition in static.items():
            await indexes.put({"Name": name, **definition})
            await timed(name, indexes.find(name), count)
        for index in indexes.all():
            await indexes.delete(index.name)
        for number in range(10):
            if number in (0, 3):
                await settle(indexes)
                rate = count / await fill(database, count * (1 + number), count)
                print(f"{f'writes with {number} indexes':34} {rate:12,.0f} documents/s   {rate / alone:.2f} x")
                alone = rate if number == 0 else alone
            await indexes.put({"Name": f"Ten{number}", **static["map, C#"]})
        await settle(indexes)
        rate = count / await fill(database, count * 20, count)
        print(f"{'writes with 10 indexes':34} {rate:12,.0f} documents/s   {rate / alone:.2f} x")
        began = time.perf_counter()
        await settle(indexes)
        print(f"{'until the 10 had caught up':34} {time.perf_counter() - began:12.2f} s")
        await server.stop()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))

"""How the cost of queries and indexes grows with the number of documents.

    python bench/bench_query_growth.py [10000 100000 1000000] [--results growth.json] [--picture growth.svg]

For each number, in a server of this process on disk: documents per second into the index that a first query makes and
into a map-reduce index in C#; medians of queries in milliseconds, in process, with ten documents and without HTTP; how
long after a write the map-reduce index has it; and how much memory the process had at most. `--results` keeps figures
of one run for the next, so that large sizes can have a run of their own; table and picture have all that it holds.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import random
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent / "macro"))

from queries import COUNTRIES, Pynori, orders, parameters

from pynori.config import Settings
from pynori.http.handlers import compare_exchange
from pynori.queries.request import from_body
from pynori.queries.service import gather, prepare
from pynori.server.server import Server

QUERIES = 200
BATCH = 1_000
SALES = {
    "Name": "Sales",
    "Maps": ["from o in docs.Orders select new { o.Company, o.Total, Count = 1 }"],
    "Reduce": "from r in results group r by r.Company into g "
    "select new { Company = g.Key, Total = g.Sum(x => x.Total), Count = g.Sum(x => x.Count) }",
}
TEXTS = {
    "equality, range, order": Pynori.TEXT,
    "equality": "from Orders where ShipTo.Country = $country limit 10",
    "range": "from Orders where Total >= $total limit 10",
    "order": "from Orders order by OrderedAt desc limit 10",
    "a group of map-reduce": "from index 'Sales' where Company = $company",
    "the largest groups": "from index 'Sales' order by Total as double desc limit 10",
    "by id": "from Orders where id() = $id",
}


class Shop:
    """One database of a server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.opened = server.databases.find("Shop")

    async def fill(self, count: int) -> None:
        waiting: list[Any] = []
        batch = self.opened.database.batch()
        for number, (id, order) in enumerate(orders(count), 1):
            batch.put(id, json.dumps({**order, "@metadata": {"@collection": "Orders"}}).encode())
            if number % BATCH == 0 or number == count:
                waiting.append(self.opened.database.submit(batch))
                batch = self.opened.database.batch()
            if len(waiting) > 4:
                await waiting.pop(0)
        await asyncio.gather(*waiting)

    async def ask(self, text: str, given: dict[str, Any]) -> bytes:
        request = from_body({"Query": text, "QueryParameters": given})
        opened, server = self.opened, self.server
        prepared = await prepare(
            opened.database, opened.indexes, request, server.scripts, server.clock,
            compare_exchange.finder(server.state, "Shop"), server.state.raft_index, opened.running_queries,
        )  # fmt: skip
        execution = prepared.begin()
        found, _ = gather(execution.pieces())
        execution.close()
        return found

    async def median_ms(self, text: str, count: int) -> float:
        dice, spent = random.Random(3), []
        for country, total in parameters(QUERIES):
            company = f"companies/{dice.randrange(20_000)}"
            given = {
                "country": country,
                "total": total,
                "company": company,
                "id": f"orders/{dice.randrange(count) + 1}",
            }
            began = time.perf_counter()
            await self.ask(text, given)
            spent.append((time.perf_counter() - began) * 1_000)
        return statistics.median(spent)

    async def settle(self, name: str) -> float:
        began = time.perf_counter()
        assert await self.opened.indexes.find(name).wait_non_stale(timeout_s=600)
        return time.perf_counter() - began

    async def lag_ms(self) -> float:
        """From a write on, until the map-reduce index has it without being asked to hurry."""
        spent = []
        index = self.opened.indexes.find("Sales")
        for number in range(20):
            order = {"Company": COUNTRIES[number], "Total": 1, "@metadata": {"@collection": "Orders"}}
            await self.opened.database.put(f"orders/late-{number}", json.dumps(order).encode())
            began = time.perf_counter()
            while index.is_stale():
                await asyncio.sleep(0.001)
            spent.append((time.perf_counter() - began) * 1_000)
        return statistics.median(spent)


async def measured(count: int, folder: Path) -> dict[str, float]:
    figures: dict[str, float] = {}
    server = await Server.start(Settings(data_dir=folder))
    if server.databases.names():
        shop = Shop(server)
        for index in shop.opened.indexes.all():
            await shop.opened.indexes.delete(index.name)
    else:
        await server.databases.create({"DatabaseName": "Shop"}, 1)
        shop = Shop(server)
        await shop.fill(count)
    began = time.perf_counter()
    await shop.ask(TEXTS["equality, range, order"], {"country": COUNTRIES[0], "total": 1})
    while shop.opened.indexes.automatic()[0].is_stale():
        await asyncio.sleep(0.01)
    figures["first query, documents/s"] = count / (time.perf_counter() - began)
    print(figures, flush=True)
    await shop.opened.indexes.put(SALES)
    figures["map-reduce, documents/s"] = count / await shop.settle("Sales")
    print(figures, flush=True)
    for name, text in TEXTS.items():
        figures[f"{name}, ms"] = await shop.median_ms(text, count)
    figures["map-reduce after a write, ms"] = await shop.lag_ms()
    await server.stop()
    figures["resident, files mapped among it, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def picture(path: Path, table: dict[int, dict[str, float]]) -> None:
    """Milliseconds and documents per second by size, all axes logarithmic."""
    import matplotlib.pyplot as plot  # type: ignore[import-not-found,unused-ignore]

    figure, (left, right) = plot.subplots(1, 2, figsize=(11, 4.5))
    for name in next(iter(table.values())):
        side = left if name.endswith(", ms") else right if name.endswith("/s") else None
        if side is not None:
            label = name.rpartition(",")[0]
            had = {count: figures[name] for count, figures in table.items() if name in figures}
            side.loglog(list(had), list(had.values()), marker="o", label=label)
    for side, what in ((left, "milliseconds"), (right, "documents per second into the index")):
        side.set_xlabel("documents")
        side.set_ylabel(what)
        side.legend(fontsize=7)
    right.set_ylim(10_000, 1_000_000)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="*")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--directory", type=Path, help="where databases are kept, and used again that are there")
    options = parser.parse_args()
    table: dict[int, dict[str, float]] = {}
    if options.results is not None and options.results.exists():
        table = {int(count): figures for count, figures in json.loads(options.results.read_text()).items()}
    for count in options.counts or ([] if table else [10_000, 100_000, 1_000_000]):
        with tempfile.TemporaryDirectory() as made, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            folder = Path(made) if options.directory is None else options.directory / str(count)
            table[count] = runner.run(measured(count, folder))
    table = dict(sorted(table.items()))
    if options.results is not None:
        options.results.write_text(json.dumps(table))
    print(f"{'':36}" + "".join(f"{count:14,}" for count in table))
    for name in next(iter(table.values())):
        digits = 0 if name.endswith(("/s", "MB")) else 3
        told = [f"{each[name]:14,.{digits}f}" if name in each else f"{'':14}" for each in table.values()]
        print(f"{name:36}" + "".join(told))
    if options.picture and importlib.util.find_spec("matplotlib") is not None:
        picture(options.picture, table)


if __name__ == "__main__":
    main()

"""Scripts: what a patch, a map, a reduce and a projection cost a document of 1 KB, and patches through the database.

Each is the best of interleaved rounds. The floor is the engine itself: parsing and writing the same JSON in a bare
context, which nothing over quickjs-ng can go below. `--seconds` bounds the whole run.
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable

import quickjs
from bench_json import order

from pynori.documents.database import Database, DatabaseOptions
from pynori.documents.patch import PatchCommand, PatchScript
from pynori.js.bridge import document_input, load_nothing
from pynori.js.engine import Program, ScriptEngine
from pynori.js.index_scripts import JavaScriptMap, JavaScriptReduce
from pynori.js.projection import Projection, ProjectionRow
from pynori.js.scripts import Scripts
from pynori.js.worker import ScriptWorkers

DOCUMENTS = 500
SUM = "o.Lines.reduce((t, l) => t + l.PricePerUnit * l.Quantity, 0)"
MAP = f"map('Orders', o => ({{ Company: o.Company, Total: {SUM} }}))"
SIMPLE_MAP = "map('Orders', o => ({ Company: o.Company, Freight: o.Freight }))"
LOADING_MAP = "map('Orders', o => ({ Company: load(o.Company, 'Companies').Name }))"
TOTAL = "g.values.reduce((t, x) => t + x.Total, 0)"
REDUCE = f"groupBy(x => x.Company).aggregate(g => ({{ Company: g.key, Total: {TOTAL} }}))"
PATCH = PatchScript("this.Count = (this.Count || 0) + args.by; this.Seen = true", b'{"by":1}')


def best_of(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Microseconds of a document in the fastest round of each call, the calls taking turns."""
    best = dict.fromkeys(calls, float("inf"))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: duration / DOCUMENTS * 1e6 for name, duration in best.items()}


def functions(documents: list[bytes], seconds: float) -> None:
    """The script functions by themselves."""
    bare = quickjs.Context().eval("(function(text){return JSON.stringify(JSON.parse(text))})")
    engine, scripts, workers = ScriptEngine(), Scripts(), ScriptWorkers()
    program = PATCH.program("")
    fragile = [text[:-1] + b',"Tax":1.0}' for text in documents]
    simple, mapped = JavaScriptMap(engine, [SIMPLE_MAP]), JavaScriptMap(engine, [MAP])
    loading, in_child = JavaScriptMap(engine, [LOADING_MAP]), JavaScriptMap(workers, [SIMPLE_MAP])
    reduce = JavaScriptReduce(engine, REDUCE)
    entries = [json.dumps({"Company": f"c/{n % 10}", "Total": n}).encode() for n in range(DOCUMENTS)]
    groups = [entries[n::10] for n in range(10)]
    projection = Projection(engine, "{ company: o.Company, lines: o.Lines.length, by: $by }", (), ["o"], b'{"by":1}')
    rows = [ProjectionRow(text, None) for text in documents]

    def patch(texts: list[bytes]) -> None:
        for text in texts:
            scripts.call_short(program, document_input(text, "orders/1", PATCH.arguments), load_nothing)

    def parse_and_write() -> None:
        for text in documents:
            bare(text.decode())

    best = best_of(
        {
            "floor: parse and write": parse_and_write,
            "patch": lambda: patch(documents),
            "patch, numbers kept": lambda: patch(fragile),
            "map of two fields": lambda: simple.map_batch(documents),
            "map of two fields, in a child": lambda: in_child.map_batch(documents),
            "map with a sum": lambda: mapped.map_batch(documents),
            "map that loads": lambda: loading.map_batch(documents, lambda id: b'{"Name":"x"}'),
            "reduce of 10 groups": lambda: (reduce.keys(entries), reduce.reduce_batch(groups)),
            "projection": lambda: projection.run(rows, load_nothing),
        },
        seconds,
    )
    floor = best["floor: parse and write"]
    for name, duration_us in best.items():
        rate = 1e6 / duration_us
        print(f"    {name:30} {duration_us:7.1f} us, {rate:8.0f} documents/s ({duration_us / floor:.2f} of the floor)")
    start = time.perf_counter()
    for n in range(20):
        engine.define(Program("patch", (f"this.n = {n}",)))
    print(f"    {'compile a new program':30} {(time.perf_counter() - start) / 20 * 1e6:7.0f} us")
    workers.close()


async def through_the_database(documents: list[bytes]) -> None:
    """Patches of many documents and of one, as a server does them, in memory."""
    database = await Database.create(None, "bench", DatabaseOptions(in_memory=True))
    await asyncio.gather(*(database.put(f"orders/{n}", text) for n, text in enumerate(documents)))
    for name, ids in (
        ("one after the other", None),
        ("of many documents at once", [f"orders/{n}" for n in range(DOCUMENTS)]),
        ("of one document at once", ["orders/0"] * DOCUMENTS),
    ):
        start = time.perf_counter()
        if ids is None:
            for n in range(DOCUMENTS):
                await database.prepare([PatchCommand(f"orders/{n}", PATCH)])
        else:
            await asyncio.gather(*(database.prepare([PatchCommand(id, PATCH)]) for id in ids))
        duration_us = (time.perf_counter() - start) / DOCUMENTS * 1e6
        print(f"    {name:30} {duration_us:7.1f} us, {1e6 / duration_us:8.0f} patches/s")
    await database.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--seconds", type=float, default=10.0)
    rand = random.Random(1)
    documents = []
    for n in range(DOCUMENTS):
        metadata = {"@collection": "Orders", "@id": f"orders/{n}", "@change-vector": f"A:{n}-x"}
        documents.append(json.dumps({**order(rand, 3), "@metadata": metadata}, separators=(",", ":")).encode())
    print(f"functions, documents of {sum(map(len, documents)) // DOCUMENTS} bytes:")
    functions(documents, options.parse_args().seconds)
    print("patches through the database:")
    asyncio.run(through_the_database(documents))


if __name__ == "__main__":
    main()

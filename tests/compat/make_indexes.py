"""Makes the golden indexes of the current format: python -m tests.compat.make_indexes. Once for each format of indexes.

A data directory with a database, its indexes of every kind and the state of the cluster, as a kill leaves it. Never
made anew for a version that was released: then the file is the only witness of what that version wrote.
"""

from __future__ import annotations

import io
import json
import struct
import tarfile
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from pynori_core.env import Env

from pynori.config import Settings
from pynori.http.listener import listen
from pynori.server.server import Server
from tests.http.conftest import Api
from tests.queries.conftest import Desk

HERE = Path(__file__).resolve().parent / "indexes"
OF_THE_PROCESS = ("lock", "reserve", "run.json")
SIZE_BYTES_MAX = 100 * 1024
CITIES = (("Oslo", 59.9, 10.7), ("Rome", 41.9, 12.5), ("Quito", -0.2, -78.5))
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]

DEFINITIONS: list[dict[str, Any]] = [
    {"Name": "Orders/ByLines", "Maps": [
        'from o in docs.Orders from l in o.Lines let c = LoadDocument(o.Company, "Companies") '
        "select new { o.Company, CompanyName = c.Name, l.Product, l.Price }"],
     "Fields": {"Product": {"Indexing": "Exact"}, "Price": {"Storage": "Yes"}}},
    {"Name": "Everybody", "Maps": [
        "from c in docs.Companies select new { c.Name, Text = c.About }",
        "from o in docs.Orders select new { Name = o.Company, Text = o.Note }"],
     "Fields": {"Text": {"Indexing": "Search"}}},
    {"Name": "Scripted", "Maps": ["map('Companies', c => ({ Name: c.Name, Long: c.About.length > 20 }))"]},
    {"Name": "Sales", "Maps": [
        "from o in docs.Orders from l in o.Lines select new { l.Product, Total = l.Price, Count = 1 }"],
     "Reduce": "from r in results group r by r.Product into g select new { Product = g.Key, "
               "Total = g.Sum(x => x.Total), Count = g.Sum(x => x.Count) }"},
]  # fmt: skip
QUESTIONS = [
    "from Companies where Name = 'company 3'",
    "from Companies where Founded between 1990 and 1994 order by Founded as long desc",
    "from Companies where search(About, 'alpha gamma') order by id()",
    "from Companies where exact(Name = 'Company 4')",
    "from Companies where spatial.within(spatial.point(Lat, Lon), spatial.circle(100, 41.9, 12.5))",
    "from Orders group by Company select Company, count() as Many order by Company",
    "from @all_docs where Name = 'company 5'",
    "from index 'Orders/ByLines' where CompanyName = 'company 2' and Product = 'P2' order by id()",
    "from index 'Orders/ByLines' where Price > 17.5 order by Price as double limit 5",
    "from index 'Everybody' where search(Text, 'theta') order by id()",
    "from index 'Scripted' where Long = true order by id()",
    "from index 'Sales' where Count > 3 order by Product",
    "from index 'Sales' where Product = 'P0'",
]


def documents() -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}
    for i in range(20):
        city, latitude, longitude = CITIES[i % 3]
        made[f"companies/{i}"] = {
            "Name": f"Company {i}", "Founded": 1985 + i, "City": city, "Lat": latitude, "Lon": longitude,
            "About": " ".join(WORDS[(i * step) % 10] for step in range(1, 2 + i % 7)),
            "@metadata": {"@collection": "Companies"},
        }  # fmt: skip
    for i in range(60):
        lines = [{"Product": f"P{(i + k) % 4}", "Price": i % 20 + k / 4} for k in range(i % 3 + 1)]
        made[f"orders/{i}"] = {
            "Company": f"companies/{i % 20}", "Note": f"{WORDS[i % 10]} {i}", "Lines": lines,
            "@metadata": {"@collection": "Orders"},
        }  # fmt: skip
    return made


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Desk]:
    """A server over a data directory."""
    server = await Server.start(Settings(data_dir=folder))
    listener = await listen(server, "127.0.0.1", 0)
    server.announce(listener.url, "tcp://127.0.0.1:4711")
    try:
        yield Desk(Api(server, listener))
    finally:
        listener.close()
        await server.stop()


async def results(desk: Desk, question: str) -> list[Any]:
    """What a question gives: ids of documents, or rows."""
    found = (await desk.ask(question, WaitForNonStaleResults=True))["Results"]
    return [each["@metadata"].get("@id") or {k: v for k, v in each.items() if k != "@metadata"} for each in found]


async def states(desk: Desk) -> dict[str, list[Any]]:
    """Of each index: type, state, entries, and how many documents were mapped: one that was built anew differs."""
    found = (await desk.api.json("GET", "/databases/db/indexes/stats"))["Results"]
    return {each["Name"]: [each[key] for key in ("Type", "State", "EntriesCount", "MapAttempts")] for each in found}


async def build(folder: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    async with running(folder) as desk:
        await desk.api.json("PUT", "/admin/databases?name=db&replicationFactor=1", {"DatabaseName": "db"}, 201)
        await desk.api.json("PUT", "/databases/db/admin/indexes", {"Indexes": DEFINITIONS}, 201)
        commands = [{"Type": "PUT", "Id": id, "Document": body} for id, body in documents().items()]
        await desk.api.json("POST", "/databases/db/bulk_docs", {"Commands": commands}, 201)
        for question in QUESTIONS:
            await results(desk, question)
        moved = {**documents()["companies/7"], "@metadata": {"@collection": "Orders"}}
        gone = [{"Type": "DELETE", "Id": id} for id in ("companies/7", "orders/7", "orders/31")]
        commands = [*gone, {"Type": "PUT", "Id": "companies/7", "Document": moved}]
        await desk.api.json("POST", "/databases/db/bulk_docs", {"Commands": commands}, 201)
        answers = {question: await results(desk, question) for question in QUESTIONS}
        return read_tree(folder), {"answers": answers, "indexes": await states(desk)}


def read_tree(folder: Path) -> dict[str, bytes]:
    """Files below a directory, by their path in it, but for those of the running server, which is idle."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in OF_THE_PROCESS]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def format_of(folder: Path) -> int:
    """The number that the state of an index begins with."""
    (path,) = (folder / "Indexes" / "db").glob("Scripted-*")
    with Env.open(str(path), read_only=True) as env, env.read() as txn:
        return int(struct.unpack_from("<I", txn.tree(b"meta").get(b"s"))[0])


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "data"
        files, truth = uvloop.run(build(folder))
        target = HERE / str(format_of(folder))
    target.mkdir(parents=True)
    with tarfile.open(target / "data.tar.xz", "w:xz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    (target / "truth.json").write_text(json.dumps(truth, indent=0) + "\n")
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target}: {len(files)} files, {size} bytes")
    assert size < SIZE_BYTES_MAX, "too many bytes for a repository"


if __name__ == "__main__":
    main()

"""Queries of one million orders: an equality, a range, an order and a limit of ten, beside SQLite and PostgreSQL.

    python bench/macro/queries.py [--documents 1000000] [--queries 300] [--no-postgres] [--keep]

All three hold the same JSON: Pynori in a server process of its own, SQLite as a JSON column in this process, PostgreSQL
as JSONB in a server over a local socket. Pynori gets no index but the one that the first query makes, which keeps each
field by itself. The others get theirs by hand, twice: an index for each field, which is what serves any query of these
fields and what is made without looking at this very one; and the compound index of equality and order, which is the
best that there is for this very query and for few others. The same random parameters go to all; answers are compared.
Printed: medians and 99th percentiles of a query as a client in Python sees it, documents as dictionaries, and how many
times as long the others take as Pynori by its own client.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
COUNTRIES = [f"Country {number:03}" for number in range(200)]
STATUSES = ["Open", "Paid", "Sent", "Returned"]
BULK_DOCUMENTS = 20_000
Ask = Callable[[str, int], list[str]]


def orders(count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Orders of some 700 bytes; the same for the same count."""
    dice = random.Random(7)
    for number in range(1, count + 1):
        lines = [
            {
                "Product": f"products/{dice.randrange(5_000)}",
                "Quantity": dice.randrange(1, 40),
                "PricePerUnit": dice.randrange(100, 90_000) / 100,
                "Discount": 0.0,
            }
            for _ in range(dice.randrange(1, 6))
        ]
        total = round(sum(line["Quantity"] * line["PricePerUnit"] for line in lines), 2)
        day, second = dice.randrange(3_000), dice.randrange(86_400)
        ordered = time.strftime("%Y-%m-%dT%H:%M:%S.0000000Z", time.gmtime(1_500_000_000 + day * 86_400 + second))
        yield (
            f"orders/{number}",
            {
                "Company": f"companies/{dice.randrange(20_000)}",
                "Employee": f"employees/{dice.randrange(500)}",
                "OrderedAt": ordered,
                "Status": dice.choice(STATUSES),
                "Total": total,
                "Freight": dice.randrange(10_000) / 100,
                "ShipTo": {"City": f"City {dice.randrange(4_000)}", "Country": dice.choice(COUNTRIES)},
                "Lines": lines,
            },
        )


def parameters(count: int) -> list[tuple[str, int]]:
    dice = random.Random(11)
    return [(dice.choice(COUNTRIES), dice.randrange(1_000, 60_000)) for _ in range(count)]


def timed(ask: Ask, asked: list[tuple[str, int]]) -> tuple[list[float], list[list[str]]]:
    """Milliseconds of each query, and what it gave."""
    spent, answers = [], []
    for country, total in asked:
        began = time.perf_counter()
        answers.append(ask(country, total))
        spent.append((time.perf_counter() - began) * 1_000)
    return spent, answers


# ---------------------------------------------------------------- Pynori


class Pynori:
    """A server process with the documents in it."""

    TEXT = "from Orders where ShipTo.Country = $country and Total >= $total order by OrderedAt desc limit 10"

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "pynori", "serve", "--url", "http://127.0.0.1:0", "--data-dir", str(folder)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = next(line for line in self.process.stdout if line.startswith("Server available on:"))
        self.url = line.split(":", 1)[1].strip()
        self.connection = http.client.HTTPConnection(self.url.removeprefix("http://").rstrip("/"), timeout=900)
        self.call("PUT", "/admin/databases?name=Shop&replicationFactor=1", {"DatabaseName": "Shop"})

    def call(self, method: str, path: str, body: Any) -> Any:
        self.connection.request(method, path, json.dumps(body) if not isinstance(body, bytes) else body)
        answer = self.connection.getresponse()
        data = answer.read()
        assert answer.status in (200, 201), (path, answer.status, data[:500])
        return json.loads(data) if data else None

    def fill(self, count: int) -> None:
        commands: list[str] = []
        began = time.perf_counter()
        for id, order in orders(count):
            document = {**order, "@metadata": {"@collection": "Orders"}}
            commands.append(json.dumps({"Id": id, "Type": "PUT", "Document": document}))
            if len(commands) == BULK_DOCUMENTS:
                self.send(commands)
        self.send(commands)
        print(f"pynori: {count:,} documents stored in {time.perf_counter() - began:.1f} s (making them included)")

    def send(self, commands: list[str]) -> None:
        if commands:
            id = self.call("GET", "/databases/Shop/operations/next-operation-id", b"")["Id"]
            self.call("POST", f"/databases/Shop/bulk_insert?id={id}", ("[" + ",".join(commands) + "]").encode())
            commands.clear()

    def ask(self, country: str, total: int) -> list[str]:
        body = {"Query": self.TEXT, "QueryParameters": {"country": country, "total": total}}
        answer = self.call("POST", "/databases/Shop/queries", body)
        return [each["@metadata"]["@id"] for each in answer["Results"]]

    def own_client_ask(self) -> Ask:
        """The same through our own client."""
        from pynori.client.http import HttpClient
        from pynori.client.queries import query

        client = HttpClient(self.url)

        def ask(country: str, total: int) -> list[str]:
            answer = query(client, "Shop", self.TEXT, {"country": country, "total": total})
            return [each["@metadata"]["@id"] for each in answer.results]

        return ask

    def client_ask(self) -> Ask:
        """The same through the official client, a session for each query."""
        from ravendb import DocumentStore

        store = DocumentStore(self.url, "Shop")
        store.initialize()

        def ask(country: str, total: int) -> list[str]:
            with store.open_session() as session:
                query = session.advanced.raw_query(self.TEXT, dict)
                query.add_parameter("country", country).add_parameter("total", total)
                found = list(query)
                return [session.advanced.get_document_id(each) or each.get("Id", "") for each in found]

        return ask

    def close(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.wait(60)


# ---------------------------------------------------------------- the others


def sqlite_ask(folder: Path, count: int, indexes: list[str]) -> Ask:
    database = sqlite3.connect(folder / "orders.sqlite")
    if not database.execute("select 1 from sqlite_master where name = 'orders'").fetchone():
        began = time.perf_counter()
        database.execute("create table orders (id text primary key, body text)")
        database.executemany("insert into orders values (?, ?)", ((id, json.dumps(o)) for id, o in orders(count)))
        database.commit()
        print(f"sqlite: {count:,} documents stored in {time.perf_counter() - began:.1f} s")
    made = "select name from sqlite_master where type = 'index' and sql is not null"
    for (name,) in database.execute(made).fetchall():
        database.execute(f"drop index {name}")
    began = time.perf_counter()
    for number, expression in enumerate(indexes):
        database.execute(f"create index i{number} on orders ({expression})")
    database.execute("analyze")
    database.commit()
    print(f"sqlite: made in {time.perf_counter() - began:.1f} s: {'; '.join(indexes)}")
    text = (
        "select id, body from orders where json_extract(body, '$.ShipTo.Country') = ? "
        "and json_extract(body, '$.Total') >= ? order by json_extract(body, '$.OrderedAt') desc limit 10"
    )
    return lambda country, total: [row[0] for row in database.execute(text, (country, total)).fetchall()]


class Postgres:
    """A PostgreSQL server of its own, over a socket in a folder."""

    def __init__(self, folder: Path, count: int) -> None:
        import psycopg

        self.folder = folder / "postgres"
        self.folder.mkdir()
        shutil.chown(folder, "postgres")
        shutil.chown(self.folder, "postgres")
        self.data = self.folder / "data"
        self.run("initdb", "-D", str(self.data), "-A", "trust")
        options = f"-k {self.folder} -c listen_addresses='' -c shared_buffers=512MB -c max_wal_size=4GB"
        self.run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.folder / "log"), "-o", options, "start")
        self.connection = psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres", autocommit=True)
        began = time.perf_counter()
        self.connection.execute("create table orders (id text primary key, body jsonb)")
        with self.connection.cursor().copy("copy orders from stdin") as copy:
            for id, order in orders(count):
                copy.write_row((id, json.dumps(order)))
        print(f"postgres: {count:,} documents stored in {time.perf_counter() - began:.1f} s")

    def run(self, *command: str) -> None:
        user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        subprocess.run([*user, *command], check=True, stdout=subprocess.DEVNULL, cwd="/")

    def ask(self, indexes: list[str]) -> Ask:
        began = time.perf_counter()
        made = "select indexname from pg_indexes where indexname like 'made%'"
        for (name,) in self.connection.execute(made).fetchall():
            self.connection.execute(f"drop index {name}")
        for number, expression in enumerate(indexes):
            self.connection.execute(f"create index made{number} on orders ({expression})")
        self.connection.execute("vacuum analyze orders")
        print(f"postgres: made in {time.perf_counter() - began:.1f} s: {'; '.join(indexes)}")
        text = (
            "select id, body from orders where body->'ShipTo'->>'Country' = %s and (body->>'Total')::numeric >= %s "
            "order by body->>'OrderedAt' desc limit 10"
        )
        return lambda country, total: [row[0] for row in self.connection.execute(text, (country, total)).fetchall()]

    def close(self) -> None:
        self.connection.close()
        self.run("pg_ctl", "-D", str(self.data), "-m", "fast", "stop")


# ---------------------------------------------------------------- the run

SQLITE_SINGLE = [f"json_extract(body, '$.{path}')" for path in ("ShipTo.Country", "Total", "OrderedAt")]
SQLITE_COMPOUND = ["json_extract(body, '$.ShipTo.Country'), json_extract(body, '$.OrderedAt')"]
POSTGRES_SINGLE = ["(body->'ShipTo'->>'Country')", "((body->>'Total')::numeric)", "(body->>'OrderedAt')"]
POSTGRES_COMPOUND = ["(body->'ShipTo'->>'Country'), (body->>'OrderedAt')"]


class Report:
    """Lines of results, compared with the first."""

    def __init__(self, asked: list[tuple[str, int]]) -> None:
        self.asked = asked
        self.first: tuple[float, list[list[str]]] | None = None

    def add(self, name: str, ask: Ask, *, compared: bool = True) -> None:
        timed(ask, self.asked[:10])
        spent, answers = timed(ask, self.asked)
        spent.sort()
        median, late = spent[len(spent) // 2], spent[len(spent) * 99 // 100]
        if self.first is None:
            self.first = median, answers
        ratio = median / self.first[0]
        print(f"{name:32} median {median:8.3f} ms   99 % {late:8.3f} ms   {ratio:6.2f} x")
        if compared and answers != self.first[1]:
            wrong = next(i for i, (a, b) in enumerate(zip(answers, self.first[1], strict=True)) if a != b)
            both = f"{answers[wrong]}\n{self.first[1][wrong]}"
            raise SystemExit(f"FAILED: {name} answers {self.asked[wrong]} otherwise:\n{both}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--no-postgres", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the folder behind")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pynori-queries-"))
    folder.chmod(0o755)
    report = Report(parameters(options.queries))
    pynori, postgres = Pynori(folder / "pynori"), None
    try:
        pynori.fill(options.documents)
        began = time.perf_counter()
        pynori.ask(*report.asked[0])
        seconds = time.perf_counter() - began
        rate = options.documents / seconds
        print(f"pynori: first query {seconds:.1f} s, which is {rate:,.0f} documents/s to the index")
        report.add("pynori, pynori.client", pynori.own_client_ask())
        report.add("pynori, http.client and json", pynori.ask)
        report.add("pynori, official client", pynori.client_ask(), compared=False)
        report.add("sqlite, single-field indexes", sqlite_ask(folder, options.documents, SQLITE_SINGLE))
        report.add("sqlite, compound index", sqlite_ask(folder, options.documents, SQLITE_COMPOUND))
        if not options.no_postgres:
            postgres = Postgres(folder, options.documents)
            report.add("postgres, single-field indexes", postgres.ask(POSTGRES_SINGLE))
            report.add("postgres, compound index", postgres.ask(POSTGRES_COMPOUND))
    finally:
        pynori.close()
        if postgres is not None:
            postgres.close()
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

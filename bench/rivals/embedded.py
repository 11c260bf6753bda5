"""The embedded faces, Python and C, beside SQLite, LMDB and RocksDB as Python has them: puts, batches of 100, reads.

Documents are orders of about 1 KB. Every put and batch is durable. Pynori reads and checks each as JSON; the peers
store and return bytes. "get" is a read of what the store has, of Pynori the document as stored, of the peers their
bytes; "field" reads and looks at one property; "json" gives the text. SQLite has a write-ahead journal and synchronous
FULL. The contenders take turns, because other load comes and goes; medians are shown.
"""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import statistics
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import orjson
import rocksdict

import pynori

ROUNDS = 3
SINGLES = 1_500
DOCUMENTS = 20_000
GETS = 50_000
BATCH = 100
THREADS = 8
ORDER = {
    "Company": "companies/12-A", "Employee": "employees/3-A", "Freight": 32.38,
    "ShipTo": {"City": "Reims", "Line1": "59 rue de l'Abbaye", "Location": {"Latitude": 49.25, "Longitude": 4.05}},
    "Lines": [
        {"Product": f"products/{line}-A", "ProductName": "Queso Cabrales", "Quantity": line, "PricePerUnit": 14.5}
        for line in range(9)
    ],
    "@metadata": {"@collection": "Orders"},
}  # fmt: skip
TEXT = json.dumps(ORDER).encode()
KINDS = ("put", "threads", "batch", "get", "field", "json")
# put, put many, get, field, json
Face = tuple[
    Callable[[int], object], Callable[[range], object], Callable[[int], object], Callable[[int], object],
    Callable[[int], object],
]  # fmt: skip


@contextmanager
def pynori_face(directory: Path) -> Iterator[Face]:
    with pynori.open(directory / "pynori") as database:

        def put_many(numbers: range) -> None:
            with database.batch() as batch:
                for number in numbers:
                    batch.put(f"orders/{number}", TEXT)

        yield (
            lambda number: database.put(f"orders/{number}", TEXT),
            put_many,
            lambda number: database.read(f"orders/{number}"),
            lambda number: database.read(f"orders/{number}").body["Freight"],
            lambda number: database.get_json(f"orders/{number}"),
        )


@contextmanager
def sqlite_face(directory: Path) -> Iterator[Face]:
    connection = sqlite3.connect(directory / "sqlite", isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute("create table documents (id text primary key, body blob) without rowid")
    put = "insert or replace into documents values (?, ?)"

    def put_many(numbers: range) -> None:
        connection.execute("begin")
        connection.executemany(put, [(f"orders/{number}", TEXT) for number in numbers])
        connection.execute("commit")

    def get(number: int) -> bytes:
        return connection.execute("select body from documents where id=?", (f"orders/{number}",)).fetchone()[0]

    def put_one(number: int) -> None:
        connection.execute(put, (f"orders/{number}", TEXT))

    yield put_one, put_many, get, lambda number: orjson.loads(get(number))["Freight"], get
    connection.close()


@contextmanager
def lmdb_face(directory: Path) -> Iterator[Face]:
    environment = lmdb.open(str(directory / "lmdb"), map_size=1 << 30)

    def put_many(numbers: range) -> None:
        with environment.begin(write=True) as txn:
            for number in numbers:
                txn.put(b"orders/%d" % number, TEXT)

    def get(number: int) -> bytes:
        with environment.begin() as txn:
            return txn.get(b"orders/%d" % number)

    def put(number: int) -> None:
        put_many(range(number, number + 1))

    yield put, put_many, get, lambda number: orjson.loads(get(number))["Freight"], get
    environment.close()


@contextmanager
def rocksdb_face(directory: Path) -> Iterator[Face]:
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    database = rocksdict.Rdict(str(directory / "rocksdb"), options)
    durable = rocksdict.WriteOptions()
    durable.sync = True
    database.set_write_options(durable)

    def put_many(numbers: range) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        for number in numbers:
            batch.put(b"orders/%d" % number, TEXT)
        database.write(batch, durable)

    def put(number: int) -> None:
        database[b"orders/%d" % number] = TEXT

    def get(number: int) -> bytes:
        return database[b"orders/%d" % number]

    yield put, put_many, get, lambda number: orjson.loads(get(number))["Freight"], get
    database.close()


def rate(count: int, body: Callable[[], object]) -> float:
    start = time.perf_counter()
    body()
    return count / (time.perf_counter() - start)


def measure(face: Face) -> dict[str, float]:
    put, put_many, get, field, text = face

    def reads(read: Callable[[int], object]) -> float:
        return rate(GETS, lambda: [None for number in range(GETS) if read(number * 2654435761 % DOCUMENTS) is None])

    return {
        "put": rate(SINGLES, lambda: [put(number) for number in range(SINGLES)]),
        "batch": rate(DOCUMENTS, lambda: [put_many(range(at, at + BATCH)) for at in range(0, DOCUMENTS, BATCH)]),
        "get": reads(get),
        "field": reads(field),
        "json": reads(text),
    }


def threads_rate(directory: Path) -> float:
    """Puts of THREADS threads at the same time, which share commits."""
    with pynori.open(directory / "threads") as database:

        def work(thread: int) -> None:
            for number in range(SINGLES // 2):
                database.put(f"orders/{thread}-{number}", TEXT)

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]

        def run() -> None:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        return rate(SINGLES // 2 * THREADS, run)


def compile_loops(directory: Path) -> Path:
    flags = subprocess.run(
        [sys.executable, "-m", "pynori.embed", "--cflags", "--libs"], check=True, capture_output=True, text=True
    ).stdout.split()
    program = directory / "loops"
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC").split()[0])
    source = Path(__file__).parent / "embedded_loops.c"
    subprocess.run([*compiler, "-std=gnu11", "-O2", str(source), *flags, "-o", str(program)], check=True)
    return program


def measure_c(program: Path, directory: Path) -> dict[str, float]:
    words = [str(program), str(directory / "c"), str(SINGLES), str(DOCUMENTS), str(GETS)]
    output = subprocess.run(words, input=TEXT, check=True, capture_output=True).stdout.decode()
    return {name: float(value) for name, value in (line.split() for line in output.splitlines())}


def run(base: Path) -> dict[str, dict[str, float]]:
    """Medians by contender and kind."""
    found: dict[str, list[dict[str, float]]] = {}
    faces = {"pynori": pynori_face, "sqlite": sqlite_face, "py-lmdb": lmdb_face, "rocksdict": rocksdb_face}
    program = compile_loops(base)
    for round_number in range(ROUNDS):
        directory = base / f"embedded{round_number}"
        directory.mkdir()
        for name, face in faces.items():
            with face(directory) as opened:
                found.setdefault(name, []).append(measure(opened))
        found["pynori"][-1]["threads"] = threads_rate(directory)
        found.setdefault("pynori.h", []).append(measure_c(program, directory))
    return {
        name: {kind: statistics.median(each[kind] for each in rounds) for kind in rounds[0]}
        for name, rounds in found.items()
    }

"""An index over documents: how fast it is made, and what questions cost while it grows.

    python bench/bench_index.py [--documents 1000000] [--directory DIR]

Documents are users of about 200 bytes of JSON; the index has two fields as an auto index makes them, a name with many
values and a number with few. Indexing runs on one thread, in feeds of 65,536 documents with a durable commit each.
Prints documents per second, bytes a document, memory, and microseconds a question at 1/100, 1/10 and all of them.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "ext"), str(ROOT)]

from pynori_core.command import Batch  # noqa: E402
from pynori_core.document_snapshot import DocumentSnapshot  # noqa: E402
from pynori_core.document_writer import DocumentWriter  # noqa: E402
from pynori_core.index_feed import FieldPaths  # noqa: E402
from pynori_core.index_store import IndexSnapshot, IndexStore  # noqa: E402
from pynori_core.items import DocumentStore  # noqa: E402

from pynori.runtime import codecs  # noqa: E402, F401

BATCH_DOCUMENTS = 512
QUESTION_SECONDS = 0.3
FIRST = ["Ada", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal", "Ida", "Jon", "Kay", "Liv", "Max", "Nia", "Ole"]


def user(dice: random.Random, number: int) -> bytes:
    """About 200 bytes."""
    return json.dumps(
        {
            "Name": f"{dice.choice(FIRST)} {dice.randrange(20_000)}",
            "Age": dice.randrange(100),
            "City": f"City {dice.randrange(1000)}",
            "Email": f"user{number}@example.org",
            "Tags": ["a", "b", "c"],
            "Address": {"Street": f"Street {dice.randrange(500)}", "Zip": dice.randrange(10_000)},
            "@metadata": {"@collection": "Users"},
        }
    ).encode()


def fill(directory: Path, first: int, last: int, store: DocumentStore | None) -> DocumentStore:
    """Documents first to last, without the index."""
    dice = random.Random(first)
    store = store or DocumentStore.create(str(directory / "documents"), bytes(16), "A")
    writer = DocumentWriter(store)
    for start in range(first, last, 65_536):
        batches = []
        for begin in range(start, min(start + 65_536, last), BATCH_DOCUMENTS):
            batch = Batch()
            for number in range(begin, min(begin + BATCH_DOCUMENTS, last)):
                batch.put(f"users/{number}-A", user(dice, number))
            batches.append(batch)
        writer.execute_all(batches)
    writer.close()
    return store


def index(store: DocumentStore, made: IndexStore, since: int, program: FieldPaths) -> tuple[int, int, float, float]:
    """Feed all that is new; last etag, documents, seconds, seconds of a processor (of all threads)."""
    documents = 0
    begin, begin_busy = time.perf_counter(), time.process_time()
    snapshot = DocumentSnapshot(store)
    more = True
    while more:
        with made.write() as writer:
            fed = writer.feed(snapshot, "Users", since, program)
        since, more = fed.last_etag, fed.more
        documents += fed.documents
    snapshot.close()
    return since, documents, time.perf_counter() - begin, time.process_time() - begin_busy


def microseconds(question: Callable[[], Any]) -> float:
    """The mean of as many as fit into QUESTION_SECONDS, in time of the processor: the machine may have other users."""
    question()
    begin = time.thread_time()
    count = 0
    while time.thread_time() - begin < QUESTION_SECONDS:
        question()
        count += 1
    return (time.thread_time() - begin) / count * 1e6


def questions(snapshot: IndexSnapshot, name: int, age: int) -> dict[str, float]:
    """What typical parts of queries cost."""
    dice = random.Random(5)

    def some_name() -> str:
        return f"{dice.choice(FIRST)} {dice.randrange(20_000)}"

    def equality_range_sort() -> None:
        found = snapshot.equal(age, dice.randrange(100))
        found = snapshot.range(name, "c", "f", within=found)
        snapshot.documents(snapshot.ordered(name, within=found, limit=10))

    def narrow() -> None:
        found = snapshot.range(age, 20, 60, within=snapshot.equal(name, some_name()))
        snapshot.documents(snapshot.ordered(age, within=found, limit=10))

    everyone = snapshot.all()
    return {
        "equal, few": microseconds(lambda: snapshot.equal(name, some_name())),
        "equal, 1 %": microseconds(lambda: snapshot.equal(age, dice.randrange(100))),
        "few + range + sort, 10": microseconds(narrow),
        "1 % + range + sort, 10": microseconds(equality_range_sort),
        "range of 40 %": microseconds(lambda: snapshot.range(age, 20, 59)),
        "sort of all, 10": microseconds(lambda: snapshot.ordered(name, limit=10, descending=True)),
        "sort of 40 %, 10": microseconds(lambda: snapshot.ordered(name, limit=10, within=everyone)),
        "prefix": microseconds(lambda: snapshot.prefix(name, "ada 19")),
        "all": microseconds(snapshot.all),
        "facets of 1 %": microseconds(lambda: snapshot.term_counts(age, snapshot.equal(age, 7))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bench-index-", dir=options.directory))
    made = IndexStore.create(directory / "index")
    with made.write() as writer:
        name, age = writer.field("Name"), writer.field("Age")
    program = FieldPaths([(name, "Name"), (age, "Age")])
    store: DocumentStore | None = None
    since, before = 0, 0
    rows: dict[str, list[float]] = {}
    try:
        for count in (options.documents // 100, options.documents // 10, options.documents):
            store = fill(directory, before, count, store)
            since, documents, seconds, busy = index(store, made, since, program)
            before = count
            with made.read() as snapshot:
                print(
                    f"{count:>9,} documents: +{documents:,} at {documents / seconds:,.0f} documents/s, "
                    f"{documents / busy:,.0f} for each second of a processor",
                    flush=True,
                )
                for question, cost in questions(snapshot, name, age).items():
                    rows.setdefault(question, []).append(cost)
        made.checkpoint()
        size = made.statistics()["file_pages"] * 8192
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"{size / before:.0f} bytes of file a document; {memory} MB of memory at most")
        for question, costs in rows.items():
            print(f"{question:<24}" + "".join(f"{cost:>12,.1f}" for cost in costs) + "   µs")
    finally:
        made.close()
        if store is not None:
            store.close()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()

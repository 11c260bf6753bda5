"""How speed and size change while a database grows: puts, updates, point reads, scans, bytes on disk against JSON.

    python bench/bench_growth.py [--large] [--directory DIR] [--picture growth.svg]

At 10,000, 100,000 and 1,000,000 documents of 1 KB (5,000,000 with --large; --most N stops earlier): documents loaded
per second since the size before, updates of random documents in batches of 64 and 1 document, point reads, documents
of one scan per second. Then bytes: the journal written for the load against the JSON in LZ4 blocks of one batch, and
the data file against the JSON. The goals are 1.1 and 1.25. With --picture and matplotlib, a picture.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "ext"), str(ROOT), str(ROOT / "bench")]

import lz4.block  # noqa: E402
from pynori_core.command import Batch  # noqa: E402
from pynori_core.document_writer import DocumentWriter  # noqa: E402
from pynori_core.items import DocumentStore  # noqa: E402
from pynori_core.reads import DocumentReader, DocumentStream  # noqa: E402
from rivals.documents import SAMPLES, sample_documents  # noqa: E402

from pynori.runtime import codecs  # noqa: E402, F401

SIZES = (10_000, 100_000, 1_000_000)
SIZE_LARGE = 5_000_000
LOAD_BATCH = 1_000
UPDATES = 20_000
SINGLES = 500
READS = 50_000
SCANNED_MAX = 200_000
VARIED = 4_096  # different documents: what LZ4 finds in one batch is what it would find in real ones


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def varied_documents(dice: random.Random) -> list[bytes]:
    """As sample_documents, more of them."""
    made: list[bytes] = []
    while len(made) < VARIED:
        made += sample_documents(dice)[: min(SAMPLES, VARIED - len(made))]
    return made


class Growth:
    """One database that grows, and what was measured at each size."""

    def __init__(self, directory: Path) -> None:
        self.dice = random.Random(9)
        self.documents = varied_documents(self.dice)
        self.store = DocumentStore.create(str(directory), bytes(range(16)), "A")
        self.writer = DocumentWriter(self.store)
        self.reader = DocumentReader(self.store)
        self.count = 0
        self.json_bytes = 0
        self.lz4_bytes = 0
        self.load_journal_bytes = 0

    def load(self, size: int) -> float:
        """Up to `size` documents; documents per second."""
        spent = 0.0
        first = self.count
        while self.count < size:
            batches = []
            for _ in range(min(20, -(-(size - self.count) // LOAD_BATCH))):
                batch, text = Batch(), []
                for _ in range(min(LOAD_BATCH, size - self.count)):
                    document = self.dice.choice(self.documents)
                    batch.put(f"orders/{self.count}-A", document)
                    text.append(document)
                    self.count += 1
                batches.append(batch)
                joined = b"".join(text)
                self.json_bytes += len(joined)
                self.lz4_bytes += len(lz4.block.compress(joined, store_size=False))
            before = self.store.environment()["journal_bytes"]
            spent += seconds(lambda batches=batches: self.writer.execute_all(batches, 2))  # type: ignore[misc]
            self.load_journal_bytes += self.store.environment()["journal_bytes"] - before
        return (size - first) / spent

    def update(self, count: int, batch_size: int) -> float:
        """Random documents, one batch after the other; documents per second."""
        batches = []
        for _ in range(count // batch_size):
            batch = Batch()
            for _ in range(batch_size):
                batch.put(f"orders/{self.dice.randrange(self.count)}-A", self.dice.choice(self.documents))
            batches.append(batch)
        return count / seconds(lambda: [self.writer.execute(batch) for batch in batches])

    def read(self) -> float:
        ids = [f"orders/{self.dice.randrange(self.count)}-A" for _ in range(READS)]
        return READS / seconds(lambda: [self.reader.get(id, False) for id in ids])

    def scan(self) -> float:
        stream = DocumentStream.of_collection(self.store, "Orders", 0, SCANNED_MAX)
        found = 0

        def walk() -> None:
            nonlocal found
            for _ in stream:
                found += 1

        spent = seconds(walk)
        stream.close()
        return found / spent

    def measure(self, size: int) -> dict[str, float]:
        """The figures at one size."""
        figures = {"load/s": self.load(size)}
        self.store.checkpoint()
        environment = self.store.environment()
        used = (environment["file_pages"] - environment["free_pages"]) * 8192
        figures |= {
            "journal/lz4": self.load_journal_bytes / self.lz4_bytes,
            "file/json": environment["file_bytes"] / self.json_bytes,
            "used/json": used / self.json_bytes,
        }
        figures["update64/s"] = self.update(UPDATES // 64 * 64, 64)
        figures["update1/s"] = self.update(SINGLES, 1)
        figures["read/s"] = self.read()
        figures["scan/s"] = self.scan()
        return figures


def picture(path: Path, table: dict[int, dict[str, float]]) -> None:
    """Speed by size, both axes logarithmic."""
    import matplotlib.pyplot as plot  # type: ignore[import-not-found,unused-ignore]

    for name in ("load/s", "update64/s", "update1/s", "read/s", "scan/s"):
        plot.loglog(list(table), [figures[name] for figures in table.values()], marker="o", label=name)
    plot.xlabel("documents")
    plot.ylabel("per second")
    plot.legend()
    plot.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--large", action="store_true", help=f"go on to {SIZE_LARGE:,} documents")
    parser.add_argument("--most", type=int, default=SIZE_LARGE, help="no size above this one")
    parser.add_argument("--directory", type=Path, help="where the database is made; removed at the end")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(dir=options.directory)) / "db"
    table: dict[int, dict[str, float]] = {}
    try:
        growth = Growth(directory)
        for size in [size for size in (*SIZES, *([SIZE_LARGE] if options.large else [])) if size <= options.most]:
            table[size] = growth.measure(size)
            if size == min(SIZES):
                print(f"{'documents':>10}" + "".join(f"{name:>13}" for name in table[size]))
            print(f"{size:>10}" + "".join(f"{value:>13,.2f}" for value in table[size].values()), flush=True)
        growth.writer.close()
        growth.store.close()
    finally:
        shutil.rmtree(directory.parent, ignore_errors=True)
    if options.picture and importlib.util.find_spec("matplotlib") is not None:
        picture(options.picture, table)


if __name__ == "__main__":
    main()

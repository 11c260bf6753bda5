"""Document writes and reads against RocksDB, LMDB (their C interfaces) and the bare disk, in one run, as ratios.

    python bench/bench_documents.py [--documents 200000] [--updates 20000] [--directory DIR]

Documents are orders of 1 KB as JSON. Every write is durable before its caller goes on. `merged64` is 64 callers with
one document each, who share commits (for the peers: a write batch of 64); `batch64` is one caller with 64 documents in
one user transaction. `reads_fresh` are those whose documents were changed since the last checkpoint. Figures are the
best of ROUNDS. Needs a C compiler, librocksdb-dev and liblmdb-dev. Prints operations per second and ratios.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "ext"), str(ROOT)]

from pynori_core.command import Batch  # noqa: E402
from pynori_core.document_writer import DocumentWriter  # noqa: E402
from pynori_core.items import DocumentStore  # noqa: E402
from pynori_core.reads import DocumentReader  # noqa: E402

from pynori.runtime import codecs  # noqa: E402, F401

SAMPLES = 256
SAMPLE_BYTES = 1024
SINGLES = 1000
READS = 200_000
READS_PYTHON = 100_000
ROUNDS = 3  # the best counts: the disk may have other users


def sample_documents(dice: random.Random) -> list[bytes]:
    """Orders of exactly SAMPLE_BYTES of JSON text."""
    words = ["lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "adipiscing", "elit", "sed", "tempor", "labore"]
    made = []
    for _ in range(SAMPLES):
        lines = [
            {"Product": f"products/{dice.randrange(1000)}-A", "Name": " ".join(dice.sample(words, 2)),
             "Quantity": dice.randrange(100), "PricePerUnit": dice.randrange(10_000) / 100}
            for _ in range(7)
        ]  # fmt: skip
        order = {"Company": f"companies/{dice.randrange(100)}-A", "OrderedAt": "2026-05-01T12:00:00.0000000Z",
                 "Lines": lines, "Note": "", "@metadata": {"@collection": "Orders"}}  # fmt: skip
        room = SAMPLE_BYTES - len(json.dumps(order, separators=(",", ":")))
        assert room > 0
        order["Note"] = "".join(dice.choice(" ".join(words)) for _ in range(room))
        made.append(json.dumps(order, separators=(",", ":")).encode())
    return made


class Ours:
    """The same workloads over a database of ours."""

    def __init__(self, directory: Path, samples: list[bytes], documents: int, updates: int) -> None:
        self.directory, self.samples, self.documents, self.updates = directory, samples, documents, updates
        self.dice = random.Random(9)

    def batches(self, count: int, size: int, first: int | None = None) -> list[Batch]:
        """`count` documents in batches of `size`; random ids, or from `first` on."""
        made = []
        for start in range(0, count, size):
            batch = Batch()
            for offset in range(min(size, count - start)):
                number = self.dice.randrange(self.documents) if first is None else first + start + offset
                batch.put(f"orders/{number}-A", self.samples[self.dice.randrange(SAMPLES)])
            made.append(batch)
        return made

    def run(self) -> dict[str, float]:
        """Operations per second by name."""
        figures = {}
        store = DocumentStore.create(str(self.directory), bytes(range(16)), "A")
        writer = DocumentWriter(store)
        spent = 0.0
        for first in range(0, self.documents, 100_000):
            batches = self.batches(min(100_000, self.documents - first), 1000, first)
            spent += timed(lambda batches=batches: writer.execute_all(batches, 2))
        figures["load"] = self.documents / spent
        figures["single"] = max(self.one_by_one(writer, SINGLES, 1) for _ in range(ROUNDS))
        for window in (64, 256):
            figures[f"merged{window}"] = max(self.merged(writer, window) for _ in range(ROUNDS))
            figures[f"batch{window}"] = max(self.one_by_one(writer, self.updates, window) for _ in range(ROUNDS))
        figures |= self.reads(store)
        environment, counters = store.environment(), writer.counters()
        writer.close()
        store.close()
        print(f"# commits {counters['commits']}, inline {counters['commits_inline']}, syncs {environment['syncs']}, "
              f"checkpoints {environment['checkpoints']}, pages cleaned {counters['pages_cleaned']}, "
              f"data file {environment['file_bytes'] / 1e6:.0f} MB, "
              f"journal {environment['journal_bytes'] / 1e6:.0f} MB")  # fmt: skip
        return figures

    def one_by_one(self, writer: DocumentWriter, count: int, size: int) -> float:
        """One caller with batches of `size`, waiting for each."""
        batches = self.batches(count, size)
        return count / timed(lambda: [writer.execute(batch) for batch in batches])

    def merged(self, writer: DocumentWriter, callers: int) -> float:
        """So many callers with one document each."""
        batches = self.batches(self.updates, 1)
        return self.updates / timed(lambda: writer.execute_all(batches, callers))

    def reads(self, store: DocumentStore) -> dict[str, float]:
        """Warm point reads from nogil code and from Python."""
        loops = compile_loops(self.directory.parent)
        figures = {}
        for name, as_json in (("reads_fresh", False), ("reads", False), ("reads_json", True)):
            if name == "reads":
                store.checkpoint()
            figures[name] = max(
                READS / timed(lambda form=as_json: loops.point_reads(store, self.documents, READS, form))
                for _ in range(ROUNDS)
            )
        reader = DocumentReader(store)
        ids = [f"orders/{self.dice.randrange(self.documents)}-A" for _ in range(READS_PYTHON)]
        for name, read in (("reads_python", reader.get), ("heads_python", reader.head)):
            figures[name] = max(
                READS_PYTHON / timed(lambda read=read: [read(id) for id in ids]) for _ in range(ROUNDS)
            )
        return figures


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compile_loops(directory: Path) -> ModuleType:
    """Build document_loops.pyx and import it."""
    source = directory / "document_loops.c"
    module = directory / ("document_loops" + sysconfig.get_config_var("EXT_SUFFIX"))
    subprocess.run(["cython", "-3", "-I", str(ROOT / "ext"), str(ROOT / "bench/document_loops.pyx"), "-o", str(source)],
                   check=True)  # fmt: skip
    subprocess.run(["cc", "-O3", "-shared", "-fPIC", "-w", f"-I{sysconfig.get_paths()['include']}",
                    f"-I{ROOT / 'ext/pynori_core/include'}", str(source), "-o", str(module)], check=True)  # fmt: skip
    specification = importlib.util.spec_from_file_location("document_loops", module)
    assert specification is not None and specification.loader is not None
    loaded = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(loaded)
    return loaded


def run_peer(
    program: Path, engine: str, directory: Path, samples: Path, arguments: argparse.Namespace
) -> dict[str, float]:
    """One engine's figures from the C program."""
    directory.mkdir()
    output = subprocess.run(
        [program, engine, directory, str(arguments.documents), str(arguments.updates), samples],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    shutil.rmtree(directory)
    return {name: float(value) for name, value in (line.split() for line in output.splitlines())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--updates", type=int, default=20_000)
    parser.add_argument("--directory", default=None, help="where to put the files; a temporary directory by default")
    arguments = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="pynori-bench-", dir=arguments.directory))
    try:
        samples = sample_documents(random.Random(1))
        sample_file = base / "samples"
        sample_file.write_bytes(b"".join(samples))
        program = base / "peers"
        subprocess.run(["cc", "-O2", str(ROOT / "bench/document_peers.c"), "-o", str(program), "-lrocksdb", "-llmdb"],
                       check=True)  # fmt: skip
        peers = {engine: run_peer(program, engine, base / engine, sample_file, arguments)
                 for engine in ("disk", "rocksdb", "lmdb")}  # fmt: skip
        ours = Ours(base / "ours", samples, arguments.documents, arguments.updates).run()
        os.sync()
    finally:
        shutil.rmtree(base, ignore_errors=True)
    show(ours, peers)


def show(ours: dict[str, float], peers: dict[str, dict[str, float]]) -> None:
    like = {"batch64": "merged64", "batch256": "merged256"} | dict.fromkeys(
        ("reads_json", "reads_fresh", "reads_python"), "reads"
    )
    print(f"{'per second':14}{'ours':>11}" + "".join(f"{name:>11}{'ratio':>7}" for name in peers))
    for name, value in ours.items():
        row = f"{name:14}{value:11,.0f}"
        for figures in peers.values():
            other = figures.get(like.get(name, name))
            row += f"{other:11,.0f}{value / other:7.2f}" if other else " " * 18
        print(row)


if __name__ == "__main__":
    main()

"""The engine against RocksDB, LMDB (their C interfaces) and the bare disk: no Python on either side.

Every write is durable before its caller goes on. `load` makes documents of JSON text in our case and stores ready bytes
in the peers'. `merged64` is 64 callers with one document each, who share commits; it stands beside a peer's ready write
batch of 64 and, as `callers64`, beside 64 threads of RocksDB that leave the sharing to it. `batch64` is one caller with
64 documents in one user transaction. `reads_fresh` are those of documents that were
changed since the last checkpoint. `scan` goes through all documents in the order of their last change, `scan_ids` in
that of their ids; the peers have one order. In `beside` a reader reads while a merged-64 writer writes: reads and
writes a second at the same time. Figures are the best of ROUNDS, those of `beside` of one long run.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "ext"), str(ROOT)]

from documents import SAMPLES  # noqa: E402
from pynori_core.command import Batch  # noqa: E402
from pynori_core.document_writer import DocumentWriter  # noqa: E402
from pynori_core.items import DocumentStore  # noqa: E402
from pynori_core.reads import DocumentReader  # noqa: E402

from pynori.runtime import codecs  # noqa: E402, F401

SINGLES = 1000
LOAD_BATCH = 1000
READS = 200_000
BESIDE_READS = 20_000  # a step of the reader beside a writer
BESIDE_FACTOR = 3  # updates of that run, in those of the others
READS_PYTHON = 100_000
ROUNDS = 3  # the best counts: the disk may have other users


class Ours:
    """The same workloads over a database of ours."""

    def __init__(self, directory: Path, samples: list[bytes], documents: int, updates: int) -> None:
        self.directory, self.samples, self.documents, self.updates = directory, samples, documents, updates
        self.dice = random.Random(9)
        self.loops: ModuleType = compile_loops(directory.parent)

    def batches(self, count: int, size: int) -> list[Batch]:
        """`count` documents with random ids in batches of `size`."""
        made = []
        for start in range(0, count, size):
            batch = Batch()
            for _ in range(min(size, count - start)):
                number = self.dice.randrange(self.documents)
                batch.put(f"orders/{number}-A", self.samples[self.dice.randrange(SAMPLES)])
            made.append(batch)
        return made

    def run(self) -> dict[str, float]:
        """Operations per second by name."""
        figures = {}
        store = DocumentStore.create(str(self.directory), bytes(range(16)), "A")
        writer = DocumentWriter(store)
        figures["load"] = self.documents / timed(lambda: self.load(writer))
        figures["single"] = max(self.one_by_one(writer, SINGLES, 1) for _ in range(ROUNDS))
        for window in (64, 256):
            figures[f"merged{window}"] = max(self.merged(writer, window) for _ in range(ROUNDS))
            figures[f"callers{window}"] = figures[f"merged{window}"]
            figures[f"batch{window}"] = max(self.one_by_one(writer, self.updates, window) for _ in range(ROUNDS))
        figures |= self.reads(store)
        figures |= self.beside(store, writer)
        environment, counters = store.environment(), writer.counters()
        writer.close()
        store.close()
        print(f"# commits {counters['commits']}, inline {counters['commits_inline']}, syncs {environment['syncs']}, "
              f"checkpoints {environment['checkpoints']}, pages cleaned {counters['pages_cleaned']}, "
              f"data file {environment['file_bytes'] / 1e6:.0f} MB, "
              f"journal {environment['journal_bytes'] / 1e6:.0f} MB")  # fmt: skip
        return figures

    def load(self, writer: DocumentWriter) -> None:
        """All documents from JSON text, by two callers that make batches of LOAD_BATCH and wait for each."""
        starts = iter(range(0, self.documents, LOAD_BATCH))

        def work() -> None:
            for start in starts:
                batch = Batch()
                for number in range(start, min(start + LOAD_BATCH, self.documents)):
                    batch.put(f"orders/{number}-A", self.samples[number % SAMPLES])
                writer.execute(batch)

        callers = [threading.Thread(target=work) for _ in range(2)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

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
        figures = {}
        for name, as_json in (("reads_fresh", False), ("reads", False), ("reads_json", True)):
            if name == "reads":
                store.checkpoint()
            figures[name] = max(
                READS / timed(lambda form=as_json: self.loops.point_reads(store, self.documents, READS, form))
                for _ in range(ROUNDS)
            )
        reader = DocumentReader(store)
        ids = [f"orders/{self.dice.randrange(self.documents)}-A" for _ in range(READS_PYTHON)]
        for name, read in (("reads_python", reader.get), ("heads_python", reader.head)):
            figures[name] = max(READS_PYTHON / timed(lambda read=read: [read(id) for id in ids]) for _ in range(ROUNDS))
        for name, by_ids in (("scan", False), ("scan_ids", True)):
            count = max(self.documents, 1)
            figures[name] = max(count / timed(lambda form=by_ids: self.loops.scan(store, form)) for _ in range(ROUNDS))
        return figures

    def beside(self, store: DocumentStore, writer: DocumentWriter) -> dict[str, float]:
        """Point reads in one thread while 64 callers write in another."""
        batches = self.batches(self.updates * BESIDE_FACTOR, 1)
        done = threading.Event()
        reads = 0

        def read() -> None:
            nonlocal reads
            while not done.is_set():
                self.loops.point_reads(store, self.documents, BESIDE_READS, False)
                reads += BESIDE_READS

        reader = threading.Thread(target=read)
        reader.start()
        spent = timed(lambda: writer.execute_all(batches, 64))
        done.set()
        reads_then = reads
        reader.join()
        return {"beside_reads": reads_then / spent, "beside_writes": len(batches) / spent}


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compile_loops(directory: Path) -> ModuleType:
    """Build native_loops.pyx and import it."""
    source = directory / "native_loops.c"
    module = directory / ("native_loops" + sysconfig.get_config_var("EXT_SUFFIX"))
    subprocess.run(["cython", "-3", "-I", str(ROOT / "ext"), str(HERE / "native_loops.pyx"), "-o", str(source)],
                   check=True)  # fmt: skip
    subprocess.run(["cc", "-O3", "-shared", "-fPIC", "-w", f"-I{sysconfig.get_paths()['include']}",
                    f"-I{ROOT / 'ext/pynori_core/include'}", str(source), "-o", str(module)], check=True)  # fmt: skip
    specification = importlib.util.spec_from_file_location("native_loops", module)
    assert specification is not None and specification.loader is not None
    loaded = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(loaded)
    return loaded


def run_peer(
    program: Path, engine: str, directory: Path, samples: Path, documents: int, updates: int
) -> dict[str, float]:
    """One engine's figures from the C program, and the bytes that it takes on disk at the end."""
    directory.mkdir()
    output = subprocess.run(
        [program, engine, directory, str(documents), str(updates), samples], check=True, capture_output=True, text=True
    ).stdout
    figures = {name: float(value) for name, value in (line.split() for line in output.splitlines())}
    shutil.rmtree(directory)
    return figures


def run(base: Path, samples: list[bytes], documents: int, updates: int) -> dict[str, dict[str, float]]:
    """Figures by contender: "pynori", "disk", "rocksdb", "lmdb". Files are made and removed below `base`."""
    sample_file = base / "samples"
    sample_file.write_bytes(b"".join(samples))
    program = base / "peers"
    subprocess.run(["cc", "-O2", str(HERE / "native_peers.c"), "-o", str(program), "-lrocksdb", "-llmdb", "-lpthread"],
                   check=True)  # fmt: skip
    figures = {
        engine: run_peer(program, engine, base / engine, sample_file, documents, updates)
        for engine in ("disk", "rocksdb", "lmdb")
    }
    figures["pynori"] = Ours(base / "pynori", samples, documents, updates).run()
    os.sync()
    shutil.rmtree(base / "pynori")
    return figures

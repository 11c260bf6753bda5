"""Trees against LMDB, its C interface and its Python one, in one run: appends, random updates, reads, scans.

    python bench/bench_trees.py [--entries 1000000] [--directory DIR]

Two trees: 1 KB under integers, 32 bytes under ids. Reads and scans copy the value out; `get, own snapshot` begins a
transaction for each read. Writes are timed inside their transactions, without the commit: bench_commit and
bench_documents tell what that costs. Figures are nanoseconds an operation, the best of ROUNDS taken in turns, and how
many times faster than LMDB that is. Needs a C compiler and liblmdb-dev; the Python part needs the `bench` extras.
"""

import argparse
import ctypes
import importlib.util
import random
import subprocess
import sys
import sysconfig
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import lmdb

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "ext"), str(ROOT)]

from pynori_core.env import Env  # noqa: E402

from pynori.runtime import codecs  # noqa: E402, F401

ROUNDS = 5
OPERATIONS = 200_000
OPERATIONS_PYTHON = 50_000
BATCH = 50_000  # entries a transaction while loading
SEED = 88172645463325252
TREES = ((True, b"integer", 1024), (False, b"string", 32))


def build_ours(directory: Path) -> ModuleType:
    """tree_loops.pyx, compiled against the headers in place."""
    code, library = directory / "tree_loops.c", directory / "tree_loops.so"
    source = ROOT / "bench" / "tree_loops.pyx"
    subprocess.run(["cython", "-3", "-I", ROOT / "ext", source, "-o", code], check=True)
    include = f"-I{sysconfig.get_paths()['include']}"
    core = f"-I{ROOT / 'ext' / 'pynori_core' / 'include'}"
    subprocess.run(["cc", "-O3", "-shared", "-fPIC", include, core, code, "-o", library], check=True)
    spec = importlib.util.spec_from_file_location("tree_loops", library)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_lmdb(directory: Path) -> ctypes.CDLL:
    library = directory / "lmdb_loops.so"
    source = ROOT / "bench" / "lmdb_loops.c"
    subprocess.run(["cc", "-O3", "-shared", "-fPIC", source, "-o", library, "-llmdb"], check=True)
    loops = ctypes.CDLL(str(library))
    number = ctypes.c_uint64
    loops.lmdb_put.argtypes = [ctypes.c_int, number, number, number, number, number]
    loops.lmdb_get.argtypes = [ctypes.c_int, number, number, number, ctypes.c_int]
    loops.lmdb_scan.argtypes = [ctypes.c_int, number, number]
    for function in (loops.lmdb_put, loops.lmdb_get, loops.lmdb_scan):
        function.restype = ctypes.c_double
    return loops


class Bench:
    """Both engines, loaded with the same entries."""

    def __init__(self, directory: Path, entries: int) -> None:
        self.entries = entries
        self.ours, self.lmdb = build_ours(directory), build_lmdb(directory)
        self.env = Env.create(directory / "ours")
        (directory / "lmdb").mkdir()
        assert self.lmdb.lmdb_open(str(directory / "lmdb").encode()) == 0

    def compare(
        self, name: str, count: int, ours: Callable[[int], float], peer: Callable[[int], float], rounds: int = ROUNDS
    ) -> None:
        times = [(ours(turn), peer(turn)) for turn in range(rounds)]
        first, second = (min(column) / count * 1e9 for column in zip(*times, strict=True))
        print(f"{name:34s} {first:8.0f} ns   LMDB {second:8.0f} ns   x {second / first:.2f}", flush=True)

    def in_txn(self, work: Callable[[object], float]) -> float:
        with self.env.write() as txn:
            return work(txn)

    def in_lmdb_txn(self, work: Callable[[], float]) -> float:
        assert self.lmdb.lmdb_begin(0) == 0
        elapsed = work()
        assert elapsed >= 0 and self.lmdb.lmdb_commit() == 0
        return elapsed

    def load(self, integer: bool, value_size: int) -> None:
        times = []
        for first in range(0, self.entries, BATCH):
            count = min(BATCH, self.entries - first)
            times.append((
                self.in_txn(lambda txn, a=first, n=count: self.ours.put(txn, integer, a, n, 0, value_size, SEED)),
                self.in_lmdb_txn(lambda a=first, n=count: self.lmdb.lmdb_put(integer, a, n, 0, value_size, SEED)),
            ))  # fmt: skip
        ours, peer = (sum(column) for column in zip(*times, strict=True))
        self.compare("append", self.entries, lambda _: ours, lambda _: peer, 1)

    def reads(self, integer: bool) -> None:
        for own in (False, True):
            assert self.lmdb.lmdb_begin(1) == 0
            self.compare(
                "get, own snapshot" if own else "get", OPERATIONS,
                lambda turn, own=own: self.ours.get(self.env, integer, OPERATIONS, self.entries, SEED + turn, own),
                lambda turn, own=own: self.lmdb.lmdb_get(integer, OPERATIONS, self.entries, SEED + turn, own),
            )  # fmt: skip
            self.lmdb.lmdb_abort()
        assert self.lmdb.lmdb_begin(1) == 0
        for length in (100, 10_000):
            dice = random.Random(length)
            starts = [dice.randrange(self.entries - length) for _ in range(OPERATIONS // length)]
            self.compare(
                f"scan of {length}", len(starts) * length,
                lambda _, length=length, starts=starts: sum(
                    self.ours.scan(self.env, integer, start, length) for start in starts),
                lambda _, length=length, starts=starts: sum(
                    self.lmdb.lmdb_scan(integer, start, length) for start in starts),
            )  # fmt: skip
        if integer:
            hints = array("Q", bytes(8 * self.entries))
            self.compare(
                "get with page hint", OPERATIONS,
                lambda turn: self.ours.get_hinted(self.env, OPERATIONS, self.entries, SEED + turn, hints),
                lambda turn: self.lmdb.lmdb_get(integer, OPERATIONS, self.entries, SEED + turn, 0),
            )  # fmt: skip
        self.lmdb.lmdb_abort()

    def updates(self, integer: bool, value_size: int) -> None:
        """16 transactions of 1,000 random updates in each round."""
        self.compare(
            "update of equal size", 16_000,
            lambda turn: sum(self.in_txn(lambda txn, part=part: self.ours.put(
                txn, integer, 0, 1000, self.entries, value_size, SEED + 16 * turn + part)) for part in range(16)),
            lambda turn: sum(self.in_lmdb_txn(lambda part=part: self.lmdb.lmdb_put(
                integer, 0, 1000, self.entries, value_size, SEED + 16 * turn + part)) for part in range(16)),
        )  # fmt: skip

    def python_reads(self, directory: Path) -> None:
        """TreeView.get against py-lmdb, 64 reads a snapshot, on a database of a tenth of the entries."""
        count = self.entries // 10
        with lmdb.open(str(directory / "python"), map_size=4 << 30, sync=False) as peer:
            with peer.begin(write=True) as txn:
                for number in range(count):
                    txn.put(b"orders/%07d" % number, b"v" * 32, append=True)
            dice = random.Random(1)
            keys = [b"orders/%07d" % dice.randrange(count) for _ in range(OPERATIONS_PYTHON)]
            self.compare(
                "Python get, 64 a snapshot",
                len(keys),
                lambda _: self.python_ours(keys),
                lambda _: python_lmdb(peer, keys),
                3,
            )

    def python_ours(self, keys: list[bytes]) -> float:
        start = time.perf_counter()
        for first in range(0, len(keys), 64):
            with self.env.read() as txn:
                get = txn.tree(b"string").get
                for key in keys[first : first + 64]:
                    get(key)
        return time.perf_counter() - start


def python_lmdb(peer: lmdb.Environment, keys: list[bytes]) -> float:
    start = time.perf_counter()
    for first in range(0, len(keys), 64):
        with peer.begin() as txn:
            get = txn.get
            for key in keys[first : first + 64]:
                get(key)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--directory", default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        bench = Bench(Path(name), arguments.entries)
        for integer, tree, value_size in TREES:
            print(f"-- {arguments.entries:,} x {value_size} bytes, {tree.decode()} keys")
            bench.load(integer, value_size)
            bench.env.checkpoint()
            bench.reads(integer)
            bench.updates(integer, value_size)
        bench.python_reads(Path(name))
        bench.env.close()


if __name__ == "__main__":
    main()

"""Growth and compaction of a database's files: space comes back, tombstones end, new files equal the old ones."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pynori_core.check import check
from pynori_core.command import Batch
from pynori_core.compact import Compaction, exchange
from pynori_core.document_writer import DocumentWriter
from pynori_core.errors import Busy, Closed
from pynori_core.items import DocumentStore
from pynori_core.reads import DocumentStream

from pynori.documents.space import SpaceReport
from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)

BODIES = [
    b'{"text":"' + bytes(random.Random(seed).choices(b"abcdefghij ", k=880)) + b'","@metadata":{"@collection":"C"}}'
    for seed in range(16)
]


class Database:
    """A store, its writer and a dice; closes with a check."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = DocumentStore.create(str(directory), bytes(range(16)), "A")
        self.writer = DocumentWriter(self.store)
        self.dice = random.Random(11)

    def put(self, ids: list[str], body: bytes | None = None) -> None:
        for start in range(0, len(ids), 500):
            batch = Batch()
            for id in ids[start : start + 500]:
                batch.put(id, body or self.dice.choice(BODIES))
            self.writer.execute(batch)

    def delete(self, ids: list[str]) -> None:
        for start in range(0, len(ids), 500):
            batch = Batch()
            for id in ids[start : start + 500]:
                batch.delete(id)
            self.writer.execute(batch)

    def purge(self, etag_max: int = 2**63, count_max: int = 1000) -> int:
        batch = Batch()
        batch.purge_tombstones(etag_max, count_max)
        return self.writer.execute(batch)[0].purged

    @property
    def file_bytes(self) -> int:
        size: int = self.store.environment()["file_bytes"]
        return size

    def close(self) -> None:
        self.writer.close()
        self.store.close()
        assert check(str(self.directory)) == []


def items(store: DocumentStore) -> list[tuple[Any, ...]]:
    """Everything that the item stream says."""
    stream = DocumentStream.items_since(store, 0, 2**31 - 1)
    found = [
        (item.etag, item.kind, item.id, item.change_vector, item.collection, item.last_modified, item.transaction,
         item.json)
        for item in stream
    ]  # fmt: skip
    stream.close()
    return found


def test_refilling_after_deletion_grows_the_file_by_less_than_a_tenth(tmp_path: Path) -> None:
    """STO-06: fill, delete a random half, refill with other documents: the space is reused."""
    database = Database(tmp_path / "db")
    database.put([f"c/{number}" for number in range(20_000)])
    filled = database.file_bytes
    database.delete([f"c/{number}" for number in database.dice.sample(range(20_000), 10_000)])
    while database.purge():
        pass
    database.put([f"d/{number}" for number in range(10_000)])
    assert database.file_bytes < 1.1 * filled
    database.close()


def test_overwriting_keeps_the_file_below_a_factor(tmp_path: Path) -> None:
    """The same documents written 12 times over: the file stays below twice its first size, and stops growing."""
    database = Database(tmp_path / "db")
    ids = [f"c/{number}" for number in range(6_000)]
    database.put(ids)
    filled = database.file_bytes
    sizes = []
    for _ in range(12):
        database.put([database.dice.choice(ids) for _ in ids])
        sizes.append(database.file_bytes)
    assert sizes[-1] < 2 * filled
    assert sizes[-1] < 1.15 * sizes[5]
    database.close()


def test_a_long_reader_costs_memory_and_no_disk(tmp_path: Path) -> None:
    """STO-04: a snapshot held through many overwrites sees its own state; the file stays small; memory comes back."""
    database = Database(tmp_path / "db")
    ids = [f"c/{number}" for number in range(4_000)]
    database.put(ids)
    filled = database.file_bytes
    expected = items(database.store)
    stream = DocumentStream.items_since(database.store, 0, 2**31 - 1)
    for _ in range(8):
        database.put([database.dice.choice(ids) for _ in ids])
    assert database.file_bytes < 2 * filled
    held = database.store.environment()["scratch_bytes"]
    assert held > filled // 2
    assert [(item.etag, item.id, item.json) for item in stream] == [(item[0], item[2], item[7]) for item in expected]
    stream.close()
    database.store.checkpoint()
    database.put(["c/1"])
    assert database.store.environment()["scratch_bytes"] < held // 10
    database.close()


def test_purge_takes_old_tombstones_only(tmp_path: Path) -> None:
    """A purge drops the oldest up to an etag and a count, never the newest etag; ids are free again."""
    database = Database(tmp_path / "db")
    ids = [f"c/{number}" for number in range(100)]
    database.put(ids)
    database.delete(ids)
    assert database.purge(etag_max=100) == 0
    assert database.purge(etag_max=150, count_max=30) == 30
    assert database.purge(etag_max=150) == 20
    assert database.store.counts()[1] == 50
    assert database.purge() == 49
    assert [item[0] for item in items(database.store)] == [200]
    assert database.store.last_etag == 200
    database.put(["C/7"])
    assert [item[2] for item in items(database.store)] == ["c/99", "C/7"]
    assert database.purge() == 1
    database.close()


def test_report_adds_up_to_the_files(tmp_path: Path) -> None:
    """The space report's parts are the files' bytes within 1 %, and the collections' are within the rows' tree."""
    database = Database(tmp_path / "db")
    database.put([f"c/{number}" for number in range(3_000)])
    database.put(["big/1"], b'{"text":"' + b"x" * 100_000 + b'","@metadata":{"@collection":"Big"}}')
    database.delete([f"c/{number}" for number in range(0, 3_000, 3)])
    report = SpaceReport.of(database.store, tmp_path / "db", collections=True)
    trees = sum(tree["branch_bytes"] + tree["leaf_bytes"] + tree["run_bytes"] for tree in report.trees)
    told = trees + report.structure_bytes + report.free_bytes + report.journal_bytes
    real = sum(entry.stat().st_size for entry in (tmp_path / "db").iterdir())
    assert abs(told - real) < 0.01 * real
    assert 0 < report.structure_bytes < 64 * 8192
    by_name = {collection["name"]: collection for collection in report.collections}
    assert by_name["C"]["documents"] == 2_000
    assert by_name["C"]["tombstones"] == 1_000
    assert by_name["Big"]["documents"] == 1
    rows = next(tree for tree in report.trees if tree["name"] == "items")
    live = sum(collection["document_bytes"] for collection in report.collections)
    assert live < rows["leaf_bytes"] + rows["run_bytes"]
    database.close()


@pytest.mark.parametrize("seed", range(3))
def test_new_files_equal_the_old_ones(tmp_path: Path, seed: int) -> None:
    """What was written while the copy was made is caught up with: items and counts are the same, bytes are fewer."""
    database = Database(tmp_path / "db")
    dice = database.dice = random.Random(seed)
    ids = [f"{dice.choice('cdE')}/{number}" for number in range(3_000)]
    large = b'{"text":"' + b"y" * 20_000 + b'","@metadata":{"@collection":"Large"}}'
    database.put(ids)
    database.put(["l/1", "l/2", "l/3"], large)
    for _ in range(3):
        database.put(dice.sample(ids, 500))
        database.delete(dice.sample(ids, 300))
    compaction = Compaction(database.store, str(tmp_path / ".new"), "A")
    compaction.copy()
    for _ in range(2):
        database.put(dice.sample(ids, 400) + [f"new/{dice.randrange(500)}" for _ in range(50)])
        database.delete([*dice.sample(ids, 200), "l/2"])
        database.put(["l/1", "m/1"], large)
        moving = dice.sample(ids, 50)
        database.delete(moving)
        for body in (b'{"@metadata":{"@collection":"Moved"}}', b'{"@metadata":{"@collection":"MovedOn"}}'):
            database.put(moving, body)
            database.delete(moving)
        compaction.catch_up()
    expected, counts, collections = items(database.store), database.store.counts(), database.store.collections()
    compaction.finish()
    compaction.close()
    database.close()
    assert check(str(tmp_path / ".new")) == []
    exchange(str(tmp_path / "db"), str(tmp_path / ".new"))
    store = DocumentStore.open(str(tmp_path / "db"), "A")
    assert store.database_id == bytes(range(16))
    assert items(store) == expected
    assert (store.counts(), store.collections()) == (counts, collections)
    writer = DocumentWriter(store)
    batch = Batch()
    batch.put("after/1", BODIES[0])
    assert writer.execute(batch)[0].transaction > expected[-1][6]
    writer.close()
    store.close()
    assert check(str(tmp_path / "db")) == []
    assert (tmp_path / "db" / "data.pynori").stat().st_size < (tmp_path / ".new" / "data.pynori").stat().st_size


def test_a_canceled_compaction_leaves_the_database(tmp_path: Path) -> None:
    """After `cancel` the copy fails, the store cannot close before it lets go, and nothing is lost."""
    database = Database(tmp_path / "db")
    database.put([f"c/{number}" for number in range(12_000)])
    compaction = Compaction(database.store, str(tmp_path / ".new"), "A")
    compaction.cancel()
    with pytest.raises(Closed):
        compaction.copy()
    database.writer.close()
    with pytest.raises(Busy):
        database.store.close()
    compaction.close()
    database.close()


def test_kills_leave_old_or_new_files(tmp_path: Path) -> None:
    """`pynori compact` is killed at random moments: the database opens, passes its check, and holds the same items."""
    database = Database(tmp_path / "db")
    ids = [f"c/{number}" for number in range(4_000)]
    database.put(ids)
    database.put(ids[:2_000])
    expected = items(database.store)
    database.close()
    dice = random.Random(5)
    began = time.monotonic()
    command = [sys.executable, "-m", "pynori", "compact", str(tmp_path / "db")]
    subprocess.run(command, check=True, env=os.environ, capture_output=True, timeout=60)
    whole = time.monotonic() - began
    for _ in range(6):
        running = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(whole * (0.4 + 0.6 * dice.random()))
        running.send_signal(signal.SIGKILL)
        running.wait(60)
        assert check(str(tmp_path / "db")) == []
        store = DocumentStore.open(str(tmp_path / "db"), "A")
        assert items(store) == expected
        store.close()

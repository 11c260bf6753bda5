"""Checkpoints: beside writers and readers, under faults, and what they leave on disk."""

import random
import struct
import threading
import time
from pathlib import Path

import pytest
from pynori_core.env import Env
from pynori_core.errors import Busy, EngineError
from pynori_core.fault_disk import FaultHandle

from tests.core import crash_writer
from tests.core.page_model import PLAIN, Model, check_model, random_txn


def header(directory: Path) -> tuple[int, int, int]:
    """(sequence, checkpoint transaction, first journal needed) of the newer copy."""
    with (directory / "data.pynori").open("rb") as file:
        copies = []
        for offset in (0, 65536):
            file.seek(offset)
            copies.append(struct.unpack_from("<QQQ", file.read(512), 48))
    return max(copies)


def test_copies_alternate_by_sequence(tmp_path: Path) -> None:
    """Each checkpoint writes both copies of the header in turn, and one without news writes nothing."""
    directory = tmp_path / "env"
    with Env.create(directory) as env:
        with env.write() as txn:
            page = txn.allocate(type=PLAIN)
        seen = []
        for value in range(4):
            with env.write() as txn:
                txn.patch(page, 100, bytes([value]))
            env.checkpoint()
            env.checkpoint()
            seen.append(header(directory))
        assert [txn_id for _, txn_id, _ in seen] == [2, 3, 4, 5]
        assert [sequence - seen[0][0] for sequence, _, _ in seen] == [0, 2, 4, 6]


def test_older_reader_delays_newer_one_does_not(tmp_path: Path) -> None:
    """A reader of the last transaction does not hold a checkpoint up; an older one does, and still sees its state."""
    with Env.create(tmp_path / "env") as env:
        with env.write() as txn:
            page = txn.allocate(type=PLAIN)
            txn.patch(page, 100, b"old")
        reader = env.read()
        env.checkpoint()
        assert env.statistics()["checkpoint_txn"] == 1
        with env.write() as txn:
            txn.patch(page, 100, b"new")
        waiting = threading.Thread(target=env.checkpoint)
        waiting.start()
        time.sleep(0.05)
        assert env.statistics()["checkpoint_txn"] == 1
        with env.write() as txn:  # writers go on meanwhile
            txn.patch(page, 200, b"more")
        assert reader.page(page)[100:103] == b"old"
        reader.close()
        waiting.join()
        assert env.statistics()["checkpoint_txn"] == 2
        with env.read() as txn:
            assert txn.page(page)[100:103] == b"new"
            assert txn.page(page)[200:204] == b"more"


def test_checkpoint_gives_memory_back(tmp_path: Path) -> None:
    """After a checkpoint without readers and one more transaction, no page image but that one's is held."""
    with Env.create(tmp_path / "env") as env:
        with env.write() as txn:
            pages = [txn.allocate(type=PLAIN) for _ in range(90)]
        assert env.statistics()["scratch_bytes"] >= 90 * 8192
        env.checkpoint()
        with env.write() as txn:
            txn.patch(pages[0], 100, b"x")
        assert env.statistics()["scratch_bytes"] <= 2 * 8192


def test_freed_pages_are_not_written(tmp_path: Path) -> None:
    """Pages that were allocated and freed since the last checkpoint cost no write to the data file."""
    with Env.create(tmp_path / "env") as env:
        with env.write() as txn:
            run = txn.allocate(60, 5)
        with env.write() as txn:
            txn.free(run, 60)
        env.checkpoint()
        assert env.statistics()["checkpoint_pages"] == 1  # the bitmap


def test_pages_are_logged_whole_once_after_a_checkpoint(tmp_path: Path) -> None:
    """The first change of a page after a checkpoint is a whole image, each further one a few bytes (rule D5)."""
    with Env.create(tmp_path / "env") as env:
        with env.write() as txn:
            page = txn.allocate(type=PLAIN)
            txn.patch(page, 64, random.Random(1).randbytes(8000))
        for _ in range(3):
            env.checkpoint()
            before = env.statistics()
            for value in range(5):
                with env.write() as txn:
                    txn.patch(page, 100, bytes([value]))
            after = env.statistics()
            assert after["pages_whole"] - before["pages_whole"] == 1
            assert after["pages_diff"] - before["pages_diff"] == 4
            assert after["journal_bytes"] - before["journal_bytes"] <= 3 * 4096 + 4 * 4096


def test_journals_are_recycled(tmp_path: Path) -> None:
    """A long run of small transactions with checkpoints keeps a bounded number of journals."""
    directory = tmp_path / "env"
    with Env.create(directory, checkpoint_bytes=400_000) as env:
        for number in range(1, 1200):
            with env.write() as txn:
                crash_writer.write(txn, 7, number)
        assert env.statistics()["checkpoints"] >= 3
    total = sum(path.stat().st_size for path in directory.glob("journal.*"))
    assert len(list(directory.glob("journal.*"))) <= 12
    assert total < 16 << 20
    with Env.open(directory) as env, env.read() as txn:
        for page, image in crash_writer.images(7, 1199).items():
            assert txn.page(page)[64:] == image[64:]


@pytest.mark.parametrize("seed", range(3))
def test_background_checkpoints_beside_random_transactions(tmp_path: Path, seed: int) -> None:
    """Checkpoints that start by themselves at a small threshold change nothing that any transaction sees."""
    dice = random.Random(seed)
    model = Model()
    snapshots: list[tuple[object, Model]] = []
    env = Env.create(tmp_path / "env", checkpoint_bytes=60_000)
    for _ in range(150):
        model = random_txn(env, model, dice)
        if dice.random() < 0.2:
            snapshots.append((env.read(), model))
        while len(snapshots) > 2 or (snapshots and dice.random() < 0.3):
            txn, seen = snapshots.pop(0)
            check_model(txn, seen)
            txn.close()
    for txn, seen in snapshots:
        check_model(txn, seen)
        txn.close()
    assert env.statistics()["checkpoints"] > 1
    env.close()
    with Env.open(tmp_path / "env") as env, env.read() as txn:
        check_model(txn, model)


def test_sealed_transactions_follow_one_another(tmp_path: Path) -> None:
    """The next transaction builds on a sealed one that is not durable yet; reopening has all of them."""
    directory = tmp_path / "env"
    pending = []
    with Env.create(directory, checkpoint_bytes=200_000) as env:
        for number in range(1, 400):
            txn = env.write()
            assert txn.id == number
            crash_writer.write(txn, 3, number)
            pending.append(txn.seal())
            if number % 50 == 0:
                txn = env.write()
                txn.allocate(3)
                txn.abort()
        for sealed in pending:
            sealed.wait()
        assert env.statistics()["published_txn"] == 399
        with env.read() as txn:
            for page, image in crash_writer.images(3, 399).items():
                assert txn.page(page)[64:] == image[64:]
    with Env.open(directory) as env, env.read() as txn:
        assert txn.id == 399


def test_sealed_transactions_and_a_failing_disk() -> None:
    """When the journal thread's sync fails, that transaction's outcome is unknown and all behind it are refused."""
    disk = FaultHandle()
    env = Env.create(disk)
    with env.write() as txn:
        page = txn.allocate(type=PLAIN)
    disk.fail("sync")
    outcomes = []
    for value in range(10):
        try:
            txn = env.write()
            txn.patch(page, 100, bytes([value]))
            outcomes.append(txn.seal())
        except EngineError as error:
            outcomes.append(error)
    names = []
    for outcome in outcomes:
        try:
            if isinstance(outcome, EngineError):
                raise outcome
            outcome.wait()
            names.append("durable")
        except EngineError as error:
            names.append(type(error).__name__)
    assert names[0] == "UnknownOutcome"
    assert set(names[1:]) == {"Poisoned"}
    env.close()


def test_failed_data_sync_poisons_and_loses_nothing(tmp_path: Path) -> None:
    """A failed sync of the data file in a checkpoint: no more writes; reopening recovers from the journals."""
    disk = FaultHandle(tmp_path)
    env = Env.create(disk)
    for number in range(1, 20):
        with env.write() as txn:
            crash_writer.write(txn, 5, number)
    disk.fail("sync", lasting=False)
    with pytest.raises(EngineError):
        env.checkpoint()
    with pytest.raises(EngineError, match="no more writes"):
        env.write()
    with env.read() as txn:
        assert txn.page(3)[64] == 19
    env.close()
    with Env.open(disk) as env, env.read() as txn:
        for page, image in crash_writer.images(5, 19).items():
            assert txn.page(page)[64:] == image[64:]


def test_failed_data_write_is_tried_again(tmp_path: Path) -> None:
    """A checkpoint that cannot write a page fails alone: commits go on and the next checkpoint succeeds."""
    disk = FaultHandle(tmp_path)
    with Env.create(disk) as env:
        for number in range(1, 20):
            with env.write() as txn:
                crash_writer.write(txn, 6, number)
        disk.fail("write", lasting=False)
        with pytest.raises(EngineError):
            env.checkpoint()
        with env.write() as txn:
            crash_writer.write(txn, 6, 20)
        env.checkpoint()
        assert env.statistics()["checkpoint_txn"] == 20


def test_checkpoint_that_was_asked_for_gives_up() -> None:
    """A reader that stays older makes env.checkpoint() fail with Busy in the end, and nothing else suffers."""
    with Env.create(None) as env:
        with env.write() as txn:
            page = txn.allocate(type=PLAIN)
        with env.read():
            with env.write() as txn:
                txn.patch(page, 100, b"x")
            with pytest.raises(Busy):
                env.checkpoint(reader_wait_ms=30)
        env.checkpoint()


def test_a_checkpoint_that_was_asked_for_gives_memory_back(tmp_path: Path) -> None:
    """After a burst, env.checkpoint() returns scratch memory to the system; the next burst works in it again."""
    with Env.create(tmp_path / "env") as env:
        for _ in range(3):
            with env.write() as txn:
                run = txn.allocate(3000, 5)
            with env.write() as txn:
                pages = [txn.allocate(type=PLAIN) for _ in range(3000)]
                for page in pages:
                    txn.patch(page, 100, b"burst")
            assert env.statistics()["scratch_reserved_bytes"] > 6000 * 8192
            env.checkpoint()
            assert env.statistics()["scratch_reserved_bytes"] < 8 << 20
            with env.write() as txn:
                assert txn.page(pages[-1])[100:105] == b"burst"
                txn.free(run, 3000)
                for page in pages:
                    txn.free(page)

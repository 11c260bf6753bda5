"""Environments: transactions, snapshots, savepoints, allocation, failures of the disk, one opener."""

import contextlib
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from pynori_core.env import Env, ReadTxn
from pynori_core.errors import (
    Busy,
    Closed,
    DiskError,
    DiskFull,
    EngineError,
    InvalidArgument,
    InvariantError,
    NotFound,
    Poisoned,
    TooLarge,
    UnknownOutcome,
)
from pynori_core.fault_disk import FaultHandle

from tests.core.page_model import PLAIN, RUN, Model, change, check_model, random_txn


def pages_used(env: Env) -> int:
    counted = env.statistics()
    return counted["file_pages"] - counted["free_pages"]


@pytest.mark.parametrize("seed", range(6))
def test_random_transactions_follow_the_model(tmp_path: Path, seed: int) -> None:
    """Allocation, runs, changes, frees, savepoints, aborts, checkpoints, reopening: exactly the model's pages."""
    dice = random.Random(seed)
    directory = tmp_path / "env"
    env = Env.create(directory)
    model = Model()
    for _ in range(60):
        model = random_txn(env, model, dice)
        kind = dice.random()
        if kind < 0.10:
            env.checkpoint()
        elif kind < 0.18:
            env.close()
            env = Env.open(directory)
        if kind < 0.4:
            with env.read() as txn:
                check_model(txn, model)
    with env.read() as txn:
        check_model(txn, model)
    # Five pages belong to the engine: two headers, the catalog, a bitmap ... and page 0 counts as the first header.
    assert pages_used(env) == 4 + len(model.leaves) + sum(pages for pages, _ in model.runs.values())
    env.close()


@pytest.mark.parametrize("seed", range(4))
def test_snapshots_stay_as_they_were(seed: int) -> None:
    """A snapshot shows the state at its beginning, whatever is committed, freed, reused or checkpointed after."""
    dice = random.Random(seed)
    open_snapshots = []
    model = Model()
    with Env.create(None) as env:
        for _ in range(80):
            model = random_txn(env, model, dice)
            if dice.random() < 0.3:
                open_snapshots.append((env.read(), model.copy()))
            if open_snapshots and dice.random() < 0.25:
                txn, seen = open_snapshots.pop(dice.randrange(len(open_snapshots)))
                check_model(txn, seen)
                txn.close()
            if not open_snapshots and dice.random() < 0.5:
                env.checkpoint()
        for txn, seen in open_snapshots:
            check_model(txn, seen)
            txn.close()


def test_readers_in_threads_see_whole_transactions() -> None:
    """Readers in other threads, beside a writer and checkpoints, never see two pages of different transactions."""
    stop = threading.Event()
    wrong: list[tuple[int, ...]] = []
    with Env.create(None, checkpoint_bytes=300_000) as env:
        with env.write() as txn:
            pages = [txn.allocate(type=PLAIN) for _ in range(8)]
            for page in pages:
                txn.patch(page, 100, (0).to_bytes(8, "little"))

        def read() -> None:
            while not stop.is_set():
                with env.read() as txn:
                    seen = tuple(int.from_bytes(txn.page(page)[100:108], "little") for page in pages)
                if len(set(seen)) != 1:
                    wrong.append(seen)

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for value in range(1, 1500):
            with env.write() as txn:
                for page in pages:
                    txn.patch(page, 100, value.to_bytes(8, "little"))
                    txn.patch(page, 1000 + value % 5000, random.Random(value).randbytes(90))
        stop.set()
        for thread in threads:
            thread.join()
        assert env.statistics()["checkpoints"] > 0
    assert not wrong


def test_writers_take_turns() -> None:
    """Write transactions of several threads exclude one another, and each commit is there."""
    with Env.create(None) as env:
        with env.write() as txn:
            page = txn.allocate(type=PLAIN)

        def work() -> None:
            for _ in range(100):
                with env.write() as txn:
                    value = int.from_bytes(txn.page(page)[100:108], "little")
                    txn.patch(page, 100, (value + 1).to_bytes(8, "little"))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with env.read() as txn:
            assert int.from_bytes(txn.page(page)[100:108], "little") == 400
        assert env.statistics()["published_txn"] == 401


def test_abort_and_exception_undo_everything() -> None:
    """After an abort or an exception in the block, pages, allocation and numbers are as before."""
    with Env.create(None) as env:
        with env.write() as txn:
            page = txn.allocate(type=PLAIN)
            txn.patch(page, 200, b"kept")
        before = env.statistics()
        with pytest.raises(ZeroDivisionError), env.write() as txn:
            txn.patch(page, 200, b"lost")
            txn.allocate(7)
            raise ZeroDivisionError
        with env.write() as txn:
            assert txn.id == before["published_txn"] + 1
            assert txn.page(page)[200:204] == b"kept"
            txn.abort()
        after = env.statistics()
        assert after["free_pages"] == before["free_pages"]
        assert after["scratch_bytes"] == before["scratch_bytes"]


def test_endless_aborts_take_no_memory() -> None:
    """Aborting again and again beside a reader gives all memory back, although nothing is ever committed."""
    with Env.create(None) as env, env.read():
        with env.write() as txn:
            page = txn.allocate(type=PLAIN)
            txn.abort()
        before = env.statistics()["scratch_bytes"]
        for _ in range(5000):
            with env.write() as txn:
                txn.allocate(3)
                txn.abort()
        assert env.statistics()["scratch_bytes"] == before
        assert page == 3


def test_savepoint_rules() -> None:
    """One savepoint at a time; none to go back to is an error; an open one at the end is refused and undone."""
    with Env.create(None) as env:
        with env.write() as txn:
            page = txn.allocate(type=PLAIN)
            txn.patch(page, 100, b"one")
            txn.savepoint()
            txn.patch(page, 100, b"two")
            assert txn.page(page)[100:103] == b"two"
            txn.rollback()
            assert txn.page(page)[100:103] == b"one"
            with pytest.raises(InvalidArgument):
                txn.rollback()
            txn.abort()
        with pytest.raises(InvalidArgument), env.write() as txn:
            txn.savepoint()
        with env.write() as txn:
            txn.allocate(type=PLAIN)
        assert env.statistics()["published_txn"] == 1


def test_many_savepoints_keep_memory_bounded() -> None:
    """A thousand released savepoints that change the same page hold two images of it, not a thousand."""
    with Env.create(None) as env:
        with env.write() as txn:
            page = txn.allocate(type=PLAIN)
        with env.write() as txn:
            for index in range(1000):
                txn.savepoint()
                txn.patch(page, 100, index.to_bytes(4, "little"))
                txn.release()
            assert env.statistics()["scratch_bytes"] <= 8 * 8192
        with env.read() as txn:
            assert int.from_bytes(txn.page(page)[100:104], "little") == 999


def test_wrong_use_of_pages_is_caught() -> None:
    """Freeing twice, freeing the engine's own pages, reading beyond the end and using freed pages are errors."""
    with Env.create(None) as env:
        with env.write() as txn:
            page = txn.allocate(type=PLAIN)
        for number in (0, 1, 2, 8):
            with env.write() as txn:
                with pytest.raises(InvariantError):
                    txn.free(number)
                txn.abort()
        with env.write() as txn:
            txn.free(page)
            with pytest.raises(InvariantError):
                txn.free(page)
            txn.abort()
        with env.write() as txn:
            txn.free(page)
            with pytest.raises(InvariantError):
                txn.page(page)
            txn.abort()
        with env.read() as txn, pytest.raises(EngineError, match="beyond the end"):
            txn.page(10_000_000)
        with env.write() as txn:
            with pytest.raises(TooLarge):
                txn.allocate(70_000)
            txn.abort()


def test_a_read_transaction_cannot_be_used_after_its_end() -> None:
    """Pages of an ended transaction are refused instead of read from memory that is gone."""
    with Env.create(None) as env:
        txn = env.read()
        txn.close()
        with pytest.raises(EngineError):
            txn.page(1)


def test_bitmap_pages_appear_as_the_file_grows() -> None:
    """Runs that pass the reach of one bitmap page make the file grow over the next one, and all of it can be freed."""
    with Env.create(None) as env:
        used = pages_used(env)
        runs = []
        for _ in range(3):
            with env.write() as txn:
                runs.append(txn.allocate(30_000, 5))
        assert env.statistics()["file_pages"] > 65_024
        assert pages_used(env) == used + 90_000 + 1
        with env.write() as txn:
            for run in runs:
                txn.free(run, 30_000)
        assert pages_used(env) == used + 1


def test_pages_are_reused_before_the_file_grows() -> None:
    """Freed pages are allocated again; the file does not grow while there is room."""
    with Env.create(None) as env:
        for _ in range(50):
            with env.write() as txn:
                run = txn.allocate(90, 5)
            with env.write() as txn:
                txn.free(run, 90)
        assert env.statistics()["file_pages"] == 128


def test_second_opener_is_refused(tmp_path: Path) -> None:
    """Another opener, in this process or another, gets Busy with the holder's process id, and changes nothing."""
    directory = tmp_path / "env"
    with Env.create(directory):
        with pytest.raises(Busy, match=f"process {os.getpid()} "):
            Env.open(directory)
        code = (
            "import sys; from pynori_core.env import Env; from pynori_core.errors import Busy\n"
            f"try: Env.open({str(directory)!r})\nexcept Busy: sys.exit(7)"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 7
    Env.open(directory).close()


def test_creation_leaves_nothing_half_done(tmp_path: Path) -> None:
    """Creation over an existing database fails; leftovers of a creation that was cut off are taken over."""
    directory = tmp_path / "env"
    Env.create(directory).close()
    with pytest.raises(DiskError):
        Env.create(directory)
    leftover = tmp_path / "other.creating"
    leftover.mkdir()
    (leftover / "data.pynori").write_bytes(b"half")
    (leftover / "journal.0000000000000001").write_bytes(b"")
    Env.create(tmp_path / "other").close()
    assert not leftover.exists()
    with pytest.raises(NotFound):
        Env.open(tmp_path / "missing")


def test_close_waits_and_refuses(tmp_path: Path) -> None:
    """Closing with open transactions is refused and harmless; a closed environment refuses everything."""
    env = Env.create(tmp_path / "env")
    reader = env.read()
    with pytest.raises(Busy):
        env.close()
    reader.close()
    writer = env.write()
    with pytest.raises(Busy):
        env.close()
    writer.abort()
    env.close()
    env.close()
    with pytest.raises(Closed):
        env.read()


def test_user_transaction_numbers_survive(tmp_path: Path) -> None:
    """The last user transaction number is kept by commits, through a crash copy and through a checkpoint."""
    directory = tmp_path / "env"
    with Env.create(directory) as env:
        with env.write() as txn:
            txn.allocate(type=PLAIN)
            txn.set_user_txn(1, 17)
        assert env.user_txn == 17
        with env.write() as txn:
            txn.set_user_txn(18, 18)
    with Env.open(directory) as env:
        assert env.user_txn == 18


@pytest.mark.parametrize("real", [False, True], ids=["memory", "real"])
def test_failed_sync_poisons(tmp_path: Path, real: bool) -> None:
    """A failed journal sync: unknown outcome for that commit, no sync again, no more writes, old snapshots readable."""
    disk = FaultHandle(tmp_path if real else None)
    env = Env.create(disk)
    with env.write() as txn:
        page = txn.allocate(type=PLAIN)
        txn.patch(page, 100, b"safe")
    disk.fail("sync")
    syncs = disk.counts()["sync"]
    with pytest.raises(UnknownOutcome) as caught, env.write() as txn:
        txn.patch(page, 100, b"lost")
    assert caught.value.errno == 5
    assert disk.counts()["sync"] == syncs + 1
    disk.heal()
    with pytest.raises(Poisoned):
        env.write()
    with pytest.raises(Poisoned):
        env.checkpoint()
    with env.read() as reader:
        assert reader.page(page)[100:104] == b"safe"
    writes = disk.counts()["write"]
    env.close()
    assert disk.counts()["write"] == writes
    with Env.open(disk) as env, env.read() as txn:
        assert txn.page(page)[100:104] in (b"safe", b"lost")


def test_failed_write_of_a_record_poisons() -> None:
    """A journal write that fails is as final as a failed sync, and the next opening finds the state before it."""
    disk = FaultHandle()
    env = Env.create(disk)
    with env.write() as txn:
        page = txn.allocate(type=PLAIN)
    disk.fail("write", error="EIO")
    with pytest.raises(UnknownOutcome), env.write() as txn:
        txn.patch(page, 100, b"lost")
    env.close()
    disk.heal()
    with Env.open(disk) as env:
        assert env.statistics()["published_txn"] == 1


@pytest.mark.parametrize("operation", ["allocate", "open", "sync_dir"])
def test_no_room_for_a_journal_is_a_clean_failure(operation: str) -> None:
    """When no further journal can be made, the commit fails and is undone, and later ones work again."""
    disk = FaultHandle()
    env = Env.create(disk)
    with env.write() as txn:
        run = txn.allocate(20, 5)
    disk.fail(operation, error="ENOSPC")
    free = env.statistics()["free_pages"]
    with pytest.raises(DiskFull), env.write() as txn:
        txn.free(run, 20)
        txn.allocate(60, 5)
    assert env.statistics()["free_pages"] == free
    disk.heal()
    with env.write() as txn:
        txn.allocate(60, 5)
    env.close()
    with Env.open(disk) as env:
        assert env.statistics()["published_txn"] == 2


def test_full_disk_while_growing_is_a_clean_failure() -> None:
    """When the data file cannot grow, the transaction fails with DiskFull and the environment goes on."""
    disk = FaultHandle()
    with Env.create(disk) as env:
        disk.fail("allocate", error="ENOSPC")
        with env.write() as txn:
            with pytest.raises(DiskFull):
                txn.allocate(500, 5)
            txn.abort()
        with env.write() as txn:
            txn.savepoint()
            with pytest.raises(DiskFull):
                txn.allocate(500, 5)
            txn.rollback()
            txn.allocate(5, 5)
        assert env.statistics()["published_txn"] == 1


@pytest.mark.parametrize("operation", ["open", "write", "sync", "allocate", "sync_dir", "read"])
def test_every_failing_call_leaves_a_database_or_none(operation: str) -> None:
    """Creation, commits, checkpoint, close with call k failing, for every k: a state that was tried is there."""
    for k in range(1, 60):
        disk = FaultHandle()
        disk.fail(operation, after=k, lasting=False)
        reached = run_until_failure(disk)
        disk.heal()
        if reached is None:
            continue  # creation failed: there is no database yet
        acknowledged, tried, failed = reached
        with Env.open(disk) as env, env.read() as txn:
            value = int.from_bytes(txn.page(3)[100:108], "little") if txn.id else 0
            assert acknowledged <= value <= tried, f"{operation} call {k}"
        if not failed:
            return
    raise AssertionError("a run without failure was never reached")


def run_until_failure(disk: FaultHandle) -> tuple[int, int, bool] | None:
    """(last acknowledged value, last tried value, whether something failed); None when creation failed."""
    acknowledged = tried = 0
    try:
        env = Env.create(disk)
    except EngineError:
        return None
    try:
        for value in range(1, 12):
            tried = value
            with env.write() as txn:
                page = 3 if value > 1 else txn.allocate(type=PLAIN)
                txn.patch(page, 100, value.to_bytes(8, "little"))
                if value == 9:
                    txn.allocate(40, 5)
            acknowledged = value
            if value in (4, 8):
                env.checkpoint()
        env.close()
    except EngineError:
        with contextlib.suppress(EngineError):
            env.close()
        return acknowledged, tried, True
    return acknowledged, tried, False


def test_scratch_limit_makes_the_writer_wait(tmp_path: Path) -> None:
    """With little scratch memory the writer waits for checkpoints, and all data is right in the end."""
    model = Model()
    dice = random.Random(5)
    with Env.create(tmp_path / "env", scratch_bytes_max=400_000) as env:
        for _ in range(60):
            with env.write() as txn:
                change(txn, model, dice, 10)
        counted = env.statistics()
        assert counted["writer_waits"] > 0
        assert counted["checkpoints"] > 0
        with env.read() as txn:
            check_model(txn, model)


def held_by_a_reader(env: Env, pages: list[int]) -> tuple[ReadTxn, dict[int, bytes]]:
    txn = env.read()
    return txn, {page: txn.page(page)[64:] for page in pages}


def fill(env: Env, pages: list[int], value: int) -> None:
    for start in range(0, len(pages), 40):
        with env.write() as txn:
            for page in pages[start : start + 40]:
                txn.patch(page, 64, bytes([value]) * 8128)


def test_a_long_reader_does_not_stop_the_writer(tmp_path: Path) -> None:
    """Beyond the limit of memory, images that an old snapshot holds go to the disk: the writer goes on, what either of
    them sees is right, and once the snapshot ends the disk has its room back."""
    with Env.create(tmp_path / "env", scratch_bytes_max=1_000_000, checkpoint_bytes=500_000) as env:
        with env.write() as txn:
            pages = [txn.allocate(type=PLAIN) for _ in range(800)]
            first = [txn.allocate(run_pages=3, type=RUN) for _ in range(3)]
        fill(env, pages, 1)
        env.checkpoint()
        reader, seen = held_by_a_reader(env, pages)
        waits = env.statistics()["writer_waits"]
        for value in (2, 3, 4):
            fill(env, pages, value)
            with env.write() as txn:
                txn.free(first.pop(), 3)
                txn.allocate(run_pages=700, type=RUN)
        counted = env.statistics()
        assert counted["spilled_bytes"] > 800 * 8192 + 2 * 700 * 8192
        # The transaction during which the limit was reached stays in memory.
        assert counted["scratch_bytes"] - counted["spilled_bytes"] <= 1_000_000 + 42 * 8192
        assert counted["writer_waits"] == waits + 1
        assert sorted(path.name for path in (tmp_path / "env").iterdir() if not path.name.startswith("journal")) == [
            "data.pynori", "lock",
        ]  # fmt: skip
        assert {page: reader.page(page)[64:] for page in pages} == seen
        with env.read() as txn:
            assert all(txn.page(page)[64:] == b"\4" * 8128 for page in pages)
        reader.close()
        env.checkpoint()
        fill(env, pages[:1], 5)
        assert env.statistics()["spilled_bytes"] == 0
        with env.read() as txn:
            assert txn.page(pages[0])[64:] == b"\5" * 8128
            assert txn.page(pages[-1])[64:] == b"\4" * 8128


def test_the_disk_for_a_long_reader_has_a_limit(tmp_path: Path) -> None:
    """Where memory and the room for spilled pages are full, the writer waits until the snapshot ends, and goes on
    then."""
    limit = 32 << 20
    with Env.create(tmp_path / "env", scratch_bytes_max=1_000_000, spill_bytes_max=limit) as env:
        with env.write() as txn:
            pages = [txn.allocate(type=PLAIN) for _ in range(6000)]
        env.checkpoint()
        reader = env.read()
        done = threading.Event()

        def write() -> None:
            fill(env, pages, 7)
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        while env.statistics()["spilled_bytes"] < limit - (1 << 20) or env.statistics()["writer_waits"] < 2:
            assert not done.wait(0.005)
        assert not done.wait(0.1)
        assert env.statistics()["spilled_bytes"] <= limit
        reader.close()
        writer.join()
        with env.read() as txn:
            assert all(txn.page(page)[64:] == b"\7" * 8128 for page in pages)


def test_a_full_disk_under_a_long_reader_makes_the_writer_wait(tmp_path: Path) -> None:
    """Where the disk refuses room for spilled pages, the writer waits as if there were none, and loses nothing."""
    Env.create(tmp_path / "env").close()
    disk = FaultHandle(tmp_path / "env")
    with Env.open(disk, scratch_bytes_max=1_000_000) as env:
        with env.write() as txn:
            pages = [txn.allocate(type=PLAIN) for _ in range(300)]
        env.checkpoint()
        fill(env, pages, 1)
        reader = env.read()
        disk.fail("allocate", error="ENOSPC")
        writer = threading.Thread(target=fill, args=(env, pages, 2))
        writer.start()
        writer.join(1.0)
        assert env.statistics()["spilled_bytes"] == 0
        reader.close()
        writer.join()
        with env.read() as txn:
            assert all(txn.page(page)[64:] == b"\2" * 8128 for page in pages)


def test_closing_beside_calls_of_other_threads() -> None:
    """Closing while other threads begin, commit and look around ends in Busy or Closed, never in a crash."""
    for _ in range(30):
        env = Env.create(None)
        start = threading.Barrier(4)

        def work(env: Env = env, start: threading.Barrier = start) -> None:
            start.wait()
            with contextlib.suppress(Closed, Busy):
                while True:
                    with env.write() as txn:
                        txn.allocate(type=PLAIN)
                    with env.read() as txn:
                        txn.page(1)
                    env.statistics()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        start.wait()
        for _ in range(10_000):
            try:
                env.close()
                break
            except Busy:
                time.sleep(0.0001)
        for thread in threads:
            thread.join()
        with pytest.raises(Closed):
            env.read()


def test_a_long_snapshot_does_not_fill_the_memory() -> None:
    """Thousands of commits beside old snapshots keep one image a page for each of them, and the snapshots stay true."""
    with Env.create(None, scratch_bytes_max=3_000_000) as env:
        with env.write() as txn:
            pages = [txn.allocate(type=PLAIN) for _ in range(40)]
        held = []
        for value in range(1, 4000):
            with env.write() as txn:
                for page in random.Random(value).sample(pages, 10):
                    txn.patch(page, 100, value.to_bytes(8, "little"))
            if value in (500, 501, 1700):
                txn = env.read()
                held.append((txn, [txn.page(page)[:200] for page in pages]))
        assert env.statistics()["scratch_bytes"] < 3_000_000
        assert env.statistics()["writer_waits"] == 0
        for txn, seen in held:
            assert [txn.page(page)[:200] for page in pages] == seen
            txn.close()
        with env.write() as txn:
            txn.patch(pages[0], 100, b"x")
        with env.write() as txn:
            txn.patch(pages[0], 100, b"y")
        assert env.statistics()["scratch_bytes"] <= 43 * 8192


@pytest.mark.parametrize("seed", range(4))
def test_snapshots_with_little_memory(tmp_path: Path, seed: int) -> None:
    """Random transactions and random snapshots stay true while versions between them are collected all the time."""
    dice = random.Random(seed)
    model = Model()
    held: list[tuple[object, Model]] = []
    with Env.create(tmp_path / "env", scratch_bytes_max=24 << 20, checkpoint_bytes=100_000) as env:
        for _ in range(200):
            model = random_txn(env, model, dice)
            if dice.random() < 0.3:
                held.append((env.read(), model))
            if len(held) > 6 or (held and dice.random() < 0.2):
                txn, seen = held.pop(dice.randrange(len(held)))
                check_model(txn, seen)
                txn.close()
        for txn, seen in held:
            check_model(txn, seen)
            txn.close()

"""After a fork everything that was open refuses in the child, goes on in the parent, and is locked by nobody else."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from pynori_core.check import check
from pynori_core.env import Env

import pynori
from pynori import errors

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
CHILD_SECONDS_MAX = 20


def in_child(body: Callable[[], None]) -> int:
    """Fork, run `body` in the child, and wait; its exit code, 0 when nothing was raised."""
    child = os.fork()
    if child == 0:
        try:
            body()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    for _ in range(CHILD_SECONDS_MAX * 100):
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


def test_a_child_is_refused_and_does_no_harm(tmp_path: Path) -> None:
    """Each use in the child raises DatabaseClosed, closing and dropping do nothing, and the child may open its own."""
    database = pynori.open(tmp_path / "db")
    for number in range(20):
        database.put(f"n/{number}", {"n": number})
    snapshot, scan, batch = database.snapshot(), database.scan(), database.batch()
    next(scan)
    batch.put("x", {})
    held = [database, snapshot, scan, batch]

    def child() -> None:
        for use in (
            lambda: database.get("n/1"), lambda: database.put("y", {}), lambda: database.delete("n/1"),
            lambda: snapshot.get("n/1"), lambda: next(scan), batch.commit, database.snapshot, database.scan,
            database.statistics, database.checkpoint, lambda: len(database),
        ):  # fmt: skip
            with pytest.raises(errors.DatabaseClosed, match="before a fork"):
                use()
        database.close()
        held.clear()
        with pynori.open("mem://") as own:
            own.put("a", {"n": 1})
            assert own.get("a") == {"n": 1}

    assert in_child(child) == 0
    database.put("after", {"n": 1})
    assert len(list(scan)) == 19 and len(snapshot) == 20
    database.close()


def test_a_living_child_keeps_no_lock(tmp_path: Path) -> None:
    """While a child lives on, the directory can be opened by another as soon as the parent has closed it, or died."""
    database = pynori.open(tmp_path / "db")
    ready, wait = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"x")
        os.read(wait[0], 1)
        os._exit(0)
    try:
        os.read(ready[0], 1)
        with pytest.raises(errors.DatabaseInUse):
            pynori.open(tmp_path / "db")
        database.put("a", {})
        database.close()
        with pynori.open(tmp_path / "db") as again:
            assert "a" in again
    finally:
        os.write(wait[1], b"x")
        os.waitpid(child, 0)
        for descriptor in (*ready, *wait):
            os.close(descriptor)


def test_forks_amid_writes(tmp_path: Path) -> None:
    """Children made while threads are inside calls refuse as well, and hang on no lock that a thread held."""
    database = pynori.open(tmp_path / "db")
    stop = threading.Event()

    def write(thread: int) -> None:
        while not stop.is_set():
            database.put(f"t/{thread}", {"n": 1})

    def child() -> None:
        for use in (lambda: database.get("t/1"), lambda: database.put("y", {}), lambda: database.batch().commit()):
            with pytest.raises(errors.DatabaseClosed):
                use()
        database.close()
        with pynori.open("mem://") as own:
            own.put("a", {})

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert [in_child(child) for _ in range(10)] == [0] * 10
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    database.close()
    assert check(tmp_path / "db") == []


def test_an_environment_refuses_in_a_child(tmp_path: Path) -> None:
    """The engine itself: no transaction begins in a child, and closing there leaves the files to the parent."""
    env = Env.create(tmp_path / "env")

    def child() -> None:
        for use in (env.read, env.write, env.checkpoint):
            with pytest.raises(Exception, match=r"before a fork|closing"):
                use()

    assert in_child(child) == 0
    with env.write() as txn:
        txn.allocate(type=2)
    env.close()

"""The disk seam: real and memory disks answer alike, and locks, refusals and faults do what they say."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pynori_core.disk import DiskHandle
from pynori_core.env import Env
from pynori_core.errors import Busy, NotFound
from pynori_core.fault_disk import FaultHandle

from tests.core.page_model import PLAIN


def fill(env: Env, commits: int) -> None:
    with env.write() as txn:
        page = txn.allocate(type=PLAIN)
    for value in range(commits):
        with env.write() as txn:
            txn.patch(page, 100 + value, b"x")


def test_real_and_memory_disks_hold_the_same_bytes(tmp_path: Path) -> None:
    """The same transactions leave journals of equal length and records with equal payload sizes on both disks."""
    shapes = []
    for disk in (DiskHandle(tmp_path), DiskHandle()):
        env = Env.create(disk)
        fill(env, 20)
        counted = env.statistics()
        shapes.append((counted["journal_bytes"], counted["pages_whole"], counted["pages_diff"]))
        env.close()
        names = [name for name in disk.names() if name != "lock"]
        shapes[-1] += (tuple(names), tuple(disk.size(name) for name in names))
    assert shapes[0] == shapes[1]


def test_a_memory_disk_outlives_its_environment() -> None:
    """What was committed on a memory disk is there when an environment is opened on it again; one at a time."""
    disk = DiskHandle()
    env = Env.create(disk)
    fill(env, 3)
    with pytest.raises(Busy):
        Env.open(disk)
    env.close()
    with Env.open(disk) as env:
        assert env.statistics()["published_txn"] == 4
    with pytest.raises(NotFound):
        DiskHandle("/nonexistent/folder")


def test_commits_need_one_write_and_no_allocation() -> None:
    """A commit is one write and one sync, and creates, grows, renames and reads nothing."""
    disk = FaultHandle()
    with Env.create(disk) as env:
        fill(env, 1)
        before = disk.counts()
        fill(env, 19)
        after = disk.counts()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"write": 20, "sync": 20, "any": 40}


def test_lock_is_free_again_after_a_kill(tmp_path: Path) -> None:
    """The lock of a killed process holds nobody up, although its text is still in the file."""
    directory = tmp_path / "env"
    Env.create(directory).close()
    code = (
        f"import sys, time; from pynori_core.env import Env\nenv = Env.open({str(directory)!r})\n"
        "print('open', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    assert child.stdout is not None
    child.stdout.readline()
    with pytest.raises(Busy, match=f"process {child.pid} of boot"):
        Env.open(directory)
    child.kill()
    child.wait()
    Env.open(directory).close()


def test_truncated_map_ends_with_a_message(tmp_path: Path) -> None:
    """Reading a page of a file that was cut under the map ends the process by SIGBUS and names file and offset."""
    directory = tmp_path / "env"
    with Env.create(directory) as env, env.write() as txn:
        page = txn.allocate(50, 5)
        for index in range(50):
            txn.patch(page + index, 100 if index == 0 else 0, b"y" * 50)
        txn.patch(page, 48, (49 * 8192).to_bytes(8, "little"))
    code = (
        f"import os; from pynori_core.env import Env\nenv = Env.open({str(directory)!r})\n"
        f"txn = env.read(); txn.page({page}, 50)\n"
        f"os.truncate({str(directory / 'data.pynori')!r}, {(page + 20) * 8192})\n"
        f"txn.page({page}, 50)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGBUS
    assert f"data.pynori: the disk cannot give the bytes at offset {(page + 20) * 8192}".encode() in ended.stderr


def test_faults_are_counted_and_heal() -> None:
    """The fault disk fails the call that was asked for, once or for good, and works again after heal."""
    disk = FaultHandle()
    disk.fail("open", after=1, lasting=False)
    with pytest.raises(OSError, match="error"):
        disk.read("data.pynori", 0, 8)
    env = Env.create(disk)
    fill(env, 2)
    disk.fail("read")
    with pytest.raises(OSError):
        disk.read("data.pynori", 0, 8)
    disk.heal()
    assert disk.size("data.pynori") == 1 << 20
    assert disk.read("data.pynori", 0, 7) == b"PYNORDB"
    env.close()

"""The data directory: made on first use, held by one process at a time, described by two small files.

`PYNORI` says what the folder is (format number, created by); `lock` is held by the kernel for as long as the process
lives and names it; `run.json` is there while the server runs and holds its addresses. `System` holds the cluster's
state and `Databases` one folder each.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Any

import msgspec

import pynori
from pynori.errors import CannotStart

FORMAT = 1


class DataDirectory:
    """A data directory that this process holds. `release` when the server has stopped."""

    __slots__ = ("_lock", "path")

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def acquire(cls, path: Path) -> DataDirectory:
        """Make or take the directory. Raises: CannotStart, naming the folder and what is wrong with it."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CannotStart(f"data directory {path} cannot be used: {error.strerror}") from error
        try:
            _hold(path, lock)
            _check_format(path)
            (path / "Databases").mkdir(exist_ok=True)
            sync_directory(path)
        except OSError as error:
            os.close(lock)
            raise CannotStart(f"data directory {path} cannot be used: {error.strerror}") from error
        except BaseException:
            os.close(lock)
            raise
        return cls(path, lock)

    @property
    def system(self) -> Path:
        return self.path / "System"

    @property
    def databases(self) -> Path:
        return self.path / "Databases"

    def write_run_file(self, content: dict[str, Any]) -> None:
        """Leave `run.json` for tools that look for the running server."""
        temporary = self.path / "run.json.new"
        temporary.write_bytes(msgspec.json.encode(content) + b"\n")
        temporary.rename(self.path / "run.json")

    def release(self) -> None:
        """Let the directory go. The lock file stays: removing it would let two processes hold two files."""
        (self.path / "run.json").unlink(missing_ok=True)
        os.close(self._lock)


def _hold(path: Path, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 200, 0).decode("utf-8", "replace").strip() or "another process"
        raise CannotStart(f"data directory {path} is in use by {holder}") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"process {os.getpid()}\n".encode(), 0)


def _check_format(path: Path) -> None:
    about = path / "PYNORI"
    if not about.exists():
        temporary = path / "PYNORI.new"
        with temporary.open("w") as file:
            file.write(f"format {FORMAT}\ncreated by pynori {pynori.__version__}\n")
            file.flush()
            # Before it gets its name: after a power cut an empty file would make the whole folder unreadable.
            os.fsync(file.fileno())
        temporary.rename(about)
        return
    found = "nothing"
    with contextlib.suppress(IndexError):
        found = about.read_text(errors="replace").splitlines()[0]
    if found != f"format {FORMAT}":
        raise CannotStart(f"data directory {path} has '{found}', but this version of pynori knows 'format {FORMAT}'")


def sync_directory(directory: Path) -> None:
    """Make names in a folder durable: after a power cut a file without its name is a lost file."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

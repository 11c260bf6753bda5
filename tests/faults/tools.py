"""Tools of the fault tests: what the machine must allow, the preloaded shim, volumes of their own.

A tool that is missing skips the test with a warning and a printed line; with PYNORI_FAULT_TOOLS=required it fails.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

SHIM_SOURCE = Path(__file__).with_name("fault_shim.c")
MKFS = shutil.which("mkfs.ext4") or "/usr/sbin/mkfs.ext4"


def missing(what: str) -> NoReturn:
    """This machine does not allow the test."""
    text = f"NOT TESTED, this machine does not allow it: {what}"
    if os.environ.get("PYNORI_FAULT_TOOLS") == "required":
        pytest.fail(text)
    print(text, file=sys.stderr)
    warnings.warn(text, stacklevel=2)
    pytest.skip(text)


def build_shim(folder: Path) -> Path:
    """The shim as a shared object."""
    target = folder / "fault_shim.so"
    compiler = shutil.which("gcc") or shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        missing("a C compiler and glibc, for the preloaded shim")
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(target), str(SHIM_SOURCE), "-ldl"]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        missing(f"the shim does not compile: {built.stderr[:300]}")
    return target


class Volume:
    """An ext4 of its own on a loop device, mounted at `path`."""

    def __init__(self, folder: Path, size_mb: int, options: str = "") -> None:
        self.image = folder / "volume.img"
        self.path = folder / "volume"
        self.options = options
        self.path.mkdir()
        with self.image.open("wb") as file:
            file.truncate(size_mb << 20)
        made = subprocess.run([MKFS, "-q", "-F", "-m", "0", str(self.image)], capture_output=True, text=True)
        if made.returncode:
            raise OSError(made.stderr)
        self.mount()

    def mount(self) -> None:
        options = "loop" + ("," + self.options if self.options else "")
        done = subprocess.run(
            ["mount", "-o", options, str(self.image), str(self.path)], capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise OSError(done.stderr)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.path)], check=True, capture_output=True, timeout=60)


@contextlib.contextmanager
def volume(folder: Path, size_mb: int, options: str = "") -> Iterator[Volume]:
    """A mounted volume; unmounted at the end. Skips loudly where mounting is not allowed."""
    try:
        made = Volume(folder, size_mb, options)
    except (OSError, subprocess.SubprocessError) as error:
        missing(f"an ext4 on a loop device: {error}")
    try:
        yield made
    finally:
        subprocess.run(["umount", str(made.path)], capture_output=True)


class ServerProcess:
    """`pynori serve` on a data directory, with the shim preloaded if there is one."""

    def __init__(self, data: Path, *words: str, shim: Path | None = None) -> None:
        environment = dict(os.environ)
        self.plan = data.parent / "plan"
        if shim is not None:
            environment |= {"LD_PRELOAD": str(shim), "PYNORI_SHIM": str(self.plan)}
        command = [sys.executable, "-m", "pynori", "serve", "--url", "http://127.0.0.1:0", "--data-dir", str(data)]
        self.process = subprocess.Popen(
            [*command, *words], cwd=SHIM_SOURCE.parents[2], env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("Server available on:"):
                self.url = line.split(":", 1)[1].strip()
                return
        raise AssertionError(f"ended before it listened: {self.process.communicate()[1]}")

    def disk(self, error: int, milliseconds: int = 0, name: str = "journal.") -> None:
        """From now on writes and syncs of files of that name wait and fail. The plan appears in one piece."""
        temporary = self.plan.with_suffix(".new")
        temporary.write_text(f"{error} {milliseconds} {name}")
        temporary.rename(self.plan)

    def heal(self) -> None:
        self.plan.unlink(missing_ok=True)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any], dict[str, str]]:
        """(status, JSON, header fields in lower case), whatever the status."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read()
            fields = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, json.loads(text) if text.startswith(b"{") else {}, fields

    def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait until it holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it never became true"
            time.sleep(0.05)

    def kill(self) -> str:
        """End it at once; what it wrote to standard error."""
        self.process.kill()
        return self.process.communicate()[1]


@contextlib.contextmanager
def served(data: Path, *words: str, shim: Path | None = None) -> Iterator[ServerProcess]:
    """A server with one database named `db`."""
    server = ServerProcess(data, *words, shim=shim)
    try:
        server.call("PUT", "/admin/databases?name=db", {"DatabaseName": "db"})
        yield server
    finally:
        server.kill()

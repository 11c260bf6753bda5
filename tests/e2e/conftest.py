"""A real server process for tests that go from end to end."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
EXIT_SECONDS_MAX = 20


class ServerProcess:
    """One `pynori serve` process that listens at `url`."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The JSON that is answered. Raises: urllib.error.HTTPError."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, method=method), timeout=20) as answer:
            return json.loads(answer.read() or b"null")

    def text(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=20) as answer:
            return str(answer.read().decode())

    def terminate(self) -> tuple[int, str]:
        """End it with SIGTERM; exit code and what it wrote to stderr."""
        self.process.terminate()
        _, talk = self.process.communicate(timeout=EXIT_SECONDS_MAX)
        return self.process.returncode, talk


class Serve(Protocol):
    """Starts a server with these words behind `pynori serve`."""

    def __call__(self, *words: str) -> AbstractContextManager[ServerProcess]: ...


@pytest.fixture
def serve() -> Serve:
    """serve("--data-dir", ...) as a context manager; a process that still runs at the end of the block is killed."""

    @contextmanager
    def start(*words: str) -> Iterator[ServerProcess]:
        command = [sys.executable, "-m", "pynori", "serve", "--url", "http://127.0.0.1:0", *words]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("Server available on:"):
                    break
            else:
                raise AssertionError(f"ended before it listened: {process.communicate()[1]}")
            yield ServerProcess(process, line.split(":", 1)[1].strip())
        finally:
            process.kill()
            process.communicate()

    return start


@pytest.fixture
def command_line() -> "CommandLine":
    """command_line("export", ...): the finished process of one `pynori` command."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pynori", *words]
        environment = {**os.environ, "COLUMNS": "200"}
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=environment)

    return run


class CommandLine(Protocol):
    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]: ...

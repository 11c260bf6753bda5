"""`pynori serve` as a process: its lines, its exit codes, signals, and what a kill leaves."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pynori.cli.port_owner import port_owner

ROOT = Path(__file__).resolve().parent.parent.parent
SERVE = [sys.executable, "-m", "pynori", "serve"]


@contextmanager
def serving(*words: str, env: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """A server process that listens, its URL, and the lines before it listened."""
    command = [*SERVE, "--url", "http://127.0.0.1:0", *words]
    environment = {**os.environ, **(env or {})}
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Server available on: "):
                break
        else:
            raise AssertionError(f"ended before it listened: {process.stderr.read()}")
        yield process, lines[-1].removeprefix("Server available on: ").strip(), lines
    finally:
        process.kill()
        process.communicate()


def failing(*words: str) -> tuple[int, str]:
    """Exit code and stderr of a server that cannot start."""
    result = subprocess.run([*SERVE, *words], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert result.stdout == ""
    return result.returncode, result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(number: signal.Signals, tmp_path: Path) -> None:
    """The server says where it listens, answers there, and after SIGTERM or SIGINT ends with 0 and no warning."""
    with serving("--data-dir", str(tmp_path / "data")) as (process, url, lines):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url) and lines[0].startswith("Pynori ")
        assert urllib.request.urlopen(url + "/build/version").status == 200
        run = json.loads((tmp_path / "data" / "run.json").read_text())
        assert (run["url"], run["pid"]) == (url, process.pid)
        process.send_signal(number)
        _, talk = process.communicate(timeout=20)
        assert process.returncode == 0 and "warn" not in talk and "error" not in talk


def test_json_log_lines(tmp_path: Path) -> None:
    """With --log-format json every line on stderr is a JSON object with the node's name."""
    with serving("--RunInMemory=true", "--log-format", "json", "--node-id", "node0", "--Setup.Mode=None") as (
        process,
        _,
        _,
    ):
        process.terminate()
        _, talk = process.communicate(timeout=20)
    lines = [json.loads(line) for line in talk.splitlines()]
    assert lines and all(line["node"] == "node0" and line["level"] == "info" for line in lines)


def test_port_in_use_is_one_line(tmp_path: Path) -> None:
    """A taken port ends the start with 78 and one line naming the port and its owner; no data directory is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, talk = failing("--url", f"http://127.0.0.1:{port}", "--data-dir", str(tmp_path / "data"))
    assert code == 78 and talk.count("\n") == 1
    assert f"port {port} of 127.0.0.1 is in use by process {os.getpid()}" in talk
    assert not (tmp_path / "data").exists()


def test_bad_settings_are_one_line(tmp_path: Path) -> None:
    """A wrong value ends the start with 78 and one line."""
    code, talk = failing("--ServerUrl=nonsense:x", "--data-dir", str(tmp_path / "data"))
    assert code == 78 and talk.count("\n") == 1 and "ServerUrl" in talk and "nonsense" in talk


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A file in the place of the data directory, or one that a server holds, ends the start with 78 and its name."""
    (tmp_path / "file").write_text("")
    code, talk = failing("--url", "127.0.0.1:0", "--data-dir", str(tmp_path / "file"))
    assert code == 78 and str(tmp_path / "file") in talk and talk.count("\n") == 1
    with serving("--data-dir", str(tmp_path / "data")) as (process, _, _):
        code, talk = failing("--url", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"))
        assert code == 78 and f"in use by process {process.pid}" in talk


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """Given a process to watch, the server ends by itself soon after that process."""
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with serving("--RunInMemory=true", f"--Testing.ParentProcessId={parent.pid}") as (process, _, _):
        parent.communicate(b"\n")
        assert process.wait(timeout=20) == 0


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    """Databases and documents that were confirmed are there after SIGKILL and a new start; so is the sample."""
    words = ["--data-dir", str(tmp_path / "data")]

    def call(url: str, method: str, path: str, body: object = None) -> object:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url + path, data, method=method)) as answer:
            return json.loads(answer.read() or b"null")

    with serving(*words, "--sample") as (process, url, _):
        call(url, "PUT", "/admin/databases?name=shop", {"DatabaseName": "shop"})
        call(url, "PUT", "/databases/shop/docs?id=users/1", {"Name": "Ada", "@metadata": {"@collection": "Users"}})
        process.send_signal(signal.SIGKILL)
        process.wait()
    with serving(*words) as (process, url, lines):
        assert any("Databases: 2 (Sample, shop)" in line for line in lines)
        loaded = call(url, "GET", "/databases/shop/docs?id=users/1")
        assert isinstance(loaded, dict) and loaded["Results"][0]["Name"] == "Ada"
        process.terminate()
        assert process.wait(timeout=20) == 0


def test_port_owner_of_a_free_port() -> None:
    """A port where nobody listens has no owner."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert port_owner(bound.getsockname()[1]) is None

"""The stage of a walkthrough: server processes on addresses of the loopback range, and a list of what was seen.

Node n listens on 127.0.0.n, so that every node has an address of its own and all the same port. Grace periods are
short. A step that is seen otherwise than expected is noted and the story goes on: what follows often tells why.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.walk.network import Network

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 20.0
LOOK_S = 0.05
SETTINGS = ("--rotate-after", "2", "--rehab-after", "5", "--replace-after", "20",
            "--unsecured-access-allowed", "PrivateNetwork")  # fmt: skip


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status}: {body.get('Message')}")
        self.status = status
        self.body = body


class Stage:
    """Nodes by number, 1 to 9, and what was observed."""

    def __init__(self, name: str, quiet: bool = False, network: Network | None = None) -> None:
        """network: in which the nodes live; without one they are on the loopback range, and cannot be cut off."""
        self.name = name
        self.network = network
        self.failures: list[str] = []
        self.observations = 0
        self._quiet = quiet
        self._directory = Path(tempfile.mkdtemp(prefix=f"pynori-walk-{name}-"))
        self._port = _free_port()
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._logs = (self._directory / "log").open("a")

    # ---- nodes

    def url(self, node: int) -> str:
        host = f"127.0.0.{node}" if self.network is None else self.network.host(node)
        return f"http://{host}:{self._port}"

    def start(self, *nodes: int) -> None:
        """Start nodes, or start them again on their files."""
        for node in nodes:
            place = () if self.network is None else self.network.command(node)
            words = ("--url", self.url(node), "--data-dir", str(self.directory(node)), *SETTINGS)
            process = subprocess.Popen(
                [*place, sys.executable, "-m", "pynori", "serve", *words], cwd=ROOT, stdout=subprocess.PIPE,
                stderr=self._logs, text=True,
            )  # fmt: skip
            self._processes[node] = process
        for node in nodes:
            output = self._processes[node].stdout
            assert output is not None
            for line in output:
                if line.startswith("Server available on:"):
                    break
            else:
                raise AssertionError(f"node {node} ended with exit code {self._processes[node].wait()}")

    def kill(self, *nodes: int) -> None:
        """SIGKILL, without a word before."""
        for node in nodes:
            self._processes[node].kill()
        for node in nodes:
            self._processes.pop(node).wait(10)

    def freeze(self, node: int) -> None:
        self._processes[node].send_signal(signal.SIGSTOP)

    def thaw(self, node: int) -> None:
        self._processes[node].send_signal(signal.SIGCONT)

    def directory(self, node: int) -> Path:
        return self._directory / f"node{node}"

    def process_id(self, node: int) -> int:
        return self._processes[node].pid

    @property
    def running(self) -> list[int]:
        return sorted(self._processes)

    def end(self) -> None:
        """Stop what runs, see that it stops well, and have its files checked."""
        for node, process in sorted(self._processes.items()):
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                self.see(f"node {node} stops on SIGTERM", 0, process.wait(30))
            except subprocess.TimeoutExpired:
                self.see(f"node {node} stops on SIGTERM", 0, "it hangs")
                process.kill()
                process.wait()
        for directory in sorted(self._directory.glob("node*")):
            command = [sys.executable, "-m", "pynori", "check", str(directory)]
            checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            self.see(f"the files of {directory.name} are sound", 0, checked.returncode)
        self._logs.close()
        if not self.failures:
            shutil.rmtree(self._directory)
        else:
            self._say(f"      files and log are kept in {self._directory}")

    # ---- asking

    def ask(self, node: int, method: str, path: str, body: Any = None, timeout_s: float = 20.0) -> Any:
        """The JSON that a node answers, None for an empty answer. Raises: Refused, OSError."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url(node) + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
            try:
                said = json.loads(text or b"{}")
            except ValueError:
                said = {"Message": text[:200].decode("utf-8", "replace")}
            raise Refused(error.code, said) from None
        return json.loads(text) if text else None

    def tag(self, node: int) -> str:
        return str(self.ask(node, "GET", "/cluster/node-info")["NodeTag"])

    def put(self, node: int, db: str, id: str, document: dict[str, Any]) -> Any:
        return self.ask(node, "PUT", f"/databases/{db}/docs?id={quote(id)}", document)

    def get(self, node: int, db: str, id: str) -> dict[str, Any] | None:
        """The document, or None. Raises: Refused for a conflict or a database that is not there."""
        try:
            results = self.ask(node, "GET", f"/databases/{db}/docs?id={quote(id)}")["Results"]
        except Refused as refused:
            if refused.status == 404:
                return None
            raise
        return results[0] if results else None

    def field(self, node: int, db: str, id: str, name: str) -> Any:
        """One field of a document; None when there is no such document."""
        return (self.get(node, db, id) or {}).get(name)

    def delete(self, node: int, db: str, id: str) -> Any:
        return self.ask(node, "DELETE", f"/databases/{db}/docs?id={quote(id)}")

    def create(self, node: int, db: str, factor: int = 1, members: list[str] | None = None) -> Any:
        """Create a database with a replication factor, or on named nodes."""
        record: dict[str, Any] = {"DatabaseName": db}
        if members:
            record["Topology"] = {"Members": members}
        return self.ask(node, "PUT", f"/admin/databases?name={db}&replicationFactor={factor}", record)

    def join(self, node: int, *others: int) -> None:
        """Let `node`'s cluster take others in, and wait until they vote."""
        for other in others:
            self.ask(node, "PUT", f"/admin/cluster/node?url={quote(self.url(other), safe='')}")
            self.wait(
                f"node {other} becomes a member",
                lambda other=other: self.url(other) in self.cluster(node)["Topology"]["Members"].values(),
            )

    def cluster(self, node: int) -> dict[str, Any]:
        found: dict[str, Any] = self.ask(node, "GET", "/cluster/topology")
        return found

    def group(self, node: int, db: str) -> dict[str, list[str]]:
        """Tags of a database's nodes by role, as `node` tells clients."""
        found = self.ask(node, "GET", f"/topology?name={db}")
        roles: dict[str, list[str]] = {"Member": [], "Rehab": [], "Promotable": []}
        for each in [*found["Nodes"], *found["Promotables"]]:
            roles[each["ServerRole"]].append(each["ClusterTag"])
        return roles

    # ---- seeing

    def see(self, what: str, expected: Any, seen: Any) -> bool:
        """Note an observation."""
        self.observations += 1
        is_so = bool(expected == seen)
        wanted = "" if is_so else f", expected {expected}"
        self._say(f"{'ok  ' if is_so else 'FAIL'}  {what}: {_short(seen)}{wanted}")
        if not is_so:
            self.failures.append(f"{what}: expected {expected}, seen {seen}")
        return is_so

    def refused(self, what: str, call: Callable[[], Any], *words: str) -> None:
        """Something must be refused soon, with these words in its reason."""
        begun = time.monotonic()
        try:
            seen = f"it was done: {call()}"
        except Refused as refused:
            seen = str(refused)
        except OSError as error:
            seen = f"no answer: {error}"
        took_s = time.monotonic() - begun
        missing = [word for word in words if word.lower() not in seen.lower()]
        self.see(f"{what} is refused within 10 s and says why [{_short(seen)}]", ([], True), (missing, took_s < 10))

    def wait(self, what: str, holds: Callable[[], Any], seconds: float = WAIT_S) -> bool:
        """Something must come about."""
        begun = time.monotonic()
        last: Any = None
        while time.monotonic() - begun < seconds:
            try:
                last = holds()
                if last:
                    return self.see(f"{what} (after {time.monotonic() - begun:.1f} s)", True, True)
            except (Refused, OSError, KeyError) as error:
                last = error
            time.sleep(LOOK_S)
        return self.see(what, True, f"not within {seconds:g} s, last {last!r}")

    def step(self, text: str) -> None:
        self._say(f"----  {self.name} {text}")

    def _say(self, line: str) -> None:
        if not self._quiet:
            print(line, flush=True)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 160 else text[:157] + "..."


def _free_port() -> int:
    """A port that is free on every address of the loopback range."""
    while True:
        with socket.socket() as probe:
            probe.bind(("0.0.0.0", 0))
            port = int(probe.getsockname()[1])
        if port < 60_000:
            return port

"""Compare-exchange puts on three nodes beside etcd's puts on three nodes, in turn in one run on loopback addresses.

    python bench/macro/cluster_puts.py [--connections 64 256] [--seconds 5] [--rounds 3] [--etcd etcd]

Needs `wrk` and etcd 3.4 (Debian: etcd-server, etcd-client). Both get values of 100 bytes under new keys at one of three
nodes, by HTTP from the same generator: Pynori `PUT /cmpxchg`, etcd its own JSON gateway. Since etcd's native way is
gRPC, `etcdctl check perf --load xl` is printed beside it: what its own client reaches, at most 15,000 puts/s. Both sync
each round of their logs. Rounds alternate; the median is printed, and the ratio Pynori / etcd.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from http_load import free_port  # noqa: E402 - the benches are scripts, not a package

TAG = """
local count = 0
local tag = ""
function init(args) math.randomseed(os.time()) tag = tostring(math.random(1, 1000000000)) end
"""
PYNORI_PUTS = TAG + """
local value = '{"Object":"' .. string.rep("x", 100) .. '"}'
function request()
  count = count + 1
  return wrk.format("PUT", "/databases/db/cmpxchg?index=0&key=" .. tag .. "/" .. count, nil, value)
end
"""
ETCD_PUTS = TAG + """
local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local value = string.rep("eHh4", 33)
-- Keys are base64 texts; one of 16 letters is its own 12 bytes.
function request()
  count = count + 1
  local key, number = "", count
  for _ = 1, 8 do key = letters:sub(number % 64 + 1, number % 64 + 1) .. key; number = math.floor(number / 64) end
  key = (tag .. "AAAAAAAA"):sub(1, 8) .. key
  return wrk.format("POST", "/v3/kv/put", nil, '{"key":"' .. key .. '","value":"' .. value .. '"}')
end
"""


@contextlib.contextmanager
def processes(commands: list[list[str]]) -> Iterator[None]:
    quiet = subprocess.DEVNULL
    started = [subprocess.Popen(each, cwd=ROOT, stdout=quiet, stderr=quiet) for each in commands]
    try:
        yield
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.wait(20)


def answer(method: str, url: str, body: object = None) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=20) as response:
        found: dict[str, object] = json.loads(response.read() or b"{}")
        return found


def wait_for(what: str, call: object) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if call():  # type: ignore[operator]
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not come about")
        time.sleep(0.05)


@contextlib.contextmanager
def pynori(directory: Path) -> Iterator[str]:
    """Three nodes with a database; the address of one of them."""
    urls = [f"http://127.0.0.{node}:{free_port()}" for node in (1, 2, 3)]
    commands = [
        [sys.executable, "-m", "pynori", "serve", "--url", url, "--data-dir", str(directory / f"pynori{number}")]
        for number, url in enumerate(urls)
    ]
    with processes(commands):
        for url in urls:
            wait_for("a node of Pynori", lambda url=url: answer("GET", f"{url}/build/version"))
        answer("PUT", f"{urls[0]}/admin/databases?name=db&replicationFactor=1", {"DatabaseName": "db"})
        for url in urls[1:]:
            answer("PUT", f"{urls[0]}/admin/cluster/node?url={url}")
        wait_for("a cluster of Pynori", lambda: len(
            answer("GET", f"{urls[0]}/cluster/topology")["Topology"]["Members"]) == 3)  # type: ignore[index]
        yield urls[0]


@contextlib.contextmanager
def etcd(directory: Path, program: str) -> Iterator[str]:
    """Three nodes; the address of one of them."""
    peers = [f"http://127.0.0.{node}:{free_port()}" for node in (1, 2, 3)]
    urls = [f"http://127.0.0.{node}:{free_port()}" for node in (1, 2, 3)]
    names = ",".join(f"n{number}={peer}" for number, peer in enumerate(peers))
    commands = [
        [program, "--name", f"n{number}", "--data-dir", str(directory / f"etcd{number}"), "--initial-cluster", names,
         "--initial-advertise-peer-urls", peer, "--listen-peer-urls", peer, "--advertise-client-urls", url,
         "--listen-client-urls", url, "--log-level", "error", "--quota-backend-bytes", str(8 << 30)]
        for number, (peer, url) in enumerate(zip(peers, urls, strict=True))
    ]  # fmt: skip
    with processes(commands):
        wait_for("etcd", lambda: answer("POST", f"{urls[0]}/v3/kv/put", {"key": "YQ==", "value": "YQ=="}))
        yield urls[0]


def load(url: str, script: Path, connections: int, seconds: float) -> float:
    """Requests per second. Ends the program when one is answered with an error."""
    words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(script), url]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text:
        sys.exit(f"{url} answered with errors:\n{text}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert found is not None, text
    return float(found[1])


def own_client(url: str) -> str:
    """What etcd's own client says that it reaches."""
    if shutil.which("etcdctl") is None:
        return "there is no etcdctl"
    words = ["etcdctl", "--endpoints", url.removeprefix("http://"), "check", "perf", "--load", "xl"]
    done = subprocess.run(words, capture_output=True, text=True, env={"ETCDCTL_API": "3"})
    found = re.search(r"(\d+) writes/s", done.stdout)
    return f"{found[1]} puts/s" if found else done.stdout[-200:] + done.stderr[-200:]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--connections", type=int, nargs="+", default=[64, 256])
    arguments.add_argument("--seconds", type=float, default=5)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--etcd", default="etcd")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="pynori-bench-") as name:
        directory = Path(name)
        scripts = {"pynori": directory / "pynori.lua", "etcd": directory / "etcd.lua"}
        scripts["pynori"].write_text(PYNORI_PUTS)
        scripts["etcd"].write_text(ETCD_PUTS)
        rates: dict[tuple[str, int], list[float]] = {}
        for round in range(given.rounds):
            place = directory / str(round)
            # One after the other: two clusters at once would only share the machine.
            with pynori(place) as url:
                for connections in given.connections:
                    rates.setdefault(("pynori", connections), []).append(
                        load(url, scripts["pynori"], connections, given.seconds))  # fmt: skip
            with etcd(place, given.etcd) as url:
                for connections in given.connections:
                    rates.setdefault(("etcd", connections), []).append(
                        load(url, scripts["etcd"], connections, given.seconds))  # fmt: skip
                if round == given.rounds - 1:
                    print(f"etcd by its own client, 15,000 puts/s offered: {own_client(url)}")
        for connections in given.connections:
            ours, theirs = (statistics.median(rates[(each, connections)]) for each in ("pynori", "etcd"))
            print(f"{connections:4} connections: Pynori {ours:8,.0f} puts/s, etcd {theirs:8,.0f} puts/s, "
                  f"ratio {ours / theirs:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()

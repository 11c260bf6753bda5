"""Durable PUTs of 1 KB over HTTP beside Redis with appendfsync always, measured in turn in one run.

    python bench/macro/redis_put.py [--connections 64 256] [--seconds 4] [--rounds 3]

Needs `wrk`, `redis-server` and `redis-benchmark`. Both servers run in a process of their own with their files on the
same disk, each under the load generator of its own world. 10,000 keys, values of 1 KB. The median ratio is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from http_load import PUT_SCRIPT, document, free_port, load, running, send

KEYS = 10_000


@contextlib.contextmanager
def redis(port: int, folder: Path) -> Iterator[None]:
    """A Redis that syncs its append-only file before it answers."""
    command = ["redis-server", "--port", str(port), "--dir", str(folder), "--appendonly", "yes"]
    command += ["--appendfsync", "always", "--save", "", "--bind", "127.0.0.1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True).returncode == 0:
                break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


def redis_load(port: int, connections: int, requests: int, size: int) -> float:
    """SETs per second as redis-benchmark counts them."""
    command = ["redis-benchmark", "-p", str(port), "-c", str(connections), "-n", str(requests), "-r", str(KEYS)]
    text = subprocess.run([*command, "-d", str(size), "-t", "set", "--csv"], capture_output=True, text=True, check=True)
    return float(text.stdout.strip().splitlines()[-1].split(",")[1].strip('"'))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where both keep their files (default: temp)")
    options = parser.parse_args()
    options.fields = "few"
    body = document(1024)
    counts = options.connections
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, contextlib.ExitStack() as stack:
        url, redis_port = f"http://127.0.0.1:{free_port()}", free_port()
        data_directory = Path(folder) / "pynori"
        command = [sys.executable, "-m", "pynori", "serve", "--url", url, "--data-dir", str(data_directory)]
        stack.enter_context(running(command, url))
        stack.enter_context(redis(redis_port, Path(folder)))
        send("PUT", url + "/admin/databases?name=bench&replicationFactor=1", '{"DatabaseName":"bench"}')
        script = Path(folder) / "put.lua"
        script.write_text(PUT_SCRIPT % body)
        for options.connections in counts:
            pairs = []
            for _ in range(options.rounds):
                ours = load(url, options, script)
                requests = int(30_000 * options.seconds)
                pairs.append((ours, redis_load(redis_port, options.connections, requests, len(body))))
            mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(one / other for one, other in pairs)
            print(f"{options.connections} connections: PUT {mine:,.0f}/s, Redis SET {theirs:,.0f}/s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()

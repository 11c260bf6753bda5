"""Replication between two nodes: lag, throughput beside one node alone, and the price of write assurance.

    python bench/macro/replication.py [--documents 100000] [--rate 5000] [--seconds 8] [--connections 64]

Needs `wrk` for write assurance. Two server processes on one machine, so sender, receiver and load share its processors.
Lag: from the answer to a PUT at one node to the first GET at the other that has it, while the load goes on. Throughput:
documents in batches of 64 to one node alone, then to one of two linked nodes until the other has them all; and what a
new instance is fed with by the first one, with nothing else going on. Ratios are within one run.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from cluster_puts import answer, processes, wait_for  # noqa: E402 - the benches are scripts, not a package
from http_load import document, free_port  # noqa: E402

BATCH = 64
WRITERS = 8
ASSURED = """
local count = 0
local body = '{"Commands":[{"Type":"PUT","Id":"a/%%d","Document":%s}]}'
function request()
  count = count + 1
  return wrk.format("POST", "/databases/%s/bulk_docs%s", nil, string.format(body, count %% 10000))
end
"""


class Connection:
    """Kept open; one request after the other."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=20)

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        self._connection.request(method, path, body)
        response = self._connection.getresponse()
        return response.status, response.read()


def fill(url: str, db: str, count: int, body: str) -> None:
    """`count` documents in batches of BATCH, from WRITERS connections at once."""
    commands = ",".join(f'{{"Type":"PUT","Id":"x/%d","Document":{body}}}' for _ in range(BATCH))
    text = f'{{"Commands":[{commands}]}}'.replace("%d", "%(id)s")
    pieces = text.split("%(id)s")

    def write(first: int) -> None:
        connection = Connection(url)
        for start in range(first * BATCH, count, WRITERS * BATCH):
            parts = [piece + str(start + n) for n, piece in enumerate(pieces[:-1])]
            status, said = connection.ask("POST", f"/databases/{db}/bulk_docs", "".join(parts) + pieces[-1])
            assert status == 201, said

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def documents(url: str, db: str) -> int:
    return int(answer("GET", f"{url}/databases/{db}/stats")["CountOfDocuments"])  # type: ignore[call-overload]


def throughput(urls: list[str], count: int, body: str) -> None:
    count -= count % (BATCH * WRITERS)
    begun = time.monotonic()
    fill(urls[0], "alone", count, body)
    alone = count / (time.monotonic() - begun)
    begun = time.monotonic()
    fill(urls[0], "pair", count, body)
    written = count / (time.monotonic() - begun)
    wait_for("all documents on the other node", lambda: documents(urls[1], "pair") >= count)
    replicated = count / (time.monotonic() - begun)
    print(f"{count:,} documents in batches of {BATCH}: one node alone {alone:,.0f}/s; "
          f"of two, {written:,.0f}/s written, {replicated:,.0f}/s on both; ratio {replicated / alone:.2f}")  # fmt: skip
    begun = time.monotonic()
    answer("PUT", f"{urls[0]}/admin/databases/node?name=alone&node=B")
    wait_for("all documents on the new instance", lambda: documents(urls[1], "alone") >= count)
    fed = count / (time.monotonic() - begun)
    print(f"a new instance is fed with {fed:,.0f}/s; ratio to one node's writes {fed / alone:.2f}")


def lag(urls: list[str], rate: int, seconds: float, body: str) -> None:
    stop = threading.Event()
    sent = 0

    def keep_writing() -> None:
        # Batches of 10 keep one thread of Python able to offer the rate; each is a transaction of its own.
        nonlocal sent
        connection = Connection(urls[0])
        text = ",".join(f'{{"Type":"PUT","Id":"l/{n}","Document":{body}}}' for n in range(10))
        begun = time.monotonic()
        while not stop.is_set():
            connection.ask("POST", "/databases/pair/bulk_docs", f'{{"Commands":[{text}]}}')
            sent += 10
            time.sleep(max(0.0, begun + sent / rate - time.monotonic()))

    writer = threading.Thread(target=keep_writing)
    begun = time.monotonic()
    writer.start()
    here, there = Connection(urls[0]), Connection(urls[1])
    lags = []
    number = 0
    while time.monotonic() - begun < seconds:
        number += 1
        status, _ = here.ask("PUT", f"/databases/pair/docs?id=probe/{number}", body)
        assert status == 201
        answered = time.monotonic()
        while there.ask("GET", f"/databases/pair/docs?id=probe/{number}&metadataOnly=true")[0] != 200:
            pass
        lags.append((time.monotonic() - answered) * 1_000)
        time.sleep(0.01)
    took = time.monotonic() - begun
    stop.set()
    writer.join()
    lags.sort()
    print(f"lag under {sent / took:,.0f} writes/s: median {statistics.median(lags):.1f} ms, "
          f"99 % {lags[int(len(lags) * 0.99)]:.1f} ms, of {len(lags)}")  # fmt: skip


def assured(url: str, place: Path, connections: int, seconds: float, body: str) -> None:
    rates = []
    for options in ("", "?waitForReplicasTimeout=00:00:15&numberOfReplicasToWaitFor=1"):
        script = place / "assured.lua"
        script.write_text(ASSURED % (body.replace("%", "%%"), "pair", options))
        words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(script), url]
        text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert "Non-2xx" not in text, text
        found = re.search(r"Requests/sec:\s+([\d.]+)", text)
        assert found is not None, text
        rates.append(float(found[1]))
    print(f"{connections} connections, one document each: {rates[0]:,.0f}/s without, {rates[1]:,.0f}/s with one "
          f"replica assured; ratio {rates[1] / rates[0]:.2f}")  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--documents", type=int, default=100_000)
    arguments.add_argument("--rate", type=int, default=5_000)
    arguments.add_argument("--seconds", type=float, default=8)
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--size", type=int, default=500, help="bytes of a document's JSON")
    given = arguments.parse_args()
    body = document(given.size)
    json.loads(body)
    with tempfile.TemporaryDirectory(prefix="pynori-bench-") as name, contextlib.ExitStack() as stack:
        place = Path(name)
        urls = [f"http://127.0.0.{node}:{free_port()}" for node in (1, 2)]
        stack.enter_context(processes([
            [sys.executable, "-m", "pynori", "serve", "--url", url, "--data-dir", str(place / str(number))]
            for number, url in enumerate(urls)
        ]))  # fmt: skip
        for url in urls:
            wait_for("a node", lambda url=url: answer("GET", f"{url}/build/version"))
        answer("PUT", f"{urls[0]}/admin/databases?name=alone&replicationFactor=1", {"DatabaseName": "alone"})
        answer("PUT", f"{urls[0]}/admin/cluster/node?url={urls[1]}")
        wait_for("a cluster", lambda: len(
            answer("GET", f"{urls[0]}/cluster/topology")["Topology"]["Members"]) == 2)  # type: ignore[index]
        record = {"DatabaseName": "pair", "Topology": {"Members": ["A", "B"]}}
        answer("PUT", f"{urls[0]}/admin/databases?name=pair&replicationFactor=2", record)
        throughput(urls, given.documents, body)
        lag(urls, given.rate, given.seconds, body)
        assured(urls[0], place, given.connections, given.seconds, body)


if __name__ == "__main__":
    main()

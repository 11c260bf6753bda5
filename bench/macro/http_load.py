"""GET and PUT of one document of 1 KB over HTTP beside a hello world, as ratios measured in turn in one run.

    python bench/macro/http_load.py [--connections 64] [--seconds 4] [--rounds 3] [--server COMMAND] [--fields client]

Needs `wrk`. The hello world (http_hello.py) is uvloop and httptools in the plainest way; both servers have a process of
their own, and the load generator has the rest of the machine. Rounds alternate; the median of the ratios is printed.
`--fields client` sends the header fields that the official Python client sends. COMMAND must listen on {url}.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shlex
import socket
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
CLIENT_FIELDS = {
    "User-Agent": "python-requests/2.32.3",
    "Accept-Encoding": "gzip, deflate",
    "Accept": "application/json",
    "Connection": "keep-alive",
    "Raven-Client-Version": "7.2.7",
    "Topology-Etag": '"2"',
    "Client-Configuration-Etag": '"None"',
}
# The requests are made beforehand, so that the generator costs little beside what it loads.
PUT_SCRIPT = """
local requests = {}
local count = 0
function init(args)
  for number = 1, 10000 do
    requests[number] = wrk.format("PUT", "/databases/bench/docs?id=users/" .. number, nil, [[%s]])
  end
end
function request()
  count = count %% 10000 + 1
  return requests[count]
end
"""


def document(size_bytes: int) -> str:
    """A document whose JSON has about this size."""
    lines = []
    while len(json.dumps(lines)) < size_bytes - 120:
        number = len(lines)
        lines.append({"Product": f"products/{number}", "Quantity": number, "Price": number * 1.25})
    return json.dumps({"Company": "companies/1", "Lines": lines, "@metadata": {"@collection": "Orders"}})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], url: str) -> Iterator[None]:
    """A server process, from its first answer to its end."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(url + "/build/version", timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise SystemExit(f"no answer from: {' '.join(command)}") from None
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(20)


def send(method: str, url: str, body: str) -> bytes:
    request = urllib.request.Request(url, data=body.encode(), method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return bytes(answer.read())


def load(url: str, options: argparse.Namespace, script: Path | None = None) -> float:
    """Requests per second that wrk counts; ends the run when an answer was not 2xx."""
    command = ["wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s"]
    if options.fields == "client":
        command += [word for name, value in CLIENT_FIELDS.items() for word in ("-H", f"{name}: {value}")]
    if script is not None:
        command += ["-s", str(script)]
    text = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(text)
    found = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert found is not None, text
    return float(found.group(1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=1024, help="bytes of the document's JSON")
    parser.add_argument("--fields", choices=("few", "client"), default="few")
    parser.add_argument("--server", default=f"{sys.executable} -m pynori serve --url {{url}} --data-dir {{data_dir}}")
    options = parser.parse_args()
    body = document(options.size)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        url = f"http://127.0.0.1:{free_port()}"
        names = {"url": url, "port": url.rpartition(":")[2], "data_dir": folder + "/data"}
        command = [part.format(**names) for part in shlex.split(options.server)]
        stack.enter_context(running(command, url))
        send("PUT", url + "/admin/databases?name=bench&replicationFactor=1", '{"DatabaseName":"bench"}')
        send("PUT", url + "/databases/bench/docs?id=orders/1", body)
        size = len(urllib.request.urlopen(url + "/databases/bench/docs?id=orders/1").read())
        hello_port = free_port()
        hello = f"http://127.0.0.1:{hello_port}"
        stack.enter_context(running([sys.executable, str(HERE / "http_hello.py"), str(hello_port), str(size)], hello))
        script = Path(folder) / "put.lua"
        script.write_text(PUT_SCRIPT % body)
        get_url = url + "/databases/bench/docs?id=orders/1"
        rounds: dict[str, list[tuple[float, float]]] = {"GET": [], "PUT": []}
        for _ in range(options.rounds):
            rounds["GET"].append((load(get_url, options), load(hello + "/databases/bench/docs?id=orders/1", options)))
            rounds["PUT"].append((load(url, options, script), load(hello, options, script)))
    print(f"{options.connections} connections, answers of {size} bytes, fields: {options.fields}")
    for method, pairs in rounds.items():
        ours, peer = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(one / other for one, other in pairs)
        print(f"{method}: {ours:,.0f}/s, hello world {peer:,.0f}/s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()

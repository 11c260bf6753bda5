"""Many games of the oracle, with restarts, kills and a busy machine.

    python -m tests.queries.oracle [--seed 1000] [--games 20] [--rounds 10] [--busy 2] [--keep FOLDER]
    python -m tests.queries.oracle --history FILE

Each round of a game is a server process of its own over the same files; it ends by a kill or in order, as chance has
it. `--busy` processes do nothing but take the processor meanwhile. The first wrong answer ends it, with the seed and
the place of the history, which `--history` plays again.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvloop

from tests.faults.tools import ServerProcess
from tests.http.conftest import Api
from tests.queries.conftest import Desk
from tests.queries.oracle.play import Game, rounds_of

ROUND_TIMEOUT_S = 120


def desk_of(server: ServerProcess) -> Desk:
    listener: Any = SimpleNamespace(port=int(server.url.strip("/").rpartition(":")[2]))
    return Desk(Api(None, listener))  # type: ignore[arg-type]


def play(game: Game, data: Path, rounds: int, history: Path | None) -> int:
    """All rounds of one game; how many there were."""
    steps = None if history is None else rounds_of(history)
    for number in range(rounds if steps is None else len(steps)):
        server = ServerProcess(data)
        try:
            if number == 0:
                server.call("PUT", "/admin/databases?name=db", {"DatabaseName": "db"})
            work = game.round(desk_of(server)) if steps is None else game.again(desk_of(server), steps[number])

            async def limited(work: Any = work) -> None:
                await asyncio.wait_for(work, ROUND_TIMEOUT_S)

            uvloop.run(limited())
            if game.chance.random.random() < 0.5:
                server.process.terminate()
                server.process.wait(60)
        finally:
            server.kill()
    return number + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1_000)
    parser.add_argument("--games", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--history", type=Path)
    options = parser.parse_args()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.busy)]
    keep = options.keep or Path(tempfile.mkdtemp(prefix="oracle-"))
    keep.mkdir(exist_ok=True)
    began, rounds = time.monotonic(), 0
    try:
        for seed in range(options.seed, options.seed + (1 if options.history else options.games)):
            with tempfile.TemporaryDirectory() as folder:
                game = Game(seed, keep / f"history-{seed}")
                rounds += play(game, Path(folder), options.rounds, options.history)
                game.history.unlink()
            print(f"seed {seed}: good; {rounds} rounds in {time.monotonic() - began:.0f} s", flush=True)
    finally:
        for each in busy:
            each.kill()
            each.wait()


if __name__ == "__main__":
    main()

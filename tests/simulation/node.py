"""One node: a real Server behind a real listener, on simulated time, disks and network; started, crashed, paused."""

from __future__ import annotations

import asyncio
import functools
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pynori_core.errors import EngineError

from pynori.config import Settings
from pynori.errors import PynoriError
from pynori.http.listener import Listener, listen
from pynori.runtime.rand import SeededRand
from pynori.server.open_database import OpenDatabase
from pynori.server.server import Server
from tests.simulation.loop import NodeLoop, Time
from tests.simulation.network import Network
from tests.simulation.storage import Storage, Threads

BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
TICKS_OF_BEGIN = (BEGIN - datetime(1, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10
SETTINGS: dict[str, Any] = {
    "rotate_after_seconds": 2, "rehab_after_seconds": 3, "replace_after_seconds": 8,
    "disk_free_refuse_percent": 0, "disk_free_refuse_megabytes": 0, "scrub_megabytes_per_second": 0,
}  # fmt: skip


class NodeClock:
    """The clocks of a node's process: one that never goes back, and the time of day, which may jump."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def monotonic_ms(self) -> float:
        return self._node.loop.time() * 1_000

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self._node.day_s)


class Node:
    """A machine and the process on it, if there is one."""

    loop: NodeLoop

    def __init__(
        self, name: str, directory: Path, time: Time, network: Network, chance: random.Random,
        note: Callable[[str, str], None], observe: Callable[[Node], None],
    ) -> None:  # fmt: skip
        self.name = name
        self.server: Server | None = None  # while one runs
        self.jump_s = 0.0  # by which its time of day is off
        self.rate = 1.0  # of its clocks
        self.starts = 0
        self.failures: list[str] = []  # of its processes so far
        self.is_paused = False
        self._is_wanted = False  # by somebody who waits for its stop
        self._time = time
        self._network = network
        self._chance = chance
        self._note = lambda text: note(name, text)
        self._observe = observe
        self._settings = Settings(data_dir=directory / name / "data", server_url=f"http://{name}:8080", **SETTINGS)
        self._listener: Listener | None = None
        self._starting: asyncio.Task[None] | None = None
        self.storage = Storage(directory / name, chance, self._note)
        self.storage.ticks = lambda: TICKS_OF_BEGIN + int(self.day_s * 10_000_000)

    @property
    def day_s(self) -> float:
        """Its time of day, since the world's beginning."""
        return self.jump_s + self._time.now

    @property
    def url(self) -> str:
        return f"http://{self.name}:8080"

    @property
    def is_up(self) -> bool:
        return self.server is not None

    @property
    def is_started(self) -> bool:
        """Whether there is a process, which may still be starting."""
        return self._starting is not None

    @property
    def is_member(self) -> bool:
        """Whether it runs and is one of a cluster."""
        return self.server is not None and bool(self.server.state.topology_id)

    @property
    def waits(self) -> bool:
        """Whether it was invited to a cluster of which it has heard nothing."""
        return self.server is not None and not self.is_member and not self.server.state.is_passive

    @property
    def is_writing(self) -> bool:
        """Whether something is under way to its disks."""
        return self.is_started and self.loop.threads.is_busy

    @property
    def tag(self) -> str:
        return "" if self.server is None else self.server.node_tag

    def find(self, name: str) -> OpenDatabase | None:
        """The open database of this name here, or None."""
        if self.server is None:
            return None
        try:
            return self.server.databases.find(name)
        except PynoriError:
            return None

    # ---- life

    def start(self) -> None:
        self.starts += 1
        self.loop = NodeLoop(self._time, self.name, self.rate, lambda loop: self._observe(self))
        self.loop.network = self._network
        Threads(self.loop, self.storage)
        rand = SeededRand(self._chance.randrange(2**60))
        self._note(f"starts, number {self.starts}")
        with self.loop.running():
            self._starting = self.loop.create_task(self._start(rand), name="start")

    async def _start(self, rand: SeededRand) -> None:
        server = await Server.start(self._settings, NodeClock(self), rand)
        self._listener = await listen(server, self.name, 8080)
        server.announce(self.url, "")
        self.server = server
        self._note(f"is up as {server.node_tag}")

    def crash(self, lost_power: bool) -> None:
        """The process ends at once. lost_power: so does the machine, and what was not synced is gone."""
        self._note("crashes without power" if lost_power else "is killed")
        loop, storage = self.loop, self.storage
        threads: Threads = loop.threads
        self._end_of_start()
        self.server = self._starting = None
        self.is_paused = False
        # A kill leaves what was written, synced or not; what is under way may be done in part in both cases.
        storage.crash(threads.under_way(), lost_power)
        self._network.lose(loop, is_told=not lost_power)
        loop.end()
        threads.close()
        self.failures += loop.failures
        if lost_power:
            self._network.dark.add(self.name)

    def stop(self) -> None:
        """The process is asked to end, and does so in order."""
        self._note("is asked to stop")
        server, self.server = self.server, None
        assert server is not None
        self.run("stop", self._stop(server))

    async def _stop(self, server: Server) -> None:
        assert self._listener is not None
        await self._listener.drain(1)
        self._listener.close()
        await server.stop()
        self._time.after(0.0, functools.partial(self._stopped, self.loop))

    def _stopped(self, loop: NodeLoop) -> None:
        if loop.is_dead:
            return  # it was killed in the last moment
        self._note("has stopped")
        self._starting = None
        self._network.lose(loop, is_told=True)
        loop.end()
        loop.threads.close()
        self.failures += loop.failures
        if self._is_wanted:
            self.restart()

    def want_up(self) -> None:
        """Have it run, if it does not; when it is about to stop, afterwards."""
        self._is_wanted = True
        if self.is_paused:
            self.resume()
        if not self.is_started:
            self.restart()

    def restart(self) -> None:
        self._is_wanted = False
        self._network.dark.discard(self.name)
        self.start()
        self._network.wake()

    def pause(self) -> None:
        self._note("stands still")
        self.is_paused = True
        self.loop.pause()

    def resume(self) -> None:
        self._note("goes on")
        self.is_paused = False
        self.loop.resume()

    def set_rate(self, rate: float) -> None:
        """Its clocks run so fast from now on."""
        self._note(f"its clock runs at {rate}")
        self.rate = rate
        if self.is_started:
            self.loop.set_rate(rate)

    def _end_of_start(self) -> None:
        task = self._starting
        if task is not None and task.done() and not task.cancelled() and task.exception() is not None:
            self.failures.append(f"the start failed: {task.exception()!r}")

    def check_start(self) -> None:
        """A start that failed is found out."""
        task = self._starting
        if task is not None and task.done():
            task.result()

    def run(self, name: str, coroutine: Any) -> asyncio.Task[Any]:
        """Have a client's coroutine run on this node."""
        with self.loop.running():
            return self.loop.create_task(coroutine, name=name)

    def close(self) -> None:
        """The end of the world: nothing of this node stays."""
        if self._starting is not None:
            threads: Threads = self.loop.threads
            self._network.lose(self.loop, is_told=False)
            self.loop.end()
            try:
                threads.close()
            except EngineError as error:
                self.failures.append(f"closing failed: {error}")
        shutil.rmtree(self.storage.directory, ignore_errors=True)

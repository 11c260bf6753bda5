"""Virtual time: one clock that jumps to whatever comes next, and an asyncio loop for each node that lives by it.

A loop's own clock may run faster or slower than the world's, and the loop may stand still for a while, as the process
of a node does that is stopped. Nothing here waits, and nothing runs in a thread: what production code hands to threads
happens at a moment that the seed chooses, and its outcome is told at a later one.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from asyncio import events
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ROUNDING_S = 1e-9  # by which a timer is late, so that it is not early for a loop whose clock drifts
TURNS_MAX = 20_000  # of all loops, within one moment: more, and time stands still for good


class Stuck(AssertionError):
    """Something runs on and on while no time passes."""


class Time:
    """The world's clock and everything that is to happen at a moment of it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now = 0.0
        self.loops: list[NodeLoop] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, delay_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay_s, next(self._order), act))

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Let the world go on to a moment, or until `done`, which is asked whenever time passes."""
        while not done():
            self._run_ready()
            at = self._next()
            if at > until:
                self.now = max(self.now, until)
                return done()
            self.now = max(self.now, at)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
        return True

    def _run_ready(self) -> None:
        turns = 0
        while ready := [loop for loop in self.loops if loop.is_ready]:
            if len(ready) > 1:
                self.chance.shuffle(ready)
            for loop in ready:
                if loop.is_ready:
                    loop.turn()
            turns += len(ready)
            if turns > TURNS_MAX:
                raise Stuck(f"{[loop.name for loop in ready]} have no end of work at {self.now:.3f}")

    def _next(self) -> float:
        at = self._events[0][0] if self._events else float("inf")
        return min([at, *(loop.next_timer() for loop in self.loops)])


class _NothingToWaitFor:
    """In place of the selector: there are no descriptors."""

    def select(self, timeout: float | None) -> list[Any]:
        return []


class NodeLoop(asyncio.BaseEventLoop):
    """The loop of one process of a node, from its start to its end."""

    is_dead = False

    def __init__(self, time: Time, name: str, rate: float, observe: Callable[[NodeLoop], None]) -> None:
        self.world = time
        self._clock_base = time.now * rate
        self._world_base = time.now
        super().__init__()
        self._selector = _NothingToWaitFor()
        self._clock_resolution = 0.0  # no timer is early
        self.name = name
        self.rate = rate  # of its clock; 1.0: as fast as the world's
        self.failures: list[str] = []  # what ended as no production code should
        self.threads: Any = None  # who carries out what is handed to threads
        self.network: Any = None
        self._paused = False
        self._held: list[Callable[[], None]] = []  # what came while it stood still
        self._observe = observe
        self.set_exception_handler(self._failed)
        time.loops.append(self)

    # ---- time

    def time(self) -> float:
        return self._clock_base + (self.world.now - self._world_base) * self.rate

    def set_rate(self, rate: float) -> None:
        self._clock_base, self._world_base, self.rate = self.time(), self.world.now, rate

    def next_timer(self) -> float:
        """The world's time of its next timer."""
        if self._paused or self.is_dead:
            return float("inf")
        timers: list[asyncio.TimerHandle] = self._scheduled
        while timers and timers[0].cancelled():
            self._timer_cancelled_count -= 1
            heapq.heappop(timers)._scheduled = False
        if not timers:
            return float("inf")
        return self._world_base + (timers[0].when() - self._clock_base) / self.rate + ROUNDING_S

    @property
    def is_ready(self) -> bool:
        if self._paused or self.is_dead:
            return False
        return bool(self._ready) or self.next_timer() <= self.world.now

    def turn(self) -> None:
        """Run what is ready, once."""
        with self.running():
            self._run_once()
        self._observe(self)

    @contextmanager
    def running(self) -> Iterator[None]:
        events._set_running_loop(self)
        try:
            yield
        finally:
            events._set_running_loop(None)

    def is_running(self) -> bool:
        return not self.is_dead

    # ---- from outside

    def arrive(self, act: Callable[[], None]) -> None:
        """Something from outside: a message, the end of a write. It waits while the loop stands still."""
        if self._paused:
            self._held.append(act)
        elif not self.is_dead:
            self.call_soon(act)

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Have something outside of the loop happen, as in a thread: not while the process stands still."""

        def happen() -> None:
            if self._paused:
                self._held.append(act)
            elif not self.is_dead:
                act()

        self.world.after(delay_s, happen)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        """What came meanwhile is there before any timer is looked at, as with a socket."""
        self._paused = False
        held, self._held = self._held, []
        for act in held:
            if not self.is_dead:
                self.call_soon(act)

    def end(self) -> None:
        """The process is gone. Its coroutines are ended, so that nothing of them is left, and nobody hears of it."""
        self.is_dead = True
        self.world.loops.remove(self)
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        with self.running():
            for task in tasks:
                task.cancel()
            for _ in range(1_000):
                if not self._ready:
                    break
                self._run_once()
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False
        self.close()

    # ---- what production code asks of a loop

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()
        if not self.is_dead:
            self.threads.hand_over(executor, lambda: func(*args), future)
            return future
        # What ends with the process may still give back what it holds.
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    async def create_connection(
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        found: tuple[asyncio.Transport, asyncio.Protocol] = await self.network.connect(self, protocol_factory, host)
        return found

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int, backlog: int = 0
    ) -> Any:
        return self.network.listen(self, protocol_factory, host, port)

    def _process_events(self, event_list: list[Any]) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self.is_dead:
            self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")

"""HiLo: ranges of numbers that are given to clients, so that they make ids like users/33-A without asking each time.

The state of a tag is the document Raven/Hilo/<tag>, {"Max": N}: numbers up to N are given away. It is an ordinary
document, which users read and write; so a range is taken by an optimistic put, repeated when somebody else was first.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from pynori import limits
from pynori.errors import ConcurrencyError, InvalidArgument
from pynori.runtime.clock import Clock, wire_time

ID_PREFIX = "Raven/Hilo/"
RANGE_SIZE_MIN = 32
RANGE_SIZE_MAX = 2**20
GROW_BELOW_S = 30.0  # a client that comes back sooner gets twice as much
SHRINK_ABOVE_S = 60.0  # one that comes back later gets half
NUMBER_MAX = 2**53  # beyond it JavaScript clients count wrong


@dataclass(frozen=True, slots=True)
class HiloRange:
    """Numbers `low` to `high`, both included, now belong to one client."""

    prefix: str
    low: int
    high: int
    last_size: int
    server_tag: str
    last_range_at: str


class HiloDatabase(Protocol):
    """What the ranges need of their database."""

    @property
    def options(self) -> Any: ...
    def get(self, id: str) -> Any: ...
    def put(self, id: str, body: bytes, expected_change_vector: str | None = None) -> asyncio.Future[Any]: ...


class HiloRanges:
    """Gives and takes back the ranges of one database."""

    __slots__ = ("_clock", "_database", "_turns")

    def __init__(self, database: HiloDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        # By lower-case tag: requests of this process take turns, so that only others' writes make a put fail.
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    async def next(
        self, tag: str, last_batch_size: int, last_range_at: str | None, separator: str, last_max: int
    ) -> HiloRange:
        """Take the next range. last_max: the client knows that numbers up to it are taken."""
        now = self._clock.now()
        size = range_size(last_batch_size, last_range_at, now)

        def advance(maximum: int) -> int:
            return max(maximum, last_max, 0) + size

        high = await self._change(tag, advance)
        return HiloRange(tag + separator, high - size + 1, high, size, self._database.options.node_tag, wire_time(now))

    async def give_back(self, tag: str, end: int, last: int) -> None:
        """Numbers from `last` + 1 to `end` were not used."""

        def retreat(maximum: int) -> int | None:
            return last if maximum == end and 0 <= last < end else None

        await self._change(tag, retreat)

    async def _change(self, tag: str, step: Any) -> int:
        if not tag:
            raise InvalidArgument("a HiLo range needs a tag")
        key = tag.lower()
        lock, users = self._turns.get(key, (asyncio.Lock(), 0))
        self._turns[key] = (lock, users + 1)
        try:
            async with lock:
                return await self._change_in_turn(ID_PREFIX + tag, step)
        finally:
            lock, users = self._turns.pop(key)
            if users > 1:
                self._turns[key] = (lock, users - 1)

    async def _change_in_turn(self, id: str, step: Any) -> int:
        """Put what `step` makes of Max; None leaves it. Returns the new Max."""
        for _ in range(limits.HILO_TRIES_MAX):
            found = self._database.get(id)
            document = msgspec.json.decode(found.json) if found else {"@metadata": {"@collection": "@hilo"}}
            maximum = document.get("Max")
            maximum = maximum if isinstance(maximum, int) and not isinstance(maximum, bool) else 0
            changed: int | None = step(maximum)
            if changed is None:
                return maximum
            if changed > NUMBER_MAX:
                raise InvalidArgument(f"the numbers of {id} are used up")
            body = msgspec.json.encode({"Max": changed} | {key: document[key] for key in document if key != "Max"})
            try:
                await self._database.put(id, body, found.change_vector if found else "")
                return changed
            except ConcurrencyError:
                continue
        raise ConcurrencyError(f"{id} is written too often by others (HILO_TRIES_MAX)")


def range_size(last_size: int, last_range_at: str | None, now: datetime) -> int:
    """How many numbers a client gets that got `last_size` at `last_range_at`."""
    size = min(max(last_size, RANGE_SIZE_MIN), RANGE_SIZE_MAX)
    passed_s = _seconds_since(last_range_at, now)
    if passed_s is None or last_size <= 0:
        return size
    if passed_s < GROW_BELOW_S:
        return min(size * 2, RANGE_SIZE_MAX)
    return max(size // 2, RANGE_SIZE_MIN) if passed_s > SHRINK_ABOVE_S else size


def _seconds_since(moment: str | None, now: datetime) -> float | None:
    """Clients write the time in several ways, and `None`; what cannot be read is no time."""
    try:
        told = datetime.fromisoformat(moment or "")
    except ValueError:
        return None
    return (now - (told if told.tzinfo else told.replace(tzinfo=UTC))).total_seconds()

"""Background tasks, the clocks, and randomness from a seed."""

import asyncio
import io
from datetime import UTC, datetime

import pytest

from pynori.runtime import log
from pynori.runtime.clock import ManualClock, wire_time
from pynori.runtime.rand import SeededRand, SystemRand, base64_id, guid
from pynori.runtime.tasks import Tasks


def test_failed_tasks_are_reported_and_the_rest_goes_on() -> None:
    """A task that fails writes a line with its name; others finish; cancel ends what would run forever."""
    stream = io.StringIO()
    log.configure("info", "text", "A", stream=stream)
    done = []

    async def main() -> None:
        tasks = Tasks()

        async def fail() -> None:
            raise ValueError("broken")

        async def work() -> None:
            await asyncio.sleep(0)
            done.append(1)

        async def forever() -> None:
            await asyncio.Event().wait()

        tasks.start("failing", fail())
        tasks.start("working", work())
        await tasks.finish()
        tasks.start("endless", forever())
        await asyncio.wait_for(tasks.cancel(), 1)

    asyncio.run(main())
    assert done == [1] and "failing failed: broken" in stream.getvalue()


def test_wire_time_and_manual_clock() -> None:
    """Times on the wire have seven fraction digits and Z; a manual clock moves only forward and only when told."""
    assert wire_time(datetime(2026, 11, 20, 21, 17, 16, 267314, UTC)) == "2026-11-20T21:17:16.2673140Z"
    clock = ManualClock()
    before = clock.now()
    clock.advance(1_500)
    assert (clock.now() - before).total_seconds() == 1.5 and clock.monotonic_ms() == 1_500
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)


def test_ids_from_randomness() -> None:
    """A seed gives the same ids again; ids have their forms; the system's differ."""
    assert guid(SeededRand(1)) == guid(SeededRand(1)) != guid(SeededRand(2))
    assert len(base64_id(SystemRand())) == 22 and base64_id(SystemRand()) != base64_id(SystemRand())
    assert guid(SystemRand())[14] == "4"

"""Reads every page of every database again, slowly: damage is to be known while there is something to repair from.

One pass over all databases begins SCRUB_START_MS after the start and then every SCRUB_PERIOD_MS, in small steps at a
bounded rate. What is found goes to the log, to metrics and to `/health`, and stays there until a later pass finds the
database sound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from pynori import limits
from pynori.errors import PynoriError
from pynori.runtime import log
from pynori.runtime.clock import Clock
from pynori.server.databases import Databases
from pynori.server.open_database import OpenDatabase

PAGE_SIZE_BYTES = 8_192


@dataclass(slots=True)
class ScrubState:
    """What is known of one database."""

    pages_read: int = 0
    passes: int = 0
    damaged: list[tuple[int, int, str]] = field(default_factory=list)  # page, pages in a row, why: of the last pass

    @property
    def damaged_pages(self) -> int:
        return sum(count for _, count, _ in self.damaged)


class Scrubber:
    """The scrubbing of one server. `run` until cancelled."""

    def __init__(self, databases: Databases, clock: Clock, rate_bytes_per_second: int) -> None:
        self._databases = databases
        self._clock = clock
        self._step_ms = limits.SCRUB_STEP_PAGES * PAGE_SIZE_BYTES * 1_000 / max(rate_bytes_per_second, 1)
        self._states: dict[str, ScrubState] = {}

    async def run(self) -> None:
        """Pass after pass, for ever."""
        await asyncio.sleep(limits.SCRUB_START_MS / 1_000)
        while True:
            start_ms = self._clock.monotonic_ms()
            for each in self._databases.open_databases():
                await self.scrub(each)
            rest_ms = limits.SCRUB_PERIOD_MS - (self._clock.monotonic_ms() - start_ms)
            await asyncio.sleep(max(rest_ms, limits.SCRUB_START_MS) / 1_000)

    async def scrub(self, opened: OpenDatabase) -> None:
        """One pass over one database. A database that is closed meanwhile ends it."""
        state = self._states.setdefault(opened.name, ScrubState())
        found: list[tuple[int, int, str]] = []
        page = 0
        while True:
            try:
                page, pages, findings = await asyncio.to_thread(opened.database.scrub, page, limits.SCRUB_STEP_PAGES)
            except PynoriError as error:
                log.warn("scrub", f"the pass over {opened.name} ended: {error}", database=opened.name)
                return
            state.pages_read += pages
            for first, count, why in findings:
                self._report(opened.name, found, first, count, why)
            if found:
                state.damaged = list(found)
            if page == 0:
                break
            await asyncio.sleep(self._step_ms / 1_000)
        state.damaged = found
        state.passes += 1

    def _report(self, name: str, found: list[tuple[int, int, str]], first: int, count: int, why: str) -> None:
        """Remember a finding, as part of the one before when it goes on there, and say it once."""
        if found and found[-1][0] + found[-1][1] == first:
            found[-1] = (found[-1][0], found[-1][1] + count, found[-1][2])
            return
        if len(found) < limits.SCRUB_FINDINGS_MAX:
            found.append((first, count, why))
            log.error("scrub", f"{name}: {why}", database=name, page=first, pages=count)

    # ------------------------------------------------------------ for health and metrics

    def problems(self) -> list[str]:
        """A line for each database that has damaged pages."""
        return [
            f"database {name}: {state.damaged_pages} damaged pages, the first: {state.damaged[0][2]}"
            for name, state in self._known()
            if state.damaged
        ]

    def families(self) -> Iterator[Metric]:
        read = CounterMetricFamily("pynori_scrubbed_pages", "Pages that the scrubber has read.", labels=["database"])
        passes = CounterMetricFamily("pynori_scrub_passes", "Whole passes of the scrubber.", labels=["database"])
        damaged = GaugeMetricFamily(
            "pynori_damaged_pages", "Damaged pages that the last pass of the scrubber found.", labels=["database"]
        )
        for name, state in self._known():
            read.add_metric([name], state.pages_read)
            passes.add_metric([name], state.passes)
            damaged.add_metric([name], state.damaged_pages)
        yield from (read, passes, damaged)

    def _known(self) -> list[tuple[str, ScrubState]]:
        """States of databases that are still there."""
        names = set(self._databases.names())
        for name in self._states.keys() - names:
            del self._states[name]
        return sorted(self._states.items())

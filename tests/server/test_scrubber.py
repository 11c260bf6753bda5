"""The scrubber of a server: damage comes to health, metrics and log, and goes when it is gone."""

import asyncio
import json
from pathlib import Path

import pytest

from pynori import limits
from pynori.config import Settings
from pynori.runtime.clock import SystemClock
from pynori.server import health
from pynori.server.scrubber import Scrubber
from pynori.server.server import Server

RATE = 1 << 40
PAGE_SIZE = 8192


async def filled(server: Server) -> None:
    """A database with enough pages for several steps."""
    await server.databases.create({"DatabaseName": "shop"}, 1)
    database = server.databases.find("shop").database
    for number in range(120):
        body = {"text": "x" * 7_000, "@metadata": {"@collection": "Things"}}
        await database.put(f"things/{number}", json.dumps(body).encode())
    await asyncio.to_thread(database._store.checkpoint)


def test_damage_is_told_and_forgotten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A page that rots in the file of an open database degrades the health until it is whole again."""

    async def main() -> None:
        server = await Server.start(Settings(data_dir=tmp_path / "data", scrub_megabytes_per_second=0))
        await filled(server)
        scrubber = server.scrubber = Scrubber(server.databases, SystemClock(), RATE)
        opened = server.databases.find("shop")
        await scrubber.scrub(opened)
        assert scrubber.problems() == [] and not health.full(server)["problems"]
        path = tmp_path / "data" / "Databases" / "shop" / "data.pynori"
        whole = path.read_bytes()
        with path.open("r+b") as file:
            file.seek(90 * PAGE_SIZE + 200)
            file.write(b"\xee\x11")
        await scrubber.scrub(opened)
        full = health.full(server)
        assert full["status"] == "degraded" and "database shop: " in full["problems"][0]
        samples = {sample.name: sample.value for family in scrubber.families() for sample in family.samples}
        assert samples["pynori_damaged_pages"] >= 1 and samples["pynori_scrub_passes_total"] == 2
        assert samples["pynori_scrubbed_pages_total"] > 2 * limits.SCRUB_STEP_PAGES
        with path.open("r+b") as file:
            file.write(whole)
        await scrubber.scrub(opened)
        assert health.full(server)["status"] == "healthy"
        await server.databases.delete(["shop"], hard=True)
        assert not any(family.samples for family in scrubber.families())
        await server.stop()

    asyncio.run(main())
    assert caplog.text.count("data.pynori page 90: ") == 1


def test_a_pass_begins_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A started server scrubs all its databases; one that is told not to does not; stopping ends a pass."""
    monkeypatch.setattr(limits, "SCRUB_START_MS", 1)

    async def main(rate: int) -> int:
        settings = Settings(data_dir=tmp_path / "data", scrub_megabytes_per_second=rate)
        server = await Server.start(settings)
        if not server.databases.names():
            await filled(server)
            await server.stop()
            server = await Server.start(settings)
        await asyncio.sleep(0.3)
        read = sum(sample.value for family in server.scrubber.families() for sample in family.samples)
        await server.stop()
        return int(read)

    assert asyncio.run(main(1)) > 0
    assert asyncio.run(main(0)) == 0

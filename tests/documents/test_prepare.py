"""Patches that wait together and groups that are prepared while others are written: as if one came after the other."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
import uvloop

from pynori.documents.database import Database, DatabaseOptions
from pynori.documents.patch import PatchCommand, PatchScript
from pynori.documents.prepare import PreparedDatabase, Preparer
from pynori.errors import JavaScriptError
from pynori.js.scripts import Scripts
from pynori.runtime.clock import SystemClock

DOCUMENTS = 40
REQUESTS = 1_500
SCRIPT = "if (args.fails) throw 'no'; this.Total = load(args.source).Total + this.Total * 2 + args.by"
MODULUS = 1_000_003


async def build(database: Database) -> None:
    for number in range(DOCUMENTS):
        await database.put(f"orders/{number}", b'{"Total":1}')


def test_patches_that_read_each_other_are_as_if_run_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random patches of a few documents, each loading another one, some failing; with groups as short as they can be
    and as long."""

    async def play(group_ms: int, seed: int) -> None:
        monkeypatch.setattr("pynori.documents.prepare.PREPARE_GROUP_MS", group_ms)
        dice = random.Random(seed)
        totals = [1] * DOCUMENTS
        database = await Database.create(None, "patches", DatabaseOptions(in_memory=True))
        await build(database)
        script = f"{SCRIPT}; this.Total = this.Total % {MODULUS}"
        waiting, fail = [], []
        for _ in range(REQUESTS):
            # Mostly far apart, so that requests beside those on their way are met as well as such that depend on them.
            target, source, by = dice.randrange(DOCUMENTS), dice.randrange(DOCUMENTS), dice.randrange(100)
            fails = dice.random() < 0.05
            arguments = json.dumps({"source": f"orders/{source}", "by": by, "fails": fails}).encode()
            waiting.append(database.prepare([PatchCommand(f"orders/{target}", PatchScript(script, arguments))]))
            fail.append(fails)
            if not fails:
                totals[target] = (totals[source] + totals[target] * 2 + by) % MODULUS
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(each, JavaScriptError) for each in answers] == fail
        found = [json.loads(database.get(f"orders/{number}").json)["Total"] for number in range(DOCUMENTS)]  # type: ignore[union-attr]
        assert found == totals
        await database.close()

    for group_ms, seed in ((0, 1), (0, 2), (10, 3), (10_000, 4)):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(play(group_ms, seed))


def test_groups_are_prepared_while_others_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that has to do with what is on its way waits for it; another one is prepared meanwhile."""
    monkeypatch.setattr("pynori.documents.prepare.PREPARE_GROUP_MS", 0)

    async def play() -> None:
        database = await Database.create(None, "patches", DatabaseOptions(in_memory=True))
        await build(database)
        seen: list[str] = []
        gate = asyncio.Event()

        class Slow:
            """The database, writing only when it is told to."""

            name = database.name
            get, head = database.get, database.head

            def submit(self, batch: object) -> asyncio.Future[object]:
                async def late() -> object:
                    seen.append("write")
                    await gate.wait()
                    return await database.submit(batch)  # type: ignore[arg-type]

                return asyncio.ensure_future(late())

        slow: PreparedDatabase = Slow()  # type: ignore[assignment]

        class Noted(Preparer):
            async def _prepare(self, request: object, view: object) -> None:
                seen.append(request.commands[0].id)  # type: ignore[attr-defined]
                await super()._prepare(request, view)  # type: ignore[arg-type]

        preparer = Noted(slow, Scripts(), SystemClock())
        plus = PatchScript("this.Total += 1", b"{}")
        waiting = [preparer.submit([PatchCommand(f"orders/{number}", plus)]) for number in (1, 2, 1)]
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert sorted(seen) == ["orders/1", "orders/2", "write"], "the second is prepared while the first is written"
        gate.set()
        await asyncio.gather(*waiting)
        await preparer.close()
        assert json.loads(database.get("orders/1").json)["Total"] == 3  # type: ignore[union-attr]
        await database.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())

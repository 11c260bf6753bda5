"""Random documents, questions, changes and restarts over a real server: answers equal those of a naive loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from pynori.config import Settings
from pynori.http.listener import listen
from pynori.server.server import Server
from tests.http.conftest import Api
from tests.queries.conftest import Desk
from tests.queries.oracle.play import Game, rounds_of

ROUNDS = 4


@asynccontextmanager
async def running(folder: Path, *, fresh: bool) -> AsyncIterator[Desk]:
    """A server over a folder, with its database."""
    server = await Server.start(Settings(data_dir=folder))
    listener = await listen(server, "127.0.0.1", 0)
    server.announce(listener.url, "tcp://127.0.0.1:4711")
    try:
        api = Api(server, listener)
        if fresh:
            await api.json("PUT", "/admin/databases?name=db&replicationFactor=1", {"DatabaseName": "db"}, 201)
        yield Desk(api)
    finally:
        listener.close()
        await server.stop()


@pytest.mark.parametrize("seed", range(4))
def test_answers_equal_those_of_looking_at_everything(seed: int, tmp_path: Path) -> None:
    """Whatever is asked after whatever changes and restarts, the answer is that of a loop over all documents."""

    async def run() -> None:
        game = Game(seed, tmp_path / "history")
        for number in range(ROUNDS):
            async with running(tmp_path / "data", fresh=number == 0) as desk:
                await game.round(desk)

    async def limited() -> None:
        await asyncio.wait_for(run(), 60)

    uvloop.run(limited())


def test_a_history_is_played_again(tmp_path: Path) -> None:
    """What a game has written down leads to the same documents, through the same questions."""

    async def run() -> None:
        first = Game(99, tmp_path / "first")
        async with running(tmp_path / "data", fresh=True) as desk:
            await first.round(desk)
        again = Game(0, tmp_path / "second")
        async with running(tmp_path / "other", fresh=True) as desk:
            for steps in rounds_of(first.history):
                again.note("open", None)
                await again.again(desk, steps)
        assert again.kept == first.kept
        assert again.history.read_text() == first.history.read_text()

    uvloop.run(run())

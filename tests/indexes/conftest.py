"""Fixtures of tests of indexes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from pynori.config import Settings
from pynori.server.server import Server
from tests.indexes.shop import NAME, Shop

Steps = Callable[[Shop], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    """run(steps, in_memory=False): a server over tmp_path, with the database, for each of the steps in turn."""

    def play(*plays: Steps, in_memory: bool = False) -> None:
        async def one(steps: Steps) -> None:
            server = await Server.start(Settings(data_dir=tmp_path / "data", run_in_memory=in_memory))
            try:
                if NAME not in server.databases.names():
                    await server.databases.create({"DatabaseName": NAME}, 1)
                await steps(Shop(server))
            finally:
                await server.stop()

        for steps in plays:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(one(steps))

    return play

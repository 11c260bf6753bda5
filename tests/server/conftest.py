"""A server in process, started and stopped around a coroutine."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pynori.config import Settings
from pynori.server.server import Server

WithServer = Callable[..., None]


@pytest.fixture
def with_server(tmp_path: Path) -> WithServer:
    """run(steps, in_memory=False, **settings): the same data directory each time within one test."""

    def run(steps: Callable[[Server], Awaitable[None]], in_memory: bool = False, **settings: Any) -> None:
        async def main() -> None:
            server = await Server.start(Settings(data_dir=tmp_path / "data", run_in_memory=in_memory, **settings))
            try:
                await steps(server)
            finally:
                await server.stop()

        asyncio.run(main())

    return run

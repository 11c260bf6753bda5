"""Background tasks that nobody awaits: kept alive, named, reported when they fail, ended together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from pynori.runtime import log


class Tasks:
    """A set of running tasks of one owner. A task that fails writes one log line; nothing else notices."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        # asyncio holds tasks weakly: without this set a task can vanish in the middle of its work.
        self._running: set[asyncio.Task[None]] = set()

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run `coroutine` on the running loop; `name` is what log lines call it."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("tasks", f"{task.get_name()} failed: {error}", error=error)

    async def finish(self) -> None:
        """Wait until all tasks are done by themselves."""
        while self._running:
            await asyncio.wait(set(self._running))

    async def cancel(self) -> None:
        """Ask all tasks to end and wait until they have."""
        for task in self._running:
            task.cancel()
        await self.finish()

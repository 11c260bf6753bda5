"""Types of writing."""

import asyncio
from collections.abc import Callable
from typing import Any, final

from pynori_core.command import Batch, CommandResult
from pynori_core.completion import WriteStart
from pynori_core.errors import EngineError
from pynori_core.items import DocumentStore

@final
class Dispatcher:
    @staticmethod
    def acquire(
        loop: asyncio.AbstractEventLoop, make_exception: Callable[[EngineError], BaseException]
    ) -> Dispatcher: ...
    def release(self) -> None: ...
    def drain(self) -> None: ...

@final
class DocumentWriter:
    growth_refused: str | None
    def __init__(self, store: DocumentStore) -> None: ...
    def close(self) -> None: ...
    def submit(
        self, batch: Batch, future: asyncio.Future[Any], dispatcher: Dispatcher, single: bool = False
    ) -> None: ...
    def execute(self, batch: Batch) -> list[CommandResult]: ...
    def execute_all(self, batches: list[Batch], waiting_max: int = 64) -> int: ...
    def counters(self) -> dict[str, int]: ...

@final
class PutStart(WriteStart):
    def __init__(self, writer: DocumentWriter, dispatcher: Dispatcher) -> None: ...

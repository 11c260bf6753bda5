"""Compaction of an open database: new files beside the old ones, one exchange of names, the old files removed.

The new files grow in a folder that begins with a dot, which the start of the server removes. So does the exchange
leave the old ones there: whenever the server ends, one complete folder has the database's name.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pynori_core.compact import Compaction, exchange

from pynori.errors import OperationFailed
from pynori.server.open_database import OpenDatabase
from pynori.server.operations import Operation

if TYPE_CHECKING:
    from pynori.server.databases import Databases

IN_MEMORY = (
    "Unable to cast object of type 'PureMemoryStorageEnvironmentOptions' "
    "to type 'DirectoryStorageEnvironmentOptions'"
)


def check_compactable(found: OpenDatabase) -> Path:
    """The folder of the database. Raises: OperationFailed when it is in memory."""
    if found.database.directory is None:
        raise OperationFailed(IN_MEMORY)
    return found.database.directory


async def compact_open(databases: Databases, found: OpenDatabase, operation: Operation) -> dict[str, Any]:
    """Compact; returns what the client of the operation reads. The caller has the name's turn."""
    loop = asyncio.get_running_loop()
    directory = check_compactable(found)
    target = directory.with_name(f".compacting-{directory.name}")
    before_bytes = size_bytes(directory)
    await loop.run_in_executor(None, shutil.rmtree, target, True)
    switched = False

    def before_switch() -> None:
        nonlocal switched
        operation.check_killed()
        switched = True
        databases.withdraw(found.name)

    watch: list[asyncio.Task[None]] = []

    def compacting(compaction: Compaction) -> None:
        watch.append(loop.create_task(_cancel_when_killed(operation, compaction)))

    try:
        rows = await found.database.close_compacted(target, before_switch, compacting)
        await loop.run_in_executor(None, exchange, str(directory), str(target))
    finally:
        for task in watch:
            task.cancel()
        if switched:
            found.operations.kill_all()
            await found.replication.close()
            await found.indexes.close()
            await databases.reopen(found.name)
        await loop.run_in_executor(None, shutil.rmtree, target, True)
    after_bytes = size_bytes(directory)
    return {
        "Message": f"Compacted {rows} rows", "Processed": True,
        "SizeBeforeCompactionInMb": before_bytes >> 20, "SizeAfterCompactionInMb": after_bytes >> 20,
    }  # fmt: skip


async def _cancel_when_killed(operation: Operation, compaction: Compaction) -> None:
    await operation.killed.wait()
    compaction.cancel()


def size_bytes(directory: Path) -> int:
    """Bytes that the files of a folder take on disk."""
    return sum(entry.stat().st_blocks * 512 for entry in directory.iterdir())

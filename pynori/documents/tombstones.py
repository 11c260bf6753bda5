"""The end of tombstones: dropped in small steps in the background, as far as nobody needs to hear of the deletions.

Whoever reads the item stream and must see every deletion (replication, ETL, an index, a compaction) holds the etag up
to which it has read. Tombstones go up to the lowest one held, and never the one with the newest etag; with them go the
departures of ids that were deleted from one collection and made again in another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from pynori import limits
from pynori.runtime import log

if TYPE_CHECKING:
    from pynori.documents.database import Batch, CommandResult

ETAG_MAX = 2**63 - 1


class TombstoneCleaner:
    """Of one database; belongs to its event loop."""

    __slots__ = ("_held", "_name", "_submit", "_task")

    def __init__(self, name: str, submit: Callable[[Batch], asyncio.Future[list[CommandResult]]]) -> None:
        self._name = name
        self._submit = submit
        self._held: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def hold(self, owner: str, etag: int) -> None:
        """Tombstones with a higher etag stay from now on, on behalf of `owner`, until it holds another one."""
        self._held[owner] = etag

    def release(self, owner: str) -> None:
        """`owner` needs no tombstones any more."""
        self._held.pop(owner, None)

    @property
    def etag_max(self) -> int:
        """Tombstones up to this etag may go."""
        return min(self._held.values(), default=ETAG_MAX)

    async def purge(self) -> int:
        """Drop all that may go, in batches that let other writes pass; returns how many went."""
        from pynori_core.command import Batch

        total = 0
        while True:
            batch = Batch()
            batch.purge_tombstones(self.etag_max, limits.TOMBSTONES_PER_PURGE)
            purged = (await self._submit(batch))[0].purged
            total += purged
            if purged < limits.TOMBSTONES_PER_PURGE:
                return total

    def start(self) -> None:
        """Purge every TOMBSTONE_PURGE_INTERVAL_MS from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"tombstones of {self._name}")

    async def stop(self) -> None:
        """Returns when nothing is submitted any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(limits.TOMBSTONE_PURGE_INTERVAL_MS / 1_000)
            try:
                purged = await self.purge()
            except Exception as error:  # a busy queue or a full disk; the next round tries again
                log.error("tombstones", f"purging tombstones failed: {error}", db=self._name)
                continue
            if purged:
                log.info("tombstones", f"purged {purged} tombstones", db=self._name)

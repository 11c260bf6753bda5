"""Room on the disk: warn early, refuse documents before the disk is full, keep blocks in reserve for the way back.

Below the watermark documents are refused with the reason, while reads, deletes and checkpoints go on; above it they are
taken again, without a restart. Free space is looked at every DISK_WATCH_MS, so a fast writer may get past the watermark
and fill the disk; then a file of DISK_RESERVE_BYTES, whose blocks were taken at the start, is given up, and what it
held is there for deletes and for the checkpoint that makes journals free. It is made again once there is room.

A database whose folder is another file system is looked at by itself: its being full is nothing to the others.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from pynori import limits
from pynori.config import Settings
from pynori.errors import PynoriError
from pynori.runtime import log
from pynori.server.databases import Databases

RESERVE_NAME = "reserve"


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Free space of the data directory's disk, and what follows from it."""

    free_bytes: int
    total_bytes: int
    warn_bytes: int  # less than that: health is degraded
    refuse_bytes: int  # less than that: documents are refused

    @property
    def free_percent(self) -> float:
        return 100.0 * self.free_bytes / max(self.total_bytes, 1)

    @property
    def warns(self) -> bool:
        return self.free_bytes < max(self.warn_bytes, self.refuse_bytes)

    @property
    def refuses(self) -> bool:
        return self.free_bytes < self.refuse_bytes


class DiskWatch:
    """Looks at the disk of a data directory and tells the databases. Belongs to one event loop."""

    def __init__(self, directory: Path, settings: Settings, databases: Databases) -> None:
        self._directory = directory
        self._settings = settings
        self._databases = databases
        self._reserve = directory / RESERVE_NAME
        self._refusing = False
        self.last: DiskSpace | None = None  # of the last look
        self._device = directory.stat().st_dev
        self._devices: dict[Path, int] = {}  # of the databases' folders

    def measure(self) -> DiskSpace:
        """Free space now."""
        space = self._measure_at(self._directory)
        if space.refuse_bytes and not self._reserve.exists():
            # What the reserve gave is not for documents: it comes back first.
            return replace(space, refuse_bytes=space.refuse_bytes + limits.DISK_RESERVE_BYTES)
        return space

    def _measure_at(self, directory: Path) -> DiskSpace:
        usage = shutil.disk_usage(directory)
        settings = self._settings
        refuse = max(
            usage.total * settings.disk_free_refuse_percent // 100, settings.disk_free_refuse_megabytes * limits.MIB
        )
        return DiskSpace(usage.free, usage.total, usage.total * settings.disk_free_warn_percent // 100, refuse)

    def _measure_apart(self, directories: list[Path]) -> dict[Path, DiskSpace]:
        """Free space of those of the databases' folders that are file systems of their own. Blocks."""
        found = {}
        for directory in directories:
            try:
                if directory not in self._devices:
                    self._devices[directory] = directory.stat().st_dev
                if self._devices[directory] != self._device:
                    found[directory] = self._measure_at(directory)
            except OSError as error:
                log.warn("disk", f"the free space of {directory} cannot be read: {error}")
        self._devices = {directory: self._devices[directory] for directory in directories if directory in self._devices}
        return found

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(limits.DISK_WATCH_MS / 1_000)

    async def look(self) -> None:
        """One look at the disk, and what follows from it."""
        opened = [each.database for each in self._databases.open_databases()]
        directories = [each.directory for each in opened if each.directory is not None]
        look = functools.partial(self._measure_and_reserve, directories)
        space, apart = await asyncio.get_running_loop().run_in_executor(None, look)
        self.last = space
        reason = _refusal(self._directory, space)
        for database in opened:
            own = None if database.directory is None else apart.get(database.directory)
            database.growth_refused = reason if own is None else _refusal(str(database.directory), own)
        if space.refuses == self._refusing:
            return
        self._refusing = space.refuses
        if reason is None:
            log.info("disk", f"documents are taken again: {space.free_bytes:,} bytes are free")
            return
        log.error("disk", f"documents are refused: {reason}")
        await self._checkpoint_all()

    async def _checkpoint_all(self) -> None:
        """Journals that a checkpoint frees are used for the next commits, which then need no new blocks."""
        loop = asyncio.get_running_loop()
        for each in self._databases.open_databases():
            try:
                await loop.run_in_executor(None, each.database.checkpoint)
            except PynoriError as error:
                log.warn("disk", f"the checkpoint of database {each.name} failed: {error}", db=each.name)

    def _measure_and_reserve(self, directories: list[Path]) -> tuple[DiskSpace, dict[Path, DiskSpace]]:
        space = self.measure()
        if space.refuses and space.free_bytes < limits.DISK_RESERVE_BYTES:
            self._give_reserve()
        elif space.refuse_bytes and not space.refuses:
            self._take_reserve()
        return space, self._measure_apart(directories)

    def _give_reserve(self) -> None:
        if self._reserve.exists():
            self._reserve.unlink()
            log.warn("disk", f"the disk is full: the reserve of {limits.DISK_RESERVE_BYTES:,} bytes is given up")

    def _take_reserve(self) -> None:
        if self._reserve.exists():
            return
        temporary = self._reserve.with_suffix(".new")
        try:
            with temporary.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, limits.DISK_RESERVE_BYTES)
            temporary.rename(self._reserve)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                log.warn("disk", f"the reserve cannot be made: {error}")


def _refusal(directory: object, space: DiskSpace) -> str | None:
    """Why documents are refused; None: they are taken."""
    if not space.refuses:
        return None
    return (
        f"the disk of {directory} has {space.free_bytes:,} bytes free, and documents are taken from "
        f"{space.refuse_bytes:,} on (Storage.FreeSpaceRefusePercent, Storage.FreeSpaceRefuseInMb); "
        "reading and deleting go on"
    )

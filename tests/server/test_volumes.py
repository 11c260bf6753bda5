"""A database on a file system of its own: its being full is nothing to the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pynori.errors import PynoriError
from pynori.server.disk_watch import DiskSpace, DiskWatch
from pynori.server.server import Server

WithServer = Callable[..., None]


def test_one_full_volume(with_server: WithServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents are refused where there is no room, with the folder, and taken elsewhere; with room again too."""
    measured = DiskWatch._measure_at
    full: set[str] = {"small"}

    def measure(self: DiskWatch, directory: Path) -> DiskSpace:
        return DiskSpace(1, 100, 50, 50) if directory.name in full else measured(self, directory)

    monkeypatch.setattr(DiskWatch, "_measure_at", measure)

    async def steps(server: Server) -> None:
        watch = server.disk_watch
        assert watch is not None
        for name in ("small", "large"):
            await server.databases.create({"DatabaseName": name}, 1)
        small, large = (server.databases.find(name).database for name in ("small", "large"))
        assert small.directory is not None
        await watch.look()
        assert small.growth_refused is None, "it lies on the same disk as the others"
        watch._devices[small.directory] = -1
        await watch.look()
        assert "small has 1 bytes free" in str(small.growth_refused) and large.growth_refused is None
        with pytest.raises(PynoriError, match="small has 1 bytes free"):
            await small.put("users/1", b"{}")
        await large.put("users/1", b"{}")
        full.clear()
        await watch.look()
        await small.put("users/1", b"{}")

    with_server(steps)

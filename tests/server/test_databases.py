"""Databases of a node: made, found, disabled, deleted, and finished at the next start when a crash came between."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from pynori.documents.database import Database
from pynori.errors import (
    AlreadyExists,
    DatabaseDisabled,
    DatabaseDoesNotExist,
    DatabaseLoadFailure,
    InvalidName,
    OperationFailed,
)
from pynori.server.server import Server

WithServer = Callable[..., None]
DOCUMENT = b'{"Name":"Ada","@metadata":{"@collection":"Users"}}'


async def create(server: Server, name: str, **fields: object) -> None:
    await server.databases.create({"DatabaseName": name, **fields}, 1)


async def put(server: Server, name: str, id: str) -> None:
    database = server.databases.find(name).database
    batch = database.batch()
    batch.put(id, DOCUMENT)
    await database.submit(batch)


def documents(server: Server, name: str) -> int:
    return int(server.databases.find(name).database.statistics().documents)


def folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in (path / "data" / "Databases").iterdir())


@pytest.mark.parametrize("in_memory", [False, True])
def test_created_database_is_found_in_any_case(with_server: WithServer, in_memory: bool) -> None:
    """A new database answers under its name in any case, has a record, and is told by its first spelling."""

    async def steps(server: Server) -> None:
        created = await server.databases.create({"DatabaseName": "Shop"}, 1)
        assert created.name == "Shop" and created.topology["Members"] == ["A"]
        assert created.raft_index == created.topology["Stamp"]["Index"]
        assert server.databases.find("shop") is server.databases.find("SHOP")
        assert server.databases.find("shop").record["DatabaseName"] == "Shop"
        assert server.databases.names() == ["Shop"]
        await put(server, "shop", "users/1")
        assert documents(server, "shop") == 1

    with_server(steps, in_memory)


def test_what_cannot_be_found_or_made(with_server: WithServer, tmp_path: Path) -> None:
    """Unknown names answer with Database-Missing; a second database and a bad name are refused and leave nothing."""

    async def steps(server: Server) -> None:
        with pytest.raises(DatabaseDoesNotExist) as missing:
            server.databases.find("none\r\nX: y")
        assert missing.value.status == 503 and missing.value.headers() == {"Database-Missing": "none??X: y"}
        await create(server, "shop")
        with pytest.raises(AlreadyExists) as exists:
            await create(server, "SHOP")
        assert exists.value.status == 409 and "already exists" in str(exists.value)
        with pytest.raises(InvalidName):
            await create(server, "../shop")
        assert folders(tmp_path) == ["shop"]

    with_server(steps)


def test_names_created_at_once_do_not_meet(with_server: WithServer) -> None:
    """Of ten creations of one name at once one succeeds; ten different names all do."""

    async def steps(server: Server) -> None:
        same = await asyncio.gather(*(create(server, "one") for _ in range(10)), return_exceptions=True)
        assert sum(outcome is None for outcome in same) == 1
        await asyncio.gather(*(create(server, f"many{number}") for number in range(10)))
        assert len(server.databases.open_databases()) == 11

    with_server(steps)


def test_hard_deletion_removes_the_files(with_server: WithServer, tmp_path: Path) -> None:
    """A deleted database is gone with its folder; a new one of the same name is empty; unknown names pass."""

    async def steps(server: Server) -> None:
        await create(server, "shop")
        await put(server, "shop", "users/1")
        index = await server.databases.delete(["SHOP", "unknown"], hard=True)
        assert index > 0 and folders(tmp_path) == []
        with pytest.raises(DatabaseDoesNotExist):
            server.databases.find("shop")
        await create(server, "shop")
        assert documents(server, "shop") == 0

    with_server(steps)
    with_server(lambda server: asyncio.sleep(0, server.databases.find("shop")))


def test_soft_deletion_keeps_the_files(with_server: WithServer, tmp_path: Path) -> None:
    """A softly deleted database leaves its folder, over a restart too, and a new one of the name takes it over."""

    async def remove(server: Server) -> None:
        await create(server, "shop")
        await put(server, "shop", "users/1")
        await server.databases.delete(["shop"], hard=False)
        assert folders(tmp_path) == ["shop"] and server.databases.names() == []

    async def again(server: Server) -> None:
        assert folders(tmp_path) == ["shop"]
        await create(server, "shop")
        assert documents(server, "shop") == 1

    with_server(remove)
    with_server(again)


def test_lock_modes(with_server: WithServer) -> None:
    """PreventDeletesError refuses all of a deletion, PreventDeletesIgnore passes over."""

    async def steps(server: Server) -> None:
        for name, mode in (("a", "Unlock"), ("b", "PreventDeletesError"), ("c", "PreventDeletesIgnore")):
            await create(server, name, LockMode=mode)
        with pytest.raises(OperationFailed, match=r"cannot be deleted because of the set lock mode \('PreventDeletes"):
            await server.databases.delete(["a", "b"], hard=True)
        await server.databases.delete(["a", "c"], hard=True)
        assert server.databases.names() == ["b", "c"]

    with_server(steps)


def test_disabled_databases_answer_so_and_come_back(with_server: WithServer) -> None:
    """A disabled database answers 503 by its own name, over a restart too, and has its documents when enabled."""

    async def disable(server: Server) -> None:
        await create(server, "shop")
        await put(server, "shop", "users/1")
        await server.databases.set_disabled("Shop", True)
        with pytest.raises(DatabaseDisabled):
            server.databases.find("shop")

    async def enable(server: Server) -> None:
        with pytest.raises(DatabaseDisabled):
            server.databases.find("shop")
        await server.databases.set_disabled("shop", False)
        assert documents(server, "shop") == 1

    with_server(disable)
    with_server(enable)


def test_disabled_from_the_start(with_server: WithServer) -> None:
    """A database that is created disabled has no files until it is enabled, also after a restart."""

    async def make(server: Server) -> None:
        await create(server, "shop", Disabled=True)

    async def enable(server: Server) -> None:
        await server.databases.set_disabled("shop", False)
        assert documents(server, "shop") == 0

    with_server(make)
    with_server(enable)


def test_start_finishes_a_creation(with_server: WithServer, tmp_path: Path) -> None:
    """The server ends between the record and the files: the next start makes them, and the note goes."""

    async def half(server: Server) -> None:
        await server.state.create_database({"DatabaseName": "shop"}, 1)
        (tmp_path / "data" / "Databases" / ".creating-shop").mkdir()

    async def whole(server: Server) -> None:
        assert documents(server, "shop") == 0
        assert server.state.unfinished() == ([], []) and folders(tmp_path) == ["shop"]

    with_server(half)
    with_server(whole)


def test_start_finishes_a_deletion(with_server: WithServer, tmp_path: Path) -> None:
    """The server ends between the note and the removal of the files: the next start removes them."""

    async def half(server: Server) -> None:
        await create(server, "shop")
        await put(server, "shop", "users/1")
        await server.state.delete_database("shop", hard=True)

    async def whole(server: Server) -> None:
        assert folders(tmp_path) == [] and server.state.unfinished() == ([], []) and server.databases.names() == []

    with_server(half)
    with_server(whole)


def test_missing_files_are_reported_not_replaced(with_server: WithServer, tmp_path: Path) -> None:
    """A database whose folder has gone answers 503 with the reason; the others open; no empty one takes its place."""

    async def make(server: Server) -> None:
        await create(server, "lost")
        await create(server, "kept")

    async def look(server: Server) -> None:
        with pytest.raises(DatabaseLoadFailure, match="missing"):
            server.databases.find("Lost")
        assert list(server.databases.failures()) == ["lost"]
        assert documents(server, "kept") == 0 and folders(tmp_path) == ["kept"]

    with_server(make)
    (tmp_path / "data" / "Databases" / "lost").rename(tmp_path / "elsewhere")
    with_server(look)


def test_failed_creation_leaves_nothing(
    with_server: WithServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the files cannot be made, the error is told, no record stays, and the name is free."""

    async def refuse(*arguments: object, **options: object) -> Database:
        raise OSError(28, "No space left on device")

    async def steps(server: Server) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Database, "create", refuse)
            with pytest.raises(OSError, match="No space"):
                await create(server, "shop")
        assert server.databases.names() == []
        await create(server, "shop")

    with_server(steps)


def test_failed_take_over_keeps_the_kept_files(
    with_server: WithServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files kept by a soft deletion that cannot be opened stay where they are, over the next start too."""

    async def refuse(*arguments: object, **options: object) -> Database:
        raise OSError(5, "Input/output error")

    async def steps(server: Server) -> None:
        await create(server, "shop")
        await server.databases.delete(["shop"], hard=False)
        with monkeypatch.context() as patch:
            patch.setattr(Database, "open", refuse)
            with pytest.raises(OSError, match="Input/output"):
                await create(server, "shop")

    async def look(server: Server) -> None:
        assert folders(tmp_path) == ["shop"]

    with_server(steps)
    with_server(look)

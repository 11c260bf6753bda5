"""The environments of a database's indexes on disk: one folder each, told apart by name and content of the definition.

A folder's name is made of the index's name, a hash of what it holds and a number, so that a changed definition, or an
index that is built anew, gets a folder of its own beside the old one. What an environment belongs to stands in its
meta: the database's id, name and definition. A folder that is half made or half gone begins with a dot; a damaged one
is renamed aside, for people to look at.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from pynori_core.errors import CorruptError
from pynori_core.index_store import IndexStore

from pynori.runtime import log

FORMAT = 1
OWNER_KEY = "owner"
HIDDEN = "."
DAMAGED = ".damaged-"
NAME_SHOWN_MAX = 60
PROBE = ".probe"
PROBE_BYTES = 1_048_576
REFERENCES = ".references"
BESIDE = (REFERENCES,)  # ends of the names of environments that go with another one


class Owner(msgspec.Struct):
    """What an environment belongs to."""

    database_id: str
    name: str
    definition: dict[str, Any]
    created: str
    format: int = FORMAT


class IndexFolders:
    """The folder of all indexes of one database; None: everything in memory. Its methods block."""

    def __init__(self, directory: Path | None, database_id: str) -> None:
        self._directory = directory
        self._database_id = database_id

    def make(self, name: str, content: dict[str, Any], created: str) -> tuple[IndexStore, Path | None]:
        """A new, empty environment for an index, and where it is."""
        owner = Owner(self._database_id, name, content, created)
        if self._directory is None:
            store = IndexStore.create(None)
            _write_owner(store, owner)
            return store, None
        self._directory.mkdir(parents=True, exist_ok=True)
        final = self._unused(folder_name(name, content))
        making = final.with_name(f"{HIDDEN}making-{final.name}")
        shutil.rmtree(making, ignore_errors=True)
        # Under another name until it says whom it belongs to.
        made = IndexStore.create(str(making))
        try:
            _write_owner(made, owner)
        finally:
            made.close()
        making.rename(final)
        return IndexStore.open(str(final)), final

    def make_beside(self, path: Path | None, suffix: str) -> IndexStore:
        """An environment that goes with the one at `path`: opened, or made when it is not there."""
        if path is None:
            return IndexStore.create(None)
        beside = path.with_name(path.name + suffix)
        return IndexStore.open(str(beside)) if beside.exists() else IndexStore.create(str(beside))

    def _unused(self, name: str) -> Path:
        """A path that nothing has: an environment that is on its way out may still be there."""
        assert self._directory is not None
        number = 0
        while (path := self._directory / f"{name}.{number}").exists():
            number += 1
        return path

    def open(self, path: Path) -> tuple[IndexStore, Owner]:
        """Raises: CorruptError, and other errors of the engine for what else keeps it from being opened."""
        store = IndexStore.open(str(path))
        try:
            with store.read() as snapshot:
                stored = snapshot.meta(OWNER_KEY)
            if stored is None:
                raise CorruptError(f"the index in {path} does not say what it belongs to")
            try:
                return store, msgspec.json.decode(stored, type=Owner)
            except msgspec.DecodeError as error:
                raise CorruptError(f"what the index in {path} belongs to cannot be read: {error}") from None
        except BaseException:
            store.close()
            raise

    def entries(self) -> Iterator[Path]:
        """The folders that may hold an environment."""
        if self._directory is None or not self._directory.exists():
            return
        for entry in sorted(self._directory.iterdir()):
            if entry.is_dir() and not entry.name.startswith(HIDDEN) and not entry.name.endswith(BESIDE):
                yield entry

    def sweep(self) -> None:
        """Remove what was being made or removed when the server ended."""
        if self._directory is None or not self._directory.exists():
            return
        for entry in self._directory.iterdir():
            if entry.name.startswith(HIDDEN) and not entry.name.startswith(DAMAGED):
                shutil.rmtree(entry, ignore_errors=True)

    def takes_writes(self, path: Path) -> bool:
        """Whether the disk of an environment takes a file of some size at the moment."""
        probe = path / PROBE
        try:
            with probe.open("wb") as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
            return True
        except OSError:
            return False
        finally:
            probe.unlink(missing_ok=True)

    def remove(self, path: Path | None) -> None:
        """Remove an environment that nobody has open, and what goes with it."""
        if path is None:
            return
        for each in (path, *(path.with_name(path.name + suffix) for suffix in BESIDE)):
            if each.exists():
                # Under another name first: a folder that is half gone must never be taken for an index.
                doomed = each.with_name(f"{HIDDEN}deleted-{each.name}")
                shutil.rmtree(doomed, ignore_errors=True)
                each.rename(doomed)
                shutil.rmtree(doomed, ignore_errors=True)

    def put_aside(self, path: Path, why: object) -> None:
        """Keep a damaged environment under a name that nobody opens; an earlier one of the same index goes."""
        aside = path.with_name(f"{DAMAGED}{path.name}")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        log.error("indexes", f"the index in {path} is damaged and was put aside as {aside.name}: {why}")


def remove_indexes(directory: Path | None) -> None:
    """Remove the folder of all indexes of a database. Nothing in it can be taken for an index while it goes."""
    if directory is None or not directory.exists():
        return
    doomed = directory.with_name(f"{HIDDEN}deleted-{directory.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    directory.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def folder_name(name: str, content: dict[str, Any]) -> str:
    """A name that any file system takes, one for each index and content."""
    # Two indexes whose names differ in case alone do not exist; two that differ in a strange character do.
    data = name.lower().encode() + b"\0" + msgspec.json.encode(content, order="sorted")
    shown = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:NAME_SHOWN_MAX].strip("_")
    return f"{shown or 'index'}-{blake2b(data, digest_size=8).hexdigest()}"


def _write_owner(store: IndexStore, owner: Owner) -> None:
    with store.write() as writer:
        writer.set_meta(OWNER_KEY, msgspec.json.encode(owner))

"""Where the cluster's state lies on disk: one engine environment, and the only module here that knows the engine.

A state is a number of tables of values under text keys. Small tables hold JSON and are loaded whole; tables that grow
with the data hold bytes and are read where they lie. One `write` is one transaction: the changed values of all its
commands together with the raft index of the last of them, so that a restart can neither skip nor repeat one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from pynori_core.env import Env

# Changes of one transaction: (table, key) -> the new value, bytes in a table of LARGE_TABLES; None to remove.
Changes = Mapping[tuple[str, str], Any]

# Tables that are never loaded: compare-exchange values, and transactions that databases have still to apply.
LARGE_TABLES = ("compare_exchange", "transactions")

_STATE_TREE = b"state"
_APPLIED_KEY = b"applied"
_TABLE_PREFIX = "table."


class Store:
    """The tables of the state in one environment. Calls block on the disk: not for the event loop."""

    __slots__ = ("_env",)

    def __init__(self, env: Env) -> None:
        self._env = env

    @classmethod
    def open(cls, directory: Path | None) -> Store:
        """Open the state in `directory`, creating it when there is none; None: in memory."""
        if directory is None:
            return cls(Env.create(None))
        if directory.exists():
            return cls(Env.open(str(directory)))
        return cls(Env.create(str(directory)))

    def load(self, tables: tuple[str, ...]) -> tuple[int, dict[str, dict[str, Any]]]:
        """The raft index of the last applied command (0: none) and everything in `tables`."""
        found: dict[str, dict[str, Any]] = {table: {} for table in tables}
        with self._env.write() as txn:
            # A table that is new in this version gets its tree here: nothing below has to ask whether it is there.
            for name in (_STATE_TREE, *map(_tree_name, (*tables, *LARGE_TABLES))):
                txn.tree(name, create=True)
        with self._env.read() as txn:
            applied = txn.tree(_STATE_TREE).get(_APPLIED_KEY)
            if applied is None:
                return 0, found
            for table in tables:
                for key, value in txn.tree(_tree_name(table)).items():
                    found[table][bytes(key).decode("utf-8")] = msgspec.json.decode(bytes(value))
        return int.from_bytes(bytes(applied), "big"), found

    def write(self, applied_index: int, changes: Changes) -> None:
        """Make `changes` and the index durable in one transaction, or raise and leave the state as it was."""
        with self._env.write() as txn:
            for (table, key), value in changes.items():
                tree = txn.tree(_tree_name(table))
                if value is None:
                    tree.delete(key.encode("utf-8"))
                else:
                    tree.put(key.encode("utf-8"), value if table in LARGE_TABLES else msgspec.json.encode(value))
            txn.tree(_STATE_TREE).put(_APPLIED_KEY, applied_index.to_bytes(8, "big"))

    def get(self, table: str, key: str) -> bytes | None:
        """A durable value of a large table."""
        with self._env.read() as txn:
            value = txn.tree(_tree_name(table)).get(key.encode("utf-8"))
            return None if value is None else bytes(value)

    def scan(
        self, table: str, prefix: str, skip: int = 0, limit: int | None = None, start: str = ""
    ) -> Iterator[tuple[str, bytes]]:
        """(key, value) of the keys of a large table that begin with `prefix`, from `start` on, in order."""
        begin = prefix.encode("utf-8")
        with self._env.read() as txn:
            for key, value in txn.tree(_tree_name(table)).items(max(begin, start.encode("utf-8"))):
                text = bytes(key)
                if not text.startswith(begin) or limit == 0:
                    return
                if skip:
                    skip -= 1
                    continue
                yield text.decode("utf-8"), bytes(value)
                if limit is not None:
                    limit -= 1

    def close(self) -> None:
        self._env.close()


def _tree_name(table: str) -> bytes:
    return (_TABLE_PREFIX + table).encode("ascii")

"""A node's part of the cluster on disk: one engine environment, and the only module here that knows the engine.

It holds the state (a number of tables of values under text keys) and the Raft log before it. Small tables hold JSON and
are loaded whole; tables that grow with the data hold bytes and are read where they lie. One `write` is one transaction
and one sync: new entries, term and vote, and the changes of the entries that are applied together with the index of the
last of them, so that a restart can neither skip nor repeat one.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from pynori_core.env import Env

from pynori import limits
from pynori.cluster import wire
from pynori.cluster.entries import Mark, marks_of
from pynori.cluster.raft.types import Entry, HardState, Membership

# Changes of one transaction: (table, key) -> the new value, bytes in a table of LARGE_TABLES; None to remove.
Changes = Mapping[tuple[str, str], Any]
Tables = dict[str, dict[str, Any]]

# Tables that are never loaded: compare-exchange values, when they expire, and transactions that databases have still to
# apply.
LARGE_TABLES = ("compare_exchange", "compare_exchange_expiry", "transactions", "requests", "requests_order")

_STATE_TREE = b"state"
_LOG_TREE = b"raft.log"
_APPLIED_KEY = b"applied"
_APPLIED_TERM_KEY = b"applied_term"
_MEMBERSHIP_KEY = b"membership"
_HARD_STATE_KEY = b"hard_state"
_BEFORE_KEY = b"before_log"  # index and term of the entry before the first one that is kept
_NODE_KEY = b"node"
_RECENT_KEY = b"recent"  # marks of commands before the log, of a state that came as a whole
_RECENT_NEXT_KEY = b"recent.next"  # the same of a state that is on its way
_RECENT_PART = "@recent"  # of a dump
_GENERATION_KEY = b"generation"  # which of two sets of trees holds the tables; what takes its place comes to the other
_TABLE_PREFIXES = ("table.", "table2.")

# What is not in the data file yet is held in memory: a state that comes as a whole must not need more of it the larger
# it is.
_SCRATCH_BYTES, _CHECKPOINT_BYTES = limits.STATE_SCRATCH_BYTES_MAX, limits.STATE_CHECKPOINT_BYTES

_encode_part = msgspec.msgpack.Encoder().encode
decode_part = msgspec.msgpack.Decoder(list[tuple[str, bytes, bytes]]).decode


@dataclass(slots=True)
class Loaded:
    """Everything that is read when a node starts."""

    applied: int = 0
    applied_term: int = 0
    membership: Membership = field(default_factory=Membership)
    hard_state: HardState = field(default_factory=HardState)
    before: tuple[int, int] = (0, 0)
    entries: list[Entry] = field(default_factory=list)
    recent: list[Mark] = field(default_factory=list)  # see `entries.py`
    node: dict[str, Any] | None = None  # what this node knows of itself; None: it is new
    tables: Tables = field(default_factory=dict)


@dataclass(slots=True)
class Round:
    """What one transaction writes. entries: over what stands there from the first of them on."""

    entries: Sequence[Entry] = ()
    last_index: int = 0  # of the log before this round: what lies behind the new entries goes
    hard_state: HardState | None = None
    applied: int = 0  # 0: nothing was applied
    applied_term: int = 0
    changes: Changes = field(default_factory=dict)
    membership: Membership | None = None
    before: tuple[int, int] | None = None  # entries up to this one are no longer needed
    first_index: int = 0  # of the log before this round


class Store:
    """The node's files. Calls block on the disk: not for the event loop, but for single reads."""

    __slots__ = ("_env", "_generation", "_tables")

    def __init__(self, env: Env) -> None:
        self._env = env
        self._generation = 0  # of the trees that hold the tables
        self._tables: tuple[str, ...] = ()  # all of them, once loaded

    @classmethod
    def open(cls, directory: Path | None) -> Store:
        """Open the state in `directory`, creating it when there is none; None: in memory."""
        if directory is None:
            return cls(Env.create(None))
        if directory.exists():
            return cls(Env.open(str(directory), scratch_bytes_max=_SCRATCH_BYTES, checkpoint_bytes=_CHECKPOINT_BYTES))
        return cls(Env.create(str(directory), scratch_bytes_max=_SCRATCH_BYTES, checkpoint_bytes=_CHECKPOINT_BYTES))

    def load(self, tables: tuple[str, ...]) -> Loaded:
        """Read what a node starts from; `tables`: the small ones."""
        self._tables = (*tables, *LARGE_TABLES)
        with self._env.write() as txn:
            # A table that is new in this version gets its tree here: nothing below has to ask whether it is there.
            self._generation = _number(txn.tree(_STATE_TREE, create=True).get(_GENERATION_KEY))
            for table in self._tables:
                txn.tree(self._tree(table), create=True)
            txn.tree(_LOG_TREE, create=True, integer=True)
        loaded = Loaded(tables={table: {} for table in tables})
        with self._env.read() as txn:
            state = txn.tree(_STATE_TREE)
            node = state.get(_NODE_KEY)
            loaded.node = None if node is None else msgspec.json.decode(bytes(node))
            loaded.applied = _number(state.get(_APPLIED_KEY))
            loaded.applied_term = _number(state.get(_APPLIED_TERM_KEY))
            membership = state.get(_MEMBERSHIP_KEY)
            if membership is not None:
                loaded.membership = wire.decode_membership(bytes(membership))
            loaded.hard_state = _hard_state(txn)
            before = state.get(_BEFORE_KEY)
            if before is not None:
                loaded.before = msgspec.json.decode(bytes(before), type=tuple[int, int])
            loaded.recent = _recent(txn, loaded.applied)
            loaded.entries = [wire.decode_entry(bytes(value)) for _, value in txn.tree(_LOG_TREE, integer=True).items()]
            for table in tables:
                for key, value in txn.tree(self._tree(table)).items():
                    loaded.tables[table][bytes(key).decode("utf-8")] = msgspec.json.decode(bytes(value))
        return loaded

    def begin(self, node: Mapping[str, Any], membership: Membership, index: int) -> None:
        """Make this node one that has applied everything up to `index`, with an empty log and empty tables."""
        with self._env.write() as txn:
            self._clear(txn)
            self._put_start(txn, index, 1 if index else 0, membership)
            txn.tree(_STATE_TREE).put(_NODE_KEY, msgspec.json.encode(node))

    def adopt(self, node: Mapping[str, Any], membership: Membership) -> None:
        """Make the state of an earlier version, which had no log, the state of this node."""
        with self._env.write() as txn:
            index = _number(txn.tree(_STATE_TREE).get(_APPLIED_KEY))
            self._put_start(txn, index, 1, membership)
            txn.tree(_STATE_TREE).put(_NODE_KEY, msgspec.json.encode(node))

    def write(self, work: Round) -> None:
        """Make a round durable in one transaction, or raise and leave everything as it was."""
        with self._env.write() as txn:
            state, log = txn.tree(_STATE_TREE), txn.tree(_LOG_TREE, integer=True)
            if work.entries:
                first = work.entries[0].index
                for index in range(first + len(work.entries), work.last_index + 1):
                    log.delete(index)
                for entry in work.entries:
                    log.put(entry.index, wire.encode_entry(entry))
            if work.hard_state is not None:
                state.put(_HARD_STATE_KEY, _hard_state_bytes(work.hard_state))
            if work.applied:
                state.put(_APPLIED_KEY, _bytes(work.applied))
                state.put(_APPLIED_TERM_KEY, _bytes(work.applied_term))
            if work.membership is not None:
                state.put(_MEMBERSHIP_KEY, wire.encode_membership(work.membership))
            if work.before is not None:
                for index in range(work.first_index, work.before[0] + 1):
                    log.delete(index)
                state.put(_BEFORE_KEY, msgspec.json.encode(work.before))
            for (table, key), value in work.changes.items():
                tree = txn.tree(self._tree(table))
                if value is None:
                    tree.delete(key.encode("utf-8"))
                else:
                    tree.put(key.encode("utf-8"), value if table in LARGE_TABLES else msgspec.json.encode(value))

    # ---- large tables, read where they lie

    def get(self, table: str, key: str) -> bytes | None:
        """A durable value of a large table."""
        with self._env.read() as txn:
            value = txn.tree(self._tree(table)).get(key.encode("utf-8"))
            return None if value is None else bytes(value)

    def scan(
        self, table: str, prefix: str, skip: int = 0, limit: int | None = None, start: str = ""
    ) -> Iterator[tuple[str, bytes]]:
        """(key, value) of the keys of a large table that begin with `prefix`, from `start` on, in order."""
        begin = prefix.encode("utf-8")
        with self._env.read() as txn:
            for key, value in txn.tree(self._tree(table)).items(max(begin, start.encode("utf-8"))):
                text = bytes(key)
                if not text.startswith(begin) or limit == 0:
                    return
                if skip:
                    skip -= 1
                    continue
                yield text.decode("utf-8"), bytes(value)
                if limit is not None:
                    limit -= 1

    # ---- the whole state, for a node that has fallen too far behind

    def position(self) -> tuple[int, int, Membership]:
        """Applied index, its term, membership."""
        with self._env.read() as txn:
            return _position(txn)

    def dump(self) -> Dump:
        """The state as it stands now, to be read in parts; whoever asks closes it."""
        return Dump(self._env.read(), self._tables, self._generation)

    def clear_next(self) -> bool:
        """Remove some of what lies beside the state: of one that was replaced, or of one that did not come whole.

        Returns whether that was all.
        """
        left = limits.STATE_CLEAR_STEP
        with self._env.write() as txn:
            txn.tree(_STATE_TREE).delete(_RECENT_NEXT_KEY)
            for table in self._tables:
                tree = txn.tree(_tree_name(table, 1 - self._generation), create=True)
                keys = [bytes(key) for key in itertools.islice(tree, left)]
                for key in keys:
                    tree.delete(key)
                left -= len(keys)
        return left > 0

    def stage(self, part: bytes) -> None:
        """Put a part of another node's state beside ours. `clear_next` has come to its end before the first one."""
        with self._env.write() as txn:
            for table, key, value in decode_part(part):
                if table == _RECENT_PART:
                    txn.tree(_STATE_TREE).put(_RECENT_NEXT_KEY, value)
                elif table in self._tables:
                    txn.tree(_tree_name(table, 1 - self._generation), create=True).put(key, value)

    def switch(self, index: int, term: int, membership: Membership, hard_state: HardState | None) -> None:
        """Let the state that lies complete beside ours take its place, with an empty log, in one transaction.

        hard_state: None keeps term and vote as they are stored, for a vote that was given binds whatever comes.
        """
        generation = 1 - self._generation
        with self._env.write() as txn:
            kept = _hard_state(txn) if hard_state is None else hard_state
            self._clear_log(txn)
            self._put_start(txn, index, term, membership)
            state = txn.tree(_STATE_TREE)
            state.put(_HARD_STATE_KEY, _hard_state_bytes(replace(kept, commit=max(kept.commit, index))))
            marks = state.get(_RECENT_NEXT_KEY)
            state.put(_RECENT_KEY, b"[]" if marks is None else bytes(marks))
            state.delete(_RECENT_NEXT_KEY)
            for table in self._tables:
                txn.tree(_tree_name(table, generation), create=True)
            state.put(_GENERATION_KEY, _bytes(generation))
        self._generation = generation

    def _clear_log(self, txn: Any) -> None:
        log = txn.tree(_LOG_TREE, integer=True)
        for index in list(log):
            log.delete(index)

    def _clear(self, txn: Any) -> None:
        self._clear_log(txn)
        for table in self._tables:
            tree = txn.tree(self._tree(table))
            for key in [bytes(key) for key in tree]:
                tree.delete(key)

    def _put_start(self, txn: Any, index: int, term: int, membership: Membership) -> None:
        state = txn.tree(_STATE_TREE)
        state.put(_APPLIED_KEY, _bytes(index))
        state.put(_APPLIED_TERM_KEY, _bytes(term))
        state.put(_MEMBERSHIP_KEY, wire.encode_membership(membership))
        state.put(_BEFORE_KEY, msgspec.json.encode((index, term)))
        state.put(_HARD_STATE_KEY, _hard_state_bytes(HardState(term, 0, index)))

    def _tree(self, table: str) -> bytes:
        return _tree_name(table, self._generation)

    def close(self) -> None:
        self._env.close()


class Dump:
    """The whole state as of one transaction, which stays open until `close`; read in parts of bounded size.

    Calls block on the disk, and may come from several threads.
    """

    __slots__ = ("_generation", "_items", "_tables", "_turn", "_txn", "index", "membership", "term")

    def __init__(self, txn: Any, tables: Sequence[str], generation: int) -> None:
        self._txn = txn
        self._tables = tables
        self._generation = generation
        self._turn = threading.Lock()  # whoever gives up a dump closes it while a part may still be read
        self.index, self.term, self.membership = _position(txn)
        self._items: Iterator[tuple[str, bytes, bytes]] = self._read()

    def next_part(self) -> bytes | None:
        """MessagePack of [table, key, value] items: STATE_PART_SIZE_BYTES and at most one value more; None: the end."""
        with self._turn:
            items: list[tuple[str, bytes, bytes]] = []
            size_bytes = 0
            for item in self._items:
                items.append(item)
                size_bytes += len(item[1]) + len(item[2])
                if size_bytes >= limits.STATE_PART_SIZE_BYTES:
                    break
            return _encode_part(items) if items else None

    def _read(self) -> Iterator[tuple[str, bytes, bytes]]:
        yield _RECENT_PART, b"", msgspec.json.encode(_recent(self._txn, self.index))
        for table in self._tables:
            for key, value in self._txn.tree(_tree_name(table, self._generation)).items():
                yield table, bytes(key), bytes(value)

    def close(self) -> None:
        with self._turn:
            self._items = iter(())
            self._txn.close()


def _position(txn: Any) -> tuple[int, int, Membership]:
    state = txn.tree(_STATE_TREE)
    membership = state.get(_MEMBERSHIP_KEY)
    return (
        _number(state.get(_APPLIED_KEY)),
        _number(state.get(_APPLIED_TERM_KEY)),
        Membership() if membership is None else wire.decode_membership(bytes(membership)),
    )


def _recent(txn: Any, applied: int) -> list[Mark]:
    """Marks of the last commands that were applied: from before the log, and from the log itself."""
    kept = txn.tree(_STATE_TREE).get(_RECENT_KEY)
    marks = [] if kept is None else msgspec.json.decode(bytes(kept), type=list[Mark])
    entries = (wire.decode_entry(bytes(value)) for _, value in txn.tree(_LOG_TREE, integer=True).items())
    return marks + marks_of(entries, applied)


def _hard_state(txn: Any) -> HardState:
    stored = txn.tree(_STATE_TREE).get(_HARD_STATE_KEY)
    return HardState() if stored is None else HardState(*msgspec.json.decode(bytes(stored), type=tuple[int, int, int]))


def _hard_state_bytes(hard_state: HardState) -> bytes:
    return msgspec.json.encode((hard_state.term, hard_state.vote, hard_state.commit))


def _tree_name(table: str, generation: int) -> bytes:
    return (_TABLE_PREFIXES[generation] + table).encode("ascii")


def _bytes(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _number(value: Any) -> int:
    return 0 if value is None else int.from_bytes(bytes(value), "big")

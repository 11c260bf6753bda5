"""The raft logs of many groups in one engine environment: entries, terms and votes, snapshots.

One `write` is one transaction and one sync for whatever many groups have to store, each group's hard state, entries and
snapshot in one piece: a crash leaves all of a write or nothing of it. What the core asks for while it works (indexes
and terms) is kept in memory; data of entries is read from the environment.

    raft.log       group, index (8 bytes each, big endian) -> term (u64), kind (u8), data
    raft.state     group -> term, vote, commit; index and term of the entry before the first one (u64 each)
    raft.snapshot  group -> index, term (u64), membership, data

Invariants: L1  The entries of a group follow one another without a gap, from the one that raft.state names.
            L2  The snapshot of a group reaches at least to the entry before its first one, if that is not 0.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pynori_core.disk import DiskHandle
from pynori_core.env import Env

from pynori.cluster.raft import (
    Compacted,
    Entry,
    EntryKind,
    HardState,
    InvariantBroken,
    Membership,
    Snapshot,
)
from pynori.cluster.raft.types import ENTRY_OVERHEAD_BYTES

_LOG, _STATE, _SNAPSHOT = b"raft.log", b"raft.state", b"raft.snapshot"
_GROUP = struct.Struct(">Q")
_KEY = struct.Struct(">QQ")
_ENTRY = struct.Struct("<QB")
_STATE_ROW = struct.Struct("<QQQQQ")
_SNAPSHOT_HEAD = struct.Struct("<QQ")
# Counts of voters, outgoing, learners, next learners; whether a joint membership is left automatically.
_MEMBERSHIP = struct.Struct("<HHHHB")
GROUP_ID_MAX = 2**64 - 2


@dataclass(slots=True, frozen=True)
class GroupWrite:
    """What one group stores: as Ready hands it out; compact_index: forget the entries up to it, at the end."""

    group_id: int
    hard_state: HardState | None = None
    entries: Sequence[Entry] = ()
    snapshot: Snapshot | None = None
    compact_index: int = 0


class GroupLog:
    """The log of one group as raft reads it: `pynori.cluster.raft.Storage`.

    _terms: the term of each entry, from index _offset + 1 on.
    """

    __slots__ = ("_env", "_hard_state", "_membership", "_offset", "_offset_term", "_snapshot", "_terms", "group_id")

    def __init__(self, env: Env, group_id: int, membership: Membership | None) -> None:
        self._env = env
        self.group_id = group_id
        with env.read() as txn:
            state = _STATE_ROW.unpack(bytes(txn.tree(_STATE).get(_GROUP.pack(group_id), bytes(_STATE_ROW.size))))
            term, vote, commit, offset, offset_term = state
            self._hard_state = HardState(term, vote, commit)
            self._offset: int = offset
            self._offset_term: int = offset_term
            found = txn.tree(_SNAPSHOT).get(_GROUP.pack(group_id))
            self._snapshot = decode_snapshot(bytes(found)) if found is not None else Snapshot()
            self._terms: list[int] = []
            for key, value in txn.tree(_LOG).items(_KEY.pack(group_id, 0), _KEY.pack(group_id + 1, 0)):
                index = _KEY.unpack(bytes(key))[1]
                if index != self.last_index() + 1:
                    raise InvariantBroken(f"L1: group {group_id} has entry {index} after {self.last_index()}")
                self._terms.append(_ENTRY.unpack_from(bytes(value))[0])
        if self._snapshot.index < self._offset:
            raise InvariantBroken(f"L2: group {group_id} begins after {self._offset}, snapshot {self._snapshot.index}")
        self._membership = membership

    def initial_state(self) -> tuple[HardState, Membership]:
        """Return the hard state, and the membership that was given, or that of the snapshot."""
        return self._hard_state, self._snapshot.membership if self._membership is None else self._membership

    def first_index(self) -> int:
        """Return the index of the first entry."""
        return self._offset + 1

    def last_index(self) -> int:
        """Return the index of the last entry."""
        return self._offset + len(self._terms)

    def term(self, index: int) -> int | None:
        """Return the term of an entry, None if it is not here."""
        position = index - self._offset
        if position <= 0:
            return self._offset_term if position == 0 else None
        return self._terms[position - 1] if position <= len(self._terms) else None

    def entries(self, low: int, high: int, size_bytes_max: int) -> list[Entry]:
        """Return the entries from low up to high (exclusive), cut at the size, at least one."""
        if low <= self._offset:
            raise Compacted(f"entry {low} is compacted away, the first is {self._offset + 1}")
        found: list[Entry] = []
        size_bytes = 0
        with self._env.read() as txn:
            start, end = _KEY.pack(self.group_id, low), _KEY.pack(self.group_id, high)
            for key, value in txn.tree(_LOG).items(start, end):
                row = bytes(value)
                size_bytes += len(row) - _ENTRY.size + ENTRY_OVERHEAD_BYTES
                if found and size_bytes > size_bytes_max:
                    return found
                term, kind = _ENTRY.unpack_from(row)
                found.append(Entry(term, _KEY.unpack(bytes(key))[1], row[_ENTRY.size :], EntryKind(kind)))
        if len(found) != high - low:
            raise InvariantBroken(f"L1: group {self.group_id} lacks entries of {low} to {high - 1}")
        return found

    def snapshot(self) -> Snapshot | None:
        """Return the newest snapshot that was stored."""
        return self._snapshot

    # What a write does, in the transaction and, once it is durable, in memory.

    def _put(self, txn: Any, write: GroupWrite) -> _Plan:
        """Put a write into the transaction; return what memory has to become."""
        log = txn.tree(_LOG)
        plan = _Plan(self._offset, self._offset_term, list(self._terms), write.hard_state or self._hard_state)
        if write.snapshot is not None:
            is_newer = write.snapshot.index > self._snapshot.index
            if not is_newer:
                raise Compacted(f"snapshot {write.snapshot.index} is older than {self._snapshot.index}")
            txn.tree(_SNAPSHOT).put(_GROUP.pack(self.group_id), encode_snapshot(write.snapshot))
            if self.term(write.snapshot.index) != write.snapshot.term:
                self._forget(log, plan.offset + 1, self.last_index())
                plan.offset, plan.offset_term, plan.terms = write.snapshot.index, write.snapshot.term, []
        if write.entries:
            self._put_entries(log, plan, write.entries)
        if write.compact_index > plan.offset:
            reach = max(self._snapshot.index, write.snapshot.index if write.snapshot is not None else 0)
            if write.compact_index > min(reach, plan.offset + len(plan.terms)):
                raise InvariantBroken(f"L2: compaction to {write.compact_index}, the snapshot reaches to {reach}")
            self._forget(log, plan.offset + 1, write.compact_index)
            count = write.compact_index - plan.offset
            plan.offset, plan.offset_term, plan.terms = write.compact_index, plan.terms[count - 1], plan.terms[count:]
        state = plan.hard_state
        row = _STATE_ROW.pack(state.term, state.vote, state.commit, plan.offset, plan.offset_term)
        txn.tree(_STATE).put(_GROUP.pack(self.group_id), row)
        return plan

    def _put_entries(self, log: Any, plan: _Plan, entries: Sequence[Entry]) -> None:
        """Write entries behind or over those that are there; what stood behind them is gone."""
        kept = [entry for entry in entries if entry.index > plan.offset]
        if not kept:
            return
        last, position = plan.offset + len(plan.terms), kept[0].index - plan.offset - 1
        if position > len(plan.terms):
            raise InvariantBroken(f"L1: group {self.group_id} appends {kept[0].index} behind {last}")
        self._forget(log, kept[-1].index + 1, last)
        for entry in kept:
            row = _ENTRY.pack(entry.term, entry.kind) + entry.data
            log.put(_KEY.pack(self.group_id, entry.index), row)
        plan.terms[position:] = [entry.term for entry in kept]

    def _forget(self, log: Any, first: int, last: int) -> None:
        for index in range(first, last + 1):
            log.delete(_KEY.pack(self.group_id, index))

    def _take(self, plan: _Plan, snapshot: Snapshot | None) -> None:
        self._offset, self._offset_term, self._terms = plan.offset, plan.offset_term, plan.terms
        self._hard_state = plan.hard_state
        self._snapshot = snapshot or self._snapshot


@dataclass(slots=True)
class _Plan:
    """What a group's memory becomes when its write is durable."""

    offset: int
    offset_term: int
    terms: list[int]
    hard_state: HardState


class LogStore:
    """The logs of all groups of a node. Calls block on the disk: not for the event loop."""

    __slots__ = ("_env", "_groups")

    def __init__(self, env: Env) -> None:
        self._env = env
        self._groups: dict[int, GroupLog] = {}
        with env.write() as txn:
            for name in (_LOG, _STATE, _SNAPSHOT):
                txn.tree(name, create=True)

    @classmethod
    def open(cls, directory: str | os.PathLike[str] | DiskHandle | None) -> LogStore:
        """Open the logs in a directory, creating them when there are none; None: in memory."""
        if isinstance(directory, str | os.PathLike):
            return cls(Env.open(directory) if os.path.exists(directory) else Env.create(directory))
        return cls(Env.create(directory))

    def group(self, group_id: int, membership: Membership | None = None) -> GroupLog:
        """Return the log of a group, empty if it is new.

        membership: as of the entry that the group's state machine has applied; None: that of the snapshot.
        """
        if not 0 <= group_id <= GROUP_ID_MAX:
            raise ValueError(f"group id {group_id} is not between 0 and {GROUP_ID_MAX}")
        if group_id not in self._groups:
            self._groups[group_id] = GroupLog(self._env, group_id, membership)
        return self._groups[group_id]

    def write(self, writes: Sequence[GroupWrite]) -> None:
        """Make the writes of several groups durable, at most one for each, or raise and leave all as it was."""
        if len({write.group_id for write in writes}) != len(writes):
            raise ValueError("a group writes twice in one transaction")
        plans = []
        with self._env.write() as txn:
            for write in writes:
                group = self.group(write.group_id)
                plans.append((group, group._put(txn, write), write.snapshot))
        for group, plan, snapshot in plans:
            group._take(plan, snapshot)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return a snapshot as bytes."""
    members = snapshot.membership
    parts = (members.voters, members.outgoing, members.learners, members.learners_next)
    ids = [node_id for part in parts for node_id in sorted(part)]
    head = _SNAPSHOT_HEAD.pack(snapshot.index, snapshot.term)
    counts = _MEMBERSHIP.pack(*map(len, parts), members.auto_leave)
    return head + counts + struct.pack(f"<{len(ids)}Q", *ids) + snapshot.data


def decode_snapshot(row: bytes) -> Snapshot:
    """Return the snapshot that encode_snapshot wrote.

    Raises: InvariantBroken for other bytes.
    """
    try:
        index, term = _SNAPSHOT_HEAD.unpack_from(row)
        *counts, auto_leave = _MEMBERSHIP.unpack_from(row, _SNAPSHOT_HEAD.size)
        position = _SNAPSHOT_HEAD.size + _MEMBERSHIP.size
        parts = []
        for count in counts:
            parts.append(frozenset(struct.unpack_from(f"<{count}Q", row, position)))
            position += 8 * count
    except struct.error as error:
        raise InvariantBroken(f"a stored snapshot of {len(row)} bytes cannot be read: {error}") from None
    voters, outgoing, learners, learners_next = parts
    membership = Membership(voters, outgoing, learners, learners_next, bool(auto_leave))
    return Snapshot(index, term, membership, row[position:])

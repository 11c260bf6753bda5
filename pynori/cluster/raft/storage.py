"""What the core reads of a node's durable log, and the twin in memory that tests and benchmarks use.

The core only reads. Writing what Ready hands out (and only then) is the caller's part; Ready says in which order.
"""

from typing import Protocol

from pynori.cluster.raft.types import (
    Compacted,
    Entry,
    HardState,
    InvariantBroken,
    Membership,
    Snapshot,
    limit_size,
)


class Storage(Protocol):
    """A node's durable log, as the core sees it; all calls answer at once.

    The log holds the entries from first_index() to last_index(). The term of the entry before the first one is known
    too, because a leader may have to name it.
    """

    def initial_state(self) -> tuple[HardState, Membership]:
        """Return what was stored last, and the membership as of the applied index; empty values for a new node."""

    def first_index(self) -> int:
        """Return the index of the first entry that is there; last_index() + 1 for an empty log."""

    def last_index(self) -> int:
        """Return the index of the last entry, or that of the snapshot for an empty log."""

    def term(self, index: int) -> int | None:
        """Return the term of an entry, None if the index is outside of first_index() - 1 to last_index()."""

    def entries(self, low: int, high: int, size_bytes_max: int) -> list[Entry]:
        """Return a new list of the entries from low up to high (exclusive), cut at the size, at least one.

        Raises: Compacted if low is no longer in the log.
        """

    def snapshot(self) -> Snapshot | None:
        """Return the newest snapshot, at least up to first_index() - 1; None while it is being made."""


class MemoryStorage:
    """A log in memory. Not durable: whoever simulates crashes keeps copies."""

    __slots__ = ("_entries", "_hard_state", "_offset", "_offset_term", "_snapshot")

    def __init__(self) -> None:
        self._hard_state = HardState()
        self._snapshot = Snapshot()
        # Index and term of the entry before the first of _entries.
        self._offset = 0
        self._offset_term = 0
        self._entries: list[Entry] = []

    def initial_state(self) -> tuple[HardState, Membership]:
        """Return the hard state, and the membership of the snapshot."""
        return self._hard_state, self._snapshot.membership

    def first_index(self) -> int:
        """Return the index of the first entry."""
        return self._offset + 1

    def last_index(self) -> int:
        """Return the index of the last entry."""
        return self._offset + len(self._entries)

    def term(self, index: int) -> int | None:
        """Return the term of an entry, None if it is not here."""
        position = index - self._offset
        if position <= 0:
            return self._offset_term if position == 0 else None
        return self._entries[position - 1].term if position <= len(self._entries) else None

    def entries(self, low: int, high: int, size_bytes_max: int) -> list[Entry]:
        """Return the entries from low up to high, cut at the size."""
        if low <= self._offset:
            raise Compacted(f"entry {low} is compacted away, the first is {self._offset + 1}")
        if high > self.last_index() + 1:
            raise InvariantBroken(f"entries up to {high} asked for, the last is {self.last_index()}")
        return limit_size(self._entries[low - self._offset - 1 : high - self._offset - 1], size_bytes_max)

    def snapshot(self) -> Snapshot | None:
        """Return the snapshot that was installed or made last."""
        return self._snapshot

    def set_hard_state(self, state: HardState) -> None:
        """Keep term, vote and commit index."""
        self._hard_state = state

    def append(self, entries: list[Entry]) -> None:
        """Write entries behind or over those that are there; what stood behind them is gone."""
        if entries and entries[-1].index <= self._offset:
            return
        entries = entries[max(0, self._offset + 1 - entries[0].index) :] if entries else entries
        if not entries:
            return
        position = entries[0].index - self._offset - 1
        if position > len(self._entries):
            raise InvariantBroken(f"entry {entries[0].index} appended behind {self.last_index()}")
        self._entries[position:] = entries

    def install_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the log by a snapshot that came from a leader."""
        if self._snapshot.index and snapshot.index <= self._snapshot.index:
            raise Compacted(f"snapshot {snapshot.index} is older than {self._snapshot.index}")
        self._snapshot = snapshot
        self._offset, self._offset_term = snapshot.index, snapshot.term
        self._entries = []

    def make_snapshot(self, index: int, membership: Membership, data: bytes) -> Snapshot:
        """Keep the application's state as of an entry of the log, and return it."""
        term = self.term(index)
        if term is None or index <= self._snapshot.index:
            raise Compacted(f"no snapshot of {index}: the log is {self.first_index()} to {self.last_index()}")
        self._snapshot = Snapshot(index, term, membership, data)
        return self._snapshot

    def compact(self, index: int) -> None:
        """Forget the entries up to and with `index`, which must be applied and part of a snapshot."""
        if index <= self._offset:
            raise Compacted(f"entry {index} is compacted away already")
        term = self.term(index)
        if term is None:
            raise InvariantBroken(f"compaction up to {index}, the last entry is {self.last_index()}")
        del self._entries[: index - self._offset]
        self._offset, self._offset_term = index, term

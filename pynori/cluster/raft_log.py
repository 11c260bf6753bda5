"""The durable Raft log of this node as the core reads it: in memory, as it stands in the store.

The driver writes to the store and then here, so what is here is durable. Entries that every applied state contains are
dropped from the front, but for a number of them that followers may still ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pynori import limits
from pynori.cluster.raft.types import Compacted, Entry, HardState, Membership, Snapshot, limit_size
from pynori.cluster.store import Loaded


class RaftLog:
    """Storage of the core, see `raft/storage.py`."""

    __slots__ = ("_before", "_entries", "_hard_state", "_membership", "_snapshot", "_wanted")

    def __init__(self, loaded: Loaded, snapshot_wanted: Callable[[], None]) -> None:
        """snapshot_wanted is called when the core asks for a newer snapshot than there is."""
        self._hard_state = loaded.hard_state
        self._membership = loaded.membership
        self._before = loaded.before
        self._entries = loaded.entries
        self._snapshot: Snapshot | None = None
        self._wanted = snapshot_wanted

    # ---- what the core reads

    def initial_state(self) -> tuple[HardState, Membership]:
        return self._hard_state, self._membership

    def first_index(self) -> int:
        return self._before[0] + 1

    def last_index(self) -> int:
        return self._before[0] + len(self._entries)

    def term(self, index: int) -> int | None:
        position = index - self._before[0]
        if position <= 0:
            return self._before[1] if position == 0 else None
        return self._entries[position - 1].term if position <= len(self._entries) else None

    def entries(self, low: int, high: int, size_bytes_max: int) -> list[Entry]:
        first = self.first_index()
        if low < first:
            raise Compacted(f"entry {low} is gone, the log begins at {first}")
        return limit_size(self._entries[low - first : high - first], size_bytes_max)

    def snapshot(self) -> Snapshot | None:
        held = self._snapshot
        if held is None or held.index < self._before[0]:
            self._wanted()
            return None
        return held

    # ---- what the driver writes

    def hold(self, snapshot: Snapshot | None) -> None:
        """Keep a snapshot that was made for followers, or let go of it."""
        self._snapshot = snapshot

    def append(self, entries: Sequence[Entry]) -> None:
        """Entries are durable; they replace what stood there from the first of them on."""
        if entries:
            del self._entries[entries[0].index - self.first_index() :]
            self._entries += entries

    def restart(self, snapshot: Snapshot) -> None:
        """A snapshot has replaced everything."""
        self._before = (snapshot.index, snapshot.term)
        self._entries = []
        self._snapshot = None

    def due_compaction(self, applied: int, needed: int | None) -> tuple[int, int] | None:
        """Index and term of the last entry that may go, when there are so many that it is worth while.

        needed: a node is getting the state of this index, and needs the entries behind it next.
        """
        last = self.last_index()
        index = min(applied, last) - limits.RAFT_LOG_ENTRIES_KEPT
        if needed is not None and last - needed < limits.RAFT_LOG_ENTRIES_TRANSFER_MAX:
            index = min(index, needed)
        if index - self._before[0] < limits.RAFT_LOG_ENTRIES_KEPT:
            return None
        term = self.term(index)
        assert term is not None
        return index, term

    def compact(self, before: tuple[int, int]) -> None:
        del self._entries[: before[0] - self._before[0]]
        self._before = before

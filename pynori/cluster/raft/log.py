"""A node's whole log: what storage has and what is not durable yet, as one, with the marks that move along it.

    first .......... applied <= applying <= committed <= last
    |---- storage ---------------|----- unstable -----|

Invariants: the marks never go back, and nothing at or below committed is ever overwritten.
"""

from collections.abc import Sequence

from pynori.cluster.raft.describe import Listener, Sentence
from pynori.cluster.raft.storage import Storage
from pynori.cluster.raft.types import (
    ENTRY_OVERHEAD_BYTES,
    Compacted,
    Entry,
    EntryKind,
    InvariantBroken,
    Snapshot,
    limit_size,
    size_bytes,
)
from pynori.cluster.raft.unstable import Unstable


class RaftLog:
    """Stable and unstable entries as one log.

    committed: a quorum has it. applying: handed out for applying. applied: the application has it.
    """

    __slots__ = (
        "_listener", "applied", "applying", "applying_bytes", "applying_bytes_max", "committed", "is_applying_paused",
        "storage", "unstable",
    )  # fmt: skip

    def __init__(self, storage: Storage, applying_bytes_max: int, listener: Listener | None) -> None:
        self.storage = storage
        self.unstable = Unstable(storage.last_index() + 1, listener)
        self.committed = self.applying = self.applied = storage.first_index() - 1
        # Bytes handed out for applying and not yet acknowledged, and their bound.
        self.applying_bytes = 0
        self.applying_bytes_max = applying_bytes_max
        self.is_applying_paused = False
        self._listener = listener

    def __str__(self) -> str:
        unstable = self.unstable
        return (
            f"committed={self.committed}, applied={self.applied}, applying={self.applying}, "
            f"unstable.offset={unstable.offset}, unstable.offsetInProgress={unstable.write_offset}, "
            f"len(unstable.Entries)={len(unstable.entries)}"
        )

    def first_index(self) -> int:
        """Return the index of the first entry that is there."""
        snapshot = self.unstable.snapshot
        return snapshot.index + 1 if snapshot is not None else self.storage.first_index()

    def last_index(self) -> int:
        """Return the index of the last entry."""
        unstable = self.unstable
        if unstable.entries:
            return unstable.offset + len(unstable.entries) - 1
        return unstable.snapshot.index if unstable.snapshot is not None else self.storage.last_index()

    def term(self, index: int) -> int | None:
        """Return the term of an entry, None if it is compacted away or not there yet."""
        term = self.unstable.term(index)
        if term is not None:
            return term
        if not self.first_index() - 1 <= index <= self.last_index():
            return None
        return self.storage.term(index)

    def last_id(self) -> tuple[int, int]:
        """Return index and term of the last entry."""
        index = self.last_index()
        term = self.term(index)
        if term is None:
            raise InvariantBroken(f"the last entry {index} has no term")
        return index, term

    def matches(self, index: int, term: int) -> bool:
        """Say whether the entry is there with that term; then all before it agree too."""
        return self.term(index) == term

    def is_up_to_date(self, index: int, term: int) -> bool:
        """Say whether a log that ends so is at least as far as this one."""
        own_index, own_term = self.last_id()
        return (term, index) >= (own_term, own_index)

    def try_append(self, index: int, term: int, entries: Sequence[Entry], committed: int) -> int | None:
        """Take a leader's entries, which follow (index, term), and its commit index.

        Returns: the index of the last of them, up to which the logs now agree; None if (index, term) is not here.
        """
        if not self.matches(index, term):
            return None
        position = self._first_conflict(entries)
        if position is not None:
            if entries[position].index <= self.committed:
                raise InvariantBroken(
                    f"entry {entries[position].index} conflict with committed entry [committed({self.committed})]"
                )
            self.append(entries[position:] if position else entries)
        last = index + len(entries)
        self.commit_to(min(committed, last))
        return last

    def _first_conflict(self, entries: Sequence[Entry]) -> int | None:
        """Return the position of the first entry that is not here with its term; all behind it are not either."""
        last = self.last_index()
        for position, entry in enumerate(entries):
            if entry.index > last:
                return position
            if not self.matches(entry.index, entry.term):
                if self._listener is not None:
                    own_term = self.term(entry.index) or 0
                    self._listener(Sentence.LOG_CONFLICT, (entry.index, own_term, entry.term))
                return position
        return None

    def append(self, entries: Sequence[Entry]) -> int:
        """Put entries behind the committed ones; return the index of the last."""
        if entries:
            if entries[0].index <= self.committed:
                raise InvariantBroken(f"append at {entries[0].index} over committed {self.committed}")
            self.unstable.append(entries)
        return self.last_index()

    def highest_at_most(self, index: int, term: int) -> tuple[int, int]:
        """Return (index, term) of the last entry up to `index` with a term of at most `term`.

        The term is 0 where it is not known any more: then the entry may agree.
        """
        while index > 0:
            own_term = self.term(index)
            if own_term is None:
                return index, 0
            if own_term <= term:
                return index, own_term
            index -= 1
        return 0, 0

    def commit_to(self, index: int) -> None:
        """Move the commit mark forward; an older index changes nothing."""
        if index > self.committed:
            if index > self.last_index():
                raise InvariantBroken(
                    f"tocommit({index}) is out of range [lastIndex({self.last_index()})]. "
                    "Was the raft log corrupted, truncated, or lost?"
                )
            self.committed = index

    def try_commit(self, index: int, term: int) -> bool:
        """Commit up to an entry that a quorum has, if it is of the leader's own term.

        An older entry on a quorum is not safe: a later leader may still lack it. It commits with the first own one.
        """
        if index > self.committed and self.matches(index, term):
            self.commit_to(index)
            return True
        return False

    def is_snapshot_pending(self) -> bool:
        """Say whether a snapshot waits to be written."""
        return self.unstable.snapshot is not None

    def _appliable_to(self, may_be_unstable: bool) -> int:
        return self.committed if may_be_unstable else min(self.committed, self.unstable.offset - 1)

    def has_committed(self, may_be_unstable: bool) -> bool:
        """Say whether next_committed would return something."""
        # A snapshot goes first: entries behind it would meet a state machine that is not there yet.
        if self.is_applying_paused or self.unstable.snapshot is not None:
            return False
        return self.applying < self._appliable_to(may_be_unstable)

    def next_committed(self, may_be_unstable: bool) -> list[Entry]:
        """Return the next entries to apply, within the bound on what is being applied.

        may_be_unstable: committed entries count although this node has not written them yet; it will before it applies.
        """
        if not self.has_committed(may_be_unstable):
            return []
        room = self.applying_bytes_max - self.applying_bytes
        return self.slice(self.applying + 1, self._appliable_to(may_be_unstable) + 1, room)

    def begin_applying(self, entries: Sequence[Entry], may_be_unstable: bool) -> None:
        """Note that the entries were handed out; pause when the bound is reached or has cut them short."""
        index = entries[-1].index
        if index > self.committed:
            raise InvariantBroken(f"applying({index}) is behind committed({self.committed})")
        self.applying = index
        self.applying_bytes += size_bytes(entries)
        is_cut = index < self._appliable_to(may_be_unstable)
        self.is_applying_paused = is_cut or self.applying_bytes >= self.applying_bytes_max

    def end_applying(self, index: int, applied_bytes: int) -> None:
        """Note that the application has everything up to `index`."""
        if not self.applied <= index <= self.committed:
            raise InvariantBroken(
                f"applied({index}) is out of range [prevApplied({self.applied}), committed({self.committed})]"
            )
        self.applied = index
        self.applying = max(self.applying, index)
        self.applying_bytes = max(0, self.applying_bytes - applied_bytes)
        self.is_applying_paused = self.applying_bytes >= self.applying_bytes_max

    def restore(self, snapshot: Snapshot) -> None:
        """Replace the whole log by a snapshot."""
        if self._listener is not None:
            self._listener(Sentence.LOG_RESTORES, (self, snapshot.index, snapshot.term))
        self.committed = snapshot.index
        self.unstable.restore(snapshot)

    def snapshot(self) -> Snapshot | None:
        """Return the newest snapshot; None while storage is making it."""
        return self.unstable.snapshot or self.storage.snapshot()

    def entries(self, low: int, size_bytes_max: int) -> list[Entry]:
        """Return the entries from low on, within the size, at least one if there is one."""
        last = self.last_index()
        return self.slice(low, last + 1, size_bytes_max) if low <= last else []

    def slice(self, low: int, high: int, size_bytes_max: int) -> list[Entry]:
        """Return the entries from low up to high (exclusive), within the size, at least one if low < high.

        Raises: Compacted if low is no longer in the log.
        """
        offset = self.unstable.offset
        if low >= offset:
            return limit_size(self.unstable.entries[low - offset : high - offset], size_bytes_max)
        if low < self.first_index():
            raise Compacted(f"entry {low} is compacted away, the first is {self.first_index()}")
        middle = min(high, offset)
        entries = self.storage.entries(low, middle, size_bytes_max)
        if high <= offset or len(entries) < middle - low:
            return entries
        room = size_bytes_max - size_bytes(entries)
        more = limit_size(self.unstable.entries[: high - offset], room)
        if more and len(more[0].data) + ENTRY_OVERHEAD_BYTES <= room:
            entries += more
        return entries

    def has_unapplied_change(self) -> bool:
        """Say whether a membership change is committed and not applied yet; read in pages of bounded size."""
        low = self.applied + 1
        while low <= self.committed:
            page = self.slice(low, self.committed + 1, self.applying_bytes_max)
            if any(entry.kind != EntryKind.NORMAL for entry in page):
                return True
            low += len(page)
        return False

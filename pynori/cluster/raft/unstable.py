"""The end of the log that is not known to be durable yet: entries, and perhaps a snapshot below them.

    entries      offset                     write_offset                last
                 |-- handed out, being written --|-- not handed out --|

Entries stay here until storage says that they are written and can be read from it. They may be overwritten while their
write is on the way; then storage's answer names a term that no longer fits, and they stay.
"""

from collections.abc import Sequence

from pynori.cluster.raft.describe import Listener, Sentence
from pynori.cluster.raft.types import Entry, InvariantBroken, Snapshot


class Unstable:
    """Entries and snapshot that storage may not have.

    entries[i] has index offset + i. Invariant: offset <= write_offset <= offset + len(entries).
    offset may be below the end of the stored log: then the next write overwrites stored entries.
    """

    __slots__ = ("_listener", "entries", "is_snapshot_written", "offset", "snapshot", "write_offset")

    def __init__(self, offset: int, listener: Listener | None) -> None:
        self.entries: list[Entry] = []
        self.offset = offset
        # Entries below are being written.
        self.write_offset = offset
        self.snapshot: Snapshot | None = None
        # True while the snapshot is being written.
        self.is_snapshot_written = False
        self._listener = listener

    def _say(self, sentence: Sentence, *values: object) -> None:
        if self._listener is not None:
            self._listener(sentence, values)

    def last_index(self) -> int | None:
        """Return the index of the last entry here, or of the snapshot; None if there is neither."""
        if self.entries:
            return self.offset + len(self.entries) - 1
        return self.snapshot.index if self.snapshot is not None else None

    def term(self, index: int) -> int | None:
        """Return the term of an entry that is here, or of the snapshot's."""
        position = index - self.offset
        if position < 0:
            return self.snapshot.term if self.snapshot is not None and self.snapshot.index == index else None
        return self.entries[position].term if position < len(self.entries) else None

    def next_entries(self) -> list[Entry]:
        """Return the entries whose writing has not begun."""
        start = self.write_offset - self.offset
        return self.entries[start:] if start < len(self.entries) else []

    def next_snapshot(self) -> Snapshot | None:
        """Return the snapshot if its writing has not begun."""
        return None if self.is_snapshot_written else self.snapshot

    def begin_write(self) -> None:
        """Take all that is here as being written."""
        self.write_offset = self.offset + len(self.entries)
        self.is_snapshot_written = self.snapshot is not None

    def end_write(self, index: int, term: int) -> None:
        """Let go of the entries up to (index, term), which storage has and no write on the way will change."""
        own_term = self.term(index)
        if own_term is None:
            self._say(Sentence.UNSTABLE_MISSING, index)
        elif index < self.offset:
            self._say(Sentence.UNSTABLE_IS_SNAPSHOT, index)
        elif own_term != term:
            self._say(Sentence.UNSTABLE_OTHER_TERM, index, term, index, own_term)
        else:
            self.entries = self.entries[index + 1 - self.offset :]
            self.offset = index + 1
            self.write_offset = max(self.write_offset, self.offset)

    def end_snapshot_write(self, index: int) -> None:
        """Let go of the snapshot, which storage has."""
        if self.snapshot is not None and self.snapshot.index == index:
            self.snapshot = None
            self.is_snapshot_written = False

    def restore(self, snapshot: Snapshot) -> None:
        """Replace everything by a snapshot."""
        self.entries = []
        self.offset = self.write_offset = snapshot.index + 1
        self.snapshot = snapshot
        self.is_snapshot_written = False

    def append(self, entries: Sequence[Entry]) -> None:
        """Put entries behind or over those that are here; what stood behind their first is gone."""
        first = entries[0].index
        end = self.offset + len(self.entries)
        if first == end:
            self.entries.extend(entries)
        elif first <= self.offset:
            self._say(Sentence.UNSTABLE_REPLACED, first)
            self.entries = list(entries)
            self.offset = self.write_offset = first
        elif first < end:
            self._say(Sentence.UNSTABLE_TRUNCATED, first)
            # Lists that were handed out keep what they held: this one is made anew.
            self.entries = [*self.entries[: first - self.offset], *entries]
            self.write_offset = min(self.write_offset, first)
        else:
            raise InvariantBroken(f"entry {first} appended behind {end - 1}")

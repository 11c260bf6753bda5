"""A machine's disk: what was written can be read at once, and survives a crash only once it was synced.

The log and the application's state are two files, so to say: each is a sequence of writes, and a crash keeps a prefix
of those that were not synced. A snapshot that is installed replaces both at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from zlib import crc32

from pynori.cluster.raft import Entry, HardState, Membership, MemoryStorage, Snapshot

NOBODY = Membership()


@dataclass(frozen=True)
class AppState:
    """The application after an entry: a digest of all commands, and the membership."""

    index: int = 0
    term: int = 0
    digest: int = 0
    membership: Membership = NOBODY

    def snapshot(self) -> Snapshot:
        """Return the state as raft sends it."""
        return Snapshot(self.index, self.term, self.membership, self.digest.to_bytes(8, "big"))

    @classmethod
    def of(cls, snapshot: Snapshot) -> "AppState":
        """Return the state that a snapshot holds."""
        return cls(snapshot.index, snapshot.term, int.from_bytes(snapshot.data, "big"), snapshot.membership)

    def after(self, entry: Entry, membership: Membership) -> "AppState":
        """Return the state with one more command."""
        digest = crc32(entry.data, self.digest ^ entry.term)
        return AppState(entry.index, entry.term, digest, membership)


class Disk(MemoryStorage):
    """What a machine reads of its log and its application, and what of both is durable."""

    __slots__ = ("_log_writes", "app", "durable_app", "durable_log")

    def __init__(self) -> None:
        super().__init__()
        self.app = AppState()
        self.durable_app = AppState()
        self.durable_log = MemoryStorage()
        self._log_writes: list[Callable[[MemoryStorage], None]] = []

    def initial_state(self) -> tuple[HardState, Membership]:
        """Return the hard state, and the membership as of the applied entry."""
        return super().initial_state()[0], self.app.membership

    def snapshot(self) -> Snapshot | None:
        """Return the application as it is now."""
        return self.app.snapshot()

    def _write(self, write: Callable[[MemoryStorage], None]) -> None:
        write(self)
        self._log_writes.append(write)

    def write(self, state: HardState | None, entries: list[Entry], snapshot: Snapshot | None) -> None:
        """Write what a Ready wants stored, in one piece; not durable yet, but for a snapshot."""

        def write(log: MemoryStorage) -> None:
            if snapshot is not None:
                MemoryStorage.install_snapshot(log, snapshot)
            if state is not None:
                MemoryStorage.set_hard_state(log, state)
            MemoryStorage.append(log, entries)

        self._write(write)
        if snapshot is not None:
            self.app = AppState.of(snapshot)
            self.sync()
            self.sync_app()

    def sync(self) -> None:
        """Make everything that was written to the log durable."""
        for write in self._log_writes:
            write(self.durable_log)
        self._log_writes.clear()

    def sync_app(self) -> None:
        """Make the application's state durable."""
        self.durable_app = self.app

    def compact_to(self, index: int) -> None:
        """Forget the log up to an entry that the durable state of the application has."""
        assert index <= self.durable_app.index
        self._write(lambda log: MemoryStorage.compact(log, index))

    def crash(self, random: Random) -> None:
        """Lose what was not synced; of the writes to the log a prefix may have arrived."""
        for write in self._log_writes[: random.randint(0, len(self._log_writes))]:
            write(self.durable_log)
        self._log_writes.clear()
        self.app = self.durable_app
        for name in MemoryStorage.__slots__:
            setattr(self, name, getattr(self.durable_log, name))
        # Two lists again: what is written from now on is not durable.
        self._entries = list(self._entries)

"""What one end of a link knows, without I/O: how far the stream is sent and accepted, and what has to be done next.

The sender is asked `next_step` whenever something may have changed: read and send items, tell where it
stands, or wait. It may be WINDOW batches ahead of what is accepted. News, that is a position or a database vector
without items, is told at most every NEWS_MS: an item that was applied here moves this database's vector, and if that
were told at once, every commit of one instance would cost each sibling a commit of its own.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

from pynori_core import change_vector

from pynori import limits
from pynori.errors import InvalidArgument
from pynori.replication.messages import Accepted, Batch

NEVER = float("inf")


class Step(Enum):
    """What a sender does next."""

    READ = auto()  # read items behind `position` and call `read`
    TELL = auto()  # send an empty batch made by `tell`
    WAIT = auto()  # until the database changes, something is accepted, or `due_at`


class SetBack(InvalidArgument):
    """The receiver has more of this instance than the instance itself."""

    code = "set_back"


class Sender:
    """The sending end. Times are seconds of one monotonic clock."""

    __slots__ = ("_told_at", "_told_vector", "_vector", "accepted", "due_at", "in_flight", "position", "vector")

    def __init__(self, start: Accepted, last_etag: int) -> None:
        """start: what the receiver says when the link opens. Raises: SetBack."""
        if start.position > last_etag:
            raise SetBack(
                f"the receiver has accepted up to etag {start.position} of this instance, which is at {last_etag}: "
                "its files were set back to an earlier time. Let it have a new database id, or delete the instance"
            )
        self.position = start.position  # everything up to here is sent, or need not be
        self.accepted = start.position
        self.vector = start.vector  # of the receiver's database, as it said last
        self.in_flight: deque[int] = deque()  # positions of batches that are not accepted yet
        self.due_at = NEVER
        self._told_at = -NEVER
        self._told_vector = ""
        self._vector = ""  # of this database, when it was looked at last

    def next_step(self, vector: str, last_etag: int, now: float) -> Step:
        """vector, last_etag: of this database, read in this order.

        Commits go on meanwhile. A vector that was read behind the etag might count an item that was not sent, and the
        receiver, which believes it, would never get that item.
        """
        self.due_at = NEVER
        self._vector = vector
        if len(self.in_flight) >= limits.REPLICATION_WINDOW:
            return Step.WAIT
        if last_etag > self.position:
            return Step.READ
        if not self._owes_position and (vector == self._told_vector or self._is_known(vector)):
            return Step.WAIT
        due_at = self._told_at + limits.REPLICATION_NEWS_MS / 1_000
        if now >= due_at:
            return Step.TELL
        self.due_at = due_at
        return Step.WAIT

    def read(self, items: int, last_etag: int, vector: str, frame: bytes, now: float) -> Batch | None:
        """The batch to send for what was read; None when nothing of it has to be sent. vector: "" before the end."""
        self.position = last_etag
        return self._told(vector, frame, now) if items else None

    def tell(self, now: float) -> Batch:
        """The empty batch that tells position and vector, as the last `next_step` saw them."""
        return self._told(self._vector, b"", now)

    def accept(self, accepted: Accepted) -> None:
        """The receiver has answered the oldest batch. Raises: InvalidArgument when it answers another one."""
        if not self.in_flight or self.in_flight[0] != accepted.position:
            raise InvalidArgument(f"position {accepted.position} is accepted, which was not the next one sent")
        self.in_flight.popleft()
        self.accepted = accepted.position
        self.vector = accepted.vector

    @property
    def _owes_position(self) -> bool:
        """Items were passed over since the last batch: the receiver has a position that is too low."""
        return self.position > (self.in_flight[-1] if self.in_flight else self.accepted)

    def _is_known(self, vector: str) -> bool:
        """The receiver's vector covers it already, by what others have told."""
        return change_vector.compare(vector, self.vector) in ("equal", "older")

    def _told(self, vector: str, frame: bytes, now: float) -> Batch:
        if vector:
            self._told_vector = vector
            self._told_at = now
        self.in_flight.append(self.position)
        return Batch(self.position, vector, frame)


class Receiver:
    """The receiving end: batches that wait to be applied, in order."""

    __slots__ = ("_waiting", "position")

    def __init__(self, position: int) -> None:
        self.position = position  # of the last batch that came
        self._waiting: deque[Batch] = deque()

    def take(self, batch: Batch) -> None:
        """Raises: InvalidArgument when the sender goes back, or beyond the window."""
        if batch.position < self.position:
            raise InvalidArgument(f"a batch at position {batch.position} behind one at {self.position}")
        if len(self._waiting) > limits.REPLICATION_WINDOW:
            raise InvalidArgument(f"REPLICATION_WINDOW: more than {limits.REPLICATION_WINDOW} unanswered batches")
        self.position = batch.position
        self._waiting.append(batch)

    def next(self) -> Batch | None:
        """The batch to be applied next; it stays until `done`."""
        return self._waiting[0] if self._waiting else None

    def done(self) -> None:
        """The next batch is applied."""
        self._waiting.popleft()

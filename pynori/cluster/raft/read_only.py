"""Reads that wait until the leader knows that it still leads.

A leader may have been replaced without having heard of it. So a read takes the commit index at its arrival, and is
answered only after a quorum acknowledged a heartbeat that was sent later. Reads are numbered; a heartbeat carries the
number of the newest, and one acknowledgement confirms that read and all before it.

With lease reads a heartbeat carries the tick of its sending too. While a quorum has answered a heartbeat of the last
half election time, nobody else can have been elected: who answered refuses its vote for a whole election time.
"""

import struct
from dataclasses import dataclass

from pynori.cluster.raft.quorum import joint_committed
from pynori.cluster.raft.types import Membership, Message

# The context of a heartbeat: number of the newest waiting read; with lease reads, also the tick of its sending.
_NUMBER = struct.Struct("<Q")
_NUMBER_AND_TICK = struct.Struct("<QQ")
# Reads that may wait at one leader; beyond it a read is dropped, and its asker tries again as after a lost message.
WAITING_READS_MAX = 10_000


@dataclass(slots=True, frozen=True)
class WaitingRead:
    """A read and the commit index at its arrival."""

    request: Message
    index: int


class ReadQueue:
    """The reads of one term's leader, oldest first."""

    __slots__ = ("_acknowledged", "_confirmed_count", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[WaitingRead] = []
        # Reads confirmed so far; the oldest waiting read has the number after it.
        self._confirmed_count = 0
        # The highest number that each member acknowledged.
        self._acknowledged: dict[int, int] = {}

    def add(self, request: Message, index: int) -> bool:
        """Let a read wait; return False if too many do."""
        if len(self._waiting) >= WAITING_READS_MAX:
            return False
        self._waiting.append(WaitingRead(request, index))
        return True

    def context(self, tick: int = 0) -> bytes:
        """Return what a heartbeat must carry to confirm all waiting reads; empty if none waits and there is no tick."""
        number = self._confirmed_count + len(self._waiting) if self._waiting else 0
        if tick:
            return _NUMBER_AND_TICK.pack(number, tick)
        return _NUMBER.pack(number) if number else b""

    def acknowledge(self, node_id: int, context: bytes) -> int:
        """Take the context that a member sent back; return the tick in it, 0 if there is none."""
        tick = 0
        if len(context) == _NUMBER_AND_TICK.size:
            number, tick = _NUMBER_AND_TICK.unpack(context)
        elif len(context) == _NUMBER.size:
            number = _NUMBER.unpack(context)[0]
        else:
            return 0
        self._acknowledged[node_id] = max(self._acknowledged.get(node_id, 0), number)
        return tick

    def take_confirmed(self, membership: Membership) -> list[WaitingRead]:
        """Return the reads that a quorum has confirmed, and forget them."""
        number = joint_committed(
            membership.voters, membership.outgoing, lambda node_id: self._acknowledged.get(node_id, 0)
        )
        count = max(0, number - self._confirmed_count)
        confirmed, self._waiting = self._waiting[:count], self._waiting[count:]
        self._confirmed_count += len(confirmed)
        return confirmed

"""What stands in the entries of the log: commands, each with a number of its proposer; and which were applied lately.

A proposal can get lost on its way to the leader, and its proposer cannot tell. So it proposes it again under the same
number, and whoever applies the log passes over what it applied before: an entry says how far its proposer had come when
it first proposed, and the numbers of the last RAFT_REPEAT_WINDOW entries are known. They follow from the log alone, so
all nodes pass over the same entries; who gets the state as a whole gets them with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

from pynori import limits
from pynori.cluster.raft.types import Entry, EntryKind

Mark = tuple[int, int, int]  # index, proposer, number


class Command(msgspec.Struct, array_like=True):
    """The data of an entry."""

    proposer: int  # a number of the process that proposes
    number: int  # of the proposal, within that process
    since: int  # it is proposed again; what the proposer had applied when it did so first. 0: the first time
    name: str
    version: int
    fields: dict[str, Any]


encode_command = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(Command).decode


class Recent:
    """The commands of the last entries that were applied."""

    __slots__ = ("_known", "_marks")

    def __init__(self, marks: Iterable[Mark] = ()) -> None:
        self._marks: deque[Mark] = deque()
        self._known: set[tuple[int, int]] = set()
        for mark in marks:
            self.add(*mark)

    def add(self, index: int, proposer: int, number: int) -> None:
        """A command was applied."""
        marks, known = self._marks, self._known
        while marks and marks[0][0] < index - limits.RAFT_REPEAT_WINDOW:
            _, old_proposer, old_number = marks.popleft()
            known.discard((old_proposer, old_number))
        marks.append((index, proposer, number))
        known.add((proposer, number))

    def was_applied(self, command: Command) -> bool:
        return (command.proposer, command.number) in self._known

    @staticmethod
    def is_too_old(command: Command, index: int) -> bool:
        """Whether nobody can say any more if it was applied before."""
        return index - command.since > limits.RAFT_REPEAT_WINDOW


def marks_of(entries: Iterable[Entry], until: int) -> list[Mark]:
    """The marks of the commands among entries, up to an index."""
    found = []
    for entry in entries:
        if entry.kind == EntryKind.NORMAL and entry.data and entry.index <= until:
            command = decode_command(entry.data)
            found.append((entry.index, command.proposer, command.number))
    return found

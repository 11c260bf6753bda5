"""Histories of compare-exchange operations by many clients, and whether they are linearizable.

Each value has an index that its change got from the cluster, so the order of the changes of a key is told by the system
itself, and a history is linearizable exactly when that order can be the truth:

- indexes are given once, and a change that was made from index i follows the change with index i directly;
- whatever ends before something else begins is not behind it in that order: real time is kept;
- what is read is a value that somebody wrote, before the read ended;
- a change that was refused told an index that was there at some moment within it.

An operation without an answer may have happened at any moment after its begin, or never.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of a client. Times are seconds of one clock."""

    client: int
    kind: str  # "write": compare and exchange; "read"
    key: str
    begin: float
    end: float  # NEVER: there was no answer
    value: object = None  # written, or read; None: there is none. No two writes have the same one
    expected: int = 0  # index that a write states; 0: there must be none
    index: int = 0  # of what was written or read, 0: there is none; of a refused write, the one that was there
    succeeded: bool = True


def violations(history: Iterable[Operation]) -> list[str]:
    """What cannot be explained by any order; empty for a linearizable history."""
    keys: dict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        keys[operation.key].append(operation)
    return [text for key, operations in sorted(keys.items()) for text in _violations_of(key, operations)]


def _violations_of(key: str, operations: list[Operation]) -> Iterator[str]:
    writes = [each for each in operations if each.kind == "write" and each.succeeded and each.end != NEVER]
    unknown = {each.value: each for each in operations if each.kind == "write" and each.end == NEVER}
    by_index: dict[int, Operation] = {}
    for write in writes:
        if write.index in by_index:
            yield f"{key}: index {write.index} was given to {by_index[write.index]} and {write}"
        by_index[write.index] = write
    # A write without an answer that somebody has read did happen, under the index that was read.
    for read in operations:
        if read.kind == "read" and read.end != NEVER and read.index and read.index not in by_index:
            found = unknown.get(read.value)
            if found is None:
                yield f"{key}: nobody wrote what was read by {read}"
            else:
                by_index[read.index] = found
    for read in operations:
        if read.kind == "read" and read.end != NEVER and read.index in by_index:
            wrote = by_index[read.index]
            if wrote.value != read.value:
                yield f"{key}: index {read.index} has two values, of {wrote} and {read}"
            if wrote.begin > read.end:
                yield f"{key}: {read} ended before {wrote} began"
    yield from _broken_chain(key, by_index, unknown)
    yield from _out_of_time(key, operations)


def _broken_chain(key: str, by_index: dict[int, Operation], unknown: dict[object, Operation]) -> Iterator[str]:
    """Each change must have been made from the one before it; what nobody saw may lie between two."""
    before = 0
    for index in sorted(by_index):
        write = by_index[index]
        unseen = any(each.begin < write.end and each not in by_index.values() for each in unknown.values())
        if write.expected != before and not (unseen and write.expected > before):
            yield f"{key}: {write} was made from index {write.expected}, but {before} was there"
        before = index


def _out_of_time(key: str, operations: list[Operation]) -> Iterator[str]:
    """An index that was seen is never older than one that was seen before it began."""
    answered = [each for each in operations if each.end != NEVER]
    ends = sorted(answered, key=lambda each: each.end)
    position, newest, witness = 0, 0, None
    for operation in sorted(answered, key=lambda each: each.begin):
        while position < len(ends) and ends[position].end < operation.begin:
            if ends[position].index > newest:
                newest, witness = ends[position].index, ends[position]
            position += 1
        if operation.index < newest:
            yield f"{key}: {operation} saw index {operation.index}, though {witness} had seen {newest} before it began"

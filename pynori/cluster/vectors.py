"""Change vectors of databases as far as the cluster compares them: who has everything that another one had.

    A:17-ZnWIkSsEJ0mTdJ2MgvfMNg, B:3-Vzp1mVDEJU6uZ1p4aZ0fSg

An entry counts the changes of one instance, told apart by its id; the tag before it is for people. What an instance
has not heard of counts as 0. (The engine has its own comparison, of the vectors of single versions.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pynori.errors import InvalidArgument

Counts = dict[str, int]


def read(vector: str) -> Counts:
    """The counts by id. Raises: InvalidArgument."""
    counts: Counts = {}
    for entry in vector.split(",") if vector else ():
        tag, _, rest = entry.strip().partition(":")
        number, _, id = rest.partition("-")
        if not tag or not id or not (number.isascii() and number.isdigit()):
            raise InvalidArgument(f"'{vector[:80]}' is no change vector")
        counts[id] = max(int(number), counts.get(id, 0))
    return counts


def write(counts: Mapping[str, int]) -> str:
    """A vector that `read` takes, for the state; the tags are left out of it."""
    return ", ".join(f"X:{number}-{id}" for id, number in sorted(counts.items()))


def covers(counts: Mapping[str, int], others: Mapping[str, int]) -> bool:
    """Whether everything that `others` count is counted."""
    return all(counts.get(id, 0) >= number for id, number in others.items())


def common(vectors: Iterable[Mapping[str, int]]) -> Counts:
    """What all of them have; nothing when there are none."""
    found = list(vectors)
    if not found:
        return {}
    least = {id: min(each.get(id, 0) for each in found) for id in found[0]}
    return {id: number for id, number in least.items() if number}

"""The checker of histories finds what cannot have happened, and accepts what can."""

from __future__ import annotations

from tests.cluster.history import NEVER, Operation, violations


def write(begin: float, end: float, value: object, expected: int, index: int, succeeded: bool = True) -> Operation:
    return Operation(0, "write", "k", begin, end, value, expected, index, succeeded)


def read(begin: float, end: float, value: object, index: int) -> Operation:
    return Operation(1, "read", "k", begin, end, value, 0, index)


def test_what_can_have_happened_is_accepted() -> None:
    """Changes in a row, reads of either value beside a change, a refused change, one without an answer that is seen."""
    assert not violations([
        read(0, 1, None, 0), write(1, 2, "a", 0, 5), read(2, 6, "a", 5), write(3, 5, "b", 5, 9), read(3, 4, "b", 9),
        write(6, 7, "c", 5, 9, succeeded=False), write(7, NEVER, "d", 9, 0), read(8, 9, "b", 9), read(10, 11, "d", 12),
    ])  # fmt: skip


def test_a_stale_read_is_found() -> None:
    """A read that began after a change had ended must not see what was before it."""
    found = violations([write(0, 1, "a", 0, 5), write(2, 3, "b", 5, 7), read(4, 5, "a", 5)])
    assert len(found) == 1 and "saw index 5" in found[0]


def test_a_lost_change_is_found() -> None:
    """Two changes made from the same index cannot both have happened."""
    assert violations([write(0, 1, "a", 0, 5), write(2, 3, "b", 5, 7), write(2, 4, "c", 5, 8)])


def test_a_value_from_nowhere_is_found() -> None:
    """What is read was written by somebody, before the read ended, and an index has one value."""
    assert violations([read(0, 1, "a", 5)])
    assert violations([read(0, 1, "a", 5), write(2, 3, "a", 0, 5)])
    assert violations([write(0, 1, "a", 0, 5), read(2, 3, "b", 5)])
    assert violations([write(0, 1, "a", 0, 5), write(2, 3, "b", 5, 5)])


def test_a_refusal_that_is_out_of_date_is_found() -> None:
    """A change that was refused must have seen an index that was there while it ran."""
    assert violations([write(0, 1, "a", 0, 5), write(2, 3, "b", 5, 7), write(4, 5, "c", 4, 5, succeeded=False)])

"""Cursors through the iterators of TreeView: bounds, both directions, gaps between leaves, and near steps of scans."""

import bisect
import random

import pytest
from pynori_core.views import TableView, TreeView

from tests.core.store import Store


def bounded(expected: list, start: object, end: object) -> list:
    keys = [key for key, _ in expected]
    first = 0 if start is None else bisect.bisect_left(keys, start)
    last = len(keys) if end is None else bisect.bisect_left(keys, end)
    return expected[first:last]


@pytest.mark.parametrize("integer", [True, False])
def test_bounds_in_both_directions(store: Store, integer: bool) -> None:
    """start is in, end is out, forwards and backwards, on keys that exist, between them, and beyond both ends."""
    rand = random.Random(3)

    def key(number: int) -> int | bytes:
        return number if integer else b"%06d" % number

    model = {key(number): b"%d" % number * 40 for number in rand.sample(range(1000, 9000), 1200)}
    expected = sorted(model.items())
    with store.write() as txn:
        tree = TreeView(txn, b"x", create=True, integer=integer)
        for item in model.items():
            tree.put(*item)
        assert tree.statistics()["depth"] == 2
    bounds = [None, key(0), key(1000), key(9999), expected[0][0], expected[-1][0]]
    bounds += [key(rand.randrange(900, 9100)) for _ in range(30)]
    with store.read() as txn:
        tree = TreeView(txn, b"x")
        for start in bounds:
            for end in rand.sample(bounds, 8):
                wanted = bounded(expected, start, end)
                assert list(tree.items(start, end)) == wanted
                assert list(tree.items(start, end, reverse=True)) == wanted[::-1]
        assert list(tree) == [key for key, _ in expected]


def test_empty_and_single(store: Store) -> None:
    """A tree without entries, and one with a single entry, answer every question."""
    with store.write() as txn:
        tree = TreeView(txn, b"x", create=True)
        for reverse in (True, False):
            assert list(tree.items(reverse=reverse)) == []
            assert list(tree.items(b"a", b"b", reverse=reverse)) == []
        tree.put(b"m", b"1")
        for reverse in (True, False):
            assert list(tree.items(reverse=reverse)) == [(b"m", b"1")]
            assert list(tree.items(b"m", b"n", reverse=reverse)) == [(b"m", b"1")]
            assert list(tree.items(b"a", b"m", reverse=reverse)) == []
            assert list(tree.items(b"n", reverse=reverse)) == []


def test_keys_are_ordered_by_bytes(store: Store) -> None:
    """Order is that of memcmp: high bytes last, a prefix before what it begins; integers by number."""
    keys = [b"\x00", b"\x00\x00", b"a", b"a\x00", b"aa", b"b", b"\x7f", b"\x80", b"\xff", b"\xff\x00"]
    numbers = [0, 1, 255, 256, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
    with store.write() as txn:
        tree = TreeView(txn, b"x", create=True)
        integers = TreeView(txn, b"n", create=True, integer=True)
        for key in random.Random(1).sample(keys, len(keys)):
            tree.put(key, key)
        for number in random.Random(2).sample(numbers, len(numbers)):
            integers.put(number, b"")
        assert list(tree) == sorted(keys)
        assert list(integers) == numbers


def test_an_iterator_ends_with_its_transaction(store: Store) -> None:
    """What outlives its transaction says so, and reads nothing."""
    with store.write() as txn:
        TreeView(txn, b"x", create=True).put(b"k", b"v")
    txn = store.read()
    tree = TreeView(txn, b"x")
    iterator = tree.items()
    txn.close()
    for use in (lambda: next(iterator), lambda: tree.get(b"k"), lambda: len(tree), lambda: TreeView(txn, b"x")):
        with pytest.raises(ValueError, match="has ended"):
            use()


@pytest.mark.parametrize("every", [1, 3, 50, 400])
def test_near_steps_find_what_descents_find(store: Store, every: int) -> None:
    """A scan over members dense or sparse, with gaps of many leaves and whole groups, visits each row once."""
    rand = random.Random(every)
    row_ids = sorted(rand.sample(range(1, 40_000), 3000))
    with store.write() as txn:
        table = TableView(txn, b"rows", b"sets", create=True)
        for row_id in row_ids:
            table.append(row_id, b"%d" % row_id * rand.choice([1, 30, 200]))
        members = [row_id for row_id in row_ids if rand.randrange(every) == 0]
        for row_id in members:
            table.set_add(7, row_id)
    with store.read() as txn:
        table = TableView(txn, b"rows", b"sets")
        rows = list(table.scan(7))
        assert [row_id for row_id, _ in rows] == members
        assert all(row.startswith(b"%d" % row_id) for row_id, row in rows)
        assert list(table.scan(7, backwards=True)) == rows[::-1]

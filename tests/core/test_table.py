"""Tables against dicts: rows, hints, indexes, sets, scans, cleaning."""

import random

import pytest
from pynori_core.errors import InvalidArgument
from pynori_core.views import TableView, TreeView

from tests.core.store import Store

ALL = 0
GROUP = 512


def table_view(txn: object, create: bool = False) -> TableView:
    return TableView(txn, b"rows", b"sets", [b"ids"], create=create)


class Model:
    """Documents in a table, and the same in dicts: a new version is a new row, the old row leaves its sets."""

    def __init__(self, store: Store, seed: int, row_size: int) -> None:
        self.store = store
        self.rand = random.Random(seed)
        self.row_size = row_size
        self.rows: dict[int, bytes] = {}
        self.ids: dict[bytes, int] = {}
        self.sets: dict[int, set[int]] = {1: set(), 2: set(), 9: set()}
        self.last_row_id = 0
        with store.write() as txn:
            table_view(txn, create=True)

    def row(self) -> bytes:
        size = self.rand.choice([self.row_size, self.row_size, self.rand.randrange(20)])
        return self.rand.randbytes(20_000 if self.rand.randrange(40) == 0 else size)

    def forget(self, table: TableView, old: tuple[int, int, bytes]) -> None:
        row_id, hint, cover = old
        assert table.row(row_id, hint) == self.rows.pop(row_id)
        assert table.set_remove(cover[0], row_id)
        assert not table.set_remove(cover[0], row_id)
        assert table.set_remove(ALL, row_id)
        self.sets[cover[0]].remove(row_id)

    def change(self, count: int, ids: int) -> None:
        with self.store.write() as txn:
            table = table_view(txn)
            for _ in range(count):
                key = b"doc/%d" % self.rand.randrange(ids)
                old = table.find(0, key)
                assert (old and old[0]) == self.ids.get(key)
                if old:
                    self.forget(table, old)
                if old and self.rand.random() < 0.3:
                    assert table.index_delete(0, key)
                    del self.ids[key]
                    continue
                self.last_row_id += 1 if self.rand.random() < 0.97 else self.rand.randrange(1, 2000)
                self.put(table, key)

    def put(self, table: TableView, key: bytes) -> None:
        row_id, row = self.last_row_id, self.row()
        page = table.append(row_id, row)
        set_id = self.rand.choice(list(self.sets))
        table.set_add(set_id, row_id)
        table.index_put(0, key, row_id, page, bytes([set_id]) + bytes(15))
        self.rows[row_id] = row
        self.ids[key] = row_id
        self.sets[set_id].add(row_id)

    def check(self) -> None:
        with self.store.read() as txn:
            table = table_view(txn)
            assert list(table.scan()) == sorted(self.rows.items())
            assert list(table.scan(backwards=True)) == sorted(self.rows.items(), reverse=True)
            for key, row_id in self.ids.items():
                found = table.find(0, key)
                assert found is not None and found[0] == row_id
                assert table.row(row_id, found[1]) == table.row(row_id) == self.rows[row_id]
            for set_id, members in self.sets.items():
                self.check_set(table, set_id, sorted(members))

    def check_set(self, table: TableView, set_id: int, members: list[int]) -> None:
        assert table.set_count(set_id) == len(members)
        assert [row_id for row_id, _ in table.scan(set_id)] == members
        for _ in range(20):
            start, skip = self.rand.randrange(self.last_row_id + 600), self.rand.randrange(200)
            after = [row_id for row_id in members if row_id >= start]
            before = [row_id for row_id in members if row_id <= start][::-1]
            assert table.set_contains(set_id, start) == (start in members)
            assert table.set_next(set_id, start) == (after[0] if after else None)
            assert table.set_previous(set_id, start) == (before[0] if before else None)
            assert table.set_skip(set_id, start, skip) == (after[skip] if skip < len(after) else None)
            assert table.set_skip(set_id, start, skip, True) == (before[skip] if skip < len(before) else None)

    def clean(self, rows_max: int = 400) -> int:
        position, total, done = 0, 0, False
        with self.store.write() as txn:
            table = table_view(txn)
            while not done:
                position, freed, done = table.clean(position, rows_max)
                total += freed
        return total


@pytest.mark.parametrize(("seed", "row_size"), [(1, 250), (2, 1000), (3, 3000)])
def test_table_equals_dicts(store: Store, seed: int, row_size: int) -> None:
    """Through updates, deletes, cleaning and restarts, a table finds each row by id, key, set and hint."""
    model = Model(store, seed, row_size)
    for round_number in range(4):
        model.change(800, 250)
        model.check()
        if round_number % 2:
            assert model.clean() > 0
            model.check()
        store.reopen()
    model.check()


def test_cleaning_gives_space_back(store: Store) -> None:
    """Of 20 versions of each document one lives: cleaning leaves little more, a second pass does nothing."""
    count, row = 400, b"r" * 1000
    row_id = 0
    with store.write() as txn:
        table = table_view(txn, create=True)
        for _ in range(20):
            for number in range(count):
                row_id += 1
                if row_id > count:
                    table.set_remove(ALL, row_id - count)
                table.append(row_id, row + b"%d" % number)
        assert table.set_count(ALL) == count
    rows_before = pages_of_rows(store)
    with store.write() as txn:
        position, freed, done = table_view(txn).clean(0, rows_max=512_000)
        assert (position, done) == (0, True)
    assert pages_of_rows(store) == rows_before - freed
    assert pages_of_rows(store) <= count // 7 * 1.3 + 5
    with store.write() as txn:
        assert table_view(txn).clean(0, rows_max=512_000) == (0, 0, True)
        assert [row_id for row_id, _ in table_view(txn).scan()] == list(range(19 * count + 1, 20 * count + 1))


def pages_of_rows(store: Store) -> int:
    with store.read() as txn:
        statistics = TreeView(txn, b"rows").statistics()
    return statistics["leaf_pages"] + statistics["branch_pages"] + statistics["run_pages"]


def test_sparse_leaves_are_packed(store: Store) -> None:
    """Survivors scattered over all leaves end up in nearly full ones."""
    with store.write() as txn:
        table = table_view(txn, create=True)
        for row_id in range(1, 4 * GROUP):
            table.append(row_id, b"r" * 500)
            if row_id % 5:
                table.set_remove(ALL, row_id)
    before = pages_of_rows(store)
    with store.write() as txn:
        table_view(txn).clean(0, rows_max=5_120)
    assert pages_of_rows(store) < before * 0.3
    with store.read() as txn:
        assert [row_id for row_id, _ in table_view(txn).scan()] == list(range(5, 4 * GROUP, 5))


def test_a_group_that_died_altogether_is_reclaimed(store: Store) -> None:
    """Rows of which no set knows any more are found and freed, and their runs with them."""
    with store.write() as txn:
        table = table_view(txn, create=True)
        for row_id in range(1, 3 * GROUP):
            table.append(row_id, b"r" * (30_000 if row_id % 100 == 0 else 300))
        for row_id in range(1, 3 * GROUP):
            table.set_remove(ALL, row_id)
        assert table.set_next(ALL, 0) is None
    with store.write() as txn:
        table_view(txn).clean(0, rows_max=5_120)
        assert len(TreeView(txn, b"rows")) == 0
        assert len(TreeView(txn, b"sets")) == 0
        assert TreeView(txn, b"rows").statistics()["run_pages"] == 0
        table_view(txn).append(3 * GROUP, b"goes on")


def test_groups_three_quarters_alive_stay(store: Store) -> None:
    """A group is cleaned when more than a quarter of its rows is dead, not before."""
    with store.write() as txn:
        table = table_view(txn, create=True)
        for row_id in range(GROUP):
            table.append(row_id, b"r")
            if row_id % 4 == 1:
                table.set_remove(ALL, row_id)
        assert table.clean(0, 5_120)[0::2] == (0, True)
        assert len(TreeView(txn, b"rows")) == GROUP
        table.set_remove(ALL, 0)
        table.clean(0, 5_120)
        assert len(TreeView(txn, b"rows")) == GROUP - GROUP // 4 - 1


def test_cleaning_goes_in_bounded_steps(store: Store) -> None:
    """Each call cleans at most the groups it may, and the position leads through all of them."""
    groups = 12
    with store.write() as txn:
        table = table_view(txn, create=True)
        for row_id in range(groups * GROUP):
            table.append(row_id, b"r" * 50)
            if row_id % 3:
                table.set_remove(ALL, row_id)
    position, steps, done = 0, 0, False
    while not done:
        with store.write() as txn:
            entries = len(TreeView(txn, b"rows"))
            position, _, done = table_view(txn).clean(position, rows_max=400)
            assert entries - len(TreeView(txn, b"rows")) <= 2 * GROUP
        steps += 1
    assert steps in (groups // 2, groups // 2 + 1)


def test_hints_are_never_wrong(store: Store) -> None:
    """Whatever page a hint names, of whatever kind, and after rows moved, the row is the right one or is not there."""
    with store.write() as txn:
        table = table_view(txn, create=True)
        other = TreeView(txn, b"other", create=True, integer=True)
        hints = {}
        for row_id in range(1, 2000):
            hints[row_id] = table.append(row_id, b"row %d" % row_id * 20)
            other.put(row_id, b"not a row" * (1 if row_id % 50 else 3000))
        for row_id in range(1, 2000):
            if row_id % 3:
                table.set_remove(ALL, row_id)
    with store.write() as txn:
        table_view(txn).clean(0, 51_200)
        for row_id in range(3000, 3500):
            TreeView(txn, b"other").put(row_id, b"r" * 9000)
    pages = store.file_pages()
    with store.read() as txn:
        table = table_view(txn)
        for row_id in range(3, 2000, 3):
            for hint in (hints[row_id], row_id % pages, pages - 1, pages, 2**63):
                assert table.row(row_id, hint) == b"row %d" % row_id * 20
        assert table.row(2500, hints[3]) is None


def test_row_ids_only_grow(store: Store) -> None:
    """A row id that is not greater than the last one is refused, and leaves no trace in the sets."""
    with store.write() as txn:
        table = table_view(txn, create=True)
        table.append(10, b"ten")
        for row_id in (9, 10):
            with pytest.raises(InvalidArgument):
                table.append(row_id, b"late")
        table.append(11, b"eleven")
        assert list(table.scan()) == [(10, b"ten"), (11, b"eleven")]
        assert not table.set_contains(ALL, 9)


def test_large_rows_may_go_at_once(store: Store) -> None:
    """A deleted row's run is free in the same transaction; the row is in no scan and has no bits left."""
    with store.write() as txn:
        table = table_view(txn, create=True)
        table.append(1, b"small")
        table.append(2, b"large" * 10_000)
        assert TreeView(txn, b"rows").statistics()["run_pages"] == 7
        assert table.delete(2)
        assert not table.delete(2)
        assert TreeView(txn, b"rows").statistics()["run_pages"] == 0
        assert list(table.scan()) == [(1, b"small")]


@pytest.mark.parametrize("row_id", [0, 63, 64, 511, 512, 2**63, 2**64 - 1])
def test_row_ids_at_the_edges(store: Store, row_id: int) -> None:
    """First and last bits of words and groups, and the ends of the number range, are members like any other."""
    with store.write() as txn:
        table = table_view(txn, create=True)
        table.append(row_id, b"edge")
        table.set_add(2**64 - 1, row_id)
        assert list(table.scan()) == list(table.scan(2**64 - 1, backwards=True)) == [(row_id, b"edge")]
        assert table.set_next(ALL, 0) == table.set_previous(ALL, 2**64 - 1) == row_id
        assert table.set_next(ALL, row_id) == table.set_previous(ALL, row_id) == row_id
        assert table.set_skip(ALL, 0, 1) is None
        assert list(table.scan(ALL, row_id)) == list(table.scan(ALL, row_id, backwards=True)) == [(row_id, b"edge")]


def test_a_table_is_known_by_its_parts(store: Store) -> None:
    """Opening checks that the trees are there and belong together; an index of another table is refused."""
    with store.write() as txn:
        table_view(txn, create=True)
        TableView(txn, b"rows 2", b"sets 2", [b"ids 2"], create=True)
        with pytest.raises(InvalidArgument):
            TableView(txn, b"rows", b"sets", [b"ids 2"])
        with pytest.raises(InvalidArgument):
            TableView(txn, b"sets", b"rows", [], create=True)


def test_snapshots_of_a_table(store: Store) -> None:
    """A reader keeps its rows, sets and hints while the writer kills, cleans and appends."""
    model = Model(store, 5, 400)
    model.change(600, 100)
    expected, ids = sorted(model.rows.items()), dict(model.ids)
    reader = store.read()
    for _ in range(3):
        model.change(600, 100)
        model.clean()
        model.check()
    table = table_view(reader)
    assert list(table.scan()) == expected
    for key, row_id in ids.items():
        found = table.find(0, key)
        assert found is not None
        assert table.row(row_id, found[1]) == dict(expected)[row_id]
    reader.close()

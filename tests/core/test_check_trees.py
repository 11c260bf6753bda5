"""The check of trees finds each kind of damage, and names the invariant that it breaks."""

import struct
from collections.abc import Callable

import pytest
from pynori_core.check import check_environment
from pynori_core.check_trees import check_transaction
from pynori_core.env import WriteTxn
from pynori_core.views import TableView, TreeView

from tests.core.store import Store

CATALOG = 1
HEADER_SIZE = 64
TREE_HEADER_SIZE = 96


def build(store: Store) -> None:
    """A tree of two levels with runs, an integer-keyed one, and a table."""
    with store.write() as txn:
        tree = TreeView(txn, b"deep", create=True)
        for number in range(400):
            tree.put(b"%06d" % number, b"v" * 100)
        runs = TreeView(txn, b"runs", create=True, integer=True)
        runs.put(1, b"a" * 20_000)
        runs.put(2, b"b" * 30_000)
        table = TableView(txn, b"rows", b"sets", [b"ids"], create=True)
        for row_id in range(1, 1200):
            page = table.append(row_id, b"row")
            table.index_put(0, b"id %d" % row_id, row_id, page)
            table.set_add(5, row_id)


def findings(store: Store, txn: WriteTxn) -> list[str]:
    found: list[str] = check_transaction(txn, store.file_pages())[0]
    return found


def root_of(txn: WriteTxn, name: bytes) -> int:
    return int(TreeView(txn, name).statistics()["root"])


def slots_of(txn: WriteTxn, page: int) -> list[int]:
    data = txn.page(page)
    count = struct.unpack_from("<H", data, 32)[0]
    return list(struct.unpack_from(f"<{count}H", data, HEADER_SIZE))


def child_of(txn: WriteTxn, branch: int, position: int) -> int:
    offset = slots_of(txn, branch)[position]
    return int(struct.unpack_from("<Q", txn.page(branch), offset)[0])


def number_of_leaf(txn: WriteTxn) -> None:
    txn.patch(child_of(txn, root_of(txn, b"deep"), 1), 8, struct.pack("<Q", 3))


def level_of_leaf(txn: WriteTxn) -> None:
    txn.patch(child_of(txn, root_of(txn, b"deep"), 1), 29, b"\x01")


def depth_of_tree(txn: WriteTxn) -> None:
    header = HEADER_SIZE + TREE_HEADER_SIZE * TreeView(txn, b"deep").id
    txn.patch(CATALOG, header + 40, struct.pack("<H", 77))


def overlapping_entries(txn: WriteTxn) -> None:
    leaf = child_of(txn, root_of(txn, b"deep"), 0)
    txn.patch(leaf, HEADER_SIZE + 2, struct.pack("<H", slots_of(txn, leaf)[0]))


def lost_bytes(txn: WriteTxn) -> None:
    txn.patch(child_of(txn, root_of(txn, b"deep"), 0), 38, struct.pack("<H", 8))


def keys_out_of_order(txn: WriteTxn) -> None:
    leaf = child_of(txn, root_of(txn, b"deep"), 0)
    slots = slots_of(txn, leaf)
    txn.patch(leaf, HEADER_SIZE, struct.pack("<2H", slots[1], slots[0]))


def key_outside_its_branch(txn: WriteTxn) -> None:
    leaf = child_of(txn, root_of(txn, b"deep"), 0)
    txn.patch(leaf, slots_of(txn, leaf)[0] + 8, b"000000")


def leaf_without_entries(txn: WriteTxn) -> None:
    leaf = child_of(txn, root_of(txn, b"deep"), 0)
    txn.patch(leaf, 32, struct.pack("<4H", 0, HEADER_SIZE, 8192, 0))


def unknown_flag(txn: WriteTxn) -> None:
    leaf = child_of(txn, root_of(txn, b"deep"), 0)
    txn.patch(leaf, slots_of(txn, leaf)[0] + 2, b"\x80")


def exchanged_runs(txn: WriteTxn) -> None:
    leaf = root_of(txn, b"runs")
    slots, data = slots_of(txn, leaf), txn.page(leaf)
    for here, there in ((0, 1), (1, 0)):
        txn.patch(leaf, slots[here] + 16, data[slots[there] + 16 : slots[there] + 24])


def entries_miscounted(txn: WriteTxn) -> None:
    header = HEADER_SIZE + TREE_HEADER_SIZE * TreeView(txn, b"deep").id
    txn.patch(CATALOG, header + 8, struct.pack("<Q", 401))


def page_reached_twice(txn: WriteTxn) -> None:
    branch = root_of(txn, b"deep")
    txn.patch(branch, slots_of(txn, branch)[0], struct.pack("<Q", child_of(txn, branch, 1)))


def page_behind_the_file(txn: WriteTxn) -> None:
    branch = root_of(txn, b"deep")
    txn.patch(branch, slots_of(txn, branch)[0], struct.pack("<Q", 2**40))


def trees_miscounted(txn: WriteTxn) -> None:
    txn.patch(CATALOG, 32, b"\x63")


def same_name_twice(txn: WriteTxn) -> None:
    header = HEADER_SIZE + TREE_HEADER_SIZE * TreeView(txn, b"runs").id
    txn.patch(CATALOG, header + 48, b"deep")


def empty_bitmap(txn: WriteTxn) -> None:
    TreeView(txn, b"sets").put(struct.pack(">2Q", 6, 1), bytes(64))


def row_without_bit(txn: WriteTxn) -> None:
    TreeView(txn, b"rows").put(5000, b"row")


def bit_without_row(txn: WriteTxn) -> None:
    TreeView(txn, b"rows").delete(700)


def member_not_alive(txn: WriteTxn) -> None:
    TableView(txn, b"rows", b"sets", [b"ids"]).set_add(5, 100_000)


def index_to_dead_row(txn: WriteTxn) -> None:
    TableView(txn, b"rows", b"sets", [b"ids"]).index_put(0, b"nobody", 100_000)


DAMAGE: list[tuple[Callable[[WriteTxn], None], str]] = [
    (number_of_leaf, "T1"), (level_of_leaf, "T1"), (depth_of_tree, "T1"),
    (overlapping_entries, "T2"), (lost_bytes, "T2"),
    (keys_out_of_order, "T3"),
    (key_outside_its_branch, "T4"),
    (leaf_without_entries, "T5"),
    (unknown_flag, "T6"),
    (exchanged_runs, "T7"),
    (entries_miscounted, "T8"),
    (page_reached_twice, "T10"), (page_behind_the_file, "T10"),
    (trees_miscounted, "T11"),
    (same_name_twice, "T12"),
    (empty_bitmap, "T13"),
    (row_without_bit, "T14"), (bit_without_row, "T14"),
    (member_not_alive, "T15"),
    (index_to_dead_row, "T16"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "invariant"), DAMAGE, ids=[damage.__name__ for damage, _ in DAMAGE])
def test_damage_is_named(store: Store, damage: Callable[[WriteTxn], None], invariant: str) -> None:
    """One thing wrong gives a finding that begins with its invariant; before that there was none."""
    build(store)
    with store.write(abort=True) as txn:
        assert findings(store, txn) == []
        damage(txn)
        assert any(text.startswith(f"{invariant} violated") for text in findings(store, txn)), findings(store, txn)


def test_a_leaked_page_is_found(store: Store) -> None:
    """A page that is marked as used and belongs to nobody, and one in use that is marked as free, break T9."""
    build(store)
    with store.write() as txn:
        page = txn.allocate()
    assert check_environment(store.env) == [f"T9 violated: page {page} is marked as used, and nobody has it"]
    with store.write() as txn:
        txn.free(page)


def test_the_walk_ends_on_any_damage(store: Store) -> None:
    """A file full of damage gives a bounded list of findings, not an endless walk."""
    build(store)
    with store.write(abort=True) as txn:
        for name in (b"deep", b"runs", b"rows", b"sets", b"ids"):
            root = root_of(txn, name)
            txn.patch(root, HEADER_SIZE, bytes(range(256)) * 31)
        assert 5 <= len(findings(store, txn)) <= 201

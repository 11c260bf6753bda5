"""Trees against a dict: random operations, the sizes at which pages split and values leave them, snapshots, damage."""

import random
from collections.abc import Iterable
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pynori_core.env import WriteTxn
from pynori_core.errors import Busy, CorruptError, InvalidArgument, InvariantError, NotFound
from pynori_core.views import TreeView

from tests.core.store import Store

KEY_SIZE_MAX = 2048
INLINE_SIZE_MAX = 4000
PAGE_ROOM = 8192 - 64


def entry_bytes(key_size: int, value_size: int) -> int:
    """Bytes that an entry takes of a leaf, its slot included."""
    return (8 + key_size + value_size + 7) // 8 * 8 + 2


def shuffled(items: Iterable[bytes], seed: int) -> list[bytes]:
    result = list(items)
    random.Random(seed).shuffle(result)
    return result


# Model

SHAPES = {
    "short keys": {"integer": False, "key_size": 12, "value_size": 300},
    "integer keys": {"integer": True, "key_size": 8, "value_size": 1500},
    "long keys": {"integer": False, "key_size": KEY_SIZE_MAX, "value_size": 4100},
    "runs": {"integer": True, "key_size": 8, "value_size": 100_000},
}


def random_key(rand: random.Random, integer: bool, key_size: int) -> bytes | int:
    if integer:
        return rand.getrandbits(rand.choice([8, 12, 64]))
    return rand.randbytes(rand.choice([1, 2, rand.randint(1, min(16, key_size)), rand.randint(1, key_size)]))


def random_operations(
    store: Store, model: dict, rand: random.Random, keys: list, value_size: int, deletes: float, count: int
) -> None:
    with store.write() as txn:
        tree = TreeView(txn, b"model")
        for _ in range(count):
            key = rand.choice(keys)
            if rand.random() < deletes:
                assert tree.delete(key) == (key in model)
                model.pop(key, None)
            else:
                size = rand.choice([0, 1, 8, 40, rand.randint(0, 300), rand.randint(0, value_size)])
                model[key] = rand.randbytes(size)
                tree.put(key, model[key])


def assert_equal(store: Store, model: dict, rand: random.Random) -> None:
    expected = sorted(model.items())
    with store.read() as txn:
        tree = TreeView(txn, b"model")
        assert len(tree) == len(expected)
        assert list(tree.items()) == expected
        assert list(tree.items(reverse=True)) == expected[::-1]
        for key, value in rand.sample(expected, min(len(expected), 50)):
            assert tree.get(key) == value


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_tree_equals_a_dict(store: Store, shape: str, seed: int) -> None:
    """Whatever is put and deleted, across commits and restarts, a tree holds what a dict would, down to nothing."""
    rand = random.Random(seed)
    integer, value_size = SHAPES[shape]["integer"], SHAPES[shape]["value_size"]
    keys = [random_key(rand, integer, SHAPES[shape]["key_size"]) for _ in range(300)]
    model: dict = {}
    with store.write() as txn:
        TreeView(txn, b"model", create=True, integer=integer)
    for deletes in (0.1, 0.8, 0.2, 0.95):
        random_operations(store, model, rand, keys, value_size, deletes, 350)
        assert_equal(store, model, rand)
        store.reopen()
        assert_equal(store, model, rand)
    with store.write() as txn:
        tree = TreeView(txn, b"model")
        for key in model:
            assert tree.delete(key)
        assert tree.statistics() | {"root": 0} == {
            "entries": 0,
            "depth": 1,
            "branch_pages": 0,
            "leaf_pages": 1,
            "run_pages": 0,
            "root": 0,
        }


class TreeMachine(RuleBasedStateMachine):
    """Short sequences that shrink well; sizes are chosen so that a few entries fill a page."""

    sizes = st.sampled_from([0, 1, 8, 900, 2000, 3990, 4000, 4001, 8128, 8129, 20000])
    keys = st.integers(0, 40).map(lambda number: b"k%02d" % number)

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.model: dict[bytes, bytes] = {}
        with self.store.write() as txn:
            TreeView(txn, b"model", create=True)

    @rule(key=keys, size=sizes, fill=st.integers(0, 255))
    def put(self, key: bytes, size: int, fill: int) -> None:
        self.model[key] = bytes([fill]) * size
        with self.store.write() as txn:
            TreeView(txn, b"model").put(key, self.model[key])

    @rule(keys=st.lists(keys, max_size=30))
    def delete(self, keys: list[bytes]) -> None:
        with self.store.write() as txn:
            for key in keys:
                assert TreeView(txn, b"model").delete(key) == (self.model.pop(key, None) is not None)

    @rule()
    def abandon(self) -> None:
        with self.store.write(abort=True) as txn:
            tree = TreeView(txn, b"model")
            for number in range(41):
                tree.put(b"k%02d" % number, b"?" * 500)

    @invariant()
    def equal(self) -> None:
        with self.store.read() as txn:
            assert list(TreeView(txn, b"model").items()) == sorted(self.model.items())

    def teardown(self) -> None:
        self.store.close()


TestTreeMachine = TreeMachine.TestCase
TestTreeMachine.settings = settings(max_examples=12, stateful_step_count=25, deadline=None, derandomize=True)


# Sizes at which something changes


def test_a_leaf_splits_only_when_it_is_full(store: Store) -> None:
    """Entries that fill a leaf to the last byte stay in one leaf; one more makes two."""
    count = 7
    sizes = [1000] * (count - 1)
    rest = PAGE_ROOM - sum(entry_bytes(8, size) for size in sizes)
    sizes.append((rest - 2) // 8 * 8 - 16)
    assert rest - 8 < entry_bytes(8, sizes[-1]) <= rest
    with store.write() as txn:
        tree = TreeView(txn, b"x", create=True, integer=True)
        for number, size in enumerate(sizes):
            tree.put(2 * number, b"v" * size)
        assert tree.statistics()["leaf_pages"] == 1
        tree.put(3, b"")
        assert tree.statistics() | {"root": 0} == {
            "entries": count + 1,
            "depth": 2,
            "branch_pages": 1,
            "leaf_pages": 2,
            "run_pages": 0,
            "root": 0,
        }
        assert [key for key, _ in tree.items()] == sorted([3, *range(0, 2 * count, 2)])


@pytest.mark.parametrize("append", [True, False])
def test_appending_leaves_full_pages_behind(store: Store, append: bool) -> None:
    """Keys that come in order fill each leaf to the end, whether or not the caller says so."""
    count, value = 3000, b"v" * 100
    with store.write() as txn:
        for name, integer in ((b"integers", True), (b"strings", False)):
            tree = TreeView(txn, name, create=True, integer=integer)
            for number in range(count):
                tree.put(number if integer else b"%08d" % number, value, append=append)
            per_leaf = PAGE_ROOM // entry_bytes(8, 100)
            assert tree.statistics()["leaf_pages"] == -(-count // per_leaf)


@pytest.mark.parametrize(("key", "waste_max"), [("orders/%08d", 1.15), ("orders/%d-A", 1.7)])
def test_keys_in_order_within_others_fill_their_pages(store: Store, key: str, waste_max: float) -> None:
    """Ids that count up in the middle of a tree leave full leaves behind; unpadded ones, random ones two thirds."""
    count = 6000
    rand = random.Random(5)
    with store.write() as txn:
        tree = TreeView(txn, b"x", create=True)
        tree.put(b"a", b"")
        tree.put(b"z", b"")
        for number in range(count):
            tree.put((key % number).encode(), b"v" * 32)
        filled = sum(entry_bytes(len(key % number), 32) for number in range(count)) / PAGE_ROOM
        assert tree.statistics()["leaf_pages"] < filled * waste_max
        scattered = TreeView(txn, b"y", create=True)
        for _ in range(count):
            scattered.put(rand.randbytes(12), b"v" * 32)
        assert scattered.statistics()["leaf_pages"] < count * entry_bytes(12, 32) / PAGE_ROOM * 1.6


def test_overwrite_of_equal_size_moves_nothing(store: Store) -> None:
    """A value of the old one's size takes its place: no page comes or goes, neighbours keep their values."""
    with store.write() as txn:
        tree = TreeView(txn, b"x", create=True)
        for number in range(500):
            tree.put(b"%04d" % number, b"a" * 100)
        before = tree.statistics()
        for number in range(0, 500, 3):
            tree.put(b"%04d" % number, b"b" * 100)
        assert tree.statistics() == before
        assert all(value == (b"a" if int(key) % 3 else b"b") * 100 for key, value in tree.items())


@pytest.mark.parametrize("seed", range(2))
def test_a_value_that_was_found_is_replaced_where_it_is_now(store: Store, seed: int) -> None:
    """Between reading a value and putting another of its size, others come and go around it, and are undone: its leaf
    may be split, merged away or given to somebody else, and the value still goes to its key alone."""
    dice = random.Random(seed)
    with store.write() as txn:
        tree = txn.tree(b"t", create=True)
        model = {b"%06d" % number: b"%040d" % number for number in range(0, 60_000, 20)}
        for key, value in model.items():
            tree.put(key, value)
        for _ in range(50):
            key = dice.choice(sorted(model))
            assert tree.get(key) == model[key]
            number = int(key)
            around = [b"%06d" % other for other in range(number - 2500, number + 2500, 20) if other != number]
            undone = dice.random() < 0.3
            if undone:
                txn.savepoint()
            for other in around:
                if dice.random() < 0.9 and tree.delete(other) and not undone:
                    del model[other]
            for _ in range(dice.choice((0, 30))):
                other, value = b"%06d" % (number + dice.randrange(-2500, 2500)), b"new %036d" % dice.randrange(1000)
                if other != key:
                    tree.put(other, value)
                    if not undone:
                        model[other] = value
            if undone:
                txn.rollback()
            if dice.random() < 0.9:
                model[key] = b"now %036d" % dice.randrange(1000)
                tree.put(key, model[key])
        assert dict(tree.items()) == model
    with store.read() as txn:
        assert dict(txn.tree(b"t").items()) == model


@pytest.mark.parametrize(
    "sizes",
    [
        (10, 11),
        (10, 3000),
        (3000, 10),
        (INLINE_SIZE_MAX - 4, INLINE_SIZE_MAX - 3),
        (20_000, 10),
        (20_000, 30_000),
        (20_000, 20_000),
        (8128, 8129),
    ],
)
def test_a_value_may_change_its_size(store: Store, sizes: tuple[int, int]) -> None:
    """Growing, shrinking, becoming a run and ceasing to be one: value and neighbours are right, no page is lost."""
    keys = [b"%04d" % number for number in range(40)]
    with store.write() as txn:
        tree = TreeView(txn, b"x", create=True)
        for key in keys:
            tree.put(key, key * (sizes[0] // 4) + b"." * (sizes[0] % 4))
    with store.write() as txn:
        tree = TreeView(txn, b"x")
        for key in shuffled(keys, 3):
            tree.put(key, key[::-1] * (sizes[1] // 4) + b"." * (sizes[1] % 4))
    with store.read() as txn:
        tree = TreeView(txn, b"x")
        assert list(tree.items()) == [(key, key[::-1] * (sizes[1] // 4) + b"." * (sizes[1] % 4)) for key in keys]
        in_run = sizes[1] + 4 > INLINE_SIZE_MAX
        assert tree.statistics()["run_pages"] == (40 * -(-(sizes[1] + 64) // 8192) if in_run else 0)


def test_inline_limit_counts_key_and_value(store: Store) -> None:
    """4,000 bytes of key and value stay in the leaf, 4,001 do not."""
    with store.write() as txn:
        tree = TreeView(txn, b"x", create=True)
        tree.put(b"k" * 2000, b"v" * 2000)
        assert tree.statistics()["run_pages"] == 0
        tree.put(b"k" * 2001, b"v" * 2000)
        assert tree.statistics()["run_pages"] == 1
        assert tree.get(b"k" * 2001) == b"v" * 2000


def test_deep_trees(store: Store) -> None:
    """Keys near the limit make branches of few children: a tree of depth 5 grows, answers and shrinks to nothing."""
    rand = random.Random(7)
    prefix = b"p" * (KEY_SIZE_MAX - 60)
    model = {prefix + rand.randbytes(rand.randint(1, 60)): b"%d" % number for number in range(900)}
    with store.write() as txn:
        tree = TreeView(txn, b"x", create=True)
        for key, value in model.items():
            tree.put(key, value)
        assert tree.statistics()["depth"] >= 5
        assert list(tree.items()) == sorted(model.items())
    store.reopen()
    with store.write() as txn:
        tree = TreeView(txn, b"x")
        for number, key in enumerate(shuffled(model, 8)):
            assert tree.get(key) == model.pop(key)
            assert tree.delete(key)
            if number % 300 == 150:
                assert list(tree.items()) == sorted(model.items())
        assert tree.statistics()["depth"] == 1


@pytest.mark.parametrize("order", ["ascending", "descending", "inwards"])
def test_deleting_in_any_order_gives_all_pages_back(store: Store, order: str) -> None:
    """Whichever end the deletes come from, no leaf or branch stays behind."""
    numbers = list(range(4000))
    if order == "descending":
        numbers.reverse()
    elif order == "inwards":
        numbers = [number for pair in zip(numbers[:2000], numbers[:1999:-1], strict=True) for number in pair]
    with store.write() as txn:
        tree = TreeView(txn, b"x", create=True, integer=True)
        for number in range(4000):
            tree.put(number, b"v" * 60)
    with store.write() as txn:
        tree = TreeView(txn, b"x")
        for number in numbers:
            assert tree.delete(number)
        assert tree.statistics()["leaf_pages"] == 1


# Answers


def test_arguments_out_of_bounds_are_answers(store: Store) -> None:
    """A key or flag that cannot be is refused by name, changes nothing, and leaves the transaction usable."""
    with store.write() as txn:
        tree = TreeView(txn, b"x", create=True)
        integers = TreeView(txn, b"n", create=True, integer=True)
        tree.put(b"k", b"v")
        for key in (b"", b"k" * (KEY_SIZE_MAX + 1)):
            with pytest.raises(InvalidArgument):
                tree.put(key, b"")
        with pytest.raises(InvalidArgument):
            tree.put(b"k", b"other", insert=True)
        with pytest.raises(InvalidArgument):
            tree.put(b"k", b"other", append=True)
        with pytest.raises(OverflowError):
            integers.put(2**64, b"")
        assert not tree.delete(b"absent")
        assert tree.get(b"absent", b"default") == b"default"
        tree.put(b"l", b"w", insert=True, append=True)
        assert list(tree.items()) == [(b"k", b"v"), (b"l", b"w")]


def test_catalog_names_trees(store: Store) -> None:
    """More trees than a catalog page holds are found by name, keep their places, and give them back."""
    with store.write() as txn:
        for number in range(200):
            TreeView(txn, b"tree %d" % number, create=True).put(b"k", b"%d" % number)
        with pytest.raises(NotFound):
            TreeView(txn, b"tree 200")
        with pytest.raises(InvalidArgument):
            TreeView(txn, b"tree 7", create=True, integer=True)
        with pytest.raises(InvalidArgument):
            TreeView(txn, b"n" * 41, create=True)
    store.reopen()
    with store.write() as txn:
        ids = {number: TreeView(txn, b"tree %d" % number).id for number in range(200)}
        assert len(set(ids.values())) == 200
        for number in range(200):
            assert TreeView(txn, b"tree %d" % number).get(b"k") == b"%d" % number
        TreeView(txn, b"tree 50").drop()
        with pytest.raises(NotFound):
            TreeView(txn, b"tree 50")
        assert TreeView(txn, b"another", create=True).id == ids[50]


def test_drop_frees_every_page(store: Store) -> None:
    """A dropped tree of some depth, with runs, leaves no page behind: the check finds nothing leaked."""
    with store.write() as txn:
        tree = TreeView(txn, b"x", create=True)
        for number in range(3000):
            tree.put(b"%05d" % number, b"v" * (20_000 if number % 100 == 0 else 200))
    with store.write() as txn:
        TreeView(txn, b"x").drop()
    with store.read() as txn, pytest.raises(NotFound):
        TreeView(txn, b"x")


# Snapshots


def test_snapshots_do_not_move(store: Store) -> None:
    """Readers that began at different times each see their own tree while a writer splits, merges and replaces runs."""
    rand = random.Random(11)
    model: dict[bytes, bytes] = {}
    readers = []
    with store.write() as txn:
        TreeView(txn, b"model", create=True)
    for round_number in range(6):
        keys = [b"%04d" % number for number in range(600)]
        random_operations(store, model, rand, keys, 9000, 0.2 if round_number < 4 else 0.9, 500)
        readers.append((store.read(), sorted(model.items())))
        for reader, expected in readers:
            assert list(TreeView(reader, b"model").items()) == expected
    for reader, expected in readers:
        assert list(TreeView(reader, b"model").items(reverse=True)) == expected[::-1]
        reader.close()
        with suppress(Busy):  # a checkpoint waits for the readers that are left
            store.env.checkpoint(reader_wait_ms=1)


def test_abort_leaves_nothing(store: Store) -> None:
    """After an aborted transaction the tree is what it was, to the byte, and the next one builds on that."""
    with store.write() as txn:
        tree = TreeView(txn, b"x", create=True)
        for number in range(1000):
            tree.put(b"%04d" % number, b"v" * 50)
        before = tree.statistics()
    with store.write(abort=True) as txn:
        tree = TreeView(txn, b"x")
        for number in range(2000):
            tree.put(b"%05d" % number, b"w" * 5000)
        TreeView(txn, b"y", create=True)
    with store.write() as txn:
        assert TreeView(txn, b"x").statistics() == before
        with pytest.raises(NotFound):
            TreeView(txn, b"y")
        TreeView(txn, b"x").put(b"0500", b"new")
    with store.read() as txn:
        assert TreeView(txn, b"x").get(b"0500") == b"new"


# Damage

LEAF_DAMAGE = {
    "number": (8, (77).to_bytes(8, "little")),
    "type": (28, b"\x03"),
    "level": (29, b"\x07"),
    "tree": (30, b"\xff\x00"),
    "count": (32, b"\xff\x0f"),
    "lower": (34, b"\xff\x7f"),
    "upper": (36, b"\xff\xff"),
    "slot": (64, b"\xff\xff" * 60),
    "slot before upper": (64, b"\x08\x00" * 60),
    "slot near the end": (64, b"\xf8\x1f" * 60),
    "key size": (8192 - 112 * 60, b"\xff\xff" * 3360),
}


@pytest.mark.parametrize("damage", list(LEAF_DAMAGE))
def test_damaged_leaf_is_named(store: Store, damage: str) -> None:
    """A leaf whose header, slots or sizes lie answers every access with an error that names page and tree."""
    with store.write() as txn:
        tree = TreeView(txn, b"hurt", create=True)
        for number in range(60):
            tree.put(b"%06d" % number, b"v" * 96)
        root = tree.statistics()["root"]
    named = rf"page {root}, tree \d+ 'hurt'"
    with store.damaged(root, *LEAF_DAMAGE[damage]) as txn, pytest.raises(CorruptError, match=named):
        for number in range(60):
            TreeView(txn, b"hurt").get(b"%06d" % number)
    with store.damaged(root, *LEAF_DAMAGE[damage]) as txn, pytest.raises(CorruptError, match=named):
        list(TreeView(txn, b"hurt").items())
    with store.damaged(root, *LEAF_DAMAGE[damage]) as txn, pytest.raises(CorruptError, match=named):
        for number in range(60):
            TreeView(txn, b"hurt").delete(b"%06d" % number)


@pytest.mark.parametrize("seed", range(3))
def test_random_damage_never_crashes(store: Store, seed: int) -> None:
    """Random bytes over any page of a tree give some answer or an error; no crash, no walk without end."""
    rand = random.Random(seed)
    with store.write() as txn:
        tree = TreeView(txn, b"hurt", create=True)
        for number in range(1500):
            tree.put(b"%06d" % number, b"v" * (9000 if number % 200 == 0 else 60))
        pages = [page for page in tree_pages(txn, tree.statistics()["root"]) if page != 0]
    for _ in range(40):
        offset = rand.choice([rand.randrange(8, 64), rand.randrange(64, 8192 - 8)])
        with store.damaged(rand.choice(pages), offset, rand.randbytes(rand.choice([1, 2, 8]))) as txn:
            exercise(TreeView(txn, b"hurt"), rand)


def tree_pages(txn: WriteTxn, root: int) -> list[int]:
    """The root, a branch, and its children."""
    page = txn.page(root)
    count, slots = int.from_bytes(page[32:34], "little"), page[64:]
    offsets = [int.from_bytes(slots[2 * index : 2 * index + 2], "little") for index in range(count)]
    return [root, *(int.from_bytes(page[offset : offset + 8], "little") for offset in offsets)]


def exercise(tree: TreeView, rand: random.Random) -> None:
    """Read, walk and change the tree; damage may surface as CorruptError, or as a refusal of the damaged page."""
    for number in range(0, 1500, 7):
        with suppress(CorruptError):
            tree.get(b"%06d" % number)
    with suppress(CorruptError):
        assert sum(1 for _ in tree.items()) <= 65536
    with suppress(CorruptError, InvalidArgument, InvariantError):
        for number in rand.sample(range(1500), 300):
            tree.put(b"%06d" % number, b"w" * rand.choice([60, 61, 5000]))
            tree.delete(b"%06d" % rand.randrange(1500))

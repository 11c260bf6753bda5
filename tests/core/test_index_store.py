"""Index storage against a dictionary: random documents, every kind of question, deletions, a second opening, a kill."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pynori_core.check import check
from pynori_core.check_index import check_index, dump_terms, is_index
from pynori_core.env import Env
from pynori_core.errors import Busy, Closed, CorruptError
from pynori_core.index_store import IndexSnapshot, IndexStore
from pynori_core.matches import Matches, Ordered

from tests.core.index_model import Entry, IndexModel, Scalar, order_key

WORDS = ["", "a", "A", "ab", "Ab", "abc", "b", "ÄPFEL", "äpfel", "zoë", "x\0y", "x\1", "x", "日本", "Straße", "q" * 600]
NUMBERS: list[Scalar] = [0, -0.0, 1, 1.0, -1, 0.5, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 1e300, -1e300, 7, 8, 9]


def random_value(rng: random.Random) -> Scalar:
    kind = rng.randrange(8)
    if kind == 0:
        return None
    if kind == 1:
        return rng.random() < 0.5
    if kind < 5:
        return rng.choice(NUMBERS)
    return rng.choice(WORDS)


def random_entry(rng: random.Random, fields: list[int]) -> Entry:
    return {
        field: [random_value(rng) for _ in range(rng.choice([0, 1, 1, 1, 1, 3]))]
        for field in fields
        if rng.random() < 0.8
    }


def as_input(rng: random.Random, entry: Entry) -> dict[int, object]:
    """One value alone as often as in a list."""
    return {field: values[0] if len(values) == 1 and rng.random() < 0.5 else values for field, values in entry.items()}


def compare(rng: random.Random, model: IndexModel, snapshot: IndexSnapshot, fields: list[int]) -> None:
    """Ask both everything."""
    model.number(lambda document: list(snapshot.documents_in([document])))
    everyone = sorted(model.entries)
    assert list(snapshot.all()) == everyone
    assert (snapshot.entry_count, snapshot.document_count) == (len(everyone), len(model.documents))
    assert snapshot.documents(snapshot.all()) == [model.entries[entry][0] for entry in everyone]
    assert snapshot.stored(snapshot.all()) == [model.entries[entry][2] for entry in everyone]
    some = Matches.of(rng.sample(everyone, len(everyone) // 3))
    for field in fields:
        assert list(snapshot.exists(field)) == [entry for entry in everyone if model.terms(entry, field)]
        assert list(snapshot.exists(field, within=some)) == [entry for entry in some if model.terms(entry, field)]
        terms = snapshot.terms(field)
        assert [(order_key(value), count) for value, count in terms if not is_cut(value)] == [
            (term, count) for term, count in model.term_counts(field) if not (term[0] == 5 and len(term[1]) > 512)
        ]
        for value in (random_value(rng) for _ in range(8)):
            expected = model.equal(field, value)
            assert list(snapshot.equal(field, value)) == expected
            assert list(snapshot.equal(field, value, within=some)) == [entry for entry in expected if entry in some]
            assert snapshot.count_of(field, value) == len(expected)
        compare_ranges(rng, model, snapshot, field, some)
        compare_texts(rng, model, snapshot, field, some)
    compare_order(rng, model, snapshot, fields, some)


def is_cut(value: Scalar) -> bool:
    return isinstance(value, str) and len(value.encode()) >= 512


def checked(path: Path) -> None:
    """Every invariant of trees and of the index holds in the closed environment."""
    assert check(path) == []
    with Env.open(path, read_only=True) as env, env.read() as txn:
        assert is_index(txn)
        assert check_index(txn) == []


def compare_ranges(rng: random.Random, model: IndexModel, snapshot: IndexSnapshot, field: int, some: Matches) -> None:
    for choices in (NUMBERS, [word for word in WORDS if len(word) < 100]):
        for _ in range(4):
            low = rng.choice([None, rng.choice(choices)])
            high = rng.choice(choices) if low is None or rng.random() < 0.7 else None
            options = {"include_low": rng.random() < 0.5, "include_high": rng.random() < 0.5}
            expected = model.range(field, low, high, **options)
            assert list(snapshot.range(field, low, high, **options)) == expected, (low, high, options)
            assert list(snapshot.range(field, low, high, within=some, **options)) == [
                entry for entry in expected if entry in some
            ]
    values = [random_value(rng) for _ in range(5)]
    expected = sorted({entry for value in values for entry in model.equal(field, value)})
    assert list(snapshot.in_(field, values)) == expected
    assert list(snapshot.in_(field, values, within=some)) == [entry for entry in expected if entry in some]


def compare_texts(rng: random.Random, model: IndexModel, snapshot: IndexSnapshot, field: int, some: Matches) -> None:
    for kind in ("prefix", "suffix", "contains", "wildcard"):
        text = rng.choice(["a", "A", "b", "Ä", "el", "x", "q", ""])
        if kind == "wildcard":
            text = rng.choice(["a*", "*b", "?b*", "*", "x?y", "ÄP*"])
        if kind == "suffix" and text == "q":
            continue  # of a text that was cut only the beginning is known
        expected = model.text(field, kind, text)
        assert list(getattr(snapshot, kind)(field, text)) == expected, (kind, text)
        assert list(getattr(snapshot, kind)(field, text, within=some)) == [entry for entry in expected if entry in some]
    expected = model.where(field, lambda value: isinstance(value, str) and len(value) == 2)
    assert list(snapshot.terms_matching(field, lambda text: len(text) == 2)) == expected


def compare_order(
    rng: random.Random, model: IndexModel, snapshot: IndexSnapshot, fields: list[int], some: Matches
) -> None:
    everyone = sorted(model.entries)
    for _ in range(6):
        keys = [(rng.choice(fields), rng.random() < 0.5) for _ in range(rng.choice([1, 1, 2, 3]))]
        for within, ids in ((None, everyone), (some, list(some))):
            expected = model.sort(ids, keys)
            skip, limit = rng.choice([0, 0, 3, 50]), rng.choice([1, 5, 20, 10_000])
            assert list(snapshot.sort(within, keys, skip=skip, limit=limit)) == expected[skip : skip + limit]
            if len(keys) == 1:
                found = snapshot.ordered(keys[0][0], descending=keys[0][1], within=within, skip=skip, limit=limit)
                assert list(found) == expected[skip : skip + limit]
        field = rng.choice(fields)
        counts = {order_key(value): count for value, count in snapshot.term_counts(field, some)}
        expected_counts: dict[object, int] = {}
        for entry in some:
            for term in model.terms(entry, field):
                expected_counts[term] = expected_counts.get(term, 0) + 1
        assert {term: count for term, count in counts.items() if len(str(term)) < 500} == {
            term: count for term, count in expected_counts.items() if len(str(term)) < 500
        }


@pytest.mark.parametrize("seed", range(6))
def test_answers_as_a_dictionary_does(seed: int, tmp_path: Path) -> None:
    """After random puts, updates and deletions in several commits every question has the dictionary's answer."""
    rng = random.Random(seed)
    path = tmp_path / "index"
    store = IndexStore.create(path)
    with store.write() as writer:
        fields = [writer.field("one"), writer.field("Two", exact=True), writer.field("three")]
    model = IndexModel(exact={fields[1]})
    for step in range(6):
        with store.write() as writer:
            for _ in range(rng.choice([3, 60, 150])):
                document = f"{rng.choice(['users', 'Users', 'ORDERS'])}/{rng.randrange(120)}"
                if rng.random() < 0.15:
                    assert writer.delete(document) == (document.lower() in model.documents)
                    model.put(document, [], [])
                    continue
                entries = [random_entry(rng, fields) for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 5]))]
                stored = [rng.choice([None, b"", b"stored"]) for _ in entries]
                writer.put(document, [as_input(rng, entry) for entry in entries], stored)
                model.put(document, entries, stored)
        if step % 2:
            store.close()
            checked(path)
            store = IndexStore.open(path)
        with store.read() as snapshot:
            compare(rng, model, snapshot, fields)
    with store.write() as writer:
        for document in list(model.documents):
            assert writer.delete(document)
    with store.read() as snapshot:
        assert len(snapshot.all()) == 0
        assert all(snapshot.terms(field) == [] and len(snapshot.exists(field)) == 0 for field in fields)
    store.close()
    checked(path)


@pytest.mark.parametrize("seed", range(3))
def test_long_posting_lists(seed: int, tmp_path: Path) -> None:
    """Terms of thousands of entries, dense and sparse, stay right while entries come and go everywhere in them."""
    rng = random.Random(seed)
    store = IndexStore.create(tmp_path / "index")
    with store.write() as writer:
        dense, sparse = writer.field("dense"), writer.field("sparse")
    values: dict[str, tuple[bool, int]] = {}
    for _ in range(5):
        with store.write() as writer:
            for _ in range(6000):
                document = f"d/{rng.randrange(9000)}"
                values[document] = (rng.random() < 0.7, rng.randrange(4) if rng.random() < 0.1 else 5)
                writer.put(document, [{dense: values[document][0], sparse: values[document][1]}])
            for document in rng.sample(sorted(values), 300):
                writer.delete(document)
                del values[document]
        with store.read() as snapshot:
            entries = snapshot.all()
            owners = snapshot.documents(entries)
            assert sorted(owners) == sorted(values)
            numbered = list(zip(entries, owners, strict=True))
            for flag in (True, False):
                expected = [entry for entry, owner in numbered if values[owner][0] is flag]
                assert list(snapshot.equal(dense, flag)) == expected
                assert snapshot.count_of(dense, flag) == len(expected)
            for number in range(6):
                expected = [entry for entry, owner in numbered if values[owner][1] == number]
                assert list(snapshot.equal(sparse, number)) == expected
            number_of = {entry: values[owner][1] for entry, owner in numbered}
            ranked = sorted(snapshot.equal(dense, True), key=lambda entry: (-number_of[entry], entry))
            first = snapshot.ordered(sparse, within=snapshot.equal(dense, True), limit=7, descending=True)
            assert list(first) == ranked[:7]
            everything = sorted(number_of, key=lambda entry: (-number_of[entry], entry))
            assert list(snapshot.ordered(sparse, limit=3000, skip=50, descending=True)) == everything[50:3050]
    store.close()
    checked(tmp_path / "index")


def test_entries_keep_their_ids() -> None:
    """A document that is put again keeps the ids of its entries; more entries get new ids, fewer give theirs up."""
    with IndexStore.create(None) as store, store.write() as writer:
        field = writer.field("a")
        writer.put("x", [{field: 1}, {field: 2}])
        writer.put("y", [{field: 3}])
        assert writer.entries_of("X") == [1, 2]
        writer.put("x", [{field: 9}])
        assert writer.entries_of("x") == [1]
        writer.put("x", [{field: 9}, {field: 8}])
        assert writer.entries_of("x") == [1, 4]
        writer.put("y", [])
        assert writer.entries_of("y") == []


def test_unchanged_documents_write_nothing(tmp_path: Path) -> None:
    """Putting the same again changes no page but that of the state."""
    with IndexStore.create(tmp_path / "index") as store:
        with store.write() as writer:
            field = writer.field("a")
            for number in range(3000):
                writer.put(f"d/{number}", [{field: number}])
        before = store.statistics()
        with store.write() as writer:
            for number in range(3000):
                writer.put(f"d/{number}", [{field: number}])
        after = store.statistics()
        changed = after["pages_diff"] + after["pages_whole"] - before["pages_diff"] - before["pages_whole"]
        assert changed <= 2


def test_abort_and_failed_puts() -> None:
    """An aborted writer leaves nothing; a value that cannot be indexed leaves the writer as it was before the put."""
    with IndexStore.create(None) as store:
        with store.write() as writer:
            field = writer.field("a")
        with pytest.raises(RuntimeError, match="undo"), store.write() as writer:
            writer.put("x", [{field: 1}])
            raise RuntimeError("undo")
        with store.write() as writer:
            writer.put("y", [{field: 1}])
            with pytest.raises(TypeError):
                writer.put("x", [{field: 2}, {field: object()}])
            with pytest.raises(ValueError, match="no field"):
                writer.put("x", [{field + 1: 2}])
            with pytest.raises(ValueError, match="document id"):
                writer.put("", [{field: 2}])
        with pytest.raises(Closed):
            writer.put("x", [{field: 2}])
        with store.read() as snapshot:
            assert snapshot.documents(snapshot.all()) == ["y"]
            with pytest.raises(ValueError, match="no field"):
                snapshot.equal(7, 1)
            with pytest.raises(ValueError, match="one kind"):
                snapshot.range(field, 1, "a")
        with pytest.raises(Closed):
            snapshot.all()


def test_meta_and_fields(tmp_path: Path) -> None:
    """Meta values and fields are there after a second opening; a field does not change its options."""
    path = tmp_path / "index"
    with IndexStore.create(path) as store, store.write() as writer:
        numbers = [writer.field(f"field{number}", exact=number % 2 == 1) for number in range(50)]
        assert numbers == list(range(1, 51))
        assert writer.field("field3", exact=True) == 4
        with pytest.raises(ValueError, match="other options"):
            writer.field("field3")
        writer.set_meta("definition", b"d" * 100_000)
        writer.set_meta("gone", b"x")
        writer.set_meta("gone", None)
    with IndexStore.open(path) as store, store.read() as snapshot:
        assert snapshot.meta("definition") == b"d" * 100_000
        assert snapshot.meta("gone") is None
        field = snapshot.field("field7")
        assert field is not None
        assert (field.number, field.exact, field.text) == (8, True, False)
        assert len(snapshot.fields()) == 50
        with pytest.raises(Busy):
            store.close()


def test_what_is_no_index_is_refused(tmp_path: Path) -> None:
    """An environment of something else is damage, not an empty index."""
    Env.create(tmp_path / "other").close()
    with pytest.raises(CorruptError, match="X1"):
        IndexStore.open(tmp_path / "other")


KILLED = """
import sys
from pynori_core.index_store import IndexStore
store = IndexStore.create(sys.argv[1])
with store.write() as writer:
    field = writer.field("a")
number = 0
while True:
    with store.write() as writer:
        for _ in range(50):
            writer.put(f"d/{number}", [{field: number % 13}])
            number += 1
    print(number, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    """After SIGKILL the index holds a whole number of commits, at least those that were acknowledged, and agrees."""
    path = tmp_path / "index"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    acknowledged = 0
    while acknowledged < 1000:
        acknowledged = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with IndexStore.open(path) as store, store.read() as snapshot:
        count = snapshot.document_count
        assert count >= acknowledged
        assert count % 50 == 0
        field = snapshot.fields()[0].number
        assert sum(entries for _, entries in snapshot.terms(field)) == count
        for value in range(13):
            found = snapshot.documents(snapshot.equal(field, value))
            assert found == [f"d/{number}" for number in range(value, count, 13)]


def test_sets_of_ids() -> None:
    """Set arithmetic on Matches is that of Python's sets, for dense and sparse sets of all sizes."""
    rng = random.Random(1)
    for _ in range(200):
        span = rng.choice([10, 1000, 10**6, 2**62])
        left = {rng.randrange(span) for _ in range(rng.choice([0, 1, 5, 100, 3000]))}
        right = {rng.randrange(span) for _ in range(rng.choice([0, 1, 5, 100, 3000]))}
        a, b = Matches.of(left), Matches.of(list(right) * 2)
        assert list(a & b) == sorted(left & right)
        assert list(a | b) == sorted(left | right)
        assert list(a - b) == sorted(left - right)
        assert a.count_common(b) == len(left & right)
        assert list(Matches.union_all([a, b, a])) == sorted(left | right)
        assert list(Matches.intersect_all([a, b])) == sorted(left & right)
        assert list(a[2:5]) == sorted(left)[2:5]
        assert list(memoryview(a)) == sorted(left)
        assert all((probe in a) == (probe in left) for probe in rng.sample(range(span), 3))
    assert list(Ordered.of([3, 1, 2])[1:]) == [1, 2]
    assert Ordered.of([3, 1]).matches() == Matches.of([1, 3])


def test_check_names_what_is_wrong(tmp_path: Path) -> None:
    """A term without its posting, a posting too much, a wrong count, a document that leads elsewhere: each is found."""
    path = tmp_path / "index"
    with IndexStore.create(path) as store, store.write() as writer:
        field = writer.field("a")
        for number in range(100):
            writer.put(f"d/{number}", [{field: number % 3}])
    with Env.open(path) as env:
        for invariant, change in BREACHES.items():
            txn = env.write()
            change(txn)
            findings = check_index(txn)
            assert any(f"{invariant} violated" in finding for finding in findings), (invariant, findings)
            txn.abort()
        with env.read() as txn:
            assert check_index(txn) == []
    assert list(dump_terms(str(path), "a")) == ["        34  0", "        33  1", "        33  2"]


def drop_last(txn: Any, tree: bytes) -> None:
    view = txn.tree(tree)
    view.delete(max(key for key, _ in view.items()))


def put_last(txn: Any, tree: bytes, value: bytes) -> None:
    view = txn.tree(tree)
    view.put(max(key for key, _ in view.items()), value)


BREACHES = {
    "X7": lambda txn: drop_last(txn, b"terms"),
    "X6": lambda txn: put_last(txn, b"terms", b"\x07"),
    "X3": lambda txn: put_last(txn, b"entries", b"\x01d\x05"),
    "X4": lambda txn: put_last(txn, b"documents", b"\x63"),
    "X5": lambda txn: drop_last(txn, b"documents"),
    "X8": lambda txn: txn.tree(b"meta").put(b"f\x00\x01", bytes(8) + b"\x63" + bytes(15) + b"a"),
    "X9": lambda txn: txn.tree(b"meta").put(b"f\x00\x01", bytes(8) + b"\x64" + bytes(7) + b"\x01" + bytes(7) + b"a"),
    "X2": lambda txn: txn.tree(b"meta").delete(b"f\x00\x01"),
}

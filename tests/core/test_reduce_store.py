"""Map-reduce state: groups have the sums of their rows whatever comes and goes, and only changed chunks are reduced."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pynori_core.check_index import check_index
from pynori_core.command import Batch
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.env import Env
from pynori_core.index_store import IndexStore
from pynori_core.items import DocumentStore
from pynori_core.reduce_store import ReduceStore
from pynori_core.reduce_sums import GroupPaths, SumReduce

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)

Jobs = list[tuple[bytes, list[bytes]]]


class Adder:
    """A reduce function over rows of JSON numbers; counts what it was given."""

    def __init__(self) -> None:
        self.rows = 0
        self.broken: set[bytes] = set()

    def __call__(self, jobs: Jobs) -> list[bytes | BaseException]:
        self.rows += sum(len(rows) for _, rows in jobs)
        return [
            ValueError(f"no sum of {key.decode()}")
            if key in self.broken
            else json.dumps(sum(map(json.loads, rows))).encode()
            for key, rows in jobs
        ]


def change(
    rng: random.Random, reduced: ReduceStore, documents: dict[str, list[tuple[bytes, int]]], keys: list[bytes],
    pack: Callable[[int], bytes],
) -> None:  # fmt: skip
    """Some documents come, change and go."""
    for _ in range(rng.choice([1, 40, 900])):
        document = f"d/{rng.randrange(1500)}"
        if rng.random() < 0.2:
            assert reduced.delete(document) == bool(documents.pop(document, []))
            continue
        rows = [(rng.choice(keys), rng.randrange(100)) for _ in range(rng.choice([0, 1, 1, 2, 4]))]
        changed = reduced.put(document.upper(), [(key, pack(value)) for key, value in rows])
        if not changed:
            assert sorted(rows) == sorted(documents.get(document, []))
        documents[document] = rows


def sums_of(documents: dict[str, list[tuple[bytes, int]]]) -> dict[bytes, int]:
    sums: dict[bytes, int] = {}
    for rows in documents.values():
        for key, value in rows:
            sums[key] = sums.get(key, 0) + value
    return sums


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_groups_are_the_sums_of_their_rows(seed: int, native: bool, tmp_path: Path) -> None:
    """Random changes over several commits, groups of one row and of thousands: each result is that of all its rows."""
    rng = random.Random(seed)
    keys = [b"huge"] * 30 + [f"key {number}".encode() for number in range(20)] + [b"long" * 5000]
    adder, native_sum = Adder(), SumReduce(1)
    documents: dict[str, list[tuple[bytes, int]]] = {}
    results: dict[bytes, int] = {}
    with IndexStore.create(tmp_path / "index") as store:
        for _ in range(8):
            with store.write() as writer:
                reduced = ReduceStore(writer)
                pack = (lambda value: native_sum.pack(1, [value])) if native else (lambda value: b"%d" % value)
                change(rng, reduced, documents, keys, pack)
                for group in reduced.reduce(native_sum if native else adder):
                    assert group.error is None
                    if group.result is None:
                        results.pop(group.key, None)
                    elif native:
                        results[group.key] = native_sum.unpack(group.result)[1][0]  # type: ignore[assignment]
                    else:
                        results[group.key] = json.loads(group.result)
                assert list(reduced.reduce(adder)) == []
                assert reduced.row_count == sum(map(len, documents.values()))
                assert reduced.group_count == len(results)
            assert results == sums_of(documents)
    with Env.open(tmp_path / "index", read_only=True) as env, env.read() as txn:
        assert check_index(txn) == []


def test_a_change_reduces_its_chunk_and_the_path_above() -> None:
    """In a group of 70,000 rows one changed row costs some hundreds of rows, not all of them."""
    adder = Adder()
    with IndexStore.create(None) as store:
        with store.write() as writer:
            reduced = ReduceStore(writer)
            for number in range(700):
                reduced.put(f"d/{number}", [(b"k", b"1")] * 100)
            (group,) = reduced.reduce(adder)
            assert group.result == b"70000"
        adder.rows = 0
        with store.write() as writer:
            reduced = ReduceStore(writer)
            reduced.put("d/350", [(b"k", b"1")] * 50 + [(b"k", b"2")] * 50)
            (group,) = reduced.reduce(adder)
            assert group.result == b"70050"
            assert adder.rows <= 2 * 256 + 256 + 2
            reduced.delete("d/350")
            assert [group.result for group in reduced.reduce(adder)] == [b"69900"]


def test_a_group_that_failed_is_reduced_as_a_whole_later() -> None:
    """A failing function leaves the group without result and with the message; its next change repairs all of it."""
    adder = Adder()
    with IndexStore.create(None) as store:
        with store.write() as writer:
            reduced = ReduceStore(writer)
            for number in range(1000):
                reduced.put(f"d/{number}", [(b"k" if number % 2 else b"ok", b"1")])
            adder.broken = {b"k"}
            found = {group.key: (group.result, group.error) for group in reduced.reduce(adder)}
            assert found == {b"k": (None, "no sum of k"), b"ok": (b"500", None)}
        adder.broken = set()
        with store.write() as writer:
            reduced = ReduceStore(writer)
            reduced.put("d/1", [(b"k", b"5")])
            assert [(group.result, group.error) for group in reduced.reduce(adder)] == [(b"504", None)]
            assert reduced.rows(b"k").count(b"5") == 1


def test_sums_of_integers_stay_integers() -> None:
    """Integers add exactly, beyond 64 bits as doubles; nothing stays nothing; a row of other bytes is refused."""
    add = SumReduce(3)
    with IndexStore.create(None) as store, store.write() as writer:
        reduced = ReduceStore(writer)
        reduced.put("a", [(b"k", add.pack(1, [2**62, None, 0.5]))])
        reduced.put("b", [(b"k", add.pack(2, [2**62 - 1, None, 1]))])
        (group,) = reduced.reduce(add)
        assert group.result is not None
        assert add.unpack(group.result) == (3, [2**63 - 1, None, 1.5])
        reduced.put("c", [(b"k", add.pack(1, [1, None, None]))])
        (group,) = reduced.reduce(add)
        assert group.result is not None
        assert add.unpack(group.result) == (4, [2.0**63, None, 1.5])
        reduced.put("d", [(b"k", b"other")])
        with pytest.raises(ValueError, match="no row of sums"):
            list(reduced.reduce(add))
        writer.abort()


def test_native_map() -> None:
    """Documents fed by paths give the groups and sums that their values say; items of an array give a row each."""
    documents = DocumentStore.create("", bytes(16), "A", in_memory=True)
    document_writer = DocumentWriter(documents)

    def write(id: str, document: Any) -> None:
        batch = Batch()
        if document is None:
            batch.delete(id)
        else:
            batch.put(id, json.dumps({**document, "@metadata": {"@collection": "Orders"}}).encode())
        document_writer.execute(batch)

    def totals(store: IndexStore, program: GroupPaths, since: int) -> dict[str, Any]:
        snapshot = DocumentSnapshot(documents)
        with store.write() as writer:
            reduced = ReduceStore(writer)
            fed = reduced.feed(snapshot, "orders", since, program)
            gone = reduced.feed_tombstones(snapshot, "orders", since)
            assert not fed.more
            found = {
                group.key.decode(): program.reduce.unpack(group.result) if group.result else None
                for group in reduced.reduce(program.reduce)
            }
        snapshot.close()
        assert gone.documents in (0, 1)
        return found

    lines = [{"p": "x", "q": 2}, {"p": "y", "q": 1.5}, {"p": "x"}]
    write("o/1", {"city": "Oslo", "total": 5, "lines": lines, "tags": ["a", "b"]})
    write("o/2", {"city": "Oslo", "total": 7, "lines": [{"p": "y", "q": 4}], "tags": ["a", "b"]})
    write("o/3", {"total": "no number", "lines": []})
    by_city, by_line = GroupPaths(["city"], ["total"]), GroupPaths(["lines[].p"], ["lines[].q", "total"])
    by_tags = GroupPaths(["tags[]", "city"], [], as_array=["tags[]"])
    with IndexStore.create(None) as first, IndexStore.create(None) as second, IndexStore.create(None) as third:
        assert totals(first, by_city, 0) == {'["Oslo"]': (2, [12]), "[null]": (1, [None])}
        assert totals(second, by_line, 0) == {'["x"]': (2, [2, 10]), '["y"]': (2, [5.5, 12])}
        assert totals(third, by_tags, 0) == {'[["a","b"],"Oslo"]': (2, []), "[[null],null]": (1, [])}
        write("o/2", None)
        write("o/3", {"city": "Rome", "total": 1, "lines": [{"p": "x", "q": 1}]})
        assert totals(first, by_city, 3) == {'["Oslo"]': (1, [5]), "[null]": None, '["Rome"]': (1, [1])}
        assert totals(second, by_line, 3) == {'["x"]': (3, [3, 11]), '["y"]': (1, [1.5, 5])}
    document_writer.close()
    documents.close()

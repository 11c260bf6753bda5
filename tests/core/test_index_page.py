"""Pages of entries and their documents: one native call gives what the calls behind it give one by one."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from pynori_core.command import Batch
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.errors import Closed
from pynori_core.index_page import CONDITIONS_MAX, page_of
from pynori_core.index_results import write_documents
from pynori_core.index_store import IndexSnapshot, IndexStore
from pynori_core.items import DocumentStore
from pynori_core.matches import Matches, Ordered

ENTRIES = 3_000  # more than are looked at with the interpreter's lock held


def filled(dice: random.Random) -> tuple[IndexStore, dict[str, int]]:
    store = IndexStore.create(None)
    with store.write() as writer:
        fields = {name: writer.field(name) for name in ("town", "price", "several", "rare")}
        for number in range(ENTRIES):
            entry: dict[int, Any] = {fields["town"]: dice.choice(["Ulm", "ulm", "Bonn", None])}
            if dice.random() < 0.9:
                entry[fields["price"]] = dice.choice([dice.randrange(100), dice.random() * 100, "dear"])
            if dice.random() < 0.5:
                entry[fields["several"]] = [dice.randrange(20) for _ in range(dice.randrange(3))]
            if number % 500 == 0:
                entry[fields["rare"]] = number
            writer.put(f"goods/{number}", [entry])
    return store, fields


def one_by_one(
    snapshot: IndexSnapshot, conditions: list[Any], keys: list[tuple[int, bool]], skip: int, limit: int
) -> tuple[int, list[int]]:
    found: Matches | None = None
    for each in conditions:
        if len(each) == 2:
            matched = snapshot.equal(*each)
        else:
            field, low, high, with_low, with_high = each
            matched = snapshot.range(field, low, high, include_low=with_low, include_high=with_high)
        found = matched if found is None else found.intersect(matched)
    assert found is not None
    ids = snapshot.sort(found, keys, skip=skip, limit=limit) if keys else found[skip : skip + limit]
    return len(found), list(ids)


@pytest.mark.parametrize("seed", range(3))
def test_a_page_is_what_its_parts_give(seed: int) -> None:
    """Random conditions, orders and pages, often enough that columns come into memory."""
    dice = random.Random(seed)
    store, fields = filled(dice)
    with store, store.read() as snapshot:
        for _ in range(300):
            conditions: list[Any] = []
            for _ in range(dice.randrange(1, 4)):
                kind = dice.randrange(4)
                low = dice.randrange(100)
                field = fields[dice.choice(["price", "several", "rare"])]
                if kind == 0:
                    conditions.append((fields["town"], dice.choice(["ULM", "Bonn", "Köln", None])))
                elif kind == 1:
                    conditions.append((field, low))
                elif kind == 2:
                    conditions.append((field, low, None, dice.random() < 0.5, True))
                else:
                    conditions.append((field, low, low + dice.randrange(40), dice.random() < 0.5, dice.random() < 0.5))
            keys = [(fields[name], dice.random() < 0.5) for name in dice.sample(sorted(fields), dice.randrange(3))]
            skip, limit = dice.choice([0, 0, 3, 5_000]), dice.choice([0, 1, 10, 2**64 - 1])
            total, ids = page_of(snapshot, conditions, keys, skip, limit)
            assert (total, list(ids)) == one_by_one(snapshot, conditions, keys, skip, min(limit, 2**31))


def test_what_is_no_page() -> None:
    """Too many conditions or none, bounds of two kinds, a field that is not there, a snapshot that is closed."""
    store, fields = filled(random.Random(9))
    with store:
        snapshot = store.read()
        town = fields["town"]
        for conditions in ([], [(town, 1)] * (CONDITIONS_MAX + 1), [(town, 1, "a", True, True)], [(99, 1)]):
            with pytest.raises(ValueError, match=r"conditions|kind|no field"):
                page_of(snapshot, conditions, [], 0, 1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no field"):
            page_of(snapshot, [(town, 1)], [(99, False)], 0, 1)
        snapshot.close()
        with pytest.raises(Closed):
            page_of(snapshot, [(town, 1)], [], 0, 1)


def test_documents_of_entries() -> None:
    """Each document between the two texts, in the order of the entries, some at a time; those that are gone counted."""
    documents = DocumentStore.create("", bytes(range(16)), "A", in_memory=True)
    writer = DocumentWriter(documents)
    batch = Batch()
    for number in range(200):
        if number % 7:
            batch.put(f"Goods/{number}", json.dumps({"Number": number, "@metadata": {"@collection": "Goods"}}).encode())
    writer.execute(batch)
    with IndexStore.create(None) as store:
        with store.write() as made:
            for number in range(200):
                made.put(f"Goods/{number}", [{}])
        with store.read() as index:
            snapshot = DocumentSnapshot(documents)
            ids = Ordered.of(list(reversed(list(index.all()))))
            text, start, missing, steps = b"", 0, 0, 0
            while start < len(ids):
                part, start, gone = write_documents(index, snapshot, ids, start, 1_000, b"<", b">")
                text, missing, steps = text + part, missing + gone, steps + 1
            found = [json.loads(each) for each in text.decode()[1:-1].split("><")]
            wanted = [number for number in reversed(range(200)) if number % 7]
            assert [each["Number"] for each in found] == wanted and missing == 200 - len(wanted) and steps > 10
            assert found[0]["@metadata"]["@id"] == "Goods/199"
            whole = write_documents(index, snapshot, ids, 0, 2**30, b"<", b">")
            assert whole == (text, 200, missing)
            assert write_documents(index, snapshot, ids, 200, 1_000, b"<", b">") == (b"", 200, 0)
            with pytest.raises(IndexError):
                write_documents(index, snapshot, Ordered.of([10_000]), 0, 1_000, b"", b"")
            snapshot.close()
            with pytest.raises(Closed):
                write_documents(index, snapshot, ids, 0, 1_000, b"", b"")
    writer.close()
    documents.close()

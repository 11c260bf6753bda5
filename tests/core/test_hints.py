"""Hints: a read by id that knows where it found the row last time gives what a read without hints gives, always."""

import random
from pathlib import Path

import pytest
from pynori_core.command import Batch
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.items import DocumentStore
from pynori_core.reads import DocumentReader

DATABASE_ID = bytes(range(16))


def write(writer: DocumentWriter, changes: dict[str, int | None], size: int = 0) -> None:
    batch = Batch()
    for id, number in changes.items():
        if number is None:
            batch.delete(id)
        else:
            batch.put(id, b'{"n":%d,"text":"%s"}' % (number, b"x" * size))
    writer.execute(batch)


def number_of(found: object) -> int | None:
    return None if found is None else found.body["n"]  # type: ignore[attr-defined]


def test_what_a_hint_led_to_has_changed(tmp_path: Path) -> None:
    """After an update, a deletion and a new life the old row is not given again, and old snapshots keep theirs."""
    store = DocumentStore.create(str(tmp_path / "db"), DATABASE_ID, "A")
    reader, writer = DocumentReader(store), DocumentWriter(store)
    snapshots: list[tuple[DocumentSnapshot, int | None]] = []
    for number in (1, 2, None, 3, None, 4):
        write(writer, {"users/1": number})
        for _ in range(3):
            assert number_of(reader.get("Users/1")) == number
        snapshots.append((DocumentSnapshot(store), number))
        for snapshot, expected in snapshots:
            assert number_of(snapshot.get("users/1")) == expected
            assert number_of(reader.get("users/1")) == number
    for snapshot, _ in snapshots:
        snapshot.close()
    writer.close()
    store.close()


@pytest.mark.parametrize("seed", range(4))
def test_reads_agree_with_a_dictionary(tmp_path: Path, seed: int) -> None:
    """Random puts, deletes, large rows, checkpoints, old snapshots and a reopening; more ids than the first table."""
    dice = random.Random(seed)
    directory = str(tmp_path / "db")
    store = DocumentStore.create(directory, DATABASE_ID, "A")
    truth: dict[str, int] = {}
    ids = [f"Docs/{number:x}" if number % 3 else f"docs/{number}-É" for number in range(6_000)]
    for life in range(2):
        reader, writer = DocumentReader(store), DocumentWriter(store)
        held: list[tuple[DocumentSnapshot, dict[str, int]]] = []
        for step in range(40):
            changes: dict[str, int | None] = {}
            for id in dice.sample(ids, 300):
                changes[id] = None if dice.random() < 0.2 else life * 1_000_000 + step * 1_000 + dice.randrange(1_000)
            write(writer, changes, dice.choice((0, 0, 900, 6_000)) if step % 5 == 0 else 0)
            for id, number in changes.items():
                if number is None:
                    truth.pop(id, None)
                else:
                    truth[id] = number
            if dice.random() < 0.2:
                held.append((DocumentSnapshot(store), dict(truth)))
            if not held and dice.random() < 0.5:
                store.checkpoint()
            for id in dice.sample(ids, 400):
                assert number_of(reader.get(id.upper() if dice.random() < 0.1 else id)) == truth.get(id), (step, id)
            for snapshot, then in held:
                for id in dice.sample(ids, 50):
                    assert number_of(snapshot.get(id)) == then.get(id), (step, id)
            if len(held) > 2 or dice.random() < 0.2:
                while held:
                    held.pop()[0].close()
        for id in ids:
            assert number_of(reader.get(id)) == truth.get(id)
        for snapshot, _ in held:
            snapshot.close()
        writer.close()
        store.close()
        store = DocumentStore.open(directory, "A")
    store.close()

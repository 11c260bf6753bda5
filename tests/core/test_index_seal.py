"""Batches of an index that are sealed while the next one is made."""

from pathlib import Path

import pytest
from pynori_core.errors import EngineError, Poisoned, UnknownOutcome
from pynori_core.fault_disk import FaultHandle
from pynori_core.index_store import IndexStore


def put(store: IndexStore, number: int) -> object:
    writer = store.write()
    writer.put(f"goods/{number}", [{writer.field("Price"): number}])
    return writer.seal()


def count(store: IndexStore) -> int:
    with store.read() as snapshot:
        return snapshot.entry_count


def test_sealed_batches_follow_each_other(tmp_path: Path) -> None:
    """Each is made on top of the one before, is seen once it is durable, and is there after opening the files anew."""
    with IndexStore.create(tmp_path) as store:
        sealed = [put(store, number) for number in range(20)]
        for number, each in enumerate(sealed):
            each.wait()  # type: ignore[attr-defined]
            assert count(store) > number
        put(store, 20).wait()  # type: ignore[attr-defined]
    with IndexStore.open(tmp_path) as store, store.read() as snapshot:
        (field,) = snapshot.fields()
        assert list(snapshot.values(snapshot.all(), field.number)) == [[number] for number in range(21)]


def test_a_reader_sees_nothing_that_is_not_durable(tmp_path: Path) -> None:
    """While the sync is on its way the next batch is made, and readers have the one before."""
    disk = FaultHandle(tmp_path)
    with IndexStore.create(disk) as store:
        put(store, 0).wait()  # type: ignore[attr-defined]
        disk.stall("sync", 300)
        sealed = put(store, 1)
        with store.write() as writer:
            writer.put("goods/2", [{}])
            assert count(store) == 1
            sealed.wait()  # type: ignore[attr-defined]
            assert count(store) == 2
        assert count(store) == 3


def test_a_failed_sync_fails_what_was_sealed_on_top(tmp_path: Path) -> None:
    """Neither the batch whose sync failed nor the one that was made on it is told to be done."""
    disk = FaultHandle(tmp_path)
    store = IndexStore.create(disk)
    put(store, 0).wait()  # type: ignore[attr-defined]
    disk.fail("sync")
    sealed = []
    with pytest.raises(EngineError):
        for number in (1, 2):
            sealed.append(put(store, number))
        for each in sealed:
            each.wait()  # type: ignore[attr-defined]
    for each in sealed:
        with pytest.raises((UnknownOutcome, Poisoned)):
            each.wait()  # type: ignore[attr-defined]
    assert count(store) == 1
    disk.heal()
    store.close()
    with IndexStore.open(tmp_path) as again:
        assert count(again) >= 1

"""The simulated disk: what a crash leaves of unsynced bytes, lengths and names, in every mode; sharing of blocks."""

import struct

import pytest
from pynori_core.env import Env
from pynori_core.errors import Busy, EngineError
from pynori_core.sim_disk import MODES, SimDisk

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)

PLAIN = 2
NEVER = 1 << 40


def recorded() -> tuple[SimDisk, list[int]]:
    """A disk with two transactions, a checkpoint and a third; the points after each acknowledgement."""
    disk = SimDisk(7)
    points = []
    with Env.create(disk, checkpoint_bytes=NEVER) as env:
        for number in range(1, 4):
            with env.write() as txn:
                disk.mark_try(number)
                page = txn.allocate(type=PLAIN) if number == 1 else 3
                txn.patch(page, 100, struct.pack("<Q", number))
            disk.mark_ack(number)
            points.append(disk.calls)
            if number == 2:
                env.checkpoint()
    return disk, points


def found(image: SimDisk) -> int:
    """The number that the last recovered transaction left."""
    with Env.open(image, checkpoint_bytes=NEVER) as env, env.read() as txn:
        return struct.unpack_from("<Q", txn.page(3), 100)[0] if txn.id else 0


def test_a_crash_keeps_what_was_synced_in_every_mode() -> None:
    """After an acknowledgement nothing waits, so every mode gives the same disk, with all that was written."""
    disk, points = recorded()
    for number, point in enumerate(points, 1):
        assert disk.at(point) == (True, number, number, 0, 0)
        for mode in range(len(MODES)):
            assert found(disk.crash(point, mode, seed=mode)) == number


def test_a_durable_write_waits_until_it_returns() -> None:
    """Between the call and the return of a journal's write its sectors may be lost; afterwards not."""
    disk, points = recorded()
    written = max(call for call in range(points[0]) if disk.kind(call) == "written")
    assert disk.kind(written - 1) == "write"
    assert disk.at(written) == (True, 0, 1, 1, 0)
    assert found(disk.crash(written, MODES.index("none"))) == 0
    assert found(disk.crash(written, MODES.index("all"))) == 1
    assert found(disk.crash(written + 1, MODES.index("none"))) == 1


def test_without_durable_writes_the_engine_syncs() -> None:
    """On a disk whose direct writes are not durable each record is followed by a sync."""
    disk = SimDisk(3, durable=False)
    with Env.create(disk, checkpoint_bytes=NEVER) as env:
        before = disk.calls
        with env.write() as txn:
            txn.allocate(type=PLAIN)
        assert [disk.kind(call) for call in range(before, disk.calls)] == ["write", "sync"]


def test_names_are_lost_without_a_sync_of_the_directory() -> None:
    """A created name is there only if its change is chosen, until the directory is synced."""
    disk = SimDisk(1)
    Env.create(disk).close()
    created = next(call for call in range(disk.calls) if disk.describe(call).startswith("create journal"))
    assert disk.at(created + 1)[4] == 2
    assert disk.crash(created + 1, 0, names=0).names() == []
    assert disk.crash(created + 1, 0, names=1).names() == ["data.pynori"]
    assert disk.crash(created + 1, 0, names=-1).names() == ["data.pynori", "journal.0000000000000001"]
    settled = next(call for call in range(disk.calls) if disk.kind(call) == "settle")
    assert disk.crash(settled, 0, names=0).names() == ["data.pynori", "journal.0000000000000001"]


def test_every_mode_leaves_its_sectors() -> None:
    """Four written and unsynced sectors: each mode leaves exactly those it is named for."""
    disk, _ = recorded()
    write = max(call for call in range(disk.calls) if disk.describe(call).startswith("write file 0 offset 16384 "))
    point = write + 1
    units = disk.at(point)[3]
    assert units > 2
    whole = disk.crash(point, MODES.index("all")).read("data.pynori", 16384, units * 4096)
    none = disk.crash(point, MODES.index("none")).read("data.pynori", 16384, units * 4096)
    later = [unit for unit in range(units) if whole[unit * 4096 :][:4096] != none[unit * 4096 :][:4096]]

    def left(mode: str, choice: int = 0, seed: int = 1) -> list[int | str]:
        content = disk.crash(point, MODES.index(mode), choice, seed=seed).read("data.pynori", 16384, units * 4096)
        kinds: list[int | str] = []
        for unit in later:
            sector = content[unit * 4096 :][:4096]
            new, old = whole[unit * 4096 :][:4096], none[unit * 4096 :][:4096]
            kinds.append(1 if sector == new else 0 if sector == old else "mixed")
        return kinds

    count = len(later)
    assert count >= 2
    first, last = later[0], later[-1]
    assert left("prefix", first + 1) == [1] + [0] * (count - 1)
    assert left("reversed", units - last) == [0] * (count - 1) + [1]
    assert left("omit", first) == [0] + [1] * (count - 1)
    assert left("omit pair", first + last * units) == [0] + [1] * (count - 2) + [0]
    assert left("subset", 1 << last) == [0] * (count - 1) + [1]
    assert left("half", first)[1:] == [0] * (count - 1)
    assert {kind for seed in range(20) for kind in left("random", seed=seed)} == {0, 1}
    assert "mixed" in {kind for seed in range(20) for kind in left("garbage", seed=seed)}
    assert left("last write") == [1] * count
    assert left("first lost") == [0] * count


def test_images_do_not_touch_each_other() -> None:
    """Two images of one crash are written to differently; neither, nor the recorded disk, sees the other's bytes."""
    disk, points = recorded()
    images = [disk.crash(points[2], 0) for _ in range(3)]
    for number, image in enumerate(images[:2]):
        with Env.open(image, checkpoint_bytes=NEVER) as env, env.write() as txn:
            txn.patch(3, 100, struct.pack("<Q", 1000 + number))
    assert [found(image) for image in images] == [1000, 1001, 3]
    assert found(disk.crash(points[2], 0)) == 3


def test_a_point_may_lie_before_the_last_one() -> None:
    """Points may be asked for in any order."""
    disk, points = recorded()
    for number in (3, 1, 2, 1, 3):
        assert found(disk.crash(points[number - 1], 0)) == number


def test_a_disk_has_one_opener() -> None:
    """The lock is held by an open environment, and an image of a crash is locked by nobody."""
    disk = SimDisk(1)
    with Env.create(disk), pytest.raises(Busy):
        Env.open(disk)
    with Env.open(disk.crash(disk.calls, 0)):
        pass


def test_the_hook_runs_between_the_calls_of_a_checkpoint() -> None:
    """A transaction committed by the hook comes to lie within the checkpoint, and survives a crash after it."""
    disk = SimDisk(2)
    seen: list[str] = []
    with Env.create(disk, checkpoint_bytes=NEVER) as env:
        with env.write() as txn:
            txn.patch(txn.allocate(type=PLAIN), 100, struct.pack("<Q", 1))

        def commit(action: str) -> None:
            seen.append(action)
            with env.write() as txn:
                txn.patch(3, 100, struct.pack("<Q", len(seen) + 1))

        disk.hook(commit)
        env.checkpoint()
        disk.hook(None)
        point = disk.calls
    assert seen[0] == "write" and seen.count("sync") == 3
    assert found(disk.crash(point, 0)) == len(seen) + 1


def test_bad_cuts_are_refused() -> None:
    """A point beyond the record, and a sector that is none, are errors; so is an empty disk for who wants to open."""
    disk = SimDisk(1)
    with pytest.raises(ValueError, match="no such cut"):
        disk.crash(1, 0)
    with pytest.raises(ValueError, match="no such cut"):
        disk.crash(0, 0, sector_bytes=8192)
    with pytest.raises(ValueError, match="shorter"):
        disk.at(1)
    with pytest.raises(EngineError):
        Env.open(disk)

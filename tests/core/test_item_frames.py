"""Frames: what one database hands to another, and what is refused of bytes that are none."""

import struct
from collections.abc import Iterator

import pytest
from pynori_core import change_vector as vectors
from pynori_core.command import Batch
from pynori_core.errors import InvalidArgument, VersionError
from pynori_core.item_frames import add_frame, outgoing

from tests.core.instance import BYTES_MAX, ITEMS_MAX, Instance


@pytest.fixture
def instances() -> Iterator[list[Instance]]:
    made = [Instance(tag) for tag in "ABC"]
    yield made
    for instance in made:
        instance.close()


def test_items_arrive_as_they_were_made(instances: list[Instance]) -> None:
    """Documents and tombstones keep vector, time, collection, spelling and bytes; etags are the receiver's own."""
    a, b, _ = instances
    b.put("elsewhere/1", n=1)
    a.put("Users/1", Name="x", collection="Users")
    a.put("users/2", Name="y", collection="Users")
    a.put("plain", text="z" * 9000)
    a.delete("users/2")
    assert b.pull(a) == 3
    assert b.items()[1:] == a.items()
    assert b.store.counts()[:2] == (3, 1)
    assert b.store.collections()[1][:3] == ("Users", 1, 1)
    assert b.get("users/1")["@metadata"]["@id"] == "Users/1"
    assert b.vector == vectors.merge(a.vector, f"B:4-{vectors.format_database_id(b.id)}")


def test_old_items_change_nothing_and_newer_ones_take_the_place(instances: list[Instance]) -> None:
    """What was seen is ignored, however often it comes; a newer version overwrites, also across collections."""
    a, b, _ = instances
    a.put("x", n=1)
    first = outgoing(a.store, 0, "", ITEMS_MAX, BYTES_MAX)
    a.delete("x")
    a.put("x", n=2, collection="Others")
    b.pull(a)
    before = b.items(), b.store.last_etag
    b.apply(first.frame)
    b.pull(a, skip="")
    assert (b.items(), b.store.last_etag) == before
    newer = b.put("x", n=3, collection="Others")
    assert a.pull(b) == 1
    assert a.items() == b.items() and a.get("x")["@metadata"]["@change-vector"] == newer


def test_fresh_writes_state_what_is_known(instances: list[Instance]) -> None:
    """W9: once an instance has heard of another one's etags, its writes name them, and grow with them."""
    a, b, _ = instances
    alone = a.put("users/1", n=1)
    assert len(vectors.parse(alone)) == 1
    b.put("b/1", n=1)
    a.pull(b)
    second = a.put("users/1", n=2)
    assert [(tag, etag) for tag, etag, _ in vectors.parse(second)] == [("A", 3), ("B", 1)]
    for number in range(3):
        b.put(f"b/{number}", n=2)
    a.pull(b)
    third = a.put("users/1", n=3)
    assert vectors.compare(third, second) == "newer" and vectors.parse(third)[1][1] == 4
    assert b.pull(a) == 1


def test_transactions_are_whole(instances: list[Instance]) -> None:
    """However small the bounds are, what was written together is sent together, and the sender says where to go on."""
    a, _, _ = instances
    for number in range(5):
        batch = Batch()
        for member in range(number + 1):
            batch.put(f"{number}/{member}", b'{"a":1}')
        a.writer.execute(batch)
    since, sizes = 0, []
    while True:
        sent = outgoing(a.store, since, "", 4, BYTES_MAX)
        sizes.append(sent.items)
        since = sent.last_etag
        if sent.ended:
            break
    assert sizes == [3, 3, 4, 5] and since == a.store.last_etag
    assert outgoing(a.store, 0, a.vector, 1, 1).skipped == 15


def test_positions_and_vectors_come_with_the_items(instances: list[Instance]) -> None:
    """One transaction: the position of the sender and what it had seen are there with its items."""
    a, b, _ = instances
    a.put("x", n=1)
    sent = outgoing(a.store, 0, b.vector, ITEMS_MAX, BYTES_MAX)
    batch = Batch()
    batch.set_position("replication/a", sent.last_etag)
    add_frame(batch, sent.frame, sent.vector)
    b.writer.execute(batch)
    assert b.store.position("replication/a") == 1 and vectors.compare(b.vector, a.vector) == "newer"


def corrupted(frame: bytes) -> Iterator[tuple[int, bytes]]:
    for at in range(len(frame)):
        for bit in (1, 0x80):
            yield at, frame[:at] + bytes([frame[at] ^ bit]) + frame[at + 1 :]


def test_wrong_frames_change_nothing(instances: list[Instance]) -> None:
    """Every frame with a flipped bit or a cut is refused with the place, or is a whole frame of other items."""
    a, b, _ = instances
    a.put("users/1", Name="x", Count=12, collection="Users")
    a.delete("users/1")
    a.put("users/2", Name="y")
    frame = outgoing(a.store, 0, "", ITEMS_MAX, BYTES_MAX).frame
    refused = 0
    for cut in range(len(frame)):
        with pytest.raises((InvalidArgument, VersionError)):
            add_frame(Batch(), frame[:cut])
    for _, wrong in corrupted(frame):
        batch = Batch()
        try:
            add_frame(batch, wrong)
        except (InvalidArgument, VersionError) as error:
            assert len(batch) == 0 and "byte" in str(error)
            refused += 1
            continue
        b.writer.execute(batch)
        assert b.store.counts()[2] < 10_000
    assert refused > len(frame)
    with pytest.raises(VersionError):
        add_frame(Batch(), frame[:3] + b"\x02" + frame[4:])


def test_bounds_of_frames_are_checked_before_anything_is_read() -> None:
    """Counts and sizes that cannot be are refused, however small the frame is."""
    header = struct.Struct("<3sBIQ")
    for items, size in ((1 << 31, 16), (1, 16), (0, 1 << 60), (0, 15)):
        with pytest.raises(InvalidArgument):
            add_frame(Batch(), header.pack(b"PIF", 1, items, size))
    batch = Batch()
    add_frame(batch, header.pack(b"PIF", 1, 0, 16))
    assert len(batch) == 0

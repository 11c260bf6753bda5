"""Journals: what a record holds, how journals grow and follow one another, compression, oversize transactions."""

import random
import struct
from pathlib import Path

import pytest
from pynori_core.codec import codec_installed
from pynori_core.env import Env, WriteTxn
from pynori_core.errors import CorruptError, TooLarge

import pynori.runtime.codecs  # installs LZ4
from tests.core.page_model import LEAF, LOWER_OFFSET, PLAIN, RUN, VALUE_SIZE_OFFSET

assert pynori.runtime.codecs

JOURNAL = "journal.%016x"


def commit_bytes(env: Env, change: object) -> tuple[int, int]:
    """(journal bytes, payload bytes before compression) of one commit made by change(txn)."""
    before = env.statistics()
    with env.write() as txn:
        change(txn)
    after = env.statistics()
    return (
        after["journal_bytes"] - before["journal_bytes"],
        after["journal_plain_bytes"] - before["journal_plain_bytes"],
    )


def test_a_diff_holds_what_changed(tmp_path: Path) -> None:
    """A change of a few bytes is logged as about that many; equal bytes written again are not logged."""
    with Env.create(tmp_path / "env") as env:
        with env.write() as txn:
            page = txn.allocate(type=PLAIN)
            txn.patch(page, 64, random.Random(1).randbytes(8128))
        # 12 bytes entry; 4 bytes and 8 bytes for PageHeader.txn_id, of which one byte changes; 4 and 10 for the patch.
        _, plain = commit_bytes(env, lambda txn: txn.patch(page, 3000, b"0123456789"))
        assert 12 + 4 + 1 + 4 + 8 <= plain <= 12 + 4 + 1 + 4 + 10
        _, plain = commit_bytes(env, lambda txn: txn.patch(page, 3000, b"0123456789"))
        assert plain == 12 + 4 + 1


def test_the_gap_is_not_logged(tmp_path: Path) -> None:
    """A leaf with little in it costs little; what an older image had in its gap is logged when it counts again."""
    directory = tmp_path / "env"
    with Env.create(directory) as env:
        pages = []

        def add(txn: object) -> None:
            page = txn.allocate(type=LEAF)
            txn.patch(page, LOWER_OFFSET, struct.pack("<HH", 100, 8100))
            txn.patch(page, 2000, b"z" * 500)  # inside the gap
            txn.patch(page, 64, b"a" * 36)
            txn.patch(page, 8100, b"b" * 92)
            pages.append(page)

        _, plain = commit_bytes(env, add)
        assert plain < 500
        with env.write() as txn:  # the same bytes as before, but now they count
            txn.patch(pages[0], LOWER_OFFSET, struct.pack("<HH", 2500, 8100))
        copy = tmp_path / "copy"
        copy.mkdir()
        for path in directory.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
    with Env.open(copy) as env, env.read() as txn:
        assert txn.page(pages[0])[2000:2500] == b"z" * 500


def test_values_of_runs_are_logged_without_the_slack(tmp_path: Path) -> None:
    """Of a run's last page only the value is logged, and the rest reads back as zeros after recovery."""
    with Env.create(tmp_path / "env") as env:

        def add(txn: object) -> None:
            run = txn.allocate(3, RUN)
            txn.patch(run, VALUE_SIZE_OFFSET, struct.pack("<Q", 2 * 8192))
            for index in range(3):
                txn.patch(run + index, 64 if index == 0 else 0, random.Random(index).randbytes(8128))

        _, plain = commit_bytes(env, add)
        assert plain < 2 * 8192 + 64 + 8192 * 0.2


def test_compression_saves_whole_sectors(tmp_path: Path) -> None:
    """Large compressible records take fewer sectors, small and incompressible ones are stored as they are; all are
    recovered."""
    assert codec_installed()
    directory = tmp_path / "env"
    with Env.create(directory) as env:
        pages = []

        def add(*contents: bytes) -> object:
            def change(txn: object) -> None:
                for data in contents:
                    page = txn.allocate(type=PLAIN)
                    txn.patch(page, 64, data)
                    pages.append((page, data))

            return change

        compressible = (b'{"Name":"Ada","Age":36},' * 400)[:8128]
        packed, plain = commit_bytes(env, add(*(compressible for _ in range(17))))
        assert plain > 17 * 8128 > 131072
        assert packed <= 2 * 4096
        small, plain = commit_bytes(env, add(compressible))
        assert plain < 131072
        assert small == 3 * 4096
        stored, _ = commit_bytes(env, add(*(random.Random(seed).randbytes(8128) for seed in range(17))))
        assert stored > 17 * 8128
        copy = tmp_path / "copy"
        copy.mkdir()
        for path in directory.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
    with Env.open(copy) as env, env.read() as txn:
        for page, data in pages:
            assert txn.page(page)[64:] == data


@pytest.mark.parametrize("seed", range(6))
def test_noted_changes_are_replayed(tmp_path: Path, seed: int) -> None:
    """Changes whose place was noted, in any order, touching, nested, too many for the notes, mixed with changes of
    unknown place and undone ones, are in the journal as they are in memory."""
    dice = random.Random(seed)
    directory = tmp_path / "env"
    with Env.create(directory) as env:
        with env.write() as txn:
            pages = [txn.allocate(type=PLAIN) for _ in range(6)]

        def change(txn: WriteTxn) -> None:
            page = dice.choice(pages)
            for _ in range(dice.choice((1, 2, 5, 40))):
                offset = dice.randrange(64, 8192)
                size = min(dice.choice((0, 1, 8, 32, 64, 300)), 8192 - offset)
                txn.patch(page, offset, dice.randbytes(size), noted=dice.random() < 0.95)
                if dice.random() < 0.3:
                    txn.patch(page, max(64, offset - 4), dice.randbytes(4), noted=True)

        for _ in range(60):
            with env.write() as txn:
                for _ in range(dice.randrange(4)):
                    change(txn)
                if dice.random() < 0.4:
                    txn.savepoint()
                    change(txn)
                    change(txn)
                    txn.rollback() if dice.random() < 0.5 else txn.release()
                    change(txn)
        copy = tmp_path / "copy"
        copy.mkdir()
        for path in directory.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        with env.read() as txn:
            expected = [txn.page(page)[8:] for page in pages]
    with Env.open(copy) as env, env.read() as txn:
        assert [txn.page(page)[8:] for page in pages] == expected


def test_journals_double_and_follow(tmp_path: Path) -> None:
    """Each journal is twice as large as the one before and ends with the record that names the next."""
    directory = tmp_path / "env"
    with Env.create(directory) as env:
        with env.write() as txn:
            pages = [txn.allocate(type=PLAIN) for _ in range(20)]
        for number in range(200):
            with env.write() as txn:
                txn.patch(pages[number % 20], 64, random.Random(number).randbytes(8128))
        sizes = {int(path.name[8:], 16): path.stat().st_size for path in directory.glob("journal.*")}
        assert sizes[1] == 262144
        assert all(sizes[number] == 2 * sizes[number - 1] for number in sizes if number > 1)
        first = (directory / (JOURNAL % 1)).read_bytes()
        flags = []
        offset = 0
        while offset < len(first) and first[offset : offset + 4] == b"PYNJ":
            flags.append(struct.unpack_from("<H", first, offset + 6)[0])
            offset += (128 + struct.unpack_from("<Q", first, offset + 72)[0] + 4095) // 4096 * 4096
        assert flags[-1] == 2
        assert 2 not in flags[:-1]


def test_a_large_transaction_gets_a_journal_of_its_own(tmp_path: Path) -> None:
    """A record larger than any journal goes into one made for it, which is not kept afterwards."""
    directory = tmp_path / "env"
    value = random.Random(2).randbytes(8192 * 400)
    with Env.create(directory) as env:
        with env.write() as txn:
            run = txn.allocate(401, RUN)
            txn.patch(run, VALUE_SIZE_OFFSET, struct.pack("<Q", len(value)))
            whole = bytes(64) + value
            for index in range(401):
                piece = whole[index * 8192 : (index + 1) * 8192]
                txn.patch(run + index, 64 if index == 0 else 0, piece[64:] if index == 0 else piece)
        copy = tmp_path / "copy"
        copy.mkdir()
        for path in directory.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
    with Env.open(copy) as env, env.read() as txn:
        assert txn.page(run, 401)[64 : 64 + len(value)] == value


def test_a_transaction_has_a_bound() -> None:
    """A transaction that changes more pages than a record may hold is refused at that page and can be rolled back."""
    with Env.create(None) as env, env.write() as txn:
        txn.savepoint()
        with pytest.raises(TooLarge):
            for _ in range(3):
                txn.allocate(60_000, RUN)
        txn.rollback()
        txn.allocate(type=PLAIN)


def test_records_of_another_environment_do_not_count(tmp_path: Path) -> None:
    """A journal of another environment in place of the own one is damage or emptiness, never foreign data."""
    for name in ("one", "two"):
        with Env.create(tmp_path / name) as env:
            for value in range(5):
                with env.write() as txn:
                    txn.patch(txn.allocate(type=PLAIN), 100, name.encode() + bytes([value]))
            if name == "one":
                foreign = (tmp_path / "one" / (JOURNAL % 1)).read_bytes()
            else:
                copy = tmp_path / "copy"
                copy.mkdir()
                for path in (tmp_path / name).iterdir():
                    (copy / path.name).write_bytes(path.read_bytes())
    (copy / (JOURNAL % 1)).write_bytes(foreign)
    try:
        with Env.open(copy) as env:
            assert env.statistics()["published_txn"] == 0
    except CorruptError:
        pass

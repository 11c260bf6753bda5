"""Recovery: what is committed survives kills and cuts, what is torn is cut off, what is damaged is refused."""

import os
import random
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pynori_core.checksum import xxh3_64_of
from pynori_core.env import Env
from pynori_core.errors import CorruptError, EngineError, VersionError
from pynori_core.fault_disk import FaultHandle

from tests.core import crash_writer
from tests.core.page_model import PLAIN, Model, check_model, random_txn

SECTOR = 4096
JOURNAL_ONE = "journal.0000000000000001"


def check_images(env: Env, seed: int, number: int) -> None:
    """All pages are as transaction `number` of the crash writer left them."""
    with env.read() as txn:
        assert txn.id == number
        if number == 0:
            return
        for page, image in crash_writer.images(seed, number).items():
            assert txn.page(page)[64:] == image[64:], f"page {page} after transaction {number}"


def write_numbers(env: Env, seed: int, first: int, last: int) -> None:
    for number in range(first, last + 1):
        with env.write() as txn:
            crash_writer.write(txn, seed, number)


def crash_copy(directory: Path, target: Path) -> Path:
    """The files as a killed process would leave them: still open, but no checkpoint runs beside the copy."""
    shutil.copytree(directory, target)
    return target


def records(journal: bytes) -> list[tuple[int, int, int]]:
    """(offset, size with padding, txn id) of the records from the start of a journal."""
    found = []
    offset = 0
    while offset < len(journal) and journal[offset : offset + 4] == b"PYNJ":
        stored = struct.unpack_from("<Q", journal, offset + 72)[0]
        size = (128 + stored + SECTOR - 1) // SECTOR * SECTOR
        found.append((offset, size, struct.unpack_from("<Q", journal, offset + 40)[0]))
        offset += size
    return found


@pytest.mark.parametrize("seed", range(5))
def test_crash_copies_hold_the_last_commit(tmp_path: Path, seed: int) -> None:
    """A copy of the files taken after any commit recovers to exactly that commit, again and again."""
    dice = random.Random(seed)
    directory = tmp_path / "env"
    model = Model()
    with Env.create(directory) as env:
        for step in range(40):
            model = random_txn(env, model, dice)
            if dice.random() < 0.15:
                env.checkpoint()
            if step % 8 == 7:
                copy = crash_copy(directory, tmp_path / f"copy{step}")
                for _ in range(2):
                    with Env.open(copy) as recovered, recovered.read() as txn:
                        check_model(txn, model)
                        assert txn.id == env.statistics()["published_txn"]
                with Env.open(copy) as recovered:
                    after = random_txn(recovered, model, random.Random(step))
                    with recovered.read() as txn:
                        check_model(txn, after)


def kill_once(directory: Path, seed: int, run_ms: float) -> int:
    """Let the child write for a while, kill it, return the last number that it acknowledged."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.core.crash_writer", str(directory), str(seed), "150000"],
        stdout=subprocess.PIPE,
        env=environment,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    time.sleep(run_ms / 1000)
    child.kill()
    output = first + child.stdout.read()
    child.wait()
    lines = output.split(b"\n")[:-1]
    return int(lines[-1]) if lines else 0


def test_killed_writers_lose_nothing(tmp_path: Path) -> None:
    """Twenty lives, each ended by SIGKILL in mid-write: every acknowledged transaction is there, and nothing else."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    directory = tmp_path / "env"
    Env.create(directory).close()
    dice = random.Random(seed)
    acknowledged = 0
    for _ in range(20):
        acknowledged = max(acknowledged, kill_once(directory, seed, dice.uniform(1, 40)))
        with Env.open(directory) as env:
            number = env.statistics()["published_txn"]
            assert acknowledged <= number <= acknowledged + 1
            check_images(env, seed, number)
            acknowledged = number
    assert acknowledged > 100


def make_crash(tmp_path: Path, numbers: int, name: str = "crash") -> tuple[Path, int]:
    """An environment that was killed after so many transactions since its creation; returns it and the seed."""
    seed = 11
    directory = tmp_path / f"{name}-origin"
    with Env.create(directory) as env:
        write_numbers(env, seed, 1, numbers)
        crash_copy(directory, tmp_path / name)
    return tmp_path / name, seed


def test_last_record_cut_anywhere(tmp_path: Path) -> None:
    """The last record cut at every 512 bytes, with zeros or garbage behind: the one before it is the last."""
    origin, seed = make_crash(tmp_path, 6)
    journal = (origin / JOURNAL_ONE).read_bytes()
    offset, size, txn_id = records(journal)[-1]
    assert txn_id == 6
    stored_end = offset + 128 + struct.unpack_from("<Q", journal, offset + 72)[0]
    copy = tmp_path / "copy"
    for cut in range(offset, offset + size, 512):
        for fill in (b"\0", b"\xa5"):
            if cut >= stored_end:
                continue  # only padding is missing: the record is whole
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(origin, copy)
            rest = len(journal) - cut if fill == b"\0" else offset + size - cut
            with (copy / JOURNAL_ONE).open("r+b") as file:
                file.seek(cut)
                file.write(fill * rest)
            with Env.open(copy) as env:
                check_images(env, seed, 5)
                write_numbers(env, seed, 6, 7)
            with Env.open(copy) as env:
                check_images(env, seed, 7)


def test_sectors_of_the_last_record_missing(tmp_path: Path) -> None:
    """Each single sector of the last record lost, as a power cut may do it: the record does not count."""
    origin, seed = make_crash(tmp_path, 6)
    journal = (origin / JOURNAL_ONE).read_bytes()
    offset, size, _ = records(journal)[-1]
    copy = tmp_path / "copy"
    for sector in range(offset, offset + size, 512):
        if not any(journal[sector : sector + 512]):
            continue
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(origin, copy)
        with (copy / JOURNAL_ONE).open("r+b") as file:
            file.seek(sector)
            file.write(bytes(512))
        with Env.open(copy) as env:
            check_images(env, seed, 5)


def test_flipped_byte_in_the_middle_is_damage(tmp_path: Path) -> None:
    """One byte flipped in a record that others follow: refused with file and offset, nothing changed on disk."""
    origin, _ = make_crash(tmp_path, 8)
    journal = (origin / JOURNAL_ONE).read_bytes()
    places = records(journal)
    copy = tmp_path / "copy"
    for index in (0, 3, 6):
        offset, _, txn_id = places[index]
        for inside in (0, 50, 121, 200):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(origin, copy)
            flip(copy / JOURNAL_ONE, offset + inside)
            before = {path.name: path.read_bytes() for path in copy.iterdir() if path.name != "lock"}
            for _ in range(2):
                with pytest.raises(CorruptError, match=f"{JOURNAL_ONE} is damaged.*transaction {txn_id} ") as caught:
                    Env.open(copy)
                assert caught.value.offset == offset
            assert before == {path.name: path.read_bytes() for path in copy.iterdir() if path.name != "lock"}


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def test_accepted_loss_opens_and_stays_lost(tmp_path: Path) -> None:
    """With accept_loss_after the damaged journal opens at that transaction, and what was cut off never comes back."""
    origin, seed = make_crash(tmp_path, 8)
    offset, _, txn_id = records((origin / JOURNAL_ONE).read_bytes())[5]
    flip(origin / JOURNAL_ONE, offset + 200)
    with pytest.raises(CorruptError):
        Env.open(origin, accept_loss_after=txn_id)
    with Env.open(origin, accept_loss_after=txn_id - 1) as env:
        check_images(env, seed, txn_id - 1)
    with Env.open(origin) as env:
        check_images(env, seed, txn_id - 1)
        write_numbers(env, seed, txn_id, txn_id + 30)
        copy = crash_copy(origin, tmp_path / "later")
    with Env.open(copy) as env:
        check_images(env, seed, txn_id + 30)


def many_journals(tmp_path: Path) -> tuple[Path, int, list[str]]:
    """A crash with several journals that are all needed."""
    origin, seed = make_crash(tmp_path, 90)
    names = sorted(path.name for path in origin.iterdir() if path.name.startswith("journal."))
    assert len(names) >= 3
    return origin, seed, names


def test_missing_journal_is_damage(tmp_path: Path) -> None:
    """Any needed journal that is not there, the last one included, is named and refused."""
    origin, seed, names = many_journals(tmp_path)
    copy = tmp_path / "copy"
    for name in names:
        shutil.copytree(origin, copy)
        (copy / name).unlink()
        with pytest.raises(CorruptError, match=f"{name} is missing"):
            Env.open(copy)
        shutil.rmtree(copy)
    with Env.open(origin) as env:
        check_images(env, seed, 90)


def test_header_copies(tmp_path: Path) -> None:
    """Either copy of the header may be lost, whole or by a bit, after checkpoints too; both lost is refused."""
    seed = 12
    with Env.create(tmp_path / "env") as env:
        for number in range(1, 6):
            write_numbers(env, seed, number, number)
            if number < 5:
                env.checkpoint()
        origin = crash_copy(tmp_path / "env", tmp_path / "origin")
    data = origin / "data.pynori"
    whole = data.read_bytes()
    for offset in (0, 65536):
        for spoiled in (bytes(512), whole[offset : offset + 40] + b"\xff" + whole[offset + 41 : offset + 512]):
            data.write_bytes(whole[:offset] + spoiled + whole[offset + 512 :])
            copy = crash_copy(origin, tmp_path / "copy")
            with Env.open(copy) as env:
                check_images(env, seed, 5)
            shutil.rmtree(copy)
    data.write_bytes(bytes(512) + whole[512:65536] + bytes(512) + whole[65536 + 512 :])
    with pytest.raises(CorruptError, match="neither copy"):
        Env.open(origin)


def test_short_data_file_is_refused(tmp_path: Path) -> None:
    """A data file shorter than its header says is damage, found before it is mapped."""
    directory = tmp_path / "env"
    with Env.create(directory) as env:
        write_numbers(env, 1, 1, 3)
    os.truncate(directory / "data.pynori", 500_000)
    with pytest.raises(CorruptError, match="whole pages"):
        Env.open(directory)


def test_damaged_page_is_named_again_and_again(tmp_path: Path) -> None:
    """A page whose bytes rotted is refused on every read, with its number; swapped and foreign pages are too."""
    directory = tmp_path / "env"
    with Env.create(directory) as env, env.write() as txn:
        for index in range(4):
            txn.patch(txn.allocate(type=PLAIN), 100, bytes([index]) * 100)
    data = directory / "data.pynori"
    whole = data.read_bytes()
    page = [whole[number * 8192 : (number + 1) * 8192] for number in range(8)]
    flip(data, 4 * 8192 + 5000)
    data.write_bytes(data.read_bytes()[: 5 * 8192] + page[6] + page[5] + data.read_bytes()[7 * 8192 :])
    with Env.open(directory) as env, env.read() as txn:
        assert txn.page(3)
        for number, reason in ((4, "hash"), (5, "another page"), (6, "another page"), (4, "hash")):
            with env.read() as reader, pytest.raises(CorruptError, match=f"page {number}: .*{reason}") as caught:
                reader.page(number)
            assert caught.value.offset == number * 8192


def test_several_lives_never_resurrect(tmp_path: Path) -> None:
    """Torn tails in many lives, with recycled journals: no transaction of a lost future ever comes back."""
    dice = random.Random(3)
    directory = tmp_path / "life0"
    Env.create(directory).close()
    history: dict[int, int] = {}  # transaction number -> the seed of the life that committed it

    def expected(number: int) -> dict[int, bytearray]:
        result = {page: bytearray(8192) for page in crash_writer.pages_of()}
        for done in range(1, number + 1):
            for page, offset, data in crash_writer.patches(history[done], done):
                result[page][offset : offset + len(data)] = data
        return result

    last = 0
    for life in range(1, 25):
        env = Env.open(directory)
        for _ in range(dice.randrange(1, 30)):
            last += 1
            history[last] = life
            with env.write() as txn:
                crash_writer.write(txn, life, last)
            if dice.random() < 0.15:
                env.checkpoint()
        target = crash_copy(directory, tmp_path / f"life{life}")
        env.close()
        shutil.rmtree(directory)
        directory = target
        if dice.random() < 0.7:
            last -= tear_last_record(directory, last, dice)
        with Env.open(directory) as env, env.read() as txn:
            assert txn.id == last
            for page, image in expected(last).items() if last else ():
                assert txn.page(page)[64:] == image[64:], f"life {life}, page {page}"


def tear_last_record(directory: Path, last: int, dice: random.Random) -> int:
    """Spoil some 512-byte sectors of the last transaction's record; 1 when it was found, else 0 (checkpointed)."""
    for path in directory.glob("journal.*"):
        journal = path.read_bytes()
        number = int(path.name[8:], 16)
        for offset in range(0, len(journal), SECTOR):
            if journal[offset : offset + 4] != b"PYNJ":
                continue
            flags = struct.unpack_from("<H", journal, offset + 6)[0]
            in_journal, _, txn_id = struct.unpack_from("<QQQ", journal, offset + 24)
            stored = struct.unpack_from("<Q", journal, offset + 72)[0]
            if txn_id != last or in_journal != number or flags & 2 or checkpointed(directory) >= last:
                continue
            sectors = list(range(offset, offset + 128 + stored, 512))
            with path.open("r+b") as file:
                for sector in dice.sample(sectors, dice.randrange(1, len(sectors) + 1)):
                    file.seek(sector)
                    file.write(bytes(byte ^ 0x5A for byte in journal[sector : sector + 512]))
            return 1
    return 0


def checkpointed(directory: Path) -> int:
    """Checkpoint transaction of the newer header."""
    with (directory / "data.pynori").open("rb") as file:
        copies = []
        for offset in (0, 65536):
            file.seek(offset)
            header = file.read(512)
            copies.append(struct.unpack_from("<QQ", header, 48))
    return max(copies)[1]


def test_recovery_can_be_cut_off_anywhere() -> None:
    """Recovery that fails at its k-th write, sync, unlink or creation starts again and finds the same state."""
    for operation in ("write", "sync", "open", "unlink", "sync_dir", "allocate", "read"):
        for k in range(1, 40):
            disk = FaultHandle()
            env = Env.create(disk)
            write_numbers(env, 4, 1, 40)
            disk.fail("sync", lasting=False)
            with pytest.raises(EngineError), env.write() as txn:
                crash_writer.write(txn, 4, 41)
            env.close()  # poisoned: nothing is written any more
            disk.heal()
            disk.fail(operation, after=k)
            failed = False
            try:
                Env.open(disk).close()
            except EngineError:
                failed = True
            disk.heal()
            with Env.open(disk) as env:
                check_images(env, 4, 41)
            if not failed:
                break


def test_reading_only_changes_nothing(tmp_path: Path) -> None:
    """Opened for reading only, a crashed environment shows its last commit, and its files stay as they are."""
    origin, seed, _ = many_journals(tmp_path)
    before = {path.name: path.read_bytes() for path in origin.iterdir() if path.name != "lock"}
    with Env.open(origin, read_only=True) as env:
        check_images(env, seed, 90)
        with pytest.raises(EngineError):
            env.write()
        with pytest.raises(EngineError):
            env.checkpoint()
    assert before == {path.name: path.read_bytes() for path in origin.iterdir() if path.name != "lock"}


def test_many_pages_are_recovered_in_bounded_memory(tmp_path: Path) -> None:
    """Journals with more changed pages than recovery holds in memory are replayed in parts."""
    directory = tmp_path / "env"
    with Env.create(directory, checkpoint_bytes=1 << 40) as env:
        for index in range(9):
            with env.write() as txn:
                run = txn.allocate(1000, 5)
                txn.patch(run, 48, struct.pack("<Q", 1000 * 8192 - 64))
                for page in range(1, 1000):
                    txn.patch(run + page, 0, bytes([index, page % 251]) * 4096)
        copy = crash_copy(directory, tmp_path / "copy")
    with Env.open(copy) as env, env.read() as txn:
        assert env.statistics()["scratch_bytes"] == 0
        assert txn.id == 9


def test_unknown_versions_and_features_are_refused(tmp_path: Path) -> None:
    """A newer format or an incompatible feature is refused by its number; a read-only feature allows reading only."""
    directory = tmp_path / "env"
    with Env.create(directory) as env:
        write_numbers(env, 1, 1, 3)
    data = directory / "data.pynori"
    whole = data.read_bytes()
    for offset, value, reading in ((8, 2, False), (20, 0x40, False), (16, 0x80, True)):
        content = bytearray(whole)
        for copy in (0, 65536):
            content[copy + offset : copy + offset + 4] = struct.pack("<I", value)
            content[copy + 504 : copy + 512] = struct.pack("<Q", xxh3_64_of(bytes(content[copy : copy + 504])))
        data.write_bytes(content)
        with pytest.raises(VersionError, match=str(value) if offset == 8 else hex(value)):
            Env.open(directory)
        if reading:
            with Env.open(directory, read_only=True) as env:
                check_images(env, 1, 3)
    data.write_bytes(whole)
    Env.open(directory).close()

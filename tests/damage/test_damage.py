"""Damaged files are told, or do not matter: never a wrong answer, a death, or a hang.

What runs here is a sample; `ci/soak damage` goes on for as long as it is let.
"""

import os
import shutil
import signal
import struct
import time
from pathlib import Path

import pytest
from pynori_core.env import Env
from pynori_core.errors import CorruptError
from pynori_core.items import DocumentStore

from tests.damage.judge import Verdict
from tests.damage.runner import Case, Tally, run
from tests.damage.sample import DATA, PAGE_SIZE, Sample, read_files, write_files
from tests.damage.soak import damage_pages, flip_bits
from tests.damage.structured import KINDS

FLIPS = int(os.environ.get("PYNORI_DAMAGE_FLIPS", "3000"))
CASES = 5_000


def assert_sound(tally: Tally, count: int) -> None:
    print(tally)
    assert tally.words.total() == count
    assert not tally.failures, "\n".join(tally.failures[:20])


def test_flipped_bits(sample: Sample) -> None:
    """One bit flipped anywhere is reported with its place, or was in bytes that do not count."""
    first = int(time.time()) * FLIPS
    print(f"first bit {first}")
    tally = flip_bits(sample, first, FLIPS)
    assert_sound(tally, FLIPS)
    assert tally.words["refused"] > FLIPS // 3


def test_structured_damage(sample: Sample, other: Sample) -> None:
    """Pages zeroed, swapped, copied, foreign or stale; files cut, missing, renamed, foreign; headers of all kinds."""
    seed = int(time.time())
    print(f"seed {seed}")
    tally = damage_pages(sample, other, seed, CASES)
    assert_sound(tally, CASES)
    assert tally.words["refused"] > CASES // 3
    assert tally.words["old"] < CASES // len(KINDS)


def test_deaths_and_hangs_are_seen(sample: Sample) -> None:
    """The instrument itself: a process that dies and one that stands still get their verdicts, and the run goes on."""

    def judge(directory: Path) -> Verdict:
        if (directory / "die").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if (directory / "hang").exists():
            time.sleep(60)
        return Verdict("equal")

    def case(number: int) -> Case:
        return Case(f"{number}", {("plain", "die", "plain", "hang", "plain")[number]: b""})

    tally = run(5, case, judge, hang_seconds=0.5)
    assert (tally.words["equal"], tally.words["died"], tally.words["hung"]) == (3, 1, 1)
    assert [line.split(":")[0] for line in tally.failures] == ["case 1, 1", "case 3, 3"]


def test_a_journal_of_another_time_is_refused(sample: Sample, place: Path) -> None:
    """Zeros, or the journal as it was earlier, in the place of the one that the header means."""
    name = sample.records[0].journal
    for content in (bytes(len(sample.files[name])), sample.older[name]):
        write_files(place / "db", {**sample.files, name: content})
        with pytest.raises(CorruptError, match=f"{name} is damaged or another one"):
            DocumentStore.open(str(place / "db"), "A")
        assert read_files(place / "db")[name] == content, "nothing was changed"
    # What was lost may be accepted by name: all that the data file has is there then.
    with Env.open(str(place / "db"), accept_loss_after=sample.records[0].txn_id - 1) as env:
        assert env.statistics()["published_txn"] == sample.records[0].txn_id - 1
    shutil.rmtree(place / "db")


def test_a_journal_of_another_environment_is_refused(sample: Sample, other: Sample, place: Path) -> None:
    """The data file of one environment beside the journals of another, also when replay begins at an offset of 0."""
    name = sample.records[0].journal
    write_files(place / "db", {**sample.files, name: other.files[name]})
    with pytest.raises(CorruptError, match=name):
        DocumentStore.open(str(place / "db"), "A")
    # A break ends in a journal of its own, at whose beginning the next record belongs.
    write_files(place / "db", sample.files)
    DocumentStore.open(str(place / "db"), "A").close()
    files = read_files(place / "db")
    journal = f"journal.{struct.unpack_from('<Q', files[DATA], 8 * PAGE_SIZE + 64)[0]:016x}"
    write_files(place / "db", {**files, journal: other.files[name]})
    with pytest.raises(CorruptError, match=f"{journal} holds a record of another environment"):
        DocumentStore.open(str(place / "db"), "A")
    shutil.rmtree(place / "db")

"""The check finds what is broken and says where, and finds nothing in sound environments; the printers decode files."""

import random
from pathlib import Path

import pytest
from pynori_core import dump
from pynori_core.check import check
from pynori_core.env import Env
from pynori_core.errors import Busy, EngineError

from tests.core import crash_writer


def fill(directory: Path) -> None:
    """Two trees with inline values and runs, over a checkpoint and journals."""
    dice = random.Random(1)
    with Env.create(directory) as env:
        for step in range(5):
            with env.write() as txn:
                names = txn.tree(b"names", create=True)
                numbers = txn.tree(b"numbers", create=True, integer=True)
                for index in range(200):
                    names.put(b"key %06d" % dice.randrange(100_000), dice.randbytes(dice.choice((10, 100, 3000))))
                    numbers.put(step * 1000 + index, dice.randbytes(20))
                numbers.put(step, dice.randbytes(30_000))
            if step == 2:
                env.checkpoint()


def test_a_sound_environment_has_no_findings(tmp_path: Path) -> None:
    """Nothing is found in new, filled, crashed and closed environments; an open one is refused."""
    directory = tmp_path / "env"
    fill(directory)
    assert check(directory) == []
    empty = tmp_path / "empty"
    with Env.create(empty), pytest.raises(Busy):
        check(empty)
    assert check(str(empty)) == []
    with Env.open(directory) as env:
        with env.write() as txn:
            txn.tree(b"names").put(b"more", b"value")
        crashed = tmp_path / "crashed"
        crashed.mkdir()
        for path in directory.iterdir():
            (crashed / path.name).write_bytes(path.read_bytes())
    assert check(crashed) == []


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_every_flipped_page_is_found(tmp_path: Path) -> None:
    """A bit flipped in any used page of the data file is found by the page's number."""
    directory = tmp_path / "env"
    fill(directory)
    data = directory / "data.pynori"
    content = data.read_bytes()
    bitmap = content[2 * 8192 + 64 : 3 * 8192]
    used = [page for page in range(len(content) // 8192) if bitmap[page // 8] >> (page % 8) & 1 and page not in (0, 8)]
    dice = random.Random(2)
    for page in [1, 2, *dice.sample(used, 25)]:
        offset = page * 8192 + dice.randrange(8192)
        flip(data, offset)
        assert check(directory) != [], f"page {page}, offset {offset}"
        flip(data, offset)
    assert check(directory) == []


def test_headers_journals_and_free_space_are_judged(tmp_path: Path) -> None:
    """A header copy that is not whole, a damaged journal and a page without an owner are findings of their own."""
    directory = tmp_path / "env"
    fill(directory)
    flip(directory / "data.pynori", 65536 + 60)
    assert check(directory) == ["I4: header copy B (page 8) does not have the hash of its bytes"]
    flip(directory / "data.pynori", 65536 + 60)
    with Env.open(directory) as env, env.write() as txn:
        lost = txn.allocate(type=2)
    assert check(directory) == [f"T9 violated: page {lost} is marked as used, and nobody has it"]

    crashed = tmp_path / "crashed"
    with Env.create(tmp_path / "other") as env:
        for number in range(1, 6):
            with env.write() as txn:
                crash_writer.write(txn, 1, number)
        crashed.mkdir()
        for path in (tmp_path / "other").iterdir():
            (crashed / path.name).write_bytes(path.read_bytes())
    flip(crashed / "journal.0000000000000001", 5000)
    found = check(crashed)
    assert len(found) == 1
    assert "damaged at offset 0" in found[0] or "damaged at offset 4096" in found[0]


def test_printers_decode_what_is_there(tmp_path: Path) -> None:
    """header, journal, page and tree print the numbers that the files hold, and damage is named, not hidden."""
    directory = tmp_path / "env"
    fill(directory)
    lines = list(dump.header(directory))
    assert any(": counts" in line for line in lines)
    assert any(f"environment id     {environment_id(directory)}" in line for line in lines)
    journal = list(dump.journal(directory))
    assert any("transaction 5" in line for line in journal)
    assert not any("DAMAGED" in line for line in journal)
    assert any("'names', root" in line for line in dump.page(directory, 1))
    assert any("pages used" in line for line in dump.page(directory, 2))
    tree = list(dump.tree(directory, "numbers"))
    assert f"entries: {5 * 200 + 4}" in tree or any("1000" in line for line in tree)
    assert any("30000 bytes" in line for line in tree)
    with pytest.raises(EngineError):
        list(dump.tree(directory, "nothing"))
    with pytest.raises(EngineError):
        list(dump.document(directory, "orders/1"))
    flip(directory / "data.pynori", 8192 + 100)
    lines = list(dump.page(directory, 1))
    assert "not to be trusted" in lines[0]
    assert "catalog" in lines[1]


def environment_id(directory: Path) -> str:
    with Env.open(directory) as env:
        return env.id.hex()


def test_a_damaged_record_is_printed_as_such(tmp_path: Path) -> None:
    """The journal's printer marks a payload without its hash and goes on behind it."""
    directory = tmp_path / "env"
    with Env.create(directory) as env:
        for number in range(1, 4):
            with env.write() as txn:
                crash_writer.write(txn, 1, number)
    flip(directory / "journal.0000000000000001", 200)
    lines = [line for line in dump.journal(directory) if "transaction" in line]
    assert "DAMAGED" in lines[0]
    assert "transaction 3" in lines[2]

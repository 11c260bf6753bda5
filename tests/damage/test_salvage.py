"""Salvage brings out every document whose pages are intact, and never one that was not written."""

import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pynori_core.command import Batch
from pynori_core.document_writer import DocumentWriter
from pynori_core.env import Env
from pynori_core.errors import CorruptError
from pynori_core.identifier import key_of
from pynori_core.items import DocumentStore
from pynori_core.salvage import Salvage

from tests.damage.sample import DATA, HEADER_PAGES, PAGE_SIZE, Builder, Files, Sample, read_files, write_files

IDS = 300
LEAF, RUN = 4, 5


class Truth:
    """A larger database, closed after a checkpoint, and where each of its documents lies."""

    def __init__(self, place: Path, seed: int) -> None:
        builder = Builder(place, random.Random(seed))
        dice = builder.dice
        for first in range(0, IDS, 50):
            builder.put(*((f"users/{number}", "Users", dice.choice([50, 300, 900, 9_000]))
                          for number in range(first, first + 50)))
        builder.put(*((f"users/{number}", "Users", 200) for number in range(0, IDS, 7)))
        builder.delete(*(f"users/{number}" for number in range(0, IDS, 11)))
        builder.store.checkpoint()
        self.files = read_files(place)
        builder.close()
        self.versions = builder.versions
        self.newest = {id: versions[-1] for id, versions in self.versions.items() if versions[-1]}
        self.pages: dict[str, set[int]] = {}
        self.trees: dict[bytes, set[int]] = {}
        self._find(place)
        shutil.rmtree(place)

    def _find(self, place: Path) -> None:
        """Pages of each tree, and of each document."""
        write_files(place, self.files)
        places: dict[int, set[int]] = {}
        with Env.open(str(place), read_only=True) as env, env.read() as txn:
            names = {txn.tree(name).id: name for name in (b"items", b"items.sets", b"items.id")}
            page = 1
            while page < env.statistics()["file_pages"]:
                content = self.files[DATA][page * PAGE_SIZE : (page + 1) * PAGE_SIZE]
                number, kind = struct.unpack_from("<Q", content, 8)[0], content[28]
                pages = struct.unpack_from("<I", content, 40)[0] if number == page and kind == RUN else 1
                tree = struct.unpack_from("<H", content, 30)[0]
                if number == page and kind in (LEAF, RUN, 3):
                    self.trees.setdefault(names.get(tree, b""), set()).update(range(page, page + pages))
                if number == page and kind == LEAF and names.get(tree) == b"items":
                    for etag, others in entries(content):
                        places[etag] = {page} | others
                page += pages
            for id in self.newest:
                etag = struct.unpack("<Q", txn.tree(b"items.id").get(key_of(id))[:8])[0]
                self.pages[id] = places[etag]


def entries(leaf: bytes) -> list[tuple[int, set[int]]]:
    """(row id, pages of its run) of the entries of a leaf of rows."""
    found = []
    for slot in range(struct.unpack_from("<H", leaf, 32)[0]):
        offset = struct.unpack_from("<H", leaf, 64 + 2 * slot)[0]
        _, flags, _ = struct.unpack_from("<HHI", leaf, offset)
        etag = struct.unpack_from(">Q", leaf, offset + 8)[0]
        pages: set[int] = set()
        if flags & 1:
            first, size = struct.unpack_from("<QQ", leaf, offset + 16)
            pages = set(range(first, first + (size + 64 + PAGE_SIZE - 1) // PAGE_SIZE))
        found.append((etag, pages))
    return found


@pytest.fixture(scope="module")
def truth(place: Path) -> Truth:
    return Truth(place / "truth", 5)


def salvage(directory: Path) -> tuple[dict[str, tuple[Any, str]], dict[str, Any], list[str]]:
    """Documents with their judgement, outdated ones, and the list of losses."""
    with Salvage(directory) as wreck:
        wreck.survey()
        found = {id: (content(body), judgement) for _, id, body, judgement in wreck.documents()}
        outdated = {id: content(body) for _, id, body, _ in wreck.documents(outdated=True)}
        return found, outdated, list(wreck.losses())


def content(body: bytes) -> Any:
    document = json.loads(body)
    assert set(document.pop("@metadata")) >= {"@id", "@collection", "@last-modified"}
    return document


def destroyed(files: Files, pages: set[int], dice: random.Random) -> Files:
    data = bytearray(files[DATA])
    for page in pages:
        data[page * PAGE_SIZE : (page + 1) * PAGE_SIZE] = dice.choice([bytes(PAGE_SIZE), dice.randbytes(PAGE_SIZE)])
    return {**files, DATA: bytes(data)}


def without_payloads(files: Files) -> Files:
    """Journals whose records keep their headers, and nothing else: no image of a page comes from them."""
    damaged = dict(files)
    for name in files:
        if name != DATA:
            journal = bytearray(files[name])
            for offset in range(0, len(journal), 4096):
                if journal[offset : offset + 4] == b"PYNJ":
                    journal[offset + 128] ^= 1
            damaged[name] = bytes(journal)
    return damaged


def assert_salvaged(truth: Truth, place: Path, pages: set[int], dice: random.Random) -> list[str]:
    """All documents with intact pages come out as they are; the others not at all, or as a told older version."""
    check_salvage(truth, place, destroyed(truth.files, pages, dice), pages)
    return check_salvage(truth, place, without_payloads(destroyed(truth.files, pages, dice)), pages)


def check_salvage(truth: Truth, place: Path, files: Files, pages: set[int]) -> list[str]:
    write_files(place, files)
    found, outdated, losses = salvage(place)
    shutil.rmtree(place)
    intact = {id for id, theirs in truth.pages.items() if not theirs & pages}
    for id in intact:
        assert found[id][0] == truth.newest[id], id
    if not pages & (truth.trees[b"items.id"] | {1}):
        told = "\n".join(losses)
        for id in truth.newest.keys() - found.keys():
            assert f"document {id}, etag" in told, f"{id} is lost without a word"
    for id, (body, judgement) in found.items():
        assert body in truth.versions[id], f"{id} was never like this"
        if body != truth.newest.get(id):  # what the data file has lost may be in the journal
            assert judgement == "possible", f"{id} is old or deleted, and is called {judgement}"
    for id, body in outdated.items():
        assert body in truth.versions[id] and id not in intact
    return losses


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.5, 0.9])
def test_a_share_of_all_pages_destroyed(truth: Truth, place: Path, share: float) -> None:
    """1 %, 5 %, half and more of the pages, several times over; what is intact comes back, the rest is listed."""
    file_pages = len(truth.files[DATA]) // PAGE_SIZE
    for seed in range(6):
        dice = random.Random(seed)
        pages = set(dice.sample(range(1, file_pages), int(file_pages * share)))
        losses = assert_salvaged(truth, place / "db", pages - set(HEADER_PAGES), dice)
        used = set().union(*truth.trees.values())
        assert any("are lost" in line or "is lost" in line for line in losses) == bool(pages & used)


@pytest.mark.parametrize(
    "choose",
    [
        lambda truth: set(HEADER_PAGES),
        lambda truth: {1},
        lambda truth: {2},
        lambda truth: {0, 1, 2, 8},
        lambda truth: truth.trees[b"items.id"],
        lambda truth: truth.trees[b"items.sets"],
        lambda truth: truth.trees[b"items.id"] | truth.trees[b"items.sets"] | {1, 2},
        lambda truth: truth.trees[b"items.id"] | truth.trees[b"items.sets"] | {0, 1, 2, 8},
    ],
    ids=["headers", "catalog", "bitmap", "fixed pages", "id index", "sets", "all but the rows", "nothing but rows"],
)
def test_structures_destroyed(truth: Truth, place: Path, choose: Callable[[Truth], set[int]]) -> None:
    """Headers, catalog, free space, id index, sets: no document lies in them, so none is lost with them."""
    losses = assert_salvaged(truth, place / "db", choose(truth), random.Random(1))
    assert any("lost" in line or "not whole" in line for line in losses)


def test_an_untouched_database_comes_out_whole(sample: Sample, place: Path) -> None:
    """With a live journal behind the checkpoint: its records are applied, and nothing is reported as lost."""
    write_files(place / "db", sample.files)
    found, outdated, losses = salvage(place / "db")
    newest = {id: versions[-1] for id, versions in sample.versions.items() if versions[-1]}
    assert {id: body for id, (body, _) in found.items()} == newest
    assert not losses and not outdated and {judgement for _, judgement in found.values()} == {"current"}
    shutil.rmtree(place / "db")


def test_the_journal_alone(sample: Sample, place: Path) -> None:
    """Without the data file, everything that the records have whole images of comes out, as it was."""
    files = {name: content for name, content in sample.files.items() if name != DATA}
    write_files(place / "db", files)
    found, _, losses = salvage(place / "db")
    assert found and any("data.pynori" in line for line in losses)
    for id, (body, _) in found.items():
        assert body in sample.versions[id]
    shutil.rmtree(place / "db")


def test_journals_destroyed_or_damaged(sample: Sample, place: Path) -> None:
    """Without the journals the documents come out as the checkpoint left them; a damaged record is named."""
    files = {DATA: sample.files[DATA]}
    write_files(place / "db", files)
    found, _, _ = salvage(place / "db")
    assert len(found) > 50
    for id, (body, _) in found.items():
        assert body in sample.versions[id]
    record = sample.records[1]
    journal = bytearray(sample.files[record.journal])
    journal[record.offset + 200] ^= 1
    write_files(place / "db", {**sample.files, record.journal: bytes(journal)})
    found, _, losses = salvage(place / "db")
    assert any(f"the record of transaction {record.txn_id} at offset {record.offset} is damaged" in line
               for line in losses)
    assert any(f"transactions {record.txn_id} to {record.txn_id}" in line for line in losses)
    for id, (body, _) in found.items():
        assert body in sample.versions[id]
    shutil.rmtree(place / "db")


def test_random_damage_of_everything(sample: Sample, other: Sample, place: Path) -> None:
    """Structured damage of all kinds: salvage never fails otherwise than by name, and never invents a content."""
    from tests.damage.structured import Structured

    make = Structured(sample, other, 3)
    for number in range(240):
        case = make.case(number)
        write_files(place / "db", case.files)
        try:
            found, outdated, _ = salvage(place / "db")
        except CorruptError as error:
            assert "environment's id" in str(error)
            continue
        for id, body in [*((id, body) for id, (body, _) in found.items()), *outdated.items()]:
            assert body in sample.versions[id], f"{case.name}: {id}"
    shutil.rmtree(place / "db")


def test_salvage_of_an_emptied_and_refilled_database(place: Path) -> None:
    """Pages that were freed and used again: old rows in them do not come back while anything tells that they died."""
    builder = Builder(place / "db", random.Random(9))
    for turn in range(6):
        builder.put(*((f"users/{turn}-{number}", "Users", 2_000) for number in range(40)))
        builder.delete(*(f"users/{turn}-{number}" for number in range(0, 40, 2)))
        builder.store.checkpoint()
    files = read_files(place / "db")
    builder.close()
    write_files(place / "db", files)
    found, outdated, losses = salvage(place / "db")
    assert set(found) == {id for id, versions in builder.versions.items() if versions[-1]}
    assert not losses and not outdated
    shutil.rmtree(place / "db")


def test_what_comes_out_goes_in(truth: Truth, place: Path) -> None:
    """The lines are documents that a database takes, under the same ids and in the same collections."""
    write_files(place / "db", truth.files)
    with Salvage(place / "db") as wreck:
        wreck.survey()
        lines = [(id, body) for _, id, body, _ in wreck.documents()]
    store = DocumentStore.create("", bytes(16), "A", in_memory=True)
    writer = DocumentWriter(store)
    for id, body in lines:
        batch = Batch()
        batch.put(id, body, None)
        writer.execute(batch)
    assert [entry[:2] for entry in store.collections()] == [("Users", len(truth.newest))]
    writer.close()
    store.close()
    shutil.rmtree(place / "db")

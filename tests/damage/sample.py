"""The database that is damaged: about 256 KB with everything in it that a database can hold, as bytes of its files.

Documents of several collections, overwritten and deleted ones, values of several pages, id ranges, a checkpoint in the
middle, and a journal with live records behind it. The files are copied while the database is open, as a crash leaves
them. Beside them stands what every way of reading must answer, and which bytes must not change unnoticed.
"""

import json
import random
import shutil
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pynori_core.command import Batch
from pynori_core.document_writer import DocumentWriter
from pynori_core.env import Env
from pynori_core.items import DocumentStore
from pynori_core.reads import DocumentReader, DocumentStream

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)

PAGE_SIZE = 8192
SECTOR_SIZE = 4096
DATA = "data.pynori"
HEADER_PAGES = (0, 8)
RECORD_HEADER = struct.Struct("<IHH16sQQQQQIIQQQQQQQ")
RUN = 5
DATABASE_ID = bytes(range(16))
COLLECTIONS = ("Users", "Orders", "Logs", "@hilo")

Files = dict[str, bytes]
Answers = dict[str, Any]


@dataclass(slots=True)
class Record:
    """One record of a journal."""

    journal: str
    offset: int
    stored_size: int
    txn_id: int
    payload: bool

    @property
    def end(self) -> int:
        return self.offset + (RECORD_HEADER.size + self.stored_size + SECTOR_SIZE - 1) // SECTOR_SIZE * SECTOR_SIZE


@dataclass(slots=True)
class Sample:
    """Files, and the truth about them."""

    files: Files
    older: Files  # as they were after an earlier checkpoint
    answers: Answers  # of the undamaged database
    shorter: Answers  # of the database without its last transaction
    ids: list[str]
    versions: dict[str, list[dict[str, Any]]]  # all contents that a document ever had, oldest first
    records: list[Record]  # the live ones, in order
    pages: dict[int, int] = field(default_factory=dict)  # pages only in the data file -> first page of their run
    covered: set[int] = field(default_factory=set)  # pages of which the journal has whole images


def body(collection: str, **fields: Any) -> bytes:
    return json.dumps({**fields, "@metadata": {"@collection": collection}}).encode()


class Builder:
    """Writes documents and remembers every version of them."""

    def __init__(self, directory: Path, dice: random.Random) -> None:
        self.dice = dice
        self.versions: dict[str, list[dict[str, Any]]] = {}
        self.store = DocumentStore.create(str(directory), DATABASE_ID, "A")
        self.writer = DocumentWriter(self.store)

    def put(self, *documents: tuple[str, str, int]) -> None:
        """One transaction of documents: (id, collection, size of its text)."""
        batch = Batch()
        for id, collection, size in documents:
            text = "".join(self.dice.choices("abcdefghijklmnop", k=size))
            content = {"name": id, "text": text, "version": len(self.versions.get(id, []))}
            batch.put(id, body(collection, **content), None)
            self.versions.setdefault(id, []).append(content)
        self.writer.execute(batch)

    def delete(self, *ids: str) -> None:
        batch = Batch()
        for id in ids:
            batch.delete(id, None)
            self.versions[id].append({})
        self.writer.execute(batch)

    def close(self) -> None:
        self.writer.close()
        self.store.close()


def build(place: Path, seed: int = 1, documents: int = 60, large: int = 30_000) -> Sample:
    """Make the sample in `place`, a directory that does not exist yet; nothing stays there."""
    dice = random.Random(seed)
    builder = Builder(place, dice)
    builder.put(*((f"users/{number}", "Users", dice.randrange(20, 700)) for number in range(documents)))
    builder.put(*((f"orders/{number}-A", "Orders", dice.randrange(20, 400)) for number in range(documents)))
    builder.store.checkpoint()
    older = read_files(place)
    builder.put(("logs/large", "Logs", large), ("logs/larger", "Logs", large * 2), ("Raven/Hilo/users", "@hilo", 10))
    builder.put(*((f"users/{number}", "Users", 100) for number in range(0, documents, 4)))
    builder.delete(*(f"orders/{number}-A" for number in range(0, documents, 5)))
    builder.store.checkpoint()
    builder.put(*((f"users/{number}", "Users", 300) for number in range(1, documents, 7)))
    builder.put(("logs/large", "Logs", large * 2 // 3))
    builder.delete("orders/1-A", "users/1")
    builder.put(*((f"late/{number}", "Late", 50) for number in range(12)))
    builder.put(("late/last", "Late", 60))
    files = read_files(place)
    builder.close()
    shutil.rmtree(place)
    sample = Sample(files, older, {}, {}, sorted(builder.versions), builder.versions, live_records(files))
    sample.answers = answers_of(place, files, sample.ids)
    sample.shorter = answers_of(place, without_last_record(sample), sample.ids)
    find_pages(place, sample)
    return sample


# ---- files

def read_files(directory: Path) -> Files:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}


def write_files(directory: Path, files: Files) -> None:
    """Let the directory hold exactly these files."""
    directory.mkdir(exist_ok=True)
    for path in directory.iterdir():
        if path.name not in files and path.name != "lock":
            path.unlink()
    for name, content in files.items():
        with open(directory / name, "wb", buffering=0) as file:
            file.write(content)


def checkpoint_place(files: Files) -> tuple[int, int, int]:
    """Transaction, journal and offset in it from which the newer header wants the journals."""
    headers = [struct.unpack_from("<QQQQ", files[DATA], page * PAGE_SIZE + 48) for page in HEADER_PAGES]
    _, txn_id, journal, offset = max(headers)
    return txn_id, journal, offset


def live_records(files: Files) -> list[Record]:
    """The records behind the checkpoint, of the one journal that the sample needs."""
    _, journal, offset = checkpoint_place(files)
    name = f"journal.{journal:016x}"
    found = []
    while True:
        fields = RECORD_HEADER.unpack_from(files[name], offset)
        if fields[0] == 0:
            return found
        found.append(Record(name, offset, fields[11], fields[6], not fields[2] & 2))
        offset = found[-1].end


def without_last_record(sample: Sample) -> Files:
    last = sample.records[-1]
    content = bytearray(sample.files[last.journal])
    content[last.offset : last.end] = bytes(last.end - last.offset)
    return {**sample.files, last.journal: bytes(content)}


def find_pages(place: Path, sample: Sample) -> None:
    """Which pages are in use, and which of them a replay takes from the journal."""
    write_files(place, sample.files)
    checkpoint_txn = checkpoint_place(sample.files)[0]
    with Env.open(str(place), read_only=True) as env, env.read() as txn:
        bitmap = int.from_bytes(txn.page(2)[64:], "little")
        page = 1
        while page < env.statistics()["file_pages"]:
            if page == HEADER_PAGES[1] or not bitmap >> page & 1:
                page += 1
                continue
            content = txn.page(page)
            pages = struct.unpack_from("<I", content, 40)[0] if content[28] == RUN else 1
            for each in range(page, page + pages):
                if struct.unpack_from("<Q", content, 16)[0] > checkpoint_txn:
                    sample.covered.add(each)
                else:
                    sample.pages[each] = page
            page += pages
    shutil.rmtree(place)


# ---- what a database answers

def answers_of(place: Path, files: Files, ids: list[str]) -> Answers:
    write_files(place, files)
    store = DocumentStore.open(str(place), "A")
    answers = read_all(store, ids)
    store.close()
    shutil.rmtree(place)
    return answers


def ways(store: DocumentStore, ids: list[str]) -> dict[str, Any]:
    """Every way of reading, by name, as something to call."""
    reader = DocumentReader(store)

    def by_id() -> list[Any]:
        found = [reader.get(id) for id in ids]
        return [None if each is None else (each.id, each.etag, each.collection, each.json) for each in found]

    def items() -> list[Any]:
        return [(each.kind, each.id, each.etag, each.collection, each.json)
                for each in DocumentStream.items_since(store, 0)]

    made: dict[str, Any] = {
        "id": by_id,
        "etag": reader.list_recent,
        "prefix": lambda: reader.list_by_prefix(""),
        "items": items,
        "collections": store.collections,
        "counts": store.counts,
    }
    for name in COLLECTIONS:
        made[name] = lambda name=name: reader.list_collection(name)
    return made


def read_all(store: DocumentStore, ids: list[str]) -> Answers:
    return {name: way() for name, way in ways(store, ids).items()}

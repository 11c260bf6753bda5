"""Databases with chosen damage under true hashes, so that what comes behind the hashes is reached.

`Image` is a small database: its data file after a checkpoint, and one journal behind it. `pages` and `records` lay
patches over one or the other and set every hash again, as an attacker would who can write files, or a defect of ours.
"""

import json
import shutil
import struct
import tempfile
from pathlib import Path

from pynori_core.checksum import xxh3_64_of, xxh3_128_of
from pynori_core.command import Batch
from pynori_core.document_writer import DocumentWriter
from pynori_core.items import DocumentStore

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)

PAGE_SIZE = 8192
SECTOR_SIZE = 4096
RECORD_HEADER_SIZE = 128
PAGES_MAX = 64  # of the data file: it is cut behind the pages in use
PAGE_HEADERS = (0, 8)
ENV_ID_OFFSET = 32  # in the file header; journal_first is at 64, journal_offset at 72
RUN_TYPE = 5
MULTIPLIER = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def write_documents(writer: DocumentWriter, first: int, count: int, size: int) -> None:
    batch = Batch()
    for number in range(first, first + count):
        metadata = {"@collection": f"Things{number % 3}"}
        body = {"name": f"n{number}", "text": "x" * size, "@metadata": metadata}
        batch.put(f"things/{number}", json.dumps(body).encode())
    writer.execute(batch)


def read_files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}


class Image:
    """The files of a small database, in memory."""

    def __init__(self) -> None:
        base = Path(tempfile.mkdtemp(prefix="pynori-image-"))
        try:
            store = DocumentStore.create(str(base / "db"), bytes(range(16)), "A")
            writer = DocumentWriter(store)
            write_documents(writer, 0, 60, 100)
            write_documents(writer, 60, 3, 20_000)
            store.checkpoint()
            for number in range(100, 104):
                write_documents(writer, number, 3, 50)
            # The files are taken as a kill would leave them: a close would make a checkpoint.
            self.files = read_files(base / "db")
            writer.close()
            store.close()
            self.closed = read_files(base / "db")
        finally:
            shutil.rmtree(base)
        header = self.files["data.pynori"]
        self.env_id = header[ENV_ID_OFFSET : ENV_ID_OFFSET + 16]
        self.seed = xxh3_64_of(self.env_id, 0)
        number, self.start = struct.unpack_from("<QQ", header, 64)
        self.journal = f"journal.{number:016x}"

    def page_hash(self, data: bytes | bytearray, page: int, run_pages: int) -> int:
        at = page * PAGE_SIZE
        value = xxh3_64_of(bytes(data[at + 8 : at + PAGE_SIZE]), self.seed ^ (page * MULTIPLIER & MASK))
        for number in range(1, run_pages):
            value = xxh3_64_of(bytes(data[at + number * PAGE_SIZE : at + (number + 1) * PAGE_SIZE]), value)
        return value

    def seal_page(self, data: bytearray, page: int) -> None:
        at = page * PAGE_SIZE
        if page in PAGE_HEADERS:
            struct.pack_into("<Q", data, at + 504, xxh3_64_of(bytes(data[at : at + 504]), 0))
            return
        run_pages = 1
        if data[at + 28] == RUN_TYPE:
            run_pages = min(max(struct.unpack_from("<I", data, at + 40)[0], 1), len(data) // PAGE_SIZE - page)
        struct.pack_into("<Q", data, at, self.page_hash(data, page, run_pages))

    def pages(self, patches: list[tuple[int, int, bytes]]) -> dict[str, bytes]:
        """The closed database's files, with (page, offset, bytes) laid over the data file."""
        data = bytearray(self.closed["data.pynori"])
        pages = len(data) // PAGE_SIZE
        for page, offset, piece in patches:
            at = page % min(pages, PAGES_MAX) * PAGE_SIZE
            offset = offset % PAGE_SIZE
            piece = piece[: PAGE_SIZE - offset]
            data[at + offset : at + offset + len(piece)] = piece
        for page in {page % min(pages, PAGES_MAX) for page, _, _ in patches}:
            self.seal_page(data, page)
        return {**self.closed, "data.pynori": bytes(data)}

    def records(self, patches: list[tuple[int, int, bytes]], payload: bytes | None = None) -> dict[str, bytes]:
        """The files with (record, offset, bytes) laid over records, whose hashes and chain are then set again.

        With a payload, a record that holds it follows the last one.
        """
        journal = bytearray(self.files[self.journal])
        at = self.start
        chain = struct.unpack_from("<Q", journal, at + 32)[0]
        number = 0
        last = b""
        while at + SECTOR_SIZE <= len(journal) and struct.unpack_from("<I", journal, at)[0]:
            stored = struct.unpack_from("<Q", journal, at + 72)[0]
            size = (RECORD_HEADER_SIZE + stored + SECTOR_SIZE - 1) // SECTOR_SIZE * SECTOR_SIZE
            for record, offset, piece in patches:
                if record % 8 == number:
                    # The hashes are at the header's end, so that patches of the payload come first in offset.
                    offset = offset % size
                    piece = piece[: size - offset]
                    journal[at + offset : at + offset + len(piece)] = piece
            last = bytes(journal[at : at + RECORD_HEADER_SIZE])
            chain = self.seal_record(journal, at, chain)
            number += 1
            at += size
        if payload is not None and at + RECORD_HEADER_SIZE + len(payload) <= len(journal):
            journal[at : at + RECORD_HEADER_SIZE] = last
            txn_id = struct.unpack_from("<Q", last, 40)[0] + 1
            count = payload[0] if payload else 0
            body = payload[1:]
            struct.pack_into("<H", journal, at + 6, 0)
            struct.pack_into("<QQQIIQQ", journal, at + 40, txn_id, 1, 0, count, 0, len(body), len(body))
            journal[at + RECORD_HEADER_SIZE : at + RECORD_HEADER_SIZE + len(body)] = body
            self.seal_record(journal, at, chain)
        return {**self.files, self.journal: bytes(journal)}

    def seal_record(self, journal: bytearray, at: int, chain: int) -> int:
        """Sets the hashes and the chain of the record there; its header hash."""
        stored = min(struct.unpack_from("<Q", journal, at + 72)[0], len(journal) - at - RECORD_HEADER_SIZE)
        start = at + RECORD_HEADER_SIZE
        payload_hash = xxh3_128_of(bytes(journal[start : start + stored]), 0)
        struct.pack_into("<Q", journal, at + 32, chain)
        struct.pack_into("<QQ", journal, at + 104, payload_hash & MASK, payload_hash >> 64)
        header = bytes(journal[at : at + RECORD_HEADER_SIZE - 8])
        value = xxh3_64_of(header, struct.unpack_from("<Q", self.env_id)[0])
        struct.pack_into("<Q", journal, at + RECORD_HEADER_SIZE - 8, value)
        return value


def parse_patches(data: bytes) -> list[tuple[int, int, bytes]]:
    """A fuzzer's input as patches: number (1 byte), offset (2 bytes), size (1 byte), bytes; again and again."""
    patches = []
    at = 0
    while at + 4 < len(data):
        number, offset, size = struct.unpack_from("<BHB", data, at)
        patches.append((number, offset, data[at + 4 : at + 4 + size]))
        at += 4 + size
    return patches

"""What is fuzzed: functions that take any bytes and raise only when something is wrong.

Each is a target of `ci/fuzz` and is replayed over its kept corpus by test_corpus.py. Exceptions that callers are told
to expect are caught here; whatever else leaves a target is a finding, as are a crash, a hang and a sanitizer's report.
"""

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pynori_core.blittable import Document, Items, validate
from pynori_core.change_vector import canonical, compare, merge
from pynori_core.check import check
from pynori_core.command import Batch
from pynori_core.conflict_reads import conflict_versions, conflicted_ids
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.errors import EngineError, JsonError
from pynori_core.expr import Program
from pynori_core.framing import ArrayFramer
from pynori_core.identifier import key_of
from pynori_core.index_store import IndexStore
from pynori_core.item_frames import add_frame, outgoing
from pynori_core.items import DocumentStore
from pynori_core.json import JsonCodec
from pynori_core.reads import DocumentReader, DocumentStream
from pynori_core.salvage import Salvage
from pynori_core.tables import verify_documents

from pynori.config import Settings
from pynori.errors import PynoriError
from pynori.http.listener import Listener, ListenerLimits
from pynori.http.protocol import Connection
from pynori.http.router import Router
from pynori.http.routes import ROUTES
from pynori.indexes.definition import IndexDefinition
from pynori.indexes.feeders import make_feeder
from pynori.server.server import Server
from tests.core.json_oracle import judge
from tests.fuzz.images import Image, parse_patches, write_documents

MEMORY_FILESYSTEM = "/dev/shm"
FILE_SIZE_BYTES_MAX = 64 << 20     # a record may ask for any length of the data file; the disk refuses more than this
CODEC = JsonCodec()


signal.signal(signal.SIGXFSZ, signal.SIG_IGN)     # as Python does when it is not embedded: the limit is an error


# ---- text and documents


def json_text(data: bytes) -> None:
    """Our reader accepts what Python's does, with equal values; as a stored document it is read or refused."""
    judge(data)
    try:
        document = Document.from_json(data, document=True)
    except EngineError:
        return
    CODEC.write_document(bytes(document), b"things/1", b"A:1-AAAAAAAAAAAAAAAAAAAAAA", b"None", b"2020", None)
    read_all(document, 0)


def read_all(value: Any, depth: int) -> None:
    if isinstance(value, Document):
        for name in value:
            read_all(value[name], depth + 1)
        value.extract()
    elif isinstance(value, Items):
        for item in value:
            read_all(item, depth + 1)


def blittable(data: bytes) -> None:
    """Bytes that pass the check can be read in every way."""
    try:
        validate(data)
    except EngineError:
        return
    text = CODEC.write(data)
    text.decode()
    try:
        document = Document.from_bytes(data)
    except TypeError:
        return
    assert document.to_json() == text
    read_all(document, 0)
    document.to_python()
    assert document == Document.from_bytes(bytes(document))


def change_vector(data: bytes) -> None:
    """The canonical form is a fixed point, merging is commutative, and order is antisymmetric."""
    left, _, right = data.decode("utf-8", "replace").partition("|")
    try:
        left = canonical(left)
        right = canonical(right)
    except EngineError:
        return
    assert canonical(left) == left
    order = compare(left, right)
    assert compare(right, left) == {"newer": "older", "older": "newer"}.get(order, order)
    try:
        merged = merge(left, right)
    except EngineError:
        return
    assert merged == merge(right, left)
    assert compare(merged, left) in ("equal", "newer")


def identifier(data: bytes) -> None:
    """The key of an id is a fixed point, and a batch takes the id or says why not."""
    text = data.decode("utf-8", "replace")
    try:
        key = key_of(text)
    except ValueError:
        key = b""
    if key and len(key) <= 512:
        assert key_of(key.decode()) == key
    try:
        Batch().put(text, b"{}")
        Batch().delete(text, text[:64])
    except (EngineError, ValueError):
        return


def framing(data: bytes) -> None:
    """An array is cut at the same places wherever its pieces end."""
    if not data:
        return
    step = data[0] % 16 + 1
    text = data[1:]
    whole, pieces = ArrayFramer(), ArrayFramer()
    try:
        cut = whole.scan(text)
    except JsonError:
        cut = -1
    found = 0
    try:
        for at in range(0, len(text), step):
            here = pieces.scan(text[at : at + step])
            found = at + here if here else found
    except JsonError:
        found = -1
    assert found == cut
    assert cut < 0 or (whole.count, whole.ended, whole.between) == (pieces.count, pieces.ended, pieces.between)


# ---- files


@cache
def image() -> Image:
    return Image()


def use(files: dict[str, bytes]) -> None:
    """Open a database of these files, read, write, check and salvage it: answers and errors are both right.

    What a document's bytes say rests on the hash of their page alone, which is true here, so each is checked when read.
    """
    parent = MEMORY_FILESYSTEM if os.path.isdir(MEMORY_FILESYSTEM) else None
    base = Path(tempfile.mkdtemp(prefix="pynori-fuzz-", dir=parent))
    verify_documents(True)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE_BYTES_MAX, limits[1]))
    try:
        for name, data in files.items():
            (base / name).write_bytes(data)
        with contextlib.suppress(EngineError):
            check(str(base))
        with contextlib.suppress(EngineError):
            salvage(base)
        with contextlib.suppress(EngineError):
            work(base)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        verify_documents(False)
        shutil.rmtree(base)


def work(base: Path) -> None:
    store = DocumentStore.open(str(base), "A")
    try:
        read(store)
        write(store)
    finally:
        store.close()


def salvage(base: Path) -> None:
    with Salvage(base) as found:
        found.survey()
        documents = sum(1 for _ in found.documents(outdated=True))
        assert documents < 10_000
        assert sum(1 for _ in found.state()) < 10_000
        assert sum(1 for _ in found.losses()) < 10_000


def read(store: DocumentStore) -> None:
    reader = DocumentReader(store)
    for ask in (
        lambda: [reader.get(f"things/{number}") for number in (0, 1, 30, 59, 60, 62, 100, 103, 999)],
        lambda: reader.load(["things/1", "things/61"], ["name"]),
        lambda: reader.list_by_prefix("things/", matches="1*|?2", page_size=50),
        lambda: reader.list_recent(page_size=50),
        lambda: reader.list_collection("Things1", page_size=50, descending=True),
        lambda: list(DocumentStream.items_since(store, 0, 200)),
        lambda: (store.counts(), store.collections(), store.environment()),
    ):
        with contextlib.suppress(EngineError):
            ask()


def write(store: DocumentStore) -> None:
    writer = DocumentWriter(store)
    try:
        for first, count, size in ((0, 20, 40), (500, 40, 300), (61, 1, 30_000)):
            with contextlib.suppress(EngineError):
                write_documents(writer, first, count, size)
        batch = Batch()
        for number in range(30, 63):
            batch.delete(f"things/{number}")
        with contextlib.suppress(EngineError):
            writer.execute(batch)
            store.checkpoint()
    finally:
        writer.close()


def page(data: bytes) -> None:
    """Pages of the data file with patches under true hashes."""
    use(image().pages(parse_patches(data)))


def journal(data: bytes) -> None:
    """Records with patches under true hashes, or one record more with any payload."""
    if data[:1] == b"\0":
        use(image().records([], data[1:]))
    else:
        use(image().records(parse_patches(data[1:])))


# ---- index definitions and programs

DOCUMENTS = [
    {"Name": "Ann", "Age": 36, "Tags": ["a", "b", 3], "Address": {"City": "Oslo", "Zip": None}, "Score": 1.5,
     "When": "2024-02-29T10:11:12.0000000Z",
     "Lines": [{"Product": "p/1", "Price": 2}, {"Product": "p/2", "Price": 0.5}]},
    {"Name": "", "Age": -(1 << 63), "Tags": [], "Address": None, "Score": 1e300, "Lines": [None, 5, {"Price": "x"}]},
    {"Name": 7, "Age": None, "Tags": {"a": 1}, "Lines": [[1], [2, [3]]]},
    {},
]  # fmt: skip


@cache
def folks() -> tuple[DocumentStore, DocumentSnapshot]:
    """A database with the documents as collection Users, and a snapshot of it."""
    store = DocumentStore.create("", bytes(16), "A", in_memory=True)
    writer = DocumentWriter(store)
    batch = Batch()
    for number, document in enumerate(DOCUMENTS):
        body = {**document, "@metadata": {"@collection": "Users"}}
        batch.put(f"users/{number}", json.dumps(body).encode())
    writer.execute(batch)
    writer.close()
    return store, DocumentSnapshot(store)


def linq(data: bytes) -> None:
    """A definition is refused with a place in its text, or feeds an index; only its documents can fail.

    Texts are separated by zero bytes: maps, then a reduce behind an empty one.
    """
    maps, _, reduce = data.decode("utf-8", "replace").partition("\0\0")
    given = {"Name": "Fuzzed", "Maps": maps.split("\0")[:4], "Reduce": reduce or None}
    try:
        definition = IndexDefinition.from_json(given)
        if definition.type.startswith("JavaScript"):
            return
        feeder = make_feeder(definition, SimpleNamespace(scripts=None))
    except PynoriError:
        return
    _, snapshot = folks()
    with IndexStore.create(None) as index:
        for etag in (0, 2):  # the second time some are put again
            with index.write() as writer:
                feeder.start(writer)
                feeder.feed(writer, snapshot, "Users", etag, 100)
                feeder.finish(writer, snapshot)
        with index.read() as read:
            assert read.document_count <= 100


def program(data: bytes) -> None:
    """Bytes that pass for a program run over any document, within bounds, or fail as programs do."""
    try:
        made = Program(data)
    except ValueError:
        return
    _, snapshot = folks()
    for number, document in enumerate(DOCUMENTS):
        source = Document.from_json(json.dumps(document).encode())
        for run in (made.run, made.documents) if made.is_map else (made.value, made.test):
            with contextlib.suppress(EngineError):
                run(source, id=f"users/{number}", snapshot=snapshot, references=[])


# ---- HTTP


class Sink(asyncio.Transport):
    """A transport that keeps nothing but answers that tell of a defect."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.defects: list[bytes] = []

    def write(self, data: Any) -> None:
        if bytes(data[:12]) == b"HTTP/1.1 500":
            self.defects.append(bytes(data))

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Door:
    """A server in memory with one database, and its listener without a socket."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.unhandled: list[dict[str, Any]] = []
        self.loop.run_until_complete(self.start())

    async def start(self) -> None:
        self.loop.set_exception_handler(lambda _, context: self.unhandled.append(context))
        server = await Server.start(Settings(run_in_memory=True))
        self.listener = Listener(server, Router(ROUTES), ListenerLimits())
        body = b'{"DatabaseName":"db"}'
        target = b"PUT /admin/databases?name=db&replicationFactor=1 HTTP/1.1\r\nHost: a\r\n"
        await self.exchange([target + b"Content-Length: %d\r\n\r\n" % len(body) + body], 0.05)

    async def exchange(self, pieces: list[bytes], wait_s: float = 0) -> None:
        transport = Sink()
        connection = Connection(self.listener)
        connection.connection_made(transport)
        for piece in pieces:
            if not transport.closed:
                connection.data_received(piece)
                await asyncio.sleep(wait_s)
        for _ in range(5):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        await asyncio.sleep(0)
        assert not transport.defects, transport.defects
        assert not self.unhandled, self.unhandled


@cache
def door() -> Door:
    return Door()


def http(data: bytes) -> None:
    """Bytes on a connection, cut in two somewhere: no defect of ours shows, whatever they are."""
    if not data:
        return
    cut = data[0] * (len(data) - 1) // 256 + 1
    server = door()
    server.loop.run_until_complete(server.exchange([piece for piece in (data[1:cut], data[cut:]) if piece]))


# ---- items from another instance


@cache
def receiver() -> tuple[DocumentStore, DocumentWriter]:
    store = DocumentStore.create(None, bytes(16), "A", in_memory=True)
    return store, DocumentWriter(store)


def frame(data: bytes) -> None:
    """A frame of items is refused, or taken in; what is there then can be read, sent on, and taken in again."""
    store, writer = receiver()
    batch = Batch()
    try:
        add_frame(batch, data)
    except EngineError as error:
        assert len(batch) == 0 and str(error)
        return
    with contextlib.suppress(EngineError):  # a vector that has no room for one entry more
        writer.execute(batch)
    sent = outgoing(store, max(0, store.last_etag - 20), "", 100, 1 << 20)
    again = Batch()
    add_frame(again, sent.frame)
    before = store.last_etag
    writer.execute(again)
    assert store.last_etag == before, "what was sent by a database is news to it"
    for id in conflicted_ids(store, "", 20):
        versions = conflict_versions(store, id)
        assert len(versions) >= 2
        writer_end(writer, id, [version.change_vector for version in versions])
    if store.last_etag > 20_000:
        receiver.cache_clear()


def writer_end(writer: DocumentWriter, id: str, versions: list[str]) -> None:
    batch = Batch()
    batch.resolve(id, None, versions)
    with contextlib.suppress(EngineError):
        writer.execute(batch)


TARGETS = (json_text, blittable, change_vector, identifier, framing, page, journal, linq, program, http, frame)

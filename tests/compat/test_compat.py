"""Files of every format version that ever was open, read, check and take writes; those of a newer one are refused."""

import json
import struct
import tarfile
from pathlib import Path

import pytest
from pynori_core.check import check
from pynori_core.checksum import xxh3_64_of
from pynori_core.command import Batch
from pynori_core.document_writer import DocumentWriter
from pynori_core.errors import VersionError
from pynori_core.items import DocumentStore
from pynori_core.reads import DocumentReader
from pynori_core.salvage import Salvage

from tests.damage.sample import DATA, HEADER_PAGES, PAGE_SIZE, RECORD_HEADER, live_records, read_files

HERE = Path(__file__).resolve().parent
VERSIONS = sorted(path.name for path in HERE.iterdir() if path.name.isdigit())
NEWEST = VERSIONS[-1]
# Fields of the file header: offset of each 4-byte number.
VERSION, FEATURES_COMPATIBLE, FEATURES_READ_ONLY, FEATURES_INCOMPATIBLE = 8, 12, 16, 20
HASHED_SIZE = 504


@pytest.fixture
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The golden database of a version, the newest unless the test says otherwise, unpacked."""
    version = getattr(request, "param", NEWEST)
    with tarfile.open(HERE / version / "database.tar.xz") as archive:
        if hasattr(tarfile, "data_filter"):  # Debian 12's Python is older
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tmp_path / "db")
    return tmp_path / "db"


def change_headers(directory: Path, offset: int, value: int) -> None:
    """Another number in both copies of the file header, which stay whole."""
    content = bytearray((directory / DATA).read_bytes())
    for page in HEADER_PAGES:
        at = page * PAGE_SIZE
        struct.pack_into("<I", content, at + offset, value)
        struct.pack_into("<Q", content, at + HASHED_SIZE, xxh3_64_of(bytes(content[at : at + HASHED_SIZE])))
    (directory / DATA).write_bytes(content)


@pytest.mark.parametrize("golden", VERSIONS, indirect=True)
def test_golden_files(golden: Path, request: pytest.FixtureRequest) -> None:
    """Open, read every document, check, write, overwrite and delete what an older build wrote, open again."""
    version = request.node.callspec.params["golden"]
    truth = json.loads((HERE / version / "documents.json").read_text())
    assert check(golden) == []
    store = DocumentStore.open(str(golden), "A")
    assert store.counts()[:3] == (len(truth["documents"]), truth["tombstones"], truth["last_etag"])
    reader = DocumentReader(store)
    for id, expected in truth["documents"].items():
        found = json.loads(reader.get(id).json)
        assert found.pop("@metadata")["@id"] == id and found == expected
    writer = DocumentWriter(store)
    batch = Batch()
    batch.put("written/1", b'{"a":1,"@metadata":{"@collection":"Users"}}', None)
    assert writer.execute(batch)[0].change_vector.startswith(f"A:{truth['last_etag'] + 1}-")
    deleted, *overwritten = truth["documents"]
    collections = {id: json.loads(reader.get(id).json)["@metadata"]["@collection"] for id in overwritten}
    batch = Batch()
    batch.delete(deleted)
    for id in overwritten:
        batch.put(id, json.dumps({"n": 1, "@metadata": {"@collection": collections[id]}}).encode())
    writer.execute(batch)
    writer.close()
    store.close()
    assert check(golden) == []
    store = DocumentStore.open(str(golden), "A")
    reader = DocumentReader(store)
    assert reader.get("written/1") is not None and reader.get(deleted) is None
    assert all(json.loads(reader.get(id).json)["n"] == 1 for id in overwritten)
    assert store.counts()[:2] == (len(overwritten) + 1, truth["tombstones"] + 1)
    store.close()


@pytest.mark.parametrize("golden", VERSIONS, indirect=True)
def test_golden_files_can_be_salvaged(golden: Path, request: pytest.FixtureRequest) -> None:
    """Salvage reads every format version too."""
    truth = json.loads((HERE / request.node.callspec.params["golden"] / "documents.json").read_text())
    with Salvage(golden) as wreck:
        wreck.survey()
        assert {id for _, id, _, _ in wreck.documents()} == truth["documents"].keys()


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (VERSION, int(NEWEST) + 1, f"format version {int(NEWEST) + 1}"),
        (FEATURES_INCOMPATIBLE, 0x40, "features 0x40"),
        (FEATURES_READ_ONLY, 0x2, "features 0x2, with which this build may only read it"),
    ],
)
def test_newer_files_are_refused_by_name(golden: Path, offset: int, value: int, message: str) -> None:
    """A format version or a feature that this build does not know: nothing is changed, and the message says which."""
    change_headers(golden, offset, value)
    files = read_files(golden)
    with pytest.raises(VersionError, match=message):
        DocumentStore.open(str(golden), "A")
    assert read_files(golden) == files


def test_compatible_features_are_passed_over(golden: Path) -> None:
    """A feature that older builds may ignore keeps nobody from opening."""
    change_headers(golden, FEATURES_COMPATIBLE, 0x100)
    DocumentStore.open(str(golden), "A").close()


@pytest.mark.parametrize(("offset", "value"), [(4, int(NEWEST) + 1), (6, 0x8)])
def test_a_newer_record_is_no_torn_tail(golden: Path, offset: int, value: int) -> None:
    """The last record of the journal has a version or a flag that is unknown: it is refused, not cut off."""
    record = live_records(read_files(golden))[-1]
    content = bytearray((golden / record.journal).read_bytes())
    struct.pack_into("<H", content, record.offset + offset, value)
    header = bytes(content[record.offset : record.offset + RECORD_HEADER.size - 8])
    seed = struct.unpack_from("<Q", header, 8)[0]
    struct.pack_into("<Q", content, record.offset + RECORD_HEADER.size - 8, xxh3_64_of(header, seed))
    (golden / record.journal).write_bytes(content)
    with pytest.raises(VersionError, match=f"the record of transaction {record.txn_id}"):
        DocumentStore.open(str(golden), "A")

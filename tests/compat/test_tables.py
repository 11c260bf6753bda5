"""Databases of every format of tables that met other instances: read, checked, replicated from, and written."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from pynori_core.check import check
from pynori_core.command import Batch
from pynori_core.conflict_reads import conflict_versions
from pynori_core.document_writer import DocumentWriter
from pynori_core.item_frames import outgoing
from pynori_core.items import DocumentStore
from pynori_core.reads import DocumentReader

from tests.compat.make_tables import HERE, Side, truth_of

FORMATS = sorted(path.name for path in HERE.iterdir() if path.name.isdigit())


@pytest.fixture(params=FORMATS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    with tarfile.open(HERE / request.param / "database.tar.xz") as archive:
        if hasattr(tarfile, "data_filter"):  # Debian 12's Python is older
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tmp_path / "db")
    return request.param, tmp_path / "db"


def test_golden_tables(golden: tuple[str, Path]) -> None:
    """Every item, version in conflict, count, position and vector is there; it takes a resolution and a write."""
    format, directory = golden
    truth = json.loads((HERE / format / "truth.json").read_text())
    assert check(directory) == []
    store = DocumentStore.open(str(directory), "A")
    assert json.loads(json.dumps(truth_of(store))) == truth
    assert {"FromClusterTransaction", "Resolved"} <= {item[5] for item in truth["items"]} and truth["versions"]
    writer = DocumentWriter(store)
    batch = Batch()
    versions = [each.change_vector for each in conflict_versions(store, "both/1")]
    batch.resolve("both/1", b'{"side":"both"}', versions)
    batch.put("orders/1", b'{"n":2,"@metadata":{"@collection":"Orders"}}')
    resolved, written = writer.execute(batch)
    assert resolved.change_vector.count(",") >= 1 and "B:" in written.change_vector
    writer.close()
    store.close()
    assert check(directory) == []
    store = DocumentStore.open(str(directory), "A")
    found = DocumentReader(store).get("both/1")
    assert found is not None and b'"both"' in found.json
    store.close()


def test_golden_tables_are_sent_to_another_instance(golden: tuple[str, Path], tmp_path: Path) -> None:
    """A new instance gets everything that the old files hold, with the same vectors and conflicts."""
    format, directory = golden
    truth = json.loads((HERE / format / "truth.json").read_text())
    store = DocumentStore.open(str(directory), "A")
    newcomer = Side(tmp_path / "new", "C")
    sent = outgoing(store, 0, "", 10_000, 1 << 24)
    assert sent.ended and sent.vector == truth["vector"]
    newcomer.pull(store, "A")
    store.close()
    theirs = truth_of(newcomer.store)
    assert theirs["versions"].keys() == truth["versions"].keys() and theirs["large"] == truth["large"]
    alone = {item[0]: item[:6] + item[7:] for item in truth["items"] if item[0] not in truth["versions"]}
    assert {item[0]: item[:6] + item[7:] for item in theirs["items"] if item[0] not in truth["versions"]} == alone
    newcomer.close()

"""Makes the golden database of the current format of tables: python -m tests.compat.make_tables. Once for each format.

A database that has met another instance, with everything that comes of that: versions in conflict, what rules and
resolutions made, what the cluster agreed on, deletions that were dropped, positions and a vector; as a crash leaves it.
Never made anew for a version that was released: then the file is the only witness of what that version wrote.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from pynori_core.command import Batch
from pynori_core.conflict_reads import conflict_versions, conflicted_ids
from pynori_core.document_writer import DocumentWriter
from pynori_core.item_frames import add_frame, outgoing
from pynori_core.items import DocumentStore
from pynori_core.reads import DocumentReader, DocumentStream

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)
from tests.damage.sample import read_files

HERE = Path(__file__).resolve().parent / "tables"
FORMAT = 3  # TABLES_FORMAT of the engine
SIZE_BYTES_MAX = 100 * 1024
GROUP = f"{'R' * 21}A"


class Side:
    """One instance."""

    def __init__(self, directory: Path, tag: str) -> None:
        self.store = DocumentStore.create(str(directory), bytes([ord(tag)] * 16), tag)
        self.writer = DocumentWriter(self.store)

    def put(self, id: str, collection: str, **fields: Any) -> None:
        batch = Batch()
        batch.put(id, json.dumps({**fields, "@metadata": {"@collection": collection}}).encode())
        self.writer.execute(batch)

    def delete(self, id: str) -> None:
        batch = Batch()
        batch.delete(id)
        self.writer.execute(batch)

    def agreed(self, id: str, number: int, **fields: Any) -> None:
        batch = Batch()
        body = json.dumps({**fields, "@metadata": {"@collection": "Agreed"}}).encode()
        batch.put(id, body, source_change_vector=f"RAFT:{number}-{GROUP}", exact=True, ticks=639_000_000_000_000_000)
        self.writer.execute(batch)

    def pull(self, other: DocumentStore, source: str) -> None:
        sent = outgoing(other, 0, self.store.change_vector, 10_000, 1 << 24)
        batch = Batch()
        batch.set_position(f"replication/{source}", sent.last_etag)
        add_frame(batch, sent.frame, sent.vector)
        self.writer.execute(batch)

    def close(self) -> None:
        self.writer.close()
        self.store.close()


def fill(here: Side, there: Side) -> None:
    for number in range(20):
        here.put(f"users/{number}", "Users", n=number, text="x" * 50 * number)
        there.put(f"orders/{number}", "Orders", n=number)
    here.put("large/1", "Large", text="y" * 30_000)
    for number in range(3):
        here.delete(f"users/{number}")
    here.pull(there.store, "B")
    there.pull(here.store, "A")
    batch = Batch()
    batch.purge_tombstones(here.store.last_etag - 1, 2)
    here.writer.execute(batch)
    for number in range(4):
        here.put(f"both/{number}", "Both", side="A", n=number)
        there.put(f"both/{number}", "Both", side="B", n=number)
    here.put("both/deleted", "Both", side="A")
    there.put("both/deleted", "Both", side="B")
    there.delete("both/deleted")
    here.put("same", "Both", n=1)
    there.put("same", "Both", n=1)
    there.delete("orders/3")
    there.put("orders/3", "Moved", n=3)
    here.agreed("agreed/1", 1, n=1)
    there.agreed("agreed/1", 1, n=1)
    there.put("users/5", "Users", side="B")
    here.agreed("users/5", 2, side="the cluster")
    here.store.checkpoint()
    here.pull(there.store, "B")
    batch = Batch()
    versions = [each.change_vector for each in conflict_versions(here.store, "both/0")]
    batch.resolve("both/0", b'{"side":"A and B","@metadata":{"@collection":"Both"}}', versions)
    here.writer.execute(batch)
    here.delete("orders/7")
    here.put("late/1", "Late", n=1)


def truth_of(store: DocumentStore) -> dict[str, Any]:
    """Everything that a database of this format answers."""
    reader = DocumentReader(store)
    conflicted = conflicted_ids(store, "", 1_000)
    return {
        "counts": list(store.counts()), "conflicts": list(store.conflict_counts()), "vector": store.change_vector,
        "position": store.position("replication/B"),
        "items": [
            [item.id, item.kind, item.change_vector, item.last_modified, item.collection, item.flags, item.etag,
             json.loads(item.json) if item.json else None]
            for item in DocumentStream.items_since(store, 0)
        ],
        "versions": {
            id: [[each.change_vector, each.last_modified, each.collection, each.flags,
                  json.loads(each.json) if each.json else None] for each in conflict_versions(store, id)]
            for id in conflicted
        },
        "large": len(reader.get("large/1").json),
    }  # fmt: skip


def main() -> None:
    place = Path(tempfile.mkdtemp(prefix="pynori-compat-"))
    here, there = Side(place / "A", "A"), Side(place / "B", "B")
    fill(here, there)
    truth, files = truth_of(here.store), read_files(place / "A")
    here.close()
    there.close()
    shutil.rmtree(place)
    target = HERE / str(FORMAT)
    target.mkdir(parents=True)
    with tarfile.open(target / "database.tar.xz", "w:xz") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    (target / "truth.json").write_text(json.dumps(truth, indent=0) + "\n")
    size = sum(path.stat().st_size for path in target.iterdir())
    assert size < SIZE_BYTES_MAX, f"{size} bytes are too many for a repository"
    print(f"{target}: {size} bytes")


if __name__ == "__main__":
    main()

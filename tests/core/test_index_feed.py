"""The native path from documents to entries: paths, arrays, metadata, resuming by etag, tombstones."""

import json
import random
from typing import Any

import pytest
from pynori_core.command import Batch
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.index_feed import FeedProgram, FieldPaths
from pynori_core.index_store import Fed, IndexStore
from pynori_core.items import DocumentStore

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)


class Database:
    """A database in memory with an index beside it."""

    def __init__(self) -> None:
        self.store = DocumentStore.create("", bytes(16), "A", in_memory=True)
        self.writer = DocumentWriter(self.store)
        self.index = IndexStore.create(None)
        self.since = self.tombstones = 0

    def put(self, id: str, document: Any, collection: str = "Users") -> None:
        batch = Batch()
        batch.put(id, json.dumps({**document, "@metadata": {"@collection": collection, "x": "Meta"}}).encode())
        self.writer.execute(batch)

    def delete(self, id: str) -> None:
        batch = Batch()
        batch.delete(id)
        self.writer.execute(batch)

    def feed(self, program: FeedProgram, collection: str | None = "users", **limits: int) -> Fed:
        snapshot = DocumentSnapshot(self.store)
        with self.index.write() as writer:
            fed = writer.feed(snapshot, collection, self.since, program, **limits)
            gone = writer.feed_tombstones(snapshot, collection, self.tombstones)
        self.since, self.tombstones = fed.last_etag, gone.last_etag
        self.gone = gone
        snapshot.close()
        return fed

    def close(self) -> None:
        self.index.close()
        self.writer.close()
        self.store.close()


@pytest.fixture
def database() -> Any:
    made = Database()
    yield made
    made.close()


def test_paths(database: Database) -> None:
    """Plain, nested and array paths, the id and metadata become the values that lie there; the rest gives none."""
    paths = [
        "name",
        "a.b",
        "lines[].product",
        "tags",
        "id()",
        "@metadata.@collection",
        "@metadata.x",
        "lines[]",
        "m[][]",
    ]
    with database.index.write() as writer:
        fields = [writer.field(path) for path in paths]
    database.put(
        "users/1",
        {"name": "Ada", "a": {"b": 5}, "lines": [{"product": "P1"}, {"product": None}, {}, 3], "tags": ["x", "Y"]},
    )
    database.put("users/2", {"name": 1.5, "a": [{"b": True}, {"b": 10**18}], "tags": [], "m": [[1, 2], [3]]})
    database.put("other/1", {"name": "no"}, "Others")
    fed = database.feed(FieldPaths(list(zip(fields, paths, strict=True))))
    assert (fed.documents, fed.entries, fed.more, fed.failed) == (2, 2, False, 0)
    with database.index.read() as snapshot:
        everyone = snapshot.all()
        assert snapshot.documents(everyone) == ["users/1", "users/2"]
        values = [snapshot.values(everyone, field) for field in fields]
    assert values[0] == [["ada"], [1.5]]
    assert values[1] == [[5], [True, 10**18]]
    assert values[2] == [[None, "p1"], []]
    assert values[3] == [["x", "y"], []]
    assert values[4] == [["users/1"], ["users/2"]]
    assert values[5] == [["users"], ["users"]]
    assert values[6] == [["meta"], ["meta"]]
    assert values[7] == [[3, '{"product":"p1"}', '{"product":null}', "{}"], []]
    assert values[8] == [[], [1, 2, 3]]


def test_paths_that_are_none() -> None:
    """A path with an empty step or too many is refused."""
    for path in ("", "a..b", ".a", "[]", "a.b" * 20):
        with pytest.raises(ValueError, match="path"):
            FieldPaths([(1, path)])


@pytest.mark.parametrize("seed", range(3))
def test_follows_the_documents(seed: int, database: Database) -> None:
    """Fed in bounded steps from the last etags on, the index holds what the documents say, after any changes."""
    rng = random.Random(seed)
    with database.index.write() as writer:
        name, tag = writer.field("name"), writer.field("tags")
    program = FieldPaths([(name, "name"), (tag, "tags[]")])
    documents: dict[str, Any] = {}
    for _ in range(6):
        for _ in range(200):
            id = f"users/{rng.randrange(150)}"
            if rng.random() < 0.2:
                if documents.pop(id, None) is not None:
                    database.delete(id)
                continue
            documents[id] = {"name": rng.choice(["x", "y", None, 3]), "tags": [rng.randrange(9) for _ in range(3)]}
            database.put(id, documents[id])
        while database.feed(program, documents_max=37).more:
            pass
        with database.index.read() as snapshot:
            assert sorted(snapshot.documents(snapshot.all())) == sorted(documents)
            for number in range(9):
                found = snapshot.documents(snapshot.equal(tag, number))
                assert sorted(found) == sorted(id for id, each in documents.items() if number in each["tags"])


def test_all_collections_and_unknown_ones(database: Database) -> None:
    """None feeds every document and tombstone; an unknown collection feeds nothing."""
    with database.index.write() as writer:
        program = FieldPaths([(writer.field("a"), "a")])
    database.put("x/1", {"a": 1}, "One")
    database.put("x/2", {"a": 2}, "Two")
    assert database.feed(program, "Three").documents == 0
    assert database.feed(program, None).documents == 2
    database.delete("x/1")
    database.feed(program, None)
    assert (database.gone.documents, database.gone.deleted) == (1, 1)
    with database.index.read() as snapshot:
        assert snapshot.documents(snapshot.all()) == ["x/2"]


def test_text_fields_need_a_native_analyzer(database: Database) -> None:
    """A text field without one is refused before anything is read."""
    with database.index.write() as writer:
        field = writer.field("a", text=True, analyzer=lambda text: [])
        snapshot = DocumentSnapshot(database.store)
        with pytest.raises(ValueError, match="TextAnalyzer"):
            writer.feed(snapshot, None, 0, FieldPaths([(field, "a")]))
        snapshot.close()

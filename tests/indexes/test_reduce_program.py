"""Maps, keys and reduces without the interpreter against the same programs run one by one, and against plain Python."""

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pynori_core.blittable import Document
from pynori_core.command import Batch
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.index_store import IndexStore
from pynori_core.items import DocumentStore
from pynori_core.reduce_program import ProgramReduce, ProgramRows
from pynori_core.reduce_store import ReduceStore

from pynori.linq.lower import MapDefinition, ReduceDefinition, parse_map, parse_reduce

encode = msgspec.json.Encoder(order="sorted").encode
KEYS: list[Any] = [
    None, True, False, 0, -7, 2**53 + 1, 1.5, -0.0, 1e300, "", "a", 'quo"te', "back\\slash", "tab\there", "ünï", "日本",
    "\ud7ff\ue000", {"b": 1, "a": "x"}, [1, "two", None], "2026-01-02T03:04:05.0000000Z",
]  # fmt: skip
MAP = "from o in docs.Orders from l in o.Lines select new { o.Key, o.Other, Total = l.Total, Count = 1 }"
REDUCES = [
    "from r in results group r by r.Key into g select new { Key = g.Key, Other = g.Min(x => x.Other), "
    "Total = g.Sum(x => x.Total), Count = g.Sum(x => x.Count) }",
    "from r in results group r by new { r.Other, r.Key } into g select new { Key = g.Key.Key, Other = g.Key.Other, "
    "Total = g.Max(x => x.Total), Count = g.Count() }",
    "from r in results group r by new { r.Key, Half = r.Other / 2.0 } into g select new { Key = g.Key.Key, "
    "Other = g.Max(x => x.Other), Total = g.Sum(x => x.Total), Count = g.Sum(x => x.Count) }",
]


class Documents:
    """A store of documents in memory, written one by one."""

    def __init__(self) -> None:
        self.store = DocumentStore.create("", bytes(16), "A", in_memory=True)
        self.writer = DocumentWriter(self.store)

    def __enter__(self) -> "Documents":
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()
        self.store.close()

    def put(self, id: str, content: dict[str, Any] | None) -> None:
        """None deletes."""
        batch = Batch()
        if content is None:
            batch.delete(id)
        else:
            batch.put(id, json.dumps({**content, "@metadata": {"@collection": "Orders"}}).encode())
        self.writer.execute(batch)


def order(rng: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {"Lines": [{"Total": rng.randrange(100)} for _ in range(rng.choice((0, 1, 1, 2, 5)))]}
    if rng.random() < 0.95:
        made["Key"] = rng.choice(KEYS)
    if rng.random() < 0.95:
        made["Other"] = rng.randrange(4)
    return made


def by_hand(
    content: dict[str, dict[str, Any]], map_: MapDefinition, reduce: ReduceDefinition
) -> dict[bytes, dict[str, Any]]:
    """All rows of a group reduced at once, one document after the other, through the interpreter."""
    rows: dict[bytes, list[Document]] = defaultdict(list)
    for id, each in content.items():
        source = Document.from_json(json.dumps(each).encode())
        for row in map_.program.documents(source, id=id):
            document = Document.from_bytes(row)
            rows[encode(reduce.key_program.value(document))].append(document)
    made = {}
    for key, each in rows.items():
        (result,) = reduce.program.documents(each)
        made[key] = Document.from_bytes(result).to_python()
    return made


@pytest.mark.parametrize("text", REDUCES)
def test_groups_are_those_of_programs_run_one_by_one(tmp_path: Path, text: str) -> None:
    """Random documents with keys of every kind; changes, deletions, groups of more than a chunk, a second opening."""
    rng = random.Random(text)
    map_, reduce = parse_map(MAP), parse_reduce(text)
    rows = ProgramRows([map_.program], reduce.key_program, encode)
    native = ProgramReduce(reduce.partial, reduce.program)
    content: dict[str, dict[str, Any]] = {}
    found: dict[bytes, dict[str, Any]] = {}
    last = gone = 0
    with Documents() as documents:
        IndexStore.create(tmp_path / "index").close()
        for round_ in range(4):
            for number in rng.sample(range(1_500), 900):
                id = f"orders/{number}"
                if round_ and rng.random() < 0.3 and id in content:
                    documents.put(id, None)
                    del content[id]
                else:
                    content[id] = order(rng)
                    if rng.random() < 0.5:
                        content[id].update(Key="much", Other=1)  # outgrows a chunk
                    documents.put(id, content[id])
            with IndexStore.open(tmp_path / "index") as store, store.write() as writer:
                groups = ReduceStore(writer)
                snapshot = DocumentSnapshot(documents.store)
                gone = groups.feed_tombstones(snapshot, "Orders", gone).last_etag
                fed = groups.feed(snapshot, "Orders", last, rows)
                snapshot.close()
                last = fed.last_etag
                assert fed.failed == 0 and rows.take_errors() == []
                for group in groups.reduce(native):
                    assert group.error is None
                    found.pop(group.key, None)
                    if group.result is not None:
                        found[group.key] = Document.from_bytes(group.result).to_python()
            expected = by_hand(content, map_, reduce)
            assert found.keys() == expected.keys()
            for key, made in expected.items():
                assert found[key] == made, key
            assert any(each["Count"] > 256 for each in found.values())


def test_documents_that_fail_have_no_rows(tmp_path: Path) -> None:
    """Whether the map fails or the key: the document is told with what failed, others go on, its old rows are gone."""
    map_ = parse_map("from o in docs.Orders select new { o.Key, Total = 10 / o.Total }")
    reduce = parse_reduce(
        "from r in results group r by 6 / r.Key into g select new { g.Key, Total = g.Sum(x => x.Total) }"
        .replace("{ g.Key", "{ Key = g.Key")
    )  # fmt: skip
    rows = ProgramRows([map_.program], reduce.key_program, encode)
    with Documents() as documents, IndexStore.create(tmp_path / "index") as store:
        for id, key, total in (("orders/1", 1, 5), ("orders/2", 1, 0), ("orders/3", 0, 5), ("orders/4", 1, 2)):
            documents.put(id, {"Key": key, "Total": total})
        with store.write() as writer:
            groups = ReduceStore(writer)
            snapshot = DocumentSnapshot(documents.store)
            fed = groups.feed(snapshot, "Orders", 0, rows)
            snapshot.close()
            assert (fed.documents, fed.failed) == (4, 2)
            assert [(id, action) for id, action, _ in rows.take_errors()] == [
                ("orders/2", "Map"),
                ("orders/3", "Reduce"),
            ]
            assert groups.row_count == 2
            documents.put("orders/1", {"Key": 1, "Total": 0})
            snapshot = DocumentSnapshot(documents.store)
            groups.feed(snapshot, "Orders", fed.last_etag, rows)
            snapshot.close()
            assert groups.row_count == 1


def test_a_reduce_that_fails_breaks_its_group_alone(tmp_path: Path) -> None:
    """The group has no result and says why; it is whole again when what made it fail has gone."""
    map_ = parse_map("from o in docs.Orders select new { o.Key, o.Total }")
    reduce = parse_reduce(
        "from r in results group r by r.Key into g select new { Key = g.Key, Total = 10 / g.Sum(x => x.Total) }"
    )
    rows, native = (
        ProgramRows([map_.program], reduce.key_program, encode),
        ProgramReduce(reduce.partial, reduce.program),
    )
    with Documents() as documents, IndexStore.create(tmp_path / "index") as store:
        documents.put("orders/1", {"Key": "a", "Total": 0})
        documents.put("orders/2", {"Key": "b", "Total": 5})
        last = 0
        for expected in ({b'"a"': False, b'"b"': True}, {b'"a"': True}):
            with store.write() as writer:
                groups = ReduceStore(writer)
                snapshot = DocumentSnapshot(documents.store)
                last = groups.feed(snapshot, "Orders", last, rows).last_etag
                snapshot.close()
                assert {each.key: each.error is None for each in groups.reduce(native)} == expected
            documents.put("orders/1", {"Key": "a", "Total": 2})

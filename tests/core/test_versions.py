"""What becomes of versions that were made apart: ignored, overwritten, settled by rule, or in conflict."""

import itertools
import json
from collections.abc import Iterator

import pytest
from pynori_core import change_vector as vectors
from pynori_core.check import check
from pynori_core.command import Batch
from pynori_core.compact import Compaction
from pynori_core.conflict_reads import conflicted_ids
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.dump import document
from pynori_core.errors import ConcurrencyError, ConflictError
from pynori_core.item_frames import add_frame
from pynori_core.items import DocumentStore
from pynori_core.reads import DocumentReader, DocumentStream
from pynori_core.salvage import Salvage

from tests.core.instance import Instance, meet


@pytest.fixture
def instances() -> Iterator[list[Instance]]:
    made = [Instance(tag) for tag in "ABC"]
    yield made
    for instance in made:
        instance.close()


def split(a: Instance, b: Instance) -> None:
    """John on one, Doe on the other, of a document that both knew."""
    a.put("users/1", "Users", Name="first")
    b.pull(a)
    a.put("users/1", "Users", Name="John")
    b.put("users/1", "Users", Name="Doe")
    a.put("users/2", "Users", Name="untouched")
    meet(a, b)


def test_a_conflict_keeps_both_versions(instances: list[Instance]) -> None:
    """W10: the document leaves its collection on both; loading names the versions; other documents are untouched."""
    a, b, _ = instances
    split(a, b)
    for one in (a, b):
        assert one.store.conflict_counts() == (1, 2) and one.store.counts()[0] == 1
        assert conflicted_ids(one.store, "", 10) == ["users/1"] and conflicted_ids(one.store, "users/1", 10) == []
        versions = one.versions("USERS/1")
        assert sorted(json.loads(version.json)["Name"] for version in versions) == ["Doe", "John"]
        with pytest.raises(ConflictError, match="users/1") as caught:
            one.get("users/1")
        assert all(version.change_vector in str(caught.value) for version in versions)
        assert caught.value.offset == max(version.etag for version in versions)
        assert one.get("users/2")["Name"] == "untouched"
    assert {version[2:] for version in a.items()} == {version[2:] for version in b.items()}


def test_reads_leave_out_what_is_in_conflict(instances: list[Instance]) -> None:
    """Listings, streams, collections, includes and snapshots do not have it; loads by id and heads say that it is."""
    a, b, _ = instances
    split(a, b)
    a.put("orders/1", "Orders", User="users/1")
    reader = DocumentReader(a.store)
    for id in (["users/1"], ["users/2", "users/1"]):
        with pytest.raises(ConflictError):
            reader.load(id, [])
    for read in (reader.get, reader.head, lambda id: reader.answer(b"", id)):
        with pytest.raises(ConflictError):
            read("users/1")
    assert b"users/1" not in reader.load(["orders/1"], ["User"]).body.split(b'"Includes":')[1]
    for listing in (reader.list_by_prefix("users/"), reader.list_recent(), reader.list_collection("Users")):
        assert [each["@metadata"]["@id"] for each in json.loads(listing)["Results"]][-1] == "users/2"
        assert b"John" not in listing
    assert len(json.loads(reader.list_recent(start=1))["Results"]) == 1
    snapshot = DocumentSnapshot(a.store)
    assert snapshot.get("users/1") is None and snapshot.head("users/1") is None
    with pytest.raises(ConflictError):
        snapshot.get("users/1", conflict_raises=True)
    departed = snapshot.departed_since("Users", 0, count=10)
    assert [(id, now) for _, id, now in departed] == [("users/1", None)]
    snapshot.close()
    kinds = [item.kind for item in DocumentStream.items_since(a.store, 0)]
    assert sorted(kinds) == ["CONFLICT", "CONFLICT", "DOCUMENT", "DOCUMENT"]


@pytest.mark.parametrize("how", ["put", "delete", "resolve", "resolve to nothing"])
def test_a_conflict_ends(instances: list[Instance], how: str) -> None:
    """A plain write or a resolution on one ends it on all, and its vector has seen every version."""
    a, b, c = instances
    split(a, b)
    c.pull(a)
    versions = [version.change_vector for version in a.versions("users/1")]
    if how == "put":
        vector = a.put("users/1", "Users", Name="John Doe")
    elif how == "delete":
        vector = a.delete("users/1")
    else:
        body = {"Name": "John Doe", "@metadata": {"@collection": "Users"}} if how == "resolve" else None
        vector = a.resolve("users/1", body, versions)
    assert all(vectors.compare(vector, version) == "newer" for version in versions)
    meet(a, b, c)
    for one in instances:
        assert one.store.conflict_counts() == (0, 0) and one.versions("users/1") == []
        found = one.get("users/1")
        assert (found is None) if how in ("delete", "resolve to nothing") else found["Name"] == "John Doe"
        assert sorted(one.items()) == sorted(a.items())
    assert (len(json.loads(DocumentReader(c.store).list_collection("Users"))["Results"])) == (
        1 if how in ("delete", "resolve to nothing") else 2)


def test_two_that_resolve_to_the_same_make_the_same(instances: list[Instance]) -> None:
    """No ping-pong: equal resolutions are equal versions; of different ones the greater wins everywhere, once."""
    a, b, _ = instances
    split(a, b)
    versions = [version.change_vector for version in a.versions("users/1")]
    for one in (a, b):
        one.resolve("users/1", {"Name": "same", "@metadata": {"@collection": "Users"}}, versions)
    assert sorted(a.items()) == sorted(b.items())
    before = a.store.last_etag, b.store.last_etag
    meet(a, b)
    assert (a.store.last_etag, b.store.last_etag) == before
    assert a.get("users/1")["@metadata"]["@flags"] == "Resolved"
    a.put("users/1", "Users", Name="John")
    b.put("users/1", "Users", Name="Doe")
    meet(a, b)
    versions = [version.change_vector for version in b.versions("users/1")]
    for one in (a, b):
        one.resolve("users/1", {"Name": f"of {one.tag}", "@metadata": {"@collection": "Users"}}, versions)
    meet(a, b)
    assert a.get("users/1")["Name"] == b.get("users/1")["Name"] and sorted(a.items()) == sorted(b.items())


def test_a_resolution_of_other_versions_is_refused(instances: list[Instance]) -> None:
    """Too few, too many, others, or no conflict any more: nothing is changed."""
    a, b, _ = instances
    split(a, b)
    versions = [version.change_vector for version in a.versions("users/1")]
    before = a.items()
    for wrong in (versions[:1], [*versions, versions[0]], [versions[0], versions[0]],
                  [versions[0], a.vector], []):  # fmt: skip
        with pytest.raises(ConcurrencyError, match="users/1"):
            a.resolve("users/1", {"Name": "x"}, wrong)
    with pytest.raises(ConcurrencyError):
        a.resolve("users/2", {"Name": "x"}, [a.get("users/2")["@metadata"]["@change-vector"]])
    assert a.items() == before


def test_expected_vectors_are_refused_while_there_is_a_conflict(instances: list[Instance]) -> None:
    """Whoever expects one version has not seen the others."""
    a, b, _ = instances
    split(a, b)
    version = a.versions("users/1")[0].change_vector
    for expected in ("", version, "nonsense"):
        with pytest.raises(ConflictError) as caught:
            a.put("users/1", "Users", expected, Name="x")
        assert caught.value.document_id == "users/1" and caught.value.offset == a.versions("users/1")[-1].etag
        with pytest.raises(ConflictError):
            a.delete("users/1", expected)
    batch = Batch()
    batch.check("users/1", version)
    with pytest.raises(ConflictError):
        a.writer.execute(batch)


def test_a_conflict_may_begin_with_a_deletion_or_another_collection(instances: list[Instance]) -> None:
    """Delete against edit is a conflict, and so is the id in two collections; both collections hear that it is gone."""
    a, b, _ = instances
    split_vector = a.put("x", "Xs", n=1)
    b.pull(a)
    a.delete("x")
    b.put("x", "Xs", n=2)
    a.put("y", "As", n=1)
    b.put("y", "Bs", n=1, other=2)
    meet(a, b)
    for one in (a, b):
        assert one.store.conflict_counts() == (2, 4) and one.store.counts()[:2] == (0, 0)
        assert sorted(version.json is None for version in one.versions("x")) == [False, True]
        assert all(vectors.compare(version.change_vector, split_vector) == "newer" for version in one.versions("x"))
        assert {version.collection for version in one.versions("y")} == {"As", "Bs"}
    for one, collections in ((a, ("Xs", "As")), (b, ("Xs", "Bs"))):
        snapshot = DocumentSnapshot(one.store)
        for name in collections:
            assert len(snapshot.departed_since(name, 0, count=9)) == 1
        snapshot.close()


def test_equal_content_and_two_deletions_are_settled(instances: list[Instance]) -> None:
    """W11.1: the order of properties and the form of numbers make no difference; both vectors are in the outcome."""
    a, b, c = instances
    for one, body in ((a, b'{"A":1,"B":2.50,"@metadata":{"@collection":"Xs"}}'),
                      (b, b'{"B":2.5,"A":1.0,"@metadata":{"@collection":"Xs"}}')):  # fmt: skip
        batch = Batch()
        batch.put("x", body)
        batch.put("y", b'{"A":1}')
        one.writer.execute(batch)
        batch = Batch()
        batch.delete("y")
        one.writer.execute(batch)
    made = [one.get("x")["@metadata"]["@change-vector"] for one in (a, b)]
    meet(a, b, c)
    for one in instances:
        assert one.store.conflict_counts() == (0, 0) and one.store.counts()[:2] == (1, 1)
        assert sorted(one.items()) == sorted(a.items())
        assert one.get("x")["@metadata"]["@change-vector"] == vectors.merge(*made)
        assert one.get("y") is None


def test_metadata_is_content(instances: list[Instance]) -> None:
    """What two documents say there must be equal too."""
    a, b, _ = instances
    a.put("x", A=1, **{"@metadata": {"@collection": "Xs", "tag": 1}})
    b.put("x", A=1, **{"@metadata": {"@collection": "Xs", "tag": 2}})
    meet(a, b)
    assert a.store.conflict_counts() == b.store.conflict_counts() == (1, 2)


def test_a_cluster_wide_transaction_wins(instances: list[Instance]) -> None:
    """Over what was written apart from it, whatever comes first; a write that has seen it is newer."""
    a, b, c = instances
    a.put("x", n="plain")
    for one in (a, b, c):
        if one is not a:
            one.cluster_put("x", 7, n="cluster")
    meet(b, a, c)
    for one in instances:
        assert one.get("x")["n"] == "cluster"
        assert one.get("x")["@metadata"]["@flags"].startswith("FromClusterTransaction")
    newer = b.put("x", n="after")
    a.pull(b)
    a.cluster_put("x", 7, n="cluster")  # the same transaction, late on this instance
    assert a.get("x")["n"] == "after" and a.get("x")["@metadata"]["@change-vector"] == newer


def test_hilo_documents_keep_the_higher_number(instances: list[Instance]) -> None:
    """Ranges are given on both sides of a split, and the document that counts them is in no conflict after it."""
    a, b, _ = instances
    a.put("Raven/Hilo/users", "@hilo", Max=64)
    b.put("Raven/Hilo/users", "@hilo", Max=96)
    a.put("Raven/Hilo/orders", "@hilo", Max=32)
    b.put("Raven/Hilo/orders", "@hilo", Max=32)
    meet(a, b)
    for one in (a, b):
        assert one.get("Raven/Hilo/users")["Max"] == 96 and one.get("Raven/Hilo/orders")["Max"] == 32


def test_three_versions_in_any_order(instances: list[Instance]) -> None:
    """Whatever the order of arrival, every instance ends with the same versions, large ones among them."""
    a, b, c = instances
    for one in instances:
        one.put("x", "Xs", n=one.tag, text=one.tag * 9000)
    frames = [one.outgoing(0, "").frame for one in instances]
    ends = []
    for order in itertools.permutations(frames):
        late = Instance("D")
        for frame in order:
            late.apply(frame)
        assert late.store.conflict_counts() == (1, 3)
        late.put("other", n=1)
        late.reopen()
        ends.append(sorted(version.change_vector for version in late.versions("x")))
        late.close()
    assert all(end == ends[0] for end in ends)
    meet(a, b, c)
    b.put("x", "Xs", n="seen all")
    c.put("x", "Xs", n="seen all but that")
    meet(a, b, c)
    assert [len(one.versions("x")) for one in instances] == [2, 2, 2]


def test_a_fresh_write_is_newer_than_what_these_files_once_wrote(instances: list[Instance]) -> None:
    """A database that was restored from an old copy gets its own later writes back, and goes on above them."""
    a, b, _ = instances
    for number in range(20):
        a.put("x", n=number)
    b.pull(a)
    restored = Instance("A")
    restored.put("x", n=0)
    restored.pull(b)
    lost = restored.get("x")["@metadata"]["@change-vector"]
    vector = restored.put("x", n="new")
    assert vectors.compare(vector, lost) == "newer" and restored.store.last_etag == 21
    b.pull(restored)
    assert b.get("x")["n"] == "new"
    restored.close()


def test_compaction_brings_conflicts_over(instances: list[Instance], tmp_path: object) -> None:
    """In the copy of a snapshot, and in what is caught up: begun, ended, and with another version."""
    a, b, c = instances
    for number in range(6):
        for one in (a, b):
            one.put(f"x/{number}", "Xs", n=one.tag, text=one.tag * 5000)
    a.pull(b)
    target = f"{tmp_path}/new"
    compaction = Compaction(a.store, target, "A")
    compaction.copy()
    a.put("x/0", "Xs", n="ended")
    c.put("x/1", "Xs", n="third")
    c.put("x/9", "Xs", n="new")
    a.put("x/9", "Xs", n="new as well")
    compaction.catch_up()
    a.pull(c)
    a.resolve("x/2", {"n": 1}, [version.change_vector for version in a.versions("x/2")])
    compaction.catch_up()
    compaction.finish()
    compaction.close()
    copied = DocumentStore.open(target, "A")
    assert copied.conflict_counts() == a.store.conflict_counts() == (5, 11)
    assert copied.change_vector == a.vector
    assert [(item.etag, item.kind, item.id) for item in DocumentStream.items_since(copied, 0)] == [
        (item.etag, item.kind, item.id) for item in DocumentStream.items_since(a.store, 0)
    ]
    copied.close()
    assert check(target) == []


def test_inspect_and_salvage_show_every_version(tmp_path: object) -> None:
    """Each version is printed, and brought out: the newest as the document, the others beside it."""
    other = Instance("B")
    other.put("x", "Xs", n="other")
    store = DocumentStore.create(f"{tmp_path}/db", bytes(16), "A")
    writer = DocumentWriter(store)
    batch = Batch()
    batch.put("x", b'{"n":"own","@metadata":{"@collection":"Xs"}}')
    writer.execute(batch)
    batch = Batch()
    add_frame(batch, other.outgoing(0, "").frame)
    writer.execute(batch)
    writer.close()
    store.close()
    other.close()
    lines = list(document(f"{tmp_path}/db", "x"))
    assert sum(line.endswith("version in conflict") for line in lines) == 2
    assert sum('"n":"own"' in line or '"n":"other"' in line for line in lines) == 2
    with Salvage(f"{tmp_path}/db") as wreck:
        wreck.survey()
        assert list(wreck.losses()) == []
        newest, older = list(wreck.documents()), list(wreck.documents(outdated=True))
    assert [(id, judgement) for _, id, _, judgement in (*newest, *older)] == [("x", "conflict")] * 2
    assert json.loads(newest[0][2])["n"] == "other" and json.loads(older[0][2])["n"] == "own"

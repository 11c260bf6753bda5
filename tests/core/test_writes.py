"""Writes: what a put and a delete entail, held against plain dictionaries; refusals that leave no trace."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from pynori_core.check_documents import check_documents
from pynori_core.check_trees import check_transaction
from pynori_core.command import Batch, CommandResult
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.document_writer import DocumentWriter
from pynori_core.env import Env
from pynori_core.errors import CollectionMismatch, ConcurrencyError, EngineError, InvalidArgument, JsonError, TooLarge
from pynori_core.items import DocumentStore
from pynori_core.reads import DocumentReader, DocumentStream

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)

DATABASE_ID = bytes(range(16))
ID_TEXT = "AAECAwQFBgcICQoLDA0ODw"


def checked(directory: Path) -> None:
    """Every invariant holds in the closed database of that directory."""
    with Env.open(str(directory), read_only=True) as env:
        txn = env.read()
        findings = check_transaction(txn, env.statistics()["file_pages"])[0] + check_documents(txn)
        txn.close()
    assert not findings, "\n".join(findings)


class Engine:
    """A store with its writer and reader; `reopen` closes and opens it again."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory
        self.start(DocumentStore.create(str(directory or ""), DATABASE_ID, "A", in_memory=directory is None))

    def start(self, store: DocumentStore) -> None:
        self.store = store
        self.writer = DocumentWriter(store)
        self.reader = DocumentReader(store)

    def close(self) -> None:
        self.writer.close()
        self.store.close()
        if self.directory is not None:
            checked(self.directory)

    def reopen(self) -> None:
        self.close()
        self.start(DocumentStore.open(str(self.directory), "A"))

    def put(self, id: str, document: Any = None, expected: str | None = None, collection: str | None = None) -> Any:
        body = dict(document or {})
        if collection:
            body["@metadata"] = {"@collection": collection}
        batch = Batch()
        batch.put(id, json.dumps(body).encode(), expected)
        return self.writer.execute(batch)[0]

    def delete(self, id: str, expected: str | None = None) -> CommandResult:
        batch = Batch()
        batch.delete(id, expected)
        return self.writer.execute(batch)[0]

    def get(self, id: str) -> Any:
        found = self.reader.get(id)
        return None if found is None else json.loads(found.json)

    def state(self) -> Any:
        """Everything there is, for comparing before and after."""
        return self.store.counts(), self.store.collections(), [
            (i.kind, i.etag, i.id, i.collection, i.json) for i in DocumentStream.items_since(self.store, 0)
        ]  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    made = Engine(tmp_path / "db")
    yield made
    made.close()


def test_a_document_comes_back_with_what_the_server_knows(engine: Engine) -> None:
    """A put and a get: properties in order, metadata from the server, stale server metadata dropped."""
    batch = Batch()
    metadata = b'{"@collection":"Users","@id":"x","@change-vector":"y","k":1}'
    batch.put("users/1", b'{"b":1.0,"a":[null,true],"@metadata":%s}' % metadata)
    result = engine.writer.execute(batch)[0]
    found = engine.reader.get("users/1")
    assert found is not None
    assert (found.id, found.change_vector, found.etag, found.collection) == ("users/1", f"A:1-{ID_TEXT}", 1, "Users")
    assert found.json.decode() == (
        '{"b":1.0,"a":[null,true],"@metadata":{"@collection":"Users","k":1,"@id":"users/1",'
        f'"@change-vector":"A:1-{ID_TEXT}","@last-modified":"{found.last_modified}"}}}}'
    )
    assert (result.kind, result.id, result.change_vector, result.etag) == ("PUT", "users/1", f"A:1-{ID_TEXT}", 1)
    assert (result.collection, result.last_modified, result.flags) == ("Users", found.last_modified, "")


def test_ids_are_found_in_any_case_and_keep_their_first_spelling(engine: Engine) -> None:
    """Any letter case reaches the same document, spelt as at first; a deletion forgets the spelling."""
    for first, second in [("Users/Ada-A", "uSERS/aDA-a"), ("Straße/Ä", "STRAßE/ä"), ("x" * 100 + "Y", "X" * 100 + "y")]:
        engine.put(first, {"n": 1})
        assert engine.put(second, {"n": 2}).id == first
        assert engine.put(second.lower(), {"n": 3}).id == first
        assert engine.get(second.upper() if "ß" not in first else second)["n"] == 3
        assert engine.get(second)["@metadata"]["@id"] == first
        assert engine.delete(second).id == first
        assert engine.put(second).id == second


def test_made_ids(engine: Engine) -> None:
    """A slash gets the next etag in 19 digits and the node's tag, skipping ids that are taken; no id gets a GUID."""
    assert engine.put("Users/").id == "Users/0000000000000000001-A"
    assert engine.put("users/0000000000000000003-a").etag == 2
    made = engine.put("USERS/")
    assert (made.id, made.etag) == ("USERS/0000000000000000004-A", 4)
    assert engine.get("users/0000000000000000004-A") is not None
    guid = engine.put("").id
    assert len(guid) == 36 and engine.get(guid) is not None


@pytest.mark.parametrize("id", ["users|", "a\0b", "a\nb", "a\x7fb", "a\x85b", "\ud800", "é" * 257, "x" * 490 + "/"])
def test_what_is_no_id_is_refused(engine: Engine, id: str) -> None:
    """Control characters, surrogates, identities that nobody resolved, and overlong ids never reach the writer."""
    batch = Batch()
    with pytest.raises((InvalidArgument, TooLarge)):
        batch.put(id, b"{}")
    assert len(batch) == 0 and engine.writer.execute(batch) == []


def test_longest_ids(engine: Engine) -> None:
    """Ids of 512 bytes work, also when their key is longer than they are."""
    for id in ["x" * 512, "Ⱥ" * 256, "日" * 170]:
        engine.put(id, {"id": id})
        assert engine.get(id)["id"] == id


def test_refused_bodies(engine: Engine) -> None:
    """What is not a JSON object is refused with its byte position, before it becomes a command."""
    batch = Batch()
    for body in (b"", b"[]", b'{"a":}', b"{} x", b'{"a":NaN}', b'{"a":"\xff"}'):
        with pytest.raises(JsonError):
            batch.put("a", body)
    with pytest.raises(JsonError) as caught:
        batch.put("a", b'{"a":}')
    assert caught.value.offset == 5 and len(batch) == 0


def test_expected_change_vectors(engine: Engine) -> None:
    """None does not care, "" wants nothing there, a vector wants exactly it; the texts say both sides."""
    first = engine.put("users/1", expected="")
    tail = " Optimistic concurrency violation, transaction will be aborted."
    with pytest.raises(ConcurrencyError) as caught:
        engine.put("Users/1", expected="")
    assert str(caught.value) == (
        f"Document Users/1 has change vector {first.change_vector}, but Put was called expecting new document." + tail
    )
    second = engine.put("users/1", expected=first.change_vector)
    with pytest.raises(ConcurrencyError) as caught:
        engine.put("users/1", expected=first.change_vector)
    assert str(caught.value) == (
        f"Document users/1 has change vector {second.change_vector}, but Put was called with change vector "
        f"{first.change_vector}." + tail
    )
    with pytest.raises(ConcurrencyError, match=r"Document users/1 has change vector .*, but Delete was called with"):
        engine.delete("users/1", first.change_vector)
    for wrong in ("nonsense", f"A:2-{ID_TEXT}, B:1-{ID_TEXT[::-1][:21]}A", f"B:2-{ID_TEXT[:-1]}g", "x" * 20_000):
        with pytest.raises(ConcurrencyError):
            engine.put("users/1", expected=wrong)
    with pytest.raises(ConcurrencyError, match="Document users/2 does not exist, but Put was called with"):
        engine.put("users/2", expected=first.change_vector)
    with pytest.raises(ConcurrencyError, match="Document users/2 does not exist, but Delete was called with"):
        engine.delete("users/2", first.change_vector)
    assert engine.delete("users/1", second.change_vector).deleted
    with pytest.raises(ConcurrencyError):
        engine.put("users/1", expected=second.change_vector)
    assert engine.put("users/1", expected="").etag == 4
    assert not engine.delete("users/9", "").deleted


def test_checks(engine: Engine) -> None:
    """A check changes nothing; it refuses its batch when the document is not the one it names."""
    first = engine.put("users/1")

    def checked(id: str, vector: str) -> str:
        batch = Batch()
        batch.put("users/2", b"{}")
        batch.check(id, vector)
        _, result = engine.writer.execute(batch)
        assert (result.kind, result.id, result.change_vector, result.deleted) == ("CHECK", id, "", False)
        return result.kind

    assert checked("Users/1", first.change_vector) == checked("users/3", "") == "CHECK"
    before = engine.state()
    with pytest.raises(ConcurrencyError, match=r"users/1 has change vector .*, but Check was called expecting"):
        checked("users/1", "")
    with pytest.raises(ConcurrencyError, match=r"Document users/3 does not exist, but Check was called with"):
        checked("users/3", first.change_vector)
    with pytest.raises(ConcurrencyError):
        checked("users/2", f"A:1-{ID_TEXT}")  # written by the same batch
    assert engine.state() == before
    engine.delete("users/1")
    with pytest.raises(ConcurrencyError):
        checked("users/1", first.change_vector)
    assert checked("users/1", "") == "CHECK"


def test_a_refused_command_leaves_no_trace(engine: Engine) -> None:
    """Every kind of refusal changes neither items nor counts, nor makes a collection."""
    engine.put("users/1", {"n": 1}, collection="Users")
    before = engine.state()
    for refused in (
        lambda: engine.put("users/1", expected=""),
        lambda: engine.put("users/1", collection="Dogs"),
        lambda: engine.put("users/1"),
        lambda: engine.put("dogs/1", expected=f"A:1-{ID_TEXT}", collection="Dogs"),
        lambda: engine.delete("users/1", "x"),
    ):
        with pytest.raises((ConcurrencyError, CollectionMismatch)):
            refused()
        assert engine.state() == before


def test_a_collection_cannot_be_changed_by_an_update(engine: Engine) -> None:
    """Another collection is refused by name; another spelling of the same one is not, and a deletion frees the id."""
    engine.put("users/1", collection="Users")
    with pytest.raises(CollectionMismatch) as caught:
        engine.put("users/1", collection="Dogs")
    assert str(caught.value) == (
        "Changing 'users/1' from 'Users' collection to 'Dogs' via update is not supported. "
        "Delete it and recreate the document."
    )
    assert engine.put("users/1", collection="uSERS").collection == "Users"
    engine.delete("users/1")
    assert engine.put("users/1", collection="Dogs").collection == "Dogs"
    assert [(name, documents, tombstones) for name, documents, tombstones, _ in engine.store.collections()] == [
        ("Users", 0, 0), ("Dogs", 1, 0),
    ]  # fmt: skip


def departures(engine: Engine, collection: str, since: int = 0, count: int = 100) -> list[tuple[int, str, str | None]]:
    snapshot = DocumentSnapshot(engine.store)
    try:
        return snapshot.departed_since(collection, since, count=count)
    finally:
        snapshot.close()


def test_a_collection_hears_what_has_left_it(engine: Engine) -> None:
    """An id that was deleted and is used in another collection is told to the first one; the item stream is as ever."""
    for name in ("users/1", "Users/2"):
        engine.put(name, collection="Users")
        engine.delete(name)
    assert departures(engine, "Users") == []
    moved = engine.put("USERS/1", collection="Dogs").etag
    assert departures(engine, "users") == [(moved, "USERS/1", "Dogs")]
    assert departures(engine, "Users", moved) == departures(engine, "Dogs") == departures(engine, "Cats") == []
    assert {name: last for name, _, _, last in engine.store.collections()} == {"Users": moved, "Dogs": moved}
    assert [(i.kind, i.id, i.etag) for i in DocumentStream.items_since(engine.store, 0)] == [
        ("TOMBSTONE", "Users/2", 4), ("DOCUMENT", "USERS/1", 5),
    ]  # fmt: skip
    engine.delete("users/1")
    assert departures(engine, "Users") == [(moved, "USERS/1", None)]
    back = engine.put("users/1", collection="Users").etag
    assert departures(engine, "Users") == [(moved, "USERS/1", "Users")]
    assert departures(engine, "Dogs") == [(back, "users/1", "Users")]
    engine.delete("users/1")
    again = engine.put("users/1", collection="Dogs").etag
    engine.put("users/2", collection="Dogs")
    assert departures(engine, "Users") == [(again, "users/1", "Dogs"), (again + 1, "users/2", "Dogs")]
    assert departures(engine, "Users", count=1) == [(again, "users/1", "Dogs")]
    if engine.directory is not None:
        engine.reopen()
        assert departures(engine, "Users", again) == [(again + 1, "users/2", "Dogs")]


def test_departures_go_with_the_tombstones(engine: Engine) -> None:
    """A purge forgets departures up to its etag, those of every collection, and no more than it is told."""
    for number in range(40):
        id = f"x/{number}"
        engine.put(id, collection=f"From{number % 3}")
        engine.delete(id)
        engine.put(id, collection="To")

    def purge(etag_max: int, count_max: int) -> int:
        batch = Batch()
        batch.purge_tombstones(etag_max, count_max)
        return engine.writer.execute(batch)[0].purged

    def left() -> int:
        return sum(len(departures(engine, f"From{number}")) for number in range(3))

    assert left() == 40
    assert purge(2, 100) == 0 and purge(30, 4) == 4 and purge(30, 100) == 6
    assert left() == 30
    engine.delete("x/39")
    assert purge(10_000, 100) == 30 and left() == 0
    assert engine.store.counts()[1] == 1


@pytest.mark.parametrize(
    ("key", "value", "finding"),
    [
        (b"l\0\0\0\1users/1", None, "not found by its id"),
        (b"e\0\0\0\1\0\0\0\0\0\0\0\3", None, "0 departures by etag, 1 by id"),
        (b"e\0\0\0\1\0\0\0\0\0\0\0\2", b"users/2", "no row of that etag"),
        (b"e\0\0\0\5\0\0\0\0\0\0\0\3", b"users/1", "never given"),
    ],
)
def test_a_departure_that_is_wrong_is_found(tmp_path: Path, key: bytes, value: bytes | None, finding: str) -> None:
    """The check names D6 for a departure that is noted on one side only, of no row, or of no collection."""
    engine = Engine(tmp_path / "db")
    engine.put("users/1", collection="Users")
    engine.delete("users/1")
    engine.put("users/1", collection="Dogs")
    engine.close()
    with Env.open(str(tmp_path / "db")) as env:
        with env.write() as txn:
            if value is None:
                assert txn.tree(b"collections").delete(key)
            else:
                txn.tree(b"collections").put(key, value)
        with env.read() as txn:
            findings = check_documents(txn)
    assert findings and all(each.startswith("D6:") for each in findings)
    assert any(finding in each for each in findings), findings


def test_deletes_leave_tombstones(engine: Engine) -> None:
    """A delete is an item with an etag and a change vector of its own; deleting what is not there is none."""
    engine.put("users/1", collection="Users")
    deleted = engine.delete("Users/1")
    assert (deleted.deleted, deleted.etag, deleted.change_vector, deleted.id) == (True, 2, f"A:2-{ID_TEXT}", "users/1")
    again = engine.delete("USERS/1")
    assert (again.deleted, again.etag, again.change_vector, again.id) == (False, 0, "", "USERS/1")
    assert engine.get("users/1") is None and engine.reader.head("users/1") is None
    items = list(DocumentStream.items_since(engine.store, 0))
    assert [(i.kind, i.etag, i.id, i.collection, i.json, i.transaction) for i in items] == [
        ("TOMBSTONE", 2, "users/1", "Users", b"", 2)
    ]
    assert engine.store.counts() == (0, 1, 2, 1)
    assert engine.put("users/1", collection="Users").etag == 3
    assert engine.store.counts() == (1, 0, 3, 1)


def test_batches_are_all_or_nothing(engine: Engine) -> None:
    """A batch that fails at any place is undone entirely, and the next one starts from the same state."""
    engine.put("users/1", {"n": 0}, collection="Users")
    before = engine.state()
    for place in range(4):
        batch = Batch()
        for index in range(4):
            if index == place:
                batch.put("users/1", b'{"@metadata":{"@collection":"Users"}}', "A:99-" + ID_TEXT)
            elif index % 2:
                batch.put("users/1", b'{"n":9,"@metadata":{"@collection":"Users"}}')
            else:
                batch.put(f"new/{index}", b'{"@metadata":{"@collection":"New%d"}}' % index)
        with pytest.raises(ConcurrencyError) as caught:
            engine.writer.execute(batch)
        assert caught.value.command_index == place and caught.value.document_id == "users/1"
        assert engine.state() == before
    assert engine.put("users/1", collection="Users").etag == 2


def test_a_batch_sees_its_own_commands(engine: Engine) -> None:
    """Later commands of a batch see the earlier ones: put, update, delete, put anew."""
    batch = Batch()
    batch.put("a", b'{"n":1}', "")
    batch.put("A", b'{"n":2}')
    batch.delete("a")
    batch.put("a", b'{"n":3}', "")
    batch.put("x/", b"{}")
    batch.put("x/", b"{}")
    results = engine.writer.execute(batch)
    assert [r.etag for r in results] == [1, 2, 3, 4, 5, 6]
    assert [r.transaction for r in results] == [1] * 6
    assert engine.get("a")["n"] == 3 and results[4].id != results[5].id
    assert engine.store.counts()[:3] == (3, 0, 6)


def test_a_batch_is_handed_over_once(engine: Engine) -> None:
    """A batch that was executed takes no more commands and cannot be executed again."""
    batch = Batch()
    batch.put("a", b"{}")
    engine.writer.execute(batch)
    for use in (lambda: batch.put("b", b"{}"), lambda: batch.delete("b"), lambda: engine.writer.execute(batch)):
        with pytest.raises(InvalidArgument, match="handed over"):
            use()


def test_limits_of_a_batch() -> None:
    """More than 10,000 commands are refused by the limit's name."""
    batch = Batch()
    for _ in range(10_000):
        batch.delete("a")
    with pytest.raises(TooLarge, match="BATCH_COMMANDS_MAX"):
        batch.delete("a")


def test_a_vector_from_elsewhere_is_kept_and_grows(engine: Engine) -> None:
    """A document that comes with history keeps it through updates and deletes, and is compared as a whole."""
    other = "AAAAAAAAAAAAAAAAAAAAAA"
    batch = Batch()
    batch.put("users/1", b"{}", source_change_vector=f"B:7-{other}, RAFT:3-{other}")
    vector = engine.writer.execute(batch)[0].change_vector
    assert vector == f"A:1-{ID_TEXT}, B:7-{other}, RAFT:3-{other}"
    assert engine.get("users/1")["@metadata"]["@change-vector"] == vector
    updated = engine.put("users/1", expected=f"RAFT:3-{other},B:7-{other},A:1-{ID_TEXT}")
    assert updated.change_vector == vector.replace("A:1", "A:2")
    deleted = engine.delete("users/1", updated.change_vector)
    assert deleted.change_vector == vector.replace("A:1", "A:3")
    assert engine.put("users/1", expected="").change_vector == vector.replace("A:1", "A:4")
    with pytest.raises(InvalidArgument):
        batch = Batch()
        batch.put("a", b"{}", source_change_vector="nonsense")


def test_large_documents(engine: Engine) -> None:
    """Documents around the page size and far beyond are stored, updated and deleted whole."""
    for size in (3_000, 3_900, 4_000, 8_000, 8_200, 100_000, 3_000_000):
        engine.put(f"big/{size}", {"text": "x" * size})
        engine.put(f"big/{size}", {"text": "y" * size})
        assert engine.get(f"big/{size}")["text"] == "y" * size
    engine.delete("big/3000000")
    assert engine.get("big/3000000") is None and engine.store.counts()[0] == 6


def test_many_collections(engine: Engine) -> None:
    """More collections than the writer remembers, in one batch and in several, and names too long to remember."""
    names = [f"C{i}" for i in range(100)] + ["L" * 65, "M" * 512, "Ünïcode"]
    for _ in range(2):
        batch = Batch()
        for index, name in enumerate(names):
            batch.put(f"d/{index}", json.dumps({"@metadata": {"@collection": name}}).encode())
        assert [r.collection for r in engine.writer.execute(batch)] == names
    assert [(n, d) for n, d, _, _ in engine.store.collections()] == [(name, 1) for name in names]
    with pytest.raises(TooLarge):
        engine.put("x", collection="M" * 513)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_model(tmp_path: Path, seed: int) -> None:
    """Random commands and batches, good and failing, with reopenings, agree with plain dictionaries throughout."""
    engine = Engine(tmp_path / "db")
    dice = random.Random(seed)
    model = Model()
    for step in range(600):
        batch, expected_failure = Batch(), False
        draft = model.copy()
        for _ in range(1 if dice.random() < 0.6 else dice.randrange(2, 12)):
            expected_failure |= not draft.add_random_command(dice, batch)
        try:
            results = engine.writer.execute(batch)
            assert not expected_failure, f"seed {seed} step {step}"
            draft.last_etag = max([draft.last_etag, *(r.etag for r in results)])
            assert [r.etag for r in results] == draft.etags[-len(results) :]
            model = draft
        except (ConcurrencyError, CollectionMismatch):
            assert expected_failure, f"seed {seed} step {step}"
        if step % 150 == 149:
            batch = Batch()
            etag_max = dice.randrange(model.last_etag + 1)
            batch.purge_tombstones(etag_max, 10_000)
            assert engine.writer.execute(batch)[0].purged == model.purge(etag_max), f"seed {seed} step {step}"
        if step % 50 == 49:
            if dice.random() < 0.5:
                engine.reopen()
            model.compare(engine, f"seed {seed} step {step}")
    engine.close()


class Model:
    """What the database should hold, in dictionaries."""

    def __init__(self) -> None:
        self.documents: dict[str, tuple[str, int, str, int]] = {}  # key -> id, etag, collection, number
        self.tombstones: dict[str, tuple[str, int, str]] = {}
        self.departures: dict[tuple[str, str], tuple[int, str]] = {}  # collection, key -> etag, id
        self.last_etag = 0
        self.etags: list[int] = []

    def copy(self) -> "Model":
        made = Model()
        made.documents, made.tombstones = dict(self.documents), dict(self.tombstones)
        made.departures = dict(self.departures)
        made.last_etag, made.etags = self.last_etag, []
        return made

    def add_random_command(self, dice: random.Random, batch: Batch) -> bool:
        """One random command to the batch and, when it is right, to the model; False: it must be refused."""
        id = dice.choice(["users/", "Users/", "ORDERS/", "ä/Ö"]) + str(dice.randrange(40)) + dice.choice("aA")
        key = id.lower()
        there = self.documents.get(key)
        expected = dice.choice([None, None, None, "", "right", "wrong"])
        if expected == "right":
            expected = f"A:{there[1]}-{ID_TEXT}" if there else None
        elif expected == "wrong":
            expected = f"A:{self.last_etag + 1000}-{ID_TEXT}"
        is_right = not expected or (there is not None and expected == f"A:{there[1]}-{ID_TEXT}")
        is_right = is_right and not (expected == "" and there)
        if dice.random() < 0.3:
            batch.delete(id, expected)
            if is_right and there:
                del self.documents[key]
                self.tombstones[key] = (there[0], self.take_etag(), there[2])
            elif is_right:
                self.etags.append(0)
            return is_right
        collection = there[2] if there and dice.random() < 0.95 else dice.choice(["Users", "Orders", "Third"])
        number = dice.randrange(1000)
        body = {"n": number, "pad": "p" * dice.choice([0, 10, 900, 6000]), "@metadata": {"@collection": collection}}
        batch.put(id, json.dumps(body).encode(), expected)
        if not is_right or (there and there[2] != collection):
            return False
        self.documents[key] = (there[0] if there else id, self.take_etag(), collection, number)
        _, _, before = self.tombstones.pop(key, ("", 0, collection))
        if before != collection:
            self.departures[before, key] = (self.last_etag, self.documents[key][0])
        return True

    def purge(self, etag_max: int) -> int:
        gone = [key for key, (_, etag, _) in self.tombstones.items() if etag <= etag_max and etag != self.last_etag]
        left = [place for place, (etag, _) in self.departures.items() if etag <= etag_max]
        for key in gone:
            del self.tombstones[key]
        for place in left:
            del self.departures[place]
        return len(gone) + len(left)

    def take_etag(self) -> int:
        self.last_etag += 1
        self.etags.append(self.last_etag)
        return self.last_etag

    def compare(self, engine: Engine, where: str) -> None:
        assert engine.store.counts()[:3] == (len(self.documents), len(self.tombstones), self.last_etag), where
        items = [(i.kind, i.etag, i.id, i.collection) for i in DocumentStream.items_since(engine.store, 0)]
        wanted = [("DOCUMENT", etag, id, collection) for id, etag, collection, _ in self.documents.values()]
        wanted += [("TOMBSTONE", etag, id, collection) for id, etag, collection in self.tombstones.values()]
        assert items == sorted(wanted, key=lambda item: item[1]), where
        for key, (id, etag, collection, number) in self.documents.items():
            found = engine.reader.get(key.upper())
            assert found is not None and (found.id, found.etag, found.collection) == (id, etag, collection), where
            assert json.loads(found.json)["n"] == number, where
        for name, documents, tombstones, _ in engine.store.collections():
            left = [
                (etag, id, self.documents[key][2] if key in self.documents else None)
                for (collection, key), (etag, id) in self.departures.items() if collection == name
            ]  # fmt: skip
            assert departures(engine, name, count=10_000) == sorted(left), where
            assert documents == sum(c == name for _, _, c, _ in self.documents.values()), where
            assert tombstones == sum(c == name for _, _, c in self.tombstones.values()), where
            listed = json.loads(engine.reader.list_collection(name))["Results"]
            assert len(listed) == documents, where


def test_dead_rows_are_cleaned(engine: Engine) -> None:
    """After many updates of few documents the stored rows stay in proportion, and all documents are there."""
    for round_number in range(60):
        batches = []
        for index in range(500):
            batch = Batch()
            batch.put(f"users/{index}", b'{"n":%d,"pad":"%s"}' % (round_number, b"p" * 300))
            batches.append(batch)
        assert engine.writer.execute_all(batches, 250) == 500
    assert engine.writer.counters()["pages_cleaned"] > 0
    assert all(engine.get(f"users/{index}")["n"] == 59 for index in range(500))
    assert len(list(DocumentStream.items_since(engine.store, 0))) == 500


def test_dead_rows_leave_the_sets_of_many_collections(engine: Engine) -> None:
    """Rows of 20 collections in every group: updated ones are in no listing, cleaned ones in no bitmap (T15)."""
    documents = [(f"{index % 20}/{index}", f"C{index % 20}") for index in range(1000)]
    for round_number in range(20):
        batch = Batch()
        for index, (id, collection) in enumerate(documents):
            if round_number < 2 or index % 10:  # a tenth stays, so that groups are cleaned around it
                body = {"n": round_number, "pad": "p" * 200, "@metadata": {"@collection": collection}}
                batch.put(id, json.dumps(body).encode())
        engine.writer.execute(batch)
        for name in ("C0", "C7", "C19"):
            listed = [each["@metadata"]["@id"] for each in
                      json.loads(engine.reader.list_collection(name, page_size=1000))["Results"]]  # fmt: skip
            assert sorted(listed) == sorted(id for id, collection in documents if collection == name)
    assert engine.writer.counters()["pages_cleaned"] > 0
    engine.reopen()


def test_a_closed_store_refuses(engine: Engine) -> None:
    """After close, reads and writes say so; closing again does no harm."""
    other = Engine()
    other.close()
    other.close()
    for use in (lambda: other.get("a"), lambda: other.put("a"), lambda: other.store.counts()):
        with pytest.raises(EngineError, match="closed"):
            use()


def test_an_exact_vector_is_taken_as_it_is(engine: Engine) -> None:
    """To an exact change vector nothing is added, neither by a put nor by a delete; the next change adds its own."""
    vector = "RAFT:1-AAAAAAAAAAAAAAAAAAAAAA, TRXN:7-BBBBBBBBBBBBBBBBBBBBBA"
    batch = Batch()
    batch.put("users/1", b"{}", source_change_vector=vector, exact=True)
    assert engine.writer.execute(batch)[0].change_vector == vector
    batch = Batch()
    batch.put("users/1", b"{}")
    (changed,) = engine.writer.execute(batch)
    assert changed.change_vector.startswith("A:2-") and changed.change_vector.endswith(vector)
    batch = Batch()
    batch.delete("users/1", source_change_vector=vector, exact=True)
    assert engine.writer.execute(batch)[0].change_vector == vector


def test_what_is_agreed_on_has_its_time_and_its_collection(engine: Engine) -> None:
    """An exact write bears the time that it is given, and takes the place of a document in whatever collection."""
    vector = "RAFT:1-AAAAAAAAAAAAAAAAAAAAAA"
    engine.put("users/1", {"@metadata": {"@collection": "Others"}})
    batch = Batch()
    body = b'{"@metadata":{"@collection":"Users"}}'
    batch.put("users/1", body, source_change_vector=vector, exact=True, ticks=639_000_000_000_000_000)
    (written,) = engine.writer.execute(batch)
    assert (written.collection, written.last_modified) == ("Users", "2025-11-29T08:00:00.0000000Z")
    assert written.change_vector.startswith("A:1-") and written.change_vector.endswith(vector)
    batch = Batch()
    later = vector.replace(":1-", ":2-")
    batch.delete("users/1", source_change_vector=later, exact=True, ticks=639_000_000_000_000_001)
    assert engine.writer.execute(batch)[0].last_modified == "2025-11-29T08:00:00.0000001Z"
    batch = Batch()
    with pytest.raises(EngineError, match="must have a source change vector"):
        batch.put("users/2", b"{}", exact=True)


def test_a_position_moves_with_what_it_speaks_of(engine: Engine) -> None:
    """A position is set with the documents of its batch or not at all, is there after a restart, and has no case."""
    assert engine.store.position("from B") == 0
    batch = Batch()
    batch.set_position("from B", 7)
    batch.put("users/1", b"{}")
    engine.writer.execute(batch)
    batch = Batch()
    batch.set_position("from B", 8)
    batch.put("users/1", b"{}", "A:99-AAAAAAAAAAAAAAAAAAAAAA")
    with pytest.raises(EngineError):
        engine.writer.execute(batch)
    assert engine.store.position("FROM b") == 7
    engine.reopen()
    assert engine.store.position("from B") == 7

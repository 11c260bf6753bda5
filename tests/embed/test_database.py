"""pynori.open: a database inside this process, through its Python face."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pynori_core.check import check

import pynori
from pynori import errors
from pynori.documents.database import Database, DatabaseOptions
from pynori.embed import Document, EmbeddedDatabase
from tests.embed.compile import ENVIRONMENT, ROOT, run


@pytest.fixture
def database(tmp_path: Path) -> Iterator[EmbeddedDatabase]:
    """A database on disk; what the test leaves behind is checked."""
    directory = tmp_path / "db"
    with pynori.open(directory) as database:
        yield database
    assert check(directory) == []


def test_the_walk_of_a_document(database: EmbeddedDatabase) -> None:
    """Put, read, change with its change vector, be refused with an old one, delete; the dict is the document alone."""
    written = database.put("users/1", {"name": "Ada", "tags": [1, 2.5, None]}, collection="Users")
    ada = database.get("USERS/1")
    assert isinstance(ada, Document) and ada == {"name": "Ada", "tags": [1, 2.5, None]}
    assert (ada.id, ada.collection, ada.etag, ada.metadata) == ("users/1", "Users", 1, {"@collection": "Users"})
    assert ada.change_vector == written.change_vector
    ada["name"] = "Bob"
    database.put(ada.id, ada, expected_change_vector=ada.change_vector)
    with pytest.raises(errors.ConcurrencyError, match=r"users/1 has change vector A:2-.*, but Put was called with"):
        database.put(ada.id, ada, expected_change_vector=ada.change_vector)
    with pytest.raises(errors.ConcurrencyError, match="expecting new document"):
        database.put("users/1", {}, expected_change_vector="")
    with pytest.raises(errors.OperationFailed, match="Changing 'users/1' from 'Users' collection to 'Dogs'"):
        database.put("users/1", {}, collection="Dogs")
    assert "users/1" in database and database.get("users/1") == {"name": "Bob", "tags": [1, 2.5, None]}
    text = database.get_json("users/1")
    assert text is not None and json.loads(text)["@metadata"]["@id"] == "users/1"
    assert database.delete("users/1").deleted and not database.delete("users/1").deleted
    assert (database.get("users/1"), database.get_json("users/1"), database.get("")) == (None, None, None)


def test_a_read_is_a_copy_whose_parts_are_made_when_asked_for(tmp_path: Path) -> None:
    """What `read` gave stays as it was after changes, a deletion and the end of the database; errors are ours."""
    with pynori.open(tmp_path / "db") as database:
        database.put("users/1", {"name": "Ada", "langs": ["en", "fr"]}, collection="Users")
        first = database.read("Users/1")
        assert first is not None and database.read("users/2") is None and database.read("") is None
        database.put("users/1", {"name": "Eve"}, collection="Users")
        second = database.read("users/1")
        assert second is not None
        database.delete("users/1")
    assert first.body["name"] == "Ada" and list(first.body["langs"]) == ["en", "fr"] and "@metadata" in first.body
    assert (first.id, first.etag, first.collection) == ("users/1", 1, "Users")
    assert (second.id, second.etag, second.body.get("langs")) == ("users/1", 2, None)
    assert first.change_vector.startswith("A:1-") and second.change_vector.startswith("A:2-")
    stored = json.loads(first.json)
    assert stored["@metadata"]["@change-vector"] == first.change_vector and first.json is first.json
    assert stored["@metadata"]["@last-modified"] == first.last_modified
    with pytest.raises(errors.DatabaseClosed):
        database.read("users/1")
    with pytest.raises(errors.InvalidArgument, match="unpaired surrogate"):
        database.read("\ud800")


def test_what_a_document_may_be_given_as(database: EmbeddedDatabase) -> None:
    """Mappings, dataclasses, JSON text; what is no object, or no JSON, is refused as an error of ours."""

    @dataclasses.dataclass
    class User:
        name: str

    database.put("a", User("Ada"), collection="Users")
    database.put("b", b'{"name":"Bob","@metadata":{"@collection":"Users","kept":1}}')
    database.put("c", '{"name":"C\\u00e9"}')
    assert [(each.id, each["name"]) for each in database.scan()] == [("a", "Ada"), ("b", "Bob"), ("c", "C\u00e9")]
    bob = database.get("b")
    assert bob is not None and bob.metadata == {"@collection": "Users", "kept": 1}
    assert database.put("logs/", {"n": 1}).id == "logs/0000000000000000004-A"
    assert len(database.put("", {"n": 1}).id) == 36
    for value in (1, [1], {"a": object()}, object()):
        with pytest.raises(errors.InvalidArgument):
            database.put("x", value)
    with pytest.raises(errors.InvalidArgument, match="stands in it"):
        database.put("x", b"{}", collection="Users")
    with pytest.raises(errors.InvalidJson):
        database.put("x", b'{"a":}')
    assert "x" not in database and len(database) == 5


def test_batches_are_all_or_nothing(database: EmbeddedDatabase) -> None:
    """A batch commits at the end of its block; a conflict or an exception in the block leaves nothing of it."""
    with database.batch() as batch:
        batch.put("a/1", {"n": 1}, collection="A")
        batch.put("a/", {"n": 2}, collection="A")
        batch.delete("a/9")
    assert [(each.kind, each.deleted) for each in batch.results] == [("PUT", False), ("PUT", False), ("DELETE", False)]
    assert batch.results[0].transaction == batch.results[1].transaction
    with pytest.raises(errors.ConcurrencyError), database.batch() as batch:
        batch.put("a/3", {})
        batch.delete("a/1", expected_change_vector="A:77-AAAAAAAAAAAAAAAAAAAAAA")
    with pytest.raises(RuntimeError), database.batch() as batch:
        batch.put("a/4", {})
        raise RuntimeError
    with pytest.raises(errors.InvalidArgument, match="handed over"):
        batch.commit()
        batch.commit()
    assert database.collections() == {"A": 2, "@empty": 1} and "a/3" not in database


def test_scans_and_snapshots_see_one_moment(database: EmbeddedDatabase) -> None:
    """A scan that is under way and a snapshot do not notice what is written meanwhile; orders and bounds hold."""
    for number in range(5):
        database.put(f"users/{number}", {"n": number}, collection="Users")
    database.put("dogs/1", {"n": 9}, collection="Dogs")
    running = database.scan(prefix="users/")
    assert next(running)["n"] == 0
    with database.snapshot() as snapshot:
        database.delete("users/4")
        database.put("users/0", {"n": 100}, collection="Users")
        assert [each["n"] for each in running] == [1, 2, 3, 4] == [each["n"] for each in snapshot.scan(skip=2)]
        assert (len(snapshot), snapshot.last_etag, snapshot.collections()) == (6, 6, {"Users": 5, "Dogs": 1})
        assert "users/4" in snapshot and "users/4" not in database
        old = snapshot.get("users/0")
        assert old == {"n": 0} and snapshot.get("users/9") is None and b'"n":0' in (snapshot.get_json("users/0") or b"")
        assert [each.id for each in snapshot.scan(newest_first=True, limit=2)] == ["dogs/1", "users/4"]
        abandoned = snapshot.scan()
        next(abandoned)
    with pytest.raises(errors.DatabaseClosed):
        next(abandoned)
    assert [each["n"] for each in database.scan(collection="users", newest_first=True)] == [100, 3, 2, 1]
    assert [each.id for each in database.scan(start_after="users/1", limit=1)] == ["users/2"]
    changes = [(each.kind, each.id) for each in database.changes(since=6)]
    assert changes == [("TOMBSTONE", "users/4"), ("DOCUMENT", "users/0")]
    with pytest.raises(errors.InvalidArgument):
        database.scan(prefix="a", collection="b")
    with pytest.raises(errors.LimitExceeded):
        database.scan(prefix="x" * 600)
    with database.scan() as cut_short:
        next(cut_short)
    assert list(cut_short) == [] and database.statistics().readers == 0


def test_threads_share_commits(database: EmbeddedDatabase) -> None:
    """Writes of eight threads at the same time become fewer commits than writes; updates lose no increment."""
    database.put("counter", {"n": 0}, collection="Counters")
    before = database.statistics()

    def work(thread: int) -> None:
        for number in range(50):
            database.put(f"t/{thread}/{number}", {"n": number})
        for _ in range(5):
            database.update("counter", lambda counter: counter.update(n=counter["n"] + 1))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = database.statistics()
    assert after.documents == 401 and database.get("counter") == {"n": 40}
    assert after.commits - before.commits < after.transactions - before.transactions
    with pytest.raises(errors.DocumentDoesNotExist):
        database.update("nothing", lambda document: None)


def test_readers_scan_while_others_write_and_close(tmp_path: Path) -> None:
    """Threads read, scan and share a snapshot until the database is closed under them: each gets DatabaseClosed."""
    database = pynori.open(tmp_path / "db")
    for number in range(200):
        database.put(f"n/{number}", {"n": number}, collection="N")
    shared = database.snapshot()
    ended: list[BaseException] = []

    def read() -> None:
        try:
            while True:
                assert sum(1 for _ in database.scan(collection="N")) == 200
                assert len(shared) == 200 and shared.get("n/7") == {"n": 7}
                database.put("n/0", {"n": 0}, collection="N")
        except BaseException as error:
            ended.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    database.close()
    database.close()
    for thread in threads:
        thread.join(20)
    assert [type(each) for each in ended] == [errors.DatabaseClosed] * 4, ended
    assert check(tmp_path / "db") == []


def test_a_directory_has_one_opener(database: EmbeddedDatabase) -> None:
    """A second opener, here or in another process, is refused and told who holds the files."""
    assert database.directory is not None
    with pytest.raises(errors.DatabaseInUse, match=f"is open already, by process {os.getpid()} "):
        pynori.open(database.directory)
    program = f"import pynori; pynori.open({str(database.directory)!r})"
    other = run(sys.executable, "-c", program)
    assert f"DatabaseInUse: {database.directory} is open already, by process {os.getpid()} " in other.stderr


def test_what_cannot_be_opened_is_refused_by_name(tmp_path: Path) -> None:
    """No database where none may be made, a server's data directory, somebody else's folder, an address."""
    with pytest.raises(errors.DatabaseDoesNotExist):
        pynori.open(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()
    (tmp_path / "PYNORI").write_text("format 1\n")
    with pytest.raises(errors.InvalidArgument, match="a server's data directory"):
        pynori.open(tmp_path)
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "a.txt").write_text("mine")
    with pytest.raises(errors.InvalidArgument, match="not empty"):
        pynori.open(tmp_path / "papers")
    assert [each.name for each in (tmp_path / "papers").iterdir()] == ["a.txt"]
    for url in ("http://localhost:8080/shop", "mem://shop"):
        with pytest.raises(errors.InvalidArgument, match="neither a folder nor mem://"):
            pynori.open(url)
    with pytest.raises(errors.StorageFailed):
        pynori.open(tmp_path / "no" / "such" / "parent")


def test_memory_is_gone_after_close() -> None:
    """Two databases in memory know nothing of one another, and nothing is left of one that was closed."""
    with pynori.open("mem://") as first, pynori.open("mem://") as second:
        first.put("a", {"n": 1})
        assert "a" not in second and first.id != second.id
    with pynori.open("mem://") as again:
        assert len(again) == 0
    for use in (lambda: first.get("a"), lambda: first.put("a", {}), first.snapshot, first.statistics, first.scan):
        with pytest.raises(errors.DatabaseClosed):
            use()


def test_reopening_keeps_everything(tmp_path: Path) -> None:
    """Closed and opened again, also without a close in between the last commit and the next opener."""
    with pynori.open(tmp_path / "db") as database:
        database.put("a", {"n": 1}, collection="A")
        identity, vector = database.id, database.statistics().change_vector
    dropped = pynori.open(tmp_path / "db", create=False)
    dropped.put("b", {"n": 2}, collection="A")
    del dropped
    with pynori.open(tmp_path / "db") as database:
        assert (database.id, database.collections()) == (identity, {"A": 2})
        assert vector == f"A:1-{identity}" and database.last_etag == 2
        database.checkpoint()
        assert database.statistics().size_bytes > 0


def test_a_killed_program_loses_nothing(tmp_path: Path) -> None:
    """Six lives of an embedding program, each ended by SIGKILL in mid-write: what was acknowledged is there, whole."""
    directory = tmp_path / "db"
    acknowledged = 0
    for life in range(6):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.embed.embedding_writer", str(directory)],
            stdout=subprocess.PIPE, env=ENVIRONMENT, cwd=ROOT,
        )  # fmt: skip
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(0.01 * life)
        child.kill()
        lines = (first + child.stdout.read()).split(b"\n")[:-1]
        child.wait()
        acknowledged = int(lines[-1])
        with pynori.open(directory, create=False) as database:
            last = database.get("last")
            assert last is not None and acknowledged <= last["n"] <= acknowledged + 1
            assert [each["n"] for each in database.scan(collection="Numbers")] == list(range(1, last["n"] + 1))
            database.delete("last")
        assert check(directory) == []
    assert acknowledged > 6


def test_the_servers_files_are_the_same_files(tmp_path: Path) -> None:
    """A database of documents.Database is opened embedded, changed, and opened by documents.Database again."""
    import asyncio

    async def server_side(create: bool) -> list[str]:
        open_ = Database.create if create else Database.open
        database = await open_(tmp_path / "db", "shop", DatabaseOptions())
        try:
            if create:
                await database.put("users/1", b'{"name":"Ada","@metadata":{"@collection":"Users"}}')
            return [item.id for item in database.items_since(0)]
        finally:
            await database.close()

    assert asyncio.run(server_side(True)) == ["users/1"]
    with pynori.open(tmp_path / "db") as database:
        ada = database.get("users/1")
        assert ada is not None and ada["name"] == "Ada"
        database.put("users/2", ada)
    assert asyncio.run(server_side(False)) == ["users/1", "users/2"]


def test_import_is_light() -> None:
    """`import pynori` loads neither the engine nor a server, and opening one loads no server and no event loop."""
    program = (
        "import sys, pynori; assert not [m for m in sys.modules if m.startswith('pynori_core')]; "
        "pynori.open('mem://').close(); "
        "print([m for m in sys.modules if m in ('asyncio', 'uvloop', 'httptools', 'click', 'rich', 'numpy', "
        "'pynori.server', 'pynori.http')])"
    )
    done = run(sys.executable, "-c", program)
    assert done.stdout == "[]\n", done.stderr

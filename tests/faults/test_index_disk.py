"""A real server whose index files are damaged, or whose disk refuses them: the index says so, the database goes on."""

from __future__ import annotations

import errno
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from pynori_core.index_store import IndexStore
from ravendb import DocumentStore
from ravendb.documents.operations.indexes import GetIndexStatisticsOperation, ResetIndexOperation
from ravendb.exceptions.raven_exceptions import RavenException

from pynori.runtime import codecs  # noqa: F401  (hands the engine its LZ4)
from tests.faults.tools import ServerProcess, served

PAGE_SIZE = 8192
DOCUMENTS = 300
INDEXES = [
    {"Name": "People", "Maps": ["from u in docs.Users select new { u.Name, u.Age, u.Text }"],
     "Fields": {"Text": {"Indexing": "Search"}}},
    {"Name": "Others", "Maps": ["from u in docs.Users select new { u.Name }"]},
    {"Name": "Ages", "Maps": ["from u in docs.Users select new { u.Age, Count = 1 }"],
     "Reduce": "from r in results group r by r.Age into g select new { Age = g.Key, Count = g.Sum(x => x.Count) }"},
]  # fmt: skip
QUESTIONS = {
    "People": ["Name = 'n7'", "search(Text, 'beta') order by Age", "Age > 2", "startsWith(Name, 'n1')"],
    "Ages": ["Count > 1", "Age = 3"],
}


def user(number: int) -> dict[str, Any]:
    return {
        "Name": f"n{number}", "Age": number % 7, "Text": f"alpha {'beta' if number % 2 else 'gamma'} w{number}",
        "@metadata": {"@collection": "Users"},
    }  # fmt: skip


def ask(server: ServerProcess, index: str, condition: str, wait: bool = True) -> tuple[int, dict[str, Any]]:
    body = {"Query": f"from index '{index}' where {condition}", "WaitForNonStaleResults": wait}
    status, answer, _ = server.call("POST", "/databases/db/queries", body)
    return status, answer


def answers(server: ServerProcess) -> dict[str, int]:
    """How much each question finds; nothing for one that is refused, which then names the index."""
    found = {}
    for index, conditions in QUESTIONS.items():
        for condition in conditions:
            status, answer = ask(server, index, condition)
            if status == 200:
                found[f"{index}: {condition}"] = answer["TotalResults"]
            else:
                assert status == 500 and f"Index '{index}' is faulty and cannot be queried" in answer["Message"], answer
    return found


def states(server: ServerProcess) -> dict[str, str]:
    found = server.call("GET", "/databases/db/indexes/stats")[1]["Results"]
    return {each["Name"]: each["State"] for each in found}


def folder_of(data: Path, index: str) -> Path:
    (found,) = (data / "Indexes" / "db").glob(f"{index}-*")
    return found


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A data directory whose indexes are complete, as a kill left it; and what must be found in it."""
    data = tmp_path_factory.mktemp("filled") / "data"
    with served(data) as server:
        assert server.call("PUT", "/databases/db/admin/indexes", {"Indexes": INDEXES})[0] == 201
        commands = [{"Type": "PUT", "Id": f"users/{i}", "Document": user(i)} for i in range(DOCUMENTS)]
        assert server.call("POST", "/databases/db/bulk_docs", {"Commands": commands})[0] == 201
        return data, answers(server)


def copied(filled: tuple[Path, dict[str, int]], target: Path) -> Path:
    shutil.copytree(filled[0], target, ignore=shutil.ignore_patterns("lock", "run.json"))
    return target


def flip(file: Path, places: list[int]) -> None:
    with file.open("r+b") as opened:
        for place in places:
            opened.seek(place)
            byte = opened.read(1)[0]
            opened.seek(place)
            opened.write(bytes([byte ^ 0x55]))


def goes_on(server: ServerProcess, number: int) -> None:
    """The database takes writes, and the index beside the damaged one sees them."""
    assert server.call("PUT", f"/databases/db/docs?id=users/{number}", user(number))[0] == 201
    status, answer = ask(server, "Others", f"Name = 'n{number}'")
    assert status == 200 and answer["TotalResults"] == 1, answer


@pytest.mark.parametrize("index", ["People", "Ages"])
def test_damaged_pages_isolate_their_index(filled: tuple[Path, dict[str, int]], tmp_path: Path, index: str) -> None:
    """Pages that go bad under a running server: what meets one is told the file and the page, and a reset heals."""
    data = copied(filled, tmp_path / "data")
    with IndexStore.open(str(folder_of(data, index))) as store:
        store.checkpoint()  # so that pages lie in the data file
    file = folder_of(data, index) / "data.pynori"
    content = file.read_bytes()
    used = [page for page in range(3, len(content) // PAGE_SIZE) if any(content[page * PAGE_SIZE + 64 :][:4096])]
    with served(data) as server:
        flip(file, [page * PAGE_SIZE + 200 for page in used])
        found = answers(server)
        goes_on(server, 9_000)
        status, answer = ask(server, index, QUESTIONS[index][0])
        assert status == 500 and f"{file} page " in answer["Message"], answer
        assert states(server)[index] == "Error" and states(server)["Others"] == "Normal"
        whole = {question: count for question, count in filled[1].items() if not question.startswith(index)}
        assert whole.items() <= found.items() <= filled[1].items()
        with DocumentStore(server.url, "db") as store:
            store.initialize()
            with store.open_session() as session, pytest.raises(RavenException, match=f"'{index}' is faulty.* page "):
                list(session.advanced.raw_query(f"from index '{index}' where {QUESTIONS[index][0]}", dict))
            assert store.maintenance.send(GetIndexStatisticsOperation(index)).state.value == "Error"
            store.maintenance.send(ResetIndexOperation(index))
        assert server.call("DELETE", "/databases/db/docs?id=users/9000")[0] == 204
        assert answers(server) == filled[1]
        assert set(states(server).values()) == {"Normal"}


@pytest.mark.parametrize("seed", range(4))
def test_damage_before_a_start(filled: tuple[Path, dict[str, int]], tmp_path: Path, seed: int) -> None:
    """Flipped bytes of the data file and the journals: an index answers rightly or says that it is damaged."""
    dice = random.Random(seed)
    data = copied(filled, tmp_path / "data")
    for index in QUESTIONS:
        for file in folder_of(data, index).iterdir():
            content = file.read_bytes()
            places = [place for place in range(0, len(content), 64) if content[place]]
            if seed == 0 and file.name == "data.pynori":
                flip(file, [page * PAGE_SIZE + 20 for page in range(16)])  # both headers
            elif seed and places:
                flip(file, dice.sample(places, min(len(places), dice.choice((1, 5)))))
    with served(data) as server:
        found = answers(server)
        assert found.items() <= filled[1].items()
        if seed == 0:
            assert found == {} and states(server) == {"People": "Error", "Ages": "Error", "Others": "Normal"}
        goes_on(server, 9_000)
        assert server.call("DELETE", "/databases/db/docs?id=users/9000")[0] == 204
        for index in QUESTIONS:
            assert server.call("RESET", f"/databases/db/indexes?name={index}")[0] == 200
        assert answers(server) == filled[1]


@pytest.mark.parametrize(("error", "message"), [(errno.ENOSPC, "No space left"), (errno.EIO, "Input/output error")])
def test_a_disk_that_refuses_an_index(
    filled: tuple[Path, dict[str, int]], tmp_path: Path, shim: Path, error: int, message: str
) -> None:
    """An index that cannot be written stays behind and says why; documents are taken; later it catches up."""
    data = copied(filled, tmp_path / "data")
    with served(data, shim=shim) as server:
        assert answers(server) == filled[1]
        server.disk(error, name="Indexes/db/People")
        goes_on(server, 9_000)
        status, answer = ask(server, "People", "Name = 'n9000'", wait=False)
        assert (status, answer["TotalResults"], answer["IsStale"]) == (200, 0, True)
        errors = server.call("GET", "/databases/db/indexes/errors?name=People")[1]["Results"][0]["Errors"]
        assert errors and message in errors[-1]["Error"], errors
        server.heal()
        status, answer = ask(server, "People", "Name = 'n9000'")
        assert (status, answer["TotalResults"]) == (200, 1), answer
        assert states(server)["People"] == "Normal"



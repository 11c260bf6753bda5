"""Import and export: rejected rows, interruption and resumption, against a server whose answers can be lost."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result

from pynori import limits
from pynori.cli.main import cli


class Recorder:
    """A server that knows what import and export ask for. `lose_answers` segments are stored and not confirmed."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self.puts = 0
        self.segments = 0
        self.lose_answers = 0
        self.refused_ids: set[str] = set()
        self.last_hilo = 0
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, status: int, body: object = None) -> None:
                content = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self) -> None:
                path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
                if not path.startswith("/databases/shop/"):
                    name = "Raven.Client.Exceptions.Database.DatabaseDoesNotExistException"
                    self.answer(503, {"Type": name, "Message": "Database 'none' was not found"})
                elif path.endswith("next-operation-id"):
                    self.answer(200, {"Id": 1})
                elif path.endswith("/hilo/next"):
                    assert query["tag"] == ["people"]
                    low = recorder.last_hilo + 1
                    recorder.last_hilo += 4
                    range = {"Low": low, "High": low + 3, "LastSize": 4, "ServerTag": "A", "LastRangeAt": "x"}
                    self.answer(200, {"Prefix": "people/", **range})
                elif path.endswith("/operations/state"):
                    self.answer(200, {"Status": "Faulted", "Result": {"Type": "X", "Message": "refused by the server"}})
                else:
                    self.answer(200, {"Results": list(recorder.documents.values())})

            def do_POST(self) -> None:
                commands = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                recorder.segments += 1
                if any(command["Id"] in recorder.refused_ids for command in commands):
                    self.answer(500, {"Type": "X", "Message": "aborted"})
                    return
                for command in commands:
                    recorder.puts += 1
                    recorder.documents[command["Id"]] = command["Document"]
                if recorder.lose_answers:
                    recorder.lose_answers -= 1
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.answer(201)

            def log_message(self, format: str, *arguments: object) -> None:
                """Write nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    server = Recorder()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def run(recorder: Recorder, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--url", recorder.url])


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_rows_become_documents(recorder: Recorder, tmp_path: Path) -> None:
    """Ids come from the id field, from metadata, or from the server's ranges; digits and own metadata stay."""
    file = write_lines(tmp_path / "a.jsonl", ['{"email":"a","n":1.10}', '{"email":7}', '{"email":"boss/1"}'])
    assert (
        run(
            recorder, "import", str(file), "--database", "shop", "--collection", "People", "--id-field", "email"
        ).exit_code
        == 0
    )
    assert set(recorder.documents) == {"people/a", "people/7", "boss/1"}
    assert recorder.documents["people/a"] == {"email": "a", "n": 1.10, "@metadata": {"@collection": "People"}}
    recorder.documents.clear()
    file = write_lines(tmp_path / "b.jsonl", [f'{{"n":{number}}}' for number in range(10)])
    assert run(recorder, "import", str(file), "--database", "shop", "--collection", "People").exit_code == 0
    assert list(recorder.documents) == [f"people/{number}-A" for number in range(1, 11)]
    recorder.documents.clear()
    file = write_lines(tmp_path / "c.jsonl", ['{"@metadata":{"@id":"x/1","@collection":"Xs","k":1}}'])
    assert run(recorder, "import", str(file), "--database", "shop").exit_code == 0
    assert recorder.documents["x/1"]["@metadata"] == {"@id": "x/1", "@collection": "Xs", "k": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl", "c.jsonl"]


def test_rejected_rows_are_listed(recorder: Recorder, tmp_path: Path) -> None:
    """Each rejected row appears with line and reason, on the terminal and in the file; the others are stored."""
    recorder.refused_ids = {"people/bad"}
    lines = [
        '{"i":"a"}',
        "{broken",
        '{"i":"bad"}',
        "[1]",
        '{"x":1}',
        '{"i":null}',
        '{"i":"z|"}',
        '{"i":"b"}',
        '{"i":NaN}',
    ]
    file = write_lines(tmp_path / "a.jsonl", [*lines, json.dumps({"i": "x" * 600})])
    result = run(recorder, "import", str(file), "--database", "shop", "--collection", "People", "--id-field", "i")
    assert result.exit_code == 8 and "2 documents stored, 8 rows rejected" in result.output
    entries = [json.loads(line) for line in (tmp_path / "a.jsonl.rejected.jsonl").read_text().splitlines()]
    assert [entry["line"] for entry in entries] == [2, 3, 4, 5, 6, 7, 9, 10]
    assert entries[1]["reason"] == "refused by the server" and entries[0]["row"] == "{broken"
    assert all(f"line {entry['line']}: {entry['reason']}" in result.output for entry in entries)
    assert set(recorder.documents) == {"people/a", "people/b"}
    assert not (tmp_path / "a.jsonl.import-state.json").exists()


@pytest.mark.parametrize("ids", ["field", "server"])
def test_an_interrupted_import_goes_on(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ids: str
) -> None:
    """A segment is stored but its confirmation is lost: run again, the import stores each row exactly once."""
    monkeypatch.setattr(limits, "IMPORT_SEGMENT_ROWS", 5)
    lines = [f'{{"n":{number}}}' if number % 6 else "broken" for number in range(22)]
    file = write_lines(tmp_path / "a.jsonl", lines)
    words = ["import", str(file), "--database", "shop", "--collection", "People"]
    words += ["--id-field", "n"] if ids == "field" else []
    recorder.lose_answers = 1
    first = run(recorder, *words)
    assert first.exit_code == 3 and "No answer" in first.output
    recorder.segments = 0
    recorder.lose_answers = 0
    again = run(recorder, *words)
    assert again.exit_code == 8 and "18 documents stored, 4 rows rejected" in again.output
    assert sorted(document["n"] for document in recorder.documents.values()) == [n for n in range(22) if n % 6]
    rejected = (tmp_path / "a.jsonl.rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in rejected] == [1, 7, 13, 19]


def test_going_on_after_confirmed_segments(recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was confirmed is not sent again; a changed file, or another collection, begins anew."""
    monkeypatch.setattr(limits, "IMPORT_SEGMENT_ROWS", 5)
    file = write_lines(tmp_path / "a.jsonl", [f'{{"n":{number}}}' for number in range(12)])
    words = ["import", str(file), "--database", "shop", "--collection", "People"]
    original = recorder.http.RequestHandlerClass
    monkeypatch.setattr("pynori.cli.import_rows.bulk_insert", _failing_at(3))
    assert run(recorder, *words).exit_code == 130
    monkeypatch.undo()
    monkeypatch.setattr(limits, "IMPORT_SEGMENT_ROWS", 5)
    assert recorder.http.RequestHandlerClass is original and recorder.puts == 10
    result = run(recorder, *words)
    assert "Going on after row 10" in result.output and result.exit_code == 0
    assert recorder.puts == 12 and len(recorder.documents) == 12


def _failing_at(call: int) -> Any:
    from pynori.client.bulk_insert import bulk_insert

    calls = 0

    def interrupted(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        bulk_insert(*arguments)

    return interrupted


def test_a_server_that_refuses_everything_ends_the_import(
    recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows refused by the server are searched for, but not without end."""
    monkeypatch.setattr(limits, "IMPORT_REFUSED_MAX", 2)
    recorder.refused_ids = {f"people/{number}" for number in range(10)}
    file = write_lines(tmp_path / "a.jsonl", [f'{{"n":{number}}}' for number in range(10)])
    result = run(recorder, "import", str(file), "--database", "shop", "--collection", "People", "--id-field", "n")
    assert result.exit_code == 1 and "refused by the server" in result.output


def test_errors_have_their_codes(recorder: Recorder, tmp_path: Path) -> None:
    """No server: 3. No such database: 5. A file that breaks off: 1, with what came before it stored."""
    file = write_lines(tmp_path / "a.jsonl", ['{"n":1}'])
    words = ["import", str(file), "--collection", "People", "--id-field", "n"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        refused = CliRunner().invoke(cli, [*words, "--database", "shop", "--url", url])
    assert refused.exit_code == 3 and "Is the server running? Start one: pynori serve" in refused.output
    missing = run(recorder, *words, "--database", "none")
    assert missing.exit_code == 5 and "Database 'none' was not found" in missing.output
    broken = tmp_path / "b.json"
    broken.write_text('[{"n":1},\n{"n":')
    words[1] = str(broken)
    result = run(recorder, *words, "--database", "shop")
    assert result.exit_code == 1 and "line 2" in result.output and set(recorder.documents) == {"people/1"}


def test_export_and_import_again(recorder: Recorder, tmp_path: Path) -> None:
    """An export of a collection holds its documents with metadata; a failed export leaves no file of the name."""
    for number, collection in ((1, "People"), (2, "Xs"), (3, "people")):
        id = f"d/{number}"
        recorder.documents[id] = {"n": number, "@metadata": {"@id": id, "@collection": collection}}
    output = tmp_path / "out.jsonl"
    result = run(recorder, "export", "--database", "shop", "--collection", "People", "-o", str(output))
    assert result.exit_code == 0 and "2 documents exported" in result.output
    saved = dict(recorder.documents)
    recorder.documents.clear()
    assert run(recorder, "import", str(output), "--database", "shop").exit_code == 0
    assert recorder.documents == {id: saved[id] for id in ("d/1", "d/3")}
    assert run(recorder, "export", "--database", "none", "-o", str(tmp_path / "none")).exit_code == 5
    assert not (tmp_path / "none").exists()

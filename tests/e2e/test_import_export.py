"""`pynori import` and `pynori export` as processes against a real server: what goes in comes out."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = 1_200
KILL_ROWS = 40_000
KILL_WAIT_SECONDS_MAX = 30


def rows() -> list[dict[str, Any]]:
    """Rows of all JSON types, with text beyond ASCII."""
    return [
        {"key": f"k{number}", "n": number, "price": number / 4, "ok": number % 2 == 0, "name": f"Zoë €{number} 😀",
         "none": None, "list": [number, {"deep": [1.5, "x"]}]}
        for number in range(ROWS)
    ]  # fmt: skip


def exported(text: str) -> dict[str, dict[str, Any]]:
    """Documents of an export by id, without what every write changes."""
    found = {}
    for line in text.splitlines():
        document = json.loads(line)
        metadata = document["@metadata"]
        assert metadata.pop("@change-vector") and metadata.pop("@last-modified")
        found[metadata.pop("@id")] = document
    return found


def expected(row: dict[str, Any], collection: str) -> dict[str, Any]:
    return {**row, "@metadata": {"@collection": collection}}


@pytest.mark.parametrize("form", ["array", "pretty array", "lines"])
def test_json_goes_in_and_comes_out(form: str, serve, command_line, tmp_path: Path) -> None:
    """An array or lines become documents; their export, imported into another database, exports to the same."""
    file = tmp_path / ("rows.jsonl" if form == "lines" else "rows.json")
    if form == "lines":
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows()), encoding="utf-8")
    else:
        file.write_text(json.dumps(rows(), indent=2 if form == "pretty array" else None), encoding="utf-8")
    with serve("--data-dir", str(tmp_path / "data")) as server:
        words = ["--database", "first", "--collection", "Things", "--id-field", "key", "--create", "--url", server.url]
        done = command_line("import", str(file), *words)
        assert (done.returncode, done.stdout) == (0, "") and f"{ROWS} documents stored, 0 rows rejected" in done.stderr
        output = tmp_path / "first.jsonl"
        done = command_line("export", "--database", "first", "-o", str(output), "--url", server.url)
        assert done.returncode == 0 and f"{ROWS} documents exported" in done.stderr
        first = exported(output.read_text(encoding="utf-8"))
        assert first == {f"things/{row['key']}": expected(row, "Things") for row in rows()}
        done = command_line("import", str(output), "--database", "second", "--create", "--url", server.url)
        assert done.returncode == 0
        done = command_line("export", "--database", "second", "--url", server.url)
        assert exported(done.stdout) == first
        assert server.terminate()[0] == 0
    assert command_line("check", str(tmp_path / "data")).returncode == 0


def test_csv_with_rejected_rows(serve, command_line, tmp_path: Path) -> None:
    """Good rows of a CSV file are stored with their types, bad ones are listed with line and reason."""
    file = tmp_path / "people.csv"
    with file.open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target)
        writer.writerow(["email", "age", "zip", "vip", "note"])
        writer.writerow(["a@x", 36, "01234", "true", 'says "hi", twice'])
        writer.writerow(["b@x", 1.5, "7"])  # too short
        writer.writerow(["", 3, "4", "false", "no id"])
        writer.writerow(["c@x", "", "99", "false", "two\nlines"])
        writer.writerow(["x" * 600, 1, "1", "true", "id too long"])
    with serve("--data-dir", str(tmp_path / "data")) as server:
        server.call("PUT", "/admin/databases?name=crm", {"DatabaseName": "crm"})
        words = ["--database", "crm", "--collection", "People", "--id-field", "email", "--url", server.url]
        done = command_line("import", str(file), *words)
        assert done.returncode == 8 and "2 documents stored, 3 rows rejected" in done.stderr
        listed = [json.loads(line) for line in (tmp_path / "people.csv.rejected.jsonl").read_text().splitlines()]
        assert [entry["line"] for entry in listed] == [3, 4, 7]
        assert all(f"line {entry['line']}: {entry['reason']}" in done.stderr for entry in listed)
        done = command_line("export", "--database", "crm", "--url", server.url)
        first = {"email": "a@x", "age": 36, "zip": "01234", "vip": True, "note": 'says "hi", twice'}
        second = {"email": "c@x", "age": None, "zip": 99, "vip": False, "note": "two\nlines"}
        people = {"people/a@x": expected(first, "People"), "people/c@x": expected(second, "People")}
        assert exported(done.stdout) == people


def test_a_killed_import_goes_on(serve, tmp_path: Path) -> None:
    """Killed in the middle and run again, an import under the server's own ids stores each row exactly once."""
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(f'{{"n":{number}}}\n' if number % 1_000 else "{broken\n" for number in range(KILL_ROWS)))
    state = tmp_path / "rows.jsonl.import-state.json"
    bad = KILL_ROWS // 1_000
    with serve("--data-dir", str(tmp_path / "data")) as server:
        server.call("PUT", "/admin/databases?name=shop", {"DatabaseName": "shop"})
        command = [sys.executable, "-m", "pynori", "import", str(file), "--database", "shop", "--collection", "Rows"]
        command += ["--url", server.url]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + KILL_WAIT_SECONDS_MAX
        while not (state.exists() and json.loads(state.read_text())["rows"]):
            assert process.poll() is None and time.monotonic() < deadline, "the import was over before it was killed"
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert 0 < json.loads(state.read_text())["rows"] < KILL_ROWS
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 8 and "Going on after row" in done.stderr
        assert f"{KILL_ROWS - bad} documents stored, {bad} rows rejected" in done.stderr
        assert not state.exists()
        text = server.text("/databases/shop/streams/docs?startsWith=rows/")
        numbers = sorted(document["n"] for document in json.loads(text)["Results"])
        assert numbers == [number for number in range(KILL_ROWS) if number % 1_000]

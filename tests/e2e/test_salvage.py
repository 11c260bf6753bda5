"""`pynori salvage` as a process: from files that do not open, through `pynori import`, to a server that answers."""

import json
from pathlib import Path

ROWS = 300


def test_salvaged_documents_and_identities(serve, command_line, tmp_path: Path) -> None:
    """Headers and catalog of every environment are destroyed; documents, id ranges and identities come out."""
    file = tmp_path / "rows.jsonl"
    rows = [{"key": f"k{n}", "n": n, "text": "x" * (n % 7) * 900} for n in range(ROWS)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = tmp_path / "data"
    with serve("--data-dir", str(data)) as server:
        words = ["--database", "shop", "--collection", "Things", "--id-field", "key", "--create", "--url", server.url]
        assert command_line("import", str(file), *words).returncode == 0
        server.call("GET", "/databases/shop/hilo/next?tag=Things&lastBatchSize=0&lastRangeAt=&identityPartsSeparator=/"
                    "&lastMax=0")
        server.call("POST", "/databases/shop/identity/seed?name=orders%7C&value=42&force=false")
        assert server.terminate()[0] == 0
    assert command_line("check", str(data)).returncode == 0
    for environment in (data / "System", data / "Databases" / "shop"):
        with (environment / "data.pynori").open("r+b") as files:
            for page in (0, 1, 8):
                files.seek(page * 8192)
                files.write(b"\xee" * 8192)
    assert command_line("check", str(data)).returncode == 7
    done = command_line("salvage", str(data), "--out", str(tmp_path / "out"))
    assert done.returncode in (0, 8), done.stderr
    rescued = tmp_path / "out" / "shop.jsonl"
    with serve("--data-dir", str(tmp_path / "again")) as server:
        done = command_line("import", str(rescued), "--database", "shop", "--create", "--url", server.url)
        assert done.returncode == 0 and f"{ROWS + 1} documents stored" in done.stderr, done.stderr
        for n in (0, 6, ROWS - 1):
            found = server.call("GET", f"/databases/shop/docs?id=things/k{n}")["Results"][0]
            assert (found["n"], found["text"]) == (n, "x" * (n % 7) * 900)
        assert server.call("GET", "/databases/shop/docs?id=Raven/Hilo/things")["Results"][0]["Max"] == 32
    state = [json.loads(line) for line in (tmp_path / "out" / "System.jsonl.state.jsonl").read_text().splitlines()]
    assert any(entry["value"] == 42 for entry in state), state

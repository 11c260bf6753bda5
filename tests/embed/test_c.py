"""C programs over pynori.h, compiled with the flags that the package prints and run without any environment."""

import ctypes
import re
import subprocess
import sys
from pathlib import Path

from pynori_core.check import check

import pynori
from tests.embed.compile import ROOT, compile_program, run

CORE = ROOT / "ext" / "pynori_core"


INSIDE = """
#define PYNORI_IMPLEMENTATION
#include <pynori.h>
int inside(const char *directory);
int inside(const char *directory) {
    pynori_database *database;
    int code = pynori_start(NULL);
    if (!code) code = pynori_open(directory, NULL, &database, NULL);
    if (!code) code = pynori_put(database, "a", 1, "{\\"n\\":1}", 7, NULL, 0, NULL, NULL);
    return code ? code : pynori_close(database, NULL);
}
"""


def bare(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a program that can learn nothing from the environment or the current directory."""
    return subprocess.run(words, cwd="/", env={}, capture_output=True, text=True, timeout=60)


def test_every_function_answers_as_the_header_says(tmp_path: Path) -> None:
    """The walk: documents, errors with codes and words, batches, snapshots, scans, threads, a fork, reopening."""
    program = compile_program(ROOT / "tests" / "embed" / "capi_walk.c", tmp_path / "walk", "-lpthread")
    done = bare(str(program), str(tmp_path / "db"))
    assert (done.returncode, done.stdout) == (0, "walked\n"), done.stderr
    assert check(tmp_path / "db") == []


def test_the_example_keeps_notes(tmp_path: Path) -> None:
    """examples/c works as its first comment says, and what it has written is there for Python."""
    program = str(compile_program(ROOT / "examples" / "c" / "notes.c", tmp_path / "notes"))
    directory = str(tmp_path / "db")
    ids = [bare(program, directory, "add", text).stdout.strip() for text in ("milk", "eggs")]
    assert ids == ["notes/0000000000000000001-A", "notes/0000000000000000002-A"]
    refused = bare(program, directory, "done", ids[0], "notes/none")
    assert (refused.returncode, refused.stderr) == (1, "done: there is no document of this id (not found)\n")
    assert bare(program, directory, "done", *ids[:1]).returncode == 0
    listed = bare(program, directory, "list").stdout.splitlines()
    assert [line.split(" ")[0] for line in listed] == [ids[1], ids[0]]
    with pynori.open(directory) as database:
        assert [(each.id, each["done"]) for each in database.scan(collection="Notes")] == [
            (ids[1], False), (ids[0], True),
        ]  # fmt: skip
        held = bare(program, directory, "list")
        assert held.returncode == 1 and "is open already, by process" in held.stderr


def test_the_lines_of_the_manual_work(tmp_path: Path) -> None:
    """The C program and the Python lines of EMBEDDING.md, and those of README, run as they are told there."""
    manual = (ROOT / "ext" / "EMBEDDING.md").read_text()
    source = tmp_path / "main.c"
    source.write_text(re.findall(r"```c\n(.*?)```", manual, re.DOTALL)[0])
    program = compile_program(source, tmp_path / "main")
    done = run(str(program), directory=tmp_path)
    assert re.fullmatch(r'A:1-\S{22} \{"name":"Ada",.*\}\n', done.stdout), done.stderr
    assert check(tmp_path / "shop") == []
    for name, text, last in (
        ("manual", manual, "4 DOCUMENT users/1"),
        ("readme", (ROOT / "README.md").read_text().partition("## Without a server")[2], "['users/1']"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        lines = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
        done = run(sys.executable, "-c", lines, directory=folder)
        assert done.returncode == 0 and done.stdout.splitlines()[-1] == last, done.stdout + done.stderr
        assert check(folder / "shop") == []


def test_a_library_inside_python_uses_the_interpreter_that_is_there(tmp_path: Path) -> None:
    """pynori_start in a process that is Python already takes the engine of that process, whose marks it shares."""
    source = tmp_path / "inside.c"
    source.write_text(INSIDE)
    library = ctypes.CDLL(str(compile_program(source, tmp_path / "inside.so", "-shared", "-fPIC")))
    directory = str(tmp_path / "db").encode()
    assert library.inside(directory) == 0
    with pynori.open(tmp_path / "db") as database:
        assert database.get("a") == {"n": 1}
        assert library.inside(directory) == 8  # PYNORI_BUSY


def test_the_table_in_the_header_is_the_table_in_the_engine() -> None:
    """capi.pyx fills every function that pynori.h names, in the order of ABI 1: it may only grow at its end."""
    header = (CORE / "include" / "pynori.h").read_text()
    table = re.search(r"typedef struct pynori_api \{(.*?)\} pynori_api;", header, re.DOTALL)
    assert table is not None and "#define PYNORI_ABI 1\n" in header
    names = re.findall(r"\(\*(\w+)\)\(", table.group(1))
    assert names[:21] == [
        "code_name", "open", "close", "checkpoint", "counters", "get", "put", "remove", "batch_begin", "batch_put",
        "batch_remove", "batch_commit", "batch_result", "batch_end", "snapshot_begin", "snapshot_get", "snapshot_end",
        "scan_begin", "scan_next", "scan_end", "document_release",
    ]  # fmt: skip
    assert re.findall(r"^table\.(\w+) = ", (CORE / "capi.pyx").read_text(), re.MULTILINE) == ["abi", "size", *names]
    codes = dict(re.findall(r"PYNORI_(\w+) = (\d+)[,\s]", header))
    engine = dict(re.findall(r"^    (?:E_)?(\w+) = (\d+)", (CORE / "errors.pxd").read_text(), re.MULTILINE))
    assert {name: codes[name] for name in engine if name != "ERROR_TEXT_MAX"} == {
        name: number for name, number in engine.items() if name != "ERROR_TEXT_MAX"
    }


def test_flags_are_asked_for_by_name() -> None:
    """--include, --cflags and --libs print what they say, and nothing is no question."""
    include = run(sys.executable, "-m", "pynori.embed", "--include").stdout.split()
    assert f"-I{CORE / 'include'}" in include and all(each.startswith("-I") for each in include)
    flags = run(sys.executable, "-m", "pynori.embed", "--cflags").stdout.split()
    assert flags[: len(include)] == include and not set("\"'\\ ") & set("".join(flags))
    python = next(each for each in flags if each.startswith("-DPYNORI_PYTHON="))
    assert bytes(int(each) for each in python.partition("=")[2].split(",")).decode() == sys.executable
    assert run(sys.executable, "-m", "pynori.embed").returncode == 2

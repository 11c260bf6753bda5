"""The console script: verbs, help, and the small verbs that only print."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pynori.cli.check import environments
from pynori.cli.main import VERBS
from pynori.config import OPTIONS

ROOT = Path(__file__).resolve().parent.parent.parent


def pynori(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pynori", *words], cwd=ROOT, capture_output=True, text=True)


def test_help_loads_no_verb() -> None:
    """`pynori --help` lists every verb and imports nothing that a verb needs."""
    program = (
        "import sys; sys.argv = ['pynori', '--help']\n"
        "from pynori.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'uvloop', 'msgspec', 'rich', 'prometheus_client', 'asyncio', 'pynori.config', 'pynori_core'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert all(verb in result.stdout for verb in VERBS)


@pytest.mark.parametrize("verb", list(VERBS))
def test_each_verb_has_help(verb: str) -> None:
    """Every verb of the table can be loaded and explains itself."""
    result = pynori(verb, "--help")
    assert result.returncode == 0 and "Usage: pynori " + verb in result.stdout, result.stderr


def test_unknown_verb_is_corrected() -> None:
    """A misspelt verb is wrong usage, with the nearest one as a hint."""
    result = pynori("srve")
    assert result.returncode == 2 and "Did you mean 'serve'?" in result.stderr


def test_links_with_the_names_of_other_servers_serve() -> None:
    """Started under the name Raven.Server or norikv-server, the program is `pynori serve` with its words."""
    for name in ("Raven.Server", "norikv-server"):
        program = (
            f"import sys; sys.argv = ['/opt/{name}', '--ServerUrl=nonsense:x']\n"
            "from pynori.cli.main import main; main()"
        )
        result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 78 and "ServerUrl" in result.stderr


def test_options_and_version_as_json() -> None:
    """The tables come as one JSON document with a version."""
    options = json.loads(pynori("options", "--json").stdout)
    assert options["v"] == 1 and [row["name"] for row in options["options"]] == [option.name for option in OPTIONS]
    version = json.loads(pynori("version", "--json").stdout)
    assert version["v"] == 1 and version["protocol"] == "RavenDB 7.2"
    text = pynori("options").stdout
    assert all(f"--{spelling}" in text for option in OPTIONS for spelling in option.spellings())


def test_routes_lists_the_table() -> None:
    """Every route of the server is listed."""
    result = json.loads(pynori("routes", "--json").stdout)
    assert {"method": "GET", "path": "/build/version"} in result["routes"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["page"], "needs a page number"),
        (["page", "x"], "page number"),
        (["tree"], "name of a tree"),
        (["header", "x"], "no argument"),
    ],
)
def test_inspect_is_used_rightly(words: list[str], hint: str, tmp_path: Path) -> None:
    """A view without its argument, or with one too many, is wrong usage."""
    result = pynori("inspect", str(tmp_path), *words)
    assert result.returncode == 2 and hint in result.stderr


def test_environments_of_a_data_directory(tmp_path: Path) -> None:
    """A data directory stands for its state and its databases without leftovers; any other folder for itself."""
    assert environments(tmp_path) == [tmp_path]
    (tmp_path / "PYNORI").write_text("format 1\n")
    for name in ("System", "Databases", "Databases/b", "Databases/a", "Databases/.deleted-c"):
        (tmp_path / name).mkdir()
    assert environments(tmp_path) == [tmp_path / "System", tmp_path / "Databases/a", tmp_path / "Databases/b"]


def test_explain_without_a_database() -> None:
    """`pynori explain` shows how a query is read, and where one that does not parse goes wrong."""
    result = pynori("explain", "FROM Orders WHERE Freight>100 && x IN ('a')")
    assert result.stdout.split("\n")[0] == "query       from Orders"
    assert result.stdout.split("\n")[1] == "            where Freight > 100 and x in ('a')"
    result = pynori("explain", "from Orders where")
    assert result.returncode == 1 and "line 1, column 18" in result.stderr
    assert json.loads(pynori("explain", "--json", "from Orders").stdout) == {"v": 1, "query": "from Orders"}

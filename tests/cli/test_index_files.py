"""`pynori check` and `pynori inspect` on the environment of an index."""

from pathlib import Path

from click.testing import CliRunner
from pynori_core.env import Env
from pynori_core.index_store import IndexStore

from pynori.cli import exit_codes
from pynori.cli.main import cli


def made(path: Path) -> None:
    with IndexStore.create(path) as store, store.write() as writer:
        field = writer.field("Name")
        writer.put("users/1", [{field: ["Ada", None]}])
        writer.put("users/2", [{field: "Ada"}])


def test_check_finds_what_an_index_breaks(tmp_path: Path) -> None:
    """A whole index below a directory is fine; one whose posting is gone is found, with the number of the invariant."""
    (tmp_path / "Indexes").mkdir()
    made(tmp_path / "Indexes" / "one")
    assert CliRunner().invoke(cli, ["check", str(tmp_path / "Indexes" / "one")]).exit_code == exit_codes.DONE
    with Env.open(tmp_path / "Indexes" / "one") as env, env.write() as txn:
        terms = txn.tree(b"terms")
        terms.delete(max(key for key, _ in terms.items()))
    result = CliRunner().invoke(cli, ["check", str(tmp_path / "Indexes" / "one")])
    assert result.exit_code == exit_codes.PROBLEMS_FOUND
    assert "X7 violated" in result.output


def test_inspect_shows_terms(tmp_path: Path) -> None:
    """Terms in their order with the number of entries; an unknown field names those that are there."""
    made(tmp_path / "index")
    result = CliRunner().invoke(cli, ["inspect", str(tmp_path / "index"), "terms", "Name"])
    assert result.output.splitlines() == ["         1  null", "         2  'ada'"]
    result = CliRunner().invoke(cli, ["inspect", str(tmp_path / "index"), "terms", "Nope"])
    assert result.exit_code == exit_codes.FAILED
    assert "Name" in result.output

"""Data directories with indexes of every format version that ever was: they check, open as they are, answer, go on."""

from __future__ import annotations

import asyncio
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import uvloop
from click.testing import CliRunner

from pynori.cli import check
from tests.compat.make_indexes import HERE, QUESTIONS, results, running, states

VERSIONS = sorted(path.name for path in HERE.iterdir() if path.name.isdigit())
MOVE_S = 30


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Any]:
    """The data directory of a version, unpacked, and what must be in it."""
    with tarfile.open(HERE / request.param / "data.tar.xz") as archive:
        if hasattr(tarfile, "data_filter"):  # Debian 12's Python is older
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tmp_path / "data")
    return tmp_path / "data", json.loads((HERE / request.param / "truth.json").read_text())


def check_clean(folder: Path) -> list[str]:
    """What the check says, one line for each environment."""
    outcome = CliRunner().invoke(check.command, [str(folder)])
    assert outcome.exit_code == 0, outcome.output
    return [line for line in (outcome.output + outcome.stderr).splitlines() if line.endswith(": ok")]


def test_golden_indexes_check_clean(golden: tuple[Path, Any]) -> None:
    """`pynori check` knows every environment and finds nothing."""
    folder, truth = golden
    said = set(check_clean(folder))
    assert len(said) == len(truth["indexes"]) + 3  # the state, the database, references
    assert sum(".references" in line for line in said) == 1


def test_golden_indexes_answer_and_go_on(golden: tuple[Path, Any]) -> None:
    """None is built anew, all answers are as they were, and documents that are written later are found."""
    folder, truth = golden

    async def run() -> None:
        async with running(folder) as desk:
            assert await states(desk) == truth["indexes"]
            assert sorted(truth["answers"]) == sorted(QUESTIONS)
            for question, expected in truth["answers"].items():
                assert await results(desk, question) == expected, question
            assert await states(desk) == truth["indexes"]
            await desk.put("companies/2", "Companies", Name="Other 2", Founded=1992, About="theta")
            await desk.put("orders/new", "Orders", Company="companies/2", Lines=[{"Product": "P0", "Price": 100}])
            await desk.delete("orders/0")
            lines = "from index 'Orders/ByLines' where CompanyName = 'other 2' order by id()"
            assert set(await results(desk, lines)) == {"orders/2", "orders/22", "orders/42", "orders/new"}
            for question in QUESTIONS:
                await results(desk, question)
            after = await states(desk)
            assert after.keys() == truth["indexes"].keys()
            # Three documents more, and those that load the company: no index began again.
            assert all(truth["indexes"][name][3] < after[name][3] < truth["indexes"][name][3] + 10 for name in after)

    uvloop.run(asyncio.wait_for(run(), MOVE_S))
    check_clean(folder)


def test_a_newer_format_is_refused_by_name(golden: tuple[Path, Any]) -> None:
    """An index of a format that this build does not know is not opened as if it were known; the others answer."""
    from pynori_core.env import Env

    folder, truth = golden
    (path,) = (folder / "Indexes" / "db").glob("Scripted-*")
    with Env.open(str(path)) as env, env.write() as txn:
        meta = txn.tree(b"meta")
        state = bytes(meta.get(b"s"))
        meta.put(b"s", (9).to_bytes(4, "little") + state[4:])

    async def run() -> None:
        async with running(folder) as desk:
            found = await states(desk)
            assert found["Scripted"][1] == "Error"
            message = await desk.ask("from index 'Scripted' where Long = true", 500)
            assert "Scripted" in message["Message"] and "9" in message["Message"], message
            question = "from index 'Sales' where Product = 'P0'"
            assert await results(desk, question) == truth["answers"][question]

    uvloop.run(asyncio.wait_for(run(), MOVE_S))
    shutil.rmtree(folder)

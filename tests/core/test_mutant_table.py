"""The table of planted bugs stays true to the engine's sources."""

from pathlib import Path

import pytest

from tests.mutants.table import MUTANTS, Mutant

CORE = Path(__file__).resolve().parents[2] / "ext" / "pynori_core"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_edit_has_its_place(mutant: Mutant) -> None:
    """What a mutant replaces is in its module exactly once, so that a run of all of them gets to its end."""
    for edit in mutant.edits:
        assert (CORE / f"{edit.module}.pyx").read_text().count(edit.old) == 1, edit.old

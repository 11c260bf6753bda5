"""A handful of power cuts on a real ext4; `ci/powercut` makes hundreds."""

from pathlib import Path

import pytest

from tests.faults import powercut
from tests.faults.tools import missing, volume


@pytest.mark.parametrize("options", ["", "data=writeback,commit=1000"], ids=["ordered", "writeback"])
def test_power_cuts_lose_nothing_acknowledged(tmp_path: Path, options: str) -> None:
    """What was acknowledged before the cut is there after it, whole; a plain file that was not synced is gone."""
    with volume(tmp_path, powercut.VOLUME_MB, options) as made:
        try:
            lost = powercut.cut_without_sync(made)
        except OSError as error:
            missing(f"shutting an ext4 down: {error}")
        assert lost, "a cut loses nothing that was not synced: the instrument is blind"
        assert powercut.run(made, 6, seed=7) > 0

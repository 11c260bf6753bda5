"""Walkthroughs on real processes that every change performs; `ci/walk` has the others."""

from __future__ import annotations

import pytest

from tests.walk.__main__ import perform


@pytest.mark.parametrize("name", ["W2", "W10"])
def test_it_goes_as_it_is_told(name: str) -> None:
    """Two nodes of which one is lost; a conflict that is made and ended by hand: each observation is as expected."""
    stage = perform(name, quiet=True)
    assert stage.observations > 20 and not stage.failures, "\n".join(stage.failures)

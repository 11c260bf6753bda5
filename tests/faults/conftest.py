"""The shim, compiled once for all fault tests."""

from pathlib import Path

import pytest

from tests.faults.tools import build_shim


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))

"""The sample database, made once."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.damage.runner import workplace
from tests.damage.sample import Sample, build


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A directory for this run's databases."""
    place = workplace()
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def sample(place: Path) -> Sample:
    return build(place / "sample")


@pytest.fixture(scope="session")
def other(place: Path) -> Sample:
    """The same database in another environment."""
    return build(place / "sample")

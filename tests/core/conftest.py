"""Fixtures of the engine's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An environment on disk; what the test leaves behind is checked."""
    store = Store(tmp_path)
    yield store
    store.close()

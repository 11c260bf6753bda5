"""Fixtures of the engine's tests."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.store import Store

try:
    from pynori_core.hooks import live_handles
except ImportError:  # the release build counts nothing
    live_handles = None


@pytest.fixture(autouse=True)
def no_handle_is_left() -> Iterator[None]:
    """In the debug build: whatever a test opened, down to the last page version, is closed again after it."""
    if live_handles is None:
        yield
        return
    before = live_handles()
    yield
    if live_handles() != before:
        gc.collect()
    after = live_handles()
    assert after == before, {name: after[name] - before[name] for name in after if after[name] != before[name]}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An environment on disk; what the test leaves behind is checked."""
    store = Store(tmp_path)
    yield store
    store.close()

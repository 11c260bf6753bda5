"""Log lines: their two forms, levels, the file, and that writing one never fails."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pynori import limits
from pynori.runtime import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the process without log handlers of this test."""
    yield
    log.configure("info", "text", "A", stream=io.StringIO())


def test_json_lines() -> None:
    """A JSON line has time, level, source, node, message, fields, and an error with its code and stack."""
    stream = io.StringIO()
    log.configure("info", "json", "node0", stream=stream)
    log.debug("x", "not written")
    log.info("db", "opened\nwell", db="shop", count=3, path=Path("a"))
    log.error("db", "failed", error=ValueError("bad"))
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first.pop("ts").endswith("Z")
    assert first == {
        "level": "info", "src": "db", "node": "node0", "msg": "opened\nwell", "db": "shop", "count": 3, "path": "a",
    }  # fmt: skip
    assert (second["level"], second["err"]) == ("error", "ValueError: bad") and "ValueError" in second["stack"]


def test_text_lines_and_levels() -> None:
    """A text line is short, shows the level unless it is info, and levels change while it runs."""
    stream = io.StringIO()
    log.configure("warn", "text", "A", stream=stream)
    log.info("a", "hidden")
    log.warn("a", "shown", key=1)
    log.set_level("debug")
    log.debug("b", "deep 100%")
    assert log.level() == "debug"
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines == ["warn a: shown key=1", "debug b: deep 100%"]


def test_log_file_and_broken_stream(tmp_path: Path) -> None:
    """Lines also go to the file, cut at their limit, although the stream is closed; nothing is raised."""
    stream = io.StringIO()
    log.configure("info", "text", "A", tmp_path / "logs", stream)
    stream.close()
    log.info("a", "x" * (limits.LOG_MESSAGE_SIZE_MAX + 100))
    entry = json.loads((tmp_path / "logs" / "pynori.log").read_text())
    assert len(entry["msg"]) == limits.LOG_MESSAGE_SIZE_MAX

"""Log lines: short human lines on stderr, or one JSON object per line; a file of JSON lines in addition on request.

A line has a time, a level, a source (the part of the program), the node, a message and named fields. Levels are trace,
debug, info, warn, error; a fresh start writes nothing above info. Writing a line never raises: a full or closed stream
must not fail what was being reported.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import msgspec

from pynori import limits

LEVELS = {"trace": 5, "debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_LEVEL_NAMES = {number: name for name, number in LEVELS.items()}
_COLORS = {"warn": "\x1b[33m", "error": "\x1b[31m"}
_logger = logging.getLogger("pynori")
_logger.propagate = False
# Without `configure` (the library inside another program) lines go nowhere unless that program listens to "pynori".
_logger.addHandler(logging.NullHandler())


def configure(level: str, form: str, node: str, directory: Path | None = None, stream: TextIO | None = None) -> None:
    """Send lines from `level` up to `stream` (stderr) as `form`, "text" or "json", and to files in `directory`."""
    stream = stream or sys.stderr
    formatter = JsonFormatter(node) if form == "json" else TextFormatter(stream.isatty())
    terminal = logging.StreamHandler(stream)
    terminal.setFormatter(formatter)
    handlers: list[logging.Handler] = [terminal]
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            directory / "pynori.log",
            maxBytes=limits.LOG_FILE_SIZE_BYTES_MAX,
            backupCount=limits.LOG_FILES_KEPT,
            encoding="utf-8",
        )
        file.setFormatter(JsonFormatter(node))
        handlers.append(file)
    for old in list(_logger.handlers):
        _logger.removeHandler(old)
        old.close()
    for handler in handlers:
        _logger.addHandler(handler)
    logging.raiseExceptions = False
    set_level(level)


def set_level(level: str) -> None:
    """Change what is written from now on; `level` is one of LEVELS."""
    _logger.setLevel(LEVELS[level])


def level() -> str:
    """The level in force."""
    return _LEVEL_NAMES.get(_logger.level, "info")


def debug(source: str, message: str, **fields: Any) -> None:
    _write("debug", source, message, fields)


def info(source: str, message: str, **fields: Any) -> None:
    _write("info", source, message, fields)


def warn(source: str, message: str, **fields: Any) -> None:
    _write("warn", source, message, fields)


def error(source: str, message: str, **fields: Any) -> None:
    """A line about something that failed; the field `error` takes the exception."""
    _write("error", source, message, fields)


def _write(level_name: str, source: str, message: str, fields: dict[str, Any]) -> None:
    number = LEVELS[level_name]
    if _logger.isEnabledFor(number):
        _logger.log(number, "%s", message[: limits.LOG_MESSAGE_SIZE_MAX], extra={"source": source, "fields": fields})


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts, level, src, node, msg, then the fields."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "ts": moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z",
            "level": _LEVEL_NAMES.get(record.levelno, "info"),
            "src": getattr(record, "source", record.name),
            "node": self._node,
            "msg": record.getMessage(),
        }
        for name, value in getattr(record, "fields", {}).items():
            if isinstance(value, BaseException):
                line["err"] = f"{type(value).__name__}: {value}"
                line["err.code"] = getattr(value, "code", "")
                line["stack"] = "".join(traceback.format_exception(value))
            else:
                line[name] = value
        return msgspec.json.encode(line, enc_hook=str).decode("utf-8")


class TextFormatter(logging.Formatter):
    """Short lines for people: time, level unless it is info, source, message, fields as name=value."""

    def __init__(self, colored: bool) -> None:
        super().__init__()
        self._colored = colored

    def format(self, record: logging.LogRecord) -> str:
        level_name = _LEVEL_NAMES.get(record.levelno, "info")
        moment = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        shown = "" if level_name == "info" else f"{level_name} "
        if self._colored and level_name in _COLORS:
            shown = f"{_COLORS[level_name]}{shown}\x1b[0m"
        fields = getattr(record, "fields", {})
        rest = "".join(f" {k}={v}" for k, v in fields.items() if not isinstance(v, BaseException))
        text = f"{moment} {shown}{getattr(record, 'source', record.name)}: {record.getMessage()}{rest}"
        stacks = [v for v in fields.values() if isinstance(v, BaseException) and v.__traceback__ is not None]
        if stacks and record.levelno >= logging.ERROR:
            text += "\n" + "".join(traceback.format_exception(stacks[0])).rstrip()
        return text

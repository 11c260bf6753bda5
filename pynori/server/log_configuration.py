"""How much is logged, changed while the server runs: in the words of RavenDB 5 (modes) and of 7 (levels).

What is changed here holds until the server starts anew; what it starts with is the settings' affair. Log files are kept
by number and size (`limits.LOG_FILES_KEPT`), so what a client says about their age is told back and deletes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pynori import limits
from pynori.errors import InvalidArgument
from pynori.runtime import log

if TYPE_CHECKING:
    from pynori.config import Settings

MODES = {"None": "warn", "Operations": "info", "Information": "debug"}
LEVELS = {
    "Trace": "trace", "Debug": "debug", "Info": "info", "Warn": "warn", "Error": "error", "Fatal": "error",
    "Off": "error",
}  # fmt: skip
_SHOWN = {level: name for name, level in reversed(LEVELS.items())}
_SPAN = re.compile(r"(\d+\.)?\d{2}:\d{2}:\d{2}(\.\d{1,7})?")
RETENTION_DEFAULT = "3.00:00:00"


class LogConfiguration:
    """What clients read and set at `/admin/logs/configuration`."""

    def __init__(self, settings: Settings) -> None:
        self._path = None if settings.log_directory is None else str(settings.log_directory)
        self._level = settings.log_level
        # Modes speak of log files: a server that writes none starts with None.
        started = "Information" if settings.log_level in ("trace", "debug") else "Operations"
        self._mode = self._current_mode = "None" if settings.log_directory is None else started
        self._retention_time = RETENTION_DEFAULT
        self._retention_size: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "CurrentMode": self._current_mode,
            "Mode": self._mode,
            "Path": self._path,
            "UseUtcTime": True,
            "RetentionTime": self._retention_time,
            "RetentionSize": self._retention_size,
            "Compress": False,
            "Logs": {
                "Path": self._path,
                "CurrentMinLevel": _SHOWN[log.level()],
                "CurrentFilters": [],
                "CurrentLogFilterDefaultAction": "Neutral",
                "MinLevel": _SHOWN[self._level],
                "ArchiveAboveSizeInMb": limits.LOG_FILE_SIZE_BYTES_MAX // limits.MIB,
                "MaxArchiveDays": None,
                "MaxArchiveFiles": limits.LOG_FILES_KEPT,
                "EnableArchiveFileCompression": False,
            },
            "AuditLogs": None,
            "MicrosoftLogs": None,
            "AdminLogs": None,
        }

    def change(self, given: Mapping[str, Any]) -> None:
        """Obey what a client sends. Raises: InvalidArgument, and nothing has changed."""
        if isinstance(given.get("Logs"), Mapping):
            self._change_level(given["Logs"])
        elif "Mode" in given:
            self._change_mode(given)
        else:
            raise InvalidArgument("the body must hold 'Mode', or 'Logs' with a 'MinLevel'; there are no other logs")

    def _change_level(self, given: Mapping[str, Any]) -> None:
        level = LEVELS.get(str(given.get("MinLevel")).capitalize())
        if level is None:
            raise InvalidArgument(f"'MinLevel' must be one of {', '.join(LEVELS)}")
        if given.get("Filters"):
            raise InvalidArgument("log lines are chosen by their level; 'Filters' are not supported")
        log.set_level(level)

    def _change_mode(self, given: Mapping[str, Any]) -> None:
        mode, time, size = str(given["Mode"]), given.get("RetentionTime"), given.get("RetentionSize")
        if mode not in MODES:
            raise InvalidArgument(f"'Mode' must be one of {', '.join(MODES)}")
        if time is not None and not (isinstance(time, str) and _SPAN.fullmatch(time)):
            raise InvalidArgument("'RetentionTime' must be a span of time such as 3.00:00:00")
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
            raise InvalidArgument("'RetentionSize' must be a number of bytes")
        self._current_mode = mode
        self._retention_time = RETENTION_DEFAULT if time is None else time
        self._retention_size = size
        log.set_level(MODES[mode])

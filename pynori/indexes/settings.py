"""What the `Indexing.*` settings of a definition and of a database mean here.

Settings that decide what an index holds are an index's own, in its definition's Configuration. Those about its work may
stand in the database's settings too; the definition's win. A value that cannot be obeyed is refused. A setting of
RavenDB's engine that has no meaning here is kept and told back as passed over (`IgnoredSettings` of the statistics).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pynori import limits
from pynori.errors import InvalidArgument

# Whole numbers about the work of an index: least and most.
_NUMBERS: Final[dict[str, tuple[int, int]]] = {
    "indexing.mapbatchsize": (1, limits.INDEX_BATCH_DOCUMENTS_MAX),
    "indexing.maptimeoutinsec": (-1, 24 * 3_600),
    "indexing.throttling.timeintervalinms": (0, 3_600_000),
    "indexing.timetowaitbeforemarkingautoindexasidleinmin": (1, 525_600),
    "indexing.timetowaitbeforedeletingautoindexmarkedasidleinhrs": (1, 87_600),
}
# Settings that decide what an index holds.
MISSING_AS_NULL: Final = "indexing.indexmissingfieldsasnull"
EMPTY_ENTRIES: Final = "indexing.indexemptyentries"
ANALYZER: Final = "indexing.analyzers.default"
SEARCH_ANALYZER: Final = "indexing.analyzers.search.default"
EXACT_ANALYZER: Final = "indexing.analyzers.exact.default"
_CONTENT: Final = (MISSING_AS_NULL, EMPTY_ENTRIES, ANALYZER, SEARCH_ANALYZER, EXACT_ANALYZER)


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """How an index works. Times of automatic indexes are those of the database."""

    documents_max: int = limits.INDEX_BATCH_DOCUMENTS_MAX  # of one batch
    batch_time_ms: int | None = None  # after which a batch ends with what it has; None: no limit
    interval_ms: int = 0  # that at least lie between two batches, whoever waits
    idle_ms: int = limits.INDEX_IDLE_MS
    idle_kept_ms: int = limits.INDEX_IDLE_KEPT_MS


def work_settings(configuration: Mapping[str, str], database: Mapping[str, str | None]) -> WorkSettings:
    """Those of a definition over those of its database. What the latter cannot mean is passed over."""
    found: dict[str, int] = {}
    for source in (database, configuration):
        for key, value in source.items():
            number = _whole_number(key.lower(), value)
            if number is not None:
                found[key.lower()] = number
    timeout = found.get("indexing.maptimeoutinsec", -1)
    minutes = found.get("indexing.timetowaitbeforemarkingautoindexasidleinmin")
    hours = found.get("indexing.timetowaitbeforedeletingautoindexmarkedasidleinhrs")
    return WorkSettings(
        found.get("indexing.mapbatchsize", limits.INDEX_BATCH_DOCUMENTS_MAX),
        None if timeout < 0 else timeout * 1_000,
        found.get("indexing.throttling.timeintervalinms", 0),
        limits.INDEX_IDLE_MS if minutes is None else minutes * 60_000,
        limits.INDEX_IDLE_KEPT_MS if hours is None else hours * 3_600_000,
    )


def _whole_number(key: str, value: str | None) -> int | None:
    """The value of a setting that is a number within its bounds."""
    bounds = _NUMBERS.get(key)
    text = (value or "").strip()
    if bounds is None or not text.removeprefix("-").isdecimal() or len(text) > 12:
        return None
    return int(text) if bounds[0] <= int(text) <= bounds[1] else None


def check_configuration(index: str, configuration: Mapping[str, str]) -> None:
    """Refuse values of a definition that cannot be obeyed. Raises: InvalidArgument."""
    for key, value in configuration.items():
        lowered = key.lower()
        bounds = _NUMBERS.get(lowered)
        if bounds is not None and value.strip() and _whole_number(lowered, value) is None:
            raise InvalidArgument(
                f"Index '{index}': the setting '{key}' must be a whole number from {bounds[0]} to {bounds[1]}, but is "
                f"'{value[:40]}'"
            )
        allowed = _WORDS.get(lowered)
        if allowed is not None and not allowed[0](value.strip().lower()):
            raise InvalidArgument(f"Index '{index}': the setting '{key}' must be {allowed[1]}, but is '{value[:40]}'")


def passed_over(configuration: Mapping[str, str]) -> list[str]:
    """The settings of a definition that mean nothing here."""
    known = (*_NUMBERS, *_CONTENT, *_WORDS)
    return sorted(key for key in configuration if key.lower() not in known)


def _is_switch(value: str) -> bool:
    return value in ("true", "false", "")


def _is_keyword(value: str) -> bool:
    return value in ("", "keywordanalyzer") or value.split(",")[0].endswith(".keywordanalyzer")


_WORDS: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    MISSING_AS_NULL: (_is_switch, "true or false"),
    EMPTY_ENTRIES: (_is_switch, "true or false"),
    EXACT_ANALYZER: (_is_keyword, "KeywordAnalyzer: exact fields hold whole texts"),
    # Both engines of RavenDB name the same meaning of queries, which is the one here.
    "indexing.static.searchenginetype": (lambda value: value in ("lucene", "corax", "none", ""), "Corax or Lucene"),
    "indexing.auto.searchenginetype": (lambda value: value in ("lucene", "corax", "none", ""), "Corax or Lucene"),
}

"""One query as a client sends it: text, parameters, page and waits, from a JSON body or a query string.

Both forms become a `QueryRequest`; null means absent, durations come as TimeSpan texts or as milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import msgspec

from pynori.errors import InvalidArgument, InvalidQuery
from pynori.limits import QUERY_WAIT_MS_DEFAULT, QUERY_WAIT_MS_MAX
from pynori.queries.timespan import timespan_ms

PAGE_SIZE_MAX = 2**31 - 1  # what clients send when they want everything


class ProjectionBehavior(Enum):
    """Where projected fields are read: the index's stored fields, the document, or whichever has them."""

    DEFAULT = "Default"
    FROM_INDEX = "FromIndex"
    FROM_INDEX_OR_THROW = "FromIndexOrThrow"
    FROM_DOCUMENT = "FromDocument"
    FROM_DOCUMENT_OR_THROW = "FromDocumentOrThrow"


@dataclass(frozen=True, slots=True)
class QueryRequest:
    """What is asked for. start and page_size combine with the `limit` of the text; the smaller page wins."""

    text: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    start: int = 0
    page_size: int = PAGE_SIZE_MAX
    wait_ms: int | None = None  # wait so long for an index that is up to date; None: answer at once
    disable_caching: bool = False
    skip_duplicate_checking: bool = False
    projection: ProjectionBehavior = ProjectionBehavior.DEFAULT
    metadata_only: bool = False
    debug: str = ""  # "entries" or "explain"
    time_series_names: bool = False
    streams: bool = False  # the answer is one of /streams/queries

    @property
    def fingerprint(self) -> bytes:
        """Text that differs between requests which differ."""
        return _encode(self)


_encode: Callable[[QueryRequest], bytes] = msgspec.json.Encoder().encode


def from_body(body: Mapping[str, Any]) -> QueryRequest:
    """The index query object of a request's body."""
    text = body.get("Query")
    if not isinstance(text, str) or not text.strip():
        raise InvalidQuery("the body must hold 'Query', the text of a query")
    parameters = body.get("QueryParameters")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        raise InvalidArgument("'QueryParameters' must be an object")
    waits = bool(body.get("WaitForNonStaleResults"))
    return QueryRequest(
        text,
        {name.removeprefix("$"): value for name, value in parameters.items()},
        start=_number(body, "Start", 0),
        page_size=_number(body, "PageSize", PAGE_SIZE_MAX),
        wait_ms=_wait_ms(body.get("WaitForNonStaleResultsTimeout")) if waits else None,
        disable_caching=bool(body.get("DisableCaching")),
        skip_duplicate_checking=bool(body.get("SkipDuplicateChecking")),
        projection=_projection(body.get("ProjectionBehavior")),
    )


def parameters_from_text(text: str) -> dict[str, Any]:
    """The parameters of a query string: one JSON object."""
    if not text:
        return {}
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidArgument(f"the parameters are not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidArgument("the parameters must be a JSON object")
    return {name.removeprefix("$"): each for name, each in value.items()}


def _number(body: Mapping[str, Any], name: str, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidArgument(f"'{name}' must be a number that is not negative, but was {value!r}")
    return min(value, PAGE_SIZE_MAX)


def _wait_ms(value: Any) -> int:
    if value is None:
        return QUERY_WAIT_MS_DEFAULT
    return min(timespan_ms(value), QUERY_WAIT_MS_MAX)


def _projection(value: Any) -> ProjectionBehavior:
    if value is None or value == "":
        return ProjectionBehavior.DEFAULT
    try:
        return ProjectionBehavior(value)
    except ValueError:
        raise InvalidArgument(f"'ProjectionBehavior' is '{str(value)[:40]}', which is not known") from None

"""The queries of one database that are being answered now: listed, and ended on request.

A query is here from the moment its snapshots are open until they are given back. Ending one makes it fail at its next
batch of results. Used from any thread.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from pynori.errors import OperationCanceled

if TYPE_CHECKING:
    from datetime import datetime

    from pynori.queries.request import QueryRequest


class RunningQuery:
    """One query under way."""

    __slots__ = ("began_ms", "id", "index_name", "is_killed", "is_streaming", "request", "started")

    def __init__(
        self, id: int, index_name: str, request: QueryRequest, started: datetime, began_ms: float, is_streaming: bool
    ) -> None:
        self.id = id
        self.index_name = index_name
        self.request = request
        self.started = started
        self.began_ms = began_ms
        self.is_streaming = is_streaming
        self.is_killed = False

    def check(self) -> None:
        """Raises: OperationCanceled when somebody has ended it."""
        if self.is_killed:
            raise OperationCanceled(f"The query {self.id} of '{self.index_name}' was ended on request")


class RunningQueries:
    """Those of one database."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._running: dict[int, RunningQuery] = {}  # each change is one operation of the dictionary

    def begin(self, index_name: str, request: QueryRequest, started: datetime, began_ms: float) -> RunningQuery:
        found = RunningQuery(next(self._numbers), index_name, request, started, began_ms, request.streams)
        self._running[found.id] = found
        return found

    def end(self, query: RunningQuery) -> None:
        self._running.pop(query.id, None)

    def all(self) -> list[RunningQuery]:
        """The oldest first."""
        return list(self._running.values())

    def kill(self, index_name: str, id: int) -> bool:
        """Let a query end at its next step; whether it is there."""
        found = self._running.get(id)
        if found is None or found.index_name.lower() != index_name.lower():
            return False
        found.is_killed = True
        return True


def as_json(query: RunningQuery, now_ms: float, started: str) -> dict[str, Any]:
    """A running query in the shape that clients show."""
    return {
        "QueryId": query.id,
        "IndexName": query.index_name,
        "StartTime": started,
        "DurationInMs": round(now_ms - query.began_ms, 3),
        "IsStreaming": query.is_streaming,
        "QueryInfo": {
            "Query": query.request.text,
            "QueryParameters": dict(query.request.parameters),
            "Start": query.request.start,
            "PageSize": query.request.page_size,
        },
    }

"""Bulk insert: many documents in one request, confirmed at its end; and ranges of ids for documents without one."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pynori.client.http import HttpClient, RequestFailed, database_path

Document = tuple[str, bytes]  # id, JSON text of one object
IdRange = tuple[int, int, str]  # first and last number, both included, and the tag of the node that gave them


def bulk_insert(client: HttpClient, database: str, documents: Iterable[Document]) -> None:
    """Store documents, in order. On an error a first part of them may have been stored.

    Raises: RequestFailed with the server's reason, ServerNotReachable.
    """
    encode = msgspec.json.encode
    commands = [b'{"Id":%b,"Type":"PUT","Document":%b}' % (encode(id), body) for id, body in documents]
    operation_id = client.get_json(database_path(database, "/operations/next-operation-id"))["Id"]
    path = database_path(database, "/bulk_insert", {"id": operation_id})
    try:
        client.request("POST", path, b"[" + b",".join(commands) + b"]")
    except RequestFailed as error:
        raise _reason(client, database, operation_id, error) from error


def _reason(client: HttpClient, database: str, operation_id: int, error: RequestFailed) -> RequestFailed:
    """The error that the operation keeps says more than the answer of an aborted request."""
    try:
        state = client.get_json(database_path(database, "/operations/state", {"id": operation_id}))
    except RequestFailed:
        return error
    result = state.get("Result") if isinstance(state, dict) and state.get("Status") == "Faulted" else None
    if not isinstance(result, dict) or not result.get("Message"):
        return error
    return RequestFailed(error.status, str(result.get("Type") or error.wire_name), str(result["Message"]))


class IdRanges:
    """Numbers for new ids of one collection: `people/1-A`, taken from the server in ranges, so nobody else has them."""

    def __init__(self, client: HttpClient, database: str, prefix: str, ranges: Iterable[IdRange] = ()) -> None:
        self._client = client
        self._database = database
        self._prefix = prefix  # "people/"
        self._last_size = 0
        self._last_range_at = ""
        self.ranges: list[IdRange] = list(ranges)  # what is left, to be used in this order
        self.taken: list[IdRange] = []  # whole ranges that the server has given; for the caller to note and clear

    def next(self) -> str:
        """The next id. Asks the server when the ranges are used up."""
        if not self.ranges:
            self.ranges.append(self._ask())
            self.taken.append(self.ranges[-1])
        first, last, tag = self.ranges[0]
        if first == last:
            self.ranges.pop(0)
        else:
            self.ranges[0] = (first + 1, last, tag)
        return f"{self._prefix}{first}-{tag}"

    def _ask(self) -> IdRange:
        query = {
            "tag": self._prefix.removesuffix("/"),
            "lastBatchSize": self._last_size,
            "lastRangeAt": self._last_range_at,
            "identityPartsSeparator": "/",
            "lastMax": 0,
        }
        answer = self._client.get_json(database_path(self._database, "/hilo/next", query))
        # Told of the range before, the server gives twice as many when it is asked again soon.
        self._last_size = answer["LastSize"]
        self._last_range_at = answer["LastRangeAt"]
        return (answer["Low"], answer["High"], answer["ServerTag"])

"""Queries as our client asks them: a text with parameters, an answer with documents as dictionaries."""

from __future__ import annotations

from typing import Any

import msgspec

from pynori.client.http import HttpClient, database_path


class QueryAnswer(msgspec.Struct, rename="pascal"):
    """What a server answers to a query; what else it says is left out."""

    results: list[dict[str, Any]]
    total_results: int
    is_stale: bool
    index_name: str = ""
    includes: dict[str, Any] = {}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(QueryAnswer).decode


def query(
    client: HttpClient, database: str, text: str, parameters: dict[str, Any] | None = None, *, wait: bool = False
) -> QueryAnswer:
    """Ask a database. wait: until the index has all that was written. Raises as HttpClient.request."""
    body = _encode({"Query": text, "QueryParameters": parameters or {}, "WaitForNonStaleResults": wait})
    return _decode(client.request("POST", database_path(database, "/queries"), body))

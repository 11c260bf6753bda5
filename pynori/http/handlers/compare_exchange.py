"""Compare-exchange values of a database: read, listed, put and deleted by index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from pynori.cluster.compare_exchange import Outcome, Stored
from pynori.errors import InvalidArgument, InvalidJson
from pynori.http.request import REQUEST_ID, Request
from pynori.http.response import Response, StreamResponse, encode_json, json_response
from pynori.runtime.clock import wire_ticks

if TYPE_CHECKING:
    from pynori.cluster.state import ClusterState

COMPARE_EXCHANGE_PAGE_SIZE = 2**31 - 1  # of a list when none is asked for
LISTED_VALUES_STEP = 512  # read and written at once


class ValueBody(msgspec.Struct, omit_defaults=True):
    """A value as clients send it: what they stored is in `Object`."""

    Object: msgspec.Raw = msgspec.Raw(b"null")
    metadata: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="@metadata")


class ExpiringMetadata(msgspec.Struct):
    expires: str | None = msgspec.field(default=None, name="@expires")


async def get(request: Request) -> Response | StreamResponse:
    """Values by key, or those whose keys begin with `startsWith`: as the whole cluster has agreed on them so far."""
    request.open_database()
    await request.server.state.read_barrier()
    state, name = request.server.state, request.database_name
    keys = request.texts("key")
    if keys:
        found = [(key, state.compare_exchange_value(name, key)) for key in dict.fromkeys(keys)]
        if len(found) == 1 and found[0][1] is None:
            return Response(404)
        return json_response({"Results": [shape(key, stored) for key, stored in found]})
    prefix = request.text("startswith") if "startswith" in request.query else ""
    start = request.number("start", 0)
    size = request.number("pagesize", COMPARE_EXCHANGE_PAGE_SIZE)
    return StreamResponse(listed(partial(state.compare_exchange_values, name, prefix), start, size))


def listed(read: Callable[[int, int, str], list[Stored]], skip: int, size: int) -> Iterator[bytes]:
    """The body of a list, a bounded number of values at a time: there may be any number of them."""
    yield b'{"Results":['
    separator, after = b"", ""
    while size > 0:
        found = read(skip, min(size, LISTED_VALUES_STEP), after)
        if found:
            yield separator + encode_json([shape(stored.key, stored) for stored in found])[1:-1]
            separator = b","
        if len(found) < LISTED_VALUES_STEP:
            break
        skip, size, after = 0, size - len(found), found[-1].key
    yield b"]}"


async def put(request: Request) -> Response:
    """Write a value if its index is still `index`; 0: if there is none."""
    request.open_database()
    text, expires = value_of(request.body)
    outcome = await request.server.state.put_compare_exchange(
        request.database_name, request.required("key"), request.number("index", 0), text, expires,
        request.text(REQUEST_ID),
    )  # fmt: skip
    return json_response(outcome_shape(outcome))


async def delete(request: Request) -> Response:
    """Remove a value if its index is still `index`."""
    request.open_database()
    outcome = await request.server.state.delete_compare_exchange(
        request.database_name, request.required("key"), request.number("index", 0), request.text(REQUEST_ID)
    )
    return json_response(outcome_shape(outcome))


def value_of(body: bytes) -> tuple[bytes, int]:
    """The JSON text to keep for a value that was sent, and when it expires, in ticks; 0: never.

    Raises: InvalidJson, InvalidArgument.
    """
    try:
        value = msgspec.json.decode(body, type=ValueBody)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f'the value is not of the form {{"Object": ...}}: {error}') from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"the request body is not valid JSON: {error}") from None
    return msgspec.json.encode(value), expiry_of(value)


def expiry_of(value: ValueBody) -> int:
    """A moment without a zone is in UTC."""
    if b"@expires" not in bytes(value.metadata):
        return 0
    try:
        text = msgspec.json.decode(value.metadata, type=ExpiringMetadata).expires
        if text is None:
            return 0
        moment = datetime.fromisoformat(text)
        return wire_ticks(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        raise InvalidArgument(f"'@expires' of the value's metadata must be a moment in time: {error}") from None


def finder(state: ClusterState, database_name: str) -> Callable[[str], dict[str, Any] | None]:
    """What reads one value of a database as clients see it; None when there is none. May be called in any thread."""

    def find(key: str) -> dict[str, Any] | None:
        stored = state.compare_exchange_value(database_name, key)
        if stored is None:
            return None
        return {"Key": stored.key, "Index": stored.index, "Value": msgspec.json.decode(stored.value)}

    return find


def shape(key: str, stored: Stored | None) -> dict[str, Any]:
    """One value of a list; what is not there has no value and index -1."""
    if stored is None:
        return {"Key": key, "Index": -1, "Value": None}
    return {"Key": stored.key, "Index": stored.index, "Value": msgspec.Raw(stored.value)}


def outcome_shape(outcome: Outcome) -> dict[str, Any]:
    value = None if outcome.value is None else msgspec.Raw(outcome.value)
    return {"Index": outcome.index, "Value": value, "Successful": outcome.successful}

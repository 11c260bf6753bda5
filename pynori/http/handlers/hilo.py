"""HiLo: ranges of numbers from which clients make ids on their own."""

from __future__ import annotations

from pynori.http.request import Request
from pynori.http.response import Response, json_response


async def next_range(request: Request) -> Response:
    """Take a range of numbers for ids."""
    database = request.open_database().database
    granted = await database.next_hilo(
        request.required("tag"),
        request.number("lastbatchsize", 0),
        request.text("lastrangeat") or None,
        request.text("identitypartsseparator") or database.options.identity_parts_separator,
        request.number("lastmax", 0),
    )
    return json_response(
        {
            "Prefix": granted.prefix,
            "Low": granted.low,
            "High": granted.high,
            "LastSize": granted.last_size,
            "ServerTag": granted.server_tag,
            "LastRangeAt": granted.last_range_at,
        }
    )


async def return_range(request: Request) -> Response:
    """Give back the rest of a range."""
    database = request.open_database().database
    await database.return_hilo(request.required("tag"), request.number("end", 0), request.number("last", 0))
    return Response(204)

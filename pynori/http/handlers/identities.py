"""Identities: gapless numbers of the cluster, such as users/1, users/2."""

from __future__ import annotations

from pynori.errors import InvalidArgument
from pynori.http.request import REQUEST_ID, Request
from pynori.http.response import Response, json_response


async def take_next(request: Request) -> Response:
    """Take the next number of an identity."""
    request.open_database()
    value = await request.server.state.next_identity(
        request.database_name, request.required("name"), request=request.text(REQUEST_ID)
    )
    return json_response({"NewIdentityValue": value})


async def seed(request: Request) -> Response:
    """Set the number of an identity."""
    request.open_database()
    name = request.required("name")
    if "value" not in request.query:
        raise InvalidArgument("Query string value 'value' is mandatory, but wasn't specified.")
    value = request.number("value", 0, minimum=-(2**63))
    now = await request.server.state.seed_identity(
        request.database_name, name, value, request.flag("force"), request.text(REQUEST_ID)
    )
    return json_response({"NewSeedValue": now})


def list_all(request: Request) -> Response:
    """The last number of each identity."""
    request.open_database()
    return json_response(request.server.state.identities(request.database_name))

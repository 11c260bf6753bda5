"""Connections of other nodes: an upgrade from HTTP to the frames of `runtime/channel.py`, for one named operation."""

from __future__ import annotations

import msgspec

from pynori.errors import InvalidArgument
from pynori.http.request import Request
from pynori.http.response import Response, Upgrade, field
from pynori.runtime.channel import UPGRADE


def open_channel(request: Request) -> Upgrade | Response:
    """A channel for the operation that the caller names, if this server has it and takes the caller."""
    # Before anything is begun for the caller: an operation may change this node.
    if request.fields.get(b"upgrade", b"").lower() != UPGRADE.encode("ascii"):
        return Response(426, b"", field("Upgrade", UPGRADE), close=True)
    name = request.fields.get(b"pynori-operation", b"").decode("latin-1")
    accept = request.server.channels.get(name)
    if accept is None:
        raise InvalidArgument(f"there is no operation '{name[:40]}' between nodes")
    try:
        hello = msgspec.json.decode(request.fields.get(b"pynori-hello", b"{}"), type=dict)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidArgument(f"the field 'Pynori-Hello' is no JSON object: {error}") from None
    return Upgrade(UPGRADE, accept(hello))

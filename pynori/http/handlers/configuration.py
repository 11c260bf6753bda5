"""Client configuration, server-wide and per database: what clients fetch when a refresh header tells them to."""

from __future__ import annotations

from typing import Any

from pynori.http.request import Request
from pynori.http.response import Response, json_response


def get_server(request: Request) -> Response:
    """The server-wide client configuration."""
    etag, configuration = request.server.state.client_configuration()
    return Response(404) if configuration is None else json_response({**configuration, "Etag": etag})


async def put_server(request: Request) -> Response:
    """Set the server-wide client configuration."""
    await request.server.state.put_client_configuration(None, configuration_of(request))
    return Response(204)


def get_database(request: Request) -> Response:
    """The client configuration that holds for a database."""
    etag, configuration = request.server.state.client_configuration(request.database_name)
    return json_response({"Etag": etag, "Configuration": configuration})


async def put_database(request: Request) -> Response:
    """Set the client configuration of a database."""
    await request.server.state.put_client_configuration(request.database_name, configuration_of(request))
    return Response(204)


def configuration_of(request: Request) -> dict[str, Any] | None:
    """The body; `null` takes the configuration away."""
    return None if request.body.strip() in (b"", b"null") else request.json_object()

"""Long operations: an id to start one under, its state to poll, a way to end it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynori.http.request import Request
from pynori.http.response import Response, json_response

if TYPE_CHECKING:
    from pynori.server.operations import Operations


def next_id(request: Request) -> Response:
    """An id for a long operation."""
    return next_id_response(request, request.open_database().operations)


def next_id_of_server(request: Request) -> Response:
    """An id for a long operation of the server."""
    return next_id_response(request, request.server.operations)


def state(request: Request) -> Response:
    """The state of a long operation."""
    return state_response(request, request.open_database().operations)


def state_of_server(request: Request) -> Response:
    """The state of a long operation of the server."""
    return state_response(request, request.server.operations)


def kill(request: Request) -> Response:
    """Ask a long operation to end."""
    request.open_database().operations.kill(operation_id(request))
    return Response(204)


def kill_of_server(request: Request) -> Response:
    """Ask a long operation of the server to end."""
    request.server.operations.kill(operation_id(request))
    return Response(204)


def next_id_response(request: Request, operations: Operations) -> Response:
    return json_response({"Id": operations.next_id(), "NodeTag": request.server.node_tag})


def state_response(request: Request, operations: Operations) -> Response:
    found = operations.state(operation_id(request))
    return Response(404) if found is None else json_response(found)


def operation_id(request: Request) -> int:
    request.required("id")
    return request.number("id", 0)

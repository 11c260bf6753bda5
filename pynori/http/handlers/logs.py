"""How much the server logs, read and changed while it runs."""

from __future__ import annotations

from pynori.http.request import Request
from pynori.http.response import Response, json_response


def get_configuration(request: Request) -> Response:
    """What is logged, and where to."""
    return json_response(request.server.log_configuration.to_json())


def set_configuration(request: Request) -> Response:
    """Log more or less until the server starts anew."""
    request.server.log_configuration.change(request.json_object())
    return Response(204)

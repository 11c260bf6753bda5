"""What the server says about itself to those who look for trouble."""

from __future__ import annotations

from pynori.http.request import Request
from pynori.http.response import Response, json_response


def routes(request: Request) -> Response:
    """The table of routes, as it is served."""
    return json_response(
        [
            {"Method": route.method, "Path": route.path, "Permission": route.permission.value, "Body": route.body.value}
            for route in request.listener.router.routes
        ]
    )

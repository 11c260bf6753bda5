"""What clients poll about indexes while they wait or tear down; a database has none."""

from __future__ import annotations

from pynori.http.request import Request
from pynori.http.response import Response, json_response


def status(request: Request) -> Response:
    """The state of all indexes."""
    request.open_database()
    return json_response({"Status": "Running", "Indexes": []})


def errors(request: Request) -> Response:
    """The errors of all indexes."""
    request.open_database()
    return json_response({"Results": []})

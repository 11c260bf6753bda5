"""What indexes tell of themselves: statistics, status, errors, why they are stale, how fast they are."""

from __future__ import annotations

from pynori.http.request import Request
from pynori.http.response import Response, json_response
from pynori.indexes import statistics


def stats(request: Request) -> Response:
    """Statistics of one index or of all."""
    opened = request.open_database()
    name = request.text("name")
    chosen = [opened.indexes.find(name)] if name else opened.indexes.all()
    return json_response({"Results": [statistics.full(each, opened.database) for each in chosen]})


def status(request: Request) -> Response:
    """What every index does now."""
    indexes = request.open_database().indexes
    shown = [{"Name": each.name, "Status": each.status} for each in indexes.all()]
    return json_response({"Status": "Paused" if indexes.is_paused else "Running", "Indexes": shown})


def errors(request: Request) -> Response:
    """Errors of single documents, by index."""
    indexes = request.open_database().indexes
    names = request.texts("name")
    chosen = [indexes.find(each) for each in names] if names else indexes.all()
    return json_response({"Results": [statistics.errors(each) for each in chosen]})


async def clear_errors(request: Request) -> Response:
    """Forget the errors of the named indexes, or of all."""
    indexes = request.open_database().indexes
    names = request.texts("name")
    for each in [indexes.find(name) for name in names] if names else indexes.all():
        await each.clear_errors()
    return Response(204)


def staleness(request: Request) -> Response:
    """Why an index is stale."""
    index = request.open_database().indexes.find(request.required("name"))
    reasons = index.staleness_reasons()
    return json_response({"IsStale": bool(reasons), "StalenessReasons": reasons})


def progress(request: Request) -> Response:
    """How far each index has come."""
    opened = request.open_database()
    return json_response({"Results": [statistics.progress(each, opened.database) for each in opened.indexes.all()]})


def performance(request: Request) -> Response:
    """The last batches of each index."""
    indexes = request.open_database().indexes
    names = request.texts("name")
    chosen = [indexes.find(each) for each in names] if names else indexes.all()
    return json_response({"Results": [statistics.performance(each) for each in chosen]})

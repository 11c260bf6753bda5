"""Indexing started and stopped, indexes enabled and disabled, locked, given a priority."""

from __future__ import annotations

from typing import Any

from pynori.errors import InvalidArgument
from pynori.http.request import Request
from pynori.http.response import Response
from pynori.indexes.index import Index


def start(request: Request) -> Response:
    """Resume one index, those of a type, or all."""
    indexes = request.open_database().indexes
    for each in chosen(request):
        indexes.resume(each)
    if not request.text("name") and not request.text("type"):
        indexes.is_paused = False
    return Response(204)


def stop(request: Request) -> Response:
    """Pause one index, those of a type, or all, on this node and until the server starts anew."""
    indexes = request.open_database().indexes
    for each in chosen(request):
        indexes.pause(each)
    if not request.text("name") and not request.text("type"):
        indexes.is_paused = True
    return Response(204)


def chosen(request: Request) -> list[Index]:
    """The indexes that `name` or `type` (map or map-reduce) means."""
    indexes = request.open_database().indexes
    name, kind = request.text("name"), request.text("type").lower()
    if name and kind:
        raise InvalidArgument("Query string value 'name' and 'type' cannot be given together.")
    if name:
        return [indexes.find(name)]
    if kind not in ("", "map", "map-reduce"):
        raise InvalidArgument("Query string value 'type' must be 'map' or 'map-reduce'.")
    return [each for each in indexes.all() if not kind or each.is_map_reduce == (kind == "map-reduce")]


async def enable(request: Request) -> Response:
    """Let a disabled index go on."""
    await request.open_database().indexes.set_disabled(request.required("name"), False)
    return Response(204)


async def disable(request: Request) -> Response:
    """Keep an index from indexing; it still answers."""
    await request.open_database().indexes.set_disabled(request.required("name"), True)
    return Response(204)


async def set_lock(request: Request) -> Response:
    """Say whether definitions may be changed."""
    body = request.json_object()
    await request.open_database().indexes.set_lock(index_names(body), body.get("Mode"))
    return Response(204)


async def set_priority(request: Request) -> Response:
    """Say how indexes stand among each other."""
    body = request.json_object()
    await request.open_database().indexes.set_priority(index_names(body), body.get("Priority"))
    return Response(204)


def index_names(body: dict[str, Any]) -> list[str]:
    names = body.get("IndexNames")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InvalidArgument("the body must hold 'IndexNames', a list of strings")
    return names

"""Collections: how many documents each holds, and the documents of one."""

from __future__ import annotations

from pynori.http.request import Request
from pynori.http.response import Response, etag_field, json_response
from pynori.http.shapes import size_shape


def statistics(request: Request) -> Response:
    """How many documents each collection holds."""
    database = request.open_database().database
    return json_response(
        {
            "CountOfDocuments": database.statistics().documents,
            "CountOfConflicts": database.conflict_count,
            "Collections": database.collections(),
        }
    )


def statistics_detailed(request: Request) -> Response:
    """As `statistics`; sizes are not kept for each collection and stand at zero."""
    database = request.open_database().database
    sizes = {name: size_shape(0) for name in ("Size", "DocumentsSize", "TombstonesSize", "RevisionsSize")}
    return json_response(
        {
            "CountOfDocuments": database.statistics().documents,
            "CountOfConflicts": database.conflict_count,
            "Collections": {
                name: {"Name": name, "CountOfDocuments": count, **sizes}
                for name, count in database.collections().items()
            },
        }
    )


def documents(request: Request) -> Response:
    """The documents of one collection, newest first."""
    database = request.open_database().database
    etag = database.change_vector
    if etag and request.etag(b"if-none-match") == etag:
        return Response(304, fields=etag_field(etag))
    body = database.list_collection(
        request.required("name"),
        start=request.number("start", 0),
        page_size=request.number("pagesize", 2**31 - 1),
        descending=True,
    )
    return Response(200, body, etag_field(etag) if etag else b"")

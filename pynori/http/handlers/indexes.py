"""Definitions of indexes: deploy, list, delete, build anew, compare; and the terms of their fields."""

from __future__ import annotations

from typing import Any

from pynori.errors import InvalidArgument
from pynori.http.request import Request
from pynori.http.response import Response, json_response
from pynori.indexes.entries import term_text
from pynori.limits import INDEX_TERMS_PAGE_MAX


async def put(request: Request) -> Response:
    """Deploy definitions in any language."""
    return await deploy(request, scripts_only=False)


async def put_scripts(request: Request) -> Response:
    """Deploy definitions written in JavaScript."""
    return await deploy(request, scripts_only=True)


async def deploy(request: Request, *, scripts_only: bool) -> Response:
    given = request.json_object().get("Indexes")
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise InvalidArgument("the body must hold 'Indexes', a list of definitions")
    indexes = request.open_database().indexes
    results = []
    for each in given:
        raft_index = await indexes.put(each, scripts_only=scripts_only)
        results.append({"Index": each["Name"], "RaftCommandIndex": raft_index})
    return json_response({"Results": results}, status=201)


def get(request: Request) -> Response:
    """One definition, or all, or their names."""
    indexes = request.open_database().indexes
    name = request.text("name")
    if name:
        found = indexes.get(name)
        return Response(404) if found is None else json_response({"Results": [found.to_json()]})
    start = request.number("start", 0)
    page = indexes.all()[start:][: request.number("pagesize", 2**31 - 1)]
    if request.flag("namesonly"):
        return json_response({"Results": [each.name for each in page]})
    return json_response({"Results": [each.to_json() for each in page]})


async def delete(request: Request) -> Response:
    """Delete an index; one that is not there is deleted already."""
    await request.open_database().indexes.delete(request.required("name"))
    return Response(204)


async def reset(request: Request) -> Response:
    """Build an index anew."""
    name = request.required("name")
    await request.open_database().indexes.reset(name)
    return json_response({"IndexId": 0, "Index": name})


def has_changed(request: Request) -> Response:
    """Whether deploying a definition would change anything."""
    return json_response({"Changed": request.open_database().indexes.has_changed(request.json_object())})


def history(request: Request) -> Response:
    """Earlier definitions of an index, the newest first."""
    opened = request.open_database()
    name = opened.indexes.find(request.required("name")).definition.name
    return json_response({"Index": name, "History": opened.record["IndexesHistory"].get(name, [])})


def rolling(request: Request) -> Response:
    """How far rolling deployments have come, of one index or of all, by node."""
    found = request.open_database().record["RollingIndexes"]
    name = request.text("name").lower()
    return json_response({"RollingIndexes": {key: each for key, each in found.items() if name in ("", key.lower())}})


def terms(request: Request) -> Response:
    """Terms of a field in their order."""
    index = request.open_database().indexes.find(request.required("name"))
    field_name = request.required("field")
    limit = request.number("pagesize", INDEX_TERMS_PAGE_MAX, 0, 2**31 - 1)
    after = request.text("fromvalue")
    found: list[Any] = []
    with index.read() as snapshot:
        result_etag = snapshot.txn_id
        field = snapshot.field(field_name)
        if field is None:
            field = next((each for each in snapshot.fields() if each.name.lower() == field_name.lower()), None)
        if field is not None:
            page = min(limit, INDEX_TERMS_PAGE_MAX)
            found = snapshot.terms(field.number, after=after, limit=page) if after else snapshot.terms(
                field.number, limit=page
            )  # fmt: skip
    texts = [term_text(value) for value, _ in found]
    return json_response({"Terms": texts, "ResultEtag": result_etag, "IndexName": index.name})

"""Definitions of indexes: deploy, list, delete, build anew, compare; and the terms of their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynori.errors import InvalidArgument
from pynori.http.request import Request
from pynori.http.response import Response, json_response
from pynori.indexes.entries import term_text
from pynori.limits import INDEX_TERMS_ANSWER_MAX, INDEX_TERMS_PAGE_MAX

if TYPE_CHECKING:
    from pynori_core.index_store import IndexSnapshot

Term = bool | int | float | str | None
WORDS: dict[str, Term] = {"null": None, "true": True, "false": False}


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
    """Terms of a field in their order, as texts. The next page begins behind the last term of this one."""
    index = request.open_database().indexes.find(request.required("name"))
    field_name = request.required("field")
    limit = min(request.number("pagesize", INDEX_TERMS_ANSWER_MAX, 0, 2**31 - 1), INDEX_TERMS_ANSWER_MAX)
    found: list[Term] = []
    with index.read() as snapshot:
        result_etag = snapshot.txn_id
        field = snapshot.field(field_name)
        if field is None:
            field = next((each for each in snapshot.fields() if each.name.lower() == field_name.lower()), None)
        if field is not None:
            found = listed_terms(snapshot, field.number, request.text("fromvalue"), limit)
    texts = [term_text(value) for value in found]
    return json_response({"Terms": texts, "ResultEtag": result_etag, "IndexName": index.name})


def listed_terms(snapshot: IndexSnapshot, field: int, after: str, limit: int) -> list[Term]:
    """Up to `limit` terms behind the one that reads so; "": from the first."""
    found: list[Term] = []
    last = term_of(snapshot, field, after) if after else None
    skips_null = bool(after) and last is None  # null is the first term of all, and to begin behind None is to begin
    while len(found) < limit:
        count = min(limit - len(found), INDEX_TERMS_PAGE_MAX)
        page = snapshot.terms(field, after=last, limit=count + skips_null)
        found += [value for value, _ in page[skips_null:]]
        if len(page) < count + skips_null:
            break
        last, skips_null = page[-1][0], page[-1][0] is None
    return found


def term_of(snapshot: IndexSnapshot, field: int, text: str) -> Term:
    """The term that reads so: a number, true, false or null where the field has such a one, else a text."""
    given: list[Term] = []
    if text in WORDS:
        given.append(WORDS[text])
    for kind in (int, float):
        try:
            given.append(kind(text))
        except ValueError:
            continue
    return next((each for each in given if snapshot.count_of(field, each)), text)

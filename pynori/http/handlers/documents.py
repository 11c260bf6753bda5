"""Single documents: read by id, list by prefix or by recency, write, delete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from pynori.errors import InvalidArgument, LimitExceeded
from pynori.http.handlers import compare_exchange
from pynori.http.request import Request
from pynori.http.response import (
    Answer,
    Deferred,
    Reply,
    Response,
    StreamResponse,
    encode_json,
    etag_field,
    json_response,
)
from pynori.http.shapes import humane_size
from pynori.http.stream import PAGE_SIZE_MAX, as_object, prefix_stream
from pynori.limits import DOCUMENTS_PER_REQUEST_MAX, INCLUDES_MAX, LISTED_DOCUMENTS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pynori.documents.database import CommandResult, Database

NOT_FOUND_ETAG = "404 Response"  # what clients remember as the etag of a document that was not there
IDENTITY_SUFFIX = "|"


def get(request: Request) -> Answer:
    """Documents by id with what they include, by prefix, or the newest."""
    database = request.open_database().database
    ids = request.query.get("id")
    if ids is None:
        return list_documents(request, database)
    return load(request, database, ids)


def post(request: Request) -> Response:
    """A read whose ids are too many for a URL."""
    ids = request.json_object().get("Ids")
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
        raise InvalidArgument("the body must hold 'Ids', a list of strings")
    return load(request, request.open_database().database, ids)


def load(request: Request, database: Database, ids: Sequence[str]) -> Response:
    query = request.query
    includes = query.get("include", ())
    if len(ids) > DOCUMENTS_PER_REQUEST_MAX:
        raise LimitExceeded(f"more ids than DOCUMENTS_PER_REQUEST_MAX ({DOCUMENTS_PER_REQUEST_MAX})")
    if len(includes) > INCLUDES_MAX:
        raise LimitExceeded(f"more include paths than INCLUDES_MAX ({INCLUDES_MAX})")
    metadata_only = request.flag("metadataonly") if "metadataonly" in query else False
    loaded = database.load(ids, includes=includes, metadata_only=metadata_only)
    known = request.etag(b"if-none-match") if b"if-none-match" in request.fields else None
    if not loaded.found and len(ids) == 1:
        return Response(304 if known == NOT_FOUND_ETAG else 404)
    if "cmpxchg" in query:
        # No ETag: what is included moves without the documents.
        find = compare_exchange.finder(request.server.state, request.database_name)
        return Response(200, with_values(loaded.body, query["cmpxchg"], find))
    if known == loaded.etag:
        return Response(304, fields=etag_field(loaded.etag))
    return Response(200, loaded.body, etag_field(loaded.etag))


def with_values(body: bytes, paths: Sequence[str], find: Callable[[str], dict[str, Any] | None]) -> bytes:
    """The body of a load with the compare-exchange values whose keys stand in the documents at `paths`."""
    if len(paths) > INCLUDES_MAX:
        raise LimitExceeded(f"more paths of compare exchange values than INCLUDES_MAX ({INCLUDES_MAX})")
    keys: dict[str, None] = {}
    for result in msgspec.json.decode(body)["Results"]:
        for path in paths if result is not None else ():
            keys.update(dict.fromkeys(texts_of(result, path.split("."))))
    included = {key: find(key) or {"Key": key, "Index": -1, "Value": None} for key in keys}
    return body[:-1] + b',"CompareExchangeValueIncludes":' + encode_json(included) + b"}"


def texts_of(value: Any, parts: Sequence[str]) -> Iterator[str]:
    """Every string at a path of names, through the items of arrays."""
    if isinstance(value, list):
        for item in value:
            yield from texts_of(item, parts)
    elif parts and isinstance(value, dict):
        yield from texts_of(value.get(parts[0].removesuffix("[]")), parts[1:])
    elif not parts and isinstance(value, str):
        yield value


def list_documents(request: Request, database: Database) -> Answer:
    """Documents by prefix or the newest ones. A page without a useful bound is streamed instead of built in memory."""
    etag = database.change_vector
    if etag and request.etag(b"if-none-match") == etag:
        return Response(304, fields=etag_field(etag))
    start = request.number("start", 0)
    page_size = request.number("pagesize", PAGE_SIZE_MAX)
    metadata_only = request.flag("metadataonly")
    fields = etag_field(etag) if etag else b""
    if "startswith" in request.query and page_size > LISTED_DOCUMENTS_MAX and not metadata_only:
        return StreamResponse(as_object(prefix_stream(request, database)), fields=fields)
    if "startswith" in request.query:
        body = database.list_by_prefix(
            request.text("startswith"),
            matches=request.text("matches"),
            exclude=request.text("exclude"),
            start_after=request.text("startafter"),
            start=start,
            page_size=page_size,
            metadata_only=metadata_only,
        )
    else:
        body = database.list_recent(start=start, page_size=page_size, metadata_only=metadata_only)
    return Response(200, body, fields)


def head(request: Request) -> Response:
    """Whether a document is there, and its etag."""
    database = request.open_database().database
    found = database.head(request.required("id"))
    known = request.etag(b"if-none-match")
    if found is None:
        return Response(304 if known == NOT_FOUND_ETAG else 404)
    return Response(304 if known == found.change_vector else 200, fields=etag_field(found.change_vector))


def put(request: Request) -> Reply:
    """Write one document; an id that ends with / or | is completed by the server."""
    database = request.open_database().database
    ids = request.query.get("id")
    if ids is None:
        raise InvalidArgument("Query string value 'id' is mandatory, but wasn't specified.")
    expected = request.etag(b"if-match")
    if ids[0].endswith(IDENTITY_SUFFIX):
        return put_identity(request, database, ids[0], expected)
    return Deferred(database.put(ids[0], request.body, expected), put_answer)


async def put_identity(request: Request, database: Database, id: str, expected: str | None) -> Response:
    resolved = await resolve_identity(request, database, id)
    return put_answer(await database.put(resolved, request.body, expected))


async def resolve_identity(request: Request, database: Database, id: str) -> str:
    """`users|` becomes the id with the next identity, such as users/7."""
    value = await request.server.state.next_identity(request.database_name, id)
    return f"{id.removesuffix(IDENTITY_SUFFIX)}{database.options.identity_parts_separator}{value}"


def put_answer(result: CommandResult) -> Response:
    return written(result.id, result.change_vector)


def written(id: str, change_vector: str) -> Response:
    return Response(201, encode_json({"Id": id, "ChangeVector": change_vector}))


def delete(request: Request) -> Reply:
    """Delete one document."""
    database = request.open_database().database
    return Deferred(database.delete(request.required("id"), request.etag(b"if-match")), delete_answer)


def delete_answer(result: CommandResult) -> Response:
    return Response(204)


def size(request: Request) -> Response:
    """How many bytes a document takes."""
    database = request.open_database().database
    found = database.get(request.required("id"))
    if found is None:
        return Response(404)
    actual = len(found.json)
    return json_response(
        {
            "DocId": found.id,
            "ActualSize": actual,
            "HumaneActualSize": humane_size(actual),
            "AllocatedSize": actual,
            "HumaneAllocatedSize": humane_size(actual),
        }
    )

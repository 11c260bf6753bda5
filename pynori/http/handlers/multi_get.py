"""Several requests in one: they run in order, and each has its own status in the answer."""

from __future__ import annotations

from typing import Any

from pynori.errors import IndexDoesNotExist, InvalidArgument, LimitExceeded
from pynori.http.handlers import documents
from pynori.http.request import Request
from pynori.http.response import JSON, Response, StreamResponse, Upgrade, encode_json, settle
from pynori.http.shapes import error_response
from pynori.http.stream import as_async, close_chunks
from pynori.limits import MULTI_GET_REQUESTS_MAX, MULTI_GET_STREAM_SIZE_BYTES_MAX

# What is not there is told in the form of a load: the Node client parses the result of a lazy load whatever its status.
MISSING = b'{"Results":[null],"Includes":{}}'


async def post(request: Request) -> Response:
    """Several requests to the database in one."""
    inner = request.json_object().get("Requests")
    if not isinstance(inner, list) or not all(isinstance(entry, dict) for entry in inner):
        raise InvalidArgument("the body must hold 'Requests', a list of objects")
    if len(inner) > MULTI_GET_REQUESTS_MAX:
        raise LimitExceeded(f"more requests than MULTI_GET_REQUESTS_MAX ({MULTI_GET_REQUESTS_MAX})")
    entries = []
    for entry in inner:
        response = await run(request, entry)
        is_json = response.content_type == JSON and response.body and response.status != 304
        body = response.body if is_json else b"null"
        entries.append(
            b'{"Result":%b,"StatusCode":%d,"Headers":%b}' % (body, response.status, encode_json(fields_of(response)))
        )
    return Response(200, b'{"Results":[%b]}' % b",".join(entries))


async def run(outer: Request, entry: dict[str, Any]) -> Response:
    """One inner request. What goes wrong with it is its own answer."""
    url = entry.get("Url")
    try:
        inner = inner_request(outer, entry)
        answer = await settle(inner.route.handler(inner))
        if isinstance(answer, StreamResponse):
            return await collect(answer)
        if isinstance(answer, Upgrade):
            raise InvalidArgument(f"{url} has no place in a multi-get")
    except IndexDoesNotExist:
        raise  # clients expect it of the whole
    except Exception as error:
        return error_response(error, str(url))
    if answer.status == 404 and inner.route.handler in (documents.get, documents.post):
        return Response(404, MISSING)
    return answer


async def collect(stream: StreamResponse) -> Response:
    """A streamed answer as a whole, within bounds."""
    pieces = []
    size = 0
    try:
        async for piece in as_async(stream.chunks):
            pieces.append(piece)
            size += len(piece)
            if size > MULTI_GET_STREAM_SIZE_BYTES_MAX:
                name = f"MULTI_GET_STREAM_SIZE_BYTES_MAX ({MULTI_GET_STREAM_SIZE_BYTES_MAX})"
                raise LimitExceeded(f"an answer exceeds {name}")
    finally:
        await close_chunks(stream.chunks)
    return Response(stream.status, b"".join(pieces), stream.fields, stream.content_type)


def inner_request(outer: Request, entry: dict[str, Any]) -> Request:
    path = entry.get("Url")
    method = entry.get("Method") or "GET"
    fields = entry.get("Headers") or {}
    if not isinstance(path, str) or not isinstance(method, str) or not isinstance(fields, dict):
        raise InvalidArgument("an inner request needs 'Url' and may have 'Method' and 'Headers'")
    route, database_name = outer.listener.router.find(method.upper(), path)
    if route.handler is post or route.body.value == "stream":
        raise InvalidArgument(f"{method} {path} has no place in a multi-get")
    if database_name.lower() != outer.database_name.lower():
        raise InvalidArgument("all requests of a multi-get go to the database of its own URL")
    content = entry.get("Content")
    body = content.encode("utf-8") if isinstance(content, str) else b"" if content is None else encode_json(content)
    query = str(entry.get("Query") or "").removeprefix("?")
    given = {str(name).lower(): str(value) for name, value in fields.items() if value is not None}
    if documents.NOT_FOUND_ETAG in given.get("if-none-match", ""):
        # A client that knows a document as missing has no body in its cache that a 304 could stand for.
        del given["if-none-match"]
    lowered = {name.encode("utf-8"): value.encode("utf-8") for name, value in given.items()}
    return Request(outer.listener, method.upper(), path, query, lowered, route, database_name, body)


def fields_of(response: Response) -> dict[str, str]:
    """The header lines of a response as an object."""
    lines = response.fields.decode("latin-1").split("\r\n")
    return dict(line.split(": ", 1) for line in lines if line)

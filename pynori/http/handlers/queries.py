"""Queries: asked by body or by URL, answered at once when short, as a stream when long, by 304 when nothing moved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pynori.errors import InvalidArgument
from pynori.http.handlers import compare_exchange
from pynori.http.request import Request
from pynori.http.response import JSON, JSON_LINES, Answer, Response, StreamResponse, etag_field, json_response
from pynori.http.shapes import as_pynori_error
from pynori.queries import by_query
from pynori.queries.explain import explanation
from pynori.queries.request import PAGE_SIZE_MAX, QueryRequest, from_body, parameters_from_text
from pynori.queries.running import as_json
from pynori.queries.service import Prepared, gather, prepare, threaded
from pynori.queries.timespan import timespan_ms
from pynori.rql.parser import parse
from pynori.runtime.clock import wire_time

if TYPE_CHECKING:
    from pynori.queries.execute import Execution


async def post(request: Request) -> Answer:
    """A query in the body."""
    return await answer(request, with_flags(request, from_body(request.json_object())))


async def get(request: Request) -> Answer:
    """A query in the URL."""
    return await answer(request, from_url(request))


async def post_stream(request: Request) -> Answer:
    """A query in the body, its results as a stream."""
    return await stream(request, with_flags(request, from_body(request.json_object())))


async def get_stream(request: Request) -> Answer:
    """A query in the URL, its results as a stream."""
    return await stream(request, from_url(request))


def from_url(request: Request) -> QueryRequest:
    wait = request.text("waitfornonstaleresultstimeout") or None
    asked = from_body(
        {
            "Query": request.text("query"),
            "QueryParameters": parameters_from_text(request.text("parameters") or request.text("queryparameters")),
            "Start": request.number("start", 0),
            "PageSize": request.number("pagesize", PAGE_SIZE_MAX),
            "WaitForNonStaleResults": request.flag("waitfornonstaleresults") or wait is not None,
            "WaitForNonStaleResultsTimeout": wait,
        }
    )
    return with_flags(request, asked)


def with_flags(request: Request, asked: QueryRequest) -> QueryRequest:
    """What the URL says beside the body."""
    if not request.query:
        return asked
    debug = request.text("debug").lower()
    if debug not in ("", "entries", "explain"):
        raise InvalidArgument(f"Query string value 'debug' must be entries or explain, but was '{debug[:40]}'.")
    return replace(
        asked,
        metadata_only=request.flag("metadataonly"),
        debug=debug,
        time_series_names=request.flag("addtimeseriesnames"),
    )


async def answer(request: Request, asked: QueryRequest) -> Answer:
    """The answer of /queries."""
    threads = request.server.query_threads
    prepared = await prepared_for(request, asked)
    if asked.debug == "explain":
        return json_response({"Results": explanation(prepared.plan)})
    fields = etag_field(str(prepared.result_etag))
    if request.etag(b"if-none-match") == str(prepared.result_etag):
        return Response(304, fields=fields)

    def begin() -> tuple[Execution, Iterator[bytes], bytes, bool]:
        execution = prepared.begin()
        pieces = execution.pieces()
        return execution, pieces, *gathered(execution, pieces)

    execution, pieces, first, ended = await threads.answer(asked.text, request.server.clock, begin)
    if ended:
        execution.close()
        return Response(200, first, fields)
    return StreamResponse(threaded(threads, chain(first, pieces), execution.close), JSON, fields)


async def prepared_for(request: Request, asked: QueryRequest) -> Prepared:
    opened, server = request.open_database(), request.server
    state = server.state
    find = compare_exchange.finder(state, request.database_name)
    return await prepare(
        opened.database, opened.indexes, asked, server.scripts, server.clock, find, state.raft_index,
        opened.running_queries,
    )


def gathered(execution: Execution, pieces: Iterator[bytes]) -> tuple[bytes, bool]:
    try:
        return gather(pieces)
    except BaseException:
        execution.close()
        raise


def chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def delete_by_query(request: Request) -> Answer:
    """Delete what a query finds, as an operation."""
    asked = from_body(request.json_object())
    parse(asked.text)
    work = by_query.deletion(request.open_database().database)
    return start_by_query(request, asked, work, "DeleteByQuery")


def patch_by_query(request: Request) -> Answer:
    """Run a script over what a query finds, as an operation."""
    body = request.json_object().get("Query")
    if isinstance(body, str):
        body = {"Query": body}
    if not isinstance(body, dict):
        raise InvalidArgument("the body must hold 'Query', the object of an index query")
    asked = from_body(body)
    work = by_query.patching(request.open_database().database, parse(asked.text), asked.parameters)
    return start_by_query(request, asked, work, "UpdateByQuery")


def start_by_query(request: Request, asked: QueryRequest, work: by_query.Work, kind: str) -> Response:
    """Start the operation; what is wrong with the text is told at once, everything else by the operation."""
    opened = request.open_database()
    server = request.server
    options = by_query.ByQueryOptions(
        allow_stale=request.flag("allowstale"),
        details=request.flag("details"),
        operations_max=request.number("maxopspersec", 0),
    )
    if "staletimeout" in request.query and request.text("staletimeout"):
        asked = replace(asked, wait_ms=timespan_ms(request.text("staletimeout")))
    id = request.number("operationid", 0) or opened.operations.next_id()
    operation = opened.operations.start(id, kind, asked.text[:200])

    async def run() -> None:
        try:
            prepared = await prepared_for(request, asked)
            operation.complete(
                await by_query.run(prepared, server.query_threads, work, options, operation, server.clock)
            )
        except asyncio.CancelledError as error:
            operation.fail(error)
            raise
        except Exception as error:
            operation.fail(as_pynori_error(error, request.url))

    server.tasks.start(f"{kind} of {opened.name}", run())
    return json_response({"OperationId": id, "OperationNodeTag": server.node_tag})


async def stream(request: Request, asked: QueryRequest) -> Answer:
    """The answer of /streams/queries."""
    form = request.text("format", "json").lower()
    if form not in ("json", "jsonl"):
        raise InvalidArgument(f"Query string value 'format' must be json or jsonl, but was '{form[:40]}'.")
    threads = request.server.query_threads
    prepared = await prepared_for(request, replace(asked, streams=True))
    execution = await threads.run(prepared.begin)
    pieces = execution.lines() if form == "jsonl" else execution.object_pieces()
    return StreamResponse(threaded(threads, pieces, execution.close), JSON_LINES if form == "jsonl" else JSON)


def running(request: Request) -> Response:
    """Queries of the database that are being answered now, by index."""
    now_ms = request.server.clock.monotonic_ms()
    found: dict[str, list[dict[str, Any]]] = {}
    for each in request.open_database().running_queries.all():
        found.setdefault(each.index_name, []).append(as_json(each, now_ms, wire_time(each.started)))
    return json_response(found)


def kill(request: Request) -> Response:
    """End a query that is being answered: it fails at its next batch of results."""
    found = request.open_database().running_queries.kill(request.required("indexname"), request.number("id", 0))
    return Response(204 if found else 404)

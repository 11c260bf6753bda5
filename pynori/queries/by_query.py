"""Deleting and patching whatever a query finds, as a long operation.

The query runs once; the ids that it finds are worked off in batches, each one transaction of its own, so that other
writes pass in between. A document that has gone meanwhile, or that a batch could not write, is told in the details and
stops nothing. Memory is one batch, and the details where they are asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from pynori.documents.patch import PatchCommand, PatchResult, PatchScript
from pynori.errors import InvalidQuery, OperationFailed
from pynori.limits import BY_QUERY_BATCH, BY_QUERY_DETAILS_MAX
from pynori.queries.service import Prepared, QueryThreads
from pynori.queries.text import encode
from pynori.rql.ast import FunctionDeclaration, Query

if TYPE_CHECKING:
    from pynori.documents.database import Database
    from pynori.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class ByQueryOptions:
    """How to go about it. operations_max: documents a second; 0: as fast as it goes."""

    allow_stale: bool = False
    details: bool = False
    operations_max: int = 0


class Progress(Protocol):
    """The operation that a client watches."""

    progress: dict[str, Any] | None

    def check_killed(self) -> None: ...


# Works off one batch of ids; returns one entry of `Details` for each.
Work = Callable[[list[str]], Awaitable[list[dict[str, Any]]]]


async def run(
    prepared: Prepared, threads: QueryThreads, work: Work, options: ByQueryOptions, operation: Progress, clock: Clock
) -> dict[str, Any]:
    """Work off everything that the query finds; returns the operation's result. Raises OperationCanceled, ..."""
    execution = await threads.run(prepared.begin)
    details: list[dict[str, Any]] = []
    done = 0
    try:
        if execution.facts.is_stale and not options.allow_stale:
            raise OperationFailed(
                f"Cannot perform bulk operation. Index '{execution.facts.index_name}' is stale; "
                "allow stale results, or wait for the index"
            )
        ids = execution.ids()
        while batch := await threads.run(lambda: take(ids)):
            operation.check_killed()
            began_ms = clock.monotonic_ms()
            results = await work(batch)
            done += len(batch)
            if options.details:
                details += results[: BY_QUERY_DETAILS_MAX - len(details)]
            operation.progress = {"Processed": done, "Total": execution.facts.total}
            await keep_pace(len(batch), options.operations_max, clock.monotonic_ms() - began_ms)
    finally:
        execution.close()
    return {"Total": done, "Query": prepared.request.text, "Details": details if options.details else []}


def take(ids: Iterator[str]) -> list[str]:
    return list(islice(ids, BY_QUERY_BATCH))


async def keep_pace(count: int, operations_max: int, passed_ms: float) -> None:
    """Wait as long as the wished rate asks for."""
    if operations_max:
        await asyncio.sleep(max(0.0, count / operations_max - passed_ms / 1_000))


def deletion(database: Database) -> Work:
    """Delete documents."""

    async def work(ids: list[str]) -> list[dict[str, Any]]:
        batch = database.batch()
        for id in ids:
            batch.delete(id)
        results = await database.submit(batch)
        return [
            {"Id": result.id, "Etag": result.etag, "Status": "Deleted" if result.deleted else "DocumentDoesNotExist"}
            for result in results
        ]

    return work


def patching(database: Database, query: Query, parameters: Mapping[str, Any]) -> Work:
    """Run the query's `update` script over documents. Raises InvalidQuery when it has none."""
    if query.update is None:
        raise InvalidQuery("a patch by query needs an update clause: from ... update { script }")
    functions = tuple(each.script for each in query.declarations if isinstance(each, FunctionDeclaration))
    names = (query.source.alias,) if query.source.alias else ()
    script = PatchScript(query.update.text, encode(parameters), functions, names)

    async def work(ids: list[str]) -> list[dict[str, Any]]:
        results = await database.prepare([PatchCommand(id, script) for id in ids])
        return [
            {"Id": result.id, "ChangeVector": result.change_vector or None, "Status": result.status}
            for result in results
            if isinstance(result, PatchResult)
        ]

    return work

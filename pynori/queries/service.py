"""Queries of one server: parse, plan, wait for the index, then run in a thread.

The event loop does what is short (parsing, planning, the wait for an index); reading goes to a pool of threads of its
own, so that long queries keep nobody waiting but other long queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from pynori_core.errors import EngineError

from pynori.errors import InvalidQuery, from_engine
from pynori.limits import QUERY_PIECES_SIZE_BYTES, QUERY_THREADS
from pynori.queries.access import without_index
from pynori.queries.execute import Execution, Facts, etag_number
from pynori.queries.plan import Access, Plan, plan
from pynori.queries.project import Sources, projector_of
from pynori.queries.request import QueryRequest
from pynori.queries.values import Values
from pynori.rql.ast import Query
from pynori.rql.parser import parse
from pynori.runtime.clock import Clock

if TYPE_CHECKING:
    from pynori.documents.database import Database

Result = TypeVar("Result")


class QueryThreads:
    """The threads that queries of one server run in."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(QUERY_THREADS, thread_name_prefix="pynori-query")

    async def run(self, call: Callable[[], Result]) -> Result:
        """Run a blocking call in a thread. Errors of the engine become ours."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)
        except EngineError as error:
            raise from_engine(error) from error

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


class Prepared:
    """A query that is parsed and planned, with its result etag; nothing is open yet."""

    __slots__ = ("_clock", "_database", "plan", "query", "request", "result_etag", "values")

    def __init__(self, database: Database, query: Query, request: QueryRequest, values: Values, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.query = query
        self.request = request
        self.values = values
        self.plan: Plan = plan(query, request, values)
        self.result_etag = etag_number(database.id, database.last_etag, request)

    def begin(self) -> Execution:
        """Open snapshots and match. Blocks; belongs in a thread."""
        if self.plan.access in (Access.INDEX, Access.AUTO_INDEX):
            raise InvalidQuery("the query needs an index")
        snapshot = self._database.snapshot()
        try:
            facts = Facts(self._index_name(), self._database.options.node_tag, self.result_etag)
            found = without_index(self.plan, snapshot, self.plan.matched_page)
            select = self.query.select
            sources = Sources(self.values, _no_scripts, distinct=select is not None and select.distinct)
            return Execution(
                self.plan, found, projector_of(self.query, sources), facts, snapshot, self.values, self._clock,
                metadata_only=self.request.metadata_only,
            )  # fmt: skip
        except BaseException:
            snapshot.close()
            raise

    def _index_name(self) -> str:
        return "AllDocs" if self.plan.collection is None else f"collection/{self.plan.collection}"


def _no_scripts(text: str) -> object:
    raise InvalidQuery("scripts are not available")


async def prepare(database: Database, request: QueryRequest, clock: Clock) -> Prepared:
    """Parse and plan; make the index that the query needs, and wait for it."""
    values = Values(request.parameters, clock.now())
    return Prepared(database, parse(request.text), request, values, clock)


async def threaded(threads: QueryThreads, pieces: Iterator[bytes], close: Callable[[], None]) -> AsyncIterator[bytes]:
    """Pieces made in a thread, a bounded amount at a time, handed out on the event loop."""
    try:
        while True:
            joined, ended = await threads.run(lambda: gather(pieces))
            if joined:
                yield joined
            if ended:
                return
    finally:
        close()


def gather(pieces: Iterator[bytes]) -> tuple[bytes, bool]:
    """The next pieces, up to QUERY_PIECES_SIZE_BYTES and a little more, and whether these were the last."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= QUERY_PIECES_SIZE_BYTES:
            return b"".join(held), False
    return b"".join(held), True

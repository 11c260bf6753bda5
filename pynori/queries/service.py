"""Queries of one server: parse, plan, wait for the index, then run in a thread.

The event loop does what is short (parsing, planning, the wait for an index); reading goes to a pool of threads of its
own, so that long queries keep nobody waiting but other long queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from pynori_core.errors import EngineError

from pynori.errors import from_engine
from pynori.js.scripts import Scripts
from pynori.limits import QUERY_PIECES_SIZE_BYTES, QUERY_THREADS
from pynori.queries.access import without_index
from pynori.queries.execute import Execution, Facts, etag_number
from pynori.queries.highlight import Highlightings
from pynori.queries.index_source import OpenIndex, open_index
from pynori.queries.indexed import IndexedQuery, IndexView, RawEntries
from pynori.queries.pace import Pace
from pynori.queries.plan import Access, Plan, plan
from pynori.queries.project import Projector, Sources, projector_of
from pynori.queries.request import ProjectionBehavior, QueryRequest
from pynori.queries.running import RunningQueries
from pynori.queries.scripts import QueryScripts
from pynori.queries.timings import Timings, span, timings_of
from pynori.queries.values import Values
from pynori.rql.parser import parse
from pynori.runtime.clock import Clock

if TYPE_CHECKING:
    from pynori.documents.database import Database
    from pynori.indexes.indexes import Indexes

Result = TypeVar("Result")
FROM_DOCUMENTS = (ProjectionBehavior.FROM_DOCUMENT, ProjectionBehavior.FROM_DOCUMENT_OR_THROW)


class QueryThreads:
    """The threads that queries of one server run in. pace: what needs none."""

    def __init__(self) -> None:
        self.pace = Pace()
        self._executor = ThreadPoolExecutor(QUERY_THREADS, thread_name_prefix="pynori-query")

    async def run(self, call: Callable[[], Result]) -> Result:
        """Run a blocking call in a thread. Errors of the engine become ours."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)
        except EngineError as error:
            raise from_engine(error) from error

    async def answer(self, text: str, clock: Clock, call: Callable[[], Result]) -> Result:
        """Run what answers a query: at once when answers to this text are short, else in a thread."""
        taken_ms = 0.0

        def timed() -> Result:
            nonlocal taken_ms
            began_ms = clock.monotonic_ms()
            try:
                return call()
            finally:
                taken_ms = clock.monotonic_ms() - began_ms

        try:
            if not self.pace.is_short(text):
                return await self.run(timed)
            try:
                return timed()
            except EngineError as error:
                raise from_engine(error) from error
        finally:
            self.pace.note(text, taken_ms)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)


class Prepared:
    """A query that is parsed and planned, with its index and its result etag; nothing is open yet."""

    __slots__ = (
        "_clock", "_database", "_index", "_running", "_scripts", "_sorters", "_timings",
        "plan", "request", "result_etag", "values",
    )  # fmt: skip

    def __init__(
        self,
        database: Database,
        planned: Plan,
        request: QueryRequest,
        values: Values,
        index: OpenIndex | None,
        scripts: Scripts,
        clock: Clock,
        timings: Timings | None,
        moved: int,
        sorters: Mapping[str, str],
        running: RunningQueries,
    ) -> None:
        self._database = database
        self._clock = clock
        self._timings = timings
        self._index = index
        self._scripts = scripts
        self._sorters = sorters
        self._running = running
        self.plan = planned
        self.request = request
        self.values = values
        seen = 0 if index is None else index.etag
        self.result_etag = etag_number(database.id, database.last_etag, seen, request.fingerprint, moved, sorters)

    def begin(self) -> Execution:
        """Open snapshots and match. Blocks; belongs in a thread."""
        # The index first: what it has seen, the documents' snapshot has too.
        view = None if self._index is None else self._index.view()
        try:
            documents = self._database.snapshot()
        except BaseException:
            if view is not None:
                view.snapshot.close()
            raise
        clock = self._clock
        run = self._running.begin(self._index_name(view), self.request, clock.now(), clock.monotonic_ms())

        def close() -> None:
            self._running.end(run)
            if view is not None:
                view.snapshot.close()

        try:
            query, request = self.plan.query, self.request
            facts = Facts(self._index_name(view), self._database.options.node_tag, self.result_etag)
            scripts = QueryScripts(query, self.values.parameters, documents, self._scripts, self._sorters)
            distinct = query.select is not None and query.select.distinct
            kept = view is not None and not view.auto and request.projection not in FROM_DOCUMENTS
            sources = Sources(self.values, scripts.runner, kept, request.projection, distinct)
            projector: Projector | None = None
            highlights: Highlightings | None = None
            if view is None:
                found = without_index(self.plan, documents, self.plan.matched_page)
            else:
                facts.is_stale = view.is_stale
                once = query.select is None and not request.skip_duplicate_checking
                reading = IndexedQuery(
                    self.plan, view, documents, self.values, scripts.find, once=once, keeps=sources.kept,
                    sort=scripts.sort,
                )  # fmt: skip
                with span(self._timings, "Match"):
                    found, projector = reading.found(self.plan.matched_page)
                if request.debug == "entries":
                    projector = RawEntries(view.snapshot)
                highlights = reading.highlightings()
            projector = projector or projector_of(query, sources)
            return Execution(
                self.plan, found, projector, facts, documents, self.values, self._clock,
                metadata_only=request.metadata_only, close=close, highlights=highlights, timings=self._timings,
                running=run, included=scripts.included,
            )  # fmt: skip
        except BaseException:
            documents.close()
            close()
            raise

    def _index_name(self, view: IndexView | None) -> str:
        if view is not None:
            return view.name
        return "AllDocs" if self.plan.collection is None else f"collection/{self.plan.collection}"


async def prepare(
    database: Database,
    indexes: Indexes,
    request: QueryRequest,
    scripts: Scripts,
    clock: Clock,
    compare_exchange: Callable[[str], dict[str, Any] | None],
    raft_index: int,
    running: RunningQueries,
) -> Prepared:
    """Parse and plan; make the index that the query needs, and wait for it.

    compare_exchange: as in Values; raft_index: until which it has come.
    """
    values = Values(request.parameters, clock.now(), compare_exchange)
    query = parse(request.text)
    timings = timings_of(query, clock)
    with span(timings, "Plan"):
        planned = plan(query, request, values)
    index = None
    if planned.access in (Access.INDEX, Access.AUTO_INDEX):
        with span(timings, "Wait"):
            index = await open_index(indexes, planned, request.wait_ms)
    moved = raft_index if "cmpxchg" in request.text else 0
    sorters = indexes.sorters()
    return Prepared(database, planned, request, values, index, scripts, clock, timings, moved, sorters, running)


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

"""One query being answered: rows in batches, made into results, gathered into pieces of an answer.

An `Execution` holds its snapshots until it is closed; its work blocks and belongs in a thread. What it holds in memory
is one batch of rows and the ids to include, however many results there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pynori_core.checksum import xxh3_64_of

from pynori.errors import LimitExceeded
from pynori.limits import QUERY_DISTINCT_MAX, QUERY_ROWS_BATCH
from pynori.queries.access import Found
from pynori.queries.explain import explanations_of
from pynori.queries.filter import Condition, condition_of
from pynori.queries.highlight import Highlightings
from pynori.queries.include import Includes
from pynori.queries.project import MetadataOnly, Projector, WholeDocuments, load_documents
from pynori.queries.text import encode
from pynori.queries.timings import Timings, span
from pynori.queries.values import Values
from pynori.queries.whole import WholeResults
from pynori.runtime.clock import Clock, wire_time

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot

    from pynori.queries.plan import Plan
    from pynori.queries.rows import Row
    from pynori.queries.running import RunningQuery


NOTHING_INCLUDED: Mapping[tuple[str, str], None] = MappingProxyType({})


@dataclass(slots=True)
class Facts:
    """What an answer says about itself."""

    index_name: str
    node_tag: str
    result_etag: int
    is_stale: bool = False
    index_time: str = ""
    query_time: str = ""
    total: int = 0
    skipped: int = 0
    scanned: int | None = None
    capped: int | None = None
    more: dict[str, Any] = field(default_factory=dict)  # Highlightings, Explanations, Timings, counters and the like


class Execution:
    """The answer to one query in the making. Close it; closing twice does no harm."""

    def __init__(
        self,
        plan: Plan,
        found: Found,
        projector: Projector,
        facts: Facts,
        snapshot: DocumentSnapshot,
        values: Values,
        clock: Clock,
        *,
        metadata_only: bool = False,
        close: Callable[[], None] | None = None,
        highlights: Highlightings | None = None,
        timings: Timings | None = None,
        running: RunningQuery | None = None,
        included: Mapping[tuple[str, str], None] = NOTHING_INCLUDED,
    ) -> None:
        """included: as in Includes."""
        self.query = query = plan.query
        self.facts = facts
        self._found = found
        self._page = page = plan.page
        self._paged_late = plan.matched_page != page
        self._projector: Projector = MetadataOnly() if metadata_only else projector
        self._snapshot = snapshot
        self._clock = clock
        self._highlights = highlights
        self._explanations = explanations_of(query, values)
        self._timings = timings
        self._began_ms = clock.monotonic_ms()
        self._close = close
        self._running = running
        self._includes = Includes(query, values, included)
        self._distinct: set[bytes] | None = set() if query.select is not None and query.select.distinct else None
        if query.filter is not None:
            condition = condition_of(query, values, snapshot)
            limit = values.count(query.filter_limit, "filter_limit") if query.filter_limit is not None else None
            facts.scanned = 0
            self._found = Found(found.total, self._filtered(found.rows, condition, limit))
        facts.total = found.total
        self._whole = self._whole_results(self._found)
        if page.limited is not None:
            facts.capped = max(0, min(page.limited, found.total - page.skip))

    def _whole_results(self, found: Found) -> WholeResults | None:
        """What writes the results natively, if they are documents as they are and nobody else looks at them."""
        looked_at = self._includes.wanted or self._highlights is not None or self._explanations is not None
        if found.entries is None or self._paged_late or looked_at or not isinstance(self._projector, WholeDocuments):
            return None
        return WholeResults(*found.entries, self._snapshot, self._running)

    def close(self) -> None:
        """Give back the snapshots."""
        self._snapshot.close()
        if self._close is not None:
            self._close()

    # ---- results

    def _between(self, before: bytes, behind: bytes) -> Iterator[bytes]:
        """The JSON of the results of the page, each between two texts, once; one or many at a time."""
        if self._whole is None:
            for result in self.results():
                yield before + result + behind
            return
        with span(self._timings, "Retrieve"):
            yield from self._whole.pieces(before, behind)
        self.facts.skipped += self._whole.missing

    def _joined(self) -> Iterator[bytes]:
        """The results with commas between them."""
        pieces = self._between(b",", b"")
        first = next(pieces, None)
        if first is not None:
            yield first[1:]
            yield from pieces

    def results(self) -> Iterator[bytes]:
        """The JSON of each result of the page. Once."""
        produced = self._produced()
        if self._paged_late:
            # Which results there are shows only when they are made: paging comes after.
            produced = islice(produced, self._page.skip, self._page.skip + self._page.take)
        return produced

    def ids(self) -> Iterator[str]:
        """The id of each document of the page, once. Documents are read only where a filter asks for them."""
        found = (row.id for row in self._found.rows)
        return islice(found, self._page.skip, self._page.skip + self._page.take) if self._paged_late else found

    def _produced(self) -> Iterator[bytes]:
        batch = 1
        while True:
            if self._running is not None:
                self._running.check()
            with span(self._timings, "Retrieve"):
                rows = list(islice(self._found.rows, batch))
            if not rows:
                return
            yield from self._made(rows)
            # The first results come at once; scripts like many rows in one call.
            batch = min(QUERY_ROWS_BATCH, batch * 8)

    def _filtered(self, rows: Iterator[Row], condition: Condition, limit: int | None) -> Iterator[Row]:
        """The rows that pass the `filter` clause."""
        facts = self.facts
        facts.scanned = passed = 0
        for row in islice(rows, limit):
            facts.scanned += 1
            if (row.is_group or row.stored is not None) and condition(row):
                passed += 1
                yield row
        facts.total = passed

    def _made(self, rows: list[Row]) -> Iterator[bytes]:
        loads, alias = self.query.loads, self.query.source.alias
        for row in rows if loads else ():
            if row.json is not None and not row.loaded:
                load_documents(row, loads, alias)
        with span(self._timings, "Project"):
            rendered = self._projector.render(rows)
        for row, result in zip(rows, rendered, strict=True):
            if result is None or (self._distinct is not None and not self._is_new(result)):
                self.facts.skipped += 1
                continue
            self._includes.add(row)
            if self._highlights is not None:
                self._highlights.add(row.id, row.values_at)
            if self._explanations is not None:
                self._explanations.add(row)
            yield result

    def _is_new(self, result: bytes) -> bool:
        assert self._distinct is not None
        known = len(self._distinct)
        self._distinct.add(xxh3_64_of(result).to_bytes(8, "little") + xxh3_64_of(result, 1).to_bytes(8, "little"))
        if known == len(self._distinct):
            self.facts.total -= 1
            return False
        if known >= QUERY_DISTINCT_MAX:
            raise LimitExceeded(f"more distinct results than QUERY_DISTINCT_MAX ({QUERY_DISTINCT_MAX})")
        return True

    # ---- answers

    def pieces(self) -> Iterator[bytes]:
        """The whole answer of /queries."""
        yield b'{"Results":['
        yield from self._joined()
        yield b'],"Includes":{'
        yield from self._includes.write(self._snapshot)
        yield b"}," + encode(self._ending())[1:]

    def _ending(self) -> dict[str, Any]:
        facts = self.facts
        paths = [path.text for path in self._includes.paths]
        now = wire_time(self._clock.now())
        ending: dict[str, Any] = {
            "TotalResults": facts.total,
            "LongTotalResults": facts.total,
            "SkippedResults": facts.skipped,
            "DurationInMs": int(self._clock.monotonic_ms() - self._began_ms),
            "IncludedPaths": paths or None,
            "IndexName": facts.index_name,
            "IndexTimestamp": facts.index_time or now,
            "LastQueryTime": facts.query_time or now,
            "IsStale": facts.is_stale,
            "ResultEtag": facts.result_etag,
            "NodeTag": facts.node_tag,
        }
        values = self._includes.compare_exchange_values()
        if values is not None:
            ending["CompareExchangeValueIncludes"] = values
        if facts.capped is not None:
            ending["CappedMaxResults"] = facts.capped
        if facts.scanned is not None:
            ending["ScannedResults"] = facts.scanned
        if self._highlights is not None:
            ending["Highlightings"] = self._highlights.found
        if self._explanations is not None:
            ending["Explanations"] = self._explanations.found
        if self._timings is not None:
            ending["Timings"] = self._timings.as_json()
        ending.update(facts.more)
        return ending

    def stream_facts(self) -> dict[str, Any]:
        """What a streamed answer begins with."""
        facts = self.facts
        return {
            "ResultEtag": facts.result_etag,
            "IsStale": facts.is_stale,
            "IndexName": facts.index_name,
            "TotalResults": facts.total,
            "IndexTimestamp": facts.index_time or wire_time(self._clock.now()),
        }

    def lines(self) -> Iterator[bytes]:
        """The answer of /streams/queries as lines of JSON."""
        yield b'{"Stats":' + encode(self.stream_facts()) + b"}\n"
        yield from self._between(b'{"Item":', b"}\n")

    def object_pieces(self) -> Iterator[bytes]:
        """The answer of /streams/queries as one JSON object."""
        yield encode(self.stream_facts())[:-1] + b',"Results":['
        yield from self._joined()
        yield b'],"Includes":{'
        yield from self._includes.write(self._snapshot)
        yield b"}}"


def etag_number(*parts: object) -> int:
    """A result etag: a positive number of 63 bits over everything that a result depends on."""
    return xxh3_64_of(encode(parts)) >> 1

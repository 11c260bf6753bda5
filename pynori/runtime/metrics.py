"""Metrics in Prometheus' text form, read from plain counters at the moment of a scrape.

Nothing of prometheus-client is on a hot path: a route counts in the slots of a `RequestCounters`, the engine counts in
its own structs, and a collector turns both into families when `/metrics` is asked for. Whoever owns other numbers adds
a source: a callable that yields metric families.
"""

from __future__ import annotations

import resource
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pynori.runtime.clock import Clock

# Upper bounds in milliseconds; the last bucket, +Inf, is the entry behind them.
DURATION_BOUNDS_MS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 10000.0)
_BUCKET_NAMES = [*(str(bound) for bound in DURATION_BOUNDS_MS), "+Inf"]

Source = Callable[[], Iterable[Metric]]


class RequestCounters:
    """Counts of one operation (put, get, delete, batch, query, ...). `observe` is all that a request pays."""

    __slots__ = ("failed", "failed_sum_ms", "operation", "succeeded", "succeeded_sum_ms")

    def __init__(self, operation: str) -> None:
        self.operation = operation
        # One count per bucket of DURATION_BOUNDS_MS and one beyond; not cumulative.
        self.succeeded = [0] * len(_BUCKET_NAMES)
        self.failed = [0] * len(_BUCKET_NAMES)
        self.succeeded_sum_ms = 0.0
        self.failed_sum_ms = 0.0

    def observe(self, duration_ms: float, failed: bool = False) -> None:
        """Count one request. `failed`: answered with an error of the server's or the caller's making."""
        bucket = bisect_left(DURATION_BOUNDS_MS, duration_ms)
        if failed:
            self.failed[bucket] += 1
            self.failed_sum_ms += duration_ms
        else:
            self.succeeded[bucket] += 1
            self.succeeded_sum_ms += duration_ms

    def add(self, counts: list[int], sum_ms: float) -> None:
        """Add successes that were counted elsewhere, in the same buckets."""
        for bucket, count in enumerate(counts):
            self.succeeded[bucket] += count
        self.succeeded_sum_ms += sum_ms

    @property
    def total(self) -> int:
        return sum(self.succeeded) + sum(self.failed)


class Metrics(Collector):
    """All metrics of one process."""

    def __init__(self, clock: Clock, version: str) -> None:
        self._clock = clock
        self._version = version
        self._started_ms = clock.monotonic_ms()
        self._requests: dict[str, RequestCounters] = {}
        self._sources: list[Source] = []
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        # Present from the start, as boards and alerts expect them.
        for operation in ("put", "get", "delete"):
            self.requests(operation)

    def requests(self, operation: str) -> RequestCounters:
        """The counters of `operation`, the same object each time. Routes with the same name share them."""
        counters = self._requests.get(operation)
        if counters is None:
            counters = self._requests[operation] = RequestCounters(operation)
        return counters

    def add_source(self, source: Source) -> None:
        """Ask `source` for families at each scrape."""
        self._sources.append(source)

    def uptime_ms(self) -> float:
        return self._clock.monotonic_ms() - self._started_ms

    def render(self) -> bytes:
        """The text that `/metrics` answers, `text/plain; version=1.0.0; charset=utf-8`."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield from self._collect_requests()
        yield from self._collect_process()
        for source in self._sources:
            yield from source()

    def _collect_requests(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("kv_requests", "Requests by operation.", labels=["operation"])
        durations = HistogramMetricFamily(
            "kv_request_duration_ms",
            "Time from a request's first byte to its answer, in milliseconds, by operation and outcome.",
            labels=["operation", "outcome"],
        )
        for name, counters in sorted(self._requests.items()):
            requests.add_metric([name], counters.total)
            outcomes = (
                ("ok", counters.succeeded, counters.succeeded_sum_ms),
                ("error", counters.failed, counters.failed_sum_ms),
            )
            for outcome, buckets, sum_ms in outcomes:
                durations.add_metric(
                    [name, outcome], list(zip(_BUCKET_NAMES, _cumulated(buckets), strict=True)), sum_ms
                )
        yield requests
        yield durations

    def _collect_process(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("pynori_info", "1, with what is running as labels.", labels=["version", "python"])
        info.add_metric([self._version, ".".join(str(part) for part in sys.version_info[:3])], 1)
        yield info
        yield GaugeMetricFamily("pynori_uptime_seconds", "Time since the start.", value=self.uptime_ms() / 1_000.0)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        yield CounterMetricFamily(
            "process_cpu_seconds", "Processor time used, of user and system.", value=usage.ru_utime + usage.ru_stime
        )
        resident = resident_size_bytes()
        if resident is not None:
            yield GaugeMetricFamily("process_resident_memory_bytes", "Resident memory.", value=resident)


def _cumulated(counts: list[int]) -> Iterator[int]:
    total = 0
    for count in counts:
        total += count
        yield total


def resident_size_bytes() -> int | None:
    """Resident memory of this process, or None where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return None

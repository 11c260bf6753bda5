"""One server: composes what lies below the edge, starts it from the bottom up and stops it from the top down.

Start: data directory (lock), cluster state, databases, then the listeners that the caller puts on top. Stop: listeners
(by the caller), databases, cluster state, data directory. Nobody below knows the server; the edge gets it as argument.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pynori_core.errors import EngineError

import pynori
from pynori import limits
from pynori.cluster.nodes import Nodes
from pynori.cluster.state import ClusterState
from pynori.config import Settings
from pynori.documents.database import DatabaseOptions
from pynori.errors import from_engine
from pynori.js.scripts import Scripts
from pynori.queries.service import QueryThreads
from pynori.runtime.channel import Channel
from pynori.runtime.clock import Clock, SystemClock
from pynori.runtime.metrics import Metrics
from pynori.runtime.rand import Rand, SystemRand
from pynori.runtime.tasks import Tasks
from pynori.server.data_directory import DataDirectory
from pynori.server.databases import Databases
from pynori.server.disk_watch import DiskWatch
from pynori.server.log_configuration import LogConfiguration
from pynori.server.operations import Operations
from pynori.server.replication import accept
from pynori.server.scrubber import Scrubber
from pynori.server.server_metrics import server_families
from pynori.server.supervision import Supervision, run_expiry


class Server:
    """A started server. `await Server.start(settings)`, put listeners on it, `await server.stop()` at the end."""

    settings: Settings
    state: ClusterState
    databases: Databases
    operations: Operations
    nodes: Nodes
    scrubber: Scrubber
    supervision: Supervision
    metrics: Metrics
    clock: Clock
    rand: Rand
    tasks: Tasks
    query_threads: QueryThreads
    data_directory: DataDirectory | None
    disk_watch: DiskWatch | None
    scripts: Scripts
    log_configuration: LogConfiguration
    # Addresses as clients reach them. Ports may be chosen when listening: whoever listens sets them.
    url: str
    tcp_url: str
    # What other nodes may open a channel for: takes the caller's hello, or raises, which refuses him.
    channels: dict[str, Callable[[dict[str, Any]], Channel]]
    is_running: bool
    want_stop: Callable[[], None]  # asks whoever runs the server to stop it

    def __init__(
        self, settings: Settings, clock: Clock, rand: Rand, directory: DataDirectory | None, state: ClusterState
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.rand = rand
        self.data_directory = directory
        self.state = state
        self.tasks = Tasks()
        self.operations = Operations(clock)
        self.nodes = Nodes(state)
        self.channels = {
            "raft": state.accept,
            "state": state.accept_state,
            "join": self.nodes.accept,
            "replication": lambda hello: accept(self.databases, hello),
        }
        self.query_threads = QueryThreads()
        self.metrics = Metrics(clock, pynori.__version__)
        self.scripts = Scripts()
        self.log_configuration = LogConfiguration(settings)
        options = DatabaseOptions(
            in_memory=settings.run_in_memory,
            allow_unsafe_filesystem=settings.allow_unsafe_filesystem,
            node_tag=state.node_tag,
            scripts=self.scripts,
        )
        self.databases = Databases(None if directory is None else directory.databases, state, options, clock, rand)
        self.disk_watch = None if directory is None else DiskWatch(directory.path, settings, self.databases)
        self.metrics.add_source(lambda: server_families(self.databases, self.state, self.disk_watch))
        self.scrubber = Scrubber(self.databases, clock, settings.scrub_megabytes_per_second * limits.MIB)
        self.metrics.add_source(self.scrubber.families)
        self.supervision = Supervision(state, self.databases, self._free_and_total_bytes, settings, clock)
        self.url = settings.public_url or settings.server_url
        self.tcp_url = settings.tcp_url or ""
        self.is_running = False
        self.want_stop = lambda: None

    @classmethod
    async def start(cls, settings: Settings, clock: Clock | None = None, rand: Rand | None = None) -> Server:
        """Open state and databases. Raises: CannotStart, StorageFailed; nothing stays open then."""
        clock = clock or SystemClock()
        rand = rand or SystemRand()
        directory = None if settings.run_in_memory else DataDirectory.acquire(settings.data_dir)
        state = None
        try:
            system = None if directory is None else directory.system
            state = await ClusterState.open(
                system, clock, rand, settings.election_timeout_ms, settings.probe_period_ms
            )
            if settings.node_id is not None:
                await state.found()  # who gives it a name wants a cluster
            server = cls(settings, clock, rand, directory, state)
            await server.databases.open_all()
        except BaseException as error:
            if state is not None:
                await state.close()
            if directory is not None:
                directory.release()
            if isinstance(error, EngineError):
                raise from_engine(error) from error
            raise
        server.is_running = True
        server.nodes.start()
        server.tasks.start("watch over databases", server.databases.watch())
        server.tasks.start("supervision", server.supervision.run())
        server.tasks.start("expiry", run_expiry(server.state, settings.compare_exchange_expiry_seconds))
        if server.disk_watch is not None:
            await server.disk_watch.look()
            server.tasks.start("watch over the disk", server.disk_watch.run())
        if settings.scrub_megabytes_per_second:
            server.tasks.start("scrubber", server.scrubber.run())
        return server

    def _free_and_total_bytes(self) -> tuple[int, int]:
        space = None if self.disk_watch is None else self.disk_watch.last
        return (0, 0) if space is None else (space.free_bytes, space.total_bytes)

    @property
    def node_tag(self) -> str:
        return self.state.node_tag

    @property
    def server_id(self) -> str:
        return self.state.server_id

    def announce(self, url: str, tcp_url: str) -> None:
        """The listeners are up: remember where, and write `run.json`."""
        self.url = self.settings.public_url or url
        self.tcp_url = tcp_url
        self.state.announced(self.url)
        self.nodes.announced()
        if self.data_directory is not None:
            self.data_directory.write_run_file(
                {"pid": os.getpid(), "url": self.url, "tcp_url": tcp_url, "version": pynori.__version__}
            )

    async def stop(self) -> None:
        """Close databases, state and directory, in that order. Every listener is closed already."""
        self.is_running = False
        self.operations.kill_all()
        await self.tasks.cancel()
        await self.nodes.stop()
        try:
            await self.databases.close_all()
            self.query_threads.close()
            await self.state.close()
        except EngineError as error:
            raise from_engine(error) from error
        finally:
            self.scripts.close()
            if self.data_directory is not None:
                self.data_directory.release()

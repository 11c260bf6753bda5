"""Replication of one database: its links in both directions, its conflicts, and saves that wait for other instances."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pynori import limits
from pynori.errors import InvalidArgument, LimitExceeded, TimeoutExpired
from pynori.js.scripts import Scripts
from pynori.replication.conflicts import ConflictRules
from pynori.replication.incoming import IncomingLink
from pynori.replication.outgoing import VERSION, Destination, OutgoingLink, owner_of
from pynori.replication.resolver import Resolver
from pynori.runtime.channel import Channel
from pynori.runtime.clock import Clock
from pynori.runtime.tasks import Tasks

if TYPE_CHECKING:
    from pynori.documents.database import Database


class Replication:
    """Of one open database. Belongs to one event loop."""

    def __init__(
        self,
        database: Database,
        scripts: Scripts,
        clock: Clock,
        rules: ConflictRules,
        introduce: Callable[[], Mapping[str, Any]],
    ) -> None:
        """introduce: what other instances have to know of this node when a link opens: node, url, group."""
        self.resolver = Resolver(database, scripts, rules)
        self._database = database
        self._clock = clock
        self._introduce = introduce
        self._outgoing: dict[Destination, OutgoingLink] = {}
        self._incoming: dict[str, IncomingLink] = {}  # by id of the instance at the other end
        self._siblings: frozenset[str] = frozenset()
        self._progress: set[asyncio.Event] = set()  # of saves that wait
        self._tasks = Tasks()
        self._closed = False

    async def close(self) -> None:
        self._closed = True
        outgoing, incoming = list(self._outgoing.values()), list(self._incoming.values())
        self._outgoing.clear()
        self._incoming.clear()
        await asyncio.gather(
            *(link.close() for link in outgoing),
            *(link.close("the database is being closed") for link in incoming),
            self.resolver.close(),
        )
        await self._tasks.finish()

    # ---- links

    def follow(self, destinations: Iterable[Destination], siblings: Iterable[str], rules: ConflictRules) -> None:
        """Send to these from now on, and resolve conflicts by these rules.

        siblings: names of all other instances of the database, also of those that get nothing from here at present:
        they will again, and deletions wait for them.
        """
        if self._closed:
            return
        self.resolver.follow(rules)
        wanted = dict.fromkeys(destinations)
        self._keep_deletions_for(frozenset(siblings))
        for destination in [each for each in self._outgoing if each not in wanted]:
            link = self._outgoing.pop(destination)
            self._tasks.start(f"end of the link to {destination.name}", self._end(link))
        for destination in wanted:
            if destination not in self._outgoing:
                self._outgoing[destination] = OutgoingLink(
                    self._database, destination, self._hello, self._clock, self._accepted
                )

    def _keep_deletions_for(self, siblings: frozenset[str]) -> None:
        before, self._siblings = self._siblings, siblings
        for name in siblings - before:
            if not self._needs_deletions(name, frozenset()):
                self._database.tombstones.hold(owner_of(name), 0)
        for name in before - siblings:
            if not self._needs_deletions(name, siblings):
                self._database.tombstones.release(owner_of(name))

    def _needs_deletions(self, name: str, siblings: frozenset[str]) -> bool:
        return name in siblings or any(destination.name == name for destination in self._outgoing)

    async def _end(self, link: OutgoingLink) -> None:
        """Close a link. Its receiver may be there under another address, or as one that gets nothing at present."""
        await link.close()
        name = link.destination.name
        if not self._needs_deletions(name, self._siblings):
            self._database.tombstones.release(owner_of(name))

    def accept(self, hello: dict[str, Any]) -> Channel:
        """A channel on which another instance sends. Raises: InvalidArgument, LimitExceeded: he is not taken."""
        if hello.get("version") != VERSION:
            raise InvalidArgument(f"replication of version {hello.get('version')}; this node speaks {VERSION}")
        if len(self._incoming) >= limits.REPLICATION_LINKS_MAX:
            raise LimitExceeded(f"REPLICATION_LINKS_MAX: {limits.REPLICATION_LINKS_MAX} links lead to this database")
        link = IncomingLink(self._database, hello, self._clock, self.resolver.found, self._ended)
        older = self._incoming.get(link.source)
        if older is not None:
            self._tasks.start("end of an older link", older.close("the same instance has opened another link"))
        self._incoming[link.source] = link
        return link.channel

    def _ended(self, link: IncomingLink) -> None:
        if self._incoming.get(link.source) is link:
            del self._incoming[link.source]

    def _hello(self) -> Mapping[str, Any]:
        return {**self._introduce(), "source": self._database.id, "source_database": self._database.name}

    @property
    def outgoing(self) -> Sequence[OutgoingLink]:
        return list(self._outgoing.values())

    @property
    def incoming(self) -> Sequence[IncomingLink]:
        return list(self._incoming.values())

    # ---- write assurance

    async def wait_for_replicas(self, etag: int, count: int | None, wait_ms: float, *, throw: bool) -> int:
        """Wait until `count` other instances (None: a majority of all) have all up to `etag` on disk; how many have.

        Raises: TimeoutExpired, if `throw`; what was written stays written and goes on to be sent.
        """
        siblings = [link for link in self._outgoing.values() if link.destination.is_internal]
        needed = (len(siblings) + 1) // 2 if count is None else count
        changed = asyncio.Event()
        self._progress.add(changed)
        try:
            async with asyncio.timeout(min(wait_ms, limits.REPLICAS_WAIT_MS_MAX) / 1_000):
                # Siblings that are not there cannot confirm: waiting for them would only be slow.
                while self._confirmed(etag) < needed <= len(siblings):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            pass
        finally:
            self._progress.discard(changed)
        confirmed = self._confirmed(etag)
        if confirmed < needed and throw:
            known = f", which has {len(siblings)} other instances" if needed > len(siblings) else ""
            raise TimeoutExpired(
                f"Could not verify that etag {etag} of database '{self._database.name}'{known} was replicated to "
                f"{needed} servers in {wait_ms / 1_000:g} s; it was replicated to {confirmed}. It is stored here"
            )
        return confirmed

    def _confirmed(self, etag: int) -> int:
        return sum(link.accepted >= etag for link in self._outgoing.values() if link.destination.is_internal)

    def _accepted(self) -> None:
        for changed in self._progress:
            changed.set()

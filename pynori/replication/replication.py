"""Replication of one database: its links in both directions, its conflicts, and saves that wait for other instances."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pynori import limits
from pynori.errors import InvalidArgument, LimitExceeded, TimeoutExpired
from pynori.js.scripts import Scripts
from pynori.replication.conflicts import ConflictRules
from pynori.replication.incoming import IncomingLink
from pynori.replication.outgoing import INTERNAL, VERSION, Destination, OutgoingLink, owner_of
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
        own: Callable[[], str],
    ) -> None:
        """introduce: what other instances have to know of this node when a link opens: node, url, group.

        own: counters of cluster-wide transactions which this instance applies by itself, from there on.
        """
        self.resolver = Resolver(database, scripts, rules)
        self._database = database
        self._clock = clock
        self._introduce = introduce
        self._own = own
        self._outgoing: dict[Destination, OutgoingLink] = {}
        self._incoming: dict[str, IncomingLink] = {}  # by id of the instance at the other end
        self._holders: frozenset[str] = frozenset()
        self._receivers: frozenset[str] = frozenset()
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

    def follow(
        self, destinations: Iterable[Destination], rules: ConflictRules, receivers: Collection[str],
        holders: Collection[str], pause: str = "",
    ) -> None:  # fmt: skip
        """Send to these from now on, and resolve conflicts by these rules.

        receivers: all for whom deletions wait, by `owner_of`: also those that get nothing from here at present, for
        they will again. holders: tags of the other instances that had all documents at some time: a save that waits
        counts on them. pause: why external links stand still; "": they do not.
        """
        if self._closed:
            return
        self._holders = frozenset(holders)
        self._accepted()
        self.resolver.follow(rules)
        wanted = dict.fromkeys(destinations)
        self._keep_deletions_for(frozenset(receivers))
        for destination in [each for each in self._outgoing if each not in wanted]:
            link = self._outgoing.pop(destination)
            self._tasks.start(f"end of the link to {destination.name}", self._end(link))
        for destination in wanted:
            if destination not in self._outgoing:
                self._outgoing[destination] = OutgoingLink(
                    self._database, destination, self._hello, self._clock, self._accepted
                )
            if not destination.is_internal:
                self._outgoing[destination].pause(pause)

    def _keep_deletions_for(self, receivers: frozenset[str]) -> None:
        before, self._receivers = self._receivers, receivers
        for owner in receivers - before:
            if not self._needs_deletions(owner, frozenset()):
                self._database.tombstones.hold(owner, 0)
        for owner in before - receivers:
            if not self._needs_deletions(owner, receivers):
                self._database.tombstones.release(owner)

    def _needs_deletions(self, owner: str, receivers: frozenset[str]) -> bool:
        return owner in receivers or any(owner == owner_of(each.name, each.is_internal) for each in self._outgoing)

    async def _end(self, link: OutgoingLink) -> None:
        """Close a link. Its receiver may be there under another address, or as one that gets nothing at present."""
        await link.close()
        owner = owner_of(link.destination.name, link.destination.is_internal)
        if not self._needs_deletions(owner, self._receivers):
            self._database.tombstones.release(owner)

    def accept(self, hello: dict[str, Any]) -> Channel:
        """A channel on which another instance sends. Raises: InvalidArgument, LimitExceeded: he is not taken."""
        if hello.get("version") != VERSION:
            raise InvalidArgument(f"replication of version {hello.get('version')}; this node speaks {VERSION}")
        if len(self._incoming) >= limits.REPLICATION_LINKS_MAX:
            raise LimitExceeded(f"REPLICATION_LINKS_MAX: {limits.REPLICATION_LINKS_MAX} links lead to this database")
        own = self._own() if hello.get("kind") == INTERNAL else ""
        link = IncomingLink(self._database, hello, self._clock, self.resolver.found, self._ended, own)
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
        """Wait until `count` other instances have all up to `etag` on disk; how many have.

        None: so many that they are a majority of the group together with this one. Members and Rehabs are counted: a
        Rehab has the documents of old, and a majority that shrank with each lost Member would be none. A Promotable,
        which is still fed for the first time, neither counts nor is counted.
        Raises: TimeoutExpired, if `throw`; what was written stays written and goes on to be sent.
        """
        changed = asyncio.Event()
        self._progress.add(changed)
        try:
            async with asyncio.timeout(min(wait_ms, limits.REPLICAS_WAIT_MS_MAX) / 1_000):
                # Siblings that are not there cannot confirm: waiting for them would only be slow.
                while self._confirmed(etag) < self._needed(count) <= len(self._holders):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            pass
        finally:
            self._progress.discard(changed)
        confirmed, needed = self._confirmed(etag), self._needed(count)
        if confirmed < needed and throw:
            known = f", which has {len(self._holders)} other instances" if needed > len(self._holders) else ""
            raise TimeoutExpired(
                f"Could not verify that etag {etag} of database '{self._database.name}'{known} was replicated to "
                f"{needed} servers in {wait_ms / 1_000:g} s; it was replicated to {confirmed}. It is stored here"
            )
        return confirmed

    def _needed(self, count: int | None) -> int:
        return (len(self._holders) + 1) // 2 if count is None else count

    def _confirmed(self, etag: int) -> int:
        return sum(
            link.accepted >= etag
            for link in self._outgoing.values()
            if link.destination.is_internal and link.destination.name in self._holders
        )

    def _accepted(self) -> None:
        for changed in self._progress:
            changed.set()

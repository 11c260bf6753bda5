"""A link from this instance to another one: opened again whenever it breaks, off the path of writes.

The link waits for commits of its database, reads what the receiver lacks, and sends it; a write never waits for it.
What the receiver has accepted lets tombstones go and ends the waiting of saves that asked for replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pynori import limits
from pynori.errors import PynoriError
from pynori.replication import messages
from pynori.replication.discovery import find_instance
from pynori.replication.messages import Accepted, Batch
from pynori.replication.session import NEVER, Sender, Step
from pynori.runtime import log
from pynori.runtime.channel import Channel, ChannelClosed, connect, packed
from pynori.runtime.clock import Clock

if TYPE_CHECKING:
    from pynori.documents.database import Database, Outgoing

OPERATION = "replication"
VERSION = 1
INTERNAL, EXTERNAL = "Internal", "External"  # kinds of links: within a group, or from outside


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a link leads."""

    name: str  # the node's tag, or the task's name
    database: str
    urls: tuple[str, ...]  # the instance's own; of another cluster, those of some of its nodes
    is_internal: bool = True  # another instance of the same database
    task_id: int = 0  # of an external replication


def owner_of(name: str, is_internal: bool = True) -> str:
    """As who a receiver holds tombstones: another instance, by its tag, or the target of a task, by the task's name."""
    return f"replication to {name}" if is_internal else f"external replication {name}"


class OutgoingLink:
    """One link. Belongs to one event loop."""

    def __init__(
        self,
        database: Database,
        destination: Destination,
        hello: Callable[[], Mapping[str, Any]],
        clock: Clock,
        on_accepted: Callable[[], None],
    ) -> None:
        """hello: what the other side has to know of this one; on_accepted: something more is on the receiver's disk."""
        self.destination = destination
        self.accepted = 0  # etag up to which the receiver has all, as it said last
        self.sent = 0  # etag up to which everything is on its way
        self._failure = ""  # why there is no link now
        self.connected_at: datetime | None = None
        self.sent_items = 0
        self.sent_batches = 0
        self.sent_bytes = 0
        self._database = database
        self._hello = hello
        self._clock = clock
        self._on_accepted = on_accepted
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._connection = _Connection(self._changed)
        self._pause = ""  # why the link stands still; "": it does not
        self._resumed = asyncio.Event()
        self._told = ""  # the last failure that was logged: retries do not repeat it
        self._owner = owner_of(destination.name, destination.is_internal)
        database.tombstones.hold(self._owner, 0)
        database.listen(self._changed.set)
        self._task = self._loop.create_task(self._run(), name=f"{self._owner} of {database.name}")

    async def close(self) -> None:
        """End the link. Tombstones go on to wait for what the receiver has accepted; who knows better releases them."""
        self._database.unlisten(self._changed.set)
        self._task.cancel()
        await asyncio.wait({self._task})

    def pause(self, reason: str) -> None:
        """Stand still for a reason, or go on, for "". What the receiver has not accepted is kept for it meanwhile."""
        if reason != self._pause:
            self._pause = reason
            if reason:
                self._resumed.clear()
            else:
                self._resumed.set()
            self._changed.set()

    @property
    def is_paused(self) -> bool:
        return bool(self._pause)

    @property
    def failure(self) -> str:
        """Why there is no link now, or ""."""
        return self._pause or self._failure

    @property
    def is_connected(self) -> bool:
        return self.connected_at is not None

    # ---- the connection

    async def _run(self) -> None:
        pause_ms = 0
        while True:
            if self._pause:
                log.info("replication", f"{self._owner} {self._pause}", db=self._database.name)
                await self._resumed.wait()
            try:
                await self._link(await self._address())
            except PynoriError as error:
                if self.connected_at is not None:
                    pause_ms = 0
                if self._told != error.message:
                    self._told = error.message
                    log.warn("replication", f"no link to {self.destination.name}: {error.message}",
                             db=self._database.name)  # fmt: skip
                self._failure = error.message
            except Exception as error:
                # A mistake of ours must not end the link in silence; the next try may find other items.
                self._failure = str(error)
                log.error("replication", f"the link to {self.destination.name} failed: {error}",
                          db=self._database.name, error=error)  # fmt: skip
            finally:
                self.connected_at = None
            pause_ms = min(max(2 * pause_ms, limits.REPLICATION_RETRY_MS_MIN), limits.REPLICATION_RETRY_MS_MAX)
            await asyncio.sleep(pause_ms / 1_000)

    async def _address(self) -> str:
        destination = self.destination
        if destination.is_internal:
            return destination.urls[0]
        return await find_instance(destination.urls, destination.database)

    async def _link(self, url: str) -> None:
        destination = self.destination
        kind = INTERNAL if destination.is_internal else EXTERNAL
        hello = {
            **self._hello(), "version": VERSION, "kind": kind, "database": destination.database, "knows_own": True,
        }  # fmt: skip
        # A connection whose peer hangs may end long after it was given up: what it says then is not of the next one.
        self._connection = connection = _Connection(self._changed)
        channel = await connect(url, OPERATION, hello, connection.take, connection.end)
        try:
            async with asyncio.timeout(limits.CHANNEL_OPEN_MS / 1_000):
                start = await self._start()
            sender = Sender(start, self._database.last_etag)
            self._failure = ""
            self._told = ""
            self.connected_at = self._clock.now()
            self._note(sender)
            log.info("replication", f"linked to {self.destination.name} at {url} from etag {start.position} on",
                     db=self._database.name)  # fmt: skip
            await self._stream(channel, sender)
        except TimeoutError:
            raise ChannelClosed(f"{url} did not say where to begin") from None
        finally:
            channel.close()

    async def _start(self) -> Accepted:
        connection = self._connection
        while not connection.replies:
            connection.raise_if_lost()
            self._changed.clear()
            await self._changed.wait()
        return connection.replies.pop(0)

    # ---- the stream

    async def _stream(self, channel: Channel, sender: Sender) -> None:
        database, connection = self._database, self._connection
        while True:
            self._changed.clear()
            connection.raise_if_lost()
            if self._pause:
                return
            if connection.replies:
                for accepted in connection.replies:
                    sender.accept(accepted)
                connection.replies.clear()
                self._note(sender)
            now = self._loop.time()
            step = sender.next_step(database.change_vector, database.last_etag, now)
            if step is Step.READ:
                await self._read(channel, sender)
            elif step is Step.TELL:
                await self._send(channel, sender.tell(now))
            else:
                await self._wait(sender.due_at)

    async def _read(self, channel: Channel, sender: Sender) -> None:
        database = self._database
        if database.last_etag - sender.position <= limits.REPLICATION_STEP_ITEMS:
            found = self._items(sender, limits.REPLICATION_STEP_ITEMS)
        else:
            found = await self._loop.run_in_executor(
                None, self._items, sender, limits.REPLICATION_BATCH_ITEMS_MAX
            )
        batch = sender.read(
            found.items, found.last_etag, found.vector if found.ended else "", found.frame, self._loop.time()
        )
        if batch is not None:
            self.sent_items += found.items
            await self._send(channel, batch)

    def _items(self, sender: Sender, items_max: int) -> Outgoing:
        return self._database.outgoing(
            sender.position, sender.vector, items_max, limits.REPLICATION_BATCH_SIZE_BYTES_MAX, self._connection.own
        )

    async def _send(self, channel: Channel, batch: Batch) -> None:
        payload = messages.encode_batch(batch)
        if len(payload) > limits.STREAM_CHUNK_SIZE_BYTES:
            flags, payload = await self._loop.run_in_executor(None, packed, payload)
        else:
            flags, payload = packed(payload)
        self.sent = batch.position
        self.sent_batches += 1
        self.sent_bytes += len(payload)
        channel.send_packed(messages.BATCH, flags, payload)
        await channel.drain()

    async def _wait(self, due_at: float) -> None:
        if due_at == NEVER:
            await self._changed.wait()
            return
        timer = self._loop.call_at(due_at, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()

    def _note(self, sender: Sender) -> None:
        self.accepted = sender.accepted
        self._database.tombstones.hold(self._owner, sender.accepted)
        self._on_accepted()


class _Connection:
    """What came on one connection and was not looked at yet."""

    __slots__ = ("_changed", "lost", "own", "replies")

    def __init__(self, changed: asyncio.Event) -> None:
        self.replies: list[Accepted] = []
        self.lost = ""  # why it has ended
        self.own = ""  # counters of cluster-wide transactions that the receiver applies by itself, from there on
        self._changed = changed

    def take(self, kind: int, payload: bytes) -> None:
        if kind == messages.ACCEPTED:
            self.replies.append(messages.decode_accepted(payload))
        elif kind == messages.OWN:
            self.own = messages.decode_own(payload)
        elif kind == messages.REFUSED:
            self.end(messages.decode_refused(payload))
        else:
            raise ValueError(f"a frame of kind {kind}")
        self._changed.set()

    def end(self, reason: str) -> None:
        self.lost = self.lost or reason
        self._changed.set()

    def raise_if_lost(self) -> None:
        if self.lost:
            raise ChannelClosed(self.lost)

"""A link from another instance to this one: its batches are applied in order, each as one transaction, and accepted.

What is accepted is on disk together with the position, so a link that opens again goes on exactly behind it. A batch
that cannot be applied ends the link with the reason, and nothing behind it is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pynori import limits
from pynori.errors import InvalidArgument, PynoriError
from pynori.replication import messages
from pynori.replication.messages import Accepted
from pynori.replication.session import Receiver
from pynori.runtime import log
from pynori.runtime.channel import Channel
from pynori.runtime.clock import Clock

if TYPE_CHECKING:
    from pynori.documents.database import Database


class IncomingLink:
    """One link. Belongs to one event loop."""

    def __init__(
        self,
        database: Database,
        hello: dict[str, Any],
        clock: Clock,
        on_conflicts: Callable[[Sequence[str]], None],
        on_end: Callable[[IncomingLink], None],
        own: str,
    ) -> None:
        """on_conflicts: ids that are in conflict since a batch; own: what need not be sent, see `messages`.

        Raises: InvalidArgument.
        """
        source = hello.get("source")
        if not isinstance(source, str) or not source:
            raise InvalidArgument("who replicates must say which instance he is")
        if source == database.id:
            raise InvalidArgument(f"the database '{database.name}' cannot replicate to itself")
        self.source = source
        self.source_node = str(hello.get("node", ""))
        self.source_database = str(hello.get("source_database", ""))
        self.source_url = str(hello.get("url", ""))
        self.opened_at: datetime = clock.now()
        self.batches = 0
        self.stored = 0
        self.ignored = 0
        self.conflicts = 0
        self.position = 0
        self._database = database
        self._on_conflicts = on_conflicts
        self._on_end = on_end
        self._own = own if hello.get("knows_own") else ""
        self._came = asyncio.Event()
        self._is_lost = False
        self._receiver: Receiver | None = None
        self.channel = Channel(self._take, self._lost, self._opened)
        self._task: asyncio.Task[None] | None = None

    async def close(self, reason: str) -> None:
        """End the link; a batch that is being applied is finished first."""
        self._is_lost = True
        self._came.set()
        self._refuse(reason)
        if self._task is not None:
            await asyncio.wait({self._task})

    def _opened(self) -> None:
        try:
            self.position = self._database.replicated_position(self.source)
        except PynoriError as error:  # it was closed since the caller was let in
            self._refuse(error.message)
            return
        self._receiver = Receiver(self.position)
        if self._own:
            self.channel.send(messages.OWN, messages.encode_own(self._own))
        self._accept()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"replication from {self.source_node}")

    def _take(self, kind: int, payload: bytes) -> None:
        if kind != messages.BATCH or self._receiver is None:
            raise ValueError(f"a frame of kind {kind}")
        self._receiver.take(messages.decode_batch(payload))
        self._came.set()

    def _lost(self, reason: str) -> None:
        self._is_lost = True
        self._came.set()
        if self._task is None:
            self._on_end(self)

    async def _run(self) -> None:
        try:
            while not self._is_lost:
                self._came.clear()
                await self._apply_all()
                await self._came.wait()
        except PynoriError as error:
            self._refuse(error.message)
        except Exception as error:
            # A mistake of ours: the sender is told as well, and tries again.
            log.error("replication", f"the link from {self.source_node} failed: {error}",
                      db=self._database.name, error=error)  # fmt: skip
            self._refuse(f"the receiver failed: {error}")
        finally:
            self.channel.close()
            self._on_end(self)

    async def _apply_all(self) -> None:
        receiver, database = self._receiver, self._database
        assert receiver is not None
        while (batch := receiver.next()) is not None and not self._is_lost:
            words = (batch.items, self.source, batch.position, batch.vector)
            if len(batch.items) > limits.REPLICATION_INLINE_SIZE_BYTES:
                made = await asyncio.get_running_loop().run_in_executor(None, database.frame_batch, *words)
            else:
                made = database.frame_batch(*words)
            applied = await database.apply_batch(made)
            receiver.done()
            self.batches += 1
            self.stored += applied.stored
            self.ignored += applied.ignored
            self.conflicts += len(applied.conflicts)
            self.position = batch.position
            self._accept()
            if applied.conflicts:
                self._on_conflicts(applied.conflicts)

    def _accept(self) -> None:
        accepted = Accepted(self.position, self._database.change_vector)
        self.channel.send(messages.ACCEPTED, messages.encode_accepted(accepted))

    def _refuse(self, reason: str) -> None:
        self.channel.send(messages.REFUSED, messages.encode_refused(reason))
        self.channel.close(reason)

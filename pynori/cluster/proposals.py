"""From a proposed command to a durable change: applied in order, many in one transaction, published after the sync.

The tables in memory are the state that everybody reads. A command is applied against them on the event loop, its
changes wait aside; one thread writes the changes of all commands of a group and the last raft index in one
transaction; only then do they enter the tables and the proposers get their answers. One group is on its way at a time,
and what is proposed meanwhile is the next one, so the loop never waits for a sync and a sync serves many commands.

Invariants: the tables never hold what is not durable. `applied_index` is the index of the last durable command. After
a failed write nothing is known about the disk: the state takes no more commands until it is opened again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from pynori_core.errors import EngineError

from pynori import limits
from pynori.cluster.commands import COMMANDS, Command, Fields, View
from pynori.cluster.store import Store
from pynori.errors import LimitExceeded, Overloaded, PynoriError, StorageFailed, Unavailable, from_engine
from pynori.runtime import log

Outcome = tuple[int, Any]  # raft index, what apply returned


class _Waiting:
    __slots__ = ("command", "fields", "future")

    def __init__(self, command: Command, fields: Fields, future: asyncio.Future[Outcome]) -> None:
        self.command = command
        self.fields = fields
        self.future = future


class Proposals:
    """The one way by which the state changes. Belongs to one event loop."""

    def __init__(self, store: Store, applied_index: int, tables: dict[str, dict[str, Any]]) -> None:
        self.applied_index = applied_index
        self._store = store
        self._tables = tables
        self._waiting: deque[_Waiting] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._closed = False
        self._index_waiters: list[tuple[int, asyncio.Future[None]]] = []
        # One thread: transactions of the store follow one another by its own rule, a second could only wait.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="pynori-state")

    async def propose(self, name: str, fields: Fields, version: int = 1) -> Outcome:
        """Apply a command durably; returns its raft index and its result.

        Raises: what the command's apply raises (the state is unchanged then), Overloaded, StorageFailed.
        """
        if self._closed:
            raise Unavailable("The server is stopping")
        if self._failure is not None:
            raise StorageFailed(f"The cluster's state takes no changes since a write failed: {self._failure}")
        if len(self._waiting) >= limits.STATE_COMMANDS_WAITING_MAX:
            raise Overloaded(f"STATE_COMMANDS_WAITING_MAX: {limits.STATE_COMMANDS_WAITING_MAX} changes are waiting")
        size_bytes = len(msgspec.json.encode(fields))
        if size_bytes > limits.STATE_COMMAND_SIZE_BYTES_MAX:
            raise LimitExceeded(
                f"STATE_COMMAND_SIZE_BYTES_MAX: the change has {size_bytes} bytes, "
                f"at most {limits.STATE_COMMAND_SIZE_BYTES_MAX} are allowed"
            )
        loop = asyncio.get_running_loop()
        waiting = _Waiting(COMMANDS[(name, version)], fields, loop.create_future())
        self._waiting.append(waiting)
        if self._writer is None:
            self._writer = loop.create_task(self._write_groups(), name="cluster state")
        return await waiting.future

    async def _write_groups(self) -> None:
        try:
            while self._waiting:
                # Let everything that is ready in this turn of the loop join the group.
                await asyncio.sleep(0)
                await self._write_group()
        finally:
            self._writer = None

    async def _write_group(self) -> None:
        group: list[tuple[_Waiting, Outcome]] = []
        pending: dict[tuple[str, str], Any] = {}
        index = self.applied_index
        while self._waiting and len(group) < limits.STATE_GROUP_COMMANDS_MAX:
            waiting = self._waiting.popleft()
            view = View(self._tables, pending, self._store)
            try:
                result = waiting.command.apply(view, waiting.fields, index + 1)
            except Exception as error:  # the proposer's to handle; a defect in an apply must not stop the others
                if not isinstance(error, PynoriError):
                    log.error("cluster", f"{waiting.command.name} failed: {error}", error=error)
                if not waiting.future.done():
                    waiting.future.set_exception(error)
                continue
            index += 1
            pending.update(view.changes)
            group.append((waiting, (index, result)))
        if not group:
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, self._store.write, index, pending)
        except Exception as error:
            self._fail(error, [waiting for waiting, _ in group])
            return
        self._publish(index, pending)
        for waiting, outcome in group:
            if not waiting.future.done():  # a proposer that was cancelled does not undo its command
                waiting.future.set_result(outcome)

    def _publish(self, index: int, changes: dict[tuple[str, str], Any]) -> None:
        for (table, key), value in changes.items():
            small = self._tables.get(table)
            if small is None:
                continue  # read where it lies
            if value is None:
                small.pop(key, None)
            else:
                small[key] = value
        self.applied_index = index
        still: list[tuple[int, asyncio.Future[None]]] = []
        for wanted, future in self._index_waiters:
            if future.done():
                continue
            if wanted <= index:
                future.set_result(None)
            else:
                still.append((wanted, future))
        self._index_waiters = still

    def _fail(self, error: Exception, group: list[_Waiting]) -> None:
        self._failure = error
        log.error("cluster", f"writing the cluster's state failed: {error}", error=error)
        ours = from_engine(error) if isinstance(error, EngineError) else StorageFailed(str(error))
        refused = [*group, *self._waiting]
        self._waiting.clear()
        for waiting in refused:
            if not waiting.future.done():
                waiting.future.set_exception(ours)

    @property
    def failure(self) -> BaseException | None:
        """Why no more commands are taken, or None."""
        return self._failure

    async def wait_for_index(self, index: int, timeout_s: float) -> None:
        """Return when the command with this index is applied here. Raises: TimeoutError."""
        if index <= self.applied_index:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._index_waiters.append((index, future))
        async with asyncio.timeout(timeout_s):
            await future

    async def close(self) -> None:
        """Finish what was proposed, take nothing more, close the store."""
        self._closed = True
        while self._writer is not None:
            await asyncio.wait([self._writer])
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._store.close)
        self._executor.shutdown(wait=False)

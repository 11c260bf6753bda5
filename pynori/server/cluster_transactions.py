"""Cluster-wide transactions come to a database: in the order of their raft indexes, each once, all or nothing.

What the cluster has agreed on is kept in its state until all instances have applied it. The database notes the raft
index of the last one in the same transaction as its documents, so that neither a restart nor a second look applies it
again. Documents get the change vector and the time that all instances of the database give them, upon the same version
the same bytes, and siblings do not send them to each other. The vector's number grows with each document command: a
version that came from a sibling and has seen a command is not set back to it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pynori import limits
from pynori.cluster.compare_exchange import DocumentCommand, Transaction, group_id
from pynori.cluster.records import instances
from pynori.errors import ConcurrencyError, DocumentConflict, PynoriError
from pynori.runtime import log
from pynori.runtime.tasks import Tasks

if TYPE_CHECKING:
    from pynori.cluster.records import Record
    from pynori.cluster.state import ClusterState
    from pynori.documents.database import Batch, CommandResult, Database

POSITION = "cluster transactions"


class ClusterTransactions:
    """Applies the cluster-wide transactions of one database. Belongs to one event loop."""

    def __init__(self, database: Database, name: str, state: ClusterState) -> None:
        self._database = database
        self._name = name
        self._state = state
        self._turn = asyncio.Lock()
        self._applied = database.position(POSITION)
        self._reported = self._applied
        self._waiting = 0  # callers of `run`
        self._results: dict[int, list[CommandResult | Seen]] = {}  # by raft index, as long as somebody waits for one
        self._is_due = False
        self._is_reporting = False
        self._tasks = Tasks()

    async def run(self, proposal: Awaitable[int]) -> tuple[int, list[CommandResult | Seen]]:
        """Await the raft index of a transaction that is being agreed on, and what it did to documents here.

        There is one result for each of its commands.
        """
        self._waiting += 1
        try:
            index = await proposal
            await self.catch_up()
            return index, self._results.pop(index, [])
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._results.clear()

    def seen(self, documents: list[dict[str, Any]]) -> list[CommandResult | Seen]:
        """What stands now where a transaction that was applied before has put or deleted these documents."""
        vectors = self._present([each["id"] for each in documents])
        return [Seen(each["id"], each["document"] is None, vectors.get(each["id"], "")) for each in documents]

    def catch_up_soon(self) -> None:
        """Apply what the cluster has agreed on in a task of its own. A failure is told; the next call tries again."""
        if not self._is_due:
            self._is_due = True
            self._tasks.start(f"cluster-wide transactions of {self._name}", self._catch_up_later())

    async def _catch_up_later(self) -> None:
        self._is_due = False
        await self.catch_up_at_start()

    async def catch_up_at_start(self) -> None:
        """Apply what is there, such as what the last run of the server left."""
        try:
            await self.catch_up()
        except PynoriError as error:
            log.error("cluster", f"cluster-wide transactions of {self._name} cannot be applied: {error}", db=self._name)

    @property
    def own(self) -> str:
        """Counters from which on this instance applies by itself what the cluster agrees on: siblings need not send it.

        What the cluster's state holds and is not applied here stays there until it is, and so does all that comes.
        """
        record = self._state.record(self._name)
        if record is None:
            return ""
        left = self._state.transactions(self._name, 1, self._applied)
        first = left[0].first if left else self._state.transaction_commands(self._name) + 1
        return f"RAFT:{first}-{group_id(record)}, TRXN:1-{record['Topology']['ClusterTransactionIdBase64']}"

    async def close(self) -> None:
        """End what is under way; the database is about to be closed."""
        await self._tasks.cancel()

    async def catch_up(self) -> None:
        """Apply everything that the cluster has agreed on so far."""
        async with self._turn:
            while True:
                found = self._state.transactions(self._name, limits.CLUSTER_TRANSACTIONS_STEP, self._applied)
                if not found:
                    break
                for transaction in found:
                    await self._apply(transaction)
        # What is applied goes from the state many at a time, for that is a command as well; nobody waits for it.
        if not self._is_reporting and self._applied >= self._reported + limits.CLUSTER_TRANSACTIONS_REPORTED:
            self._is_reporting = True
            self._tasks.start(f"report of what {self._name} has applied", self._report(self._applied))

    async def _report(self, applied: int) -> None:
        try:
            await self._state.transactions_applied(self._name, applied)
            self._reported = applied
        except PynoriError as error:
            log.info("cluster", f"what was applied is reported with the next ones: {error}", db=self._name)
        finally:
            self._is_reporting = False

    async def _apply(self, transaction: Transaction) -> None:
        for tries_left in reversed(range(limits.CLUSTER_TRANSACTION_TRIES_MAX)):
            try:
                results = await self._submit(transaction)
                break
            except ConcurrencyError:
                # A sibling's version, or a write of a client, came between the look and the transaction.
                if not tries_left:
                    raise
        self._applied = transaction.index
        if self._waiting:
            if len(self._results) >= limits.STATE_COMMANDS_WAITING_MAX:
                del self._results[next(iter(self._results))]  # of another node's transaction: ours are no more
            self._results[transaction.index] = results

    async def _submit(self, transaction: Transaction) -> list[CommandResult | Seen]:
        record = self._state.record(self._name)
        assert record is not None
        group = group_id(record)
        vectors: dict[str, str] = {}
        if len(instances(record)) > 1:
            vectors = self._present([command.id for command in transaction.commands])
        numbered = list(enumerate(transaction.commands, transaction.first))
        due = [each for each in numbered if counted(vectors.get(each[1].id, ""), group) < each[0]]
        results = await self._database.submit(self._batch(transaction, record, due, vectors))
        applied = dict(zip((number for number, _ in due), results[-len(due) :] if due else (), strict=True))
        return [
            applied.get(number) or Seen(command.id, command.document is None, vectors[command.id])
            for number, command in numbered
        ]

    def _present(self, ids: list[str]) -> dict[str, str]:
        """The change vectors of the documents that are there, "" for none; a conflict, which this ends, is left out."""
        vectors = {}
        for id in ids:
            with contextlib.suppress(DocumentConflict):
                document = self._database.head(id)
                vectors[id] = "" if document is None else document.change_vector
        return vectors

    def _batch(
        self, transaction: Transaction, record: Record, due: list[tuple[int, DocumentCommand]],
        vectors: Mapping[str, str],
    ) -> Batch:  # fmt: skip
        batch = self._database.batch()
        batch.set_position(POSITION, transaction.index)
        # A document may stand in a transaction more than once; what is expected of it holds before the first.
        expected = dict(vectors)
        for number, command in due:
            vector = f"RAFT:{number}-{group_id(record)}"
            if transaction.guarded:
                vector += f", TRXN:{transaction.index}-{record['Topology']['ClusterTransactionIdBase64']}"
            before = expected.pop(command.id, None)
            if command.document is None:
                batch.delete(command.id, before, source_change_vector=vector, exact=True, ticks=transaction.ticks)
            else:
                body = command.document.encode()
                batch.put(
                    command.id, body, before, source_change_vector=vector, exact=True, ticks=transaction.ticks
                )  # fmt: skip
        return batch


@dataclass(frozen=True, slots=True)
class Seen:
    """A command that had come from a sibling before it was applied here, and the version that is there."""

    id: str
    is_delete: bool
    change_vector: str


def counted(change_vector: str, group: str) -> int:
    """The number of the last document command of cluster-wide transactions that a version has seen; 0: none."""
    for entry in change_vector.split(", "):
        if entry.startswith("RAFT:") and entry.endswith(f"-{group}"):
            return int(entry[5 : -len(group) - 1])
    return 0

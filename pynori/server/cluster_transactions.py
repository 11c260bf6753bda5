"""Cluster-wide transactions come to a database: in the order of their raft indexes, each once, all or nothing.

What the cluster has agreed on is kept in its state until it is applied. The database notes the raft index of the last
one in the same transaction as its documents, so that neither a restart nor a second look applies it again. Documents
get the change vector that all instances of the database give them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pynori import limits
from pynori.cluster.compare_exchange import Transaction, group_id
from pynori.errors import OperationFailed, PynoriError
from pynori.runtime import log

if TYPE_CHECKING:
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
        self._results: dict[int, list[CommandResult]] = {}  # of transactions that somebody waits for
        self._awaited: set[int] = set()

    async def results(self, index: int) -> list[CommandResult]:
        """What a transaction did to documents, when it is applied here: one result for each of its commands."""
        self._awaited.add(index)
        try:
            await self.catch_up()
            return self._results.pop(index, [])
        finally:
            self._awaited.discard(index)

    async def catch_up(self) -> None:
        """Apply everything that the cluster has agreed on so far."""
        async with self._turn:
            while True:
                found = self._state.transactions(self._name, limits.CLUSTER_TRANSACTIONS_STEP, self._applied)
                if not found:
                    break
                for transaction in found:
                    await self._apply(transaction)
            # What is applied goes from the state many at a time, for that is a command as well.
            if self._applied >= self._reported + limits.CLUSTER_TRANSACTIONS_REPORTED:
                self._reported = self._applied
                await self._state.transactions_applied(self._name, self._applied)

    async def _apply(self, transaction: Transaction) -> None:
        try:
            results = await self._database.submit(self._batch(transaction, delete_first=False))
        except OperationFailed:
            # Only a document that stands in another collection is refused; it makes room then, on every instance.
            results = await self._database.submit(self._batch(transaction, delete_first=True))
        self._applied = transaction.index
        if transaction.index in self._awaited:
            self._results[transaction.index] = results[-len(transaction.commands) :]

    def _batch(self, transaction: Transaction, delete_first: bool) -> Batch:
        record = self._state.record(self._name)
        assert record is not None
        topology = record["Topology"]
        batch = self._database.batch()
        batch.set_position(POSITION, transaction.index)
        if delete_first:
            for command in transaction.commands:
                batch.delete(command.id)
        for number, command in enumerate(transaction.commands, transaction.first):
            vector = f"RAFT:{number}-{group_id(record)}"
            if transaction.guarded:
                vector += f", TRXN:{transaction.index}-{topology['ClusterTransactionIdBase64']}"
            if command.document is None:
                batch.delete(command.id, source_change_vector=vector, exact=True)
            else:
                batch.put(command.id, command.document.encode(), source_change_vector=vector, exact=True)
        return batch


async def catch_up_at_start(transactions: ClusterTransactions, name: str) -> None:
    """Apply what the last run of the server left. A failure is told, and the next transaction tries again."""
    try:
        await transactions.catch_up()
    except PynoriError as error:
        log.error("cluster", f"cluster-wide transactions of {name} cannot be applied: {error}", db=name)

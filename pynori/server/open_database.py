"""One database of this node that serves requests, with what belongs to it beside its files."""

from __future__ import annotations

from pynori.cluster.records import Record
from pynori.cluster.state import ClusterState
from pynori.documents.database import Database
from pynori.errors import DatabaseDoesNotExist
from pynori.indexes.indexes import Indexes
from pynori.queries.running import RunningQueries
from pynori.replication.replication import Replication
from pynori.server.cluster_transactions import ClusterTransactions
from pynori.server.operations import Operations


class OpenDatabase:
    """One database of this node that serves requests."""

    __slots__ = (
        "_state", "database", "indexes", "name", "operations", "replication", "running_queries", "transactions",
    )  # fmt: skip

    def __init__(
        self,
        database: Database,
        name: str,
        operations: Operations,
        state: ClusterState,
        indexes: Indexes,
        transactions: ClusterTransactions,
        replication: Replication,
    ) -> None:
        self.database = database
        self.indexes = indexes
        self.name = name
        self.operations = operations
        self.running_queries = RunningQueries()
        self.transactions = transactions
        self.replication = replication
        self._state = state

    @property
    def record(self) -> Record:
        """A copy of the database's complete record."""
        record = self._state.record(self.name)
        if record is None:
            raise DatabaseDoesNotExist(self.name)
        return record

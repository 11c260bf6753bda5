"""From records in the cluster's state to open databases: create, open, close, disable, delete.

Creation is a transaction over two places. The record enters the state together with a note that names the nodes that
have files to make; each of them makes its own (complete or not at all, by the engine) and takes itself off the note.
Deletion is its mirror: the record, or an instance of it, goes and a note comes; the files go, the note goes. When the
server ends in between, `open_all` reads the notes and finishes. So a folder that is missing without a note is a loss,
and is reported, never replaced by an empty one; and a folder without record and note is what a deletion has kept on
request (HardDelete false). As long as a node has files of a name to remove it makes none of that name: a folder is
never taken for that of a later database.

Every database is opened before the server listens, so that `find` is a lookup. What happens to one name takes turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from pynori_core.errors import EngineError

from pynori import limits
from pynori.cluster import database_topology, topology, vectors
from pynori.cluster.database_topology import Topology
from pynori.cluster.driver import Changed
from pynori.cluster.records import Record, check_name, instances
from pynori.cluster.state import ClusterState
from pynori.documents.database import Database, DatabaseOptions
from pynori.errors import (
    DatabaseDisabled,
    DatabaseDoesNotExist,
    DatabaseLoadFailure,
    DatabaseNotRelevant,
    InvalidArgument,
    OperationFailed,
    PynoriError,
    RequestTimeout,
    Unavailable,
    from_engine,
)
from pynori.indexes.folders import remove_indexes
from pynori.indexes.indexes import Indexes
from pynori.indexes.tables import checked_tables
from pynori.indexes.worker import IndexThreads
from pynori.runtime import log
from pynori.runtime.clock import Clock
from pynori.runtime.rand import Rand
from pynori.runtime.tasks import Tasks
from pynori.server.cluster_transactions import ClusterTransactions
from pynori.server.compaction import check_compactable, compact_open
from pynori.server.data_directory import sync_directory
from pynori.server.open_database import OpenDatabase
from pynori.server.operations import Operation, Operations
from pynori.server.replication import follow, new_replication


@dataclass(frozen=True, slots=True)
class CreatedDatabase:
    """Answer of a creation."""

    raft_index: int
    name: str
    topology: dict[str, Any]


class Databases:
    """All databases of this node. Belongs to one event loop."""

    def __init__(
        self, directory: Path | None, state: ClusterState, options: DatabaseOptions, clock: Clock, rand: Rand
    ) -> None:
        self._directory = directory  # `Databases` in the data directory; None: everything in memory
        self._state = state
        self._options = options
        self._clock = clock
        self._rand = rand
        self._tasks = Tasks()
        self._open: dict[str, OpenDatabase] = {}  # by lower-case name
        self._groups: dict[str, str] = {}  # ids of the groups of those that are or were open, by the same name
        self._is_cut_off = state.driver.is_cut_off  # as all open databases were told
        self._failures: dict[str, PynoriError] = {}  # why a database that should be open is not
        self._restarts: dict[str, int] = {}  # how often a database was opened again after a failed sync
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._index_threads = IndexThreads()
        self._closing = False
        state.on_change = self._state_changed

    # ------------------------------------------------------------ reading

    def find(self, name: str) -> OpenDatabase:
        """The open database of this name, whatever its case.

        Raises: DatabaseDoesNotExist, DatabaseDisabled, DatabaseLoadFailure (all 503).
        """
        found = self._open.get(name) or self._open.get(name.lower())
        if found is not None:
            return found
        failure = self._failures.get(name.lower())
        if failure is not None:
            raise DatabaseLoadFailure(str(failure)) from failure
        if self._closing:
            raise Unavailable("The server is stopping")
        if not self._state.is_here(name):  # raises when there is none
            raise DatabaseNotRelevant(f"Database '{name}' is not on node {self._state.node_tag}")
        if self._state.is_disabled(name):
            raise DatabaseDisabled(f"The database '{name}' is disabled")
        # Its record is there and its files are on their way in or out.
        raise DatabaseLoadFailure(f"The database '{name}' is being opened or closed; try again")

    def names(self) -> list[str]:
        """Names of all databases, open or not, in order."""
        return self._state.database_names()

    def open_databases(self) -> list[OpenDatabase]:
        return list(self._open.values())

    def look_up(self, key: str) -> tuple[OpenDatabase | None, PynoriError | None]:
        """The open database of a lower-case name, or why it is not open; neither: it is on its way."""
        return self._open.get(key), self._failures.get(key)

    def failures(self) -> dict[str, str]:
        """Databases that should be open and are not, with the reason."""
        return {name: str(error) for name, error in self._failures.items()}

    # ------------------------------------------------------------ changing

    async def create(self, record: dict[str, Any], replication_factor: int) -> CreatedDatabase:
        """Make a database from what a client gave as its record. Raises: AlreadyExists, InvalidName."""
        name = check_name(record.get("DatabaseName"))
        record = {**record, **checked_tables(record)}
        if self._closing:
            raise Unavailable("The server is stopping")
        async with self._turn(name):
            raft_index, complete = await self._state.create_database(record, replication_factor)
            name, path = complete["DatabaseName"], self._path(complete["DatabaseName"])
            is_wanted = self._state.is_here(name) and not complete["Disabled"]
            is_kept = True
            try:
                await self._finish_deletion(name)
                is_kept = path is not None and path.exists()  # by a deletion that was not hard
                if is_wanted:
                    await self._make(complete, is_kept)
            except BaseException as error:
                # The record must not stay without files. What was there before stays, whatever is wrong with it.
                others = [tag for tag in instances(complete) if tag != self._state.node_tag]
                await self._state.delete_database(name, not is_kept, spared=others)
                if isinstance(error, EngineError):
                    raise from_engine(error) from error
                raise
        if is_wanted:
            self._tasks.start(f"creation of {name}", self._note_creation(name))
        if not complete["Disabled"]:
            await self._made_elsewhere(name)
        return CreatedDatabase(raft_index, name, complete["Topology"])

    async def delete(self, names: list[str], hard: bool, nodes: list[str] | None = None) -> int:
        """Delete databases, or their instances on some nodes; hard: with their files.

        Names that are not there are passed over. Returns the raft index, -1 when locks have kept it from deleting
        anything. Raises: OperationFailed when one is locked against deletion; none is deleted then.
        """
        wanted = []
        spared = False
        for name in names:
            record = self._state.record(name)
            if record is None:
                continue
            if record["LockMode"] == "PreventDeletesIgnore":
                spared = True
                continue
            if record["LockMode"] == "PreventDeletesError":
                raise OperationFailed(
                    f"Database '{name}' cannot be deleted because of the set lock mode ('PreventDeletesError'). "
                    "Please consider changing the lock mode before deleting the database."
                )
            wanted.append(record["DatabaseName"])
        raft_index = -1 if spared else self._state.raft_index
        for name in wanted:
            raft_index = max(raft_index, await self._delete(name, hard, nodes))
        return raft_index

    async def add_instance(self, name: str, node: str | None, asked_mentor: str | None) -> str:
        """Give a database an instance on one more node, by default on the one with the fewest; returns its tag."""
        state = self._state
        nodes = topology.nodes(state.topology)
        if node is not None and node not in nodes:
            raise InvalidArgument(f"Node '{node}' is not in the cluster, so it cannot hold the database")

        def added(known: Topology) -> Topology:
            there = database_topology.instances(known)
            free = [tag for tag in nodes if tag not in there]
            if not free:
                raise InvalidArgument(f"Database '{name}' already exists on all the nodes of the cluster")
            loads = [each["Topology"] for each in map(state.record, state.database_names()) if each is not None]
            chosen = node or database_topology.place(1, [], free, state.away(), loads)[0]
            return database_topology.add(known, chosen, asked_mentor)

        before = state.instances(name)
        await state.change_topology(name, added)
        chosen = next((tag for tag in state.instances(name) if tag not in before), node or "")
        await self._made_elsewhere(name)
        return chosen

    async def set_disabled(self, name: str, disabled: bool) -> int:
        """Close a database and keep it closed, or open it again; returns the raft index."""
        async with self._turn(name):
            raft_index = await self._state.update_record(name, lambda record: record.update(Disabled=disabled))
            key = name.lower()
            self._restarts.pop(key, None)
            if disabled:
                await self._close(key)
                self._failures.pop(key, None)
            elif key not in self._open and self._state.is_here(name):
                record = self._state.record(name)
                if record is None:
                    raise DatabaseDoesNotExist(name)
                await self._open_recorded(record, may_make=self._state.is_unmade(name))
        return raft_index

    async def compact(self, name: str, operation: Operation) -> None:
        """Write the files of a database anew, without its free space; how that goes is told to the operation.

        Reads and writes go on until the last rows are brought over; then the database is refused as one that is being
        opened, streams end, the folders change their names in one step, and the new files are opened.
        """
        try:
            async with self._turn(name):
                operation.complete(await compact_open(self, self.find(name), operation))
        except BaseException as error:
            operation.fail(from_engine(error) if isinstance(error, EngineError) else error)
            if not isinstance(error, EngineError | PynoriError | OSError):
                raise

    def start_compaction(self, name: str, operation: Operation) -> None:
        """`compact` in the background. Raises at once when the database cannot be compacted."""
        check_compactable(self.find(name))
        self._tasks.start(f"compaction of {name}", self.compact(name, operation))

    def withdraw(self, name: str) -> None:
        """Refuse a database as one that is being opened; `reopen` ends that."""
        self._open.pop(name.lower(), None)

    async def reopen(self, name: str) -> None:
        """Open the files that are now under the name of a database that was withdrawn."""
        record = self._state.record(name)
        if record is not None:
            await self._open_recorded(record, may_make=False)

    # ------------------------------------------------------------ what other nodes have decided

    def _state_changed(self, changed: Changed) -> None:
        """Bring the databases whose records have changed in line with them, one task for each that has to change."""
        # Most changes are of values, and concern no record: they cost nothing for each database that is open.
        everywhere = ("cluster", "topology") in changed
        for key in self._open if everywhere else [key for table, key in changed if table == "records"]:
            if key in self._open:
                follow(self._open[key], self._state, self._is_cut_off)
        for table, key in changed:
            if table in ("records", "deleting") and not self._closing:
                if not self._is_wanted(key):
                    self._failures.pop(key, None)
                if self._is_due(key):
                    self._tasks.start(f"record of {key}", self._follow(key))
            elif table == "transactions":
                self._apply_transactions(key)

    def look_at_majority(self) -> None:
        """Let tasks that one member of a group does pause while nobody can know here who that is, and go on then."""
        if self._is_cut_off != self._state.driver.is_cut_off:
            self._is_cut_off = not self._is_cut_off
            for each in self._open.values():
                follow(each, self._state, self._is_cut_off)

    def _apply_transactions(self, place: str) -> None:
        """A cluster-wide transaction is agreed on. Where there is one instance, whoever has asked for it applies it."""
        for key, each in self._open.items():
            is_its = place.startswith(self._groups[key] + "/") and self._state.has_database(key)
            if is_its and len(self._state.instances(key)) > 1:
                each.transactions.catch_up_soon()

    def _is_wanted(self, key: str) -> bool:
        """Whether this node is to have an instance and to serve it."""
        state = self._state
        return state.has_database(key) and state.is_here(key) and not state.is_disabled(key)

    def _is_due(self, key: str) -> bool:
        if self._state.deleted_here(key) is not None:
            return True
        if key in self._open:
            return not self._is_wanted(key) or self._groups[key] != self._state.group_id(key)
        return self._is_wanted(key) and key not in self._failures

    async def _follow(self, key: str) -> None:
        """Do for one database what the state says. Whoever changed it here holds the turn, and has done the most."""
        # Without a leader nothing can be told; `_look_at_notes` tries again.
        with contextlib.suppress(Unavailable, RequestTimeout):
            async with self._turn(key):
                if not self._closing and self._is_due(key):
                    await self._follow_now(key)

    async def _follow_now(self, key: str) -> None:
        database = await self._close(key)
        await self._finish_deletion(key, database)
        record = self._state.record(key)
        if record is not None and self._is_wanted(key) and key not in self._failures:
            await self._open_recorded(record, may_make=self._state.is_unmade(key))

    async def _finish_deletion(self, key: str, database: Database | None = None) -> None:
        """Remove the files of a deleted instance and take this node off the note. The turn is the caller's."""
        name = self._state.deleted_here(key)
        if name is not None:
            await self._remove_deleted(name, database)
            await self._state.instance_deleted(name)

    async def _remove_deleted(self, name: str, database: Database | None) -> None:
        """Remove the files of a deleted instance, unless they hold what was to be elsewhere and is not."""
        covered = self._state.covered(name)
        if covered is None or not await self._has_more(name, covered):
            await self._remove_files(name, database)
        else:
            # They are taken over when this node gets an instance of the database again.
            log.error("databases", f"the instance of {name} goes, with what others lack: its files stay", db=name)

    async def _has_more(self, name: str, covered: str) -> bool:
        """Whether the closed instance on this node has changes beyond a change vector. Files that say nothing do."""
        path = self._path(name)
        if path is None or not path.exists():
            return False
        try:
            database = await self._open_files(path, name)
            mine = database.change_vector
            await database.close()
            return not vectors.covers(vectors.read(covered), vectors.read(mine))
        except (EngineError, PynoriError, OSError) as error:
            log.warn("databases", f"what the deleted instance of {name} has cannot be read: {error}", db=name)
            return True

    async def _remove_files(self, name: str, database: Database | None) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, remove_indexes, self._index_path(name))
        if database is not None:
            await loop.run_in_executor(None, database.delete_files)
        else:
            await loop.run_in_executor(None, self._remove_leftovers, name)

    async def _made_elsewhere(self, name: str) -> None:
        """Wait until the other nodes that can be reached have made the files of their instances, for a bounded time."""

        def unmade() -> list[str]:
            return self._state.unmade_on(name) if self._state.has_database(name) else []

        await self._until_others_have(unmade, limits.DATABASE_MADE_WAIT_MS / 1_000)

    async def pending_deletes(self, names: list[str], wait_s: float) -> list[str]:
        """The nodes that have still to remove files of these databases, once those had some time for it."""

        def pending() -> list[str]:
            return sorted({tag for name in names for tag in self._state.deletions(name)} - {self._state.node_tag})

        await self._until_others_have(pending, wait_s)
        return pending()

    async def _until_others_have(self, behind: Callable[[], list[str]], wait_s: float) -> None:
        """Return when none of the other nodes that can be reached is behind any more."""
        state = self._state
        deadline = asyncio.get_running_loop().time() + wait_s
        while asyncio.get_running_loop().time() < deadline:
            nodes = topology.nodes(state.topology)
            waited_for = [tag for tag in behind() if tag != state.node_tag and tag in nodes]
            if not any(state.is_connected(nodes[tag]["id"]) for tag in waited_for):
                return
            await asyncio.sleep(limits.MEMBERSHIP_LOOK_MS / 1_000)

    # ------------------------------------------------------------ start and end of the server

    async def open_all(self) -> None:
        """Finish what the last run left half done, then open every database that is not disabled.

        A database that cannot be opened does not stop the others: it answers 503 with the reason.
        """
        _, deleting = self._state.unfinished()
        loop = asyncio.get_running_loop()
        for name in deleting:
            await self._remove_deleted(name, None)
            # The cluster may have no leader yet, to whom this is told: others start at the same time.
            self._tasks.start(f"deletion of {name}", self._follow(name.lower()))
        if self._directory is not None:
            await loop.run_in_executor(None, self._sweep)
        gate = asyncio.Semaphore(limits.DATABASES_OPENING_MAX)

        async def open_one(name: str) -> None:
            key = name.lower()
            async with gate:
                if self._state.deleted_here(key) is not None:
                    return
                async with self._turn(name):
                    record = self._state.record(name)
                    if record is not None and self._is_wanted(key) and key not in self._open:
                        await self._open_recorded(record, may_make=self._state.is_unmade(key))

        await asyncio.gather(*(open_one(name) for name in self.names()))

    async def close_all(self) -> None:
        """Close every database; what was accepted before is written first."""
        self._closing = True
        self._state.driver.give_up()  # what notes have still to be told, the next start tells
        await self._tasks.finish()
        names = list(self._open)
        for name, outcome in zip(
            names, await asyncio.gather(*(self._close(key) for key in names), return_exceptions=True), strict=True
        ):
            if isinstance(outcome, BaseException):
                log.error("databases", f"closing database {name} failed: {outcome}", error=outcome)
        self._index_threads.close()

    # ------------------------------------------------------------ after a failed sync

    async def watch(self) -> None:
        """Look for databases that have stopped writing, again and again, until cancelled."""
        while True:
            for each in self.open_databases():
                failure = each.database.failure
                if failure is not None:
                    await self._restart(each, failure)
            self._look_at_notes()
            await asyncio.sleep(limits.DISK_WATCH_MS / 1_000)

    def _look_at_notes(self) -> None:
        """Try again what the state did not take when it was first told: there was no leader."""
        for key in self._state.noted_here() if self._state.leader_tag and not self._closing else ():
            turn = self._turns.get(key)
            if turn is not None and turn.locked():
                continue
            if self._is_due(key):
                self._tasks.start(f"record of {key}", self._follow(key))
            elif key in self._open and self._state.is_unmade(key):
                self._tasks.start(f"creation of {key}", self._note_creation(key))

    async def _restart(self, each: OpenDatabase, failure: PynoriError) -> None:
        """Take a database down, and open it again through recovery, which reads past the cache. Once; then it stays.

        What the disk holds after a failed sync only the disk knows, and a second failure says that it is broken.
        """
        key = each.name.lower()
        async with self._turn(each.name):
            if self._open.get(key) is not each:
                return  # deleted or disabled meanwhile
            self._failures[key] = failure
            log.error("databases", f"database {each.name} is taken down: {failure}", db=each.name)
            try:
                await self._close(key)
            except (EngineError, PynoriError) as error:
                log.error("databases", f"closing database {each.name} failed: {error}", db=each.name)
            restarts = self._restarts.get(key, 0)
            record = self._state.record(each.name)
            if restarts >= limits.DATABASE_REOPENS_MAX or record is None or self._path(each.name) is None:
                log.error("databases", f"database {each.name} stays down until somebody enables it", db=each.name)
                return
            self._restarts[key] = restarts + 1
            await self._open_recorded(record, may_make=False)
            if key in self._open:
                log.warn("databases", f"database {each.name} was recovered and serves again", db=each.name)

    # ------------------------------------------------------------ helpers

    async def _open_files(self, path: Path, name: str) -> Database:
        return await Database.open(path, name, self._database_options(), clock=self._clock)

    async def _make_files(self, path: Path | None, name: str) -> Database:
        return await Database.create(path, name, self._database_options(), clock=self._clock, rand=self._rand)

    def _database_options(self) -> DatabaseOptions:
        """With the node's tag of now: a node that joins a cluster gets another one."""
        return replace(self._options, node_tag=self._state.node_tag)

    def _turn(self, name: str) -> asyncio.Lock:
        return self._turns.setdefault(name.lower(), asyncio.Lock())

    def _path(self, name: str) -> Path | None:
        return None if self._directory is None else self._directory / name

    async def _make(self, record: Record, is_kept: bool) -> None:
        """Make the files of a new database, or take over those that a soft deletion has kept, and open it."""
        name = record["DatabaseName"]
        path = self._path(name)
        if path is not None and is_kept:
            database = await self._open_files(path, name)
        else:
            database = await self._make_files(path, name)
        await self._add(name, database)

    async def _open_recorded(self, record: Record, may_make: bool) -> None:
        """Open a database of the state; why it fails is kept. may_make: its files may be missing, since it is new."""
        name = record["DatabaseName"]
        path = self._path(name)
        try:
            if path is None or (may_make and not path.exists()):
                database = await self._make_files(path, name)
            elif not path.exists():
                raise DatabaseLoadFailure(f"The files of database '{name}' are missing: there is no folder {path}")
            else:
                database = await self._open_files(path, name)
        except (EngineError, PynoriError, OSError) as error:
            ours = from_engine(error) if isinstance(error, EngineError) else error
            failure = ours if isinstance(ours, PynoriError) else DatabaseLoadFailure(str(error))
            self._failures[name.lower()] = failure
            log.error("databases", f"database {name} cannot be opened: {error}", db=name)
            return
        await self._add(name, database)
        if may_make:
            self._tasks.start(f"creation of {name}", self._note_creation(name))

    async def _note_creation(self, name: str) -> None:
        """Tell the cluster that this node has made its files. A turn, so that one is on its way at a time."""
        with contextlib.suppress(Unavailable, RequestTimeout):
            async with self._turn(name):
                if self._state.has_database(name) and self._state.is_unmade(name):
                    await self._state.instance_created(name)

    async def _add(self, name: str, database: Database) -> None:
        """Open the indexes of an open database, and serve it."""
        indexes = Indexes(database, self._state, self._index_path(name), self._index_threads, self._clock)
        try:
            await indexes.open()
        except BaseException:
            await indexes.close()
            await database.close()
            raise
        self._failures.pop(name.lower(), None)
        self._groups[name.lower()] = self._state.group_id(name)
        transactions = ClusterTransactions(database, name, self._state)
        operations = Operations(self._clock)
        replication = new_replication(database, name, self._state, transactions, self._clock)
        opened = OpenDatabase(database, name, operations, self._state, indexes, transactions, replication)
        self._open[name.lower()] = opened
        follow(opened, self._state, self._is_cut_off)
        await transactions.catch_up_at_start()

    def _index_path(self, name: str) -> Path | None:
        """Where the indexes of a database lie; beside the databases, so that these can be exchanged as a whole."""
        if self._directory is None or self._options.in_memory:
            return None
        return self._directory.with_name("Indexes") / name

    async def _close(self, key: str) -> Database | None:
        """Stop serving a database and close its files; returns it, or None when it was not open."""
        found = self._open.pop(key, None)
        if found is None:
            return None
        found.operations.kill_all()
        await found.replication.close()
        await found.transactions.close()
        await found.indexes.close()
        await found.database.close()
        return found.database

    async def _delete(self, name: str, hard: bool, nodes: list[str] | None) -> int:
        """The files of this node go at once; its name on the note goes by `_follow`, which the change has started."""
        async with self._turn(name):
            tag = self._state.node_tag
            was_here = self._state.has_database(name) and self._state.is_here(name) and (nodes is None or tag in nodes)
            spared = [tag] if self._directory is None else []
            raft_index, found = await self._state.delete_database(name, hard, nodes, spared)
            if not found or not was_here:
                return raft_index
            database = await self._close(name.lower())
            self._failures.pop(name.lower(), None)
            if hard and self._directory is not None:
                await self._remove_files(name, database)
            else:
                # Kept files can be taken over by a new database; its indexes are made anew then.
                await asyncio.get_running_loop().run_in_executor(None, remove_indexes, self._index_path(name))
        return raft_index

    def _remove_leftovers(self, name: str) -> None:
        """Remove the folder of a database that is not open. Blocks."""
        path = self._path(name)
        if path is None or not path.exists():
            return
        # Under another name first: a folder that is half gone must never be taken for a database.
        tombstone = path.with_name(f".deleted-{name}-{self._state.raft_index}")
        path.rename(tombstone)
        sync_directory(path.parent)
        shutil.rmtree(tombstone)

    def _sweep(self) -> None:
        """Remove what creations and deletions of an earlier run have left: folders that begin with '.'. Blocks."""
        assert self._directory is not None
        for entry in [*_entries(self._directory), *_entries(self._directory.with_name("Indexes"))]:
            if entry.name.startswith("."):
                shutil.rmtree(entry)
                log.info("databases", f"removed {entry.name}, left over from a creation or deletion that was cut short")


def _entries(directory: Path) -> Iterable[Path]:
    if not directory.exists():
        return []
    return [entry for entry in directory.iterdir() if entry.is_dir() and not entry.is_symlink()]

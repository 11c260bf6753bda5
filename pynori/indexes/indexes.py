"""All indexes of one database: found by name or by need, kept in line with the database's record, woken by commits.

The record says which indexes there should be; `reconcile` makes it so, and is called after every change of the record,
whoever made it. An index whose definition has changed is built beside the old one, which answers until the new one has
caught up; then they change places in one step. An automatic index that covers others replaces them in the same way.
"""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pynori_core.errors import Busy, CorruptError, EngineError

from pynori import limits
from pynori.errors import DatabaseClosed, IndexDoesNotExist, InvalidArgument, PynoriError, TimeoutExpired, from_engine
from pynori.indexes.auto import AutoIndexDefinition, to_build
from pynori.indexes.definition import LOCK_MODES, PRIORITIES, REPLACEMENT_PREFIX, IndexDefinition
from pynori.indexes.feeders import content_of, make_feeder
from pynori.indexes.feeding import Feeder
from pynori.indexes.fields import choice
from pynori.indexes.folders import REFERENCES, IndexFolders, Owner, folder_name
from pynori.indexes.index import Index
from pynori.indexes.output import check_no_others, check_output
from pynori.indexes.progress import IndexingError, write_errors
from pynori.indexes.references import References
from pynori.indexes.settings import WorkSettings, work_settings
from pynori.indexes.tables import Definition, definitions_of
from pynori.indexes.worker import IndexThreads, Worker
from pynori.runtime import log
from pynori.runtime.clock import Clock, wire_time
from pynori.runtime.tasks import Tasks

if TYPE_CHECKING:
    from pynori_core.index_store import IndexStore

    from pynori.documents.database import Database


# What an environment belongs to, the environment or why it cannot be opened, and where it is.
Found = tuple[Owner, "IndexStore | str", Path | None]


class Definitions(Protocol):
    """The part of the cluster's state that holds definitions."""

    def index_tables(self, name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]: ...

    def registered(self, kind: str, db: str | None) -> Mapping[str, str]: ...

    def settings(self, db: str) -> Mapping[str, str | None]: ...

    async def change_indexes(self, command: str, fields: Mapping[str, Any]) -> tuple[int, Any]: ...


class Indexes:
    """All indexes of one database. Belongs to its event loop; `open` before use, `close` before the database."""

    def __init__(
        self, database: Database, definitions: Definitions, directory: Path | None, threads: IndexThreads, clock: Clock
    ) -> None:
        self._database = database
        self._definitions = definitions
        self._folders = IndexFolders(directory, database.id)
        self._threads = threads
        self._clock = clock
        self._indexes: dict[str, Index] = {}  # by lower-case name
        self._replacements: dict[str, Index] = {}  # by the lower-case name of what they will replace
        self._workers: dict[Index, Worker] = {}
        self._turn = asyncio.Lock()  # of changes of what there is
        self._tasks = Tasks()  # each of which ends by itself
        self._closing = asyncio.Event()
        self._housekeeper = Tasks()
        self._doomed: set[Index] = set()  # on their way out
        self._rebuilds: Counter[str] = Counter()  # of automatic indexes whose files were damaged, by lower-case name
        self._seen_etag = -1
        self._look: asyncio.TimerHandle | None = None
        self._closed = False
        self.is_paused = False  # all indexes that were there were paused together

    # ------------------------------------------------------------ reading

    def get(self, name: str) -> Index | None:
        """The index of this name, whatever its case; `ReplacementOf/x` is the one being built for x."""
        lowered = name.lower()
        if lowered.startswith(REPLACEMENT_PREFIX.lower()):
            return self._replacements.get(lowered[len(REPLACEMENT_PREFIX) :])
        return self._indexes.get(lowered)

    def find(self, name: str) -> Index:
        """As get. Raises: IndexDoesNotExist."""
        found = self.get(name)
        if found is None:
            raise IndexDoesNotExist(f"There is no index with '{name}' name.")
        return found

    def all(self) -> list[Index]:
        """All indexes in the order of their names, those that are being built beside others included."""
        return sorted([*self._indexes.values(), *self._replacements.values()], key=lambda each: each.name.lower())

    def automatic(self) -> list[Index]:
        return [each for each in self._indexes.values() if each.is_auto]

    def covering(self, need: AutoIndexDefinition) -> Index | None:
        """The automatic index that answers what is needed: one that is up to date before others, then the smallest."""
        found = [each for each in self.automatic() if _serves(each, need)]
        if len(found) < 2:
            return found[0] if found else None
        return min(found, key=lambda each: (each.is_stale(), len(each.definition.fields)))

    async def for_need(self, need: AutoIndexDefinition) -> Index:
        """The automatic index for a query, made when there is none; it may still be building."""
        for _ in range(limits.INDEX_NEED_TRIES_MAX):
            found = self.covering(need)
            if found is not None:
                return found
            existing = [each.definition for each in self.automatic()]
            definition = to_build(need, [each for each in existing if isinstance(each, AutoIndexDefinition)])
            make_feeder(definition, self._database)  # raises when there can be no such index
            fields = {"database": self._database.name, "definition": definition.to_json()}
            await self._definitions.change_indexes("index.put_auto", fields)
            await self.reconcile()
            made = self.get(definition.name)
            if made is not None:
                return made
            # One that another query needed has taken its place already.
        raise IndexDoesNotExist(f"There is no index with '{definition.name}' name.")

    def sorters(self) -> Mapping[str, str]:
        """The code of the registered sorters that queries may order by, by name."""
        return self._definitions.registered("Sorters", self._database.name)

    # ------------------------------------------------------------ changing definitions

    async def put(self, given: Mapping[str, Any], *, scripts_only: bool = False, source: str = "client") -> int:
        """Deploy a definition as a client sends it; returns the raft index. The same one again changes nothing.

        Raises: InvalidArgument and CompilationError for what is wrong with it; OperationFailed when it is locked.
        """
        definition = IndexDefinition.from_json(given).with_analyzers(self._analyzers())
        if scripts_only and not definition.type.startswith("JavaScript"):
            raise InvalidArgument(f"Index '{definition.name}' is not written in JavaScript: it takes an administrator")
        feeder = await asyncio.get_running_loop().run_in_executor(None, make_feeder, definition, self._database)
        if definition.output_collection is not None:
            self._check_output(definition, feeder)
        fields = {
            "database": self._database.name,
            "definition": definition.to_json(),
            "source": source,
            "created_at": wire_time(self._clock.now()),
        }
        raft_index, _ = await self._definitions.change_indexes("index.put", fields)
        await self.reconcile()
        return raft_index

    def _check_output(self, definition: IndexDefinition, feeder: Feeder) -> None:
        """Refuse results that would come back to the index, or that would be mixed with other documents."""
        name, collection = definition.name.lower(), definition.output_collection or ""
        reads: dict[str, frozenset[str] | None] = {
            key: _reads(each.feeder) for key, each in self._indexes.items() if each.feeder is not None
        }
        reads[name] = _reads(feeder)
        outputs = {
            key: each.definition.output_collection.lower()
            for key, each in self._indexes.items()
            if isinstance(each.definition, IndexDefinition) and each.definition.output_collection is not None
        }
        check_output(definition, reads, outputs)
        if collection.lower() not in outputs.values():
            check_no_others(self._database, collection)

    def has_changed(self, given: Mapping[str, Any]) -> bool:
        """Whether putting this definition would change anything."""
        definition = IndexDefinition.from_json(given).with_analyzers(self._analyzers())
        stored = self._wanted().get(definition.name.lower())
        return not isinstance(stored, IndexDefinition) or definition.differs_from(stored)

    async def delete(self, name: str) -> bool:
        """Delete an index; whether there was one. Deleting one that is being built leaves the one it was to replace."""
        replacement = self.get(name)
        if replacement is not None and replacement.is_replacement:
            async with self._turn:
                await self._drop_replacement(replacement.definition.name.lower())
            return True
        _, found = await self._definitions.change_indexes(
            "index.delete", {"database": self._database.name, "name": name}
        )
        await self.reconcile()
        return bool(found)

    async def set_lock(self, names: list[str], mode: object) -> int:
        return await self._set(names, "LockMode", _choice(mode, LOCK_MODES, "Mode"))

    async def set_priority(self, names: list[str], priority: object) -> int:
        return await self._set(names, "Priority", _choice(priority, PRIORITIES, "Priority"))

    async def set_disabled(self, name: str, disabled: bool) -> int:
        return await self._set([name], "State", "Disabled" if disabled else "Normal")

    async def _set(self, names: list[str], property_name: str, value: str) -> int:
        fields = {"database": self._database.name, "names": names, "property": property_name, "value": value}
        raft_index, _ = await self._definitions.change_indexes("index.set", fields)
        await self.reconcile()
        return raft_index

    # ------------------------------------------------------------ this node alone

    def pause(self, index: Index) -> None:
        """Let it index nothing until it is resumed, or the server starts anew."""
        index.is_paused = True
        index.move()

    def resume(self, index: Index) -> None:
        index.is_paused = False
        index.wake()
        index.move()

    async def reset(self, name: str) -> None:
        """Build an index anew. What it has is gone at once. Raises: IndexDoesNotExist."""
        async with self._turn:
            index = self.find(name)
            if index.is_replacement:
                return
            key = index.definition.name.lower()
            await self._drop_replacement(key)
            fresh = await self._make(self._wanted().get(key, index.definition))
            self._exchange(key, fresh)

    # ------------------------------------------------------------ waiting

    async def wait_for_save(
        self, etag: int, collections: Collection[str] | None, names: Collection[str], timeout_s: float
    ) -> None:
        """Wait until what was saved up to an etag is in the indexes that it concerns, or in the named ones.

        collections: lower case; None: all. Raises: TimeoutExpired, naming those that are still stale.
        """
        if names:
            waited = [self.find(each) for each in names]
        else:
            waited = [each for each in self._indexes.values() if each.may_run and each.concerns(collections)]
        outcomes = await asyncio.gather(*(each.wait_non_stale(etag, timeout_s) for each in waited))
        late = [each.name for each, outcome in zip(waited, outcomes, strict=True) if not outcome]
        if late:
            raise TimeoutExpired(
                f"After waiting for {timeout_s:g} s, could not verify that all indexes has caught up with the changes "
                f"as of etag {etag}. Total indexes waited for: {len(waited)}, still stale: {', '.join(late)}"
            )

    # ------------------------------------------------------------ opening and closing

    async def open(self) -> None:
        """Open what the record asks for and is there, make the rest, and begin to index."""
        async with self._turn:
            found = await _in_thread(functools.partial(self._open_folders, self._wanted()))
            await self._reconcile(found)
        self._database.listen(self._committed)
        self._housekeeper.start(f"housekeeping of indexes of {self._database.name}", self._housekeeping())

    async def close(self) -> None:
        """Stop all work and close the files. What is not indexed yet is so after the next start."""
        self._closed = True
        self._closing.set()
        if self._look is not None:
            self._look.cancel()
        self._database.unlisten(self._committed)
        await self._housekeeper.cancel()
        for index in list(self._doomed):
            index.end_reading()
        await self._tasks.finish()
        async with self._turn:
            await asyncio.gather(*(worker.stop() for worker in self._workers.values()))
            self._workers.clear()
            for index in self.all():
                index.move()
                index.end_reading()
                await self._close(index)
            self._indexes.clear()
            self._replacements.clear()

    def _open_folders(self, wanted: Mapping[str, Definition]) -> list[Found]:
        """Every environment that a wanted index can use, or why it cannot be opened. Blocks."""
        self._folders.sweep()
        found: list[Found] = []
        for path in self._folders.entries():
            try:
                store, owner = self._folders.open(path)
            except (EngineError, OSError) as error:
                definition = next((each for each in wanted.values() if _is_folder_of(path, each)), None)
                is_aside = isinstance(error, CorruptError) or definition is None
                if is_aside:
                    self._folders.put_aside(path, error)
                if definition is not None:
                    owner = Owner(self._database.id, definition.name, content_of(definition), "")
                    # What was put aside is not the index's any more: its path may be given to the next one.
                    found.append((owner, f"{type(error).__name__}: {path}/{error}", None if is_aside else path))
                continue
            if owner.database_id != self._database.id or owner.name.lower() not in wanted:
                store.close()
                self._folders.remove(path)
                continue
            found.append((owner, store, path))
        return found

    # ------------------------------------------------------------ from the record to indexes

    def _wanted(self) -> dict[str, Definition]:
        """The definitions of the record by lower-case name."""
        static, automatic = self._definitions.index_tables(self._database.name)
        return definitions_of(static, automatic, self._analyzers())

    def _analyzers(self) -> Mapping[str, str]:
        return self._definitions.registered("Analyzers", self._database.name)

    async def reconcile(self) -> None:
        """Bring what there is into line with the record."""
        async with self._turn:
            if not self._closed:
                await self._reconcile([])

    async def _reconcile(self, found: list[Found]) -> None:
        wanted = self._wanted()
        for key, definition in wanted.items():
            if key not in self._indexes:
                await self._begin(key, definition, [each for each in found if each[0].name.lower() == key])
            elif _same_content(self._indexes[key].definition, definition):
                await self._drop_replacement(key)
                self._update(self._indexes[key], definition)
            else:
                await self._replace(key, definition)
        for key in [each for each in self._indexes if each not in wanted]:
            await self._drop_replacement(key)
            self._exchange(key, None, self._covering_successor(self._indexes[key], wanted))

    async def _begin(self, key: str, definition: Definition, found: list[Found]) -> None:
        """Open or make an index that is not open yet; found: environments of its name."""
        content = content_of(definition)
        # The newest first: an earlier one of the same content was on its way out.
        found = sorted(found, key=lambda each: each[0].created, reverse=True)
        own = next((each for each in found if each[0].definition == content), None)
        old = next((each for each in found if each[0].definition != content and not isinstance(each[1], str)), None)
        for each in found:
            if each is not own and each is not old and not isinstance(each[1], str):
                await _in_thread(each[1].close)
                await _in_thread(functools.partial(self._folders.remove, each[2]))
        fresh = await self._make(definition) if own is None else await self._open(definition, own)
        if old is None:
            self._add(key, fresh)
            return
        before = await self._open(_definition_of(old[0]), old)
        self._add(key, before)
        self._add_replacement(key, fresh)

    async def _open(self, definition: Definition, found: Found) -> Index:
        owner, store, path = found
        if isinstance(store, str):
            index = Index(definition, self._database, self._clock, owner.created, path=path, broken=store)
            index.is_damaged = path is None
            return index
        opened: Index = await _in_thread(functools.partial(self._assemble, definition, store, path, owner.created))
        return opened

    async def _make(self, definition: Definition) -> Index:
        index: Index = await _in_thread(functools.partial(self._make_blocking, definition))
        return index

    def _make_blocking(self, definition: Definition) -> Index:
        created = wire_time(self._clock.now())
        try:
            store, path = self._folders.make(definition.name, content_of(definition), created)
        except (EngineError, OSError) as error:
            return Index(definition, self._database, self._clock, created, broken=f"{type(error).__name__}: {error}")
        return self._assemble(definition, store, path, created)

    def _assemble(self, definition: Definition, store: IndexStore, path: Path | None, created: str) -> Index:
        """An index over its open environment. Blocks."""
        references = None
        try:
            feeder = make_feeder(definition, self._database)
            if feeder.loaded_collections:
                references = References(self._folders.make_beside(path, REFERENCES))
                feeder.references = references
            return Index(
                definition, self._database, self._clock, created, store=store, path=path, feeder=feeder,
                references=references,
            )  # fmt: skip
        except (PynoriError, EngineError, OSError) as error:
            if references is not None:
                references.close()
            store.close()
            return Index(definition, self._database, self._clock, created, path=path, broken=str(error))

    def _add(self, key: str, index: Index) -> None:
        self._indexes[key] = index
        self._start(index)

    def _add_replacement(self, key: str, index: Index) -> None:
        index.is_replacement = True
        self._replacements[key] = index
        self._start(index)

    def _start(self, index: Index) -> None:
        index.settings = self._settings_of(index.definition)
        self._hold(index)
        worker = Worker(index, self._database, self._threads, self._clock, self._moved, self._start_reopening)
        self._workers[index] = worker
        worker.start()
        self._moved(index)

    def _update(self, index: Index, definition: Definition) -> None:
        """Take over what changes in place. The analyzers that it was built with stay."""
        before = index.definition
        if isinstance(before, IndexDefinition) and isinstance(definition, IndexDefinition):
            definition = definition.with_analyzers(before.analyzers)
        index.definition = definition
        index.settings = self._settings_of(definition)
        index.is_rolled = False
        index.wake()
        index.move()
        self._moved(index)

    def _settings_of(self, definition: Definition) -> WorkSettings:
        own = definition.configuration if isinstance(definition, IndexDefinition) else {}
        return work_settings(own, self._definitions.settings(self._database.name))

    async def _replace(self, key: str, definition: Definition) -> None:
        """The definition has changed: build beside, or in place of one that answers nothing anyway."""
        replacement = self._replacements.get(key)
        if replacement is not None and _same_content(replacement.definition, definition):
            self._update(replacement, definition)
            return
        await self._drop_replacement(key)
        current = self._indexes[key]
        fresh = await self._make(definition)
        if current.store is None or current.progress.failure is not None or not current.progress.map_attempts:
            self._exchange(key, fresh)
        else:
            self._add_replacement(key, fresh)

    async def _drop_replacement(self, key: str) -> None:
        replacement = self._replacements.pop(key, None)
        if replacement is not None:
            replacement.retire(self._indexes.get(key))
            self._dispose(replacement)

    def _covering_successor(self, index: Index, wanted: Collection[str]) -> Index | None:
        """Where readers of an automatic index go on that was deleted because another one answers all that it did."""
        others = (each for each in self.automatic() if each is not index and each.definition.name.lower() in wanted)
        return next((each for each in others if _covers(each, index) and not each.is_stale()), None)

    def _exchange(self, key: str, fresh: Index | None, successor: Index | None = None) -> None:
        """Put another index in the place of one, in one step; the old one goes when its last reader has.

        successor: where its readers go on when nothing takes its place.
        """
        old = self._indexes.pop(key)
        if fresh is not None:
            fresh.is_replacement = False
            self._indexes[key] = fresh
            if fresh not in self._workers:
                self._start(fresh)
            fresh.last_query, fresh.queried_ms = old.last_query, old.queried_ms
        old.retire(fresh or successor)
        self._dispose(old)

    # ------------------------------------------------------------ following the database

    def _committed(self) -> None:
        """After a wake-up of the loop: look a moment later, once for many commits."""
        if self._look is None and self._workers:
            self._look = asyncio.get_running_loop().call_later(limits.INDEX_WAKE_MS / 1_000, self._wake)

    def _wake(self) -> None:
        self._look = None
        try:
            etag = self._database.last_etag
        except PynoriError:
            return  # it is being closed
        if etag == self._seen_etag:
            return
        self._seen_etag = etag
        for index, worker in self._workers.items():
            if worker.is_idle and index.has_work():
                worker.wake()

    def _moved(self, index: Index) -> None:
        """After a batch: who has caught up takes the place of the index it replaces, or of those it covers."""
        if self._closed:
            return
        try:
            self._follow(index)
        except DatabaseClosed:
            return  # whoever closes it closes this next

    def _follow(self, index: Index) -> None:
        self._hold(index)
        self._committed()  # it may have written documents of its own
        key = index.definition.name.lower()
        if index.is_auto and index.is_damaged and self._rebuilds[key] < limits.INDEX_REBUILDS_MAX:
            self._rebuilds[key] += 1
            self._tasks.start(f"building index {index.name} anew", self._rebuild(index, self._rebuilds[key]))
            return
        has_failed = index.broken is not None or index.progress.failure is not None
        # One that has failed takes the place too: that is what was asked for, and it says why.
        if self._replacements.get(key) is index and (has_failed or not index.is_stale()):
            del self._replacements[key]
            self._exchange(key, index)
        if self._rolls(index) and self._indexes.get(key) is index and not index.is_stale():
            index.is_rolled = True
            self._tasks.start(f"deployment of {index.name}", self._roll(index.definition.name))
        elif index.is_auto and self._indexes.get(key) is index and not index.is_stale():
            covered = [each for each in self.automatic() if each is not index and _covers(index, each)]
            if covered:
                self._tasks.start(f"replacing what {index.name} covers", self._replace_covered(index, covered))

    @staticmethod
    def _rolls(index: Index) -> bool:
        definition = index.definition
        return (
            isinstance(definition, IndexDefinition) and definition.deployment_mode == "Rolling" and not index.is_rolled
        )

    async def _roll(self, name: str) -> None:
        """Tell the cluster that a rolling deployment is done on this node."""
        fields = {
            "database": self._database.name,
            "name": name,
            "node": self._database.options.node_tag,
            "finished_at": wire_time(self._clock.now()),
        }
        await self._definitions.change_indexes("index.rolled", fields)

    async def _replace_covered(self, index: Index, covered: list[Index]) -> None:
        for each in covered:
            fields = {"database": self._database.name, "name": each.name}
            await self._definitions.change_indexes("index.delete", fields)
        async with self._turn:
            for each in covered:
                key = each.definition.name.lower()
                if self._indexes.get(key) is each and key not in self._wanted():
                    del self._indexes[key]
                    each.retire(index)
                    self._dispose(each)
                    log.info("indexes", f"index {each.name} was replaced by {index.name}", db=self._database.name)

    def _hold(self, index: Index) -> None:
        """Keep the tombstones that the index has not read."""
        if index.store is not None:
            self._database.tombstones.hold(_holder(index), index.tombstones_needed_from)

    async def _housekeeping(self) -> None:
        """Again and again: let tombstones go, find automatic indexes that nobody asks any more."""
        while True:
            await asyncio.sleep(limits.INDEX_HOUSEKEEPING_MS / 1_000)
            now_ms = self._clock.monotonic_ms()
            for index in self.all():
                self._hold(index)
                index.is_idle = index.is_auto and now_ms - index.queried_ms > index.settings.idle_ms
                kept_ms = index.settings.idle_ms + index.settings.idle_kept_ms
                if index.is_auto and now_ms - index.queried_ms > kept_ms:
                    log.info("indexes", f"index {index.name} goes: nobody has asked it", db=self._database.name)
                    await self.delete(index.name)

    # ------------------------------------------------------------ after a failed write

    def _start_reopening(self, index: Index) -> None:
        if index.path is not None:
            self._tasks.start(f"opening index {index.name} again", self._reopen(index, index.path))

    async def _reopen(self, index: Index, path: Path) -> None:
        """Nobody knows what the disk has of the last write, so the files are opened anew once it takes writes again.

        Until then the index answers with what it has.
        """
        while not await _in_thread(functools.partial(self._folders.takes_writes, path)) or not await self._renew(
            index, path
        ):
            try:
                async with asyncio.timeout(limits.INDEX_RETRY_MS / 1_000):
                    await self._closing.wait()
                return
            except TimeoutError:
                continue

    async def _renew(self, index: Index, path: Path) -> bool:
        """Open the files of an index anew; False: not yet."""
        async with self._turn:
            key = index.definition.name.lower()
            owners = [each for each in (self._indexes, self._replacements) if each.get(key) is index]
            if self._closed or not owners:
                return True
            index.broken = "its files are being opened again after a write that failed"
            worker = self._workers.pop(index, None)
            if worker is not None:
                await worker.stop()
                await self._close(index)
            found = await _in_thread(functools.partial(self._open_again, path))
            if found is None:
                return False
            fresh = await self._open(index.definition, (Owner(self._database.id, "", {}, index.created), found, path))
            fresh.is_replacement, fresh.is_paused = index.is_replacement, index.is_paused
            fresh.last_query, fresh.queried_ms = index.last_query, index.queried_ms
            owners[0][key] = fresh
            self._start(fresh)
            index.retire(fresh)
            return True

    def _open_again(self, path: Path) -> IndexStore | str | None:
        """The environment, or why it cannot be opened any more; None: later perhaps. Blocks."""
        try:
            return self._folders.open(path)[0]
        except CorruptError as error:
            return f"{type(error).__name__}: {path}/{error}"
        except (EngineError, OSError) as error:
            log.error("indexes", f"the index in {path} does not open: {error}", db=self._database.name)
            return None

    # ------------------------------------------------------------ after damage

    async def _rebuild(self, index: Index, attempt: int) -> None:
        """Build an automatic index anew whose files are damaged: nobody but the database knows that it is there."""
        async with self._turn:
            key = index.definition.name.lower()
            if self._closed or self._indexes.get(key) is not index:
                return
            why = f"its files were damaged, it is built anew ({attempt} of at most {limits.INDEX_REBUILDS_MAX} times)"
            log.error("indexes", f"index {index.name}: {why}", db=self._database.name)
            fresh = await self._make(index.definition)
            if fresh.store is not None:
                told = f"{why}: {index.broken}"[: limits.INDEX_ERROR_SIZE_MAX]
                fresh.errors = [IndexingError(wire_time(self._clock.now()), "", "Rebuild", told)]
                await _in_thread(functools.partial(_note_errors, fresh.store, fresh.errors))
            self._exchange(key, fresh)

    # ------------------------------------------------------------ the end of an index

    def _dispose(self, index: Index) -> None:
        worker = self._workers.pop(index, None)
        self._doomed.add(index)
        self._tasks.start(f"removing index {index.name}", self._remove(index, worker))

    async def _remove(self, index: Index, worker: Worker | None) -> None:
        if worker is not None:
            await worker.stop()
        self._database.tombstones.release(_holder(index))
        await self._close(index)
        if index.is_damaged and index.path is not None and index.path.exists():
            # For who wants to know what happened.
            await _in_thread(functools.partial(self._folders.put_aside, index.path, index.broken))
        await _in_thread(functools.partial(self._folders.remove, index.path))
        self._doomed.discard(index)

    async def _close(self, index: Index) -> None:
        for store in (index.store, index.references):
            while store is not None:
                try:
                    await _in_thread(store.close)
                    break
                except Busy:
                    # A query reads it; it goes on with the successor the next time.
                    await asyncio.sleep(limits.INDEX_CLOSE_LOOK_MS / 1_000)
                except PynoriError as error:
                    # It can be built anew; what it belongs to must be closed all the same.
                    log.error("indexes", f"closing index {index.name} failed: {error}", db=self._database.name)
                    break


def _note_errors(store: IndexStore, errors: list[IndexingError]) -> None:
    with store.write() as writer:
        write_errors(writer, errors)


def _reads(feeder: Feeder) -> frozenset[str] | None:
    """The collections that it reads or loads from, in lower case; None: it may be any."""
    if feeder.collections is None or None in feeder.loaded_collections:
        return None
    loaded = {each for each in feeder.loaded_collections if each is not None}
    return frozenset({each.lower() for each in feeder.collections} | loaded)


def _serves(index: Index, need: AutoIndexDefinition) -> bool:
    definition = index.definition
    if not isinstance(definition, AutoIndexDefinition) or not definition.covers(need):
        return False
    return index.store is not None and index.state in ("Normal", "Idle") and index.broken is None


def _covers(index: Index, other: Index) -> bool:
    mine, theirs = index.definition, other.definition
    return isinstance(mine, AutoIndexDefinition) and isinstance(theirs, AutoIndexDefinition) and mine.covers(theirs)


def _same_content(first: Definition, second: Definition) -> bool:
    if isinstance(first, IndexDefinition):
        return isinstance(second, IndexDefinition) and first.same_content(second)
    return isinstance(second, AutoIndexDefinition) and first.same_content(second)


def _definition_of(owner: Owner) -> Definition:
    """The definition that an environment was made from."""
    if owner.definition["Type"].startswith("Auto"):
        return AutoIndexDefinition.from_json(owner.definition)
    return IndexDefinition.from_json(owner.definition, owner.name)


def _is_folder_of(path: Path, definition: Definition) -> bool:
    return path.name.startswith(folder_name(definition.name, content_of(definition)) + ".")


def _holder(index: Index) -> str:
    return f"index {index.definition.name} {index.created}"


def _choice(value: object, allowed: tuple[str, ...], what: str) -> str:
    try:
        return choice(value, allowed, "", what)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None


async def _in_thread(call: Any) -> Any:
    try:
        return await asyncio.get_running_loop().run_in_executor(None, call)
    except Busy:
        raise
    except EngineError as error:
        raise from_engine(error) from error


"""Commands that need Python become simple commands, outside the writer.

A request is a list of commands of which at least one is a patch. To prepare it, its commands are gone through in order
over a view: the database as it is now, below what the request's earlier commands change. Patches run their scripts and
become puts and deletes. What a patch has read, its own document or a loaded one, must be the same when the request is
written: a put or delete of it states the change vector it was read with, and what is not written gets a check of its
own. When the writer finds another vector, nothing of the request is written and it is prepared again. So a request is
as if it had run in the writer.

Requests that wait while others are being written are prepared together, each over what the ones before it change, and
written as one batch. A request that reads or changes what is on its way to be written waits for that. So any number of
patches of one document pass one commit, and never run into one another. When such a group fails, its requests go one by
one, and each gets its own answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pynori_core.command import Batch, CommandResult
from pynori_core.errors import EngineError
from pynori_core.identifier import key_of
from pynori_core.items import StoredDocument

from pynori.documents.patch import (
    CREATED,
    DOCUMENT_DOES_NOT_EXIST,
    EMPTY_DOCUMENT,
    NOT_MODIFIED,
    PATCHED,
    SKIPPED,
    CheckCommand,
    DeleteCommand,
    PatchCommand,
    PatchResult,
    PatchScript,
    PutCommand,
    is_modified,
)
from pynori.errors import (
    BadRequest,
    ConcurrencyError,
    Conflict,
    DatabaseClosed,
    InvalidArgument,
    OperationFailed,
    Overloaded,
    PynoriError,
    from_engine,
)
from pynori.js.bridge import Outcome, document_input
from pynori.js.scripts import Scripts
from pynori.limits import (
    PREPARE_GROUP_COMMANDS_MAX,
    PREPARE_GROUP_MS,
    PREPARE_GROUP_SIZE_BYTES_MAX,
    PREPARE_REQUESTS_WAITING_MAX,
    PREPARE_TRIES_MAX,
    PREPARE_TURN_MS,
)
from pynori.runtime.clock import Clock

Command = PutCommand | DeleteCommand | PatchCommand
Results = list[CommandResult | PatchResult]
SIMPLE_COMMAND_SIZE_BYTES = 100  # counted for a command beside its document


class PreparedDatabase(Protocol):
    """What preparing needs of its database."""

    name: str

    def get(self, id: str) -> StoredDocument | None: ...
    def head(self, id: str) -> StoredDocument | None: ...
    def submit(self, batch: Batch) -> asyncio.Future[list[CommandResult]]: ...


@dataclass(slots=True)
class Found:
    """A document as a view shows it."""

    json: bytes
    change_vector: str | None  # None: it was changed by what is being prepared, and has none yet
    last_modified: str
    collection: str
    id: str


class View:
    """The database below changes that are prepared and not written yet."""

    __slots__ = ("_below", "_changed", "_database", "rested_on", "saw_unwritten")

    def __init__(self, database: PreparedDatabase, below: View | None = None) -> None:
        self._database = database
        self._below = below
        self._changed: dict[bytes, Found | None] = {}  # by the key of the id; None: deleted
        # By key: id and change vector ("": none) of what was read from the database.
        self.rested_on: dict[bytes, tuple[str, str]] = {}
        self.saw_unwritten = False  # something came from what other requests change

    def find(self, id: str) -> Found | None:
        """The document, whoever has it; the request rests on it from now on."""
        found_by = key(id)
        view: View | None = self
        while view is not None:
            if found_by in view._changed:
                self.saw_unwritten |= view is not self
                return view._changed[found_by]
            view = view._below
        stored = self._database.get(id)
        if can_be_stored(id):
            self.rested_on.setdefault(found_by, (id, "" if stored is None else stored.change_vector))
        if stored is None:
            return None
        return Found(stored.json, stored.change_vector, stored.last_modified, stored.collection, stored.id)

    def load(self, id: str) -> bytes | None:
        """Of a script's load."""
        try:
            found = self.find(id)
        except (EngineError, PynoriError):
            return None  # no id can be like this
        return None if found is None else found.json

    def expected(self, id: str) -> str | None:
        """What the next write of this document has to find: the vector it rests on, if nothing here wrote it yet."""
        rested = self.rested_on.get(key(id))
        return None if rested is None or self._is_changed(key(id)) else rested[1]

    def change(self, id: str, body: bytes | None) -> None:
        """The document is this from now on; None: it is deleted."""
        found = None if body is None else Found(body, None, "", "", id)
        self._changed[key(id)] = found

    def checks(self) -> list[CheckCommand]:
        """Of what was read and is not written: that it is still the same."""
        return [
            CheckCommand(id, vector)
            for found_by, (id, vector) in self.rested_on.items()
            if found_by not in self._changed
        ]

    def meets(self, other: View) -> bool:
        """Whether what this view changes was read or changed by the other one."""
        changed = self._changed.keys()
        return not (changed.isdisjoint(other.rested_on) and changed.isdisjoint(other._changed))

    def merge(self, above: View) -> None:
        """Take over what a view above this one changes."""
        self._changed.update(above._changed)

    def _is_changed(self, found_by: bytes) -> bool:
        return found_by in self._changed or (self._below is not None and self._below._is_changed(found_by))


@dataclass(slots=True)
class Request:
    """Commands of one transaction and who waits for them."""

    commands: Sequence[Command]
    future: asyncio.Future[Results]
    simple: list[PutCommand | DeleteCommand | CheckCommand] = field(default_factory=list)
    # Of each command its result, as far as it is known: an int is the position of a simple command whose result it is.
    results: list[PatchResult | int] = field(default_factory=list)
    written: list[tuple[PatchResult, int]] = field(default_factory=list)  # patches whose document is written, by which
    rested_on: dict[bytes, tuple[str, str]] = field(default_factory=dict)

    def clear(self) -> None:
        self.simple, self.results, self.written, self.rested_on = [], [], [], {}

    def size_bytes(self) -> int:
        bodies = sum(len(command.body) for command in self.simple if isinstance(command, PutCommand))
        return bodies + len(self.simple) * SIMPLE_COMMAND_SIZE_BYTES

    def settle(self, results: Sequence[CommandResult]) -> None:
        """The simple commands are written: tell who waits."""
        for patch, position in self.written:
            patch.complete(results[position])
        if not self.future.done():
            self.future.set_result([results[one] if isinstance(one, int) else one for one in self.results])

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Preparer:
    """Takes the requests of one database; belongs to its event loop."""

    def __init__(self, database: PreparedDatabase, scripts: Scripts, clock: Clock) -> None:
        self._database = database
        self._scripts = scripts
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Request] = deque()
        self._running: asyncio.Task[None] | None = None
        self._closed = False
        self._on_its_way: View | None = None  # what the group that is being written changes
        # Since the database was opened: requests that were prepared again because a document had moved, and scripts
        # that ran in a child.
        self.repeated = 0
        self.long = 0

    def submit(self, commands: Sequence[Command]) -> asyncio.Future[Results]:
        """Prepare and write the commands, all or nothing; their results in order."""
        if self._closed:
            raise DatabaseClosed(f"the database '{self._database.name}' is closed")
        if len(self._waiting) >= PREPARE_REQUESTS_WAITING_MAX:
            raise Overloaded(f"more patches wait than PREPARE_REQUESTS_WAITING_MAX ({PREPARE_REQUESTS_WAITING_MAX})")
        request = Request(commands, self._loop.create_future())
        self._waiting.append(request)
        if self._running is None:
            self._running = self._loop.create_task(self._run(), name=f"patches of {self._database.name}")
        return request.future

    async def close(self) -> None:
        """Finish what is waiting; more is refused."""
        self._closed = True
        while self._running is not None:
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        """Prepare one group while the one before it is being written."""
        writing: asyncio.Task[None] | None = None
        try:
            while self._waiting:
                view = View(self._database)
                group, batch = await self._prepare_group(view)
                if writing is not None:
                    await writing
                    writing, self._on_its_way = None, None
                if group:
                    self._on_its_way = view
                    writing = self._loop.create_task(self._write_group(group, batch))
                await asyncio.sleep(0)  # a group that writes nothing has waited for nothing
                if writing is not None and not self._waiting:
                    await writing
                    writing, self._on_its_way = None, None
        finally:
            if writing is not None:
                await asyncio.wait([writing])
            self._running, self._on_its_way = None, None

    # ---- groups

    async def _write_group(self, group: list[Request], batch: Batch) -> None:
        try:
            results = await self._database.submit(batch) if len(batch) else []
        except PynoriError as error:
            if len(group) == 1 and not isinstance(error, ConcurrencyError):
                group[0].fail(error)
            elif isinstance(error, Conflict | BadRequest | OperationFailed):  # surely nothing was written
                for request in group:
                    await self._run_alone(request, error if len(group) == 1 else None)
            else:
                for request in group:
                    request.fail(error)
            return
        except BaseException as error:
            for request in group:
                request.fail(error)
            raise
        position = 0
        for request in group:
            request.settle(results[position : position + len(request.simple)])
            position += len(request.simple)

    async def _prepare_group(self, view: View) -> tuple[list[Request], Batch]:
        """Take waiting requests, prepare them one over the other, and put their simple commands into one batch.

        It ends before a request that has to do with what is on its way to be written.
        """
        group: list[Request] = []
        batch = Batch()
        size_bytes = 0
        began_ms = turn_ms = self._clock.monotonic_ms()
        while self._waiting:
            now_ms = self._clock.monotonic_ms()
            if group and now_ms > began_ms + PREPARE_GROUP_MS:
                break
            if now_ms > turn_ms + PREPARE_TURN_MS:
                await asyncio.sleep(0)
                turn_ms = self._clock.monotonic_ms()
            request = self._waiting[0]
            if group and len(batch) + len(request.commands) > PREPARE_GROUP_COMMANDS_MAX:
                break
            self._waiting.popleft()
            if request.future.done():  # nobody waits any more
                continue
            above = View(self._database, view)
            try:
                await self._prepare(request, above)
                append(batch, request)
            except BaseException as error:
                depends = above.saw_unwritten or self._is_on_its_way(above)
                if depends and isinstance(error, Exception):
                    # It may have failed over what will never be: it comes first when that is decided.
                    request.clear()
                    self._waiting.appendleft(request)
                else:
                    request.fail(error)
                if len(batch) != sum(len(one.simple) for one in group):
                    batch = Batch()
                    for one in group:
                        append(batch, one)
                if not isinstance(error, Exception):
                    raise
                if depends:
                    break
                continue
            if self._is_on_its_way(above):
                batch = Batch()
                for one in group:
                    append(batch, one)
                request.clear()
                self._waiting.appendleft(request)
                break
            view.merge(above)
            group.append(request)
            size_bytes += request.size_bytes()
            if size_bytes > PREPARE_GROUP_SIZE_BYTES_MAX:
                break
        return group, batch

    def _is_on_its_way(self, view: View) -> bool:
        """Whether a view has read or changed what the group before is about to write."""
        return self._on_its_way is not None and self._on_its_way.meets(view)

    async def _run_alone(self, request: Request, refusal: PynoriError | None) -> None:
        """Prepare and write one request until it succeeds, or fails for a reason of its own.

        refusal: why it was refused just now, if it was.
        """
        try:
            for _ in range(PREPARE_TRIES_MAX):
                if refusal is not None:
                    if not isinstance(refusal, ConcurrencyError) or not self._has_moved(request):
                        raise refusal
                    self.repeated += 1
                request.clear()
                await self._prepare(request, View(self._database))
                batch = Batch()
                append(batch, request)
                try:
                    request.settle(await self._database.submit(batch) if len(batch) else [])
                    return
                except PynoriError as error:
                    refusal = error
            raise ConcurrencyError(
                f"a document of the patch was changed by somebody else PREPARE_TRIES_MAX ({PREPARE_TRIES_MAX}) times "
                "while it was being patched"
            )
        except BaseException as error:
            request.fail(error)
            if not isinstance(error, Exception):
                raise

    def _has_moved(self, request: Request) -> bool:
        """Whether a document that the request rests on is another one by now."""
        for id, change_vector in request.rested_on.values():
            found = self._database.head(id)
            if ("" if found is None else found.change_vector) != change_vector:
                return True
        return False

    # ---- one request

    async def _prepare(self, request: Request, view: View) -> None:
        """Turn its commands into simple ones. Raises PynoriError."""
        turn_ms = self._clock.monotonic_ms() + PREPARE_TURN_MS
        try:
            for command in request.commands:
                if self._clock.monotonic_ms() > turn_ms:
                    await asyncio.sleep(0)
                    turn_ms = self._clock.monotonic_ms() + PREPARE_TURN_MS
                if isinstance(command, PatchCommand):
                    request.results.append(await self._prepare_patch(request, view, command))
                else:
                    request.results.append(write(request, view, command))
            if request.simple:
                request.simple += view.checks()
        except EngineError as error:
            raise from_engine(error) from error
        finally:
            request.rested_on = view.rested_on

    async def _prepare_patch(self, request: Request, view: View, command: PatchCommand) -> PatchResult:
        found = view.find(command.id)
        if command.expected_change_vector is not None:
            actual = "" if found is None else found.change_vector
            if actual != command.expected_change_vector:
                if command.skip_on_mismatch:
                    return PatchResult(command.id, SKIPPED)
                raise mismatch(command.id, command.expected_change_vector, actual)
        if found is None and command.create is not None:
            return written(request, view, command, PatchResult(command.id, CREATED, document=command.create))
        script = command.if_missing if found is None else command.patch
        if script is None:
            return PatchResult(command.id, DOCUMENT_DOES_NOT_EXIST)
        before = EMPTY_DOCUMENT if found is None else found.json
        result = PatchResult(command.id if found is None else found.id, CREATED if found is None else PATCHED)
        result.original = None if found is None else before
        if isinstance(script, PatchScript):
            outcome = await self._call(script, before, command.id, view)
            result.document = bytes(outcome.document)
            result.output = outcome.output
            result.writes = outcome.writes
            result.loads = [id for id, _ in outcome.references]
        else:
            result.document = script.apply(before)
        if found is not None and not is_modified(before, result.document):
            result.status = NOT_MODIFIED
            result.change_vector = found.change_vector or ""
            result.last_modified, result.collection = found.last_modified, found.collection
        if command.is_test:
            return result
        own_key = key(command.id)
        for one in result.writes:
            self_written = bool(one.id) and key(one.id) == own_key
            if one.kind == "put":
                write(request, view, PutCommand(one.id, bytes(one.body), one.expected_change_vector))
            else:
                write(request, view, DeleteCommand(one.id, one.expected_change_vector))
                if self_written:  # it is gone, whatever the script did to it besides
                    result.document = None
        if result.document is None or result.status == NOT_MODIFIED:
            return result
        return written(request, view, command, result)

    async def _call(self, script: PatchScript, document: bytes, id: str, view: View) -> Outcome:
        """Run the script; what takes long, in a child process. Raises JavaScriptError."""
        program = script.program(self._database.name)
        input = document_input(document, id, script.arguments, paths=script.paths)
        outcome = self._scripts.call_short(program, input, view.load)
        if outcome is not None:
            return outcome
        self.long += 1
        call_long = self._scripts.call_long
        (long,) = await self._loop.run_in_executor(None, call_long, program, [input], view.load)
        if isinstance(long, PynoriError):
            raise long
        return long


def key(id: str) -> bytes:
    """By which the database finds an id. Raises InvalidArgument."""
    try:
        return key_of(id)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None


def can_be_stored(id: str) -> bool:
    """Whether a document can have this very id; otherwise the server makes one of it."""
    return bool(id) and id[-1] not in "/|"


def write(request: Request, view: View, command: PutCommand | DeleteCommand) -> int:
    """Add a simple command; returns its position. It rests on what was read of its document."""
    expected = command.expected_change_vector
    id = command.id
    is_named = can_be_stored(id)
    if is_named and expected is None:
        expected = view.expected(id)
    if isinstance(command, PutCommand):
        request.simple.append(PutCommand(id, command.body, expected))
        body: bytes | None = command.body
    else:
        request.simple.append(DeleteCommand(id, expected))
        body = None
    if is_named:
        view.change(id, body)
    return len(request.simple) - 1


def written(request: Request, view: View, command: PatchCommand, result: PatchResult) -> PatchResult:
    """The patched document is to be written."""
    assert result.document is not None
    if command.is_test:
        return result
    position = write(request, view, PutCommand(command.id, result.document))
    request.written.append((result, position))
    return result


def append(batch: Batch, request: Request) -> None:
    """Put the simple commands of a request into a batch. Raises PynoriError; some may be in it then."""
    try:
        for command in request.simple:
            if isinstance(command, PutCommand):
                batch.put(command.id, command.body, command.expected_change_vector)
            elif isinstance(command, CheckCommand):
                batch.check(command.id, command.change_vector)
            else:
                batch.delete(command.id, command.expected_change_vector)
    except EngineError as error:
        raise from_engine(error) from error


def mismatch(id: str, expected: str, actual: str | None) -> ConcurrencyError:
    """The words of a patch whose expected change vector is not the current one."""
    if not actual:
        there = "does not exist" if actual == "" else "was changed by the same batch"
    else:
        there = f"has change vector {actual}"
    called = f"change vector {expected}" if expected else "expecting new document"
    return ConcurrencyError(
        f"Document {id} {there}, but Patch was called with {called}. "
        "Optimistic concurrency violation, transaction will be aborted."
    )

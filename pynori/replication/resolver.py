"""Resolves the conflicts of one database by its rules: as they come, and all that there are when the rules change.

A resolution states the versions that it is made of. When others are there by then it is refused, and the conflict is
looked at again with what is there now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from pynori import limits
from pynori.errors import Conflict, JavaScriptError, PynoriError
from pynori.js.bridge import Input, Outcome, load_nothing
from pynori.js.engine import Program
from pynori.js.scripts import Scripts
from pynori.replication.conflicts import ConflictRules, ordered, script_of, winner
from pynori.runtime import log

if TYPE_CHECKING:
    from pynori.documents.database import Database, Version

_TOMBSTONE = b"true"  # what a script gives that wants the document deleted


class Resolver:
    """Of one database. Belongs to one event loop."""

    def __init__(self, database: Database, scripts: Scripts, rules: ConflictRules) -> None:
        self.rules = rules
        self.resolved = 0
        self.failures: dict[str, str] = {}  # by collection: why its script failed last
        self._database = database
        self._scripts = scripts
        self._waiting: dict[str, None] = {}  # ids, in the order in which they came
        self._looks_at_all = not rules.is_empty
        self._wake = asyncio.Event()
        self._wake.set()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"conflicts of {database.name}")

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    def found(self, ids: Sequence[str]) -> None:
        """These documents are in conflict now."""
        if self.rules.is_empty:
            return
        if len(self._waiting) + len(ids) > limits.CONFLICTS_WAITING_MAX:
            self._looks_at_all = True
        else:
            self._waiting.update(dict.fromkeys(ids))
        self._wake.set()

    def follow(self, rules: ConflictRules) -> None:
        """The rules are these from now on, also for conflicts that are there already."""
        if rules != self.rules:
            self.rules = rules
            self.failures.clear()
            self._looks_at_all = not rules.is_empty
            self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._work()
            except PynoriError as error:
                # The database closes or its disk is full. What was not done is found again.
                log.warn("replication", f"conflicts are not resolved now: {error}", db=self._database.name)
                self._looks_at_all = True
                await asyncio.sleep(limits.REPLICATION_RETRY_MS_MAX / 1_000)
                self._wake.set()

    async def _work(self) -> None:
        while self._looks_at_all or self._waiting:
            if self._looks_at_all:
                self._looks_at_all = False
                self._waiting.clear()
                after = ""
                while ids := self._database.conflicted(after, limits.CONFLICTS_STEP):
                    for id in ids:
                        await self._resolve(id)
                    after = ids[-1]
            else:
                id = next(iter(self._waiting))
                del self._waiting[id]
                await self._resolve(id)

    async def _resolve(self, id: str) -> None:
        for _ in range(limits.RESOLVE_TRIES_MAX):
            versions = ordered(self._database.conflicts(id))
            if len(versions) < 2:
                return
            outcome = await self._merged(versions)
            if outcome is None:
                return
            try:
                await self._database.resolve(id, outcome.body, [version.change_vector for version in versions])
            except Conflict:
                continue  # another version has come, or somebody has resolved it
            self.resolved += 1
            return

    async def _merged(self, versions: Sequence[Version]) -> Merged | None:
        script = script_of(self.rules, versions)
        if script is not None:
            try:
                merged = await self._run_script(script[1], versions)
            except JavaScriptError as error:
                self._fail(script[0], str(error))
                merged = None
            if merged is not None:
                return merged
        won = winner(self.rules, versions)
        return None if won is None else Merged(won.json)

    async def _run_script(self, script: str, versions: Sequence[Version]) -> Merged | None:
        program = Program("resolve", (script,), realm=self._database.id)
        documents = b",".join(version.json for version in versions if version.json is not None)
        has_tombstone = any(version.json is None for version in versions)
        fields = {"docs": b"[%b]" % documents, "has_tombstone": b"true" if has_tombstone else b"false"}
        outcome = self._scripts.call_short(program, Input(fields), load_nothing)
        if outcome is None:
            (found,) = await asyncio.get_running_loop().run_in_executor(
                None, self._scripts.call_long, program, [Input(fields)], load_nothing
            )
            if isinstance(found, JavaScriptError):
                raise found
            outcome = found
        return merged_by(outcome)

    def _fail(self, collection: str, reason: str) -> None:
        if self.failures.get(collection) != reason:
            log.error("replication", f"the script that merges conflicts of {collection} failed: {reason}",
                      db=self._database.name)  # fmt: skip
        self.failures[collection] = reason


class Merged(msgspec.Struct, frozen=True):
    """What a conflict becomes."""

    body: bytes | None  # JSON; None: the document is deleted


def merged_by(outcome: Outcome) -> Merged | None:
    """What a script gave; None when it leaves the conflict to the rules behind it."""
    value = bytes(outcome.value)
    if value == _TOMBSTONE:
        return Merged(None)
    if value in (b"", b"null"):
        return None
    if not value.startswith(b"{"):
        raise JavaScriptError("a script that merges versions must return a document, resolveToTombstone or nothing")
    return Merged(value)

"""Programs of JavaScript in contexts of quickjs-ng: text in, text out, within limits of time, memory and stack.

A Program is what is compiled: a kind of `prelude.js`, the texts of its sources, and names. A context holds one program
and is kept for the next call of the same program; it is used by one caller at a time. A context whose call ran into a
limit is thrown away. Nothing of Python is reachable from inside: `prelude.js` lists all that is.

A call holds the GIL from its beginning to its end, and its time is the processor time of the whole process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Protocol

import msgspec
import quickjs  # type: ignore[import-untyped]

from pynori.errors import JavaScriptError
from pynori.js.null_safe import NullSafe, null_safe
from pynori.limits import (
    SCRIPT_CONTEXTS_MAX,
    SCRIPT_MEMORY_SIZE_BYTES_MAX,
    SCRIPT_SIZE_BYTES_MAX,
    SCRIPT_STACK_SIZE_BYTES_MAX,
    SCRIPT_TIME_MS_MAX,
)

PRELUDE = files("pynori.js").joinpath("prelude.js").read_text("utf-8")
DEFINE_TIME_MS = 1_000  # to compile the prelude and a program

NAMING_KINDS = ("patch", "project")  # their names become parameters; those of other kinds are sources

RUN = "run"
RUN_EXACT = "run_exact"  # numbers that JavaScript would change keep their text; slower


@dataclass(frozen=True, slots=True)
class Program:
    """What is compiled. Kinds and the meaning of sources and names: `kinds` in prelude.js.

    realm: whose it is. The same texts of another realm are another program: they never share a context, in which one
    call could leave something for the next.
    """

    kind: str
    sources: tuple[str, ...]
    names: tuple[str, ...] = ()
    realm: str = ""

    def check(self) -> None:
        """Raise JavaScriptError when it is too large, no text at all, or a name is none."""
        size = 0
        for source in (*self.sources, *self.names):
            try:
                size += len(source.encode())
            except UnicodeEncodeError:
                raise JavaScriptError("a script is not valid Unicode text") from None
            if "\0" in source:
                raise JavaScriptError("a script holds a NUL character")
        if self.kind in NAMING_KINDS and not all(name.replace("$", "_").isidentifier() for name in self.names):
            raise JavaScriptError("a name that a script is to use is no identifier")
        if size > SCRIPT_SIZE_BYTES_MAX:
            raise JavaScriptError(f"a script is larger than SCRIPT_SIZE_BYTES_MAX ({SCRIPT_SIZE_BYTES_MAX})")


@dataclass(frozen=True, slots=True)
class ScriptLimits:
    """What one call may use."""

    time_ms: int = SCRIPT_TIME_MS_MAX
    memory_size_bytes: int = SCRIPT_MEMORY_SIZE_BYTES_MAX
    stack_size_bytes: int = SCRIPT_STACK_SIZE_BYTES_MAX


class ScriptTooSlow(JavaScriptError):
    """The script used up its time. Whoever has more of it may run it again: a call changes nothing by itself."""

    code = "script_too_slow"


class Call(msgspec.Struct, array_like=True):
    """One call of a program: the operation, and the text that goes in."""

    operation: str
    text: str


class Runner(Protocol):
    """Runs programs: in this process (ScriptEngine) or in a child (ScriptWorkers)."""

    def define(self, program: Program) -> Any:
        """Compile; returns what the program says of itself. Raises JavaScriptError."""

    def run(self, program: Program, calls: Sequence[Call]) -> list[bytes | JavaScriptError]:
        """The text that each call gives, or how it failed. Raises JavaScriptError when the program does not compile."""


class ErrorAnswer(msgspec.Struct):
    """What the prelude says of a script that failed."""

    error: str
    line: int
    column: int
    text: int  # position among sources and names; -1: not known


decode_error = msgspec.json.Decoder(ErrorAnswer).decode
ERROR_BEGIN = '{"error":'


class Script:
    """One context with one program."""

    __slots__ = ("_context", "_host", "_texts", "described", "spoilt")

    def __init__(self, program: Program, limits: ScriptLimits) -> None:
        program.check()
        self.spoilt = False  # a limit was reached: not to be used again
        # Sources as they are compiled, then names, which for an index are sources too.
        sources = [null_safe(source) for source in program.sources]
        names = [null_safe(name) for name in program.names]
        plain = [NullSafe(text) for text in (*program.sources, *program.names)]
        try:
            self._start(program.kind, [*sources, *names], len(sources), limits)
        except JavaScriptError:
            if [*sources, *names] == plain:
                raise
            # What is wrong is told of the text as it was given, unless only the change was wrong.
            self._start(program.kind, plain, len(sources), limits)

    def _start(self, kind: str, texts: Sequence[NullSafe], sources: int, limits: ScriptLimits) -> None:
        self._texts = texts
        self._context = quickjs.Context()
        self._context.set_max_stack_size(limits.stack_size_bytes)
        self._context.set_memory_limit(limits.memory_size_bytes)
        self._host = self._context.eval(PRELUDE)
        self._context.set_time_limit(DEFINE_TIME_MS / 1_000)
        form = {
            "kind": kind,
            "sources": [one.text for one in texts[:sources]],
            "names": [one.text for one in texts[sources:]],
        }
        answer = self.call("define", msgspec.json.encode(form).decode())
        self.described = msgspec.json.decode(answer)["described"]
        self._context.set_time_limit(limits.time_ms / 1_000)

    def call(self, operation: str, text: str) -> str:
        """One operation of the prelude. Raises JavaScriptError."""
        try:
            answer: str = self._host(operation, text)
        except quickjs.JSException as error:
            self.spoilt = True
            raise limit_error(str(error)) from None
        if answer.startswith(ERROR_BEGIN):
            raise self._failure(answer)
        return answer

    def _failure(self, answer: str) -> JavaScriptError:
        found = decode_error(answer)
        if found.error.startswith("InternalError: out of memory"):
            self.spoilt = True
            return limit_error(found.error)
        column = found.column
        if found.text >= 0:
            column = self._texts[found.text].original_column(found.line, column)
        return JavaScriptError(found.error, found.line, column)


def limit_error(message: str) -> JavaScriptError:
    """The error of a script that was stopped from outside."""
    if "interrupted" in message:
        return ScriptTooSlow("the script took longer than it may, and was stopped")
    if "out of memory" in message:
        return JavaScriptError("the script needs more memory than SCRIPT_MEMORY_SIZE_BYTES_MAX")
    return JavaScriptError(message.partition("\n")[0])


class ScriptEngine:
    """Runs programs in this process and keeps their contexts, the least recently used going first."""

    def __init__(self, limits: ScriptLimits | None = None, contexts_max: int = SCRIPT_CONTEXTS_MAX) -> None:
        self.limits = limits or ScriptLimits()
        self._contexts_max = contexts_max
        # Taken out while in use, so that no two threads meet in a context; each step is one operation of a dictionary.
        self._idle: OrderedDict[Program, Script] = OrderedDict()

    def define(self, program: Program) -> Any:
        """Compile; returns what the program says of itself. Raises JavaScriptError."""
        script = self._take(program)
        self._give_back(program, script)
        return script.described

    def run(self, program: Program, calls: Sequence[Call]) -> list[bytes | JavaScriptError]:
        """The text that each call gives, or how it failed. Raises JavaScriptError when the program does not compile."""
        script = self._take(program)
        answers: list[bytes | JavaScriptError] = []
        for call in calls:
            try:
                answers.append(script.call(call.operation, call.text).encode())
            except JavaScriptError as error:
                answers.append(error)
                if script.spoilt:
                    script = Script(program, self.limits)
        self._give_back(program, script)
        return answers

    def _take(self, program: Program) -> Script:
        script = self._idle.pop(program, None)
        return Script(program, self.limits) if script is None else script

    def _give_back(self, program: Program, script: Script) -> None:
        self._idle[program] = script
        if len(self._idle) > self._contexts_max:
            self._idle.popitem(last=False)

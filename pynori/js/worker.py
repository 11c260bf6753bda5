"""Programs run by child processes, for scripts that run long: a call holds the GIL, and with it the server.

A child keeps no state but compiled programs. It reads a frame with a program and its calls, and answers in frames
with the outcomes of the next calls, one at least every few milliseconds. A child that says nothing for longer than a
call may take is killed; what it had not answered is repeated call by call, so that one bad call costs nobody else's
answer.

Frames: four bytes of size, little-endian, then msgpack. Run as a program, this file is the child.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO, Any

import msgspec

from pynori.errors import JavaScriptError
from pynori.js.engine import Call, Program, ScriptEngine, ScriptLimits, ScriptTooSlow
from pynori.limits import (
    SCRIPT_WORKER_BATCH_CALLS,
    SCRIPT_WORKER_FRAME_SIZE_BYTES_MAX,
    SCRIPT_WORKER_WAIT_MS,
    SCRIPT_WORKERS_MAX,
)
from pynori.runtime.clock import SystemClock

FLUSH_MS = 5  # answers wait no longer for company


class Order(msgspec.Struct, array_like=True):
    """A frame to the child: no calls, compile only."""

    kind: str
    sources: tuple[str, ...]
    names: tuple[str, ...]
    realm: str
    calls: list[Call]


class Answer(msgspec.Struct, array_like=True):
    """The outcome of one call."""

    text: bytes | None
    error: str = ""
    line: int = 0
    column: int = 0
    slow: bool = False

    @classmethod
    def of(cls, outcome: bytes | JavaScriptError) -> Answer:
        if isinstance(outcome, bytes):
            return cls(outcome)
        return cls(None, str(outcome), outcome.line, outcome.column, isinstance(outcome, ScriptTooSlow))

    def outcome(self) -> bytes | JavaScriptError:
        if self.text is not None:
            return self.text
        error = (ScriptTooSlow if self.slow else JavaScriptError)(self.error)
        error.line, error.column = self.line, self.column
        return error


class Answers(msgspec.Struct, array_like=True):
    """A frame to the parent. `failure`: the program does not compile."""

    answers: list[Answer]
    described: Any = None
    failure: Answer | None = None


clock = SystemClock()
encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_answers = msgspec.msgpack.Decoder(Answers).decode


# ---- the parent


class WorkerDied(Exception):
    """The child ended or was killed."""


class Worker:
    """One child."""

    def __init__(self, limits: ScriptLimits) -> None:
        words = [limits.time_ms, limits.memory_size_bytes, limits.stack_size_bytes]
        # The child finds the packages where this process has them, however that was arranged.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pynori.js.worker", *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0,
        )  # fmt: skip
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.output, selectors.EVENT_READ)

    @property
    def output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def order(self, program: Program, calls: Sequence[Call], answers: list[Answer]) -> Any:
        """Send the calls and append their answers. Raises WorkerDied, JavaScriptError when it does not compile."""
        try:
            assert self._process.stdin is not None
            order = Order(program.kind, program.sources, program.names, program.realm, list(calls))
            write_all(self._process.stdin, encode(order))
            wanted = len(answers) + len(calls)
            while True:
                said = decode_answers(self._read_frame())
                if said.failure is not None:
                    error = said.failure.outcome()
                    assert isinstance(error, JavaScriptError)
                    raise error
                answers.extend(said.answers)
                if len(answers) >= wanted:
                    return said.described
        except (OSError, EOFError) as error:
            self.kill()
            raise WorkerDied from error

    def _read_frame(self) -> bytes:
        deadline_ms = clock.monotonic_ms() + SCRIPT_WORKER_WAIT_MS
        size = int.from_bytes(self._read(4, deadline_ms), "little")
        if size > SCRIPT_WORKER_FRAME_SIZE_BYTES_MAX:
            raise EOFError
        return self._read(size, deadline_ms)

    def _read(self, size: int, deadline_ms: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            if not self._selector.select(max(0.0, deadline_ms - clock.monotonic_ms()) / 1_000):
                raise EOFError
            piece = self.output.read(size - len(parts))
            if not piece:
                raise EOFError
            parts += piece
        return bytes(parts)

    def kill(self) -> None:
        """End it, whatever it is doing."""
        self._selector.close()
        self._process.kill()
        self._process.wait()
        self.output.close()
        if self._process.stdin is not None:
            self._process.stdin.close()


class ScriptWorkers:
    """Children that run programs; callers are threads, which wait when all are busy."""

    def __init__(self, limits: ScriptLimits | None = None, count_max: int = SCRIPT_WORKERS_MAX) -> None:
        self.limits = limits or ScriptLimits()
        self._free = threading.Semaphore(count_max)
        self._idle: list[Worker] = []

    def define(self, program: Program) -> Any:
        """Compile; returns what the program says of itself. Raises JavaScriptError."""
        program.check()
        with self._free:
            try:
                return self._order(self._take(), program, [], [])
            except WorkerDied:
                pass  # perhaps it had been dead before; a new one decides
            try:
                return self._order(Worker(self.limits), program, [], [])
            except WorkerDied:
                raise JavaScriptError("the script worker ended while it compiled the script") from None

    def run(self, program: Program, calls: Sequence[Call]) -> list[bytes | JavaScriptError]:
        """The text that each call gives, or how it failed. Raises JavaScriptError when the program does not compile."""
        program.check()
        answers: list[Answer] = []
        alone = False  # one call at a time, since a child died among several
        with self._free:
            while len(answers) < len(calls):
                count = 1 if alone else SCRIPT_WORKER_BATCH_CALLS
                part = calls[len(answers) : len(answers) + count]
                try:
                    self._order(self._take(), program, part, answers)
                except WorkerDied:
                    if len(part) == 1:
                        answers.append(Answer(None, "the script did not end in its time; its process was killed"))
                    alone = True
        return [answer.outcome() for answer in answers]

    def _take(self) -> Worker:
        return self._idle.pop() if self._idle else Worker(self.limits)

    def _order(self, worker: Worker, program: Program, calls: Sequence[Call], answers: list[Answer]) -> Any:
        try:
            described = worker.order(program, calls, answers)
        except JavaScriptError:
            self._idle.append(worker)
            raise
        self._idle.append(worker)
        return described

    def close(self) -> None:
        """End the children that are idle; those at work end with their call."""
        while self._idle:
            self._idle.pop().kill()


# ---- the child


def write_all(target: IO[bytes], frame: bytes) -> None:
    """Write a frame with its size in front."""
    if len(frame) > SCRIPT_WORKER_FRAME_SIZE_BYTES_MAX:
        raise JavaScriptError("the documents of a script are larger than SCRIPT_WORKER_FRAME_SIZE_BYTES_MAX")
    view = memoryview(len(frame).to_bytes(4, "little") + frame)
    while view:
        view = view[target.write(view) :]


def serve(source: IO[bytes], target: IO[bytes], engine: ScriptEngine) -> None:
    """Answer orders until the parent has gone."""
    while size := source.read(4):
        order = decode_order(source.read(int.from_bytes(size, "little")))
        program = Program(order.kind, order.sources, order.names, order.realm)
        try:
            described = engine.define(program)
        except JavaScriptError as error:
            write_all(target, encode(Answers([], None, Answer.of(error))))
            continue
        flushed_ms = clock.monotonic_ms()
        answers: list[Answer] = []
        for call in order.calls:
            answers += map(Answer.of, engine.run(program, (call,)))
            if clock.monotonic_ms() - flushed_ms > FLUSH_MS:
                write_all(target, encode(Answers(answers)))
                answers = []
                flushed_ms = clock.monotonic_ms()
        if answers or not order.calls:
            write_all(target, encode(Answers(answers, described)))


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    limits = ScriptLimits(*map(int, sys.argv[1:4]))
    with os.fdopen(0, "rb") as source, os.fdopen(1, "wb", buffering=0) as target, contextlib.suppress(BrokenPipeError):
        serve(source, target, ScriptEngine(limits))  # ends when the parent has gone, at a read or at a write


if __name__ == "__main__":
    main()

"""Scripts in child processes: the same answers, and an end for those that do not end."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from pynori.errors import JavaScriptError
from pynori.js import worker as worker_module
from pynori.js.engine import Call, Program, ScriptEngine, ScriptLimits, ScriptTooSlow
from pynori.js.worker import ScriptWorkers


@pytest.fixture
def workers() -> Iterator[ScriptWorkers]:
    made = ScriptWorkers(ScriptLimits(time_ms=300))
    yield made
    made.close()


def call(n: int) -> Call:
    return Call("run", json.dumps({"self": {"n": n}, "id": None, "args": {}, "beside": []}))


def test_the_same_answers(workers: ScriptWorkers) -> None:
    """A child answers what the engine in this process answers, errors and their places included."""
    program = Program("patch", ("if (this.n % 7 == 3)\n  throw new Error('no ' + this.n); this.n++;",))
    calls = [call(n) for n in range(3_000)]
    ours = ScriptEngine().run(program, calls)
    theirs = workers.run(program, calls)
    assert [str(answer) for answer in theirs] == [str(answer) for answer in ours]
    assert isinstance(theirs[3], JavaScriptError) and theirs[3].line == 2
    described = workers.define(Program("map", ("map('Users', u => u)",)))
    assert described == [{"source": "Documents", "collections": ["Users"], "name": None}]


def test_what_does_not_compile(workers: ScriptWorkers) -> None:
    """A program that does not compile is said so, and the child goes on."""
    for _ in range(2):
        with pytest.raises(JavaScriptError, match=r"line 1, column 3") as failed:
            workers.run(Program("patch", ("a b",)), [call(1)])
        assert failed.value.line == 1
    assert workers.run(Program("patch", ("this.n = 2",)), [call(1)]) == [b'{"document":{"n":2}}']


def test_a_loop_ends_and_costs_no_other_call(workers: ScriptWorkers) -> None:
    """An endless call ends by its own limit; those before and after it have their answers."""
    program = Program("patch", ("while (this.n == 1) {}",))
    first, second, third = workers.run(program, [call(0), call(1), call(2)])
    assert (first, third) == (b'{"document":{"n":0}}', b'{"document":{"n":2}}')
    assert isinstance(second, ScriptTooSlow)


def test_a_child_that_says_nothing_is_killed(workers: ScriptWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that its own limit does not stop is killed by the clock on the wall, the others' calls are repeated."""
    endless = ScriptWorkers(ScriptLimits(time_ms=60_000))
    program = Program("patch", ("while (this.n == 1) {}",))
    endless.define(program)
    monkeypatch.setattr(worker_module, "SCRIPT_WORKER_WAIT_MS", 4_000)  # a new child has to start within it
    first, second, third = endless.run(program, [call(0), call(1), call(2)])
    endless.close()
    assert first == b'{"document":{"n":0}}'
    assert isinstance(second, JavaScriptError) and "killed" in second.message
    assert third == b'{"document":{"n":2}}'


def test_a_child_that_was_killed_is_replaced(workers: ScriptWorkers) -> None:
    """When a child is killed from outside while idle, the next call gets a new one."""
    program = Program("patch", ("this.n++",))
    assert workers.run(program, [call(1)]) == [b'{"document":{"n":2}}']
    os.kill(workers._idle[0]._process.pid, signal.SIGKILL)
    answers = workers.run(program, [call(1), call(5)])
    assert answers == [b'{"document":{"n":2}}', b'{"document":{"n":6}}']


def test_several_threads(workers: ScriptWorkers) -> None:
    """Threads share the children, each with its own answers."""
    failures: list[object] = []

    def ask(n: int) -> None:
        program = Program("patch", (f"this.n += {n}",))
        for k in range(20):
            answers = workers.run(program, [call(k)])
            if answers != [f'{{"document":{{"n":{k + n}}}}}'.encode()]:
                failures.append(answers)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(workers._idle) <= 2

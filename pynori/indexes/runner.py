"""Runs the scripts of indexes: a few calls in this process, many or slow ones in a child.

A call in this process holds up everything else, so batches belong into a child; but a child takes its time to start and
to be asked, and most databases of tests and small services have a handful of documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pynori.errors import JavaScriptError
from pynori.js.engine import Call, Program, ScriptTooSlow
from pynori.js.scripts import Scripts
from pynori.limits import INDEX_SCRIPT_SHORT_CALLS_MAX


class IndexRunner:
    """A runner of programs over what the server has for both."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._is_slow = False

    def define(self, program: Program) -> Any:
        """Compile; returns what the program says of itself. Raises JavaScriptError."""
        return self._scripts.engine.define(program)

    def run(self, program: Program, calls: Sequence[Call]) -> list[bytes | JavaScriptError]:
        """The text that each call gives, or how it failed."""
        if self._is_slow or len(calls) > INDEX_SCRIPT_SHORT_CALLS_MAX:
            return self._scripts.workers.run(program, calls)
        answers = self._scripts.engine.run(program, calls)
        slow = [position for position, answer in enumerate(answers) if isinstance(answer, ScriptTooSlow)]
        if slow:
            self._is_slow = True
            again = self._scripts.workers.run(program, [calls[position] for position in slow])
            for position, answer in zip(slow, again, strict=True):
                answers[position] = answer
        return answers

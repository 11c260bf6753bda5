"""Scripts of one process: short calls where they are asked for, long ones in child processes.

A call in the server's process holds up everything else, so it gets little time there; one that uses it up is repeated
in a child with all the time there is. A program that was slow once goes to a child at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from pynori.errors import JavaScriptError
from pynori.js.bridge import Input, Load, Outcome, call_all
from pynori.js.engine import Program, ScriptEngine, ScriptLimits, ScriptTooSlow
from pynori.js.worker import ScriptWorkers
from pynori.limits import SCRIPT_CONTEXTS_MAX, SCRIPT_SERVER_TIME_MS_MAX


class Scripts:
    """The engine of this process and its children."""

    def __init__(self, server_time_ms: int = SCRIPT_SERVER_TIME_MS_MAX, limits: ScriptLimits | None = None) -> None:
        self.engine = ScriptEngine(ScriptLimits(time_ms=server_time_ms))
        self.workers = ScriptWorkers(limits)
        self._slow: OrderedDict[Program, None] = OrderedDict()

    def call_short(self, program: Program, input: Input, load: Load) -> Outcome | None:
        """One call in this process; None when it takes too long for that. Raises JavaScriptError."""
        if program in self._slow:
            return None
        (outcome,) = call_all(self.engine, program, [input], load)
        if isinstance(outcome, ScriptTooSlow):
            self._slow[program] = None
            if len(self._slow) > SCRIPT_CONTEXTS_MAX:
                self._slow.popitem(last=False)
            return None
        if isinstance(outcome, JavaScriptError):
            raise outcome
        return outcome

    def call_long(self, program: Program, inputs: Sequence[Input], load: Load) -> list[Outcome | JavaScriptError]:
        """Calls in a child; blocks, so it belongs in a thread. Raises JavaScriptError: it does not compile."""
        return call_all(self.workers, program, inputs, load)

    def close(self) -> None:
        """End the children."""
        self.workers.close()

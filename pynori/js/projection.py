"""Projections of a query: an expression in JavaScript over each of its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pynori.errors import JavaScriptError
from pynori.js.bridge import Load, call_all, document_input
from pynori.js.engine import Program, Runner


@dataclass(frozen=True, slots=True)
class ProjectionRow:
    """One result: its document's JSON, its id, and the documents of the further names (None: there is none)."""

    document: bytes
    id: str | None
    loaded: Sequence[bytes | None] = ()


class Projection:
    """An expression with the functions it may call. Raises JavaScriptError when they do not compile.

    source: any expression, so `{a: 1}` is an object. functions: declarations. names: of the row's document, which is
    `this` besides, then of the loaded ones. parameters: a JSON object; `$x` in the sources is its x.
    """

    def __init__(
        self, runner: Runner, source: str, functions: Sequence[str] = (), names: Sequence[str] = (),
        parameters: bytes = b"{}", realm: str = "",
    ) -> None:  # fmt: skip
        self._runner = runner
        self._program = Program("project", (source, *functions), tuple(names), realm)
        self._parameters = parameters
        runner.define(self._program)

    def run(self, rows: Sequence[ProjectionRow], load: Load) -> list[bytes | JavaScriptError]:
        """The JSON of the expression's value for each row, an object or not; undefined becomes null."""
        inputs = [document_input(row.document, row.id, self._parameters, row.loaded) for row in rows]
        return [
            outcome if isinstance(outcome, JavaScriptError) else bytes(outcome.value)
            for outcome in call_all(self._runner, self._program, inputs, load)
        ]

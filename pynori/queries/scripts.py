"""JavaScript within queries: object literals, calls of declared functions, regular expressions.

An expression runs over a batch of rows in one call of the script engine. The query's alias, the aliases of `load` and
the functions that the query declares are names in it; parameters are `$name`. What it loads comes from the snapshot
that the whole query sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pynori.errors import JavaScriptError, SorterDoesNotExist
from pynori.js.bridge import Input, call_all, document_input
from pynori.js.engine import Program, ScriptTooSlow
from pynori.js.scripts import Scripts
from pynori.queries.text import encode
from pynori.rql.ast import FunctionDeclaration, Query

if TYPE_CHECKING:
    from pynori_core.document_snapshot import DocumentSnapshot

    from pynori.queries.rows import Row

UNNAMED = "__document"  # the name of the document where the query gives it none
FINDER = Program(
    "project", ("(pattern => args.texts.map(text => pattern.test(text)))(new RegExp(args.pattern))",), (UNNAMED,)
)


def sorter_program(code: str) -> Program:
    """What puts positions into the order of a sorter, a function that compares two values."""
    text = (
        "(compare => { const given = args.values;"
        " return given.map((_, position) => position).sort((x, y) => compare(given[x], given[y])); })(\n"
        f"{code}\n)"
    )
    return Program("project", (text,), (UNNAMED,))


class QueryScripts:
    """The scripts of one query over one snapshot."""

    def __init__(
        self, query: Query, parameters: Mapping[str, Any], documents: DocumentSnapshot, scripts: Scripts,
        sorters: Mapping[str, str],
    ) -> None:  # fmt: skip
        """sorters: the code of the registered ones by name."""
        self._declared = tuple(each.script for each in query.declarations if isinstance(each, FunctionDeclaration))
        self._names = (query.source.alias or UNNAMED, *(load.alias for load in query.loads))
        self._parameters = parameters
        self._documents = documents
        self._process = scripts
        self.included: dict[tuple[str, str], None] = {}  # (kind, id or key) that scripts want with the results
        self._sorters = sorters

    def runner(self, text: str) -> Expression:
        """An expression to run over rows."""
        program = Program("project", (text, *self._declared), self._names)
        return Expression(program, encode(self._parameters), self)

    def find(self, pattern: str, texts: Sequence[str]) -> Sequence[bool]:
        """In which of the texts the regular expression is found. Raises JavaScriptError."""
        arguments = encode({"pattern": pattern, "texts": texts})
        (outcome,) = self._call(FINDER, [document_input(b"{}", None, arguments)])
        found: list[bool] = msgspec.json.decode(outcome)
        return found

    def sort(self, name: str, values: list[Any]) -> list[int]:
        """The positions of values in the order of a registered sorter. Raises SorterDoesNotExist, JavaScriptError."""
        code = next((code for known, code in self._sorters.items() if known.lower() == name.lower()), None)
        if code is None:
            raise SorterDoesNotExist(f"There is no sorter with '{name}' name")
        (outcome,) = self._call(sorter_program(code), [document_input(b"{}", None, encode({"values": values}))])
        found: list[int] = msgspec.json.decode(outcome)
        return found

    def load(self, id: str) -> bytes | None:
        found = self._documents.get(id)
        return None if found is None else found.json

    def run(self, program: Program, arguments: bytes, rows: Sequence[Row]) -> list[bytes]:
        """The JSON that the program gives for each row. Raises JavaScriptError."""
        inputs = [
            document_input(
                row.json or b"{}", row.id or None, arguments,
                [encode(row.loaded[name]) if row.loaded.get(name) is not None else None for name in self._names[1:]],
            )
            for row in rows
        ]  # fmt: skip
        return self._call(program, inputs)

    def _call(self, program: Program, inputs: Sequence[Input]) -> list[bytes]:
        """Calls in this process, where a call gets little time; all in a child once one of them was too slow."""
        outcomes = call_all(self._process.engine, program, inputs, self.load)
        if any(isinstance(each, ScriptTooSlow) for each in outcomes):
            outcomes = self._process.call_long(program, inputs, self.load)
        results = []
        for outcome in outcomes:
            if isinstance(outcome, JavaScriptError):
                raise outcome
            self.included.update(dict.fromkeys(outcome.includes))
            results.append(bytes(outcome.value) or b"null")
        return results


class Expression:
    """One expression, ready to run over rows."""

    __slots__ = ("_arguments", "_program", "_scripts")

    def __init__(self, program: Program, arguments: bytes, scripts: QueryScripts) -> None:
        self._program = program
        self._arguments = arguments
        self._scripts = scripts

    def run(self, rows: Sequence[Row]) -> list[bytes]:
        return self._scripts.run(self._program, self._arguments, rows) if rows else []

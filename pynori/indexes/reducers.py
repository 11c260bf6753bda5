"""The reduce of an index as functions over rows, whatever its language.

A row is what a map gave, or what a reduce gave before: a reduce takes its own results. `keys` says to which group each
row belongs; `reduce` makes one row of those of a group; `entry` says what is indexed of a group's row, and its JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from pynori_core.blittable import Document
from pynori_core.errors import EngineError
from pynori_core.reduce_program import ProgramReduce, ProgramRows

from pynori.errors import CompilationError, JavaScriptError, OperationFailed, PynoriError, from_engine
from pynori.indexes.definition import IndexDefinition
from pynori.indexes.maps import LinqMaps, Maps
from pynori.js.engine import Runner
from pynori.js.index_scripts import JavaScriptReduce
from pynori.linq.lower import parse_reduce

if TYPE_CHECKING:
    from pynori_core.expr import Program

Jobs = Sequence[tuple[bytes, list[bytes]]]

encode: Callable[[Any], bytes] = msgspec.json.Encoder(order="sorted").encode


class Reducer(Protocol):
    """The reduce of one index. native: the same as `reduce` without the interpreter, or None."""

    declared_fields: frozenset[str] | None
    native: ProgramReduce | None
    row_fields: tuple[str, ...]  # of what a native reduce gives

    def keys(self, rows: Sequence[bytes]) -> list[bytes | PynoriError]: ...

    def rows(self, programs: Sequence[Program]) -> ProgramRows | None:
        """What gives the rows of these maps with their keys, as `keys` says them, without the interpreter."""
        ...

    def reduce(self, jobs: Jobs) -> list[bytes | BaseException]: ...

    def entry(self, row: bytes) -> tuple[dict[str, Any], bytes]: ...


class LinqReducer:
    """A reduce in C#; rows are blittable documents."""

    def __init__(self, definition: IndexDefinition, maps: Maps) -> None:
        assert definition.reduce is not None
        self._reduce = parse_reduce(definition.reduce)
        if isinstance(maps, LinqMaps):
            given, taken = set(maps.maps[0].fields), set(self._reduce.fields)
            if given != taken:
                raise CompilationError(
                    f"Map and Reduce functions of the index '{definition.name}' must return the same fields: the map "
                    f"gives {', '.join(sorted(given))}, the reduce {', '.join(sorted(taken))}",
                    "Reduce",
                    definition.reduce,
                )
        self.declared_fields: frozenset[str] | None = frozenset(self._reduce.fields) | definition.named_fields
        self.row_fields: tuple[str, ...] = self._reduce.fields
        self.native: ProgramReduce | None = ProgramReduce(self._reduce.partial, self._reduce.program)

    def rows(self, programs: Sequence[Program]) -> ProgramRows | None:
        return ProgramRows(programs, self._reduce.key_program, encode)

    def keys(self, rows: Sequence[bytes]) -> list[bytes | PynoriError]:
        made: list[bytes | PynoriError] = []
        for row in rows:
            try:
                made.append(encode(self._reduce.key_program.value(Document.from_bytes(row))))
            except EngineError as error:
                made.append(from_engine(error))
        return made

    def reduce(self, jobs: Jobs) -> list[bytes | BaseException]:
        raise AssertionError("a reduce in C# is native")

    def entry(self, row: bytes) -> tuple[dict[str, Any], bytes]:
        document = Document.from_bytes(row)
        return document.to_python(), document.to_json()


class ScriptReducer:
    """A reduce in JavaScript; rows are JSON."""

    declared_fields: frozenset[str] | None = None
    native: ProgramReduce | None = None
    row_fields: tuple[str, ...] = ()

    def __init__(self, definition: IndexDefinition, runner: Runner) -> None:
        assert definition.reduce is not None
        try:
            self._reduce = JavaScriptReduce(runner, definition.reduce, tuple(definition.additional_sources.values()))
        except JavaScriptError as error:
            raise CompilationError(str(error), "Reduce", definition.reduce) from None

    def rows(self, programs: Sequence[Program]) -> ProgramRows | None:
        return None

    def keys(self, rows: Sequence[bytes]) -> list[bytes | PynoriError]:
        found = self._reduce.keys(rows)
        return [key if isinstance(key, JavaScriptError) else key.encode() for key in found]

    def reduce(self, jobs: Jobs) -> list[bytes | BaseException]:
        nothing = OperationFailed("the reduce gave no object")
        return [nothing if each is None else each for each in self._reduce.reduce_batch([rows for _, rows in jobs])]

    def entry(self, row: bytes) -> tuple[dict[str, Any], bytes]:
        return msgspec.json.decode(row), row


def make_reducer(definition: IndexDefinition, maps: Maps, runner: Runner) -> Reducer:
    """Raises: CompilationError."""
    if definition.type.startswith("JavaScript"):
        return ScriptReducer(definition, runner)
    return LinqReducer(definition, maps)

"""Types of compiled expressions as the maps and the reduce of an index."""

from collections.abc import Callable, Sequence
from typing import Any, final

from pynori_core.expr import Program
from pynori_core.reduce_store import RowProgram, RowReduce

@final
class ProgramRows(RowProgram):
    """For ReduceStore.feed: rows of maps, as blittable documents, under the JSON of a key.

    `encode` writes the JSON of a value with names in order; it is called for keys that are not written natively.
    """

    def __init__(self, programs: Sequence[Program], key: Program, encode: Callable[[Any], bytes]) -> None: ...
    def take_errors(self) -> list[tuple[str, str, str]]:
        """(document, Map or Reduce, message) of documents that failed since the last call; they have no rows."""

@final
class ProgramReduce(RowReduce):
    """For ReduceStore.reduce: `partial` makes a row of a part of a group's rows, `whole` that of the group."""

    def __init__(self, partial: Program, whole: Program) -> None: ...

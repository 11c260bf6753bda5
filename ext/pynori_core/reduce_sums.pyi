"""Types of the map and the reduce of an automatic map-reduce index."""

from collections.abc import Sequence
from typing import final

from pynori_core.reduce_store import RowProgram, RowReduce

@final
class SumReduce(RowReduce):
    """Adds up natively. A row says how many documents it stands for, and for each field a sum or nothing."""

    fields: int
    def __init__(self, fields: int) -> None: ...
    def pack(self, count: int, sums: Sequence[int | float | None]) -> bytes: ...
    def unpack(self, row: bytes) -> tuple[int, list[int | float | None]]:
        """Sums of integers stay integers while they fit into 64 bits."""

@final
class GroupPaths(RowProgram):
    """The map of an auto map-reduce index: a document goes to the group of what lies at `keys`, and adds 1 and what
    lies at `sums`.

    The key of a group is the JSON array of its values as they stand in the document, null for what is missing. Paths
    through the items of an array (`lines[].product`) give a row for each item, in step with one another. `as_array`
    names keys whose whole array is one value.
    """

    def __init__(self, keys: Sequence[str], sums: Sequence[str], *, as_array: Sequence[str] = ()) -> None: ...
    @property
    def reduce(self) -> SumReduce: ...

"""A map-reduce index in LINQ as functions over rows: what its maps give, and how rows of one group become one.

A row is a blittable document with the fields of the maps; its key is text that is equal for equal keys. A reduced row
is a row again, so groups can be reduced in parts and in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from pynori_core.blittable import Document
from pynori_core.document_snapshot import DocumentSnapshot
from pynori_core.errors import ExpressionError

from pynori.errors import CompilationError
from pynori.linq.lower import MapDefinition, ReduceDefinition
from pynori.linq.values import COUNT_FIELD

Row = tuple[bytes, bytes]  # key, row


def check_shape(maps: Sequence[MapDefinition], reduce: ReduceDefinition | None) -> None:
    """All maps have the same fields, and the reduce has those too. Raises: CompilationError, naming the difference."""
    wanted = set(maps[0].fields)
    for number, fields in enumerate([map_.fields for map_ in maps[1:]], 2):
        if set(fields) != wanted:
            difference = ", ".join(sorted(set(fields) ^ wanted))
            raise CompilationError(f"Map functions need the same fields; the first and number {number} differ in "
                                   f"{difference}", "Maps")  # fmt: skip
    if reduce is not None and set(reduce.fields) != wanted:
        difference = ", ".join(sorted(set(reduce.fields) ^ wanted))
        raise CompilationError(f"Map and reduce need the same fields; they differ in {difference}", "Reduce")


class MapReduce:
    """The reduce of one index over rows of its maps. May be used by several threads."""

    def __init__(self, reduce: ReduceDefinition) -> None:
        self._reduce = reduce

    def rows(
        self, map_: MapDefinition, document: Document, id: str, last_modified: int, snapshot: DocumentSnapshot | None,
        references: list[tuple[str, str | None]] | None = None,
    ) -> list[Row]:  # fmt: skip
        """What one document gives. Raises: ExpressionError."""
        made = map_.program.documents(
            document, id=id, last_modified=last_modified, snapshot=snapshot, references=references
        )
        return [(self.key(row), row) for row in made]

    def key(self, row: bytes) -> bytes:
        """The key of a row as canonical JSON. Raises: ExpressionError."""
        value = self._reduce.key_program.value(Document.from_bytes(row))
        return msgspec.json.encode(_canonical(value), order="sorted")

    def reduce(self, jobs: list[tuple[bytes, list[bytes]]]) -> list[bytes | BaseException]:
        """For each key with its rows the row that they become, or why there is none."""
        return [self._reduced(rows) for _, rows in jobs]

    def _reduced(self, rows: list[bytes]) -> bytes | BaseException:
        try:
            made = self._reduce.partial.documents([Document.from_bytes(row) for row in rows])
        except ExpressionError as error:
            return error
        if len(made) != 1:
            return ExpressionError(f"the reduce makes {len(made)} entries of one group: does it keep the key's fields?")
        return made[0]

    def entry(self, row: bytes) -> dict[str, Any]:
        """The fields of a reduced row."""
        fields: dict[str, Any] = Document.from_bytes(row).to_python()
        fields.pop(COUNT_FIELD, None)
        return fields


def _canonical(value: Any) -> Any:
    """The same for values that group together: whole doubles as integers, objects by names."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 63:
        return int(value)
    if isinstance(value, dict):
        return {name: _canonical(item) for name, item in value.items()}
    return [_canonical(item) for item in value] if isinstance(value, list) else value

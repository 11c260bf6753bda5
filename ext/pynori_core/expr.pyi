"""Types of programs as Python sees them."""

from typing import Any, NamedTuple, final

from pynori_core.blittable import Document, Items
from pynori_core.document_snapshot import DocumentSnapshot

# name -> (number, what its operands are); name -> (number, fewest arguments, most); name -> number
OPERATIONS: dict[str, tuple[int, str]]
FUNCTIONS: dict[str, tuple[int, int, int]]
PROPERTIES: dict[str, int]

class Boosted(NamedTuple):
    """A value that counts more, or less, in rankings."""

    value: Any
    boost: float

class Point(NamedTuple):
    """A place on earth."""

    latitude: float
    longitude: float

class Shape(NamedTuple):
    """A shape as well-known text."""

    wkt: str

class DynamicField(NamedTuple):
    """A value of a field whose name was computed."""

    name: str
    value: Any

Source = Document | Items | list[Document]

@final
class Program:
    """A program, checked. May be run by several threads at the same time."""

    data: bytes
    fields: tuple[str, ...]  # names of the output fields by number; empty for a value
    is_map: bool
    has_marks: bool  # entries may hold Boosted, Point, Shape, DynamicField
    loads: bool  # it looks at other documents
    def __init__(self, data: bytes) -> None:
        """Raises ValueError when the bytes are no program."""

    def run(
        self, source: Source, *, id: str = "", last_modified: int = 0, parameters: Document | None = None,
        snapshot: DocumentSnapshot | None = None, references: list[tuple[str, str | None]] | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """The entries of a map over one document, or of a reduce over a list of results.

        Each entry is a dict: field -> value, or a list of values when there are several; fields that are missing are
        left out. `references`, if given, gets (id, collection or None) for each document that was asked for.
        Raises: ExpressionError; what the snapshot raises.
        """

    def documents(
        self, source: Source, *, id: str = "", last_modified: int = 0, parameters: Document | None = None,
        snapshot: DocumentSnapshot | None = None, references: list[tuple[str, str | None]] | None = None,
    ) -> list[bytes]:  # fmt: skip
        """As `run`, each entry as a blittable document: fields as they are, missing ones as null."""

    def value(
        self, source: Source, *, id: str = "", last_modified: int = 0, parameters: Document | None = None,
        snapshot: DocumentSnapshot | None = None, references: list[tuple[str, str | None]] | None = None,
    ) -> Any:  # fmt: skip
        """The value of an expression: None, bool, int, float, Decimal, str, dict or list; missing is None."""

    def test(
        self, source: Source, *, id: str = "", last_modified: int = 0, parameters: Document | None = None,
        snapshot: DocumentSnapshot | None = None, references: list[tuple[str, str | None]] | None = None,
    ) -> bool:  # fmt: skip
        """Whether a condition holds."""

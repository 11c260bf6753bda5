"""Types of what feeds an index natively."""

from collections.abc import Sequence

class FeedProgram:
    """What turns a document into entries without the interpreter; the base of FieldPaths and of compiled
    expressions. Its numbers of fields are those of the IndexWriter it is given to."""

class FieldPaths(FeedProgram):
    """One entry a document: each field gets what lies at its path.

    Paths: `a.b`, `lines[].product` (every item), `id()`, `@metadata.@last-modified`, `@metadata.@collection` and other
    properties of the metadata. What is not there gives no value; arrays give each of their items.
    """

    fields: list[tuple[int, str]]
    def __init__(self, fields: Sequence[tuple[int, str]]) -> None:
        """(field number, path). ValueError for a path that is empty or has more than 16 steps."""

class TextAnalyzer:
    """What cuts texts into tokens without the interpreter; the base of native analyzers."""

"""Types of compiled expressions that feed an index."""

from collections.abc import Mapping
from typing import final

from pynori_core.expr import Program
from pynori_core.index_feed import FeedProgram

@final
class ExpressionFeed(FeedProgram):
    """Feeds an index with the entries of a map. One feed at a time."""

    program: Program
    def __init__(self, program: Program, numbers: Mapping[str, int]) -> None:
        """numbers: of the index's fields by the names of the program's.

        ValueError for a program that is no map, or that marks values (spatial fields, boosts, dynamic fields): those
        go through `Program.run`. KeyError when a field has no number.
        """

    def take_references(self) -> list[tuple[str, list[tuple[str, str | None]]]]:
        """(document, [(id that it loads, collection or None)]) of all documents fed since the last call.

        A document that loads nothing any more is in the list too, with an empty one, if the program loads at all.
        """

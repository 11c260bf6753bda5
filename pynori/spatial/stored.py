"""What an index keeps of a spatial field: cells, and what is needed to look at a place again.

Beside the field itself, whose terms are cells, there are up to three of which no query speaks: `#x` and `#y`, numbers,
for an entry that is one point; `#shape`, the shape's WKT in pieces that are terms in its order, for any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from pynori.spatial.cells import terms_of
from pynori.spatial.options import SpatialOptions
from pynori.spatial.shapes import Circle, Figure, Kind, Many, Shape, as_point, many, members

X: Final = "#x"
Y: Final = "#y"
SHAPE: Final = "#shape"
PIECE_SIZE: Final = 480  # characters: a term keeps 512 bytes as they are
_NUMBER: Final = "%04x"

# By what stands behind the field's name: nothing, X, Y or SHAPE.
StoredValues: TypeAlias = dict[str, list[str] | float]


def stored_values(shape: Shape, options: SpatialOptions) -> StoredValues:
    """The values of the fields that stand for a document's shape."""
    values: StoredValues = {"": terms_of(shape, options.bounds)}
    place = as_point(shape)
    if place is not None:
        values[X], values[Y] = place
        return values
    text = shape_text(shape)
    pieces = range(0, len(text), PIECE_SIZE)
    values[SHAPE] = [_NUMBER % number + text[start : start + PIECE_SIZE] for number, start in enumerate(pieces)]
    return values


def stored_shape(pieces: Sequence[str], options: SpatialOptions) -> Shape:
    """The shape that the terms of `#shape` hold, in their order."""
    text = "".join(piece[len(_NUMBER % 0) :] for piece in pieces)
    found: list[Shape] = []
    for part in text.split(";"):
        kind, *numbers = part.split(" ")
        found.append(_part_from(kind, [float(number) for number in numbers], options.geographic))
    return many(found)


def shape_text(shape: Shape) -> str:
    """A shape as laid out, so that nothing is laid out again on reading: parts with `;` between them.

    Each is a letter and numbers: c x y radius bounds · p x y · l or a, bounds, then x, y, x, y of each edge.
    """
    return ";".join(map(_part_text, members(shape)))


def _part_text(part: Figure | Circle) -> str:
    if isinstance(part, Circle):
        numbers: list[float] = [part.x, part.y, part.radius, *part.bounds]
        return " ".join(["c", *map(repr, numbers)])
    if part.kind is Kind.POINT:
        return " ".join(["p", *map(repr, part.vertices[0])])
    letter = "l" if part.kind is Kind.LINE else "a"
    return " ".join([letter, *map(repr, part.bounds), *(repr(each) for edge in part.edges for each in edge)])


def _part_from(kind: str, numbers: list[float], geographic: bool) -> Shape:
    if kind == "c":
        x, y, radius, *bounds = numbers
        return Circle(x, y, radius, (bounds[0], bounds[1], bounds[2], bounds[3]), geographic)
    if kind == "p":
        x, y = numbers
        return Figure(Kind.POINT, ((x, y),), (), (x, y, x, y), geographic)
    edges = [(numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]) for at in range(4, len(numbers), 4)]
    vertices = [(edge[0], edge[1]) for edge in edges]
    if kind == "l":
        vertices.append((edges[-1][2], edges[-1][3]))
    bounds4 = (numbers[0], numbers[1], numbers[2], numbers[3])
    return Figure(Kind.LINE if kind == "l" else Kind.AREA, tuple(vertices), tuple(edges), bounds4, geographic)


def is_stored(shape: Shape | None) -> bool:
    """Whether there is anything to keep: a collection of nothing has no place."""
    return shape is not None and not (isinstance(shape, Many) and not shape.members)

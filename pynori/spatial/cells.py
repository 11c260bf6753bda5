"""Cells: squares of a tree of quarters that stand for shapes in an index, and for what a query asks.

A cell's name has a digit a level, its quarters in the order south-west, south-east, north-west, north-east; cells
within a cell share its name as their beginning, so they are one range of terms. A point has one cell, the smallest; any
other shape a few that cover it. A query's shape is covered by cells that lie inside it, whose points need no further
look, and cells on its border. On a plane the outermost cells go on for ever.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from pynori_core import covers, places

from pynori.limits import COVER_CELLS_MAX, QUERY_CELLS_MAX
from pynori.spatial.distance import haversine_km
from pynori.spatial.relations import area_covers, bounds_meet, is_box
from pynori.spatial.shapes import WORLD, Bounds, Circle, Edge, Figure, Kind, Shape, as_point, members

LEVELS: Final = 26
FOREVER: Final = 1e150  # where the outermost cells of a plane end
QUARTERS: Final = "0123"
SIMPLE_PARTS_MAX: Final = 64  # circles and boxes that are covered natively
BEHIND: Final = "4"  # sorts behind all quarters of a cell

# Cells from one name up to all within another one, that one included.
CellRange: TypeAlias = tuple[str, str]


class Touch(IntEnum):
    """How a cell lies to a shape."""

    OUTSIDE = 0
    BORDER = 1
    INSIDE = 2


@dataclass(frozen=True, slots=True)
class Cover:
    """Cells that together cover a shape, none within another. inside: they lie in it altogether."""

    inside: tuple[str, ...]
    border: tuple[str, ...]

    def ancestors(self) -> list[str]:
        """The names of all cells that one of these lies in: larger shapes are known by them."""
        return sorted({name[:size] for name in (*self.inside, *self.border) for size in range(len(name))})


def terms_of(shape: Shape, bounds: Bounds = WORLD) -> list[str]:
    """The cells that stand for a document's shape."""
    place = as_point(shape)
    if place is not None:
        return [places.cell(*place, bounds, LEVELS)]
    points = [each for each in map(as_point, members(shape)) if each is not None]
    if points and len(points) == len(members(shape)) and len(points) <= COVER_CELLS_MAX:
        return sorted({places.cell(*each, bounds, LEVELS) for each in points})
    found = cover(shape, bounds, COVER_CELLS_MAX)
    return sorted((*found.inside, *found.border))


def query_cover(shape: Shape, bounds: Bounds = WORLD) -> Cover:
    """The cells that a query reads."""
    return cover(shape, bounds, QUERY_CELLS_MAX)


def ranges(names: Iterable[str]) -> list[CellRange]:
    """Cells next to each other in the order of names, joined."""
    return covers.ranges(names)


# ---------------------------------------------------------------- covering

# One part of the shape, of its edges those that may touch the cell, and whether the part is a box.
_Alive: TypeAlias = tuple[Figure | Circle, Sequence[Edge], bool]


def cover(shape: Shape, bounds: Bounds, cells_max: int) -> Cover:
    """Quarter the largest cell on the border until there are enough."""
    simple = _simple_parts(shape, bounds)
    if simple is not None:
        return Cover(*covers.cover(simple, shape.bounds, bounds, bounds != WORLD, FOREVER, cells_max))
    inside: list[str] = []
    done: list[str] = []
    waiting: deque[tuple[str, Bounds, list[_Alive]]] = deque()
    name, square = _around(shape, bounds)
    touch, alive = _look(square, bounds, _parts(shape, bounds))
    if touch is Touch.INSIDE:
        inside.append(name)
    elif touch is Touch.BORDER:
        waiting.append((name, square, alive))
    while waiting and len(inside) + len(done) + len(waiting) + 3 <= cells_max:
        name, cell, alive = waiting.popleft()
        if len(name) == LEVELS:
            done.append(name)
            continue
        for quarter, square in zip(QUARTERS, _quarters(cell), strict=True):
            touch, left = _look(square, bounds, alive)
            if touch is Touch.INSIDE:
                inside.append(name + quarter)
            elif touch is Touch.BORDER:
                waiting.append((name + quarter, square, left))
    return Cover(tuple(inside), (*done, *(name for name, _, _ in waiting)))


def _simple_parts(shape: Shape, bounds: Bounds) -> list[covers.Part] | None:
    """The parts of a shape made of a few circles and boxes, laid out as `_parts` does; None for any other shape."""
    found: list[covers.Part] = []
    for part in members(shape):
        if isinstance(part, Circle):
            found.append((part.x, part.y, part.radius, part.geographic))
        elif not is_box(part):
            return None
        else:
            x_low, y_low, x_high, y_high = part.bounds
            for shift in (0.0, 360.0, -360.0) if part.geographic else (0.0,):
                laid = (x_low + shift, y_low, x_high + shift, y_high)
                if not part.geographic or bounds_meet(laid, bounds):
                    found.append(laid)
    return found if len(found) <= SIMPLE_PARTS_MAX else None


def _around(shape: Shape, bounds: Bounds) -> tuple[str, Bounds]:
    """The smallest cell that all of the shape lies in, for which it must lie in one piece within the bounds."""
    x_low, y_low, x_high, y_high = shape.bounds
    if not (bounds[0] < x_low <= x_high < bounds[2] and bounds[1] < y_low <= y_high < bounds[3]):
        return "", bounds
    name, square = "", bounds
    corners = places.cell(x_low, y_low, bounds, LEVELS), places.cell(x_high, y_high, bounds, LEVELS)
    for quarter, other in zip(*corners, strict=True):
        if quarter != other:
            break
        name, square = name + quarter, _quarters(square)[int(quarter)]
    return name, square


def _parts(shape: Shape, bounds: Bounds) -> list[_Alive]:
    """The parts of a shape as cells see them: on the sphere shifted by a turn, too, where that reaches the world."""
    found: list[_Alive] = []
    for part in members(shape):
        if isinstance(part, Circle):
            found.append((part, (), False))
            continue
        for shift in (0.0, 360.0, -360.0) if part.geographic else (0.0,):
            laid = part.shifted(shift)
            if not part.geographic or bounds_meet(laid.bounds, bounds):
                found.append((laid, laid.edges, is_box(laid)))
    return found


def _quarters(cell: Bounds) -> tuple[Bounds, Bounds, Bounds, Bounds]:
    x_low, y_low, x_high, y_high = cell
    x, y = (x_low + x_high) / 2, (y_low + y_high) / 2
    return (x_low, y_low, x, y), (x, y_low, x_high, y), (x_low, y, x, y_high), (x, y, x_high, y_high)


def _look(cell: Bounds, bounds: Bounds, parts: Iterable[_Alive]) -> tuple[Touch, list[_Alive]]:
    """How the cell lies to the whole shape, and the parts that still matter within it."""
    left: list[_Alive] = []
    square = _endless(cell, bounds)
    for part, edges, boxed in parts:
        near = edges
        if isinstance(part, Circle):
            touch = _circle_touch(part, square)
        elif boxed:
            touch = _box_touch(part.bounds, square)
        else:
            touch, near = _figure_touch(part, edges, square)
        if touch is Touch.INSIDE:
            return Touch.INSIDE, []
        if touch is Touch.BORDER:
            left.append((part, near, boxed))
    return (Touch.BORDER if left else Touch.OUTSIDE), left


def _endless(cell: Bounds, bounds: Bounds) -> Bounds:
    """The cell with the sides it shares with the plane's bounds moved far away. The world's stay: it ends there."""
    if bounds == WORLD:
        return cell
    return (
        -FOREVER if cell[0] == bounds[0] else cell[0],
        -FOREVER if cell[1] == bounds[1] else cell[1],
        FOREVER if cell[2] == bounds[2] else cell[2],
        FOREVER if cell[3] == bounds[3] else cell[3],
    )


def _box_touch(box: Bounds, cell: Bounds) -> Touch:
    if box[0] > cell[2] or cell[0] > box[2] or box[1] > cell[3] or cell[1] > box[3]:
        return Touch.OUTSIDE
    fits = box[0] <= cell[0] and cell[2] <= box[2] and box[1] <= cell[1] and cell[3] <= box[3]
    return Touch.INSIDE if fits else Touch.BORDER


def _figure_touch(figure: Figure, edges: Sequence[Edge], cell: Bounds) -> tuple[Touch, Sequence[Edge]]:
    if not bounds_meet(figure.bounds, cell):
        return Touch.OUTSIDE, ()
    if figure.kind is Kind.POINT:
        return Touch.BORDER, ()
    near = [edge for edge in edges if _edge_meets(edge, cell)]
    if near:
        return Touch.BORDER, near
    if figure.kind is Kind.AREA and area_covers(figure.edges, (cell[0] + cell[2]) / 2, (cell[1] + cell[3]) / 2):
        return Touch.INSIDE, ()
    return Touch.OUTSIDE, ()


def _edge_meets(edge: Edge, cell: Bounds) -> bool:
    """Whether an edge has a place in a cell, its sides included."""
    x_one, y_one, x_other, y_other = edge
    x_low, y_low, x_high, y_high = cell
    if (x_one < x_low and x_other < x_low) or (x_one > x_high and x_other > x_high):
        return False
    if (y_one < y_low and y_other < y_low) or (y_one > y_high and y_other > y_high):
        return False
    across, up = x_other - x_one, y_other - y_one
    sides = [across * (y - y_one) - (x - x_one) * up for x in (x_low, x_high) for y in (y_low, y_high)]
    return min(sides) <= 0 <= max(sides)


def _circle_touch(circle: Circle, cell: Bounds) -> Touch:
    """Exact but for cells that are wide: those are said to lie on the border when they may lie inside."""
    if not circle.geographic:
        return _plane_circle_touch(circle, cell)
    x_low, y_low, x_high, y_high = cell
    turn = (circle.x - x_low) % 360  # of the middle from the cell's west side, eastwards
    width = x_high - x_low
    if turn <= width:
        up = max(y_low - circle.y, 0.0, circle.y - y_high)
        nearest = haversine_km(circle.y, circle.x, circle.y + up if circle.y < y_low else circle.y - up, circle.x)
    else:
        side = x_low if 360 - turn < turn - width else x_high
        nearest = _meridian_distance(circle, side, y_low, y_high)
    if nearest > circle.radius * (1 + 1e-9) + 1e-9:
        return Touch.OUTSIDE
    farther = max(abs(_turn(circle.x, x_low)), abs(_turn(circle.x, x_high)))
    if width > 90 or farther > 90:
        return Touch.BORDER
    farthest = max(haversine_km(circle.y, circle.x, y, x) for x in (x_low, x_high) for y in (y_low, y_high))
    return Touch.INSIDE if farthest < circle.radius * (1 - 1e-9) else Touch.BORDER


def _turn(x: float, other: float) -> float:
    """The longitude from one to the other, the short way."""
    return (other - x + 180) % 360 - 180


def _meridian_distance(circle: Circle, x: float, y_low: float, y_high: float) -> float:
    """The least distance from a circle's middle to a piece of a meridian."""
    cosine = math.cos(math.radians(_turn(circle.x, x)))
    latitudes = [y_low, y_high]
    if cosine > 0:
        # Where the great circle through the middle meets the meridian at a right angle.
        nearest = math.degrees(math.atan2(math.sin(math.radians(circle.y)), math.cos(math.radians(circle.y)) * cosine))
        latitudes.append(min(max(nearest, y_low), y_high))
    return min(haversine_km(circle.y, circle.x, y, x) for y in latitudes)


def _plane_circle_touch(circle: Circle, cell: Bounds) -> Touch:
    x_low, y_low, x_high, y_high = cell
    nearest = math.hypot(max(x_low - circle.x, 0.0, circle.x - x_high), max(y_low - circle.y, 0.0, circle.y - y_high))
    if nearest > circle.radius:
        return Touch.OUTSIDE
    farthest = math.hypot(max(circle.x - x_low, x_high - circle.x), max(circle.y - y_low, y_high - circle.y))
    return Touch.INSIDE if farthest < circle.radius else Touch.BORDER

"""Shapes: figures made of straight edges, circles, and collections of both, on the sphere or on a plane.

x is the longitude, y the latitude. On the sphere an edge is straight in longitude and latitude and goes the short way
round; an edge of exactly 360 degrees goes all the way. A figure that crosses the dateline is laid out in one piece: its
x runs past 180. A ring that goes once around the earth encloses the pole that it is nearer to, and is closed along it.

Invariant: on the sphere the lowest x of a figure lies in [-180, 180), but for boxes all around, which have any x.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from pynori.errors import InvalidArgument
from pynori.limits import SHAPE_POINTS_MAX
from pynori.spatial.distance import DEGREE_KM

Pair: TypeAlias = tuple[float, float]
Edge: TypeAlias = tuple[float, float, float, float]  # x, y, x, y
Bounds: TypeAlias = tuple[float, float, float, float]  # x low, y low, x high, y high

WORLD: Bounds = (-180.0, -90.0, 180.0, 90.0)
ALL_AROUND: tuple[float, float] = (-540.0, 540.0)  # x of what has every longitude, shifted by a turn or not


class Kind(Enum):
    POINT = "point"
    LINE = "line"
    AREA = "area"  # what lies within its edges by the even-odd rule, edges included


@dataclass(frozen=True, slots=True)
class Figure:
    """A point, a line or an area with straight edges. vertices: of all its rings."""

    kind: Kind
    vertices: tuple[Pair, ...]
    edges: tuple[Edge, ...]
    bounds: Bounds
    geographic: bool = True

    def shifted(self, x: float) -> Figure:
        """The same, so much farther east."""
        if x == 0:
            return self
        low, bottom, high, top = self.bounds
        return Figure(
            self.kind,
            tuple((each + x, y) for each, y in self.vertices),
            tuple((a + x, b, c + x, d) for a, b, c, d in self.edges),
            (low + x, bottom, high + x, top),
            self.geographic,
        )


@dataclass(frozen=True, slots=True)
class Circle:
    """All places no farther than the radius: kilometres on the sphere, units of the plane else."""

    x: float
    y: float
    radius: float
    bounds: Bounds
    geographic: bool = True


@dataclass(frozen=True, slots=True)
class Many:
    """A collection; empty is nowhere."""

    members: tuple[Figure | Circle, ...]

    @property
    def bounds(self) -> Bounds:
        return bounds_of([corner for each in self.members for corner in (each.bounds[:2], each.bounds[2:])])


Shape: TypeAlias = Figure | Circle | Many


# ---------------------------------------------------------------- making shapes


def point(x: float, y: float, *, geographic: bool = True) -> Figure:
    """One place. InvalidArgument for a latitude beyond the poles; longitudes wrap around."""
    x, y = _place(x, y, geographic)
    return Figure(Kind.POINT, ((x, y),), (), (x, y, x, y), geographic)


def line(points: Sequence[Pair], *, geographic: bool = True) -> Figure:
    """A line through two points or more."""
    laid = _laid_out(points, geographic)
    if len(laid) < 2:
        raise InvalidArgument("a line needs two points")
    if geographic:
        laid = _into_range(laid)
    return Figure(Kind.LINE, tuple(laid), tuple(_edges(laid)), bounds_of(laid), geographic)


def polygon(rings: Sequence[Sequence[Pair]], *, geographic: bool = True) -> Figure:
    """An outer ring and its holes. Rings may be left open; they are closed."""
    if not rings:
        raise InvalidArgument("a polygon needs a ring")
    laid = [_ring(ring, geographic) for ring in rings]
    if geographic:
        shift = _shift_into_range(min(x for x, _ in laid[0]))
        laid = [[(x + shift, y) for x, y in ring] for ring in laid]
        laid[1:] = [_beside(ring, laid[0]) for ring in laid[1:]]
    vertices = [vertex for ring in laid for vertex in ring[:-1]]
    edges = [edge for ring in laid for edge in _edges(ring)]
    return Figure(Kind.AREA, tuple(vertices), tuple(edges), bounds_of(vertices), geographic)


def box(x_low: float, y_low: float, x_high: float, y_high: float, *, geographic: bool = True) -> Figure:
    """A box; on the sphere the low x may be above the high one: the box crosses the dateline."""
    y_low, y_high = min(y_low, y_high), max(y_low, y_high)
    if geographic:
        x_low, y_low = _place(x_low, y_low, True, keep_edge=True)
        x_high, y_high = _place(x_high, y_high, True, keep_edge=True)
        if x_low > x_high:
            x_high += 360
        if x_high - x_low >= 360:
            x_low, x_high = ALL_AROUND
    elif x_low > x_high:
        x_low, x_high = x_high, x_low
    corners = [(x_low, y_low), (x_high, y_low), (x_high, y_high), (x_low, y_high)]
    return Figure(
        Kind.AREA, tuple(corners), tuple(_edges([*corners, corners[0]])), (x_low, y_low, x_high, y_high), geographic
    )


def circle(x: float, y: float, radius: float, *, geographic: bool = True) -> Circle:
    """radius: kilometres on the sphere. InvalidArgument for a radius below 0."""
    x, y = _place(x, y, geographic)
    if not radius >= 0:
        raise InvalidArgument(f"a circle's radius cannot be {radius}")
    if not geographic:
        return Circle(x, y, radius, (x - radius, y - radius, x + radius, y + radius), False)
    degrees = radius / DEGREE_KM
    bottom, top = y - degrees, y + degrees
    if bottom <= -90 or top >= 90 or degrees >= 90:
        return Circle(x, y, radius, (ALL_AROUND[0], max(bottom, -90), ALL_AROUND[1], min(top, 90)))
    across = math.degrees(math.asin(min(1, math.sin(math.radians(degrees)) / math.cos(math.radians(y)))))
    return Circle(x, y, radius, (x - across, bottom, x + across, top))


def many(shapes: Iterable[Shape]) -> Shape:
    """A collection without collections in it; of one shape, that shape."""
    flat: list[Figure | Circle] = []
    for shape in shapes:
        flat += shape.members if isinstance(shape, Many) else (shape,)
    if sum(len(each.vertices) if isinstance(each, Figure) else 1 for each in flat) > SHAPE_POINTS_MAX:
        raise InvalidArgument(f"a shape has more than SHAPE_POINTS_MAX ({SHAPE_POINTS_MAX}) points")
    return flat[0] if len(flat) == 1 else Many(tuple(flat))


# ---------------------------------------------------------------- reading shapes


def members(shape: Shape) -> tuple[Figure | Circle, ...]:
    """The shape's parts, or the shape itself."""
    return shape.members if isinstance(shape, Many) else (shape,)


def as_point(shape: Shape) -> Pair | None:
    """x and y of a single point."""
    return shape.vertices[0] if isinstance(shape, Figure) and shape.kind is Kind.POINT else None


def center(shape: Shape) -> Pair:
    """The middle of the bounds, or the place of a point or circle: from where distances are counted."""
    if isinstance(shape, Circle):
        return shape.x, shape.y
    x_low, y_low, x_high, y_high = shape.bounds
    x = (x_low + x_high) / 2
    return (x if not _is_geographic(shape) or -180 <= x <= 180 else wrap(x)), (y_low + y_high) / 2


def bounding_box(shape: Shape) -> Shape:
    """What an index of bounding boxes knows of a shape."""
    if as_point(shape) is not None:
        return shape
    geographic = _is_geographic(shape)
    bounds = shape.bounds
    corners = [(bounds[0], bounds[1]), (bounds[2], bounds[1]), (bounds[2], bounds[3]), (bounds[0], bounds[3])]
    return Figure(Kind.AREA, tuple(corners), tuple(_edges([*corners, corners[0]])), bounds, geographic)


def wrap(x: float) -> float:
    """A longitude within [-180, 180]; 180 stays."""
    return x if -180 <= x <= 180 else (x + 180) % 360 - 180


def bounds_of(points: Sequence[Sequence[float]]) -> Bounds:
    if not points:
        return (math.inf, math.inf, -math.inf, -math.inf)
    xs, ys = [each[0] for each in points], [each[1] for each in points]
    return min(xs), min(ys), max(xs), max(ys)


def _is_geographic(shape: Shape) -> bool:
    return all(each.geographic for each in members(shape))


# ---------------------------------------------------------------- laying out


def _place(x: float, y: float, geographic: bool, *, keep_edge: bool = False) -> Pair:
    if not (math.isfinite(x) and math.isfinite(y)):
        raise InvalidArgument(f"({x}, {y}) is not a place")
    if not geographic:
        return x, y
    if not -90 <= y <= 90:
        raise InvalidArgument(f"the latitude {y} is not between -90 and 90")
    x = wrap(x)
    return (-180.0 if x == 180 and not keep_edge else x), y


def _laid_out(points: Sequence[Pair], geographic: bool) -> list[Pair]:
    """The points with each edge going the short way round."""
    if len(points) > SHAPE_POINTS_MAX:
        raise InvalidArgument(f"a shape has more than SHAPE_POINTS_MAX ({SHAPE_POINTS_MAX}) points")
    laid: list[Pair] = []
    turns, before = 0, 0.0
    for index, (x, y) in enumerate(points):
        x, y = _place(x, y, geographic, keep_edge=True)
        if geographic and index and 180 < abs(x - before) < 360:
            turns += 1 if x < before else -1
        before = x
        if not laid or laid[-1] != (x + 360 * turns, y):
            laid.append((x + 360 * turns, y))
    return laid


def _ring(points: Sequence[Pair], geographic: bool) -> list[Pair]:
    """A closed ring, laid out."""
    ring = _laid_out([*points, points[0]] if points else [], geographic)
    if len(ring) < 2:
        raise InvalidArgument("a ring needs three points")
    (x_first, y_first), (x_last, y_last) = ring[0], ring[-1]
    if y_first == y_last and abs(x_last - x_first) == 360:
        pole = 90.0 if sum(y for _, y in ring) >= 0 else -90.0
        ring += [(x_last, pole), (x_first, pole), (x_first, y_first)]
    if len(ring) < 4:
        raise InvalidArgument("a ring needs three points")
    return ring


def _into_range(points: Sequence[Pair]) -> list[Pair]:
    shift = _shift_into_range(min(x for x, _ in points))
    return [(x + shift, y) for x, y in points]


def _shift_into_range(x_low: float) -> float:
    """By how much the lowest x must move to lie in [-180, 180)."""
    return -360.0 * math.floor((x_low + 180) / 360)


def _beside(ring: list[Pair], outer: Sequence[Pair]) -> list[Pair]:
    """A hole where its outer ring is."""
    low, high = min(x for x, _ in outer), max(x for x, _ in outer)
    for shift in (0.0, 360.0, -360.0):
        if all(low <= x + shift <= high for x, _ in ring):
            return [(x + shift, y) for x, y in ring]
    return ring


def _edges(points: Sequence[Pair]) -> list[Edge]:
    return [(*one, *other) for one, other in itertools.pairwise(points)]

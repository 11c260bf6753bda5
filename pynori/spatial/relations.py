"""How two shapes relate: whether they share a place, and whether one lies within the other.

Borders belong to their shapes. On the sphere figures are compared as they are laid out and shifted by a turn either
way; circles are measured by great-circle distances to straight edges. A figure within a collection lies within one of
its members: what only several members together cover is not found.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final

from pynori_core import places

from pynori.spatial.distance import DEGREE_KM, haversine_km
from pynori.spatial.shapes import Bounds, Circle, Edge, Figure, Kind, Many, Shape, members

SEARCH_STEPS: Final = 48  # of the search along an edge for its nearest place: 1e-9 of a degree
DEGREES_PER_SAMPLE: Final = 2.0  # along long edges, so that the search begins near the nearest place


class Relation(Enum):
    """What a query asks of a document's shape."""

    WITHIN = "within"  # the document's shape lies within the query's
    CONTAINS = "contains"  # the query's lies within the document's
    INTERSECTS = "intersects"
    DISJOINT = "disjoint"


def relates(shape: Shape, relation: Relation, query: Shape) -> bool:
    """Whether a document's shape relates so to a query's."""
    if relation is Relation.WITHIN:
        return within(shape, query)
    if relation is Relation.CONTAINS:
        return within(query, shape)
    return intersects(shape, query) == (relation is Relation.INTERSECTS)


def intersects(one: Shape, other: Shape) -> bool:
    """Whether the two share a place."""
    return any(_intersect(a, b) for a in members(one) for b in members(other))


def within(one: Shape, other: Shape) -> bool:
    """Whether all of `one` lies within `other`. What is nowhere lies within nothing."""
    parts = members(one)
    return bool(parts) and all(any(_is_within(a, b) for b in members(other)) for a in parts)


def covers_point(shape: Shape, x: float, y: float) -> bool:
    """Whether a place belongs to the shape."""
    for part in members(shape):
        if isinstance(part, Circle):
            if _distance(part, x, y) <= part.radius:
                return True
        elif any(_covers(part, x + shift, y) for shift in _shifts(part.geographic)):
            return True
    return False


# ---------------------------------------------------------------- pairs


def _intersect(one: Figure | Circle, other: Figure | Circle) -> bool:
    if isinstance(one, Circle) and isinstance(other, Circle):
        return _distance(one, other.x, other.y) <= one.radius + other.radius
    if isinstance(one, Circle):
        return _circle_meets(one, other)  # type: ignore[arg-type]
    if isinstance(other, Circle):
        return _circle_meets(other, one)
    return any(_figures_meet(one, other.shifted(shift)) for shift in _shifts(one.geographic))


def _is_within(one: Figure | Circle, other: Figure | Circle) -> bool:
    if isinstance(other, Circle):
        if isinstance(one, Circle):
            return _distance(one, other.x, other.y) + one.radius <= other.radius
        return _farthest(other, one) <= other.radius
    if isinstance(one, Circle):
        return other.kind is Kind.AREA and _circle_fits(one, other)
    return any(_figure_fits(one.shifted(shift), other) for shift in _shifts(one.geographic))


def _shifts(geographic: bool) -> tuple[float, ...]:
    return (0.0, 360.0, -360.0) if geographic else (0.0,)


# ---------------------------------------------------------------- figures


def _covers(figure: Figure, x: float, y: float) -> bool:
    """Whether the place belongs to the figure as it is laid out."""
    x_low, y_low, x_high, y_high = figure.bounds
    if not (x_low <= x <= x_high and y_low <= y <= y_high):
        return False
    if figure.kind is Kind.POINT:
        return True
    if figure.kind is Kind.LINE:
        return any(_on_edge(edge, x, y) for edge in figure.edges)
    return area_covers(figure.edges, x, y)


def area_covers(edges: Iterable[Edge], x: float, y: float) -> bool:
    """The even-odd rule; places on an edge belong to the area."""
    odd = False
    for x_one, y_one, x_other, y_other in edges:
        if (y < y_one and y < y_other) or (y > y_one and y > y_other):
            continue
        side = (x_other - x_one) * (y - y_one) - (x - x_one) * (y_other - y_one)
        if side == 0 and min(x_one, x_other) <= x <= max(x_one, x_other):
            return True
        if (y_one <= y) != (y_other <= y) and (side > 0) == (y_other > y_one):
            odd = not odd
    return odd


def _figures_meet(one: Figure, other: Figure) -> bool:
    if not bounds_meet(one.bounds, other.bounds):
        return False
    if any(_covers(one, x, y) for x, y in other.vertices[:1]) or any(_covers(other, x, y) for x, y in one.vertices[:1]):
        return True
    near = [edge for edge in other.edges if bounds_meet(_edge_bounds(edge), one.bounds)]
    return any(edges_meet(a, b) for a in one.edges for b in near) or (
        # A hole may keep the first vertices apart while other rings lie inside.
        any(_covers(one, x, y) for x, y in other.vertices) or any(_covers(other, x, y) for x, y in one.vertices)
    )


def _figure_fits(one: Figure, other: Figure) -> bool:
    """Whether `one` lies within `other`: each piece of its edges does, and no hole of `other` lies inside it."""
    if not _bounds_fit(one.bounds, other.bounds) or not all(_covers(other, x, y) for x, y in one.vertices):
        return False
    if other.kind is Kind.POINT:
        return True
    for edge in one.edges:
        cuts = sorted({0.0, 1.0, *(cut for against in other.edges for cut in _cuts(edge, against))})
        for low, high in itertools.pairwise(cuts):
            middle = (low + high) / 2
            x, y = edge[0] + (edge[2] - edge[0]) * middle, edge[1] + (edge[3] - edge[1]) * middle
            if high - low > 1e-9 and not _covers(other, x, y) and not _near_an_edge(other, x, y):
                return False
    if one.kind is not Kind.AREA:
        return True
    return other.kind is Kind.AREA and not any(_strictly_inside(one, x, y) for x, y in other.vertices)


def _strictly_inside(figure: Figure, x: float, y: float) -> bool:
    return _covers(figure, x, y) and not _near_an_edge(figure, x, y)


def _near_an_edge(figure: Figure, x: float, y: float) -> bool:
    """On an edge, but for rounding."""
    return any(_plane_distance(edge, x, y) <= 1e-12 * (1 + abs(x) + abs(y)) for edge in figure.edges)


def bounds_meet(one: Bounds, other: Bounds) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _bounds_fit(one: Bounds, other: Bounds) -> bool:
    return other[0] <= one[0] and one[2] <= other[2] and other[1] <= one[1] and one[3] <= other[3]


def _edge_bounds(edge: Edge) -> Bounds:
    return min(edge[0], edge[2]), min(edge[1], edge[3]), max(edge[0], edge[2]), max(edge[1], edge[3])


def _side(edge: Edge, x: float, y: float) -> float:
    """Above 0 left of the edge, below 0 right of it, 0 on its line."""
    return (edge[2] - edge[0]) * (y - edge[1]) - (x - edge[0]) * (edge[3] - edge[1])


def _on_edge(edge: Edge, x: float, y: float) -> bool:
    x_low, y_low, x_high, y_high = _edge_bounds(edge)
    return x_low <= x <= x_high and y_low <= y <= y_high and _side(edge, x, y) == 0


def edges_meet(one: Edge, other: Edge) -> bool:
    """Whether two edges share a place, an end among them."""
    if not bounds_meet(_edge_bounds(one), _edge_bounds(other)):
        return False
    first, second = _side(one, other[0], other[1]), _side(one, other[2], other[3])
    third, fourth = _side(other, one[0], one[1]), _side(other, one[2], one[3])
    return not ((first > 0 and second > 0) or (first < 0 and second < 0)) and not (
        (third > 0 and fourth > 0) or (third < 0 and fourth < 0)
    )


def _cuts(edge: Edge, against: Edge) -> list[float]:
    """Where on an edge, from 0 to 1, another one touches it; the other's ends where both lie on a line."""
    if not bounds_meet(_edge_bounds(edge), _edge_bounds(against)):
        return []
    one, other = _side(against, edge[0], edge[1]), _side(against, edge[2], edge[3])
    if one != other:
        cut = one / (one - other)
        return [cut] if 0 < cut < 1 else []
    x, y = edge[2] - edge[0], edge[3] - edge[1]
    square = x * x + y * y
    if one != 0 or square == 0:
        return []
    ends = ((against[0], against[1]), (against[2], against[3]))
    cuts = [((end_x - edge[0]) * x + (end_y - edge[1]) * y) / square for end_x, end_y in ends]
    return [cut for cut in cuts if 0 < cut < 1]


# ---------------------------------------------------------------- circles


def _distance(circle: Circle, x: float, y: float) -> float:
    """From the middle of the circle, in the units of its radius."""
    if circle.geographic:
        return haversine_km(circle.y, circle.x, y, x)
    return math.hypot(x - circle.x, y - circle.y)


def _circle_meets(circle: Circle, figure: Figure) -> bool:
    if covers_point(figure, circle.x, circle.y):
        return True
    if figure.kind is Kind.POINT:
        return _distance(circle, *figure.vertices[0]) <= circle.radius
    return any(_edge_distance(circle, edge, min) <= circle.radius for edge in figure.edges if _may_reach(circle, edge))


def _circle_fits(circle: Circle, area: Figure) -> bool:
    """Whether the circle lies within the area: its middle does, and no edge comes nearer than the radius."""
    if not covers_point(area, circle.x, circle.y):
        return False
    return all(
        _edge_distance(circle, edge, min) >= circle.radius or _is_pole(circle, edge) or _is_seam(area, edge)
        for edge in area.edges
        if _may_reach(circle, edge)
    )


def _is_pole(circle: Circle, edge: Edge) -> bool:
    """An edge along a pole bounds nothing: it is one place."""
    return circle.geographic and edge[1] == edge[3] and abs(edge[1]) == 90


def _is_seam(area: Figure, edge: Edge) -> bool:
    """The sides of an area all around the earth are not borders: they are one line, from south to north."""
    x_low, _, x_high, _ = area.bounds
    return area.geographic and x_high - x_low >= 360 and edge[0] == edge[2] and edge[0] in (x_low, x_high)


def _farthest(circle: Circle, figure: Figure) -> float:
    """The greatest distance of the figure's places from the middle. It is reached on a vertex or along an edge."""
    farthest = max(_distance(circle, x, y) for x, y in figure.vertices)
    if not circle.geographic or farthest > circle.radius:
        return farthest
    # Inside an area the farthest place may be the one opposite to the middle.
    if figure.kind is Kind.AREA and covers_point(figure, (circle.x + 360) % 360 - 180, -circle.y):
        return 180 * DEGREE_KM
    return max([farthest, *(_edge_distance(circle, edge, max) for edge in figure.edges)])


def _may_reach(circle: Circle, edge: Edge) -> bool:
    """False only when the edge is surely farther than the radius: it is no longer than its latitudes and longitudes."""
    if not circle.geographic:
        return True
    length = (abs(edge[2] - edge[0]) + abs(edge[3] - edge[1])) * DEGREE_KM
    return _distance(circle, edge[0], edge[1]) - length <= circle.radius


def _edge_distance(circle: Circle, edge: Edge, pick: Callable[[float, float], float]) -> float:
    """The least (pick: min) or greatest (max) distance of an edge's places from the middle.

    Samples bracket it, a search by thirds narrows it down.
    """
    if not circle.geographic:
        ends = pick(_distance(circle, edge[0], edge[1]), _distance(circle, edge[2], edge[3]))
        return _plane_distance(edge, circle.x, circle.y) if pick is min else ends

    def at(share: float) -> float:
        return _distance(circle, edge[0] + (edge[2] - edge[0]) * share, edge[1] + (edge[3] - edge[1]) * share)

    samples = max(2, math.ceil((abs(edge[2] - edge[0]) + abs(edge[3] - edge[1])) / DEGREES_PER_SAMPLE))
    distances = [at(index / samples) for index in range(samples + 1)]
    best = (min if pick is min else max)(range(samples + 1), key=distances.__getitem__)
    low, high = max(best - 1, 0) / samples, min(best + 1, samples) / samples
    for _ in range(SEARCH_STEPS):
        one, other = low + (high - low) / 3, high - (high - low) / 3
        if (at(one) <= at(other)) == (pick is min):
            high = other
        else:
            low = one
    return pick(distances[best], at((low + high) / 2))


def _plane_distance(edge: Edge, x: float, y: float) -> float:
    """From a place to the nearest one of an edge, on the plane."""
    across, up = edge[2] - edge[0], edge[3] - edge[1]
    square = across * across + up * up
    share = ((x - edge[0]) * across + (y - edge[1]) * up) / square if square else 0.0
    share = min(1.0, max(0.0, share))
    return math.hypot(edge[0] + across * share - x, edge[1] + up * share - y)


# ---------------------------------------------------------------- many points at once


def points_within(shape: Shape, xs: places.Column, ys: places.Column) -> bytearray:
    """A mask of the points that belong to a shape: natively, in one pass for each of its parts and shifts.

    xs, ys: buffers of doubles; on the sphere longitudes within [-180, 180], NaN where there is no point.
    """
    found = bytearray(len(xs))
    for part in members(shape):
        if isinstance(part, Circle) and part.geographic:
            found = _either(found, places.in_circle(ys, xs, part.y, part.x, part.radius))
        elif isinstance(part, Circle):
            found = _either(found, bytearray(_distance(part, x, y) <= part.radius for x, y in zip(xs, ys, strict=True)))
        else:
            for shift in _shifts(part.geographic):
                laid = part.shifted(shift)
                if not part.geographic or (laid.bounds[0] <= 180 and laid.bounds[2] >= -180):
                    found = _either(found, _points_in_figure(laid, xs, ys))
    return found


def _points_in_figure(figure: Figure, xs: places.Column, ys: places.Column) -> bytearray:
    if is_box(figure) or figure.kind is Kind.POINT:
        return places.in_box(xs, ys, *figure.bounds)
    if figure.kind is Kind.AREA:
        return places.in_polygon(xs, ys, array("d", [each for edge in figure.edges for each in edge]))
    return bytearray(_covers(figure, x, y) for x, y in zip(xs, ys, strict=True))


def is_box(figure: Figure) -> bool:
    """Whether the figure is its bounds."""
    x_low, y_low, x_high, y_high = figure.bounds
    corners = {(x_low, y_low), (x_high, y_low), (x_high, y_high), (x_low, y_high)}
    return (
        figure.kind is Kind.AREA
        and len(figure.edges) == 4
        and set(figure.vertices) == corners
        and all(edge[0] == edge[2] or edge[1] == edge[3] for edge in figure.edges)
    )


def _either(one: bytearray, other: bytearray) -> bytearray:
    both = int.from_bytes(one, "little") | int.from_bytes(other, "little")
    return bytearray(both.to_bytes(len(one), "little"))


def is_nowhere(shape: Shape) -> bool:
    """A collection of nothing."""
    return isinstance(shape, Many) and not shape.members

"""Conditions on places over one snapshot of an index, and distances to order by.

A spatial field's terms are cells (pynori.spatial.cells). Entries in cells inside the query's shape are found; those in
cells on its border are looked at: points natively by their coordinates, other shapes one by one. So answers are exact.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pynori_core import places
from pynori_core.matches import Matches

from pynori.errors import InvalidArgument, InvalidQuery
from pynori.limits import SPATIAL_SHAPES_STEP
from pynori.queries.match import NOTHING
from pynori.queries.names import IndexNames
from pynori.queries.order import Column, Ids
from pynori.queries.requirements import spatial_name
from pynori.queries.values import Values
from pynori.rql.ast import Call, Expression, Path
from pynori.spatial import shapes
from pynori.spatial.cells import BEHIND, Cover, query_cover, ranges
from pynori.spatial.distance import Units, units_of
from pynori.spatial.options import SpatialOptions
from pynori.spatial.relations import Relation, points_within, relates
from pynori.spatial.shapes import Shape, as_point, center
from pynori.spatial.stored import SHAPE, X, Y, stored_shape

if TYPE_CHECKING:
    from pynori_core.index_store import IndexField, IndexSnapshot

RELATIONS: Final = {f"spatial.{each.value}": each for each in Relation}


class Places:
    """The spatial side of one query. options: of the field of a name."""

    def __init__(
        self,
        snapshot: IndexSnapshot,
        names: IndexNames,
        values: Values,
        options: Callable[[str], SpatialOptions],
        alias: str | None,
    ) -> None:
        self._snapshot = snapshot
        self._names = names
        self._values = values
        self._options = options
        self._alias = alias

    def match(self, call: Call, within: Matches | None) -> Matches:
        """Entries of `within` (None: of all) whose place relates so to a shape; the error percentage has no say."""
        if len(call.arguments) not in (2, 3):
            raise InvalidQuery(f"{call.name}() takes a field, a shape, and at most an error percentage")
        if len(call.arguments) == 3:
            self._values.of(call.arguments[2])
        field = self._field(call.arguments[0])
        options = self._options_of(call.arguments[0], field)
        shape = self._shape(call.arguments[1], options)
        if field is None:
            return NOTHING
        reading = _Field(self._snapshot, field, options)
        relation = RELATIONS[call.name]
        if relation is Relation.DISJOINT:
            everywhere = self._snapshot.exists(field.number, within=within)
            return everywhere.minus(reading.relating(Relation.INTERSECTS, shape, everywhere))
        return reading.relating(relation, shape, within)

    def distances(self, call: Call, ids: Ids) -> Column:
        """How far each entry's place is from that of `spatial.distance(field, place[, round])`; inf where it has none.

        In kilometres or miles, as the field's options say; on a plane in its units. Rounding is down to a multiple.
        """
        if len(call.arguments) not in (2, 3):
            raise InvalidQuery("spatial.distance() takes a field, a place, and at most what to round to")
        field = self._field(call.arguments[0])
        options = self._options_of(call.arguments[0], field)
        place = center(self._shape(call.arguments[1], options))
        step = self._step(call.arguments[2]) if len(call.arguments) == 3 else 0.0
        if field is None:
            return np.full(len(ids), np.inf)
        found = _Field(self._snapshot, field, options).distances(place, ids)
        found = np.floor(found / step) * step if step > 0 else found
        return np.where(np.isnan(found), np.inf, found)

    # ---- reading the query

    def _step(self, expression: Expression) -> float:
        """What distances are rounded to; clients send null for nothing."""
        return 0.0 if self._values.of(expression) is None else self._values.number(expression, "what to round to")

    def _field(self, expression: Expression) -> IndexField | None:
        return self._names.find_of(self._path(expression))

    def _path(self, expression: Expression) -> Expression:
        """The path of a spatial field; of a call over paths of a document, that of the field made for it."""
        if isinstance(expression, Call) and expression.name in ("spatial.point", "spatial.wkt"):
            return Path((spatial_name(expression, self._alias),))
        return expression

    def _options_of(self, expression: Expression, field: IndexField | None) -> SpatialOptions:
        path = self._path(expression)
        name = field.name if field is not None else path.text if isinstance(path, Path) else ""
        return self._options(name)

    def _shape(self, expression: Expression, options: SpatialOptions) -> Shape:
        """The shape of spatial.circle(), spatial.wkt(), spatial.point(), or of a text alone."""
        try:
            if isinstance(expression, Call) and expression.name == "spatial.circle":
                return self._circle(expression, options)
            if isinstance(expression, Call) and expression.name == "spatial.point" and len(expression.arguments) == 2:
                latitude, longitude = (self._values.number(each, "a coordinate") for each in expression.arguments)
                return options.point(latitude, longitude)
            if isinstance(expression, Call) and expression.name == "spatial.wkt":
                if len(expression.arguments) not in (1, 2):
                    raise InvalidQuery("spatial.wkt() takes a text and at most units")
                text = self._values.text(expression.arguments[0], "the text of spatial.wkt()")
                return options.shape(text, self._units(expression.arguments[1:], options))
            return options.shape(self._values.text(expression, "a shape"))
        except InvalidArgument as error:
            raise InvalidQuery(str(error)) from None

    def _circle(self, call: Call, options: SpatialOptions) -> Shape:
        if len(call.arguments) not in (3, 4):
            raise InvalidQuery("spatial.circle() takes a radius, latitude, longitude, and at most units")
        radius, latitude, longitude = (
            self._values.number(each, "radius and coordinates") for each in call.arguments[:3]
        )
        units = self._units(call.arguments[3:], options)
        length = units.to_km(radius) if options.geographic else radius
        return shapes.circle(longitude, latitude, length, geographic=options.geographic)

    def _units(self, arguments: Sequence[Expression], options: SpatialOptions) -> Units:
        if not arguments:
            return options.units
        given = arguments[0]
        return units_of(given.text if isinstance(given, Path) else self._values.of(given), options.units)


class _Field:
    """One spatial field of a snapshot."""

    def __init__(self, snapshot: IndexSnapshot, field: IndexField, options: SpatialOptions) -> None:
        self._snapshot = snapshot
        self._cells = field.number
        self._options = options
        self._x, self._y, self._shapes = (self._number(field.name + suffix) for suffix in (X, Y, SHAPE))

    def _number(self, name: str) -> int | None:
        found = self._snapshot.field(name)
        return None if found is None else found.number

    def relating(self, relation: Relation, shape: Shape, within: Matches | None) -> Matches:
        """Entries whose place relates to the shape; not for DISJOINT, which cells do not tell."""
        cover = query_cover(shape, self._options.bounds)
        inside = self._in_cells(cover.inside, within)
        border = Matches.union_all([self._in_cells(cover.border, within), self._around(cover, within)]).minus(inside)
        shaped = NOTHING if self._shapes is None else self._snapshot.exists(self._shapes, within=within)
        if relation is Relation.CONTAINS and as_point(shape) is None:
            # Only a shape contains more than a place.
            return self._shapes_relating(inside.union(border).intersect(shaped), relation, shape)
        if relation is Relation.INTERSECTS:
            found, unsure = inside, border.intersect(shaped)
        else:
            found, unsure = inside.minus(shaped), inside.union(border).intersect(shaped)
        points = self._points_within(border.minus(shaped), shape)
        return Matches.union_all([found, points, self._shapes_relating(unsure, relation, shape)])

    def _in_cells(self, names: Iterable[str], within: Matches | None) -> Matches:
        """Entries with a cell within one of these."""
        joined = ranges(names)
        if within is None:
            return self._snapshot.ranges(self._cells, [(low, high + BEHIND) for low, high in joined])
        return Matches.union_all([
            self._snapshot.range(self._cells, low, high + BEHIND, include_high=False, within=within)
            for low, high in joined
        ])  # fmt: skip

    def _around(self, cover: Cover, within: Matches | None) -> Matches:
        """Entries known by a larger cell that one of these lies in; points are known by the smallest alone."""
        if self._shapes is None:
            return NOTHING
        return self._snapshot.in_(self._cells, cover.ancestors(), within=within)

    def _points_within(self, entries: Matches, shape: Shape) -> Matches:
        if self._x is None or self._y is None or not len(entries):
            return NOTHING
        xs = self._snapshot.numbers(entries, self._x)
        ys = self._snapshot.numbers(entries, self._y)
        mask = np.frombuffer(points_within(shape, xs, ys), dtype=np.bool_)
        return Matches.of(np.frombuffer(memoryview(entries), dtype=np.uint64)[mask])

    def _shapes_relating(self, entries: Matches, relation: Relation, shape: Shape) -> Matches:
        found = []
        for entry, other in self._shapes_of(entries):
            if relates(other, relation, shape):
                found.append(entry)
        return Matches.of(found)

    def _shapes_of(self, entries: Ids) -> Iterable[tuple[int, Shape]]:
        """The shapes of entries that have one, a step at a time."""
        for start in range(0, len(entries) if self._shapes is not None else 0, SPATIAL_SHAPES_STEP):
            part = entries[start : start + SPATIAL_SHAPES_STEP]
            assert self._shapes is not None
            for entry, pieces in zip(part, self._snapshot.values(part, self._shapes), strict=True):
                if pieces:
                    yield entry, stored_shape([str(each) for each in pieces], self._options)

    def distances(self, place: tuple[float, float], ids: Ids) -> Column:
        """In the field's units; NaN for an entry without a place."""
        x, y = place
        found: Column = np.full(len(ids), np.nan)
        if self._x is not None and self._y is not None:
            xs, ys = self._snapshot.numbers(ids, self._x), self._snapshot.numbers(ids, self._y)
            found = self._measured(xs, ys, x, y)
        middles = {entry: center(shape) for entry, shape in self._shapes_of(ids)}
        if middles:
            where = np.flatnonzero(np.isin(np.frombuffer(memoryview(ids), dtype=np.uint64), list(middles)))
            chosen = [middles[int(ids[int(index)])] for index in where]
            columns = array("d", [each[0] for each in chosen]), array("d", [each[1] for each in chosen])
            found[where] = self._measured(*columns, x, y)
        return found

    def _measured(self, xs: Any, ys: Any, x: float, y: float) -> Column:
        if not self._options.geographic:
            return np.hypot(np.asarray(xs) - x, np.asarray(ys) - y)
        kilometres = np.array(places.distances(ys, xs, y, x))
        return kilometres * self._options.units.from_km(1.0)

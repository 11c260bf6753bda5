"""Conditions about places over one snapshot: cells find the candidates, the shapes themselves decide.

The cells of the query's shape are ranges of terms. Points in cells that lie inside the shape are found with no further
look; points in cells on its border, and everything that is no point, are looked at one by one, a step at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from pynori_core.matches import Matches, Ordered

from pynori.errors import InvalidQuery
from pynori.limits import QUERY_SORTED_STEP
from pynori.queries.match import NOTHING
from pynori.queries.names import IndexNames
from pynori.queries.requirements import spatial_name
from pynori.queries.values import Values
from pynori.rql.ast import Call, Expression, Path, as_path
from pynori.spatial.cells import BEHIND, query_cover, ranges
from pynori.spatial.distance import haversine_km, units_of
from pynori.spatial.options import SpatialOptions
from pynori.spatial.relations import Relation, covers_point, relates
from pynori.spatial.shapes import Shape, as_point, center, circle
from pynori.spatial.stored import SHAPE, X, Y, stored_shape

if TYPE_CHECKING:
    from pynori_core.index_store import IndexField, IndexSnapshot

Column = np.ndarray[Any, np.dtype[np.float64]]
RELATIONS = {
    "spatial.within": Relation.WITHIN,
    "spatial.contains": Relation.CONTAINS,
    "spatial.intersects": Relation.INTERSECTS,
    "spatial.disjoint": Relation.DISJOINT,
}


class Places:
    """The spatial side of one query. options: those of a field by its name."""

    def __init__(
        self, snapshot: IndexSnapshot, names: IndexNames, values: Values, options: Callable[[str], SpatialOptions],
        alias: str | None,
    ) -> None:  # fmt: skip
        self._snapshot = snapshot
        self._names = names
        self._values = values
        self._options = options
        self._alias = alias

    def match(self, call: Call, within: Matches | None) -> Matches:
        """Entries of `within` whose shape relates to the query's as the call says."""
        if len(call.arguments) not in (2, 3):
            raise InvalidQuery(f"{call.name}() takes a field and a shape")
        name = self._name(call.arguments[0])
        options = self._options(name)
        shape = self._shape(call.arguments[1], options)
        fields = self._fields(name)
        if fields is None:
            return NOTHING
        relation = RELATIONS[call.name]
        if relation is Relation.DISJOINT:
            everything = self._snapshot.exists(fields[0].number, within=within)
            return everything.minus(self._related(fields, Relation.INTERSECTS, shape, options, within))
        return self._related(fields, relation, shape, options, within)

    def _related(
        self, fields: _Fields, relation: Relation, shape: Shape, options: SpatialOptions, within: Matches | None
    ) -> Matches:
        index, number = self._snapshot, fields[0].number
        cover = query_cover(shape, options.bounds)
        inside = self._in_cells(number, cover.inside, within)
        border = self._in_cells(number, cover.border, within)
        larger = index.in_(number, cover.ancestors(), within=within)
        # Whatever is no point lies in several cells: that one of them is inside says little.
        others = NOTHING if fields[3] is None else index.exists(fields[3].number)
        sure = NOTHING if relation is Relation.CONTAINS else inside.minus(others)
        doubtful = Matches.union_all([inside, border, larger]).minus(sure)
        kept = [sure]
        for start in range(0, len(doubtful), QUERY_SORTED_STEP):
            part = doubtful[start : start + QUERY_SORTED_STEP]
            kept.append(Matches.of(self._checked(part, fields, relation, shape, options)))
        return Matches.union_all(kept)

    def _in_cells(self, number: int, names: tuple[str, ...], within: Matches | None) -> Matches:
        found = [
            self._snapshot.range(number, low, high + BEHIND, include_high=False, within=within)
            for low, high in ranges(names)
        ]
        return Matches.union_all(found)

    def _checked(
        self, part: Matches, fields: _Fields, relation: Relation, shape: Shape, options: SpatialOptions
    ) -> Iterator[int]:
        for entry, place, pieces in self._places(part, fields):
            if place is not None and relation is not Relation.CONTAINS:
                if covers_point(shape, *place):
                    yield entry
            elif place is not None:
                if relates(options.point(place[1], place[0]), relation, shape):
                    yield entry
            elif pieces and relates(stored_shape(pieces, options), relation, shape):
                yield entry

    def _places(self, ids: Matches | Ordered, fields: _Fields) -> Iterator[tuple[int, tuple[float, float] | None, Any]]:
        """Each entry with its point, or with the pieces of its shape."""
        index = self._snapshot
        nothing = np.full(len(ids), np.nan)
        xs = nothing if fields[1] is None else np.asarray(index.numbers(ids, fields[1].number))
        ys = nothing if fields[2] is None else np.asarray(index.numbers(ids, fields[2].number))
        shapes = [[]] * len(ids) if fields[3] is None else index.values(ids, fields[3].number)
        for entry, x, y, pieces in zip(ids, xs.tolist(), ys.tolist(), shapes, strict=True):
            yield entry, None if x != x or y != y else (x, y), pieces

    def distances(self, call: Call, ids: Matches | Ordered) -> Column:
        """How far each entry is from the place of a call of spatial.distance; infinite where it has none."""
        if len(call.arguments) not in (2, 3):
            raise InvalidQuery("spatial.distance() takes a field and a place")
        name = self._name(call.arguments[0])
        options = self._options(name)
        x, y = center(self._shape(call.arguments[1], options))
        step = self._values.number(call.arguments[2], "the step of spatial.distance()") if call.arguments[2:] else 0
        fields = self._fields(name)
        found = np.full(len(ids), np.inf)
        for start in range(0, len(ids) if fields is not None else 0, QUERY_SORTED_STEP):
            assert fields is not None
            part = ids[start : start + QUERY_SORTED_STEP]
            for position, (_, place, pieces) in enumerate(self._places(part, fields), start):
                if place is None and not pieces:
                    continue
                found[position] = self._distance(place or center(stored_shape(pieces, options)), x, y, options)
        return found if not step else np.floor(found / step) * step

    @staticmethod
    def _distance(place: tuple[float, float], x: float, y: float, options: SpatialOptions) -> float:
        if not options.geographic:
            return float(np.hypot(place[0] - x, place[1] - y))
        return options.units.from_km(haversine_km(place[1], place[0], y, x))

    # ---- what the query names

    def _name(self, expression: Expression) -> str:
        """The index's name of a spatial field; a text may hold the call of a dynamic one."""
        if isinstance(expression, Call):
            return spatial_name(expression, self._alias)
        path = as_path(expression)
        if path is None:
            raise InvalidQuery("a spatial condition begins with a field")
        return path.without(self._alias).text

    def _fields(self, name: str) -> _Fields | None:
        """The field itself, and those of x, y and shape; None when no entry has a place."""
        found = [self._names.find(Path((name + suffix,))) for suffix in ("", X, Y, SHAPE)]
        return None if found[0] is None else (found[0], found[1], found[2], found[3])

    def _shape(self, expression: Expression, options: SpatialOptions) -> Shape:
        if not isinstance(expression, Call):
            return options.shape(self._values.text(expression, "a shape"))
        arguments = expression.arguments
        if expression.name == "spatial.wkt" and len(arguments) in (1, 2):
            units = units_of(self._values.of(arguments[1]), options.units) if arguments[1:] else None
            return options.shape(self._values.text(arguments[0], "the text of spatial.wkt()"), units)
        numbers = [self._values.number(each, f"an argument of {expression.name}()") for each in arguments[:3]]
        if expression.name == "spatial.point" and len(numbers) == 2:
            return options.point(numbers[0], numbers[1])
        if expression.name == "spatial.circle" and len(numbers) == 3:
            units = units_of(self._values.of(arguments[3]), options.units) if arguments[3:] else options.units
            radius = units.to_km(numbers[0]) if options.geographic else numbers[0]
            place = as_point(options.point(numbers[1], numbers[2]))
            assert place is not None
            return circle(*place, radius, geographic=options.geographic)
        raise InvalidQuery("a shape is spatial.circle(), spatial.wkt() or spatial.point()")


_Fields = tuple["IndexField", "IndexField | None", "IndexField | None", "IndexField | None"]

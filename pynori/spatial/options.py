"""How a spatial field is kept: on the sphere or a plane, exactly or by its bounding box, within which bounds.

The names are those of index definitions. All strategies share one tree of cells and, but for bounding boxes, an exact
check behind it; so neither the number of levels nor an error percentage of a query changes what is found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pynori.errors import InvalidArgument
from pynori.spatial import wkt
from pynori.spatial.distance import Units, units_of
from pynori.spatial.shapes import WORLD, Bounds, Shape, bounding_box, many, point

PLANE: Final[Bounds] = (-(2.0**31), -(2.0**31), 2.0**31, 2.0**31)  # of a plane of which nothing is said
STRATEGIES: Final = {"geohashprefixtree": "GeohashPrefixTree", "quadprefixtree": "QuadPrefixTree",
                     "boundingbox": "BoundingBox"}  # fmt: skip
# Names of coordinates in objects, in lower case.
_LATITUDE: Final = ("latitude", "lat")
_LONGITUDE: Final = ("longitude", "lng", "lon", "long")


@dataclass(frozen=True, slots=True)
class SpatialOptions:
    """bounds: of the tree of cells; what lies outside is found, only less quickly."""

    geographic: bool = True
    strategy: str = "GeohashPrefixTree"
    bounds: Bounds = WORLD
    units: Units = Units.KILOMETERS

    @property
    def boxes_only(self) -> bool:
        """Whether a shape is known by its bounding box alone."""
        return self.strategy == "BoundingBox"

    def shape(self, text: str, units: Units | None = None) -> Shape:
        """The shape of a text. units: of a circle's radius, the field's own when None."""
        return wkt.parse(text, geographic=self.geographic, units=units or self.units)

    def point(self, latitude: float, longitude: float) -> Shape:
        """A place; on a plane its x is the longitude, its y the latitude."""
        return point(longitude, latitude, geographic=self.geographic)

    def indexed_shape(self, value: Any) -> Shape | None:
        """The shape of a value of a document: text, (latitude, longitude), an object with these, GeoJSON, or a list
        of any of these; coordinates may be texts of numbers. None for null and for a place of which a coordinate is
        missing.

        Raises: InvalidArgument for what is no place.
        """
        shape = self._read(value)
        return bounding_box(shape) if shape is not None and self.boxes_only else shape

    def _read(self, value: Any) -> Shape | None:
        if value is None:
            return None
        if isinstance(value, str):
            return self.shape(value) if value.strip() else None
        if isinstance(value, Mapping):
            return self._read_object(value)
        if isinstance(value, list | tuple):
            if len(value) == 2 and all(each is None or _is_coordinate(each) for each in value):
                return None if None in value else self.point(float(value[0]), float(value[1]))
            found = [shape for shape in map(self._read, value) if shape is not None]
            return many(found) if found else None
        raise InvalidArgument(f"{str(value)[:40]!r} is not a place")

    def _read_object(self, value: Mapping[str, Any]) -> Shape | None:
        keys = {str(key).lower(): each for key, each in value.items()}
        if "type" in keys and ("coordinates" in keys or "geometries" in keys):
            return self.shape(geojson_text(keys))
        latitude = next((keys[name] for name in _LATITUDE if name in keys), None)
        longitude = next((keys[name] for name in _LONGITUDE if name in keys), None)
        if latitude is None or longitude is None:
            return None
        if not (_is_coordinate(latitude) and _is_coordinate(longitude)):
            raise InvalidArgument("latitude and longitude must be numbers")
        return self.point(float(latitude), float(longitude))


def options_from(definition: Mapping[str, Any] | None) -> SpatialOptions:
    """The options of a field of an index definition; None gives the default. Raises InvalidArgument."""
    keys = {str(key).lower(): value for key, value in (definition or {}).items() if value is not None}
    kind = str(keys.get("type", "Geography")).lower()
    if kind not in ("geography", "cartesian"):
        raise InvalidArgument(f"a spatial field is Geography or Cartesian, not '{kind[:40]}'")
    geographic = kind == "geography"
    strategy = STRATEGIES.get(str(keys.get("strategy", "GeohashPrefixTree")).lower())
    if strategy is None:
        raise InvalidArgument(f"there is no spatial strategy '{str(keys['strategy'])[:40]}'")
    bounds = WORLD if geographic else _plane_bounds(keys)
    return SpatialOptions(geographic, strategy, bounds, units_of(keys.get("units")))


def _plane_bounds(keys: Mapping[str, Any]) -> Bounds:
    """The bounds that a definition gives. Bounds that say nothing, or cannot be halved, are those of PLANE."""
    given = [keys.get(name) for name in ("minx", "miny", "maxx", "maxy")]
    if not all(_is_number(each) for each in given):
        return PLANE
    x_low, y_low, x_high, y_high = (float(each) for each in given if each is not None)
    usable = all(math.isfinite(each) and abs(each) <= PLANE[2] for each in (x_low, y_low, x_high, y_high))
    world = (x_low, y_low, x_high, y_high) == WORLD
    return (x_low, y_low, x_high, y_high) if usable and not world and x_low < x_high and y_low < y_high else PLANE


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_coordinate(value: Any) -> bool:
    """A number, or its text: exported tables often hold numbers as texts."""
    if not isinstance(value, str):
        return _is_number(value)
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


def geojson_text(geometry: Mapping[str, Any]) -> str:
    """A GeoJSON geometry as WKT; keys in lower case at the top. Raises InvalidArgument."""
    kind = str(geometry["type"]).upper()
    if kind == "GEOMETRYCOLLECTION":
        inner = geometry.get("geometries")
        if not isinstance(inner, list) or not all(isinstance(each, Mapping) and "type" in each for each in inner):
            raise InvalidArgument("a GeoJSON collection holds a list of geometries")
        return f"GEOMETRYCOLLECTION ({', '.join(map(geojson_text, inner))})" if inner else "GEOMETRYCOLLECTION EMPTY"
    text = _coordinates_text(geometry.get("coordinates"), 0)
    return f"{kind} {text if text.startswith('(') else f'({text})'}"


def _coordinates_text(coordinates: Any, depth: int) -> str:
    if not isinstance(coordinates, list) or not coordinates or depth > 4:
        raise InvalidArgument("GeoJSON coordinates are lists of numbers")
    if all(map(_is_number, coordinates)):
        return " ".join(repr(float(each)) for each in coordinates)
    return "(" + ", ".join(_coordinates_text(each, depth + 1) for each in coordinates) + ")"

"""Texts of shapes: every form that is read, where it lies, and what is refused."""

import math
import random

import pytest

from pynori.errors import InvalidArgument
from pynori.spatial import wkt
from pynori.spatial.distance import MILE_KM, Units
from pynori.spatial.options import SpatialOptions, options_from
from pynori.spatial.relations import covers_point
from pynori.spatial.shapes import Circle, Figure, Many, as_point, bounding_box, center, members
from pynori.spatial.stored import shape_text, stored_shape, stored_values

FORMS = """
POINT (30 10)                                            30 10 30 10
point(30 10)                                             30 10 30 10
POINT Z (30 10 5)                                        30 10 30 10
LINESTRING (30 10, 10 30, 40 40)                         10 10 40 40
POLYGON ((30 10, 40 40, 20 40, 10 20, 30 10))            10 10 40 40
POLYGON ((35 10, 45 45, 15 40, 10 20, 35 10), (20 30, 35 35, 30 20, 20 30))  10 10 45 45
MULTIPOINT (10 40, 40 30)                                10 30 40 40
MULTIPOINT ((10 40), (40 30))                            10 30 40 40
MULTILINESTRING ((10 10, 20 20), (40 40, 30 30))         10 10 40 40
MULTIPOLYGON (((30 20, 45 40, 10 40, 30 20)), ((15 5, 40 10, 10 20, 15 5)))  10 5 45 40
GEOMETRYCOLLECTION (POINT (4 6), LINESTRING (4 6, 7 10)) 4 6 7 10
ENVELOPE (10, 20, 40, 30)                                10 30 20 40
BBOX (10, 30, 20, 40)                                    10 30 20 40
2 2 4 4                                                  2 2 4 4
30 10                                                    30 10 30 10
10, 30                                                   30 10 30 10
LINESTRING (170 0, -170 10)                              170 0 190 10
LINESTRING (-170 10, 170 0)                              170 0 190 10
ENVELOPE (170, -170, 10, 0)                              170 0 190 10
POLYGON ((170 0, -170 0, -170 10, 170 10, 170 0))        170 0 190 10
POLYGON ((0 60, 90 60, 180 60, -90 60, 0 60))            0 60 360 90
POLYGON ((0 -60, 90 -60, 180 -60, -90 -60, 0 -60))       0 -90 360 -60
"""


@pytest.mark.parametrize("row", FORMS.strip().split("\n"))
def test_forms_and_where_they_lie(row: str) -> None:
    """Each form is read; its bounds are x low, y low, x high, y high, in one piece across the dateline."""
    *text, x_low, y_low, x_high, y_high = row.split()
    shape = wkt.parse(" ".join(text))
    assert shape.bounds[1] == float(y_low) and shape.bounds[3] == float(y_high)
    assert (shape.bounds[0] - float(x_low)) % 360 == 0 and shape.bounds[2] - shape.bounds[0] == float(x_high) - float(
        x_low
    )


def test_circles_have_a_radius_in_kilometres_or_miles() -> None:
    """`CIRCLE(x y d=radius)` and its other spellings; bounds hold the circle, near a pole they go all around."""
    for text in ("CIRCLE(10 50 d=100)", "Circle(10 50, 100)", "circle( 50,10 d=100 )", "CIRCLE(10 50 distance=100)"):
        shape = wkt.parse(text)
        assert isinstance(shape, Circle) and (shape.x, shape.y, shape.radius) == (10, 50, 100)
    assert wkt.parse("CIRCLE(1 2 d=10)", units=Units.MILES) == wkt.parse(f"CIRCLE(1 2 d={10 * MILE_KM})")
    plane = wkt.parse("CIRCLE(1 2 d=10)", geographic=False, units=Units.MILES)
    assert plane.bounds == (-9, -8, 11, 12)
    north = wkt.parse("CIRCLE(10 89.9 d=100)")
    assert north.bounds[0] < -180 and north.bounds[2] > 180 and north.bounds[3] == 90
    dice = random.Random(2)
    for _ in range(300):
        shape = wkt.parse(f"CIRCLE({dice.uniform(-180, 180)} {dice.uniform(-85, 85)} d={dice.uniform(0, 500)})")
        low, bottom, high, top = shape.bounds
        for _ in range(20):
            x, y = dice.uniform(-180, 180), dice.uniform(-90, 90)
            if covers_point(shape, x, y):
                assert bottom <= y <= top and any(low <= x + turn <= high for turn in (-360, 0, 360))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a shape was expected"), ("POINT", r"'\(' was expected"), ("POINT (1)", "a number was expected"),
        ("POINT (1 2", r"'\)' was expected"), ("POINT (1 2) x", "the end was expected"), ("SPLINE (1 2)", "'SPLINE'"),
        ("POINT (1 95)", "latitude 95"), ("POINT (1e999 5)", "not a place"), ("LINESTRING (1 2)", "two points"),
        ("POLYGON ((1 2, 3 4))", "three points"), ("CIRCLE (1 2 d=-3)", "radius"), ("POLYGON (1 2)", r"'\('"),
        ("GEOMETRYCOLLECTION (" * 9 + "POINT (1 2)" + ")" * 9, "WKT_DEPTH_MAX"),
        ("POINT (1 2;)", "a shape was expected"), ("?", "a shape was expected"),
    ],
)  # fmt: skip
def test_wrong_texts_say_where(text: str, message: str) -> None:
    """Each wrong text is refused with what was expected."""
    with pytest.raises(InvalidArgument, match=message):
        wkt.parse(text)


def test_nowhere_is_a_shape() -> None:
    """EMPTY has no member."""
    assert wkt.parse("POINT EMPTY") == Many(()) == wkt.parse("GEOMETRYCOLLECTION EMPTY")


def test_values_of_documents_become_shapes() -> None:
    """Texts, pairs of latitude and longitude, objects, GeoJSON and lists of these; null and half a place are none."""
    read = SpatialOptions().indexed_shape
    assert read(["40.5", "-1.25"]) == read({"lat": "40.5", "lng": -1.25}) == read([40.5, -1.25])
    assert read(["40.5", None]) is None
    place = as_point(wkt.parse("POINT (30 10)"))
    for value in (
        "POINT (30 10)", (10, 30), [10.0, 30], {"Latitude": 10, "Longitude": 30}, {"lat": 10, "lng": 30},
        {"type": "Point", "coordinates": [30, 10]}, {"Type": "point", "Coordinates": [30, 10]}, [[10, 30]],
    ):  # fmt: skip
        shape = read(value)
        assert shape is not None and as_point(shape) == place
    assert read(None) is None and read((None, 3)) is None and read({"lat": 1}) is None and read("  ") is None
    several = read([(1, 2), "POINT (4 3)"])
    assert several is not None and len(members(several)) == 2
    area = read({"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 0]]]})
    assert area is not None and area.bounds == (0, 0, 4, 4)
    both = read({"type": "GeometryCollection", "geometries": [{"type": "LineString", "coordinates": [[0, 0], [1, 1]]}]})
    assert both is not None and both.bounds == (0, 0, 1, 1)
    for wrong in (True, 5, {"type": "Point", "coordinates": "x"}, {"lat": "north", "lng": 2}, "POINT (x)", {"type": 3,
                  "coordinates": []}):  # fmt: skip
        with pytest.raises(InvalidArgument):
            read(wrong)


def test_options_come_from_definitions() -> None:
    """Type, strategy, bounds and units by their names; bounds that cannot be used are those of the plane."""
    assert options_from(None) == SpatialOptions()
    boxes = options_from({"Type": "Cartesian", "Strategy": "BoundingBox"})
    assert not boxes.geographic and boxes.boxes_only
    assert boxes.indexed_shape("LINESTRING (0 0, 3 4)") == bounding_box(
        wkt.parse("LINESTRING (0 0, 3 4)", geographic=False)
    )
    quads = options_from(
        {"Type": "Cartesian", "Strategy": "QuadPrefixTree", "MinX": 0, "MinY": 0, "MaxX": 16, "MaxY": 16}
    )
    assert quads.bounds == (0, 0, 16, 16)
    assert options_from({"Type": "Cartesian", "MinX": 5, "MaxX": 5, "MinY": 0, "MaxY": math.inf}).bounds[0] == -(2**31)
    assert options_from({"Units": "Miles"}).units is Units.MILES
    for wrong in ({"Type": "Spherical"}, {"Strategy": "Guess"}, {"Units": "Leagues"}):
        with pytest.raises(InvalidArgument):
            options_from(wrong)


@pytest.mark.parametrize("row", FORMS.strip().split("\n")[3:])
def test_shapes_come_back_from_what_an_index_keeps(row: str) -> None:
    """The pieces of a shape's text hold the same shape, laid out the same way."""
    options = SpatialOptions()
    shape = wkt.parse(" ".join(row.split()[:-4]))
    values = stored_values(shape, options)
    if as_point(shape) is not None:
        assert (values["#x"], values["#y"]) == as_point(shape)
        return
    pieces = values["#shape"]
    assert isinstance(pieces, list) and pieces == sorted(pieces)
    again = stored_shape(pieces, options)
    assert shape_text(again) == shape_text(shape) and again.bounds == shape.bounds
    for one, other in zip(members(again), members(shape), strict=True):
        assert isinstance(one, Figure) and isinstance(other, Figure)
        assert set(one.vertices) == set(other.vertices) and one.edges == other.edges


def test_the_middle_of_a_shape_is_a_place() -> None:
    """Distances are counted from a place with a longitude between -180 and 180."""
    assert center(wkt.parse("ENVELOPE (170, -160, 10, 0)")) == (-175, 5)
    assert center(wkt.parse("CIRCLE (5 6 d=1)")) == (5, 6)

"""Cells: what is found by them is what is found by looking at everything."""

import random
from array import array

import pytest
from pynori_core import places

from pynori.spatial import cells, shapes, wkt
from pynori.spatial.cells import LEVELS, Cover, cover, query_cover, ranges, terms_of
from pynori.spatial.distance import haversine_km
from pynori.spatial.options import PLANE, options_from
from pynori.spatial.relations import covers_point, intersects, points_within
from pynori.spatial.shapes import WORLD, Bounds, Shape, point

QUERIES = [
    "CIRCLE (10 50 d=20)", "CIRCLE (10 50 d=1500)", "CIRCLE (179.9 10 d=300)", "CIRCLE (40 89.5 d=500)",
    "CIRCLE (0 0 d=15000)", "CIRCLE (-70 -85 d=2500)", "CIRCLE (5 5 d=0)", "ENVELOPE (-20, 30, 40, -10)",
    "ENVELOPE (170, -170, 10, -10)", "ENVELOPE (-180, 180, 90, -90)", "POLYGON ((0 0, 40 10, 50 50, 10 40, 20 20))",
    "POLYGON ((170 -20, -150 -30, -160 40, 175 45))", "POLYGON ((0 60, 90 50, 180 70, -90 60))",
    "POLYGON ((0 0, 90 0, 90 80, 0 80), (20 20, 70 20, 70 60, 20 60))", "LINESTRING (0 0, 50 50)", "POINT (5 5)",
    "GEOMETRYCOLLECTION (CIRCLE (0 0 d=500), ENVELOPE (20, 40, 40, 20), POINT (3 3))", "POINT EMPTY",
]  # fmt: skip


def found_by(terms: list[str], covered: Cover) -> tuple[bool, bool]:
    """Whether a document with these cells is found at all, and by a cell that lies inside the query's shape."""
    inside = any(low <= term < high + "4" for term in terms for low, high in ranges(covered.inside))
    border = any(low <= term < high + "4" for term in terms for low, high in ranges(covered.border))
    return inside or border or bool(set(terms) & set(covered.ancestors())), inside


@pytest.mark.parametrize("text", QUERIES)
def test_points_are_found_by_cells(text: str) -> None:
    """Every point of the shape is found, and a point found by an inner cell belongs to it."""
    dice = random.Random(len(text))
    shape = wkt.parse(text)
    covered = query_cover(shape)
    for _ in range(500):
        x, y = dice.uniform(-180, 180), dice.uniform(-90, 90)
        if dice.random() < 0.3:
            x, y = round(x, -1), round(y, -1)
        place = point(x, y)
        found, inside = found_by(terms_of(place), covered)
        belongs = covers_point(shape, x, y)
        assert found or not belongs, (x, y)
        assert belongs or not inside, (x, y)


@pytest.mark.parametrize("text", QUERIES)
def test_shapes_are_found_by_cells(text: str) -> None:
    """Every shape that shares a place with the query's is found, and one found by an inner cell does."""
    dice = random.Random(len(text))
    shape = wkt.parse(text)
    covered = query_cover(shape)
    for _ in range(25):
        x, y, size = dice.uniform(-180, 180), dice.uniform(-80, 75), dice.choice([0.01, 1.0, 5.0, 40.0])
        other = dice.choice([
            f"CIRCLE ({x} {y} d={size * 50})", f"LINESTRING ({x} {y}, {x + size} {y + min(size, 10)})",
            f"ENVELOPE ({x}, {x + size}, {y + min(size, 10)}, {y})", f"MULTIPOINT ({x} {y}, {x + size} {y})",
        ])  # fmt: skip
        document = wkt.parse(other)
        found, inside = found_by(terms_of(document), covered)
        meets = intersects(document, shape)
        assert found or not meets, other
        assert meets or not inside, other


def test_cells_of_a_plane_go_on_for_ever() -> None:
    """Places outside the bounds of the tree are found as those inside, by the cells at its rim."""
    options = options_from({"Type": "Cartesian", "MinX": 0, "MinY": 0, "MaxX": 16, "MaxY": 16})
    dice = random.Random(1)
    shapes = ["2 2 4 4", "-50 -50 5 5", "10 10 90 90", "CIRCLE (20 20 d=30)", "POLYGON ((0 0, 50 0, 25 60))"]
    for text in shapes:
        shape = options.shape(text)
        covered = query_cover(shape, options.bounds)
        for _ in range(300):
            x, y = dice.uniform(-60, 100), dice.uniform(-60, 100)
            found, inside = found_by(terms_of(point(x, y, geographic=False), options.bounds), covered)
            belongs = covers_point(shape, x, y)
            assert (found or not belongs) and (belongs or not inside), (text, x, y)


def test_a_cell_is_the_square_that_its_name_says() -> None:
    """Quartering by hand gives the name; all names of a point begin with each other."""
    dice = random.Random(8)
    for bounds in (WORLD, PLANE):
        for _ in range(300):
            x, y = dice.uniform(bounds[0], bounds[2]), dice.uniform(bounds[1], bounds[3])
            name = places.cell(x, y, bounds, LEVELS)
            assert all(places.cell(x, y, bounds, level) == name[:level] for level in range(LEVELS))
            assert contains(bounds, name, x, y)
    assert places.cell(-180, -90, WORLD, 3) == "000" and places.cell(180, 90, WORLD, 3) == "333"
    with pytest.raises(ValueError, match="26 levels"):
        places.cell(0, 0, WORLD, 27)


def contains(bounds: Bounds, name: str, x: float, y: float) -> bool:
    x_low, y_low, x_high, y_high = bounds
    for digit in name:
        x_middle, y_middle = (x_low + x_high) / 2, (y_low + y_high) / 2
        x_low, x_high = (x_middle, x_high) if digit in "13" else (x_low, x_middle)
        y_low, y_high = (y_middle, y_high) if digit in "23" else (y_low, y_middle)
    return x_low <= x <= x_high and y_low <= y <= y_high


def test_ranges_join_what_lies_next_to_each_other() -> None:
    """A first quarter follows nothing: its parent's name lies before it."""
    assert ranges(["00", "01", "02", "03"]) == [("00", "03")]
    assert ranges(["01", "00", "3"]) == [("00", "01"), ("3", "3")]
    assert ranges(["0133", "02"]) == [("0133", "02")]
    assert ranges(["013", "020"]) == [("013", "013"), ("020", "020")]
    assert ranges([""]) == [("", "")] and ranges([]) == []


def test_covers_are_bounded() -> None:
    """No shape takes more cells than it may."""
    for text in QUERIES:
        for most in (4, 16, 64):
            covered = cover(wkt.parse(text), WORLD, most)
            assert len(covered.inside) + len(covered.border) <= most


def brute_force(shape: Shape, radius: tuple[float, float, float] | None, points: list[tuple[float, float]]) -> set[int]:
    if radius is None:
        return {index for index, place in enumerate(points) if covers_point(shape, *place)}
    x, y, most = radius
    return {index for index, place in enumerate(points) if haversine_km(y, x, place[1], place[0]) <= most}


def test_a_hundred_thousand_points_by_brute_force() -> None:
    """Circles and polygons over 100,000 random points: the native mask is what looking at every point gives."""
    dice = random.Random(100_000)
    points = [(dice.uniform(-180, 180), dice.uniform(-90, 90)) for _ in range(100_000)]
    xs, ys = array("d", [x for x, _ in points]), array("d", [y for _, y in points])
    for text, radius in (("CIRCLE (13 52 d=900)", (13.0, 52.0, 900.0)), ("POLYGON ((0 0, 40 10, 50 50, 20 20))", None)):
        shape = wkt.parse(text)
        mask = points_within(shape, xs, ys)
        assert {index for index, bit in enumerate(mask) if bit} == brute_force(shape, radius, points)
        assert sum(mask) > 100


def test_circles_and_boxes_are_covered_natively_as_other_shapes_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random ones on the sphere, over the dateline and the poles, and on planes: equal to the last cell."""
    dice = random.Random(17)
    plane = (-1_000.0, -500.0, 3_000.0, 2_500.0)
    asked: list[tuple[Shape, Bounds, int]] = []
    for _ in range(300):
        x, y, size = dice.uniform(-180, 180), dice.choice((-89.9, 0.0, dice.uniform(-90, 90))), dice.uniform(0, 20)
        geographic = dice.random() < 0.7
        radius = dice.choice((0.0, 0.01, 5.0, 300.0, 9_000.0, 20_100.0))
        one = shapes.circle(x, y, radius, geographic=geographic)
        top = min(y + size, 90.0) if geographic else y + size
        other = shapes.box(x, y, x + size * dice.choice((0, 1, 20)), top, geographic=geographic)
        shape = dice.choice((one, other, shapes.many([one, other])))
        asked.append((shape, WORLD if geographic else plane, dice.choice((4, 8, 32, 200))))
    native = [cells.cover(*each) for each in asked]
    monkeypatch.setattr(cells, "_simple_parts", lambda shape, bounds: None)
    for given, found in zip(asked, native, strict=True):
        plain = cells.cover(*given)
        assert (sorted(found.inside), sorted(found.border)) == (sorted(plain.inside), sorted(plain.border)), given

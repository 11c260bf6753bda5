"""How shapes relate, against sampling: what two shapes share, and what lies within what."""

import random
from array import array

import pytest

from pynori.spatial import wkt
from pynori.spatial.distance import DEGREE_KM, haversine_km
from pynori.spatial.relations import Relation, covers_point, intersects, points_within, relates, within
from pynori.spatial.shapes import Shape, point

# One shape, how it relates to the other one: w within, c contains, i intersects, d disjoint.
TABLE = """
POINT (1 1)                              | POINT (1 1)                                    | w c i
POINT (180 5)                            | POINT (-180 5)                                 | w c i
POINT (1 1)                              | POINT (1 2)                                    | d
POINT (5 5)                              | POLYGON ((0 0, 10 0, 10 10, 0 10, 0 0))        | w i
POINT (0 5)                              | POLYGON ((0 0, 10 0, 10 10, 0 10, 0 0))        | w i
POINT (5 5)                              | POLYGON ((0 0, 10 0, 10 10, 0 10), (4 4, 6 4, 6 6, 4 6)) | d
POINT (4 5)                              | POLYGON ((0 0, 10 0, 10 10, 0 10), (4 4, 6 4, 6 6, 4 6)) | w i
POINT (1 1)                              | LINESTRING (0 0, 2 2)                          | w i
LINESTRING (0 0, 1 1, 2 1)               | LINESTRING (1 0, 1 1, 1 2)                     | i
LINESTRING (0 0, 2 2)                    | LINESTRING (0 0, 1 1, 3 3)                     | w i
LINESTRING (0 0, 1 1)                    | LINESTRING (0 1, 1 2)                          | d
LINESTRING (1 1, 9 9)                    | POLYGON ((0 0, 10 0, 10 10, 0 10), (4 4, 6 4, 6 6, 4 6)) | i
LINESTRING (0 0, 10 0)                   | POLYGON ((0 0, 10 0, 10 10, 0 10))             | w i
POLYGON ((1 1, 3 1, 3 3, 1 3))           | POLYGON ((0 0, 10 0, 10 10, 0 10), (4 4, 6 4, 6 6, 4 6)) | w i
POLYGON ((1 1, 9 1, 9 9, 1 9))           | POLYGON ((0 0, 10 0, 10 10, 0 10), (4 4, 6 4, 6 6, 4 6)) | i
POLYGON ((0 0, 10 0, 10 10, 0 10))       | POLYGON ((0 0, 10 0, 10 10, 0 10))             | w c i
POLYGON ((0 0, 0 5, 1 5, 1 1, 5 1, 5 5, 6 5, 6 0, 0 0)) | 2 2 4 4                        | d
POLYGON ((0 0, 0 5, 1 5, 1 1, 5 1, 5 5, 6 5, 6 0, 0 0)) | 0 0 6 6                        | w i
POLYGON ((4.5 4.5, 5.5 4.5, 5.5 5.5))    | POLYGON ((0 0, 10 0, 10 10, 0 10), (4 4, 6 4, 6 6, 4 6)) | d
POINT (179 5)                            | ENVELOPE (170, -170, 10, 0)                    | w i
POINT (-175 5)                           | POLYGON ((170 0, -170 0, -170 10, 170 10))     | w i
LINESTRING (175 1, -175 9)               | ENVELOPE (170, -170, 10, 0)                    | w i
LINESTRING (165 1, -175 9)               | ENVELOPE (170, -170, 10, 0)                    | i
ENVELOPE (175, -175, 5, 1)               | ENVELOPE (-180, 180, 90, -90)                  | w i
POINT (77 88)                            | POLYGON ((0 60, 90 60, 180 60, -90 60))        | w i
POINT (77 50)                            | POLYGON ((0 60, 90 60, 180 60, -90 60))        | d
CIRCLE (20 90 d=500)                     | POLYGON ((0 60, 90 60, 180 60, -90 60))        | w i
CIRCLE (0 0 d=110)                       | CIRCLE (0 3 d=110)                             | d
CIRCLE (0 0 d=170)                       | CIRCLE (0 3 d=170)                             | i
CIRCLE (0 0 d=10)                        | CIRCLE (0 1 d=200)                             | w i
CIRCLE (179.9 0 d=30)                    | CIRCLE (-179.9 0 d=30)                         | i
CIRCLE (5 5 d=100)                       | POLYGON ((0 0, 10 0, 10 10, 0 10, 0 0))        | w i
CIRCLE (5 5 d=600)                       | POLYGON ((0 0, 10 0, 10 10, 0 10, 0 0))        | i
POLYGON ((1 1, 3 1, 3 3, 1 3))           | CIRCLE (2 2 d=160)                             | w i
POLYGON ((1 1, 3 1, 3 3, 1 3))           | CIRCLE (2 2 d=150)                             | i
POINT (2 2)                              | CIRCLE (2 2 d=0)                               | w i
MULTIPOINT (1 1, 2 2)                    | POLYGON ((0 0, 10 0, 10 10, 0 10, 0 0))        | w i
MULTIPOINT (1 1, 20 2)                   | POLYGON ((0 0, 10 0, 10 10, 0 10, 0 0))        | i
POINT (1 1)                              | MULTIPOLYGON (((0 0, 2 0, 2 2)), ((5 5, 6 5, 6 6)))  | w i
POINT EMPTY                              | POLYGON ((0 0, 10 0, 10 10, 0 10, 0 0))        | d
"""
AREAS = [
    "ENVELOPE (-20, 30, 40, -10)", "ENVELOPE (150, -120, 60, -60)", "ENVELOPE (-180, 180, 90, -90)",
    "POLYGON ((0 0, 40 10, 50 50, 10 40, 20 20))", "POLYGON ((170 -20, -150 -30, -160 40, 175 45))",
    "POLYGON ((0 0, 90 0, 90 80, 0 80), (20 20, 70 20, 70 60, 20 60))",
    "POLYGON ((0 60, 90 50, 180 70, -90 60))", "POLYGON ((-10 -60, 100 -70, -120 -60))",
    "CIRCLE (10 50 d=1500)", "CIRCLE (179 0 d=3000)", "CIRCLE (40 85 d=1200)", "CIRCLE (-70 -89 d=2500)",
    "MULTIPOLYGON (((0 0, 10 0, 10 10)), ((20 20, 50 20, 50 50)))", "LINESTRING (0 0, 50 50)",
    "GEOMETRYCOLLECTION (CIRCLE (0 0 d=500), ENVELOPE (20, 40, 40, 20), POINT (3 3))",
]  # fmt: skip


def relations(one: Shape, other: Shape) -> set[str]:
    letters = {Relation.WITHIN: "w", Relation.CONTAINS: "c", Relation.INTERSECTS: "i", Relation.DISJOINT: "d"}
    return {letter for relation, letter in letters.items() if relates(one, relation, other)}


@pytest.mark.parametrize("row", TABLE.strip().split("\n"))
def test_relations_of_pairs(row: str) -> None:
    """Each pair relates as the table says, and the other way round."""
    one, other, expected = (part.strip() for part in row.split("|"))
    found = relations(wkt.parse(one), wkt.parse(other))
    assert found == set(expected.split())
    swapped = {"w": "c", "c": "w"}
    assert relations(wkt.parse(other), wkt.parse(one)) == {swapped.get(each, each) for each in found}


def inside_by_hand(text: str, x: float, y: float) -> bool | None:
    """Whether a place lies in one of AREAS, worked out apart; None too near to a border, or where nothing is said."""
    if text.startswith("CIRCLE"):
        x_middle, y_middle, radius = (float(each.strip("d=)")) for each in text.split("(")[1].split())
        apart = haversine_km(y_middle, x_middle, y, x)
        return None if abs(apart - radius) < 1e-6 else apart < radius
    if text.startswith("ENVELOPE"):
        low, high, top, bottom = (float(each) for each in text.split("(")[1].strip(")").split(","))
        return bottom <= y <= top and ((x - low) % 360 <= (high - low) % 360 or high - low == 360)
    return None


@pytest.mark.parametrize("text", AREAS)
def test_many_points_at_once_are_points_one_by_one(text: str) -> None:
    """The native passes agree with the looks at single points, and both with what is worked out by hand."""
    dice = random.Random(len(text))
    shape = wkt.parse(text)
    xs, ys = array("d"), array("d")
    for _ in range(600):
        xs.append(dice.choice([dice.uniform(-180, 180), dice.randrange(-18, 18) * 10]))
        ys.append(dice.choice([dice.uniform(-90, 90), dice.randrange(-9, 10) * 10]))
    xs.append(float("nan"))
    ys.append(5.0)
    mask = points_within(shape, xs, ys)
    assert mask[-1] == 0
    for index, (x, y) in enumerate(zip(xs[:-1], ys[:-1], strict=True)):
        assert bool(mask[index]) == covers_point(shape, x, y) == within(point(x, y), shape), (x, y)
        assert bool(mask[index]) == intersects(shape, point(x, y))
        by_hand = inside_by_hand(text, x, y)
        assert by_hand is None or bool(mask[index]) == by_hand, (x, y)


def test_circles_and_areas_agree_with_samples() -> None:
    """A circle touches an area when a place of the area is near enough, and lies within it when no place outside is."""
    dice = random.Random(9)
    for _ in range(40):
        x, y = dice.uniform(-30, 30), dice.uniform(-60, 60)
        size = dice.uniform(0.5, 4)
        area = wkt.parse(f"POLYGON (({x} {y}, {x + size} {y}, {x + size} {y + size}, {x} {y + size / 2}))")
        x_middle, y_middle = x + dice.uniform(-3, 6), y + dice.uniform(-3, 6)
        inside, outside = [], []
        for _ in range(2_000):
            place = dice.uniform(x - 4, x + size + 4), dice.uniform(y - 4, y + size + 4)
            (inside if covers_point(area, *place) else outside).append(haversine_km(y_middle, x_middle, *place[::-1]))
        slack = 0.3 * DEGREE_KM
        nearest, next_outside = min(inside), min(outside)
        farthest = max(haversine_km(y_middle, x_middle, *vertex[::-1]) for vertex in area.vertices)
        for share in (0.5, 0.9, 1.1, 2.0):
            radius = nearest * share + (slack if share > 1 else -slack)
            if radius > 0:
                circle = wkt.parse(f"CIRCLE ({x_middle} {y_middle} d={radius})")
                assert intersects(circle, area) == (share > 1)
        bigger = wkt.parse(f"CIRCLE ({x_middle} {y_middle} d={farthest + 1})")
        smaller = wkt.parse(f"CIRCLE ({x_middle} {y_middle} d={max(farthest - 1, 0)})")
        assert within(area, bigger) and not within(area, smaller)
        if next_outside > slack and covers_point(area, x_middle, y_middle):
            fits = wkt.parse(f"CIRCLE ({x_middle} {y_middle} d={next_outside - slack})")
            assert within(fits, area)


def test_random_areas_relate_as_their_samples_do() -> None:
    """No sampled place contradicts what is said of two polygons."""
    dice = random.Random(4)

    def some_polygon() -> Shape:
        x, y = dice.randrange(-8, 8), dice.randrange(-8, 8)
        corners = [(x, y), (x + dice.randrange(1, 9), y), (x + dice.randrange(1, 9), y + dice.randrange(1, 9))]
        return wkt.parse("POLYGON ((" + ", ".join(f"{a} {b}" for a, b in corners) + "))", geographic=False)

    places = [(x / 4 + 0.01, y / 4 + 0.02) for x in range(-36, 72, 3) for y in range(-36, 72, 3)]
    for _ in range(100):
        one, other = some_polygon(), some_polygon()
        both = [(covers_point(one, *place), covers_point(other, *place)) for place in places]
        if (True, True) in both:
            assert intersects(one, other)
        if (True, False) in both:
            assert not within(one, other)
        if within(one, other):
            assert intersects(one, other)
        if not intersects(one, other):
            assert not within(one, other) and not within(other, one)

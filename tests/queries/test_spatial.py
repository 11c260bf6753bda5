"""Conditions on places over an index, against looking at every place, and orders by distance."""

from __future__ import annotations

import random

import pytest

from pynori.errors import InvalidQuery
from pynori.spatial.distance import MILE_KM, haversine_km
from pynori.spatial.options import SpatialOptions, options_from
from pynori.spatial.relations import Relation, relates
from tests.queries.places_and_words import Shelf, shelved

CITIES = {
    "berlin": (52.52, 13.405), "potsdam": (52.4, 13.066), "paris": (48.857, 2.352), "suva": (-18.14, 178.44),
    "apia": (-13.83, -171.77), "longyearbyen": (78.22, 15.65), "quito": (-0.18, -78.47),
}  # fmt: skip
ENTRIES = {
    name: {"place": place, "name": name} for name, place in CITIES.items()
} | {"nowhere": {"place": None, "name": "nowhere"}}  # fmt: skip
GEOGRAPHY = {"place": SpatialOptions()}

CONDITIONS = """
spatial.within(place, spatial.circle(50, 52.52, 13.4))                 | berlin potsdam
spatial.within(place, spatial.circle(20, 52.52, 13.4))                 | berlin
spatial.within(place, spatial.circle(20, 52.52, 13.4, 'Miles'))        | berlin potsdam
spatial.within(place, spatial.circle($r, $lat, $lng, 'Kilometers'), 0.025) | berlin
spatial.within(place, spatial.wkt('CIRCLE(13.4 52.52 d=20)', 'Miles')) | berlin potsdam
spatial.within(place, spatial.wkt('POLYGON ((0 45, 20 45, 20 60, 0 60, 0 45))')) | berlin paris potsdam
spatial.within(place, spatial.wkt('ENVELOPE (170, -165, 0, -30)'))     | apia suva
spatial.intersects(place, spatial.circle(1300, -16, -176))             | apia suva
spatial.disjoint(place, spatial.wkt('ENVELOPE (-180, 180, 90, 0)'))    | apia quito suva
spatial.contains(place, spatial.wkt('POINT (13.405 52.52)'))           | berlin
spatial.contains(place, spatial.circle(1, 52.52, 13.405))              |
spatial.within(place, spatial.circle(2000, 90, 0))                     | longyearbyen
spatial.within(place, spatial.circle(50, 52.52, 13.4)) and name = 'potsdam' | potsdam
not spatial.within(place, spatial.circle(50, 52.52, 13.4)) and name > 'o' | paris quito suva
spatial.within('place', '13 52 14 53')                                 | berlin potsdam
"""


@pytest.mark.parametrize("row", CONDITIONS.strip().split("\n"))
def test_conditions_and_what_they_find(row: str) -> None:
    """Circles in kilometres and miles, polygons, boxes across the dateline, poles, and their opposites."""
    condition, expected = row.rsplit("|", 1)

    def test(shelf: Shelf) -> None:
        parameters = {"r": 20, "lat": 52.52, "lng": 13.4} if "$" in condition else {}
        assert sorted(shelf.ask(condition.strip(), **parameters)) == expected.split()

    shelved(ENTRIES, test, spatial=GEOGRAPHY)


def test_entries_in_the_order_of_their_distance() -> None:
    """Near ones first, or far ones; rounded distances are equal; entries without a place come last either way."""

    def test(shelf: Shelf) -> None:
        order = "order by spatial.distance(place, spatial.point(52, 13))"
        by_hand = sorted(CITIES, key=lambda name: haversine_km(52, 13, *CITIES[name]))
        assert shelf.ask("true", order) == [*by_hand, "nowhere"]
        assert shelf.ask("true", order + " desc") == [*reversed(by_hand), "nowhere"]
        assert shelf.ask("true", order.replace("place,", "'place',"), lat=1) == [*by_hand, "nowhere"]
        assert shelf.ask("true", order[:-1] + ", $nothing)", nothing=None) == [*by_hand, "nowhere"]
        rounded = "order by spatial.distance(place, spatial.wkt('POINT(13 52)'), 5000), name desc"
        steps = sorted(CITIES, reverse=True)
        steps.sort(key=lambda name: haversine_km(52, 13, *CITIES[name]) // 5000)
        assert shelf.ask("true", rounded) == [*steps, "nowhere"]
        rows = shelf.rows("name = 'paris'", order)
        assert rows[0].distance == pytest.approx(haversine_km(52, 13, *CITIES["paris"]))

    shelved(ENTRIES, test, spatial=GEOGRAPHY)

    def in_miles(shelf: Shelf) -> None:
        rows = shelf.rows("name = 'paris'", "order by spatial.distance(place, spatial.point(52, 13))")
        assert rows[0].distance == pytest.approx(haversine_km(52, 13, *CITIES["paris"]) / MILE_KM)
        assert shelf.ask("spatial.within(place, spatial.circle(20, 52.52, 13.4))") == ["berlin", "potsdam"]

    shelved(ENTRIES, in_miles, spatial={"place": options_from({"Units": "Miles"})})


@pytest.mark.parametrize("seed", range(3))
def test_shapes_agree_with_looking_at_each(seed: int) -> None:
    """Points, lines, boxes, circles and collections relate to random shapes as they do without an index."""
    dice = random.Random(seed)

    def some_shape(wide: float) -> str:
        x, y, size = dice.uniform(-180, 180), dice.uniform(-70, 35), dice.uniform(0.1, wide)
        return dice.choice([
            f"POINT ({x} {y})", f"LINESTRING ({x} {y}, {x + size} {y + size / 3})",
            f"ENVELOPE ({x}, {(x + size + 180) % 360 - 180}, {y + size / 3}, {y})", f"CIRCLE ({x} {y} d={size * 50})",
            f"POLYGON (({x} {y}, {x + size} {y}, {x + size / 2} {y + size / 3}))",
            f"MULTIPOINT ({x} {y}, {x + size} {y})",
        ])  # fmt: skip

    options = SpatialOptions()
    texts = {str(number): some_shape(dice.choice([1, 20, 90])) for number in range(150)}

    def test(shelf: Shelf) -> None:
        for _ in range(12):
            asked = some_shape(dice.choice([5, 60, 150]))
            for relation in Relation:
                found = shelf.ask(f"spatial.{relation.value}(place, spatial.wkt($w))", w=asked)
                shape = options.shape(asked)
                expected = [id for id, text in texts.items() if relates(options.shape(text), relation, shape)]
                assert found == expected, (relation, asked)
        order = "order by spatial.distance(place, spatial.point(10, 20))"
        assert len(shelf.ask("true", order)) == len(texts)

    shelved({id: {"place": text} for id, text in texts.items()}, test, spatial={"place": options})


def test_planes_and_bounding_boxes() -> None:
    """On a plane of boxes a shape is its box; on one of quarters it is what it is; coordinates have no end."""
    arch = "POLYGON ((0 0, 0 5, 1 5, 1 1, 5 1, 5 5, 6 5, 6 0, 0 0))"
    boxes = options_from({"Type": "Cartesian", "Strategy": "BoundingBox"})
    quads = options_from({
        "Type": "Cartesian", "Strategy": "QuadPrefixTree", "MaxTreeLevel": 6,
        "MinX": 0, "MinY": 0, "MaxX": 16, "MaxY": 16,
    })  # fmt: skip
    entries = {"a": {"place": arch, "spot": arch}, "far": {"place": "POINT (500 -700)", "spot": (-700, 500)}}

    def test(shelf: Shelf) -> None:
        assert shelf.ask("spatial.intersects(place, '2 2 4 4')") == ["a"]
        assert shelf.ask("spatial.intersects(spot, '2 2 4 4')") == []
        assert shelf.ask("spatial.intersects(place, '6 6 10 10')") == []
        assert shelf.ask("spatial.disjoint(place, '6 6 10 10')") == ["a", "far"]
        assert shelf.ask("spatial.within(place, '0 0 6 6')") == ["a"]
        assert shelf.ask("spatial.within(spot, '0 0 6 6')") == ["a"]
        assert shelf.ask("spatial.within(spot, spatial.circle(1, -700, 500))") == ["far"]
        assert shelf.ask("true", "order by spatial.distance(spot, spatial.point(-600, 500))") == ["far", "a"]

    shelved(entries, test, spatial={"place": boxes, "spot": quads})


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("spatial.within(place)", "takes a field, a shape"), ("spatial.within(place, 'SPLINE (1 2)')", "'SPLINE'"),
        ("spatial.within(place, spatial.circle(1, 2))", "takes a radius"),
        ("spatial.within(place, spatial.circle(1, 95, 0))", "latitude 95"),
        ("spatial.within(place, spatial.circle('a', 5, 0))", "must be a number"),
        ("spatial.within(place, spatial.circle(1, 5, 0, 'Leagues'))", "Kilometers or Miles"),
    ],
)  # fmt: skip
def test_wrong_conditions_say_why(condition: str, message: str) -> None:
    """A shape that cannot be understood is the asker's error."""

    def test(shelf: Shelf) -> None:
        with pytest.raises(InvalidQuery, match=message):
            shelf.ask(condition)

    shelved(ENTRIES, test, spatial=GEOGRAPHY)

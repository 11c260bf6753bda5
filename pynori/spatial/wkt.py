"""Shapes from their texts: WKT, with circles and boxes beside it, and the short forms that queries use.

Read are POINT, LINESTRING, POLYGON, their MULTI forms, GEOMETRYCOLLECTION, ENVELOPE(x low, x high, y high, y low),
BBOX(x low, y low, x high, y high), CIRCLE(x y d=radius), and without any word `x y`, `latitude,longitude` and
`x-low y-low x-high y-high`. Coordinates beyond the second are passed over; EMPTY is a shape without any place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from pynori.errors import InvalidArgument
from pynori.limits import WKT_DEPTH_MAX, WKT_SIZE_MAX
from pynori.spatial import shapes
from pynori.spatial.distance import Units
from pynori.spatial.shapes import Pair, Shape

Item = TypeVar("Item")

_TOKEN: Final = re.compile(r"\s*(?:([A-Za-z]+)|([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|([(),=]))")
_NUMBER: Final = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_BARE: Final = re.compile(rf"\s*{_NUMBER}(?:\s*,\s*|\s+){_NUMBER}(?:\s+{_NUMBER}\s+{_NUMBER})?\s*$")
_COORDINATES_MAX: Final = 4


def parse(text: str, *, geographic: bool = True, units: Units = Units.KILOMETERS) -> Shape:
    """The shape of a text. units: of a circle's radius, on the sphere. InvalidArgument says where it is wrong."""
    if len(text) > WKT_SIZE_MAX:
        raise InvalidArgument(f"a shape's text is longer than WKT_SIZE_MAX ({WKT_SIZE_MAX})")
    bare = _BARE.match(text)
    if bare is not None:
        return _bare(text, [float(each) for each in bare.groups() if each is not None], geographic)
    reader = _Reader(text, geographic, units)
    shape = reader.shape(0)
    if reader.kind != "end":
        raise reader.wrong("the end")
    return shape


def _bare(text: str, numbers: list[float], geographic: bool) -> Shape:
    if len(numbers) == 4:
        return shapes.box(*numbers, geographic=geographic)
    x, y = reversed(numbers) if "," in text else numbers
    return shapes.point(x, y, geographic=geographic)


class _Reader:
    """Tokens one after another. kind: word, number, mark or end."""

    def __init__(self, text: str, geographic: bool, units: Units) -> None:
        self.text = text
        self.geographic = geographic
        self.units = units
        self.here = 0
        self.next()

    def next(self) -> None:
        match = _TOKEN.match(self.text, self.here)
        self.start = self.here
        if match is None:
            self.kind, self.value = "end", ""
            if self.text[self.here :].strip():
                raise self.wrong("a shape")
            return
        self.here = match.end()
        self.start = match.start(match.lastindex or 0)
        self.kind = ("word", "number", "mark")[(match.lastindex or 1) - 1]
        self.value = match.group(match.lastindex or 0)

    def wrong(self, expected: str) -> InvalidArgument:
        found = self.text[self.start : self.start + 20].strip() or "the end"
        return InvalidArgument(f"{expected} was expected at character {self.start} of a shape's text, not '{found}'")

    def mark(self, mark: str) -> None:
        if self.kind != "mark" or self.value != mark:
            raise self.wrong(f"'{mark}'")
        self.next()

    def accept(self, mark: str) -> bool:
        if self.kind == "mark" and self.value == mark:
            self.next()
            return True
        return False

    def number(self) -> float:
        if self.kind != "number":
            raise self.wrong("a number")
        value = float(self.value)
        self.next()
        return value

    def shape(self, depth: int) -> Shape:
        if self.kind != "word":
            raise self.wrong("a shape")
        word = self.value.upper()
        start = self.start
        self.next()
        while self.kind == "word" and self.value.upper() in ("Z", "M", "ZM"):
            self.next()
        if self.kind == "word" and self.value.upper() == "EMPTY":
            self.next()
            return shapes.Many(())
        read = _SHAPES.get(word)
        if read is None:
            raise InvalidArgument(f"'{word[:40]}' at character {start} is not a shape that is known")
        if depth >= WKT_DEPTH_MAX:
            raise InvalidArgument(f"collections lie deeper than WKT_DEPTH_MAX ({WKT_DEPTH_MAX}) in each other")
        self.mark("(")
        shape = read(self, depth)
        self.mark(")")
        return shape

    def separated(self, read: Callable[[], Item]) -> list[Item]:
        """One or more with commas between."""
        found = [read()]
        while self.accept(","):
            found.append(read())
        return found

    def pair(self) -> Pair:
        x, y = self.number(), self.number()
        for _ in range(_COORDINATES_MAX - 2):
            if self.kind == "number":
                self.number()
        return x, y

    def loose_pair(self) -> Pair:
        """A member of MULTIPOINT, with parentheses or without."""
        if not self.accept("("):
            return self.pair()
        pair = self.pair()
        self.mark(")")
        return pair

    def pairs(self) -> list[Pair]:
        self.mark("(")
        found = self.separated(self.pair)
        self.mark(")")
        return found

    def rings(self) -> list[list[Pair]]:
        self.mark("(")
        found = self.separated(self.pairs)
        self.mark(")")
        return found

    # Each of these reads what stands between the parentheses of its shape.

    def point(self, depth: int) -> Shape:
        x, y = self.pair()
        return shapes.point(x, y, geographic=self.geographic)

    def line(self, depth: int) -> Shape:
        return shapes.line(self.separated(self.pair), geographic=self.geographic)

    def polygon(self, depth: int) -> Shape:
        return shapes.polygon(self.separated(self.pairs), geographic=self.geographic)

    def points(self, depth: int) -> Shape:
        found = self.separated(self.loose_pair)
        return shapes.many(shapes.point(x, y, geographic=self.geographic) for x, y in found)

    def lines(self, depth: int) -> Shape:
        return shapes.many(shapes.line(each, geographic=self.geographic) for each in self.separated(self.pairs))

    def polygons(self, depth: int) -> Shape:
        return shapes.many(shapes.polygon(each, geographic=self.geographic) for each in self.separated(self.rings))

    def collection(self, depth: int) -> Shape:
        return shapes.many(self.separated(lambda: self.shape(depth + 1)))

    def envelope(self, depth: int) -> Shape:
        x_low, x_high, y_high, y_low = self.four()
        return shapes.box(x_low, y_low, x_high, y_high, geographic=self.geographic)

    def bounding_box(self, depth: int) -> Shape:
        return shapes.box(*self.four(), geographic=self.geographic)

    def four(self) -> tuple[float, float, float, float]:
        numbers = [self.number()]
        for _ in range(3):
            self.accept(",")
            numbers.append(self.number())
        return numbers[0], numbers[1], numbers[2], numbers[3]

    def circle(self, depth: int) -> Shape:
        x = self.number()
        reversed_pair = self.accept(",")
        y = self.number()
        if reversed_pair:
            x, y = y, x
        self.accept(",")
        if self.kind == "word" and self.value.lower() in ("d", "distance", "r", "radius"):
            self.next()
            self.mark("=")
        radius = self.number()
        return shapes.circle(x, y, self.units.to_km(radius) if self.geographic else radius, geographic=self.geographic)


_SHAPES: Final[dict[str, Callable[[_Reader, int], Shape]]] = {
    "POINT": _Reader.point,
    "LINESTRING": _Reader.line,
    "POLYGON": _Reader.polygon,
    "MULTIPOINT": _Reader.points,
    "MULTILINESTRING": _Reader.lines,
    "MULTIPOLYGON": _Reader.polygons,
    "GEOMETRYCOLLECTION": _Reader.collection,
    "ENVELOPE": _Reader.envelope,
    "BBOX": _Reader.bounding_box,
    "CIRCLE": _Reader.circle,
}

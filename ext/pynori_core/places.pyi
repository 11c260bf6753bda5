"""Types of the Python face of native work on places. Coordinates are degrees; x is the longitude, y the latitude.

Columns of coordinates are buffers of doubles (format "d") of the same size, NaN for what is missing. Masks have a byte
for each point, 1 where it is so.
"""

from array import array
from typing import Any, Final, TypeAlias

Column: TypeAlias = memoryview | array[float] | Any  # any buffer of doubles

EARTH_RADIUS_KM: Final[float]

def distance(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Great-circle kilometres."""

def cell(x: float, y: float, bounds: tuple[float, float, float, float], level: int) -> str:
    """The cell of a point, a digit a level. bounds: x and y low, x and y high. ValueError above 26 levels."""

def distances(latitudes: Column, longitudes: Column, latitude: float, longitude: float) -> memoryview:
    """Great-circle kilometres of each point; NaN where a coordinate is missing."""

def in_circle(latitudes: Column, longitudes: Column, latitude: float, longitude: float, radius_km: float) -> bytearray:
    """Mask of the points that are no farther."""

def in_box(xs: Column, ys: Column, x_low: float, y_low: float, x_high: float, y_high: float) -> bytearray:
    """Mask of the points between these, the ends included."""

def in_polygon(xs: Column, ys: Column, edges: Column) -> bytearray:
    """Mask of the points within rings or on them. edges: x, y, x, y of each edge of all rings, holes among them."""

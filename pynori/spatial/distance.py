"""Lengths on the sphere: great-circle distances, kilometres and miles.

The earth is a sphere of its mean radius, so distances are up to half a percent off those on the ellipsoid.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Final

from pynori_core import places

from pynori.errors import InvalidArgument

EARTH_RADIUS_KM: Final = places.EARTH_RADIUS_KM
DEGREE_KM: Final = EARTH_RADIUS_KM * math.pi / 180  # of latitude
MILE_KM: Final = 1.609344


class Units(Enum):
    """What radius and distance of a query are counted in."""

    KILOMETERS = "Kilometers"
    MILES = "Miles"

    def to_km(self, length: float) -> float:
        return length * MILE_KM if self is Units.MILES else length

    def from_km(self, length_km: float) -> float:
        return length_km / MILE_KM if self is Units.MILES else length_km


def units_of(name: object, default: Units = Units.KILOMETERS) -> Units:
    """Units by their name, in any case. None gives the default; InvalidArgument for any other."""
    if name is None:
        return default
    for units in Units:
        if isinstance(name, str) and name.strip().lower() == units.value.lower():
            return units
    raise InvalidArgument(f"units are Kilometers or Miles, not '{str(name)[:40]}'")


def haversine_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Great-circle distance of two points in degrees."""
    return places.distance(latitude, longitude, other_latitude, other_longitude)

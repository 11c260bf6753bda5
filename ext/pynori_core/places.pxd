"""Places on the sphere: distances, and the cell that a point lies in, for many points at once and without the GIL.

A cell is a square of the plane of coordinates, or a quarter of a cell; its name has one digit a level: 0 and 1 below
(west, east), 2 and 3 above. So all cells within one share its name as their beginning.
"""

from libc.stdint cimport uint8_t

cdef enum:
    CELL_LEVELS_MAX = 26               # on the sphere: 60 cm high, 60 cm wide at the equator

# Great-circle distance of two points in degrees; NaN when a coordinate is.
cdef double distance_km(double latitude, double longitude, double other_latitude, double other_longitude) noexcept nogil
# The name of the cell of this level that holds the point, into `out` (level bytes). Points outside the bounds count as
# lying on them; NaN as lying at the low ends.
cdef void cell_name(double x, double y, double x_low, double y_low, double x_high, double y_high, int level,
                    uint8_t* out) noexcept nogil

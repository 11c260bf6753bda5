"""Haversines, quartering of bounds, and counting of the edges that a ray crosses, each in one loop."""

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.math cimport asin, cos, fabs, sin, sqrt

cdef extern from *:
    """
    #define PYN_EARTH_RADIUS_KM 6371.0087714
    #define PYN_RADIANS (3.14159265358979323846 / 180)
    """
    const double EARTH_KM "PYN_EARTH_RADIUS_KM"
    const double RADIANS "PYN_RADIANS"

EARTH_RADIUS_KM = EARTH_KM             # the mean radius


cdef inline double haversine(double latitude, double longitude, double cosine, double other_latitude,
                             double other_longitude) noexcept nogil:
    """As distance_km; cosine: of the first latitude."""
    cdef double up = sin((other_latitude - latitude) * RADIANS / 2)
    cdef double across = sin((other_longitude - longitude) * RADIANS / 2)
    cdef double square = up * up + cosine * cos(other_latitude * RADIANS) * across * across
    if square > 1:
        square = 1                     # rounding, at antipodes
    return 2 * EARTH_KM * asin(sqrt(square))


cdef double distance_km(double latitude, double longitude, double other_latitude,
                        double other_longitude) noexcept nogil:
    return haversine(latitude, longitude, cos(latitude * RADIANS), other_latitude, other_longitude)


cdef void cell_name(double x, double y, double x_low, double y_low, double x_high, double y_high, int level,
                    uint8_t* out) noexcept nogil:
    cdef double x_middle, y_middle
    cdef int index
    cdef uint8_t digit
    for index in range(level):
        x_middle = (x_low + x_high) / 2
        y_middle = (y_low + y_high) / 2
        digit = c"0"
        if x >= x_middle:
            digit += 1
            x_low = x_middle
        else:
            x_high = x_middle
        if y >= y_middle:
            digit += 2
            y_low = y_middle
        else:
            y_high = y_middle
        out[index] = digit


# ---------------------------------------------------------------- Python


def distance(double latitude, double longitude, double other_latitude, double other_longitude):
    return distance_km(latitude, longitude, other_latitude, other_longitude)


def cell(double x, double y, tuple bounds, int level):
    cdef double x_low, y_low, x_high, y_high
    cdef bytes name
    if not 0 <= level <= CELL_LEVELS_MAX:
        raise ValueError(f"cells have 0 to {CELL_LEVELS_MAX} levels, not {level}")
    x_low, y_low, x_high, y_high = bounds
    name = PyBytes_FromStringAndSize(NULL, level)
    cell_name(x, y, x_low, y_low, x_high, y_high, level, <uint8_t*>PyBytes_AS_STRING(name))
    return name.decode("ascii")


cdef int check_sizes(Py_ssize_t one, Py_ssize_t other) except -1:
    if one != other:
        raise ValueError(f"{one} and {other} coordinates make no points")
    return 0


def distances(const double[::1] latitudes, const double[::1] longitudes, double latitude, double longitude):
    cdef Py_ssize_t index, count = latitudes.shape[0]
    cdef double cosine = cos(latitude * RADIANS)
    cdef bytearray found
    cdef double* out
    check_sizes(count, longitudes.shape[0])
    found = bytearray(count * sizeof(double))
    out = <double*>PyByteArray_AS_STRING(found)
    with nogil:
        for index in range(count):
            out[index] = haversine(latitude, longitude, cosine, latitudes[index], longitudes[index])
    return memoryview(found).cast("d")


def in_circle(const double[::1] latitudes, const double[::1] longitudes, double latitude, double longitude,
              double radius_km):
    cdef Py_ssize_t index, count = latitudes.shape[0]
    cdef double cosine = cos(latitude * RADIANS)
    # A point whose latitude differs by more than this is too far; most are, and need no sine.
    cdef double reach = radius_km / EARTH_KM / RADIANS * (1 + 1e-12) + 1e-12
    cdef bytearray found
    cdef uint8_t* out
    check_sizes(count, longitudes.shape[0])
    found = bytearray(count)
    out = <uint8_t*>PyByteArray_AS_STRING(found)
    with nogil:
        for index in range(count):
            if fabs(latitudes[index] - latitude) <= reach:
                out[index] = haversine(latitude, longitude, cosine, latitudes[index], longitudes[index]) <= radius_km
    return found


def in_box(const double[::1] xs, const double[::1] ys, double x_low, double y_low, double x_high, double y_high):
    cdef Py_ssize_t index, count = xs.shape[0]
    cdef bytearray found
    cdef uint8_t* out
    check_sizes(count, ys.shape[0])
    found = bytearray(count)
    out = <uint8_t*>PyByteArray_AS_STRING(found)
    with nogil:
        for index in range(count):
            out[index] = x_low <= xs[index] <= x_high and y_low <= ys[index] <= y_high
    return found


cdef inline bint inside(const double[::1] edges, double x, double y) noexcept nogil:
    """Whether the point lies within the rings whose edges these are (x, y, x, y each), or on one of them."""
    cdef Py_ssize_t index
    cdef double x_one, y_one, x_other, y_other, side
    cdef bint odd = False
    for index in range(0, edges.shape[0], 4):
        y_one = edges[index + 1]
        y_other = edges[index + 3]
        if (y < y_one and y < y_other) or (y > y_one and y > y_other):
            continue
        x_one = edges[index]
        x_other = edges[index + 2]
        side = (x_other - x_one) * (y - y_one) - (x - x_one) * (y_other - y_one)
        if side == 0 and (x_one <= x <= x_other or x_other <= x <= x_one):
            return True
        if (y_one <= y) != (y_other <= y) and (side > 0) == (y_other > y_one):
            odd = not odd
    return odd


def in_polygon(const double[::1] xs, const double[::1] ys, const double[::1] edges):
    cdef Py_ssize_t index, count = xs.shape[0]
    cdef bytearray found
    cdef uint8_t* out
    check_sizes(count, ys.shape[0])
    if edges.shape[0] % 4:
        raise ValueError("an edge has four coordinates")
    found = bytearray(count)
    out = <uint8_t*>PyByteArray_AS_STRING(found)
    with nogil:
        for index in range(count):
            if xs[index] == xs[index] and ys[index] == ys[index]:
                out[index] = inside(edges, xs[index], ys[index])
    return found

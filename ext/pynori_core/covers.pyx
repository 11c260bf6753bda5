"""Cells that cover circles and boxes: the same as pynori.spatial.cells finds for any shape, in one call.

Touches are worked out with the same arithmetic, so covers are equal to the last cell. The oldest cell on the border is
quartered until there are enough.
"""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeASCII
from libc.math cimport atan2, cos, fabs, fmod, hypot, sin
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from pynori_core.places cimport CELL_LEVELS_MAX, cell_name, distance_km

cdef enum:
    PARTS_MAX = 64                 # a bit each in Cell.alive
    ROOM = 8                       # cells that may wait beyond the most that are asked for

cdef enum Touch:
    OUTSIDE = 0
    BORDER = 1
    INSIDE = 2

cdef struct Square:
    double x_low
    double y_low
    double x_high
    double y_high

cdef struct Part:
    bint circle
    bint geographic                # of a circle
    double x
    double y
    double radius
    Square box

cdef struct Cell:
    uint8_t name[CELL_LEVELS_MAX]
    int level
    Square square
    uint64_t alive                 # parts that touch it

cdef struct Cover:
    Part parts[PARTS_MAX]
    int part_count
    Square bounds
    bint endless                   # the outermost cells go on for ever
    double forever

cdef double RADIANS = 3.14159265358979323846 / 180
cdef double DEGREES = 180 / 3.14159265358979323846


# ---- how a cell lies to a part

cdef inline double modulo(double value, double turn) noexcept nogil:
    """As Python has it: never below 0."""
    cdef double rest = fmod(value, turn)
    return rest + turn if rest < 0 else rest


cdef inline double turn_of(double x, double other) noexcept nogil:
    """The longitude from one to the other, the short way."""
    return modulo(other - x + 180, 360) - 180


cdef double meridian_distance(const Part* circle, double x, double y_low, double y_high) noexcept nogil:
    """The least distance from a circle's middle to a piece of a meridian."""
    cdef double cosine = cos(turn_of(circle.x, x) * RADIANS)
    cdef double least = distance_km(circle.y, circle.x, y_low, x)
    cdef double other = distance_km(circle.y, circle.x, y_high, x)
    cdef double nearest
    if other < least:
        least = other
    if cosine > 0:
        nearest = atan2(sin(circle.y * RADIANS), cos(circle.y * RADIANS) * cosine) * DEGREES
        nearest = y_low if nearest < y_low else nearest
        other = distance_km(circle.y, circle.x, y_high if nearest > y_high else nearest, x)
        if other < least:
            least = other
    return least


cdef int sphere_touch(const Part* circle, const Square* cell) noexcept nogil:
    cdef double turn = modulo(circle.x - cell.x_low, 360)
    cdef double width = cell.x_high - cell.x_low
    cdef double nearest, farthest, up
    cdef int index
    if turn <= width:
        up = 0
        if cell.y_low - circle.y > up:
            up = cell.y_low - circle.y
        if circle.y - cell.y_high > up:
            up = circle.y - cell.y_high
        nearest = distance_km(circle.y, circle.x, circle.y + up if circle.y < cell.y_low else circle.y - up, circle.x)
    else:
        nearest = meridian_distance(circle, cell.x_low if 360 - turn < turn - width else cell.x_high, cell.y_low,
                                    cell.y_high)
    if nearest > circle.radius * (1 + 1e-9) + 1e-9:
        return OUTSIDE
    if width > 90 or fabs(turn_of(circle.x, cell.x_low)) > 90 or fabs(turn_of(circle.x, cell.x_high)) > 90:
        return BORDER
    farthest = 0
    for index in range(4):
        up = distance_km(circle.y, circle.x, cell.y_high if index & 1 else cell.y_low,
                         cell.x_high if index & 2 else cell.x_low)
        if up > farthest:
            farthest = up
    return INSIDE if farthest < circle.radius * (1 - 1e-9) else BORDER


cdef inline double beyond(double low, double value, double high) noexcept nogil:
    """How far a value lies outside."""
    return low - value if low > value else value - high if value > high else 0


cdef inline double larger(double one, double other) noexcept nogil:
    return one if one > other else other


cdef int plane_touch(const Part* circle, const Square* cell) noexcept nogil:
    if hypot(beyond(cell.x_low, circle.x, cell.x_high), beyond(cell.y_low, circle.y, cell.y_high)) > circle.radius:
        return OUTSIDE
    return INSIDE if hypot(larger(circle.x - cell.x_low, cell.x_high - circle.x),
                           larger(circle.y - cell.y_low, cell.y_high - circle.y)) < circle.radius else BORDER


cdef int box_touch(const Square* box, const Square* cell) noexcept nogil:
    if (box.x_low > cell.x_high or cell.x_low > box.x_high or box.y_low > cell.y_high or cell.y_low > box.y_high):
        return OUTSIDE
    return INSIDE if (box.x_low <= cell.x_low and cell.x_high <= box.x_high
                      and box.y_low <= cell.y_low and cell.y_high <= box.y_high) else BORDER


cdef int look(const Cover* cover, const Square* square, uint64_t alive, uint64_t* left) noexcept nogil:
    """How the cell lies to all of the shape, and the parts that still matter within it."""
    cdef Square cell = square[0]
    cdef const Part* part
    cdef int index, touch
    left[0] = 0
    if cover.endless:
        cell.x_low = -cover.forever if cell.x_low == cover.bounds.x_low else cell.x_low
        cell.y_low = -cover.forever if cell.y_low == cover.bounds.y_low else cell.y_low
        cell.x_high = cover.forever if cell.x_high == cover.bounds.x_high else cell.x_high
        cell.y_high = cover.forever if cell.y_high == cover.bounds.y_high else cell.y_high
    for index in range(cover.part_count):
        if not (alive >> index) & 1:
            continue
        part = &cover.parts[index]
        if not part.circle:
            touch = box_touch(&part.box, &cell)
        else:
            touch = sphere_touch(part, &cell) if part.geographic else plane_touch(part, &cell)
        if touch == INSIDE:
            left[0] = 0
            return INSIDE
        if touch == BORDER:
            left[0] |= <uint64_t>1 << index
    return BORDER if left[0] else OUTSIDE


# ---- quartering

cdef void quarter(const Square* square, int number, Square* out) noexcept nogil:
    cdef double x = (square.x_low + square.x_high) / 2
    cdef double y = (square.y_low + square.y_high) / 2
    out.x_low = x if number & 1 else square.x_low
    out.x_high = square.x_high if number & 1 else x
    out.y_low = y if number & 2 else square.y_low
    out.y_high = square.y_high if number & 2 else y


cdef void around(const Square* shape, const Square* bounds, Cell* cell) noexcept nogil:
    """The smallest cell that all of a shape lies in, for which it must lie in one piece within the bounds."""
    cdef uint8_t low[CELL_LEVELS_MAX]
    cdef uint8_t high[CELL_LEVELS_MAX]
    cdef Square inner
    cell.level = 0
    cell.square = bounds[0]
    if not (bounds.x_low < shape.x_low <= shape.x_high < bounds.x_high
            and bounds.y_low < shape.y_low <= shape.y_high < bounds.y_high):
        return
    cell_name(shape.x_low, shape.y_low, bounds.x_low, bounds.y_low, bounds.x_high, bounds.y_high, CELL_LEVELS_MAX, low)
    cell_name(shape.x_high, shape.y_high, bounds.x_low, bounds.y_low, bounds.x_high, bounds.y_high, CELL_LEVELS_MAX,
              high)
    while cell.level < CELL_LEVELS_MAX and low[cell.level] == high[cell.level]:
        cell.name[cell.level] = low[cell.level]
        quarter(&cell.square, low[cell.level] - c"0", &inner)
        cell.square = inner
        cell.level += 1


cdef str name_of(const Cell* cell):
    return PyUnicode_DecodeASCII(<const char*>cell.name, cell.level, NULL)


cdef int square_of(Square* out, object bounds) except -1:
    out.x_low, out.y_low, out.x_high, out.y_high = bounds
    return 0


cdef int parts_of(Cover* cover, list parts) except -1:
    cdef Part* part
    if len(parts) > PARTS_MAX:
        raise ValueError(f"at most {PARTS_MAX} parts")
    for each in parts:
        part = &cover.parts[cover.part_count]
        part.circle = len(each) == 4 and isinstance(each[3], bool)
        if part.circle:
            part.x, part.y, part.radius, part.geographic = each
        else:
            square_of(&part.box, each)
        cover.part_count += 1
    return 0


cdef bint follows(str name, str other) except -1:
    """Whether no name lies between all cells within one and the other one. (Before a first quarter lies its parent.)"""
    cdef Py_ssize_t size, other_size
    cdef const char* text = PyUnicode_AsUTF8AndSize(name, &size)
    cdef const char* next_text = PyUnicode_AsUTF8AndSize(other, &other_size)
    if other_size == 0 or next_text[other_size - 1] <= c"0":
        return False
    while size > 0 and text[size - 1] == c"3":
        size -= 1
    return (size == other_size and text[size - 1] == next_text[size - 1] - 1
            and memcmp(text, next_text, <size_t>size - 1) == 0)


def ranges(names not None):
    """Cells next to each other in the order of names, joined."""
    cdef list joined = []
    cdef str first = None
    cdef str last = None
    cdef str name
    for name in sorted(names):
        if last is not None and follows(last, name):
            last = name
            continue
        if last is not None:
            joined.append((first, last))
        first = last = name
    if last is not None:
        joined.append((first, last))
    return joined


def cover(list parts not None, shape, bounds, bint endless, double forever, int cells_max):
    """(names inside, names on the border) for circles and boxes."""
    cdef Cover wanted
    cdef Square place
    cdef Cell* waiting
    cdef Cell cell, inner
    cdef size_t room = <size_t>cells_max + ROOM
    cdef size_t first = 0
    cdef size_t count = 0
    cdef uint64_t left = 0
    cdef int number, touch
    cdef list inside = []
    cdef list done = []
    wanted.part_count = 0
    wanted.endless = endless
    wanted.forever = forever
    square_of(&wanted.bounds, bounds)
    square_of(&place, shape)
    parts_of(&wanted, parts)
    if not 4 <= cells_max <= 65536:
        raise ValueError("4 to 65536 cells")
    waiting = <Cell*>malloc(room * sizeof(Cell))
    if waiting == NULL:
        raise MemoryError()
    try:
        around(&place, &wanted.bounds, &cell)
        touch = look(&wanted, &cell.square, <uint64_t>-1, &cell.alive)
        if touch == INSIDE:
            inside.append(name_of(&cell))
        elif touch == BORDER:
            waiting[0] = cell
            count = 1
        while count and <size_t>len(inside) + <size_t>len(done) + count + 3 <= <size_t>cells_max:
            cell = waiting[first]
            first = (first + 1) % room
            count -= 1
            if cell.level == CELL_LEVELS_MAX:
                done.append(name_of(&cell))
                continue
            for number in range(4):
                quarter(&cell.square, number, &inner.square)
                touch = look(&wanted, &inner.square, cell.alive, &left)
                if touch == OUTSIDE:
                    continue
                memcpy(inner.name, cell.name, cell.level)
                inner.name[cell.level] = <uint8_t>(c"0" + number)
                inner.level = cell.level + 1
                inner.alive = left
                if touch == INSIDE:
                    inside.append(name_of(&inner))
                else:
                    waiting[(first + count) % room] = inner
                    count += 1
        for number in range(<int>count):
            done.append(name_of(&waiting[(first + <size_t>number) % room]))
        return tuple(inside), tuple(done)
    finally:
        free(waiting)

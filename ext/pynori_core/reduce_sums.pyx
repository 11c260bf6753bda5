"""Add up rows; walk paths, write keys and rows."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from pynori_core.bits cimport load64, store64
from pynori_core.blittable cimport (
    BLITTABLE_ARRAY,
    BLITTABLE_INTEGER,
    BlittableTable,
    BlittableValue,
    blittable_double,
    blittable_get,
    blittable_is_number,
    blittable_open,
    blittable_root,
    blittable_slot,
)
from pynori_core.btree cimport Value
from pynori_core.cursor cimport Cursor, cursor_next, cursor_value
from pynori_core.errors cimport E_NOT_FOUND, E_TOO_LARGE, OK, error_set
from pynori_core.index_feed cimport path_parse
from pynori_core.json cimport json_write
from pynori_core.output cimport Output, output_append, output_byte
from pynori_core.reduce_store cimport (
    GROUP_PATHS_MAX,
    REDUCE_KEY_SIZE_MAX,
    GroupFeed,
    Job,
    ReduceStore,
    RowProgram,
    RowReduce,
    grow,
    job_inside,
    job_seek,
    mapped_push,
    reduce_corrupt,
    reduce_no_memory,
)
from pynori_core.tables cimport Item

cdef enum:
    SUM_HEAD = 8
    SUM_SIZE = 9                   # kind, value
    SUM_FIELDS_MAX = 32

cdef enum SumKind:
    SUM_NONE = 0
    SUM_INTEGER = 1
    SUM_DOUBLE = 2

cdef extern from *:
    """
    static inline int pyn_add_overflow(int64_t a, int64_t b, int64_t *sum) { return __builtin_add_overflow(a, b, sum); }
    """
    bint add_overflow "pyn_add_overflow"(int64_t a, int64_t b, int64_t* sum) noexcept nogil


# ---- sums

cdef struct Sum:
    int kind                       # SumKind
    int64_t integer
    double number


cdef struct Sums:
    uint64_t count
    Sum each[32]                   # SUM_FIELDS_MAX


@cython.final
cdef class SumReduce(RowReduce):
    """Adds up natively."""

    def __cinit__(self, uint32_t fields):
        if fields > SUM_FIELDS_MAX:
            raise ValueError(f"at most {SUM_FIELDS_MAX} fields are added up")
        self.fields = fields

    cdef bytes reduce_job(self, ReduceStore store, Job job):
        cdef uint8_t packed[SUM_HEAD + SUM_SIZE * SUM_FIELDS_MAX]
        cdef Sums sums
        cdef Cursor cursor
        cdef Value value
        cdef bint any_row = False
        cdef int code = job_seek(store, job, &cursor)
        memset(&sums, 0, sizeof(Sums))
        while code == OK and job_inside(job, &cursor):
            code = cursor_value(&cursor, &value)
            if code == OK:
                if not sums_add(&sums, self.fields, value.data, value.size):
                    raise ValueError("a row of the group is no row of sums")
                any_row = True
                code = cursor_next(&cursor)
        if code != E_NOT_FOUND:
            store.writer.checked(code)
        return (<const char*>packed)[:sums_write(&sums, self.fields, packed)] if any_row else None

    def pack(self, uint64_t count, sums not None):
        """A row."""
        cdef Sums row
        cdef uint32_t index = 0
        cdef uint8_t packed[SUM_HEAD + SUM_SIZE * SUM_FIELDS_MAX]
        if <uint32_t>len(sums) != self.fields:
            raise ValueError(f"{self.fields} sums")
        memset(&row, 0, sizeof(Sums))
        row.count = count
        for value in sums:
            if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
                sum_integer(&row.each[index], value)
            elif value is not None:
                sum_double(&row.each[index], value)
            index += 1
        return (<const char*>packed)[:sums_write(&row, self.fields, packed)]

    def unpack(self, bytes row not None):
        """(count, sums)."""
        cdef Sums sums
        cdef uint32_t index
        cdef list found = []
        memset(&sums, 0, sizeof(Sums))
        if not sums_add(&sums, self.fields, <const uint8_t*>PyBytes_AS_STRING(row), <uint64_t>PyBytes_GET_SIZE(row)):
            raise ValueError("these bytes are no row of sums")
        for index in range(self.fields):
            if sums.each[index].kind == SUM_NONE:
                found.append(None)
            elif sums.each[index].kind == SUM_INTEGER:
                found.append(sums.each[index].integer)
            else:
                found.append(sums.each[index].number)
        return sums.count, found


cdef void sum_integer(Sum* sum, int64_t value) noexcept nogil:
    if sum.kind == SUM_DOUBLE:
        sum.number += <double>value
    elif sum.kind == SUM_NONE or not add_overflow(sum.integer, value, &value):
        sum.kind = SUM_INTEGER
        sum.integer = value
    else:
        sum.kind = SUM_DOUBLE      # `value` wrapped around; undo that to add as doubles
        sum.number = <double>sum.integer + <double>(value - sum.integer)


cdef void sum_double(Sum* sum, double value) noexcept nogil:
    if sum.kind == SUM_INTEGER:
        sum.number = <double>sum.integer
    elif sum.kind == SUM_NONE:
        sum.number = 0
    sum.kind = SUM_DOUBLE
    sum.number += value


cdef size_t sums_write(const Sums* sums, uint32_t fields, uint8_t* out) noexcept nogil:
    cdef uint32_t index
    cdef uint8_t* here = out + SUM_HEAD
    store64(out, sums.count)
    for index in range(fields):
        here[0] = <uint8_t>sums.each[index].kind
        memset(here + 1, 0, 8)
        if sums.each[index].kind == SUM_INTEGER:
            memcpy(here + 1, &sums.each[index].integer, 8)
        elif sums.each[index].kind == SUM_DOUBLE:
            memcpy(here + 1, &sums.each[index].number, 8)
        here += SUM_SIZE
    return here - out


cdef bint sums_add(Sums* sums, uint32_t fields, const uint8_t* row, uint64_t size) noexcept nogil:
    """False when these bytes are no row."""
    cdef uint32_t index
    cdef int64_t integer
    cdef double number
    if size != SUM_HEAD + SUM_SIZE * fields:
        return False
    sums.count += load64(row)
    row += SUM_HEAD
    for index in range(fields):
        if row[0] == SUM_INTEGER:
            memcpy(&integer, row + 1, 8)
            sum_integer(&sums.each[index], integer)
        elif row[0] == SUM_DOUBLE:
            memcpy(&number, row + 1, 8)
            sum_double(&sums.each[index], number)
        row += SUM_SIZE
    return True


# ---- the map

@cython.final
cdef class GroupPaths(RowProgram):
    """A document goes to the group of what lies at `keys`, and adds 1 and what lies at `sums`."""

    def __cinit__(self, keys not None, sums not None, *, as_array=()):
        if not 1 <= len(keys) <= GROUP_PATHS_MAX or len(sums) > GROUP_PATHS_MAX:
            raise ValueError(f"1 to {GROUP_PATHS_MAX} keys, and up to as many sums")
        self.names = []
        self.reduce = SumReduce(<uint32_t>len(sums))
        self.map = rows_map
        for path in keys:
            path_parse(&self.keys[self.key_count], path, self.names)
            self.keys[self.key_count].field = path in as_array
            self.key_count += 1
        for path in sums:
            path_parse(&self.sums[self.sum_count], path, self.names)
            self.sum_count += 1


cdef int value_push(GroupFeed* feed, const BlittableValue* value) noexcept nogil:
    if feed.value_count == feed.value_capacity:
        if not grow(<void**>&feed.values, &feed.value_capacity, sizeof(BlittableValue)):
            return reduce_no_memory(feed.state)
    if value != NULL:
        feed.values[feed.value_count] = value[0]
    else:
        feed.values[feed.value_count].type = 0
    feed.value_count += 1
    return OK


cdef int values_collect(GroupFeed* feed, const FieldPath* path, uint32_t step, const BlittableValue* value,
                        bint* repeats) noexcept nogil:
    """One value for each item on the way, missing ones too, so that paths through the same array stay in step."""
    cdef BlittableTable table
    cdef BlittableValue here = value[0]
    cdef BlittableValue found
    cdef uint32_t index
    cdef int code = OK
    while step < path.step_count:
        if path.steps[step].name == NULL or here.type == BLITTABLE_ARRAY:
            if here.type != BLITTABLE_ARRAY:
                return value_push(feed, NULL)
            repeats[0] = True
            if path.steps[step].name == NULL:
                step += 1
            if here.offset == 0:
                return OK
            blittable_open(&here, &table)
            for index in range(table.count):
                blittable_slot(&here, &table, index, &found)
                code = values_collect(feed, path, step, &found, repeats)
                if code != OK:
                    return code
            return OK
        if blittable_get(&here, <const char*>path.steps[step].name, path.steps[step].size, &found) != OK:
            return value_push(feed, NULL)
        here = found
        step += 1
    return value_push(feed, &here)


cdef int rows_map(GroupFeed* feed, const Item* item) noexcept nogil:
    """The rows that a document gives, into state.mapped."""
    cdef const FieldPath* keys = (<GroupPaths>feed.program).keys
    cdef const FieldPath* sums = (<GroupPaths>feed.program).sums
    cdef uint32_t key_count = (<GroupPaths>feed.program).key_count
    cdef uint32_t paths = key_count + (<GroupPaths>feed.program).sum_count
    cdef BlittableValue root
    cdef size_t rows = 1
    cdef size_t longest = 0
    cdef bint repeated = False
    cdef uint32_t path
    cdef size_t row
    cdef int code
    if blittable_root(item.body, item.body_size, &root) != OK:
        return reduce_corrupt(feed.state, b"a document is no document")
    feed.value_count = 0
    for path in range(paths):
        feed.starts[path] = feed.value_count
        feed.repeats[path] = False
        code = values_collect(feed, &keys[path] if path < key_count else &sums[path - key_count], 0, &root,
                              &feed.repeats[path])
        if code != OK:
            return code
        if path < key_count and keys[path].field:
            feed.repeats[path] = False         # all items are one value
        if feed.repeats[path]:
            repeated = True
            if path < key_count and feed.value_count - feed.starts[path] > longest:
                longest = feed.value_count - feed.starts[path]
    feed.starts[paths] = feed.value_count
    if repeated:
        rows = longest
    for row in range(rows):
        code = row_map(feed, row, key_count, paths)
        if code != OK:
            return code
    feed.rows += rows
    return OK


cdef inline const BlittableValue* value_of(const GroupFeed* feed, uint32_t path, size_t row) noexcept nogil:
    """NULL: missing."""
    cdef size_t place = feed.starts[path] + (row if feed.repeats[path] else 0)
    if place >= feed.starts[path + 1] or feed.values[place].type == 0:
        return NULL
    return &feed.values[place]


cdef void array_write(const GroupFeed* feed, uint32_t path, Output* out) noexcept nogil:
    """All values of a path as one array."""
    cdef size_t place
    output_byte(out, c"[")
    for place in range(feed.starts[path], feed.starts[path + 1]):
        if place > feed.starts[path]:
            output_byte(out, c",")
        if feed.values[place].type == 0:
            output_append(out, b"null", 4)
        else:
            json_write(out, &feed.values[place])
    output_byte(out, c"]")


cdef int row_map(GroupFeed* feed, size_t row, uint32_t key_count, uint32_t paths) noexcept nogil:
    cdef Output* out = &feed.state.bytes
    cdef uint8_t packed[SUM_HEAD + SUM_SIZE * SUM_FIELDS_MAX]
    cdef size_t start = out.size
    cdef size_t key_size
    cdef const BlittableValue* value
    cdef Sums sums
    cdef double number
    cdef uint32_t path
    memset(&sums, 0, sizeof(Sums))
    sums.count = 1
    output_byte(out, c"[")
    for path in range(key_count):
        value = value_of(feed, path, row)
        if path:
            output_byte(out, c",")
        if (<GroupPaths>feed.program).keys[path].field:
            array_write(feed, path, out)
        elif value == NULL:
            output_append(out, b"null", 4)
        else:
            json_write(out, value)
    output_byte(out, c"]")
    key_size = out.size - start
    if key_size > REDUCE_KEY_SIZE_MAX:
        error_set(&feed.state.trees.txn.error, E_TOO_LARGE, b"the key of a group has more than 65535 bytes")
        return E_TOO_LARGE
    for path in range(key_count, paths):
        value = value_of(feed, path, row)
        if value == NULL or not blittable_is_number(value):
            continue
        if value.type == BLITTABLE_INTEGER:
            sum_integer(&sums.each[path - key_count], value.integer)
        elif blittable_double(value, &number) == OK:
            sum_double(&sums.each[path - key_count], number)
    output_append(out, packed, sums_write(&sums, paths - key_count, packed))
    return mapped_push(feed.state, key_size, out.size - start - key_size)

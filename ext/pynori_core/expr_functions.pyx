"""Strings, dates, numbers and sequences: the functions of expressions without lambdas."""

from libc.math cimport ceil, fabs, floor, isnan, nearbyint, pow, sqrt
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from pynori_core.arena cimport arena_take
from pynori_core.blittable cimport blittable_count
from pynori_core.errors cimport OK
from pynori_core.expr_dates cimport PART_DAY, PART_MONTH, PART_YEAR, TICKS_PER_SECOND, date_part, date_ticks
from pynori_core.expr_values cimport (
    ARITHMETIC_ADD,
    CAST_STRING,
    COMPARE_IGNORE_CASE,
    COMPARE_TERMS,
    INCOMPARABLE,
    VALUE_DATE,
    VALUE_ENTRY,
    VALUE_GROUP,
    VALUE_LIST,
    VALUE_SPAN,
    Walk,
    is_nothing,
    is_number,
    list_items,
    set_bool,
    set_double,
    set_integer,
    set_list,
    set_missing,
    set_text,
    set_ticks,
    take_values,
    text_case,
    value_arithmetic,
    value_cast,
    value_date,
    value_hash,
    value_negate,
    value_number,
    value_order,
    value_text,
    walk_item,
    walk_open,
    work_fail,
    work_fail_kind,
    work_no_memory,
)
from pynori_core.field_value cimport (
    FIELD_ARRAY,
    FIELD_INTEGER,
    FIELD_MISSING,
    FIELD_OBJECT,
    FIELD_STRING,
)

cdef enum:
    TERMS_DEPTH_MAX = 32           # arrays within arrays that are laid flat

cdef int64_t TICKS_PER_DAY = 864000000000
cdef int64_t TICKS_PER_MILLISECOND = 10000


# ---- strings: offsets count UTF-16 units

cdef int64_t units_of(const uint8_t* text, size_t size) noexcept nogil:
    cdef int64_t units = 0
    cdef size_t index
    for index in range(size):
        if text[index] & 0xC0 != 0x80:
            units += 2 if text[index] >= 0xF0 else 1
    return units


cdef size_t offset_of(const uint8_t* text, size_t size, int64_t units) noexcept nogil:
    """Where so many units end; half of a pair is taken as all of it."""
    cdef size_t at = 0
    while at < size and units > 0:
        units -= 2 if text[at] >= 0xF0 else 1
        at += 1
        while at < size and text[at] & 0xC0 == 0x80:
            at += 1
    return at


cdef int64_t find_text(const uint8_t* text, size_t size, const uint8_t* part, size_t part_size,
                       bint last) noexcept nogil:
    """Byte offset of the first or last place, or -1."""
    cdef size_t index
    cdef size_t at
    if part_size > size:
        return -1
    for index in range(size - part_size + 1):
        at = size - part_size - index if last else index
        if part_size == 0 or (text[at] == part[0] and memcmp(text + at, part, part_size) == 0):
            return <int64_t>at
    return -1


cdef int substring(Work* work, const FieldValue* arguments, size_t count, FieldValue* out) noexcept nogil:
    cdef const FieldValue* source = &arguments[0]
    cdef int64_t units = units_of(source.text, source.size)
    cdef int64_t start = arguments[1].integer
    cdef int64_t length = units - start
    cdef size_t begin
    cdef size_t end
    if arguments[1].kind != FIELD_INTEGER or (count > 2 and arguments[2].kind != FIELD_INTEGER):
        return work_fail(work, b"Substring takes integers")
    if count > 2:
        length = arguments[2].integer
    if start < 0 or start > units:
        return work_fail(work, b"Substring: the start lies outside the string")
    if length < 0 or length > units - start:
        return work_fail(work, b"Substring: the length goes beyond the end of the string")
    begin = offset_of(source.text, source.size, start)
    end = begin + offset_of(source.text + begin, source.size - begin, length)
    set_text(out, source.text + begin, end - begin)
    return OK


cdef int two_texts(Work* work, int function, uint32_t flags, const FieldValue* arguments,
                   FieldValue* out) noexcept nogil:
    """IndexOf, Contains, StartsWith ...: a string and a part of it."""
    cdef FieldValue folded
    cdef const uint8_t* text = arguments[0].text
    cdef size_t size = arguments[0].size
    cdef const uint8_t* part = NULL
    cdef size_t part_size = 0
    cdef int64_t found
    cdef int code = value_text(work, &arguments[1], &part, &part_size)
    if code == OK and flags & COMPARE_IGNORE_CASE:
        code = text_case(work, text, size, False, &folded)
        text = folded.text
        size = folded.size
        if code == OK:
            code = text_case(work, part, part_size, False, &folded)
            part = folded.text
            part_size = folded.size
    if code != OK:
        return code
    if function == CALL_STARTS_WITH:
        set_bool(out, part_size <= size and (part_size == 0 or memcmp(text, part, part_size) == 0))
    elif function == CALL_ENDS_WITH:
        set_bool(out, part_size <= size and (
            part_size == 0 or memcmp(text + size - part_size, part, part_size) == 0))
    else:
        found = find_text(text, size, part, part_size, function == CALL_LAST_INDEX_OF)
        if function == CALL_CONTAINS:
            set_bool(out, found >= 0)
        else:
            set_integer(out, found if found < 0 else units_of(text, <size_t>found))
    return OK


cdef inline bint is_white(uint8_t c) noexcept nogil:
    return c == 32 or 9 <= c <= 13


cdef void trim(const FieldValue* source, bint at_start, bint at_end, FieldValue* out) noexcept nogil:
    cdef const uint8_t* text = source.text
    cdef size_t size = source.size
    while at_start and size and is_white(text[0]):
        text += 1
        size -= 1
    while at_end and size and is_white(text[size - 1]):
        size -= 1
    set_text(out, text, size)


cdef int replace(Work* work, const FieldValue* arguments, FieldValue* out) noexcept nogil:
    cdef const uint8_t* old = NULL
    cdef const uint8_t* new = NULL
    cdef size_t old_size = 0
    cdef size_t new_size = 0
    cdef size_t at = 0
    cdef size_t made_size = 0
    cdef size_t places = 0
    cdef int64_t found
    cdef uint8_t* made
    cdef const FieldValue* source = &arguments[0]
    cdef int code = value_text(work, &arguments[1], &old, &old_size)
    if code == OK:
        code = value_text(work, &arguments[2], &new, &new_size)
    if code != OK:
        return code
    if old_size == 0:
        return work_fail(work, b"Replace: the text to be replaced is empty")
    while True:
        found = find_text(source.text + at, source.size - at, old, old_size, False)
        if found < 0:
            break
        places += 1
        at += <size_t>found + old_size
    made = <uint8_t*>arena_take(&work.arena, source.size - places * old_size + places * new_size, 1)
    if made == NULL:
        return work_no_memory(work)
    at = 0
    while True:
        found = find_text(source.text + at, source.size - at, old, old_size, False)
        if found < 0:
            break
        memcpy(made + made_size, source.text + at, <size_t>found)
        made_size += <size_t>found
        if new_size:
            memcpy(made + made_size, new, new_size)
        made_size += new_size
        at += <size_t>found + old_size
    if source.size > at:
        memcpy(made + made_size, source.text + at, source.size - at)
    set_text(out, made, made_size + source.size - at)
    return OK


cdef size_t separator_at(const FieldValue* arguments, size_t count, size_t at) noexcept nogil:
    """Size of the separator that stands at this place; 0 for none."""
    cdef const FieldValue* source = &arguments[0]
    cdef size_t index
    for index in range(1, count):
        if arguments[index].size and arguments[index].size <= source.size - at and (
                memcmp(source.text + at, arguments[index].text, arguments[index].size) == 0):
            return arguments[index].size
    return 0


cdef int split(Work* work, const FieldValue* arguments, size_t count, FieldValue* out) noexcept nogil:
    cdef const FieldValue* source = &arguments[0]
    cdef FieldValue* parts
    cdef size_t pieces = 1
    cdef size_t at = 0
    cdef size_t start = 0
    cdef size_t skip
    cdef size_t index
    for index in range(1, count):
        if arguments[index].kind != FIELD_STRING:
            return work_fail(work, b"Split takes characters and strings")
    while at < source.size:
        skip = separator_at(arguments, count, at)
        pieces += skip != 0
        at += skip if skip else 1
    parts = take_values(work, pieces)
    if parts == NULL:
        return work_no_memory(work)
    pieces = 0
    at = 0
    while at < source.size:
        skip = separator_at(arguments, count, at)
        if skip:
            set_text(&parts[pieces], source.text + start, at - start)
            pieces += 1
            start = at + skip
        at += skip if skip else 1
    set_text(&parts[pieces], source.text + start, source.size - start)
    set_list(out, VALUE_LIST, parts, pieces + 1)
    return OK


# Text that is put together from pieces: once to learn its size, once to write it.
cdef struct Joined:
    uint8_t* data
    size_t size


cdef int join_piece(Work* work, Joined* joined, const FieldValue* piece) noexcept nogil:
    cdef const uint8_t* text = NULL
    cdef size_t size = 0
    cdef int code = value_text(work, piece, &text, &size)
    if code == OK and size:
        if joined.data != NULL:
            memcpy(joined.data + joined.size, text, size)
        joined.size += size
    return code


cdef int format_pass(Work* work, const FieldValue* arguments, size_t count, Joined* joined) noexcept nogil:
    cdef const FieldValue* pattern = &arguments[0]
    cdef FieldValue piece
    cdef size_t at = 0
    cdef size_t number
    cdef int code = OK
    while at < pattern.size and code == OK:
        if pattern.text[at] != c'{' and pattern.text[at] != c'}':
            set_text(&piece, pattern.text + at, 1)
            at += 1
            code = join_piece(work, joined, &piece)
            continue
        if at + 1 < pattern.size and pattern.text[at + 1] == pattern.text[at]:
            set_text(&piece, pattern.text + at, 1)
            at += 2
            code = join_piece(work, joined, &piece)
            continue
        number = 0
        at += 1
        while at < pattern.size and c'0' <= pattern.text[at] <= c'9' and number < 1000:
            number = number * 10 + (pattern.text[at] - c'0')
            at += 1
        if at >= pattern.size or pattern.text[at] != c'}' or number + 1 >= count:
            return work_fail(work, b"Format: the text in braces is not the number of an argument")
        at += 1
        code = join_piece(work, joined, &arguments[number + 1])
    return code


cdef int join_pass(Work* work, const FieldValue* separator, const Walk* walk, Joined* joined) noexcept nogil:
    cdef FieldValue item
    cdef size_t index
    cdef int code = OK
    for index in range(walk.count):
        if index:
            code = join_piece(work, joined, separator)
        if code == OK:
            code = walk_item(work, walk, index, &item)
        if code == OK:
            code = join_piece(work, joined, &item)
        if code != OK:
            break
    return code


cdef int join(Work* work, int function, const FieldValue* arguments, size_t count, FieldValue* out) noexcept nogil:
    """Format, Join and Concat of texts."""
    cdef Joined joined
    cdef FieldValue list_
    cdef FieldValue separator
    cdef Walk walk
    cdef size_t first = 0 if function == CALL_CONCAT_TEXT else 1
    cdef int passes
    cdef int code = OK
    joined.data = NULL
    set_text(&separator, NULL, 0)
    if function == CALL_JOIN:
        separator = arguments[0]
    if function != CALL_FORMAT:
        set_list(&list_, VALUE_LIST, <FieldValue*>arguments + first, count - first)
        if count == first + 1 and not arguments[first].kind == FIELD_STRING and not is_number(&arguments[first]):
            list_ = arguments[first]
        code = walk_open(work, &list_, &walk)
    for passes in range(2):
        joined.size = 0
        if code == OK:
            if function == CALL_FORMAT:
                code = format_pass(work, arguments, count, &joined)
            else:
                code = join_pass(work, &separator, &walk, &joined)
        if code != OK:
            return code
        if passes == 0:
            joined.data = <uint8_t*>arena_take(&work.arena, joined.size, 1)
            if joined.data == NULL:
                return work_no_memory(work)
    set_text(out, joined.data, joined.size)
    return OK


cdef int call_text(Work* work, int function, uint32_t flags, const FieldValue* arguments, size_t count,
                   FieldValue* out) noexcept nogil:
    """Functions whose first argument is a string."""
    if function == CALL_SUBSTRING:
        return substring(work, arguments, count, out)
    if CALL_INDEX_OF <= function <= CALL_ENDS_WITH:
        return two_texts(work, function, flags, arguments, out)
    if function == CALL_TO_LOWER or function == CALL_TO_UPPER:
        return text_case(work, arguments[0].text, arguments[0].size, function == CALL_TO_UPPER, out)
    if function == CALL_REPLACE:
        return replace(work, arguments, out)
    if function == CALL_SPLIT:
        return split(work, arguments, count, out)
    trim(&arguments[0], function != CALL_TRIM_END, function != CALL_TRIM_START, out)
    return OK


# ---- dates

cdef int add_months(Work* work, const FieldValue* date, int64_t ticks, bint utc, int64_t months,
                    FieldValue* out) noexcept nogil:
    """The same day of another month, or that month's last day."""
    cdef int64_t number = date_part(ticks, PART_YEAR) * 12 + date_part(ticks, PART_MONTH) - 1
    cdef int64_t day = date_part(ticks, PART_DAY)
    cdef int64_t last
    if not -200000 < months < 200000:
        return work_fail(work, b"the date lies outside the years 1 to 9999")
    number += months
    if not 12 <= number < 120000:
        return work_fail(work, b"the date lies outside the years 1 to 9999")
    last = 31
    if number % 12 == 11:
        last = 31
    else:
        last = (date_ticks((number + 1) // 12, (number + 1) % 12 + 1, 1)
                - date_ticks(number // 12, number % 12 + 1, 1)) // TICKS_PER_DAY
    if day > last:
        day = last
    set_ticks(out, VALUE_DATE, date_ticks(number // 12, number % 12 + 1, day) + ticks % TICKS_PER_DAY, utc)
    return OK


cdef int64_t unit_ticks(int function) noexcept nogil:
    if function == CALL_ADD_DAYS or function == CALL_SPAN_DAYS:
        return TICKS_PER_DAY
    if function == CALL_ADD_HOURS or function == CALL_SPAN_HOURS:
        return TICKS_PER_DAY // 24
    if function == CALL_ADD_MINUTES or function == CALL_SPAN_MINUTES:
        return <int64_t>60 * TICKS_PER_SECOND
    if function == CALL_ADD_SECONDS or function == CALL_SPAN_SECONDS:
        return TICKS_PER_SECOND
    if function == CALL_ADD_MILLISECONDS or function == CALL_SPAN_MILLISECONDS:
        return TICKS_PER_MILLISECOND
    return 1


cdef int span_of(Work* work, int function, const FieldValue* number, FieldValue* out) noexcept nogil:
    cdef double ticks
    if not is_number(number) and number.kind != VALUE_SPAN:
        return work_fail_kind(work, b"%s is no length of time", number)
    ticks = value_number(number) * <double>unit_ticks(function)
    if isnan(ticks) or fabs(ticks) > 9.2e18:
        return work_fail(work, b"the time span is too long")
    if number.kind == FIELD_INTEGER:
        set_ticks(out, VALUE_SPAN, number.integer * unit_ticks(function), False)
    elif number.kind == VALUE_SPAN:
        set_ticks(out, VALUE_SPAN, number.integer, False)
    else:
        set_ticks(out, VALUE_SPAN, <int64_t>ticks, False)
    return OK


cdef int call_date(Work* work, int function, const FieldValue* arguments, size_t count,
                   FieldValue* out) noexcept nogil:
    cdef FieldValue span
    cdef int64_t ticks = 0
    cdef int64_t parts[6]
    cdef size_t index
    cdef bint utc = False
    cdef int code
    if CALL_SPAN_DAYS <= function <= CALL_SPAN_TICKS:
        return span_of(work, function, &arguments[0], out)
    if function == CALL_DATE:
        memset(parts, 0, sizeof(parts))
        for index in range(count):
            if arguments[index].kind != FIELD_INTEGER:
                return work_fail_kind(work, b"%s is no part of a date", &arguments[index])
            parts[index] = arguments[index].integer
        if not (1 <= parts[0] <= 9999 and 1 <= parts[1] <= 12 and 1 <= parts[2] <= 31 and 0 <= parts[3] <= 23
                and 0 <= parts[4] <= 59 and 0 <= parts[5] <= 59):
            return work_fail(work, b"there is no such date")
        ticks = date_ticks(parts[0], parts[1], parts[2])
        if date_part(ticks, PART_DAY) != parts[2]:
            return work_fail(work, b"there is no such date")
        ticks += ((parts[3] * 60 + parts[4]) * 60 + parts[5]) * TICKS_PER_SECOND
        set_ticks(out, VALUE_DATE, ticks, False)
        return OK
    if not value_date(&arguments[0], &ticks, &utc):
        return work_fail_kind(work, b"%s is not a date", &arguments[0])
    if function == CALL_ADD_MONTHS or function == CALL_ADD_YEARS:
        if arguments[1].kind != FIELD_INTEGER:
            return work_fail_kind(work, b"%s is no number of months or years", &arguments[1])
        if not -20000 < arguments[1].integer < 20000:
            return work_fail(work, b"the date lies outside the years 1 to 9999")
        return add_months(work, &arguments[0], ticks, utc,
                          arguments[1].integer * (12 if function == CALL_ADD_YEARS else 1), out)
    code = span_of(work, function, &arguments[1], &span)
    if code == OK:
        code = value_arithmetic(work, ARITHMETIC_ADD, &arguments[0], &span, out)
    return code


# ---- numbers

cdef int call_number(Work* work, int function, const FieldValue* arguments, size_t count,
                     FieldValue* out) noexcept nogil:
    cdef double number
    cdef double scale = 1
    cdef int order
    if not is_number(&arguments[0]) and arguments[0].kind != VALUE_SPAN:
        return work_fail_kind(work, b"%s is no number", &arguments[0])
    number = value_number(&arguments[0])
    if count > 1 and not is_number(&arguments[1]):
        return work_fail_kind(work, b"%s is no number", &arguments[1])
    if function == CALL_LEAST or function == CALL_GREATEST:
        order = value_order(work, &arguments[0], &arguments[1], 0)
        out[0] = arguments[0] if (order <= 0) == (function == CALL_LEAST) else arguments[1]
        return OK
    if function == CALL_ABS:
        if number < 0:
            return value_negate(work, &arguments[0], out)
        out[0] = arguments[0]
        return OK
    if function == CALL_POWER:
        set_double(out, pow(number, value_number(&arguments[1])))
        return OK
    if function == CALL_SQUARE_ROOT:
        set_double(out, sqrt(number))
        return OK
    if arguments[0].kind == FIELD_INTEGER:
        out[0] = arguments[0]
        return OK
    if function == CALL_ROUND:
        if count > 1:
            scale = pow(10, value_number(&arguments[1]))
        # Arithmetic with what has no digits left to round would only lose some.
        set_double(out, nearbyint(number * scale) / scale if fabs(number * scale) < 4503599627370496.0 else number)
    elif function == CALL_FLOOR:
        set_double(out, floor(number))
    else:
        set_double(out, ceil(number))
    return OK


# ---- sequences

cdef bint equals_any(Work* work, const FieldValue* items, const FieldValue* right, uint32_t flags) noexcept nogil:
    cdef size_t index
    for index in range(items.size):
        if value_order(work, &list_items(items)[index], right, flags) == 0:
            return True
    return False


# A list that grows while terms are put into it.
cdef struct Terms:
    FieldValue* items
    size_t count
    size_t capacity


cdef int add_terms(Work* work, const FieldValue* value, Terms* terms, int depth) noexcept nogil:
    cdef Walk walk
    cdef FieldValue item
    cdef FieldValue* grown
    cdef size_t index
    cdef int code
    if (value.kind == FIELD_ARRAY or value.kind == VALUE_LIST) and depth < TERMS_DEPTH_MAX:
        code = walk_open(work, value, &walk)
        if code == OK:
            code = count_steps(work, walk.count)
        for index in range(walk.count):
            if code == OK:
                code = walk_item(work, &walk, index, &item)
            if code == OK:
                code = add_terms(work, &item, terms, depth + 1)
        return code
    if value.kind == FIELD_MISSING:
        return OK
    if terms.count == terms.capacity:
        terms.capacity = 2 * terms.capacity
        grown = take_values(work, terms.capacity)
        if grown == NULL:
            return work_no_memory(work)
        memcpy(grown, terms.items, terms.count * sizeof(FieldValue))
        terms.items = grown
    terms.items[terms.count] = value[0]
    terms.count += 1
    return OK


cdef int terms_of(Work* work, const FieldValue* value, FieldValue* out) noexcept nogil:
    cdef Terms terms
    cdef int code
    terms.count = 0
    terms.capacity = 8 if value.kind == FIELD_ARRAY or value.kind == VALUE_LIST else 1
    terms.items = take_values(work, terms.capacity)
    if terms.items == NULL:
        return work_no_memory(work)
    code = add_terms(work, value, &terms, 0)
    set_list(out, VALUE_LIST, terms.items, terms.count)
    return code


cdef int count_steps(Work* work, size_t items) noexcept nogil:
    if items > SEQUENCE_ITEMS_MAX:
        return work_fail(work, b"a sequence has more items than one evaluation may make")
    if work.steps_left < items:
        work.steps_left = 0
        return work_fail(work, b"the evaluation takes more steps than one document may take")
    work.steps_left -= items
    return OK


cdef int list_of(Work* work, const FieldValue* source, FieldValue* out) noexcept nogil:
    """A list of the items that may be changed."""
    cdef Walk walk
    cdef FieldValue* items
    cdef size_t index
    cdef int code = walk_open(work, source, &walk)
    if code == OK:
        code = count_steps(work, walk.count)
    if code != OK:
        return code
    items = take_values(work, walk.count)
    if items == NULL:
        return work_no_memory(work)
    for index in range(walk.count):
        code = walk_item(work, &walk, index, &items[index])
        if code != OK:
            return code
    set_list(out, VALUE_LIST, items, walk.count)
    return OK


# A set of items by their hash: open addressing over positions in an array.
cdef struct ItemSet:
    uint32_t* slots                # position + 1; 0: free
    uint64_t mask


cdef int set_open(Work* work, size_t items_max, ItemSet* known) noexcept nogil:
    cdef size_t slots = 16
    while slots < items_max * 2:
        slots *= 2
    known.mask = slots - 1
    known.slots = <uint32_t*>arena_take(&work.arena, slots * sizeof(uint32_t), 8)
    if known.slots == NULL:
        return work_no_memory(work)
    memset(known.slots, 0, slots * sizeof(uint32_t))
    return OK


cdef int64_t set_find(Work* work, ItemSet* known, const FieldValue* items, const FieldValue* wanted,
                      uint64_t* place) noexcept nogil:
    """Position of an equal item or -1; `place` is then where a new one goes."""
    cdef uint64_t slot = value_hash(wanted) & known.mask
    cdef uint32_t number
    while True:
        number = known.slots[slot]
        if number == 0:
            place[0] = slot
            return -1
        if work.steps_left:
            work.steps_left -= 1
        if value_order(work, &items[number - 1], wanted, 0) == 0:
            return number - 1
        slot = (slot + 1) & known.mask


cdef int distinct_items(Work* work, FieldValue* items, size_t count, size_t* kept) noexcept nogil:
    cdef ItemSet known
    cdef FieldValue item
    cdef uint64_t place = 0
    cdef size_t index
    cdef int code = set_open(work, count, &known)
    kept[0] = 0
    if code != OK:
        return code
    for index in range(count):
        if not work.steps_left:
            return count_steps(work, 1)
        item = items[index]
        if set_find(work, &known, items, &item, &place) < 0:
            items[kept[0]] = item
            kept[0] += 1
            known.slots[place] = <uint32_t>kept[0]
    return OK


cdef int combine(Work* work, int function, FieldValue* left, FieldValue* right, FieldValue* out) noexcept nogil:
    """Intersect and Except: the left items, each once, that are or are not in the right ones."""
    cdef ItemSet known
    cdef FieldValue* items = list_items(left)
    cdef FieldValue* others = list_items(right)
    cdef uint64_t place = 0
    cdef size_t index
    cdef size_t kept = 0
    cdef size_t count = 0
    cdef int code = set_open(work, right.size, &known)
    if code != OK:
        return code
    for index in range(right.size):
        if set_find(work, &known, others, &others[index], &place) < 0:
            known.slots[place] = <uint32_t>(index + 1)
    for index in range(left.size):
        if not work.steps_left:
            return count_steps(work, 1)
        if (set_find(work, &known, others, &items[index], &place) >= 0) == (function == CALL_INTERSECT):
            items[kept] = items[index]
            kept += 1
    code = distinct_items(work, items, kept, &count)
    set_list(out, VALUE_LIST, items, count)
    return code


cdef int call_sequence(Work* work, int function, const FieldValue* arguments, size_t count,
                       FieldValue* out) noexcept nogil:
    cdef FieldValue left
    cdef FieldValue right
    cdef FieldValue swapped
    cdef FieldValue* items
    cdef size_t kept = 0
    cdef size_t index
    cdef int64_t number = 0
    cdef int code = list_of(work, &arguments[0], &left)
    if code != OK:
        return code
    items = list_items(&left)
    if function == CALL_TAKE or function == CALL_SKIP or function == CALL_ELEMENT_AT:
        if arguments[1].kind != FIELD_INTEGER:
            return work_fail_kind(work, b"%s is no number of items", &arguments[1])
        number = arguments[1].integer
        if function == CALL_ELEMENT_AT:
            if 0 <= number < <int64_t>left.size:
                out[0] = items[number]
            else:
                set_missing(out)
            return OK
        kept = 0 if number < 0 else <size_t>number if <size_t>number < left.size else left.size
        if function == CALL_TAKE:
            set_list(out, VALUE_LIST, items, kept)
        else:
            set_list(out, VALUE_LIST, items + kept, left.size - kept)
        return OK
    if CALL_CONCAT <= function <= CALL_EXCEPT:
        code = list_of(work, &arguments[1], &right)
        if code != OK:
            return code
        if function >= CALL_INTERSECT:
            return combine(work, function, &left, &right, out)
        items = take_values(work, left.size + right.size)
        if items == NULL:
            return work_no_memory(work)
        memcpy(items, list_items(&left), left.size * sizeof(FieldValue))
        memcpy(items + left.size, list_items(&right), right.size * sizeof(FieldValue))
        left.size += right.size
    if function == CALL_REVERSE:
        for index in range(left.size // 2):
            swapped = items[index]
            items[index] = items[left.size - 1 - index]
            items[left.size - 1 - index] = swapped
    if function == CALL_DISTINCT or function == CALL_UNION:
        code = distinct_items(work, items, left.size, &kept)
        left.size = kept
    set_list(out, VALUE_LIST, items, left.size)
    return code


cdef int call_membership(Work* work, int function, uint32_t flags, const FieldValue* arguments, size_t count,
                         FieldValue* out) noexcept nogil:
    """In: one candidate equals; all in: each does."""
    cdef FieldValue values
    cdef FieldValue candidates
    cdef size_t index
    cdef size_t inner
    cdef bint wanted = function == CALL_IN
    cdef int code = terms_of(work, &arguments[0], &values)
    for index in range(1, count):
        if code == OK:
            code = terms_of(work, &arguments[index], &candidates)
        if code == OK:
            code = count_steps(work, candidates.size)
        if code != OK:
            return code
        for inner in range(candidates.size):
            if equals_any(work, &values, &list_items(&candidates)[inner], flags) == wanted:
                set_bool(out, wanted)
                return OK
    set_bool(out, not wanted)
    return code


cdef int sequence_contains(Work* work, uint32_t flags, const FieldValue* arguments, FieldValue* out) noexcept nogil:
    cdef Walk walk
    cdef FieldValue item
    cdef size_t index
    cdef int code = walk_open(work, &arguments[0], &walk)
    if code == OK:
        code = count_steps(work, walk.count)
    if code != OK:
        return code
    for index in range(walk.count):
        code = walk_item(work, &walk, index, &item)
        if code != OK:
            return code
        if value_order(work, &item, &arguments[1], flags) == 0:
            set_bool(out, True)
            return OK
    set_bool(out, False)
    return OK


# ---- the functions

cdef bint is_blank(const FieldValue* value) noexcept nogil:
    cdef size_t index
    for index in range(value.size):
        if not is_white(value.text[index]):
            return False
    return True


cdef int call_function(Work* work, int function, uint32_t flags, const FieldValue* arguments, size_t count,
                       FieldValue* out) noexcept nogil:
    cdef FieldValue text
    cdef const FieldValue* first = &arguments[0]
    cdef int order
    cdef int code
    if function == CALL_EXISTS or function == CALL_TERMS:
        code = terms_of(work, first, &text)
        if function == CALL_EXISTS:
            set_bool(out, text.size != 0)
        else:
            out[0] = text
        return code
    if function == CALL_IN or function == CALL_ALL_IN:
        return call_membership(work, function, flags, arguments, count, out)
    if function == CALL_IS_NULL_OR_EMPTY or function == CALL_IS_NULL_OR_WHITE_SPACE:
        set_bool(out, is_nothing(first) or (first.kind == FIELD_STRING and (
            first.size == 0 if function == CALL_IS_NULL_OR_EMPTY else is_blank(first))))
        return OK
    if function == CALL_FORMAT and first.kind != FIELD_STRING:
        return work_fail_kind(work, b"Format: %s is no pattern", first)
    if CALL_FORMAT <= function <= CALL_JOIN or function == CALL_CONCAT_TEXT:
        return join(work, function, arguments, count, out)
    if function == CALL_COMPARE:
        order = value_order(work, first, &arguments[1], flags)
        if order == INCOMPARABLE:
            order = -1 if is_nothing(first) else 1
        set_integer(out, -1 if order < 0 else 1 if order > 0 else 0)
        return OK
    if function >= CALL_DISTINCT:
        return call_sequence(work, function, arguments, count, out)
    if function == CALL_CONTAINS and first.kind != FIELD_STRING and not flags & COMPARE_TERMS:
        return sequence_contains(work, flags, arguments, out)
    if is_nothing(first):
        out[0] = first[0]
        if CALL_CONTAINS <= function <= CALL_ENDS_WITH:
            set_bool(out, False)
        return OK
    if function == CALL_TO_STRING:
        return value_cast(work, CAST_STRING, first, out)
    if function <= CALL_SPLIT:
        text = arguments[0]
        if text.kind != FIELD_STRING:
            if flags & COMPARE_TERMS and CALL_CONTAINS <= function <= CALL_ENDS_WITH:
                set_bool(out, False)
                return OK
            return work_fail_kind(work, b"%s has no such function: it is no string", &text)
        return call_text(work, function, flags, arguments, count, out)
    if function < CALL_ABS:
        return call_date(work, function, arguments, count, out)
    return call_number(work, function, arguments, count, out)


# ---- properties

cdef int span_property(int property, int64_t ticks, FieldValue* out) noexcept nogil:
    if property == PROPERTY_TICKS:
        set_integer(out, ticks)
    elif property == PROPERTY_TOTAL_DAYS:
        set_double(out, <double>ticks / <double>TICKS_PER_DAY)
    elif property == PROPERTY_TOTAL_HOURS:
        set_double(out, <double>ticks / <double>(TICKS_PER_DAY // 24))
    elif property == PROPERTY_TOTAL_MINUTES:
        set_double(out, <double>ticks / (60.0 * TICKS_PER_SECOND))
    elif property == PROPERTY_TOTAL_SECONDS:
        set_double(out, <double>ticks / TICKS_PER_SECOND)
    elif property == PROPERTY_TOTAL_MILLISECONDS:
        set_double(out, <double>ticks / <double>TICKS_PER_MILLISECOND)
    elif property == PROPERTY_DAYS:
        set_integer(out, ticks // TICKS_PER_DAY)
    elif property == PROPERTY_HOURS:
        set_integer(out, ticks // (TICKS_PER_DAY // 24) % 24)
    elif property == PROPERTY_MINUTES:
        set_integer(out, ticks // (<int64_t>60 * TICKS_PER_SECOND) % 60)
    elif property == PROPERTY_SECONDS:
        set_integer(out, ticks // TICKS_PER_SECOND % 60)
    elif property == PROPERTY_MILLISECONDS:
        set_integer(out, ticks // TICKS_PER_MILLISECOND % 1000)
    else:
        set_missing(out)
    return OK


cdef int value_property(Work* work, int property, const FieldValue* value, FieldValue* out) noexcept nogil:
    cdef int64_t ticks = 0
    cdef bint utc = False
    if property == PROPERTY_HAS_VALUE:
        set_bool(out, not is_nothing(value))
        return OK
    if is_nothing(value):
        set_missing(out)
        return OK
    if property == PROPERTY_LENGTH:
        if value.kind == FIELD_STRING:
            set_integer(out, units_of(value.text, value.size))
        elif value.kind == FIELD_ARRAY or value.kind == FIELD_OBJECT:
            set_integer(out, blittable_count(&value.blittable))
        elif value.kind == VALUE_LIST:
            set_integer(out, <int64_t>value.size)
        elif value.kind == VALUE_GROUP:
            return value_property(work, property, &list_items(value)[1], out)
        else:
            set_missing(out)
        return OK
    if value.kind == VALUE_ENTRY or value.kind == VALUE_GROUP:
        if property == PROPERTY_KEY:
            out[0] = list_items(value)[0]
        elif property == PROPERTY_VALUE and value.kind == VALUE_ENTRY:
            out[0] = list_items(value)[1]
        else:
            set_missing(out)
        return OK
    if property == PROPERTY_VALUE:
        out[0] = value[0]
        return OK
    if value.kind == VALUE_SPAN:
        return span_property(property, value.integer, out)
    if PROPERTY_YEAR <= property <= PROPERTY_TIME_OF_DAY and value_date(value, &ticks, &utc):
        if property <= PROPERTY_DAY_OF_YEAR:
            set_integer(out, date_part(ticks, property - 1))
        elif property == PROPERTY_DATE:
            set_ticks(out, VALUE_DATE, ticks - ticks % TICKS_PER_DAY, utc)
        elif property == PROPERTY_TICKS:
            set_integer(out, ticks)
        else:
            set_ticks(out, VALUE_SPAN, ticks % TICKS_PER_DAY, False)
        return OK
    set_missing(out)
    return OK

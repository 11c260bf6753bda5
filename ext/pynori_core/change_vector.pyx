"""Parse, format, compare and merge change vectors. Vectors are short: a plain double loop is the worst there is."""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.string cimport memcmp, memmove

from pynori_core.errors import InvalidArgument


cdef extern from *:
    """
    static const char pyn_base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static inline int pyn_base64_value(unsigned char c) {
        if (c >= 'A' && c <= 'Z') return c - 'A';
        if (c >= 'a' && c <= 'z') return c - 'a' + 26;
        if (c >= '0' && c <= '9') return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
    }
    #define PYN_TAG(a, b, c, d) (((uint32_t)(a) << 24) | ((uint32_t)(b) << 16) | ((uint32_t)(c) << 8) | (uint32_t)(d))
    #define PYN_TAG_RAFT PYN_TAG('R', 'A', 'F', 'T')
    #define PYN_TAG_TRXN PYN_TAG('T', 'R', 'X', 'N')
    #define PYN_TAG_SINK PYN_TAG('S', 'I', 'N', 'K')
    #define PYN_TAG_MOVE PYN_TAG('M', 'O', 'V', 'E')
    """
    const char* BASE64 "pyn_base64"
    int base64_value "pyn_base64_value"(unsigned char c) noexcept nogil
    uint32_t TAG_RAFT "PYN_TAG_RAFT"
    uint32_t TAG_TRXN "PYN_TAG_TRXN"
    uint32_t TAG_SINK "PYN_TAG_SINK"
    uint32_t TAG_MOVE "PYN_TAG_MOVE"


# ---- tags and database ids

cdef uint32_t tag_parse(const char* text, size_t size) noexcept nogil:
    cdef uint32_t tag = 0
    cdef size_t index
    cdef char c
    if size < 1 or size > 4:
        return 0
    for index in range(size):
        c = text[index]
        if not (c'A' <= c <= c'Z' or c'a' <= c <= c'z' or c'0' <= c <= c'9'):
            return 0
        tag |= <uint32_t><uint8_t>c << (24 - 8 * index)
    return tag


cdef size_t tag_format(uint32_t tag, char* text) noexcept nogil:
    cdef size_t size = 0
    while size < 4 and (tag >> (24 - 8 * size)) & 0xFF:
        text[size] = <char>((tag >> (24 - 8 * size)) & 0xFF)
        size += 1
    return size


cdef void database_id_format(const uint8_t* id, char* text) noexcept nogil:
    cdef uint32_t three
    cdef int group
    for group in range(5):
        three = (<uint32_t>id[3 * group] << 16) | (<uint32_t>id[3 * group + 1] << 8) | id[3 * group + 2]
        text[4 * group] = BASE64[three >> 18]
        text[4 * group + 1] = BASE64[(three >> 12) & 63]
        text[4 * group + 2] = BASE64[(three >> 6) & 63]
        text[4 * group + 3] = BASE64[three & 63]
    text[20] = BASE64[id[15] >> 2]
    text[21] = BASE64[(id[15] & 3) << 4]


cdef bint database_id_parse(const char* text, uint8_t* id) noexcept nogil:
    cdef uint32_t bits = 0
    cdef int index
    cdef int value
    cdef int size = 0
    for index in range(DATABASE_ID_TEXT_SIZE):
        value = base64_value(<unsigned char>text[index])
        if value < 0:
            return False
        bits = (bits << 6) | <uint32_t>value
        if index % 4:
            id[size] = <uint8_t>(bits >> (6 - 2 * (index % 4)))
            size += 1
            if size == DATABASE_ID_SIZE:
                return (bits & 0xF) == 0  # the last character carries 4 bits that no byte has
    return False


# ---- entries

cdef inline bint tag_is_counter(uint32_t tag) noexcept nogil:
    return tag == TAG_RAFT or tag == TAG_TRXN or tag == TAG_SINK or tag == TAG_MOVE


cdef inline bint entry_same(const VectorEntry* left, const VectorEntry* right) noexcept nogil:
    """Whether two entries count the same thing: see the header's word on identity."""
    if memcmp(left.id, right.id, DATABASE_ID_SIZE):
        return False
    return left.tag == right.tag or not (tag_is_counter(left.tag) or tag_is_counter(right.tag))


cdef inline int entry_order(const VectorEntry* left, const VectorEntry* right) noexcept nogil:
    if left.tag != right.tag:
        return -1 if left.tag < right.tag else 1
    return memcmp(left.id, right.id, DATABASE_ID_SIZE)


cdef int entry_find(const VectorEntry* entries, int count, const VectorEntry* wanted, int guess) noexcept nogil:
    """Position of the entry of the same identity, or -1. `guess`: where it lies when both vectors have the same ids."""
    cdef int index
    if guess < count and entry_same(&entries[guess], wanted):
        return guess
    for index in range(count):
        if entry_same(&entries[index], wanted):
            return index
    return -1


cdef int vector_raise(VectorEntry* entries, int count, int capacity, const VectorEntry* source) noexcept nogil:
    """Take one entry into a canonical vector; the new count, or -1: no room."""
    cdef int index = entry_find(entries, count, source, 0)
    cdef VectorEntry kept = source[0]
    if index >= 0:
        # Equal etags under two tags: the lower tag wins, so that merging does not depend on the order.
        if entries[index].etag > kept.etag:
            return count
        if entries[index].etag == kept.etag and entries[index].tag <= kept.tag:
            return count
        count -= 1
        memmove(&entries[index], &entries[index + 1], (count - index) * sizeof(VectorEntry))
    if count >= capacity:
        return -1
    index = count
    while index > 0 and entry_order(&kept, &entries[index - 1]) < 0:
        index -= 1
    memmove(&entries[index + 1], &entries[index], (count - index) * sizeof(VectorEntry))
    entries[index] = kept
    return count + 1


# ---- vectors

cdef int vector_parse(const char* text, size_t size, VectorEntry* entries, int capacity) noexcept nogil:
    cdef size_t position = 0
    cdef int count = 0
    cdef VectorEntry entry
    if size == 0:
        return 0
    if size > VECTOR_TEXT_MAX:
        return -1
    while True:
        while position < size and text[position] == c' ':
            position += 1
        if not parse_entry(text, size, &position, &entry):
            return -1
        count = vector_raise(entries, count, capacity, &entry)
        if count < 0:
            return -1
        while position < size and text[position] == c' ':
            position += 1
        if position == size:
            return count
        if text[position] != c',':
            return -1
        position += 1


cdef bint parse_entry(const char* text, size_t size, size_t* position, VectorEntry* entry) noexcept nogil:
    """tag ":" etag "-" id, from position on."""
    cdef size_t start = position[0]
    cdef size_t here = start
    cdef uint64_t etag = 0
    cdef uint64_t digit
    while here < size and here - start < 5 and text[here] != c':':
        here += 1
    if here == size or text[here] != c':':
        return False
    entry.tag = tag_parse(text + start, here - start)
    if entry.tag == 0:
        return False
    here += 1
    start = here
    while here < size and c'0' <= text[here] <= c'9':
        digit = <uint64_t>(text[here] - c'0')
        if etag > (<uint64_t>0xFFFFFFFFFFFFFFFF - digit) // 10:
            return False
        etag = etag * 10 + digit
        here += 1
    if here == start or (text[start] == c'0' and here - start > 1):
        return False
    if size - here < 1 + DATABASE_ID_TEXT_SIZE or text[here] != c'-':
        return False
    entry.etag = etag
    if not database_id_parse(text + here + 1, entry.id):
        return False
    position[0] = here + 1 + DATABASE_ID_TEXT_SIZE
    return True


cdef size_t vector_format(const VectorEntry* entries, int count, char* text) noexcept nogil:
    cdef size_t size = 0
    cdef int index
    for index in range(count):
        if index:
            text[size] = c','
            text[size + 1] = c' '
            size += 2
        size += tag_format(entries[index].tag, text + size)
        text[size] = c':'
        size += 1
        size += format_number(entries[index].etag, text + size)
        text[size] = c'-'
        size += 1
        database_id_format(entries[index].id, text + size)
        size += DATABASE_ID_TEXT_SIZE
    return size


cdef size_t format_number(uint64_t number, char* text) noexcept nogil:
    cdef char digits[20]
    cdef size_t size = 0
    cdef size_t index
    while True:
        digits[size] = <char>(c'0' + number % 10)
        size += 1
        number //= 10
        if number == 0:
            break
    for index in range(size):
        text[index] = digits[size - 1 - index]
    return size


cdef VectorOrder vector_compare(const VectorEntry* left, int left_count,
                                const VectorEntry* right, int right_count) noexcept nogil:
    cdef bint left_ahead = False
    cdef bint right_ahead = False
    cdef int matched = 0
    cdef int index
    cdef int found
    for index in range(left_count):
        found = entry_find(right, right_count, &left[index], index)
        if found < 0:
            left_ahead = left_ahead or left[index].etag > 0
            continue
        matched += 1
        left_ahead = left_ahead or left[index].etag > right[found].etag
        right_ahead = right_ahead or left[index].etag < right[found].etag
    if matched < right_count and not right_ahead:
        for index in range(right_count):
            if right[index].etag > 0 and entry_find(left, left_count, &right[index], index) < 0:
                right_ahead = True
                break
    if left_ahead:
        return VECTOR_CONFLICT if right_ahead else VECTOR_NEWER
    return VECTOR_OLDER if right_ahead else VECTOR_EQUAL


cdef int vector_merge(VectorEntry* target, int count, int capacity,
                      const VectorEntry* source, int source_count) noexcept nogil:
    cdef int index
    for index in range(source_count):
        count = vector_raise(target, count, capacity, &source[index])
        if count < 0:
            return -1
    return count


cdef uint64_t vector_etag(const VectorEntry* entries, int count, const uint8_t* id) noexcept nogil:
    cdef int index
    for index in range(count):
        if not tag_is_counter(entries[index].tag) and memcmp(entries[index].id, id, DATABASE_ID_SIZE) == 0:
            return entries[index].etag
    return 0


cdef uint64_t vector_raft(const VectorEntry* entries, int count) noexcept nogil:
    cdef uint64_t highest = 0
    cdef int index
    for index in range(count):
        if entries[index].tag == TAG_RAFT and entries[index].etag > highest:
            highest = entries[index].etag
    return highest


cdef int vector_without(VectorEntry* target, int count, const VectorEntry* source, int source_count) noexcept nogil:
    cdef int left = 0
    cdef int index
    cdef int found
    for index in range(count):
        found = entry_find(source, source_count, &target[index], 0)
        if found < 0 or target[index].etag < source[found].etag:
            target[left] = target[index]
            left += 1
    return left


cdef bint tag_valid(uint32_t tag) noexcept nogil:
    cdef char text[4]
    return tag_parse(text, tag_format(tag, text)) == tag


cdef bint vector_valid(const VectorEntry* entries, int count) noexcept nogil:
    cdef int index
    for index in range(count):
        if not 0 < entries[index].etag <= ETAG_MAX or entries[index].tag == 0 or not tag_valid(entries[index].tag):
            return False
        if index and entry_order(&entries[index - 1], &entries[index]) >= 0:
            return False
        if entry_find(entries, index, &entries[index], 0) >= 0:
            return False
    return True


# ---- the Python face

cdef tuple ORDER_NAMES = ("equal", "newer", "older", "conflict")


cdef int parse_object(str text, VectorEntry* entries) except -1:
    cdef Py_ssize_t size
    cdef const char* bytes_ = PyUnicode_AsUTF8AndSize(text, &size)
    cdef int count = vector_parse(bytes_, <size_t>size, entries, VECTOR_ENTRIES_MAX)
    if count < 0:
        raise InvalidArgument(f"not a change vector: {text[:200]!r}")
    return count


cdef str format_object(const VectorEntry* entries, int count):
    cdef char text[VECTOR_TEXT_MAX]
    cdef size_t size = vector_format(entries, count, text)
    return text[:size].decode("ascii")


def parse(str text not None) -> list:
    """The entries of a change vector as (tag, etag, database id of 16 bytes), in canonical order.

    Raises: InvalidArgument.
    """
    cdef VectorEntry entries[VECTOR_ENTRIES_MAX]
    cdef char tag[4]
    cdef int count = parse_object(text, entries)
    cdef int index
    cdef list result = []
    for index in range(count):
        name = tag[:tag_format(entries[index].tag, tag)].decode("ascii")
        result.append((name, entries[index].etag, (<char*>entries[index].id)[:DATABASE_ID_SIZE]))
    return result


def canonical(str text not None) -> str:
    """The same change vector in canonical order, one entry per identity. Raises: InvalidArgument."""
    cdef VectorEntry entries[VECTOR_ENTRIES_MAX]
    return format_object(entries, parse_object(text, entries))


def compare(str left not None, str right not None) -> str:
    """How left stands to right: "equal", "newer", "older" or "conflict". Raises: InvalidArgument."""
    cdef VectorEntry left_entries[VECTOR_ENTRIES_MAX]
    cdef VectorEntry right_entries[VECTOR_ENTRIES_MAX]
    cdef int left_count = parse_object(left, left_entries)
    cdef int right_count = parse_object(right, right_entries)
    return ORDER_NAMES[<int>vector_compare(left_entries, left_count, right_entries, right_count)]


def merge(str left not None, str right not None) -> str:
    """The least change vector that has seen what either has. Raises: InvalidArgument; more than VECTOR_ENTRIES_MAX."""
    cdef VectorEntry left_entries[VECTOR_ENTRIES_MAX]
    cdef VectorEntry right_entries[VECTOR_ENTRIES_MAX]
    cdef int count = parse_object(left, left_entries)
    count = vector_merge(left_entries, count, VECTOR_ENTRIES_MAX, right_entries, parse_object(right, right_entries))
    if count < 0:
        raise InvalidArgument(f"a change vector has at most {VECTOR_ENTRIES_MAX} entries (VECTOR_ENTRIES_MAX)")
    return format_object(left_entries, count)


def format_database_id(bytes id not None) -> str:
    """16 bytes as the 22 characters that change vectors carry."""
    cdef char text[DATABASE_ID_TEXT_SIZE]
    if len(id) != DATABASE_ID_SIZE:
        raise InvalidArgument("a database id has 16 bytes")
    database_id_format(<const uint8_t*><const char*>id, text)
    return text[:DATABASE_ID_TEXT_SIZE].decode("ascii")


def parse_database_id(str text not None) -> bytes:
    """The 16 bytes of a database id of 22 characters. Raises: InvalidArgument."""
    cdef uint8_t id[DATABASE_ID_SIZE]
    cdef Py_ssize_t size
    cdef const char* bytes_ = PyUnicode_AsUTF8AndSize(text, &size)
    if size != DATABASE_ID_TEXT_SIZE or not database_id_parse(bytes_, id):
        raise InvalidArgument(f"not a database id: {text[:60]!r}")
    return (<char*>id)[:DATABASE_ID_SIZE]

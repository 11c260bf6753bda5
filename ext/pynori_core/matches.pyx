"""Collect, sort, intersect, unite and subtract ids; hand them to Python."""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_WRITABLE
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

from pynori_core.bits cimport trailing_zeros64
from pynori_core.errors cimport E_NO_MEMORY, E_TOO_LARGE, OK

cdef enum:
    IDS_FIRST = 64                 # capacity of a list's first memory
    GALLOP_RATIO = 16              # sets that differ in size by more are intersected by searching
    LONG_IDS = 16384               # with fewer ids giving up the interpreter's lock costs more than it gives
    RADIX_IDS_MIN = 512            # shorter lists are sorted by comparing


# ---- collecting

cdef void ids_init(IdList* list) noexcept nogil:
    list.ids = NULL
    list.count = 0
    list.capacity = 0
    list.unsorted = False
    list.failed = False


cdef void ids_release(IdList* list) noexcept nogil:
    free(list.ids)
    ids_init(list)


cdef bint ids_reserve(IdList* list, size_t extra) noexcept nogil:
    cdef size_t wanted = list.capacity + list.capacity // 2
    cdef uint64_t* memory
    if list.failed:
        return False
    if list.count + extra <= list.capacity:
        return True
    if wanted < list.count + extra:
        wanted = list.count + extra
    if wanted < IDS_FIRST:
        wanted = IDS_FIRST
    memory = <uint64_t*>realloc(list.ids, wanted * 8)
    if memory == NULL:
        list.failed = True
        return False
    list.ids = memory
    list.capacity = wanted
    return True


cdef int ids_finish(IdList* list) noexcept nogil:
    cdef IdBits bits
    cdef uint64_t low, high
    cdef size_t index, kept
    if list.failed:
        return E_NO_MEMORY
    if not list.unsorted:
        return OK
    low = high = list.ids[0]
    for index in range(1, list.count):
        if list.ids[index] < low:
            low = list.ids[index]
        elif list.ids[index] > high:
            high = list.ids[index]
    # A bitmap costs a pass over its words; sorting costs several over the ids.
    if (high - low) >> 6 <= list.count * 4 and bits_init(&bits, low, high) == OK:
        bits_add(&bits, list.ids, list.count)
        list.count = bits_list(&bits, list.ids)
        bits_release(&bits)
    else:
        ids_sort(list.ids, list.count)
        kept = 1
        for index in range(1, list.count):
            if list.ids[index] != list.ids[kept - 1]:
                list.ids[kept] = list.ids[index]
                kept += 1
        list.count = kept
    list.unsorted = False
    return OK


cdef size_t bits_list(const IdBits* bits, uint64_t* out) noexcept nogil:
    cdef size_t count = 0
    cdef uint64_t word, index
    for index in range(bits.bits >> 6):
        word = bits.words[index]
        while word:
            out[count] = bits.first + (index << 6) + <uint64_t>trailing_zeros64(word)
            count += 1
            word &= word - 1
    return count


cdef void ids_sort(uint64_t* ids, size_t count) noexcept nogil:
    """Radix sort by bytes in which ids differ; without memory for it, or for few ids, by comparing."""
    cdef uint64_t differing = 0
    cdef size_t counts[256]
    cdef size_t index, place, total
    cdef uint64_t* other = NULL
    cdef uint64_t* source = ids
    cdef uint64_t* target
    cdef int shift
    if count >= RADIX_IDS_MIN:
        other = <uint64_t*>malloc(count * 8)
    if other == NULL:
        heap_sort(ids, count)
        return
    for index in range(1, count):
        differing |= ids[index] ^ ids[0]
    target = other
    for shift in range(0, 64, 8):
        if not (differing >> shift) & 255:
            continue
        for index in range(256):
            counts[index] = 0
        for index in range(count):
            counts[(source[index] >> shift) & 255] += 1
        total = 0
        for index in range(256):
            place = counts[index]
            counts[index] = total
            total += place
        for index in range(count):
            place = (source[index] >> shift) & 255
            target[counts[place]] = source[index]
            counts[place] += 1
        source, target = target, source
    if source != ids:
        memcpy(ids, source, count * 8)
    free(other)


cdef void heap_sort(uint64_t* ids, size_t count) noexcept nogil:
    cdef size_t index, parent, child, end
    cdef uint64_t value
    if count < 24:
        for index in range(1, count):
            value = ids[index]
            child = index
            while child > 0 and ids[child - 1] > value:
                ids[child] = ids[child - 1]
                child -= 1
            ids[child] = value
        return
    end = count
    index = count // 2
    while end > 1:
        if index > 0:
            index -= 1
            value = ids[index]
        else:
            end -= 1
            value = ids[end]
            ids[end] = ids[0]
        parent = index
        child = parent * 2 + 1
        while child < end:
            if child + 1 < end and ids[child + 1] > ids[child]:
                child += 1
            if ids[child] <= value:
                break
            ids[parent] = ids[child]
            parent = child
            child = parent * 2 + 1
        ids[parent] = value


# ---- bits

cdef int bits_init(IdBits* bits, uint64_t first, uint64_t last) noexcept nogil:
    bits.first = first & ~<uint64_t>63
    bits.words = NULL
    bits.bits = 0
    if last < first:
        return OK
    if last - bits.first >= ID_SPAN_BITS_MAX:
        return E_TOO_LARGE
    bits.bits = (last - bits.first + 64) & ~<uint64_t>63
    bits.words = <uint64_t*>calloc(bits.bits >> 6, 8)
    if bits.words == NULL:
        bits.bits = 0
        return E_NO_MEMORY
    return OK


cdef void bits_release(IdBits* bits) noexcept nogil:
    free(bits.words)
    bits.words = NULL
    bits.bits = 0


cdef void bits_add(IdBits* bits, const uint64_t* ids, size_t count) noexcept nogil:
    cdef size_t index
    cdef uint64_t position
    for index in range(count):
        position = ids[index] - bits.first
        if position < bits.bits:
            bits.words[position >> 6] |= <uint64_t>1 << (position & 63)


# ---- arithmetic

cdef size_t ids_find(const uint64_t* ids, size_t count, uint64_t wanted) noexcept nogil:
    cdef size_t low = 0
    cdef size_t half
    while count > 0:
        half = count // 2
        if ids[low + half] < wanted:
            low += half + 1
            count -= half + 1
        else:
            count = half
    return low


cdef size_t gallop(const uint64_t* ids, size_t count, uint64_t wanted) noexcept nogil:
    """As ids_find, quick when the answer is near the beginning."""
    cdef size_t step = 1
    cdef size_t low = 0
    while step < count and ids[step] < wanted:
        low = step
        step *= 2
    return low + ids_find(ids + low, (step if step < count else count) - low, wanted)


cdef size_t ids_intersect(const uint64_t* left, size_t left_count, const uint64_t* right, size_t right_count,
                          uint64_t* out) noexcept nogil:
    cdef size_t i = 0
    cdef size_t j = 0
    cdef size_t count = 0
    cdef uint64_t a, b
    if left_count > right_count:
        left, right = right, left
        left_count, right_count = right_count, left_count
    if left_count * GALLOP_RATIO < right_count:
        while i < left_count and j < right_count:
            j += gallop(right + j, right_count - j, left[i])
            if j < right_count and right[j] == left[i]:
                if out != NULL:
                    out[count] = left[i]
                count += 1
            i += 1
        return count
    while i < left_count and j < right_count:
        a = left[i]
        b = right[j]
        if out != NULL:
            out[count] = a         # stays only when both are equal
        count += a == b
        i += a <= b
        j += b <= a
    return count


cdef size_t ids_union(const uint64_t* left, size_t left_count, const uint64_t* right, size_t right_count,
                      uint64_t* out) noexcept nogil:
    cdef size_t i = 0
    cdef size_t j = 0
    cdef size_t count = 0
    cdef uint64_t a, b
    while i < left_count and j < right_count:
        a = left[i]
        b = right[j]
        out[count] = a if a < b else b
        count += 1
        i += a <= b
        j += b <= a
    if i < left_count:
        memcpy(out + count, left + i, (left_count - i) * 8)
        count += left_count - i
    if j < right_count:
        memcpy(out + count, right + j, (right_count - j) * 8)
        count += right_count - j
    return count


cdef size_t ids_minus(const uint64_t* left, size_t left_count, const uint64_t* right, size_t right_count,
                      uint64_t* out) noexcept nogil:
    cdef size_t i = 0
    cdef size_t j = 0
    cdef size_t count = 0
    cdef uint64_t a, b
    if left_count * GALLOP_RATIO < right_count:
        while i < left_count:
            j += gallop(right + j, right_count - j, left[i])
            if j >= right_count or right[j] != left[i]:
                out[count] = left[i]
                count += 1
            i += 1
        return count
    while i < left_count and j < right_count:
        a = left[i]
        b = right[j]
        out[count] = a
        count += a < b
        i += a <= b
        j += b <= a
    if i < left_count:
        memcpy(out + count, left + i, (left_count - i) * 8)
        count += left_count - i
    return count


# ---- for Python

@cython.final
@cython.no_gc
cdef class IdBuffer:

    def __dealloc__(self):
        free(self.ids)
        free(self.scores)


cdef Matches matches_take(IdList* list):
    cdef Matches made = Matches.__new__(Matches)
    cdef uint64_t* trimmed
    made.owner = IdBuffer.__new__(IdBuffer)
    if list.capacity > list.count + list.count // 4 + IDS_FIRST:
        trimmed = <uint64_t*>realloc(list.ids, list.count * 8 + 8)
        if trimmed != NULL:
            list.ids = trimmed
    made.owner.ids = list.ids
    made.ids = list.ids
    made.count = list.count
    ids_init(list)
    return made


cdef Ordered ordered_take(IdList* list, double* scores, int64_t total):
    cdef Ordered made = Ordered.__new__(Ordered)
    made.owner = IdBuffer.__new__(IdBuffer)
    made.owner.ids = list.ids
    made.owner.scores = scores
    made.ids = list.ids
    made.values = scores
    made.count = list.count
    made.known_total = total
    ids_init(list)
    return made


cdef int ids_of(object ids, const uint64_t** data, size_t* count) except -1:
    if isinstance(ids, Matches):
        data[0] = (<Matches>ids).ids
        count[0] = (<Matches>ids).count
    elif isinstance(ids, Ordered):
        data[0] = (<Ordered>ids).ids
        count[0] = (<Ordered>ids).count
    else:
        raise TypeError(f"Matches or Ordered, not {type(ids).__name__}")
    return 0


cdef int list_fill(IdList* list, object ids) except -1:
    cdef const uint64_t[::1] view
    cdef Py_ssize_t index
    ids_init(list)
    if isinstance(ids, (Matches, Ordered)) or (hasattr(ids, "__array_interface__") or isinstance(ids, memoryview)):
        view = ids
        if not ids_reserve(list, <size_t>view.shape[0]):
            raise MemoryError()
        for index in range(view.shape[0]):
            ids_add(list, view[index])
        return 0
    try:
        for id in ids:
            ids_add(list, id)
    except BaseException:
        ids_release(list)
        raise
    if list.failed:
        ids_release(list)
        raise MemoryError()
    return 0


cdef int buffer_fill(Py_buffer* buffer, object owner, void* data, size_t count, const char* format, Py_ssize_t* shape,
                     Py_ssize_t* strides, int flags) except -1:
    if flags & PyBUF_WRITABLE:
        raise BufferError("ids are read-only")
    shape[0] = <Py_ssize_t>count
    strides[0] = 8
    buffer.buf = data if data != NULL else <void*>shape
    buffer.obj = owner
    buffer.len = <Py_ssize_t>count * 8
    buffer.readonly = 1
    buffer.itemsize = 8
    buffer.format = <char*>format if flags & PyBUF_FORMAT else NULL
    buffer.ndim = 1
    buffer.shape = shape
    buffer.strides = strides
    buffer.suboffsets = NULL
    buffer.internal = NULL
    return 0


ctypedef size_t (*Arithmetic)(const uint64_t* left, size_t left_count, const uint64_t* right, size_t right_count,
                              uint64_t* out) noexcept nogil


cdef Matches combine(Matches left, Matches right, Arithmetic arithmetic, size_t count_max):
    cdef IdList result
    ids_init(&result)
    if not ids_reserve(&result, count_max + 1):
        raise MemoryError()
    if left.count + right.count > LONG_IDS:
        with nogil:
            result.count = arithmetic(left.ids, left.count, right.ids, right.count, result.ids)
    else:
        result.count = arithmetic(left.ids, left.count, right.ids, right.count, result.ids)
    return matches_take(&result)


@cython.final
cdef class Matches:
    """Ascending entry ids, each once. Immutable."""

    @staticmethod
    def of(ids):
        """Any ids in any order; also a buffer of format "Q"."""
        cdef IdList result
        if isinstance(ids, Matches):
            return ids
        list_fill(&result, ids)
        if ids_finish(&result) != OK:
            ids_release(&result)
            raise MemoryError()
        return matches_take(&result)

    @staticmethod
    def union_all(parts):
        cdef IdList result
        cdef Matches part
        cdef size_t index
        cdef int code
        cdef list kept = [part for part in parts if part.count]
        if len(kept) == 1:
            return kept[0]
        if len(kept) == 2:
            return (<Matches>kept[0]).union(kept[1])
        ids_init(&result)
        for part in kept:
            if not ids_reserve(&result, part.count):
                ids_release(&result)
                raise MemoryError()
            for index in range(part.count):
                ids_add(&result, part.ids[index])
        with nogil:
            code = ids_finish(&result)
        if code != OK:
            ids_release(&result)
            raise MemoryError()
        return matches_take(&result)

    @staticmethod
    def intersect_all(parts):
        """Smallest first; of no part: ValueError."""
        cdef list ordered = sorted(parts, key=len)
        cdef Matches result
        if not ordered:
            raise ValueError("the intersection of nothing")
        result = ordered[0]
        for part in ordered[1:]:
            result = result.intersect(part)
        return result

    def intersect(self, Matches other not None):
        return combine(self, other, ids_intersect, self.count if self.count < other.count else other.count)

    def union(self, Matches other not None):
        return combine(self, other, ids_union, self.count + other.count)

    def minus(self, Matches other not None):
        return combine(self, other, ids_minus, self.count)

    def count_common(self, Matches other not None):
        """len(self.intersect(other)) without making it."""
        cdef size_t count
        with nogil:
            count = ids_intersect(self.ids, self.count, other.ids, other.count, NULL)
        return count

    def __and__(self, other):
        return self.intersect(other) if isinstance(other, Matches) else NotImplemented

    def __or__(self, other):
        return self.union(other) if isinstance(other, Matches) else NotImplemented

    def __sub__(self, other):
        return self.minus(other) if isinstance(other, Matches) else NotImplemented

    def __len__(self):
        return self.count

    def __iter__(self):
        cdef size_t index
        for index in range(self.count):
            yield self.ids[index]

    def __contains__(self, id):
        cdef uint64_t wanted
        cdef size_t index
        if not isinstance(id, int) or not 0 <= id < 1 << 64:
            return False
        wanted = id
        index = ids_find(self.ids, self.count, wanted)
        return index < self.count and self.ids[index] == wanted

    def __eq__(self, other):
        cdef Matches right
        cdef size_t index
        if not isinstance(other, Matches):
            return NotImplemented
        right = other
        if self.count != right.count:
            return False
        for index in range(self.count):
            if self.ids[index] != right.ids[index]:
                return False
        return True

    __hash__ = None

    def __getitem__(self, index):
        cdef Matches part
        if isinstance(index, slice):
            start, stop, step = index.indices(self.count)
            if step != 1:
                raise ValueError("matches are sliced in steps of 1")
            part = Matches.__new__(Matches)
            part.owner = self.owner
            part.ids = self.ids + <size_t>start
            part.count = max(stop - start, 0)
            return part
        index = index if index >= 0 else index + <object>self.count
        if not 0 <= index < self.count:
            raise IndexError("beyond the last match")
        return self.ids[<size_t>index]

    def __repr__(self):
        shown = ", ".join(str(self.ids[index]) for index in range(min(self.count, 8)))
        return f"Matches([{shown}{', ...' if self.count > 8 else ''}], count={self.count})"

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        buffer_fill(buffer, self, <void*>self.ids, self.count, b"Q", self.shape, self.strides, flags)


@cython.final
cdef class ScoreView:
    """The scores of an Ordered as a buffer."""
    cdef Ordered owner
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        buffer_fill(buffer, self, <void*>self.owner.values, self.owner.count, b"d", self.shape, self.strides, flags)


@cython.final
cdef class Ordered:
    """Entry ids in the order of a sort or a ranking. Immutable."""

    @staticmethod
    def of(ids):
        """These ids in this order."""
        cdef IdList result
        list_fill(&result, ids)
        return ordered_take(&result, NULL, -1)

    @property
    def scores(self):
        """A buffer of format "d", or None."""
        cdef ScoreView view
        if self.values == NULL:
            return None
        view = ScoreView.__new__(ScoreView)
        view.owner = self
        return memoryview(view)

    @property
    def total(self):
        """How many entries there were before skip and limit, or None where that was not counted."""
        return self.known_total if self.known_total >= 0 else None

    def matches(self):
        """The same ids ascending."""
        return Matches.of(self)

    def __len__(self):
        return self.count

    def __iter__(self):
        cdef size_t index
        for index in range(self.count):
            yield self.ids[index]

    def __getitem__(self, index):
        cdef Ordered part
        if isinstance(index, slice):
            start, stop, step = index.indices(self.count)
            if step != 1:
                raise ValueError("ordered ids are sliced in steps of 1")
            part = Ordered.__new__(Ordered)
            part.owner = self.owner
            part.ids = self.ids + <size_t>start
            part.values = self.values + <size_t>start if self.values != NULL else NULL
            part.count = max(stop - start, 0)
            part.known_total = self.known_total
            return part
        index = index if index >= 0 else index + <object>self.count
        if not 0 <= index < self.count:
            raise IndexError("beyond the last id")
        return self.ids[<size_t>index]

    def __repr__(self):
        shown = ", ".join(str(self.ids[index]) for index in range(min(self.count, 8)))
        return f"Ordered([{shown}{', ...' if self.count > 8 else ''}], count={self.count})"

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        buffer_fill(buffer, self, <void*>self.ids, self.count, b"Q", self.shape, self.strides, flags)

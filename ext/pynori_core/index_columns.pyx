"""Read columns into arrays, keep them, and let the oldest go when there are too many."""

cimport cython

from pynori_core.errors cimport OK
from pynori_core.index_trees cimport column_load

from collections import OrderedDict

cdef extern from "pynori_memory.h" nogil:
    void* memory_take "pyn_memory_take"(size_t size, int populate) noexcept
    void memory_give "pyn_memory_give"(void* memory, size_t size) noexcept

cdef enum:
    COLUMN_ARRAYS_BYTES_MAX = 268435456    # of all stores of the process
    LOOKS_SHARE = 128                      # so many times fewer looks than entries cost as much as reading all

# Arrays of all caches, the one that was used longest ago first. Changed with the interpreter's lock alone.
cdef object KNOWN = OrderedDict()
cdef uint64_t known_bytes = 0


@cython.final
cdef class ColumnArray:
    """One column of one commit."""

    def __dealloc__(self):
        if self.values != NULL:
            memory_give(self.values, self.count * 8)


@cython.final
cdef class ColumnCache:

    def __cinit__(self):
        self.arrays = {}
        self.looks = {}

    cdef ColumnArray array(self, IndexTrees* trees, uint32_t field, uint64_t looks):
        cdef uint64_t looked
        cdef ColumnArray found
        if trees.txn.id != self.txn_id:
            if trees.txn.id < self.txn_id:
                return None        # an older snapshot: newer ones matter more
            self.clear()
            self.txn_id = trees.txn.id
        found = self.arrays.get(field)
        if found is not None:
            if id(found) in KNOWN:
                KNOWN.move_to_end(id(found))
            return found
        looked = self.looks.get(field, 0) + looks
        self.looks[field] = looked
        if looked * LOOKS_SHARE < trees.state.next_entry:
            return None
        self.looks[field] = 0      # who comes meanwhile does not read it a second time
        found = read(trees, field)
        if found is not None and self.txn_id == trees.txn.id:
            keep(self, found)
        return found

    cdef void clear(self):
        cdef ColumnArray each
        for each in self.arrays.values():
            forget(each)
        self.arrays = {}
        self.looks = {}


cdef ColumnArray read(IndexTrees* trees, uint32_t field):
    """None: no memory, too large, or damaged, which the tree itself will tell."""
    cdef ColumnArray made
    cdef uint64_t count = trees.state.next_entry
    cdef int code
    if count * 8 > COLUMN_ARRAYS_BYTES_MAX // 2:
        return None
    made = ColumnArray.__new__(ColumnArray)
    made.values = <uint64_t*>memory_take(count * 8, False)
    if made.values == NULL:
        return None
    made.count = count
    made.field = field
    with nogil:
        code = column_load(trees, field, made.values, count)
    return made if code == OK else None


cdef void keep(ColumnCache cache, ColumnArray array):
    global known_bytes
    cdef ColumnArray oldest
    oldest = cache.arrays.get(array.field)
    if oldest is not None:
        forget(oldest)             # another thread has read it, too
    array.cache = cache
    cache.arrays[array.field] = array
    KNOWN[id(array)] = array
    known_bytes += array.count * 8
    while known_bytes > COLUMN_ARRAYS_BYTES_MAX:
        oldest = next(iter(KNOWN.values()))
        (<ColumnCache>oldest.cache).arrays.pop(oldest.field, None)
        forget(oldest)


cdef void forget(ColumnArray array):
    global known_bytes
    if KNOWN.pop(id(array), None) is not None:
        known_bytes -= array.count * 8
    array.cache = None

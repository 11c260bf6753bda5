"""Find, keep, grow.

A hint is two words, each read and written whole: 24 bits of the hash and 40 of the row id; 7 bits of the hash, 44 of
the page, 13 of the offset. What does not fit is not kept. A first word of 0 is an empty place: row ids begin at 1.
"""

from libc.stdlib cimport calloc, free
from libc.string cimport memset

from pynori_core.bits cimport atomic_add64, atomic_load64, atomic_load_pointer, atomic_store64, atomic_store_pointer
from pynori_core.threads cimport mutex_destroy, mutex_init, mutex_lock, mutex_unlock

cdef extern from "pynori_memory.h":
    void* memory_take "pyn_memory_take"(size_t size, int populate) noexcept nogil
    void memory_give "pyn_memory_give"(void* memory, size_t size) noexcept nogil

cdef enum:
    PLACES = 4                     # hints of a bucket
    BUCKET_WORDS = 8
    BUCKET_BYTES = 64
    HINT_BYTES = 16
    GROWTH = 4
    ROW_BITS = 40
    PAGE_BITS = 44
    OFFSET_BITS = 13


cdef void hints_init(Hints* hints) noexcept nogil:
    memset(hints, 0, sizeof(Hints))
    mutex_init(&hints.mutex)


cdef void hints_release(Hints* hints) noexcept nogil:
    cdef HintTable* table = hints.table
    cdef HintTable* older
    while table != NULL:
        older = table.older
        memory_give(table.words, table.size_bytes)
        free(table)
        table = older
    hints.table = NULL
    mutex_destroy(&hints.mutex)


cdef inline uint64_t* bucket_of(HintTable* table, uint64_t hash) noexcept nogil:
    return table.words + (hash & table.bucket_mask) * BUCKET_WORDS


cdef inline uint64_t first_tag(uint64_t hash) noexcept nogil:
    return hash >> ROW_BITS


cdef inline uint64_t second_tag(uint64_t hash) noexcept nogil:
    return (hash >> 33) & 0x7F


cdef bint hints_find(Hints* hints, uint64_t hash, Hint* hint) noexcept nogil:
    cdef HintTable* table = <HintTable*>atomic_load_pointer(<void**>&hints.table)
    cdef uint64_t* bucket
    cdef uint64_t first, second
    cdef int place
    if table == NULL:
        return False
    bucket = bucket_of(table, hash)
    for place in range(PLACES):
        first = atomic_load64(bucket + 2 * place)
        if first == 0:
            return False           # places of a bucket are taken in order
        if first >> ROW_BITS != first_tag(hash):
            continue
        second = atomic_load64(bucket + 2 * place + 1)
        if second >> (PAGE_BITS + OFFSET_BITS) != second_tag(hash):
            return False
        hint.row_id = first & ((<uint64_t>1 << ROW_BITS) - 1)
        hint.page = (second >> OFFSET_BITS) & ((<uint64_t>1 << PAGE_BITS) - 1)
        hint.offset = <uint32_t>(second & ((1 << OFFSET_BITS) - 1))
        return True
    return False


cdef void hints_keep(Hints* hints, uint64_t hash, const Hint* hint) noexcept nogil:
    cdef HintTable* table = <HintTable*>atomic_load_pointer(<void**>&hints.table)
    cdef uint64_t* bucket
    cdef uint64_t first
    cdef int place = 0
    if hint.row_id >> ROW_BITS or hint.page >> PAGE_BITS or hint.offset >> OFFSET_BITS:
        return
    if table == NULL \
            or (table.filled >= table.size_bytes // HINT_BYTES * 3 // 4 and table.size_bytes < HINTS_BYTES_MAX):
        table = grow(hints, table)
        if table == NULL:
            return
    bucket = bucket_of(table, hash)
    while place < PLACES:
        first = atomic_load64(bucket + 2 * place)
        if first == 0:
            atomic_add64(&table.filled, 1)
            break
        if first >> ROW_BITS == first_tag(hash):
            break
        place += 1
    if place == PLACES:
        place = <int>(hint.row_id & (PLACES - 1))      # any of them: one that is missed comes back
    # The second word first: then a reader that finds the new first word finds its own second one.
    atomic_store64(bucket + 2 * place + 1,
                   second_tag(hash) << (PAGE_BITS + OFFSET_BITS) | hint.page << OFFSET_BITS | hint.offset)
    atomic_store64(bucket + 2 * place, first_tag(hash) << ROW_BITS | hint.row_id)


cdef HintTable* grow(Hints* hints, HintTable* full) noexcept nogil:
    """The table that takes the place of `full`, empty; the one that is there when another thread was first."""
    cdef HintTable* made
    mutex_lock(&hints.mutex)
    made = hints.table
    if made == full:
        made = <HintTable*>calloc(1, sizeof(HintTable))
        if made != NULL:
            made.older = full
            made.size_bytes = HINTS_BYTES_FIRST if full == NULL else full.size_bytes * GROWTH
            if made.size_bytes > HINTS_BYTES_MAX:
                made.size_bytes = HINTS_BYTES_MAX
            made.bucket_mask = made.size_bytes // BUCKET_BYTES - 1
            made.words = <uint64_t*>memory_take(made.size_bytes, 0)
            if made.words == NULL:
                free(made)
                made = full        # reads go on without
            else:
                atomic_store_pointer(<void**>&hints.table, made)
    mutex_unlock(&hints.mutex)
    return made

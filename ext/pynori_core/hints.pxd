"""Where the row of an id was last found: a table in memory that saves reads the way down the tree of ids.

A hint is right or harmless. It names a row and its place; who uses it asks the snapshot whether that row is alive, and
the row whether it is of the wanted id: of one id at most one row is alive in a snapshot, so a row that passes both is
the answer, and one that does not sends the reader down the tree. So nothing invalidates hints, writers do not know of
them, and two halves of different hints, as threads may leave them, do no harm.

Readers fill the table. It grows with what is read, four hints to a cache line, up to HINTS_BYTES_MAX.
"""

from libc.stdint cimport uint32_t, uint64_t

from pynori_core.threads cimport Mutex

cdef enum:
    HINTS_BYTES_FIRST = 65536
    HINTS_BYTES_MAX = 67108864         # of the newest table; all older ones together have a third of it

cdef struct Hint:
    uint64_t row_id
    uint64_t page                      # leaf that held the row
    uint32_t offset                    # where its entry began in it; 0: not known

cdef struct HintTable:
    HintTable* older                   # a reader may still be looking at it; freed with the Hints
    uint64_t size_bytes
    uint64_t bucket_mask
    uint64_t filled                    # places taken; atomic
    uint64_t* words                    # buckets of four hints of two words each

cdef struct Hints:
    HintTable* table                   # atomic; NULL until the first hint
    Mutex mutex                        # who makes a table

cdef void hints_init(Hints* hints) noexcept nogil
cdef void hints_release(Hints* hints) noexcept nogil
# False: nothing is known under this hash of a key.
cdef bint hints_find(Hints* hints, uint64_t hash, Hint* hint) noexcept nogil
cdef void hints_keep(Hints* hints, uint64_t hash, const Hint* hint) noexcept nogil

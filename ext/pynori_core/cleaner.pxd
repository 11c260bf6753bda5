"""When dead rows are cleaned, and how eagerly: the writer asks after each of its transactions, and when it is idle.

A row that was replaced or deleted stays where it is until its group of rows is packed, which moves the group's other
rows. How many are moved for one that goes is the whole cost, so that cleaning waits:

- Beside the writing, until two rows are dead for three documents, less those rows that were deleted; then it takes
  as many rows as the writing makes and a few more, from those groups only whose rows are mostly dead. A pass over all
  groups that ends above the threshold is followed by a less choosy one. Rows die in all groups alike under random
  updates, and each pass goes on where the last one stopped, so that groups are packed in turn when two of three rows in
  them are dead although of all rows two of five are.
- In idle time, once one row is dead for four documents: a whole pass over all groups that are worth it.
"""

from libc.stdint cimport uint64_t

from pynori_core.table cimport Table
from pynori_core.tables cimport DatabaseState

cdef enum:
    CLEAN_DEAD_MIN = 1024              # dead rows below which cleaning is not worth a look
    CLEAN_IDLE_ROWS = 4096             # dead rows that one step of idle time deletes
    CLEAN_ROWS_PER_COMMAND = 2         # deleted beside the writing: more than it makes, so that a pass gains on it
    CLEAN_ROWS_PER_EXCESS = 16         # ... and more, when as many rows as there are documents are above the threshold
    CLEAN_ROWS_MIN = 256               # for which a step beside the writing is made

cdef struct CleanPass:
    uint64_t position                  # the group to look at next
    uint64_t freed                     # pages, since the pass began
    uint64_t rest_dead                 # a whole pass found nothing to clean when so many rows were dead
    int bar                            # of table_clean

cdef struct Cleaner:
    uint64_t documents                 # as of the last transaction
    uint64_t tombstones
    uint64_t dead                      # rows that are stored and not alive
    uint64_t deleted                   # of them, those that nothing replaced; tombstones, when the database was opened
    bint counted
    uint64_t due                       # dead rows to delete beside the writing, saved up for a step
    uint64_t pages_freed               # since opening; atomic
    CleanPass pressing
    CleanPass idle
    bint idle_pass                     # a pass in idle time was begun and goes on to its end

cdef void cleaner_init(Cleaner* cleaner) noexcept nogil
# How many rows are dead, as of the transaction of `items`.
cdef void cleaner_count(Cleaner* cleaner, Table* items, const DatabaseState* state) noexcept nogil
# Clean in step with `commands` of the transaction of `items`, if too many rows are dead.
cdef int cleaner_press(Cleaner* cleaner, Table* items, const DatabaseState* state, uint64_t commands) noexcept nogil
cdef bint cleaner_wants_idle(Cleaner* cleaner) noexcept nogil
cdef int cleaner_idle(Cleaner* cleaner, Table* items) noexcept nogil   # a step

"""Writing a database anew and dense, beside the old files, while those are in use.

`copy` takes one snapshot: the live rows in etag order, then index, sets and records in key order, so that all pages of
the new files are full. `catch_up` brings over what was written since: every change of an item leaves a live row with a
higher etag, a deletion its tombstone, as long as no tombstone above the copied etag is purged meanwhile (the owner of
the database sees to that). When nobody writes any more, one last `catch_up` makes both equal: same etags, change
vectors, ids, collection numbers and database id. The environment's own id is new.

Nothing of the new files counts before `finish` has closed them and `exchange` has given them the old name: that is one
atomic step, so that a crash finds either the old files or the new ones under the name.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from pynori_core.env cimport Env
from pynori_core.items cimport DocumentStore
from pynori_core.tables cimport DocumentTables

cdef enum:
    COPY_STEP_BYTES = 8388608          # keys and values that one transaction of the new files takes


@cython.final
cdef class Compaction:
    cdef DocumentStore store           # entered until `close`
    cdef Env* target                   # NULL once finished
    cdef DocumentTables tables         # of the target, bound to no transaction
    cdef uint32_t canceled             # atomic
    cdef readonly uint64_t last_etag   # what the new files hold
    cdef readonly uint64_t rows        # brought over so far
    cdef readonly uint64_t size_bytes  # of them
    cdef int run(self, bint first) except -1

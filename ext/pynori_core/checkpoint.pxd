"""The checkpoint: page versions go to the data file, a header says so, and journals become spares.

It starts between two commits at the published transaction L. From then on every page that changes is logged whole once
more, so that a page torn by a later checkpoint can be repaired from the journals that this one leaves. Nothing is
written as long as a reader is older than L, because such a reader may be looking at the map.
"""

from libc.stdint cimport uint64_t
from pynori_core.errors cimport ErrorDetail
from pynori_core.state cimport Env

# One checkpoint from beginning to end, by whoever set checkpoint_running. E_BUSY when older readers are still there
# after `reader_wait_ms` (UINT64_MAX: until the environment closes). A failed sync poisons the environment.
cdef int checkpoint_run(Env* env, uint64_t reader_wait_ms, ErrorDetail* error) noexcept nogil
# Marks the environment as failed: no more writes (rule D7).
cdef void env_poison(Env* env, const ErrorDetail* cause) noexcept nogil
# Why nothing is written any more; code 0 while writing goes on.
cdef void env_failure(Env* env, ErrorDetail* failure) noexcept nogil
# The journal step's flag, for whoever has to stand between two commits.
cdef void journal_acquire(Env* env) noexcept nogil
cdef void journal_give(Env* env) noexcept nogil
# Writes the newest version with txn_id <= `limit` of each dirty page; counts the pages. Not synced.
cdef int flush_versions(Env* env, uint64_t limit, uint64_t* pages, ErrorDetail* error) noexcept nogil

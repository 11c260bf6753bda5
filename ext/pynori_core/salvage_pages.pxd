"""The intact pages of a broken environment."""

from libc.stdint cimport uint64_t
from pynori_core.disk cimport DiskHandle
from pynori_core.pager cimport Pager
from pynori_core.record cimport RecordBuffer, RecordCursor

cdef class JournalRecord:
    cdef readonly uint64_t txn_id
    cdef readonly uint64_t journal
    cdef readonly str name
    cdef readonly uint64_t offset
    cdef readonly uint64_t size
    cdef readonly bint is_whole            # its payload has its hash

cdef class Wreck:
    cdef DiskHandle disk
    cdef Pager pager
    cdef bint is_open
    cdef readonly bytes env_id
    cdef readonly uint64_t checkpoint_txn  # of the newer whole header; 0: not known
    cdef readonly uint64_t last_txn        # the last of which anything is known
    cdef readonly list notes               # what was found broken on the way, as texts
    cdef readonly list lost_pages          # after `pages`: numbers of pages that are not intact
    cdef readonly list blank_pages         # and those that are all zeros
    cdef readonly list lost_transactions   # (first, last) of records that are missing behind the checkpoint
    cdef readonly set uncertain            # pages that had changes which could not be applied
    cdef dict images                       # page -> (transaction, bytes): from the journals
    cdef dict inner                        # inner page of a run in `images` -> its first page

    cdef int open_data(self) except -1
    cdef int scan_journal(self, str name, uint64_t number, list found) except -1
    cdef int replay(self, list records) except -1
    cdef int gap(self, uint64_t first, uint64_t end) except -1
    cdef int replay_record(self, JournalRecord record, uint64_t whole_from, RecordBuffer* plain) except -1
    cdef int replay_page(self, uint64_t txn_id, uint64_t whole_from, RecordCursor* cursor) except -1
    cdef int forget(self, uint64_t page) except -1
    cdef bint blank(self, uint64_t page) except -1

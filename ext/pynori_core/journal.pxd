"""The journals of an environment: preallocated files that hold records one after the other, and what is to be had of
them.

One record is one atom: it is committed when it is whole, its hashes hold, and it names the hash of the record before
it. Journals are numbered without gaps. A full one ends with a record of flag JOURNAL_FLAG_NEXT, written after the
next file exists durably: so a journal that is missing is noticed. Journals that a checkpoint made unneeded are kept
as spares and renamed when a new one is due.

`journal_prepare` belongs to the holder of the writer's lock, `journal_append` to the journal step; both may run at
once.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from pynori_core.disk cimport Disk, DiskFile
from pynori_core.errors cimport ErrorDetail
from pynori_core.format cimport RecordHeader
from pynori_core.record cimport RecordBuffer
from pynori_core.threads cimport Mutex

cdef enum:
    JOURNAL_BYTES_FIRST = 262144
    JOURNAL_BYTES_MAX = 67108864           # each new journal is twice the one before, up to journal_bytes_max
    JOURNAL_SPARES_MAX = 4                 # more are deleted

cdef struct JournalFile:
    JournalFile* next
    DiskFile* file                         # NULL for a spare
    uint64_t number
    uint64_t size_bytes

cdef struct Journal:
    Disk* disk
    uint8_t env_id[16]
    Mutex mutex                            # guards the lists, next and reserved_bytes
    JournalFile* current
    JournalFile* following                 # made ready for when `current` is full, or NULL
    JournalFile* finished                  # full, and perhaps still needed; newest first
    JournalFile* spares
    uint64_t offset                        # end of the last record in `current`
    uint64_t chain                         # header hash of the last record
    uint64_t reserved_bytes                # promised to sealed transactions that are not written yet
    uint64_t finished_bytes                # sizes of `finished`
    uint64_t syncs                         # counted
    uint64_t bytes_written                 # counted, padding included
    uint8_t* marker                        # a sector for records without a payload

cdef uint64_t journal_bytes_max() noexcept nogil       # JOURNAL_BYTES_MAX, unless a test has set less

cdef int journal_open(Journal* journal, Disk* disk, const uint8_t* env_id, ErrorDetail* error) noexcept nogil
cdef void journal_close(Journal* journal) noexcept nogil
# Creates a zeroed journal and makes it the current one, at its start. The directory is synced unless `sync` is False.
cdef int journal_start(Journal* journal, uint64_t number, uint64_t size_bytes, bint sync,
                       ErrorDetail* error) noexcept nogil
# Goes on in an existing journal.
cdef int journal_resume(Journal* journal, uint64_t number, uint64_t offset, uint64_t chain,
                        ErrorDetail* error) noexcept nogil
cdef void journal_add_spare(Journal* journal, uint64_t number, uint64_t size_bytes) noexcept nogil

# Reserves room for a record of at most `bytes_max`: after OK, appending it can fail only because the disk fails.
cdef int journal_prepare(Journal* journal, uint64_t bytes_max, ErrorDetail* error) noexcept nogil
cdef void journal_unreserve(Journal* journal, uint64_t bytes_max) noexcept nogil
# Completes the header, writes, syncs. `record` has sizeof(RecordHeader) free bytes before its payload.
cdef int journal_append(Journal* journal, RecordHeader* header, uint8_t* record, ErrorDetail* error) noexcept nogil
# Journals before `number` are not needed any more.
cdef void journal_recycle(Journal* journal, uint64_t number) noexcept nogil

cdef void journal_name(uint64_t number, char* name) noexcept nogil                   # DISK_NAME_MAX bytes
# Number in a journal's file name; False when it is no journal's.
cdef bint journal_number(const char* name, uint64_t* number) noexcept nogil

# Reading: one journal from front to back, past the cache where the file system can.
cdef struct JournalReader:
    Disk* disk
    DiskFile* file
    uint64_t number
    uint64_t size_bytes
    RecordBuffer window                    # bytes of the journal from window_offset on
    uint64_t window_offset
    uint64_t window_size

# E_NOT_FOUND
cdef int reader_open(JournalReader* reader, Disk* disk, uint64_t number, ErrorDetail* error) noexcept nogil
cdef void reader_close(JournalReader* reader) noexcept nogil
# `size` bytes at `offset` (multiples of SECTOR_SIZE); the pointer lives until the next call. NULL on failure.
cdef const uint8_t* reader_bytes(JournalReader* reader, uint64_t offset, uint64_t size,
                                 ErrorDetail* error) noexcept nogil

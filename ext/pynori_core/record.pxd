"""One transaction as bytes of a journal: changed pages become a payload, and a payload becomes changed pages again.

A page is logged *whole* (ranges laid over zeros) when its older image is not in a live journal, else as the ranges in
which it differs from the version before it. The gap of a slotted page, [lower, upper), means nothing and is left out;
so what lies in the gap of the older image is unknown to whoever replays, and bytes of the new image there always
count as changed. The hash field of a page is not logged: it is set when the page goes to the data file.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from pynori_core.errors cimport ErrorDetail
from pynori_core.format cimport PageEntry, PageRange, RecordHeader
from pynori_core.scratch cimport PageVersion

cdef enum:
    RECORD_PAGE_BYTES_MAX = 8768           # bound of one page in a payload: entry, bytes, 132 ranges
    RECORD_PLAIN_BYTES_MAX = 1073741824    # payload of one record before compression
    RECORD_KEEP_BYTES_MAX = 8388608        # buffers that grew larger are given back after use

cdef struct RecordBuffer:          # memory for one record at a time, starting at a multiple of SECTOR_SIZE
    uint8_t* data                  # RecordHeader, payload
    uint64_t capacity

cdef struct RecordEncoder:
    RecordBuffer plain
    RecordBuffer packed
    uint64_t pages_whole           # counted, of the last record
    uint64_t pages_diff

cdef void record_release(RecordEncoder* encoder) noexcept nogil
cdef int record_buffer_reserve(RecordBuffer* buffer, uint64_t size_bytes) noexcept nogil
cdef void record_buffer_release(RecordBuffer* buffer) noexcept nogil
# Most bytes that a record of so many pages takes in a journal.
cdef uint64_t record_bound(uint64_t pages) noexcept nogil
# Makes sure that record_encode of so many pages will not need memory.
cdef int record_reserve(RecordEncoder* encoder, uint64_t pages) noexcept nogil

# Encodes the versions linked by `next`; sets logged_whole of each. Fills the header's flags, page_count, sizes and
# payload hash; the rest is the journal's. Returns the buffer, its padding to SECTOR_SIZE zeroed; never fails after
# record_reserve.
cdef uint8_t* record_encode(RecordEncoder* encoder, PageVersion* first, uint64_t whole_limit,
                            RecordHeader* header) noexcept nogil

# Header: whole, and of this environment?
cdef bint record_header_valid(const RecordHeader* header, const uint8_t* env_id) noexcept nogil
cdef uint64_t record_header_hash(const RecordHeader* header) noexcept nogil
cdef bint record_sizes_valid(const RecordHeader* header) noexcept nogil
cdef inline uint64_t record_size(uint64_t stored_size) noexcept nogil:     # bytes in the journal, padding included
    return (sizeof(RecordHeader) + stored_size + 4095) & ~<uint64_t>4095

cdef struct RecordCursor:          # walks the pages of a payload
    const uint8_t* position
    const uint8_t* end
    uint32_t pages_left
    uint64_t file_pages
    uint64_t page                  # of the entry it stands on
    uint32_t flags
    uint32_t range_count
    const uint8_t* ranges

cdef bint record_payload_valid(const RecordHeader* header, const uint8_t* stored) noexcept nogil
# Stands before the first page of a valid payload, which is decompressed into `plain` where that is needed.
cdef int record_open(RecordCursor* cursor, const RecordHeader* header, const uint8_t* stored, RecordBuffer* plain,
                     ErrorDetail* error) noexcept nogil
# The next page, its ranges checked; E_NOT_FOUND at the end, E_CORRUPT when the payload is no payload.
cdef int record_next(RecordCursor* cursor) noexcept nogil
# Lays the ranges of the page that the cursor stands on over `image` (PAGE_SIZE bytes).
cdef void record_apply(const RecordCursor* cursor, uint8_t* image) noexcept nogil

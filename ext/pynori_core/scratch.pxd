"""Page versions in memory: the slot directory, pools of page buffers, registered readers, and when memory may be
reused.

`slot[page]` is SLOT_UNVERIFIED or SLOT_VERIFIED (the page is read from the data file's map), or points to the newest
PageVersion; from there `older` leads back in time. A reader of snapshot T takes the first version with txn_id <= T,
and the map when there is none.

Reuse of memory goes by epochs. A reader registers the epoch in which it began, before it looks at anything. What is
unlinked from the slots is retired with the epoch that begins with it; it is freed when no registered reader is of an
earlier epoch. Invariant: an unlinked version keeps txn_id and older as they were until it is freed.

A long-lived snapshot holds up the epochs, but it sees only one version of a page. Those between it and the newest that
no registered snapshot sees are *collected*: their data goes at once, since no reader ever looks at it, and the emptied
version stays until its epoch, since a reader may be stepping over it.

Pools, `scratch_take_*`, `scratch_reclaim` and `scratch_collect` belong to whoever holds the writer's lock. Slots are
changed by compare-and-swap. Retiring and registering may happen on any thread.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from pynori_core.errors cimport ErrorDetail
from pynori_core.spill cimport Spill
from pynori_core.threads cimport Mutex

cdef enum:
    SLOT_CHUNK_SHIFT = 16
    SLOT_CHUNK_PAGES = 65536       # pages a chunk of the slot directory covers: 512 MB
    SLOT_CHUNKS_MAX = 65536        # 32 TB
    SLOT_DIRTY_WORDS = 1024        # words of dirty bits that follow a chunk's slots

    SLOT_UNVERIFIED = 0            # values of a slot that are not pointers
    SLOT_VERIFIED = 1

    READERS_MAX = 4096             # read transactions of one environment at a time
    RETIRED_BATCHES_MAX = 1024     # of the retire queue; when full, the newest batch takes more
    BUFFER_CLASSES = 11            # buffers of 1, 2, 4 ... 1,024 pages come from pools; larger ones from the system
    NOTES_MAX = 15                 # ranges that a version remembers
    NOTES_ALL = 0xFFFF             # note_count of a version any byte of which may have changed

cdef enum VersionFlag:
    VERSION_FRESH = 1              # newly allocated by its transaction: nothing of the page's past counts
    VERSION_FREED = 2              # the page was freed: no data, not to be read, not to be written
    VERSION_MAP_VERIFIED = 4       # last of its chain: the page in the map was verified
    VERSION_FLUSHED = 8            # the data file holds exactly this version
    VERSION_RAW = 16               # inner page of a run
    VERSION_COVERED = 32           # a newer version of the same transaction lies above
    VERSION_RETIRED = 64           # superseded by the published transaction whose number logged_whole then holds
    VERSION_COLLECTED = 128        # taken out of its chain, its data given back

cdef struct RunBuffer:             # shared memory of a run's versions
    uint32_t references
    uint32_t pages
    uint8_t* data
    RunBuffer* next                # in the pool

cdef struct NotedRange:            # bytes [start, end) of a page
    uint16_t start
    uint16_t end

cdef struct PageVersion:           # 128 bytes, two cache lines; the second one is the writer's and the journal step's
    uint64_t txn_id                # transaction that wrote it
    uint64_t page
    PageVersion* older             # next older version, or NULL: what is older lies in the data file
    uint8_t* data                  # PAGE_SIZE bytes; NULL with VERSION_FREED
    # transaction whose record holds the last whole image; 0: none yet. See VERSION_RETIRED
    uint64_t logged_whole
    RunBuffer* run                 # owner of `data`, or NULL when the pool is
    PageVersion* next              # in the list of its transaction, later in the retire queue or the pool
    uint32_t savepoint             # savepoint number at its last copy, see txn_savepoint
    uint32_t flags                 # VersionFlag; changed atomically once the transaction is sealed
    uint16_t note_count            # or NOTES_ALL
    uint16_t padding
    # Outside of these it is the same as the version below it, of another transaction: ascending, apart from each other.
    NotedRange notes[15]

cdef struct ReaderSlot:            # a cache line of its own
    uint64_t epoch                 # 0: free
    uint64_t txn_id                # its snapshot; 0: not known yet
    uint64_t padding[6]

cdef struct RetiredBatch:
    uint64_t epoch                 # freed when no reader is of an earlier one
    PageVersion* first
    PageVersion* last
    bint collected                 # holds nothing but collected versions

cdef struct Pool:                  # buffers of one size
    uint8_t** free                 # a stack: the one used last is taken first
    uint64_t free_count
    uint64_t cold_count            # at the bottom of the stack: their memory was given back to the system
    uint64_t made                  # buffers in existence; the stack has room for all of them

cdef struct MemoryChunk:
    MemoryChunk* next
    uint8_t* data
    uint64_t size_bytes

cdef struct Scratch:
    void*** slots                  # directory of chunks
    uint32_t slot_chunks_high      # chunks at and above it were never made
    ReaderSlot* readers
    uint32_t readers_high          # slots that were ever used
    uint64_t epoch                 # counts publications, aborts and flushes; from 1
    Pool buffers[11]               # by class: 1 << class pages
    PageVersion* versions          # pool
    RunBuffer* runs                # pool
    MemoryChunk* chunks            # memory of all pools
    uint64_t chunk_bytes           # size of the next one
    uint64_t used_bytes            # buffers handed out: page images and runs
    uint64_t reserved_bytes        # memory had from the system
    Spill spill                    # counted in used_bytes too
    uint64_t spill_above           # while `spilling`: used bytes of memory beyond which buffers come from there
    bint spilling
    Mutex retire_mutex             # guards the ring below
    RetiredBatch retired[1024]
    uint32_t retired_first
    uint32_t retired_count

cdef int scratch_open(Scratch* scratch, ErrorDetail* error) noexcept nogil
cdef void scratch_close(Scratch* scratch, uint64_t published_txn) noexcept nogil

# Slots. `scratch_slot` makes the chunk when it is missing; NULL: out of memory.
cdef void** scratch_slot(Scratch* scratch, uint64_t page) noexcept nogil
cdef void scratch_mark_dirty(Scratch* scratch, uint64_t page) noexcept nogil
cdef void scratch_clear_dirty(Scratch* scratch, uint64_t page) noexcept nogil
# The first page >= `page` whose slot may hold a version; -1 (as uint64_t) when there is none.
cdef uint64_t scratch_next_dirty(Scratch* scratch, uint64_t page) noexcept nogil

# Memory. NULL: none to be had.
cdef PageVersion* scratch_take_version(Scratch* scratch) noexcept nogil       # zeroed
cdef uint8_t* scratch_take_buffer(Scratch* scratch, uint32_t pages) noexcept nogil
cdef void scratch_give_buffer(Scratch* scratch, uint8_t* data, uint32_t pages) noexcept nogil
# Gives the memory of free buffers back to the system, all but `keep_bytes` of each size. They fault in again when used.
cdef void scratch_trim(Scratch* scratch, uint64_t keep_bytes) noexcept nogil
cdef RunBuffer* scratch_take_run(Scratch* scratch, uint32_t pages) noexcept nogil
cdef void scratch_drop_run(Scratch* scratch, RunBuffer* run) noexcept nogil         # one reference
cdef void scratch_drop_data(Scratch* scratch, PageVersion* version) noexcept nogil  # the image, not the version
cdef void scratch_give_version(Scratch* scratch, PageVersion* version) noexcept nogil
# Bytes [start, end) of the version may have changed. Too many ranges: all of it may have.
cdef void scratch_note(PageVersion* version, uint32_t start, uint32_t end) noexcept nogil

# Readers. NULL: READERS_MAX are registered.
cdef ReaderSlot* scratch_register(Scratch* scratch) noexcept nogil
cdef void scratch_unregister(ReaderSlot* reader) noexcept nogil
cdef uint64_t scratch_oldest_epoch(Scratch* scratch) noexcept nogil           # the current one when nobody reads
# Snapshot of the registered reader that is the oldest, `except_for` left out, and its epoch; 0: there is none.
cdef uint64_t scratch_oldest_reader(Scratch* scratch, const ReaderSlot* except_for, uint64_t* txn_id) noexcept nogil
cdef uint64_t scratch_oldest_txn(Scratch* scratch, uint64_t published) noexcept nogil
cdef uint32_t scratch_readers(Scratch* scratch) noexcept nogil

# The list first..last (linked by next) was unlinked from the slots, and a new epoch begins, which is returned.
cdef uint64_t scratch_retire(Scratch* scratch, PageVersion* first, PageVersion* last) noexcept nogil
# Frees what no reader can see; returns how many versions.
cdef uint64_t scratch_reclaim(Scratch* scratch) noexcept nogil
# Gives the data of retired versions back that neither a registered snapshot nor one from `published` on sees.
cdef uint64_t scratch_collect(Scratch* scratch, uint64_t published) noexcept nogil

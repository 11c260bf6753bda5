"""The inside of an environment: the struct that `txn`, `checkpoint`, `recovery` and `env` share. Nobody else looks in.

Who may change what:
- the writer (who set writer_active): `writer`, pools of `scratch`, allocation hints, physical growth;
- the journal step (who set journal_busy): `journal` appends, `encoder`, published state, `whole_limit`;
- the checkpoint (who set checkpoint_running): `header`, what lies in the data file, recycling of journals.
Flags and the queue are guarded by `mutex`; whoever changes one of them broadcasts `changed`.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from pynori_core.disk cimport Disk
from pynori_core.errors cimport ErrorDetail
from pynori_core.forks cimport ForkMark
from pynori_core.format cimport FileHeader
from pynori_core.journal cimport Journal
from pynori_core.pager cimport Pager
from pynori_core.record cimport RecordEncoder
from pynori_core.scratch cimport PageVersion, ReaderSlot, Scratch
from pynori_core.threads cimport Condition, Mutex, Thread

ctypedef void (*CommitCallback)(void* context, uint64_t txn_id, const ErrorDetail* outcome) noexcept nogil

cdef enum:
    SEALED_MAX = 3                         # transactions between sealing and durability: one written, two waiting
    SCRATCH_BYTES_DEFAULT = 1073741824     # page images in memory beyond which the writer waits for the checkpoint
    SCRATCH_WAIT_MS_MAX = 60000            # how long it waits before it gives up with E_BUSY
    # Where the same reader is there for so long while the writer waits, images go to disk instead, up to so many bytes.
    SPILL_AFTER_MS = 250
    SPILL_BYTES_DEFAULT = 17179869184
    CHECKPOINT_BYTES_DEFAULT = 67108864    # journal bytes since the last checkpoint that start the next one
    CHECKPOINT_BYTES_MAX = 268435456       # upper end of the adaptive threshold
    CHECKPOINT_READER_WAIT_MS = 10000      # a checkpoint that was asked for waits this long for older readers
    JOURNAL_THREAD_IDLE_MS = 10000         # the journal thread ends after this long without work
    TXN_PAGES_MAX = 122000                 # pages one transaction may change, so that its record has a bound (1 GB)

cdef struct Allocation:            # what the writer knows about free space; hints may be wrong, counts may not
    uint64_t file_pages            # pages that exist for this transaction and those after it
    uint64_t free_pages
    uint64_t hint                  # page after the last one allocated

cdef struct WriterState:           # of the one write transaction that is being executed
    uint64_t txn_id
    PageVersion* touched           # its versions, newest first, linked by next
    uint64_t touched_pages         # versions with data in it
    Allocation allocation
    bint savepoint_active
    uint32_t savepoint             # number of the savepoint; versions of a smaller one are copied before a change
    # `touched`, `touched_pages` and `allocation` when the savepoint was made.
    PageVersion* savepoint_touched
    uint64_t savepoint_pages
    Allocation savepoint_allocation

cdef struct SealedTxn:             # on its way to the journal
    uint64_t txn_id
    PageVersion* first             # its versions, linked by next
    uint64_t pages                 # versions with data among them
    uint64_t bound_bytes           # reserved in the journal
    uint64_t file_pages
    uint64_t free_pages
    uint64_t user_txn_first
    uint64_t user_txn_last
    CommitCallback callback        # NULL: a caller of env_commit waits
    void* context
    ErrorDetail* outcome           # of the caller that waits
    bint* done

cdef struct Env:
    Disk* disk
    bint own_disk
    bint locked                    # a disk that is not our own
    bint read_only
    Pager pager
    Scratch scratch
    Journal journal
    RecordEncoder encoder
    FileHeader header              # as last written, or read at opening
    uint64_t scratch_bytes_max
    uint64_t collect_bytes         # scratch memory beyond which the writer collects
    uint64_t spill_bytes_max
    uint64_t checkpoint_bytes

    uint64_t published_txn         # what new readers see; stored with release
    uint64_t published_user_txn
    uint64_t published_file_pages
    uint64_t published_free_pages
    uint64_t published_epoch       # readers that began in it or later see published_txn
    uint64_t checkpoint_txn        # of the header on disk
    uint64_t whole_limit           # pages whose last whole image is not after this are logged whole

    Mutex mutex
    Condition changed
    bint closing
    bint forked                    # this is a child of the process that opened it: nothing may be done any more
    ForkMark fork_mark
    uint32_t visitors              # threads inside a call that may wait: closing waits for them to leave
    ErrorDetail poison             # code E_POISONED after a failed sync: no more writes

    bint writer_active
    WriterState writer
    uint64_t stamp                 # where the last write transaction's stamps began
    Allocation sealed              # allocation as of the last sealed transaction
    uint64_t sealed_txn            # number of the last sealed transaction
    uint32_t* largest_free         # by bitmap page: runs of this many pages or more are known not to be there
    uint64_t bitmap_count          # entries of largest_free

    SealedTxn queue[3]
    uint32_t queue_first
    uint32_t queue_count           # waiting, the one being written not included
    bint journal_busy
    bint journal_thread_running
    bint journal_thread_started    # to be joined
    Thread journal_thread

    bint checkpoint_running
    ReaderSlot* checkpoint_reader  # its registration, which is no read transaction; changed under the mutex
    bint checkpoint_thread_started
    Thread checkpoint_thread
    uint64_t checkpoint_journal_bytes   # journal.bytes_written when the last checkpoint began
    uint64_t checkpoint_threshold
    uint64_t checkpoint_attempts   # finished ones, good or bad
    ErrorDetail checkpoint_error   # of the last attempt

    uint64_t commits               # counters for EnvStatistics
    uint64_t journal_plain_bytes
    uint64_t pages_whole
    uint64_t pages_diff
    uint64_t checkpoints
    uint64_t checkpoint_pages
    uint64_t writer_waits

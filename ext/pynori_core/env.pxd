"""An environment: one directory with a data file, journals and a lock. Open, recover, begin, commit, checkpoint,
close."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from pynori_core.disk cimport Disk, DiskHandle
from pynori_core.errors cimport ErrorDetail
from pynori_core.state cimport CommitCallback, Env
from pynori_core.txn cimport Transaction, Txn

cdef struct EnvOptions:
    bint in_memory                 # memory files; the directory is ignored
    bint read_only                 # for check and inspect: no recovery writes
    uint64_t accept_loss_after     # 0, or: cut the journals after this transaction although later ones exist (rule D10)
    const char* allow_filesystem   # NULL, or the name of a file system type to allow although unsafe (rule D16)
    uint64_t scratch_bytes_max     # 0: default
    uint64_t checkpoint_bytes      # journal bytes after which a checkpoint begins; 0: default
    uint64_t spill_bytes_max       # disk for page images that a long reader holds, beyond memory; 0: default
    Disk* disk                     # NULL, or what to use in place of the directory; stays the caller's

cdef struct EnvStatistics:         # counters since opening; a snapshot, each field read once
    uint64_t published_txn
    uint64_t checkpoint_txn
    uint64_t oldest_reader_txn     # published_txn when nobody reads
    uint64_t commits
    uint64_t syncs
    uint64_t journal_bytes         # written
    uint64_t journal_plain_bytes   # before LZ4
    uint64_t pages_whole           # page images logged whole
    uint64_t pages_diff
    uint64_t checkpoints
    uint64_t checkpoint_pages
    uint64_t scratch_bytes         # page images in memory
    uint64_t scratch_reserved_bytes  # memory for them that was had from the system
    uint64_t readers
    uint64_t file_pages
    uint64_t free_pages
    uint64_t writer_waits          # times the writer waited for scratch memory
    uint64_t spilled_bytes         # of scratch_bytes, on disk

cdef int env_create(const char* directory, const EnvOptions* options, Env** env, ErrorDetail* error) noexcept nogil
cdef int env_open(const char* directory, const EnvOptions* options, Env** env, ErrorDetail* error) noexcept nogil
# Waits for sealed transactions, checkpoints, closes. Live transactions: E_BUSY, and the environment stays open. Any
# other failure is reported after everything was released: `env` is gone then too.
cdef int env_close(Env* env, ErrorDetail* error) noexcept nogil

cdef int env_begin_read(Env* env, Txn* txn) noexcept nogil
cdef void env_end_read(Txn* txn) noexcept nogil

# One write transaction at a time: waits for the writer's lock.
cdef int env_begin_write(Env* env, Txn* txn) noexcept nogil
cdef void env_abort(Txn* txn) noexcept nogil
# Durable when it returns OK. Does the journal's work in the calling thread.
cdef int env_commit(Txn* txn, ErrorDetail* error) noexcept nogil
# Hands the transaction to the journal thread and returns; the next env_begin_write may follow at once. The callback is
# called on the journal thread, once, in txn order, after durability or failure. Waits while two are on their way.
cdef int env_seal(Txn* txn, CommitCallback callback, void* context) noexcept nogil
# True when nothing is being written: env_commit will not wait and gives the lowest latency.
cdef bint env_journal_idle(Env* env) noexcept nogil
cdef int env_flush(Env* env, ErrorDetail* error) noexcept nogil       # wait for all sealed transactions
# Waits for it; then gives scratch memory back that is not needed any more. For quiet moments.
cdef int env_checkpoint(Env* env, ErrorDetail* error) noexcept nogil
cdef void env_statistics(Env* env, EnvStatistics* out) noexcept nogil
cdef const uint8_t* env_id(Env* env) noexcept nogil                   # 16 bytes
cdef uint64_t env_user_txn(Env* env) noexcept nogil                   # last user transaction number that was committed

# The same for Python: both are context managers. A WriteTxn commits when it is left without an exception.
cdef class Environment:           # `Env` for Python
    cdef Env* env                  # NULL once closed
    cdef readonly str directory    # "" in memory
    cdef DiskHandle disk           # kept alive as long as the environment is open
    cdef uint32_t users            # calls from Python that are using `env`

    cdef Env* enter(self) except NULL
    cdef void leave(self) noexcept

cdef class ReadTxn(Transaction):
    cdef Txn memory
    cdef Environment owner

cdef class WriteTxn(Transaction):
    cdef Txn memory
    cdef Environment owner

    cdef int checked(self, bint good) except -1

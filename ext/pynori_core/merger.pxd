"""The merger: one writer per database, which puts whatever is waiting into one transaction and one sync.

User transactions wait in a bounded queue. The writer, a thread that is started when it is needed and ends when idle,
takes all that wait, executes them into one write transaction (each under its own number, a failing one alone undone),
and commits: in its own thread when nothing else waits and the journal is idle, else by sealing, so that the next
transaction is executed while this one is written. Nobody is answered before durability. Nothing from the hand-over to
the completion takes the GIL. A completed one goes to its Sink, a lock-free list with a descriptor that an event loop
watches and that is written to once per commit; or it wakes the thread that waits for it.

Dead rows are cleaned by the writer in bounded steps, as `cleaner` wants: in idle time, or on top of the work at hand.

`merger_execute` is the synchronous face: when the writer is idle the caller's own thread takes its place.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.command cimport CommandFailure
from pynori_core.env cimport Env
from pynori_core.errors cimport ErrorDetail
from pynori_core.output cimport Output
from pynori_core.tables cimport DocumentTables

cdef enum:
    MERGE_COMMANDS_MAX = 8192          # of one merged transaction; a larger batch goes alone
    MERGE_BYTES_MAX = 16777216
    QUEUE_BYTES_MAX = 268435456        # commands waiting; more are refused with E_BUSY
    QUEUE_WAIT_MS_MAX = 30000          # when the oldest has waited longer, more are refused with E_BUSY
    WRITER_IDLE_MS = 2000              # the writer's thread ends after that much idleness
    CLEAN_IDLE_AFTER_MS = 20           # without a commit, until cleaning begins

cdef struct Sink:                      # where completed user transactions wait for an event loop
    void* completed                    # UserTxn, newest first; atomic
    uint64_t pushers                   # threads inside a push; atomic. The sink stays as long as there are any
    int wake_fd                        # written to when `completed` was empty
    int watched_fd                     # readable then

cdef struct Waiter                     # private: a thread in merger_execute

cdef enum UserAnswer:                  # what its owner gets
    ANSWER_LIST = 0                    # the results of all commands
    ANSWER_SINGLE = 1                  # that of the only one
    ANSWER_APPLIED = 2                 # what became of a frame

cdef struct UserTxn:                   # one user transaction, from hand-over to completion
    UserTxn* next                      # in the queue, in its merged transaction, in its sink
    uint8_t* commands                  # malloc'd records
    size_t commands_size
    uint32_t command_count
    Output results
    CommandFailure failure             # failure.code is the outcome
    uint64_t number                    # user transaction number, 0 when it failed
    uint64_t queued_ns                 # monotonic
    UserAnswer answer
    Sink* sink                         # NULL: a thread waits
    void* owner                        # the sink's side: the future, a reference that the sink gives back
    Waiter* waiter                     # the thread's side

cdef struct MergerCounters:            # since opening
    uint64_t transactions              # user transactions that were handed over
    uint64_t failed                    # of them
    uint64_t commands                  # executed, of those that were committed
    uint64_t commits                   # merged transactions
    uint64_t commits_inline            # of them, without the journal's thread
    uint64_t queue_count               # waiting now
    uint64_t queue_bytes
    uint64_t queue_count_max
    uint64_t refused                   # by a full queue
    uint64_t rollbacks                 # failed batches of several commands
    uint64_t repeated                  # merged transactions that were executed again without the one that broke them
    uint64_t pages_cleaned             # freed by cleaning dead rows
    uint64_t rows_dead                 # not cleaned yet
    uint64_t threads_started

cdef struct Merger                     # private: merger.pyx

cdef UserTxn* user_create(uint8_t* commands, size_t size, uint32_t count) noexcept nogil   # takes over `commands`
cdef void user_destroy(UserTxn* user) noexcept nogil

cdef Merger* merger_create(Env* env, const DocumentTables* tables) noexcept nogil      # NULL: no memory
# Hand over: OK; or E_BUSY, E_CLOSED, E_NO_MEMORY, and then it is still the caller's.
cdef int merger_submit(Merger* merger, UserTxn* user) noexcept nogil
# Hand over and wait; the outcome is in user.failure. Refused as by merger_submit.
cdef int merger_execute(Merger* merger, UserTxn* user) noexcept nogil
# Refuse what comes, finish what waits, end the thread; then nothing of it touches the environment.
cdef void merger_close(Merger* merger) noexcept nogil
cdef void merger_destroy(Merger* merger) noexcept nogil                # after merger_close
cdef void merger_counters(Merger* merger, MergerCounters* counters) noexcept nogil

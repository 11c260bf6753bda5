"""The writer's loop: take what waits, execute, commit or seal, tell those who wait; and the queue in front of it.

Who writes is a role: `writing` is true while the writer's thread or a caller of merger_execute has it. The lock
guards the queue and the role, and is never held across a transaction.
"""

from libc.stdlib cimport calloc, free

from pynori_core.ahead cimport AHEAD_KEYS, Ahead, ahead_start, ahead_step
from pynori_core.bits cimport atomic_add64, atomic_load64, atomic_load_pointer, compare_swap_pointer, max64
from pynori_core.cleaner cimport Cleaner, cleaner_count, cleaner_idle, cleaner_init, cleaner_press, cleaner_wants_idle
from pynori_core.command cimport Command, command_decode, command_failure_release
from pynori_core.env cimport (
    env_abort,
    env_begin_write,
    env_commit,
    env_journal_idle,
    env_seal,
    env_user_txn,
)
from pynori_core.errors cimport (
    E_BUSY,
    E_CLOSED,
    E_IO,
    E_NO_MEMORY,
    OK,
    error_clear,
    error_set,
)
from pynori_core.output cimport output_clear, output_expect, output_init, output_release
from pynori_core.slotted cimport prefetch
from pynori_core.tables cimport INDEX_ID
from pynori_core.threads cimport (
    Condition,
    Mutex,
    Thread,
    condition_broadcast,
    condition_destroy,
    condition_init,
    condition_wait,
    condition_wait_ms,
    mutex_destroy,
    mutex_init,
    mutex_lock,
    mutex_unlock,
    thread_join,
    thread_start,
)
from pynori_core.timestamp cimport monotonic_ns
from pynori_core.txn cimport Txn, txn_release, txn_rollback, txn_savepoint
from pynori_core.row_writes cimport Writer, writer_begin, writer_create, writer_destroy, writer_flush, writer_reload
from pynori_core.writes cimport writes_execute

cdef extern from "<unistd.h>":
    long write_bytes "write"(int fd, const void* bytes, size_t size) noexcept nogil


cdef enum:
    RESULT_BYTES_EXPECTED = 192        # of one command: header, id, collection's name, change vector


cdef struct Waiter:
    Condition done_changed
    bint done

cdef struct UserList:
    UserTxn* first
    UserTxn* last
    uint64_t bytes
    uint64_t commands

cdef struct MergedTxn:                 # a sealed transaction, until the journal's thread reports it
    Merger* merger
    UserList users

cdef struct Merger:
    Env* env
    DocumentTables tables              # a pattern for tables_bind
    Mutex lock
    Condition work                     # the writer's thread waits here
    Condition settled                  # merger_close waits here
    UserList queue
    uint64_t queue_count
    bint writing                       # the role is taken
    bint thread_waits                  # on `work`
    bint thread_running
    bint thread_joinable
    Thread thread
    bint closing
    uint64_t sealed                    # transactions handed to the journal's thread and not reported yet; atomic
    # Of the role, without the lock:
    Writer* writer
    uint64_t next_user_txn
    Cleaner cleaner
    MergerCounters counters            # atomic


# ---- user transactions and lists of them

cdef UserTxn* user_create(uint8_t* commands, size_t size, uint32_t count) noexcept nogil:
    cdef UserTxn* user = <UserTxn*>calloc(1, sizeof(UserTxn))
    if user != NULL:
        output_init(&user.results, 0)
        # Taken here, by who hands the commands over: the writer's time is the dearest.
        output_expect(&user.results, count * RESULT_BYTES_EXPECTED)
        user.commands = commands
        user.commands_size = size
        user.command_count = count
    return user


cdef void user_destroy(UserTxn* user) noexcept nogil:
    free(user.commands)
    output_release(&user.results)
    command_failure_release(&user.failure)
    free(user)


cdef inline void list_clear(UserList* users) noexcept nogil:
    users.first = NULL
    users.last = NULL
    users.bytes = 0
    users.commands = 0


cdef inline void list_add(UserList* users, UserTxn* user) noexcept nogil:
    user.next = NULL
    if users.last == NULL:
        users.first = user
    else:
        users.last.next = user
    users.last = user
    users.bytes += user.commands_size
    users.commands += user.command_count


cdef inline void list_append(UserList* users, UserList* more) noexcept nogil:
    if more.first == NULL:
        return
    if users.last == NULL:
        users.first = more.first
    else:
        users.last.next = more.first
    users.last = more.last
    users.bytes += more.bytes
    users.commands += more.commands


cdef void list_without(UserList* users, UserTxn* unwanted) noexcept nogil:
    cdef UserTxn* user = users.first
    cdef UserTxn* next
    list_clear(users)
    while user != NULL:
        next = user.next
        if user != unwanted:
            list_add(users, user)
        user = next


# ---- completion

cdef void sink_push(Sink* sink, UserTxn* newest, UserTxn* oldest) noexcept nogil:
    """Put a chain, newest first, in front of what the event loop has not fetched; wake the loop if that was nothing."""
    cdef void* before
    cdef uint64_t one = 1
    atomic_add64(&sink.pushers, 1)
    while True:
        before = atomic_load_pointer(&sink.completed)
        oldest.next = <UserTxn*>before
        if compare_swap_pointer(&sink.completed, before, newest):
            break
    if before == NULL:
        write_bytes(sink.wake_fd, &one, sizeof(one))
    atomic_add64(&sink.pushers, <uint64_t>-1)


cdef void complete_count(Merger* merger, UserTxn* user, const ErrorDetail* outcome) noexcept nogil:
    """Set each one's outcome and count them, so that whoever is answered finds himself counted."""
    cdef uint64_t commands = 0
    cdef uint64_t failed = 0
    while user != NULL:
        if outcome != NULL and outcome.code != OK:
            # A refusal was found against a state that is not durable either, so it gets the same answer.
            user.failure.code = outcome.code
            user.failure.detail = outcome[0]
        if user.failure.code == OK:
            commands += user.command_count
        else:
            user.number = 0
            failed += 1
        user = user.next
    atomic_add64(&merger.counters.commands, commands)
    atomic_add64(&merger.counters.failed, failed)


cdef void complete(Merger* merger, UserList* users, const ErrorDetail* outcome) noexcept nogil:
    """Answer a committed or failed transaction. Whoever is answered may free its UserTxn at once."""
    cdef UserTxn* user = users.first
    cdef UserTxn* next
    cdef UserTxn* newest = NULL
    cdef UserTxn* oldest = NULL
    complete_count(merger, user, outcome)
    while user != NULL:
        next = user.next
        if newest != NULL and newest.sink != user.sink:
            sink_push(newest.sink, newest, oldest)
            newest = NULL
        if user.sink == NULL:
            mutex_lock(&merger.lock)
            user.waiter.done = True
            condition_broadcast(&user.waiter.done_changed)
            mutex_unlock(&merger.lock)
        else:
            if newest == NULL:
                oldest = user
            user.next = newest
            newest = user
        user = next
    if newest != NULL:
        sink_push(newest.sink, newest, oldest)


cdef void sealed_done(void* context, uint64_t txn_id, const ErrorDetail* outcome) noexcept nogil:
    """Called on the journal's thread, in transaction order."""
    cdef MergedTxn* merged = <MergedTxn*>context
    cdef Merger* merger = merged.merger
    complete(merger, &merged.users, outcome)
    free(merged)
    mutex_lock(&merger.lock)
    atomic_add64(&merger.sealed, <uint64_t>-1)
    condition_broadcast(&merger.settled)
    mutex_unlock(&merger.lock)


# ---- one transaction

cdef void queue_take(Merger* merger, UserList* users) noexcept nogil:
    """Move what waits to a list, up to the bounds of one transaction, at least one. The lock is held."""
    cdef UserTxn* user = merger.queue.first
    cdef UserTxn* next
    while user != NULL:
        if users.first != NULL and (users.commands + user.command_count > MERGE_COMMANDS_MAX
                                    or users.bytes + user.commands_size > MERGE_BYTES_MAX):
            break
        next = user.next
        merger.queue.bytes -= user.commands_size
        merger.queue_count -= 1
        list_add(users, user)
        user = next
    merger.queue.first = user
    if user == NULL:
        merger.queue.last = NULL


cdef int execute_user(Merger* merger, Txn* txn, UserTxn* user) noexcept nogil:
    """Execute one user transaction; its own refusal is kept in it. Any other code: the merged transaction is lost."""
    cdef Writer* writer = merger.writer
    cdef bint several = user.command_count > 1
    cdef int code = OK
    output_clear(&user.results)
    command_failure_release(&user.failure)
    user.failure.code = OK
    user.failure.actual_count = 0
    error_clear(&user.failure.detail)
    user.number = merger.next_user_txn
    writer.user_txn = user.number
    if several:
        code = writer_flush(writer)
        if code == OK:
            code = txn_savepoint(txn)
        if code != OK:
            return code
    code = writes_execute(writer, user.commands, user.commands_size, &user.results, &user.failure)
    if code == OK:
        merger.next_user_txn += 1
        if several:
            txn_release(txn)
        return OK
    if code >= E_IO or txn.error.code != OK:
        return code
    output_clear(&user.results)
    if several:
        atomic_add64(&merger.counters.rollbacks, 1)
        code = txn_rollback(txn)
        return writer_reload(writer) if code == OK else code
    return OK


cdef UserTxn* look_ahead(Ahead* ahead, UserTxn* user) noexcept nogil:
    """The document that the first command of `user` is about will be looked for soon; the one that comes after it."""
    cdef Command command
    if user == NULL:
        ahead_step(ahead, NULL, 0)
        return NULL
    if user.next != NULL:
        prefetch(user.next.commands)
    if user.commands_size != 0:
        command_decode(user.commands, &command)
    if user.commands_size == 0 or command.header.make_id:
        ahead_step(ahead, NULL, 0)
    else:
        ahead_step(ahead, command.key, command.header.key_size)
    return user.next


cdef int execute_list(Merger* merger, Txn* txn, UserTxn* user, UserTxn** broke) noexcept nogil:
    """Execute from `user` on. On a code that loses the transaction `broke` is the one during which it came."""
    cdef Ahead ahead
    cdef UserTxn* coming = user if user != NULL and user.next != NULL else NULL
    cdef int code
    ahead_start(&ahead, &merger.writer.tables.items.indexes[INDEX_ID])
    for _ in range(AHEAD_KEYS):
        coming = look_ahead(&ahead, coming)
    while user != NULL:
        coming = look_ahead(&ahead, coming)
        code = execute_user(merger, txn, user)
        if code != OK:
            broke[0] = user
            return code
        user = user.next
    return OK


cdef void merger_run(Merger* merger, UserList* users, bint may_seal) noexcept nogil:
    """Execute and commit a list; each is answered, now or by the journal's thread. The caller has the role."""
    cdef Txn txn
    cdef UserList broken_alone
    cdef UserTxn* broke
    cdef ErrorDetail error
    cdef int code
    while users.first != NULL:
        error_clear(&error)
        txn.error.code = OK
        code = env_begin_write(merger.env, &txn)
        if code != OK:
            error_take(&error, &txn, code)
            complete(merger, users, &error)
            return
        broke = NULL
        code = run_transaction(merger, &txn, users, may_seal, &broke)
        if code == OK:
            return
        error_take(&error, &txn, code)
        env_abort(&txn)
        if broke == NULL:
            complete(merger, users, &error)
            return
        # One of them broke the transaction: it is answered alone, and the others are executed again without it.
        atomic_add64(&merger.counters.repeated, 1)
        list_without(users, broke)
        list_clear(&broken_alone)
        list_add(&broken_alone, broke)
        complete(merger, &broken_alone, &error)


cdef inline void error_take(ErrorDetail* error, Txn* txn, int code) noexcept nogil:
    if txn.error.code != OK:
        error[0] = txn.error
    error_set(error, code, b"the transaction failed")


cdef int run_transaction(Merger* merger, Txn* txn, UserList* users, bint may_seal, UserTxn** broke) noexcept nogil:
    """Everything inside one write transaction. OK: it has ended and `users` are or will be answered."""
    cdef uint64_t first
    cdef int code
    if atomic_load64(&merger.sealed) == 0:
        merger.next_user_txn = env_user_txn(merger.env) + 1
    first = merger.next_user_txn
    code = writer_begin(merger.writer, txn, &merger.tables)
    if code == OK:
        code = execute_list(merger, txn, users.first, broke)
    while code == OK and may_seal and not env_journal_idle(merger.env):
        # The journal is still at the one before: what has come meanwhile need not wait for a transaction of its own.
        if not run_more(merger, txn, users, broke, &code):
            break
    if code != OK:
        merger.next_user_txn = first
        return code
    if merger.next_user_txn == first:
        # All were refused, each for its own reason: nothing to write.
        env_abort(txn)
        complete(merger, users, NULL)
        return OK
    code = cleaner_press(&merger.cleaner, &merger.writer.tables.items, &merger.writer.state, users.commands)
    if code == OK:
        code = writer_flush(merger.writer)
    if code != OK:
        merger.next_user_txn = first
        return code
    txn.user_txn_first = first
    txn.user_txn_last = merger.next_user_txn - 1
    run_end(merger, txn, users, may_seal)
    return OK


cdef bint run_more(Merger* merger, Txn* txn, UserList* users, UserTxn** broke, int* code) noexcept nogil:
    """Execute what has come since into the same transaction. False: nothing came, or it is full."""
    cdef UserList more
    cdef UserTxn* last = users.last
    list_clear(&more)
    mutex_lock(&merger.lock)
    # The bounds hold for the whole: begin counting where `users` stands.
    more.bytes = users.bytes
    more.commands = users.commands
    if merger.queue.first != NULL and users.commands < MERGE_COMMANDS_MAX and users.bytes < MERGE_BYTES_MAX:
        queue_take(merger, &more)
    mutex_unlock(&merger.lock)
    if more.first == NULL:
        return False
    more.bytes -= users.bytes
    more.commands -= users.commands
    list_append(users, &more)
    code[0] = execute_list(merger, txn, last.next, broke)
    return True


cdef void run_end(Merger* merger, Txn* txn, UserList* users, bint may_seal) noexcept nogil:
    """Commit here when that is the fastest, else seal and let the next transaction begin."""
    cdef ErrorDetail error
    cdef MergedTxn* merged = NULL
    cdef bint more_waits
    cdef int code
    error_clear(&error)
    atomic_add64(&merger.counters.commits, 1)
    mutex_lock(&merger.lock)
    more_waits = merger.queue.first != NULL
    mutex_unlock(&merger.lock)
    if may_seal and (more_waits or not env_journal_idle(merger.env)):
        merged = <MergedTxn*>calloc(1, sizeof(MergedTxn))
    if merged == NULL:
        atomic_add64(&merger.counters.commits_inline, 1)
        code = env_commit(txn, &error)
        if code != OK:
            error_set(&error, code, b"the commit failed")
        complete(merger, users, &error)
        return
    merged.merger = merger
    merged.users = users[0]
    mutex_lock(&merger.lock)
    atomic_add64(&merger.sealed, 1)
    mutex_unlock(&merger.lock)
    code = env_seal(txn, sealed_done, merged)
    if code != OK:
        error_take(&error, txn, code)
        sealed_done(merged, 0, &error)


# ---- cleaning of dead rows in idle time

cdef bint clean_idle(Merger* merger) noexcept nogil:
    """Clean a little in a transaction of its own. False: that failed. Has the role."""
    cdef Txn txn
    cdef ErrorDetail error
    cdef int code
    txn.error.code = OK
    if env_begin_write(merger.env, &txn) != OK:
        return False
    code = writer_begin(merger.writer, &txn, &merger.tables)
    if code == OK:
        code = cleaner_idle(&merger.cleaner, &merger.writer.tables.items)
        cleaner_count(&merger.cleaner, &merger.writer.tables.items, &merger.writer.state)
    if code != OK:
        env_abort(&txn)
        return False
    error_clear(&error)
    txn.user_txn_first = 1
    txn.user_txn_last = 0
    return env_commit(&txn, &error) == OK


# ---- the queue and the role

cdef Merger* merger_create(Env* env, const DocumentTables* tables) noexcept nogil:
    cdef Merger* merger = <Merger*>calloc(1, sizeof(Merger))
    if merger == NULL:
        return NULL
    merger.writer = writer_create()
    if merger.writer == NULL:
        free(merger)
        return NULL
    merger.env = env
    merger.tables = tables[0]
    cleaner_init(&merger.cleaner)
    mutex_init(&merger.lock)
    condition_init(&merger.work)
    condition_init(&merger.settled)
    return merger


cdef void merger_destroy(Merger* merger) noexcept nogil:
    condition_destroy(&merger.settled)
    condition_destroy(&merger.work)
    mutex_destroy(&merger.lock)
    writer_destroy(merger.writer)
    free(merger)


cdef bint thread_wake(Merger* merger) noexcept nogil:
    """See to it that the writer's thread looks at the queue. The lock is held. False: no thread can be had."""
    if merger.thread_running:
        if merger.thread_waits:
            merger.thread_waits = False
            condition_broadcast(&merger.work)
        return True
    if merger.thread_joinable:
        # It has left its last critical section: this wait is short.
        thread_join(&merger.thread)
        merger.thread_joinable = False
    if thread_start(&merger.thread, writer_main, merger):
        return False
    merger.thread_running = True
    merger.thread_joinable = True
    atomic_add64(&merger.counters.threads_started, 1)
    return True


cdef void* writer_main(void* argument) noexcept nogil:
    """The writer's thread."""
    cdef Merger* merger = <Merger*>argument
    cdef UserList users
    cdef uint64_t commits
    cdef bint idle = False             # nothing was written since a while
    cdef bint timely                   # something came to write, or was written by its caller
    mutex_lock(&merger.lock)
    while True:
        if merger.queue.first != NULL and not merger.writing:
            idle = False
            list_clear(&users)
            queue_take(merger, &users)
            merger.writing = True
            mutex_unlock(&merger.lock)
            merger_run(merger, &users, True)
            mutex_lock(&merger.lock)
            role_return(merger)
        elif merger.closing and merger.queue.first == NULL:
            break
        elif not (idle and writer_cleans(merger)) and (merger.queue.first == NULL or merger.writing):
            # Under this lock nothing has come since the look at the queue: who adds to it now sees us waiting.
            commits = atomic_load64(&merger.counters.commits)
            merger.thread_waits = True
            timely = condition_wait_ms(&merger.work, &merger.lock, WRITER_IDLE_MS if idle else CLEAN_IDLE_AFTER_MS)
            merger.thread_waits = False
            timely = timely or atomic_load64(&merger.counters.commits) != commits
            if idle and not timely and merger.queue.first == NULL:
                break
            idle = not timely
    merger.thread_running = False
    condition_broadcast(&merger.settled)
    mutex_unlock(&merger.lock)
    return NULL


cdef bint writer_cleans(Merger* merger) noexcept nogil:
    """Use idle time for one step of cleaning; the lock is held before and after, not between. False: no need."""
    cdef bint cleaned
    if merger.writing or merger.queue.first != NULL or merger.closing:
        return False
    if not cleaner_wants_idle(&merger.cleaner):
        return False
    merger.writing = True
    mutex_unlock(&merger.lock)
    cleaned = clean_idle(merger)
    mutex_lock(&merger.lock)
    role_return(merger)
    return cleaned


cdef void role_return(Merger* merger) noexcept nogil:
    merger.writing = False
    condition_broadcast(&merger.settled)


cdef int queue_refusal(Merger* merger, const UserTxn* user) noexcept nogil:
    """OK, or why the queue takes nothing more. The lock is held."""
    if merger.closing:
        return E_CLOSED
    if merger.queue.first == NULL:
        return OK
    if merger.queue.bytes + user.commands_size > QUEUE_BYTES_MAX or (
            user.queued_ns > merger.queue.first.queued_ns + <uint64_t>QUEUE_WAIT_MS_MAX * 1000000):
        atomic_add64(&merger.counters.refused, 1)
        return E_BUSY
    return OK


cdef int queue_add(Merger* merger, UserTxn* user) noexcept nogil:
    """The lock is held. Whoever has the role looks at the queue before he gives it back; else the thread is woken."""
    if not merger.writing and not thread_wake(merger):
        return E_NO_MEMORY
    list_add(&merger.queue, user)
    merger.queue_count += 1
    merger.counters.queue_count_max = max64(merger.counters.queue_count_max, merger.queue_count)
    atomic_add64(&merger.counters.transactions, 1)
    return OK


cdef int merger_submit(Merger* merger, UserTxn* user) noexcept nogil:
    cdef int code
    user.queued_ns = monotonic_ns()
    mutex_lock(&merger.lock)
    code = queue_refusal(merger, user)
    if code == OK:
        code = queue_add(merger, user)
    mutex_unlock(&merger.lock)
    return code


cdef int merger_execute(Merger* merger, UserTxn* user) noexcept nogil:
    cdef Waiter waiter
    cdef int code
    user.sink = NULL
    user.waiter = &waiter
    user.queued_ns = monotonic_ns()
    condition_init(&waiter.done_changed)
    waiter.done = False
    mutex_lock(&merger.lock)
    code = queue_refusal(merger, user)
    if code == OK and not merger.writing and merger.queue.first == NULL:
        merger.writing = True
        atomic_add64(&merger.counters.transactions, 1)
        execute_inline(merger, user)
    elif code == OK:
        code = queue_add(merger, user)
        while code == OK and not waiter.done:
            condition_wait(&waiter.done_changed, &merger.lock)
    mutex_unlock(&merger.lock)
    condition_destroy(&waiter.done_changed)
    return code


cdef void execute_inline(Merger* merger, UserTxn* user) noexcept nogil:
    """Write in the caller's thread, which has taken the role; the lock is held before and after."""
    cdef UserList users
    list_clear(&users)
    list_add(&users, user)
    while users.first != NULL:
        mutex_unlock(&merger.lock)
        merger_run(merger, &users, False)
        mutex_lock(&merger.lock)
        list_clear(&users)
        # What came meanwhile is the thread's; without a thread it is ours.
        if merger.queue.first != NULL and not thread_wake(merger):
            queue_take(merger, &users)
    role_return(merger)


cdef void merger_close(Merger* merger) noexcept nogil:
    mutex_lock(&merger.lock)
    merger.closing = True
    condition_broadcast(&merger.work)
    while merger.thread_running or merger.writing or merger.queue.first != NULL or merger.sealed:
        condition_wait(&merger.settled, &merger.lock)
    if merger.thread_joinable:
        thread_join(&merger.thread)
        merger.thread_joinable = False
    mutex_unlock(&merger.lock)


cdef void merger_counters(Merger* merger, MergerCounters* counters) noexcept nogil:
    cdef const uint64_t* source = <const uint64_t*>&merger.counters
    cdef size_t index
    for index in range(sizeof(MergerCounters) // sizeof(uint64_t)):
        (<uint64_t*>counters)[index] = atomic_load64(&source[index])
    counters.pages_cleaned = atomic_load64(&merger.cleaner.pages_freed)
    counters.rows_dead = atomic_load64(&merger.cleaner.dead)
    mutex_lock(&merger.lock)
    counters.queue_count = merger.queue_count
    counters.queue_bytes = merger.queue.bytes
    mutex_unlock(&merger.lock)

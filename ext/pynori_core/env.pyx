"""Opening and closing, the writer's lock, the journal step and its thread, and the classes that Python sees.

The life of a commit: `env_begin_write` takes the writer's flag; `seal` finishes the transaction, reserves its room in
the journal, queues it and gives the flag back; the journal step takes queued transactions in order, one at a time,
writes, publishes and tells. `env_commit` runs the step in the calling thread, `env_seal` leaves it to the journal
thread.
"""

import importlib
import os

cimport cython

from libc.errno cimport EAGAIN
from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from pynori_core.bits cimport (
    atomic_add32, atomic_add64, atomic_load32, atomic_load64, atomic_load_pointer, atomic_store64,
    atomic_or32, atomic_store_pointer, fence, max64,
)
from pynori_core.checkpoint cimport checkpoint_run, env_poison
from pynori_core.disk cimport (
    DISK_CREATE, DISK_READ_ONLY, DISK_SYNC_FULL, DiskHandle, disk_create_real, disk_error, disk_open_memory,
    disk_open_real,
)
from pynori_core.errors cimport (
    E_BUSY, E_CLOSED, E_CORRUPT, E_INVALID, E_NO_MEMORY, E_UNKNOWN_OUTCOME, E_VERSION, OK, ErrorDetail, error_clear,
    error_set, raise_error,
)
from pynori_core.forks cimport fork_forget, fork_watch
from pynori_core.format cimport (
    BITMAP_PAGES, PAGE_BITMAP_FIRST, PAGE_CATALOG, PAGE_HEADER_A, PAGE_HEADER_B, PAGE_SHIFT, PAGE_SIZE,
    PAGE_TYPE_BITMAP, PAGE_TYPE_CATALOG, PAGE_TYPE_LEAF, PageHeader, RecordHeader,
)
from pynori_core.freespace cimport bitmap_change, bitmap_count_used, bitmap_page
from pynori_core.journal cimport (
    JOURNAL_BYTES_FIRST, journal_append, journal_close, journal_open, journal_prepare, journal_start,
    journal_unreserve,
)
from pynori_core.pager cimport (
    PagerMap, PagerWrite, pager_close, pager_grow, pager_hash, pager_identify, pager_load_header, pager_map,
    pager_open, pager_write, pager_write_header,
)
from pynori_core.record cimport (
    RECORD_KEEP_BYTES_MAX, record_bound, record_encode, record_release, record_reserve,
)
from pynori_core.recovery cimport recovery_run
from pynori_core.scratch cimport (
    VERSION_RETIRED, PageVersion, ReaderSlot, scratch_close, scratch_collect, scratch_oldest_reader,
    scratch_oldest_txn, scratch_open, scratch_readers, scratch_reclaim, scratch_register, scratch_retire,
    scratch_unregister, scratch_trim,
)
from pynori_core.state cimport (
    CHECKPOINT_BYTES_DEFAULT, CHECKPOINT_READER_WAIT_MS, JOURNAL_THREAD_IDLE_MS, SCRATCH_BYTES_DEFAULT,
    SCRATCH_WAIT_MS_MAX, SEALED_MAX, SPILL_AFTER_MS, SPILL_BYTES_DEFAULT, SealedTxn,
)
from pynori_core.threads cimport (
    Condition, Mutex, condition_broadcast, condition_destroy, condition_init, condition_wait, condition_wait_ms,
    mutex_destroy, mutex_init, mutex_lock, mutex_unlock, now_ms, sleep_us, thread_join, thread_start,
)
from pynori_core.txn cimport (
    txn_allocate, txn_finish, txn_free, txn_modify, txn_modify_range, txn_page, txn_release, txn_rollback,
    txn_savepoint, txn_undo,
)

cdef enum:
    FILE_PAGES_FIRST = 128         # 1 MB
    SCRATCH_WAIT_STEP_MS = 2       # between two looks at whether readers have left
    SCRATCH_KEEP_BYTES = 4194304   # free memory of each buffer size that is kept
    COLLECT_SHARE = 8              # collecting starts at this part of the memory limit, and after growth by this part
    STAMPS_PER_TXN = 4294967296    # more than one transaction uses up
    USERS_POLL_US = 100            # between two looks at whether calls from Python have ended


# Opening and closing.

cdef void release(Env* env) noexcept nogil:
    """Everything that was opened so far; for a half-open environment too."""
    cdef ErrorDetail ignored
    error_clear(&ignored)
    fork_forget(&env.fork_mark)
    journal_close(&env.journal)
    if env.scratch.slots != NULL:
        scratch_close(&env.scratch, env.published_txn)
    if env.pager.disk != NULL:
        pager_close(&env.pager, &ignored)
    record_release(&env.encoder)
    if env.own_disk and env.disk != NULL:
        env.disk.release(env.disk)
    elif env.locked:
        env.disk.unlock(env.disk)
    condition_destroy(&env.changed)
    mutex_destroy(&env.mutex)
    free(env.largest_free)
    free(env)


cdef void refuse_in_child(void* argument) noexcept nogil:
    """After a fork: the threads are gone and the locks are as they were, so everything is refused, closing too."""
    (<Env*>argument).forked = True
    (<Env*>argument).closing = True


cdef bint is_anothers(const Env* env, ErrorDetail* error) noexcept nogil:
    """In a child: threads may hold its locks that are not there, so it is looked at before they are."""
    if env.forked:
        error_set(error, E_CLOSED, "the environment was opened before a fork, by the parent of this process")
    return env.forked


cdef Env* env_new(const EnvOptions* options, ErrorDetail* error) noexcept nogil:
    cdef Env* env = <Env*>calloc(1, sizeof(Env))
    if env == NULL:
        error_set(error, E_NO_MEMORY, "no memory for an environment")
        return NULL
    mutex_init(&env.mutex)
    condition_init(&env.changed)
    env.own_disk = options.disk == NULL
    env.disk = options.disk
    env.read_only = options.read_only
    env.scratch_bytes_max = options.scratch_bytes_max if options.scratch_bytes_max else SCRATCH_BYTES_DEFAULT
    env.collect_bytes = env.scratch_bytes_max // COLLECT_SHARE
    env.spill_bytes_max = options.spill_bytes_max if options.spill_bytes_max else SPILL_BYTES_DEFAULT
    env.checkpoint_bytes = options.checkpoint_bytes if options.checkpoint_bytes else CHECKPOINT_BYTES_DEFAULT
    env.checkpoint_threshold = env.checkpoint_bytes
    fork_watch(&env.fork_mark, refuse_in_child, env)
    return env


cdef int take_lock(Env* env, const char* directory, ErrorDetail* error) noexcept nogil:
    cdef char holder[128]
    cdef int result = env.disk.lock(env.disk, b"lock", holder, sizeof(holder))
    if result == EAGAIN:
        error_set(error, E_BUSY, "%s is open already, by %s", directory, holder)
        return E_BUSY
    env.locked = result == 0
    return OK if result == 0 else disk_error(error, result, b"lock", directory, 0)


cdef int write_first_pages(Env* env, ErrorDetail* error) noexcept nogil:
    """Catalog, bitmap and both headers of an empty environment. One sync for all of it follows."""
    cdef uint8_t pages[PAGE_SIZE * 2]
    cdef PagerWrite writes[2]
    cdef PageHeader* header
    cdef int i, result
    memset(pages, 0, sizeof(pages))
    for i in range(2):
        header = <PageHeader*>(pages + i * PAGE_SIZE)
        header.page = PAGE_CATALOG + i
        header.env_id_short = env.pager.env_id_short
        header.type = PAGE_TYPE_CATALOG if i == 0 else PAGE_TYPE_BITMAP
        header.run_pages = 1
        header.lower = sizeof(PageHeader)
        header.upper = PAGE_SIZE
    bitmap_change(pages + PAGE_SIZE, 0, PAGE_BITMAP_FIRST + 1, True)
    bitmap_change(pages + PAGE_SIZE, PAGE_HEADER_B, 1, True)
    for i in range(2):
        writes[i].page = PAGE_CATALOG + i
        writes[i].data = pages + i * PAGE_SIZE
        writes[i].raw = False
        writes[i].hash = pager_hash(&env.pager, PAGE_CATALOG + i, writes[i].data, 1)
    result = pager_write(&env.pager, writes, 2, error)
    if result == OK:
        result = pager_write_header(&env.pager, &env.header, PAGE_HEADER_A, error)
    if result == OK:
        env.header.sequence += 1
        result = pager_write_header(&env.pager, &env.header, PAGE_HEADER_B, error)
    return result


cdef int create_files(Env* env, ErrorDetail* error) noexcept nogil:
    cdef int result = pager_open(&env.pager, env.disk, DISK_CREATE, error)
    cdef int failed
    if result == OK:
        result = pager_grow(&env.pager, FILE_PAGES_FIRST, error)
    if result != OK:
        return result
    failed = env.disk.random(env.disk, env.header.env_id, 16)
    if failed != 0:
        return disk_error(error, failed, b"get random bytes for", b"the environment's id", 0)
    pager_identify(&env.pager, env.header.env_id)
    env.header.journal_first = 1
    env.header.file_pages = env.pager.file_pages
    env.header.created_ms = env.disk.time_ms(env.disk)
    result = write_first_pages(env, error)
    if result == OK:
        failed = env.disk.sync(env.pager.file, DISK_SYNC_FULL)
        if failed != 0:
            return disk_error(error, failed, b"sync", b"data.pynori", 0)
        result = journal_open(&env.journal, env.disk, env.header.env_id, error)
    if result == OK:
        result = journal_start(&env.journal, 1, JOURNAL_BYTES_FIRST, True, error)
    if result == OK:
        failed = env.disk.settle(env.disk)
        if failed != 0:
            return disk_error(error, failed, b"create", b"the directory of the environment", 0)
    return result


cdef int env_create(const char* directory, const EnvOptions* options, Env** env, ErrorDetail* error) noexcept nogil:
    cdef Env* made = env_new(options, error)
    cdef int result
    env[0] = NULL
    if made == NULL:
        return E_NO_MEMORY
    result = OK
    if made.disk != NULL:
        result = take_lock(made, b"the given disk", error)
    elif options.in_memory:
        result = disk_open_memory(&made.disk, error)
    else:
        result = disk_create_real(directory, options.allow_filesystem, &made.disk, error)
    if result == OK:
        result = create_files(made, error)
    if result == OK:
        result = scratch_open(&made.scratch, error)
    if result == OK:
        result = pager_map(&made.pager, error)
    if result == OK:
        result = set_state(made, error)
    if result != OK:
        release(made)
        return result
    env[0] = made
    return OK


cdef int env_open(const char* directory, const EnvOptions* options, Env** env, ErrorDetail* error) noexcept nogil:
    cdef Env* made = env_new(options, error)
    cdef int result
    env[0] = NULL
    if made == NULL:
        return E_NO_MEMORY
    result = OK
    if made.disk == NULL:
        result = disk_open_real(directory, options.allow_filesystem, &made.disk, error)
    if result == OK:
        result = take_lock(made, directory, error)
    if result == OK:
        result = pager_open(&made.pager, made.disk, DISK_READ_ONLY if made.read_only else 0, error)
    if result == OK:
        result = pager_load_header(&made.pager, &made.header, error)
    if result == OK:
        pager_identify(&made.pager, made.header.env_id)
        result = check_header(made, error)
    if result == OK:
        result = scratch_open(&made.scratch, error)
    if result == OK:
        result = pager_map(&made.pager, error)
    if result == OK:
        result = journal_open(&made.journal, made.disk, made.header.env_id, error)
    if result == OK:
        result = recovery_run(made, options.accept_loss_after, error)
    if result == OK:
        result = set_state(made, error)
    if result != OK:
        release(made)
        return result
    env[0] = made
    return OK


cdef int check_header(Env* env, ErrorDetail* error) noexcept nogil:
    """The length that the header promises is there before anything is mapped."""
    if env.header.features_read_only != 0 and not env.read_only:
        error_set(error, E_VERSION, "data.pynori uses features 0x%x, with which this build may only read it",
                  env.header.features_read_only)
        return E_VERSION
    if env.header.file_pages > env.pager.file_pages or env.header.file_pages <= PAGE_HEADER_B:
        error_set(error, E_CORRUPT, "data.pynori has %llu whole pages, its header says %llu",
                  <unsigned long long>env.pager.file_pages, <unsigned long long>env.header.file_pages)
        error.offset = env.pager.file_pages << PAGE_SHIFT
        return E_CORRUPT
    return OK


cdef int set_state(Env* env, ErrorDetail* error) noexcept nogil:
    """After creation or recovery: everything that the writer and the journal step start from."""
    cdef Txn txn
    cdef const uint8_t* page
    cdef uint64_t index, end
    if env.published_txn < env.header.checkpoint_txn or env.published_txn == 0:
        env.published_txn = env.header.checkpoint_txn
        env.published_user_txn = env.header.user_txn
        env.published_file_pages = env.header.file_pages
    env.scratch.spill.disk = env.disk
    env.scratch.spill.bytes_max = env.spill_bytes_max
    env.scratch.spill_above = env.scratch_bytes_max
    env.checkpoint_txn = env.header.checkpoint_txn
    env.whole_limit = env.published_txn
    env.sealed_txn = env.published_txn
    env.sealed.file_pages = env.published_file_pages
    env.bitmap_count = (env.sealed.file_pages + BITMAP_PAGES - 1) // BITMAP_PAGES
    env.largest_free = <uint32_t*>calloc(env.bitmap_count, sizeof(uint32_t))
    if env.largest_free == NULL:
        error_set(error, E_NO_MEMORY, "no memory for allocation hints")
        return E_NO_MEMORY
    memset(env.largest_free, 0xFF, env.bitmap_count * sizeof(uint32_t))
    env_begin_read(env, &txn)
    for index in range(env.bitmap_count):
        page = txn_page(&txn, bitmap_page(index))
        if page == NULL:
            error[0] = txn.error
            env_end_read(&txn)
            return error.code
        end = env.sealed.file_pages - index * BITMAP_PAGES
        end = end if end < BITMAP_PAGES else BITMAP_PAGES
        env.sealed.free_pages += end - bitmap_count_used(page, <uint32_t>end)
    env_end_read(&txn)
    env.published_free_pages = env.sealed.free_pages
    return OK


cdef int env_close(Env* env, ErrorDetail* error) noexcept nogil:
    cdef ErrorDetail closing
    cdef int result = E_CLOSED
    if is_anothers(env, error):
        return result
    result = close_begin(env, error)
    if result != OK:
        return result
    error_clear(&closing)
    if env.journal_thread_started:
        thread_join(&env.journal_thread)
    if env.checkpoint_thread_started:
        thread_join(&env.checkpoint_thread)
    if env.poison.code == OK and not env.read_only and env.disk.lasting \
            and env.published_txn != env.header.checkpoint_txn:
        result = checkpoint_run(env, 0, &closing)
        if result != OK:
            error[0] = closing
    release(env)
    return result


cdef int close_begin(Env* env, ErrorDetail* error) noexcept nogil:
    """From here on nobody begins anything; what was sealed gets written."""
    cdef int result = OK
    mutex_lock(&env.mutex)
    if env.closing:
        result = E_CLOSED
        error_set(error, E_CLOSED, "the environment is closing already")
    elif env.writer_active:
        result = E_BUSY
        error_set(error, E_BUSY, "a write transaction is still open")
    else:
        env.closing = True
        fence()                    # pairs with env_begin_read
        if readers(env) != 0:
            env.closing = False
            result = E_BUSY
            error_set(error, E_BUSY, "%u read transactions are still open", readers(env))
    if result == OK:
        condition_broadcast(&env.changed)
        while env.queue_count != 0 or env.journal_busy or env.checkpoint_running or env.visitors != 0:
            condition_wait(&env.changed, &env.mutex)
    mutex_unlock(&env.mutex)
    return result


cdef uint32_t readers(Env* env) noexcept nogil:
    """Read transactions; the checkpoint's own registration is none. Called with the mutex held."""
    return scratch_readers(&env.scratch) - (env.checkpoint_reader != NULL)


# Reading.

cdef inline void clear_fast(ErrorDetail* error) noexcept nogil:
    """What a reader of the detail looks at; the whole struct is more than a cache line or two."""
    error.code = OK
    error.errno_ = 0
    error.offset = 0
    error.text[0] = 0


cdef int env_begin_read(Env* env, Txn* txn) noexcept nogil:
    cdef ReaderSlot* reader = scratch_register(&env.scratch)
    clear_fast(&txn.error)
    txn.env = NULL
    if reader == NULL:
        error_set(&txn.error, E_BUSY, "too many read transactions are open")
        return E_BUSY
    if env.closing:
        scratch_unregister(reader)
        error_set(&txn.error, E_CLOSED, "the environment is closing")
        return E_CLOSED
    # The order matters: a map taken after the transaction number is long enough for it.
    txn.id = atomic_load64(&env.published_txn)
    txn.map_pages = atomic_load64(&env.pager.file_pages)
    txn.map_base = (<PagerMap*>atomic_load_pointer(<void**>&env.pager.map)).base
    txn.env = env
    txn.slots = env.scratch.slots
    txn.writable = False
    txn.stamp = 0
    txn.state = reader
    atomic_store64(&reader.txn_id, txn.id)
    return OK


cdef void env_end_read(Txn* txn) noexcept nogil:
    if txn.env != NULL:
        txn.env = NULL
        txn.map_pages = 0          # whoever still looks for a page gets an error
        scratch_unregister(<ReaderSlot*>txn.state)


# Writing.

cdef void collect(Env* env) noexcept nogil:
    """Versions that nobody sees go, however long a snapshot is open; next time when a good deal has come together."""
    cdef uint64_t used
    scratch_collect(&env.scratch, atomic_load64(&env.published_txn))
    used = atomic_load64(&env.scratch.used_bytes)
    env.collect_bytes = max64(env.scratch_bytes_max // COLLECT_SHARE, used + used // COLLECT_SHARE)


cdef int wait_for_scratch(Env* env, ErrorDetail* error) noexcept nogil:
    """Too many page images in memory: the writer waits for the checkpoint, and for readers that hold old versions."""
    cdef uint64_t start_ms = now_ms()
    cdef uint64_t txn_id = 0
    cdef uint64_t reader = oldest_reader(env, &txn_id)
    if spills(env):
        return OK
    atomic_add64(&env.writer_waits, 1)
    while atomic_load64(&env.scratch.used_bytes) > env.scratch_bytes_max:
        checkpoint_start(env)
        mutex_lock(&env.mutex)
        if env.poison.code == OK:
            condition_wait_ms(&env.changed, &env.mutex, SCRATCH_WAIT_STEP_MS)
        else:
            error[0] = env.poison
        mutex_unlock(&env.mutex)
        if error.code != OK:
            return error.code
        scratch_reclaim(&env.scratch)
        scratch_collect(&env.scratch, atomic_load64(&env.published_txn))
        if now_ms() - start_ms > SPILL_AFTER_MS and reader != 0 and oldest_reader(env, &txn_id) == reader:
            env.scratch.spilling = True
            if spills(env):
                return OK
        if now_ms() - start_ms > SCRATCH_WAIT_MS_MAX:
            oldest_reader(env, &txn_id)
            error_set(error, E_BUSY, "page versions fill %llu bytes of memory and %llu of disk: a read transaction of "
                      "snapshot %llu, %llu transactions ago, stays open", <unsigned long long>env.scratch_bytes_max,
                      <unsigned long long>env.scratch.spill.reserved_bytes, <unsigned long long>txn_id,
                      <unsigned long long>(atomic_load64(&env.published_txn) - txn_id))
            return E_BUSY
    env.scratch.spilling = False
    return OK


cdef uint64_t oldest_reader(Env* env, uint64_t* txn_id) noexcept nogil:
    """The epoch of the oldest read transaction, 0: there is none; the checkpoint's registration is none."""
    cdef uint64_t epoch
    mutex_lock(&env.mutex)
    epoch = scratch_oldest_reader(&env.scratch, env.checkpoint_reader, txn_id)
    mutex_unlock(&env.mutex)
    return epoch


cdef bint spills(Env* env) noexcept nogil:
    """Whether the writer goes on although memory is full: a reader has made it spill, and the disk has room."""
    if not env.scratch.spilling or env.scratch.spill.full:
        return False
    checkpoint_start(env)
    return True


cdef void writer_give(Env* env) noexcept nogil:
    mutex_lock(&env.mutex)
    env.writer_active = False
    condition_broadcast(&env.changed)
    mutex_unlock(&env.mutex)


cdef void visit_end(Env* env) noexcept nogil:
    """The end of a visit, with the mutex held."""
    env.visitors -= 1
    if env.closing:
        condition_broadcast(&env.changed)


cdef int env_begin_write(Env* env, Txn* txn) noexcept nogil:
    clear_fast(&txn.error)
    txn.env = NULL
    if is_anothers(env, &txn.error):
        return E_CLOSED
    mutex_lock(&env.mutex)
    env.visitors += 1
    while env.writer_active and not env.closing and env.poison.code == OK:
        condition_wait(&env.changed, &env.mutex)
    if env.poison.code != OK:
        txn.error = env.poison
    elif env.closing:
        error_set(&txn.error, E_CLOSED, "the environment is closing")
    elif env.read_only:
        error_set(&txn.error, E_INVALID, "the environment is open for reading only")
    else:
        env.writer_active = True
    visit_end(env)
    mutex_unlock(&env.mutex)
    if txn.error.code != OK:
        return txn.error.code
    scratch_reclaim(&env.scratch)
    if atomic_load64(&env.scratch.used_bytes) > env.collect_bytes:
        collect(env)
    if atomic_load64(&env.scratch.used_bytes) <= env.scratch_bytes_max:
        env.scratch.spilling = False
    elif wait_for_scratch(env, &txn.error) != OK:
        writer_give(env)
        return txn.error.code
    memset(&env.writer, 0, sizeof(env.writer))
    env.writer.txn_id = env.sealed_txn + 1
    env.writer.allocation = env.sealed
    txn.env = env
    txn.id = env.writer.txn_id
    txn.map_base = env.pager.map.base
    txn.map_pages = env.pager.file_pages
    txn.slots = env.scratch.slots
    txn.writable = True
    txn.state = NULL
    env.stamp += STAMPS_PER_TXN
    txn.stamp = env.stamp
    txn.user_txn_first = 1
    txn.user_txn_last = 0
    return OK


cdef void env_abort(Txn* txn) noexcept nogil:
    cdef Env* env = <Env*>txn.env
    if env == NULL:
        return
    txn_undo(txn)
    txn.env = NULL
    txn.map_pages = 0
    writer_give(env)


cdef int seal_room(Txn* txn, uint64_t pages, SealedTxn* sealed) noexcept nogil:
    """Room in the journal; from here on only a failing disk can keep the transaction from becoming durable."""
    cdef Env* env = <Env*>txn.env
    cdef int result
    sealed.bound_bytes = record_bound(pages)
    result = journal_prepare(&env.journal, sealed.bound_bytes, &txn.error)
    if result == E_BUSY:
        result = env_flush(env, &txn.error)
        if result == OK:
            result = journal_prepare(&env.journal, sealed.bound_bytes, &txn.error)
    return result


cdef int seal(Txn* txn, SealedTxn* sealed) noexcept nogil:
    """Ends the executing half and queues the rest; on failure the transaction is undone and txn.error says why."""
    cdef Env* env = <Env*>txn.env
    cdef SealedTxn* entry
    cdef uint64_t pages = 0
    if env == NULL:
        error_set(&txn.error, E_INVALID, "the transaction has ended")
        return txn.error.code
    if txn.error.code == OK and seal_room(txn, env.writer.touched_pages, sealed) == OK:
        if txn_finish(txn, &sealed.first, &pages) != OK:
            journal_unreserve(&env.journal, sealed.bound_bytes)
    if txn.error.code != OK:
        env_abort(txn)
        return txn.error.code
    sealed.txn_id = txn.id
    sealed.pages = pages
    sealed.file_pages = env.writer.allocation.file_pages
    sealed.free_pages = env.writer.allocation.free_pages
    sealed.user_txn_first = txn.user_txn_first
    sealed.user_txn_last = txn.user_txn_last
    txn.env = NULL
    txn.map_pages = 0
    mutex_lock(&env.mutex)
    while env.queue_count + env.journal_busy >= SEALED_MAX - 1:
        condition_wait(&env.changed, &env.mutex)
    entry = &env.queue[(env.queue_first + env.queue_count) % SEALED_MAX]
    entry[0] = sealed[0]
    env.queue_count += 1
    env.sealed = env.writer.allocation
    env.sealed_txn = sealed.txn_id
    env.writer_active = False
    if sealed.done != NULL:
        env.visitors += 1          # env_commit goes on waiting in here
    condition_broadcast(&env.changed)
    mutex_unlock(&env.mutex)
    return OK


cdef int env_commit(Txn* txn, ErrorDetail* error) noexcept nogil:
    cdef Env* env = <Env*>txn.env
    cdef SealedTxn sealed
    cdef ErrorDetail outcome
    cdef bint done = False
    memset(&sealed, 0, sizeof(sealed))
    error_clear(&outcome)
    if env != NULL and nothing_to_write(txn):
        env_abort(txn)
        return OK
    sealed.done = &done
    sealed.outcome = &outcome
    if seal(txn, &sealed) != OK:
        error[0] = txn.error
        return error.code
    mutex_lock(&env.mutex)
    while not done:
        if not env.journal_busy and env.queue_count != 0 and env.queue[env.queue_first].done == &done:
            step_locked(env)
        else:
            condition_wait(&env.changed, &env.mutex)
    visit_end(env)
    mutex_unlock(&env.mutex)
    if outcome.code != OK:
        error[0] = outcome
    return outcome.code


cdef bint nothing_to_write(Txn* txn) noexcept nogil:
    cdef Env* env = <Env*>txn.env
    return txn.error.code == OK and env.writer.touched == NULL and not env.writer.savepoint_active \
        and txn.user_txn_first > txn.user_txn_last


cdef int env_seal(Txn* txn, CommitCallback callback, void* context) noexcept nogil:
    cdef Env* env = <Env*>txn.env
    cdef SealedTxn sealed
    memset(&sealed, 0, sizeof(sealed))
    sealed.callback = callback
    sealed.context = context
    if env != NULL and txn.error.code == OK and journal_thread_ensure(env, &txn.error) != OK:
        env_abort(txn)
        return txn.error.code
    return seal(txn, &sealed)


cdef bint env_journal_idle(Env* env) noexcept nogil:
    cdef bint idle
    mutex_lock(&env.mutex)
    idle = not env.journal_busy and env.queue_count == 0
    mutex_unlock(&env.mutex)
    return idle


cdef int env_flush(Env* env, ErrorDetail* error) noexcept nogil:
    cdef int result
    if is_anothers(env, error):
        return E_CLOSED
    mutex_lock(&env.mutex)
    env.visitors += 1
    while env.queue_count != 0 or env.journal_busy:
        condition_wait(&env.changed, &env.mutex)
    result = env.poison.code
    if result != OK:
        error[0] = env.poison
    visit_end(env)
    mutex_unlock(&env.mutex)
    return result


# The journal step.

cdef void publish(Env* env, SealedTxn* sealed) noexcept nogil:
    """From the release store on, new readers see the transaction; what it superseded is retired in the epoch after
    it."""
    cdef PageVersion* version = sealed.first
    cdef PageVersion* first = NULL
    cdef PageVersion* last = NULL
    cdef PageVersion* older
    while version != NULL:
        older = version.older
        if older != NULL:
            if last == NULL:
                last = older
            older.logged_whole = sealed.txn_id
            atomic_or32(&older.flags, VERSION_RETIRED)
            older.next = first
            first = older
        version = version.next
    atomic_store64(&env.published_file_pages, sealed.file_pages)
    atomic_store64(&env.published_free_pages, sealed.free_pages)
    if sealed.user_txn_last >= sealed.user_txn_first:
        atomic_store64(&env.published_user_txn, sealed.user_txn_last)
    atomic_store64(&env.published_txn, sealed.txn_id)
    env.published_epoch = scratch_retire(&env.scratch, first, last)


cdef int write_record(Env* env, SealedTxn* sealed, ErrorDetail* outcome) noexcept nogil:
    cdef RecordHeader header
    cdef ErrorDetail cause
    cdef uint8_t* record
    cdef int result
    error_clear(&cause)
    memset(&header, 0, sizeof(header))
    if record_reserve(&env.encoder, sealed.pages) != OK:
        error_set(outcome, E_NO_MEMORY, "no memory for the journal record of transaction %llu",
                  <unsigned long long>sealed.txn_id)
        return E_NO_MEMORY
    record = record_encode(&env.encoder, sealed.first, env.whole_limit, &header)
    header.txn_id = sealed.txn_id
    header.user_txn_first = sealed.user_txn_first
    header.user_txn_last = sealed.user_txn_last
    header.file_pages = sealed.file_pages
    header.time_ms = env.disk.time_ms(env.disk)
    result = journal_append(&env.journal, &header, record, &cause)
    if result != OK:
        error_set(outcome, E_UNKNOWN_OUTCOME, "transaction %llu may or may not be durable: %.160s",
                  <unsigned long long>sealed.txn_id, cause.text)
        outcome.errno_ = cause.errno_
        outcome.offset = cause.offset
        return E_UNKNOWN_OUTCOME
    atomic_add64(&env.commits, 1)
    atomic_add64(&env.journal_plain_bytes, header.plain_size)
    atomic_add64(&env.pages_whole, env.encoder.pages_whole)
    atomic_add64(&env.pages_diff, env.encoder.pages_diff)
    if env.encoder.plain.capacity > RECORD_KEEP_BYTES_MAX:
        record_release(&env.encoder)
    return OK


cdef void step_locked(Env* env) noexcept nogil:
    """Writes the first transaction of the queue. Called and left with the mutex held; journal_busy is False."""
    cdef SealedTxn sealed = env.queue[env.queue_first]
    cdef ErrorDetail outcome
    cdef bint due = False
    error_clear(&outcome)
    env.queue_first = (env.queue_first + 1) % SEALED_MAX
    env.queue_count -= 1
    env.journal_busy = True
    if env.poison.code != OK:
        outcome = env.poison
    mutex_unlock(&env.mutex)
    if outcome.code == OK:
        if write_record(env, &sealed, &outcome) == OK:
            publish(env, &sealed)
            due = env.journal.bytes_written - env.checkpoint_journal_bytes \
                >= atomic_load64(&env.checkpoint_threshold)
        else:
            env_poison(env, &outcome)
    journal_unreserve(&env.journal, sealed.bound_bytes)
    if sealed.callback != NULL:
        sealed.callback(sealed.context, sealed.txn_id, &outcome)
    if due:
        checkpoint_start(env)
    mutex_lock(&env.mutex)
    if sealed.done != NULL:
        sealed.outcome[0] = outcome
        sealed.done[0] = True
    env.journal_busy = False
    condition_broadcast(&env.changed)


cdef void* journal_thread_main(void* argument) noexcept nogil:
    cdef Env* env = <Env*>argument
    mutex_lock(&env.mutex)
    while True:
        if not env.journal_busy and env.queue_count != 0 and env.queue[env.queue_first].done == NULL:
            step_locked(env)
        elif env.closing and env.queue_count == 0:
            break
        elif not condition_wait_ms(&env.changed, &env.mutex, JOURNAL_THREAD_IDLE_MS) \
                and env.queue_count == 0 and not env.writer_active:
            break
    env.journal_thread_running = False
    mutex_unlock(&env.mutex)
    return NULL


cdef int journal_thread_ensure(Env* env, ErrorDetail* error) noexcept nogil:
    """Called by the writer: the thread does not end as long as there is one."""
    cdef int result = 0
    mutex_lock(&env.mutex)
    if not env.journal_thread_running:
        if env.journal_thread_started:
            thread_join(&env.journal_thread)
        result = thread_start(&env.journal_thread, journal_thread_main, env)
        env.journal_thread_started = result == 0
        env.journal_thread_running = result == 0
    mutex_unlock(&env.mutex)
    return OK if result == 0 else disk_error(error, result, b"start", b"the journal thread", 0)


# The checkpoint.

cdef void* checkpoint_thread_main(void* argument) noexcept nogil:
    cdef Env* env = <Env*>argument
    cdef ErrorDetail error
    error_clear(&error)
    checkpoint_run(env, UINT64_MAX, &error)
    checkpoint_end(env, &error)
    return NULL


cdef void checkpoint_end(Env* env, const ErrorDetail* error) noexcept nogil:
    mutex_lock(&env.mutex)
    env.checkpoint_running = False
    env.checkpoint_attempts += 1
    env.checkpoint_error = error[0]
    condition_broadcast(&env.changed)
    mutex_unlock(&env.mutex)


cdef void checkpoint_start(Env* env) noexcept nogil:
    """In a thread of its own, unless one is running. When no thread can be had, the next commit tries again."""
    mutex_lock(&env.mutex)
    if not env.checkpoint_running and not env.closing and env.poison.code == OK:
        if env.checkpoint_thread_started:
            thread_join(&env.checkpoint_thread)
        env.checkpoint_thread_started = thread_start(&env.checkpoint_thread, checkpoint_thread_main, env) == 0
        env.checkpoint_running = env.checkpoint_thread_started
    mutex_unlock(&env.mutex)


cdef int env_checkpoint(Env* env, ErrorDetail* error) noexcept nogil:
    return checkpoint_within(env, CHECKPOINT_READER_WAIT_MS, error)


cdef int checkpoint_within(Env* env, uint64_t reader_wait_ms, ErrorDetail* error) noexcept nogil:
    cdef uint64_t start_ms = now_ms()
    cdef ErrorDetail outcome
    error_clear(&outcome)
    if is_anothers(env, error):
        return E_CLOSED
    if env.read_only:
        error_set(error, E_INVALID, "the environment is open for reading only")
        return E_INVALID
    mutex_lock(&env.mutex)
    env.visitors += 1
    while env.checkpoint_running and not env.closing and now_ms() - start_ms < reader_wait_ms:
        condition_wait_ms(&env.changed, &env.mutex, reader_wait_ms)
    if env.checkpoint_running:
        error_set(&outcome, E_BUSY, "another checkpoint waits for older read transactions")
    elif env.closing:
        error_set(&outcome, E_CLOSED, "the environment is closing")
    else:
        env.checkpoint_running = True
    mutex_unlock(&env.mutex)
    if outcome.code == OK:
        checkpoint_run(env, reader_wait_ms, &outcome)
        checkpoint_end(env, &outcome)
    if outcome.code == OK:
        trim(env)
    mutex_lock(&env.mutex)
    visit_end(env)
    mutex_unlock(&env.mutex)
    if outcome.code != OK:
        error[0] = outcome
    return outcome.code


cdef void trim(Env* env) noexcept nogil:
    """After a checkpoint that was asked for, which is a quiet moment: memory that page images no longer need goes."""
    cdef bint quiet
    mutex_lock(&env.mutex)
    quiet = not env.writer_active and not env.closing
    if quiet:
        env.writer_active = True
    mutex_unlock(&env.mutex)
    if quiet:
        scratch_reclaim(&env.scratch)
        scratch_trim(&env.scratch, SCRATCH_KEEP_BYTES)
        writer_give(env)


# Looking at it.

cdef void env_statistics(Env* env, EnvStatistics* out) noexcept nogil:
    out.published_txn = atomic_load64(&env.published_txn)
    out.checkpoint_txn = atomic_load64(&env.checkpoint_txn)
    out.oldest_reader_txn = scratch_oldest_txn(&env.scratch, out.published_txn)
    out.commits = atomic_load64(&env.commits)
    out.syncs = atomic_load64(&env.journal.syncs)
    out.journal_bytes = atomic_load64(&env.journal.bytes_written)
    out.journal_plain_bytes = atomic_load64(&env.journal_plain_bytes)
    out.pages_whole = atomic_load64(&env.pages_whole)
    out.pages_diff = atomic_load64(&env.pages_diff)
    out.checkpoints = atomic_load64(&env.checkpoints)
    out.checkpoint_pages = atomic_load64(&env.checkpoint_pages)
    out.scratch_bytes = atomic_load64(&env.scratch.used_bytes)
    out.scratch_reserved_bytes = atomic_load64(&env.scratch.reserved_bytes)
    mutex_lock(&env.mutex)
    out.readers = readers(env)
    mutex_unlock(&env.mutex)
    out.file_pages = atomic_load64(&env.published_file_pages)
    out.free_pages = atomic_load64(&env.published_free_pages)
    out.writer_waits = atomic_load64(&env.writer_waits)
    out.spilled_bytes = atomic_load64(&env.scratch.spill.used_bytes)


cdef const uint8_t* env_id(Env* env) noexcept nogil:
    return env.pager.env_id


cdef uint64_t env_user_txn(Env* env) noexcept nogil:
    return atomic_load64(&env.published_user_txn)


# For Python.

cdef object fill_options(EnvOptions* options, bint in_memory, bint read_only, uint64_t accept_loss_after,
                         object allow_filesystem, uint64_t scratch_bytes_max, uint64_t checkpoint_bytes,
                         uint64_t spill_bytes_max, object directory):
    """Returns what must stay alive as long as the options are used."""
    cdef bytes name = allow_filesystem.encode() if allow_filesystem else b""
    memset(options, 0, sizeof(EnvOptions))
    options.in_memory = in_memory
    options.read_only = read_only
    options.accept_loss_after = accept_loss_after
    options.allow_filesystem = <const char*>name if name else NULL
    options.scratch_bytes_max = scratch_bytes_max
    options.checkpoint_bytes = checkpoint_bytes
    options.spill_bytes_max = spill_bytes_max
    options.disk = (<DiskHandle>directory).disk if isinstance(directory, DiskHandle) else NULL
    return name


@cython.final
@cython.no_gc_clear
cdef class Environment:
    """One directory of pages with a journal, or the same in memory. Made by `create` and `open`; a context manager."""

    @staticmethod
    def create(directory, *, allow_filesystem=None, uint64_t scratch_bytes_max=0, uint64_t checkpoint_bytes=0,
               uint64_t spill_bytes_max=0):
        """A new environment in a directory that does not exist yet; None: in memory, gone when it is closed; a
        DiskHandle: on that disk, which stays.

        Raises: DiskError, UnsafeFilesystem; Busy while somebody else is creating it.
        """
        cdef EnvOptions options
        keep = fill_options(&options, directory is None, False, 0, allow_filesystem, scratch_bytes_max,
                            checkpoint_bytes, spill_bytes_max, directory)
        made = begin_environment(directory, &options, True)
        del keep
        return made

    @staticmethod
    def open(directory, *, bint read_only=False, uint64_t accept_loss_after=0, allow_filesystem=None,
             uint64_t scratch_bytes_max=0, uint64_t checkpoint_bytes=0, uint64_t spill_bytes_max=0):
        """An existing environment, by directory or DiskHandle; recovers what the journals hold.

        accept_loss_after: cut the journals behind this transaction although later ones are there (rule D10).
        Raises: NotFound, Busy (open elsewhere), CorruptError, VersionError, UnsafeFilesystem, DiskError.
        """
        cdef EnvOptions options
        keep = fill_options(&options, False, read_only, accept_loss_after, allow_filesystem, scratch_bytes_max,
                            checkpoint_bytes, spill_bytes_max, directory)
        made = begin_environment(directory, &options, False)
        del keep
        return made

    def __dealloc__(self):
        cdef ErrorDetail error
        error_clear(&error)
        if self.env != NULL:
            with nogil:
                env_close(self.env, &error)

    def close(self):
        """Writes what the journal holds to the data file and gives everything back. Twice is allowed.

        Raises: Busy while transactions are open, and then stays open; DiskError when the last checkpoint failed.
        """
        cdef ErrorDetail error
        cdef Env* env = self.env
        cdef int code
        if env == NULL:
            return
        error_clear(&error)
        atomic_store_pointer(<void**>&self.env, NULL)
        with nogil:
            # Calls of other threads that have begun are let out before anything is given back.
            fence()
            while atomic_load32(&self.users) != 0 and not env.writer_active:
                sleep_us(USERS_POLL_US)
            code = env_close(env, &error)
        if code == E_BUSY:
            atomic_store_pointer(<void**>&self.env, env)
        if code != OK:
            raise_error(&error)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.close()

    cdef Env* enter(self) except NULL:
        """The environment, kept open until leave."""
        cdef Env* env
        cdef ErrorDetail error
        atomic_add32(&self.users, 1)
        fence()
        env = <Env*>atomic_load_pointer(<void**>&self.env)
        if env == NULL:
            self.leave()
            error_clear(&error)
            error_set(&error, E_CLOSED, "the environment is closed")
            raise_error(&error)
        return env

    cdef void leave(self) noexcept:
        atomic_add32(&self.users, <uint32_t>-1)

    def read(self):
        """A ReadTxn: a snapshot of the last published transaction."""
        cdef ReadTxn txn = ReadTxn.__new__(ReadTxn)
        cdef int code = env_begin_read(self.enter(), &txn.memory)
        self.leave()
        if code != OK:
            raise_error(&txn.memory.error)
        txn.txn = &txn.memory
        txn.owner = self
        return txn

    def write(self):
        """A WriteTxn. Waits for the one that is being executed; one at a time."""
        cdef WriteTxn txn = WriteTxn.__new__(WriteTxn)
        cdef Env* env = self.enter()
        cdef int code
        with nogil:
            code = env_begin_write(env, &txn.memory)
        self.leave()
        if code != OK:
            raise_error(&txn.memory.error)
        txn.txn = &txn.memory
        txn.owner = self
        return txn

    def checkpoint(self, uint64_t reader_wait_ms=CHECKPOINT_READER_WAIT_MS):
        """Write every page to the data file now. Raises Busy when a read transaction stays older than that."""
        cdef ErrorDetail error
        cdef Env* env = self.enter()
        cdef int code
        error_clear(&error)
        with nogil:
            code = checkpoint_within(env, reader_wait_ms, &error)
        self.leave()
        if code != OK:
            raise_error(&error)

    def statistics(self):
        """Counters since opening, by the names of EnvStatistics."""
        cdef EnvStatistics statistics
        env_statistics(self.enter(), &statistics)
        self.leave()
        return statistics

    @property
    def id(self):
        """16 bytes, chosen at creation."""
        cdef bytes id = (<const char*>env_id(self.enter()))[:16]
        self.leave()
        return id

    @property
    def user_txn(self):
        """Last user transaction number that was committed."""
        cdef uint64_t number = env_user_txn(self.enter())
        self.leave()
        return number


cdef Environment begin_environment(object directory, EnvOptions* options, bint create):
    cdef Environment made = Environment.__new__(Environment)
    cdef bytes path = b"" if directory is None or isinstance(directory, DiskHandle) else os.fsencode(directory)
    cdef const char* path_text = path
    cdef ErrorDetail error
    cdef int code
    made.directory = os.fsdecode(path)
    made.disk = directory if isinstance(directory, DiskHandle) else None
    error_clear(&error)
    with nogil:
        if create:
            code = env_create(path_text, options, &made.env, &error)
        else:
            code = env_open(path_text, options, &made.env, &error)
    if code != OK:
        raise_error(&error)
    return made


# In this module `Env` is the struct; Python knows the class by the short name.
globals()["Env"] = Environment


cdef object page_bytes(Txn* txn, uint64_t page, uint32_t pages):
    cdef const uint8_t* data = txn_page(txn, page)
    if data == NULL:
        raise_error(&txn.error)
    if pages != 1 and pages != (<const PageHeader*>data).run_pages:
        raise ValueError(f"page {page} does not begin a run of {pages} pages")
    return (<const char*>data)[:<uint64_t>pages << PAGE_SHIFT]


cdef object open_tree(Transaction txn, bytes name, bint create, bint integer):
    # Trees stand above this floor; they are found when somebody asks for one.
    return importlib.import_module("pynori_core.views").TreeView(txn, name, create, integer)


@cython.final
@cython.no_gc_clear
cdef class ReadTxn(Transaction):
    """A snapshot. Ends with `close`, or when the `with` block does; what was got from it is then not to be used."""

    def __dealloc__(self):
        env_end_read(&self.memory)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.close()

    def close(self):
        """End the transaction. Twice is allowed."""
        env_end_read(&self.memory)

    @property
    def id(self):
        """The transaction whose state this is."""
        return self.memory.id

    def tree(self, bytes name not None, bint create=False, bint integer=False):
        """The tree of that name as a TreeView. Raises NotFound; `create` is for write transactions."""
        return open_tree(self, name, create, integer)

    def page(self, uint64_t number, uint32_t pages=1):
        """A copy of one page, or with `pages` of a whole run."""
        return page_bytes(&self.memory, number, pages)


cdef struct PendingState:          # shared by the object and the journal thread; the last one frees it
    Mutex mutex
    Condition changed
    int owners
    bint done
    ErrorDetail outcome


cdef void pending_give(PendingState* state) noexcept nogil:
    cdef bint last
    mutex_lock(&state.mutex)
    state.owners -= 1
    last = state.owners == 0
    mutex_unlock(&state.mutex)
    if last:
        condition_destroy(&state.changed)
        mutex_destroy(&state.mutex)
        free(state)


cdef void pending_done(void* context, uint64_t txn_id, const ErrorDetail* outcome) noexcept nogil:
    cdef PendingState* state = <PendingState*>context
    mutex_lock(&state.mutex)
    state.outcome = outcome[0]
    state.done = True
    condition_broadcast(&state.changed)
    mutex_unlock(&state.mutex)
    pending_give(state)


@cython.final
@cython.no_gc_clear
cdef class WriteTxn(Transaction):
    """Private changes until `commit`. Leaving the `with` block commits, or aborts when an exception leaves it."""

    def __dealloc__(self):
        env_abort(&self.memory)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if kind is None:
            self.commit()
        else:
            self.abort()

    cdef int checked(self, bint good) except -1:
        if not good:
            raise_error(&self.memory.error)
        return 0

    def commit(self):
        """Durable when this returns. Nothing happens when the transaction has ended already.

        Raises: DiskFull (undone), UnknownOutcome, Poisoned; in every case the transaction has ended.
        """
        cdef ErrorDetail error
        cdef int code
        if self.memory.env == NULL:
            return
        error_clear(&error)
        with nogil:
            code = env_commit(&self.memory, &error)
        if code != OK:
            raise_error(&error)

    def seal(self):
        """End the transaction and let the journal thread make it durable; returns a PendingCommit.

        The next write transaction may begin at once, on top of this one. Raises as `commit` when it cannot be sealed.
        """
        cdef PendingCommit pending = PendingCommit.__new__(PendingCommit)
        cdef int code
        if self.memory.env == NULL:
            raise ValueError("the transaction has ended")
        pending.state = <PendingState*>calloc(1, sizeof(PendingState))
        if pending.state == NULL:
            raise MemoryError()
        mutex_init(&pending.state.mutex)
        condition_init(&pending.state.changed)
        pending.state.owners = 2
        pending.txn_id = self.memory.id
        with nogil:
            code = env_seal(&self.memory, pending_done, pending.state)
        if code != OK:
            pending.state.owners = 1       # nobody will call back
            raise_error(&self.memory.error)
        return pending

    def abort(self):
        """Undo everything. Nothing happens when the transaction has ended already."""
        with nogil:
            env_abort(&self.memory)

    @property
    def id(self):
        """The number that the transaction will have."""
        return self.memory.id

    def set_user_txn(self, uint64_t first, uint64_t last):
        """The numbers of the user transactions that this one carries."""
        self.memory.user_txn_first = first
        self.memory.user_txn_last = last

    def tree(self, bytes name not None, bint create=False, bint integer=False):
        """The tree of that name as a TreeView. Raises NotFound unless `create`."""
        return open_tree(self, name, create, integer)

    def page(self, uint64_t number, uint32_t pages=1):
        """A copy of one page, or with `pages` of a whole run."""
        return page_bytes(&self.memory, number, pages)

    def allocate(self, uint32_t run_pages=1, uint8_t type=PAGE_TYPE_LEAF, uint16_t tree=0):
        """The first of `run_pages` new pages in a row."""
        cdef uint64_t page = 0
        self.checked(txn_allocate(&self.memory, run_pages, type, tree, &page) != NULL)
        return page

    def free(self, uint64_t page, uint32_t run_pages=1):
        self.checked(txn_free(&self.memory, page, run_pages) == OK)

    def patch(self, uint64_t page, uint32_t offset, const uint8_t[:] data not None, bint noted=False):
        """Overwrite bytes of a page; for tools and tests, which answer for what the page means.

        `noted`: the journal is told which bytes, and need not look for them.
        """
        cdef uint8_t* target
        if offset + data.shape[0] > PAGE_SIZE:
            raise ValueError("the bytes leave the page")
        if noted:
            target = txn_modify_range(&self.memory, page, offset, offset + <uint32_t>data.shape[0])
        else:
            target = txn_modify(&self.memory, page)
        self.checked(target != NULL)
        if data.shape[0] != 0:
            memcpy(target + offset, &data[0], <size_t>data.shape[0])

    def savepoint(self):
        self.checked(txn_savepoint(&self.memory) == OK)

    def rollback(self):
        """Back to the savepoint, which is then gone."""
        self.checked(txn_rollback(&self.memory) == OK)

    def release(self):
        txn_release(&self.memory)


@cython.final
cdef class PendingCommit:
    """A sealed transaction on its way to the journal."""
    cdef PendingState* state
    cdef readonly uint64_t txn_id

    def __dealloc__(self):
        if self.state != NULL:
            pending_give(self.state)

    @property
    def done(self):
        """Whether the outcome is known."""
        cdef bint done
        mutex_lock(&self.state.mutex)
        done = self.state.done
        mutex_unlock(&self.state.mutex)
        return done

    def wait(self):
        """Return when the transaction is durable. Raises UnknownOutcome or Poisoned."""
        cdef ErrorDetail outcome
        with nogil:
            mutex_lock(&self.state.mutex)
            while not self.state.done:
                condition_wait(&self.state.changed, &self.state.mutex)
            outcome = self.state.outcome
            mutex_unlock(&self.state.mutex)
        if outcome.code != OK:
            raise_error(&outcome)

"""The steps of a checkpoint, in the order that the crash argument of FORMAT.md needs.

1. between two commits: note L, the place in the journal and the chain there, and raise whole_limit;
2. wait for readers older than L;
3. write the newest version <= L of every dirty page, in page order; sync; read back the catalog and the roots;
4. write both copies of the header, one after the other; sync and read back each;
5. let slots point to the map again, retire the versions, recycle journals.
Only after 4 may anything be forgotten.
"""

from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pynori_core.bits cimport (
    atomic_add64, atomic_load32, atomic_load_pointer, atomic_or32, atomic_store64, compare_swap_pointer,
)
from pynori_core.errors cimport E_BUSY, E_CLOSED, E_POISONED, OK, error_set
from pynori_core.format cimport CATALOG_TREES, PAGE_CATALOG, PAGE_TYPE_RUN, FileHeader, PageHeader, catalog_tree
from pynori_core.journal cimport journal_recycle
from pynori_core.pager cimport (
    PAGER_WRITE_PAGES_MAX, PagerWrite, pager_hash, pager_read_back, pager_store_header, pager_sync, pager_write,
)
from pynori_core.scratch cimport (
    SLOT_VERIFIED, VERSION_FLUSHED, VERSION_FREED, VERSION_RAW, PageVersion, ReaderSlot, scratch_clear_dirty,
    scratch_next_dirty, scratch_oldest_epoch, scratch_register, scratch_retire, scratch_slot, scratch_unregister,
)
from pynori_core.state cimport CHECKPOINT_BYTES_MAX
from pynori_core.threads cimport condition_broadcast, condition_wait, mutex_lock, mutex_unlock, now_ms, sleep_us

cdef enum:
    READER_POLL_US = 500           # readers take no lock, so nobody tells when the last old one leaves
    BYTES_PER_CHECKPOINTED_BYTE = 4  # journal bytes before the next checkpoint, per byte that the last one wrote


cdef void journal_acquire(Env* env) noexcept nogil:
    mutex_lock(&env.mutex)
    while env.journal_busy:
        condition_wait(&env.changed, &env.mutex)
    env.journal_busy = True
    mutex_unlock(&env.mutex)


cdef void journal_give(Env* env) noexcept nogil:
    mutex_lock(&env.mutex)
    env.journal_busy = False
    condition_broadcast(&env.changed)
    mutex_unlock(&env.mutex)


cdef void env_poison(Env* env, const ErrorDetail* cause) noexcept nogil:
    mutex_lock(&env.mutex)
    if env.poison.code == OK:
        error_set(&env.poison, E_POISONED, "no more writes after a failure: %.180s", cause.text)
        env.poison.errno_ = cause.errno_
        env.poison.offset = cause.offset
    condition_broadcast(&env.changed)
    mutex_unlock(&env.mutex)


cdef void env_failure(Env* env, ErrorDetail* failure) noexcept nogil:
    mutex_lock(&env.mutex)
    failure[0] = env.poison
    mutex_unlock(&env.mutex)


cdef PageVersion* version_at(Env* env, uint64_t page, uint64_t limit) noexcept nogil:
    """The newest version with txn_id <= limit, NULL when the page has none."""
    cdef PageVersion* version = <PageVersion*>atomic_load_pointer(scratch_slot(&env.scratch, page))
    if <uint64_t>version <= SLOT_VERIFIED:
        return NULL
    while version != NULL and version.txn_id > limit:
        version = <PageVersion*>atomic_load_pointer(<void**>&version.older)
    return version


cdef int write_batch(Env* env, PagerWrite* writes, PageVersion** versions, int count, uint64_t* pages,
                     ErrorDetail* error) noexcept nogil:
    cdef int result = pager_write(&env.pager, writes, count, error)
    cdef int i
    if result != OK:
        return result
    for i in range(count):
        atomic_or32(&versions[i].flags, VERSION_FLUSHED)
    pages[0] += <uint64_t>count
    return OK


cdef int flush_versions(Env* env, uint64_t limit, uint64_t* pages, ErrorDetail* error) noexcept nogil:
    cdef PagerWrite writes[PAGER_WRITE_PAGES_MAX]
    cdef PageVersion* versions[PAGER_WRITE_PAGES_MAX]
    cdef PageVersion* version
    cdef uint64_t page = scratch_next_dirty(&env.scratch, 0)
    cdef int count = 0
    cdef int result
    while page != UINT64_MAX:
        version = version_at(env, page, limit)
        if version != NULL and not atomic_load32(&version.flags) & (VERSION_FLUSHED | VERSION_FREED):
            writes[count].page = page
            writes[count].data = version.data
            writes[count].raw = atomic_load32(&version.flags) & VERSION_RAW != 0
            if not writes[count].raw:
                writes[count].hash = pager_hash(
                    &env.pager, page, version.data,
                    (<PageHeader*>version.data).run_pages if (<PageHeader*>version.data).type == PAGE_TYPE_RUN else 1)
            versions[count] = version
            count += 1
            if count == PAGER_WRITE_PAGES_MAX:
                result = write_batch(env, writes, versions, count, pages, error)
                if result != OK:
                    return result
                count = 0
        page = scratch_next_dirty(&env.scratch, page + 1)
    return write_batch(env, writes, versions, count, pages, error)


cdef void release_flushed(Env* env, uint64_t limit) noexcept nogil:
    """Slots whose newest version is in the data file point to the map again; the first reader verifies the page."""
    cdef PageVersion* first = NULL
    cdef PageVersion* last = NULL
    cdef PageVersion* version
    cdef uint64_t page = scratch_next_dirty(&env.scratch, 0)
    while page != UINT64_MAX:
        version = version_at(env, page, limit)
        if version == NULL:
            scratch_clear_dirty(&env.scratch, page)        # undone meanwhile, or newer than the limit
        elif atomic_load32(&version.flags) & (VERSION_FLUSHED | VERSION_FREED) \
                and compare_swap_pointer(scratch_slot(&env.scratch, page), version, NULL):
            if last == NULL:
                last = version
            version.next = first
            first = version
            scratch_clear_dirty(&env.scratch, page)
        page = scratch_next_dirty(&env.scratch, page + 1)
    scratch_retire(&env.scratch, first, last)


cdef ReaderSlot* begin(Env* env, FileHeader* header, uint64_t* epoch) noexcept nogil:
    """Stand between two commits and note where that is. From here on the checkpoint counts as a reader."""
    cdef ReaderSlot* reader
    journal_acquire(env)
    mutex_lock(&env.mutex)
    reader = scratch_register(&env.scratch)
    env.checkpoint_reader = reader
    mutex_unlock(&env.mutex)
    if reader != NULL:
        atomic_store64(&reader.txn_id, env.published_txn)
        epoch[0] = env.published_epoch
        memcpy(header, &env.header, sizeof(FileHeader))
        header.checkpoint_txn = env.published_txn
        header.user_txn = env.published_user_txn
        header.file_pages = env.published_file_pages
        header.journal_first = env.journal.current.number
        header.journal_offset = env.journal.offset
        header.journal_chain = env.journal.chain
        env.whole_limit = env.published_txn
        env.checkpoint_journal_bytes = env.journal.bytes_written
    journal_give(env)
    return reader


cdef int wait_for_readers(Env* env, uint64_t epoch, uint64_t reader_wait_ms, ErrorDetail* error) noexcept nogil:
    cdef uint64_t start_ms = now_ms()
    while scratch_oldest_epoch(&env.scratch) < epoch:
        if reader_wait_ms != UINT64_MAX and now_ms() - start_ms >= reader_wait_ms:
            error_set(error, E_BUSY, "the checkpoint cannot begin: a read transaction is older than it")
            return E_BUSY
        if env.closing and reader_wait_ms == UINT64_MAX:
            error_set(error, E_CLOSED, "the environment is closing")
            return E_CLOSED
        sleep_us(READER_POLL_US)
    return OK


cdef int read_back(Env* env, uint64_t page, uint64_t limit, const uint8_t** image, ErrorDetail* error) noexcept nogil:
    """Compares a page that was just written with its image, which is left in `image`; NULL when it was not written."""
    cdef PageVersion* version
    image[0] = NULL
    if page >= env.pager.file_pages or scratch_slot(&env.scratch, page) == NULL:
        return OK
    version = version_at(env, page, limit)
    if version == NULL or not atomic_load32(&version.flags) & VERSION_FLUSHED or version.data == NULL:
        return OK
    image[0] = version.data
    return pager_read_back(&env.pager, page, version.data, error)


cdef int read_back_roots(Env* env, uint64_t limit, ErrorDetail* error) noexcept nogil:
    """The catalog and the root of each tree: a page whose write was lost verifies, and only its reader could tell."""
    cdef const uint8_t* catalog
    cdef const uint8_t* root
    cdef uint64_t page = PAGE_CATALOG
    cdef uint32_t place
    cdef int result = OK
    while page != 0 and result == OK:
        result = read_back(env, page, limit, &catalog, error)
        page = 0
        if catalog == NULL:
            break                  # not written by this checkpoint
        for place in range(CATALOG_TREES):
            if result == OK and catalog_tree(catalog, place).root != 0:
                result = read_back(env, catalog_tree(catalog, place).root, limit, &root, error)
        page = (<const PageHeader*>catalog).link
    return result


cdef int write_all(Env* env, FileHeader* header, uint64_t* pages, ErrorDetail* error) noexcept nogil:
    cdef int result = flush_versions(env, header.checkpoint_txn, pages, error)
    if result != OK:
        return result              # pages are in memory and in the journal: the next checkpoint writes them again
    result = pager_sync(&env.pager, error)
    if result == OK:
        result = read_back_roots(env, header.checkpoint_txn, error)
    if result == OK:
        result = pager_store_header(&env.pager, header, error)
    if result != OK:
        env_poison(env, error)
    return result


cdef int checkpoint_run(Env* env, uint64_t reader_wait_ms, ErrorDetail* error) noexcept nogil:
    cdef FileHeader header
    cdef ReaderSlot* reader
    cdef uint64_t pages = 0
    cdef uint64_t threshold
    cdef uint64_t epoch = 0
    cdef int result
    if env.poison.code != OK:
        memcpy(error, &env.poison, sizeof(ErrorDetail))
        return error.code
    reader = begin(env, &header, &epoch)
    if reader == NULL:
        error_set(error, E_BUSY, "too many readers for a checkpoint")
        return E_BUSY
    result = OK
    if header.checkpoint_txn != env.header.checkpoint_txn:
        result = wait_for_readers(env, epoch, reader_wait_ms, error)
        if result == OK:
            result = write_all(env, &header, &pages, error)
        if result == OK:
            memcpy(&env.header, &header, sizeof(FileHeader))
            atomic_store64(&env.checkpoint_txn, header.checkpoint_txn)
            release_flushed(env, header.checkpoint_txn)
            journal_recycle(&env.journal, header.journal_first)
            threshold = pages * 8192 * BYTES_PER_CHECKPOINTED_BYTE
            threshold = threshold if threshold < CHECKPOINT_BYTES_MAX else CHECKPOINT_BYTES_MAX
            atomic_store64(&env.checkpoint_threshold,
                           threshold if threshold > env.checkpoint_bytes else env.checkpoint_bytes)
            atomic_add64(&env.checkpoints, 1)
            atomic_add64(&env.checkpoint_pages, pages)
    mutex_lock(&env.mutex)
    env.checkpoint_reader = NULL
    scratch_unregister(reader)
    mutex_unlock(&env.mutex)
    return result

"""Memory behind `scratch.pxd`: chunks that are cut into buffers and come back to pools.

Fresh memory is dear (a fault for every 4 KB), so buffers are reused last in, first out, and chunks are populated in
one call where the system can do that. Only `scratch_trim` lets the system have memory back.
"""

from libc.stdint cimport UINT64_MAX, uint16_t
from libc.stdlib cimport calloc, free, qsort, realloc
from libc.string cimport memmove, memset

from pynori_core.bits cimport (
    atomic_add32, atomic_add64, atomic_and64, atomic_load32, atomic_load64, atomic_load_pointer, atomic_or32,
    atomic_or64, atomic_store32, atomic_store64, atomic_store_pointer, compare_swap32, compare_swap64,
    compare_swap_pointer, fence, trailing_zeros64,
)
from pynori_core.errors cimport E_NO_MEMORY, OK, error_set
from pynori_core.format cimport PAGE_SIZE
from pynori_core.handles cimport (
    HANDLE_BUFFER, HANDLE_ENVIRONMENT, HANDLE_SNAPSHOT, HANDLE_VERSION, HANDLES_COUNTED, handle_closed, handle_opened,
)
from pynori_core.spill cimport spill_close, spill_give, spill_take
from pynori_core.threads cimport mutex_destroy, mutex_init, mutex_lock, mutex_unlock, thread_number

cdef extern from *:
    """
    #include <string.h>
    #include "pynori_memory.h"
    /* The debug build fills what is given back, so that a page used after its end is noticed. */
    static void pyn_poison(void *memory, size_t size) {
    #ifdef PYNORI_DEBUG
        memset(memory, 0xA5, size);
    #else
        (void)memory; (void)size;
    #endif
    }
    """
    void* memory_take "pyn_memory_take"(size_t size, int populate) noexcept nogil
    void memory_give "pyn_memory_give"(void* memory, size_t size) noexcept nogil
    void memory_discard "pyn_memory_discard"(void* memory, size_t size) noexcept nogil
    void poison "pyn_poison"(void* memory, size_t size) noexcept nogil

cdef enum:
    CHUNK_BYTES_FIRST = 65536      # a small database stays small
    CHUNK_BYTES_MAX = 4194304      # chunks double up to this; a larger buffer gets a chunk of its own size
    STRUCTS_PER_CHUNK = 256        # versions and run buffers are made in lots of this
    SLOT_CHUNK_BYTES = (SLOT_CHUNK_PAGES + SLOT_DIRTY_WORDS) * 8


cdef int scratch_open(Scratch* scratch, ErrorDetail* error) noexcept nogil:
    memset(scratch, 0, sizeof(Scratch))
    handle_opened(HANDLE_ENVIRONMENT)
    mutex_init(&scratch.retire_mutex)
    scratch.epoch = 1
    scratch.chunk_bytes = CHUNK_BYTES_FIRST
    scratch.slots = <void***>memory_take(SLOT_CHUNKS_MAX * sizeof(void*), 0)
    scratch.readers = <ReaderSlot*>memory_take(READERS_MAX * sizeof(ReaderSlot), 0)
    if scratch.slots == NULL or scratch.readers == NULL:
        scratch_close(scratch, 0)
        error_set(error, E_NO_MEMORY, "no memory for the slot directory")
        return E_NO_MEMORY
    return OK


cdef void uncount(Scratch* scratch, uint64_t published_txn) noexcept nogil:
    """Takes every version out of the counts that can be reached from a slot or the retire queue: the rest was lost."""
    cdef PageVersion* version
    cdef uint64_t page = UINT64_MAX if scratch.slots == NULL else scratch_next_dirty(scratch, 0)
    cdef uint32_t i
    while page != UINT64_MAX:
        version = <PageVersion*>scratch_slot(scratch, page)[0]
        while <uint64_t>version > SLOT_VERIFIED:
            uncount_version(version)
            # What lies below a published version was retired when that was published, and may be gone.
            version = version.older if version.txn_id > published_txn else NULL
        page = scratch_next_dirty(scratch, page + 1)
    for i in range(scratch.retired_count):
        version = scratch.retired[(scratch.retired_first + i) & (RETIRED_BATCHES_MAX - 1)].first
        scratch.retired[(scratch.retired_first + i) & (RETIRED_BATCHES_MAX - 1)].last.next = NULL
        while version != NULL:
            uncount_version(version)
            version = version.next


cdef void uncount_version(PageVersion* version) noexcept nogil:
    handle_closed(HANDLE_VERSION)
    if version.run != NULL:
        version.run.references -= 1
    if version.data != NULL and (version.run == NULL or version.run.references == 0):
        handle_closed(HANDLE_BUFFER)


cdef void scratch_close(Scratch* scratch, uint64_t published_txn) noexcept nogil:
    """Everything at once: nobody may hold a version any more."""
    cdef MemoryChunk* chunk = scratch.chunks
    cdef MemoryChunk* next
    cdef uint32_t i
    if HANDLES_COUNTED:
        handle_closed(HANDLE_ENVIRONMENT)
        uncount(scratch, published_txn)
    if scratch.slots != NULL:
        for i in range(scratch.slot_chunks_high):
            if scratch.slots[i] != NULL:
                memory_give(scratch.slots[i], SLOT_CHUNK_BYTES)
        memory_give(scratch.slots, SLOT_CHUNKS_MAX * sizeof(void*))
    if scratch.readers != NULL:
        memory_give(scratch.readers, READERS_MAX * sizeof(ReaderSlot))
    while chunk != NULL:
        next = chunk.next
        memory_give(chunk.data, chunk.size_bytes)
        free(chunk)
        chunk = next
    for i in range(BUFFER_CLASSES):
        free(scratch.buffers[i].free)
    spill_close(&scratch.spill)
    mutex_destroy(&scratch.retire_mutex)
    memset(scratch, 0, sizeof(Scratch))


# Slots.

cdef void** slot_chunk(Scratch* scratch, uint64_t index) noexcept nogil:
    cdef void** chunk = <void**>atomic_load_pointer(<void**>&scratch.slots[index])
    cdef uint32_t high
    if chunk != NULL:
        return chunk
    chunk = <void**>memory_take(SLOT_CHUNK_BYTES, 0)
    if chunk == NULL:
        return NULL
    if not compare_swap_pointer(<void**>&scratch.slots[index], NULL, chunk):
        memory_give(chunk, SLOT_CHUNK_BYTES)
        return <void**>atomic_load_pointer(<void**>&scratch.slots[index])
    high = atomic_load32(&scratch.slot_chunks_high)
    while high <= index and not compare_swap32(&scratch.slot_chunks_high, high, <uint32_t>index + 1):
        high = atomic_load32(&scratch.slot_chunks_high)
    return chunk


cdef void** scratch_slot(Scratch* scratch, uint64_t page) noexcept nogil:
    cdef void** chunk
    if page >> SLOT_CHUNK_SHIFT >= SLOT_CHUNKS_MAX:
        return NULL
    chunk = slot_chunk(scratch, page >> SLOT_CHUNK_SHIFT)
    return NULL if chunk == NULL else &chunk[page & (SLOT_CHUNK_PAGES - 1)]


cdef inline uint64_t* dirty_word(void** chunk, uint64_t page) noexcept nogil:
    return <uint64_t*>(chunk + SLOT_CHUNK_PAGES) + ((page & (SLOT_CHUNK_PAGES - 1)) >> 6)


cdef void scratch_mark_dirty(Scratch* scratch, uint64_t page) noexcept nogil:
    """The slot's chunk exists, because the slot was just changed."""
    cdef uint64_t* word = dirty_word(scratch.slots[page >> SLOT_CHUNK_SHIFT], page)
    cdef uint64_t bit = <uint64_t>1 << (page & 63)
    if not atomic_load64(word) & bit:
        atomic_or64(word, bit)


cdef void scratch_clear_dirty(Scratch* scratch, uint64_t page) noexcept nogil:
    """Clears first and looks at the slot afterwards: a version that is linked in between sets the bit again."""
    cdef void** slot = scratch_slot(scratch, page)
    atomic_and64(dirty_word(scratch.slots[page >> SLOT_CHUNK_SHIFT], page), ~(<uint64_t>1 << (page & 63)))
    fence()
    if <uint64_t>atomic_load_pointer(slot) > SLOT_VERIFIED:
        scratch_mark_dirty(scratch, page)


cdef uint64_t scratch_next_dirty(Scratch* scratch, uint64_t page) noexcept nogil:
    cdef uint64_t high = <uint64_t>atomic_load32(&scratch.slot_chunks_high) << SLOT_CHUNK_SHIFT
    cdef void** chunk
    cdef uint64_t word
    while page < high:
        chunk = <void**>atomic_load_pointer(<void**>&scratch.slots[page >> SLOT_CHUNK_SHIFT])
        if chunk == NULL:
            page = ((page >> SLOT_CHUNK_SHIFT) + 1) << SLOT_CHUNK_SHIFT
            continue
        word = atomic_load64(dirty_word(chunk, page)) >> (page & 63)
        if word != 0:
            return page + <uint64_t>trailing_zeros64(word)
        page = (page & ~<uint64_t>63) + 64
    return UINT64_MAX


# Memory.

cdef uint8_t* chunk_take(Scratch* scratch, uint64_t size_bytes) noexcept nogil:
    cdef MemoryChunk* chunk = <MemoryChunk*>calloc(1, sizeof(MemoryChunk))
    if chunk == NULL:
        return NULL
    chunk.data = <uint8_t*>memory_take(size_bytes, 1)
    if chunk.data == NULL:
        free(chunk)
        return NULL
    chunk.size_bytes = size_bytes
    chunk.next = scratch.chunks
    scratch.chunks = chunk
    atomic_add64(&scratch.reserved_bytes, size_bytes)
    return chunk.data


cdef inline int buffer_class(uint32_t pages) noexcept nogil:
    cdef int index = 0
    while (<uint32_t>1 << index) < pages:
        index += 1
    return index


cdef bint pool_fill(Scratch* scratch, Pool* pool, uint64_t piece_bytes) noexcept nogil:
    cdef uint64_t size_bytes = scratch.chunk_bytes if scratch.chunk_bytes > piece_bytes else piece_bytes
    cdef uint64_t count = size_bytes // piece_bytes
    cdef uint8_t** grown = <uint8_t**>realloc(pool.free, (pool.made + count) * sizeof(uint8_t*))
    cdef uint8_t* data
    cdef uint64_t i
    if grown == NULL:
        return False
    pool.free = grown
    data = chunk_take(scratch, size_bytes)
    if data == NULL:
        return False
    if scratch.chunk_bytes < CHUNK_BYTES_MAX:
        scratch.chunk_bytes *= 2
    for i in range(count):
        pool.free[pool.free_count] = data + (count - 1 - i) * piece_bytes
        pool.free_count += 1
    pool.made += count
    return True


cdef uint8_t* scratch_take_buffer(Scratch* scratch, uint32_t pages) noexcept nogil:
    cdef int index = buffer_class(pages)
    cdef Pool* pool
    cdef uint64_t size_bytes = <uint64_t>PAGE_SIZE << index
    cdef uint8_t* data
    if index >= BUFFER_CLASSES:
        size_bytes = <uint64_t>pages * PAGE_SIZE
    if scratch.spilling and scratch.used_bytes - scratch.spill.used_bytes + size_bytes > scratch.spill_above:
        data = spill_take(&scratch.spill, size_bytes)
        if data != NULL:
            atomic_add64(&scratch.used_bytes, size_bytes)
            handle_opened(HANDLE_BUFFER)
            return data
    if index >= BUFFER_CLASSES:
        data = <uint8_t*>memory_take(size_bytes, 0)
        if data != NULL:
            atomic_add64(&scratch.reserved_bytes, size_bytes)
            atomic_add64(&scratch.used_bytes, size_bytes)
            handle_opened(HANDLE_BUFFER)
        return data
    pool = &scratch.buffers[index]
    if pool.free_count == 0 and not pool_fill(scratch, pool, size_bytes):
        return NULL
    pool.free_count -= 1
    if pool.cold_count > pool.free_count:
        pool.cold_count = pool.free_count
        atomic_add64(&scratch.reserved_bytes, size_bytes)
    atomic_add64(&scratch.used_bytes, size_bytes)
    handle_opened(HANDLE_BUFFER)
    return pool.free[pool.free_count]


cdef void scratch_give_buffer(Scratch* scratch, uint8_t* data, uint32_t pages) noexcept nogil:
    cdef int index = buffer_class(pages)
    cdef Pool* pool
    cdef uint64_t size_bytes = <uint64_t>PAGE_SIZE << index
    handle_closed(HANDLE_BUFFER)
    if index >= BUFFER_CLASSES:
        size_bytes = <uint64_t>pages * PAGE_SIZE
    if scratch.spill.chunks != NULL and spill_give(&scratch.spill, data):
        atomic_add64(&scratch.used_bytes, -size_bytes)
        return
    if index >= BUFFER_CLASSES:
        memory_give(data, size_bytes)
        atomic_add64(&scratch.reserved_bytes, -size_bytes)
        atomic_add64(&scratch.used_bytes, -size_bytes)
        return
    pool = &scratch.buffers[index]
    poison(data, size_bytes)
    pool.free[pool.free_count] = data
    pool.free_count += 1
    atomic_add64(&scratch.used_bytes, -size_bytes)


cdef void scratch_trim(Scratch* scratch, uint64_t keep_bytes) noexcept nogil:
    cdef Pool* pool
    cdef uint64_t size_bytes
    cdef int index
    for index in range(BUFFER_CLASSES):
        pool = &scratch.buffers[index]
        size_bytes = <uint64_t>PAGE_SIZE << index
        while pool.cold_count < pool.free_count and (pool.free_count - pool.cold_count) * size_bytes > keep_bytes:
            memory_discard(pool.free[pool.cold_count], size_bytes)
            pool.cold_count += 1
            atomic_add64(&scratch.reserved_bytes, -size_bytes)


cdef PageVersion* scratch_take_version(Scratch* scratch) noexcept nogil:
    cdef PageVersion* version = scratch.versions
    cdef int i
    if version == NULL:
        version = <PageVersion*>chunk_take(scratch, STRUCTS_PER_CHUNK * sizeof(PageVersion))
        if version == NULL:
            return NULL
        for i in range(1, STRUCTS_PER_CHUNK):
            version[i].next = scratch.versions
            scratch.versions = &version[i]
    else:
        scratch.versions = version.next
    memset(version, 0, sizeof(PageVersion))
    handle_opened(HANDLE_VERSION)
    return version


cdef void scratch_give_version(Scratch* scratch, PageVersion* version) noexcept nogil:
    poison(version, sizeof(PageVersion))
    handle_closed(HANDLE_VERSION)
    version.next = scratch.versions
    scratch.versions = version


cdef void scratch_note(PageVersion* version, uint32_t start, uint32_t end) noexcept nogil:
    cdef NotedRange* notes = version.notes
    cdef uint32_t count = version.note_count
    cdef uint32_t first = 0
    cdef uint32_t after
    if count == NOTES_ALL:
        return
    while first < count and notes[first].end < start:
        first += 1
    after = first
    while after < count and notes[after].start <= end:     # touches or overlaps: one range with it
        after += 1
    if after == first:
        if count == NOTES_MAX:
            version.note_count = NOTES_ALL
            return
        memmove(notes + first + 1, notes + first, (count - first) * sizeof(NotedRange))
        notes[first].start = <uint16_t>start
        notes[first].end = <uint16_t>end
        version.note_count = <uint16_t>(count + 1)
        return
    if notes[first].start > start:
        notes[first].start = <uint16_t>start
    notes[first].end = <uint16_t>end if notes[after - 1].end < end else notes[after - 1].end
    memmove(notes + first + 1, notes + after, (count - after) * sizeof(NotedRange))
    version.note_count = <uint16_t>(count - (after - first - 1))


cdef RunBuffer* scratch_take_run(Scratch* scratch, uint32_t pages) noexcept nogil:
    cdef RunBuffer* run = scratch.runs
    cdef int i
    if run == NULL:
        run = <RunBuffer*>chunk_take(scratch, STRUCTS_PER_CHUNK * sizeof(RunBuffer))
        if run == NULL:
            return NULL
        for i in range(STRUCTS_PER_CHUNK):
            run[i].next = scratch.runs
            scratch.runs = &run[i]
        run = scratch.runs
    scratch.runs = run.next
    run.data = scratch_take_buffer(scratch, pages)
    if run.data == NULL:
        run.next = scratch.runs
        scratch.runs = run
        return NULL
    run.pages = pages
    run.references = 0
    return run


cdef void scratch_drop_run(Scratch* scratch, RunBuffer* run) noexcept nogil:
    run.references -= 1
    if run.references == 0:
        scratch_give_buffer(scratch, run.data, run.pages)
        run.next = scratch.runs
        scratch.runs = run


cdef void scratch_drop_data(Scratch* scratch, PageVersion* version) noexcept nogil:
    cdef RunBuffer* run = version.run
    if run != NULL:
        scratch_drop_run(scratch, run)
        version.run = NULL
    elif version.data != NULL:
        scratch_give_buffer(scratch, version.data, 1)
    version.data = NULL


# Readers.

cdef ReaderSlot* scratch_register(Scratch* scratch) noexcept nogil:
    cdef uint32_t start = thread_number()
    cdef uint64_t epoch = atomic_load64(&scratch.epoch)
    cdef ReaderSlot* reader
    cdef uint32_t i, index, high
    for i in range(READERS_MAX):
        index = (start + i) & (READERS_MAX - 1)
        reader = &scratch.readers[index]
        if atomic_load64(&reader.epoch) == 0:
            # Visible to the scan before this reader looks at anything: slot in use before high mark before fence.
            high = atomic_load32(&scratch.readers_high)
            while high <= index and not compare_swap32(&scratch.readers_high, high, index + 1):
                high = atomic_load32(&scratch.readers_high)
            if compare_swap64(&reader.epoch, 0, epoch):
                handle_opened(HANDLE_SNAPSHOT)
                fence()
                return reader
    return NULL


cdef void scratch_unregister(ReaderSlot* reader) noexcept nogil:
    handle_closed(HANDLE_SNAPSHOT)
    atomic_store64(&reader.txn_id, 0)
    atomic_store64(&reader.epoch, 0)


cdef uint64_t scratch_oldest_epoch(Scratch* scratch) noexcept nogil:
    cdef uint64_t oldest = atomic_load64(&scratch.epoch)
    cdef uint64_t epoch
    cdef uint32_t i, high
    fence()                        # pairs with scratch_register: who is not seen here sees all that was unlinked
    high = atomic_load32(&scratch.readers_high)
    for i in range(high):
        epoch = atomic_load64(&scratch.readers[i].epoch)
        if epoch != 0 and epoch < oldest:
            oldest = epoch
    return oldest


cdef uint64_t scratch_oldest_reader(Scratch* scratch, const ReaderSlot* except_for, uint64_t* txn_id) noexcept nogil:
    cdef uint64_t oldest = 0
    cdef uint64_t epoch
    cdef uint32_t i
    for i in range(atomic_load32(&scratch.readers_high)):
        epoch = atomic_load64(&scratch.readers[i].epoch)
        if epoch != 0 and &scratch.readers[i] != except_for and (oldest == 0 or epoch < oldest):
            oldest = epoch
            txn_id[0] = atomic_load64(&scratch.readers[i].txn_id)
    return oldest


cdef uint64_t scratch_oldest_txn(Scratch* scratch, uint64_t published) noexcept nogil:
    cdef uint32_t i
    cdef uint64_t txn_id
    for i in range(atomic_load32(&scratch.readers_high)):
        if atomic_load64(&scratch.readers[i].epoch) != 0:
            txn_id = atomic_load64(&scratch.readers[i].txn_id)
            if 0 < txn_id < published:
                published = txn_id
    return published


cdef uint32_t scratch_readers(Scratch* scratch) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t count = 0
    for i in range(atomic_load32(&scratch.readers_high)):
        if atomic_load64(&scratch.readers[i].epoch) != 0:
            count += 1
    return count


cdef uint64_t scratch_retire(Scratch* scratch, PageVersion* first, PageVersion* last) noexcept nogil:
    return retire(scratch, first, last, False)


cdef uint64_t retire(Scratch* scratch, PageVersion* first, PageVersion* last, bint collected) noexcept nogil:
    cdef RetiredBatch* batch
    cdef uint64_t epoch
    mutex_lock(&scratch.retire_mutex)
    epoch = atomic_add64(&scratch.epoch, 1)
    if first == NULL:
        mutex_unlock(&scratch.retire_mutex)
        return epoch
    if scratch.retired_count == RETIRED_BATCHES_MAX:
        batch = &scratch.retired[(scratch.retired_first + RETIRED_BATCHES_MAX - 1) & (RETIRED_BATCHES_MAX - 1)]
        batch.last.next = first
        batch.collected &= collected
    else:
        batch = &scratch.retired[(scratch.retired_first + scratch.retired_count) & (RETIRED_BATCHES_MAX - 1)]
        batch.first = first
        batch.collected = collected
        atomic_add32(&scratch.retired_count, 1)
    batch.last = last
    batch.epoch = epoch
    mutex_unlock(&scratch.retire_mutex)
    return epoch


cdef uint64_t scratch_reclaim(Scratch* scratch) noexcept nogil:
    cdef RetiredBatch batch
    cdef PageVersion* version
    cdef PageVersion* next
    cdef uint64_t oldest
    cdef uint64_t count = 0
    if atomic_load32(&scratch.retired_count) == 0:     # a stale answer only delays
        return 0
    oldest = scratch_oldest_epoch(scratch)
    while True:
        mutex_lock(&scratch.retire_mutex)
        batch = scratch.retired[scratch.retired_first]
        if scratch.retired_count == 0 or batch.epoch > oldest:
            mutex_unlock(&scratch.retire_mutex)
            return count
        scratch.retired_first = (scratch.retired_first + 1) & (RETIRED_BATCHES_MAX - 1)
        atomic_add32(&scratch.retired_count, <uint32_t>-1)
        mutex_unlock(&scratch.retire_mutex)
        batch.last.next = NULL
        version = batch.first
        while version != NULL:
            next = version.next
            scratch_drop_data(scratch, version)
            scratch_give_version(scratch, version)
            version = next
            count += 1


# Collecting.

cdef struct Snapshots:             # ascending
    uint64_t txn_ids[READERS_MAX]
    uint32_t count
    uint64_t published             # readers that register from now on see this transaction or a later one


cdef int compare_txn_ids(const void* a, const void* b) noexcept nogil:
    cdef uint64_t first = (<const uint64_t*>a)[0]
    cdef uint64_t second = (<const uint64_t*>b)[0]
    return (first > second) - (first < second)


cdef bint gather_snapshots(Scratch* scratch, Snapshots* snapshots) noexcept nogil:
    """False: a reader is just registering, and nobody knows yet what it will see."""
    cdef uint64_t txn_id
    cdef uint32_t i
    snapshots.count = 0
    fence()                        # pairs with scratch_register: who is not seen here sees `published` or later
    for i in range(atomic_load32(&scratch.readers_high)):
        if atomic_load64(&scratch.readers[i].epoch) != 0:
            txn_id = atomic_load64(&scratch.readers[i].txn_id)
            if txn_id == 0:
                return False
            snapshots.txn_ids[snapshots.count] = txn_id
            snapshots.count += 1
    qsort(snapshots.txn_ids, snapshots.count, sizeof(uint64_t), compare_txn_ids)
    return True


cdef bint is_seen(const Snapshots* snapshots, uint64_t first_txn, uint64_t end_txn) noexcept nogil:
    """Whether a snapshot lies in [first_txn, end_txn)."""
    cdef uint32_t low = 0
    cdef uint32_t high = snapshots.count
    cdef uint32_t middle
    while low < high:
        middle = (low + high) >> 1
        if snapshots.txn_ids[middle] < first_txn:
            low = middle + 1
        else:
            high = middle
    return (low < snapshots.count and snapshots.txn_ids[low] < end_txn) or end_txn > snapshots.published


cdef void collect_page(Scratch* scratch, uint64_t page, const Snapshots* snapshots) noexcept nogil:
    """Below a version that the oldest snapshot sees, or that is older, nothing is looked at: it may be gone already."""
    cdef PageVersion* above = <PageVersion*>atomic_load_pointer(scratch_slot(scratch, page))
    cdef PageVersion* version
    cdef uint64_t oldest = snapshots.txn_ids[0]
    if <uint64_t>above <= SLOT_VERIFIED:
        return
    while above.txn_id > oldest:
        version = <PageVersion*>atomic_load_pointer(<void**>&above.older)
        if version == NULL:
            return
        if atomic_load32(&version.flags) & VERSION_RETIRED \
                and not is_seen(snapshots, version.txn_id, version.logged_whole):
            scratch_drop_data(scratch, version)
            atomic_or32(&version.flags, VERSION_COLLECTED)
            atomic_store_pointer(<void**>&above.older, version.older)
        else:
            above = version


cdef uint64_t collect_batch(Scratch* scratch, RetiredBatch* batch, const Snapshots* snapshots,
                            PageVersion** collected) noexcept nogil:
    """Moves the batch's collected versions to the list `collected`; returns how many."""
    cdef PageVersion* version = batch.first
    cdef PageVersion* next
    cdef PageVersion** link = &batch.first
    cdef uint64_t count = 0
    batch.last.next = NULL
    while version != NULL:
        next = version.next
        if version.data != NULL and atomic_load32(&version.flags) & VERSION_RETIRED:
            collect_page(scratch, version.page, snapshots)
        if atomic_load32(&version.flags) & VERSION_COLLECTED:
            version.next = collected[0]
            collected[0] = version
            count += 1
        else:
            link[0] = version
            link = &version.next
            batch.last = version
        version = next
    link[0] = NULL
    return count


cdef uint64_t scratch_collect(Scratch* scratch, uint64_t published) noexcept nogil:
    cdef Snapshots snapshots
    cdef RetiredBatch* batch
    cdef PageVersion* collected = NULL
    cdef PageVersion* last
    cdef uint64_t count = 0
    cdef uint32_t kept = 0
    cdef uint32_t i
    snapshots.published = published
    if not gather_snapshots(scratch, &snapshots) or snapshots.count == 0:
        return 0
    mutex_lock(&scratch.retire_mutex)
    for i in range(scratch.retired_count):
        batch = &scratch.retired[(scratch.retired_first + i) & (RETIRED_BATCHES_MAX - 1)]
        if not batch.collected:
            count += collect_batch(scratch, batch, &snapshots, &collected)
        if batch.first != NULL:
            scratch.retired[(scratch.retired_first + kept) & (RETIRED_BATCHES_MAX - 1)] = batch[0]
            kept += 1
    atomic_store32(&scratch.retired_count, kept)
    mutex_unlock(&scratch.retire_mutex)
    if collected != NULL:
        last = collected
        while last.next != NULL:
            last = last.next
        retire(scratch, collected, last, True)
    return count

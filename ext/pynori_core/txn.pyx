"""Transactions over pages: looking up, copying on write, allocating, freeing, savepoints.

The writer links each private copy into the page's slot at once, under its own transaction number, which is greater than
every published one: readers step over it, and the writer finds its own pages the same way. Undoing means unlinking,
newest first. A page that the transaction changes twice around a savepoint has two versions of the same number until
the savepoint is released; `txn_finish` leaves one.
"""

from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy, memset

from pynori_core.bits cimport (
    atomic_load32, atomic_load_pointer, atomic_or32, atomic_store_pointer, compare_swap_pointer,
)
from pynori_core.errors cimport (
    E_ASSERTION, E_CORRUPT, E_DISK_FULL, E_INVALID, E_NO_MEMORY, E_TOO_LARGE, OK, error_clear, error_set,
)
from pynori_core.format cimport (
    BITMAP_PAGES, PAGE_CATALOG, PAGE_HEADER_B, PAGE_SHIFT, PAGE_SIZE, PAGE_TYPE_BITMAP, PAGE_TYPE_BRANCH,
    PAGE_TYPE_LEAF, PAGE_TYPE_RUN, PageHeader,
)
from pynori_core.freespace cimport (
    FREESPACE_NONE, RUN_PAGES_MAX, bitmap_change, bitmap_find, bitmap_page,
)
from pynori_core.pager cimport pager_grow, pager_prefetch, pager_verify
from pynori_core.scratch cimport (
    NOTES_ALL, SLOT_UNVERIFIED, VERSION_COVERED, VERSION_FREED, VERSION_FRESH, VERSION_MAP_VERIFIED, VERSION_RAW,
    RunBuffer, scratch_drop_data, scratch_drop_run, scratch_give_version, scratch_mark_dirty, scratch_note,
    scratch_retire, scratch_slot, scratch_take_buffer, scratch_take_run, scratch_take_version,
)
from pynori_core.state cimport TXN_PAGES_MAX, WriterState

cdef extern from *:
    """
    #include <stddef.h>
    #define PYN_TXN_ID_START offsetof(struct __pyx_t_11pynori_core_6format_PageHeader, txn_id)
    """
    const uint32_t TXN_ID_START "PYN_TXN_ID_START"


# Reading.

cdef const uint8_t* txn_page_slow(Txn* txn, uint64_t page) noexcept nogil:
    cdef Env* env = <Env*>txn.env
    cdef PageVersion* version
    cdef PageVersion* last = NULL
    cdef void** slot
    if page >= txn.map_pages:
        error_set(&txn.error, E_CORRUPT, "page %llu lies beyond the end of the data file (%llu pages)",
                  <unsigned long long>page, <unsigned long long>txn.map_pages)
        return NULL
    slot = scratch_slot(&env.scratch, page)
    if slot == NULL:
        error_set(&txn.error, E_NO_MEMORY, "no memory for a chunk of the slot directory")
        return NULL
    version = <PageVersion*>atomic_load_pointer(slot)
    if <uint64_t>version <= SLOT_VERIFIED:
        if version == <PageVersion*>SLOT_UNVERIFIED:
            if pager_verify(&env.pager, page, &txn.error) != OK:
                return NULL
            compare_swap_pointer(slot, <void*>SLOT_UNVERIFIED, <void*>SLOT_VERIFIED)
        return txn.map_base + (page << PAGE_SHIFT)
    while version != NULL and version.txn_id > txn.id:
        last = version
        version = <PageVersion*>atomic_load_pointer(<void**>&version.older)
    if version != NULL:
        if version.data == NULL:
            error_set(&txn.error, E_ASSERTION, "page %llu is read after it was freed by transaction %llu",
                      <unsigned long long>page, <unsigned long long>version.txn_id)
        return version.data
    if not atomic_load32(&last.flags) & VERSION_MAP_VERIFIED:
        if pager_verify(&env.pager, page, &txn.error) != OK:
            return NULL
        atomic_or32(&last.flags, VERSION_MAP_VERIFIED)
    return txn.map_base + (page << PAGE_SHIFT)


cdef void txn_prefetch(Txn* txn, uint64_t page, uint32_t pages) noexcept nogil:
    pager_prefetch(&(<Env*>txn.env).pager, page, pages)


# Versions of the write transaction.

cdef bint writable(Txn* txn) noexcept nogil:
    if txn.error.code != OK:
        return False
    if not txn.writable or txn.env == NULL:
        error_set(&txn.error, E_INVALID, "a read transaction cannot change pages")
        return False
    return True


cdef void* no_memory(Txn* txn) noexcept nogil:
    error_set(&txn.error, E_NO_MEMORY, "no memory for page versions")
    return NULL


cdef bint push_version(Txn* txn, PageVersion* version) noexcept nogil:
    """Make it the newest of its page. The checkpoint may set a slot to 0 meanwhile, when it has flushed the version
    there."""
    cdef Env* env = <Env*>txn.env
    cdef void** slot = scratch_slot(&env.scratch, version.page)
    cdef void* head
    if slot == NULL:
        return False
    while True:
        head = atomic_load_pointer(slot)
        if <uint64_t>head > SLOT_VERIFIED:
            version.older = <PageVersion*>head
            version.flags &= ~<uint32_t>VERSION_MAP_VERIFIED
        else:
            version.older = NULL
            if head == <void*>SLOT_VERIFIED:
                version.flags |= VERSION_MAP_VERIFIED
        if compare_swap_pointer(slot, head, version):
            break
    if version.older == NULL:
        scratch_mark_dirty(&env.scratch, version.page)
    version.next = env.writer.touched
    env.writer.touched = version
    return True


cdef PageVersion* new_version(Txn* txn, uint64_t page, uint32_t flags) noexcept nogil:
    cdef Env* env = <Env*>txn.env
    cdef PageVersion* version = scratch_take_version(&env.scratch)
    if version == NULL:
        return <PageVersion*>no_memory(txn)
    version.txn_id = txn.id
    version.page = page
    version.flags = flags
    version.savepoint = env.writer.savepoint
    return version


cdef bint count_pages(Txn* txn, uint64_t pages) noexcept nogil:
    cdef WriterState* writer = &(<Env*>txn.env).writer
    if writer.touched_pages + pages > TXN_PAGES_MAX:
        error_set(&txn.error, E_TOO_LARGE, "a transaction changes more than %d pages", <int>TXN_PAGES_MAX)
        return False
    writer.touched_pages += pages
    return True


cdef uint8_t* txn_modify(Txn* txn, uint64_t page) noexcept nogil:
    cdef PageVersion* version = modify(txn, page)
    if version == NULL:
        return NULL
    version.note_count = NOTES_ALL
    return version.data


cdef uint8_t* txn_modify_range(Txn* txn, uint64_t page, uint32_t start, uint32_t end) noexcept nogil:
    cdef PageVersion* version = modify(txn, page)
    if version == NULL:
        return NULL
    scratch_note(version, start, end)
    return version.data


cdef PageVersion* modify(Txn* txn, uint64_t page) noexcept nogil:
    """The transaction's own version of the page, made when there is none; or NULL."""
    cdef Env* env = <Env*>txn.env
    cdef PageVersion* version
    cdef PageVersion* before = NULL      # the own version that a savepoint keeps
    cdef const uint8_t* source
    cdef void** slot
    if not writable(txn):
        return NULL
    slot = scratch_slot(&env.scratch, page) if page < txn.map_pages else NULL
    if slot != NULL:
        version = <PageVersion*>atomic_load_pointer(slot)
        if <uint64_t>version > SLOT_VERIFIED and version.txn_id == txn.id and version.data != NULL:
            if not (env.writer.savepoint_active and version.savepoint < env.writer.savepoint):
                return version
            before = version
    source = txn_page(txn, page)
    if source != NULL and (<const PageHeader*>source).type == PAGE_TYPE_RUN:
        error_set(&txn.error, E_ASSERTION, "page %llu begins a run, and runs are never changed",
                  <unsigned long long>page)
        return NULL
    if source == NULL or not count_pages(txn, 1):
        return NULL
    version = new_version(txn, page, before.flags & VERSION_FRESH if before != NULL else 0)
    if version == NULL:
        return NULL
    version.data = scratch_take_buffer(&env.scratch, 1)
    if version.data == NULL:
        scratch_give_version(&env.scratch, version)
        return <PageVersion*>no_memory(txn)
    memcpy(version.data, source, PAGE_SIZE)
    if before != NULL:
        version.note_count = before.note_count
        memcpy(version.notes, before.notes, sizeof(version.notes))
    else:
        (<PageHeader*>version.data).txn_id = txn.id
        scratch_note(version, TXN_ID_START, TXN_ID_START + sizeof(uint64_t))
    push_version(txn, version)
    return version


# Allocating and freeing.

cdef bint ensure_hints(Env* env, uint64_t file_pages) noexcept nogil:
    """One entry in largest_free for each bitmap page; new entries know nothing."""
    cdef uint64_t count = (file_pages + BITMAP_PAGES - 1) // BITMAP_PAGES
    cdef uint32_t* grown
    if count <= env.bitmap_count:
        return True
    grown = <uint32_t*>realloc(env.largest_free, count * sizeof(uint32_t))
    if grown == NULL:
        return False
    memset(grown + env.bitmap_count, 0xFF, (count - env.bitmap_count) * sizeof(uint32_t))
    env.largest_free = grown
    env.bitmap_count = count
    return True


cdef void forget_hints(Env* env) noexcept nogil:
    memset(env.largest_free, 0xFF, env.bitmap_count * sizeof(uint32_t))


cdef uint64_t find_in_bitmap(Txn* txn, uint64_t index, uint32_t start, uint32_t count) noexcept nogil:
    """A page number, or UINT64_MAX: nothing there, or txn.error is set."""
    cdef Env* env = <Env*>txn.env
    cdef uint64_t end = env.writer.allocation.file_pages - index * BITMAP_PAGES
    cdef const uint8_t* page
    cdef uint32_t bit
    if env.largest_free[index] <= count:
        return UINT64_MAX
    page = txn_page(txn, bitmap_page(index))
    if page == NULL:
        return UINT64_MAX
    bit = bitmap_find(page, start, <uint32_t>end if end < BITMAP_PAGES else BITMAP_PAGES, count)
    if bit != FREESPACE_NONE:
        return index * BITMAP_PAGES + bit
    if start == 0:
        env.largest_free[index] = count
    return UINT64_MAX


cdef uint64_t find_free(Txn* txn, uint32_t count) noexcept nogil:
    """From the hint to the end of the file, then from its beginning: so neighbours in time become neighbours in
    place."""
    cdef Env* env = <Env*>txn.env
    cdef uint64_t bitmaps = (env.writer.allocation.file_pages + BITMAP_PAGES - 1) // BITMAP_PAGES
    cdef uint64_t hint = env.writer.allocation.hint
    cdef uint64_t first = hint // BITMAP_PAGES
    cdef uint64_t page, i
    if hint >= env.writer.allocation.file_pages:
        hint = 0
        first = 0
    if env.writer.allocation.free_pages < count:
        return UINT64_MAX
    page = find_in_bitmap(txn, first, <uint32_t>(hint % BITMAP_PAGES), count)
    for i in range(1, bitmaps + 1):
        if page != UINT64_MAX or txn.error.code != OK:
            return page
        page = find_in_bitmap(txn, (first + i) % bitmaps, 0, count)
    return page


cdef bint grow_file(Txn* txn, uint32_t count) noexcept nogil:
    """Room for `count` pages in a row at the end, and the bitmap pages that come to lie there."""
    cdef Env* env = <Env*>txn.env
    cdef WriterState* writer = &env.writer
    cdef uint64_t before = writer.allocation.file_pages
    cdef uint64_t start = before
    cdef uint64_t page
    cdef PageVersion* version
    if start % BITMAP_PAGES + count > BITMAP_PAGES:
        start = (start // BITMAP_PAGES + 1) * BITMAP_PAGES
    if start % BITMAP_PAGES == 0:
        start += 1
    if pager_grow(&env.pager, start + count, &txn.error) != OK:
        return False
    txn.map_base = env.pager.map.base
    txn.map_pages = env.pager.file_pages
    if not ensure_hints(env, env.pager.file_pages):
        no_memory(txn)
        return False
    writer.allocation.file_pages = env.pager.file_pages
    writer.allocation.free_pages += env.pager.file_pages - before
    writer.allocation.hint = before
    env.largest_free[before // BITMAP_PAGES] = FREESPACE_NONE
    page = (before + BITMAP_PAGES - 1) // BITMAP_PAGES * BITMAP_PAGES
    while page < env.pager.file_pages:
        version = new_page(txn, page, PAGE_TYPE_BITMAP, 0)
        if version == NULL:
            return False
        bitmap_change(version.data, 0, 1, True)
        writer.allocation.free_pages -= 1
        env.largest_free[page // BITMAP_PAGES] = FREESPACE_NONE
        page += BITMAP_PAGES
    return True


cdef void fill_header(Txn* txn, uint8_t* data, uint64_t page, uint8_t type, uint16_t tree,
                      uint32_t run_pages) noexcept nogil:
    cdef PageHeader* header = <PageHeader*>data
    header.page = page
    header.txn_id = txn.id
    header.env_id_short = (<Env*>txn.env).pager.env_id_short
    header.type = type
    header.tree = tree
    header.run_pages = run_pages
    header.lower = sizeof(PageHeader)
    header.upper = PAGE_SIZE


cdef PageVersion* new_page(Txn* txn, uint64_t page, uint8_t type, uint16_t tree) noexcept nogil:
    cdef Env* env = <Env*>txn.env
    cdef PageVersion* version
    if not count_pages(txn, 1):
        return NULL
    version = new_version(txn, page, VERSION_FRESH)
    if version == NULL:
        return NULL
    version.data = scratch_take_buffer(&env.scratch, 1)
    if version.data == NULL:
        scratch_give_version(&env.scratch, version)
        return <PageVersion*>no_memory(txn)
    memset(version.data, 0, PAGE_SIZE)
    fill_header(txn, version.data, page, type, tree, 1)
    if not push_version(txn, version):
        scratch_drop_data(&env.scratch, version)
        scratch_give_version(&env.scratch, version)
        return <PageVersion*>no_memory(txn)
    return version


cdef uint8_t* new_run(Txn* txn, uint64_t page, uint32_t run_pages, uint8_t type, uint16_t tree) noexcept nogil:
    cdef Env* env = <Env*>txn.env
    cdef PageVersion* version
    cdef RunBuffer* run
    cdef uint32_t i
    if not count_pages(txn, run_pages):
        return NULL
    run = scratch_take_run(&env.scratch, run_pages)
    if run == NULL:
        return <uint8_t*>no_memory(txn)
    run.references = 1             # this function's, so that a failure half-way gives the run back
    for i in range(run_pages):
        version = new_version(txn, page + i, VERSION_FRESH | (VERSION_RAW if i else 0))
        if version == NULL:
            break
        version.run = run
        version.data = run.data + (<uint64_t>i << PAGE_SHIFT)
        run.references += 1
        if not push_version(txn, version):
            scratch_drop_data(&env.scratch, version)
            scratch_give_version(&env.scratch, version)
            no_memory(txn)
            break
    scratch_drop_run(&env.scratch, run)
    if txn.error.code != OK:
        return NULL
    memset(run.data, 0, sizeof(PageHeader))
    fill_header(txn, run.data, page, type, tree, run_pages)
    return run.data


cdef uint8_t* txn_allocate(Txn* txn, uint32_t run_pages, uint8_t type, uint16_t tree, uint64_t* page) noexcept nogil:
    cdef Env* env = <Env*>txn.env
    cdef PageVersion* version
    cdef uint8_t* bitmap
    cdef uint64_t found
    if not writable(txn):
        return NULL
    if run_pages == 0 or run_pages > RUN_PAGES_MAX:
        error_set(&txn.error, E_TOO_LARGE, "a run has 1 to %d pages", <int>RUN_PAGES_MAX)
        return NULL
    found = find_free(txn, run_pages)
    if found == UINT64_MAX and txn.error.code == OK and grow_file(txn, run_pages):
        found = find_free(txn, run_pages)
    if found == UINT64_MAX:
        error_set(&txn.error, E_ASSERTION, "no %u free pages in a row although the file has grown", run_pages)
        return NULL
    bitmap = txn_modify(txn, bitmap_page(found // BITMAP_PAGES))
    if bitmap == NULL:
        return NULL
    if not bitmap_change(bitmap, <uint32_t>(found % BITMAP_PAGES), run_pages, True):
        error_set(&txn.error, E_ASSERTION, "page %llu is allocated twice", <unsigned long long>found)
        return NULL
    txn.stamp += 1
    env.writer.allocation.free_pages -= run_pages
    env.writer.allocation.hint = found + run_pages
    page[0] = found
    if run_pages > 1:
        return new_run(txn, found, run_pages, type, tree)
    version = new_page(txn, found, type, tree)
    return NULL if version == NULL else version.data


cdef bint free_page(Txn* txn, uint64_t page) noexcept nogil:
    """A page that lives in the map alone needs nothing; versions get a mark on top, so that no checkpoint writes
    them."""
    cdef Env* env = <Env*>txn.env
    cdef void** slot = scratch_slot(&env.scratch, page)
    cdef PageVersion* version
    if slot == NULL:
        no_memory(txn)
        return False
    if <uint64_t>atomic_load_pointer(slot) <= SLOT_VERIFIED:
        return True
    version = new_version(txn, page, VERSION_FREED)
    return version != NULL and push_version(txn, version)


cdef int txn_free(Txn* txn, uint64_t page, uint32_t run_pages) noexcept nogil:
    cdef Env* env = <Env*>txn.env
    cdef uint64_t index = page // BITMAP_PAGES
    cdef uint8_t* bitmap
    cdef uint32_t i
    if not writable(txn):
        return txn.error.code
    if page <= PAGE_CATALOG or page == PAGE_HEADER_B or page == bitmap_page(index) \
            or run_pages == 0 or page + run_pages > env.writer.allocation.file_pages \
            or page % BITMAP_PAGES + run_pages > BITMAP_PAGES:
        error_set(&txn.error, E_ASSERTION, "pages %llu+%u cannot be freed", <unsigned long long>page, run_pages)
        return txn.error.code
    bitmap = txn_modify(txn, bitmap_page(index))
    if bitmap == NULL:
        return txn.error.code
    if not bitmap_change(bitmap, <uint32_t>(page % BITMAP_PAGES), run_pages, False):
        error_set(&txn.error, E_ASSERTION, "pages %llu+%u are freed twice", <unsigned long long>page, run_pages)
        return txn.error.code
    for i in range(run_pages):
        if not free_page(txn, page + i):
            return txn.error.code
    txn.stamp += 1
    env.writer.allocation.free_pages += run_pages
    env.largest_free[index] = FREESPACE_NONE
    return OK


# Undoing.

cdef void unlink_version(Env* env, PageVersion* version) noexcept nogil:
    """The newest of its page goes; nothing but the writer changes a slot whose newest version is the writer's."""
    cdef void** slot = scratch_slot(&env.scratch, version.page)
    if version.older != NULL:
        atomic_store_pointer(slot, version.older)
    elif version.flags & VERSION_MAP_VERIFIED:
        atomic_store_pointer(slot, <void*>SLOT_VERIFIED)
    else:
        atomic_store_pointer(slot, <void*>SLOT_UNVERIFIED)


cdef void undo_until(Txn* txn, PageVersion* stop) noexcept nogil:
    """Page images go back to the pool at once, for no reader looks at them; the versions themselves may be stepped
    over."""
    cdef Env* env = <Env*>txn.env
    cdef PageVersion* first = env.writer.touched
    cdef PageVersion* last = NULL
    cdef PageVersion* version = first
    while version != stop:
        unlink_version(env, version)
        scratch_drop_data(&env.scratch, version)
        last = version
        version = version.next
    if last != NULL:
        scratch_retire(&env.scratch, first, last)
    env.writer.touched = stop
    forget_hints(env)


cdef void txn_undo(Txn* txn) noexcept nogil:
    undo_until(txn, NULL)
    (<Env*>txn.env).writer.touched_pages = 0


cdef int txn_savepoint(Txn* txn) noexcept nogil:
    cdef WriterState* writer = &(<Env*>txn.env).writer
    if not writable(txn):
        return txn.error.code
    if writer.savepoint_active:
        error_set(&txn.error, E_INVALID, "a savepoint is already there")
        return txn.error.code
    writer.savepoint += 1
    writer.savepoint_active = True
    writer.savepoint_touched = writer.touched
    writer.savepoint_pages = writer.touched_pages
    writer.savepoint_allocation = writer.allocation
    return OK


cdef int txn_rollback(Txn* txn) noexcept nogil:
    """Clears an error that came from what is undone; damage and failed checks stay."""
    cdef WriterState* writer = &(<Env*>txn.env).writer
    if not writer.savepoint_active:
        error_set(&txn.error, E_INVALID, "there is no savepoint to go back to")
        return txn.error.code
    undo_until(txn, writer.savepoint_touched)
    txn.stamp += 1
    writer.touched_pages = writer.savepoint_pages
    writer.allocation = writer.savepoint_allocation
    writer.savepoint_active = False
    if txn.error.code in (E_INVALID, E_TOO_LARGE, E_DISK_FULL, E_NO_MEMORY):
        error_clear(&txn.error)
    return txn.error.code


cdef void txn_release(Txn* txn) noexcept nogil:
    """What the savepoint kept of pages that changed since then is not needed any more."""
    cdef Env* env = <Env*>txn.env
    cdef PageVersion* version = env.writer.touched
    if not env.writer.savepoint_active:
        return
    env.writer.savepoint_active = False
    while version != env.writer.savepoint_touched:
        if version.older != NULL and version.older.txn_id == txn.id and version.older.data != NULL:
            scratch_drop_data(&env.scratch, version.older)
            env.writer.touched_pages -= 1
        version = version.next


# Finishing.

cdef bint image_sound(Txn* txn, PageVersion* version) noexcept nogil:
    """What every page must satisfy is asserted once more before it is written."""
    cdef const PageHeader* header = <const PageHeader*>version.data
    if version.flags & VERSION_RAW:
        return True
    if header.page != version.page or header.txn_id != txn.id \
            or header.env_id_short != (<Env*>txn.env).pager.env_id_short:
        return False
    if header.type == PAGE_TYPE_LEAF or header.type == PAGE_TYPE_BRANCH:
        return sizeof(PageHeader) <= header.lower <= header.upper <= PAGE_SIZE
    return True


cdef int txn_finish(Txn* txn, PageVersion** first, uint64_t* pages) noexcept nogil:
    cdef Env* env = <Env*>txn.env
    cdef PageVersion* version = env.writer.touched
    cdef PageVersion* kept = NULL
    cdef PageVersion* dropped = NULL
    cdef PageVersion* dropped_last = NULL
    cdef PageVersion* next
    first[0] = NULL
    pages[0] = 0
    if env.writer.savepoint_active:
        error_set(&txn.error, E_INVALID, "the transaction ends with an open savepoint")
    while version != NULL and txn.error.code == OK:
        if version.data != NULL and not image_sound(txn, version):
            error_set(&txn.error, E_ASSERTION, "page %llu as changed by transaction %llu breaks its own header",
                      <unsigned long long>version.page, <unsigned long long>txn.id)
        version = version.next
    if txn.error.code != OK:
        return txn.error.code
    version = env.writer.touched
    env.writer.touched = NULL
    while version != NULL:
        next = version.next
        if finish_version(env, version):
            version.next = kept
            kept = version
            pages[0] += 1 if version.data != NULL else 0
        else:
            if dropped_last == NULL:
                dropped_last = version
            version.next = dropped
            dropped = version
        version = next
    if dropped != NULL:
        scratch_retire(&env.scratch, dropped, dropped_last)
    first[0] = kept
    return OK


cdef bint finish_version(Env* env, PageVersion* version) noexcept nogil:
    """True: it stays, above a version of an older transaction. False: it lies below one that stays, or says nothing."""
    cdef PageVersion* older = version.older
    if version.flags & VERSION_COVERED:
        scratch_drop_data(&env.scratch, version)
        return False
    while older != NULL and older.txn_id == version.txn_id:
        older.flags |= VERSION_COVERED
        if older.older == NULL and older.flags & VERSION_MAP_VERIFIED:
            version.flags |= VERSION_MAP_VERIFIED
        older = older.older
    atomic_store_pointer(<void**>&version.older, older)
    if version.flags & VERSION_FREED and older == NULL:
        unlink_version(env, version)
        return False
    return True


cdef class Transaction:
    """A transaction of either kind, for modules that work on one and do not care which."""

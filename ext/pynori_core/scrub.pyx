"""The scrubber: reads pages of an open environment past the cache, some at a time, and says which are damaged.

A page is verified when it is first touched; what rots afterwards, or is never touched, is found here, while the journal
or a backup may still have it. One step is one snapshot. As long as it is open no checkpoint of a later state
writes, and pages that one of an earlier state is writing still have their versions in memory: so a page that is in use
and has no version must be whole in the file. A page that has one is passed over; its next image is on its way.

After a damaged first page of a run nothing tells how long the run was: pages that fail in a row are one finding.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from pynori_core.bits cimport atomic_load64, atomic_load_pointer
from pynori_core.disk cimport DISK_DIRECT, DISK_READ_ONLY, disk_error
from pynori_core.env cimport env_begin_read, env_end_read
from pynori_core.errors cimport E_CORRUPT, E_IO, OK, ErrorDetail, error_clear, error_exception, raise_error
from pynori_core.format cimport BITMAP_PAGES, PAGE_HEADER_A, PAGE_HEADER_B
from pynori_core.freespace cimport RUN_PAGES_MAX, bitmap_page, bitmap_test
from pynori_core.items cimport DocumentStore, store_enter_or_raise, store_leave
from pynori_core.pager cimport Pager, pager_verify_item
from pynori_core.scratch cimport SLOT_VERIFIED, scratch_slot
from pynori_core.state cimport Env
from pynori_core.txn cimport Txn, txn_page

cdef enum:
    STEP_FINDINGS_MAX = 32         # of one step; it ends there

cdef struct Finding:
    uint64_t page
    uint64_t pages                 # that failed in a row
    ErrorDetail error              # of the first

cdef struct Step:
    Env* env
    Pager direct                   # the environment's pager with a file that is read past the cache
    Txn txn
    uint64_t page                  # where the next step goes on; 0: the end was reached
    uint64_t pages_read
    Finding findings[STEP_FINDINGS_MAX]
    int finding_count


cdef bint has_version(Step* step, uint64_t page) noexcept nogil:
    cdef void** slot = scratch_slot(&step.env.scratch, page)
    return slot == NULL or <uint64_t>atomic_load_pointer(slot) > SLOT_VERIFIED


cdef uint64_t run_around(Step* step, uint64_t page) noexcept nogil:
    """The page behind the run that the page is an inner one of; 0 when it is none.

    Asked for a page whose predecessor was not read: the first of a step, whose place may have become the inside of a
    run since the last one, and the first behind pages that have versions, which may be the front of a run that is being
    freed or has just been written.
    """
    cdef ErrorDetail ignored
    cdef uint64_t back
    cdef uint32_t pages = 0
    for back in range(1, RUN_PAGES_MAX):
        if back >= page:
            return 0
        error_clear(&ignored)
        if pager_verify_item(&step.direct, page - back, &pages, &ignored) == OK:
            return page - back + pages if pages > back else 0
    return 0


cdef void found(Step* step, uint64_t page, const ErrorDetail* error) noexcept nogil:
    cdef Finding* last = &step.findings[step.finding_count - 1]
    if step.finding_count > 0 and last.page + last.pages == page:
        last.pages += 1
        return
    step.findings[step.finding_count].page = page
    step.findings[step.finding_count].pages = 1
    step.findings[step.finding_count].error = error[0]
    step.finding_count += 1


cdef int scrub_page(Step* step, uint64_t page, bint* is_sure, uint64_t* next) noexcept nogil:
    """One page or run that is in use; a code that is neither OK nor damage ends the step.

    is_sure: whether a page or run is known to begin here; then, whether one is known to begin at `next`.
    """
    cdef bint was_sure = is_sure[0]
    cdef ErrorDetail error
    cdef uint32_t pages = 1
    cdef uint64_t behind
    cdef int result
    next[0] = page + 1
    is_sure[0] = page == PAGE_HEADER_A or page == PAGE_HEADER_B
    if is_sure[0] or has_version(step, page):
        return OK
    is_sure[0] = True
    error_clear(&error)
    result = pager_verify_item(&step.direct, page, &pages, &error)
    step.pages_read += pages
    if result == OK:
        next[0] = page + pages
        return OK
    behind = 0 if was_sure else run_around(step, page)
    if behind != 0:
        next[0] = behind
        return OK
    if result != E_CORRUPT and result != E_IO:
        step.txn.error = error
        return result
    found(step, page, &error)
    return OK


cdef int scrub_pages(Step* step, uint64_t pages_max) noexcept nogil:
    """From step.page on, until pages_max were read or the end is reached."""
    cdef uint64_t file_pages = atomic_load64(&step.env.published_file_pages)
    cdef uint64_t page = step.page
    cdef bint is_sure = False
    cdef const uint8_t* bitmap
    cdef int result
    while page < file_pages and step.pages_read < pages_max and step.finding_count < STEP_FINDINGS_MAX:
        bitmap = txn_page(&step.txn, bitmap_page(page // BITMAP_PAGES))
        if bitmap == NULL:
            found(step, bitmap_page(page // BITMAP_PAGES), &step.txn.error)
            error_clear(&step.txn.error)
            page = (page // BITMAP_PAGES + 1) * BITMAP_PAGES
            continue
        if not bitmap_test(bitmap, <uint32_t>(page % BITMAP_PAGES)):
            page += 1
            is_sure = True
            continue
        result = scrub_page(step, page, &is_sure, &page)
        if result != OK:
            return result
    step.page = page if page < file_pages else 0
    return OK


cdef int scrub_step(Step* step, uint64_t pages_max, ErrorDetail* error) noexcept nogil:
    cdef Env* env = step.env
    cdef int result = env_begin_read(env, &step.txn)
    if result != OK:
        error[0] = step.txn.error
        return result
    memcpy(&step.direct, &env.pager, sizeof(Pager))
    result = env.disk.open(env.disk, env.pager.file.name, DISK_READ_ONLY | DISK_DIRECT, &step.direct.file)
    if result != 0:
        result = disk_error(error, result, b"open", env.pager.file.name, 0)
    else:
        result = scrub_pages(step, pages_max)
        error[0] = step.txn.error
        env.disk.close(step.direct.file)
    env_end_read(&step.txn)
    return result


def scrub(DocumentStore store not None, uint64_t page, uint64_t pages_max):
    """One step from a page on (0: from the beginning), without the GIL.

    Returns: (where to go on, 0 at the end; pages read; [(page, pages that failed in a row, why)]).
    Raises: Closed; DiskError when the file cannot be opened. A page that cannot be read is a finding.
    """
    cdef Step step
    cdef ErrorDetail error
    cdef int code, i
    memset(&step, 0, sizeof(Step))
    error_clear(&error)
    store_enter_or_raise(store)
    step.env = store.env
    step.page = page
    with nogil:
        code = scrub_step(&step, pages_max, &error)
    store_leave(store)
    if code != OK:
        raise_error(&error)
    findings = [(step.findings[i].page, step.findings[i].pages, str(error_exception(&step.findings[i].error)))
                for i in range(step.finding_count)]
    return step.page, step.pages_read, findings

"""Replay, the verdict on the end of the journals, and the durable break behind them.

A journal is followed as long as each record is whole and continues the chain. Where that ends, everything behind is
searched for a later record. Then: page images to the data file, sync; zeros over the rest of the last journal; later
journals away; a new journal; the header. Each step may be cut off and repeated.
"""

from libc.stdint cimport UINT64_MAX, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, qsort, realloc
from libc.string cimport memcmp, memcpy, memset

from pynori_core.bits cimport atomic_load_pointer, atomic_store_pointer
from pynori_core.checkpoint cimport flush_versions
from pynori_core.disk cimport DISK_NAME_MAX, DISK_SYNC_DATA, DiskFile, disk_error, disk_write
from pynori_core.errors cimport E_CORRUPT, E_NO_MEMORY, E_NOT_FOUND, E_TOO_LARGE, E_VERSION, OK, error_clear, error_set
from pynori_core.format cimport (
    ENTRY_RAW, ENTRY_WHOLE, FORMAT_VERSION, JOURNAL_FLAG_LZ4, JOURNAL_FLAG_NEXT, MAGIC_RECORD, PAGE_SHIFT, PAGE_SIZE,
    PAGE_TYPE_RUN, SECTOR_SIZE, FileHeader, PageHeader, RecordHeader,
)
from pynori_core.journal cimport (
    JOURNAL_BYTES_FIRST, JournalReader, journal_add_spare, journal_bytes_max, journal_name, journal_number,
    journal_resume, journal_start, reader_bytes, reader_close, reader_open,
)
from pynori_core.pager cimport pager_check_image, pager_grow, pager_read, pager_store_header, pager_sync
from pynori_core.record cimport (
    RecordBuffer, RecordCursor, record_apply, record_buffer_release, record_header_valid, record_next, record_open,
    record_payload_valid, record_size, record_sizes_valid,
)
from pynori_core.scratch cimport (
    SLOT_CHUNK_PAGES, SLOT_CHUNKS_MAX, SLOT_VERIFIED, VERSION_RAW, PageVersion, RunBuffer, scratch_clear_dirty,
    scratch_drop_data, scratch_drop_run, scratch_give_version, scratch_mark_dirty, scratch_next_dirty, scratch_slot,
    scratch_take_buffer, scratch_take_run, scratch_take_version,
)
from pynori_core.freespace cimport RUN_PAGES_MAX

cdef enum:
    NEW_JOURNAL_BYTES_MAX = 4194304        # a start should not wait for large journals to be filled with zeros
    SCAN_STEP_BYTES = 1048576

cdef struct Listing:               # numbers of the journals in the directory, ascending
    uint64_t* numbers
    int count
    bint failed

cdef struct Recovery:
    Env* env
    Listing listing
    JournalReader reader           # of the journal that is being followed
    RecordBuffer plain
    uint64_t offset                # place of the next record
    uint64_t chain
    uint64_t last_txn
    uint64_t user_txn
    uint64_t file_pages
    uint64_t limit_txn             # accept_loss_after, or UINT64_MAX
    bint tail_clean                # behind the last record there are zeros only
    uint8_t* page                  # PAGE_SIZE bytes


cdef int recovery_run(Env* env, uint64_t accept_loss_after, ErrorDetail* error) noexcept nogil:
    cdef Recovery recovery
    cdef int result
    memset(&recovery, 0, sizeof(Recovery))
    recovery.env = env
    recovery.offset = env.header.journal_offset
    recovery.chain = env.header.journal_chain
    recovery.last_txn = env.header.checkpoint_txn
    recovery.user_txn = env.header.user_txn
    recovery.file_pages = env.header.file_pages
    recovery.limit_txn = accept_loss_after if accept_loss_after else UINT64_MAX
    recovery.tail_clean = True
    recovery.page = <uint8_t*>calloc(1, PAGE_SIZE)
    if recovery.page == NULL:
        error_set(error, E_NO_MEMORY, "no memory for recovery")
        return E_NO_MEMORY
    result = list_journals(&recovery, error)
    if result == OK:
        result = open_needed(&recovery, env.header.journal_first, error)
    if result == OK and recovery.limit_txn == UINT64_MAX:
        result = check_beginning(&recovery, error)
    if result == OK:
        result = follow(&recovery, error)
    if result == OK:
        result = judge_tail(&recovery, error)
    if result == OK and not env.read_only:
        if recovery.last_txn == env.header.checkpoint_txn and recovery.tail_clean:
            result = journal_resume(&env.journal, recovery.reader.number, recovery.offset, recovery.chain, error)
            keep_spares(&recovery, recovery.reader.number)
        else:
            result = make_break(&recovery, error)
    if result == OK:
        env.published_txn = recovery.last_txn
        env.published_user_txn = recovery.user_txn
        env.published_file_pages = recovery.file_pages
    reader_close(&recovery.reader)
    record_buffer_release(&recovery.plain)
    free(recovery.listing.numbers)
    free(recovery.page)
    return result


# The journals that are there.

cdef void list_entry(void* context, const char* name) noexcept nogil:
    cdef Listing* listing = <Listing*>context
    cdef uint64_t number
    cdef uint64_t* grown
    if not journal_number(name, &number):
        return
    grown = <uint64_t*>realloc(listing.numbers, (listing.count + 1) * sizeof(uint64_t))
    if grown == NULL:
        listing.failed = True
        return
    listing.numbers = grown
    grown[listing.count] = number
    listing.count += 1


cdef int compare_numbers(const void* a, const void* b) noexcept nogil:
    cdef uint64_t first = (<const uint64_t*>a)[0]
    cdef uint64_t second = (<const uint64_t*>b)[0]
    return (first > second) - (first < second)


cdef int list_journals(Recovery* recovery, ErrorDetail* error) noexcept nogil:
    cdef Env* env = recovery.env
    cdef int result = env.disk.list(env.disk, list_entry, &recovery.listing)
    if result != 0:
        return disk_error(error, result, b"list", b"the directory of the environment", 0)
    if recovery.listing.failed:
        error_set(error, E_NO_MEMORY, "no memory for the list of journals")
        return E_NO_MEMORY
    if recovery.listing.count > 0:
        qsort(recovery.listing.numbers, recovery.listing.count, sizeof(uint64_t), compare_numbers)
    return OK


cdef int open_needed(Recovery* recovery, uint64_t number, ErrorDetail* error) noexcept nogil:
    """A journal that must be there; missing is damage (rule D11)."""
    cdef ErrorDetail cause
    cdef char name[DISK_NAME_MAX]
    cdef int result
    error_clear(&cause)
    reader_close(&recovery.reader)
    result = reader_open(&recovery.reader, recovery.env.disk, number, &cause)
    if result == E_NOT_FOUND:
        journal_name(number, name)
        error_set(error, E_CORRUPT, "%s is missing: transactions after %llu are lost; nothing was changed", name,
                  <unsigned long long>recovery.last_txn)
        return E_CORRUPT
    if result != OK:
        error[0] = cause
    return result


cdef int check_beginning(Recovery* recovery, ErrorDetail* error) noexcept nogil:
    """The record before the place where replay begins is the one that the header names (I10): so the journal is the
    one that was written here last, and not an older, a foreign or an empty one under its name."""
    cdef const RecordHeader* header
    cdef const uint8_t* data
    cdef uint64_t start = recovery.offset
    cdef uint64_t step, i
    if start > recovery.reader.size_bytes:
        start = 0                  # the journal was cut
    while start > 0:
        step = start if start < SCAN_STEP_BYTES else SCAN_STEP_BYTES
        start -= step
        data = reader_bytes(&recovery.reader, start, step, error)
        if data == NULL:
            return error.code
        i = step
        while i > 0:
            i -= SECTOR_SIZE
            header = <const RecordHeader*>(data + i)
            if header.header_hash == recovery.chain and record_header_valid(header, recovery.env.pager.env_id) \
                    and start + i + record_size(header.stored_size) == recovery.offset:
                return OK
    if recovery.offset == 0:
        return OK
    error_set(error, E_CORRUPT, "%s is damaged or another one: the record of transaction %llu does not end at offset "
              "%llu; transactions after it may be lost; nothing was changed", recovery.reader.file.name,
              <unsigned long long>recovery.last_txn, <unsigned long long>recovery.offset)
    error.offset = recovery.offset
    return E_CORRUPT


# Following the chain.

cdef bint continues(Recovery* recovery, const RecordHeader* header) noexcept nogil:
    if not record_header_valid(header, recovery.env.pager.env_id) or header.journal != recovery.reader.number:
        return False
    if header.previous_hash != recovery.chain or not record_sizes_valid(header):
        return False
    if recovery.offset + record_size(header.stored_size) > recovery.reader.size_bytes:
        return False
    if header.flags & JOURNAL_FLAG_NEXT:
        return header.txn_id == recovery.last_txn
    return header.txn_id == recovery.last_txn + 1


cdef int refuse_unknown(Recovery* recovery, const RecordHeader* header, ErrorDetail* error) noexcept nogil:
    """A whole record in its place that a newer build wrote must not be taken for a torn one."""
    cdef unsigned int flags = header.flags & ~<unsigned int>(JOURNAL_FLAG_LZ4 | JOURNAL_FLAG_NEXT)
    if header.previous_hash != recovery.chain or not record_header_valid(header, recovery.env.pager.env_id) \
            or (header.version == FORMAT_VERSION and flags == 0):
        return OK
    error_set(error, E_VERSION, "%s: the record of transaction %llu at offset %llu has format version %u and flags "
              "0x%x; this build knows version %d", recovery.reader.file.name, <unsigned long long>header.txn_id,
              <unsigned long long>recovery.offset, header.version, header.flags, FORMAT_VERSION)
    error.offset = recovery.offset
    return E_VERSION


cdef int follow(Recovery* recovery, ErrorDetail* error) noexcept nogil:
    """Leaves `offset` at the first place that no record continues."""
    cdef RecordHeader header
    cdef const uint8_t* data
    cdef int result
    while recovery.offset + SECTOR_SIZE <= recovery.reader.size_bytes:
        data = reader_bytes(&recovery.reader, recovery.offset, SECTOR_SIZE, error)
        if data == NULL:
            return error.code
        memcpy(&header, data, sizeof(RecordHeader))
        if refuse_unknown(recovery, &header, error) != OK:
            return error.code
        if not continues(recovery, &header):
            return OK
        if header.flags & JOURNAL_FLAG_NEXT:
            recovery.chain = header.header_hash
            recovery.offset = 0
            result = open_needed(recovery, recovery.reader.number + 1, error)
            if result != OK:
                return result
            continue
        if header.txn_id > recovery.limit_txn:
            return OK
        data = reader_bytes(&recovery.reader, recovery.offset, record_size(header.stored_size), error)
        if data == NULL:
            return error.code
        if not record_payload_valid(&header, data + sizeof(RecordHeader)):
            return OK
        result = replay(recovery, &header, data + sizeof(RecordHeader), error)
        if result != OK:
            return result
        recovery.offset += record_size(header.stored_size)
    return OK


cdef int replay(Recovery* recovery, const RecordHeader* header, const uint8_t* stored,
                ErrorDetail* error) noexcept nogil:
    cdef Env* env = recovery.env
    cdef RecordCursor cursor
    cdef int result = record_open(&cursor, header, stored, &recovery.plain, error)
    if result == OK and header.file_pages > <uint64_t>SLOT_CHUNKS_MAX * SLOT_CHUNK_PAGES:
        error_set(error, E_CORRUPT, "%s: the record of transaction %llu at offset %llu wants a data file of %llu pages",
                  recovery.reader.file.name, <unsigned long long>header.txn_id, <unsigned long long>recovery.offset,
                  <unsigned long long>header.file_pages)
        error.offset = recovery.offset
        result = E_CORRUPT
    if result == OK:
        result = grow_to(env, header.file_pages, error)
    if result != OK:
        return result
    result = record_next(&cursor)
    while result == OK:
        result = replay_page(recovery, header, &cursor, error)
        if result == OK:
            result = record_next(&cursor)
        elif result == E_NOT_FOUND:
            result = E_CORRUPT     # not the end of the payload
    if result != E_NOT_FOUND:
        error_set(error, E_CORRUPT, "%s: the record of transaction %llu at offset %llu is whole, yet makes no sense",
                  recovery.reader.file.name, <unsigned long long>header.txn_id,
                  <unsigned long long>recovery.offset)
        error.offset = recovery.offset
        return error.code
    recovery.chain = header.header_hash
    recovery.last_txn = header.txn_id
    recovery.file_pages = header.file_pages
    if header.user_txn_last >= header.user_txn_first:
        recovery.user_txn = header.user_txn_last
    if env.scratch.used_bytes > RECOVERY_BYTES_MAX and not env.read_only:
        return flush_images(recovery, error)
    if env.scratch.used_bytes > env.scratch_bytes_max:
        error_set(error, E_TOO_LARGE, "the journals hold more changed pages than fit in memory for reading only")
        return E_TOO_LARGE
    return OK


cdef int grow_to(Env* env, uint64_t pages, ErrorDetail* error) noexcept nogil:
    if pages <= env.pager.file_pages:
        return OK
    if env.read_only:
        env.pager.file_pages = pages       # what is used there has a version; the map is not touched
        return OK
    return pager_grow(&env.pager, pages, error)


cdef int replay_page(Recovery* recovery, const RecordHeader* header, const RecordCursor* cursor,
                     ErrorDetail* error) noexcept nogil:
    """Brings the image of one page up to date; images belong to recovery alone and are changed in place."""
    cdef Env* env = recovery.env
    cdef void** slot = scratch_slot(&env.scratch, cursor.page)
    cdef PageVersion* version
    cdef int result
    if slot == NULL:
        error_set(error, E_NO_MEMORY, "no memory for a chunk of the slot directory")
        return E_NO_MEMORY
    version = <PageVersion*>atomic_load_pointer(slot)
    if <uint64_t>version <= SLOT_VERIFIED:
        version = NULL
    if cursor.flags & ENTRY_RAW:
        # The first page of its run came before it in the same record and made room for all of them.
        if version == NULL or version.run == NULL or version.txn_id != header.txn_id:
            return E_CORRUPT
        record_apply(cursor, version.data)
        return OK
    if cursor.flags & ENTRY_WHOLE:
        record_apply(cursor, recovery.page)
    elif version != NULL:
        record_apply(cursor, version.data)
        return OK
    else:
        result = pager_read(&env.pager, cursor.page, 1, recovery.page, error)
        if result == OK:
            result = pager_check_image(&env.pager, cursor.page, recovery.page, error)
        if result != OK:
            return result
        record_apply(cursor, recovery.page)
    if (<PageHeader*>recovery.page).type == PAGE_TYPE_RUN:
        return place_run(env, header.txn_id, cursor.page, recovery.page, error)
    return place_page(env, header.txn_id, cursor.page, recovery.page, error)


cdef PageVersion* place_version(Env* env, uint64_t txn_id, uint64_t page) noexcept nogil:
    """A version for the page without data, in its slot."""
    cdef void** slot = scratch_slot(&env.scratch, page)
    cdef PageVersion* version
    if slot == NULL:
        return NULL
    version = <PageVersion*>atomic_load_pointer(slot)
    if <uint64_t>version <= SLOT_VERIFIED:
        version = scratch_take_version(&env.scratch)
        if version == NULL:
            return NULL
        version.page = page
        atomic_store_pointer(slot, version)
        scratch_mark_dirty(&env.scratch, page)
    else:
        scratch_drop_data(&env.scratch, version)
    version.txn_id = txn_id
    version.flags = 0
    return version


cdef int no_memory(ErrorDetail* error) noexcept nogil:
    error_set(error, E_NO_MEMORY, "no memory for page images")
    return E_NO_MEMORY


cdef int place_page(Env* env, uint64_t txn_id, uint64_t page, const uint8_t* image, ErrorDetail* error) noexcept nogil:
    cdef PageVersion* version = place_version(env, txn_id, page)
    if version == NULL:
        return no_memory(error)
    version.data = scratch_take_buffer(&env.scratch, 1)
    if version.data == NULL:
        return no_memory(error)
    memcpy(version.data, image, PAGE_SIZE)
    return OK


cdef int place_run(Env* env, uint64_t txn_id, uint64_t page, const uint8_t* image, ErrorDetail* error) noexcept nogil:
    cdef uint32_t pages = (<const PageHeader*>image).run_pages
    cdef PageVersion* version
    cdef RunBuffer* run
    cdef uint32_t i
    if pages == 0 or pages > RUN_PAGES_MAX or page + pages > env.pager.file_pages:
        return E_CORRUPT
    run = scratch_take_run(&env.scratch, pages)
    if run == NULL:
        return no_memory(error)
    memset(run.data, 0, <uint64_t>pages << PAGE_SHIFT)
    memcpy(run.data, image, PAGE_SIZE)
    run.references = 1
    for i in range(pages):
        version = place_version(env, txn_id, page + i)
        if version == NULL:
            scratch_drop_run(&env.scratch, run)
            return no_memory(error)
        version.run = run
        version.data = run.data + (<uint64_t>i << PAGE_SHIFT)
        version.flags = VERSION_RAW if i else 0
        run.references += 1
    scratch_drop_run(&env.scratch, run)
    return OK


cdef int flush_images(Recovery* recovery, ErrorDetail* error) noexcept nogil:
    """All images to the data file; the journals keep them, so nothing is synced before the end."""
    cdef Env* env = recovery.env
    cdef uint64_t pages = 0
    cdef uint64_t page
    cdef void** slot
    cdef PageVersion* version
    cdef int result = flush_versions(env, UINT64_MAX, &pages, error)
    if result != OK:
        return result
    page = scratch_next_dirty(&env.scratch, 0)
    while page != UINT64_MAX:
        slot = scratch_slot(&env.scratch, page)
        version = <PageVersion*>atomic_load_pointer(slot)
        atomic_store_pointer(slot, NULL)
        if <uint64_t>version > SLOT_VERIFIED:
            scratch_drop_data(&env.scratch, version)
            scratch_give_version(&env.scratch, version)
        scratch_clear_dirty(&env.scratch, page)
        page = scratch_next_dirty(&env.scratch, page + 1)
    return OK


# Torn tail or damage (rule D10).

cdef bint all_zero(const uint8_t* data, uint64_t size) noexcept nogil:
    cdef const uint64_t* words = <const uint64_t*>data
    cdef uint64_t i
    for i in range(size >> 3):
        if words[i] != 0:
            return False
    return True


cdef bint is_later(Recovery* recovery, JournalReader* reader, const RecordHeader* header,
                   uint64_t offset) noexcept nogil:
    """A record behind the last one that was replayed, other than the one that was being written when it ended."""
    if not record_header_valid(header, recovery.env.pager.env_id) or header.txn_id <= recovery.last_txn:
        return False
    return not (reader == &recovery.reader and offset == recovery.offset
                and header.txn_id == recovery.last_txn + 1 and header.previous_hash == recovery.chain)


cdef int misplaced(Recovery* recovery, JournalReader* reader, const RecordHeader* header, uint64_t offset,
                   ErrorDetail* error) noexcept nogil:
    """Refuses whole records that cannot be where they are: of another environment, or of this very journal and older
    than the end of the chain. A torn write leaves neither, and a recycled journal has records of lower numbers."""
    if header.magic != MAGIC_RECORD or recovery.limit_txn != UINT64_MAX \
            or not record_header_valid(header, header.env_id):
        return OK
    if memcmp(header.env_id, recovery.env.pager.env_id, 16) != 0:
        error_set(error, E_CORRUPT, "%s holds a record of another environment at offset %llu; nothing was changed",
                  reader.file.name, <unsigned long long>offset)
    elif header.journal == reader.number and header.txn_id <= recovery.last_txn:
        error_set(error, E_CORRUPT, "%s is damaged at offset %llu: the record of transaction %llu lies there; "
                  "transactions after %llu may be lost; nothing was changed", reader.file.name,
                  <unsigned long long>offset, <unsigned long long>header.txn_id, <unsigned long long>recovery.last_txn)
    else:
        return OK
    error.offset = offset
    return E_CORRUPT


cdef int scan(Recovery* recovery, JournalReader* reader, uint64_t offset, uint64_t* found_txn, uint64_t* found_offset,
              ErrorDetail* error) noexcept nogil:
    """Looks at every sector from `offset` on for a record later than the last one; remembers whether all is zero."""
    cdef const RecordHeader* header
    cdef const uint8_t* data
    cdef uint64_t step
    cdef uint64_t i
    while offset < reader.size_bytes:
        step = reader.size_bytes - offset if reader.size_bytes - offset < SCAN_STEP_BYTES else SCAN_STEP_BYTES
        data = reader_bytes(reader, offset, step, error)
        if data == NULL:
            return error.code
        if not all_zero(data, step):
            recovery.tail_clean = False
            i = 0
            while i < step:
                header = <const RecordHeader*>(data + i)
                if misplaced(recovery, reader, header, offset + i, error) != OK:
                    return error.code
                if is_later(recovery, reader, header, offset + i):
                    found_txn[0] = header.txn_id
                    found_offset[0] = offset + i
                    return OK
                i += SECTOR_SIZE
        offset += step
    return OK


cdef int judge_tail(Recovery* recovery, ErrorDetail* error) noexcept nogil:
    cdef JournalReader later
    cdef uint64_t found_txn = 0
    cdef uint64_t found_offset = 0
    cdef uint64_t found_journal = recovery.reader.number
    cdef bint clean
    cdef int i
    cdef int result = scan(recovery, &recovery.reader, recovery.offset, &found_txn, &found_offset, error)
    for i in range(recovery.listing.count):
        if result != OK or found_txn != 0:
            break
        if recovery.listing.numbers[i] <= recovery.reader.number:
            continue
        clean = recovery.tail_clean
        result = reader_open(&later, recovery.env.disk, recovery.listing.numbers[i], error)
        if result == OK:
            found_journal = later.number
            result = scan(recovery, &later, 0, &found_txn, &found_offset, error)
        reader_close(&later)
        recovery.tail_clean = clean
    if result != OK or found_txn == 0:
        return result
    recovery.tail_clean = False
    if recovery.limit_txn != UINT64_MAX and recovery.last_txn >= recovery.limit_txn:
        return OK                  # the loss was accepted
    error_set(error, E_CORRUPT, "%s is damaged at offset %llu: the record of transaction %llu is not whole, but "
              "transaction %llu is in journal.%016llx; nothing was changed",
              recovery.reader.file.name, <unsigned long long>recovery.offset,
              <unsigned long long>(recovery.last_txn + 1), <unsigned long long>found_txn,
              <unsigned long long>found_journal)
    error.offset = recovery.offset
    return E_CORRUPT


# The durable break (rule D9).

cdef int zero_tail(Recovery* recovery, ErrorDetail* error) noexcept nogil:
    cdef Env* env = recovery.env
    cdef DiskFile* file = NULL
    cdef uint8_t* zeros
    cdef uint64_t offset = recovery.offset
    cdef uint64_t step
    cdef int result, closed
    if recovery.tail_clean:
        return OK
    zeros = <uint8_t*>calloc(1, SCAN_STEP_BYTES)
    if zeros == NULL:
        return no_memory(error)
    result = env.disk.open(env.disk, recovery.reader.file.name, 0, &file)
    while result == 0 and offset < recovery.reader.size_bytes:
        step = recovery.reader.size_bytes - offset
        step = step if step < SCAN_STEP_BYTES else SCAN_STEP_BYTES
        result = disk_write(file, zeros, step, offset)
        offset += step
    if result == 0:
        result = env.disk.sync(file, DISK_SYNC_DATA)
    if file != NULL:
        closed = env.disk.close(file)
        result = result if result != 0 else closed
    free(zeros)
    if result != 0:
        return disk_error(error, result, b"clear the tail of", recovery.reader.file.name, recovery.offset)
    return OK


cdef int remove_later(Recovery* recovery, ErrorDetail* error) noexcept nogil:
    """Journals behind the break go, durably: what they hold must never be found again."""
    cdef Env* env = recovery.env
    cdef char name[DISK_NAME_MAX]
    cdef int i, result
    cdef bint removed = False
    for i in range(recovery.listing.count):
        if recovery.listing.numbers[i] > recovery.reader.number:
            journal_name(recovery.listing.numbers[i], name)
            result = env.disk.unlink(env.disk, name)
            if result != 0:
                return disk_error(error, result, b"remove", name, 0)
            removed = True
    if removed:
        result = env.disk.sync_dir(env.disk)
        if result != 0:
            return disk_error(error, result, b"sync", b"the directory of the environment", 0)
    return OK


cdef void keep_spares(Recovery* recovery, uint64_t current) noexcept nogil:
    """Journals that are needed no more: of use again unless they are too large, or hold records of a lost future."""
    cdef Env* env = recovery.env
    cdef JournalReader reader
    cdef ErrorDetail ignored
    cdef char name[DISK_NAME_MAX]
    cdef uint64_t size_bytes
    cdef int i
    for i in range(recovery.listing.count):
        if recovery.listing.numbers[i] == current:
            continue
        error_clear(&ignored)
        size_bytes = 0
        if reader_open(&reader, env.disk, recovery.listing.numbers[i], &ignored) == OK:
            size_bytes = reader.size_bytes
            reader_close(&reader)
        if recovery.limit_txn == UINT64_MAX and JOURNAL_BYTES_FIRST <= size_bytes <= journal_bytes_max():
            journal_add_spare(&env.journal, recovery.listing.numbers[i], size_bytes)
        else:
            journal_name(recovery.listing.numbers[i], name)
            env.disk.unlink(env.disk, name)


cdef int make_break(Recovery* recovery, ErrorDetail* error) noexcept nogil:
    cdef Env* env = recovery.env
    cdef FileHeader header
    cdef uint64_t size_bytes = recovery.reader.size_bytes
    cdef int result = flush_images(recovery, error)
    if result == OK:
        result = pager_sync(&env.pager, error)
    if result == OK:
        result = zero_tail(recovery, error)
    if result == OK:
        result = remove_later(recovery, error)
    size_bytes = size_bytes if size_bytes < NEW_JOURNAL_BYTES_MAX else NEW_JOURNAL_BYTES_MAX
    size_bytes = size_bytes if size_bytes > JOURNAL_BYTES_FIRST else JOURNAL_BYTES_FIRST
    if result == OK:
        result = journal_start(&env.journal, recovery.reader.number + 1, size_bytes, True, error)
    if result != OK:
        return result
    env.journal.chain = recovery.chain
    memcpy(&header, &env.header, sizeof(FileHeader))
    header.checkpoint_txn = recovery.last_txn
    header.user_txn = recovery.user_txn
    header.file_pages = recovery.file_pages
    header.journal_first = recovery.reader.number + 1
    header.journal_offset = 0
    header.journal_chain = recovery.chain
    result = pager_store_header(&env.pager, &header, error)
    if result != OK:
        return result
    memcpy(&env.header, &header, sizeof(FileHeader))
    while recovery.listing.count > 0 and recovery.listing.numbers[recovery.listing.count - 1] > recovery.reader.number:
        recovery.listing.count -= 1
    keep_spares(recovery, header.journal_first)
    return OK

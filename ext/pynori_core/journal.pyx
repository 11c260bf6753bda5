"""Files of the journal: creating, filling, chaining, rolling over, recycling, and reading back."""

from libc.errno cimport EEXIST, ENOENT, ENOMEM
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free, strtoull
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memset, strlen, strncmp

from pynori_core.bits cimport atomic_add64
from pynori_core.disk cimport (
    DISK_CREATE, DISK_DIRECT, DISK_NAME_MAX, DISK_READ_ONLY, DISK_SYNC_DATA, DISK_SYNC_FULL, disk_error, disk_write,
)
from pynori_core.errors cimport (
    E_ASSERTION, E_BUSY, E_CORRUPT, E_DISK_FULL, E_NO_MEMORY, E_NOT_FOUND, OK, error_clear, error_set,
)
from pynori_core.format cimport FORMAT_VERSION, JOURNAL_FLAG_NEXT, MAGIC_RECORD, SECTOR_SIZE
from pynori_core.record cimport record_buffer_release, record_buffer_reserve, record_header_hash, record_size
from pynori_core.threads cimport mutex_destroy, mutex_init, mutex_lock, mutex_unlock

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void** memory, size_t alignment, size_t size) noexcept

cdef enum:
    ZERO_STEP_BYTES = 1048576      # zeros written at a time into a new journal
    READ_STEP_BYTES = 1048576      # read ahead of a reader
    NUMBER_DIGITS = 16

cdef uint64_t size_limit = JOURNAL_BYTES_MAX


cdef uint64_t journal_bytes_max() noexcept nogil:
    return size_limit


def limit_journals(uint64_t size_bytes=JOURNAL_BYTES_MAX):
    """The size up to which journals grow, in this process: tests of recycling do not wait until they have 64 MB."""
    global size_limit
    if not JOURNAL_BYTES_FIRST <= size_bytes <= JOURNAL_BYTES_MAX:
        raise ValueError(f"journals have {<int>JOURNAL_BYTES_FIRST} to {<int>JOURNAL_BYTES_MAX} bytes")
    size_limit = size_bytes


cdef void journal_name(uint64_t number, char* name) noexcept nogil:
    snprintf(name, DISK_NAME_MAX, "journal.%016llx", <unsigned long long>number)


cdef bint journal_number(const char* name, uint64_t* number) noexcept nogil:
    cdef char* end = NULL
    if strncmp(name, b"journal.", 8) != 0 or strlen(name) != 8 + NUMBER_DIGITS:
        return False
    number[0] = strtoull(name + 8, &end, 16)
    return end == name + 8 + NUMBER_DIGITS


cdef int journal_open(Journal* journal, Disk* disk, const uint8_t* env_id, ErrorDetail* error) noexcept nogil:
    memset(journal, 0, sizeof(Journal))
    journal.disk = disk
    memcpy(journal.env_id, env_id, 16)
    if posix_memalign(<void**>&journal.marker, SECTOR_SIZE, SECTOR_SIZE) != 0:
        journal.marker = NULL
        error_set(error, E_NO_MEMORY, "no memory for the journal")
        return E_NO_MEMORY
    mutex_init(&journal.mutex)
    return OK


cdef void free_list(Journal* journal, JournalFile* entry) noexcept nogil:
    cdef JournalFile* next
    while entry != NULL:
        next = entry.next
        if entry.file != NULL:
            journal.disk.close(entry.file)
        free(entry)
        entry = next


cdef void journal_close(Journal* journal) noexcept nogil:
    if journal.marker == NULL:
        return
    free_list(journal, journal.current)
    free_list(journal, journal.following)
    free_list(journal, journal.finished)
    free_list(journal, journal.spares)
    mutex_destroy(&journal.mutex)
    free(journal.marker)
    memset(journal, 0, sizeof(Journal))


# Making journals.

cdef int write_zeros(DiskFile* file, uint64_t size_bytes) noexcept nogil:
    cdef void* zeros = NULL
    cdef uint64_t offset = 0
    cdef uint64_t step = size_bytes if size_bytes < ZERO_STEP_BYTES else ZERO_STEP_BYTES
    cdef int result = posix_memalign(&zeros, SECTOR_SIZE, step)
    if result != 0:
        return ENOMEM
    memset(zeros, 0, step)
    while offset < size_bytes and result == 0:
        step = size_bytes - offset if size_bytes - offset < ZERO_STEP_BYTES else ZERO_STEP_BYTES
        result = disk_write(file, zeros, step, offset)
        offset += step
    free(zeros)
    return result


cdef int fill_new(Journal* journal, const char* name, uint64_t size_bytes) noexcept nogil:
    """A journal is written once before its first record, so that a commit changes no metadata of the file system."""
    cdef DiskFile* file = NULL
    cdef int closed
    cdef int result = journal.disk.open(journal.disk, name, DISK_CREATE, &file)
    if result == EEXIST:           # left by a crash between creation and first use
        result = journal.disk.unlink(journal.disk, name)
        if result == 0:
            result = journal.disk.open(journal.disk, name, DISK_CREATE, &file)
    if result != 0:
        return result
    result = journal.disk.allocate(file, size_bytes)
    if result == 0 and journal.disk.lasting:
        result = write_zeros(file, size_bytes)
    if result == 0:
        result = journal.disk.sync(file, DISK_SYNC_FULL)
    closed = journal.disk.close(file)
    if result == 0:
        result = closed
    if result != 0:
        journal.disk.unlink(journal.disk, name)
    return result


cdef JournalFile* take_spare(Journal* journal, uint64_t size_bytes) noexcept nogil:
    cdef JournalFile** link = &journal.spares
    cdef JournalFile* entry
    mutex_lock(&journal.mutex)
    while link[0] != NULL and link[0].size_bytes < size_bytes:
        link = &link[0].next
    entry = link[0]
    if entry != NULL:
        link[0] = entry.next
        entry.next = NULL
    mutex_unlock(&journal.mutex)
    return entry


cdef JournalFile* make_file(Journal* journal, uint64_t number, uint64_t size_bytes, bint sync,
                            ErrorDetail* error) noexcept nogil:
    """A journal of at least this size, by renaming a spare or from nothing. NULL: error is set."""
    cdef char name[DISK_NAME_MAX]
    cdef char spare_name[DISK_NAME_MAX]
    cdef JournalFile* entry = take_spare(journal, size_bytes)
    cdef int result
    journal_name(number, name)
    if entry != NULL:
        journal_name(entry.number, spare_name)
        result = journal.disk.rename(journal.disk, spare_name, name)
        if result != 0:
            free(entry)
            entry = NULL
    if entry == NULL:
        entry = <JournalFile*>calloc(1, sizeof(JournalFile))
        if entry == NULL:
            disk_error(error, ENOMEM, b"create", name, 0)
            return NULL
        entry.size_bytes = size_bytes
        result = fill_new(journal, name, size_bytes)
    if result == 0 and sync:
        # Sync the directory too: after a power cut a file without its name is a lost file.
        result = journal.disk.sync_dir(journal.disk)
    if result == 0:
        result = journal.disk.open(journal.disk, name, DISK_DIRECT, &entry.file)
    if result != 0:
        free(entry)
        disk_error(error, result, b"create", name, 0)
        return NULL
    entry.number = number
    return entry


cdef int journal_start(Journal* journal, uint64_t number, uint64_t size_bytes, bint sync,
                       ErrorDetail* error) noexcept nogil:
    cdef JournalFile* entry = make_file(journal, number, size_bytes, sync, error)
    if entry == NULL:
        return error.code
    mutex_lock(&journal.mutex)
    if journal.current != NULL:
        journal.current.next = journal.finished
        journal.finished = journal.current
        journal.finished_bytes += journal.current.size_bytes
    journal.current = entry
    journal.offset = 0
    mutex_unlock(&journal.mutex)
    return OK


cdef int journal_resume(Journal* journal, uint64_t number, uint64_t offset, uint64_t chain,
                        ErrorDetail* error) noexcept nogil:
    cdef char name[DISK_NAME_MAX]
    cdef JournalFile* entry = <JournalFile*>calloc(1, sizeof(JournalFile))
    cdef int result
    journal_name(number, name)
    if entry == NULL:
        return disk_error(error, ENOMEM, b"open", name, 0)
    result = journal.disk.open(journal.disk, name, DISK_DIRECT, &entry.file)
    if result == 0:
        result = journal.disk.size(entry.file, &entry.size_bytes)
    if result != 0:
        if entry.file != NULL:
            journal.disk.close(entry.file)
        free(entry)
        return disk_error(error, result, b"open", name, 0)
    entry.number = number
    journal.current = entry
    journal.offset = offset
    journal.chain = chain
    return OK


cdef void journal_add_spare(Journal* journal, uint64_t number, uint64_t size_bytes) noexcept nogil:
    """Keeps the largest ones, smallest first in the list; the rest is deleted."""
    cdef char name[DISK_NAME_MAX]
    cdef JournalFile* entry = <JournalFile*>calloc(1, sizeof(JournalFile))
    cdef JournalFile* dropped = NULL
    cdef JournalFile** link = &journal.spares
    cdef int count = 0
    if entry == NULL:
        return                     # the file stays, and is found again by the next opening
    entry.number = number
    entry.size_bytes = size_bytes
    mutex_lock(&journal.mutex)
    while link[0] != NULL and link[0].size_bytes < size_bytes:
        link = &link[0].next
    entry.next = link[0]
    link[0] = entry
    entry = journal.spares
    while entry != NULL:
        count += 1
        entry = entry.next
    if count > JOURNAL_SPARES_MAX:
        dropped = journal.spares
        journal.spares = dropped.next
    mutex_unlock(&journal.mutex)
    if dropped != NULL:
        journal_name(dropped.number, name)
        journal.disk.unlink(journal.disk, name)
        free(dropped)


# Appending.

cdef inline uint64_t room(const JournalFile* file, uint64_t offset) noexcept nogil:
    """What records may take: the last sector is kept for the record that says that the next journal follows."""
    return file.size_bytes - offset - SECTOR_SIZE if offset + SECTOR_SIZE <= file.size_bytes else 0


cdef inline uint64_t smallest(uint64_t reserved) noexcept nogil:
    """Size of a journal that just holds what is promised."""
    return reserved + SECTOR_SIZE if reserved + SECTOR_SIZE > JOURNAL_BYTES_FIRST else JOURNAL_BYTES_FIRST


cdef int journal_prepare(Journal* journal, uint64_t bytes_max, ErrorDetail* error) noexcept nogil:
    """E_BUSY: only when nothing is on its way to the journal can this be promised; flush and ask again."""
    cdef JournalFile* made
    cdef uint64_t reserved, number, size_bytes
    mutex_lock(&journal.mutex)
    reserved = journal.reserved_bytes + bytes_max
    if reserved <= room(journal.current, journal.offset) \
            or (journal.following != NULL and reserved <= room(journal.following, 0)):
        journal.reserved_bytes = reserved
        mutex_unlock(&journal.mutex)
        return OK
    made = journal.following
    if made != NULL and journal.reserved_bytes != 0:
        mutex_unlock(&journal.mutex)
        return E_BUSY              # what was promised before may need the following journal as it is
    journal.following = NULL
    number = journal.current.number + 1
    size_bytes = journal.current.size_bytes * 2
    mutex_unlock(&journal.mutex)
    if made != NULL:               # too small for this record: it becomes a spare, the new one takes its number
        drop_file(journal, made)
    if size_bytes > size_limit:
        size_bytes = size_limit
    if size_bytes < reserved + SECTOR_SIZE:
        size_bytes = reserved + SECTOR_SIZE
    made = make_file(journal, number, size_bytes, True, error)
    if made == NULL and error.code == E_DISK_FULL and size_bytes > smallest(reserved):
        error_clear(error)         # a nearly full disk may still hold what is asked for
        made = make_file(journal, number, smallest(reserved), True, error)
    if made == NULL:
        return error.code
    mutex_lock(&journal.mutex)
    journal.following = made
    journal.reserved_bytes += bytes_max
    mutex_unlock(&journal.mutex)
    return OK


cdef void drop_file(Journal* journal, JournalFile* entry) noexcept nogil:
    cdef char name[DISK_NAME_MAX]
    journal_name(entry.number, name)
    if entry.file != NULL:
        journal.disk.close(entry.file)
    journal.disk.unlink(journal.disk, name)
    free(entry)


cdef void journal_unreserve(Journal* journal, uint64_t bytes_max) noexcept nogil:
    mutex_lock(&journal.mutex)
    journal.reserved_bytes -= bytes_max
    mutex_unlock(&journal.mutex)


cdef int append_bytes(Journal* journal, RecordHeader* header, uint8_t* record, ErrorDetail* error) noexcept nogil:
    cdef DiskFile* file = journal.current.file
    cdef uint64_t size_bytes = record_size(header.stored_size)
    cdef int result
    header.magic = MAGIC_RECORD
    header.version = FORMAT_VERSION
    memcpy(header.env_id, journal.env_id, 16)
    header.journal = journal.current.number
    header.previous_hash = journal.chain
    header.header_hash = record_header_hash(header)
    memcpy(record, header, sizeof(RecordHeader))
    result = disk_write(file, record, size_bytes, journal.offset)
    if result == 0 and not file.durable:
        result = journal.disk.sync(file, DISK_SYNC_DATA)
    if result != 0:
        return disk_error(error, result, b"write a record", file.name, journal.offset)
    atomic_add64(&journal.syncs, 1)
    atomic_add64(&journal.bytes_written, size_bytes)
    journal.chain = header.header_hash
    mutex_lock(&journal.mutex)
    journal.offset += size_bytes
    mutex_unlock(&journal.mutex)
    return OK


cdef int roll(Journal* journal, uint64_t txn_id, ErrorDetail* error) noexcept nogil:
    cdef RecordHeader header
    cdef int result
    if journal.following == NULL:
        error_set(error, E_ASSERTION, "journal %llu is full and none follows",
                  <unsigned long long>journal.current.number)
        return E_ASSERTION
    memset(&header, 0, sizeof(RecordHeader))
    memset(journal.marker, 0, SECTOR_SIZE)
    header.flags = JOURNAL_FLAG_NEXT
    header.txn_id = txn_id
    header.user_txn_first = 1
    result = append_bytes(journal, &header, journal.marker, error)
    if result != OK:
        return result
    mutex_lock(&journal.mutex)
    journal.current.next = journal.finished
    journal.finished = journal.current
    journal.finished_bytes += journal.current.size_bytes
    journal.current = journal.following
    journal.following = NULL
    journal.offset = 0
    mutex_unlock(&journal.mutex)
    return OK


cdef int journal_append(Journal* journal, RecordHeader* header, uint8_t* record, ErrorDetail* error) noexcept nogil:
    cdef int result
    if record_size(header.stored_size) > room(journal.current, journal.offset):
        result = roll(journal, header.txn_id - 1, error)
        if result != OK:
            return result
    return append_bytes(journal, header, record, error)


cdef void journal_recycle(Journal* journal, uint64_t number) noexcept nogil:
    cdef JournalFile* entry
    cdef JournalFile** link
    cdef uint64_t wanted_bytes
    while True:
        mutex_lock(&journal.mutex)
        link = &journal.finished
        while link[0] != NULL and link[0].number >= number:
            link = &link[0].next
        entry = link[0]
        if entry != NULL:
            link[0] = entry.next
            journal.finished_bytes -= entry.size_bytes
        wanted_bytes = journal.current.size_bytes
        mutex_unlock(&journal.mutex)
        if entry == NULL:
            return
        if wanted_bytes > size_limit:
            wanted_bytes = size_limit
        if entry.size_bytes > size_limit or entry.size_bytes < wanted_bytes:
            drop_file(journal, entry)
        else:
            journal.disk.close(entry.file)
            journal_add_spare(journal, entry.number, entry.size_bytes)
            free(entry)


# Reading.

cdef void reader_close(JournalReader* reader) noexcept nogil:
    if reader.file != NULL:
        reader.disk.close(reader.file)
        reader.file = NULL
    record_buffer_release(&reader.window)


cdef int reader_open(JournalReader* reader, Disk* disk, uint64_t number, ErrorDetail* error) noexcept nogil:
    cdef char name[DISK_NAME_MAX]
    cdef int result
    memset(reader, 0, sizeof(JournalReader))
    reader.disk = disk
    reader.number = number
    journal_name(number, name)
    result = disk.open(disk, name, DISK_READ_ONLY | DISK_DIRECT, &reader.file)
    if result == ENOENT:
        error_set(error, E_NOT_FOUND, "%s is missing", name)
        return E_NOT_FOUND
    if result == 0:
        result = disk.size(reader.file, &reader.size_bytes)
        if result != 0:
            reader_close(reader)
    if result != 0:
        return disk_error(error, result, b"open", name, 0)
    reader.size_bytes &= ~<uint64_t>(SECTOR_SIZE - 1)
    return OK


cdef const uint8_t* reader_bytes(JournalReader* reader, uint64_t offset, uint64_t size,
                                 ErrorDetail* error) noexcept nogil:
    cdef uint64_t step
    cdef int result
    if offset >= reader.window_offset and offset + size <= reader.window_offset + reader.window_size:
        return reader.window.data + (offset - reader.window_offset)
    step = size if size > READ_STEP_BYTES else READ_STEP_BYTES
    if step > reader.size_bytes - offset:
        step = reader.size_bytes - offset
    if size > reader.size_bytes - offset:
        error_set(error, E_CORRUPT, "%s: a record leaves the file", reader.file.name)
        error.offset = offset
        return NULL
    if record_buffer_reserve(&reader.window, step) != OK:
        disk_error(error, ENOMEM, b"read", reader.file.name, offset)
        return NULL
    reader.window_size = 0
    result = reader.disk.read(reader.file, reader.window.data, step, offset)
    if result != 0:
        disk_error(error, result, b"read", reader.file.name, offset)
        return NULL
    reader.window_offset = offset
    reader.window_size = step
    return reader.window.data

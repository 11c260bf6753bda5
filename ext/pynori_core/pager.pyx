"""Map, growth, verification and headers of the data file."""

from libc.errno cimport ENODATA, ENOMEM
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from pynori_core.bits cimport atomic_add64, atomic_load64, atomic_store64, atomic_store_pointer, load32, max64
from pynori_core.checksum cimport hash64
from pynori_core.disk cimport DISK_DIRECT, DISK_READ_ONLY, DISK_SYNC_DATA, disk_error, disk_write, iovec
from pynori_core.errors cimport E_CORRUPT, E_VERSION, OK, error_clear, error_set
from pynori_core.format cimport (
    FORMAT_VERSION, MAGIC_FILE, PAGE_HEADER_A, PAGE_HEADER_B, PAGE_SHIFT, PAGE_SIZE, PAGE_TYPE_CATALOG, PAGE_TYPE_RUN,
    SECTOR_SIZE, PageHeader,
)
from pynori_core.guard cimport guard_add, guard_remove

cdef enum:
    HASH_ALGORITHM_XXH3 = 1
    VERIFY_PAGES = 4               # pages of a run that are read and hashed at a time, on the stack

cdef const char* DATA_NAME = b"data.pynori"


cdef int pager_open(Pager* pager, Disk* disk, int flags, ErrorDetail* error) noexcept nogil:
    cdef uint64_t size_bytes = 0
    cdef int result
    memset(pager, 0, sizeof(Pager))
    pager.disk = disk
    result = disk.open(disk, DATA_NAME, flags, &pager.file)
    if result == 0:
        result = pager.file.disk.size(pager.file, &size_bytes)
    if result != 0:
        return disk_error(error, result, b"open", DATA_NAME, 0)
    pager.file_pages = size_bytes >> PAGE_SHIFT
    return OK


cdef void pager_identify(Pager* pager, const uint8_t* env_id) noexcept nogil:
    memcpy(pager.env_id, env_id, 16)
    pager.env_id_short = load32(env_id)
    pager.hash_seed = hash64(env_id, 16, 0)


cdef int pager_map(Pager* pager, ErrorDetail* error) noexcept nogil:
    cdef PagerMap* map = <PagerMap*>calloc(1, sizeof(PagerMap))
    cdef int result
    if map == NULL:
        return disk_error(error, ENOMEM, b"map", DATA_NAME, 0)
    map.size_bytes = PAGER_WINDOW_BYTES_MIN
    while map.size_bytes < (pager.file_pages << PAGE_SHIFT) * 2:
        map.size_bytes *= 2
    result = pager.disk.map(pager.file, map.size_bytes, &map.base)
    if result != 0:
        free(map)
        return disk_error(error, result, b"map", DATA_NAME, 0)
    guard_add(map.base, map.size_bytes, DATA_NAME)
    map.older = pager.map
    atomic_store_pointer(<void**>&pager.map, map)
    return OK


cdef int pager_close(Pager* pager, ErrorDetail* error) noexcept nogil:
    cdef PagerMap* map = pager.map
    cdef PagerMap* older
    cdef int result
    while map != NULL:
        older = map.older
        guard_remove(map.base)
        pager.disk.unmap(pager.file, map.base, map.size_bytes)
        free(map)
        map = older
    pager.map = NULL
    if pager.file == NULL:
        return OK
    result = pager.disk.close(pager.file)
    pager.file = NULL
    return OK if result == 0 else disk_error(error, result, b"close", DATA_NAME, 0)


cdef int pager_grow(Pager* pager, uint64_t pages, ErrorDetail* error) noexcept nogil:
    cdef uint64_t target = pager.file_pages
    cdef uint64_t step
    cdef int result
    if pages <= pager.file_pages:
        return OK
    step = max64(PAGER_GROWTH_PAGES_MIN, target // PAGER_GROWTH_SHARE)
    target += step if step < PAGER_GROWTH_PAGES_MAX else PAGER_GROWTH_PAGES_MAX
    if target < pages:
        target = pages
    result = pager.disk.allocate(pager.file, target << PAGE_SHIFT)
    if result != 0 and target > pages:
        target = pages             # a nearly full disk may still hold what is asked for
        result = pager.disk.allocate(pager.file, target << PAGE_SHIFT)
    if result != 0:
        return disk_error(error, result, b"grow", DATA_NAME, target << PAGE_SHIFT)
    if pager.map != NULL and target << PAGE_SHIFT > pager.map.size_bytes:
        result = pager_map_larger(pager, target, error)
        if result != OK:
            return result
    atomic_store64(&pager.file_pages, target)
    return OK


cdef int pager_map_larger(Pager* pager, uint64_t pages, ErrorDetail* error) noexcept nogil:
    cdef uint64_t before = pager.file_pages
    cdef int result
    pager.file_pages = pages
    result = pager_map(pager, error)
    pager.file_pages = before
    return result


# Page images.

cdef inline uint64_t page_seed(Pager* pager, uint64_t page) noexcept nogil:
    return pager.hash_seed ^ (page * 0x9E3779B97F4A7C15ULL)


cdef uint64_t pager_hash(Pager* pager, uint64_t page, const uint8_t* data, uint32_t run_pages) noexcept nogil:
    """A run is hashed page by page, each with the hash before it as its seed, so that it can be checked in pieces."""
    cdef uint64_t hash = hash64(data + 8, PAGE_SIZE - 8, page_seed(pager, page))
    cdef uint32_t i
    for i in range(1, run_pages):
        hash = hash64(data + (<uint64_t>i << PAGE_SHIFT), PAGE_SIZE, hash)
    return hash


cdef int corrupt(uint64_t page, const char* what, ErrorDetail* error) noexcept nogil:
    if error != NULL and error.code == OK:
        error_set(error, E_CORRUPT, "%s page %llu: %s", DATA_NAME, <unsigned long long>page, what)
        error.offset = page << PAGE_SHIFT
    return E_CORRUPT


cdef int pager_check_image(Pager* pager, uint64_t page, const uint8_t* data, ErrorDetail* error) noexcept nogil:
    cdef const PageHeader* header = <const PageHeader*>data
    if header.page != page:
        if header.page == 0 and header.type == 0:
            return corrupt(page, b"was never written, yet something refers to it", error)
        return corrupt(page, b"carries another page's number", error)
    if header.env_id_short != pager.env_id_short:
        return corrupt(page, b"belongs to another environment", error)
    if header.type < PAGE_TYPE_CATALOG or header.type > PAGE_TYPE_RUN:
        return corrupt(page, b"has an unknown type", error)
    if header.type == PAGE_TYPE_RUN:
        if header.run_pages == 0 or header.run_pages > pager.file_pages - page:
            return corrupt(page, b"is a run that leaves the file", error)
        return OK
    if header.hash != hash64(data + 8, PAGE_SIZE - 8, page_seed(pager, page)):
        return corrupt(page, b"does not have the hash of its bytes", error)
    return OK


cdef int pager_read(Pager* pager, uint64_t page, uint32_t pages, uint8_t* buffer, ErrorDetail* error) noexcept nogil:
    cdef int result
    if page + pages > atomic_load64(&pager.file_pages):
        return corrupt(page, b"lies beyond the end of the file", error)
    result = pager.disk.read(pager.file, buffer, <uint64_t>pages << PAGE_SHIFT, page << PAGE_SHIFT)
    if result == ENODATA:
        return corrupt(page, b"is cut off: the file is shorter than its header says", error)
    return OK if result == 0 else disk_error(error, result, b"read", DATA_NAME, page << PAGE_SHIFT)


cdef int pager_verify(Pager* pager, uint64_t page, ErrorDetail* error) noexcept nogil:
    cdef uint32_t pages = 0
    return pager_verify_item(pager, page, &pages, error)


cdef int pager_verify_item(Pager* pager, uint64_t page, uint32_t* pages, ErrorDetail* error) noexcept nogil:
    # At a sector's border, so that the file may be one that is read past the cache.
    cdef uint8_t memory[PAGE_SIZE * VERIFY_PAGES + SECTOR_SIZE]
    cdef uint8_t* buffer = memory + (SECTOR_SIZE - (<size_t>memory & (SECTOR_SIZE - 1)))
    cdef const PageHeader* header = <const PageHeader*>buffer
    cdef uint64_t hash, expected
    cdef uint32_t run_pages, done, step, i
    cdef int result = pager_read(pager, page, 1, buffer, error)
    if result == OK:
        result = pager_check_image(pager, page, buffer, error)
    if result != OK or header.type != PAGE_TYPE_RUN:
        atomic_add64(&pager.verified_pages, 1)
        pages[0] = 1
        return result
    run_pages = header.run_pages
    pages[0] = run_pages
    expected = header.hash
    hash = hash64(buffer + 8, PAGE_SIZE - 8, page_seed(pager, page))
    done = 1
    while done < run_pages:
        step = run_pages - done if run_pages - done < VERIFY_PAGES else VERIFY_PAGES
        result = pager_read(pager, page + done, step, buffer, error)
        if result != OK:
            return result
        for i in range(step):
            hash = hash64(buffer + i * PAGE_SIZE, PAGE_SIZE, hash)
        done += step
    atomic_add64(&pager.verified_pages, run_pages)
    return OK if hash == expected else corrupt(page, b"is a run without the hash of its bytes", error)


# Writing.

cdef int pager_write(Pager* pager, PagerWrite* writes, int count, ErrorDetail* error) noexcept nogil:
    cdef iovec vectors[PAGER_WRITE_PAGES_MAX * 2]
    cdef int first = 0
    cdef int i, used, result
    while first < count:
        used = 0
        i = first
        while i < count and i - first < PAGER_WRITE_PAGES_MAX and writes[i].page == writes[first].page + i - first:
            if writes[i].raw:
                vectors[used].iov_base = <void*>writes[i].data
                vectors[used].iov_len = PAGE_SIZE
                used += 1
            else:
                # The hash goes beside the image: readers may be looking at the image itself.
                vectors[used].iov_base = &writes[i].hash
                vectors[used].iov_len = 8
                vectors[used + 1].iov_base = <void*>(writes[i].data + 8)
                vectors[used + 1].iov_len = PAGE_SIZE - 8
                used += 2
            i += 1
        result = pager.disk.write(pager.file, vectors, used, writes[first].page << PAGE_SHIFT)
        if result != 0:
            return disk_error(error, result, b"write", DATA_NAME, writes[first].page << PAGE_SHIFT)
        first = i
    return OK


cdef int pager_read_back(Pager* pager, uint64_t page, const uint8_t* data, ErrorDetail* error) noexcept nogil:
    cdef uint8_t memory[PAGE_SIZE + SECTOR_SIZE]
    cdef uint8_t* buffer = memory + (SECTOR_SIZE - (<size_t>memory & (SECTOR_SIZE - 1)))
    cdef DiskFile* file = NULL
    cdef int result = pager.disk.open(pager.disk, DATA_NAME, DISK_READ_ONLY | DISK_DIRECT, &file)
    if result == 0:
        result = pager.disk.read(file, buffer, PAGE_SIZE, page << PAGE_SHIFT)
        pager.disk.close(file)
    if result != 0:
        return disk_error(error, result, b"read back", DATA_NAME, page << PAGE_SHIFT)
    if memcmp(buffer + 8, data + 8, PAGE_SIZE - 8) != 0:
        return corrupt(page, b"reads back different from what was written", error)
    return OK


cdef int pager_sync(Pager* pager, ErrorDetail* error) noexcept nogil:
    cdef int result
    if pager.file.durable:
        return OK
    result = pager.disk.sync(pager.file, DISK_SYNC_DATA)
    return OK if result == 0 else disk_error(error, result, b"sync", DATA_NAME, 0)


cdef void pager_prefetch(Pager* pager, uint64_t page, uint32_t pages) noexcept nogil:
    pager.disk.prefetch(pager.file, page << PAGE_SHIFT, <uint64_t>pages << PAGE_SHIFT)


# Headers.

cdef inline uint64_t header_hash(const FileHeader* header) noexcept nogil:
    return hash64(header, sizeof(FileHeader) - 8, 0)


cdef int pager_read_header(Pager* pager, uint64_t which, FileHeader* header, ErrorDetail* error) noexcept nogil:
    cdef uint8_t memory[SECTOR_SIZE * 2]
    cdef uint8_t* buffer = memory + (SECTOR_SIZE - (<size_t>memory & (SECTOR_SIZE - 1)))
    cdef DiskFile* file = NULL
    cdef int result = pager.disk.open(pager.disk, DATA_NAME, DISK_READ_ONLY | DISK_DIRECT, &file)
    if result == 0:
        result = pager.disk.read(file, buffer, SECTOR_SIZE, which << PAGE_SHIFT)
        pager.disk.close(file)
    if result != 0:
        return disk_error(error, result, b"read the header", DATA_NAME, which << PAGE_SHIFT)
    memcpy(header, buffer, sizeof(FileHeader))
    return OK


cdef bint header_valid(const FileHeader* header) noexcept nogil:
    return header.magic == MAGIC_FILE and header.hash == header_hash(header)


cdef int pager_load_header(Pager* pager, FileHeader* header, ErrorDetail* error) noexcept nogil:
    cdef FileHeader copy_a, copy_b
    cdef ErrorDetail error_a, error_b
    cdef bint valid_a, valid_b
    error_clear(&error_a)
    error_clear(&error_b)
    valid_a = pager_read_header(pager, PAGE_HEADER_A, &copy_a, &error_a) == OK and header_valid(&copy_a)
    valid_b = pager_read_header(pager, PAGE_HEADER_B, &copy_b, &error_b) == OK and header_valid(&copy_b)
    if not valid_a and not valid_b:
        if error_a.code != OK:
            memcpy(error, &error_a, sizeof(ErrorDetail))
            return error_a.code
        error_set(error, E_CORRUPT, "%s: neither copy of the header (offsets 0 and 65536) is whole", DATA_NAME)
        return E_CORRUPT
    memcpy(header, &copy_a if valid_a and (not valid_b or copy_a.sequence > copy_b.sequence) else &copy_b,
           sizeof(FileHeader))
    if header.version != FORMAT_VERSION or header.page_size != PAGE_SIZE \
            or header.hash_algorithm != HASH_ALGORITHM_XXH3:
        error_set(error, E_VERSION, "%s: format version %u with pages of %u bytes; this build knows version %d",
                  DATA_NAME, header.version, header.page_size, FORMAT_VERSION)
        return E_VERSION
    if header.features_incompatible != 0:
        error_set(error, E_VERSION, "%s: needs features 0x%x, which this build does not know", DATA_NAME,
                  header.features_incompatible)
        return E_VERSION
    return OK


cdef int pager_write_header(Pager* pager, FileHeader* header, uint64_t which, ErrorDetail* error) noexcept nogil:
    cdef uint8_t sector[SECTOR_SIZE]
    cdef int result
    header.magic = MAGIC_FILE
    header.version = FORMAT_VERSION
    header.page_size = PAGE_SIZE
    header.hash_algorithm = HASH_ALGORITHM_XXH3
    header.hash = header_hash(header)
    memset(sector, 0, sizeof(sector))
    memcpy(sector, header, sizeof(FileHeader))
    result = disk_write(pager.file, sector, SECTOR_SIZE, which << PAGE_SHIFT)
    return OK if result == 0 else disk_error(error, result, b"write the header", DATA_NAME, which << PAGE_SHIFT)


cdef int pager_store_header(Pager* pager, FileHeader* header, ErrorDetail* error) noexcept nogil:
    """First the older copy, then the other one: at every moment one of them is whole and true."""
    cdef int result
    header.sequence += 1
    result = store_copy(pager, header, error)
    if result == OK:
        header.sequence += 1
        result = store_copy(pager, header, error)
    return result


cdef int store_copy(Pager* pager, FileHeader* header, ErrorDetail* error) noexcept nogil:
    cdef FileHeader written
    cdef uint64_t which = PAGE_HEADER_B if header.sequence & 1 else PAGE_HEADER_A
    cdef int result = pager_write_header(pager, header, which, error)
    if result == OK:
        result = pager_sync(pager, error)
    if result == OK:
        result = pager_read_header(pager, which, &written, error)
    if result == OK and memcmp(&written, header, sizeof(FileHeader)) != 0:
        error_set(error, E_CORRUPT, "%s: the header at offset %llu reads back different from what was written",
                  DATA_NAME, <unsigned long long>(which << PAGE_SHIFT))
        return E_CORRUPT
    return result

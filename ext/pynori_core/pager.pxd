"""The data file: its read-only map, growth by real blocks, page hashes, and what makes a page trustworthy.

A window larger than the file is mapped at once, so that growth needs no new map; when the file outgrows the window a
window twice as large is mapped, and the old ones stay until close, because readers hold addresses in them. Pages are
verified by reading them through a descriptor, where a bad sector is an error and not a signal.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from pynori_core.disk cimport Disk, DiskFile
from pynori_core.errors cimport ErrorDetail
from pynori_core.format cimport FileHeader

cdef enum:
    PAGER_WINDOW_BYTES_MIN = 1073741824
    PAGER_GROWTH_SHARE = 32                # the file grows by this part of itself,
    PAGER_GROWTH_PAGES_MIN = 128           # but by 1 MB at least
    PAGER_GROWTH_PAGES_MAX = 131072        # and 1 GB at most
    PAGER_WRITE_PAGES_MAX = 256            # neighbours written by one call

cdef struct PagerMap:
    uint8_t* base
    uint64_t size_bytes
    PagerMap* older

cdef struct PagerWrite:            # one page on its way to the data file
    uint64_t page
    const uint8_t* data            # PAGE_SIZE bytes
    uint64_t hash                  # takes the place of the first 8 bytes; not for raw pages
    bint raw

cdef struct Pager:
    Disk* disk
    DiskFile* file
    PagerMap* map                  # the newest; swapped atomically
    uint64_t file_pages            # length of the file; grows only, read atomically after the map is in place
    uint8_t env_id[16]
    uint32_t env_id_short
    uint64_t hash_seed             # of this environment
    uint64_t verified_pages        # counted

# Opens `data.pynori`; the header is not looked at. `pager_identify` must follow before pages are verified.
cdef int pager_open(Pager* pager, Disk* disk, int flags, ErrorDetail* error) noexcept nogil
cdef void pager_identify(Pager* pager, const uint8_t* env_id) noexcept nogil
cdef int pager_map(Pager* pager, ErrorDetail* error) noexcept nogil
cdef int pager_close(Pager* pager, ErrorDetail* error) noexcept nogil

# Makes the file at least `pages` long, and its window large enough. One thread at a time: the writer, or recovery.
cdef int pager_grow(Pager* pager, uint64_t pages, ErrorDetail* error) noexcept nogil

# Reads the page (of a run: all of it) from the file and checks number, environment, type and hash.
cdef int pager_verify(Pager* pager, uint64_t page, ErrorDetail* error) noexcept nogil
# The same; tells how many pages were read and belong together.
cdef int pager_verify_item(Pager* pager, uint64_t page, uint32_t* pages, ErrorDetail* error) noexcept nogil
# Checks a page image that was read from, or is about to go to, its place. Of a run's first page everything but the
# hash.
cdef int pager_check_image(Pager* pager, uint64_t page, const uint8_t* data, ErrorDetail* error) noexcept nogil
cdef int pager_read(Pager* pager, uint64_t page, uint32_t pages, uint8_t* buffer, ErrorDetail* error) noexcept nogil
# Hash of a page image, or of a run's whole memory; its first 8 bytes do not count.
cdef uint64_t pager_hash(Pager* pager, uint64_t page, const uint8_t* data, uint32_t run_pages) noexcept nogil

# Writes pages in ascending order, neighbours together. Not synced.
cdef int pager_write(Pager* pager, PagerWrite* writes, int count, ErrorDetail* error) noexcept nogil
# Reads a page past the cache and compares it with the image that was written there: E_CORRUPT when the write was lost.
cdef int pager_read_back(Pager* pager, uint64_t page, const uint8_t* data, ErrorDetail* error) noexcept nogil
cdef int pager_sync(Pager* pager, ErrorDetail* error) noexcept nogil
cdef void pager_prefetch(Pager* pager, uint64_t page, uint32_t pages) noexcept nogil

# File headers. Reading goes past the cache. `which`: PAGE_HEADER_A or PAGE_HEADER_B.
cdef int pager_read_header(Pager* pager, uint64_t which, FileHeader* header, ErrorDetail* error) noexcept nogil
# Chooses the newer valid copy. E_CORRUPT when neither is, E_VERSION when its format is unknown.
cdef int pager_load_header(Pager* pager, FileHeader* header, ErrorDetail* error) noexcept nogil
# Writes both copies, one after the other, each with the next `sequence`: sets the hash, syncs, reads back past the
# cache and compares. Nothing that the header before needs may be given up before this returns.
cdef int pager_store_header(Pager* pager, FileHeader* header, ErrorDetail* error) noexcept nogil
# Only the write, of one named copy: for creation, which syncs once for all.
cdef int pager_write_header(Pager* pager, FileHeader* header, uint64_t which, ErrorDetail* error) noexcept nogil

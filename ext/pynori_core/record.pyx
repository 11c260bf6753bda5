"""Encoding and decoding of journal records: comparing pages by 64-byte blocks, LZ4 where it saves a sector, hashes."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport abort, free
from libc.string cimport memcmp, memcpy, memset

from pynori_core.bits cimport atomic_load32, load64
from pynori_core.checksum cimport hash64, hash128
from pynori_core.codec cimport codec_check, lz4_bound, lz4_compress, lz4_decompress
from pynori_core.errors cimport E_CORRUPT, E_NO_MEMORY, E_NOT_FOUND, E_TOO_LARGE, OK, error_set
from pynori_core.format cimport (
    ENTRY_RAW, ENTRY_WHOLE, FORMAT_VERSION, JOURNAL_FLAG_LZ4, MAGIC_RECORD, PAGE_HEADER_B, PAGE_SIZE, PAGE_TYPE_BRANCH,
    PAGE_TYPE_LEAF, PAGE_TYPE_RUN, SECTOR_SIZE, PageHeader,
)
from pynori_core.handles cimport HANDLE_RECORD_BUFFER, handle_closed, handle_opened
from pynori_core.scratch cimport NOTES_ALL, VERSION_FRESH, VERSION_FREED, VERSION_RAW

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void** memory, size_t alignment, size_t size) noexcept

cdef enum:
    STRETCH_SIZE = 512             # bytes compared at a time where nothing has changed
    BLOCK_SIZE = 64                # and where something has
    RANGE_JOIN_BYTES = 8           # ranges that lie closer become one: a PageRange costs 4 bytes and a copy
    HASH_SIZE = 8                  # PageHeader.hash, which is not logged
    # A record of so many bytes is stored plain: it takes a disk hardly longer than a sector, and packing it would take
    # as long as writing it.
    PLAIN_BYTES_MAX = 131072

cdef extern from *:
    """
    static const uint8_t pyn_zero_page[8192];
    #ifdef PYNORI_DEBUG
    #define PYN_NOTES_CHECKED 1
    #else
    #define PYN_NOTES_CHECKED 0
    #endif
    """
    const uint8_t* ZEROS "pyn_zero_page"
    const bint NOTES_CHECKED "PYN_NOTES_CHECKED"

cdef struct PageWriter:            # the page that is being encoded
    uint8_t* position
    PageEntry* entry
    PageRange* range               # the last one, or NULL
    const uint8_t* image


cdef void record_buffer_release(RecordBuffer* buffer) noexcept nogil:
    if buffer.data != NULL:
        handle_closed(HANDLE_RECORD_BUFFER)
    free(buffer.data)
    buffer.data = NULL
    buffer.capacity = 0


cdef int record_buffer_reserve(RecordBuffer* buffer, uint64_t size_bytes) noexcept nogil:
    """At least `size_bytes`; what was in it is lost when it has to grow."""
    cdef uint64_t capacity = 65536
    cdef void* memory = NULL
    if buffer.capacity >= size_bytes:
        return OK
    while capacity < size_bytes:
        capacity *= 2
    record_buffer_release(buffer)
    if posix_memalign(&memory, SECTOR_SIZE, capacity) != 0:
        return E_NO_MEMORY
    handle_opened(HANDLE_RECORD_BUFFER)
    buffer.data = <uint8_t*>memory
    buffer.capacity = capacity
    return OK


cdef void record_release(RecordEncoder* encoder) noexcept nogil:
    record_buffer_release(&encoder.plain)
    record_buffer_release(&encoder.packed)


cdef uint64_t record_bound(uint64_t pages) noexcept nogil:
    return record_size(pages * RECORD_PAGE_BYTES_MAX)


cdef int record_reserve(RecordEncoder* encoder, uint64_t pages) noexcept nogil:
    """The packed buffer takes only what is smaller than the plain one, so the same size does for both."""
    cdef uint64_t size_bytes = record_bound(pages)
    if size_bytes > RECORD_PLAIN_BYTES_MAX:
        return E_TOO_LARGE
    if record_buffer_reserve(&encoder.plain, size_bytes) != OK:
        return E_NO_MEMORY
    return record_buffer_reserve(&encoder.packed, size_bytes)


# Encoding.

cdef inline bint slotted(const PageHeader* header) noexcept nogil:
    return header.type == PAGE_TYPE_LEAF or header.type == PAGE_TYPE_BRANCH


cdef void range_add(PageWriter* writer, uint32_t start, uint32_t end) noexcept nogil:
    cdef uint32_t last_end
    if writer.range != NULL:
        last_end = <uint32_t>writer.range.offset + writer.range.size
        if start - last_end <= RANGE_JOIN_BYTES:
            memcpy(writer.position, writer.image + last_end, end - last_end)
            writer.position += end - last_end
            writer.range.size += <uint16_t>(end - last_end)
            return
    writer.range = <PageRange*>writer.position
    writer.range.offset = <uint16_t>start
    writer.range.size = <uint16_t>(end - start)
    memcpy(writer.position + sizeof(PageRange), writer.image + start, end - start)
    writer.position += sizeof(PageRange) + (end - start)
    writer.entry.range_count += 1


cdef void compare_span(PageWriter* writer, const uint8_t* base, uint32_t start, uint32_t end) noexcept nogil:
    """Ranges of [start, end) in which the image differs from the base: most of a page is equal, in long stretches."""
    cdef uint32_t stop
    while start < end:
        stop = start + STRETCH_SIZE if end - start > STRETCH_SIZE else end
        if memcmp(writer.image + start, base + start, stop - start) != 0:
            compare_blocks(writer, base, start, stop)
        start = stop


cdef void compare_blocks(PageWriter* writer, const uint8_t* base, uint32_t start, uint32_t end) noexcept nogil:
    """Block by block, the ends of what differs trimmed to the byte."""
    cdef const uint8_t* image = writer.image
    cdef uint32_t stop, first, last
    while start < end:
        stop = start + BLOCK_SIZE if end - start > BLOCK_SIZE else end
        if memcmp(image + start, base + start, stop - start) != 0:
            first = start
            while image[first] == base[first]:
                first += 1
            last = stop
            while image[last - 1] == base[last - 1]:
                last -= 1
            range_add(writer, first, last)
        start = stop


cdef void encode_span(PageWriter* writer, const uint8_t* base, uint32_t unknown_start, uint32_t unknown_end,
                      uint32_t start, uint32_t end) noexcept nogil:
    """[start, end) of the image against the base, whose bytes in [unknown_start, unknown_end) say nothing."""
    cdef uint32_t stop
    if start < unknown_start:
        stop = end if end < unknown_start else unknown_start
        compare_span(writer, base, start, stop)
        start = stop
    if start < end and start < unknown_end:
        stop = end if end < unknown_end else unknown_end
        range_add(writer, start, stop)
        start = stop
    if start < end:
        compare_span(writer, base, start, end)


cdef void encode_page(PageWriter* writer, PageVersion* version, const uint8_t* base) noexcept nogil:
    cdef const PageHeader* header = <const PageHeader*>version.data
    cdef const PageHeader* base_header = <const PageHeader*>base
    cdef uint32_t unknown_start = PAGE_SIZE
    cdef uint32_t unknown_end = PAGE_SIZE
    if base != ZEROS and slotted(base_header):
        unknown_start = base_header.lower
        unknown_end = base_header.upper
    if slotted(header):
        encode_span(writer, base, unknown_start, unknown_end, HASH_SIZE, header.lower)
        encode_span(writer, base, unknown_start, unknown_end, header.upper, PAGE_SIZE)
    else:
        encode_span(writer, base, unknown_start, unknown_end, HASH_SIZE, PAGE_SIZE)


cdef void encode_notes(PageWriter* writer, PageVersion* version, const uint8_t* base) noexcept nogil:
    """As encode_page, for a version that knows where it may differ from the base: no bounds of the gap are there."""
    cdef uint32_t index
    for index in range(version.note_count):
        compare_blocks(writer, base, version.notes[index].start, version.notes[index].end)
    if NOTES_CHECKED:
        check_notes(version, base)


cdef void check_notes(PageVersion* version, const uint8_t* base) noexcept nogil:
    """The debug build ends where a change was not noted: a replay would leave it out."""
    cdef uint32_t position = HASH_SIZE
    cdef uint32_t index, end
    for index in range(version.note_count + 1):
        end = version.notes[index].start if index < version.note_count else PAGE_SIZE
        if end > position and memcmp(version.data + position, base + position, end - position) != 0:
            abort()
        if index < version.note_count:
            position = version.notes[index].end


cdef void encode_run_page(PageWriter* writer, PageVersion* version) noexcept nogil:
    """Memory behind the value is undefined, so it is not logged: replay finds zeros there."""
    cdef uint64_t offset = <uint64_t>(version.data - version.run.data) if version.run != NULL else 0
    cdef const PageHeader* header = <const PageHeader*>(version.data - offset)
    cdef uint64_t end = sizeof(PageHeader) + header.value_size
    cdef uint32_t start = 0 if version.flags & VERSION_RAW else HASH_SIZE
    if end > offset:
        range_add(writer, start, <uint32_t>(end - offset) if end - offset < PAGE_SIZE else PAGE_SIZE)


cdef uint8_t* record_encode(RecordEncoder* encoder, PageVersion* first, uint64_t whole_limit,
                            RecordHeader* header) noexcept nogil:
    cdef PageVersion* version = first
    cdef PageVersion* older
    cdef PageWriter writer
    cdef uint8_t* payload = encoder.plain.data + sizeof(RecordHeader)
    encoder.pages_whole = 0
    encoder.pages_diff = 0
    writer.position = payload
    while version != NULL:
        if version.flags & VERSION_FREED:
            version = version.next
            continue
        writer.entry = <PageEntry*>writer.position
        writer.position += sizeof(PageEntry)
        writer.range = NULL
        writer.image = version.data
        writer.entry.page = version.page
        writer.entry.range_count = 0
        writer.entry.flags = ENTRY_WHOLE
        older = version.older
        if version.run != NULL or version.flags & VERSION_RAW \
                or (<const PageHeader*>version.data).type == PAGE_TYPE_RUN:
            if version.flags & VERSION_RAW:
                writer.entry.flags |= ENTRY_RAW
            encode_run_page(&writer, version)
        elif version.flags & VERSION_FRESH or older == NULL \
                or atomic_load32(&older.flags) & VERSION_FREED \
                or older.logged_whole <= whole_limit:
            encode_page(&writer, version, ZEROS)
        else:
            writer.entry.flags = 0
            if version.note_count == NOTES_ALL:
                encode_page(&writer, version, older.data)
            else:
                encode_notes(&writer, version, older.data)
        if writer.entry.flags & ENTRY_WHOLE:
            version.logged_whole = version.txn_id
            encoder.pages_whole += 1
        else:
            version.logged_whole = older.logged_whole
            encoder.pages_diff += 1
        version = version.next
    header.page_count = <uint32_t>(encoder.pages_whole + encoder.pages_diff)
    header.plain_size = <uint64_t>(writer.position - payload)
    return encode_finish(encoder, header)


cdef uint8_t* encode_finish(RecordEncoder* encoder, RecordHeader* header) noexcept nogil:
    """Compress when that saves what a disk notices, hash, pad."""
    cdef uint8_t* data = encoder.plain.data
    cdef uint8_t* payload = data + sizeof(RecordHeader)
    cdef uint64_t plain_sectors = record_size(header.plain_size)
    cdef int packed = 0
    header.flags = 0
    header.stored_size = header.plain_size
    if plain_sectors > PLAIN_BYTES_MAX and lz4_bound(<int>header.plain_size) != 0:
        # The room given is one sector less than the plain form takes: what does not fit does not pay.
        packed = lz4_compress(payload, <int>header.plain_size, encoder.packed.data + sizeof(RecordHeader),
                              <int>(plain_sectors - SECTOR_SIZE - sizeof(RecordHeader)))
        if packed > 0:
            data = encoder.packed.data
            payload = data + sizeof(RecordHeader)
            header.flags = JOURNAL_FLAG_LZ4
            header.stored_size = <uint64_t>packed
    hash128(payload, header.stored_size, 0, &header.payload_hash_low, &header.payload_hash_high)
    memset(payload + header.stored_size, 0, record_size(header.stored_size) - sizeof(RecordHeader) - header.stored_size)
    return data


# Headers.

cdef uint64_t record_header_hash(const RecordHeader* header) noexcept nogil:
    return hash64(header, sizeof(RecordHeader) - 8, load64(header.env_id))


cdef bint record_header_valid(const RecordHeader* header, const uint8_t* env_id) noexcept nogil:
    return header.magic == MAGIC_RECORD and memcmp(header.env_id, env_id, 16) == 0 \
        and header.header_hash == record_header_hash(header)


cdef bint record_sizes_valid(const RecordHeader* header) noexcept nogil:
    if header.version != FORMAT_VERSION or header.plain_size > RECORD_PLAIN_BYTES_MAX:
        return False
    if header.flags & JOURNAL_FLAG_LZ4:
        return 0 < header.stored_size <= header.plain_size
    return header.stored_size == header.plain_size


# Decoding.

cdef bint record_payload_valid(const RecordHeader* header, const uint8_t* stored) noexcept nogil:
    cdef uint64_t low = 0
    cdef uint64_t high = 0
    hash128(stored, header.stored_size, 0, &low, &high)
    return low == header.payload_hash_low and high == header.payload_hash_high


cdef int record_open(RecordCursor* cursor, const RecordHeader* header, const uint8_t* stored, RecordBuffer* plain,
                     ErrorDetail* error) noexcept nogil:
    if header.flags & JOURNAL_FLAG_LZ4:
        if codec_check(error) != OK:
            return error.code
        if record_buffer_reserve(plain, header.plain_size) != OK:
            error_set(error, E_NO_MEMORY, "no memory for a record of %llu bytes",
                      <unsigned long long>header.plain_size)
            return E_NO_MEMORY
        if lz4_decompress(stored, <int>header.stored_size, plain.data, <int>header.plain_size) != OK:
            error_set(error, E_CORRUPT, "the payload of transaction %llu has its hash, yet cannot be decompressed",
                      <unsigned long long>header.txn_id)
            return E_CORRUPT
        stored = plain.data
    cursor.position = stored
    cursor.end = stored + header.plain_size
    cursor.pages_left = header.page_count
    cursor.file_pages = header.file_pages
    return OK


cdef int record_next(RecordCursor* cursor) noexcept nogil:
    cdef const PageEntry* entry = <const PageEntry*>cursor.position
    cdef const PageRange* piece
    cdef uint32_t _i
    if cursor.pages_left == 0:
        return E_NOT_FOUND if cursor.position == cursor.end else E_CORRUPT
    if <uint64_t>(cursor.end - cursor.position) < sizeof(PageEntry):
        return E_CORRUPT
    cursor.pages_left -= 1
    cursor.page = entry.page
    cursor.flags = entry.flags
    cursor.range_count = entry.range_count
    cursor.position += sizeof(PageEntry)
    cursor.ranges = cursor.position
    if cursor.page == 0 or cursor.page == PAGE_HEADER_B or cursor.page >= cursor.file_pages:
        return E_CORRUPT
    for _i in range(entry.range_count):
        piece = <const PageRange*>cursor.position
        if <uint64_t>(cursor.end - cursor.position) < sizeof(PageRange):
            return E_CORRUPT
        if <uint32_t>piece.offset + piece.size > PAGE_SIZE \
                or <uint64_t>(cursor.end - cursor.position) - sizeof(PageRange) < piece.size:
            return E_CORRUPT
        cursor.position += sizeof(PageRange) + piece.size
    return OK


cdef void record_apply(const RecordCursor* cursor, uint8_t* image) noexcept nogil:
    cdef const uint8_t* position = cursor.ranges
    cdef const PageRange* piece
    cdef uint32_t _i
    if cursor.flags & ENTRY_WHOLE:
        memset(image, 0, PAGE_SIZE)
    for _i in range(cursor.range_count):
        piece = <const PageRange*>position
        memcpy(image + piece.offset, position + sizeof(PageRange), piece.size)
        position += sizeof(PageRange) + piece.size

"""What is left of an environment, page by page, whatever else is broken: no header, tree or chain is trusted.

A page is intact when it carries its own number and the hash of its bytes under the environment's id. That id stands in
both file headers and in every journal record; of all that are found, the one counts under which most pages are intact.
Records that are whole give further images: a whole image is good by itself, a difference only when no transaction
between it and its base is missing. Of a page that is there twice the image of the later transaction counts.
"""

import os

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.checksum cimport hash64
from pynori_core.disk cimport DISK_READ_ONLY, DiskHandle
from pynori_core.errors cimport E_NOT_FOUND, OK, ErrorDetail, error_clear
from pynori_core.format cimport (
    ENTRY_RAW, ENTRY_WHOLE, MAGIC_FILE, MAGIC_RECORD, PAGE_HEADER_A, PAGE_HEADER_B, PAGE_SHIFT, PAGE_SIZE,
    PAGE_TYPE_CATALOG, PAGE_TYPE_RUN, SECTOR_SIZE, FileHeader, PageHeader, RecordHeader,
)
from pynori_core.freespace cimport RUN_PAGES_MAX
from pynori_core.journal cimport journal_number
from pynori_core.pager cimport (
    pager_close, pager_identify, pager_open, pager_read, pager_verify,
)
from pynori_core.record cimport (
    RecordBuffer, RecordCursor, record_apply, record_buffer_release, record_header_valid, record_next, record_open,
    record_payload_valid, record_size, record_sizes_valid,
)

from pynori_core.errors import CorruptError

DATA_NAME = "data.pynori"
SCAN_BYTES = 1 << 20               # of a journal, read at a time
IDS_MAX = 8                        # environment ids that are tried
ID_PAGES_MAX = 4096                # pages that each is tried on


cdef class JournalRecord:
    """Where a whole record lies."""
    def __repr__(self):
        return f"transaction {self.txn_id} in {self.name} at offset {self.offset}"


cdef class Wreck:
    """An environment that nobody has open, opened for salvage; `close` it. Nothing is written."""

    def __init__(self, directory):
        self.disk = directory if isinstance(directory, DiskHandle) else DiskHandle(os.fspath(directory))
        self.notes = []
        self.lost_pages = []
        self.blank_pages = []
        self.lost_transactions = []
        self.uncertain = set()
        self.images = {}
        self.inner = {}
        self.checkpoint_txn = 0
        self.open_data()
        headers = self.headers()
        found = self.scan_journals()
        self.env_id = self.choose_id(headers, found)
        pager_identify(&self.pager, <const uint8_t*><const char*>self.env_id)
        self.checkpoint_txn = max((txn_id for id, txn_id in headers if id == self.env_id), default=0)
        self.replay([record for id, record in found if id == self.env_id and record.is_whole])
        last = max((record.txn_id for id, record in found if id == self.env_id), default=0)
        self.gap(self.last_txn + 1, last + 1)

    def __dealloc__(self):
        self.close()

    def close(self):
        cdef ErrorDetail ignored
        error_clear(&ignored)
        if self.is_open:
            self.is_open = False
            pager_close(&self.pager, &ignored)

    cdef int open_data(self) except -1:
        """The data file; without one the journals may still hold something."""
        cdef ErrorDetail error
        error_clear(&error)
        if pager_open(&self.pager, self.disk.disk, DISK_READ_ONLY, &error) == OK:
            self.is_open = True
        else:
            self.pager.file_pages = 0
            self.notes.append(error.text.decode("utf-8", "replace"))
        return 0

    # ---- whose pages these are

    def headers(self):
        """(environment id, checkpoint transaction) of each whole copy of the file header."""
        cdef const FileHeader* header
        cdef bytes content
        found = []
        for name, page in (("A", PAGE_HEADER_A), ("B", PAGE_HEADER_B)):
            try:
                content = self.disk.read(DATA_NAME, <uint64_t>page << PAGE_SHIFT, SECTOR_SIZE)
            except OSError as error:
                self.notes.append(f"header copy {name} cannot be read: {error.strerror}")
                continue
            header = <const FileHeader*><const char*>content
            if header.magic == MAGIC_FILE and header.hash == hash64(header, sizeof(FileHeader) - 8, 0):
                found.append((header.env_id[:16], header.checkpoint_txn))
            else:
                self.notes.append(f"header copy {name} is not whole")
        return found

    def choose_id(self, list headers, list records):
        """The id under which most pages are intact."""
        cdef ErrorDetail error
        cdef uint64_t page, pages
        cdef dict weights = {}
        for id, _ in headers + records:
            weights[id] = weights.get(id, 0) + 1
        if not weights:
            raise CorruptError("neither a header nor a journal tells the environment's id: no page can be verified")
        if len(weights) == 1:
            return next(iter(weights))
        candidates = sorted(weights, key=lambda id: weights[id], reverse=True)[:IDS_MAX]
        pages = min(<uint64_t>self.pager.file_pages, <uint64_t>ID_PAGES_MAX)
        for id in candidates:
            pager_identify(&self.pager, <const uint8_t*><const char*>id)
            for page in range(pages):
                error_clear(&error)
                weights[id] += ID_PAGES_MAX * (pager_verify(&self.pager, page, &error) == OK)
        return max(candidates, key=lambda id: weights[id])

    # ---- journals

    def scan_journals(self):
        """(environment id, JournalRecord) of every record in every journal that has a whole header."""
        cdef uint64_t number = 0
        found = []
        for name in self.disk.names():
            if journal_number(name.encode(), &number):
                try:
                    self.scan_journal(name, number, found)
                except OSError as error:
                    self.notes.append(f"{name} cannot be read to its end: {error.strerror}")
        return found

    cdef int scan_journal(self, str name, uint64_t number, list found) except -1:
        cdef uint64_t size_bytes = self.disk.size(name) // SECTOR_SIZE * SECTOR_SIZE
        cdef uint64_t offset = 0
        cdef uint64_t start = 0
        cdef const RecordHeader* header
        cdef JournalRecord record
        cdef bytes window = b""
        cdef bytes content
        while offset < size_bytes:
            if offset >= start + len(window):
                start = offset
                window = self.disk.read(name, start, min(SCAN_BYTES, size_bytes - start))
            header = <const RecordHeader*>(<const char*>window + (offset - start))
            if header.magic != MAGIC_RECORD or not record_header_valid(header, header.env_id) \
                    or not record_sizes_valid(header) \
                    or record_size(header.stored_size) > size_bytes - offset:
                offset += SECTOR_SIZE
                continue
            record = JournalRecord.__new__(JournalRecord)
            record.txn_id = header.txn_id
            record.journal = header.journal
            record.name = name
            record.offset = offset
            record.size = record_size(header.stored_size)
            content = self.disk.read(name, offset, record.size)
            if header.stored_size == 0:
                offset += SECTOR_SIZE              # the mark at the end of a journal
                continue
            record.is_whole = record_payload_valid(
                header, <const uint8_t*><const char*>content + sizeof(RecordHeader))
            found.append((header.env_id[:16], record))
            if record.is_whole:
                offset += record.size
            else:
                self.notes.append(f"{name}: the record of transaction {record.txn_id} at offset {offset} is damaged")
                offset += SECTOR_SIZE
        return 0

    cdef int replay(self, list records) except -1:
        """Images of pages from the records, in the order of their transactions."""
        cdef RecordBuffer plain
        cdef JournalRecord record
        cdef uint64_t last = 0
        cdef uint64_t whole_from = 0
        plain.data = NULL
        plain.capacity = 0
        try:
            for record in sorted(records, key=lambda record: (record.txn_id, record.journal)):
                if record.txn_id == last:
                    continue
                if record.txn_id != last + 1:
                    self.gap(max(last, <uint64_t>self.checkpoint_txn) + 1, record.txn_id)
                    whole_from = record.txn_id
                last = record.txn_id
                self.replay_record(record, whole_from, &plain)
        finally:
            record_buffer_release(&plain)
        self.last_txn = max(last, <uint64_t>self.checkpoint_txn)
        return 0

    cdef int gap(self, uint64_t first, uint64_t end) except -1:
        if self.checkpoint_txn != 0 and first < end:
            self.lost_transactions.append((first, end - 1))
        return 0

    cdef int replay_record(self, JournalRecord record, uint64_t whole_from, RecordBuffer* plain) except -1:
        cdef ErrorDetail error
        cdef RecordCursor cursor
        cdef bytes content = self.disk.read(record.name, record.offset, record.size)
        cdef const uint8_t* data = <const uint8_t*><const char*>content
        cdef int code
        error_clear(&error)
        code = record_open(&cursor, <const RecordHeader*>data, data + sizeof(RecordHeader), plain, &error)
        if code != OK:
            self.notes.append(error.text.decode("utf-8", "replace"))
            return 0
        code = record_next(&cursor)
        while code == OK:
            self.replay_page(record.txn_id, whole_from, &cursor)
            code = record_next(&cursor)
        if code != E_NOT_FOUND:
            self.notes.append(f"{record}: makes no sense")
        return 0

    cdef int replay_page(self, uint64_t txn_id, uint64_t whole_from, RecordCursor* cursor) except -1:
        cdef bytearray image
        cdef const PageHeader* header
        cdef uint64_t page = cursor.page
        cdef uint64_t first, i
        if cursor.flags & ENTRY_RAW:
            first = self.inner.get(page, page)
            if first != page and (<tuple>self.images[first])[0] == txn_id:
                image = (<tuple>self.images[first])[1]
                record_apply(cursor, <uint8_t*><char*>image + ((page - first) << PAGE_SHIFT))
            return 0
        if cursor.flags & ENTRY_WHOLE:
            self.forget(page)
            image = bytearray(PAGE_SIZE)
            record_apply(cursor, <uint8_t*><char*>image)
            header = <const PageHeader*><const char*>image
            if header.page != page or header.env_id_short != self.pager.env_id_short \
                    or not PAGE_TYPE_CATALOG <= header.type <= PAGE_TYPE_RUN:
                return 0
            if header.type == PAGE_TYPE_RUN:
                if not 0 < header.run_pages <= RUN_PAGES_MAX:
                    return 0
                image.extend(bytes((<uint64_t>header.run_pages - 1) << PAGE_SHIFT))
                for i in range(page + 1, page + (len(image) >> PAGE_SHIFT)):
                    self.forget(i)
                    self.inner[i] = page
            self.images[page] = (txn_id, image)
            self.uncertain.discard(page)
            return 0
        base = self.images.get(page)
        if base is None or base[0] < whole_from or page in self.uncertain:
            self.uncertain.add(page)       # what is known of it is older than it was
            return 0
        image = base[1]
        record_apply(cursor, <uint8_t*><char*>image)
        self.images[page] = (txn_id, image)
        return 0

    cdef int forget(self, uint64_t page) except -1:
        """The page gets other bytes: a run that it was part of is no more."""
        cdef uint64_t i
        first = self.inner.get(page)
        old = self.images.pop(page if first is None else first, None)
        if old is not None:
            for i in range(len(old[1]) >> PAGE_SHIFT):
                self.inner.pop((page if first is None else first) + i, None)
        return 0

    # ---- pages

    def stored(self, uint64_t page):
        """(transaction, bytes) of the intact page in the data file, of a run all of it; None when it is not intact."""
        cdef ErrorDetail error
        cdef const PageHeader* header
        cdef bytearray content = bytearray(PAGE_SIZE)
        cdef uint32_t pages
        error_clear(&error)
        if not self.is_open or pager_verify(&self.pager, page, &error) != OK \
                or pager_read(&self.pager, page, 1, <uint8_t*><char*>content, &error) != OK:
            return None
        header = <const PageHeader*><const char*>content
        if header.type == PAGE_TYPE_RUN and header.run_pages > 1:
            pages = header.run_pages
            content = bytearray(<uint64_t>pages << PAGE_SHIFT)
            if pager_read(&self.pager, page, pages, <uint8_t*><char*>content, &error) != OK:
                return None
            header = <const PageHeader*><const char*>content
        return header.txn_id, content

    def page(self, uint64_t page):
        """(transaction, bytes) of the newest intact image of a page, of a run all of it, or None."""
        logged = self.images.get(page)
        stored = self.stored(page)
        if logged is None and stored is not None and page in self.inner:
            logged = self.images[self.inner[page]]
            return stored if stored[0] > logged[0] else None
        if logged is None or stored is None:
            return stored or logged
        return stored if stored[0] > logged[0] else logged

    def pages(self):
        """(page, transaction, bytes) of every page that is intact; the others are afterwards in `lost_pages`, and in
        `blank_pages` when they are all zeros: nothing in the page itself tells whether something was there."""
        cdef uint64_t page = 1
        cdef uint64_t end = max(<uint64_t>self.pager.file_pages, max(self.images, default=0) + 1)
        cdef uint64_t count, i
        self.lost_pages = []
        self.blank_pages = []
        while page < end:
            found = None if page == PAGE_HEADER_B else self.page(page)
            count = 1
            if found is not None:
                count = len(found[1]) >> PAGE_SHIFT
                for i in range(1, count):
                    if (page + i) in self.images and self.images[page + i][0] > found[0]:
                        count, found = 1, None         # a run whose pages have been used for other things since
                        break
            if found is not None:
                yield page, found[0], found[1]
            elif page != PAGE_HEADER_B and page not in self.inner:
                (self.blank_pages if self.blank(page) else self.lost_pages).append(page)
            page += count

    cdef bint blank(self, uint64_t page) except -1:
        cdef ErrorDetail error
        cdef bytearray content = bytearray(PAGE_SIZE)
        error_clear(&error)
        return page < self.pager.file_pages \
            and pager_read(&self.pager, page, 1, <uint8_t*><char*>content, &error) == OK and not any(content)

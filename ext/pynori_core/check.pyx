"""Check of one environment: headers, journals, pages, free space, and with `check_trees` everything that trees promise.

Opens for reading only: what the journals hold is replayed in memory, nothing is written. Each finding names the
invariant of FORMAT.md that is broken and where.
"""

import os

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.checksum cimport hash64
from pynori_core.disk cimport DiskHandle
from pynori_core.errors cimport error_clear
from pynori_core.format cimport (
    BITMAP_PAGES, MAGIC_FILE, PAGE_BITMAP_FIRST, PAGE_CATALOG, PAGE_HEADER_A, PAGE_HEADER_B, PAGE_SHIFT,
    SECTOR_SIZE, FileHeader,
)
from pynori_core.freespace cimport bitmap_page, bitmap_test
from pynori_core.txn cimport Transaction, txn_page

from pynori_core.check_trees import check_transaction
from pynori_core.env import Env
from pynori_core.errors import CorruptError

FINDINGS_MAX = 200


def check(directory):
    """Findings of one environment that nobody has open, as texts; an empty list when all is well.

    directory: a path, or a DiskHandle.
    Raises: Busy when it is open; NotFound, DiskError, VersionError when its files cannot be read.
    """
    disk = directory if isinstance(directory, DiskHandle) else DiskHandle(os.fspath(directory))
    findings = check_headers(disk)
    try:
        env = Env.open(disk, read_only=True)
    except CorruptError as error:
        return [*findings, f"I7 violated: {error}" if "journal" in str(error) else f"I4 violated: {error}"]
    with env:
        findings += check_environment(env)
    return findings[:FINDINGS_MAX]


def check_environment(env):
    """Findings about the pages, free space and trees of an open environment, as of its last transaction."""
    with env.read() as txn:
        file_pages = env.statistics()["file_pages"]
        findings, owned = check_transaction(txn, file_pages)
        # Free space can be judged only when the trees could be walked to their ends.
        check_free_space(txn, owned, file_pages, findings, not findings)
    return findings[:FINDINGS_MAX]


def check_headers(DiskHandle disk not None):
    """Findings about the two copies of the file header (I4)."""
    cdef const FileHeader* header
    cdef bytes content
    findings = []
    for name, page in (("A", PAGE_HEADER_A), ("B", PAGE_HEADER_B)):
        content = disk.read("data.pynori", <uint64_t>page << PAGE_SHIFT, SECTOR_SIZE)
        header = <const FileHeader*><const char*>content
        if header.magic != MAGIC_FILE:
            findings.append(f"I4: header copy {name} (page {page}) has no magic number")
        elif header.hash != hash64(header, sizeof(FileHeader) - 8, 0):
            findings.append(f"I4: header copy {name} (page {page}) does not have the hash of its bytes")
        elif any(content[sizeof(FileHeader):]):
            findings.append(f"I4: header copy {name} (page {page}) is followed by bytes that are not zero")
    return findings


cdef int check_free_space(Transaction owner, bytearray owned, uint64_t file_pages, list findings,
                          bint trees_whole) except -1:
    """T9 and I2: a page is used exactly when somebody has it."""
    cdef const uint8_t* bitmap
    cdef uint64_t index, page, end
    cdef bint used
    for page in (PAGE_HEADER_A, PAGE_CATALOG, PAGE_BITMAP_FIRST, PAGE_HEADER_B):
        owned[page] = 1
    for index in range((file_pages + BITMAP_PAGES - 1) // BITMAP_PAGES):
        owned[bitmap_page(index)] = 1
        bitmap = txn_page(owner.txn, bitmap_page(index))
        if bitmap == NULL:
            findings.append("I1 violated: " + owner.txn.error.text.decode("utf-8", "replace"))
            error_clear(&owner.txn.error)
            continue
        end = min(BITMAP_PAGES, file_pages - index * BITMAP_PAGES)
        for page in range(end):
            used = bitmap_test(bitmap, <uint32_t>page)
            if used == (owned[index * BITMAP_PAGES + page] != 0):
                continue
            if used and not trees_whole:
                continue           # it may belong to what could not be walked
            findings.append(f"T9 violated: page {index * BITMAP_PAGES + page} is marked as "
                            + ("used, and nobody has it" if used else "free, and is in use"))
            if len(findings) >= FINDINGS_MAX:
                return 0
    return 0

"""Read and write transactions over pages: the face that trees and all above them use.

A read transaction is a snapshot: it sees every page as of one published transaction and blocks nobody. A write
transaction changes private copies (versions) of pages; sealing hands them to the journal, in order. Functions return
NULL or an ErrorCode on failure; the first failure is kept in `txn.error` and makes a write transaction unusable: it can
only be aborted. Page pointers live as long as the transaction; a pointer got from txn_page before txn_modify of the
same page goes stale in the write transaction.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from pynori_core.bits cimport atomic_load_pointer, likely
from pynori_core.errors cimport ErrorDetail
from pynori_core.format cimport PAGE_SHIFT, PageHeader
from pynori_core.scratch cimport SLOT_CHUNK_PAGES, SLOT_CHUNK_SHIFT, SLOT_UNVERIFIED, SLOT_VERIFIED, PageVersion
from pynori_core.state cimport Env

cdef struct Txn:
    void* env                      # Env*
    uint64_t id                    # read: the snapshot; write: the number it will have
    const uint8_t* map_base        # the data file
    uint64_t map_pages             # pages that may be read through the map
    void*** slots                  # directory of chunks of slots
    bint writable
    ErrorDetail error              # the first failure; code 0 while usable
    void* state                    # private to env.pyx: the ReaderSlot of a reader
    # Of a write transaction: another number after each allocation, freeing and rollback, in no two transactions of an
    # environment the same. As long as it stays, a page that was in a tree is in it.
    uint64_t stamp
    uint64_t user_txn_first        # write: user transaction numbers merged into it, set by the owner
    uint64_t user_txn_last

# The page as this transaction sees it; NULL and txn.error set when it is corrupt or out of range. Resident pages cost
# two dependent loads. For the first page of a run the whole run is contiguous from the returned pointer on.
cdef const uint8_t* txn_page_slow(Txn* txn, uint64_t page) noexcept nogil

cdef inline const uint8_t* txn_page(Txn* txn, uint64_t page) noexcept nogil:
    cdef void** chunk
    cdef void* slot
    if likely(page < txn.map_pages):
        chunk = <void**>atomic_load_pointer(<void**>&txn.slots[page >> SLOT_CHUNK_SHIFT])
        if likely(chunk != NULL):
            slot = atomic_load_pointer(&chunk[page & (SLOT_CHUNK_PAGES - 1)])
            if likely(slot == <void*>SLOT_VERIFIED):
                return txn.map_base + (page << PAGE_SHIFT)
    return txn_page_slow(txn, page)

# A private writable copy of the page (the same pointer for the rest of the transaction unless a savepoint intervenes).
# Sets PageHeader.txn_id. Not for pages of runs.
cdef uint8_t* txn_modify(Txn* txn, uint64_t page) noexcept nogil
# The same for who changes bytes [start, end) only, and before his next call: the journal looks at nothing else then.
cdef uint8_t* txn_modify_range(Txn* txn, uint64_t page, uint32_t start, uint32_t end) noexcept nogil

# `run_pages` contiguous new pages, contiguous in memory too; the first has its PageHeader filled in (page, txn_id,
# env_id_short, type, tree, run_pages; lower = sizeof(PageHeader), upper = PAGE_SIZE), the rest of the memory is zero
# for a single page and undefined for a run.
cdef uint8_t* txn_allocate(Txn* txn, uint32_t run_pages, uint8_t type, uint16_t tree, uint64_t* page) noexcept nogil
cdef int txn_free(Txn* txn, uint64_t page, uint32_t run_pages) noexcept nogil

# One savepoint at a time. txn_rollback undoes every page change, allocation and free since it; txn_release forgets it.
cdef int txn_savepoint(Txn* txn) noexcept nogil
cdef int txn_rollback(Txn* txn) noexcept nogil
cdef void txn_release(Txn* txn) noexcept nogil

# Tells the disk that these pages will be read soon. A hint: costs a system call, waits for nothing.
cdef void txn_prefetch(Txn* txn, uint64_t page, uint32_t pages) noexcept nogil

# For env.pyx. Undoes every change of the write transaction.
cdef void txn_undo(Txn* txn) noexcept nogil
# Ends the executing half: checks every changed page, leaves one version a page, and hands out their list (linked by
# next).
cdef int txn_finish(Txn* txn, PageVersion** first, uint64_t* pages) noexcept nogil

# What Python holds of a transaction; the owner of the Txn derives from it. NULL once the transaction has ended.
cdef class Transaction:
    cdef Txn* txn

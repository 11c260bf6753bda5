"""What is to be put into an index, gathered in memory: documents, their entries as records, and how it is sorted.

A writer calls `batch_document`, then for each entry `batch_term` and `batch_token` as often as it likes and
`batch_entry`, then `batch_document_end`. A document that comes twice counts as it came last. `index_flush` merges a
batch into the trees. Nothing here needs the interpreter.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pynori_core.arena cimport Arena
from pynori_core.errors cimport ErrorDetail
from pynori_core.output cimport Output
from pynori_core.posting cimport Payload

cdef enum:
    BATCH_BYTES_MAX = 268435456        # memory of one batch; one document that needs more is refused
    BATCH_DOCUMENTS_MAX = 1048576      # documents of one batch
    ENTRY_TERMS_MAX = 1048576          # values of one entry

cdef struct BatchEntry:
    BatchEntry* next
    const uint8_t* record
    size_t size
    const Payload* payloads            # of the terms of text fields, in the order of the record; NULL: none
    uint64_t id                        # given by the flush

cdef struct BatchDocument:
    const uint8_t* key                 # lower-cased id
    uint32_t key_size
    uint32_t entry_count
    BatchEntry* entries
    uint64_t* old                      # ids it had, found by the flush
    uint32_t old_count
    bint superseded                    # it comes again later

cdef struct EntryTerm:                 # of the entry that is being gathered
    const uint8_t* data                # offset in `terms` until they are sorted
    uint32_t size
    uint32_t field
    uint32_t position                  # of a token
    bint token

cdef struct Batch:
    Arena arena                        # keys, records, payloads
    BatchDocument* documents           # malloc'd
    size_t count
    size_t capacity
    Output terms                       # bytes of the terms of the current entry
    EntryTerm* each                    # malloc'd
    size_t each_count
    size_t each_capacity
    Output scratch                     # for lower-casing
    const uint8_t* id                  # of the current document, as spelt, in the arena
    size_t id_size
    BatchEntry** tail                  # where the next entry of the current document is hung

cdef struct SortItem:                  # bytes to be sorted, and whose they are
    uint64_t cache                     # the next 8 bytes to compare
    const uint8_t* data
    uint32_t size
    uint32_t index

cdef void batch_init(Batch* batch) noexcept nogil
cdef void batch_release(Batch* batch) noexcept nogil
cdef void batch_clear(Batch* batch) noexcept nogil
cdef size_t batch_bytes(const Batch* batch) noexcept nogil

# Each returns OK, E_NO_MEMORY or E_TOO_LARGE. `id` has 1 to ID_SIZE_MAX bytes.
cdef int batch_document(Batch* batch, const uint8_t* id, size_t size) noexcept nogil
cdef int batch_term(Batch* batch, uint32_t field, const uint8_t* term, size_t size) noexcept nogil
cdef int batch_token(Batch* batch, uint32_t field, const uint8_t* term, size_t size, uint32_t position) noexcept nogil
cdef int batch_entry(Batch* batch, const uint8_t* stored, size_t stored_size) noexcept nogil   # stored NULL: nothing
cdef void batch_document_end(Batch* batch) noexcept nogil
# The current document has no entries after all.
cdef void batch_document_drop(Batch* batch) noexcept nogil

# Sorts by bytes. No item may be the beginning of another one, but for equal ones. `depth`: bytes that are in the caches
# already and equal within what they do not tell apart: 0 fills the caches first.
cdef void sort_bytes(SortItem* items, size_t count, uint32_t depth) noexcept nogil
cdef uint64_t sort_cache(const uint8_t* data, uint32_t size, uint32_t depth) noexcept nogil

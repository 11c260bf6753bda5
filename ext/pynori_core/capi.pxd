"""The C face of the engine: pynori.h as Cython sees it. `capi.pyx` fills the table; nobody else needs this."""

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, uint32_t, uint64_t

cdef extern from "pynori.h" nogil:
    enum:
        PYNORI_ABI
        PYNORI_MUST_EXIST
        PYNORI_SCAN_IDS
        PYNORI_SCAN_RECENT
        PYNORI_SCAN_COLLECTION
        PYNORI_SCAN_CHANGES

    ctypedef struct pynori_error:
        int32_t code
        int32_t system_error
        uint64_t offset
        uint32_t command
        char message[1000]

    ctypedef struct pynori_database:
        pass
    ctypedef struct pynori_batch:
        pass
    ctypedef struct pynori_snapshot:
        pass
    ctypedef struct pynori_scan:
        pass

    ctypedef struct pynori_document:
        const char* json
        size_t json_size
        const char* id
        size_t id_size
        const char* change_vector
        size_t change_vector_size
        uint64_t etag
        uint32_t deleted
        void* memory
        size_t memory_size

    ctypedef struct pynori_options:
        size_t size
        uint32_t flags
        const char* node_tag
        const char* allow_filesystem
        uint64_t memory_bytes_max
        uint64_t checkpoint_bytes

    ctypedef struct pynori_scan_options:
        size_t size
        int32_t kind
        int32_t backwards
        const char* prefix
        size_t prefix_size
        const char* start_after
        size_t start_after_size
        const char* collection
        size_t collection_size
        uint64_t since
        uint64_t skip
        uint64_t limit

    ctypedef struct pynori_counters:
        size_t size
        uint64_t documents
        uint64_t tombstones
        uint64_t last_etag
        uint64_t transactions
        uint64_t commits
        uint64_t syncs
        uint64_t file_bytes
        uint64_t memory_bytes
        uint64_t readers

    ctypedef struct pynori_api:
        uint32_t abi
        uint32_t size
        const char* (*code_name)(int) noexcept nogil
        int (*open)(const char*, const pynori_options*, pynori_database**, pynori_error*) noexcept nogil
        int (*close)(pynori_database*, pynori_error*) noexcept nogil
        int (*checkpoint)(pynori_database*, pynori_error*) noexcept nogil
        int (*counters)(pynori_database*, pynori_counters*, pynori_error*) noexcept nogil
        int (*get)(pynori_database*, const char*, size_t, pynori_document*, pynori_error*) noexcept nogil
        int (*put)(pynori_database*, const char*, size_t, const char*, size_t, const char*, size_t, pynori_document*,
                   pynori_error*) noexcept nogil
        int (*remove)(pynori_database*, const char*, size_t, const char*, size_t, pynori_document*,
                      pynori_error*) noexcept nogil
        int (*batch_begin)(pynori_database*, pynori_batch**, pynori_error*) noexcept nogil
        int (*batch_put)(pynori_batch*, const char*, size_t, const char*, size_t, const char*, size_t,
                         pynori_error*) noexcept nogil
        int (*batch_remove)(pynori_batch*, const char*, size_t, const char*, size_t, pynori_error*) noexcept nogil
        int (*batch_commit)(pynori_batch*, pynori_error*) noexcept nogil
        int (*batch_result)(pynori_batch*, size_t, pynori_document*, pynori_error*) noexcept nogil
        void (*batch_end)(pynori_batch*) noexcept nogil
        int (*snapshot_begin)(pynori_database*, pynori_snapshot**, pynori_error*) noexcept nogil
        int (*snapshot_get)(pynori_snapshot*, const char*, size_t, pynori_document*, pynori_error*) noexcept nogil
        int (*snapshot_end)(pynori_snapshot*, pynori_error*) noexcept nogil
        int (*scan_begin)(pynori_snapshot*, const pynori_scan_options*, pynori_scan**, pynori_error*) noexcept nogil
        int (*scan_next)(pynori_scan*, pynori_document*, pynori_error*) noexcept nogil
        void (*scan_end)(pynori_scan*) noexcept nogil
        void (*document_release)(pynori_document*) noexcept nogil

"""The seam between the engine and the world of files: one struct of functions, with a real and a memory instance.

Everything that the engine writes goes through here, so that a simulation can stand in for the disk. Pages are not read
through it: `map` hands out a base address once. A Disk is one directory; names are plain file names in it. Each
function returns 0 or the errno value of what failed; `disk_error` turns that into an ErrorCode with file and offset.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from pynori_core.errors cimport ErrorDetail

cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len

cdef enum DiskOpenFlag:
    DISK_READ_ONLY = 1
    DISK_CREATE = 2                # must not exist yet
    DISK_DIRECT = 4                # past the cache, writes durable on return, where the file system can

cdef enum DiskSync:
    DISK_SYNC_DATA = 0             # bytes, and as much metadata as reading them back takes
    DISK_SYNC_FULL = 1

cdef enum:
    DISK_NAME_MAX = 64             # bytes of a file name, its zero included
    DISK_VECTORS_MAX = 1024        # of one write

cdef struct DiskFile:
    Disk* disk
    int descriptor
    bint direct                    # buffers, sizes and offsets must be multiples of SECTOR_SIZE
    bint durable                   # what `write` has returned from needs no `sync`
    char name[64]
    void* extra                    # the instance's own

ctypedef void (*DiskListCallback)(void* context, const char* name) noexcept nogil

cdef struct Disk:
    void* extra                    # the instance's own
    bint lasting                   # False: everything is gone with the process (memory, tmpfs)
    # `*file` is released by close. EEXIST with DISK_CREATE, ENOENT without.
    int (*open)(Disk* disk, const char* name, int flags, DiskFile** file) noexcept nogil
    int (*close)(DiskFile* file) noexcept nogil
    # Takes the directory for this opener until unlock or release. EAGAIN when another one has it, with its text in
    # `holder`.
    int (*lock)(Disk* disk, const char* name, char* holder, size_t holder_size) noexcept nogil
    void (*unlock)(Disk* disk) noexcept nogil
    int (*size)(DiskFile* file, uint64_t* size_bytes) noexcept nogil
    # all, or ENODATA at the end
    int (*read)(DiskFile* file, void* buffer, size_t size, uint64_t offset) noexcept nogil
    int (*write)(DiskFile* file, iovec* vectors, int count, uint64_t offset) noexcept nogil   # all; changes `vectors`
    int (*sync)(DiskFile* file, int kind) noexcept nogil
    int (*allocate)(DiskFile* file, uint64_t size_bytes) noexcept nogil     # grow with real blocks that read as zeros
    int (*truncate)(DiskFile* file, uint64_t size_bytes) noexcept nogil     # never a mapped file
    # Read-only window of `size_bytes` from the file's start; it may reach beyond the end, where it must not be touched.
    int (*map)(DiskFile* file, uint64_t size_bytes, uint8_t** base) noexcept nogil
    void (*unmap)(DiskFile* file, uint8_t* base, uint64_t size_bytes) noexcept nogil
    void (*prefetch)(DiskFile* file, uint64_t offset, uint64_t size_bytes) noexcept nogil
    # Memory over real blocks of a file that has no name and is gone after `unspill` or with the process. EOPNOTSUPP: it
    # would be memory in any case.
    int (*spill)(Disk* disk, uint64_t size_bytes, uint8_t** base) noexcept nogil
    void (*unspill)(Disk* disk, uint8_t* base, uint64_t size_bytes) noexcept nogil
    int (*rename)(Disk* disk, const char* source, const char* target) noexcept nogil
    int (*unlink)(Disk* disk, const char* name) noexcept nogil
    int (*sync_dir)(Disk* disk) noexcept nogil
    int (*space)(Disk* disk, uint64_t* free_bytes) noexcept nogil
    int (*list)(Disk* disk, DiskListCallback callback, void* context) noexcept nogil
    # A directory that was opened as new gets its name, durably. EEXIST when somebody else has it.
    int (*settle)(Disk* disk) noexcept nogil
    int (*random)(Disk* disk, void* buffer, size_t size) noexcept nogil
    uint64_t (*time_ms)(Disk* disk) noexcept nogil                          # Unix time
    # all files must be closed; gives the lock back
    void (*release)(Disk* disk) noexcept nogil

# An existing directory. `allow_filesystem`: NULL, or a file system type to accept although it is unsafe (rule D16).
cdef int disk_open_real(const char* directory, const char* allow_filesystem, Disk** disk,
                        ErrorDetail* error) noexcept nogil
# A new directory, built under the name `<directory>.creating` until `settle`; leftovers of a crash there are removed.
cdef int disk_create_real(const char* directory, const char* allow_filesystem, Disk** disk,
                          ErrorDetail* error) noexcept nogil
cdef int disk_open_memory(Disk** disk, ErrorDetail* error) noexcept nogil

# Fills `error` from an errno value and returns its ErrorCode: E_DISK_FULL, E_NO_MEMORY or E_IO.
cdef int disk_error(ErrorDetail* error, int errno_value, const char* action, const char* name,
                    uint64_t offset) noexcept nogil
# One plain buffer instead of vectors.
cdef int disk_write(DiskFile* file, const void* buffer, size_t size, uint64_t offset) noexcept nogil

# A disk in Python's hands, to be passed to Env.create and Env.open in place of a directory.
cdef class DiskHandle:
    cdef Disk* disk                # released with the handle; every environment on it must be closed by then

    cdef DiskFile* open_file(self, str name) except NULL

"""How many things of each kind are open right now, counted in the debug build: what a test leaves open is a leak.

The counters cost nothing elsewhere: HANDLES_COUNTED is a constant, and the compiler drops what it guards. `hooks` reads
them. A page version that nothing reaches any more when its environment closes stays counted for good, as does a buffer.
"""

from libc.stdint cimport int64_t

cdef enum HandleKind:
    HANDLE_DISK = 0                # Disk instances
    HANDLE_FILE = 1                # descriptors behind a DiskFile
    HANDLE_MAPPING = 2             # windows onto data files
    HANDLE_ENVIRONMENT = 3         # closing one with a live write transaction is refused: so these are counted too
    HANDLE_SNAPSHOT = 4            # registered readers: read transactions, and a running checkpoint
    HANDLE_VERSION = 5             # page versions
    HANDLE_BUFFER = 6              # page images and runs in scratch memory
    HANDLE_ARENA_CHUNK = 7
    HANDLE_RECORD_BUFFER = 8       # memory in which journal records are made and read
    HANDLE_KINDS = 9

cdef extern from *:
    """
    #ifdef PYNORI_DEBUG
    #define PYN_HANDLES_COUNTED 1
    #else
    #define PYN_HANDLES_COUNTED 0
    #endif
    """
    const bint HANDLES_COUNTED "PYN_HANDLES_COUNTED"

cdef void handle_change(HandleKind kind, int64_t change) noexcept nogil
cdef int64_t handle_count(HandleKind kind) noexcept nogil


cdef inline void handle_opened(HandleKind kind) noexcept nogil:
    if HANDLES_COUNTED:
        handle_change(kind, 1)


cdef inline void handle_closed(HandleKind kind) noexcept nogil:
    if HANDLES_COUNTED:
        handle_change(kind, -1)

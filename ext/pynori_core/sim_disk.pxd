"""What a recorded disk is made of: shared blocks, files, the record of calls, and what of it is durable at a point."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from pynori_core.disk cimport Disk, DiskHandle
from pynori_core.threads cimport Condition

cdef enum:
    BLOCK_SIZE = 4096
    NAMES_MAX = 64                 # files in a directory
    FILES_MAX = 1024               # files that one life may make, those removed again included

cdef enum CallKind:
    CALL_WRITE = 0                 # not durable yet
    CALL_WRITTEN = 1               # the durable write `call` has returned
    CALL_SIZE = 2                  # allocate or truncate
    CALL_SYNC = 3
    CALL_CREATE = 4
    CALL_RENAME = 5
    CALL_UNLINK = 6
    CALL_SYNC_DIR = 7
    CALL_SETTLE = 8                # creation is complete: from here on the directory exists
    CALL_TRY = 9                   # marks of the caller: transaction `offset` is being tried, is acknowledged
    CALL_ACK = 10

cdef enum CutMode:                 # which units of what was not synced a crash leaves
    CUT_NONE = 0
    CUT_ALL = 1
    CUT_PREFIX = 2                 # the first `choice` of them
    CUT_RANDOM = 3                 # each by a coin
    CUT_GARBAGE = 4                # each there, not there, or overwritten with random bytes
    CUT_HALF = 5                   # the first `choice`, and half of the next sector
    CUT_LAST_WRITE = 6             # of the last write everything, of those before nothing
    CUT_FIRST_LOST = 7             # of the first write nothing, of those after it everything
    CUT_OMIT = 8                   # all but number `choice`
    CUT_OMIT_PAIR = 9              # all but `choice` % units and `choice` // units
    CUT_SUBSET = 10                # those whose bit in `choice` is set
    CUT_REVERSED = 11              # the last `choice` of them

cdef struct Block:                 # never changed while it has more than one reference
    uint32_t references
    Block* next                    # in the pool
    uint8_t data[4096]

cdef struct Content:               # of a file. NULL: zeros
    Block** blocks
    uint64_t count                 # entries of `blocks`
    uint64_t size_bytes

cdef struct Window:                # memory that stands for a map; kept from one disk to the next
    Window* next
    uint8_t* base
    uint64_t size_bytes
    Block** blocks                 # what each block of it was copied from; 1: unknown
    uint64_t count

cdef struct File:
    Content base                   # when the record began
    Content now
    Window* window                 # while it is mapped

cdef struct Name:
    int file
    char name[64]

cdef struct Directory:
    int count
    Name names[NAMES_MAX]

cdef struct Call:
    int kind
    int file
    uint64_t offset                # or the transaction
    uint64_t size_bytes
    uint8_t* bytes                 # of a write; NULL: zeros
    char* names                    # two of 64 bytes, of calls that change names
    uint64_t call                  # of CALL_WRITTEN

cdef struct Replay:                # what is durable at a point of the record, and what waits
    uint64_t point
    Content* files
    int file_count
    Directory directory
    uint64_t* waiting              # writes and sizes, by number of their call, in order
    uint64_t waiting_count
    uint64_t waiting_room
    uint64_t* names                # the same for changes of names
    uint64_t names_count
    uint64_t names_room
    bint settled
    uint64_t tried
    uint64_t acked

cdef struct Sim:
    Disk face                      # first: this is the Disk that the engine sees
    Condition released             # `held` has ended
    File* files
    int file_count
    int base_count                 # files that were there when the record began
    Directory base_directory
    Directory directory
    Call* calls
    uint64_t call_count
    uint64_t call_room
    Replay replay
    bint locked
    bint durable                   # direct writes are durable on return
    bint settled                   # when the record began
    bint held                      # durable writes wait
    bint hooked                    # the hook is running
    void* hook                     # a Python callable, or NULL
    uint64_t random
    uint64_t clock_ms
    uint64_t tried                 # when the record began
    uint64_t acked

cdef class SimDisk(DiskHandle):
    cdef object kept_hook          # keeps `hook` alive

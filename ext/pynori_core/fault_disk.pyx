"""A disk that fails on command: the real or the memory disk, with one operation out of order.

For tests of what the engine promises when the world fails. Everything else goes straight to the disk below.
"""

import errno as errno_names

from libc.errno cimport ENOMEM
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, strcmp

from pynori_core.disk cimport Disk, DiskFile, DiskHandle, iovec

cdef enum Operation:
    OPERATION_OPEN = 0
    OPERATION_WRITE = 1
    OPERATION_SYNC = 2             # also of a durable write, after its bytes were written
    OPERATION_ALLOCATE = 3
    OPERATION_RENAME = 4
    OPERATION_UNLINK = 5
    OPERATION_SYNC_DIR = 6
    OPERATION_READ = 7
    OPERATION_COUNT = 8

NAMES = ["open", "write", "sync", "allocate", "rename", "unlink", "sync_dir", "read"]

cdef struct FaultDisk:
    Disk face                      # first: this is the Disk that the engine sees
    Disk below
    uint64_t counts[OPERATION_COUNT]
    uint64_t fail_at[OPERATION_COUNT]      # number of the call that fails, from 1; 0: none
    bint fail_on[OPERATION_COUNT]          # and all calls after it
    int errors[OPERATION_COUNT]
    uint64_t lose_offset           # writes to these bytes of the data file are lost, and nobody is told
    uint64_t lose_size


cdef inline int fault(FaultDisk* faults, int operation) noexcept nogil:
    faults.counts[operation] += 1
    if faults.fail_at[operation] == 0 or faults.counts[operation] < faults.fail_at[operation]:
        return 0
    if faults.counts[operation] > faults.fail_at[operation] and not faults.fail_on[operation]:
        return 0
    return faults.errors[operation]


cdef int fault_open(Disk* disk, const char* name, int flags, DiskFile** file) noexcept nogil:
    cdef FaultDisk* faults = <FaultDisk*>disk
    cdef int result = fault(faults, OPERATION_OPEN)
    if result == 0:
        result = faults.below.open(disk, name, flags, file)
    return result


cdef int fault_read(DiskFile* file, void* buffer, size_t size, uint64_t offset) noexcept nogil:
    cdef FaultDisk* faults = <FaultDisk*>file.disk
    cdef int result = fault(faults, OPERATION_READ)
    return result if result != 0 else faults.below.read(file, buffer, size, offset)


cdef int write_and_lose(FaultDisk* faults, DiskFile* file, iovec* vectors, int count, uint64_t offset) noexcept nogil:
    """Writes, and puts back what was in the place whose writes are lost."""
    cdef uint8_t* before = <uint8_t*>calloc(1, faults.lose_size)
    cdef iovec vector
    cdef int result = ENOMEM
    if before != NULL:
        result = faults.below.read(file, before, faults.lose_size, faults.lose_offset)
    if result == 0:
        result = faults.below.write(file, vectors, count, offset)
    if result == 0:
        vector.iov_base = before
        vector.iov_len = faults.lose_size
        result = faults.below.write(file, &vector, 1, faults.lose_offset)
    free(before)
    return result


cdef int fault_write(DiskFile* file, iovec* vectors, int count, uint64_t offset) noexcept nogil:
    cdef FaultDisk* faults = <FaultDisk*>file.disk
    cdef int result = fault(faults, OPERATION_WRITE)
    if result == 0 and faults.lose_size != 0 and strcmp(file.name, b"data.pynori") == 0:
        result = write_and_lose(faults, file, vectors, count, offset)
    elif result == 0:
        result = faults.below.write(file, vectors, count, offset)
    if result == 0 and file.durable:
        result = fault(faults, OPERATION_SYNC)
    return result


cdef int fault_sync(DiskFile* file, int kind) noexcept nogil:
    cdef FaultDisk* faults = <FaultDisk*>file.disk
    cdef int result = fault(faults, OPERATION_SYNC)
    return result if result != 0 else faults.below.sync(file, kind)


cdef int fault_allocate(DiskFile* file, uint64_t size_bytes) noexcept nogil:
    cdef FaultDisk* faults = <FaultDisk*>file.disk
    cdef int result = fault(faults, OPERATION_ALLOCATE)
    return result if result != 0 else faults.below.allocate(file, size_bytes)


cdef int fault_rename(Disk* disk, const char* source, const char* target) noexcept nogil:
    cdef int result = fault(<FaultDisk*>disk, OPERATION_RENAME)
    return result if result != 0 else (<FaultDisk*>disk).below.rename(disk, source, target)


cdef int fault_unlink(Disk* disk, const char* name) noexcept nogil:
    cdef int result = fault(<FaultDisk*>disk, OPERATION_UNLINK)
    return result if result != 0 else (<FaultDisk*>disk).below.unlink(disk, name)


cdef int fault_sync_dir(Disk* disk) noexcept nogil:
    cdef int result = fault(<FaultDisk*>disk, OPERATION_SYNC_DIR)
    return result if result != 0 else (<FaultDisk*>disk).below.sync_dir(disk)


cdef class FaultHandle(DiskHandle):
    """An existing directory, or None for memory, behind the faults that `fail` asks for."""

    def __init__(self, directory=None):
        cdef FaultDisk* faults
        cdef Disk* below
        DiskHandle.__init__(self, directory)
        below = self.disk
        faults = <FaultDisk*>calloc(1, sizeof(FaultDisk))
        if faults == NULL:
            raise MemoryError()
        memcpy(&faults.below, below, sizeof(Disk))
        memcpy(&faults.face, below, sizeof(Disk))
        free(below)                # its `extra` lives on behind the face, and is released with it
        faults.face.open = fault_open
        faults.face.read = fault_read
        faults.face.write = fault_write
        faults.face.sync = fault_sync
        faults.face.allocate = fault_allocate
        faults.face.rename = fault_rename
        faults.face.unlink = fault_unlink
        faults.face.sync_dir = fault_sync_dir
        self.disk = &faults.face

    def fail(self, str operation not None, uint64_t after=1, str error="EIO", bint lasting=True):
        """The `after`-th call of the operation from now fails with that errno, and with `lasting` all that follow."""
        cdef FaultDisk* faults = <FaultDisk*>self.disk
        cdef int index = NAMES.index(operation)
        faults.errors[index] = getattr(errno_names, error)
        faults.fail_on[index] = lasting
        faults.fail_at[index] = faults.counts[index] + after

    def lose_writes(self, uint64_t offset, uint64_t size):
        """From now on writes to these bytes of the data file succeed and change nothing."""
        cdef FaultDisk* faults = <FaultDisk*>self.disk
        faults.lose_offset = offset
        faults.lose_size = size

    def heal(self):
        """No further failures and losses."""
        cdef int index
        (<FaultDisk*>self.disk).lose_size = 0
        for index in range(<int>OPERATION_COUNT):
            (<FaultDisk*>self.disk).fail_at[index] = 0

    def counts(self):
        """Calls so far, by operation."""
        return {name: (<FaultDisk*>self.disk).counts[<int>position] for position, name in enumerate(NAMES)}

"""A disk that fails on command: the real or the memory disk, with one operation, or one call of any, out of order.

For tests of what the engine promises when the world fails. Everything else goes straight to the disk below. A call
that fails did nothing below, except: a write may leave its first bytes (`part`), and a sync, or what makes a durable
write durable, fails after the bytes were written. A call may also be slow (`stall`).
"""

import errno as errno_names

from libc.errno cimport ENOMEM
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, strcmp

from pynori_core.bits cimport atomic_add64
from pynori_core.disk cimport DISK_VECTORS_MAX, Disk, DiskFile, DiskHandle, DiskListCallback, iovec
from pynori_core.threads cimport sleep_us

cdef enum Operation:
    OPERATION_OPEN = 0
    OPERATION_WRITE = 1
    OPERATION_SYNC = 2             # also of a durable write, after its bytes were written
    OPERATION_ALLOCATE = 3
    OPERATION_RENAME = 4
    OPERATION_UNLINK = 5
    OPERATION_SYNC_DIR = 6
    OPERATION_READ = 7
    OPERATION_MAP = 8
    OPERATION_TRUNCATE = 9
    OPERATION_SIZE = 10
    OPERATION_CLOSE = 11
    OPERATION_LIST = 12
    OPERATION_ANY = 13             # counts every call
    OPERATION_COUNT = 14

NAMES = ["open", "write", "sync", "allocate", "rename", "unlink", "sync_dir", "read", "map", "truncate", "size",
         "close", "list", "any"]

cdef struct Plan:
    uint64_t calls                 # so far; atomic
    uint64_t fail_at               # number of the call that fails, from 1; 0: none
    bint lasting                   # and all calls after it
    int error
    uint64_t part                  # bytes of a failing write that are written all the same
    uint64_t stall_at              # number of the first call that is slow; 0: none
    uint64_t stall_us

cdef struct FaultDisk:
    Disk face                      # first: this is the Disk that the engine sees
    Disk below
    Plan plans[OPERATION_COUNT]
    uint64_t stalled               # calls that were slow; atomic
    uint64_t failed                # calls that failed on command; atomic
    uint64_t files                 # open now; atomic
    uint64_t maps                  # mapped now; atomic
    uint64_t lose_offset           # writes to these bytes of the data file are lost, and nobody is told
    uint64_t lose_size


cdef int fault_of(FaultDisk* faults, Plan* plan, uint64_t* part) noexcept nogil:
    cdef uint64_t number = atomic_add64(&plan.calls, 1)
    if plan.stall_at != 0 and number >= plan.stall_at:
        atomic_add64(&faults.stalled, 1)
        sleep_us(plan.stall_us)
    if plan.fail_at == 0 or number < plan.fail_at or (number > plan.fail_at and not plan.lasting):
        return 0
    atomic_add64(&faults.failed, 1)
    part[0] = plan.part
    return plan.error


cdef int fault_part(FaultDisk* faults, int operation, uint64_t* part) noexcept nogil:
    """0, or the error of this call; `part` of a write's bytes are to be written before it."""
    cdef int result
    part[0] = 0
    result = fault_of(faults, &faults.plans[<int>OPERATION_ANY], part)
    if result == 0:
        result = fault_of(faults, &faults.plans[operation], part)
    return result


cdef inline int fault(FaultDisk* faults, int operation) noexcept nogil:
    cdef uint64_t part
    return fault_part(faults, operation, &part)


cdef int fault_open(Disk* disk, const char* name, int flags, DiskFile** file) noexcept nogil:
    cdef FaultDisk* faults = <FaultDisk*>disk
    cdef int result = fault(faults, OPERATION_OPEN)
    if result == 0:
        result = faults.below.open(disk, name, flags, file)
    if result == 0:
        atomic_add64(&faults.files, 1)
    return result


cdef int fault_read(DiskFile* file, void* buffer, size_t size, uint64_t offset) noexcept nogil:
    cdef FaultDisk* faults = <FaultDisk*>file.disk
    cdef int result = fault(faults, OPERATION_READ)
    return result if result != 0 else faults.below.read(file, buffer, size, offset)


cdef void write_part(FaultDisk* faults, DiskFile* file, const iovec* vectors, int count, uint64_t offset,
                     uint64_t part) noexcept nogil:
    """The first bytes of a write that then fails; whether even that works does not matter."""
    cdef iovec cut[DISK_VECTORS_MAX]
    cdef int i = 0
    while i < count and part != 0:
        cut[i] = vectors[i]
        if cut[i].iov_len > part:
            cut[i].iov_len = <size_t>part
        part -= cut[i].iov_len
        i += 1
    if i != 0:
        faults.below.write(file, cut, i, offset)


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
    cdef uint64_t part
    cdef int result = fault_part(faults, OPERATION_WRITE, &part)
    if result != 0:
        write_part(faults, file, vectors, count, offset, part)
        return result
    if faults.lose_size != 0 and strcmp(file.name, b"data.pynori") == 0:
        result = write_and_lose(faults, file, vectors, count, offset)
    else:
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


cdef int fault_map(DiskFile* file, uint64_t size_bytes, uint8_t** base) noexcept nogil:
    cdef FaultDisk* faults = <FaultDisk*>file.disk
    cdef int result = fault(faults, OPERATION_MAP)
    if result == 0:
        result = faults.below.map(file, size_bytes, base)
    if result == 0:
        atomic_add64(&faults.maps, 1)
    return result


cdef void fault_unmap(DiskFile* file, uint8_t* base, uint64_t size_bytes) noexcept nogil:
    cdef FaultDisk* faults = <FaultDisk*>file.disk
    atomic_add64(&faults.maps, <uint64_t>-1)
    faults.below.unmap(file, base, size_bytes)


cdef int fault_spill(Disk* disk, uint64_t size_bytes, uint8_t** base) noexcept nogil:
    cdef int result = fault(<FaultDisk*>disk, OPERATION_ALLOCATE)
    return result if result != 0 else (<FaultDisk*>disk).below.spill(disk, size_bytes, base)


cdef int fault_truncate(DiskFile* file, uint64_t size_bytes) noexcept nogil:
    cdef FaultDisk* faults = <FaultDisk*>file.disk
    cdef int result = fault(faults, OPERATION_TRUNCATE)
    return result if result != 0 else faults.below.truncate(file, size_bytes)


cdef int fault_size(DiskFile* file, uint64_t* size_bytes) noexcept nogil:
    cdef FaultDisk* faults = <FaultDisk*>file.disk
    cdef int result = fault(faults, OPERATION_SIZE)
    return result if result != 0 else faults.below.size(file, size_bytes)


cdef int fault_close(DiskFile* file) noexcept nogil:
    """A close that fails has closed all the same, as the system's does."""
    cdef FaultDisk* faults = <FaultDisk*>file.disk
    cdef int failed = fault(faults, OPERATION_CLOSE)
    cdef int result = faults.below.close(file)
    atomic_add64(&faults.files, <uint64_t>-1)
    return result if failed == 0 else failed


cdef int fault_list(Disk* disk, DiskListCallback callback, void* context) noexcept nogil:
    cdef int result = fault(<FaultDisk*>disk, OPERATION_LIST)
    return result if result != 0 else (<FaultDisk*>disk).below.list(disk, callback, context)


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
        faults.face.map = fault_map
        faults.face.spill = fault_spill
        faults.face.unmap = fault_unmap
        faults.face.truncate = fault_truncate
        faults.face.size = fault_size
        faults.face.close = fault_close
        faults.face.list = fault_list
        self.disk = &faults.face

    cdef Plan* plan(self, str operation) except NULL:
        return &(<FaultDisk*>self.disk).plans[<int>NAMES.index(operation)]

    def fail(self, str operation not None, uint64_t after=1, str error="EIO", bint lasting=True, uint64_t part=0):
        """The `after`-th call of the operation from now fails with that errno, and with `lasting` all that follow.

        part: bytes of the failing write that reach the disk below.
        """
        cdef Plan* plan = self.plan(operation)
        plan.error = getattr(errno_names, error)
        plan.lasting = lasting
        plan.part = part
        plan.fail_at = plan.calls + after

    def stall(self, str operation not None, uint64_t milliseconds, uint64_t after=1):
        """From the `after`-th call from now on each call of the operation takes that much longer."""
        cdef Plan* plan = self.plan(operation)
        plan.stall_us = milliseconds * 1000
        plan.stall_at = plan.calls + after

    def lose_writes(self, uint64_t offset, uint64_t size):
        """From now on writes to these bytes of the data file succeed and change nothing."""
        cdef FaultDisk* faults = <FaultDisk*>self.disk
        faults.lose_offset = offset
        faults.lose_size = size

    def heal(self):
        """No further failures, losses and stalls."""
        cdef int index
        (<FaultDisk*>self.disk).lose_size = 0
        for index in range(<int>OPERATION_COUNT):
            (<FaultDisk*>self.disk).plans[index].fail_at = 0
            (<FaultDisk*>self.disk).plans[index].stall_at = 0

    def counts(self):
        """Calls so far, by operation; `any` is all of them."""
        return {name: (<FaultDisk*>self.disk).plans[<int>position].calls for position, name in enumerate(NAMES)}

    def live(self):
        """(files that are open, maps that are there)."""
        return (<FaultDisk*>self.disk).files, (<FaultDisk*>self.disk).maps

    @property
    def failed(self):
        """Calls that failed on command."""
        return (<FaultDisk*>self.disk).failed

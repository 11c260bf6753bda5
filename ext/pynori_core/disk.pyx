"""The real disk and the memory disk behind the seam of `disk.pxd`.

The real one works relative to a directory descriptor, so that the directory may be renamed while it is open. Writes
loop over short counts and interruptions; a failed sync is never asked for again. The memory disk keeps a table of
names over anonymous memory files: the same calls, syncs that do nothing, so in-memory databases run the same engine.
"""

import os

from libc.errno cimport EAGAIN, EDQUOT, EEXIST, EINVAL, ENOENT, ENOMEM, ENOSPC, ENOTEMPTY, EOPNOTSUPP, errno
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.stdio cimport rename as rename_path, snprintf
from libc.string cimport memset, strchr, strcmp, strerror, strlen, strncpy, strrchr

from pynori_core.errors cimport (
    E_BUSY, E_DISK_FULL, E_INVALID, E_IO, E_NO_MEMORY, E_NOT_FOUND, E_UNSAFE_FILESYSTEM, OK, error_clear, error_set,
    raise_error,
)
from pynori_core.forks cimport ForkMark, fork_forget, fork_watch
from pynori_core.handles cimport HANDLE_DISK, HANDLE_FILE, HANDLE_MAPPING, handle_closed, handle_opened
from pynori_core.threads cimport Mutex, mutex_destroy, mutex_init, mutex_lock, mutex_unlock

cdef extern from "pynori_disk.h" nogil:
    int PYN_DIRECT_FLAGS
    int PYN_MAP_FLAGS
    int sync_descriptor "pyn_sync"(int descriptor, int full) noexcept
    int read_descriptor "pyn_read"(int descriptor, void* buffer, size_t size, uint64_t offset) noexcept
    int write_descriptor "pyn_write"(int descriptor, iovec* vectors, int count, uint64_t offset) noexcept
    int allocate_descriptor "pyn_allocate"(int descriptor, uint64_t size) noexcept
    int memory_file "pyn_memory_file"() noexcept
    int nameless_file "pyn_nameless_file"(int directory) noexcept
    int lock_descriptor "pyn_lock"(int descriptor) noexcept
    void unlock_descriptor "pyn_unlock"(int descriptor) noexcept
    void identity_text "pyn_identity"(char* text, size_t size) noexcept
    int random_bytes "pyn_random"(void* buffer, size_t size) noexcept
    uint64_t unix_ms "pyn_unix_ms"() noexcept
    const char* unsafe_filesystem "pyn_unsafe_filesystem"(int descriptor, int* lasting) noexcept
    void prefetch_descriptor "pyn_prefetch"(int descriptor, uint64_t offset, uint64_t size) noexcept

    int O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_CLOEXEC, O_DIRECTORY, F_DUPFD_CLOEXEC
    int PROT_READ, PROT_WRITE, MAP_SHARED
    void* MAP_FAILED
    int open_path "open"(const char* path, int flags, ...) noexcept
    int openat(int directory, const char* name, int flags, ...) noexcept
    int close_descriptor "close"(int descriptor) noexcept
    int fcntl(int descriptor, int command, ...) noexcept
    int ftruncate(int descriptor, long long size) noexcept
    int renameat(int source_directory, const char* source, int target_directory, const char* target) noexcept
    int unlinkat(int directory, const char* name, int flags) noexcept
    int make_directory "mkdir"(const char* path, unsigned int mode) noexcept
    void* mmap(void* address, size_t size, int protection, int flags, int descriptor, long long offset) noexcept
    int munmap(void* address, size_t size) noexcept
    cdef struct stat_result "stat":
        long long st_size
    int fstat(int descriptor, stat_result* status) noexcept
    cdef struct statvfs_result "statvfs":
        unsigned long f_frsize
        unsigned long long f_bavail
    int fstatvfs(int descriptor, statvfs_result* status) noexcept
    ctypedef struct DIR:
        pass
    cdef struct dirent:
        char d_name[256]
    DIR* fdopendir(int descriptor) noexcept
    void rewinddir(DIR* directory) noexcept
    dirent* readdir(DIR* directory) noexcept
    int closedir(DIR* directory) noexcept

cdef enum:
    PATH_MAX_BYTES = 4096
    # names of one memory disk: far more than the journals that a checkpoint may lag behind
    MEMORY_FILES_MAX = 65536

cdef struct RealDisk:
    int directory                  # descriptor
    int lock                       # descriptor of the lock file, or -1
    ForkMark fork_mark             # closes a child's copy of it
    bint unsettled                 # still under its temporary name
    char path[4096]                # the directory's final path

cdef struct MemoryName:
    int descriptor                 # -1: free entry
    char name[64]

cdef struct MemoryDisk:
    Mutex mutex                    # guards all below
    MemoryName* names
    int count
    bint locked


cdef int disk_error(ErrorDetail* error, int errno_value, const char* action, const char* name,
                    uint64_t offset) noexcept nogil:
    cdef int code = E_IO
    if errno_value == ENOSPC or errno_value == EDQUOT:
        code = E_DISK_FULL
    elif errno_value == ENOMEM:
        code = E_NO_MEMORY
    if error != NULL and error.code == OK:
        error_set(error, code, "%s: cannot %s at offset %llu: %s", name, action, <unsigned long long>offset,
                  strerror(errno_value))
        error.errno_ = errno_value
        error.offset = offset
    return code


cdef int disk_write(DiskFile* file, const void* buffer, size_t size, uint64_t offset) noexcept nogil:
    cdef iovec vector
    vector.iov_base = <void*>buffer
    vector.iov_len = size
    return file.disk.write(file, &vector, 1, offset)


# Files: the same for both instances, because a memory file is a descriptor too.

cdef DiskFile* file_new(Disk* disk, const char* name, int descriptor) noexcept nogil:
    cdef DiskFile* file = <DiskFile*>calloc(1, sizeof(DiskFile))
    if file == NULL:
        close_descriptor(descriptor)
        return NULL
    file.disk = disk
    file.descriptor = descriptor
    strncpy(file.name, name, DISK_NAME_MAX - 1)
    handle_opened(HANDLE_FILE)
    return file


cdef int file_close(DiskFile* file) noexcept nogil:
    cdef int result = 0
    if close_descriptor(file.descriptor) != 0:
        result = errno
    handle_closed(HANDLE_FILE)
    free(file)
    return result


cdef int file_size(DiskFile* file, uint64_t* size_bytes) noexcept nogil:
    cdef stat_result status
    if fstat(file.descriptor, &status) != 0:
        return errno
    size_bytes[0] = <uint64_t>status.st_size
    return 0


cdef int file_read(DiskFile* file, void* buffer, size_t size, uint64_t offset) noexcept nogil:
    return read_descriptor(file.descriptor, buffer, size, offset)


cdef int file_write(DiskFile* file, iovec* vectors, int count, uint64_t offset) noexcept nogil:
    return write_descriptor(file.descriptor, vectors, count, offset)


cdef int file_sync(DiskFile* file, int kind) noexcept nogil:
    return sync_descriptor(file.descriptor, kind == DISK_SYNC_FULL)


cdef int file_sync_nothing(DiskFile* file, int kind) noexcept nogil:
    return 0


cdef int file_allocate(DiskFile* file, uint64_t size_bytes) noexcept nogil:
    return allocate_descriptor(file.descriptor, size_bytes)


cdef int file_truncate(DiskFile* file, uint64_t size_bytes) noexcept nogil:
    return 0 if ftruncate(file.descriptor, <long long>size_bytes) == 0 else errno


cdef int file_allocate_memory(DiskFile* file, uint64_t size_bytes) noexcept nogil:
    """Memory is taken page by page on first touch: reserving it all would cost more than a small database holds."""
    cdef uint64_t present = 0
    cdef int result = file_size(file, &present)
    if result != 0 or present >= size_bytes:
        return result
    return file_truncate(file, size_bytes)


cdef int file_map(DiskFile* file, uint64_t size_bytes, uint8_t** base) noexcept nogil:
    cdef void* address = mmap(NULL, size_bytes, PROT_READ, PYN_MAP_FLAGS, file.descriptor, 0)
    if address == MAP_FAILED:
        return errno
    base[0] = <uint8_t*>address
    handle_opened(HANDLE_MAPPING)
    return 0


cdef void file_unmap(DiskFile* file, uint8_t* base, uint64_t size_bytes) noexcept nogil:
    handle_closed(HANDLE_MAPPING)
    munmap(base, size_bytes)


cdef void file_prefetch(DiskFile* file, uint64_t offset, uint64_t size_bytes) noexcept nogil:
    prefetch_descriptor(file.descriptor, offset, size_bytes)


cdef int no_spill(Disk* disk, uint64_t size_bytes, uint8_t** base) noexcept nogil:
    return EOPNOTSUPP


cdef int real_spill(Disk* disk, uint64_t size_bytes, uint8_t** base) noexcept nogil:
    cdef RealDisk* real = <RealDisk*>disk.extra
    cdef void* address
    cdef int descriptor
    cdef int result
    if not disk.lasting:
        return EOPNOTSUPP
    descriptor = nameless_file(real.directory)
    if descriptor < 0:
        return errno
    result = allocate_descriptor(descriptor, size_bytes)
    if result == 0:
        address = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        if address == MAP_FAILED:
            result = errno
        else:
            base[0] = <uint8_t*>address
            handle_opened(HANDLE_MAPPING)
    close_descriptor(descriptor)
    return result


cdef void disk_unspill(Disk* disk, uint8_t* base, uint64_t size_bytes) noexcept nogil:
    handle_closed(HANDLE_MAPPING)
    munmap(base, size_bytes)


cdef int disk_random(Disk* disk, void* buffer, size_t size) noexcept nogil:
    return random_bytes(buffer, size)


cdef uint64_t disk_time_ms(Disk* disk) noexcept nogil:
    return unix_ms()


cdef int disk_space(Disk* disk, uint64_t* free_bytes) noexcept nogil:
    cdef RealDisk* real = <RealDisk*>disk.extra
    cdef statvfs_result status
    if fstatvfs(real.directory, &status) != 0:
        return errno
    free_bytes[0] = <uint64_t>status.f_bavail * status.f_frsize
    return 0


# The real disk.

cdef int real_open(Disk* disk, const char* name, int flags, DiskFile** file) noexcept nogil:
    cdef RealDisk* real = <RealDisk*>disk.extra
    cdef int mode = O_CLOEXEC | (O_RDONLY if flags & DISK_READ_ONLY else O_RDWR)
    cdef int direct = PYN_DIRECT_FLAGS if flags & DISK_DIRECT else 0
    cdef int descriptor
    if strlen(name) >= DISK_NAME_MAX:
        return EINVAL
    if flags & DISK_CREATE:
        mode |= O_CREAT | O_EXCL
    descriptor = openat(real.directory, name, mode | direct, 0o600)
    if descriptor < 0 and direct != 0 and errno == EINVAL:
        direct = 0                 # this file system knows no direct writes; a creation left nothing behind
        unlinkat(real.directory, name, 0) if flags & DISK_CREATE else 0
        descriptor = openat(real.directory, name, mode, 0o600)
    if descriptor < 0:
        return errno
    file[0] = file_new(disk, name, descriptor)
    if file[0] == NULL:
        return ENOMEM
    file[0].direct = direct != 0
    file[0].durable = direct != 0 and not flags & DISK_READ_ONLY
    return 0


cdef int real_lock(Disk* disk, const char* name, char* holder, size_t holder_size) noexcept nogil:
    cdef RealDisk* real = <RealDisk*>disk.extra
    cdef int descriptor = openat(real.directory, name, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    cdef int result
    cdef char text[128]
    cdef iovec vector
    memset(holder, 0, holder_size)
    if descriptor < 0:
        return errno
    result = lock_descriptor(descriptor)
    if result == 0:
        identity_text(text, sizeof(text))
        vector.iov_base = text
        vector.iov_len = strlen(text)
        result = write_descriptor(descriptor, &vector, 1, 0)
        if result == 0 and ftruncate(descriptor, <long long>strlen(text)) != 0:
            result = errno
    if result != 0:
        if result == EAGAIN:
            read_descriptor(descriptor, holder, holder_size - 1, 0)    # a shorter text is what is expected
            if strchr(holder, c"\n") != NULL:
                strchr(holder, c"\n")[0] = 0
        close_descriptor(descriptor)
        return result
    real.lock = descriptor
    fork_watch(&real.fork_mark, drop_lock_in_child, real)
    return 0


cdef void drop_lock_in_child(void* argument) noexcept nogil:
    """A child's copy of the descriptor would keep the lock beyond the life of its owner."""
    cdef RealDisk* real = <RealDisk*>argument
    close_descriptor(real.lock)
    real.lock = -1


cdef void real_unlock(Disk* disk) noexcept nogil:
    cdef RealDisk* real = <RealDisk*>disk.extra
    if real.lock >= 0:
        fork_forget(&real.fork_mark)
        unlock_descriptor(real.lock)
        close_descriptor(real.lock)
        real.lock = -1


cdef int real_rename(Disk* disk, const char* source, const char* target) noexcept nogil:
    cdef RealDisk* real = <RealDisk*>disk.extra
    return 0 if renameat(real.directory, source, real.directory, target) == 0 else errno


cdef int real_unlink(Disk* disk, const char* name) noexcept nogil:
    cdef RealDisk* real = <RealDisk*>disk.extra
    return 0 if unlinkat(real.directory, name, 0) == 0 else errno


cdef int real_sync_dir(Disk* disk) noexcept nogil:
    return sync_descriptor((<RealDisk*>disk.extra).directory, 1)


cdef int real_list(Disk* disk, DiskListCallback callback, void* context) noexcept nogil:
    cdef RealDisk* real = <RealDisk*>disk.extra
    cdef int descriptor = openat(real.directory, b".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    cdef DIR* directory
    cdef dirent* entry
    if descriptor < 0:
        return errno
    directory = fdopendir(descriptor)
    if directory == NULL:
        close_descriptor(descriptor)
        return ENOMEM
    entry = readdir(directory)
    while entry != NULL:
        if strcmp(entry.d_name, b".") != 0 and strcmp(entry.d_name, b"..") != 0:
            callback(context, entry.d_name)
        entry = readdir(directory)
    closedir(directory)
    return 0


cdef int temporary_path(const char* path, char* target) noexcept nogil:
    cdef int size = snprintf(target, PATH_MAX_BYTES, "%s.creating", path)
    return 0 if 0 < size < PATH_MAX_BYTES else EINVAL


cdef int real_settle(Disk* disk) noexcept nogil:
    cdef RealDisk* real = <RealDisk*>disk.extra
    cdef char temporary[4096]
    cdef char parent[4096]
    cdef char* slash
    cdef int descriptor, result
    if not real.unsettled:
        return 0
    result = temporary_path(real.path, temporary)
    if result != 0:
        return result
    if rename_path(temporary, real.path) != 0:
        return EEXIST if errno == ENOTEMPTY else errno
    real.unsettled = False
    # Sync the parent too: after a power cut a directory without its name is a lost directory.
    strncpy(parent, real.path, PATH_MAX_BYTES)
    slash = strrchr(parent, c"/")
    if slash == NULL:
        strncpy(parent, b".", 2)
    elif slash == parent:
        parent[1] = 0
    else:
        slash[0] = 0
    descriptor = open_path(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0:
        return errno
    result = sync_descriptor(descriptor, 1)
    close_descriptor(descriptor)
    return result


cdef void disk_free(Disk* disk) noexcept nogil:
    handle_closed(HANDLE_DISK)
    free(disk.extra)
    free(disk)


cdef void real_release(Disk* disk) noexcept nogil:
    cdef RealDisk* real = <RealDisk*>disk.extra
    real_unlock(disk)
    close_descriptor(real.directory)
    disk_free(disk)


cdef Disk* disk_new(size_t extra_size) noexcept nogil:
    cdef Disk* disk = <Disk*>calloc(1, sizeof(Disk))
    if disk == NULL:
        return NULL
    disk.extra = calloc(1, extra_size)
    if disk.extra == NULL:
        free(disk)
        return NULL
    handle_opened(HANDLE_DISK)
    disk.close = file_close
    disk.size = file_size
    disk.read = file_read
    disk.write = file_write
    disk.sync = file_sync
    disk.allocate = file_allocate
    disk.truncate = file_truncate
    disk.map = file_map
    disk.unmap = file_unmap
    disk.prefetch = file_prefetch
    disk.spill = no_spill
    disk.unspill = disk_unspill
    disk.random = disk_random
    disk.time_ms = disk_time_ms
    return disk


cdef int disk_open_real(const char* directory, const char* allow_filesystem, Disk** disk,
                        ErrorDetail* error) noexcept nogil:
    cdef Disk* made
    cdef RealDisk* real
    cdef const char* unsafe
    cdef int lasting = 1
    cdef int result
    disk[0] = NULL
    if strlen(directory) >= PATH_MAX_BYTES - 16:
        error_set(error, E_INVALID, "path of %zu bytes is too long", strlen(directory))
        return E_INVALID
    made = disk_new(sizeof(RealDisk))
    if made == NULL:
        return disk_error(error, ENOMEM, b"open", directory, 0)
    real = <RealDisk*>made.extra
    real.lock = -1
    strncpy(real.path, directory, PATH_MAX_BYTES - 1)
    real.directory = open_path(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if real.directory < 0:
        result = errno
        disk_free(made)
        if result == ENOENT:
            error_set(error, E_NOT_FOUND, "%s: no such directory", directory)
            return E_NOT_FOUND
        return disk_error(error, result, b"open", directory, 0)
    made.open = real_open
    made.spill = real_spill
    made.lock = real_lock
    made.unlock = real_unlock
    made.rename = real_rename
    made.unlink = real_unlink
    made.sync_dir = real_sync_dir
    made.space = disk_space
    made.list = real_list
    made.settle = real_settle
    made.release = real_release
    unsafe = unsafe_filesystem(real.directory, &lasting)
    made.lasting = lasting
    if unsafe != NULL and (allow_filesystem == NULL or strcmp(unsafe, allow_filesystem) != 0):
        error_set(error, E_UNSAFE_FILESYSTEM, "%s lies on file system type '%s', which does not keep what a database "
                  "needs; allow it by that name if you must", directory, unsafe)
        real_release(made)
        return E_UNSAFE_FILESYSTEM
    disk[0] = made
    return OK


cdef void remove_entry(void* disk, const char* name) noexcept nogil:
    if strcmp(name, b"lock") != 0:
        real_unlink(<Disk*>disk, name)


cdef int disk_create_real(const char* directory, const char* allow_filesystem, Disk** disk,
                          ErrorDetail* error) noexcept nogil:
    cdef char temporary[4096]
    cdef char final[4096]
    cdef char holder[128]
    cdef size_t size = strlen(directory)
    cdef int result
    disk[0] = NULL
    if size == 0 or size >= PATH_MAX_BYTES - 16:
        error_set(error, E_INVALID, "a path has 1 to %d bytes", PATH_MAX_BYTES - 17)
        return E_INVALID
    strncpy(final, directory, PATH_MAX_BYTES)
    while size > 1 and final[size - 1] == c"/":
        size -= 1
        final[size] = 0
    temporary_path(final, temporary)
    if make_directory(temporary, 0o700) != 0 and errno != EEXIST:
        return disk_error(error, errno, b"create", temporary, 0)
    result = disk_open_real(temporary, allow_filesystem, disk, error)
    if result != OK:
        return result
    strncpy((<RealDisk*>disk[0].extra).path, final, PATH_MAX_BYTES)
    (<RealDisk*>disk[0].extra).unsettled = True
    result = disk[0].lock(disk[0], b"lock", holder, sizeof(holder))
    if result == EAGAIN:
        error_set(error, E_BUSY, "%s is being created by %s", directory, holder)
        result = E_BUSY
    elif result != 0:
        result = disk_error(error, result, b"lock", temporary, 0)
    else:
        result = disk[0].list(disk[0], remove_entry, disk[0])
        if result != 0:
            result = disk_error(error, result, b"list", temporary, 0)
    if result != OK:
        disk[0].release(disk[0])
        disk[0] = NULL
    return result


# The memory disk.

cdef MemoryName* memory_find(MemoryDisk* memory, const char* name) noexcept nogil:
    cdef int i
    for i in range(memory.count):
        if memory.names[i].descriptor >= 0 and strcmp(memory.names[i].name, name) == 0:
            return &memory.names[i]
    return NULL


cdef MemoryName* memory_add(MemoryDisk* memory, const char* name) noexcept nogil:
    cdef MemoryName* names
    cdef MemoryName* entry = NULL
    cdef int i
    for i in range(memory.count):
        if memory.names[i].descriptor < 0:
            entry = &memory.names[i]
            break
    if entry == NULL:
        if memory.count >= MEMORY_FILES_MAX:
            return NULL
        names = <MemoryName*>realloc(memory.names, (memory.count + 1) * sizeof(MemoryName))
        if names == NULL:
            return NULL
        memory.names = names
        entry = &names[memory.count]
        memory.count += 1
    memset(entry, 0, sizeof(MemoryName))
    strncpy(entry.name, name, DISK_NAME_MAX - 1)
    entry.descriptor = memory_file()
    return entry if entry.descriptor >= 0 else NULL


cdef int memory_open(Disk* disk, const char* name, int flags, DiskFile** file) noexcept nogil:
    cdef MemoryDisk* memory = <MemoryDisk*>disk.extra
    cdef MemoryName* entry
    cdef int descriptor = -1
    cdef int result = 0
    if strlen(name) >= DISK_NAME_MAX:
        return EINVAL
    mutex_lock(&memory.mutex)
    entry = memory_find(memory, name)
    if entry != NULL and flags & DISK_CREATE:
        result = EEXIST
    elif entry == NULL and not flags & DISK_CREATE:
        result = ENOENT
    elif entry == NULL:
        entry = memory_add(memory, name)
        result = 0 if entry != NULL else ENOMEM
    if result == 0:
        descriptor = fcntl(entry.descriptor, F_DUPFD_CLOEXEC, 0)
        result = 0 if descriptor >= 0 else errno
    mutex_unlock(&memory.mutex)
    if result != 0:
        return result
    file[0] = file_new(disk, name, descriptor)
    if file[0] == NULL:
        return ENOMEM
    file[0].durable = True
    return 0


cdef int memory_lock(Disk* disk, const char* name, char* holder, size_t holder_size) noexcept nogil:
    cdef MemoryDisk* memory = <MemoryDisk*>disk.extra
    cdef bint busy
    mutex_lock(&memory.mutex)
    busy = memory.locked
    memory.locked = True
    mutex_unlock(&memory.mutex)
    snprintf(holder, holder_size, "this process")
    return EAGAIN if busy else 0


cdef void memory_unlock(Disk* disk) noexcept nogil:
    cdef MemoryDisk* memory = <MemoryDisk*>disk.extra
    mutex_lock(&memory.mutex)
    memory.locked = False
    mutex_unlock(&memory.mutex)


cdef int memory_rename(Disk* disk, const char* source, const char* target) noexcept nogil:
    cdef MemoryDisk* memory = <MemoryDisk*>disk.extra
    cdef MemoryName* entry
    cdef MemoryName* replaced
    cdef int result = ENOENT
    mutex_lock(&memory.mutex)
    entry = memory_find(memory, source)
    if entry != NULL:
        result = 0
        replaced = memory_find(memory, target)
        if replaced != NULL and replaced != entry:
            close_descriptor(replaced.descriptor)
            replaced.descriptor = -1
        strncpy(entry.name, target, DISK_NAME_MAX - 1)
    mutex_unlock(&memory.mutex)
    return result


cdef int memory_unlink(Disk* disk, const char* name) noexcept nogil:
    cdef MemoryDisk* memory = <MemoryDisk*>disk.extra
    cdef MemoryName* entry
    cdef int result = ENOENT
    mutex_lock(&memory.mutex)
    entry = memory_find(memory, name)
    if entry != NULL:
        close_descriptor(entry.descriptor)
        entry.descriptor = -1
        result = 0
    mutex_unlock(&memory.mutex)
    return result


cdef int memory_nothing(Disk* disk) noexcept nogil:
    return 0


cdef int memory_space(Disk* disk, uint64_t* free_bytes) noexcept nogil:
    free_bytes[0] = <uint64_t>-1
    return 0


cdef int memory_list(Disk* disk, DiskListCallback callback, void* context) noexcept nogil:
    """The callback gets a copy of each name, so that it may open and unlink."""
    cdef MemoryDisk* memory = <MemoryDisk*>disk.extra
    cdef char name[64]
    cdef int i = 0
    while True:
        mutex_lock(&memory.mutex)
        while i < memory.count and memory.names[i].descriptor < 0:
            i += 1
        if i >= memory.count:
            mutex_unlock(&memory.mutex)
            return 0
        strncpy(name, memory.names[i].name, DISK_NAME_MAX)
        i += 1
        mutex_unlock(&memory.mutex)
        callback(context, name)


cdef void memory_release(Disk* disk) noexcept nogil:
    cdef MemoryDisk* memory = <MemoryDisk*>disk.extra
    cdef int i
    for i in range(memory.count):
        if memory.names[i].descriptor >= 0:
            close_descriptor(memory.names[i].descriptor)
    mutex_destroy(&memory.mutex)
    free(memory.names)
    disk_free(disk)


cdef int disk_open_memory(Disk** disk, ErrorDetail* error) noexcept nogil:
    cdef Disk* made = disk_new(sizeof(MemoryDisk))
    if made == NULL:
        return disk_error(error, ENOMEM, b"open", b"memory", 0)
    mutex_init(&(<MemoryDisk*>made.extra).mutex)
    made.open = memory_open
    made.lock = memory_lock
    made.unlock = memory_unlock
    made.sync = file_sync_nothing
    made.allocate = file_allocate_memory
    made.rename = memory_rename
    made.unlink = memory_unlink
    made.sync_dir = memory_nothing
    made.space = memory_space
    made.list = memory_list
    made.settle = memory_nothing
    made.release = memory_release
    disk[0] = made
    return OK


cdef class DiskHandle:
    """An existing directory, or with None a memory disk, whose files outlive the environments opened on it."""

    def __init__(self, directory=None):
        cdef ErrorDetail error
        cdef bytes path
        cdef int code
        error_clear(&error)
        if self.disk != NULL:
            raise ValueError("a handle is made once")
        if directory is None:
            code = disk_open_memory(&self.disk, &error)
        else:
            path = os.fsencode(directory)
            code = disk_open_real(path, NULL, &self.disk, &error)
        if code != OK:
            raise_error(&error)

    def __dealloc__(self):
        if self.disk != NULL:
            self.disk.release(self.disk)

    def size(self, str name not None):
        """Bytes of a file."""
        cdef DiskFile* file = self.open_file(name)
        cdef uint64_t size_bytes = 0
        cdef int result = self.disk.size(file, &size_bytes)
        self.disk.close(file)
        if result != 0:
            raise OSError(result, os.strerror(result), name)
        return size_bytes

    def read(self, str name not None, uint64_t offset, uint64_t size):
        """`size` bytes of a file. Raises OSError, also when the file ends before."""
        cdef DiskFile* file = self.open_file(name)
        cdef bytearray content = bytearray(size)
        cdef int result = self.disk.read(file, <char*>content, size, offset)
        self.disk.close(file)
        if result != 0:
            raise OSError(result, os.strerror(result), name)
        return bytes(content)

    cdef DiskFile* open_file(self, str name) except NULL:
        cdef DiskFile* file = NULL
        cdef bytes encoded = name.encode()
        cdef int result = self.disk.open(self.disk, encoded, DISK_READ_ONLY, &file)
        if result != 0:
            raise OSError(result, os.strerror(result), name)
        return file

    def names(self):
        """Names of the files, sorted."""
        cdef list found = []
        cdef int result = self.disk.list(self.disk, list_name, <void*>found)
        if result != 0:
            raise OSError(result, os.strerror(result))
        return sorted(found)


cdef void list_name(void* context, const char* name) noexcept nogil:
    with gil:
        (<list>context).append(name.decode())

"""A disk in private memory that records every call, and builds what a crash at any point of the record could leave.

Contents are tables of 4 KB blocks that images share until one of them writes, so an image costs a copy of a few
tables. What was synced is in every image; of the rest a *cut* says which sectors, lengths and names are there. A
durable write (`DiskFile.durable`) waits like any other from its call until its return, and is on the medium after it.
Changes of names are durable after `sync_dir`; a later one is never there without an earlier one of the same name.

For tests. One lock guards all simulated disks of the process.
"""

cimport cython

from libc.errno cimport EAGAIN, EEXIST, EINVAL, ENODATA, ENOENT, ENOMEM, ENOSPC, EOPNOTSUPP
from libc.stdint cimport UINT64_MAX, uint8_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset, strcmp, strlen, strncpy

from pynori_core.bits cimport min64
from pynori_core.disk cimport DISK_CREATE, DISK_DIRECT, DISK_NAME_MAX, DISK_READ_ONLY, DiskFile, DiskListCallback, iovec
from pynori_core.threads cimport (
    Mutex, condition_broadcast, condition_destroy, condition_init, condition_wait_ms, mutex_init, mutex_lock,
    mutex_unlock,
)

cdef extern from *:
    """
    #include <sys/mman.h>
    static void *pyn_window_take(size_t size) {
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        return memory == MAP_FAILED ? NULL : memory;
    }
    static const uint8_t pyn_zero_block[4096];
    """
    void* window_memory "pyn_window_take"(size_t size) noexcept nogil
    const uint8_t* ZERO_BLOCK "pyn_zero_block"

cdef enum:
    HOLD_MS_MAX = 5000             # a held write goes on after this long: tests hang on nothing
    BLOCKS_PER_LOT = 256

cdef Block* UNKNOWN = <Block*>1

MODES = ("none", "all", "prefix", "random", "garbage", "half", "last write", "first lost", "omit", "omit pair",
         "subset", "reversed")
KINDS = ("write", "written", "size", "sync", "create", "rename", "unlink", "sync_dir", "settle", "try", "ack")

cdef Mutex world
cdef Block* free_blocks = NULL
cdef Window* free_windows = NULL
mutex_init(&world)


# Blocks and contents.

cdef Block* block_new() noexcept nogil:
    global free_blocks
    cdef Block* block = free_blocks
    cdef int i
    if block == NULL:
        block = <Block*>malloc(BLOCKS_PER_LOT * sizeof(Block))
        if block == NULL:
            return NULL
        for i in range(BLOCKS_PER_LOT):
            block[i].next = free_blocks
            free_blocks = &block[i]
        block = free_blocks
    free_blocks = block.next
    block.references = 1
    return block


cdef inline void block_drop(Block* block) noexcept nogil:
    global free_blocks
    if block <= UNKNOWN:
        return
    block.references -= 1
    if block.references == 0:
        block.next = free_blocks
        free_blocks = block


cdef bint content_room(Content* content, uint64_t count) noexcept nogil:
    cdef Block** grown
    if count <= content.count:
        return True
    grown = <Block**>realloc(content.blocks, count * sizeof(Block*))
    if grown == NULL:
        return False
    memset(grown + content.count, 0, (count - content.count) * sizeof(Block*))
    content.blocks = grown
    content.count = count
    return True


cdef void content_clear(Content* content) noexcept nogil:
    cdef uint64_t i
    for i in range(content.count):
        block_drop(content.blocks[i])
    free(content.blocks)
    memset(content, 0, sizeof(Content))


cdef bint content_copy(Content* target, const Content* source) noexcept nogil:
    cdef uint64_t i
    memset(target, 0, sizeof(Content))
    if not content_room(target, source.count):
        return False
    target.size_bytes = source.size_bytes
    for i in range(source.count):
        target.blocks[i] = source.blocks[i]
        if source.blocks[i] != NULL:
            source.blocks[i].references += 1
    return True


cdef bint content_write(Content* content, uint64_t offset, uint64_t size, const uint8_t* bytes) noexcept nogil:
    """NULL for `bytes`: zeros."""
    cdef uint64_t end = offset + size
    cdef uint64_t index, start, step
    cdef const uint8_t* piece
    cdef Block* block
    if not content_room(content, (end + BLOCK_SIZE - 1) // BLOCK_SIZE):
        return False
    if end > content.size_bytes:
        content.size_bytes = end
    while offset < end:
        index = offset // BLOCK_SIZE
        start = offset % BLOCK_SIZE
        step = min64(BLOCK_SIZE - start, end - offset)
        piece = ZERO_BLOCK if bytes == NULL else bytes
        block = content.blocks[index]
        if step == BLOCK_SIZE and memcmp(piece, ZERO_BLOCK, BLOCK_SIZE) == 0:
            block_drop(block)
            content.blocks[index] = NULL
        elif not (block == NULL and bytes == NULL):
            if block == NULL or block.references > 1:
                block = block_new()
                if block == NULL:
                    return False
                if step < BLOCK_SIZE:
                    memcpy(block.data, ZERO_BLOCK if content.blocks[index] == NULL else content.blocks[index].data,
                           BLOCK_SIZE)
                block_drop(content.blocks[index])
                content.blocks[index] = block
            memcpy(block.data + start, piece, step)
        offset += step
        if bytes != NULL:
            bytes += step
    return True


cdef void content_resize(Content* content, uint64_t size_bytes) noexcept nogil:
    """What is cut off reads as zeros when the file grows again."""
    cdef uint64_t kept = (size_bytes + BLOCK_SIZE - 1) // BLOCK_SIZE
    cdef uint64_t i
    if size_bytes < content.size_bytes:
        if size_bytes % BLOCK_SIZE != 0 and content.count >= kept:
            content_write(content, size_bytes, kept * BLOCK_SIZE - size_bytes, NULL)
        for i in range(kept, content.count):
            block_drop(content.blocks[i])
            content.blocks[i] = NULL
    content.size_bytes = size_bytes


# Windows: the maps of data files. One stays as it is for the next disk, of which most blocks will be the same.

cdef bint window_room(Window* window, uint64_t count) noexcept nogil:
    cdef Block** grown
    if count <= window.count:
        return True
    grown = <Block**>realloc(window.blocks, count * sizeof(Block*))
    if grown == NULL:
        return False
    memset(grown + window.count, 0, (count - window.count) * sizeof(Block*))
    window.blocks = grown
    window.count = count
    return True


cdef Window* window_take(uint64_t size_bytes) noexcept nogil:
    global free_windows
    cdef Window** link = &free_windows
    cdef Window* window
    while link[0] != NULL and link[0].size_bytes != size_bytes:
        link = &link[0].next
    window = link[0]
    if window != NULL:
        link[0] = window.next
        return window
    window = <Window*>calloc(1, sizeof(Window))
    if window == NULL:
        return NULL
    window.size_bytes = size_bytes
    window.base = <uint8_t*>window_memory(size_bytes)
    if window.base == NULL:
        free(window)
        return NULL
    return window


cdef bint window_fill(Window* window, const Content* content) noexcept nogil:
    cdef uint64_t i
    cdef Block* wanted
    if not window_room(window, content.count):
        return False
    for i in range(window.count):
        wanted = content.blocks[i] if i < content.count else NULL
        if window.blocks[i] == wanted:
            continue
        memcpy(window.base + i * BLOCK_SIZE, ZERO_BLOCK if wanted == NULL else wanted.data, BLOCK_SIZE)
        block_drop(window.blocks[i])
        window.blocks[i] = wanted
        if wanted != NULL:
            wanted.references += 1
    return True


cdef bint window_write(Window* window, uint64_t offset, uint64_t size, const uint8_t* bytes) noexcept nogil:
    cdef uint64_t i
    if size == 0:
        return True
    if not window_room(window, (offset + size - 1) // BLOCK_SIZE + 1):
        return False
    # First let go: a block that only the file has is then written in place.
    for i in range(offset // BLOCK_SIZE, (offset + size - 1) // BLOCK_SIZE + 1):
        block_drop(window.blocks[i])
        window.blocks[i] = UNKNOWN
    if bytes == NULL:
        memset(window.base + offset, 0, size)
    else:
        memcpy(window.base + offset, bytes, size)
    return True


# Names.

cdef Name* directory_find(Directory* directory, const char* name) noexcept nogil:
    cdef int i
    for i in range(directory.count):
        if strcmp(directory.names[i].name, name) == 0:
            return &directory.names[i]
    return NULL


cdef void directory_remove(Directory* directory, const char* name) noexcept nogil:
    cdef Name* entry = directory_find(directory, name)
    if entry != NULL:
        directory.count -= 1
        entry[0] = directory.names[directory.count]


cdef bint directory_set(Directory* directory, const char* name, int file) noexcept nogil:
    cdef Name* entry = directory_find(directory, name)
    if entry == NULL:
        if directory.count == NAMES_MAX:
            return False
        entry = &directory.names[directory.count]
        directory.count += 1
        strncpy(entry.name, name, DISK_NAME_MAX)
    entry.file = file
    return True


cdef void directory_apply(Directory* directory, const Call* call) noexcept nogil:
    """One change of names; whether it was possible was seen when it was made."""
    cdef Name* entry
    cdef int file
    if call.kind == CALL_CREATE:
        directory_set(directory, call.names, call.file)
    elif call.kind == CALL_UNLINK:
        directory_remove(directory, call.names)
    else:
        entry = directory_find(directory, call.names)
        if entry != NULL:
            file = entry.file
            directory_remove(directory, call.names)
            directory_set(directory, call.names + DISK_NAME_MAX, file)


# The record.

cdef Call* record(Sim* sim, int kind, int file, uint64_t offset) noexcept nogil:
    cdef uint64_t room
    cdef Call* grown
    cdef Call* call
    if sim.call_count == sim.call_room:
        room = sim.call_room * 2 + 32
        grown = <Call*>realloc(sim.calls, room * sizeof(Call))
        if grown == NULL:
            return NULL
        sim.calls = grown
        sim.call_room = room
    call = &sim.calls[sim.call_count]
    memset(call, 0, sizeof(Call))
    call.kind = kind
    call.file = file
    call.offset = offset
    sim.call_count += 1
    return call


cdef int record_names(Sim* sim, int kind, int file, const char* name, const char* target) noexcept nogil:
    cdef Call* call
    cdef char* names = <char*>calloc(2, DISK_NAME_MAX)
    if names == NULL:
        return ENOMEM
    strncpy(names, name, DISK_NAME_MAX - 1)
    if target != NULL:
        strncpy(names + DISK_NAME_MAX, target, DISK_NAME_MAX - 1)
    call = record(sim, kind, file, 0)
    if call == NULL:
        free(names)
        return ENOMEM
    call.names = names
    directory_apply(&sim.directory, call)
    return 0


cdef void run_hook(Sim* sim, const DiskFile* file, const char* action) noexcept nogil:
    """Before a call on the data file. What the hook itself does runs no hook. Called and left with the lock held."""
    if sim.hook == NULL or sim.hooked or strcmp(file.name, b"data.pynori") != 0:
        return
    sim.hooked = True
    mutex_unlock(&world)
    with gil:
        (<object>sim.hook)(action.decode())
    mutex_lock(&world)
    sim.hooked = False


# The disk that the engine sees.

cdef int sim_open(Disk* disk, const char* name, int flags, DiskFile** file) noexcept nogil:
    cdef Sim* sim = <Sim*>disk
    cdef Name* entry
    cdef DiskFile* made
    cdef int result = 0
    cdef int number = -1
    if strlen(name) >= DISK_NAME_MAX:
        return EINVAL
    made = <DiskFile*>calloc(1, sizeof(DiskFile))
    if made == NULL:
        return ENOMEM
    mutex_lock(&world)
    entry = directory_find(&sim.directory, name)
    if flags & DISK_CREATE:
        if entry != NULL:
            result = EEXIST
        elif sim.file_count == FILES_MAX or sim.directory.count == NAMES_MAX:
            result = ENOSPC
        else:
            number = sim.file_count
            sim.file_count += 1
            memset(&sim.files[number], 0, sizeof(File))
            result = record_names(sim, CALL_CREATE, number, name, NULL)
    elif entry == NULL:
        result = ENOENT
    else:
        number = entry.file
    mutex_unlock(&world)
    if result != 0:
        free(made)
        return result
    made.disk = disk
    made.descriptor = number
    made.direct = flags & DISK_DIRECT != 0
    made.durable = sim.durable and made.direct and not flags & DISK_READ_ONLY
    strncpy(made.name, name, DISK_NAME_MAX - 1)
    file[0] = made
    return 0


cdef int sim_close(DiskFile* file) noexcept nogil:
    free(file)
    return 0


cdef int sim_lock(Disk* disk, const char* name, char* holder, size_t holder_size) noexcept nogil:
    cdef Sim* sim = <Sim*>disk
    cdef bint busy
    mutex_lock(&world)
    busy = sim.locked
    sim.locked = True
    mutex_unlock(&world)
    snprintf(holder, holder_size, "this process")
    return EAGAIN if busy else 0


cdef void sim_unlock(Disk* disk) noexcept nogil:
    mutex_lock(&world)
    (<Sim*>disk).locked = False
    mutex_unlock(&world)


cdef int sim_size(DiskFile* file, uint64_t* size_bytes) noexcept nogil:
    mutex_lock(&world)
    size_bytes[0] = (<Sim*>file.disk).files[file.descriptor].now.size_bytes
    mutex_unlock(&world)
    return 0


cdef int sim_read(DiskFile* file, void* buffer, size_t size, uint64_t offset) noexcept nogil:
    cdef Content* content = &(<Sim*>file.disk).files[file.descriptor].now
    cdef uint8_t* target = <uint8_t*>buffer
    cdef uint64_t start, step
    cdef Block* block
    cdef int result = 0
    mutex_lock(&world)
    if offset + size > content.size_bytes:
        result = ENODATA
    while size > 0 and result == 0:
        start = offset % BLOCK_SIZE
        step = min64(BLOCK_SIZE - start, size)
        block = content.blocks[offset // BLOCK_SIZE] if offset // BLOCK_SIZE < content.count else NULL
        memcpy(target, (ZERO_BLOCK if block == NULL else block.data) + start, step)
        target += step
        offset += step
        size -= step
    mutex_unlock(&world)
    return result


cdef bint all_zero(const iovec* vectors, int count) noexcept nogil:
    cdef const uint8_t* bytes
    cdef uint64_t done
    cdef int i
    for i in range(count):
        bytes = <const uint8_t*>vectors[i].iov_base
        done = 0
        while done < vectors[i].iov_len:
            if memcmp(bytes + done, ZERO_BLOCK, min64(BLOCK_SIZE, vectors[i].iov_len - done)) != 0:
                return False
            done += BLOCK_SIZE
    return True


cdef int write_bytes(Sim* sim, int number, uint64_t offset, uint8_t* bytes, uint64_t size) noexcept nogil:
    """Records and applies; takes over `bytes`."""
    cdef File* file = &sim.files[number]
    cdef Call* call = record(sim, CALL_WRITE, number, offset)
    if call == NULL:
        free(bytes)
        return ENOMEM
    call.bytes = bytes
    call.size_bytes = size
    if file.window != NULL and not window_write(file.window, offset, size, bytes):
        return ENOMEM
    return 0 if content_write(&file.now, offset, size, bytes) else ENOMEM


cdef int sim_write(DiskFile* file, iovec* vectors, int count, uint64_t offset) noexcept nogil:
    cdef Sim* sim = <Sim*>file.disk
    cdef uint64_t size = 0
    cdef uint64_t number
    cdef uint8_t* bytes = NULL
    cdef Call* call
    cdef int i, result
    for i in range(count):
        size += vectors[i].iov_len
    if not all_zero(vectors, count):
        bytes = <uint8_t*>malloc(size)
        if bytes == NULL:
            return ENOMEM
        size = 0
        for i in range(count):
            memcpy(bytes + size, vectors[i].iov_base, vectors[i].iov_len)
            size += vectors[i].iov_len
    mutex_lock(&world)
    run_hook(sim, file, b"write")
    while sim.held and file.durable:
        if not condition_wait_ms(&sim.released, &world, HOLD_MS_MAX):
            sim.held = False
    number = sim.call_count
    result = write_bytes(sim, file.descriptor, offset, bytes, size)
    if result == 0 and file.durable:
        call = record(sim, CALL_WRITTEN, file.descriptor, offset)
        if call == NULL:
            result = ENOMEM
        else:
            call.call = number
            call.size_bytes = size
    mutex_unlock(&world)
    return result


cdef int sim_sync(DiskFile* file, int kind) noexcept nogil:
    cdef Sim* sim = <Sim*>file.disk
    cdef Call* call
    mutex_lock(&world)
    run_hook(sim, file, b"sync")
    call = record(sim, CALL_SYNC, file.descriptor, 0)
    mutex_unlock(&world)
    return 0 if call != NULL else ENOMEM


cdef int resize(DiskFile* file, uint64_t size_bytes, bint grow_only) noexcept nogil:
    cdef Sim* sim = <Sim*>file.disk
    cdef Content* content = &sim.files[file.descriptor].now
    cdef Call* call
    cdef int result = 0
    mutex_lock(&world)
    if size_bytes > content.size_bytes or not grow_only:
        call = record(sim, CALL_SIZE, file.descriptor, 0)
        if call == NULL:
            result = ENOMEM
        else:
            call.size_bytes = size_bytes
            content_resize(content, size_bytes)
    mutex_unlock(&world)
    return result


cdef int sim_allocate(DiskFile* file, uint64_t size_bytes) noexcept nogil:
    return resize(file, size_bytes, True)


cdef int sim_truncate(DiskFile* file, uint64_t size_bytes) noexcept nogil:
    return resize(file, size_bytes, False)


cdef int sim_map(DiskFile* file, uint64_t size_bytes, uint8_t** base) noexcept nogil:
    """One map of a file at a time."""
    cdef File* entry = &(<Sim*>file.disk).files[file.descriptor]
    cdef Window* window = NULL
    cdef int result = ENOMEM
    mutex_lock(&world)
    if entry.window == NULL:
        window = window_take(size_bytes)
    if window != NULL and window_fill(window, &entry.now):
        entry.window = window
        base[0] = window.base
        result = 0
    mutex_unlock(&world)
    return result


cdef void sim_unmap(DiskFile* file, uint8_t* base, uint64_t size_bytes) noexcept nogil:
    global free_windows
    cdef File* entry = &(<Sim*>file.disk).files[file.descriptor]
    mutex_lock(&world)
    entry.window.next = free_windows
    free_windows = entry.window
    entry.window = NULL
    mutex_unlock(&world)


cdef int sim_spill(Disk* disk, uint64_t size_bytes, uint8_t** base) noexcept nogil:
    return EOPNOTSUPP


cdef void sim_unspill(Disk* disk, uint8_t* base, uint64_t size_bytes) noexcept nogil:
    pass


cdef void sim_prefetch(DiskFile* file, uint64_t offset, uint64_t size_bytes) noexcept nogil:
    pass


cdef int sim_rename(Disk* disk, const char* source, const char* target) noexcept nogil:
    cdef Sim* sim = <Sim*>disk
    cdef Name* entry
    cdef int result = ENOENT
    mutex_lock(&world)
    entry = directory_find(&sim.directory, source)
    if entry != NULL:
        result = record_names(sim, CALL_RENAME, entry.file, source, target)
    mutex_unlock(&world)
    return result


cdef int sim_unlink(Disk* disk, const char* name) noexcept nogil:
    cdef Sim* sim = <Sim*>disk
    cdef Name* entry
    cdef int result = ENOENT
    mutex_lock(&world)
    entry = directory_find(&sim.directory, name)
    if entry != NULL:
        result = record_names(sim, CALL_UNLINK, entry.file, name, NULL)
    mutex_unlock(&world)
    return result


cdef int note(Sim* sim, int kind, uint64_t number) noexcept nogil:
    cdef Call* call
    mutex_lock(&world)
    call = record(sim, kind, -1, number)
    mutex_unlock(&world)
    return 0 if call != NULL else ENOMEM


cdef int sim_sync_dir(Disk* disk) noexcept nogil:
    return note(<Sim*>disk, CALL_SYNC_DIR, 0)


cdef int sim_settle(Disk* disk) noexcept nogil:
    return note(<Sim*>disk, CALL_SETTLE, 0)


cdef int sim_space(Disk* disk, uint64_t* free_bytes) noexcept nogil:
    free_bytes[0] = UINT64_MAX
    return 0


cdef int sim_list(Disk* disk, DiskListCallback callback, void* context) noexcept nogil:
    """Of the names as they are when it is called, so that the callback may change them."""
    cdef Directory names
    cdef int i
    mutex_lock(&world)
    names = (<Sim*>disk).directory
    mutex_unlock(&world)
    for i in range(names.count):
        callback(context, names.names[i].name)
    return 0


cdef inline uint64_t dice(uint64_t* state) noexcept nogil:
    """splitmix64"""
    cdef uint64_t mixed
    state[0] += 0x9E3779B97F4A7C15ULL
    mixed = state[0]
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL
    return mixed ^ (mixed >> 31)


cdef int sim_random(Disk* disk, void* buffer, size_t size) noexcept nogil:
    cdef uint8_t* bytes = <uint8_t*>buffer
    cdef size_t i
    mutex_lock(&world)
    for i in range(size):
        bytes[i] = <uint8_t>dice(&(<Sim*>disk).random)
    mutex_unlock(&world)
    return 0


cdef uint64_t sim_time_ms(Disk* disk) noexcept nogil:
    cdef uint64_t now
    mutex_lock(&world)
    (<Sim*>disk).clock_ms += 1
    now = (<Sim*>disk).clock_ms
    mutex_unlock(&world)
    return now


cdef void sim_release(Disk* disk) noexcept nogil:
    cdef Sim* sim = <Sim*>disk
    cdef uint64_t i
    cdef int number
    mutex_lock(&world)
    for number in range(sim.file_count):
        content_clear(&sim.files[number].base)
        content_clear(&sim.files[number].now)
    for i in range(sim.call_count):
        free(sim.calls[i].bytes)
        free(sim.calls[i].names)
    replay_clear(&sim.replay)
    mutex_unlock(&world)
    condition_destroy(&sim.released)
    free(sim.replay.waiting)
    free(sim.replay.names)
    free(sim.files)
    free(sim.calls)
    free(sim)


cdef Sim* sim_new(uint64_t seed, bint durable) noexcept nogil:
    cdef Sim* sim = <Sim*>calloc(1, sizeof(Sim))
    if sim == NULL:
        return NULL
    sim.files = <File*>malloc(FILES_MAX * sizeof(File))
    if sim.files == NULL:
        free(sim)
        return NULL
    condition_init(&sim.released)
    sim.random = seed
    sim.durable = durable
    sim.clock_ms = 1700000000000
    sim.face.lasting = True
    sim.face.open = sim_open
    sim.face.close = sim_close
    sim.face.lock = sim_lock
    sim.face.unlock = sim_unlock
    sim.face.size = sim_size
    sim.face.read = sim_read
    sim.face.write = sim_write
    sim.face.sync = sim_sync
    sim.face.allocate = sim_allocate
    sim.face.truncate = sim_truncate
    sim.face.map = sim_map
    sim.face.unmap = sim_unmap
    sim.face.prefetch = sim_prefetch
    sim.face.spill = sim_spill
    sim.face.unspill = sim_unspill
    sim.face.rename = sim_rename
    sim.face.unlink = sim_unlink
    sim.face.sync_dir = sim_sync_dir
    sim.face.space = sim_space
    sim.face.list = sim_list
    sim.face.settle = sim_settle
    sim.face.random = sim_random
    sim.face.time_ms = sim_time_ms
    sim.face.release = sim_release
    return sim


# What is durable at a point.

cdef void replay_clear(Replay* replay) noexcept nogil:
    cdef int number
    for number in range(replay.file_count):
        content_clear(&replay.files[number])
    free(replay.files)
    replay.files = NULL
    replay.file_count = 0


cdef bint push(uint64_t** numbers, uint64_t* count, uint64_t* room, uint64_t number) noexcept nogil:
    cdef uint64_t* grown
    if count[0] == room[0]:
        grown = <uint64_t*>realloc(numbers[0], (room[0] * 2 + 16) * sizeof(uint64_t))
        if grown == NULL:
            return False
        numbers[0] = grown
        room[0] = room[0] * 2 + 16
    numbers[0][count[0]] = number
    count[0] += 1
    return True


cdef bint replay_begin(Sim* sim) noexcept nogil:
    """Room for the files that came since, and from the beginning when there is nothing yet."""
    cdef Replay* replay = &sim.replay
    cdef Content* grown
    cdef int number
    if replay.files != NULL and replay.file_count == sim.file_count:
        return True
    if replay.files == NULL:
        replay.point = 0
        replay.waiting_count = 0
        replay.names_count = 0
        replay.directory = sim.base_directory
        replay.settled = sim.settled
        replay.tried = sim.tried
        replay.acked = sim.acked
    grown = <Content*>realloc(replay.files, (sim.file_count + 1) * sizeof(Content))
    if grown == NULL:
        return False
    replay.files = grown
    for number in range(replay.file_count, sim.file_count):
        if not content_copy(&grown[number], &sim.files[number].base):
            return False
        replay.file_count = number + 1
    return True


cdef bint apply_waiting(Sim* sim, int file, uint64_t start, uint64_t end) noexcept nogil:
    """Makes the file's waiting calls durable that touch [start, end), and all changes of its size."""
    cdef Replay* replay = &sim.replay
    cdef uint64_t kept = 0
    cdef uint64_t i
    cdef Call* call
    for i in range(replay.waiting_count):
        call = &sim.calls[replay.waiting[i]]
        if call.file != file or (call.kind == CALL_WRITE
                                 and (call.offset >= end or call.offset + call.size_bytes <= start)):
            replay.waiting[kept] = replay.waiting[i]
            kept += 1
        elif call.kind == CALL_SIZE:
            content_resize(&replay.files[file], call.size_bytes)
        elif not content_write(&replay.files[file], call.offset, call.size_bytes, call.bytes):
            return False
    replay.waiting_count = kept
    return True


cdef bint replay_call(Sim* sim, uint64_t number) noexcept nogil:
    cdef Replay* replay = &sim.replay
    cdef Call* call = &sim.calls[number]
    cdef uint64_t i
    if call.kind == CALL_WRITE or call.kind == CALL_SIZE:
        return push(&replay.waiting, &replay.waiting_count, &replay.waiting_room, number)
    if call.kind == CALL_WRITTEN:
        # What the cache held of these bytes was written before them; a size that they need is durable with them.
        return apply_waiting(sim, call.file, call.offset, call.offset + call.size_bytes)
    if call.kind == CALL_SYNC:
        return apply_waiting(sim, call.file, 0, UINT64_MAX)
    if call.kind == CALL_SYNC_DIR:
        for i in range(replay.names_count):
            directory_apply(&replay.directory, &sim.calls[replay.names[i]])
        replay.names_count = 0
    elif call.kind == CALL_SETTLE:
        replay.settled = True
    elif call.kind == CALL_TRY:
        replay.tried = call.offset
    elif call.kind == CALL_ACK:
        replay.acked = call.offset
    else:
        return push(&replay.names, &replay.names_count, &replay.names_room, number)
    return True


cdef bint replay_to(Sim* sim, uint64_t point) noexcept nogil:
    """Cheap when points come in ascending order."""
    if sim.replay.files != NULL and point < sim.replay.point:
        replay_clear(&sim.replay)
    if not replay_begin(sim):
        return False
    while sim.replay.point < point:
        if not replay_call(sim, sim.replay.point):
            return False
        sim.replay.point += 1
    return True


# Cuts. The unit is a sector of a waiting write, or a waiting change of a size.

cdef uint64_t units_of(const Call* call, uint64_t sector_bytes) noexcept nogil:
    if call.kind == CALL_SIZE or call.size_bytes == 0:
        return 1
    return (call.offset + call.size_bytes - 1) // sector_bytes - call.offset // sector_bytes + 1


cdef uint64_t units_waiting(Sim* sim, uint64_t sector_bytes) noexcept nogil:
    cdef uint64_t units = 0
    cdef uint64_t i
    for i in range(sim.replay.waiting_count):
        units += units_of(&sim.calls[sim.replay.waiting[i]], sector_bytes)
    return units


cdef enum Fate:
    LOST = 0
    THERE = 1
    GARBAGE = 2
    HALF = 3


cdef struct Cut:
    int mode
    uint64_t choice
    uint64_t sector_bytes
    uint64_t random
    uint64_t units
    uint64_t calls


cdef int fate(Cut* cut, uint64_t unit, uint64_t call) noexcept nogil:
    if cut.mode == CUT_ALL:
        return THERE
    if cut.mode == CUT_PREFIX:
        return THERE if unit < cut.choice else LOST
    if cut.mode == CUT_REVERSED:
        return THERE if unit + cut.choice >= cut.units else LOST
    if cut.mode == CUT_RANDOM:
        return THERE if dice(&cut.random) & 1 else LOST
    if cut.mode == CUT_GARBAGE:
        return <int>(dice(&cut.random) % 3)
    if cut.mode == CUT_HALF:
        return THERE if unit < cut.choice else HALF if unit == cut.choice else LOST
    if cut.mode == CUT_LAST_WRITE:
        return THERE if call + 1 == cut.calls else LOST
    if cut.mode == CUT_FIRST_LOST:
        return LOST if call == 0 else THERE
    if cut.mode == CUT_OMIT:
        return LOST if unit == cut.choice else THERE
    if cut.mode == CUT_OMIT_PAIR:
        return LOST if unit == cut.choice % cut.units or unit == cut.choice // cut.units else THERE
    if cut.mode == CUT_SUBSET:
        return THERE if unit < 64 and cut.choice >> unit & 1 else LOST
    return LOST


cdef bint apply_unit(Content* content, const Call* call, uint64_t start, uint64_t end, int what,
                     uint64_t* random) noexcept nogil:
    """[start, end) of a waiting write comes to lie in the file."""
    cdef uint8_t garbage[4096]
    cdef uint64_t middle = start + (end - start) // 2
    cdef uint64_t i
    if what == GARBAGE:
        for i in range(0, BLOCK_SIZE, 8):
            (<uint64_t*>(garbage + i))[0] = dice(random)
        return content_write(content, start, end - start, garbage)
    if what == HALF:
        if dice(random) & 1:
            start = middle
        else:
            end = middle
    return content_write(content, start, end - start,
                         NULL if call.bytes == NULL else call.bytes + (start - call.offset))


cdef bint apply_call(Content* content, const Call* call, Cut* cut, uint64_t* unit, uint64_t index) noexcept nogil:
    cdef uint64_t start = call.offset
    cdef uint64_t last = call.offset + call.size_bytes
    cdef uint64_t end
    cdef int what
    if call.kind == CALL_SIZE:
        what = fate(cut, unit[0], index)
        unit[0] += 1
        if what != LOST:
            content_resize(content, call.size_bytes)
        return True
    while start < last:
        end = min64(last, (start // cut.sector_bytes + 1) * cut.sector_bytes)
        what = fate(cut, unit[0], index)
        unit[0] += 1
        if what != LOST and not apply_unit(content, call, start, end, what, &cut.random):
            return False
        start = end
    return True


cdef bint shares_name(const Call* a, const Call* b) noexcept nogil:
    cdef int i, j
    if a.file == b.file:
        return True
    for i in range(2):
        for j in range(2):
            if a.names[i * DISK_NAME_MAX] != 0 \
                    and strcmp(a.names + i * DISK_NAME_MAX, b.names + j * DISK_NAME_MAX) == 0:
                return True
    return False


cdef void cut_names(Sim* sim, Directory* directory, long long names, uint64_t* random) noexcept nogil:
    """The first `names` changes; -1: all, -2: each by a coin, but none whose forerunner is missing."""
    cdef Replay* replay = &sim.replay
    cdef uint64_t missing = 0
    cdef uint64_t i, j
    cdef bint there
    directory[0] = replay.directory
    for i in range(replay.names_count):
        there = names == -1 or <long long>i < names
        if names == -2:
            there = i < 64 and dice(random) & 1
            for j in range(min64(i, 64)):
                if missing >> j & 1 and shares_name(&sim.calls[replay.names[i]], &sim.calls[replay.names[j]]):
                    there = False
            if not there and i < 64:
                missing |= <uint64_t>1 << i
        if there:
            directory_apply(directory, &sim.calls[replay.names[i]])


cdef Sim* sim_crash(Sim* sim, Cut* cut, long long names) noexcept nogil:
    """A new disk; its files are those that have a name. The record stands at the cut's point. NULL: no memory."""
    cdef Replay* replay = &sim.replay
    cdef Sim* made = sim_new(cut.random, sim.durable)
    cdef int* numbers = <int*>malloc((sim.file_count + 1) * sizeof(int))
    cdef uint64_t unit = 0
    cdef uint64_t i
    cdef int number
    cdef bint good = made != NULL and numbers != NULL
    cdef Call* call
    if good:
        cut_names(sim, &made.directory, names, &cut.random)
        for number in range(sim.file_count):
            numbers[number] = -1
        for number in range(made.directory.count):
            if numbers[made.directory.names[number].file] < 0:
                good = good and content_copy(&made.files[made.file_count].now,
                                             &replay.files[made.directory.names[number].file])
                made.files[made.file_count].window = NULL
                memset(&made.files[made.file_count].base, 0, sizeof(Content))
                numbers[made.directory.names[number].file] = made.file_count
                made.file_count += 1
            made.directory.names[number].file = numbers[made.directory.names[number].file]
    for i in range(replay.waiting_count):
        call = &sim.calls[replay.waiting[i]]
        if not good:
            break
        if numbers[call.file] < 0:
            unit += units_of(call, cut.sector_bytes)
        else:
            good = apply_call(&made.files[numbers[call.file]].now, call, cut, &unit, i)
    if good:
        for number in range(made.file_count):
            good = good and content_copy(&made.files[number].base, &made.files[number].now)
        made.base_directory = made.directory
        made.base_count = made.file_count
        made.settled = replay.settled
        made.clock_ms = sim.clock_ms
    free(numbers)
    return made if good else NULL


@cython.final
cdef class SimDisk(DiskHandle):
    """An empty disk. Everything random on it follows from the seed.

    durable: whether writes to files opened for direct access are durable on return, as on most file systems; else
    the engine syncs them.
    """

    def __init__(self, uint64_t seed=1, bint durable=True):
        if self.disk != NULL:
            raise ValueError("a handle is made once")
        self.disk = <Disk*>sim_new(seed, durable)
        if self.disk == NULL:
            raise MemoryError()

    @property
    def calls(self):
        """Length of the record."""
        return (<Sim*>self.disk).call_count

    def mark_try(self, uint64_t txn):
        """From here on a crash may find the transaction."""
        note(<Sim*>self.disk, CALL_TRY, txn)

    def mark_ack(self, uint64_t txn):
        """From here on every crash must find it."""
        note(<Sim*>self.disk, CALL_ACK, txn)

    def at(self, uint64_t point, uint64_t sector_bytes=4096):
        """(exists, acknowledged, tried, units, changes of names) after the first `point` calls."""
        cdef Sim* sim = <Sim*>self.disk
        cdef bint good
        cdef uint64_t units = 0
        if point > sim.call_count:
            raise ValueError("the record is shorter")
        mutex_lock(&world)
        good = replay_to(sim, point)
        if good:
            units = units_waiting(sim, sector_bytes)
        mutex_unlock(&world)
        if not good:
            raise MemoryError()
        return sim.replay.settled, sim.replay.acked, sim.replay.tried, units, sim.replay.names_count

    def kind(self, uint64_t call):
        """What the call is, one of KINDS."""
        if call >= (<Sim*>self.disk).call_count:
            raise ValueError("the record is shorter")
        return KINDS[(<Sim*>self.disk).calls[call].kind]

    def describe(self, uint64_t call):
        """The call as a line of text."""
        cdef str kind = self.kind(call)
        cdef Call* found = &(<Sim*>self.disk).calls[call]
        if found.names != NULL:
            return f"{kind} {found.names.decode()} {(found.names + DISK_NAME_MAX).decode()}".rstrip()
        if found.file < 0:
            return f"{kind} {found.offset}" if found.offset else kind
        return f"{kind} file {found.file} offset {found.offset} size {found.size_bytes}"

    def crash(self, uint64_t point, int mode, uint64_t choice=0, *, long long names=-1, uint64_t sector_bytes=4096,
              uint64_t seed=1):
        """The disk as a crash after the first `point` calls leaves it, nobody having it open.

        mode: index in MODES, with its `choice`; names: so many of the waiting changes of names, -1 all, -2 some;
        sector_bytes: what is written in one piece, 512 to 4,096.
        """
        cdef Sim* sim = <Sim*>self.disk
        cdef Sim* made = NULL
        cdef SimDisk image = SimDisk.__new__(SimDisk)
        cdef Cut cut
        if point > sim.call_count or not 512 <= sector_bytes <= BLOCK_SIZE:
            raise ValueError("no such cut")
        mutex_lock(&world)
        if replay_to(sim, point):
            cut.mode = mode
            cut.choice = choice
            cut.sector_bytes = sector_bytes
            cut.random = seed
            cut.units = units_waiting(sim, sector_bytes)
            cut.calls = sim.replay.waiting_count
            if cut.units == 0:
                cut.units = 1      # pairs divide by it
            made = sim_crash(sim, &cut, names)
        mutex_unlock(&world)
        if made == NULL:
            raise MemoryError()
        image.disk = <Disk*>made
        return image

    def base(self, uint64_t txn):
        """Say what the files hold at the beginning of the record: a transaction that must not be lost any more."""
        (<Sim*>self.disk).tried = txn
        (<Sim*>self.disk).acked = txn

    def hook(self, callback):
        """Call it with "write" or "sync" before each such call on the data file; None: no more."""
        mutex_lock(&world)
        self.kept_hook = callback
        (<Sim*>self.disk).hook = NULL if callback is None else <void*>callback
        mutex_unlock(&world)

    def hold(self):
        """Durable writes wait until `let_go`, so that what comes to lie before them in the record is certain."""
        mutex_lock(&world)
        (<Sim*>self.disk).held = True
        mutex_unlock(&world)

    def let_go(self):
        """The end of `hold`."""
        mutex_lock(&world)
        (<Sim*>self.disk).held = False
        condition_broadcast(&(<Sim*>self.disk).released)
        mutex_unlock(&world)

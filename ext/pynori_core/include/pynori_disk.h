/* System calls that differ between Linux and macOS, under one name each. Every function returns 0 or an errno value. */
#ifndef PYNORI_DISK_H
#define PYNORI_DISK_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/random.h>
#include <sys/vfs.h>
#else
#include <sys/mount.h>
#include <sys/param.h>
#endif

#ifdef __linux__
#define PYN_DIRECT_FLAGS (O_DIRECT | O_DSYNC)
#define PYN_MAP_FLAGS (MAP_SHARED | MAP_NORESERVE)
#else
#define PYN_DIRECT_FLAGS 0
#define PYN_MAP_FLAGS MAP_SHARED
#endif

/* A sync is asked for until it is not interrupted. Any other failure is final: it is never retried. */
static inline int pyn_sync(int descriptor, int full) {
    int result;
    do {
#ifdef __APPLE__
        (void)full;
        result = fcntl(descriptor, F_FULLFSYNC);
#else
        result = full ? fsync(descriptor) : fdatasync(descriptor);
#endif
    } while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

static inline int pyn_read(int descriptor, void *buffer, size_t size, uint64_t offset) {
    uint8_t *position = buffer;
    while (size > 0) {
        ssize_t got = pread(descriptor, position, size, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno;
        if (got == 0) return ENODATA;
        position += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

static inline int pyn_write(int descriptor, struct iovec *vectors, int count, uint64_t offset) {
    while (count > 0) {
        ssize_t written = pwritev(descriptor, vectors, count, (off_t)offset);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno;
        if (written == 0) return EIO;
        offset += (uint64_t)written;
        while (count > 0 && (size_t)written >= vectors->iov_len) {
            written -= (ssize_t)vectors->iov_len;
            vectors++;
            count--;
        }
        if (count > 0) {
            vectors->iov_base = (uint8_t *)vectors->iov_base + written;
            vectors->iov_len -= (size_t)written;
        }
    }
    return 0;
}

static inline int pyn_write_zeros(int descriptor, uint64_t offset, uint64_t end) {
    static const uint8_t zeros[65536];
    while (offset < end) {
        struct iovec vector = { (void *)zeros, end - offset < sizeof zeros ? (size_t)(end - offset) : sizeof zeros };
        size_t step = vector.iov_len;
        int result = pyn_write(descriptor, &vector, 1, offset);
        if (result != 0) return result;
        offset += step;
    }
    return 0;
}

/* Real blocks for the first `size` bytes; what was not there before reads as zeros. All or nothing: a system that runs
   out of blocks half-way keeps those it found, and would leave a disk without a single free one. */
static inline int pyn_allocate(int descriptor, uint64_t size) {
    struct stat status;
    if (fstat(descriptor, &status) != 0) return errno;
    if ((uint64_t)status.st_size >= size) return 0;
    int result = EOPNOTSUPP;
#ifdef __linux__
    do {
        result = fallocate(descriptor, 0, 0, (off_t)size) == 0 ? 0 : errno;
    } while (result == EINTR);
#endif
    if (result == EOPNOTSUPP || result == ENOSYS)
        result = pyn_write_zeros(descriptor, (uint64_t)status.st_size, size);
    return result != 0 && ftruncate(descriptor, status.st_size) != 0 ? EIO : result;
}

/* A file in the directory that no name leads to, or one that loses its name at once. */
static inline int pyn_nameless_file(int directory) {
#ifdef O_TMPFILE
    int made = openat(directory, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (made >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) return made;
#endif
    unlinkat(directory, "spill", 0);
    int descriptor = openat(directory, "spill", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor >= 0) unlinkat(directory, "spill", 0);
    return descriptor;
}

static inline int pyn_memory_file(void) {
#ifdef __linux__
    return memfd_create("pynori", MFD_CLOEXEC);
#else
    char name[] = "/tmp/pynori-XXXXXX";
    int descriptor = mkstemp(name);
    if (descriptor >= 0) unlink(name);
    return descriptor;
#endif
}

/* The second of two locks on a lock file: an open-file-description lock also conflicts inside one process. */
static inline int pyn_lock(int descriptor) {
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) return errno == EWOULDBLOCK ? EAGAIN : errno;
#ifdef F_OFD_SETLK
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (fcntl(descriptor, F_OFD_SETLK, &lock) != 0)
        return errno == EACCES || errno == EAGAIN ? EAGAIN : errno == EINVAL ? 0 : errno;
#endif
    return 0;
}

/* Frees the lock although a process that was forked off in between may still have the descriptor. */
static inline void pyn_unlock(int descriptor) {
#ifdef F_OFD_SETLK
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = F_UNLCK;
    lock.l_whence = SEEK_SET;
    fcntl(descriptor, F_OFD_SETLK, &lock);
#endif
    flock(descriptor, LOCK_UN);
}

/* "pid boot" of this process, for the message that the next opener gets. */
static inline void pyn_identity(char *text, size_t size) {
    char boot[64] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file != NULL) {
        if (fgets(boot, sizeof boot, file) == NULL) boot[0] = 0;
        boot[strcspn(boot, "\n")] = 0;
        fclose(file);
    }
    snprintf(text, size, "process %ld of boot %s\n", (long)getpid(), boot[0] ? boot : "unknown");
}

static inline int pyn_random(void *buffer, size_t size) {
#ifdef __linux__
    uint8_t *position = buffer;
    while (size > 0) {
        ssize_t got = getrandom(position, size, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno;
        position += got;
        size -= (size_t)got;
    }
#else
    arc4random_buf(buffer, size);
#endif
    return 0;
}

static inline uint64_t pyn_unix_ms(void) {
    struct timeval now;
    gettimeofday(&now, NULL);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000;
}

/* Name of a file system type that does not keep the promises the engine builds on, NULL when it does. */
static inline const char *pyn_unsafe_filesystem(int descriptor, int *lasting) {
    struct statfs status;
    *lasting = 1;
    if (fstatfs(descriptor, &status) != 0) return "unknown";
#ifdef __linux__
    switch ((uint32_t)status.f_type) {
    case 0x6969: return "nfs";
    case 0xFF534D42: case 0xFE534D42: return "cifs";
    case 0x517B: return "smb";
    case 0x01021997: return "9p";
    case 0x65735546: return "fuse";
    case 0x01021994: case 0x858458F6: *lasting = 0; return NULL;     /* tmpfs, ramfs */
    default: return NULL;
    }
#else
    if (strcmp(status.f_fstypename, "nfs") == 0) return "nfs";
    if (strcmp(status.f_fstypename, "smbfs") == 0) return "smb";
    if (strstr(status.f_fstypename, "fuse") != NULL) return "fuse";
    return NULL;
#endif
}

static inline void pyn_prefetch(int descriptor, uint64_t offset, uint64_t size) {
#ifdef __linux__
    (void)posix_fadvise(descriptor, (off_t)offset, (off_t)size, POSIX_FADV_WILLNEED);
#else
    struct radvisory advisory = { (off_t)offset, (int)size };
    (void)fcntl(descriptor, F_RDADVISE, &advisory);
#endif
}

#endif

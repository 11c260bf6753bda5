/* Preloaded into a process under test: fails or delays what it asks of the system, as told from outside.
 *
 * Calls on files: the file named by PYNORI_SHIM holds "ERRNO MILLISECONDS NAME" as text; while it is there, writes and
 * syncs of files whose path contains NAME wait so long and then fail with that errno, or succeed when it is 0.
 * Memory: after shim_memory_fail(k) the k-th allocation from now that code of pynori_core asks for gets none.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int planned(int descriptor) {
    const char *plan = getenv("PYNORI_SHIM");
    char text[256], path[512], link[64], name[128];
    int error = 0, milliseconds = 0;
    if (plan == NULL) return 0;
    int file = open(plan, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (size <= 0) return 0;
    text[size] = 0;
    if (sscanf(text, "%d %d %127s", &error, &milliseconds, name) != 3) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    if (strstr(path, name) == NULL) return 0;
    if (milliseconds > 0) usleep((useconds_t)milliseconds * 1000);
    return error;
}

#define REAL(result, name, ...) result (*real)(__VA_ARGS__) = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define FAIL(descriptor) do { int error = planned(descriptor); if (error) { errno = error; return -1; } } while (0)

ssize_t pwritev(int descriptor, const struct iovec *vectors, int count, off_t offset) {
    REAL(ssize_t, "pwritev", int, const struct iovec *, int, off_t);
    FAIL(descriptor);
    return real(descriptor, vectors, count, offset);
}

ssize_t pwritev64(int descriptor, const struct iovec *vectors, int count, off64_t offset) {
    REAL(ssize_t, "pwritev64", int, const struct iovec *, int, off64_t);
    FAIL(descriptor);
    return real(descriptor, vectors, count, offset);
}

int fdatasync(int descriptor) {
    REAL(int, "fdatasync", int);
    FAIL(descriptor);
    return real(descriptor);
}

int fsync(int descriptor) {
    REAL(int, "fsync", int);
    FAIL(descriptor);
    return real(descriptor);
}

/* Memory. The real functions are those of glibc, under the names that need no lookup (which would allocate). */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static long countdown;                  /* 0: nothing fails */
static long counted;

static int refused(const void *caller) {
    Dl_info info;
    long left = __atomic_load_n(&countdown, __ATOMIC_RELAXED);
    if (left == 0 || dladdr(caller, &info) == 0 || strstr(info.dli_fname, "pynori_core") == NULL) return 0;
    __atomic_add_fetch(&counted, 1, __ATOMIC_RELAXED);
    return left > 0 && __atomic_sub_fetch(&countdown, 1, __ATOMIC_RELAXED) == 0;
}

void shim_memory_fail(long k) { __atomic_store_n(&countdown, k, __ATOMIC_RELAXED); }    /* -1: only count */
long shim_memory_counted(void) { return __atomic_exchange_n(&counted, 0, __ATOMIC_RELAXED); }

void *malloc(size_t size) {
    if (refused(__builtin_return_address(0))) { errno = ENOMEM; return NULL; }
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    if (refused(__builtin_return_address(0))) { errno = ENOMEM; return NULL; }
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    if (refused(__builtin_return_address(0))) { errno = ENOMEM; return NULL; }
    return __libc_realloc(memory, size);
}

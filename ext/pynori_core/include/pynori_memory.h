/* Memory straight from the system, for what is large and read at random: in huge pages where it fills them, because
   where the processor walks page tables for each 4 KB, that is half of the time. */
#ifndef PYNORI_MEMORY_H
#define PYNORI_MEMORY_H

#include <stddef.h>
#include <sys/mman.h>

#define PYN_HUGE_PAGE_BYTES (2 << 20)

/* Zeroed bytes, or NULL. populate: get the pages now, in one call, where the system can do that. */
static inline void *pyn_memory_take(size_t size, int populate) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
    if (size >= PYN_HUGE_PAGE_BYTES) (void)madvise(memory, size, MADV_HUGEPAGE);
#endif
#ifdef MADV_POPULATE_WRITE
    if (populate) (void)madvise(memory, size, MADV_POPULATE_WRITE);
#else
    (void)populate;
#endif
    return memory;
}

static inline void pyn_memory_give(void *memory, size_t size) { munmap(memory, size); }

/* Let the system have the pages back; the bytes are zero again. */
static inline void pyn_memory_discard(void *memory, size_t size) { (void)madvise(memory, size, MADV_DONTNEED); }

#endif

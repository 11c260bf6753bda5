"""Inline bytes work that every floor shares: unaligned loads and stores, big-endian keys, atomics, bounded compare.

All integers on disk are little endian, except inside tree keys, which are big endian so that byte order is number
order. Atomics here are the whole of Pynori's lock-free vocabulary: acquire loads, release stores, sequentially
consistent fences, compare-and-swap.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, int64_t
from libc.stddef cimport size_t


cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static inline uint16_t pyn_load16(const void *p) { uint16_t v; memcpy(&v, p, 2); return v; }
    static inline uint32_t pyn_load32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
    static inline uint64_t pyn_load64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
    static inline void pyn_store16(void *p, uint16_t v) { memcpy(p, &v, 2); }
    static inline void pyn_store32(void *p, uint32_t v) { memcpy(p, &v, 4); }
    static inline void pyn_store64(void *p, uint64_t v) { memcpy(p, &v, 8); }
    static inline uint32_t pyn_load32_be(const void *p) { return __builtin_bswap32(pyn_load32(p)); }
    static inline uint64_t pyn_load64_be(const void *p) { return __builtin_bswap64(pyn_load64(p)); }
    static inline void pyn_store32_be(void *p, uint32_t v) { pyn_store32(p, __builtin_bswap32(v)); }
    static inline void pyn_store64_be(void *p, uint64_t v) { pyn_store64(p, __builtin_bswap64(v)); }

    static inline int pyn_compare(const void *a, size_t a_size, const void *b, size_t b_size) {
        size_t shorter = a_size < b_size ? a_size : b_size;
        int order = shorter ? memcmp(a, b, shorter) : 0;
        if (order) return order;
        return (a_size > b_size) - (a_size < b_size);
    }
    static inline int pyn_popcount64(uint64_t v) { return __builtin_popcountll(v); }
    static inline int pyn_trailing_zeros64(uint64_t v) { return __builtin_ctzll(v); }
    static inline int pyn_leading_zeros64(uint64_t v) { return __builtin_clzll(v); }

    static inline uint64_t pyn_atomic_load64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void pyn_atomic_store64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    static inline uint64_t pyn_atomic_add64(uint64_t *p, uint64_t v) {
        return __atomic_add_fetch(p, v, __ATOMIC_ACQ_REL);
    }
    static inline uint32_t pyn_atomic_load32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void pyn_atomic_store32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    static inline uint32_t pyn_atomic_add32(uint32_t *p, uint32_t v) {
        return __atomic_add_fetch(p, v, __ATOMIC_ACQ_REL);
    }
    static inline void *pyn_atomic_load_pointer(void *const *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void pyn_atomic_store_pointer(void **p, void *v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    static inline int pyn_compare_swap32(uint32_t *p, uint32_t expected, uint32_t desired) {
        return __atomic_compare_exchange_n(p, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    static inline int pyn_compare_swap64(uint64_t *p, uint64_t expected, uint64_t desired) {
        return __atomic_compare_exchange_n(p, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    static inline int pyn_compare_swap_pointer(void **p, void *expected, void *desired) {
        return __atomic_compare_exchange_n(p, &expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    static inline void pyn_atomic_or64(uint64_t *p, uint64_t v) { __atomic_fetch_or(p, v, __ATOMIC_ACQ_REL); }
    static inline void pyn_atomic_and64(uint64_t *p, uint64_t v) { __atomic_fetch_and(p, v, __ATOMIC_ACQ_REL); }
    static inline void pyn_atomic_or32(uint32_t *p, uint32_t v) { __atomic_fetch_or(p, v, __ATOMIC_ACQ_REL); }
    static inline void pyn_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
    #define pyn_likely(x) __builtin_expect(!!(x), 1)
    #define pyn_unlikely(x) __builtin_expect(!!(x), 0)
    """
    uint16_t load16 "pyn_load16"(const void *p) noexcept nogil
    uint32_t load32 "pyn_load32"(const void *p) noexcept nogil
    uint64_t load64 "pyn_load64"(const void *p) noexcept nogil
    void store16 "pyn_store16"(void *p, uint16_t v) noexcept nogil
    void store32 "pyn_store32"(void *p, uint32_t v) noexcept nogil
    void store64 "pyn_store64"(void *p, uint64_t v) noexcept nogil
    uint32_t load32_be "pyn_load32_be"(const void *p) noexcept nogil
    uint64_t load64_be "pyn_load64_be"(const void *p) noexcept nogil
    void store32_be "pyn_store32_be"(void *p, uint32_t v) noexcept nogil
    void store64_be "pyn_store64_be"(void *p, uint64_t v) noexcept nogil

    int compare_bytes "pyn_compare"(const void *a, size_t a_size, const void *b, size_t b_size) noexcept nogil
    int popcount64 "pyn_popcount64"(uint64_t v) noexcept nogil
    int trailing_zeros64 "pyn_trailing_zeros64"(uint64_t v) noexcept nogil  # v must not be 0
    int leading_zeros64 "pyn_leading_zeros64"(uint64_t v) noexcept nogil    # v must not be 0

    uint64_t atomic_load64 "pyn_atomic_load64"(const uint64_t *p) noexcept nogil
    void atomic_store64 "pyn_atomic_store64"(uint64_t *p, uint64_t v) noexcept nogil
    uint64_t atomic_add64 "pyn_atomic_add64"(uint64_t *p, uint64_t v) noexcept nogil  # returns the new value
    uint32_t atomic_load32 "pyn_atomic_load32"(const uint32_t *p) noexcept nogil
    void atomic_store32 "pyn_atomic_store32"(uint32_t *p, uint32_t v) noexcept nogil
    uint32_t atomic_add32 "pyn_atomic_add32"(uint32_t *p, uint32_t v) noexcept nogil
    void *atomic_load_pointer "pyn_atomic_load_pointer"(void *const *p) noexcept nogil
    void atomic_store_pointer "pyn_atomic_store_pointer"(void **p, void *v) noexcept nogil
    bint compare_swap32 "pyn_compare_swap32"(uint32_t *p, uint32_t expected, uint32_t desired) noexcept nogil
    bint compare_swap64 "pyn_compare_swap64"(uint64_t *p, uint64_t expected, uint64_t desired) noexcept nogil
    bint compare_swap_pointer "pyn_compare_swap_pointer"(void **p, void *expected, void *desired) noexcept nogil
    void atomic_or64 "pyn_atomic_or64"(uint64_t *p, uint64_t v) noexcept nogil
    void atomic_and64 "pyn_atomic_and64"(uint64_t *p, uint64_t v) noexcept nogil
    void atomic_or32 "pyn_atomic_or32"(uint32_t *p, uint32_t v) noexcept nogil
    void fence "pyn_fence"() noexcept nogil
    bint likely "pyn_likely"(bint x) noexcept nogil
    bint unlikely "pyn_unlikely"(bint x) noexcept nogil


cdef inline uint64_t min64(uint64_t a, uint64_t b) noexcept nogil:
    return a if a < b else b


cdef inline uint64_t max64(uint64_t a, uint64_t b) noexcept nogil:
    return a if a > b else b

/* Sixteen bytes at a time: the searches that JSON text and property tables need, with SSE2 where there is SSE2.
 *
 * The portable paths give the same results. Loads are unaligned; every caller sees to it that sixteen bytes may be
 * read, or uses the _tail form with the number of bytes there are. */
#ifndef PYNORI_SCAN_H
#define PYNORI_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#define PYN_SSE2 1
#endif

/* Bit i is set when bytes[i] == wanted, i below 16. */
static inline uint32_t pyn_match16(const uint8_t *bytes, uint8_t wanted) {
#ifdef PYN_SSE2
    __m128i block = _mm_loadu_si128((const __m128i *)bytes);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8((char)wanted)));
#else
    uint32_t mask = 0;
    for (int i = 0; i < 16; i++) mask |= (uint32_t)(bytes[i] == wanted) << i;
    return mask;
#endif
}

/* The same over the `size` bytes there are, size below 16. */
static inline uint32_t pyn_match_tail(const uint8_t *bytes, size_t size, uint8_t wanted) {
    uint32_t mask = 0;
    for (size_t i = 0; i < size; i++) mask |= (uint32_t)(bytes[i] == wanted) << i;
    return mask;
}

#endif

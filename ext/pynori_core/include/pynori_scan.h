/* Sixteen bytes at a time: the searches that JSON text and property tables need, with SSE2 where there is SSE2.
 *
 * The portable paths give the same results. Loads are unaligned and never reach beyond the `limit` a caller gives; the
 * last bytes before it go through a copy filled up with zeros, and a zero is no plain character, so it ends a search. */
#ifndef PYNORI_SCAN_H
#define PYNORI_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#define PYN_SSE2 1
#endif

#define PYN_RARE(x) __builtin_expect(!!(x), 0)

static inline uint64_t pyn_word64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint32_t pyn_word32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }

/* ---- property tables ---- */

/* Bit i is set when bytes[i] == wanted, i below 16. All sixteen must be readable. */
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

/* The same over the `size` bytes there are, size at most 16. */
static inline uint32_t pyn_match_tail(const uint8_t *bytes, size_t size, uint8_t wanted) {
    uint32_t mask = 0;
    for (size_t i = 0; i < size; i++) mask |= (uint32_t)(bytes[i] == wanted) << i;
    return mask;
}

/* Whether two names of the same size are equal; short ones without a call. */
static inline int pyn_equal(const uint8_t *left, const uint8_t *right, size_t size) {
    if (size >= 8) {
        if (pyn_word64(left) != pyn_word64(right)) return 0;
        if (size > 16) return memcmp(left + 8, right + 8, size - 8) == 0;
        return pyn_word64(left + size - 8) == pyn_word64(right + size - 8);
    }
    if (size >= 4)
        return pyn_word32(left) == pyn_word32(right) && pyn_word32(left + size - 4) == pyn_word32(right + size - 4);
    for (size_t i = 0; i < size; i++)
        if (left[i] != right[i]) return 0;
    return 1;
}

/* Whether the bytes of `left` that `mask` names (bit i: byte i, up to 32) are those of `right`; 32 readable on each side. */
static inline int pyn_equal32(const uint8_t *left, const uint8_t *right, uint32_t mask) {
#ifdef PYN_SSE2
    __m128i low = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)left), _mm_loadu_si128((const __m128i *)right));
    __m128i high = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(left + 16)),
                                  _mm_loadu_si128((const __m128i *)(right + 16)));
    uint32_t equal = (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;
    return (mask & ~equal) == 0;
#else
    for (int i = 0; i < 32; i++)
        if ((mask >> i & 1) && left[i] != right[i]) return 0;
    return 1;
#endif
}

static inline uint64_t pyn_fold64(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* A hash for the index of names while a document is built. The seed is secret to the process, so that nobody can choose
 * names that collide; nothing of it is stored. */
static inline uint32_t pyn_hash_name(const uint8_t *name, size_t size, uint64_t seed) {
    uint64_t first, last, sum = seed ^ size;
    const uint8_t *here = name;
    for (; size > 16; size -= 16, here += 16)
        sum = pyn_fold64(pyn_word64(here) ^ sum, pyn_word64(here + 8) ^ 0xA0761D6478BD642FULL ^ seed);
    if (size >= 8) {
        first = pyn_word64(here);
        last = pyn_word64(here + size - 8);
    } else if (size >= 4) {
        first = pyn_word32(here);
        last = pyn_word32(here + size - 4);
    } else if (size > 0) {
        first = here[0];
        last = ((uint64_t)here[size >> 1] << 8) | here[size - 1];
    } else {
        first = last = 0;
    }
    return (uint32_t)pyn_fold64(first ^ sum, last ^ seed ^ 0xE7037ED1A0B428DBULL);
}

/* ---- text ---- */

/* Look at the sixteen bytes from `text` on: the result has bit i set when text[i] cannot stand in a JSON string as it is
 * (quote, backslash, control character) or lies beyond limit; *high gets the bits of bytes above 0x7F. */
static inline uint32_t pyn_special16(const uint8_t *text, const uint8_t *limit, uint32_t *high) {
    uint8_t tail[16];
    if (PYN_RARE(limit - text < 16)) {
        memset(tail, 0, 16);
        memcpy(tail, text, (size_t)(limit - text));
        text = tail;
    }
#ifdef PYN_SSE2
    const __m128i control = _mm_set1_epi8(0x1F);
    __m128i block = _mm_loadu_si128((const __m128i *)text);
    __m128i found = _mm_cmpeq_epi8(block, _mm_set1_epi8('"'));
    found = _mm_or_si128(found, _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
    found = _mm_or_si128(found, _mm_cmpeq_epi8(_mm_min_epu8(block, control), block));
    *high = (uint32_t)_mm_movemask_epi8(block);
    return (uint32_t)_mm_movemask_epi8(found);
#else
    uint32_t mask = 0, above = 0;
    for (int i = 0; i < 16; i++) {
        mask |= (uint32_t)(text[i] == '"' || text[i] == '\\' || text[i] < 0x20) << i;
        above |= (uint32_t)(text[i] >> 7) << i;
    }
    *high = above;
    return mask;
#endif
}

/* Number of plain bytes from `text` on; *high is not 0 when one of them is above 0x7F. */
static inline size_t pyn_scan_plain(const uint8_t *text, const uint8_t *limit, uint32_t *high) {
    const uint8_t *here = text;
    uint32_t seen = 0, above;
    for (;;) {
        uint32_t special = pyn_special16(here, limit, &above);
        if (special) {
            int index = __builtin_ctz(special);
            *high = seen | (above & ((1u << index) - 1));
            return (size_t)(here - text) + (size_t)index;
        }
        seen |= above;
        here += 16;
    }
}

enum { PYN_COPY_PLAIN_MAX = 64 };

/* Copy plain bytes to `target`, PYN_COPY_PLAIN_MAX at most; the answer is how many. The target has room for 16 more. */
static inline size_t pyn_copy_plain(const uint8_t *text, const uint8_t *limit, uint8_t *target, uint32_t *high) {
    uint32_t seen = 0, above;
    for (size_t size = 0; size < PYN_COPY_PLAIN_MAX; size += 16) {
        uint32_t special = pyn_special16(text + size, limit, &above);
        if (PYN_RARE(limit - text < (ptrdiff_t)size + 16))
            memcpy(target + size, text + size, (size_t)(limit - text) - size);
        else
            memcpy(target + size, text + size, 16);
        if (special) {
            int index = __builtin_ctz(special);
            *high = seen | (above & ((1u << index) - 1));
            return size + (size_t)index;
        }
        seen |= above;
    }
    *high = seen;
    return PYN_COPY_PLAIN_MAX;
}

static inline int pyn_is_space(uint8_t c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

/* The first byte from `text` on that is not white space, or limit. */
static inline const uint8_t *pyn_skip_space(const uint8_t *text, const uint8_t *limit) {
    while (limit - text >= 16) {
#ifdef PYN_SSE2
        __m128i block = _mm_loadu_si128((const __m128i *)text);
        __m128i space = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8(' ')),
                                     _mm_cmpeq_epi8(block, _mm_set1_epi8('\n')));
        space = _mm_or_si128(space, _mm_cmpeq_epi8(block, _mm_set1_epi8('\r')));
        space = _mm_or_si128(space, _mm_cmpeq_epi8(block, _mm_set1_epi8('\t')));
        uint32_t other = (uint32_t)_mm_movemask_epi8(space) ^ 0xFFFF;
        if (other) return text + __builtin_ctz(other);
        text += 16;
#else
        if (!pyn_is_space(*text)) return text;
        text++;
#endif
    }
    while (text < limit && pyn_is_space(*text)) text++;
    return text;
}

/* Size of the UTF-8 sequence at `text`, 1 to 4, or 0 when it is broken: overlong, a surrogate, beyond U+10FFFF, cut. */
static inline int pyn_utf8_size(const uint8_t *text, size_t left) {
    uint8_t a = text[0];
    if (a < 0x80) return 1;
    if (a < 0xC2) return 0;
    if (a < 0xE0) return left >= 2 && (text[1] & 0xC0) == 0x80 ? 2 : 0;
    if (a < 0xF0) {
        if (left < 3 || (text[1] & 0xC0) != 0x80 || (text[2] & 0xC0) != 0x80) return 0;
        if ((a == 0xE0 && text[1] < 0xA0) || (a == 0xED && text[1] > 0x9F)) return 0;
        return 3;
    }
    if (a > 0xF4 || left < 4) return 0;
    if ((text[1] & 0xC0) != 0x80 || (text[2] & 0xC0) != 0x80 || (text[3] & 0xC0) != 0x80) return 0;
    if ((a == 0xF0 && text[1] < 0x90) || (a == 0xF4 && text[1] > 0x8F)) return 0;
    return 4;
}

/* Number of bytes before the first broken sequence; `size` when all of it is UTF-8. */
static inline size_t pyn_utf8_valid(const uint8_t *text, size_t size) {
    size_t here = 0;
    while (here < size) {
        if (size - here >= 8 && !(pyn_word64(text + here) & 0x8080808080808080ULL)) {
            here += 8;
            continue;
        }
        int step = pyn_utf8_size(text + here, size - here);
        if (!step) return here;
        here += (size_t)step;
    }
    return size;
}

/* Write a code point as UTF-8; the number of bytes. */
static inline int pyn_utf8_put(uint32_t code, uint8_t *target) {
    if (code < 0x80) { target[0] = (uint8_t)code; return 1; }
    if (code < 0x800) {
        target[0] = (uint8_t)(0xC0 | code >> 6);
        target[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        target[0] = (uint8_t)(0xE0 | code >> 12);
        target[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        target[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    target[0] = (uint8_t)(0xF0 | code >> 18);
    target[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    target[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    target[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}

/* The code point of a valid sequence of `size` bytes. */
static inline uint32_t pyn_utf8_get(const uint8_t *text, int size) {
    if (size == 1) return text[0];
    if (size == 2) return (uint32_t)(text[0] & 0x1F) << 6 | (text[1] & 0x3F);
    if (size == 3) return (uint32_t)(text[0] & 0x0F) << 12 | (uint32_t)(text[1] & 0x3F) << 6 | (text[2] & 0x3F);
    return (uint32_t)(text[0] & 0x07) << 18 | (uint32_t)(text[1] & 0x3F) << 12
        | (uint32_t)(text[2] & 0x3F) << 6 | (text[3] & 0x3F);
}

/* Write one character that cannot stand as it is; the number of bytes read. At most 12 are written. */
static inline int pyn_put_escape(const uint8_t *text, size_t left, uint8_t **target) {
    static const char hex[] = "0123456789abcdef";
    uint8_t *here = *target;
    int used = 1;
    uint32_t units[2], count = 1;
    units[0] = text[0];
    if (text[0] >= 0x80) {
        used = pyn_utf8_size(text, left);
        if (!used) used = 1;
        else units[0] = pyn_utf8_get(text, used);
        if (units[0] >= 0x10000) {
            units[1] = 0xDC00 + ((units[0] - 0x10000) & 0x3FF);
            units[0] = 0xD800 + ((units[0] - 0x10000) >> 10);
            count = 2;
        }
    } else {
        const char *letters = "\"\"\\\\\bb\ff\nn\rr\tt";
        for (; *letters; letters += 2)
            if ((uint8_t)letters[0] == text[0]) {
                *here++ = '\\';
                *here++ = (uint8_t)letters[1];
                *target = here;
                return 1;
            }
    }
    for (uint32_t i = 0; i < count; i++) {
        *here++ = '\\';
        *here++ = 'u';
        for (int shift = 12; shift >= 0; shift -= 4) *here++ = (uint8_t)hex[units[i] >> shift & 15];
    }
    *target = here;
    return used;
}

/* Write UTF-8 text as the inside of a JSON string; the number of bytes. The target has room for 6 * size + 16. */
static inline size_t pyn_put_string(const uint8_t *text, size_t size, const uint8_t *limit, uint8_t *target,
                                    int ascii_only) {
    const uint8_t *end = text + size;
    uint8_t *here = target;
    while (text < end) {
        uint32_t high, special = pyn_special16(text, limit, &high);
        size_t left = (size_t)(end - text);
        if (PYN_RARE(limit - text < 16)) memcpy(here, text, (size_t)(limit - text));
        else memcpy(here, text, 16);
        if (ascii_only) special |= high;
        special |= left < 16 ? 1u << left : 0;
        if (!special) {
            text += 16;
            here += 16;
            continue;
        }
        int plain = __builtin_ctz(special);
        text += plain;
        here += plain;
        if (text < end) text += pyn_put_escape(text, (size_t)(end - text), &here);
    }
    return (size_t)(here - target);
}

/* Four hexadecimal digits, or -1. All four must be readable. */
static inline int pyn_hex4(const uint8_t *text) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int c = text[i], digit;
        if (c >= '0' && c <= '9') digit = c - '0';
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') digit = (c | 0x20) - 'a' + 10;
        else return -1;
        value = value << 4 | digit;
    }
    return value;
}

#endif

/* XXH3 with seed, 64 and 128 bits, one shot: written from the published description of the algorithm.
 *
 * Inputs up to 240 bytes are mixed with 128-bit products. Longer ones run eight 64-bit lanes over stripes of 64 bytes;
 * that loop exists three times, in plain C, SSE2 and AVX2, with equal results, and the best one the processor has is
 * picked at run time. Little-endian machines only, as all of the engine. */
#ifndef PYNORI_XXH3_H
#define PYNORI_XXH3_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#define PYN_XXH3_AVX2 1
#endif

#define PYN_PRIME32_1 0x9E3779B1ULL
#define PYN_PRIME32_2 0x85EBCA77ULL
#define PYN_PRIME32_3 0xC2B2AE3DULL
#define PYN_PRIME64_1 0x9E3779B185EBCA87ULL
#define PYN_PRIME64_2 0xC2B2AE3D27D4EB4FULL
#define PYN_PRIME64_3 0x165667B19E3779F9ULL
#define PYN_PRIME64_4 0x85EBCA77C2B2AE63ULL
#define PYN_PRIME64_5 0x27D4EB2F165667C5ULL
#define PYN_PRIME_MX1 0x165667919E3779F9ULL
#define PYN_PRIME_MX2 0x9FB21C651E98DF25ULL

enum {
    PYN_SECRET_SIZE = 192,
    PYN_STRIPE_SIZE = 64,
    PYN_STRIPES_PER_BLOCK = (PYN_SECRET_SIZE - PYN_STRIPE_SIZE) / 8,
    PYN_BLOCK_SIZE = PYN_STRIPE_SIZE * PYN_STRIPES_PER_BLOCK
};

typedef struct { uint64_t low, high; } pyn_hash128;

static const uint8_t pyn_secret[PYN_SECRET_SIZE] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

static inline uint64_t pyn_x64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint32_t pyn_x32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t pyn_rotate_left(uint64_t v, int bits) { return (v << bits) | (v >> (64 - bits)); }

static inline uint64_t pyn_fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t pyn_avalanche(uint64_t x) {
    x ^= x >> 37;
    x *= PYN_PRIME_MX1;
    return x ^ (x >> 32);
}

static inline uint64_t pyn_avalanche_xxh64(uint64_t x) {
    x ^= x >> 33;
    x *= PYN_PRIME64_2;
    x ^= x >> 29;
    x *= PYN_PRIME64_3;
    return x ^ (x >> 32);
}

static inline uint64_t pyn_mix(const uint8_t *data, size_t secret, uint64_t seed) {
    return pyn_fold(pyn_x64(data) ^ (pyn_x64(pyn_secret + secret) + seed),
                    pyn_x64(data + 8) ^ (pyn_x64(pyn_secret + secret + 8) - seed));
}

/* ---- up to 16 bytes ---- */

static inline uint32_t pyn_combine_1to3(const uint8_t *data, size_t size) {
    return (uint32_t)data[size - 1] | ((uint32_t)size << 8) | ((uint32_t)data[0] << 16)
        | ((uint32_t)data[size >> 1] << 24);
}

static inline uint64_t pyn_hash64_small(const uint8_t *data, size_t size, uint64_t seed) {
    const uint8_t *secret = pyn_secret;
    if (size > 8) {
        uint64_t low = ((pyn_x64(secret + 24) ^ pyn_x64(secret + 32)) + seed) ^ pyn_x64(data);
        uint64_t high = ((pyn_x64(secret + 40) ^ pyn_x64(secret + 48)) - seed) ^ pyn_x64(data + size - 8);
        return pyn_avalanche(size + __builtin_bswap64(low) + high + pyn_fold(low, high));
    }
    if (size >= 4) {
        uint64_t modified = seed ^ ((uint64_t)__builtin_bswap32((uint32_t)seed) << 32);
        uint64_t combined = (uint64_t)pyn_x32(data + size - 4) | ((uint64_t)pyn_x32(data) << 32);
        uint64_t value = ((pyn_x64(secret + 8) ^ pyn_x64(secret + 16)) - modified) ^ combined;
        value ^= pyn_rotate_left(value, 49) ^ pyn_rotate_left(value, 24);
        value *= PYN_PRIME_MX2;
        value ^= (value >> 35) + size;
        value *= PYN_PRIME_MX2;
        return value ^ (value >> 28);
    }
    if (size > 0) {
        uint64_t flip = (uint64_t)(pyn_x32(secret) ^ pyn_x32(secret + 4)) + seed;
        return pyn_avalanche_xxh64(flip ^ pyn_combine_1to3(data, size));
    }
    return pyn_avalanche_xxh64(seed ^ pyn_x64(secret + 56) ^ pyn_x64(secret + 64));
}

static inline pyn_hash128 pyn_hash128_9to16(const uint8_t *data, size_t size, uint64_t seed) {
    const uint8_t *secret = pyn_secret;
    uint64_t first = pyn_x64(data), last = pyn_x64(data + size - 8);
    uint64_t left = ((pyn_x64(secret + 32) ^ pyn_x64(secret + 40)) - seed) ^ first ^ last;
    uint64_t right = ((pyn_x64(secret + 48) ^ pyn_x64(secret + 56)) + seed) ^ last;
    unsigned __int128 product = (unsigned __int128)left * PYN_PRIME64_1;
    uint64_t low = (uint64_t)product + ((uint64_t)(size - 1) << 54);
    uint64_t high = (uint64_t)(product >> 64) + right + (uint64_t)(uint32_t)right * (PYN_PRIME32_2 - 1);
    low ^= __builtin_bswap64(high);
    product = (unsigned __int128)low * PYN_PRIME64_2;
    pyn_hash128 result = {pyn_avalanche((uint64_t)product),
                          pyn_avalanche((uint64_t)(product >> 64) + high * PYN_PRIME64_2)};
    return result;
}

static inline pyn_hash128 pyn_hash128_4to8(const uint8_t *data, size_t size, uint64_t seed) {
    uint64_t modified = seed ^ ((uint64_t)__builtin_bswap32((uint32_t)seed) << 32);
    uint64_t combined = (uint64_t)pyn_x32(data) | ((uint64_t)pyn_x32(data + size - 4) << 32);
    uint64_t value = ((pyn_x64(pyn_secret + 16) ^ pyn_x64(pyn_secret + 24)) + modified) ^ combined;
    unsigned __int128 product = (unsigned __int128)value * (PYN_PRIME64_1 + ((uint64_t)size << 2));
    uint64_t low = (uint64_t)product;
    uint64_t high = (uint64_t)(product >> 64) + (low << 1);
    low ^= high >> 3;
    low ^= low >> 35;
    low *= PYN_PRIME_MX2;
    low ^= low >> 28;
    pyn_hash128 result = {low, pyn_avalanche(high)};
    return result;
}

static inline pyn_hash128 pyn_hash128_small(const uint8_t *data, size_t size, uint64_t seed) {
    const uint8_t *secret = pyn_secret;
    if (size > 8) return pyn_hash128_9to16(data, size, seed);
    if (size >= 4) return pyn_hash128_4to8(data, size, seed);
    pyn_hash128 result;
    if (size > 0) {
        uint32_t combined = pyn_combine_1to3(data, size);
        uint32_t swapped = __builtin_bswap32(combined);
        uint64_t low = ((uint64_t)(pyn_x32(secret) ^ pyn_x32(secret + 4)) + seed) ^ combined;
        uint64_t high = ((uint64_t)(pyn_x32(secret + 8) ^ pyn_x32(secret + 12)) - seed)
            ^ (uint64_t)((swapped << 13) | (swapped >> 19));
        result.low = pyn_avalanche_xxh64(low);
        result.high = pyn_avalanche_xxh64(high);
    } else {
        result.low = pyn_avalanche_xxh64(seed ^ pyn_x64(secret + 64) ^ pyn_x64(secret + 72));
        result.high = pyn_avalanche_xxh64(seed ^ pyn_x64(secret + 80) ^ pyn_x64(secret + 88));
    }
    return result;
}

/* ---- 17 to 240 bytes ---- */

static inline uint64_t pyn_hash64_medium(const uint8_t *data, size_t size, uint64_t seed) {
    uint64_t sum = (uint64_t)size * PYN_PRIME64_1;
    if (size <= 128) {
        for (size_t i = (size - 1) >> 5, left = i + 1; left; left--, i--) {
            sum += pyn_mix(data + i * 16, i * 32, seed);
            sum += pyn_mix(data + size - i * 16 - 16, i * 32 + 16, seed);
        }
        return pyn_avalanche(sum);
    }
    for (size_t i = 0; i < 8; i++) sum += pyn_mix(data + i * 16, i * 16, seed);
    sum = pyn_avalanche(sum);
    for (size_t i = 8; i < size >> 4; i++) sum += pyn_mix(data + i * 16, (i - 8) * 16 + 3, seed);
    return pyn_avalanche(sum + pyn_mix(data + size - 16, 119, seed));
}

static inline void pyn_mix_two(uint64_t sum[2], const uint8_t *one, const uint8_t *two, size_t secret, uint64_t seed) {
    sum[0] += pyn_mix(one, secret, seed);
    sum[1] += pyn_mix(two, secret + 16, seed);
    sum[0] ^= pyn_x64(two) + pyn_x64(two + 8);
    sum[1] ^= pyn_x64(one) + pyn_x64(one + 8);
}

static inline pyn_hash128 pyn_hash128_medium(const uint8_t *data, size_t size, uint64_t seed) {
    uint64_t sum[2] = {(uint64_t)size * PYN_PRIME64_1, 0};
    if (size <= 128) {
        for (size_t i = (size - 1) >> 5, left = i + 1; left; left--, i--)
            pyn_mix_two(sum, data + i * 16, data + size - i * 16 - 16, i * 32, seed);
    } else {
        for (size_t i = 0; i < 4; i++) pyn_mix_two(sum, data + i * 32, data + i * 32 + 16, i * 32, seed);
        sum[0] = pyn_avalanche(sum[0]);
        sum[1] = pyn_avalanche(sum[1]);
        for (size_t i = 4; i < size >> 5; i++)
            pyn_mix_two(sum, data + i * 32, data + i * 32 + 16, (i - 4) * 32 + 3, seed);
        pyn_mix_two(sum, data + size - 16, data + size - 32, 103, (uint64_t)0 - seed);
    }
    uint64_t high = sum[0] * PYN_PRIME64_1 + sum[1] * PYN_PRIME64_4 + ((uint64_t)size - seed) * PYN_PRIME64_2;
    pyn_hash128 result = {pyn_avalanche(sum[0] + sum[1]), (uint64_t)0 - pyn_avalanche(high)};
    return result;
}

/* ---- above 240 bytes: one body, three instruction sets ---- */

#define PYN_LONG_BODY(ACCUMULATE, SCRAMBLE)                                                        \
    size_t blocks = (size - 1) / PYN_BLOCK_SIZE;                                                   \
    for (size_t block = 0; block < blocks; block++, data += PYN_BLOCK_SIZE) {                      \
        for (int i = 0; i < PYN_STRIPES_PER_BLOCK; i++) ACCUMULATE(data + i * 64, secret + i * 8); \
        SCRAMBLE(secret + PYN_SECRET_SIZE - 64);                                                   \
    }                                                                                              \
    size_t rest = size - blocks * PYN_BLOCK_SIZE;                                                  \
    for (size_t i = 0; i < (rest - 1) / 64; i++) ACCUMULATE(data + i * 64, secret + i * 8);        \
    ACCUMULATE(data + rest - 64, secret + PYN_SECRET_SIZE - 71);

static inline void pyn_long_plain(uint64_t sum[8], const uint8_t *data, size_t size, const uint8_t *secret) {
#define PYN_STEP(bytes, key)                                                                       \
    for (int lane = 0; lane < 8; lane++) {                                                         \
        uint64_t word = pyn_x64((bytes) + lane * 8), mixed = word ^ pyn_x64((key) + lane * 8);     \
        sum[lane ^ 1] += word;                                                                     \
        sum[lane] += (mixed & 0xFFFFFFFF) * (mixed >> 32);                                         \
    }
#define PYN_MINGLE(key)                                                                            \
    for (int lane = 0; lane < 8; lane++)                                                           \
        sum[lane] = (sum[lane] ^ (sum[lane] >> 47) ^ pyn_x64((key) + lane * 8)) * PYN_PRIME32_1;
    PYN_LONG_BODY(PYN_STEP, PYN_MINGLE)
#undef PYN_STEP
#undef PYN_MINGLE
}

#if defined(__SSE2__)
static inline void pyn_long_sse2(uint64_t out[8], const uint8_t *data, size_t size, const uint8_t *secret) {
    __m128i sum[4];
    for (int i = 0; i < 4; i++) sum[i] = _mm_loadu_si128((const __m128i *)out + i);
    const __m128i prime = _mm_set1_epi32((int)PYN_PRIME32_1);
#define PYN_STEP(bytes, key)                                                                       \
    for (int lane = 0; lane < 4; lane++) {                                                         \
        __m128i word = _mm_loadu_si128((const __m128i *)(bytes) + lane);                           \
        __m128i mixed = _mm_xor_si128(word, _mm_loadu_si128((const __m128i *)(key) + lane));       \
        __m128i product = _mm_mul_epu32(mixed, _mm_srli_epi64(mixed, 32));                         \
        sum[lane] = _mm_add_epi64(_mm_add_epi64(sum[lane], _mm_shuffle_epi32(word, 0x4E)), product);\
    }
#define PYN_MINGLE(key)                                                                            \
    for (int lane = 0; lane < 4; lane++) {                                                         \
        __m128i mixed = _mm_xor_si128(sum[lane], _mm_srli_epi64(sum[lane], 47));                   \
        mixed = _mm_xor_si128(mixed, _mm_loadu_si128((const __m128i *)(key) + lane));              \
        __m128i low = _mm_mul_epu32(mixed, prime);                                                 \
        __m128i high = _mm_mul_epu32(_mm_srli_epi64(mixed, 32), prime);                            \
        sum[lane] = _mm_add_epi64(low, _mm_slli_epi64(high, 32));                                  \
    }
    PYN_LONG_BODY(PYN_STEP, PYN_MINGLE)
#undef PYN_STEP
#undef PYN_MINGLE
    for (int i = 0; i < 4; i++) _mm_storeu_si128((__m128i *)out + i, sum[i]);
}
#endif

#if defined(PYN_XXH3_AVX2)
__attribute__((target("avx2")))
static void pyn_long_avx2(uint64_t out[8], const uint8_t *data, size_t size, const uint8_t *secret) {
    __m256i sum[2];
    for (int i = 0; i < 2; i++) sum[i] = _mm256_loadu_si256((const __m256i *)out + i);
    const __m256i prime = _mm256_set1_epi32((int)PYN_PRIME32_1);
#define PYN_STEP(bytes, key)                                                                       \
    for (int lane = 0; lane < 2; lane++) {                                                         \
        __m256i word = _mm256_loadu_si256((const __m256i *)(bytes) + lane);                        \
        __m256i mixed = _mm256_xor_si256(word, _mm256_loadu_si256((const __m256i *)(key) + lane)); \
        __m256i product = _mm256_mul_epu32(mixed, _mm256_srli_epi64(mixed, 32));                   \
        sum[lane] = _mm256_add_epi64(sum[lane], _mm256_shuffle_epi32(word, 0x4E));                 \
        sum[lane] = _mm256_add_epi64(sum[lane], product);                                          \
    }
#define PYN_MINGLE(key)                                                                            \
    for (int lane = 0; lane < 2; lane++) {                                                         \
        __m256i mixed = _mm256_xor_si256(sum[lane], _mm256_srli_epi64(sum[lane], 47));             \
        mixed = _mm256_xor_si256(mixed, _mm256_loadu_si256((const __m256i *)(key) + lane));        \
        __m256i low = _mm256_mul_epu32(mixed, prime);                                              \
        __m256i high = _mm256_mul_epu32(_mm256_srli_epi64(mixed, 32), prime);                      \
        sum[lane] = _mm256_add_epi64(low, _mm256_slli_epi64(high, 32));                            \
    }
    PYN_LONG_BODY(PYN_STEP, PYN_MINGLE)
#undef PYN_STEP
#undef PYN_MINGLE
    for (int i = 0; i < 2; i++) _mm256_storeu_si256((__m256i *)out + i, sum[i]);
}
#endif

enum { PYN_PATH_PLAIN = 0, PYN_PATH_SSE2 = 1, PYN_PATH_AVX2 = 2 };

/* The best path this processor has. */
static inline int pyn_long_best(void) {
#if defined(PYN_XXH3_AVX2)
    if (__builtin_cpu_supports("avx2")) return PYN_PATH_AVX2;
#endif
#if defined(__SSE2__)
    return PYN_PATH_SSE2;
#else
    return PYN_PATH_PLAIN;
#endif
}

/* The lanes after the whole input; `secret` receives the secret that belongs to the seed. */
static void pyn_long_lanes(const uint8_t *data, size_t size, uint64_t seed, int path, uint64_t sum[8],
                           uint8_t secret[PYN_SECRET_SIZE]) {
    static const uint64_t start[8] = {PYN_PRIME32_3, PYN_PRIME64_1, PYN_PRIME64_2, PYN_PRIME64_3,
                                      PYN_PRIME64_4, PYN_PRIME32_2, PYN_PRIME64_5, PYN_PRIME32_1};
    memcpy(sum, start, sizeof start);
    for (int i = 0; i < PYN_SECRET_SIZE; i += 16) {
        uint64_t plus = pyn_x64(pyn_secret + i) + seed, minus = pyn_x64(pyn_secret + i + 8) - seed;
        memcpy(secret + i, &plus, 8);
        memcpy(secret + i + 8, &minus, 8);
    }
#if defined(PYN_XXH3_AVX2)
    if (path == PYN_PATH_AVX2) { pyn_long_avx2(sum, data, size, secret); return; }
#endif
#if defined(__SSE2__)
    if (path != PYN_PATH_PLAIN) { pyn_long_sse2(sum, data, size, secret); return; }
#endif
    pyn_long_plain(sum, data, size, secret);
}

static inline uint64_t pyn_long_merge(const uint64_t sum[8], const uint8_t *secret, uint64_t start) {
    for (int i = 0; i < 4; i++)
        start += pyn_fold(sum[2 * i] ^ pyn_x64(secret + 16 * i), sum[2 * i + 1] ^ pyn_x64(secret + 16 * i + 8));
    return pyn_avalanche(start);
}

/* ---- the two functions ---- */

static uint64_t pyn_xxh3_64(const uint8_t *data, size_t size, uint64_t seed, int path) {
    if (size <= 16) return pyn_hash64_small(data, size, seed);
    if (size <= 240) return pyn_hash64_medium(data, size, seed);
    uint64_t sum[8];
    uint8_t secret[PYN_SECRET_SIZE];
    pyn_long_lanes(data, size, seed, path, sum, secret);
    return pyn_long_merge(sum, secret + 11, (uint64_t)size * PYN_PRIME64_1);
}

static pyn_hash128 pyn_xxh3_128(const uint8_t *data, size_t size, uint64_t seed, int path) {
    if (size <= 16) return pyn_hash128_small(data, size, seed);
    if (size <= 240) return pyn_hash128_medium(data, size, seed);
    uint64_t sum[8];
    uint8_t secret[PYN_SECRET_SIZE];
    pyn_long_lanes(data, size, seed, path, sum, secret);
    pyn_hash128 result = {
        pyn_long_merge(sum, secret + 11, (uint64_t)size * PYN_PRIME64_1),
        pyn_long_merge(sum, secret + PYN_SECRET_SIZE - 75, ~((uint64_t)size * PYN_PRIME64_2))};
    return result;
}

#endif

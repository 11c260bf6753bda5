/* Numbers and text: integers and doubles as decimal text, decimals and text as doubles. No locale has a say in it. */
#ifndef PYNORI_NUMBER_H
#define PYNORI_NUMBER_H

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__APPLE__)
#include <xlocale.h>
#endif

/* Mantissas of decimals have at most 18 digits. */
#define PYN_DECIMAL_END 1000000000000000000LL

enum { PYN_INTEGER_TEXT_MAX = 20, PYN_DECIMAL_TEXT_MAX = 24, PYN_DOUBLE_TEXT_MAX = 40 };

static const char pyn_digit_pairs[201] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

/* Digits of `value` from the end of a buffer of 20 bytes backwards; where they begin. */
static inline const uint8_t *pyn_digits(uint64_t value, uint8_t buffer[20]) {
    uint8_t *here = buffer + 20;
    while (value >= 100) {
        here -= 2;
        memcpy(here, pyn_digit_pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    if (value >= 10) {
        here -= 2;
        memcpy(here, pyn_digit_pairs + 2 * value, 2);
    } else {
        *--here = (uint8_t)('0' + value);
    }
    return here;
}

/* Write an integer; the number of bytes, at most PYN_INTEGER_TEXT_MAX. */
static inline size_t pyn_put_integer(int64_t value, uint8_t *target) {
    uint8_t buffer[20];
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    const uint8_t *digits = pyn_digits(magnitude, buffer);
    size_t size = (size_t)(buffer + 20 - digits);
    *target = '-';
    memcpy(target + (value < 0), digits, size);
    return size + (value < 0);
}

/* Write mantissa / 10^scale with exactly `scale` digits after the point, scale 1 to 18 and |mantissa| below 10^18; the
 * number of bytes, at most PYN_DECIMAL_TEXT_MAX. */
static inline size_t pyn_put_decimal(int64_t mantissa, int scale, uint8_t *target) {
    uint8_t buffer[20];
    uint64_t magnitude = mantissa < 0 ? 0 - (uint64_t)mantissa : (uint64_t)mantissa;
    const uint8_t *digits = pyn_digits(magnitude, buffer);
    int size = (int)(buffer + 20 - digits);
    uint8_t *here = target;
    if (mantissa < 0) *here++ = '-';
    if (size > scale) {
        memcpy(here, digits, (size_t)(size - scale));
        here += size - scale;
        digits += size - scale;
        size = scale;
    } else {
        *here++ = '0';
    }
    *here++ = '.';
    memset(here, '0', (size_t)(scale - size));
    here += scale - size;
    memcpy(here, digits, (size_t)size);
    return (size_t)(here + size - target);
}

/* The C locale, made once; the calls below switch the calling thread to it and back. */
static locale_t pyn_c_locale(void) {
    static locale_t made;
    locale_t known = __atomic_load_n(&made, __ATOMIC_ACQUIRE);
    if (!known) {
        locale_t fresh = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        if (__atomic_compare_exchange_n(&made, &known, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return fresh;
        freelocale(fresh);
    }
    return known;
}

/* Scientific text "d.ddde-XX" with the fewest digits that read back as `value`, which is finite. */
static inline void pyn_shortest(double value, char text[32]) {
    /* Above the subnormals any 15 digits come back unchanged, so fewer need no trial of their own. */
    int digits = fabs(value) < DBL_MIN ? 1 : 15;
    for (; digits < 17; digits++) {
        snprintf(text, 32, "%.*e", digits - 1, value);
        if (strtod(text, NULL) == value) return;
    }
    snprintf(text, 32, "%.16e", value);
}

/* Write a finite double in its shortest form, always with a point or an exponent; the number of bytes, at most
 * PYN_DOUBLE_TEXT_MAX. */
static size_t pyn_put_double(double value, uint8_t *target) {
    char text[32], digits[20];
    uint8_t *here = target;
    int count = 0, exponent, i;
    const char *read = text;
    locale_t before = uselocale(pyn_c_locale());
    pyn_shortest(value, text);
    uselocale(before);
    if (*read == '-') *here++ = (uint8_t)*read++;
    for (; *read != 'e'; read++)
        if (*read != '.') digits[count++] = *read;
    exponent = atoi(read + 1);
    while (count > 1 && digits[count - 1] == '0') count--;
    if (exponent < -5 || exponent > 16) {
        *here++ = (uint8_t)digits[0];
        if (count > 1) *here++ = '.';
        for (i = 1; i < count; i++) *here++ = (uint8_t)digits[i];
        return (size_t)(here - target) + (size_t)snprintf((char *)here, 8, "e%d", exponent);
    }
    if (exponent < 0) {
        *here++ = '0';
        *here++ = '.';
        for (i = -1; i > exponent; i--) *here++ = '0';
        for (i = 0; i < count; i++) *here++ = (uint8_t)digits[i];
        return (size_t)(here - target);
    }
    for (i = 0; i <= exponent; i++) *here++ = (uint8_t)(i < count ? digits[i] : '0');
    *here++ = '.';
    if (count <= exponent + 1) *here++ = '0';
    for (i = exponent + 1; i < count; i++) *here++ = (uint8_t)digits[i];
    return (size_t)(here - target);
}

/* mantissa / 10^scale as the nearest double, ties to even; scale 0 to 22. */
static inline double pyn_decimal_double(int64_t mantissa, int scale) {
    static const double tens[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t magnitude = mantissa < 0 ? 0 - (uint64_t)mantissa : (uint64_t)mantissa;
    /* Both exact: one division rounds once. */
    if (magnitude <= (uint64_t)1 << 53) return (double)mantissa / tens[scale];
    uint64_t fives = 1;
    for (int i = 0; i < scale; i++) fives *= 5;
    unsigned __int128 scaled = (unsigned __int128)magnitude << 64;
    unsigned __int128 quotient = scaled / fives;
    int sticky = quotient * fives != scaled;
    uint64_t top = (uint64_t)(quotient >> 64);
    int bits = top ? 128 - __builtin_clzll(top) : 64 - __builtin_clzll((uint64_t)quotient);
    int shift = bits - 54;
    uint64_t kept = (uint64_t)(quotient >> shift);
    sticky |= ((unsigned __int128)kept << shift) != quotient;
    uint64_t rounded = kept >> 1;
    if ((kept & 1) && (sticky || (rounded & 1))) rounded++;
    double value = ldexp((double)rounded, shift + 1 - 64 - scale);
    return mantissa < 0 ? -value : value;
}

/* A JSON number's text as the nearest double, +-infinity beyond; 0 with *failed set when memory is short. */
static double pyn_text_double(const uint8_t *text, size_t size, int *failed) {
    char small[256];
    char *copy = size < sizeof small ? small : malloc(size + 1);
    *failed = copy == NULL;
    if (!copy) return 0;
    memcpy(copy, text, size);
    copy[size] = 0;
    locale_t before = uselocale(pyn_c_locale());
    double value = strtod(copy, NULL);
    uselocale(before);
    if (copy != small) free(copy);
    return value;
}

#endif

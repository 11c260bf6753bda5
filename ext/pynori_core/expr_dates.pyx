"""Count days; read and write."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdio cimport snprintf

cdef int64_t TICKS_PER_DAY = 864000000000
cdef int64_t TICKS_MAX = 3155378975999999999      # the last tick of year 9999


cdef int64_t date_ticks(int64_t year, int64_t month, int64_t day) noexcept nogil:
    # Years that begin in March have the leap day last.
    cdef int64_t shifted = year - 1 if month <= 2 else year
    cdef int64_t era = shifted // 400
    cdef int64_t year_of_era = shifted - era * 400
    cdef int64_t day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    cdef int64_t day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return (era * 146097 + day_of_era - 306) * TICKS_PER_DAY


cdef int64_t date_part(int64_t ticks, int part) noexcept nogil:
    cdef int64_t seconds = ticks // TICKS_PER_SECOND
    cdef int64_t days = seconds // 86400 + 306
    cdef int64_t era
    cdef int64_t day_of_era
    cdef int64_t year_of_era
    cdef int64_t day_of_year
    cdef int64_t month_index
    cdef int64_t month
    cdef int64_t year
    if part == PART_HOUR:
        return seconds // 3600 % 24
    if part == PART_MINUTE:
        return seconds // 60 % 60
    if part == PART_SECOND:
        return seconds % 60
    if part == PART_MILLISECOND:
        return ticks // 10000 % 1000
    if part == PART_DAY_OF_WEEK:
        return (seconds // 86400 + 1) % 7
    era = days // 146097
    day_of_era = days % 146097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_index = (5 * day_of_year + 2) // 153
    month = month_index + 3 if month_index < 10 else month_index - 9
    year = era * 400 + year_of_era + (1 if month <= 2 else 0)
    if part == PART_YEAR:
        return year
    if part == PART_MONTH:
        return month
    if part == PART_DAY:
        return day_of_year - (153 * month_index + 2) // 5 + 1
    return (ticks - date_ticks(year, 1, 1)) // TICKS_PER_DAY + 1


cdef inline bint read_digits(const uint8_t* text, int count, int64_t* number) noexcept nogil:
    cdef int index
    number[0] = 0
    for index in range(count):
        if not c'0' <= text[index] <= c'9':
            return False
        number[0] = number[0] * 10 + (text[index] - c'0')
    return True


cdef bint read_fraction(const uint8_t* text, size_t size, size_t* at, int64_t* ticks) noexcept nogil:
    """Digits behind the point: the first seven count."""
    cdef int64_t fraction = 0
    cdef int digits = 0
    while at[0] < size and c'0' <= text[at[0]] <= c'9':
        if digits < 7:
            fraction = fraction * 10 + (text[at[0]] - c'0')
        digits += 1
        at[0] += 1
    if digits == 0 or digits > 9:
        return False
    while digits < 7:
        fraction *= 10
        digits += 1
    ticks[0] = fraction
    return True


cdef int64_t month_days(int64_t year, int64_t month) noexcept nogil:
    if month == 2:
        return 29 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


cdef bint date_parse(const uint8_t* text, size_t size, int64_t* ticks, bint* utc) noexcept nogil:
    """yyyy-MM-dd, with THH:mm, :ss, up to nine digits of a fraction, and Z or an offset."""
    cdef int64_t year = 0
    cdef int64_t month = 0
    cdef int64_t day = 0
    cdef int64_t hour = 0
    cdef int64_t minute = 0
    cdef int64_t second = 0
    cdef int64_t fraction = 0
    cdef int64_t offset = 0
    cdef size_t at = 10
    cdef bint negative
    utc[0] = False
    if size < 10 or size > SPAN_TEXT_MAX or text[4] != c'-' or text[7] != c'-':
        return False
    if not (read_digits(text, 4, &year) and read_digits(text + 5, 2, &month) and read_digits(text + 8, 2, &day)):
        return False
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= month_days(year, month):
        return False
    if size > 10:
        if size < 16 or text[10] != c'T' or text[13] != c':':
            return False
        if not (read_digits(text + 11, 2, &hour) and read_digits(text + 14, 2, &minute)):
            return False
        at = 16
        if at + 3 <= size and text[at] == c':':
            if not read_digits(text + 17, 2, &second):
                return False
            at = 19
            if at < size and text[at] == c'.':
                at += 1
                if not read_fraction(text, size, &at, &fraction):
                    return False
        if hour > 23 or minute > 59 or second > 59:
            return False
    ticks[0] = date_ticks(year, month, day) + ((hour * 60 + minute) * 60 + second) * TICKS_PER_SECOND + fraction
    if at == size:
        return True
    utc[0] = True
    if text[at] == c'Z':
        return at + 1 == size
    if at + 6 != size or text[at + 3] != c':' or (text[at] != c'+' and text[at] != c'-'):
        return False
    negative = text[at] == c'-'
    if not (read_digits(text + at + 1, 2, &hour) and read_digits(text + at + 4, 2, &minute)):
        return False
    if hour > 14 or minute > 59:
        return False
    offset = (hour * 60 + minute) * 60 * TICKS_PER_SECOND
    ticks[0] += offset if negative else -offset
    return 0 <= ticks[0] <= TICKS_MAX


cdef bint span_parse(const uint8_t* text, size_t size, int64_t* ticks) noexcept nogil:
    """[-][d.]hh:mm[:ss[.fffffff]]"""
    cdef int64_t days = 0
    cdef int64_t hours = 0
    cdef int64_t minutes = 0
    cdef int64_t seconds = 0
    cdef int64_t fraction = 0
    cdef size_t at = 0
    cdef size_t digits = 0
    cdef bint negative = size > 0 and text[0] == c'-'
    if negative:
        at = 1
    if size > SPAN_TEXT_MAX:
        return False
    while at + digits < size and c'0' <= text[at + digits] <= c'9':
        digits += 1
    if at + digits < size and text[at + digits] == c'.' and 1 <= digits <= 8:
        read_digits(text + at, <int>digits, &days)
        at += digits + 1
    if at + 5 > size or text[at + 2] != c':':
        return False
    if not (read_digits(text + at, 2, &hours) and read_digits(text + at + 3, 2, &minutes)):
        return False
    at += 5
    if at + 3 <= size and text[at] == c':':
        if not read_digits(text + at + 1, 2, &seconds):
            return False
        at += 3
        if at < size and text[at] == c'.':
            at += 1
            if not read_fraction(text, size, &at, &fraction):
                return False
    if at != size or hours > 23 or minutes > 59 or seconds > 59 or days > 10000000:
        return False
    ticks[0] = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * TICKS_PER_SECOND + fraction
    if negative:
        ticks[0] = -ticks[0]
    return True


cdef int span_format(int64_t ticks, char* text) noexcept nogil:
    """[-][d.]hh:mm:ss[.fffffff]; the size."""
    cdef uint64_t rest = <uint64_t>ticks if ticks >= 0 else <uint64_t>0 - <uint64_t>ticks
    cdef uint64_t fraction = rest % TICKS_PER_SECOND
    cdef uint64_t seconds = rest // TICKS_PER_SECOND
    cdef int size = 0
    if ticks < 0:
        text[0] = c'-'
        size = 1
    if seconds >= 86400:
        size += snprintf(text + size, 12, b"%llu.", <unsigned long long>(seconds // 86400))
    size += snprintf(text + size, 9, b"%02u:%02u:%02u", <unsigned int>(seconds // 3600 % 24),
                     <unsigned int>(seconds // 60 % 60), <unsigned int>(seconds % 60))
    if fraction:
        size += snprintf(text + size, 9, b".%07u", <unsigned int>fraction)
    return size
